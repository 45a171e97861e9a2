//! Drives the core over three traits and remembers what they said.
//!
//! `traits` holds the seams to the world; `drive` runs a machine of the core; `flights` lets many
//! callers share one question; `memory` keeps parts and targets; `resolution` is what callers get.
#![deny(clippy::disallowed_methods)]

mod drive;
mod flights;
mod memory;
pub(crate) mod resolution;
pub(crate) mod traits;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, ready, select};
use tracing::{Instrument, debug, debug_span};

use self::drive::{Answer, BrokenOff, Driven, drive};
use self::flights::{Flights, Joined, TooMany};
use self::memory::{Due, LookedUp, Memory, Part, Settled, Use};
use self::resolution::{Explanation, Resolution};
use self::traits::{BoxFuture, Dns, Runtime, WellKnownFetch};
use crate::core::config::{Config, Speculation};
use crate::core::discovery::lookup::WellKnownLookup;
use crate::core::discovery::{Discovery, Output, Question};
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion};
use crate::core::dns_name::DnsName;
use crate::core::dns_part::DnsPart;
use crate::core::error::ResolveError;
use crate::core::host::Host;
use crate::core::report::{Report, Source};
use crate::core::server_name::ServerName;
use crate::core::time::Monotonic;
use crate::core::well_known::WellKnown;

/// How much longer than the limit on a DNS question an adapter is waited for. The machine waits
/// longer still.
const ANSWER_MARGIN: Duration = Duration::from_millis(125);

/// Resolves Matrix server names and remembers the answers.
///
/// Cloning is cheap and shares the memory. Every part of an answer (well-known, SRV, addresses)
/// lives by its own clock and is shared by all names that need it; the same question is never
/// under way twice; a caller that goes away cancels nothing for the others.
///
/// ```
/// # #[cfg(all(feature = "hickory", feature = "hyper", feature = "ring"))]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = matrix_delegation::Resolver::from_system(Default::default())?;
/// let found = resolver.resolve(&"matrix.org".parse()?).await?;
/// let contact = 1; // counts contacts
/// for endpoint in found.attempts(contact) {
///     println!("connect to {endpoint}, send Host: {}", found.authority());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    dns: Arc<dyn Dns>,
    fetch: Arc<dyn WellKnownFetch>,
    runtime: Arc<dyn Runtime>,
    config: Arc<Config>,
    /// The same for what nobody waits for: one question after the other.
    unhurried: Arc<Config>,
    seed: AtomicU64,
    memory: Memory,
    discoveries: Arc<Flights<ServerName, Arc<Explained>>>,
    well_known: Arc<Flights<DnsName, Result<Arc<LookedUp>, BrokenOff>>>,
    questions: Arc<Flights<DnsQuestion, Arc<DnsPart>>>,
}

/// How a discovery ended, for all who waited.
#[derive(Debug)]
enum Explained {
    Settled(Arc<Settled>),
    Failed { error: ResolveError, report: Option<Arc<Report>> },
}

impl Resolver {
    /// A resolver that asks these and remembers within the bounds of `config`.
    pub fn new(
        dns: Arc<dyn Dns>,
        fetch: Arc<dyn WellKnownFetch>,
        runtime: Arc<dyn Runtime>,
        config: Config,
    ) -> Self {
        // The standard library's only source of randomness; it need not be strong here.
        #[expect(clippy::disallowed_methods, reason = "the one seed that all others come from")]
        let seed = RandomState::new().hash_one(0_u8);
        Self::with_seed(dns, fetch, runtime, config, seed)
    }

    /// The same with a seed for all random choices, for tests.
    pub fn with_seed(
        dns: Arc<dyn Dns>,
        fetch: Arc<dyn WellKnownFetch>,
        runtime: Arc<dyn Runtime>,
        config: Config,
        seed: u64,
    ) -> Self {
        let limits = &config.memory;
        Self {
            inner: Arc::new(Inner {
                dns,
                fetch,
                runtime,
                seed: AtomicU64::new(seed),
                memory: Memory::new(limits, config.refresh.clone()),
                discoveries: Arc::new(Flights::new(limits.discoveries)),
                well_known: Arc::new(Flights::new(limits.discoveries)),
                questions: Arc::new(Flights::new(limits.questions)),
                unhurried: Arc::new(config.clone().with_speculation(Speculation::Off)),
                config: Arc::new(config),
            }),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The remembered answer, while it holds: one look-up, no waiting, no allocation.
    pub fn cached(&self, name: &ServerName) -> Option<Resolution> {
        let now = self.inner.runtime.now().monotonic;
        let settled = self.inner.memory.target(name, now)?;
        Some(Resolution::new(settled, true, now))
    }

    /// Where this server is reached.
    ///
    /// The future may be dropped at any time; the discovery goes on and is remembered.
    pub async fn resolve(&self, name: &ServerName) -> Result<Resolution, ResolveError> {
        match self.remembered(name) {
            Some(resolution) => Ok(resolution),
            None => self.discover(name).await.result,
        }
    }

    /// The same with the report of how it was found, which errors have, too.
    pub async fn explain(&self, name: &ServerName) -> Explanation {
        match self.remembered(name) {
            Some(resolution) => {
                let report = Some(Arc::clone(resolution.report()));
                Explanation { result: Ok(resolution), report }
            }
            None => self.discover(name).await,
        }
    }

    /// Forgets what is remembered of this name: its target, and the well-known and DNS answers of
    /// its host, of the host that it delegates to and of its SRV targets, the last good well-known
    /// and the back-off included. What is under way ends for those who wait for it, but is not
    /// remembered.
    pub fn invalidate(&self, name: &ServerName) {
        let memory = &self.inner.memory;
        if let Ok(Host::Dns(host)) = name.to_host() {
            let known = memory.earlier_well_known(&host);
            let document = known.as_ref().and_then(|known| known.answer.last_document());
            if let Some(Host::Dns(delegated)) = document.map(WellKnown::host) {
                memory.forget_host(delegated);
            }
            memory.forget_host(&host);
        }
        if let Some(earlier) = memory.earlier_target(name) {
            let hosts = earlier.target.endpoints().iter().filter_map(|it| it.host().as_dns());
            hosts.for_each(|host| memory.forget_host(host));
        }
        memory.forget_target(name);
    }

    /// Forgets everything. What is under way ends for those who wait for it, but is not remembered.
    pub fn clear(&self) {
        self.inner.memory.clear();
    }

    /// The remembered answer, while it holds; one that soon does not is renewed meanwhile.
    fn remembered(&self, name: &ServerName) -> Option<Resolution> {
        let inner = &self.inner;
        let now = inner.runtime.now().monotonic;
        let settled = inner.memory.target(name, now)?;
        if settled.is_due(now, &inner.config.refresh) {
            // If there is no room for it, it is renewed when it is over.
            drop(inner.fly(name, Use::NotDue));
        }
        Some(Resolution::new(settled, true, now))
    }

    async fn discover(&self, name: &ServerName) -> Explanation {
        let inner = &self.inner;
        let (explained, remembered) = match inner.fly(name, Use::Holding) {
            Ok(Joined::Known(explained)) => (Ok(explained), true),
            Ok(Joined::Landing(landed)) => {
                let broken_off = |_| ResolveError::AdapterFailed { name: name.clone() };
                let overdue = inner.runtime.now().monotonic + inner.config.refresh.wait;
                let explained = match select(landed, inner.runtime.sleep_until(overdue)).await {
                    Either::Left((explained, _)) => explained,
                    Either::Right(((), landed)) => match inner.compose(name) {
                        Some(settled) => Ok(Arc::new(Explained::Settled(Arc::new(settled)))),
                        None => landed.await,
                    },
                };
                (explained.map_err(broken_off), false)
            }
            Err(too_many) => {
                (Err(ResolveError::TooBusy { name: name.clone(), limit: too_many.limit }), false)
            }
        };
        let now = inner.runtime.now().monotonic;
        match explained.as_deref() {
            Ok(Explained::Settled(settled)) => Explanation {
                report: Some(Arc::clone(&settled.report)),
                result: Ok(Resolution::new(Arc::clone(settled), remembered, now)),
            },
            Ok(Explained::Failed { error, report }) => {
                Explanation { result: Err(error.clone()), report: report.clone() }
            }
            Err(error) => Explanation { result: Err(error.clone()), report: None },
        }
    }
}

impl Inner {
    /// Joins the discovery of a name, or starts it.
    fn fly(
        self: &Arc<Self>,
        name: &ServerName,
        how: Use,
    ) -> Result<Joined<Arc<Explained>>, TooMany> {
        self.discoveries.join(
            name,
            || {
                let now = self.runtime.now().monotonic;
                let settled = self.memory.target(name, now).filter(|_| how == Use::Holding)?;
                Some(Arc::new(Explained::Settled(settled)))
            },
            |pilot| {
                let (inner, name) = (Arc::clone(self), name.clone());
                let begun = inner.memory.epoch();
                let span = debug_span!("discovery", server_name = %name);
                let task = async move {
                    let explained = Arc::new(inner.run(name, how).await);
                    if let Explained::Settled(settled) = &*explained {
                        inner.memory.keep_target(begun, Arc::clone(settled));
                    }
                    pilot.land(explained);
                };
                self.runtime.spawn(Box::pin(task.instrument(span)));
            },
        )
    }

    /// What is remembered of a name, made into a target although parts of it have run out; nothing
    /// if a part is missing or has run out too long ago. Nothing is asked.
    fn compose(&self, name: &ServerName) -> Option<Settled> {
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
                    return Some(Settled::new(outcome.ok()?, report, Due::never()));
                }
                Output::Ask(Question::Dns { token, question }) => {
                    let holding = self.memory.dns(&question, now.monotonic, Use::Holding);
                    let last = holding.or_else(|| self.memory.earlier_dns(&question))?;
                    let (part, age) = (
                        last.standing_in(now.monotonic, &self.config)?,
                        now.monotonic.since(last.obtained()),
                    );
                    machine.handle_dns_part(token, Arc::new(part), Source::Memory { age }, now);
                }
                Output::Ask(Question::WellKnown { token, host }) => {
                    let holding = self.memory.well_known(&host, now.monotonic, Use::Holding);
                    let last = holding.or_else(|| self.memory.earlier_well_known(&host))?;
                    let age = now.monotonic.since(last.answer.fetched().monotonic);
                    let answer = last.answer.standing_in(now, &self.config)?;
                    let source = Source::Memory { age };
                    machine.handle_well_known(token, Arc::new(answer), source, None, now);
                }
                Output::Ask(Question::Fetch { .. }) | Output::Wait(_) => return None,
            }
        }
    }

    /// Runs one discovery to its end.
    async fn run(self: &Arc<Self>, name: ServerName, how: Use) -> Explained {
        let config = match how {
            Use::Holding => Arc::clone(&self.config),
            Use::NotDue => Arc::clone(&self.unhurried),
        };
        let (now, seed) = (self.runtime.now(), self.next_seed());
        let mut machine = Discovery::new(name.clone(), config, now, seed).with_shared_well_known();
        if let Some(earlier) = self.memory.earlier_target(&name) {
            machine = machine.with_last_step(earlier.target.step());
        }
        let due = Arc::new(Due::never());
        let ask = |question| self.ask(question, how, &due);
        let driven = drive(&mut machine, &*self.runtime, ask).await;
        let mut report = machine.report();
        let error = match driven {
            Ok(Driven { done: Ok(target), .. }) => {
                debug!(%target, "resolved");
                let report = Arc::new(report);
                // What is asked still, for nobody, is not taken in any more.
                let due = due.so_far();
                return Explained::Settled(Arc::new(Settled::new(target, report, due)));
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

    /// Sets about answering a question of a machine.
    fn ask(
        self: &Arc<Self>,
        question: Question,
        how: Use,
        due: &Arc<Due>,
    ) -> BoxFuture<'static, Result<Answer, BrokenOff>> {
        let (due, refresh) = (Arc::clone(due), self.config.refresh.clone());
        match question {
            Question::Dns { token, question } => {
                Box::pin(self.dns(&question, how).map(move |found| {
                    Ok(match found {
                        Ok((part, source)) => {
                            due.take_in(&*part, &refresh);
                            Answer::Dns { token, part, source }
                        }
                        Err(why) => Answer::NoDns { token, why },
                    })
                }))
            }
            Question::Fetch { token, fetch } => {
                let fetcher = Arc::clone(&self.fetch);
                Box::pin(
                    async move { Ok(Answer::Fetch { token, result: fetcher.fetch(*fetch).await }) },
                )
            }
            Question::WellKnown { token, host } => {
                Box::pin(self.well_known(&host, how).map(move |found| {
                    found.map(|(known, source)| {
                        due.take_in(&*known, &refresh);
                        Answer::WellKnown { token, known, source }
                    })
                }))
            }
        }
    }

    /// The answer of DNS: remembered, under way, or asked for now.
    fn dns(
        self: &Arc<Self>,
        question: &DnsQuestion,
        how: Use,
    ) -> BoxFuture<'static, Result<(Arc<DnsPart>, Source), BrokenOff>> {
        let now = self.runtime.now().monotonic;
        let joined = self.questions.join(
            question,
            || {
                self.memory
                    .dns(question, now, how)
                    .filter(|part| self.is_of_use(question, part, now))
            },
            |pilot| {
                let (inner, question) = (Arc::clone(self), question.clone());
                let begun = inner.memory.epoch();
                self.runtime.spawn(Box::pin(async move {
                    let part = Arc::new(inner.look_up(&question).await);
                    inner.memory.keep_dns(begun, &question, Arc::clone(&part));
                    pilot.land(part);
                }));
            },
        );
        match joined {
            Ok(Joined::Known(part)) => {
                let age = now.since(part.obtained());
                Box::pin(ready(Ok((part, Source::Memory { age }))))
            }
            Ok(Joined::Landing(landed)) => {
                let (inner, question) = (Arc::clone(self), question.clone());
                Box::pin(landed.map(move |part| {
                    let part = part.map_err(|_| BrokenOff::Adapter)?;
                    let now = inner.runtime.now().monotonic;
                    let held = || inner.memory.dns(&question, now, Use::Holding);
                    Ok(or_what_holds(part, held, now))
                }))
            }
            Err(too_many) => Box::pin(ready(Err(too_many.into()))),
        }
    }

    /// Whether a remembered answer may be used. A family that failed beside the other's answer is
    /// asked again after a while, however far its back-off has come.
    fn is_of_use(&self, question: &DnsQuestion, part: &DnsPart, now: Monotonic) -> bool {
        let DnsQuestion::Addresses { host, family } = question else { return true };
        let failed = matches!(**part.answer(), DnsAnswer::Failed { .. });
        if !failed || now.since(part.obtained()) < self.config.dns.incomplete {
            return true;
        }
        let other = DnsQuestion::Addresses { host: host.clone(), family: family.other() };
        let beside = self.memory.earlier_dns(&other);
        !beside.is_some_and(|part| matches!(**part.answer(), DnsAnswer::Found { .. }))
    }

    /// Asks DNS. An adapter that overruns the limit on a question has timed out.
    async fn look_up(&self, question: &DnsQuestion) -> DnsPart {
        let due = self.runtime.now().monotonic + self.config.time.dns.saturating_add(ANSWER_MARGIN);
        let lookup = self.dns.lookup(question.clone());
        let answer = match select(lookup, pin!(self.runtime.sleep_until(due))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => DnsAnswer::failed(DnsFailure::Timeout),
        };
        let (now, before) = (self.runtime.now().monotonic, self.memory.earlier_dns(question));
        DnsPart::new(question, answer, now, before.as_deref(), &self.config.dns)
    }

    /// What is known of a host's well-known: remembered, under way, or looked up now.
    fn well_known(
        self: &Arc<Self>,
        host: &DnsName,
        how: Use,
    ) -> BoxFuture<'static, Result<(Arc<LookedUp>, Source), BrokenOff>> {
        let now = self.runtime.now().monotonic;
        let joined = self.well_known.join(
            host,
            || self.memory.well_known(host, now, how).map(Ok),
            |pilot| {
                let (inner, host) = (Arc::clone(self), host.clone());
                let begun = inner.memory.epoch();
                let span = debug_span!("well_known", %host);
                let task = async move {
                    let known = inner.look_up_well_known(&host, how).await.map(Arc::new);
                    if let Ok(known) = &known {
                        inner.memory.keep_well_known(begun, &host, Arc::clone(known));
                    }
                    pilot.land(known);
                };
                self.runtime.spawn(Box::pin(task.instrument(span)));
            },
        );
        match joined {
            Ok(Joined::Known(known)) => {
                let found = known.map(|known| {
                    let age = now.since(known.answer.fetched().monotonic);
                    (known, Source::Memory { age })
                });
                Box::pin(ready(found))
            }
            Ok(Joined::Landing(landed)) => {
                let (inner, host) = (Arc::clone(self), host.clone());
                Box::pin(landed.map(move |known| {
                    let known = known.map_err(|_| BrokenOff::Adapter)??;
                    let now = inner.runtime.now().monotonic;
                    let held = || inner.memory.well_known(&host, now, Use::Holding);
                    Ok(or_what_holds(known, held, now))
                }))
            }
            Err(too_many) => Box::pin(ready(Err(too_many.into()))),
        }
    }

    async fn look_up_well_known(
        self: &Arc<Self>,
        host: &DnsName,
        how: Use,
    ) -> Result<LookedUp, BrokenOff> {
        let config = Arc::clone(&self.config);
        let (now, seed) = (self.runtime.now(), self.next_seed());
        let mut machine = WellKnownLookup::new(host.clone(), config, now, seed);
        if let Some(earlier) = self.memory.earlier_well_known(host) {
            machine = machine.with_earlier((*earlier.answer).clone());
        }
        // The addresses that it is fetched from need not be renewed with it.
        let due = Arc::new(Due::never());
        let ask = |question| self.ask(question, how, &due);
        let driven = drive(&mut machine, &*self.runtime, ask).await?;
        let answer = driven.done;
        match answer.result() {
            Ok(document) => debug!(server = %document.server(), "delegates"),
            Err(failure) => debug!(%failure, "no valid well-known"),
        }
        Ok(LookedUp { answer: Arc::new(answer), lookup: Arc::new(machine.report()) })
    }

    fn next_seed(&self) -> u64 {
        // An odd step visits every number before it repeats one; this one is not the generator's own.
        self.seed.fetch_add(0xD1B5_4A32_D192_ED03, Ordering::Relaxed)
    }
}

/// What came of a question; what is remembered, if it failed and that holds still.
fn or_what_holds<P: Part>(
    asked: Arc<P>,
    held: impl FnOnce() -> Option<Arc<P>>,
    now: Monotonic,
) -> (Arc<P>, Source) {
    let held = if asked.is_failure() { held() } else { None };
    match held.filter(|held| !held.is_failure()) {
        Some(held) => {
            let age = now.since(held.obtained());
            (held, Source::Memory { age })
        }
        None => (asked, Source::Asked),
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("dns", &self.inner.dns)
            .field("fetch", &self.inner.fetch)
            .field("runtime", &self.inner.runtime)
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}
