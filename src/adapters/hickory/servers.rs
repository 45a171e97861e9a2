//! Which server is asked when, and what is said where none of them answers.

use std::fmt;
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
    /// It failed; how, if the system said so.
    Failed(DnsFailure, Option<io::ErrorKind>),
}

/// The reply made no sense.
pub(super) const MALFORMED: Trouble = Trouble::failed(DnsFailure::Malformed);

impl Trouble {
    pub(super) const fn failed(failure: DnsFailure) -> Self {
        Self::Failed(failure, None)
    }

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
            Self::Failed(DnsFailure::ServFail, _) => 4,
            Self::Failed(DnsFailure::Refused, _) => 3,
            Self::Failed(DnsFailure::Malformed, _) => 2,
            Self::Failed(DnsFailure::Timeout, _) => 1,
            Self::Failed(DnsFailure::Network, _) => 0,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let failure = match error.kind() {
            io::ErrorKind::TimedOut => DnsFailure::Timeout,
            _ => DnsFailure::Network,
        };
        Self::Failed(failure, Some(error.kind()))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotImplemented { .. } => NoRecord::NotImplemented.fmt(f),
            Self::Failed(_, Some(kind)) => kind.fmt(f),
            Self::Failed(failure, None) => failure.fmt(f),
        }
    }
}

/// Why none of the servers gave an answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    /// The most telling of their failures.
    trouble: Trouble,
    /// What each of them did.
    each: Vec<(SocketAddr, Option<Trouble>)>,
}

impl From<NoAnswer> for DnsAnswer {
    fn from(NoAnswer { trouble, each }: NoAnswer) -> Self {
        let said = each.iter().map(|(server, trouble)| match trouble {
            Some(trouble) => format!("{server}: {trouble}"),
            None => format!("{server}: silent"),
        });
        match trouble {
            Trouble::NotImplemented { ttl } => Self::None { kind: NoRecord::NotImplemented, ttl },
            Trouble::Failed(failure, _) => {
                Self::Failed { failure, detail: said.collect::<Vec<_>>().join("; ") }
            }
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
) -> Result<Reading, NoAnswer> {
    let mut waiting = servers.iter();
    let mut asked = FuturesUnordered::new();
    let mut trouble = None;
    let mut each = Vec::new();
    loop {
        if let Some(server) = waiting.next() {
            let at = each.len();
            each.push((*server, None));
            asked.push(async move { (at, exchange::ask(*server, inquiry).await) });
        }
        let until = if waiting.len() == 0 {
            deadline
        } else {
            Instant::now().checked_add(turn).map_or(deadline, |next| next.min(deadline))
        };
        match timeout_at(until, asked.next()).await {
            Ok(Some((at, outcome))) => {
                match outcome.and_then(|message| reply::read(&message, inquiry, chain)) {
                    Ok(reading) => return Ok(reading),
                    Err(new) => {
                        trouble = Some(new.or(trouble));
                        if let Some((_, its)) = each.get_mut(at) {
                            *its = Some(new);
                        }
                    }
                }
            }
            // All have failed.
            Ok(None) => {
                let trouble = trouble.unwrap_or(Trouble::failed(DnsFailure::Timeout));
                return Err(NoAnswer { trouble, each });
            }
            Err(_) if until == deadline => {
                let trouble = Trouble::failed(DnsFailure::Timeout).or(trouble);
                return Err(NoAnswer { trouble, each });
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
            Trouble::failed(DnsFailure::Network),
            Trouble::failed(DnsFailure::Timeout),
            Trouble::failed(DnsFailure::Malformed),
            Trouble::failed(DnsFailure::Refused),
            Trouble::failed(DnsFailure::ServFail),
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
