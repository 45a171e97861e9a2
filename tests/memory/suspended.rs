//! A machine that is suspended, and a wall clock that is set to something else: whenever it happens,
//! nothing is served past its bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use matrix_delegation::resolver::{BoxFuture, Provenance, Snapshot};
use matrix_delegation::testing::{Internet, VirtualTime, documentation_allowed};
use matrix_delegation::time::{Monotonic, Now};
use matrix_delegation::{Config, Resolver, Runtime, Step};

use super::store::Scripted;
use super::{Bench, URL, delegated, millis, seconds};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// What was asked since the last call, in short.
fn asked(bench: &Bench) -> String {
    let asked = bench.asked().join(", ");
    let asked = asked.replace("GET https://", "").replace("/.well-known/matrix/server", "'s page");
    asked.replace("_matrix-fed._tcp.", "").replace(".example", "")
}

#[test]
fn every_part_ages_by_the_time_that_the_machine_slept() {
    let anew = [
        // Addresses hold for 300 s, SRV records for 600 s, that there is no address of the other family for
        // 900 s, and the document for 21.6 h to 24 h.
        (200, "", Provenance::Cached),
        (299, "", Provenance::Cached),
        (301, "A t", Provenance::Fresh),
        (601, "A t, SRV m", Provenance::Fresh),
        (HOUR, "A t, AAAA t, SRV m", Provenance::Fresh),
        (DAY + 1, "A a, A t, AAAA a, AAAA t, a's page, SRV m", Provenance::Fresh),
        (30 * DAY, "A a, A t, AAAA a, AAAA t, a's page, SRV m", Provenance::Fresh),
    ];
    for (slept, expected, provenance) in anew {
        let bench = Bench::new(delegated());
        bench.resolve("a.example").unwrap();
        bench.asked();
        bench.network.time().suspend(seconds(slept));
        let cached = bench.resolver.cached(&"a.example".parse().unwrap());
        assert_eq!(cached.is_some(), provenance == Provenance::Cached, "{slept}");
        let found = bench.resolve("a.example").unwrap();
        assert_eq!((found.step(), found.provenance()), (Step::DelegatedSrv, provenance), "{slept}");
        // Beside the answer, SRV records of the host itself may be asked for; they decide nothing here.
        let asked: Vec<_> = asked(&bench).split(", ").map(str::to_owned).collect();
        let asked: Vec<_> =
            asked.into_iter().filter(|it| !it.starts_with("SRV ") || it == "SRV m").collect();
        assert_eq!(asked.join(", "), expected, "{slept}");
    }
}

#[test]
fn a_back_off_passes_while_the_machine_sleeps() {
    let failing = |bench: &Bench| {
        bench.network.change(|internet| internet.page(&URL[4..], 503, &[], ""));
    };
    for (slept, again) in [(60, false), (121, true), (HOUR, true), (DAY, true)] {
        let bench = Bench::new(delegated());
        failing(&bench);
        bench.resolve("a.example").unwrap();
        bench.asked();
        bench.network.time().suspend(seconds(slept));
        bench.resolve("a.example").unwrap();
        assert_eq!(bench.asked().contains(&URL.to_owned()), again, "{slept}");
    }
    // The last good document is served stale for 48 h after its fetch, asleep or awake.
    for (slept, step) in [(47 * HOUR, Step::DelegatedSrv), (48 * HOUR + 1, Step::DefaultPort)] {
        let bench = Bench::new(delegated());
        bench.resolve("a.example").unwrap();
        failing(&bench);
        bench.network.time().suspend(seconds(slept));
        assert_eq!(bench.resolve("a.example").unwrap().step(), step, "{slept}");
    }
}

#[test]
fn a_snapshot_is_as_old_as_the_machine_slept() {
    let document = r#"{"m.server":"m.example"}"#;
    let headers = [("cache-control", "max-age=7200")];
    let bench = Bench::new(delegated().page(&URL[4..], 200, &headers, document));
    bench.resolve("a.example").unwrap();
    bench.network.time().suspend(seconds(HOUR));
    let snapshot = bench.resolver.snapshot();
    for (slept, left) in [(0, HOUR), (HOUR / 2, HOUR / 2)] {
        bench.network.time().suspend(seconds(slept));
        let next = bench.network.resolver(Config::default());
        assert_eq!(next.restore(&snapshot).unwrap().restored, 1);
        let found = bench.network.time().block_on(next.resolve(&"a.example".parse().unwrap()));
        let lifetime = found.unwrap().well_known_lifetime().unwrap();
        assert!((seconds(left - 2)..=seconds(left)).contains(&lifetime), "{lifetime:?}");
    }
}

/// What happens to the clocks.
#[derive(Clone, Copy, Debug)]
enum Jump {
    Suspended(u64),
    Forwards(u64),
    Backwards(u64),
    /// The wall clock as it is without a battery.
    Epoch,
    /// The end of what 64 bits of nanoseconds can say, and beyond.
    FarFuture,
    BeforeTheEpoch,
}

const JUMPS: [Jump; 8] = [
    Jump::Suspended(HOUR),
    Jump::Suspended(DAY),
    Jump::Suspended(YEAR),
    Jump::Forwards(YEAR),
    Jump::Backwards(YEAR),
    Jump::Epoch,
    Jump::FarFuture,
    Jump::BeforeTheEpoch,
];

impl Jump {
    fn happen(self, time: &VirtualTime) {
        let wall = time.now().wall;
        match self {
            Self::Suspended(slept) => time.suspend(seconds(slept)),
            Self::Forwards(by) => time.set_wall(wall + seconds(by)),
            Self::Backwards(by) => time.set_wall(wall - seconds(by)),
            Self::Epoch => time.set_wall(SystemTime::UNIX_EPOCH + seconds(10)),
            Self::FarFuture => time.set_wall(SystemTime::UNIX_EPOCH + seconds(1000 * YEAR)),
            Self::BeforeTheEpoch => time.set_wall(SystemTime::UNIX_EPOCH - seconds(YEAR)),
        }
    }
}

/// A server that delegates for an hour at a time, and its back-ups.
fn hourly(delegate: &str) -> Internet {
    let document = format!(r#"{{"m.server":"{delegate}:443"}}"#);
    Internet::new()
        .host("a.example", &["192.0.2.1"])
        .host("m.example", &["192.0.2.2"])
        .host("n.example", &["192.0.2.3"])
        .page(&URL[4..], 200, &[("cache-control", "max-age=3600")], document)
}

/// The document is fetched before the clocks jump, and from then on the server delegates elsewhere, or is
/// down. Whoever knows the old document by whatever way is asked over the next days.
#[test]
fn no_jump_at_any_moment_has_anything_served_past_its_bound() {
    // One that undoes the other is seen by nobody who knows of the document by its date alone.
    let undoes = |pair: &(Jump, Jump)| {
        use Jump::{Backwards, Suspended};
        matches!(pair, (Suspended(by), Backwards(back)) | (Backwards(back), Suspended(by)) if by == back)
    };
    let next = [Jump::Suspended(DAY), Jump::Forwards(YEAR), Jump::Backwards(YEAR), Jump::Epoch];
    let pairs = JUMPS.iter().flat_map(|one| next.map(|other| (*one, other)));
    let mut served = 0;
    for (jump, again) in pairs.filter(|pair| !undoes(pair)) {
        for is_down in [false, true] {
            let store = Arc::new(Scripted::default());
            let bench = Bench::new(hourly("m.example"));
            let (network, time) = (&bench.network, bench.network.time());
            let worker = || {
                let builder = network.builder(Config::default());
                builder.store(Arc::clone(&store) as Arc<_>).build().unwrap()
            };
            let name = "a.example".parse().unwrap();
            let [first, second] = [(); 2].map(|()| worker());
            let fetched = time.now().monotonic;
            time.block_on(first.resolve(&name)).unwrap();
            time.block_on(bench.resolver.resolve(&name)).unwrap();
            time.advance(millis(1));
            let before = first.snapshot();
            jump.happen(time);
            let between = first.snapshot();
            time.advance(seconds(60));
            again.happen(time);
            let after = first.snapshot();
            let down = |internet: Internet| internet.page(&URL[4..], 503, &[], "");
            network.change(|it| if is_down { down(it) } else { hourly("n.example") });
            let mut knowing = vec![bench.resolver.clone(), first, second, worker()];
            for snapshot in [&before, &between, &after] {
                let next = network.resolver(Config::default());
                restore(&next, snapshot);
                knowing.push(next);
            }
            // Around the bounds, and long after them.
            for minutes in [0, 30, 28, 3, 60, 24 * 60, 21 * 60, 60, 60, 24 * 60] {
                time.advance(seconds(60 * minutes));
                let age = time.now().monotonic.since(fetched);
                let bound = if is_down { seconds(48 * HOUR) } else { seconds(HOUR) };
                for (way, resolver) in knowing.iter().enumerate() {
                    let found = time.block_on(resolver.resolve(&name)).unwrap();
                    let is_old = found.authority() == "m.example:443";
                    served += u32::from(is_old);
                    let case =
                        || format!("{jump:?}, {again:?}, {is_down}, {way}, {age:?}: {found:?}");
                    assert!(!is_old || age < bound + seconds(10), "{}", case());
                    let is_long = found.lifetime().is_some_and(|left| left > seconds(48 * HOUR));
                    assert!(!is_long, "{}", case());
                }
            }
            for resolver in &knowing {
                assert!(resolver.entries().count() > 0);
                restore(&network.resolver(Config::default()), &resolver.snapshot());
            }
        }
    }
    // It is served until then, where the clocks allow it.
    assert!(served > 300, "{served}");
}

/// Writes the snapshot and reads it again, as the next process does.
fn restore(next: &Resolver, snapshot: &Snapshot) {
    let written = serde_json::to_string(snapshot).unwrap();
    let restored = next.restore(&serde_json::from_str(&written).unwrap()).unwrap();
    assert_eq!(restored.restored + restored.dropped, snapshot.len());
}

/// Every few milliseconds of a discovery, of a renewal and of a look-up that fails.
#[test]
fn a_jump_while_something_is_asked_costs_no_caller_an_answer_for_long() {
    let slow = || {
        let internet = delegated().after(URL, millis(700));
        internet
            .after("A t.example", millis(300))
            .after("SRV _matrix-fed._tcp.m.example", millis(300))
    };
    for jump in JUMPS {
        for at in (0..1500).step_by(50) {
            let bench = Bench::new(slow());
            let call = bench.call("a.example", None);
            bench.pass(millis(at));
            jump.happen(bench.network.time());
            bench.pass(seconds(31));
            let outcome = call.outcome().unwrap_or_else(|| panic!("{jump:?} {at}: no end"));
            match (jump, outcome) {
                // What was under way may be late by now.
                (Jump::Suspended(_), Err(error)) => assert!(error.is_temporary(), "{error}"),
                (Jump::Suspended(_), Ok(_)) => {}
                (_, outcome) => assert_eq!(outcome.unwrap().step(), Step::DelegatedSrv, "{jump:?}"),
            }
            assert_eq!((bench.network.open(), bench.network.time().tasks()), (0, 0), "{jump:?}");
            // A look-up that was late for it is made up for at the end of its back-off, at the latest.
            bench.pass(seconds(121));
            let found = bench.resolve("a.example").unwrap();
            assert_eq!(found.step(), Step::DelegatedSrv, "{jump:?} {at}");
            assert!(!bench.network.time().has_panicked());
        }
    }
}

/// Counts how often both clocks are read.
#[derive(Debug)]
struct Counting(VirtualTime, AtomicUsize);

impl Runtime for Counting {
    fn now(&self) -> Now {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.now()
    }

    fn monotonic(&self) -> Monotonic {
        self.0.monotonic()
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}

#[test]
fn a_hit_reads_the_monotonic_clock_alone() {
    let bench = Bench::new(delegated());
    let runtime = Arc::new(Counting(bench.network.time().clone(), 0.into()));
    let network = Arc::new(bench.network.clone());
    let builder = Resolver::builder(network.clone(), network, runtime.clone());
    let resolver = builder.config(documentation_allowed(Config::default())).build().unwrap();
    let name = "a.example".parse().unwrap();
    runtime.0.block_on(resolver.resolve(&name)).unwrap();
    assert!(runtime.1.swap(0, Ordering::Relaxed) > 0);
    assert!(resolver.cached(&name).is_some());
    let hit = runtime.0.block_on(resolver.resolve(&name)).unwrap();
    assert_eq!(hit.provenance(), Provenance::Cached);
    assert_eq!(runtime.1.load(Ordering::Relaxed), 0);
}
