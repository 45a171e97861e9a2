//! Which server is asked when, and what is said where none of them answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::exchange::{self, Inquiry};
use super::reply::{self, Chain, Reading};
use crate::core::dns::{DnsAnswer, DnsFailure, NoRecord};

/// Why a server gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not implement the question; another one might.
    NotImplemented { ttl: Option<Duration> },
    /// It failed.
    Failed(DnsFailure),
}

/// The reply made no sense.
pub(super) const MALFORMED: Trouble = Trouble::Failed(DnsFailure::Malformed);

impl Trouble {
    /// Whichever of the two says more: an answer that came beats one that made no sense, which
    /// beats silence, which beats a server that is not there.
    fn or(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.weight() > self.weight() => other,
            _ => self,
        }
    }

    const fn weight(self) -> u8 {
        match self {
            Self::NotImplemented { .. } => 5,
            Self::Failed(DnsFailure::ServFail) => 4,
            Self::Failed(DnsFailure::Refused) => 3,
            Self::Failed(DnsFailure::Malformed) => 2,
            Self::Failed(DnsFailure::Timeout) => 1,
            Self::Failed(DnsFailure::Network) => 0,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(match error.kind() {
            io::ErrorKind::TimedOut => DnsFailure::Timeout,
            _ => DnsFailure::Network,
        })
    }
}

impl From<Trouble> for DnsAnswer {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotImplemented { ttl } => Self::None { kind: NoRecord::NotImplemented, ttl },
            Trouble::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Asks the servers until one of them answers: each as soon as one before it has failed, or `turn`
/// after the one before it was asked. Those already asked go on listening and asking.
pub(super) async fn ask(
    servers: &[SocketAddr],
    inquiry: &Inquiry,
    chain: Chain,
    turn: Duration,
    deadline: Instant,
) -> Result<Reading, Trouble> {
    let mut waiting = servers.iter();
    let mut asked = FuturesUnordered::new();
    let mut trouble = None;
    loop {
        if let Some(server) = waiting.next() {
            asked.push(exchange::ask(*server, inquiry));
        }
        let until = if waiting.len() == 0 {
            deadline
        } else {
            Instant::now().checked_add(turn).map_or(deadline, |next| next.min(deadline))
        };
        match timeout_at(until, asked.next()).await {
            Ok(Some(outcome)) => {
                match outcome.and_then(|message| reply::read(&message, inquiry, chain)) {
                    Ok(reading) => return Ok(reading),
                    Err(new) => trouble = Some(new.or(trouble)),
                }
            }
            // All have failed.
            Ok(None) => return Err(trouble.unwrap_or(Trouble::Failed(DnsFailure::Timeout))),
            Err(_) if until == deadline => {
                return Err(Trouble::Failed(DnsFailure::Timeout).or(trouble));
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_telling_trouble_is_kept() {
        let order = [
            Trouble::Failed(DnsFailure::Network),
            Trouble::Failed(DnsFailure::Timeout),
            Trouble::Failed(DnsFailure::Malformed),
            Trouble::Failed(DnsFailure::Refused),
            Trouble::Failed(DnsFailure::ServFail),
            Trouble::NotImplemented { ttl: None },
        ];
        for (at, less) in order.iter().enumerate() {
            assert_eq!(less.or(None), *less);
            for more in &order[at..] {
                assert_eq!(less.or(Some(*more)), *more);
                assert_eq!(more.or(Some(*less)), *more);
            }
        }
    }
}
