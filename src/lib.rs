//! Where to connect to a Matrix homeserver.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod core;
pub use crate::core::address_policy::{AddressPolicy, BlockedRange};
pub use crate::core::dns::{
    DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, Service, SrvRecord,
};
pub use crate::core::dns_name::{DnsName, NotAHostName};
pub use crate::core::fetch::{
    Body, Fetch, FetchAttempt, FetchFailure, FetchFailureKind, FetchLimits,
};
pub use crate::core::host::Host;
pub use crate::core::lifetime::{Freshness, retry_after};
pub use crate::core::redirect::{RedirectError, WellKnownUrl, is_redirect};
pub use crate::core::time::{Monotonic, Now};

#[cfg(feature = "resolver")]
mod resolver;
#[cfg(feature = "resolver")]
pub use crate::resolver::traits::{BoxFuture, Dns, Runtime, WellKnownFetch};

#[cfg(feature = "resolver")]
mod adapters;
#[cfg(feature = "tokio")]
pub use crate::adapters::tokio::TokioRuntime;
