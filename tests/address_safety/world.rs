//! The internet of a row: what DNS answers at each look-up, what each page says, and what was
//! remembered before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use matrix_delegation::dns::{DnsAnswer, DnsQuestion, Family, NoRecord, Records, SrvRecord};
use matrix_delegation::names::DnsName;
use matrix_delegation::resolver::{BoxFuture, Snapshot, StoreError};
use matrix_delegation::{Dns, HickoryDns, Store};

/// Where the web server of `a.example` is: in blocks that are globally reachable, and that no server
/// is in (AS112, RFC 7535).
pub(crate) const WEB: &str = "192.31.196.1";
/// Where the federation server of `m.example` is.
pub(crate) const FED: &str = "192.31.196.2";
/// Where `b.example` is, to which redirects lead.
pub(crate) const NEXT: &str = "192.31.196.3";
/// Another good address (AS112, RFC 7534).
pub(crate) const GOOD_V6: &str = "2620:4f:8000::1";

/// For how long DNS answers hold.
pub(crate) const TTL: Duration = Duration::from_secs(300);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Whether an address is one of the good ones: judged without the crate.
pub(crate) fn is_good(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets().starts_with(&[192, 31, 196]),
        IpAddr::V6(v6) => v6.segments().starts_with(&[0x2620, 0x4f, 0x8000]),
    }
}

/// Everything that the resolver of a row may find. Each question and each page has one answer for
/// each time that it is asked for; the last one is for all later times.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    dns: BTreeMap<String, Vec<DnsAnswer>>,
    pages: BTreeMap<String, Vec<Page>>,
    pub(crate) served: BTreeSet<SocketAddr>,
    pub(crate) kept: Option<Kept>,
}

/// A delegation of `a.example` that was remembered before, and where.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Store(&'static str),
    Snapshot(&'static str),
}

impl World {
    /// `a.example` with a web server that has no page, and what good delegations and redirects lead
    /// to.
    pub(crate) fn new() -> Self {
        Self::default()
            .host("a.example", &[WEB])
            .host("m.example", &[FED])
            .host("b.example", &[NEXT])
            .serve(WEB, 443)
            .serve(NEXT, 443)
    }

    pub(crate) fn serve(mut self, address: &str, port: u16) -> Self {
        self.served.insert(SocketAddr::new(ip(address), port));
        self
    }

    /// Refuses connections to this address.
    pub(crate) fn refuse(mut self, address: &str, port: u16) -> Self {
        self.served.remove(&SocketAddr::new(ip(address), port));
        self
    }

    /// Sets the addresses of a host.
    pub(crate) fn host(self, host: &str, addresses: &[&str]) -> Self {
        self.host_each_time(host, TTL, &[addresses])
    }

    /// Sets the addresses that a host has at each look-up, with this TTL.
    pub(crate) fn host_each_time(
        mut self,
        host: &str,
        ttl: Duration,
        each_time: &[&[&str]],
    ) -> Self {
        for family in Family::ALL {
            let answer = |addresses: &&[&str]| {
                let all = addresses.iter().map(|it| ip(it));
                let of_family: Vec<_> = all.filter(|it| Family::of(*it) == family).collect();
                if of_family.is_empty() {
                    return DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(ttl) };
                }
                DnsAnswer::Found { records: Records::Addresses(of_family), ttl, alias: false }
            };
            let question = format!("{} {host}", family.record_type());
            self.dns.insert(question, each_time.iter().map(answer).collect());
        }
        self
    }

    /// Sets what is answered to one question, whatever the question.
    pub(crate) fn answer(mut self, question: &str, addresses: &[&str]) -> Self {
        let records = Records::Addresses(addresses.iter().map(|it| ip(it)).collect());
        let answer = DnsAnswer::Found { records, ttl: TTL, alias: false };
        self.dns.insert(question.to_owned(), vec![answer]);
        self
    }

    /// Marks what a host is known by as found through an alias.
    pub(crate) fn aliased(mut self, host: &str) -> Self {
        for family in Family::ALL {
            let answers = self.dns.get_mut(&format!("{} {host}", family.record_type()));
            for answer in answers.into_iter().flatten() {
                if let DnsAnswer::Found { alias, .. } = answer {
                    *alias = true;
                }
            }
        }
        self
    }

    /// Sets the SRV records (priority, port, target) of a name.
    pub(crate) fn srv(self, name: &str, records: &[(u16, u16, &str)]) -> Self {
        self.srv_each_time(name, &[records])
    }

    pub(crate) fn srv_each_time(mut self, name: &str, each_time: &[&[(u16, u16, &str)]]) -> Self {
        let record = |&(priority, port, target): &(u16, u16, &str)| {
            let target = target.to_owned();
            SrvRecord { priority, weight: 1, port, target }
        };
        let answer = |records: &&[(u16, u16, &str)]| {
            let records = Records::Srv(records.iter().map(record).collect());
            DnsAnswer::Found { records, ttl: TTL, alias: false }
        };
        self.dns.insert(format!("SRV {name}"), each_time.iter().map(answer).collect());
        self
    }

    /// Sets the page at `host/path` as it is at each request.
    pub(crate) fn page_each_time(mut self, at: &str, pages: Vec<Page>) -> Self {
        self.pages.insert(at.to_owned(), pages);
        self
    }

    pub(crate) fn page(self, at: &str, page: Page) -> Self {
        self.page_each_time(at, vec![page])
    }

    /// Sets what `a.example` answers at the address of its well-known document.
    pub(crate) fn well_known(self, page: Page) -> Self {
        self.page(WELL_KNOWN, page)
    }

    pub(crate) fn delegates(self, server: &str) -> Self {
        self.well_known(Page::delegates(server))
    }

    pub(crate) fn redirects(self, location: &str) -> Self {
        self.well_known(Page::redirect(location))
    }

    pub(crate) fn kept(mut self, kept: Kept) -> Self {
        self.kept = Some(kept);
        self
    }

    pub(crate) fn pages(&self) -> Pages {
        Pages(Mutex::new(self.pages.clone()))
    }

    pub(crate) fn zone(&self) -> Zone {
        // Nothing is ever sent there: the names that it is asked for are answered without a question.
        let localhost = HickoryDns::with_servers([SocketAddr::new(ip("127.0.0.1"), 9)]).unwrap();
        Zone { localhost, answers: Mutex::new(self.dns.clone()), asked: Mutex::default() }
    }
}

/// Where the well-known document of `a.example` is.
pub(crate) const WELL_KNOWN: &str = "a.example/.well-known/matrix/server";

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Page {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::ok("") }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn delegates(server: &str) -> Self {
        Self::ok(serde_json::json!({ "m.server": server }).to_string())
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::status(302).header("Location", location)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length = self.body.len();
        let _ = write!(head, "Content-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// The pages of all servers, each with its next answers.
#[derive(Debug)]
pub(crate) struct Pages(Mutex<BTreeMap<String, Vec<Page>>>);

impl Pages {
    /// The answer to a request with this head.
    pub(crate) fn answer(&self, head: &str) -> Option<Page> {
        let path = head.split(' ').nth(1)?;
        let is_host = |line: &&str| line.to_ascii_lowercase().starts_with("host: ");
        let host = head.lines().find(is_host)?.split_at("host: ".len()).1;
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        next(pages.get_mut(&format!("{host}{path}"))?)
    }
}

/// The next answer; the last one for ever.
fn next<T: Clone>(answers: &mut Vec<T>) -> Option<T> {
    if answers.len() > 1 { Some(answers.remove(0)) } else { answers.first().cloned() }
}

/// DNS. `localhost` and what is below it is left to the real adapter, which answers it itself.
#[derive(Debug)]
pub(crate) struct Zone {
    localhost: HickoryDns,
    answers: Mutex<BTreeMap<String, Vec<DnsAnswer>>>,
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Zone {
    /// How often each question was asked.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a name has its addresses from the rule of RFC 6761 section 6.3.
pub(crate) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

impl Dns for Zone {
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer> {
        let shown = question.to_string();
        *self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(shown.clone())
            .or_default() += 1;
        let name = shown.split_once(' ').map_or("", |(_, name)| name).to_owned();
        if is_localhost(&name) {
            return self.localhost.lookup(question);
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let exists = answers.keys().any(|it| it.split_once(' ').is_some_and(|(_, it)| it == name));
        let kind = if exists { NoRecord::NoData } else { NoRecord::NxDomain };
        let none = DnsAnswer::None { kind, ttl: Some(TTL) };
        let answer = answers.get_mut(&shown).and_then(next).unwrap_or(none);
        Box::pin(async move { answer })
    }
}

/// The record of a delegation of `a.example`, fetched just now.
fn record(server: &str) -> serde_json::Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = u64::try_from(now).unwrap();
    serde_json::json!({ "version": 1, "host": "a.example", "delegates": server,
                        "fetched": now, "until": now + 3_600_000 })
}

/// The snapshot of a process that knew of this delegation.
pub(crate) fn snapshot(server: &str) -> Snapshot {
    let snapshot = serde_json::json!({ "version": 1, "well_known": [record(server)] });
    serde_json::from_value(snapshot).unwrap()
}

/// A store in which someone has put this delegation of `a.example`.
#[derive(Debug)]
pub(crate) struct Poisoned(pub(crate) &'static str);

impl Store for Poisoned {
    fn get<'a>(&'a self, host: &'a DnsName) -> BoxFuture<'a, Result<Option<Vec<u8>>, StoreError>> {
        let value = (host.as_str() == "a.example").then(|| record(self.0).to_string().into_bytes());
        Box::pin(async move { Ok(value) })
    }

    fn put<'a>(
        &'a self,
        _: &'a DnsName,
        _: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Kept {
    pub(crate) fn store(&self) -> Option<Arc<dyn Store>> {
        match self {
            Self::Store(server) => Some(Arc::new(Poisoned(server))),
            Self::Snapshot(_) => None,
        }
    }
}
