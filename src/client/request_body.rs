//! The body of a request.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Waker, ready};
use std::vec;

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use thiserror::Error;

use super::http_connection::ConnectionState;

/// The error of a body that is sent.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a request, of whatever type it was.
pub(super) struct RequestBody {
    /// What is in memory and comes first.
    held: vec::IntoIter<Bytes>,
    /// What comes after it; `None` if that was all, so that it can be sent again.
    rest: Option<Rest>,
    /// The connection that it is handed to, which counts it until it is dropped.
    pub(super) sent_over: Weak<ConnectionState>,
}

struct Rest {
    /// What was found while the body was looked at.
    next: Option<Result<Frame<Bytes>, BoxError>>,
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// What the body said of its size before it was looked at; until it is sent.
    size: Option<SizeHint>,
    /// How much is still to come, if the body or the caller has said how long it is.
    left: Option<u64>,
}

impl RequestBody {
    /// Takes a body. One that says that it is at most this long and has all of it at hand is held in
    /// memory, and can be sent again.
    pub(super) fn new<B>(body: B, most: usize) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut held, mut next) = (Vec::new(), None);
        let size = body.size_hint();
        let mut body = body.map_err(Into::into).boxed_unsync();
        let mut is_whole = body.is_end_stream();
        if let Some(length) = size.exact()
            && u64::try_from(most).is_ok_and(|most| length <= most)
        {
            let mut left = length;
            // Whoever sends it polls it again.
            let mut context = Context::from_waker(Waker::noop());
            // Ends: each turn takes some of what the body says that it has.
            while !is_whole {
                match Pin::new(&mut body).poll_frame(&mut context) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) if !data.is_empty() && data.len() as u64 <= left => {
                            left -= data.len() as u64;
                            held.push(data);
                            is_whole = left == 0 && body.is_end_stream();
                        }
                        Ok(data) => {
                            next = Some(Ok(Frame::data(data)));
                            break;
                        }
                        Err(frame) => {
                            next = Some(Ok(frame));
                            break;
                        }
                    },
                    Poll::Ready(None) => {
                        is_whole = left == 0;
                        break;
                    }
                    Poll::Ready(Some(Err(error))) => {
                        next = Some(Err(error));
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        let left = size.exact();
        let rest = (!is_whole).then_some(Rest { next, body, size: Some(size), left });
        Self { held: held.into_iter(), rest, sent_over: Weak::new() }
    }

    /// Has a body that does not know its length fail where it is not this one.
    pub(super) fn is_to_have(&mut self, length: u64) {
        if let Some(rest) = &mut self.rest {
            (rest.size, rest.left) = (Some(SizeHint::with_exact(length)), Some(length));
        }
    }

    /// Returns a copy to be sent again; `None` if it is not all in memory.
    pub(super) fn copied(&self) -> Option<Self> {
        let held = self.held.clone();
        self.rest.is_none().then_some(Self { held, rest: None, sent_over: Weak::new() })
    }
}

/// A body is not as long as was said.
#[derive(Debug, Error)]
enum WrongLength {
    #[error("the body is longer than its length, which was said before")]
    Longer,
    #[error("the body has ended, and {0} bytes of its length, which was said before, are missing")]
    Shorter(u64),
}

impl Rest {
    /// Counts what is to be sent, and fails in its place if that is not what was said.
    fn counted(
        &mut self,
        next: Option<Result<Frame<Bytes>, BoxError>>,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        let Some(left) = &mut self.left else { return next };
        match next {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match left.checked_sub(length) {
                    Some(less) => *left = less,
                    None => return Some(Err(WrongLength::Longer.into())),
                }
                Some(Ok(frame))
            }
            None if *left > 0 => Some(Err(WrongLength::Shorter(*left).into())),
            next => next,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { held, rest, .. } = &mut *self;
        if let Some(rest) = rest {
            rest.size = None;
        }
        let held = held.next().map(|data| Ok(Frame::data(data)));
        let Some(rest) = rest else { return Poll::Ready(held) };
        let next = match held.or_else(|| rest.next.take()) {
            Some(next) => Some(next),
            None => ready!(Pin::new(&mut rest.body).poll_frame(context)),
        };
        Poll::Ready(rest.counted(next))
    }

    fn is_end_stream(&self) -> bool {
        let is_over = |rest: &Rest| {
            rest.next.is_none()
                && rest.left.is_none_or(|left| left == 0)
                && rest.body.is_end_stream()
        };
        self.held.len() == 0 && self.rest.as_ref().is_none_or(is_over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Some(Rest { size: Some(size), .. }) => *size,
            Some(Rest { left: Some(left), .. }) => SizeHint::with_exact(*left),
            Some(rest) => rest.body.size_hint(),
            None => {
                let held = self.held.as_slice().iter().map(|data| data.len() as u64);
                SizeHint::with_exact(held.sum())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::FutureExt;
    use futures_util::stream::iter;
    use http_body_util::{Empty, Full, StreamBody};

    use super::*;

    fn copies(body: &RequestBody) -> bool {
        body.copied().is_some()
    }

    fn collected(body: RequestBody) -> Option<Bytes> {
        body.collect().now_or_never().and_then(Result::ok).map(http_body_util::Collected::to_bytes)
    }

    #[test]
    fn what_is_in_memory_is_copied() {
        for (bytes, most, is_copied) in
            [("", 0, true), ("abc", 3, true), ("abc", 2, false), ("abc", 0, false)]
        {
            let body = RequestBody::new(Full::new(Bytes::from(bytes)), most);
            assert_eq!(
                (copies(&body), body.size_hint().exact()),
                (is_copied, Some(bytes.len() as u64))
            );
            for copy in body.copied().into_iter().chain([body]) {
                assert_eq!(collected(copy).unwrap(), bytes);
            }
        }
        assert!(copies(&RequestBody::new(Empty::new(), 0)));
    }

    #[test]
    fn what_is_not_goes_out_as_it_is_and_what_lies_fails() {
        let frames = || iter(["ab", "c"].map(|it| Ok::<_, io::Error>(Frame::data(it.into()))));
        let unknown = RequestBody::new(StreamBody::new(frames()), 100);
        assert_eq!((copies(&unknown), unknown.size_hint().exact()), (false, None));
        assert_eq!(collected(unknown).unwrap(), "abc");
        for says in [0, 1, 2, 4, 100] {
            let body = RequestBody::new(Says(StreamBody::new(frames()), says), 100);
            assert_eq!((copies(&body), body.size_hint().exact()), (false, Some(says)));
            assert!(collected(body).is_none(), "{says}");
            // What was not said by the body may be said by the caller.
            let mut body = RequestBody::new(StreamBody::new(frames()), 100);
            body.is_to_have(says);
            assert_eq!((copies(&body), body.size_hint().exact()), (false, Some(says)));
            assert!(!body.is_end_stream() && collected(body).is_none(), "{says}");
        }
        let mut body = RequestBody::new(StreamBody::new(frames()), 100);
        body.is_to_have(3);
        assert_eq!(collected(body).unwrap(), "abc");
        let body = RequestBody::new(Says(StreamBody::new(frames()), 3), 100);
        assert_eq!((copies(&body), body.size_hint().exact()), (true, Some(3)));
        let failing = iter([Ok(Frame::data("ab".into())), Err(io::Error::other("gone"))]);
        let body = RequestBody::new(Says(StreamBody::new(failing), 3), 100);
        assert!(!copies(&body) && collected(body).is_none());
    }

    /// Says that it is so long.
    struct Says<B>(B, u64);

    impl<B: Body + Unpin> Body for Says<B> {
        type Data = B::Data;
        type Error = B::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
            Pin::new(&mut self.0).poll_frame(context)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }
}
