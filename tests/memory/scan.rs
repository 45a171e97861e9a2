//! What is in use survives what passes through: names that are asked for once, and spellings.

use matrix_delegation::testing::Internet;
use matrix_delegation::{ResolverConfig, ServerName};

use super::{Bench, URL};

/// At most this many hosts.
fn small(hosts: usize) -> ResolverConfig {
    let mut config = ResolverConfig::default();
    config.memory.hosts = hosts;
    config
}

fn is_remembered(bench: &Bench, name: &str) -> bool {
    let name: ServerName = name.parse().unwrap();
    bench.resolver.cached(&name).is_some()
}

/// How `n` spells a name: its bits say which of the first ten letters are in upper case.
fn spelling(n: usize) -> String {
    let upper = |at: usize| at < 10 && n >> at & 1 == 1;
    let letters = "abcdefghij.example".char_indices();
    letters.map(|(at, it)| if upper(at) { it.to_ascii_uppercase() } else { it }).collect()
}

#[test]
fn names_in_use_survive_a_scan_of_names_asked_for_once() {
    let in_use: Vec<String> = (0..20).map(|n| format!("{n}.used.example")).collect();
    let hosts = |internet: Internet, name: &String| internet.host(name, &["192.0.2.1"]);
    let mut internet = in_use.iter().fold(Internet::new(), hosts);
    let scanned: Vec<String> = (0..2_000).map(|n| format!("{n}.scan.example")).collect();
    internet = scanned.iter().fold(internet, hosts);
    let bench = Bench::with(internet, small(60));
    for name in &in_use {
        bench.resolve(name).unwrap();
    }
    bench.asked();
    for chunk in scanned.chunks(20) {
        for name in &in_use {
            assert!(is_remembered(&bench, name), "{name}");
        }
        for name in chunk {
            bench.resolve(name).unwrap();
        }
    }
    assert!(!bench.asked().iter().any(|question| question.contains("used.example")));
    let remembered = scanned.iter().filter(|name| is_remembered(&bench, name)).count();
    assert!(remembered <= 60 - in_use.len(), "{remembered}");
}

#[test]
fn spellings_of_a_name_push_out_no_other_and_share_what_is_known_of_the_host() {
    let internet = super::delegated()
        .host("abcdefghij.example", &["192.0.2.9"])
        .delegates("abcdefghij.example", "m.example");
    let bench = Bench::with(internet, small(60));
    bench.resolve("a.example").unwrap();
    bench.asked();
    for n in 0..1_000 {
        let spelt = spelling(n);
        let found = bench.resolve(&spelt).unwrap();
        // Identity is case-sensitive, hosts are not.
        assert_eq!((found.server_name().as_str(), found.authority()), (&*spelt, "m.example"));
        assert!(is_remembered(&bench, "a.example"), "{n}");
    }
    let asked = bench.asked();
    let own = |question: &&String| question.contains("abcdefghij");
    let mut own: Vec<&String> = asked.iter().filter(own).collect();
    let count = own.len();
    own.dedup();
    assert_eq!(own.len(), count, "one question, one answer for all: {asked:?}");
    assert!(asked.contains(&URL.replace("a.example", "abcdefghij.example")));
    assert!(!asked.contains(&URL.to_owned()));
}

#[test]
fn a_memory_of_nothing_answers_all_the_same() {
    for forget in [
        |config: &mut ResolverConfig| config.memory.hosts = 0,
        |config: &mut ResolverConfig| config.memory.bytes = 0,
    ] {
        let mut config = ResolverConfig::default();
        forget(&mut config);
        let bench = Bench::with(super::delegated(), config);
        for _ in 0..2 {
            assert_eq!(bench.resolve("a.example").unwrap().authority(), "m.example");
        }
        assert!(!is_remembered(&bench, "a.example"));
    }
}
