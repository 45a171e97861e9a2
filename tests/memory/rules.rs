//! What an application sets for some names.

use std::sync::Arc;

use matrix_delegation::resolver::{Names, Provenance};
use matrix_delegation::target::{FixedTargetError, Origin};
use matrix_delegation::testing::{Internet, Network, VirtualTime};
use matrix_delegation::{Config, FixedTarget, Resolver, ResolverConfig, Rules, Step};

use super::{Bench, delegated, seconds};

fn bench(internet: Internet, rules: Rules) -> Bench {
    bench_at(VirtualTime::new(), internet, rules)
}

fn bench_at(time: VirtualTime, internet: Internet, rules: Rules) -> Bench {
    let network = Network::with_time(internet, time);
    let resolver = network.builder(Config::default()).rules(rules).build().unwrap();
    Bench { network, resolver }
}

fn one(name: &str) -> Names {
    Names::One(name.parse().unwrap())
}

fn under(ending: &str) -> Names {
    Names::Under(ending.parse().unwrap())
}

fn fixed(addresses: &[&str]) -> FixedTarget {
    FixedTarget::new(addresses.iter().map(|it| it.parse().unwrap())).unwrap()
}

#[test]
fn a_fixed_target_asks_nothing_and_has_no_end() {
    // Loopback is not in the public internet: the rule is the operator's word.
    let rules = Rules::new().target(one("a.example:7"), fixed(&["[::1]:2", "127.0.0.1:1"]));
    let bench = bench(delegated(), rules);
    let found = bench.resolve("a.example:7").unwrap();
    assert_eq!(bench.asked(), [""; 0]);
    assert_eq!((found.step(), found.lifetime()), (Step::Fixed, None));
    assert_eq!(
        (found.authority(), found.tls_host().to_string().as_str()),
        ("a.example:7", "a.example")
    );
    let tried: Vec<String> = found.attempts(3).map(|it| it.to_string()).collect();
    assert_eq!(tried, ["[::1]:2", "127.0.0.1:1"]);
    assert!(found.endpoints().all(|it| it.origin() == Origin::Fixed));
    let addresses: Vec<_> = found.endpoints().next().unwrap().addresses().collect();
    assert_eq!(addresses, ["[::1]:2".parse().unwrap()]);
    assert!(found.report().unwrap().to_string().contains("a rule of the application"));
    bench.pass(seconds(1_000_000));
    assert_eq!(bench.resolve("a.example:7").unwrap().provenance(), Provenance::Cached);
    // It can be written down and read again.
    let json = serde_json::to_string(&**found.target()).unwrap();
    assert!(json.contains(r#""step":"fixed""#), "{json}");
    let back: matrix_delegation::DelegationTarget = serde_json::from_str(&json).unwrap();
    assert_eq!(back, **found.target());
    // Another name is another name.
    assert_eq!(bench.resolve("a.example").unwrap().step(), Step::DelegatedSrv);
}

#[test]
fn the_nearest_rule_holds() {
    let rules = Rules::new()
        .target(under("lan"), fixed(&["10.0.0.1:1"]))
        .target(under("b.lan"), fixed(&["10.0.0.2:1"]))
        .target(one("c.b.lan"), fixed(&["10.0.0.3:1"]));
    let bench = bench(delegated(), rules);
    for (name, endpoint) in [
        ("lan", "10.0.0.1:1"),
        ("a.lan", "10.0.0.1:1"),
        ("A.LAN:8448", "10.0.0.1:1"),
        ("b.lan", "10.0.0.2:1"),
        ("d.b.lan", "10.0.0.2:1"),
        ("c.b.lan", "10.0.0.3:1"),
        ("C.b.lan", "10.0.0.2:1"),
        ("xb.lan", "10.0.0.1:1"),
    ] {
        let found = bench.resolve(name).unwrap();
        assert_eq!(found.endpoints().next().unwrap().to_string(), endpoint, "{name}");
        assert_eq!(found.authority(), name);
    }
    assert_eq!(bench.asked(), [""; 0]);
    assert!(bench.resolve("xlan").is_err());
    // What is no host is none for any rule.
    assert_eq!(bench.resolve("-a.lan").unwrap_err().kind(), "unresolvable_name");
    assert!(bench.resolve("10.0.0.9").is_err_and(|error| error.kind() == "blocked_address"));
}

#[test]
fn a_fixed_target_may_bear_another_name() {
    let target = fixed(&["10.0.0.1:1"]).delegated_to("hs.example:99".parse().unwrap()).unwrap();
    let bench = bench(delegated(), Rules::new().target(one("a.example"), target));
    let found = bench.resolve("a.example").unwrap();
    assert_eq!(found.authority(), "hs.example:99");
    assert_eq!(found.tls_host().to_string(), "hs.example");
    assert_eq!(found.server_name().as_str(), "a.example");
}

#[test]
fn a_fixed_target_that_leads_nowhere_is_refused() {
    assert!(matches!(FixedTarget::new([]), Err(FixedTargetError::Addresses { most: 64 })));
    let many = (1..=65).map(|port| ([10, 0, 0, 1], port).into());
    assert!(matches!(FixedTarget::new(many), Err(FixedTargetError::Addresses { .. })));
    let zero = FixedTarget::new(["10.0.0.1:0".parse().unwrap()]);
    assert!(matches!(zero, Err(FixedTargetError::Port { .. })));
    let nowhere = fixed(&["10.0.0.1:1"]).delegated_to("127.1".parse().unwrap());
    assert!(matches!(nowhere, Err(FixedTargetError::Unresolvable(_))));
}

#[test]
fn some_hosts_are_looked_up_elsewhere() {
    let time = VirtualTime::new();
    let lan = Internet::new().host("hs.lan", &["192.0.2.77"]);
    let lan = Network::with_time(lan, time.clone());
    let internet = Internet::new()
        .host("a.example", &["192.0.2.1"])
        .delegates("a.example", "hs.lan:1")
        .host("hs.lan", &["192.0.2.66"]);
    let rules = Rules::new().dns(under("lan"), Arc::new(lan.clone()));
    let bench = bench_at(time, internet, rules);
    // Who asks makes no difference: what is known of a host is shared.
    let found = bench.resolve("a.example").unwrap();
    let address = found.endpoints().next().unwrap().addresses().next().unwrap();
    assert_eq!(address.to_string(), "192.0.2.77:1");
    assert!(!bench.asked().iter().any(|it| it.ends_with("hs.lan")));
    assert_eq!(lan.asked(), ["A hs.lan", "AAAA hs.lan"]);
}

#[test]
fn what_another_dns_says_is_judged() {
    let time = VirtualTime::new();
    let lan = Internet::new().host("hs.lan", &["127.0.0.1"]);
    let lan = Arc::new(Network::with_time(lan, time.clone()));
    let bench = bench_at(time, Internet::new(), Rules::new().dns(one("hs.lan:5"), lan));
    assert_eq!(bench.resolve("hs.lan:5").unwrap_err().kind(), "blocked_address");
}

#[test]
fn some_names_are_not_remembered() {
    let bench = bench(delegated(), Rules::new().forget(under("example")));
    bench.resolve("a.example").unwrap();
    let first = bench.asked();
    assert!(bench.resolver.cached(&"a.example".parse().unwrap()).is_none());
    assert_eq!(bench.resolver.entries().count(), 0);
    assert!(bench.resolver.snapshot().is_empty());
    let found = bench.resolve("a.example").unwrap();
    assert_eq!(found.provenance(), Provenance::Fresh);
    assert_eq!(bench.asked(), first);
    // Those who ask at the same time share the answer.
    let calls = [bench.call("a.example", None), bench.call("a.example", None)];
    bench.pass(seconds(2));
    assert!(calls.iter().all(|call| call.outcome().unwrap().is_ok()));
    assert_eq!(bench.asked(), first);
}

#[test]
fn nor_is_what_was_given_up() {
    let mut config = ResolverConfig::default();
    config.abandoned = matrix_delegation::config::Abandoned::Cancel;
    let network = Network::new(delegated().after(super::URL, seconds(10)));
    let rules = Rules::new().forget(one("a.example"));
    let resolver: Resolver = network.builder(config).rules(rules).build().unwrap();
    let bench = Bench { network, resolver };
    assert!(bench.resolve_for("a.example", seconds(5)).is_none());
    assert_eq!(bench.resolver.snapshot().len(), 0);
}
