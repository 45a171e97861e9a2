//! The one place that would open sockets, and opens none: it records each address, and hands back
//! streams within the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::transport::{Dial, DialStream};
use matrix_delegation::{Connector, HyperFetch};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use crate::world::{Page, Pages};

/// A [`Dial`] that records what it is asked for. Served addresses get a stream to a server in this
/// process, all others are refused.
#[derive(Clone)]
pub(crate) struct Recorder {
    served: Arc<BTreeSet<SocketAddr>>,
    pages: Arc<Pages>,
    log: Arc<Mutex<Log>>,
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Every address that was to be connected to.
    pub(crate) attempts: BTreeSet<SocketAddr>,
    /// Every name that a proxy was to connect to, with its port.
    pub(crate) names: BTreeSet<String>,
    /// The served addresses that have read a request.
    pub(crate) reached: BTreeSet<SocketAddr>,
}

impl Recorder {
    pub(crate) fn new(served: BTreeSet<SocketAddr>, pages: Pages) -> Self {
        Self { served: Arc::new(served), pages: Arc::new(pages), log: Arc::default() }
    }

    pub(crate) fn log(&self) -> Log {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection and returns the client's end of it.
    fn serve(&self, host: String, address: Option<SocketAddr>) -> Box<dyn DialStream> {
        let (ours, theirs) = duplex(1 << 14);
        let this = self.clone();
        tokio::spawn(async move {
            // The client may have given it up.
            let _ = this.answer(theirs, host, address).await;
        });
        Box::new(ours)
    }

    async fn answer(
        &self,
        stream: DuplexStream,
        host: String,
        address: Option<SocketAddr>,
    ) -> io::Result<()> {
        let mut stream = TlsAcceptor::from(AUTHORITY.server(&host)).accept(stream).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < 1 << 14 {
            head.push(stream.read_u8().await?);
        }
        if let Some(address) = address {
            self.locked().reached.insert(address);
        }
        let page = self.pages.answer(&String::from_utf8_lossy(&head));
        stream.write_all(&page.map_or_else(|| Page::ok("{}").bytes(), |page| page.bytes())).await?;
        stream.shutdown().await
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.locked().fmt(f)
    }
}

impl Dial for Recorder {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        self.locked().attempts.insert(address);
        Box::pin(async move {
            if !self.served.contains(&address) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(self.serve(address.ip().to_string(), Some(address)))
        })
    }

    fn dial_name<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn DialStream>>> {
        self.locked().names.insert(format!("{host}:{port}"));
        Box::pin(async move { Ok(self.serve(host.to_owned(), None)) })
    }
}

/// In TLS 1.2, a session that is resumed costs the least.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// The authority that every client here trusts.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The key of all servers.
    key: KeyPair,
    servers: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
    certified: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
    fetch: HyperFetch,
    connector: Connector,
}

/// The fetch and the connector, both of which connect through this recorder alone.
pub(crate) fn clients(recorder: &Recorder) -> (HyperFetch, Connector) {
    let dial: Arc<dyn Dial> = Arc::new(recorder.clone());
    (
        AUTHORITY.fetch.clone().with_dial(Arc::clone(&dial)),
        AUTHORITY.connector.clone().with_dial(dial),
    )
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            fetch: HyperFetch::new(client.clone()),
            connector: Connector::new(client),
            issuer,
            key: KeyPair::generate().unwrap(),
            servers: Mutex::default(),
            certified: Mutex::default(),
        }
    }

    /// A server whose certificate is for the name that the client asks for, else for this host.
    fn server(&self, host: &str) -> Arc<ServerConfig> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(VERSIONS)
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(AnyName(host.to_owned())));
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        };
        Arc::clone(servers.entry(host.to_owned()).or_insert_with(make))
    }

    fn certified(&self, name: &str) -> Arc<CertifiedKey> {
        let mut certified = self.certified.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            let certificate = params.signed_by(&self.key, &self.issuer).unwrap().der().clone();
            let key = PrivatePkcs8KeyDer::from(self.key.serialize_der()).into();
            let key = any_supported_type(&key).unwrap();
            Arc::new(CertifiedKey::new(vec![certificate], key))
        };
        Arc::clone(certified.entry(name.to_owned()).or_insert_with(make))
    }
}

/// Has a certificate for every name; where the client asks for none, for this one.
#[derive(Debug)]
struct AnyName(String);

impl ResolvesServerCert for AnyName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(AUTHORITY.certified(hello.server_name().unwrap_or(&self.0)))
    }
}
