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

    /// Copies it as it is now.
    pub(crate) fn so_far(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
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

    /// The report that is kept.
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

    /// The hosts that it rests on, each once or more.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = DnsName> + '_ {
        let target = &self.target;
        let both = [Some(target.server_name()), target.delegated()].into_iter().flatten();
        let named = both.filter_map(|name| name.to_host().ok());
        let endpoints = target.endpoints().map(|endpoint| endpoint.host().clone());
        named.chain(endpoints).filter_map(|host| host.as_dns().cloned())
    }

    /// Whether it is neither degraded nor stale.
    pub(crate) fn is_good(&self) -> bool {
        self.target.degraded().is_none() && !self.target.is_stale()
    }

    /// Whether this one takes the place of `before`: one that is degraded or stale replaces none that
    /// holds and is neither, unless the delegation itself is another.
    pub(crate) fn replaces(&self, before: &Self) -> bool {
        let holds = before.target.is_fresh(self.target.decided().monotonic);
        let other = before.target.authority() != self.target.authority();
        self.is_good() || !before.is_good() || !holds || other
    }

    /// Whether it is to be renewed ahead. Of many who ask at a time one is told so, and the next one
    /// not before [`Refresh::apart`].
    pub(crate) fn is_due(&self, now: Monotonic, refresh: &Refresh) -> bool {
        let Renewal(due) = &self.renewal;
        let last = due.load(Ordering::Relaxed);
        let next = (now + refresh.apart).to_bits();
        refresh.ahead_percent > 0
            && last <= now.to_bits()
            && due.compare_exchange(last, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a report that it leads nowhere is heeded now: at most once in [`Feedback::apart`], and
    /// half as often for each in a row that changed nothing, down to once in
    /// [`Feedback::apart_most`].
    pub(crate) fn heeds(&self, now: Monotonic, feedback: &Feedback) -> bool {
        let Reports { heeded_at, heeded, .. } = self.reports();
        let next = heeded_at.load(Ordering::Relaxed);
        let due = Monotonic::from_bits(next);
        if now < due {
            return false;
        }
        let quiet = next > 0 && now.since(due) > feedback.apart_most;
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

    /// The endpoints that are tried last, a bit each.
    pub(crate) fn last(&self, now: Monotonic) -> u64 {
        let demoted = self.reports.get().map_or(&[][..], |reports| &reports.demoted);
        let demoted = demoted.iter().take(64).enumerate();
        demoted.fold(0, |last, (at, until)| {
            last | u64::from(now.to_bits() < until.load(Ordering::Relaxed)) << at
        })
    }
}
