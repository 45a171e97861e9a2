//! The specification's ten steps ("Resolving server names"), one after the other, over a world
//! that answers at once. Of the crate it uses the parsed types and the address policy, nothing of
//! the machine.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use matrix_delegation::{
    AddressFamilies, DnsAnswer, DnsName, Host, Records, ServerName, Service, SrvRecord,
};

use super::support::{World, documentation};
use super::worlds::{Leads, Page, Plan, Preset};

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
    blocked: bool,
    failed: bool,
    alias: bool,
}

pub(crate) struct Reference<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) world: &'a World,
}

impl Reference<'_> {
    pub(crate) fn resolve(&self) -> Verdict {
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
    fn by_srv(&self, steps: [&'static str; 3], server: &Server, hostname: DnsName) -> Verdict {
        let mut degraded = None;
        let services = [(Service::MatrixFed, steps[0]), (Service::Matrix, steps[1])];
        for (service, step) in services {
            match self.srv(service, &hostname) {
                Ok(records) if records.is_empty() => {}
                Ok(records) => return self.targets(step, server, hostname, &records, degraded),
                Err(()) if self.failed_look_ups_are_errors() => {
                    return Err(Failure { kind: "dns_failed", step: Some(step) });
                }
                Err(()) => degraded = degraded.or(Some(service)),
            }
        }
        self.one_host(steps[2], server, hostname, 8448, degraded)
    }

    /// The records of an SRV set that was found.
    fn targets(
        &self,
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
        for record in records {
            let target = record.target.strip_suffix('.').unwrap_or(&record.target);
            if record.port != 0 && target.parse::<DnsName>().is_ok() {
                let target = target.to_ascii_lowercase();
                targets.push((record.priority, Reverse(record.weight), target, record.port));
            }
        }
        targets.sort();
        targets.dedup();
        targets.truncate(20);
        if matches!(self.plan.preset, Preset::Strict) {
            targets.retain(|(_, _, target, _)| !self.addresses(target).alias);
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
        &self,
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
        &self,
        step: &'static str,
        server: &Server,
        hostname: DnsName,
        mut places: Vec<Place>,
        degraded: Option<Service>,
    ) -> Verdict {
        if self.plan.families != AddressFamilies::Leave {
            let (mut blocked, mut failed) = (false, false);
            for place in &mut places {
                let found = self.addresses(&place.host.to_string());
                blocked |= found.blocked;
                failed |= found.failed;
                let socket = |address| SocketAddr::new(address, place.port);
                place.addresses = found.in_turns().into_iter().map(socket).collect();
            }
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

    /// The name that a valid response delegates to. "30x redirects should be followed, however
    /// redirection loops should be avoided"; whatever is invalid leads to step 4.
    fn well_known(&self, hostname: &DnsName) -> Option<ServerName> {
        let mut url = format!("https://{hostname}/.well-known/matrix/server");
        let mut seen = Vec::new();
        loop {
            if !self.can_be_connected_to(&url) {
                return None;
            }
            seen.push(url.clone());
            let leads = match self.plan.page(&url) {
                Page::Document { delegates, .. } => return Some(delegates?.parse().unwrap()),
                Page::Redirect { leads, .. } => leads,
                Page::TooLarge | Page::Fails(_) | Page::Never => return None,
            };
            url = match leads {
                Leads::To(url) => url.to_owned(),
                Leads::Within(path) => format!("https://{}{path}", authority(&url)),
                Leads::Back => url,
                Leads::Nowhere => return None,
            };
            if seen.contains(&url) || seen.len() > self.redirects() {
                return None;
            }
        }
    }

    fn can_be_connected_to(&self, url: &str) -> bool {
        let name: ServerName = authority(url).parse().unwrap();
        match name.to_host().unwrap() {
            Host::Ip(address) => documentation().check(address).is_ok(),
            Host::Dns(_) if self.plan.families == AddressFamilies::Leave => true,
            Host::Dns(host) => !self.addresses(host.as_str()).in_turns().is_empty(),
        }
    }

    fn addresses(&self, host: &str) -> Found {
        let mut found = Found::default();
        for (record_type, v6) in [("A", false), ("AAAA", true)] {
            let asked = match self.plan.families {
                AddressFamilies::Both => true,
                AddressFamilies::V4 => !v6,
                AddressFamilies::V6 => v6,
                AddressFamilies::Leave => false,
            };
            if !asked || is_onion(host) {
                continue;
            }
            match self.world.dns_answer(&format!("{record_type} {host}")) {
                DnsAnswer::Found { records: Records::Addresses(mut addresses), alias, .. } => {
                    addresses.retain(|address| address.is_ipv6() == v6);
                    found.alias |= alias && !addresses.is_empty();
                    let all = addresses.len();
                    addresses.retain(|address| documentation().check(*address).is_ok());
                    found.blocked |= addresses.len() < all;
                    addresses.sort();
                    addresses.dedup();
                    addresses.truncate(8);
                    if v6 { found.v6 = addresses } else { found.v4 = addresses }
                }
                DnsAnswer::None { .. } => {}
                DnsAnswer::Found { .. } | DnsAnswer::Failed { .. } => found.failed = true,
            }
        }
        found
    }

    /// The records that there are; an error if that is not known.
    fn srv(&self, service: Service, host: &DnsName) -> Result<Vec<SrvRecord>, ()> {
        if is_onion(host.as_str()) {
            return Ok(Vec::new());
        }
        match self.world.dns_answer(&format!("SRV {service}.{host}")) {
            DnsAnswer::Found { records: Records::Srv(records), .. } => Ok(records),
            DnsAnswer::None { .. } => Ok(Vec::new()),
            DnsAnswer::Found { .. } | DnsAnswer::Failed { .. } => Err(()),
        }
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

/// RFC 7686: such names are not DNS's to answer.
fn is_onion(host: &str) -> bool {
    host.rsplit('.').next() == Some("onion")
}

fn authority(url: &str) -> &str {
    url.strip_prefix("https://").unwrap().split('/').next().unwrap()
}

/// 1 and 3.1.
fn literal(step: &'static str, server: &Server, address: IpAddr) -> Verdict {
    if documentation().check(address).is_err() {
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
