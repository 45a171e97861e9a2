//! A handshake and nothing after it.
//!
//! rustls is driven by hand, since tokio-rustls drops the connection of a handshake that failed, and
//! with it the version and the protocol that the server had chosen by then. Nothing is ever handed to
//! rustls to be sent: there is no application data here that could flow.

use std::io;

use rustls::ClientConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::transport::DialStream;

/// What a TLS record begins with: what kind of content it has (RFC 8446 section 5.1).
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=24;

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

/// Performs the handshake, reading at most this many bytes, then closes the connection properly.
pub(super) async fn handshake(
    connection: &mut ClientConnection,
    stream: &mut dyn DialStream,
    limit: usize,
) -> Result<(), HandshakeError> {
    let mut buffer = vec![0; 8 * 1024];
    let mut read_so_far = 0;
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
        // What comes after the handshake, such as session tickets, is of no interest.
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
    }
    // The handshake stands; that the server does not wait for the good-bye changes nothing.
    connection.send_close_notify();
    if flush(connection, stream).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    Ok(())
}

async fn flush(connection: &mut ClientConnection, stream: &mut dyn DialStream) -> io::Result<()> {
    let mut waiting = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut waiting)?;
    }
    stream.write_all(&waiting).await?;
    stream.flush().await
}
