//! The facts that the rules read: what was asked, what was answered, and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::machine::{Answer, DnsToken, Output, Question};
use crate::core::cache::{CacheEntry, DnsEntry, Purpose, Served, WellKnownEntry};
use crate::core::config::Config;
use crate::core::dns::{
    DnsAnswer, DnsError, DnsFailure, DnsQuestion, DnsRecords, NoRecord, SplitMix64,
};
use crate::core::names::ServerName;
use crate::core::report::{DnsExchange, Source};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::{WellKnown, WellKnownFailure};

/// How much longer than the limit on a DNS question a machine waits for the answer, so that what an
/// adapter reports at the limit still counts.
const ANSWER_MARGIN: Duration = Duration::from_millis(250);

/// The questions of a machine, their answers, and the time.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) config: Arc<Config>,
    pub(super) random: SplitMix64,
    started: Now,
    now: Now,
    /// Each question to DNS, once. A token is an index into this list.
    entries: Vec<Entry>,
    /// Questions that the driver has not polled yet.
    outbox: VecDeque<Question>,
    /// The earliest time at which something may change without an answer, by what this reading of
    /// the rules has met so far.
    wake: Option<Monotonic>,
    /// Whether this reading of the rules has needed an answer that will not come.
    missed: bool,
}

/// The most queries that one question takes: its own, and two more where its name has aliases.
const QUERIES_MOST: usize = 3;

/// Whether the budget of queries suffices for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    Suffices,
    /// Questions that are not answered yet may take fewer than they might.
    MaySuffice,
    Exceeded,
}

impl Entry {
    /// Returns how many queries it takes, or may take.
    fn queries(&self) -> usize {
        match &self.fact {
            Some(fact) if !matches!(fact.source, Source::Asked) => 0,
            // There may have been an alias on the way to there being none.
            Some(fact) => match fact.served().said() {
                Ok(records) if records.none().is_none() && !records.is_alias() => 1,
                _ => QUERIES_MOST,
            },
            None => QUERIES_MOST,
        }
    }
}

/// A question to DNS, when it was asked, and its answer.
#[derive(Debug)]
struct Entry {
    question: DnsQuestion,
    asked: Monotonic,
    fact: Option<Fact>,
    /// Whether the driver has said that no answer will come.
    given_up: bool,
}

/// An answer of DNS, and when it arrived.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) entry: DnsEntry,
    pub(super) at: Monotonic,
    source: Source,
}

/// Returns what an answer that arrived at this time may be used for. If it was asked for just then,
/// it may be used even if it has expired; if it was remembered, as far as it may be without asking.
///
/// It is judged at the time of arrival, so that every call for one answer returns the same.
fn served<G: Clone, F>(
    entry: &CacheEntry<G, F>,
    source: Source,
    at: Monotonic,
) -> Served<'_, G, F> {
    match source {
        Source::Asked => entry.obtained(at),
        Source::Memory { .. } => {
            entry.serve(at, Purpose::AtOnce).unwrap_or_else(|| entry.obtained(at))
        }
    }
}

impl Fact {
    /// Makes a fact from what DNS said just now.
    fn asked(question: &DnsQuestion, answer: DnsAnswer, now: Monotonic, config: &Config) -> Self {
        let entry = DnsEntry::learn(None, question, answer, now, config);
        Self { entry, at: now, source: Source::Asked }
    }

    /// Returns the last outcome as an answer of DNS.
    fn answer(&self) -> DnsAnswer {
        self.served().said().map_or_else(|why| why.clone().into(), |value| value.clone().into())
    }

    /// Returns what the answer may be used for.
    pub(super) fn served(&self) -> Served<'_, DnsRecords, DnsError> {
        served(&self.entry, self.source, self.at)
    }
}

/// What is known of a well-known document, and when it arrived.
#[derive(Clone, Debug)]
pub(super) struct WellKnownFact {
    pub(super) entry: WellKnownEntry,
    pub(super) source: Source,
    pub(super) at: Monotonic,
}

impl WellKnownFact {
    /// Makes a fact from what was found out just now.
    pub(super) fn asked(entry: WellKnownEntry) -> Self {
        Self { at: entry.learnt(), source: Source::Asked, entry }
    }

    /// Returns what the answer may be used for.
    pub(super) fn served(&self) -> Served<'_, WellKnown, WellKnownFailure> {
        served(&self.entry, self.source, self.at)
    }

    /// Returns what a report says of the document: the name that it delegates to, or the failure.
    pub(super) fn result(&self) -> Result<ServerName, WellKnownFailure> {
        self.served().said().map(|document| document.server().clone()).map_err(Clone::clone)
    }

    /// Returns how long the answer counts, from when it was learnt.
    pub(super) fn lifetime(&self) -> Duration {
        match self.entry.good_part().filter(|_| self.served().holds()) {
            Some(good) => good.terms.expires.since(good.obtained),
            None => self.entry.until().since(self.entry.learnt()),
        }
    }
}

impl Facts {
    pub(super) fn new(config: Arc<Config>, started: Now, seed: u64) -> Self {
        Self {
            config,
            random: SplitMix64(seed),
            started,
            now: started,
            entries: Vec::new(),
            outbox: VecDeque::new(),
            wake: None,
            missed: false,
        }
    }

    pub(super) const fn started(&self) -> Now {
        self.started
    }

    /// Takes in the driver's time and returns the machine's: the latest that the driver ever gave,
    /// so that time never runs backwards.
    pub(super) fn clock(&mut self, now: Now) -> Now {
        if now.monotonic >= self.now.monotonic {
            self.now = now;
        }
        self.now
    }

    /// Returns the latest time that the driver gave.
    pub(super) const fn now(&self) -> Now {
        self.now
    }

    /// Returns the time from the start to `at`.
    pub(super) fn since_start(&self, at: Monotonic) -> Duration {
        at.since(self.started.monotonic)
    }

    /// Puts a question to the driver.
    pub(super) fn ask(&mut self, question: Question) {
        self.outbox.push_back(question);
    }

    /// Returns what the machine wants next, provided that it has not ended.
    pub(super) fn next_output<T>(&mut self) -> Output<T> {
        self.outbox.pop_front().map_or(Output::Wait(self.wake), Output::Ask)
    }

    /// Begins a reading of the rules, and forgets what the last reading waited for.
    pub(super) fn begin(&mut self) {
        self.wake = None;
        self.missed = false;
    }

    /// Returns whether this reading of the rules has needed an answer that will not come.
    pub(super) const fn missed(&self) -> bool {
        self.missed
    }

    /// Asks to be polled at this time at the latest.
    pub(super) fn wake_at(&mut self, at: Monotonic) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Returns the answer to a question, if there is one. Asks the question if that was not done
    /// before. An overdue answer counts as timed out.
    pub(super) fn dns(&mut self, question: &DnsQuestion, now: Monotonic) -> Option<Fact> {
        let index = self.entry(question, now);
        let limit = self.limit();
        let entry = self.entries.get_mut(index)?;
        let due = entry.asked + limit;
        if entry.fact.is_none() && now >= due {
            let answer = DnsAnswer::failed(DnsFailure::Timeout);
            entry.fact = Some(Fact::asked(&entry.question, answer, now, &self.config));
        }
        let (fact, given_up) = (entry.fact.clone(), entry.given_up);
        if fact.is_none() {
            self.missed |= given_up;
            self.wake_at(due);
        }
        fact
    }

    /// Returns until when an answer that has expired is used. One that is not renewed yet is used
    /// for `Refresh::unrenewed` only.
    pub(super) fn stale_until(&self, until: Monotonic, now: Monotonic) -> Monotonic {
        if until > now { until } else { now + self.config.refresh.unrenewed }
    }

    /// Returns whether the budget of queries suffices to ask what was not asked of these questions.
    pub(super) fn budget(&self, questions: &[DnsQuestion], now: Monotonic) -> Budget {
        let is_asked =
            |question: &DnsQuestion| self.entries.iter().any(|entry| entry.question == *question);
        let new = questions.iter().filter(|question| !is_asked(question)).count();
        if new == 0 {
            return Budget::Suffices;
        }
        let (mut spent, mut open) = (new * QUERIES_MOST, false);
        for entry in &self.entries {
            spent += entry.queries();
            open |= entry.fact.is_none() && !entry.given_up && now < entry.asked + self.limit();
        }
        match spent <= self.config.limits.dns_queries {
            true => Budget::Suffices,
            false if open => Budget::MaySuffice,
            false => Budget::Exceeded,
        }
    }

    /// Returns how long an answer is waited for.
    fn limit(&self) -> Duration {
        self.config.time.dns.saturating_add(ANSWER_MARGIN)
    }

    /// Returns when a question was asked, if it was.
    pub(super) fn asked(&self, question: &DnsQuestion) -> Option<Monotonic> {
        let entry = self.entries.iter().find(|entry| entry.question == *question)?;
        Some(entry.asked)
    }

    /// Asks a question whose answer is not needed yet.
    pub(super) fn dns_early(&mut self, question: &DnsQuestion, now: Monotonic) {
        self.entry(question, now);
    }

    /// Returns the answer to a question, if there is one. Asks nothing.
    pub(super) fn known(&self, question: &DnsQuestion) -> Option<&Fact> {
        let entry = self.entries.iter().find(|entry| entry.question == *question)?;
        entry.fact.as_ref()
    }

    /// Returns the index of a question. Asks the question if that was not done before.
    fn entry(&mut self, question: &DnsQuestion, now: Monotonic) -> usize {
        if let Some(index) = self.entries.iter().position(|entry| entry.question == *question) {
            return index;
        }
        let index = self.entries.len();
        let mut entry =
            Entry { question: question.clone(), asked: now, fact: None, given_up: false };
        if is_never_asked(question) {
            let answer = DnsAnswer::None { kind: NoRecord::Onion, ttl: None };
            entry.fact = Some(Fact::asked(question, answer, now, &self.config));
        } else {
            self.ask(Question::Dns { token: DnsToken(index), question: question.clone() });
        }
        self.entries.push(entry);
        index
    }

    /// Takes in an answer of DNS. A second one, or one to a question never asked, changes nothing.
    pub(super) fn handle(&mut self, answer: Answer, now: Monotonic) {
        match answer {
            Answer::Dns { token, answer } => {
                let config = Arc::clone(&self.config);
                if let Some(entry) = self.waiting(token, now) {
                    entry.fact = Some(Fact::asked(&entry.question, answer, now, &config));
                }
            }
            Answer::DnsEntry { token, entry, source } => {
                if let Some(waiting) = self.waiting(token, now) {
                    waiting.fact = Some(Fact { entry, at: now, source });
                }
            }
            Answer::NoDns { token } => {
                if let Some(entry) = self.entries.get_mut(token.0) {
                    entry.given_up = true;
                }
            }
            // Not an answer of DNS.
            Answer::Fetch { .. } | Answer::WellKnown { .. } => {}
        }
    }

    /// Returns the entry of a token, if it still waits for its answer at this time. An overdue
    /// entry does not, even if the rules have not been read since: the outcome must not depend on
    /// how often the machine is polled.
    fn waiting(&mut self, token: DnsToken, now: Monotonic) -> Option<&mut Entry> {
        let limit = self.limit();
        self.entries
            .get_mut(token.0)
            .filter(|entry| entry.fact.is_none() && now < entry.asked + limit)
    }

    /// Returns the questions that are not answered yet.
    pub(super) fn open(&self) -> impl Iterator<Item = &DnsQuestion> {
        self.entries.iter().filter(|entry| entry.fact.is_none()).map(|entry| &entry.question)
    }

    /// Returns the questions and answers for a report.
    pub(super) fn exchanges(&self) -> Vec<DnsExchange> {
        self.entries
            .iter()
            .filter(|entry| !is_never_asked(&entry.question))
            .map(|entry| DnsExchange {
                question: entry.question.clone(),
                asked: self.since_start(entry.asked),
                answered: entry.fact.as_ref().map(|fact| self.since_start(fact.at)),
                answer: entry.fact.as_ref().map(Fact::answer),
                source: entry.fact.as_ref().map_or(Source::Asked, |fact| fact.source),
            })
            .collect()
    }
}

/// Returns whether a question must not be put to DNS: its name is under `.onion` (RFC 7686
/// section 2).
fn is_never_asked(question: &DnsQuestion) -> bool {
    question.host().is_onion()
}
