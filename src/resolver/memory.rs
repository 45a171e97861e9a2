//! What the resolver remembers: three kinds of parts, each by its own clock, and the targets
//! composed of them.
//!
//! Parts are keyed by lower-cased DNS name and shared by all server names that need them; targets
//! are keyed by server name, so that one name's answer never leaks into another's. Each kind has a
//! bounded number of entries (S3-FIFO in `quick_cache`: a scan of one-off names does not push out
//! what is in use). An entry past its lifetime is not served but stays until it is overwritten or
//! evicted: a well-known answer that ran out still says whether the host delegated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::core::config::MemoryLimits;
use crate::core::dns::DnsQuestion;
use crate::core::dns_name::DnsName;
use crate::core::dns_part::DnsPart;
use crate::core::report::{Report, WellKnownReport};
use crate::core::server_name::ServerName;
use crate::core::target::DelegationTarget;
use crate::core::time::Monotonic;
use crate::core::well_known_answer::WellKnownAnswer;

/// A target with the story of how it was found.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) target: Arc<DelegationTarget>,
    pub(super) report: Arc<Report>,
}

/// A well-known answer with the story of how it was found.
#[derive(Debug)]
pub(super) struct LookedUp {
    pub(super) answer: Arc<WellKnownAnswer>,
    pub(super) lookup: Arc<WellKnownReport>,
}

/// How often something was forgotten on request. What was begun before that is not remembered after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

#[derive(Debug)]
pub(super) struct Memory {
    epoch: AtomicU64,
    targets: Cache<ServerName, Arc<Settled>>,
    well_known: Cache<DnsName, Arc<LookedUp>>,
    dns: Cache<DnsQuestion, Arc<DnsPart>>,
}

impl Memory {
    pub(super) fn new(limits: &MemoryLimits) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            targets: Cache::new(limits.targets),
            well_known: Cache::new(limits.well_known),
            dns: Cache::new(limits.dns),
        }
    }

    /// To be taken before something is begun that is to be remembered.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// The target of a name, while it holds.
    pub(super) fn target(&self, name: &ServerName, now: Monotonic) -> Option<Arc<Settled>> {
        self.earlier_target(name).filter(|settled| settled.target.is_fresh(now))
    }

    /// The target of a name, whether it holds or not.
    pub(super) fn earlier_target(&self, name: &ServerName) -> Option<Arc<Settled>> {
        self.targets.get(name)
    }

    pub(super) fn keep_target(&self, begun: Epoch, settled: Arc<Settled>) {
        if begun != self.epoch() {
            return;
        }
        self.targets.insert(settled.target.server_name().clone(), settled);
    }

    /// What is known of a host's well-known, while it holds.
    pub(super) fn well_known(&self, host: &DnsName, now: Monotonic) -> Option<Arc<LookedUp>> {
        self.earlier_well_known(host).filter(|known| now < known.answer.until())
    }

    /// What is known of it, whether it holds or not.
    pub(super) fn earlier_well_known(&self, host: &DnsName) -> Option<Arc<LookedUp>> {
        self.well_known.get(host)
    }

    pub(super) fn keep_well_known(&self, begun: Epoch, host: &DnsName, known: Arc<LookedUp>) {
        if begun != self.epoch() {
            return;
        }
        self.well_known.insert(host.clone(), known);
    }

    /// The answer to a question, while it holds.
    pub(super) fn dns(&self, question: &DnsQuestion, now: Monotonic) -> Option<Arc<DnsPart>> {
        self.earlier_dns(question).filter(|part| now < part.until())
    }

    /// The answer to a question, whether it holds or not.
    pub(super) fn earlier_dns(&self, question: &DnsQuestion) -> Option<Arc<DnsPart>> {
        self.dns.get(question)
    }

    pub(super) fn keep_dns(&self, begun: Epoch, question: &DnsQuestion, part: Arc<DnsPart>) {
        if begun != self.epoch() {
            return;
        }
        self.dns.insert(question.clone(), part);
    }

    fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets a target.
    pub(super) fn forget_target(&self, name: &ServerName) {
        self.next_epoch();
        self.targets.remove(name);
    }

    /// Forgets the parts that belong to a host.
    pub(super) fn forget_host(&self, host: &DnsName) {
        self.next_epoch();
        self.well_known.remove(host);
        self.dns.retain(|question, _| question.host() != host);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.next_epoch();
        self.targets.clear();
        self.well_known.clear();
        self.dns.clear();
    }
}
