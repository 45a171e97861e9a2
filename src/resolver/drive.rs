//! Drives a machine of the core to its end: its questions become futures, their answers go back.

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::core::discovery::{Answer, Machine, Output, Question};
use crate::core::error::{Busy, ResolveError};
use crate::core::names::ServerName;
use crate::runtime::Runtime;
use crate::runtime::single_flight::TooMany;

/// Why a machine, or one of its questions, was broken off.
#[derive(Clone, Copy, Debug)]
pub(super) enum BrokenOff {
    /// An adapter panicked, or its runtime was shut down.
    Adapter,
    /// A limit was reached.
    Busy { busy: Busy, limit: usize },
}

impl BrokenOff {
    /// Creates the error for a limit that was reached.
    pub(super) const fn busy(busy: Busy, TooMany { limit }: TooMany) -> Self {
        Self::Busy { busy, limit }
    }

    /// Returns the error of a resolution that was broken off.
    pub(super) const fn error(self, name: ServerName) -> ResolveError {
        match self {
            Self::Adapter => ResolveError::AdapterFailed { name },
            Self::Busy { busy, limit } => ResolveError::TooBusy { name, busy, limit },
        }
    }
}

/// Drives `machine` to its end and asks `ask` for each answer that it needs.
pub(super) async fn drive<M: Machine, A: Future<Output = Result<Answer, BrokenOff>>>(
    machine: &mut M,
    runtime: &dyn Runtime,
    ask: impl Fn(Question) -> A,
) -> Result<M::Done, BrokenOff> {
    let mut open = FuturesUnordered::new();
    // The machine bounds its questions and its time, so this loop ends.
    loop {
        let sleep = match machine.poll_output(runtime.now()) {
            Output::Done(done) => return Ok(done),
            Output::Ask(question) => {
                open.push(ask(question));
                continue;
            }
            Output::Wait(Some(until)) => runtime.sleep_until(until),
            Output::Wait(None) => Box::pin(std::future::pending()),
        };
        match select(open.next(), sleep).await {
            Either::Left((Some(answer), _)) => machine.handle(answer?, runtime.now()),
            // Nothing is asked, so there is only the time to wait for.
            Either::Left((None, sleep)) => sleep.await,
            Either::Right(((), _)) => {}
        }
    }
}
