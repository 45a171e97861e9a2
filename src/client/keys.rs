//! The keys by which requests share pooled connections, attempts to connect, and permits.

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
    /// `None` where a proxy looks the host up.
    pub(super) address: Option<SocketAddr>,
    /// The host and port, where a proxy looks them up.
    by_proxy: Option<(Host, u16)>,
}

impl PoolKey {
    pub(super) fn new(
        target: &DelegationTarget,
        endpoint: Endpoint<'_>,
        address: Option<SocketAddr>,
    ) -> Self {
        let by_proxy = address.is_none().then(|| (endpoint.host().clone(), endpoint.port()));
        Self { name: target.tls_host().clone(), address, by_proxy }
    }

    /// Returns a key for each address of an endpoint.
    pub(super) fn all<'a>(
        target: &'a DelegationTarget,
        endpoint: Endpoint<'a>,
    ) -> impl Iterator<Item = Self> + 'a {
        let named = target.is_left_to_proxy().then(|| Self::new(target, endpoint, None));
        endpoint.addresses().map(move |it| Self::new(target, endpoint, Some(it))).chain(named)
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
