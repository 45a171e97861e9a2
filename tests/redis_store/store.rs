//! The store by itself: keys, lifetimes, errors, and callers that go away.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use matrix_delegation::adapters::RedisConfig;
use matrix_delegation::names::DnsName;
use matrix_delegation::{RedisStore, Store};
use tokio::runtime::Handle;

use crate::polled::{polled, until_over};
use crate::support::{ask, eventually, redis, within};

fn host(text: &str) -> DnsName {
    text.parse().unwrap()
}

#[tokio::test]
async fn keys_are_as_documented() {
    let Some(server) = redis() else { return };
    let (host, life) = (host("A.example"), Duration::from_secs(60));
    let store = RedisStore::new(&server.url()).unwrap();
    let other = store.clone().prefix("other:");
    within(store.put(&host, b"one".to_vec(), life)).await.unwrap();
    assert_eq!(within(other.get(&host)).await.unwrap(), None);
    within(other.put(&host, b"two".to_vec(), life)).await.unwrap();
    for (store, key, value) in [
        (&store, "matrix-delegation:well-known:a.example", "one"),
        (&other, "other:a.example", "two"),
    ] {
        let raw: String = ask(&server, redis::cmd("GET").arg(key)).await;
        assert_eq!(raw, value);
        assert_eq!(within(store.get(&host)).await.unwrap(), Some(value.into()));
    }
}

#[tokio::test]
async fn lifetimes_are_what_the_server_can_hold() {
    let Some(server) = redis() else { return };
    let store = RedisStore::new(&server.url()).unwrap().prefix("");
    for life in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        within(store.put(&host("a.example"), b"x".to_vec(), life)).await.unwrap();
    }
    let left: i64 = ask(&server, redis::cmd("PTTL").arg("a.example")).await;
    assert!(0 < left && left <= 365 * 24 * 3_600_000, "{left}");
}

#[tokio::test]
async fn an_empty_value_is_none() {
    let Some(server) = redis() else { return };
    let store = RedisStore::new(&server.url()).unwrap();
    within(store.put(&host("a.example"), Vec::new(), Duration::from_secs(60))).await.unwrap();
    assert_eq!(within(store.get(&host("a.example"))).await.unwrap(), None);
}

#[tokio::test]
async fn callers_that_go_away_leave_the_answers_of_others_alone() {
    let Some(server) = redis() else { return };
    let store = RedisStore::new(&server.url()).unwrap();
    let hosts: Vec<DnsName> = (0..500).map(|number| host(&format!("h{number}.example"))).collect();
    let life = Duration::from_secs(60);
    let puts = hosts.iter().map(|it| store.put(it, it.as_str().into(), life));
    for done in within(join_all(puts)).await {
        done.unwrap();
    }
    let mut waiting = Vec::new();
    for (number, host) in hosts.iter().enumerate() {
        let mut get = store.get(host);
        // Each has begun before some of them go.
        let begun = futures_util::poll!(&mut get);
        assert!(begun.is_pending() || number > 0);
        if number % 2 == 0 {
            waiting.push((host, get));
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.len(), 250);
    let (hosts, gets): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    for (host, value) in hosts.into_iter().zip(within(join_all(gets)).await) {
        assert_eq!(value.unwrap(), Some(host.as_str().into()));
    }
}

/// The command itself goes on, within its limit, so that a connection is made in the end.
#[tokio::test]
async fn a_caller_that_is_dropped_at_any_await_takes_no_permit() {
    let Some(server) = redis() else { return };
    let mut config = RedisConfig::default();
    config.concurrent = 1;
    let store = RedisStore::new(&server.url()).unwrap().with_config(config).unwrap();
    let (host, life) = (host("a.example"), Duration::from_secs(60));
    within(store.put(&host, b"value".to_vec(), life)).await.unwrap();
    let before = Handle::current().metrics().num_alive_tasks();
    for is_put in [false, true] {
        let awaits = until_over(async |polls| {
            let over = if is_put {
                polled(store.put(&host, b"value".to_vec(), life), polls).await.is_some()
            } else {
                polled(store.get(&host), polls).await.is_some()
            };
            // The only permit is there after the command.
            let value = within(store.get(&host)).await.unwrap();
            assert_eq!(value.as_deref(), Some(&b"value"[..]), "{polls}");
            eventually("its tasks end", async || {
                Handle::current().metrics().num_alive_tasks() <= before
            })
            .await;
            over
        })
        .await;
        assert!(awaits > 1, "{awaits}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let url = "redis://user:secret@127.0.0.1:1/0";
    let shown = format!("{:?}", RedisStore::new(url).unwrap());
    assert!(shown.contains("127.0.0.1:1") && shown.contains("matrix-delegation:"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    for bad in ["", "secret", "http://:secret@a.example", "redis://:secret@a.example/no-number"] {
        let error = RedisStore::new(bad).unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let shown = format!("{error} {error:?} {source}");
        assert!(shown.contains("no URL") && !shown.contains("secret"), "{bad}: {shown}");
    }
}

/// An adapter says so; it does not panic.
#[test]
fn outside_of_tokio_it_fails() {
    let store = RedisStore::new("redis://127.0.0.1:1").unwrap();
    let error = store.get(&host("a.example")).now_or_never().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("runtime") || error.to_string().contains("reactor"),
        "{error}"
    );
}
