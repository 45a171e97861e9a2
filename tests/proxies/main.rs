//! The configuration that the example `plan` prints, in the servers that it is for: each is started
//! with it on loopback, and its server name is resolved and reached through this crate.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../../examples/support/internet/mod.rs"]
mod internet;
#[path = "../../examples/support/proxies/mod.rs"]
mod proxies;

mod cases;
mod client;
mod hostile;
mod server;
mod upstream;
