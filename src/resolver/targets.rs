//! Finds the targets of server names: one discovery a name at a time, each under a permit. Targets
//! in use are renewed in the background before they expire.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use tracing::{Instrument, debug, debug_span};

use super::answers::{Answers, Found, FoundOrInFlight};
use super::config::{QueueLimits, Reports};
use super::drive::{BrokenOff, drive};
use super::memory::Epoch;
use super::slow_lately::Who;
use crate::core::cache::{CachedTarget, DnsEntry, Purpose, Renewal};
use crate::core::config::{Config, Speculation};
use crate::core::discovery::{Answer, Discovery, Machine, Output, Question};
use crate::core::dns::{DnsQuestion, DnsRecords, Service};
use crate::core::error::{Busy, ResolveError};
use crate::core::names::{DnsName, Host, ServerName};
use crate::core::report::Report;
use crate::core::warning::Warning;
use crate::core::well_known::WellKnown;
use crate::runtime::lanes::{CalledBack, Lane, Lanes, Turn};
use crate::runtime::single_flight::{Joined, SingleFlight, TooMany};
use crate::runtime::within;

/// The outcome of a discovery, shared by all callers that waited for it.
pub(super) struct Ending {
    pub(super) result: Result<Arc<CachedTarget>, ResolveError>,
    /// `None` if the discovery was broken off, or if memory holds the target without its report.
    pub(super) report: Option<Arc<Report>>,
    /// Whether the target was in memory when the discovery was about to start.
    pub(super) remembered: bool,
}

/// The state shared by the tasks that answer the questions of one discovery.
struct Course {
    purpose: Purpose,
    /// The earliest time at which an answer that the discovery used is to be renewed.
    renewal: Renewal,
    /// Why the first question that will not be answered was broken off.
    given_up: OnceLock<BrokenOff>,
}

impl Ending {
    fn new(
        result: Result<Arc<CachedTarget>, ResolveError>,
        report: Option<Arc<Report>>,
    ) -> Arc<Self> {
        Arc::new(Self { result, report, remembered: false })
    }

    fn broken_off(why: BrokenOff, name: &ServerName) -> Arc<Self> {
        Self::new(Err(why.error(name.clone())), None)
    }
}

/// Finds targets, and remembers them.
pub(super) struct Targets {
    /// Answers the questions of discoveries, and owns the memory.
    pub(super) answers: Arc<Answers>,
    /// The configuration of background discoveries, without speculation.
    pub(super) unhurried: Arc<Config>,
    /// The permits for discoveries.
    pub(super) lanes: Arc<Lanes>,
    /// The discoveries in flight, which callers for the same name share.
    pub(super) in_flight: Arc<SingleFlight<ServerName, Arc<Ending>>>,
}

impl Targets {
    /// Finds the target of a name for a caller that waits. If the discovery takes longer than
    /// `Refresh::wait`, returns a target from memory, if there is one that may be served stale.
    pub(super) async fn discover(self: &Arc<Self>, name: &ServerName) -> Arc<Ending> {
        if self.asks_nothing(name) {
            let begun = self.answers.memory.epoch();
            let ending = Box::pin(self.run(name.clone(), Purpose::Answer)).await;
            self.keep(begun, &ending);
            return ending;
        }
        let mut waiter = match self.join_discovery(name, Purpose::Answer, None) {
            Ok(Joined::Known(ending)) => return ending,
            Ok(Joined::Waiting(waiter)) => waiter,
            Err(too_many) => {
                let why = BrokenOff::busy(Busy::Discoveries, too_many);
                return self.instead_of(Ending::broken_off(why, name));
            }
        };
        if !waiter.is_first() {
            self.answers.tally.joins.one();
        }
        let ended =
            within(&*self.answers.runtime, self.answers.config.refresh.wait, &mut waiter).await;
        if ended.is_none()
            && let Some(composed) = self.compose(name)
        {
            // The discovery continues for later callers, even if no caller waits for it now.
            waiter.detach();
            return composed;
        }
        let ended = match ended {
            Some(ended) => ended,
            None => waiter.await,
        };
        self.instead_of(ended.unwrap_or_else(|_| Ending::broken_off(BrokenOff::Adapter, name)))
    }

    /// Returns the outcome of a discovery. If it failed for a local reason, returns a target from
    /// memory in its place, if there is one that may be served stale.
    fn instead_of(&self, ending: Arc<Ending>) -> Arc<Ending> {
        let instead = match &ending.result {
            Err(
                ResolveError::TooBusy { name, .. }
                | ResolveError::Local { name, .. }
                | ResolveError::AdapterFailed { name }
                | ResolveError::DeadlineExceeded { name, .. },
            ) => self.compose(name),
            _ => None,
        };
        instead.unwrap_or(ending)
    }

    /// Renews the target of a name in the background, if a permit is free.
    pub(super) fn renew(self: &Arc<Self>, name: &ServerName, purpose: Purpose) {
        let Some(permit) = self.lanes.free_turn() else { return };
        if let Ok(Joined::Waiting(waiter)) = self.join_discovery(name, purpose, Some(permit)) {
            if waiter.is_first() {
                self.answers.tally.renewals.one();
            }
            waiter.detach();
        }
    }

    /// Joins the discovery in flight for a name, or starts one.
    fn join_discovery(
        self: &Arc<Self>,
        name: &ServerName,
        purpose: Purpose,
        permit: Option<Turn>,
    ) -> Result<Joined<ServerName, Arc<Ending>>, TooMany> {
        self.in_flight.join(
            name,
            &*self.answers.runtime,
            || {
                let cached = self.answers.memory.target(name, self.answers.now());
                // A renewal runs although the target in memory has not expired.
                let cached = cached.filter(|_| purpose == Purpose::Answer)?;
                let report = cached.report().cloned();
                Some(Arc::new(Ending { result: Ok(cached), report, remembered: true }))
            },
            || (),
            || {
                let (targets, name) = (Arc::clone(self), name.clone());
                let begun = self.answers.memory.epoch();
                let span = debug_span!("discovery", server_name = %name);
                async move {
                    let permit = match permit {
                        Some(permit) => Ok(permit),
                        None => targets.permit(&name).await,
                    };
                    let ending = match permit {
                        Ok(permit) => targets.run_in(&permit, name, purpose).await,
                        Err(why) => Ending::broken_off(why, &name),
                    };
                    targets.keep(begun, &ending);
                    ending
                }
                .instrument(span)
            },
        )
    }

    /// Waits for a permit for a discovery. Fails if that takes too long.
    async fn permit(&self, name: &ServerName) -> Result<Turn, BrokenOff> {
        let QueueLimits { discoveries: limit, wait, .. } = self.answers.limits.queue;
        let known = self.answers.memory.earlier_target(name).is_some();
        let lane = match name.to_host() {
            Ok(Host::Dns(host)) => self.answers.lane(&host, known, self.answers.now()),
            _ => Lane::Quick,
        };
        let turn = self.lanes.turn(lane, &*self.answers.runtime, wait).await;
        turn.map_err(|_| BrokenOff::Busy { busy: Busy::Turn, limit })
    }

    /// Runs one discovery, as long as its permit may be kept.
    async fn run_in(
        self: &Arc<Self>,
        permit: &Turn,
        name: ServerName,
        purpose: Purpose,
    ) -> Arc<Ending> {
        let begun = self.answers.now();
        let ran = permit.run(&*self.answers.runtime, self.run(name.clone(), purpose)).await;
        let now = self.answers.now();
        if let Ok(Host::Dns(host)) = name.to_host() {
            self.answers.slow_lately.learn(Who::Host(host), now.since(begun), now);
        }
        let limit = self.answers.limits.queue.slow;
        ran.unwrap_or_else(|CalledBack| {
            Ending::broken_off(BrokenOff::Busy { busy: Busy::Slow, limit }, &name)
        })
    }

    /// Returns whether a name needs no question, and so no permit: it is an IP literal or has no
    /// valid host, or a rule sets its target.
    fn asks_nothing(&self, name: &ServerName) -> bool {
        matches!(name.to_host(), Ok(Host::Ip(_)) | Err(_))
            || self.answers.rules.target_of(name).is_some()
    }

    /// Remembers the outcome of a discovery, unless a rule says to forget a host that it relies on.
    fn keep(&self, begun: Epoch, ending: &Ending) {
        if let Ok(cached) = &ending.result
            && !cached.hosts().any(|host| self.answers.rules.forgets(&host))
        {
            self.answers.memory.keep_target(begun, Arc::clone(cached));
        }
    }

    /// Composes a target from what is remembered of a name, expired parts included. Returns `None`
    /// if a part is missing or too old to be served. Asks nothing.
    pub(super) fn compose(&self, name: &ServerName) -> Option<Arc<Ending>> {
        self.compose_with(name, &mut |_| ())
    }

    /// Composes a target from memory and calls `expired` with each DNS question on the way whose
    /// answer there has expired or is missing.
    fn compose_with(
        &self,
        name: &ServerName,
        expired: &mut dyn FnMut(&DnsQuestion),
    ) -> Option<Arc<Ending>> {
        let earlier = self.answers.memory.earlier_target(name)?;
        let now = self.answers.runtime.now();
        let config = Arc::clone(&self.unhurried);
        let mut machine = Discovery::new(name.clone(), config, now, self.answers.next_seed())
            .with_shared_well_known()
            .with_last_step(earlier.target.step());
        // Each pass answers one question, and the machine bounds their number, so this loop ends.
        loop {
            match machine.poll_output(now) {
                Output::Done(outcome) => {
                    let cached = CachedTarget::new(outcome.ok()?, Renewal::never());
                    let report = Arc::new(machine.report().rebuilt());
                    let cached = Arc::new(cached.after(Some(&earlier)));
                    return Some(Ending::new(Ok(cached), Some(report)));
                }
                Output::Ask(Question::Dns { token, question }) => {
                    let holds = self.answers.memory.dns(&question, now.monotonic, Purpose::Answer);
                    if holds.is_none() {
                        expired(&question);
                    }
                    let entry = holds.or_else(|| self.answers.memory.earlier_dns(&question))?;
                    entry.serve(now.monotonic, Purpose::AtOnce)?;
                    let Found { entry, source, .. } = Found::in_memory(entry, now.monotonic);
                    machine.handle(token.entry(entry, source), now);
                }
                Output::Ask(Question::WellKnown { token, host }) => {
                    let entry = self.answers.memory.earlier_well_known(&host)?.entry.clone();
                    entry.serve(now.monotonic, Purpose::AtOnce)?;
                    let Found { entry, source, .. } = Found::in_memory(entry, now.monotonic);
                    machine.handle(token.answer(entry, source, None), now);
                }
                Output::Ask(Question::Fetch { .. }) | Output::Wait(_) => return None,
            }
        }
    }

    /// Asks DNS again for the expired answers that the last target relies on, without waiting for
    /// the well-known. Both look-ups then run at the same time, and a caller that is served from
    /// memory before the well-known arrives gets current addresses. Hold the result until the
    /// discovery ends, because dropping it may cancel the look-ups.
    fn ask_early(
        self: &Arc<Self>,
        name: &ServerName,
    ) -> Vec<FoundOrInFlight<DnsQuestion, DnsEntry>> {
        let Ok(Host::Dns(host)) = name.to_host() else { return Vec::new() };
        let now = self.answers.now();
        let mut early = Vec::new();
        let known = self.answers.memory.well_known(&host, now, Purpose::Answer).is_some();
        if self.answers.config.speculation == Speculation::Off || known {
            return early;
        }
        let mut ask =
            |question: &DnsQuestion| early.push(self.answers.join_dns(question, Purpose::Answer));
        self.compose_with(name, &mut ask);
        // If the SRV records are too old to be served, composing has not reached their targets.
        let earlier = self.answers.memory.earlier_target(name);
        let endpoints = earlier.iter().flat_map(|earlier| earlier.target.endpoints());
        for host in endpoints.filter_map(|it| it.host().as_dns()) {
            for family in self.answers.config.addresses.families() {
                let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
                if self.answers.memory.dns(&question, now, Purpose::Answer).is_none() {
                    ask(&question);
                }
            }
        }
        early
    }

    /// Runs one discovery to its end.
    async fn run(self: &Arc<Self>, name: ServerName, purpose: Purpose) -> Arc<Ending> {
        let earlier = self.answers.memory.earlier_target(&name);
        let target = |target, report: Report, renewal| {
            let report = Arc::new(report);
            let kept =
                (self.answers.limits.memory.reports == Reports::Kept).then(|| report.clone());
            let cached = CachedTarget::new(target, renewal).with_report(kept);
            let cached = Arc::new(cached.after(earlier.as_deref()));
            Ending::new(Ok(cached), Some(report))
        };
        let fixed = self.answers.rules.target_of(&name);
        if let Some(fixed) = fixed.and_then(|it| it.target(&name, self.answers.runtime.now()).ok())
        {
            let report = Report::of_rule(&fixed);
            return target(Arc::new(fixed), report, Renewal::never());
        }
        let waits = purpose == Purpose::Answer;
        let config = Arc::clone(if waits { &self.answers.config } else { &self.unhurried });
        let (now, seed) = (self.answers.runtime.now(), self.answers.next_seed());
        let mut machine = Discovery::new(name.clone(), config, now, seed).with_shared_well_known();
        if let Some(earlier) = &earlier {
            machine = machine.with_last_step(earlier.target.step());
        }
        let _early = if waits { self.ask_early(&name) } else { Vec::new() };
        let (renewal, given_up) = (Renewal::never(), OnceLock::new());
        let course = Course { purpose, renewal, given_up };
        let ask = |question| self.ask(question, &course);
        let driven = drive(&mut machine, &*self.answers.runtime, ask).await;
        let mut report = machine.report();
        if report.warnings.iter().any(|it| matches!(it, Warning::AddressBlocked { .. })) {
            self.answers.tally.blocked.one();
        }
        let error = match driven {
            Ok(Ok(found)) => {
                debug!(target = %found, "resolved");
                return target(found, report, course.renewal);
            }
            // The machine cannot know why an answer is missing.
            Ok(Err(ResolveError::AdapterFailed { name })) => {
                course.given_up.get().unwrap_or(&BrokenOff::Adapter).error(name)
            }
            Ok(Err(error)) => error,
            Err(why) => why.error(name),
        };
        debug!(%error, "not resolved");
        report.error = Some(error.clone());
        Ending::new(Err(error), Some(Arc::new(report)))
    }

    /// Answers a question of a discovery.
    async fn ask(
        self: &Arc<Self>,
        question: Question,
        course: &Course,
    ) -> Result<Answer, BrokenOff> {
        match question {
            Question::Dns { token, question } => {
                match self.answers.dns(&question, course.purpose).await {
                    Ok(Found { entry, source, .. }) => {
                        course.renewal.take_in(entry.renew_at());
                        Ok(token.entry(entry, source))
                    }
                    Err(why) => {
                        // Another failure may have come first.
                        let _ = course.given_up.set(why);
                        Ok(token.unanswered())
                    }
                }
            }
            Question::WellKnown { token, host } => {
                let found = self.answers.well_known(&host, course.purpose).await?;
                course.renewal.take_in(found.entry.renew_at());
                Ok(token.answer(found.entry, found.source, found.lookup))
            }
            // A machine with a shared well-known fetches nothing itself.
            Question::Fetch { .. } => Err(BrokenOff::Adapter),
        }
    }

    /// Forgets a name and all hosts that its target relies on, as far as they are known.
    pub(super) fn forget(&self, name: &ServerName) {
        let hosts = self.hosts_of(name);
        let now = self.answers.runtime.now().wall;
        for host in &hosts {
            self.answers.memory.forget_host(host, now);
        }
        self.answers.memory.forget_target(name);
        // A discovery may have used an answer about one of the hosts, whatever name it is for.
        self.in_flight.forget(|_| true);
        self.answers.well_knowns.forget(|host| hosts.contains(host));
        self.answers.questions.forget(|question| hosts.contains(question.host()));
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        self.answers.memory.clear(self.answers.runtime.now().wall);
        self.in_flight.forget(|_| true);
        self.answers.well_knowns.forget(|_| true);
        self.answers.questions.forget(|_| true);
    }

    /// Returns the hosts that the target of a name relies on, as far as memory knows them.
    fn hosts_of(&self, name: &ServerName) -> HashSet<DnsName> {
        let memory = &self.answers.memory;
        let mut hosts: HashSet<DnsName> = HashSet::new();
        if let Some(earlier) = memory.earlier_target(name) {
            hosts.extend(earlier.hosts());
        }
        let Ok(Host::Dns(host)) = name.to_host() else { return hosts };
        let mut with_srv = vec![host.clone()];
        if let Some(known) = memory.earlier_well_known(&host) {
            let document = known.entry.last_good();
            with_srv.extend(document.map(WellKnown::host).and_then(Host::as_dns).cloned());
            hosts.extend(known.redirected_to.iter().cloned());
        }
        for host in with_srv {
            for service in Service::ALL {
                let question = DnsQuestion::Srv { host: host.clone(), service };
                let entry = memory.earlier_dns(&question);
                let records = entry.as_ref().and_then(DnsEntry::last_good);
                let targets = records.into_iter().flat_map(DnsRecords::srv);
                let targets = targets.map(|it| it.target.trim_end_matches('.'));
                hosts.extend(targets.filter_map(|it| it.parse().ok()));
            }
            hosts.insert(host);
        }
        hosts
    }
}
