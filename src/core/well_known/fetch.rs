//! What is asked of HTTPS and what it may answer.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rustls_pki_types::ServerName as TlsName;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::phase_limits::PhaseLimits;

/// One HTTPS exchange, ready to be made: no look-up and no decision is left to whoever makes it.
///
/// The exchange connects to `addresses`, in order, and to nothing else, presents and verifies
/// `tls_name`, speaks HTTP/1.1, follows no redirect and undoes no content coding.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetch {
    /// The request: an absolute `https` URI and every header to send, `Host` among them.
    pub request: http::Request<()>,
    /// Where to connect, vetted by the address policy, in the order to try.
    pub addresses: Vec<SocketAddr>,
    /// Whether there are no addresses because a proxy is to look up the host of the request's URI
    /// ([`crate::AddressFamilies::ByProxy`]). Without this, nothing is ever connected to by name.
    pub left_to_proxy: bool,
    /// The name for SNI and for the certificate check.
    pub tls_name: TlsName<'static>,
    /// How long each phase may take and how much may be read.
    pub limits: FetchLimits,
}

impl Fetch {
    /// Creates a fetch of a bodiless request from these addresses, under the default limits.
    pub fn new(
        request: http::Request<()>,
        addresses: Vec<SocketAddr>,
        tls_name: TlsName<'static>,
    ) -> Self {
        let limits = FetchLimits::default();
        Self { request, addresses, left_to_proxy: false, tls_name, limits }
    }

    /// Creates a fetch for which a proxy looks up the host of the request's URI.
    pub fn by_name(request: http::Request<()>, tls_name: TlsName<'static>) -> Self {
        Self { left_to_proxy: true, ..Self::new(request, Vec::new(), tls_name) }
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: FetchLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// Limits of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FetchLimits {
    /// Connecting and the TLS handshake.
    pub phases: PhaseLimits,
    /// From the first byte of the request to the last of the response. Default 10 s.
    #[serde(with = "crate::core::config::duration")]
    pub exchange: Duration,
    /// All of it, every address included. Default 15 s.
    #[serde(with = "crate::core::config::duration")]
    pub total: Duration,
    /// Status line and headers, in bytes. Default 16 KiB.
    pub head_bytes: usize,
    /// The body, in bytes. Default 51,200, as in Synapse and gomatrixserverlib.
    pub body_bytes: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            phases: PhaseLimits::default(),
            exchange: Duration::from_secs(10),
            total: Duration::from_secs(15),
            head_bytes: 16 * 1024,
            body_bytes: 51_200,
        }
    }
}

/// A response's body, as far as it was read.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// All of it.
    Complete(Vec<u8>),
    /// It went past [`FetchLimits::body_bytes`]; reading stopped there and nothing was kept.
    TooLarge,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete(bytes) => write!(f, "Complete({} bytes)", bytes.len()),
            Self::TooLarge => f.write_str("TooLarge"),
        }
    }
}

impl<T: Into<Vec<u8>>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Complete(bytes.into())
    }
}

/// Why an exchange brought no response, with every address that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[error("{kind}: {detail}")]
#[non_exhaustive]
pub struct FetchFailure {
    /// What went wrong at the address that got furthest.
    pub kind: FetchFailureKind,
    /// The words of the library that noticed.
    pub detail: String,
    /// Every address tried, in order.
    pub attempts: Vec<FetchAttempt>,
}

impl FetchFailure {
    /// Creates a failure of this kind, with no attempts.
    pub fn new(kind: FetchFailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), attempts: Vec::new() }
    }

    /// Adds the attempts that led to it.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<FetchAttempt>) -> Self {
        self.attempts = attempts;
        self
    }
}

/// One address that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FetchAttempt {
    /// Where.
    pub address: SocketAddr,
    /// What went wrong there.
    pub kind: FetchFailureKind,
    /// In the words of the library that noticed.
    pub detail: String,
}

/// What can go wrong with an exchange; the later it stands here, the further the exchange got.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FetchFailureKind {
    /// The adapter itself failed, or has no way to make the exchange.
    #[error("the fetch could not be made")]
    Adapter,
    /// There was no address to connect to.
    #[error("no address to connect to")]
    NoAddress,
    /// No connection: the network or the host is unreachable, or another error of the socket.
    #[error("could not connect")]
    Connect,
    /// Nothing listens on the port.
    #[error("connection refused")]
    Refused,
    /// Connecting took too long.
    #[error("connecting timed out")]
    ConnectTimeout,
    /// The certificate or the handshake was not acceptable.
    #[error("TLS failed")]
    Tls,
    /// The handshake took too long.
    #[error("the TLS handshake timed out")]
    TlsTimeout,
    /// The response took too long.
    #[error("the response timed out")]
    ExchangeTimeout,
    /// What came was not HTTP.
    #[error("the response was not valid HTTP")]
    Protocol,
    /// Status line and headers were over the limit.
    #[error("the response's header section was too large")]
    HeadTooLarge,
    /// The connection ended before the response did.
    #[error("the response was cut off")]
    CutOff,
}
