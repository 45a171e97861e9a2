//! What reports say.

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

/// An alias may lead into `.onion`: that was asked all the same.
#[test]
fn tell_a_question_that_was_asked_from_one_that_was_not() {
    let world = a().none("SRV _matrix-fed._tcp.a.example", NoRecord::Onion);
    let run = world.resolve_once("a.example", &lenient());
    assert_eq!(outcome(&run, Step::Srv), &StepOutcome::NoSrvRecord(NoRecord::Onion));
    assert_eq!(run.report.dns.len(), run.asked.iter().filter(|it| !it.starts_with("GET")).count());
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
    for part in ["3.2", "decided", "skipped", "GET https://a.example/x", "delegates to m.example"] {
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
    let last = &report.steps.last().unwrap().outcome;
    assert_eq!(last, &StepOutcome::Skipped(SkipReason::NotYet));
}

#[test]
fn keep_the_error() {
    let run = World::new().resolve("a.example", &lenient());
    assert_eq!(run.report.error.as_ref(), Some(run.error()));
    assert!(run.report.to_string().contains("error:"));
}
