//! The addresses of one host: both families asked at once, judged by the policy, in canonical order.

use std::net::IpAddr;
use std::time::Duration;

use super::facts::{Fact, Facts};
use crate::core::address_policy::BlockedRange;
use crate::core::cache::Served;
use crate::core::config::{BlockedAddressPolicy, FamilyOrder};
use crate::core::dns::{DnsFailure, DnsQuestion, Family};
use crate::core::error::{FamilyOutcome, HostEvidence};
use crate::core::names::DnsName;
use crate::core::time::Monotonic;
use crate::core::warning::Warning;

/// The most blocked addresses of one host that warnings and errors name.
const NAMED_BLOCKED: usize = 4;

/// The addresses of a host, as far as they are known at some time.
#[derive(Debug)]
pub(super) struct HostAddresses {
    pub(super) host: DnsName,
    /// Those that may be connected to: one family before the other, ascending, each once, at most
    /// as many of each family as the limit allows.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) families: Vec<(Family, FamilyOutcome)>,
    /// What the adapter said of look-ups that failed, each once.
    pub(super) details: Vec<String>,
    pub(super) blocked: Vec<(IpAddr, BlockedRange)>,
    /// Whether an alias was followed to them.
    pub(super) alias: bool,
    /// When the first usable address arrived.
    pub(super) first: Option<Monotonic>,
    /// When the last family was asked for. Late answers have their grace from then at the earliest.
    pub(super) asked: Monotonic,
    /// Until when the answers hold that arrived.
    pub(super) until: Option<Monotonic>,
    /// Families whose records have expired, with the failure to renew them.
    pub(super) stale: Vec<(Family, Option<DnsFailure>)>,
}

impl HostAddresses {
    /// Asks for the host's addresses, unless that was done before, and returns what is known of
    /// them.
    pub(super) fn of(facts: &mut Facts, host: &DnsName, now: Monotonic) -> Self {
        let mut found = Self {
            host: host.clone(),
            addresses: Vec::new(),
            families: Vec::new(),
            details: Vec::new(),
            blocked: Vec::new(),
            alias: false,
            first: None,
            asked: Monotonic::ZERO,
            until: None,
            stale: Vec::new(),
        };
        for family in facts.config.addresses.families() {
            let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
            let fact = facts.dns(&question, now);
            found.asked = found.asked.max(facts.asked(&question).unwrap_or(now));
            let outcome = match &fact {
                None => FamilyOutcome::Late,
                Some(fact) => found.take(facts, *family, fact, now),
            };
            found.families.push((*family, outcome));
        }
        let config = &facts.config;
        if config.family_order == FamilyOrder::V6First {
            found.addresses.sort_by_key(IpAddr::is_ipv4);
        }
        if config.blocked_address == BlockedAddressPolicy::RefuseHost
            && !(found.is_complete() && found.blocked.is_empty())
        {
            found.withhold();
        }
        found
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

    /// Takes in the answer of one family.
    fn take(
        &mut self,
        facts: &Facts,
        family: Family,
        fact: &Fact,
        now: Monotonic,
    ) -> FamilyOutcome {
        let (records, until) = match fact.served() {
            // `until` decides whether a failure beside an answer shortens the answer's life.
            Served::Failed { why, .. } => {
                let detail = why.excerpt();
                if !detail.is_empty() && !self.details.contains(&detail) {
                    self.details.push(detail);
                }
                return FamilyOutcome::Failed(why.failure);
            }
            Served::Holds { value, until } => (value, until),
            Served::Stale { value, because, until } => {
                self.stale.push((family, because.map(|why| why.failure)));
                (value, facts.stale_until(until, now))
            }
        };
        self.until = Some(self.until.map_or(until, |it| it.min(until)));
        if let Some(kind) = records.none() {
            return FamilyOutcome::None(kind);
        }
        self.alias |= records.is_alias();
        let outcome = self.judge(facts, records.addresses());
        if matches!(outcome, FamilyOutcome::Found(1..)) {
            self.first = Some(self.first.map_or(fact.at, |first| first.min(fact.at)));
        }
        outcome
    }

    /// Judges the addresses of one family and adds those that may be connected to.
    fn judge(&mut self, facts: &Facts, addresses: &[IpAddr]) -> FamilyOutcome {
        let mut vetted = Vec::with_capacity(addresses.len());
        let limit = facts.config.limits.addresses_per_family;
        for address in addresses {
            match facts.config.address_policy.check(*address) {
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

    /// Returns whether every family has answered, if only with a failure.
    pub(super) fn is_complete(&self) -> bool {
        !self.families.iter().any(|(_, outcome)| *outcome == FamilyOutcome::Late)
    }

    /// Returns whether there is nothing more to wait for: every family has answered, or the first
    /// usable address arrived at least `grace` ago (RFC 8305 section 3).
    pub(super) fn is_ready(&self, facts: &mut Facts, grace: Duration, now: Monotonic) -> bool {
        if self.is_complete() {
            return true;
        }
        let Some(first) = self.first else { return false };
        let due = first.max(self.asked) + grace;
        if now >= due {
            return true;
        }
        facts.wake_at(due);
        false
    }

    /// Returns a family whose look-up failed, and how: one that this machine could not ask for, if there
    /// is one, else the first.
    pub(super) fn failure(&self) -> Option<(Family, DnsFailure)> {
        let failed = self.families.iter().filter_map(|(family, outcome)| match outcome {
            FamilyOutcome::Failed(failure) => Some((*family, *failure)),
            _ => None,
        });
        failed.min_by_key(|(_, failure)| *failure != DnsFailure::Local)
    }

    /// Returns until when all of it holds. A family that failed or is late beside the other is
    /// asked again after `incomplete`.
    pub(super) fn until(&self, now: Monotonic, incomplete: Duration) -> Monotonic {
        let complete = self.is_complete() && self.failure().is_none();
        match self.until {
            Some(until) if complete => until,
            Some(until) => until.min(now + incomplete),
            None => now + incomplete,
        }
    }

    /// Returns the warnings about a host that is used.
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

    /// Returns what an error says of the host.
    pub(super) fn evidence(&self) -> HostEvidence {
        HostEvidence {
            host: self.host.clone(),
            families: self.families.clone(),
            details: self.details.clone(),
            blocked: self.blocked.iter().take(NAMED_BLOCKED).cloned().collect(),
        }
    }
}
