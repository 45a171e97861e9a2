//! What a remembered name weighs, all told, as an allocator sees it.
//!
//! ```sh
//! cargo test --features full --test weight -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use matrix_delegation::config::MemoryLimits;
use matrix_delegation::resolver::Subject;
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{Resolver, ResolverConfig, ServerName};

const NAMES: usize = 5_000;
/// What a name may weigh, in bytes.
const MOST: usize = 1_200;

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

/// A resolver after it has resolved so many names; what it holds, in bytes and blocks of memory.
fn resolved(names: usize, limits: &MemoryLimits) -> (Resolver, AllocationInfo) {
    let network = Network::new(internet(names));
    let mut config = ResolverConfig::default();
    config.memory = limits.clone();
    let mut resolver = None;
    let held = measure(|| {
        let made = network.resolver(config);
        for n in 0..names {
            let name: ServerName = format!("s{n}.example").parse().unwrap();
            network.time().block_on(made.resolve(&name)).unwrap();
            network.clear_asked();
        }
        // What is asked still, for nobody, and the timers of what has ended.
        network.time().advance(Duration::from_secs(60));
        network.clear_asked();
        resolver = Some(made);
    });
    (resolver.unwrap(), held)
}

/// How many names have a target.
fn targets(resolver: &Resolver) -> usize {
    resolver.entries().filter(|it| matches!(it.subject, Subject::Target(_))).count()
}

#[test]
fn a_remembered_name_weighs_little() {
    let mut limits = MemoryLimits::default();
    // Shards do not fill evenly.
    limits.hosts = NAMES * 5 / 2;
    let (resolver, held) = resolved(NAMES, &limits);
    assert_eq!((targets(&resolver), resolver.counters().evictions), (NAMES, 0));
    let bytes = usize::try_from(held.bytes_current).unwrap() / NAMES;
    let blocks = usize::try_from(held.count_current).unwrap() / NAMES;
    println!("a name: {bytes} bytes in {blocks} blocks of memory");
    assert!(bytes <= MOST, "{bytes} bytes a name");
}

/// The figure in the docs of [`MemoryLimits`] is that of `WEIGHT_NAMES=100000`.
#[test]
fn the_default_limits_hold_many_names_in_no_more_than_they_say() {
    let names = std::env::var("WEIGHT_NAMES").map_or(2_000, |text| text.parse().unwrap());
    let limits = MemoryLimits::default();
    let (resolver, held) = resolved(names, &limits);
    let (remembered, bytes) = (targets(&resolver), held.bytes_current);
    println!("the default limits: {remembered} of {names} names in {} MiB", bytes >> 20);
    assert!(remembered >= names.min(70_000) && bytes <= i64::try_from(limits.bytes).unwrap());
}
