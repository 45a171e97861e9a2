//! What survives a restart, what can be looked into, what is counted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use matrix_delegation::dns::{DnsQuestion, Family};
use matrix_delegation::resolver::{
    Counters, Outcomes, Provenance, RestoreError, Snapshot, Subject,
};
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{Config, Resolver, Runtime, Step};
use serde_json::{Value, json};

use super::{Bench, URL, delegated, millis, seconds};

/// What the next process knows, in which the same internet is met by another resolver.
fn next(bench: &Bench) -> Bench {
    let network = bench.network.clone();
    let resolver = network.resolver(Config::default());
    network.clear_asked();
    Bench { network, resolver }
}

fn written(bench: &Bench) -> Value {
    serde_json::to_value(bench.resolver.snapshot()).unwrap()
}

fn read(snapshot: &Value) -> Snapshot {
    serde_json::from_value(snapshot.clone()).unwrap()
}

#[test]
fn a_restart_forgets_no_delegation_and_asks_dns_anew() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    let snapshot = written(&bench);
    bench.pass(seconds(3600));
    let next = next(&bench);
    let restored = next.resolver.restore(&read(&snapshot)).unwrap();
    assert_eq!((restored.restored, restored.passed_over, restored.dropped), (1, 0, 0));
    let found = next.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.provenance()), (Step::DelegatedSrv, Provenance::Fresh));
    let asked = next.asked();
    assert!(!asked.contains(&URL.to_owned()), "{asked:?}");
    assert!(asked.contains(&"A t.example".to_owned()), "{asked:?}");
    // It has its true age.
    let least = seconds(24 * 3600 / 10 * 9 - 3601);
    let left = found.well_known_lifetime().unwrap();
    assert!((least..=seconds(23 * 3600)).contains(&left), "{left:?}");
}

#[test]
fn a_back_off_and_the_last_good_answer_survive() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.page(URL.trim_start_matches("GET "), 503, &[], ""));
    bench.pass(seconds(24 * 3600));
    assert!(bench.resolve("a.example").unwrap().is_stale());
    let next = next(&bench);
    next.resolver.restore(&bench.resolver.snapshot()).unwrap();
    let found = next.resolve("a.example").unwrap();
    assert_eq!((found.provenance(), found.step()), (Provenance::Stale, Step::DelegatedSrv));
    assert!(!next.asked().contains(&URL.to_owned()));
    next.pass(seconds(121));
    next.resolve("a.example").unwrap();
    assert!(next.asked().contains(&URL.to_owned()));
}

#[test]
fn what_cannot_be_believed_is_dropped_alone() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    let good = written(&bench);
    let entry = good["well_known"][0].clone();
    let now = bench.network.time().now().wall;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let now = u64::try_from(now).unwrap();
    let with = |host: &str, field: &str, value: Value| {
        let mut entry = entry.clone();
        entry["host"] = host.into();
        entry[field] = value;
        entry
    };
    let mut many = good.clone();
    many["well_known"] = json!([
        with("future.example", "fetched", (now + 60_000).into()),
        with("version.example", "version", 2.into()),
        with("name.example", "delegates", "a b".into()),
        with("127.1", "version", 1.into()),
        with("old.example", "fetched", (now - 49 * 3_600_000).into()),
        with("text.example", "fetched", "yesterday".into()),
        entry,
        17,
        {"version": 9, "of": "another shape"},
    ]);
    let next = next(&bench);
    let restored = next.resolver.restore(&read(&many)).unwrap();
    assert_eq!((restored.restored, restored.passed_over, restored.dropped), (1, 0, 8));
    let known: Vec<Subject> = next.resolver.entries().map(|entry| entry.subject).collect();
    assert_eq!(known, [Subject::WellKnown("a.example".parse().unwrap())]);
}

#[test]
fn a_corrupt_snapshot_is_an_error_that_loses_nothing() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    let before: Vec<_> = bench.resolver.entries().collect();
    let good = serde_json::to_string(&bench.resolver.snapshot()).unwrap();
    for cut in 0..good.len() {
        assert!(serde_json::from_str::<Snapshot>(&good[..cut]).is_err(), "{cut}");
    }
    for bad in ["{}", "[]", r#"{"version":1}"#, r#"{"version":"1","well_known":[]}"#] {
        assert!(serde_json::from_str::<Snapshot>(bad).is_err(), "{bad}");
    }
    assert_eq!(bench.resolver.restore(&Snapshot::default()).unwrap().restored, 0);
    let other = read(&json!({"version": 2, "well_known": []}));
    assert_eq!(bench.resolver.restore(&other), Err(RestoreError::Version { found: 2 }));
    assert_eq!(bench.resolver.entries().collect::<Vec<_>>(), before);
}

#[test]
fn memory_keeps_what_is_newer_than_the_snapshot() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    let old = bench.resolver.snapshot();
    bench.network.change(|internet| internet.delegates("a.example", "n.example:1"));
    let next = next(&bench);
    next.network.change(|internet| internet.host("n.example", &["192.0.2.9"]));
    next.pass(seconds(60));
    assert_eq!(next.resolve("a.example").unwrap().authority(), "n.example:1");
    let restored = next.resolver.restore(&old).unwrap();
    assert_eq!((restored.restored, restored.passed_over, restored.dropped), (0, 1, 0));
    assert_eq!(next.resolve("a.example").unwrap().authority(), "n.example:1");
}

#[test]
fn the_present_policy_judges_what_was_kept() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    // One that does not let the ranges for documentation through.
    let network = Arc::new(bench.network.clone());
    let resolver = Resolver::builder(network.clone(), network.clone(), network).build().unwrap();
    resolver.restore(&bench.resolver.snapshot()).unwrap();
    let found = bench.network.time().block_on(resolver.resolve(&"a.example".parse().unwrap()));
    assert_eq!(found.unwrap_err().kind(), "blocked_address");
    assert_eq!(resolver.counters().blocked, 1);
}

#[test]
fn entries_say_all_there_is_to_know() {
    let bench =
        Bench::new(delegated().fails("A t.example", matrix_delegation::dns::DnsFailure::ServFail));
    bench.resolve("a.example").unwrap_err();
    bench.pass(seconds(31));
    bench.resolve("a.example").unwrap_err();
    let wall = bench.network.time().now().wall;
    let entries: Vec<_> = bench.resolver.entries().collect();
    let about = |subject: Subject| entries.iter().find(|it| it.subject == subject).unwrap();

    let known = about(Subject::WellKnown("a.example".parse().unwrap()));
    assert_eq!(known.value.as_deref(), Some("m.example"));
    assert_eq!((known.failures, known.holds, &known.last_error), (0, true, &None));
    let age = wall.duration_since(known.fetched).unwrap();
    assert!((seconds(31)..seconds(32)).contains(&age), "{age:?}");
    assert!(known.until.unwrap() > wall + seconds(20 * 3600));

    let host = "t.example".parse().unwrap();
    let question = DnsQuestion::Addresses { host, family: Family::V4 };
    let failed = about(Subject::Dns(question));
    assert_eq!((failed.value.as_deref(), failed.failures, failed.holds), (None, 2, true));
    assert!(failed.last_error.as_ref().unwrap().contains("SERVFAIL"));
    let kept = failed.until.unwrap().duration_since(failed.fetched).unwrap();
    assert_eq!(kept, seconds(60));

    bench.network.change(|internet| internet.host("t.example", &["192.0.2.3"]));
    bench.pass(seconds(61));
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(301));
    let name = Subject::Target("a.example".parse().unwrap());
    let entries: Vec<_> = bench.resolver.entries().collect();
    let target = entries.iter().find(|it| it.subject == name).unwrap();
    assert!(target.value.as_ref().unwrap().contains("step 3.3"));
    assert!(!target.holds);
    // They can be printed as JSON.
    let json = serde_json::to_value(&entries).unwrap();
    assert_eq!(json.as_array().unwrap().len(), entries.len());
}

#[test]
fn all_is_counted() {
    let bench = Bench::new(delegated());
    let counters = || bench.resolver.counters();
    assert_eq!(counters(), Counters::default());
    bench.resolve("a.example").unwrap();
    bench.resolve("a.example").unwrap();
    assert!(bench.resolver.cached(&"a.example".parse().unwrap()).is_some());
    assert!(bench.resolver.cached(&"b.example".parse().unwrap()).is_none());
    let so_far = counters();
    assert_eq!((so_far.hits, so_far.misses, so_far.failed), (2, 1, 0));
    assert_eq!(so_far.queries.well_known, outcomes(1, 0, 0));
    // The server's own SRV records and those of its delegate were asked for early.
    assert_eq!(so_far.queries.srv, outcomes(1, 1, 0));
    assert_eq!(so_far.queries.srv_deprecated, outcomes(0, 2, 0));
    let asked = bench.asked();
    let count = |kind: &str| asked.iter().filter(|it| it.starts_with(kind)).count() as u64;
    assert_eq!(so_far.queries.a.total(), count("A "));
    assert_eq!(so_far.queries.aaaa.total(), count("AAAA "));

    bench.network.change(|internet| {
        internet
            .fails("A t.example", matrix_delegation::dns::DnsFailure::Refused)
            .fails("SRV _matrix-fed._tcp.m.example", matrix_delegation::dns::DnsFailure::Timeout)
            .page(URL.trim_start_matches("GET "), 503, &[], "")
    });
    bench.pass(seconds(24 * 3600));
    assert!(bench.resolve("a.example").unwrap().is_stale());
    let so_far = counters();
    assert_eq!((so_far.stale, so_far.queries.well_known), (1, outcomes(1, 0, 1)));
    assert_eq!(so_far.queries.a.failed, 1);
    assert_eq!(bench.resolve("nowhere.example").unwrap_err().kind(), "no_addresses");
    assert_eq!((counters().failed, counters().queries.well_known.none), (1, 1));
    let json = serde_json::to_value(counters()).unwrap();
    assert_eq!(json["queries"]["a"]["failed"], counters().queries.a.failed);
}

fn outcomes(found: u64, none: u64, failed: u64) -> Outcomes {
    let mut outcomes = Outcomes::default();
    (outcomes.found, outcomes.none, outcomes.failed) = (found, none, failed);
    outcomes
}

#[test]
fn degraded_answers_and_renewals_are_counted() {
    let fails = matrix_delegation::dns::DnsFailure::ServFail;
    let bench = Bench::new(
        Internet::new()
            .host("a.example", &["192.0.2.1"])
            .fails("SRV _matrix-fed._tcp.a.example", fails),
    );
    assert!(bench.resolve("a.example").unwrap().degraded().is_some());
    assert_eq!(bench.resolver.counters().degraded, 1);
    let bench = Bench::with(delegated(), Config::default());
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(250));
    bench.resolve("a.example").unwrap();
    bench.pass(millis(500));
    assert_eq!(bench.resolver.counters().renewals, 1);
}

#[test]
fn the_wall_clock_may_jump() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    let snapshot = bench.resolver.snapshot();
    let day = Duration::from_secs(86_400);
    let before = bench.network.time().now().wall;
    // Set back: what was kept is from the future.
    bench.network.time().set_wall(before - day);
    let next = next(&bench);
    assert_eq!(next.resolver.restore(&snapshot).unwrap().dropped, 1);
    // In memory it holds: lifetimes run on the other clock.
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    bench.network.time().set_wall(before + 3 * day);
    assert_eq!(next.resolver.restore(&snapshot).unwrap().dropped, 1);
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
}

#[test]
fn a_network_can_be_shared_by_resolvers() {
    let network = Network::new(delegated());
    let (one, other) = (network.resolver(Config::default()), network.resolver(Config::default()));
    let name = "a.example".parse().unwrap();
    network.time().block_on(one.resolve(&name)).unwrap();
    assert!(other.cached(&name).is_none());
}
