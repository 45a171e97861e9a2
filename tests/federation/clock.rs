//! When what is tried, and for how long connections are kept: on virtual time, with servers in the
//! same process.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use matrix_delegation::client::{ClientConfig, ConnectLimits, ConnectPhase};
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::transport::{ConnectFailureKind, Dial, DialStream};
use matrix_delegation::{Config, Connector, FederationClient, TokioRuntime, TrustedRoots};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::client::{ask, get, read, until};
use super::peer::Peer;
use super::server::Authority;
use super::{delegated, found};

/// What is behind an address.
#[derive(Clone)]
enum Behind {
    /// Nobody answers.
    Nothing,
    Refuses,
    /// It connects and says nothing.
    Mute,
    /// It connects and says something else than TLS.
    Garbage,
    /// It accepts after so many milliseconds.
    Late(u64, Box<Behind>),
    Serves(Peer, Arc<ServerConfig>),
}

/// A network in this process.
struct Wires {
    begun: Instant,
    behind: HashMap<SocketAddr, Behind>,
    dialled: Arc<Mutex<Vec<(u128, SocketAddr)>>>,
    /// Dials that were dropped before they were over.
    dropped: Arc<Mutex<Vec<SocketAddr>>>,
}

impl std::fmt::Debug for Wires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wires")
    }
}

impl Wires {
    fn new(behind: impl IntoIterator<Item = (SocketAddr, Behind)>) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            behind: behind.into_iter().collect(),
            dialled: Arc::default(),
            dropped: Arc::default(),
        })
    }

    /// Each dial so far: after how many milliseconds, to where.
    fn dialled(&self) -> Vec<(u128, String)> {
        let dialled = self.dialled.lock().unwrap();
        dialled.iter().map(|(at, address)| (*at, address.to_string())).collect()
    }

    fn connector(self: &Arc<Self>, authority: &Authority) -> Connector {
        let roots = TrustedRoots::only_added().with_certificate(authority.root());
        Connector::with_roots(roots).unwrap().with_dial(Arc::clone(self) as Arc<dyn Dial>)
    }
}

/// Says when it is dropped, unless it was over.
struct Watch(Option<SocketAddr>, Arc<Mutex<Vec<SocketAddr>>>);

impl Watch {
    const fn over(&mut self) {
        self.0 = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.1.lock().unwrap().extend(self.0);
    }
}

impl Dial for Wires {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        self.dialled.lock().unwrap().push((self.begun.elapsed().as_millis(), address));
        let behind = self.behind.get(&address).cloned().unwrap_or(Behind::Nothing);
        let mut watch = Watch(Some(address), Arc::clone(&self.dropped));
        Box::pin(async move {
            let (near, mut far) = tokio::io::duplex(1 << 16);
            let behind = match behind {
                Behind::Late(ms, behind) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    *behind
                }
                behind => behind,
            };
            match behind {
                Behind::Nothing | Behind::Late(..) => std::future::pending().await,
                Behind::Refuses => {
                    watch.over();
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                Behind::Mute => std::mem::forget(far),
                Behind::Garbage => far.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await?,
                Behind::Serves(peer, config) => {
                    tokio::spawn(peer.serve(TlsAcceptor::from(config), far, 100));
                }
            }
            watch.over();
            Ok(Box::new(near) as Box<dyn DialStream>)
        })
    }
}

fn address(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn serves(config: ServerConfig) -> Behind {
    Behind::Serves(Peer::silent(address("192.0.2.1:8448")), Arc::new(config))
}

/// A resolver to which documentation addresses are public, on this runtime's clock.
fn resolver(internet: Internet) -> matrix_delegation::Resolver {
    let mut config = Config::default();
    for range in ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"] {
        config.address_policy = config.address_policy.allow(range.parse().unwrap());
    }
    Network::on_runtime(internet, Arc::new(TokioRuntime::current())).resolver(config)
}

#[tokio::test(start_paused = true)]
async fn families_take_turns_a_quarter_of_a_second_apart_and_losers_are_dropped() {
    let authority = Authority::new();
    let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"];
    let internet = Internet::new().host("m.example", &addresses);
    let target = found(&resolver(internet), "m.example:8448").await;
    let wires = Wires::new([(address("[2001:db8::2]:8448"), serves(authority.server()))]);
    let connection = wires.connector(&authority).connect_with_seed(&target, 0).await.unwrap();
    assert_eq!(connection.address(), Some(address("[2001:db8::2]:8448")));
    assert_eq!(connection.failed_attempts(), []);
    let expected = [
        (0, "192.0.2.1:8448"),
        (250, "[2001:db8::1]:8448"),
        (500, "192.0.2.2:8448"),
        (750, "[2001:db8::2]:8448"),
    ];
    assert_eq!(wires.dialled(), expected.map(|(at, address)| (at, address.to_owned())));
    let mut dropped: Vec<_> = wires.dropped.lock().unwrap().clone();
    dropped.sort();
    let losers = ["192.0.2.1:8448", "192.0.2.2:8448", "[2001:db8::1]:8448"];
    assert_eq!(dropped, losers.map(address));

    // Another contact begins with another of each family.
    let wires = Wires::new([]);
    wires.connector(&authority).connect_with_seed(&target, 1).await.unwrap_err();
    let order: Vec<_> = wires.dialled().into_iter().map(|(_, address)| address).collect();
    let expected = ["192.0.2.2", "[2001:db8::2]", "192.0.2.3", "[2001:db8::1]", "192.0.2.1"];
    assert_eq!(order, expected.map(|it| format!("{it}:8448")));
}

#[tokio::test(start_paused = true)]
async fn where_an_address_fails_the_next_is_tried_at_once() {
    let authority = Authority::new();
    let internet = Internet::new().host("m.example", &["192.0.2.1", "192.0.2.2"]);
    let target = found(&resolver(internet), "m.example:8448").await;
    let (first, second) = (address("192.0.2.1:8448"), address("192.0.2.2:8448"));
    let wires = Wires::new([(first, Behind::Refuses), (second, serves(authority.server()))]);
    let connection = wires.connector(&authority).connect_with_seed(&target, 0).await.unwrap();
    assert_eq!(connection.address(), Some(second));
    assert_eq!(wires.dialled(), [(0, first.to_string()), (0, second.to_string())]);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_an_endpoint_the_next_is_tried() {
    use ConnectFailureKind as Kind;
    use ConnectPhase::{Certificate, Connect, Tls};
    let authority = Authority::new();
    let [first, second] = ["192.0.2.1:7001", "192.0.2.1:7002"].map(address);
    let cases = [
        (Behind::Refuses, Connect, Kind::Refused, "refused", 0),
        (Behind::Nothing, Connect, Kind::TimedOut, "no connection within 1s", 1000),
        (Behind::Mute, Tls, Kind::TimedOut, "not over within 5s", 5000),
        (Behind::Garbage, Tls, Kind::Closed, "", 0),
        (serves(authority.named("t0.example")), Certificate, Kind::WrongName, "t0.example", 0),
        (serves(authority.expired()), Certificate, Kind::Expired, "expired", 0),
        (serves(Authority::new().server()), Certificate, Kind::Untrusted, "UnknownIssuer", 0),
    ];
    for (behind, phase, kind, words, after) in cases {
        let wires = Wires::new([(first, behind), (second, serves(authority.server()))]);
        let resolver = resolver(delegated(&[first, second]));
        let target = found(&resolver, "a.example").await;
        let connector = wires.connector(&authority).reporting_to(resolver.clone());
        let begun = wires.begun.elapsed().as_millis();
        let connection = connector.connect(&target).await.unwrap();
        assert_eq!(connection.address(), Some(second));
        let [attempt] = connection.failed_attempts() else { panic!("{connection:?}") };
        assert_eq!((attempt.address, attempt.phase, attempt.kind), (Some(first), phase, kind));
        assert!(attempt.reason.contains(words), "{}", attempt.reason);
        let expected = [(begun, first.to_string()), (begun + after, second.to_string())];
        assert_eq!(wires.dialled(), expected);
        assert_eq!(resolver.counters().reports, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_has_the_next_beside_it_unless_it_has_accepted() {
    let authority = Authority::new();
    let peers = ["192.0.2.1:7001", "192.0.2.1:7002", "192.0.2.1:7003"].map(address);
    let right = || serves(authority.server());
    for (kind, behind, expected) in [
        ("two silent", [Behind::Nothing, Behind::Nothing, right()], &[0, 1000, 2000][..]),
        ("silent, then refusing", [Behind::Nothing, Behind::Refuses, right()], &[0, 1000, 1000]),
        ("refusing, then silent", [Behind::Refuses, Behind::Nothing, right()], &[0, 0, 1000]),
        // It accepts and says nothing: it keeps its precedence for 5 s.
        ("mute", [Behind::Mute, right(), right()], &[0, 5000]),
        ("silent, then mute", [Behind::Nothing, Behind::Mute, right()], &[0, 1000, 6000]),
        ("silent, then right", [Behind::Nothing, right(), right()], &[0, 1000]),
        ("right", [right(), Behind::Refuses, Behind::Refuses], &[0]),
    ] {
        let silent = behind.iter().filter(|it| matches!(it, Behind::Nothing)).count();
        let wires = Wires::new(peers.into_iter().zip(behind));
        let resolver = resolver(delegated(&peers));
        let target = found(&resolver, "a.example").await;
        let connector = wires.connector(&authority).reporting_to(resolver.clone());
        let begun = wires.begun.elapsed().as_millis();
        let connection = connector.connect(&target).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|at| begun + at).collect();
        let dialled: Vec<_> = wires.dialled().into_iter().map(|(at, _)| at).collect();
        assert_eq!(dialled, expected, "{kind}");
        // Those that were silent and those that failed are known, and come last the next time.
        let failed = expected.len() - 1;
        assert_eq!(connection.failed_attempts().len(), failed, "{kind}");
        assert_eq!(resolver.counters().reports, failed as u64, "{kind}");
        let kinds = connection.failed_attempts().iter().map(|it| it.kind);
        let timed_out = kinds.filter(|it| *it == ConnectFailureKind::TimedOut).count();
        assert!(timed_out >= silent.min(failed), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_only_just_begun_has_not_failed() {
    let authority = Authority::new();
    let peers = ["192.0.2.1:7001", "192.0.2.1:7002"].map(address);
    let late = |ms| Behind::Late(ms, Box::new(serves(authority.server())));
    for (first, second, failed) in [(1_030, 60, 0), (1_999, 5_000, 0), (2_000, 5_000, 1)] {
        let wires = Wires::new(peers.into_iter().zip([late(first), late(second)]));
        let resolver = resolver(delegated(&peers));
        let target = found(&resolver, "a.example").await;
        let connector = wires.connector(&authority).reporting_to(resolver.clone());
        let connection = connector.connect(&target).await.unwrap();
        assert_eq!(connection.address(), Some(peers[0]));
        assert_eq!(connection.failed_attempts().len(), failed, "{first}");
        assert_eq!(resolver.counters().reports, failed as u64, "{first}");
    }
}

#[tokio::test(start_paused = true)]
async fn by_the_letter_the_next_endpoint_waits_until_the_one_before_has_failed() {
    let authority = Authority::new();
    let peers = ["192.0.2.1:7001", "192.0.2.1:7002"].map(address);
    let wires = Wires::new(peers.into_iter().zip([Behind::Nothing, serves(authority.server())]));
    let resolver = resolver(delegated(&peers));
    let target = found(&resolver, "a.example").await;
    let connector = wires.connector(&authority).with_limits(ConnectLimits::strict()).unwrap();
    let begun = wires.begun.elapsed().as_millis();
    connector.connect(&target).await.unwrap();
    let dialled: Vec<_> = wires.dialled().into_iter().map(|(at, _)| at - begun).collect();
    assert_eq!(dialled, [0, 5000]);
}

#[tokio::test(start_paused = true)]
async fn all_of_it_ends_after_half_a_minute() {
    let authority = Authority::new();
    let peers: Vec<_> = (7001..=7010).map(|port| address(&format!("192.0.2.1:{port}"))).collect();
    let wires = Wires::new(peers.iter().map(|it| (*it, Behind::Mute)));
    let resolver = resolver(delegated(&peers));
    let target = found(&resolver, "a.example").await;
    let begun = Instant::now();
    let error = wires.connector(&authority).connect(&target).await.unwrap_err();
    assert_eq!((begun.elapsed(), error.attempts.len()), (ConnectLimits::default().total, 6));
}

#[tokio::test(start_paused = true)]
async fn only_addresses_that_the_policy_let_through_are_dialled() {
    let authority = Authority::new();
    let private = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1"];
    let mut mixed = private.to_vec();
    mixed.push("192.0.2.1");
    let internet = Internet::new().host("m.example", &mixed);
    let wires = Wires::new([(address("192.0.2.1:8448"), Behind::Refuses)]);
    let resolver = resolver(internet);
    let client = FederationClient::new(resolver, wires.connector(&authority));
    ask(&client, "m.example", get("/")).await.unwrap_err();
    let dialled: Vec<_> = wires.dialled().into_iter().map(|(_, address)| address).collect();
    assert_eq!(dialled, ["192.0.2.1:8448"]);
    for literal in private {
        let name = if literal.contains(':') { format!("[{literal}]") } else { literal.to_owned() };
        assert!(ask(&client, &name, get("/")).await.is_err());
    }
    assert_eq!(wires.dialled().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_for_90_seconds_of_silence_and_for_an_hour_of_use() {
    let authority = Authority::new();
    let at = address("192.0.2.1:8448");
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let mut config = authority.server();
        config.alpn_protocols = vec![alpn.to_vec()];
        let peer = Peer::silent(at);
        let wires = Wires::new([(at, Behind::Serves(peer.clone(), Arc::new(config)))]);
        let client = FederationClient::new(resolver(delegated(&[at])), wires.connector(&authority));
        let once = || async {
            read(ask(&client, "a.example", get("/")).await).await;
            // What is done behind a caller's back.
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        once().await;
        for _ in 0..59 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            once().await;
        }
        assert_eq!((peer.accepted(), peer.asked().len()), (1, 60));
        tokio::time::sleep(Duration::from_secs(60)).await;
        once().await;
        assert_eq!(peer.accepted(), 2);
        tokio::time::sleep(Duration::from_secs(89)).await;
        once().await;
        assert_eq!(peer.accepted(), 2);
        // It is closed then, without anybody asking.
        tokio::time::sleep(Duration::from_millis(89_950)).await;
        assert_eq!(peer.open(), 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(peer.open(), 0);
        once().await;
        assert_eq!(peer.accepted(), 3);
    }
}

/// Each at its own time, by one task, which ends with the last of them or with the client.
#[tokio::test(start_paused = true)]
async fn each_connection_is_closed_at_its_limit_by_one_task() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let authority = Authority::new();
    let addresses = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3"].map(address);
    let names = ["a.example", "b.example", "c.example"];
    let peers = addresses.map(Peer::silent);
    let serves = |peer: &Peer| Behind::Serves(peer.clone(), Arc::new(authority.server()));
    let wires = Wires::new(addresses.into_iter().zip(peers.iter().map(serves)));
    let internet = Internet::new().host("m.example", &["192.0.2.1"]);
    let internet = names.iter().zip(&addresses).fold(internet, |internet, (name, at)| {
        let delegate = format!("m.example:{}", at.port());
        internet.host(name, &["192.0.2.9"]).delegates(name, &delegate)
    });
    for idle in [Duration::from_millis(1500), Duration::from_secs(7), Duration::from_secs(1000)] {
        let mut limits = ClientConfig::default();
        limits.idle = idle;
        // The hour of use is another limit.
        limits.age = 10 * idle;
        let resolver = resolver(internet.clone());
        let client =
            FederationClient::with_config(resolver, wires.connector(&authority), limits).unwrap();
        let before = alive();
        let mut ends = Vec::new();
        for (name, peer) in names.iter().zip(&peers) {
            read(ask(&client, name, get("/")).await).await;
            ends.push((Instant::now() + idle, peer));
            tokio::time::sleep(idle / 7).await;
        }
        for (end, peer) in ends {
            tokio::time::sleep_until(end - Duration::from_millis(5)).await;
            assert_eq!(peer.open(), 1, "{idle:?}");
            tokio::time::sleep_until(end + Duration::from_millis(5)).await;
            assert_eq!(peer.open(), 0, "{idle:?}");
        }
        until(|| alive() == before).await;

        // With the client goes what waits for its connections to be idle.
        read(ask(&client, names[0], get("/")).await).await;
        let gone = Instant::now();
        drop(client);
        until(|| alive() == before && peers[0].open() == 0).await;
        assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_idle_while_a_response_is_awaited_or_read() {
    let authority = Authority::new();
    let at = address("192.0.2.1:8448");
    let peer = Peer::silent(at);
    let wires = Wires::new([(at, Behind::Serves(peer.clone(), Arc::new(authority.server())))]);
    let client = FederationClient::new(resolver(delegated(&[at])), wires.connector(&authority));
    let slow = {
        let client = client.clone();
        // The watchdog would bite on virtual time.
        let name = "a.example".parse().unwrap();
        tokio::spawn(async move { client.request(&name, get("/wait")).await })
    };
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!((peer.asked().len(), client.connections()), (1, 1));
    peer.gate.add_permits(1);
    let response = slow.await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(client.connections(), 1);
    read(response).await;
    tokio::time::sleep(Duration::from_secs(89)).await;
    read(ask(&client, "a.example", get("/")).await).await;
    assert_eq!(peer.accepted(), 1);
    tokio::time::sleep(Duration::from_secs(91)).await;
    assert_eq!(client.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanishes_is_noticed_after_half_a_minute() {
    let authority = Authority::new();
    let at = address("192.0.2.1:8448");
    let mut config = authority.server();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (hung, hangs) = tokio::sync::oneshot::channel();
    let wires = Arc::new(Vanishing { config: Arc::new(config), hung: Mutex::new(Some(hung)) });
    let roots = TrustedRoots::only_added().with_certificate(authority.root());
    let connector = Connector::with_roots(roots).unwrap().with_dial(wires);
    let resolver = resolver(delegated(&[at]));
    let client = FederationClient::new(resolver.clone(), connector);
    let call = tokio::spawn(async move { ask(&client, "a.example", get("/")).await });
    hangs.await.unwrap();
    let begun = Instant::now();
    let error = call.await.unwrap().unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |&it| it.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    assert!(causes.iter().any(|it| it.contains("keep-alive timed out")), "{causes:?}");
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(resolver.counters().reports, 1);
}

/// Agrees on TLS and is never heard of again.
#[derive(Debug)]
struct Vanishing {
    config: Arc<ServerConfig>,
    hung: Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
}

impl Dial for Vanishing {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let hung = self.hung.lock().unwrap().take();
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let stream = acceptor.accept(far).await.unwrap();
            hung.unwrap().send(()).unwrap();
            std::future::pending::<()>().await;
            drop(stream);
        });
        Box::pin(async { Ok(Box::new(near) as Box<dyn DialStream>) })
    }
}
