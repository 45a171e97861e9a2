//! Limits the fetches to one destination at a time, so that one host behind many names is not
//! flooded and does not take the permits of all others.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::config::QueueLimits;
use crate::runtime::permits::{KeyedPermits, Permit};
use crate::runtime::single_flight::TooMany;
use crate::runtime::{Runtime, within};

/// Returns the destination of an address: an IPv4 address, or a /64 network of IPv6, since one host
/// commonly has all addresses of such a network.
pub(super) fn destination(address: &SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

pub(super) struct Destinations {
    permits: Arc<KeyedPermits<IpAddr>>,
    wait: Duration,
}

/// Permits for some destinations.
#[derive(Debug)]
pub(super) struct DestinationPermits(Vec<Permit<IpAddr>>);

impl DestinationPermits {
    /// Returns whether there is a permit for the destination of this address.
    pub(super) fn allow(&self, address: &SocketAddr) -> bool {
        let destination = destination(address);
        self.0.iter().any(|permit| *permit.at() == destination)
    }
}

impl Destinations {
    pub(super) fn new(limits: &QueueLimits) -> Self {
        let permits = KeyedPermits::new(limits.per_destination, limits.per_destination_waiting);
        Self { permits: Arc::new(permits), wait: limits.per_destination_wait }
    }

    /// Takes a permit at each destination of these addresses, as long as at most half of the
    /// permits of each are taken. Otherwise waits for one permit, at the destination with the
    /// fewest users.
    ///
    /// A name that lists other hosts' addresses beside a silent one of its own therefore takes at
    /// most half of their permits, and nobody holds a permit while waiting for another. Fails if
    /// too many wait already, or if the wait takes too long.
    pub(super) async fn permits(
        &self,
        addresses: &[SocketAddr],
        runtime: &dyn Runtime,
    ) -> Result<DestinationPermits, TooMany> {
        let wanted: BTreeSet<IpAddr> = addresses.iter().map(destination).collect();
        if wanted.is_empty() {
            return Ok(DestinationPermits(Vec::new()));
        }
        let half = self.permits.running().div_ceil(2);
        if wanted.len() == 1 || wanted.iter().all(|at| self.permits.users(at) < half) {
            let reservations = wanted.iter().filter_map(|at| self.permits.reserve(*at));
            let permits: Vec<_> = reservations.filter_map(|it| it.try_permit().ok()).collect();
            if !permits.is_empty() {
                return Ok(DestinationPermits(permits));
            }
        }
        let too_many = || TooMany { limit: self.permits.running() };
        let least = wanted.into_iter().min_by_key(|at| self.permits.users(at));
        let reservation = least.and_then(|at| self.permits.reserve(at)).ok_or_else(too_many)?;
        let permit = within(runtime, self.wait, reservation.permit()).await.flatten();
        permit.map(|permit| DestinationPermits(vec![permit])).ok_or_else(too_many)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::testing::VirtualTime;

    fn destinations(running: usize, waiting: usize) -> Destinations {
        let limits = QueueLimits {
            per_destination: running,
            per_destination_waiting: waiting,
            ..QueueLimits::default()
        };
        Destinations::new(&limits)
    }

    fn addresses(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 443)).collect()
    }

    #[test]
    fn an_ipv4_address_is_one_and_so_is_a_network_of_64_bits() {
        let (all, time) = (destinations(1, 0), VirtualTime::new());
        let permits = |of: &[&str]| all.permits(&addresses(of), &time).now_or_never().unwrap();
        let held = permits(&["192.0.2.1", "2001:db8:0:1::1", "2001:db8:0:1::2"]).unwrap();
        assert_eq!(held.0.len(), 2);
        assert!(permits(&["192.0.2.2"]).is_ok());
        assert!(permits(&["2001:db8:0:2::1"]).is_ok());
        assert!(permits(&["192.0.2.1"]).is_err_and(|error| error.limit == 1));
        assert!(permits(&["::ffff:192.0.2.1"]).is_err());
        assert!(permits(&["192.0.2.1", "2001:db8:0:1::3"]).is_err());
        assert_eq!(all.permits.len(), 2);
        drop(held);
        assert!(permits(&["192.0.2.1"]).is_ok());
        assert_eq!(all.permits.len(), 0);
    }

    #[test]
    fn whoever_lists_addresses_of_others_takes_half_of_their_permits_at_most() {
        let (all, time) = (destinations(4, 100), VirtualTime::new());
        let permits = |of: &[&str]| all.permits(&addresses(of), &time).now_or_never();
        let (silent, victim) = ("192.0.2.66", "192.0.2.1");
        let [_, at_victim] = addresses(&[silent, victim])[..] else { panic!() };
        let mut held: Vec<DestinationPermits> =
            (0..4).map(|_| permits(&[silent, victim]).unwrap().unwrap()).collect();
        let taken = held.iter().filter(|permits| permits.allow(&at_victim)).count();
        assert_eq!((taken, held[2].0.len()), (3, 1));
        held.pop();
        // The one who has it is alone there, and done as soon as it answers.
        assert!(permits(&[victim]).unwrap().is_ok());
        let both = permits(&[victim, silent]).unwrap().unwrap();
        assert_eq!(both.0.len(), 1);
    }

    #[test]
    fn with_no_room_it_waits_at_the_one_with_fewest_users() {
        let (all, time) = (destinations(1, 1), VirtualTime::new());
        let there = addresses(&["192.0.2.1", "192.0.2.2"]);
        let one = all.permits(&there[..1], &time).now_or_never().unwrap().unwrap();
        let other = all.permits(&there[1..], &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.permits(&there, &time));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(all.permits(&there, &time));
        assert!((&mut third).now_or_never().is_none());
        assert!(all.permits(&there, &time).now_or_never().unwrap().is_err());
        drop((one, other));
        let [second, third] = [second, third].map(|it| it.now_or_never().unwrap().unwrap());
        assert_eq!((second.0.len(), third.0.len()), (1, 1));
        assert_ne!(second.allow(&there[0]), third.allow(&there[0]));
    }

    #[test]
    fn those_who_wait_are_served_in_order_and_not_for_ever() {
        let (all, time) = (destinations(1, 2), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        let held = all.permits(&there, &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.permits(&there, &time));
        let mut third = Box::pin(all.permits(&there, &time));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(all.permits(&there, &time).now_or_never().unwrap().is_err());
        drop(held);
        assert!((&mut third).now_or_never().is_none());
        let second = (&mut second).now_or_never().unwrap().unwrap();
        time.advance(Duration::from_secs(5));
        assert!((&mut third).now_or_never().unwrap().is_err());
        drop((second, third));
        assert_eq!(all.permits.len(), 0);
    }

    #[test]
    fn with_a_limit_of_none_there_is_none() {
        let (all, time) = (destinations(0, 0), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        assert!(all.permits(&there, &time).now_or_never().unwrap().is_err());
        assert_eq!(all.permits.len(), 0);
        // Where a proxy is to look the host up, there is no address to count.
        assert!(all.permits(&[], &time).now_or_never().unwrap().is_ok());
    }

    #[test]
    fn one_who_goes_away_gives_up_its_reservation() {
        let (all, time) = (destinations(1, 1), VirtualTime::new());
        let there = addresses(&["192.0.2.1"]);
        let held = all.permits(&there, &time).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(all.permits(&there, &time));
        assert!((&mut second).now_or_never().is_none());
        drop(second);
        assert!(all.permits(&there, &time).now_or_never().is_none());
        drop(held);
        assert!(all.permits(&there, &time).now_or_never().unwrap().is_ok());
        assert_eq!(all.permits.len(), 0);
    }
}
