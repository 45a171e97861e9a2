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

/// A place at one destination, to wait in or with a turn. Dropped, it is free again.
#[derive(Debug)]
struct Place {
    destinations: Arc<Destinations>,
    at: Destination,
}

/// A turn at one destination.
#[derive(Debug)]
struct Turn {
    _permit: OwnedSemaphorePermit,
    /// Dropped after the permit: the last to leave takes the semaphore along.
    place: Place,
}

/// Turns at some destinations.
#[derive(Debug)]
pub(super) struct Turns(Vec<Turn>);

impl Turns {
    /// Whether there is a turn at the destination of this address.
    pub(super) fn allow(&self, address: &SocketAddr) -> bool {
        let destination = Destination::from(address);
        self.0.iter().any(|turn| turn.place.at == destination)
    }
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

    /// Takes a turn at each of the destinations of these addresses, as long as all of them are at
    /// most half taken; else one turn, at the one with the fewest users, and waits for that. So
    /// whoever lists addresses of others beside a silent one of his own takes no more than half of
    /// their turns along, and nobody holds one turn while waiting for another. An error: too many
    /// wait already, or it took too long.
    pub(super) async fn turns(
        self: &Arc<Self>,
        addresses: &[SocketAddr],
        runtime: &dyn Runtime,
    ) -> Result<Turns, TooMany> {
        let wanted: BTreeSet<Destination> = addresses.iter().map(Destination::from).collect();
        if wanted.is_empty() {
            return Ok(Turns(Vec::new()));
        }
        if wanted.len() == 1 || wanted.iter().all(|at| self.users(*at) < self.running.div_ceil(2)) {
            let turns: Vec<Turn> = wanted.iter().filter_map(|at| self.turn_at_once(*at)).collect();
            if !turns.is_empty() {
                return Ok(Turns(turns));
            }
        }
        let least = wanted.into_iter().min_by_key(|at| self.users(*at));
        let (place, semaphore) =
            least.and_then(|at| self.place(at)).ok_or_else(|| self.too_many())?;
        let overdue = runtime.sleep_until(runtime.now().monotonic + self.wait);
        match select(pin!(semaphore.acquire_owned()), overdue).await {
            Either::Left((Ok(permit), _)) => Ok(Turns(vec![Turn { _permit: permit, place }])),
            _ => Err(self.too_many()),
        }
    }

    fn turn_at_once(self: &Arc<Self>, at: Destination) -> Option<Turn> {
        let (place, semaphore) = self.place(at)?;
        let permit = semaphore.try_acquire_owned().ok()?;
        Some(Turn { _permit: permit, place })
    }

    fn users(&self, at: Destination) -> usize {
        self.lock().get(&at).map_or(0, |there| there.users)
    }

    /// A place at a destination, if it has one left.
    fn place(self: &Arc<Self>, at: Destination) -> Option<(Place, Arc<Semaphore>)> {
        let mut in_use = self.lock();
        let there = in_use
            .entry(at)
            .or_insert_with(|| InUse { turns: Arc::new(Semaphore::new(self.running)), users: 0 });
        if there.users >= self.running.saturating_add(self.waiting) {
            // With a limit of 0 it was made just now.
            if there.users == 0 {
                in_use.remove(&at);
            }
            return None;
        }
        there.users += 1;
        let semaphore = Arc::clone(&there.turns);
        Some((Place { destinations: Arc::clone(self), at }, semaphore))
    }

    fn too_many(&self) -> TooMany {
        TooMany { limit: self.running }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Destination, InUse>> {
        // Nothing in a critical section can leave the map half-changed.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_use = self.destinations.lock();
        if let Some(there) = in_use.get_mut(&self.at) {
            there.users -= 1;
            if there.users == 0 {
                in_use.remove(&self.at);
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
        let turn = |of: &[&str]| all.turns(&addresses(of), &time).now_or_never().unwrap();
        let held = turn(&["192.0.2.1", "2001:db8:0:1::1", "2001:db8:0:1::2"]).unwrap();
        assert_eq!(held.0.len(), 2);
        assert!(turn(&["192.0.2.2"]).is_ok());
        assert!(turn(&["2001:db8:0:2::1"]).is_ok());
        assert!(turn(&["192.0.2.1"]).is_err_and(|error| error.limit == 1));
        assert!(turn(&["::ffff:192.0.2.1"]).is_err());
        assert!(turn(&["192.0.2.1", "2001:db8:0:1::3"]).is_err());
        assert_eq!(all.lock().len(), 2);
        drop(held);
        assert!(turn(&["192.0.2.1"]).is_ok());
        assert!(all.lock().is_empty());
    }

    #[test]
    fn whoever_lists_addresses_of_others_takes_half_of_their_turns_at_most() {
        let (all, time) = (destinations(4, 100), VirtualTime::new());
        let turn = |of: &[&str]| all.turns(&addresses(of), &time).now_or_never();
        let (silent, victim) = ("192.0.2.66", "192.0.2.1");
        let [_, at_victim] = addresses(&[silent, victim])[..] else { panic!() };
        let mut held: Vec<Turns> =
            (0..4).map(|_| turn(&[silent, victim]).unwrap().unwrap()).collect();
        let taken = held.iter().filter(|turns| turns.allow(&at_victim)).count();
        assert_eq!((taken, held[2].0.len()), (3, 1));
        held.pop();
        // The one who has it is alone there, and done as soon as it answers.
        assert!(turn(&[victim]).unwrap().is_ok());
        let both = turn(&[victim, silent]).unwrap().unwrap();
        assert_eq!(both.0.len(), 1);
    }

    #[test]
    fn with_no_room_it_waits_at_the_one_with_fewest_users() {
        let (all, time) = (destinations(1, 1), VirtualTime::new());
        let there = addresses(&["192.0.2.1", "192.0.2.2"]);
        let one = all.turns(&there[..1], &time).now_or_never().unwrap().unwrap();
        let other = all.turns(&there[1..], &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.turns(&there, &time));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(all.turns(&there, &time));
        assert!((&mut third).now_or_never().is_none());
        assert!(all.turns(&there, &time).now_or_never().unwrap().is_err());
        drop((one, other));
        let [second, third] = [second, third].map(|it| it.now_or_never().unwrap().unwrap());
        assert_eq!((second.0.len(), third.0.len()), (1, 1));
        assert_ne!(second.allow(&there[0]), third.allow(&there[0]));
    }

    #[test]
    fn those_who_wait_are_served_in_turn_and_not_for_ever() {
        let (all, time) = (destinations(1, 2), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        let held = all.turns(&there, &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.turns(&there, &time));
        let mut third = Box::pin(all.turns(&there, &time));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(all.turns(&there, &time).now_or_never().unwrap().is_err());
        drop(held);
        assert!((&mut third).now_or_never().is_none());
        let second = (&mut second).now_or_never().unwrap().unwrap();
        time.advance(Duration::from_secs(5));
        assert!((&mut third).now_or_never().unwrap().is_err());
        drop((second, third));
        assert!(all.lock().is_empty());
    }

    #[test]
    fn with_a_limit_of_none_there_is_none() {
        let (all, time) = (destinations(0, 0), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        assert!(all.turns(&there, &time).now_or_never().unwrap().is_err());
        assert!(all.lock().is_empty());
        // Where a proxy is to look the host up, there is no address to count.
        assert!(all.turns(&[], &time).now_or_never().unwrap().is_ok());
    }

    #[test]
    fn one_who_goes_away_leaves_the_place() {
        let (all, time) = (destinations(1, 1), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        let held = all.turns(&there, &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.turns(&there, &time));
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        assert!(all.turns(&there, &time).now_or_never().is_none());
        drop(held);
        assert!(all.turns(&there, &time).now_or_never().unwrap().is_ok());
        assert!(all.lock().is_empty());
    }
}
