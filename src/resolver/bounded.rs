//! A map with at most a given number of entries and bytes.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::size::COUNTS;

/// What the cache takes for an entry besides key and value, in bytes, by its own documentation.
const OVERHEAD: usize = 21;
/// At most this many slots exist for each entry, because tables double.
const PLACES: usize = 2;
/// Slots are allocated as if no entry took less than this many bytes. The cache also remembers the
/// hashes of half as many evicted entries, in slots of the same size.
const ORDINARY: usize = 1 << 10;
/// The least capacity of a shard, in bytes: larger entries are rare.
const LEAST_SHARD: usize = 1 << 20;
/// At most this many shards. The figure does not depend on the machine, so that what is remembered
/// does not, either.
const MOST_SHARDS: usize = 16;
/// The share of a shard for entries that are used again. It is about the cache's default, but exact
/// in binary: all but a 32nd. An entry that weighs more than this share of its shard is not kept.
const HOT: f64 = 0.968_75;
/// The largest limit, in bytes, so that sums of weights do not overflow.
const MOST_BYTES: u64 = u64::MAX >> 2;

/// A map from names to values, with at most a given number of entries and bytes.
///
/// The cache has one capacity, in bytes. An entry weighs what it takes, but at least the capacity
/// divided by the allowed number of entries. So both limits hold at once.
pub(super) struct Bounded<V> {
    cache: Cache<Arc<str>, Weighed<V>, ByWeight, DefaultHashBuilder, Collect>,
    /// The least weight of an entry.
    least: u64,
    /// The greatest weight of an entry.
    most: u64,
}

/// A value with its weight, which is computed once: it is read often and must not change.
#[derive(Clone, Debug)]
struct Weighed<V> {
    value: V,
    weight: u64,
}

#[derive(Clone, Debug)]
struct ByWeight;

impl<V> Weighter<Arc<str>, Weighed<V>> for ByWeight {
    fn weight(&self, _: &Arc<str>, entry: &Weighed<V>) -> u64 {
        entry.weight
    }
}

/// Collects the values that an insertion removes. They are counted, and dropped without a lock.
#[derive(Clone, Debug)]
struct Collect;

impl<V> Lifecycle<Arc<str>, Weighed<V>> for Collect {
    type RequestState = Vec<V>;

    fn on_evict(&self, removed: &mut Vec<V>, _: Arc<str>, entry: Weighed<V>) {
        removed.push(entry.value);
    }
}

impl<V: Clone> Bounded<V> {
    /// What an entry takes in the map itself, in bytes.
    const PLACE: usize = size_of::<(Arc<str>, Weighed<V>)>() + OVERHEAD;

    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        let shards = 1 << (bytes / LEAST_SHARD).clamp(1, MOST_SHARDS).ilog2();
        let ordinary = entries.min(bytes / ORDINARY);
        let pushed_out = PLACES * Self::PLACE * ordinary.div_ceil(2);
        let bytes = u64::try_from(bytes.saturating_sub(pushed_out)).unwrap_or(u64::MAX);
        let bytes = bytes.min(MOST_BYTES);
        let least = bytes.checked_div(entries as u64).unwrap_or(u64::MAX);
        // The allowed number of entries fits exactly. Shards have equal parts, rounded up.
        let bytes = if (1..=bytes).contains(&least) { least * entries as u64 } else { bytes };
        let bytes = bytes / shards as u64 * shards as u64;
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(ordinary)
            .weight_capacity(bytes)
            .ghost_allocation(0.5)
            .hot_allocation(HOT)
            .build();
        // This fails only if a capacity is missing.
        let cache = match options {
            Ok(options) => {
                Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), Collect)
            }
            Err(_) => Cache::with(0, 0, ByWeight, DefaultHashBuilder::default(), Collect),
        };
        let shard = cache.shard_capacity();
        let most = shard - shard.div_ceil(32);
        let least = if entries == 1 { least.min(most) } else { least };
        Self { cache, least, most }
    }

    /// Returns the value of a key and marks it as used.
    pub(super) fn get(&self, key: &str) -> Option<V> {
        self.cache.get(key).map(|entry| entry.value)
    }

    /// Returns the value of a key without marking it as used.
    pub(super) fn peek(&self, key: &str) -> Option<V> {
        self.cache.peek(key).map(|entry| entry.value)
    }

    /// Puts an entry, which holds this many bytes elsewhere, in the place of the one of this key, and
    /// adds the values that had to go to `removed`. Returns how many were evicted for it: others; or
    /// itself, if it is too large to be kept, and then what was there stays.
    pub(super) fn insert(&self, key: Arc<str>, value: V, heap: usize, removed: &mut Vec<V>) -> u64 {
        let bytes = PLACES * Self::PLACE + COUNTS + key.len() + heap;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let weight = bytes.max(self.least);
        if weight > self.most {
            removed.push(value);
            return 1;
        }
        let before = removed.len();
        // Replacing an entry does not count as a use.
        let entry = Weighed { value, weight };
        let replaced = match self.cache.replace_with_lifecycle(key, entry, true, removed) {
            // The replaced entry is among those that were removed.
            Ok(()) => 1,
            Err((key, entry)) => {
                self.cache.insert_with_lifecycle(key, entry, removed);
                0
            }
        };
        (removed.len() - before).saturating_sub(replaced) as u64
    }

    pub(super) fn remove(&self, key: &str) {
        self.cache.remove(key);
    }

    /// Returns every entry. Nothing is locked while the caller looks at one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Arc<str>, V)> {
        self.cache.iter().map(|(key, entry)| (key, entry.value))
    }

    pub(super) fn clear(&self) {
        self.cache.clear();
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;

    use super::*;

    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;

    fn name(what: &str, n: usize) -> Arc<str> {
        format!("{n}.{what}.example").into()
    }

    fn text(bytes: usize) -> String {
        "x".repeat(bytes)
    }

    fn insert(map: &Bounded<String>, key: Arc<str>, value: String, heap: usize) -> u64 {
        map.insert(key, value, heap, &mut Vec::new())
    }

    fn kept(map: &Bounded<String>, what: &str, count: usize) -> usize {
        (0..count).filter(|n| map.get(&name(what, *n)).is_some()).count()
    }

    #[test]
    fn it_holds_no_more_entries_than_it_may() {
        for entries in [0, 1, 2, 3, 31, 100, 1_000, 10_000] {
            let map = Bounded::new(entries, 64 * MIB);
            let given_up: u64 = (0..20_000).map(|n| insert(&map, name("s", n), text(1), 1)).sum();
            let kept = kept(&map, "s", 20_000);
            assert!(kept <= entries && kept >= entries * 9 / 10, "{kept} of {entries}");
            assert_eq!(given_up, 20_000 - kept as u64, "{entries}");
        }
    }

    #[test]
    fn it_holds_no_more_bytes_than_it_may() {
        for (bytes, size) in [(0, 1), (100, 1), (MIB, 1), (MIB, 50 * KIB), (20 * MIB, 100 * KIB)] {
            let mut map = None;
            let counted = measure(|| {
                let full = Bounded::new(10_000, bytes);
                for n in 0..2_000 {
                    insert(&full, name("s", n), text(size), size);
                }
                map = Some(full);
            });
            let map = map.unwrap();
            // Beside the entries, sixteen empty shards.
            let most = i64::try_from(bytes + 16 * KIB).unwrap();
            assert!(counted.bytes_current <= most, "{} of {bytes}", counted.bytes_current);
            assert!(map.cache.weight() <= bytes as u64);
            let fit = (bytes / (size + 300)).min(2_000);
            assert!(kept(&map, "s", 2_000) >= fit * 8 / 10, "{bytes} {size}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_pushes_nothing_out() {
        let map = Bounded::new(100, MIB);
        for n in 0..10 {
            assert_eq!(insert(&map, name("s", n), text(1), 1), 0);
        }
        assert_eq!(insert(&map, name("large", 0), text(MIB), MIB), 1);
        assert_eq!((kept(&map, "s", 10), kept(&map, "large", 1)), (10, 0));
        assert_eq!(insert(&map, name("s", 0), text(MIB), MIB), 1);
        assert_eq!(map.get(&name("s", 0)), Some(text(1)));
        for n in 0..10 {
            map.remove(&name("s", n));
        }
        assert_eq!(map.cache.weight(), 0);
    }

    #[test]
    fn what_is_replaced_weighs_what_it_is_and_is_not_given_up() {
        let map = Bounded::new(100, MIB);
        let sizes = [1, 200 * KIB, 10, 500 * KIB, 500 * KIB, 1];
        for size in sizes {
            assert_eq!(insert(&map, name("s", 0), text(size), size), 0);
            let weight = map.cache.weight();
            assert!((size as u64..=(size + 11 * KIB) as u64).contains(&weight), "{weight}");
        }
        // One that grows in its place pushes others out, or itself.
        assert_eq!(
            (1..4).map(|n| insert(&map, name("s", n), text(300 * KIB), 300 * KIB)).sum::<u64>(),
            0
        );
        assert!(insert(&map, name("s", 0), text(500 * KIB), 500 * KIB) > 0);
        assert!(map.cache.weight() <= MIB as u64);
        map.clear();
        assert_eq!(map.cache.weight(), 0);
    }

    #[test]
    fn limits_may_be_as_large_as_numbers_are() {
        for (entries, bytes) in [(usize::MAX, usize::MAX), (1, usize::MAX), (usize::MAX, MIB)] {
            let map = Bounded::new(entries, bytes);
            let given_up: u64 = (0..10).map(|n| insert(&map, name("s", n), text(KIB), KIB)).sum();
            assert_eq!(given_up, if entries == 1 { 9 } else { 0 });
        }
    }

    #[test]
    fn what_is_in_use_survives_a_scan_of_a_million() {
        let map: Bounded<String> = Bounded::new(1_000, 64 * MIB);
        let in_use: Vec<Arc<str>> = (0..500).map(|n| name("used", n)).collect();
        let look = || in_use.iter().filter(|it| map.get(it).is_some()).count();
        for name in &in_use {
            insert(&map, Arc::clone(name), text(1), 1);
        }
        look();
        for n in 0..1_000_000 {
            insert(&map, name("scan", n), text(1), 1);
            if n % 10_000 == 0 {
                look();
            }
        }
        let survived = look();
        assert!(survived >= 490, "{survived}");
    }
}
