//! Much at a time: turns, and destinations that take many of them.

use std::net::SocketAddr;
use std::sync::Arc;

use matrix_delegation::error::Busy;
use matrix_delegation::resolver::{BoxFuture, Provenance, Subject};
use matrix_delegation::testing::{Internet, Network, VirtualTime, documentation_allowed};
use matrix_delegation::well_known::{Body, Fetch, FetchFailure, FetchFailureKind};
use matrix_delegation::{Config, ResolveError, Resolver, ResolverConfig, Step, WellKnownFetch};

use super::{Bench, URL, delegated, millis, seconds};

#[test]
fn discoveries_are_served_in_turn() {
    let mut config = ResolverConfig::default();
    (config.queue.discoveries, config.queue.slow) = (2, 0);
    let names = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"];
    let internet = names.iter().fold(Internet::new(), |internet, name| {
        internet.host(name, &["192.0.2.1"]).after(&format!("A {name}"), seconds(1))
    });
    let bench = Bench::with(internet, config);
    let calls: Vec<_> = names.iter().map(|name| bench.call(name, None)).collect();
    bench.pass(millis(0));
    let mut begun = bench.asked_hosts();
    for _ in 0..10 {
        bench.pass(seconds(1));
        for host in bench.asked_hosts() {
            if !begun.contains(&host) {
                begun.push(host);
            }
        }
    }
    assert_eq!(begun, names);
    assert!(calls.iter().all(|call| call.outcome().unwrap().is_ok()));
}

#[test]
fn one_who_waits_too_long_for_a_turn_is_refused_and_nothing_is_remembered() {
    let mut config = ResolverConfig::default();
    (config.queue.discoveries, config.queue.slow) = (1, 0);
    config.queue.wait = seconds(3);
    let bench = Bench::with(
        Internet::new()
            .host("a.example", &["192.0.2.1"])
            .host("b.example", &["192.0.2.2"])
            .never("A a.example")
            .never("AAAA a.example"),
        config,
    );
    let (_slow, late) = (bench.call("a.example", None), bench.call("b.example", None));
    bench.pass(seconds(2));
    assert!(late.outcome().is_none());
    bench.pass(seconds(2));
    let error = late.outcome().unwrap().unwrap_err();
    assert!(matches!(error, ResolveError::TooBusy { limit: 1, .. }), "{error:?}");
    assert_eq!(bench.resolver.counters().too_busy, 1);
    bench.pass(seconds(60));
    assert_eq!(bench.resolve("b.example").unwrap().provenance(), Provenance::Fresh);
}

/// Sets a limit.
type Limit = fn(&mut ResolverConfig);

#[test]
fn a_refusal_says_what_was_busy() {
    let limits: [(Busy, Limit); 4] = [
        (Busy::Discoveries, |it| {
            (it.queue.discoveries, it.queue.slow, it.queue.waiting) = (1, 0, 0);
        }),
        (Busy::Turn, |it| {
            (it.queue.discoveries, it.queue.slow, it.queue.wait) = (1, 0, seconds(3));
        }),
        (Busy::Questions, |it| it.queue.questions = 1),
        (Busy::Destination, |it| {
            (it.queue.per_destination, it.queue.per_destination_waiting) = (1, 0);
        }),
    ];
    for (what, limit) in limits {
        let mut config = ResolverConfig::default();
        limit(&mut config);
        let both = Internet::new().host("a.example", &["192.0.2.1"]);
        let both = both.host("b.example", &["192.0.2.1"]);
        let internet = match what {
            Busy::Destination => both.never(URL),
            _ => both.never("A a.example").never("AAAA a.example"),
        };
        let bench = Bench::with(internet, config);
        let _slow = bench.call("a.example", None);
        bench.pass(millis(1));
        let refused = bench.call("b.example", None);
        bench.pass(seconds(4));
        let error = refused.outcome().unwrap().unwrap_err();
        let ResolveError::TooBusy { busy, limit: 1, .. } = error else {
            panic!("{what:?} {error:?}")
        };
        assert_eq!(busy, what);
    }
}

#[test]
fn what_has_run_out_is_better_than_a_refusal() {
    let mut config = ResolverConfig::default();
    config.queue.discoveries = 1;
    config.queue.waiting = 0;
    let bench = Bench::with(delegated().never("A b.example").never("AAAA b.example"), config);
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(400));
    let _slow = bench.call("b.example", None);
    bench.pass(millis(1));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.provenance(), found.step()), (Provenance::Stale, Step::DelegatedSrv));
}

#[test]
fn a_renewal_in_the_background_takes_no_turn_from_one_who_waits() {
    let mut config = ResolverConfig::default();
    config.queue.discoveries = 1;
    let bench = Bench::with(delegated().never("A b.example").never("AAAA b.example"), config);
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(250));
    let _slow = bench.call("b.example", None);
    bench.pass(millis(1));
    bench.asked();
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    bench.pass(seconds(1));
    assert_eq!(bench.asked(), [""; 0]);
    assert_eq!(bench.resolver.counters().renewals, 0);
}

#[test]
fn one_silent_address_behind_ten_thousand_names_does_not_take_all_turns() {
    const NAMES: usize = 10_000;
    let mut internet = Internet::new().host("good.example", &["192.0.2.1"]);
    for index in 0..NAMES {
        let host = format!("h{index}.example");
        internet = internet
            .host(&host, &["192.0.2.66"])
            .never(&format!("GET https://{host}/.well-known/matrix/server"));
    }
    let bench = Bench::new(internet);
    let calls: Vec<_> =
        (0..NAMES).map(|index| bench.call(&format!("h{index}.example"), None)).collect();
    // The last of all, and yet it does not wait for the silent one to time out.
    let good = bench.call("good.example", None);
    bench.pass(seconds(2));
    assert_eq!(good.outcome().unwrap().unwrap().step(), Step::DefaultPort);
    // What is open still are exchanges with that address: as many as its turns.
    assert_eq!(bench.network.open(), 16);
    // Those who wait for a turn there hold one each of the thousand, and are few.
    let waiting = calls.iter().filter(|call| call.outcome().is_none()).count();
    assert_eq!(waiting, 16 + 112);
    let mut most = 0;
    for _ in 0..60 {
        bench.pass(seconds(1));
        most = most.max(bench.network.open());
    }
    assert_eq!(most, 16);
    let mut decided = 0;
    for call in &calls {
        match call.outcome().unwrap() {
            // The silent well-known has timed out.
            Ok(found) => {
                assert_eq!(found.step(), Step::DefaultPort);
                decided += 1;
            }
            Err(error) => assert_eq!(error.kind(), "too_busy"),
        }
    }
    assert_eq!(decided, 16);
    // A refusal says nothing of the server: only what was asked is remembered.
    let known = bench.resolver.entries();
    let known = known.filter(|entry| matches!(entry.subject, Subject::WellKnown(_))).count();
    assert_eq!(known, 16 + 1);
}

#[test]
fn a_busy_destination_does_not_lose_a_good_answer() {
    let mut config = ResolverConfig::default();
    config.queue.per_destination = 1;
    config.queue.per_destination_waiting = 0;
    let bench = Bench::with(
        delegated()
            .host("b.example", &["192.0.2.1"])
            .never("GET https://b.example/.well-known/matrix/server"),
        config,
    );
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(24 * 3600));
    let _slow = bench.call("b.example", None);
    bench.pass(millis(1));
    bench.asked();
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.provenance(), found.step()), (Provenance::Stale, Step::DelegatedSrv));
    assert!(!bench.asked().contains(&URL.to_owned()));
}

/// The machine has no IPv6: what goes there fails at once. An exchange takes a second.
#[derive(Debug)]
struct OneFamily(VirtualTime);

impl WellKnownFetch for OneFamily {
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<http::Response<Body>, FetchFailure>> {
        let can = fetch.addresses.iter().any(SocketAddr::is_ipv4);
        Box::pin(async move {
            if !can {
                return Err(FetchFailure::new(FetchFailureKind::Connect, "unreachable"));
            }
            self.0.sleep(seconds(1)).await;
            Ok(http::Response::new(Body::from(r#"{"m.server":"m.example:443"}"#)))
        })
    }
}

#[test]
fn a_family_that_this_machine_has_not_is_no_failure_of_a_busy_host() {
    const NAMES: usize = 60;
    let name = |index: usize| format!("h{index}.example");
    let internet = (0..NAMES)
        .fold(Internet::new().host("m.example", &["192.0.2.1"]), |internet, index| {
            internet.host(&name(index), &["192.0.2.9", "2001:db8::9"])
        });
    let network = Network::new(internet);
    let fetch = Arc::new(OneFamily(network.time().clone()));
    let time = Arc::new(network.time().clone());
    let config = documentation_allowed(Config::default());
    let resolver = Resolver::new(Arc::new(network.clone()), fetch, time, config).unwrap();
    let bench = Bench { network, resolver };
    let calls: Vec<_> = (0..NAMES).map(|index| bench.call(&name(index), None)).collect();
    bench.pass(seconds(30));
    for call in calls {
        let found = call.outcome().unwrap().unwrap();
        assert_eq!(found.step(), Step::DelegatedPort, "{found}");
    }
}

#[test]
fn what_gets_no_socket_is_trouble_of_this_machine_and_is_right_again_afterwards() {
    const NAMES: usize = 200;
    let internet = (0..NAMES).fold(Internet::new(), |internet, index| {
        let host = format!("h{index}.example");
        internet
            .host(&host, &["192.0.2.1"])
            .delegates(&host, &format!("{host}:443"))
            .after(&format!("GET https://{host}/.well-known/matrix/server"), millis(500))
    });
    let mut config = ResolverConfig::default();
    (config.sockets.most, config.sockets.wait) = (16, seconds(1));
    // As many as come, so that they meet at the sockets.
    (config.queue.per_destination, config.queue.wait) = (NAMES, seconds(5));
    let bench = Bench::with(internet, config);
    let call = |index: usize| bench.call(&format!("h{index}.example"), None);
    let calls: Vec<_> = (0..NAMES).map(call).collect();
    let mut most = 0;
    for _ in 0..400 {
        bench.pass(millis(100));
        most = most.max(bench.network.open());
    }
    assert!(most <= 16, "{most}");
    let (mut right, mut local) = (0, 0);
    for call in &calls {
        match call.outcome().unwrap() {
            Ok(found) => {
                assert_eq!((found.step(), found.degraded()), (Step::DelegatedPort, None));
                right += 1;
            }
            Err(error) => {
                assert!(["local", "too_busy"].contains(&error.kind()), "{error}");
                assert!(error.is_temporary());
                local += 1;
            }
        }
    }
    assert!(right > 20 && local > 20, "{right} {local}");
    // Nothing of it is remembered.
    bench.pass(seconds(60));
    for index in 0..NAMES {
        assert_eq!(
            bench.resolve(&format!("h{index}.example")).unwrap().step(),
            Step::DelegatedPort
        );
    }
}

#[test]
fn names_that_take_for_ever_hardly_delay_the_others() {
    let median = |hostile: usize| {
        let name = |index: usize, count: usize| {
            let is_healthy = index * hostile / count == (index + 1) * hostile / count;
            format!("{}{index}.example", if is_healthy { "good" } else { "bad" })
        };
        let count = 700 + hostile;
        let names: Vec<_> = (0..count).map(|index| name(index, count)).collect();
        let internet = names.iter().enumerate().fold(Internet::new(), |internet, (index, host)| {
            let address = format!("192.0.2.{}", index % 250);
            let url = format!("GET https://{host}/.well-known/matrix/server");
            let internet = internet.host(host, &[&address]).delegates(host, &format!("{host}:443"));
            if host.starts_with("good") {
                internet.after(&url, millis(100))
            } else {
                internet.never(&url)
            }
        });
        let mut config = ResolverConfig::default();
        config.queue.discoveries = 100;
        let bench = Bench::with(internet, config);
        let calls: Vec<_> = names.iter().map(|name| bench.call(name, None)).collect();
        let healthy = |name: &&String| name.starts_with("good");
        let all = names.iter().filter(healthy).count();
        for passed in 0..3_000 {
            let done = names.iter().zip(&calls).filter(|(name, call)| {
                healthy(name) && call.outcome().is_some_and(|it| it.is_ok())
            });
            if done.count() * 2 >= all {
                return passed;
            }
            bench.pass(millis(10));
        }
        panic!("they are not resolved in half a minute");
    };
    let (alone, among) = (median(0), median(300));
    assert!(2 * among <= 3 * alone, "{among} {alone}");
}
