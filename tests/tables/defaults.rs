//! Every default where the specification is silent, in each preset: a table, so that none drifts.
//! What each of them does is tested where it acts.

use std::collections::BTreeSet;

use matrix_delegation::{Config, FetchLimits, MAX_BODY_BYTES};
use serde_json::{Value, json};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Where the field stands in the configuration's JSON, and its value in the presets `default`,
/// `strict` and `synapse`.
fn table() -> Vec<(&'static str, Value, Value, Value)> {
    let same = |field, value: Value| (field, value.clone(), value.clone(), value);
    let seconds = |field, seconds: u64| same(field, json!({"secs": seconds, "nanos": 0}));
    let millis = |field, millis: u32| {
        same(field, json!({"secs": millis / 1000, "nanos": millis % 1000 * 1_000_000}))
    };
    let least = |seconds: u64| json!({"secs": seconds, "nanos": 0});
    vec![
        ("/speculation", json!("full"), json!("full"), json!("off")),
        same("/addresses", json!("both")),
        same("/address_policy", json!({"base": "public_internet", "allow": [], "block": []})),
        ("/dns_failure", json!("go_on"), json!("fail"), json!("fail")),
        ("/srv_alias", json!("follow"), json!("drop"), json!("follow")),
        ("/well_known/least", least(MINUTE), least(0), least(5 * MINUTE)),
        seconds("/well_known/most", 48 * HOUR),
        seconds("/well_known/unstated", 24 * HOUR),
        same("/well_known/jitter_percent", json!(10)),
        seconds("/well_known/temporary", 2 * MINUTE),
        seconds("/well_known/temporary_most", HOUR),
        seconds("/well_known/permanent", HOUR),
        seconds("/well_known/retry_after_least", MINUTE),
        seconds("/well_known/retry_after_most", 24 * HOUR),
        seconds("/well_known/stale", 48 * HOUR),
        seconds("/well_known/remembered", 50 * HOUR),
        seconds("/dns/least", 5),
        seconds("/dns/most", DAY),
        seconds("/dns/negative_most", HOUR),
        seconds("/dns/negative_unstated", MINUTE),
        seconds("/dns/failed", 30),
        seconds("/dns/failed_most", 10 * MINUTE),
        seconds("/dns/incomplete", 2 * MINUTE),
        seconds("/dns/stale", DAY),
        same("/limits/srv_records", json!(20)),
        same("/limits/addresses_per_family", json!(8)),
        ("/limits/redirects", json!(10), json!(10), json!(20)),
        same("/limits/retries", json!(3)),
        same("/limits/head_bytes", json!(16_384)),
        same("/limits/body_bytes", json!(51_200)),
        seconds("/time/dns", 5),
        seconds("/time/connect", 5),
        millis("/time/attempt_delay", 250),
        seconds("/time/tls", 5),
        seconds("/time/exchange", 10),
        millis("/time/retry_pause", 500),
        seconds("/time/well_known", 15),
        seconds("/time/discovery", 30),
        seconds("/time/abandoned", 2),
        seconds("/time/queue", 30),
        seconds("/time/destination", 5),
        millis("/time/store", 250),
        millis("/time/fetch_grace", 50),
        millis("/time/family_grace", 250),
        seconds("/time/target_grace", 1),
        seconds("/time/degraded", 2 * MINUTE),
        same("/refresh/ahead_percent", json!(20)),
        millis("/refresh/wait", 1800),
        seconds("/refresh/apart", 1),
        same("/abandoned", json!("finish")),
        seconds("/feedback/apart", 10),
        seconds("/feedback/apart_most", 10 * MINUTE),
        seconds("/feedback/demoted", 10 * MINUTE),
        same("/memory/targets", json!(10_000)),
        same("/memory/targets_bytes", json!(64 << 20)),
        same("/memory/well_known", json!(10_000)),
        same("/memory/well_known_bytes", json!(32 << 20)),
        same("/memory/dns", json!(50_000)),
        same("/memory/dns_bytes", json!(32 << 20)),
        same("/memory/discoveries", json!(1_000)),
        same("/memory/waiting", json!(10_000)),
        same("/memory/per_destination", json!(16)),
        same("/memory/per_destination_waiting", json!(112)),
        same("/memory/questions", json!(50_000)),
        same("/user_agent", json!(concat!("matrix-delegation/", env!("CARGO_PKG_VERSION")))),
    ]
}

/// Where every field stands, except within values that the table takes whole.
fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if !object.contains_key("secs") && !object.contains_key("base") => {
            for (key, value) in object {
                fields(value, &format!("{at}/{key}"), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

#[test]
fn every_field_of_every_preset_is_as_the_table_says() {
    let [default, strict, synapse] = [Config::default(), Config::strict(), Config::synapse()]
        .map(|config| serde_json::to_value(config).unwrap());
    for (field, in_default, in_strict, in_synapse) in table() {
        for (preset, config, value) in [
            ("default", &default, in_default),
            ("strict", &strict, in_strict),
            ("synapse", &synapse, in_synapse),
        ] {
            assert_eq!(config.pointer(field), Some(&value), "{field} in {preset}");
        }
    }
}

#[test]
fn every_field_has_a_row() {
    let mut found = BTreeSet::new();
    fields(&serde_json::to_value(Config::default()).unwrap(), "", &mut found);
    let rows: BTreeSet<String> = table().iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(found, rows);
}

#[test]
fn limits_that_stand_in_two_places_agree() {
    let (fetch, config) = (FetchLimits::default(), Config::default());
    assert_eq!(fetch.body_bytes, MAX_BODY_BYTES);
    assert_eq!(fetch.body_bytes, config.limits.body_bytes);
    assert_eq!(fetch.head_bytes, config.limits.head_bytes);
    assert_eq!(fetch.total, config.time.well_known);
    assert_eq!(fetch.connect, config.time.connect);
    assert_eq!(fetch.attempt_delay, config.time.attempt_delay);
    assert_eq!(fetch.tls, config.time.tls);
    assert_eq!(fetch.exchange, config.time.exchange);
}

#[cfg(feature = "hyper")]
#[test]
fn the_defaults_of_connecting_are_as_documented() {
    use matrix_delegation::{ClientLimits, ConnectLimits};

    let seconds = |seconds: u64| json!({"secs": seconds, "nanos": 0});
    let connect = json!({
        "connect": seconds(5),
        "attempt_delay": {"secs": 0, "nanos": 250_000_000},
        "tls": seconds(5),
        "total": seconds(30),
    });
    assert_eq!(serde_json::to_value(ConnectLimits::default()).unwrap(), connect);
    let client = json!({
        "idle": seconds(90),
        "age": seconds(HOUR),
        "connections": 512,
        "per_server": 8,
        "concurrent": 100,
        "waiting": 1000,
        "connecting": 1000,
        "connecting_waiting": 10_000,
        "head_bytes": 65_536,
        "keep_alive": seconds(20),
        "keep_alive_timeout": seconds(10),
    });
    assert_eq!(serde_json::to_value(ClientLimits::default()).unwrap(), client);
    assert_eq!(serde_json::from_value::<ClientLimits>(json!({})).unwrap(), ClientLimits::default());
    assert!(serde_json::from_value::<ClientLimits>(json!({"idel": 1})).is_err());
    assert!(serde_json::from_value::<ConnectLimits>(json!({"tsl": 1})).is_err());
}

#[cfg(all(feature = "certificate", feature = "hyper"))]
#[test]
fn the_defaults_of_checking_certificates_are_as_documented() {
    use matrix_delegation::ProbeLimits;

    let seconds = |seconds: u64| json!({"secs": seconds, "nanos": 0});
    let limits = json!({"connect": seconds(5), "tls": seconds(5), "total": seconds(60)});
    assert_eq!(serde_json::to_value(ProbeLimits::default()).unwrap(), limits);
    assert!(serde_json::from_value::<ProbeLimits>(json!({"tsl": 1})).is_err());
}

#[test]
fn a_configuration_survives_serde_and_knows_its_fields() {
    for config in [Config::default(), Config::strict(), Config::synapse()] {
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
    let all_jitter = r#"{"well_known":{"jitter_percent":255,"unstated":{"secs":18446744073709551615,"nanos":0}}}"#;
    assert!(serde_json::from_str::<Config>(all_jitter).is_ok());
    for bad in [
        r#"{"user_agent":"caf\u00e9"}"#,
        r#"{"speed":1}"#,
        r#"{"time":{"dsn":1}}"#,
        r#"{"user_agent":"a\u0000b"}"#,
    ] {
        assert!(serde_json::from_str::<Config>(bad).is_err(), "{bad}");
    }
}
