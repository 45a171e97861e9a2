//! Which server is asked when, and what is reported if none of them answers.

use std::net::SocketAddr;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::exchange;
use super::failure::ServerFailure;
use super::query::Inquiry;
use super::reply::{self, AliasChain, Conclusion};
use crate::core::dns::{DnsAnswer, DnsFailure, NoRecord};

/// A server that was asked, and how it failed; `None`: it is silent.
type Asked = (SocketAddr, Option<ServerFailure>);

/// Asks the servers until one of them answers. The next server is asked as soon as one has failed, or
/// when the one before it has been silent for `first_retry`. Those already asked continue to listen and
/// to send.
pub(super) async fn ask(
    servers: &[SocketAddr],
    inquiry: &Inquiry,
    chain: AliasChain,
    deadline: Instant,
) -> Conclusion {
    let mut waiting = servers.iter();
    let mut in_flight = FuturesUnordered::new();
    let mut asked: Vec<Asked> = Vec::new();
    loop {
        if let Some(server) = waiting.next() {
            let at = asked.len();
            asked.push((*server, None));
            in_flight.push(async move { (at, exchange::ask(*server, inquiry).await) });
        }
        let turn = Instant::now().checked_add(inquiry.config.first_retry);
        let until = turn.filter(|turn| waiting.len() > 0 && *turn < deadline).unwrap_or(deadline);
        match timeout_at(until, in_flight.next()).await {
            Ok(Some((at, outcome))) => {
                match outcome.and_then(|message| reply::read(&message, inquiry, chain)) {
                    Ok(conclusion) => return conclusion,
                    Err(failure) => {
                        if let Some((_, failed)) = asked.get_mut(at) {
                            *failed = Some(failure);
                        }
                    }
                }
            }
            Err(_) if until < deadline => {}
            // All have failed, or the time has run out.
            Ok(None) | Err(_) => return Conclusion::Answer(no_answer(&asked)),
        }
    }
}

/// Returns the most telling failure; a silent server has timed out.
fn no_answer(asked: &[Asked]) -> DnsAnswer {
    let silent = ServerFailure::failed(DnsFailure::Timeout);
    let failures = asked.iter().map(|(_, failure)| failure.unwrap_or(silent));
    match failures.max_by_key(|failure| failure.weight()).unwrap_or(silent) {
        ServerFailure::NotImplemented { ttl } => {
            DnsAnswer::None { kind: NoRecord::NotImplemented, ttl }
        }
        ServerFailure::Failed(failure, _) => {
            let said = asked.iter().map(|(server, failure)| match failure {
                Some(failure) => format!("{server}: {failure}"),
                None => format!("{server}: silent"),
            });
            DnsAnswer::Failed { failure, detail: said.collect::<Vec<_>>().join("; ") }
        }
    }
}
