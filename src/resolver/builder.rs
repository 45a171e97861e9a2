//! The parts that a resolver is built from.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Resolver;
use super::answers::Answers;
use super::config::ResolverConfig;
use super::counters::Tally;
use super::destinations::Destinations;
use super::memory::Memory;
use super::queue::Queue;
use super::rules::Rules;
use super::store::{GuardedStore, Store};
use super::targets::Targets;
use super::traits::{Dns, WellKnownFetch};
use crate::core::config::{ConfigError, Speculation};
use crate::runtime::Runtime;
use crate::runtime::single_flight::SingleFlight;

/// Builds a [`Resolver`]: see [`Resolver::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing by itself"]
pub struct ResolverBuilder {
    dns: Arc<dyn Dns>,
    fetch: Arc<dyn WellKnownFetch>,
    runtime: Arc<dyn Runtime>,
    config: ResolverConfig,
    seed: Option<u64>,
    rules: Rules,
    store: Option<Arc<dyn Store>>,
}

impl ResolverBuilder {
    pub(super) fn new(
        dns: Arc<dyn Dns>,
        fetch: Arc<dyn WellKnownFetch>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        let (config, rules) = (ResolverConfig::default(), Rules::new());
        Self { dns, fetch, runtime, config, seed: None, rules, store: None }
    }

    /// Sets the configuration: a [`ResolverConfig`], or a [`Config`](crate::Config) for what the
    /// discoveries read. Default: [`ResolverConfig::default`].
    pub fn config(mut self, config: impl Into<ResolverConfig>) -> Self {
        self.config = config.into();
        self
    }

    /// Sets the seed of all random choices, for tests. Default: a random one.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets rules for some names. Default: none.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets a store, used beside the resolver's own memory. Default: none.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Builds the resolver, with an empty memory.
    ///
    /// # Errors
    ///
    /// If [`ResolverConfig::check`] finds a problem.
    pub fn build(self) -> Result<Resolver, ConfigError> {
        let Self { dns, fetch, runtime, config, seed, rules, store } = self;
        config.check()?;
        // The standard library's only source of randomness. It need not be strong here.
        #[expect(clippy::disallowed_methods, reason = "the one seed that all others come from")]
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
        let (abandoned, limits) = (config.abandoned, config);
        let tally = Arc::new(Tally::new());
        let unhurried = limits.discovery.clone().with_speculation(Speculation::Off);
        let config = Arc::new(limits.discovery.clone());
        let (queue, destinations) = (Queue::new(&limits.queue), Destinations::new(&limits.queue));
        let most_discoveries = limits.queue.discoveries.saturating_add(limits.queue.waiting);
        let (most_well_known, most_dns) = (limits.queue.discoveries, limits.queue.questions);
        let answers = Answers {
            dns,
            fetch,
            runtime,
            rules,
            store: store.map(|store| GuardedStore::new(store, limits.store.clone())),
            memory: Memory::new(&limits.memory, Arc::clone(&config), Arc::clone(&tally)),
            tally,
            destinations,
            well_known_in_flight: Arc::new(SingleFlight::new(most_well_known, abandoned)),
            dns_in_flight: Arc::new(SingleFlight::new(most_dns, abandoned)),
            seed: AtomicU64::new(seed),
            config,
            limits,
        };
        let in_flight = Arc::new(SingleFlight::new(most_discoveries, abandoned));
        let targets = Targets {
            answers: Arc::new(answers),
            unhurried: Arc::new(unhurried),
            queue,
            in_flight,
        };
        Ok(Resolver { targets: Arc::new(targets) })
    }
}
