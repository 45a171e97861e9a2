//! How many sockets may be open at once, for DNS and for everything else.

use std::sync::Arc;
use std::time::Duration;

use super::lanes::{Lanes, Limits};

/// How long each may be kept although others wait for it.
const DNS_GRACE: Duration = Duration::from_millis(100);
const STREAM_GRACE: Duration = Duration::from_secs(1);

/// The sockets that may be open at once.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// Those for questions to DNS.
    pub(crate) dns: Arc<Lanes>,
    /// Those for connections.
    pub(crate) streams: Arc<Lanes>,
    /// How long each may be waited for.
    pub(crate) wait: Duration,
}

impl Sockets {
    /// Shares `open` sockets out. At most half of each share is for those who take long.
    pub(crate) fn new(open: usize, dns_percent: u8, wait: Duration, waiting: usize) -> Self {
        let dns = match open {
            0 | 1 => open,
            _ => (open.saturating_mul(dns_percent.into()) / 100).clamp(1, open - 1),
        };
        let lanes = |all: usize, grace| {
            Arc::new(Lanes::new(Limits { quick: all, slow: all / 2, both: all, waiting, grace }))
        };
        // A question to DNS is asked again, and the server may have the answer by then.
        let (dns, streams) = (lanes(dns, DNS_GRACE), lanes(open - dns, STREAM_GRACE));
        Self { dns, streams, wait }
    }
}
