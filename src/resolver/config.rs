//! What a resolver remembers, how much it does at once, and what it does in the background.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::config::setting::{Setting, settings};
use crate::core::config::{Config, Feedback};
pub use crate::runtime::single_flight::Abandoned;

settings! {
    /// How a [`Resolver`](crate::Resolver) discovers names, and what it remembers and does at once.
    ///
    /// A [`Config`] converts into it, with the defaults for the rest. The presets are those of
    /// [`Config`].
    ///
    /// The serialised form leaves out [`discovery`](Self::discovery): in a configuration file
    /// `[discovery]` and `[resolver]` are two sections beside each other.
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
    pub struct ResolverConfig {
        /// How a name is resolved, and how long each answer holds. Not part of the serialised form.
        #[serde(skip)]
        discovery: Config;
        /// How much is remembered.
        memory: MemoryLimits;
        /// How much is in flight at a time, and how long callers wait.
        queue: QueueLimits;
        /// How many sockets are open at a time.
        sockets: SocketLimits;
        /// How the resolver reacts to failures that callers report.
        feedback: Feedback;
        /// What happens to a look-up that nobody waits for any more. Default [`Abandoned::Finish`].
        abandoned: Abandoned;
        /// How long a well-known look-up has to have run to count as failed when it is cancelled
        /// because nobody waits for it any more ([`Abandoned::Cancel`]). Default 2 s.
        abandoned_after: Duration = Duration::from_secs(2);
        /// How a [`Store`](crate::Store) is treated.
        store: StoreLimits;
    }
}

impl From<Config> for ResolverConfig {
    fn from(discovery: Config) -> Self {
        Self { discovery, ..Self::default() }
    }
}

impl ResolverConfig {
    /// Returns the letter of the specification: [`Config::strict`], and defaults for the rest.
    pub fn strict() -> Self {
        Config::strict().into()
    }

    /// Returns what Synapse does: [`Config::synapse`], and defaults for the rest.
    pub fn synapse() -> Self {
        Config::synapse().into()
    }
}

impl Setting for Abandoned {}

impl Setting for Reports {}

settings! {
    /// How much a resolver remembers.
    ///
    /// Memory is bounded by hosts and by bytes, whichever limit is reached first. Bytes are
    /// estimated, and what several entries share is counted with each. An entry is not remembered
    /// if it alone takes more than a sixteenth of the limit in bytes, or more than about 1 MiB
    /// where that limit is under 16 MiB. With 0, nothing is remembered.
    ///
    /// A name that delegates to another host and port takes about 1,200 bytes, with all that is
    /// known of both hosts. The default limits hold about 75,000 such names, in 86 MiB, as this
    /// shows:
    ///
    /// ```sh
    /// WEIGHT_NAMES=100000 cargo test --features full --test weight -- --nocapture
    /// ```
    #[derive(Eq)]
    pub struct MemoryLimits {
        /// At most this many hosts: those of server names, of the names that they delegate to, and
        /// of SRV targets. A server name that delegates takes two or more. Default 200,000.
        hosts: usize = 200_000;
        /// At most this many bytes for all hosts together. Default 128 MiB.
        bytes: usize = 128 << 20;
        /// Whether reports are kept. Default [`Reports::Rebuilt`].
        reports: Reports = Reports::Rebuilt;
    }
}

/// What a resolver keeps of the reports of its discoveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reports {
    /// Reports are not kept. The report of a remembered target is rebuilt from memory and marked as
    /// such. It lacks look-ups whose answers memory no longer holds. The default.
    #[default]
    Rebuilt,
    /// Each report is kept with its target. It takes some kilobytes a name.
    Kept,
}

settings! {
    /// How much a resolver has in flight at a time, and how long callers wait for a permit.
    #[derive(Eq)]
    pub struct QueueLimits {
        /// At most this many discoveries run at a time. Default 1,000.
        discoveries: usize = 1_000, at_least(1, "no name could be discovered");
        /// At most this many more run that have taken as long as others commonly take, and at least 20 ms.
        /// They give up their permits, so that others need not wait for those that take long. If that is too
        /// few, the one that has run for longest, and for more than 1 s, fails as too busy. Names that took
        /// longer than 1 s in the last 10 min start among these; names of which something is known go
        /// before others. Default 4,000; 0: a permit is kept to the end.
        slow: usize = 4_000;
        /// At most this many discoveries wait for a permit, first come, first served. Further ones
        /// fail as too busy. Default 10,000.
        waiting: usize = 10_000;
        /// How long a discovery waits for a permit before it fails as too busy. Default 30 s.
        wait: Duration = Duration::from_secs(30);
        /// At most this many fetches are in flight to one destination: an IPv4 address, or an IPv6
        /// /64 network, which is what one host commonly has. A fetch with several destinations uses
        /// those with a free permit, and waits only if none has one. Default 16.
        per_destination: usize = 16, at_least(1, "no well-known could be fetched");
        /// At most this many fetches wait for a permit at one destination. A discovery that needs
        /// one more fails as too busy, so that one host behind many names does not take every
        /// permit. Default 112.
        per_destination_waiting: usize = 112;
        /// How long a fetch waits for a permit at a destination before its discovery fails as too
        /// busy. Default 5 s.
        per_destination_wait: Duration = Duration::from_secs(5);
        /// At most this many DNS questions are in flight. A discovery that needs one more fails as
        /// too busy. Default 50,000: what 1,000 discoveries need at the limit of SRV records.
        questions: usize = 50_000, at_least(1, "no DNS question could be asked");
    }
}

settings! {
    /// How many sockets a resolver and the clients above it have open at a time.
    ///
    /// A question to DNS counts as one socket, a fetch as many as it has addresses, which are tried side by
    /// side, but only one if more cannot be spared, and a connection of a [`Connector`](crate::Connector) or
    /// [`FederationClient`](crate::FederationClient) that reports to the resolver as one, from the attempt to
    /// its end. What does not fit waits; then connections that are kept without a request are closed, those
    /// that were used least lately first. What takes longer than others lately has at most half of the
    /// sockets; if others wait, the longest of it is broken off after 1 s.
    ///
    /// What gets no socket in time is trouble of this machine ([`ResolveError::Local`](crate::ResolveError)):
    /// it decides no step and is held against nobody.
    #[derive(Eq)]
    pub struct SocketLimits {
        /// At most this many. Default 65,536.
        most: usize = 65_536, at_least(2, "DNS and connections need a socket each");
        /// At most this part of the files that the process may have open, in percent, if the runtime knows
        /// that ([`Runtime::open_files`](crate::Runtime::open_files)). Default 25.
        percent: u8 = 25, within(1..=100, "it is a part");
        /// The part of them that is for DNS alone, in percent. Default 40.
        dns_percent: u8 = 40, within(1..=99, "DNS and connections need a socket each");
        /// How long each is waited for. Default 10 s.
        wait: Duration = Duration::from_secs(10);
    }
}

impl SocketLimits {
    /// Returns how many sockets may be open in a process that may have this many files open.
    pub(crate) fn open(&self, files: Option<usize>) -> usize {
        let part = files.map(|files| files.saturating_mul(self.percent.into()) / 100);
        part.map_or(self.most, |part| self.most.min(part.max(2)))
    }
}

settings! {
    /// How a resolver treats its [`Store`](crate::Store).
    #[derive(Eq)]
    pub struct StoreLimits {
        /// How long an operation may take before it counts as failed. Default 250 ms.
        timeout: Duration = Duration::from_millis(250), not_zero("every operation would time out");
        /// How long a store is not used after a failure. Default 1 s.
        rest: Duration = Duration::from_secs(1);
        /// The largest value that is read, in bytes; a larger one was not written by this crate.
        /// Default 4,096.
        value_bytes: usize = MOST_VALUE_BYTES, at_least(1, "every value would be too large");
    }
}

/// The default of [`StoreLimits::value_bytes`].
pub(crate) const MOST_VALUE_BYTES: usize = 4096;
