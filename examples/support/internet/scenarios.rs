//! The rows of the tour: server names, what stands behind each, and what must come out.
//!
//! Each row sets up its own corner of the internet and is true on its own. [`internet`] puts all of
//! them into one. The first ten rows ([`STEPS`]) are the ten ways in which a server name can be
//! resolved, named after the steps of the specification's "Server discovery"; the others are common
//! set-ups with a twist ([`VARIATIONS`]) and trouble of every kind ([`TROUBLE`]).
//!
//! Whatever resolves is really there: each address has a server whose certificate is good for the
//! expected name and which answers to the expected `Host` alone. No two rows share a virtual
//! address, so that a request to it tells which row it belongs to.

use std::ops::RangeInclusive;

use super::{Builder, DNS_TTL, Internet, NEGATIVE_TTL};

mod steps;
mod trouble;
mod variations;

pub use steps::STEPS;
pub use trouble::TROUBLE;
pub use variations::VARIATIONS;

/// What an address policy must allow for the tour: the ranges for documentation (RFC 5737, RFC
/// 3849), which are blocked by default like everything that is not globally reachable.
pub const ALLOWED: &[&str] =
    &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];

/// An address that stays blocked.
pub const BLOCKED_ADDRESS: &str = "10.0.0.1";

/// One stop of the tour.
#[derive(Clone, Debug)]
pub struct Row {
    /// The server name to resolve.
    pub server_name: &'static str,
    /// In plain words.
    pub title: &'static str,
    /// What must come out, from an empty memory and under the default configuration, with
    /// [`ALLOWED`] allowed.
    pub expect: Expect,
    /// Sets up DNS and servers.
    pub set_up: fn(Builder) -> Builder,
}

/// What must come out.
#[derive(Clone, Debug)]
pub enum Expect {
    Target(Target),
    /// The error's kind, in snake case.
    Error {
        kind: &'static str,
    },
}

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// The clause that decides, such as `3.3`.
    pub step: &'static str,
    /// Byte for byte what goes into `Host`.
    pub host_header: &'static str,
    /// The name that the certificate must carry, in lower case; an IPv6 address without brackets.
    pub tls_name: &'static str,
    /// Host and port, by priority, then by name; an IPv6 literal in brackets.
    pub endpoints: &'static [(&'static str, u16)],
    /// The addresses of all endpoints in their order, those of one host by IPv4 first, then by
    /// number. Compare as sets within one priority if another order is canonical.
    pub addresses: &'static [&'static str],
    /// Whether the answer is one that better circumstances would change.
    pub degraded: bool,
    /// Evidence that must appear in some warning, in any letter case. More warnings may come.
    pub warnings_contain: &'static [&'static str],
    /// For how many seconds the whole target may hold; `None` where nothing ends.
    pub lifetime: Option<RangeInclusive<u64>>,
    /// The same for the well-known answer, good or bad; `None` where none is asked for.
    pub well_known_lifetime: Option<RangeInclusive<u64>>,
}

/// A well-known answer without a word on its lifetime: 24 hours less up to a tenth.
const WELL_KNOWN_DEFAULT: RangeInclusive<u64> = 77_700..=86_400;
/// A well-known failure that will last: an hour, which jitter may shorten.
const WELL_KNOWN_PERMANENT: RangeInclusive<u64> = 1_800..=3_600;
/// A well-known failure that may pass: two minutes, which jitter may shorten.
const WELL_KNOWN_TEMPORARY: RangeInclusive<u64> = 30..=120;
/// A well-known that cannot be asked for, since DNS is sure that its host has no address.
const WELL_KNOWN_NO_HOST: RangeInclusive<u64> = 300..=NEGATIVE_TTL as u64;
/// The records' own TTL, and a little for the time that has passed.
const DNS: RangeInclusive<u64> = DNS_TTL as u64 - 20..=DNS_TTL as u64;

/// A target whose lifetime is the DNS records' own and for which no well-known is asked.
const fn target(
    step: &'static str,
    host_header: &'static str,
    tls_name: &'static str,
    endpoints: &'static [(&'static str, u16)],
    addresses: &'static [&'static str],
) -> Target {
    Target {
        step,
        host_header,
        tls_name,
        endpoints,
        addresses,
        degraded: false,
        warnings_contain: &[],
        lifetime: Some(DNS),
        well_known_lifetime: None,
    }
}

impl Target {
    const fn well_known(mut self, lifetime: RangeInclusive<u64>) -> Self {
        self.well_known_lifetime = Some(lifetime);
        self
    }

    const fn lifetime(mut self, lifetime: Option<RangeInclusive<u64>>) -> Self {
        self.lifetime = lifetime;
        self
    }

    const fn warns(mut self, evidence: &'static [&'static str]) -> Self {
        self.warnings_contain = evidence;
        self
    }

    const fn degraded(mut self) -> Self {
        self.degraded = true;
        self
    }
}

/// Every row, in the order of the tour.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    STEPS.iter().chain(VARIATIONS).chain(TROUBLE)
}

/// The internet in which all rows are true at once.
pub fn internet() -> Builder {
    rows().fold(Internet::builder(), |internet, row| (row.set_up)(internet))
}
