//! Handshakes on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use matrix_delegation::certificate::{AddressCheck, CheckStatus, ProbeLimits, TlsVersion};
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::testing::{Internet, documentation_allowed};
use matrix_delegation::transport::{Dial, DialStream, TcpDial};
use matrix_delegation::{CertificateProbe, Config};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::authority::authority_params;
use super::*;

/// Far beyond whatever a test is about; it only keeps a hanging test from hanging for good.
pub(super) const WATCHDOG: Duration = Duration::from_secs(60);

/// The limit a test runs into.
const SHORT: Duration = Duration::from_millis(300);

#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(at(NOW))
    }
}

fn limits() -> ProbeLimits {
    let mut limits = ProbeLimits::default();
    (limits.phases.connect, limits.phases.tls, limits.total) = (WATCHDOG, WATCHDOG, WATCHDOG);
    limits
}

pub(super) fn probe(authority: &Authority) -> CertificateProbe {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let probe = CertificateProbe::new(roots, provider).unwrap();
    probe.with_limits(limits()).unwrap().with_clock(Arc::new(Clock))
}

async fn check(
    probe: &CertificateProbe,
    name: &str,
    addresses: &[SocketAddr],
) -> Vec<AddressCheck> {
    let fixed = FixedTarget::new(addresses.iter().copied()).unwrap();
    let target = fixed.target(&name.parse().unwrap(), Now::EPOCH).unwrap();
    let checks = probe.check_certificates(&target);
    let checks = tokio::time::timeout(WATCHDOG, checks).await.expect("the watchdog bit");
    for check in &checks {
        println!("{check}");
        let json = serde_json::to_string(check).unwrap();
        assert_eq!(serde_json::from_str::<AddressCheck>(&json).unwrap(), *check);
    }
    checks
}

async fn check_one(probe: &CertificateProbe, address: SocketAddr) -> AddressCheck {
    check(probe, "m.example", &[address]).await.pop().unwrap()
}

/// Shows this chain, whatever key it has.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn server(
    versions: &[&'static SupportedProtocolVersion],
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    alpn: &[&str],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shown = Arc::new(Shows(Arc::new(CertifiedKey::new(chain, key))));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    config
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const ONLY_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// A server of both versions and protocols with a certificate made of these.
pub(super) fn shows(authority: &Authority, params: &CertificateParams) -> ServerConfig {
    let (leaf, key) = authority.issue_with_key(params);
    server(BOTH, vec![leaf], &key, &["h2", "http/1.1"])
}

/// What a server made of a connection.
#[derive(Debug)]
pub(super) struct Seen {
    sni: Option<String>,
    /// All application data until the client's good-bye, or why there was no handshake.
    received: Result<Vec<u8>, String>,
}

pub(super) async fn serve(config: ServerConfig) -> (SocketAddr, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (seen, all) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                let it = match acceptor.accept(stream).await {
                    Ok(mut stream) => {
                        let sni = stream.get_ref().1.server_name().map(str::to_owned);
                        // Unasked for: nobody may read it.
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                        let mut received = Vec::new();
                        let end = stream.read_to_end(&mut received).await;
                        let received = end.map(|_| received).map_err(|it| it.to_string());
                        Seen { sni, received }
                    }
                    Err(error) => Seen { sni: None, received: Err(error.to_string()) },
                };
                let _ = seen.send(it);
            });
        }
    });
    (address, all)
}

/// Each thing that can be wrong with a certificate, and the alert that the server is sent.
fn wrongs(authority: &Authority) -> Vec<(CheckStatus, ServerConfig, &'static str)> {
    let mut expired = params(&["m.example"]);
    expired.not_after = date_time_ymd(2025, 12, 31);
    let mut early = params(&["m.example"]);
    early.not_before = date_time_ymd(2026, 1, 2);
    let mut client = params(&["m.example"]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let stranger = Authority::new("stranger");
    vec![
        (CheckStatus::WrongName, shows(authority, &params(&["a.example"])), "BadCertificate"),
        (CheckStatus::Expired, shows(authority, &expired), "CertificateExpired"),
        (CheckStatus::NotYetValid, shows(authority, &early), "CertificateExpired"),
        (CheckStatus::Untrusted, shows(&stranger, &params(&["m.example"])), "UnknownCA"),
        (CheckStatus::HandshakeFailed, shows(authority, &client), "UnsupportedCertificate"),
    ]
}

#[tokio::test]
async fn a_good_certificate_is_valid_and_nothing_is_said() {
    let authority = Authority::new("root");
    let (address, mut seen) = serve(shows(&authority, &params(&["m.example"]))).await;
    let check = check_one(&probe(&authority), address).await;
    assert_eq!(check.status, CheckStatus::Valid);
    assert_eq!((check.tls_version, check.alpn.as_deref()), (Some(TlsVersion::Tls13), Some("h2")));
    assert_eq!((check.address, check.detail.as_deref()), (Some(address), None));
    assert_eq!(check.endpoint, address.to_string());
    assert!(check.report.as_ref().unwrap().is_valid());
    assert_eq!(check.to_string(), format!("{address}: valid (TLS 1.3, h2)"));
    let seen = seen.recv().await.unwrap();
    assert_eq!(seen.sni.as_deref(), Some("m.example"));
    // An orderly good-bye, and not a byte before it.
    assert_eq!(seen.received, Ok(Vec::new()));
}

#[tokio::test]
async fn a_bad_certificate_is_refused_and_reported_with_version_and_protocol() {
    let authority = Authority::new("root");
    let probe = probe(&authority);
    for versions in [BOTH, ONLY_1_2] {
        for (status, mut config, alert) in wrongs(&authority) {
            if versions.len() == 1 {
                config = ServerConfig::builder_with_provider(Arc::clone(config.crypto_provider()))
                    .with_protocol_versions(versions)
                    .unwrap()
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::clone(&config.cert_resolver));
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
            }
            let (address, mut seen) = serve(config).await;
            let check = check_one(&probe, address).await;
            assert_eq!(check.status, status);
            let spoken = if versions.len() == 1 {
                (Some(TlsVersion::Tls12), Some("http/1.1"))
            } else {
                (Some(TlsVersion::Tls13), Some("h2"))
            };
            assert_eq!((check.tls_version, check.alpn.as_deref()), spoken, "{check}");
            assert!(!check.report.as_ref().unwrap().is_valid());
            assert_eq!(check.detail, None);
            // To the server there was no handshake: it could neither say nor hear anything.
            let received = seen.recv().await.unwrap().received;
            assert!(received.as_ref().is_err_and(|it| it.contains(alert)), "{received:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_comes_about_where_the_check_says_so() {
    let authority = Authority::new("root");
    let mut roots = RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_protocol_versions(BOTH)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut configs = vec![shows(&authority, &params(&["m.example"]))];
    configs.push(shows(&authority, &params(&["*.example", "m.example"])));
    configs.push(shows(&authority, &params(&["*.example"])));
    configs.extend(wrongs(&authority).into_iter().map(|(_, config, _)| config));
    let mut valid = 0;
    for config in configs {
        let (address, _seen) = serve(config).await;
        let check = check_one(&probe(&authority), address).await;
        let name = target("m.example").tls_name().to_owned();
        let stream = TcpStream::connect(address).await.unwrap();
        let connected = connector.connect(name, stream).await;
        assert_eq!(connected.is_ok(), check.status == CheckStatus::Valid, "{check}");
        valid += usize::from(connected.is_ok());
    }
    assert_eq!(valid, 2);
}

/// Keeps what is sent through it.
#[derive(Clone, Debug, Default)]
struct Tap(Arc<Mutex<Vec<u8>>>);

impl Dial for Tap {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        let sent = Arc::clone(&self.0);
        Box::pin(async move {
            let mut real = TcpStream::connect(address).await?;
            let (near, mut far) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                let (mut from_server, mut to_server) = real.split();
                let (mut from_client, mut to_client) = tokio::io::split(&mut far);
                let up = async {
                    let mut buffer = vec![0; 4096];
                    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                        sent.lock().unwrap().extend(&buffer[..length]);
                        if to_server.write_all(&buffer[..length]).await.is_err() {
                            break;
                        }
                    }
                    let _ = to_server.shutdown().await;
                };
                let down = tokio::io::copy(&mut from_server, &mut to_client);
                let _ = tokio::join!(up, down);
            });
            Ok(Box::new(near) as Box<dyn DialStream>)
        })
    }
}

/// The content type of each TLS record (RFC 5246 section 6.2.1), and its length.
fn records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(*high) << 8 | usize::from(*low);
        records.push((*kind, length));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty());
    records
}

#[tokio::test]
async fn no_application_data_leaves_on_a_bad_certificate() {
    const CHANGE_CIPHER_SPEC: u8 = 20;
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const APPLICATION_DATA: u8 = 23;
    let authority = Authority::new("root");
    for (_, config, _) in wrongs(&authority) {
        let tap = Tap::default();
        let (address, mut seen) = serve(config).await;
        check_one(&probe(&authority).with_dial(Arc::new(tap.clone())), address).await;
        assert!(seen.recv().await.unwrap().received.is_err());
        let sent = records(&tap.0.lock().unwrap());
        // A hello and an alert, which TLS 1.3 seals as if it were application data: 2 bytes, its
        // type and a tag of 16 (RFC 8446 sections 5.2 and 6).
        assert_eq!(sent[0].0, HANDSHAKE);
        for (kind, length) in &sent[1..] {
            let alert = *kind == ALERT || (*kind, *length) == (APPLICATION_DATA, 2 + 1 + 16);
            assert!(alert || *kind == CHANGE_CIPHER_SPEC, "{sent:?}");
        }
        assert!(sent.iter().filter(|it| it.0 == APPLICATION_DATA || it.0 == ALERT).count() == 1);
    }
    // With TLS 1.2 the types are in the open.
    let tap = Tap::default();
    let (leaf, key) = authority.issue_with_key(&params(&["a.example"]));
    let (address, mut seen) = serve(server(ONLY_1_2, vec![leaf], &key, &[])).await;
    check_one(&probe(&authority).with_dial(Arc::new(tap.clone())), address).await;
    assert!(seen.recv().await.unwrap().received.is_err());
    let kinds: Vec<u8> = records(&tap.0.lock().unwrap()).iter().map(|it| it.0).collect();
    assert_eq!(kinds, [HANDSHAKE, ALERT]);
}

#[tokio::test]
async fn versions_and_protocols_are_the_servers_choice() {
    let authority = Authority::new("root");
    for (versions, version) in [(BOTH, TlsVersion::Tls13), (ONLY_1_2, TlsVersion::Tls12)] {
        for (alpn, chosen) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&["http/1.1", "h2"], Some("http/1.1")),
            (&[], None),
        ] {
            let (leaf, key) = authority.issue_with_key(&params(&["m.example"]));
            let (address, _seen) = serve(server(versions, vec![leaf], &key, alpn)).await;
            let check = check_one(&probe(&authority), address).await;
            assert_eq!((check.status, check.tls_version), (CheckStatus::Valid, Some(version)));
            assert_eq!(check.alpn.as_deref(), chosen);
        }
    }
    let (leaf, key) = authority.issue_with_key(&params(&["m.example"]));
    let (address, _seen) = serve(server(BOTH, vec![leaf], &key, &["smtp"])).await;
    let check = check_one(&probe(&authority), address).await;
    assert_eq!(check.status, CheckStatus::HandshakeFailed);
    assert!(check.detail.unwrap().contains("NoApplicationProtocol"));
}

#[tokio::test]
async fn a_server_must_hold_the_key_of_its_certificate() {
    let authority = Authority::new("root");
    let leaf = authority.issue(&params(&["m.example"]));
    for versions in [BOTH, ONLY_1_2] {
        let config = server(versions, vec![leaf.clone()], &KeyPair::generate().unwrap(), &[]);
        let (address, _seen) = serve(config).await;
        let check = check_one(&probe(&authority), address).await;
        assert_eq!(check.status, CheckStatus::HandshakeFailed);
        assert!(check.report.as_ref().unwrap().is_valid());
        assert!(check.detail.unwrap().contains("BadSignature"));
    }
}

#[tokio::test]
async fn an_intermediate_is_used_where_it_is_shown() {
    let authority = Authority::new("root");
    let middle = authority.below(authority_params("middle"));
    let (leaf, key) = middle.issue_with_key(&params(&["127.0.0.1"]));
    let whole = server(BOTH, vec![leaf.clone(), middle.root()], &key, &[]);
    let (whole, mut seen) = serve(whole).await;
    let (cut, _seen) = serve(server(BOTH, vec![leaf], &key, &[])).await;
    let checks = check(&probe(&authority), "127.0.0.1", &[cut, whole]).await;
    let statuses: Vec<_> = checks.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [CheckStatus::Untrusted, CheckStatus::Valid]);
    // For an IP address there is no SNI.
    assert_eq!(seen.recv().await.unwrap().sni, None);
}

/// Never connects.
#[derive(Debug)]
struct Never;
impl Dial for Never {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_unreachable() {
    let authority = Authority::new("root");
    // Bound, not listening.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let check = check_one(&probe(&authority), held.local_addr().unwrap()).await;
    assert_eq!((check.status, check.tls_version), (CheckStatus::Unreachable, None));
    assert!(check.report.is_none() && check.detail.is_some());

    let mut limits = limits();
    limits.phases.connect = SHORT;
    let probe = probe(&authority).with_dial(Arc::new(Never)).with_limits(limits).unwrap();
    let check = check_one(&probe, "192.0.2.1:1".parse().unwrap()).await;
    assert_eq!(check.status, CheckStatus::Unreachable);
    assert_eq!(check.detail.as_deref(), Some("no connection within 300ms"));
}

/// A server that does this with each connection.
async fn raw<F: Future<Output = ()> + Send + 'static>(
    does: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(does(stream));
        }
    });
    address
}

#[tokio::test]
async fn what_speaks_no_tls_fails_the_handshake() {
    let authority = Authority::new("root");
    let plain = raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let hangs_up = raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    // One handshake message of 16 MiB without an end, in records of 16 KiB.
    let endless = raw(|mut stream| async move {
        let mut record = vec![22, 3, 3, 0x40, 0];
        record.extend([2, 0xff, 0xff, 0xff]);
        record.resize(5 + 0x4000, 0);
        while stream.write_all(&record).await.is_ok() {}
    })
    .await;
    // Records that may be skipped: only the bound on their number or their bytes ends it.
    let idle = raw(|mut stream| async move {
        while stream.write_all(&[20, 3, 3, 0, 1, 1]).await.is_ok() {}
    })
    .await;
    let other = raw(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for (address, detail) in [
        (plain, "the server does not speak TLS there, but plain HTTP"),
        (other, "the server does not speak TLS there"),
        (hangs_up, ""),
        (endless, ""),
        (idle, ""),
    ] {
        let check = check_one(&probe(&authority), address).await;
        assert_eq!((check.status, check.tls_version), (CheckStatus::HandshakeFailed, None));
        assert!(check.report.is_none());
        let said = check.detail.unwrap();
        assert!(if detail.is_empty() { !said.is_empty() } else { said == detail }, "{said}");
    }
}

/// Lets so many bytes of the server through and then hangs up.
#[derive(Debug)]
struct Cut(usize);

impl Dial for Cut {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        let most = u64::try_from(self.0).unwrap();
        Box::pin(async move {
            let mut real = TcpStream::connect(address).await?;
            let (near, far) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                let (from_server, mut to_server) = real.split();
                let (mut from_client, mut to_client) = tokio::io::split(far);
                let up = tokio::io::copy(&mut from_client, &mut to_server);
                let mut some = from_server.take(most);
                let down = async {
                    let _ = tokio::io::copy(&mut some, &mut to_client).await;
                    let _ = to_client.shutdown().await;
                };
                let _ = tokio::join!(up, down);
            });
            Ok(Box::new(near) as Box<dyn DialStream>)
        })
    }
}

/// Wherever a server breaks off there is a status, and `valid` only where all was said.
#[tokio::test]
async fn a_handshake_may_break_off_anywhere() {
    let authority = Authority::new("root");
    for versions in [BOTH, ONLY_1_2] {
        let (leaf, key) = authority.issue_with_key(&params(&["m.example"]));
        let (address, _seen) = serve(server(versions, vec![leaf], &key, &["h2"])).await;
        let mut last = (CheckStatus::HandshakeFailed, None);
        for most in (0..2000).step_by(37) {
            let check = check_one(&probe(&authority).with_dial(Arc::new(Cut(most))), address).await;
            let now = (check.status, check.tls_version);
            if now.0 == CheckStatus::HandshakeFailed {
                assert_eq!(last.0, now.0, "{most}");
                assert!(last.1.is_none() || now.1.is_some(), "{most}");
                let detail = check.detail.unwrap();
                assert_eq!(detail, "the server hung up in the middle of the handshake");
            } else {
                assert_eq!(now.0, CheckStatus::Valid);
                assert!(check.report.unwrap().is_valid());
            }
            last = now;
        }
        assert_eq!(last.0, CheckStatus::Valid);
    }
}

/// A server that asks for a certificate of the client, and may require it.
fn asks_clients(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    is_required: bool,
) -> ServerConfig {
    let (leaf, key) = authority.issue_with_key(&params(&["m.example"]));
    let plain = server(versions, vec![leaf], &key, &[]);
    let mut roots = RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::clone(plain.crypto_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let clients = if is_required { clients } else { clients.allow_unauthenticated() };
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_cert_resolver(Arc::clone(&plain.cert_resolver))
}

/// With TLS 1.3 a client is done before the server has seen that it shows no certificate.
#[tokio::test]
async fn a_server_may_want_a_certificate_of_the_client() {
    let authority = Authority::new("root");
    for (versions, is_required) in
        [(BOTH, true), (ONLY_1_2, true), (BOTH, false), (ONLY_1_2, false)]
    {
        let (address, mut seen) = serve(asks_clients(&authority, versions, is_required)).await;
        let check = check_one(&probe(&authority), address).await;
        let status = if is_required { CheckStatus::HandshakeFailed } else { CheckStatus::Valid };
        assert_eq!(check.status, status, "{check}");
        assert!(check.report.as_ref().unwrap().is_valid());
        let said = check.detail.unwrap_or_default();
        assert_eq!(said.contains("demands a client certificate"), is_required, "{said}");
        assert_eq!(seen.recv().await.unwrap().received.is_err(), is_required);
    }
}

/// A network in this process with one server, which is silent once the handshake is over.
struct Reticent(TlsAcceptor);

impl std::fmt::Debug for Reticent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reticent")
    }
}

impl Dial for Reticent {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let accepted = self.0.accept(far);
        tokio::spawn(async move {
            let _held = accepted.await;
            std::future::pending::<()>().await;
        });
        Box::pin(async { Ok(Box::new(near) as Box<dyn DialStream>) })
    }
}

/// On virtual time: the handshake takes none, and the wait for an objection more than a handshake may.
#[tokio::test(start_paused = true)]
async fn who_asks_for_a_certificate_and_says_nothing_has_no_objection() {
    let authority = Authority::new("root");
    let config = asks_clients(&authority, BOTH, false);
    let mut limits = limits();
    limits.phases.tls = SHORT;
    let probe = probe(&authority).with_limits(limits).unwrap();
    let probe = probe.with_dial(Arc::new(Reticent(TlsAcceptor::from(Arc::new(config)))));
    let check = check_one(&probe, "192.0.2.1:8448".parse().unwrap()).await;
    assert_eq!(check.status, CheckStatus::Valid, "{check}");
}

#[tokio::test]
async fn silence_has_its_limit() {
    let authority = Authority::new("root");
    let silent = raw(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut limits = limits();
    limits.phases.tls = SHORT;
    let check = check_one(&probe(&authority).with_limits(limits).unwrap(), silent).await;
    assert_eq!(check.status, CheckStatus::HandshakeFailed);
    assert_eq!(check.detail.as_deref(), Some("no handshake within 300ms"));
}

#[tokio::test]
async fn who_does_not_wait_leaves_nothing_behind() {
    let (gone, mut told) = mpsc::unbounded_channel();
    let silent = raw(move |mut stream| {
        let gone = gone.clone();
        async move {
            gone.send("connected").unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
            gone.send("closed").unwrap();
        }
    })
    .await;
    let probe = probe(&Authority::new("root"));
    let fixed = FixedTarget::new([silent]).unwrap();
    let target = fixed.target(&"m.example".parse().unwrap(), Now::EPOCH).unwrap();
    tokio::select! {
        checks = probe.check_certificates(&target) => panic!("{checks:?}"),
        it = told.recv() => assert_eq!(it, Some("connected")),
    }
    let end = tokio::time::timeout(WATCHDOG, told.recv()).await.expect("the watchdog bit");
    assert_eq!(end, Some("closed"));
}

/// Counts the dials and how many are under way at a time; nothing is there.
#[derive(Debug, Default)]
struct Counting(Mutex<(Vec<SocketAddr>, usize, usize)>);

impl Dial for Counting {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        Box::pin(async move {
            {
                let mut counts = self.0.lock().unwrap();
                counts.0.push(address);
                counts.1 += 1;
                counts.2 = counts.2.max(counts.1);
            }
            tokio::task::yield_now().await;
            self.0.lock().unwrap().1 -= 1;
            Err(io::ErrorKind::ConnectionRefused.into())
        })
    }
}

#[tokio::test]
async fn every_address_is_tried_once_a_few_at_a_time_in_order() {
    let counting = Arc::new(Counting::default());
    let probe = probe(&Authority::new("root")).with_dial(Arc::clone(&counting) as _);
    let each: Vec<SocketAddr> = (1..=30).map(|port| ([192, 0, 2, 1], port).into()).collect();
    let twice: Vec<SocketAddr> = each.iter().chain(&each).copied().collect();
    let checks = check(&probe, "m.example", &twice).await;
    let checked: Vec<_> = checks.iter().filter_map(|it| it.address).collect();
    assert_eq!(checked, each);
    let (mut dialled, under_way, most) = counting.0.lock().unwrap().clone();
    dialled.sort_unstable();
    assert_eq!((dialled, under_way), (each, 0));
    assert!(most <= 8, "{most} at a time");
}

/// Nobody is there, or somebody who says nothing; it counts who asked.
#[derive(Debug, Default)]
struct Silent {
    connects: bool,
    dialled: AtomicUsize,
}

impl Dial for Silent {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            if !self.connects {
                std::future::pending::<()>().await;
            }
            let (near, far) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                let _held = far;
                std::future::pending::<()>().await;
            });
            Ok(Box::new(near) as Box<dyn DialStream>)
        })
    }
}

/// A target of 20 hosts with 16 addresses each, the most that there are by default.
fn largest() -> Arc<DelegationTarget> {
    let (mut internet, mut records) = (Internet::new(), Vec::new());
    let names: Vec<String> = (0..20).map(|host| format!("f{host}.example")).collect();
    for (host, name) in names.iter().enumerate() {
        let addresses: Vec<String> = (1..=8)
            .flat_map(|at| [format!("192.0.2.{}", host * 8 + at), format!("2001:db8::{host}:{at}")])
            .collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        internet = internet.host(name, &addresses);
        records.push((10, 0, 8448, name.as_str()));
    }
    let internet = internet.srv("_matrix-fed._tcp.m.example", &records);
    let config = documentation_allowed(Config::default());
    internet.resolve("m.example".parse().unwrap(), &config).outcome.unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_addresses_together_have_their_limit() {
    let dial = Arc::new(Silent::default());
    let mut limits = ProbeLimits::default();
    // Rounds of 8 at 0 s, 7 s, ..., 56 s; the last is cut short.
    limits.phases.connect = Duration::from_secs(7);
    let probe = probe(&Authority::new("root")).with_limits(limits).unwrap().with_dial(dial.clone());
    let target = largest();
    let began = tokio::time::Instant::now();
    let checks = probe.check_certificates(&target).await;
    assert_eq!(began.elapsed(), ProbeLimits::default().total);
    assert_eq!(checks.len(), 20 * 16);
    assert!(checks.iter().all(|it| it.status == CheckStatus::Unreachable));
    let said =
        |detail: &str| checks.iter().filter(|it| it.detail.as_deref() == Some(detail)).count();
    assert_eq!(said("no connection within 7s"), 8 * 8);
    assert_eq!(said("no connection before the 60s for all addresses were over"), 8);
    assert_eq!(said("not tried: the 60s for all addresses were over"), 20 * 16 - 9 * 8);
    assert_eq!(dial.dialled.load(Ordering::Relaxed), 9 * 8);
}

#[tokio::test(start_paused = true)]
async fn handshakes_end_with_the_limit_for_all() {
    let dial = Arc::new(Silent { connects: true, ..Silent::default() });
    let mut limits = ProbeLimits::default();
    limits.total = Duration::from_secs(3);
    let probe = probe(&Authority::new("root")).with_limits(limits).unwrap().with_dial(dial);
    let nine: Vec<SocketAddr> = (1..=9).map(|port| ([192, 0, 2, 1], port).into()).collect();
    let checks = check(&probe, "m.example", &nine).await;
    let (status, detail) = (checks[0].status, checks[0].detail.as_deref());
    assert_eq!(status, CheckStatus::HandshakeFailed);
    assert_eq!(detail, Some("no handshake before the 3s for all addresses were over"));
    assert_eq!(
        checks[8].to_string(),
        "192.0.2.1:9: unreachable: not tried: the 3s for all addresses were over"
    );
}

/// A proxy that knows where a name is.
#[derive(Debug)]
struct Proxy(SocketAddr);

impl Dial for Proxy {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        panic!("no address was given, but {address} is dialled")
    }

    fn dial_name<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn DialStream>>> {
        assert_eq!((host, port), ("m.example", 8448));
        TcpDial.dial(self.0)
    }
}

#[tokio::test]
async fn where_a_proxy_looks_up_it_is_asked_for_the_name() {
    let authority = Authority::new("root");
    let (address, _seen) = serve(shows(&authority, &params(&["m.example"]))).await;
    let config = documentation_allowed(Config::default()).with_addresses(AddressFamilies::ByProxy);
    let run = Internet::new().resolve("m.example:8448".parse().unwrap(), &config);
    let target = run.outcome.unwrap();
    let probe = probe(&authority).with_dial(Arc::new(Proxy(address)));
    let checks = probe.check_certificates(&target).await;
    assert_eq!(checks.len(), 1);
    assert_eq!((checks[0].address, checks[0].status), (None, CheckStatus::Valid));
    assert_eq!(checks[0].to_string(), "m.example:8448: valid (TLS 1.3, h2)");
}
