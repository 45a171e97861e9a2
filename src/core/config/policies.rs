//! Policies: choices between ways of doing something.

use serde::{Deserialize, Serialize};

use crate::core::dns::Family;

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
#[non_exhaustive]
pub enum Speculation {
    /// Everything that can be asked early is asked early, so that the answer takes only the longest
    /// chain of questions that truly depend on each other.
    #[default]
    Full,
    /// One question after the other: fewer questions, more round trips.
    Off,
}

/// Which addresses are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AddressFamilies {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// None: the target has only hosts and ports, and a proxy (SOCKS, Tor) resolves the names. The
    /// address policy then judges IP literals only. The fetch must be able to connect by name
    /// ([`crate::well_known::Fetch::left_to_proxy`]); otherwise no delegation is ever found.
    /// Serialised as `leave`; `by_proxy` is read, too.
    #[serde(rename = "leave", alias = "by_proxy")]
    ByProxy,
}

impl AddressFamilies {
    /// Returns the families that are asked for.
    pub const fn families(self) -> &'static [Family] {
        match self {
            Self::Both => &Family::ALL,
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::ByProxy => &[],
        }
    }
}

/// Which address family of a host is connected to first. The families then alternate (RFC 8305
/// section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FamilyOrder {
    /// An IPv4 address first. The default.
    #[default]
    V4First,
    /// An IPv6 address first.
    V6First,
}

/// What an address that [`AddressPolicy`](crate::AddressPolicy) blocks does to the host that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockedAddressPolicy {
    /// The address is dropped, with a warning, and the host's other addresses are used. The default.
    #[default]
    Drop,
    /// None of the host's addresses is used, as if all were blocked. No address is used before
    /// every family has been answered, because a later answer may hold a blocked one.
    RefuseHost,
}

/// What a failed DNS look-up (SERVFAIL, REFUSED, silence, ...) does. "There is none" is not a
/// failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DnsFailurePolicy {
    /// A failed SRV look-up is passed over, with a warning, and the answer is marked degraded. The
    /// certificate check still protects the connection.
    #[default]
    GoOn,
    /// A failed SRV look-up, or a failed look-up of the only addresses, is an error.
    Fail,
}

/// Which failures to fetch a well-known document end a delegation that is known.
///
/// Any other failure is treated as a temporary one: the last good document is served, marked stale,
/// for as long as [`WellKnownLifetimes::stale`](crate::config::WellKnownLifetimes::stale) says. Where
/// no document is known, the policy changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Withdrawal {
    /// Only the server's own word that it does not delegate any more: status 404 or 410, a JSON
    /// object without `m.server`, or NXDOMAIN for the host itself. A challenge page, a captive
    /// portal or a broken deployment does not end a delegation. The default.
    #[default]
    Explicit,
    /// Every permanent failure: those of `Explicit`, other statuses (but 408, 429 and 5xx), refused
    /// redirects, a document that cannot be read, hosts without address, blocked addresses.
    AnyPermanent,
    /// Every response that is no redirect and holds no document, except of status 408, 429 or 5xx.
    /// Synapse draws the line there, but counts 408 and 429 as such responses.
    AnyResponse,
}

/// What happens with an SRV target that is an alias; RFC 2782 forbids it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SrvAliasPolicy {
    /// The alias is followed, with a warning.
    #[default]
    Follow,
    /// The record is dropped.
    Drop,
}
