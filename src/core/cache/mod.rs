//! Remembered answers: what one may be used for, and when.

pub(crate) mod entry;
pub(crate) mod policy;
pub(crate) mod record;
#[cfg(any(feature = "resolver", test))]
pub(crate) mod target;
#[cfg(test)]
mod tests;
