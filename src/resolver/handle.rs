//! The resolver as callers hold it.

use std::fmt;
use std::sync::Arc;

use tracing::debug;

use super::answers::Answers;
use super::builder::ResolverBuilder;
use super::config::ResolverConfig;
use super::counters::Counters;
use super::entry::Remembered;
use super::feedback::ContactFailure;
use super::name_rules::Rules;
use super::resolution::{Explanation, Resolution};
use super::snapshot::{RestoreError, Restored, Snapshot};
use super::targets::{Ending, Targets};
use super::traits::{Dns, WellKnownFetch};
use crate::core::cache::{CachedTarget, Purpose};
use crate::core::config::ConfigError;
use crate::core::error::ResolveError;
use crate::core::names::ServerName;
use crate::core::report::Report;
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::time::Monotonic;
use crate::runtime::Runtime;

/// Resolves Matrix server names and remembers the answers.
///
/// Cloning is cheap and shares the memory. Every part of an answer (well-known, SRV, addresses)
/// has a lifetime of its own and is shared by all names that need it. The same question is never in
/// flight twice. A caller that goes away cancels nothing for the others.
///
/// ```
/// # #[cfg(all(feature = "hickory", feature = "hyper", feature = "ring"))]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = matrix_delegation::Resolver::from_system(matrix_delegation::Config::default())?;
/// let found = resolver.resolve(&"matrix.org".parse()?).await?;
/// let contact = 1; // counts contacts
/// for endpoint in found.attempts(contact) {
///     println!("connect to {endpoint}, send Host: {}", found.authority());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resolver {
    pub(super) targets: Arc<Targets>,
}

impl Resolver {
    /// Creates a resolver with these adapters and an empty memory. `config` is a [`ResolverConfig`],
    /// or a [`Config`](crate::Config) for what the discoveries read.
    ///
    /// # Errors
    ///
    /// If [`ResolverConfig::check`] finds a problem.
    pub fn new(
        dns: Arc<dyn Dns>,
        fetch: Arc<dyn WellKnownFetch>,
        runtime: Arc<dyn Runtime>,
        config: impl Into<ResolverConfig>,
    ) -> Result<Self, ConfigError> {
        Self::builder(dns, fetch, runtime).config(config).build()
    }

    /// Returns a builder, for a resolver with rules for some names, a store or a seed.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use std::sync::Arc;
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::resolver::Names;
    /// use matrix_delegation::{FixedTarget, Resolver, Rules};
    ///
    /// let network = Arc::new(Network::new(Internet::new()));
    /// let name = Names::One("dev.example".parse()?);
    /// let resolver = Resolver::builder(network.clone(), network.clone(), network.clone())
    ///     .rules(Rules::new().target(name, FixedTarget::new(["127.0.0.1:8448".parse()?])?))
    ///     .build()?;
    /// let found = network.time().block_on(resolver.resolve(&"dev.example".parse()?))?;
    /// assert_eq!(found.endpoints().next().unwrap().to_string(), "127.0.0.1:8448");
    /// assert_eq!(found.authority(), "dev.example");
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(
        dns: Arc<dyn Dns>,
        fetch: Arc<dyn WellKnownFetch>,
        runtime: Arc<dyn Runtime>,
    ) -> ResolverBuilder {
        let (config, rules) = (ResolverConfig::default(), Rules::new());
        ResolverBuilder { dns, fetch, runtime, config, seed: None, rules, store: None }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &ResolverConfig {
        &self.answers().limits
    }

    /// Returns the remembered answer, if it has not expired: one look-up in memory, no waiting, no
    /// allocation.
    pub fn cached(&self, name: &ServerName) -> Option<Resolution> {
        self.remembered(name, false)
    }

    /// Resolves a server name to the target where the server is reached.
    ///
    /// The future may be dropped at any time. By default the discovery then continues and is
    /// remembered ([`ResolverConfig::abandoned`]).
    pub async fn resolve(&self, name: &ServerName) -> Result<Resolution, ResolveError> {
        match self.remembered(name, true) {
            Some(resolution) => Ok(resolution),
            None => self.discover(name).await.result,
        }
    }

    /// Resolves a server name and reports how that went, whether it succeeds or fails.
    pub async fn explain(&self, name: &ServerName) -> Explanation {
        let mut explanation = match self.remembered(name, true) {
            Some(resolution) => {
                Explanation { report: resolution.report().cloned(), result: Ok(resolution) }
            }
            None => self.discover(name).await,
        };
        if let Explanation { result: Ok(resolution), report: report @ None } = &mut explanation {
            *report = Some(self.rebuilt_report(resolution.target()));
        }
        explanation
    }

    /// Rebuilds the report of a remembered target from what memory holds.
    fn rebuilt_report(&self, target: &DelegationTarget) -> Arc<Report> {
        if target.step() == Step::Fixed {
            return Arc::new(Report::of_rule(target));
        }
        let composed = self.targets.compose(target.server_name()).filter(|it| {
            it.result.as_ref().is_ok_and(|cached| cached.target.step() == target.step())
        });
        let report = composed.and_then(|it| it.report.clone());
        report.unwrap_or_else(|| Arc::new(Report::of_target(target)))
    }

    /// Reports that a target could not be used.
    ///
    /// [`Resolution::attempts`] then puts the endpoint that failed last for a while, and the name
    /// is looked up again in the background, so that a server that has moved is found in seconds.
    /// That happens at most once in [`Feedback::apart`](crate::config::Feedback::apart), and less
    /// often each time it changes nothing. Look-ups that are in back-off are not repeated.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::resolver::{ContactFailure, ContactFailureKind};
    /// use matrix_delegation::Config;
    ///
    /// let internet = Internet::new()
    ///     .srv("_matrix-fed._tcp.a.example", &[(0, 1, 1, "one.example."), (1, 1, 2, "two.example.")])
    ///     .host("a.example", &["192.0.2.1"])
    ///     .host("one.example", &["192.0.2.2"])
    ///     .host("two.example", &["192.0.2.3"]);
    /// let network = Network::new(internet);
    /// let resolver = network.resolver(Config::default());
    /// let name = "a.example".parse()?;
    ///
    /// let found = network.time().block_on(resolver.resolve(&name))?;
    /// let first = found.attempts(1).next().ok_or("none")?;
    /// assert_eq!(first.to_string(), "one.example:1");
    /// let why = ContactFailure::new(ContactFailureKind::CouldNotConnect).at(first);
    /// resolver.report_failure(&found, &why);
    ///
    /// let again = network.time().block_on(resolver.resolve(&name))?;
    /// assert_eq!(again.attempts(1).next().ok_or("none")?.to_string(), "two.example:2");
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn report_failure(&self, target: &DelegationTarget, why: &ContactFailure) {
        let (answers, name) = (self.answers(), target.server_name());
        let now = answers.now();
        answers.tally.reports.one();
        debug!(server_name = %name, %why, "a contact failed");
        // A name that is not remembered is looked up by the next call in any case.
        let Some(cached) = answers.memory.earlier_target(name) else { return };
        let feedback = &answers.limits.feedback;
        if let Some((host, port)) = why.endpoint() {
            cached.demote(host, port, now + feedback.demoted);
        }
        // Without a free permit, the report does not count against the limit on repeated look-ups.
        if self.targets.lanes.has_free() && cached.heeds(now, feedback) {
            self.targets.renew(name, Purpose::Recheck { apart: feedback.apart });
        }
    }

    /// Forgets what is remembered of this name.
    ///
    /// That is its target, and the well-known and DNS answers of its host, of the host that it
    /// delegates to, of their SRV targets, and of the hosts that its well-known was redirected to,
    /// including the last good well-known and the back-off. Look-ups in flight still answer those who
    /// wait for them, but their results are not remembered and no further caller joins them. This
    /// resolver no longer uses what a [store](crate::Store) has of these hosts from before.
    pub fn invalidate(&self, name: &ServerName) {
        self.targets.forget(name);
    }

    /// Forgets everything.
    ///
    /// Look-ups in flight still answer those who wait for them, but their results are not remembered
    /// and no further caller joins them. This resolver no longer uses what a [store](crate::Store)
    /// has from before.
    pub fn clear(&self) {
        self.targets.forget_all();
    }

    /// Lists what is remembered, in no order: targets, well-knowns and DNS answers, including expired
    /// ones.
    ///
    /// Nothing is locked meanwhile. An entry that is added or evicted during the iteration may or may
    /// not be part of it.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::resolver::Subject;
    /// use matrix_delegation::Config;
    ///
    /// let network = Network::new(Internet::new().host("a.example", &["192.0.2.1"]));
    /// let resolver = network.resolver(Config::default());
    /// network.time().block_on(resolver.resolve(&"a.example".parse()?))?;
    /// let host = Subject::WellKnown("a.example".parse()?);
    /// let known = resolver.entries().find(|it| it.subject == host).ok_or("nothing")?;
    /// assert_eq!((known.failures, known.holds), (1, true));
    /// assert!(known.last_error.is_some_and(|error| error.contains("refused")));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entries(&self) -> impl Iterator<Item = Remembered> + '_ {
        self.answers().memory.entries(self.answers().runtime.now())
    }

    /// Returns what this resolver has done so far, in numbers.
    pub fn counters(&self) -> Counters {
        self.answers().tally.read()
    }

    /// Returns what is remembered of well-knowns, to be saved for the next process.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::resolver::Snapshot;
    /// use matrix_delegation::Config;
    ///
    /// let internet = Internet::new()
    ///     .host("a.example", &["192.0.2.1"])
    ///     .delegates("a.example", "a.example:443");
    /// let network = Network::new(internet);
    /// let resolver = network.resolver(Config::default());
    /// network.time().block_on(resolver.resolve(&"a.example".parse()?))?;
    /// let written = serde_json::to_string(&resolver.snapshot())?;
    ///
    /// let next = network.resolver(Config::default());
    /// let read: Snapshot = serde_json::from_str(&written)?;
    /// assert_eq!(next.restore(&read)?.restored, 1);
    /// network.clear_asked();
    /// network.time().block_on(next.resolve(&"a.example".parse()?))?;
    /// assert!(!network.asked().iter().any(|question| question.starts_with("GET")));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.answers().memory.records(self.answers().runtime.now()))
    }

    /// Adds what an earlier process remembered.
    ///
    /// Names are parsed again. Records from the future, of another version or too old are dropped.
    /// What memory holds already stays, unless it is older. How old a record is, the wall clock says: one that
    /// was set back since the snapshot, by less than the record's age, makes the record younger by as much.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<Restored, RestoreError> {
        let answers = self.answers();
        let (begun, now) = (answers.memory.epoch(), answers.runtime.now());
        let mut restored = Restored::default();
        for record in snapshot.records()? {
            let record = record.as_ref().map(|it| it.restore(now, &answers.config));
            let Some(Ok((host, entry))) = record else {
                restored.dropped += 1;
                continue;
            };
            if !answers.rules.forgets(&host) && answers.memory.take_in(begun, &host, entry, now) {
                restored.restored += 1;
            } else {
                restored.passed_over += 1;
            }
        }
        Ok(restored)
    }

    fn answers(&self) -> &Answers {
        &self.targets.answers
    }

    /// Makes the answer for a caller, and counts it.
    fn given(
        &self,
        cached: Arc<CachedTarget>,
        report: Option<Arc<Report>>,
        remembered: bool,
        now: Monotonic,
    ) -> Resolution {
        let tally = &self.answers().tally;
        let report = report.or_else(|| cached.report().cloned());
        let resolution = Resolution::new(cached, report, remembered, now);
        if resolution.is_stale() {
            tally.stale.one();
        }
        if resolution.degraded().is_some() {
            tally.degraded.one();
        }
        resolution
    }

    /// Returns the remembered answer, if it has not expired. With `renew`, renews it in the
    /// background if it soon will.
    fn remembered(&self, name: &ServerName, renew: bool) -> Option<Resolution> {
        let answers = self.answers();
        let now = answers.now();
        let cached = answers.memory.target(name, now)?;
        if renew && cached.is_due(now, &answers.config.refresh) {
            // Without a free permit, it is renewed when it has expired.
            self.targets.renew(name, Purpose::Renewal);
        }
        answers.tally.hits.one();
        Some(self.given(cached, None, true, now))
    }

    async fn discover(&self, name: &ServerName) -> Explanation {
        let tally = &self.answers().tally;
        let ending = self.targets.discover(name).await;
        let Ending { result, report, remembered } = &*ending;
        if *remembered { &tally.hits } else { &tally.misses }.one();
        let report = report.clone();
        let result = match result {
            Ok(cached) => {
                let now = self.answers().now();
                Ok(self.given(Arc::clone(cached), report.clone(), *remembered, now))
            }
            Err(error) => {
                tally.failed.one();
                if matches!(error, ResolveError::TooBusy { .. }) {
                    tally.too_busy.one();
                }
                Err(error.clone())
            }
        };
        Explanation { result, report }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = self.answers();
        f.debug_struct("Resolver")
            .field("dns", &answers.dns)
            .field("fetch", &answers.fetch)
            .field("runtime", &answers.runtime)
            .field("config", &answers.config)
            .field("rules", &answers.rules)
            .field("store", &answers.store.as_ref().map(|it| &it.store))
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
