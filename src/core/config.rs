//! Every choice and every limit in one place, each with its default and where it comes from.

pub(crate) mod memory;

use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use self::memory::{Abandoned, Feedback, MemoryLimits, Refresh};
use crate::core::address_policy::AddressPolicy;
use crate::core::dns::Family;
use crate::core::phase_limits::PhaseLimits;
use crate::core::well_known::fetch::FetchLimits;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How names are resolved where the specification leaves a choice.
///
/// Three presets: [`Config::default`] is lenient where that is safe, [`Config::strict`] is the
/// letter of the specification, [`Config::synapse`] does as Synapse does. Each field can be set.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::{AddressFamilies, Config};
///
/// let config = Config::default().with_addresses(AddressFamilies::V4);
/// assert_eq!(config.time.well_known, Duration::from_secs(15));
/// assert_eq!(config.limits.srv_records, 20);
/// assert_eq!(Config::strict().well_known.least, Duration::ZERO);
/// assert_eq!(Config::synapse().well_known.least, Duration::from_secs(300));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Whether questions are asked before it is known that they are needed. Default
    /// [`Speculation::Full`].
    pub speculation: Speculation,
    /// Which addresses are looked up. Default [`AddressFamilies::Both`].
    pub addresses: AddressFamilies,
    /// Which addresses may be connected to. Default: the public internet only.
    pub address_policy: AddressPolicy,
    /// What a failed look-up does. Default [`DnsFailurePolicy::GoOn`]; `strict` and Synapse fail.
    pub dns_failure: DnsFailurePolicy,
    /// What an alias as SRV target does. Default [`SrvAliasPolicy::Follow`]; `strict` drops.
    pub srv_alias: SrvAliasPolicy,
    /// How long well-known answers are kept.
    pub well_known: WellKnownLifetimes,
    /// How long DNS answers are kept.
    pub dns: DnsLifetimes,
    /// How much is asked and read.
    pub limits: Limits,
    /// How long each thing may take.
    pub time: TimeLimits,
    /// When a resolver renews what it remembers.
    pub refresh: Refresh,
    /// What becomes of what is under way once nobody waits for it any more. Default
    /// [`Abandoned::Finish`].
    pub abandoned: Abandoned,
    /// What a failure that a caller reports brings about.
    pub feedback: Feedback,
    /// How much a resolver remembers and does at once.
    pub memory: MemoryLimits,
    /// What the well-known fetch calls itself. Default: this crate's name and version.
    pub user_agent: UserAgent,
}

/// Whether questions are asked before it is known that they are needed.
///
/// Questions asked for a name without a port, with both address families, by the deciding step
/// (the well-known fetch counts as one; *n* is the number of SRV targets):
///
/// | step | `Full` | `Off` |
/// | --- | --- | --- |
/// | 1 | 0 | 0 |
/// | 2 | 2 | 2 |
/// | 3.1 | 5 | 3 |
/// | 3.2 | 7 | 5 |
/// | 3.3 | 9 + 2*n* | 4 + 2*n* |
/// | 3.4 | 9 + 2*n* | 5 + 2*n* |
/// | 3.5 | 9 | 7 |
/// | 4 | 5 + 2*n* | 4 + 2*n* |
/// | 5 | 5 + 2*n* | 5 + 2*n* |
/// | 6 | 5 | 5 |
///
/// Where the server name's own SRV records exist although a well-known delegates elsewhere, `Full`
/// asks two more: the addresses of the first target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speculation {
    /// Whatever can be asked early is asked early, so that the answer is ready after the longest
    /// chain of questions that truly depend on each other.
    #[default]
    Full,
    /// One thing after the other: fewer questions, more round trips.
    Off,
}

/// Which addresses are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressFamilies {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// None: the target has hosts and ports only, and a proxy (SOCKS, Tor) resolves the names. The
    /// address policy then judges IP literals alone. The fetch must be able to connect by name
    /// ([`crate::Fetch::left_to_proxy`]). If it is not, no delegation is ever found. Written `leave`
    /// or `by_proxy`.
    #[serde(rename = "leave", alias = "by_proxy")]
    ByProxy,
}

impl AddressFamilies {
    /// The families that are asked for.
    pub const fn families(self) -> &'static [Family] {
        match self {
            Self::Both => &Family::ALL,
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::ByProxy => &[],
        }
    }
}

/// What a failed DNS look-up (SERVFAIL, REFUSED, silence, ...) does. "There is none" is no failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsFailurePolicy {
    /// A failed SRV look-up is passed over, with a warning, and the answer is marked degraded. TLS
    /// still guards the name.
    #[default]
    GoOn,
    /// A failed SRV look-up, or a failed look-up of the only addresses, is an error.
    Fail,
}

/// What an SRV target that is an alias does; RFC 2782 forbids it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SrvAliasPolicy {
    /// The alias is followed, with a warning.
    #[default]
    Follow,
    /// The record is dropped.
    Drop,
}

/// How long well-known answers are kept, good or bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WellKnownLifetimes {
    /// The least a good answer is kept, whatever its headers say: a floor against floods. Default
    /// 1 min; `strict` 0; Synapse 5 min.
    pub least: Duration,
    /// The most a good answer is kept. Default 48 h, as the specification recommends.
    pub most: Duration,
    /// How long a good answer is kept whose headers say nothing. Default 24 h, as the
    /// specification recommends, shortened by up to `jitter_percent`.
    pub unstated: Duration,
    /// By how much, in percent, lifetimes that the peer did not state are shortened at random, so
    /// that what was fetched together is not fetched together again. Default 10.
    pub jitter_percent: u8,
    /// How long the first temporary failure is kept; each further one in a row doubles it. Default
    /// 2 min.
    pub temporary: Duration,
    /// The most a temporary failure is kept. Default 1 h, as the specification recommends.
    pub temporary_most: Duration,
    /// How long a permanent failure is kept. Default 1 h, as the specification recommends.
    pub permanent: Duration,
    /// The least that `Retry-After` of a 429 is heeded. Default 1 min.
    pub retry_after_least: Duration,
    /// The most that `Retry-After` of a 429 is heeded. Default 24 h.
    pub retry_after_most: Duration,
    /// How long after its fetch a good answer stands in for temporary failures. Default 48 h.
    pub stale: Duration,
    /// How long after its fetch a good answer is remembered at all, so that failures are retried
    /// soon and what is found meanwhile is marked degraded. Default 50 h.
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

/// The time doubled so often.
pub(crate) fn doubled(time: Duration, times: u32) -> Duration {
    2_u32.checked_pow(times).and_then(|factor| time.checked_mul(factor)).unwrap_or(Duration::MAX)
}

/// How long DNS answers are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DnsLifetimes {
    /// The least that records are kept, whatever their TTL. Default 5 s.
    pub least: Duration,
    /// The most that records are kept. Default 1 day.
    pub most: Duration,
    /// The most that "there is none" is kept (RFC 2308 section 5). Default 1 h.
    pub negative_most: Duration,
    /// How long "there is none" is kept where the answer carried no SOA record, or the server does
    /// not implement the question. Default 1 min.
    pub negative_unstated: Duration,
    /// How long a first failure is kept; each further one in a row doubles it. Default 30 s.
    pub failed: Duration,
    /// The most a failure is kept. Default 10 min.
    pub failed_most: Duration,
    /// After how long an address family, or an SRV target, is asked again that failed or came late
    /// beside another that answered. Default 2 min.
    pub incomplete: Duration,
    /// How long past their TTL the last good records stand in for a look-up that fails (RFC 8767).
    /// Default 1 day.
    pub stale: Duration,
}

impl Default for DnsLifetimes {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(5),
            most: DAY,
            negative_most: HOUR,
            negative_unstated: MINUTE,
            failed: Duration::from_secs(30),
            failed_most: 10 * MINUTE,
            incomplete: 2 * MINUTE,
            stale: DAY,
        }
    }
}

/// How much is asked and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// SRV records used of a set; those that would be tried first are kept. Default 20, at most 64.
    pub srv_records: usize,
    /// Addresses used of each family of a host. Default 8.
    pub addresses_per_family: usize,
    /// Redirects followed. Default 10; Synapse 20.
    pub redirects: usize,
    /// How often a fetch that failed is tried again within the time for all of the well-known,
    /// where the host is known to have delegated and nothing may stand in any more. Default 3.
    pub retries: u32,
    /// Status line and headers of a response, in bytes. Default 16 KiB.
    pub head_bytes: usize,
    /// Body of a well-known, in bytes. Default 51,200, as in Synapse and gomatrixserverlib; more
    /// than that is never parsed.
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
    /// One DNS question, retries included. Default 5 s; an adapter that has not answered a quarter
    /// of a second later counts as timed out.
    pub dns: Duration,
    /// Connecting to one address. Default 5 s.
    pub connect: Duration,
    /// How long an address is silent before the next is tried beside it (RFC 8305 section 5).
    /// Default 250 ms.
    pub attempt_delay: Duration,
    /// The TLS handshake with one address. Default 5 s.
    pub tls: Duration,
    /// One HTTP exchange. Default 10 s.
    pub exchange: Duration,
    /// All of the well-known: its DNS, every hop, every retry. Default 15 s; then it counts as a
    /// temporary failure and step 4 begins.
    pub well_known: Duration,
    /// Before a fetch is tried again the first time; each further time it is twice as long. Default
    /// 500 ms.
    pub retry_pause: Duration,
    /// How long a well-known had to be under way for it to count as a failure when it is stopped
    /// because nobody waits for it any more ([`Abandoned::Cancel`]). Default 2 s.
    pub abandoned: Duration,
    /// The whole discovery. Default 30 s.
    pub discovery: Duration,
    /// How long a discovery waits for its turn where too many are under way; then it is refused as
    /// too busy. Default 30 s.
    pub queue: Duration,
    /// How long a store (`Store` of the resolver) is waited for. Default 250 ms.
    pub store: Duration,
    /// How long a fetch waits for its turn where too many go to one destination; then the discovery
    /// is refused as too busy. Default 5 s.
    pub destination: Duration,
    /// How long the fetch waits for the other address family once one is there (RFC 8305
    /// section 3). Default 50 ms.
    pub fetch_grace: Duration,
    /// How long the answer waits for the other address family. Default 250 ms.
    pub family_grace: Duration,
    /// How long the answer waits for other SRV targets once one has an address. Default 1 s.
    pub target_grace: Duration,
    /// How long a degraded answer is held at most, if none of its parts ends sooner. Default 2 min.
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
            abandoned: Duration::from_secs(2),
            discovery: Duration::from_secs(30),
            queue: Duration::from_secs(30),
            store: Duration::from_millis(250),
            destination: Duration::from_secs(5),
            fetch_grace: Duration::from_millis(50),
            family_grace: Duration::from_millis(250),
            target_grace: Duration::from_secs(1),
            degraded: 2 * MINUTE,
        }
    }
}

/// A value for the `User-Agent` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserAgent(HeaderValue);

impl UserAgent {
    /// The header's value.
    pub const fn as_header(&self) -> &HeaderValue {
        &self.0
    }
}

impl Default for UserAgent {
    fn default() -> Self {
        Self(HeaderValue::from_static(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        )))
    }
}

impl TryFrom<String> for UserAgent {
    type Error = http::header::InvalidHeaderValue;

    /// Visible ASCII and spaces only, as RFC 9110 section 5.5 asks of what one sends.
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl std::str::FromStr for UserAgent {
    type Err = http::header::InvalidHeaderValue;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        // What `HeaderValue` takes besides, it does not give back as text.
        let text = if value.is_ascii() { value } else { "\0" };
        HeaderValue::from_str(text).map(Self)
    }
}

impl From<UserAgent> for String {
    fn from(value: UserAgent) -> Self {
        value.0.to_str().unwrap_or_default().to_owned()
    }
}

impl Config {
    /// The letter of the specification: lifetimes as the peer states them, down to zero; an SRV
    /// look-up that fails is an error; an SRV target that is an alias is dropped.
    pub fn strict() -> Self {
        Self {
            dns_failure: DnsFailurePolicy::Fail,
            srv_alias: SrvAliasPolicy::Drop,
            well_known: WellKnownLifetimes { least: Duration::ZERO, ..Default::default() },
            ..Self::default()
        }
    }

    /// As Synapse does: nothing is asked before it is needed, an SRV look-up that fails is an
    /// error, good answers are kept for 5 minutes at least, up to 20 redirects are followed.
    pub fn synapse() -> Self {
        Self {
            speculation: Speculation::Off,
            dns_failure: DnsFailurePolicy::Fail,
            well_known: WellKnownLifetimes { least: 5 * MINUTE, ..Default::default() },
            limits: Limits { redirects: 20, ..Default::default() },
            ..Self::default()
        }
    }

    /// With this speculation.
    #[must_use]
    pub fn with_speculation(mut self, speculation: Speculation) -> Self {
        self.speculation = speculation;
        self
    }

    /// With these address families.
    #[must_use]
    pub fn with_addresses(mut self, addresses: AddressFamilies) -> Self {
        self.addresses = addresses;
        self
    }

    /// With this address policy.
    #[must_use]
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.address_policy = policy;
        self
    }

    /// With these time limits.
    #[must_use]
    pub fn with_time(mut self, time: TimeLimits) -> Self {
        self.time = time;
        self
    }

    /// With this `User-Agent`.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: UserAgent) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// The limits of one exchange that may take `total` in all.
    pub(crate) fn fetch_limits(&self, total: Duration) -> FetchLimits {
        FetchLimits {
            phases: PhaseLimits {
                connect: self.time.connect,
                tls: self.time.tls,
                attempt_delay: self.time.attempt_delay,
            },
            exchange: self.time.exchange,
            total,
            head_bytes: self.limits.head_bytes,
            body_bytes: self.limits.body_bytes,
        }
    }
}
