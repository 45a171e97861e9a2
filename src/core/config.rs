//! Every choice and every limit of a discovery, each with its default and where it comes from.

pub(crate) mod check;
pub(crate) mod duration;
mod lifetimes;
mod limits;
mod policies;
mod user_agent;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::check::{ConfigError, ConfigProblem};
pub(crate) use self::lifetimes::doubled;
pub use self::lifetimes::{DnsLifetimes, Feedback, Refresh, WellKnownLifetimes};
pub use self::limits::{Limits, TimeLimits};
pub use self::policies::{
    AddressFamilies, BlockedAddressPolicy, DnsFailurePolicy, FamilyOrder, Speculation,
    SrvAliasPolicy,
};
pub use self::user_agent::UserAgent;
use crate::core::address_policy::AddressPolicy;
use crate::core::phase_limits::PhaseLimits;
use crate::core::well_known::FetchLimits;

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
    /// Which family is connected to first. Default [`FamilyOrder::V4First`].
    pub family_order: FamilyOrder,
    /// Which addresses may be connected to. Default: the public internet only.
    pub address_policy: AddressPolicy,
    /// What a blocked address does to its host. Default [`BlockedAddressPolicy::Drop`].
    pub blocked_address: BlockedAddressPolicy,
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
    /// When a remembered answer is renewed.
    pub refresh: Refresh,
    /// What the well-known fetch calls itself. Default: this crate's name and version.
    pub user_agent: UserAgent,
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
