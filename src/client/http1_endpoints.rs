//! Endpoints that have asked for HTTP/1.1.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::endpoint::Endpoint;
use crate::core::names::Host;
use crate::transport::deadline::FURTHEST;

/// The endpoints that get no HTTP/2 for a while, since they have said that they require HTTP/1.1
/// (RFC 9113 section 7).
#[derive(Debug, Default)]
pub(super) struct Http1Endpoints(Mutex<HashMap<(Host, u16), Instant>>);

impl Http1Endpoints {
    /// Adds an endpoint for this long. At most this many are remembered, but at least one; of more, those
    /// that end first are forgotten.
    pub(super) fn add(&self, endpoint: Endpoint<'_>, time: Duration, most: usize) {
        let now = Instant::now();
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.insert(key(endpoint), now + time.min(FURTHEST));
        ends.retain(|_, end| *end > now);
        while ends.len() > most.max(1) {
            let first = ends.iter().min_by_key(|(_, end)| **end).map(|(key, _)| key.clone());
            first.map(|key| ends.remove(&key));
        }
    }

    pub(super) fn contains(&self, endpoint: Endpoint<'_>) -> bool {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !ends.is_empty() && ends.get(&key(endpoint)).is_some_and(|end| *end > Instant::now())
    }
}

fn key(endpoint: Endpoint<'_>) -> (Host, u16) {
    (endpoint.host().clone(), endpoint.port())
}
