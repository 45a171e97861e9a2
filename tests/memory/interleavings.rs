//! Callers that come, go away and are served in many orders in which the tasks can go on, drawn by
//! seeds. The unit tests of flights go through every order of theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use matrix_delegation::config::{Abandoned, Speculation};
use matrix_delegation::testing::{Internet, Network, VirtualTime};
use matrix_delegation::{Config, Resolver, ResolverConfig, Runtime};
use tokio::sync::oneshot;

/// What became of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Served,
    Failed,
    Left,
}

/// Three callers of one name, of which two are told to leave, on one path.
fn walk(seed: u64, abandoned: Abandoned, panics: bool) -> [Fate; 3] {
    let time = VirtualTime::new().with_seed(seed);
    let internet = Internet::new()
        .host("a.example", &["192.0.2.1"])
        .after("A a.example", std::time::Duration::ZERO);
    let network = Network::with_time(internet, time);
    let time = network.time();
    if panics {
        network.panic_at(Some("A a.example"));
    }
    let discovery = Config::default().with_speculation(Speculation::Off);
    let mut config = ResolverConfig::from(
        discovery.with_addresses(matrix_delegation::config::AddressFamilies::V4),
    );
    config.abandoned = abandoned;
    let resolver = network.resolver(config);
    let fates = Arc::new(Mutex::new([None; 3]));
    for caller in 0..3 {
        let (leave, told) = oneshot::channel::<()>();
        let (resolver, fates) = (resolver.clone(), Arc::clone(&fates));
        time.spawn(Box::pin(async move {
            let name = "a.example:1".parse().unwrap();
            let fate = tokio::select! {
                biased;
                found = resolver.resolve(&name) => match found {
                    Ok(_) => Fate::Served,
                    Err(error) => {
                        assert_eq!(error.kind(), "adapter_failed");
                        Fate::Failed
                    }
                },
                Ok(()) = told => Fate::Left,
            };
            fates.lock().unwrap()[caller] = Some(fate);
        }));
        if caller < 2 {
            time.spawn(Box::pin(async move {
                // Who was served is gone.
                let _ = leave.send(());
            }));
        } else {
            // Who is not told stays.
            std::mem::forget(leave);
        }
    }
    time.advance(std::time::Duration::from_secs(60));
    let fates = fates.lock().unwrap().map(|fate| fate.expect("every caller is answered"));
    check(&network, &resolver, abandoned, panics, fates);
    fates
}

fn check(
    network: &Network,
    resolver: &Resolver,
    abandoned: Abandoned,
    panics: bool,
    fates: [Fate; 3],
) {
    let time = network.time();
    // Nothing is left: no task, no question, and the name is free.
    assert_eq!((time.tasks(), network.open()), (0, 0));
    assert_ne!(fates[2], Fate::Left);
    let asked = network.asked().len();
    if panics {
        assert!(!fates.contains(&Fate::Served));
    } else {
        assert!(!fates.contains(&Fate::Failed));
        assert_eq!(fates[2], Fate::Served);
        // One flight, unless all who were there had left and it was stopped; each of the two that
        // leave can stop one.
        let most = if abandoned == Abandoned::Cancel { 3 } else { 1 };
        assert!((1..=most).contains(&asked), "{asked}");
        assert_eq!(resolver.counters().queries.a.found, 1);
    }
    network.panic_at(None);
    network.clear_asked();
    time.block_on(resolver.resolve(&"a.example:1".parse().unwrap())).unwrap();
    assert_eq!(network.asked().len(), usize::from(panics));
}

#[test]
fn three_callers_two_that_leave_and_a_panic() {
    let mut met = BTreeMap::<_, u32>::new();
    for seed in 0..2000 {
        for abandoned in [Abandoned::Finish, Abandoned::Cancel] {
            for panics in [false, true] {
                let fates = walk(seed, abandoned, panics);
                *met.entry((panics, fates)).or_default() += 1;
            }
        }
    }
    // The two that may leave do so or are served, or fail, in every combination.
    println!("{met:?}");
    assert_eq!(met.len(), 8, "{met:?}");
}
