//! An internet that is a value: what DNS and HTTPS answer, for tests without either (feature
//! `testing`).
//!
//! - [`Internet`] holds the answer to each question, and how long it takes. It is built in code or
//!   loaded from JSON.
//! - [`Drive`] drives a machine through it to its end, without async, sockets or a real clock. A
//!   [`Schedule`] sets the order of the answers; the result is a [`Run`].
//! - [`Scenario`] is an internet, a server name and the expected result, as JSON that an
//!   implementation in any language can run.
//! - With feature `resolver`, `Network` is an internet behind the traits `Dns`, `WellKnownFetch`
//!   and `Runtime`, on a `VirtualTime` that jumps from event to event, so that tests of code on a
//!   `Resolver` run through days in milliseconds.
//! - With feature `arbitrary`, [`Internet`] and [`ServerName`](crate::ServerName) implement
//!   `Arbitrary`, and so do their parts; with feature `proptest`, `strategies` has strategies for
//!   property tests.
//!
//! ```
//! use matrix_delegation::Config;
//! use matrix_delegation::testing::{Internet, documentation_allowed};
//!
//! let internet = Internet::new()
//!     .host("a.example", &["192.0.2.1"])
//!     .delegates("a.example", "m.example:443")
//!     .host("m.example", &["192.0.2.2"]);
//! let run = internet.resolve("a.example".parse()?, &documentation_allowed(Config::default()));
//! assert_eq!(run.outcome?.step().to_string(), "3.2");
//! // DNS, then TCP, TLS and HTTP, then DNS.
//! assert_eq!(run.critical_path.round_trips, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::disallowed_methods)]

mod critical_path;
mod drive;
#[cfg(feature = "arbitrary")]
pub mod generate;
mod internet;
mod json;
#[cfg(feature = "resolver")]
mod network;
mod question;
mod scenario;
mod schedule;
#[cfg(feature = "proptest")]
pub mod strategies;
#[cfg(feature = "resolver")]
mod virtual_time;

pub use self::critical_path::CriticalPath;
pub use self::drive::{Drive, Exchange, Run};
pub use self::internet::Internet;
#[cfg(feature = "resolver")]
pub use self::network::Network;
pub use self::question::Malformed;
pub use self::scenario::{
    Earlier, Expected, ExpectedEndpoint, ExpectedError, ExpectedTarget, Preset, Scenario,
    Scenarios, Settings,
};
pub use self::schedule::{Order, Schedule};
#[cfg(feature = "resolver")]
pub use self::virtual_time::VirtualTime;

use std::time::{Duration, SystemTime};

use crate::core::address_policy::AddressPolicy;
use crate::core::config::Config;
use crate::core::time::{Monotonic, Now};

/// The address ranges for documentation (RFC 5737, RFC 3849), for the hosts of tests. The default
/// policy blocks them, as all that is not globally reachable.
pub const DOCUMENTATION: [&str; 4] =
    ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];

/// Returns the configuration with the ranges of [`DOCUMENTATION`] allowed.
#[must_use]
pub fn documentation_allowed(config: Config) -> Config {
    let ranges = DOCUMENTATION.iter().filter_map(|range| range.parse().ok());
    let policy = ranges.fold(config.address_policy.clone(), AddressPolicy::allow);
    config.with_address_policy(policy)
}

/// Returns the time at which the virtual clocks begin: 2026-01-01T00:00:00Z on the wall clock. On the
/// monotonic clock it is far enough from the origin for answers that were fetched days before.
pub fn start() -> Now {
    let wall = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_767_225_600));
    let monotonic = Monotonic::from_origin(Duration::from_secs(1_000_000));
    Now::new(monotonic, wall.unwrap_or(SystemTime::UNIX_EPOCH))
}
