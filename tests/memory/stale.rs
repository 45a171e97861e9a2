//! DNS that fails: the last good records serve on.

use matrix_delegation::Step;
use matrix_delegation::dns::DnsFailure;
use matrix_delegation::resolver::Provenance;

use super::{Bench, delegated, seconds, warnings, whole};

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
    assert_eq!((stale.step(), stale.endpoints()), (good.step(), good.endpoints()));
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
