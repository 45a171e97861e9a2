//! What callers say of a target that led nowhere.

use matrix_delegation::resolver::{ContactFailure, ContactFailureKind};
use matrix_delegation::testing::Internet;
use matrix_delegation::{Endpoint, Resolution};

use super::{Bench, URL, delegated, millis, seconds};

fn unreachable() -> ContactFailure {
    ContactFailure::new(ContactFailureKind::CouldNotConnect)
}

fn three() -> Internet {
    Internet::new()
        .host("a.example", &["192.0.2.1"])
        .srv(
            "_matrix-fed._tcp.a.example",
            &[(0, 1, 1, "one.example."), (1, 1, 2, "two.example."), (2, 1, 3, "three.example.")],
        )
        .host("one.example", &["192.0.2.2"])
        .host("two.example", &["192.0.2.3"])
        .host("three.example", &["192.0.2.4"])
}

fn order(found: &Resolution) -> Vec<u16> {
    found.attempts(7).map(Endpoint::port).collect()
}

#[test]
fn an_endpoint_that_failed_is_tried_last_for_a_while() {
    let bench = Bench::new(three());
    let found = bench.resolve("a.example").unwrap();
    assert_eq!(order(&found), [1, 2, 3]);
    for first in [0, 1] {
        let why = unreachable().at(found.endpoints().nth(first).unwrap());
        bench.resolver.report_failure(&found, &why);
    }
    assert_eq!(order(&bench.resolve("a.example").unwrap()), [3, 1, 2]);
    // The target itself says what DNS says.
    let target = bench.resolve("a.example").unwrap();
    assert_eq!(target.target().attempts(7).map(Endpoint::port).collect::<Vec<_>>(), [1, 2, 3]);
    // It stays so when the target is found again.
    bench.pass(seconds(400));
    let again = bench.resolve("a.example").unwrap();
    assert_eq!(order(&again), [3, 1, 2]);
    bench.pass(seconds(210));
    assert_eq!(order(&bench.resolve("a.example").unwrap()), [1, 2, 3]);
}

#[test]
fn another_name_s_endpoints_stay_where_they_are() {
    let bench = Bench::new(three());
    let found = bench.resolve("a.example").unwrap();
    let other = bench.resolve("A.example").unwrap();
    bench.resolver.report_failure(&found, &unreachable().at(found.endpoints().next().unwrap()));
    assert_eq!(order(&bench.resolve("A.example").unwrap()), [1, 2, 3]);
    assert_eq!(order(&other), [1, 2, 3]);
}

#[test]
fn a_server_that_moved_is_found_in_seconds() {
    let bench = Bench::new(delegated());
    let found = bench.resolve("a.example").unwrap();
    bench.pass(seconds(60));
    bench.network.change(|internet| {
        internet
            .delegates("a.example", "n.example")
            .srv("_matrix-fed._tcp.n.example", &[(0, 0, 8, "n.example.")])
            .host("n.example", &["192.0.2.9"])
    });
    bench.asked();
    let gone = ContactFailure::new(ContactFailureKind::NotFound);
    bench.resolver.report_failure(&found, &gone);
    bench.pass(seconds(2));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.authority(), found.endpoints().next().unwrap().port()), ("n.example", 8));
    assert_eq!(bench.asked().iter().filter(|it| *it == URL).count(), 1);
    assert_eq!(bench.resolver.counters().reports, 1);
}

#[test]
fn reports_do_not_become_a_flood() {
    let bench = Bench::new(delegated());
    let found = bench.resolve("a.example").unwrap();
    bench.asked();
    // It was asked for just now.
    bench.resolver.report_failure(&found, &unreachable());
    bench.pass(seconds(1));
    assert_eq!(bench.asked(), [""; 0]);
    // An hour of reports, ten a second, of a server that stays where it is and is down.
    let mut when = Vec::new();
    for tick in 0..36_000_u32 {
        let found = bench.resolve("a.example").unwrap();
        bench.resolver.report_failure(&found, &unreachable().at(found.endpoints().next().unwrap()));
        bench.pass(millis(100));
        if bench.asked().contains(&URL.to_owned()) {
            when.push(tick / 10);
        }
    }
    // 10 s, then twice as long each time, up to 10 min.
    assert!((8..=12).contains(&when.len()), "{when:?}");
    assert!(when.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{when:?}");
    let gaps: Vec<u32> = when.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[1] + 2 >= pair[0]), "{gaps:?}");
    assert!(gaps.last().is_some_and(|gap| (598..=602).contains(gap)), "{gaps:?}");
}

#[test]
fn what_backs_off_is_left_alone() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    let down = |internet: Internet| internet.page(URL.strip_prefix("GET ").unwrap(), 503, &[], "");
    bench.network.change(down);
    bench.pass(seconds(24 * 3600));
    let found = bench.resolve("a.example").unwrap();
    assert!(found.is_stale());
    bench.pass(seconds(20));
    bench.asked();
    bench.resolver.report_failure(&found, &unreachable());
    bench.pass(seconds(5));
    let asked = bench.asked();
    assert!(!asked.contains(&URL.to_owned()), "{asked:?}");
    assert!(asked.contains(&"A t.example".to_owned()), "{asked:?}");
}

#[test]
fn a_report_on_what_is_not_remembered_does_nothing() {
    let bench = Bench::new(delegated());
    let found = bench.resolve("a.example").unwrap();
    bench.resolver.invalidate(found.server_name());
    bench.asked();
    bench.resolver.report_failure(&found, &unreachable().at(found.endpoints().next().unwrap()));
    bench.pass(seconds(5));
    assert_eq!(bench.asked(), [""; 0]);
}
