//! What is shared by whom: a pooled connection, an attempt to connect, and a permit.

use std::net::SocketAddr;

use super::connect_error::{ConnectAttempt, has_failed};
use crate::core::endpoint::{Endpoint, StoredEndpoint};
use crate::core::names::Host;
use crate::core::target::DelegationTarget;
use crate::resolver::resolution::Resolution;

/// What connections are shared by: none serves another certificate name, or leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    name: Host,
    /// The address; where a proxy looks hosts up, host and port.
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Address(SocketAddr),
    Named(Host, u16),
}

impl PoolKey {
    pub(super) fn new(
        target: &DelegationTarget,
        endpoint: Endpoint<'_>,
        address: Option<SocketAddr>,
    ) -> Self {
        let named = || Place::Named(endpoint.host().clone(), endpoint.port());
        let place = address.map_or_else(named, Place::Address);
        Self { name: target.tls_host().clone(), place }
    }

    /// Returns a key for each address of an endpoint.
    pub(super) fn all<'a>(
        target: &'a DelegationTarget,
        endpoint: Endpoint<'a>,
    ) -> impl Iterator<Item = Self> + 'a {
        let named = target.is_left_to_proxy().then(|| Self::new(target, endpoint, None));
        endpoint.addresses().map(move |it| Self::new(target, endpoint, Some(it))).chain(named)
    }

    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Address(address) => Some(address),
            Place::Named(..) => None,
        }
    }
}

/// Where a connection is to lead. Whatever it is asked for by, those who want the same make one
/// together, and nobody gets what became of another's older target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    name: Host,
    endpoints: Vec<StoredEndpoint>,
    left_to_proxy: bool,
}

impl Route {
    /// Returns a key to the target without the endpoints at which these attempts failed; `None`
    /// without any.
    pub(super) fn to(found: &Resolution, failed: &[ConnectAttempt]) -> Option<Self> {
        let left = found.endpoints().filter(|it| !has_failed(failed, *it));
        let endpoints: Vec<_> = left.map(Endpoint::to_stored).collect();
        let name = found.tls_host().clone();
        let left_to_proxy = found.is_left_to_proxy();
        (!endpoints.is_empty()).then_some(Self { name, endpoints, left_to_proxy })
    }

    /// Returns whether it leads to this endpoint.
    pub(super) fn contains(&self, endpoint: Endpoint<'_>) -> bool {
        self.endpoints.iter().any(|it| it.view() == endpoint)
    }
}

/// The key of permits for requests: one server, by whatever names it is asked for.
///
/// The certificate name alone is not the key: another name could delegate to another port of that
/// server, where nothing answers, and take its permits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    name: Host,
    endpoints: Vec<(Host, u16)>,
}

impl Server {
    pub(super) fn of(target: &DelegationTarget) -> Self {
        let endpoints = target.endpoints().map(|it| (it.host().clone(), it.port())).collect();
        Self { name: target.tls_host().clone(), endpoints }
    }
}
