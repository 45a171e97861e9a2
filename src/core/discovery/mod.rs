//! The machine that finds out where a server name leads.
//!
//! `rules` holds every transition; `ledger` the facts they go by; `gather` the addresses of a
//! host; `chain` the well-known with its redirects; `lookup` the same by itself.

mod chain;
mod gather;
mod ledger;
pub(crate) mod lookup;
mod rules;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Response;

use self::chain::Chain;
use self::ledger::Ledger;
use self::rules::{Draft, Rules};
use crate::core::cache::dns_part::DnsPart;
use crate::core::cache::well_known_answer::WellKnownAnswer;
use crate::core::config::Config;
use crate::core::dns::{DnsAnswer, DnsQuestion};
use crate::core::error::ResolveError;
use crate::core::names::dns_name::DnsName;
use crate::core::names::server_name::ServerName;
use crate::core::report::{Report, Source, StepOutcome, WellKnownReport};
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::time::{Monotonic, Now};
use crate::core::warning::Warning;
use crate::core::well_known::failure::WellKnownFailure;
use crate::core::well_known::fetch::{Body, Fetch, FetchFailure};

/// Finds out where a server name leads, without doing anything itself.
///
/// # Driving it
///
/// 1. Make one with [`new`](Self::new): name, configuration, the time, a seed for jitter.
/// 2. Call [`poll_output`](Self::poll_output) with the time, again and again, until it says
///    [`Output::Wait`] or [`Output::Done`].
/// 3. For each [`Output::Ask`], set about answering the question. Several may be open at once.
/// 4. On [`Output::Wait`], wait for the first answer or for the time given, if one is.
/// 5. Hand each answer to [`handle_dns`](Self::handle_dns) or
///    [`handle_response`](Self::handle_response) with the token of its question, then go to 2.
/// 6. On [`Output::Done`], the rest of the open questions may be dropped.
///
/// Getters (`report`, `server_name`) may be called at any time and change nothing. Calling
/// `poll_output` more often than needed is harmless, after the end too: it repeats the outcome. An
/// answer that comes late or twice does nothing. A token belongs to the machine that gave it; the
/// others do not know it from their own. Time must not run backwards; if it does, it is taken to
/// stand still.
///
/// # Guarantees
///
/// Whatever is answered, in whatever order: it ends within
/// [`TimeLimits::discovery`](crate::TimeLimits) of the driver's clock and after a number of
/// questions bounded by [`Limits`](crate::Limits); an IP literal or a port asks for no well-known
/// and no SRV; there is one delegation at most; a well-known that fails leads to step 4, never to
/// an error; no fetch and no endpoint has a blocked address.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use matrix_delegation::{Config, Discovery, DnsAnswer, Now, Output, Question, Records};
///
/// let mut discovery =
///     Discovery::new("a.example:443".parse()?, Arc::new(Config::default()), Now::EPOCH, 0);
/// let target = loop {
///     match discovery.poll_output(Now::EPOCH) {
///         Output::Ask(Question::Dns { token, .. }) => {
///             let answer = DnsAnswer::Found {
///                 records: Records::Addresses(vec![[203, 0, 114, 7].into()]),
///                 ttl: Duration::from_secs(300),
///                 alias: false,
///             };
///             discovery.handle_dns(token, answer, Now::EPOCH);
///         }
///         Output::Done(outcome) => break outcome?,
///         other => panic!("a name with a port needs no more than DNS: {other:?}"),
///     }
/// };
/// assert_eq!(target.step().to_string(), "2");
/// assert_eq!(target.host_header(), "a.example:443");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// What a machine wants next.
#[derive(Debug)]
#[must_use]
pub enum Output<T> {
    /// Set about answering this.
    Ask(Question),
    /// Nothing to do until an answer comes, or until this time if one is given.
    Wait(Option<Monotonic>),
    /// It is over.
    Done(T),
}

/// A question, with the token that its answer hands back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Question {
    /// Ask DNS.
    Dns {
        /// For [`Discovery::handle_dns`].
        token: DnsToken,
        /// What to ask.
        question: DnsQuestion,
    },
    /// Fetch a URL.
    Fetch {
        /// For [`Discovery::handle_response`].
        token: FetchToken,
        /// What to fetch, where from, and under which limits.
        fetch: Box<Fetch>,
    },
    /// Find out about a host's well-known document by a [`WellKnownLookup`](crate::WellKnownLookup); only asked after
    /// [`Discovery::with_shared_well_known`].
    WellKnown {
        /// For [`Discovery::handle_well_known`].
        token: WellKnownToken,
        /// The host.
        host: DnsName,
    },
}

/// Ties a DNS answer to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DnsToken(usize);

/// Ties a response to its fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FetchToken(usize);

/// Ties a well-known answer to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WellKnownToken(());

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

    /// What to do next.
    pub fn poll_output(&mut self, now: Now) -> Output<Outcome> {
        self.advance(now);
        if let Some(outcome) = &self.outcome {
            return Output::Done(outcome.clone());
        }
        self.ledger.next_output()
    }

    /// Takes in what DNS said.
    pub fn handle_dns(&mut self, token: DnsToken, answer: DnsAnswer, now: Now) {
        let Some(now) = self.running(now) else { return };
        self.ledger.answer(token, answer, now.monotonic);
    }

    /// Takes in what DNS said with its lifetime settled: just now, or some time ago.
    pub fn handle_dns_part(
        &mut self,
        token: DnsToken,
        part: Arc<DnsPart>,
        source: Source,
        now: Now,
    ) {
        let Some(now) = self.running(now) else { return };
        self.ledger.answer_part(token, part, source, now.monotonic);
    }

    /// Takes in that no answer to this question will come, because the driver itself cannot go on
    /// with it. If the answer turns out to be needed, the discovery fails as
    /// [`ResolveError::AdapterFailed`]; one that was asked early may not be.
    pub fn give_up_dns(&mut self, token: DnsToken, now: Now) {
        let Some(_) = self.running(now) else { return };
        self.ledger.give_up(token);
    }

    /// Takes in a response, or why there was none.
    pub fn handle_response(
        &mut self,
        token: FetchToken,
        result: Result<Response<Body>, FetchFailure>,
        now: Now,
    ) {
        let Some(now) = self.running(now) else { return };
        let at = self.ledger.since_start(now.monotonic);
        if let WellKnownSource::Chain { chain: Some(chain), .. } = &mut self.well_known {
            chain.handle(token, result, at);
        }
    }

    /// Takes in what is known of the well-known: from memory, or by a look-up just now, whose story
    /// comes with it.
    pub fn handle_well_known(
        &mut self,
        _token: WellKnownToken,
        answer: Arc<WellKnownAnswer>,
        source: Source,
        lookup: Option<Arc<WellKnownReport>>,
        now: Now,
    ) {
        let Some(_) = self.running(now) else { return };
        if let WellKnownSource::Shared(Some(shared)) = &mut self.well_known
            && shared.answer.is_none()
        {
            shared.answer = Some(answer);
            shared.source = source;
            shared.lookup = lookup;
        }
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
