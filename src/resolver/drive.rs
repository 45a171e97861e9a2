//! Drives a machine of the core to its end: its questions become futures, their answers go back.

use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::Response;

use super::memory::LookedUp;
use crate::core::cache::dns_part::DnsPart;
use crate::core::cache::well_known_answer::WellKnownAnswer;
use crate::core::discovery::{
    Discovery, DnsToken, FetchToken, Outcome, Output, Question, WellKnownToken,
    lookup::WellKnownLookup,
};
use crate::core::report::Source;
use crate::core::time::Now;
use crate::core::well_known::fetch::{Body, FetchFailure};
use crate::runtime::single_flight::TooMany;
use crate::runtime::{BoxFuture, Runtime};

/// An answer on its way back to a machine.
#[derive(Debug)]
pub(super) enum Answer {
    Dns {
        token: DnsToken,
        part: Arc<DnsPart>,
        source: Source,
    },
    Fetch {
        token: FetchToken,
        result: Result<Response<Body>, FetchFailure>,
    },
    WellKnown {
        token: WellKnownToken,
        known: Arc<LookedUp>,
        source: Source,
    },
    /// None will come.
    NoDns {
        token: DnsToken,
        why: BrokenOff,
    },
}

/// Why a machine was not driven to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum BrokenOff {
    /// An adapter panicked, or its runtime was shut down.
    Adapter,
    /// Too much is under way.
    Busy { limit: usize },
}

impl From<TooMany> for BrokenOff {
    fn from(TooMany { limit }: TooMany) -> Self {
        Self::Busy { limit }
    }
}

/// A machine of the core.
pub(super) trait Machine {
    type Done;
    fn poll_output(&mut self, now: Now) -> Output<Self::Done>;
    /// An error, if the machine cannot do without an answer that will not come.
    fn handle(&mut self, answer: Answer, now: Now) -> Result<(), BrokenOff>;
}

/// How a machine came to its end.
pub(super) struct Driven<T> {
    pub(super) done: T,
    /// Why one of its answers never came, if one did not.
    pub(super) given_up: Option<BrokenOff>,
}

/// Drives `machine`, asking `ask` for what it wants to know.
pub(super) async fn drive<M: Machine>(
    machine: &mut M,
    runtime: &dyn Runtime,
    ask: impl Fn(Question) -> BoxFuture<'static, Result<Answer, BrokenOff>>,
) -> Result<Driven<M::Done>, BrokenOff> {
    let mut open = FuturesUnordered::new();
    let mut given_up = None;
    // The machine bounds its questions and its time, and so this loop.
    loop {
        let wait = match machine.poll_output(runtime.now()) {
            Output::Done(done) => return Ok(Driven { done, given_up }),
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
        if let Some(answer) = answer.transpose()? {
            if let Answer::NoDns { why, .. } = &answer {
                given_up = Some(*why);
            }
            machine.handle(answer, runtime.now())?;
        }
    }
}

impl Machine for Discovery {
    type Done = Outcome;

    fn poll_output(&mut self, now: Now) -> Output<Outcome> {
        Self::poll_output(self, now)
    }

    fn handle(&mut self, answer: Answer, now: Now) -> Result<(), BrokenOff> {
        match answer {
            Answer::Dns { token, part, source } => self.handle_dns_part(token, part, source, now),
            Answer::Fetch { token, result } => self.handle_response(token, result, now),
            Answer::NoDns { token, .. } => self.give_up_dns(token, now),
            Answer::WellKnown { token, known, source } => {
                let lookup = known.lookup.clone().filter(|_| source == Source::Asked);
                self.handle_well_known(token, Arc::clone(&known.answer), source, lookup, now);
            }
        }
        Ok(())
    }
}

impl Machine for WellKnownLookup {
    type Done = WellKnownAnswer;

    fn poll_output(&mut self, now: Now) -> Output<WellKnownAnswer> {
        Self::poll_output(self, now)
    }

    fn handle(&mut self, answer: Answer, now: Now) -> Result<(), BrokenOff> {
        match answer {
            Answer::Dns { token, part, source } => self.handle_dns_part(token, part, source, now),
            Answer::Fetch { token, result } => self.handle_response(token, result, now),
            // It asks for nothing that it does not need.
            Answer::NoDns { why, .. } => return Err(why),
            // A look-up asks for no other look-up.
            Answer::WellKnown { .. } => {}
        }
        Ok(())
    }
}
