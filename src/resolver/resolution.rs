//! What a caller gets: the shared target, and what differs between calls.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::core::cache::CachedTarget;
use crate::core::endpoint::Attempts;
use crate::core::error::ResolveError;
use crate::core::report::Report;
use crate::core::target::DelegationTarget;
use crate::core::time::Monotonic;

/// The answer to one call. It derefs to the [`DelegationTarget`].
#[derive(Clone, Debug)]
pub struct Resolution {
    cached: Arc<CachedTarget>,
    /// How it was found, if that is known.
    report: Option<Arc<Report>>,
    provenance: Provenance,
    remembered: bool,
    now: Monotonic,
}

/// Where an answer comes from. The first variant that applies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Provenance {
    /// It relies on something that has expired and could not be renewed.
    Stale,
    /// It may be incomplete; see [`DelegationTarget::degraded`].
    Degraded,
    /// It comes from memory.
    Cached,
    /// It was found for this call.
    Fresh,
}

impl Provenance {
    /// Returns the name in `snake_case`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Degraded => "degraded",
            Self::Cached => "cached",
            Self::Fresh => "fresh",
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Resolution {
    pub(super) fn new(
        cached: Arc<CachedTarget>,
        report: Option<Arc<Report>>,
        remembered: bool,
        now: Monotonic,
    ) -> Self {
        let provenance = match &cached.target {
            target if target.is_stale() => Provenance::Stale,
            target if target.degraded().is_some() => Provenance::Degraded,
            _ if remembered => Provenance::Cached,
            _ => Provenance::Fresh,
        };
        Self { cached, report, provenance, remembered, now }
    }

    /// Returns the target, which is shared by all who asked for this name.
    pub fn target(&self) -> &Arc<DelegationTarget> {
        &self.cached.target
    }

    /// Returns the endpoints in an order to try them, as [`DelegationTarget::attempts`] does, but
    /// with those last that a caller reported as failed
    /// ([`Resolver::report_failure`](crate::Resolver::report_failure)).
    pub fn attempts(&self, seed: u64) -> Attempts<'_> {
        self.cached.target.attempts_but(seed, self.cached.last(self.now))
    }

    /// Returns where the answer comes from.
    pub const fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Returns whether the target was found for this call, or one at the same time, and not
    /// remembered.
    pub const fn is_new(&self) -> bool {
        !self.remembered
    }

    /// Returns the age of the target at the time of the call.
    pub fn age(&self) -> Duration {
        self.now.since(self.cached.target.decided().monotonic)
    }

    /// Returns how long the target held at the time of the call; `None` if it never expires (step
    /// 1).
    pub fn lifetime(&self) -> Option<Duration> {
        self.left(self.cached.target.lifetimes().least())
    }

    /// Returns how long the well-known answer held, good or bad, at the time of the call; `None` if
    /// none was asked for.
    pub fn well_known_lifetime(&self) -> Option<Duration> {
        self.left(self.cached.target.lifetimes().well_known)
    }

    /// Returns how the target was found: every question, answer, hop and skipped step. `None` where
    /// it was remembered and reports are not kept
    /// ([`MemoryLimits::reports`](crate::config::MemoryLimits));
    /// [`Resolver::explain`](crate::Resolver::explain) then makes one from memory.
    pub const fn report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref()
    }

    fn left(&self, lifetime: Option<Duration>) -> Option<Duration> {
        lifetime.map(|lifetime| lifetime.saturating_sub(self.age()))
    }
}

impl Deref for Resolution {
    type Target = DelegationTarget;

    fn deref(&self) -> &DelegationTarget {
        &self.cached.target
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cached.target, self.provenance)
    }
}

/// An answer or an error, with its report in either case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The target, or the error.
    pub result: Result<Resolution, ResolveError>,
    /// How it was found; `None` if the discovery broke off before it could say.
    pub report: Option<Arc<Report>>,
}
