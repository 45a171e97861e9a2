//! Time limits: of one phase, and of all phases together.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// The furthest that a deadline lies ahead: every clock can represent it.
pub(crate) const FURTHEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// When a phase, or everything over all addresses, must have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    late: TimedOut,
}

/// Something did not end in time.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum TimedOut {
    /// The limit of one phase.
    #[error("not over within {0:?}")]
    Phase(Duration),
    /// The limit of everything over all addresses.
    #[error("not over before the time for all of it ran out")]
    All(Duration),
}

impl Deadline {
    /// Starts the limit for all phases together.
    pub(crate) fn of_all(limit: Duration) -> Self {
        Self { at: Instant::now() + limit.min(FURTHEST), late: TimedOut::All(limit) }
    }

    /// Starts the limit for one phase, which ends with the limit for all at the latest.
    pub(crate) fn of_phase(self, limit: Duration) -> Self {
        let at = Instant::now() + limit.min(FURTHEST);
        if at < self.at { Self { at, late: TimedOut::Phase(limit) } } else { self }
    }

    /// Returns how much time is left.
    #[cfg(feature = "client")]
    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(self) -> bool {
        self.at <= Instant::now()
    }

    /// Waits for the future, unless the time runs out first.
    pub(crate) async fn bound<T>(self, future: impl Future<Output = T>) -> Result<T, TimedOut> {
        // `timeout_at` would poll the future once even then.
        if self.is_over() {
            return Err(self.late);
        }
        timeout_at(self.at, future).await.map_err(|_| self.late)
    }
}
