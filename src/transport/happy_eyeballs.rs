//! Attempts at several addresses, the next one while those before it are silent (RFC 8305
//! section 5).

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

/// Attempts at addresses, begun as far as that is needed.
pub(crate) struct StaggeredAttempts<I, B, F> {
    waiting: I,
    begin: B,
    /// How long those under way are silent before the next is begun beside them.
    delay: Duration,
    under_way: FuturesUnordered<F>,
}

impl<I, B, F, T, E> StaggeredAttempts<I, B, F>
where
    I: ExactSizeIterator<Item = SocketAddr>,
    B: FnMut(SocketAddr) -> F,
    F: Future<Output = (SocketAddr, Result<T, E>)>,
{
    pub(crate) fn new(waiting: I, delay: Duration, begin: B) -> Self {
        Self { waiting, begin, delay, under_way: FuturesUnordered::new() }
    }

    /// The next attempt that has succeeded or failed; `None` when there is no more. The next address
    /// is begun at once where one has failed.
    pub(crate) async fn next(&mut self) -> Option<(SocketAddr, Result<T, E>)> {
        if self.under_way.is_empty() {
            self.begin_another();
        }
        // Ends: each turn begins another attempt, or there is none left to begin.
        loop {
            if self.waiting.len() == 0 {
                return self.under_way.next().await;
            }
            let next = Instant::now().checked_add(self.delay);
            let ended = match next {
                Some(next) => timeout_at(next, self.under_way.next()).await,
                None => Ok(self.under_way.next().await),
            };
            match ended {
                Ok(Some((address, outcome))) => {
                    if outcome.is_err() {
                        self.begin_another();
                    }
                    return Some((address, outcome));
                }
                Ok(None) | Err(_) => self.begin_another(),
            }
        }
    }

    fn begin_another(&mut self) {
        self.under_way.extend(self.waiting.next().map(&mut self.begin));
    }
}
