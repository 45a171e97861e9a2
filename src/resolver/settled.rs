//! A target as it is remembered: with the story of how it was found, when it is to be renewed, and
//! what callers said of its endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::memory::Part;
use crate::core::config::{Feedback, Refresh};
use crate::core::names::dns_name::DnsName;
use crate::core::names::host::Host;
use crate::core::report::Report;
use crate::core::target::DelegationTarget;
use crate::core::time::{Monotonic, whole_millis};

/// A target as it is remembered.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) target: Arc<DelegationTarget>,
    pub(super) report: Arc<Report>,
    /// When it is to be renewed ahead.
    renewal: Due,
    /// Until when each of its endpoints is tried last; zero of those that are not.
    pub(super) demoted: Box<[AtomicU64]>,
    /// When a report that it leads nowhere is next heeded, and how many in a row were.
    heeds: AtomicU64,
    heeded: AtomicU32,
}

/// The earliest of several times; at first, never.
#[derive(Debug)]
pub(super) struct Due(AtomicU64);

/// In milliseconds of the monotonic clock.
fn millis(at: Monotonic) -> u64 {
    whole_millis(at.since_origin())
}

impl Due {
    pub(super) const fn never() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// The same, by itself.
    pub(super) fn so_far(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }

    /// Takes in when a part is to be renewed that was used: in the last of its life, a failure once
    /// it is over.
    pub(super) fn take_in<P: Part>(&self, part: &P, refresh: &Refresh) {
        let ahead = part.lifetime() / 100 * u32::from(refresh.ahead_percent.min(100));
        let ahead = if part.is_failure() { Duration::ZERO } else { ahead };
        let until = part.until().since_origin().saturating_sub(ahead);
        self.0.fetch_min(millis(Monotonic::from_origin(until)), Ordering::Relaxed);
    }
}

impl Settled {
    pub(super) fn new(target: Arc<DelegationTarget>, report: Arc<Report>, renewal: Due) -> Self {
        let demoted = target.endpoints().iter().map(|_| AtomicU64::new(0)).collect();
        let (heeds, heeded) = (AtomicU64::new(0), AtomicU32::new(0));
        Self { target, report, renewal, demoted, heeds, heeded }
    }

    /// The same with what callers said of the one before: an endpoint that failed is no better for
    /// having been found again.
    pub(super) fn after(self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        for (endpoint, demoted) in self.target.endpoints().iter().zip(&self.demoted) {
            if let Some(until) = before.demoted_until(endpoint.host(), endpoint.port()) {
                demoted.store(until.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        // Addresses may take turns without anything having moved.
        let places = |it: &Self| -> Vec<(Host, u16)> {
            it.target.endpoints().iter().map(|it| (it.host().clone(), it.port())).collect()
        };
        if before.target.authority() == self.target.authority() && places(before) == places(&self) {
            self.heeds.store(before.heeds.load(Ordering::Relaxed), Ordering::Relaxed);
            self.heeded.store(before.heeded.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self
    }

    /// The hosts that it rests on, each once or more.
    pub(super) fn hosts(&self) -> impl Iterator<Item = DnsName> + '_ {
        let target = &self.target;
        let both = [Some(target.server_name()), target.delegated()].into_iter().flatten();
        let named = both.filter_map(|name| name.to_host().ok());
        let endpoints = target.endpoints().iter().map(|endpoint| endpoint.host().clone());
        named.chain(endpoints).filter_map(|host| host.as_dns().cloned())
    }

    /// Whether it is neither worse than it could be nor past its time.
    pub(super) fn is_good(&self) -> bool {
        self.target.degraded().is_none() && !self.target.is_stale()
    }

    /// Whether it is to be renewed ahead, which only one is told of so many that ask at a time.
    pub(super) fn is_due(&self, now: Monotonic, refresh: &Refresh) -> bool {
        let Due(due) = &self.renewal;
        let last = due.load(Ordering::Relaxed);
        let next = millis(now + refresh.apart);
        refresh.ahead_percent > 0
            && last <= millis(now)
            && due.compare_exchange(last, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a report that it leads nowhere is heeded now: once in a while, and less often the
    /// more of them in a row changed nothing.
    pub(super) fn heeds(&self, now: Monotonic, feedback: &Feedback) -> bool {
        let next = self.heeds.load(Ordering::Relaxed);
        let at = millis(now);
        if at < next {
            return false;
        }
        let most = whole_millis(feedback.apart_most);
        let quiet = next > 0 && at - next > most;
        let row = if quiet { 0 } else { self.heeded.load(Ordering::Relaxed) };
        let apart = feedback.apart.saturating_mul(1_u32.checked_shl(row).unwrap_or(u32::MAX));
        let after = millis(now + apart.min(feedback.apart_most));
        let mine = self.heeds.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            self.heeded.store(row.saturating_add(1), Ordering::Relaxed);
        }
        mine.is_ok()
    }

    fn demoted_until(&self, host: &Host, port: u16) -> Option<&AtomicU64> {
        let endpoints = self.target.endpoints().iter();
        let at =
            endpoints.zip(&self.demoted).find(|(it, _)| it.host() == host && it.port() == port);
        at.map(|(_, until)| until)
    }

    /// Has an endpoint tried last for a while.
    pub(super) fn demote(&self, host: &Host, port: u16, until: Monotonic) {
        if let Some(demoted) = self.demoted_until(host, port) {
            demoted.fetch_max(millis(until), Ordering::Relaxed);
        }
    }

    /// The endpoints that are tried last, a bit each.
    pub(super) fn last(&self, now: Monotonic) -> u64 {
        let now = millis(now);
        let demoted = self.demoted.iter().take(64).enumerate();
        demoted.fold(0, |last, (at, until)| {
            last | u64::from(now < until.load(Ordering::Relaxed)) << at
        })
    }
}
