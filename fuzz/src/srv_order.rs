//! SRV records sorted out, and the order in which their targets are tried.
//!
//! Invariant: a set holds exactly the usable records, each once, by priority, weight descending,
//! name and port, cut at the limit; the same set comes of the records in any order; each record is
//! used or listed as dropped with its reason (of those, 32 at most). "No service" is said exactly by
//! a set whose only target is the root. RFC 2782's choice is the record whose running sum first
//! reaches it. The attempts of a target are its endpoints, each once, by priority.
//!
//! Input: limit, seed, then records; see [`Input::read`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::discovery::{Machine, Output, Question};
use matrix_delegation::dns::{
    DnsAnswer, DnsQuestion, Records, Service, SrvDropReason, SrvRecord, SrvSet, select_by_weight,
};
use matrix_delegation::time::Now;
use matrix_delegation::well_known::{Body, FetchFailure, FetchFailureKind};
use matrix_delegation::{Config, DelegationTarget, Discovery};

use crate::driver::short;
use crate::oracle;

/// What a target may be, so that records meet often.
const TARGETS: &[&str] = &[
    "a.example.",
    "b.example",
    "A.Example",
    "c.example.",
    ".",
    "",
    "192.0.2.1",
    "192.0.2.1.",
    "2001:db8::1",
    "127.1.",
    "a_b.example.",
    "a..example",
    "-a.example",
    "a.onion.",
    "..",
];

/// Checks one input.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(&mut Unstructured::new(data)) else { return };
    let set = SrvSet::from_records(&input.records, input.limit);
    check_set(&set, &input);
    for seed in [input.seed, 1, 2] {
        let shuffled = SrvSet::from_records(&shuffled(&input.records, seed), input.limit);
        assert_eq!(shuffled, set);
    }
    assert!(serde_json::to_string(&set).is_ok());
    check_choice(&input);
    // As many as are kept of one answer of DNS.
    let records = &input.records[..input.records.len().min(64)];
    let mut places = usable(records);
    places.truncate(20);
    let Some(target) = resolved(records) else {
        // Without any record the name itself is connected to.
        assert!(places.is_empty() && !records.is_empty());
        return;
    };
    if !records.is_empty() {
        let found = target
            .endpoints()
            .map(|it| (it.priority(), u16::MAX - it.weight(), it.host().to_string(), it.port()));
        assert_eq!(found.collect::<Vec<_>>(), places);
    }
    check_attempts(&target, input.seed);
}

struct Input {
    limit: usize,
    seed: u64,
    choice: u64,
    records: Vec<SrvRecord>,
}

impl Input {
    /// A byte for the limit, two for the seed, three for the choice; of each record a byte each for
    /// priority, weight, port and target, of which high values stand for others.
    fn read(u: &mut Unstructured<'_>) -> Result<Self> {
        let limit = match u.arbitrary::<u8>()? {
            255 => usize::MAX,
            limit => usize::from(limit % 80),
        };
        let seed = u64::from(u.arbitrary::<u16>()?);
        let choice = u64::from(u.arbitrary::<u16>()?) << (u.arbitrary::<u8>()? % 8);
        let mut records = Vec::new();
        while !u.is_empty() && records.len() < 100 {
            let priority = short(u)?;
            let weight = short(u)?;
            let port = short(u)?;
            let target = match usize::from(u.arbitrary::<u8>()?) {
                known if known < TARGETS.len() => TARGETS[known].to_owned(),
                other if other < 128 => format!("h{other}.example."),
                other => {
                    let length = (other - 128) * 3;
                    let length = length.min(u.len());
                    String::from_utf8_lossy(u.bytes(length)?).into_owned()
                }
            };
            records.push(SrvRecord { priority, weight, port, target });
        }
        Ok(Self { limit, seed, choice, records })
    }
}

/// Priority, weight (so that the largest comes first), host and port of the records that can be
/// used, in order, each once.
fn usable(records: &[SrvRecord]) -> Vec<(u16, u16, String, u16)> {
    let places: BTreeSet<_> = records
        .iter()
        .filter(|record| reason(record).is_none())
        .map(|record| {
            let host = record.target.strip_suffix('.').unwrap_or(&record.target);
            (record.priority, u16::MAX - record.weight, host.to_ascii_lowercase(), record.port)
        })
        .collect();
    places.into_iter().collect()
}

/// Which rule a record breaks; what is no host name is told apart no further.
fn reason(record: &SrvRecord) -> Option<&'static str> {
    let name = record.target.strip_suffix('.').unwrap_or(&record.target);
    if name.is_empty() {
        Some("no_service")
    } else if oracle::ipv4(name.as_bytes()).is_some() || oracle::ipv6(name.as_bytes()).is_some() {
        Some("ip_literal")
    } else if !oracle::is_host_name(name.as_bytes(), false) {
        Some("not_a_host_name")
    } else if record.port == 0 {
        Some("port_zero")
    } else {
        None
    }
}

fn check_set(set: &SrvSet, input: &Input) {
    let places = usable(&input.records);
    let found = set.targets().iter().map(|target| {
        assert_ne!(target.port, 0);
        (target.priority, u16::MAX - target.weight, target.host.to_string(), target.port)
    });
    let found: Vec<_> = found.collect();
    let kept = places.len().min(input.limit);
    assert_eq!(found, places[..kept]);

    // Each drop has a record that deserves it, and each record that is not used has a drop, unless
    // there are more of them than are listed.
    let over: BTreeSet<_> =
        places[kept..].iter().map(|(_, _, host, port)| (host.clone(), *port)).collect();
    let mut expected = BTreeSet::new();
    for record in &input.records {
        if let Some(reason) = reason(record) {
            expected.insert((excerpt(&record.target), record.port, reason));
        }
    }
    let unusable = expected.len();
    expected.extend(over.into_iter().map(|(host, port)| (host, port, "over_limit")));
    assert!(set.dropped().len() <= 32);
    for drop in set.dropped() {
        let reason = match drop.reason {
            SrvDropReason::NoService => "no_service",
            SrvDropReason::IpLiteral => "ip_literal",
            SrvDropReason::NotAHostName(_) => "not_a_host_name",
            SrvDropReason::PortZero => "port_zero",
            SrvDropReason::OverLimit => "over_limit",
            other => panic!("{other:?}"),
        };
        assert!(expected.contains(&(drop.target.clone(), drop.port, reason)), "{drop}");
    }
    assert_eq!(set.dropped().is_empty(), expected.is_empty());
    let key = |drop: &matrix_delegation::dns::DroppedSrv| (drop.target.clone(), drop.port);
    assert!(set.dropped().is_sorted_by_key(key));

    let only_root = input.records.iter().all(|record| reason(record) == Some("no_service"));
    assert_eq!(set.is_no_service(), only_root && unusable > 0);
}

/// The first 255 bytes, less what would cut a character.
fn excerpt(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        if kept.len() + character.len_utf8() > 255 {
            break;
        }
        kept.push(character);
    }
    kept
}

/// RFC 2782's words, one after the other.
fn check_choice(input: &Input) {
    let weights: Vec<u16> = input.records.iter().map(|record| record.weight).collect();
    let zeros = weights.iter().enumerate().filter(|(_, weight)| **weight == 0);
    let others = weights.iter().enumerate().filter(|(_, weight)| **weight != 0);
    let mut sum = 0;
    let mut expected = None;
    for (index, weight) in zeros.chain(others) {
        sum += u64::from(*weight);
        if sum >= input.choice {
            expected = Some(index);
            break;
        }
    }
    assert_eq!(select_by_weight(&weights, input.choice), expected);
}

/// The target of a name whose well-known fails and whose SRV records these are.
fn resolved(records: &[SrvRecord]) -> Option<Arc<DelegationTarget>> {
    let config = Config::default().with_addresses(AddressFamilies::ByProxy);
    let name = "m.example".parse().unwrap();
    let now = Now::EPOCH;
    let mut machine = Discovery::new(name, Arc::new(config), now, 0);
    loop {
        match machine.poll_output(now) {
            Output::Done(outcome) => return outcome.ok(),
            Output::Ask(Question::Fetch { token, .. }) => {
                let failure = FetchFailure::new(FetchFailureKind::Refused, "");
                machine.handle(token.answer(Err::<http::Response<Body>, _>(failure)), now);
            }
            Output::Ask(Question::Dns { token, question }) => {
                let service = DnsQuestion::Srv {
                    service: Service::MatrixFed,
                    host: "m.example".parse().unwrap(),
                };
                let records = if question == service { records.to_vec() } else { Vec::new() };
                let records = Records::Srv(records);
                let ttl = Duration::from_secs(60);
                machine.handle(token.answer(DnsAnswer::Found { records, ttl, alias: false }), now);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn check_attempts(target: &DelegationTarget, seed: u64) {
    let endpoints = target.endpoints();
    let attempts: Vec<_> = target.attempts(seed).collect();
    assert_eq!(target.attempts(seed).len(), endpoints.len());
    assert!(attempts.is_sorted_by_key(|endpoint| endpoint.priority()));
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    let all = endpoints.map(|it| format!("{it:?}")).collect();
    let tried = attempts.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(sorted(all), sorted(tried));
    assert!(target.attempts(seed).eq(attempts), "one seed, two orders");
}

fn shuffled(records: &[SrvRecord], seed: u64) -> Vec<SrvRecord> {
    let mut records = records.to_vec();
    let mut state = seed;
    for index in (1..records.len()).rev() {
        // Knuth's multiplier; the high bits are good enough to shuffle by.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap() % (index + 1);
        records.swap(index, other);
    }
    records
}
