//! Remembered answers: what one may be used for, and when.

mod entry;
mod policy;
mod record;
#[cfg(any(feature = "resolver", test))]
mod target;

pub use self::entry::{CacheEntry, FailureTerms, GoodTerms, Purpose, Served};
pub use self::policy::{DnsEntry, WellKnownEntry, family_is_due};
pub use self::record::{RecordError, WellKnownRecord};
#[cfg(feature = "resolver")]
pub(crate) use self::target::{CachedTarget, Renewal};

#[cfg(test)]
mod tests;
