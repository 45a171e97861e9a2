//! What has been asked, what came back, and when: the facts that the rules go by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::machine::{Answer, DnsToken, Output, Question};
use crate::core::cache::entry::{CacheEntry, Purpose, Served};
use crate::core::cache::policy::DnsEntry;
use crate::core::config::Config;
use crate::core::dns::records::{DnsError, DnsRecords};
use crate::core::dns::srv::SplitMix64;
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord};
use crate::core::report::{DnsExchange, Source};
use crate::core::time::{Monotonic, Now};

/// How much longer than the limit on a question its answer is waited for, so that an adapter which
/// keeps the limit is heard, whatever it has to say.
const ANSWER_MARGIN: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) config: Arc<Config>,
    pub(super) random: SplitMix64,
    started: Now,
    now: Now,
    entries: Vec<Entry>,
    outbox: VecDeque<Question>,
    /// The earliest time at which something may change without an answer.
    wake: Option<Monotonic>,
    /// Whether the rules wanted an answer that will not come.
    missed: bool,
}

#[derive(Debug)]
struct Entry {
    question: DnsQuestion,
    asked: Monotonic,
    fact: Option<Fact>,
    /// Whether the driver has said that no answer will come.
    given_up: bool,
}

/// An answer, and when it arrived.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) entry: DnsEntry,
    pub(super) at: Monotonic,
    source: Source,
}

/// What an answer may be used for that arrived at a time: whatever came of a question that was asked
/// just now; of what was remembered, what may be used without asking. Later looks at the same answer
/// come to the same.
pub(super) fn served<'a, G: Clone, F>(
    entry: &'a CacheEntry<G, F>,
    source: Source,
    at: Monotonic,
) -> Served<'a, G, F> {
    match source {
        Source::Asked => entry.obtained(at),
        Source::Memory { .. } => {
            entry.serve(at, Purpose::AtOnce).unwrap_or_else(|| entry.obtained(at))
        }
    }
}

impl Fact {
    /// What DNS said just now.
    fn asked(question: &DnsQuestion, answer: DnsAnswer, now: Monotonic, config: &Config) -> Self {
        let entry = DnsEntry::learn(None, question, answer, now, config);
        Self { entry, at: now, source: Source::Asked }
    }

    /// What was answered, as DNS says it.
    fn answer(&self) -> DnsAnswer {
        match self.served() {
            Served::Holds { value, .. } | Served::Stale { value, because: None, .. } => {
                value.clone().into()
            }
            Served::Stale { because: Some(why), .. } | Served::Failed { why, .. } => {
                why.clone().into()
            }
        }
    }

    pub(super) fn served(&self) -> Served<'_, DnsRecords, DnsError> {
        served(&self.entry, self.source, self.at)
    }
}

impl Ledger {
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

    /// What time it is: what the driver says, unless that is before what it said last.
    pub(super) fn clock(&mut self, now: Now) -> Now {
        if now.monotonic >= self.now.monotonic {
            self.now = now;
        }
        self.now
    }

    /// What the driver said last.
    pub(super) const fn now(&self) -> Now {
        self.now
    }

    /// How long after the start this is.
    pub(super) fn since_start(&self, at: Monotonic) -> Duration {
        at.since(self.started.monotonic)
    }

    /// Puts a question to the driver.
    pub(super) fn ask(&mut self, question: Question) {
        self.outbox.push_back(question);
    }

    /// What a machine wants that has not come to its end.
    pub(super) fn next_output<T>(&mut self) -> Output<T> {
        self.outbox.pop_front().map_or(Output::Wait(self.wake), Output::Ask)
    }

    /// Forgets what was waited for; the rules say it anew.
    pub(super) fn begin(&mut self) {
        self.wake = None;
        self.missed = false;
    }

    /// Whether the rules, since they began, wanted an answer that will not come.
    pub(super) const fn missed(&self) -> bool {
        self.missed
    }

    pub(super) fn wake_at(&mut self, at: Monotonic) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The answer to a question, which is asked if it has not been. An answer that is overdue is
    /// a time-out.
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

    /// Until when an answer that has expired is used: one that is to be renewed, for a moment.
    pub(super) fn stale_until(&self, until: Monotonic, now: Monotonic) -> Monotonic {
        if until > now { until } else { now + self.config.refresh.unrenewed }
    }

    /// How long an answer is waited for.
    fn limit(&self) -> Duration {
        self.config.time.dns.saturating_add(ANSWER_MARGIN)
    }

    /// When a question was asked, if it was.
    pub(super) fn asked(&self, question: &DnsQuestion) -> Option<Monotonic> {
        let entry = self.entries.iter().find(|entry| entry.question == *question)?;
        Some(entry.asked)
    }

    /// Asks a question whose answer is not needed yet.
    pub(super) fn dns_early(&mut self, question: &DnsQuestion, now: Monotonic) {
        self.entry(question, now);
    }

    /// The answer to a question, if there is one.
    pub(super) fn known(&self, question: &DnsQuestion) -> Option<&Fact> {
        let entry = self.entries.iter().find(|entry| entry.question == *question)?;
        entry.fact.as_ref()
    }

    /// The index of a question that is asked once.
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

    /// Takes in an answer of DNS; a second one, or one to a question never asked, does nothing.
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

    /// The entry that still waits for its answer at this time. One that is overdue is left to time
    /// out, whether anybody has looked at it since or not.
    fn waiting(&mut self, token: DnsToken, now: Monotonic) -> Option<&mut Entry> {
        let limit = self.limit();
        self.entries
            .get_mut(token.0)
            .filter(|entry| entry.fact.is_none() && now < entry.asked + limit)
    }

    /// The questions that nobody has answered yet.
    pub(super) fn open(&self) -> impl Iterator<Item = &DnsQuestion> {
        self.entries.iter().filter(|entry| entry.fact.is_none()).map(|entry| &entry.question)
    }

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

/// Whether a question is not for DNS: names under `.onion` (RFC 7686 section 2).
fn is_never_asked(question: &DnsQuestion) -> bool {
    question.host().is_onion()
}
