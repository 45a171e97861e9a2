//! TLS over a stream, and the protocols that are offered with it.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName as TlsName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dial::DialStream;

/// HTTP/2 by its registered name (RFC 7301 section 6).
#[cfg(any(feature = "client", feature = "certificate"))]
pub(crate) const HTTP_2: &[u8] = b"h2";
/// HTTP/1.1 by its registered name (RFC 7301 section 6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// A stream whose certificate was verified.
pub(crate) type VerifiedStream = TlsStream<Box<dyn DialStream>>;

/// Sets the ALPN protocols to HTTP/1.1 alone.
pub(crate) fn with_http_1_1(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config
}

/// Sets the ALPN protocols to what federation speaks: HTTP/2, else HTTP/1.1.
#[cfg(any(feature = "client", feature = "certificate"))]
pub(crate) fn with_federation_protocols(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
    config
}

/// Performs the handshake. rustls sends no SNI for an IP address and verifies the name either way.
pub(crate) async fn handshake(
    config: Arc<ClientConfig>,
    name: TlsName<'static>,
    stream: Box<dyn DialStream>,
) -> io::Result<VerifiedStream> {
    TlsConnector::from(config).connect(name, stream).await
}
