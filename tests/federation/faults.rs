//! Connections that break, at each step of their lives.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use matrix_delegation::client::{ConnectPhase, RequestError};
use matrix_delegation::error::Blame;
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::testing::Network;
use matrix_delegation::time::Now;
use matrix_delegation::transport::{ConnectFailureKind, Dial, DialStream};
use matrix_delegation::{
    Config, Endpoint, FederationClient, FixedTarget, ResolverConfig, TokioRuntime,
};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::attacks::http1;
use super::client::{ask, get, read, until};
use super::loopback::LoopbackDial;
use super::peer::Peer;
use super::server::{Authority, Stream, refusing, serve, silent};
use super::{WATCHDOG, config, connector, delegated, found, generous, resolver, watched};

/// HTTP/2's first words: settings that allow so many streams.
pub(crate) async fn settings(stream: &mut Stream, streams: u8) {
    let frame = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, streams];
    let _ = stream.write_all(&frame).await;
    let _ = stream.flush().await;
}

/// Reads to the end, and says nothing.
pub(crate) async fn drain(stream: &mut Stream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn an_http_2_connection_that_fell_silent_is_given_up() {
    let authority = Authority::new();
    let (address, mut seen) = serve(authority.server(), |mut stream| async move {
        settings(&mut stream, 100).await;
        drain(&mut stream).await;
    })
    .await;
    let mut limits = config();
    (limits.keep_alive, limits.keep_alive_timeout) =
        (Duration::from_millis(50), Duration::from_millis(50));
    let resolver = resolver(delegated(&[address]));
    let client =
        FederationClient::with_config(resolver.clone(), connector(&authority), limits).unwrap();
    for round in 1..=2 {
        let error = ask(&client, "a.example", get("/")).await.unwrap_err();
        let RequestError::Exchange { address: at, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*at, Some(address));
        until(|| client.connections() == 0).await;
        // Each over a connection of its own, and the resolver hears of it.
        watched(seen.recv()).await.unwrap();
        assert_eq!(resolver.counters().reports, round);
    }
    // Without pings it would be waited for.
    limits.keep_alive = Duration::ZERO;
    let client = FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
    let waiting = tokio::spawn(async move { ask(&client, "a.example", get("/")).await });
    watched(seen.recv()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn pings_that_are_answered_keep_a_connection() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let mut limits = config();
    (limits.keep_alive, limits.keep_alive_timeout) = (Duration::from_millis(20), WATCHDOG);
    let resolver = resolver(delegated(&[peer.address]));
    let client = FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
    for _ in 0..3 {
        read(ask(&client, "a.example", get("/")).await).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn extreme_limits_are_taken_as_they_are() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let mut most = config();
    (most.idle, most.age) = (Duration::MAX, Duration::MAX);
    (most.keep_alive, most.keep_alive_timeout) = (Duration::MAX, Duration::MAX);
    (most.connections, most.per_server, most.connecting) = (usize::MAX, usize::MAX, usize::MAX);
    (most.concurrent, most.waiting) = (usize::MAX, usize::MAX);
    most.connecting_waiting = usize::MAX;
    let mut connect = generous();
    (connect.phases.connect, connect.phases.tls) = (Duration::MAX, Duration::MAX);
    connect.total = Duration::MAX;
    connect.phases.attempt_delay = Duration::MAX;
    let resolver = resolver(delegated(&[peer.address]));
    let connector = connector(&authority).with_limits(connect).unwrap();
    let client = FederationClient::with_config(resolver, connector, most).unwrap();
    for _ in 0..2 {
        read(ask(&client, "a.example", get("/")).await).await;
    }
    assert_eq!((peer.accepted(), client.connections()), (1, 1));
}

#[tokio::test]
async fn what_became_of_an_older_target_is_not_for_those_who_come_later() {
    let authority = Authority::new();
    let (mute, right) = (silent().await, Peer::new(authority.server()).await);
    let runtime = Arc::new(TokioRuntime::current());
    let network = Network::on_runtime(delegated(&[mute]), runtime);
    let mut config = Config::default();
    config.address_policy = config.address_policy.allow("127.0.0.0/8".parse().unwrap());
    let client = FederationClient::new(network.resolver(config), connector(&authority));
    let first = client.clone();
    let first = tokio::spawn(async move { ask(&first, "a.example", get("/1")).await });
    until(|| client.resolver().cached(&"a.example".parse().unwrap()).is_some()).await;
    network.set(delegated(&[right.address]));
    client.resolver().clear();
    // The first is connecting still, to where nothing answers.
    read(ask(&client, "a.example", get("/2")).await).await;
    assert!(!first.is_finished());
    first.abort();
}

/// Leads to servers in this process, which end each connection with the last word of the handshake;
/// beyond those ports it is TCP.
#[derive(Debug)]
struct EndsAtOnce {
    config: Arc<ServerConfig>,
    ports: Vec<u16>,
    dialled: Mutex<Vec<u16>>,
}

impl Dial for EndsAtOnce {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        self.dialled.lock().unwrap().push(address.port());
        if !self.ports.contains(&address.port()) {
            return LoopbackDial.dial(address);
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            // In TLS 1.2 the server has the last word. No await gives way in between, so that the
            // client reads both at once.
            if let Ok(mut stream) = acceptor.accept(far).await {
                let _ = stream.shutdown().await;
            }
        });
        Box::pin(async { Ok(Box::new(near) as Box<dyn DialStream>) })
    }
}

fn tls_1_2(authority: &Authority, alpn: &[u8]) -> Arc<ServerConfig> {
    let mut config = authority.server_of(&[&rustls::version::TLS12]);
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn where_connections_end_before_a_request_the_next_endpoint_is_tried() {
    let authority = Authority::new();
    let right = Peer::new(authority.server()).await;
    let config = tls_1_2(&authority, b"http/1.1");
    let dial = Arc::new(EndsAtOnce { config, ports: vec![7001], dialled: Mutex::default() });
    let (_held, dead) = refusing();
    let ends: SocketAddr = "127.0.0.1:7001".parse().unwrap();
    let resolver = resolver(delegated(&[dead, ends, right.address]));
    let connector = connector(&authority).with_dial(Arc::clone(&dial) as Arc<dyn Dial>);
    let client = FederationClient::new(resolver.clone(), connector);
    read(ask(&client, "a.example", get("/")).await).await;
    assert_eq!(*dial.dialled.lock().unwrap(), [dead.port(), 7001, right.address.port()]);
    // The resolver has heard of both.
    assert_eq!(resolver.counters().reports, 2);
    let found = found(&resolver, "a.example").await;
    let order: Vec<_> = found.attempts(1).map(Endpoint::port).collect();
    assert_eq!(order, [right.address.port(), dead.port(), 7001]);
}

#[tokio::test]
async fn where_all_end_so_the_error_keeps_every_attempt() {
    let authority = Authority::new();
    let (_held, dead) = refusing();
    let config = tls_1_2(&authority, b"http/1.1");
    let ports = vec![7001, 7002, 7003, 7004];
    let dial = Arc::new(EndsAtOnce { config, ports: ports.clone(), dialled: Mutex::default() });
    let address = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
    let phases = |error: &RequestError| -> Vec<(u16, ConnectPhase)> {
        let RequestError::Connect(error) = error else { panic!("{error:?}") };
        assert_eq!(error.server_name.as_str(), "a.example");
        error.attempts.iter().map(|attempt| (attempt.port, attempt.phase)).collect()
    };
    let (connect, http) = (ConnectPhase::Connect, ConnectPhase::Http);
    let connector = connector(&authority).with_dial(dial);
    let few = resolver(delegated(&[address(&7001), dead, address(&7002)]));
    let client = FederationClient::new(few, connector.clone());
    let error = ask(&client, "a.example", get("/")).await.unwrap_err();
    assert_eq!(phases(&error), [(7001, http), (dead.port(), connect), (7002, http)]);
    assert!(error.to_string().contains("before a request could be sent"), "{error}");
    // Two that share an address are two.
    let twice = resolver(delegated(&[address(&7001), address(&7001)]));
    let client = FederationClient::new(twice, connector.clone());
    let error = ask(&client, "a.example", get("/")).await.unwrap_err();
    let RequestError::Connect(error) = &error else { panic!("{error:?}") };
    let hosts: Vec<_> = error.attempts.iter().map(|attempt| attempt.host.to_string()).collect();
    assert_eq!(hosts, ["t0.example", "t1.example"]);
    // So many new ones are tried for one request.
    let many: Vec<_> = ports.iter().map(address).collect();
    let client = FederationClient::new(resolver(delegated(&many)), connector);
    let error = ask(&client, "a.example", get("/")).await.unwrap_err();
    assert_eq!(phases(&error), [(7001, http), (7002, http), (7003, http)]);
}

#[tokio::test]
async fn the_resolver_hears_of_a_connection_that_breaks_under_its_first_request() {
    let authority = Authority::new();
    let mut config = authority.server();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let breaking = |bytes: &'static [u8]| {
        serve(config.clone(), move |mut stream| async move {
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            drain(&mut stream).await;
        })
    };
    let right = Peer::new(authority.server()).await;
    for bytes in [&b""[..], b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 200 OK\r\nconte"] {
        let broken = breaking(bytes).await.0;
        let resolver = resolver(delegated(&[broken, right.address]));
        let client = FederationClient::new(resolver.clone(), connector(&authority));
        let error = ask(&client, "a.example", get("/")).await.unwrap_err();
        assert!(matches!(error, RequestError::Exchange { .. }), "{error}");
        assert_eq!(resolver.counters().reports, 1, "{error}");
        // It was sent, so it is not sent again; but the next goes elsewhere.
        read(ask(&client, "a.example", get("/")).await).await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_fault_of_the_server() {
    let authority = Authority::new();
    let peer = Peer::http1(authority.server()).await;
    let resolver = resolver(delegated(&[peer.address]));
    let client = FederationClient::new(resolver.clone(), connector(&authority));
    let frames = [Err::<hyper::body::Frame<hyper::body::Bytes>, _>(io::Error::other("gone"))];
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
    let request = http::Request::put("/").body(body).unwrap();
    let answer = watched(client.request(&"a.example".parse().unwrap(), request)).await;
    let Err(error) = answer else { panic!("{answer:?}") };
    assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
    assert_eq!((error.blame(), error.is_temporary()), (Blame::Caller, false));
    assert!(error.was_sent());
    assert_eq!(resolver.counters().reports, 0);
}

/// Cannot dial for this reason.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hindered {
    Kind(io::ErrorKind),
    Code(i32),
}

impl Dial for Hindered {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        let error = match *self {
            Self::Kind(kind) => kind.into(),
            Self::Code(code) => io::Error::from_raw_os_error(code),
        };
        Box::pin(async { Err(error) })
    }
}

#[tokio::test]
async fn what_hinders_this_machine_is_not_held_against_the_server() {
    use io::ErrorKind::{
        AddrInUse, AddrNotAvailable, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkDown, NetworkUnreachable, Other, OutOfMemory, PermissionDenied, TimedOut,
        Unsupported,
    };
    let authority = Authority::new();
    let kinds = [
        AddrInUse,
        AddrNotAvailable,
        NetworkDown,
        NetworkUnreachable,
        OutOfMemory,
        PermissionDenied,
        Unsupported,
    ];
    // No file descriptor is left.
    let codes: &[i32] = if cfg!(windows) { &[10024] } else { &[23, 24] };
    let codes = codes.iter().copied().map(Hindered::Code);
    let local: Vec<_> = kinds.into_iter().map(Hindered::Kind).chain(codes).collect();
    let remote = [ConnectionRefused, ConnectionReset, HostUnreachable, Other, TimedOut];
    for why in local.iter().copied().chain(remote.map(Hindered::Kind)) {
        let resolver = resolver(delegated(&["127.0.0.1:7001".parse().unwrap()]));
        let connector =
            connector(&authority).with_dial(Arc::new(why)).reporting_to(resolver.clone());
        let target = found(&resolver, "a.example").await;
        let error = watched(connector.connect(&target)).await.unwrap_err();
        let is_local = local.contains(&why);
        let phase = if is_local { ConnectPhase::Local } else { ConnectPhase::Connect };
        assert_eq!(error.attempts[0].phase, phase, "{why:?}");
        let blame = if is_local { Blame::Local } else { Blame::Server };
        assert_eq!((error.blame(), error.was_sent()), (blame, false), "{why:?}");
        assert_eq!(error.is_temporary(), why != Hindered::Kind(Unsupported), "{why:?}");
        assert_eq!(resolver.counters().reports, u64::from(!is_local), "{why:?}");
    }
}

/// Never connects.
#[derive(Debug, Default)]
struct Never(AtomicUsize);

impl Dial for Never {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn when_the_time_has_run_out_nothing_more_is_begun() {
    let authority = Authority::new();
    let addresses = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"].map(|it| it.parse().unwrap());
    let target = FixedTarget::new(addresses).unwrap();
    let target = target.target(&"m.example".parse().unwrap(), Now::EPOCH).unwrap();
    let dial = Arc::new(Never::default());
    let mut limits = generous();
    (limits.total, limits.phases.attempt_delay) = (Duration::from_millis(50), WATCHDOG);
    let connector = connector(&authority)
        .with_limits(limits)
        .unwrap()
        .with_dial(Arc::clone(&dial) as Arc<dyn Dial>);
    let error = watched(connector.connect_to(&target)).await.unwrap_err();
    assert_eq!((error.attempts.len(), dial.0.load(Ordering::Relaxed)), (1, 1), "{error}");
}

#[test]
fn a_client_outlives_the_runtime_it_was_first_used_on() {
    let servers = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let authority = Authority::new();
    let (peer, client) = servers.block_on(async {
        let peer = Peer::new(authority.server()).await;
        let mut limits = config();
        limits.idle = Duration::from_secs(1);
        let resolver = resolver(delegated(&[peer.address]));
        (
            peer.clone(),
            FederationClient::with_config(resolver, connector(&authority), limits).unwrap(),
        )
    });
    for round in 1..=3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            read(ask(&client, "a.example", get("/")).await).await;
            assert_eq!(peer.accepted(), round);
            // The last is still there to see that what is idle gets closed.
            if round == 3 {
                until(|| peer.open() == 0).await;
            }
        });
    }
}

#[tokio::test]
async fn what_is_idle_is_closed_again_and_again() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let mut limits = config();
    limits.idle = Duration::from_secs(1);
    let resolver = resolver(delegated(&[peer.address]));
    let client = FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
    for round in 1..=2 {
        read(ask(&client, "a.example", get("/")).await).await;
        // Nobody asks for it: it is closed all the same.
        until(|| peer.open() == 0).await;
        assert_eq!(peer.accepted(), round);
    }
}

#[tokio::test]
async fn a_server_that_fails_is_tried_last_for_a_while() {
    let authority = Authority::new();
    let (_held, dead) = refusing();
    let right = Peer::new(authority.server()).await;
    let network =
        Network::on_runtime(delegated(&[dead, right.address]), Arc::new(TokioRuntime::current()));
    for (demoted, again) in [(WATCHDOG, 0), (Duration::ZERO, 1)] {
        let mut config = ResolverConfig::default();
        let policy = config.discovery.address_policy.clone();
        config.discovery.address_policy = policy.allow("127.0.0.0/8".parse().unwrap());
        config.feedback.demoted = demoted;
        let resolver = network.resolver(config);
        let connector = connector(&authority).reporting_to(resolver.clone());
        let first = found(&resolver, "a.example").await;
        let first = watched(connector.connect(&first)).await.unwrap();
        assert_eq!(first.failed_attempts().len(), 1);
        let second = found(&resolver, "a.example").await;
        let second = watched(connector.connect(&second)).await.unwrap();
        assert_eq!(second.failed_attempts().len(), again);
    }
}

/// Under TLS 1.3 the client takes the handshake for done before the server objects to it.
#[tokio::test]
async fn a_server_that_demands_a_client_certificate_is_said_to_do_so() {
    let authority = Authority::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let demanding = authority.server_asking(clients.build().unwrap());
    let bad = Peer::new(demanding.clone()).await;
    for peer in [Peer::new(demanding.clone()).await, Peer::http1(demanding).await] {
        let resolver = resolver(delegated(&[peer.address]));
        let client = FederationClient::new(resolver.clone(), connector(&authority));
        let error = ask(&client, "a.example", get("/")).await.unwrap_err();
        assert!(error.to_string().contains("demands a client certificate"), "{error:?}");
        let RequestError::Connect(error) = error else { panic!("{error:?}") };
        let [attempt] = error.attempts.as_slice() else { panic!("{error:?}") };
        assert_eq!(
            (attempt.phase, attempt.kind),
            (ConnectPhase::Tls, ConnectFailureKind::TlsAlert)
        );
        assert_eq!((attempt.address, error.is_temporary()), (Some(peer.address), false));
        assert_eq!((peer.asked().len(), resolver.counters().reports), (0, 1));
    }
    // Where another endpoint does not, the request goes there.
    let good = Peer::new(authority.named("m.example")).await;
    let resolver = resolver(delegated(&[bad.address, good.address]));
    let client = FederationClient::new(resolver, connector(&authority));
    read(ask(&client, "a.example", get("/")).await).await;
    assert_eq!((bad.asked().len(), good.asked().len()), (0, 1));
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_was_sent_whatever_follows() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(http1(&authority)));
    // One connection, one response on it, and nobody listens any more.
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut stream = acceptor.accept(stream).await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        head(&mut stream).await;
    });
    let client = FederationClient::new(resolver(delegated(&[address])), connector(&authority));
    read(ask(&client, "a.example", get("/")).await).await;
    until(|| client.connections() == 1).await;
    // It is sent again, for which there is no connection.
    let error = ask(&client, "a.example", get("/")).await.unwrap_err();
    assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
    assert!(error.was_sent());
}

/// Reads the head of a request.
async fn head(stream: &mut tokio_rustls::server::TlsStream<TcpStream>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}
