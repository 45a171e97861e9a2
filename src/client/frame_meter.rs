//! Counts the frames of an HTTP/2 connection before they are taken apart.
//!
//! A server may send interim responses (RFC 9110 section 15.2), pings, settings, empty frames and frames
//! of unknown types without end, each of which costs memory, an answer or at least time. The library
//! bounds none of these by the requests that were made, so the heads of frames are read on their way to
//! it (RFC 9113 section 4.1).
//!
//! One frame is changed. hyper takes a reset of a stream without an error for the proper end of a
//! response's body, which it is only behind a response that has ended (RFC 9113 section 8.1). Proxies
//! reset streams so when they lose the server behind them. Where the response has not ended, such a
//! reset goes on as a cancellation, so that the body is cut off, not whole.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_channel::oneshot;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The length of the head of a frame.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
/// Of DATA and HEADERS: it is the last frame of its stream.
const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION: it is the last frame of its head.
const END_HEADERS: u8 = 4;
/// The reason of a reset: the stream is no longer needed. The least byte of its number.
const CANCEL: u8 = 8;

/// Frames of heads that a response may have: interim ones, its own, trailers, and what of them did not
/// fit into one frame. The library keeps interim responses until the request's task looks for its own.
const HEADS_A_REQUEST: usize = 32;
/// Responses whose heads are counted at a time. Of more, those begun first are counted anew.
const COUNTED: usize = 1024;
/// Frames that carry nothing for a request, over the life of a connection, ...
const IDLE: usize = 10_000;
/// ... as many more for each request, ...
const IDLE_A_REQUEST: usize = 16;
/// ... and one more for each 256 bytes written. Servers grant the window for a request's body in pieces
/// (RFC 9113 section 6.9), for its stream and for the connection.
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
    /// The present head is the last of its stream, whatever CONTINUATIONs it has.
    ends: bool,
    /// The present frame resets a stream whose response has begun and not ended; without an error, as
    /// far as it was read.
    cuts: bool,
    idle: usize,
    /// How many bytes were written.
    written: usize,
    /// Dropped with the stream.
    _ended: Option<oneshot::Sender<Infallible>>,
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
            ends: false,
            cuts: false,
            idle: 0,
            written: 0,
            _ended: None,
        }
    }

    /// Tells the receiver when the stream is dropped.
    pub(super) fn telling(self, ended: oneshot::Sender<Infallible>) -> Self {
        Self { _ended: Some(ended), ..self }
    }

    /// Counts the frames in these bytes.
    fn count(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                let (now, later) = std::mem::take(&mut bytes).split_at_mut(passed);
                self.left -= passed;
                self.cuts &= now.iter().all(|byte| *byte == 0);
                if self.cuts
                    && self.left == 0
                    && let Some(last) = now.last_mut()
                {
                    *last = CANCEL;
                }
                bytes = later;
                continue;
            }
            let taken = (HEAD - self.read).min(bytes.len());
            let (now, later) = std::mem::take(&mut bytes).split_at_mut(taken);
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
        let has = |flag| flags & flag != 0;
        match kind {
            HEADERS => {
                self.ends = has(END_STREAM);
                self.head_of(stream)?;
            }
            CONTINUATION => self.head_of(stream)?,
            DATA if self.left > 0 || has(END_STREAM) => {}
            _ => self.idle += 1,
        }
        // The code of an error is 32 bits.
        self.cuts = kind == RST_STREAM && self.left == 4 && self.of_streams.contains_key(&stream);
        let is_last = match kind {
            DATA => has(END_STREAM),
            HEADERS | CONTINUATION => self.ends && has(END_HEADERS),
            kind => kind == RST_STREAM,
        };
        if is_last {
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
        Poll::Ready(self.count(buf.filled_mut().get_mut(before..).unwrap_or_default()))
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
            for piece in all.clone().chunks_mut(piece) {
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
                meter.count(&mut frame.clone()).unwrap();
            }
            let error = meter.count(&mut frame.clone()).unwrap_err().to_string();
            assert!(error.contains(&most.to_string()), "{kind}: {error}");
        }
        let mut meter = meter(0);
        for (flags, length) in [(0, 1), (END_STREAM, 0)] {
            for _ in 0..=IDLE {
                meter.count(&mut frame(DATA, flags, 1, length)).unwrap();
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
            meter.count(&mut heads(1, last)).unwrap();
            meter.count(&mut heads(3, frame(HEADERS, 4, 3, 1))).unwrap();
            assert_eq!(meter.of_streams.keys().collect::<Vec<_>>(), [&3]);
            // A third request accounts for no more of the second's.
            meter.count(&mut frame(HEADERS, 4, 3, 1)).unwrap_err();
        }
        // Nor do heads of streams that nobody asked for.
        let mut meter = meter(1);
        let mut streams = (1..).step_by(2);
        let refused = streams.find(|it| meter.count(&mut frame(HEADERS, 4, *it, 1)).is_err());
        assert_eq!(refused, Some(65));
        // What is kept of streams has its limit.
        let mut meter = FrameMeter::new((), Arc::new(AtomicUsize::new(2 * COUNTED)));
        for stream in 0..2 * COUNTED {
            meter.count(&mut frame(HEADERS, 4, u32::try_from(stream).unwrap(), 1)).unwrap();
        }
        assert_eq!(meter.of_streams.len(), COUNTED);
    }

    #[test]
    fn a_reset_without_error_before_the_end_of_a_response_is_a_cancellation() {
        let reset = |code: u8| {
            let mut reset = frame(RST_STREAM, 0, 1, 4);
            reset.splice(HEAD.., [0, 0, 0, code]);
            reset
        };
        let ended = [frame(HEADERS, END_HEADERS, 1, 1), frame(DATA, END_STREAM, 1, 0)].concat();
        let ended_at_once = frame(HEADERS, END_HEADERS | END_STREAM, 1, 1);
        let ended_later =
            [frame(HEADERS, END_STREAM, 1, 1), frame(CONTINUATION, END_HEADERS, 1, 1)].concat();
        let cut = [frame(HEADERS, END_HEADERS, 1, 1), frame(DATA, 0, 1, 9)].concat();
        for (before, code, becomes) in [
            (Vec::new(), 0, 0),
            (ended, 0, 0),
            (ended_at_once, 0, 0),
            (ended_later, 0, 0),
            (cut.clone(), 0, CANCEL),
            (cut, 2, 2),
        ] {
            for piece in [1, 3, 1_000] {
                let mut all = [before.as_slice(), &reset(code), &reset(0)].concat();
                let mut meter = meter(1);
                for piece in all.chunks_mut(piece) {
                    meter.count(piece).unwrap();
                }
                assert_eq!(all, [before.as_slice(), &reset(becomes), &reset(0)].concat());
            }
        }
    }

    #[test]
    fn what_is_written_accounts_for_windows_that_are_granted() {
        let mut meter = meter(0);
        meter.wrote(&Poll::Ready(Ok(BYTES_AN_IDLE - 1)));
        meter.wrote(&Poll::Pending);
        let frame = frame(WINDOW_UPDATE, 0, 0, 4);
        for _ in 0..IDLE {
            meter.count(&mut frame.clone()).unwrap();
        }
        meter.wrote(&Poll::Ready(Ok(1)));
        meter.count(&mut frame.clone()).unwrap();
        meter.count(&mut frame.clone()).unwrap_err();
    }
}
