//! The time that a phase has, and all phases together.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// When a phase, or everything over all addresses, must be over.
///
/// It displays as what something was not over in: `within 5s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// `None` lies further ahead than the clock can say.
    at: Option<Instant>,
    limit: Duration,
    is_of_all: bool,
}

/// Something was not over in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimedOut(pub(crate) Deadline);

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_of_all {
            f.write_str("not over before the time for all of it ran out")
        } else {
            write!(f, "not over {}", self.0)
        }
    }
}

impl Error for TimedOut {}

impl Deadline {
    /// Starts the limit for all phases together.
    pub(crate) fn of_all(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), limit, is_of_all: true }
    }

    /// Starts the limit for one phase, which ends with the limit for all at the latest.
    pub(crate) fn of_phase(self, limit: Duration) -> Self {
        match (Instant::now().checked_add(limit), self.at) {
            (Some(phase), Some(all)) if phase >= all => self,
            (None, _) => self,
            (at, _) => Self { at, limit, is_of_all: false },
        }
    }

    pub(crate) fn is_over(self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// Waits for the future, unless the time runs out first.
    pub(crate) async fn bound<T>(self, future: impl Future<Output = T>) -> Result<T, TimedOut> {
        let Some(at) = self.at else { return Ok(future.await) };
        // Not even begun: a timer lets the first poll through.
        if self.is_over() {
            return Err(TimedOut(self));
        }
        timeout_at(at, future).await.map_err(|_| TimedOut(self))
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_all {
            write!(f, "before the {:?} for all addresses were over", self.limit)
        } else {
            write!(f, "within {:?}", self.limit)
        }
    }
}
