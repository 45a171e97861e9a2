//! Connections that are kept for more requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::http_connection::{HttpConnection, ResponseGuard};
use super::keys::PoolKey;
use super::limits::ClientConfig;
use super::request_body::RequestBody;
use crate::runtime::lanes::Idle;

/// A request that failed, and the connection it was to go over.
type Failed = (TrySendError<Request<RequestBody>>, HttpConnection);

pub(super) struct Pool {
    pub(super) limits: ClientConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connections without a request of their own, over HTTP/1.1, or for any number, over HTTP/2.
    kept: HashMap<PoolKey, Vec<HttpConnection>>,
    /// The task that closes what is idle.
    sweeper: Option<AbortHandle>,
}

impl State {
    fn count(&self) -> usize {
        self.kept.values().map(Vec::len).sum()
    }

    /// Keeps those for which `keeps` holds.
    fn retain(&mut self, keeps: impl Fn(&HttpConnection) -> bool) {
        self.kept.retain(|_, list| {
            list.retain(&keeps);
            !list.is_empty()
        });
    }

    /// Gives up the one longest without a request; one in use only where all are, if that is asked for.
    fn evict(&mut self, in_use: bool) {
        let all = self.kept.values().flatten();
        let unused = all.map(|connection| (connection.unused_since(), connection));
        let longest = unused
            .filter(|(unused, _)| in_use || unused.is_some())
            .min_by_key(|(unused, _)| (unused.is_none(), *unused));
        if let Some(longest) = longest.map(|(_, it)| std::ptr::from_ref(it.state())) {
            self.retain(|connection| !std::ptr::eq(connection.state(), longest));
        }
    }
}

impl Pool {
    pub(super) fn new(limits: &ClientConfig) -> Self {
        Self { limits: *limits, state: Mutex::default() }
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
            && connection.unsent() < self.limits.concurrent.saturating_mul(2)
            && idle < self.limits.idle
            && now.duration_since(connection.state().made) < self.limits.age
    }

    /// Takes a connection that is already open.
    pub(super) fn take(&self, key: &PoolKey) -> Option<HttpConnection> {
        let now = Instant::now();
        let mut state = self.lock();
        let list = state.kept.get_mut(key)?;
        list.retain(|connection| self.is_of_use(connection, now));
        // The one used last is the least likely to be closed meanwhile.
        let taken = list.last().and_then(HttpConnection::share).or_else(|| list.pop());
        if list.is_empty() {
            state.kept.remove(key);
        }
        taken
    }

    /// Keeps a connection.
    pub(super) fn add(self: &Arc<Self>, connection: HttpConnection) {
        let (now, most) = (Instant::now(), self.limits.connections);
        let mut state = self.lock();
        if most == 0 || !self.is_of_use(&connection, now) {
            return;
        }
        if state.count() >= most {
            state.retain(|connection| self.is_of_use(connection, now));
        }
        if state.count() >= most {
            state.evict(true);
        }
        let most = if connection.is_http2() { 1 } else { self.limits.per_server };
        let list = state.kept.entry(connection.state().key.clone()).or_default();
        // The one longest without a request stands first.
        list.drain(..(list.len() + 1).saturating_sub(most));
        list.push(connection);
        // A sweeper whose runtime has ended has finished, too.
        if state.sweeper.as_ref().is_none_or(AbortHandle::is_finished)
            && let Ok(runtime) = Handle::try_current()
        {
            let sweeper = runtime.spawn(sweep(Arc::downgrade(self), self.limits.idle));
            state.sweeper = Some(sweeper.abort_handle());
        }
    }

    /// Keeps a connection no longer; requests in flight on it go on.
    pub(super) fn retire(&self, retired: &HttpConnection) {
        let is_other = |it: &HttpConnection| !std::ptr::eq(it.state(), retired.state());
        self.lock().retain(is_other);
    }

    /// Sends a request, and keeps the connection for the next. The error holds the request if it was
    /// not sent; it is then as good as before.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut connection: HttpConnection,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, ResponseGuard), Failed> {
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(error) => return Err((error, connection)),
        };
        let (reading, read) = connection.reading();
        // Over HTTP/2 it is kept already.
        if !connection.is_http2() {
            let pool = Arc::downgrade(self);
            tokio::spawn(async move {
                if connection.is_ready_after(read).await
                    && let Some(pool) = pool.upgrade()
                {
                    pool.add(connection);
                }
            });
        }
        Ok((response, reading))
    }
}

impl Idle for Pool {
    fn give_up_one(&self) {
        self.lock().evict(false);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("kept", &self.lock().count()).finish_non_exhaustive()
    }
}

/// Closes what is idle, until nothing is left.
async fn sweep(pool: Weak<Pool>, idle: Duration) {
    let apart = idle.clamp(Duration::from_secs(1), Duration::from_secs(30));
    // Ends with the pool, or when it is empty.
    loop {
        tokio::time::sleep(apart).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let mut state = pool.lock();
        state.retain(|connection| pool.is_of_use(connection, now));
        if state.kept.is_empty() {
            // The next connection begins another.
            state.sweeper = None;
            return;
        }
    }
}
