//! `Connector` and `FederationClient` against servers on loopback that are right, wrong, silent or
//! gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod attacks;
mod client;
mod clock;
mod connect;
mod dropped;
mod faults;
mod heads;
#[path = "../support/loopback.rs"]
mod loopback;
mod nginx;
mod peer;
#[path = "../support/polled.rs"]
mod polled;
mod resent;
#[path = "../hyper_fetch/server.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod server;
mod synapse;
mod turns;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use matrix_delegation::client::{ClientConfig, ConnectLimits};
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{
    Config, Connector, FederationClient, Resolution, Resolver, TokioRuntime, TrustedRoots,
};

use loopback::LoopbackDial;
use server::Authority;

/// Far beyond whatever a test is about; it only keeps a hanging test from hanging for good.
const WATCHDOG: Duration = Duration::from_secs(60);

/// What it comes to, unless it hangs.
async fn watched<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WATCHDOG, future).await.expect("the watchdog bit")
}

/// The limits no test runs into.
fn generous() -> ConnectLimits {
    let mut limits = ConnectLimits::default();
    (limits.phases.connect, limits.phases.tls, limits.total) = (WATCHDOG, WATCHDOG, WATCHDOG);
    limits
}

/// A client's default configuration, but that no test runs into the limits of connecting.
fn config() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.connect = generous();
    config
}

fn connector(authority: &Authority) -> Connector {
    let roots = TrustedRoots::only_added().with_certificate(authority.root());
    let connector = Connector::with_roots(roots).unwrap().with_dial(Arc::new(LoopbackDial));
    connector.with_limits(generous()).unwrap()
}

/// A client of `a.example`, which leads to this peer.
fn limited(authority: &Authority, peer: SocketAddr, limits: &ClientConfig) -> FederationClient {
    FederationClient::with_config(resolver(delegated(&[peer])), connector(authority), *limits)
        .unwrap()
}

/// A resolver in this internet, in which loopback is public.
fn resolver(internet: Internet) -> Resolver {
    let mut config = Config::default();
    for range in ["127.0.0.0/8", "::1/128"] {
        config.address_policy = config.address_policy.allow(range.parse().unwrap());
    }
    Network::on_runtime(internet, Arc::new(TokioRuntime::current())).resolver(config)
}

/// `a.example` and `b.example` delegate to `m.example`, whose SRV records lead to these, in order.
fn delegated(peers: &[SocketAddr]) -> Internet {
    let hosts: Vec<String> = (0..peers.len()).map(|index| format!("t{index}.example")).collect();
    let names: Vec<String> = hosts.iter().map(|host| format!("{host}.")).collect();
    let records: Vec<_> = (0_u16..)
        .zip(peers.iter().zip(&names))
        .map(|(priority, (peer, name))| (priority, 1, peer.port(), name.as_str()))
        .collect();
    let mut internet = Internet::new()
        .host("a.example", &["192.0.2.1"])
        .host("b.example", &["192.0.2.1"])
        .delegates("a.example", "m.example")
        .delegates("b.example", "m.example")
        .srv("_matrix-fed._tcp.m.example", &records);
    for (host, peer) in hosts.iter().zip(peers) {
        internet = internet.host(host, &[&peer.ip().to_string()]);
    }
    internet
}

async fn found(resolver: &Resolver, name: &str) -> Resolution {
    watched(resolver.resolve(&name.parse().unwrap())).await.unwrap()
}
