//! What every phase of an attempt shares: its deadline, and the words for its failure.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, timeout_at};

use crate::core::well_known::fetch::{FetchAttempt, FetchFailure, FetchFailureKind};
use crate::transport::{in_words, printable};

/// Why one address brought no response.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) kind: FetchFailureKind,
    detail: String,
    asked: bool,
}

impl Failed {
    pub(super) fn new(kind: FetchFailureKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: printable(&detail.to_string()), asked: false }
    }

    /// In the words of this error and of what caused it.
    pub(super) fn because(kind: FetchFailureKind, error: &(dyn Error + 'static)) -> Self {
        Self { kind, detail: in_words(error), asked: false }
    }

    /// It may be that the server has seen the request.
    pub(super) fn after_asking(self) -> Self {
        Self { asked: true, ..self }
    }

    /// Whether the next address may be asked; the documentation of [`super::HyperFetch`] says why.
    pub(super) fn may_go_on(&self, method: &Method) -> bool {
        use FetchFailureKind::{HeadTooLarge, Protocol};

        !self.asked || (method.is_safe() && !matches!(self.kind, Protocol | HeadTooLarge))
    }

    pub(super) fn at(self, address: SocketAddr) -> FetchAttempt {
        FetchAttempt { address, kind: self.kind, detail: self.detail }
    }
}

impl From<Failed> for FetchFailure {
    fn from(failed: Failed) -> Self {
        Self::new(failed.kind, failed.detail)
    }
}

/// When a phase, or all of the fetch, must be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// `None` lies further ahead than the clock can say.
    at: Option<Instant>,
    limit: Duration,
    whole_fetch: bool,
}

impl Deadline {
    /// For all of the fetch, which begins now.
    pub(super) fn of_fetch(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), limit, whole_fetch: true }
    }

    /// For a phase that begins now and ends with the fetch at the latest.
    pub(super) fn of_phase(self, limit: Duration) -> Self {
        match (Instant::now().checked_add(limit), self.at) {
            (Some(phase), Some(fetch)) if phase >= fetch => self,
            (None, _) => self,
            (at, _) => Self { at, limit, whole_fetch: false },
        }
    }

    pub(super) fn is_over(self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// What the future comes to, or a failure of this kind once the time is over.
    pub(super) async fn bound<T>(
        self,
        kind: FetchFailureKind,
        future: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let Some(at) = self.at else { return future.await };
        // Not even begun: a timer lets the first poll through.
        if self.is_over() {
            return Err(Failed::new(kind, self));
        }
        timeout_at(at, future).await.unwrap_or_else(|_| Err(Failed::new(kind, self)))
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = if self.whole_fetch { "all addresses together" } else { "it" };
        write!(f, "not over within the {:?} set for {scope}", self.limit)
    }
}
