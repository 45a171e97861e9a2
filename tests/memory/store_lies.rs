//! Stores that are full, slow, broken in one half, or say what nobody put there.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use matrix_delegation::cache::WellKnownRecord;
use matrix_delegation::names::DnsName;
use matrix_delegation::resolver::{BoxFuture, StoreError};
use matrix_delegation::testing::Network;
use matrix_delegation::{Config, Runtime, Step, Store};
use serde_json::{Value, json};

use super::{Bench, URL, delegated, millis, seconds};

/// What a half of a store does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Half {
    Works,
    Fails,
    Hangs,
    /// After 240 ms, which is in time.
    IsSlow,
}

const HALVES: [Half; 4] = [Half::Works, Half::Fails, Half::Hangs, Half::IsSlow];

/// A store whose halves do different things.
#[derive(Debug)]
struct Halves {
    network: Network,
    get: Half,
    put: Half,
    values: Mutex<HashMap<DnsName, Vec<u8>>>,
}

impl Halves {
    async fn pass(&self, half: Half) -> Result<(), StoreError> {
        match half {
            Half::Works => Ok(()),
            Half::Fails => Err("no space left on device".into()),
            Half::Hangs => pending().await,
            Half::IsSlow => {
                self.network.time().sleep(millis(240)).await;
                Ok(())
            }
        }
    }
}

impl Store for Halves {
    fn get<'a>(&'a self, host: &'a DnsName) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            self.pass(self.get).await?;
            Ok(self.values.lock().unwrap().get(host).cloned())
        })
    }

    fn put<'a>(
        &'a self,
        host: &'a DnsName,
        value: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.pass(self.put).await?;
            self.values.lock().unwrap().insert(host.clone(), value);
            Ok(())
        })
    }
}

#[test]
fn whichever_half_does_not_work_callers_are_answered_and_nothing_is_left() {
    let alone = Bench::new(delegated());
    let start = alone.network.time().now().monotonic;
    alone.resolve("a.example").unwrap();
    let without = alone.network.time().now().monotonic.since(start);
    for (get, put) in HALVES.into_iter().flat_map(|get| HALVES.map(|put| (get, put))) {
        let network = Network::new(delegated());
        let time = network.time().clone();
        let store = Halves { network: network.clone(), get, put, values: Mutex::default() };
        let store = Arc::new(store);
        let builder = network.builder(Config::default()).store(Arc::clone(&store) as Arc<_>);
        let bench = Bench { network, resolver: builder.build().unwrap() };
        let begun = time.now().monotonic;
        let case = format!("get {get:?}, put {put:?}");
        assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv, "{case}");
        let took = time.now().monotonic.since(begun);
        let most = match get {
            Half::Works | Half::Fails => without,
            Half::Hangs | Half::IsSlow => without + millis(250),
        };
        // Whoever waits does not wait for what is put.
        assert!(took <= most, "{case}: {took:?}");
        bench.pass(millis(251));
        assert_eq!((time.tasks(), bench.network.open()), (0, 0), "{case}");
        let is_there = store.values.lock().unwrap().len() == 1;
        let works = |half| matches!(half, Half::Works | Half::IsSlow);
        // After a failure it is let alone for a second, the other half too.
        assert_eq!(is_there, works(get) && works(put), "{case}");
        let failures = u64::from(!works(get) || !works(put));
        assert_eq!(bench.resolver.counters().store_failures, failures, "{case}");
    }
}

/// A record as it is put, and now in milliseconds.
fn record() -> (Bench, Value, u64) {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    let snapshot = serde_json::to_value(bench.resolver.snapshot()).unwrap();
    let now = bench.network.time().now().wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    (bench, snapshot["well_known"][0].clone(), u64::try_from(now.as_millis()).unwrap())
}

/// Returns a resolver whose store says this of `a.example`, and takes nothing.
fn told(bench: &Bench, value: Vec<u8>) -> Bench {
    let network = bench.network.clone();
    let store = Halves {
        network: network.clone(),
        get: Half::Works,
        put: Half::Fails,
        values: Mutex::new(HashMap::from([("a.example".parse().unwrap(), value)])),
    };
    let resolver = network.builder(Config::default()).store(Arc::new(store)).build().unwrap();
    network.clear_asked();
    Bench { network, resolver }
}

#[test]
fn what_no_resolver_writes_is_passed_over() {
    let (bench, good, now) = record();
    let with = |changes: &[(&str, Value)]| {
        let mut record = good.clone();
        for (field, value) in changes {
            record[*field] = value.clone();
        }
        record.to_string().into_bytes()
    };
    let hour = 3_600_000_u64;
    let last_good = |fetched: u64, until: u64| json!({ "delegates": "m.example", "fetched": fetched, "until": until });
    let failed = [("delegates", Value::Null), ("failed", json!("unavailable"))];
    let failed_with = |field, value| with(&[failed[0].clone(), failed[1].clone(), (field, value)]);
    let nested = [b"[".repeat(3000), b"]".repeat(1000)].concat();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("it is of another host", with(&[("host", json!("b.example"))])),
        ("its host is none", with(&[("host", json!("127.1"))])),
        ("it is from the future", with(&[("fetched", json!(now + 6000))])),
        (
            "it is from the far future",
            with(&[("fetched", json!(u64::MAX)), ("until", json!(u64::MAX))]),
        ),
        ("it is older than it may be served", with(&[("fetched", json!(now - 48 * hour - 1))])),
        ("it ends before it begins", with(&[("until", json!(now - 24 * hour))])),
        ("its time is negative", with(&[("fetched", json!(-1))])),
        ("its time is no integer", with(&[("fetched", json!(1.5e300))])),
        ("it failed and did not", with(&[("failed", json!("unavailable"))])),
        ("it neither failed nor did not", with(&[("delegates", Value::Null)])),
        ("it failed in a way that is none", with(&[failed[0].clone(), ("failed", json!("x"))])),
        (
            "its last good document is from the future",
            failed_with("last_good", last_good(now + 6000, now + hour)),
        ),
        (
            "its last good document ends before it begins",
            failed_with("last_good", last_good(now, now - 1)),
        ),
        ("more failures than can be counted", failed_with("failures", json!(1_u64 << 32))),
        ("it delegates to an address by spelling", with(&[("delegates", json!("0x7f.1"))])),
        ("it delegates to no name", with(&[("delegates", json!("a b\r\nX: y"))])),
        ("it is too large", with(&[("x", json!("x".repeat(4096)))])),
        ("it is far too large", b" ".repeat(16 << 20)),
        ("it is nested deeply", nested),
        ("it is no text", vec![0xff; 100]),
        ("it is no object", b"[1, 2]".to_vec()),
        ("it is cut off", with(&[])[..50].to_vec()),
        ("something follows", [with(&[]), b"{}".to_vec()].concat()),
    ];
    for (why, value) in rows {
        let bench = told(&bench, value);
        let found = bench.resolve("a.example").unwrap();
        assert_eq!((found.authority(), found.step()), ("m.example", Step::DelegatedSrv), "{why}");
        assert!(bench.asked().contains(&URL.to_owned()), "{why}");
        assert_eq!(bench.resolver.counters().store_rejected, 1, "{why}");
    }
}

/// What is believed, although it claims too much, is cut down.
#[test]
fn what_claims_too_much_ends_in_time() {
    let (bench, good, now) = record();
    let forever = u64::MAX - 1;
    let document = |fetched: u64| {
        let mut record = good.clone();
        (record["fetched"], record["until"]) = (json!(fetched), json!(forever));
        record["delegates"] = json!("evil.example:443");
        record
    };
    let failed = |class: &str, last_good: Value| {
        let mut record = good.clone();
        record.as_object_mut().unwrap().remove("delegates");
        (record["failed"], record["until"]) = (json!(class), json!(forever));
        (record["failures"], record["backed_off"]) = (json!(u32::MAX), json!(u32::MAX));
        if !last_good.is_null() {
            record["last_good"] = last_good;
        }
        record
    };
    let last_good = json!({ "delegates": "evil.example:443", "fetched": now, "until": forever });
    let (hour, day) = (3600, 24 * 3600);
    for (why, record, most) in [
        ("a document", document(now), 2 * day),
        // Of a clock that is a little ahead.
        ("a document of now and a bit", document(now + 4000), 2 * day),
        ("an old document", document(now - 47 * 3_600_000), hour),
        ("a failure", failed("timed_out", Value::Null), hour),
        ("a refusal", failed("refused", Value::Null), hour),
        ("a 429", failed("unavailable", Value::Null), day),
        ("what is final", failed("gone", Value::Null), hour),
        ("a blocked address", failed("blocked", Value::Null), 0),
        ("a failure after a document", failed("refused", last_good), 2 * day),
    ] {
        let value = record.to_string();
        let read = serde_json::from_str::<WellKnownRecord>(&value);
        assert!(read.is_ok(), "{why}: {read:?}");
        let bench = told(&bench, value.into_bytes());
        bench.network.change(|internet| internet.host("evil.example", &["192.0.2.66"]));
        let begun = bench.network.time().now().monotonic;
        bench.resolve("a.example").unwrap();
        // By then the host is asked, and what it says counts.
        while bench.network.time().now().monotonic.since(begun) < seconds(most) {
            bench.pass(seconds(1800));
            bench.resolve("a.example").unwrap();
        }
        bench.pass(seconds(11));
        bench.resolve("a.example").unwrap();
        bench.pass(seconds(20));
        let found = bench.resolve("a.example").unwrap();
        assert_eq!(found.authority(), "m.example", "{why}");
        assert!(bench.asked().contains(&URL.to_owned()), "{why}");
    }
}
