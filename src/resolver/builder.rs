//! What a resolver is made of.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Resolver;
use super::answers::Answers;
use super::counters::Tally;
use super::destinations::Destinations;
use super::memory::Memory;
use super::queue::Queue;
use super::rules::Rules;
use super::store::{GuardedStore, Store};
use super::targets::Targets;
use super::traits::{Dns, WellKnownFetch};
use crate::core::config::{Config, Speculation};
use crate::runtime::Runtime;
use crate::runtime::single_flight::SingleFlight;

/// Makes a [`Resolver`]: see [`Resolver::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing by itself"]
pub struct ResolverBuilder {
    dns: Arc<dyn Dns>,
    fetch: Arc<dyn WellKnownFetch>,
    runtime: Arc<dyn Runtime>,
    config: Config,
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
        let (config, rules) = (Config::default(), Rules::new());
        Self { dns, fetch, runtime, config, seed: None, rules, store: None }
    }

    /// With this configuration. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// With this seed for all random choices, for tests. Default: one that nobody knows.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// With these rules for some names. Default: none.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// With a store beside its own memory. Default: none.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The resolver, with an empty memory.
    pub fn build(self) -> Resolver {
        let Self { dns, fetch, runtime, config, seed, rules, store } = self;
        // The standard library's only source of randomness; it need not be strong here.
        #[expect(clippy::disallowed_methods, reason = "the one seed that all others come from")]
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
        let (limits, abandoned) = (&config.memory, config.abandoned);
        let waiting = limits.discoveries.saturating_add(limits.waiting);
        let (well_known_limit, dns_limit) = (limits.discoveries, limits.questions);
        let tally = Arc::new(Tally::new());
        let (queue, destinations) = (Queue::new(&config), Destinations::new(&config));
        let unhurried = Arc::new(config.clone().with_speculation(Speculation::Off));
        let config = Arc::new(config);
        let answers = Answers {
            dns,
            fetch,
            runtime,
            rules,
            store: store.map(GuardedStore::new),
            memory: Memory::new(Arc::clone(&config), Arc::clone(&tally)),
            tally,
            destinations,
            well_known_flights: Arc::new(SingleFlight::new(well_known_limit, abandoned)),
            dns_flights: Arc::new(SingleFlight::new(dns_limit, abandoned)),
            seed: AtomicU64::new(seed),
            config,
        };
        let flights = Arc::new(SingleFlight::new(waiting, abandoned));
        let targets = Targets { answers: Arc::new(answers), unhurried, queue, flights };
        Resolver { targets: Arc::new(targets) }
    }
}
