//! One flight a key, however many callers: the first starts it, the others join.
//!
//! A flight is a task of its own. A caller that goes away leaves its seat: by default the flight
//! goes on without passengers; with [`Abandoned::Cancel`] it is stopped when the last has left. A
//! flight that panics, or whose runtime is shut down, fails its callers and frees its key.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable, Shared};

use super::traits::{BoxFuture, Runtime};
use crate::core::config::memory::Abandoned;

/// What all passengers wait for. An error: the flight broke off.
type Landed<V> = Shared<oneshot::Receiver<V>>;

pub(crate) struct Flights<K: Clone + Eq + Hash, V> {
    limit: usize,
    abandoned: Abandoned,
    under_way: Mutex<UnderWay<K, V>>,
}

struct UnderWay<K, V> {
    flights: HashMap<K, Flight<V>>,
    /// The number of the next flight.
    next: u64,
}

struct Flight<V> {
    /// No other flight of the key has it.
    number: u64,
    landed: Landed<V>,
    seats: usize,
    /// Whether it goes on without passengers.
    detached: bool,
    stop: AbortHandle,
    /// What is to be remembered of it if it is stopped; called without a lock.
    stopped: Option<Box<dyn FnOnce() + Send>>,
}

/// There are too many flights already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooMany {
    pub(crate) limit: usize,
}

/// How a caller gets its value.
pub(crate) enum Joined<K: Clone + Eq + Hash, V> {
    /// It was there.
    Known(V),
    /// It is under way.
    Landing(Passenger<K, V>),
}

/// Waits for a flight to land. An error: it broke off.
pub(crate) struct Passenger<K: Clone + Eq + Hash, V> {
    landed: Landed<V>,
    flights: Arc<Flights<K, V>>,
    key: K,
    number: u64,
    first: bool,
}

/// The duty of a flight's task: to land. Dropped without landing, it fails the callers.
pub(crate) struct Pilot<K: Clone + Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
    number: u64,
    landing: Option<oneshot::Sender<V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    pub(crate) fn new(limit: usize, abandoned: Abandoned) -> Self {
        let under_way = Mutex::new(UnderWay { flights: HashMap::new(), next: 0 });
        Self { limit, abandoned, under_way }
    }

    /// Joins the flight of this key, or starts it.
    ///
    /// `known` is asked under the lock, because a flight may have landed since the caller last
    /// looked; `stopped` is called before the flight ends, so that whoever starts the next one sees
    /// what it does.
    pub(crate) fn join<F>(
        self: &Arc<Self>,
        key: &K,
        runtime: &dyn Runtime,
        known: impl FnOnce() -> Option<V>,
        stopped: impl FnOnce() + Send + 'static,
        flight: impl FnOnce(Pilot<K, V>) -> F,
    ) -> Result<Joined<K, V>, TooMany>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (landing, landed) = oneshot::channel();
        let (stop, registration) = AbortHandle::new_pair();
        let (passenger, pilot) = {
            let mut under_way = self.lock();
            let many = under_way.flights.len();
            let number = under_way.next;
            if let Some(flight) = under_way.flights.get_mut(key) {
                flight.seats += 1;
                return Ok(Joined::Landing(self.passenger(key, flight, false)));
            }
            if let Some(value) = known() {
                return Ok(Joined::Known(value));
            }
            if many >= self.limit {
                return Err(TooMany { limit: self.limit });
            }
            let flight = Flight {
                number,
                landed: landed.shared(),
                seats: 1,
                detached: self.abandoned == Abandoned::Finish,
                stop,
                stopped: Some(Box::new(stopped)),
            };
            let passenger = self.passenger(key, &flight, true);
            under_way.flights.insert(key.clone(), flight);
            under_way.next += 1;
            let (flights, key) = (Arc::clone(self), key.clone());
            (passenger, Pilot { flights, key, number, landing: Some(landing) })
        };
        let task = Abortable::new(flight(pilot), registration);
        let task: BoxFuture<'static, ()> = Box::pin(task.map(drop));
        runtime.spawn(task);
        Ok(Joined::Landing(passenger))
    }

    fn passenger(self: &Arc<Self>, key: &K, flight: &Flight<V>, first: bool) -> Passenger<K, V> {
        let (landed, flights) = (flight.landed.clone(), Arc::clone(self));
        Passenger { landed, flights, key: key.clone(), number: flight.number, first }
    }
}

impl<K: Clone + Eq + Hash, V> Flights<K, V> {
    fn lock(&self) -> MutexGuard<'_, UnderWay<K, V>> {
        // Nothing in a critical section can leave the map half-changed.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flight of this number, if it has not ended.
    fn under_way<'a>(
        under_way: &'a mut UnderWay<K, V>,
        key: &K,
        number: u64,
    ) -> Option<&'a mut Flight<V>> {
        under_way.flights.get_mut(key).filter(|flight| flight.number == number)
    }

    /// Has those who come from now on start flights of their own. Who is in one lands as ever.
    pub(crate) fn forget(&self, keys: impl Fn(&K) -> bool) {
        let mut under_way = self.lock();
        // What is dropped here may own what locks again.
        let forgotten: Vec<_> = under_way.flights.extract_if(|key, _| keys(key)).collect();
        drop(under_way);
        drop(forgotten);
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.lock().flights.len()
    }
}

impl<K: Clone + Eq + Hash, V> Passenger<K, V> {
    /// Whether the flight was started for it.
    pub(crate) const fn is_first(&self) -> bool {
        self.first
    }

    /// Leaves the flight, which goes on whoever else leaves it.
    pub(crate) fn detach(self) {
        let mut under_way = self.flights.lock();
        if let Some(flight) = Flights::under_way(&mut under_way, &self.key, self.number) {
            flight.detached = true;
        }
    }
}

impl<K: Clone + Eq + Hash, V> Drop for Passenger<K, V> {
    fn drop(&mut self) {
        // The flight, if nobody is left in it.
        let empty = |under_way: &mut UnderWay<K, V>| {
            let flight = Flights::under_way(under_way, &self.key, self.number)?;
            (flight.seats == 0 && !flight.detached).then(|| flight.stopped.take())
        };
        let stopped = {
            let mut under_way = self.flights.lock();
            if let Some(flight) = Flights::under_way(&mut under_way, &self.key, self.number) {
                flight.seats -= 1;
            }
            empty(&mut under_way)
        };
        let Some(stopped) = stopped else { return };
        if let Some(stopped) = stopped {
            stopped();
        }
        // Somebody may have come meanwhile: the flight goes on.
        let flight = {
            let mut under_way = self.flights.lock();
            empty(&mut under_way).and_then(|_| under_way.flights.remove(&self.key))
        };
        // Its task is woken to end, which may run code of the runtime's.
        if let Some(flight) = flight {
            flight.stop.abort();
        }
    }
}

impl<K: Clone + Eq + Hash + Unpin, V: Clone> Future for Passenger<K, V> {
    type Output = Result<V, oneshot::Canceled>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.landed.poll_unpin(context)
    }
}

impl<K: Clone + Eq + Hash, V> Pilot<K, V> {
    /// Ends the flight. What was found must have been remembered before, so that nobody starts the
    /// next one in between.
    pub(crate) fn land(mut self, value: V) {
        if let Some(landing) = self.landing.take() {
            drop(landing.send(value));
        }
    }
}

impl<K: Clone + Eq + Hash, V> Drop for Pilot<K, V> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        if Flights::under_way(&mut under_way, &self.key, self.number).is_some() {
            let flight = under_way.flights.remove(&self.key);
            drop(under_way);
            // It owns what may lock again.
            drop(flight);
        }
    }
}

impl<K: Clone + Eq + Hash, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights")
            .field("limit", &self.limit)
            .field("abandoned", &self.abandoned)
            .field("under_way", &self.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::testing::VirtualTime;

    /// Flights of which each lands with 7 once it is let.
    struct Airport {
        flights: Arc<Flights<u8, u8>>,
        time: VirtualTime,
        cleared: Arc<Mutex<Vec<oneshot::Sender<()>>>>,
        stopped: Arc<AtomicU32>,
    }

    impl Airport {
        fn new(limit: usize, abandoned: Abandoned) -> Self {
            let flights = Arc::new(Flights::new(limit, abandoned));
            let time = VirtualTime::new();
            Self { flights, time, cleared: Arc::default(), stopped: Arc::default() }
        }

        fn join(&self, key: u8) -> Result<Joined<u8, u8>, TooMany> {
            let (cleared, clearance) = oneshot::channel();
            let stopped = Arc::clone(&self.stopped);
            self.flights.join(
                &key,
                &self.time,
                || None,
                move || {
                    stopped.fetch_add(1, Ordering::Relaxed);
                },
                |pilot| {
                    self.cleared.lock().unwrap().push(cleared);
                    async move {
                        clearance.await.expect("not to break off");
                        pilot.land(7);
                    }
                },
            )
        }

        fn passenger(&self) -> Passenger<u8, u8> {
            match self.join(1) {
                Ok(Joined::Landing(passenger)) => passenger,
                Ok(Joined::Known(value)) => panic!("known: {value}"),
                Err(error) => panic!("{error:?}"),
            }
        }

        fn started(&self) -> usize {
            self.cleared.lock().unwrap().len()
        }

        fn clear(&self) {
            self.cleared.lock().unwrap().drain(..).for_each(|it| {
                // One that was stopped does not wait for it.
                let _ = it.send(());
            });
        }

        fn stopped(&self) -> u32 {
            self.stopped.load(Ordering::Relaxed)
        }

        /// Lets all go on that can.
        fn settle(&self) {
            self.time.advance(std::time::Duration::ZERO);
        }
    }

    #[test]
    fn callers_join_and_get_the_same() {
        let airport = Airport::new(9, Abandoned::Finish);
        let (first, mut second) = (airport.passenger(), airport.passenger());
        assert_eq!((first.is_first(), second.is_first(), airport.started()), (true, false, 1));
        drop(first);
        airport.settle();
        assert!((&mut second).now_or_never().is_none());
        airport.clear();
        assert_eq!(airport.time.block_on(second), Ok(7));
        airport.settle();
        assert_eq!((airport.flights.len(), airport.time.tasks()), (0, 0));
    }

    #[test]
    fn by_default_a_flight_goes_on_without_passengers() {
        let airport = Airport::new(9, Abandoned::Finish);
        drop(airport.passenger());
        airport.settle();
        assert_eq!((airport.flights.len(), airport.stopped()), (1, 0));
        let late = airport.passenger();
        airport.clear();
        assert_eq!(airport.time.block_on(late), Ok(7));
    }

    #[test]
    fn a_flight_stops_when_the_last_passenger_leaves() {
        let airport = Airport::new(9, Abandoned::Cancel);
        let (first, second) = (airport.passenger(), airport.passenger());
        drop(first);
        airport.settle();
        assert_eq!((airport.flights.len(), airport.stopped()), (1, 0));
        drop(second);
        assert_eq!((airport.flights.len(), airport.stopped()), (0, 1));
        airport.settle();
        assert_eq!(airport.time.tasks(), 0);
        assert!(!airport.time.has_panicked());
    }

    #[test]
    fn a_flight_begun_after_one_that_stopped_is_another() {
        let airport = Airport::new(9, Abandoned::Cancel);
        drop(airport.passenger());
        // The task of the first has not ended yet, and must not end the second.
        let second = airport.passenger();
        assert_eq!(airport.started(), 2);
        airport.settle();
        assert_eq!(airport.flights.len(), 1);
        airport.clear();
        assert_eq!(airport.time.block_on(second), Ok(7));
        assert_eq!(airport.stopped(), 1);
    }

    #[test]
    fn a_detached_flight_goes_on_whoever_leaves() {
        let airport = Airport::new(9, Abandoned::Cancel);
        let (first, second) = (airport.passenger(), airport.passenger());
        first.detach();
        drop(second);
        airport.settle();
        assert_eq!((airport.flights.len(), airport.stopped()), (1, 0));
        airport.clear();
        airport.settle();
        assert_eq!((airport.flights.len(), airport.time.tasks()), (0, 0));
    }

    #[test]
    fn a_flight_that_breaks_off_fails_its_callers_and_frees_the_key() {
        let airport = Airport::new(9, Abandoned::Cancel);
        let passenger = airport.passenger();
        airport.cleared.lock().unwrap().clear();
        assert!(airport.time.block_on(passenger).is_err());
        assert_eq!((airport.flights.len(), airport.stopped()), (0, 0));
        assert!(airport.time.has_panicked());
    }

    #[test]
    fn what_landed_in_between_is_not_fetched_again() {
        let flights = Arc::new(Flights::<u8, u8>::new(9, Abandoned::Finish));
        let time = VirtualTime::new();
        let joined =
            flights.join(&1, &time, || Some(3), || (), |_| async { panic!("a flight") }).unwrap();
        assert!(matches!(joined, Joined::Known(3)));
        assert_eq!(time.tasks(), 0);
    }

    #[test]
    fn flights_are_limited() {
        let airport = Airport::new(1, Abandoned::Finish);
        let passenger = airport.passenger();
        assert!(airport.join(2).is_err_and(|error| error.limit == 1));
        airport.clear();
        assert_eq!(airport.time.block_on(passenger), Ok(7));
        airport.settle();
        assert!(airport.join(2).is_ok());
    }

    /// Goes through a tree of choices, one path a time.
    #[derive(Clone, Default)]
    struct Tree(Arc<Mutex<Path>>);

    #[derive(Default)]
    struct Path {
        /// What was chosen, of how many.
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

        /// Goes to the next path; false if that was the last.
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
        Served(u8),
        Failed,
        Left,
    }

    /// Three callers of one key; those of them that have come and not left.
    struct Walk {
        flights: Arc<Flights<u8, u8>>,
        time: VirtualTime,
        started: Arc<AtomicU32>,
        stopped: Arc<AtomicU32>,
        landed: Arc<AtomicU32>,
        callers: Mutex<[Caller; 3]>,
    }

    enum Caller {
        NotYet,
        Waits(Passenger<u8, u8>),
        Left,
    }

    /// Lets others go on first.
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
                flights: Arc::new(Flights::new(9, abandoned)),
                time: VirtualTime::new().with_choices(move |count| choices.choose(count)),
                started: Arc::default(),
                stopped: Arc::default(),
                landed: Arc::default(),
                callers: Mutex::new([Caller::NotYet, Caller::NotYet, Caller::NotYet]),
            }
        }

        fn join(&self, panics: bool) -> Passenger<u8, u8> {
            let (started, landed) = (Arc::clone(&self.started), Arc::clone(&self.landed));
            let stopped = Arc::clone(&self.stopped);
            let stopped = move || {
                stopped.fetch_add(1, Ordering::Relaxed);
            };
            let joined = self.flights.join(
                &1,
                &self.time,
                || None,
                stopped,
                |pilot| async move {
                    started.fetch_add(1, Ordering::Relaxed);
                    give_way().await;
                    if panics {
                        // Without the panic hook, which would print each.
                        std::panic::resume_unwind(Box::new("scripted"));
                    }
                    landed.fetch_add(1, Ordering::Relaxed);
                    pilot.land(7);
                },
            );
            match joined {
                Ok(Joined::Landing(passenger)) => passenger,
                _ => panic!("there is room, and nothing is known"),
            }
        }

        /// A caller comes, unless it was told to leave before, and waits.
        fn come(self: &Arc<Self>, caller: usize, panics: bool) {
            let walk = Arc::clone(self);
            self.time.spawn(Box::pin(async move {
                let caller = &mut walk.callers.lock().unwrap()[caller];
                if let Caller::NotYet = caller {
                    *caller = Caller::Waits(walk.join(panics));
                }
            }));
        }

        fn leave(self: &Arc<Self>, caller: usize) {
            let walk = Arc::clone(self);
            self.time.spawn(Box::pin(async move {
                walk.callers.lock().unwrap()[caller] = Caller::Left;
            }));
        }

        /// What became of each, once all has come to an end.
        fn fates(&self) -> [Fate; 3] {
            let mut callers = self.callers.lock().unwrap();
            callers.each_mut().map(|caller| match caller {
                Caller::Left => Fate::Left,
                Caller::Waits(passenger) => match passenger.now_or_never() {
                    Some(Ok(value)) => Fate::Served(value),
                    Some(Err(_)) => Fate::Failed,
                    None => panic!("a caller waits for nothing"),
                },
                Caller::NotYet => panic!("a caller was not heard"),
            })
        }
    }

    #[test]
    fn three_callers_two_that_leave_and_a_panic_in_every_order() {
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
                (0..2).for_each(|caller| walk.leave(caller));
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
            let [started, stopped, landed] =
                [&self.started, &self.stopped, &self.landed].map(|it| it.load(Ordering::Relaxed));
            // Nothing is left over.
            assert_eq!((self.flights.len(), self.time.tasks()), (0, 0));
            let answered = if panics { Fate::Failed } else { Fate::Served(7) };
            assert_eq!(fates[2], answered);
            assert!(fates.iter().all(|fate| [answered, Fate::Left].contains(fate)));
            // Only flights that all had left are stopped, which at most two can have been.
            assert!(abandoned == Abandoned::Cancel && stopped <= 2 || stopped == 0);
            assert_eq!(landed >= 1, !panics);
            assert!(started <= 3 && landed <= started);
        }
    }
}
