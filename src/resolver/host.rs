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
    well_known: Option<Arc<WellKnownOfHost>>,
    /// Which questions have an answer in `dns`, in the order of [`HostQuestion::all`].
    asked: [bool; HostQuestion::COUNT],
    /// The answers in that order. A question beside each would cost eight bytes, for alignment.
    dns: Box<[DnsEntry]>,
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

/// A question to DNS, without the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostQuestion {
    Addresses(Family),
    Srv(Service),
}

impl From<&DnsQuestion> for HostQuestion {
    fn from(question: &DnsQuestion) -> Self {
        match question {
            DnsQuestion::Addresses { family, .. } => Self::Addresses(*family),
            DnsQuestion::Srv { service, .. } => Self::Srv(*service),
        }
    }
}

impl HostQuestion {
    const COUNT: usize = Family::ALL.len() + Service::ALL.len();

    fn all() -> impl Iterator<Item = Self> {
        let addresses = Family::ALL.into_iter().map(Self::Addresses);
        addresses.chain(Service::ALL.into_iter().map(Self::Srv))
    }

    fn of(self, host: &DnsName) -> DnsQuestion {
        let host = host.clone();
        match self {
            Self::Addresses(family) => DnsQuestion::Addresses { host, family },
            Self::Srv(service) => DnsQuestion::Srv { service, host },
        }
    }
}

impl HostEntry {
    /// At most this many server names of one host are remembered. Anyone can invent spellings and
    /// ports of a name, which then take room from their own host only.
    const MOST_TARGETS: usize = 16;

    pub(super) fn well_known(&self) -> Option<&Arc<WellKnownOfHost>> {
        self.well_known.as_ref()
    }

    pub(super) fn dns(&self, question: &DnsQuestion) -> Option<&DnsEntry> {
        let wanted = HostQuestion::from(question);
        self.answered().find(|(question, _)| *question == wanted).map(|(_, entry)| entry)
    }

    fn answered(&self) -> impl Iterator<Item = (HostQuestion, &DnsEntry)> {
        let asked = HostQuestion::all().zip(self.asked).filter(|(_, asked)| *asked);
        asked.map(|(question, _)| question).zip(&self.dns)
    }

    pub(super) fn dns_answers(&self) -> &[DnsEntry] {
        &self.dns
    }

    /// Returns every DNS answer, with its question.
    pub(super) fn dns_entries(
        &self,
        host: &DnsName,
    ) -> impl Iterator<Item = (DnsQuestion, &DnsEntry)> {
        self.answered().map(|(question, entry)| (question.of(host), entry))
    }

    pub(super) fn target(&self, name: &ServerName) -> Option<&Arc<CachedTarget>> {
        self.targets().iter().find(|it| it.target.server_name() == name)
    }

    pub(super) fn targets(&self) -> &[Arc<CachedTarget>] {
        self.targets.as_slice()
    }

    pub(super) fn set_well_known(&mut self, well_known: WellKnownOfHost) {
        self.well_known = Some(Arc::new(well_known));
    }

    pub(super) fn set_dns(&mut self, question: &DnsQuestion, entry: DnsEntry) {
        let question = HostQuestion::from(question);
        let (mut asked, mut dns) = (self.asked, Vec::with_capacity(HostQuestion::COUNT));
        let mut before = std::mem::take(&mut self.dns).into_vec().into_iter();
        let mut entry = Some(entry);
        for (other, asked) in HostQuestion::all().zip(&mut asked) {
            let answer = if *asked { before.next() } else { None };
            let answer = if other == question { entry.take() } else { answer };
            *asked = answer.is_some();
            dns.extend(answer);
        }
        (self.asked, self.dns) = (asked, dns.into());
    }

    /// Remembers a target. If there are too many, the oldest is evicted, but never that of the host's
    /// plain name, which no stranger made up. Returns whether one was.
    pub(super) fn set_target(&mut self, target: Arc<CachedTarget>) -> bool {
        let mut targets = self.targets().to_vec();
        targets.retain(|it| it.target.server_name() != target.target.server_name());
        let full = targets.len() >= Self::MOST_TARGETS;
        if full {
            targets.remove(targets.iter().position(|it| !is_plain(it)).unwrap_or(0));
        }
        targets.push(target);
        self.targets = targets.into();
        full
    }

    pub(super) fn remove_target(&mut self, name: &ServerName) {
        let mut targets = self.targets().to_vec();
        targets.retain(|it| it.target.server_name() != name);
        self.targets = targets.into();
    }

    /// Forgets everything but the targets.
    pub(super) fn forget_answers(&mut self) {
        self.well_known = None;
        self.asked = Default::default();
        self.dns = Box::default();
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
