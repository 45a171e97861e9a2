//! Futures that are dropped at each of their awaits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// More awaits than any future here has.
pub(crate) const MOST: usize = 1000;

/// Polls a future at most this often, each time when something has woken it, and drops it. Returns what it
/// came to; `None` if that was not enough.
pub(crate) async fn polled<F: Future>(future: F, most: usize) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), most);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops a future at its first await, its second and so on: calls `drop_after` with how often to poll it, until
/// that says that the future came to its end. Returns how often that was; 0 if it never did.
pub(crate) async fn until_over(mut drop_after: impl AsyncFnMut(usize) -> bool) -> usize {
    for polls in 0..MOST {
        if drop_after(polls).await {
            return polls;
        }
    }
    0
}
