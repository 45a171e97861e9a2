//! Single flight: at most one task a key is in flight, however many callers want its result. The
//! first caller starts it, the others join.
//!
//! By default the task continues when all callers have left; with [`Abandoned::Cancel`] it is
//! cancelled when the last one leaves. If a task panics, or its runtime is shut down, its callers
//! get an error and the key is free again.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable, Shared};
use serde::{Deserialize, Serialize};

use super::Runtime;

/// What happens to a look-up that no caller waits for any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Abandoned {
    /// The look-up continues, and its result is remembered for the next caller. The default.
    #[default]
    Finish,
    /// The look-up is cancelled when the last caller leaves. If a well-known look-up ran for
    /// [`ResolverConfig::abandoned_after`](crate::ResolverConfig::abandoned_after), it counts as
    /// failed, so that impatient callers do not ask a slow server over and over. Renewals in the
    /// background continue.
    Cancel,
}

/// The result that all waiters share; an error if the task ended without one.
type Finished<V> = Shared<oneshot::Receiver<V>>;

/// Runs at most one task a key at a time, and gives its result to every caller that joined it.
pub(crate) struct SingleFlight<K: Eq + Hash, V> {
    limit: usize,
    abandoned: Abandoned,
    in_flight: Mutex<HashMap<K, Task<V>>>,
}

/// A task in flight.
struct Task<V> {
    finished: Finished<V>,
    /// The number of waiters that have not left. One that detached never counts as having left.
    waiters: usize,
    stop: AbortHandle,
    /// Called under the lock when the task is cancelled, before another can start.
    stopped: Box<dyn Fn() + Send>,
}

/// The limit on tasks in flight is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooMany {
    pub(crate) limit: usize,
}

/// How a caller gets its value.
pub(crate) enum Joined<K: Eq + Hash, V> {
    /// The value was known already.
    Known(V),
    /// The value is in flight.
    Waiting(Waiter<K, V>),
}

/// Waits for a task to finish. Resolves to an error if the task ended without a result.
pub(crate) struct Waiter<K: Eq + Hash, V> {
    place: Place<K, V>,
    first: bool,
    /// Whether the task is cancelled if this waiter is the last to leave.
    cancels: bool,
}

/// The place of a task in the table.
#[derive(Clone)]
struct Place<K: Eq + Hash, V> {
    single_flight: Arc<SingleFlight<K, V>>,
    key: K,
    /// Tells this task from earlier and later ones of the same key.
    finished: Finished<V>,
}

/// Removes a task from the table when it ends, however it ends.
struct Leader<K: Eq + Hash, V>(Place<K, V>);

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(limit: usize, abandoned: Abandoned) -> Self {
        Self { limit, abandoned, in_flight: Mutex::default() }
    }

    /// Joins the task in flight for this key, or starts one.
    ///
    /// `known` is called under the lock, because a task may have finished since the caller last
    /// looked. `task` must remember its result where `known` finds it, or a caller that comes just
    /// after the end starts a second task. `stopped` is called under the lock if the task is
    /// cancelled, so that whoever starts the next one sees its effect.
    pub(crate) fn join<F>(
        self: &Arc<Self>,
        key: &K,
        runtime: &dyn Runtime,
        known: impl FnOnce() -> Option<V>,
        stopped: impl Fn() + Send + 'static,
        task: impl FnOnce() -> F,
    ) -> Result<Joined<K, V>, TooMany>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut in_flight = self.lock();
        if let Some(task) = in_flight.get_mut(key) {
            task.waiters += 1;
            return Ok(Joined::Waiting(self.waiter(key, &task.finished, false)));
        }
        if let Some(value) = known() {
            return Ok(Joined::Known(value));
        }
        if in_flight.len() >= self.limit {
            return Err(TooMany { limit: self.limit });
        }
        let (finish, finished) = oneshot::channel();
        let (stop, registration) = AbortHandle::new_pair();
        let finished = finished.shared();
        let waiter = self.waiter(key, &finished, true);
        let leader = Leader(waiter.place.clone());
        let stopped = Box::new(stopped);
        in_flight.insert(key.clone(), Task { finished, waiters: 1, stop, stopped });
        drop(in_flight);
        let task = task();
        let task = async move {
            let value = task.await;
            drop(leader);
            // There may be no waiter left.
            drop(finish.send(value));
        };
        runtime.spawn(Box::pin(Abortable::new(task, registration).map(drop)));
        Ok(Joined::Waiting(waiter))
    }

    fn waiter(self: &Arc<Self>, key: &K, finished: &Finished<V>, first: bool) -> Waiter<K, V> {
        let (single_flight, finished) = (Arc::clone(self), finished.clone());
        let place = Place { single_flight, key: key.clone(), finished };
        Waiter { place, first, cancels: self.abandoned == Abandoned::Cancel }
    }
}

impl<K: Eq + Hash, V> SingleFlight<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Task<V>>> {
        // Nothing in a critical section can leave the map half-changed.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes later callers start tasks of their own. The waiters of earlier tasks still get their
    /// results.
    pub(crate) fn forget(&self, keys: impl Fn(&K) -> bool) {
        let mut in_flight = self.lock();
        // Dropped without the lock: a task may own something that takes it again.
        let forgotten: Vec<_> = in_flight.extract_if(|key, _| keys(key)).collect();
        drop(in_flight);
        drop(forgotten);
    }

    /// Returns how many tasks are in flight.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().len()
    }
}

impl<K: Eq + Hash, V> Waiter<K, V> {
    /// Returns whether the task was started for this waiter.
    pub(crate) const fn is_first(&self) -> bool {
        self.first
    }

    /// Leaves the task, which then continues even if all other waiters leave.
    pub(crate) fn detach(mut self) {
        self.cancels = false;
    }
}

impl<K: Eq + Hash, V> Place<K, V> {
    /// Removes the task from the table and returns it, if it is there and `condition`, called under
    /// the lock, holds.
    fn remove_if(&self, condition: impl FnOnce(&mut Task<V>) -> bool) -> Option<Task<V>> {
        let mut in_flight = self.single_flight.lock();
        let task = in_flight.get_mut(&self.key)?;
        if !task.finished.ptr_eq(&self.finished) || !condition(task) {
            return None;
        }
        in_flight.remove(&self.key)
    }
}

impl<K: Eq + Hash, V> Drop for Leader<K, V> {
    fn drop(&mut self) {
        // Dropped without the lock: the task may own something that takes it again.
        drop(self.0.remove_if(|_| true));
    }
}

impl<K: Eq + Hash, V> Drop for Waiter<K, V> {
    fn drop(&mut self) {
        if !self.cancels {
            return;
        }
        let task = self.place.remove_if(|task| {
            task.waiters -= 1;
            if task.waiters == 0 {
                (task.stopped)();
            }
            task.waiters == 0
        });
        // Done without the lock: this wakes the task, which may run code of the runtime.
        if let Some(task) = task {
            task.stop.abort();
        }
    }
}

impl<K: Eq + Hash + Unpin, V: Clone> Future for Waiter<K, V> {
    type Output = Result<V, oneshot::Canceled>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.place.finished.poll_unpin(context)
    }
}

impl<K: Eq + Hash + Unpin, V: Clone> Joined<K, V> {
    /// Returns the value, at once or when its task has finished.
    pub(crate) async fn value(self) -> Result<V, oneshot::Canceled> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Waiting(waiter) => waiter.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    use super::*;
    use crate::testing::VirtualTime;

    /// A `SingleFlight` whose tasks finish with 7 once `clear` is called.
    struct Rig {
        single_flight: Arc<SingleFlight<u8, u8>>,
        time: VirtualTime,
        cleared: Arc<Mutex<Vec<oneshot::Sender<()>>>>,
        stopped: Arc<AtomicU32>,
    }

    impl Rig {
        fn new(limit: usize, abandoned: Abandoned) -> Self {
            let single_flight = Arc::new(SingleFlight::new(limit, abandoned));
            let time = VirtualTime::new();
            Self { single_flight, time, cleared: Arc::default(), stopped: Arc::default() }
        }

        fn join(&self, key: u8) -> Result<Joined<u8, u8>, TooMany> {
            let (cleared, clearance) = oneshot::channel();
            let stopped = Arc::clone(&self.stopped);
            self.single_flight.join(
                &key,
                &self.time,
                || None,
                move || {
                    stopped.fetch_add(1, Ordering::Relaxed);
                },
                || {
                    self.cleared.lock().unwrap().push(cleared);
                    async move {
                        clearance.await.expect("not to break off");
                        7
                    }
                },
            )
        }

        fn waiter(&self) -> Waiter<u8, u8> {
            match self.join(1) {
                Ok(Joined::Waiting(waiter)) => waiter,
                Ok(Joined::Known(value)) => panic!("known: {value}"),
                Err(error) => panic!("{error:?}"),
            }
        }

        fn started(&self) -> usize {
            self.cleared.lock().unwrap().len()
        }

        fn clear(&self) {
            self.cleared.lock().unwrap().drain(..).for_each(|it| {
                // A cancelled task does not receive it.
                let _ = it.send(());
            });
        }

        fn stopped(&self) -> u32 {
            self.stopped.load(Ordering::Relaxed)
        }

        /// Runs every task until none can continue.
        fn settle(&self) {
            self.time.advance(std::time::Duration::ZERO);
        }
    }

    #[test]
    fn callers_join_and_get_the_same() {
        let rig = Rig::new(9, Abandoned::Finish);
        let (first, mut second) = (rig.waiter(), rig.waiter());
        assert_eq!((first.is_first(), second.is_first(), rig.started()), (true, false, 1));
        drop(first);
        rig.settle();
        assert!((&mut second).now_or_never().is_none());
        rig.clear();
        assert_eq!(rig.time.block_on(second), Ok(7));
        rig.settle();
        assert_eq!((rig.single_flight.len(), rig.time.tasks()), (0, 0));
    }

    #[test]
    fn by_default_a_task_goes_on_without_waiters() {
        let rig = Rig::new(9, Abandoned::Finish);
        drop(rig.waiter());
        rig.settle();
        assert_eq!((rig.single_flight.len(), rig.stopped()), (1, 0));
        let late = rig.waiter();
        rig.clear();
        assert_eq!(rig.time.block_on(late), Ok(7));
    }

    #[test]
    fn a_task_stops_when_the_last_waiter_leaves() {
        let rig = Rig::new(9, Abandoned::Cancel);
        let (first, second) = (rig.waiter(), rig.waiter());
        drop(first);
        rig.settle();
        assert_eq!((rig.single_flight.len(), rig.stopped()), (1, 0));
        drop(second);
        assert_eq!((rig.single_flight.len(), rig.stopped()), (0, 1));
        rig.settle();
        assert_eq!(rig.time.tasks(), 0);
        assert!(!rig.time.has_panicked());
    }

    #[test]
    fn a_task_begun_after_one_that_stopped_is_another() {
        let rig = Rig::new(9, Abandoned::Cancel);
        drop(rig.waiter());
        // The task of the first has not ended yet, and must not end the second.
        let second = rig.waiter();
        assert_eq!(rig.started(), 2);
        rig.settle();
        assert_eq!(rig.single_flight.len(), 1);
        rig.clear();
        assert_eq!(rig.time.block_on(second), Ok(7));
        assert_eq!(rig.stopped(), 1);
    }

    #[test]
    fn a_detached_task_goes_on_whoever_leaves() {
        let rig = Rig::new(9, Abandoned::Cancel);
        let (first, second) = (rig.waiter(), rig.waiter());
        first.detach();
        drop(second);
        rig.settle();
        assert_eq!((rig.single_flight.len(), rig.stopped()), (1, 0));
        rig.clear();
        rig.settle();
        assert_eq!((rig.single_flight.len(), rig.time.tasks()), (0, 0));
    }

    #[test]
    fn a_task_that_breaks_off_fails_its_callers_and_frees_the_key() {
        let rig = Rig::new(9, Abandoned::Cancel);
        let waiter = rig.waiter();
        rig.cleared.lock().unwrap().clear();
        assert!(rig.time.block_on(waiter).is_err());
        assert_eq!((rig.single_flight.len(), rig.stopped()), (0, 0));
        assert!(rig.time.has_panicked());
    }

    #[test]
    fn what_landed_in_between_is_not_fetched_again() {
        let single_flight = Arc::new(SingleFlight::<u8, u8>::new(9, Abandoned::Finish));
        let time = VirtualTime::new();
        let joined = single_flight
            .join(&1, &time, || Some(3), || (), || async { panic!("a task") })
            .unwrap();
        assert!(matches!(joined, Joined::Known(3)));
        assert_eq!(time.tasks(), 0);
    }

    #[test]
    fn tasks_are_limited() {
        let rig = Rig::new(1, Abandoned::Finish);
        let waiter = rig.waiter();
        assert!(rig.join(2).is_err_and(|error| error.limit == 1));
        rig.clear();
        assert_eq!(rig.time.block_on(waiter), Ok(7));
        rig.settle();
        assert!(rig.join(2).is_ok());
    }

    /// Enumerates the paths through a tree of choices.
    #[derive(Clone, Default)]
    struct Tree(Arc<Mutex<Path>>);

    #[derive(Default)]
    struct Path {
        /// Which option each choice took, and of how many.
        chosen: Vec<(usize, usize)>,
        /// How many choices of the path were made so far.
        at: usize,
    }

    impl Tree {
        fn choose(&self, count: usize) -> usize {
            if count == 1 {
                return 0;
            }
            let mut path = self.0.lock().unwrap();
            let at = path.at;
            path.at += 1;
            if at == path.chosen.len() {
                path.chosen.push((0, count));
            }
            assert_eq!(path.chosen[at].1, count, "the same choices lead elsewhere");
            path.chosen[at].0
        }

        /// Moves to the next path. Returns `false` if there is none.
        fn next(&self) -> bool {
            let mut path = self.0.lock().unwrap();
            path.at = 0;
            while let Some((chosen, of)) = path.chosen.pop() {
                if chosen + 1 < of {
                    path.chosen.push((chosen + 1, of));
                    return true;
                }
            }
            false
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        Served,
        Failed,
        Left,
    }

    /// Three callers of one key, which come and leave in an order that a [`Tree`] chooses.
    struct Walk {
        single_flight: Arc<SingleFlight<u8, u8>>,
        time: VirtualTime,
        started: Arc<AtomicU32>,
        stopped: Arc<AtomicU32>,
        finished: Arc<AtomicU32>,
        /// How often everything was forgotten. A task finishes with the number at its start.
        forgotten: Arc<AtomicU8>,
        callers: Mutex<[Caller; 3]>,
    }

    enum Caller {
        NotYet,
        /// Waits for a task that began after everything was forgotten this often.
        Waits(Waiter<u8, u8>, u8),
        Left,
    }

    /// Yields once to the other tasks.
    async fn give_way() {
        let mut gave = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut gave, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    impl Walk {
        fn new(tree: &Tree, abandoned: Abandoned) -> Self {
            let choices = tree.clone();
            Self {
                single_flight: Arc::new(SingleFlight::new(9, abandoned)),
                time: VirtualTime::new().with_choices(move |count| choices.choose(count)),
                started: Arc::default(),
                stopped: Arc::default(),
                finished: Arc::default(),
                forgotten: Arc::default(),
                callers: Mutex::new([Caller::NotYet, Caller::NotYet, Caller::NotYet]),
            }
        }

        fn join(&self, panics: bool) -> Waiter<u8, u8> {
            let (started, finished) = (Arc::clone(&self.started), Arc::clone(&self.finished));
            let (stopped, forgotten) = (Arc::clone(&self.stopped), Arc::clone(&self.forgotten));
            let stopped = move || {
                stopped.fetch_add(1, Ordering::Relaxed);
            };
            let joined = self.single_flight.join(
                &1,
                &self.time,
                || None,
                stopped,
                || async move {
                    let begun = forgotten.load(Ordering::Relaxed);
                    started.fetch_add(1, Ordering::Relaxed);
                    give_way().await;
                    if panics {
                        // Without the panic hook, which would print each.
                        std::panic::resume_unwind(Box::new("scripted"));
                    }
                    finished.fetch_add(1, Ordering::Relaxed);
                    begun
                },
            );
            match joined {
                Ok(Joined::Waiting(waiter)) => waiter,
                _ => panic!("there is room, and nothing is known"),
            }
        }

        /// Has a caller come and wait, unless it was told to leave before.
        fn come(self: &Arc<Self>, caller: usize, panics: bool) {
            let walk = Arc::clone(self);
            self.time.spawn(Box::pin(async move {
                let caller = &mut walk.callers.lock().unwrap()[caller];
                if let Caller::NotYet = caller {
                    let forgotten = walk.forgotten.load(Ordering::Relaxed);
                    *caller = Caller::Waits(walk.join(panics), forgotten);
                }
            }));
        }

        fn leave(self: &Arc<Self>, caller: usize) {
            let walk = Arc::clone(self);
            self.time.spawn(Box::pin(async move {
                walk.callers.lock().unwrap()[caller] = Caller::Left;
            }));
        }

        fn forget(self: &Arc<Self>) {
            let walk = Arc::clone(self);
            self.time.spawn(Box::pin(async move {
                walk.forgotten.fetch_add(1, Ordering::Relaxed);
                walk.single_flight.forget(|_| true);
            }));
        }

        /// Returns what became of each caller, once no task can continue.
        fn fates(&self) -> [Fate; 3] {
            let mut callers = self.callers.lock().unwrap();
            callers.each_mut().map(|caller| match caller {
                Caller::Left => Fate::Left,
                Caller::Waits(waiter, forgotten) => match waiter.now_or_never() {
                    Some(Ok(begun)) if begun < *forgotten => panic!("begun too early"),
                    Some(Ok(_)) => Fate::Served,
                    Some(Err(_)) => Fate::Failed,
                    None => panic!("a caller waits for nothing"),
                },
                Caller::NotYet => panic!("a caller was not heard"),
            })
        }
    }

    #[test]
    fn three_callers_two_that_leave_and_a_panic_in_every_order() {
        in_every_order(2, 0);
    }

    #[test]
    fn three_callers_one_that_leaves_and_a_request_to_forget_in_every_order() {
        in_every_order(1, 1);
    }

    fn in_every_order(leave: usize, forget: usize) {
        for (abandoned, panics) in [
            (Abandoned::Finish, false),
            (Abandoned::Finish, true),
            (Abandoned::Cancel, false),
            (Abandoned::Cancel, true),
        ] {
            let tree = Tree::default();
            let mut orders = 0_u32;
            loop {
                let walk = Arc::new(Walk::new(&tree, abandoned));
                (0..3).for_each(|caller| walk.come(caller, panics));
                (0..leave).for_each(|caller| walk.leave(caller));
                (0..forget).for_each(|_| walk.forget());
                walk.settle();
                let fates = walk.fates();
                walk.check(abandoned, panics, fates);
                orders += 1;
                if !tree.next() {
                    break;
                }
            }
            println!("{abandoned:?}, panic: {panics}: {orders} orders");
            assert!(orders > 1000, "{orders}");
        }
    }

    impl Walk {
        fn settle(&self) {
            self.time.advance(std::time::Duration::ZERO);
        }

        fn check(&self, abandoned: Abandoned, panics: bool, fates: [Fate; 3]) {
            let [started, stopped, finished] =
                [&self.started, &self.stopped, &self.finished].map(|it| it.load(Ordering::Relaxed));
            // Nothing is left over.
            assert_eq!((self.single_flight.len(), self.time.tasks()), (0, 0));
            let answered = if panics { Fate::Failed } else { Fate::Served };
            assert_eq!(fates[2], answered);
            assert!(fates.iter().all(|fate| [answered, Fate::Left].contains(fate)));
            // Only tasks that all callers have left are cancelled, and at most two callers leave.
            assert!(abandoned == Abandoned::Cancel && stopped <= 2 || stopped == 0);
            assert_eq!(finished >= 1, !panics);
            assert!(started <= 3 && finished <= started);
        }
    }
}
