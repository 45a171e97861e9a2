//! Every choice and every limit of a discovery, with its default and its source.

pub(crate) mod check;
pub(crate) mod duration;
mod lifetimes;
mod limits;
mod policies;
pub(crate) mod setting;
mod user_agent;

use std::time::Duration;

pub use self::check::{ConfigError, ConfigProblem};
pub(crate) use self::lifetimes::doubled;
pub use self::lifetimes::{DnsLifetimes, Feedback, Refresh, WellKnownLifetimes};
pub use self::limits::{Limits, TimeLimits};
pub use self::policies::{
    AddressFamilies, BlockedAddressPolicy, DnsFailurePolicy, FamilyOrder, Speculation,
    SrvAliasPolicy, Withdrawal,
};
use self::setting::settings;
pub use self::user_agent::UserAgent;
use crate::core::address_policy::AddressPolicy;
use crate::core::well_known::FetchLimits;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

settings! {
    /// How names are resolved where the specification leaves a choice.
    ///
    /// There are three presets: [`Config::default`] is lenient where that is safe,
    /// [`Config::strict`] is the letter of the specification, and [`Config::synapse`] does what
    /// Synapse does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::config::AddressFamilies;
    /// use matrix_delegation::Config;
    ///
    /// let config = Config::default().with_addresses(AddressFamilies::V4);
    /// assert_eq!(config.time.well_known, Duration::from_secs(15));
    /// assert_eq!(config.limits.srv_records, 20);
    /// assert_eq!(Config::strict().well_known.least, Duration::ZERO);
    /// assert_eq!(Config::synapse().well_known.least, Duration::from_secs(300));
    /// ```
    pub struct Config {
        /// Whether questions are asked before it is known that they are needed. Default
        /// [`Speculation::Full`].
        speculation: Speculation;
        /// Which addresses are looked up. Default [`AddressFamilies::Both`].
        addresses: AddressFamilies;
        /// Which family is connected to first. Default [`FamilyOrder::V4First`].
        family_order: FamilyOrder;
        /// Which addresses may be connected to. Default [`AddressPolicy::default`]: the public
        /// internet.
        address_policy: AddressPolicy;
        /// What a blocked address does to its host. Default [`BlockedAddressPolicy::Drop`].
        blocked_address: BlockedAddressPolicy;
        /// What a failed DNS look-up does. Default [`DnsFailurePolicy::GoOn`];
        /// [`DnsFailurePolicy::Fail`] in `strict` and `synapse`.
        dns_failure: DnsFailurePolicy;
        /// What an alias as SRV target does. Default [`SrvAliasPolicy::Follow`];
        /// [`SrvAliasPolicy::Drop`] in `strict`.
        srv_alias: SrvAliasPolicy;
        /// How long well-known answers hold.
        well_known: WellKnownLifetimes;
        /// How long DNS answers hold.
        dns: DnsLifetimes;
        /// How much is asked and read.
        limits: Limits;
        /// How long each thing may take.
        time: TimeLimits;
        /// When a remembered answer is renewed.
        refresh: Refresh;
        /// The `User-Agent` of the well-known fetch. Default: this crate's name and version.
        user_agent: UserAgent;
    }
}

impl Config {
    /// Returns the letter of the specification: lifetimes as the peer states them, down to zero; a
    /// failed SRV look-up is an error; an SRV target that is an alias is dropped; any permanent
    /// failure to fetch a well-known document ends a delegation.
    pub fn strict() -> Self {
        Self {
            dns_failure: DnsFailurePolicy::Fail,
            srv_alias: SrvAliasPolicy::Drop,
            well_known: WellKnownLifetimes {
                least: Duration::ZERO,
                withdrawal: Withdrawal::AnyPermanent,
                ..Default::default()
            },
            ..Self::default()
        }
    }

    /// Returns what Synapse does: no speculation, a failed SRV look-up is an error, good answers
    /// hold for at least 5 minutes, up to 20 redirects are followed, and a response without a
    /// document ends a delegation unless its status is temporary.
    pub fn synapse() -> Self {
        Self {
            speculation: Speculation::Off,
            dns_failure: DnsFailurePolicy::Fail,
            well_known: WellKnownLifetimes {
                least: 5 * MINUTE,
                withdrawal: Withdrawal::AnyResponse,
                ..Default::default()
            },
            limits: Limits { redirects: 20, ..Default::default() },
            ..Self::default()
        }
    }

    /// Sets whether questions are asked before it is known that they are needed.
    #[must_use]
    pub fn with_speculation(mut self, speculation: Speculation) -> Self {
        self.speculation = speculation;
        self
    }

    /// Sets which addresses are looked up.
    #[must_use]
    pub fn with_addresses(mut self, addresses: AddressFamilies) -> Self {
        self.addresses = addresses;
        self
    }

    /// Sets which addresses may be connected to.
    #[must_use]
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.address_policy = policy;
        self
    }

    /// Sets how long each thing may take.
    #[must_use]
    pub fn with_time(mut self, time: TimeLimits) -> Self {
        self.time = time;
        self
    }

    /// Sets the `User-Agent` of the well-known fetch.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: UserAgent) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// Returns the limits of one exchange that may take `total` in all.
    pub(crate) fn fetch_limits(&self, total: Duration) -> FetchLimits {
        FetchLimits {
            phases: self.time.phases,
            exchange: self.time.exchange,
            total,
            head_bytes: self.limits.head_bytes,
            head_lines: self.limits.head_lines,
            body_bytes: self.limits.body_bytes,
        }
    }
}
