//! Why a server name does not resolve, with the evidence.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::address_policy::BlockedRange;
use crate::core::blame::Blame;
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, DroppedSrv, Family, NoRecord, Service};
use crate::core::names::{DnsName, Host, ServerName, ServerNameError, UnresolvableName};
use crate::core::step::Step;
use crate::core::text::write_list;

/// Why a server name does not resolve.
///
/// If several causes from DNS apply at once, the error is the first in the order of the variants,
/// and its [`Evidence`] lists the others.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResolveError {
    /// The server name is not in the grammar.
    #[error("{:?} is not a Matrix server name", source.name())]
    InvalidServerName {
        /// What was given, what is wrong with it, and at which byte.
        #[from]
        source: ServerNameError,
    },
    /// The server name is in the grammar, but no host can be made of it.
    #[error(transparent)]
    UnresolvableName {
        /// The name, and why.
        #[from]
        source: UnresolvableName,
    },
    /// SRV says that the service is not offered: the only target is `.` (RFC 2782).
    #[error(
        "{name} says that it offers no Matrix federation: the only SRV record of {service}.{host} points to \".\" (step {step})"
    )]
    ServiceNotAvailable {
        /// The server name.
        name: ServerName,
        /// The step that decided.
        step: Step,
        /// The service.
        service: Service,
        /// The host that has the record.
        host: DnsName,
        /// Other facts about the endpoints.
        evidence: Box<Evidence>,
    },
    /// Every SRV record was unusable.
    #[error(
        "no SRV record of {service}.{host} for {name} can be used (step {step}): {}",
        List(&evidence.dropped)
    )]
    NoUsableEndpoint {
        /// The server name.
        name: ServerName,
        /// The step that decided.
        step: Step,
        /// The service.
        service: Service,
        /// The host that has the records.
        host: DnsName,
        /// The records, and why each cannot be used.
        evidence: Box<Evidence>,
    },
    /// DNS failed, and the configuration asks that this be an error.
    #[error(
        "looking up {question} for {name} failed (step {step}): {}",
        DnsAnswer::Failed { failure: *failure, detail: detail.clone() }
    )]
    DnsFailed {
        /// The server name.
        name: ServerName,
        /// The step that needed the answer.
        step: Step,
        /// What was asked.
        question: DnsQuestion,
        /// How it failed.
        failure: DnsFailure,
        /// Which DNS server did what, in words for people; may be empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
        /// Other facts about the endpoints.
        evidence: Box<Evidence>,
    },
    /// The address policy blocked an address, and there is no other.
    #[error(
        "{name} leads to {address}, which may not be connected to (step {step}): {range}; if it is meant to be reached, allow the range (`discovery.address_policy.allow`, `--allow`)"
    )]
    BlockedAddress {
        /// The server name.
        name: ServerName,
        /// The step that decided.
        step: Step,
        /// The host that has the address.
        host: Host,
        /// The address.
        address: IpAddr,
        /// The range it lies in.
        range: Box<BlockedRange>,
        /// Other facts about the endpoints.
        evidence: Box<Evidence>,
    },
    /// No endpoint has an address.
    #[error("no address is known for {name} (step {step}): {}", List(&evidence.hosts))]
    NoAddresses {
        /// The server name.
        name: ServerName,
        /// The step that decided.
        step: Step,
        /// Each host, with the answers of DNS.
        evidence: Box<Evidence>,
    },
    /// The time limit on the discovery passed.
    #[error("resolving {name} took longer than {} s; still waiting for {}", limit.as_secs_f32(), List(waiting_for))]
    DeadlineExceeded {
        /// The server name.
        name: ServerName,
        /// The limit.
        limit: Duration,
        /// The questions that were not answered yet.
        waiting_for: Vec<String>,
    },
    /// A limit of this resolver was reached. Temporary: try again later.
    #[error("{name} is not resolved now: {busy} (the limit is {limit})")]
    TooBusy {
        /// The server name.
        name: ServerName,
        /// What was busy.
        busy: Busy,
        /// The limit that was reached.
        limit: usize,
    },
    /// This machine could not ask: it has no socket or memory left, or no network. Temporary, and nothing
    /// is known of the name.
    #[error("{name} cannot be resolved now, since this machine could not ask for {what}: {cause}")]
    Local {
        /// The server name.
        name: ServerName,
        /// What was to be asked for: a question to DNS, or the well-known document of a host.
        what: String,
        /// Why that was not possible.
        cause: String,
    },
    /// An adapter (DNS, fetch or runtime) panicked or was shut down.
    #[error("resolving {name} was broken off: an adapter panicked or its runtime was shut down")]
    AdapterFailed {
        /// The server name.
        name: ServerName,
    },
}

/// Which limit on what a resolver does at once was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Busy {
    /// The limit on discoveries that run or wait.
    Discoveries,
    /// The limit on discoveries that run: no permit came in time.
    Turn,
    /// The limit on DNS questions in flight.
    Questions,
    /// The limit on fetches to the destination of the well-known that run or wait.
    Destination,
    /// The limit on discoveries that take long: others needed its permit.
    Slow,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discoveries => "too many discoveries are under way or wait for their turn",
            Self::Turn => "too many discoveries are under way, and its turn did not come in time",
            Self::Questions => "too many questions to DNS are under way",
            Self::Destination => "too many fetches go to the server of its well-known document",
            Self::Slow => "it took long, and gave way to others that take long",
        })
    }
}

/// What is known of the endpoints of a name that does not resolve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// Each host that was looked up.
    pub hosts: Vec<HostEvidence>,
    /// SRV records that were not used.
    pub dropped: Vec<DroppedSrv>,
    /// SRV look-ups that failed and were passed over. Whether there are such records is not known.
    pub failed: Vec<(DnsQuestion, DnsFailure)>,
}

/// What is known of the addresses of one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostEvidence {
    /// The host.
    pub host: DnsName,
    /// The answer of DNS for each family asked for.
    pub families: Vec<(Family, FamilyOutcome)>,
    /// Which DNS server did what, where look-ups failed; words for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Addresses that the policy blocked, at most the first four.
    pub blocked: Vec<(IpAddr, BlockedRange)>,
}

/// The answer of DNS for one address family of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FamilyOutcome {
    /// The number of addresses that the policy permits.
    Found(usize),
    /// There surely is none.
    None(NoRecord),
    /// The look-up failed, so it is not known.
    Failed(DnsFailure),
    /// No answer yet when the resolution ended.
    Late,
}

impl Evidence {
    /// Returns whether some look-up brought no answer, so that another try may find more.
    fn is_partial(&self) -> bool {
        let unknown = |outcome| matches!(outcome, FamilyOutcome::Failed(_) | FamilyOutcome::Late);
        let mut outcomes = self.hosts.iter().flat_map(|host| &host.families);
        !self.failed.is_empty() || outcomes.any(|(_, outcome)| unknown(*outcome))
    }
}

impl fmt::Display for FamilyOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(count) => write!(f, "{count} found"),
            Self::None(kind) => kind.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
            Self::Late => f.write_str("no answer yet"),
        }
    }
}

impl fmt::Display for HostEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        for (index, (family, outcome)) in self.families.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            write!(f, "{}: {outcome}", family.record_type())?;
        }
        for detail in &self.details {
            write!(f, "; {detail}")?;
        }
        f.write_str(if self.families.is_empty() { "" } else { ")" })?;
        for (address, range) in &self.blocked {
            write!(f, ", {address} blocked: {range}")?;
        }
        Ok(())
    }
}

/// Displays items with semicolons between them.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.0, "; ")?;
        if self.0.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

impl ResolveError {
    /// Returns the server name that does not resolve; `None` if the text is not a server name.
    pub const fn server_name(&self) -> Option<&ServerName> {
        match self {
            Self::InvalidServerName { .. } => None,
            Self::UnresolvableName { source } => Some(&source.name),
            Self::ServiceNotAvailable { name, .. }
            | Self::NoUsableEndpoint { name, .. }
            | Self::DnsFailed { name, .. }
            | Self::BlockedAddress { name, .. }
            | Self::NoAddresses { name, .. }
            | Self::DeadlineExceeded { name, .. }
            | Self::TooBusy { name, .. }
            | Self::Local { name, .. }
            | Self::AdapterFailed { name } => Some(name),
        }
    }

    /// Returns the error's name in `snake_case`, as in its JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidServerName { .. } => "invalid_server_name",
            Self::UnresolvableName { .. } => "unresolvable_name",
            Self::ServiceNotAvailable { .. } => "service_not_available",
            Self::NoUsableEndpoint { .. } => "no_usable_endpoint",
            Self::DnsFailed { .. } => "dns_failed",
            Self::BlockedAddress { .. } => "blocked_address",
            Self::NoAddresses { .. } => "no_addresses",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::TooBusy { .. } => "too_busy",
            Self::Local { .. } => "local",
            Self::AdapterFailed { .. } => "adapter_failed",
        }
    }

    /// Returns the step that decided, or that needed the missing answer, if one was reached.
    pub const fn step(&self) -> Option<Step> {
        match self {
            Self::ServiceNotAvailable { step, .. }
            | Self::NoUsableEndpoint { step, .. }
            | Self::DnsFailed { step, .. }
            | Self::BlockedAddress { step, .. }
            | Self::NoAddresses { step, .. } => Some(*step),
            Self::InvalidServerName { .. }
            | Self::UnresolvableName { .. }
            | Self::DeadlineExceeded { .. }
            | Self::TooBusy { .. }
            | Self::Local { .. }
            | Self::AdapterFailed { .. } => None,
        }
    }

    /// Returns whose fault the error is.
    ///
    /// | kind | blame |
    /// | --- | --- |
    /// | `invalid_server_name`, `unresolvable_name` | [`Blame::Name`] |
    /// | `service_not_available`, `no_usable_endpoint`, `blocked_address` | [`Blame::Server`], whose records say so |
    /// | `no_addresses` | [`Blame::Server`] where DNS said that there is none, [`Blame::Dns`] where some look-up failed |
    /// | `dns_failed` | [`Blame::Dns`] |
    /// | `deadline_exceeded` | [`Blame::Dns`]: a slow well-known has a limit of its own and is no error |
    /// | `too_busy`, `local`, `adapter_failed` | [`Blame::Local`] |
    pub fn blame(&self) -> Blame {
        match self {
            Self::InvalidServerName { .. } | Self::UnresolvableName { .. } => Blame::Name,
            Self::NoAddresses { evidence, .. } if evidence.is_partial() => Blame::Dns,
            Self::ServiceNotAvailable { .. }
            | Self::NoUsableEndpoint { .. }
            | Self::BlockedAddress { .. }
            | Self::NoAddresses { .. } => Blame::Server,
            Self::DnsFailed { .. } | Self::DeadlineExceeded { .. } => Blame::Dns,
            Self::TooBusy { .. } | Self::Local { .. } | Self::AdapterFailed { .. } => Blame::Local,
        }
    }

    /// Returns whether the name may resolve a little later without a change by its administrator.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::DnsFailed { .. }
            | Self::DeadlineExceeded { .. }
            | Self::TooBusy { .. }
            | Self::Local { .. }
            | Self::AdapterFailed { .. } => true,
            Self::NoAddresses { evidence, .. }
            | Self::BlockedAddress { evidence, .. }
            | Self::ServiceNotAvailable { evidence, .. }
            | Self::NoUsableEndpoint { evidence, .. } => evidence.is_partial(),
            Self::InvalidServerName { .. } | Self::UnresolvableName { .. } => false,
        }
    }
}
