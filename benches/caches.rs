//! Which cache crate the resolver's memory is best built on: the one that it is built on against
//! its rivals, on the resolver's own keys, with one hash function, all in one run. Read the ratios,
//! not the times.
//!
//! `cargo bench --bench caches --features resolver`
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use matrix_delegation::ServerName;
use quick_cache::DefaultHashBuilder;

/// What the memory holds, and the names that callers ask for.
const CAPACITY: usize = 10_000;
const NAMES: usize = 20_000;
/// One-off names, one for each that is asked for.
const SCAN: usize = 1_000_000;
/// Spellings of one name, one for each hundred that are asked for.
const SPELLINGS: usize = 1_000;
const LOOKS: usize = 2_000_000;
const ROUNDS: usize = 7;

type Value = Arc<[u8; 64]>;

/// What the resolver needs of a cache.
trait Memory: Sync {
    const NAME: &'static str;
    fn new() -> Self;
    fn look(&self, name: &ServerName) -> Option<Value>;
    fn keep(&self, name: ServerName, value: Value);
    /// Does what was put off.
    fn settle(&self) {}
}

/// Every entry weighs something of its own, as in the resolver.
fn weight(_: &ServerName, _: &Value) -> u32 {
    1
}

#[derive(Clone)]
struct Weight;

impl quick_cache::Weighter<ServerName, Value> for Weight {
    fn weight(&self, name: &ServerName, value: &Value) -> u64 {
        u64::from(weight(name, value))
    }
}

struct Quick(quick_cache::sync::Cache<ServerName, Value, Weight>);

impl Memory for Quick {
    const NAME: &'static str = "quick_cache";

    fn new() -> Self {
        // Sixteen shards, as in the resolver.
        let options = quick_cache::OptionsBuilder::new()
            .shards(16)
            .estimated_items_capacity(CAPACITY)
            .weight_capacity(CAPACITY as u64)
            .build();
        let (hash, life) = Default::default();
        Self(quick_cache::sync::Cache::with_options(options.unwrap(), Weight, hash, life))
    }

    fn look(&self, name: &ServerName) -> Option<Value> {
        self.0.get(name)
    }

    fn keep(&self, name: ServerName, value: Value) {
        self.0.insert(name, value);
    }
}

struct Moka(moka::sync::Cache<ServerName, Value, DefaultHashBuilder>);

impl Memory for Moka {
    const NAME: &'static str = "moka";

    fn new() -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(CAPACITY as u64);
        Self(builder.weigher(weight).build_with_hasher(DefaultHashBuilder::default()))
    }

    fn look(&self, name: &ServerName) -> Option<Value> {
        self.0.get(name)
    }

    fn keep(&self, name: ServerName, value: Value) {
        self.0.insert(name, value);
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}

struct MiniMoka(mini_moka::sync::Cache<ServerName, Value, DefaultHashBuilder>);

impl Memory for MiniMoka {
    const NAME: &'static str = "mini-moka";

    fn new() -> Self {
        let builder = mini_moka::sync::Cache::builder();
        let builder = builder.max_capacity(CAPACITY as u64).weigher(weight);
        Self(builder.build_with_hasher(DefaultHashBuilder::default()))
    }

    fn look(&self, name: &ServerName) -> Option<Value> {
        self.0.get(name)
    }

    fn keep(&self, name: ServerName, value: Value) {
        self.0.insert(name, value);
    }

    fn settle(&self) {
        mini_moka::sync::ConcurrentCacheExt::sync(&self.0);
    }
}

fn value() -> Value {
    Arc::new([0; 64])
}

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn names() -> Vec<ServerName> {
    (0..NAMES).map(|n| name(&format!("matrix{n}.example"))).collect()
}

/// Draws names as callers do: the n-th as often as 1/n says (Zipf).
struct Zipf {
    /// The share of the names up to each.
    shares: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=NAMES)
            .map(|n| {
                sum += 1.0 / n as f64;
                sum
            })
            .collect();
        Self { shares: sums.iter().map(|it| it / sum).collect(), state: 7 }
    }

    fn next(&mut self) -> usize {
        // Knuth's linear congruential generator; of what it draws, the 53 upper bits fit a float.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let drawn = (self.state >> 11) as f64 / (1_u64 << 53) as f64;
        self.shares.partition_point(|share| *share < drawn).min(NAMES - 1)
    }
}

/// The time of one hit while so many threads look names up, in nanoseconds; the best of the rounds,
/// since all that disturbs only makes it longer.
fn hit<M: Memory>(threads: usize) -> f64 {
    let memory = M::new();
    // Half of what fits, so that all are kept wherever they fall.
    let names: Vec<ServerName> = names().into_iter().take(CAPACITY / 2).collect();
    for name in &names {
        memory.keep(name.clone(), value());
    }
    memory.settle();
    let round = || {
        let barrier = Barrier::new(threads);
        let looker = |thread: usize| {
            let order = names.iter().cycle().skip(thread * 977);
            barrier.wait();
            let start = Instant::now();
            let found = order.take(LOOKS).filter(|name| black_box(memory.look(name)).is_some());
            assert_eq!(found.count(), LOOKS);
            start.elapsed()
        };
        let took: Duration = thread::scope(|scope| {
            let lookers: Vec<_> =
                (0..threads).map(|thread| scope.spawn(move || looker(thread))).collect();
            lookers.into_iter().map(|it| it.join().unwrap()).max().unwrap()
        });
        took.as_secs_f64() * 1e9 / LOOKS as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// How many of a hundred look-ups of callers hit while others pass through.
fn hits<M: Memory>(looks: usize, mut other: impl FnMut(usize) -> Option<ServerName>) -> f64 {
    let memory = M::new();
    let names = names();
    let mut zipf = Zipf::new();
    let ask = |name: &ServerName| {
        let hit = memory.look(name).is_some();
        if !hit {
            memory.keep(name.clone(), value());
        }
        hit
    };
    let mut count = 0;
    // Callers come before the others do.
    for _ in 0..10 * NAMES {
        ask(&names[zipf.next()]);
    }
    for turn in 0..looks {
        count += usize::from(ask(&names[zipf.next()]));
        if let Some(other) = other(turn) {
            ask(&other);
        }
    }
    100.0 * count as f64 / looks as f64
}

/// Upper and lower case as the bits of a number say.
fn spelling(n: usize) -> ServerName {
    let letters = "abcdefghij.example".chars().enumerate();
    let upper = |at: usize| at < 10 && n >> at & 1 == 1;
    let spelt = letters.map(|(at, it)| if upper(at) { it.to_ascii_uppercase() } else { it });
    name(&spelt.collect::<String>())
}

/// What a full cache takes for an entry beyond key and value, in bytes.
fn overhead<M: Memory>() -> f64 {
    let names = names();
    let value = value();
    let mut memory = None;
    let counted = allocation_counter::measure(|| {
        let full = M::new();
        for name in &names {
            full.keep(name.clone(), Arc::clone(&value));
        }
        full.settle();
        memory = Some(full);
    });
    let memory = memory.unwrap();
    let kept = names.iter().filter(|name| memory.look(name).is_some()).count();
    counted.bytes_current as f64 / kept as f64 - size_of::<(ServerName, Value)>() as f64
}

fn print_row(what: &str, values: [f64; 3]) {
    let [quick, moka, mini] = values;
    println!(
        "{what:<44}{quick:>12.1}{moka:>12.1}{mini:>12.1}{:>10.2}{:>10.2}",
        moka / quick,
        mini / quick
    );
}

macro_rules! row {
    ($what:expr, |$memory:ident| $measured:expr) => {
        print_row(
            $what,
            [
                {
                    type $memory = Quick;
                    $measured
                },
                {
                    type $memory = Moka;
                    $measured
                },
                {
                    type $memory = MiniMoka;
                    $measured
                },
            ],
        )
    };
}

fn main() {
    println!(
        "{:<44}{:>12}{:>12}{:>12}{:>10}{:>10}",
        format!("{CAPACITY} entries"),
        Quick::NAME,
        Moka::NAME,
        MiniMoka::NAME,
        "moka/q",
        "mini/q"
    );
    row!("a hit, 1 thread, ns", |M| hit::<M>(1));
    row!("a hit, 2 threads, ns", |M| hit::<M>(2));
    row!("hit rate, nothing passing through, %", |M| hits::<M>(SCAN, |_| None));
    let one_off = |n| Some(name(&format!("{n}.scan.example")));
    row!("hit rate, 1,000,000 one-off names, %", |M| hits::<M>(SCAN, one_off));
    let spelt = |n| (n % 100 == 0).then(|| spelling(n / 100));
    row!("hit rate, 1,000 spellings of one name, %", |M| hits::<M>(100 * SPELLINGS, spelt));
    row!("an entry beyond key and value, bytes", |M| overhead::<M>());
}
