//! How many bytes a remembered host takes, estimated.
//!
//! Counted is what was asked of the allocator. What several hosts share (names) is counted with each
//! of them, since each may be the last to hold it: the sum errs on the large side. What is rare
//! (failures, warnings, reports that are kept) is taken to be as large as its JSON.

use serde::Serialize;

use super::host::HostEntry;
use crate::core::cache::{CacheEntry, CachedTarget, DnsEntry, WellKnownEntry};
use crate::core::dns::DnsRecords;
use crate::core::endpoint::StoredEndpoint;
use crate::core::target::DelegationTarget;

/// The two counts before what an `Arc` points to.
pub(super) const COUNTS: usize = 2 * size_of::<usize>();

/// Returns the length of a value's JSON.
fn json(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

/// Returns the bytes of a shared text.
fn text(text: &impl AsRef<str>) -> usize {
    COUNTS + text.as_ref().len()
}

/// Returns the bytes that an entry holds on the heap.
fn entry<G, F>(
    entry: &CacheEntry<G, F>,
    good: impl Fn(&G) -> usize,
    failure: impl Fn(&F) -> usize,
) -> usize {
    let failed = entry.failure_part();
    let failed = failed.map_or(0, |it| COUNTS + size_of_val(it) + failure(&it.why));
    entry.last_good().map_or(0, good) + failed
}

fn dns(answer: &DnsEntry) -> usize {
    entry(answer, DnsRecords::heap, |error| error.detail.len())
}

fn well_known(known: &WellKnownEntry) -> usize {
    let document = |it: &crate::WellKnown| {
        // The word and the box that holds it.
        let coding = it.odd_coding().map_or(0, |coding| size_of::<String>() + coding.len());
        text(it.server()) + it.host().as_dns().map_or(0, text) + coding
    };
    entry(known, document, json)
}

fn target(cached: &CachedTarget) -> usize {
    let target = &*cached.target;
    let endpoints: usize = target
        .endpoints()
        .map(|it| {
            let addresses = it.addresses().count() * size_of::<std::net::IpAddr>();
            size_of::<StoredEndpoint>() + addresses + it.host().as_dns().map_or(0, text)
        })
        .sum();
    let warnings: usize = target.warnings().map(|it| size_of_val(it) + json(it)).sum();
    let report = cached.report().map_or(0, |report| COUNTS + json(&**report));
    2 * COUNTS
        + size_of::<CachedTarget>()
        + size_of::<DelegationTarget>()
        + text(target.server_name())
        + target.delegated().map_or(0, text)
        + endpoints
        + warnings
        + report
}

/// Returns the bytes that a host's entry holds on the heap.
pub(super) fn heap(host: &HostEntry) -> usize {
    let well_known = host.well_known.as_ref().map_or(0, |it| {
        let redirected: usize = it.redirected_to.iter().map(text).sum();
        let redirected = redirected + size_of_val(&*it.redirected_to);
        COUNTS + size_of_val(&**it) + well_known(&it.entry) + redirected
    });
    let targets = host.targets();
    // One has its place in the entry.
    let places = if targets.len() == 1 { 0 } else { size_of_val(targets) };
    well_known
        + size_of_val(&*host.dns)
        + host.dns.iter().map(dns).sum::<usize>()
        + places
        + targets.iter().map(|it| target(it)).sum::<usize>()
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use allocation_counter::measure;

    use super::*;
    use crate::core::cache::Renewal;
    use crate::core::config::Config;
    use crate::core::dns::{
        DnsAnswer, DnsFailure, DnsQuestion, Family, Records, Service, SrvRecord,
    };
    use crate::core::time::Now;
    use crate::core::well_known::{FetchAttempt, FetchFailure, FetchFailureKind};
    use crate::resolver::host::WellKnownOfHost;
    use crate::testing::{Internet, documentation_allowed};

    const URL: &str = "https://a.example/.well-known/matrix/server";

    /// Returns a host name of the maximum length.
    fn long(tag: usize) -> String {
        format!("{tag:03}.{}.{}.{}.example", "b".repeat(63), "c".repeat(63), "d".repeat(63))
    }

    /// Builds an internet whose every answer is as large as is taken in.
    pub(in crate::resolver) fn hostile() -> Internet {
        let addresses: Vec<String> = (0..64).map(|n| format!("192.0.2.{n}")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let targets: Vec<String> = (0..64).map(long).collect();
        let records: Vec<_> = targets.iter().map(|it| (0, 0, 1, it.as_str())).collect();
        let url = |n: usize| match n {
            0 => URL.to_owned(),
            n => format!("https://a.example/{n}/{}", "x".repeat(8_000)),
        };
        let mut internet = Internet::new()
            .host("a.example", &addresses)
            .srv("_matrix-fed._tcp.m.example", &records)
            .page(&url(10), 200, &[], r#"{"m.server":"m.example"}"#);
        for n in 0..10 {
            let to = url(n + 1);
            internet = internet.page(&url(n), 302, &[("location", to.as_str())], "");
        }
        targets.iter().fold(internet, |internet, target| internet.host(target, &addresses))
    }

    /// Returns the target of `a.example` there, with its report.
    pub(in crate::resolver) fn cached(internet: &Internet) -> CachedTarget {
        let config = documentation_allowed(Config::default());
        let run = internet.resolve("a.example".parse().unwrap(), &config);
        let report = Some(Arc::new(run.report));
        CachedTarget::new(run.outcome.unwrap(), Renewal::never()).with_report(report)
    }

    /// Its well-known.
    pub(in crate::resolver) fn looked_up(internet: &Internet) -> WellKnownEntry {
        let config = documentation_allowed(Config::default());
        internet.drive(&config).look_up("a.example".parse().unwrap()).0
    }

    fn question(srv: bool) -> DnsQuestion {
        let host = "m.example".parse().unwrap();
        if srv {
            DnsQuestion::Srv { service: Service::MatrixFed, host }
        } else {
            DnsQuestion::Addresses { host, family: Family::V4 }
        }
    }

    /// Returns a DNS answer that came at the epoch.
    pub(in crate::resolver) fn learnt(answer: DnsAnswer, before: Option<&DnsEntry>) -> DnsEntry {
        let srv = matches!(answer, DnsAnswer::Found { records: Records::Srv(_), .. });
        let question = question(srv);
        let now = Now::EPOCH.monotonic;
        DnsEntry::learn(before, &question, answer, now, &Config::default())
    }

    fn found(records: Records) -> DnsAnswer {
        DnsAnswer::Found { records, ttl: Duration::from_secs(300), alias: false }
    }

    /// Returns an answer with `count` SRV records with long names.
    pub(in crate::resolver) fn srv(count: usize) -> DnsEntry {
        let target = |n| format!("{}.", long(n));
        let record = |n| SrvRecord { priority: 0, weight: 0, port: 1, target: target(n) };
        learnt(found(Records::Srv((0..count).map(record).collect())), None)
    }

    /// Asserts that the estimate is within a factor of 2 of what the allocator was asked for, and
    /// returns how much that was.
    fn check(what: &str, make: impl Fn(&mut HostEntry)) -> usize {
        let mut host = None;
        let counted = measure(|| make(host.insert(HostEntry::default()))).bytes_current;
        let (counted, estimated) = (usize::try_from(counted).unwrap(), heap(&host.unwrap()));
        println!("{what}: {counted} bytes, estimated {estimated}");
        assert!(estimated <= 2 * counted, "{what}: {counted} bytes, estimated {estimated}");
        assert!(counted <= 2 * estimated, "{what}: {counted} bytes, estimated {estimated}");
        counted
    }

    #[test]
    fn targets_take_what_is_estimated() {
        let step_6 = Internet::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
        check("step 6", |host| assert!(!host.set_target(Arc::new(cached(&step_6)))));
        let delegated = step_6
            .delegates("a.example", "m.example")
            .srv("_matrix-fed._tcp.m.example", &[(0, 0, 443, "t.example")])
            .host("t.example", &["192.0.2.3"]);
        check("step 3.3", |host| assert!(!host.set_target(Arc::new(cached(&delegated)))));
        let hostile = hostile();
        assert!(
            check("hostile", |host| assert!(!host.set_target(Arc::new(cached(&hostile)))))
                > 100_000
        );
    }

    #[test]
    fn well_known_answers_take_what_is_estimated() {
        let plain = Internet::new().host("a.example", &["192.0.2.1"]);
        let good = plain.clone().delegates("a.example", "m.example:443");
        let bad = format!(r#"{{"m.server":"{}"}}"#, "ö".repeat(1_000));
        let bad = plain.clone().well_known("a.example", &bad);
        let (kind, detail) = (FetchFailureKind::Tls, "x".repeat(10_000));
        let address = "192.0.2.1:443".parse().unwrap();
        let attempt = FetchAttempt { address, kind, detail: detail.clone() };
        let failure = FetchFailure::new(kind, detail).with_attempts(vec![attempt; 8]);
        let failed = plain.clone().fetched(URL, Err(failure));
        let set = |host: &mut HostEntry, entry| {
            let redirected_to = Box::default();
            host.well_known = Some(Arc::new(WellKnownOfHost { entry, redirected_to }));
        };
        check("no host", |host| set(host, looked_up(&Internet::new())));
        check("refused", |host| set(host, looked_up(&plain)));
        check("good", |host| set(host, looked_up(&good)));
        check("bad name", |host| set(host, looked_up(&bad)));
        check("detailed failure", |host| set(host, looked_up(&failed)));
        check("hostile", |host| set(host, looked_up(&hostile())));
    }

    #[test]
    fn dns_answers_take_what_is_estimated() {
        let addresses = |count: u8| {
            let addresses = (0..count).map(|n| [192, 0, 2, n].into()).collect();
            learnt(found(Records::Addresses(addresses)), None)
        };
        let question = question(false);
        check("address", |host| host.set_dns(&question, addresses(1)));
        check("addresses", |host| host.set_dns(&question, addresses(64)));
        check("SRV", |host| host.set_dns(&question, srv(1)));
        assert!(check("SRV set", |host| host.set_dns(&question, srv(64))) > 10_000);
        check("failure", |host| {
            host.set_dns(&question, learnt(DnsAnswer::failed(DnsFailure::Timeout), None));
        });
        check("stale", |host| {
            host.set_dns(
                &question,
                learnt(DnsAnswer::failed(DnsFailure::Timeout), Some(&addresses(64))),
            );
        });
        let detail = "x".repeat(100_000);
        let failed = |detail| DnsAnswer::Failed { failure: DnsFailure::ServFail, detail };
        assert!(
            check("detailed failure", |host| host
                .set_dns(&question, learnt(failed(detail.clone()), None)))
                > 90_000
        );
    }
}
