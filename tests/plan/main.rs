//! Plans are right: what they promise is what resolving comes to, and what they rule out is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod promises;
mod reasons;
