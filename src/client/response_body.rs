//! The body of a response, which holds its connection and its permit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::http_connection::ResponseGuard;
use super::keys::Server;
use crate::runtime::permits::Permit;

/// The body of a response.
///
/// Its request counts as in flight until the body was read to its end or is dropped. There is no limit
/// on its size: read it through `http_body_util::Limited`.
#[derive(Debug)]
pub struct FederationBody {
    incoming: Incoming,
    /// Dropped as soon as there is no more to read.
    held: Option<(ResponseGuard, Permit<Arc<Server>>)>,
}

impl FederationBody {
    pub(super) fn new(
        incoming: Incoming,
        reading: ResponseGuard,
        permit: Permit<Arc<Server>>,
    ) -> Self {
        let held = (!incoming.is_end_stream()).then_some((reading, permit));
        Self { incoming, held }
    }
}

impl Body for FederationBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(context);
        let is_over = matches!(frame, Poll::Ready(None | Some(Err(_))));
        if is_over || self.incoming.is_end_stream() {
            self.held = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
