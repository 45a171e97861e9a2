//! A server, and resolvers that share it.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{RedisStore, Resolution, Resolver, ResolverConfig, TokioRuntime};
use redis::{Cmd, FromRedisValue};
use tokio::time::{sleep, timeout};

use crate::redis_server::RedisServer;

/// Whatever takes longer hangs.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// Where this is set, a missing `redis-server` is an error.
pub(crate) const DEMANDED: &str = "MATRIX_DELEGATION_DEMANDS_REDIS";

/// Starts a `redis-server`, or says that there is none.
pub(crate) fn redis() -> Option<RedisServer> {
    let server = start("redis-server");
    let demanded = std::env::var_os(DEMANDED).is_some();
    assert!(server.is_some() || !demanded, "{DEMANDED} is set, and redis-server is not installed");
    server
}

/// Starts this program, or says that it is not installed.
pub(crate) fn start(program: &str) -> Option<RedisServer> {
    let server = RedisServer::start(program).unwrap();
    if server.is_none() {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // Not by `eprintln!`, which the harness keeps from those who look on.
        let notice = format!("\nNOT TESTED: {test}: {program} is not installed\n\n");
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
    }
    server
}

/// A resolver with a store, in an internet of which it notes what it asks.
pub(crate) struct Worker {
    pub(crate) network: Network,
    pub(crate) resolver: Resolver,
}

impl Worker {
    /// It waits for the store as long as is the default.
    pub(crate) fn new(store: RedisStore) -> Self {
        Self::waiting(store, ResolverConfig::default().store.timeout)
    }

    /// It waits for the store as long as it takes: on a busy machine, too, nothing gets lost.
    pub(crate) fn patient(store: RedisStore) -> Self {
        Self::waiting(store, WATCHDOG)
    }

    fn waiting(store: RedisStore, limit: Duration) -> Self {
        let network = Network::on_runtime(internet(), Arc::new(TokioRuntime::current()));
        let mut config = ResolverConfig::default();
        config.store.timeout = limit;
        let resolver = network.builder(config).store(Arc::new(store)).build().unwrap();
        Self { network, resolver }
    }

    /// A patient one with a connection of its own.
    pub(crate) fn at(server: &RedisServer) -> Self {
        Self::patient(RedisStore::new(&server.url()).unwrap())
    }

    pub(crate) async fn resolve(&self, name: &str) -> Resolution {
        let name = name.parse().unwrap();
        timeout(WATCHDOG, self.resolver.resolve(&name)).await.expect("it hangs").unwrap()
    }

    /// Resolves it again without what is remembered, until the store holds what came of it.
    pub(crate) async fn resolve_until_stored(&self, name: &str, server: &RedisServer) {
        eventually("it is stored", async || {
            self.resolver.invalidate(&name.parse().unwrap());
            self.resolve(name).await;
            is_stored(name, server).await
        })
        .await;
    }

    /// How many well-known documents were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.network.asked().iter().filter(|it| it.starts_with("GET ")).count()
    }
}

/// `a.example` to `z.example` delegate, `failing.example` could.
fn internet() -> Internet {
    let failing = Internet::new().host("failing.example", &["192.0.2.9"]).page(
        "https://failing.example/.well-known/matrix/server",
        500,
        &[],
        "",
    );
    let delegated = failing.host("m.test", &["192.0.2.2"]).host("evil.test", &["192.0.2.6"]);
    ('a'..='z').fold(delegated, |internet, letter| {
        let host = format!("{letter}.example");
        internet.host(&host, &["192.0.2.1"]).delegates(&host, "m.test:443")
    })
}

/// Waits until this holds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let poll = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WATCHDOG, poll).await.unwrap_or_else(|_| panic!("not so after {WATCHDOG:?}: {what}"));
}

pub(crate) fn key(host: &str) -> String {
    format!("matrix-delegation:well-known:{host}")
}

/// Gives the server a command over a connection for it alone.
pub(crate) async fn ask<T: FromRedisValue>(server: &RedisServer, command: &mut Cmd) -> T {
    let asked = async {
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    };
    within(asked).await
}

pub(crate) async fn is_stored(host: &str, server: &RedisServer) -> bool {
    ask(server, redis::cmd("EXISTS").arg(key(host))).await
}

/// What is there for this host, once something is.
pub(crate) async fn stored(host: &str, server: &RedisServer) -> serde_json::Value {
    eventually("it is stored", async || is_stored(host, server).await).await;
    let value: Vec<u8> = ask(server, redis::cmd("GET").arg(key(host))).await;
    serde_json::from_slice(&value).unwrap()
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(WATCHDOG, work).await.expect("it hangs")
}
