//! One question to one server: over UDP, sent again while the server is silent, and over TCP where
//! UDP brings nothing or too much; with EDNS, and without where that fails.
//!
//! While a server is silent, nothing here ends by itself. The caller drops the future.

use std::net::SocketAddr;
use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::select;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::config::DnsTransport;
use super::failure::{MALFORMED, ServerFailure};
use super::message::Reply;
use super::query::{Inquiry, Packet, Request};
use crate::local_trouble::any_of_family;

/// The least size of the buffer for a UDP reply. Some servers send more than was asked for.
const LEAST_BUFFER: u16 = 4096;
/// The most messages on a TCP connection that may be about something else.
const MAX_STRAY_MESSAGES: usize = 8;

/// What a server replied.
pub(super) struct Response {
    pub(super) reply: Reply,
    /// Whether a question without OPT was answered after one with OPT was not.
    pub(super) shuns_edns: bool,
}

/// Asks a server and returns its reply, whatever the response code.
pub(super) async fn ask(
    server: SocketAddr,
    inquiry: &Inquiry,
    edns: bool,
) -> Result<Response, ServerFailure> {
    let (mut reply, mut had_opt) = exchange(server, inquiry, edns).await?;
    if had_opt && reply.rejects_edns() {
        (reply, had_opt) = exchange(server, inquiry, false).await?;
    }
    let shuns_edns = edns && !had_opt && !reply.has_opt && reply.is_answer();
    Ok(Response { reply, shuns_edns })
}

/// Asks over UDP, and over TCP as soon as UDP has failed or been silent for a while (RFC 7766 section
/// 5); then both are listened to. After the silence, no question has OPT. Returns the first reply,
/// and whether its question had OPT.
async fn exchange(
    server: SocketAddr,
    inquiry: &Inquiry,
    edns: bool,
) -> Result<(Reply, bool), ServerFailure> {
    let first = Request::new(inquiry, edns)?;
    let plain = if edns { Some(Request::new(inquiry, false)?) } else { None };
    let later = plain.as_ref().unwrap_or(&first);

    let failed = Notify::new();
    let mut primary = pin!(async {
        match inquiry.config.transport {
            DnsTransport::UdpFirst => over_udp(server, inquiry, &first, later).await,
            DnsTransport::TcpOnly => over_tcp(server, &first).await,
        }
    });
    let mut second = pin!(async {
        let _ = timeout(inquiry.resend_after, failed.notified()).await;
        over_tcp(server, later).await
    });
    let (mut primary_failure, mut second_failure) = (None, None);
    loop {
        let (failure, other) = select! {
            outcome = &mut primary, if primary_failure.is_none() => match outcome {
                Ok(found) => return Ok(found),
                Err(failure) => {
                    failed.notify_one();
                    primary_failure = Some(failure);
                    (failure, second_failure)
                }
            },
            outcome = &mut second, if second_failure.is_none() => match outcome {
                Ok(found) => return Ok(found),
                Err(failure) => {
                    second_failure = Some(failure);
                    (failure, primary_failure)
                }
            },
        };
        if let Some(other) = other {
            return Err(if failure.weight() > other.weight() { failure } else { other });
        }
    }
}

/// Asks over UDP, the first time with one request, then with another. Asks over TCP if the reply was
/// truncated.
///
/// The socket is connected, so that the kernel drops packets from other addresses and reports a
/// closed port.
async fn over_udp(
    server: SocketAddr,
    inquiry: &Inquiry,
    first: &Request,
    later: &Request,
) -> Result<(Reply, bool), ServerFailure> {
    let local = any_of_family(server);
    let socket = UdpSocket::bind(local).await.map_err(ServerFailure::of_opening)?;
    socket.connect(server).await.map_err(ServerFailure::of_opening)?;
    socket.send(&first.bytes).await?;
    let mut buffer = vec![0; inquiry.config.edns_payload.max(LEAST_BUFFER).into()];
    let mut wait = inquiry.resend_after;
    let mut sent = 1;
    loop {
        let mut nonsense = false;
        let listen = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                let bytes = buffer.get(..length).unwrap_or_default();
                // Two ids that fit are twice as easy to guess, so the second counts only once it was sent.
                let asked = [first, later].into_iter().take(if sent > 1 { 2 } else { 1 });
                for request in asked {
                    match request.judge_udp(bytes) {
                        Packet::Reply(reply) => {
                            return Ok::<_, ServerFailure>((Some(reply), request));
                        }
                        Packet::Truncated => return Ok((None, request)),
                        // A forgery that guessed the id must not keep the true reply out.
                        Packet::Nonsense => nonsense = true,
                        Packet::Stray => {}
                    }
                }
            }
        };
        match timeout(wait, listen).await {
            Ok(Ok((Some(reply), request))) => return Ok((*reply, request.has_opt)),
            Ok(Ok((None, request))) => return over_tcp(server, request).await,
            Ok(Err(failure)) => return Err(failure),
            Err(_) if nonsense => return Err(MALFORMED),
            Err(_) => wait = wait.saturating_mul(2),
        }
        if sent < inquiry.config.attempts {
            sent += 1;
            socket.send(&later.bytes).await?;
        }
    }
}

/// Asks over TCP (RFC 7766), and returns the reply and whether the question had OPT.
async fn over_tcp(server: SocketAddr, request: &Request) -> Result<(Reply, bool), ServerFailure> {
    let mut stream = TcpStream::connect(server).await?;
    // Length and message in one packet (RFC 7766 section 8).
    let length = u16::try_from(request.bytes.len()).map_err(|_| MALFORMED)?;
    let framed = [&length.to_be_bytes(), request.bytes.as_slice()].concat();
    stream.write_all(&framed).await?;
    for _ in 0..MAX_STRAY_MESSAGES {
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await?;
        match request.judge_tcp(&bytes) {
            Packet::Reply(reply) => return Ok((*reply, request.has_opt)),
            Packet::Truncated | Packet::Nonsense => return Err(MALFORMED),
            Packet::Stray => {}
        }
    }
    Err(MALFORMED)
}
