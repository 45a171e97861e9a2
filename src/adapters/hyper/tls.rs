//! Whom to trust, and the handshake.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName as TlsName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::attempt::Failed;
use super::dial::DialStream;
use crate::core::fetch::FetchFailureKind;

/// The only protocol spoken here, by its registered name (RFC 7301 section 6).
const ALPN: &[u8] = b"http/1.1";

/// The same configuration, offering HTTP/1.1 and nothing else.
pub(super) fn for_http_1_1(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
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
