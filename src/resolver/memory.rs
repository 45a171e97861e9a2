//! What the resolver remembers: three kinds of parts, each by its own clock, and the targets
//! composed of them.
//!
//! Parts are keyed by lower-cased DNS name and shared by all server names that need them; targets
//! are keyed by server name, so that one name's answer never leaks into another's. Each kind has a
//! bounded number of entries and of bytes (see `bounded`; a scan of one-off names does not push out
//! what is in use). An entry past its lifetime is not served but stays until it is overwritten or
//! evicted: a well-known answer that ran out still says whether the host delegated.
//!
//! Why `quick_cache`: of `cargo bench --bench caches --features resolver` on two shared cores, to
//! be read as ratios between the crates, it came first in every row:
//!
//! | | quick_cache | moka | mini-moka |
//! | --- | --- | --- | --- |
//! | a hit, on 1 thread; on each of 2 | 24; 72 ns | 155; 355 ns | 201; 342 ns |
//! | hit rate: undisturbed; in a scan; among spellings | 91.8; 92.3; 91.9 % | 91.2; 80.3; 91.1 % | 91.2; 80.5; 91.0 % |
//! | an entry beyond key and value | 87 bytes | 220 bytes | 210 bytes |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::bounded::Bounded;
use super::size::Size;
use crate::core::config::{MemoryLimits, Refresh};
use crate::core::dns::{DnsAnswer, DnsQuestion};
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
    /// When it is to be renewed ahead.
    renewal: Due,
}

/// The earliest of several times; at first, never.
#[derive(Debug)]
pub(super) struct Due(AtomicU64);

impl Due {
    pub(super) const fn never() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// The same, by itself.
    pub(super) fn so_far(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }

    /// In milliseconds of the monotonic clock.
    fn millis(at: Monotonic) -> u64 {
        u64::try_from(at.since_origin().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes in when a part is to be renewed that was used: in the last of its life, a failure once
    /// it is over.
    pub(super) fn take_in<P: Part>(&self, part: &P, refresh: &Refresh) {
        let ahead = part.lifetime() / 100 * u32::from(refresh.ahead_percent.min(100));
        let ahead = if part.is_failure() { Duration::ZERO } else { ahead };
        let until = part.until().since_origin().saturating_sub(ahead);
        self.0.fetch_min(Self::millis(Monotonic::from_origin(until)), Ordering::Relaxed);
    }
}

impl Settled {
    pub(super) fn new(target: Arc<DelegationTarget>, report: Arc<Report>, renewal: Due) -> Self {
        Self { target, report, renewal }
    }

    /// Whether it is to be renewed ahead, which only one is told of so many that ask at a time.
    pub(super) fn is_due(&self, now: Monotonic, refresh: &Refresh) -> bool {
        let Due(due) = &self.renewal;
        let last = due.load(Ordering::Relaxed);
        let next = Due::millis(now + refresh.apart);
        refresh.ahead_percent > 0
            && last <= Due::millis(now)
            && due.compare_exchange(last, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A well-known answer with the story of how it was found.
#[derive(Debug)]
pub(super) struct LookedUp {
    pub(super) answer: Arc<WellKnownAnswer>,
    pub(super) lookup: Arc<WellKnownReport>,
}

/// A part of an answer, with its lifetime.
pub(super) trait Part {
    fn obtained(&self) -> Monotonic;
    fn lifetime(&self) -> Duration;
    /// Whether it says that the question could not be answered.
    fn is_failure(&self) -> bool;

    fn until(&self) -> Monotonic {
        self.obtained() + self.lifetime()
    }
}

impl Part for DnsPart {
    fn obtained(&self) -> Monotonic {
        self.obtained()
    }

    fn lifetime(&self) -> Duration {
        self.lifetime()
    }

    fn is_failure(&self) -> bool {
        matches!(**self.answer(), DnsAnswer::Failed { .. })
    }
}

impl Part for LookedUp {
    fn obtained(&self) -> Monotonic {
        self.answer.fetched().monotonic
    }

    fn lifetime(&self) -> Duration {
        self.answer.lifetime()
    }

    fn is_failure(&self) -> bool {
        self.answer.result().is_err()
    }
}

/// What is remembered of one question.
#[derive(Debug)]
pub(super) struct Kept<P> {
    part: Arc<P>,
    /// A failure to renew it, from when it still held. It is gone by once it does not.
    renewal: Option<Arc<P>>,
}

impl<P> Clone for Kept<P> {
    fn clone(&self) -> Self {
        Self { part: Arc::clone(&self.part), renewal: self.renewal.clone() }
    }
}

impl<P: Size> Size for Kept<P> {
    fn heap(&self) -> usize {
        let Self { part, renewal } = self;
        part.heap() + renewal.heap()
    }
}

impl<P: Part> Kept<P> {
    /// What is remembered once `part` has come after `before`. A failure takes the place of nothing
    /// that holds.
    fn after(before: Option<Self>, part: Arc<P>) -> Self {
        match before {
            Some(Self { part: good, .. })
                if part.is_failure() && !good.is_failure() && part.obtained() < good.until() =>
            {
                Self { part: good, renewal: Some(part) }
            }
            _ => Self { part, renewal: None },
        }
    }

    /// The last that came, whether it holds or not.
    pub(super) fn last(&self) -> &Arc<P> {
        self.renewal.as_ref().unwrap_or(&self.part)
    }

    /// What holds at this time.
    fn holding(&self, now: Monotonic) -> Option<&Arc<P>> {
        [Some(&self.part), self.renewal.as_ref()].into_iter().flatten().find(|it| now < it.until())
    }

    /// The same, unless it is time to renew it.
    fn not_due(&self, now: Monotonic, refresh: &Refresh) -> Option<&Arc<P>> {
        let holding = self.holding(now)?;
        let left = holding.until().since(now);
        let due = refresh.is_due(left, holding.lifetime());
        // A failure is renewed when it is over, not before.
        let backing_off = self.last().is_failure() && now < self.last().until();
        (!due || backing_off).then_some(holding)
    }
}

/// How what is remembered is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// While it holds.
    Holding,
    /// Until it is time to renew it.
    NotDue,
}

/// How often something was forgotten on request. What was begun before that is not remembered after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

#[derive(Debug)]
pub(super) struct Memory {
    epoch: AtomicU64,
    targets: Bounded<ServerName, Arc<Settled>>,
    well_known: Bounded<DnsName, Kept<LookedUp>>,
    dns: Bounded<DnsQuestion, Kept<DnsPart>>,
    evictions: AtomicU64,
    refresh: Refresh,
}

impl Memory {
    pub(super) fn new(limits: &MemoryLimits, refresh: Refresh) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            targets: Bounded::new(limits.targets, limits.targets_bytes),
            well_known: Bounded::new(limits.well_known, limits.well_known_bytes),
            dns: Bounded::new(limits.dns, limits.dns_bytes),
            evictions: AtomicU64::new(0),
            refresh,
        }
    }

    /// To be taken before something is begun that is to be remembered.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// How many entries were given up to keep within the limits, those that were too large to be
    /// kept included; not what was forgotten on request or replaced.
    #[cfg_attr(not(test), expect(dead_code, reason = "what counters are built on"))]
    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    fn count(&self, given_up: u64) {
        if given_up > 0 {
            self.evictions.fetch_add(given_up, Ordering::Relaxed);
        }
    }

    /// The target of a name, while it holds.
    pub(super) fn target(&self, name: &ServerName, now: Monotonic) -> Option<Arc<Settled>> {
        self.earlier_target(name).filter(|settled| settled.target.is_fresh(now))
    }

    /// The target of a name, whether it holds or not.
    pub(super) fn earlier_target(&self, name: &ServerName) -> Option<Arc<Settled>> {
        self.targets.get(name)
    }

    /// Remembers a target. One that is degraded or stale takes the place of none that holds and is
    /// neither.
    pub(super) fn keep_target(&self, begun: Epoch, settled: Arc<Settled>) {
        if begun != self.epoch() {
            return;
        }
        let is_good = |it: &DelegationTarget| it.degraded().is_none() && !it.is_stale();
        let decided = settled.target.decided().monotonic;
        let better = self.target(settled.target.server_name(), decided);
        if !is_good(&settled.target) && better.is_some_and(|it| is_good(&it.target)) {
            return;
        }
        let name = settled.target.server_name().clone();
        self.count(self.targets.insert(&name, settled));
    }

    fn used<P: Part>(&self, kept: &Kept<P>, now: Monotonic, how: Use) -> Option<Arc<P>> {
        match how {
            Use::Holding => kept.holding(now),
            Use::NotDue => kept.not_due(now, &self.refresh),
        }
        .cloned()
    }

    /// What is known of a host's well-known and may be used.
    pub(super) fn well_known(
        &self,
        host: &DnsName,
        now: Monotonic,
        how: Use,
    ) -> Option<Arc<LookedUp>> {
        self.used(&self.well_known.get(host)?, now, how)
    }

    /// What was learnt of it last, whether it holds or not.
    pub(super) fn earlier_well_known(&self, host: &DnsName) -> Option<Arc<LookedUp>> {
        Some(Arc::clone(self.well_known.get(host)?.last()))
    }

    pub(super) fn keep_well_known(&self, begun: Epoch, host: &DnsName, known: Arc<LookedUp>) {
        if begun != self.epoch() {
            return;
        }
        let kept = Kept::after(self.well_known.get(host), known);
        self.count(self.well_known.insert(host, kept));
    }

    /// The answer to a question that may be used.
    pub(super) fn dns(
        &self,
        question: &DnsQuestion,
        now: Monotonic,
        how: Use,
    ) -> Option<Arc<DnsPart>> {
        self.used(&self.dns.get(question)?, now, how)
    }

    /// The last answer to a question, whether it holds or not.
    pub(super) fn earlier_dns(&self, question: &DnsQuestion) -> Option<Arc<DnsPart>> {
        Some(Arc::clone(self.dns.get(question)?.last()))
    }

    pub(super) fn keep_dns(&self, begun: Epoch, question: &DnsQuestion, part: Arc<DnsPart>) {
        if begun != self.epoch() {
            return;
        }
        let kept = Kept::after(self.dns.get(question), part);
        self.count(self.dns.insert(question, kept));
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
        self.dns.retain(|question| question.host() != host);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.next_epoch();
        self.targets.clear();
        self.well_known.clear();
        self.dns.clear();
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;

    use super::super::size::tests::{hostile, looked_up, part, settled, srv};
    use super::*;
    use crate::core::dns::{DnsFailure, Family, NoRecord};
    use crate::core::time::Now;
    use crate::testing::Internet;

    const MIB: usize = 1 << 20;

    fn memory(limits: &MemoryLimits) -> Memory {
        Memory::new(limits, Refresh::default())
    }

    fn host(n: usize) -> DnsName {
        format!("{n}.example").parse().unwrap()
    }

    fn question(n: usize) -> DnsQuestion {
        DnsQuestion::Addresses { host: host(n), family: Family::V4 }
    }

    fn none() -> Arc<DnsPart> {
        Arc::new(part(DnsAnswer::None { kind: NoRecord::NoData, ttl: None }, None))
    }

    /// Server names are many where hosts are few: one answer under so many spellings.
    fn spelt(settled: &Settled, n: usize) -> Arc<Settled> {
        let target = serde_json::to_string(&*settled.target).unwrap();
        let spelling: String = "a.example"
            .char_indices()
            .map(|(at, it)| if n >> at & 1 == 1 { it.to_ascii_uppercase() } else { it })
            .collect();
        let target = target.replace("\"a.example\"", &format!("\"{spelling}\""));
        let report = serde_json::to_string(&*settled.report).unwrap();
        Arc::new(Settled::new(
            Arc::new(serde_json::from_str(&target).unwrap()),
            Arc::new(serde_json::from_str(&report).unwrap()),
            Due::never(),
        ))
    }

    #[test]
    fn hostile_answers_take_no_more_than_the_limits_in_bytes() {
        let limits = MemoryLimits {
            targets_bytes: 2 * MIB,
            well_known_bytes: 2 * MIB,
            dns_bytes: MIB,
            ..MemoryLimits::default()
        };
        let internet = hostile();
        let (target, mut kept) = (settled(&internet), None);
        let counted = measure(|| {
            let memory = memory(&limits);
            let begun = memory.epoch();
            for n in 0..60 {
                memory.keep_target(begun, spelt(&target, n));
                memory.keep_well_known(begun, &host(n), Arc::new(looked_up(&internet)));
            }
            for n in 0..200 {
                memory.keep_dns(begun, &question(n), Arc::new(srv(64)));
            }
            kept = Some(memory);
        });
        let memory = kept.unwrap();
        let taken = usize::try_from(counted.bytes_current).unwrap();
        assert!((3 * MIB..=5 * MIB).contains(&taken), "{taken}");
        assert!((200..320).contains(&memory.evictions()), "{}", memory.evictions());
    }

    #[test]
    fn only_what_is_given_up_for_want_of_room_is_an_eviction() {
        let limits = MemoryLimits { dns: 10, dns_bytes: MIB, ..MemoryLimits::default() };
        let memory = memory(&limits);
        let keep = |n, part| memory.keep_dns(memory.epoch(), &question(n), part);
        for n in 0..10 {
            keep(n, none());
            // Replaced, at the same weight, at a larger one, at a smaller one.
            keep(n, none());
        }
        keep(0, Arc::new(srv(64)));
        keep(0, none());
        memory.forget_host(&host(3));
        keep(3, none());
        assert_eq!(memory.evictions(), 0);
        keep(10, none());
        assert_eq!(memory.evictions(), 1);
        // One that is too large pushes none out.
        let failed = |detail| DnsAnswer::Failed { failure: DnsFailure::ServFail, detail };
        keep(11, Arc::new(part(failed("x".repeat(2 * MIB)), None)));
        assert_eq!(memory.evictions(), 2);
        assert!(memory.earlier_dns(&question(11)).is_none());
        assert_eq!((0..11).filter(|n| memory.earlier_dns(&question(*n)).is_some()).count(), 10);
        memory.clear();
        for n in 0..10 {
            keep(n, none());
        }
        assert_eq!(memory.evictions(), 2);
    }

    #[test]
    fn a_failure_too_large_to_be_kept_beside_what_holds_is_not_kept() {
        let limits = MemoryLimits { dns_bytes: MIB, ..MemoryLimits::default() };
        let memory = memory(&limits);
        let keep = |part| memory.keep_dns(memory.epoch(), &question(0), Arc::new(part));
        keep(srv(1));
        let failed = |detail| DnsAnswer::Failed { failure: DnsFailure::ServFail, detail };
        keep(part(failed("x".repeat(2 * MIB)), None));
        let now = Now::EPOCH.monotonic;
        let holding = memory.dns(&question(0), now, Use::Holding);
        assert!(holding.is_some_and(|part| !part.is_failure()));
    }

    #[test]
    fn a_target_that_is_in_use_survives_what_is_resolved_once() {
        let limits = MemoryLimits { targets: 20, ..MemoryLimits::default() };
        let memory = memory(&limits);
        let internet = Internet::new().host("a.example", &["192.0.2.1"]);
        let target = settled(&internet);
        let now = target.target.decided().monotonic;
        memory.keep_target(memory.epoch(), spelt(&target, 0));
        for n in 1..500 {
            memory.keep_target(memory.epoch(), spelt(&target, n));
            assert!(memory.target(target.target.server_name(), now).is_some(), "{n}");
        }
    }
}
