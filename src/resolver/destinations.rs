//! How many fetches go to one destination at a time, so that one host behind many names neither is
//! flooded nor takes the turns of all others.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::flights::TooMany;
use super::traits::Runtime;
use crate::core::config::Config;

/// What counts as one destination: an IPv4 address, or the 64 bits of an IPv6 network, of which one
/// host commonly has all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Destination {
    V4(Ipv4Addr),
    V6Network([u16; 4]),
}

impl From<&SocketAddr> for Destination {
    fn from(address: &SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6Network([a, b, c, d])
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Destinations {
    running: usize,
    waiting: usize,
    wait: Duration,
    in_use: Mutex<HashMap<Destination, InUse>>,
}

#[derive(Debug)]
struct InUse {
    turns: Arc<Semaphore>,
    /// Those who have a turn and those who wait for one.
    users: usize,
}

/// A place at some destinations, to wait in or with a turn. Dropped, it is free again.
#[derive(Debug)]
struct Place {
    destinations: Arc<Destinations>,
    taken: Vec<Destination>,
}

/// A turn at some destinations.
#[derive(Debug)]
pub(super) struct Turn {
    _permits: Vec<OwnedSemaphorePermit>,
    /// Dropped after the permits: the last to leave takes the semaphore along.
    _place: Place,
}

impl Destinations {
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.memory;
        Self {
            running: limits.per_destination.min(Semaphore::MAX_PERMITS),
            waiting: limits.per_destination_waiting,
            wait: config.time.destination,
            in_use: Mutex::default(),
        }
    }

    /// Waits for a turn at each of the destinations that these addresses belong to. An error: too
    /// many wait already, or it took too long.
    pub(super) async fn turn(
        self: &Arc<Self>,
        addresses: &[SocketAddr],
        runtime: &dyn Runtime,
    ) -> Result<Turn, TooMany> {
        // Everybody goes by one order, so that no two wait for each other.
        let wanted: BTreeSet<Destination> = addresses.iter().map(Destination::from).collect();
        let mut place = Place { destinations: Arc::clone(self), taken: Vec::new() };
        let mut turns = Vec::with_capacity(wanted.len());
        for destination in wanted {
            turns.push(place.take(destination)?);
        }
        let permits = async {
            let mut permits = Vec::with_capacity(turns.len());
            for turn in turns {
                permits.push(turn.acquire_owned().await.map_err(|_| self.too_many())?);
            }
            Ok(permits)
        };
        let overdue = runtime.sleep_until(runtime.now().monotonic + self.wait);
        match select(pin!(permits), overdue).await {
            Either::Left((permits, _)) => Ok(Turn { _permits: permits?, _place: place }),
            Either::Right(((), _)) => Err(self.too_many()),
        }
    }

    fn too_many(&self) -> TooMany {
        TooMany { limit: self.running }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Destination, InUse>> {
        // Nothing in a critical section can leave the map half-changed.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn take(&mut self, destination: Destination) -> Result<Arc<Semaphore>, TooMany> {
        let all = &self.destinations;
        let mut in_use = all.lock();
        let there = in_use
            .entry(destination)
            .or_insert_with(|| InUse { turns: Arc::new(Semaphore::new(all.running)), users: 0 });
        if there.users >= all.running.saturating_add(all.waiting) {
            return Err(all.too_many());
        }
        there.users += 1;
        self.taken.push(destination);
        Ok(Arc::clone(&there.turns))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_use = self.destinations.lock();
        for destination in &self.taken {
            if let Some(there) = in_use.get_mut(destination) {
                there.users -= 1;
                if there.users == 0 {
                    in_use.remove(destination);
                }
            }
        }
    }
}
