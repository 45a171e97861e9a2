//! Connections for requests: a kept one, or a new one for all requests that need the same.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::connect_error::{ConnectAttempt, ConnectError, ConnectPhase, has_failed};
use super::connector::Connector;
use super::http_connection::HttpConnection;
use super::keys::{PoolKey, Route};
use super::limits::ClientConfig;
use super::pool::Pool;
use super::request_error::RequestError;
use crate::adapters::tokio::TokioRuntime;
use crate::core::endpoint::Endpoint;
use crate::core::names::ServerName;
use crate::resolver::resolution::Resolution;
use crate::runtime::lanes::{CalledBack, Lane, Lanes, Limits};
use crate::runtime::single_flight::{Abandoned, SingleFlight};
use crate::transport::ConnectFailureKind;

/// Makes connections that requests share, and keeps them.
pub(super) struct SharedConnect {
    pub(super) connector: Connector,
    pub(super) pool: Arc<Pool>,
    in_flight: Arc<SingleFlight<Arc<Route>, ConnectResult>>,
    /// Permits to connect.
    lanes: Arc<Lanes>,
}

/// How long each may connect although others wait for a permit.
const GRACE: Duration = Duration::from_secs(5);

/// HTTP could not be started, or the connection ended before a request could be sent.
pub(super) const NO_HTTP: (ConnectPhase, ConnectFailureKind) =
    (ConnectPhase::Http, ConnectFailureKind::Http);

/// The server refused the handshake after the client took it for done.
pub(super) const REFUSED: (ConnectPhase, ConnectFailureKind) =
    (ConnectPhase::Tls, ConnectFailureKind::TlsAlert);

type ConnectResult = Result<Arc<SharedConnection>, ConnectError>;

/// A connection that several requests wait for. If none of them takes it, it is kept for those who
/// come.
struct SharedConnection {
    /// By which name the resolver has heard of the attempts that failed.
    server_name: ServerName,
    /// The attempts that failed before it.
    failed: Vec<ConnectAttempt>,
    connection: Mutex<Option<HttpConnection>>,
    pool: Weak<Pool>,
}

impl SharedConnection {
    /// Takes the connection, which all share over HTTP/2 and one gets over HTTP/1.1.
    fn claim(&self) -> Option<HttpConnection> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = connection.as_ref().and_then(HttpConnection::share);
        shared.or_else(|| connection.take())
    }
}

impl Drop for SharedConnection {
    fn drop(&mut self) {
        let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Over HTTP/2 it is kept already.
        if let (Some(connection), Some(pool)) = (connection, self.pool.upgrade())
            && !connection.is_http2()
        {
            pool.add(connection);
        }
    }
}

impl SharedConnect {
    pub(super) fn new(connector: Connector, limits: &ClientConfig) -> Self {
        let (quick, slow) = (limits.connecting, limits.connecting_slow);
        let (both, waiting) = (quick.saturating_add(slow), limits.connecting_waiting);
        let in_flight = SingleFlight::new(both.saturating_add(waiting), Abandoned::Finish);
        let lanes = Lanes::new(Limits { quick, slow, both, waiting, grace: GRACE });
        let (pool, in_flight, lanes) =
            (Arc::new(Pool::new(limits)), Arc::new(in_flight), Arc::new(lanes));
        Self { connector, pool, in_flight, lanes }
    }

    /// Takes a connection that is kept: to one of the target's addresses, but to none of the
    /// endpoints at which these attempts failed.
    pub(super) fn kept(
        &self,
        found: &Resolution,
        failed: &[ConnectAttempt],
    ) -> Option<HttpConnection> {
        let endpoints = found.attempts(self.connector.next_seed());
        let endpoints = endpoints.filter(|it| !has_failed(failed, *it));
        let mut keys = endpoints.flat_map(|endpoint| PoolKey::all(found, endpoint));
        keys.find_map(|key| self.pool.take(&key))
    }

    /// Makes a connection, together with all who need the same now. Endpoints at which something
    /// failed before are left out; what fails now is added.
    pub(super) async fn connect(
        self: &Arc<Self>,
        found: &Resolution,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<HttpConnection, RequestError> {
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
                    let made = this.connect_alone(&found, &route, true, &mut failed).await;
                    made.map(|connection| {
                        Arc::new(SharedConnection {
                            server_name: found.server_name().clone(),
                            failed,
                            connection: Mutex::new(Some(connection)),
                            pool: Arc::downgrade(&this.pool),
                        })
                    })
                }
            },
        );
        let Ok(joined) = joined else {
            return Err(RequestError::TooBusy { limit: self.pool.limits.connecting_waiting });
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
                    return Ok(connection);
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
        Ok(self.connect_alone(found, &route, true, failed).await?)
    }

    /// Makes a connection for one request alone. Endpoints at which something failed before are left
    /// out; what fails now is added.
    pub(super) async fn connect_apart(
        &self,
        found: &Resolution,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<HttpConnection, RequestError> {
        match Route::to(found, failed) {
            Some(route) => Ok(self.connect_alone(found, &route, false, failed).await?),
            None => Err(ConnectError::after(found.server_name(), failed).into()),
        }
    }

    /// Makes a connection in its turn.
    async fn connect_alone(
        &self,
        found: &Resolution,
        route: &Route,
        is_shared: bool,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<HttpConnection, ConnectError> {
        let (runtime, wait) = (TokioRuntime::current(), self.connector.limits.total);
        let made = match self.lanes.turn(Lane::Quick, &runtime, wait).await {
            Ok(turn) => {
                let made = Box::pin(self.connect_in_turn(found, route, is_shared, failed));
                turn.run(&runtime, made).await
            }
            Err(_) => Err(CalledBack),
        };
        // There was no time for it, or no more.
        made.unwrap_or_else(|CalledBack| Err(ConnectError::after(found.server_name(), failed)))
    }

    /// Makes a connection that speaks HTTP, to an endpoint of the route at which nothing has failed
    /// yet. Over HTTP/2 it is kept for others, too, if it is to be shared.
    async fn connect_in_turn(
        &self,
        found: &Resolution,
        route: &Route,
        is_shared: bool,
        failed: &mut Vec<ConnectAttempt>,
    ) -> Result<HttpConnection, ConnectError> {
        let opening = self.connector.opening();
        // Ends: each turn adds an endpoint to those that failed.
        loop {
            let seed = self.connector.next_seed();
            let left =
                found.attempts(seed).filter(|it| route.contains(*it) && !has_failed(failed, *it));
            let mut connection = match self.connector.connect_in(left, found, seed, &opening).await
            {
                Ok(connection) => connection,
                Err(error) => {
                    failed.extend(error.attempts);
                    return Err(ConnectError::after(found.server_name(), failed));
                }
            };
            failed.append(&mut connection.attempts);
            let (endpoint, address) = (connection.endpoint.clone(), connection.address);
            let key = PoolKey::new(found, endpoint.view(), address);
            let limit = opening.limits.tls;
            match HttpConnection::over(connection, key, &self.pool, limit).await {
                Ok(connection) => {
                    if let Some(shared) = connection.share().filter(|_| is_shared) {
                        self.pool.add(shared);
                    }
                    return Ok(connection);
                }
                Err(reason) => {
                    failed.push(self.failed(found, endpoint.view(), address, NO_HTTP, reason));
                }
            }
        }
    }

    /// Reports a connection over which no request could be sent, and returns it as an attempt.
    pub(super) fn failed(
        &self,
        found: &Resolution,
        endpoint: Endpoint<'_>,
        address: Option<SocketAddr>,
        (phase, kind): (ConnectPhase, ConnectFailureKind),
        reason: String,
    ) -> ConnectAttempt {
        let attempt = ConnectAttempt::new(endpoint, address, phase, kind, reason);
        self.connector.report(found, std::slice::from_ref(&attempt));
        attempt
    }
}
