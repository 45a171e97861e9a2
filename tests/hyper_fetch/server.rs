//! Servers that misbehave byte by byte: TLS on a loopback port, the bytes written by hand.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use matrix_delegation::{HyperFetch, TrustedRoots};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::loopback::LoopbackDial;

/// The name that certificates carry, beside `127.0.0.1` and `::1`.
pub(crate) const NAME: &str = "m.example";

/// Authorities made so far.
static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);

/// A certificate authority of its own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // Two of the same name would be taken for one another, until their signatures differ.
        let name = format!("authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Trusts this authority alone.
    pub(crate) fn client(&self) -> HyperFetch {
        let roots = TrustedRoots::only_added().with_certificate(self.root());
        HyperFetch::with_roots(roots).unwrap().with_dial(Arc::new(LoopbackDial))
    }

    pub(crate) fn server(&self) -> ServerConfig {
        self.server_for(
            &CertificateParams::new([NAME.into(), "127.0.0.1".into(), "::1".into()]).unwrap(),
        )
    }

    pub(crate) fn expired(&self) -> ServerConfig {
        self.server_for(&expired(NAME))
    }

    /// Certificate and key for these names, in PEM.
    pub(crate) fn pems(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.pems_for(&CertificateParams::new(names).unwrap())
    }

    pub(crate) fn expired_pems(&self, name: &str) -> (String, String) {
        self.pems_for(&expired(name))
    }

    fn pems_for(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    pub(crate) fn named(&self, name: &str) -> ServerConfig {
        self.server_for(&CertificateParams::new([name.into()]).unwrap())
    }

    pub(crate) fn named_all(&self, names: &[&str]) -> ServerConfig {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.server_for(&CertificateParams::new(names).unwrap())
    }

    /// Judges the client's certificate too.
    pub(crate) fn server_asking(&self, verifier: Arc<dyn ClientCertVerifier>) -> ServerConfig {
        let params = CertificateParams::new([NAME.into()]).unwrap();
        self.configure(&params, Some(verifier), rustls::ALL_VERSIONS)
    }

    /// Speaks these versions of TLS.
    pub(crate) fn server_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        self.configure(&CertificateParams::new([NAME.into()]).unwrap(), None, versions)
    }

    pub(crate) fn server_for(&self, params: &CertificateParams) -> ServerConfig {
        self.configure(params, None, rustls::ALL_VERSIONS)
    }

    fn configure(
        &self,
        params: &CertificateParams,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(
                verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth),
            )
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

fn expired(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.into()]).unwrap();
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

/// What a server saw of one request.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The head, byte for byte.
    pub(crate) head: String,
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Option<String>,
}

/// A connection whose request was read.
pub(crate) type Stream = TlsStream<TcpStream>;

/// Hands each connection to `answer` once TLS stands and a request's head was read.
pub(crate) async fn serve<F, A>(
    config: ServerConfig,
    answer: F,
) -> (SocketAddr, mpsc::UnboundedReceiver<Seen>)
where
    F: Fn(Stream) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    serve_on(listener, config, answer)
}

pub(crate) fn serve_on<F, A>(
    listener: TcpListener,
    config: ServerConfig,
    answer: F,
) -> (SocketAddr, mpsc::UnboundedReceiver<Seen>)
where
    F: Fn(Stream) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (seen, requests) = mpsc::unbounded_channel();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen, answer) = (acceptor.clone(), seen.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let Some(head) = read_head(&mut stream).await else { return };
                let session = stream.get_ref().1;
                let sni = session.server_name().map(str::to_owned);
                let alpn =
                    session.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
                let _ = seen.send(Seen { head, sni, alpn });
                answer(stream).await;
            });
        }
    });
    (address, requests)
}

pub(crate) async fn read_head(stream: &mut Stream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Answers with these bytes and an orderly end.
pub(crate) async fn answering(config: ServerConfig, bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes: Arc<[u8]> = bytes.into().into();
    serve(config, move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            // The client may have gone before all of it was written.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0]).await;
        }
    })
    .await
    .0
}

/// Answers with these bytes, then with others again and again for as long as the client takes them.
pub(crate) async fn repeating(
    config: ServerConfig,
    first: &'static [u8],
    then: &'static [u8],
) -> SocketAddr {
    serve(config, move |mut stream| async move {
        let mut written = stream.write_all(first).await;
        let then = then.repeat(1024_usize.div_ceil(then.len()));
        while written.is_ok() {
            written = stream.write_all(&then).await;
        }
    })
    .await
    .0
}

/// Accepts connections and says nothing, not even TLS.
pub(crate) async fn silent() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

/// An address that refuses for as long as the socket is held: bound, not listening.
pub(crate) fn refusing() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
