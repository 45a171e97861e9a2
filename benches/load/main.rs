//! Load: healthy names among hostile ones.
//!
//! ```sh
//! cargo bench --features full --bench load                   # all of it
//! cargo bench --features full --bench load -- simulate       # in the scripted internet, in virtual time
//! cargo bench --features full --bench load -- sockets        # over sockets of loopback
//! cargo bench --features full --bench load -- callers        # 100,000 callers of 1,000 names
//! cargo bench --features full --bench load -- soak 600       # over sockets, for so many seconds
//! cargo bench --features full --bench load -- chart load.svg # latency against the share of hostile names
//! ```
//!
//! 10,000 names are resolved at once, of which 3,000 are hostile: each in one of the ways of [`Hostile`], or
//! in all of them, mixed. The latencies are those of the 7,000 healthy names, and the ratio is that of their
//! median to the median of 7,000 healthy names alone. Over sockets, the servers are another process, and the
//! process that resolves may have few descriptors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measurement: a mistake should stop it loudly"
)]

mod chart;
mod client;
mod servers;
mod simulation;

use std::fmt;
use std::time::Duration;

/// How many names are resolved, and how many of them are hostile.
const NAMES: usize = 10_000;
const HOSTILE: usize = 3_000;

/// What a hostile name does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostile {
    /// Its web server accepts connections and says nothing.
    Silent,
    /// Its web server sends a byte of its response now and then.
    Drip,
    /// Its web server redirects, slowly, again and again.
    Redirect,
    /// Its DNS servers do not answer.
    Dns,
}

const EACH: [Hostile; 4] = [Hostile::Silent, Hostile::Drip, Hostile::Redirect, Hostile::Dns];

impl Hostile {
    /// Returns the first label of its names, without their number.
    const fn label(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Drip => "drip",
            Self::Redirect => "redirect",
            Self::Dns => "dns",
        }
    }
}

/// Returns the names, with the hostile ones spread evenly, and whether each is healthy.
fn names(all: usize, hostile: usize, ways: &[Hostile]) -> Vec<(String, bool)> {
    let mut ways = ways.iter().cycle();
    let name = |number: usize| {
        let is_healthy = number * hostile / all == (number + 1) * hostile / all;
        let label = if is_healthy { "good" } else { ways.next().unwrap().label() };
        (format!("{label}{number}.load.example"), is_healthy)
    };
    (0..all).map(name).collect()
}

/// What came of the healthy names.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// How long each took that was resolved as it should, in order.
    took: Vec<Duration>,
    /// How many were resolved otherwise.
    wrong: usize,
    /// How many errors there were that speak of this machine, and of others.
    local: usize,
    failed: usize,
}

impl Outcome {
    fn add(&mut self, took: Duration, resolved: Result<bool, bool>) {
        match resolved {
            Ok(true) => self.took.push(took),
            Ok(false) => self.wrong += 1,
            Err(true) => self.local += 1,
            Err(false) => self.failed += 1,
        }
    }

    fn sorted(mut self) -> Self {
        self.took.sort_unstable();
        self
    }

    /// Returns how long this part of them took at most, in percent.
    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.took.len() * percent / 100).min(self.took.len().saturating_sub(1));
        self.took.get(at).copied().unwrap_or(Duration::MAX)
    }

    fn ratio(&self, alone: &Self) -> f64 {
        self.percentile(50).as_secs_f64() / alone.percentile(50).as_secs_f64()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for percent in [50, 95, 99] {
            if self.took.is_empty() {
                write!(f, "{:>7} ", "-")?;
            } else {
                write!(f, "{:>6.2} s", self.percentile(percent).as_secs_f64())?;
            }
        }
        let Self { took, wrong, local, failed } = self;
        write!(f, " {:>6} {wrong:>6} {local:>6} {failed:>6}", took.len())
    }
}

/// The heading of [`Outcome`]'s columns.
const HEADING: &str = "  median     95 %    99 %  right  wrong  local failed";

fn main() {
    // `cargo bench` adds a word of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            simulation::compare();
            client::compare();
            client::callers();
        }
        ["simulate"] => simulation::compare(),
        ["sockets"] => client::compare(),
        ["callers"] => client::callers(),
        ["soak", seconds] => client::soak(Duration::from_secs(seconds.parse().expect("seconds"))),
        ["chart", file] => std::fs::write(file, chart::svg()).expect("the file to be written"),
        ["servers"] => servers::run(),
        ["client", rest @ ..] => client::run(rest),
        other => panic!("{other:?} is none of the words in the documentation"),
    }
}
