//! The look-up of a well-known document by itself.

use std::sync::Arc;
use std::task::Poll;

use super::facts::Facts;
use super::fetch_chain::FetchChain;
use super::machine::{Answer, Machine, Output};
use crate::core::cache::WellKnownEntry;
use crate::core::config::Config;
use crate::core::names::DnsName;
use crate::core::report::WellKnownReport;
use crate::core::time::Now;

/// Looks up the well-known document of one host, for drivers that share the answer between
/// discoveries. [`Machine`] says how to drive it. It ends with a [`WellKnownEntry`], never with an
/// error.
#[derive(Debug)]
pub struct WellKnownLookup {
    facts: Facts,
    chain: FetchChain,
}

impl WellKnownLookup {
    /// Creates a look-up that begins now. The seed draws the jitter of lifetimes; any number will do.
    pub fn new(host: DnsName, config: Arc<Config>, now: Now, seed: u64) -> Self {
        Self { facts: Facts::new(config, now, seed), chain: FetchChain::new(host) }
    }

    /// Sets what was known before, so that a good answer is kept while failures do not withdraw it, and
    /// repeated failures back off.
    #[must_use]
    pub fn with_earlier(mut self, before: WellKnownEntry) -> Self {
        self.chain.before = Some(before);
        self
    }

    /// Returns what was asked and answered so far.
    pub fn report(&self) -> WellKnownReport {
        let started = self.facts.started();
        let report = self.chain.report(started);
        WellKnownReport { dns: self.facts.exchanges(), ..report }
    }
}

impl Machine for WellKnownLookup {
    type Done = WellKnownEntry;

    fn poll_output(&mut self, now: Now) -> Output<WellKnownEntry> {
        let now = self.facts.clock(now);
        self.facts.begin();
        if let Poll::Ready(answer) = self.chain.poll(&mut self.facts, now) {
            return Output::Done(answer.clone());
        }
        self.facts.next_output()
    }

    fn handle(&mut self, answer: Answer, now: Now) {
        let now = self.facts.clock(now);
        match answer {
            Answer::Fetch { token, result } => {
                self.chain.handle(token, result, self.facts.since_start(now.monotonic));
            }
            // A look-up asks for no other look-up; the facts ignore it.
            other => self.facts.handle(other, now.monotonic),
        }
    }
}
