//! A question in the wire format, and which packets are a reply to it.

use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::config::DnsConfig;
use super::failure::{MALFORMED, ServerFailure};
use super::message::{Header, Reply};
use crate::core::dns::{DnsAnswer, DnsQuestion, Family, NoRecord};

/// What to ask the servers, and how.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) name: Name,
    pub(super) record_type: RecordType,
    pub(super) config: DnsConfig,
    /// How long a server may be silent before the question is sent to it again for the first time.
    pub(super) resend_after: Duration,
}

/// Parses a name as absolute, label by label: no escapes, no IDNA, no search domain.
pub(super) fn absolute(name: &str) -> Option<Name> {
    Name::from_labels(name.split('.').map(str::as_bytes)).ok()
}

/// Returns the name and the type to ask for; the error is the answer to what is never asked.
pub(super) fn to_ask(question: &DnsQuestion) -> Result<(Name, RecordType), DnsAnswer> {
    let none = |kind| DnsAnswer::None { kind, ttl: None };
    if question.host().is_onion() {
        return Err(none(NoRecord::Onion));
    }
    // A service's labels can make a host's name longer than any name in DNS.
    let name = absolute(&question.name()).ok_or_else(|| none(NoRecord::NxDomain))?;
    let record_type = match question {
        DnsQuestion::Addresses { family: Family::V4, .. } => RecordType::A,
        DnsQuestion::Addresses { family: Family::V6, .. } => RecordType::AAAA,
        DnsQuestion::Srv { .. } => RecordType::SRV,
    };
    Ok((name, record_type))
}

/// A question in the wire format, with a random id.
pub(super) struct Request {
    id: u16,
    question: Query,
    /// Whether it has an OPT record.
    pub(super) has_opt: bool,
    /// Whether the letters of its name are in random case.
    random_case: bool,
    pub(super) bytes: Vec<u8>,
}

/// What a packet is to a [`Request`].
pub(super) enum Packet {
    Reply(Box<Reply>),
    /// The reply did not fit, or is to be had over TCP for another reason.
    Truncated,
    /// It claims to be the reply, but cannot be parsed.
    Nonsense,
    /// Not about this question.
    Stray,
}

impl Request {
    /// Encodes the question, with or without EDNS (RFC 6891).
    pub(super) fn new(inquiry: &Inquiry, edns: bool) -> Result<Self, ServerFailure> {
        let random_case = inquiry.config.random_case;
        let mut name = inquiry.name.clone();
        if random_case {
            name.randomize_label_case();
        }
        let question = Query::query(name, inquiry.record_type);
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(question.clone());
        if edns {
            let mut edns = Edns::new();
            edns.set_max_payload(inquiry.config.edns_payload);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().map_err(|_| MALFORMED)?;
        Ok(Self { id: message.id, question, has_opt: edns, random_case, bytes })
    }

    /// Returns what a packet that came over UDP is to this request.
    pub(super) fn judge_udp(&self, bytes: &[u8]) -> Packet {
        self.judge(bytes, true)
    }

    /// Returns what a message that came over TCP is to this request. Nobody else can send on the
    /// connection, so the case of letters does not matter, and a message has room for all of a reply,
    /// whatever it says.
    pub(super) fn judge_tcp(&self, bytes: &[u8]) -> Packet {
        self.judge(bytes, false)
    }

    fn judge(&self, bytes: &[u8], over_udp: bool) -> Packet {
        let exact_case = over_udp && self.random_case;
        let Some(mut header) = Header::read(bytes) else { return Packet::Stray };
        let was_truncated = header.truncated;
        header.truncated &= over_udp;
        // With more than one question it is no reply to this request.
        if header.id != self.id || !header.is_reply || !header.is_query_op || header.questions > 1 {
            return Packet::Stray;
        }
        let (questions, rest) = match header.read_questions(bytes) {
            Ok(read) => read,
            // The cut may go through the middle of the question.
            Err(_) if header.truncated => return Packet::Truncated,
            Err(_) => return Packet::Nonsense,
        };
        let question = questions.first();
        if question.is_some_and(|question| !self.is_mine(question, exact_case)) {
            return Packet::Stray;
        }
        if header.truncated {
            return Packet::Truncated;
        }
        match header.read_reply(rest) {
            Ok(reply) if was_truncated && reply.answers.is_empty() => Packet::Nonsense,
            // A server that could not read the question, or did not care to, need not repeat it.
            Ok(reply) if question.is_none() && reply.is_answer() => Packet::Stray,
            // Nothing in it shows that it knows the case of the letters: over TCP, nobody else could have
            // sent it.
            Ok(_) if question.is_none() && exact_case => Packet::Truncated,
            Ok(reply) => Packet::Reply(Box::new(reply)),
            Err(_) => Packet::Nonsense,
        }
    }

    fn is_mine(&self, question: &Query, exact_case: bool) -> bool {
        *question == self.question && (!exact_case || question.name().eq_case(self.question.name()))
    }
}
