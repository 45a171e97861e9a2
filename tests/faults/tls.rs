//! TCP and TLS, up to the request and below it; asked by `HyperFetch` and the federation client.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdTcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use matrix_delegation::client::ConnectPhase;
use matrix_delegation::transport::ConnectFailureKind as Kind;
use matrix_delegation::well_known::FetchFailureKind;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clients::{Reading, federate, fetch};
use crate::net::{AUTHORITY, GOOD, Peer, Say, Then};
use crate::row::{Limit, Outcome, Row};
use crate::server::{Authority, NAME, read_head};

/// What a handshake may cost, in KiB: rustls holds a record in each direction, and 64 KiB of a message.
const KIB: usize = 256;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

const NO_TLS: Outcome = Outcome::Failed(FetchFailureKind::Tls);
const CUT_OFF: Outcome = Outcome::Failed(FetchFailureKind::CutOff);

const fn no_connection(phase: ConnectPhase, kind: Kind) -> Outcome {
    Outcome::NoConnection(phase, kind)
}

pub(crate) fn rows() -> Vec<Row> {
    let tables = [connecting(), alerts(), records(), certificates(), later()];
    tables.into_iter().flatten().collect()
}

/// A fault that both clients meet.
fn both(
    name: &str,
    (fetched, federated): (FetchFailureKind, Kind),
    limit: Limit,
    peer: impl Fn() -> Peer + Clone + Send + 'static,
) -> [Row; 2] {
    let phase = match limit {
        Limit::Connect => ConnectPhase::Connect,
        _ if matches!(federated, Kind::Refused) => ConnectPhase::Connect,
        _ if federated.is_certificate() => ConnectPhase::Certificate,
        _ => ConnectPhase::Tls,
    };
    let clone = peer.clone();
    [
        Row::new(format!("fetch: {name}"), Outcome::Failed(fetched), KIB, fetch(clone))
            .ended_by(limit),
        Row::new(
            format!("federation: {name}"),
            no_connection(phase, federated),
            KIB,
            federate(Reading::Whole, peer),
        )
        .ended_by(limit),
    ]
}

fn connecting() -> Vec<Row> {
    let tls = |name: &str, kind, limit, say: Say| {
        both(name, (FetchFailureKind::Tls, kind), limit, move || {
            let say = say.clone();
            Peer::plain(move |_| say.clone())
        })
    };
    let late = |name: &str, say: Say| {
        both(name, (FetchFailureKind::TlsTimeout, Kind::TimedOut), Limit::Tls, move || {
            let say = say.clone();
            Peer::plain(move |_| say.clone())
        })
    };
    let tls_timeout = (FetchFailureKind::TlsTimeout, Kind::TimedOut);
    let refused = (FetchFailureKind::Refused, Kind::Refused);
    let connect_timeout = (FetchFailureKind::ConnectTimeout, Kind::TimedOut);
    let closed = (FetchFailureKind::Tls, Kind::Closed);
    [
        both("refused", refused, Limit::None, Peer::refusing),
        both("a black hole", connect_timeout, Limit::Connect, black_hole),
        both("closed as soon as it is accepted", closed, Limit::None, || Peer::hasty(Say::all([]))),
        late("silent once it is accepted", Say::new([], Then::Hold)),
        both("silent until all is over", tls_timeout, Limit::Total, || {
            Peer::hasty(Say::new([], Then::Hold))
        }),
        tls("reset after the ClientHello", Kind::Closed, Limit::None, Say::new([], Then::Reset)),
        tls("closed after the ClientHello", Kind::Closed, Limit::None, Say::all([])),
        tls(
            "closed within a record",
            Kind::Closed,
            Limit::None,
            Say::all([22, 3, 3, 0, 90, 2, 0, 0, 86]),
        ),
        late("a handshake that drips", Say::new([22, 3, 3, 0x3f, 0xff, 2, 0], Then::Drip(vec![0]))),
        late("a handshake that stops", Say::new([22, 3, 3, 0, 90, 2, 0, 0, 86], Then::Hold)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A port whose queue of connections is full: nobody accepts them, and the system drops what comes.
fn black_hole() -> Peer {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut held = Vec::new();
    loop {
        match StdTcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => held.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                break;
            }
        }
        assert!(held.len() < 64, "the queue is never full");
    }
    Peer::holding(address, (listener, held))
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, high, low], body].concat()
}

/// Every alert there is (RFC 8446 section 6, RFC 5246 section 7.2), and one that is none.
fn alerts() -> Vec<Row> {
    const ALERTS: [u8; 33] = [
        10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86,
        100, 109, 110, 111, 112, 113, 114, 115, 116, 120, 255,
    ];
    let fatal = ALERTS.map(|alert| {
        let say = Say::all(record(21, &[2, alert]));
        let peer = move || Peer::plain(move |_| say.clone());
        Row::new(format!("fetch: alert {alert}"), NO_TLS, KIB, fetch(peer)).says("alert")
    });
    let sample = [40, 70, 112, 116, 120].map(|alert| {
        let say = Say::all(record(21, &[2, alert]));
        let peer = move || Peer::plain(move |_| say.clone());
        let want = no_connection(ConnectPhase::Tls, Kind::TlsAlert);
        Row::new(format!("federation: alert {alert}"), want, KIB, federate(Reading::Whole, peer))
    });
    fatal.into_iter().chain(sample).collect()
}

/// Bytes that are no handshake, or a wrong one.
fn records() -> Vec<Row> {
    let of = |name: &str, say: Say| {
        let peer = move || Peer::plain(move |_| say.clone());
        Row::new(format!("fetch: {name}"), NO_TLS, KIB, fetch(peer))
    };
    let hello = |name: &str, make: fn(&[u8]) -> Say| {
        Row::new(format!("fetch: {name}"), NO_TLS, KIB, fetch(move || Peer::plain(make)))
    };
    let flood = |record: Vec<u8>| Say::new([], Then::Flood(record));
    vec![
        of("HTTP on the port", Say::all("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"))
            .says("does not speak TLS"),
        of("HTML on the port", Say::all("<html>400 The plain HTTP request was sent to HTTPS port")),
        of("HTTP/2 on the port", Say::all([0, 0, 0, 4, 0, 0, 0, 0, 0])),
        of("SSH on the port", Say::all("SSH-2.0-OpenSSH_9.9\r\n")),
        of("SMTP on the port", Say::all("220 m.example ESMTP\r\n")),
        of("zeros", Say::new([0; 64], Then::Flood(vec![0; 64]))),
        of("SSL 2", Say::all([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10])),
        of("a record of an unknown type", Say::all(record(99, b"x"))),
        of("a record of SSL 3", Say::all([22, 3, 0, 0, 1, 2])),
        of("a record of 64 KiB", Say::all([&[22, 3, 3, 0xff, 0xff], &[0; 70_000][..]].concat())),
        of("empty records without end", flood(record(22, &[]))),
        of("application data in place of a handshake", Say::all(record(23, &[0; 40]))),
        of("ChangeCipherSpec without end", flood(record(20, &[1]))),
        of("a ChangeCipherSpec of two bytes", Say::all(record(20, &[1, 1]))),
        of("an alert of one byte", Say::all(record(21, &[2]))),
        of("close_notify in place of a handshake", Say::all(record(21, &[1, 0]))),
        of("warnings without end", flood(record(21, &[1, 90]))),
        of("warnings of an unknown kind without end", flood(record(21, &[1, 199]))),
        of(
            "a ServerHello of 16 MiB",
            Say::new(record(22, &[2, 0xff, 0xff, 0xff]), Then::Flood(record(22, &[0; 16_000]))),
        ),
        of(
            "a Certificate of 16 MiB",
            Say::new(record(22, &[11, 0xff, 0xff, 0xff]), Then::Flood(record(22, &[0; 16_000]))),
        ),
        of(
            "a ServerHello in records of one byte",
            Say::new(record(22, &[2, 0, 0xff, 0xff]), Then::Flood(record(22, &[0]))),
        ),
        of("HelloRequest without end", flood(record(22, &[0, 0, 0, 0]))),
        of(
            "a Finished before all else",
            Say::all(record(22, &[20, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ),
        of("a KeyUpdate before all else", Say::all(record(22, &[24, 0, 0, 1, 1]))),
        of(
            "a NewSessionTicket before all else",
            Say::all(record(22, &[4, 0, 0, 6, 0, 0, 0, 0, 0, 0])),
        ),
        of("an unknown handshake message", Say::all(record(22, &[99, 0, 0, 0]))),
        hello("the ClientHello sent back", |hello| Say::all(hello)),
        hello("a ServerHello of an unknown cipher", |hello| {
            Say::all(server_hello(hello, &[7; 32], [0xfa, 0xfa], &[0, 43, 0, 2, 3, 4]))
        }),
        hello("a ServerHello of TLS 1.1", |hello| {
            let mut said = server_hello(hello, &[7; 32], [0, 0x2f], &[]);
            said[10] = 2;
            Say::all(said)
        }),
        hello("a ServerHello without a key share", |hello| {
            Say::all(server_hello(hello, &[7; 32], [0x13, 1], &[0, 43, 0, 2, 3, 4]))
        }),
        hello("a ServerHello with a key share of zeros", |hello| {
            let share = [&[0, 43, 0, 2, 3, 4, 0, 51, 0, 36, 0, 0x1d, 0, 32], &[0; 32][..]].concat();
            Say::all(server_hello(hello, &[7; 32], [0x13, 1], &share))
        }),
        hello("a HelloRetryRequest for an unknown group", |hello| Say::all(retry(hello, 0xfafa))),
        hello("a HelloRetryRequest that changes nothing", |hello| Say::all(retry(hello, 0x1d))),
        hello("HelloRetryRequest without end", |hello| {
            Say::new([], Then::Flood(retry(hello, 0x18)))
        }),
    ]
}

/// A `ServerHello` in answer to this `ClientHello` (RFC 8446 section 4.1.3).
fn server_hello(hello: &[u8], random: &[u8; 32], cipher: [u8; 2], extensions: &[u8]) -> Vec<u8> {
    // Behind the heads of record and message, the version and the random.
    let id = &hello[43..=43 + usize::from(hello[43])];
    let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    let body = [&[3, 3], &random[..], id, &cipher, &[0], &length, extensions].concat();
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    record(22, &[&[2, 0, high, low], &body[..]].concat())
}

/// A `HelloRetryRequest` for a group: a `ServerHello` of a certain random.
fn retry(hello: &[u8], group: u16) -> Vec<u8> {
    const RANDOM: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8,
        0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8,
        0x33, 0x9c,
    ];
    let [high, low] = group.to_be_bytes();
    server_hello(hello, &RANDOM, [0x13, 1], &[0, 43, 0, 2, 3, 4, 0, 51, 0, 2, high, low])
}

/// A server with this chain, whoever signed it, and this key.
fn with_chain(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Arc<ServerConfig> {
    let key = rustls::crypto::ring::sign::any_supported_type(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A certificate of the trusted authority, and its key.
fn pair() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let (certificate, key) = AUTHORITY.pems(&[NAME]);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    (certificate, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

fn serving(config: Arc<ServerConfig>) -> Peer {
    Peer::https(config, |_| Say::all(OK))
}

fn certificates() -> Vec<Row> {
    let bad = |name: &str, kind, config: fn() -> Arc<ServerConfig>| {
        both(name, (FetchFailureKind::Tls, kind), Limit::None, move || serving(config()))
    };
    let faults = [
        bad("a certificate for another name", Kind::WrongName, || {
            Arc::new(AUTHORITY.named("other.example"))
        }),
        bad("a certificate for an address alone", Kind::WrongName, || {
            Arc::new(AUTHORITY.named("127.0.0.1"))
        }),
        bad("a wildcard for another level", Kind::WrongName, || {
            Arc::new(AUTHORITY.named("*.m.example"))
        }),
        bad("a wildcard within a label", Kind::WrongName, || {
            Arc::new(AUTHORITY.named("m*.example"))
        }),
        bad("a certificate without alternative names", Kind::WrongName, || {
            let mut params = params(&[]);
            params.distinguished_name.push(DnType::CommonName, NAME);
            Arc::new(AUTHORITY.server_for(&params))
        }),
        bad("a certificate that has expired", Kind::Expired, || Arc::new(AUTHORITY.expired())),
        bad("a certificate that is not valid yet", Kind::NotYetValid, || {
            let mut params = params(&[NAME]);
            (params.not_before, params.not_after) =
                (date_time_ymd(2500, 1, 1), date_time_ymd(2501, 1, 1));
            Arc::new(AUTHORITY.server_for(&params))
        }),
        bad("a certificate of an untrusted authority", Kind::Untrusted, || {
            Arc::new(Authority::new().server())
        }),
        bad("a certificate signed by itself", Kind::Untrusted, || {
            let key = KeyPair::generate().unwrap();
            let certificate = params(&[NAME]).self_signed(&key).unwrap().der().clone();
            with_chain(vec![certificate], &PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        }),
        bad("a certificate for clients", Kind::BadCertificate, || {
            let mut params = params(&[NAME]);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            Arc::new(AUTHORITY.server_for(&params))
        }),
        bad("a certificate that is none", Kind::BadCertificate, || {
            with_chain(vec![vec![0x30; 100].into()], &pair().1)
        }),
        bad("no certificate", Kind::Tls, || with_chain(Vec::new(), &pair().1)),
        bad("a certificate and the key of another", Kind::BadCertificate, || {
            with_chain(vec![pair().0], &pair().1)
        }),
        bad("a chain of 1 MB", Kind::Tls, || {
            let (certificate, key) = pair();
            let root = AUTHORITY.root();
            let copies = 1_000_000 / root.len();
            with_chain([certificate].into_iter().chain(vec![root; copies]).collect(), &key)
        }),
    ];
    let odd = [
        ("a chain of 60 KB of the root", chain_of_the_root as fn() -> Arc<ServerConfig>),
        ("a chain with garbage behind the certificate", || {
            let (certificate, key) = pair();
            with_chain(vec![certificate, vec![0xff; 2000].into()], &key)
        }),
    ]
    .map(|(name, config)| {
        let peer = move || serving(config());
        Row::new(format!("fetch: {name}"), Outcome::Response(200, 2), KIB * 2, fetch(peer))
    });
    faults.into_iter().flatten().chain(odd).collect()
}

fn chain_of_the_root() -> Arc<ServerConfig> {
    let (certificate, key) = pair();
    let root = AUTHORITY.root();
    let copies = 60_000 / root.len();
    with_chain([certificate].into_iter().chain(vec![root; copies]).collect(), &key)
}

/// A server that does this with a connection once it has read the request.
fn spoiled<F>(config: Arc<ServerConfig>, spoil: fn(TlsStream<TcpStream>) -> F) -> Peer
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    Peer::new(move |stream, _| {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if read_head(&mut stream).await.is_some() {
                let _ = spoil(stream).await;
            }
        }
    })
}

/// Sends this below TLS, and waits for the other side to go.
async fn below(mut stream: TlsStream<TcpStream>, bytes: Vec<u8>) -> io::Result<()> {
    let tcp = stream.get_mut().0;
    tcp.write_all(&bytes).await?;
    while tcp.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// Faults once the handshake is done.
fn later() -> Vec<Row> {
    fn of<F>(name: &str, want: Outcome, spoil: fn(TlsStream<TcpStream>) -> F) -> Row
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let peer = move || spoiled(Arc::clone(&GOOD), spoil);
        Row::new(format!("fetch: after the handshake {name}"), want, KIB, fetch(peer))
    }
    static MANY_TICKETS: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
        let mut config = ServerConfig::clone(&GOOD);
        config.send_tls13_tickets = 200;
        Arc::new(config)
    });
    static ONLY_HTTP_2: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
        let mut config = ServerConfig::clone(&GOOD);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    });
    static ASKING: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(AUTHORITY.root()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Arc::new(AUTHORITY.server_asking(verifier.build().unwrap()))
    });
    vec![
        of("KeyUpdate without end", CUT_OFF, |mut stream| async move {
            for _ in 0..100_000 {
                stream.get_mut().1.refresh_traffic_keys().map_err(io::Error::other)?;
                stream.flush().await?;
            }
            below(stream, Vec::new()).await
        }),
        of("a record that cannot be decrypted", CUT_OFF, |stream| {
            below(stream, record(23, &[7; 100]))
        }),
        of("an alert in the clear", CUT_OFF, |stream| below(stream, record(21, &[2, 40]))),
        of("HTTP in the clear", CUT_OFF, |stream| below(stream, OK.into())),
        of("a record of 64 KiB", CUT_OFF, |stream| below(stream, vec![23, 3, 3, 0xff, 0xff])),
        of("ChangeCipherSpec", CUT_OFF, |stream| below(stream, record(20, &[1]).repeat(1000))),
        of("the handshake's begin again", CUT_OFF, |stream| {
            below(stream, record(22, &[1, 0, 0, 0]))
        }),
        of("half a record", Outcome::Failed(FetchFailureKind::ExchangeTimeout), |stream| {
            below(stream, vec![23, 3, 3, 0, 100, 1, 2, 3])
        })
        .ended_by(Limit::Exchange),
        of("close_notify alone", CUT_OFF, |mut stream| async move { stream.shutdown().await }),
        of("a reset", CUT_OFF, |stream| async move { stream.get_ref().0.set_zero_linger() }),
        of("an end without farewell", CUT_OFF, |stream| async move {
            drop(stream);
            Ok(())
        }),
        Row::new(
            "fetch: 200 session tickets",
            Outcome::Response(200, 2),
            KIB * 2,
            fetch(|| serving(Arc::clone(&MANY_TICKETS))),
        ),
        Row::new(
            "fetch: HTTP/2 alone by ALPN",
            NO_TLS,
            KIB,
            fetch(|| serving(Arc::clone(&ONLY_HTTP_2))),
        )
        .says("alert"),
        Row::new(
            "fetch: a client certificate demanded",
            NO_TLS,
            KIB,
            fetch(|| serving(Arc::clone(&ASKING))),
        )
        .says("certificate"),
        Row::new(
            "federation: a client certificate demanded",
            no_connection(ConnectPhase::Tls, Kind::TlsAlert),
            KIB,
            federate(Reading::Whole, || serving(Arc::clone(&ASKING))),
        ),
    ]
}
