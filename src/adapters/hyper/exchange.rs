//! One request and its response over one stream.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{Builder, Connection};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::AttemptFailure;
use super::meter::{Meter, Metered};
use crate::core::well_known::{Body, FetchFailureKind, FetchLimits};
use crate::transport::error_chain::cause;
use crate::transport::response_head::{HeadReader, LEAST_HEAD_BUFFER, ResponseWatch, most_lines};

/// What chunks may cost: a chunk of one byte takes six (RFC 9112 section 7.1), ...
const FRAMING_FACTOR: usize = 8;

/// ... and extensions and trailers come on top, of either of which hyper takes 16 KiB.
const FRAMING_EXTRA: usize = 64 * 1024;

/// As much as is kept of a page that is no document, in bytes: its title stands near its beginning.
const MOST_OF_A_PAGE: usize = 4 * 1024;

/// Sends the request and reads the response, within the limits on bytes; time is the caller's.
///
/// Everything happens inside the returned future: dropping it drops the stream.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
    limits: &FetchLimits,
) -> Result<Response<Body>, AttemptFailure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let meter = Meter::new(limits.head_bytes);
    let (stream, written) = tokio::io::split(stream);
    let io = tokio::io::join(Metered { stream, meter: Arc::clone(&meter) }, written);
    // These limits lie past the meter's, which therefore always strikes first and with one meaning.
    let most = limits.head_bytes.saturating_add(1).max(LEAST_HEAD_BUFFER);
    let watch = Arc::new(ResponseWatch::default());
    watch.expect_head();
    let io = HeadReader::new(io, most, watch);
    let (mut sender, connection) = Builder::new()
        .max_buf_size(most)
        .max_headers(most_lines(limits.head_bytes, limits.head_lines))
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| failed(&error))?;
    let mut driven = Driven { connection: Some(connection), error: None };

    let Some(response) = driven.until(sender.send_request(request), &meter).await else {
        let detail = format!("no end of it in {} bytes", limits.head_bytes);
        return Err(AttemptFailure::new(FetchFailureKind::HeadTooLarge, detail));
    };
    let response = response.map_err(|error| driven.failed(&error))?;
    let (mut parts, incoming) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let detail = "the server switched to a protocol that nobody asked for";
        return Err(AttemptFailure::new(FetchFailureKind::Protocol, detail));
    }
    // What hyper says of the connection.
    parts.extensions.clear();
    // The status decides everything here. A page is only evidence, and not worth a wait.
    if parts.status != StatusCode::OK {
        meter.grant(MOST_OF_A_PAGE);
        let page = driven.arrived(incoming, MOST_OF_A_PAGE).await;
        return Ok(Response::from_parts(parts, Body::Complete(page)));
    }

    let limit = limits.body_bytes;
    // The lower bound is `Content-Length` where there is one.
    if usize::try_from(incoming.size_hint().lower()).map_or(true, |announced| announced > limit) {
        return Ok(Response::from_parts(parts, Body::TooLarge));
    }
    meter.grant(limit.saturating_mul(FRAMING_FACTOR).saturating_add(FRAMING_EXTRA));
    let body = match driven.until(read_body(incoming, limit), &meter).await {
        Some(body) => body.map_err(|error| driven.failed(&error))?,
        None => Body::TooLarge,
    };
    Ok(Response::from_parts(parts, body))
}

async fn read_body(mut incoming: Incoming, limit: usize) -> Result<Body, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = incoming.frame().await {
        // Trailers are of no use here.
        let Ok(data) = frame?.into_data() else { continue };
        if data.len() > limit.saturating_sub(bytes.len()) {
            return Ok(Body::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Body::Complete(bytes))
}

/// hyper's connection, which must be polled for the response to come about.
struct Driven<I: Read + Write> {
    /// Gone once it has ended, so that whoever waits for it learns that.
    connection: Option<Connection<I, Empty<Bytes>>>,
    error: Option<hyper::Error>,
}

impl<I: Read + Write + Unpin> Driven<I> {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
        {
            self.error = ended.err();
            self.connection = None;
        }
    }

    /// Returns the beginning of a body, as far as it has arrived; waits for nothing.
    async fn arrived(&mut self, mut incoming: Incoming, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        poll_fn(|cx| {
            // Ends: each turn brings at least a byte.
            while bytes.len() < most {
                // The first poll asks hyper for the body; the second returns it.
                let mut polled = Pin::new(&mut incoming).poll_frame(cx);
                if polled.is_pending() {
                    self.poll(cx);
                    polled = Pin::new(&mut incoming).poll_frame(cx);
                }
                let Poll::Ready(Some(Ok(frame))) = polled else { break };
                let Ok(data) = frame.into_data() else { break };
                if data.is_empty() {
                    break;
                }
                let room = data.len().min(most - bytes.len());
                bytes.extend(data.iter().take(room));
            }
            Poll::Ready(std::mem::take(&mut bytes))
        })
        .await
    }

    /// Polls the connection until the future ends; `None` if that takes more bytes than the meter
    /// allows.
    async fn until<T>(&mut self, future: impl Future<Output = T>, meter: &Meter) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.poll(cx);
            match future.as_mut().poll(cx) {
                Poll::Pending if meter.is_overdrawn() => Poll::Ready(None),
                polled => polled.map(Some),
            }
        })
        .await
    }

    /// Returns the failure. The connection's own error, where it has one, says more than what its
    /// parts were told.
    fn failed(&self, error: &hyper::Error) -> AttemptFailure {
        failed(self.error.as_ref().unwrap_or(error))
    }
}

fn failed(error: &hyper::Error) -> AttemptFailure {
    use io::ErrorKind::{InvalidData, InvalidInput};

    let kind = if let Some(tls) = cause::<rustls::Error>(error) {
        match tls {
            // Under TLS 1.3 the server judges the client's part of the handshake after the client
            // took it for done.
            rustls::Error::AlertReceived(_) => FetchFailureKind::Tls,
            _ => FetchFailureKind::CutOff,
        }
    } else if let Some(early) = error.source().and_then(|source| source.downcast_ref()) {
        // The connection failed before the request was written, and cancelled it.
        return failed(early);
    } else if error.is_parse() && error.to_string().contains("head is too large") {
        // More lines than the limit: more bytes than that end the exchange before. hyper tells this apart
        // for servers alone.
        FetchFailureKind::HeadTooLarge
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_user() {
        // The last is hyper's word for a connection that is gone, since our body never fails.
        FetchFailureKind::CutOff
    } else {
        match cause::<io::Error>(error).map(io::Error::kind) {
            // So hyper says that chunks make no sense.
            Some(InvalidData | InvalidInput) | None => FetchFailureKind::Protocol,
            Some(_) => FetchFailureKind::CutOff,
        }
    };
    AttemptFailure::because(kind, error)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

    use super::*;

    fn request() -> Request<Empty<Bytes>> {
        Request::get("/").header("host", "m.example").body(Empty::new()).unwrap()
    }

    async fn kind(stream: DuplexStream) -> FetchFailureKind {
        exchange(stream, request(), &FetchLimits::default()).await.unwrap_err().kind
    }

    #[tokio::test]
    async fn a_connection_that_ended_before_the_request_is_a_cut_off() {
        let (ours, theirs) = duplex(1024);
        drop(theirs);
        assert_eq!(kind(ours).await, FetchFailureKind::CutOff);
        // Still read from, no longer written to.
        let (ours, mut theirs) = duplex(1024);
        theirs.shutdown().await.unwrap();
        assert_eq!(kind(ours).await, FetchFailureKind::CutOff);
    }

    #[tokio::test]
    async fn an_answer_before_the_request_is_no_http() {
        let (ours, mut theirs) = duplex(1024);
        theirs.write_all(b"220 m.example ESMTP\r\n").await.unwrap();
        assert_eq!(kind(ours).await, FetchFailureKind::Protocol);
    }

    /// Once something was written, always ready with more of the same.
    struct Ceaseless {
        first: &'static [u8],
        then: &'static [u8],
        asked: bool,
    }

    impl AsyncRead for Ceaseless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.asked {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.first.is_empty() {
                self.first = self.then;
            }
            let (now, later) = self.first.split_at(self.first.len().min(buf.remaining()));
            buf.put_slice(now);
            self.first = later;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Ceaseless {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.asked = true;
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    // No timer gets a turn against such a stream, so it must be the bytes that end it.
    #[tokio::test]
    async fn a_stream_that_never_blocks_is_stopped_by_the_count_of_its_bytes() {
        const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let too_large = Ok(Body::TooLarge);
        for (first, then, expected) in [
            (&b""[..], &b"HTTP/1.1 100 Continue\r\n\r\n"[..], Err(FetchFailureKind::HeadTooLarge)),
            (b"", b"\r\n", Err(FetchFailureKind::HeadTooLarge)),
            (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", Err(FetchFailureKind::HeadTooLarge)),
            (b"HTTP/1.1 200 OK\r\n\r\n", b"x", too_large.clone()),
            (CHUNKED, b"1\r\nx\r\n", too_large.clone()),
            (CHUNKED, b"0", too_large),
        ] {
            let stream = Ceaseless { first, then, asked: false };
            let outcome = exchange(stream, request(), &FetchLimits::default()).await;
            let outcome = outcome.map(Response::into_body).map_err(|failed| failed.kind);
            assert_eq!(outcome, expected, "{}", String::from_utf8_lossy(then));
        }
    }

    #[tokio::test]
    async fn a_response_cut_anywhere_and_handed_over_in_any_pieces_is_understood() {
        let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        for piece in [1, 2, 7, whole.len()] {
            for end in [whole.len() - 1, whole.len()] {
                let (ours, mut theirs) = duplex(piece);
                let answer = async {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(theirs.read_u8().await.unwrap());
                    }
                    theirs.write_all(&whole[..end]).await.unwrap();
                    drop(theirs);
                };
                let limits = FetchLimits::default();
                let (response, ()) = tokio::join!(exchange(ours, request(), &limits), answer);
                let outcome = response.map(Response::into_body).map_err(|failed| failed.kind);
                let expected = match end {
                    end if end == whole.len() => Ok(Body::from(*b"{}")),
                    _ => Err(FetchFailureKind::CutOff),
                };
                assert_eq!(outcome, expected, "{end} bytes, {piece} at a time");
            }
        }
    }
}
