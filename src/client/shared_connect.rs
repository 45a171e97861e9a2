//! Connections for requests: one that is kept, or one that is made for all who need the same.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

use super::connect_error::{ConnectAttempt, ConnectError, ConnectPhase, has_failed};
use super::connector::Connector;
use super::http_connection::HttpConnection;
use super::keys::{PoolKey, Route};
use super::limits::ClientLimits;
use super::pool::Pool;
use super::request_error::RequestError;
use crate::adapters::tokio::TokioRuntime;
use crate::core::endpoint::{Endpoint, StoredEndpoint};
use crate::core::names::ServerName;
use crate::resolver::resolution::Resolution;
use crate::runtime::single_flight::{Abandoned, SingleFlight};
use crate::transport::ConnectFailureKind;

/// Makes connections that requests share, and keeps them.
pub(super) struct SharedConnect {
    connector: Connector,
    pool: Arc<Pool>,
    in_flight: Arc<SingleFlight<Arc<Route>, Result<SharedConnection, ConnectError>>>,
    /// Permits to connect.
    permits: Semaphore,
}

/// A connection that was made for a request.
pub(super) struct NewConnection {
    pub(super) key: PoolKey,
    pub(super) connection: HttpConnection,
    pub(super) endpoint: StoredEndpoint,
}

/// A connection that several requests wait for.
#[derive(Clone)]
struct SharedConnection {
    /// By which name the resolver has heard of the attempts that failed.
    server_name: ServerName,
    endpoint: StoredEndpoint,
    /// The attempts that failed before it.
    failed: Arc<[ConnectAttempt]>,
    unclaimed: Arc<UnclaimedConnection>,
}

/// A connection until somebody takes it. Dropped before, it is kept for those who come.
struct UnclaimedConnection {
    key: PoolKey,
    connection: Mutex<Option<HttpConnection>>,
    pool: Weak<Pool>,
}

impl SharedConnection {
    fn new(
        new: NewConnection,
        failed: Vec<ConnectAttempt>,
        found: &Resolution,
        pool: &Arc<Pool>,
    ) -> Self {
        let NewConnection { key, connection, endpoint } = new;
        let connection = Mutex::new(Some(connection));
        let unclaimed = UnclaimedConnection { key, connection, pool: Arc::downgrade(pool) };
        let server_name = found.server_name().clone();
        Self { server_name, endpoint, failed: failed.into(), unclaimed: Arc::new(unclaimed) }
    }

    /// Takes the connection, which all share over HTTP/2 and one gets over HTTP/1.1.
    fn claim(&self) -> Option<HttpConnection> {
        let connection = &self.unclaimed.connection;
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = connection.as_ref().and_then(HttpConnection::share);
        shared.or_else(|| connection.take())
    }
}

impl Drop for UnclaimedConnection {
    fn drop(&mut self) {
        let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Over HTTP/2 it is kept already.
        if let (Some(connection), Some(pool)) = (connection, self.pool.upgrade())
            && !connection.is_http2()
        {
            pool.add(&self.key, connection);
        }
    }
}

impl SharedConnect {
    pub(super) fn new(connector: Connector, limits: ClientLimits) -> Self {
        let at_a_time = limits.connecting.min(Semaphore::MAX_PERMITS);
        // With no permit to be had, there is nothing to wait for.
        let waiting = if at_a_time == 0 { 0 } else { limits.connecting_waiting };
        let most = at_a_time.saturating_add(waiting);
        let in_flight = Arc::new(SingleFlight::new(most, Abandoned::Finish));
        let (pool, permits) = (Arc::new(Pool::new(limits)), Semaphore::new(at_a_time));
        Self { connector, pool, in_flight, permits }
    }

    pub(super) const fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(super) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes a connection that is kept: to one of the target's addresses, but to none of the
    /// endpoints at which these attempts failed.
    pub(super) fn kept(
        &self,
        found: &Resolution,
        failed: &[ConnectAttempt],
    ) -> Option<(PoolKey, HttpConnection)> {
        let endpoints = found.attempts(self.connector.next_seed());
        let endpoints = endpoints.filter(|it| !has_failed(failed, *it));
        let mut keys = endpoints.flat_map(|endpoint| PoolKey::all(found, endpoint));
        keys.find_map(|key| self.pool.take(&key).map(|connection| (key, connection)))
    }

    /// Makes a connection, together with all who need the same now. Endpoints at which something
    /// failed before are left out; what fails now is added.
    pub(super) async fn connect(
        self: &Arc<Self>,
        found: &Resolution,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<NewConnection, RequestError> {
        let Some(route) = Route::to(found, failed).map(Arc::new) else {
            return Err(ConnectError::after(found.server_name(), failed).into());
        };
        let joined = self.in_flight.join(
            &route,
            &TokioRuntime::current(),
            || None,
            || (),
            || {
                let (this, found) = (Arc::clone(self), found.clone());
                let route = Arc::clone(&route);
                async move {
                    let mut failed = Vec::new();
                    let made = this.connect_alone(&found, &route, &mut failed).await;
                    made.map(|new| SharedConnection::new(new, failed, &found, &this.pool))
                }
            },
        );
        let Ok(joined) = joined else {
            let limit = self.pool.limits().connecting_waiting;
            return Err(RequestError::TooBusy { limit });
        };
        // The resolver has heard of what failed by the name that it was made for.
        let report = |name: &ServerName, attempts: &[ConnectAttempt]| {
            if name != found.server_name() {
                self.connector.report(found, attempts);
            }
        };
        match joined.value().await {
            Ok(Ok(shared)) => {
                report(&shared.server_name, &shared.failed);
                failed.extend_from_slice(&shared.failed);
                if let Some(connection) = shared.claim() {
                    let (key, endpoint) = (shared.unclaimed.key.clone(), shared.endpoint);
                    return Ok(NewConnection { key, connection, endpoint });
                }
            }
            Ok(Err(error)) => {
                report(&error.server_name, &error.attempts);
                failed.extend(error.attempts);
                return Err(ConnectError::after(found.server_name(), failed).into());
            }
            // It broke off: an adapter panicked.
            Err(_) => {}
        }
        Ok(self.connect_alone(found, &route, failed).await?)
    }

    /// Makes a connection that speaks HTTP, to an endpoint of the route at which nothing has failed
    /// yet.
    async fn connect_alone(
        &self,
        found: &Resolution,
        route: &Route,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<NewConnection, ConnectError> {
        // Nobody closes the semaphore, so that it cannot fail.
        let _permit = self.permits.acquire().await;
        let opening = self.connector.opening();
        // Ends: each turn adds an endpoint to those that failed.
        loop {
            let seed = self.connector.next_seed();
            let left =
                found.attempts(seed).filter(|it| route.contains(*it) && !has_failed(failed, *it));
            let connection = match self.connector.connect_in(left, found, seed, &opening).await {
                Ok(connection) => connection,
                Err(error) => {
                    failed.extend(error.attempts);
                    return Err(ConnectError::after(found.server_name(), failed));
                }
            };
            let before = connection.failed_attempts().to_vec();
            let (endpoint, address) = (connection.endpoint().to_stored(), connection.address());
            let key = PoolKey::new(found, endpoint.view(), address);
            let limit = opening.limits().tls;
            let begun = HttpConnection::over(connection, self.pool.limits(), limit).await;
            failed.extend(before);
            match begun {
                Ok(connection) => {
                    if let Some(shared) = connection.share() {
                        self.pool.add(&key, shared);
                    }
                    return Ok(NewConnection { key, connection, endpoint });
                }
                Err(reason) => failed.push(self.no_http(found, endpoint.view(), address, reason)),
            }
        }
    }

    /// Reports a connection over which no request could be sent, and returns it as an attempt.
    pub(super) fn no_http(
        &self,
        found: &Resolution,
        endpoint: Endpoint<'_>,
        address: Option<SocketAddr>,
        reason: String,
    ) -> ConnectAttempt {
        let (phase, kind) = (ConnectPhase::Http, ConnectFailureKind::Http);
        let attempt = ConnectAttempt::new(endpoint, address, phase, kind, reason);
        self.connector.report(found, std::slice::from_ref(&attempt));
        attempt
    }
}
