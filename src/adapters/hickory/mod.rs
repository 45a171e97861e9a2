//! `Dns` on hickory.
//!
//! hickory encodes and decodes names, questions and records. Its `Resolver` is not used: it loses an
//! SRV answer behind a CNAME, exceeds its time limit by far when no server answers, and has a cache. Its
//! connections are not used either: its UDP sockets take a closed port for a silent server, and so a
//! server that reports an error without repeating the question; over TCP it does not compare the
//! question. Nor are its readers of the system's files, which refuse what the C library reads.
//!
//! Each file uses only those below it:
//!
//! | file | subject |
//! | --- | --- |
//! | `mod` | what is asked, what is answered without, the time limit, aliases that lead to a new question |
//! | `servers` | which server is asked when, and which of their failures is reported |
//! | `standing` | what is remembered of each server |
//! | `exchange` | one question to one server, over UDP and TCP, with retransmissions |
//! | `reply` | what a reply means |
//! | `query` | a question in the wire format, and which packets are a reply to it |
//! | `message` | a reply in the wire format, as far as it can be read |
//! | `failure` | why a server gave no answer |
//! | `config` | what the application sets |
//! | `system_files` | the system's files, read again when they change |
//! | `resolv_conf`, `hosts` | what they say |
//! | `server_address` | addresses with zones and ports |
//! | `own_resolver` | `Dns` on a hickory resolver of the application |

pub(crate) mod config;
mod exchange;
mod failure;
mod hosts;
mod message;
pub(crate) mod own_resolver;
mod query;
mod reply;
mod resolv_conf;
pub(crate) mod server_address;
mod servers;
mod standing;
mod system_files;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RecordType};
use thiserror::Error;
use tokio::time::Instant;

use self::config::{DnsConfig, ServerOrder};
use self::hosts::Hosts;
use self::query::{Inquiry, to_ask};
use self::reply::{AliasChain, Conclusion};
use self::standing::Standings;
use self::system_files::SystemFiles;
use crate::core::config::ConfigError;
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord, Records};
use crate::resolver::traits::Dns;
use crate::runtime::BoxFuture;

/// [`Dns`] on hickory, over UDP and TCP.
///
/// Names are absolute: neither search domains nor `ndots` apply. There is no cache: two equal
/// questions are asked twice. TTLs are passed on unchanged, but for [`DnsConfig::negative_least`]. Names under `.onion` and `localhost` are
/// never sent: the latter have the loopback addresses, if the hosts file does not say otherwise
/// (RFC 6761 section 6.3).
///
/// **Servers** are asked in their order, the next one as soon as the one before it has failed
/// (SERVFAIL, REFUSED, NOTIMP, no connection, malformed reply) or has been silent for
/// [`DnsConfig::first_retry`]; a late answer of an earlier server still counts. Silent ones
/// are asked again, each time after twice as long, and over TCP, too. A server that was silent where
/// another one answered is waited for a quarter as long; after 3 s without any answer it is tried last
/// for 60 s. [`ServerOrder`](crate::adapters::ServerOrder) changes the order. If none gave an answer, the most telling failure is reported: NOTIMP, SERVFAIL, REFUSED,
/// malformed, timeout, network, in this order.
///
/// **Aliases** (CNAME, DNAME) are followed, at most [`DnsConfig::aliases`] of them. If a reply ends at
/// an alias without the records of its target, those are asked for within the same time limit. A longer
/// chain or a loop is [`DnsFailure::Malformed`](crate::dns::DnsFailure::Malformed).
///
/// At most [`DnsConfig::records`] are returned, in the order of the reply. In an SRV target, bytes that
/// cannot be part of a host name are written `\DDD` (RFC 1035 section 5.1).
///
/// A question needs a tokio runtime with its I/O and time drivers enabled. Dropping its future
/// closes its sockets. The system's files are read again on a thread of the runtime that may block;
/// no other task is started.
///
/// ```
/// use matrix_delegation::HickoryDns;
///
/// let dns = HickoryDns::with_servers(["192.0.2.53:53".parse()?])?;
/// # let _ = dns;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct HickoryDns {
    servers: Servers,
    standings: Arc<Standings>,
    config: DnsConfig,
}

/// Where it is written which servers there are.
#[derive(Clone, Debug)]
enum Servers {
    Given(Arc<[SocketAddr]>),
    System(Arc<SystemFiles>),
}

/// Why a [`HickoryDns`] could not be made.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum HickoryDnsError {
    /// The system's DNS configuration could not be read for want of descriptors or memory.
    #[error("the system's DNS configuration could not be read")]
    SystemConfiguration(#[source] Arc<dyn Error + Send + Sync>),
    /// The hosts file could not be read for want of descriptors or memory.
    #[error("the hosts file could not be read")]
    HostsFile(#[source] Arc<io::Error>),
    /// No server is configured.
    #[error("there is no DNS server to ask")]
    NoServers,
}

impl HickoryDns {
    /// Creates an adapter with the servers of the system's configuration and its hosts file.
    ///
    /// `/etc/resolv.conf` is read as resolv.conf(5) describes it: its first three servers count, and
    /// the options `use-vc`, `timeout:`, `attempts:`, `rotate` and `edns0`. A time, number or order in
    /// a [`DnsConfig`] that is not the default overrides the file's. Search domains are not used. Lines
    /// that cannot be read are skipped. Without a file, or a server in it, the local machine is asked.
    ///
    /// A host in `/etc/hosts` is answered from there alone, with a TTL of [`DnsConfig::hosts_ttl`]; for
    /// a family of which the file has no address, the answer is [`NoRecord::NoData`].
    ///
    /// Both are read again when they have changed, which is looked for every 5 s at most. A file
    /// that can no longer be read changes nothing; one that has become empty does after 30 s.
    ///
    /// ```no_run
    /// use matrix_delegation::HickoryDns;
    ///
    /// let dns = HickoryDns::from_system()?;
    /// # let _ = dns;
    /// # Ok::<(), matrix_delegation::adapters::HickoryDnsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Only if this process has run out of descriptors or memory.
    pub fn from_system() -> Result<Self, HickoryDnsError> {
        Self::from_files("/etc/resolv.conf".as_ref(), "/etc/hosts".as_ref())
    }

    fn from_files(resolv_conf: &Path, hosts: &Path) -> Result<Self, HickoryDnsError> {
        let files = SystemFiles::open(resolv_conf, hosts).map_err(|(path, error)| {
            let error = Arc::new(error);
            match path {
                path if path == hosts => HickoryDnsError::HostsFile(error),
                _ => HickoryDnsError::SystemConfiguration(error),
            }
        })?;
        Ok(Self::of(Servers::System(Arc::new(files))))
    }

    fn of(servers: Servers) -> Self {
        Self { servers, standings: Arc::default(), config: DnsConfig::default() }
    }

    /// Creates an adapter with these servers, in this order. The system's configuration and hosts
    /// file are not used.
    pub fn with_servers(
        servers: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, HickoryDnsError> {
        let servers: Arc<[SocketAddr]> = servers.into_iter().collect();
        if servers.is_empty() {
            return Err(HickoryDnsError::NoServers);
        }
        Ok(Self::of(Servers::Given(servers)))
    }

    /// Asks as this configuration says. Default: [`DnsConfig::default`].
    ///
    /// # Errors
    ///
    /// If [`DnsConfig::check`] finds a problem.
    pub fn with_config(self, config: DnsConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, ..self })
    }

    async fn answer(&self, question: DnsQuestion) -> DnsAnswer {
        let (name, record_type) = match to_ask(&question) {
            Ok(to_ask) => to_ask,
            Err(answer) => return answer,
        };
        let started = Instant::now();
        let system;
        let (servers, config, hosts): (&[SocketAddr], _, _) = match &self.servers {
            Servers::Given(servers) => (servers, self.config, None),
            Servers::System(files) => {
                system = files.current().await;
                let config = system.resolv_conf.configure(self.config);
                (system.resolv_conf.servers(), config, config.hosts_file.then_some(&system.hosts))
            }
        };
        if let Some(hosts) = hosts
            && let Some(answer) = from_hosts(hosts, question.host().as_str(), record_type, &config)
        {
            return answer;
        }
        if is_below(&name, b"localhost") {
            return loopback(record_type, config.hosts_ttl, false);
        }
        let deadline = started.checked_add(config.question_limit).unwrap_or(started);
        // Every server gets its turn before the first is asked again.
        let turns = match config.server_order {
            ServerOrder::AllAtOnce => 1,
            _ => u32::try_from(servers.len()).unwrap_or(u32::MAX),
        };
        let resend_after = config.first_retry.saturating_mul(turns);
        let mut inquiry = Inquiry { name, record_type, config, resend_after };
        let mut chain = AliasChain { aliases: 0, ttl: u32::MAX };
        let most = config.alias_queries;
        for _ in 0..=most {
            match servers::ask(servers, &self.standings, &inquiry, chain, deadline).await {
                Conclusion::Answer(answer) => return answer,
                Conclusion::Onward { name, .. } if is_below(&name, b"onion") => {
                    return DnsAnswer::None { kind: NoRecord::Onion, ttl: None };
                }
                Conclusion::Onward { name, chain } if is_below(&name, b"localhost") => {
                    let ttl = config.hosts_ttl.min(Duration::from_secs(chain.ttl.into()));
                    return loopback(record_type, ttl, true);
                }
                Conclusion::Onward { name, chain: longer } => {
                    inquiry.name = name;
                    chain = longer;
                }
            }
        }
        let detail =
            format!("aliases that take more than {most} more queries (`dns.alias_queries`)");
        DnsAnswer::Failed { failure: DnsFailure::Malformed, detail }
    }
}

impl Dns for HickoryDns {
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer> {
        Box::pin(async {
            let mut answer = self.answer(question).await;
            if let DnsAnswer::None { ttl: Some(ttl), .. } = &mut answer {
                *ttl = (*ttl).max(self.config.negative_least);
            }
            answer
        })
    }
}

impl fmt::Debug for HickoryDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryDns")
            .field("servers", &self.servers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Returns whether a name is this top-level name or below it.
fn is_below(name: &Name, top: &[u8]) -> bool {
    name.iter().next_back().is_some_and(|label| label.eq_ignore_ascii_case(top))
}

/// Returns what the hosts file says about a host's addresses, if it names the host, which is in lower
/// case.
fn from_hosts(
    hosts: &Hosts,
    host: &str,
    record_type: RecordType,
    config: &DnsConfig,
) -> Option<DnsAnswer> {
    if record_type == RecordType::SRV {
        return None;
    }
    let (mut is_named, mut found) = (false, Vec::new());
    for address in hosts.addresses(host) {
        is_named = true;
        // Files repeat themselves.
        if address.is_ipv4() == (record_type == RecordType::A)
            && found.len() < config.records
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    is_named.then(|| addresses(found, config.hosts_ttl, false))
}

/// Returns the answer for `localhost` and everything below it (RFC 6761 section 6.3).
fn loopback(record_type: RecordType, ttl: Duration, alias: bool) -> DnsAnswer {
    let found = match record_type {
        RecordType::A => vec![Ipv4Addr::LOCALHOST.into()],
        RecordType::AAAA => vec![Ipv6Addr::LOCALHOST.into()],
        _ => Vec::new(),
    };
    addresses(found, ttl, alias)
}

fn addresses(found: Vec<IpAddr>, ttl: Duration, alias: bool) -> DnsAnswer {
    if found.is_empty() {
        return DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(ttl) };
    }
    DnsAnswer::Found { records: Records::Addresses(found), ttl, alias }
}

#[cfg(test)]
mod tests {
    use super::query::absolute;
    use super::*;
    use crate::core::dns::Family;

    /// What the hosts file is said to hold for.
    const HOSTS_TTL: Duration = Duration::from_secs(60);

    fn hosts(text: &str) -> Hosts {
        Hosts::parse(text.into())
    }

    fn found(address: &str) -> DnsAnswer {
        DnsAnswer::Found {
            records: Records::Addresses(vec![address.parse().unwrap()]),
            ttl: HOSTS_TTL,
            alias: false,
        }
    }

    #[test]
    fn the_hosts_file_answers_for_each_host_it_names() {
        let hosts = hosts(
            "192.0.2.1 both.example B4.example # a comment\n\
             2001:db8::1 both.example\n\
             192.0.2.1 both.example\n",
        );
        let none = DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(HOSTS_TTL) };
        for (host, record_type, expected) in [
            ("both.example", RecordType::A, Some(found("192.0.2.1"))),
            ("both.example", RecordType::AAAA, Some(found("2001:db8::1"))),
            ("both.example", RecordType::SRV, None),
            ("b4.example", RecordType::A, Some(found("192.0.2.1"))),
            ("b4.example", RecordType::AAAA, Some(none)),
            ("other.example", RecordType::A, None),
            ("example", RecordType::A, None),
        ] {
            let answer = from_hosts(&hosts, host, record_type, &DnsConfig::default());
            assert_eq!(answer, expected, "{host} {record_type}");
        }
    }

    /// The hosts file with this text, and a DNS server that nobody asks.
    fn with_hosts(text: &[u8]) -> HickoryDns {
        use std::sync::atomic::{AtomicU32, Ordering};

        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("matrix-delegation-hosts-{}-{nth}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let dns = HickoryDns::from_files(&path.join("none"), &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        dns
    }

    fn a(host: &str) -> DnsQuestion {
        DnsQuestion::Addresses { host: host.parse().unwrap(), family: Family::V4 }
    }

    #[tokio::test]
    async fn the_hosts_file_comes_before_all_else() {
        let dns = with_hosts(
            b"192.0.2.1 localhost db.localhost\n192.0.2.2 S.test b\xfcro.test\n0.0.0.0 ads.test\n",
        );
        for (host, address) in [
            ("localhost", "192.0.2.1"),
            ("db.localhost", "192.0.2.1"),
            ("other.localhost", "127.0.0.1"),
            ("s.TEST", "192.0.2.2"),
            ("ads.test", "0.0.0.0"),
        ] {
            assert_eq!(dns.lookup(a(host)).await, found(address), "{host}");
        }
        let off = DnsConfig { hosts_file: false, ..DnsConfig::default() };
        let dns = dns.with_config(off).unwrap();
        assert_eq!(dns.lookup(a("localhost")).await, found("127.0.0.1"));
    }

    #[test]
    fn names_are_absolute_and_literal() {
        let name = absolute("_matrix._tcp.xn--bcher-kva.example").unwrap();
        assert!(name.is_fqdn());
        assert_eq!(name.to_ascii(), "_matrix._tcp.xn--bcher-kva.example.");
        assert_eq!(absolute("localhost").unwrap().to_ascii(), "localhost.");
        assert_eq!(absolute(&"a2345678.".repeat(30)), None);
    }
}
