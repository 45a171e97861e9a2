//! What others, or mishaps, might do to what is remembered.

use std::sync::Arc;

use matrix_delegation::config::Abandoned;
use matrix_delegation::dns::{DnsFailure, NoRecord};
use matrix_delegation::names::DnsName;
use matrix_delegation::resolver::{
    BoxFuture, ContactFailure, ContactFailureKind, Names, Provenance, StoreError, Subject,
};
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{
    Config, FixedTarget, Resolution, ResolverConfig, Rules, Runtime, Step, Store,
};

use super::store::Fleet;
use super::{Bench, URL, delegated, millis, seconds};

fn gone(internet: Internet) -> Internet {
    internet.page(URL.trim_start_matches("GET "), 404, &[], "")
}

fn moved(internet: Internet) -> Internet {
    internet.delegates("a.example", "n.example:1").host("n.example", &["192.0.2.9"])
}

fn fetched(bench: &Bench) -> usize {
    bench.asked().iter().filter(|question| *question == URL).count()
}

fn not_found() -> ContactFailure {
    ContactFailure::new(ContactFailureKind::NotFound)
}

#[test]
fn what_was_under_way_when_a_name_was_forgotten_is_joined_by_nobody() {
    for (under_way, clear) in [("A.example", false), ("a.example", false), ("a.example", true)] {
        let bench = Bench::new(delegated().after(URL, seconds(3)));
        let call = bench.call(under_way, None);
        bench.pass(seconds(1));
        bench.network.change(moved);
        if clear {
            bench.resolver.clear();
        } else {
            bench.resolver.invalidate(&"a.example".parse().unwrap());
        }
        assert_eq!(bench.resolve("a.example").unwrap().authority(), "n.example:1");
        bench.pass(seconds(10));
        // Who waited before that has what was found then, and nobody else.
        assert_eq!(call.outcome().unwrap().unwrap().authority(), "m.example");
        for name in ["a.example", "A.example"] {
            assert_eq!(bench.resolve(name).unwrap().authority(), "n.example:1");
        }
    }
}

#[test]
fn what_had_used_a_host_when_that_was_forgotten_is_joined_by_nobody() {
    let two = [(0, 0, 443, "t.example."), (1, 0, 443, "u.example.")];
    for forgotten in ["t.example", "b.example"] {
        let internet = delegated()
            .srv("_matrix-fed._tcp.m.example", &two)
            .host("u.example", &["192.0.2.4"])
            .host("b.example", &["192.0.2.2"])
            .delegates("b.example", "m.example");
        let bench = Bench::new(internet);
        bench.resolve("b.example").unwrap();
        bench.pass(seconds(400));
        // The first of its two hosts is known again, the second one is not yet.
        let slow = |it: Internet| it.after("A u.example", seconds(3)).never("AAAA u.example");
        bench.network.change(slow);
        let call = bench.call("a.example", None);
        bench.pass(seconds(1));
        bench.network.change(|internet| internet.host("t.example", &["192.0.2.9"]));
        bench.resolver.invalidate(&forgotten.parse().unwrap());
        let first = |found: &Resolution| -> Vec<String> {
            let first = found.endpoints().next().unwrap();
            first.addresses().map(|it| it.to_string()).collect()
        };
        let found = bench.resolve("a.example").unwrap();
        assert_eq!(first(&found), ["192.0.2.9:443"], "{forgotten}");
        bench.pass(seconds(10));
        // Who waited before that has what was found then, and nobody else.
        assert_eq!(first(&call.outcome().unwrap().unwrap()), ["192.0.2.3:443"], "{forgotten}");
        let found = bench.resolve("a.example").unwrap();
        assert_eq!(first(&found), ["192.0.2.9:443"], "{forgotten}");
    }
}

#[test]
fn it_does_not_come_back_by_way_of_the_store() {
    let fleet = Fleet::new(delegated().after(URL, seconds(3)));
    let bench = fleet.worker();
    let _call = bench.call("a.example", None);
    bench.pass(seconds(1));
    bench.network.change(moved);
    bench.resolver.invalidate(&"a.example".parse().unwrap());
    bench.pass(seconds(10));
    assert!(fleet.store.value("a.example").is_none());
    assert_eq!(bench.resolve("a.example").unwrap().authority(), "n.example:1");
}

#[test]
fn to_forget_one_name_forgets_nothing_of_others() {
    let bench = Bench::new(delegated().after(URL, seconds(3)).host("x.example", &["192.0.2.5"]));
    for _ in 0..5 {
        let call = bench.call("a.example", None);
        bench.pass(seconds(1));
        bench.resolver.invalidate(&"x.example".parse().unwrap());
        bench.pass(seconds(5));
        assert!(call.outcome().unwrap().is_ok());
    }
    assert_eq!(fetched(&bench), 1);
}

#[test]
fn what_made_a_name_fail_is_forgotten_with_it() {
    let bench = Bench::new(
        Internet::new()
            .host("a.example", &["192.0.2.1"])
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "t.example.")])
            .none("A t.example", NoRecord::NxDomain)
            .none("AAAA t.example", NoRecord::NxDomain),
    );
    assert_eq!(bench.resolve("a.example").unwrap_err().kind(), "no_addresses");
    bench.network.change(|internet| internet.host("t.example", &["192.0.2.3"]));
    bench.resolver.invalidate(&"a.example".parse().unwrap());
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::Srv);

    // A host that the well-known is redirected to.
    let to = "https://w.example/x";
    let bench = Bench::new(
        Internet::new()
            .host("a.example", &["192.0.2.1"])
            .page(URL.trim_start_matches("GET "), 302, &[("location", to)], "")
            .none("A w.example", NoRecord::NxDomain)
            .none("AAAA w.example", NoRecord::NxDomain),
    );
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DefaultPort);
    bench.network.change(|internet| {
        internet.host("w.example", &["192.0.2.3"]).page(to, 200, &[], r#"{"m.server":"192.0.2.9"}"#)
    });
    bench.resolver.invalidate(&"a.example".parse().unwrap());
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedIpLiteral);
}

#[test]
fn many_forgotten_hosts_stay_forgotten() {
    let hosts: Vec<String> = (0..1500).map(|number| format!("x{number}.example")).collect();
    let internet = hosts.iter().fold(Internet::new(), |internet, host| {
        internet.host(host, &["192.0.2.1"]).delegates(host, &format!("{host}:1"))
    });
    let fleet = Fleet::new(internet);
    let worker = fleet.worker();
    for host in &hosts {
        worker.resolve(host).unwrap();
    }
    fleet.network.time().advance(seconds(1));
    let mut config = ResolverConfig::default();
    config.memory.hosts = 50;
    let resolver =
        fleet.network.builder(config).store(Arc::new(fleet.store.clone())).build().unwrap();
    let bench = Bench { network: fleet.network.clone(), resolver };
    for host in &hosts {
        bench.resolver.invalidate(&host.parse().unwrap());
    }
    bench.asked();
    for host in hosts.iter().step_by(100) {
        bench.resolve(host).unwrap();
    }
    let asked = bench.asked();
    assert_eq!(asked.iter().filter(|question| question.starts_with("GET")).count(), 15);
}

#[test]
fn a_good_answer_outlives_a_restart_although_its_renewal_failed() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(20 * 3600));
    bench.network.change(gone);
    // The addresses have run out; the renewal of the document is begun by who comes next.
    bench.resolve("a.example").unwrap();
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(2));
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    let next = bench.network.resolver(Config::default());
    next.restore(&bench.resolver.snapshot()).unwrap();
    bench.asked();
    let name = "a.example".parse().unwrap();
    let found = bench.network.time().block_on(next.resolve(&name)).unwrap();
    assert_eq!((found.step(), found.provenance()), (Step::DelegatedSrv, Provenance::Fresh));
    // Nor is it asked for again: its failed renewal backs off.
    assert_eq!(fetched(&bench), 0);
}

#[test]
fn one_worker_s_failed_renewal_takes_no_good_answer_from_others() {
    let fleet = Fleet::new(delegated());
    let one = fleet.worker();
    one.resolve("a.example").unwrap();
    one.pass(seconds(20 * 3600));
    one.network.change(gone);
    one.resolve("a.example").unwrap();
    one.resolve("a.example").unwrap();
    one.pass(seconds(2));
    let other = fleet.worker().resolve("a.example").unwrap();
    assert_eq!((other.step(), other.degraded()), (Step::DelegatedSrv, None));
}

#[test]
fn names_with_many_silent_targets_do_not_take_all_questions() {
    let mut internet = Internet::new().host("v.example", &["192.0.2.1"]);
    for number in 0..400 {
        let host = format!("h{number}.example");
        let targets: Vec<String> = (0..20).map(|it| format!("t{it}.{host}.")).collect();
        let records: Vec<_> = targets.iter().map(|it| (0, 1, 1, it.as_str())).collect();
        let address = format!("198.51.100.{}", number % 250);
        internet =
            internet.host(&host, &[&address]).srv(&format!("_matrix-fed._tcp.{host}"), &records);
        for target in &targets {
            let target = target.trim_end_matches('.');
            internet = internet.never(&format!("A {target}")).never(&format!("AAAA {target}"));
        }
    }
    let bench = Bench::new(internet);
    let _calls: Vec<_> =
        (0..400).map(|number| bench.call(&format!("h{number}.example"), None)).collect();
    bench.pass(millis(500));
    assert!(bench.network.open() >= 10_000, "{}", bench.network.open());
    bench.resolve("v.example").unwrap();
}

#[test]
fn waiting_for_our_own_turn_is_not_held_against_a_server() {
    let mut config = ResolverConfig::default();
    config.queue.per_destination = 1;
    config.abandoned = Abandoned::Cancel;
    let other = "GET https://b.example/.well-known/matrix/server";
    let internet = delegated().host("b.example", &["192.0.2.1"]).after(other, seconds(4));
    let bench = Bench::with(internet, config);
    let _slow = bench.call("b.example", None);
    bench.pass(millis(100));
    assert!(bench.resolve_for("a.example", millis(2500)).is_none());
    assert_eq!(fetched(&bench), 0);
    bench.pass(seconds(10));
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
}

#[test]
fn renewals_do_not_crowd_out_callers() {
    let mut config = ResolverConfig::default();
    config.queue.discoveries = 2;
    config.queue.waiting = 4;
    let names: Vec<String> = (0..6).map(|number| format!("w{number}.example")).collect();
    let internet = Internet::new().host("cold.example", &["192.0.2.1"]);
    let internet = names.iter().fold(internet, |internet, name| {
        internet.host(name, &["192.0.2.1"]).delegates(name, &format!("{name}:1"))
    });
    let bench = Bench::with(internet, config);
    for name in &names {
        bench.resolve(name).unwrap();
    }
    bench.pass(seconds(260));
    let resolver = bench.resolver.clone();
    let found = bench.network.time().block_on(async move {
        for name in &names {
            resolver.resolve(&name.parse().unwrap()).await.unwrap();
        }
        assert_eq!(resolver.counters().renewals, 2);
        resolver.resolve(&"cold.example".parse().unwrap()).await
    });
    assert_eq!(found.unwrap().step(), Step::DefaultPort);
}

#[test]
fn what_needs_no_question_needs_no_turn() {
    let mut config = ResolverConfig::default();
    config.queue.discoveries = 1;
    config.queue.waiting = 0;
    let network = Network::new(Internet::new().never("A b.example").never("AAAA b.example"));
    let fixed = FixedTarget::new(["127.0.0.1:8448".parse().unwrap()]).unwrap();
    let rules = Rules::new().target(Names::One("dev.example".parse().unwrap()), fixed);
    let resolver = network.builder(config).rules(rules).build().unwrap();
    let bench = Bench { network, resolver };
    let _slow = bench.call("b.example", None);
    bench.pass(millis(1));
    assert_eq!(bench.resolve("dev.example").unwrap().step(), Step::Fixed);
    assert_eq!(bench.resolve("192.0.2.1").unwrap().step(), Step::IpLiteral);
    assert_eq!(bench.resolve("192.0.2.1").unwrap().provenance(), Provenance::Cached);
    assert_eq!(bench.resolve("10.0.0.1").unwrap_err().kind(), "blocked_address");
    assert_eq!(bench.resolve("127.1").unwrap_err().kind(), "unresolvable_name");
}

#[test]
fn a_delegation_that_was_withdrawn_is_believed_the_second_time() {
    let bench = Bench::new(delegated());
    let found = bench.resolve("a.example").unwrap();
    bench.pass(seconds(60));
    bench.network.change(gone);
    // Once may be a deployment.
    bench.resolver.report_failure(&found, &not_found());
    bench.pass(seconds(5));
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    bench.pass(seconds(10));
    bench.resolver.report_failure(&found, &not_found());
    bench.pass(seconds(5));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.provenance()), (Step::DefaultPort, Provenance::Degraded));
    assert_eq!(fetched(&bench), 3);
}

#[test]
fn a_move_is_taken_in_although_the_new_target_is_worse() {
    let bench = Bench::new(delegated());
    let found = bench.resolve("a.example").unwrap();
    bench.pass(seconds(60));
    bench.network.change(|internet| {
        internet
            .delegates("a.example", "n.example")
            .host("n.example", &["192.0.2.9"])
            .fails("SRV _matrix-fed._tcp.n.example", DnsFailure::ServFail)
    });
    bench.resolver.report_failure(&found, &not_found());
    bench.pass(seconds(5));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.authority(), found.provenance()), ("n.example", Provenance::Degraded));
}

#[test]
fn a_worse_target_of_the_same_delegation_is_not_taken_in() {
    let bench = Bench::new(delegated());
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(250));
    // The addresses are renewed ahead, and meanwhile the SRV records, which hold, are forgotten.
    bench.resolver.invalidate(&"m.example".parse().unwrap());
    let fails =
        |internet: Internet| internet.fails("SRV _matrix-fed._tcp.m.example", DnsFailure::ServFail);
    bench.network.change(fails);
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Cached);
    bench.pass(seconds(1));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.degraded()), (Step::DelegatedSrv, None));
}

#[test]
fn that_there_was_no_record_stands_in_marked() {
    let day = seconds(86_400);
    let bench = Bench::new(Internet::new().host_for("a.example", &["192.0.2.1"], day));
    bench.resolve("a.example").unwrap();
    // That there is no SRV record was said for a quarter of an hour.
    bench.pass(seconds(1000));
    bench.network.change(|internet| {
        internet
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "t.example.")])
            .host("t.example", &["192.0.2.3"])
            .after("SRV _matrix-fed._tcp.a.example", seconds(3))
    });
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.provenance()), (Step::DefaultPort, Provenance::Stale));
    bench.pass(seconds(10));
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::Srv);
}

#[test]
fn a_deadline_is_gone_by_with_what_is_remembered() {
    let mut config = ResolverConfig::default();
    config.discovery.time.discovery = seconds(1);
    config.discovery.refresh.wait = seconds(60);
    let bench = Bench::with(delegated(), config);
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(400));
    bench.network.change(|internet| internet.never("A t.example").never("AAAA t.example"));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!((found.step(), found.provenance()), (Step::DelegatedSrv, Provenance::Stale));
}

#[test]
fn what_is_asked_of_a_forgotten_host_is_not_remembered() {
    let bench = Bench::new(delegated().after("A t.example", seconds(3)));
    let call = bench.call("a.example", None);
    bench.pass(seconds(1));
    bench.resolver.invalidate(&"t.example".parse().unwrap());
    bench.pass(seconds(5));
    assert!(call.outcome().unwrap().is_ok());
    let about = |entry: &Subject| match entry {
        Subject::Dns(question) => question.host().as_str() == "t.example",
        Subject::Target(_) => true,
        _ => false,
    };
    let known: Vec<_> = bench.resolver.entries().map(|it| it.subject).filter(about).collect();
    // What was asked after that, and no target that rests on what was asked before.
    assert_eq!(known, []);
}

#[test]
fn a_target_that_rests_on_a_host_to_be_forgotten_is_not_remembered() {
    let network = Network::new(delegated());
    for host in ["m.example", "t.example"] {
        let rules = Rules::new().forget(Names::Under(host.parse().unwrap()));
        let resolver = network.builder(Config::default()).rules(rules).build().unwrap();
        let bench = Bench { network: network.clone(), resolver };
        bench.resolve("a.example").unwrap();
        let targets = bench.resolver.entries();
        let targets = targets.filter(|it| matches!(it.subject, Subject::Target(_))).count();
        assert_eq!(targets, 0, "{host}");
    }
}

#[test]
fn the_wall_clock_that_is_set_back_does_not_disable_the_store() {
    let fleet = Fleet::new(delegated());
    let worker = fleet.worker();
    let wall = fleet.network.time().now().wall;
    fleet.network.time().set_wall(wall + seconds(365 * 86_400));
    worker.resolver.clear();
    fleet.network.time().set_wall(wall);
    fleet.worker().resolve("a.example").unwrap();
    worker.pass(seconds(10));
    worker.asked();
    worker.resolve("a.example").unwrap();
    assert_eq!(fetched(&worker), 0);
}

#[test]
fn the_clocks_of_a_fleet_may_differ_a_little() {
    let fleet = Fleet::new(delegated());
    fleet.worker().resolve("a.example").unwrap();
    fleet.network.time().advance(millis(1));
    let wall = fleet.network.time().now().wall;
    fleet.network.time().set_wall(wall - millis(500));
    let other = fleet.worker();
    other.resolve("a.example").unwrap();
    let counters = other.resolver.counters();
    assert_eq!((counters.store_rejected, counters.store_hits), (0, 1));
}

#[derive(Debug)]
struct Panics;

impl Store for Panics {
    fn get<'a>(&'a self, _: &'a DnsName) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        panic!("scripted")
    }

    fn put<'a>(
        &'a self,
        _: &'a DnsName,
        _: Vec<u8>,
        _: std::time::Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        panic!("scripted")
    }
}

#[test]
fn a_store_that_panics_is_done_without() {
    let network = Network::new(delegated());
    let resolver = network.builder(Config::default()).store(Arc::new(Panics)).build().unwrap();
    let bench = Bench { network, resolver };
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    assert_eq!(bench.resolver.counters().store_failures, 1);
}

#[test]
fn a_report_while_there_is_no_room_is_not_spent() {
    let mut config = ResolverConfig::default();
    config.queue.discoveries = 1;
    let bench = Bench::with(delegated().never("A b.example").never("AAAA b.example"), config);
    let found = bench.resolve("a.example").unwrap();
    bench.pass(seconds(60));
    let _slow = bench.call("b.example", None);
    bench.pass(millis(1));
    bench.resolver.report_failure(&found, &not_found());
    bench.pass(seconds(8));
    bench.asked();
    bench.resolver.report_failure(&found, &not_found());
    bench.pass(seconds(1));
    assert_eq!(fetched(&bench), 1);
}

#[test]
fn addresses_that_take_turns_are_no_move() {
    let bench = Bench::new(delegated());
    let mut asked = Vec::new();
    for tick in 0..360_u32 {
        let found = bench.resolve("a.example").unwrap();
        bench.resolver.report_failure(&found, &not_found());
        let address = format!("192.0.2.{}", 10 + tick % 200);
        bench.network.change(|internet| internet.host("t.example", &[&address]));
        bench.pass(seconds(10));
        asked.extend((fetched(&bench) > 0).then_some(tick));
    }
    assert!(asked.len() < 20, "{asked:?}");
}

#[test]
fn spellings_and_ports_do_not_push_out_the_name_itself() {
    let hour = [("cache-control", "max-age=3600")];
    let bench = Bench::new(delegated().page(&URL[4..], 200, &hour, r#"{"m.server":"m.example"}"#));
    bench.resolve("a.example").unwrap();
    for spelling in ["A.example", "a.Example", "A.Example"] {
        bench.resolve(spelling).unwrap();
    }
    for port in 1..=20 {
        bench.resolve(&format!("a.example:{port}")).unwrap();
    }
    bench.pass(seconds(3601));
    bench.network.change(|internet| internet.never(URL));
    let before = bench.network.time().now().monotonic;
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
    assert_eq!(bench.network.time().now().monotonic.since(before), millis(1800));
}

#[test]
fn redirects_of_what_is_served_are_forgotten_with_it_although_a_renewal_failed_before_them() {
    let to = "https://w.example/x";
    let hour = [("cache-control", "max-age=3600")];
    let bench = Bench::new(
        delegated()
            .page(&URL[4..], 302, &[("location", to)], "")
            .host("w.example", &["192.0.2.7"])
            .page(to, 200, &hour, r#"{"m.server":"m.example"}"#),
    );
    bench.resolve("a.example").unwrap();
    bench.pass(seconds(3601));
    bench.network.change(|internet| internet.page(&URL[4..], 503, &[], ""));
    assert_eq!(bench.resolve("a.example").unwrap().provenance(), Provenance::Stale);
    bench.resolver.invalidate(&"a.example".parse().unwrap());
    assert_eq!(bench.resolver.entries().count(), 0);
}
