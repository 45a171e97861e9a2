//! Which ways work, and why others do not.

use std::net::{IpAddr, Ipv4Addr};

use super::certificate::NamePattern;
use super::listening::HostRecords;
use super::obstacle::Obstacle;
use super::proviso::Proviso;
use super::way::{Contact, Document, Proposal, Verdict, Way, WayKind};
use super::zone::{Owner, ZoneData, ZoneRecord, fits};
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
        let verdict = match kind {
            WayKind::NothingNeeded => nothing_needed(setup),
            WayKind::WellKnown => well_known(setup),
            WayKind::Srv => srv(setup),
        };
        let verdict = match verdict {
            Ok(way) => Verdict::Works { way: Box::new(way) },
            Err(reasons) => Verdict::CannotWork { reasons },
        };
        Proposal { kind, verdict }
    });
    // The sort is stable, so the order is otherwise kept.
    proposals.sort_by_key(rank);
    proposals
}

/// Ranks ways that work first, and among those the ways that take no name from another use.
fn rank(proposal: &Proposal) -> u8 {
    match proposal.way() {
        Some(way) if way.provisos().iter().any(Proviso::is_of_another_name) => 1,
        Some(_) => 0,
        None => 2,
    }
}

type Weighed = Result<Way, Vec<Obstacle>>;

fn nothing_needed(setup: &Setup) -> Weighed {
    let (name, listening) = (&setup.server_name, &setup.listening);
    let mut obstacles = listening_obstacles(setup);
    let host = server_host(setup, &mut obstacles)?;
    let expected = name.port().unwrap_or(DEFAULT_PORT);
    if listening.port() != expected && listening.port() != 0 {
        obstacles.push(Obstacle::WrongPort { expected, listening: listening.port() });
    }
    let (mut records, mut provisos) = (Vec::new(), Vec::new());
    match (&host, listening.host()) {
        (host, there) if host == there => {}
        // The name may point to that address already, and then the record exists.
        (Host::Dns(host), Host::Ip(address)) => {
            records.push(address_of(setup, host, *address));
            provisos.push(Proviso::LeadsThere { name: host.clone(), address: *address });
        }
        (host, there) => obstacles
            .push(Obstacle::ListensElsewhere { expected: host.clone(), listening: there.clone() }),
    }
    needs_certificate(setup, &host, &mut obstacles);
    let step = match (&host, name.port()) {
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
        certificate_name: host,
    };
    none(obstacles).map(|()| Way::NothingNeeded { contact, records, provisos })
}

fn well_known(setup: &Setup) -> Weighed {
    let mut obstacles = listening_obstacles(setup);
    let host = server_host(setup, &mut obstacles)?;
    let Some(host) = is_asked(setup, &host, &mut obstacles) else { return Err(obstacles) };
    let Some(delegated) = delegate(setup, host) else {
        let wanted = setup.listening.host().clone();
        obstacles.push(lacks(setup, wanted));
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

fn srv(setup: &Setup) -> Weighed {
    let (name, listening) = (&setup.server_name, &setup.listening);
    let mut obstacles = listening_obstacles(setup);
    let host = server_host(setup, &mut obstacles)?;
    let Some(owner) = is_asked(setup, &host, &mut obstacles) else { return Err(obstacles) };
    if !fits(Service::MatrixFed, owner) {
        obstacles.push(Obstacle::TooLongForSrv { host: owner.clone() });
    }
    let target = match listening.host() {
        Host::Ip(address) => {
            obstacles.push(Obstacle::SrvTargetIsAddress { address: *address });
            None
        }
        Host::Dns(target) => {
            if listening.host_records() == HostRecords::Alias {
                obstacles.push(Obstacle::SrvTargetIsAlias { target: target.clone() });
            }
            Some(target)
        }
    };
    needs_certificate(setup, &host, &mut obstacles);
    none(obstacles)?;
    let services: &[Service] = match setup.srv_services {
        SrvServices::Current => &[Service::MatrixFed],
        SrvServices::WithDeprecated => &Service::ALL,
    };
    let records = target.into_iter().flat_map(|target| {
        services.iter().map(|service| {
            let data = ZoneData::Srv {
                priority: PRIORITY,
                weight: WEIGHT,
                port: listening.port(),
                target: target.clone(),
            };
            ZoneRecord::new(Owner::Service(*service, owner.clone()), setup.ttl, data)
        })
    });
    let contact = Contact {
        step: Step::Srv,
        host: listening.host().clone(),
        port: listening.port(),
        host_header: name.as_str().to_owned(),
        certificate_name: host.clone(),
    };
    let provisos = vec![Proviso::NoDocument { host: owner.clone() }];
    Ok(Way::Srv { contact, records: records.collect(), provisos })
}

fn none(obstacles: Vec<Obstacle>) -> Result<(), Vec<Obstacle>> {
    if obstacles.is_empty() { Ok(()) } else { Err(obstacles) }
}

/// Returns the obstacles in where the server listens, which apply to every way.
fn listening_obstacles(setup: &Setup) -> Vec<Obstacle> {
    let listening = &setup.listening;
    let mut obstacles = Vec::new();
    if listening.port() == 0 {
        obstacles.push(Obstacle::PortZero);
    }
    obstacles.extend(unreachable(setup, listening.host()));
    obstacles
}

/// Returns why others cannot reach a host, if they cannot.
fn unreachable(setup: &Setup, host: &Host) -> Option<Obstacle> {
    let name = match host {
        Host::Ip(address) => {
            let range = setup.address_policy.check(*address).err()?;
            return Some(Obstacle::AddressNotPublic { address: *address, range });
        }
        Host::Dns(name) => name,
    };
    if name.is_onion() {
        return Some(Obstacle::OnionName { name: name.clone() });
    }
    // In a network that may connect within itself, its own names are reachable.
    let stands_for = local_address(name)?;
    setup.address_policy.check(stands_for).err()?;
    Some(Obstacle::LocalName { name: name.clone() })
}

/// Returns an address of the kind that a local name has; `None` for names in public DNS.
fn local_address(name: &DnsName) -> Option<IpAddr> {
    let name = name.as_str();
    let under = |domain: &str| {
        name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if under("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let local = !name.contains('.') || LOCAL_DOMAINS.into_iter().any(under);
    local.then(|| Ipv4Addr::new(10, 0, 0, 1).into())
}

/// Returns the server name's host. If there is none, the error contains all obstacles.
fn server_host(setup: &Setup, obstacles: &mut Vec<Obstacle>) -> Result<Host, Vec<Obstacle>> {
    let host = match setup.server_name.to_host() {
        Ok(host) => host,
        Err(error) => {
            obstacles.insert(0, Obstacle::UnresolvableServerName { reason: error.reason });
            return Err(std::mem::take(obstacles));
        }
    };
    if host != *setup.listening.host() {
        obstacles.extend(unreachable(setup, &host));
    }
    Ok(host)
}

/// Returns the name for which others ask for a document and SRV records, if they do.
fn is_asked<'a>(
    setup: &Setup,
    host: &'a Host,
    obstacles: &mut Vec<Obstacle>,
) -> Option<&'a DnsName> {
    let port = setup.server_name.port();
    match (host, port) {
        (Host::Ip(_), _) => {
            let port = port.unwrap_or(DEFAULT_PORT);
            obstacles.push(Obstacle::ServerNameIsIpLiteral { port });
            None
        }
        (Host::Dns(_), Some(port)) => {
            obstacles.push(Obstacle::ServerNameHasPort { port });
            None
        }
        (Host::Dns(name), None) => Some(name),
    }
}

fn needs_certificate(setup: &Setup, wanted: &Host, obstacles: &mut Vec<Obstacle>) {
    if !is_covered(setup, wanted) {
        obstacles.push(lacks(setup, wanted.clone()));
    }
}

fn is_covered(setup: &Setup, host: &Host) -> bool {
    setup.certificate_names.iter().any(|name| name.covers(host))
}

fn lacks(setup: &Setup, wanted: Host) -> Obstacle {
    Obstacle::CertificateLacksName { wanted, carried: setup.certificate_names.clone() }
}

fn address_of(setup: &Setup, host: &DnsName, address: IpAddr) -> ZoneRecord {
    ZoneRecord::new(Owner::Host(host.clone()), setup.ttl, ZoneData::Address(address))
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
        names.iter().filter(is_for_matrix).find(|name| is_below(name, server)).cloned()
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
    let record = match setup.listening.host() {
        Host::Ip(address) => address_of(setup, &name, *address),
        Host::Dns(target) => {
            let data = ZoneData::Alias(target.clone());
            ZoneRecord::new(Owner::Host(name.clone()), setup.ttl, data)
        }
    };
    Delegated { host: Host::Dns(name), records: vec![record], provisos }
}

/// Returns the customary name for a homeserver in a domain.
fn for_matrix(domain: &DnsName) -> Option<DnsName> {
    format!("matrix.{domain}").parse().ok()
}

fn is_below(name: &DnsName, domain: &DnsName) -> bool {
    let above = name.as_str().strip_suffix(domain.as_str());
    above.is_some_and(|above| above.len() > 1 && above.ends_with('.'))
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
    !is_below(name, server) && !of_wildcard
}
