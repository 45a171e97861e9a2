//! Connections that are kept for more requests.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::super::connect::Connection;
use super::{ClientLimits, Outgoing};
use crate::core::host::Host;
use crate::core::target::{DelegationTarget, Endpoint};

/// What connections are shared by: none serves another certificate name, or leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    name: Host,
    /// The address; where a proxy looks hosts up, host and port.
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Address(SocketAddr),
    Named(Host, u16),
}

impl Key {
    pub(super) fn new(
        target: &DelegationTarget,
        endpoint: &Endpoint,
        address: Option<SocketAddr>,
    ) -> Self {
        let named = || Place::Named(endpoint.host().clone(), endpoint.port());
        let place = address.map_or_else(named, Place::Address);
        Self { name: target.tls_host().clone(), place }
    }

    /// One for each address of an endpoint.
    pub(super) fn all<'a>(
        target: &'a DelegationTarget,
        endpoint: &'a Endpoint,
    ) -> impl Iterator<Item = Self> + 'a {
        let named = target.is_left_to_proxy().then(|| Self::new(target, endpoint, None));
        endpoint.addresses().map(|it| Self::new(target, endpoint, Some(it))).chain(named)
    }

    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Address(address) => Some(address),
            Place::Named(..) => None,
        }
    }
}

/// The way to send a request over a connection.
pub(super) enum Sender {
    Http1 { sender: http1::SendRequest<Outgoing>, made: Instant },
    Http2(http2::SendRequest<Outgoing>),
}

/// How sending a request ended.
pub(super) enum Sent {
    Response(Response<Incoming>),
    /// It is as good as before.
    Unsent(Box<Request<Outgoing>>),
    Failed {
        address: Option<SocketAddr>,
        source: hyper::Error,
    },
}

/// A connection without a request of its own, over HTTP/1.1, or for any number, over HTTP/2.
struct Kept {
    sender: Sender,
    made: Instant,
    used: Instant,
}

pub(super) struct Pool {
    limits: ClientLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<Key, Vec<Kept>>,
    /// How many they are in all.
    count: usize,
    /// Whether a task closes what is idle.
    swept: bool,
}

impl State {
    /// Keeps those for which `keeps` holds.
    fn retain(&mut self, keeps: impl Fn(&Kept) -> bool) {
        self.kept.retain(|_, list| {
            list.retain(&keeps);
            !list.is_empty()
        });
        self.count = self.kept.values().map(Vec::len).sum();
    }
}

/// More of a response's head than this is not read, in bytes.
const HEAD: u16 = u16::MAX;

impl Pool {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection may take another request.
    fn is_of_use(&self, kept: &Kept, now: Instant) -> bool {
        let closed = match &kept.sender {
            Sender::Http1 { sender, .. } => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        };
        !closed
            && now.duration_since(kept.used) < self.limits.idle
            && now.duration_since(kept.made) < self.limits.age
    }

    /// A connection that is there already.
    pub(super) fn take(&self, key: &Key) -> Option<Sender> {
        let now = Instant::now();
        let mut state = self.lock();
        let list = state.kept.get_mut(key)?;
        let before = list.len();
        list.retain(|kept| self.is_of_use(kept, now));
        // The one used last is the least likely to be closed meanwhile.
        let taken = match list.last_mut() {
            Some(Kept { sender: Sender::Http2(sender), used, .. }) => {
                *used = now;
                Some(Sender::Http2(sender.clone()))
            }
            _ => list.pop().map(|kept| kept.sender),
        };
        let gone = before - list.len();
        if list.is_empty() {
            state.kept.remove(key);
        }
        state.count -= gone;
        taken
    }

    /// Keeps a connection.
    fn add(self: &Arc<Self>, key: &Key, sender: Sender, made: Instant) {
        let now = Instant::now();
        let kept = Kept { sender, made, used: now };
        let mut state = self.lock();
        if self.limits.connections == 0 || !self.is_of_use(&kept, now) {
            return;
        }
        if state.count >= self.limits.connections {
            state.retain(|kept| self.is_of_use(kept, now));
        }
        if state.count >= self.limits.connections {
            let oldest = state.kept.values().flatten().map(|kept| kept.used).min();
            state.retain(|kept| Some(kept.used) != oldest);
        }
        let is_http2 = matches!(kept.sender, Sender::Http2(_));
        let list = state.kept.entry(key.clone()).or_default();
        let before = list.len();
        let most = if is_http2 { 1 } else { self.limits.per_server.max(1) };
        if before >= most {
            // The one longest without a request stands first.
            list.drain(..=before - most);
        }
        list.push(kept);
        let after = list.len();
        state.count = state.count + after - before;
        if !std::mem::replace(&mut state.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.idle));
        }
    }

    /// Begins to speak HTTP over a connection.
    pub(super) async fn shake_hands(
        self: &Arc<Self>,
        key: &Key,
        connection: Connection,
    ) -> hyper::Result<Sender> {
        let made = Instant::now();
        if connection.is_http2() {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(u32::from(HEAD))
                .handshake(TokioIo::new(connection))
                .await?;
            // It ends with the last sender, or with the other side.
            tokio::spawn(connection);
            self.add(key, Sender::Http2(sender.clone()), made);
            return Ok(Sender::Http2(sender));
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(usize::from(HEAD))
            .handshake(TokioIo::new(connection))
            .await?;
        tokio::spawn(connection);
        Ok(Sender::Http1 { sender, made })
    }

    /// Sends a request, and keeps the connection for the next.
    pub(super) async fn send(
        self: &Arc<Self>,
        key: Key,
        sender: Sender,
        request: Request<Outgoing>,
    ) -> Sent {
        let failed = match sender {
            Sender::Http1 { mut sender, made } => match sender.try_send_request(request).await {
                Ok(response) => {
                    let pool = Arc::clone(self);
                    // It is ready again once the body was read to its end.
                    tokio::spawn(async move {
                        if sender.ready().await.is_ok() {
                            pool.add(&key, Sender::Http1 { sender, made }, made);
                        }
                    });
                    return Sent::Response(response);
                }
                Err(failed) => failed,
            },
            Sender::Http2(mut sender) => {
                if sender.ready().await.is_err() {
                    return Sent::Unsent(Box::new(request));
                }
                match sender.try_send_request(request).await {
                    Ok(response) => return Sent::Response(response),
                    Err(failed) => failed,
                }
            }
        };
        let mut failed = failed;
        match failed.take_message() {
            Some(request) => Sent::Unsent(Box::new(request)),
            None => Sent::Failed { address: key.address(), source: failed.into_error() },
        }
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
        state.retain(|kept| pool.is_of_use(kept, now));
        if state.count == 0 {
            state.swept = false;
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
