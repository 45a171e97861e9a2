//! Every number and every time of the configuration at nothing and at its most: a resolver refuses
//! what cannot work; with all else nothing panics and nobody waits for ever.

use matrix_delegation::dns::DnsFailure;
use matrix_delegation::resolver::{ContactFailure, ContactFailureKind};
use matrix_delegation::testing::documentation_allowed;
use matrix_delegation::{Config, ResolverConfig};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Bench, URL, delegated, seconds};

/// Where numbers and times stand in a configuration.
fn places(value: &Value, at: &str, found: &mut Vec<(String, bool)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                places(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Number(_) => found.push((at.to_owned(), false)),
        Value::String(text) if text.starts_with(|first: char| first.is_ascii_digit()) => {
            found.push((at.to_owned(), true));
        }
        _ => {}
    }
}

/// Days of good and bad luck, with all that can be asked of a resolver.
fn live(config: ResolverConfig) {
    let bench = Bench::with(delegated(), config);
    let first = bench.resolve("a.example");
    let why = ContactFailure::new(ContactFailureKind::NotFound);
    for passed in [1, 20, 250, 70_000, 90_000, 200_000] {
        if let Ok(found) = &first {
            bench.resolver.report_failure(found, &why);
        }
        bench.pass(seconds(passed));
        if passed == 70_000 {
            bench.network.change(|internet| {
                internet
                    .page(URL.trim_start_matches("GET "), 503, &[], "")
                    .fails("A t.example", DnsFailure::ServFail)
                    .fails("AAAA t.example", DnsFailure::ServFail)
            });
        }
        for name in ["a.example", "b.example"] {
            // It resolves or it does not: with some limits of nothing, nothing does.
            let _ = bench.resolve(name);
        }
    }
    let _ = bench.resolver.entries().count();
    bench.resolver.restore(&bench.resolver.snapshot()).unwrap();
    bench.resolver.invalidate(&"a.example".parse().unwrap());
    bench.resolver.clear();
    assert!(!bench.network.time().has_panicked(), "a task panicked");
}

#[test]
fn nothing_panics_or_hangs() {
    let discovery = serde_json::to_value(documentation_allowed(Config::default())).unwrap();
    let resolver = serde_json::to_value(ResolverConfig::default()).unwrap();
    let usual = json!({"discovery": discovery, "resolver": resolver});
    let mut found = Vec::new();
    places(&usual, "", &mut found);
    let times = ["0s", "1ns", "18446744073709551615s999999999ns"].map(Value::from);
    let numbers: Vec<Value> =
        [0, 1, 255, 65_535, u64::from(u32::MAX), u64::MAX].map(Value::from).to_vec();
    let (mut lived, mut refused) = (0, 0);
    for (place, is_time) in found {
        for value in if is_time { times.to_vec() } else { numbers.clone() } {
            let mut config = usual.clone();
            *config.pointer_mut(&place).unwrap() = value.clone();
            // Numbers that do not fit the field are refused there.
            let Ok(discovery) = Config::deserialize(&config["discovery"]) else { continue };
            let Ok(mut config) = ResolverConfig::deserialize(&config["resolver"]) else { continue };
            config.discovery = discovery;
            let works = config.check().is_ok();
            *if works { &mut lived } else { &mut refused } += 1;
            let ended = std::panic::catch_unwind(|| {
                if works {
                    live(config);
                } else {
                    // The machine takes any values; a resolver refuses those that cannot work.
                    let _ = delegated().resolve("a.example".parse().unwrap(), &config.discovery);
                }
            });
            assert!(ended.is_ok(), "{place} = {value}");
        }
    }
    assert!(lived > 150, "{lived}");
    assert!(refused > 30, "{refused}");
}
