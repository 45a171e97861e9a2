//! The traits through which the resolver reaches the network.
//!
//! They and [`Runtime`](crate::Runtime) are object-safe and held as `Arc<dyn _>`, so that
//! [`crate::Resolver`] has no type
//! parameter. Nothing else in the crate opens a socket, sets a timer or starts a task.

use std::fmt;

use crate::core::dns::{DnsAnswer, DnsQuestion};
use crate::core::well_known::{Body, Fetch, FetchFailure};
use crate::runtime::BoxFuture;

/// Asks DNS.
///
/// An implementation caches nothing, asks absolute names only, limits its own retries and reports
/// which kind of [`DnsAnswer`] it received. Its futures may be dropped at any await.
pub trait Dns: Send + Sync + fmt::Debug {
    /// Answers one question.
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer>;
}

/// Makes one HTTPS exchange.
///
/// An implementation looks nothing up and decides nothing: it connects to the given addresses,
/// verifies the given name, follows no redirect and keeps within the limits. Its futures may be
/// dropped at any await.
pub trait WellKnownFetch: Send + Sync + fmt::Debug {
    /// Makes the exchange.
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<http::Response<Body>, FetchFailure>>;
}
