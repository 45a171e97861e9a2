//! Why an attempt at one address brought no response.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use http::Method;

use crate::core::well_known::{FetchAttempt, FetchFailure, FetchFailureKind};
use crate::transport::ConnectFailureKind;
use crate::transport::error_chain::{in_words, printable};
use crate::transport::opening::{OpenError, Phase};

/// Why one address brought no response.
#[derive(Debug)]
pub(super) struct AttemptFailure {
    pub(super) kind: FetchFailureKind,
    detail: String,
    asked: bool,
}

impl AttemptFailure {
    pub(super) fn new(kind: FetchFailureKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: printable(&detail.to_string()), asked: false }
    }

    /// Makes a failure with the text of this error and its causes.
    pub(super) fn because(kind: FetchFailureKind, error: &(dyn Error + 'static)) -> Self {
        Self { kind, detail: in_words(error), asked: false }
    }

    /// Marks that the server may have seen the request.
    pub(super) fn after_asking(self) -> Self {
        Self { asked: true, ..self }
    }

    /// Returns whether the next address may be asked; the documentation of [`super::HyperFetch`]
    /// says why.
    pub(super) fn may_go_on(&self, method: &Method) -> bool {
        use FetchFailureKind::{HeadTooLarge, Protocol};

        !self.asked || (method.is_safe() && !matches!(self.kind, Protocol | HeadTooLarge))
    }

    pub(super) fn at(self, address: SocketAddr) -> FetchAttempt {
        FetchAttempt { address, kind: self.kind, detail: self.detail }
    }
}

impl From<AttemptFailure> for FetchFailure {
    fn from(failed: AttemptFailure) -> Self {
        Self::new(failed.kind, failed.detail)
    }
}

impl From<OpenError> for AttemptFailure {
    fn from(failure: OpenError) -> Self {
        let kind = match (failure.phase, failure.kind) {
            (Phase::Connect, ConnectFailureKind::Refused) => FetchFailureKind::Refused,
            (Phase::Connect, ConnectFailureKind::TimedOut) => FetchFailureKind::ConnectTimeout,
            (Phase::Connect, ConnectFailureKind::Unsupported) => FetchFailureKind::Adapter,
            (Phase::Connect, ConnectFailureKind::Local) if failure.is_for_want_of_a_route() => {
                FetchFailureKind::NoRoute
            }
            (Phase::Connect, ConnectFailureKind::Local) => FetchFailureKind::Local,
            (Phase::Connect, _) => FetchFailureKind::Connect,
            (Phase::Tls, ConnectFailureKind::TimedOut) => FetchFailureKind::TlsTimeout,
            (Phase::Tls, _) => FetchFailureKind::Tls,
        };
        Self { kind, detail: failure.in_words(), asked: false }
    }
}
