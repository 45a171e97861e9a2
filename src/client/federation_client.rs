//! Requests to servers by name, over shared connections.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use http::{Method, Request, Response, Version};
use hyper::body::{Body, Bytes};

use super::connect_error::{ConnectAttempt, ConnectError};
use super::connector::Connector;
use super::keys::Server;
use super::limits::ClientConfig;
use super::pool::Pool;
use super::request;
use super::request_body::{BoxError, RequestBody};
use super::request_error::RequestError;
use super::response_body::FederationBody;
use super::shared_connect::{NO_HTTP, REFUSED, SharedConnect};
use super::unanswered::Processing;
use crate::core::config::ConfigError;
use crate::core::names::ServerName;
use crate::resolver::Resolver;
use crate::resolver::resolution::Resolution;
use crate::runtime::BoxFuture;
use crate::runtime::permits::{KeyedPermits, Permit};
use crate::transport::ConnectFailureKind;
use crate::transport::error_chain::{alert_in_words, cause, in_words};
use crate::transport::opening::Phase;

/// Sends requests to Matrix servers by their names.
///
/// A request's URI is `matrix-federation://server.name/path`, or a path alone where the server name
/// is given beside it. `Host` (HTTP/1.1) or `:authority` (HTTP/2) is the target's, whatever the
/// caller set; `User-Agent` is the configuration's unless there is one. The body is not touched:
/// sign a request before it is handed over, by the server's name and the path.
///
/// A redirect is a response like any other. A request is sent once, and again on another connection only
/// before a response has come, where that does no harm:
/// - if it has not left this machine, or the server refused the handshake after that: on [`ClientConfig::kept_tries`] kept connections and
///   [`ClientConfig::new_tries`] new ones at most. A new connection that ends before that counts as a
///   failed endpoint, and the next endpoint is tried;
/// - if the server says that it has not processed it (RFC 9113 section 8.7), at most
///   [`ClientConfig::resends`] times. A graceful GOAWAY says so of a request whose method is idempotent or
///   which has a body. An endpoint that requires HTTP/1.1 gets no HTTP/2 for
///   [`ClientConfig::http1_for`];
/// - if its method is idempotent (RFC 9110 section 9.2.2) and the connection, which had served others,
///   ended before a byte of the response: [`ClientConfig::idempotent_resends`] times.
///
/// What may have left this machine needs a body that is empty or says its length, has all of it at hand and is no longer than
/// [`ClientConfig::resend_bytes`]. No time limit is set on
/// a response, nor a limit on its body; drop the future to give it up, and read the body through
/// `http_body_util::Limited`. Headers about the connection and its framing (`Connection` and what
/// it names, `Transfer-Encoding`, `Upgrade` and the like) are removed, and `Content-Length` is that
/// of the body.
///
/// Connections are shared by certificate name and socket address: names that delegate to one server
/// share them, and none serves another certificate name. A connection takes new requests only while
/// its address is one of the target's, and for [`ClientConfig::age`] at most; one that is open already
/// is preferred to connecting to an endpoint of better priority. At most
/// [`ClientConfig::concurrent`] requests are in flight to one server, each until its response was read
/// or dropped, so that a caller must not keep more of them unread.
/// Cloning is cheap and shares everything. It runs on tokio.
///
/// # Beside reqwest
///
/// There is no fetch of well-knowns over a `reqwest::Client`, because it could not be as safe: a
/// client that is built does not show its proxies, redirects, decoding and resolver, and URLs with an
/// IP literal bypass that resolver, so that neither the address policy nor the limits on bytes could
/// be enforced. Nor can it speak federation: it takes the certificate's name from the URL that it
/// connects to, so that SRV targets, and a delegate's name and port, get mixed up. A homeserver that
/// uses reqwest for everything else uses this beside it; `examples/homeserver.rs` does.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use http::Request;
/// use http_body_util::Empty;
/// use hyper::body::Bytes;
/// use matrix_delegation::{Config, Connector, FederationClient, Resolver, TrustedRoots};
///
/// let resolver = Resolver::from_system(Config::default())?;
/// let client = FederationClient::new(resolver, Connector::with_roots(TrustedRoots::platform())?);
/// let request = Request::get("/_matrix/federation/v1/version").body(Empty::<Bytes>::new())?;
/// let response = client.request(&"matrix.org".parse()?, request).await?;
/// println!("{}", response.status());
///
/// // As a `tower` service, which takes the server name from the URI.
/// use tower_service::Service;
///
/// let uri = "matrix-federation://matrix.org/_matrix/federation/v1/version";
/// let request = Request::get(uri).body(Empty::<Bytes>::new())?;
/// let response = client.clone().call(request).await?;
/// println!("{}", response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FederationClient {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Resolver,
    connections: Arc<SharedConnect>,
    permits: Arc<KeyedPermits<Arc<Server>>>,
}

/// How often a request was sent again.
#[derive(Default)]
struct Resent {
    times: usize,
    /// Those times at which it may have been processed before.
    idempotent: usize,
    /// The next time it gets a connection of its own.
    apart: bool,
}

impl Resent {
    /// Returns whether a request is sent once more, and counts that.
    fn again(&mut self, processing: Processing, method: &Method, limits: &ClientConfig) -> bool {
        let is_unknown = match processing {
            Processing::NotProcessed | Processing::RequiresHttp1 => false,
            Processing::Unknown => true,
            Processing::Begun => return false,
        };
        if self.times >= limits.resends
            || (is_unknown
                && !(method.is_idempotent() && self.idempotent < limits.idempotent_resends))
        {
            return false;
        }
        self.times += 1;
        self.idempotent += usize::from(is_unknown);
        // Others over the same connection could use it up, or end it once more.
        self.apart = is_unknown || self.times == limits.resends;
        true
    }
}

impl FederationClient {
    /// Creates a client with the default limits. Endpoints that fail are reported to the resolver.
    pub fn new(resolver: Resolver, connector: Connector) -> Self {
        let connect = connector.limits;
        Self::of(resolver, connector, &ClientConfig { connect, ..ClientConfig::default() })
    }

    /// Creates a client with this configuration, whose [`connect`](ClientConfig::connect) takes the
    /// place of the connector's limits. Endpoints that fail are reported to the resolver.
    ///
    /// # Errors
    ///
    /// If [`ClientConfig::check`] finds a problem.
    pub fn with_config(
        resolver: Resolver,
        connector: Connector,
        config: ClientConfig,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self::of(resolver, connector.with_limits(config.connect)?, &config))
    }

    fn of(resolver: Resolver, connector: Connector, limits: &ClientConfig) -> Self {
        let connector = connector.reporting_to(resolver.clone());
        let connections = Arc::new(SharedConnect::new(connector, limits));
        let idle: Weak<Pool> = Arc::downgrade(&connections.pool);
        resolver.add_idle(idle);
        let permits = Arc::new(KeyedPermits::new(limits.concurrent, limits.waiting));
        let inner = Inner { resolver, connections, permits };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the resolver that it uses.
    pub fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    /// Returns how many connections are kept for another request. An HTTP/1.1 connection that serves a
    /// request is not counted.
    pub fn connections(&self) -> usize {
        self.inner.connections.pool.len()
    }

    /// Sends a request to this server.
    pub async fn request<B>(
        &self,
        server_name: &ServerName,
        request: Request<B>,
    ) -> Result<Response<FederationBody>, RequestError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let most = self.inner.limits().resend_bytes;
        let request = request.map(|body| RequestBody::new(body, most));
        // It is large, and whoever calls this would carry it along.
        Box::pin(self.inner.request(server_name, request)).await
    }
}

impl Inner {
    fn limits(&self) -> &ClientConfig {
        &self.connections.pool.limits
    }

    async fn request(
        &self,
        name: &ServerName,
        request: Request<RequestBody>,
    ) -> Result<Response<FederationBody>, RequestError> {
        let mut unanswered = None;
        let answered = self.answered(name, request, &mut unanswered).await;
        answered.map_err(|error| match unanswered {
            // It may have been processed, although it could not be sent again.
            Some(unanswered) if !error.was_sent() => unanswered,
            _ => error,
        })
    }

    /// Sends a request until it is answered. Leaves behind the error of one that may have been processed,
    /// and is sent again.
    async fn answered(
        &self,
        name: &ServerName,
        request: Request<RequestBody>,
        unanswered: &mut Option<RequestError>,
    ) -> Result<Response<FederationBody>, RequestError> {
        let user_agent = &self.resolver.config().discovery.user_agent;
        let mut request = request::prepared(request, name, user_agent)?;
        let (mut kept, mut new) = (0, 0);
        let mut resent = Resent::default();
        let mut failed: Vec<ConnectAttempt> = Vec::new();
        let mut held = None;
        // The attempts that failed say more than an error that followed them.
        let or_attempts = |error, failed: &mut Vec<_>| match failed.as_slice() {
            [] => error,
            _ => ConnectError::after(name, failed).into(),
        };
        // The limits on tries end this loop.
        loop {
            let target = self.target_and_permit(name, held.take()).await;
            let (found, permit) = target.map_err(|error| or_attempts(error, &mut failed))?;
            let connections = &self.connections;
            // Connections that were shared with others may all be used up by them.
            let apart = resent.apart || kept > self.limits().kept_tries;
            let may_be_kept = !apart && kept < self.limits().kept_tries;
            let pooled = may_be_kept.then(|| connections.kept(&found, &failed)).flatten();
            let (connection, is_new) = if let Some(connection) = pooled {
                (connection, false)
            } else {
                let made = if apart {
                    connections.connect_apart(&found, &mut failed).await
                } else {
                    connections.connect(&found, &mut failed).await
                };
                (made.map_err(|error| or_attempts(error, &mut failed))?, true)
            };
            let (endpoint, address) =
                (connection.state().endpoint.clone(), connection.state().key.address);
            if connection.is_http2() {
                request::for_http_2(&mut request, &found)?;
            } else {
                request::for_http_1(&mut request, &found);
            }
            let is_first = connection.requests() == 0;
            let has_body = !request.body().is_end_stream();
            let is_repeatable = request.method().is_idempotent() || has_body;
            let copy = self.copied(&request, &resent);
            let (mut failure, connection) = match connections.pool.send(connection, request).await {
                Ok((response, reading)) => {
                    self.check_head(name, &response)?;
                    return Ok(response.map(|body| FederationBody::new(body, reading, permit)));
                }
                Err(failed) => failed,
            };
            let (refusal, unsent) = (connection.refusal(), failure.take_message());
            if refusal.is_none() && unsent.is_none() {
                let error = failure.into_error();
                let is_shared = connection.requests() > 1;
                let is_kept = !(is_new && is_first);
                let processing =
                    Processing::of(&error, &connection, is_kept, is_shared, is_repeatable);
                if processing != Processing::Begun {
                    connections.pool.retire(&connection);
                }
                if processing == Processing::RequiresHttp1 {
                    let (time, most) = (self.limits().http1_for, self.limits().connections);
                    connections.connector.http1_endpoints.add(endpoint.view(), time, most);
                }
                // One that was kept may have been about to end, which says nothing.
                if is_new && broke(&error) {
                    let reason = in_words(&error);
                    connections.failed(&found, endpoint.view(), address, NO_HTTP, reason);
                }
                let (server_name, source) = (name.clone(), Arc::new(error));
                let processed = processing.into();
                let error = RequestError::Exchange { server_name, address, processed, source };
                let Some(copy) =
                    copy.filter(|copy| resent.again(processing, copy.method(), self.limits()))
                else {
                    return Err(error);
                };
                // Of a request without a body the server may have more than it says.
                if processing == Processing::Unknown || !has_body {
                    *unanswered = Some(error);
                }
                (request, held) = (copy, Some(permit));
                continue;
            }
            // A server that refused the handshake has read no request.
            let unsent = unsent.or(copy);
            let why = match refusal {
                Some(alert) => Some((REFUSED, alert_in_words(alert))),
                None if is_new && is_first => {
                    Some((NO_HTTP, "it ended before a request could be sent".to_owned()))
                }
                None => None,
            };
            if let Some((why, reason)) = why {
                new += 1;
                failed.push(connections.failed(&found, endpoint.view(), address, why, reason));
            } else {
                kept += 1;
            }
            let Some(unsent) = unsent.filter(|_| new < self.limits().new_tries) else {
                return Err(ConnectError::after(name, &mut failed).into());
            };
            (request, held) = (unsent, Some(permit));
        }
    }

    /// Fails if the head of a response is too large.
    fn check_head<B>(&self, name: &ServerName, response: &Response<B>) -> Result<(), RequestError> {
        let (bytes, lines) = head_size(response);
        if bytes <= self.limits().head_bytes && lines <= self.limits().head_lines {
            return Ok(());
        }
        Err(RequestError::HeadTooLarge { server_name: name.clone(), bytes, lines })
    }

    /// Returns a copy of a request that may be sent again.
    fn copied(
        &self,
        request: &Request<RequestBody>,
        resent: &Resent,
    ) -> Option<Request<RequestBody>> {
        let body = request.body().copied().filter(|_| resent.times < self.limits().resends)?;
        let mut copy = Request::new(body);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Some(copy)
    }

    /// Returns the server's target and a permit for it: the one that is held, if it is for this server.
    async fn target_and_permit(
        &self,
        name: &ServerName,
        mut held: Option<Permit<Arc<Server>>>,
    ) -> Result<(Resolution, Permit<Arc<Server>>), RequestError> {
        let busy = || {
            let (server_name, limit) = (name.clone(), self.limits().waiting);
            RequestError::ServerBusy { server_name, limit }
        };
        // The server may move during the wait. One that moves every time is given up. The last turn only
        // sees whether it has.
        for turn in 0..=self.limits().moves {
            let found = self.resolver.resolve(name).await?;
            let server = Server::of(&found);
            if let Some(permit) = held.take_if(|permit| **permit.at() == server) {
                return Ok((found, permit));
            }
            // Nobody holds a permit while waiting for another.
            drop(held.take());
            if turn == self.limits().moves {
                break;
            }
            let reservation = self.permits.reserve(Arc::new(server)).ok_or_else(busy)?;
            match reservation.try_permit() {
                Ok(permit) => return Ok((found, permit)),
                Err(reservation) => held = reservation.permit().await,
            }
        }
        Err(busy())
    }
}

/// Returns the size of a head and its lines: over HTTP/2 as RFC 9113 section 6.5.2 counts it, over HTTP/1.1
/// not more than was counted when it was read.
fn head_size<B>(response: &Response<B>) -> (usize, usize) {
    let headers = response.headers();
    if response.version() != Version::HTTP_2 {
        return (0, headers.len());
    }
    let line = |name: usize, value: usize| name + value + 32;
    let lines = headers.iter().map(|(name, value)| line(name.as_str().len(), value.len()));
    (line(":status".len(), "200".len()) + lines.sum::<usize>(), headers.len())
}

/// Returns whether the connection broke, or what came over it was no HTTP; a stream that was reset
/// is an answer, of a kind.
fn broke(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_parse()
        || error.is_timeout()
        || (!error.is_user()
            && cause::<std::io::Error>(error).is_some_and(|error| {
                // What hinders this machine says nothing about the server.
                ConnectFailureKind::of(error, Phase::Connect) != ConnectFailureKind::Local
            }))
}

impl fmt::Debug for FederationClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederationClient")
            .field("resolver", &self.inner.resolver)
            .field("connector", &self.inner.connections.connector)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl<B> tower_service::Service<Request<B>> for FederationClient
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<FederationBody>;
    type Error = RequestError;
    type Future = BoxFuture<'static, Result<Self::Response, RequestError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        Poll::Ready(Ok(()))
    }

    /// Sends a request to the server that its URI names.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move {
            let name = request::server_of(request.uri())?;
            client.request(&name, request).await
        })
    }
}
