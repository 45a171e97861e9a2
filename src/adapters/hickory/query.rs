//! A question in the wire format, and which packets are a reply to it.

use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::config::DnsConfig;
use super::failure::{MALFORMED, ServerFailure};

/// The length of a header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;

/// What to ask the servers, and how.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) name: Name,
    pub(super) record_type: RecordType,
    pub(super) config: DnsConfig,
    /// How long a server may be silent before the question is sent to it again for the first time.
    pub(super) resend_after: Duration,
}

/// A question in the wire format, with a random id.
pub(super) struct Request {
    id: [u8; 2],
    question: Query,
    pub(super) bytes: Vec<u8>,
}

/// What a packet is to a [`Request`].
pub(super) enum Packet {
    Reply(Box<Message>),
    /// The reply did not fit.
    Truncated,
    /// It claims to be the reply, but cannot be parsed.
    Nonsense,
    /// Not about this question.
    Stray,
}

impl Request {
    /// Encodes the question, with or without EDNS (RFC 6891).
    pub(super) fn new(inquiry: &Inquiry, edns: bool) -> Result<Self, ServerFailure> {
        let question = Query::query(inquiry.name.clone(), inquiry.record_type);
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(question.clone());
        if edns {
            let mut edns = Edns::new();
            edns.set_max_payload(inquiry.config.edns_payload);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().map_err(|_| MALFORMED)?;
        Ok(Self { id: message.id.to_be_bytes(), question, bytes })
    }

    /// Returns what a packet is to this request.
    pub(super) fn judge(&self, bytes: &[u8]) -> Packet {
        let Some(&[id_0, id_1, flags, _, questions_0, questions_1, ..]) =
            bytes.first_chunk::<HEADER>()
        else {
            return Packet::Stray;
        };
        // QR says that it is a reply. With more than one question it is none to this request.
        if [id_0, id_1] != self.id
            || flags & 0x80 == 0
            || u16::from_be_bytes([questions_0, questions_1]) > 1
        {
            return Packet::Stray;
        }
        // The cut may go through the middle of a record, and then only the header can be read.
        let truncated = flags & 0x02 != 0;
        let message = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(_) if truncated => return Packet::Truncated,
            Err(_) => return Packet::Nonsense,
        };
        if truncated {
            return match message.queries.as_slice() {
                [question] if *question != self.question => Packet::Stray,
                _ => Packet::Truncated,
            };
        }
        let ours = match message.queries.as_slice() {
            [question] => *question == self.question,
            // A server that could not read the question, or did not care to, need not repeat it.
            _ => !matches!(message.response_code, ResponseCode::NoError | ResponseCode::NXDomain),
        };
        if ours && message.message_type == MessageType::Response && message.op_code == OpCode::Query
        {
            Packet::Reply(Box::new(message))
        } else {
            Packet::Stray
        }
    }
}
