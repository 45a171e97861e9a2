//! Callers that go away, under either setting.

use matrix_delegation::config::Abandoned;
use matrix_delegation::resolver::Provenance;
use matrix_delegation::testing::Internet;
use matrix_delegation::{ResolverConfig, Step};

use super::{Bench, URL, delegated, millis, seconds};

fn cancel() -> ResolverConfig {
    let mut config = ResolverConfig::default();
    config.abandoned = Abandoned::Cancel;
    config
}

/// The well-known takes ten seconds.
fn slow() -> Internet {
    delegated().after(URL, seconds(10))
}

#[test]
fn by_default_it_ends_and_is_remembered() {
    let bench = Bench::new(slow());
    assert!(bench.resolve_for("a.example", seconds(1)).is_none());
    bench.pass(seconds(20));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
}

#[test]
fn with_cancel_it_stops_with_the_last_caller() {
    let bench = Bench::with(slow(), cancel());
    assert!(bench.resolve_for("a.example", seconds(1)).is_none());
    bench.pass(millis(0));
    assert_eq!((bench.network.open(), bench.network.time().tasks()), (0, 0));
    // It had not run for long, and says nothing of the server.
    bench.asked();
    bench.network.change(|internet| internet.after(URL, seconds(1)));
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    assert!(bench.asked().contains(&URL.to_owned()));
}

#[test]
fn one_that_had_run_for_two_seconds_counts_as_a_passing_failure() {
    let bench = Bench::with(slow(), cancel());
    assert!(bench.resolve_for("a.example", seconds(3)).is_none());
    bench.pass(millis(0));
    assert_eq!((bench.network.open(), bench.network.time().tasks()), (0, 0));
    bench.asked();
    // It is not asked again until its back-off of two minutes, less a tenth, is over.
    let found = bench.resolve("a.example").unwrap();
    assert_eq!(found.step(), Step::DefaultPort);
    assert!(!bench.asked().contains(&URL.to_owned()));
    assert_eq!(bench.resolver.counters().queries.well_known.failed, 1);
    bench.pass(seconds(120));
    assert!(bench.resolve_for("a.example", seconds(3)).is_none());
    assert!(bench.asked().contains(&URL.to_owned()));
    // The second time it is four.
    bench.pass(seconds(200));
    bench.resolve("a.example").unwrap();
    assert!(!bench.asked().contains(&URL.to_owned()));
    bench.pass(seconds(40));
    assert!(bench.resolve_for("a.example", seconds(3)).is_none());
    assert!(bench.asked().contains(&URL.to_owned()));
}

#[test]
fn a_good_answer_stands_in_for_one_that_was_given_up() {
    let bench = Bench::with(delegated(), cancel());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.after(URL, seconds(10)));
    bench.pass(seconds(24 * 3600));
    // It is served after 1.8 s, and renewed for others, although nobody waits any more.
    let stale = bench.resolve("a.example").unwrap();
    assert_eq!((stale.provenance(), stale.step()), (Provenance::Stale, Step::DelegatedSrv));
    bench.pass(seconds(30));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.provenance(), found.step()), (Provenance::Cached, Step::DelegatedSrv));
}

#[test]
fn a_caller_that_stays_is_served() {
    let bench = Bench::with(slow(), cancel());
    let impatient = bench.call("a.example", Some(seconds(3)));
    let patient = bench.call("a.example", None);
    bench.pass(seconds(20));
    assert!(impatient.outcome().is_none());
    assert_eq!(patient.outcome().unwrap().unwrap().step(), Step::DelegatedSrv);
    assert_eq!(bench.asked().iter().filter(|it| *it == URL).count(), 1);
    assert_eq!(bench.resolver.counters().joins, 1);
}

#[test]
fn a_part_that_another_name_needs_goes_on() {
    let bench = Bench::with(slow(), cancel());
    let impatient = bench.call("a.example", Some(seconds(3)));
    let patient = bench.call("A.example", None);
    bench.pass(seconds(20));
    assert!(impatient.outcome().is_none());
    assert_eq!(patient.outcome().unwrap().unwrap().step(), Step::DelegatedSrv);
    assert_eq!(bench.asked().iter().filter(|it| *it == URL).count(), 1);
}

#[test]
fn what_is_renewed_in_the_background_goes_on() {
    let bench = Bench::with(delegated(), cancel());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.after("A t.example", seconds(3)));
    bench.pass(seconds(250));
    bench.asked();
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    bench.pass(seconds(5));
    assert_eq!(bench.asked(), ["A t.example"]);
    bench.pass(seconds(60));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    assert_eq!(bench.resolver.counters().renewals, 1);
}
