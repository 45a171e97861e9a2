//! All that is remembered of one host.

use std::sync::Arc;

use crate::core::cache::{CachedTarget, DnsEntry, WellKnownEntry};
use crate::core::dns::{DnsQuestion, Family, Service};
use crate::core::few::Few;
use crate::core::names::{DnsName, ServerName};

/// All that is remembered of one host: its well-known and DNS answers, and the targets of the
/// server names with this host. It is shared, and replaced as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct HostEntry {
    pub(super) well_known: Option<Arc<WellKnownOfHost>>,
    /// Which questions have an answer in `dns`, as a set of their [`bit`]s.
    asked: u8,
    /// The answers in the order of those bits. A question beside each would cost eight bytes, for
    /// alignment.
    pub(super) dns: Box<[DnsEntry]>,
    /// The last found one is at the end.
    targets: Few<Arc<CachedTarget>>,
}

/// What is known of a host's well-known.
#[derive(Debug)]
pub(super) struct WellKnownOfHost {
    pub(super) entry: WellKnownEntry,
    /// The other hosts that redirects led to.
    pub(super) redirected_to: Box<[DnsName]>,
}

/// Returns the bit of a question in [`HostEntry::asked`].
const fn bit(question: &DnsQuestion) -> u8 {
    match question {
        DnsQuestion::Addresses { family: Family::V4, .. } => 1,
        DnsQuestion::Addresses { family: Family::V6, .. } => 1 << 1,
        DnsQuestion::Srv { service: Service::MatrixFed, .. } => 1 << 2,
        DnsQuestion::Srv { service: Service::Matrix, .. } => 1 << 3,
    }
}

impl HostEntry {
    /// At most this many server names of one host are remembered. Anyone can invent spellings and
    /// ports of a name, which then take room from their own host only.
    const MOST_TARGETS: usize = 16;

    pub(super) fn dns(&self, question: &DnsQuestion) -> Option<&DnsEntry> {
        self.dns.get(self.place(question).ok()?)
    }

    /// Returns the place of the answer to a question; as an error, where it would be.
    const fn place(&self, question: &DnsQuestion) -> Result<usize, usize> {
        let bit = bit(question);
        let before = (self.asked & (bit - 1)).count_ones() as usize;
        if self.asked & bit == 0 { Err(before) } else { Ok(before) }
    }

    /// Returns every DNS answer, with its question.
    pub(super) fn dns_entries(
        &self,
        host: &DnsName,
    ) -> impl Iterator<Item = (DnsQuestion, &DnsEntry)> {
        let addresses = |family| DnsQuestion::Addresses { host: host.clone(), family };
        let srv = |service| DnsQuestion::Srv { service, host: host.clone() };
        let all = Family::ALL.map(addresses).into_iter().chain(Service::ALL.map(srv));
        all.filter_map(|question| self.dns(&question).map(|entry| (question, entry)))
    }

    pub(super) fn target(&self, name: &ServerName) -> Option<&Arc<CachedTarget>> {
        self.targets().iter().find(|it| it.target.server_name() == name)
    }

    pub(super) fn targets(&self) -> &[Arc<CachedTarget>] {
        self.targets.as_slice()
    }

    pub(super) fn set_dns(&mut self, question: &DnsQuestion, entry: DnsEntry) {
        let mut dns = std::mem::take(&mut self.dns).into_vec();
        let at = self.place(question);
        if let Ok(at) = at {
            dns.remove(at);
        }
        dns.insert(at.unwrap_or_else(|at| at), entry);
        self.dns = dns.into();
        self.asked |= bit(question);
    }

    /// Remembers a target. If there are too many, the oldest is evicted, but never that of the host's
    /// plain name, which no stranger made up. Returns whether one was.
    pub(super) fn set_target(&mut self, target: Arc<CachedTarget>) -> bool {
        let mut targets = self.other_targets(target.target.server_name());
        let full = targets.len() >= Self::MOST_TARGETS;
        if full {
            targets.remove(targets.iter().position(|it| !is_plain(it)).unwrap_or(0));
        }
        targets.push(target);
        self.targets = targets.into();
        full
    }

    pub(super) fn remove_target(&mut self, name: &ServerName) {
        self.targets = self.other_targets(name).into();
    }

    fn other_targets(&self, name: &ServerName) -> Vec<Arc<CachedTarget>> {
        self.targets().iter().filter(|it| it.target.server_name() != name).cloned().collect()
    }

    /// Forgets everything but the targets.
    pub(super) fn forget_answers(&mut self) {
        *self = Self { targets: std::mem::take(&mut self.targets), ..Self::default() };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.well_known.is_none() && self.dns.is_empty() && self.targets().is_empty()
    }
}

/// Returns whether its server name has no port and no upper case: of all names of a host, one.
fn is_plain(cached: &CachedTarget) -> bool {
    let name = cached.target.server_name();
    name.port().is_none() && !name.as_str().bytes().any(|it| it.is_ascii_uppercase())
}
