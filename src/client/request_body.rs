//! The body of a request.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::http_connection::ConnectionState;

/// The error of a body that is sent.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a request, of whatever type it was.
pub(super) struct RequestBody {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// The connection that it is handed to, which counts it until it is dropped.
    pub(super) sent_over: Weak<ConnectionState>,
}

impl RequestBody {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { body: body.map_err(Into::into).boxed_unsync(), sent_over: Weak::new() }
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
