//! What DNS and HTTPS answer.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::drive::{Drive, Run};
use super::format;
use crate::core::config::Config;
use crate::core::dns::SrvRecord;
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, Service};
use crate::core::names::server_name::ServerName;
use crate::core::time::whole_millis;
use crate::core::well_known::fetch::{Body, FetchFailure, FetchFailureKind};

/// A scripted internet: what is answered to each question, and after how long.
///
/// Questions are written as they are shown: `A a.example`, `AAAA a.example`,
/// `SRV _matrix-fed._tcp.a.example`, and for delays also `GET https://a.example/...`; hosts in lower
/// case. What nothing was said about does not exist: the name is NXDOMAIN, or NODATA where it has
/// other records, with a negative TTL of 900 s; the port refuses.
///
/// An answer comes after 10 ms, unless [`after`](Self::after) or [`never`](Self::never) says
/// otherwise. Times are kept in whole milliseconds, TTLs in whole seconds.
///
/// ```
/// use matrix_delegation::testing::Internet;
///
/// let internet = Internet::new()
///     .host("a.example", &["192.0.2.1"])
///     .srv("_matrix-fed._tcp.a.example", &[(10, 5, 8448, "fed.a.example.")]);
/// let json = serde_json::to_string(&internet)?;
/// assert_eq!(serde_json::from_str::<Internet>(&json)?, internet);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Panics
///
/// The methods that build panic on what is not a question, an address, a header, ...: they are for
/// what a test's author writes. Reading JSON gives an error instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "format::Internet", into = "format::Internet")]
pub struct Internet {
    pub(super) dns: BTreeMap<String, Scripted<DnsAnswer>>,
    pub(super) https: BTreeMap<String, Scripted<Reply>>,
}

/// An answer, and after how long it comes; `None`: never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scripted<T> {
    pub(super) answer: T,
    pub(super) after: Option<Duration>,
}

/// What is at a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Response { status: u16, headers: Vec<(String, String)>, body: Body },
    Failed(FetchFailure),
}

/// Something in a scripted internet that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Malformed {
    what: String,
    why: String,
}

impl Malformed {
    pub(super) fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: format!("{why}") }
    }
}

/// The words of a failure that was given none.
pub(super) const SCRIPTED: &str = "scripted";
pub(super) const DELAY: Duration = Duration::from_millis(10);
pub(super) const TTL: Duration = Duration::from_secs(300);
pub(super) const NEGATIVE_TTL: Duration = Duration::from_secs(900);

impl<T> Scripted<T> {
    pub(super) const fn new(answer: T) -> Self {
        Self { answer, after: Some(DELAY) }
    }

    fn say(&mut self, answer: T) {
        // What is never answered has no answer.
        if self.after.is_some() {
            self.answer = answer;
        }
    }
}

/// Reads a question of DNS as it is shown.
pub(super) fn question(text: &str) -> Result<DnsQuestion, Malformed> {
    let malformed = |why: &str| Malformed::new(format!("{text:?} is no question of DNS"), why);
    let (record_type, name) = text.split_once(' ').ok_or_else(|| malformed("no name"))?;
    let of_service = |service: Service| {
        let host = name.strip_prefix(service.prefix())?.strip_prefix('.')?;
        Some((host, service))
    };
    let (name, service) = match (record_type, Service::ALL.into_iter().find_map(of_service)) {
        ("SRV", None) => return Err(malformed("no service of Matrix")),
        ("SRV", Some((host, service))) => (host, Some(service)),
        _ => (name, None),
    };
    let host = name.parse().map_err(|error| Malformed::new(format!("{text:?}"), error))?;
    let question = if let Some(service) = service {
        DnsQuestion::Srv { service, host }
    } else {
        let family = Family::ALL.into_iter().find(|family| family.record_type() == record_type);
        let family = family.ok_or_else(|| malformed("neither A, AAAA nor SRV"))?;
        DnsQuestion::Addresses { host, family }
    };
    if question.to_string() != text {
        return Err(malformed("not in lower case"));
    }
    Ok(question)
}

/// Reads a URL as it is asked for.
pub(super) fn url(text: &str) -> Result<(), Malformed> {
    let malformed = |why: String| Malformed::new(format!("{text:?} is never asked for"), why);
    let url = url::Url::parse(text).map_err(|error| malformed(error.to_string()))?;
    match url.as_str() {
        _ if url.scheme() != "https" => Err(malformed("not https".to_owned())),
        _ if url.fragment().is_some() => Err(malformed("it has a fragment".to_owned())),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err(malformed("it has credentials".to_owned()))
        }
        same if same == text => Ok(()),
        other => Err(malformed(format!("it is written {other}"))),
    }
}

/// Checks that this is a question as it is shown, of DNS or of HTTPS.
pub(super) fn any_question(text: &str) -> Result<(), Malformed> {
    match text.strip_prefix("GET ") {
        Some(text) => url(text),
        None => question(text).map(|_| ()),
    }
}

#[track_caller]
pub(super) fn must<T>(result: Result<T, Malformed>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn whole_seconds(ttl: Duration) -> Duration {
    Duration::from_secs(ttl.as_secs())
}

impl Internet {
    /// One in which nothing exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// What DNS answers to this question.
    #[must_use]
    #[track_caller]
    pub fn dns(mut self, question: &str, answer: DnsAnswer) -> Self {
        let answer = match answer {
            DnsAnswer::Found { records, ttl, alias } => {
                DnsAnswer::Found { records, ttl: whole_seconds(ttl), alias }
            }
            DnsAnswer::None { kind, ttl } => DnsAnswer::None { kind, ttl: ttl.map(whole_seconds) },
            failed @ DnsAnswer::Failed { .. } => failed,
        };
        self.question(question).say(answer);
        self
    }

    fn found(self, question: &str, records: Records, ttl: Duration) -> Self {
        self.dns(question, DnsAnswer::Found { records, ttl, alias: false })
    }

    /// A host with these addresses, with a TTL of 300 s. A family without any is NODATA.
    #[must_use]
    #[track_caller]
    pub fn host(self, host: &str, addresses: &[&str]) -> Self {
        self.host_for(host, addresses, TTL)
    }

    /// The same with another TTL.
    #[must_use]
    #[track_caller]
    pub fn host_for(mut self, host: &str, addresses: &[&str], ttl: Duration) -> Self {
        let parse = |address: &&str| {
            let malformed = |error| Malformed::new(format!("{address:?}"), error);
            must(address.parse::<IpAddr>().map_err(malformed))
        };
        let addresses: Vec<IpAddr> = addresses.iter().map(parse).collect();
        for family in Family::ALL {
            let question = format!("{} {host}", family.record_type());
            let of_family = addresses.iter().filter(|address| Family::of(**address) == family);
            let of_family: Vec<IpAddr> = of_family.copied().collect();
            self = if of_family.is_empty() {
                self.none(&question, NoRecord::NoData)
            } else {
                self.found(&question, Records::Addresses(of_family), ttl)
            };
        }
        self
    }

    /// The addresses of a host, said before, are found through an alias.
    #[must_use]
    #[track_caller]
    pub fn aliased(mut self, host: &str) -> Self {
        let mut found = false;
        for family in Family::ALL {
            let scripted = self.dns.get_mut(&format!("{} {host}", family.record_type()));
            if let Some(Scripted { answer: DnsAnswer::Found { alias, .. }, .. }) = scripted {
                *alias = true;
                found = true;
            }
        }
        let none =
            || Malformed::new(format!("{host:?}"), "no address to be found through an alias");
        must(found.then_some(()).ok_or_else(none));
        self
    }

    /// SRV records (priority, weight, port, target) of a name that begins with the service's
    /// labels, with a TTL of 600 s.
    #[must_use]
    #[track_caller]
    pub fn srv(self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| SrvRecord {
            priority,
            weight,
            port,
            target: target.to_owned(),
        };
        let records = Records::Srv(records.iter().map(record).collect());
        self.found(&format!("SRV {name}"), records, 2 * TTL)
    }

    /// There is no such record, for 900 s.
    #[must_use]
    #[track_caller]
    pub fn none(self, question: &str, kind: NoRecord) -> Self {
        self.dns(question, DnsAnswer::None { kind, ttl: Some(NEGATIVE_TTL) })
    }

    /// The look-up fails.
    #[must_use]
    #[track_caller]
    pub fn fails(self, question: &str, failure: DnsFailure) -> Self {
        self.dns(question, DnsAnswer::failed(failure))
    }

    /// The host's well-known document is these bytes.
    #[must_use]
    #[track_caller]
    pub fn well_known(self, host: &str, body: &str) -> Self {
        self.page(&format!("https://{host}/.well-known/matrix/server"), 200, &[], body)
    }

    /// The host's well-known document delegates to this name.
    #[must_use]
    #[track_caller]
    pub fn delegates(self, host: &str, server: &str) -> Self {
        self.well_known(host, &serde_json::json!({ "m.server": server }).to_string())
    }

    /// What is at this URL.
    #[must_use]
    #[track_caller]
    pub fn page(
        self,
        url: &str,
        status: u16,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Self {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Body::from(body.as_ref()));
        self.fetched(url, Ok(must(response.map_err(|error| Malformed::new(url, error)))))
    }

    /// What comes of fetching this URL. Headers are kept as text.
    #[must_use]
    #[track_caller]
    pub fn fetched(mut self, url: &str, result: Result<Response<Body>, FetchFailure>) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let reply = match result {
            Ok(response) => Reply::Response {
                status: response.status().as_u16(),
                headers: response
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                    .collect(),
                body: response.into_body(),
            },
            Err(FetchFailure { kind, detail, .. }) if detail.is_empty() => {
                Reply::Failed(FetchFailure::new(kind, SCRIPTED))
            }
            Err(FetchFailure { kind, detail, .. }) => {
                Reply::Failed(FetchFailure::new(kind, detail))
            }
        };
        self.url(url).say(reply);
        self
    }

    /// The answer to this question comes after so long.
    #[must_use]
    #[track_caller]
    pub fn after(self, question: &str, delay: Duration) -> Self {
        let millis = whole_millis(delay);
        self.delayed(question, Some(Duration::from_millis(millis)))
    }

    /// This question is never answered.
    #[must_use]
    #[track_caller]
    pub fn never(self, question: &str) -> Self {
        self.delayed(question, None)
    }

    #[track_caller]
    fn delayed(mut self, question: &str, after: Option<Duration>) -> Self {
        if let Some(url) = question.strip_prefix("GET ") {
            let scripted = self.url(url);
            scripted.after = after;
            if after.is_none() {
                scripted.answer = refused();
            }
        } else {
            let scripted = self.question(question);
            scripted.after = after;
            if after.is_none() {
                scripted.answer = no_record(NoRecord::NxDomain);
            }
        }
        self
    }

    #[track_caller]
    fn question(&mut self, text: &str) -> &mut Scripted<DnsAnswer> {
        let asked = must(question(text));
        let unsaid = self.dns_answer(&asked);
        self.dns.entry(text.to_owned()).or_insert_with(|| Scripted::new(unsaid))
    }

    #[track_caller]
    fn url(&mut self, text: &str) -> &mut Scripted<Reply> {
        must(url(text));
        self.https.entry(text.to_owned()).or_insert_with(|| Scripted::new(refused()))
    }

    /// What is answered to this question.
    pub fn dns_answer(&self, question: &DnsQuestion) -> DnsAnswer {
        if let Some(scripted) = self.dns.get(&question.to_string()) {
            return scripted.answer.clone();
        }
        let name = question.name();
        let types = Family::ALL.map(Family::record_type).into_iter().chain(["SRV"]);
        let exists = types.into_iter().any(|record_type| {
            let other = self.dns.get(&format!("{record_type} {name}"));
            other.is_some_and(|it| !is_no_such_name(&it.answer))
        });
        no_record(if exists { NoRecord::NoData } else { NoRecord::NxDomain })
    }

    /// What comes of fetching this URL. A body larger than `most` bytes is not read to its end.
    pub fn response(&self, url: &str, most: usize) -> Result<Response<Body>, FetchFailure> {
        let malformed =
            |why: &dyn ToString| FetchFailure::new(FetchFailureKind::Adapter, why.to_string());
        match self.https.get(url).map_or_else(refused, |scripted| scripted.answer.clone()) {
            Reply::Failed(failure) => Err(failure),
            Reply::Response { status, headers, body } => {
                let body = match body {
                    Body::Complete(bytes) if bytes.len() > most => Body::TooLarge,
                    body => body,
                };
                let mut response = Response::new(body);
                *response.status_mut() =
                    StatusCode::from_u16(status).map_err(|error| malformed(&error))?;
                for (name, value) in headers {
                    let name = HeaderName::try_from(name).map_err(|error| malformed(&error))?;
                    let value = HeaderValue::try_from(value).map_err(|error| malformed(&error))?;
                    response.headers_mut().append(name, value);
                }
                Ok(response)
            }
        }
    }

    /// How long the answer to this question takes; `None`: for ever.
    pub fn delay(&self, question: &str) -> Option<Duration> {
        match question.strip_prefix("GET ") {
            Some(url) => self.https.get(url).map_or(Some(DELAY), |scripted| scripted.after),
            None => self.dns.get(question).map_or(Some(DELAY), |scripted| scripted.after),
        }
    }

    /// Whether every answer comes after the same 10 ms, so that no order of arrival is scripted.
    pub fn is_undelayed(&self) -> bool {
        let mut dns = self.dns.values().map(|scripted| scripted.after);
        let mut https = self.https.values().map(|scripted| scripted.after);
        dns.all(|after| after == Some(DELAY)) && https.all(|after| after == Some(DELAY))
    }

    /// Resolves a name here, with the answers coming when they are due.
    pub fn resolve(&self, name: ServerName, config: &Config) -> Run {
        self.drive(config).discover(name)
    }

    /// A way to drive machines here, under the default [`Schedule`](super::Schedule) unless
    /// another is set.
    pub fn drive(&self, config: &Config) -> Drive<'_> {
        Drive::new(self, config)
    }
}

fn no_record(kind: NoRecord) -> DnsAnswer {
    DnsAnswer::None { kind, ttl: Some(NEGATIVE_TTL) }
}

fn is_no_such_name(answer: &DnsAnswer) -> bool {
    matches!(answer, DnsAnswer::None { kind: NoRecord::NxDomain, .. })
}

pub(super) fn refused() -> Reply {
    Reply::Failed(FetchFailure::new(FetchFailureKind::Refused, SCRIPTED))
}
