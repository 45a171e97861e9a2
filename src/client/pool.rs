//! Connections that are kept for more requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::http_connection::{HttpConnection, ResponseGuard, Sender};
use super::keys::PoolKey;
use super::limits::ClientLimits;
use super::request_body::RequestBody;

/// How sending a request ended.
pub(super) enum Sent {
    Response(Response<Incoming>, ResponseGuard),
    /// It is as good as before.
    Unsent(Box<Request<RequestBody>>),
    Failed(hyper::Error),
}

pub(super) struct Pool {
    limits: ClientLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connections without a request of their own, over HTTP/1.1, or for any number, over HTTP/2.
    kept: HashMap<PoolKey, Vec<HttpConnection>>,
    /// How many they are in all.
    count: usize,
    /// Whether a task closes what is idle.
    swept: bool,
}

impl State {
    /// Keeps those for which `keeps` holds.
    fn retain(&mut self, keeps: impl Fn(&HttpConnection) -> bool) {
        self.kept.retain(|_, list| {
            list.retain(&keeps);
            !list.is_empty()
        });
        self.count = self.kept.values().map(Vec::len).sum();
    }

    /// Gives up the one longest without a request; one in use only where all are.
    fn evict(&mut self) {
        let all = self.kept.iter().flat_map(|(key, list)| {
            list.iter()
                .enumerate()
                .map(move |(at, connection)| (connection.unused_since(), key, at))
        });
        let longest = all.min_by_key(|(unused, ..)| (unused.is_none(), *unused));
        let Some((_, key, at)) = longest else { return };
        let key = key.clone();
        if let Some(list) = self.kept.get_mut(&key) {
            list.remove(at);
            self.count -= 1;
            if list.is_empty() {
                self.kept.remove(&key);
            }
        }
    }
}

impl Pool {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    pub(super) const fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// Returns how many connections could take another request.
    pub(super) fn len(&self) -> usize {
        let now = Instant::now();
        let state = self.lock();
        state.kept.values().flatten().filter(|connection| self.is_of_use(connection, now)).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a connection may take another request.
    fn is_of_use(&self, connection: &HttpConnection, now: Instant) -> bool {
        let idle =
            connection.unused_since().map_or(Duration::ZERO, |since| now.duration_since(since));
        !connection.is_closed()
            // As many as can be under way, and as many that were left over.
            && connection.unsent().get() < self.limits.concurrent.saturating_mul(2)
            && idle < self.limits.idle
            && now.duration_since(connection.made()) < self.limits.age
    }

    /// Takes a connection that is already open.
    pub(super) fn take(&self, key: &PoolKey) -> Option<HttpConnection> {
        let now = Instant::now();
        let mut state = self.lock();
        let list = state.kept.get_mut(key)?;
        let before = list.len();
        list.retain(|connection| self.is_of_use(connection, now));
        // The one used last is the least likely to be closed meanwhile.
        let taken = list.last().and_then(HttpConnection::share).or_else(|| list.pop());
        let gone = before - list.len();
        if list.is_empty() {
            state.kept.remove(key);
        }
        state.count -= gone;
        taken
    }

    /// Keeps a connection.
    pub(super) fn add(self: &Arc<Self>, key: &PoolKey, connection: HttpConnection) {
        let now = Instant::now();
        let mut state = self.lock();
        if self.limits.connections == 0 || !self.is_of_use(&connection, now) {
            return;
        }
        if state.count >= self.limits.connections {
            state.retain(|connection| self.is_of_use(connection, now));
        }
        if state.count >= self.limits.connections {
            state.evict();
        }
        let most = if connection.is_http2() { 1 } else { self.limits.per_server.max(1) };
        let list = state.kept.entry(key.clone()).or_default();
        let before = list.len();
        if before >= most {
            // The one longest without a request stands first.
            list.drain(..=before - most);
        }
        list.push(connection);
        let after = list.len();
        state.count = state.count + after - before;
        let runtime = if state.swept { None } else { Handle::try_current().ok() };
        state.swept |= runtime.is_some();
        // A runtime that has ended drops the task at once, which locks.
        drop(state);
        if let Some(runtime) = runtime {
            runtime.spawn(sweep(Sweeper(Arc::downgrade(self)), self.limits.idle));
        }
    }

    /// Sends a request, and keeps the connection for the next.
    pub(super) async fn send(
        self: &Arc<Self>,
        key: &PoolKey,
        mut connection: HttpConnection,
        mut request: Request<RequestBody>,
    ) -> Sent {
        request.body_mut().count_with(connection.unsent().add());
        let failed = match connection.sender() {
            Sender::Http1(sender) => match sender.try_send_request(request).await {
                Ok(response) => {
                    let (reading, read) = connection.reading();
                    let (pool, key) = (Arc::downgrade(self), key.clone());
                    tokio::spawn(async move {
                        if connection.is_ready_after(read).await
                            && let Some(pool) = pool.upgrade()
                        {
                            pool.add(&key, connection);
                        }
                    });
                    return Sent::Response(response, reading);
                }
                Err(failed) => failed,
            },
            Sender::Http2(sender) => {
                if sender.ready().await.is_err() {
                    return Sent::Unsent(Box::new(request));
                }
                match sender.try_send_request(request).await {
                    Ok(response) => return Sent::Response(response, connection.reading().0),
                    Err(failed) => failed,
                }
            }
        };
        let mut failed = failed;
        match failed.take_message() {
            Some(request) => Sent::Unsent(Box::new(request)),
            None => Sent::Failed(failed.into_error()),
        }
    }
}

/// The one task that closes what is idle. Should it break off, another may begin.
struct Sweeper(Weak<Pool>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.lock().swept = false;
        }
    }
}

/// Closes what is idle, until nothing is left.
async fn sweep(mut sweeper: Sweeper, idle: Duration) {
    let apart = idle.clamp(Duration::from_secs(1), Duration::from_secs(30));
    // Ends with the pool, or when it is empty.
    loop {
        tokio::time::sleep(apart).await;
        let Some(pool) = sweeper.0.upgrade() else { return };
        let now = Instant::now();
        let mut state = pool.lock();
        state.retain(|connection| pool.is_of_use(connection, now));
        if state.count == 0 {
            state.swept = false;
            // From here on another may have begun.
            sweeper.0 = Weak::new();
            return;
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, state: _ } = self;
        f.debug_struct("Pool").field("limits", limits).field("count", &self.len()).finish()
    }
}
