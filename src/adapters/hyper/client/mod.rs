//! Requests to servers by name: resolved, connected to, and sent over a connection that is shared.
//!
//! `wire` makes the request what it must be for its target, `pool` keeps connections.

mod pool;
mod wire;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::pool::{Key, Pool, Sender, Sent};
pub use self::wire::InvalidRequest;
use super::attempt::in_words;
use super::connect::Connector;
use super::connect::failure::ConnectError;
use crate::adapters::tokio::TokioRuntime;
use crate::core::config::memory::Abandoned;
use crate::core::error::ResolveError;
use crate::core::server_name::ServerName;
use crate::resolver::Resolver;
use crate::resolver::flights::{Flights, Joined};
use crate::resolver::resolution::Resolution;
use crate::resolver::traits::BoxFuture;

/// The error of a body that is sent.
type BoxError = Box<dyn Error + Send + Sync>;
/// The body of a request, of whatever type it was.
type Outgoing = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// How often a request is tried on another connection, where it is known not to have been sent.
const TRIES: usize = 3;

/// What a [`FederationClient`] keeps open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientLimits {
    /// How long a connection is kept without a request. Default 90 s.
    pub idle: Duration,
    /// How long after it was made a connection takes new requests. Default 1 h.
    pub age: Duration,
    /// Connections kept in all; the one longest without a request is closed for another. Default
    /// 512.
    pub connections: usize,
    /// HTTP/1.1 connections kept for one certificate name and address. Default 8.
    pub per_server: usize,
    /// Servers being connected to; a request to one more fails. Default 1,000.
    pub connecting: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(90),
            age: Duration::from_secs(3600),
            connections: 512,
            per_server: 8,
            connecting: 1000,
        }
    }
}

/// Sends requests to Matrix servers by their names.
///
/// A request's URI is `matrix-federation://server.name/path`, or a path alone where the server name
/// is given beside it. `Host` (HTTP/1.1) or `:authority` (HTTP/2) is the target's, whatever the
/// caller set; `User-Agent` is the configuration's unless there is one. Nothing else is changed:
/// sign a request before it is handed over, by the server's name and the path.
///
/// A redirect is a response like any other. A request is sent once: again on another connection only
/// where it is known not to have left this machine. No time limit is set on a response; drop the
/// future to give it up.
///
/// Connections are shared by certificate name and socket address: names that delegate to one server
/// share them, and none serves another certificate name. One takes new requests only while its
/// address is one of the target's, and for an hour at most ([`ClientLimits`]). Cloning is cheap and
/// shares them. It runs on tokio.
///
/// # Beside reqwest
///
/// A homeserver that uses reqwest for all else uses this for federation: a reqwest client cannot be
/// made as safe. Its own DNS hook is passed by where a URL has an IP literal, its redirects go where
/// they lead, and it takes the certificate name from the URL that it connects to, so that an SRV
/// target or a delegate's port and name get mixed up.
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
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FederationClient {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Resolver,
    connector: Connector,
    pool: Arc<Pool>,
    connecting: Arc<Flights<ServerName, Result<Made, ConnectError>>>,
}

/// Why a request has no response.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It is none that could be sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The server does not resolve.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The server cannot be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Too many servers are being connected to.
    #[error("too many servers are being connected to: {limit}")]
    TooBusy {
        /// The limit.
        limit: usize,
    },
    /// The request was sent, or may have been, and no response came.
    #[error("no response from {server_name}: {reason}")]
    Exchange {
        /// The server.
        server_name: ServerName,
        /// Where it was sent.
        address: Option<SocketAddr>,
        /// Why, for people.
        reason: String,
        /// The same as the library has it.
        source: hyper::Error,
    },
    /// The connection ended each time before the request could be sent.
    #[error("{server_name} closes connections before a request can be sent")]
    NotSent {
        /// The server.
        server_name: ServerName,
    },
}

impl FederationClient {
    /// By this resolver and connector, within the default limits. The resolver hears of endpoints
    /// that fail.
    pub fn new(resolver: Resolver, connector: Connector) -> Self {
        Self::with_limits(resolver, connector, ClientLimits::default())
    }

    /// The same within these limits.
    pub fn with_limits(resolver: Resolver, connector: Connector, limits: ClientLimits) -> Self {
        let connector = connector.reporting_to(resolver.clone());
        let connecting = Arc::new(Flights::new(limits.connecting, Abandoned::Finish));
        let pool = Arc::new(Pool::new(limits));
        Self { inner: Arc::new(Inner { resolver, connector, pool, connecting }) }
    }

    /// The resolver that it goes by.
    pub fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    /// How many connections are kept open: those in use over HTTP/1.1 are not among them.
    pub fn connections(&self) -> usize {
        self.inner.pool.len()
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
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        // It is large, and whoever calls this would carry it along.
        Box::pin(self.inner.request(server_name, request)).await
    }
}

impl Inner {
    async fn request(
        self: &Arc<Self>,
        name: &ServerName,
        request: Request<Outgoing>,
    ) -> Result<Response<FederationBody>, RequestError> {
        let user_agent = &self.resolver.config().user_agent;
        let mut request = wire::prepared(request, name, user_agent)?;
        for tried in 1..=TRIES {
            let found = self.resolver.resolve(name).await?;
            // All that are kept may have ended at once: the last try is over a new one.
            let pooled = if tried < TRIES { self.pooled(&found) } else { None };
            let (key, sender) = match pooled {
                Some(pooled) => pooled,
                None => self.connected(name, &found).await?,
            };
            match &sender {
                Sender::Http1 { .. } => wire::for_http_1(&mut request, &found),
                Sender::Http2(_) => wire::for_http_2(&mut request, &found)?,
            }
            match self.pool.send(key, sender, request).await {
                Sent::Response(response) => return Ok(response.map(FederationBody)),
                Sent::Unsent(unsent) => request = *unsent,
                Sent::Failed { address, source } => {
                    let (server_name, reason) = (name.clone(), in_words(&source));
                    return Err(RequestError::Exchange { server_name, address, reason, source });
                }
            }
        }
        Err(RequestError::NotSent { server_name: name.clone() })
    }

    /// A connection to one of the target's addresses that is open already.
    fn pooled(&self, found: &Resolution) -> Option<(Key, Sender)> {
        let endpoints = found.attempts(self.connector.next_seed());
        let mut keys = endpoints.flat_map(|endpoint| Key::all(found, endpoint));
        keys.find_map(|key| self.pool.take(&key).map(|sender| (key, sender)))
    }

    /// Makes a connection, together with all who need one to this server now.
    async fn connected(
        self: &Arc<Self>,
        name: &ServerName,
        found: &Resolution,
    ) -> Result<(Key, Sender), RequestError> {
        let joined = self.connecting.join(
            name,
            &TokioRuntime::current(),
            || None,
            || (),
            |pilot| {
                let (inner, found) = (Arc::clone(self), found.clone());
                async move { pilot.land(inner.connect(&found).await.map(Made::new)) }
            },
        );
        let passenger = match joined {
            Ok(Joined::Landing(passenger)) => passenger,
            Ok(Joined::Known(made)) => return self.own(made?, found).await,
            Err(too_many) => return Err(RequestError::TooBusy { limit: too_many.limit }),
        };
        match passenger.await {
            Ok(made) => self.own(made?, found).await,
            // It broke off: an adapter panicked.
            Err(_) => Ok(self.connect(found).await?),
        }
    }

    /// What was made for several: over HTTP/2 they share it, over HTTP/1.1 each needs its own.
    async fn own(&self, made: Made, found: &Resolution) -> Result<(Key, Sender), RequestError> {
        let Made { key, sender } = made;
        // Another's target may have been another: the delegation may have changed in between.
        let endpoints = found.endpoints().iter();
        if !endpoints.flat_map(|endpoint| Key::all(found, endpoint)).any(|it| it == key) {
            return Ok(self.connect(found).await?);
        }
        let sender = {
            let mut left = sender.lock().unwrap_or_else(PoisonError::into_inner);
            match &*left {
                Some(Sender::Http2(shared)) => Some(Sender::Http2(shared.clone())),
                _ => left.take(),
            }
        };
        match sender {
            Some(sender) => Ok((key, sender)),
            None => Ok(self.connect(found).await?),
        }
    }

    async fn connect(&self, found: &Resolution) -> Result<(Key, Sender), ConnectError> {
        let connection = self.connector.connect(found).await?;
        let key = Key::new(found, connection.endpoint(), connection.address());
        let endpoint = connection.endpoint().clone();
        match self.pool.shake_hands(&key, connection).await {
            Ok(sender) => Ok((key, sender)),
            Err(error) => Err(ConnectError::of_http(found, &endpoint, key.address(), &error)),
        }
    }
}

impl fmt::Debug for FederationClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederationClient")
            .field("resolver", &self.inner.resolver)
            .field("connector", &self.inner.connector)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// A connection that several wait for.
#[derive(Clone)]
struct Made {
    key: Key,
    sender: Arc<Mutex<Option<Sender>>>,
}

impl Made {
    fn new((key, sender): (Key, Sender)) -> Self {
        Self { key, sender: Arc::new(Mutex::new(Some(sender))) }
    }
}

/// The body of a response.
#[derive(Debug)]
pub struct FederationBody(Incoming);

impl Body for FederationBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
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

    /// The request's URI says which server it is for.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move {
            let name = wire::server_of(request.uri())?;
            client.request(&name, request).await
        })
    }
}
