//! An HTTPS exchange: what is asked, and what the answer may be.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rustls_pki_types::ServerName as TlsName;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::config::setting::settings;
use crate::core::phase_limits::PhaseLimits;

/// One HTTPS exchange, ready to be made. It leaves no look-up and no decision to whoever makes it.
///
/// The exchange connects to `addresses`, in this order, and to nothing else. It presents and
/// verifies `tls_name`, speaks HTTP/1.1, follows no redirect and decodes no content coding.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetch {
    /// The request: an absolute `https` URI and every header to send, `Host` among them.
    pub request: http::Request<()>,
    /// The addresses to connect to, in the order to try. The address policy permits each of them.
    pub addresses: Vec<SocketAddr>,
    /// Whether there are no addresses because a proxy looks up the host of the request's URI
    /// ([`crate::config::AddressFamilies::ByProxy`]). Otherwise nothing is ever connected to by
    /// name.
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

settings! {
    /// The limits of one exchange.
    #[derive(Copy, Eq, Hash)]
    pub struct FetchLimits {
        /// How long connecting and the TLS handshake may take.
        phases: PhaseLimits;
        /// How long it may take from the first byte of the request to the last of the response.
        /// Default 10 s.
        exchange: Duration = Duration::from_secs(10),
            not_zero("every well-known fetch would time out");
        /// How long everything may take, over all addresses. Default 15 s.
        total: Duration = Duration::from_secs(15),
            not_zero("every well-known fetch would time out");
        /// The most bytes of status line and headers. Default 16 KiB.
        head_bytes: usize = 16 * 1024, at_least(1, "every well-known response would be too large");
        /// The most header lines. Default 1,000.
        head_lines: usize = 1_000, at_least(1, "every well-known response would be too large");
        /// The most bytes of the body. Default 51,200, as in Synapse and gomatrixserverlib.
        body_bytes: usize = 51_200, at_least(1, "every well-known response would be too large");
    }
}

/// The body of a response, as far as it was read.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The whole body; where the status is not 200, as much of it as is at hand.
    Complete(Vec<u8>),
    /// The body is larger than [`FetchLimits::body_bytes`]. Reading stopped there, and nothing was
    /// kept.
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
    /// The message of the library that noticed.
    pub detail: String,
    /// Every address tried, in order.
    pub attempts: Vec<FetchAttempt>,
}

impl FetchFailure {
    /// Creates a failure of this kind, with no attempts.
    pub fn new(kind: FetchFailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), attempts: Vec::new() }
    }

    /// Adds the attempts that led to the failure.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<FetchAttempt>) -> Self {
        self.attempts = attempts;
        self
    }
}

/// One address that was tried without success.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FetchAttempt {
    /// The address.
    pub address: SocketAddr,
    /// What went wrong there.
    pub kind: FetchFailureKind,
    /// The message of the library that noticed.
    pub detail: String,
}

/// How an exchange failed. The later a variant is listed, the further the exchange got; only
/// [`Local`](Self::Local) is no measure of that.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error, Serialize, Deserialize,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FetchFailureKind {
    /// The adapter failed, or cannot make the exchange.
    #[error("the fetch could not be made")]
    Adapter,
    /// There was no address to connect to.
    #[error("no address to connect to")]
    NoAddress,
    /// This machine has no way to the address: no network, or none of that family. Where that holds for
    /// every address, it says nothing about the host, as [`Local`](Self::Local).
    #[error("this machine has no network to the address")]
    NoRoute,
    /// No connection: the network or the host is unreachable, or the socket had another error.
    #[error("could not connect")]
    Connect,
    /// The host refused the connection: nothing listens on the port.
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
    /// The response was not HTTP.
    #[error("the response was not valid HTTP")]
    Protocol,
    /// Status line and headers were larger than the limit, or more than as many lines.
    #[error("the response's header section was too large")]
    HeadTooLarge,
    /// The connection ended before the response did.
    #[error("the response was cut off")]
    CutOff,
    /// This machine had no socket, memory or time for it. That says nothing about the host, decides no step,
    /// and is not remembered as an answer. It stands last, since nothing follows from the other addresses
    /// either.
    #[error("this machine could not connect")]
    Local,
}
