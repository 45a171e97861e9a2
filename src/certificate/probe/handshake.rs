//! A handshake and nothing after it.
//!
//! rustls is driven by hand, since tokio-rustls drops the connection of a handshake that failed, and
//! with it the version and the protocol that the server had chosen by then. Nothing is ever handed to
//! rustls to be sent: there is no application data here that could flow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, ProtocolVersion, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::transport::DialStream;
use crate::transport::deadline::Deadline;

/// What a TLS record begins with: what kind of content it has (RFC 8446 section 5.1).
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=24;

/// Has no certificate to show, and notes whether the server asked for one.
#[derive(Debug, Default)]
pub(super) struct NoCertificate {
    asked: AtomicBool,
}

impl NoCertificate {
    pub(super) fn was_asked_for(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
    #[error("the server hung up in the middle of the handshake")]
    HungUp,
    #[error("the server does not speak TLS there{}", if *.is_http { ", but plain HTTP" } else { "" })]
    NoTls { is_http: bool },
    #[error("the server sent more than {limit} bytes, and the handshake was not over")]
    TooMuch { limit: usize },
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

/// Performs the handshake, reading at most this many bytes, and sends `close_notify`. Returns what was read
/// after it.
pub(super) async fn handshake(
    connection: &mut ClientConnection,
    stream: &mut dyn DialStream,
    limit: usize,
) -> Result<Leftover, HandshakeError> {
    let mut buffer = vec![0; 8 * 1024];
    let (mut read_so_far, mut leftover) = (0, Vec::new());
    // Ends: the handshake is over, or another turn reads, which it does only so often.
    loop {
        flush(connection, stream).await?;
        if !connection.is_handshaking() {
            break;
        }
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(HandshakeError::HungUp);
        }
        let mut received = buffer.get(..length).unwrap_or_default();
        if read_so_far == 0 && !received.first().is_some_and(|it| CONTENT_TYPES.contains(it)) {
            return Err(HandshakeError::NoTls { is_http: received.starts_with(b"HTTP/") });
        }
        read_so_far += length;
        if read_so_far > limit {
            return Err(HandshakeError::TooMuch { limit });
        }
        while !received.is_empty() && connection.is_handshaking() {
            if connection.read_tls(&mut received)? == 0 {
                return Err(HandshakeError::HungUp);
            }
            if let Err(error) = connection.process_new_packets() {
                // The alert that says why. That the server does not take it changes nothing.
                let _ = flush(connection, stream).await;
                return Err(error.into());
            }
        }
        leftover = received.to_vec();
    }
    // The handshake stands; that the server does not wait for the good-bye changes nothing.
    connection.send_close_notify();
    let _ = flush(connection, stream).await;
    Ok(Leftover { bytes: leftover, left: limit.saturating_sub(read_so_far) })
}

/// What was read after a handshake.
pub(super) struct Leftover {
    bytes: Vec<u8>,
    /// How much more may be read.
    left: usize,
}

/// Closes the connection, and returns the alert by which the server has refused the handshake before. Under
/// TLS 1.3 it judges the client's part of it after the client considered it complete (RFC 8446 section
/// 4.4.2.4). It waits only for a server that asked for a certificate; one that says nothing by the deadline
/// has refused nothing.
pub(super) async fn late_alert(
    connection: &mut ClientConnection,
    stream: &mut dyn DialStream,
    leftover: Leftover,
    no_certificate: &NoCertificate,
    deadline: Deadline,
) -> Result<(), HandshakeError> {
    let may_come = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        && no_certificate.was_asked_for();
    if may_come {
        let read = read_alert(connection, stream, leftover);
        deadline.bound(read).await.unwrap_or(Ok(()))?;
    }
    let _ = deadline.bound(stream.shutdown()).await;
    Ok(())
}

/// Reads to the end, or until the limit on bytes. What it reads is not handed out.
async fn read_alert(
    connection: &mut ClientConnection,
    stream: &mut dyn DialStream,
    Leftover { bytes, mut left }: Leftover,
) -> Result<(), rustls::Error> {
    let mut buffer = bytes;
    let mut length = buffer.len();
    buffer.resize(buffer.len().max(8 * 1024), 0);
    // Ends: each turn takes some of what is left.
    loop {
        let mut received = buffer.get(..length).unwrap_or_default();
        while !received.is_empty() {
            match connection.read_tls(&mut received) {
                Ok(1..) => {}
                // It has said good-bye, or more than anyone asked for.
                Ok(0) | Err(_) => return Ok(()),
            }
            connection.process_new_packets()?;
        }
        let room = buffer.len().min(left);
        match stream.read(buffer.get_mut(..room).unwrap_or_default()).await {
            Ok(read @ 1..) => (length, left) = (read, left - read),
            Ok(0) | Err(_) => return Ok(()),
        }
    }
}

async fn flush(connection: &mut ClientConnection, stream: &mut dyn DialStream) -> io::Result<()> {
    let mut waiting = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut waiting)?;
    }
    stream.write_all(&waiting).await?;
    stream.flush().await
}
