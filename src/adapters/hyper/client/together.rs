//! Connections made for several requests at a time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::super::connect::failure::{ConnectAttempt, ConnectError, ConnectPhase};
use super::Inner;
use super::error::RequestError;
use super::link::Link;
use super::pool::{Key, Pool};
use crate::adapters::tokio::TokioRuntime;
use crate::core::host::Host;
use crate::core::target::Endpoint;
use crate::resolver::flights::Joined;
use crate::resolver::resolution::Resolution;

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
        let left = |it: &&Endpoint| !failed.iter().any(|attempt| attempt.is_at(it));
        let endpoints: Vec<Endpoint> = found.endpoints().iter().filter(left).cloned().collect();
        let name = found.tls_host().clone();
        let left_to_proxy = found.is_left_to_proxy();
        (!endpoints.is_empty()).then_some(Self { name, endpoints, left_to_proxy })
    }
}

/// A connection that several wait for.
#[derive(Clone)]
pub(super) struct Made {
    key: Key,
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
    fn new((key, link, failed): (Key, Link, Vec<ConnectAttempt>), pool: &Arc<Pool>) -> Self {
        let (link, pool) = (Mutex::new(Some(link)), Arc::downgrade(pool));
        let link = Arc::new(Unclaimed { key: key.clone(), link, pool });
        Self { key, failed: failed.into(), link }
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
    ) -> Result<(Key, Link), RequestError> {
        let all_failed = |failed: &mut Vec<_>| ConnectError {
            server_name: found.server_name().clone(),
            attempts: std::mem::take(failed),
        };
        let Some(route) = Route::to(found, failed).map(Arc::new) else {
            return Err(all_failed(failed).into());
        };
        let joined = self.connecting.join(
            &route,
            &TokioRuntime::current(),
            || None,
            || (),
            |pilot| {
                let (inner, found) = (Arc::clone(self), found.clone());
                let route = Arc::clone(&route);
                async move {
                    let made = inner.connect(&found, &route).await;
                    pilot.land(made.map(|made| Made::new(made, &inner.pool)));
                }
            },
        );
        let landed = match joined {
            Ok(Joined::Landing(passenger)) => passenger.await,
            Ok(Joined::Known(made)) => Ok(made),
            Err(_) => {
                let limit = self.limits.connecting_waiting;
                return Err(RequestError::TooBusy { limit });
            }
        };
        let own = match landed {
            Ok(Ok(made)) => {
                if let Some(link) = made.link() {
                    failed.extend_from_slice(&made.failed);
                    return Ok((made.key, link));
                }
                self.connect(found, &route).await
            }
            Ok(Err(error)) => {
                // The resolver has heard of it by the name that it was made for.
                if error.server_name != *found.server_name() {
                    self.connector.report(found, &error.attempts);
                }
                Err(error)
            }
            // It broke off: an adapter panicked.
            Err(_) => self.connect(found, &route).await,
        };
        match own {
            Ok((key, link, before)) => {
                failed.extend(before);
                Ok((key, link))
            }
            Err(error) => {
                failed.extend(error.attempts);
                Err(all_failed(failed).into())
            }
        }
    }

    /// Makes one that speaks HTTP. With it come the attempts that failed before it.
    async fn connect(
        &self,
        found: &Resolution,
        route: &Route,
    ) -> Result<(Key, Link, Vec<ConnectAttempt>), ConnectError> {
        let mut failed: Vec<ConnectAttempt> = Vec::new();
        // Nobody ends the turns, so that it cannot fail.
        let _turn = self.dials.acquire().await;
        // Ends: each turn adds an endpoint to those that failed.
        loop {
            let seed = self.connector.next_seed();
            let left = found.attempts(seed).filter(|it| {
                route.endpoints.contains(it) && !failed.iter().any(|attempt| attempt.is_at(it))
            });
            let connection = match self.connector.connect_in(left, found, seed).await {
                Ok(connection) => connection,
                Err(mut error) => {
                    failed.append(&mut error.attempts);
                    return Err(ConnectError { attempts: failed, ..error });
                }
            };
            failed.extend_from_slice(connection.failed_attempts());
            let (endpoint, address) = (connection.endpoint().clone(), connection.address());
            let key = Key::new(found, &endpoint, address);
            let limit = self.connector.limits().tls;
            match Link::over(connection, self.pool.limits(), limit).await {
                Ok(link) => {
                    if let Some(shared) = link.share() {
                        self.pool.add(&key, shared);
                    }
                    return Ok((key, link, failed));
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
        address: Option<std::net::SocketAddr>,
        reason: String,
    ) -> ConnectAttempt {
        let attempt = ConnectAttempt::new(endpoint, address, ConnectPhase::Http, reason);
        self.connector.report(found, std::slice::from_ref(&attempt));
        attempt
    }
}
