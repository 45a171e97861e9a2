//! Section `[dns]`: how DNS is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::config::setting::{Setting, settings};

/// The least of [`DnsConfig::first_retry`], lest a question become a flood.
pub(super) const LEAST_RETRY: Duration = Duration::from_millis(10);
/// The most that any time may be; later points in time need not be representable.
pub(in crate::adapters) const LONGEST: Duration = Duration::from_secs(3600);
/// What every server may send without being told (RFC 1035 section 4.2.1, RFC 6891 section 6.2.3).
const LEAST_PAYLOAD: u16 = 512;

settings! {
    /// How [`HickoryDns`](crate::HickoryDns) asks.
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::adapters::DnsConfig;
    /// use matrix_delegation::HickoryDns;
    ///
    /// let mut config = DnsConfig::default();
    /// config.first_retry = Duration::from_millis(500);
    /// let dns = HickoryDns::with_servers(["192.0.2.53:53".parse()?])?.with_config(config)?;
    /// # let _ = dns;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Copy, Eq, Hash)]
    pub struct DnsConfig {
        /// How long one question may take in all, with every retransmission, server, retry over TCP
        /// and alias. Default 5 s; at most 1 h.
        question_limit: Duration = Duration::from_secs(5),
            not_zero("every question would time out"),
            no_longer(LONGEST);
        /// How long a silent server is waited for before the next server is asked, or the same one
        /// again if it is the only one. Each further wait for a server is twice as long. Default 1
        /// s, or what `timeout:` of the system's configuration says, as far as every server has its
        /// turn; at least 10 ms, at most 1 h.
        first_retry: Duration = Duration::from_secs(1),
            no_shorter(LEAST_RETRY, "questions would flood"),
            no_longer(LONGEST);
        /// How often a server is sent a question over UDP at most, the first time included. Default 3,
        /// or what `attempts:` of the system's configuration says; 1 to 10.
        attempts: u8 = 3, within(1..=10, "nothing would be asked");
        /// Over what the servers are asked. Default: over UDP first.
        transport: DnsTransport;
        /// In which order the servers are asked. Default: their own.
        server_order: ServerOrder;
        /// Whether questions have an OPT record (EDNS, RFC 6891), which some servers and middleboxes
        /// mishandle. A server that seems not to understand it is asked once more without; if that
        /// is answered, it is not sent any for 10 min. Default: no, unless the system's configuration
        /// says `edns0`.
        edns: bool = false;
        /// The largest UDP reply to ask for, in bytes (RFC 6891 section 6.2.3), with `edns`; larger
        /// replies are fetched over TCP. Default 1,232, which fits into one packet nearly everywhere
        /// (DNS flag day 2020, RFC 9715); at least 512.
        edns_payload: u16 = 1232,
            within(LEAST_PAYLOAD.into()..=u16::MAX.into(), "every server may send more");
        /// Whether the letters of a name are sent in random case, which the reply has to repeat: a
        /// forger has to guess it. Servers that do not repeat it are asked over TCP, which takes
        /// [`first_retry`](Self::first_retry) longer. Default: no.
        random_case: bool = false;
        /// At most this many aliases (CNAME, DNAME) are followed for one question, over all replies. An
        /// alias loop ends there, too. Default 16; at most 64.
        aliases: usize = 16, within(0..=64, "");
        /// At most this many more queries are sent for one question whose replies end with an alias, as
        /// those of servers do that do not follow it themselves. Default 2, on which the budget of a
        /// discovery counts ([`Limits::dns_queries`](crate::config::Limits::dns_queries)).
        alias_queries: usize = 2;
        /// At most this many records are returned. A host or service has a few; a reply of 64 KiB holds
        /// thousands. Default 256.
        records: usize = 256, at_least(1, "no record could be used");
        /// How long an answer holds at least that says that there is no such name or record, where the
        /// server states a time at all. Default 0: as long as the server says. The cache's own minimum is
        /// [`DnsLifetimes::negative_least`](crate::config::DnsLifetimes::negative_least).
        negative_least: Duration = Duration::ZERO, no_longer(LONGEST);
        /// Whether the system's hosts file is used where its configuration is. Default: yes.
        hosts_file: bool = true;
        /// The TTL of an answer from the hosts file, which states none. Default 1 min.
        hosts_ttl: Duration = Duration::from_secs(60);
    }
}

/// Over what DNS servers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DnsTransport {
    /// UDP, and TCP for what UDP does not bring: a truncated reply, a closed port, silence (RFC 7766
    /// section 5). The default.
    #[default]
    UdpFirst,
    /// TCP alone, as `options use-vc` of the system's configuration says.
    TcpOnly,
}

/// In which order DNS servers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerOrder {
    /// As they are given or configured. The default.
    #[default]
    InOrder,
    /// Each question begins with another one, as `options rotate` of the system's configuration says.
    Rotate,
    /// All at once: the first answer counts. Each server sees every question.
    AllAtOnce,
}

impl Setting for DnsTransport {}
impl Setting for ServerOrder {}
