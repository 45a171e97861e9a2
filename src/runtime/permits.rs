//! Permits by key, first come, first served. For each key there are at most N permits, and at most
//! M callers wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of each key. A key that nobody uses takes no memory.
#[derive(Debug)]
pub(crate) struct KeyedPermits<K: Eq + Hash> {
    running: usize,
    waiting: usize,
    in_use: Mutex<HashMap<K, InUse>>,
}

#[derive(Debug)]
struct InUse {
    permits: Arc<Semaphore>,
    /// How many callers have a permit or wait for one.
    users: usize,
}

/// The right to wait for a permit. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation<K: Eq + Hash> {
    all: Arc<KeyedPermits<K>>,
    at: K,
    permits: Arc<Semaphore>,
}

/// A permit. When it is dropped, the next caller in line gets it.
#[derive(Debug)]
pub(crate) struct Permit<K: Eq + Hash> {
    _permit: OwnedSemaphorePermit,
    /// It is dropped after the permit: the last user removes the key's semaphore.
    reservation: Reservation<K>,
}

impl<K: Eq + Hash> KeyedPermits<K> {
    pub(crate) fn new(running: usize, waiting: usize) -> Self {
        let running = running.min(Semaphore::MAX_PERMITS);
        Self { running, waiting, in_use: Mutex::default() }
    }

    /// Returns how many permits each key has.
    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    pub(crate) fn users(&self, at: &K) -> usize {
        self.lock().get(at).map_or(0, |there| there.users)
    }

    /// Reserves a place in line, unless too many wait already.
    pub(crate) fn reserve(self: &Arc<Self>, at: K) -> Option<Reservation<K>>
    where
        K: Clone,
    {
        let mut in_use = self.lock();
        let users = in_use.get(&at).map_or(0, |there| there.users);
        if users >= self.running.saturating_add(self.waiting) {
            return None;
        }
        let there = in_use
            .entry(at.clone())
            .or_insert_with(|| InUse { permits: Arc::new(Semaphore::new(self.running)), users });
        there.users += 1;
        let permits = Arc::clone(&there.permits);
        Some(Reservation { all: Arc::clone(self), at, permits })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, InUse>> {
        // Nothing in a critical section can leave it half-changed.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many keys are in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl<K: Eq + Hash> Reservation<K> {
    /// Takes a permit if one is free, or returns the reservation.
    pub(crate) fn try_permit(self) -> Result<Permit<K>, Self> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Ok(Permit { _permit: permit, reservation: self }),
            Err(_) => Err(self),
        }
    }

    /// Waits for a permit. `None` is unreachable: nobody closes the semaphore.
    pub(crate) async fn permit(self) -> Option<Permit<K>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        Some(Permit { _permit: permit, reservation: self })
    }
}

impl<K: Eq + Hash> Permit<K> {
    pub(crate) const fn at(&self) -> &K {
        &self.reservation.at
    }
}

impl<K: Eq + Hash> Drop for Reservation<K> {
    fn drop(&mut self) {
        let mut in_use = self.all.lock();
        if let Some(there) = in_use.get_mut(&self.at) {
            there.users -= 1;
            if there.users == 0 {
                in_use.remove(&self.at);
            }
        }
    }
}
