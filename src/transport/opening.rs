//! Opening a verified stream: connecting, then the TLS handshake, each within its limit.

use std::error::Error;
use std::future::Future;

use super::deadline::Deadline;
use super::failure_kind::ConnectFailureKind;
use crate::core::phase_limits::PhaseLimits;

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
}

/// The limits of the phases of opening a stream, and of everything that is to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) limits: PhaseLimits,
    /// When everything must be open.
    pub(crate) end: Deadline,
}

impl Opening {
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
        Err(OpenError { phase, kind: ConnectFailureKind::of(&*error, phase), error })
    }
}
