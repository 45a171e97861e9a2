//! Finds the answers to a machine's questions: in memory, in flight, in the store, or by asking
//! now.

use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{Instrument, debug, debug_span};

use super::config::ResolverConfig;
use super::counters::Tally;
use super::destinations::{Destinations, destination};
use super::drive::{BrokenOff, drive};
use super::memory::{Epoch, Memory};
use super::name_rules::Rules;
use super::slow_lately::{SlowLately, Who};
use super::sockets::{GAVE_WAY, Sockets, none_free};
use super::store::GuardedStore;
use super::traits::{Dns, WellKnownFetch};
use crate::core::cache::{CacheEntry, DnsEntry, Purpose, WellKnownEntry};
use crate::core::config::Config;
use crate::core::discovery::{Question, WellKnownLookup};
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion};
use crate::core::error::Busy;
use crate::core::names::DnsName;
use crate::core::report::{Source, WellKnownReport};
use crate::core::time::{Monotonic, Now, whole_millis};
use crate::core::well_known::{Body, Fetch, FetchFailure, FetchFailureKind, WellKnownFailure};
use crate::runtime::lanes::{CalledBack, Lane, Turn};
use crate::runtime::single_flight::{Joined, SingleFlight, TooMany};
use crate::runtime::{Runtime, within};

/// How much longer than the limit on a DNS question the resolver waits for an adapter. The machine
/// waits longer still.
const ADAPTER_MARGIN: Duration = Duration::from_millis(125);

/// An answer, and how it was found.
#[derive(Clone)]
pub(super) struct Found<E> {
    pub(super) entry: E,
    pub(super) source: Source,
    /// How the well-known was looked up, if that was done for this answer.
    pub(super) lookup: Option<Arc<WellKnownReport>>,
}

/// The look-ups in flight, which all callers that need their answers share.
pub(super) type InFlight<K, E> = Arc<SingleFlight<K, Result<Found<E>, BrokenOff>>>;

/// An answer from memory, or one in flight.
pub(super) type FoundOrInFlight<K, E> = Result<Joined<K, Result<Found<E>, BrokenOff>>, TooMany>;

impl<G: Clone, F> Found<CacheEntry<G, F>> {
    /// Creates an answer from memory, with its age.
    pub(super) fn in_memory(entry: CacheEntry<G, F>, now: Monotonic) -> Self {
        let source = Source::Memory { age: now.since(entry.served_since(now)) };
        Self { entry, source, lookup: None }
    }

    /// Sets the source to memory if asking failed and the earlier answer still holds.
    fn corrected(self, now: Monotonic) -> Self {
        let holds = self.entry.serve(now, Purpose::Answer).is_some_and(|it| it.holds());
        let failed = self.entry.failure().is_some();
        if failed && holds { Self::in_memory(self.entry, now) } else { self }
    }
}

/// A task that looks up a well-known: its purpose, and how long it has run.
struct Asker {
    purpose: Purpose,
    /// How long it had run when it last began to run or to wait, in milliseconds.
    ran: AtomicU64,
    /// When it last began to run, as [`Monotonic::to_bits`]; [`Monotonic::MAX`] while it waits for
    /// a permit.
    since: AtomicU64,
}

impl Asker {
    const fn new(purpose: Purpose) -> Self {
        let (ran, since) = (AtomicU64::new(0), AtomicU64::new(Monotonic::MAX.to_bits()));
        Self { purpose, ran, since }
    }

    /// Notes that it runs from now on, or that it waits for a permit.
    fn set_running(&self, runs: bool, now: Monotonic) {
        self.ran.store(whole_millis(self.ran(now)), Ordering::Relaxed);
        let since = if runs { now } else { Monotonic::MAX };
        self.since.store(since.to_bits(), Ordering::Relaxed);
    }

    /// Returns for how long it has run, without the time that it waited for permits.
    fn ran(&self, now: Monotonic) -> Duration {
        let since = Monotonic::from_bits(self.since.load(Ordering::Relaxed));
        Duration::from_millis(self.ran.load(Ordering::Relaxed)) + now.since(since)
    }
}

/// Finds answers, and remembers them.
pub(super) struct Answers {
    pub(super) dns: Arc<dyn Dns>,
    pub(super) fetch: Arc<dyn WellKnownFetch>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) rules: Rules,
    pub(super) store: Option<GuardedStore>,
    pub(super) limits: ResolverConfig,
    /// The part of the configuration that each machine reads.
    pub(super) config: Arc<Config>,
    pub(super) tally: Arc<Tally>,
    pub(super) memory: Memory,
    /// The permits for fetches.
    pub(super) destinations: Destinations,
    /// The sockets that may be open.
    pub(super) sockets: Sockets,
    /// Who was slow lately.
    pub(super) slow_lately: SlowLately,
    /// The look-ups of well-knowns in flight.
    pub(super) well_knowns: InFlight<DnsName, WellKnownEntry>,
    /// The questions to DNS in flight.
    pub(super) questions: InFlight<DnsQuestion, DnsEntry>,
    pub(super) seed: AtomicU64,
}

impl Answers {
    pub(super) fn now(&self) -> Monotonic {
        self.runtime.monotonic()
    }

    pub(super) fn next_seed(&self) -> u64 {
        // An odd step visits every number before it repeats one. It is not the step of
        // `SplitMix64`, so that generators seeded one after the other do not repeat each other.
        self.seed.fetch_add(0xD1B5_4A32_D192_ED03, Ordering::Relaxed)
    }

    /// Returns in which lane something about a host waits, of whose kind something is known or not.
    pub(super) fn lane(&self, host: &DnsName, known: bool, now: Monotonic) -> Lane {
        match known {
            _ if self.slow_lately.contains(&Who::Host(host.clone()), now) => Lane::Slow,
            true => Lane::First,
            false => Lane::Quick,
        }
    }

    /// Fetches from those addresses whose destinations have a free permit, and waits if none has. Each
    /// address needs a socket; one is waited for, others are taken if they can be spared.
    /// If no request was sent, tries the remaining addresses: the first may be of a family that
    /// the local network lacks. `host` is the one whose well-known it is.
    async fn fetch(
        &self,
        host: &DnsName,
        mut fetch: Fetch,
        asker: &Asker,
    ) -> Result<Result<http::Response<Body>, FetchFailure>, BrokenOff> {
        let mut left = std::mem::take(&mut fetch.addresses);
        let (mut attempts, mut furthest) = (Vec::new(), None::<FetchFailure>);
        // Each pass removes at least one address, so this loop ends.
        loop {
            asker.set_running(false, self.now());
            let permits = self.destinations.permits(&left, &*self.runtime).await;
            let permits = permits.map_err(|it| BrokenOff::busy(Busy::Destination, it))?;
            (fetch.addresses, left) = left.into_iter().partition(|address| permits.allow(address));
            let turn = match self.socket_for(host, &fetch.addresses).await {
                Ok(turn) => turn,
                Err(failure) => return Ok(Err(failure.with_attempts(attempts))),
            };
            let more = 1..fetch.addresses.len();
            let spare: Vec<_> = more.map_while(|_| self.sockets.streams.spare_turn()).collect();
            let at_once = (1 + spare.len()).min(fetch.addresses.len());
            let mut later = fetch.addresses.split_off(at_once);
            later.append(&mut left);
            left = later;
            let begun = self.now();
            asker.set_running(true, begun);
            let fetched = turn.run(&*self.runtime, self.fetch.fetch(fetch.clone())).await;
            let fetched = fetched.unwrap_or_else(|CalledBack| {
                Err(FetchFailure::new(FetchFailureKind::Local, GAVE_WAY))
            });
            let now = self.now();
            for address in &fetch.addresses {
                let network = Who::Network(destination(address));
                self.slow_lately.learn(network, now.since(begun), now);
            }
            drop((turn, spare));
            let failure = match fetched {
                Ok(response) => return Ok(Ok(response)),
                Err(failure) => failure,
            };
            attempts.extend(failure.attempts.iter().cloned());
            // Of failures that got equally far, the first is kept.
            let failure = match furthest.take() {
                Some(before) if before.kind >= failure.kind => before,
                _ => failure,
            };
            let total = &mut fetch.limits.total;
            *total = total.saturating_sub(self.now().since(begun));
            if left.is_empty() || fetch.left_to_proxy || total.is_zero() || has_asked(&failure) {
                return Ok(Err(failure.with_attempts(attempts)));
            }
            furthest = Some(failure);
        }
    }

    /// Waits for a socket to fetch the well-known of a host from one of these addresses.
    async fn socket_for(
        &self,
        host: &DnsName,
        addresses: &[SocketAddr],
    ) -> Result<Turn, FetchFailure> {
        let (now, Sockets { streams, wait, .. }) = (self.now(), &self.sockets);
        let is_slow = |it| self.slow_lately.contains(&Who::Network(destination(it)), now);
        let known = self.memory.earlier_well_known(host);
        let known = known.is_some_and(|it| it.entry.last_good().is_some());
        let lane = match self.lane(host, known, now) {
            Lane::Quick if addresses.iter().any(is_slow) => Lane::Slow,
            lane => lane,
        };
        streams
            .turn(lane, &*self.runtime, *wait)
            .await
            .map_err(|_| FetchFailure::new(FetchFailureKind::Local, none_free(streams)))
    }

    /// Finds a DNS answer: in memory, in flight, or by asking now.
    pub(super) async fn dns(
        self: &Arc<Self>,
        question: &DnsQuestion,
        purpose: Purpose,
    ) -> Result<Found<DnsEntry>, BrokenOff> {
        self.found(self.join_dns(question, purpose), Busy::Questions).await
    }

    /// Finds a DNS answer in memory, or else joins its look-up in flight or starts one.
    pub(super) fn join_dns(
        self: &Arc<Self>,
        question: &DnsQuestion,
        purpose: Purpose,
    ) -> FoundOrInFlight<DnsQuestion, DnsEntry> {
        let now = self.now();
        self.questions.join(
            question,
            &*self.runtime,
            || Some(Ok(Found::in_memory(self.memory.dns(question, now, purpose)?, now))),
            || (),
            || {
                let (answers, question) = (Arc::clone(self), question.clone());
                let begun = answers.memory.epoch();
                async move {
                    let entry = answers.look_up(&question).await;
                    if !answers.rules.forgets(question.host()) {
                        answers.memory.keep_dns(begun, &question, entry.clone());
                    }
                    Ok(Found { entry, source: Source::Asked, lookup: None })
                }
            },
        )
    }

    /// Waits for an answer, which another caller may have asked for.
    async fn found<K: Eq + Hash + Unpin, G: Clone, F: Clone>(
        &self,
        joined: FoundOrInFlight<K, CacheEntry<G, F>>,
        busy: Busy,
    ) -> Result<Found<CacheEntry<G, F>>, BrokenOff> {
        let joined = joined.map_err(|it| BrokenOff::busy(busy, it))?;
        let found = joined.value().await.unwrap_or(Err(BrokenOff::Adapter))?;
        Ok(found.corrected(self.now()))
    }

    /// Asks DNS, and learns from the answer.
    async fn look_up(&self, question: &DnsQuestion) -> DnsEntry {
        let known = self.memory.earlier_dns(question).is_some();
        let answer = self.ask_dns(question, known).await;
        let before = self.memory.earlier_dns(question);
        let entry = DnsEntry::learn(before.as_ref(), question, answer, self.now(), &self.config);
        self.tally.dns(question, &entry);
        entry
    }

    /// Asks DNS. An adapter that overruns the limit on a question counts as timed out, unless the question
    /// had less time because it waited for a socket.
    async fn ask_dns(&self, question: &DnsQuestion, known: bool) -> DnsAnswer {
        let limit = self.config.time.dns.saturating_add(ADAPTER_MARGIN);
        let (begun, host, lanes) = (self.now(), question.host(), &self.sockets.dns);
        let dns = self.rules.dns_of(host).unwrap_or(&self.dns);
        let local = |detail| DnsAnswer::Failed { failure: DnsFailure::Local, detail };
        // The machine waits no longer than for the answer itself.
        let wait = self.sockets.wait.min((self.config.time.dns / 5).saturating_mul(4));
        let mut lane = self.lane(host, known, begun);
        // Each turn takes time, so this loop ends.
        loop {
            let waits = wait.min(limit.saturating_sub(self.now().since(begun)));
            let Ok(turn) = lanes.turn(lane, &*self.runtime, waits).await else {
                return local(none_free(lanes));
            };
            let waited = self.now().since(begun);
            let asked = dns.lookup(question.clone());
            let asked = within(&*self.runtime, limit.saturating_sub(waited), asked);
            match turn.run(&*self.runtime, asked).await {
                Ok(Some(answer)) => return answer,
                Ok(None) if waited <= ADAPTER_MARGIN => {
                    return DnsAnswer::failed(DnsFailure::Timeout);
                }
                Ok(None) => return local(format!("it waited {waited:?} for a socket")),
                // The server may have found the answer when it is asked again.
                Err(CalledBack) => lane = Lane::Slow,
            }
        }
    }

    /// Finds what is known of a host's well-known: in memory, in flight, in the store, or by a
    /// look-up now.
    pub(super) async fn well_known(
        self: &Arc<Self>,
        host: &DnsName,
        purpose: Purpose,
    ) -> Result<Found<WellKnownEntry>, BrokenOff> {
        let now = self.now();
        let begun = self.memory.epoch();
        let asker = Arc::new(Asker::new(purpose));
        let joined = self.well_knowns.join(
            host,
            &*self.runtime,
            || Some(Ok(Found::in_memory(self.memory.well_known(host, now, purpose)?, now))),
            {
                let (answers, host, asker) = (Arc::clone(self), host.clone(), Arc::clone(&asker));
                move || answers.abandoned(&host, &asker, begun)
            },
            || {
                let (answers, host) = (Arc::clone(self), host.clone());
                let span = debug_span!("well_known", %host);
                async move { answers.find_well_known(host, &asker, begun).await }.instrument(span)
            },
        );
        self.found(joined, Busy::Discoveries).await
    }

    /// Finds a well-known in the store or by a look-up, and remembers it either way.
    async fn find_well_known(
        self: &Arc<Self>,
        host: DnsName,
        asker: &Asker,
        begun: Epoch,
    ) -> Result<Found<WellKnownEntry>, BrokenOff> {
        let forget = self.rules.forgets(&host);
        let store = self.store.as_ref().filter(|_| !forget);
        if let Some(store) = store {
            if let Some(entry) = store.get(&host).await {
                // This refuses what is older than memory's entry or was forgotten on request. It
                // accepts an expired document, which may still be the last good one.
                self.memory.take_in(begun, &host, entry, self.runtime.now());
            }
            let now = self.now();
            if let Some(entry) = self.memory.well_known(&host, now, asker.purpose) {
                self.tally.store_hits.one();
                return Ok(Found::in_memory(entry, now));
            }
            self.tally.store_misses.one();
        }
        asker.set_running(true, self.now());
        let (mut entry, report) = self.look_up_well_known(&host, asker).await?;
        self.tally.well_known(&entry);
        if matches!(entry.failure(), Some(WellKnownFailure::Blocked { .. })) {
            self.tally.blocked.one();
        }
        if !forget {
            let redirected_to = report.redirected_to(&host);
            let purpose = asker.purpose;
            entry = self.memory.keep_well_known(begun, &host, entry, redirected_to, purpose);
        }
        // That this machine could not ask is of no use to others.
        if store.is_some() && !entry.is_local() {
            // Callers do not wait for the store.
            let (answers, entry) = (Arc::clone(self), entry.clone());
            let put = async move {
                let store = answers.store.as_ref();
                if let Some(store) = store.filter(|_| answers.memory.is_current(begun, &host)) {
                    store.put(&host, &entry).await;
                }
            };
            self.runtime.spawn(Box::pin(put.in_current_span()));
        }
        Ok(Found { entry, source: Source::Asked, lookup: Some(Arc::new(report)) })
    }

    /// Remembers an abandoned look-up as failed, if it ran for `ResolverConfig::abandoned_after`.
    /// The time that it waited for permits is not counted, because it says nothing about the
    /// server.
    fn abandoned(&self, host: &DnsName, asker: &Asker, begun: Epoch) {
        let now = self.runtime.now();
        let after = asker.ran(now.monotonic);
        if after < self.limits.abandoned_after || self.rules.forgets(host) {
            return;
        }
        debug!(%host, ?after, "abandoned");
        let entry = self.learn_failure(host, WellKnownFailure::Abandoned { after }, now);
        self.tally.well_known(&entry);
        self.memory.keep_well_known(begun, host, entry, Box::default(), asker.purpose);
    }

    /// Returns what is known of a host's well-known after a failure that its look-up did not see.
    fn learn_failure(&self, host: &DnsName, why: WellKnownFailure, now: Now) -> WellKnownEntry {
        let before = self.memory.earlier_well_known(host);
        let before = before.as_deref().map(|it| &it.entry);
        WellKnownEntry::learn(before, Err(why), now, &self.config, self.next_seed())
    }

    /// Looks up a well-known and reports how.
    async fn look_up_well_known(
        self: &Arc<Self>,
        host: &DnsName,
        asker: &Asker,
    ) -> Result<(WellKnownEntry, WellKnownReport), BrokenOff> {
        let config = Arc::clone(&self.config);
        let (now, seed) = (self.runtime.now(), self.next_seed());
        let mut machine = WellKnownLookup::new(host.clone(), config, now, seed);
        if let Some(earlier) = self.memory.earlier_well_known(host) {
            machine = machine.with_earlier(earlier.entry.clone());
        }
        let ask = async |question| match question {
            // The document may outlive the addresses that it is fetched from.
            Question::Dns { token, question } => {
                let found = self.dns(&question, asker.purpose).await?;
                Ok(token.entry(found.entry, found.source))
            }
            Question::Fetch { token, fetch } => {
                Ok(token.answer(self.fetch(host, *fetch, asker).await?))
            }
            Question::WellKnown { .. } => Err(BrokenOff::Adapter),
        };
        let mut entry = drive(&mut machine, &*self.runtime, ask).await?;
        // One that waited for permits has had less time than it is due.
        let (now, had) = (self.runtime.now(), asker.ran(self.now()));
        let in_time = had.saturating_add(ADAPTER_MARGIN) >= self.config.time.well_known;
        if matches!(entry.failure(), Some(WellKnownFailure::TimedOut { .. })) && !in_time {
            let detail = format!("the fetch waited for others, and had only {had:?}");
            let failure = FetchFailure::new(FetchFailureKind::Local, detail);
            entry = self.learn_failure(host, WellKnownFailure::Fetch(failure), now);
        }
        match (entry.failure(), entry.last_good()) {
            (Some(failure), _) => debug!(%failure, "no valid well-known"),
            (None, Some(document)) => debug!(server = %document.server(), "delegates"),
            (None, None) => {}
        }
        Ok((entry, machine.report()))
    }
}

/// Returns whether no other address is to be tried: the server may have received the request, or no
/// exchange can be made at all.
const fn has_asked(failure: &FetchFailure) -> bool {
    use FetchFailureKind::{Connect, ConnectTimeout, NoRoute, Refused, Tls, TlsTimeout};

    !matches!(failure.kind, NoRoute | Connect | Refused | ConnectTimeout | Tls | TlsTimeout)
}
