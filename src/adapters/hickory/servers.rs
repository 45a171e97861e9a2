//! Which server is asked when, and what is reported if none of them answers.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::exchange;
use super::failure::ServerFailure;
use super::query::Inquiry;
use super::reply::{self, AliasChain, Conclusion};
use crate::core::dns::{DnsAnswer, DnsFailure, NoRecord};

/// Why none of the servers gave an answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    /// The most telling failure.
    failure: ServerFailure,
    /// How each server failed. `None`: it was silent.
    each: Vec<(SocketAddr, Option<ServerFailure>)>,
}

impl From<NoAnswer> for DnsAnswer {
    fn from(NoAnswer { failure, each }: NoAnswer) -> Self {
        let said = each.iter().map(|(server, failure)| match failure {
            Some(failure) => format!("{server}: {failure}"),
            None => format!("{server}: silent"),
        });
        match failure {
            ServerFailure::NotImplemented { ttl } => {
                Self::None { kind: NoRecord::NotImplemented, ttl }
            }
            ServerFailure::Failed(failure, _) => {
                Self::Failed { failure, detail: said.collect::<Vec<_>>().join("; ") }
            }
        }
    }
}

/// Asks the servers until one of them answers. The next server is asked as soon as one has failed,
/// or `turn` after the one before it was asked. Those already asked continue to listen and to send.
pub(super) async fn ask(
    servers: &[SocketAddr],
    inquiry: &Inquiry,
    chain: AliasChain,
    turn: Duration,
    deadline: Instant,
) -> Result<Conclusion, NoAnswer> {
    let mut waiting = servers.iter();
    let mut asked = FuturesUnordered::new();
    let mut failure = None;
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
                        failure = Some(new.or(failure));
                        if let Some((_, its)) = each.get_mut(at) {
                            *its = Some(new);
                        }
                    }
                }
            }
            // All have failed.
            Ok(None) => {
                let failure = failure.unwrap_or(ServerFailure::failed(DnsFailure::Timeout));
                return Err(NoAnswer { failure, each });
            }
            Err(_) if until == deadline => {
                let failure = ServerFailure::failed(DnsFailure::Timeout).or(failure);
                return Err(NoAnswer { failure, each });
            }
            Err(_) => {}
        }
    }
}
