//! One request and its response over one stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::attempt::{Failed, cause};
use super::meter::{Meter, Metered};
use crate::core::fetch::{Body, FetchFailureKind, FetchLimits};

/// hyper refuses to be given less.
const LEAST_BUFFER: usize = 8 * 1024;

/// The shortest header line, `a:` and its line end (RFC 9112 section 5).
const LEAST_HEADER_LINE: usize = 4;

/// Header lines beyond which hyper gives up whatever their size; a `HeaderMap` holds no more than
/// 24,576.
const MOST_HEADER_LINES: usize = 16 * 1024;

/// What chunks may cost: a chunk of one byte takes six (RFC 9112 section 7.1), ...
const FRAMING_FACTOR: usize = 8;

/// ... and extensions and trailers come on top, of either of which hyper takes 16 KiB.
const FRAMING_EXTRA: usize = 64 * 1024;

/// Sends the request and reads the response, within the limits on bytes; time is the caller's.
///
/// Everything happens inside the returned future: dropping it drops the stream.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
    limits: &FetchLimits,
) -> Result<Response<Body>, Failed>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let meter = Meter::new(limits.head_bytes);
    let io = TokioIo::new(Metered::new(stream, Arc::clone(&meter)));
    // Both limits lie past the meter's, which therefore always strikes first and with one meaning.
    let (mut sender, connection) = Builder::new()
        .max_buf_size(limits.head_bytes.saturating_add(1).max(LEAST_BUFFER))
        .max_headers((limits.head_bytes / LEAST_HEADER_LINE + 1).min(MOST_HEADER_LINES))
        .handshake(io)
        .await
        .map_err(|error| failed(&error))?;
    let mut driven = Driven { connection: Some(connection), error: None };

    let mut response = Box::pin(sender.send_request(request));
    let response = poll_fn(|cx| {
        driven.poll(cx);
        match response.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(driven.failed(&error))),
            Poll::Pending if meter.is_overdrawn() => {
                let detail = format_args!("no end of it in {} bytes", limits.head_bytes);
                Poll::Ready(Err(Failed::new(FetchFailureKind::HeadTooLarge, detail)))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;

    let (parts, incoming) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let detail = "the server switched to a protocol that nobody asked for";
        return Err(Failed::new(FetchFailureKind::Protocol, detail));
    }
    let wire = limits.body_bytes.saturating_mul(FRAMING_FACTOR).saturating_add(FRAMING_EXTRA);
    meter.grant(wire);
    let body = read_body(&mut driven, incoming, &meter, limits.body_bytes).await?;

    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.version_mut() = parts.version;
    *response.headers_mut() = parts.headers;
    Ok(response)
}

async fn read_body<S>(
    driven: &mut Driven<S>,
    mut incoming: Incoming,
    meter: &Meter,
    limit: usize,
) -> Result<Body, Failed>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    // The lower bound is `Content-Length` where there is one.
    if usize::try_from(incoming.size_hint().lower()).map_or(true, |announced| announced > limit) {
        return Ok(Body::TooLarge);
    }
    let mut bytes = Vec::new();
    poll_fn(|cx| {
        loop {
            driven.poll(cx);
            let frame = match Pin::new(&mut incoming).poll_frame(cx) {
                Poll::Pending if meter.is_overdrawn() => return Poll::Ready(Ok(Body::TooLarge)),
                other => ready!(other),
            };
            match frame {
                None => return Poll::Ready(Ok(Body::Complete(std::mem::take(&mut bytes)))),
                Some(Err(error)) => return Poll::Ready(Err(driven.failed(&error))),
                Some(Ok(frame)) => {
                    // Trailers are of no use here.
                    let Ok(data) = frame.into_data() else { continue };
                    if data.len() > limit.saturating_sub(bytes.len()) {
                        return Poll::Ready(Ok(Body::TooLarge));
                    }
                    bytes.extend_from_slice(&data);
                }
            }
        }
    })
    .await
}

/// hyper's connection, which must be polled for the response to come about.
struct Driven<S: AsyncRead + AsyncWrite + Send + Unpin> {
    /// Gone once it is over, so that whoever waits for it learns that.
    connection: Option<Connection<TokioIo<Metered<S>>, Empty<Bytes>>>,
    error: Option<hyper::Error>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Driven<S> {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(over) = Pin::new(connection).poll(cx)
        {
            self.error = over.err();
            self.connection = None;
        }
    }

    /// The connection's own error, where it has one, says more than what its parts were told.
    fn failed(&self, error: &hyper::Error) -> Failed {
        failed(self.error.as_ref().unwrap_or(error))
    }
}

fn failed(error: &hyper::Error) -> Failed {
    use io::ErrorKind::{InvalidData, InvalidInput};

    let kind = if let Some(tls) = cause::<rustls::Error>(error) {
        match tls {
            // Under TLS 1.3 the server judges the client's part of the handshake after the client
            // took it for done.
            rustls::Error::AlertReceived(_) => FetchFailureKind::Tls,
            _ => FetchFailureKind::CutOff,
        }
    } else if error.is_incomplete_message() {
        FetchFailureKind::CutOff
    } else if error.is_user() || error.is_canceled() {
        FetchFailureKind::Adapter
    } else {
        match cause::<io::Error>(error).map(io::Error::kind) {
            // So hyper says that chunks make no sense.
            Some(InvalidData | InvalidInput) | None => FetchFailureKind::Protocol,
            Some(_) => FetchFailureKind::CutOff,
        }
    };
    Failed::because(kind, error)
}
