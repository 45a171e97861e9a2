//! A runtime whose clock jumps from event to event.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::core::dns::SplitMix64;
use crate::core::time::{Monotonic, Now};
use crate::runtime::{BoxFuture, Runtime};

/// A [`Runtime`] on virtual time. When no task can run, the clock jumps to the next timer. No thread
/// is started and no real time passes.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::Runtime;
/// use matrix_delegation::testing::VirtualTime;
///
/// let time = VirtualTime::new();
/// let before = time.now();
/// time.block_on(time.sleep_until(before.monotonic + Duration::from_secs(86_400)));
/// assert_eq!(time.now().monotonic.since(before.monotonic), Duration::from_secs(86_400));
/// ```
#[derive(Clone)]
pub struct VirtualTime {
    state: Arc<Mutex<State>>,
    /// Each ready task once, in the order in which they became ready. Its lock is never held together
    /// with the state's.
    ready: Arc<Mutex<VecDeque<u64>>>,
    /// Locked while a call drives it.
    driving: Arc<Mutex<()>>,
}

struct State {
    now: Now,
    /// For how long the machine was suspended. Timers know nothing of it.
    suspended: Duration,
    /// The timers, by due time without what the machine was suspended before they were set, and then in the
    /// order in which they were set.
    timers: BTreeMap<(Monotonic, u64), Waker>,
    tasks: BTreeMap<u64, BoxFuture<'static, ()>>,
    next: u64,
    /// Chooses which of the ready tasks runs. Without it, the one that has been ready longest.
    choose: Option<Choose>,
    panicked: bool,
}

/// Chooses a number below its argument.
type Choose = Arc<Mutex<dyn FnMut(usize) -> usize + Send>>;

/// The future that [`VirtualTime::block_on`] waits for, as a task.
const MAIN: u64 = 0;

struct TaskWaker {
    task: u64,
    ready: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = lock(&self.ready);
        if !ready.contains(&self.task) {
            ready.push_back(self.task);
        }
    }
}

/// No lock here is held while other code runs, so a panic cannot leave the state inconsistent.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for VirtualTime {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualTime {
    /// Creates a clock that shows [`start`](super::start).
    pub fn new() -> Self {
        Self::starting_at(super::start())
    }

    /// Creates a clock that shows this time.
    pub fn starting_at(now: Now) -> Self {
        let state = State {
            now,
            suspended: Duration::ZERO,
            timers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            next: MAIN + 1,
            choose: None,
            panicked: false,
        };
        let state = Arc::new(Mutex::new(state));
        Self { state, ready: Arc::default(), driving: Arc::default() }
    }

    /// Sets a seed that draws which of the ready tasks runs, to find out what depends on their order.
    /// Default: the one that has been ready longest.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        let mut random = SplitMix64(seed);
        self.with_choices(move |count| {
            let last = u64::try_from(count.saturating_sub(1)).unwrap_or(u64::MAX);
            usize::try_from(random.up_to(last)).unwrap_or(0)
        })
    }

    /// Sets a function that chooses which of the ready tasks runs, to try every order. It is given
    /// their number, returns an index, and is called even if there is only one.
    #[must_use]
    pub fn with_choices(self, choose: impl FnMut(usize) -> usize + Send + 'static) -> Self {
        lock(&self.state).choose = Some(Arc::new(Mutex::new(choose)));
        self
    }

    /// Sets the wall clock. The monotonic clock does not change.
    pub fn set_wall(&self, wall: std::time::SystemTime) {
        lock(&self.state).now.wall = wall;
    }

    /// Suspends the machine for a duration. Both clocks go on, and nothing runs: what waits has to wait
    /// as much longer, as on [`TokioRuntime`](crate::TokioRuntime).
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::Runtime;
    /// use matrix_delegation::testing::VirtualTime;
    ///
    /// let time = VirtualTime::new();
    /// let (before, second) = (time.now(), Duration::from_secs(1));
    /// let sleep = time.sleep(second);
    /// time.suspend(60 * second);
    /// assert_eq!(time.now(), before + 60 * second);
    /// time.block_on(sleep);
    /// assert_eq!(time.now(), before + 61 * second);
    /// ```
    pub fn suspend(&self, duration: Duration) {
        let mut state = lock(&self.state);
        state.now = state.now + duration;
        state.suspended = state.suspended.saturating_add(duration);
    }

    /// Sleeps for a duration.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let now = self.now();
        self.sleep_until(now.monotonic + duration)
    }

    /// Runs a future to its end, and the tasks beside it until then. Tasks that have not ended
    /// continue in the next call.
    ///
    /// # Panics
    ///
    /// Panics if everything waits and there is neither a timer nor a waker in another thread to end
    /// that, and if it is called from within itself or by two threads at once. A task that panics
    /// ends by itself.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.drive(future, false)
    }

    /// Lets time pass and runs the tasks, including those that become ready at its end.
    ///
    /// # Panics
    ///
    /// Panics if it is called from within itself or by two threads at once.
    pub fn advance(&self, duration: Duration) {
        self.drive(self.sleep(duration), true);
    }

    /// Drops all tasks and timers, as a runtime does that is shut down. Until then, a task that has
    /// not ended keeps alive what it holds, often this time itself.
    pub fn shut_down(&self) {
        let mut state = lock(&self.state);
        let ended = (std::mem::take(&mut state.tasks), std::mem::take(&mut state.timers));
        drop(state);
        // Dropped after the lock is let go: they may own what locks again.
        drop(ended);
    }

    /// Runs a future to its end; then, if `settle`, tasks until none is ready at this time.
    fn drive<F: Future>(&self, future: F, settle: bool) -> F::Output {
        // A panic before has poisoned the lock, and let it go.
        let driving = self.driving.try_lock();
        let before = matches!(driving, Err(TryLockError::WouldBlock));
        assert!(!before, "the time is driven already, from within or by another thread");
        let mut future = pin!(future);
        let main = self.waker(MAIN);
        // It goes first, before any choice.
        let mut next = Some(MAIN);
        let output = loop {
            match next {
                Some(MAIN) => {
                    let polled = future.as_mut().poll(&mut Context::from_waker(&main));
                    if let Poll::Ready(output) = polled {
                        break output;
                    }
                }
                Some(task) => self.run(task),
                None => assert!(self.jump(), "everything waits for what nothing will bring about"),
            }
            next = self.next_ready();
        };
        while settle && let Some(task) = self.next_ready() {
            self.run(task);
        }
        output
    }

    /// Returns the number of tasks that have not ended.
    pub fn tasks(&self) -> usize {
        lock(&self.state).tasks.len()
    }

    /// Returns whether a task has ended by a panic.
    pub fn has_panicked(&self) -> bool {
        lock(&self.state).panicked
    }

    /// Takes the task that has been ready longest, or the one that is chosen.
    fn next_ready(&self) -> Option<u64> {
        // Taken out of the lock: the choice is other code.
        let choose = lock(&self.state).choose.clone();
        // Others may be added meanwhile, by other threads, but none is taken.
        let last = lock(&self.ready).len().checked_sub(1)?;
        let at = choose.map_or(0, |choose| (lock(&choose))(last + 1).min(last));
        lock(&self.ready).remove(at)
    }

    fn run(&self, task: u64) {
        // It is taken out, so that it can spawn others and set timers.
        let Some(mut future) = lock(&self.state).tasks.remove(&task) else { return };
        let waker = self.waker(task);
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        match polled {
            Ok(Poll::Pending) => {
                lock(&self.state).tasks.insert(task, future);
            }
            Ok(Poll::Ready(())) => {}
            Err(_) => {
                lock(&self.state).panicked = true;
                // What it holds ends with it, as on a runtime with threads.
                drop(future);
            }
        }
    }

    fn waker(&self, task: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, ready: Arc::clone(&self.ready) }))
    }

    /// Jumps to the next timer. Returns false if there is none.
    fn jump(&self) -> bool {
        let mut state = lock(&self.state);
        let Some(((due, _), _)) = state.timers.first_key_value() else { return false };
        let passed = due.since(state.awake());
        state.now = state.now + passed;
        let now = state.awake();
        let later = state.timers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        true
    }
}

impl Runtime for VirtualTime {
    fn now(&self) -> Now {
        lock(&self.state).now
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<'static, ()> {
        let at = match at {
            Monotonic::MAX => at,
            at => at.before(lock(&self.state).suspended),
        };
        Box::pin(Sleep { time: self.clone(), at, timer: None })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut state = lock(&self.state);
        let id = state.next;
        state.next += 1;
        state.tasks.insert(id, task);
        drop(state);
        lock(&self.ready).push_back(id);
    }
}

impl State {
    /// Returns the clock that the timers go by.
    fn awake(&self) -> Monotonic {
        self.now.monotonic.before(self.suspended)
    }
}

struct Sleep {
    time: VirtualTime,
    /// When it ends, by the clock that the timers go by.
    at: Monotonic,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let time = self.time.clone();
        let mut state = lock(&time.state);
        if self.at <= state.awake() {
            return Poll::Ready(());
        }
        let timer = *self.timer.get_or_insert_with(|| {
            state.next += 1;
            state.next - 1
        });
        let before = state.timers.insert((self.at, timer), context.waker().clone());
        // A waker is dropped after the lock is let go: it may own what locks again.
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            // As above.
            let waker = lock(&self.time.state).timers.remove(&(self.at, timer));
            drop(waker);
        }
    }
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("VirtualTime")
            .field("now", &state.now)
            .field("tasks", &state.tasks.len())
            .field("timers", &state.timers.len())
            .finish_non_exhaustive()
    }
}
