//! Counts the frames of an HTTP/2 connection before they are taken apart.
//!
//! A server may send interim responses (RFC 9110 section 15.2), pings, settings and empty frames without
//! end, each of which costs memory or an answer. The library bounds none of these by the requests that
//! were made, so the heads of frames are read on their way to it (RFC 9113 section 4.1).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The length of the head of a frame.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// Of DATA: it is the last frame of its stream.
const END_STREAM: u8 = 1;

/// Frames of heads that a response may have: interim ones, its own, trailers, and what of them did not
/// fit into one frame.
const HEADS_A_REQUEST: usize = 32;
/// Frames that carry nothing for a request, over the life of a connection, ...
const IDLE: usize = 10_000;
/// ... and as many more for each request.
const IDLE_A_REQUEST: usize = 16;

/// A stream of HTTP/2 that fails once its peer sends more frames than its requests account for.
#[derive(Debug)]
pub(super) struct FrameMeter<S> {
    stream: S,
    /// How many requests were handed to the connection.
    requests: Arc<AtomicUsize>,
    /// The head of the present frame, as far as it was read.
    head: [u8; HEAD],
    read: usize,
    /// How much of the present frame is left behind its head.
    left: usize,
    heads: usize,
    idle: usize,
}

impl<S> FrameMeter<S> {
    pub(super) fn new(stream: S, requests: Arc<AtomicUsize>) -> Self {
        Self { stream, requests, head: [0; HEAD], read: 0, left: 0, heads: 0, idle: 0 }
    }

    /// Counts the frames in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let taken = (HEAD - self.read).min(bytes.len());
            let (now, later) = bytes.split_at(taken);
            for (to, from) in self.head.iter_mut().skip(self.read).zip(now) {
                *to = *from;
            }
            self.read += taken;
            bytes = later;
            if self.read == HEAD {
                self.read = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    /// Counts the frame whose head was read.
    fn frame(&mut self) -> io::Result<()> {
        let [high, mid, low, kind, flags, ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low);
        match kind {
            HEADERS | CONTINUATION => self.heads += 1,
            RST_STREAM | SETTINGS | PING => self.idle += 1,
            DATA if self.left == 0 && flags & END_STREAM == 0 => self.idle += 1,
            _ => {}
        }
        let requests = self.requests.load(Ordering::Relaxed);
        let heads = requests.saturating_mul(HEADS_A_REQUEST);
        let idle = requests.saturating_mul(IDLE_A_REQUEST).saturating_add(IDLE);
        if self.heads > heads {
            return Err(flood("heads of responses", heads));
        }
        if self.idle > idle {
            return Err(flood("frames that carry nothing", idle));
        }
        Ok(())
    }
}

fn flood(what: &str, most: usize) -> io::Error {
    let why = format!("the server sent more {what} than its requests account for: over {most}");
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameMeter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.count(buf.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameMeter<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let [.., high, mid, low] = length.to_be_bytes();
        let mut frame = vec![high, mid, low, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + length, 0xff);
        frame
    }

    fn meter(requests: usize) -> FrameMeter<()> {
        FrameMeter::new((), Arc::new(AtomicUsize::new(requests)))
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let two = [frame(HEADERS, 4, 300), frame(DATA, 0, 70_000), frame(HEADERS, 4, 1)].concat();
        for piece in [1, 2, 8, 9, 10, 1_000, two.len()] {
            let mut meter = meter(1);
            for piece in two.chunks(piece) {
                meter.count(piece).unwrap();
            }
            assert_eq!((meter.heads, meter.idle, meter.left, meter.read), (2, 0, 0, 0), "{piece}");
        }
    }

    #[test]
    fn what_requests_do_not_account_for_ends_the_connection() {
        for (kind, flags, length, most) in [
            (HEADERS, 4, 5, 2 * HEADS_A_REQUEST),
            (CONTINUATION, 0, 0, 2 * HEADS_A_REQUEST),
            (PING, 0, 8, IDLE + 2 * IDLE_A_REQUEST),
            (SETTINGS, 0, 6, IDLE + 2 * IDLE_A_REQUEST),
            (RST_STREAM, 0, 4, IDLE + 2 * IDLE_A_REQUEST),
            (DATA, 0, 0, IDLE + 2 * IDLE_A_REQUEST),
        ] {
            let mut meter = meter(2);
            let frame = frame(kind, flags, length);
            for _ in 0..most {
                meter.count(&frame).unwrap();
            }
            let error = meter.count(&frame).unwrap_err().to_string();
            assert!(error.contains(&most.to_string()), "{kind}: {error}");
        }
        let mut meter = meter(0);
        for (kind, flags, length) in [(DATA, 0, 1), (DATA, END_STREAM, 0), (8, 0, 4)] {
            for _ in 0..IDLE + 1 {
                meter.count(&frame(kind, flags, length)).unwrap();
            }
        }
    }
}
