//! The table of the ten steps, row by row: endpoints, `Host` and certificate name.

use super::support::{InternetExt, RunExt, documentation, lenient, seconds};
use matrix_delegation::target::Origin;
use matrix_delegation::testing::Internet;
use matrix_delegation::{AddressPolicy, Step};
use rustls_pki_types::ServerName as TlsName;
use serde_json::{Value, json};

/// A row: server name, world, step, endpoints, `Host`, certificate name.
struct Row {
    name: &'static str,
    world: Internet,
    step: Step,
    endpoints: &'static [&'static str],
    origin: Origin,
    host: &'static str,
    certificate: &'static str,
}

#[expect(clippy::too_many_lines, reason = "it is the table")]
fn rows() -> Vec<Row> {
    let a = || Internet::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
    let m = |world: Internet| world.host("m.example", &["192.0.2.2", "2001:db8::2"]);
    let fed = |world: Internet| {
        world
            .host("fed1.example", &["192.0.2.7", "2001:db8::7"])
            .host("fed2.example", &["192.0.2.8"])
    };
    let at_a = &["a.example:8448@192.0.2.1,2001:db8::1"];
    let at_m = &["m.example:8448@192.0.2.2,2001:db8::2"];
    let by_srv = &["fed1.example:7754@192.0.2.7,2001:db8::7", "fed2.example:443@192.0.2.8"];
    let records = &[(20, 0, 443, "fed2.example."), (10, 5, 7754, "Fed1.Example.")];
    let row = |name, world, step, endpoints, origin, host, certificate| Row {
        name,
        world,
        step,
        endpoints,
        origin,
        host,
        certificate,
    };
    vec![
        row(
            "192.0.2.9",
            Internet::new(),
            Step::IpLiteral,
            &["192.0.2.9:8448@192.0.2.9"],
            Origin::Literal,
            "192.0.2.9",
            "192.0.2.9",
        ),
        row(
            "[2001:DB8::9]:0443",
            Internet::new(),
            Step::IpLiteral,
            &["[2001:db8::9]:443@2001:db8::9"],
            Origin::Literal,
            "[2001:DB8::9]:0443",
            "2001:db8::9",
        ),
        row(
            "A.Example:8448",
            a(),
            Step::ExplicitPort,
            at_a,
            Origin::ExplicitPort,
            "A.Example:8448",
            "a.example",
        ),
        row(
            "a.example",
            a().delegates("a.example", "192.0.2.3"),
            Step::DelegatedIpLiteral,
            &["192.0.2.3:8448@192.0.2.3"],
            Origin::Literal,
            "192.0.2.3",
            "192.0.2.3",
        ),
        row(
            "a.example",
            a().delegates("a.example", "[2001:db8::3]:443"),
            Step::DelegatedIpLiteral,
            &["[2001:db8::3]:443@2001:db8::3"],
            Origin::Literal,
            "[2001:db8::3]:443",
            "2001:db8::3",
        ),
        row(
            "a.example",
            m(a()).delegates("a.example", "M.example:443"),
            Step::DelegatedPort,
            &["m.example:443@192.0.2.2,2001:db8::2"],
            Origin::ExplicitPort,
            "M.example:443",
            "m.example",
        ),
        row(
            "a.example",
            m(fed(a()))
                .delegates("a.example", "m.example")
                .srv("_matrix-fed._tcp.m.example", records)
                .srv("_matrix._tcp.m.example", &[(0, 0, 1, "wrong.example.")]),
            Step::DelegatedSrv,
            by_srv,
            Origin::Srv,
            "m.example",
            "m.example",
        ),
        row(
            "a.example",
            m(fed(a()))
                .delegates("a.example", "m.example")
                .srv("_matrix._tcp.m.example", records)
                .srv("_matrix-fed._tcp.a.example", &[(0, 0, 1, "wrong.example.")]),
            Step::DelegatedDeprecatedSrv,
            by_srv,
            Origin::Srv,
            "m.example",
            "m.example",
        ),
        row(
            "a.example",
            m(a()).delegates("a.example", "m.example"),
            Step::DelegatedDefaultPort,
            at_m,
            Origin::DefaultPort,
            "m.example",
            "m.example",
        ),
        row(
            "A.example",
            fed(a())
                .srv("_matrix-fed._tcp.a.example", records)
                .srv("_matrix._tcp.a.example", &[(0, 0, 1, "wrong.example.")]),
            Step::Srv,
            by_srv,
            Origin::Srv,
            "A.example",
            "a.example",
        ),
        row(
            "a.example",
            fed(a()).srv("_matrix._tcp.a.example", records),
            Step::DeprecatedSrv,
            by_srv,
            Origin::Srv,
            "a.example",
            "a.example",
        ),
        row(
            "a.example",
            a(),
            Step::DefaultPort,
            at_a,
            Origin::DefaultPort,
            "a.example",
            "a.example",
        ),
    ]
}

#[test]
fn every_row() {
    for row in rows() {
        let run = row.world.resolve_every_way(row.name, &lenient());
        let target = run.target();
        let context = format!("{} by step {}\n{}", row.name, row.step, run.report);
        assert_eq!(target.step(), row.step, "{context}");
        assert_eq!(run.endpoints(), row.endpoints, "{context}");
        assert!(target.endpoints().all(|it| it.origin() == row.origin), "{context}");
        assert_eq!(target.host_header(), row.host, "{context}");
        assert_eq!(target.authority(), row.host, "{context}");
        assert_eq!(target.tls_name(), TlsName::try_from(row.certificate).unwrap(), "{context}");
        assert_eq!(target.server_name().as_str(), row.name, "{context}");
        assert_eq!(target.degraded(), None, "{context}");
        assert!(!target.is_stale(), "{context}");
    }
}

#[test]
fn every_step_has_a_row() {
    let covered: Vec<_> = rows().iter().map(|row| row.step).collect();
    assert!(Step::ALL.iter().all(|step| covered.contains(step)));
}

#[test]
fn lifetimes_of_each_row_are_those_of_its_parts() {
    for row in rows() {
        let target_of = |world: &Internet| world.resolve_once(row.name, &lenient());
        let run = target_of(&row.world);
        let lifetimes = run.target().lifetimes();
        let has_well_known = row.step >= Step::DelegatedIpLiteral;
        let has_srv =
            has_well_known && !matches!(row.step, Step::DelegatedIpLiteral | Step::DelegatedPort);
        let has_addresses = !matches!(row.step, Step::IpLiteral | Step::DelegatedIpLiteral);
        assert_eq!(lifetimes.well_known.is_some(), has_well_known, "{}", row.step);
        assert_eq!(lifetimes.srv.is_some(), has_srv, "{}", row.step);
        assert_eq!(lifetimes.addresses.is_some(), has_addresses, "{}", row.step);
        assert_eq!(run.target().until().is_none(), row.step == Step::IpLiteral);
        if has_addresses {
            // Asked early at best; the TTL is 300 s and ran since the answer came.
            let addresses = lifetimes.addresses.unwrap();
            assert!((seconds(299)..=seconds(300)).contains(&addresses), "{addresses:?}");
        }
    }
}

#[test]
fn a_target_survives_serde() {
    for row in rows() {
        let run = row.world.resolve_once(row.name, &lenient());
        let json = serde_json::to_string(run.target()).unwrap();
        let back: matrix_delegation::DelegationTarget = serde_json::from_str(&json).unwrap();
        assert_eq!(&back, run.target());
        assert_eq!(back.host_header(), run.target().host_header());
        let report = serde_json::to_string(&run.report).unwrap();
        let back: matrix_delegation::Report = serde_json::from_str(&report).unwrap();
        assert_eq!(back, run.report);
    }
}

/// A target as JSON.
fn stored(world: &Internet, name: &str) -> Value {
    serde_json::to_value(world.resolve_once(name, &lenient()).target()).unwrap()
}

fn is_read(target: Value) -> bool {
    serde_json::from_value::<matrix_delegation::DelegationTarget>(target).is_ok()
}

#[test]
fn a_target_that_contradicts_itself_is_not_deserialised() {
    let world = Internet::new()
        .host("a.example", &["192.0.2.1"])
        .host("m.example", &["192.0.2.2"])
        .host("s.example", &["192.0.2.2"])
        .srv("_matrix-fed._tcp.s.example", &[(0, 0, 443, "m.example.")]);
    let ip = json!({"ip": "192.0.2.1"});
    for (name, changes) in [
        (
            "192.0.2.1",
            vec![
                ("/step", json!("2")),
                ("/step", json!("6")),
                ("/delegated", json!("b.example")),
                ("/server_name", json!("192.0.2.1:443")),
                ("/server_name", json!("192.0.2.2")),
                ("/endpoints/0/port", json!(443)),
                ("/endpoints/0/host", json!({"dns": "a.example"})),
                ("/endpoints/0/addresses", json!(["192.0.2.2"])),
                ("/endpoints/0/addresses", json!(["192.0.2.1", "192.0.2.1"])),
                ("/endpoints/0/addresses", json!([])),
            ],
        ),
        (
            "a.example:443",
            vec![
                ("/step", json!("6")),
                ("/server_name", json!("a.example")),
                ("/server_name", json!("a.example:444")),
                ("/endpoints/0/host", json!({"dns": "m.example"})),
                ("/endpoints/0/host", ip.clone()),
                ("/endpoints/0/port", json!(8448)),
                ("/left_to_proxy", json!(true)),
                ("/endpoints/0/addresses", json!([])),
            ],
        ),
        (
            "s.example",
            vec![
                ("/step", json!("3.3")),
                ("/step", json!("6")),
                ("/server_name", json!("s.example:443")),
                ("/endpoints/0/host", ip.clone()),
                ("/endpoints/0/port", json!(0)),
                ("/left_to_proxy", json!(true)),
            ],
        ),
        (
            "a.example",
            vec![
                ("/step", json!("1")),
                ("/step", json!("2")),
                ("/step", json!("3.5")),
                ("/delegated", json!("b.example")),
                ("/server_name", json!("a..example")),
                ("/server_name", json!("a b")),
                ("/server_name", json!("evil.example")),
                ("/server_name", json!("a.example:8448")),
                ("/endpoints", json!([])),
                ("/endpoints/0/port", json!(0)),
                ("/endpoints/0/port", json!(443)),
                ("/endpoints/0/host", ip),
                ("/left_to_proxy", json!(true)),
            ],
        ),
    ] {
        let good = stored(&world, name);
        assert!(is_read(good.clone()), "{good}");
        for (place, value) in changes {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = value.clone();
            assert!(!is_read(bad), "{name}: {place} = {value}");
        }
    }

    // An IP literal with a port, and a step of names.
    let mut bad = stored(&world, "192.0.2.1:443");
    assert!(is_read(bad.clone()));
    bad["step"] = json!("2");
    assert!(!is_read(bad), "step 2 of an IP literal");

    for (step, count, good) in [
        ("s.example", 2, true),
        ("s.example", 64, true),
        ("s.example", 65, false),
        ("a.example", 2, false),
    ] {
        let mut target = stored(&world, step);
        target["endpoints"] = vec![target["endpoints"][0].clone(); count].into();
        assert_eq!(is_read(target), good, "{count} endpoints of {step}");
    }
}

#[test]
fn a_target_is_printed_on_a_line() {
    let world = Internet::new()
        .host("m.example", &["192.0.2.2"])
        .host("n.example", &["192.0.2.3"])
        .delegates("a.example", "D.example")
        .host("a.example", &["192.0.2.1"])
        .srv("_matrix-fed._tcp.d.example", &[(0, 0, 443, "m.example."), (1, 0, 444, "n.example.")]);
    assert_eq!(
        world.resolve_once("a.example", &lenient()).target().to_string(),
        "a.example: step 3.3, connect to m.example:443, n.example:444; \
         Host D.example, certificate for d.example"
    );
}

#[test]
fn a_target_that_was_stored_can_be_judged_again() {
    let world = Internet::new().host("a.example", &["192.0.2.1"]);
    let run = world.resolve_once("a.example", &lenient());
    assert_eq!(run.target().recheck(&documentation()), Ok(()));
    let (address, _) = run.target().recheck(&AddressPolicy::default()).unwrap_err();
    assert_eq!(address.to_string(), "192.0.2.1");
}

#[test]
fn the_documentation_ranges_are_blocked_unless_allowed() {
    let policy = AddressPolicy::default();
    assert!(policy.check("192.0.2.1".parse().unwrap()).is_err());
    assert!(documentation().check("192.0.2.1".parse().unwrap()).is_ok());
}
