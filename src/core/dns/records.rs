//! What is remembered of an answer of DNS: put into order, bounded and packed.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, SrvRecord};

/// What DNS is sure of: the records, or that there are none.
///
/// Records are in the order of their use, each once, 64 at most. It takes 24 bytes and, for more than
/// one address, one block of memory; cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsRecords(Packed);

/// TTLs are whole seconds, as in DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Packed {
    Address { alias: bool, ttl: u32, address: IpAddr },
    Addresses { alias: bool, ttl: u32, addresses: Arc<[IpAddr]> },
    Srv { alias: bool, ttl: u32, records: Arc<[SrvRecord]> },
    None { kind: NoRecord, ttl: Option<u32> },
}

/// Why DNS gave no answer, with the words of the adapter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[error("{}", DnsAnswer::from(self.clone()))]
#[non_exhaustive]
pub struct DnsError {
    /// How it failed.
    pub failure: DnsFailure,
    /// Which server did what, in words for people; may be empty.
    pub detail: Box<str>,
}

/// How much is kept of what an adapter says of a look-up that failed, in characters.
const LONGEST_DETAIL: usize = 300;

impl DnsError {
    /// Returns the beginning of the adapter's words.
    pub(crate) fn excerpt(&self) -> String {
        self.detail.chars().take(LONGEST_DETAIL).collect()
    }
}

fn whole_seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(u64::from(ttl))
}

impl DnsRecords {
    /// More records than this of one answer are not kept; those are that would be used first.
    pub const MOST: usize = 64;

    /// Reads an answer to `question`.
    ///
    /// Addresses of another family than asked for are dropped, an empty answer is "no data", and an
    /// answer to another kind of question is malformed.
    pub fn new(question: &DnsQuestion, answer: DnsAnswer) -> Result<Self, DnsError> {
        let no_data = Packed::None { kind: NoRecord::NoData, ttl: None };
        let (records, ttl, alias) = match answer {
            DnsAnswer::Found { records, ttl, alias } => (records, whole_seconds(ttl), alias),
            DnsAnswer::None { kind, ttl } => {
                return Ok(Self(Packed::None { kind, ttl: ttl.map(whole_seconds) }));
            }
            DnsAnswer::Failed { failure, detail } => {
                return Err(DnsError { failure, detail: detail.into() });
            }
        };
        Ok(Self(match (question, records) {
            (DnsQuestion::Addresses { family, .. }, Records::Addresses(mut addresses)) => {
                addresses.retain(|address| Family::of(*address) == *family);
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(Self::MOST);
                match addresses[..] {
                    [] => no_data,
                    [address] => Packed::Address { alias, ttl, address },
                    _ => Packed::Addresses { alias, ttl, addresses: addresses.into() },
                }
            }
            (DnsQuestion::Srv { .. }, Records::Srv(mut records)) => {
                // As they are used: by priority, then by weight.
                records.sort_unstable_by(|a, b| {
                    let key = |it: &SrvRecord| (it.priority, Reverse(it.weight));
                    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
                });
                records.dedup();
                records.truncate(Self::MOST);
                if records.is_empty() {
                    no_data
                } else {
                    Packed::Srv { alias, ttl, records: records.into() }
                }
            }
            _ => return Err(DnsError { failure: DnsFailure::Malformed, detail: "".into() }),
        }))
    }

    /// Returns the addresses, ascending; empty for all else.
    pub fn addresses(&self) -> &[IpAddr] {
        match &self.0 {
            Packed::Address { address, .. } => slice::from_ref(address),
            Packed::Addresses { addresses, .. } => addresses,
            Packed::Srv { .. } | Packed::None { .. } => &[],
        }
    }

    /// Returns the SRV records by priority, then weight descending; empty for all else.
    pub fn srv(&self) -> &[SrvRecord] {
        match &self.0 {
            Packed::Srv { records, .. } => records,
            Packed::Address { .. } | Packed::Addresses { .. } | Packed::None { .. } => &[],
        }
    }

    /// Returns in which way there are no records; `None` where there are some.
    pub const fn none(&self) -> Option<NoRecord> {
        match &self.0 {
            Packed::None { kind, .. } => Some(*kind),
            Packed::Address { .. } | Packed::Addresses { .. } | Packed::Srv { .. } => None,
        }
    }

    /// Returns whether an alias was followed to get to the records.
    pub const fn is_alias(&self) -> bool {
        match &self.0 {
            Packed::Address { alias, .. }
            | Packed::Addresses { alias, .. }
            | Packed::Srv { alias, .. } => *alias,
            Packed::None { .. } => false,
        }
    }

    /// Returns the bytes that it holds on the heap.
    #[cfg(feature = "resolver")]
    pub(crate) fn heap(&self) -> usize {
        match &self.0 {
            Packed::Address { .. } | Packed::None { .. } => 0,
            Packed::Addresses { addresses, .. } => size_of_val(&**addresses) + 16,
            Packed::Srv { records, .. } => {
                let names: usize = records.iter().map(|record| record.target.capacity()).sum();
                size_of_val(&**records) + names + 16
            }
        }
    }
}

impl From<DnsRecords> for DnsAnswer {
    /// Packs an answer, with TTLs in whole seconds.
    fn from(records: DnsRecords) -> Self {
        let found = |records, ttl, alias| Self::Found { records, ttl: seconds(ttl), alias };
        match records.0 {
            Packed::Address { alias, ttl, address } => {
                found(Records::Addresses(vec![address]), ttl, alias)
            }
            Packed::Addresses { alias, ttl, addresses } => {
                found(Records::Addresses(addresses.to_vec()), ttl, alias)
            }
            Packed::Srv { alias, ttl, records } => {
                found(Records::Srv(records.to_vec()), ttl, alias)
            }
            Packed::None { kind, ttl } => Self::None { kind, ttl: ttl.map(seconds) },
        }
    }
}

impl From<DnsError> for DnsAnswer {
    fn from(error: DnsError) -> Self {
        Self::Failed { failure: error.failure, detail: error.detail.into() }
    }
}

impl fmt::Display for DnsRecords {
    /// Writes the records, or why there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DnsAnswer::from(self.clone()).fmt(f)
    }
}
