//! The protocols that are offered with TLS.

use rustls::ClientConfig;

/// HTTP/2 by its registered name (RFC 7301 section 6).
#[cfg(any(feature = "client", feature = "certificate"))]
pub(crate) const HTTP_2: &[u8] = b"h2";
/// HTTP/1.1 by its registered name (RFC 7301 section 6).
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// Sets the protocols to offer (ALPN), the preferred one first.
pub(crate) fn with_alpn(mut config: ClientConfig, protocols: &[&[u8]]) -> ClientConfig {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}
