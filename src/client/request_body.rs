//! The body of a request, and how a connection counts the requests it still has to send.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// The error of a body that is sent.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a request, of whatever type it was.
pub(super) struct RequestBody {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// Dropped with it.
    unsent: Option<UnsentGuard>,
}

impl RequestBody {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { body: body.map_err(Into::into).boxed_unsync(), unsent: None }
    }

    /// Has it counted by the connection that it is handed to, until it is dropped.
    pub(super) fn count_with(&mut self, unsent: UnsentGuard) {
        self.unsent = Some(unsent);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts the requests that a connection has not sent completely: they wait to be sent, or their
/// bodies do.
#[derive(Clone, Default)]
pub(super) struct UnsentCount(Arc<AtomicUsize>);

/// One of the requests that are counted. Dropping it counts one less.
pub(super) struct UnsentGuard(Arc<AtomicUsize>);

impl UnsentCount {
    /// Counts one more until the guard is dropped.
    pub(super) fn add(&self) -> UnsentGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        UnsentGuard(Arc::clone(&self.0))
    }

    /// Returns how many there are.
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for UnsentGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
