//! The DNS server: a table, read as a recursor would answer from it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use super::Log;

/// The TTL of records that are given none, in seconds.
pub const DNS_TTL: u32 = 300;
/// How long a "no" holds, in seconds: the SOA record's MINIMUM, which is below that record's own TTL
/// (RFC 2308 section 5).
pub const NEGATIVE_TTL: u32 = 600;
const SOA_TTL: u32 = 900;
/// How many aliases are followed before the server gives up.
const CHAIN_LIMIT: usize = 8;
/// What this server can receive and will send by UDP (the size that DNS software agreed on in 2020).
const UDP_PAYLOAD: u16 = 1232;

/// How long a TCP connection may be idle.
pub(super) const TCP_IDLE: Duration = Duration::from_secs(10);
/// How many responses may wait on one TCP connection.
pub(super) const TCP_RESPONSES: usize = 16;

/// A question as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// In lower case, without the final dot.
    pub name: String,
    /// `A`, `AAAA`, `SRV` and so on.
    pub record_type: String,
    /// How it came.
    pub transport: Transport,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.record_type, self.name)
    }
}

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What goes wrong with questions about a name, or with those that an alias leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The response code SERVFAIL.
    ServFail,
    /// The response code REFUSED.
    Refused,
    /// The response code NOTIMP.
    NotImplemented,
    /// No answer at all.
    Silence,
    /// The right answer, but only after this time.
    Late(Duration),
    /// By UDP, nothing but the note that the answer would not fit; by TCP, all of it.
    TruncatedOverUdp,
    /// Where the answer is "none", it comes without an SOA record.
    NoSoa,
}

/// All that DNS knows.
#[derive(Debug)]
pub(super) struct Table {
    names: HashMap<String, Node>,
    /// For how many seconds a "no" holds.
    pub(super) negative_ttl: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { names: HashMap::new(), negative_ttl: NEGATIVE_TTL }
    }
}

#[derive(Debug, Default)]
struct Node {
    records: Vec<Record>,
    /// For one type of question or for all.
    troubles: Vec<(Option<RecordType>, Trouble)>,
}

impl Table {
    pub(super) fn address(&mut self, name: &str, address: IpAddr, ttl: u32) {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        self.record(name, data, ttl);
    }

    pub(super) fn srv(&mut self, name: &str, record: (u16, u16, u16, &str), ttl: u32) {
        let (priority, weight, port, target) = record;
        let srv = SRV::new(priority, weight, port, absolute(target));
        self.record(name, RData::SRV(srv), ttl);
    }

    pub(super) fn cname(&mut self, name: &str, target: &str, ttl: u32) {
        self.record(name, RData::CNAME(CNAME(absolute(target))), ttl);
    }

    /// For one type of question, such as `AAAA`, or for all.
    pub(super) fn trouble(&mut self, name: &str, record_type: Option<&str>, trouble: Trouble) {
        let record_type = record_type.map(|it| it.parse().expect("a record type"));
        self.node(name).troubles.push((record_type, trouble));
    }

    fn record(&mut self, name: &str, data: RData, ttl: u32) {
        let record = Record::from_rdata(absolute(name), ttl, data);
        self.node(name).records.push(record);
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.names.entry(key(&absolute(name))).or_default()
    }
}

fn absolute(name: &str) -> Name {
    if name == "." {
        return Name::root();
    }
    Name::from_ascii(format!("{name}.")).expect("a DNS name")
}

fn key(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}

/// The table, served.
pub(super) struct Answers {
    names: HashMap<String, Node>,
    /// Every name above one in the table: such a name exists, though it has no records
    /// (RFC 8020).
    ancestors: HashSet<String>,
    soa: Record,
    questions: Log<Question>,
}

/// What to say to one question.
struct Answer {
    code: ResponseCode,
    records: Vec<Record>,
    soa: bool,
    truncated: bool,
    delay: Duration,
}

impl Answer {
    fn new() -> Self {
        Self {
            code: ResponseCode::NoError,
            records: Vec::new(),
            soa: true,
            truncated: false,
            delay: Duration::ZERO,
        }
    }

    fn code(code: ResponseCode) -> Self {
        Self { code, soa: false, ..Self::new() }
    }
}

impl Answers {
    pub(super) fn new(table: Table, questions: Log<Question>) -> Self {
        let mut ancestors = HashSet::new();
        for name in table.names.keys() {
            let mut rest = name.as_str();
            while let Some((_, parent)) = rest.split_once('.') {
                ancestors.insert(parent.to_owned());
                rest = parent;
            }
        }
        let minimum = table.negative_ttl;
        let soa = SOA::new(
            absolute("ns.example"),
            absolute("dns.example"),
            1,
            7200,
            900,
            86_400,
            minimum,
        );
        let soa = Record::from_rdata(absolute("example"), SOA_TTL, RData::SOA(soa));
        Self { names: table.names, ancestors, soa, questions }
    }

    /// Follows aliases to the records; `None` is silence.
    fn answer(&self, name: &Name, record_type: RecordType, transport: Transport) -> Option<Answer> {
        let mut answer = Answer::new();
        let mut name = key(name);
        for _ in 0..CHAIN_LIMIT {
            let Some(node) = self.names.get(&name) else {
                if !self.ancestors.contains(&name) {
                    answer.code = ResponseCode::NXDomain;
                }
                return Some(answer);
            };
            for (only, trouble) in &node.troubles {
                if only.is_some_and(|only| only != record_type) {
                    continue;
                }
                match trouble {
                    Trouble::ServFail => return Some(Answer::code(ResponseCode::ServFail)),
                    Trouble::Refused => return Some(Answer::code(ResponseCode::Refused)),
                    Trouble::NotImplemented => return Some(Answer::code(ResponseCode::NotImp)),
                    Trouble::Silence => return None,
                    Trouble::Late(delay) => answer.delay += *delay,
                    Trouble::TruncatedOverUdp => answer.truncated = transport == Transport::Udp,
                    Trouble::NoSoa => answer.soa = false,
                }
            }
            let of_type = |wanted: RecordType| {
                node.records.iter().filter(move |record| record.record_type() == wanted)
            };
            if record_type != RecordType::CNAME
                && let Some(alias) = of_type(RecordType::CNAME).next()
                && let RData::CNAME(CNAME(target)) = &alias.data
            {
                answer.records.push(alias.clone());
                name = key(target);
                continue;
            }
            let found = answer.records.len();
            answer.records.extend(of_type(record_type).cloned());
            answer.soa &= answer.records.len() == found;
            return Some(answer);
        }
        Some(Answer::code(ResponseCode::ServFail))
    }
}

#[async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responder: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let unsent =
            |metadata| ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });

        let answer = match request.request_info() {
            Err(_) => Answer::code(ResponseCode::FormErr),
            Ok(info) => {
                let transport = match info.protocol {
                    Protocol::Udp => Transport::Udp,
                    _ => Transport::Tcp,
                };
                let name = info.query.original().name();
                let record_type = info.query.query_type();
                self.questions.push(Question {
                    name: key(name),
                    record_type: record_type.to_string(),
                    transport,
                });
                let Some(answer) = self.answer(name, record_type, transport) else {
                    return unsent(metadata);
                };
                answer
            }
        };

        tokio::time::sleep(answer.delay).await;
        metadata.response_code = answer.code;
        metadata.truncation = answer.truncated;
        let (records, soa) = if answer.truncated {
            (&[][..], None)
        } else {
            (answer.records.as_slice(), answer.soa.then_some(&self.soa))
        };
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        // Who did not speak of EDNS is not spoken to in it (RFC 6891 section 7).
        let edns = request.edns.is_some().then_some(&edns);
        let none = || std::iter::empty::<&Record>();
        let response = MessageResponseBuilder::new(&request.queries, edns).build(
            metadata,
            records,
            none(),
            soa,
            none(),
        );
        match responder.send_response(response).await {
            Ok(info) => info,
            Err(_) => unsent(metadata),
        }
    }
}
