//! Drives a machine of the core to its end: its questions become futures, their answers go back.

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::core::discovery::{Answer, DnsToken, Machine, Output, Question};
use crate::core::error::Busy;
use crate::runtime::single_flight::TooMany;
use crate::runtime::{BoxFuture, Runtime};

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
}

/// A question that this resolver could not answer.
pub(super) struct Unanswered {
    pub(super) why: BrokenOff,
    /// The token, if the machine may be able to do without the answer.
    pub(super) token: Option<DnsToken>,
}

impl From<BrokenOff> for Unanswered {
    fn from(why: BrokenOff) -> Self {
        Self { why, token: None }
    }
}

/// The outcome of a machine.
pub(super) struct Finished<T> {
    pub(super) done: T,
    /// Why an answer was given up, if one was.
    pub(super) given_up: Option<BrokenOff>,
}

/// Drives `machine` to its end and asks `ask` for each answer that it needs.
pub(super) async fn drive<M: Machine>(
    machine: &mut M,
    runtime: &dyn Runtime,
    ask: impl Fn(Question) -> BoxFuture<'static, Result<Answer, Unanswered>>,
) -> Result<Finished<M::Done>, BrokenOff> {
    let mut open = FuturesUnordered::new();
    let mut given_up = None;
    // The machine bounds its questions and its time, so this loop ends.
    loop {
        let wait = match machine.poll_output(runtime.now()) {
            Output::Done(done) => return Ok(Finished { done, given_up }),
            Output::Ask(question) => {
                open.push(ask(question));
                continue;
            }
            Output::Wait(until) => until,
        };
        let sleep = match wait {
            Some(at) => runtime.sleep_until(at),
            None => Box::pin(std::future::pending()),
        };
        let answer = if open.is_empty() {
            sleep.await;
            continue;
        } else {
            match select(open.next(), sleep).await {
                Either::Left((answer, _)) => answer,
                Either::Right(((), _)) => continue,
            }
        };
        let answer = match answer {
            Some(Ok(answer)) => answer,
            Some(Err(Unanswered { why, token: Some(token) })) => {
                given_up = Some(why);
                token.unanswered()
            }
            Some(Err(Unanswered { why, token: None })) => return Err(why),
            None => continue,
        };
        machine.handle(answer, runtime.now());
    }
}
