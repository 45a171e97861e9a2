//! Attempts at several addresses: while those in flight are silent, the next one begins (RFC 8305
//! section 5).

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;

/// Attempts at addresses, each begun only when it is needed.
pub(crate) struct StaggeredAttempts<I, B, F> {
    waiting: I,
    begin: B,
    /// How long the attempts in flight are silent before the next is begun beside them.
    delay: Duration,
    in_flight: FuturesUnordered<F>,
}

impl<I, B, F, T, E> StaggeredAttempts<I, B, F>
where
    I: ExactSizeIterator,
    B: FnMut(I::Item) -> F,
    F: Future<Output = (I::Item, Result<T, E>)>,
{
    pub(crate) fn new(waiting: I, delay: Duration, begin: B) -> Self {
        Self { waiting, begin, delay, in_flight: FuturesUnordered::new() }
    }

    /// Returns the next attempt that succeeds or fails; `None` when there are no more. After a failure
    /// the next address is begun at once.
    pub(crate) async fn next(&mut self) -> Option<(I::Item, Result<T, E>)> {
        // Ends: each turn begins another attempt.
        while self.waiting.len() > 0 {
            // With none in flight there is nothing to wait for.
            let ended = timeout(self.delay, self.in_flight.next()).await.ok().flatten();
            if ended.as_ref().is_none_or(|(_, outcome)| outcome.is_err()) {
                self.in_flight.extend(self.waiting.next().map(&mut self.begin));
            }
            if ended.is_some() {
                return ended;
            }
        }
        self.in_flight.next().await
    }
}
