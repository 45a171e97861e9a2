//! Connections that are kept for more requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::http_connection::{HttpConnection, ResponseGuard};
use super::keys::PoolKey;
use super::limits::ClientConfig;
use super::request_body::RequestBody;
use crate::adapters::tokio::TokioClock;
use crate::core::time::Monotonic;
use crate::runtime::lanes::Idle;

/// The least time between two sweeps: the clock of tokio's timers counts milliseconds.
const SWEEP_LEAST: Duration = Duration::from_millis(1);

/// The longest time between two sweeps, after which also those are noticed that were used and have been
/// closed by their servers.
const SWEEP_MOST: Duration = Duration::from_secs(30);

/// A request that failed, and the connection it was to go over.
type Failed = (TrySendError<Request<RequestBody>>, HttpConnection);

pub(super) struct Pool {
    pub(super) limits: ClientConfig,
    /// Connections age, too, while the machine is suspended.
    pub(super) clock: Arc<TokioClock>,
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
        let clock = Arc::new(TokioClock::new(SystemTime::now));
        Self { limits: *limits, clock, state: Mutex::default() }
    }

    /// Returns how many connections could take another request.
    pub(super) fn len(&self) -> usize {
        let now = self.clock.monotonic();
        let state = self.lock();
        state.kept.values().flatten().filter(|connection| self.is_of_use(connection, now)).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a connection may take another request.
    fn is_of_use(&self, connection: &HttpConnection, now: Monotonic) -> bool {
        !connection.is_closed()
            // As many as can be under way, and as many that were left over.
            && connection.unsent() < self.limits.concurrent.saturating_mul(2)
            && now < self.ends(connection, now)
    }

    /// Returns when a connection is kept no longer, if nobody uses it until then.
    fn ends(&self, connection: &HttpConnection, now: Monotonic) -> Monotonic {
        let idle = connection.unused_since().unwrap_or(now) + self.limits.idle;
        idle.min(connection.state().made + self.limits.age)
    }

    /// Takes a connection that is already open.
    pub(super) fn take(&self, key: &PoolKey) -> Option<HttpConnection> {
        let now = self.clock.monotonic();
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
        let (now, most) = (self.clock.monotonic(), self.limits.connections);
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
            let sweeper = runtime.spawn(sweep(Arc::downgrade(self)));
            state.sweeper = Some(sweeper.abort_handle());
        }
    }

    /// Closes what is not of use any more, and returns how long the rest is. `None`: nothing is left, and the
    /// sweeper ends.
    fn sweep(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        state.retain(|connection| self.is_of_use(connection, now));
        let ends = state.kept.values().flatten().map(|connection| self.ends(connection, now)).min();
        if ends.is_none() {
            // The next connection begins another.
            state.sweeper = None;
        }
        ends.map(|ends| ends.since(now))
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

impl Drop for Pool {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(sweeper) = state.sweeper.take() {
            sweeper.abort();
        }
    }
}

/// Closes what is idle, when the first of it is, until nothing is left.
async fn sweep(pool: Weak<Pool>) {
    // Ends with the pool, or when it is empty.
    while let Some(left) = pool.upgrade().and_then(|pool| pool.sweep()) {
        tokio::time::sleep(left.clamp(SWEEP_LEAST, SWEEP_MOST)).await;
    }
}
