//! What a machine knows of an answer: the entry it was handed, from where, and since when.

use std::time::Duration;

use crate::core::cache::{CacheEntry, Purpose, Served, WellKnownEntry};
use crate::core::names::ServerName;
use crate::core::report::Source;
use crate::core::time::Monotonic;
use crate::core::well_known::{WellKnown, WellKnownFailure};

/// Returns what an answer may be used for that arrived at this time: what came of a question that was
/// asked just now; of what was remembered, what may be used without asking. The time is that of the
/// arrival, so that every reading of the rules comes to the same.
pub(super) fn served<'a, G: Clone, F>(
    entry: &'a CacheEntry<G, F>,
    source: Source,
    at: Monotonic,
) -> Served<'a, G, F> {
    match source {
        Source::Asked => entry.obtained(at),
        Source::Memory { .. } => {
            entry.serve(at, Purpose::AtOnce).unwrap_or_else(|| entry.obtained(at))
        }
    }
}

/// What is known of a well-known document.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) entry: WellKnownEntry,
    pub(super) source: Source,
    /// When the machine came to know it.
    pub(super) at: Monotonic,
}

impl Known {
    /// Wraps what was found out just now.
    pub(super) fn asked(entry: WellKnownEntry) -> Self {
        Self { at: entry.learnt(), source: Source::Asked, entry }
    }

    pub(super) fn served(&self) -> Served<'_, WellKnown, WellKnownFailure> {
        served(&self.entry, self.source, self.at)
    }

    /// Returns what a report says of it.
    pub(super) fn result(&self) -> Result<ServerName, WellKnownFailure> {
        match self.served() {
            Served::Holds { value, .. } | Served::Stale { value, because: None, .. } => {
                Ok(value.server().clone())
            }
            Served::Stale { because: Some(why), .. } | Served::Failed { why, .. } => {
                Err(why.clone())
            }
        }
    }

    /// Returns how long that counts, from when it was learnt.
    pub(super) fn lifetime(&self) -> Duration {
        match self.entry.good_part().filter(|_| self.served().holds()) {
            Some(good) => good.terms.expires.since(good.obtained),
            None => self.entry.until().since(self.entry.learnt()),
        }
    }
}
