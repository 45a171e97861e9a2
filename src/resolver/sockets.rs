//! How many sockets may be open at once, for DNS and for everything else.

#[cfg(feature = "client")]
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(feature = "client")]
use std::sync::Weak;
use std::time::Duration;

#[cfg(feature = "client")]
use super::Resolver;
#[cfg(feature = "client")]
use super::destinations::destination;
#[cfg(feature = "client")]
use super::slow_lately::Who;
#[cfg(feature = "client")]
use crate::runtime::lanes::{CalledBack, Idle, Lane, Turn};
use crate::runtime::lanes::{Lanes, Limits};

/// How long each may be kept although others wait for it.
const DNS_GRACE: Duration = Duration::from_millis(100);
const STREAM_GRACE: Duration = Duration::from_secs(1);

/// What is said of something whose socket was called back.
pub(super) const GAVE_WAY: &str = "it took long, and its socket was needed for others";

/// What is said of something that got no socket.
pub(super) fn none_free(of: &Lanes) -> String {
    format!("none of {} sockets became free in time (`resolver.sockets`)", of.size())
}

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

#[cfg(feature = "client")]
impl Resolver {
    /// Opens a stream to this address as soon as a socket is free, and returns it with the turn that it has
    /// as long as it is open. Fails with the reason if none is free, or if the socket was needed for others.
    pub(crate) async fn open<T, E>(
        &self,
        address: Option<SocketAddr>,
        wait: Duration,
        open: impl Future<Output = Result<T, E>>,
    ) -> Result<(Result<T, E>, Turn), String> {
        let answers = &self.targets.answers;
        let Sockets { streams, wait: longest, .. } = &answers.sockets;
        let network = address.map(|address| Who::Network(destination(&address)));
        let is_slow = |who| answers.slow_lately.contains(who, answers.now());
        let lane = if network.as_ref().is_some_and(is_slow) { Lane::Slow } else { Lane::Quick };
        let turn = streams.turn(lane, &*answers.runtime, wait.min(*longest)).await;
        let turn = turn.map_err(|_| none_free(streams))?;
        let begun = answers.now();
        let opened = turn.run(&*answers.runtime, open).await;
        let now = answers.now();
        if let Some(network) = network {
            answers.slow_lately.learn(network, now.since(begun), now);
        }
        // From now on it is used for as long as it is needed.
        turn.speed_up();
        Ok((opened.map_err(|CalledBack| GAVE_WAY.to_owned())?, turn))
    }

    /// Has this one asked for sockets that it does not need whenever one is waited for.
    pub(crate) fn add_idle(&self, idle: Weak<dyn Idle>) {
        self.targets.answers.sockets.streams.add_idle(idle);
    }
}
