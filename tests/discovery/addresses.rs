//! The addresses of endpoints and of fetches.

use super::*;

#[test]
fn blocked_ones_are_dropped_alone() {
    let world = Internet::new().host("a.example", &["10.0.0.1", "192.0.2.1", "::1"]);
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.endpoints(), ["a.example:8448@192.0.2.1"]);
    assert_eq!(run.warnings(), ["address_blocked", "address_blocked"]);
}

#[test]
fn a_host_with_a_blocked_one_is_refused_if_the_configuration_says_so() {
    let mut config = lenient();
    config.blocked_address = BlockedAddressPolicy::RefuseHost;
    let world = Internet::new().host("a.example", &["10.0.0.1", "192.0.2.1", "2001:db8::1"]);
    let run =
        world.clone().delegates("a.example", "b.example:1").resolve_every_way("a.example", &config);
    assert_eq!(run.error().kind(), "blocked_address");
    assert_eq!(run.connected(), [""; 0]);
    let clean = Internet::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
    let run = clean.resolve_every_way("a.example", &config);
    assert_eq!(run.endpoints(), ["a.example:8448@192.0.2.1,2001:db8::1"]);
    // Another target of the same set is used.
    let run = world
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 1, "a.example."), (0, 0, 2, "b.example.")])
        .host("b.example", &["192.0.2.2"])
        .resolve_every_way("a.example", &config);
    assert_eq!(run.endpoints(), ["b.example:2@192.0.2.2"]);
}

#[test]
fn a_late_answer_is_waited_for_where_a_blocked_address_refuses_the_host() {
    let world = Internet::new()
        .host("a.example", &["192.0.2.1", "::1"])
        .after("AAAA a.example", millis(3000));
    let run = world.resolve_every_way("a.example:1", &lenient());
    assert_eq!(run.endpoints(), ["a.example:1@192.0.2.1"]);
    let mut config = lenient();
    config.blocked_address = BlockedAddressPolicy::RefuseHost;
    assert_eq!(world.resolve_every_way("a.example:1", &config).error().kind(), "blocked_address");
}

#[test]
fn the_family_to_try_first_is_chosen() {
    let world = Internet::new()
        .host("a.example", &["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"])
        .delegates("a.example", "a.example:443");
    for (order, tried) in [
        (FamilyOrder::V4First, ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]),
        (FamilyOrder::V6First, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]),
    ] {
        let mut config = lenient();
        config.family_order = order;
        let run = world.resolve_every_way("a.example", &config);
        let found =
            run.target().endpoints().next().unwrap().addresses().map(|it| it.ip().to_string());
        assert_eq!(found.collect::<Vec<_>>(), tried);
        let connected = run.connected().into_iter().map(|address| {
            let address: std::net::SocketAddr = address.parse().unwrap();
            address.ip().to_string()
        });
        assert_eq!(connected.collect::<Vec<_>>(), tried);
    }
}

#[test]
fn of_many_blocked_ones_a_few_are_named() {
    let all: Vec<String> = (0..60).map(|n| format!("10.0.0.{n}")).collect();
    let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
    all.push("192.0.2.1");
    let run = Internet::new().host("a.example", &all).resolve_every_way("a.example", &lenient());
    assert_eq!(run.warnings(), ["address_blocked"; 4]);
}

#[test]
fn only_blocked_ones_are_an_error_that_names_address_and_range() {
    let world = Internet::new().host("a.example", &["10.0.0.1"]);
    for name in ["a.example", "a.example:443"] {
        let run = world.resolve_every_way(name, &lenient());
        let ResolveError::BlockedAddress { address, range, .. } = run.error() else {
            panic!("{:?}", run.error());
        };
        assert_eq!(address.to_string(), "10.0.0.1");
        assert!(range.to_string().contains("10.0.0.0/8"), "{range}");
        assert!(run.error().to_string().contains("10.0.0.1"), "{}", run.error());
    }
}

#[test]
fn literals_are_judged_too() {
    for name in ["127.0.0.1", "[::1]:8448", "[::ffff:10.0.0.1]"] {
        let run = Internet::new().resolve_every_way(name, &lenient());
        assert_eq!(run.error().kind(), "blocked_address", "{name}");
        assert_eq!(run.error().step(), Some(Step::IpLiteral));
    }
    let run = a().delegates("a.example", "127.0.0.1").resolve_every_way("a.example", &lenient());
    assert_eq!(run.error().step(), Some(Step::DelegatedIpLiteral));
}

#[test]
fn no_fetch_goes_to_a_blocked_address() {
    let world = Internet::new()
        .host("a.example", &["127.0.0.1", "169.254.169.254"])
        .delegates("a.example", "192.0.2.3");
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.connected(), [""; 0]);
    let failure = run.report.well_known.unwrap().result.unwrap().unwrap_err();
    assert!(matches!(failure, WellKnownFailure::Blocked { .. }));
}

#[test]
fn none_at_all_is_an_error_with_what_dns_said() {
    let world = Internet::new()
        .none("A a.example", NoRecord::NxDomain)
        .fails("AAAA a.example", DnsFailure::ServFail);
    let run = world.resolve_every_way("a.example", &lenient());
    let ResolveError::NoAddresses { evidence, step, .. } = run.error() else {
        panic!("{:?}", run.error());
    };
    assert_eq!(*step, Step::DefaultPort);
    assert_eq!(evidence.hosts[0].families.len(), 2);
    let message = run.error().to_string();
    assert!(message.contains("NXDOMAIN") && message.contains("SERVFAIL"), "{message}");
    assert!(run.error().is_temporary());
    assert_eq!(world.resolve_every_way("a.example", &strict()).error().kind(), "dns_failed");
    assert!(!Internet::new().resolve_every_way("a.example", &lenient()).error().is_temporary());
}

#[test]
fn one_family_failing_is_a_warning_and_asked_again_soon() {
    let world = a().fails("AAAA a.example", DnsFailure::ServFail);
    for config in [lenient(), strict()] {
        let run = world.resolve_every_way("a.example", &config);
        assert_eq!(run.endpoints(), ["a.example:8448@192.0.2.1"]);
        assert_eq!(run.warnings(), ["address_family_failed"]);
        assert_eq!(run.target().lifetimes().addresses, Some(seconds(120)));
    }
}

#[test]
fn eight_of_each_family_in_an_order_of_their_own() {
    let mut all: Vec<String> = (1..=12).map(|n| format!("192.0.2.{n}")).collect();
    all.extend((1..=12).map(|n| format!("2001:db8::{n:x}")));
    all.reverse();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let run = Internet::new().host("a.example", &all).resolve_every_way("a.example", &lenient());
    let addresses: Vec<_> = run
        .target()
        .endpoints()
        .next()
        .unwrap()
        .addresses()
        .map(|it| it.ip().to_string())
        .collect();
    assert_eq!(addresses.len(), 16);
    assert_eq!(addresses[..3], ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
}

#[test]
fn families_are_as_configured() {
    let world = Internet::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
    for (families, addresses, questions) in [
        (AddressFamilies::Both, "192.0.2.1,2001:db8::1", 2),
        (AddressFamilies::V4, "192.0.2.1", 1),
        (AddressFamilies::V6, "2001:db8::1", 1),
        (AddressFamilies::ByProxy, "", 0),
    ] {
        let run = world.resolve_once("a.example:443", &lenient().with_addresses(families));
        assert_eq!(run.endpoints(), [format!("a.example:443@{addresses}")]);
        assert_eq!(run.questions().len(), questions);
        assert_eq!(run.target().is_left_to_proxy(), families == AddressFamilies::ByProxy);
    }
}

#[test]
fn left_to_a_proxy_only_literals_are_judged() {
    let config = lenient().with_addresses(AddressFamilies::ByProxy);
    let world = Internet::new().delegates("a.example", "m.example:443");
    let run = world.resolve_every_way("a.example", &config);
    assert_eq!(run.target().step(), Step::DelegatedPort);
    assert_eq!(run.connected(), [""; 0]);
    let run =
        Internet::new().delegates("a.example", "127.0.0.1").resolve_every_way("a.example", &config);
    assert_eq!(run.error().kind(), "blocked_address");
    // A literal is connected to as it is.
    let run = Internet::new()
        .page(URL, 302, &[("location", "https://192.0.2.5:444/")], "")
        .page("https://192.0.2.5:444/", 200, &[], delegation())
        .resolve_every_way("a.example", &config);
    assert_eq!(run.target().step(), Step::DelegatedPort);
    assert_eq!(run.connected(), ["192.0.2.5:444"]);
}

#[test]
fn onion_names_are_never_asked_of_dns() {
    let run = Internet::new().resolve_every_way("abc.onion", &lenient());
    assert_eq!(run.questions(), [""; 0]);
    assert_eq!(run.error().kind(), "no_addresses");
    assert!(run.error().to_string().contains("RFC 7686"), "{}", run.error());
    let world = Internet::new().delegates("abc.onion", "def.onion:443");
    let run = world.resolve_once("abc.onion", &lenient().with_addresses(AddressFamilies::ByProxy));
    assert_eq!(run.target().step(), Step::DelegatedPort);
    assert!(run.questions().iter().all(|it| it.starts_with("GET")), "{:?}", run.questions());
}

#[test]
fn names_without_a_host_are_not_asked_for() {
    for name in ["127.1", "1.2.3.256", "a..b", "a.example.", "-a.example:443"] {
        let run = Internet::new().resolve_every_way(name, &lenient());
        assert_eq!(run.error().kind(), "unresolvable_name", "{name}");
        assert_eq!(run.questions(), [""; 0]);
    }
}
