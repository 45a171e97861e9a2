//! Dialling several addresses, the next one while those before it are silent (RFC 8305 section 5).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::attempt::{Deadline, Failed};
use super::dial::{Dial, DialStream};
use crate::core::fetch::{Fetch, FetchFailureKind};
use crate::resolver::traits::BoxFuture;

type Dialled = Result<Box<dyn DialStream>, Failed>;

/// The addresses of a fetch, dialled as far as that is needed.
pub(super) struct Dials<'a> {
    dial: &'a dyn Dial,
    fetch: &'a Fetch,
    end: Deadline,
    waiting: std::slice::Iter<'a, SocketAddr>,
    under_way: FuturesUnordered<BoxFuture<'a, (SocketAddr, Dialled)>>,
}

impl<'a> Dials<'a> {
    pub(super) fn new(dial: &'a dyn Dial, fetch: &'a Fetch, end: Deadline) -> Self {
        let waiting = fetch.addresses.iter();
        Self { dial, fetch, end, waiting, under_way: FuturesUnordered::new() }
    }

    /// The next address that is connected or cannot be; `None` when there is no more.
    pub(super) async fn next(&mut self) -> Option<(SocketAddr, Dialled)> {
        if self.under_way.is_empty() {
            self.dial_another();
        }
        // Ends: each turn dials another address, or there is none left to dial.
        loop {
            if self.waiting.len() == 0 {
                return self.under_way.next().await;
            }
            let delay = self.fetch.limits.attempt_delay;
            let next = Instant::now().checked_add(delay);
            let dialled = match next {
                Some(next) => timeout_at(next, self.under_way.next()).await,
                None => Ok(self.under_way.next().await),
            };
            match dialled {
                Ok(Some((address, dialled))) => {
                    if dialled.is_err() {
                        self.dial_another();
                    }
                    return Some((address, dialled));
                }
                Ok(None) | Err(_) => self.dial_another(),
            }
        }
    }

    fn dial_another(&mut self) {
        if let Some(&address) = self.waiting.next() {
            let (dial, fetch, end) = (self.dial, self.fetch, self.end);
            self.under_way.push(Box::pin(async move {
                (address, within(dial.dial(address), fetch, end).await)
            }));
        }
    }
}

/// The stream, if it opens in time.
pub(super) async fn within(
    dialled: BoxFuture<'_, io::Result<Box<dyn DialStream>>>,
    fetch: &Fetch,
    end: Deadline,
) -> Dialled {
    let dialled = async { dialled.await.map_err(|error| not_connected(&error)) };
    let limit: Duration = fetch.limits.connect;
    end.of_phase(limit).bound(FetchFailureKind::ConnectTimeout, dialled).await
}

fn not_connected(error: &io::Error) -> Failed {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => FetchFailureKind::Refused,
        io::ErrorKind::TimedOut => FetchFailureKind::ConnectTimeout,
        io::ErrorKind::Unsupported => FetchFailureKind::Adapter,
        _ => FetchFailureKind::Connect,
    };
    Failed::because(kind, error)
}
