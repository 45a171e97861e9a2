//! What a reply says: the chain of aliases from the name asked for, and what stands at its end.

use std::fmt::Write;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinDecodable;

use super::exchange::Inquiry;
use super::servers::{MALFORMED, Trouble};
use crate::core::dns::{DnsAnswer, DnsFailure, NoRecord, Records, SrvRecord};

/// How many aliases are followed for one question, over all its replies.
const MAX_ALIASES: usize = 16;
/// How many records are returned. What is asked for has a handful; a 64 KiB reply holds thousands.
pub(super) const MAX_RECORDS: usize = 256;

/// The aliases followed so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    aliases: usize,
    /// The least TTL of them.
    ttl: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Self { aliases: 0, ttl: u32::MAX }
    }
}

/// What a reply says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// This, and no more needs to be asked.
    Answer(DnsAnswer),
    /// The question's answer is that of this name, which the reply does not hold.
    Onward { name: Name, chain: Chain },
}

/// Reads a reply to the inquiry, at the end of the chain so far.
pub(super) fn read(
    message: &Message,
    inquiry: &Inquiry,
    mut chain: Chain,
) -> Result<Reading, Trouble> {
    let negative_ttl = soa_ttl(message);
    match message.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        ResponseCode::NotImp => {
            return Err(Trouble::NotImplemented { ttl: negative_ttl.map(seconds) });
        }
        ResponseCode::ServFail => return Err(Trouble::failed(DnsFailure::ServFail)),
        ResponseCode::Refused => return Err(Trouble::failed(DnsFailure::Refused)),
        _ => return Err(MALFORMED),
    }

    let mut name = inquiry.name.clone();
    let mut moved = false;
    let found = loop {
        let at_name = || answers(message).filter(|record| record.name == name);
        let found: Vec<&Record> =
            at_name().filter(|record| record.record_type() == inquiry.record_type).collect();
        if !found.is_empty() {
            break found;
        }
        let Some((target, ttl)) = at_name().find_map(cname).or_else(|| dname(message, &name))
        else {
            break found;
        };
        chain.aliases += 1;
        // A loop has no end either.
        if chain.aliases > MAX_ALIASES {
            return Err(MALFORMED);
        }
        chain.ttl = chain.ttl.min(ttl);
        name = target;
        moved = true;
    };

    // The code is that of the chain's end (RFC 6604 section 3), whatever else the reply holds.
    let kind = if message.response_code == ResponseCode::NXDomain {
        NoRecord::NxDomain
    } else if let Some(ttl) = found.iter().map(|record| record.ttl).min() {
        return Ok(Reading::Answer(DnsAnswer::Found {
            records: records(inquiry.record_type, &found),
            ttl: seconds(ttl.min(chain.ttl)),
            alias: chain.aliases > 0,
        }));
    } else if negative_ttl.is_some() {
        NoRecord::NoData
    } else if moved {
        return Ok(Reading::Onward { name, chain });
    } else if is_referral(message) {
        return Err(MALFORMED);
    } else {
        NoRecord::NoData
    };
    let ttl = negative_ttl.map(|ttl| seconds(ttl.min(chain.ttl)));
    Ok(Reading::Answer(DnsAnswer::None { kind, ttl }))
}

fn answers(message: &Message) -> impl Iterator<Item = &Record> {
    message.answers.iter().filter(|record| record.dns_class == DNSClass::IN)
}

/// Where a CNAME leads, and its TTL.
fn cname(record: &Record) -> Option<(Name, u32)> {
    match &record.data {
        RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
        _ => None,
    }
}

/// Where a DNAME above the name leads it, and its TTL. Servers are to add a CNAME that says the
/// same (RFC 6672 section 3.1), which was looked for first.
fn dname(message: &Message, name: &Name) -> Option<(Name, u32)> {
    answers(message).find_map(|record| {
        let RData::Unknown { code: RecordType::DNAME, rdata } = &record.data else { return None };
        let kept = name.iter().len().checked_sub(record.name.iter().len())?;
        if kept == 0 || !record.name.zone_of(name) {
            return None;
        }
        // Its target is never compressed (RFC 6672 section 2.5).
        let target = Name::from_bytes(&rdata.anything).ok()?;
        let name = Name::from_labels(name.iter().take(kept).chain(target.iter())).ok()?;
        Some((name, record.ttl))
    })
}

/// How long a negative reply holds, in seconds (RFC 2308 section 5).
fn soa_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    })
}

/// Whether the server, not being one that recurses, only names others to ask. That says nothing
/// about the question (RFC 2308 section 2.2).
fn is_referral(message: &Message) -> bool {
    !message.recursion_available
        && message.authorities.iter().any(|record| record.record_type() == RecordType::NS)
}

fn records(record_type: RecordType, found: &[&Record]) -> Records {
    let found = found.iter().take(MAX_RECORDS);
    if record_type == RecordType::SRV {
        Records::Srv(
            found
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(SrvRecord {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        target: spelled(&srv.target),
                    }),
                    _ => None,
                })
                .collect(),
        )
    } else {
        Records::Addresses(found.filter_map(|record| record.data.ip_addr()).collect())
    }
}

fn seconds(ttl: u32) -> Duration {
    // As large as it came: a set high bit makes it large, not negative (RFC 8767 section 4).
    Duration::from_secs(ttl.into())
}

/// The name in text, without the final dot, but `.` for the root. Whatever byte could be mistaken
/// for something else is escaped (RFC 1035 section 5.1), so that no two names are spelled alike.
fn spelled(name: &Name) -> String {
    if name.is_root() {
        return ".".to_owned();
    }
    let mut text = String::with_capacity(name.len());
    for (at, label) in name.iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for &byte in label {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                text.push(byte.into());
            } else {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    text
}
