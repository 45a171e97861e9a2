//! `Runtime` on tokio.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::core::time::{Monotonic, Now};
use crate::runtime::age_clock::AgeClock;
use crate::runtime::{BoxFuture, Runtime};

/// [`Runtime`] on a tokio runtime with its time driver enabled.
///
/// The monotonic clock is tokio's, counted from the creation of this value, so that
/// `tokio::time::pause` works as usual. The wall clock is the system's.
///
/// # A machine that is suspended
///
/// The system's monotonic clock may stand still while the machine is suspended; that of Linux does. This one
/// adds what it missed: what the wall clock has advanced beyond it, by 1 s or more, since they were last
/// compared. They are compared by each call that reads both, and every 10 s by one that reads the
/// monotonic clock alone, so that after a suspension answers are served for 10 s at most that have expired
/// meanwhile. No task or timer waits for that.
///
/// A wall clock that is set forwards looks the same. Everything remembered then ages by as much, at most
/// 400 days, and is asked for again. Set back, it changes nothing. Waiting ([`sleep_until`](Runtime::sleep_until))
/// is tokio's alone: what was waited for goes on where it stopped.
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
    clock: Arc<TokioClock>,
}

/// Tokio's clock, and the time that the machine was suspended.
#[derive(Debug)]
pub(crate) struct TokioClock {
    origin: Instant,
    /// The system's clock, which `tokio::time::pause` does not stop: that is no suspension.
    awake: std::time::Instant,
    wall: fn() -> SystemTime,
    age: AgeClock,
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
        Self { handle, clock: Arc::new(TokioClock::new(SystemTime::now)) }
    }
}

impl TokioClock {
    /// Creates a clock that begins now, beside this wall clock.
    pub(crate) fn new(wall: fn() -> SystemTime) -> Self {
        let (origin, awake) = (Instant::now(), std::time::Instant::now());
        Self { origin, awake, wall, age: AgeClock::new(awake.elapsed(), wall()) }
    }

    /// Returns the monotonic clock. Compares it with the wall clock every 10 s.
    pub(crate) fn monotonic(&self) -> Monotonic {
        let elapsed = self.origin.elapsed();
        if self.age.is_due(elapsed) {
            self.compared();
        }
        Monotonic::from_origin(elapsed) + self.age.slept()
    }

    /// Compares the clocks and returns the wall clock.
    fn compared(&self) -> SystemTime {
        let wall = (self.wall)();
        self.age.compare(self.awake.elapsed(), wall);
        wall
    }

    fn now(&self) -> Now {
        let wall = self.compared();
        Now::new(Monotonic::from_origin(self.origin.elapsed()) + self.age.slept(), wall)
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Now {
        self.clock.now()
    }

    fn monotonic(&self) -> Monotonic {
        self.clock.monotonic()
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<'static, ()> {
        let awake = at.since_origin().saturating_sub(self.clock.age.slept());
        let at = self.clock.origin.checked_add(awake);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::*;

    /// By how many seconds the wall clock of this test is off.
    static OFF: AtomicI64 = AtomicI64::new(0);

    fn wall() -> SystemTime {
        let off = OFF.load(Ordering::Relaxed);
        let by = Duration::from_secs(off.unsigned_abs());
        if off < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspension_counts_for_all_that_is_remembered_and_for_nothing_that_waits() {
        let runtime =
            TokioRuntime { handle: Handle::current(), clock: Arc::new(TokioClock::new(wall)) };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        // The comparison of the clocks takes time itself; the system's clock goes on beside tokio's.
        let near = |time: Duration| time < hour / 60;
        let start = runtime.monotonic();
        assert_eq!(runtime.now().monotonic, start);
        let sleep = runtime.sleep_until(start + 20 * second);
        OFF.store(3600, Ordering::Relaxed);
        // It is noticed when both are read, or after 10 s.
        assert_eq!(runtime.monotonic(), start);
        tokio::time::sleep(Duration::from_millis(9_990)).await;
        assert!(near(runtime.monotonic().since(start)));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let woken = runtime.monotonic();
        assert!(woken >= start + hour && near(woken.since(start + hour)), "{start} {woken}");
        let began = Instant::now();
        runtime.sleep_until(woken + 5 * second).await;
        assert_eq!(began.elapsed().as_secs(), 5);
        sleep.await;
        assert_eq!(began.elapsed().as_secs(), 9);
        // What lies in the past is not waited for.
        runtime.sleep_until(start + hour).await;
        assert_eq!(began.elapsed().as_secs(), 9);

        OFF.store(7200, Ordering::Relaxed);
        let read = runtime.now().monotonic;
        assert!(read >= woken + hour && near(read.since(woken + hour)));
        for (off, aged) in [(-365 * 86_400, 0), (3600, 366), (i64::MIN / 1_000_000_000, 0)] {
            let before = runtime.now().monotonic;
            OFF.store(off, Ordering::Relaxed);
            let after = runtime.now().monotonic;
            let aged = 24 * aged * hour;
            assert!(after >= before, "{off}");
            assert!(after.since(before) <= aged + hour, "{off}: {before} {after}");
            assert_eq!(after.since(before) > hour, aged > hour, "{off}: {before} {after}");
        }
        // A clone tells the same time.
        OFF.store(i64::MIN / 1_000_000_000 + 86_400, Ordering::Relaxed);
        let clone = runtime.clone();
        assert_eq!(clone.now().monotonic, runtime.monotonic());
    }
}
