//! Others, who come from afar: this crate, and for what it does not do a bare client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use matrix_delegation::names::Host;
use matrix_delegation::plan::{Way, ZoneData};
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::transport::{Dial, DialStream};
use matrix_delegation::{
    AddressPolicy, Config, Connector, FederationClient, HickoryDns, HyperFetch, Resolver,
    ServerName, TokioRuntime, TrustedRoots,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::internet::{Builder, Internet};
use crate::server::Server;

/// The port that is connected to, and the one that is really there, at the server's address.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    address: IpAddr,
    ports: HashMap<u16, u16>,
}

impl Ports {
    fn connect(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        match self.ports.get(&address.port()) {
            Some(port) if address.ip().is_loopback() => Ok(SocketAddr::new(self.address, *port)),
            _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, address.to_string())),
        }
    }
}

impl Dial for Ports {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.connect(address)?).await?;
            Ok(Box::new(stream) as Box<dyn DialStream>)
        })
    }
}

/// A resolver in a world in which what the plan asks for is published.
pub(crate) struct Client {
    /// HTTP/2 where the server speaks it.
    pub(crate) federation: FederationClient,
    pub(crate) fetch: Arc<HyperFetch>,
    ports: Ports,
    ca: CertificateDer<'static>,
    _internet: Internet,
}

/// The ranges that these tests are in.
pub(crate) fn policy() -> AddressPolicy {
    let ranges = ["127.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap());
    ranges.into_iter().fold(AddressPolicy::default(), AddressPolicy::allow)
}

fn zone(name: &ServerName, way: &Way) -> Builder {
    let mut hosts = vec![name.to_host().unwrap(), way.contact().host.clone()];
    hosts.dedup();
    let mut zone = Internet::builder();
    for host in hosts.iter().filter_map(Host::as_dns) {
        zone = zone.address(host.as_str(), "127.0.0.1");
    }
    for record in way.records() {
        if let ZoneData::Srv { priority, weight, port, target } = record.data() {
            zone = zone.srv(&record.name(), *priority, *weight, *port, target.as_str());
        }
    }
    zone
}

impl Client {
    pub(crate) async fn new(name: &ServerName, way: &Way, server: &Server) -> Self {
        let ports = [(443, server.https), (way.contact().port, server.federation)];
        let ports = Ports { address: server.address, ports: ports.into_iter().collect() };
        let roots = TrustedRoots::only_added().with_certificate(server.ca.clone());
        let dial = Arc::new(ports.clone());
        let connector = Connector::with_roots(roots.clone()).unwrap().with_dial(dial.clone());
        let fetch = HyperFetch::with_roots(roots).unwrap().with_dial(dial);
        let fetch = Arc::new(fetch);
        let internet = zone(name, way).start().await;
        let dns = HickoryDns::with_servers([internet.dns_address()]).unwrap();
        let runtime = Arc::new(TokioRuntime::current());
        let resolver = Resolver::builder(Arc::new(dns), Arc::clone(&fetch) as _, runtime)
            .config(Config::default().with_address_policy(policy()))
            .build()
            .unwrap();
        let federation = FederationClient::new(resolver, connector);
        Self { federation, fetch, ports, ca: server.ca.clone(), _internet: internet }
    }

    /// Where it goes to, and comes from.
    pub(crate) const fn address(&self) -> IpAddr {
        self.ports.address
    }

    /// A request over HTTP/1.1 with so many bytes, from one who says that he is somebody else.
    pub(crate) async fn ask(&self, way: &Way, method: &str, path: &str, bytes: usize) -> u16 {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let contact = way.contact();
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), contact.port);
        let stream = TcpStream::connect(self.ports.connect(at).unwrap()).await.unwrap();
        let name = contact.certificate_name.tls_name().to_owned();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", &contact.host_header)
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-forwarded-proto", "gopher")
            .body("x".repeat(bytes))
            .unwrap();
        let status = sender.send_request(request).await.unwrap().status().as_u16();
        connection.abort();
        status
    }
}
