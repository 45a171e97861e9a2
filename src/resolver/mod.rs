//! Drives the core over three traits and remembers what they said.
//!
//! `traits` holds the seams to the world, `store` the one to the application's own memory, `rules`
//! what it sets for some names. A call goes down: `discoveries` finds targets, each in its turn
//! (`queue`) and by one flight (`flights`); `drive` runs a machine of the core for each; `parts`
//! answers its questions, at most so many to one of the `destinations` at a time (`places`); `memory`
//! keeps parts and `settled` targets, in maps that are `bounded` by entries and by `size`. What
//! callers get is a `resolution`; what they may look into is `entry`, `snapshot` and `counters`; what
//! they say of it is `feedback`, and `forget` does what they want forgotten.
#![deny(clippy::disallowed_methods)]

mod bounded;
pub(crate) mod builder;
pub(crate) mod counters;
mod destinations;
mod discoveries;
mod drive;
pub(crate) mod entry;
pub(crate) mod feedback;
mod forget;
mod memory;
mod parts;
mod queue;
pub(crate) mod resolution;
pub(crate) mod rules;
mod settled;
mod size;
pub(crate) mod snapshot;
pub(crate) mod store;
pub(crate) mod traits;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::debug;

use self::builder::ResolverBuilder;
use self::counters::{Counters, Tally};
use self::destinations::Destinations;
use self::discoveries::{Answered, Explained};
use self::drive::BrokenOff;
use self::entry::Remembered;
use self::feedback::ContactFailure;
use self::memory::{Known, Memory, Use};
use self::queue::Queue;
use self::resolution::{Explanation, Resolution};
use self::rules::Rules;
use self::snapshot::{RestoreError, Restored, Snapshot};
use self::store::Shelf;
use self::traits::{Dns, WellKnownFetch};
use crate::core::cache::dns_part::DnsPart;
use crate::core::config::Config;
use crate::core::dns::DnsQuestion;
use crate::core::error::ResolveError;
use crate::core::names::dns_name::DnsName;
use crate::core::names::server_name::ServerName;
use crate::core::target::DelegationTarget;
use crate::runtime::Runtime;
use crate::runtime::single_flight::SingleFlight;

/// Resolves Matrix server names and remembers the answers.
///
/// Cloning is cheap and shares the memory. Every part of an answer (well-known, SRV, addresses)
/// lives by its own clock and is shared by all names that need it; the same question is never
/// under way twice; a caller that goes away cancels nothing for the others.
///
/// ```
/// # #[cfg(all(feature = "hickory", feature = "hyper", feature = "ring"))]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = matrix_delegation::Resolver::from_system(Default::default())?;
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
    inner: Arc<Inner>,
}

struct Inner {
    dns: Arc<dyn Dns>,
    fetch: Arc<dyn WellKnownFetch>,
    runtime: Arc<dyn Runtime>,
    rules: Rules,
    shelf: Option<Shelf>,
    config: Arc<Config>,
    /// The same for what nobody waits for: one question after the other.
    unhurried: Arc<Config>,
    seed: AtomicU64,
    tally: Arc<Tally>,
    memory: Memory,
    queue: Queue,
    destinations: Destinations,
    discoveries: Arc<SingleFlight<ServerName, Arc<Explained>>>,
    well_known: Arc<SingleFlight<DnsName, Result<Known, BrokenOff>>>,
    questions: Arc<SingleFlight<DnsQuestion, Arc<DnsPart>>>,
}

impl Inner {
    fn next_seed(&self) -> u64 {
        // An odd step visits every number before it repeats one; this one is not the generator's own.
        self.seed.fetch_add(0xD1B5_4A32_D192_ED03, Ordering::Relaxed)
    }

    /// Counts an answer that is given.
    fn given(&self, resolution: Resolution) -> Resolution {
        if resolution.is_stale() {
            self.tally.stale();
        }
        if resolution.degraded().is_some() {
            self.tally.degraded();
        }
        resolution
    }
}

impl Resolver {
    /// A resolver that asks these and remembers within the bounds of `config`.
    pub fn new(
        dns: Arc<dyn Dns>,
        fetch: Arc<dyn WellKnownFetch>,
        runtime: Arc<dyn Runtime>,
        config: Config,
    ) -> Self {
        Self::builder(dns, fetch, runtime).config(config).build()
    }

    /// The same with more to say: rules for some names, a store, a seed.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use std::sync::Arc;
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::{FixedTarget, Names, Resolver, Rules};
    ///
    /// let network = Arc::new(Network::new(Internet::new()));
    /// let name = Names::One("dev.example".parse()?);
    /// let resolver = Resolver::builder(network.clone(), network.clone(), network.clone())
    ///     .rules(Rules::new().target(name, FixedTarget::new(["127.0.0.1:8448".parse()?])?))
    ///     .build();
    /// let found = network.time().block_on(resolver.resolve(&"dev.example".parse()?))?;
    /// assert_eq!(found.endpoints()[0].to_string(), "127.0.0.1:8448");
    /// assert_eq!(found.authority(), "dev.example");
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(
        dns: Arc<dyn Dns>,
        fetch: Arc<dyn WellKnownFetch>,
        runtime: Arc<dyn Runtime>,
    ) -> ResolverBuilder {
        ResolverBuilder::new(dns, fetch, runtime)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The remembered answer, while it holds: one look-up, no waiting, no allocation.
    pub fn cached(&self, name: &ServerName) -> Option<Resolution> {
        let inner = &self.inner;
        let now = inner.runtime.now().monotonic;
        let settled = inner.memory.target(name, now)?;
        inner.tally.hits();
        Some(inner.given(Resolution::new(settled, true, now)))
    }

    /// Where this server is reached.
    ///
    /// The future may be dropped at any time; by default the discovery goes on and is remembered
    /// ([`Config::abandoned`]).
    pub async fn resolve(&self, name: &ServerName) -> Result<Resolution, ResolveError> {
        match self.remembered(name) {
            Some(resolution) => Ok(resolution),
            None => self.discover(name).await.result,
        }
    }

    /// The same with the report of how it was found, which errors have, too.
    pub async fn explain(&self, name: &ServerName) -> Explanation {
        match self.remembered(name) {
            Some(resolution) => {
                let report = Some(Arc::clone(resolution.report()));
                Explanation { result: Ok(resolution), report }
            }
            None => self.discover(name).await,
        }
    }

    /// Says that a target led nowhere: the endpoint that failed is tried last for a while by
    /// [`Resolution::attempts`], and the name is asked for again in the background, so that a server
    /// that has moved is found in seconds. It is asked for at most once in
    /// [`Feedback::apart`](crate::Feedback::apart), and less often the more often that changed
    /// nothing; what backs off is left alone.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::{Config, ContactFailure, ContactFailureKind};
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
        let (inner, name) = (&self.inner, target.server_name());
        let now = inner.runtime.now().monotonic;
        inner.tally.reports();
        debug!(server_name = %name, %why, "a contact failed");
        // What is not remembered is asked for by the next call in any case.
        let Some(settled) = inner.memory.earlier_target(name) else { return };
        let feedback = &inner.config.feedback;
        if let Some((host, port)) = why.endpoint() {
            settled.demote(host, port, now + feedback.demoted);
        }
        // Where there is no room for it, the allowance is not spent.
        if inner.queue.has_room() && settled.heeds(now, feedback) {
            inner.renew(name, Use::JustNow);
        }
    }

    /// Forgets what is remembered of this name: its target, and the well-known and DNS answers of
    /// its host, of the host that it delegates to, of their SRV targets and of the hosts that its
    /// well-known was redirected to, the last good well-known and the back-off included. What is
    /// under way ends for those who wait for it, but is not remembered, and nobody joins it any
    /// more. What a [store](crate::Store) has of them from before is not used by this resolver
    /// any more.
    pub fn invalidate(&self, name: &ServerName) {
        self.inner.forget(name);
    }

    /// Forgets everything. What is under way ends for those who wait for it, but is not remembered,
    /// and nobody joins it any more. What a [store](crate::Store) has from before is not used by
    /// this resolver any more.
    pub fn clear(&self) {
        self.inner.forget_all();
    }

    /// What is remembered, in no order: targets, well-knowns and DNS answers, those that have run
    /// out included. Nothing is locked meanwhile; what comes or goes during the iteration may or may
    /// not be part of it.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::{Config, Subject};
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
        self.inner.memory.entries(self.inner.runtime.now())
    }

    /// What this resolver has done so far, in numbers.
    pub fn counters(&self) -> Counters {
        self.inner.tally.read()
    }

    /// What is remembered of well-knowns, to be written down for the next process.
    ///
    /// ```
    /// # #[cfg(feature = "testing")]
    /// # {
    /// use matrix_delegation::testing::{Internet, Network};
    /// use matrix_delegation::{Config, Snapshot};
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
        Snapshot::new(self.inner.memory.records())
    }

    /// Takes in what an earlier process remembered. Names are parsed again; what is from the future,
    /// of another version or past its use is dropped; what memory has already stays, unless it is
    /// older.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<Restored, RestoreError> {
        let inner = &self.inner;
        let (begun, now) = (inner.memory.epoch(), inner.runtime.now());
        let mut restored = Restored::default();
        for record in snapshot.entries()? {
            let Some(Ok((host, answer))) = record.map(|it| it.restore(now, &inner.config)) else {
                restored.dropped += 1;
                continue;
            };
            if !inner.rules.forgets(&host) && inner.memory.take_in(begun, &host, answer, now) {
                restored.restored += 1;
            } else {
                restored.passed_over += 1;
            }
        }
        Ok(restored)
    }

    /// The remembered answer, while it holds; one that soon does not is renewed meanwhile.
    fn remembered(&self, name: &ServerName) -> Option<Resolution> {
        let inner = &self.inner;
        let now = inner.runtime.now().monotonic;
        let settled = inner.memory.target(name, now)?;
        if settled.is_due(now, &inner.config.refresh) {
            // If there is no room for it, it is renewed when it is over.
            inner.renew(name, Use::NotDue);
        }
        inner.tally.hits();
        Some(inner.given(Resolution::new(settled, true, now)))
    }

    async fn discover(&self, name: &ServerName) -> Explanation {
        let inner = &self.inner;
        let Answered { explained, remembered } = inner.discover(name).await;
        let counted = if remembered { Tally::hits } else { Tally::misses };
        counted(&inner.tally);
        match &*explained {
            Explained::Settled(settled) => {
                let now = inner.runtime.now().monotonic;
                let resolution = Resolution::new(Arc::clone(settled), remembered, now);
                Explanation {
                    report: Some(Arc::clone(&settled.report)),
                    result: Ok(inner.given(resolution)),
                }
            }
            Explained::Failed { error, report } => {
                inner.tally.failed();
                if matches!(error, ResolveError::TooBusy { .. }) {
                    inner.tally.too_busy();
                }
                Explanation { result: Err(error.clone()), report: report.clone() }
            }
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("dns", &self.inner.dns)
            .field("fetch", &self.inner.fetch)
            .field("runtime", &self.inner.runtime)
            .field("config", &self.inner.config)
            .field("rules", &self.inner.rules)
            .field("store", &self.inner.shelf)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
