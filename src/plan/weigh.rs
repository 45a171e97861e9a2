//! Which ways work, and why others do not.

use std::net::{IpAddr, Ipv4Addr};

use super::certificate::NamePattern;
use super::listening::HostRecords;
use super::obstacle::Obstacle;
use super::proviso::Proviso;
use super::way::{Contact, Document, Proposal, Verdict, Way, WayKind};
use super::zone::{ZoneData, ZoneRecord, fits};
use super::{Setup, SrvServices};
use crate::core::dns::Service;
use crate::core::names::{DnsName, Host, ServerName};
use crate::core::step::Step;
use crate::core::target::DEFAULT_PORT;
use crate::core::well_known::{WellKnown, WellKnownUrl};

/// Names under these domains are known within one network only: RFC 6762, ICANN's resolution of
/// 2024-07-29, RFC 8375.
const LOCAL_DOMAINS: [&str; 3] = ["local", "internal", "home.arpa"];
/// The priority and the weight of the one SRV record; with one, neither matters.
const PRIORITY: u16 = 10;
const WEIGHT: u16 = 0;

pub(super) fn weigh(setup: &Setup) -> [Proposal; 3] {
    let mut proposals = WayKind::ALL.map(|kind| {
        let verdict = match weigh_one(setup, kind) {
            Ok(way) => Verdict::Works { way: Box::new(way) },
            Err(reasons) => Verdict::CannotWork { reasons },
        };
        Proposal { kind, verdict }
    });
    // Ways that work come first, and among those the ways that take no name from another use. The
    // sort is stable, so the order is otherwise kept.
    proposals.sort_by_key(|proposal| {
        let takes_a_name = |it: &Proviso| matches!(it, Proviso::NoOtherUse { .. });
        let way = proposal.way();
        (way.is_none(), way.is_some_and(|way| way.provisos().iter().any(takes_a_name)))
    });
    proposals
}

type Weighed = Result<Way, Vec<Obstacle>>;

/// Weighs one way, beginning with the obstacles that apply to every way.
fn weigh_one(setup: &Setup, kind: WayKind) -> Weighed {
    let (name, there) = (&setup.server_name, setup.listening.host());
    let mut obstacles = Vec::new();
    if setup.listening.port() == 0 {
        obstacles.push(Obstacle::PortZero);
    }
    obstacles.extend(unreachable(setup, there));
    let host = match name.to_host() {
        Ok(host) => host,
        Err(error) => {
            obstacles.insert(0, Obstacle::UnresolvableServerName { reason: error.reason });
            return Err(obstacles);
        }
    };
    if host != *there {
        obstacles.extend(unreachable(setup, &host));
    }
    // For a document and SRV records others ask only where the name is one of DNS without a port.
    let obstacle = match (kind, &host, name.port()) {
        (WayKind::NothingNeeded, ..) => return nothing_needed(setup, &host, obstacles),
        (WayKind::WellKnown, Host::Dns(name), None) => return well_known(setup, name, obstacles),
        (WayKind::Srv, Host::Dns(name), None) => return srv(setup, name, obstacles),
        (_, Host::Ip(_), port) => {
            Obstacle::ServerNameIsIpLiteral { port: port.unwrap_or(DEFAULT_PORT) }
        }
        (_, Host::Dns(_), Some(port)) => Obstacle::ServerNameHasPort { port },
    };
    obstacles.push(obstacle);
    Err(obstacles)
}

fn nothing_needed(setup: &Setup, host: &Host, mut obstacles: Vec<Obstacle>) -> Weighed {
    let (name, listening) = (&setup.server_name, &setup.listening);
    let expected = name.port().unwrap_or(DEFAULT_PORT);
    if listening.port() != expected && listening.port() != 0 {
        obstacles.push(Obstacle::WrongPort { expected, listening: listening.port() });
    }
    let (mut records, mut provisos) = (Vec::new(), Vec::new());
    match (host, listening.host()) {
        (host, there) if host == there => {}
        // The name may point to that address already, and then the record exists.
        (Host::Dns(host), Host::Ip(address)) => {
            let data = ZoneData::Address(*address);
            records.push(ZoneRecord::new(host.clone(), setup.ttl, data));
            provisos.push(Proviso::LeadsThere { name: host.clone(), address: *address });
        }
        (host, there) => obstacles
            .push(Obstacle::ListensElsewhere { expected: host.clone(), listening: there.clone() }),
    }
    obstacles.extend(lacks(setup, host));
    let step = match (host, name.port()) {
        (Host::Ip(_), _) => Step::IpLiteral,
        (Host::Dns(_), Some(_)) => Step::ExplicitPort,
        (Host::Dns(name), None) => {
            provisos.push(Proviso::NoDocument { host: name.clone() });
            provisos.push(Proviso::NoSrvRecords { host: name.clone() });
            Step::DefaultPort
        }
    };
    let contact = Contact {
        step,
        host: host.clone(),
        port: expected,
        host_header: name.as_str().to_owned(),
        certificate_name: host.clone(),
    };
    none(obstacles).map(|()| Way::NothingNeeded { contact, records, provisos })
}

fn well_known(setup: &Setup, host: &DnsName, mut obstacles: Vec<Obstacle>) -> Weighed {
    let Some(delegated) = delegate(setup, host) else {
        obstacles.extend(lacks(setup, setup.listening.host()));
        return Err(obstacles);
    };
    none(obstacles)?;
    let Delegated { host: delegated, records, provisos } = delegated;
    let port = setup.listening.port();
    // A host and a port above 0 always form a resolvable server name.
    let written = ServerName::parse(format!("{delegated}:{port}"));
    let document = written.ok().and_then(|name| WellKnown::new(name).ok());
    let Some(well_known) = document else { return Err(vec![Obstacle::PortZero]) };
    let contact = Contact {
        step: if delegated.as_ip().is_some() {
            Step::DelegatedIpLiteral
        } else {
            Step::DelegatedPort
        },
        host: delegated.clone(),
        port,
        host_header: well_known.server().as_str().to_owned(),
        certificate_name: delegated,
    };
    let document = Document {
        url: WellKnownUrl::of_host(host).uri().to_string(),
        host: Host::Dns(host.clone()),
        well_known,
        max_age: setup.max_age,
    };
    Ok(Way::WellKnown { contact, document, records, provisos })
}

fn srv(setup: &Setup, owner: &DnsName, mut obstacles: Vec<Obstacle>) -> Weighed {
    let (host, listening) = (Host::Dns(owner.clone()), &setup.listening);
    if !fits(Service::MatrixFed, owner) {
        obstacles.push(Obstacle::TooLongForSrv { host: owner.clone() });
    }
    match listening.host() {
        Host::Ip(address) => obstacles.push(Obstacle::SrvTargetIsAddress { address: *address }),
        Host::Dns(target) if listening.host_records() == HostRecords::Alias => {
            obstacles.push(Obstacle::SrvTargetIsAlias { target: target.clone() });
        }
        Host::Dns(_) => {}
    }
    obstacles.extend(lacks(setup, &host));
    let (Host::Dns(target), []) = (listening.host(), &obstacles[..]) else {
        return Err(obstacles);
    };
    let services: &[Service] = match setup.srv_services {
        SrvServices::Current => &[Service::MatrixFed],
        SrvServices::WithDeprecated => &Service::ALL,
    };
    let (priority, weight, port) = (PRIORITY, WEIGHT, listening.port());
    let data = ZoneData::Srv { priority, weight, port, target: target.clone() };
    let record = ZoneRecord::new(owner.clone(), setup.ttl, data);
    let records = services.iter().map(|service| record.clone().with_service(*service)).collect();
    let contact = Contact {
        step: Step::Srv,
        host: listening.host().clone(),
        port,
        host_header: setup.server_name.as_str().to_owned(),
        certificate_name: host,
    };
    let provisos = vec![Proviso::NoDocument { host: owner.clone() }];
    Ok(Way::Srv { contact, records, provisos })
}

fn none(obstacles: Vec<Obstacle>) -> Result<(), Vec<Obstacle>> {
    if obstacles.is_empty() { Ok(()) } else { Err(obstacles) }
}

/// Returns why others cannot reach a host, if they cannot.
fn unreachable(setup: &Setup, host: &Host) -> Option<Obstacle> {
    match host {
        Host::Ip(address) => {
            let range = setup.address_policy.check(*address).err()?;
            Some(Obstacle::AddressNotPublic { address: *address, range })
        }
        Host::Dns(name) if name.is_onion() => Some(Obstacle::OnionName { name: name.clone() }),
        Host::Dns(name) => {
            // In a network that may connect within itself, its own names are reachable.
            setup.address_policy.check(local_address(name)?).err()?;
            Some(Obstacle::LocalName { name: name.clone() })
        }
    }
}

/// Returns an address of the kind that a local name has; `None` for names in public DNS.
fn local_address(name: &DnsName) -> Option<IpAddr> {
    if is_under(name, "localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let mut domains = LOCAL_DOMAINS.into_iter();
    let local = !name.as_str().contains('.') || domains.any(|domain| is_under(name, domain));
    local.then(|| Ipv4Addr::new(10, 0, 0, 1).into())
}

/// Returns whether a name is the domain or lies below it.
fn is_under(name: &DnsName, domain: &str) -> bool {
    let above = name.as_str().strip_suffix(domain);
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

fn is_covered(setup: &Setup, host: &Host) -> bool {
    setup.certificate_names.iter().any(|name| name.covers(host))
}

/// Returns the obstacle that no certificate is valid for a host, unless one is.
fn lacks(setup: &Setup, wanted: &Host) -> Option<Obstacle> {
    let carried = setup.certificate_names.clone();
    let obstacle = Obstacle::CertificateLacksName { wanted: wanted.clone(), carried };
    (!is_covered(setup, wanted)).then_some(obstacle)
}

/// A host to delegate to, and what that requires.
struct Delegated {
    host: Host,
    records: Vec<ZoneRecord>,
    provisos: Vec<Proviso>,
}

/// Chooses the host to delegate to: one that a certificate is valid for and that leads to the
/// server, or may be made to do so with the least harm to other uses.
///
/// The order is: the host where the server listens, which needs no record; `matrix.` before the
/// server name, and the certificates' other names below the server name that begin so, because the
/// owner of the server name has these for Matrix; the server name's own host, unless that would
/// take its web server away; any other name, which may be a web site.
fn delegate(setup: &Setup, server: &DnsName) -> Option<Delegated> {
    let there = setup.listening.host();
    let is_usable = |name: &DnsName| {
        let host = Host::Dns(name.clone());
        is_covered(setup, &host) && unreachable(setup, &host).is_none()
    };
    if is_covered(setup, there) {
        return Some(Delegated { host: there.clone(), records: vec![], provisos: vec![] });
    }
    let exact = setup.certificate_names.iter().filter_map(|name| match name {
        NamePattern::Dns(name) => Some(name.clone()),
        NamePattern::Wildcard(_) | NamePattern::Ip(_) => None,
    });
    let of_wildcards = setup.certificate_names.iter().filter_map(|name| match name {
        // Any label would do; this one is customary.
        NamePattern::Wildcard(parent) => for_matrix(parent),
        NamePattern::Dns(_) | NamePattern::Ip(_) => None,
    });
    let names: Vec<DnsName> =
        exact.chain(of_wildcards).filter(|name| is_usable(name) && name != server).collect();
    let is_for_matrix = |name: &&DnsName| name.as_str().starts_with("matrix.");
    let its_own = for_matrix(server).filter(|name| is_usable(name)).or_else(|| {
        names.iter().filter(is_for_matrix).find(|name| is_under(name, server.as_str())).cloned()
    });
    if let Some(name) = its_own {
        return Some(led_there(setup, name, Vec::new()));
    }
    if let Some(address) = there.as_ip().filter(|_| is_usable(server)) {
        let provisos = vec![Proviso::LeadsThere { name: server.clone(), address }];
        return Some(led_there(setup, server.clone(), provisos));
    }
    let name = names.iter().find(is_for_matrix).or_else(|| names.first())?.clone();
    let mut provisos = vec![Proviso::NoOtherUse { name: name.clone() }];
    if let Host::Dns(target) = there
        && may_be_apex(setup, server, &name)
    {
        provisos.push(Proviso::NotAnApex { name: name.clone(), target: target.clone() });
    }
    Some(led_there(setup, name, provisos))
}

/// Returns the name with the record that leads it to the server.
fn led_there(setup: &Setup, name: DnsName, provisos: Vec<Proviso>) -> Delegated {
    let data = match setup.listening.host() {
        Host::Ip(address) => ZoneData::Address(*address),
        Host::Dns(target) => ZoneData::Alias(target.clone()),
    };
    let record = ZoneRecord::new(name.clone(), setup.ttl, data);
    Delegated { host: Host::Dns(name), records: vec![record], provisos }
}

/// Returns the customary name for a homeserver in a domain.
fn for_matrix(domain: &DnsName) -> Option<DnsName> {
    format!("matrix.{domain}").parse().ok()
}

/// Returns whether a zone may begin at the name. It would have SOA and NS records, and no CNAME is
/// allowed beside those (RFC 1034 section 3.6.2).
///
/// Names do not show where zones begin. The assumption is that none begins below the server name,
/// or at a name that a wildcard is valid for: no wildcard covers a whole registry's domain
/// (CA/Browser Forum, Baseline Requirements, section 3.2.2.6), so such a name is not a registered
/// one. Any other name may have been registered.
fn may_be_apex(setup: &Setup, server: &DnsName, name: &DnsName) -> bool {
    let host = Host::Dns(name.clone());
    let of_wildcard = setup
        .certificate_names
        .iter()
        .any(|it| matches!(it, NamePattern::Wildcard(_)) && it.covers(&host));
    !is_under(name, server.as_str()) && !of_wildcard
}
