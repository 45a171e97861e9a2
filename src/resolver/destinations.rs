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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::testing::VirtualTime;

    fn destinations(running: usize, waiting: usize) -> Arc<Destinations> {
        let mut config = Config::default();
        config.memory.per_destination = running;
        config.memory.per_destination_waiting = waiting;
        Arc::new(Destinations::new(&config))
    }

    fn addresses(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 443)).collect()
    }

    #[test]
    fn an_ipv4_address_is_one_and_so_is_a_network_of_64_bits() {
        let (all, time) = (destinations(1, 0), VirtualTime::new());
        let turn = |of: &[&str]| all.turn(&addresses(of), &time).now_or_never().unwrap();
        let held = turn(&["192.0.2.1", "2001:db8:0:1::1", "2001:db8:0:1::2"]).unwrap();
        assert!(turn(&["192.0.2.2"]).is_ok());
        assert!(turn(&["2001:db8:0:2::1"]).is_ok());
        assert!(turn(&["192.0.2.1"]).is_err_and(|error| error.limit == 1));
        assert!(turn(&["::ffff:192.0.2.1"]).is_err());
        assert!(turn(&["192.0.2.3", "2001:db8:0:1::3"]).is_err());
        // What was taken on the way to a refusal is free again.
        assert!(turn(&["192.0.2.3"]).is_ok());
        assert_eq!(all.lock().len(), 2);
        drop(held);
        assert!(turn(&["192.0.2.1"]).is_ok());
        assert!(all.lock().is_empty());
    }

    #[test]
    fn those_who_wait_are_served_in_turn_and_not_for_ever() {
        let (all, time) = (destinations(1, 2), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        let held = all.turn(&there, &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.turn(&there, &time));
        let mut third = Box::pin(all.turn(&there, &time));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(all.turn(&there, &time).now_or_never().unwrap().is_err());
        drop(held);
        assert!((&mut third).now_or_never().is_none());
        let second = (&mut second).now_or_never().unwrap().unwrap();
        time.advance(Duration::from_secs(5));
        assert!((&mut third).now_or_never().unwrap().is_err());
        drop((second, third));
        assert!(all.lock().is_empty());
    }

    #[test]
    fn one_who_goes_away_leaves_the_place() {
        let (all, time) = (destinations(1, 1), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        let held = all.turn(&there, &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.turn(&there, &time));
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        assert!(all.turn(&there, &time).now_or_never().is_none());
        drop(held);
        assert!(all.turn(&there, &time).now_or_never().unwrap().is_ok());
        assert!(all.lock().is_empty());
    }
}
