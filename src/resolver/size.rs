//! How many bytes a remembered value takes, estimated.
//!
//! Counted is what was asked of the allocator. What several values share (names, DNS answers) is
//! counted with each of them, since each may be the last to hold it: the sum errs on the large
//! side. Structures are taken apart whole, so that a new field is not overlooked.

use std::mem::size_of;
use std::sync::Arc;

use super::host::{HostEntry, WellKnownOfHost};
use crate::core::cache::{CacheEntry, CachedTarget};
use crate::core::dns::{
    DnsAnswer, DnsError, DnsQuestion, DnsRecords, DroppedSrv, Records, SrvRecord,
};
use crate::core::error::HostEvidence;
use crate::core::names::{DnsName, Host, ServerName};
use crate::core::report::{DnsExchange, Hop, HopOutcome, Report, StepReport, WellKnownReport};
use crate::core::target::{DelegationTarget, StoredEndpoint};
use crate::core::warning::Warning;
use crate::core::well_known::{
    FetchAttempt, FetchFailure, RedirectError, WellKnown, WellKnownError, WellKnownFailure,
    WellKnownUrl,
};

/// The two counts before what an `Arc` points to.
pub(super) const COUNTS: usize = 2 * size_of::<usize>();

/// A value that may hold memory besides its own place.
pub(super) trait Size {
    /// The bytes that it holds elsewhere.
    fn heap(&self) -> usize;
}

/// Those of a list that is as long as its place.
fn list<T: Size>(items: &[T]) -> usize {
    size_of_val(items) + items.iter().map(Size::heap).sum::<usize>()
}

/// Those of addresses and the like, which hold nothing elsewhere.
fn flat<T: Copy>(items: &Vec<T>) -> usize {
    items.capacity() * size_of::<T>()
}

impl<T: Size> Size for Vec<T> {
    fn heap(&self) -> usize {
        let spare = self.capacity() - self.len();
        list(self) + spare * size_of::<T>()
    }
}

impl<T: Size> Size for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Size::heap)
    }
}

impl<T: Size, E: Size> Size for Result<T, E> {
    fn heap(&self) -> usize {
        match self {
            Ok(good) => good.heap(),
            Err(bad) => bad.heap(),
        }
    }
}

impl<T: Size> Size for Arc<T> {
    fn heap(&self) -> usize {
        COUNTS + size_of::<T>() + T::heap(self)
    }
}

impl Size for String {
    fn heap(&self) -> usize {
        self.capacity()
    }
}

impl Size for DnsName {
    fn heap(&self) -> usize {
        COUNTS + self.as_str().len()
    }
}

impl Size for ServerName {
    fn heap(&self) -> usize {
        COUNTS + self.as_str().len()
    }
}

impl Size for Host {
    fn heap(&self) -> usize {
        match self {
            Self::Ip(_) => 0,
            Self::Dns(name) => name.heap(),
        }
    }
}

impl Size for DnsQuestion {
    fn heap(&self) -> usize {
        self.host().heap()
    }
}

impl Size for SrvRecord {
    fn heap(&self) -> usize {
        let Self { priority: _, weight: _, port: _, target } = self;
        target.heap()
    }
}

impl Size for DnsAnswer {
    fn heap(&self) -> usize {
        match self {
            Self::Found { records: Records::Addresses(addresses), .. } => flat(addresses),
            Self::Found { records: Records::Srv(records), .. } => records.heap(),
            Self::None { .. } => 0,
            Self::Failed { failure: _, detail } => detail.heap(),
        }
    }
}

impl Size for DnsRecords {
    fn heap(&self) -> usize {
        Self::heap(self)
    }
}

impl Size for DnsError {
    fn heap(&self) -> usize {
        let Self { failure: _, detail } = self;
        detail.len()
    }
}

impl<G: Size, F: Size> Size for CacheEntry<G, F> {
    fn heap(&self) -> usize {
        let failure = self.failure_part();
        let failure = failure.map_or(0, |it| COUNTS + size_of_val(it) + it.why.heap());
        self.good_part().map_or(0, |it| it.value.heap()) + failure
    }
}

impl Size for WellKnown {
    fn heap(&self) -> usize {
        self.server().heap() + self.host().heap()
    }
}

impl Size for WellKnownUrl {
    fn heap(&self) -> usize {
        let uri = self.uri();
        let path = uri.path_and_query().map_or(0, |it| it.as_str().len());
        let authority = uri.authority().map_or(0, |it| it.as_str().len());
        let scheme = uri.scheme_str().map_or(0, |it| it.len() + "://".len());
        // A `Uri` shares one buffer, with its counts, among its parts.
        COUNTS + scheme + authority + path + self.host().heap()
    }
}

impl Size for FetchAttempt {
    fn heap(&self) -> usize {
        let Self { address: _, kind: _, detail } = self;
        detail.heap()
    }
}

impl Size for FetchFailure {
    fn heap(&self) -> usize {
        let Self { kind: _, detail, attempts } = self;
        detail.heap() + attempts.heap()
    }
}

impl Size for RedirectError {
    fn heap(&self) -> usize {
        match self {
            Self::NotAUrl { location, reason } => location.heap() + reason.heap(),
            Self::NotHttps { scheme: text }
            | Self::NotAHost { host: text, source: _ }
            | Self::Loop { url: text } => text.heap(),
            Self::NotARedirect { .. }
            | Self::NoLocation
            | Self::SeveralLocations { .. }
            | Self::NotText
            | Self::TooLong { .. }
            | Self::Credentials
            | Self::PortZero
            | Self::TooMany { .. } => 0,
        }
    }
}

impl Size for WellKnownError {
    fn heap(&self) -> usize {
        match self {
            Self::Json { line: _, column: _, message } => message.heap(),
            Self::InvalidServerName { source } => source.name().len(),
            Self::Unresolvable(unresolvable) => unresolvable.name.heap(),
            Self::TooLarge { .. }
            | Self::NotUtf8 { .. }
            | Self::NotAnObject
            | Self::MissingServer
            | Self::ServerNotAString => 0,
        }
    }
}

impl Size for WellKnownFailure {
    fn heap(&self) -> usize {
        match self {
            Self::Dns { host, .. } | Self::NoAddress { host, .. } => host.heap(),
            // The range's words are part of the program.
            Self::Blocked { host, range: _ } => host.heap(),
            Self::Fetch(failure) => failure.heap(),
            Self::Redirect(error) => error.heap(),
            Self::ContentCoding { coding } => coding.heap(),
            Self::Body(error) => error.heap(),
            Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::Status { .. }
            | Self::Abandoned { .. }
            | Self::Recorded { .. } => 0,
        }
    }
}

impl Size for DroppedSrv {
    fn heap(&self) -> usize {
        let Self { target, port: _, reason: _ } = self;
        target.heap()
    }
}

impl Size for HostEvidence {
    fn heap(&self) -> usize {
        let Self { host, families, blocked } = self;
        host.heap() + flat(families) + size_of_val(blocked.as_slice())
    }
}

impl Size for Warning {
    fn heap(&self) -> usize {
        match self {
            Self::WellKnownUnusable { host, failure } => host.heap() + failure.heap(),
            Self::WellKnownStale { host, failure } => host.heap() + failure.heap(),
            Self::SrvRecordDropped { service: _, host, record } => host.heap() + record.heap(),
            Self::SrvTargetWithoutAddress { target } => target.heap(),
            Self::DnsStale { question, failure: _ } => question.heap(),
            Self::DeprecatedSrv { host }
            | Self::SrvLookupFailed { host, .. }
            | Self::SrvTargetAlias { target: host }
            | Self::SrvTargetLate { target: host }
            | Self::AddressBlocked { host, .. }
            | Self::AddressFamilyFailed { host, .. }
            | Self::AddressFamilyLate { host, .. } => host.heap(),
        }
    }
}

impl Size for StoredEndpoint {
    fn heap(&self) -> usize {
        let Self { host, port: _, priority: _, weight: _, origin: _, addresses } = self;
        host.heap() + addresses.elsewhere()
    }
}

impl Size for DelegationTarget {
    fn heap(&self) -> usize {
        self.server_name().heap()
            + self.delegated().map_or(0, Size::heap)
            + self.stored_endpoints().elsewhere()
            + self.stored_endpoints().as_slice().iter().map(Size::heap).sum::<usize>()
            + list(self.stored_warnings())
            + self.tls_host().heap()
    }
}

impl Size for StepReport {
    fn heap(&self) -> usize {
        let Self { step: _, outcome: _ } = self;
        0
    }
}

impl Size for DnsExchange {
    fn heap(&self) -> usize {
        let Self { question, asked: _, answered: _, answer, source: _ } = self;
        question.heap() + answer.heap()
    }
}

impl Size for Hop {
    fn heap(&self) -> usize {
        let Self { url, addresses, asked: _, answered: _, outcome } = self;
        let outcome = match outcome {
            Some(HopOutcome::Failed(failure)) => failure.heap(),
            Some(HopOutcome::Response { .. }) | None => 0,
        };
        url.heap() + flat(addresses) + outcome
    }
}

impl Size for WellKnownReport {
    fn heap(&self) -> usize {
        let Self { host, source: _, started: _, dns, hops, result, lifetime: _, failures: _ } =
            self;
        host.heap() + dns.heap() + hops.heap() + result.heap()
    }
}

impl Size for Report {
    fn heap(&self) -> usize {
        // Only what resolved is remembered: there is no error.
        let Self {
            server_name,
            started: _,
            took: _,
            steps,
            dns,
            well_known,
            warnings,
            error: _,
            rebuilt: _,
        } = self;
        server_name.heap() + steps.heap() + dns.heap() + well_known.heap() + warnings.heap()
    }
}

impl Size for CachedTarget {
    fn heap(&self) -> usize {
        self.target.heap()
            + self.report().map_or(0, |report| COUNTS + size_of::<Report>() + report.heap())
    }
}

impl Size for WellKnownOfHost {
    fn heap(&self) -> usize {
        let Self { entry, redirected_to } = self;
        entry.heap() + list(redirected_to)
    }
}

impl Size for HostEntry {
    fn heap(&self) -> usize {
        let targets = self.targets();
        let place = if targets.len() == 1 { 0 } else { size_of_val(targets) };
        let targets = place + targets.iter().map(Size::heap).sum::<usize>();
        self.well_known().map_or(0, Size::heap) + list(self.dns_answers()) + targets
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use allocation_counter::measure;

    use super::*;
    use crate::core::cache::{DnsEntry, Renewal, WellKnownEntry};
    use crate::core::config::Config;
    use crate::core::dns::{DnsFailure, Family, Service};
    use crate::core::time::Now;
    use crate::core::well_known::FetchFailureKind;
    use crate::testing::{Internet, documentation_allowed};

    const URL: &str = "https://a.example/.well-known/matrix/server";

    /// As long as a host name may be.
    fn long(tag: usize) -> String {
        format!("{tag:03}.{}.{}.{}.example", "b".repeat(63), "c".repeat(63), "d".repeat(63))
    }

    /// An internet whose every answer is as large as is taken in.
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

    /// The target of `a.example` there, with its report.
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

    /// A DNS answer that came at the epoch.
    pub(in crate::resolver) fn learnt(answer: DnsAnswer, before: Option<&DnsEntry>) -> DnsEntry {
        let host = "m.example".parse().unwrap();
        let question = match &answer {
            DnsAnswer::Found { records: Records::Srv(_), .. } => {
                DnsQuestion::Srv { service: Service::MatrixFed, host }
            }
            _ => DnsQuestion::Addresses { host, family: Family::V4 },
        };
        let now = Now::EPOCH.monotonic;
        DnsEntry::learn(before, &question, answer, now, &Config::default())
    }

    fn found(records: Records) -> DnsAnswer {
        DnsAnswer::Found { records, ttl: Duration::from_secs(300), alias: false }
    }

    /// So many SRV records with long names.
    pub(in crate::resolver) fn srv(count: usize) -> DnsEntry {
        let target = |n| format!("{}.", long(n));
        let record = |n| SrvRecord { priority: 0, weight: 0, port: 1, target: target(n) };
        learnt(found(Records::Srv((0..count).map(record).collect())), None)
    }

    /// That the estimate is within a factor of 2 of what the allocator was asked for; and how much
    /// that was.
    fn check<T: Size>(what: &str, make: impl FnOnce() -> T) -> usize {
        let mut value = None;
        let counted = measure(|| value = Some(make())).bytes_current;
        let (counted, estimated) = (usize::try_from(counted).unwrap(), value.unwrap().heap());
        println!("{what}: {counted} bytes, estimated {estimated}");
        assert!(estimated <= 2 * counted, "{what}: {counted} bytes, estimated {estimated}");
        assert!(counted <= 2 * estimated, "{what}: {counted} bytes, estimated {estimated}");
        counted
    }

    #[test]
    fn targets_take_what_is_estimated() {
        let step_6 = Internet::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
        check("step 6", || cached(&step_6));
        let delegated = step_6
            .delegates("a.example", "m.example")
            .srv("_matrix-fed._tcp.m.example", &[(0, 0, 443, "t.example")])
            .host("t.example", &["192.0.2.3"]);
        check("step 3.3", || cached(&delegated));
        let hostile = hostile();
        assert!(check("hostile", || cached(&hostile)) > 100_000);
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
        check("no host", || looked_up(&Internet::new()));
        check("refused", || looked_up(&plain));
        check("good", || looked_up(&good));
        check("bad name", || looked_up(&bad));
        check("detailed failure", || looked_up(&failed));
        check("hostile", || looked_up(&hostile()));
    }

    #[test]
    fn dns_answers_take_what_is_estimated() {
        let addresses = |count: u8| {
            let addresses = (0..count).map(|n| [192, 0, 2, n].into()).collect();
            learnt(found(Records::Addresses(addresses)), None)
        };
        check("address", || addresses(1));
        check("addresses", || addresses(64));
        check("SRV", || srv(1));
        assert!(check("SRV set", || srv(64)) > 10_000);
        check("failure", || learnt(DnsAnswer::failed(DnsFailure::Timeout), None));
        check("stale", || learnt(DnsAnswer::failed(DnsFailure::Timeout), Some(&addresses(64))));
        let detail = "x".repeat(100_000);
        let failed = |detail| DnsAnswer::Failed { failure: DnsFailure::ServFail, detail };
        assert!(check("detailed failure", || learnt(failed(detail.clone()), None)) > 90_000);
    }
}
