//! What a resolver remembers, how much of it, and what it does on its own account.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MINUTE;

/// When a resolver renews what it remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Refresh {
    /// In the last so many percent of an answer's life whoever asks for it gets it, and it is
    /// renewed in the background. Default 20; 0 renews nothing ahead.
    pub ahead_percent: u8,
    /// How long a caller waits for an answer that ran out to be renewed, where the old one may
    /// still be gone by. Default 1.8 s (RFC 8767 section 5).
    pub wait: Duration,
    /// How long after a renewal ahead was begun the next one is, at the least. Default 1 s.
    pub apart: Duration,
    /// How long a target holds that rests on an answer which is not renewed yet. Default 5 s.
    pub unrenewed: Duration,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            ahead_percent: 20,
            wait: Duration::from_millis(1800),
            apart: Duration::from_secs(1),
            unrenewed: Duration::from_secs(5),
        }
    }
}

/// What becomes of what is under way once nobody waits for it any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Abandoned {
    /// It ends and is remembered, for whoever asks next. The default.
    #[default]
    Finish,
    /// It stops when the last caller goes away. A well-known that had taken
    /// [`TimeLimits::abandoned`](crate::TimeLimits::abandoned) counts as having failed for a while, so that impatient callers do
    /// not ask a slow server over and over. What is renewed in the background goes on.
    Cancel,
}

/// What a failure that a caller reports brings about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Feedback {
    /// How long after its parts were asked for a name is asked for again, at the least; each time
    /// in a row that this changes nothing, it is twice as long. Default 10 s.
    pub apart: Duration,
    /// How long that becomes at most. Default 10 min.
    pub apart_most: Duration,
    /// How long an endpoint that failed is tried last. Default 10 min.
    pub demoted: Duration,
}

impl Default for Feedback {
    fn default() -> Self {
        Self { apart: Duration::from_secs(10), apart_most: 10 * MINUTE, demoted: 10 * MINUTE }
    }
}

/// What a resolver keeps of the reports of its discoveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reports {
    /// Nothing: whoever asks for the report of a remembered target gets one that is made again from
    /// what memory holds, and says so. It takes no memory, and shows no look-up whose answer is gone.
    /// The default.
    #[default]
    Rebuilt,
    /// Each, with its target. It takes some kilobytes a name.
    Kept,
}

/// How much a resolver remembers and does at once.
///
/// What it remembers is bounded by entries and by bytes, whichever is reached first. Bytes are
/// estimated; what several entries share is counted with each. An entry is not remembered that alone
/// would take more than a sixteenth of a limit in bytes, or more than about 1 MiB of a limit that is
/// under 16 MiB. With 0 nothing is remembered.
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
    /// Discoveries under way. Default 1,000.
    pub discoveries: usize,
    /// Discoveries that wait for their turn, first come, first served; one more is refused as too
    /// busy. Default 10,000.
    pub waiting: usize,
    /// Fetches under way to one destination: an IPv4 address, or an IPv6 network of 64 bits, which
    /// is what one host commonly has. A fetch that may go to several goes to those that have room;
    /// it waits only if none has. Default 16.
    pub per_destination: usize,
    /// Fetches that wait for their turn at one destination; a discovery that needs one more is
    /// refused as too busy, so that one host behind many names does not take every turn. Default
    /// 112.
    pub per_destination_waiting: usize,
    /// DNS questions under way; a discovery that needs one more is refused as too busy. Default
    /// 50,000: what as many discoveries need that have as many SRV records as are used.
    pub questions: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            hosts: 200_000,
            bytes: 128 << 20,
            reports: Reports::Rebuilt,
            discoveries: 1_000,
            waiting: 10_000,
            per_destination: 16,
            per_destination_waiting: 112,
            questions: 50_000,
        }
    }
}
