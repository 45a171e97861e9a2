//! How long answers hold, and when they are renewed.

use std::time::Duration;

use super::policies::Withdrawal;
use super::setting::settings;
use super::{DAY, HOUR, MINUTE};

settings! {
    /// How long well-known answers hold, good or bad.
    #[derive(Eq)]
    pub struct WellKnownLifetimes {
        /// The least lifetime of a good answer, whatever its headers say, which bounds how often a
        /// server can make this one ask. Default 1 min; `strict` 0; Synapse 5 min.
        least: Duration = MINUTE, <= most;
        /// The greatest lifetime of a good answer. Default 48 h, as the specification recommends.
        most: Duration = 2 * DAY;
        /// The lifetime of a good answer whose headers state none. Default 24 h, as the
        /// specification recommends; shortened by up to `jitter_percent`.
        unstated: Duration = DAY;
        /// By how much, in percent, lifetimes that the peer did not state are shortened at random,
        /// so that answers fetched together do not expire together. Default 10.
        jitter_percent: u8 = 10, percent();
        /// How long the first temporary failure is kept; each further one in a row doubles it.
        /// Default 2 min.
        temporary: Duration = 2 * MINUTE, <= temporary_most;
        /// The most a temporary failure is kept. Default 1 h, as the specification recommends.
        temporary_most: Duration = HOUR;
        /// How long a permanent failure is kept. Default 1 h, as the specification recommends.
        permanent: Duration = HOUR;
        /// The least wait that `Retry-After` of a 429 can ask for. Default 1 min.
        retry_after_least: Duration = MINUTE, <= retry_after_most;
        /// The longest wait that `Retry-After` of a 429 can ask for. Default 24 h.
        retry_after_most: Duration = DAY;
        /// How long after its fetch a good answer may be served stale while look-ups fail, as
        /// long as nothing withdraws it. `must-revalidate` is not heeded then. Default 48 h.
        stale: Duration = 2 * DAY, <= remembered;
        /// How long after its fetch a good answer is remembered. Until then the host counts as
        /// known to delegate: failures are retried soon, and targets found meanwhile are marked
        /// degraded. Default 50 h.
        remembered: Duration = 50 * HOUR;
        /// Which failures end a delegation that is known. Default [`Withdrawal::Explicit`];
        /// [`Withdrawal::AnyPermanent`] in `strict`, [`Withdrawal::AnyResponse`] in `synapse`.
        withdrawal: Withdrawal;
    }
}

/// Returns the time, doubled this number of times; saturates.
pub(crate) fn doubled(time: Duration, times: u32) -> Duration {
    2_u32.checked_pow(times).and_then(|factor| time.checked_mul(factor)).unwrap_or(Duration::MAX)
}

settings! {
    /// How long DNS answers hold.
    #[derive(Eq)]
    pub struct DnsLifetimes {
        /// The least lifetime of records, whatever their TTL. Default 5 s.
        least: Duration = Duration::from_secs(5), <= most;
        /// The greatest lifetime of records. Default 1 day.
        most: Duration = DAY;
        /// The least lifetime of "there is none", whatever the SOA record says. Default 5 s.
        negative_least: Duration = Duration::from_secs(5), <= negative_most;
        /// The greatest lifetime of "there is none" (RFC 2308 section 5). Default 1 h.
        negative_most: Duration = HOUR;
        /// The lifetime of "there is none" if the answer has no SOA record, or if the server does
        /// not implement the question. Default 1 min.
        negative_unstated: Duration = MINUTE;
        /// How long the first failure is kept; each further one in a row doubles it. Default 30 s.
        failed: Duration = Duration::from_secs(30), <= failed_most;
        /// The longest time that a failure is kept. Default 10 min.
        failed_most: Duration = 10 * MINUTE;
        /// How soon an address family or SRV target is asked again that failed or was late while
        /// another one answered. Default 2 min.
        incomplete: Duration = 2 * MINUTE;
        /// How long past their TTL the last good records may be served stale while look-ups fail
        /// (RFC 8767). Default 1 day.
        stale: Duration = DAY;
    }
}

settings! {
    /// When a remembered answer is renewed.
    #[derive(Eq)]
    pub struct Refresh {
        /// The last part of an answer's lifetime, in percent, in which it is renewed in the
        /// background while callers still get it. Default 20; with 0, nothing is renewed before it
        /// expires.
        ahead_percent: u8 = 20, percent();
        /// How long a caller waits for an expired answer to be renewed before it gets the stale
        /// one. Default 1.8 s (RFC 8767 section 5).
        wait: Duration = Duration::from_millis(1800);
        /// The least time between the starts of two background renewals. Default 1 s.
        apart: Duration = Duration::from_secs(1);
        /// How long a target holds that relies on an expired answer which is not renewed yet.
        /// Default 5 s.
        unrenewed: Duration = Duration::from_secs(5);
    }
}

settings! {
    /// How a resolver reacts to failures that callers report.
    #[derive(Eq)]
    pub struct Feedback {
        /// The least age of a name's answers at which a report has it looked up again. It doubles
        /// each time in a row that this changes nothing. Default 10 s.
        apart: Duration = Duration::from_secs(10), <= apart_most;
        /// The longest time that doubling leads to. Default 10 min.
        apart_most: Duration = 10 * MINUTE;
        /// How long an endpoint that failed is tried last. Default 10 min.
        demoted: Duration = 10 * MINUTE;
    }
}
