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
        Drive::new(self, config)
    }
}

impl<'a> Drive<'a> {
    fn new(internet: &'a Internet, config: &Config) -> Self {
        Self {
            internet,
            config: Arc::new(config.clone()),
            schedule: Schedule::default(),
            start: super::start(),
            seed: 42,
            earlier: None,
            last_step: None,
            shared: false,
        }
    }

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
        let driven = self.drive(&mut machine, self.start, Pace::Scheduled);
        let counted = self.drive(&mut self.machine(name), self.start, Pace::RoundTrips);
        Run {
            outcome: driven.done,
            report: machine.report(),
            transcript: driven.transcript,
            critical_path: counted.path,
            took: driven.end.monotonic.since(self.start.monotonic),
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
        let answer = self.drive(&mut machine, self.start, Pace::Scheduled).done;
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
    fn drive<M: Machine>(&self, machine: &mut M, start: Now, pace: Pace) -> Driven<M::Done> {
        let mut random = match self.schedule.order() {
            Order::Shuffled(seed) => SplitMix64(seed),
            _ => SplitMix64(0),
        };
        let mut now = start;
        let mut open: Vec<Open> = Vec::new();
        let mut transcript = Vec::new();
        // The path to where the machine is now, to each time that it waits for, and to what is never
        // answered.
        let mut path = CriticalPath::default();
        let mut timers: BTreeMap<Monotonic, CriticalPath> = BTreeMap::new();
        let mut unanswered = CriticalPath::default();
        let done = loop {
            let until = match machine.poll_output(now) {
                Output::Done(done) => break done,
                Output::Ask(question) => {
                    let asked = now.monotonic.since(start.monotonic);
                    let Asked { exchange, within, answer, due, path: then } =
                        self.ask(question, asked, now, pace, &path);
                    let exchange_at = transcript.len();
                    transcript.push(exchange);
                    transcript.extend(within);
                    match due {
                        Some(due) => {
                            open.push(Open { exchange: exchange_at, answer, due, path: then });
                        }
                        None if path.round_trips > unanswered.round_trips => {
                            unanswered = path.clone();
                        }
                        None => {}
                    }
                    continue;
                }
                Output::Wait(until) => until,
            };
            if let Some(until) = until {
                assert!(until > now.monotonic, "the machine waits for what has passed");
                timers.entry(until).or_insert_with(|| path.clone());
            }
            let due = open.iter().map(|open| open.due.monotonic).min();
            if due.is_none_or(|due| due > now.monotonic) {
                let Some(wake) = until.into_iter().chain(due).min() else {
                    panic!("the machine waits for nothing at all");
                };
                now = now + wake.since(now.monotonic);
            }
            let Some(next) = self.next(&open, now, pace, &mut random) else {
                // A time limit has passed: the path is the one that led to the wait for it.
                path = until.and_then(|until| timers.remove(&until)).unwrap_or_default();
                if unanswered.round_trips > path.round_trips {
                    path = unanswered.clone();
                }
                continue;
            };
            let next = open.remove(next);
            if self.schedule.is_twice() {
                machine.handle(next.answer.clone(), now);
            }
            machine.handle(next.answer, now);
            if let Some(exchange) = transcript.get_mut(next.exchange) {
                exchange.answered = Some(now.monotonic.since(start.monotonic));
            }
            path = next.path;
        };
        // What a look-up asked is sorted in among the rest; what comes after the end is left out.
        let took = now.monotonic.since(start.monotonic);
        transcript.retain(|exchange| exchange.asked <= took);
        for exchange in &mut transcript {
            exchange.answered = exchange.answered.filter(|answered| *answered <= took);
        }
        transcript.sort_by_key(|exchange| exchange.asked);
        Driven { done, end: now, transcript, path }
    }

    /// Returns which of the open questions is answered now.
    fn next(&self, open: &[Open], now: Now, pace: Pace, random: &mut SplitMix64) -> Option<usize> {
        let due: Vec<usize> = (0_usize..)
            .zip(open)
            .filter(|(_, open)| open.due.monotonic <= now.monotonic)
            .map(|(at, _)| at)
            .collect();
        let order = match pace {
            Pace::Scheduled => self.schedule.order(),
            Pace::RoundTrips => Order::Timely,
        };
        match order {
            Order::Timely => {
                due.into_iter().min_by_key(|at| open.get(*at).map(|it| it.due.monotonic))
            }
            Order::AsAsked => due.first().copied(),
            Order::Reversed => due.last().copied(),
            Order::Shuffled(_) => {
                let last = u64::try_from(due.len().checked_sub(1)?).ok()?;
                due.get(usize::try_from(random.up_to(last)).ok()?).copied()
            }
        }
    }

    /// Returns a question's answer and when it arrives. `path` leads to the question.
    fn ask(
        &self,
        question: Question,
        asked: Duration,
        now: Now,
        pace: Pace,
        path: &CriticalPath,
    ) -> Asked {
        let (mut within, mut addresses) = (Vec::new(), Vec::new());
        let (question, answer, due, path) = match question {
            Question::Dns { token, question } => {
                let answer = token.answer(self.internet.dns_answer(&question));
                let question = question.to_string();
                let due = self.due(&question, DNS_ROUND_TRIPS, now, pace);
                let path = path.then(&question, DNS_ROUND_TRIPS);
                (question, answer, due, path)
            }
            Question::Fetch { token, fetch } => {
                let url = fetch.request.uri().to_string();
                let answer = token.answer(self.internet.response(&url, fetch.limits.body_bytes));
                addresses = fetch.addresses;
                let question = format!("GET {url}");
                let due = self.due(&question, FETCH_ROUND_TRIPS, now, pace);
                let path = path.then(&question, FETCH_ROUND_TRIPS);
                (question, answer, due, path)
            }
            Question::WellKnown { token, host } => {
                let question = format!("WELL-KNOWN {host}");
                let mut machine = self.look_up_machine(host, now);
                let looked_up = self.drive(&mut machine, now, pace);
                within = looked_up.transcript;
                for exchange in &mut within {
                    exchange.asked = exchange.asked.saturating_add(asked);
                    exchange.answered = exchange.answered.map(|it| it.saturating_add(asked));
                    exchange.within_look_up = true;
                }
                let lookup = Some(Arc::new(machine.report()));
                let answer = token.answer(looked_up.done, Source::Asked, lookup);
                let path = path.join(looked_up.path);
                (question, answer, Some(looked_up.end), path)
            }
        };
        let exchange =
            Exchange { question, addresses, asked, answered: None, within_look_up: false };
        Asked { exchange, within, answer, due, path }
    }

    /// Returns when the answer arrives, if it does.
    fn due(&self, question: &str, round_trips: u32, now: Now, pace: Pace) -> Option<Now> {
        let delay = self.schedule.delay(question, self.internet.delay(question))?;
        Some(now + if pace == Pace::RoundTrips { ROUND_TRIP * round_trips } else { delay })
    }
}

/// How time passes while questions are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// As the schedule says.
    Scheduled,
    /// Every round trip takes equally long, so that the total gives their number.
    RoundTrips,
}

/// Short compared to every grace, so that whatever is answered at all is answered in time.
const ROUND_TRIP: Duration = Duration::from_micros(100);
const DNS_ROUND_TRIPS: u32 = 1;
/// TCP, TLS 1.3 and HTTP.
const FETCH_ROUND_TRIPS: u32 = 3;

/// A question that was asked.
struct Asked {
    exchange: Exchange,
    /// What a look-up asked for it.
    within: Vec<Exchange>,
    answer: Answer,
    due: Option<Now>,
    path: CriticalPath,
}

/// A question that waits for its answer.
struct Open {
    /// The index in the transcript.
    exchange: usize,
    answer: Answer,
    due: Now,
    path: CriticalPath,
}

/// A machine that has ended.
struct Driven<T> {
    done: T,
    end: Now,
    transcript: Vec<Exchange>,
    path: CriticalPath,
}
