//! A scripted internet: what DNS and HTTPS answer to each question.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::json;
use super::question::{self, Malformed, must};
use crate::core::dns::SrvRecord;
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records};
use crate::core::time::whole_millis;
use crate::core::well_known::{Body, FetchFailure, FetchFailureKind};

/// A scripted internet: the answer to each question, and how long it takes.
///
/// Questions are written as [`DnsQuestion`] displays them: `A a.example`, `AAAA a.example`,
/// `SRV _matrix-fed._tcp.a.example`, and for delays also `GET https://a.example/...`. Hosts are in
/// lower case. What is not scripted does not exist: the name is NXDOMAIN, or NODATA where it has
/// other records, with a negative TTL of 900 s; the port refuses connections.
///
/// An answer arrives after 10 ms, unless [`after`](Self::after) or [`never`](Self::never) says
/// otherwise. Times are rounded down to milliseconds, TTLs to seconds.
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
/// The methods that build an internet panic on invalid input (not a question, an address, a header,
/// ...), because the author of a test writes it. Reading JSON returns an error instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internet {
    #[serde(deserialize_with = "json::dns")]
    pub(super) dns: BTreeMap<String, Scripted<DnsAnswer>>,
    #[serde(deserialize_with = "json::https")]
    pub(super) https: BTreeMap<String, Scripted<Reply>>,
}

/// An answer, and after how long it arrives; `None` if it never does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scripted<T> {
    pub(super) answer: T,
    pub(super) after: Option<Duration>,
}

/// The result of fetching a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Response { status: StatusCode, headers: HeaderMap, body: Body },
    Failed(FetchFailure),
}

/// The detail of a failure for which none is given.
pub(super) const SCRIPTED: &str = "scripted";
pub(super) const DELAY: Duration = Duration::from_millis(10);
pub(super) const TTL: Duration = Duration::from_secs(300);
pub(super) const NEGATIVE_TTL: Duration = Duration::from_secs(900);

impl<T> Scripted<T> {
    pub(super) const fn new(answer: T) -> Self {
        Self { answer, after: Some(DELAY) }
    }

    /// Sets the answer, unless it never arrives.
    fn say(&mut self, answer: T) {
        // In JSON, an answer that never arrives is not written.
        if self.after.is_some() {
            self.answer = answer;
        }
    }

    /// Sets the delay. An answer that never arrives is replaced by `unsaid`, the default.
    fn wait(&mut self, after: Option<Duration>, unsaid: T) {
        self.after = after;
        if after.is_none() {
            self.answer = unsaid;
        }
    }
}

fn whole_seconds(ttl: Duration) -> Duration {
    Duration::from_secs(ttl.as_secs())
}

impl Internet {
    /// Creates an internet in which nothing exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what DNS answers to a question.
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

    /// Adds a host with these addresses and a TTL of 300 s. A family without an address is NODATA.
    #[must_use]
    #[track_caller]
    pub fn host(self, host: &str, addresses: &[&str]) -> Self {
        self.host_for(host, addresses, TTL)
    }

    /// Adds a host with these addresses and this TTL. A family without an address is NODATA.
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
            let mut of_family = addresses.clone();
            of_family.retain(|address| Family::of(*address) == family);
            self = if of_family.is_empty() {
                self.none(&question, NoRecord::NoData)
            } else {
                self.found(&question, Records::Addresses(of_family), ttl)
            };
        }
        self
    }

    /// Marks the addresses of a host as found through an alias (CNAME). Set the addresses before.
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

    /// Sets the SRV records (priority, weight, port, target) of a name that begins with the
    /// service's labels, with a TTL of 600 s.
    #[must_use]
    #[track_caller]
    pub fn srv(self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| {
            let target = target.to_owned();
            SrvRecord { priority, weight, port, target }
        };
        let records = Records::Srv(records.iter().map(record).collect());
        self.found(&format!("SRV {name}"), records, 2 * TTL)
    }

    /// Answers a DNS question with "no record", with a negative TTL of 900 s.
    #[must_use]
    #[track_caller]
    pub fn none(self, question: &str, kind: NoRecord) -> Self {
        self.dns(question, no_record(kind))
    }

    /// Makes the look-up of a DNS question fail.
    #[must_use]
    #[track_caller]
    pub fn fails(self, question: &str, failure: DnsFailure) -> Self {
        self.dns(question, DnsAnswer::failed(failure))
    }

    /// Sets the body of a host's well-known document.
    #[must_use]
    #[track_caller]
    pub fn well_known(self, host: &str, body: &str) -> Self {
        self.page(&format!("https://{host}/.well-known/matrix/server"), 200, &[], body)
    }

    /// Makes a host's well-known document delegate to this name.
    #[must_use]
    #[track_caller]
    pub fn delegates(self, host: &str, server: &str) -> Self {
        self.well_known(host, &serde_json::json!({ "m.server": server }).to_string())
    }

    /// Sets the response at a URL.
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

    /// Sets the result of fetching a URL. Headers are kept as text.
    #[must_use]
    #[track_caller]
    pub fn fetched(mut self, url: &str, result: Result<Response<Body>, FetchFailure>) -> Self {
        let reply = match result {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Reply::Response { status: parts.status, headers: as_text(parts.headers), body }
            }
            Err(FetchFailure { kind, detail, .. }) => {
                let detail = if detail.is_empty() { SCRIPTED.to_owned() } else { detail };
                Reply::Failed(FetchFailure::new(kind, detail))
            }
        };
        self.url(url).say(reply);
        self
    }

    /// Sets how long the answer to a question takes.
    #[must_use]
    #[track_caller]
    pub fn after(self, question: &str, delay: Duration) -> Self {
        let millis = whole_millis(delay);
        self.delayed(question, Some(Duration::from_millis(millis)))
    }

    /// Leaves a question unanswered.
    #[must_use]
    #[track_caller]
    pub fn never(self, question: &str) -> Self {
        self.delayed(question, None)
    }

    #[track_caller]
    fn delayed(mut self, question: &str, after: Option<Duration>) -> Self {
        match question.strip_prefix("GET ") {
            Some(url) => self.url(url).wait(after, refused()),
            None => self.question(question).wait(after, no_record(NoRecord::NxDomain)),
        }
        self
    }

    #[track_caller]
    fn question(&mut self, text: &str) -> &mut Scripted<DnsAnswer> {
        let asked = must(question::question(text));
        let unsaid = self.dns_answer(&asked);
        self.dns.entry(text.to_owned()).or_insert_with(|| Scripted::new(unsaid))
    }

    #[track_caller]
    fn url(&mut self, text: &str) -> &mut Scripted<Reply> {
        must(question::url(text));
        self.https.entry(text.to_owned()).or_insert_with(|| Scripted::new(refused()))
    }

    /// Returns the answer to a DNS question.
    pub fn dns_answer(&self, question: &DnsQuestion) -> DnsAnswer {
        if let Some(scripted) = self.dns.get(&question.to_string()) {
            return scripted.answer.clone();
        }
        let name = question.name();
        let types = Family::ALL.map(Family::record_type).into_iter().chain(["SRV"]);
        let exists = types.into_iter().any(|record_type| {
            let other = self.dns.get(&format!("{record_type} {name}"));
            let no_such_name =
                |it: &DnsAnswer| matches!(it, DnsAnswer::None { kind: NoRecord::NxDomain, .. });
            other.is_some_and(|it| !no_such_name(&it.answer))
        });
        no_record(if exists { NoRecord::NoData } else { NoRecord::NxDomain })
    }

    /// Returns the result of fetching a URL. A body of more than `most` bytes is
    /// [`Body::TooLarge`].
    pub fn response(&self, url: &str, most: usize) -> Result<Response<Body>, FetchFailure> {
        match self.https.get(url).map_or_else(refused, |scripted| scripted.answer.clone()) {
            Reply::Failed(failure) => Err(failure),
            Reply::Response { status, headers, body } => {
                let mut response = Response::new(match body {
                    Body::Complete(bytes) if bytes.len() > most => Body::TooLarge,
                    body => body,
                });
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                Ok(response)
            }
        }
    }

    /// Returns how long the answer to a question takes; `None` if it never arrives.
    pub fn delay(&self, question: &str) -> Option<Duration> {
        let after = match question.strip_prefix("GET ") {
            Some(url) => self.https.get(url).map(|scripted| scripted.after),
            None => self.dns.get(question).map(|scripted| scripted.after),
        };
        after.unwrap_or(Some(DELAY))
    }

    /// Returns whether every answer takes the same 10 ms, so that no order of arrival is scripted.
    pub fn is_undelayed(&self) -> bool {
        let dns = self.dns.values().map(|scripted| scripted.after);
        let https = self.https.values().map(|scripted| scripted.after);
        dns.chain(https).all(|after| after == Some(DELAY))
    }
}

/// Replaces what is not UTF-8 in header values, because JSON cannot hold it.
fn as_text(mut headers: HeaderMap) -> HeaderMap {
    for value in headers.values_mut() {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if let Ok(text) = HeaderValue::try_from(text) {
            *value = text;
        }
    }
    headers
}

pub(super) fn no_record(kind: NoRecord) -> DnsAnswer {
    DnsAnswer::None { kind, ttl: Some(NEGATIVE_TTL) }
}

pub(super) fn refused() -> Reply {
    Reply::Failed(FetchFailure::new(FetchFailureKind::Refused, SCRIPTED))
}
