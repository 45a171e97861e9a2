//! Calls that are dropped at each of their awaits: whatever they held is free.

use std::sync::Arc;
use std::time::Duration;

use matrix_delegation::config::Abandoned;
use matrix_delegation::testing::Network;
use matrix_delegation::{Resolver, ResolverConfig, ServerName, Step};

use super::polled::{MOST, polled};
use super::store::{Mood, Scripted};
use super::{Bench, URL, delegated, millis, seconds};

#[derive(Clone, Copy, Debug)]
enum Call {
    Resolve,
    Explain,
}

/// One discovery at a time, and nobody waits for a permit.
fn config(abandoned: Abandoned) -> ResolverConfig {
    let mut config = ResolverConfig::default();
    config.abandoned = abandoned;
    config.queue.discoveries = 1;
    config.queue.wait = Duration::ZERO;
    config.queue.per_destination = 1;
    config.queue.per_destination_waiting = 0;
    // Those of one discovery.
    config.queue.questions = 12;
    config
}

fn bench(abandoned: Abandoned, mood: Mood) -> Bench {
    let network = Network::new(delegated().after(URL, millis(300)));
    let store = Scripted::default();
    store.is(mood);
    let builder = network.builder(config(abandoned)).store(Arc::new(store));
    let resolver = builder.build().unwrap();
    Bench { network, resolver }
}

async fn make(call: Call, resolver: Resolver, name: ServerName) -> Step {
    match call {
        Call::Resolve => resolver.resolve(&name).await.unwrap().step(),
        Call::Explain => {
            let explanation = resolver.explain(&name).await;
            assert!(explanation.report.is_some());
            explanation.result.unwrap().step()
        }
    }
}

#[test]
fn a_call_that_is_dropped_at_any_await_leaves_nothing() {
    let name: ServerName = "a.example".parse().unwrap();
    for call in [Call::Resolve, Call::Explain] {
        for mood in [Mood::Well, Mood::Failing, Mood::Silent] {
            for abandoned in [Abandoned::Finish, Abandoned::Cancel] {
                // It is asked for the first time, or has expired and is served stale after a while.
                for expired in [false, true] {
                    let mut awaits = 0;
                    for polls in 0..MOST {
                        let bench = bench(abandoned, mood);
                        let time = bench.network.time();
                        if expired {
                            bench.resolve("a.example").unwrap();
                            bench.pass(seconds(24 * 3600));
                            bench.network.change(|internet| internet.after(URL, seconds(5)));
                        }
                        let future = make(call, bench.resolver.clone(), name.clone());
                        let over = time.block_on(polled(future, polls));
                        let case = format!("{call:?} {mood:?} {abandoned:?} {expired} {polls}");
                        if abandoned == Abandoned::Cancel && !expired && over.is_none() {
                            bench.pass(Duration::ZERO);
                            assert_eq!((bench.network.open(), time.tasks()), (0, 0), "{case}");
                        }
                        // The only permit goes to the next caller, at once or with the answer.
                        let found = time.block_on(bench.resolver.resolve(&name));
                        assert_eq!(found.unwrap().step(), Step::DelegatedSrv, "{case}");
                        bench.pass(seconds(60));
                        assert_eq!((bench.network.open(), time.tasks()), (0, 0), "{case}");
                        let other = bench.resolve("t.example").unwrap();
                        assert_eq!(other.step(), Step::DefaultPort, "{case}");
                        assert!(!time.has_panicked(), "{case}");
                        if let Some(step) = over {
                            assert_eq!(step, Step::DelegatedSrv, "{case}");
                            awaits = polls;
                            break;
                        }
                    }
                    assert!(awaits > 1, "{call:?}");
                }
            }
        }
    }
}
