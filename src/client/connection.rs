//! A connection to a server as a stream of bytes.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::{AlertDescription, ProtocolVersion};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::connect_error::ConnectAttempt;
use crate::core::endpoint::{Endpoint, StoredEndpoint};
use crate::core::names::Host;
use crate::runtime::lanes::Turn;
use crate::transport::error_chain::{cause, chain};
use crate::transport::{DialStream, tls::HTTP_2};

/// A connection to a server, whose certificate is the target's: a stream of bytes.
pub struct Connection {
    pub(super) address: Option<SocketAddr>,
    pub(super) endpoint: StoredEndpoint,
    pub(super) stream: TlsStream<Box<dyn DialStream>>,
    pub(super) attempts: Vec<ConnectAttempt>,
    /// The alert that has ended it. HTTP/2 keeps only the words of an error.
    pub(super) alert: Arc<OnceLock<AlertDescription>>,
    /// Its socket is one of those that may be open at once, if there is a limit.
    pub(super) _turn: Option<Turn>,
}

impl Connection {
    /// Returns the address it leads to; `None` where a proxy looked the host up.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns the endpoint it leads to.
    pub const fn endpoint(&self) -> Endpoint<'_> {
        self.endpoint.view()
    }

    /// Returns whether HTTP/2 was agreed on; otherwise it is HTTP/1.1.
    pub fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
    }

    pub(super) fn is_tls_1_3(&self) -> bool {
        self.stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Returns the attempts that failed before it.
    pub fn failed_attempts(&self) -> &[ConnectAttempt] {
        &self.attempts
    }
}

/// The alert that ended a connection, with what to do about it in its text: HTTP/2 keeps nothing else of
/// an error.
#[derive(Debug, Error)]
#[error("{}", chain(.0))]
struct Alert(#[source] rustls::Error);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("endpoint", &self.endpoint())
            .field("http2", &self.is_http2())
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.is_http2() { "HTTP/2" } else { "HTTP/1.1" };
        write!(f, "{protocol} to {}", self.endpoint())?;
        match (self.address, self.endpoint().host()) {
            (Some(address), Host::Dns(_)) => write!(f, " at {address}"),
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Poll::Ready(Err(error)) = &polled else { return polled };
        let Some(rustls::Error::AlertReceived(alert)) = cause(error) else { return polled };
        // The first one says why.
        let _ = self.alert.set(*alert);
        Poll::Ready(Err(io::Error::new(error.kind(), Alert(rustls::Error::AlertReceived(*alert)))))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
