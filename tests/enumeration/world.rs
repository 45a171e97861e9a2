//! Every class of answer to every question, and what a machine is told in each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use matrix_delegation::{
    AddressFamilies, AddressPolicy, Body, Config, DnsAnswer, DnsFailure, DnsQuestion, Family,
    FetchFailure, FetchFailureKind, NoRecord, Records, Service, Speculation, SrvRecord,
};

pub(crate) type Fetched = Result<Response<Body>, FetchFailure>;

/// What comes of `https://a.example/.well-known/matrix/server`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    NotFound,
    ToIp,
    ToBlockedIp,
    ToNameAndPort,
    ToName,
    ToItself,
    RedirectToGood,
    ServerError,
    Refused,
    BadBody,
    TooLarge,
    Never,
    RedirectToNoAddress,
    RedirectToFailed,
    RedirectToBlocked,
    RedirectToBlockedIp,
    RedirectToHttp,
    RedirectInCircle,
    RedirectTooOften,
}

impl Document {
    /// 404 first: the others are compared with it.
    pub(crate) const ALL: [Self; 19] = [
        Self::NotFound,
        Self::ToIp,
        Self::ToBlockedIp,
        Self::ToNameAndPort,
        Self::ToName,
        Self::ToItself,
        Self::RedirectToGood,
        Self::ServerError,
        Self::Refused,
        Self::BadBody,
        Self::TooLarge,
        Self::Never,
        Self::RedirectToNoAddress,
        Self::RedirectToFailed,
        Self::RedirectToBlocked,
        Self::RedirectToBlockedIp,
        Self::RedirectToHttp,
        Self::RedirectInCircle,
        Self::RedirectTooOften,
    ];

    /// The name delegated to, and its host.
    pub(crate) fn delegates(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::ToIp => ("192.0.2.77:9", "192.0.2.77"),
            Self::ToBlockedIp => ("10.0.0.77", "10.0.0.77"),
            Self::ToNameAndPort => ("M.example:443", "m.example"),
            Self::ToName | Self::RedirectToGood => ("M.example", "m.example"),
            Self::ToItself => ("a.Example", "a.example"),
            _ => return None,
        })
    }

    /// Whether the SRV records and addresses of another host decide.
    pub(crate) fn asks_srv_of_another(self) -> bool {
        matches!(self, Self::ToName | Self::RedirectToGood)
    }

    pub(crate) fn asks_addresses_of_another(self) -> bool {
        self.asks_srv_of_another() || self == Self::ToNameAndPort
    }
}

/// What is said of one SRV name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Srv {
    One,
    /// Over two priorities, one target as the class of targets says, one good.
    Several,
    Root,
    Alias,
    Unusable,
    None,
    Failed,
}

impl Srv {
    pub(crate) const ALL: [Self; 7] = [
        Self::One,
        Self::Several,
        Self::Root,
        Self::Alias,
        Self::Unusable,
        Self::None,
        Self::Failed,
    ];
}

/// What is said of a host's addresses, in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    Some,
    None,
    Blocked,
    Failed,
}

impl Addresses {
    pub(crate) const ALL: [Self; 4] = [Self::Some, Self::None, Self::Blocked, Self::Failed];
}

/// One combination of all of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) document: Document,
    pub(crate) fed: Srv,
    pub(crate) matrix: Srv,
    /// Of the server name itself, where another host's SRV records decide.
    pub(crate) own: Srv,
    pub(crate) host: Addresses,
    pub(crate) delegate: Addresses,
    pub(crate) target: Addresses,
}

/// Answers, made once.
pub(crate) struct Answers {
    /// By host, family and class.
    addresses: Vec<[[DnsAnswer; 4]; 2]>,
    /// By owner, service and class.
    srv: [[[DnsAnswer; 7]; 2]; 2],
    documents: Vec<Fetched>,
    redirected: [Response<Body>; 4],
}

/// By their first letters: the server, the delegate, three SRV targets (as the class says, good,
/// an alias), one of the server's own that should not matter, and where redirects go.
const HOSTS: &[u8; 7] = b"amtucsr";

/// What is let through: the ranges for documentation.
pub(crate) fn policy() -> AddressPolicy {
    AddressPolicy::default()
        .allow("192.0.2.0/24".parse().unwrap())
        .allow("2001:db8::/32".parse().unwrap())
}

/// What no connection may go to, in other words than the policy's.
pub(crate) fn is_blocked(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

/// The three presets under a family, with limits so tight that the bounds mean something.
pub(crate) fn configs(families: AddressFamilies) -> [[Arc<Config>; 2]; 3] {
    [Config::default(), Config::strict(), Config::synapse()].map(|preset| {
        [Speculation::Full, Speculation::Off].map(|speculation| {
            let mut config = preset.clone().with_address_policy(policy()).with_addresses(families);
            config.limits.redirects = 2;
            config.limits.srv_records = 2;
            Arc::new(config.with_speculation(speculation))
        })
    })
}

/// How many questions a discovery can ask at the most.
pub(crate) fn most_questions(config: &Config) -> usize {
    let limits = &config.limits;
    // The server, the delegate, every hop, every target, and one target asked for in vain.
    let hosts = 2 + limits.redirects + limits.srv_records + 1;
    let srv = 4;
    let fetches = 1 + limits.redirects;
    hosts * config.addresses.families().len() + srv + fetches
}

/// Server names, each with the host in its certificate; the first does not decide by itself.
pub(crate) const NAMES: [(&str, &str); 6] = [
    ("A.example", "a.example"),
    ("a.Example:443", "a.example"),
    ("192.0.2.1", "192.0.2.1"),
    ("10.0.0.1:4", "10.0.0.1"),
    ("[2001:db8::1]:4", "2001:db8::1"),
    ("[fd00::1]", "fd00::1"),
];

const TTL: Duration = Duration::from_secs(300);

/// The port says whose record it was and of which service.
pub(crate) fn port(owner: usize, service: Service) -> u16 {
    let service = if service == Service::MatrixFed { 1 } else { 2 };
    1000 * (u16::try_from(owner).unwrap() + 1) + service
}

fn addresses(host: u16, family: Family, class: Addresses) -> DnsAnswer {
    let low = u8::try_from(host).unwrap() + 1;
    let address: IpAddr = match (class, family) {
        (Addresses::Some, Family::V4) => Ipv4Addr::new(192, 0, 2, low).into(),
        (Addresses::Some, Family::V6) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into(),
        (Addresses::Blocked, Family::V4) => Ipv4Addr::new(10, 0, 0, low).into(),
        (Addresses::Blocked, Family::V6) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host).into(),
        (Addresses::None, _) => return DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(TTL) },
        (Addresses::Failed, _) => return DnsAnswer::failed(DnsFailure::ServFail),
    };
    let alias = HOSTS[usize::from(host)] == b'c';
    DnsAnswer::Found { records: Records::Addresses(vec![address]), ttl: TTL, alias }
}

fn srv(owner: usize, service: Service, class: Srv) -> DnsAnswer {
    let port = port(owner, service);
    let record = |priority, port, target: &str| SrvRecord {
        priority,
        weight: 0,
        port,
        target: target.to_owned(),
    };
    let records = match class {
        Srv::One => vec![record(0, port, "t.example.")],
        Srv::Several => vec![record(1, port, "u.example."), record(0, port, "T.example.")],
        Srv::Root => vec![record(0, 0, ".")],
        Srv::Alias => vec![record(0, port, "c.example.")],
        Srv::Unusable => vec![record(0, 0, "t.example."), record(0, port, "192.0.2.9.")],
        Srv::None => return DnsAnswer::None { kind: NoRecord::NxDomain, ttl: Some(TTL) },
        Srv::Failed => return DnsAnswer::failed(DnsFailure::Refused),
    };
    DnsAnswer::Found { records: Records::Srv(records), ttl: TTL, alias: false }
}

fn page(status: u16, location: &str, body: &str) -> Response<Body> {
    let response = Response::builder().status(status);
    let response =
        if location.is_empty() { response } else { response.header("location", location) };
    response.body(Body::from(body.as_bytes())).unwrap()
}

fn document(class: Document) -> Fetched {
    if class == Document::RedirectToGood {
        return Ok(page(302, "https://r.example/good", ""));
    }
    if let Some((server, _)) = class.delegates() {
        return Ok(page(200, "", &format!(r#"{{"m.server":"{server}"}}"#)));
    }
    Ok(match class {
        Document::NotFound => page(404, "", r#"{"m.server":"192.0.2.99"}"#),
        Document::ServerError => page(503, "", r#"{"m.server":"192.0.2.99"}"#),
        Document::BadBody => page(200, "", r#"{"m.server":"127.1"}"#),
        Document::TooLarge => Response::new(Body::TooLarge),
        Document::RedirectToBlockedIp => page(302, "https://10.2570/gone", ""),
        Document::RedirectToHttp => page(302, "http://r.example/good", ""),
        Document::RedirectInCircle => page(302, "/.well-known/matrix/server", ""),
        Document::RedirectTooOften => page(302, "https://r.example/1", ""),
        Document::RedirectToNoAddress
        | Document::RedirectToFailed
        | Document::RedirectToBlocked => page(302, "https://r.example/gone", ""),
        _ => return Err(FetchFailure::new(FetchFailureKind::Refused, "scripted")),
    })
}

impl Answers {
    pub(crate) fn new() -> Self {
        let hosts = 0..u16::try_from(HOSTS.len()).unwrap();
        let good = r#"{"m.server":"M.example"}"#;
        Self {
            addresses: hosts
                .map(|host| {
                    [Family::V4, Family::V6]
                        .map(|family| Addresses::ALL.map(|class| addresses(host, family, class)))
                })
                .collect(),
            srv: [0, 1].map(|owner| {
                [Service::MatrixFed, Service::Matrix]
                    .map(|service| Srv::ALL.map(|class| srv(owner, service, class)))
            }),
            documents: Document::ALL.map(document).into(),
            redirected: [
                page(200, "", good),
                page(302, "https://r.example/2", ""),
                page(302, "https://r.example/good", ""),
                page(404, "", good),
            ],
        }
    }

    pub(crate) fn dns(&self, world: World, question: &DnsQuestion) -> DnsAnswer {
        let letter = question.host().as_str().as_bytes()[0];
        match question {
            DnsQuestion::Addresses { family, .. } => {
                let host = HOSTS.iter().position(|host| *host == letter).unwrap();
                let class = match letter {
                    b'a' => world.host,
                    b'm' => world.delegate,
                    b't' | b'c' => world.target,
                    b'r' => match world.document {
                        Document::RedirectToNoAddress => Addresses::None,
                        Document::RedirectToFailed => Addresses::Failed,
                        Document::RedirectToBlocked => Addresses::Blocked,
                        _ => Addresses::Some,
                    },
                    _ => Addresses::Some,
                };
                self.addresses[host][*family as usize][class as usize].clone()
            }
            DnsQuestion::Srv { service, .. } => {
                let owner = usize::from(letter == b'm');
                let class = match (letter, service) {
                    (b'a', _) if world.document.asks_srv_of_another() => world.own,
                    (_, Service::MatrixFed) => world.fed,
                    (_, Service::Matrix) => world.matrix,
                };
                self.srv[owner][*service as usize][class as usize].clone()
            }
        }
    }

    /// `None`: never.
    pub(crate) fn response(&self, world: World, uri: &http::Uri) -> Option<Fetched> {
        if world.document == Document::Never {
            return None;
        }
        let redirected = match uri.path() {
            "/good" => 0,
            "/1" => 1,
            "/2" => 2,
            "/gone" => 3,
            _ => return Some(self.documents[world.document as usize].clone()),
        };
        Some(Ok(self.redirected[redirected].clone()))
    }
}
