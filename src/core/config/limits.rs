//! Limits on what is asked and read, and on how long each thing may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::MINUTE;
use crate::core::well_known::FetchLimits;

/// Limits on what is asked and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// The most SRV records used of a set; those that would be tried first are kept. Default 20, at
    /// most 64.
    pub srv_records: usize,
    /// The most addresses used of each family of a host. Default 8.
    pub addresses_per_family: usize,
    /// The most redirects followed. Default 10; Synapse 20.
    pub redirects: usize,
    /// The most retries of a fetch that failed. There are retries only within the limit for all of
    /// the well-known, for a host that is known to delegate and whose last answer is too old to be
    /// served. Default 3.
    pub retries: u32,
    /// The most bytes of the status line and headers of a response. Default 16 KiB.
    pub head_bytes: usize,
    /// The most bytes of the body of a well-known. Default 51,200, as in Synapse and
    /// gomatrixserverlib. A larger body is never parsed.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let fetch = FetchLimits::default();
        Self {
            srv_records: 20,
            addresses_per_family: 8,
            redirects: 10,
            retries: 3,
            head_bytes: fetch.head_bytes,
            body_bytes: fetch.body_bytes,
        }
    }
}

/// How long each thing may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TimeLimits {
    /// How long one DNS question may take, retries included. Default 5 s. An adapter that has not
    /// answered a quarter of a second later counts as timed out.
    #[serde(with = "super::duration")]
    pub dns: Duration,
    /// How long connecting to one address may take. Default 5 s.
    #[serde(with = "super::duration")]
    pub connect: Duration,
    /// How long to wait for one address before the next is tried beside it (RFC 8305 section 5).
    /// Default 250 ms.
    #[serde(with = "super::duration")]
    pub attempt_delay: Duration,
    /// How long the TLS handshake with one address may take. Default 5 s.
    #[serde(with = "super::duration")]
    pub tls: Duration,
    /// How long one HTTP exchange may take, from the first byte of the request. Default 10 s.
    #[serde(with = "super::duration")]
    pub exchange: Duration,
    /// How long all of the well-known may take: its DNS, every hop, every retry. Default 15 s. Then
    /// it counts as a temporary failure, and step 4 begins.
    #[serde(with = "super::duration")]
    pub well_known: Duration,
    /// The pause before the first retry of a fetch; each further pause is twice as long. Default
    /// 500 ms.
    #[serde(with = "super::duration")]
    pub retry_pause: Duration,
    /// How long the whole discovery may take. Default 30 s.
    #[serde(with = "super::duration")]
    pub discovery: Duration,
    /// How long the fetch waits for the other address family once one has answered (RFC 8305
    /// section 3). Default 50 ms.
    #[serde(with = "super::duration")]
    pub fetch_grace: Duration,
    /// How long the answer waits for the other address family once one has answered. Default 250
    /// ms.
    #[serde(with = "super::duration")]
    pub family_grace: Duration,
    /// How long the answer waits for other SRV targets once one has an address. Default 1 s.
    #[serde(with = "super::duration")]
    pub target_grace: Duration,
    /// The longest lifetime of a degraded answer, if none of its parts expires sooner. Default 2
    /// min.
    #[serde(with = "super::duration")]
    pub degraded: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        let fetch = FetchLimits::default();
        Self {
            dns: Duration::from_secs(5),
            connect: fetch.phases.connect,
            attempt_delay: fetch.phases.attempt_delay,
            tls: fetch.phases.tls,
            exchange: fetch.exchange,
            well_known: fetch.total,
            retry_pause: Duration::from_millis(500),
            discovery: Duration::from_secs(30),
            fetch_grace: Duration::from_millis(50),
            family_grace: Duration::from_millis(250),
            target_grace: Duration::from_secs(1),
            degraded: 2 * MINUTE,
        }
    }
}
