//! The scenarios of `tests/vectors`: `runs` takes the core and the resolver through them, and
//! `files` checks that the files are what their schema and their README say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod canonical;
mod files;
mod runs;
#[path = "../support/scenarios.rs"]
mod scenarios;
mod schema;
