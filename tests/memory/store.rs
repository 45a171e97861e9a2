//! Memory shared by the application's own store.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use matrix_delegation::names::DnsName;
use matrix_delegation::report::Source;
use matrix_delegation::resolver::{
    BoxFuture, ContactFailure, ContactFailureKind, Provenance, StoreError,
};
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{Config, Runtime, Step, Store};

use super::{Bench, URL, delegated, millis, seconds};

/// A store in this process, which can be told to fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Scripted(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    values: HashMap<DnsName, (Vec<u8>, Duration)>,
    mood: Mood,
    gets: usize,
    puts: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Mood {
    #[default]
    Well,
    Failing,
    Silent,
}

impl Scripted {
    pub(super) fn is(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    fn asked(&self) -> (usize, usize) {
        let mut inside = self.0.lock().unwrap();
        let asked = (inside.gets, inside.puts);
        (inside.gets, inside.puts) = (0, 0);
        asked
    }

    pub(super) fn value(&self, host: &str) -> Option<(Vec<u8>, Duration)> {
        self.0.lock().unwrap().values.get(host).cloned()
    }

    fn poison(&self, host: &str, value: impl Into<Vec<u8>>) {
        let host = host.parse().unwrap();
        self.0.lock().unwrap().values.insert(host, (value.into(), seconds(1)));
    }
}

impl Store for Scripted {
    fn get<'a>(&'a self, host: &'a DnsName) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let mood = {
                let mut inside = self.0.lock().unwrap();
                inside.gets += 1;
                inside.mood
            };
            match mood {
                Mood::Well => Ok(self.value(host.as_str()).map(|(value, _)| value)),
                Mood::Failing => Err("out of order".into()),
                Mood::Silent => pending().await,
            }
        })
    }

    fn put<'a>(
        &'a self,
        host: &'a DnsName,
        value: Vec<u8>,
        lifetime: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mood = {
                let mut inside = self.0.lock().unwrap();
                inside.puts += 1;
                if inside.mood == Mood::Well {
                    inside.values.insert(host.clone(), (value, lifetime));
                }
                inside.mood
            };
            match mood {
                Mood::Well => Ok(()),
                Mood::Failing => Err("out of order".into()),
                Mood::Silent => pending().await,
            }
        })
    }
}

/// Workers of one fleet.
pub(super) struct Fleet {
    pub(super) store: Scripted,
    pub(super) network: Network,
}

impl Fleet {
    pub(super) fn new(internet: Internet) -> Self {
        Self { store: Scripted::default(), network: Network::new(internet) }
    }

    pub(super) fn worker(&self) -> Bench {
        let network = self.network.clone();
        let store = Arc::new(self.store.clone());
        let resolver = network.builder(Config::default()).store(store).build().unwrap();
        Bench { network, resolver }
    }
}

#[test]
fn a_fleet_asks_once() {
    let fleet = Fleet::new(delegated());
    let (one, other) = (fleet.worker(), fleet.worker());
    one.resolve("a.example").unwrap();
    one.pass(millis(1));
    assert_eq!(fleet.store.asked(), (1, 1));
    assert!(one.asked().contains(&URL.to_owned()));
    let (_, lifetime) = fleet.store.value("a.example").unwrap();
    assert_eq!(lifetime, seconds(50 * 3600));

    other.pass(seconds(60));
    let found = other.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.provenance()), (Step::DelegatedSrv, Provenance::Fresh));
    assert!(!other.asked().contains(&URL.to_owned()));
    let known = found.report().unwrap().well_known.clone().unwrap();
    assert!(matches!(known.source, Source::Memory { age } if age >= seconds(60)), "{known:?}");
    // What came from the store is not put there again.
    other.pass(millis(1));
    assert_eq!(fleet.store.asked(), (1, 0));
    let counters = other.resolver.counters();
    assert_eq!((counters.store_hits, counters.store_misses), (1, 0));
    assert_eq!(one.resolver.counters().store_misses, 1);
    assert_eq!(counters.queries.well_known.total(), 0);
}

#[test]
fn a_renewal_by_one_serves_all() {
    let fleet = Fleet::new(delegated());
    let (one, other) = (fleet.worker(), fleet.worker());
    one.resolve("a.example").unwrap();
    other.resolve("a.example").unwrap();
    one.pass(seconds(20 * 3600));
    for (worker, asked) in [(&one, 2), (&other, 0)] {
        // The addresses have run out; the well-known is renewed ahead by whoever comes next.
        worker.resolve("a.example").unwrap();
        worker.resolve("a.example").unwrap();
        worker.pass(seconds(2));
        let renewed = worker.asked().iter().filter(|it| *it == URL).count();
        assert_eq!(renewed, asked);
    }
    let left = other.resolve("a.example").unwrap().well_known_lifetime().unwrap();
    assert!(left > seconds(20 * 3600), "{left:?}");
}

#[test]
fn a_back_off_is_shared() {
    let fleet = Fleet::new(delegated().page(URL.trim_start_matches("GET "), 503, &[], ""));
    let (one, other) = (fleet.worker(), fleet.worker());
    one.resolve("a.example").unwrap();
    one.pass(millis(1));
    let (_, lifetime) = fleet.store.value("a.example").unwrap();
    assert!((seconds(216)..=seconds(240)).contains(&lifetime), "{lifetime:?}");
    one.asked();
    other.resolve("a.example").unwrap();
    assert!(!other.asked().contains(&URL.to_owned()));
    one.pass(seconds(121));
    other.resolve("a.example").unwrap();
    one.pass(millis(1));
    assert!(other.asked().contains(&URL.to_owned()));
    // The second failure in a row, whoever met the first.
    let (value, _) = fleet.store.value("a.example").unwrap();
    let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
    assert_eq!((&value["failures"], &value["failed"]), (&2.into(), &"unavailable".into()));
}

#[test]
fn a_store_that_fails_is_done_without() {
    let fleet = Fleet::new(delegated());
    let worker = fleet.worker();
    fleet.store.is(Mood::Failing);
    assert_eq!(worker.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    worker.pass(millis(1));
    // It is left alone for a second.
    assert_eq!(fleet.store.asked(), (1, 0));
    assert_eq!(worker.resolver.counters().store_failures, 1);
    worker.pass(seconds(1));
    worker.resolver.clear();
    worker.resolve("a.example").unwrap();
    worker.pass(millis(1));
    assert_eq!(fleet.store.asked(), (1, 0));
    // Well again, it is used again.
    fleet.store.is(Mood::Well);
    worker.pass(seconds(1));
    worker.resolver.clear();
    worker.resolve("a.example").unwrap();
    worker.pass(millis(1));
    assert!(fleet.store.value("a.example").is_some());
}

#[test]
fn a_silent_store_costs_a_quarter_of_a_second() {
    let fleet = Fleet::new(delegated());
    let worker = fleet.worker();
    fleet.store.is(Mood::Silent);
    let time = fleet.network.time();
    let before = time.now().monotonic;
    assert_eq!(worker.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    let with = time.now().monotonic.since(before);
    let alone = Bench::new(delegated());
    let before = alone.network.time().now().monotonic;
    alone.resolve("a.example").unwrap();
    let without = alone.network.time().now().monotonic.since(before);
    assert!(with <= without + millis(250), "{with:?} {without:?}");
    assert!(with > millis(250));
    worker.pass(seconds(1));
    assert_eq!(time.tasks(), 0);
}

#[test]
fn a_value_that_cannot_be_believed_is_passed_over_and_overwritten() {
    let fleet = Fleet::new(delegated());
    fleet.worker().resolve("a.example").unwrap();
    fleet.network.time().advance(seconds(1));
    let (good, _) = fleet.store.value("a.example").unwrap();
    let good: serde_json::Value = serde_json::from_slice(&good).unwrap();
    let with = |field: &str, value: serde_json::Value| {
        let mut record = good.clone();
        record[field] = value;
        record.to_string()
    };
    let future = good["fetched"].as_u64().unwrap() + 3_600_000;
    for poison in [
        String::new(),
        "\0\u{1}".to_owned(),
        "{}".to_owned(),
        with("version", 2.into()),
        with("host", "b.example".into()),
        with("delegates", "127.1".into()),
        with("delegates", "evil.example\r\nX: y".into()),
        with("fetched", future.into()),
        with("fetched", 0.into()),
        with("failed", "dns".into()),
        with("x", "x".repeat(5000).into()),
    ] {
        fleet.store.poison("a.example", poison.clone());
        let worker = fleet.worker();
        worker.asked();
        let found = worker.resolve("a.example").unwrap();
        assert_eq!(found.authority(), "m.example", "{poison}");
        assert!(worker.asked().contains(&URL.to_owned()), "{poison}");
        assert_eq!(worker.resolver.counters().store_rejected, 1, "{poison}");
        worker.pass(millis(1));
        let (value, _) = fleet.store.value("a.example").unwrap();
        assert_ne!(value, poison.into_bytes());
    }
}

#[test]
fn a_lifetime_in_the_store_is_clamped() {
    let fleet = Fleet::new(delegated());
    let worker = fleet.worker();
    worker.resolve("a.example").unwrap();
    worker.pass(seconds(1));
    let (good, _) = fleet.store.value("a.example").unwrap();
    let mut forever: serde_json::Value = serde_json::from_slice(&good).unwrap();
    forever["until"] = u64::MAX.into();
    fleet.store.poison("a.example", forever.to_string());
    let found = fleet.worker().resolve("a.example").unwrap();
    assert!(found.well_known_lifetime().unwrap() <= seconds(48 * 3600));
}

#[test]
fn what_was_to_be_forgotten_does_not_come_back_from_the_store() {
    let fleet = Fleet::new(delegated());
    let worker = fleet.worker();
    for forget in [true, false] {
        worker.resolve("a.example").unwrap();
        worker.pass(millis(1));
        worker.asked();
        if forget {
            worker.resolver.invalidate(&"a.example".parse().unwrap());
        } else {
            worker.resolver.clear();
        }
        worker.resolve("a.example").unwrap();
        assert!(worker.asked().contains(&URL.to_owned()));
        worker.pass(millis(1));
        // What was asked after it is shared again.
        let other = fleet.worker();
        other.resolve("a.example").unwrap();
        assert!(!other.asked().contains(&URL.to_owned()));
        worker.pass(seconds(1));
    }
}

#[test]
fn the_last_good_answer_of_another_stands_in() {
    let fleet = Fleet::new(delegated());
    fleet.worker().resolve("a.example").unwrap();
    fleet.network.time().advance(seconds(30 * 3600));
    fleet.network.change(|internet| internet.page(URL.trim_start_matches("GET "), 503, &[], ""));
    let found = fleet.worker().resolve("a.example").unwrap();
    assert_eq!((found.provenance(), found.step()), (Provenance::Stale, Step::DelegatedSrv));
}

#[test]
fn what_one_worker_saw_withdrawn_comes_back_in_no_other() {
    let hour = [("cache-control", "max-age=3600")];
    let page = &URL[4..];
    let fleet = Fleet::new(delegated().page(page, 200, &hour, r#"{"m.server":"m.example"}"#));
    let [one, other] = [(); 2].map(|()| fleet.worker());
    one.resolve("a.example").unwrap();
    // The other has fetched it, too, a little later.
    fleet.store.is(Mood::Failing);
    fleet.network.time().advance(seconds(10));
    other.resolve("a.example").unwrap();
    fleet.store.is(Mood::Well);
    // The one hears twice, after reports, that there is no document any more; then the server fails.
    let found = one.resolve("a.example").unwrap();
    let gone = ContactFailure::new(ContactFailureKind::NotFound);
    fleet.network.change(|internet| internet.page(page, 404, &[], ""));
    for _ in 0..2 {
        one.resolver.report_failure(&found, &gone);
        fleet.network.time().advance(seconds(11));
    }
    assert_eq!(one.resolve("a.example").unwrap().step(), Step::DefaultPort);
    fleet.network.change(|internet| internet.page(page, 503, &[], ""));
    fleet.network.time().advance(seconds(3600));
    for worker in [&one, &other] {
        let found = worker.resolve("a.example").unwrap();
        assert_eq!((found.step(), found.provenance()), (Step::DefaultPort, Provenance::Degraded));
    }
}
