//! The specification's ten steps ("Resolving server names"), one after the other, over a world
//! that answers at once. Of the crate it uses the parsed types, nothing else.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use matrix_delegation::ServerName;
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::dns::{DnsAnswer, Records, Service, SrvRecord};
use matrix_delegation::names::{DnsName, Host};
use matrix_delegation::well_known::FetchFailureKind;

use super::lifetimes::{Kept, Rests};
use super::support::InternetExt;
use super::worlds::{Leads, Page, Plan, Preset};
use matrix_delegation::testing::Internet;

/// What should come out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) step: &'static str,
    pub(crate) delegated: Option<String>,
    pub(crate) endpoints: Vec<Place>,
    pub(crate) host_header: String,
    /// The host that the certificate is for.
    pub(crate) certificate: Host,
    /// The SRV look-up that failed and was passed over.
    pub(crate) degraded: Option<Service>,
}

/// One place to connect to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What should go wrong, and at which step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) step: Option<&'static str>,
}

pub(crate) type Verdict = Result<Answer, Failure>;

/// All that is known beforehand of a resolution.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) verdict: Verdict,
    /// How long it holds, if it resolves.
    pub(crate) rests: Rests,
    /// The kind of every warning, in alphabetical order.
    pub(crate) warnings: Vec<&'static str>,
}

/// The name whose host is connected to, and what is sent there.
struct Server {
    name: ServerName,
    delegated: bool,
}

/// The addresses of a host.
#[derive(Default)]
struct Found {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    blocked: usize,
    failed: usize,
    alias: bool,
    /// For how long each family that was heard of is as it is.
    kept: Vec<Kept>,
}

/// Why there is no valid well-known, and for how long.
struct Lapse {
    kept: Kept,
    /// Whether it looks so where nobody delegates.
    ordinary: bool,
}

pub(crate) struct Reference<'a> {
    plan: &'a Plan,
    world: &'a Internet,
    rests: Rests,
    warnings: Vec<&'static str>,
}

impl<'a> Reference<'a> {
    pub(crate) fn resolve(plan: &'a Plan, world: &'a Internet) -> Expected {
        let mut reference = Self { plan, world, rests: Rests::default(), warnings: Vec::new() };
        let verdict = reference.steps();
        let Self { mut rests, mut warnings, .. } = reference;
        warnings.sort_unstable();
        if verdict.as_ref().is_ok_and(|answer| answer.degraded.is_some()) {
            rests.held = Some(Kept::for_now());
        }
        Expected { verdict, rests, warnings }
    }

    fn steps(&mut self) -> Verdict {
        let server = Server { name: self.plan.name.parse().unwrap(), delegated: false };
        let Ok(host) = server.name.to_host() else {
            return Err(Failure { kind: "unresolvable_name", step: None });
        };
        let hostname = match host {
            // 1. "If the hostname is an IP literal, then that IP address should be used".
            Host::Ip(address) => return literal("1", &server, address),
            Host::Dns(hostname) => hostname,
        };
        // 2. "the server name includes an explicit port".
        if let Some(port) = server.name.port() {
            return self.one_host("2", &server, hostname, port, None);
        }
        // 3. "a regular HTTPS request is made to https://<hostname>/.well-known/matrix/server".
        if let Some(delegated) = self.well_known(&hostname) {
            let delegated = Server { name: delegated, delegated: true };
            let hostname = match delegated.name.to_host().unwrap() {
                // 3.1. "<delegated_hostname> is an IP literal".
                Host::Ip(address) => return literal("3.1", &delegated, address),
                Host::Dns(hostname) => hostname,
            };
            // 3.2. "and <delegated_port> is present".
            if let Some(port) = delegated.name.port() {
                return self.one_host("3.2", &delegated, hostname, port, None);
            }
            return self.by_srv(["3.3", "3.4", "3.5"], &delegated, hostname);
        }
        self.by_srv(["4", "5", "6"], &server, hostname)
    }

    /// 3.3 to 3.5, or 4 to 6.
    fn by_srv(&mut self, steps: [&'static str; 3], server: &Server, hostname: DnsName) -> Verdict {
        let mut degraded = None;
        let services = [(Service::MatrixFed, steps[0]), (Service::Matrix, steps[1])];
        for (service, step) in services {
            match self.srv(service, &hostname) {
                Ok(records) if records.is_empty() => {}
                Ok(records) => return self.targets(step, server, hostname, &records, degraded),
                Err(()) if self.failed_look_ups_are_errors() => {
                    return Err(Failure { kind: "dns_failed", step: Some(step) });
                }
                Err(()) => {
                    self.warnings.push("srv_lookup_failed");
                    degraded = degraded.or(Some(service));
                }
            }
        }
        self.one_host(steps[2], server, hostname, 8448, degraded)
    }

    /// The records of an SRV set that was found.
    fn targets(
        &mut self,
        step: &'static str,
        server: &Server,
        hostname: DnsName,
        records: &[SrvRecord],
        degraded: Option<Service>,
    ) -> Verdict {
        // RFC 2782: a target of "." means that the service is decidedly not available.
        if records.iter().all(|record| matches!(record.target.as_str(), "." | "")) {
            return Err(Failure { kind: "service_not_available", step: Some(step) });
        }
        let mut targets: Vec<(u16, Reverse<u16>, String, u16)> = Vec::new();
        let mut dropped = BTreeSet::new();
        for record in records {
            let target = record.target.strip_suffix('.').unwrap_or(&record.target);
            if record.port != 0 && target.parse::<DnsName>().is_ok() {
                let target = target.to_ascii_lowercase();
                targets.push((record.priority, Reverse(record.weight), target, record.port));
            } else {
                dropped.insert((&record.target, record.port));
            }
        }
        targets.sort();
        targets.dedup();
        let dropped = dropped.len() + targets.len().saturating_sub(20);
        targets.truncate(20);
        self.warnings.extend(std::iter::repeat_n("srv_record_dropped", dropped));
        if matches!(step, "3.4" | "5") {
            self.warnings.push("deprecated_srv");
        }
        if matches!(self.plan.preset, Preset::Strict) {
            let is_alias = |target: &str| self.addresses(target).alias;
            let (aliases, others) =
                targets.into_iter().partition(|(_, _, target, _)| is_alias(target));
            let aliases: Vec<_> = aliases;
            self.warnings.extend(aliases.iter().map(|_| "srv_record_dropped"));
            self.rest_on(aliases.iter().map(|(_, _, target, _)| target.clone()));
            targets = others;
        }
        if targets.is_empty() {
            return Err(Failure { kind: "no_usable_endpoint", step: Some(step) });
        }
        let places = targets
            .into_iter()
            .map(|(priority, Reverse(weight), target, port)| Place {
                host: Host::Dns(target.parse().unwrap()),
                port,
                priority,
                weight,
                addresses: Vec::new(),
            })
            .collect();
        self.connect(step, server, hostname, places, degraded)
    }

    fn one_host(
        &mut self,
        step: &'static str,
        server: &Server,
        hostname: DnsName,
        port: u16,
        degraded: Option<Service>,
    ) -> Verdict {
        let host = Host::Dns(hostname.clone());
        let place = Place { host, port, priority: 0, weight: 0, addresses: Vec::new() };
        self.connect(step, server, hostname, vec![place], degraded)
    }

    /// Looks up the addresses of each place; those that have none are left out.
    fn connect(
        &mut self,
        step: &'static str,
        server: &Server,
        hostname: DnsName,
        mut places: Vec<Place>,
        degraded: Option<Service>,
    ) -> Verdict {
        if self.plan.families != AddressFamilies::ByProxy {
            let (mut blocked, mut failed) = (false, false);
            for place in &mut places {
                let found = self.addresses(&place.host.to_string());
                blocked |= found.blocked != 0;
                failed |= found.failed != 0;
                let socket = |address| SocketAddr::new(address, place.port);
                place.addresses = found.in_turns().into_iter().map(socket).collect();
            }
            self.warn_of_hosts(step, &places);
            self.rest_on(places.iter().map(|place| place.host.to_string()));
            places.retain(|place| !place.addresses.is_empty());
            if places.is_empty() {
                let kind = match (failed && self.failed_look_ups_are_errors(), blocked) {
                    (true, _) => "dns_failed",
                    (false, true) => "blocked_address",
                    (false, false) => "no_addresses",
                };
                return Err(Failure { kind, step: Some(step) });
            }
        }
        Ok(answer(step, server, Host::Dns(hostname), places, degraded))
    }

    /// The addresses of each host hold as long as the first family to end; one that is not whole
    /// is asked again after 2 minutes.
    fn rest_on(&mut self, hosts: impl Iterator<Item = String>) {
        for host in hosts {
            let found = self.addresses(&host);
            if found.failed > 0 {
                self.rests.addresses.push(Kept::for_now());
            }
            self.rests.addresses.extend(found.kept);
        }
    }

    fn warn_of_hosts(&mut self, step: &'static str, places: &[Place]) {
        let hosts: BTreeSet<String> = places.iter().map(|place| place.host.to_string()).collect();
        for host in hosts {
            let found = self.addresses(&host);
            let usable = !found.in_turns().is_empty();
            self.warnings.extend(std::iter::repeat_n("address_blocked", found.blocked));
            if usable {
                let failed = std::iter::repeat_n("address_family_failed", found.failed);
                self.warnings.extend(failed);
            }
            if matches!(step, "3.3" | "3.4" | "4" | "5") {
                self.warnings.extend(found.alias.then_some("srv_target_alias"));
                self.warnings.extend((!usable).then_some("srv_target_without_address"));
            }
        }
    }

    /// The name that a valid response delegates to; whatever is invalid leads to step 4.
    fn well_known(&mut self, hostname: &DnsName) -> Option<ServerName> {
        let (delegated, kept) = match self.document(hostname) {
            Ok((delegated, kept)) => (Some(delegated), kept),
            Err(Lapse { kept, ordinary }) => {
                self.warnings.extend((!ordinary).then_some("well_known_unusable"));
                (None, kept)
            }
        };
        self.rests.well_known = Some(kept);
        delegated
    }

    /// "30x redirects should be followed, however redirection loops should be avoided".
    fn document(&self, hostname: &DnsName) -> Result<(ServerName, Kept), Lapse> {
        let temporary = || Lapse { kept: Kept::temporarily(), ordinary: false };
        let permanent = || Lapse { kept: Kept::permanently(), ordinary: false };
        let mut url = format!("https://{hostname}/.well-known/matrix/server");
        let mut seen = Vec::new();
        loop {
            self.reach(&url, hostname)?;
            seen.push(url.clone());
            let leads = match self.plan.page(&url) {
                Page::Document { delegates: Some(delegates), keeping, .. } => {
                    let kept = Kept::document(&keeping, self.plan.preset);
                    return Ok((delegates.parse().unwrap(), kept));
                }
                Page::Document { status: 429, keeping, .. } => {
                    let kept = Kept::too_many_requests(&keeping);
                    return Err(Lapse { kept, ordinary: false });
                }
                Page::Document { status: 408 | 500..600, .. } => return Err(temporary()),
                Page::Document { status: 404, .. } => {
                    return Err(Lapse { ordinary: true, ..permanent() });
                }
                Page::Document { status: 200, body, coding, .. }
                    if coding.is_empty() && body.len() > 51_200 =>
                {
                    return Err(temporary());
                }
                Page::Document { .. } => return Err(permanent()),
                Page::Redirect { leads, .. } => leads,
                Page::Fails(FetchFailureKind::Refused) => {
                    return Err(Lapse { ordinary: true, ..temporary() });
                }
                Page::TooLarge | Page::Fails(_) | Page::Never => return Err(temporary()),
            };
            url = match leads {
                Leads::To(url) => url.to_owned(),
                Leads::Within(path) => format!("https://{}{path}", authority(&url)),
                Leads::Back => url,
                Leads::Nowhere => return Err(permanent()),
            };
            if seen.contains(&url) || seen.len() > self.redirects() {
                return Err(permanent());
            }
        }
    }

    /// Whether a URL's host can be connected to.
    fn reach(&self, url: &str, hostname: &DnsName) -> Result<(), Lapse> {
        let name: ServerName = authority(url).parse().unwrap();
        let blocked = || Lapse { kept: Kept::permanently(), ordinary: false };
        let host = match name.to_host().unwrap() {
            Host::Ip(address) if is_blocked(address) => return Err(blocked()),
            Host::Ip(_) => return Ok(()),
            Host::Dns(_) if self.plan.families == AddressFamilies::ByProxy => return Ok(()),
            Host::Dns(host) => host,
        };
        let found = self.addresses(host.as_str());
        if !found.in_turns().is_empty() {
            Ok(())
        } else if found.failed > 0 {
            Err(Lapse { kept: Kept::temporarily(), ordinary: false })
        } else if found.blocked > 0 {
            Err(blocked())
        } else {
            let kept = Kept::without_address(&found.kept);
            Err(Lapse { kept, ordinary: host == *hostname })
        }
    }

    fn addresses(&self, host: &str) -> Found {
        let mut found = Found::default();
        for (record_type, v6) in [("A", false), ("AAAA", true)] {
            let asked = match self.plan.families {
                AddressFamilies::Both => true,
                AddressFamilies::V4 => !v6,
                AddressFamilies::V6 => v6,
                AddressFamilies::ByProxy => false,
                other => unreachable!("{other:?}"),
            };
            if !asked {
                continue;
            }
            let question = format!("{record_type} {host}");
            if is_onion(host) {
                found.kept.push(Kept::answer(question, None));
                continue;
            }
            let answer = self.world.dns_answer_to(&question);
            match &answer {
                DnsAnswer::Found { records: Records::Addresses(addresses), alias, .. } => {
                    let mut addresses = addresses.clone();
                    addresses.retain(|address| address.is_ipv6() == v6);
                    addresses.sort();
                    addresses.dedup();
                    found.alias |= *alias && !addresses.is_empty();
                    found.kept.push(if addresses.is_empty() {
                        Kept::empty(question)
                    } else {
                        Kept::answer(question, Some(&answer))
                    });
                    let all = addresses.len();
                    addresses.retain(|address| !is_blocked(*address));
                    found.blocked += all - addresses.len();
                    addresses.truncate(8);
                    if v6 { found.v6 = addresses } else { found.v4 = addresses }
                }
                DnsAnswer::None { .. } => found.kept.push(Kept::answer(question, Some(&answer))),
                DnsAnswer::Found { .. } | DnsAnswer::Failed { .. } => found.failed += 1,
            }
        }
        found
    }

    /// The records that there are; an error if that is not known.
    fn srv(&mut self, service: Service, host: &DnsName) -> Result<Vec<SrvRecord>, ()> {
        let question = format!("SRV {service}.{host}");
        if is_onion(host.as_str()) {
            self.rests.srv.push(Kept::answer(question, None));
            return Ok(Vec::new());
        }
        let answer = self.world.dns_answer_to(&question);
        let (kept, records) = match &answer {
            DnsAnswer::Found { records: Records::Srv(records), .. } if records.is_empty() => {
                (Kept::empty(question), Ok(Vec::new()))
            }
            DnsAnswer::Found { records: Records::Srv(records), .. } => {
                (Kept::answer(question, Some(&answer)), Ok(records.clone()))
            }
            DnsAnswer::None { .. } => (Kept::answer(question, Some(&answer)), Ok(Vec::new())),
            DnsAnswer::Found { .. } | DnsAnswer::Failed { .. } => {
                (Kept::failure(question), Err(()))
            }
        };
        self.rests.srv.push(kept);
        records
    }

    fn failed_look_ups_are_errors(&self) -> bool {
        !matches!(self.plan.preset, Preset::Default)
    }

    fn redirects(&self) -> usize {
        if matches!(self.plan.preset, Preset::Synapse) { 20 } else { 10 }
    }
}

impl Found {
    /// The families take turns, IPv4 first.
    fn in_turns(&self) -> Vec<IpAddr> {
        let longest = self.v4.len().max(self.v6.len());
        (0..longest).flat_map(|at| [self.v4.get(at), self.v6.get(at)]).flatten().copied().collect()
    }
}

/// Of the addresses in these worlds; those for documentation are let through.
fn is_blocked(address: IpAddr) -> bool {
    let v4 = match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => match (address.segments(), address.to_ipv4_mapped()) {
            ([0x2001, 0xdb8, ..], _) => return false,
            (_, Some(mapped)) => mapped,
            _ => panic!("{address} is not of these worlds"),
        },
    };
    match v4.octets() {
        [192, 0, 2, _] => false,
        [10 | 127, ..] => true,
        _ => panic!("{v4} is not of these worlds"),
    }
}

/// RFC 7686: such names are not DNS's to answer.
fn is_onion(host: &str) -> bool {
    host.rsplit('.').next() == Some("onion")
}

fn authority(url: &str) -> &str {
    url.strip_prefix("https://").unwrap().split('/').next().unwrap()
}

/// 1 and 3.1.
fn literal(step: &'static str, server: &Server, address: IpAddr) -> Verdict {
    if is_blocked(address) {
        return Err(Failure { kind: "blocked_address", step: Some(step) });
    }
    let port = server.name.port().unwrap_or(8448);
    let addresses = vec![SocketAddr::new(address, port)];
    let host = Host::Ip(address);
    let place = Place { host: host.clone(), port, priority: 0, weight: 0, addresses };
    Ok(answer(step, server, host, vec![place], None))
}

fn answer(
    step: &'static str,
    server: &Server,
    certificate: Host,
    endpoints: Vec<Place>,
    degraded: Option<Service>,
) -> Answer {
    // In every step `Host` is the name as it was written: the server name, or the delegated one.
    let host_header = server.name.as_str().to_owned();
    let delegated = server.delegated.then(|| host_header.clone());
    Answer { step, delegated, endpoints, host_header, certificate, degraded }
}
