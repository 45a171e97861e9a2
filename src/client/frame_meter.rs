//! Counts the frames of an HTTP/2 connection before they are taken apart.
//!
//! A server may send interim responses (RFC 9110 section 15.2), pings, settings, empty frames and frames
//! of unknown types without end, each of which costs memory, an answer or at least time. The library
//! bounds none of these by the requests that were made, so the heads of frames are read on their way to
//! it (RFC 9113 section 4.1).

use std::collections::BTreeMap;
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
const CONTINUATION: u8 = 9;
/// Of DATA and HEADERS: it is the last frame of its stream.
const END_STREAM: u8 = 1;

/// Frames of heads that a response may have: interim ones, its own, trailers, and what of them did not
/// fit into one frame. The library keeps interim responses until the request's task looks for its own.
const HEADS_A_REQUEST: usize = 32;
/// Responses whose heads are counted at a time. Of more, those begun first are counted anew.
const COUNTED: usize = 1024;
/// Frames that carry nothing for a request, over the life of a connection, ...
const IDLE: usize = 10_000;
/// ... as many more for each request, ...
const IDLE_A_REQUEST: usize = 16;
/// ... and one more for so many bytes that were written: servers grant the window for a request's body
/// in pieces (RFC 9113 section 6.9), some for each piece that they read, for its stream and the
/// connection.
const BYTES_AN_IDLE: usize = 256;

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
    /// The frames of heads of each response that has not ended.
    of_streams: BTreeMap<u32, usize>,
    idle: usize,
    /// How many bytes were written.
    written: usize,
}

impl<S> FrameMeter<S> {
    pub(super) fn new(stream: S, requests: Arc<AtomicUsize>) -> Self {
        Self {
            stream,
            requests,
            head: [0; HEAD],
            read: 0,
            left: 0,
            heads: 0,
            of_streams: BTreeMap::new(),
            idle: 0,
            written: 0,
        }
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
        let [high, mid, low, kind, flags, id @ ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low);
        // The first bit is reserved.
        let stream = u32::from_be_bytes(id) & (u32::MAX >> 1);
        let is_last = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        match kind {
            HEADERS | CONTINUATION => self.head_of(stream)?,
            DATA if self.left > 0 || is_last => {}
            _ => self.idle += 1,
        }
        if is_last || kind == RST_STREAM {
            self.of_streams.remove(&stream);
        }
        let requests = self.requests.load(Ordering::Relaxed);
        let heads = requests.saturating_mul(HEADS_A_REQUEST);
        let idle = requests
            .saturating_mul(IDLE_A_REQUEST)
            .saturating_add(IDLE)
            .saturating_add(self.written / BYTES_AN_IDLE);
        if self.heads > heads {
            return Err(flood("heads of responses", heads));
        }
        if self.idle > idle {
            return Err(flood("frames that carry nothing", idle));
        }
        Ok(())
    }

    fn wrote(&mut self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(written)) = polled {
            self.written = self.written.saturating_add(*written);
        }
    }

    /// Counts a frame of a response's heads. What other responses did not use is not for this one.
    fn head_of(&mut self, stream: u32) -> io::Result<()> {
        self.heads += 1;
        let of_stream = self.of_streams.entry(stream).or_default();
        *of_stream += 1;
        if *of_stream > HEADS_A_REQUEST {
            return Err(flood("heads of responses", HEADS_A_REQUEST));
        }
        if self.of_streams.len() > COUNTED {
            self.of_streams.pop_first();
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(&polled);
        polled
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

    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let [.., high, mid, low] = length.to_be_bytes();
        let mut frame = vec![high, mid, low, kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.resize(HEAD + length, 0xff);
        frame
    }

    fn meter(requests: usize) -> FrameMeter<()> {
        FrameMeter::new((), Arc::new(AtomicUsize::new(requests)))
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let frames = [(HEADERS, 300), (DATA, 70_000), (HEADERS, 1)];
        let all = frames.map(|(kind, length)| frame(kind, 0, 1, length)).concat();
        for piece in [1, 2, 8, 9, 10, 1_000, all.len()] {
            let mut meter = meter(1);
            for piece in all.chunks(piece) {
                meter.count(piece).unwrap();
            }
            assert_eq!((meter.heads, meter.idle, meter.left, meter.read), (2, 0, 0, 0), "{piece}");
        }
    }

    #[test]
    fn what_requests_do_not_account_for_ends_the_connection() {
        let idle = IDLE + 2 * IDLE_A_REQUEST;
        for (kind, flags, length, most) in [
            (HEADERS, 4, 5, HEADS_A_REQUEST),
            (CONTINUATION, 0, 0, HEADS_A_REQUEST),
            (PING, 0, 8, idle),
            (SETTINGS, 0, 6, idle),
            (RST_STREAM, 0, 4, idle),
            (WINDOW_UPDATE, 0, 4, idle),
            (0xbb, 0, 0, idle),
            (DATA, 0, 0, idle),
        ] {
            let mut meter = meter(2);
            let frame = frame(kind, flags, 1, length);
            for _ in 0..most {
                meter.count(&frame).unwrap();
            }
            let error = meter.count(&frame).unwrap_err().to_string();
            assert!(error.contains(&most.to_string()), "{kind}: {error}");
        }
        let mut meter = meter(0);
        for (flags, length) in [(0, 1), (END_STREAM, 0)] {
            for _ in 0..=IDLE {
                meter.count(&frame(DATA, flags, 1, length)).unwrap();
            }
        }
    }

    #[test]
    fn heads_are_counted_for_each_response() {
        let heads = |stream, last| {
            let interim = frame(HEADERS, 4, stream, 1).repeat(HEADS_A_REQUEST - 1);
            [interim, last].concat()
        };
        for last in [frame(HEADERS, 4 | END_STREAM, 1, 1), frame(RST_STREAM, 0, 1, 4)] {
            let mut meter = meter(3);
            meter.count(&heads(1, last)).unwrap();
            meter.count(&heads(3, frame(HEADERS, 4, 3, 1))).unwrap();
            assert_eq!(meter.of_streams.keys().collect::<Vec<_>>(), [&3]);
            // A third request accounts for no more of the second's.
            meter.count(&frame(HEADERS, 4, 3, 1)).unwrap_err();
        }
        // Nor do heads of streams that nobody asked for.
        let mut meter = meter(1);
        let mut streams = (1..).step_by(2);
        let refused = streams.find(|it| meter.count(&frame(HEADERS, 4, *it, 1)).is_err());
        assert_eq!(refused, Some(65));
        // What is kept of streams has its limit.
        let mut meter = super::tests::meter(2 * COUNTED);
        for stream in 0..2 * COUNTED {
            meter.count(&frame(HEADERS, 4, u32::try_from(stream).unwrap(), 1)).unwrap();
        }
        assert_eq!(meter.of_streams.len(), COUNTED);
    }

    #[test]
    fn what_is_written_accounts_for_windows_that_are_granted() {
        let mut meter = meter(0);
        meter.wrote(&Poll::Ready(Ok(BYTES_AN_IDLE - 1)));
        meter.wrote(&Poll::Pending);
        let frame = frame(WINDOW_UPDATE, 0, 0, 4);
        for _ in 0..IDLE {
            meter.count(&frame).unwrap();
        }
        meter.wrote(&Poll::Ready(Ok(1)));
        meter.count(&frame).unwrap();
        meter.count(&frame).unwrap_err();
    }
}
