//! A reply, as far as it can be read.
//!
//! The answer section stands by itself. Servers and what stands between get counts, OPT records and
//! other additional records wrong, and none of that makes an answer unreadable.

use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError, Restrict};

/// The length of a header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// The server does not speak this version of EDNS (RFC 6891 section 9).
const BADVERS: u16 = 16;
/// The types of records that are read, in the answer section.
const OF_USE: [RecordType; 5] =
    [RecordType::A, RecordType::AAAA, RecordType::CNAME, RecordType::DNAME, RecordType::SRV];

/// The fields of a header that are of use.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are bits of the header")]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) is_reply: bool,
    pub(super) is_query_op: bool,
    pub(super) truncated: bool,
    pub(super) authoritative: bool,
    pub(super) recursion_available: bool,
    /// The lower four bits of the response code.
    pub(super) code: u8,
    pub(super) questions: u16,
    answers: u16,
    authorities: u16,
    additionals: u16,
}

/// What a reply says.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: ResponseCode,
    /// Whether the server says neither that it is an authority for the name nor that it asks others, and
    /// only names other servers (RFC 2308 section 2.2) or adds nothing. The C library passes over such a
    /// reply without records, too.
    pub(super) is_lame: bool,
    /// The records of the answer section that are of class IN and of a type of use.
    pub(super) answers: Vec<Record>,
    /// How long a negative reply holds, in seconds (RFC 2308 section 5).
    pub(super) negative_ttl: Option<u32>,
    /// Whether there is an OPT record where it belongs.
    pub(super) has_opt: bool,
    /// Whether there is one in the answer section.
    opt_among_answers: bool,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[id_0, id_1, flags, more, rest @ ..] = bytes.first_chunk::<HEADER>()?;
        let [questions, answers, authorities, additionals] =
            [0, 2, 4, 6].map(|at| match rest.get(at..at + 2) {
                Some(&[high, low]) => u16::from_be_bytes([high, low]),
                _ => 0,
            });
        Some(Self {
            id: u16::from_be_bytes([id_0, id_1]),
            is_reply: flags & 0x80 != 0,
            is_query_op: flags & 0x78 == 0,
            truncated: flags & 0x02 != 0,
            authoritative: flags & 0x04 != 0,
            recursion_available: more & 0x80 != 0,
            code: more & 0x0f,
            questions,
            answers,
            authorities,
            additionals,
        })
    }

    /// Reads the questions, and leaves the decoder behind them.
    pub(super) fn read_questions(
        self,
        bytes: &[u8],
    ) -> Result<(Vec<Query>, BinDecoder<'_>), DecodeError> {
        let mut decoder = BinDecoder::new(bytes);
        decoder.read_slice(HEADER)?;
        let questions: Result<_, _> =
            (0..self.questions).map(|_| Query::read(&mut decoder)).collect();
        Ok((questions?, decoder))
    }

    /// Reads what follows the questions; fails only if nothing of the answer section can be read.
    pub(super) fn read_reply(self, mut decoder: BinDecoder<'_>) -> Result<Reply, DecodeError> {
        let mut reply = Reply {
            code: ResponseCode::from(0, self.code),
            is_lame: false,
            answers: Vec::new(),
            negative_ttl: None,
            has_opt: false,
            opt_among_answers: false,
        };
        let mut unreadable = None;
        for _ in 0..self.answers {
            let head = RecordHead::read(&mut decoder)?;
            reply.opt_among_answers |= head.record_type == RecordType::OPT;
            if OF_USE.contains(&head.record_type) && head.class == u16::from(DNSClass::IN) {
                match head.read_data(&decoder) {
                    Ok(data) => {
                        reply.answers.push(Record::from_rdata(head.name.clone(), head.ttl, data));
                    }
                    Err(error) => unreadable = Some(error),
                }
            }
            head.pass_over(&mut decoder)?;
        }
        // One odd record beside good ones is left out.
        if let Some(error) = unreadable
            && reply.answers.is_empty()
        {
            return Err(error);
        }
        // An error ends the reading, and what was read counts.
        let mut rest = Rest::default();
        let _ = reply.read_rest(self, &mut decoder, &mut rest);
        reply.is_lame = !self.authoritative
            && !self.recursion_available
            && (rest.names_servers || rest.additionals == 0);
        Ok(reply)
    }
}

/// What the sections behind the answers hold.
#[derive(Debug, Default)]
struct Rest {
    /// Whether the authority section names servers.
    names_servers: bool,
    /// How many additional records there are, OPT not counted.
    additionals: usize,
}

impl Reply {
    fn read_rest(
        &mut self,
        header: Header,
        decoder: &mut BinDecoder<'_>,
        rest: &mut Rest,
    ) -> Result<(), DecodeError> {
        for _ in 0..header.authorities {
            let head = RecordHead::read(decoder)?;
            if head.record_type == RecordType::SOA
                && self.negative_ttl.is_none()
                && let Ok(RData::SOA(soa)) = head.read_data(decoder)
            {
                self.negative_ttl = Some(head.ttl.min(soa.minimum));
            }
            rest.names_servers |= head.record_type == RecordType::NS;
            head.pass_over(decoder)?;
        }
        for _ in 0..header.additionals {
            let head = RecordHead::read(decoder)?;
            if head.record_type == RecordType::OPT {
                self.has_opt = true;
                // The upper bits of the code (RFC 6891 section 6.1.3).
                let [high, ..] = head.ttl.to_be_bytes();
                self.code = ResponseCode::from(high, header.code);
            } else {
                rest.additionals += 1;
            }
            head.pass_over(decoder)?;
        }
        Ok(())
    }

    /// Whether it says that there are records, or that there are none.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.code, ResponseCode::NoError | ResponseCode::NXDomain)
    }

    /// Whether it, being the reply to a question with OPT, suggests to ask without (RFC 6891 section
    /// 7). A server that sends OPT itself means what else it says.
    pub(super) fn rejects_edns(&self) -> bool {
        match self.code {
            ResponseCode::FormErr => true,
            ResponseCode::NotImp | ResponseCode::ServFail | ResponseCode::Refused => !self.has_opt,
            // The number has another name in signatures, so that the variant may be either.
            code => u16::from(code) == BADVERS || self.opt_among_answers,
        }
    }
}

/// A record up to its data.
struct RecordHead {
    name: Name,
    record_type: RecordType,
    class: u16,
    ttl: u32,
    length: u16,
}

impl RecordHead {
    fn read(decoder: &mut BinDecoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: Name::read(decoder)?,
            record_type: RecordType::read(decoder)?,
            class: u16::read(decoder)?,
            ttl: u32::read(decoder)?,
            length: u16::read(decoder)?,
        })
    }

    /// Reads the data behind it without moving the decoder.
    fn read_data(&self, decoder: &BinDecoder<'_>) -> Result<RData, DecodeError> {
        let at = u16::try_from(decoder.index()).map_err(|_| DecodeError::InsufficientBytes)?;
        RData::read(&mut decoder.clone(at), self.record_type, Restrict::new(self.length))
    }

    fn pass_over(&self, decoder: &mut BinDecoder<'_>) -> Result<(), DecodeError> {
        decoder.read_slice(self.length.into()).map(|_| ())
    }
}
