//! Connecting to a resolved server: its endpoints in order, with TLS for the target's name.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::connect_error::{ConnectAttempt, ConnectError, ConnectPhase};
use super::connection::Connection;
use super::http1_endpoints::Http1Endpoints;
use super::limits::ConnectLimits;
use super::race::{self, Progress};
use crate::core::config::ConfigError;
use crate::core::dns::SplitMix64;
use crate::core::endpoint::Endpoint;
use crate::core::target::DelegationTarget;
use crate::resolver::Resolver;
use crate::resolver::feedback::{ContactFailure, ContactFailureKind};
use crate::resolver::resolution::Resolution;
use crate::transport::deadline::{Deadline, FURTHEST};
use crate::transport::opening::Opening;
use crate::transport::tls::{HTTP_1_1, HTTP_2, with_alpn};
use crate::transport::{ConnectFailureKind, Dial, TcpDial};
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
/// attempt beside the first. Where every address of an endpoint fails, the next endpoint is tried at
/// once; where none has accepted a connection within [`ConnectLimits::endpoint_delay`], beside it.
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
    tls: Arc<ClientConfig>,
    /// For endpoints that require HTTP/1.1.
    http1_tls: Arc<ClientConfig>,
    pub(super) http1_endpoints: Arc<Http1Endpoints>,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) limits: ConnectLimits,
    pub(super) resolver: Option<Resolver>,
    contacts: Arc<AtomicU64>,
}

impl Connector {
    /// Creates a connector with this TLS configuration, whatever its crypto provider, and [`TcpDial`].
    ///
    /// ALPN is set to `h2` and `http/1.1`; all else is left as it is.
    pub fn new(tls: ClientConfig) -> Self {
        Self {
            http1_tls: Arc::new(with_alpn(tls.clone(), &[HTTP_1_1])),
            tls: Arc::new(with_alpn(tls, &[HTTP_2, HTTP_1_1])),
            http1_endpoints: Arc::default(),
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

    /// Returns what TLS with this endpoint is configured by.
    pub(super) fn tls(&self, endpoint: Endpoint<'_>) -> &Arc<ClientConfig> {
        if self.http1_endpoints.contains(endpoint) { &self.http1_tls } else { &self.tls }
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
        let mut endpoints = endpoints.collect::<Vec<_>>().into_iter();
        let mut attempts = Vec::new();
        let mut races = FuturesUnordered::new();
        // The endpoints that are tried, the one begun last at the end.
        let mut tried: Vec<(Endpoint<'a>, Instant, Arc<Progress>)> = Vec::new();
        // Ends: each turn begins an endpoint, or waits for one to end.
        loop {
            let is_over = opening.end.is_over();
            let delay = self.limits.endpoint_delay.min(FURTHEST);
            // A silent endpoint has the next beside it; one that has accepted a connection has not.
            let begins = match tried.last() {
                Some((_, begun, progress)) => (!progress.has_accepted()).then(|| *begun + delay),
                None => Some(Instant::now()),
            };
            let begins = begins.filter(|_| !is_over && endpoints.len() > 0);
            if begins.is_some_and(|at| at <= Instant::now()) {
                let Some(endpoint) = endpoints.next() else { break };
                let progress = Arc::new(Progress::default());
                tried.push((endpoint, Instant::now(), Arc::clone(&progress)));
                races.push(async move {
                    let race = race::race(self, target, endpoint, seed, opening, &progress);
                    (race.await, endpoint, progress)
                });
                continue;
            }
            let last = tried.last().map(|(_, _, progress)| Arc::clone(progress));
            let ended = match (begins, last) {
                (Some(at), _) => timeout_at(at, races.next()).await.ok(),
                // Once its handshakes have failed, the last one is as good as silent.
                (None, Some(last)) => {
                    match select(races.next(), pin!(last.lost.notified())).await {
                        Either::Left((ended, _)) => Some(ended),
                        Either::Right(_) => None,
                    }
                }
                (None, None) => Some(races.next().await),
            };
            let Some(ended) = ended else { continue };
            let Some((connected, endpoint, progress)) = ended else { break };
            tried.retain(|(_, _, it)| !Arc::ptr_eq(it, &progress));
            let failed = progress.take_failed();
            if let Some((address, stream, turn)) = connected {
                for (endpoint, begun, progress) in tried {
                    attempts.extend(progress.take_failed());
                    // One that has just begun is not silent.
                    if !progress.has_accepted() && begun.elapsed() >= delay {
                        let silent = silent(endpoint, &progress, delay);
                        self.report(target, &silent);
                        attempts.extend(silent);
                    }
                }
                attempts.extend(failed);
                let endpoint = endpoint.to_stored();
                let alert = Arc::default();
                return Ok(Connection { address, endpoint, stream, attempts, alert, _turn: turn });
            }
            if !opening.end.is_over() {
                self.report(target, &failed);
            }
            attempts.extend(failed);
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

/// Returns what is said of an endpoint that was silent until another was connected to.
fn silent(endpoint: Endpoint<'_>, progress: &Progress, delay: Duration) -> Vec<ConnectAttempt> {
    let attempt = |address| {
        let (phase, kind) = (ConnectPhase::Connect, ConnectFailureKind::TimedOut);
        let reason = format!("no connection within {delay:?}, and another endpoint had one");
        ConnectAttempt::new(endpoint, address, phase, kind, reason)
    };
    progress.in_flight().into_iter().map(attempt).collect()
}
