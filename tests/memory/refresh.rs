//! Renewal ahead of expiry, and how long a caller waits for what ran out.

use std::time::Duration;

use matrix_delegation::dns::DnsFailure;
use matrix_delegation::report::Source;
use matrix_delegation::resolver::Provenance;
use matrix_delegation::testing::Internet;
use matrix_delegation::{ResolverConfig, Runtime, Step};

use super::{Bench, URL, delegated, seconds, warnings, whole};

/// Lets what goes on in the background come to its end.
fn settle(bench: &Bench) {
    bench.pass(Duration::from_millis(500));
}

#[test]
fn a_busy_name_never_waits() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.asked();
    // Four fifths of the addresses' life have passed.
    bench.pass(seconds(239));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    settle(&bench);
    assert_eq!(bench.asked(), [""; 0]);
    bench.pass(seconds(1));
    for _ in 0..10 {
        let before = bench.network.time().now().monotonic;
        assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
        assert_eq!(bench.network.time().now().monotonic, before);
    }
    settle(&bench);
    assert_eq!(bench.asked(), ["A t.example"]);
    let renewed = bench.resolve("a.example").unwrap();
    assert_eq!((renewed.provenance(), whole(renewed.lifetime())), (Provenance::Cached, 300));

    // A busy day: nobody waits, each part is asked as often as its life says.
    for _ in 0..24 * 60 {
        bench.pass(seconds(60));
        let found = bench.resolve("a.example").unwrap();
        assert_eq!(found.provenance(), Provenance::Cached);
    }
    settle(&bench);
    let asked = bench.asked();
    let count = |question: &str| asked.iter().filter(|it| *it == question).count();
    assert_eq!(count(URL), 1, "{asked:?}");
    assert!((86_400 / 300..=86_400 / 180).contains(&count("A t.example")), "{asked:?}");
    let srv = count("SRV _matrix-fed._tcp.m.example");
    assert!((86_400 / 600..=86_400 / 420).contains(&srv), "{srv}");
    assert_eq!(count("SRV _matrix._tcp.m.example"), 0);
}

#[test]
fn a_renewal_that_fails_leaves_the_answer_and_backs_off() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.fails("A t.example", DnsFailure::ServFail));
    bench.pass(seconds(241));
    bench.asked();
    for _ in 0..25 {
        assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
        bench.pass(seconds(1));
    }
    // The failure is kept for 30 s.
    assert_eq!(bench.asked(), ["A t.example"]);
    bench.pass(seconds(10));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    settle(&bench);
    assert_eq!(bench.asked(), ["A t.example"]);
    // Once it has run out, it serves on without a wait, since the failure still holds.
    bench.pass(seconds(25));
    let before = bench.network.time().now().monotonic;
    let stale = bench.resolve("a.example").unwrap();
    assert_eq!(bench.network.time().now().monotonic, before);
    assert_eq!(stale.provenance(), Provenance::Stale);
    assert_eq!(bench.asked(), [""; 0]);
}

#[test]
fn one_404_in_a_deployment_does_no_harm() {
    let bench = Bench::new(delegated().page(
        &URL[4..],
        200,
        &[("cache-control", "max-age=3600")],
        r#"{"m.server":"m.example"}"#,
    ));
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.page(&URL[4..], 404, &[], ""));
    bench.pass(seconds(3000));
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    settle(&bench);
    assert!(bench.asked().contains(&URL.to_owned()));
    bench.network.set(delegated());
    bench.pass(seconds(121));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.degraded()), (Step::DelegatedSrv, None));
    settle(&bench);
    assert!(bench.asked().contains(&URL.to_owned()));
    bench.pass(seconds(600));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.provenance()), (Step::DelegatedSrv, Provenance::Fresh));
}

#[test]
fn what_ran_out_is_waited_for_at_most_so_long() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.never("A t.example").never(URL));
    bench.pass(seconds(301));
    bench.asked();
    let before = bench.network.time().now().monotonic;
    let stale = bench.resolve("a.example").unwrap();
    let waited = bench.network.time().now().monotonic.since(before);
    assert_eq!(waited, Duration::from_millis(1800));
    assert_eq!(stale.provenance(), Provenance::Stale);
    assert_eq!(stale.step(), Step::DelegatedSrv);
    assert_eq!(warnings(&stale), ["dns_stale"]);
    // It goes on in the background, and what comes of it is remembered.
    bench.pass(seconds(5));
    let before = bench.network.time().now().monotonic;
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Stale);
    assert_eq!(bench.network.time().now().monotonic, before);
    assert_eq!(bench.asked(), ["A t.example"]);
}

#[test]
fn a_document_that_ran_out_is_waited_for_at_most_so_long() {
    let hour = [("cache-control", "max-age=3600")];
    let bench = Bench::new(delegated().page(&URL[4..], 200, &hour, r#"{"m.server":"m.example"}"#));
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.never(URL));
    bench.pass(seconds(3601));
    let before = bench.network.time().now().monotonic;
    let stale = bench.resolve("a.example").unwrap();
    assert_eq!(bench.network.time().now().monotonic.since(before), Duration::from_millis(1800));
    assert_eq!(stale.step(), Step::DelegatedSrv);
    assert!(warnings(&stale).contains(&"well_known_stale"), "{:?}", stale.warnings());
    // No longer than 48 h after its fetch.
    bench.pass(seconds(48 * 3600));
    let lost = bench.resolve("a.example").unwrap();
    assert_eq!((lost.step(), lost.provenance()), (Step::DefaultPort, Provenance::Degraded));
}

#[test]
fn a_name_that_was_never_resolved_is_waited_for() {
    let bench = Bench::new(delegated().after(URL, seconds(9)));
    let before = bench.network.time().now().monotonic;
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Fresh);
    assert!(bench.network.time().now().monotonic.since(before) >= seconds(9));
}

#[test]
fn nothing_is_renewed_ahead_where_that_is_not_wanted() {
    let mut config = ResolverConfig::default();
    config.discovery.refresh.ahead_percent = 0;
    let bench = Bench::with(delegated(), config);
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(299));
    bench.asked();
    bench.resolve("a.example").unwrap();
    settle(&bench);
    assert_eq!(bench.asked(), [""; 0]);
}

#[test]
fn a_target_that_never_ends_is_never_renewed() {
    let bench = Bench::new(Internet::new());
    for _ in 0..3 {
        bench.resolve("192.0.2.1").unwrap();
        bench.pass(seconds(1 << 30));
    }
    assert_eq!(bench.asked(), [""; 0]);
}

/// The addresses end while the document, which has a while to go, is being renewed.
#[test]
fn whoever_joins_a_renewal_that_fails_gets_what_still_holds() {
    let hour = [("cache-control", "max-age=3600")];
    let document = r#"{"m.server":"m.example"}"#;
    let bench = Bench::new(delegated().page(&URL[4..], 200, &hour, document));
    bench.resolve("a.example").unwrap();
    // Until the document is nearly due.
    for _ in 0..47 {
        bench.pass(seconds(60));
        bench.resolve("a.example").unwrap();
    }
    bench.network.change(|internet| {
        let gone = internet.page(&URL[4..], 404, &[], "");
        gone.after(URL, seconds(5)).never("A t.example")
    });
    let last = bench.resolve("a.example").unwrap();
    bench.pass(last.lifetime().unwrap().saturating_sub(seconds(3)));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    bench.pass(seconds(4));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.degraded()), (Step::DelegatedSrv, None), "{found}");
}

/// That there are no SRV records ends while this is being asked for again.
#[test]
fn no_renewal_that_fails_takes_the_place_of_what_holds() {
    let none = matrix_delegation::dns::NoRecord::NoData;
    let srv = "SRV _matrix-fed._tcp.a.example";
    let internet = Internet::new().host_for("a.example", &["192.0.2.1"], seconds(730));
    let bench = Bench::new(internet.none(srv, none).page(&URL[4..], 404, &[], ""));
    bench.resolve("a.example").unwrap();
    // Told that there are none for 900 s, it asks again after 720 s.
    bench.network.change(|internet| {
        internet.fails(srv, DnsFailure::ServFail).after(srv, seconds(4)).never("A a.example")
    });
    bench.pass(seconds(728));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    bench.pass(seconds(3));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.degraded()), (Step::DefaultPort, None), "{found}");
}

#[test]
fn one_who_does_not_wait_for_the_document_gets_addresses_of_now() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(24 * 3600));
    // The document does not come, and DNS says that its server has moved.
    bench.network.change(|internet| internet.never(URL).host("t.example", &["192.0.2.44"]));
    bench.asked();
    let before = bench.network.time().now().monotonic;
    let stale = bench.resolve("a.example").unwrap();
    let waited = bench.network.time().now().monotonic.since(before);
    assert_eq!((stale.provenance(), waited), (Provenance::Stale, Duration::from_millis(1800)));
    let address = stale.endpoints().next().unwrap().addresses().next().unwrap();
    assert_eq!(address.to_string(), "192.0.2.44:443");
    let asked = bench.asked();
    for question in ["SRV _matrix-fed._tcp.m.example", "A t.example", "AAAA t.example", URL] {
        assert_eq!(asked.iter().filter(|it| *it == question).count(), 1, "{asked:?}");
    }
}

#[test]
fn what_still_holds_is_as_old_as_it_is_although_a_renewal_failed() {
    let hour = [("cache-control", "max-age=3600")];
    let bench = Bench::new(delegated().page(&URL[4..], 200, &hour, r#"{"m.server":"m.example"}"#));
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.page(&URL[4..], 503, &[], ""));
    bench.pass(seconds(3000));
    for _ in 0..2 {
        bench.resolve("a.example").unwrap();
        settle(&bench);
    }
    bench.pass(seconds(10));
    let name = "a.example".parse().unwrap();
    let explained = bench.network.time().block_on(bench.resolver.explain(&name));
    let report = explained.report.unwrap();
    let known = report.well_known.as_ref().unwrap();
    assert!((report.rebuilt, known.failures) == (true, 1), "{report}");
    assert!(matches!(known.source, Source::Memory { age } if age > seconds(3000)), "{report}");
}
