//! Each way that is said to work is published in a scripted internet and resolved there; each that
//! is said not to work is tried nevertheless.

use std::net::IpAddr;

use matrix_delegation::dns::Service;
use matrix_delegation::names::{DnsName, Host, HostRef};
use matrix_delegation::plan::{
    HostRecords, Listening, NamePattern, Obstacle, Setup, SrvServices, Way, WayKind, ZoneData,
    ZoneRecord,
};
use matrix_delegation::testing::strategies::server_names;
use matrix_delegation::testing::{Internet, documentation_allowed};
use matrix_delegation::{Config, DelegationTarget, ServerName, Step};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

/// Where a listening host that has a name really is, and where any other host is.
const SERVER: &str = "192.0.2.50";
const WEB: &str = "192.0.2.60";

/// 240 bytes: a host, but none that SRV records fit in front of.
fn long() -> String {
    let label = "a".repeat(58);
    format!("{label}.{label}.{label}.{label}.long")
}

fn names() -> impl Strategy<Value = ServerName> {
    let fixed = [
        "a.example",
        "a.example",
        "A.Example",
        "m.example",
        "sub.a.example",
        "a.example:8448",
        "a.example:443",
        "192.0.2.1",
        "192.0.2.1:443",
        "[2001:db8::1]",
        "10.0.0.1",
        "a.onion",
        "localhost",
        "hs1",
        "a.local",
        "127.1",
    ];
    prop_oneof![
        8 => select(fixed.to_vec()).prop_map(|name| name.parse().unwrap()),
        1 => Just(long().parse().unwrap()),
        1 => server_names().prop_filter("no URL has such a host, as of a label like xn--a", |name| {
            name.to_host().is_err() || url::Url::parse(&format!("https://{}/", name.host_str())).is_ok()
        }),
    ]
}

fn listening() -> impl Strategy<Value = Listening> {
    let hosts = [
        "a.example",
        "a.example",
        "m.example",
        "m.example",
        "matrix.a.example",
        "192.0.2.1",
        "192.0.2.1",
        "2001:db8::1",
        "10.0.0.1",
        "127.0.0.1",
        "fd00::1",
        "a.onion",
        "localhost",
        "hs1",
        "m.internal",
    ];
    let port = select(vec![8448, 8448, 443, 443, 8449, 1, 65535, 0]);
    let records = prop_oneof![4 => Just(HostRecords::Addresses), 1 => Just(HostRecords::Alias)];
    (
        prop_oneof![12 => select(hosts.to_vec()).prop_map(host), 1 => Just(host(&long()))],
        port,
        records,
    )
        .prop_map(|(host, port, records)| Listening::new(host, port).with_host_records(records))
}

fn host(text: &str) -> Host {
    text.parse::<IpAddr>().map_or_else(|_| Host::Dns(text.parse().unwrap()), Host::Ip)
}

fn certificates() -> impl Strategy<Value = Vec<NamePattern>> {
    let names = [
        "a.example",
        "a.example",
        "m.example",
        "m.example",
        "*.a.example",
        "192.0.2.1",
        "2001:db8::1",
        "10.0.0.1",
        "a.onion",
        "localhost",
        "hs1",
        "other.example",
    ];
    let mut names: Vec<NamePattern> = names.iter().map(|name| name.parse().unwrap()).collect();
    names.push(long().parse().unwrap());
    // A server that has nothing but an address is rare, and is to come up, too.
    let address = select(vec!["192.0.2.1", "2001:db8::1"]);
    prop_oneof![
        5 => proptest::collection::vec(select(names), 0..4),
        1 => address.prop_map(|address| vec![address.parse().unwrap()]),
    ]
}

fn setups() -> impl Strategy<Value = Setup> {
    let services = select(vec![SrvServices::Current, SrvServices::WithDeprecated]);
    // Half the time the server is where its name says.
    let place = (names(), listening(), any::<bool>()).prop_map(|(name, listening, same)| {
        let there = match name.to_host() {
            Ok(host) if same => {
                Listening::new(host, listening.port()).with_host_records(listening.host_records())
            }
            _ => listening,
        };
        (name, there)
    });
    (place, certificates(), services, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(
        |((name, listening), mut names, services, own, only)| {
            // Now and then a certificate for just where the server is.
            if only {
                names = vec![listening.host().clone().into()];
            }
            let own = own.then(|| name.to_host().ok()).flatten();
            names.extend(own.map(NamePattern::from));
            Setup::new(name, listening)
                .with_certificate_names(names)
                .with_srv_services(services)
                .with_address_policy(documentation_allowed(Config::default()).address_policy)
        },
    )
}

/// Where a name that only one network knows leads.
fn local(name: &DnsName) -> Option<&'static str> {
    let name = name.as_str();
    match name.rsplit('.').next() {
        Some("localhost") => Some("127.0.0.1"),
        Some("local" | "internal") => Some("10.0.0.1"),
        _ if !name.contains('.') => Some("10.0.0.1"),
        _ => None,
    }
}

fn address(listening: &Listening) -> IpAddr {
    match listening.host() {
        Host::Ip(address) => *address,
        Host::Dns(name) => local(name).unwrap_or(SERVER).parse().unwrap(),
    }
}

/// The hosts as they are before anything is published.
fn world(setup: &Setup) -> Internet {
    let mut internet = Internet::new();
    if let Ok(Host::Dns(name)) = setup.server_name().to_host() {
        internet = internet.host(name.as_str(), &[local(&name).unwrap_or(WEB)]);
    }
    let listening = setup.listening();
    if let Host::Dns(name) = listening.host() {
        internet = internet.host(name.as_str(), &[&address(listening).to_string()]);
        if listening.host_records() == HostRecords::Alias {
            internet = internet.aliased(name.as_str());
        }
    }
    internet
}

fn with_record(internet: Internet, setup: &Setup, record: &ZoneRecord) -> Internet {
    // The line itself is read, as a name server would.
    let line = record.to_string();
    let words: Vec<&str> = line.split(' ').collect();
    let absolute = |name: &str| name.strip_suffix('.').expect("absolute").to_owned();
    let owner = absolute(words[0]);
    assert_eq!(words[2], "IN");
    assert!(words[1].parse::<u32>().unwrap() > 0);
    match words[3] {
        "A" | "AAAA" => internet.host(&owner, &[words[4]]),
        "CNAME" => {
            assert_eq!(host(&absolute(words[4])), *setup.listening().host());
            internet.host(&owner, &[&address(setup.listening()).to_string()]).aliased(&owner)
        }
        "SRV" => {
            let number = |word: &str| word.parse().unwrap();
            absolute(words[7]);
            let srv = (number(words[4]), number(words[5]), number(words[6]), words[7]);
            internet.srv(&owner, &[srv])
        }
        other => panic!("{other}"),
    }
}

fn publish(setup: &Setup, way: &Way, records: &[&ZoneRecord]) -> Internet {
    let mut internet =
        records.iter().fold(world(setup), |internet, record| with_record(internet, setup, record));
    if let Some(document) = way.document() {
        let headers = document.headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        internet = internet.page(document.url(), 200, &headers, document.body());
    }
    internet
}

fn configs() -> [Config; 2] {
    [Config::default(), Config::strict()].map(documentation_allowed)
}

fn covered(setup: &Setup, host: &Host) -> bool {
    setup.certificate_names().iter().any(|name| name.covers(host))
}

/// Whether this target leads to the server, and the server can prove that it is the one.
fn reaches(setup: &Setup, target: &DelegationTarget) -> bool {
    let listening = setup.listening();
    let there = |endpoint: matrix_delegation::Endpoint<'_>| {
        endpoint
            .addresses()
            .any(|at| (at.ip(), at.port()) == (address(listening), listening.port()))
    };
    target.endpoints().all(there) && covered(setup, target.tls_host())
}

fn keeps_its_promise(setup: &Setup, way: &Way) {
    let all: Vec<&ZoneRecord> = way.records().iter().collect();
    let contact = way.contact();
    check(setup, way, &all, contact.step);
    // Old servers know the deprecated records alone.
    let deprecated: Vec<&ZoneRecord> =
        all.iter().copied().filter(|it| it.service() == Some(Service::Matrix)).collect();
    assert_eq!(
        deprecated.len(),
        usize::from(
            way.kind() == WayKind::Srv && setup.srv_services() == SrvServices::WithDeprecated
        )
    );
    if !deprecated.is_empty() {
        assert_eq!(all[0].service(), Some(Service::MatrixFed));
        check(setup, way, &deprecated, Step::DeprecatedSrv);
    }
}

fn check(setup: &Setup, way: &Way, records: &[&ZoneRecord], step: Step) {
    let contact = way.contact();
    let internet = publish(setup, way, records);
    for config in configs() {
        let run = internet.resolve(setup.server_name().clone(), &config);
        let target = run.outcome.unwrap_or_else(|error| panic!("{way:?}: {error}"));
        assert_eq!(target.step(), step, "{way:?}");
        let [endpoint] = target.endpoints().collect::<Vec<_>>()[..] else {
            panic!("{way:?}: {target}")
        };
        assert_eq!((endpoint.host(), endpoint.port()), (&contact.host, contact.port), "{way:?}");
        assert_eq!(target.authority(), contact.host_header, "{way:?}");
        assert_eq!(target.tls_host(), &contact.certificate_name, "{way:?}");
        assert!(reaches(setup, &target), "{way:?}: {target}");
    }
    let place = way.certificates().pop().unwrap();
    assert_eq!((place.host, place.port, place.name), {
        let contact = contact.clone();
        (contact.host, contact.port, contact.certificate_name)
    });
}

/// Whether a step is one of those that a way leads to.
fn is_of(step: Step, kind: WayKind) -> bool {
    match kind {
        WayKind::NothingNeeded => {
            matches!(step, Step::IpLiteral | Step::ExplicitPort | Step::DefaultPort)
        }
        WayKind::WellKnown => step.is_delegated(),
        WayKind::Srv => matches!(step, Step::Srv | Step::DeprecatedSrv),
        other => unreachable!("{other:?}"),
    }
}

/// The host as the URL standard writes it.
fn in_url(host: &Host) -> String {
    let url = url::Url::parse(&format!("https://{host}/")).unwrap();
    url.host_str().unwrap().to_owned()
}

/// Everything that one might publish for a way.
fn attempts(setup: &Setup, kind: WayKind) -> Vec<Internet> {
    let world = world(setup);
    let Ok(server) = setup.server_name().to_host() else { return vec![world] };
    let listening = setup.listening();
    let ip = listening.host().as_ip().map(|address| address.to_string());
    match (kind, &server) {
        (WayKind::NothingNeeded, Host::Dns(name)) => match &ip {
            // No record that one could publish changes what a local name means to others.
            Some(ip) if local(name).is_none() => vec![world.host(name.as_str(), &[ip])],
            _ => vec![world],
        },
        (WayKind::WellKnown, _) => {
            let port = listening.port();
            let mut delegated = vec![
                listening.to_string(),
                listening.host().to_string(),
                format!("{server}:{port}"),
            ];
            let mut world = world;
            for name in setup.certificate_names() {
                let name = match name {
                    NamePattern::Wildcard(parent) => format!("matrix.{parent}").parse().unwrap(),
                    NamePattern::Dns(name) => name.clone(),
                    NamePattern::Ip(_) => continue,
                };
                // The server name's host serves the document, and stays where it is.
                let named = Host::Dns(name.clone());
                // An alias of an onion name leads nowhere.
                let onion = listening.host().as_dns().is_some_and(DnsName::is_onion);
                if !onion && named != server && named != *listening.host() {
                    let there = address(listening).to_string();
                    let there = local(&name).unwrap_or(&there);
                    world = world.host(name.as_str(), &[there]);
                }
                delegated.push(format!("{name}:{port}"));
            }
            delegated.iter().map(|it| world.clone().delegates(&in_url(&server), it)).collect()
        }
        (WayKind::NothingNeeded | WayKind::Srv, Host::Ip(_)) => vec![world],
        // What outsiders cannot look up, or no zone can hold.
        (WayKind::Srv, Host::Dns(name)) if local(name).is_some() || name.as_str().len() > 236 => {
            vec![world]
        }
        (WayKind::Srv, Host::Dns(name)) => {
            let target = match listening.host() {
                Host::Ip(address) => address.to_string(),
                Host::Dns(name) => format!("{name}."),
            };
            ["_matrix-fed._tcp", "_matrix._tcp"]
                .iter()
                .map(|service| {
                    let records = [(10, 0, listening.port(), target.as_str())];
                    world.clone().srv(&format!("{service}.{name}"), &records)
                })
                .collect()
        }
        (other, host) => unreachable!("{other:?} of {host}"),
    }
}

fn cannot_be_made_to_work(setup: &Setup, kind: WayKind, obstacles: &[Obstacle]) {
    assert!(!obstacles.is_empty());
    // By the letter: RFC 2782's ban on aliases is one that the default overlooks.
    let config = documentation_allowed(Config::strict());
    for internet in attempts(setup, kind) {
        let run = internet.resolve(setup.server_name().clone(), &config);
        if let Ok(target) = run.outcome {
            let works = is_of(target.step(), kind) && reaches(setup, &target);
            assert!(!works, "{kind} works in spite of {obstacles:?}: {target}");
        }
    }
}

#[test]
fn what_works_works_and_what_does_not_does_not() {
    let cases = ProptestConfig::default().cases.max(3000);
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    let counts = std::cell::RefCell::new(&mut seen);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&setups(), |setup| {
            let plan = setup.plan();
            let mut worked = true;
            for proposal in plan.proposals() {
                assert!(worked || !proposal.works(), "what works comes first");
                worked = proposal.works();
                let verdict = if let Some(way) = proposal.way() {
                    assert_eq!(way.kind(), proposal.kind);
                    keeps_its_promise(&setup, way);
                    format!("{} works by step {}", proposal.kind, way.contact().step)
                } else {
                    let obstacles = proposal.obstacles();
                    cannot_be_made_to_work(&setup, proposal.kind, obstacles);
                    for obstacle in obstacles {
                        let kind = serde_json::to_value(obstacle).unwrap()["kind"].clone();
                        *counts
                            .borrow_mut()
                            .entry(kind.as_str().unwrap().to_owned())
                            .or_default() += 1;
                    }
                    format!("{} cannot work", proposal.kind)
                };
                *counts.borrow_mut().entry(verdict).or_default() += 1;
            }
            assert!(!plan.to_string().is_empty());
            Ok(())
        })
        .unwrap();
    println!("{seen:#?}");
    // Nothing is proved of what never came up: six steps by which it works, three
    // ways that cannot, thirteen reasons.
    assert_eq!(seen.len(), 6 + 3 + 13, "{seen:#?}");
}

#[test]
fn every_record_is_read_as_it_was_meant() {
    let setup = Setup::new("a.example".parse().unwrap(), "m.example:443".parse().unwrap())
        .with_certificate_names(["a.example".parse().unwrap()]);
    let plan = setup.plan();
    let Some(way @ Way::Srv { records, .. }) = plan.recommended() else { panic!("{plan}") };
    assert_eq!(way.records(), records);
    let ZoneData::Srv { port, target, .. } = records[0].data() else { panic!("{records:?}") };
    assert_eq!((*port, target.as_str()), (443, "m.example"));
    assert!(matches!(setup.server_name().host(), HostRef::Dns("a.example")));
}
