//! Turns by key, first come, first served: so many have one at a time, so many wait for one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of each key that is in use; the others cost nothing.
#[derive(Debug)]
pub(crate) struct Places<K: Eq + Hash> {
    running: usize,
    waiting: usize,
    in_use: Mutex<HashMap<K, InUse>>,
}

#[derive(Debug)]
struct InUse {
    turns: Arc<Semaphore>,
    /// Those who have a turn and those who wait for one.
    users: usize,
}

/// A place to wait in. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    at: K,
    turns: Arc<Semaphore>,
}

/// A turn. Dropped, it is the next one's.
#[derive(Debug)]
pub(crate) struct Turn<K: Eq + Hash> {
    _permit: OwnedSemaphorePermit,
    /// Dropped after the permit: the last to leave takes the semaphore along.
    place: Place<K>,
}

impl<K: Clone + Eq + Hash> Places<K> {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        let running = running.min(Semaphore::MAX_PERMITS);
        Self { running, waiting, in_use: Mutex::default() }
    }

    /// How many have a turn at a time.
    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    pub(crate) fn users(&self, at: &K) -> usize {
        self.lock().get(at).map_or(0, |there| there.users)
    }

    /// A place, if there is one left.
    pub(crate) fn place(self: &Arc<Self>, at: K) -> Option<Place<K>> {
        let mut in_use = self.lock();
        let there = in_use
            .entry(at.clone())
            .or_insert_with(|| InUse { turns: Arc::new(Semaphore::new(self.running)), users: 0 });
        if there.users >= self.running.saturating_add(self.waiting) {
            // With a limit of 0 it was made just now.
            if there.users == 0 {
                in_use.remove(&at);
            }
            return None;
        }
        there.users += 1;
        let turns = Arc::clone(&there.turns);
        Some(Place { places: Arc::clone(self), at, turns })
    }
}

impl<K: Eq + Hash> Places<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, InUse>> {
        // Nothing in a critical section can leave it half-changed.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys are in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl<K: Eq + Hash> Place<K> {
    /// The turn, if it can be had at once; otherwise the place.
    pub(crate) fn turn_at_once(self) -> Result<Turn<K>, Self> {
        match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(permit) => Ok(Turn { _permit: permit, place: self }),
            Err(_) => Err(self),
        }
    }

    /// Waits for the turn; `None` cannot be, since nobody ends the turns.
    pub(crate) async fn turn(self) -> Option<Turn<K>> {
        let permit = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        Some(Turn { _permit: permit, place: self })
    }
}

impl<K: Eq + Hash> Turn<K> {
    pub(crate) const fn at(&self) -> &K {
        &self.place.at
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut in_use = self.places.lock();
        if let Some(there) = in_use.get_mut(&self.at) {
            there.users -= 1;
            if there.users == 0 {
                in_use.remove(&self.at);
            }
        }
    }
}
