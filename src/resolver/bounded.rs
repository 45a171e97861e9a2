//! A map of so many entries and so many bytes at most.

use std::fmt;
use std::hash::Hash;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::size::Size;

/// What the cache itself takes for an entry besides key and value, in bytes, as it says.
const OVERHEAD: usize = 21;
/// How many places there are for each entry, about: its own, those of what was pushed out of late,
/// and those that are empty, since tables double.
const PLACES: usize = 2;
/// What a shard may hold at the least, in bytes: entries larger than that are rare.
const LEAST_SHARD: usize = 1 << 20;
/// Shards at the most. It does not depend on the machine, or what is remembered would.
const MOST_SHARDS: usize = 16;
/// The share of what is used again, as in the cache's default, but exact in binary: all but a 32nd.
/// An entry heavier than that share of its shard is not kept.
const HOT: f64 = 0.968_75;
/// No limit is larger, in bytes, so that sums of weights do not overflow.
const MOST_BYTES: u64 = u64::MAX >> 2;

/// A map of so many entries and so many bytes at most.
///
/// It has one capacity, in bytes. An entry weighs what it takes, but no less than its share of the
/// capacity were there as many entries as may be: so both limits hold at once.
pub(super) struct Bounded<K, V> {
    cache: Cache<K, Weighed<V>, ByWeight, DefaultHashBuilder, Collect>,
    /// What an entry weighs at the least.
    least: u64,
    /// What it may weigh at the most.
    most: u64,
}

/// The weight is computed once: it is asked for often, and must not change.
#[derive(Clone, Debug)]
struct Weighed<V> {
    value: V,
    weight: u64,
}

#[derive(Clone, Debug)]
struct ByWeight;

impl<K, V> Weighter<K, Weighed<V>> for ByWeight {
    fn weight(&self, _: &K, entry: &Weighed<V>) -> u64 {
        entry.weight
    }
}

/// Collects what an insertion pushes out, to be counted, and dropped outside of the lock.
#[derive(Clone, Debug)]
struct Collect;

impl<K, V> Lifecycle<K, Weighed<V>> for Collect {
    type RequestState = Vec<(K, Weighed<V>)>;

    fn on_evict(&self, out: &mut Self::RequestState, key: K, entry: Weighed<V>) {
        out.push((key, entry));
    }
}

impl<K: Eq + Hash + Clone + Size, V: Clone + Size> Bounded<K, V> {
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        let shards = 1 << (bytes / LEAST_SHARD).clamp(1, MOST_SHARDS).ilog2();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(MOST_BYTES);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(entries)
            // Shards have equal parts, rounded up.
            .weight_capacity(bytes - bytes % shards as u64)
            .hot_allocation(HOT)
            .build();
        // It fails only where a capacity is missing.
        let cache = match options {
            Ok(options) => {
                Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), Collect)
            }
            Err(_) => Cache::with(0, 0, ByWeight, DefaultHashBuilder::default(), Collect),
        };
        let shard = cache.shard_capacity();
        let most = shard - shard.div_ceil(32);
        let least = match entries as u64 {
            0 => u64::MAX,
            entries => bytes.div_ceil(entries).min(most),
        };
        Self { cache, least, most }
    }

    /// What an entry takes, in bytes, its place in the map included.
    fn bytes(key: &K, value: &V) -> usize {
        let place = size_of::<(K, Weighed<V>)>() + OVERHEAD;
        PLACES * place + key.heap() + value.heap()
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key).map(|entry| entry.value)
    }

    /// Puts an entry in the place of the one of this key, and says how many it had to give up for
    /// it: others, or itself, if it is too large to be kept.
    pub(super) fn insert(&self, key: K, value: V) -> u64 {
        let bytes = u64::try_from(Self::bytes(&key, &value)).unwrap_or(u64::MAX);
        let weight = bytes.max(self.least);
        if weight > self.most {
            // What it would have taken the place of no longer holds either.
            self.cache.remove(&key);
            return 1;
        }
        let mut out = Vec::new();
        self.cache.insert_with_lifecycle(key.clone(), Weighed { value, weight }, &mut out);
        // What it took the place of is among them.
        let others = out.iter().filter(|(other, _)| *other != key).count();
        u64::try_from(others).unwrap_or(u64::MAX)
    }

    pub(super) fn remove(&self, key: &K) {
        self.cache.remove(key);
    }

    pub(super) fn retain(&self, keeps: impl Fn(&K) -> bool) {
        self.cache.retain(|key, _| keeps(key));
    }

    pub(super) fn clear(&self) {
        self.cache.clear();
    }
}

impl<K, V> fmt::Debug for Bounded<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cache: _, least, most } = self;
        f.debug_struct("Bounded").field("least", least).field("most", most).finish_non_exhaustive()
    }
}
