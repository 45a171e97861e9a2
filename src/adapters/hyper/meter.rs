//! Counting what a response brings before hyper sees it.
//!
//! hyper's own limits are of another kind: its buffer cannot be made smaller than 8 KiB, and what
//! it skips (interim responses, the zeros in front of a chunk's size) it does not count at all.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// How many bytes may still be read, shared between the stream inside hyper's connection and the
/// future that drives that connection.
///
/// Both are polled by one task, one after the other, so no ordering between the two fields matters
/// and nobody needs waking: whoever grants more polls the connection next.
#[derive(Debug)]
pub(super) struct Meter {
    left: AtomicUsize,
    overdrawn: AtomicBool,
}

impl Meter {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes), overdrawn: AtomicBool::new(false) })
    }

    /// Grants this many bytes from now on, whatever was left before.
    pub(super) fn grant(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
        self.overdrawn.store(false, Ordering::Relaxed);
    }

    /// Returns whether more was asked for than was granted.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.overdrawn.load(Ordering::Relaxed)
    }
}

/// The read half of a stream, which gives no more bytes than its meter allows. Past that a read stays
/// pending rather than fail, so that a head which ends with the last byte granted is still a head.
#[derive(Debug)]
pub(super) struct Metered<S> {
    pub(super) stream: S,
    pub(super) meter: Arc<Meter>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.meter.left.load(Ordering::Relaxed);
        let wanted = left.min(buf.remaining());
        if wanted == 0 {
            self.meter.overdrawn.store(true, Ordering::Relaxed);
            return Poll::Pending;
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(wanted));
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let read = part.filled().len();
        buf.advance(read);
        self.meter.left.store(left - read, Ordering::Relaxed);
        polled
    }
}
