//! The look-up of a well-known document by itself.

use std::sync::Arc;
use std::task::Poll;

use super::chain::Chain;
use super::ledger::Ledger;
use super::machine::{Answer, Machine, Output};
use crate::core::cache::policy::WellKnownEntry;
use crate::core::config::Config;
use crate::core::names::dns_name::DnsName;
use crate::core::report::WellKnownReport;
use crate::core::time::Now;

/// Finds out about one host's well-known document, for drivers that share the answer between
/// discoveries. It is driven like a [`Discovery`](crate::Discovery) and ends with a [`WellKnownEntry`], never with
/// an error.
#[derive(Debug)]
pub struct WellKnownLookup {
    ledger: Ledger,
    chain: Chain,
}

impl WellKnownLookup {
    /// A look-up that begins now. The seed draws the jitter of lifetimes; any number will do.
    pub fn new(host: DnsName, config: Arc<Config>, now: Now, seed: u64) -> Self {
        Self { ledger: Ledger::new(config, now, seed), chain: Chain::new(host) }
    }

    /// Tells what was known before, so that failures back off and a good answer is kept.
    #[must_use]
    pub fn with_earlier(mut self, before: WellKnownEntry) -> Self {
        self.chain.set_before(before);
        self
    }

    /// Everything asked and got so far.
    pub fn report(&self) -> WellKnownReport {
        let started = self.ledger.started();
        let report = self.chain.report(started);
        WellKnownReport { dns: self.ledger.exchanges(), ..report }
    }
}

impl Machine for WellKnownLookup {
    type Done = WellKnownEntry;

    fn poll_output(&mut self, now: Now) -> Output<WellKnownEntry> {
        let now = self.ledger.clock(now);
        self.ledger.begin();
        if let Poll::Ready(answer) = self.chain.poll(&mut self.ledger, now) {
            return Output::Done(answer.clone());
        }
        self.ledger.next_output()
    }

    fn handle(&mut self, answer: Answer, now: Now) {
        let now = self.ledger.clock(now);
        match answer {
            Answer::Fetch { token, result } => {
                self.chain.handle(token, result, self.ledger.since_start(now.monotonic));
            }
            of_dns => self.ledger.handle(of_dns, now.monotonic),
        }
    }
}
