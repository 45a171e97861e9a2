//! DNS that fails: the last good records serve on.

use matrix_delegation::dns::DnsFailure;
use matrix_delegation::resolver::Provenance;
use matrix_delegation::testing::Internet;
use matrix_delegation::well_known::{FetchFailure, FetchFailureKind};
use matrix_delegation::{Resolution, ResolverConfig, Step, Warning};

use super::{Bench, URL, delegated, millis, seconds, warnings, whole};

const SRV: &str = "SRV _matrix-fed._tcp.m.example";

#[test]
fn records_serve_on_for_a_day_past_their_ttl_while_dns_fails() {
    let bench = Bench::new(delegated());
    let good = bench.resolve("a.example").unwrap();
    assert_eq!(good.provenance(), Provenance::Fresh);
    bench.network.change(|internet| {
        let internet = internet.fails(SRV, DnsFailure::ServFail);
        internet.fails("A t.example", DnsFailure::Timeout)
    });
    bench.pass(seconds(601));
    bench.asked();
    let stale = bench.resolve("a.example").unwrap();
    assert_eq!(bench.asked(), ["A t.example", SRV]);
    assert_eq!(stale.provenance(), Provenance::Stale);
    assert_eq!(stale.step(), good.step());
    assert!(stale.endpoints().eq(good.endpoints()));
    assert_eq!(warnings(&stale), ["dns_stale"; 2]);
    // It holds as long as the failures do.
    assert_eq!(whole(stale.lifetime()), 30);
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Stale);
    assert_eq!(bench.asked(), [""; 0]);

    // Failures back off while the records serve on.
    bench.pass(seconds(31));
    assert_eq!(whole(bench.resolve("a.example").unwrap().lifetime()), 60);
    assert_eq!(bench.asked(), ["A t.example", SRV]);

    // The address ran out after 300 s, the SRV record after 600 s; a day later each is given up.
    bench.pass(seconds(86_400 - 601 - 31 + 300));
    let error = bench.resolve("a.example").unwrap_err();
    assert_eq!((error.kind(), error.step()), ("no_addresses", Some(Step::DelegatedSrv)));
    bench.network.change(|internet| internet.host("m.example", &["192.0.2.2"]));
    bench.pass(seconds(700));
    let degraded = bench.resolve("a.example").unwrap();
    assert_eq!(degraded.provenance(), Provenance::Degraded);
    assert_eq!(degraded.step(), Step::DelegatedDefaultPort);
}

#[test]
fn what_comes_back_is_fresh_again() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.fails("A t.example", DnsFailure::Refused));
    bench.pass(seconds(301));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Stale);
    bench.network.change(|internet| internet.host("t.example", &["192.0.2.33"]));
    bench.pass(seconds(31));
    let fresh = bench.resolve("a.example").unwrap();
    assert_eq!(fresh.provenance(), Provenance::Fresh);
    assert_eq!(
        fresh.endpoints().next().unwrap().addresses().next().unwrap().to_string(),
        "192.0.2.33:443"
    );
}

#[test]
fn that_there_is_none_takes_the_place_of_old_records() {
    let bench = Bench::new(delegated().host("m.example", &["192.0.2.2"]));
    bench.resolve("a.example").unwrap();
    let none = matrix_delegation::dns::NoRecord::NoData;
    bench.network.change(|internet| internet.none(SRV, none));
    bench.pass(seconds(601));
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedDefaultPort);
    bench.network.change(|internet| internet.fails(SRV, DnsFailure::ServFail));
    bench.pass(seconds(901));
    let degraded = bench.resolve("a.example").unwrap();
    assert_eq!(degraded.provenance(), Provenance::Degraded);
}

/// The causes that the warnings of a stale answer name: of the well-known and of DNS.
fn causes(found: &Resolution) -> Vec<String> {
    let cause = |warning: &Warning| match warning {
        Warning::WellKnownStale { failure, .. } => {
            failure.as_ref().map_or("not renewed yet".to_owned(), ToString::to_string)
        }
        Warning::DnsStale { failure, .. } => {
            failure.as_ref().map_or("not renewed yet".to_owned(), ToString::to_string)
        }
        other => panic!("{other}"),
    };
    found.warnings().map(cause).collect()
}

#[test]
fn a_stale_answer_names_what_failed_and_makes_nothing_up_where_nothing_has() {
    let hour = [("cache-control", "max-age=3600")];
    let page = || delegated().page(&URL[4..], 200, &hour, r#"{"m.server":"m.example"}"#);
    // Nobody has answered yet when the caller gets the old document.
    let bench = Bench::new(page());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.never(URL));
    bench.pass(seconds(3601));
    let stale = bench.resolve("a.example").unwrap();
    assert_eq!(
        (stale.provenance(), causes(&stale)),
        (Provenance::Stale, vec!["not renewed yet".into()])
    );
    assert!(stale.warnings().all(|it| it.to_string().contains("is not renewed yet")));
    // Then the server fails; who does not wait for the next try is told so.
    let bench = Bench::new(page());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.page(&URL[4..], 503, &[], ""));
    bench.pass(seconds(3601));
    assert_eq!(causes(&bench.resolve("a.example").unwrap()), ["status 503"]);
    bench.network.change(|internet| internet.never(URL));
    bench.pass(seconds(121));
    assert_eq!(causes(&bench.resolve("a.example").unwrap()), ["status 503"]);
    // The same of DNS.
    let bench = Bench::new(page());
    bench.resolve("a.example").unwrap();
    bench.network.change(|internet| internet.never("A t.example"));
    bench.pass(seconds(301));
    assert_eq!(causes(&bench.resolve("a.example").unwrap()), ["not renewed yet"]);
    bench.pass(seconds(3000));
    let timeout = DnsFailure::Timeout.to_string();
    assert_eq!(causes(&bench.resolve("a.example").unwrap()), [timeout]);
}

#[test]
fn one_who_is_turned_away_as_too_busy_gets_the_old_answer_without_a_cause() {
    let hour = [("cache-control", "max-age=3600")];
    let page = delegated().page(&URL[4..], 200, &hour, r#"{"m.server":"m.example"}"#);
    let mut config = ResolverConfig::default();
    (config.queue.discoveries, config.queue.waiting) = (1, 0);
    let bench = Bench::with(page.host("b.example", &["192.0.2.9"]), config);
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(3601));
    bench
        .network
        .change(|internet| internet.never("GET https://b.example/.well-known/matrix/server"));
    let _other = bench.call("b.example", None);
    bench.pass(millis(1));
    let stale = bench.resolve("a.example").unwrap();
    assert_eq!(stale.provenance(), Provenance::Stale);
    assert!(causes(&stale).iter().all(|it| it == "not renewed yet"), "{:?}", causes(&stale));
    assert!(!causes(&stale).is_empty());
}

#[test]
fn with_a_lifetime_of_zero_each_call_asks_once_and_nothing_loops() {
    let none = [("cache-control", "no-store")];
    let page = delegated().page(&URL[4..], 200, &none, r#"{"m.server":"m.example"}"#);
    let bench = Bench::with(page, ResolverConfig::strict());
    for call in 0..5 {
        let found = bench.resolve("a.example").unwrap();
        assert_eq!((found.step(), found.is_stale()), (Step::DelegatedSrv, false), "{call}");
        let asked = bench.asked();
        let fetches = asked.iter().filter(|question| *question == URL).count();
        assert_eq!(fetches, 1, "{call}: {asked:?}");
        bench.pass(seconds(1));
        assert_eq!(bench.asked(), [""; 0]);
    }
}

/// What hinders this machine alone is no answer about anybody.
#[test]
fn what_this_machine_cannot_ask_for_is_served_as_it_was_and_asked_for_soon() {
    let cannot_ask = |internet: Internet| {
        let failure = FetchFailure::new(FetchFailureKind::Local, "no socket is left");
        internet
            .fails(SRV, DnsFailure::Local)
            .fails("A t.example", DnsFailure::Local)
            .fetched(&URL[4..], Err(failure))
    };
    let bench = Bench::new(delegated());
    let good = bench.resolve("a.example").unwrap();
    bench.network.change(cannot_ask);
    // All of it has expired, and is served stale.
    bench.pass(seconds(80_000));
    let stale = bench.resolve("a.example").unwrap();
    assert_eq!((stale.provenance(), stale.step()), (Provenance::Stale, good.step()));
    assert!(stale.endpoints().eq(good.endpoints()));
    assert_eq!(whole(stale.lifetime()), 1);
    // Where nothing is left to be served, an error says so; nobody is asked for a second, ...
    bench.pass(seconds(7 * 86_400));
    let error = bench.resolve("a.example").unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), ("local", true));
    bench.asked();
    assert_eq!(bench.resolve("a.example").unwrap_err().kind(), "local");
    assert_eq!(bench.asked(), [""; 0]);
    // ... and then all is well.
    bench.network.change(|_| delegated());
    bench.pass(seconds(2));
    let fresh = bench.resolve("a.example").unwrap();
    assert_eq!((fresh.provenance(), fresh.step()), (Provenance::Fresh, good.step()));
}
