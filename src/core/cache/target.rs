//! A target as it is remembered: when it is renewed ahead, and what callers reported of its endpoints.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::core::config::{Feedback, Refresh};
use crate::core::names::{DnsName, Host};
use crate::core::report::Report;
use crate::core::target::DelegationTarget;
use crate::core::time::Monotonic;

/// A target as it is remembered.
///
/// What changes while callers share it stands in atomics; whether two threads see a change in the
/// same order does not matter.
#[derive(Debug)]
pub(crate) struct CachedTarget {
    pub(crate) target: Arc<DelegationTarget>,
    /// How it was found, where reports are kept.
    report: Option<Arc<Report>>,
    renewal: Renewal,
    reports: OnceLock<Box<Reports>>,
}

/// When a target is to be renewed ahead: the earliest time among the answers it rests on.
#[derive(Debug)]
pub(crate) struct Renewal(AtomicU64);

/// What callers reported of a target.
#[derive(Debug)]
struct Reports {
    /// Until when each of its endpoints is tried last; zero of those that are not.
    demoted: Box<[AtomicU64]>,
    /// When the next report has the name asked again, and how many in a row have had.
    heeded_at: AtomicU64,
    heeded: AtomicU32,
}

impl Renewal {
    pub(crate) const fn never() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Takes in when an answer that was used is to be renewed.
    pub(crate) fn take_in(&self, renew_at: Monotonic) {
        self.0.fetch_min(renew_at.to_bits(), Ordering::Relaxed);
    }
}

impl Reports {
    fn none(endpoints: usize) -> Self {
        let demoted = (0..endpoints).map(|_| AtomicU64::new(0)).collect();
        let (heeded_at, heeded) = (AtomicU64::new(0), AtomicU32::new(0));
        Self { demoted, heeded_at, heeded }
    }
}

impl CachedTarget {
    pub(crate) const fn new(target: Arc<DelegationTarget>, renewal: Renewal) -> Self {
        Self { target, report: None, renewal, reports: OnceLock::new() }
    }

    /// Keeps the report with it.
    pub(crate) fn with_report(mut self, report: Option<Arc<Report>>) -> Self {
        self.report = report;
        self
    }

    /// Returns the report that is kept.
    pub(crate) const fn report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref()
    }

    /// Carries over what callers reported of the one before: an endpoint that failed is no better for
    /// having been found again.
    #[must_use]
    pub(crate) fn after(self, before: Option<&Self>) -> Self {
        let Some((before, reports)) = before.and_then(|it| Some((it, it.reports.get()?))) else {
            return self;
        };
        let carried = self.reports();
        for (endpoint, demoted) in self.target.endpoints().zip(&carried.demoted) {
            if let Some(until) = before.demoted(endpoint.host(), endpoint.port()) {
                demoted.store(until.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        // Addresses may take turns without anything having moved.
        let places = |it: &Self| -> Vec<(Host, u16)> {
            it.target.endpoints().map(|it| (it.host().clone(), it.port())).collect()
        };
        if before.target.authority() == self.target.authority() && places(before) == places(&self) {
            let heeded_at = reports.heeded_at.load(Ordering::Relaxed);
            carried.heeded_at.store(heeded_at, Ordering::Relaxed);
            carried.heeded.store(reports.heeded.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self
    }

    fn reports(&self) -> &Reports {
        self.reports.get_or_init(|| Box::new(Reports::none(self.target.endpoints().len())))
    }

    /// Returns the hosts that it rests on, each at least once.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = DnsName> + '_ {
        let target = &self.target;
        let both = [Some(target.server_name()), target.delegated()].into_iter().flatten();
        let named = both.filter_map(|name| name.to_host().ok());
        let endpoints = target.endpoints().map(|endpoint| endpoint.host().clone());
        named.chain(endpoints).filter_map(|host| host.as_dns().cloned())
    }

    /// Returns whether it is neither degraded nor stale.
    pub(crate) fn is_good(&self) -> bool {
        self.target.degraded().is_none() && !self.target.is_stale()
    }

    /// Returns whether this one takes the place of `before`: one that is degraded or stale replaces
    /// none that holds and is neither, unless the delegation itself is another.
    pub(crate) fn replaces(&self, before: &Self) -> bool {
        let holds = before.target.is_fresh(self.target.decided().monotonic);
        let other = before.target.authority() != self.target.authority();
        self.is_good() || !before.is_good() || !holds || other
    }

    /// Returns whether it is to be renewed in the background. Of many who ask at a time one is told
    /// so, and the next one not before [`Refresh::apart`].
    pub(crate) fn is_due(&self, now: Monotonic, refresh: &Refresh) -> bool {
        let Renewal(due) = &self.renewal;
        let last = due.load(Ordering::Relaxed);
        let next = (now + refresh.apart).to_bits();
        refresh.ahead_percent > 0
            && last <= now.to_bits()
            && due.compare_exchange(last, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Returns whether a report that it leads nowhere is heeded now: at most once in
    /// [`Feedback::apart`], and half as often for each in a row that changed nothing, down to once
    /// in [`Feedback::apart_most`].
    pub(crate) fn heeds(&self, now: Monotonic, feedback: &Feedback) -> bool {
        let Reports { heeded_at, heeded, .. } = self.reports();
        let next = heeded_at.load(Ordering::Relaxed);
        let due = Monotonic::from_bits(next);
        if now < due {
            return false;
        }
        let quiet = now.since(due) > feedback.apart_most;
        let row = if quiet { 0 } else { heeded.load(Ordering::Relaxed) };
        let apart = feedback.apart.saturating_mul(1_u32.checked_shl(row).unwrap_or(u32::MAX));
        let after = (now + apart.min(feedback.apart_most)).to_bits();
        let mine = heeded_at.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            heeded.store(row.saturating_add(1), Ordering::Relaxed);
        }
        mine.is_ok()
    }

    fn demoted(&self, host: &Host, port: u16) -> Option<&AtomicU64> {
        let endpoints = self.target.endpoints();
        let at = endpoints.zip(&self.reports.get()?.demoted);
        at.into_iter()
            .find(|(it, _)| it.host() == host && it.port() == port)
            .map(|(_, until)| until)
    }

    /// Has an endpoint tried last until then.
    pub(crate) fn demote(&self, host: &Host, port: u16, until: Monotonic) {
        self.reports();
        if let Some(demoted) = self.demoted(host, port) {
            demoted.fetch_max(until.to_bits(), Ordering::Relaxed);
        }
    }

    /// Returns the endpoints that are tried last, a bit each.
    pub(crate) fn last(&self, now: Monotonic) -> u64 {
        let demoted = self.reports.get().map_or(&[][..], |reports| &reports.demoted);
        let demoted = demoted.iter().take(64).enumerate();
        let last = demoted.filter(|(_, until)| now.to_bits() < until.load(Ordering::Relaxed));
        last.map(|(at, _)| 1 << at).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::core::target::{Degraded, FixedTarget, Lifetimes, Stored};
    use crate::core::time::Now;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    fn name() -> crate::ServerName {
        "a.example".parse().unwrap()
    }

    /// A target with these addresses.
    fn target(addresses: &[&str]) -> DelegationTarget {
        let addresses = addresses.iter().map(|it| it.parse::<SocketAddr>().unwrap());
        FixedTarget::new(addresses).unwrap().target(&name(), Now::EPOCH).unwrap()
    }

    fn cached(addresses: &[&str]) -> CachedTarget {
        CachedTarget::new(Arc::new(target(addresses)), Renewal::never())
    }

    const TWO: [&str; 2] = ["192.0.2.1:1", "192.0.2.2:2"];

    /// The first endpoint of `TWO`.
    fn first() -> (Host, u16) {
        (Host::Ip([192, 0, 2, 1].into()), 1)
    }

    #[test]
    fn of_all_who_ask_one_renews_it_ahead_at_the_earliest_time_of_what_it_rests_on() {
        let refresh = Refresh::default();
        let renewal = Renewal::never();
        for when in [300, 100, 200] {
            renewal.take_in(at(when));
        }
        let cached = CachedTarget::new(Arc::new(target(&TWO)), renewal);
        assert!(!cached.is_due(at(99), &refresh));
        assert!(cached.is_due(at(100), &refresh) && !cached.is_due(at(100), &refresh));
        let apart = Duration::from_nanos(999_999_999);
        assert!(!cached.is_due(at(100) + apart, &refresh) && cached.is_due(at(101), &refresh));
        let never = Refresh { ahead_percent: 0, ..refresh };
        assert!(!cached.is_due(at(1000), &never));
        assert!(!self::cached(&TWO).is_due(at(1 << 33), &Refresh::default()));
    }

    #[test]
    fn reports_are_heeded_less_often_the_less_they_change() {
        let feedback = Feedback::default();
        let cached = cached(&TWO);
        // Each time in a row the pause doubles: 10 s, 20 s, ... 10 min.
        let mut now = 1000;
        for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
            assert!(cached.heeds(at(now), &feedback));
            assert!(!cached.heeds(at(now + pause - 1), &feedback), "{pause}");
            now += pause;
        }
        // After a quiet time it begins anew; one that is not longer than the most does not do.
        assert!(cached.heeds(at(now), &feedback));
        assert!(cached.heeds(at(now + 1200), &feedback));
        assert!(!cached.heeds(at(now + 1799), &feedback));
        assert!(cached.heeds(at(now + 2401), &feedback));
        assert!(cached.heeds(at(now + 2411), &feedback));
    }

    #[test]
    fn an_endpoint_that_failed_is_tried_last_for_a_while() {
        let cached = cached(&TWO);
        let (host, port) = first();
        assert_eq!(cached.last(at(0)), 0);
        cached.demote(&host, port, at(600));
        // A shorter time does not end it, and no other endpoint has it.
        cached.demote(&host, port, at(500));
        cached.demote(&host, 9, at(900));
        assert_eq!((cached.last(at(599)), cached.last(at(600))), (1, 0));
        cached.demote(&Host::Ip([192, 0, 2, 2].into()), 2, at(700));
        assert_eq!((cached.last(at(599)), cached.last(at(600)), cached.last(at(700))), (3, 2, 0));
    }

    #[test]
    fn what_was_reported_outlives_the_target() {
        let feedback = Feedback::default();
        let before = cached(&TWO);
        before.demote(&first().0, 1, at(600));
        assert!(before.heeds(at(0), &feedback) && before.heeds(at(10), &feedback));
        // The same endpoints: it is known how often reports were heeded in vain.
        let same = cached(&TWO).after(Some(&before));
        assert_eq!(same.last(at(0)), 1);
        assert!(!same.heeds(at(29), &feedback) && same.heeds(at(30), &feedback));
        assert!(!same.heeds(at(69), &feedback));
        // Another set: what failed is tried last there, too, and the next report is heeded.
        let moved = cached(&["192.0.2.7:1", "192.0.2.1:1"]).after(Some(&before));
        assert_eq!((moved.last(at(0)), moved.heeds(at(11), &feedback)), (2, true));
        assert_eq!(cached(&TWO).after(Some(&cached(&TWO))).last(at(0)), 0);
        assert_eq!(cached(&TWO).after(None).last(at(0)), 0);
    }

    #[test]
    fn nothing_worse_replaces_what_holds() {
        let made = |authority: &str, decided, degraded, stale| {
            let mut parts: Stored = target(&TWO).into();
            parts.delegated = Some(authority.parse().unwrap());
            parts.decided = Now::EPOCH + Duration::from_secs(decided);
            (parts.degraded, parts.stale) = (degraded, stale);
            let held = Some(Duration::from_secs(100));
            parts.lifetimes = Lifetimes { held, ..Lifetimes::default() }.into();
            let target = DelegationTarget::try_from(parts).unwrap();
            CachedTarget::new(Arc::new(target), Renewal::never())
        };
        let (good, lost) = (|at| made("m.example", at, None, false), Some(Degraded::WellKnownLost));
        for worse in [made("m.example", 50, lost, false), made("m.example", 50, None, true)] {
            assert!(!worse.is_good() && !worse.replaces(&good(0)));
            assert!(worse.replaces(&worse) && good(50).replaces(&worse));
        }
        assert!(good(50).is_good() && good(50).replaces(&good(0)));
        // Unless that does not hold any more, or delegates elsewhere.
        assert!(made("m.example", 100, lost, false).replaces(&good(0)));
        assert!(!made("m.example", 99, lost, false).replaces(&good(0)));
        assert!(made("n.example", 50, lost, false).replaces(&good(0)));
    }

    #[test]
    fn it_rests_on_its_own_host_the_delegated_one_and_those_of_the_endpoints() {
        let mut parts: Stored = target(&TWO).into();
        parts.delegated = Some("M.example:7".parse().unwrap());
        let target = Arc::new(DelegationTarget::try_from(parts).unwrap());
        let cached = CachedTarget::new(target, Renewal::never());
        let hosts: Vec<_> = cached.hosts().map(|host| host.to_string()).collect();
        assert_eq!(hosts, ["a.example", "m.example"]);
        assert!(cached.report().is_none() && cached.with_report(None).report().is_none());
    }
}
