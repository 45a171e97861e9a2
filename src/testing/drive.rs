//! Drives the machines of the core through a scripted internet, without async.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::critical_path::CriticalPath;
use super::internet::Internet;
use super::schedule::{Order, Schedule};
use crate::core::cache::WellKnownEntry;
use crate::core::config::Config;
use crate::core::discovery::{
    Answer, Discovery, Machine, Outcome, Output, Question, WellKnownLookup,
};
use crate::core::dns::SplitMix64;
use crate::core::names::{DnsName, ServerName};
use crate::core::report::{Report, Source, WellKnownReport};
use crate::core::step::Step;
use crate::core::time::{Monotonic, Now};

/// Drives a machine through an [`Internet`] to its end, on a virtual clock that jumps from event to
/// event.
///
/// ```
/// use matrix_delegation::Config;
/// use matrix_delegation::testing::{Internet, Order, Schedule, documentation_allowed};
///
/// let internet = Internet::new().host("a.example", &["192.0.2.1"]);
/// let config = documentation_allowed(Config::default());
/// let shuffled = Schedule::new(Order::Shuffled(7)).twice();
/// let run = internet.drive(&config).with_schedule(shuffled).discover("a.example".parse()?);
/// assert_eq!(run.outcome?.step().to_string(), "6");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Drive<'a> {
    internet: &'a Internet,
    config: Arc<Config>,
    schedule: Schedule,
    start: Now,
    seed: u64,
    earlier: Option<WellKnownEntry>,
    last_step: Option<Step>,
    shared: bool,
}

/// The course of a discovery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// The machine's report.
    pub report: Report,
    /// Every question, in the order asked.
    pub transcript: Vec<Exchange>,
    /// The longest chain of questions that depend on each other.
    pub critical_path: CriticalPath,
    /// How long it took on the virtual clock.
    pub took: Duration,
}

impl Run {
    /// Returns the questions in the order asked, as they are shown: `A a.example`,
    /// `GET https://...`.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.transcript.iter().map(|exchange| exchange.question.as_str())
    }
}

/// A question and when it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// `A a.example`, `SRV _matrix-fed._tcp.a.example`, `GET https://...`, or
    /// `WELL-KNOWN a.example` where the document is looked up as a whole.
    pub question: String,
    /// Where a fetch was to connect.
    pub addresses: Vec<SocketAddr>,
    /// When it was asked, from the start.
    pub asked: Duration,
    /// When it was answered, if that was before the end.
    pub answered: Option<Duration>,
    /// Whether a look-up of the whole document asked it.
    pub within_look_up: bool,
}

impl Internet {
    /// Resolves a name in this internet. Answers arrive when they are due.
    pub fn resolve(&self, name: ServerName, config: &Config) -> Run {
        self.drive(config).discover(name)
    }

    /// Returns a [`Drive`] of machines through this internet, with the default [`Schedule`].
    pub fn drive(&self, config: &Config) -> Drive<'_> {
        Drive {
            internet: self,
            config: Arc::new(config.clone()),
            schedule: Schedule::default(),
            start: super::start(),
            seed: 42,
            earlier: None,
            last_step: None,
            shared: false,
        }
    }
}

impl Drive<'_> {
    /// Sets when and in which order answers arrive. Default: when they are due.
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets the time of the start. Default: [`start`](super::start).
    pub fn with_start(mut self, start: Now) -> Self {
        self.start = start;
        self
    }

    /// Sets the seed of the jitter of lifetimes. Default: 42.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets what was known of the well-known before.
    pub fn with_earlier_well_known(mut self, earlier: WellKnownEntry) -> Self {
        self.earlier = Some(earlier);
        self
    }

    /// Sets the step that decided the last time.
    pub fn with_last_step(mut self, step: Step) -> Self {
        self.last_step = Some(step);
        self
    }

    /// Looks up the document as a whole, as drivers do that share it between discoveries
    /// ([`Discovery::with_shared_well_known`]).
    pub fn with_shared_well_known(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Resolves a name.
    ///
    /// # Panics
    ///
    /// Panics if the machine can never end, because it waits for a time that has passed or for nothing
    /// at all. That is a bug of this crate.
    pub fn discover(&self, name: ServerName) -> Run {
        let mut machine = self.machine(name.clone());
        let driven = self.drive(&mut machine, self.start);
        let counting = self.clone().with_schedule(self.schedule.clone().counting_round_trips());
        let counted = counting.drive(&mut self.machine(name), self.start);
        Run {
            outcome: driven.done,
            report: machine.report(),
            transcript: driven.transcript,
            critical_path: counted.path,
            took: self.elapsed(driven.end),
        }
    }

    fn machine(&self, name: ServerName) -> Discovery {
        let mut machine = Discovery::new(name, Arc::clone(&self.config), self.start, self.seed);
        if self.shared {
            machine = machine.with_shared_well_known();
        } else if let Some(earlier) = self.earlier.clone() {
            machine = machine.with_earlier_well_known(earlier);
        }
        if let Some(step) = self.last_step {
            machine = machine.with_last_step(step);
        }
        machine
    }

    /// Looks up the well-known document of a host by itself.
    pub fn look_up(&self, host: DnsName) -> (WellKnownEntry, WellKnownReport) {
        let mut machine = self.look_up_machine(host, self.start);
        let answer = self.drive(&mut machine, self.start).done;
        (answer, machine.report())
    }

    fn look_up_machine(&self, host: DnsName, start: Now) -> WellKnownLookup {
        let machine = WellKnownLookup::new(host, Arc::clone(&self.config), start, self.seed);
        match self.earlier.clone() {
            Some(earlier) => machine.with_earlier(earlier),
            None => machine,
        }
    }

    /// Drives a machine to its end. This ends: machines bound their questions and their time, and each
    /// turn takes one question, one answer or one step of the clock.
    fn drive<M: Machine>(&self, machine: &mut M, start: Now) -> Driven<M::Done> {
        let mut random = match self.schedule.order() {
            Order::Shuffled(seed) => SplitMix64(seed),
            _ => SplitMix64(0),
        };
        let mut now = start;
        let mut open: Vec<Open> = Vec::new();
        let mut transcript = Vec::new();
        // The path to where the machine is now, and to each time that it waits for.
        let mut path = CriticalPath::default();
        let mut timers: BTreeMap<Monotonic, CriticalPath> = BTreeMap::new();
        let done = loop {
            let until = match machine.poll_output(now) {
                Output::Done(done) => break done,
                Output::Ask(question) => {
                    open.push(self.ask(question, now, &path, &mut transcript));
                    continue;
                }
                Output::Wait(until) => until,
            };
            if let Some(until) = until {
                assert!(until > now.monotonic, "the machine waits for what has passed");
                timers.entry(until).or_insert_with(|| path.clone());
            }
            let due = open.iter().filter_map(|open| open.due).map(|due| due.monotonic).min();
            if due.is_none_or(|due| due > now.monotonic) {
                let Some(wake) = until.into_iter().chain(due).min() else {
                    panic!("the machine waits for nothing at all");
                };
                now = now + wake.since(now.monotonic);
            }
            let Some(next) = self.next(&open, now, &mut random) else {
                // A time limit has passed: the path is the one that led to the wait for it, or to what
                // is never answered.
                path = until.and_then(|until| timers.remove(&until)).unwrap_or_default();
                for never in open.iter().filter(|open| open.due.is_none()) {
                    if never.path.round_trips > path.round_trips {
                        path = never.path.clone();
                    }
                }
                continue;
            };
            let next = open.remove(next);
            if self.schedule.is_twice() {
                machine.handle(next.answer.clone(), now);
            }
            machine.handle(next.answer, now);
            if let Some(exchange) = transcript.get_mut(next.exchange) {
                exchange.answered = Some(self.elapsed(now));
            }
            path = next.path;
        };
        // What a look-up asked is sorted in among the rest; what comes after the end is left out.
        let took = self.elapsed(now);
        transcript.retain(|exchange| exchange.asked <= took);
        for exchange in &mut transcript {
            exchange.answered = exchange.answered.filter(|answered| *answered <= took);
        }
        transcript.sort_by_key(|exchange| exchange.asked);
        Driven { done, end: now, transcript, path }
    }

    fn elapsed(&self, now: Now) -> Duration {
        now.monotonic.since(self.start.monotonic)
    }

    /// Returns which of the open questions is answered now.
    fn next(&self, open: &[Open], now: Now, random: &mut SplitMix64) -> Option<usize> {
        let is_due = |open: &Open| open.due.is_some_and(|due| due.monotonic <= now.monotonic);
        let mut due = (0_usize..).zip(open).filter(|(_, open)| is_due(open));
        let next = match self.schedule.order() {
            Order::Timely => due.min_by_key(|(_, open)| open.due.map(|due| due.monotonic)),
            Order::AsAsked => due.next(),
            Order::Reversed => due.last(),
            Order::Shuffled(_) => {
                let last = u64::try_from(due.clone().count().checked_sub(1)?).ok()?;
                due.nth(usize::try_from(random.up_to(last)).ok()?)
            }
        };
        next.map(|(at, _)| at)
    }

    /// Records a question, and prepares its answer. `path` leads to the question.
    fn ask(
        &self,
        question: Question,
        now: Now,
        path: &CriticalPath,
        transcript: &mut Vec<Exchange>,
    ) -> Open {
        let (mut addresses, mut look_up) = (Vec::new(), None);
        let (question, answer) = match question {
            Question::Dns { token, question } => {
                (question.to_string(), token.answer(self.internet.dns_answer(&question)))
            }
            Question::Fetch { token, fetch } => {
                let url = fetch.request.uri().to_string();
                let response = self.internet.response(&url, fetch.limits.body_bytes);
                addresses = fetch.addresses;
                (format!("GET {url}"), token.answer(response))
            }
            Question::WellKnown { token, host } => {
                let question = format!("WELL-KNOWN {host}");
                let mut machine = self.look_up_machine(host, now);
                let driven = self.drive(&mut machine, now);
                look_up = Some((driven.end, path.join(driven.path), driven.transcript));
                let report = Some(Arc::new(machine.report()));
                (question, token.answer(driven.done, Source::Asked, report))
            }
        };
        let (due, path, within) = match look_up {
            Some((end, path, within)) => (Some(end), path, within),
            None => match self.schedule.delay(&question, self.internet.delay(&question)) {
                Some(delay) => (Some(now + delay), path.then(&question), Vec::new()),
                None => (None, path.clone(), Vec::new()),
            },
        };
        let (exchange, asked) = (transcript.len(), self.elapsed(now));
        let outermost =
            Exchange { question, addresses, asked, answered: None, within_look_up: false };
        transcript.push(outermost);
        transcript.extend(within.into_iter().map(|it| Exchange { within_look_up: true, ..it }));
        Open { exchange, answer, due, path }
    }
}

/// A question that waits for its answer.
struct Open {
    /// The index in the transcript.
    exchange: usize,
    answer: Answer,
    /// When the answer arrives, if it does.
    due: Option<Now>,
    /// The path to the answer, or to the question if it is never answered.
    path: CriticalPath,
}

/// A machine that has ended.
struct Driven<T> {
    done: T,
    end: Now,
    transcript: Vec<Exchange>,
    path: CriticalPath,
}
