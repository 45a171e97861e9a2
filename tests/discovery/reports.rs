//! What reports say.

use matrix_delegation::Report;
use matrix_delegation::report::Source;

use super::*;

const MATRIX: &str = r#"{"m.server":"m.example"}"#;

fn outcome(run: &Run, step: Step) -> &StepOutcome {
    &run.report.steps.iter().find(|it| it.step == step).unwrap().outcome
}

/// With headers or a body that show it; the result is the failure that it would be otherwise.
#[test]
fn say_who_answered_in_the_server_s_place() {
    use matrix_delegation::well_known::Responder;
    for (status, headers, body, expected, words) in [
        (
            403,
            &[("cf-mitigated", "challenge")][..],
            "",
            Some(Responder::Challenge { evidence: "cf-mitigated: challenge".to_owned() }),
            ": 403, from a challenge for browsers (\"cf-mitigated: challenge\")",
        ),
        (
            200,
            &[],
            r#"{"m.homeserver":{"base_url":"https://m.example"}}"#,
            Some(Responder::ClientDocument),
            ": 200, from the server, with the document for clients in the wrong place",
        ),
        (200, &[], MATRIX, None, "/server at 192.0.2.1:443: 200\n"),
        (403, &[], "{}", None, "/server at 192.0.2.1:443: 403\n"),
    ] {
        let report =
            with_m().page(URL, status, headers, body).resolve_once("a.example", &lenient());
        let report = report.report;
        let hop = &report.well_known.as_ref().unwrap().hops[0];
        assert_eq!(hop.responder, expected, "{status} {body}");
        assert!(report.to_string().contains(words), "{report}");
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}

#[test]
fn say_of_every_step_what_became_of_it() {
    let run = with_m()
        .delegates("a.example", "m.example")
        .fails("SRV _matrix-fed._tcp.m.example", DnsFailure::Refused)
        .resolve_every_way("a.example", &lenient());
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

/// A letter for each of the ten steps.
fn letters(report: &Report) -> String {
    let letter = |it: &StepReport| match &it.outcome {
        StepOutcome::Decided => '+',
        StepOutcome::NoSrvRecord(_) => '-',
        StepOutcome::SrvLookupFailed(_) => '?',
        StepOutcome::Skipped(SkipReason::NotAnIpLiteral) => 'i',
        StepOutcome::Skipped(SkipReason::NoPort) => 'p',
        StepOutcome::Skipped(SkipReason::NoWellKnown) => 'w',
        StepOutcome::Skipped(SkipReason::Delegated) => 'd',
        StepOutcome::Skipped(SkipReason::DecidedEarlier) => 'e',
        StepOutcome::Skipped(SkipReason::Onion) => 'o',
        StepOutcome::Skipped(SkipReason::Ended) => 'x',
        StepOutcome::Skipped(SkipReason::NotYet) => '.',
        other => panic!("{other}"),
    };
    report.steps.iter().map(letter).collect()
}

#[test]
fn say_why_each_step_was_not_reached() {
    let record = &[(0, 0, 443, "m.example.")];
    let to = |server| with_m().delegates("a.example", server);
    for (name, world, expected) in [
        ("192.0.2.1", Internet::new(), "+eeeeeeeee"),
        ("a.example:1", a(), "i+eeeeeeee"),
        ("a.example", to("192.0.2.3"), "ip+eeeeddd"),
        ("a.example", to("m.example:1"), "ipi+eeeddd"),
        ("a.example", to("m.example").srv("_matrix-fed._tcp.m.example", record), "ipip+eeddd"),
        ("a.example", to("m.example").srv("_matrix._tcp.m.example", record), "ipip-+eddd"),
        ("a.example", to("m.example"), "ipip--+ddd"),
        ("a.example", with_m().srv("_matrix-fed._tcp.a.example", record), "ipwwwww+ee"),
        ("a.example", with_m().srv("_matrix._tcp.a.example", record), "ipwwwww-+e"),
        ("a.example", a(), "ipwwwww--+"),
        ("a.example", a().fails("SRV _matrix._tcp.a.example", DnsFailure::Refused), "ipwwwww-?+"),
        ("a.onion", Internet::new(), "ipwwwwwoo+"),
        // Nothing decides about a name that is no host.
        ("a..example", Internet::new(), "ipxxxxxxxx"),
        ("a..example:1", Internet::new(), "ixxxxxxxxx"),
    ] {
        let run = world.resolve_every_way(name, &lenient());
        assert_eq!(letters(&run.report), expected, "{name}\n{}", run.report);
    }
}

/// An alias may lead into `.onion`: that was asked all the same.
#[test]
fn tell_a_question_that_was_asked_from_one_that_was_not() {
    let world = a().none("SRV _matrix-fed._tcp.a.example", NoRecord::Onion);
    let run = world.resolve_once("a.example", &lenient());
    assert_eq!(outcome(&run, Step::Srv), &StepOutcome::NoSrvRecord(NoRecord::Onion));
    assert_eq!(
        run.report.dns.len(),
        run.questions().iter().filter(|it| !it.starts_with("GET")).count()
    );
}

#[test]
fn never_say_no_srv_record_of_one_that_was_not_looked_up() {
    for (name, world) in [
        ("192.0.2.1", Internet::new()),
        ("a.example:443", a()),
        ("a.example", a().delegates("a.example", "192.0.2.3")),
        ("a.example", with_m().delegates("a.example", "m.example:1")),
        ("a..example", a()),
        ("a.onion", a()),
    ] {
        let run = world.resolve_every_way(name, &lenient());
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
    for part in ["3.2", "decided", "skipped", "GET https://a.example/x", "delegates to m.example"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn keep_the_warnings_of_a_failed_discovery() {
    let run = Internet::new()
        .host("a.example", &["192.0.2.1"])
        .page(URL, 403, &[], "")
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 0, "x.example."), (0, 0, 1, "b.example.")])
        .resolve_every_way("a.example", &lenient());
    let kinds: Vec<_> = run.report.warnings.iter().map(Warning::kind).collect();
    assert_eq!(kinds, ["well_known_unusable", "srv_record_dropped", "srv_target_without_address"]);
    assert_eq!(run.error().kind(), "no_addresses");
}

#[test]
fn say_while_it_runs_what_is_not_reached_yet() {
    let mut machine =
        Discovery::new("a.example".parse().unwrap(), Arc::new(lenient()), Now::EPOCH, 0);
    while let Output::Ask(_) = machine.poll_output(Now::EPOCH) {}
    let report = machine.report();
    assert_eq!(report.took, None);
    assert_eq!(letters(&report), "ip........");
}

#[test]
fn keep_the_error() {
    let run = Internet::new().resolve_every_way("a.example", &lenient());
    assert_eq!(run.report.error.as_ref(), Some(run.error()));
    assert!(run.report.to_string().contains("error:"));
}

/// What is printed below the steps.
fn printed(report: &Report) -> Vec<String> {
    report.to_string().lines().skip(12).map(ToOwned::to_owned).collect()
}

#[test]
fn print_the_steps_and_what_was_asked_and_noticed() {
    let world = Internet::new()
        .host("a.example", &["192.0.2.1", "2001:db8::1"])
        .page(URL, 302, &[("location", "https://w.example/x")], "")
        .host("w.example", &["192.0.2.2"])
        .page("https://w.example/x", 200, &[("cache-control", "max-age=600")], MATRIX)
        .fails("SRV _matrix-fed._tcp.m.example", DnsFailure::Refused)
        .srv("_matrix._tcp.m.example", &[(1, 5, 443, "b.example."), (2, 0, 444, "c.example.")])
        .host("b.example", &["192.0.2.3"])
        .aliased("b.example")
        .never("AAAA b.example")
        .host("c.example", &["192.0.2.4", "192.0.2.5"]);
    let config = lenient().with_speculation(Speculation::Off);
    let mut report = world.resolve_once("a.example", &config).report;
    report.dns[0].source = Source::Memory { age: seconds(7) };
    let steps = [
        "a.example",
        "  steps",
        "    1   skipped: not an IP literal",
        "    2   skipped: the name has no port",
        "    3.1 skipped: not an IP literal",
        "    3.2 skipped: the name has no port",
        "    3.3 passed: the DNS server refused (REFUSED)",
        "    3.4 decided",
        "    3.5 skipped: an earlier step decided",
        "    4   skipped: the well-known document delegates",
        "    5   skipped: the well-known document delegates",
        "    6   skipped: the well-known document delegates",
    ];
    assert!(report.to_string().lines().take(12).eq(steps), "{report}");
    assert_eq!(
        printed(&report),
        [
            "  asked of DNS (asked, answered)",
            "        0 ms    10 ms  A a.example: 192.0.2.1; TTL 300 s (remembered for 7 s)",
            "        0 ms    10 ms  AAAA a.example: 2001:db8::1; TTL 300 s",
            "       20 ms    30 ms  A w.example: 192.0.2.2; TTL 300 s",
            "       20 ms    30 ms  AAAA w.example: no such record (NODATA); TTL 900 s",
            "       40 ms    50 ms  SRV _matrix-fed._tcp.m.example: \
             the DNS server refused (REFUSED)",
            "       50 ms    60 ms  SRV _matrix._tcp.m.example: \
             1 5 443 b.example., 2 0 444 c.example.; TTL 600 s",
            "       60 ms    70 ms  A b.example: 192.0.2.3; TTL 300 s, through an alias",
            "       60 ms           AAAA b.example: not waited for",
            "       60 ms    70 ms  A c.example: 192.0.2.4, 192.0.2.5; TTL 300 s",
            "       60 ms    70 ms  AAAA c.example: no such record (NODATA); TTL 900 s",
            "  well-known of a.example",
            "       10 ms    20 ms  GET https://a.example/.well-known/matrix/server \
             at 192.0.2.1:443, [2001:db8::1]:443: 302",
            "       30 ms    40 ms  GET https://w.example/x at 192.0.2.2:443: 200",
            "    delegates to m.example; holds for 600 s",
            "  warning: looking up SRV _matrix-fed._tcp.m.example failed: \
             the DNS server refused (REFUSED)",
            "  warning: found by _matrix._tcp.m.example, which is deprecated: \
             use a well-known document or _matrix-fed._tcp",
            "  warning: the IPv6 addresses of b.example did not come in time",
            "  warning: the SRV target b.example is an alias (CNAME), which RFC 2782 forbids",
        ]
    );
}

#[test]
fn print_what_failed_and_why() {
    let failed = |detail: &str| DnsAnswer::Failed {
        failure: DnsFailure::ServFail,
        detail: detail.to_owned(),
    };
    let no_soa = DnsAnswer::None { kind: NoRecord::NoData, ttl: None };
    let world = Internet::new()
        .dns("A a.example", failed("by 192.0.2.53"))
        .none("AAAA a.example", NoRecord::NoData)
        .dns("SRV _matrix-fed._tcp.a.example", no_soa);
    let mut config = lenient().with_speculation(Speculation::Off);
    config.well_known.jitter_percent = 0;
    assert_eq!(
        printed(&world.resolve_once("a.example", &config).report),
        [
            "  asked of DNS (asked, answered)",
            "        0 ms    10 ms  A a.example: the DNS server failed (SERVFAIL): by 192.0.2.53",
            "        0 ms    10 ms  AAAA a.example: no such record (NODATA); TTL 900 s",
            "       10 ms    20 ms  SRV _matrix-fed._tcp.a.example: no such record (NODATA)",
            "       20 ms    30 ms  SRV _matrix._tcp.a.example: no such name (NXDOMAIN); TTL 900 s",
            "  well-known of a.example",
            "                       GET https://a.example/.well-known/matrix/server: not fetched",
            "    no valid document: looking up a.example failed: \
             the DNS server failed (SERVFAIL); holds for 120 s",
            "  warning: the well-known document of a.example is of no use: \
             looking up a.example failed: the DNS server failed (SERVFAIL)",
            "  error: no address is known for a.example (step 6): a.example \
             (A: the DNS server failed (SERVFAIL), AAAA: no such record (NODATA); by 192.0.2.53)",
        ]
    );
    // Without DNS there is nothing to say of it.
    assert_eq!(
        printed(&Internet::new().resolve_once("127.0.0.1", &lenient()).report),
        ["  error: 127.0.0.1 leads to 127.0.0.1, which may not be connected to (step 1): \
             127.0.0.0/8 (Loopback, RFC 1122 section 3.2.1.3); if it is meant to be reached, \
             allow the range (`discovery.address_policy.allow`, `--allow`)",]
    );
}

#[test]
fn print_what_is_under_way() {
    let config = lenient().with_addresses(AddressFamilies::V4).with_speculation(Speculation::Off);
    let mut machine = Discovery::new("a.example".parse().unwrap(), Arc::new(config), Now::EPOCH, 0);
    let Output::Ask(Question::Dns { token, .. }) = machine.poll_output(Now::EPOCH) else {
        panic!()
    };
    machine.handle(token.answer(a().dns_answer_to("A a.example")), Now::EPOCH + millis(1));
    assert!(matches!(machine.poll_output(Now::EPOCH + millis(1)), Output::Ask(_)));
    assert_eq!(
        printed(&machine.report()),
        [
            "  asked of DNS (asked, answered)",
            "        0 ms     1 ms  A a.example: 192.0.2.1; TTL 300 s",
            "  well-known of a.example",
            "        1 ms           GET https://a.example/.well-known/matrix/server \
             at 192.0.2.1:443: not waited for",
            "    not waited for",
        ]
    );
}

#[test]
fn print_each_kind_of_outcome() {
    let skipped = StepOutcome::Skipped;
    for (outcome, text) in [
        (StepOutcome::Decided, "decided"),
        (
            StepOutcome::NoSrvRecord(NoRecord::NoData),
            "passed: no SRV record: no such record (NODATA)",
        ),
        (StepOutcome::SrvLookupFailed(DnsFailure::Timeout), "passed: no DNS answer in time"),
        (skipped(SkipReason::NoWellKnown), "skipped: there is no valid well-known document"),
        (skipped(SkipReason::OtherDelegation), "skipped: the delegated name is of another kind"),
        (skipped(SkipReason::Onion), "skipped: .onion names are not in DNS (RFC 7686)"),
        (skipped(SkipReason::Ended), "skipped: the resolution ended before"),
        (skipped(SkipReason::NotYet), "skipped: not reached yet"),
    ] {
        assert_eq!(outcome.to_string(), text);
    }
}
