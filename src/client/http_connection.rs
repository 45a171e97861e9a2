//! A connection over which HTTP is spoken, for as long as somebody needs it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, Shared, select};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::limits::ClientLimits;
use super::request_body::{RequestBody, UnsentCount};
use crate::transport::in_words;

/// The least that hyper can be told to read of a head, in bytes.
const HEAD_LEAST: usize = 8192;
/// The longest time between two pings: hyper panics beyond what the clock can say.
const PING_MOST: Duration = Duration::from_secs(24 * 3600);

/// A connection with the way to send over it.
pub(super) struct HttpConnection {
    sender: Sender,
    open: ConnectionHandle,
    made: Instant,
    unsent: UnsentCount,
    /// What it has to end properly ([`ClientLimits::farewell`]).
    farewell: Duration,
}

pub(super) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Held while a response is read.
#[derive(Debug)]
pub(super) struct ResponseGuard {
    _open: ConnectionHandle,
    _until: oneshot::Sender<Infallible>,
}

/// What HTTP/2 does beside a connection's own task, until the connection is closed.
#[derive(Clone)]
struct Http2Tasks {
    closed: Shared<oneshot::Receiver<Infallible>>,
}

/// Keeps a connection open. It is closed when the last handle is dropped, whatever the other side
/// holds back.
#[derive(Clone, Debug)]
pub(super) struct ConnectionHandle(Arc<HandleState>);

#[derive(Debug)]
struct HandleState {
    _until: oneshot::Sender<Infallible>,
    /// When a handle was last dropped.
    used: Mutex<Instant>,
}

impl HttpConnection {
    /// Begins to speak HTTP over a connection. The error says why that failed.
    pub(super) async fn over(
        connection: Connection,
        limits: &ClientLimits,
        limit: Duration,
    ) -> Result<Self, String> {
        let (made, farewell) = (Instant::now(), limits.farewell);
        let head = limits.head_bytes.max(HEAD_LEAST);
        let shaking_hands = async {
            let is_http2 = connection.is_http2();
            let stream = TokioIo::new(connection);
            if is_http2 {
                let pings = limits.keep_alive.min(PING_MOST);
                let (tasks, closing) = Http2Tasks::new();
                let (sender, connection) = http2::Builder::new(tasks)
                    .timer(TokioTimer::new())
                    .keep_alive_interval((!pings.is_zero()).then_some(pings))
                    .keep_alive_timeout(limits.keep_alive_timeout.min(PING_MOST))
                    // A connection may have died while nobody used it.
                    .keep_alive_while_idle(true)
                    .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
                    .handshake(stream)
                    .await?;
                return Ok((
                    Sender::Http2(sender),
                    ConnectionHandle::until_dropped(connection, closing, farewell),
                ));
            }
            let (sender, connection) =
                http1::Builder::new().max_buf_size(head).handshake(stream).await?;
            // It has no tasks beside its own.
            let closing = oneshot::channel().0;
            Ok::<_, hyper::Error>((
                Sender::Http1(sender),
                ConnectionHandle::until_dropped(connection, closing, farewell),
            ))
        };
        match timeout(limit, shaking_hands).await {
            Ok(Ok((sender, open))) => {
                Ok(Self { sender, open, made, unsent: UnsentCount::default(), farewell })
            }
            Ok(Err(error)) => Err(in_words(&error)),
            Err(_) => Err(format!("not over within {limit:?}")),
        }
    }

    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    pub(super) const fn made(&self) -> Instant {
        self.made
    }

    /// Returns since when nobody has used it; `None` while somebody does.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let ConnectionHandle(state) = &self.open;
        // One of them is its own.
        let is_used = Arc::strong_count(state) > 1;
        (!is_used).then(|| *state.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns what is held while a response is read, and what ends with it.
    pub(super) fn reading(&self) -> (ResponseGuard, oneshot::Receiver<Infallible>) {
        let (until, read) = oneshot::channel();
        (ResponseGuard { _open: self.open.clone(), _until: until }, read)
    }

    /// Returns the requests that are not sent completely.
    pub(super) const fn unsent(&self) -> &UnsentCount {
        &self.unsent
    }

    pub(super) const fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// Returns a handle on the same connection for another request: over HTTP/2 alone.
    pub(super) fn share(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        let (open, unsent) = (self.open.clone(), self.unsent.clone());
        let sender = Sender::Http2(sender.clone());
        Some(Self { sender, open, made: self.made, unsent, farewell: self.farewell })
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Returns whether it takes another request, which is known soon after the response was read:
    /// what is still to be sent then, or to be skipped, is not waited for.
    pub(super) async fn is_ready_after(&mut self, read: oneshot::Receiver<Infallible>) -> bool {
        let ready = async {
            match &mut self.sender {
                Sender::Http1(sender) => sender.ready().await.is_ok(),
                Sender::Http2(sender) => sender.ready().await.is_ok(),
            }
        };
        match select(pin!(ready), read).await {
            Either::Left((is_ready, _)) => is_ready,
            Either::Right((_, ready)) => timeout(self.farewell, ready).await.unwrap_or(false),
        }
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Http2Tasks {
    /// Creates the connection, with the tasks that end when it is dropped.
    fn new() -> (Self, oneshot::Sender<Infallible>) {
        let (closing, closed) = oneshot::channel();
        (Self { closed: closed.shared() }, closing)
    }
}

impl<F> Executor<F> for Http2Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let closed = self.closed.clone();
        tokio::spawn(async move { drop(select(pin!(future), closed).await) });
    }
}

impl ConnectionHandle {
    /// Runs the connection's task until the last handle is dropped, and those beside it until `closing`
    /// is.
    fn until_dropped<T: Send>(
        connection: impl Future<Output = T> + Send + 'static,
        mut closing: oneshot::Sender<Infallible>,
        farewell: Duration,
    ) -> Self {
        let (until, dropped) = oneshot::channel();
        tokio::spawn(async move {
            match select(Box::pin(connection), dropped).await {
                // What is under way beside it goes on.
                Either::Left((_, dropped)) => drop(select(dropped, closing.cancellation()).await),
                Either::Right((_, connection)) => drop(timeout(farewell, connection).await),
            }
            // Whether they were in time or not: it is closed.
            let _ = timeout(farewell, closing.cancellation()).await;
        });
        Self(Arc::new(HandleState { _until: until, used: Mutex::new(Instant::now()) }))
    }
}
