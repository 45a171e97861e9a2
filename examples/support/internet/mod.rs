//! An internet in one process: DNS, HTTPS servers and a certificate authority, for the tour and the
//! integration tests. It needs no privileges, no fixed port, no IPv6 and no network.
//!
//! Hosts live at *virtual* addresses, in the ranges that are reserved for documentation. Each
//! virtual address and port at which something listens is really a port of 127.0.0.1 that the
//! operating system picked; [`Routes`] knows which. Whoever connects through [`Routes::connect`]
//! reaches that port, or is refused where nothing listens; no virtual address is ever dialled.
//!
//! ```text
//! let internet = Internet::builder()
//!     .address("m.example", "192.0.2.7")
//!     .site(["192.0.2.7:8448"], Site::named("m.example").federation("m.example"))
//!     .start()
//!     .await;
//! let stream = internet.routes().connect("192.0.2.7:8448".parse()?).await?;
//! ```
//!
//! Everything ends when the [`Internet`] is dropped.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each example and test that includes this module uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "support for tests: a mistake in a scenario should stop it loudly"
)]

mod certificates;
#[cfg(feature = "full")]
pub mod check;
#[cfg(feature = "full")]
mod dial;
mod dns;
mod https;
pub mod scenarios;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use certificates::Authority;
pub use certificates::Certificate;
use dns::Table;
#[allow(unused_imports, reason = "as above")]
pub use dns::{DNS_TTL, NEGATIVE_TTL, Question, Transport, Trouble};
pub use https::{ExchangeSeen, Manner, Page, Site};

/// What each log keeps at most; what comes later is not kept.
const LOG_LIMIT: usize = 10_000;

/// A running internet.
#[derive(Debug)]
pub struct Internet {
    dns_address: SocketAddr,
    authority: Authority,
    routes: Routes,
    questions: Log<Question>,
    exchanges: Log<ExchangeSeen>,
    _dns: DnsServer,
    // Dropping the set aborts what is in it.
    _servers: JoinSet<()>,
}

impl Internet {
    /// An internet with nothing in it.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where the DNS server really listens, for UDP and TCP alike.
    pub fn dns_address(&self) -> SocketAddr {
        self.dns_address
    }

    /// The certificate of the authority behind every [`Certificate::For`].
    pub fn ca_der(&self) -> CertificateDer<'static> {
        self.authority.der()
    }

    /// The same in PEM.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// Where a virtual address really is, if something listens there.
    pub fn route(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.routes.get(address)
    }

    /// The way to every virtual address, for whoever makes connections.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Every question that DNS was asked, in the order of their arrival.
    pub fn questions(&self) -> Vec<Question> {
        self.questions.entries()
    }

    /// Every request that an HTTPS server read, in the order of their arrival.
    pub fn requests(&self) -> Vec<ExchangeSeen> {
        self.exchanges.entries()
    }

    /// Every virtual address that was asked for a connection, whether one came about or not.
    pub fn dials(&self) -> Vec<SocketAddr> {
        self.routes.dials.entries()
    }

    /// Forgets all that was logged so far.
    pub fn clear_logs(&self) {
        self.questions.clear();
        self.exchanges.clear();
        self.routes.dials.clear();
    }
}

/// Takes virtual addresses to real ones. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Routes {
    table: Arc<HashMap<SocketAddr, SocketAddr>>,
    dials: Log<SocketAddr>,
}

impl Routes {
    /// Where a virtual address really is, if something listens there.
    pub fn get(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.table.get(&address).copied()
    }

    /// Connects to a virtual address.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ConnectionRefused`] where nothing listens.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dials.push(address);
        let real = self.get(address).ok_or_else(|| {
            io::Error::new(io::ErrorKind::ConnectionRefused, format!("nothing is at {address}"))
        })?;
        assert!(real.ip().is_loopback(), "{real} is not on this machine");
        let stream = TcpStream::connect(real).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Describes an internet. Names are taken in any letter case, without a final dot.
#[derive(Debug, Default)]
pub struct Builder {
    table: Table,
    sites: Vec<(Vec<SocketAddr>, Site)>,
}

impl Builder {
    /// An A or AAAA record with a TTL of [`DNS_TTL`] seconds.
    #[must_use]
    pub fn address(self, name: &str, address: &str) -> Self {
        self.address_for(name, address, DNS_TTL)
    }

    /// An A or AAAA record with this TTL in seconds.
    #[must_use]
    pub fn address_for(mut self, name: &str, address: &str, ttl: u32) -> Self {
        self.table.address(name, address.parse().expect("an IP address"), ttl);
        self
    }

    /// An SRV record with a TTL of [`DNS_TTL`] seconds. The name includes the service's labels; the
    /// target `.` says that there is no such service.
    #[must_use]
    pub fn srv(self, name: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        self.srv_for(name, (priority, weight, port, target), DNS_TTL)
    }

    /// An SRV record (priority, weight, port, target) with this TTL in seconds.
    #[must_use]
    pub fn srv_for(mut self, name: &str, record: (u16, u16, u16, &str), ttl: u32) -> Self {
        self.table.srv(name, record, ttl);
        self
    }

    /// A CNAME record with a TTL of [`DNS_TTL`] seconds. Answers follow it, as a recursor's do.
    #[must_use]
    pub fn cname(self, name: &str, target: &str) -> Self {
        self.cname_for(name, target, DNS_TTL)
    }

    /// A CNAME record with this TTL in seconds.
    #[must_use]
    pub fn cname_for(mut self, name: &str, target: &str, ttl: u32) -> Self {
        self.table.cname(name, target, ttl);
        self
    }

    /// For how many seconds a "no" holds, if not for [`NEGATIVE_TTL`]; at most 900.
    #[must_use]
    pub fn negative_ttl(mut self, ttl: u32) -> Self {
        self.table.negative_ttl = ttl;
        self
    }

    /// What goes wrong with every question about this name.
    #[must_use]
    pub fn trouble(mut self, name: &str, trouble: Trouble) -> Self {
        self.table.trouble(name, None, trouble);
        self
    }

    /// What goes wrong with questions of one type, such as `AAAA`, about this name.
    #[must_use]
    pub fn trouble_with(mut self, record_type: &str, name: &str, trouble: Trouble) -> Self {
        self.table.trouble(name, Some(record_type), trouble);
        self
    }

    /// An HTTPS server at these virtual addresses. DNS records come apart from it.
    ///
    /// # Panics
    ///
    /// If one of them is no `address:port`; if two servers claim one, [`Self::start`] panics.
    #[must_use]
    pub fn site<'a>(mut self, at: impl IntoIterator<Item = &'a str>, site: Site) -> Self {
        let at = at.into_iter().map(|at| at.parse().expect("an address and a port")).collect();
        self.sites.push((at, site));
        self
    }

    /// A web server that has nothing but an answer to `/.well-known/matrix/server`, at port 443 of
    /// this address; the host's DNS record comes with it.
    #[must_use]
    pub fn well_known(self, host: &str, address: &str, page: Page) -> Self {
        let at = SocketAddr::new(address.parse().expect("an IP address"), 443).to_string();
        self.address(host, address)
            .site([at.as_str()], Site::named(host).only_for([host]).page(WELL_KNOWN_PATH, page))
    }

    /// A homeserver's federation port at these virtual addresses: its certificate carries
    /// `tls_name`, it answers to this `Host` alone, and the version that it gives is `label`.
    #[must_use]
    pub fn federation<'a>(
        self,
        at: impl IntoIterator<Item = &'a str>,
        host_header: &str,
        tls_name: &str,
        label: &str,
    ) -> Self {
        self.site(at, Site::named(tls_name).only_for([host_header]).federation(label))
    }

    /// Starts every server.
    ///
    /// # Panics
    ///
    /// If the machine lets no port be opened on 127.0.0.1, or two sites claim one address.
    pub async fn start(self) -> Internet {
        let questions = Log::default();
        let (dns, dns_address) = start_dns(self.table, questions.clone()).await;

        let authority = Authority::new("Embedded internet");
        let stranger = Authority::new("Stranger");
        let exchanges = Log::default();
        let mut servers = JoinSet::new();
        let mut table = HashMap::new();
        for (addresses, site) in self.sites {
            let tls = site.tls_config(&authority, &stranger);
            let site = Arc::new(site);
            for address in addresses {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                let real = listener.local_addr().expect("a bound socket's address");
                let before = table.insert(address, real);
                assert!(before.is_none(), "two sites at {address}");
                servers.spawn(https::serve(
                    listener,
                    address,
                    Arc::clone(&site),
                    Arc::clone(&tls),
                    exchanges.clone(),
                ));
            }
        }
        Internet {
            dns_address,
            authority,
            routes: Routes { table: Arc::new(table), dials: Log::default() },
            questions,
            exchanges,
            _dns: dns,
            _servers: servers,
        }
    }
}

/// Where a server name's delegation is looked for.
pub const WELL_KNOWN_PATH: &str = "/.well-known/matrix/server";
/// What every federation server of this internet answers to.
pub const VERSION_PATH: &str = "/_matrix/federation/v1/version";

/// Keeps the DNS server running.
struct DnsServer {
    // Dropping it aborts its tasks.
    _server: hickory_server::Server<dns::Answers>,
}

impl std::fmt::Debug for DnsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DnsServer")
    }
}

async fn start_dns(table: Table, questions: Log<Question>) -> (DnsServer, SocketAddr) {
    // The system picks a UDP port; that the same TCP port is taken is rare, so another try helps.
    let mut tries = 0;
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a UDP port");
        match TcpListener::bind(udp.local_addr().expect("a bound socket's address")).await {
            Ok(tcp) => break (udp, tcp),
            Err(error) if tries >= 50 => panic!("no port free for both UDP and TCP: {error}"),
            Err(_) => tries += 1,
        }
    };
    let address = udp.local_addr().expect("a bound socket's address");
    let mut server = hickory_server::Server::new(dns::Answers::new(table, questions));
    server.register_socket(udp);
    server.register_listener(tcp, dns::TCP_IDLE, dns::TCP_RESPONSES);
    (DnsServer { _server: server }, address)
}

/// A bounded list that many tasks write to.
#[derive(Debug)]
struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Log<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().expect("no task panics while it holds the lock")
    }

    fn push(&self, entry: T) {
        let mut entries = self.lock();
        if entries.len() < LOG_LIMIT {
            entries.push(entry);
        }
    }

    fn entries(&self) -> Vec<T> {
        self.lock().clone()
    }

    fn clear(&self) {
        self.lock().clear();
    }
}
