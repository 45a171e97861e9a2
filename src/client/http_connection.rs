//! An HTTP connection, which is open for as long as somebody needs it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, Shared, select};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::AlertDescription;
use tokio::time::timeout;

use super::connection::Connection;
use super::frame_meter::FrameMeter;
use super::keys::PoolKey;
use super::pool::Pool;
use super::request_body::RequestBody;
use crate::adapters::tokio::TokioClock;
use crate::core::endpoint::StoredEndpoint;
use crate::core::time::Monotonic;
use crate::transport::error_chain::in_words;
use crate::transport::response_head::{HeadReader, ResponseWatch, most_lines};

/// The longest time between two pings: hyper panics beyond what the clock can represent.
const PING_MOST: Duration = Duration::from_secs(24 * 3600);

/// A connection with the way to send over it.
pub(super) struct HttpConnection {
    sender: Sender,
    open: ConnectionHandle,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>, Arc<ResponseWatch>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Held while a response is read.
#[derive(Debug)]
pub(super) struct ResponseGuard {
    _open: ConnectionHandle,
    _until: oneshot::Sender<Infallible>,
}

/// The tasks that HTTP/2 runs beside the connection's own, until the connection is closed.
#[derive(Clone)]
struct Http2Tasks(Shared<oneshot::Receiver<Infallible>>);

/// Keeps a connection open. It is closed when the last handle is dropped, whatever the other side
/// holds back.
#[derive(Clone, Debug)]
struct ConnectionHandle(Arc<ConnectionState>);

/// What the handles of a connection share. Each of its requests that is not sent completely has a weak
/// reference to it.
#[derive(Debug)]
pub(super) struct ConnectionState {
    pub(super) key: PoolKey,
    pub(super) endpoint: StoredEndpoint,
    pub(super) made: Monotonic,
    clock: Arc<TokioClock>,
    /// How long it may take to end properly ([`ClientConfig::farewell`]).
    farewell: Duration,
    _until: oneshot::Sender<Infallible>,
    _ended: Option<oneshot::Sender<Infallible>>,
    /// Completes when all of its tasks have ended.
    over: Shared<oneshot::Receiver<Infallible>>,
    /// See [`Connection::alert`].
    alert: Arc<OnceLock<AlertDescription>>,
    is_tls_1_3: bool,
    /// When a handle was last dropped.
    used: Mutex<Monotonic>,
    /// Requests handed to it so far.
    requests: Arc<AtomicUsize>,
    /// Whether the head of a response has come.
    answered: AtomicBool,
}

impl HttpConnection {
    /// Begins to speak HTTP over a connection, within this limit. The error says why that failed.
    pub(super) async fn over(
        connection: Connection,
        key: PoolKey,
        Pool { limits, clock, .. }: &Pool,
        limit: Duration,
    ) -> Result<Self, String> {
        let (made, farewell) = (clock.monotonic(), limits.farewell);
        let head = limits.head_bytes;
        let (endpoint, alert) = (connection.endpoint.clone(), Arc::clone(&connection.alert));
        let is_tls_1_3 = connection.is_tls_1_3();
        let requests = Arc::new(AtomicUsize::new(0));
        let (closing, closed) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let handshake = async {
            let is_http2 = connection.is_http2();
            if !is_http2 {
                let watch = Arc::new(ResponseWatch::default());
                let stream = HeadReader::new(connection, head, Arc::clone(&watch));
                let (sender, connection) = http1::Builder::new()
                    .max_buf_size(head)
                    .max_headers(most_lines(head, limits.head_lines))
                    .handshake(TokioIo::new(stream))
                    .await?;
                // Nobody else has to be told.
                let kept = Some(ended);
                return Ok((Sender::Http1(sender, watch), Either::Left(connection), kept));
            }
            let stream = FrameMeter::new(connection, Arc::clone(&requests)).telling(ended);
            let stream = TokioIo::new(stream);
            let pings = limits.keep_alive.min(PING_MOST);
            let (sender, connection) = http2::Builder::new(Http2Tasks(closed.shared()))
                .timer(TokioTimer::new())
                .keep_alive_interval((!pings.is_zero()).then_some(pings))
                .keep_alive_timeout(limits.keep_alive_timeout.min(PING_MOST))
                // A connection may have died while nobody used it.
                .keep_alive_while_idle(true)
                .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
                .handshake(stream)
                .await?;
            Ok::<_, hyper::Error>((Sender::Http2(sender), Either::Right(connection), None))
        };
        let (sender, connection, ended) = match timeout(limit, handshake).await {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => return Err(in_words(&error)),
            Err(_) => return Err(format!("not over within {limit:?}")),
        };
        let (until, dropped) = oneshot::channel();
        let (over, is_over) = oneshot::channel();
        let over = until_dropped(connection, dropped, has_ended, closing, farewell).map(|()| over);
        tokio::spawn(over.map(drop));
        let (used, clock) = (Mutex::new(clock.monotonic()), Arc::clone(clock));
        let state = ConnectionState {
            key,
            endpoint,
            made,
            clock,
            farewell,
            _until: until,
            _ended: ended,
            over: is_over.shared(),
            alert,
            is_tls_1_3,
            used,
            requests,
            answered: AtomicBool::new(false),
        };
        Ok(Self { sender, open: ConnectionHandle(Arc::new(state)) })
    }

    pub(super) fn state(&self) -> &ConnectionState {
        &self.open.0
    }

    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Returns since when nobody has used it; `None` while somebody does.
    pub(super) fn unused_since(&self) -> Option<Monotonic> {
        // One of them is its own.
        let is_used = Arc::strong_count(&self.open.0) > 1;
        (!is_used).then(|| *self.state().used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns how many requests are not sent completely: they wait to be sent, or their bodies do.
    pub(super) fn unsent(&self) -> usize {
        Arc::weak_count(&self.open.0)
    }

    /// Returns how many requests it was handed so far.
    pub(super) fn requests(&self) -> usize {
        self.state().requests.load(Ordering::Relaxed)
    }

    /// Returns whether some of the response to the last request came; over HTTP/2, where a response
    /// is one of many, that is not known before its head is.
    pub(super) fn has_response_begun(&self) -> bool {
        matches!(&self.sender, Sender::Http1(_, watch) if watch.has_begun())
    }

    /// Sends a request. The error holds the request if it was not sent.
    pub(super) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        request.body_mut().sent_over = Arc::downgrade(&self.open.0);
        self.state().requests.fetch_add(1, Ordering::Relaxed);
        let sent = match &mut self.sender {
            Sender::Http1(sender, watch) => {
                watch.expect_head();
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => {
                let sent = pin!(sender.clone().try_send_request(request));
                match select(sent, self.open.0.over.clone()).await {
                    Either::Left((sent, _)) => sent,
                    Either::Right((_, sent)) => match sent.now_or_never() {
                        Some(sent) => sent,
                        // A channel keeps what was put into it just when it was closed, as long as anybody
                        // might send more, and tells nobody. What comes now is refused at once.
                        None => refused(sender).await,
                    },
                }
            }
        };
        if sent.is_ok() {
            self.state().answered.store(true, Ordering::Relaxed);
        }
        sent
    }

    /// Returns the alert by which the server has refused the handshake for want of a certificate. Under TLS
    /// 1.3 it does so after the client took the handshake for done (RFC 8446 section 4.4.2.4), and then it
    /// has read no request.
    pub(super) fn refusal(&self) -> Option<AlertDescription> {
        let is_refusal = |alert: &AlertDescription| {
            // Only alerts that a server sends before it reads a request.
            let is_about_certificates = matches!(
                alert,
                AlertDescription::CertificateRequired
                    | AlertDescription::BadCertificate
                    | AlertDescription::UnknownCA
            );
            let state = self.state();
            is_about_certificates
                && state.is_tls_1_3
                && !state.answered.load(Ordering::Relaxed)
                && !self.has_response_begun()
        };
        self.state().alert.get().copied().filter(is_refusal)
    }

    /// Returns what is held while a response is read, and what ends with it.
    pub(super) fn reading(&self) -> (ResponseGuard, oneshot::Receiver<Infallible>) {
        let (until, read) = oneshot::channel();
        (ResponseGuard { _open: self.open.clone(), _until: until }, read)
    }

    /// Returns a handle on the same connection for another request: over HTTP/2 alone.
    pub(super) fn share(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        Some(Self { sender: Sender::Http2(sender.clone()), open: self.open.clone() })
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender, _) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Returns whether it takes another request, which is known soon after the response was read:
    /// what is still to be sent then, or to be skipped, is not waited for. After a head that had to be
    /// mended it takes none: the server may see the end of the response elsewhere.
    pub(super) async fn is_ready_after(&mut self, read: oneshot::Receiver<Infallible>) -> bool {
        let farewell = self.state().farewell;
        // Over HTTP/2 it takes any number at a time.
        let Sender::Http1(sender, watch) = &mut self.sender else { return true };
        if watch.was_mended() {
            return false;
        }
        match select(pin!(sender.ready()), read).await {
            Either::Left((ready, _)) => ready.is_ok(),
            Either::Right((_, ready)) => matches!(timeout(farewell, ready).await, Ok(Ok(()))),
        }
    }
}

/// Returns the error of a request over an HTTP/2 connection that has ended.
async fn refused(
    sender: &mut http2::SendRequest<RequestBody>,
) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
    let nothing = Request::new(RequestBody::new(Empty::new(), 0));
    sender.try_send_request(nothing).await.map_err(|mut error| {
        drop(error.take_message());
        error
    })
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = self.0.clock.monotonic();
    }
}

impl<F> Executor<F> for Http2Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let closed = self.0.clone();
        tokio::spawn(async move { drop(select(pin!(future), closed).await) });
    }
}

/// Runs a connection's task until the last handle is dropped or its stream has ended, and those beside it until
/// `closing` is dropped. h2 does not tell every request that its stream has ended, if that comes together with
/// a GOAWAY: the tasks that wait for one then end here, and their requests with them.
async fn until_dropped<T: Send>(
    connection: impl Future<Output = T> + Send + 'static,
    dropped: oneshot::Receiver<Infallible>,
    ended: oneshot::Receiver<Infallible>,
    mut closing: oneshot::Sender<Infallible>,
    farewell: Duration,
) {
    match select(Box::pin(connection), select(dropped, ended)).await {
        // What is under way beside it goes on.
        Either::Left((_, over)) => drop(select(over, closing.cancellation()).await),
        Either::Right((_, connection)) => drop(timeout(farewell, connection).await),
    }
    // Whether they were in time or not: it is closed.
    let _ = timeout(farewell, closing.cancellation()).await;
}
