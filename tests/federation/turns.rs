//! How many requests go to one server at a time, and what becomes of connections made for several.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use matrix_delegation::FederationClient;
use matrix_delegation::client::RequestError;
use matrix_delegation::config::ConfigProblem;
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::transport::{Dial, DialStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::client::{Answer, ask, get, read, until};
use super::loopback::LoopbackDial;
use super::peer::Peer;
use super::server::{Authority, answering, refusing, serve, silent};
use super::{config, connector, delegated, found, limited, resolver, watched};

fn begin(client: &FederationClient, path: &'static str) -> JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { ask(&client, "a.example", get(path)).await })
}

#[tokio::test]
async fn so_many_at_a_time_and_so_many_wait() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.waiting) = (2, 3);
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = limited(&authority, peer.address, &limits);
        let calls: Vec<_> = (0..5).map(|_| begin(&client, "/wait")).collect();
        until(|| peer.asked().len() == 2).await;
        // There is no place left for one more: all five are there, though it asks by another name.
        let error = loop {
            match ask(&client, "b.example", get("/")).await {
                Err(error) => break error,
                Ok(_) => tokio::task::yield_now().await,
            }
        };
        let RequestError::ServerBusy { server_name, limit } = &error else { panic!("{error:?}") };
        assert_eq!((server_name.as_str(), *limit), ("b.example", 3));
        // Another server does not mind.
        let other = peer.address.to_string();
        assert!(ask(&client, &other, get("/")).await.is_ok());

        let before = peer.asked().len();
        peer.gate.add_permits(5);
        for call in calls {
            read(call.await.unwrap()).await;
        }
        assert_eq!(peer.asked().len(), before + 3);
        assert!(peer.most_at_a_time() <= 3, "two, and the one to the other server");
    }
}

#[tokio::test]
async fn one_wait_is_enough_for_a_server_that_does_not_move() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.moves) = (1, 1);
    let peer = Peer::new(authority.server()).await;
    let client = limited(&authority, peer.address, &limits);
    let calls = [begin(&client, "/wait"), begin(&client, "/wait")];
    until(|| peer.asked().len() == 1).await;
    peer.gate.add_permits(2);
    for call in calls {
        read(call.await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_turn_ends_with_the_response_that_was_read_or_dropped() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.waiting) = (1, 10);
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = limited(&authority, peer.address, &limits);
        let held = ask(&client, "a.example", get("/")).await.unwrap();
        let next = begin(&client, "/");
        // It waits for the body of the first, which nobody has read.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(peer.asked().len(), 1);
        drop(held);
        let second = next.await.unwrap();
        let next = begin(&client, "/");
        read(second).await;
        // One that has nothing to read ends it at once, and so does one who goes away.
        let empty = ask(&client, "a.example", get("/empty")).await.unwrap();
        next.await.unwrap().unwrap();
        let abandoned = begin(&client, "/wait");
        until(|| peer.asked().iter().any(|it| it.path == "/wait")).await;
        abandoned.abort();
        read(ask(&client, "a.example", get("/")).await).await;
        drop(empty);
    }
}

#[tokio::test]
async fn a_response_that_was_read_ends_its_turn_whoever_keeps_it() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.waiting) = (1, 0);
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = limited(&authority, peer.address, &limits);
        let mut kept = Vec::new();
        for _ in 0..3 {
            let mut body = ask(&client, "a.example", get("/")).await.unwrap().into_body();
            while let Some(frame) = watched(body.frame()).await {
                frame.unwrap();
            }
            kept.push(body);
        }
    }
    // One that breaks off is over, too.
    let mut config = authority.server();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let broken = answering(config, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
    let resolver = resolver(delegated(&[broken]));
    let client = FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut body = ask(&client, "a.example", get("/")).await.unwrap().into_body();
        while watched(body.frame()).await.unwrap().is_ok() {}
        kept.push(body);
    }
}

#[tokio::test]
async fn a_client_that_could_send_nothing_is_refused() {
    let mut config = config();
    (config.concurrent, config.connecting, config.connect.total) = (0, 0, Duration::ZERO);
    let connector = connector(&Authority::new());
    let made = FederationClient::with_config(resolver(delegated(&[])), connector, config);
    let error = made.map(drop).unwrap_err();
    let paths: Vec<_> = error.problems().iter().map(ConfigProblem::path).collect();
    assert_eq!(paths, ["connect.total", "concurrent", "connecting"]);
}

#[tokio::test]
async fn so_many_servers_are_connected_to_at_a_time_and_so_many_wait() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.connecting, limits.connecting_slow, limits.connecting_waiting) = (1, 0, 2);
    let dial = Arc::new(Gated::default());
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(Peer::new(authority.server()).await);
    }
    let connector = connector(&authority).with_dial(Arc::clone(&dial) as Arc<dyn Dial>);
    let client =
        FederationClient::with_config(resolver(delegated(&[])), connector, limits).unwrap();
    let call = |peer: &Peer| {
        let (client, name) = (client.clone(), peer.address.to_string());
        tokio::spawn(async move { ask(&client, &name, get("/")).await })
    };
    let mut calls: Vec<_> = peers.iter().map(call).collect();
    // None can be answered yet: the one that is over found no place to wait.
    until(|| calls.iter().any(JoinHandle::is_finished)).await;
    let refused = calls.iter().position(JoinHandle::is_finished).unwrap();
    let error = calls.remove(refused).await.unwrap().unwrap_err();
    assert!(matches!(error, RequestError::TooBusy { limit: 2 }), "{error}");
    for asked in 1..=3 {
        until(|| dial.asked.load(Ordering::Relaxed) == asked).await;
        dial.gate.notify_one();
    }
    for call in calls {
        read(call.await.unwrap()).await;
    }
    assert_eq!(dial.most.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn who_delegates_to_a_dead_port_of_a_server_takes_none_of_its_turns() {
    let authority = Authority::new();
    let (peer, mute) = (Peer::new(authority.server()).await, silent().await);
    let internet = delegated(&[peer.address])
        .host("m.example", &["127.0.0.1"])
        .host("evil.example", &["192.0.2.1"])
        .delegates("evil.example", &format!("m.example:{}", mute.port()));
    let mut limits = config();
    (limits.concurrent, limits.waiting) = (1, 0);
    let client =
        FederationClient::with_config(resolver(internet), connector(&authority), limits).unwrap();
    let evil = {
        let client = client.clone();
        tokio::spawn(async move { ask(&client, "evil.example", get("/")).await })
    };
    until(|| client.resolver().cached(&"evil.example".parse().unwrap()).is_some()).await;
    tokio::task::yield_now().await;
    assert!(ask(&client, "a.example", get("/")).await.is_ok());
    assert!(!evil.is_finished());
    evil.abort();
}

/// Dials the endpoint that answers once it is let; says which ports were dialled.
#[derive(Debug)]
struct Held {
    right: u16,
    dialled: Mutex<Vec<u16>>,
    gate: Semaphore,
}

impl Dial for Held {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        self.dialled.lock().unwrap().push(address.port());
        Box::pin(async move {
            if address.port() == self.right {
                self.gate.acquire().await.unwrap().forget();
            }
            LoopbackDial.dial(address).await
        })
    }
}

#[tokio::test]
async fn who_shares_a_connection_hears_what_failed_before_it() {
    let authority = Authority::new();
    let (_held, dead) = refusing();
    for (right, dials) in
        [(Peer::new(authority.server()).await, 1), (Peer::http1(authority.server()).await, 2)]
    {
        let gate = Semaphore::new(0);
        let right_port = right.address.port();
        let dial = Arc::new(Held { right: right_port, dialled: Mutex::default(), gate });
        let resolver = resolver(delegated(&[dead, right.address]));
        let connector = connector(&authority).with_dial(Arc::clone(&dial) as Arc<dyn Dial>);
        let client = FederationClient::new(resolver.clone(), connector);
        let calls: Vec<_> = ["a.example", "b.example"]
            .map(|name| {
                let client = client.clone();
                tokio::spawn(async move { read(ask(&client, name, get("/wait")).await).await })
            })
            .into();
        until(|| dial.dialled.lock().unwrap().len() == 2).await;
        let cached = |name: &str| resolver.cached(&name.parse().unwrap()).is_some();
        until(|| cached("a.example") && cached("b.example")).await;
        tokio::task::yield_now().await;
        dial.gate.add_permits(2);
        right.gate.add_permits(2);
        for call in calls {
            call.await.unwrap();
        }
        // Nobody has tried the dead one a second time.
        let mut dialled = dial.dialled.lock().unwrap().clone();
        dialled.sort_by_key(|port| *port == right_port);
        let expected: Vec<_> =
            std::iter::once(dead.port()).chain(vec![right_port; dials]).collect();
        assert_eq!(dialled, expected);
        // And by each name the other is tried first from now on.
        assert_eq!(resolver.counters().reports, 2);
        for name in ["a.example", "b.example"] {
            let found = found(&resolver, name).await;
            let first = found.attempts(1).next().unwrap();
            assert_eq!(first.port(), right_port, "{name}");
        }
    }
}

#[tokio::test]
async fn names_with_one_delegate_connect_together() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let client = limited(&authority, peer.address, &config());
    let calls: Vec<_> = (0..20)
        .map(|index| {
            let client = client.clone();
            let name = if index % 2 == 0 { "a.example" } else { "b.example" };
            tokio::spawn(async move { read(ask(&client, name, get("/")).await).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!((peer.accepted(), peer.asked().len()), (1, 20));
}

/// Dials once it is let.
#[derive(Debug, Default)]
pub(crate) struct Gated {
    pub(crate) asked: AtomicUsize,
    now: AtomicUsize,
    /// The most that were under way at a time.
    most: AtomicUsize,
    pub(crate) gate: Notify,
}

impl Dial for Gated {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Box::pin(async move {
            self.gate.notified().await;
            self.now.fetch_sub(1, Ordering::Relaxed);
            LoopbackDial.dial(address).await
        })
    }
}

#[tokio::test]
async fn a_connection_whose_caller_went_away_is_kept_for_the_next() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let dial = Arc::new(Gated::default());
        let connector = connector(&authority).with_dial(Arc::clone(&dial) as Arc<dyn Dial>);
        let client = FederationClient::new(resolver(delegated(&[peer.address])), connector);
        let call = begin(&client, "/first");
        until(|| dial.asked.load(Ordering::Relaxed) == 1).await;
        call.abort();
        let _ = call.await;
        dial.gate.notify_one();
        until(|| client.connections() == 1).await;
        read(ask(&client, "a.example", get("/second")).await).await;
        assert_eq!((peer.accepted(), peer.asked().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_server_that_grants_no_stream_holds_nothing_but_its_turns() {
    let authority = Authority::new();
    let peer = Peer::granting(authority.server(), 1).await;
    let mut limits = config();
    limits.concurrent = 4;
    let client = limited(&authority, peer.address, &limits);
    read(ask(&client, "a.example", get("/")).await).await;
    let calls: Vec<_> = (0..8).map(|_| begin(&client, "/wait")).collect();
    until(|| peer.asked().len() == 2).await;
    for call in calls {
        call.abort();
        let _ = call.await;
    }
    // Those who went away have left their turns, and the stream that one of them had.
    read(ask(&client, "a.example", get("/after")).await).await;
    assert_eq!((peer.accepted(), peer.asked().pop().unwrap().path.as_str()), (1, "/after"));
}

#[tokio::test]
async fn what_nobody_uses_any_more_is_closed_whatever_the_server_does() {
    let authority = Authority::new();
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    // It speaks HTTP/2 as far as its settings, and then reads only.
    let (address, mut seen) = serve(authority.server(), move |mut stream| {
        let ended = ended.clone();
        async move {
            super::faults::settings(&mut stream, 1).await;
            super::faults::drain(&mut stream).await;
            let _ = ended.send(()).await;
        }
    })
    .await;
    let mut limits = config();
    limits.idle = Duration::ZERO;
    let resolver = resolver(delegated(&[address]));
    let client = FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
    let calls: Vec<_> = (0..3).map(|_| begin(&client, "/")).collect();
    watched(seen.recv()).await.unwrap();
    for call in calls {
        call.abort();
        let _ = call.await;
    }
    watched(ends.recv()).await.unwrap();
}

#[tokio::test]
async fn the_resolver_hears_by_every_name_of_what_failed_for_several() {
    let authority = Authority::new();
    let (_held, dead) = refusing();
    let dial = Arc::new(Gated::default());
    let connector = connector(&authority).with_dial(Arc::clone(&dial) as Arc<dyn Dial>);
    let resolver = resolver(delegated(&[dead]));
    let client = FederationClient::new(resolver.clone(), connector);
    let names = ["a.example", "b.example"];
    for name in names {
        found(&resolver, name).await;
    }
    let calls = names.map(|name| {
        let client = client.clone();
        tokio::spawn(async move { ask(&client, name, get("/")).await.unwrap_err() })
    });
    until(|| dial.asked.load(Ordering::Relaxed) == 1).await;
    // Both wait for the same by now.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    dial.gate.notify_one();
    for call in calls {
        assert!(matches!(watched(call).await.unwrap(), RequestError::Connect(_)));
    }
    assert_eq!((dial.asked.load(Ordering::Relaxed), resolver.counters().reports), (1, 2));
}
