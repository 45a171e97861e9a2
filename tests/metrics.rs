//! The counters through the `metrics` facade: every field under its name, with the same number.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use matrix_delegation::Config;
use matrix_delegation::testing::{Internet, Network};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::Value;

#[test]
fn each_counter_is_there_under_its_name() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let counters = metrics::with_local_recorder(&recorder, || {
        let internet =
            Internet::new().host("a.example", &["192.0.2.1"]).delegates("a.example", "a.example:1");
        let network = Network::new(internet);
        let resolver = network.resolver(Config::default());
        for name in ["a.example", "a.example", "A.example", "nowhere.example"] {
            // Some resolve and some do not.
            let _ = network.time().block_on(resolver.resolve(&name.parse().unwrap()));
        }
        resolver.counters()
    });
    let mut seen = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let labels: Vec<String> = key.labels().map(|it| it.value().to_owned()).collect();
        let DebugValue::Counter(value) = value else { panic!("{key} is no counter") };
        assert!(seen.insert((key.name().to_owned(), labels), value).is_none());
    }
    let counters = serde_json::to_value(counters).unwrap();
    let Value::Object(counters) = counters else { panic!("{counters}") };
    let mut expected = BTreeMap::new();
    for (field, value) in &counters {
        let name = format!("matrix_delegation_{field}_total");
        let Value::Object(kinds) = value else {
            expected.insert((name, Vec::new()), value.as_u64().unwrap());
            continue;
        };
        for (kind, outcomes) in kinds {
            for outcome in ["found", "none", "failed"] {
                let labels = vec![kind.clone(), outcome.to_owned()];
                expected.insert((name.clone(), labels), outcomes[outcome].as_u64().unwrap());
            }
        }
    }
    assert_eq!(seen, expected);
    assert!(expected.values().filter(|value| **value > 0).count() > 6, "{expected:?}");
}
