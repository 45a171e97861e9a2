//! `Dns` on hickory.
//!
//! hickory reads the system's configuration and hosts file, and encodes and decodes messages. Its
//! `Resolver` is not used: it loses an SRV answer behind a CNAME, exceeds its time limit by far when
//! no server answers, and has a cache. Its connections are not used either: its UDP sockets take a
//! closed port for a silent server, and so a server that reports an error without repeating the
//! question; over TCP it does not compare the question.
//!
//! Each file uses only those below it:
//!
//! | file | subject |
//! | --- | --- |
//! | `mod` | what is asked, the hosts file, the time limit, aliases that lead to a new question |
//! | `servers` | which server is asked when, and which of their failures is reported |
//! | `exchange` | one question to one server, over UDP and then TCP, with retransmissions |
//! | `reply` | what a reply says |
//! | `query` | a question in the wire format, and which packets are a reply to it |
//! | `failure` | why a server gave no answer |
//! | `config` | what the application sets |

pub(crate) mod config;
mod exchange;
mod failure;
mod query;
mod reply;
mod servers;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::Hosts;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::xfer::Protocol;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use thiserror::Error;
use tokio::time::Instant;

use self::config::DnsConfig;
use self::query::Inquiry;
use self::reply::{AliasChain, Conclusion};
use crate::core::config::ConfigError;
use crate::core::dns::{DnsAnswer, DnsQuestion, Family, NoRecord, Records};
use crate::resolver::traits::Dns;
use crate::runtime::BoxFuture;

/// [`Dns`] on hickory, over UDP and TCP.
///
/// Names are absolute: neither search domains nor `ndots` apply. There is no cache: two equal
/// questions are asked twice. TTLs are passed on unchanged. Names under `.onion` are never sent.
///
/// **Servers** are asked in their order, the next one as soon as the one before it has failed
/// (SERVFAIL, REFUSED, NOTIMP, no connection, malformed reply) or has been silent for
/// [`DnsConfig::first_retry`]; a late answer of an earlier server still counts. Silent ones
/// are asked again, each time after twice as long. If none gave an answer, the most telling failure
/// is reported: NOTIMP, SERVFAIL, REFUSED, malformed, timeout, network, in this order.
///
/// **Aliases** (CNAME, DNAME) are followed, at most [`DnsConfig::aliases`] of them. If a reply ends at
/// an alias without the records of its target, those are asked for within the same time limit. A longer
/// chain or a loop is [`DnsFailure::Malformed`](crate::dns::DnsFailure::Malformed).
///
/// At most [`DnsConfig::records`] are returned, in the order of the reply. In an SRV target, bytes that
/// cannot be part of a host name are written `\DDD` (RFC 1035 section 5.1).
///
/// A question needs a tokio runtime with its I/O and time drivers enabled. Dropping its future
/// closes its sockets; no task is started.
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
    servers: Arc<[SocketAddr]>,
    /// Only with the system's configuration.
    hosts: Option<Arc<Hosts>>,
    config: DnsConfig,
}

/// Why a [`HickoryDns`] could not be made.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum HickoryDnsError {
    /// The system's DNS configuration is missing or could not be read.
    #[error("the system's DNS configuration could not be read")]
    SystemConfiguration(#[source] Arc<dyn Error + Send + Sync>),
    /// The hosts file exists, but could not be read.
    #[error("the hosts file could not be read")]
    HostsFile(#[source] Arc<io::Error>),
    /// No server is configured.
    #[error("there is no DNS server to ask")]
    NoServers,
}

impl HickoryDns {
    /// Creates an adapter with the servers of the system's configuration and its hosts file.
    ///
    /// Both are read once. Only the servers of the configuration are used, not its search domains,
    /// time limits or other options. A host in the hosts file is answered from there alone, with a
    /// TTL of 60 s; for a family of which the file has no address, the answer is
    /// [`NoRecord::NoData`]. A missing hosts file counts as empty.
    ///
    /// ```no_run
    /// use matrix_delegation::HickoryDns;
    ///
    /// let dns = HickoryDns::from_system()?;
    /// # let _ = dns;
    /// # Ok::<(), matrix_delegation::adapters::HickoryDnsError>(())
    /// ```
    pub fn from_system() -> Result<Self, HickoryDnsError> {
        let (configuration, _) = read_system_conf()
            .map_err(|error| HickoryDnsError::SystemConfiguration(Arc::new(error)))?;
        let servers = configuration.name_servers().iter().filter_map(|server| {
            let over = |protocol| {
                server.connections.iter().find(|to| to.protocol.to_protocol() == protocol)
            };
            // Each is asked over both, at one port; systems configure no other kind.
            let connection = over(Protocol::Udp).or_else(|| over(Protocol::Tcp))?;
            Some(SocketAddr::new(server.ip, connection.port))
        });
        let hosts = match Hosts::from_system() {
            Ok(hosts) => hosts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Hosts::default(),
            Err(error) => return Err(HickoryDnsError::HostsFile(Arc::new(error))),
        };
        Ok(Self { hosts: Some(Arc::new(hosts)), ..Self::with_servers(servers)? })
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
        Ok(Self { servers, hosts: None, config: DnsConfig::default() })
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
        if question.host().is_onion() {
            return DnsAnswer::None { kind: NoRecord::Onion, ttl: None };
        }
        let Some(name) = absolute(&question.name()) else {
            // A service's labels can make a host's name longer than any name in DNS.
            return DnsAnswer::None { kind: NoRecord::NxDomain, ttl: None };
        };
        let record_type = match question {
            DnsQuestion::Addresses { family: Family::V4, .. } => RecordType::A,
            DnsQuestion::Addresses { family: Family::V6, .. } => RecordType::AAAA,
            DnsQuestion::Srv { .. } => RecordType::SRV,
        };
        if let Some(hosts) = &self.hosts
            && let Some(answer) = from_hosts(hosts, &name, record_type, &self.config)
        {
            return answer;
        }
        let started = Instant::now();
        let deadline = started.checked_add(self.config.question_limit).unwrap_or(started);
        // Every server gets its turn before the first is asked again.
        let servers = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let resend_after = self.config.first_retry.saturating_mul(servers);
        let mut inquiry = Inquiry { name, record_type, config: self.config, resend_after };
        let mut chain = AliasChain { aliases: 0, ttl: u32::MAX };
        // Ends: each round lengthens the chain, whose length is bounded.
        loop {
            match servers::ask(&self.servers, &inquiry, chain, deadline).await {
                Conclusion::Answer(answer) => return answer,
                Conclusion::Onward { name, .. } if is_onion(&name) => {
                    return DnsAnswer::None { kind: NoRecord::Onion, ttl: None };
                }
                Conclusion::Onward { name, chain: longer } => {
                    inquiry.name = name;
                    chain = longer;
                }
            }
        }
    }
}

impl Dns for HickoryDns {
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer> {
        Box::pin(self.answer(question))
    }
}

impl fmt::Debug for HickoryDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryDns")
            .field("servers", &self.servers)
            .field("hosts_file", &self.hosts.is_some())
            .field("config", &self.config)
            .finish()
    }
}

/// Parses a name as absolute, label by label: no escapes, no IDNA, no search domain.
fn absolute(name: &str) -> Option<Name> {
    Name::from_labels(name.split('.').map(str::as_bytes)).ok()
}

fn is_onion(name: &Name) -> bool {
    name.iter().next_back().is_some_and(|label| label.eq_ignore_ascii_case(b"onion"))
}

/// Returns what the hosts file says about a host's addresses, if it names the host.
fn from_hosts(
    hosts: &Hosts,
    name: &Name,
    record_type: RecordType,
    config: &DnsConfig,
) -> Option<DnsAnswer> {
    let of = |record_type| hosts.lookup_static_host(&Query::query(name.clone(), record_type));
    let is_named = of(RecordType::A).is_some() || of(RecordType::AAAA).is_some();
    if record_type == RecordType::SRV || !is_named {
        return None;
    }
    let (asked, ttl) = (of(record_type), config.hosts_ttl);
    let records = asked.iter().flat_map(Lookup::answers);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in records.filter_map(|record| record.data.ip_addr()) {
        // Files repeat themselves.
        if addresses.len() < config.records && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Some(if addresses.is_empty() {
        DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(ttl) }
    } else {
        DnsAnswer::Found { records: Records::Addresses(addresses), ttl, alias: false }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the hosts file is said to hold for.
    const HOSTS_TTL: std::time::Duration = std::time::Duration::from_secs(60);

    fn hosts(text: &str) -> Hosts {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(text.as_bytes()).unwrap();
        hosts
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
            let name = absolute(host).unwrap();
            let answer = from_hosts(&hosts, &name, record_type, &DnsConfig::default());
            assert_eq!(answer, expected, "{host} {record_type}");
        }
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
