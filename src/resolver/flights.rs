//! One flight a key, however many callers: the first starts it, the others join.
//!
//! A flight is a task of its own. A caller that goes away cancels nothing; a flight that panics,
//! or whose runtime is shut down, fails its callers and frees its key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::Shared;

/// What a caller waits for. An error: the flight broke off.
pub(super) type Landed<V> = Shared<oneshot::Receiver<V>>;

#[derive(Debug)]
pub(super) struct Flights<K, V> {
    limit: usize,
    under_way: Mutex<HashMap<K, Landed<V>>>,
}

/// There are too many flights already.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooMany {
    pub(super) limit: usize,
}

/// How a caller gets its value.
pub(super) enum Joined<V> {
    /// It was there.
    Known(V),
    /// It is under way.
    Landing(Landed<V>),
}

/// The duty of a flight's task: to land. Dropped without landing, it fails the callers.
#[derive(Debug)]
pub(super) struct Pilot<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
    landing: Option<oneshot::Sender<V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, under_way: Mutex::new(HashMap::new()) }
    }

    /// Joins the flight of this key, or starts it.
    ///
    /// `known` is asked under the lock, because a flight may have landed since the caller last
    /// looked; `start` must hand the pilot to a task and return at once.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &K,
        known: impl FnOnce() -> Option<V>,
        start: impl FnOnce(Pilot<K, V>),
    ) -> Result<Joined<V>, TooMany> {
        let (landed, pilot) = {
            let mut under_way = self.lock();
            let many = under_way.len();
            match under_way.entry(key.clone()) {
                Entry::Occupied(flight) => return Ok(Joined::Landing(flight.get().clone())),
                Entry::Vacant(vacant) => {
                    if let Some(value) = known() {
                        return Ok(Joined::Known(value));
                    }
                    if many >= self.limit {
                        return Err(TooMany { limit: self.limit });
                    }
                    let (landing, landed) = oneshot::channel();
                    let landed = vacant.insert(landed.shared()).clone();
                    let flights = Arc::clone(self);
                    (landed, Pilot { flights, key: key.clone(), landing: Some(landing) })
                }
            }
        };
        start(pilot);
        Ok(Joined::Landing(landed))
    }
}

impl<K, V> Flights<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Landed<V>>> {
        // Nothing in a critical section can leave the map half-changed.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Pilot<K, V> {
    /// Ends the flight. What was found must have been remembered before, so that nobody starts the
    /// next one in between.
    pub(super) fn land(mut self, value: V) {
        if let Some(landing) = self.landing.take() {
            drop(landing.send(value));
        }
    }
}

impl<K: Eq + Hash, V> Drop for Pilot<K, V> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn flights(limit: usize) -> Arc<Flights<u8, u8>> {
        Arc::new(Flights::new(limit))
    }

    fn landing(joined: Joined<u8>) -> Landed<u8> {
        match joined {
            Joined::Landing(landed) => landed,
            Joined::Known(value) => panic!("known: {value}"),
        }
    }

    #[test]
    fn callers_join_and_get_the_same() {
        let flights = flights(9);
        let mut pilot = None;
        let first = landing(flights.join(&1, || None, |it| pilot = Some(it)).unwrap());
        let second = landing(flights.join(&1, || None, |_| panic!("second flight")).unwrap());
        drop(first);
        assert!(second.clone().now_or_never().is_none());
        pilot.unwrap().land(7);
        assert_eq!(second.now_or_never().unwrap(), Ok(7));
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn a_flight_that_breaks_off_fails_its_callers_and_frees_the_key() {
        let flights = flights(9);
        let landed = landing(flights.join(&1, || None, drop).unwrap());
        assert!(landed.now_or_never().unwrap().is_err());
        assert!(flights.lock().is_empty());
    }

    #[test]
    fn what_landed_in_between_is_not_fetched_again() {
        let joined = flights(9).join(&1, || Some(3), |_| panic!("flight")).unwrap();
        assert!(matches!(joined, Joined::Known(3)));
    }

    #[test]
    fn flights_are_limited() {
        let flights = flights(1);
        let mut pilot = None;
        let _landed = flights.join(&1, || None, |it| pilot = Some(it)).unwrap();
        assert!(flights.join(&2, || None, drop).is_err_and(|error| error.limit == 1));
        drop(pilot);
        assert!(flights.join(&2, || None, drop).is_ok());
    }
}
