//! The clock, the timer and the tasks for everything above the core, and the tools that many callers
//! share: single flight, permits by key, turns in lanes.
#![deny(clippy::disallowed_methods)]

pub(crate) mod lanes;
pub(crate) mod permits;
pub(crate) mod single_flight;

use std::fmt;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::core::time::{Monotonic, Now};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The clock, the timer and the tasks.
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> Now;

    /// Completes once the monotonic clock has reached this point.
    fn sleep_until(&self, at: Monotonic) -> BoxFuture<'static, ()>;

    /// Runs the task to its end, whether anybody waits for it or not.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Returns how many files this process may have open, if that is known. Default: it is not.
    fn open_files(&self) -> Option<usize> {
        None
    }
}

/// Returns the output of the future, or `None` if the limit elapses before.
pub(crate) async fn within<T>(
    runtime: &dyn Runtime,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let elapsed = runtime.sleep_until(runtime.now().monotonic + limit);
    match select(pin!(future), elapsed).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
