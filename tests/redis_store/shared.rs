//! What one resolver learns, another knows.

use matrix_delegation::RedisStore;
use redis::aio::ConnectionManager;

use crate::redis_server::RedisServer;
use crate::support::{Worker, ask, eventually, key, redis, start, stored, within};

const HOUR: i64 = 3_600_000;

async fn the_second_asks_nothing(server: &RedisServer, first: RedisStore, second: RedisStore) {
    let (first, second) = (Worker::patient(first), Worker::patient(second));
    assert_eq!(first.resolve("a.example").await.authority(), "m.test:443");
    assert_eq!(first.fetches(), 1);
    assert_eq!(stored("a.example", server).await["delegates"], "m.test:443");
    assert_eq!(second.resolve("a.example").await.authority(), "m.test:443");
    assert_eq!(second.fetches(), 0, "{:?}", second.network.asked());
    let counters = second.resolver.counters();
    assert_eq!((counters.store_hits, counters.store_failures, counters.store_rejected), (1, 0, 0));
}

#[tokio::test]
async fn two_resolvers_share_a_good_answer() {
    let Some(server) = redis() else { return };
    let store = || RedisStore::new(&server.url()).unwrap();
    the_second_asks_nothing(&server, store(), store()).await;
}

#[tokio::test]
async fn on_valkey_as_on_redis() {
    let Some(server) = start("valkey-server") else { return };
    let store = || RedisStore::new(&server.url()).unwrap();
    the_second_asks_nothing(&server, store(), store()).await;
}

#[tokio::test]
async fn over_a_connection_that_the_application_has() {
    let Some(server) = redis() else { return };
    let client = redis::Client::open(server.url()).unwrap();
    let manager = within(ConnectionManager::new(client)).await.unwrap();
    let store = RedisStore::with_connection(manager);
    the_second_asks_nothing(&server, store.clone(), store).await;
}

#[tokio::test]
async fn two_resolvers_share_a_failure_and_its_back_off() {
    let Some(server) = redis() else { return };
    let (first, second) = (Worker::at(&server), Worker::at(&server));
    let found = first.resolve("failing.example").await;
    assert_eq!((found.step().to_string().as_str(), first.fetches()), ("6", 1));
    let record = stored("failing.example", &server).await;
    assert_eq!((&record["delegates"], record["failures"].as_u64()), (&().into(), Some(1)));
    let again = second.resolve("failing.example").await;
    assert_eq!((again.step().to_string().as_str(), second.fetches()), ("6", 0));
    // No longer than the first would have left it alone.
    assert!(again.well_known_lifetime() <= found.well_known_lifetime());
}

#[tokio::test]
async fn what_is_stored_expires() {
    let Some(server) = redis() else { return };
    let worker = Worker::at(&server);
    for (host, most) in [("a.example", 50 * HOUR), ("failing.example", HOUR)] {
        worker.resolve(host).await;
        stored(host, &server).await;
        let left: i64 = ask(&server, redis::cmd("PTTL").arg(key(host))).await;
        assert!(0 < left && left <= most, "{host}: {left} ms");
    }
}

#[tokio::test]
async fn what_was_invalidated_is_not_taken_from_the_store() {
    let Some(server) = redis() else { return };
    let (first, second) = (Worker::at(&server), Worker::at(&server));
    first.resolve("a.example").await;
    let before = stored("a.example", &server).await;
    second.resolve("a.example").await;
    assert_eq!(second.fetches(), 0);
    second.resolver.invalidate(&"a.example".parse().unwrap());
    second.resolve("a.example").await;
    assert_eq!(second.fetches(), 1);
    // What it learns then is for all.
    eventually("it is replaced", async || {
        stored("a.example", &server).await["fetched"] != before["fetched"]
    })
    .await;
}
