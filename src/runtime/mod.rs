//! The clock, the timer and the tasks for everything above the core, and the tools that many callers
//! share: single flight, permits by key, turns in lanes.
#![deny(clippy::disallowed_methods)]

#[cfg(any(feature = "tokio", test))]
pub(crate) mod age_clock;
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
///
/// Remembered answers age by the monotonic clock. It should therefore count the time for which the machine
/// was suspended, which the clocks of many systems do not: an answer would outlive its bound by as much.
/// [`TokioRuntime`](crate::TokioRuntime) finds that out from the wall clock. It must never run backwards, and
/// may jump ahead: answers then expire early, and what is being asked may count as late.
///
/// The wall clock may be set to anything at any time. It gives no remembered answer a longer life.
pub trait Runtime: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> Now;

    /// Returns the monotonic clock alone, which is all that a remembered answer needs. The default is that of
    /// [`now`](Self::now).
    fn monotonic(&self) -> Monotonic {
        self.now().monotonic
    }

    /// Completes once the monotonic clock has reached this point. Of time for which the machine was
    /// suspended meanwhile it may know nothing, and complete as much later.
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
    let elapsed = runtime.sleep_until(runtime.monotonic() + limit);
    match select(pin!(future), elapsed).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
