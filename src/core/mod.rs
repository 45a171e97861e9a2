//! The layer that does the thinking: no socket, no task, no clock, no randomness of its own.
#![deny(clippy::disallowed_methods)]

pub(crate) mod address_policy;
pub(crate) mod blame;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod discovery;
pub(crate) mod dns;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod few;
pub(crate) mod names;
pub(crate) mod phase_limits;
pub(crate) mod report;
pub(crate) mod step;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod warning;
pub(crate) mod well_known;
