//! The rules of the core's values: one table a subject, and properties beside them.
//!
//! Each row of a table has the name of its rule and is the only one that would notice if that rule
//! were gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod address_policy;
mod defaults;
mod disclosure;
mod lifetimes;
mod redirects;
mod server_name_properties;
mod server_names;
mod well_known_body;
