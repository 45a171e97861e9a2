//! What is asked, how often, and what late answers do.

use matrix_delegation::cache::DnsEntry;
use matrix_delegation::discovery::WellKnownLookup;
use matrix_delegation::dns::DnsQuestion;
use matrix_delegation::report::Source;

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
            base().delegates("a.example", "m.example").srv("_matrix-fed._tcp.m.example", records),
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
            assert_eq!(
                run.questions().len(),
                count,
                "step {step}, {speculation:?}: {:?}",
                run.questions()
            );
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
        assert_eq!(first.questions().len(), cold, "{step}: {:?}", first.questions());
        let second =
            world.resolve_with("a.example", &lenient(), |drive| drive.with_last_step(step));
        assert_eq!(second.questions().len(), warm, "{step}: {:?}", second.questions());
        for other in Step::ALL {
            let other = world.resolve_every_way_with("a.example", &lenient(), |drive| {
                drive.with_last_step(other)
            });
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
    let mut asked = run.questions();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), run.questions().len());
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
                let answer = world.dns_answer(&question);
                machine.handle(token.answer(answer), Now::EPOCH);
                let other = DnsAnswer::Found {
                    records: Records::Addresses(vec!["192.0.2.66".parse().unwrap()]),
                    ttl: seconds(1),
                    alias: true,
                };
                machine.handle(token.answer(other), Now::EPOCH);
                tokens.push(token);
            }
            Output::Done(outcome) => break outcome.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(support::endpoints(&target), ["a.example:443@192.0.2.1"]);
    machine.handle(tokens[0].answer(DnsAnswer::failed(DnsFailure::ServFail)), Now::EPOCH);
    let Output::Done(again) = machine.poll_output(Now::EPOCH + seconds(99)) else { panic!() };
    assert!(Arc::ptr_eq(&again.unwrap(), &target));
}

#[test]
fn late_second_and_unknown_responses_do_nothing() {
    let now = Now::EPOCH;
    let config = Arc::new(lenient());
    let mut machine = Discovery::new("a.example".parse().unwrap(), config, now, 0);
    let page = |status: u16, location: &str, server: &str| {
        Ok(Response::builder()
            .status(status)
            .header("location", location)
            .body(Body::from(format!(r#"{{"m.server":"{server}"}}"#)))
            .unwrap())
    };
    let mut tokens = Vec::new();
    loop {
        match machine.poll_output(now) {
            Output::Ask(Question::Dns { token, question }) => {
                // SRV stays open, so that this does not end.
                if question.record_type() != "SRV" {
                    machine.handle(token.answer(with_m().dns_answer(&question)), now);
                }
            }
            Output::Ask(Question::Fetch { token, .. }) => {
                tokens.push(token);
                let status = if tokens.len() == 1 { 302 } else { 200 };
                for earlier in &tokens[..tokens.len() - 1] {
                    machine.handle(earlier.answer(page(404, "", "127.0.0.1")), now);
                }
                machine.handle(token.answer(page(status, "/x", "m.example")), now);
                machine.handle(token.answer(page(404, "", "127.0.0.1")), now);
            }
            Output::Wait(_) => break,
            other => panic!("{other:?}"),
        }
    }
    let report = machine.report();
    let well_known = report.well_known.as_ref().unwrap();
    assert_eq!(well_known.result, Some(Ok("m.example".parse().unwrap())));
    for token in tokens {
        machine.handle(token.answer(page(404, "", "127.0.0.1")), now + seconds(1));
        assert_eq!(machine.report(), report);
    }
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

#[test]
fn are_not_asked_of_an_srv_target_once_the_well_known_leads_elsewhere() {
    let world = with_m()
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "b.example.")])
        .after("SRV _matrix-fed._tcp.a.example", millis(25));
    for shared in [false, true] {
        let run = world.resolve_with("a.example", &lenient(), |drive| {
            if shared { drive.with_shared_well_known() } else { drive }
        });
        assert_eq!(run.took, millis(30));
        assert!(
            !run.questions().iter().any(|it| it.ends_with("b.example")),
            "{:?}",
            run.questions()
        );
    }
}

/// Speaks to a machine until it asks something; `None`: it waits.
fn asked<T: std::fmt::Debug>(output: Output<T>) -> Option<Question> {
    match output {
        Output::Ask(question) => Some(question),
        Output::Wait(_) => None,
        Output::Done(done) => panic!("{done:?}"),
    }
}

#[test]
fn can_be_answered_from_memory_with_what_is_left_of_the_lifetime() {
    let (start, config) = (Now::EPOCH + seconds(100), Arc::new(lenient()));
    let entry = |question: &DnsQuestion| {
        let answer = a().dns_answer(question);
        let at = (Now::EPOCH + seconds(60)).monotonic;
        DnsEntry::learn(None, question, answer, at, &config)
    };
    let source = Source::Memory { age: seconds(40) };

    let name = "a.example:443".parse().unwrap();
    let mut machine = Discovery::new(name, Arc::clone(&config), start, 0);
    while let Output::Ask(Question::Dns { token, question }) = machine.poll_output(start) {
        machine.handle(token.entry(entry(&question), source), start);
    }
    let Output::Done(Ok(target)) = machine.poll_output(start) else { panic!() };
    assert_eq!(support::endpoints(&target), ["a.example:443@192.0.2.1"]);
    assert_eq!(target.lifetimes().addresses, Some(seconds(260)));
    assert!(machine.report().dns.iter().all(|exchange| exchange.source == source));

    let host = "a.example".parse().unwrap();
    let mut machine = WellKnownLookup::new(host, Arc::clone(&config), start, 0);
    while let Some(question) = asked(machine.poll_output(start)) {
        if let Question::Dns { token, question } = question {
            machine.handle(token.entry(entry(&question), source), start);
        }
    }
    let report = machine.report();
    assert_eq!(report.hops[0].addresses, ["192.0.2.1:443".parse().unwrap()]);
    assert_eq!(report.dns.len(), 2);
    assert!(report.dns.iter().all(|exchange| exchange.source == source));
}

/// What has expired is used for a moment, since it is being renewed; after a failure, until that is tried
/// again.
#[test]
fn can_be_answered_with_what_has_expired() {
    let config = Arc::new(lenient());
    let at = |second| Now::EPOCH + seconds(second);
    for (start, failed, lifetime) in [(360, None, 5), (400, None, 5), (400, Some(398), 28)] {
        let start = at(start);
        let entry = |question: &DnsQuestion| {
            let answer = a().dns_answer(question);
            let known = DnsEntry::learn(None, question, answer, at(60).monotonic, &config);
            let Some(failed) = failed else { return known };
            let answer = DnsAnswer::failed(DnsFailure::ServFail);
            DnsEntry::learn(Some(&known), question, answer, at(failed).monotonic, &config)
        };
        let source = Source::Memory { age: seconds(0) };
        let name = "a.example:443".parse().unwrap();
        let mut machine = Discovery::new(name, Arc::clone(&config), start, 0);
        while let Output::Ask(Question::Dns { token, question }) = machine.poll_output(start) {
            machine.handle(token.entry(entry(&question), source), start);
        }
        let Output::Done(Ok(target)) = machine.poll_output(start) else { panic!() };
        assert_eq!(support::endpoints(&target), ["a.example:443@192.0.2.1"]);
        assert_eq!(target.lifetimes().addresses, Some(seconds(lifetime)), "{start:?} {failed:?}");
        assert!(target.is_stale());
    }
}

#[test]
fn that_nobody_will_answer_matter_only_where_the_answer_is_needed() {
    let is = |question: &Question, text: &str| matches!(question, Question::Dns { question, .. } if question.to_string() == text);
    for (name, given_up, fails) in [
        ("a.example:443", "A a.example", true),
        ("a.example:443", "AAAA a.example", true),
        ("a.example", "SRV _matrix._tcp.a.example", false),
        ("a.example", "A a.example", true),
    ] {
        let world = a().delegates("a.example", "192.0.2.3");
        let config = Arc::new(lenient());
        let mut machine = Discovery::new(name.parse().unwrap(), config, Now::EPOCH, 0);
        let mut questions = Vec::new();
        while let Some(question) = asked(machine.poll_output(Now::EPOCH)) {
            questions.push(question);
        }
        let lost = questions.iter().position(|question| is(question, given_up)).unwrap();
        let Question::Dns { token, .. } = questions.remove(lost) else { panic!() };
        machine.handle(token.unanswered(), Now::EPOCH);
        let outcome = loop {
            match machine.poll_output(Now::EPOCH) {
                Output::Done(outcome) => break outcome,
                Output::Ask(question) => questions.push(question),
                Output::Wait(_) => match questions.pop().expect("an end") {
                    Question::Dns { token, question } => {
                        let answer = world.dns_answer(&question);
                        machine.handle(token.answer(answer), Now::EPOCH);
                    }
                    Question::Fetch { token, fetch } => {
                        let response = world.response(&fetch.request.uri().to_string(), usize::MAX);
                        machine.handle(token.answer(response), Now::EPOCH);
                    }
                    other => panic!("{other:?}"),
                },
            }
        };
        let kind = outcome.err().map(|error| error.kind());
        assert_eq!(kind, fails.then_some("adapter_failed"), "{name} without {given_up}");
    }
}
