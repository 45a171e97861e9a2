//! The store on Redis, against a real server on a loopback port.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../../examples/support/redis_server.rs"]
mod redis_server;

mod outages;
mod poison;
#[path = "../support/polled.rs"]
mod polled;
mod proxy;
mod shared;
mod store;
mod support;
