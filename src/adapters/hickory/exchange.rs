//! One question to one server: sent over UDP, sent again while there is silence, and asked over
//! TCP where the reply did not fit.
//!
//! Nothing here ends by itself while a server is silent; the caller drops the future.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::servers::{MALFORMED, Trouble};

/// Room for a UDP reply, at least; some servers send more than they were asked to.
const LEAST_BUFFER: u16 = 4096;
/// How many messages on a TCP connection may be about something else.
const MAX_STRAY_MESSAGES: usize = 8;
/// The length of a header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;

/// What to ask, and how.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) name: Name,
    pub(super) record_type: RecordType,
    /// The largest UDP reply to ask for.
    pub(super) payload: u16,
    /// How long to wait before the question is sent again, for the first time.
    pub(super) resend_after: Duration,
}

/// Asks, and returns the reply whatever its response code.
pub(super) async fn ask(server: SocketAddr, inquiry: &Inquiry) -> Result<Message, Trouble> {
    let reply = ask_with(server, inquiry, true).await?;
    // A server from before EDNS does not understand it and says so without it (RFC 6891 section 7).
    if reply.response_code == ResponseCode::FormErr && reply.edns.is_none() {
        return ask_with(server, inquiry, false).await;
    }
    Ok(reply)
}

async fn ask_with(server: SocketAddr, inquiry: &Inquiry, edns: bool) -> Result<Message, Trouble> {
    let request = Request::new(inquiry, edns)?;
    match over_udp(server, inquiry, &request).await? {
        Some(reply) => Ok(reply),
        None => over_tcp(server, &request).await,
    }
}

/// The reply, or `None` where it was truncated.
///
/// The socket is connected, so that the kernel sorts out packets from elsewhere and reports a
/// closed port.
async fn over_udp(
    server: SocketAddr,
    inquiry: &Inquiry,
    request: &Request,
) -> Result<Option<Message>, Trouble> {
    let local = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(&request.bytes).await?;
    let mut buffer = vec![0; inquiry.payload.max(LEAST_BUFFER).into()];
    let mut wait = inquiry.resend_after;
    loop {
        let mut nonsense = false;
        let listen = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                match request.judge(buffer.get(..length).unwrap_or_default()) {
                    Verdict::Reply(reply) => return Ok::<_, Trouble>(Some(*reply)),
                    Verdict::Truncated => return Ok(None),
                    // A forgery that guessed the id must not keep the true reply out.
                    Verdict::Nonsense => nonsense = true,
                    Verdict::Stray => {}
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

async fn over_tcp(server: SocketAddr, request: &Request) -> Result<Message, Trouble> {
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
            Verdict::Reply(reply) => return Ok(*reply),
            Verdict::Truncated | Verdict::Nonsense => return Err(MALFORMED),
            Verdict::Stray => {}
        }
    }
    Err(MALFORMED)
}

/// A question as it is sent, with a random id.
struct Request {
    id: [u8; 2],
    question: Query,
    bytes: Vec<u8>,
}

/// What a packet is to a [`Request`].
enum Verdict {
    Reply(Box<Message>),
    /// The reply did not fit.
    Truncated,
    /// It claims to be the reply, but cannot be read.
    Nonsense,
    /// Not about this question.
    Stray,
}

impl Request {
    fn new(inquiry: &Inquiry, edns: bool) -> Result<Self, Trouble> {
        let question = Query::query(inquiry.name.clone(), inquiry.record_type);
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(question.clone());
        if edns {
            let mut edns = Edns::new();
            edns.set_max_payload(inquiry.payload);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().map_err(|_| MALFORMED)?;
        Ok(Self { id: message.id.to_be_bytes(), question, bytes })
    }

    fn judge(&self, bytes: &[u8]) -> Verdict {
        let Some(&[id_0, id_1, flags, _, questions_0, questions_1]) = bytes.first_chunk::<6>()
        else {
            return Verdict::Stray;
        };
        // QR says that it is a reply. With more than one question it is none to this request.
        if bytes.len() < HEADER
            || [id_0, id_1] != self.id
            || flags & 0x80 == 0
            || u16::from_be_bytes([questions_0, questions_1]) > 1
        {
            return Verdict::Stray;
        }
        // The cut may go through the middle of a record, and then only the header can be read.
        let truncated = flags & 0x02 != 0;
        let message = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(_) if truncated => return Verdict::Truncated,
            Err(_) => return Verdict::Nonsense,
        };
        if truncated {
            return match message.queries.as_slice() {
                [question] if *question != self.question => Verdict::Stray,
                _ => Verdict::Truncated,
            };
        }
        let ours = match message.queries.as_slice() {
            [question] => *question == self.question,
            // A server that could not read the question, or did not care to, need not repeat it.
            _ => !matches!(message.response_code, ResponseCode::NoError | ResponseCode::NXDomain),
        };
        if ours && message.message_type == MessageType::Response && message.op_code == OpCode::Query
        {
            Verdict::Reply(Box::new(message))
        } else {
            Verdict::Stray
        }
    }
}
