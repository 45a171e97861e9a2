//! The scripted internet itself: what it answers, when, in which order, and how it is written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use matrix_delegation::config::Speculation;
use matrix_delegation::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord, Service};
use matrix_delegation::testing::strategies::internets;
use matrix_delegation::testing::{Internet, Order, Run, Schedule, documentation_allowed};
use matrix_delegation::well_known::{FetchFailure, FetchFailureKind};
use matrix_delegation::{Config, Step};
use proptest::prelude::*;

fn lenient() -> Config {
    documentation_allowed(Config::default())
}

fn delegated() -> Internet {
    Internet::new()
        .host("a.example", &["192.0.2.1"])
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.m.example", &[(0, 0, 443, "t.example.")])
        .host("t.example", &["192.0.2.3", "2001:db8::3"])
}

fn srv(host: &str) -> DnsQuestion {
    DnsQuestion::Srv { service: Service::MatrixFed, host: host.parse().unwrap() }
}

fn run(internet: &Internet, schedule: Schedule) -> Run {
    internet.drive(&lenient()).with_schedule(schedule).discover("a.example".parse().unwrap())
}

#[test]
fn what_nothing_was_said_about_does_not_exist() {
    let internet = Internet::new().srv("_matrix._tcp.a.example", &[(0, 0, 1, "a.example.")]);
    let none = |kind| DnsAnswer::None { kind, ttl: Some(Duration::from_secs(900)) };
    assert_eq!(internet.dns_answer(&srv("a.example")), none(NoRecord::NxDomain));
    let internet = internet.host("a.example", &["192.0.2.1"]);
    let v6 = DnsQuestion::Addresses {
        host: "a.example".parse().unwrap(),
        family: matrix_delegation::dns::Family::V6,
    };
    assert_eq!(internet.dns_answer(&v6), none(NoRecord::NoData));
    let refused = FetchFailure::new(FetchFailureKind::Refused, "scripted");
    assert_eq!(internet.response("https://a.example/", 1).unwrap_err(), refused);
}

#[test]
fn a_name_that_has_other_records_is_nodata_one_that_has_none_is_not_there() {
    let internet = Internet::new()
        .dns("A a.example", DnsAnswer::None { kind: NoRecord::NotImplemented, ttl: None });
    let v6 = DnsQuestion::Addresses {
        host: "a.example".parse().unwrap(),
        family: matrix_delegation::dns::Family::V6,
    };
    let kind = |internet: &Internet| match internet.dns_answer(&v6) {
        DnsAnswer::None { kind, .. } => kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&internet), NoRecord::NoData);
    assert_eq!(kind(&Internet::new().none("A a.example", NoRecord::NxDomain)), NoRecord::NxDomain);
}

#[test]
fn a_body_over_the_limit_is_not_read_to_its_end() {
    let url = "https://a.example/";
    let internet = Internet::new().page(url, 200, &[], "12345");
    let body = |most| internet.response(url, most).unwrap().into_body();
    assert_eq!(body(5), matrix_delegation::well_known::Body::from("12345"));
    assert_eq!(body(4), matrix_delegation::well_known::Body::TooLarge);
}

#[test]
fn the_transcript_says_what_was_asked_and_answered_and_when() {
    let second = Duration::from_secs(1);
    let internet = delegated().after("A a.example", second).never("AAAA t.example");
    let config = lenient().with_speculation(Speculation::Off);
    let run = internet.resolve("a.example".parse().unwrap(), &config);
    let lines: Vec<_> = run
        .transcript
        .iter()
        .map(|it| {
            (it.question.as_str(), it.asked.as_millis(), it.answered.map(|it| it.as_millis()))
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("A a.example", 0, Some(1000)),
            ("AAAA a.example", 0, Some(10)),
            ("GET https://a.example/.well-known/matrix/server", 1000, Some(1010)),
            ("SRV _matrix-fed._tcp.m.example", 1010, Some(1020)),
            ("A t.example", 1020, Some(1030)),
            ("AAAA t.example", 1020, None),
        ]
    );
    // The other family has 250 ms after the first.
    assert_eq!(run.took.as_millis(), 1280);
    assert_eq!(run.transcript[2].addresses, ["192.0.2.1:443".parse().unwrap()]);
    assert_eq!(run.outcome.unwrap().step(), Step::DelegatedSrv);
}

/// The documentation of [`Speculation`] counts questions; this counts what a caller waits for.
#[test]
fn the_critical_path_is_the_longest_chain_of_questions_that_depend_on_each_other() {
    let at = |host: &str, address: &str| Internet::new().host(host, &[address]);
    let a = || at("a.example", "192.0.2.1");
    let to = |server: &str| a().delegates("a.example", server).host("m.example", &["192.0.2.2"]);
    let fed = [(0, 0, 443, "t.example.")];
    let t = |internet: Internet| internet.host("t.example", &["192.0.2.3"]);
    for (name, internet, full, off) in [
        ("192.0.2.1", Internet::new(), 0, 0),
        ("a.example:443", a(), 1, 1),
        // DNS, then TCP, TLS and HTTP.
        ("a.example", to("192.0.2.9"), 4, 4),
        ("a.example", to("m.example:443"), 5, 5),
        ("a.example", t(to("m.example").srv("_matrix-fed._tcp.m.example", &fed)), 6, 6),
        ("a.example", t(to("m.example").srv("_matrix._tcp.m.example", &fed)), 6, 7),
        ("a.example", to("m.example"), 5, 7),
        ("a.example", t(a().srv("_matrix-fed._tcp.a.example", &fed)), 4, 6),
        ("a.example", t(a().srv("_matrix._tcp.a.example", &fed)), 4, 7),
        ("a.example", a(), 4, 6),
    ] {
        let count = |speculation, shared| {
            let config = lenient().with_speculation(speculation);
            let drive = internet.drive(&config);
            let drive = if shared { drive.with_shared_well_known() } else { drive };
            let path = drive.discover(name.parse().unwrap()).critical_path;
            let counted = path.questions.iter().map(|it| if it.starts_with("GET") { 3 } else { 1 });
            assert_eq!(path.round_trips, counted.sum::<u32>(), "{path:?}");
            path.round_trips
        };
        assert_eq!(
            [count(Speculation::Full, false), count(Speculation::Full, true)],
            [full; 2],
            "{name} {internet:?}"
        );
        assert_eq!(count(Speculation::Off, false), off, "{name} {internet:?}");
    }
}

#[test]
fn redirects_lengthen_the_path_by_their_own_look_ups() {
    let internet = Internet::new()
        .host("a.example", &["192.0.2.1"])
        .host("r.example", &["192.0.2.2"])
        .page(
            "https://a.example/.well-known/matrix/server",
            302,
            &[("location", "https://r.example/x")],
            "",
        )
        .page("https://r.example/x", 200, &[], r#"{"m.server":"192.0.2.9:1"}"#);
    let path = run(&internet, Schedule::default()).critical_path;
    let questions = [
        "A a.example",
        "GET https://a.example/.well-known/matrix/server",
        "A r.example",
        "GET https://r.example/x",
    ];
    assert_eq!(path.round_trips, 8);
    let last: Vec<_> = path.questions.iter().map(|it| it.replace("AAAA", "A")).collect();
    assert_eq!(last, questions);
}

/// With the first family never there, what is asked after its grace does not depend on the SRV
/// records that came in the meantime, nor on the addresses of their targets.
#[test]
fn the_critical_path_leaves_out_what_merely_came_in_the_meantime() {
    let fed = [(0, 0, 443, "t.example.")];
    let internet = Internet::new()
        .srv("_matrix-fed._tcp.a.example", &fed)
        .host("t.example", &["192.0.2.3"])
        .host("a.example", &["2001:db8::1"])
        .never("A a.example");
    let path = run(&internet, Schedule::default()).critical_path;
    assert_eq!(path.round_trips, 4, "{path:?}");
    let get = "GET https://a.example/.well-known/matrix/server";
    assert_eq!(path.questions, ["AAAA a.example", get]);
}

#[test]
fn a_look_up_of_the_whole_document_stands_among_what_was_asked_beside_it() {
    let url = "GET https://a.example/.well-known/matrix/server";
    let mut config = lenient();
    config.time.discovery = Duration::from_secs(3);
    for internet in [delegated(), delegated().never(url)] {
        let drive = internet.drive(&config).with_shared_well_known();
        let run = drive.discover("a.example".parse().unwrap());
        let whole = run.asked().position(|asked| asked == "WELL-KNOWN a.example").unwrap();
        assert!(run.transcript[..whole].iter().all(|it| !it.within_look_up));
        assert!(run.asked().any(|asked| asked == url));
        assert!(run.transcript.is_sorted_by_key(|it| it.asked), "{:?}", run.transcript);
        assert!(run.transcript.iter().all(|it| it.answered.is_none_or(|at| at <= run.took)));
    }
}

#[test]
#[should_panic(expected = "not in lower case")]
fn a_schedule_for_what_is_never_asked_stops_the_test() {
    let _ = Schedule::default().never("A A.example");
}

#[test]
fn schedules_choose_who_is_answered_first() {
    let answered = |order| {
        let run = run(&delegated(), Schedule::new(order));
        assert_eq!(run.outcome.as_ref().unwrap().step(), Step::DelegatedSrv);
        assert_eq!(run.took, Duration::ZERO);
        run
    };
    let first_answers =
        |run: &Run| run.transcript.iter().filter(|it| it.answered.is_some()).count();
    let as_asked = answered(Order::AsAsked);
    let reversed = answered(Order::Reversed);
    // Reversed, what is asked last is answered first, so that some early questions never are.
    assert!(first_answers(&reversed) <= first_answers(&as_asked));
    let transcripts: std::collections::BTreeSet<String> =
        (0..20).map(|seed| format!("{:?}", answered(Order::Shuffled(seed)).transcript)).collect();
    assert!(transcripts.len() > 3, "{}", transcripts.len());
    let again = answered(Order::Shuffled(3));
    assert_eq!(again.transcript, answered(Order::Shuffled(3)).transcript);
}

#[test]
fn answers_late_never_or_twice() {
    let url = "GET https://a.example/.well-known/matrix/server";
    let second = Duration::from_secs(1);
    let late = run(&delegated(), Schedule::default().late(url, 3 * second));
    assert_eq!(late.took, Duration::from_millis(3030));
    let never = run(&delegated(), Schedule::default().never(url));
    assert_eq!(never.outcome.unwrap().step(), Step::DefaultPort);
    assert_eq!(never.took, 15 * second);
    let late = run(&delegated(), Schedule::new(Order::Reversed).late(url, 3 * second));
    assert_eq!(late.took, 3 * second);
    let twice = run(&delegated(), Schedule::default().twice());
    let once = run(&delegated(), Schedule::default());
    assert_eq!(twice.outcome, once.outcome);
    assert_eq!(twice.transcript, once.transcript);
}

#[test]
fn what_is_never_answered_has_no_answer() {
    let never = Internet::new().never("A a.example").host("a.example", &["192.0.2.1"]);
    let also = Internet::new().host("a.example", &["192.0.2.1"]).never("A a.example");
    assert_eq!(never, also);
    assert_eq!(never.delay("A a.example"), None);
    assert!(!never.is_undelayed());
}

#[test]
fn mistakes_in_json_are_errors_that_name_the_place() {
    for (json, expected) in [
        (r#"{"dns": {"A": {"never": true}}}"#, "no name"),
        (r#"{"dns": {"MX a.example": {"never": true}}}"#, "neither A, AAAA nor SRV"),
        (r#"{"dns": {"SRV _x._tcp.a.example": {"never": true}}}"#, "no service of Matrix"),
        (r#"{"dns": {"A A.example": {"never": true}}}"#, "not in lower case"),
        (r#"{"dns": {"A a..example": {"never": true}}}"#, "a..example"),
        (r#"{"dns": {"A a.example": {}}}"#, "exactly one of"),
        (
            r#"{"dns": {"A a.example": {"never": true}, "A a.example": {"never": true}}}"#,
            "\"A a.example\" stands there twice",
        ),
        (r#"{"dns": {"A a.example": {"never": true, "none": "no_data"}}}"#, "exactly one of"),
        (r#"{"dns": {"A a.example": {"none": "never"}}}"#, "unknown variant"),
        (r#"{"dns": {"A a.example": {"none": "no_data", "alias": true}}}"#, "alias"),
        (r#"{"dns": {"A a.example": {"failed": "timeout", "ttl": 1}}}"#, "has no TTL"),
        (r#"{"dns": {"A a.example": {"addresses": [], "ttl": null}}}"#, "have a TTL"),
        (r#"{"dns": {"A a.example": {"addresses": ["a"]}}}"#, "IP address"),
        (r#"{"dns": {"A a.example": {"never": true, "after_ms": 1}}}"#, "does not go with"),
        (r#"{"https": {"http://a.example/": {"status": 200}}}"#, "not https"),
        (r#"{"https": {"https://A.example/": {"status": 200}}}"#, "https://a.example/"),
        (r#"{"https": {"https://a.example": {"status": 200}}}"#, "it is written"),
        (r#"{"https": {"https://a.example/x#y": {"status": 200}}}"#, "fragment"),
        (r#"{"https": {"https://u:p@a.example/": {"status": 200}}}"#, "credentials"),
        (r#"{"https": {"https://a.example/": {"status": 99}}}"#, "status"),
        (r#"{"https": {"https://a.example/": {"body": "x"}}}"#, "exactly one of"),
        (r#"{"https": {"https://a.example/": {"status": 200, "body_hex": "f"}}}"#, "hexadecimal"),
        (r#"{"https": {"https://a.example/": {"status": 200, "body_hex": "+f"}}}"#, "hexadecimal"),
        (r#"{"https": {"https://a.example/": {"status": 200, "pad_to": 99999999}}}"#, "pad_to"),
        (
            r#"{"https": {"https://a.example/": {"status": 200, "headers": [["a b", ""]]}}}"#,
            "header",
        ),
        (r#"{"https": {"https://a.example/": {"failed": "refused", "body": "x"}}}"#, "does not go"),
        (r#"{"https": {"https://a.example/": {"status": 200, "colour": 1}}}"#, "colour"),
    ] {
        let error = serde_json::from_str::<Internet>(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
#[should_panic(expected = "no question of DNS")]
fn mistakes_in_code_stop_it() {
    let _ = Internet::new().fails("a.example", DnsFailure::ServFail);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn every_internet_is_written_as_it_is_read(internet in internets()) {
        let json = serde_json::to_string(&internet).unwrap();
        prop_assert_eq!(serde_json::from_str::<Internet>(&json).unwrap(), internet, "{}", json);
    }

    #[test]
    fn every_internet_leads_somewhere_in_time_under_every_schedule(
        internet in internets(),
        seed in any::<u64>(),
        twice in any::<bool>(),
    ) {
        for order in [Order::Timely, Order::AsAsked, Order::Reversed, Order::Shuffled(seed)] {
            let schedule = Schedule::new(order);
            let run = run(&internet, if twice { schedule.twice() } else { schedule });
            prop_assert!(run.took <= lenient().time.discovery);
            prop_assert!(run.critical_path.round_trips <= 60, "{:?}", run.critical_path);
        }
    }
}

/// What is generated is of use only if it leads everywhere.
#[test]
fn generated_internets_reach_every_step_that_a_host_name_can_reach() {
    use std::collections::BTreeMap;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..3_000 {
        let internet = internets().new_tree(&mut runner).unwrap().current();
        let what = match internet.resolve("a.example".parse().unwrap(), &lenient()).outcome {
            Ok(target) => target.step().to_string(),
            Err(error) => error.kind().to_owned(),
        };
        *reached.entry(what).or_default() += 1;
    }
    println!("{reached:?}");
    for step in ["3.1", "3.2", "3.3", "3.4", "3.5", "4", "5", "6"] {
        assert!(reached.get(step).is_some_and(|count| *count >= 10), "{step}: {reached:?}");
    }
    for kind in ["service_not_available", "no_usable_endpoint", "blocked_address", "no_addresses"] {
        assert!(reached.get(kind).is_some_and(|count| *count >= 5), "{kind}: {reached:?}");
    }
}

#[cfg(feature = "resolver")]
mod on_virtual_time {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use matrix_delegation::Runtime;
    use matrix_delegation::testing::{Network, VirtualTime};

    use super::*;

    #[test]
    fn the_clock_jumps_to_the_next_timer_and_no_further() {
        let time = VirtualTime::new();
        let start = time.now();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        for seconds in [3, 1, 2] {
            let (timer, order) = (time.sleep(Duration::from_secs(seconds)), Arc::clone(&order));
            time.spawn(Box::pin(async move {
                timer.await;
                order.lock().unwrap().push(seconds);
            }));
        }
        time.advance(Duration::from_millis(2_500));
        assert_eq!(*order.lock().unwrap(), [1, 2]);
        assert_eq!(time.now().monotonic.since(start.monotonic), Duration::from_millis(2_500));
        assert_eq!(time.now().wall.duration_since(start.wall).unwrap().as_millis(), 2_500);
        assert_eq!(time.tasks(), 1);
        time.advance(Duration::from_secs(1));
        assert_eq!((time.tasks(), order.lock().unwrap().len()), (0, 3));
    }

    #[test]
    fn a_task_that_panics_ends_alone() {
        let time = VirtualTime::new();
        let ran = Arc::new(AtomicUsize::new(0));
        for bad in [true, false] {
            let ran = Arc::clone(&ran);
            time.spawn(Box::pin(async move {
                assert!(!bad, "scripted");
                ran.fetch_add(1, Ordering::SeqCst);
            }));
        }
        time.advance(Duration::from_secs(1));
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        assert!(time.has_panicked());
    }

    #[test]
    fn what_can_go_on_when_the_time_has_passed_does() {
        let time = VirtualTime::new();
        let ticks = Arc::new(AtomicUsize::new(0));
        let (clock, counted) = (time.clone(), Arc::clone(&ticks));
        time.spawn(Box::pin(async move {
            loop {
                clock.sleep(Duration::from_secs(1)).await;
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }));
        time.advance(Duration::from_secs(10));
        assert_eq!(ticks.load(Ordering::SeqCst), 10);
        // It would keep itself alive.
        assert_eq!(Arc::strong_count(&ticks), 2);
        time.shut_down();
        assert_eq!((Arc::strong_count(&ticks), time.tasks()), (1, 0));
    }

    #[test]
    #[should_panic(expected = "driven already")]
    fn driving_from_within_is_noticed() {
        let time = VirtualTime::new();
        time.block_on(async { time.block_on(async {}) });
    }

    /// A thread that spawns takes no two locks against the order of the one that drives.
    #[test]
    fn tasks_can_be_spawned_from_another_thread() {
        let time = VirtualTime::new();
        let there = time.clone();
        let spawning = std::thread::spawn(move || {
            for _ in 0..10_000 {
                there.spawn(Box::pin(async {}));
            }
        });
        while !spawning.is_finished() {
            time.block_on(async {});
        }
        spawning.join().unwrap();
        time.advance(Duration::from_secs(1));
        assert_eq!(time.tasks(), 0);
    }

    #[test]
    #[should_panic(expected = "nothing will bring about")]
    fn waiting_for_nothing_is_noticed() {
        VirtualTime::new().block_on(std::future::pending::<()>());
    }

    #[test]
    fn a_seed_draws_the_order_of_tasks() {
        let orders: std::collections::BTreeSet<Vec<usize>> = (0..20)
            .map(|seed| {
                let time = VirtualTime::new().with_seed(seed);
                let order = Arc::new(std::sync::Mutex::new(Vec::new()));
                for task in 0..3 {
                    let order = Arc::clone(&order);
                    time.spawn(Box::pin(async move { order.lock().unwrap().push(task) }));
                }
                time.advance(Duration::from_secs(1));
                std::mem::take(&mut *order.lock().unwrap())
            })
            .collect();
        assert!(orders.len() >= 4, "{orders:?}");
    }

    #[test]
    fn a_network_can_change_and_fail_on_the_way() {
        let network = Network::new(delegated());
        let resolver = network.resolver(Config::default());
        let name = "a.example".parse().unwrap();
        let resolve = || network.time().block_on(resolver.resolve(&name));
        let first = resolve().unwrap();
        assert_eq!(first.step(), Step::DelegatedSrv);
        assert_eq!(network.open(), 0);
        assert!(network.asked().contains(&"A t.example".to_owned()));

        network.clear_asked();
        network.change(|internet| internet.never("A t.example").never("AAAA t.example"));
        // So late that no earlier record stands in.
        network.time().advance(Duration::from_secs(2 * 86_400));
        assert_eq!(resolve().unwrap_err().kind(), "no_addresses");
        let (asked, _) = network.asked_when()[0].clone();
        let waited = network.time().now().monotonic.since(asked);
        assert!(!waited.is_zero() && waited <= Config::default().time.discovery);

        resolver.clear();
        network.set(delegated());
        network.panic_at(Some("A a.example"));
        assert_eq!(resolve().unwrap_err().kind(), "adapter_failed");
        network.panic_at(None);
        assert_eq!(resolve().unwrap().step(), Step::DelegatedSrv);
    }
}
