//! The embedded internet of the examples: DNS and HTTPS on loopback, with real certificates.
//!
//! `servers` checks it without the crate; `rows` and `scenarios_over_sockets` check the crate with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../../examples/support/internet/mod.rs"]
mod internet;
mod rows;
#[cfg(feature = "testing")]
#[path = "../support/scenarios.rs"]
mod scenarios;
#[cfg(feature = "testing")]
mod scenarios_over_sockets;
mod servers;
