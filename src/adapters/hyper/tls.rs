//! Whom to trust, and the handshake.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName as TlsName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::attempt::Failed;
use super::dial::DialStream;
use crate::core::well_known::fetch::FetchFailureKind;

/// Protocols by their registered names (RFC 7301 section 6).
pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// What federation speaks: HTTP/2 and, if that is not known, HTTP/1.1.
pub(crate) const FEDERATION: [&[u8]; 2] = [HTTP_2, HTTP_1_1];

/// The same configuration, offering HTTP/1.1 and nothing else.
pub(super) fn for_http_1_1(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Arc::new(config)
}

/// The same, offering what federation speaks.
pub(super) fn for_http(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = FEDERATION.map(<[u8]>::to_vec).to_vec();
    Arc::new(config)
}

/// Shakes hands; rustls sends no SNI for an IP address and verifies the name either way.
pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    name: TlsName<'static>,
    stream: Box<dyn DialStream>,
) -> Result<TlsStream<Box<dyn DialStream>>, Failed> {
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| Failed::because(FetchFailureKind::Tls, &error))
}
