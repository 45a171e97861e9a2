//! Where a discovery gets the well-known document from: its own fetches, or its driver.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::facts::{Facts, WellKnownFact};
use super::fetch_chain::FetchChain;
use super::machine::{Answer, Question, WellKnownToken};
use crate::core::cache::WellKnownEntry;
use crate::core::names::DnsName;
use crate::core::report::{Source, WellKnownReport};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::WellKnownFailure;

/// Where a discovery gets the well-known document from.
#[derive(Debug)]
pub(super) enum WellKnownSource {
    /// It fetches the document itself.
    Fetched { chain: Option<Box<FetchChain>>, before: Option<Box<WellKnownEntry>> },
    /// It asks one question and is given the answer as a whole.
    Shared(Option<SharedWellKnown>),
}

/// A document that the driver looks up.
#[derive(Debug)]
pub(super) struct SharedWellKnown {
    host: DnsName,
    asked: Monotonic,
    answer: Option<WellKnownFact>,
    /// How it was looked up, if that was just now.
    lookup: Option<Arc<WellKnownReport>>,
}

impl SharedWellKnown {
    /// The time that an answer has beyond the limit on a well-known. Whoever looks it up keeps that
    /// limit and decides what a time-out means, which may be that an earlier answer is used. This
    /// is for a driver that does not keep it.
    const BACKSTOP: Duration = Duration::from_secs(1);
}

impl WellKnownSource {
    /// Returns what is known of the document, once that is known. Asks for it if necessary.
    pub(super) fn poll(
        &mut self,
        facts: &mut Facts,
        host: &DnsName,
        now: Now,
    ) -> Poll<WellKnownFact> {
        match self {
            Self::Fetched { chain, before } => {
                let chain = chain.get_or_insert_with(|| {
                    let mut chain = FetchChain::new(host.clone());
                    chain.before = before.take().map(|before| *before);
                    Box::new(chain)
                });
                chain.poll(facts, now).map(|entry| WellKnownFact::asked(entry.clone()))
            }
            Self::Shared(shared) => {
                let shared = shared.get_or_insert_with(|| {
                    let token = WellKnownToken(());
                    facts.ask(Question::WellKnown { token, host: host.clone() });
                    SharedWellKnown {
                        host: host.clone(),
                        asked: now.monotonic,
                        answer: None,
                        lookup: None,
                    }
                });
                if let Some(answer) = &shared.answer {
                    return Poll::Ready(answer.clone());
                }
                let limit = facts.config.time.well_known;
                let due = shared.asked + limit + SharedWellKnown::BACKSTOP;
                if now.monotonic < due {
                    facts.wake_at(due);
                    return Poll::Pending;
                }
                let failure = WellKnownFailure::TimedOut { limit };
                let (config, random) = (&facts.config, &mut facts.random);
                let entry = WellKnownEntry::judge(None, Err(failure), now, config, random);
                Poll::Ready(shared.answer.insert(WellKnownFact::asked(entry)).clone())
            }
        }
    }

    /// Takes in the response to a fetch or what the driver knows of the document. A second answer, or
    /// one to another question than was asked, changes nothing.
    pub(super) fn handle(&mut self, answer: Answer, facts: &Facts, now: Monotonic) {
        match (self, answer) {
            (Self::Fetched { chain: Some(chain), .. }, Answer::Fetch { token, result }) => {
                chain.handle(token, result, facts.since_start(now));
            }
            (Self::Shared(Some(shared)), Answer::WellKnown { entry, source, lookup, .. })
                if shared.answer.is_none() =>
            {
                let answer = WellKnownFact { entry, source, at: now };
                (shared.answer, shared.lookup) = (Some(answer), lookup);
            }
            _ => {}
        }
    }

    /// Returns whether it is known what the document says.
    pub(super) fn is_answered(&self) -> bool {
        match self {
            Self::Fetched { chain, .. } => {
                chain.as_ref().is_some_and(|chain| chain.answer().is_some())
            }
            Self::Shared(shared) => shared.as_ref().is_some_and(|shared| shared.answer.is_some()),
        }
    }

    /// Returns what a report says of the document, if it was asked for.
    pub(super) fn report(&self, started: Now) -> Option<WellKnownReport> {
        match self {
            Self::Fetched { chain, .. } => Some(chain.as_ref()?.report(started)),
            Self::Shared(shared) => shared.as_ref().map(|shared| {
                let (lookup, answer) = (shared.lookup.as_deref(), shared.answer.as_ref());
                WellKnownReport {
                    host: shared.host.clone(),
                    source: answer.map_or(Source::Asked, |fact| fact.source),
                    started: lookup.map_or(started, |lookup| lookup.started),
                    dns: lookup.map(|lookup| lookup.dns.clone()).unwrap_or_default(),
                    hops: lookup.map(|lookup| lookup.hops.clone()).unwrap_or_default(),
                    result: answer.map(WellKnownFact::result),
                    lifetime: answer.map(WellKnownFact::lifetime),
                    failures: answer.map_or(0, |fact| fact.entry.failures()),
                }
            }),
        }
    }

    /// Returns what is waited for, in words.
    pub(super) fn open(&self) -> Option<String> {
        match self {
            Self::Fetched { chain, .. } => chain.as_ref()?.open().map(|url| format!("GET {url}")),
            Self::Shared(shared) => shared
                .as_ref()
                .filter(|shared| shared.answer.is_none())
                .map(|shared| format!("the well-known of {}", shared.host)),
        }
    }
}
