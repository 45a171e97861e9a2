//! The machine that finds out where a server name leads.
//!
//! `rules` holds every transition; `ledger` the facts they go by; `gather` the addresses of a
//! host; `chain` the well-known with its redirects; `lookup` the same by itself.

mod chain;
mod gather;
mod ledger;
pub(crate) mod lookup;
pub(crate) mod machine;
mod rules;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use self::chain::Chain;
use self::ledger::Ledger;
use self::machine::{Answer, Machine, Output, Question, WellKnownToken};
use self::rules::{Draft, Rules};
use crate::core::cache::well_known_answer::WellKnownAnswer;
use crate::core::config::Config;
use crate::core::error::ResolveError;
use crate::core::names::dns_name::DnsName;
use crate::core::names::server_name::ServerName;
use crate::core::report::{Report, Source, StepOutcome, WellKnownReport};
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::time::{Monotonic, Now};
use crate::core::warning::Warning;
use crate::core::well_known::failure::WellKnownFailure;

/// Finds out where a server name leads, without doing anything itself.
///
/// [`Machine`] says how to drive it, and what a late, repeated or unknown answer does.
///
/// # Guarantees
///
/// Whatever is answered, in whatever order: it ends within
/// [`TimeLimits::discovery`](crate::TimeLimits) of the driver's clock and after a number of
/// questions bounded by [`Limits`](crate::Limits); an IP literal or a port asks for no well-known
/// and no SRV; there is one delegation at most; a well-known that fails leads to step 4, never to
/// an error; no fetch and no endpoint has a blocked address.
#[derive(Debug)]
pub struct Discovery {
    name: ServerName,
    ledger: Ledger,
    well_known: WellKnownSource,
    outcome: Option<Outcome>,
    decided: Option<Step>,
    passed: Vec<(Step, StepOutcome)>,
    warnings: Vec<Warning>,
    last_step: Option<Step>,
}

/// How a discovery ends.
pub type Outcome = Result<Arc<DelegationTarget>, ResolveError>;

/// Where the machine has the well-known from.
#[derive(Debug)]
enum WellKnownSource {
    /// It goes from hop to hop itself.
    Chain { chain: Option<Box<Chain>>, before: Option<Box<WellKnownAnswer>> },
    /// It asks one question and is told the answer whole.
    Shared(Option<SharedWellKnown>),
}

#[derive(Debug)]
struct SharedWellKnown {
    host: DnsName,
    asked: Monotonic,
    answer: Option<Arc<WellKnownAnswer>>,
    source: Source,
    /// How it was looked up just now.
    lookup: Option<Arc<WellKnownReport>>,
}

impl SharedWellKnown {
    /// How much longer than the limit on a well-known its answer is waited for. Whoever looks it
    /// up keeps that limit and knows what to make of a time-out, which may be that an earlier
    /// answer stands in; this is for those who do not keep it.
    const BACKSTOP: Duration = Duration::from_secs(1);
}

impl WellKnownSource {
    fn poll(
        &mut self,
        ledger: &mut Ledger,
        host: &DnsName,
        now: Now,
    ) -> Poll<Arc<WellKnownAnswer>> {
        match self {
            Self::Chain { chain, before } => {
                let chain = chain.get_or_insert_with(|| {
                    let mut chain = Chain::new(host.clone());
                    if let Some(before) = before.take() {
                        chain.set_before(*before);
                    }
                    Box::new(chain)
                });
                chain.poll(ledger, now).map(|answer| Arc::new(answer.clone()))
            }
            Self::Shared(shared) => {
                let shared = shared.get_or_insert_with(|| {
                    let token = WellKnownToken(());
                    ledger.ask(Question::WellKnown { token, host: host.clone() });
                    SharedWellKnown {
                        host: host.clone(),
                        asked: now.monotonic,
                        answer: None,
                        source: Source::Asked,
                        lookup: None,
                    }
                });
                if let Some(answer) = &shared.answer {
                    return Poll::Ready(Arc::clone(answer));
                }
                let limit = ledger.config.time.well_known;
                let due = shared.asked + limit + SharedWellKnown::BACKSTOP;
                if now.monotonic < due {
                    ledger.wake_at(due);
                    return Poll::Pending;
                }
                let failure = WellKnownFailure::TimedOut { limit };
                let lifetimes = &ledger.config.well_known;
                let answer =
                    WellKnownAnswer::new(Err(failure), now, None, lifetimes, &mut ledger.random);
                Poll::Ready(Arc::clone(shared.answer.insert(Arc::new(answer))))
            }
        }
    }

    fn is_answered(&self) -> bool {
        match self {
            Self::Chain { chain, .. } => {
                chain.as_ref().is_some_and(|chain| chain.answer().is_some())
            }
            Self::Shared(shared) => shared.as_ref().is_some_and(|shared| shared.answer.is_some()),
        }
    }

    fn report(&self, started: Now) -> Option<WellKnownReport> {
        match self {
            Self::Chain { chain, .. } => Some(chain.as_ref()?.report(started)),
            Self::Shared(shared) => shared.as_ref().map(|shared| {
                let lookup = shared.lookup.as_deref();
                WellKnownReport {
                    host: shared.host.clone(),
                    source: shared.source,
                    started: lookup.map_or(started, |lookup| lookup.started),
                    dns: lookup.map(|lookup| lookup.dns.clone()).unwrap_or_default(),
                    hops: lookup.map(|lookup| lookup.hops.clone()).unwrap_or_default(),
                    result: shared.answer.as_deref().map(chain::result_of),
                    lifetime: shared.answer.as_deref().map(WellKnownAnswer::lifetime),
                    failures: shared.answer.as_deref().map_or(0, WellKnownAnswer::failures),
                }
            }),
        }
    }

    /// What is waited for, in words.
    fn open(&self) -> Option<String> {
        match self {
            Self::Chain { chain, .. } => chain.as_ref()?.open().map(|url| format!("GET {url}")),
            Self::Shared(shared) => shared
                .as_ref()
                .filter(|shared| shared.answer.is_none())
                .map(|shared| format!("the well-known of {}", shared.host)),
        }
    }
}

impl Discovery {
    /// A discovery that begins now. The seed draws the jitter of lifetimes; any number will do.
    pub fn new(name: ServerName, config: Arc<Config>, now: Now, seed: u64) -> Self {
        Self {
            name,
            ledger: Ledger::new(config, now, seed),
            well_known: WellKnownSource::Chain { chain: None, before: None },
            outcome: None,
            decided: None,
            passed: Vec::new(),
            warnings: Vec::new(),
            last_step: None,
        }
    }

    /// Tells which step decided the last time. What only another step would need is then not asked
    /// before it is known to be needed.
    #[must_use]
    pub fn with_last_step(mut self, step: Step) -> Self {
        self.last_step = Some(step);
        self
    }

    /// Tells what was known of the well-known before, so that a good answer stands in for a
    /// passing failure and failures back off.
    #[must_use]
    pub fn with_earlier_well_known(mut self, before: WellKnownAnswer) -> Self {
        self.well_known = WellKnownSource::Chain { chain: None, before: Some(Box::new(before)) };
        self
    }

    /// Asks for the well-known as a whole ([`Question::WellKnown`]), for drivers that share what
    /// they know of it between discoveries.
    #[must_use]
    pub fn with_shared_well_known(mut self) -> Self {
        self.well_known = WellKnownSource::Shared(None);
        self
    }

    /// The name that is resolved.
    pub const fn server_name(&self) -> &ServerName {
        &self.name
    }

    /// Everything asked, got, skipped and noticed so far.
    pub fn report(&self) -> Report {
        Report {
            server_name: self.name.clone(),
            started: self.ledger.started(),
            took: self
                .outcome
                .as_ref()
                .map(|_| self.ledger.since_start(self.ledger.now().monotonic)),
            steps: rules::steps(self.outcome.is_some(), self.decided, &self.passed, &self.name),
            dns: self.ledger.exchanges(),
            well_known: self.well_known.report(self.ledger.started()),
            warnings: self.warnings.clone(),
            error: self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).cloned(),
        }
    }

    /// What time it is, unless the discovery is over.
    fn running(&mut self, now: Now) -> Option<Now> {
        if self.outcome.is_some() { None } else { Some(self.ledger.clock(now)) }
    }

    fn advance(&mut self, now: Now) {
        let Some(now) = self.running(now) else { return };
        self.ledger.begin();
        let mut rules = Rules {
            name: &self.name,
            ledger: &mut self.ledger,
            well_known: &mut self.well_known,
            now,
            last_step: self.last_step,
            passed: Vec::new(),
            draft: Draft::default(),
        };
        let verdict = rules.read();
        self.passed = rules.passed;
        self.warnings = match &verdict {
            Poll::Ready(Ok(target)) => target.warnings().to_vec(),
            _ => rules.draft.warnings,
        };
        let outcome = match verdict {
            Poll::Ready(verdict) => verdict.map(Arc::new),
            Poll::Pending if self.ledger.missed() => {
                Err(ResolveError::AdapterFailed { name: self.name.clone() })
            }
            Poll::Pending => {
                let limit = self.ledger.config.time.discovery;
                let due = self.ledger.started().monotonic + limit;
                if now.monotonic < due {
                    self.ledger.wake_at(due);
                    return;
                }
                Err(ResolveError::DeadlineExceeded {
                    name: self.name.clone(),
                    limit,
                    waiting_for: self
                        .ledger
                        .open()
                        .map(ToString::to_string)
                        .chain(self.well_known.open())
                        .collect(),
                })
            }
        };
        self.decided = match &outcome {
            Ok(target) => Some(target.step()),
            Err(error) => error.step(),
        };
        self.outcome = Some(outcome);
    }
}

impl Machine for Discovery {
    type Done = Outcome;

    fn poll_output(&mut self, now: Now) -> Output<Outcome> {
        self.advance(now);
        if let Some(outcome) = &self.outcome {
            return Output::Done(outcome.clone());
        }
        self.ledger.next_output()
    }

    fn handle(&mut self, answer: Answer, now: Now) {
        let Some(now) = self.running(now) else { return };
        match answer {
            Answer::Fetch { token, result } => {
                let at = self.ledger.since_start(now.monotonic);
                if let WellKnownSource::Chain { chain: Some(chain), .. } = &mut self.well_known {
                    chain.handle(token, result, at);
                }
            }
            Answer::WellKnown { token: _, answer, source, lookup } => {
                if let WellKnownSource::Shared(Some(shared)) = &mut self.well_known
                    && shared.answer.is_none()
                {
                    (shared.answer, shared.source, shared.lookup) = (Some(answer), source, lookup);
                }
            }
            of_dns => self.ledger.handle(of_dns, now.monotonic),
        }
    }
}
