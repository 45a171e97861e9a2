//! Section `[dns]`: how DNS is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::config::check::{Problems, checked};
use crate::core::config::duration::print;

/// The least of [`DnsConfig::first_retry`], lest a question become a flood.
pub(super) const LEAST_RETRY: Duration = Duration::from_millis(10);
/// The most that any time may be; later points in time need not be representable.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
/// What every server may send without being told (RFC 1035 section 4.2.1, RFC 6891 section 6.2.3).
pub(super) const LEAST_PAYLOAD: u16 = 512;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DnsConfig {
    /// How long one question may take in all, with every retransmission, server, retry over TCP
    /// and alias. Default 5 s; at most 1 h.
    #[serde(with = "crate::core::config::duration")]
    pub question_limit: Duration,
    /// How long a silent server is waited for before the next server is asked, or the same one
    /// again if it is the only one. Each further wait for a server is twice as long. Default 1 s;
    /// at least 10 ms, at most 1 h.
    #[serde(with = "crate::core::config::duration")]
    pub first_retry: Duration,
    /// The largest UDP reply to ask for, in bytes (RFC 6891 section 6.2.3); larger replies are
    /// fetched over TCP. Default 1,232, which fits into one packet nearly everywhere (DNS flag day
    /// 2020, RFC 9715); at least 512.
    pub edns_payload: u16,
    /// The TTL of an answer from the hosts file, which states none. Default 1 min.
    #[serde(with = "crate::core::config::duration")]
    pub hosts_ttl: Duration,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            question_limit: Duration::from_secs(5),
            first_retry: Duration::from_secs(1),
            edns_payload: 1232,
            hosts_ttl: Duration::from_secs(60),
        }
    }
}

checked!(DnsConfig);

impl DnsConfig {
    fn find(&self, problems: &mut Problems) {
        problems.not_zero("question_limit", self.question_limit, "every question would time out");
        for (field, value) in
            [("question_limit", self.question_limit), ("first_retry", self.first_retry)]
        {
            if value > LONGEST {
                problems.add(field, format!("{} is too much; set 1h or less", print(value)));
            }
        }
        if self.first_retry < LEAST_RETRY {
            let retry = print(self.first_retry);
            problems
                .add("first_retry", format!("{retry}: questions would flood; set 10ms or more"));
        }
        let least = usize::from(LEAST_PAYLOAD)..=u16::MAX.into();
        let because = "every server may send more";
        problems.number("edns_payload", self.edns_payload.into(), least, because);
    }
}
