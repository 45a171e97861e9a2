//! The endpoints of a target: where to connect, and in which order to try them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::core::dns::WeightedOrder;
use crate::core::few::Few;
use crate::core::names::Host;

/// Where an endpoint comes from. The name below is the one that is delegated to, or without
/// delegation the server name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The host of the name is an IP literal.
    Literal,
    /// The name has a port.
    ExplicitPort,
    /// An SRV record states host and port.
    Srv,
    /// Nothing states a port, so that it is the default, 8448.
    DefaultPort,
    /// A rule of the application sets it: see [`FixedTarget`](crate::FixedTarget).
    Fixed,
}

/// An endpoint as a target stores it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct StoredEndpoint {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) origin: Origin,
    pub(crate) addresses: Few<IpAddr>,
}

impl StoredEndpoint {
    pub(crate) const fn view(&self) -> Endpoint<'_> {
        Endpoint(self)
    }
}

/// A host and port to connect to, with the host's addresses: a view of a part of a
/// [`DelegationTarget`](crate::DelegationTarget).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint<'a>(&'a StoredEndpoint);

impl<'a> Endpoint<'a> {
    /// Returns the host, for people and for proxies. Take `Host` and the certificate name from the
    /// target instead.
    pub const fn host(self) -> &'a Host {
        &self.0.host
    }

    /// Returns the port.
    pub const fn port(self) -> u16 {
        self.0.port
    }

    /// Returns the SRV priority; 0 without SRV.
    pub const fn priority(self) -> u16 {
        self.0.priority
    }

    /// Returns the SRV weight; 0 without SRV.
    pub const fn weight(self) -> u16 {
        self.0.weight
    }

    /// Returns where the endpoint comes from.
    pub const fn origin(self) -> Origin {
        self.0.origin
    }

    /// Returns the addresses with the port. IPv4 and IPv6 alternate in the order that
    /// [`FamilyOrder`] says. Empty only where look-ups are left to a proxy.
    ///
    /// The order does not depend on the order in which DNS answered. The address policy has allowed
    /// each address, except those of a [`FixedTarget`](crate::FixedTarget).
    ///
    /// [`FamilyOrder`]: crate::config::FamilyOrder
    pub fn addresses(self) -> impl Iterator<Item = SocketAddr> + 'a {
        let port = self.0.port;
        interleaved(self.0.addresses.as_slice()).map(move |address| SocketAddr::new(address, port))
    }

    /// Copies the endpoint, so that it outlives the target.
    #[cfg(feature = "client")]
    pub(crate) fn to_stored(self) -> StoredEndpoint {
        self.0.clone()
    }
}

impl fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoredEndpoint { host, port, priority, weight, origin, addresses } = self.0;
        f.debug_struct("Endpoint")
            .field("host", host)
            .field("port", port)
            .field("priority", priority)
            .field("weight", weight)
            .field("origin", origin)
            .field("addresses", &addresses.as_slice())
            .finish()
    }
}

/// Returns the addresses with IPv4 and IPv6 alternating, beginning with the family of the first
/// address. Within a family, their order is kept.
pub(crate) fn interleaved(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> + '_ {
    let mut v4 = addresses.iter().copied().filter(IpAddr::is_ipv4);
    let mut v6 = addresses.iter().copied().filter(IpAddr::is_ipv6);
    let mut v4_is_next = addresses.first().is_some_and(IpAddr::is_ipv6);
    std::iter::from_fn(move || {
        v4_is_next = !v4_is_next;
        if v4_is_next { v4.next().or_else(|| v6.next()) } else { v6.next().or_else(|| v4.next()) }
    })
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())
    }
}

/// The endpoints of a target in an order to try them, from
/// [`DelegationTarget::attempts`](crate::DelegationTarget::attempts).
#[derive(Clone, Debug)]
pub struct Attempts<'a> {
    pub(super) endpoints: &'a [StoredEndpoint],
    pub(super) order: WeightedOrder,
    /// The endpoints that come after all others, as a bit mask of their indices.
    pub(super) last: u64,
}

impl<'a> Iterator for Attempts<'a> {
    type Item = Endpoint<'a>;

    fn next(&mut self) -> Option<Endpoint<'a>> {
        let (endpoints, last) = (self.endpoints, self.last);
        let next = self.order.next(|index| {
            let (priority, weight) =
                endpoints.get(index).map_or((u16::MAX, 0), |it| (it.priority, it.weight));
            ((last & (1 << index) != 0, priority), weight)
        })?;
        endpoints.get(next).map(StoredEndpoint::view)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.order.remaining(), Some(self.order.remaining()))
    }
}

impl ExactSizeIterator for Attempts<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_from_that_of_the_first_address_on() {
        for (addresses, order) in [
            ("10.0.0.1 10.0.0.2 ::1 ::2 ::3", "10.0.0.1 ::1 10.0.0.2 ::2 ::3"),
            ("::1 ::2 ::3 10.0.0.1 10.0.0.2", "::1 10.0.0.1 ::2 10.0.0.2 ::3"),
            ("10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"),
            ("::1 ::2", "::1 ::2"),
            ("", ""),
        ] {
            let parsed = |text: &str| -> Vec<IpAddr> {
                text.split_whitespace().map(|it| it.parse().unwrap()).collect()
            };
            assert_eq!(interleaved(&parsed(addresses)).collect::<Vec<_>>(), parsed(order));
        }
    }
}
