//! What a resolver remembers, how much it does at once, and what it does unasked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::config::check::{Problems, checked};
use crate::core::config::{Config, Feedback};
pub use crate::runtime::single_flight::Abandoned;

/// How a [`Resolver`](crate::Resolver) discovers names, and what it remembers and does at once.
///
/// A [`Config`] converts into it, with the defaults for the rest. The presets are those of
/// [`Config`].
///
/// Serialised it leaves out [`discovery`](Self::discovery), which stands beside it: in a file for
/// operators `[discovery]` and `[resolver]` are two sections, and neither repeats the other.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::{Config, ResolverConfig};
///
/// let mut config = ResolverConfig::from(Config::strict());
/// assert_eq!(config, ResolverConfig::strict());
/// config.queue.discoveries = 100;
/// config.discovery.time.discovery = Duration::from_secs(10);
/// assert_eq!(config.queue.waiting, 10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ResolverConfig {
    /// How a name is resolved, and how long each answer is kept. Not part of the serialised form.
    #[serde(skip)]
    pub discovery: Config,
    /// How much is remembered.
    pub memory: MemoryLimits,
    /// How much is under way at a time, and who waits how long.
    pub queue: QueueLimits,
    /// What a failure that a caller reports brings about.
    pub feedback: Feedback,
    /// What becomes of a look-up that nobody waits for any more. Default [`Abandoned::Finish`].
    pub abandoned: Abandoned,
    /// How long a well-known look-up has to have run for it to count as a failure when it is
    /// stopped because nobody waits for it any more ([`Abandoned::Cancel`]). Default 2 s.
    #[serde(with = "crate::core::config::duration")]
    pub abandoned_after: Duration,
    /// How a [`Store`](crate::Store) is treated.
    pub store: StoreLimits,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            discovery: Config::default(),
            memory: MemoryLimits::default(),
            queue: QueueLimits::default(),
            feedback: Feedback::default(),
            abandoned: Abandoned::default(),
            abandoned_after: Duration::from_secs(2),
            store: StoreLimits::default(),
        }
    }
}

impl From<Config> for ResolverConfig {
    fn from(discovery: Config) -> Self {
        Self { discovery, ..Self::default() }
    }
}

impl ResolverConfig {
    /// Returns this with another configuration of the discoveries, such as the section
    /// `[discovery]` of the file that this is the section `[resolver]` of.
    #[must_use]
    pub fn with_discovery(mut self, discovery: Config) -> Self {
        self.discovery = discovery;
        self
    }

    /// Returns the letter of the specification: [`Config::strict`] and the defaults for the rest.
    pub fn strict() -> Self {
        Config::strict().into()
    }

    /// Returns what Synapse does: [`Config::synapse`] and the defaults for the rest.
    pub fn synapse() -> Self {
        Config::synapse().into()
    }
}

checked!(ResolverConfig, QueueLimits, StoreLimits);

impl ResolverConfig {
    fn find(&self, problems: &mut Problems) {
        problems.section("discovery", |problems| self.discovery.find(problems));
        problems.section("queue", |problems| self.queue.find(problems));
        problems.section("feedback", |problems| self.feedback.find(problems));
        problems.section("store", |problems| self.store.find(problems));
    }
}

impl QueueLimits {
    fn find(&self, problems: &mut Problems) {
        let any = 1..=usize::MAX;
        let nothing = "no name could be discovered";
        problems.number("discoveries", self.discoveries, any.clone(), nothing);
        let no_fetch = "no well-known could be fetched";
        problems.number("per_destination", self.per_destination, any.clone(), no_fetch);
        problems.number("questions", self.questions, any, "no DNS question could be asked");
    }
}

impl StoreLimits {
    fn find(&self, problems: &mut Problems) {
        problems.not_zero("timeout", self.timeout, "every operation would time out");
        let unread = "every value would be too large";
        problems.number("value_bytes", self.value_bytes, 1..=usize::MAX, unread);
    }
}

/// How much a resolver remembers.
///
/// It is bounded by entries and by bytes, whichever is reached first. Bytes are estimated; what
/// several entries share is counted with each. An entry is not remembered that alone would take
/// more than a sixteenth of a limit in bytes, or more than about 1 MiB of a limit that is under 16
/// MiB. With 0 nothing is remembered.
///
/// A name that delegates to another host and port takes about 1,200 bytes, with all that is known of
/// both hosts. The default limits hold about 75,000 such names, in 86 MiB, as this shows:
///
/// ```sh
/// cargo test --features resolver,testing --test weight -- --include-ignored --nocapture
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// Hosts: of server names, of the names that they delegate to, and of SRV targets. A server name
    /// that delegates takes two or more. Default 200,000.
    pub hosts: usize,
    /// What is remembered of them, in bytes. Default 128 MiB.
    pub bytes: usize,
    /// What becomes of reports. Default [`Reports::Rebuilt`].
    pub reports: Reports,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { hosts: 200_000, bytes: 128 << 20, reports: Reports::Rebuilt }
    }
}

/// What a resolver keeps of the reports of its discoveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reports {
    /// Nothing. The report of a remembered target is made again from what memory holds, and says so.
    /// It shows no look-up whose answer is gone. The default.
    #[default]
    Rebuilt,
    /// Each, with its target. It takes some kilobytes a name.
    Kept,
}

/// How much a resolver has under way at a time, and who waits how long for a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Discoveries under way. Default 1,000.
    pub discoveries: usize,
    /// Discoveries that wait for their turn, first come, first served; one more is refused as too
    /// busy. Default 10,000.
    pub waiting: usize,
    /// How long a discovery waits for its turn; then it is refused as too busy. Default 30 s.
    #[serde(with = "crate::core::config::duration")]
    pub wait: Duration,
    /// Fetches under way to one destination: an IPv4 address, or an IPv6 network of 64 bits, which
    /// is what one host commonly has. A fetch that may go to several goes to those that have room;
    /// it waits only if none has. Default 16.
    pub per_destination: usize,
    /// Fetches that wait for their turn at one destination; a discovery that needs one more is
    /// refused as too busy, so that one host behind many names does not take every turn. Default
    /// 112.
    pub per_destination_waiting: usize,
    /// How long a fetch waits for its turn at a destination; then its discovery is refused as too
    /// busy. Default 5 s.
    #[serde(with = "crate::core::config::duration")]
    pub per_destination_wait: Duration,
    /// DNS questions under way; a discovery that needs one more is refused as too busy. Default
    /// 50,000: what 1,000 discoveries need at the limit of SRV records.
    pub questions: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            discoveries: 1_000,
            waiting: 10_000,
            wait: Duration::from_secs(30),
            per_destination: 16,
            per_destination_waiting: 112,
            per_destination_wait: Duration::from_secs(5),
            questions: 50_000,
        }
    }
}

/// How a resolver treats its [`Store`](crate::Store).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreLimits {
    /// How long an operation may take; then it has failed. Default 250 ms.
    #[serde(with = "crate::core::config::duration")]
    pub timeout: Duration,
    /// How long a store is not used after it failed. Default 1 s.
    #[serde(with = "crate::core::config::duration")]
    pub rest: Duration,
    /// The largest value that is read, in bytes; a larger one is not this crate's. Default 4,096.
    pub value_bytes: usize,
}

/// The default of [`StoreLimits::value_bytes`].
pub(crate) const MOST_VALUE_BYTES: usize = 4096;

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(250),
            rest: Duration::from_secs(1),
            value_bytes: MOST_VALUE_BYTES,
        }
    }
}
