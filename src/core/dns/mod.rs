//! Questions to DNS and its answers.
//!
//! Five outcomes stay apart: no such name, no such record, a server that does not implement the
//! question, a server that failed, and no answer in time.

mod records;
mod srv;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::records::{DnsError, DnsRecords};
pub use self::srv::{DroppedSrv, SrvDropReason, SrvSet, SrvTarget, select_by_weight};
pub(crate) use self::srv::{SplitMix64, WeightedOrder};
use crate::core::names::DnsName;
use crate::core::text::write_list;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4, asked for with A.
    V4,
    /// IPv6, asked for with AAAA.
    V6,
}

impl Family {
    /// Every family, in the order in which they are asked for.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Returns the family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Returns the other family.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Returns the type of the records that carry addresses of this family.
    pub const fn record_type(self) -> &'static str {
        match self {
            Self::V4 => "A",
            Self::V6 => "AAAA",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A service whose SRV records point at Matrix servers.
// A new service needs a place in `ALL`, a prefix, and steps of its own in `core/step.rs`. The compiler
// then asks what endpoints those steps lead to (`core/target.rs`) and how its look-ups are counted
// (`resolver/counters.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// `_matrix-fed._tcp`, registered with IANA (spec v1.8, steps 3.3 and 4).
    MatrixFed,
    /// `_matrix._tcp`, deprecated (steps 3.4 and 5).
    Matrix,
}

impl Service {
    /// Every service, in the order in which their records are looked for: those of one count only
    /// where the services before it have none.
    pub const ALL: [Self; 2] = [Self::MatrixFed, Self::Matrix];

    /// Returns the labels that precede the host name.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::MatrixFed => "_matrix-fed._tcp",
            Self::Matrix => "_matrix._tcp",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.prefix())
    }
}

/// One question for DNS. Names are absolute: search domains never apply.
///
/// ```
/// use matrix_delegation::dns::{DnsQuestion, Service};
///
/// let question = DnsQuestion::Srv { service: Service::MatrixFed, host: "m.example".parse()? };
/// assert_eq!(question.to_string(), "SRV _matrix-fed._tcp.m.example");
/// # Ok::<(), matrix_delegation::names::NotAHostName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsQuestion {
    /// The addresses of a host, of one family.
    Addresses {
        /// The host.
        host: DnsName,
        /// A or AAAA.
        family: Family,
    },
    /// The SRV records of a service at a host.
    Srv {
        /// The service.
        service: Service,
        /// The host, without the service's labels.
        host: DnsName,
    },
}

impl DnsQuestion {
    /// Returns the name to ask for, in lower case and without the final dot. It is absolute.
    pub fn name(&self) -> String {
        match self {
            Self::Addresses { host, .. } => host.as_str().to_owned(),
            Self::Srv { service, host } => format!("{service}.{host}"),
        }
    }

    /// Returns the host that the question is about, without a service's labels.
    pub fn host(&self) -> &DnsName {
        match self {
            Self::Addresses { host, .. } | Self::Srv { host, .. } => host,
        }
    }

    /// Returns `A`, `AAAA` or `SRV`.
    pub const fn record_type(&self) -> &'static str {
        match self {
            Self::Addresses { family, .. } => family.record_type(),
            Self::Srv { .. } => "SRV",
        }
    }
}

impl fmt::Display for DnsQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { host, family } => write!(f, "{} {host}", family.record_type()),
            Self::Srv { service, host } => write!(f, "SRV {service}.{host}"),
        }
    }
}

/// One SRV record as DNS returned it (RFC 2782), unchecked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SrvRecord {
    /// The priority. The lowest is tried first.
    pub priority: u16,
    /// The weight: the share of contacts among records of equal priority.
    pub weight: u16,
    /// The port that the service listens on.
    pub port: u16,
    /// The host that offers the service, as DNS spells it; the final dot is optional. `.` alone means
    /// that there is no such service.
    pub target: String,
}

impl fmt::Display for SrvRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, weight, port, target } = self;
        write!(f, "{priority} {weight} {port} {target}")
    }
}

/// The records of a positive answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// The answer to [`DnsQuestion::Addresses`]. Addresses of another family than asked for are
    /// ignored.
    Addresses(Vec<IpAddr>),
    /// The answer to [`DnsQuestion::Srv`].
    Srv(Vec<SrvRecord>),
}

/// An answer of DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsAnswer {
    /// There are records.
    Found {
        /// The records. An empty list is read as [`NoRecord::NoData`].
        records: Records,
        /// The least TTL of the records and of every alias that led to them.
        ttl: Duration,
        /// Whether a CNAME or DNAME was followed.
        alias: bool,
    },
    /// DNS says that there are no records.
    None {
        /// How DNS says that there are none.
        kind: NoRecord,
        /// The lesser of the SOA record's TTL and its MINIMUM field (RFC 2308 section 5); `None`
        /// where the answer carried no SOA record.
        ttl: Option<Duration>,
    },
    /// The look-up failed. Whether there are records is unknown.
    Failed {
        /// How the look-up failed.
        failure: DnsFailure,
        /// What each server did, in words for people. May be empty.
        detail: String,
    },
}

impl DnsAnswer {
    /// Creates a failure without detail.
    pub const fn failed(failure: DnsFailure) -> Self {
        Self::Failed { failure, detail: String::new() }
    }
}

impl fmt::Display for DnsAnswer {
    /// Writes the records or the reason why there are none, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { records, ttl, alias } => {
                match records {
                    Records::Addresses(addresses) => write_list(f, addresses, ", ")?,
                    Records::Srv(records) => write_list(f, records, ", ")?,
                }
                write!(f, "; TTL {} s", ttl.as_secs())?;
                if *alias { f.write_str(", through an alias") } else { Ok(()) }
            }
            Self::None { kind, ttl } => {
                write!(f, "{kind}")?;
                match ttl {
                    Some(ttl) => write!(f, "; TTL {} s", ttl.as_secs()),
                    None => Ok(()),
                }
            }
            Self::Failed { failure, detail } if detail.is_empty() => failure.fmt(f),
            Self::Failed { failure, detail } => write!(f, "{failure}: {detail}"),
        }
    }
}

/// The way in which DNS says that there is no such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoRecord {
    /// The name does not exist (NXDOMAIN).
    #[error("no such name (NXDOMAIN)")]
    NxDomain,
    /// The name exists, but has no record of this type.
    #[error("no such record (NODATA)")]
    NoData,
    /// The server does not implement the question (NOTIMP).
    #[error("the DNS server does not implement this question (NOTIMP)")]
    NotImplemented,
    /// The question was not asked, because names under `.onion` are not in DNS (RFC 7686 section 2).
    #[error("not asked, because .onion names are not in DNS (RFC 7686)")]
    Onion,
}

/// The reason why a DNS look-up failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DnsFailure {
    /// The server could not answer (SERVFAIL).
    #[error("the DNS server failed (SERVFAIL)")]
    ServFail,
    /// The server refused to answer (REFUSED).
    #[error("the DNS server refused (REFUSED)")]
    Refused,
    /// No answer in time.
    #[error("no DNS answer in time")]
    Timeout,
    /// The server could not be reached.
    #[error("the DNS server could not be reached")]
    Network,
    /// The answer was malformed, or had an unexpected code.
    #[error("the DNS answer was malformed or had an unexpected code")]
    Malformed,
    /// This machine could not ask: it has no socket or memory left, or no network. That says nothing about
    /// the name, decides no step, and is not remembered as an answer.
    #[error("this machine could not ask")]
    Local,
}
