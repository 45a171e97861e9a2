//! How long answers hold, and when they are renewed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DAY, HOUR, MINUTE};

/// How long well-known answers hold, good or bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WellKnownLifetimes {
    /// The least lifetime of a good answer, whatever its headers say, which bounds how often a
    /// server can make this one ask. Default 1 min; `strict` 0; Synapse 5 min.
    #[serde(with = "super::duration")]
    pub least: Duration,
    /// The greatest lifetime of a good answer. Default 48 h, as the specification recommends.
    #[serde(with = "super::duration")]
    pub most: Duration,
    /// The lifetime of a good answer whose headers state none. Default 24 h, as the specification
    /// recommends; shortened by up to `jitter_percent`.
    #[serde(with = "super::duration")]
    pub unstated: Duration,
    /// By how much, in percent, lifetimes that the peer did not state are shortened at random, so
    /// that answers fetched together do not expire together. Default 10.
    pub jitter_percent: u8,
    /// How long the first temporary failure is kept; each further one in a row doubles it. Default
    /// 2 min.
    #[serde(with = "super::duration")]
    pub temporary: Duration,
    /// The most a temporary failure is kept. Default 1 h, as the specification recommends.
    #[serde(with = "super::duration")]
    pub temporary_most: Duration,
    /// How long a permanent failure is kept. Default 1 h, as the specification recommends.
    #[serde(with = "super::duration")]
    pub permanent: Duration,
    /// The least wait that `Retry-After` of a 429 can ask for. Default 1 min.
    #[serde(with = "super::duration")]
    pub retry_after_least: Duration,
    /// The longest wait that `Retry-After` of a 429 can ask for. Default 24 h.
    #[serde(with = "super::duration")]
    pub retry_after_most: Duration,
    /// How long after its fetch a good answer may be served stale while look-ups fail temporarily.
    /// Default 48 h.
    #[serde(with = "super::duration")]
    pub stale: Duration,
    /// How long after its fetch a good answer is remembered. Until then the host counts as known to
    /// delegate: failures are retried soon, and targets found meanwhile are marked degraded.
    /// Default 50 h.
    #[serde(with = "super::duration")]
    pub remembered: Duration,
}

impl Default for WellKnownLifetimes {
    fn default() -> Self {
        Self {
            least: MINUTE,
            most: 2 * DAY,
            unstated: DAY,
            jitter_percent: 10,
            temporary: 2 * MINUTE,
            temporary_most: HOUR,
            permanent: HOUR,
            retry_after_least: MINUTE,
            retry_after_most: DAY,
            stale: 2 * DAY,
            remembered: 50 * HOUR,
        }
    }
}

/// Returns the time, doubled this number of times; saturates.
pub(crate) fn doubled(time: Duration, times: u32) -> Duration {
    2_u32.checked_pow(times).and_then(|factor| time.checked_mul(factor)).unwrap_or(Duration::MAX)
}

/// How long DNS answers hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DnsLifetimes {
    /// The least lifetime of records, whatever their TTL. Default 5 s.
    #[serde(with = "super::duration")]
    pub least: Duration,
    /// The greatest lifetime of records. Default 1 day.
    #[serde(with = "super::duration")]
    pub most: Duration,
    /// The least lifetime of "there is none", whatever the SOA record says. Default 5 s.
    #[serde(with = "super::duration")]
    pub negative_least: Duration,
    /// The greatest lifetime of "there is none" (RFC 2308 section 5). Default 1 h.
    #[serde(with = "super::duration")]
    pub negative_most: Duration,
    /// The lifetime of "there is none" if the answer has no SOA record, or if the server does not
    /// implement the question. Default 1 min.
    #[serde(with = "super::duration")]
    pub negative_unstated: Duration,
    /// How long the first failure is kept; each further one in a row doubles it. Default 30 s.
    #[serde(with = "super::duration")]
    pub failed: Duration,
    /// The longest time that a failure is kept. Default 10 min.
    #[serde(with = "super::duration")]
    pub failed_most: Duration,
    /// How soon an address family or SRV target is asked again that failed or was late while
    /// another one answered. Default 2 min.
    #[serde(with = "super::duration")]
    pub incomplete: Duration,
    /// How long past their TTL the last good records may be served stale while look-ups fail (RFC
    /// 8767). Default 1 day.
    #[serde(with = "super::duration")]
    pub stale: Duration,
}

impl Default for DnsLifetimes {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(5),
            most: DAY,
            negative_least: Duration::from_secs(5),
            negative_most: HOUR,
            negative_unstated: MINUTE,
            failed: Duration::from_secs(30),
            failed_most: 10 * MINUTE,
            incomplete: 2 * MINUTE,
            stale: DAY,
        }
    }
}

/// When a remembered answer is renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Refresh {
    /// The last part of an answer's lifetime, in percent, in which it is renewed in the background
    /// while callers still get it. Default 20; with 0, nothing is renewed before it expires.
    pub ahead_percent: u8,
    /// How long a caller waits for an expired answer to be renewed before it gets the stale one.
    /// Default 1.8 s (RFC 8767 section 5).
    #[serde(with = "super::duration")]
    pub wait: Duration,
    /// The least time between the starts of two background renewals. Default 1 s.
    #[serde(with = "super::duration")]
    pub apart: Duration,
    /// How long a target holds that relies on an expired answer which is not renewed yet. Default 5
    /// s.
    #[serde(with = "super::duration")]
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

/// How a resolver reacts to failures that callers report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Feedback {
    /// The least age of a name's answers at which a report has it looked up again. It doubles each
    /// time in a row that this changes nothing. Default 10 s.
    #[serde(with = "super::duration")]
    pub apart: Duration,
    /// The longest time that doubling leads to. Default 10 min.
    #[serde(with = "super::duration")]
    pub apart_most: Duration,
    /// How long an endpoint that failed is tried last. Default 10 min.
    #[serde(with = "super::duration")]
    pub demoted: Duration,
}

impl Default for Feedback {
    fn default() -> Self {
        Self { apart: Duration::from_secs(10), apart_most: 10 * MINUTE, demoted: 10 * MINUTE }
    }
}
