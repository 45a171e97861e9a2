//! `Store` on Redis and Valkey.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, RedisError, RedisResult, Value};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::core::config::ConfigError;
use crate::core::config::setting::settings;
use crate::core::names::DnsName;
use crate::resolver::config::MOST_VALUE_BYTES;
use crate::resolver::store::{Store, StoreError};
use crate::runtime::BoxFuture;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most that [`RedisConfig::longest_expiry`] may be: Redis refuses what its clock cannot represent.
const MOST_EXPIRY: Duration = YEAR.saturating_mul(100);
/// The error of a command for strings on a key that holds something else.
const WRONG_TYPE: &str = "WRONGTYPE";

settings! {
    /// The section `[redis]`: the limits of a [`RedisStore`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::adapters::RedisConfig;
    /// use matrix_delegation::RedisStore;
    ///
    /// let mut config = RedisConfig::default();
    /// config.command = Duration::from_secs(3);
    /// let store = RedisStore::new("redis://127.0.0.1:6379")?.with_config(config)?;
    /// # let _ = store;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Copy, Eq, Hash)]
    pub struct RedisConfig {
        /// How long a new connection may take, its handshake included. Default 5 s. A connection
        /// that the application made keeps its own limit.
        connect: Duration = Duration::from_secs(5), not_zero("every command would time out");
        /// How long a reply may take before the connection is given up. Default 2 s. A connection
        /// that the application made keeps its own limit.
        response: Duration = Duration::from_secs(2), not_zero("every command would time out");
        /// How long a command may take in all, connecting included. Default 10 s.
        command: Duration = Duration::from_secs(10), not_zero("every command would time out");
        /// At most this many commands are in flight; further callers wait. Default 64.
        concurrent: usize = 64, within(1..=Semaphore::MAX_PERMITS, "no command could be given");
        /// The largest value that is read, in bytes. One more byte is asked for, to recognise
        /// larger values. Default 4,096, as
        /// [`StoreLimits::value_bytes`](crate::config::StoreLimits::value_bytes), and never less
        /// than that.
        value_bytes: usize = MOST_VALUE_BYTES, at_least(1, "every value would be too large");
        /// The longest time after which a value expires; one that would hold for longer expires then,
        /// too. Default 365 days; at most 100 times that.
        longest_expiry: Duration = YEAR,
            not_zero("every value would expire at once"),
            no_longer(MOST_EXPIRY);
    }
}

/// Why a [`RedisStore`] could not be made.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RedisStoreError {
    /// The URL is not one of a server, or asks for TLS where the `redis` crate is built without it.
    #[error("this is no URL of a Redis server")]
    Url(#[source] Arc<RedisError>),
}

/// A [`Store`] on one Redis or Valkey server, for several processes that share what they learn.
///
/// The value of a host is a string at the key [`DEFAULT_PREFIX`](Self::DEFAULT_PREFIX) followed by
/// the host in lower case, `matrix-delegation:well-known:a.example`; it expires by itself. The
/// commands are `GETRANGE`, for at most 4097 bytes, and `SET` with `PX`. `GETRANGE` does not
/// distinguish an empty string from a missing one, so that both count as missing. A key of another
/// type is reported as an empty value, which the resolver rejects and overwrites.
///
/// The connection is made when it is first needed, and again when it is lost, by tasks on the tokio
/// runtime that a command is sent from. A caller that goes away cancels neither. [`RedisConfig`]
/// sets how many commands are in flight at a time and how long each may take. Nothing is queued for
/// a server that is down. Clones share the connection.
///
/// ```
/// use std::sync::Arc;
/// use matrix_delegation::{RedisStore, ResolverBuilder};
///
/// # fn add(builder: ResolverBuilder) -> Result<ResolverBuilder, matrix_delegation::adapters::RedisStoreError> {
/// // The resolver does without it while the server is not there.
/// let store = RedisStore::new("redis://:secret@127.0.0.1:6379/2")?.prefix("hs1:well-known:");
/// # Ok(
/// builder.store(Arc::new(store))
/// # )
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    prefix: Arc<str>,
    permits: Arc<Semaphore>,
    config: RedisConfig,
}

impl RedisStore {
    /// The default prefix of keys.
    pub const DEFAULT_PREFIX: &'static str = "matrix-delegation:well-known:";

    /// Creates a store with a connection of its own to the server at this URL: `redis://` or
    /// `valkey://`, or `redis+unix://` for a socket, with user, password and database as the
    /// `redis` crate reads them. `rediss://` needs one of that crate's TLS features, which the
    /// application turns on.
    pub fn new(url: &str) -> Result<Self, RedisStoreError> {
        let client = Client::open(url).map_err(|error| RedisStoreError::Url(Arc::new(error)))?;
        Ok(Self::over(Link::Own { client, manager: Mutex::new(None) }))
    }

    /// Creates a store on a connection that the application has already. Its time limits and
    /// retries apply.
    pub fn with_connection(manager: ConnectionManager) -> Self {
        Self::over(Link::Given(Arc::new(manager)))
    }

    /// Sets the prefix of keys. Resolvers that share outcomes need the same one.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the limits. Default: [`RedisConfig::default`].
    ///
    /// # Errors
    ///
    /// If [`RedisConfig::check`] finds a problem.
    pub fn with_config(self, config: RedisConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let permits = Arc::new(Semaphore::new(config.concurrent));
        Ok(Self { permits, config, ..self })
    }

    fn over(link: Link) -> Self {
        let config = RedisConfig::default();
        let permits = Arc::new(Semaphore::new(config.concurrent));
        Self { link: Arc::new(link), prefix: Self::DEFAULT_PREFIX.into(), permits, config }
    }

    /// Sends a command in a task that outlives the caller. Otherwise a connection that takes longer
    /// than its callers wait would never be made.
    async fn give(&self, command: Cmd) -> Result<RedisResult<Value>, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let (link, config) = (Arc::clone(&self.link), self.config);
        let task = Handle::try_current()?.spawn(async move {
            let _permit = permit;
            tokio::time::timeout(config.command, link.give(&command, &config)).await
        });
        Ok(task.await??)
    }
}

impl Store for RedisStore {
    fn get<'a>(&'a self, host: &'a DnsName) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let mut command = redis::cmd("GETRANGE");
            // One byte more than allowed, to recognise a value that is too large.
            command.arg(format!("{}{host}", self.prefix)).arg(0).arg(self.config.value_bytes);
            match self.give(command).await?.and_then(|it| Ok(redis::from_redis_value(it)?)) {
                Ok(value) => Ok(Some(value).filter(|value: &Vec<u8>| !value.is_empty())),
                Err(error) if error.code() == Some(WRONG_TYPE) => Ok(Some(Vec::new())),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn put<'a>(
        &'a self,
        host: &'a DnsName,
        value: Vec<u8>,
        lifetime: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            // Redis refuses 0.
            let millis = lifetime.min(self.config.longest_expiry).as_millis().max(1);
            let mut command = redis::cmd("SET");
            let key = format!("{}{host}", self.prefix);
            command.arg(key).arg(value).arg("PX").arg(millis.to_string());
            self.give(command).await??;
            Ok(())
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisStore");
        if let Link::Own { client, .. } = &*self.link {
            shown.field("server", &client.get_connection_info().addr().to_string());
        }
        shown.field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The connection to the server.
enum Link {
    Own { client: Client, manager: Mutex<Option<Arc<ConnectionManager>>> },
    Given(Arc<ConnectionManager>),
}

impl Link {
    async fn give(&self, command: &Cmd, config: &RedisConfig) -> RedisResult<Value> {
        let manager = self.manager(config)?;
        let again = |error: &RedisError| error.is_io_error() && !error.is_timeout();
        let mut said: RedisResult<Value> = command.query_async(&mut (*manager).clone()).await;
        // Such an error may be an old one. The manager reconnects, and both commands may be
        // repeated.
        if said.as_ref().is_err_and(again) {
            said = command.query_async(&mut (*manager).clone()).await;
        }
        // The manager keeps the connection after all other errors, such as a silent server or a
        // refused handshake.
        let lasts = said.as_ref().is_err_and(|it| !again(it) && it.code() != Some(WRONG_TYPE));
        if let (true, Self::Own { manager: slot, .. }) = (lasts, self) {
            // Another task may have replaced it meanwhile.
            lock(slot).take_if(|kept| Arc::ptr_eq(kept, &manager));
        }
        said
    }

    fn manager(&self, config: &RedisConfig) -> RedisResult<Arc<ConnectionManager>> {
        let (client, mut slot) = match self {
            Self::Given(manager) => return Ok(Arc::clone(manager)),
            Self::Own { client, manager } => (client, lock(manager)),
        };
        if let Some(manager) = &*slot {
            return Ok(Arc::clone(manager));
        }
        // Without retries: a caller learns at once that the server is down.
        let without_retries = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.connect))
            .set_response_timeout(Some(config.response))
            .set_number_of_retries(0);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), without_retries)?;
        Ok(Arc::clone(slot.insert(Arc::new(manager))))
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
