//! What the resolver remembers, on virtual time: each test says which questions may be asked, and
//! when.
#![cfg(feature = "resolver")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod days;
mod refresh;
mod stale;

use std::time::Duration;

use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{Config, Resolution, ResolveError, Resolver, Warning};

/// A resolver in an internet that can change.
struct Bench {
    network: Network,
    resolver: Resolver,
}

impl Bench {
    fn new(internet: Internet) -> Self {
        Self::with(internet, Config::default())
    }

    fn with(internet: Internet, config: Config) -> Self {
        let network = Network::new(internet);
        let resolver = network.resolver(config);
        Self { network, resolver }
    }

    fn resolve(&self, name: &str) -> Result<Resolution, ResolveError> {
        let name = name.parse().unwrap();
        self.network.time().block_on(self.resolver.resolve(&name))
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

/// Rounded up: a little of it has passed.
fn whole(lifetime: Option<Duration>) -> u64 {
    (lifetime.unwrap() + Duration::from_nanos(999_999_999)).as_secs()
}

fn warnings(found: &Resolution) -> Vec<&'static str> {
    found.warnings().iter().map(Warning::kind).collect()
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
