//! The resolver on virtual time, with scripted adapters: flights, parts by their own clocks,
//! callers that go away, adapters that panic or never answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use matrix_delegation::config::Reports;
use matrix_delegation::dns::DnsFailure;
use matrix_delegation::report::Source;
use matrix_delegation::resolver::{BoxFuture, Provenance};
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::well_known::FetchFailure;
use matrix_delegation::{ResolveError, Resolver, ResolverConfig, ServerName, Step, TokioRuntime};
use support::{InternetExt, lenient, millis, seconds};

/// A scripted internet behind the resolver's traits, on tokio's clock.
struct Scripted(Network);

impl Scripted {
    fn set(&self, world: Internet) {
        self.0.set(world);
    }

    /// What was asked since the last call.
    fn asked(&self) -> Vec<String> {
        let asked = self.0.asked();
        self.0.clear_asked();
        asked
    }
}

fn set_up(world: Internet, config: impl Into<ResolverConfig>) -> (Scripted, Resolver) {
    let network = Network::on_runtime(world, Arc::new(TokioRuntime::current()));
    let resolver = network.resolver(config);
    (Scripted(network), resolver)
}

fn name(name: &str) -> ServerName {
    name.parse().unwrap()
}

fn a() -> Internet {
    Internet::new().host("a.example", &["192.0.2.1"])
}

fn delegated() -> Internet {
    a().host("m.example", &["192.0.2.2"])
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.m.example", &[(0, 0, 443, "fed.example.")])
        .host("fed.example", &["192.0.2.3"])
}

const URL: &str = "https://a.example/.well-known/matrix/server";

#[tokio::test(start_paused = true)]
async fn each_part_lives_by_its_own_clock() {
    // Addresses 300 s, SRV 600 s, the well-known about a day.
    let (scripted, resolver) = set_up(delegated(), lenient());
    let first = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(first.step(), Step::DelegatedSrv);
    assert_eq!(first.provenance(), Provenance::Fresh);
    assert_eq!(first.lifetime().unwrap().as_secs(), 300);
    assert!(first.well_known_lifetime().unwrap() > seconds(21 * 3600));
    scripted.asked();

    tokio::time::advance(seconds(299)).await;
    let second = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(second.provenance(), Provenance::Cached);
    assert!(Arc::ptr_eq(first.target(), second.target()));
    assert_eq!(scripted.asked(), [""; 0]);

    tokio::time::advance(seconds(2)).await;
    let third = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(third.provenance(), Provenance::Fresh);
    let mut asked = scripted.asked();
    asked.sort();
    // What has a TTL of 300 s and led there the last time, and nothing else.
    assert_eq!(asked, ["A fed.example"]);

    tokio::time::advance(seconds(310)).await;
    resolver.resolve(&name("a.example")).await.unwrap();
    let asked = scripted.asked();
    assert!(asked.contains(&"SRV _matrix-fed._tcp.m.example".to_owned()), "{asked:?}");
    assert!(!asked.iter().any(|it| it.starts_with("GET")), "{asked:?}");

    tokio::time::advance(seconds(24 * 3600)).await;
    resolver.resolve(&name("a.example")).await.unwrap();
    assert!(scripted.asked().contains(&format!("GET {URL}")));
}

#[tokio::test(start_paused = true)]
async fn parts_are_shared_by_names_and_targets_are_not() {
    let (scripted, resolver) = set_up(delegated(), lenient());
    resolver.resolve(&name("a.example")).await.unwrap();
    scripted.asked();
    let other = resolver.resolve(&name("A.EXAMPLE")).await.unwrap();
    assert_eq!(scripted.asked(), [""; 0]);
    assert_eq!(other.provenance(), Provenance::Fresh);
    assert_eq!(other.server_name().as_str(), "A.EXAMPLE");
    // What one name is delegated to says nothing of the delegate's own name.
    let delegate = resolver.resolve(&name("m.example")).await.unwrap();
    assert_eq!(delegate.step(), Step::Srv);
    assert!(scripted.asked().iter().any(|it| it.contains("https://m.example")));
    let with_port = resolver.resolve(&name("m.example:443")).await.unwrap();
    assert_eq!(with_port.step(), Step::ExplicitPort);
    assert_eq!(scripted.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_one_flight() {
    let (scripted, resolver) = set_up(delegated(), lenient());
    let callers: Vec<_> = (0..500)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.resolve(&name("a.example")).await.unwrap() })
        })
        .collect();
    let mut found = Vec::new();
    for caller in callers {
        found.push(caller.await.unwrap());
    }
    assert!(found.iter().all(|it| Arc::ptr_eq(it.target(), found[0].target())));
    let mut asked = scripted.asked();
    let all = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), all);
}

#[tokio::test(start_paused = true)]
async fn names_with_one_host_share_its_questions() {
    let (scripted, resolver) = set_up(delegated(), lenient());
    let names = ["a.example", "A.example", "a.Example", "a.example:1", "a.example:2"];
    let callers = names.map(|it| {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.resolve(&name(it)).await.unwrap() })
    });
    for caller in callers {
        caller.await.unwrap();
    }
    let asked = scripted.asked();
    assert_eq!(asked.iter().filter(|it| *it == "A a.example").count(), 1);
    assert_eq!(asked.iter().filter(|it| it.starts_with("GET")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_nothing() {
    let (scripted, resolver) = set_up(delegated(), lenient());
    let caller = tokio::time::timeout(millis(5), resolver.resolve(&name("a.example"))).await;
    assert!(caller.is_err());
    tokio::time::sleep(seconds(1)).await;
    assert!(!scripted.asked().is_empty());
    let found = resolver.cached(&name("a.example")).expect("it went on and was remembered");
    assert_eq!(found.step(), Step::DelegatedSrv);
    assert_eq!(scripted.0.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_panics_fails_the_callers_and_frees_the_name() {
    for question in ["A a.example", &format!("GET {URL}"), "A fed.example"] {
        let (scripted, resolver) = set_up(delegated(), lenient());
        scripted.0.panic_at(Some(question));
        let error = resolver.resolve(&name("a.example")).await.unwrap_err();
        assert_eq!(error.kind(), "adapter_failed", "{question}");
        assert!(error.is_temporary());
        scripted.0.panic_at(None);
        tokio::time::sleep(seconds(10)).await;
        resolver.resolve(&name("a.example")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_never_answers_does_not_hold_up_a_name_for_ever() {
    let (_, resolver) = set_up(a().never("AAAA a.example").never("A a.example"), lenient());
    let started = tokio::time::Instant::now();
    let error = resolver.resolve(&name("a.example")).await.unwrap_err();
    assert_eq!(error.kind(), "no_addresses");
    assert!(started.elapsed() <= seconds(30), "{:?}", started.elapsed());

    let (scripted, resolver) = set_up(a().never(&format!("GET {URL}")), lenient());
    let started = tokio::time::Instant::now();
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.step(), Step::DefaultPort);
    assert!(started.elapsed() <= seconds(16), "{:?}", started.elapsed());
    // Nothing is asked again while the failure is remembered.
    scripted.asked();
    resolver.resolve(&name("A.example")).await.unwrap();
    assert_eq!(scripted.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn too_many_discoveries_are_refused() {
    let mut config = ResolverConfig::from(lenient());
    config.queue.discoveries = 2;
    config.queue.waiting = 0;
    let (_, resolver) = set_up(a().after("A a.example", seconds(2)), config);
    let callers = ["a.example:1", "a.example:2", "a.example:3"].map(|it| {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.resolve(&name(it)).await })
    });
    let mut kinds = Vec::new();
    for caller in callers {
        kinds.push(caller.await.unwrap().map_err(|error| error.kind()).err());
    }
    assert_eq!(kinds, [None, None, Some("too_busy")]);
    resolver.resolve(&name("a.example:3")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_question_that_turns_out_not_to_be_needed_fails_nothing() {
    // The server name's own SRV records are asked for early, and are beside the point.
    let world = a().delegates("a.example", "192.0.2.9");
    let needless = "SRV _matrix-fed._tcp.a.example";
    let (scripted, resolver) = set_up(world.clone(), lenient());
    scripted.0.panic_at(Some(needless));
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.step(), Step::DelegatedIpLiteral);

    let mut config = ResolverConfig::from(lenient());
    config.queue.questions = 2;
    let (_, resolver) = set_up(world, config.clone());
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.step(), Step::DelegatedIpLiteral);

    // Where it is needed, there is no guessing: too busy, or failed.
    let (scripted, resolver) = set_up(a(), lenient());
    scripted.0.panic_at(Some(needless));
    let error = resolver.resolve(&name("a.example")).await.unwrap_err();
    assert_eq!(error.kind(), "adapter_failed");
    let (_, resolver) = set_up(a(), config);
    let error = resolver.resolve(&name("a.example")).await.unwrap_err();
    assert_eq!(error.kind(), "too_busy");
    assert!(error.to_string().contains('2'), "{error}");
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let mut config = ResolverConfig::from(lenient());
    config.memory.hosts = 10;
    let (scripted, resolver) = set_up(Internet::new(), config);
    for number in 0..1000 {
        let literal = format!("192.0.2.{}:{}", number % 250, number + 1);
        resolver.resolve(&name(&literal)).await.unwrap();
        resolver.resolve(&name(&format!("h{number}.example"))).await.unwrap_err();
    }
    scripted.asked();
    for number in 0..1000 {
        resolver.resolve(&name(&format!("h{number}.example"))).await.unwrap_err();
    }
    // Few of 4,000 answers can have been remembered.
    assert!(scripted.asked().len() >= 3_900);
    let literals =
        || (0..1000).map(|number| name(&format!("192.0.2.{}:{}", number % 250, number + 1)));
    for literal in literals() {
        resolver.resolve(&literal).await.unwrap();
    }
    let kept = literals().filter(|literal| resolver.cached(literal).is_some()).count();
    assert!((1..=40).contains(&kept), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn reports_are_kept_where_that_is_asked_for() {
    let mut config = ResolverConfig::from(lenient());
    config.memory.reports = Reports::Kept;
    let (_, resolver) = set_up(delegated(), config);
    let first = resolver.explain(&name("a.example")).await.report.unwrap();
    let again = resolver.explain(&name("a.example")).await;
    assert!(Arc::ptr_eq(&first, &again.report.unwrap()));
    let kept = again.result.unwrap();
    assert!(kept.report().is_some_and(|report| Arc::ptr_eq(report, &first)) && !first.rebuilt);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_remembered_as_a_destination() {
    let down = delegated().fetched(
        URL,
        Err(FetchFailure::new(
            matrix_delegation::well_known::FetchFailureKind::Connect,
            "scripted",
        )),
    );
    let (scripted, resolver) = set_up(down, lenient());
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.step(), Step::DefaultPort);
    assert!(found.lifetime().unwrap() <= seconds(120));
    scripted.set(delegated());
    tokio::time::advance(seconds(121)).await;
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.step(), Step::DelegatedSrv);
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_outlives_a_passing_failure() {
    let (scripted, resolver) = set_up(delegated(), lenient());
    resolver.resolve(&name("a.example")).await.unwrap();
    let servfail = DnsFailure::ServFail;
    scripted.set(delegated().fails("A a.example", servfail).fails("AAAA a.example", servfail));
    tokio::time::advance(seconds(25 * 3600)).await;
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.step(), Step::DelegatedSrv);
    assert_eq!(found.provenance(), Provenance::Stale);
    assert!(found.lifetime().unwrap() <= seconds(120));
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_outlives_a_slow_well_known() {
    let (scripted, resolver) = set_up(delegated(), lenient());
    resolver.resolve(&name("a.example")).await.unwrap();
    // Asleep, so that what is under way ends meanwhile.
    scripted.set(delegated().never(&format!("GET {URL}")));
    tokio::time::sleep(seconds(25 * 3600)).await;
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.step(), Step::DelegatedSrv);
    assert_eq!(found.provenance(), Provenance::Stale);
    // What stands in does so for 48 hours after its fetch and no longer.
    tokio::time::sleep(seconds(23 * 3600 - 60)).await;
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.provenance(), Provenance::Stale);
    assert!(found.lifetime().unwrap() <= seconds(60), "{:?}", found.lifetime());
    tokio::time::sleep(seconds(61)).await;
    let found = resolver.resolve(&name("a.example")).await.unwrap();
    assert_eq!(found.provenance(), Provenance::Degraded);
    assert_eq!(found.step(), Step::DefaultPort);
}

#[tokio::test(start_paused = true)]
async fn a_family_that_keeps_failing_beside_the_other_is_asked_every_two_minutes() {
    let world = a().fails("AAAA a.example", DnsFailure::ServFail);
    let (scripted, resolver) = set_up(world, lenient());
    for _ in 0..8 {
        resolver.resolve(&name("a.example:1")).await.unwrap();
        let asked = scripted.asked();
        assert!(asked.contains(&"AAAA a.example".to_owned()), "{asked:?}");
        tokio::time::advance(seconds(121)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn forgetting_asks_again() {
    let (scripted, resolver) = set_up(delegated(), lenient());
    resolver.resolve(&name("a.example")).await.unwrap();
    resolver.resolve(&name("b.example:1")).await.unwrap_err();
    scripted.asked();
    resolver.invalidate(&name("a.example"));
    assert!(resolver.cached(&name("a.example")).is_none());
    resolver.resolve(&name("a.example")).await.unwrap();
    let asked = scripted.asked();
    assert!(asked.contains(&format!("GET {URL}")), "{asked:?}");
    assert!(asked.contains(&"SRV _matrix-fed._tcp.m.example".to_owned()), "{asked:?}");
    assert!(asked.contains(&"A fed.example".to_owned()), "{asked:?}");
    resolver.clear();
    resolver.resolve(&name("a.example")).await.unwrap();
    assert!(scripted.asked().contains(&"A fed.example".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_all_was_forgotten_is_not_remembered() {
    for forget in [Resolver::clear, |it: &Resolver| it.invalidate(&name("a.example"))] {
        let (scripted, resolver) = set_up(delegated(), lenient());
        let caller = {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.resolve(&name("a.example")).await })
        };
        tokio::time::sleep(millis(15)).await;
        forget(&resolver);
        caller.await.unwrap().unwrap();
        assert!(resolver.cached(&name("a.example")).is_none());
        scripted.asked();
        resolver.resolve(&name("a.example")).await.unwrap();
        assert!(scripted.asked().contains(&format!("GET {URL}")));
    }
}

#[tokio::test(start_paused = true)]
async fn reports_tell_what_was_asked_and_what_was_remembered() {
    let (_, resolver) = set_up(delegated(), lenient());
    let first = resolver.explain(&name("a.example")).await;
    let report = first.report.unwrap();
    assert_eq!(report.well_known.as_ref().unwrap().source, Source::Asked);
    assert_eq!(report.well_known.as_ref().unwrap().hops.len(), 1);
    // What the look-up asked of DNS is there, too.
    assert_eq!(report.well_known.as_ref().unwrap().dns.len(), 2);
    tokio::time::advance(seconds(60)).await;
    let again = resolver.explain(&name("a.example")).await;
    let rebuilt = again.report.unwrap();
    assert!(rebuilt.rebuilt && rebuilt.to_string().contains("made again from memory"));
    assert_eq!(rebuilt.steps, report.steps);
    let remembered = rebuilt.well_known.as_ref().unwrap();
    assert!(matches!(remembered.source, Source::Memory { age } if age >= seconds(60)));
    // Of the look-up nothing is claimed that memory does not hold.
    assert_eq!((remembered.hops.len(), remembered.dns.len()), (0, 0));
    let again = again.result.unwrap();
    assert!(again.age() >= seconds(60) && again.report().is_none());

    let other = resolver.explain(&name("A.example")).await.report.unwrap();
    let well_known = other.well_known.as_ref().unwrap();
    let Source::Memory { age } = well_known.source else { panic!("{:?}", well_known.source) };
    assert_eq!(age.as_secs(), 60);
    assert!(well_known.hops.is_empty());

    let failed = resolver.explain(&name("b.example")).await;
    assert!(matches!(failed.result, Err(ResolveError::NoAddresses { .. })));
    assert_eq!(failed.report.unwrap().error.as_ref().unwrap().kind(), "no_addresses");
}

#[tokio::test(start_paused = true)]
async fn the_cached_answer_needs_no_runtime() {
    let (_, resolver) = set_up(delegated(), lenient());
    assert!(resolver.cached(&name("a.example")).is_none());
    resolver.resolve(&name("a.example")).await.unwrap();
    let found = std::thread::spawn(move || resolver.cached(&name("a.example")).unwrap());
    assert_eq!(found.join().unwrap().provenance(), Provenance::Cached);
}

#[tokio::test(start_paused = true)]
async fn the_machine_and_the_resolver_say_the_same() {
    for world in [
        a(),
        delegated(),
        a().srv("_matrix._tcp.a.example", &[(0, 0, 1, "a.example.")]),
        a().srv("_matrix-fed._tcp.a.example", &[(0, 0, 0, ".")]),
        a().fails("SRV _matrix-fed._tcp.a.example", DnsFailure::Refused),
        Internet::new(),
    ] {
        let expected = world.resolve_every_way("a.example", &lenient()).outcome;
        let (_, resolver) = set_up(world, lenient());
        let found = resolver.resolve(&name("a.example")).await;
        match (expected, found) {
            (Ok(expected), Ok(found)) => {
                assert_eq!(expected.to_string(), found.target().to_string());
                assert!(expected.endpoints().eq(found.endpoints()));
                assert!(expected.warnings().eq(found.warnings()));
            }
            (Err(expected), Err(found)) => assert_eq!(expected, found),
            (expected, found) => panic!("{expected:?} and {found:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_shuts_down_fails_the_callers() {
    #[derive(Debug)]
    struct Gone(TokioRuntime);
    impl matrix_delegation::Runtime for Gone {
        fn now(&self) -> matrix_delegation::time::Now {
            self.0.now()
        }
        fn sleep_until(&self, at: matrix_delegation::time::Monotonic) -> BoxFuture<'static, ()> {
            self.0.sleep_until(at)
        }
        fn spawn(&self, task: BoxFuture<'static, ()>) {
            drop(task);
        }
    }
    let runtime = Arc::new(Gone(TokioRuntime::current()));
    let resolver = Network::on_runtime(Internet::new(), runtime).resolver(lenient());
    let error = resolver.resolve(&name("a.example")).await.unwrap_err();
    assert_eq!(error.kind(), "adapter_failed");
}
