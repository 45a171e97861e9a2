//! Every class of answer to every question to DNS, and what a machine is told in each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use matrix_delegation::config::{AddressFamilies, Speculation};
use matrix_delegation::dns::{
    DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, Service, SrvRecord,
};
use matrix_delegation::{AddressPolicy, Config};

use super::document::{Document, Fetched, redirected};

/// What is said of one SRV name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Srv {
    One,
    /// One more than are used, over three priorities: the first target as the class of targets
    /// says, the second good, the third never to be asked for.
    Several,
    /// `.` alone: there is no such service.
    Root,
    /// `.` beside a target that is an alias.
    RootAndAlias,
    /// A target that is an alias.
    Alias,
    /// Port 0 and an IP address.
    Unusable,
    None,
    Failed,
}

impl Srv {
    pub(crate) const ALL: [Self; 8] = [
        Self::One,
        Self::Several,
        Self::Root,
        Self::RootAndAlias,
        Self::Alias,
        Self::Unusable,
        Self::None,
        Self::Failed,
    ];
}

/// What is said of the addresses of a host in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    Some,
    None,
    Blocked,
    Failed,
}

impl Addresses {
    pub(crate) const ALL: [Self; 4] = [Self::Some, Self::None, Self::Blocked, Self::Failed];

    /// The same in both families.
    pub(crate) const BOTH: [[Self; 2]; 4] =
        [[Self::Some; 2], [Self::None; 2], [Self::Blocked; 2], [Self::Failed; 2]];

    /// Each class in the one family beside each in the other.
    pub(crate) fn pairs() -> impl Iterator<Item = [Self; 2]> {
        Self::ALL.into_iter().flat_map(|v4| Self::ALL.map(|v6| [v4, v6]))
    }
}

/// One combination of all of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) document: Document,
    pub(crate) fed: Srv,
    pub(crate) matrix: Srv,
    /// Of the server name itself, where another host's SRV records decide.
    pub(crate) own: Srv,
    /// IPv4, IPv6.
    pub(crate) host: [Addresses; 2],
    pub(crate) delegate: [Addresses; 2],
    pub(crate) target: [Addresses; 2],
}

impl World {
    /// Nothing but the server itself.
    pub(crate) const PLAIN: Self = Self {
        document: Document::NotFound,
        fed: Srv::None,
        matrix: Srv::None,
        own: Srv::None,
        host: [Addresses::Some; 2],
        delegate: [Addresses::Some; 2],
        target: [Addresses::Some; 2],
    };
}

/// Answers, made once.
pub(crate) struct Answers {
    /// By host, family and class.
    addresses: Vec<[[DnsAnswer; 4]; 2]>,
    /// By owner, service and class.
    srv: [[[DnsAnswer; 8]; 2]; 2],
    documents: Vec<Fetched>,
}

/// By their first letters: the server, the delegate, three SRV targets (as the class says, good, an
/// alias), and where redirects go.
const HOSTS: &[u8; 6] = b"amtucr";

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
        Srv::Several => vec![
            record(2, port, "over-limit.example."),
            record(1, port, "u.example."),
            record(0, port, "T.example."),
        ],
        Srv::Root => vec![record(0, 0, ".")],
        Srv::RootAndAlias => vec![record(1, port, "c.example."), record(0, 0, ".")],
        Srv::Alias => vec![record(0, port, "c.example.")],
        Srv::Unusable => vec![record(0, 0, "t.example."), record(0, port, "192.0.2.9.")],
        Srv::None => return DnsAnswer::None { kind: NoRecord::NxDomain, ttl: Some(TTL) },
        Srv::Failed => return DnsAnswer::failed(DnsFailure::Refused),
    };
    DnsAnswer::Found { records: Records::Srv(records), ttl: TTL, alias: false }
}

impl Answers {
    pub(crate) fn new() -> Self {
        let hosts = 0..u16::try_from(HOSTS.len()).unwrap();
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
            documents: Document::ALL.map(Document::response).into(),
        }
    }

    pub(crate) fn dns(&self, world: World, question: &DnsQuestion) -> DnsAnswer {
        let letter = question.host().as_str().as_bytes()[0];
        match question {
            DnsQuestion::Addresses { family, .. } => {
                let host = HOSTS.iter().position(|host| *host == letter).unwrap();
                let family = *family as usize;
                let class = match letter {
                    b'a' => world.host[family],
                    b'm' => world.delegate[family],
                    b't' | b'c' => world.target[family],
                    b'r' => match world.document {
                        Document::RedirectToNoAddress => Addresses::None,
                        Document::RedirectToFailed => Addresses::Failed,
                        Document::RedirectToBlocked => Addresses::Blocked,
                        _ => Addresses::Some,
                    },
                    _ => Addresses::Some,
                };
                self.addresses[host][family][class as usize].clone()
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

    pub(crate) fn response(&self, world: World, uri: &http::Uri) -> Fetched {
        match redirected(uri.path()) {
            Some(response) => Ok(response),
            None => self.documents[world.document.index()].clone(),
        }
    }
}
