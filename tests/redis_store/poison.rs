//! Nothing in the store is believed because it is there.

use std::time::{SystemTime, UNIX_EPOCH};

use matrix_delegation::{RedisStore, Store};
use serde_json::json;

use crate::redis_server::RedisServer;
use crate::support::{Worker, ask, eventually, key, redis, stored};

#[tokio::test]
async fn a_poisoned_value_is_rejected_and_overwritten() {
    let Some(server) = redis() else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = u64::try_from(now).unwrap();
    let record = |version: u32, host: &str, fetched: u64| {
        json!({ "version": version, "host": host, "delegates": "evil.test",
                "fetched": fetched, "until": fetched + 3_600_000 })
        .to_string()
        .into_bytes()
    };
    let huge = [record(1, "g.example", now), vec![b' '; 10_000_000]].concat();
    let poison: [(&str, Vec<u8>); 7] = [
        ("a.example", b"\0\xff no JSON".to_vec()),
        ("b.example", b"{}".to_vec()),
        ("c.example", record(1, "a.example", now)),
        ("d.example", record(2, "d.example", now)),
        ("e.example", record(1, "e.example", now + 3_600_000)),
        ("f.example", b"{".repeat(4_000)),
        ("g.example", huge),
    ];
    let worker = Worker::at(&server);
    for (rejected, (host, value)) in (1..).zip(poison) {
        let () = ask(&server, redis::cmd("SET").arg(key(host)).arg(value)).await;
        assert_eq!(worker.resolve(host).await.authority(), "m.test:443", "{host}");
        let counters = worker.resolver.counters();
        assert_eq!((counters.store_rejected, counters.store_failures), (rejected, 0), "{host}");
        overwritten(host, &server).await;
    }
    // It is not that nothing would be believed.
    let () = ask(&server, redis::cmd("SET").arg(key("h.example")).arg(record(1, "h.example", now)))
        .await;
    let believed = worker.resolve("h.example").await;
    assert_eq!(believed.authority(), "evil.test");
}

/// What is no string is a value like any other, not a failure of the store.
#[tokio::test]
async fn a_key_of_another_type_is_rejected_and_overwritten() {
    let Some(server) = redis() else { return };
    let worker = Worker::at(&server);
    let _: u64 = ask(&server, redis::cmd("RPUSH").arg(key("a.example")).arg("x")).await;
    assert_eq!(worker.resolve("a.example").await.authority(), "m.test:443");
    let counters = worker.resolver.counters();
    assert_eq!((counters.store_rejected, counters.store_failures), (1, 0));
    overwritten("a.example", &server).await;
}

#[tokio::test]
async fn a_huge_value_is_not_read_whole() {
    let Some(server) = redis() else { return };
    let () =
        ask(&server, redis::cmd("SET").arg(key("a.example")).arg(vec![b' '; 10_000_000])).await;
    let store = RedisStore::new(&server.url()).unwrap();
    let value = store.get(&"a.example".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(value.len(), 4097);
}

async fn overwritten(host: &str, server: &RedisServer) {
    eventually("it is overwritten", async || {
        let kind: String = ask(server, redis::cmd("TYPE").arg(key(host))).await;
        if kind != "string" {
            return false;
        }
        let length: usize = ask(server, redis::cmd("STRLEN").arg(key(host))).await;
        let left: i64 = ask(server, redis::cmd("PTTL").arg(key(host))).await;
        length < 4096 && left > 0
    })
    .await;
    let record = stored(host, server).await;
    assert_eq!((&record["host"], &record["delegates"]), (&host.into(), &"m.test:443".into()));
}
