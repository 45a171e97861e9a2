//! `Runtime` on tokio.

use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::core::time::{Monotonic, Now};
use crate::runtime::{BoxFuture, Runtime};

/// [`Runtime`] on a tokio runtime with its time driver enabled.
///
/// The monotonic clock is tokio's, counted from the creation of this value, so that
/// `tokio::time::pause` works as usual. The wall clock is the system's.
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
    /// Creates a runtime from the tokio runtime that this is called from.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, as [`Handle::current`] does.
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// Creates a runtime from this handle.
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
                // The clock cannot represent this point: never.
                None => std::future::pending().await,
            }
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }

    /// Returns the process's soft limit on open files, on Unix.
    fn open_files(&self) -> Option<usize> {
        open_files()
    }
}

#[cfg(unix)]
fn open_files() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn open_files() -> Option<usize> {
    None
}
