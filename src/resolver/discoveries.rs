//! How a name is discovered: in turn, by one flight a name, ahead of need where it is busy.

use std::sync::Arc;

use futures_util::future::{Either, select};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument, debug, debug_span};

use super::Inner;
use super::drive::{BrokenOff, Driven, drive};
use super::memory::{Epoch, Use};
use super::parts::Errand;
use super::settled::{Due, Settled};
use crate::core::cache::dns_part::DnsPart;
use crate::core::config::Speculation;
use crate::core::discovery::Discovery;
use crate::core::discovery::machine::{Machine, Output, Question};
use crate::core::dns::DnsQuestion;
use crate::core::error::ResolveError;
use crate::core::names::host::Host;
use crate::core::names::server_name::ServerName;
use crate::core::report::{Report, Source};
use crate::core::warning::Warning;
use crate::runtime::BoxFuture;
use crate::runtime::single_flight::{Joined, TooMany};

/// An answer of DNS on its way, asked for before it is known to be needed.
type Early = BoxFuture<'static, Result<(Arc<DnsPart>, Source), BrokenOff>>;

/// How a discovery ended, for all who waited.
#[derive(Debug)]
pub(super) enum Explained {
    Settled(Arc<Settled>),
    Failed { error: ResolveError, report: Option<Arc<Report>> },
}

impl Explained {
    /// It ended before there was anything to report.
    fn broken_off(error: ResolveError) -> Arc<Self> {
        Arc::new(Self::Failed { error, report: None })
    }
}

/// How a call was answered.
pub(super) struct Answered {
    pub(super) explained: Arc<Explained>,
    /// Whether it was remembered.
    pub(super) remembered: bool,
}

impl Inner {
    /// Discovers a name for a caller who waits.
    pub(super) async fn discover(self: &Arc<Self>, name: &ServerName) -> Answered {
        if self.asks_nothing(name) {
            let begun = self.memory.epoch();
            let explained = Arc::new(Box::pin(self.run(name.clone(), Use::Holding)).await);
            self.keep(begun, &explained);
            return Answered { explained, remembered: false };
        }
        let mut waiter = match self.fly(name, Use::Holding, None) {
            Ok(Joined::Known(explained)) => return Answered { explained, remembered: true },
            Ok(Joined::Waiting(waiter)) => waiter,
            Err(TooMany { limit }) => {
                let error = ResolveError::TooBusy { name: name.clone(), limit };
                return self.instead_of(Explained::broken_off(error));
            }
        };
        if !waiter.is_first() {
            self.tally.joins();
        }
        let overdue = self.runtime.now().monotonic + self.config.refresh.wait;
        let sleep = self.runtime.sleep_until(overdue);
        let landed = match select(&mut waiter, sleep).await {
            Either::Left((landed, _)) => landed,
            Either::Right(_) => {
                if let Some(settled) = self.compose(name) {
                    // It is renewed for others, whoever else leaves.
                    waiter.detach();
                    return Answered { explained: settled.into(), remembered: false };
                }
                waiter.await
            }
        };
        let broken_off =
            |_| Explained::broken_off(ResolveError::AdapterFailed { name: name.clone() });
        self.instead_of(landed.unwrap_or_else(broken_off))
    }

    /// What is given for how a discovery ended: where it failed for a reason of our own, what is
    /// remembered although it has run out, if it may still be gone by.
    fn instead_of(&self, explained: Arc<Explained>) -> Answered {
        let instead = match &*explained {
            Explained::Failed {
                error:
                    ResolveError::TooBusy { name, .. }
                    | ResolveError::AdapterFailed { name }
                    | ResolveError::DeadlineExceeded { name, .. },
                ..
            } => self.compose(name),
            _ => None,
        };
        let explained = instead.map_or(explained, Into::into);
        Answered { explained, remembered: false }
    }

    /// Renews a name in the background, if there is room for it.
    pub(super) fn renew(self: &Arc<Self>, name: &ServerName, how: Use) {
        let Some(turn) = self.queue.turn_at_once() else { return };
        if let Ok(Joined::Waiting(waiter)) = self.fly(name, how, Some(turn)) {
            if waiter.is_first() {
                self.tally.renewals();
            }
            waiter.detach();
        }
    }

    /// Joins the discovery of a name, or starts it.
    fn fly(
        self: &Arc<Self>,
        name: &ServerName,
        how: Use,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Joined<ServerName, Arc<Explained>>, TooMany> {
        self.discoveries.join(
            name,
            &*self.runtime,
            || {
                let now = self.runtime.now().monotonic;
                let settled = self.memory.target(name, now).filter(|_| how == Use::Holding)?;
                Some(Arc::new(Explained::Settled(settled)))
            },
            || (),
            |leader| {
                let (inner, name) = (Arc::clone(self), name.clone());
                let begun = inner.memory.epoch();
                let span = debug_span!("discovery", server_name = %name);
                async move {
                    let turn = match turn {
                        Some(turn) => Ok(turn),
                        None => inner.queue.turn(&*inner.runtime).await,
                    };
                    let explained = match turn {
                        Ok(_turn) => Arc::new(inner.run(name, how).await),
                        Err(TooMany { limit }) => {
                            Explained::broken_off(ResolveError::TooBusy { name, limit })
                        }
                    };
                    inner.keep(begun, &explained);
                    leader.finish(explained);
                }
                .instrument(span)
            },
        )
    }

    /// Whether a name needs no question, and so no turn: a rule or the name itself says it all.
    fn asks_nothing(&self, name: &ServerName) -> bool {
        matches!(name.to_host(), Ok(Host::Ip(_)) | Err(_)) || self.rules.target_of(name).is_some()
    }

    /// Remembers how a discovery ended, unless a rule says to forget a host that it rests on.
    fn keep(&self, begun: Epoch, explained: &Explained) {
        if let Explained::Settled(settled) = explained
            && !settled.hosts().any(|host| self.rules.forgets(&host))
        {
            self.memory.keep_target(begun, Arc::clone(settled));
        }
    }

    /// What is remembered of a name, made into a target although parts of it have run out; nothing
    /// if a part is missing or has run out too long ago. Nothing is asked.
    fn compose(&self, name: &ServerName) -> Option<Settled> {
        self.compose_with(name, &mut |_| ())
    }

    /// Asks DNS again for what the last target rests on, where whether it still does is not known
    /// before the well-known is: both then take their time at once, and one who does not wait for
    /// the well-known gets addresses of now. They are to be held until the discovery ends.
    fn ask_early(self: &Arc<Self>, name: &ServerName) -> Vec<Early> {
        let Ok(Host::Dns(host)) = name.to_host() else { return Vec::new() };
        let now = self.runtime.now().monotonic;
        let mut early = Vec::new();
        let known = self.memory.well_known(&host, now, Use::Holding).is_some();
        if self.config.speculation == Speculation::Off || known {
            return early;
        }
        let mut ask = |question: &DnsQuestion| early.push(self.dns(question, Use::Holding));
        self.compose_with(name, &mut ask);
        // Where the SRV records are too old to stand in, their targets were not come to.
        let earlier = self.memory.earlier_target(name);
        let endpoints = earlier.iter().flat_map(|earlier| earlier.target.endpoints());
        for host in endpoints.filter_map(|it| it.host().as_dns()) {
            for family in self.config.addresses.families() {
                let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
                if self.memory.dns(&question, now, Use::Holding).is_none() {
                    ask(&question);
                }
            }
        }
        early
    }

    /// Tells `run_out` of each question to DNS whose answer does not hold any more.
    fn compose_with(
        &self,
        name: &ServerName,
        run_out: &mut dyn FnMut(&DnsQuestion),
    ) -> Option<Settled> {
        let earlier = self.memory.earlier_target(name)?;
        let now = self.runtime.now();
        let config = Arc::clone(&self.unhurried);
        let mut machine = Discovery::new(name.clone(), config, now, self.next_seed())
            .with_shared_well_known()
            .with_last_step(earlier.target.step());
        // Each turn answers one question, and the machine bounds those.
        loop {
            match machine.poll_output(now) {
                Output::Done(outcome) => {
                    let report = Arc::new(machine.report());
                    let settled = Settled::new(outcome.ok()?, report, Due::never());
                    return Some(settled.after(Some(&earlier)));
                }
                Output::Ask(Question::Dns { token, question }) => {
                    let holding = self.memory.dns(&question, now.monotonic, Use::Holding);
                    if holding.is_none() {
                        run_out(&question);
                    }
                    let last = holding.or_else(|| self.memory.earlier_dns(&question))?;
                    let (part, age) = (
                        last.standing_in(now.monotonic, &self.config)?,
                        now.monotonic.since(last.obtained()),
                    );
                    machine.handle(token.part(Arc::new(part), Source::Memory { age }), now);
                }
                Output::Ask(Question::WellKnown { token, host }) => {
                    let holding = self.memory.well_known(&host, now.monotonic, Use::Holding);
                    let last = holding.or_else(|| self.memory.earlier_well_known(&host))?;
                    let age = now.monotonic.since(last.answer.fetched().monotonic);
                    let answer = last.answer.standing_in(now, &self.config)?;
                    let source = Source::Memory { age };
                    machine.handle(token.answer(Arc::new(answer), source, None), now);
                }
                Output::Ask(Question::Fetch { .. }) | Output::Wait(_) => return None,
            }
        }
    }

    /// Runs one discovery to its end.
    async fn run(self: &Arc<Self>, name: ServerName, how: Use) -> Explained {
        let earlier = self.memory.earlier_target(&name);
        let fixed = self.rules.target_of(&name);
        if let Some(target) = fixed.and_then(|it| it.target(&name, self.runtime.now()).ok()) {
            let report = Arc::new(Report::of_rule(&target));
            let settled = Settled::new(Arc::new(target), report, Due::never());
            return Explained::Settled(Arc::new(settled.after(earlier.as_deref())));
        }
        let config = match how {
            Use::Holding => Arc::clone(&self.config),
            Use::NotDue | Use::JustNow => Arc::clone(&self.unhurried),
        };
        let (now, seed) = (self.runtime.now(), self.next_seed());
        let mut machine = Discovery::new(name.clone(), config, now, seed).with_shared_well_known();
        if let Some(earlier) = &earlier {
            machine = machine.with_last_step(earlier.target.step());
        }
        let _early = if how == Use::Holding { self.ask_early(&name) } else { Vec::new() };
        let errand = Arc::new(Errand::new(how));
        let ask = |question| self.ask(question, &errand);
        let driven = drive(&mut machine, &*self.runtime, ask).await;
        let mut report = machine.report();
        if report.warnings.iter().any(|it| matches!(it, Warning::AddressBlocked { .. })) {
            self.tally.blocked();
        }
        let error = match driven {
            Ok(Driven { done: Ok(target), .. }) => {
                debug!(%target, "resolved");
                // What is asked still, for nobody, is not taken in any more.
                let settled = Settled::new(target, Arc::new(report), errand.due.so_far());
                return Explained::Settled(Arc::new(settled.after(earlier.as_deref())));
            }
            // What the machine cannot know: that it went without an answer for want of room.
            Ok(Driven {
                done: Err(ResolveError::AdapterFailed { .. }),
                given_up: Some(BrokenOff::Busy { limit }),
            })
            | Err(BrokenOff::Busy { limit }) => ResolveError::TooBusy { name, limit },
            Ok(Driven { done: Err(error), .. }) => error,
            Err(BrokenOff::Adapter) => ResolveError::AdapterFailed { name },
        };
        debug!(%error, "not resolved");
        report.error = Some(error.clone());
        Explained::Failed { error, report: Some(Arc::new(report)) }
    }
}

impl From<Settled> for Arc<Explained> {
    fn from(settled: Settled) -> Self {
        Self::new(Explained::Settled(Arc::new(settled)))
    }
}
