//! Section `[dns]`: how DNS is asked.

use std::time::Duration;

use crate::core::config::setting::settings;

/// The least of [`DnsConfig::first_retry`], lest a question become a flood.
const LEAST_RETRY: Duration = Duration::from_millis(10);
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
        /// s; at least 10 ms, at most 1 h.
        first_retry: Duration = Duration::from_secs(1),
            no_shorter(LEAST_RETRY, "questions would flood"),
            no_longer(LONGEST);
        /// The largest UDP reply to ask for, in bytes (RFC 6891 section 6.2.3); larger replies are
        /// fetched over TCP. Default 1,232, which fits into one packet nearly everywhere (DNS flag
        /// day 2020, RFC 9715); at least 512.
        edns_payload: u16 = 1232,
            within(LEAST_PAYLOAD.into()..=u16::MAX.into(), "every server may send more");
        /// At most this many aliases (CNAME, DNAME) are followed for one question, over all replies. An
        /// alias loop ends there, too. Default 16; at most 64.
        aliases: usize = 16, within(0..=64, "");
        /// At most this many records are returned. A host or service has a few; a reply of 64 KiB holds
        /// thousands. Default 256.
        records: usize = 256, at_least(1, "no record could be used");
        /// The TTL of an answer from the hosts file, which states none. Default 1 min.
        hosts_ttl: Duration = Duration::from_secs(60);
    }
}
