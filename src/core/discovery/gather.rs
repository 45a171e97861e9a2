//! The addresses of one host: both families asked at once, vetted, in canonical order.

use std::net::IpAddr;
use std::time::Duration;

use super::ledger::Ledger;
use crate::core::address_policy::BlockedRange;
use crate::core::config::{BlockedAddressPolicy, FamilyOrder};
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, Family};
use crate::core::error::{FamilyOutcome, HostEvidence};
use crate::core::names::dns_name::DnsName;
use crate::core::time::Monotonic;
use crate::core::warning::Warning;

/// How many blocked addresses of a host are named in warnings and errors.
const NAMED_BLOCKED: usize = 4;

/// What is known of a host's addresses at some time.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) host: DnsName,
    /// Vetted; one family before the other, ascending, each once, as many of each as the limit allows.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) families: Vec<(Family, FamilyOutcome)>,
    pub(super) blocked: Vec<(IpAddr, BlockedRange)>,
    /// Whether an alias was followed.
    pub(super) alias: bool,
    /// When the first usable address was there.
    pub(super) first: Option<Monotonic>,
    /// When the host was asked for; stragglers have their grace from then at the earliest.
    pub(super) asked: Monotonic,
    /// Until when the answers hold that came.
    pub(super) until: Option<Monotonic>,
    /// Families whose look-up failed, with earlier records standing in.
    pub(super) stale: Vec<(Family, DnsFailure)>,
}

/// Asks for the host's addresses, unless that was done, and says what is known of them.
pub(super) fn gather(ledger: &mut Ledger, host: &DnsName, now: Monotonic) -> Gathered {
    let mut gathered = Gathered {
        host: host.clone(),
        addresses: Vec::new(),
        families: Vec::new(),
        blocked: Vec::new(),
        alias: false,
        first: None,
        asked: Monotonic::ZERO,
        until: None,
        stale: Vec::new(),
    };
    let stale_for = ledger.config.dns.stale;
    for family in ledger.config.addresses.families() {
        let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
        let fact = ledger.dns(&question, now);
        gathered.asked = gathered.asked.max(ledger.asked(&question).unwrap_or(now));
        let in_use = fact.as_ref().map(|fact| fact.part.in_use(now, stale_for));
        let outcome = match &in_use {
            None => FamilyOutcome::Late,
            Some(in_use) => match in_use.answer {
                DnsAnswer::Found { .. } => gathered.take(ledger, in_use.addresses()),
                DnsAnswer::None { kind, .. } => FamilyOutcome::None(*kind),
                DnsAnswer::Failed { failure, .. } => FamilyOutcome::Failed(*failure),
            },
        };
        if let (Some(fact), Some(in_use)) = (&fact, in_use) {
            gathered.alias |= in_use.alias;
            gathered.stale.extend(in_use.stale.map(|failure| (*family, failure)));
            let until = in_use.until;
            match outcome {
                // Whether a failure beside an answer shortens the answer's life is decided later.
                FamilyOutcome::Failed(_) => {}
                _ => gathered.until = Some(gathered.until.map_or(until, |it| it.min(until))),
            }
            if matches!(outcome, FamilyOutcome::Found(1..)) {
                gathered.first = Some(gathered.first.map_or(fact.at, |first| first.min(fact.at)));
            }
        }
        gathered.families.push((*family, outcome));
    }
    let config = &ledger.config;
    if config.family_order == FamilyOrder::V6First {
        gathered.addresses.sort_by_key(IpAddr::is_ipv4);
    }
    if config.blocked_address == BlockedAddressPolicy::RefuseHost
        && !(gathered.is_complete() && gathered.blocked.is_empty())
    {
        gathered.withhold();
    }
    gathered
}

impl Gathered {
    /// Judges the addresses of one family and keeps those that may be connected to.
    fn take(&mut self, ledger: &Ledger, addresses: &[IpAddr]) -> FamilyOutcome {
        let mut vetted = Vec::with_capacity(addresses.len());
        let limit = ledger.config.limits.addresses_per_family;
        for address in addresses {
            match ledger.config.address_policy.check(*address) {
                Ok(()) => vetted.push(*address),
                Err(range) => self.blocked.push((*address, range)),
            }
        }
        vetted.sort_unstable();
        vetted.dedup();
        vetted.truncate(limit);
        self.blocked.sort_by_key(|(address, _)| *address);
        self.blocked.dedup_by_key(|(address, _)| *address);
        let found = vetted.len();
        self.addresses.append(&mut vetted);
        FamilyOutcome::Found(found)
    }

    /// Keeps no address: one is blocked, or may be in an answer that is still to come.
    fn withhold(&mut self) {
        self.addresses.clear();
        self.first = None;
        for (_, outcome) in &mut self.families {
            if let FamilyOutcome::Found(count) = outcome {
                *count = 0;
            }
        }
    }

    /// Whether every family has answered, one way or another.
    pub(super) fn is_complete(&self) -> bool {
        !self.families.iter().any(|(_, outcome)| *outcome == FamilyOutcome::Late)
    }

    /// Whether nothing more is to be waited for: all families answered, or the first with an
    /// address did `grace` ago.
    pub(super) fn is_ready(&self, ledger: &mut Ledger, grace: Duration, now: Monotonic) -> bool {
        if self.is_complete() {
            return true;
        }
        let Some(first) = self.first else { return false };
        let due = first.max(self.asked) + grace;
        if now >= due {
            return true;
        }
        ledger.wake_at(due);
        false
    }

    /// How the look-up of some family failed, if one did.
    pub(super) fn failure(&self) -> Option<(Family, DnsFailure)> {
        self.families.iter().find_map(|(family, outcome)| match outcome {
            FamilyOutcome::Failed(failure) => Some((*family, *failure)),
            _ => None,
        })
    }

    /// Until when the whole of it holds: a family that failed or came late beside another is asked
    /// again after a while.
    pub(super) fn until(&self, now: Monotonic, incomplete: Duration) -> Monotonic {
        let complete = self.is_complete() && self.failure().is_none();
        match self.until {
            Some(until) if complete => until,
            Some(until) => until.min(now + incomplete),
            None => now + incomplete,
        }
    }

    /// What an administrator should know of a host that is used.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Warning> + '_ {
        let blocked = self.blocked.iter().take(NAMED_BLOCKED);
        let blocked = blocked.map(|(address, range)| Warning::AddressBlocked {
            host: self.host.clone(),
            address: *address,
            range: range.clone(),
        });
        let stale = self.stale.iter().map(|(family, failure)| Warning::DnsStale {
            question: DnsQuestion::Addresses { host: self.host.clone(), family: *family },
            failure: *failure,
        });
        let usable = !self.addresses.is_empty();
        let families = self.families.iter().filter_map(move |(family, outcome)| {
            let (host, family) = (self.host.clone(), *family);
            match outcome {
                FamilyOutcome::Failed(failure) if usable => {
                    Some(Warning::AddressFamilyFailed { host, family, failure: *failure })
                }
                FamilyOutcome::Late if usable => Some(Warning::AddressFamilyLate { host, family }),
                _ => None,
            }
        });
        blocked.chain(stale).chain(families)
    }

    pub(super) fn evidence(&self) -> HostEvidence {
        HostEvidence {
            host: self.host.clone(),
            families: self.families.clone(),
            blocked: self.blocked.iter().take(NAMED_BLOCKED).cloned().collect(),
        }
    }
}
