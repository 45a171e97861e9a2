//! The addresses of one host: both families asked at once, vetted, in canonical order.

use std::net::IpAddr;
use std::time::Duration;

use super::ledger::{Fact, Ledger};
use crate::core::address_policy::BlockedRange;
use crate::core::cache::entry::Served;
use crate::core::dns::{DnsFailure, DnsQuestion, Family};
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
    /// Vetted; IPv4 before IPv6, ascending, each once, as many of each as the limit allows.
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
    /// Families whose records have expired, with the failure to renew them.
    pub(super) stale: Vec<(Family, Option<DnsFailure>)>,
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
    for family in ledger.config.addresses.families() {
        let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
        let fact = ledger.dns(&question, now);
        gathered.asked = gathered.asked.max(ledger.asked(&question).unwrap_or(now));
        let outcome = match &fact {
            None => FamilyOutcome::Late,
            Some(fact) => gathered.take(ledger, *family, fact, now),
        };
        gathered.families.push((*family, outcome));
    }
    gathered
}

impl Gathered {
    /// Takes in the answer of one family.
    fn take(
        &mut self,
        ledger: &Ledger,
        family: Family,
        fact: &Fact,
        now: Monotonic,
    ) -> FamilyOutcome {
        let served = fact.served();
        let (records, until) = match served {
            // Whether a failure beside an answer shortens the answer's life is decided later.
            Served::Failed { why, .. } => return FamilyOutcome::Failed(why.failure),
            Served::Holds { value, until } => (value, until),
            Served::Stale { value, because, until } => {
                self.stale.push((family, because.map(|why| why.failure)));
                (value, ledger.stale_until(until, now))
            }
        };
        self.until = Some(self.until.map_or(until, |it| it.min(until)));
        if let Some(kind) = records.none() {
            return FamilyOutcome::None(kind);
        }
        self.alias |= records.is_alias();
        let outcome = self.judge(ledger, records.addresses());
        if matches!(outcome, FamilyOutcome::Found(1..)) {
            self.first = Some(self.first.map_or(fact.at, |first| first.min(fact.at)));
        }
        outcome
    }

    /// Judges the addresses of one family and keeps those that may be connected to.
    fn judge(&mut self, ledger: &Ledger, addresses: &[IpAddr]) -> FamilyOutcome {
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
