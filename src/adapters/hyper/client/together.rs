//! Connections made for several requests at a time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::super::connect::failure::{ConnectAttempt, ConnectError, ConnectPhase, has_failed};
use super::Inner;
use super::error::RequestError;
use super::link::Link;
use super::pool::{Key, Pool};
use crate::adapters::tokio::TokioRuntime;
use crate::core::names::host::Host;
use crate::core::names::server_name::ServerName;
use crate::core::target::{DelegationTarget, Endpoint};
use crate::resolver::resolution::Resolution;
use crate::runtime::single_flight::Joined;

/// Where a connection is to lead. Whatever it is asked for by, those who want the same make one
/// together, and nobody gets what became of another's older target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    name: Host,
    endpoints: Vec<Endpoint>,
    left_to_proxy: bool,
}

impl Route {
    /// To the target, but for the endpoints at which these attempts failed; `None` without any.
    fn to(found: &Resolution, failed: &[ConnectAttempt]) -> Option<Self> {
        let left = |it: &&Endpoint| !has_failed(failed, it);
        let endpoints: Vec<Endpoint> = found.endpoints().iter().filter(left).cloned().collect();
        let name = found.tls_host().clone();
        let left_to_proxy = found.is_left_to_proxy();
        (!endpoints.is_empty()).then_some(Self { name, endpoints, left_to_proxy })
    }
}

/// What takes turns: a server by whatever names it is asked for. Not all that has one certificate
/// name, or whoever delegates to another port of it, where nothing answers, would take its turns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    name: Host,
    places: Vec<(Host, u16)>,
}

impl Server {
    pub(super) fn of(target: &DelegationTarget) -> Self {
        let places = target.endpoints().iter().map(|it| (it.host().clone(), it.port())).collect();
        Self { name: target.tls_host().clone(), places }
    }
}

/// A connection that was made for a request.
pub(super) struct New {
    pub(super) key: Key,
    pub(super) link: Link,
    pub(super) endpoint: Endpoint,
}

/// A connection that several wait for.
#[derive(Clone)]
pub(super) struct Made {
    /// By which name the resolver has heard of the attempts that failed.
    server_name: ServerName,
    endpoint: Endpoint,
    /// The attempts that failed before it.
    failed: Arc<[ConnectAttempt]>,
    link: Arc<Unclaimed>,
}

/// A connection until somebody takes it. Dropped before, it is kept for those who come.
struct Unclaimed {
    key: Key,
    link: Mutex<Option<Link>>,
    pool: Weak<Pool>,
}

impl Made {
    fn new(
        (new, failed): (New, Vec<ConnectAttempt>),
        found: &Resolution,
        pool: &Arc<Pool>,
    ) -> Self {
        let New { key, link, endpoint } = new;
        let link = Unclaimed { key, link: Mutex::new(Some(link)), pool: Arc::downgrade(pool) };
        let server_name = found.server_name().clone();
        Self { server_name, endpoint, failed: failed.into(), link: Arc::new(link) }
    }

    /// Over HTTP/2 all share it, over HTTP/1.1 one gets it.
    fn link(&self) -> Option<Link> {
        let mut link = self.link.link.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = link.as_ref().and_then(Link::share);
        shared.or_else(|| link.take())
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let link = self.link.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Over HTTP/2 it is kept already.
        if let (Some(link), Some(pool)) = (link, self.pool.upgrade())
            && !link.is_http2()
        {
            pool.add(&self.key, link);
        }
    }
}

impl Inner {
    /// Makes a connection, together with all who need the same now. Endpoints at which something
    /// failed before are left out; what fails now is added.
    pub(super) async fn connected(
        self: &Arc<Self>,
        found: &Resolution,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<New, RequestError> {
        let Some(route) = Route::to(found, failed).map(Arc::new) else {
            return Err(ConnectError::after(found.server_name(), failed).into());
        };
        let joined = self.connecting.join(
            &route,
            &TokioRuntime::current(),
            || None,
            || (),
            |leader| {
                let (inner, found) = (Arc::clone(self), found.clone());
                let route = Arc::clone(&route);
                async move {
                    let mut failed = Vec::new();
                    let made = inner.connect(&found, &route, &mut failed).await;
                    let made = made.map(|new| Made::new((new, failed), &found, &inner.pool));
                    leader.finish(made);
                }
            },
        );
        let landed = match joined {
            Ok(Joined::Waiting(waiter)) => waiter.await,
            Ok(Joined::Known(made)) => Ok(made),
            Err(_) => {
                let limit = self.pool.limits().connecting_waiting;
                return Err(RequestError::TooBusy { limit });
            }
        };
        // The resolver has heard of what failed by the name that it was made for.
        let hear = |name: &ServerName, attempts: &[ConnectAttempt]| {
            if name != found.server_name() {
                self.connector.report(found, attempts);
            }
        };
        match landed {
            Ok(Ok(made)) => {
                hear(&made.server_name, &made.failed);
                failed.extend_from_slice(&made.failed);
                if let Some(link) = made.link() {
                    return Ok(New { key: made.link.key.clone(), link, endpoint: made.endpoint });
                }
            }
            Ok(Err(error)) => {
                hear(&error.server_name, &error.attempts);
                failed.extend(error.attempts);
                return Err(ConnectError::after(found.server_name(), failed).into());
            }
            // It broke off: an adapter panicked.
            Err(_) => {}
        }
        Ok(self.connect(found, &route, failed).await?)
    }

    /// Makes one that speaks HTTP, to an endpoint of the route at which nothing has failed yet.
    async fn connect(
        &self,
        found: &Resolution,
        route: &Route,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<New, ConnectError> {
        // Nobody ends the turns, so that it cannot fail.
        let _turn = self.dials.acquire().await;
        let end = self.connector.end();
        // Ends: each turn adds an endpoint to those that failed.
        loop {
            let seed = self.connector.next_seed();
            let left = found
                .attempts(seed)
                .filter(|it| route.endpoints.contains(it) && !has_failed(failed, it));
            let connection = match self.connector.connect_in(left, found, seed, end).await {
                Ok(connection) => connection,
                Err(error) => {
                    failed.extend(error.attempts);
                    return Err(ConnectError::after(found.server_name(), failed));
                }
            };
            let before = connection.failed_attempts().to_vec();
            let (endpoint, address) = (connection.endpoint().clone(), connection.address());
            let key = Key::new(found, &endpoint, address);
            let limit = self.connector.limits().tls;
            let linked = Link::over(connection, self.pool.limits(), limit).await;
            failed.extend(before);
            match linked {
                Ok(link) => {
                    if let Some(shared) = link.share() {
                        self.pool.add(&key, shared);
                    }
                    return Ok(New { key, link, endpoint });
                }
                Err(reason) => failed.push(self.no_http(found, &endpoint, address, reason)),
            }
        }
    }

    /// What is said of a connection over which no request could be sent.
    pub(super) fn no_http(
        &self,
        found: &Resolution,
        endpoint: &Endpoint,
        address: Option<SocketAddr>,
        reason: String,
    ) -> ConnectAttempt {
        let attempt = ConnectAttempt::new(endpoint, address, ConnectPhase::Http, reason);
        self.connector.report(found, std::slice::from_ref(&attempt));
        attempt
    }
}
