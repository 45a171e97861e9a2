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
use crate::core::cache::entry::Served;
use crate::core::cache::policy::WellKnownEntry;
use crate::core::config::Config;
use crate::core::error::ResolveError;
use crate::core::names::dns_name::DnsName;
use crate::core::names::server_name::ServerName;
use crate::core::report::{Report, Source, StepOutcome, WellKnownReport};
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::time::{Monotonic, Now};
use crate::core::warning::Warning;
use crate::core::well_known::document::WellKnown;
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
    Chain { chain: Option<Box<Chain>>, before: Option<Box<WellKnownEntry>> },
    /// It asks one question and is told the answer whole.
    Shared(Option<SharedWellKnown>),
}

#[derive(Debug)]
struct SharedWellKnown {
    host: DnsName,
    asked: Monotonic,
    answer: Option<Known>,
    /// How it was looked up just now.
    lookup: Option<Arc<WellKnownReport>>,
}

/// What is known of a well-known, and since when this machine has known it.
#[derive(Clone, Debug)]
struct Known {
    entry: WellKnownEntry,
    source: Source,
    at: Monotonic,
}

impl Known {
    /// What was found out just now.
    fn asked(entry: WellKnownEntry) -> Self {
        Self { at: entry.learnt(), source: Source::Asked, entry }
    }

    fn served(&self) -> Served<'_, WellKnown, WellKnownFailure> {
        ledger::served(&self.entry, self.source, self.at)
    }

    /// What a report says of it.
    fn result(&self) -> Result<ServerName, WellKnownFailure> {
        match self.served() {
            Served::Holds { value, .. } | Served::Stale { value, because: None, .. } => {
                Ok(value.server().clone())
            }
            Served::Stale { because: Some(why), .. } | Served::Failed { why, .. } => {
                Err(why.clone())
            }
        }
    }

    /// How long that counts, from when it was learnt.
    fn lifetime(&self) -> Duration {
        match self.entry.good_part().filter(|_| self.served().holds()) {
            Some(good) => good.terms.expires.since(good.obtained),
            None => self.entry.until().since(self.entry.learnt()),
        }
    }
}

impl SharedWellKnown {
    /// How much longer than the limit on a well-known its answer is waited for. Whoever looks it
    /// up keeps that limit and knows what to make of a time-out, which may be that an earlier
    /// answer stands in; this is for those who do not keep it.
    const BACKSTOP: Duration = Duration::from_secs(1);
}

impl WellKnownSource {
    fn poll(&mut self, ledger: &mut Ledger, host: &DnsName, now: Now) -> Poll<Known> {
        match self {
            Self::Chain { chain, before } => {
                let chain = chain.get_or_insert_with(|| {
                    let mut chain = Chain::new(host.clone());
                    if let Some(before) = before.take() {
                        chain.set_before(*before);
                    }
                    Box::new(chain)
                });
                chain.poll(ledger, now).map(|entry| Known::asked(entry.clone()))
            }
            Self::Shared(shared) => {
                let shared = shared.get_or_insert_with(|| {
                    let token = WellKnownToken(());
                    ledger.ask(Question::WellKnown { token, host: host.clone() });
                    SharedWellKnown {
                        host: host.clone(),
                        asked: now.monotonic,
                        answer: None,
                        lookup: None,
                    }
                });
                if let Some(answer) = &shared.answer {
                    return Poll::Ready(answer.clone());
                }
                let limit = ledger.config.time.well_known;
                let due = shared.asked + limit + SharedWellKnown::BACKSTOP;
                if now.monotonic < due {
                    ledger.wake_at(due);
                    return Poll::Pending;
                }
                let failure = WellKnownFailure::TimedOut { limit };
                let (config, random) = (&ledger.config, &mut ledger.random);
                let entry = WellKnownEntry::judge(None, Err(failure), now, config, random);
                Poll::Ready(shared.answer.insert(Known::asked(entry)).clone())
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
                let (lookup, answer) = (shared.lookup.as_deref(), shared.answer.as_ref());
                WellKnownReport {
                    host: shared.host.clone(),
                    source: answer.map_or(Source::Asked, |known| known.source),
                    started: lookup.map_or(started, |lookup| lookup.started),
                    dns: lookup.map(|lookup| lookup.dns.clone()).unwrap_or_default(),
                    hops: lookup.map(|lookup| lookup.hops.clone()).unwrap_or_default(),
                    result: answer.map(Known::result),
                    lifetime: answer.map(Known::lifetime),
                    failures: answer.map_or(0, |known| known.entry.failures()),
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
    pub fn with_earlier_well_known(mut self, before: WellKnownEntry) -> Self {
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
            rebuilt: false,
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
            Answer::WellKnown { token: _, entry, source, lookup } => {
                if let WellKnownSource::Shared(Some(shared)) = &mut self.well_known
                    && shared.answer.is_none()
                {
                    let answer = Known { entry, source, at: now.monotonic };
                    (shared.answer, shared.lookup) = (Some(answer), lookup);
                }
            }
            of_dns => self.ledger.handle(of_dns, now.monotonic),
        }
    }
}
