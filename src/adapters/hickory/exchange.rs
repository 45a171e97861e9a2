//! One question to one server: over UDP, sent again while the server is silent, and over TCP if the
//! reply was truncated.
//!
//! While a server is silent, nothing here ends by itself. The caller drops the future.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::failure::{MALFORMED, ServerFailure};
use super::query::{Inquiry, Packet, Request};

/// The least size of the buffer for a UDP reply. Some servers send more than was asked for.
const LEAST_BUFFER: u16 = 4096;
/// The most messages on a TCP connection that may be about something else.
const MAX_STRAY_MESSAGES: usize = 8;

/// Asks a server over UDP, then over TCP if the reply was truncated, and returns its reply, whatever
/// the response code.
pub(super) async fn ask(server: SocketAddr, inquiry: &Inquiry) -> Result<Message, ServerFailure> {
    let mut edns = true;
    loop {
        let request = Request::new(inquiry, edns)?;
        let reply = match over_udp(server, inquiry, &request).await? {
            Some(reply) => reply,
            None => over_tcp(server, &request).await?,
        };
        // A server from before EDNS does not understand it and says so without it (RFC 6891 section
        // 7).
        let is_too_old = reply.response_code == ResponseCode::FormErr && reply.edns.is_none();
        if !edns || !is_too_old {
            return Ok(reply);
        }
        edns = false;
    }
}

/// Asks over UDP and returns the reply, or `None` if it was truncated.
///
/// The socket is connected, so that the kernel drops packets from other addresses and reports a
/// closed port.
async fn over_udp(
    server: SocketAddr,
    inquiry: &Inquiry,
    request: &Request,
) -> Result<Option<Message>, ServerFailure> {
    let local = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(&request.bytes).await?;
    let mut buffer = vec![0; inquiry.config.edns_payload.max(LEAST_BUFFER).into()];
    let mut wait = inquiry.resend_after;
    loop {
        let mut nonsense = false;
        let listen = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                match request.judge(buffer.get(..length).unwrap_or_default()) {
                    Packet::Reply(reply) => return Ok::<_, ServerFailure>(Some(*reply)),
                    Packet::Truncated => return Ok(None),
                    // A forgery that guessed the id must not keep the true reply out.
                    Packet::Nonsense => nonsense = true,
                    Packet::Stray => {}
                }
            }
        };
        if let Ok(reply) = timeout(wait, listen).await {
            return reply;
        }
        if nonsense {
            return Err(MALFORMED);
        }
        wait = wait.saturating_mul(2);
        socket.send(&request.bytes).await?;
    }
}

/// Asks over TCP and returns the reply (RFC 7766).
async fn over_tcp(server: SocketAddr, request: &Request) -> Result<Message, ServerFailure> {
    let mut stream = TcpStream::connect(server).await?;
    // Length and message in one packet (RFC 7766 section 8).
    let length = u16::try_from(request.bytes.len()).map_err(|_| MALFORMED)?;
    let framed = [&length.to_be_bytes(), request.bytes.as_slice()].concat();
    stream.write_all(&framed).await?;
    for _ in 0..MAX_STRAY_MESSAGES {
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await?;
        match request.judge(&bytes) {
            Packet::Reply(reply) => return Ok(*reply),
            Packet::Truncated | Packet::Nonsense => return Err(MALFORMED),
            Packet::Stray => {}
        }
    }
    Err(MALFORMED)
}
