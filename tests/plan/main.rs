//! Plans are right: what they promise is what resolving comes to, and what they rule out is.
#![cfg(feature = "plan")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod promises;
mod reasons;
