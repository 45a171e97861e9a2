//! Connecting to a resolved server: its endpoints in order, with TLS for the target's name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ClientConfig;

use super::connect_error::{ConnectAttempt, ConnectError, ConnectPhase};
use super::connection::Connection;
use super::limits::ConnectLimits;
use super::race;
use crate::core::config::ConfigError;
use crate::core::dns::SplitMix64;
use crate::core::endpoint::Endpoint;
use crate::core::target::DelegationTarget;
use crate::resolver::Resolver;
use crate::resolver::feedback::{ContactFailure, ContactFailureKind};
use crate::resolver::resolution::Resolution;
use crate::transport::deadline::Deadline;
use crate::transport::opening::Opening;
use crate::transport::tls::{HTTP_1_1, HTTP_2, with_alpn};
use crate::transport::{Dial, TcpDial};
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::transport::{TlsSetupError, roots::TrustedRoots};

/// Connects to servers that have been resolved.
///
/// Endpoints are tried in the order that their SRV records ask for, drawn anew for each contact; those
/// that have failed lately, as a [`Resolution`] knows, come last. The addresses of one endpoint are tried side by side,
/// alternating between the families and
/// [`PhaseLimits::attempt_delay`](crate::config::PhaseLimits::attempt_delay) apart, each until the
/// TLS handshake is done. The first to finish is used and the others are dropped (RFC 8305). Unlike
/// in that RFC, IPv4 comes first, as in [`Endpoint::addresses`]: Matrix servers are more often
/// unreachable over IPv6. A server whose handshake takes longer than that delay gets a second
/// attempt beside the first. Where every address of an endpoint fails, the next endpoint is tried.
/// Only addresses of the target are connected to, which its policy has judged; SNI and the
/// certificate check use [`DelegationTarget::tls_name`] whatever the endpoint is called. HTTP/2 and
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
    pub(super) tls: Arc<ClientConfig>,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) limits: ConnectLimits,
    resolver: Option<Resolver>,
    contacts: Arc<AtomicU64>,
}

impl Connector {
    /// Creates a connector with this TLS configuration, whatever its crypto provider, and [`TcpDial`].
    ///
    /// ALPN is set to `h2` and `http/1.1`; all else is left as it is.
    pub fn new(tls: ClientConfig) -> Self {
        Self {
            tls: Arc::new(with_alpn(tls, &[HTTP_2, HTTP_1_1])),
            dial: Arc::new(TcpDial),
            limits: ConnectLimits::default(),
            resolver: None,
            contacts: Arc::default(),
        }
    }

    /// Creates a connector that trusts these root certificates. Blocks while it reads the
    /// platform's, if they are among them.
    ///
    /// # Errors
    ///
    /// If there are none, or one that was added cannot be read.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn with_roots(roots: TrustedRoots) -> Result<Self, TlsSetupError> {
        roots.client_config().map(Self::new)
    }

    /// Sets what opens streams. Default: [`TcpDial`].
    #[must_use]
    pub fn with_dial(mut self, dial: Arc<dyn Dial>) -> Self {
        self.dial = dial;
        self
    }

    /// Sets the limits.
    ///
    /// # Errors
    ///
    /// If [`ConnectLimits::check`] finds a problem.
    pub fn with_limits(mut self, limits: ConnectLimits) -> Result<Self, ConfigError> {
        limits.check()?;
        self.limits = limits;
        Ok(self)
    }

    /// Reports each endpoint that failed to this resolver ([`Resolver::report_failure`]), so that it is
    /// tried last for a while. Failures of this machine alone ([`ConnectPhase::Local`]) are not
    /// reported, nor is an endpoint at which [`ConnectLimits::total`] ran out.
    #[must_use]
    pub fn reporting_to(mut self, resolver: Resolver) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Connects to a server. Endpoints that have failed lately are tried last.
    pub async fn connect(&self, found: &Resolution) -> Result<Connection, ConnectError> {
        self.connect_with_seed(found, self.next_seed()).await
    }

    /// Connects to a server, trying its endpoints in the order that [`Resolution::attempts`] draws from
    /// this seed.
    pub async fn connect_with_seed(
        &self,
        found: &Resolution,
        seed: u64,
    ) -> Result<Connection, ConnectError> {
        self.connect_in(found.attempts(seed), found, seed, &self.opening()).await
    }

    /// Connects to a target that does not come from a resolver.
    ///
    /// ```no_run
    /// # async fn example(connector: matrix_delegation::Connector) -> Result<(), Box<dyn std::error::Error>> {
    /// use matrix_delegation::time::Now;
    /// use matrix_delegation::FixedTarget;
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
        self.connect_in(target.attempts(seed), target, seed, &self.opening()).await
    }

    pub(super) fn next_seed(&self) -> u64 {
        // Consecutive seeds would draw similar orders.
        SplitMix64(self.contacts.fetch_add(1, Ordering::Relaxed)).next()
    }

    /// Starts the phases of a connection now.
    pub(super) fn opening(&self) -> Opening {
        Opening { limits: self.limits.phases, end: Deadline::of_all(self.limits.total) }
    }

    /// Connects to one of these endpoints of the target, in this order.
    pub(super) async fn connect_in<'a>(
        &self,
        endpoints: impl Iterator<Item = Endpoint<'a>>,
        target: &DelegationTarget,
        seed: u64,
        opening: &Opening,
    ) -> Result<Connection, ConnectError> {
        let mut attempts = Vec::new();
        for endpoint in endpoints {
            let before = attempts.len();
            let race = race::race(self, target, endpoint, seed, opening, &mut attempts);
            if let Some((address, stream)) = race.await {
                let endpoint = endpoint.to_stored();
                return Ok(Connection { address, endpoint, stream, attempts });
            }
            if opening.end.is_over() {
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
            let kind = match phases.as_slice() {
                [] => continue,
                all if all.contains(&ConnectPhase::Certificate) => {
                    ContactFailureKind::WrongCertificate
                }
                _ => ContactFailureKind::CouldNotConnect,
            };
            resolver.report_failure(target, &ContactFailure::new(kind).at(endpoint));
        }
    }
}
