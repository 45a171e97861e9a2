//! The command lines among the examples, run as programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../../examples/support/internet/mod.rs"]
mod internet;
#[cfg(unix)]
mod peers;
mod plan;
mod program;
mod resolve;
