//! Memory that outlives the process or is shared with others: the application's own.

use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tracing::{debug, warn};

use super::config::StoreLimits;
use super::counters::Tally;
use crate::core::cache::{WellKnownEntry, WellKnownRecord};
use crate::core::config::Config;
use crate::core::names::DnsName;
use crate::runtime::{BoxFuture, Runtime, within};

/// Why a [`Store`] could not do what it was asked.
pub type StoreError = Box<dyn Error + Send + Sync>;

/// Keeps well-known outcomes for the application, for example in its database or where other
/// processes find them.
///
/// The resolver asks it when its own memory has no usable answer, and gives it each new outcome.
/// What it returns is not trusted: the resolver parses it again and passes over values of another
/// version or host, from the future, or too old. A store that fails, or takes longer than
/// [`StoreLimits::timeout`](crate::config::StoreLimits::timeout), is not used for [`StoreLimits::rest`](crate::config::StoreLimits::rest); the resolver continues without
/// it.
///
/// An implementation may be dropped at any await. Two resolvers may write the same key at a time;
/// the last one may win.
///
/// ```
/// use std::{collections::HashMap, sync::Mutex, time::Duration};
/// use matrix_delegation::names::DnsName;
/// use matrix_delegation::resolver::{BoxFuture, StoreError};
/// use matrix_delegation::Store;
///
/// /// Lifetimes are left to the resolver, which judges what it gets.
/// #[derive(Debug, Default)]
/// struct InProcess(Mutex<HashMap<DnsName, Vec<u8>>>);
///
/// impl Store for InProcess {
///     fn get<'a>(&'a self, host: &'a DnsName) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
///         Box::pin(async move {
///             Ok(self.0.lock().map_err(|error| error.to_string())?.get(host).cloned())
///         })
///     }
///
///     fn put<'a>(
///         &'a self,
///         host: &'a DnsName,
///         value: Vec<u8>,
///         _lifetime: Duration,
///     ) -> BoxFuture<'a, Result<(), StoreError>> {
///         Box::pin(async move {
///             self.0.lock().map_err(|error| error.to_string())?.insert(host.clone(), value);
///             Ok(())
///         })
///     }
/// }
/// ```
pub trait Store: Send + Sync + fmt::Debug {
    /// Returns the value that was last put for this host, if the store still has it.
    fn get<'a>(&'a self, host: &'a DnsName) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>>;

    /// Stores a value, at most a few hundred bytes of JSON, and replaces an earlier one. After
    /// `lifetime` the value is no longer needed.
    fn put<'a>(
        &'a self,
        host: &'a DnsName,
        value: Vec<u8>,
        lifetime: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// A store that is used within limits. What it returns is not trusted.
pub(super) struct GuardedStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) limits: StoreLimits,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) config: Arc<Config>,
    pub(super) tally: Arc<Tally>,
    /// When the store may be used again, as the bits of the monotonic clock.
    pub(super) rests: AtomicU64,
}

impl GuardedStore {
    /// Returns what the store has of a host, if it is valid.
    pub(super) async fn get(&self, host: &DnsName) -> Option<WellKnownEntry> {
        let value = self.ask(|| self.store.get(host)).await??;
        let believed = self.believe(&value, host);
        if let Err(why) = &believed {
            self.tally.store_rejected.one();
            warn!(%host, why, "a value in the store is passed over");
        }
        believed.ok()
    }

    /// Gives the store the outcome for a host.
    pub(super) async fn put(&self, host: &DnsName, entry: &WellKnownEntry) {
        let Some(record) = WellKnownRecord::dated(host, entry, self.runtime.now()) else { return };
        // This cannot fail: the record holds only text and numbers.
        let Ok(value) = serde_json::to_vec(&record) else { return };
        // For as long as a good answer is remembered, or a next failure would continue the
        // back-off.
        let lifetime = match entry.last_good() {
            Some(_) => self.config.well_known.remembered,
            None => entry.until().since(entry.learnt()).saturating_mul(2),
        };
        self.ask(|| self.store.put(host, value, lifetime)).await;
    }

    /// Returns the store's answer, unless it fails, is slow, or did so a moment ago.
    async fn ask<'a, T>(
        &self,
        ask: impl FnOnce() -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Option<T> {
        if self.runtime.monotonic().to_bits() < self.rests.load(Ordering::Relaxed) {
            return None;
        }
        let limit = self.limits.timeout;
        // A panic of the store counts as a failure, and costs no caller an answer.
        let asked = AssertUnwindSafe(async { ask().await }).catch_unwind();
        let error = match within(&*self.runtime, limit, asked).await {
            Some(Ok(Ok(said))) => return Some(said),
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(_)) => "it panicked".to_owned(),
            None => format!("no answer within {limit:?}"),
        };
        let rests = self.runtime.monotonic() + self.limits.rest;
        self.rests.store(rests.to_bits(), Ordering::Relaxed);
        self.tally.store_failures.one();
        warn!(error, "the store failed; going on without it");
        None
    }

    /// Returns the entry that a value holds, if it is valid and of this host.
    fn believe(&self, value: &[u8], host: &DnsName) -> Result<WellKnownEntry, String> {
        let most_bytes = self.limits.value_bytes;
        if value.len() > most_bytes {
            return Err(format!("it is larger than {most_bytes} bytes"));
        }
        let record: WellKnownRecord =
            serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let restored = record.restore(self.runtime.now(), &self.config);
        let (of, entry) = restored.map_err(|error| error.to_string())?;
        if of != *host {
            return Err("it is of another host".to_owned());
        }
        debug!(%host, "known to the store");
        Ok(entry)
    }
}
