//! A plan as a script: the answers in full, and when they come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use http::Response;
use matrix_delegation::Config;
use matrix_delegation::dns::{DnsAnswer, NoRecord, Records, SrvRecord};
use matrix_delegation::testing::{Internet, Run};
use matrix_delegation::well_known::{Body, FetchFailure, FetchFailureKind};

use super::super::support::{self, InternetExt, millis, seconds};
use super::{
    Addresses, Expires, FamilyOf, HOSTS, Keeping, Leads, Page, Plan, Preset, SERVICES, SRV_HOSTS,
    ServiceOf, Srv, URLS, document,
};

/// Knuth's MMIX generator, upper bits.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

impl FamilyOf {
    /// The answer about the host with this number.
    fn answer(&self, number: u16, v6: bool) -> DnsAnswer {
        let low = u8::try_from(number).unwrap();
        let good = |v6: bool, more: u8| {
            if v6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, more.into(), number).into()
            } else {
                IpAddr::from(Ipv4Addr::new(192, 0, 2, low + more))
            }
        };
        let blocked = if v6 {
            Ipv4Addr::new(10, 0, 0, low).to_ipv6_mapped().into()
        } else {
            IpAddr::from(Ipv4Addr::new(10, 0, 0, low))
        };
        let (alias, ttl) = (self.alias, self.ttl);
        let addresses = match self.addresses {
            Addresses::One => vec![good(v6, 0)],
            Addresses::Many => {
                let good = (0..12).rev().map(|more| good(v6, more * 10));
                good.clone().chain([blocked]).chain(good).collect()
            }
            Addresses::Blocked => vec![blocked],
            Addresses::PartlyBlocked => vec![good(v6, 20), blocked, good(v6, 0)],
            Addresses::OfTheOtherFamily => vec![good(!v6, 0)],
            Addresses::Empty => Vec::new(),
            Addresses::Nonsense => {
                return found(Records::Srv(vec![record(&(0, 0, 1, "t.example."))]), alias, ttl);
            }
            Addresses::None(kind) => return none(kind, ttl),
            Addresses::Failed(failure) => return DnsAnswer::failed(failure),
        };
        found(Records::Addresses(addresses), alias, ttl)
    }
}

impl ServiceOf {
    fn answer(&self) -> DnsAnswer {
        let records = match &self.srv {
            Srv::Records(records) => Records::Srv(records.iter().map(record).collect()),
            Srv::Crowd => Records::Srv(
                (1..=25).map(|port| record(&(port % 3, port % 2, port, "t.example."))).collect(),
            ),
            Srv::Nonsense => Records::Addresses(vec![Ipv4Addr::LOCALHOST.into()]),
            Srv::None(kind) => return none(*kind, self.ttl),
            Srv::Failed(failure) => return DnsAnswer::failed(*failure),
        };
        found(records, false, self.ttl)
    }
}

fn found(records: Records, alias: bool, ttl: Option<u64>) -> DnsAnswer {
    DnsAnswer::Found { records, ttl: seconds(ttl.unwrap_or(600)), alias }
}

fn none(kind: NoRecord, ttl: Option<u64>) -> DnsAnswer {
    DnsAnswer::None { kind, ttl: ttl.map(seconds) }
}

fn record(&(priority, weight, port, target): &(u16, u16, u16, &str)) -> SrvRecord {
    SrvRecord { priority, weight, port, target: target.to_owned() }
}

impl Keeping {
    /// As header lines; `Cache-Control` on one.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let date =
            |seconds: u64| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + self::seconds(seconds));
        let max_age = self.max_age.iter().map(|seconds| format!("max-age={seconds}"));
        let words = [self.beside, self.not_at_all].into_iter().flatten().map(str::to_owned);
        let directives: Vec<String> = max_age.chain(words).collect();
        let mut lines = Vec::new();
        if !directives.is_empty() {
            lines.push(("cache-control", directives.join(", ")));
        }
        lines.extend(self.age.map(|seconds| ("age", seconds.to_string())));
        let expires = self.expires.map(|expires| match expires {
            Expires::At(at) => date(at),
            Expires::NoDate => "0".to_owned(),
        });
        lines.extend(expires.map(|expires| ("expires", expires)));
        lines.extend(self.date.map(|at| ("date", date(at))));
        lines.extend(self.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        lines
    }
}

impl Page {
    fn response(&self) -> Result<Response<Body>, FetchFailure> {
        let (response, body) = match self {
            Self::Document { status, coding, body, keeping, .. } => {
                let mut response = Response::builder().status(*status);
                for (name, value) in keeping.lines() {
                    response = response.header(name, value);
                }
                let response = if coding.is_empty() {
                    response
                } else {
                    response.header("content-encoding", *coding)
                };
                (response, Body::from(body.as_bytes()))
            }
            Self::Redirect { status, location, .. } => {
                let body = br#"{"m.server":"192.0.2.99"}"#;
                let response = Response::builder().status(*status).header("location", location);
                (response, Body::from(&body[..]))
            }
            Self::TooLarge => (Response::builder(), Body::TooLarge),
            Self::Fails(kind) => return Err(FetchFailure::new(*kind, "scripted")),
            Self::Never => return Err(FetchFailure::new(FetchFailureKind::Refused, "never comes")),
        };
        Ok(response.body(body).unwrap())
    }
}

impl Plan {
    /// What is at a URL; where nothing is, the connection is refused.
    pub(crate) fn page(&self, url: &str) -> Page {
        if let Some(number) = url.strip_prefix("https://r.example/n/") {
            let number: usize = number.parse().unwrap();
            return if number < self.chain {
                let location = format!("/n/{}", number + 1);
                Page::Redirect { status: 302, leads: Leads::Within(location.clone()), location }
            } else {
                document(200, "m.example:443", true, Keeping::default())
            };
        }
        let page = self.pages.iter().find(|(known, _)| *known == url);
        page.map_or(Page::Fails(FetchFailureKind::Refused), |(_, page)| page.clone())
    }

    /// Every URL that there is something at.
    pub(crate) fn urls(&self) -> Vec<String> {
        let chain = (0..=self.chain).map(|number| format!("https://r.example/n/{number}"));
        URLS.iter().map(|url| (*url).to_owned()).chain(chain).collect()
    }

    /// Every question that there is an answer to.
    pub(crate) fn questions() -> impl Iterator<Item = String> {
        let addresses = HOSTS
            .iter()
            .flat_map(|host| ["A", "AAAA"].map(|record_type| format!("{record_type} {host}")));
        let services = SRV_HOSTS
            .iter()
            .flat_map(|host| SERVICES.map(|service| format!("SRV {service}.{host}")));
        addresses.chain(services)
    }

    pub(crate) fn config(&self) -> Config {
        let config = match self.preset {
            Preset::Default => support::lenient(),
            Preset::Strict => support::strict(),
            Preset::Synapse => support::synapse(),
        };
        config.with_addresses(self.families)
    }

    /// Resolves the name in a world of this plan, with the well-known asked hop by hop or whole.
    pub(crate) fn resolve(&self, world: &Internet, config: &Config, shared: bool) -> Run {
        world.resolve_with(self.name, config, |mut drive| {
            if shared {
                drive = drive.with_shared_well_known();
            }
            if let Some(step) = self.last_step {
                drive = drive.with_last_step(step);
            }
            drive
        })
    }

    /// The same as a script. Every answer comes in time: addresses within every grace.
    pub(crate) fn world(&self) -> Internet {
        let mut world = Internet::new();
        let mut draw = Draw(self.seed);
        let mut delay = |most: u64| millis(draw.below(most) + 1);
        for (number, (host, families)) in (1..).zip(HOSTS.iter().zip(&self.hosts)) {
            for (record_type, family) in ["A", "AAAA"].iter().zip(families) {
                let question = format!("{record_type} {host}");
                let answer = family.answer(number, *record_type == "AAAA");
                world = world.dns(&question, answer).after(&question, delay(45));
            }
        }
        for (host, services) in SRV_HOSTS.iter().zip(&self.srv) {
            for (name, service) in SERVICES.iter().zip(services) {
                let question = format!("SRV {name}.{host}");
                world = world.dns(&question, service.answer()).after(&question, delay(4_000));
            }
        }
        for url in self.urls() {
            let (page, question) = (self.page(&url), format!("GET {url}"));
            world = world.fetched(&url, page.response());
            world = match page {
                Page::Never => world.never(&question),
                _ => world.after(&question, delay(500)),
            };
        }
        world
    }
}
