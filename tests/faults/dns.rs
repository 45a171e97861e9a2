//! DNS over UDP and TCP, asked by `HickoryDns`.

mod packets;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::NULL;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use matrix_delegation::adapters::DnsConfig;
use matrix_delegation::dns::{
    DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, Service,
};
use matrix_delegation::{Dns, HickoryDns};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};

use crate::dns_message::{
    Transport, address, bytes, cname, dname, name, raw, records, reply, soa, srv,
};
use crate::net::{Peer, Say, Then, say};
use crate::row::{Client, Limit, Outcome, Row, Seen};
use crate::{LONG, SHORT};

const A_NAME: &str = "a.example.";
const SRV_NAME: &str = "_matrix-fed._tcp.a.example.";

const TIMEOUT: Outcome = Outcome::DnsFailed(DnsFailure::Timeout);
const MALFORMED: Outcome = Outcome::DnsFailed(DnsFailure::Malformed);
const NETWORK: Outcome = Outcome::DnsFailed(DnsFailure::Network);
const NO_DATA: Outcome = Outcome::NoRecord(NoRecord::NoData);
const SERV_FAIL: Outcome = Outcome::DnsFailed(DnsFailure::ServFail);
const FOUND: Outcome = Outcome::Records(1, 300, false);
const ALIAS: Outcome = Outcome::Records(1, 300, true);

/// What a DNS server does with a query.
struct Does {
    /// What it sends over UDP.
    packets: Vec<Vec<u8>>,
    /// From another address than it was asked at.
    from_elsewhere: bool,
    after: Duration,
    /// What it says over TCP.
    stream: Say,
}

impl Does {
    /// Sends this over UDP, and nothing over TCP.
    fn udp(packets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let packets = packets.into_iter().collect();
        let stream = Say::new([], Then::Hold);
        Self { packets, from_elsewhere: false, after: Duration::ZERO, stream }
    }

    /// Says this over TCP, and something truncated over UDP.
    fn tcp(query: &Message, stream: Say) -> Self {
        Self { stream, ..Self::udp([truncated(query)]) }
    }

    /// Sends the same over both.
    fn both(packet: Vec<u8>) -> Self {
        Self { stream: Say::all(framed(&packet)), ..Self::udp([packet]) }
    }
}

/// With its length before it (RFC 1035 section 4.2.2).
fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// Cut through a record, as some servers do.
fn truncated(query: &Message) -> Vec<u8> {
    let mut reply = good(query);
    reply.metadata.truncation = true;
    let mut packet = bytes(&reply);
    packet.truncate(40);
    packet
}

/// What is right, whatever was asked for.
fn good(query: &Message) -> Message {
    let question = &query.queries[0];
    let owner = question.name().to_ascii();
    match question.query_type() {
        RecordType::SRV => records(query, [srv(&owner, 300, (1, 1, 8448), name("t.example."))]),
        _ => records(query, [address(&owner, 300, "127.0.0.1")]),
    }
}

type Handler = dyn Fn(&Message, Transport, usize) -> Does + Send + Sync;

/// A server of both, or of UDP alone.
fn serve(over_tcp: bool, handler: Arc<Handler>) -> Peer {
    let (tcp, udp) = loop {
        let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // The same port may be taken over UDP; then another one is tried.
        if let Ok(udp) = StdUdpSocket::bind(tcp.local_addr().unwrap()) {
            break (tcp, udp);
        }
    };
    let address = udp.local_addr().unwrap();
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (udp_handler, udp_asked) = (Arc::clone(&handler), Arc::clone(&asked));
    let serve_udp = async move {
        let socket = UdpSocket::from_std(udp).unwrap();
        let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut buffer = vec![0; 65_535];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let does =
                udp_handler(&query, Transport::Udp, udp_asked.fetch_add(1, Ordering::Relaxed));
            tokio::time::sleep(does.after).await;
            let from = if does.from_elsewhere { &elsewhere } else { &socket };
            for packet in does.packets {
                let _ = from.send_to(&packet, client).await;
            }
        }
    };
    let serve_tcp = async move {
        let listener = TcpListener::from_std(tcp).unwrap();
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let (handler, asked) = (Arc::clone(&handler), Arc::clone(&asked));
            connections.spawn(async move {
                let Ok(length) = stream.read_u16().await else { return };
                let mut buffer = vec![0; length.into()];
                let Ok(_) = stream.read_exact(&mut buffer).await else { return };
                let query = Message::from_vec(&buffer).unwrap();
                let nth = asked.fetch_add(1, Ordering::Relaxed);
                let does = handler(&query, Transport::Tcp, nth);
                say(stream, does.stream).await;
            });
        }
    };
    if over_tcp {
        Peer::running(address, [Box::pin(serve_udp) as _, Box::pin(serve_tcp) as _])
    } else {
        Peer::running(address, [Box::pin(serve_udp) as _])
    }
}

/// Asks these servers.
fn asking(
    question: DnsQuestion,
    edns: bool,
    servers: impl FnOnce() -> Vec<Peer> + Send + 'static,
) -> impl FnOnce(Limit) -> Client + Send + 'static {
    move |limit| {
        let peers = servers();
        let mut config = DnsConfig::default();
        config.question_limit = if limit == Limit::Question { SHORT } else { LONG };
        (config.first_retry, config.attempts) = (Duration::from_millis(20), 10);
        config.edns = edns;
        let addresses: Vec<SocketAddr> = peers.iter().map(|peer| peer.address).collect();
        let dns = HickoryDns::with_servers(addresses).unwrap().with_config(config).unwrap();
        Box::pin(async move {
            let answer = dns.lookup(question).await;
            drop(peers);
            let words = answer.to_string();
            let outcome = match answer {
                DnsAnswer::Found { records, ttl, alias } => {
                    let count = match records {
                        Records::Addresses(addresses) => addresses.len(),
                        Records::Srv(records) => records.len(),
                    };
                    Outcome::Records(count, ttl.as_secs(), alias)
                }
                DnsAnswer::None { kind, .. } => Outcome::NoRecord(kind),
                DnsAnswer::Failed { failure, .. } => Outcome::DnsFailed(failure),
            };
            Seen { outcome, words }
        })
    }
}

fn a() -> DnsQuestion {
    DnsQuestion::Addresses { host: "a.example".parse().unwrap(), family: Family::V4 }
}

fn srv_of_a() -> DnsQuestion {
    DnsQuestion::Srv { service: Service::MatrixFed, host: "a.example".parse().unwrap() }
}

/// The most that a question may cost, in KiB: a buffer of 4 KiB for UDP, and a reply of TCP, taken apart.
const KIB: usize = 256;

/// A server that does this.
fn does(
    name: &str,
    want: Outcome,
    handler: impl Fn(&Message, Transport, usize) -> Does + Send + Sync + 'static,
) -> Row {
    let name = format!("DNS: {name}");
    Row::new(name, want, KIB, asking(a(), false, || vec![serve(true, Arc::new(handler))]))
}

/// The same reply over UDP and TCP, of these bytes.
fn packet(
    name: &str,
    want: Outcome,
    make: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static,
) -> Row {
    does(name, want, move |query, _, _| Does::both(make(query)))
}

/// The same reply over UDP and TCP.
fn message(
    name: &str,
    want: Outcome,
    make: impl Fn(&Message) -> Message + Send + Sync + 'static,
) -> Row {
    packet(name, want, move |query| bytes(&make(query)))
}

/// A right reply with a change to it.
fn altered(name: &str, want: Outcome, alter: fn(&mut Message)) -> Row {
    message(name, want, move |query| {
        let mut reply = good(query);
        alter(&mut reply);
        reply
    })
}

/// A reply that is passed over, so that the question's time runs out.
fn stray(name: &str, alter: fn(&mut Message)) -> Row {
    altered(name, TIMEOUT, alter).ended_by(Limit::Question)
}

/// A reply with these records, over TCP if they need it.
fn with(name: &str, want: Outcome, make: fn() -> Vec<Record>) -> Row {
    message(name, want, move |query| records(query, make()))
}

/// A reply to the question for SRV records with these.
fn with_srv(name: &str, want: Outcome, make: fn() -> Vec<Record>) -> Row {
    let handler =
        move |query: &Message, _, _: usize| over_tcp(query, &bytes(&records(query, make())));
    srv_row(name, want, handler)
}

fn srv_row(
    name: &str,
    want: Outcome,
    handler: impl Fn(&Message, Transport, usize) -> Does + Send + Sync + 'static,
) -> Row {
    let name = format!("DNS: {name}");
    Row::new(name, want, KIB, asking(srv_of_a(), false, || vec![serve(true, Arc::new(handler))]))
}

fn over_tcp(query: &Message, message: &[u8]) -> Does {
    Does::tcp(query, Say::all(framed(message)))
}

/// A reply with these sections in hex, counted so.
fn hex(name: &str, want: Outcome, counts: [u16; 3], sections: &'static str) -> Row {
    packet(name, want, move |query| raw(query, 0, counts, sections))
}

/// What a server says over TCP after it truncated a reply over UDP.
fn stream(name: &str, want: Outcome, make: fn(&[u8]) -> Say) -> Row {
    does(&format!("truncated, then TCP {name}"), want, move |query, _, _| {
        Does::tcp(query, make(&framed(&bytes(&good(query)))))
    })
}

pub(crate) fn rows() -> Vec<Row> {
    [silence(), codes(), streams(), packets::rows()].into_iter().flatten().collect()
}

fn always(handler: fn(&Message) -> Does) -> Peer {
    serve(true, Arc::new(move |query: &Message, _, _: usize| handler(query)))
}

fn silence() -> Vec<Row> {
    let of = |name: &str, want, servers: fn() -> Vec<Peer>| {
        Row::new(format!("DNS: {name}"), want, KIB, asking(a(), false, servers))
    };
    vec![
        does("silence", TIMEOUT, |_, _, _| Does::udp([])).ended_by(Limit::Question),
        does("a reply that is too late", TIMEOUT, |query, _, _| Does {
            after: SHORT * 10,
            ..Does::udp([bytes(&good(query))])
        })
        .ended_by(Limit::Question),
        does("a reply that is late", FOUND, |query, _, _| Does {
            after: Duration::from_millis(50),
            ..Does::udp([bytes(&good(query))])
        }),
        does("the first question is lost", FOUND, |query, _, nth| match nth {
            0 => Does::udp([]),
            _ => Does::both(bytes(&good(query))),
        }),
        does("silence over UDP alone", FOUND, |query, _, _| Does {
            packets: Vec::new(),
            ..Does::both(bytes(&good(query)))
        }),
        of("silence over UDP, TCP refused", TIMEOUT, || {
            vec![serve(false, Arc::new(|_: &Message, _, _: usize| Does::udp([])))]
        })
        .ended_by(Limit::Question),
        of("a truncated reply, TCP refused", NETWORK, || {
            vec![serve(
                false,
                Arc::new(|query: &Message, _, _: usize| Does::udp([truncated(query)])),
            )]
        }),
        of("nobody listens", NETWORK, || vec![Peer::refusing()]),
        of("two servers: silence, then an answer", FOUND, || {
            vec![always(|_| Does::udp([])), always(|query| Does::both(bytes(&good(query))))]
        }),
        of("two servers: nobody, then an answer", FOUND, || {
            vec![Peer::refusing(), always(|query| Does::both(bytes(&good(query))))]
        }),
        of("two servers: garbage, then an answer", FOUND, || {
            vec![
                always(|query| Does::both(raw(query, 0, [9, 0, 0], "00"))),
                always(|query| Does::both(bytes(&good(query)))),
            ]
        }),
        of("two servers that fail each in its way", SERV_FAIL, || {
            vec![
                always(|query| Does::both(bytes(&reply(query, ResponseCode::ServFail)))),
                always(|query| Does::both(bytes(&reply(query, ResponseCode::Refused)))),
            ]
        }),
    ]
}

/// Response codes, and how servers answer questions with EDNS.
fn codes() -> Vec<Row> {
    let want = |code: u8| match code {
        2 => SERV_FAIL,
        3 => Outcome::NoRecord(NoRecord::NxDomain),
        4 => Outcome::NoRecord(NoRecord::NotImplemented),
        5 => Outcome::DnsFailed(DnsFailure::Refused),
        _ => MALFORMED,
    };
    let plain = (1..16).map(|code| {
        packet(&format!("response code {code}"), want(code), move |query| {
            raw(query, code, [0; 3], "")
        })
    });
    let bare = [1, 2, 4, 5].map(|code| {
        packet(&format!("response code {code} without the question"), want(code), move |query| {
            let [id_0, id_1] = query.id.to_be_bytes();
            vec![id_0, id_1, 0x81, 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0]
        })
    });
    // The upper bits of the code are in the OPT record (RFC 6891 section 6.1.3).
    let opts = ["00 0029 04d0 01000000 0000", "00 0029 04d0 ff000000 0000"];
    let extended = opts.map(|opt| {
        packet(&format!("an extended response code, {opt}"), MALFORMED, move |query| {
            raw(query, 0, [0, 0, 1], opt)
        })
    });
    let records_beside = [2_u8, 5, 9].map(|code| {
        message(&format!("response code {code} with an answer"), want(code), move |query| {
            let mut reply = good(query);
            reply.metadata.response_code = ResponseCode::from(0, code);
            reply
        })
    });
    let edns = |name: &str, refusal: fn(&Message) -> Vec<Vec<u8>>| {
        let handler = move |query: &Message, _, _: usize| {
            let good = bytes(&good(query));
            if query.edns.is_some() { Does::udp(refusal(query)) } else { Does::both(good) }
        };
        let servers = move || vec![serve(true, Arc::new(handler))];
        Row::new(format!("DNS: EDNS: {name}"), FOUND, KIB, asking(a(), true, servers))
    };
    let edns = [
        edns("FORMERR", |query| vec![raw(query, 1, [0; 3], "")]),
        edns("NOTIMP", |query| vec![raw(query, 4, [0; 3], "")]),
        edns("SERVFAIL", |query| vec![raw(query, 2, [0; 3], "")]),
        edns("BADVERS", |query| vec![raw(query, 0, [0, 0, 1], "00 0029 04d0 01000000 0000")]),
        edns("silence", |_| Vec::new()),
        edns("OPT among the answers", |query| {
            vec![raw(query, 0, [1, 0, 0], "00 0029 04d0 00000000 0000")]
        }),
    ];
    plain.chain(bare).chain(extended).chain(records_beside).chain(edns).collect()
}

/// Streams over TCP, where UDP brings a truncated reply.
fn streams() -> Vec<Row> {
    vec![
        stream("as it should be", FOUND, |good| Say::all(good)),
        stream("in single bytes", FOUND, |good| Say::new(good, Then::Hold)),
        stream("is silent", TIMEOUT, |_| Say::new([], Then::Hold)).ended_by(Limit::Question),
        stream("drips", TIMEOUT, |_| Say::new([0xff, 0xff], Then::Drip(vec![0])))
            .ended_by(Limit::Question),
        stream("is closed", NETWORK, |_| Say::all([])),
        stream("is reset", NETWORK, |_| Say::new([], Then::Reset)),
        stream("ends within the length", NETWORK, |_| Say::all([0])),
        stream("ends within the message", NETWORK, |good| Say::all(&good[..good.len() - 1])),
        stream("is reset within the message", NETWORK, |good| Say::new(&good[..9], Then::Reset)),
        stream("says less than it announced, and waits", TIMEOUT, |good| {
            Say::new([&[0xff, 0xff], &good[2..]].concat(), Then::Hold)
        })
        .ended_by(Limit::Question),
        stream("says less than it announced, and ends", NETWORK, |good| {
            Say::all([&[0xff, 0xff], &good[2..]].concat())
        }),
        stream("says more than it announced", MALFORMED, |good| {
            Say::all([&[0, 40], &good[2..]].concat())
        }),
        stream("sends one empty message", FOUND, |good| Say::all([&[0, 0], good].concat())),
        stream("sends empty messages without end", MALFORMED, |_| {
            Say::new([], Then::Flood(vec![0, 0]))
        }),
        stream("sends messages for others without end", MALFORMED, |good| {
            let mut other = good.to_vec();
            other[2] ^= 1;
            Say::new([], Then::Flood(other))
        }),
        stream("sends messages of 64 KiB without end", MALFORMED, |_| {
            Say::new([], Then::Flood([vec![0xff, 0xff], vec![0; 65_535]].concat()))
        })
        .within(512),
        stream("is HTTP", NETWORK, |_| Say::all("HTTP/1.1 400 Bad Request\r\n\r\n")),
        stream("repeats the right reply", FOUND, |good| Say::new(good, Then::Flood(good.to_vec()))),
        does("truncated over TCP, too, and empty", MALFORMED, |query, _, _| {
            let mut reply = reply(query, ResponseCode::NoError);
            reply.metadata.truncation = true;
            over_tcp(query, &bytes(&reply))
        }),
        does("truncated over TCP, too, with an answer", FOUND, |query, _, _| {
            let mut reply = good(query);
            reply.metadata.truncation = true;
            over_tcp(query, &bytes(&reply))
        }),
        does("truncated in the middle of the question", FOUND, |query, _, _| {
            let mut packet = truncated(query);
            packet.truncate(20);
            Does { packets: vec![packet], ..Does::both(bytes(&good(query))) }
        }),
    ]
}
