//! Memory that outlives the process or is shared with others: the application's own.

use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tracing::{debug, warn};

use super::config::StoreLimits;
use super::counters::Tally;
use crate::core::cache::{WellKnownEntry, WellKnownRecord};
use crate::core::config::Config;
use crate::core::names::DnsName;
use crate::core::time::whole_millis;
use crate::runtime::{BoxFuture, Runtime};

/// Why a [`Store`] could not do what it was asked.
pub type StoreError = Box<dyn Error + Send + Sync>;

/// Keeps well-known outcomes for the application, for example in its database or where other
/// processes find them.
///
/// The resolver asks it when its own memory has no usable answer, and gives it each new outcome.
/// What it returns is not trusted: the resolver parses it again and passes over values of another
/// version or host, from the future, or too old. A store that fails, or takes longer than
/// [`StoreLimits::timeout`], is not used for [`StoreLimits::rest`]; the resolver continues without
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

/// A store with a time limit.
#[derive(Debug)]
pub(super) struct GuardedStore {
    store: Arc<dyn Store>,
    limits: StoreLimits,
    /// When the store may be used again, in milliseconds of the monotonic clock.
    rests: AtomicU64,
}

impl GuardedStore {
    pub(super) fn new(store: Arc<dyn Store>, limits: StoreLimits) -> Self {
        Self { store, limits, rests: AtomicU64::new(0) }
    }

    /// Returns what the store has of a host, if it is valid.
    pub(super) async fn get(
        &self,
        host: &DnsName,
        runtime: &dyn Runtime,
        config: &Config,
        tally: &Tally,
    ) -> Option<WellKnownEntry> {
        let value = self.within(|| self.store.get(host), runtime, tally).await??;
        let believed = believe(&value, host, self.limits.value_bytes, runtime, config);
        if let Err(why) = &believed {
            tally.store_rejected();
            warn!(%host, why, "a value in the store is passed over");
        }
        believed.ok()
    }

    /// Gives the store the outcome for a host.
    pub(super) async fn put(
        &self,
        host: &DnsName,
        entry: &WellKnownEntry,
        runtime: &dyn Runtime,
        config: &Config,
        tally: &Tally,
    ) {
        let now = runtime.now();
        let record = WellKnownRecord::new(host, entry, now);
        // This cannot fail: the record holds only text and numbers.
        let Ok(value) = serde_json::to_vec(&record) else { return };
        // For as long as a good answer is remembered, or a next failure would continue the
        // back-off.
        let lifetime = match entry.last_good() {
            Some(_) => config.well_known.remembered,
            None => entry.until().since(entry.learnt()).saturating_mul(2),
        };
        self.within(|| self.store.put(host, value, lifetime), runtime, tally).await;
    }

    /// Returns the store's answer, unless it fails, is slow, or did so a moment ago.
    async fn within<'a, T>(
        &self,
        ask: impl FnOnce() -> BoxFuture<'a, Result<T, StoreError>>,
        runtime: &dyn Runtime,
        tally: &Tally,
    ) -> Option<T> {
        let now = runtime.now().monotonic;
        if whole_millis(now.since_origin()) < self.rests.load(Ordering::Relaxed) {
            return None;
        }
        let overdue = runtime.sleep_until(now + self.limits.timeout);
        // A panic of the store counts as a failure, and costs no caller an answer.
        let asked = AssertUnwindSafe(async { ask().await }).catch_unwind();
        let error = match select(pin!(asked), overdue).await {
            Either::Left((Ok(Ok(said)), _)) => return Some(said),
            Either::Left((Ok(Err(error)), _)) => error.to_string(),
            Either::Left((Err(_), _)) => "it panicked".to_owned(),
            Either::Right(((), _)) => format!("no answer within {:?}", self.limits.timeout),
        };
        let now = runtime.now().monotonic;
        self.rests.store(whole_millis((now + self.limits.rest).since_origin()), Ordering::Relaxed);
        tally.store_failures();
        warn!(error, "the store failed; going on without it");
        None
    }
}

/// Returns the entry that a value holds, if it is valid and of this host.
fn believe(
    value: &[u8],
    host: &DnsName,
    most_bytes: usize,
    runtime: &dyn Runtime,
    config: &Config,
) -> Result<WellKnownEntry, String> {
    if value.len() > most_bytes {
        return Err(format!("it is larger than {most_bytes} bytes"));
    }
    let record: WellKnownRecord =
        serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let (of, entry) = record.restore(runtime.now(), config).map_err(|error| error.to_string())?;
    if of != *host {
        return Err("it is of another host".to_owned());
    }
    debug!(%host, "known to the store");
    Ok(entry)
}
