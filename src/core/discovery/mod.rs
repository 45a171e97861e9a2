//! The machine that resolves a server name.
//!
//! | file | subject |
//! | --- | --- |
//! | `machine` | the trait, and what passes between a machine and its driver |
//! | `rules` | every transition of a discovery |
//! | `facts` | the questions and answers that the rules read |
//! | `host_addresses` | the addresses of one host |
//! | `well_known_source` | where a discovery gets the well-known document from |
//! | `fetch_chain` | the fetch of that document, with redirects and retries |
//! | `lookup` | the look-up of the document by itself |

mod facts;
mod fetch_chain;
mod host_addresses;
mod lookup;
mod machine;
mod rules;
mod well_known_source;

use std::sync::Arc;
use std::task::Poll;

use self::facts::Facts;
pub use self::lookup::WellKnownLookup;
pub use self::machine::{Answer, DnsToken, FetchToken, Machine, Output, Question, WellKnownToken};
use self::rules::{Draft, Reading};
use self::well_known_source::WellKnownSource;
use crate::core::cache::WellKnownEntry;
use crate::core::config::Config;
use crate::core::error::ResolveError;
use crate::core::names::ServerName;
use crate::core::report::{Report, StepOutcome};
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::time::Now;
use crate::core::warning::Warning;

/// Resolves a server name without performing any I/O itself.
///
/// [`Machine`] says how to drive it, and what a late, repeated or unknown answer does.
///
/// # Guarantees
///
/// Whatever is answered, in whatever order: it ends within
/// [`TimeLimits::discovery`](crate::config::TimeLimits) of the driver's clock and after a number of
/// questions bounded by [`Limits`](crate::config::Limits); an IP literal or a port asks for no
/// well-known and no SRV; there is one delegation at most; a well-known that fails leads to step 4,
/// never to an error; no fetch and no endpoint has a blocked address.
#[derive(Debug)]
pub struct Discovery {
    name: ServerName,
    facts: Facts,
    well_known: WellKnownSource,
    outcome: Option<Outcome>,
    decided: Option<Step>,
    passed: Vec<(Step, StepOutcome)>,
    warnings: Vec<Warning>,
    last_step: Option<Step>,
}

/// How a discovery ends.
pub type Outcome = Result<Arc<DelegationTarget>, ResolveError>;

impl Discovery {
    /// Creates a discovery that begins now. The seed draws the jitter of lifetimes; any number will
    /// do.
    pub fn new(name: ServerName, config: Arc<Config>, now: Now, seed: u64) -> Self {
        Self {
            name,
            facts: Facts::new(config, now, seed),
            well_known: WellKnownSource::Fetched { chain: None, before: None },
            outcome: None,
            decided: None,
            passed: Vec::new(),
            warnings: Vec::new(),
            last_step: None,
        }
    }

    /// Sets the step that decided the last time. Questions that only another step needs are then not
    /// asked early.
    #[must_use]
    pub fn with_last_step(mut self, step: Step) -> Self {
        self.last_step = Some(step);
        self
    }

    /// Sets what was known of the well-known before, so that a good answer is used while failures
    /// are temporary, and repeated failures back off.
    #[must_use]
    pub fn with_earlier_well_known(mut self, before: WellKnownEntry) -> Self {
        self.well_known = WellKnownSource::Fetched { chain: None, before: Some(Box::new(before)) };
        self
    }

    /// Asks for the well-known document as a whole
    /// ([`Question::WellKnown`](crate::discovery::Question::WellKnown)), for drivers that share
    /// what they know of it between discoveries.
    #[must_use]
    pub fn with_shared_well_known(mut self) -> Self {
        self.well_known = WellKnownSource::Shared(None);
        self
    }

    /// Returns the name that is resolved.
    pub const fn server_name(&self) -> &ServerName {
        &self.name
    }

    /// Returns what was asked, answered and skipped so far, with all warnings.
    pub fn report(&self) -> Report {
        Report {
            server_name: self.name.clone(),
            started: self.facts.started(),
            took: self.outcome.as_ref().map(|_| self.facts.since_start(self.facts.now().monotonic)),
            steps: rules::steps(self.outcome.is_some(), self.decided, &self.passed, &self.name),
            dns: self.facts.exchanges(),
            well_known: self.well_known.report(self.facts.started()),
            warnings: self.warnings.clone(),
            error: self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).cloned(),
            rebuilt: false,
        }
    }

    /// Returns the machine's time, unless the discovery has ended.
    fn running(&mut self, now: Now) -> Option<Now> {
        if self.outcome.is_some() { None } else { Some(self.facts.clock(now)) }
    }

    /// Reads the rules until they decide or need an answer.
    fn advance(&mut self, now: Now) {
        let Some(now) = self.running(now) else { return };
        self.facts.begin();
        let mut reading = Reading {
            name: &self.name,
            facts: &mut self.facts,
            well_known: &mut self.well_known,
            now,
            last_step: self.last_step,
            passed: Vec::new(),
            draft: Draft::default(),
        };
        let verdict = reading.read();
        self.passed = reading.passed;
        self.warnings = match &verdict {
            Poll::Ready(Ok(target)) => target.warnings().cloned().collect(),
            _ => reading.draft.warnings,
        };
        let outcome = match verdict {
            Poll::Ready(verdict) => verdict.map(Arc::new),
            Poll::Pending if self.facts.missed() => {
                Err(ResolveError::AdapterFailed { name: self.name.clone() })
            }
            Poll::Pending => {
                let limit = self.facts.config.time.discovery;
                let due = self.facts.started().monotonic + limit;
                if now.monotonic < due {
                    self.facts.wake_at(due);
                    return;
                }
                Err(ResolveError::DeadlineExceeded {
                    name: self.name.clone(),
                    limit,
                    waiting_for: self
                        .facts
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
        self.facts.next_output()
    }

    fn handle(&mut self, answer: Answer, now: Now) {
        let Some(now) = self.running(now) else { return };
        match answer {
            Answer::Fetch { .. } | Answer::WellKnown { .. } => {
                self.well_known.handle(answer, &self.facts, now.monotonic);
            }
            Answer::Dns { .. } | Answer::DnsEntry { .. } | Answer::NoDns { .. } => {
                self.facts.handle(answer, now.monotonic);
            }
        }
    }
}
