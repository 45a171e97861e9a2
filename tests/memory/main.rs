//! What the resolver remembers, on virtual time: each test says which questions may be asked, and
//! when.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod abandoned;
mod attacks;
mod busy;
mod days;
mod dropped;
mod extremes;
mod feedback;
mod interleavings;
mod kept;
#[path = "../support/polled.rs"]
#[allow(dead_code, reason = "others use the rest of it")]
mod polled;
mod refresh;
mod rules;
mod scan;
mod stale;
mod store;
mod store_lies;
mod suspended;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{
    Config, Resolution, ResolveError, Resolver, ResolverConfig, Runtime, ServerName, Warning,
};

type Outcome = Result<Resolution, ResolveError>;

/// A call on its way, in a task of its own.
struct Call(Arc<Mutex<Option<Outcome>>>);

impl Call {
    /// What came of it, if it has come to its end.
    fn outcome(&self) -> Option<Outcome> {
        self.0.lock().unwrap().clone()
    }
}

/// A resolver in an internet that can change.
struct Bench {
    network: Network,
    resolver: Resolver,
}

impl Bench {
    fn new(internet: Internet) -> Self {
        Self::with(internet, Config::default())
    }

    fn with(internet: Internet, config: impl Into<ResolverConfig>) -> Self {
        let network = Network::new(internet);
        let resolver = network.resolver(config);
        Self { network, resolver }
    }

    fn resolve(&self, name: &str) -> Result<Resolution, ResolveError> {
        let name = name.parse().unwrap();
        self.network.time().block_on(self.resolver.resolve(&name))
    }

    /// The same by one who waits no longer than this.
    fn resolve_for(&self, name: &str, patience: Duration) -> Option<Outcome> {
        let call = self.call(name, Some(patience));
        self.pass(patience);
        call.outcome()
    }

    /// Has a task resolve it, which waits no longer than this.
    fn call(&self, name: &str, patience: Option<Duration>) -> Call {
        let (resolver, time) = (self.resolver.clone(), self.network.time().clone());
        let outcome = Arc::new(Mutex::new(None));
        let (call, name) = (Call(Arc::clone(&outcome)), name.parse::<ServerName>().unwrap());
        let waits = time.sleep(patience.unwrap_or(Duration::from_secs(1_000_000)));
        time.spawn(Box::pin(async move {
            tokio::select! {
                found = resolver.resolve(&name) => *outcome.lock().unwrap() = Some(found),
                () = waits => {}
            }
        }));
        call
    }

    /// The hosts that were asked about since the last call, in the order asked, each once.
    fn asked_hosts(&self) -> Vec<String> {
        let mut hosts = Vec::new();
        for question in self.network.asked() {
            let host = question.strip_prefix("A ").map(str::to_owned);
            hosts.extend(host.filter(|host| !hosts.contains(host)));
        }
        self.network.clear_asked();
        hosts
    }

    /// What was asked since the last call, sorted.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.network.asked();
        self.network.clear_asked();
        asked.sort();
        asked
    }

    fn pass(&self, time: Duration) {
        self.network.time().advance(time);
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Rounded up: a little of it has passed.
fn whole(lifetime: Option<Duration>) -> u64 {
    (lifetime.unwrap() + Duration::from_nanos(999_999_999)).as_secs()
}

fn warnings(found: &Resolution) -> Vec<&'static str> {
    found.warnings().map(Warning::kind).collect()
}

const URL: &str = "GET https://a.example/.well-known/matrix/server";

/// Addresses 300 s, SRV 600 s, the well-known about a day.
fn delegated() -> Internet {
    Internet::new()
        .host("a.example", &["192.0.2.1"])
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.m.example", &[(0, 0, 443, "t.example.")])
        .host("t.example", &["192.0.2.3"])
}
