//! The embedded internet is what it says it is. It is checked with a raw DNS message and a bare
//! HTTPS client, and without the crate, which is tested with the embedded internet in turn.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_server::proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::internet::scenarios::{self, BLOCKED_ADDRESS, Expect};
use crate::internet::{
    Certificate, Internet, Manner, NEGATIVE_TTL, Page, Site, Transport, Trouble, VERSION_PATH,
    WELL_KNOWN_PATH,
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn query(name: &str, record_type: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    message.add_query(Query::query(name, record_type));
    message.set_edns(Edns::new());
    message.to_vec().unwrap()
}

async fn ask_udp(internet: &Internet, name: &str, record_type: RecordType) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&query(name, record_type), internet.dns_address()).await.unwrap();
    let mut buffer = [0; 4096];
    let (length, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(from, internet.dns_address());
    let message = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!((message.metadata.id, message.metadata.op_code), (4711, OpCode::Query));
    message
}

async fn ask_tcp(internet: &Internet, name: &str, record_type: RecordType) -> Message {
    let mut stream = TcpStream::connect(internet.dns_address()).await.unwrap();
    let query = query(name, record_type);
    stream.write_u16(u16::try_from(query.len()).unwrap()).await.unwrap();
    stream.write_all(&query).await.unwrap();
    let length = timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap();
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await.unwrap();
    Message::from_vec(&buffer).unwrap()
}

/// What a GET brought.
struct Fetched {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

/// One GET, at this virtual address, with this name in the handshake and this `Host`. Reading stops
/// once the body is past the limit.
async fn get(
    internet: &Internet,
    at: SocketAddr,
    tls_name: &str,
    host: &str,
    path: &str,
    limit: usize,
) -> Result<Fetched, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(internet.ca_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];

    let stream = internet.routes().connect(at).await?;
    let name = ServerName::try_from(tls_name.to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", host).body(String::new())?;
    let response = sender.send_request(request).await?;

    let status = response.status().as_u16();
    let location = response.headers().get("location");
    let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            body.extend_from_slice(&data);
        }
        if body.len() > limit {
            break;
        }
    }
    connection.abort();
    Ok(Fetched { status, location, body })
}

const LIMIT: usize = 1 << 20;

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

#[tokio::test]
async fn dns_answers_over_udp_and_tcp() {
    let internet = Internet::builder()
        .address("M.example", "192.0.2.1")
        .address_for("m.example", "192.0.2.2", 60)
        .address("m.example", "2001:db8::1")
        .srv("_matrix-fed._tcp.m.example", 10, 5, 8448, "fed.m.example")
        .srv("_matrix._tcp.m.example", 0, 0, 0, ".")
        .start()
        .await;

    let message = ask_udp(&internet, "m.EXAMPLE", RecordType::A).await;
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    assert!(message.edns.is_some());
    assert_eq!(
        addresses(&message),
        ["192.0.2.1", "192.0.2.2"].map(|it| it.parse::<IpAddr>().unwrap())
    );
    assert_eq!(message.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [300, 60]);

    let message = ask_tcp(&internet, "m.example", RecordType::AAAA).await;
    assert_eq!(addresses(&message), ["2001:db8::1".parse::<IpAddr>().unwrap()]);

    let message = ask_tcp(&internet, "_matrix-fed._tcp.m.example", RecordType::SRV).await;
    let RData::SRV(srv) = &message.answers[0].data else { panic!("{message:?}") };
    assert_eq!((srv.priority, srv.weight, srv.port), (10, 5, 8448));
    assert_eq!(srv.target.to_ascii(), "fed.m.example.");

    let message = ask_udp(&internet, "_matrix._tcp.m.example", RecordType::SRV).await;
    let RData::SRV(srv) = &message.answers[0].data else { panic!("{message:?}") };
    assert!(srv.target.is_root());

    let questions = internet.questions();
    assert_eq!(
        questions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "A m.example",
            "AAAA m.example",
            "SRV _matrix-fed._tcp.m.example",
            "SRV _matrix._tcp.m.example"
        ]
    );
    let transports = questions.iter().map(|question| question.transport).collect::<Vec<_>>();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp, Transport::Tcp, Transport::Udp]);
    internet.clear_logs();
    assert!(internet.questions().is_empty());
}

#[tokio::test]
async fn dns_follows_aliases_and_says_no_with_an_soa() {
    let internet = Internet::builder()
        .cname_for("a.example", "b.example", 20)
        .cname("b.example", "c.example")
        .address("c.example", "192.0.2.1")
        .cname("to-nowhere.example", "nowhere.example")
        .cname("loop.example", "loop.example")
        .address("deep.below.example", "192.0.2.1")
        .address("no-soa.example", "192.0.2.1")
        .trouble("no-soa.example", Trouble::NoSoa)
        .start()
        .await;

    let message = ask_udp(&internet, "a.example", RecordType::A).await;
    let types = message.answers.iter().map(Record::record_type).collect::<Vec<_>>();
    assert_eq!(types, [RecordType::CNAME, RecordType::CNAME, RecordType::A]);
    assert_eq!(message.answers[0].ttl, 20);
    assert!(message.authorities.is_empty());

    for (name, code, answers) in [
        ("a.example", ResponseCode::NoError, 2),
        ("c.example", ResponseCode::NoError, 0),
        ("below.example", ResponseCode::NoError, 0),
        ("nowhere.example", ResponseCode::NXDomain, 0),
        ("to-nowhere.example", ResponseCode::NXDomain, 1),
    ] {
        let message = ask_udp(&internet, name, RecordType::AAAA).await;
        assert_eq!(message.metadata.response_code, code, "{name}");
        assert_eq!(message.answers.len(), answers, "{name}");
        let RData::SOA(soa) = &message.authorities[0].data else { panic!("{message:?}") };
        assert_eq!(soa.minimum, NEGATIVE_TTL);
        assert!(message.authorities[0].ttl > NEGATIVE_TTL);
    }

    let message = ask_udp(&internet, "no-soa.example", RecordType::AAAA).await;
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    assert!(message.answers.is_empty() && message.authorities.is_empty());
    let message = ask_udp(&internet, "loop.example", RecordType::A).await;
    assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn dns_makes_trouble() {
    let internet = Internet::builder()
        .trouble("servfail.example", Trouble::ServFail)
        .trouble("refused.example", Trouble::Refused)
        .trouble("notimp.example", Trouble::NotImplemented)
        .trouble("silent.example", Trouble::Silence)
        .address("long.example", "192.0.2.1")
        .trouble("long.example", Trouble::TruncatedOverUdp)
        .cname("alias.example", "refused.example")
        .address("half.example", "192.0.2.1")
        .trouble_with("AAAA", "half.example", Trouble::Refused)
        .address("late.example", "192.0.2.1")
        .trouble("late.example", Trouble::Late(Duration::from_millis(100)))
        .start()
        .await;
    for (name, code) in [
        ("servfail.example", ResponseCode::ServFail),
        ("refused.example", ResponseCode::Refused),
        ("notimp.example", ResponseCode::NotImp),
        ("alias.example", ResponseCode::Refused),
    ] {
        let message = ask_udp(&internet, name, RecordType::SRV).await;
        assert_eq!(message.metadata.response_code, code, "{name}");
        assert!(message.authorities.is_empty());
    }

    let message = ask_udp(&internet, "long.example", RecordType::A).await;
    assert!(message.metadata.truncation && message.answers.is_empty());
    let message = ask_tcp(&internet, "long.example", RecordType::A).await;
    assert!(!message.metadata.truncation);
    assert_eq!(message.answers.len(), 1);

    for (record_type, code) in
        [(RecordType::A, ResponseCode::NoError), (RecordType::AAAA, ResponseCode::Refused)]
    {
        let message = ask_udp(&internet, "half.example", record_type).await;
        assert_eq!(message.metadata.response_code, code);
    }
    let asked = Instant::now();
    assert_eq!(ask_udp(&internet, "late.example", RecordType::A).await.answers.len(), 1);
    assert!(asked.elapsed() >= Duration::from_millis(100));

    let silence = ask_udp(&internet, "silent.example", RecordType::A);
    assert!(timeout(Duration::from_millis(200), silence).await.is_err());
    assert_eq!(internet.questions().last().unwrap().name, "silent.example");
}

#[tokio::test]
async fn sites_answer_at_their_virtual_addresses_only() {
    let internet = Internet::builder()
        .site(
            ["192.0.2.1:443", "[2001:db8::1]:443"],
            Site::named("m.example")
                .only_for(["m.example", "m.example:443"])
                .page(WELL_KNOWN_PATH, Page::redirect(302, "/there"))
                .page("/there", Page::delegation("fed.example:8448")),
        )
        .federation(["192.0.2.2:8448"], "192.0.2.2", "192.0.2.2", "a literal")
        .start()
        .await;

    let hop = get(&internet, at("192.0.2.1:443"), "m.example", "m.example", WELL_KNOWN_PATH, LIMIT)
        .await
        .unwrap();
    assert_eq!((hop.status, hop.location.as_deref()), (302, Some("/there")));
    let page =
        get(&internet, at("[2001:db8::1]:443"), "m.example", "m.example:443", "/there", LIMIT)
            .await
            .unwrap();
    assert_eq!(
        (page.status, page.body.as_slice()),
        (200, &br#"{"m.server":"fed.example:8448"}"#[..])
    );
    for (host, path, status) in [("m.example", "/nothing", 404), ("fed.example", "/there", 421)] {
        let page =
            get(&internet, at("192.0.2.1:443"), "m.example", host, path, LIMIT).await.unwrap();
        assert_eq!(page.status, status, "{host} {path}");
    }
    let page = get(&internet, at("192.0.2.2:8448"), "192.0.2.2", "192.0.2.2", VERSION_PATH, LIMIT)
        .await
        .unwrap();
    assert_eq!(page.body, br#"{"server":{"name":"tour","version":"a literal"}}"#);

    let seen = internet.requests();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[0].address, at("192.0.2.1:443"));
    assert_eq!(seen[0].sni.as_deref(), Some("m.example"));
    assert_eq!(seen[0].alpn, ["http/1.1"]);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("GET", WELL_KNOWN_PATH));
    assert_eq!(seen[1].host.as_deref(), Some(&b"m.example:443"[..]));
    assert_eq!(seen[4].sni, None, "an IP address does not go into SNI");

    let nothing = at("192.0.2.1:8448");
    assert_eq!(internet.route(nothing), None);
    let refused = internet.routes().connect(nothing).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(internet.dials().last(), Some(&nothing));
    assert!(internet.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn certificates_are_wrong_in_the_way_that_was_asked_for() {
    let names = || vec!["m.example".to_owned()];
    let page = |site: Site| site.page("/", Page::text(200, "hello"));
    let internet = Internet::builder()
        .site(["192.0.2.1:443"], page(Site::with(Certificate::For(names()))))
        .site(["192.0.2.2:443"], page(Site::with(Certificate::Expired(names()))))
        .site(["192.0.2.3:443"], page(Site::with(Certificate::NotYetValid(names()))))
        .site(["192.0.2.4:443"], page(Site::with(Certificate::OtherAuthority(names()))))
        .site(["192.0.2.5:443"], page(Site::named("other.example")))
        .start()
        .await;
    for (address, evidence) in [
        ("192.0.2.1:443", None),
        ("192.0.2.2:443", Some("Expired")),
        ("192.0.2.3:443", Some("NotValidYet")),
        ("192.0.2.4:443", Some("UnknownIssuer")),
        ("192.0.2.5:443", Some("NotValidForName")),
    ] {
        let outcome = get(&internet, at(address), "m.example", "m.example", "/", LIMIT).await;
        match (outcome, evidence) {
            (Ok(page), None) => assert_eq!(page.body, b"hello"),
            (Err(error), Some(evidence)) => {
                assert!(format!("{error:?}").contains(evidence), "{address}: {error:?}");
            }
            (outcome, _) => panic!("{address}: {:?}", outcome.map(|page| page.status)),
        }
    }
    assert_eq!(internet.requests().len(), 1);
}

#[tokio::test]
async fn sites_misbehave() {
    let internet = Internet::builder()
        .site(["192.0.2.1:443"], Site::named("m.example").manner(Manner::ClosesAtOnce))
        .site(["192.0.2.2:443"], Site::named("m.example").manner(Manner::Silent))
        .site(
            ["192.0.2.3:443"],
            Site::named("m.example")
                .page("/cut-off", Page::cut_off("half of"))
                .page("/endless", Page::endless())
                .page("/late", Page::status(200).after(Duration::from_millis(100))),
        )
        .start()
        .await;
    let get = |address, path, limit| {
        let internet = &internet;
        async move { get(internet, at(address), "m.example", "m.example", path, limit).await }
    };
    assert!(get("192.0.2.1:443", "/", LIMIT).await.is_err());
    let silence = get("192.0.2.2:443", "/", LIMIT);
    assert!(timeout(Duration::from_millis(200), silence).await.is_err());
    let asked = Instant::now();
    assert_eq!(get("192.0.2.3:443", "/late", LIMIT).await.unwrap().status, 200);
    assert!(asked.elapsed() >= Duration::from_millis(100));
    let cut_off = get("192.0.2.3:443", "/cut-off", LIMIT).await;
    assert!(cut_off.is_err(), "the body ended as if it were whole");
    let endless = get("192.0.2.3:443", "/endless", LIMIT).await.unwrap();
    assert_eq!(endless.status, 200);
    assert!(endless.body.len() > LIMIT);
}

#[tokio::test]
async fn everything_ends_with_the_internet() {
    let internet = Internet::builder()
        .site(["192.0.2.1:443"], Site::named("m.example").manner(Manner::Silent))
        .start()
        .await;
    let mut stream = internet.routes().connect(at("192.0.2.1:443")).await.unwrap();
    let real = internet.route(at("192.0.2.1:443")).unwrap();
    let dns = internet.dns_address();
    drop(internet);
    let end = timeout(PATIENCE, stream.read(&mut [0])).await.expect("the connection ends");
    assert!(matches!(end, Ok(0) | Err(_)));
    for address in [real, dns] {
        let mut gone = false;
        for _ in 0..100 {
            gone = TcpStream::connect(address).await.is_err();
            if gone {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(gone, "{address} still listens");
    }
}

/// Every row promises addresses: they are what DNS says of the endpoints, less what is blocked, and
/// at each a server shows the expected certificate and answers to the expected `Host`.
#[tokio::test]
async fn the_rows_of_the_tour_are_really_there() {
    let internet = scenarios::internet().start().await;
    let blocked: IpAddr = BLOCKED_ADDRESS.parse().unwrap();
    for row in scenarios::rows() {
        let Expect::Target(target) = &row.expect else { continue };
        let name = row.server_name;

        let mut found = Vec::new();
        for (host, port) in target.endpoints {
            if let Ok(literal) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
                found.push(SocketAddr::new(literal, *port));
                continue;
            }
            for record_type in [RecordType::A, RecordType::AAAA] {
                let message = ask_udp(&internet, host, record_type).await;
                let addresses = addresses(&message).into_iter();
                found.extend(
                    addresses.filter(|it| *it != blocked).map(|it| SocketAddr::new(it, *port)),
                );
            }
        }
        let expected = target.addresses.iter().map(|it| at(it)).collect::<Vec<_>>();
        assert_eq!(found, expected, "{name}");

        for address in expected {
            let (tls_name, host) = (target.tls_name, target.host_header);
            let page = get(&internet, address, tls_name, host, VERSION_PATH, LIMIT)
                .await
                .unwrap_or_else(|error| panic!("{name} at {address}: {error}"));
            assert_eq!(page.status, 200, "{name} at {address}");
            assert!(page.body.starts_with(br#"{"server":{"name":"tour","#), "{name} at {address}");
        }
    }
}

#[test]
fn the_rows_of_the_tour_hang_together() {
    let steps = scenarios::STEPS.iter().map(|row| match &row.expect {
        Expect::Target(target) => target.step,
        Expect::Error { kind } => kind,
    });
    let all = ["1", "2", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "5", "6"];
    assert_eq!(steps.collect::<Vec<_>>(), all);

    let kinds = [
        "invalid_server_name",
        "unresolvable_name",
        "service_not_available",
        "no_usable_endpoint",
        "blocked_address",
        "no_addresses",
    ];
    let mut names = HashSet::new();
    let mut owners = HashMap::new();
    let mut seen = HashSet::new();
    for row in scenarios::rows() {
        assert!(names.insert(row.server_name), "{} stands there twice", row.server_name);
        match &row.expect {
            Expect::Error { kind } => {
                assert!(kinds.contains(kind), "{kind}");
                seen.insert(*kind);
            }
            Expect::Target(target) => {
                for address in target.addresses {
                    let before = owners.insert(at(address).ip(), row.server_name);
                    assert!(
                        before.is_none_or(|owner| owner == row.server_name),
                        "{address} is in {before:?} and {}",
                        row.server_name
                    );
                }
                let ends = [&target.lifetime, &target.well_known_lifetime];
                assert!(ends.into_iter().flatten().all(|range| range.start() <= range.end()));
                // Nothing outlives the answer that it follows from.
                if let (Some(whole), Some(part)) = (&target.lifetime, &target.well_known_lifetime) {
                    assert!(whole.end() <= part.end(), "{}", row.server_name);
                }
            }
        }
    }
    assert_eq!(seen.len(), kinds.len(), "each kind of error has a row");
    assert!(scenarios::TROUBLE.len() >= 14);
}
