//! What is offered with TLS.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use rustls::crypto::CryptoProvider;
use rustls::{AlertDescription, ClientConfig, SupportedCipherSuite};

use super::error_chain::cause;

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

/// Returns what this provider offers, if the server ended the handshake because it accepts nothing of
/// that; else nothing.
pub(crate) fn offer(error: &(dyn Error + 'static), provider: &CryptoProvider) -> String {
    let Some(rustls::Error::AlertReceived(
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
    )) = cause(error)
    else {
        return String::new();
    };
    let suites = &provider.cipher_suites;
    let versions: BTreeSet<_> =
        suites.iter().map(|suite| format!("{:?}", suite.version().version)).collect();
    format!(
        "; the crypto provider has the versions {}; the ciphers {}; the groups {}; the signature schemes \
         {} (the certificate's key must match one)",
        versions.into_iter().collect::<Vec<_>>().join(", "),
        listed(suites.iter().map(SupportedCipherSuite::suite)),
        listed(provider.kx_groups.iter().map(|group| group.name())),
        listed(provider.signature_verification_algorithms.supported_schemes()),
    )
}

/// Writes the values of a protocol's registry, by their names.
fn listed<T: fmt::Debug>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ")
}
