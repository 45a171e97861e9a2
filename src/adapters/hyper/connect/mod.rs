//! The way to a server: its endpoints in the order of a contact, the addresses of each side by side,
//! TLS for the target's name.
//!
//! `race` connects to one endpoint, `failure` says how each attempt ended.

pub(crate) mod failure;
mod race;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use self::failure::{ConnectAttempt, ConnectError, ConnectPhase};
use super::dial::{Dial, DialStream, TcpDial};
use super::tls;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use super::{TlsSetupError, TrustedRoots};
use crate::core::dns::srv::SplitMix64;
use crate::core::names::host::Host;
use crate::core::target::{DelegationTarget, Endpoint};
use crate::resolver::Resolver;
use crate::resolver::feedback::{ContactFailure, ContactFailureKind};
use crate::resolver::resolution::Resolution;

/// How long each phase of connecting may take.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::ConnectLimits;
///
/// let mut limits = ConnectLimits::default();
/// limits.total = Duration::from_secs(10);
/// assert_eq!(limits.attempt_delay, Duration::from_millis(250));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConnectLimits {
    /// Connecting to one address. Default 5 s.
    pub connect: Duration,
    /// How long an address is silent before the next is tried beside it (RFC 8305 section 5).
    /// Default 250 ms.
    pub attempt_delay: Duration,
    /// The TLS handshake with one address. Default 5 s.
    pub tls: Duration,
    /// All of it, over every endpoint. Default 30 s.
    pub total: Duration,
}

impl Default for ConnectLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt_delay: Duration::from_millis(250),
            tls: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

/// Connects to servers that have been resolved.
///
/// Endpoints are tried in the order that SRV asks for, drawn anew for each contact; those that a
/// [`Resolution`] says had failed come last. The addresses of one are tried side by side, the
/// families taking turns, a quarter of a second apart (RFC 8305), each until TLS is agreed; the first
/// that is there is taken and the others are dropped. Unlike there, IPv4 comes first, as it stands in
/// [`Endpoint::addresses`]: servers of Matrix are more often out of reach over IPv6. A server that
/// takes more than a quarter of a second to agree on TLS gets a second attempt beside the first. Where every address of an endpoint refuses, is
/// silent, fails TLS or shows a certificate that is not for the target, the next endpoint's turn has
/// come. Only addresses of the target are connected to, which its policy has judged; SNI and the
/// certificate check go by [`DelegationTarget::tls_name`] whatever the endpoint is called. HTTP/2 and
/// HTTP/1.1 are offered (ALPN).
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use matrix_delegation::{Config, Connector, Resolver, TrustedRoots};
///
/// let resolver = Resolver::from_system(Config::default())?;
/// let connector = Connector::with_roots(TrustedRoots::platform())?.reporting_to(resolver.clone());
/// let found = resolver.resolve(&"matrix.org".parse()?).await?;
/// let connection = connector.connect(&found).await?;
/// println!("{connection}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    dial: Arc<dyn Dial>,
    limits: ConnectLimits,
    resolver: Option<Resolver>,
    contacts: Arc<AtomicU64>,
}

impl Connector {
    /// With this TLS configuration, whatever its crypto provider, and [`TcpDial`].
    ///
    /// ALPN is set to `h2` and `http/1.1`; all else is left as it is.
    pub fn new(tls: ClientConfig) -> Self {
        Self {
            tls: tls::for_http(tls),
            dial: Arc::new(TcpDial),
            limits: ConnectLimits::default(),
            resolver: None,
            contacts: Arc::default(),
        }
    }

    /// Trusting these root certificates. Blocks while it reads the platform's, if they are among
    /// them.
    ///
    /// # Errors
    ///
    /// If there are none, or one that was added cannot be read.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn with_roots(roots: TrustedRoots) -> Result<Self, TlsSetupError> {
        roots.client_config().map(Self::new)
    }

    /// The same over streams that this opens.
    #[must_use]
    pub fn with_dial(mut self, dial: Arc<dyn Dial>) -> Self {
        self.dial = dial;
        self
    }

    /// The same within these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: ConnectLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same, and this resolver hears of each endpoint that failed
    /// ([`Resolver::report_failure`]), so that it is tried last for a while. What hinders this
    /// machine alone ([`ConnectPhase::Local`]), and what the time did not suffice for, is not held
    /// against a server.
    #[must_use]
    pub fn reporting_to(mut self, resolver: Resolver) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Connects to a server; endpoints that had failed are tried last.
    pub async fn connect(&self, found: &Resolution) -> Result<Connection, ConnectError> {
        self.connect_with_seed(found, self.next_seed()).await
    }

    /// The same in the order that this seed draws: [`Resolution::attempts`] says which.
    pub async fn connect_with_seed(
        &self,
        found: &Resolution,
        seed: u64,
    ) -> Result<Connection, ConnectError> {
        self.connect_in(found.attempts(seed), found, seed, self.end()).await
    }

    /// The same for a target that comes from elsewhere than a resolver.
    ///
    /// ```no_run
    /// # async fn example(connector: matrix_delegation::Connector) -> Result<(), Box<dyn std::error::Error>> {
    /// use matrix_delegation::{FixedTarget, Now};
    ///
    /// let fixed = FixedTarget::new(["192.0.2.7:8448".parse()?])?;
    /// let target = fixed.target(&"example.org".parse()?, Now::EPOCH)?;
    /// let connection = connector.connect_to(&target).await?;
    /// println!("{connection}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect_to(&self, target: &DelegationTarget) -> Result<Connection, ConnectError> {
        let seed = self.next_seed();
        self.connect_in(target.attempts(seed), target, seed, self.end()).await
    }

    pub(super) const fn limits(&self) -> &ConnectLimits {
        &self.limits
    }

    pub(super) fn next_seed(&self) -> u64 {
        // Neighbouring numbers would draw alike.
        SplitMix64(self.contacts.fetch_add(1, Ordering::Relaxed)).next()
    }

    /// When all of it has to be over that begins now; `None` lies further ahead than the clock can
    /// say.
    pub(super) fn end(&self) -> Option<Instant> {
        Instant::now().checked_add(self.limits.total)
    }

    /// Connects to one of these endpoints of the target, in this order.
    pub(super) async fn connect_in<'a>(
        &self,
        endpoints: impl Iterator<Item = &'a Endpoint>,
        target: &DelegationTarget,
        seed: u64,
        end: Option<Instant>,
    ) -> Result<Connection, ConnectError> {
        let mut attempts = Vec::new();
        for endpoint in endpoints {
            let before = attempts.len();
            let race = race::race(self, target, endpoint, seed, end, &mut attempts);
            if let Some((address, stream)) = race.await {
                return Ok(Connection { address, endpoint: endpoint.clone(), stream, attempts });
            }
            if race::is_over(end) {
                break;
            }
            self.report(target, attempts.get(before..).unwrap_or_default());
        }
        Err(ConnectError::after(target.server_name(), &mut attempts))
    }

    /// Tells the resolver of the endpoints at which these attempts failed.
    pub(super) fn report(&self, target: &DelegationTarget, attempts: &[ConnectAttempt]) {
        let Some(resolver) = &self.resolver else { return };
        for endpoint in target.endpoints() {
            let at_it = attempts.iter().filter(|it| it.is_at(endpoint)).map(|it| it.phase);
            let phases: Vec<_> = at_it.filter(|phase| *phase != ConnectPhase::Local).collect();
            let kind = if phases.is_empty() {
                continue;
            } else if phases.contains(&ConnectPhase::Certificate) {
                ContactFailureKind::WrongCertificate
            } else {
                ContactFailureKind::CouldNotConnect
            };
            resolver.report_failure(target, &ContactFailure::new(kind).at(endpoint));
        }
    }
}

/// A connection to a server, whose certificate is the target's: a stream of bytes.
pub struct Connection {
    address: Option<SocketAddr>,
    endpoint: Endpoint,
    stream: TlsStream<Box<dyn DialStream>>,
    attempts: Vec<ConnectAttempt>,
}

impl Connection {
    /// The address it leads to; `None` where a proxy looked the host up.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The endpoint it leads to.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether HTTP/2 was agreed on; otherwise it is HTTP/1.1.
    pub fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2)
    }

    /// The attempts that failed before it.
    pub fn failed_attempts(&self) -> &[ConnectAttempt] {
        &self.attempts
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("endpoint", &self.endpoint)
            .field("http2", &self.is_http2())
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.is_http2() { "HTTP/2" } else { "HTTP/1.1" };
        write!(f, "{protocol} to {}", self.endpoint)?;
        match (self.address, self.endpoint.host()) {
            (Some(address), Host::Dns(_)) => write!(f, " at {address}"),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
