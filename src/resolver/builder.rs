//! The parts that a resolver is built from.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::Resolver;
use super::answers::Answers;
use super::config::{ResolverConfig, SocketLimits};
use super::counters::Tally;
use super::destinations::Destinations;
use super::memory::Memory;
use super::name_rules::Rules;
use super::slow_lately::SlowLately;
use super::sockets::Sockets;
use super::store::{GuardedStore, Store};
use super::targets::Targets;
use super::traits::{Dns, WellKnownFetch};
use crate::core::config::{ConfigError, Speculation};
use crate::runtime::Runtime;
use crate::runtime::lanes::{Lanes, Limits};
use crate::runtime::single_flight::SingleFlight;

/// Builds a [`Resolver`]: see [`Resolver::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing by itself"]
pub struct ResolverBuilder {
    pub(super) dns: Arc<dyn Dns>,
    pub(super) fetch: Arc<dyn WellKnownFetch>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) config: ResolverConfig,
    pub(super) seed: Option<u64>,
    pub(super) rules: Rules,
    pub(super) store: Option<Arc<dyn Store>>,
}

impl ResolverBuilder {
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
        let queue = &limits.queue;
        let open = limits.sockets.open(runtime.open_files());
        let SocketLimits { dns_percent, wait, .. } = limits.sockets;
        // More than there are sockets would only wait for each other.
        let (quick, slow) =
            (queue.discoveries.min(open.div_ceil(2)), queue.slow.min(open.saturating_mul(2)));
        let at_a_time = quick.saturating_add(slow);
        let (both, waiting, grace) = (at_a_time, queue.waiting, Duration::from_secs(5));
        let lanes = Limits { quick, slow, both, waiting, grace };
        let most_discoveries = at_a_time.saturating_add(queue.waiting);
        let tally = Arc::new(Tally::new());
        let unhurried = limits.discovery.clone().with_speculation(Speculation::Off);
        let config = Arc::new(limits.discovery.clone());
        let guarded = |store| GuardedStore {
            store,
            limits: limits.store.clone(),
            runtime: Arc::clone(&runtime),
            config: Arc::clone(&config),
            tally: Arc::clone(&tally),
            rests: AtomicU64::new(0),
        };
        let targets = Targets {
            unhurried: Arc::new(unhurried),
            lanes: Arc::new(Lanes::new(lanes)),
            in_flight: Arc::new(SingleFlight::new(most_discoveries, abandoned)),
            answers: Arc::new(Answers {
                dns,
                fetch,
                rules,
                store: store.map(guarded),
                memory: Memory::new(&limits.memory, Arc::clone(&config), Arc::clone(&tally)),
                destinations: Destinations::new(queue),
                sockets: Sockets::new(open, dns_percent, wait, queue.questions),
                slow_lately: SlowLately::new(),
                well_knowns: Arc::new(SingleFlight::new(at_a_time, abandoned)),
                questions: Arc::new(SingleFlight::new(queue.questions, abandoned)),
                seed: AtomicU64::new(seed),
                runtime,
                tally,
                config,
                limits,
            }),
        };
        Ok(Resolver { targets: Arc::new(targets) })
    }
}
