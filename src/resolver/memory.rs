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

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::bounded::Bounded;
use super::config::ResolverConfig;
use super::counters::Tally;
use super::entry::Remembered;
use super::settled::Settled;
use super::size::Size;
use crate::core::cache::dns_part::DnsPart;
use crate::core::cache::record::WellKnownRecord;
use crate::core::cache::well_known_answer::WellKnownAnswer;
use crate::core::config::Refresh;
use crate::core::dns::{DnsAnswer, DnsQuestion, Family, Service};
use crate::core::names::dns_name::DnsName;
use crate::core::names::server_name::ServerName;
use crate::core::report::{Source, WellKnownReport};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::failure::WellKnownFailure;

/// A well-known answer with the story of how it was found.
#[derive(Debug)]
pub(super) struct LookedUp {
    pub(super) answer: Arc<WellKnownAnswer>,
    /// None of what was kept elsewhere, or given up.
    pub(super) lookup: Option<Arc<WellKnownReport>>,
}

/// A well-known answer with where it came from.
pub(super) type Known = (Arc<LookedUp>, Source);

impl LookedUp {
    /// What was kept by an earlier process, by another one, or of a look-up that was given up.
    pub(super) fn kept(answer: WellKnownAnswer) -> Self {
        Self { answer: Arc::new(answer), lookup: None }
    }
}

/// A part of an answer, with its lifetime.
pub(super) trait Part {
    fn obtained(&self) -> Monotonic;
    fn lifetime(&self) -> Duration;
    /// Whether it says that the question could not be answered.
    fn is_failure(&self) -> bool;
    /// Whether the failure, if it is one, is likely to pass.
    fn is_temporary(&self) -> bool;

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

    fn is_temporary(&self) -> bool {
        self.is_failure()
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

    fn is_temporary(&self) -> bool {
        self.answer.result().as_ref().is_err_and(WellKnownFailure::is_temporary)
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
    pub(super) fn holding(&self, now: Monotonic) -> Option<&Arc<P>> {
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

    /// The same, unless it was asked for a while ago and may be asked for again.
    fn just_now(&self, now: Monotonic, apart: Duration) -> Option<&Arc<P>> {
        let holding = self.holding(now)?;
        let last = self.last();
        let just_now = now.since(last.obtained()) < apart;
        let backing_off = last.is_temporary() && now < last.until();
        (just_now || backing_off).then_some(holding)
    }
}

/// How what is remembered is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// While it holds.
    Holding,
    /// Until it is time to renew it.
    NotDue,
    /// If it was asked for just now, or backs off: a caller says that it leads nowhere.
    JustNow,
}

/// How often something was forgotten on request, when something else was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(u64);

#[derive(Debug)]
pub(super) struct Memory {
    epoch: AtomicU64,
    targets: Bounded<ServerName, Arc<Settled>>,
    well_known: Bounded<DnsName, Kept<LookedUp>>,
    dns: Bounded<DnsQuestion, Kept<DnsPart>>,
    tally: Arc<Tally>,
    refresh: Refresh,
    /// How long what was asked for just now is so.
    apart: Duration,
    /// What was forgotten on request: what was begun or stored before that is of no use.
    forgotten: Mutex<Forgotten>,
}

/// When something was forgotten on request.
#[derive(Clone, Copy, Debug)]
struct Since {
    epoch: Epoch,
    wall: SystemTime,
}

#[derive(Debug)]
struct Forgotten {
    hosts: HashMap<DnsName, Since>,
    /// Everything.
    all: Since,
    /// How many hosts are kept in mind. With one more, it is as if everything had been forgotten.
    most: usize,
}

impl Forgotten {
    fn of(&self, host: &DnsName) -> impl Iterator<Item = &Since> {
        self.hosts.get(host).into_iter().chain([&self.all])
    }
}

impl Memory {
    pub(super) fn new(config: &ResolverConfig, tally: Arc<Tally>) -> Self {
        let limits = &config.memory;
        Self {
            epoch: AtomicU64::new(0),
            apart: config.feedback.apart,
            forgotten: Mutex::new(Forgotten {
                hosts: HashMap::new(),
                all: Since { epoch: Epoch(0), wall: SystemTime::UNIX_EPOCH },
                most: limits.well_known.clamp(1000, 1_000_000),
            }),
            refresh: config.discovery.refresh.clone(),
            targets: Bounded::new(limits.targets, limits.targets_bytes),
            well_known: Bounded::new(limits.well_known, limits.well_known_bytes),
            dns: Bounded::new(limits.dns, limits.dns_bytes),
            tally,
        }
    }

    /// To be taken before something is begun that is to be remembered.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    fn count(&self, given_up: u64) {
        if given_up > 0 {
            self.tally.evicted(given_up);
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

    fn forgotten(&self) -> MutexGuard<'_, Forgotten> {
        // Nothing in a critical section can leave it half-changed.
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was begun then is of use still: its host was not forgotten since.
    pub(super) fn is_current(&self, begun: Epoch, host: &DnsName) -> bool {
        self.forgotten().of(host).all(|since| since.epoch <= begun)
    }

    /// Remembers a target. One that is degraded or stale takes the place of none that holds and is
    /// neither, unless the delegation itself is another.
    pub(super) fn keep_target(&self, begun: Epoch, settled: Arc<Settled>) {
        if !settled.hosts().all(|host| self.is_current(begun, &host)) {
            return;
        }
        let name = settled.target.server_name().clone();
        let decided = settled.target.decided().monotonic;
        let better = self.target(&name, decided).filter(|it| it.is_good());
        let better = better.is_some_and(|it| it.target.authority() == settled.target.authority());
        if !settled.is_good() && better {
            return;
        }
        self.count(self.targets.insert(&name, settled));
    }

    fn used<P: Part>(&self, kept: &Kept<P>, now: Monotonic, how: Use) -> Option<Arc<P>> {
        match how {
            Use::Holding => kept.holding(now),
            Use::NotDue => kept.not_due(now, &self.refresh),
            Use::JustNow => kept.just_now(now, self.apart),
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

    /// Remembers what became of a host, and says whether it is of use still. `how` it was asked for
    /// says what a failure means.
    pub(super) fn keep_well_known(
        &self,
        begun: Epoch,
        host: &DnsName,
        known: Arc<LookedUp>,
        how: Use,
    ) -> bool {
        if !self.is_current(begun, host) {
            return false;
        }
        let before = self.well_known.get(host);
        let again = before.as_ref().and_then(|before| before.renewal.as_ref());
        let gone = |it: &LookedUp| it.is_failure() && !it.is_temporary();
        // Callers say that the answer leads nowhere, and the host has said twice that it is gone.
        let believed = how == Use::JustNow && gone(&known) && again.is_some_and(|it| gone(it));
        let kept = Kept::after(before.filter(|_| !believed), known);
        self.count(self.well_known.insert(host, kept));
        true
    }

    /// Remembers what was kept elsewhere, unless it is older than what is known here, or than when
    /// it was to be forgotten.
    pub(super) fn take_in(
        &self,
        begun: Epoch,
        host: &DnsName,
        answer: WellKnownAnswer,
        now: Now,
    ) -> bool {
        let fetched = answer.fetched();
        // A time that lies ahead is of a clock that has been set back.
        let stamps_hold = |since: &Since| since.wall <= now.wall && fetched.wall <= since.wall;
        let forgotten = self.forgotten().of(host).any(stamps_hold);
        let here = self.earlier_well_known(host);
        let older = here.is_some_and(|it| fetched.monotonic <= it.answer.fetched().monotonic);
        if forgotten || older || !self.is_current(begun, host) {
            return false;
        }
        // The good answer that a failure to renew it was kept beside.
        let good = answer.before_failure().filter(|good| now.monotonic < good.until());
        let good = good.map(|good| Kept { part: Arc::new(LookedUp::kept(good)), renewal: None });
        let before = good.or_else(|| self.well_known.get(host));
        let kept = Kept::after(before, Arc::new(LookedUp::kept(answer)));
        self.count(self.well_known.insert(host, kept));
        true
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
        if !self.is_current(begun, question.host()) {
            return;
        }
        let kept = Kept::after(self.dns.get(question), part);
        self.count(self.dns.insert(question, kept));
    }

    fn next_epoch(&self) -> Epoch {
        Epoch(self.epoch.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Everything, whether it holds or not.
    pub(super) fn entries(&self, now: Now) -> impl Iterator<Item = Remembered> {
        let targets = self.targets.iter().map(move |(name, it)| Remembered::target(name, &it, now));
        let hosts = self.well_known.iter();
        let hosts = hosts.map(move |(host, kept)| Remembered::well_known(host, &kept, now));
        let questions = self.dns.iter();
        let questions =
            questions.map(move |(question, kept)| Remembered::dns(question, &kept, now));
        targets.chain(hosts).chain(questions)
    }

    /// What is known of each host's well-known, whether it holds or not.
    pub(super) fn records(&self) -> impl Iterator<Item = WellKnownRecord> {
        let hosts = self.well_known.iter();
        hosts.map(|(host, kept)| WellKnownRecord::new(&host, &kept.last().answer))
    }

    /// Forgets a target.
    pub(super) fn forget_target(&self, name: &ServerName) {
        self.targets.remove(name);
    }

    /// Forgets the parts that belong to a host.
    pub(super) fn forget_host(&self, host: &DnsName, now: SystemTime) {
        let since = Since { epoch: self.next_epoch(), wall: now };
        {
            let mut forgotten = self.forgotten();
            if forgotten.hosts.len() >= forgotten.most {
                forgotten.hosts.clear();
                forgotten.all = since;
            }
            forgotten.hosts.insert(host.clone(), since);
        }
        self.well_known.remove(host);
        for family in [Family::V4, Family::V6] {
            self.dns.remove(&DnsQuestion::Addresses { host: host.clone(), family });
        }
        for service in [Service::MatrixFed, Service::Matrix] {
            self.dns.remove(&DnsQuestion::Srv { host: host.clone(), service });
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self, now: SystemTime) {
        let all = Since { epoch: self.next_epoch(), wall: now };
        {
            let mut forgotten = self.forgotten();
            forgotten.hosts.clear();
            forgotten.all = all;
        }
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
    use crate::resolver::config::MemoryLimits;
    use crate::resolver::settled::Due;
    use crate::testing::Internet;

    const MIB: usize = 1 << 20;

    fn memory(limits: &MemoryLimits) -> Memory {
        let config = ResolverConfig { memory: limits.clone(), ..ResolverConfig::default() };
        Memory::new(&config, Arc::new(Tally::new()))
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
                memory.keep_well_known(
                    begun,
                    &host(n),
                    Arc::new(looked_up(&internet)),
                    Use::Holding,
                );
            }
            for n in 0..200 {
                memory.keep_dns(begun, &question(n), Arc::new(srv(64)));
            }
            kept = Some(memory);
        });
        let memory = kept.unwrap();
        let taken = usize::try_from(counted.bytes_current).unwrap();
        assert!((3 * MIB..=5 * MIB).contains(&taken), "{taken}");
        assert!(
            (200..320).contains(&memory.tally.read().evictions),
            "{}",
            memory.tally.read().evictions
        );
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
        memory.forget_host(&host(3), SystemTime::UNIX_EPOCH);
        keep(3, none());
        assert_eq!(memory.tally.read().evictions, 0);
        keep(10, none());
        assert_eq!(memory.tally.read().evictions, 1);
        // One that is too large pushes none out.
        let failed = |detail| DnsAnswer::Failed { failure: DnsFailure::ServFail, detail };
        keep(11, Arc::new(part(failed("x".repeat(2 * MIB)), None)));
        assert_eq!(memory.tally.read().evictions, 2);
        assert!(memory.earlier_dns(&question(11)).is_none());
        assert_eq!((0..11).filter(|n| memory.earlier_dns(&question(*n)).is_some()).count(), 10);
        memory.clear(SystemTime::UNIX_EPOCH);
        for n in 0..10 {
            keep(n, none());
        }
        assert_eq!(memory.tally.read().evictions, 2);
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
