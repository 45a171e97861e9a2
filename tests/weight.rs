//! What a remembered name weighs, all told, as an allocator sees it.
//!
//! ```sh
//! cargo test --features resolver,testing --test weight -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use allocation_counter::{AllocationInfo, measure};
use matrix_delegation::config::MemoryLimits;
use matrix_delegation::resolver::Subject;
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{ResolverConfig, ServerName};

const NAMES: usize = 5_000;
/// What a name may weigh, in bytes.
const MOST: usize = 1_700;

/// Each name delegates to a host and a port of its own; an address each, of IPv4.
fn internet(names: usize) -> Internet {
    (0..names).fold(Internet::new(), |internet, n| {
        let (server, delegate) = (format!("s{n}.example"), format!("m{n}.example"));
        internet
            .delegates(&server, &format!("{delegate}:443"))
            .host(&server, &["192.0.2.1"])
            .host(&delegate, &["192.0.2.2"])
    })
}

/// What a resolver holds after it has resolved so many names: bytes and blocks of memory.
fn held(names: usize, limits: &MemoryLimits) -> AllocationInfo {
    let network = Network::new(internet(names));
    let all: Vec<ServerName> =
        (0..names).map(|n| format!("s{n}.example").parse().unwrap()).collect();
    let mut config = ResolverConfig::default();
    config.memory = limits.clone();
    let mut resolver = None;
    let held = measure(|| {
        let made = network.resolver(config);
        for name in &all {
            network.time().block_on(made.resolve(name)).unwrap();
            network.clear_asked();
        }
        // What is asked still, for nobody, and the timers of what has ended.
        network.time().advance(std::time::Duration::from_secs(60));
        network.clear_asked();
        resolver = Some(made);
    });
    let resolver = resolver.unwrap();
    let targets = resolver.entries().filter(|it| matches!(it.subject, Subject::Target(_)));
    assert_eq!(targets.count(), names);
    assert_eq!(resolver.counters().evictions, 0);
    held
}

#[test]
fn a_remembered_name_weighs_little() {
    let mut limits = MemoryLimits::default();
    // Shards do not fill evenly.
    limits.hosts = NAMES * 5 / 2;
    let held = held(NAMES, &limits);
    let bytes = usize::try_from(held.bytes_current).unwrap() / NAMES;
    let blocks = usize::try_from(held.count_current).unwrap() / NAMES;
    println!("a name: {bytes} bytes in {blocks} blocks of memory");
    assert!(bytes <= MOST, "{bytes} bytes a name");
}
