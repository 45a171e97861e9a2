//! `Runtime` on tokio.

use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::core::time::{Monotonic, Now};
use crate::runtime::{BoxFuture, Runtime};

/// [`Runtime`] on a tokio runtime with its time driver enabled.
///
/// The monotonic clock is tokio's, counted from the moment this value was made, so that
/// `tokio::time::pause` works as usual; the wall clock is the system's.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use matrix_delegation::{Runtime, TokioRuntime};
///
/// let runtime = TokioRuntime::current();
/// let now = runtime.now();
/// runtime.sleep_until(now.monotonic).await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
    origin: Instant,
}

impl TokioRuntime {
    /// On the runtime that this is called from.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, as [`Handle::current`] does.
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// On this runtime.
    pub fn new(handle: Handle) -> Self {
        Self { handle, origin: Instant::now() }
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Now {
        Now::new(Monotonic::from_origin(self.origin.elapsed()), SystemTime::now())
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<'static, ()> {
        let at = self.origin.checked_add(at.since_origin());
        Box::pin(async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                // Later than the clock can say: never.
                None => std::future::pending().await,
            }
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }
}
