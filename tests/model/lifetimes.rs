//! How long each thing is kept, as the configuration's documentation says it, and whether what the
//! machine says is within that.

use std::time::{Duration, SystemTime};

use matrix_delegation::Report;
use matrix_delegation::dns::{DnsAnswer, NoRecord};
use matrix_delegation::target::Lifetimes;

use super::support::seconds;
use super::worlds::{Expires, Keeping, Preset};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Where numbers become too large to be told apart (RFC 9111 section 1.2.2).
const TOO_LARGE: u64 = u32::MAX as u64;

/// From when on something is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Since {
    /// The answer to this question.
    Answer(String),
    /// The decision.
    Decision,
    /// Some time before the decision.
    Before,
}

/// How long something is kept: in seconds, at the least and at the most.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) since: Since,
    pub(crate) least: u64,
    pub(crate) most: u64,
}

/// What each part of an answer rests on; the first to end decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rests {
    pub(crate) well_known: Option<Kept>,
    pub(crate) srv: Vec<Kept>,
    pub(crate) addresses: Vec<Kept>,
    pub(crate) held: Option<Kept>,
}

impl Kept {
    fn exactly(since: Since, time: u64) -> Self {
        Self { since, least: time, most: time }
    }

    /// A tenth shorter, at random, or not.
    fn about(since: Since, time: u64) -> Self {
        Self { since, least: time / 10 * 9, most: time }
    }

    /// The answer to this question; `None` where nobody was asked (names under `.onion`).
    pub(crate) fn answer(question: String, answer: Option<&DnsAnswer>) -> Self {
        match answer {
            Some(answer) => Self::exactly(Since::Answer(question), of_answer(answer)),
            None => Self::exactly(Since::Before, MINUTE),
        }
    }

    /// Of records of which none is of use.
    pub(crate) fn empty(question: String) -> Self {
        Self::exactly(Since::Answer(question), MINUTE)
    }

    /// Of a look-up that failed for the first time.
    pub(crate) fn failure(question: String) -> Self {
        Self::exactly(Since::Answer(question), 30)
    }

    /// A host of which something is not known although it is used, or a degraded answer.
    pub(crate) fn for_now() -> Self {
        Self::exactly(Since::Decision, 2 * MINUTE)
    }

    /// A well-known that failed for the first time, but may work the next time.
    pub(crate) fn temporarily() -> Self {
        Self::about(Since::Before, 2 * MINUTE)
    }

    /// A well-known that will not work so soon.
    pub(crate) fn permanently() -> Self {
        Self::about(Since::Before, HOUR)
    }

    /// A well-known whose host has no address, for so long according to DNS.
    pub(crate) fn without_address(answers: &[Self]) -> Self {
        let least = answers.iter().map(|kept| kept.least).min().unwrap();
        Self::exactly(Since::Before, least.min(HOUR))
    }

    pub(crate) fn too_many_requests(keeping: &Keeping) -> Self {
        match keeping.retry_after {
            Some(after) => Self::exactly(Since::Before, after.clamp(MINUTE, DAY)),
            None => Self::temporarily(),
        }
    }

    /// A good well-known.
    pub(crate) fn document(keeping: &Keeping, preset: Preset) -> Self {
        let floor = match preset {
            Preset::Default => MINUTE,
            Preset::Strict => 0,
            Preset::Synapse => 5 * MINUTE,
        };
        let kept = Self::stated(keeping).unwrap_or(Self::about(Since::Before, DAY));
        let within = |time: u64| time.min(2 * DAY).max(floor);
        Self { since: kept.since, least: within(kept.least), most: within(kept.most) }
    }

    fn stated(keeping: &Keeping) -> Option<Self> {
        let age = keeping.age.unwrap_or(0).min(TOO_LARGE);
        let less_age = |time: u64| time.min(TOO_LARGE).saturating_sub(age);
        if keeping.not_at_all.is_some() {
            return Some(Self::exactly(Since::Before, 0));
        }
        if let Some(max_age) = keeping.max_age.iter().min() {
            return Some(Self::exactly(Since::Before, less_age(*max_age)));
        }
        let at = match keeping.expires? {
            Expires::At(at) => at,
            Expires::NoDate => return Some(Self::exactly(Since::Before, 0)),
        };
        // Without a date, that of the response counts: at most 30 s after the epoch.
        let (from, until) = keeping.date.map_or((0, 30), |date| (date, date));
        let left = |from: u64| less_age(at.saturating_sub(from));
        Some(Self { since: Since::Before, least: left(until), most: left(from) })
    }
}

/// How long DNS's word is taken.
fn of_answer(answer: &DnsAnswer) -> u64 {
    let at_least_5_s = |ttl: &Duration, most: u64| ttl.as_secs().min(most).max(5);
    match answer {
        DnsAnswer::Found { ttl, .. } => at_least_5_s(ttl, DAY),
        DnsAnswer::None { kind: NoRecord::NotImplemented, .. }
        | DnsAnswer::None { ttl: None, .. } => MINUTE,
        DnsAnswer::None { ttl: Some(ttl), .. } => at_least_5_s(ttl, HOUR),
        DnsAnswer::Failed { .. } => panic!("that is no word"),
    }
}

impl Rests {
    /// Whether the machine says the same; if not, of which part.
    pub(crate) fn check(&self, said: Lifetimes, report: &Report) -> Result<(), String> {
        let well_known = self.well_known.as_ref().map(|kept| {
            let took = report.took.unwrap();
            // When the last response came, the answer was there.
            let known = report.well_known.as_ref().unwrap();
            let answered = known.hops.last().and_then(|hop| hop.answered);
            let started = known.started.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            match answered {
                Some(answered) => left(kept, Some(before(took, started + answered)), took),
                None => left(kept, None, took),
            }
        });
        let held = self.held.iter();
        for (part, said, expected) in [
            ("well-known", said.well_known, well_known),
            ("SRV", said.srv, first(self.srv.iter(), report)),
            ("addresses", said.addresses, first(self.addresses.iter(), report)),
            ("the whole", said.held, first(held, report)),
        ] {
            let within = match (said, expected) {
                (Some(said), Some((least, most))) => least <= said && said <= most,
                (None, None) => true,
                _ => false,
            };
            if !within {
                return Err(format!("{part}: {said:?}, expected {expected:?} of {self:?}"));
            }
        }
        Ok(())
    }
}

/// What is left at the decision of what ends first: at the least and at the most.
fn first<'a>(
    kept: impl Iterator<Item = &'a Kept>,
    report: &Report,
) -> Option<(Duration, Duration)> {
    let took = report.took.unwrap();
    let left = kept.map(|kept| {
        let ago = match &kept.since {
            Since::Answer(question) => {
                let exchange =
                    report.dns.iter().find(|exchange| exchange.question.to_string() == *question);
                let answered = exchange.and_then(|exchange| exchange.answered);
                Some(before(took, answered.expect("every answer that counts")))
            }
            Since::Decision => Some(Duration::ZERO),
            Since::Before => None,
        };
        left(kept, ago, took)
    });
    left.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))
}

/// How long before the end.
fn before(end: Duration, at: Duration) -> Duration {
    end.checked_sub(at).expect("what came before the end")
}

/// What is left of something that began so long ago; `None`: it is not known when, but while the
/// resolution ran.
fn left(kept: &Kept, ago: Option<Duration>, took: Duration) -> (Duration, Duration) {
    let least = seconds(kept.least).saturating_sub(ago.unwrap_or(took));
    let most = seconds(kept.most).saturating_sub(ago.unwrap_or(Duration::ZERO));
    (least, most)
}
