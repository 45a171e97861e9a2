//! Graces, limits and round trips.

use std::time::Duration;

use super::*;

#[test]
fn the_fetch_waits_fifty_milliseconds_for_the_other_family() {
    let world = Internet::new()
        .host("a.example", &["192.0.2.1", "2001:db8::1"])
        .delegates("a.example", "192.0.2.3");
    for (delay, addresses) in [(59, 2), (61, 1)] {
        let run = world
            .clone()
            .after("AAAA a.example", millis(delay))
            .resolve_once("a.example", &lenient());
        assert_eq!(run.connected().len(), addresses, "{delay}");
        let hop = &run.report.well_known.unwrap().hops[0];
        assert_eq!(hop.asked, Some(millis(delay.min(60))));
    }
}

#[test]
fn the_answer_waits_a_quarter_of_a_second_for_the_other_family() {
    let world = Internet::new().host("a.example", &["192.0.2.1", "2001:db8::1"]);
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
        Internet::new().host("a.example", &["2001:db8::1"]).after("AAAA a.example", millis(900));
    let run = world.resolve_once("a.example:443", &lenient());
    assert_eq!(run.endpoints(), ["a.example:443@2001:db8::1"]);
    assert_eq!(run.took, millis(900));
}

#[test]
fn other_targets_have_a_second_after_the_first() {
    let world = a()
        .host("b.example", &["192.0.2.2"])
        .host("c.example", &["192.0.2.3"])
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "b.example."), (1, 0, 443, "c.example.")])
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
                .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, first), (1, 0, 443, "c.example.")])
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
            machine.handle(token.answer(a().dns_answer(&question)), Now::EPOCH);
        } else {
            late = Some(token);
        }
    }
    let end = Now::EPOCH + seconds(1);
    assert!(matches!(machine.poll_output(end), Output::Done(Ok(_))));
    let report = machine.report();
    machine.handle(late.unwrap().answer(DnsAnswer::failed(DnsFailure::ServFail)), end);
    assert_eq!(machine.report(), report);
}

#[test]
fn a_silent_dns_question_times_out_after_five_seconds() {
    let world = a().never("SRV _matrix-fed._tcp.a.example");
    let run = world.resolve_once("a.example", &lenient());
    assert_eq!(run.took, millis(5_250));
    assert!(matches!(
        run.target().warnings().next().unwrap(),
        Warning::SrvLookupFailed { failure: DnsFailure::Timeout, .. }
    ));
}

#[test]
fn a_limit_can_be_as_long_as_there_is_time() {
    let mut time = TimeLimits::default();
    time.dns = Duration::MAX;
    let run = a().never("A a.example").resolve_once("a.example:443", &lenient().with_time(time));
    assert_eq!(run.error().kind(), "deadline_exceeded");
    assert_eq!(run.took, seconds(30));
}

#[test]
fn everything_silent_ends_within_the_limit() {
    let world = Internet::new()
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
    assert_eq!(
        run.error().to_string(),
        format!("resolving a.example took longer than 2 s; still waiting for GET {URL}")
    );
}

#[test]
fn the_deadline_names_nothing_else() {
    let fed = "SRV _matrix-fed._tcp.a.example";
    for (world, waiting_for) in [
        // Without addresses there is no fetch yet, ...
        (a().never("A a.example").never("AAAA a.example"), vec!["A a.example", "AAAA a.example"]),
        // ... and once its answer is there no more.
        (a().page(URL, 404, &[], "").never(fed), vec![fed]),
    ] {
        let mut config = lenient();
        config.time.discovery = seconds(2);
        let run = world.resolve_once("a.example", &config);
        let ResolveError::DeadlineExceeded { waiting_for: named, .. } = run.error() else {
            panic!("{:?}", run.error());
        };
        assert_eq!(named, &waiting_for);
    }
}

/// Polls a machine that shares its well-known, at the times it asks for, until it is done; what
/// DNS is asked is answered, the well-known never is.
fn without_the_shared_look_up(config: Config) -> (Discovery, Duration) {
    let mut now = Now::EPOCH;
    let mut machine = Discovery::new("a.example".parse().unwrap(), Arc::new(config), now, 0)
        .with_shared_well_known();
    loop {
        match machine.poll_output(now) {
            Output::Ask(Question::Dns { token, question }) => {
                machine.handle(token.answer(a().dns_answer(&question)), now);
            }
            Output::Ask(_) => {}
            Output::Wait(until) => {
                let wait = until.expect("an end to the wait").since(now.monotonic);
                assert!(!wait.is_zero(), "it waits for what has passed");
                now = now + wait;
            }
            Output::Done(_) => return (machine, now.monotonic.since_origin()),
        }
    }
}

#[test]
fn a_shared_look_up_that_never_ends_is_given_up_a_second_after_its_limit() {
    let (machine, took) = without_the_shared_look_up(lenient());
    assert_eq!(took, seconds(16));
    let report = machine.report();
    let well_known = report.well_known.as_ref().unwrap();
    let limit = seconds(15);
    assert_eq!(well_known.result, Some(Err(WellKnownFailure::TimedOut { limit })));
    assert_eq!(well_known.failures, 1);

    let mut config = lenient();
    config.time.discovery = seconds(2);
    let (machine, took) = without_the_shared_look_up(config);
    assert_eq!(took, seconds(2));
    let error = machine.report().error.unwrap();
    assert!(error.to_string().ends_with("waiting for the well-known of a.example"), "{error}");
}

#[test]
fn an_answer_counts_until_its_limit_and_not_at_it() {
    let question = "SRV _matrix-fed._tcp.a.example";
    let world = with_m().srv(&question[4..], &[(0, 0, 443, "m.example.")]);
    let config = lenient().with_speculation(Speculation::Full);
    for (delay, step) in [(5_249, Step::Srv), (5_250, Step::DefaultPort)] {
        let run = world.clone().after(question, millis(delay)).resolve_once("a.example", &config);
        assert_eq!(run.target().step(), step, "{delay}");
    }
}

#[test]
fn a_target_is_fresh_until_its_first_part_ends() {
    let run = with_m()
        .page(URL, 200, &[("cache-control", "max-age=100")], delegation())
        .resolve_once("a.example", &lenient());
    let target = run.target();
    let decided = target.decided();
    assert_eq!(decided, Now::EPOCH + run.took);
    let until = target.until().unwrap();
    assert_eq!(until, decided.monotonic + target.lifetimes().least().unwrap());
    assert_eq!(until, Now::EPOCH.monotonic + millis(100_020));
    assert!(target.is_fresh(decided.monotonic));
    assert!(target.is_fresh(Now::EPOCH.monotonic + millis(100_019)));
    assert!(!target.is_fresh(until));
    assert!(!target.is_fresh(until + millis(1)));
    let literal = Internet::new().resolve_once("192.0.2.1", &lenient());
    assert!(literal.target().is_fresh(until));
}

#[test]
fn a_point_in_time_is_printed_in_seconds() {
    assert_eq!((Now::EPOCH + millis(1_500)).monotonic.to_string(), "+1.500 s");
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
