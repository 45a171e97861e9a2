//! A connection over which HTTP is spoken, for as long as somebody needs it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, timeout};

use super::super::attempt::in_words;
use super::super::connect::Connection;
use super::limits::ClientLimits;
use super::wire::Outgoing;

/// More of a response's head than this is not read, in bytes.
const HEAD: u16 = u16::MAX;
/// How long a connection that nobody needs has for its farewell.
const FAREWELL: Duration = Duration::from_secs(1);
/// No longer than this between two pings: beyond what the clock can say, hyper would panic.
const PING_MOST: Duration = Duration::from_secs(24 * 3600);

/// A connection with the way to send over it.
pub(super) struct Link {
    sender: Sender,
    open: Open,
    made: Instant,
}

pub(super) enum Sender {
    Http1(http1::SendRequest<Outgoing>),
    Http2(http2::SendRequest<Outgoing>),
}

/// Keeps a connection open; with the last one it is closed, whatever the other side holds back.
#[derive(Clone, Debug)]
pub(super) struct Open {
    _until: Arc<oneshot::Sender<Infallible>>,
}

impl Link {
    /// Begins to speak HTTP over a connection. An error says why that failed.
    pub(super) async fn over(
        connection: Connection,
        limits: &ClientLimits,
        limit: Duration,
    ) -> Result<Self, String> {
        let made = Instant::now();
        let shaking_hands = async {
            let is_http2 = connection.is_http2();
            let stream = TokioIo::new(connection);
            if is_http2 {
                let pings = limits.keep_alive.min(PING_MOST);
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .keep_alive_interval((!pings.is_zero()).then_some(pings))
                    .keep_alive_timeout(limits.keep_alive_timeout.min(PING_MOST))
                    // A connection may have died while nobody used it.
                    .keep_alive_while_idle(true)
                    .max_header_list_size(u32::from(HEAD))
                    .handshake(stream)
                    .await?;
                return Ok((Sender::Http2(sender), Open::until_dropped(connection)));
            }
            let (sender, connection) =
                http1::Builder::new().max_buf_size(usize::from(HEAD)).handshake(stream).await?;
            Ok::<_, hyper::Error>((Sender::Http1(sender), Open::until_dropped(connection)))
        };
        match timeout(limit, shaking_hands).await {
            Ok(Ok((sender, open))) => Ok(Self { sender, open, made }),
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

    pub(super) fn open(&self) -> Open {
        self.open.clone()
    }

    pub(super) const fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The same for another request beside its own: over HTTP/2 alone.
    pub(super) fn share(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        Some(Self { sender: Sender::Http2(sender.clone()), open: self.open(), made: self.made })
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether it takes another request, once that is known.
    pub(super) async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }
}

impl Open {
    fn until_dropped<T: Send>(connection: impl Future<Output = T> + Send + 'static) -> Self {
        let (until, dropped) = oneshot::channel();
        tokio::spawn(async move {
            if let Either::Right((_, connection)) = select(pin!(connection), dropped).await {
                // Whether it was in time or not: it is closed.
                let _ = timeout(FAREWELL, connection).await;
            }
        });
        Self { _until: Arc::new(until) }
    }
}
