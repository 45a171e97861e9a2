//! Every default where the specification is silent, in each preset: a table, so that none drifts.
//! What each of them does is tested where it acts.

use std::collections::BTreeSet;

use matrix_delegation::Config;
use matrix_delegation::well_known::{FetchLimits, MAX_BODY_BYTES};
use serde_json::{Value, json};

/// Where the field stands in the configuration's JSON, and its value in the presets `default`,
/// `strict` and `synapse`.
fn table() -> Vec<(&'static str, Value, Value, Value)> {
    let same = |field, value: Value| (field, value.clone(), value.clone(), value);
    vec![
        ("/speculation", json!("full"), json!("full"), json!("off")),
        same("/addresses", json!("both")),
        same("/family_order", json!("v4_first")),
        same("/address_policy", json!({"base": "public_internet", "allow": [], "block": []})),
        same("/blocked_address", json!("drop")),
        ("/dns_failure", json!("go_on"), json!("fail"), json!("fail")),
        ("/srv_alias", json!("follow"), json!("drop"), json!("follow")),
        ("/well_known/least", json!("1m"), json!("0s"), json!("5m")),
        same("/well_known/most", json!("2d")),
        same("/well_known/unstated", json!("1d")),
        same("/well_known/jitter_percent", json!(10)),
        same("/well_known/temporary", json!("2m")),
        same("/well_known/temporary_most", json!("1h")),
        same("/well_known/permanent", json!("1h")),
        same("/well_known/retry_after_least", json!("1m")),
        same("/well_known/retry_after_most", json!("1d")),
        same("/well_known/stale", json!("2d")),
        same("/well_known/remembered", json!("2d2h")),
        (
            "/well_known/withdrawal",
            json!("explicit"),
            json!("any_permanent"),
            json!("any_response"),
        ),
        same("/dns/least", json!("5s")),
        same("/dns/most", json!("1d")),
        same("/dns/negative_least", json!("5s")),
        same("/dns/negative_most", json!("1h")),
        same("/dns/negative_unstated", json!("1m")),
        same("/dns/failed", json!("30s")),
        same("/dns/failed_most", json!("10m")),
        same("/dns/incomplete", json!("2m")),
        same("/dns/stale", json!("1d")),
        same("/limits/srv_records", json!(20)),
        same("/limits/addresses_per_family", json!(8)),
        ("/limits/redirects", json!(10), json!(10), json!(20)),
        same("/limits/retries", json!(3)),
        same("/limits/dns_queries", json!(100)),
        same("/limits/head_bytes", json!(16_384)),
        same("/limits/head_lines", json!(1000)),
        same("/limits/body_bytes", json!(51_200)),
        same("/time/dns", json!("5s")),
        same("/time/phases/connect", json!("5s")),
        same("/time/phases/attempt_delay", json!("250ms")),
        same("/time/phases/tls", json!("5s")),
        same("/time/exchange", json!("10s")),
        same("/time/retry_pause", json!("500ms")),
        same("/time/well_known", json!("15s")),
        same("/time/discovery", json!("30s")),
        same("/time/fetch_grace", json!("50ms")),
        same("/time/family_grace", json!("250ms")),
        same("/time/target_grace", json!("1s")),
        same("/time/local_pause", json!("1s")),
        same("/time/local_pause_most", json!("30s")),
        same("/time/degraded", json!("2m")),
        same("/refresh/ahead_percent", json!(20)),
        same("/refresh/wait", json!("1s800ms")),
        same("/refresh/apart", json!("1s")),
        same("/refresh/unrenewed", json!("5s")),
        same("/user_agent", json!(concat!("matrix-delegation/", env!("CARGO_PKG_VERSION")))),
    ]
}

/// Where every field stands, except within values that the table takes whole.
fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if !object.contains_key("base") => {
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

/// What a resolver has besides, with its value in each preset.
#[cfg(feature = "resolver")]
fn resolver_table() -> Vec<(&'static str, Value)> {
    vec![
        ("/memory/hosts", json!(200_000)),
        ("/memory/bytes", json!(128 << 20)),
        ("/memory/reports", json!("rebuilt")),
        ("/queue/discoveries", json!(1_000)),
        ("/queue/waiting", json!(10_000)),
        ("/queue/wait", json!("30s")),
        ("/queue/per_destination", json!(16)),
        ("/queue/per_destination_waiting", json!(112)),
        ("/queue/per_destination_wait", json!("5s")),
        ("/queue/questions", json!(50_000)),
        ("/feedback/apart", json!("10s")),
        ("/feedback/apart_most", json!("10m")),
        ("/feedback/demoted", json!("10m")),
        ("/abandoned", json!("finish")),
        ("/abandoned_after", json!("2s")),
        ("/queue/slow", json!(4000)),
        ("/sockets/most", json!(65_536)),
        ("/sockets/percent", json!(25)),
        ("/sockets/dns_percent", json!(40)),
        ("/sockets/wait", json!("10s")),
        ("/store/timeout", json!("250ms")),
        ("/store/rest", json!("1s")),
        ("/store/value_bytes", json!(4096)),
    ]
}

#[cfg(feature = "resolver")]
#[test]
fn a_resolver_has_the_presets_of_the_core_and_its_own_defaults() {
    use matrix_delegation::ResolverConfig;

    let presets = [
        (ResolverConfig::default(), Config::default()),
        (ResolverConfig::strict(), Config::strict()),
        (ResolverConfig::synapse(), Config::synapse()),
    ];
    for (resolver, core) in presets {
        assert_eq!(resolver, ResolverConfig::from(core.clone()));
        assert_eq!(resolver.discovery, core);
        assert_eq!(resolver.check(), Ok(()));
        let section = serde_json::to_value(resolver).unwrap();
        let mut found = BTreeSet::new();
        fields(&section, "", &mut found);
        let table = resolver_table();
        assert_eq!(found, table.iter().map(|row| row.0.to_owned()).collect());
        for (field, value) in table {
            assert_eq!(section.pointer(field), Some(&value), "{field}");
        }
        // The discovery is a section of its own.
        let read: ResolverConfig = serde_json::from_value(section).unwrap();
        assert_eq!(read, ResolverConfig::default());
    }
    for bad in [json!({"discovery": {}}), json!({"queu": {}}), json!({"queue": {"wiat": "1s"}})] {
        assert!(serde_json::from_value::<ResolverConfig>(bad.clone()).is_err(), "{bad}");
    }
}

#[cfg(feature = "resolver")]
#[test]
fn a_resolver_s_problems_name_the_whole_path() {
    use matrix_delegation::ResolverConfig;

    let mut config = ResolverConfig::default();
    config.discovery.limits.srv_records = 0;
    config.queue.discoveries = 0;
    config.queue.per_destination = 0;
    config.queue.questions = 0;
    config.feedback.apart = std::time::Duration::MAX;
    config.store.timeout = std::time::Duration::ZERO;
    config.store.value_bytes = 0;
    let error = config.check().unwrap_err();
    let paths: Vec<_> =
        error.problems().iter().map(matrix_delegation::config::ConfigProblem::path).collect();
    assert_eq!(
        paths,
        [
            "discovery.limits.srv_records",
            "queue.discoveries",
            "queue.per_destination",
            "queue.questions",
            "feedback.apart",
            "store.timeout",
            "store.value_bytes",
        ]
    );
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
    assert_eq!(fetch.phases, config.time.phases);
    assert_eq!(fetch.exchange, config.time.exchange);
}

#[cfg(feature = "client")]
#[test]
fn the_defaults_of_connecting_are_as_documented() {
    use matrix_delegation::client::{ClientConfig, ConnectLimits};

    let phases = json!({"connect": "5s", "tls": "5s", "attempt_delay": "250ms"});
    let connect = json!({"phases": phases, "endpoint_delay": "1s", "total": "30s"});
    assert_eq!(serde_json::to_value(ConnectLimits::default()).unwrap(), connect);
    let client = json!({
        "idle": "1m30s",
        "age": "1h",
        "connections": 512,
        "per_server": 8,
        "concurrent": 100,
        "waiting": 1000,
        "connecting": 1000,
        "connecting_slow": 4000,
        "connecting_waiting": 10_000,
        "head_bytes": 65_536,
        "head_lines": 1000,
        "keep_alive": "20s",
        "keep_alive_timeout": "10s",
        "farewell": "1s",
        "kept_tries": 2,
        "new_tries": 3,
        "resends": 3,
        "idempotent_resends": 1,
        "resend_bytes": 1_048_576,
        "http1_for": "1h",
        "moves": 4,
        "connect": connect,
    });
    assert_eq!(serde_json::to_value(ClientConfig::default()).unwrap(), client);
    assert_eq!(serde_json::from_value::<ClientConfig>(json!({})).unwrap(), ClientConfig::default());
    assert!(serde_json::from_value::<ClientConfig>(json!({"idel": 1})).is_err());
    assert!(serde_json::from_value::<ConnectLimits>(json!({"phases": {"tsl": 1}})).is_err());
}

#[cfg(all(feature = "certificate", feature = "hyper"))]
#[test]
fn the_defaults_of_checking_certificates_are_as_documented() {
    use matrix_delegation::certificate::ProbeLimits;

    let limits = serde_json::to_value(ProbeLimits::default()).unwrap();
    assert_eq!(limits["phases"]["connect"], "5s");
    assert_eq!(limits["phases"]["tls"], "5s");
    assert_eq!(limits["total"], "1m");
    assert_eq!((&limits["at_a_time"], &limits["handshake_bytes"]), (&json!(8), &json!(262_144)));
    assert!(serde_json::from_value::<ProbeLimits>(json!({"totla": 1})).is_err());
}

#[test]
fn a_configuration_survives_serde_and_knows_its_fields() {
    for config in [Config::default(), Config::strict(), Config::synapse()] {
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
    let all_jitter = r#"{"well_known":{"jitter_percent":255,"unstated":18446744073709551615}}"#;
    assert!(serde_json::from_str::<Config>(all_jitter).is_ok());
    for bad in [
        r#"{"user_agent":"caf\u00e9"}"#,
        r#"{"speed":1}"#,
        r#"{"time":{"dsn":1}}"#,
        r#"{"user_agent":"a\u0000b"}"#,
        r#"{"address_policy":{"allow":["10.0.0.0/33"]}}"#,
        r#"{"address_policy":{"block":["a.example"]}}"#,
    ] {
        assert!(serde_json::from_str::<Config>(bad).is_err(), "{bad}");
    }
}

/// The file that operators begin with holds every field with its default, and a comment above each.
#[cfg(all(feature = "hickory", feature = "client", feature = "redis"))]
mod operators {
    use matrix_delegation::adapters::{DnsConfig, RedisConfig};
    use matrix_delegation::client::ClientConfig;
    use matrix_delegation::{Config, ResolverConfig};
    use serde::{Deserialize, Serialize};

    const FILE: &str = include_str!("../../examples/matrix-delegation.toml");

    /// As an application reads it, beside sections of its own.
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Settings {
        discovery: Config,
        resolver: ResolverConfig,
        client: ClientConfig,
        dns: DnsConfig,
        redis: RedisConfig,
    }

    #[test]
    fn the_example_holds_every_field_with_its_default() {
        let all = toml::Table::try_from(Settings::default()).unwrap();
        assert_eq!(FILE.parse::<toml::Table>().unwrap(), all);
        assert_eq!(toml::from_str::<Settings>(FILE).unwrap(), Settings::default());
    }

    #[test]
    fn the_example_has_a_comment_above_each_field() {
        let lines: Vec<&str> = FILE.lines().collect();
        let mut fields = 0;
        for pair in lines.windows(2) {
            if let [above, line] = pair
                && line.contains(" = ")
                && !line.starts_with('#')
            {
                assert!(above.starts_with("# "), "{line}");
                fields += 1;
            }
        }
        assert!(fields > 80, "{fields}");
    }

    #[test]
    fn a_section_is_read_by_itself_and_judged() {
        let text = r#"
            addresses = "v6"
            [address_policy]
            allow = ["10.0.0.1", "fd00::/8"]
            [time]
            discovery = "1m30s"
            dns = 2.5
            phases.connect = 3
        "#;
        let config: Config = toml::from_str(text).unwrap();
        let allowed: Vec<_> = config.address_policy.allowed().map(ToString::to_string).collect();
        assert_eq!(allowed, ["10.0.0.1/32", "fd00::/8"]);
        assert_eq!(config.time.discovery.as_millis(), 90_000);
        assert_eq!(config.time.dns.as_millis(), 2_500);
        assert_eq!(config.time.phases.connect.as_millis(), 3_000);
        assert_eq!(config.check(), Ok(()));
        for (text, what) in [
            ("[time]\ndns = \"5 minutes\"", "expected a duration such as"),
            ("[time]\ndsn = \"5s\"", "unknown field `dsn`"),
            ("[address_policy]\nallow = [\"10.0.0.0/33\"]", "expected a range such as"),
            ("user_agent = \"a\\nb\"", "header"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn what_operators_say_of_dns_is_read() {
        use matrix_delegation::adapters::{DnsTransport, ServerOrder};

        let text = r#"
            attempts = 2
            transport = "tcp_only"
            server_order = "rotate"
            edns = true
            random_case = true
            hosts_file = false
        "#;
        let mut expected = DnsConfig::default();
        expected.attempts = 2;
        expected.transport = DnsTransport::TcpOnly;
        expected.server_order = ServerOrder::Rotate;
        (expected.edns, expected.random_case, expected.hosts_file) = (true, true, false);
        assert_eq!(toml::from_str::<DnsConfig>(text).unwrap(), expected);
        assert_eq!(expected.check(), Ok(()));
        for wrong in
            ["attempts = 300", "transport = \"udp\"", "server_order = true", "edns0 = true"]
        {
            assert!(toml::from_str::<DnsConfig>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn adapters_refuse_what_cannot_work() {
        use std::time::Duration;

        use matrix_delegation::{HickoryDns, RedisStore};

        let mut dns = DnsConfig::default();
        (dns.question_limit, dns.first_retry) = (Duration::MAX, Duration::ZERO);
        (dns.attempts, dns.edns_payload, dns.aliases, dns.records) = (0, 511, 65, 0);
        let server = "192.0.2.53:53".parse().unwrap();
        let error = HickoryDns::with_servers([server]).unwrap().with_config(dns).unwrap_err();
        assert_eq!(
            error.to_string(),
            "question_limit: 213503982334601d7h15s999ms999us999ns is too much; set 1h or less\n\
             first_retry: 0s: questions would flood; set 10ms or more\n\
             attempts: 0: nothing would be asked; set 1 to 10\n\
             edns_payload: 511: every server may send more; set 512 to 65535\n\
             aliases: 65 is too much; set 0 to 64\n\
             records: 0: no record could be used; set 1 or more"
        );
        let mut redis = RedisConfig::default();
        (redis.connect, redis.response, redis.command) = Default::default();
        (redis.concurrent, redis.value_bytes, redis.longest_expiry) = (0, 0, Duration::MAX);
        let store = RedisStore::new("redis://127.0.0.1").unwrap();
        let error = store.with_config(redis).unwrap_err();
        assert_eq!(error.problems().len(), 6);
        assert_eq!(RedisConfig::default().check(), Ok(()));
        assert_eq!(DnsConfig::default().check(), Ok(()));
    }
}
