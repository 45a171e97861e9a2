//! What a reply says: the chain of aliases from the name asked for, and the records at its end.

use std::fmt::Write;
use std::time::Duration;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinDecodable;

use super::failure::{OddReply, ServerFailure};
use super::message::Reply;
use super::query::Inquiry;
use crate::core::dns::{DnsAnswer, DnsFailure, NoRecord, Records, SrvRecord};

/// The aliases that were followed so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AliasChain {
    pub(super) aliases: usize,
    /// Their least TTL.
    pub(super) ttl: u32,
}

/// What follows from a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// This is the answer.
    Answer(DnsAnswer),
    /// The answer is that of this name, which the reply does not contain.
    Onward { name: Name, chain: AliasChain },
}

/// Reads a reply to the inquiry, which continues the chain of aliases so far.
pub(super) fn read(
    reply: &Reply,
    inquiry: &Inquiry,
    mut chain: AliasChain,
) -> Result<Conclusion, ServerFailure> {
    let negative_ttl = reply.negative_ttl;
    match reply.code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        ResponseCode::NotImp => {
            return Err(ServerFailure::NotImplemented { ttl: negative_ttl.map(seconds) });
        }
        ResponseCode::ServFail => return Err(ServerFailure::failed(DnsFailure::ServFail)),
        ResponseCode::Refused => return Err(ServerFailure::failed(DnsFailure::Refused)),
        code => return Err(ServerFailure::Odd(OddReply::Code(code.into()))),
    }

    let mut name = inquiry.name.clone();
    let mut moved = false;
    let found = loop {
        let at_name = || reply.answers.iter().filter(|record| record.name == name);
        let found: Vec<&Record> =
            at_name().filter(|record| record.record_type() == inquiry.record_type).collect();
        if !found.is_empty() {
            break found;
        }
        let Some((target, ttl)) = at_name().find_map(cname).or_else(|| dname(reply, &name)) else {
            break found;
        };
        chain.aliases += 1;
        // So a loop ends, too.
        if chain.aliases > inquiry.config.aliases {
            let most = inquiry.config.aliases;
            return Err(ServerFailure::Odd(OddReply::Aliases { most }));
        }
        chain.ttl = chain.ttl.min(ttl);
        name = target;
        moved = true;
    };

    // The code belongs to the chain's end (RFC 6604 section 3), whatever else the reply contains.
    let kind = if reply.code == ResponseCode::NXDomain {
        NoRecord::NxDomain
    } else if let Some(ttl) = found.iter().map(|record| record.ttl).min() {
        return Ok(Conclusion::Answer(DnsAnswer::Found {
            records: records(inquiry.record_type, &found, inquiry.config.records),
            ttl: seconds(ttl.min(chain.ttl)),
            alias: chain.aliases > 0,
        }));
    } else if negative_ttl.is_some() {
        NoRecord::NoData
    } else if moved {
        return Ok(Conclusion::Onward { name, chain });
    } else if reply.is_lame {
        // It says nothing about the question (RFC 2308 section 2.2): another server may.
        return Err(ServerFailure::Odd(OddReply::Lame));
    } else {
        NoRecord::NoData
    };
    let ttl = negative_ttl.map(|ttl| seconds(ttl.min(chain.ttl)));
    Ok(Conclusion::Answer(DnsAnswer::None { kind, ttl }))
}

/// Returns where a CNAME leads, and its TTL.
fn cname(record: &Record) -> Option<(Name, u32)> {
    match &record.data {
        RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
        _ => None,
    }
}

/// Returns where a DNAME above the name leads, and its TTL. Servers add an equivalent CNAME
/// (RFC 6672 section 3.1), which `read` looks for first.
fn dname(reply: &Reply, name: &Name) -> Option<(Name, u32)> {
    reply.answers.iter().find_map(|record| {
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

/// Returns the records of this type that were found, at most so many, as the core has them.
pub(super) fn records(record_type: RecordType, found: &[&Record], most: usize) -> Records {
    let found = found.iter().take(most);
    if record_type == RecordType::SRV {
        let found = found.filter_map(|record| {
            let RData::SRV(srv) = &record.data else { return None };
            let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
            Some(SrvRecord { priority, weight, port, target: spelled(&srv.target) })
        });
        Records::Srv(found.collect())
    } else {
        Records::Addresses(found.filter_map(|record| record.data.ip_addr()).collect())
    }
}

pub(super) fn seconds(ttl: u32) -> Duration {
    // A set high bit makes it large, not negative (RFC 8767 section 4).
    Duration::from_secs(ttl.into())
}

/// Returns the name as text: `.` for the root, else without the final dot. Bytes that could be
/// misread are escaped (RFC 1035 section 5.1), so that no two names have the same text.
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
