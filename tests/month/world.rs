//! What is true at each moment, and what is answered to whoever asks.
//!
//! Server *n* is named `s<n>.example`. It may delegate to `m<n>x<v>.example`, where *v* counts how
//! often its document changed; its SRV records lead to `t<n>.example`. All its hosts are at one
//! address, which says how often it moved, as the SRV records' port says how often they changed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use matrix_delegation::dns::{DnsQuestion, Service};
use matrix_delegation::names::DnsName;
use matrix_delegation::time::Monotonic;

use crate::random::Random;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// How a server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its name has a port.
    Port,
    /// It delegates to a name with a port.
    DelegatesToPort,
    /// It delegates to a name without, which may have SRV records.
    Delegates,
    /// It has no document, but may have SRV records.
    Plain,
}

/// How HTTPS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    Fine,
    Status(u16),
    /// 429, with `Retry-After`.
    Busy(u64),
    Refuses,
    /// Nothing comes back.
    Silent,
}

/// How DNS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dns {
    Fine,
    Fails,
    Silent,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    kind: Kind,
    document: u32,
    /// `None`: there are no records.
    srv: Option<u16>,
    next_srv: u16,
    address: u32,
    http: Http,
    dns: Dns,
    max_age: Option<u64>,
    ttl: Duration,
    srv_ttl: Duration,
}

/// Something that changes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Document,
    Srv,
    SrvGone,
    Address,
    Http(Http),
    Dns(Dns),
    /// The network of whoever asks is down, or up again.
    Own(bool),
}

/// Which host of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Server,
    /// Delegated to by this version of the document.
    Delegated(u32),
    SrvTarget,
}

/// A question of DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum About {
    Address(Role),
    Srv(Role, Service),
}

/// What DNS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DnsSaid {
    /// The number says which.
    Found(u32, Duration),
    None(Duration),
    Failed,
    Silent,
}

/// What becomes of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpSaid {
    /// This version of the document, with this `max-age`.
    Document(u32, Option<u64>),
    Status(u16),
    Busy(u64),
    Refused,
    Unreachable,
    Silent,
}

/// Where a caller ends up: what to send as `Host`, and where.
pub(crate) type Place = (String, Vec<SocketAddr>);

pub(crate) struct World {
    pub(crate) servers: Vec<Server>,
    changes: Vec<(Monotonic, u32, Change)>,
    next: usize,
    own_down: bool,
}

/// The number of the server that a host belongs to, and what the host is there for.
pub(crate) fn parse(host: &DnsName) -> (u32, Role) {
    let label = host.as_str().strip_suffix(".example").unwrap();
    let (role, rest) = label.split_at(1);
    let (number, version) = rest.split_once('x').unwrap_or((rest, "0"));
    let role = match role {
        "s" => Role::Server,
        "m" => Role::Delegated(version.parse().unwrap()),
        _ => Role::SrvTarget,
    };
    (number.parse().unwrap(), role)
}

pub(crate) fn about(question: &DnsQuestion) -> (u32, About) {
    let (number, role) = parse(question.host());
    let about = match question {
        DnsQuestion::Addresses { .. } => About::Address(role),
        DnsQuestion::Srv { service, .. } => About::Srv(role, *service),
    };
    (number, about)
}

/// The address of a server that moved so often.
pub(crate) fn address(number: u32, version: u32) -> IpAddr {
    // 10.0.0.0/8 has room for 32,768 servers that move 511 times.
    Ipv4Addr::from(0x0A00_0000 | number << 9 | version.min(511)).into()
}

/// How often it had moved when it had this address.
pub(crate) fn moved(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => u32::from(address) & 511,
        IpAddr::V6(_) => unreachable!("there are none here"),
    }
}

/// The port of SRV records that changed so often.
pub(crate) fn srv_port(version: u16) -> u16 {
    10_000 + version
}

impl Server {
    fn new(random: &mut Random) -> Self {
        let kinds = [Kind::Delegates, Kind::DelegatesToPort, Kind::Plain];
        let kind = if random.below(20) == 0 { Kind::Port } else { random.one_of(&kinds) };
        let ages =
            [None, Some(0), Some(600), Some(3600), Some(14_400), Some(86_400), Some(1 << 31)];
        let ttls = [0, 300, 3600, 3600, 14_400, 86_400, 1 << 31].map(Duration::from_secs);
        let srv = (random.below(2) == 0).then_some(0);
        Self {
            kind,
            document: 0,
            srv,
            next_srv: 1,
            address: 0,
            http: Http::Fine,
            dns: Dns::Fine,
            max_age: random.one_of(&ages),
            ttl: random.one_of(&ttls),
            srv_ttl: random.one_of(&ttls[2..]),
        }
    }

    pub(crate) fn name(&self, number: u32) -> String {
        match self.kind {
            Kind::Port => format!("s{number}.example:8500"),
            _ => format!("s{number}.example"),
        }
    }

    /// Where its administrator wants callers to go, whether they can find out or not.
    pub(crate) fn truth(&self, number: u32) -> Place {
        let (document, address) = (self.document, address(number, self.address));
        let by_srv = self.srv.map_or(8448, srv_port);
        let (host, port) = match self.kind {
            Kind::Port => (format!("s{number}.example:8500"), 8500),
            Kind::DelegatesToPort => (format!("m{number}x{document}.example:443"), 443),
            Kind::Delegates => (format!("m{number}x{document}.example"), by_srv),
            Kind::Plain => (format!("s{number}.example"), by_srv),
        };
        (host, vec![SocketAddr::new(address, port)])
    }

    pub(crate) fn delegate(&self, number: u32, version: u32) -> String {
        let port = if self.kind == Kind::DelegatesToPort { ":443" } else { "" };
        format!("m{number}x{version}.example{port}")
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Document => self.document += 1,
            Change::Srv => {
                self.srv = Some(self.next_srv);
                self.next_srv += 1;
            }
            Change::SrvGone => self.srv = None,
            Change::Address => self.address += 1,
            Change::Http(http) => self.http = http,
            Change::Dns(dns) => self.dns = dns,
            Change::Own(_) => {}
        }
    }
}

/// What happens to a server in so many days.
fn happens(number: u32, random: &mut Random, end: Duration) -> Vec<(Duration, u32, Change)> {
    let mut changes = Vec::new();
    // The popular ones have more trouble, or hardly anybody would see any.
    let often = if number < 300 { 4 } else { 1 };
    let mut every = |days: u32, happen: &mut dyn FnMut(&mut Random, Duration) -> Duration| {
        let mut at = random.wait(DAY * days / often);
        while at < end {
            at = happen(random, at) + random.wait(DAY * days / often);
        }
    };
    every(40, &mut |_, at| {
        changes.push((at, number, Change::Document));
        at
    });
    every(60, &mut |random, at| {
        let gone = random.below(3) == 0;
        changes.push((at, number, if gone { Change::SrvGone } else { Change::Srv }));
        at
    });
    every(25, &mut |_, at| {
        changes.push((at, number, Change::Address));
        at
    });
    every(15, &mut |random, at| {
        let states = [
            Http::Status(503),
            Http::Status(500),
            Http::Status(404),
            Http::Status(404),
            Http::Busy(random.one_of(&[0, 600, 7200, 999_999_999])),
            Http::Refuses,
            Http::Silent,
        ];
        let over = at + random.between(MINUTE, DAY * 4);
        changes.push((at, number, Change::Http(random.one_of(&states))));
        changes.push((over, number, Change::Http(Http::Fine)));
        over
    });
    every(20, &mut |random, at| {
        let over = at + random.between(MINUTE, DAY * 2);
        let how = random.one_of(&[Dns::Fails, Dns::Fails, Dns::Silent]);
        changes.push((at, number, Change::Dns(how)));
        changes.push((over, number, Change::Dns(Dns::Fine)));
        over
    });
    changes
}

impl World {
    pub(crate) fn new(seed: u64, count: u32, start: Monotonic, end: Duration) -> Self {
        let mut changes = Vec::new();
        let mut servers = Vec::new();
        for number in 0..count {
            let mut random = Random::new(seed, u64::from(number) + 10);
            servers.push(Server::new(&mut random));
            changes.extend(happens(number, &mut random, end));
        }
        let mut random = Random::new(seed, 1);
        let mut at = random.wait(DAY * 4);
        while at < end {
            let over = at + random.between(MINUTE * 2, HOUR);
            changes.extend([(at, 0, Change::Own(true)), (over, 0, Change::Own(false))]);
            at = over + random.wait(DAY * 4);
        }
        changes.sort_by_key(|(at, ..)| *at);
        let changes =
            changes.into_iter().map(|(at, number, change)| (start + at, number, change)).collect();
        Self { servers, changes, next: 0, own_down: false }
    }

    /// Whatever happens until then has happened.
    pub(crate) fn go_to(&mut self, now: Monotonic) {
        while let Some((_, number, change)) = self.changes.get(self.next).filter(|it| it.0 <= now) {
            self.next += 1;
            if let Change::Own(down) = change {
                self.own_down = *down;
            }
            self.servers[*number as usize].change(*change);
        }
    }

    pub(crate) fn server(&self, number: u32) -> &Server {
        &self.servers[number as usize]
    }

    pub(crate) fn dns(&self, number: u32, about: About) -> DnsSaid {
        let server = self.server(number);
        match server.dns {
            _ if self.own_down => return DnsSaid::Failed,
            Dns::Fails => return DnsSaid::Failed,
            Dns::Silent => return DnsSaid::Silent,
            Dns::Fine => {}
        }
        let delegates = matches!(server.kind, Kind::Delegates);
        let carries_srv = |role| match role {
            Role::Server => server.kind == Kind::Plain,
            // The records of a name that is not delegated to any more were taken down.
            Role::Delegated(version) => delegates && version == server.document,
            Role::SrvTarget => false,
        };
        match about {
            About::Address(_) => DnsSaid::Found(server.address, server.ttl),
            About::Srv(role, Service::MatrixFed) if carries_srv(role) => match server.srv {
                Some(version) => DnsSaid::Found(version.into(), server.srv_ttl),
                None => DnsSaid::None(server.srv_ttl),
            },
            About::Srv(..) => DnsSaid::None(server.srv_ttl),
        }
    }

    pub(crate) fn http(&self, number: u32) -> HttpSaid {
        let server = self.server(number);
        match server.http {
            _ if self.own_down => HttpSaid::Unreachable,
            Http::Status(status) => HttpSaid::Status(status),
            Http::Busy(after) => HttpSaid::Busy(after),
            Http::Refuses => HttpSaid::Refused,
            Http::Silent => HttpSaid::Silent,
            Http::Fine => match server.kind {
                Kind::Port | Kind::Plain => HttpSaid::Status(404),
                Kind::Delegates | Kind::DelegatesToPort => {
                    HttpSaid::Document(server.document, server.max_age)
                }
            },
        }
    }
}
