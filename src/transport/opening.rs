//! Opening a verified stream: connecting, then the TLS handshake, each under its limit.

use std::error::Error;
use std::future::Future;
use std::io;

use super::deadline::{Deadline, TimedOut};
use super::dial::DialStream;
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
    /// What the library said, or the time that ran out.
    pub(crate) error: Box<dyn Error + Send + Sync>,
}

/// The phases of opening a stream, under the limit of each and of all that is to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    limits: PhaseLimits,
    end: Deadline,
}

impl Opening {
    pub(crate) const fn new(limits: PhaseLimits, end: Deadline) -> Self {
        Self { limits, end }
    }

    pub(crate) const fn limits(&self) -> &PhaseLimits {
        &self.limits
    }

    /// Returns when everything must be open.
    pub(crate) const fn end(&self) -> Deadline {
        self.end
    }

    /// Connects, then performs the handshake over the stream.
    #[cfg(feature = "client")]
    pub(crate) async fn open<T, H>(
        &self,
        dialled: impl Future<Output = io::Result<Box<dyn DialStream>>>,
        handshake: impl FnOnce(Box<dyn DialStream>) -> H,
    ) -> Result<T, OpenError>
    where
        H: Future<Output = io::Result<T>>,
    {
        let stream = self.connect(dialled).await?;
        self.secure(handshake(stream)).await
    }

    /// Connects: the first phase alone.
    pub(crate) async fn connect(
        &self,
        dialled: impl Future<Output = io::Result<Box<dyn DialStream>>>,
    ) -> Result<Box<dyn DialStream>, OpenError> {
        let deadline = self.end.of_phase(self.limits.connect);
        in_phase(Phase::Connect, deadline.bound(dialled).await)
    }

    /// Performs the TLS handshake: the second phase alone.
    pub(crate) async fn secure<T, E>(
        &self,
        handshake: impl Future<Output = Result<T, E>>,
    ) -> Result<T, OpenError>
    where
        E: Error + Send + Sync + 'static,
    {
        let deadline = self.end.of_phase(self.limits.tls);
        in_phase(Phase::Tls, deadline.bound(handshake).await)
    }
}

fn in_phase<T, E>(phase: Phase, outcome: Result<Result<T, E>, TimedOut>) -> Result<T, OpenError>
where
    E: Error + Send + Sync + 'static,
{
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let kind = ConnectFailureKind::of(&error, phase);
            Err(OpenError { phase, kind, error: error.into() })
        }
        Err(timed_out) => {
            let kind = ConnectFailureKind::TimedOut;
            Err(OpenError { phase, kind, error: timed_out.into() })
        }
    }
}
