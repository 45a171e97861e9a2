//! Finds targets: under a permit, one discovery a name at a time, and in the background before an
//! answer in use expires.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument, debug, debug_span};

use super::answers::{Answers, Asker, from_memory};
use super::config::Reports;
use super::drive::{BrokenOff, Finished, drive};
use super::memory::Epoch;
use super::queue::Queue;
use crate::core::cache::{CachedTarget, DnsEntry, Purpose, Renewal};
use crate::core::config::{Config, Speculation};
use crate::core::discovery::{Discovery, Machine, Output, Question};
use crate::core::dns::{DnsQuestion, DnsRecords, Service};
use crate::core::error::{Busy, ResolveError};
use crate::core::names::{DnsName, Host, ServerName};
use crate::core::report::{Report, Source};
use crate::core::warning::Warning;
use crate::core::well_known::WellKnown;
use crate::runtime::BoxFuture;
use crate::runtime::single_flight::{Joined, SingleFlight, TooMany};

/// A DNS answer in flight that was asked for before it is known to be needed.
type EarlyAnswer = BoxFuture<'static, Result<(DnsEntry, Source), BrokenOff>>;

/// Finds targets, and remembers them.
#[derive(Debug)]
pub(super) struct Targets {
    /// Answers the questions of discoveries, and owns the memory.
    pub(super) answers: Arc<Answers>,
    /// The configuration of background discoveries, without speculation.
    pub(super) unhurried: Arc<Config>,
    /// The permits for discoveries.
    pub(super) queue: Queue,
    /// The discoveries in flight, which callers for the same name share.
    pub(super) in_flight: Arc<SingleFlight<ServerName, Arc<Ending>>>,
}

/// The outcome of a discovery, shared by all who waited for it.
#[derive(Debug)]
pub(super) enum Ending {
    /// A target was found.
    Target {
        cached: Arc<CachedTarget>,
        /// `None` for a target that was in memory when the discovery was about to start.
        report: Option<Arc<Report>>,
    },
    /// The discovery failed.
    Failed { error: ResolveError, report: Option<Arc<Report>> },
}

impl Ending {
    /// Creates the outcome of a discovery that ended before there was a report.
    fn broken_off(error: ResolveError) -> Arc<Self> {
        Arc::new(Self::Failed { error, report: None })
    }
}

/// The answer to a call.
pub(super) struct Outcome {
    pub(super) ending: Arc<Ending>,
    /// Whether it comes from memory.
    pub(super) remembered: bool,
}

/// A target that was composed from memory, and its report.
pub(super) struct Composed {
    pub(super) cached: CachedTarget,
    pub(super) report: Report,
}

impl From<Composed> for Arc<Ending> {
    fn from(Composed { cached, report }: Composed) -> Self {
        Self::new(Ending::Target { cached: Arc::new(cached), report: Some(Arc::new(report)) })
    }
}

impl Targets {
    /// Discovers a name for a caller that waits.
    pub(super) async fn discover(self: &Arc<Self>, name: &ServerName) -> Outcome {
        let answers = &self.answers;
        if self.asks_nothing(name) {
            let begun = answers.memory.epoch();
            let ending = Arc::new(Box::pin(self.run(name.clone(), Purpose::Answer)).await);
            self.keep(begun, &ending);
            return Outcome { ending, remembered: false };
        }
        let mut waiter = match self.join(name, Purpose::Answer, None) {
            Ok(Joined::Known(ending)) => return Outcome { ending, remembered: true },
            Ok(Joined::Waiting(waiter)) => waiter,
            Err(TooMany { limit }) => {
                let (name, busy) = (name.clone(), Busy::Discoveries);
                return self.instead_of(Ending::broken_off(ResolveError::TooBusy {
                    name,
                    busy,
                    limit,
                }));
            }
        };
        if !waiter.is_first() {
            answers.tally.joins();
        }
        let runtime = &answers.runtime;
        let overdue = runtime.now().monotonic + answers.config.refresh.wait;
        let ended = match select(&mut waiter, runtime.sleep_until(overdue)).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => {
                if let Some(composed) = self.compose(name) {
                    // It is renewed for others, even if every other caller leaves.
                    waiter.detach();
                    return Outcome { ending: composed.into(), remembered: false };
                }
                waiter.await
            }
        };
        let broken_off = |_| Ending::broken_off(ResolveError::AdapterFailed { name: name.clone() });
        self.instead_of(ended.unwrap_or_else(broken_off))
    }

    /// Returns the outcome of a discovery. If it failed for a local reason, returns a target from
    /// memory in its place, if there is one that may be served stale.
    fn instead_of(&self, ending: Arc<Ending>) -> Outcome {
        let instead = match &*ending {
            Ending::Failed {
                error:
                    ResolveError::TooBusy { name, .. }
                    | ResolveError::AdapterFailed { name }
                    | ResolveError::DeadlineExceeded { name, .. },
                ..
            } => self.compose(name),
            _ => None,
        };
        let ending = instead.map_or(ending, Into::into);
        Outcome { ending, remembered: false }
    }

    /// Renews a name in the background, if a permit is free.
    pub(super) fn renew(self: &Arc<Self>, name: &ServerName, purpose: Purpose) {
        let Some(permit) = self.queue.try_permit() else { return };
        if let Ok(Joined::Waiting(waiter)) = self.join(name, purpose, Some(permit)) {
            if waiter.is_first() {
                self.answers.tally.renewals();
            }
            waiter.detach();
        }
    }

    /// Joins the discovery in flight of a name, or starts one.
    fn join(
        self: &Arc<Self>,
        name: &ServerName,
        purpose: Purpose,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Joined<ServerName, Arc<Ending>>, TooMany> {
        let answers = &self.answers;
        self.in_flight.join(
            name,
            &*answers.runtime,
            || {
                let now = answers.runtime.now().monotonic;
                let cached = answers.memory.target(name, now);
                let cached = cached.filter(|_| purpose == Purpose::Answer)?;
                let report = cached.report().cloned();
                Some(Arc::new(Ending::Target { cached, report }))
            },
            || (),
            |leader| {
                let (targets, name) = (Arc::clone(self), name.clone());
                let begun = answers.memory.epoch();
                let span = debug_span!("discovery", server_name = %name);
                async move {
                    let permit = match permit {
                        Some(permit) => Ok(permit),
                        None => targets.queue.permit(&*targets.answers.runtime).await,
                    };
                    let ending = match permit {
                        Ok(_permit) => Arc::new(targets.run(name, purpose).await),
                        Err(TooMany { limit }) => {
                            let busy = Busy::Turn;
                            Ending::broken_off(ResolveError::TooBusy { name, busy, limit })
                        }
                    };
                    targets.keep(begun, &ending);
                    leader.finish(ending);
                }
                .instrument(span)
            },
        )
    }

    /// Returns whether a name needs no question, and so no permit: a rule or the name itself
    /// decides.
    fn asks_nothing(&self, name: &ServerName) -> bool {
        matches!(name.to_host(), Ok(Host::Ip(_)) | Err(_))
            || self.answers.rules.target_of(name).is_some()
    }

    /// Remembers the outcome of a discovery, unless a rule says to forget a host that it relies on.
    fn keep(&self, begun: Epoch, ending: &Ending) {
        if let Ending::Target { cached, .. } = ending
            && !cached.hosts().any(|host| self.answers.rules.forgets(&host))
        {
            self.answers.memory.keep_target(begun, Arc::clone(cached));
        }
    }

    /// Composes a target from what is remembered of a name, expired parts included. Returns `None`
    /// if a part is missing or too old to be served. Asks nothing.
    pub(super) fn compose(&self, name: &ServerName) -> Option<Composed> {
        self.compose_with(name, &mut |_| ())
    }

    /// Composes a target and calls `expired` with each DNS question whose answer has expired.
    fn compose_with(
        &self,
        name: &ServerName,
        expired: &mut dyn FnMut(&DnsQuestion),
    ) -> Option<Composed> {
        let answers = &self.answers;
        let earlier = answers.memory.earlier_target(name)?;
        let now = answers.runtime.now();
        let config = Arc::clone(&self.unhurried);
        let mut machine = Discovery::new(name.clone(), config, now, answers.next_seed())
            .with_shared_well_known()
            .with_last_step(earlier.target.step());
        // Each pass answers one question, and the machine bounds those.
        loop {
            match machine.poll_output(now) {
                Output::Done(outcome) => {
                    let cached = CachedTarget::new(outcome.ok()?, Renewal::never());
                    let report = machine.report().rebuilt();
                    return Some(Composed { cached: cached.after(Some(&earlier)), report });
                }
                Output::Ask(Question::Dns { token, question }) => {
                    let holds = answers.memory.dns(&question, now.monotonic, Purpose::Answer);
                    if holds.is_none() {
                        expired(&question);
                    }
                    let entry = holds.or_else(|| answers.memory.earlier_dns(&question))?;
                    entry.serve(now.monotonic, Purpose::AtOnce)?;
                    let source = from_memory(&entry, now.monotonic);
                    machine.handle(token.entry(entry, source), now);
                }
                Output::Ask(Question::WellKnown { token, host }) => {
                    let entry = answers.memory.earlier_well_known(&host)?.entry.clone();
                    entry.serve(now.monotonic, Purpose::AtOnce)?;
                    let source = from_memory(&entry, now.monotonic);
                    machine.handle(token.answer(entry, source, None), now);
                }
                Output::Ask(Question::Fetch { .. }) | Output::Wait(_) => return None,
            }
        }
    }

    /// Asks DNS again for what the last target relies on, before the well-known is there to confirm
    /// that it still does. Both look-ups then run at the same time, and a caller that does not wait
    /// for the well-known gets current addresses. Hold the result until the discovery ends.
    fn ask_early(&self, name: &ServerName) -> Vec<EarlyAnswer> {
        let answers = &self.answers;
        let Ok(Host::Dns(host)) = name.to_host() else { return Vec::new() };
        let now = answers.runtime.now().monotonic;
        let mut early = Vec::new();
        let known = answers.memory.well_known(&host, now, Purpose::Answer).is_some();
        if answers.config.speculation == Speculation::Off || known {
            return early;
        }
        let mut ask = |question: &DnsQuestion| early.push(answers.dns(question, Purpose::Answer));
        self.compose_with(name, &mut ask);
        // If the SRV records are too old to be served, composing has not reached their targets.
        let earlier = answers.memory.earlier_target(name);
        let endpoints = earlier.iter().flat_map(|earlier| earlier.target.endpoints());
        for host in endpoints.filter_map(|it| it.host().as_dns()) {
            for family in answers.config.addresses.families() {
                let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
                if answers.memory.dns(&question, now, Purpose::Answer).is_none() {
                    ask(&question);
                }
            }
        }
        early
    }

    /// Runs one discovery to its end.
    async fn run(self: &Arc<Self>, name: ServerName, purpose: Purpose) -> Ending {
        let answers = &self.answers;
        let earlier = answers.memory.earlier_target(&name);
        let target = |target, report: Report, renewal| {
            let report = Arc::new(report);
            let kept = (answers.limits.memory.reports == Reports::Kept).then(|| report.clone());
            let cached = CachedTarget::new(target, renewal).with_report(kept);
            let cached = Arc::new(cached.after(earlier.as_deref()));
            Ending::Target { cached, report: Some(report) }
        };
        let fixed = answers.rules.target_of(&name);
        if let Some(fixed) = fixed.and_then(|it| it.target(&name, answers.runtime.now()).ok()) {
            let report = Report::of_rule(&fixed);
            return target(Arc::new(fixed), report, Renewal::never());
        }
        let waits = purpose == Purpose::Answer;
        let config = Arc::clone(if waits { &answers.config } else { &self.unhurried });
        let (now, seed) = (answers.runtime.now(), answers.next_seed());
        let mut machine = Discovery::new(name.clone(), config, now, seed).with_shared_well_known();
        if let Some(earlier) = &earlier {
            machine = machine.with_last_step(earlier.target.step());
        }
        let _early = if waits { self.ask_early(&name) } else { Vec::new() };
        let asker = Arc::new(Asker::new(purpose));
        let ask = |question| answers.ask(question, &asker);
        let driven = drive(&mut machine, &*answers.runtime, ask).await;
        let mut report = machine.report();
        if report.warnings.iter().any(|it| matches!(it, Warning::AddressBlocked { .. })) {
            answers.tally.blocked();
        }
        let error = match driven {
            Ok(Finished { done: Ok(found), .. }) => {
                debug!(target = %found, "resolved");
                // Answers that arrive later are not taken into account.
                return target(found, report, asker.renewal.so_far());
            }
            // The machine cannot know that an answer is missing because a limit was reached.
            Ok(Finished {
                done: Err(ResolveError::AdapterFailed { .. }),
                given_up: Some(BrokenOff::Busy { busy, limit }),
            })
            | Err(BrokenOff::Busy { busy, limit }) => ResolveError::TooBusy { name, busy, limit },
            Ok(Finished { done: Err(error), .. }) => error,
            Err(BrokenOff::Adapter) => ResolveError::AdapterFailed { name },
        };
        debug!(%error, "not resolved");
        report.error = Some(error.clone());
        Ending::Failed { error, report: Some(Arc::new(report)) }
    }

    /// Forgets a name and all hosts that its answer relies on, as far as they are known.
    pub(super) fn forget(&self, name: &ServerName) {
        let hosts = self.hosts_of(name);
        let answers = &self.answers;
        let now = answers.runtime.now().wall;
        for host in &hosts {
            answers.memory.forget_host(host, now);
        }
        answers.memory.forget_target(name);
        self.in_flight.forget(|other| {
            let host = other.to_host().ok();
            other == name
                || host.as_ref().and_then(Host::as_dns).is_some_and(|it| hosts.contains(it))
        });
        answers.well_known_in_flight.forget(|host| hosts.contains(host));
        answers.dns_in_flight.forget(|question| hosts.contains(question.host()));
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        let answers = &self.answers;
        answers.memory.clear(answers.runtime.now().wall);
        self.in_flight.forget(|_| true);
        answers.well_known_in_flight.forget(|_| true);
        answers.dns_in_flight.forget(|_| true);
    }

    fn hosts_of(&self, name: &ServerName) -> HashSet<DnsName> {
        let memory = &self.answers.memory;
        let mut hosts: HashSet<DnsName> = HashSet::new();
        if let Some(earlier) = memory.earlier_target(name) {
            hosts.extend(earlier.hosts());
        }
        let Ok(Host::Dns(host)) = name.to_host() else { return hosts };
        let mut with_srv = vec![host.clone()];
        if let Some(known) = memory.earlier_well_known(&host) {
            let document = known.entry.last_good();
            with_srv.extend(document.map(WellKnown::host).and_then(Host::as_dns).cloned());
            hosts.extend(known.redirected_to.iter().cloned());
        }
        for host in with_srv {
            for service in Service::ALL {
                let question = DnsQuestion::Srv { host: host.clone(), service };
                let entry = memory.earlier_dns(&question);
                let records = entry.as_ref().and_then(DnsEntry::last_good);
                let targets = records.into_iter().flat_map(DnsRecords::srv);
                let targets = targets.map(|it| it.target.trim_end_matches('.'));
                hosts.extend(targets.filter_map(|it| it.parse().ok()));
            }
            hosts.insert(host);
        }
        hosts
    }
}
