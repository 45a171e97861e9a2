//! A server that is down, comes back, or says nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use matrix_delegation::names::DnsName;
use matrix_delegation::{RedisStore, Store};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::proxy::Proxy;
use crate::support::{Worker, ask, eventually, is_stored, key, redis, stored, within};

const LIFE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let Some(mut server) = redis() else { return };
    let worker = Worker::at(&server);
    worker.resolve("a.example").await;
    stored("a.example", &server).await;

    server.stop().unwrap();
    assert_eq!(worker.resolve("b.example").await.authority(), "m.test:443");
    assert!(worker.resolver.counters().store_failures > 0);

    server.resume().unwrap();
    worker.resolve_until_stored("b.example", &server).await;
    // And it is read again, too.
    let other = Worker::at(&server);
    other.resolve("c.example").await;
    stored("c.example", &server).await;
    let hits = worker.resolver.counters().store_hits;
    worker.resolve("c.example").await;
    assert_eq!(worker.resolver.counters().store_hits, hits + 1);
}

/// The first command after it finds the connection lost, and is given again over a new one.
#[tokio::test]
async fn a_restart_that_nobody_noticed_costs_nothing() {
    let Some(mut server) = redis() else { return };
    let host: DnsName = "a.example".parse().unwrap();
    let store = RedisStore::new(&server.url()).unwrap();
    within(store.put(&host, b"x".to_vec(), LIFE)).await.unwrap();
    server.stop().unwrap();
    server.resume().unwrap();
    assert_eq!(within(store.get(&host)).await.unwrap(), None);
    within(store.put(&host, b"y".to_vec(), LIFE)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_used_once_it_is_there() {
    let Some(mut server) = redis() else { return };
    server.stop().unwrap();
    let worker = Worker::at(&server);
    assert_eq!(worker.resolve("a.example").await.authority(), "m.test:443");
    assert!(worker.resolver.counters().store_failures > 0);
    server.resume().unwrap();
    worker.resolve_until_stored("a.example", &server).await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_waited_for() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let worker = Worker::new(RedisStore::new(&url).unwrap());
    // Long before a command or a connection ends by itself: nobody but the resolver ends it.
    assert_eq!(worker.resolve("a.example").await.authority(), "m.test:443");
    assert!(worker.resolver.counters().store_failures > 0);
    accepting.abort();
}

/// A connection that takes longer than a resolver waits for comes about none the less.
#[tokio::test]
async fn connecting_goes_on_when_the_caller_has_left() {
    let Some(server) = redis() else { return };
    // More than one try, as the machine may be slower than the limit on connecting.
    for host in ["a.example", "b.example", "c.example", "d.example"] {
        let proxy = Proxy::start(server.port()).await;
        let worker = Worker::new(RedisStore::new(&proxy.url()).unwrap());
        proxy.open(false);
        worker.resolve(host).await;
        assert!(worker.resolver.counters().store_failures > 0);
        proxy.open(true);
        // Nobody asks the store now.
        let arrives = eventually("the command arrives", async || proxy.has_passed(&key(host)));
        if timeout(Duration::from_secs(10), arrives).await.is_err() {
            continue;
        }
        assert_eq!(proxy.accepted(), 1);
        worker.resolve_until_stored(host, &server).await;

        // The same when it was lost.
        proxy.open(false);
        proxy.cut();
        worker.resolver.invalidate(&"z.example".parse().unwrap());
        worker.resolve("z.example").await;
        proxy.open(true);
        let arrives = eventually("it arrives", async || proxy.has_passed(&key("z.example")));
        if timeout(Duration::from_secs(10), arrives).await.is_ok() {
            return;
        }
    }
    panic!("a connection that is slow to come about never does");
}

/// No end of it is seen, as where a machine lost its power.
#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced() {
    let Some(server) = redis() else { return };
    let proxy = Proxy::start(server.port()).await;
    let worker = Worker::new(RedisStore::new(&proxy.url()).unwrap());
    worker.resolve_until_stored("a.example", &server).await;
    proxy.mute();
    assert_eq!(worker.resolve("b.example").await.authority(), "m.test:443");
    assert!(!is_stored("b.example", &server).await);
    worker.resolve_until_stored("b.example", &server).await;
    assert!(proxy.accepted() > 1);
}

/// The server is there, but not yet as it should be.
#[tokio::test]
async fn a_refused_password_is_tried_again() {
    let Some(server) = redis() else { return };
    let host: DnsName = "a.example".parse().unwrap();
    let url = format!("redis://:secret@127.0.0.1:{}", server.port());
    let store = RedisStore::new(&url).unwrap();
    for _ in 0..3 {
        let error = within(store.put(&host, b"x".to_vec(), LIFE)).await.unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    let mut set = redis::cmd("CONFIG");
    let () = ask(&server, set.arg("SET").arg("requirepass").arg("secret")).await;
    within(store.put(&host, b"x".to_vec(), LIFE)).await.unwrap();
    assert_eq!(within(store.get(&host)).await.unwrap(), Some(b"x".to_vec()));
}
