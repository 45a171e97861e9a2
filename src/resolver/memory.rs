//! What the resolver remembers: one entry a host, bounded by entries and by bytes.
//!
//! Answers are keyed by lower-cased host and shared by all server names that need them. Targets are
//! part of the entry of their server name's host, each under the name itself, so that the answer
//! for one name never leaks into another's. The core decides what an answer may be used for and
//! when ([`CacheEntry`](crate::cache::CacheEntry)). What has expired stays until it is overwritten
//! or evicted, because the next look-up needs it: for the back-off, for stale answers, and for the
//! step that decided last.
//!
//! Entries are read without a lock of this module and replaced as a whole under one. That lock also
//! guards the epochs, which tell whether a task began before something was forgotten on request.
//!
//! Why `quick_cache`: on two shared cores it came first in every row of
//! `cargo bench --bench caches --features resolver`. Read the figures as ratios between the crates:
//!
//! | | quick_cache | moka | mini-moka |
//! | --- | --- | --- | --- |
//! | a hit, on 1 thread | 24 ns | 155 ns | 201 ns |
//! | a hit, on each of 2 threads | 72 ns | 355 ns | 342 ns |
//! | hit rate | 91.8 % | 91.2 % | 91.2 % |
//! | hit rate amid 1,000,000 one-off names | 92.3 % | 80.3 % | 80.5 % |
//! | hit rate amid 1,000 spellings of one name | 91.9 % | 91.1 % | 91.0 % |
//! | size of an entry beyond key and value | 87 bytes | 220 bytes | 210 bytes |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::bounded::Bounded;
use super::config::MemoryLimits;
use super::counters::Tally;
use super::entry::Remembered;
use super::host::{HostEntry, WellKnownOfHost};
use super::size::{COUNTS, heap};
use crate::core::cache::{
    CachedTarget, DnsEntry, Purpose, WellKnownEntry, WellKnownRecord, family_is_due,
};
use crate::core::config::Config;
use crate::core::dns::DnsQuestion;
use crate::core::names::{DnsName, ServerName};
use crate::core::time::{Monotonic, Now};

/// A point in the sequence of requests to forget something: how many came before.
///
/// A task takes the epoch when it begins and passes it on with its result, which is not remembered
/// if the host was forgotten in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(u64);

/// The memory of a resolver.
pub(super) struct Memory {
    /// The entries by lower-cased host.
    hosts: Bounded<Arc<HostEntry>>,
    /// Its lock is held while an entry changes.
    forgotten: Mutex<Forgotten>,
    config: Arc<Config>,
    tally: Arc<Tally>,
}

/// When something was last forgotten on request.
#[derive(Clone, Copy, Debug)]
struct Since {
    epoch: Epoch,
    wall: SystemTime,
}

/// What was forgotten on request. Results of tasks that began before that, and answers that were
/// stored before it, are not used.
struct Forgotten {
    /// The current epoch.
    epoch: Epoch,
    /// When each of these hosts was forgotten.
    hosts: HashMap<DnsName, Since>,
    /// When everything was forgotten.
    all: Since,
    /// At most this many hosts are noted. With one more, everything counts as forgotten.
    most: usize,
}

impl Forgotten {
    /// Returns when a host was forgotten by itself, if it was, and when everything was.
    fn of(&self, host: &DnsName) -> impl Iterator<Item = &Since> {
        self.hosts.get(host).into_iter().chain([&self.all])
    }

    /// Returns whether the result of a task that began then may still be used.
    fn is_current(&self, begun: Epoch, host: &DnsName) -> bool {
        self.of(host).all(|since| since.epoch <= begun)
    }

    /// Begins a new epoch.
    fn now(&mut self, wall: SystemTime) -> Since {
        self.epoch.0 += 1;
        Since { epoch: self.epoch, wall }
    }
}

/// Passes the host of a server name in lower case to `look`, without an allocation.
fn with_host<T>(name: &ServerName, look: impl FnOnce(&str) -> T) -> T {
    let host = name.host_str();
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return look(host);
    }
    // A host has 255 bytes at most.
    let mut buffer = [0; 256];
    let lower = buffer.get_mut(..host.len()).and_then(|lower| {
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        std::str::from_utf8(lower).ok()
    });
    look(lower.unwrap_or(host))
}

impl Memory {
    pub(super) fn new(limits: &MemoryLimits, config: Arc<Config>, tally: Arc<Tally>) -> Self {
        let start = Since { epoch: Epoch::default(), wall: SystemTime::UNIX_EPOCH };
        Self {
            hosts: Bounded::new(limits.hosts, limits.bytes),
            forgotten: Mutex::new(Forgotten {
                epoch: start.epoch,
                hosts: HashMap::new(),
                all: start,
                most: limits.hosts.clamp(1000, 1_000_000),
            }),
            config,
            tally,
        }
    }

    /// Returns the current epoch. Take it before a task begins whose result is to be remembered.
    pub(super) fn epoch(&self) -> Epoch {
        self.forgotten().epoch
    }

    fn forgotten(&self) -> MutexGuard<'_, Forgotten> {
        // Nothing in a critical section can leave it half-changed.
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self, host: &DnsName) -> Option<Arc<HostEntry>> {
        self.hosts.peek(host.as_str())
    }

    /// Marks a host's entry as used, which protects it from eviction.
    fn used(&self, host: &DnsName) {
        drop(self.hosts.get(host.as_str()));
    }

    /// Replaces a host's entry by what `change` makes of it, under the lock that the guard holds.
    /// What is replaced or evicted is dropped after the lock is released.
    fn change(
        &self,
        guard: MutexGuard<'_, Forgotten>,
        host: Arc<str>,
        change: impl FnOnce(&mut HostEntry),
    ) {
        let before = self.hosts.peek(&host);
        let mut entry = before.as_deref().cloned().unwrap_or_default();
        change(&mut entry);
        let (mut removed, mut evicted) = (Vec::from_iter(before), 0);
        if entry.is_empty() {
            self.hosts.remove(&host);
        } else {
            let heap = COUNTS + size_of::<HostEntry>() + heap(&entry);
            evicted = self.hosts.insert(host, Arc::new(entry), heap, &mut removed);
        }
        drop(guard);
        self.tally.evictions.add(evicted);
    }

    /// Combines what is learnt of a well-known with what was known before.
    fn merged(&self, before: Option<&WellKnownOfHost>, learnt: WellKnownEntry) -> WellKnownEntry {
        match before {
            Some(before) => before.entry.clone().merged(learnt, &self.config.well_known),
            None => learnt,
        }
    }

    /// Returns the target of a name, if it has not expired.
    pub(super) fn target(&self, name: &ServerName, now: Monotonic) -> Option<Arc<CachedTarget>> {
        self.earlier_target(name).filter(|cached| cached.target.is_fresh(now))
    }

    /// Returns the target of a name, expired or not.
    pub(super) fn earlier_target(&self, name: &ServerName) -> Option<Arc<CachedTarget>> {
        let entry = with_host(name, |host| self.hosts.get(host))?;
        entry.target(name).cloned()
    }

    /// Returns whether the result of a task that began then may still be used: its host has not
    /// been forgotten since.
    pub(super) fn is_current(&self, begun: Epoch, host: &DnsName) -> bool {
        self.forgotten().is_current(begun, host)
    }

    /// Remembers a target, unless memory holds a better one.
    pub(super) fn keep_target(&self, begun: Epoch, cached: Arc<CachedTarget>) {
        let hosts: Vec<DnsName> = cached.hosts().collect();
        let forgotten = self.forgotten();
        if !hosts.iter().all(|host| forgotten.is_current(begun, host)) {
            return;
        }
        let name = cached.target.server_name().clone();
        // A name that is its host in lower case shares its text with the key.
        let host = match name.to_host().ok().and_then(|host| host.as_dns().cloned()) {
            Some(host) => host.into_text(),
            None => with_host(&name, |host| Arc::from(host)),
        };
        let mut evicted = false;
        self.change(forgotten, host, |entry| {
            if entry.target(&name).is_none_or(|before| cached.replaces(before)) {
                evicted = entry.set_target(cached);
            }
        });
        if evicted {
            self.tally.evictions.one();
        }
    }

    /// Returns what is known of a host's well-known, if it may be used for this purpose.
    pub(super) fn well_known(
        &self,
        host: &DnsName,
        now: Monotonic,
        purpose: Purpose,
    ) -> Option<WellKnownEntry> {
        let known = self.earlier_well_known(host)?;
        known.entry.serve(now, purpose)?;
        self.used(host);
        Some(known.entry.clone())
    }

    /// Returns what was last learnt of a host's well-known, expired or not.
    pub(super) fn earlier_well_known(&self, host: &DnsName) -> Option<Arc<WellKnownOfHost>> {
        self.host(host)?.well_known.clone()
    }

    /// Remembers the outcome of a well-known look-up and returns what is known now. The purpose of
    /// the look-up decides what a failure means.
    pub(super) fn keep_well_known(
        &self,
        begun: Epoch,
        host: &DnsName,
        learnt: WellKnownEntry,
        redirected_to: Box<[DnsName]>,
        purpose: Purpose,
    ) -> WellKnownEntry {
        let forgotten = self.forgotten();
        if !forgotten.is_current(begun, host) {
            return learnt;
        }
        let mut known = learnt;
        self.change(forgotten, host.clone().into_text(), |it| {
            let before = it.well_known.as_deref();
            if matches!(purpose, Purpose::Recheck { .. }) {
                let before = before.map(|it| &it.entry);
                known = known.clone().after_report(before, &self.config.well_known);
            }
            known = self.merged(before, known.clone());
            let redirected_to = match before {
                // What is served still relies on them, although the renewal did not reach them.
                Some(before) if redirected_to.is_empty() && known.failure().is_some() => {
                    before.redirected_to.clone()
                }
                _ => redirected_to,
            };
            it.well_known = Some(Arc::new(WellKnownOfHost { entry: known.clone(), redirected_to }));
        });
        known
    }

    /// Remembers an outcome that was stored elsewhere. Refuses it, and returns `false`, if it is
    /// older than what is known here, or was learnt before its host was forgotten.
    pub(super) fn take_in(
        &self,
        begun: Epoch,
        host: &DnsName,
        entry: WellKnownEntry,
        now: Now,
    ) -> bool {
        let learnt = now.on_wall(entry.learnt());
        // A time in the future means that the clock was set back since: it is ignored.
        let was_forgotten = |since: &Since| since.wall <= now.wall && learnt <= since.wall;
        let forgotten = self.forgotten();
        if forgotten.of(host).any(was_forgotten) || !forgotten.is_current(begun, host) {
            return false;
        }
        let mut taken = false;
        self.change(forgotten, host.clone().into_text(), |it| {
            let before = it.well_known.as_deref();
            taken = before.is_none_or(|before| before.entry.learnt() < entry.learnt());
            if taken {
                let redirected_to = before.map(|it| it.redirected_to.clone()).unwrap_or_default();
                let entry = self.merged(before, entry);
                it.well_known = Some(Arc::new(WellKnownOfHost { entry, redirected_to }));
            }
        });
        taken
    }

    /// Returns the answer to a DNS question, if it may be used for this purpose.
    pub(super) fn dns(
        &self,
        question: &DnsQuestion,
        now: Monotonic,
        purpose: Purpose,
    ) -> Option<DnsEntry> {
        let host = self.host(question.host())?;
        let entry = host.dns(question)?;
        entry.serve(now, purpose)?;
        if let DnsQuestion::Addresses { host: name, family } = question {
            let other = DnsQuestion::Addresses { host: name.clone(), family: family.other() };
            if family_is_due(entry, host.dns(&other), now, &self.config.dns) {
                return None;
            }
        }
        self.used(question.host());
        Some(entry.clone())
    }

    /// Returns the last answer to a DNS question, expired or not.
    pub(super) fn earlier_dns(&self, question: &DnsQuestion) -> Option<DnsEntry> {
        self.host(question.host())?.dns(question).cloned()
    }

    /// Remembers the answer to a DNS question.
    pub(super) fn keep_dns(&self, begun: Epoch, question: &DnsQuestion, entry: DnsEntry) {
        let forgotten = self.forgotten();
        if forgotten.is_current(begun, question.host()) {
            let host = question.host().clone().into_text();
            self.change(forgotten, host, |it| it.set_dns(question, entry));
        }
    }

    /// Returns everything that is remembered, expired or not.
    pub(super) fn entries(&self, now: Now) -> impl Iterator<Item = Remembered> {
        self.hosts.iter().flat_map(move |(host, entry)| Remembered::all_of(&host, &entry, now))
    }

    /// Returns what is known of each host's well-known, expired or not.
    pub(super) fn records(&self, now: Now) -> impl Iterator<Item = WellKnownRecord> {
        self.hosts.iter().filter_map(move |(host, it)| {
            let host: DnsName = host.parse().ok()?;
            let entry = &it.well_known.as_ref()?.entry;
            let is_known = !entry.is_local() || entry.last_good().is_some();
            WellKnownRecord::dated(&host, entry, now).filter(|_| is_known)
        })
    }

    /// Forgets a target.
    pub(super) fn forget_target(&self, name: &ServerName) {
        let forgotten = self.forgotten();
        let host: Arc<str> = with_host(name, |host| Arc::from(host));
        self.change(forgotten, host, |entry| entry.remove_target(name));
    }

    /// Forgets a host's well-known and DNS answers.
    pub(super) fn forget_host(&self, host: &DnsName, now: SystemTime) {
        let mut forgotten = self.forgotten();
        let since = forgotten.now(now);
        if forgotten.hosts.len() >= forgotten.most {
            forgotten.hosts.clear();
            forgotten.all = since;
        }
        forgotten.hosts.insert(host.clone(), since);
        self.change(forgotten, host.clone().into_text(), HostEntry::forget_answers);
    }

    /// Forgets everything.
    pub(super) fn clear(&self, now: SystemTime) {
        let mut forgotten = self.forgotten();
        forgotten.all = forgotten.now(now);
        forgotten.hosts.clear();
        self.hosts.clear();
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;

    use super::super::size::tests::{cached, hostile, learnt, looked_up, srv};
    use super::*;
    use crate::core::cache::Renewal;
    use crate::core::dns::{DnsAnswer, DnsFailure, Family, NoRecord};
    use crate::testing::Internet;

    const MIB: usize = 1 << 20;

    fn memory(limits: &MemoryLimits) -> Memory {
        Memory::new(limits, Arc::default(), Arc::new(Tally::new()))
    }

    fn host(n: usize) -> DnsName {
        format!("{n}.example").parse().unwrap()
    }

    fn question(n: usize) -> DnsQuestion {
        DnsQuestion::Addresses { host: host(n), family: Family::V4 }
    }

    fn none() -> DnsEntry {
        learnt(DnsAnswer::None { kind: NoRecord::NoData, ttl: None }, None)
    }

    /// Returns the target under the `n`-th spelling of its server name.
    fn spelt(cached: &CachedTarget, n: usize) -> Arc<CachedTarget> {
        let target = serde_json::to_string(&*cached.target).unwrap();
        let spelling: String = "a.example"
            .char_indices()
            .map(|(at, it)| if n >> at & 1 == 1 { it.to_ascii_uppercase() } else { it })
            .collect();
        let target = target.replace("\"a.example\"", &format!("\"{spelling}\""));
        let target = Arc::new(serde_json::from_str(&target).unwrap());
        Arc::new(CachedTarget::new(target, Renewal::never()).with_report(cached.report().cloned()))
    }

    #[test]
    fn hostile_answers_take_no_more_than_the_limit_in_bytes() {
        let limits = MemoryLimits { bytes: 5 * MIB, ..MemoryLimits::default() };
        let internet = hostile();
        let (target, mut kept) = (cached(&internet), None);
        let counted = measure(|| {
            let memory = memory(&limits);
            let begun = memory.epoch();
            for n in 0..60 {
                memory.keep_target(begun, spelt(&target, n));
            }
            for n in 0..400 {
                let (known, none) = (looked_up(&internet), Box::default());
                memory.keep_well_known(begun, &host(n), known, none, Purpose::Answer);
                memory.keep_dns(begun, &question(n), srv(64));
            }
            kept = Some(memory);
        });
        let memory = kept.unwrap();
        let taken = usize::try_from(counted.bytes_current).unwrap();
        assert!((3 * MIB..=5 * MIB).contains(&taken), "{taken}");
        assert!(memory.tally.read().evictions > 200, "{}", memory.tally.read().evictions);
    }

    #[test]
    fn only_what_is_given_up_for_want_of_room_is_an_eviction() {
        let limits = MemoryLimits { hosts: 10, bytes: MIB, ..MemoryLimits::default() };
        let memory = memory(&limits);
        let keep = |n, entry| memory.keep_dns(memory.epoch(), &question(n), entry);
        for n in 0..10 {
            keep(n, none());
            // Replacing an entry evicts nothing, whatever its new weight.
            keep(n, none());
        }
        keep(0, srv(64));
        keep(0, none());
        memory.forget_host(&host(3), SystemTime::UNIX_EPOCH);
        keep(3, none());
        assert_eq!(memory.tally.read().evictions, 0);
        keep(10, none());
        assert_eq!(memory.tally.read().evictions, 1);
        // An entry that is too large evicts no other, and counts as evicted itself.
        let failed = |detail| DnsAnswer::Failed { failure: DnsFailure::ServFail, detail };
        keep(11, learnt(failed("x".repeat(2 * MIB)), None));
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
        let limits = MemoryLimits { bytes: MIB, ..MemoryLimits::default() };
        let memory = memory(&limits);
        let keep = |entry| memory.keep_dns(memory.epoch(), &question(0), entry);
        let good = srv(1);
        keep(good.clone());
        let failed = |detail| DnsAnswer::Failed { failure: DnsFailure::ServFail, detail };
        keep(learnt(failed("x".repeat(2 * MIB)), Some(&good)));
        let now = Now::EPOCH.monotonic;
        let holding = memory.dns(&question(0), now, Purpose::Answer);
        assert!(holding.is_some_and(|entry| entry.failure().is_none()));
    }

    #[test]
    fn spellings_of_one_host_take_the_room_of_that_host_alone() {
        let memory = memory(&MemoryLimits { hosts: 20, ..MemoryLimits::default() });
        let target = cached(&Internet::new().host("a.example", &["192.0.2.1"]));
        let now = target.target.decided().monotonic;
        memory.keep_dns(memory.epoch(), &question(0), none());
        for n in 0..500 {
            let spelt = spelt(&target, n);
            let name = spelt.target.server_name().clone();
            memory.keep_target(memory.epoch(), spelt);
            assert!(memory.target(&name, now).is_some(), "{n}");
        }
        assert!(memory.earlier_dns(&question(0)).is_some());
        assert_eq!(memory.tally.read().evictions, 250 - 16);
        assert_eq!(memory.entries(Now::EPOCH).count(), 1 + 16);
    }
}
