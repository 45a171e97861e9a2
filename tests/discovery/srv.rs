//! SRV look-ups and records.

use super::*;

#[test]
fn a_failed_look_up_is_passed_over_and_marked() {
    for failure in [
        DnsFailure::ServFail,
        DnsFailure::Refused,
        DnsFailure::Timeout,
        DnsFailure::Network,
        DnsFailure::Malformed,
    ] {
        let world = a().fails("SRV _matrix-fed._tcp.a.example", failure);
        let run = world.resolve_every_way("a.example", &lenient());
        let target = run.target();
        assert_eq!(target.step(), Step::DefaultPort);
        let degraded = Degraded::SrvLookupFailed(matrix_delegation::dns::Service::MatrixFed);
        assert_eq!(target.degraded(), Some(degraded));
        assert_eq!(run.warnings(), ["srv_lookup_failed"]);
        assert!(target.lifetimes().least() <= Some(seconds(120)));
        for config in [strict(), synapse()] {
            let run = world.resolve_every_way("a.example", &config);
            assert_eq!(run.error().kind(), "dns_failed");
            assert_eq!(run.error().step(), Some(Step::Srv));
            assert!(run.error().is_temporary());
        }
    }
}

#[test]
fn not_implemented_is_no_failure() {
    let world = a().none("SRV _matrix-fed._tcp.a.example", NoRecord::NotImplemented);
    assert_eq!(world.resolve_every_way("a.example", &strict()).target().step(), Step::DefaultPort);
}

#[test]
fn a_failed_look_up_lets_the_deprecated_one_count() {
    let world = a()
        .host("m.example", &["192.0.2.2"])
        .fails("SRV _matrix-fed._tcp.a.example", DnsFailure::ServFail)
        .srv("_matrix._tcp.a.example", &[(0, 0, 443, "m.example.")]);
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.target().step(), Step::DeprecatedSrv);
    assert_eq!(run.warnings(), ["srv_lookup_failed", "deprecated_srv"]);
}

#[test]
fn a_lone_root_target_says_that_there_is_no_service() {
    for (service, step) in [("_matrix-fed", Step::Srv), ("_matrix", Step::DeprecatedSrv)] {
        let world = a().srv(&format!("{service}._tcp.a.example"), &[(0, 0, 0, ".")]);
        for config in [lenient(), strict(), synapse()] {
            let run = world.resolve_every_way("a.example", &config);
            assert_eq!(run.error().kind(), "service_not_available");
            assert_eq!(run.error().step(), Some(step));
        }
    }
}

#[test]
fn no_service_is_not_certain_where_the_other_look_up_failed() {
    let world = a()
        .fails("SRV _matrix-fed._tcp.a.example", DnsFailure::ServFail)
        .srv("_matrix._tcp.a.example", &[(0, 0, 0, ".")]);
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.error().kind(), "service_not_available");
    assert!(run.error().is_temporary());
    let kinds: Vec<_> = run.report.warnings.iter().map(Warning::kind).collect();
    assert_eq!(kinds, ["srv_lookup_failed"]);
}

#[test]
fn a_root_target_among_others_is_dropped() {
    let world = a()
        .host("m.example", &["192.0.2.2"])
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 0, "."), (1, 0, 443, "m.example.")]);
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.endpoints(), ["m.example:443@192.0.2.2"]);
    assert_eq!(run.warnings(), ["srv_record_dropped"]);
}

#[test]
fn unusable_records_alone_are_an_error_that_lists_them() {
    let world = a().srv(
        "_matrix-fed._tcp.a.example",
        &[(0, 0, 443, "192.0.2.2."), (1, 0, 0, "m.example."), (2, 0, 443, "127.1.")],
    );
    let run = world.resolve_every_way("a.example", &lenient());
    let ResolveError::NoUsableEndpoint { evidence, step, .. } = run.error() else {
        panic!("{:?}", run.error());
    };
    assert_eq!(evidence.dropped.len(), 3);
    assert_eq!(*step, Step::Srv);
    assert!(!run.error().is_temporary());
}

#[test]
fn an_alias_is_followed_or_dropped() {
    let world = a()
        .host("m.example", &["192.0.2.2"])
        .host("alias.example", &["192.0.2.3"])
        .aliased("alias.example")
        .srv(
            "_matrix-fed._tcp.a.example",
            &[(0, 0, 443, "alias.example."), (1, 0, 443, "m.example.")],
        );
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.endpoints().len(), 2);
    assert_eq!(run.warnings(), ["srv_target_alias"]);
    assert_eq!(world.resolve_every_way("a.example", &synapse()).endpoints().len(), 2);
    let run = world.resolve_every_way("a.example", &strict());
    assert_eq!(run.endpoints(), ["m.example:443@192.0.2.2"]);
    assert_eq!(run.warnings(), ["srv_record_dropped"]);

    // Once the alias is gone the record counts again, so its lifetime counts.
    let brief =
        world.host_for("alias.example", &["192.0.2.3"], seconds(60)).aliased("alias.example");
    let run = brief.resolve_once("a.example", &strict());
    assert_eq!(whole(run.target().lifetimes().addresses), Some(60));

    let only = a()
        .host("alias.example", &["192.0.2.3"])
        .aliased("alias.example")
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "alias.example.")]);
    let run = only.resolve_every_way("a.example", &strict());
    let ResolveError::NoUsableEndpoint { evidence, .. } = run.error() else { panic!() };
    assert_eq!(evidence.dropped[0].reason, SrvDropReason::Alias);
}

#[test]
fn an_alias_elsewhere_is_nobody_s_business() {
    let world = a().aliased("a.example");
    assert_eq!(world.resolve_every_way("a.example", &strict()).warnings(), [""; 0]);
}

#[test]
fn the_first_twenty_records_are_used() {
    let names: Vec<String> = (0..30).map(|n| format!("h{n:02}.example")).collect();
    let records: Vec<(u16, u16, u16, &str)> =
        names.iter().rev().map(|name| (1, 0, 443, name.as_str())).collect();
    let mut world = a().srv("_matrix-fed._tcp.a.example", &records);
    for name in &names {
        world = world.host(name, &["192.0.2.2"]);
    }
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.endpoints().len(), 20);
    assert!(run.endpoints()[19].starts_with("h19"));
    assert_eq!(run.warnings().len(), 10);
}

#[test]
fn targets_without_addresses_are_left_out() {
    let world = a().host("m.example", &["192.0.2.2"]).srv(
        "_matrix-fed._tcp.a.example",
        &[(0, 0, 443, "nowhere.example."), (1, 0, 443, "m.example.")],
    );
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.endpoints(), ["m.example:443@192.0.2.2"]);
    assert_eq!(run.warnings(), ["srv_target_without_address"]);
    // How each family failed stands in that warning.
    let world = world
        .fails("A nowhere.example", DnsFailure::Refused)
        .fails("AAAA nowhere.example", DnsFailure::Refused);
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.warnings(), ["srv_target_without_address"]);
    assert_eq!(
        run.target().warnings().next().unwrap().to_string(),
        "an SRV target has no usable address: nowhere.example (A: the DNS server refused \
         (REFUSED), AAAA: the DNS server refused (REFUSED))"
    );
}

#[test]
fn attempts_draw_an_order_by_weight_within_priority() {
    let world = a()
        .host("b.example", &["192.0.2.2"])
        .host("c.example", &["192.0.2.3"])
        .host("d.example", &["192.0.2.4"])
        .srv(
            "_matrix-fed._tcp.a.example",
            &[(0, 1, 443, "b.example."), (0, 3, 443, "c.example."), (9, 0, 443, "d.example.")],
        );
    let run = world.resolve_every_way("a.example", &lenient());
    let mut first = 0;
    for seed in 0..1000 {
        let order: Vec<_> = run.target().attempts(seed).map(|it| it.host().to_string()).collect();
        assert_eq!(order.len(), 3);
        assert_eq!(order[2], "d.example");
        first += u32::from(order[0] == "c.example");
    }
    // c is first for 4 of the 5 values of the choice: 800 expected, deviation 13.
    assert!((730..870).contains(&first), "{first}");
    assert_eq!(run.target().attempts(1).len(), 3);
}

#[test]
fn a_discovery_has_a_budget_of_queries_and_says_what_it_left_out() {
    let hosts: Vec<_> = (0..20).map(|n| format!("t{n}.example")).collect();
    let targets: Vec<_> = hosts.iter().map(|host| format!("{host}.")).collect();
    let records: Vec<_> =
        (0..).zip(&targets).map(|(priority, target)| (priority, 0, 1, target.as_str())).collect();
    let plain = hosts.iter().fold(a(), |world, host| world.host(host, &["192.0.2.9"]));
    let plain = plain.srv("_matrix-fed._tcp.a.example", &records);
    let aliased = hosts.iter().fold(plain.clone(), |world, host| {
        world.host(host, &["192.0.2.9", "2001:db8::9"]).aliased(host)
    });
    for (world, most, left_out) in [
        (&plain, 100, 0..=0),
        // 3 queries a question.
        (&aliased, 100, 3..=6),
        (&aliased, 30, 15..=17),
        (&aliased, 1000, 0..=0),
    ] {
        let mut config = lenient();
        config.limits.dns_queries = most;
        let run = world.resolve("a.example".parse().unwrap(), &config);
        let target = run.target();
        let missing = run.warnings().iter().filter(|it| **it == "srv_target_not_asked").count();
        assert!(left_out.contains(&missing), "{most}: {missing}");
        assert_eq!(target.endpoints().count(), 20 - missing);
        // Those that are tried first are asked for first.
        let hosts: Vec<_> = target.endpoints().map(|it| it.host().to_string()).collect();
        assert_eq!(
            hosts[..],
            (0..hosts.len()).map(|n| format!("t{n}.example")).collect::<Vec<_>>()
        );
    }
}
