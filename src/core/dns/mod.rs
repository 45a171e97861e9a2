//! What is asked of DNS and what it may answer.
//!
//! Five things that are easily mixed up stay apart: no such name, no such record, a server that
//! does not implement the question, a server that failed, and silence.

pub(crate) mod records;
pub(crate) mod srv;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::names::dns_name::DnsName;

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
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other family.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The record type that carries addresses of this family.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// `_matrix-fed._tcp`, registered with IANA (spec v1.8, steps 3.3 and 4).
    MatrixFed,
    /// `_matrix._tcp`, deprecated (steps 3.4 and 5).
    Matrix,
}

impl Service {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; 2] = [Self::MatrixFed, Self::Matrix];

    /// The labels that stand before the host name.
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
/// use matrix_delegation::{DnsQuestion, Service};
///
/// let question = DnsQuestion::Srv { service: Service::MatrixFed, host: "m.example".parse()? };
/// assert_eq!(question.to_string(), "SRV _matrix-fed._tcp.m.example");
/// # Ok::<(), matrix_delegation::NotAHostName>(())
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
        /// The host that the service's labels are put before.
        host: DnsName,
    },
}

impl DnsQuestion {
    /// The name to ask for, in lower case, without a final dot; it is absolute all the same.
    pub fn name(&self) -> String {
        match self {
            Self::Addresses { host, .. } => host.as_str().to_owned(),
            Self::Srv { service, host } => format!("{service}.{host}"),
        }
    }

    /// The host asked about, without a service's labels.
    pub fn host(&self) -> &DnsName {
        match self {
            Self::Addresses { host, .. } | Self::Srv { host, .. } => host,
        }
    }

    /// `A`, `AAAA` or `SRV`.
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

/// One SRV record as it came (RFC 2782). Nothing has been checked yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SrvRecord {
    /// The lowest is tried first.
    pub priority: u16,
    /// The share of contacts among records of one priority.
    pub weight: u16,
    /// Where the service listens.
    pub port: u16,
    /// The host that offers the service, in DNS's own spelling, the final dot optional; `.` alone
    /// says that there is no such service.
    pub target: String,
}

/// The records of a positive answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// To [`DnsQuestion::Addresses`]; those of another family than asked for are ignored.
    Addresses(Vec<IpAddr>),
    /// To [`DnsQuestion::Srv`].
    Srv(Vec<SrvRecord>),
}

/// What DNS said.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsAnswer {
    /// There are records.
    Found {
        /// They, at least one. An empty list is read as [`NoRecord::NoData`].
        records: Records,
        /// The least TTL of the records and of every alias on the way to them.
        ttl: Duration,
        /// Whether a CNAME or DNAME was followed to get here.
        alias: bool,
    },
    /// There are none, and DNS is sure of it.
    None {
        /// In which way there are none.
        kind: NoRecord,
        /// The lesser of the SOA record's TTL and its MINIMUM field (RFC 2308 section 5); `None`
        /// where the answer carried no SOA record.
        ttl: Option<Duration>,
    },
    /// It is not known whether there are any.
    Failed {
        /// How it failed.
        failure: DnsFailure,
        /// Which server did what, in words for people; may be empty.
        detail: String,
    },
}

impl DnsAnswer {
    /// A failure without further words.
    pub const fn failed(failure: DnsFailure) -> Self {
        Self::Failed { failure, detail: String::new() }
    }
}

impl fmt::Display for DnsAnswer {
    /// For people: the records, or why there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { records, ttl, alias } => {
                match records {
                    Records::Addresses(addresses) => {
                        for (index, address) in addresses.iter().enumerate() {
                            let comma = if index == 0 { "" } else { ", " };
                            write!(f, "{comma}{address}")?;
                        }
                    }
                    Records::Srv(records) => {
                        for (index, record) in records.iter().enumerate() {
                            let comma = if index == 0 { "" } else { ", " };
                            let SrvRecord { priority, weight, port, target } = record;
                            write!(f, "{comma}{priority} {weight} {port} {target}")?;
                        }
                    }
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

/// How DNS says that there is no such record.
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
    /// It was not asked: names under `.onion` are not DNS's to answer (RFC 7686 section 2).
    #[error("not asked, because .onion names are not in DNS (RFC 7686)")]
    Onion,
}

/// Why DNS gave no answer either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
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
    /// The answer made no sense, or had another error code.
    #[error("the DNS answer was malformed or had an unexpected code")]
    Malformed,
}
