//! An internet that is a value: what DNS and HTTPS answer, for tests without either (feature
//! `testing`).
//!
//! - [`Internet`] says what is answered to each question, and after how long. It is built in code
//!   or loaded from JSON.
//! - [`Drive`] takes the machine through it to its end, without async, sockets or a real clock, in
//!   an order of answers that a [`Schedule`] picks; [`Run`] is what came of it.
//! - [`Scenario`] is an internet, a server name and what must come out, as JSON that an
//!   implementation in any language can run.
//! - With feature `resolver`, `Network` is an internet behind the traits `Dns`, `WellKnownFetch`
//!   and `Runtime`, on a `VirtualTime` that jumps from event to event, so that code on a `Resolver`
//!   is tested over days in milliseconds.
//! - With feature `arbitrary`, [`Internet`] and [`ServerName`](crate::ServerName) implement
//!   `Arbitrary`, and so does each part that goes into them; with feature `proptest`, `strategies`
//!   has the same for property tests.
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

mod drive;
mod format;
#[cfg(feature = "arbitrary")]
pub mod generate;
mod internet;
#[cfg(feature = "resolver")]
mod network;
mod path;
mod scenario;
mod schedule;
#[cfg(feature = "proptest")]
pub mod strategies;
#[cfg(feature = "resolver")]
mod virtual_time;

pub use self::drive::{Drive, Exchange, Run};
pub use self::internet::{Internet, Malformed};
#[cfg(feature = "resolver")]
pub use self::network::Network;
pub use self::path::CriticalPath;
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

/// The ranges for documentation (RFC 5737, RFC 3849), in which the hosts of tests live. They are
/// blocked by default, as everything that is not globally reachable.
pub const DOCUMENTATION: [&str; 4] =
    ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];

/// The same configuration with [`DOCUMENTATION`] let through.
#[must_use]
pub fn documentation_allowed(config: Config) -> Config {
    let ranges = DOCUMENTATION.iter().filter_map(|range| range.parse().ok());
    let policy = ranges.fold(config.address_policy.clone(), AddressPolicy::allow);
    config.with_address_policy(policy)
}

/// When the virtual clocks begin: 2026-01-01T00:00:00Z on the wall, and on the monotonic clock far
/// enough from its origin for what was fetched days before.
pub fn start() -> Now {
    let wall = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_767_225_600));
    let monotonic = Monotonic::from_origin(Duration::from_secs(1_000_000));
    Now::new(monotonic, wall.unwrap_or(SystemTime::UNIX_EPOCH))
}
