//! How the parts of an answer are come by: remembered, under way, in the store, or asked for now.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, ready, select};
use tracing::{Instrument, debug, debug_span};

use super::Inner;
use super::drive::{Answer, BrokenOff, drive};
use super::memory::{Epoch, Known, LookedUp, Part, Use};
use super::settled::Due;
use crate::core::cache::dns_part::DnsPart;
use crate::core::cache::well_known_answer::WellKnownAnswer;
use crate::core::discovery::Question;
use crate::core::discovery::lookup::WellKnownLookup;
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion};
use crate::core::names::dns_name::DnsName;
use crate::core::report::Source;
use crate::core::time::{Monotonic, whole_millis};
use crate::core::well_known::failure::WellKnownFailure;
use crate::core::well_known::fetch::{Body, Fetch, FetchFailure, FetchFailureKind};
use crate::runtime::BoxFuture;
use crate::runtime::single_flight::Joined;

/// How much longer than the limit on a DNS question an adapter is waited for. The machine waits
/// longer still.
const ANSWER_MARGIN: Duration = Duration::from_millis(125);

/// What questions are asked for.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) how: Use,
    /// When what is used for it is to be renewed.
    pub(super) due: Due,
    /// For how long it ran, in milliseconds, but for the time since it last began to.
    ran: AtomicU64,
    /// When it last began to run; `u64::MAX` while it waits for its turn.
    since: AtomicU64,
}

impl Errand {
    pub(super) const fn new(how: Use) -> Self {
        let (ran, since) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { how, due: Due::never(), ran, since }
    }

    fn runs(&self, runs: bool, now: Monotonic) {
        self.ran.store(whole_millis(self.ran(now)), Ordering::Relaxed);
        let since = if runs { whole_millis(now.since_origin()) } else { u64::MAX };
        self.since.store(since, Ordering::Relaxed);
    }

    /// For how long it has run.
    fn ran(&self, now: Monotonic) -> Duration {
        let ran = Duration::from_millis(self.ran.load(Ordering::Relaxed));
        match self.since.load(Ordering::Relaxed) {
            u64::MAX => ran,
            since => ran + now.since(Monotonic::from_origin(Duration::from_millis(since))),
        }
    }
}

impl Inner {
    /// Sets about answering a question of a machine.
    pub(super) fn ask(
        self: &Arc<Self>,
        question: Question,
        errand: &Arc<Errand>,
    ) -> BoxFuture<'static, Result<Answer, BrokenOff>> {
        let (errand, refresh) = (Arc::clone(errand), self.config.refresh.clone());
        match question {
            Question::Dns { token, question } => {
                Box::pin(self.dns(&question, errand.how).map(move |found| {
                    Ok(match found {
                        Ok((part, source)) => {
                            errand.due.take_in(&*part, &refresh);
                            Answer::Dns { token, part, source }
                        }
                        Err(why) => Answer::NoDns { token, why },
                    })
                }))
            }
            Question::Fetch { token, fetch } => {
                let inner = Arc::clone(self);
                Box::pin(async move {
                    let result = inner.fetch(*fetch, &errand).await?;
                    Ok(Answer::Fetch { token, result })
                })
            }
            Question::WellKnown { token, host } => {
                Box::pin(self.well_known(&host, errand.how).map(move |found| {
                    found.map(|(known, source)| {
                        errand.due.take_in(&*known, &refresh);
                        Answer::WellKnown { token, known, source }
                    })
                }))
            }
        }
    }

    /// Makes an exchange once it is its turn at its destinations, with those that have room. Where it
    /// does not get as far as to ask there, the others' turn comes: the ones with room may be of a
    /// family that this machine does not have.
    async fn fetch(
        &self,
        mut fetch: Fetch,
        errand: &Errand,
    ) -> Result<Result<http::Response<Body>, FetchFailure>, BrokenOff> {
        let now = || self.runtime.now().monotonic;
        let mut left = std::mem::take(&mut fetch.addresses);
        let (mut attempts, mut furthest) = (Vec::new(), None::<FetchFailure>);
        // Ends: each time some address is left out.
        loop {
            errand.runs(false, now());
            let turns = self.destinations.turns(&left, &*self.runtime).await?;
            let begun = now();
            errand.runs(true, begun);
            (fetch.addresses, left) = left.into_iter().partition(|address| turns.allow(address));
            let failure = match self.fetch.fetch(fetch.clone()).await {
                Ok(response) => return Ok(Ok(response)),
                Err(failure) => failure,
            };
            attempts.extend(failure.attempts.iter().cloned());
            // Of those that got equally far, the first.
            let failure = match furthest.take() {
                Some(before) if before.kind >= failure.kind => before,
                _ => failure,
            };
            let total = &mut fetch.limits.total;
            *total = total.saturating_sub(now().since(begun));
            if left.is_empty() || fetch.left_to_proxy || total.is_zero() || has_asked(&failure) {
                return Ok(Err(failure.with_attempts(attempts)));
            }
            furthest = Some(failure);
        }
    }

    /// The answer of DNS: remembered, under way, or asked for now.
    pub(super) fn dns(
        self: &Arc<Self>,
        question: &DnsQuestion,
        how: Use,
    ) -> BoxFuture<'static, Result<(Arc<DnsPart>, Source), BrokenOff>> {
        let now = self.runtime.now().monotonic;
        let joined = self.questions.join(
            question,
            &*self.runtime,
            || {
                self.memory
                    .dns(question, now, how)
                    .filter(|part| self.is_of_use(question, part, now))
            },
            || (),
            |leader| {
                let (inner, question) = (Arc::clone(self), question.clone());
                let begun = inner.memory.epoch();
                async move {
                    let part = Arc::new(inner.look_up(&question).await);
                    if !inner.rules.forgets(question.host()) {
                        inner.memory.keep_dns(begun, &question, Arc::clone(&part));
                    }
                    leader.finish(part);
                }
            },
        );
        match joined {
            Ok(Joined::Known(part)) => {
                let age = now.since(part.obtained());
                Box::pin(ready(Ok((part, Source::Memory { age }))))
            }
            Ok(Joined::Waiting(waiter)) => {
                let (inner, question) = (Arc::clone(self), question.clone());
                Box::pin(waiter.map(move |part| {
                    let part = part.map_err(|_| BrokenOff::Adapter)?;
                    let now = inner.runtime.now().monotonic;
                    let held = || inner.memory.dns(&question, now, Use::Holding);
                    Ok(or_what_holds((part, Source::Asked), held, now))
                }))
            }
            Err(too_many) => Box::pin(ready(Err(too_many.into()))),
        }
    }

    /// Whether a remembered answer may be used. A family that failed beside the other's answer is
    /// asked again after a while, however far its back-off has come.
    fn is_of_use(&self, question: &DnsQuestion, part: &DnsPart, now: Monotonic) -> bool {
        let DnsQuestion::Addresses { host, family } = question else { return true };
        let failed = matches!(**part.answer(), DnsAnswer::Failed { .. });
        if !failed || now.since(part.obtained()) < self.config.dns.incomplete {
            return true;
        }
        let other = DnsQuestion::Addresses { host: host.clone(), family: family.other() };
        let beside = self.memory.earlier_dns(&other);
        !beside.is_some_and(|part| matches!(**part.answer(), DnsAnswer::Found { .. }))
    }

    /// Asks DNS. An adapter that overruns the limit on a question has timed out.
    async fn look_up(&self, question: &DnsQuestion) -> DnsPart {
        let due = self.runtime.now().monotonic + self.config.time.dns.saturating_add(ANSWER_MARGIN);
        let dns = self.rules.dns_of(question.host()).unwrap_or(&self.dns);
        let lookup = dns.lookup(question.clone());
        let answer = match select(lookup, pin!(self.runtime.sleep_until(due))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => DnsAnswer::failed(DnsFailure::Timeout),
        };
        let (now, before) = (self.runtime.now().monotonic, self.memory.earlier_dns(question));
        let part = DnsPart::new(question, answer, now, before.as_deref(), &self.config.dns);
        self.tally.dns(question, part.answer());
        part
    }

    /// What is known of a host's well-known: remembered, under way, in the store, or looked up now.
    fn well_known(
        self: &Arc<Self>,
        host: &DnsName,
        how: Use,
    ) -> BoxFuture<'static, Result<Known, BrokenOff>> {
        let now = self.runtime.now().monotonic;
        let begun = self.memory.epoch();
        let errand = Arc::new(Errand::new(how));
        let joined = self.well_known.join(
            host,
            &*self.runtime,
            || self.memory.well_known(host, now, how).map(|known| Ok((known, Source::Asked))),
            {
                let (inner, host, errand) = (Arc::clone(self), host.clone(), Arc::clone(&errand));
                move || inner.given_up(&host, &errand, begun)
            },
            |leader| {
                let (inner, host) = (Arc::clone(self), host.clone());
                let span = debug_span!("well_known", %host);
                async move {
                    let found = inner.find_well_known(&host, &errand, begun).await;
                    let asked = found.as_ref().ok().filter(|(_, source)| *source == Source::Asked);
                    let asked = asked.map(|(known, _)| Arc::clone(known));
                    leader.finish(found);
                    // Nobody waits for the store to take it.
                    if let Some(known) = asked.filter(|_| inner.memory.is_current(begun, &host)) {
                        inner.share(&host, &known.answer).await;
                    }
                }
                .instrument(span)
            },
        );
        match joined {
            Ok(Joined::Known(known)) => Box::pin(ready(known.map(|(known, _)| {
                let age = now.since(known.answer.fetched().monotonic);
                (known, Source::Memory { age })
            }))),
            Ok(Joined::Waiting(waiter)) => {
                let (inner, host) = (Arc::clone(self), host.clone());
                Box::pin(waiter.map(move |found| {
                    let known = found.unwrap_or(Err(BrokenOff::Adapter))?;
                    let now = inner.runtime.now().monotonic;
                    let held = || inner.memory.well_known(&host, now, Use::Holding);
                    Ok(or_what_holds(known, held, now))
                }))
            }
            Err(too_many) => Box::pin(ready(Err(too_many.into()))),
        }
    }

    /// Finds it in the store, or looks it up; remembers it either way.
    async fn find_well_known(
        self: &Arc<Self>,
        host: &DnsName,
        errand: &Arc<Errand>,
        begun: Epoch,
    ) -> Result<Known, BrokenOff> {
        let forget = self.rules.forgets(host);
        if let Some(shelf) = self.shelf.as_ref().filter(|_| !forget) {
            let runtime = &*self.runtime;
            if let Some(answer) = shelf.get(host, runtime, &self.config, &self.tally).await {
                // What is older than ours, or was to be forgotten, is of no use; what has run out
                // is still the last that was good.
                self.memory.take_in(begun, host, answer, runtime.now());
            }
            let now = runtime.now().monotonic;
            if let Some(known) = self.memory.well_known(host, now, errand.how) {
                self.tally.store_hits();
                let age = now.since(known.answer.fetched().monotonic);
                return Ok((known, Source::Memory { age }));
            }
            self.tally.store_misses();
        }
        errand.runs(true, self.runtime.now().monotonic);
        let known = Arc::new(self.look_up_well_known(host, errand).await?);
        self.tally.well_known(&known.answer);
        if matches!(known.answer.result(), Err(WellKnownFailure::Blocked { .. })) {
            self.tally.blocked();
        }
        if !forget {
            self.memory.keep_well_known(begun, host, Arc::clone(&known), errand.how);
        }
        Ok((known, Source::Asked))
    }

    /// Hands the store what became of a host.
    async fn share(&self, host: &DnsName, answer: &WellKnownAnswer) {
        if let Some(shelf) = self.shelf.as_ref().filter(|_| !self.rules.forgets(host)) {
            shelf.put(host, answer, &*self.runtime, &self.config, &self.tally).await;
        }
    }

    /// Remembers that a look-up was stopped that had taken long already; what it waited for of ours
    /// says nothing of the server.
    fn given_up(&self, host: &DnsName, errand: &Errand, begun: Epoch) {
        let now = self.runtime.now();
        let after = errand.ran(now.monotonic);
        if after < self.limits.abandoned_after || self.rules.forgets(host) {
            return;
        }
        debug!(%host, ?after, "given up");
        let before = self.memory.earlier_well_known(host);
        let before = before.as_ref().map(|before| &*before.answer);
        let seed = self.next_seed();
        let answer = WellKnownAnswer::abandoned(after, now, before, &self.config, seed);
        self.tally.well_known(&answer);
        self.memory.keep_well_known(begun, host, Arc::new(LookedUp::kept(answer)), errand.how);
    }

    async fn look_up_well_known(
        self: &Arc<Self>,
        host: &DnsName,
        errand: &Arc<Errand>,
    ) -> Result<LookedUp, BrokenOff> {
        let config = Arc::clone(&self.config);
        let (now, seed) = (self.runtime.now(), self.next_seed());
        let mut machine = WellKnownLookup::new(host.clone(), config, now, seed);
        if let Some(earlier) = self.memory.earlier_well_known(host) {
            machine = machine.with_earlier((*earlier.answer).clone());
        }
        // The addresses that it is fetched from need not be renewed with it.
        let ask = |question| self.ask(question, errand);
        let driven = drive(&mut machine, &*self.runtime, ask).await?;
        let answer = driven.done;
        match answer.result() {
            Ok(document) => debug!(server = %document.server(), "delegates"),
            Err(failure) => debug!(%failure, "no valid well-known"),
        }
        Ok(LookedUp { answer: Arc::new(answer), lookup: Some(Arc::new(machine.report())) })
    }
}

/// What came of a question; what is remembered, if it failed and that holds still.
fn or_what_holds<P: Part>(
    (found, source): (Arc<P>, Source),
    held: impl FnOnce() -> Option<Arc<P>>,
    now: Monotonic,
) -> (Arc<P>, Source) {
    let held = if found.is_failure() { held() } else { None };
    match held.filter(|held| !held.is_failure()) {
        Some(held) => {
            let age = now.since(held.obtained());
            (held, Source::Memory { age })
        }
        None => (found, source),
    }
}

/// Whether the exchange got so far that the server may have been asked, or could not be made at all.
const fn has_asked(failure: &FetchFailure) -> bool {
    use FetchFailureKind::{Connect, ConnectTimeout, Refused, Tls, TlsTimeout};

    !matches!(failure.kind, Connect | Refused | ConnectTimeout | Tls | TlsTimeout)
}
