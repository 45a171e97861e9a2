//! Opening a verified stream: connecting, then the TLS handshake, each within its limit.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::ServerName as TlsName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::deadline::Deadline;
use super::dial::{Dial, DialStream};
use super::error_chain::{cause, in_words};
use super::failure_kind::ConnectFailureKind;
use super::tls::offer;
use crate::core::phase_limits::PhaseLimits;
use crate::local_trouble::may_be_routing;

/// A phase of opening a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connect,
    Tls,
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) struct OpenError {
    pub(crate) phase: Phase,
    pub(crate) kind: ConnectFailureKind,
    /// The library's error, or [`TimedOut`](super::deadline::TimedOut).
    pub(crate) error: Box<dyn Error + Send + Sync>,
    /// What was offered to a server that accepts nothing of it; else empty.
    pub(crate) offer: String,
}

impl OpenError {
    pub(crate) fn new(phase: Phase, error: Box<dyn Error + Send + Sync>) -> Self {
        let kind = ConnectFailureKind::of(&*error, phase);
        Self { phase, kind, error, offer: String::new() }
    }

    /// Makes a failure of this machine, for this reason.
    #[cfg(feature = "client")]
    pub(crate) fn local(reason: String) -> Self {
        let (phase, kind) = (Phase::Connect, ConnectFailureKind::Local);
        Self { phase, kind, error: reason.into(), offer: String::new() }
    }

    /// Returns whether it says that there is no way to the address.
    pub(crate) fn is_for_want_of_a_route(&self) -> bool {
        cause::<io::Error>(&*self.error).is_some_and(may_be_routing)
    }

    /// Returns why there is no stream, for people.
    pub(crate) fn in_words(&self) -> String {
        in_words(&*self.error) + &self.offer
    }

    /// Adds what was offered, if the server accepts nothing of it. Servers do not say what they would have
    /// needed.
    pub(crate) fn with_offer(mut self, provider: &CryptoProvider) -> Self {
        if self.kind == ConnectFailureKind::TlsAlert {
            self.offer = offer(&*self.error, provider);
        }
        self
    }
}

/// The limits of the phases of opening a stream, and of everything that is to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) limits: PhaseLimits,
    /// When everything must be open.
    pub(crate) end: Deadline,
}

impl Opening {
    /// Runs what this dial does to connect, where it is known to this address.
    pub(crate) async fn connect<T>(
        &self,
        dial: &dyn Dial,
        address: Option<SocketAddr>,
        dialled: impl Future<Output = io::Result<T>>,
    ) -> Result<T, OpenError> {
        let connected = self.run(Phase::Connect, dialled).await;
        connected.map_err(|mut failure| {
            // A router or a firewall may say that there is no way, too.
            if failure.is_for_want_of_a_route()
                && address.is_some_and(|address| dial.has_route(address))
            {
                failure.kind = ConnectFailureKind::Unreachable;
            }
            failure
        })
    }

    /// Performs the TLS handshake over a stream.
    pub(crate) async fn secure(
        &self,
        tls: &Arc<ClientConfig>,
        name: TlsName<'static>,
        stream: Box<dyn DialStream>,
    ) -> Result<TlsStream<Box<dyn DialStream>>, OpenError> {
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let secured = self.run(Phase::Tls, handshake).await;
        secured.map_err(|error| error.with_offer(tls.crypto_provider()))
    }

    /// Runs a phase within its limit.
    pub(crate) async fn run<T, E>(
        &self,
        phase: Phase,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, OpenError>
    where
        E: Error + Send + Sync + 'static,
    {
        let limit = match phase {
            Phase::Connect => self.limits.connect,
            Phase::Tls => self.limits.tls,
        };
        let error: Box<dyn Error + Send + Sync> = match self.end.of_phase(limit).bound(future).await
        {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.into(),
            Err(timed_out) => timed_out.into(),
        };
        Err(OpenError::new(phase, error))
    }
}
