//! `WellKnownFetch` on hyper and tokio-rustls.
//!
//! No connection pool, no proxy, no redirects, no decompression, no name look-up: hyper's
//! connection is used as it is, driven inside the future that [`HyperFetch`] returns. Nothing here
//! reads the environment but the look-up of the platform's root certificates.

mod exchange;
mod failure;
mod meter;
mod request;

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Bytes;
use rustls::ClientConfig;

use self::failure::AttemptFailure;
use crate::core::well_known::{Body, Fetch, FetchFailure, FetchFailureKind};
use crate::resolver::traits::WellKnownFetch;
use crate::runtime::BoxFuture;
use crate::transport::deadline::Deadline;
use crate::transport::happy_eyeballs::StaggeredAttempts;
use crate::transport::opening::{OpenError, Opening};
use crate::transport::tls::{HTTP_1_1, with_alpn};
use crate::transport::{Dial, DialStream, TcpDial};
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::transport::{TlsSetupError, roots::TrustedRoots};

/// [`WellKnownFetch`] on hyper and tokio-rustls, over HTTP/1.1.
///
/// # Which addresses
///
/// Those it is handed, in order; a [`Dial`] can put a proxy or another network between. While one
/// is silent the next is dialled beside it after
/// [`PhaseLimits::attempt_delay`](crate::config::PhaseLimits::attempt_delay) (RFC 8305 section 5),
/// and the first that connects is used. The next one is tried
/// - after any failure to connect or to agree on TLS, when nothing was asked yet;
/// - after a silence or a cut-off ([`FetchFailureKind::ExchangeTimeout`],
///   [`FetchFailureKind::CutOff`]) too, if the method is safe: to ask twice does no harm then
///   (RFC 9110 section 9.2.2), and behind one address of several a dead machine is not rare.
///
/// A response that is no HTTP or has too large a head ends it: it came from who holds the
/// certificate, and the other addresses would hardly say something else. So does the end of
/// [`FetchLimits::total`](crate::well_known::FetchLimits::total), over all addresses. Without any
/// address the fetch fails with [`FetchFailureKind::NoAddress`]; where names are left to a proxy,
/// the [`Dial`] must know one ([`Dial::dial_name`]).
///
/// # What is sent
///
/// The request's own headers, `Connection: close` and, if it has none, a `Host` from its URI. A
/// request that announces a body, has two `Host` headers or no absolute `https` URI fails with
/// [`FetchFailureKind::Adapter`].
///
/// # What is read
///
/// Of a response whose status is not 200, the head, and of its body what has arrived with the head, at
/// most 4 KiB: nobody waits for the rest, and the connection is closed at once.
///
/// In a head, folded lines are joined by a space (RFC 9112 section 5.2), blanks before a colon are
/// removed, and lines that are no headers are skipped. `Content-Length` and `Transfer-Encoding` must be
/// right, and a NUL or a bare CR is an error.
///
/// All that comes before the body, interim responses (1xx) included, counts towards
/// [`FetchLimits::head_bytes`](crate::well_known::FetchLimits::head_bytes); the limit is exact. A
/// body is [`Body::TooLarge`] as soon as `Content-Length` says so, or once more of it came than
/// [`FetchLimits::body_bytes`](crate::well_known::FetchLimits::body_bytes), or when it is wrapped
/// in chunks beyond all proportion; the connection is then closed at once. A body that ends with
/// the connection must end with TLS's own farewell, else it was cut off (RFC 9112 section 9.8).
///
/// # Where it runs
///
/// In the future that is returned, on a tokio runtime with I/O and time enabled; it starts no
/// task, and to drop the future is to close the connection.
#[derive(Clone, Debug)]
pub struct HyperFetch {
    tls: Arc<ClientConfig>,
    dial: Arc<dyn Dial>,
}

impl HyperFetch {
    /// Creates a fetch with this TLS configuration, whatever its crypto provider, and [`TcpDial`].
    ///
    /// ALPN is set to `http/1.1`; all else is left as it is.
    pub fn new(tls: ClientConfig) -> Self {
        Self { tls: Arc::new(with_alpn(tls, &[HTTP_1_1])), dial: Arc::new(TcpDial) }
    }

    /// Creates a fetch that trusts the platform's root certificates. Blocks while it reads them.
    ///
    /// # Errors
    ///
    /// If there are none.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn with_platform_roots() -> Result<Self, TlsSetupError> {
        Self::with_roots(TrustedRoots::platform())
    }

    /// Creates a fetch that trusts these root certificates. Blocks while it reads the platform's, if
    /// they are among them.
    ///
    /// ```no_run
    /// use matrix_delegation::{HyperFetch, TrustedRoots};
    ///
    /// let roots = TrustedRoots::platform().with_pem_file("ca.pem")?;
    /// let fetch = HyperFetch::with_roots(roots)?;
    /// # Ok::<(), matrix_delegation::transport::TlsSetupError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there are none, or one that was added cannot be read.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn with_roots(roots: TrustedRoots) -> Result<Self, TlsSetupError> {
        roots.client_config().map(Self::new)
    }

    /// Opens streams with this.
    #[must_use]
    pub fn with_dial(mut self, dial: Arc<dyn Dial>) -> Self {
        self.dial = dial;
        self
    }

    async fn over_addresses(&self, fetch: Fetch) -> Result<Response<Body>, FetchFailure> {
        let end = Deadline::of_all(fetch.limits.total);
        let opening = Opening { limits: fetch.limits.phases, end };
        let request = request::on_the_wire(fetch.request.clone())?;
        if fetch.left_to_proxy {
            let uri = fetch.request.uri();
            let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
            let dialled = opening.connect(&*self.dial, None, self.dial.dial_name(host, port)).await;
            return Ok(self.over(dialled, &fetch, &request, &opening).await?);
        }
        let mut attempts = Vec::new();
        let addresses = fetch.addresses.iter().copied();
        let mut dials =
            StaggeredAttempts::new(addresses, opening.limits.attempt_delay, |address| {
                let dialled = opening.connect(&*self.dial, Some(address), self.dial.dial(address));
                async move { (address, dialled.await) }
            });
        while let Some((address, dialled)) = dials.next().await {
            match self.over(dialled, &fetch, &request, &opening).await {
                Ok(response) => return Ok(response),
                Err(failed) => {
                    let is_last = end.is_over() || !failed.may_go_on(request.method());
                    attempts.push(failed.at(address));
                    if is_last {
                        break;
                    }
                }
            }
        }
        // Of those that got equally far, the first: it stood first for a reason.
        let furthest = attempts.iter().rev().max_by_key(|attempt| attempt.kind);
        let failure = furthest.map_or_else(
            || FetchFailure::new(FetchFailureKind::NoAddress, "no address was given"),
            |furthest| FetchFailure::new(furthest.kind, furthest.detail.clone()),
        );
        Err(failure.with_attempts(attempts))
    }

    /// Makes the exchange over this stream, if there is one.
    async fn over(
        &self,
        dialled: Result<Box<dyn DialStream>, OpenError>,
        fetch: &Fetch,
        request: &Request<Empty<Bytes>>,
        opening: &Opening,
    ) -> Result<Response<Body>, AttemptFailure> {
        let stream = opening.secure(&self.tls, fetch.tls_name.clone(), dialled?).await?;

        let answered = exchange::exchange(stream, request.clone(), &fetch.limits);
        let answered = opening.end.of_phase(fetch.limits.exchange).bound(answered).await;
        let timed_out = |late| Err(AttemptFailure::new(FetchFailureKind::ExchangeTimeout, late));
        answered.unwrap_or_else(timed_out).map_err(AttemptFailure::after_asking)
    }
}

impl WellKnownFetch for HyperFetch {
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Response<Body>, FetchFailure>> {
        Box::pin(self.over_addresses(fetch))
    }
}
