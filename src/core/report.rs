//! Everything that a resolution asked, received, skipped and noticed.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord};
use crate::core::error::ResolveError;
use crate::core::names::{DnsName, ServerName};
use crate::core::step::Step;
#[cfg(feature = "resolver")]
use crate::core::target::DelegationTarget;
use crate::core::text::{Causes, write_list};
use crate::core::time::Now;
use crate::core::warning::Warning;
use crate::core::well_known::{FetchFailure, Responder, WellKnownFailure, WellKnownUrl};

/// The report of one resolution: its questions, answers, steps and warnings. Times are counted from
/// its start.
///
/// `Display` prints it for people on several lines; serde stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The server name as asked.
    pub server_name: ServerName,
    /// When the resolution began.
    pub started: Now,
    /// How long it took; `None` while it runs.
    pub took: Option<Duration>,
    /// Every step of the specification in order, with what became of it.
    pub steps: Vec<StepReport>,
    /// Every question asked of DNS, in the order asked.
    pub dns: Vec<DnsExchange>,
    /// What was found out about the well-known, if it was asked for.
    pub well_known: Option<WellKnownReport>,
    /// What an administrator should look at.
    pub warnings: Vec<Warning>,
    /// Why it failed, if it did.
    pub error: Option<ResolveError>,
    /// Whether it was rebuilt from what memory holds, some time after the resolution. It then lacks
    /// look-ups whose answers memory no longer holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuilt: bool,
}

impl Report {
    /// Marks the report as rebuilt from memory.
    #[cfg(feature = "resolver")]
    pub(crate) fn rebuilt(mut self) -> Self {
        self.rebuilt = true;
        self
    }

    /// Reports what the target itself says, if memory holds nothing else of how it was found.
    #[cfg(feature = "resolver")]
    pub(crate) fn of_target(target: &DelegationTarget) -> Self {
        let steps = Step::ALL.map(|step| {
            let decided = target.step() == step;
            let skipped = StepOutcome::Skipped(SkipReason::NotRemembered);
            StepReport { step, outcome: if decided { StepOutcome::Decided } else { skipped } }
        });
        let warnings = target.warnings().cloned().collect();
        Self { steps: steps.into(), warnings, ..Self::of_rule(target) }.rebuilt()
    }

    /// Reports a target that a rule of the application set, so that no question was asked.
    #[cfg(feature = "resolver")]
    pub(crate) fn of_rule(target: &DelegationTarget) -> Self {
        let outcome = StepOutcome::Skipped(SkipReason::Rule);
        let steps = Step::ALL.map(|step| StepReport { step, outcome: outcome.clone() });
        Self {
            server_name: target.server_name().clone(),
            started: target.decided(),
            took: Some(Duration::ZERO),
            steps: steps.into(),
            dns: Vec::new(),
            well_known: None,
            warnings: Vec::new(),
            error: None,
            rebuilt: false,
        }
    }
}

/// A step and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// Its outcome.
    pub outcome: StepOutcome,
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// It decided, with or without success.
    Decided,
    /// It was passed because its SRV records were looked up and do not exist.
    NoSrvRecord(NoRecord),
    /// It was passed because its SRV look-up failed.
    SrvLookupFailed(DnsFailure),
    /// It was not reached.
    Skipped(SkipReason),
}

/// Why a step was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipReason {
    /// The host is not an IP literal.
    NotAnIpLiteral,
    /// The name has no port.
    NoPort,
    /// There is no valid well-known document.
    NoWellKnown,
    /// The well-known document delegates to another kind of name.
    OtherDelegation,
    /// The well-known document delegates.
    Delegated,
    /// An earlier step decided.
    DecidedEarlier,
    /// Its SRV records are not asked for, because .onion names are not in DNS (RFC 7686).
    Onion,
    /// A rule of the application decided.
    Rule,
    /// Memory does not say what came of it.
    NotRemembered,
    /// The resolution ended before it was reached.
    Ended,
    /// The resolution is still under way.
    NotYet,
}

impl fmt::Display for StepOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided => f.write_str("decided"),
            Self::NoSrvRecord(kind) => write!(f, "passed: no SRV record: {kind}"),
            Self::SrvLookupFailed(failure) => write!(f, "passed: {failure}"),
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnIpLiteral => "not an IP literal",
            Self::NoPort => "the name has no port",
            Self::NoWellKnown => "there is no valid well-known document",
            Self::OtherDelegation => "the delegated name is of another kind",
            Self::Delegated => "the well-known document delegates",
            Self::DecidedEarlier => "an earlier step decided",
            Self::Onion => ".onion names are not in DNS (RFC 7686)",
            Self::Rule => "a rule of the application decided",
            Self::NotRemembered => "not remembered",
            Self::Ended => "the resolution ended before",
            Self::NotYet => "not reached yet",
        })
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// It was asked for by this resolution, or by another one at the same time.
    Asked,
    /// It comes from memory.
    Memory {
        /// The age of the answer.
        age: Duration,
    },
}

/// A question to DNS and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DnsExchange {
    /// The question.
    pub question: DnsQuestion,
    /// When it was asked.
    pub asked: Duration,
    /// When it was answered; `None` if nobody waited until then.
    pub answered: Option<Duration>,
    /// The answer; a time-out if the time limit passed.
    pub answer: Option<DnsAnswer>,
    /// Where the answer came from.
    pub source: Source,
}

/// What was found out about a well-known document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WellKnownReport {
    /// The host it was asked of.
    pub host: DnsName,
    /// Where the answer came from.
    pub source: Source,
    /// When the look-up began, which other resolutions may share. The times below are counted from
    /// then.
    pub started: Now,
    /// The DNS questions of the look-up. Empty if it came from memory, or if the resolution asked
    /// them itself and lists them itself.
    pub dns: Vec<DnsExchange>,
    /// Each exchange, redirects included. Empty if it came from memory.
    pub hops: Vec<Hop>,
    /// What `m.server` says, or why there is no valid document; `None` while it runs.
    pub result: Option<Result<ServerName, WellKnownFailure>>,
    /// How long the answer holds; `None` while the look-up runs.
    pub lifetime: Option<Duration>,
    /// How many fetches have failed in a row, this one included.
    pub failures: u32,
}

/// One exchange on the way to a well-known document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hop {
    /// What was fetched.
    pub url: WellKnownUrl,
    /// The addresses, in the order to try. Empty if none was known in time.
    pub addresses: Vec<SocketAddr>,
    /// When the fetch began; `None` if it never did.
    pub asked: Option<Duration>,
    /// When it ended.
    pub answered: Option<Duration>,
    /// What came of it; `None` while it runs.
    pub outcome: Option<HopOutcome>,
    /// Who answered in the server's place, as far as the response shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responder: Option<Responder>,
}

/// The outcome of an exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HopOutcome {
    /// A response.
    Response {
        /// Its status.
        status: u16,
    },
    /// No response.
    Failed(FetchFailure),
}

/// Displays the age of an answer, if it comes from memory.
struct Remembered(Source);

impl fmt::Display for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Asked => Ok(()),
            Source::Memory { age } => write!(f, " (remembered for {} s)", age.as_secs()),
        }
    }
}

/// Displays a time since the start, in milliseconds.
struct At(Option<Duration>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, "{:>5} ms", at.as_millis()),
            None => f.write_str("        "),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rebuilt = if self.rebuilt { " (made again from memory)" } else { "" };
        writeln!(f, "{}{rebuilt}", self.server_name)?;
        writeln!(f, "  steps")?;
        for StepReport { step, outcome } in &self.steps {
            writeln!(f, "    {:<4}{outcome}", step.number())?;
        }
        if !self.dns.is_empty() {
            writeln!(f, "  asked of DNS (asked, answered)")?;
        }
        for exchange in &self.dns {
            exchange.fmt(f)?;
        }
        if let Some(well_known) = &self.well_known {
            well_known.fmt(f)?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        if let Some(error) = &self.error {
            writeln!(f, "  error: {}", Causes(error))?;
        }
        Ok(())
    }
}

impl WellKnownReport {
    /// Returns the hosts that redirects led to, each once.
    #[cfg(feature = "resolver")]
    pub(crate) fn redirected_to(&self, host: &DnsName) -> Box<[DnsName]> {
        let mut hosts: Vec<DnsName> = Vec::new();
        for hop in self.hops.iter().filter_map(|hop| hop.url.host().as_dns()) {
            if hop != host && !hosts.contains(hop) {
                hosts.push(hop.clone());
            }
        }
        hosts.into()
    }
}

impl fmt::Display for DnsExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, answered) = (At(Some(self.asked)), At(self.answered));
        write!(f, "    {asked} {answered}  {}: ", self.question)?;
        match &self.answer {
            Some(answer) => writeln!(f, "{}{}", answer, Remembered(self.source)),
            None => writeln!(f, "not waited for"),
        }
    }
}

impl fmt::Display for WellKnownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  well-known of {}{}", self.host, Remembered(self.source))?;
        for exchange in &self.dns {
            exchange.fmt(f)?;
        }
        for hop in &self.hops {
            write!(f, "    {} {}  GET {}", At(hop.asked), At(hop.answered), hop.url)?;
            f.write_str(if hop.addresses.is_empty() { "" } else { " at " })?;
            write_list(f, &hop.addresses, ", ")?;
            match &hop.outcome {
                Some(HopOutcome::Response { status }) => match &hop.responder {
                    Some(responder) => writeln!(f, ": {status}, from {responder}")?,
                    None => writeln!(f, ": {status}")?,
                },
                Some(HopOutcome::Failed(failure)) => writeln!(f, ": {failure}")?,
                None if hop.asked.is_some() => writeln!(f, ": not waited for")?,
                None => writeln!(f, ": not fetched")?,
            }
        }
        match &self.result {
            Some(Ok(server)) => write!(f, "    delegates to {server}")?,
            Some(Err(failure)) => write!(f, "    no valid document: {}", Causes(failure))?,
            None => write!(f, "    not waited for")?,
        }
        match self.lifetime {
            Some(lifetime) => writeln!(f, "; holds for {} s", lifetime.as_secs()),
            None => writeln!(f),
        }
    }
}
