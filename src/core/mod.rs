//! The layer that does the thinking: no socket, no task, no clock, no randomness of its own.

pub(crate) mod address_policy;
pub(crate) mod dns;
pub(crate) mod dns_name;
pub(crate) mod fetch;
pub(crate) mod host;
pub(crate) mod lifetime;
pub(crate) mod redirect;
pub(crate) mod time;
