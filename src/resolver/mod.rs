//! Drives the core over three traits and remembers what they said.

pub(crate) mod traits;
