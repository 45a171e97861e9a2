//! Which server is asked when, and what is reported if none of them answers.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::config::ServerOrder;
use super::exchange;
use super::failure::ServerFailure;
use super::query::Inquiry;
use super::reply::{self, AliasChain, Conclusion};
use super::standing::Standings;
use crate::core::dns::{DnsAnswer, DnsFailure, NoRecord};

/// By how much the wait is shorter for a server that was silent before. By default it then has 250 ms,
/// in which a server anywhere replies.
const SUSPICION: u32 = 4;

/// A server that was asked, and how it failed; `None`: it is silent.
struct Asked {
    server: SocketAddr,
    at: Instant,
    failure: Option<ServerFailure>,
}

/// Asks the servers until one of them answers. The next server is asked as soon as one has failed, or
/// when the one before it has been silent for `first_retry`, or for a quarter of that if it was
/// silent before. Those already asked continue to listen and to send.
pub(super) async fn ask(
    servers: &[SocketAddr],
    standings: &Standings,
    inquiry: &Inquiry,
    chain: AliasChain,
    deadline: Instant,
) -> Conclusion {
    let mut waiting =
        standings.order(servers, inquiry.config.server_order, Instant::now()).into_iter();
    let mut in_flight = FuturesUnordered::new();
    let mut asked: Vec<Asked> = Vec::new();
    loop {
        let now = Instant::now();
        let mut wait = inquiry.config.first_retry;
        if let Some(server) = waiting.next() {
            match inquiry.config.server_order {
                ServerOrder::AllAtOnce => wait = Duration::ZERO,
                _ if standings.is_suspect(server, now) => wait /= SUSPICION,
                _ => {}
            }
            let edns = inquiry.config.edns && standings.takes_edns(server, now);
            let index = asked.len();
            asked.push(Asked { server, at: now, failure: None });
            in_flight.push(async move { (index, exchange::ask(server, inquiry, edns).await) });
        }
        let turn = now.checked_add(wait);
        let until = turn.filter(|turn| waiting.len() > 0 && *turn < deadline).unwrap_or(deadline);
        match timeout_at(until, in_flight.next()).await {
            Ok(Some((index, outcome))) => {
                let now = Instant::now();
                let Some(this) = asked.get_mut(index) else { continue };
                let outcome = outcome.and_then(|response| {
                    standings.replied(this.server, response.shuns_edns, now);
                    reply::read(&response.reply, inquiry, chain)
                });
                match outcome {
                    Ok(conclusion) => {
                        let silent = |it: &&Asked| it.failure.is_none_or(ServerFailure::is_silence);
                        let others = asked.iter().enumerate().filter(|(at, _)| *at != index);
                        // Only servers that had at least as long as this one count as silent: the answer
                        // itself may be slow.
                        let took = asked.get(index).map(|it| now.saturating_duration_since(it.at));
                        let least =
                            took.unwrap_or_default().max(inquiry.config.first_retry / SUSPICION);
                        for other in others.map(|(_, other)| other).filter(silent) {
                            let is_refused = other.failure.is_some_and(ServerFailure::is_refusal);
                            let least = if is_refused { Duration::ZERO } else { least };
                            standings.was_silent(other.server, other.at, now, least);
                        }
                        return conclusion;
                    }
                    Err(failure) => this.failure = Some(failure),
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
    let failures = asked.iter().map(|it| it.failure.unwrap_or(silent));
    match failures.max_by_key(|failure| failure.weight()).unwrap_or(silent) {
        ServerFailure::NotImplemented { ttl } => {
            DnsAnswer::None { kind: NoRecord::NotImplemented, ttl }
        }
        failure => {
            let failure = match failure {
                ServerFailure::Failed(failure, _) => failure,
                _ => DnsFailure::Malformed,
            };
            let said = asked.iter().map(|it| match it.failure {
                Some(_) if lacks_zone(it.server) => format!(
                    "{}: a link-local address needs the zone of an interface that is there, such as \
                     %eth0",
                    it.server
                ),
                Some(failure) => format!("{}: {failure}", it.server),
                None => format!("{}: silent", it.server),
            });
            DnsAnswer::Failed { failure, detail: said.collect::<Vec<_>>().join("; ") }
        }
    }
}

/// Returns whether nothing can be sent to a server, since the interface of a link-local address is not
/// known.
fn lacks_zone(server: SocketAddr) -> bool {
    matches!(server, SocketAddr::V6(it) if it.ip().is_unicast_link_local() && it.scope_id() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hickory::failure::OddReply;

    #[test]
    fn a_failure_says_of_each_server_what_is_wrong() {
        let asked = |server: &str, failure| Asked {
            server: server.parse().unwrap(),
            at: Instant::now(),
            failure,
        };
        let odd = |it| Some(ServerFailure::Odd(it));
        let answer = no_answer(&[
            asked("192.0.2.1:53", odd(OddReply::Code(9))),
            asked("192.0.2.2:53", odd(OddReply::Aliases { most: 16 })),
            asked("192.0.2.3:53", odd(OddReply::Lame)),
            asked("192.0.2.4:53", None),
            asked("[fe80::53]:53", Some(ServerFailure::failed(DnsFailure::Network))),
            asked("[fe80::53%1]:53", Some(ServerFailure::failed(DnsFailure::Refused))),
        ]);
        let DnsAnswer::Failed { failure: DnsFailure::Refused, detail } = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            detail,
            "192.0.2.1:53: response code 9; \
             192.0.2.2:53: more than 16 aliases, or a circle of them; \
             192.0.2.3:53: neither an authority for the name nor a resolver; \
             192.0.2.4:53: silent; \
             [fe80::53]:53: a link-local address needs the zone of an interface that is there, such as \
             %eth0; \
             [fe80::53%1]:53: the DNS server refused (REFUSED)"
        );
    }
}
