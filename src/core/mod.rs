//! The layer that does the thinking: no socket, no task, no clock, no randomness of its own.
#![deny(clippy::disallowed_methods)]

pub(crate) mod address_policy;
pub(crate) mod config;
pub(crate) mod discovery;
pub(crate) mod dns;
pub(crate) mod dns_name;
pub(crate) mod dns_part;
pub(crate) mod error;
pub(crate) mod fetch;
pub(crate) mod host;
pub(crate) mod lifetime;
pub(crate) mod redirect;
pub(crate) mod report;
pub(crate) mod server_name;
pub(crate) mod srv;
pub(crate) mod step;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod warning;
pub(crate) mod well_known;
pub(crate) mod well_known_answer;
pub(crate) mod well_known_failure;
pub(crate) mod well_known_record;
