//! The machine beyond the golden table: redirects, stragglers, limits, failures, reports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use http::Response;
use matrix_delegation::{
    AddressFamilies, Body, Config, Degraded, Discovery, DnsAnswer, DnsFailure, FetchFailure,
    FetchFailureKind, NoRecord, Now, Output, Question, Records, ResolveError, SkipReason,
    Speculation, SrvDropReason, Step, StepOutcome, StepReport, TimeLimits, Warning,
    WellKnownFailure,
};
use support::{World, lenient, millis, seconds, strict, synapse, whole};

fn a() -> World {
    World::new().host("a.example", &["192.0.2.1"])
}

const URL: &str = "https://a.example/.well-known/matrix/server";
const GET: &str = "GET https://a.example/.well-known/matrix/server";

fn delegation() -> &'static str {
    r#"{"m.server":"m.example:443"}"#
}

fn with_m() -> World {
    a().host("m.example", &["192.0.2.2"])
}

mod well_known {
    use super::*;

    fn failure(world: &World) -> (Step, WellKnownFailure) {
        let run = world.resolve("a.example", &lenient());
        let step = run.target().step();
        (step, run.report.well_known.unwrap().result.unwrap().unwrap_err())
    }

    /// Whatever is wrong with it leads to step 4 and on, never to an error.
    #[test]
    fn any_failure_leads_to_step_four() {
        use FetchFailureKind as Kind;
        let mut worlds: Vec<World> = [
            Kind::Adapter,
            Kind::NoAddress,
            Kind::Connect,
            Kind::Refused,
            Kind::ConnectTimeout,
            Kind::Tls,
            Kind::TlsTimeout,
            Kind::ExchangeTimeout,
            Kind::Protocol,
            Kind::HeadTooLarge,
            Kind::CutOff,
        ]
        .into_iter()
        .map(|kind| a().fetched(URL, Err(FetchFailure::new(kind, "scripted"))))
        .collect();
        for status in [100, 201, 204, 206, 300, 304, 305, 306, 400, 404, 410, 429, 500, 503, 999] {
            worlds.push(with_m().page(URL, status, &[("location", "/x")], delegation()));
        }
        for body in ["", "x", "[]", "{}", r#"{"m.server":1}"#, r#"{"m.server":"a b"}"#] {
            worlds.push(a().well_known("a.example", body));
        }
        let too_large = Response::new(Body::TooLarge);
        worlds.push(a().fetched(URL, Ok(too_large)));
        worlds.push(a().never(GET));
        for world in worlds {
            let (step, _) = failure(&world);
            assert_eq!(step, Step::DefaultPort);
        }
    }

    #[test]
    fn the_fetch_is_told_all_it_needs() {
        let mut machine =
            Discovery::new("A.Example".parse().unwrap(), Arc::new(lenient()), Now::EPOCH, 0);
        let world = World::new().host("a.example", &["192.0.2.1", "192.0.2.9", "2001:db8::1"]);
        loop {
            match machine.poll_output(Now::EPOCH) {
                Output::Ask(Question::Dns { token, question }) => {
                    let answer = world.dns_answer(&question.to_string());
                    machine.handle_dns(token, answer, Now::EPOCH);
                }
                Output::Ask(Question::Fetch { fetch, .. }) => {
                    assert_eq!(fetch.request.method(), http::Method::GET);
                    assert_eq!(fetch.request.uri().to_string(), URL);
                    let headers = fetch.request.headers();
                    assert_eq!(headers["host"], "a.example");
                    assert_eq!(headers["accept-encoding"], "identity");
                    assert!(
                        headers["user-agent"].to_str().unwrap().starts_with("matrix-delegation/")
                    );
                    let addresses: Vec<_> =
                        fetch.addresses.iter().map(ToString::to_string).collect();
                    assert_eq!(addresses, ["192.0.2.1:443", "[2001:db8::1]:443", "192.0.2.9:443"]);
                    assert_eq!(fetch.tls_name, "a.example".try_into().unwrap());
                    // A little less than all of the well-known may take.
                    assert_eq!(fetch.limits.total, millis(14_900));
                    assert_eq!(fetch.limits.body_bytes, 51_200);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_content_coding_that_nobody_asked_for_is_refused() {
        for (coding, step) in [
            ("gzip", Step::DefaultPort),
            ("Identity", Step::DelegatedPort),
            ("br, identity", Step::DefaultPort),
        ] {
            let world = with_m().page(URL, 200, &[("content-encoding", coding)], delegation());
            let run = world.resolve("a.example", &lenient());
            assert_eq!(run.target().step(), step, "{coding}");
        }
    }

    #[test]
    fn the_content_type_is_ignored() {
        let world = with_m().page(URL, 200, &[("content-type", "text/html")], delegation());
        assert_eq!(world.resolve("a.example", &lenient()).target().step(), Step::DelegatedPort);
    }

    #[test]
    fn a_body_at_the_limit_is_read_and_one_over_is_not() {
        let padding = 51_200 - delegation().len();
        for (spaces, step) in [(padding, Step::DelegatedPort), (padding + 1, Step::DefaultPort)] {
            let body = format!("{}{}", delegation(), " ".repeat(spaces));
            let run = with_m().well_known("a.example", &body).resolve("a.example", &lenient());
            assert_eq!(run.target().step(), step, "{spaces}");
        }
    }

    #[test]
    fn a_name_without_a_host_is_bad_data_and_warned_of() {
        for server in ["127.1", "m..example", "m.example.", "-m.example", "0x7f.1", "2130706433"] {
            let run = a().delegates("a.example", server).resolve("a.example", &lenient());
            assert_eq!(run.target().step(), Step::DefaultPort, "{server}");
            assert_eq!(run.warnings(), ["well_known_unusable"], "{server}");
        }
    }

    #[test]
    fn an_ordinary_absence_is_no_reason_for_a_warning() {
        let none = World::new()
            .none("A a.example", NoRecord::NoData)
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "m.example.")])
            .host("m.example", &["192.0.2.2"]);
        for world in [a(), a().page(URL, 404, &[], ""), none] {
            assert_eq!(world.resolve("a.example", &lenient()).warnings(), [""; 0]);
        }
        let forbidden = a().page(URL, 403, &[], "").resolve("a.example", &lenient());
        assert_eq!(forbidden.warnings(), ["well_known_unusable"]);
    }

    #[test]
    fn it_is_asked_in_lower_case_and_once() {
        let run =
            with_m().delegates("a.example", "A.example").resolve_once("A.Example", &lenient());
        assert_eq!(run.target().step(), Step::DelegatedDefaultPort);
        assert_eq!(run.target().authority(), "A.example");
        let fetches: Vec<_> = run.asked.iter().filter(|it| it.starts_with("GET")).collect();
        assert_eq!(fetches, [&format!("GET {URL}")]);
    }

    #[test]
    fn there_is_no_second_delegation() {
        let world =
            with_m().delegates("a.example", "m.example").delegates("m.example", "b.example");
        let run = world.resolve("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DelegatedDefaultPort);
        assert!(!run.asked.iter().any(|it| it.contains("https://m.example")));
    }

    #[test]
    fn a_slow_one_gives_way_to_step_four_after_fifteen_seconds() {
        let run = a().never(GET).resolve_once("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DefaultPort);
        assert_eq!(run.took, seconds(15));
        let failure = run.report.well_known.unwrap().result.unwrap().unwrap_err();
        assert_eq!(failure, WellKnownFailure::TimedOut { limit: seconds(15) });
    }

    #[test]
    fn its_lifetime_is_its_own() {
        let page = |value| with_m().page(URL, 200, &[("cache-control", value)], delegation());
        let lifetimes = |config: &Config, value| {
            page(value).resolve_once("a.example", config).target().lifetimes()
        };
        let lenient = lenient();
        assert_eq!(whole(lifetimes(&lenient, "max-age=7200").well_known), Some(7200));
        assert_eq!(whole(lifetimes(&lenient, "max-age=7200").least()), Some(300));
        assert_eq!(whole(lifetimes(&lenient, "no-store").well_known), Some(60));
        assert_eq!(whole(lifetimes(&strict(), "no-store").well_known), Some(0));
        assert_eq!(whole(lifetimes(&synapse(), "no-store").well_known), Some(300));
        let most = Some(48 * 3600);
        assert_eq!(whole(lifetimes(&lenient, "max-age=99999999").well_known), most);
    }

    #[test]
    fn an_earlier_good_answer_stands_in_for_a_passing_failure() {
        let good = with_m().delegates("a.example", "m.example:443");
        let now = Now::EPOCH;
        let mut look_up = matrix_delegation::WellKnownLookup::new(
            "a.example".parse().unwrap(),
            Arc::new(lenient()),
            now,
            0,
        );
        let earlier = loop {
            match look_up.poll_output(now) {
                Output::Ask(Question::Dns { token, question }) => {
                    look_up.handle_dns(token, good.dns_answer(&question.to_string()), now);
                }
                Output::Ask(Question::Fetch { token, fetch }) => {
                    let url = fetch.request.uri().to_string();
                    look_up.handle_response(token, good.response(&url), now);
                }
                Output::Done(answer) => break answer,
                other => panic!("{other:?}"),
            }
        };
        let mut down = with_m().page(URL, 503, &[], "");
        down.earlier = Some(earlier.clone());
        let run = down.resolve("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DelegatedPort);
        assert!(run.target().is_stale());
        assert_eq!(run.warnings(), ["well_known_stale"]);

        let mut gone = with_m().page(URL, 404, &[], "");
        gone.earlier = Some(earlier);
        let run = gone.resolve("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DefaultPort);
        assert_eq!(run.target().degraded(), Some(Degraded::WellKnownLost));
        assert_eq!(run.target().lifetimes().held, Some(seconds(120)));
    }
}

mod redirects {
    use super::*;

    fn to(location: &str) -> World {
        with_m().page(URL, 302, &[("location", location)], "")
    }

    #[test]
    fn each_status_is_followed_to_another_host() {
        for status in [301, 302, 303, 307, 308] {
            let world = with_m()
                .host("w.example", &["192.0.2.4"])
                .page(URL, status, &[("location", "https://w.example:8443/x?y")], "ignored")
                .page("https://w.example:8443/x?y", 200, &[], delegation());
            let run = world.resolve("a.example", &lenient());
            assert_eq!(run.target().step(), Step::DelegatedPort, "{status}");
            assert!(run.connected.contains(&"192.0.2.4:8443".to_owned()));
            assert_eq!(run.report.well_known.unwrap().hops.len(), 2);
        }
    }

    #[test]
    fn the_lifetime_is_the_final_response_s() {
        let world = with_m()
            .page(URL, 302, &[("location", "/x"), ("cache-control", "max-age=60")], "")
            .page("https://a.example/x", 200, &[("cache-control", "max-age=900")], delegation());
        let run = world.resolve_once("a.example", &lenient());
        assert_eq!(whole(run.target().lifetimes().well_known), Some(900));
    }

    #[test]
    fn refused_ones_lead_to_step_four() {
        for location in [
            "http://a.example/x",
            "https://user@a.example/x",
            "https://a.example/.well-known/matrix/server",
            "https://a.example/.well-known/matrix/server#again",
            "ftp://a.example/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://10.0.0.1/",
        ] {
            let run = to(location).resolve("a.example", &lenient());
            assert_eq!(run.target().step(), Step::DefaultPort, "{location}");
            assert_eq!(run.warnings(), ["well_known_unusable"], "{location}");
            assert!(!run.connected.iter().any(|it| it.contains("127.") || it.contains("10.")));
        }
    }

    fn chain(length: usize) -> World {
        let mut world = with_m().page(URL, 302, &[("location", "/1")], "");
        for step in 1..length {
            let next = format!("/{}", step + 1);
            world =
                world.page(&format!("https://a.example/{step}"), 302, &[("location", &next)], "");
        }
        world.page(&format!("https://a.example/{length}"), 200, &[], delegation())
    }

    #[test]
    fn as_many_as_the_preset_allows() {
        for (config, limit) in [(lenient(), 10), (strict(), 10), (synapse(), 20)] {
            let run = chain(limit).resolve_once("a.example", &config);
            assert_eq!(run.target().step(), Step::DelegatedPort);
            let run = chain(limit + 1).resolve_once("a.example", &config);
            assert_eq!(run.target().step(), Step::DefaultPort);
        }
    }

    #[test]
    fn a_loop_over_several_urls_ends() {
        let world = with_m()
            .page(URL, 302, &[("location", "/1")], "")
            .page("https://a.example/1", 302, &[("location", "/2")], "")
            .page("https://a.example/2", 302, &[("location", "/1")], "");
        let run = world.resolve_once("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DefaultPort);
        assert_eq!(run.asked.iter().filter(|it| it.starts_with("GET")).count(), 3);
    }

    #[test]
    fn a_body_that_is_too_large_does_not_matter_on_the_way() {
        let redirect =
            Response::builder().status(302).header("location", "/x").body(Body::TooLarge).unwrap();
        let world =
            with_m().fetched(URL, Ok(redirect)).page("https://a.example/x", 200, &[], delegation());
        assert_eq!(world.resolve("a.example", &lenient()).target().step(), Step::DelegatedPort);
    }
}

mod srv {
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
            let run = world.resolve("a.example", &lenient());
            let target = run.target();
            assert_eq!(target.step(), Step::DefaultPort);
            let degraded = Degraded::SrvLookupFailed(matrix_delegation::Service::MatrixFed);
            assert_eq!(target.degraded(), Some(degraded));
            assert_eq!(run.warnings(), ["srv_lookup_failed"]);
            assert!(target.lifetimes().least() <= Some(seconds(120)));
            for config in [strict(), synapse()] {
                let run = world.resolve("a.example", &config);
                assert_eq!(run.error().kind(), "dns_failed");
                assert_eq!(run.error().step(), Some(Step::Srv));
                assert!(run.error().is_temporary());
            }
        }
    }

    #[test]
    fn not_implemented_is_no_failure() {
        let world = a().none("SRV _matrix-fed._tcp.a.example", NoRecord::NotImplemented);
        assert_eq!(world.resolve("a.example", &strict()).target().step(), Step::DefaultPort);
    }

    #[test]
    fn a_failed_look_up_lets_the_deprecated_one_count() {
        let world = a()
            .host("m.example", &["192.0.2.2"])
            .fails("SRV _matrix-fed._tcp.a.example", DnsFailure::ServFail)
            .srv("_matrix._tcp.a.example", &[(0, 0, 443, "m.example.")]);
        let run = world.resolve("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DeprecatedSrv);
        assert_eq!(run.warnings(), ["srv_lookup_failed", "deprecated_srv"]);
    }

    #[test]
    fn a_lone_root_target_says_that_there_is_no_service() {
        for (service, step) in [("_matrix-fed", Step::Srv), ("_matrix", Step::DeprecatedSrv)] {
            let world = a().srv(&format!("{service}._tcp.a.example"), &[(0, 0, 0, ".")]);
            for config in [lenient(), strict(), synapse()] {
                let run = world.resolve("a.example", &config);
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
        let run = world.resolve("a.example", &lenient());
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
        let run = world.resolve("a.example", &lenient());
        assert_eq!(run.endpoints(), ["m.example:443@192.0.2.2"]);
        assert_eq!(run.warnings(), ["srv_record_dropped"]);
    }

    #[test]
    fn unusable_records_alone_are_an_error_that_lists_them() {
        let world = a().srv(
            "_matrix-fed._tcp.a.example",
            &[(0, 0, 443, "192.0.2.2."), (1, 0, 0, "m.example."), (2, 0, 443, "127.1.")],
        );
        let run = world.resolve("a.example", &lenient());
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
        let run = world.resolve("a.example", &lenient());
        assert_eq!(run.endpoints().len(), 2);
        assert_eq!(run.warnings(), ["srv_target_alias"]);
        assert_eq!(world.resolve("a.example", &synapse()).endpoints().len(), 2);
        let run = world.resolve("a.example", &strict());
        assert_eq!(run.endpoints(), ["m.example:443@192.0.2.2"]);
        assert_eq!(run.warnings(), ["srv_record_dropped"]);

        // Once the alias is gone the record counts again, so its lifetime counts.
        let brief =
            world.host_with_ttl("alias.example", &["192.0.2.3"], 60).aliased("alias.example");
        let run = brief.resolve_once("a.example", &strict());
        assert_eq!(whole(run.target().lifetimes().addresses), Some(60));

        let only = a()
            .host("alias.example", &["192.0.2.3"])
            .aliased("alias.example")
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "alias.example.")]);
        let run = only.resolve("a.example", &strict());
        let ResolveError::NoUsableEndpoint { evidence, .. } = run.error() else { panic!() };
        assert_eq!(evidence.dropped[0].reason, SrvDropReason::Alias);
    }

    #[test]
    fn an_alias_elsewhere_is_nobody_s_business() {
        let world = a().aliased("a.example");
        assert_eq!(world.resolve("a.example", &strict()).warnings(), [""; 0]);
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
        let run = world.resolve("a.example", &lenient());
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
        let run = world.resolve("a.example", &lenient());
        assert_eq!(run.endpoints(), ["m.example:443@192.0.2.2"]);
        assert_eq!(run.warnings(), ["srv_target_without_address"]);
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
        let run = world.resolve("a.example", &lenient());
        let mut first = 0;
        for seed in 0..1000 {
            let order: Vec<_> =
                run.target().attempts(seed).map(|it| it.host().to_string()).collect();
            assert_eq!(order.len(), 3);
            assert_eq!(order[2], "d.example");
            first += u32::from(order[0] == "c.example");
        }
        // c is first for 4 of the 5 values of the choice: 800 expected, deviation 13.
        assert!((730..870).contains(&first), "{first}");
        assert_eq!(run.target().attempts(1).len(), 3);
    }
}

mod addresses {
    use super::*;

    #[test]
    fn blocked_ones_are_dropped_alone() {
        let world = World::new().host("a.example", &["10.0.0.1", "192.0.2.1", "::1"]);
        let run = world.resolve("a.example", &lenient());
        assert_eq!(run.endpoints(), ["a.example:8448@192.0.2.1"]);
        assert_eq!(run.warnings(), ["address_blocked", "address_blocked"]);
    }

    #[test]
    fn of_many_blocked_ones_a_few_are_named() {
        let all: Vec<String> = (0..60).map(|n| format!("10.0.0.{n}")).collect();
        let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
        all.push("192.0.2.1");
        let run = World::new().host("a.example", &all).resolve("a.example", &lenient());
        assert_eq!(run.warnings(), ["address_blocked"; 4]);
    }

    #[test]
    fn only_blocked_ones_are_an_error_that_names_address_and_range() {
        let world = World::new().host("a.example", &["10.0.0.1"]);
        for name in ["a.example", "a.example:443"] {
            let run = world.resolve(name, &lenient());
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
            let run = World::new().resolve(name, &lenient());
            assert_eq!(run.error().kind(), "blocked_address", "{name}");
            assert_eq!(run.error().step(), Some(Step::IpLiteral));
        }
        let run = a().delegates("a.example", "127.0.0.1").resolve("a.example", &lenient());
        assert_eq!(run.error().step(), Some(Step::DelegatedIpLiteral));
    }

    #[test]
    fn no_fetch_goes_to_a_blocked_address() {
        let world = World::new()
            .host("a.example", &["127.0.0.1", "169.254.169.254"])
            .delegates("a.example", "192.0.2.3");
        let run = world.resolve("a.example", &lenient());
        assert_eq!(run.connected, [""; 0]);
        let failure = run.report.well_known.unwrap().result.unwrap().unwrap_err();
        assert!(matches!(failure, WellKnownFailure::Blocked { .. }));
    }

    #[test]
    fn none_at_all_is_an_error_with_what_dns_said() {
        let world = World::new()
            .none("A a.example", NoRecord::NxDomain)
            .fails("AAAA a.example", DnsFailure::ServFail);
        let run = world.resolve("a.example", &lenient());
        let ResolveError::NoAddresses { evidence, step, .. } = run.error() else {
            panic!("{:?}", run.error());
        };
        assert_eq!(*step, Step::DefaultPort);
        assert_eq!(evidence.hosts[0].families.len(), 2);
        let message = run.error().to_string();
        assert!(message.contains("NXDOMAIN") && message.contains("SERVFAIL"), "{message}");
        assert!(run.error().is_temporary());
        assert_eq!(world.resolve("a.example", &strict()).error().kind(), "dns_failed");
        assert!(!World::new().resolve("a.example", &lenient()).error().is_temporary());
    }

    #[test]
    fn one_family_failing_is_a_warning_and_asked_again_soon() {
        let world = a().fails("AAAA a.example", DnsFailure::ServFail);
        for config in [lenient(), strict()] {
            let run = world.resolve("a.example", &config);
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
        let run = World::new().host("a.example", &all).resolve("a.example", &lenient());
        let addresses: Vec<_> =
            run.target().endpoints()[0].addresses().map(|it| it.ip().to_string()).collect();
        assert_eq!(addresses.len(), 16);
        assert_eq!(addresses[..3], ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
    }

    #[test]
    fn families_are_as_configured() {
        let world = World::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
        for (families, addresses, questions) in [
            (AddressFamilies::Both, "192.0.2.1,2001:db8::1", 2),
            (AddressFamilies::V4, "192.0.2.1", 1),
            (AddressFamilies::V6, "2001:db8::1", 1),
            (AddressFamilies::Leave, "", 0),
        ] {
            let run = world.resolve_once("a.example:443", &lenient().with_addresses(families));
            assert_eq!(run.endpoints(), [format!("a.example:443@{addresses}")]);
            assert_eq!(run.asked.len(), questions);
            assert_eq!(run.target().is_left_to_proxy(), families == AddressFamilies::Leave);
        }
    }

    #[test]
    fn left_to_a_proxy_only_literals_are_judged() {
        let config = lenient().with_addresses(AddressFamilies::Leave);
        let world = World::new().delegates("a.example", "m.example:443");
        let run = world.resolve("a.example", &config);
        assert_eq!(run.target().step(), Step::DelegatedPort);
        assert_eq!(run.connected, [""; 0]);
        let run = World::new().delegates("a.example", "127.0.0.1").resolve("a.example", &config);
        assert_eq!(run.error().kind(), "blocked_address");
    }

    #[test]
    fn onion_names_are_never_asked_of_dns() {
        let run = World::new().resolve("abc.onion", &lenient());
        assert_eq!(run.asked, [""; 0]);
        assert_eq!(run.error().kind(), "no_addresses");
        assert!(run.error().to_string().contains("RFC 7686"), "{}", run.error());
        let world = World::new().delegates("abc.onion", "def.onion:443");
        let run =
            world.resolve_once("abc.onion", &lenient().with_addresses(AddressFamilies::Leave));
        assert_eq!(run.target().step(), Step::DelegatedPort);
        assert!(run.asked.iter().all(|it| it.starts_with("GET")), "{:?}", run.asked);
    }

    #[test]
    fn names_without_a_host_are_not_asked_for() {
        for name in ["127.1", "1.2.3.256", "a..b", "a.example.", "-a.example:443"] {
            let run = World::new().resolve(name, &lenient());
            assert_eq!(run.error().kind(), "unresolvable_name", "{name}");
            assert_eq!(run.asked, [""; 0]);
        }
    }
}

mod time {
    use super::*;

    #[test]
    fn the_fetch_waits_fifty_milliseconds_for_the_other_family() {
        let world = World::new()
            .host("a.example", &["192.0.2.1", "2001:db8::1"])
            .delegates("a.example", "192.0.2.3");
        for (delay, addresses) in [(59, 2), (61, 1)] {
            let run = world
                .clone()
                .after("AAAA a.example", millis(delay))
                .resolve_once("a.example", &lenient());
            assert_eq!(run.connected.len(), addresses, "{delay}");
            let hop = &run.report.well_known.unwrap().hops[0];
            assert_eq!(hop.asked, Some(millis(delay.min(60))));
        }
    }

    #[test]
    fn the_answer_waits_a_quarter_of_a_second_for_the_other_family() {
        let world = World::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
        for (delay, endpoint, took, warnings) in [
            (259, "a.example:443@192.0.2.1,2001:db8::1", 259, 0),
            (261, "a.example:443@192.0.2.1", 260, 1),
        ] {
            let run = world
                .clone()
                .after("AAAA a.example", millis(delay))
                .resolve_once("a.example:443", &lenient());
            assert_eq!(run.endpoints(), [endpoint]);
            assert_eq!(run.took, millis(took));
            assert_eq!(run.warnings().len(), warnings);
            if warnings == 1 {
                assert_eq!(run.warnings(), ["address_family_late"]);
                assert_eq!(run.target().lifetimes().addresses, Some(seconds(120)));
            }
        }
    }

    #[test]
    fn a_family_without_addresses_does_not_start_the_clock() {
        let world =
            World::new().host("a.example", &["2001:db8::1"]).after("AAAA a.example", millis(900));
        let run = world.resolve_once("a.example:443", &lenient());
        assert_eq!(run.endpoints(), ["a.example:443@2001:db8::1"]);
        assert_eq!(run.took, millis(900));
    }

    #[test]
    fn other_targets_have_a_second_after_the_first() {
        let world = a()
            .host("b.example", &["192.0.2.2"])
            .host("c.example", &["192.0.2.3"])
            .srv(
                "_matrix-fed._tcp.a.example",
                &[(0, 0, 443, "b.example."), (1, 0, 443, "c.example.")],
            )
            .never("A c.example");
        let run = world.resolve_once("a.example", &lenient());
        assert_eq!(run.endpoints(), ["b.example:443@192.0.2.2"]);
        assert_eq!(run.warnings(), ["srv_target_late"]);
        assert_eq!(run.target().lifetimes().addresses, Some(seconds(120)));
        assert_eq!(run.took, millis(1020));
    }

    #[test]
    fn other_targets_have_their_second_from_when_they_were_asked() {
        for first in ["b.example", "a.example"] {
            for speculation in [Speculation::Full, Speculation::Off] {
                let world = a()
                    .host("b.example", &["192.0.2.2"])
                    .host("c.example", &["192.0.2.3"])
                    .srv(
                        "_matrix-fed._tcp.a.example",
                        &[(0, 0, 443, first), (1, 0, 443, "c.example.")],
                    )
                    .page(URL, 404, &[], "")
                    .after(GET, seconds(4));
                let run = world.resolve_once("a.example", &lenient().with_speculation(speculation));
                assert_eq!(run.endpoints().len(), 2, "{speculation:?} {first}\n{}", run.report);
                assert_eq!(run.warnings(), [""; 0]);
            }
        }
    }

    #[test]
    fn an_answer_after_its_limit_does_not_count_whether_anybody_looked_or_not() {
        let late = a()
            .host("b.example", &["192.0.2.2"])
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "b.example.")])
            .after("SRV _matrix-fed._tcp.a.example", seconds(7))
            .page(URL, 404, &[], "")
            .after(GET, seconds(10));
        for speculation in [Speculation::Full, Speculation::Off] {
            let run = late.resolve_once("a.example", &lenient().with_speculation(speculation));
            assert_eq!(run.target().step(), Step::DefaultPort, "{speculation:?}");
            assert!(run.target().degraded().is_some());
        }
    }

    #[test]
    fn what_comes_after_the_end_does_not_change_the_report() {
        let mut machine =
            Discovery::new("a.example:1".parse().unwrap(), Arc::new(lenient()), Now::EPOCH, 0);
        let mut late = None;
        while let Output::Ask(Question::Dns { token, question }) = machine.poll_output(Now::EPOCH) {
            if question.record_type() == "A" {
                machine.handle_dns(token, a().dns_answer(&question.to_string()), Now::EPOCH);
            } else {
                late = Some(token);
            }
        }
        let end = Now::EPOCH + seconds(1);
        assert!(matches!(machine.poll_output(end), Output::Done(Ok(_))));
        let report = machine.report();
        machine.handle_dns(late.unwrap(), DnsAnswer::Failed(DnsFailure::ServFail), end);
        assert_eq!(machine.report(), report);
    }

    #[test]
    fn a_silent_dns_question_times_out_after_five_seconds() {
        let world = a().never("SRV _matrix-fed._tcp.a.example");
        let run = world.resolve_once("a.example", &lenient());
        assert_eq!(run.took, millis(5_250));
        assert!(matches!(
            &run.target().warnings()[0],
            Warning::SrvLookupFailed { failure: DnsFailure::Timeout, .. }
        ));
    }

    #[test]
    fn everything_silent_ends_within_the_limit() {
        let world = World::new()
            .never("A a.example")
            .never("AAAA a.example")
            .never("SRV _matrix-fed._tcp.a.example")
            .never("SRV _matrix._tcp.a.example");
        for speculation in [Speculation::Full, Speculation::Off] {
            let run = world.resolve_once("a.example", &lenient().with_speculation(speculation));
            assert!(run.took <= seconds(30), "{:?}", run.took);
            assert_eq!(run.error().kind(), "no_addresses");
        }
    }

    #[test]
    fn the_deadline_names_what_was_waited_for() {
        let mut time = TimeLimits::default();
        time.discovery = seconds(2);
        let run = a().never(GET).resolve_once("a.example", &lenient().with_time(time));
        let ResolveError::DeadlineExceeded { waiting_for, limit, .. } = run.error() else {
            panic!("{:?}", run.error());
        };
        assert_eq!(*limit, seconds(2));
        assert_eq!(waiting_for, &[format!("GET {URL}")]);
    }

    #[test]
    fn the_cold_path_is_as_long_as_its_longest_chain() {
        // Every answer takes 10 ms, so this counts rounds.
        let srv = a()
            .host("b.example", &["192.0.2.2"])
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "b.example.")]);
        let delegated_srv = a()
            .delegates("a.example", "m.example")
            .host("b.example", &["192.0.2.2"])
            .srv("_matrix-fed._tcp.m.example", &[(0, 0, 443, "b.example.")]);
        for (world, full, off) in [
            (a(), 2, 4),
            (srv, 2, 4),
            (with_m().delegates("a.example", "192.0.2.3"), 2, 2),
            (with_m().delegates("a.example", "m.example:443"), 3, 3),
            (with_m().delegates("a.example", "m.example"), 3, 5),
            (delegated_srv, 4, 4),
        ] {
            for (speculation, rounds) in [(Speculation::Full, full), (Speculation::Off, off)] {
                let config = lenient().with_speculation(speculation);
                let run = world.resolve_once("a.example", &config);
                assert_eq!(run.took, millis(10 * rounds), "{speculation:?}\n{}", run.report);
            }
        }
    }
}

mod questions {
    use super::*;

    /// The table in the documentation of `Speculation`.
    #[test]
    fn are_counted_as_documented() {
        let records = &[(0, 0, 443, "b.example."), (1, 0, 443, "c.example.")];
        let base = || with_m().host("b.example", &["192.0.2.2"]).host("c.example", &["192.0.2.3"]);
        let n = 2;
        for (name, world, full, off) in [
            ("192.0.2.1", base(), 0, 0),
            ("a.example:1", base(), 2, 2),
            ("a.example", base().delegates("a.example", "192.0.2.3"), 5, 3),
            ("a.example", base().delegates("a.example", "m.example:1"), 7, 5),
            (
                "a.example",
                base()
                    .delegates("a.example", "m.example")
                    .srv("_matrix-fed._tcp.m.example", records),
                9 + 2 * n,
                4 + 2 * n,
            ),
            (
                "a.example",
                base().delegates("a.example", "m.example").srv("_matrix._tcp.m.example", records),
                9 + 2 * n,
                5 + 2 * n,
            ),
            ("a.example", base().delegates("a.example", "m.example"), 9, 7),
            ("a.example", base().srv("_matrix-fed._tcp.a.example", records), 5 + 2 * n, 4 + 2 * n),
            ("a.example", base().srv("_matrix._tcp.a.example", records), 5 + 2 * n, 5 + 2 * n),
            ("a.example", base(), 5, 5),
        ] {
            for (speculation, count) in [(Speculation::Full, full), (Speculation::Off, off)] {
                let run = world.resolve_once(name, &lenient().with_speculation(speculation));
                let step = run.target().step();
                assert_eq!(run.asked.len(), count, "step {step}, {speculation:?}: {:?}", run.asked);
            }
        }
    }

    /// What was not needed the last time is not asked early; what comes out is the same.
    #[test]
    fn are_fewer_where_the_last_step_is_known() {
        let records = &[(0, 0, 443, "b.example.")];
        let base = || with_m().host("b.example", &["192.0.2.2"]);
        let delegated = || base().delegates("a.example", "m.example");
        for (world, cold, warm) in [
            (delegated().srv("_matrix-fed._tcp.m.example", records), 11, 6),
            (delegated().srv("_matrix._tcp.m.example", records), 11, 7),
            (delegated(), 9, 7),
            (base().srv("_matrix-fed._tcp.a.example", records), 7, 6),
            (base().srv("_matrix._tcp.a.example", records), 7, 7),
            (base(), 5, 5),
        ] {
            let first = world.resolve_once("a.example", &lenient());
            let step = first.target().step();
            assert_eq!(first.asked.len(), cold, "{step}: {:?}", first.asked);
            let mut again = world.clone();
            again.last_step = Some(step);
            let second = again.resolve_once("a.example", &lenient());
            assert_eq!(second.asked.len(), warm, "{step}: {:?}", second.asked);
            for other in Step::ALL {
                again.last_step = Some(other);
                let other = again.resolve("a.example", &lenient());
                assert_eq!(other.endpoints(), first.endpoints());
                assert_eq!(other.target().step(), step);
            }
        }
    }

    #[test]
    fn none_is_asked_twice() {
        let world = with_m()
            .delegates("a.example", "a.example")
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 1, "a.example."), (0, 0, 2, "a.example.")]);
        let run = world.resolve_once("a.example", &lenient());
        let mut asked = run.asked.clone();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), run.asked.len());
    }

    #[test]
    fn late_second_and_unknown_answers_do_nothing() {
        let config = Arc::new(lenient());
        let world = a();
        let mut machine = Discovery::new("a.example:443".parse().unwrap(), config, Now::EPOCH, 0);
        let mut tokens = Vec::new();
        let target = loop {
            match machine.poll_output(Now::EPOCH) {
                Output::Ask(Question::Dns { token, question }) => {
                    let answer = world.dns_answer(&question.to_string());
                    machine.handle_dns(token, answer, Now::EPOCH);
                    let other = DnsAnswer::Found {
                        records: Records::Addresses(vec!["192.0.2.66".parse().unwrap()]),
                        ttl: seconds(1),
                        alias: true,
                    };
                    machine.handle_dns(token, other, Now::EPOCH);
                    tokens.push(token);
                }
                Output::Done(outcome) => break outcome.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(support::endpoints(&target), ["a.example:443@192.0.2.1"]);
        machine.handle_dns(tokens[0], DnsAnswer::Failed(DnsFailure::ServFail), Now::EPOCH);
        let Output::Done(again) = machine.poll_output(Now::EPOCH + seconds(99)) else { panic!() };
        assert!(Arc::ptr_eq(&again.unwrap(), &target));
    }

    #[test]
    fn time_that_runs_backwards_stands_still() {
        let later = Now::EPOCH + seconds(100);
        let mut machine =
            Discovery::new("a.example:443".parse().unwrap(), Arc::new(lenient()), later, 0);
        for _ in 0..2 {
            assert!(matches!(machine.poll_output(later), Output::Ask(_)));
        }
        let Output::Wait(Some(wake)) = machine.poll_output(Now::EPOCH) else { panic!() };
        assert_eq!(wake, later.monotonic + millis(5_250));
    }
}

mod reports {
    use super::*;

    fn outcome(run: &support::Run, step: Step) -> &StepOutcome {
        &run.report.steps.iter().find(|it| it.step == step).unwrap().outcome
    }

    #[test]
    fn say_of_every_step_what_became_of_it() {
        let run = with_m()
            .delegates("a.example", "m.example")
            .fails("SRV _matrix-fed._tcp.m.example", DnsFailure::Refused)
            .resolve("a.example", &lenient());
        let skipped = |reason| StepOutcome::Skipped(reason);
        for (step, expected) in [
            (Step::IpLiteral, skipped(SkipReason::NotAnIpLiteral)),
            (Step::ExplicitPort, skipped(SkipReason::NoPort)),
            (Step::DelegatedIpLiteral, skipped(SkipReason::NotAnIpLiteral)),
            (Step::DelegatedPort, skipped(SkipReason::NoPort)),
            (Step::DelegatedSrv, StepOutcome::SrvLookupFailed(DnsFailure::Refused)),
            (Step::DelegatedDeprecatedSrv, StepOutcome::NoSrvRecord(NoRecord::NxDomain)),
            (Step::DelegatedDefaultPort, StepOutcome::Decided),
            (Step::Srv, skipped(SkipReason::Delegated)),
            (Step::DeprecatedSrv, skipped(SkipReason::Delegated)),
            (Step::DefaultPort, skipped(SkipReason::Delegated)),
        ] {
            assert_eq!(outcome(&run, step), &expected, "{step}");
        }
    }

    #[test]
    fn never_say_no_srv_record_of_one_that_was_not_looked_up() {
        for (name, world) in [
            ("192.0.2.1", World::new()),
            ("a.example:443", a()),
            ("a.example", a().delegates("a.example", "192.0.2.3")),
            ("a.example", with_m().delegates("a.example", "m.example:1")),
            ("a..example", a()),
            ("a.onion", a()),
        ] {
            let run = world.resolve(name, &lenient());
            let claims = |it: &StepReport| matches!(it.outcome, StepOutcome::NoSrvRecord(_));
            assert!(!run.report.steps.iter().any(claims), "{name}");
        }
    }

    #[test]
    fn keep_every_question_hop_and_time() {
        let run = with_m()
            .page(URL, 302, &[("location", "/x")], "")
            .page("https://a.example/x", 200, &[], delegation())
            .resolve_once("a.example", &lenient());
        assert_eq!(run.report.took, Some(millis(40)));
        assert_eq!(run.report.dns.len(), 6);
        assert_eq!(run.report.dns[0].answered, Some(millis(10)));
        let well_known = run.report.well_known.as_ref().unwrap();
        assert_eq!(well_known.hops.len(), 2);
        assert_eq!(well_known.hops[1].asked, Some(millis(20)));
        assert_eq!(well_known.hops[1].addresses[0].to_string(), "192.0.2.1:443");
        let text = run.report.to_string();
        for part in
            ["3.2", "decided", "skipped", "GET https://a.example/x", "delegates to m.example"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn keep_the_warnings_of_a_failed_discovery() {
        let run = World::new()
            .host("a.example", &["192.0.2.1"])
            .page(URL, 403, &[], "")
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 0, "x.example."), (0, 0, 1, "b.example.")])
            .resolve("a.example", &lenient());
        let kinds: Vec<_> = run.report.warnings.iter().map(Warning::kind).collect();
        assert_eq!(
            kinds,
            ["well_known_unusable", "srv_record_dropped", "srv_target_without_address"]
        );
        assert_eq!(run.error().kind(), "no_addresses");
    }

    #[test]
    fn say_while_it_runs_what_is_not_reached_yet() {
        let mut machine =
            Discovery::new("a.example".parse().unwrap(), Arc::new(lenient()), Now::EPOCH, 0);
        while let Output::Ask(_) = machine.poll_output(Now::EPOCH) {}
        let report = machine.report();
        assert_eq!(report.took, None);
        let last = &report.steps.last().unwrap().outcome;
        assert_eq!(last, &StepOutcome::Skipped(SkipReason::NotYet));
    }

    #[test]
    fn keep_the_error() {
        let run = World::new().resolve("a.example", &lenient());
        assert_eq!(run.report.error.as_ref(), Some(run.error()));
        assert!(run.report.to_string().contains("error:"));
    }
}

/// The same target for every order in which in-time answers can come, and for both speculations.
#[test]
fn the_order_of_answers_changes_nothing() {
    let world = a()
        .host("m.example", &["192.0.2.2", "2001:db8::2"])
        .host("b.example", &["192.0.2.5"])
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 1, "m.example.")])
        .srv("_matrix-fed._tcp.m.example", &[(0, 0, 1, "b.example."), (1, 0, 2, "m.example.")]);
    let expected = world.resolve("a.example", &lenient()).endpoints();
    let questions = [
        "A a.example",
        "AAAA a.example",
        "SRV _matrix-fed._tcp.a.example",
        "SRV _matrix._tcp.a.example",
        "SRV _matrix-fed._tcp.m.example",
        "SRV _matrix._tcp.m.example",
        "A m.example",
        "AAAA m.example",
        "A b.example",
    ];
    let mut state = 1_u64;
    for round in 0..500 {
        let mut world = world.clone();
        for question in questions.iter().copied().chain([GET]) {
            // Any delay within every grace: Knuth's MMIX generator, upper bits.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            world = world.after(question, millis((state >> 33) % 40 + 1));
        }
        assert_eq!(world.resolve("a.example", &lenient()).endpoints(), expected, "{round}");
    }
}
