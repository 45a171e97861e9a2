//! Finds answers: in memory, in flight, in the store, or by asking now.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, ready, select};
use tracing::{Instrument, debug, debug_span};

use super::config::ResolverConfig;
use super::counters::Tally;
use super::destinations::Destinations;
use super::drive::{BrokenOff, Unanswered, drive};
use super::memory::{Epoch, Memory};
use super::rules::Rules;
use super::store::GuardedStore;
use super::traits::{Dns, WellKnownFetch};
use crate::core::cache::{CacheEntry, DnsEntry, Purpose, Renewal, WellKnownEntry};
use crate::core::config::Config;
use crate::core::discovery::{Answer, Question, WellKnownLookup};
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion};
use crate::core::error::Busy;
use crate::core::names::DnsName;
use crate::core::report::{Source, WellKnownReport};
use crate::core::time::{Monotonic, whole_millis};
use crate::core::well_known::{Body, Fetch, FetchFailure, FetchFailureKind, WellKnownFailure};
use crate::runtime::single_flight::{Joined, SingleFlight};
use crate::runtime::{BoxFuture, Runtime};

/// How much longer than the limit on a DNS question the resolver waits for an adapter. The machine
/// waits longer still.
const ANSWER_MARGIN: Duration = Duration::from_millis(125);

/// Finds answers and remembers them.
#[derive(Debug)]
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
    pub(super) destinations: Destinations,
    pub(super) well_known_in_flight: Arc<SingleFlight<DnsName, Result<KnownWellKnown, BrokenOff>>>,
    pub(super) dns_in_flight: Arc<SingleFlight<DnsQuestion, DnsEntry>>,
    pub(super) seed: AtomicU64,
}

/// What is known of a well-known, and how that was found.
#[derive(Clone, Debug)]
pub(super) struct KnownWellKnown {
    pub(super) entry: WellKnownEntry,
    pub(super) source: Source,
    /// The look-up, if it was made for this answer.
    pub(super) lookup: Option<Arc<WellKnownReport>>,
}

/// A task that asks questions: its purpose, and how long it has run.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) purpose: Purpose,
    /// When the answers that it uses are to be renewed.
    pub(super) renewal: Renewal,
    /// For how long it ran in earlier stretches, in milliseconds.
    ran: AtomicU64,
    /// When it last began to run; `u64::MAX` while it waits for a permit.
    since: AtomicU64,
}

impl Asker {
    pub(super) const fn new(purpose: Purpose) -> Self {
        let (ran, since) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { purpose, renewal: Renewal::never(), ran, since }
    }

    fn runs(&self, runs: bool, now: Monotonic) {
        self.ran.store(whole_millis(self.ran(now)), Ordering::Relaxed);
        let since = if runs { whole_millis(now.since_origin()) } else { u64::MAX };
        self.since.store(since, Ordering::Relaxed);
    }

    /// Returns for how long it has run, without the time that it waited for permits.
    fn ran(&self, now: Monotonic) -> Duration {
        let ran = Duration::from_millis(self.ran.load(Ordering::Relaxed));
        match self.since.load(Ordering::Relaxed) {
            u64::MAX => ran,
            since => ran + now.since(Monotonic::from_origin(Duration::from_millis(since))),
        }
    }
}

impl Answers {
    pub(super) fn next_seed(&self) -> u64 {
        // An odd step visits every number before it repeats one. It differs from the generator's
        // own.
        self.seed.fetch_add(0xD1B5_4A32_D192_ED03, Ordering::Relaxed)
    }

    fn now(&self) -> Monotonic {
        self.runtime.now().monotonic
    }

    /// Starts to answer a question of a machine.
    pub(super) fn ask(
        self: &Arc<Self>,
        question: Question,
        asker: &Arc<Asker>,
    ) -> BoxFuture<'static, Result<Answer, Unanswered>> {
        let asker = Arc::clone(asker);
        match question {
            Question::Dns { token, question } => {
                Box::pin(self.dns(&question, asker.purpose).map(move |found| match found {
                    Ok((entry, source)) => {
                        asker.renewal.take_in(entry.renew_at());
                        Ok(token.entry(entry, source))
                    }
                    Err(why) => Err(Unanswered { why, token: Some(token) }),
                }))
            }
            Question::Fetch { token, fetch } => {
                let answers = Arc::clone(self);
                Box::pin(async move { Ok(token.answer(answers.fetch(*fetch, &asker).await?)) })
            }
            Question::WellKnown { token, host } => {
                Box::pin(self.well_known(&host, asker.purpose).map(move |found| {
                    let KnownWellKnown { entry, source, lookup } = found?;
                    asker.renewal.take_in(entry.renew_at());
                    let lookup = lookup.filter(|_| source == Source::Asked);
                    Ok(token.answer(entry, source, lookup))
                }))
            }
        }
    }

    /// Makes an exchange with those destinations that have a free permit, and waits if none has. If
    /// no request was sent there, tries the remaining ones: the first may be of an address family
    /// that this machine lacks.
    async fn fetch(
        &self,
        mut fetch: Fetch,
        asker: &Asker,
    ) -> Result<Result<http::Response<Body>, FetchFailure>, BrokenOff> {
        let mut left = std::mem::take(&mut fetch.addresses);
        let (mut attempts, mut furthest) = (Vec::new(), None::<FetchFailure>);
        // Each pass removes at least one address, so this loop ends.
        loop {
            asker.runs(false, self.now());
            let permits = self.destinations.permits(&left, &*self.runtime).await;
            let permits = permits.map_err(|it| BrokenOff::busy(Busy::Destination, it))?;
            let begun = self.now();
            asker.runs(true, begun);
            (fetch.addresses, left) = left.into_iter().partition(|address| permits.allow(address));
            let failure = match self.fetch.fetch(fetch.clone()).await {
                Ok(response) => return Ok(Ok(response)),
                Err(failure) => failure,
            };
            attempts.extend(failure.attempts.iter().cloned());
            // Of those that got equally far, the first is kept.
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

    /// Finds a DNS answer: in memory, in flight, or by asking now.
    pub(super) fn dns(
        self: &Arc<Self>,
        question: &DnsQuestion,
        purpose: Purpose,
    ) -> BoxFuture<'static, Result<(DnsEntry, Source), BrokenOff>> {
        let now = self.now();
        let joined = self.dns_in_flight.join(
            question,
            &*self.runtime,
            || self.memory.dns(question, now, purpose),
            || (),
            |leader| {
                let (answers, question) = (Arc::clone(self), question.clone());
                let begun = answers.memory.epoch();
                async move {
                    let entry = answers.look_up(&question).await;
                    if !answers.rules.forgets(question.host()) {
                        answers.memory.keep_dns(begun, &question, entry.clone());
                    }
                    leader.finish(entry);
                }
            },
        );
        match joined {
            Ok(Joined::Known(entry)) => {
                let source = from_memory(&entry, now);
                Box::pin(ready(Ok((entry, source))))
            }
            Ok(Joined::Waiting(waiter)) => {
                let answers = Arc::clone(self);
                Box::pin(waiter.map(move |entry| {
                    let entry = entry.map_err(|_| BrokenOff::Adapter)?;
                    let source = source_of(&entry, answers.now(), Source::Asked);
                    Ok((entry, source))
                }))
            }
            Err(too_many) => Box::pin(ready(Err(BrokenOff::busy(Busy::Questions, too_many)))),
        }
    }

    /// Asks DNS. An adapter that overruns the limit on a question counts as timed out.
    async fn look_up(&self, question: &DnsQuestion) -> DnsEntry {
        let due = self.now() + self.config.time.dns.saturating_add(ANSWER_MARGIN);
        let dns = self.rules.dns_of(question.host()).unwrap_or(&self.dns);
        let lookup = dns.lookup(question.clone());
        let answer = match select(lookup, pin!(self.runtime.sleep_until(due))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => DnsAnswer::failed(DnsFailure::Timeout),
        };
        let before = self.memory.earlier_dns(question);
        let entry = DnsEntry::learn(before.as_ref(), question, answer, self.now(), &self.config);
        self.tally.dns(question, &entry);
        entry
    }

    /// Finds what is known of a host's well-known: in memory, in flight, in the store, or by a
    /// look-up now.
    fn well_known(
        self: &Arc<Self>,
        host: &DnsName,
        purpose: Purpose,
    ) -> BoxFuture<'static, Result<KnownWellKnown, BrokenOff>> {
        let now = self.now();
        let begun = self.memory.epoch();
        let asker = Arc::new(Asker::new(purpose));
        let remembered = |entry: WellKnownEntry| {
            let source = from_memory(&entry, now);
            KnownWellKnown { entry, source, lookup: None }
        };
        let joined = self.well_known_in_flight.join(
            host,
            &*self.runtime,
            || self.memory.well_known(host, now, purpose).map(|entry| Ok(remembered(entry))),
            {
                let (answers, host, asker) = (Arc::clone(self), host.clone(), Arc::clone(&asker));
                move || answers.abandoned(&host, &asker, begun)
            },
            |leader| {
                let (answers, host) = (Arc::clone(self), host.clone());
                let span = debug_span!("well_known", %host);
                async move {
                    let found = answers.find_well_known(&host, &asker, begun).await;
                    let new = found.as_ref().ok().filter(|known| known.lookup.is_some());
                    let new = new.map(|known| known.entry.clone());
                    leader.finish(found);
                    // Callers do not wait for the store to take it.
                    if let Some(entry) = new.filter(|_| answers.memory.is_current(begun, &host)) {
                        answers.share(&host, &entry).await;
                    }
                }
                .instrument(span)
            },
        );
        match joined {
            Ok(Joined::Known(known)) => Box::pin(ready(known)),
            Ok(Joined::Waiting(waiter)) => {
                let answers = Arc::clone(self);
                Box::pin(waiter.map(move |found| {
                    let known = found.unwrap_or(Err(BrokenOff::Adapter))?;
                    let source = source_of(&known.entry, answers.now(), known.source);
                    Ok(KnownWellKnown { source, ..known })
                }))
            }
            Err(too_many) => Box::pin(ready(Err(BrokenOff::busy(Busy::Discoveries, too_many)))),
        }
    }

    /// Finds a well-known in the store or by a look-up, and remembers it either way.
    async fn find_well_known(
        self: &Arc<Self>,
        host: &DnsName,
        asker: &Arc<Asker>,
        begun: Epoch,
    ) -> Result<KnownWellKnown, BrokenOff> {
        let forget = self.rules.forgets(host);
        if let Some(store) = self.store.as_ref().filter(|_| !forget) {
            let runtime = &*self.runtime;
            if let Some(entry) = store.get(host, runtime, &self.config, &self.tally).await {
                // What is older than ours, or was to be forgotten, is refused. An expired document
                // is still the last good one.
                self.memory.take_in(begun, host, entry, runtime.now());
            }
            let now = runtime.now().monotonic;
            if let Some(entry) = self.memory.well_known(host, now, asker.purpose) {
                self.tally.store_hits();
                let source = from_memory(&entry, now);
                return Ok(KnownWellKnown { entry, source, lookup: None });
            }
            self.tally.store_misses();
        }
        asker.runs(true, self.now());
        let (entry, lookup) = self.look_up_well_known(host, asker).await?;
        self.tally.well_known(&entry);
        if matches!(entry.failure(), Some(WellKnownFailure::Blocked { .. })) {
            self.tally.blocked();
        }
        let entry = if forget {
            entry
        } else {
            let redirected_to = lookup.redirected_to(host);
            self.memory.keep_well_known(begun, host, entry, redirected_to, asker.purpose)
        };
        Ok(KnownWellKnown { entry, source: Source::Asked, lookup: Some(Arc::new(lookup)) })
    }

    /// Gives the store the outcome for a host.
    async fn share(&self, host: &DnsName, entry: &WellKnownEntry) {
        if let Some(store) = self.store.as_ref().filter(|_| !self.rules.forgets(host)) {
            store.put(host, entry, &*self.runtime, &self.config, &self.tally).await;
        }
    }

    /// Remembers that a look-up was abandoned after it had run for long. The time that it waited
    /// for a permit is not counted, because it says nothing about the server.
    fn abandoned(&self, host: &DnsName, asker: &Asker, begun: Epoch) {
        let now = self.runtime.now();
        let after = asker.ran(now.monotonic);
        if after < self.limits.abandoned_after || self.rules.forgets(host) {
            return;
        }
        debug!(%host, ?after, "abandoned");
        let before = self.memory.earlier_well_known(host);
        let before = before.as_ref().map(|it| &it.entry);
        let failure = WellKnownFailure::Abandoned { after };
        let (config, seed) = (&self.config, self.next_seed());
        let entry = WellKnownEntry::learn(before, Err(failure), now, config, seed);
        self.tally.well_known(&entry);
        self.memory.keep_well_known(begun, host, entry, Box::default(), asker.purpose);
    }

    async fn look_up_well_known(
        self: &Arc<Self>,
        host: &DnsName,
        asker: &Arc<Asker>,
    ) -> Result<(WellKnownEntry, WellKnownReport), BrokenOff> {
        let config = Arc::clone(&self.config);
        let (now, seed) = (self.runtime.now(), self.next_seed());
        let mut machine = WellKnownLookup::new(host.clone(), config, now, seed);
        if let Some(earlier) = self.memory.earlier_well_known(host) {
            machine = machine.with_earlier(earlier.entry.clone());
        }
        // The addresses for the fetch need not be renewed together with the document.
        let ask = |question| -> BoxFuture<'static, Result<Answer, Unanswered>> {
            // A look-up asks only for what it needs.
            let needed = |unanswered: Unanswered| unanswered.why.into();
            Box::pin(self.ask(question, asker).map(move |answer| answer.map_err(needed)))
        };
        let entry = drive(&mut machine, &*self.runtime, ask).await?.done;
        match (entry.failure(), entry.last_good()) {
            (Some(failure), _) => debug!(%failure, "no valid well-known"),
            (None, Some(document)) => debug!(server = %document.server(), "delegates"),
            (None, None) => {}
        }
        Ok((entry, machine.report()))
    }
}

/// Returns the source of an answer from memory, with its age.
pub(super) fn from_memory<G: Clone, F>(entry: &CacheEntry<G, F>, now: Monotonic) -> Source {
    Source::Memory { age: now.since(entry.served_since(now)) }
}

/// Returns the source of the answer to a question: memory, if asking failed and the earlier answer
/// still holds.
fn source_of<G: Clone, F>(entry: &CacheEntry<G, F>, now: Monotonic, asked: Source) -> Source {
    let holds = entry.serve(now, Purpose::Answer).is_some_and(|it| it.holds());
    if entry.failure().is_some() && holds { from_memory(entry, now) } else { asked }
}

/// Returns whether the server may have been asked, or the exchange could not be made at all.
const fn has_asked(failure: &FetchFailure) -> bool {
    use FetchFailureKind::{Connect, ConnectTimeout, Refused, Tls, TlsTimeout};

    !matches!(failure.kind, Connect | Refused | ConnectTimeout | Tls | TlsTimeout)
}
