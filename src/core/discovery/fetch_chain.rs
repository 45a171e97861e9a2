//! The fetch of a well-known document: the host's addresses, the exchange, each redirect and retry.

use std::net::SocketAddr;
use std::task::{Poll, ready};
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::facts::{Facts, WellKnownFact};
use super::host_addresses::HostAddresses;
use super::machine::{FetchToken, Question};
use crate::core::cache::WellKnownEntry;
use crate::core::config::{AddressFamilies, doubled};
use crate::core::dns::NoRecord;
use crate::core::endpoint::interleaved;
use crate::core::error::FamilyOutcome;
use crate::core::names::{DnsName, Host};
use crate::core::report::{Hop, HopOutcome, Source, WellKnownReport};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::{
    Body, ContentCoding, Fetch, FetchFailure, FetchFailureKind, Freshness, MAX_BODY_BYTES,
    RedirectError, Responder, WellKnown, WellKnownError, WellKnownFailure, WellKnownUrl,
    is_redirect, retry_after,
};

/// How much earlier a fetch must end than the time for the whole document.
const FETCH_MARGIN: Duration = Duration::from_millis(100);

type FetchResult = Result<Response<Body>, FetchFailure>;

/// The fetches that lead to one host's document: the first URL, its redirects, and retries.
#[derive(Debug)]
pub(super) struct FetchChain {
    host: DnsName,
    started: Option<Monotonic>,
    /// The exchanges so far. The last one may be in flight.
    hops: Vec<Hop>,
    /// The index of the exchange that the current attempt began with.
    first: usize,
    /// How many attempts were made after the first.
    retries: u32,
    /// When the next attempt begins, after one that failed.
    resumes: Option<Monotonic>,
    /// The response of the last hop, not read yet.
    arrived: Option<FetchResult>,
    /// What was known of the document before.
    pub(super) before: Option<WellKnownEntry>,
    answer: Option<WellKnownEntry>,
}

impl FetchChain {
    pub(super) fn new(host: DnsName) -> Self {
        Self {
            host,
            started: None,
            hops: Vec::new(),
            first: 0,
            retries: 0,
            resumes: None,
            arrived: None,
            before: None,
            answer: None,
        }
    }

    pub(super) fn answer(&self) -> Option<&WellKnownEntry> {
        self.answer.as_ref()
    }

    /// Takes in a response. A second one, or one to a hop that has ended, changes nothing.
    pub(super) fn handle(&mut self, token: FetchToken, result: FetchResult, at: Duration) {
        let last = self.hops.len().checked_sub(1);
        if self.answer.is_some() || self.arrived.is_some() || last != Some(token.0) {
            return;
        }
        let open = |hop: &&mut Hop| hop.asked.is_some() && hop.answered.is_none();
        if let Some(hop) = self.hops.last_mut().filter(open) {
            hop.answered = Some(at);
            hop.responder =
                result.as_ref().ok().and_then(|response| Responder::of(&hop.url, response));
            hop.outcome = Some(match &result {
                Ok(response) => HopOutcome::Response { status: response.status().as_u16() },
                Err(failure) => HopOutcome::Failed(failure.clone()),
            });
            self.arrived = Some(result);
        }
    }

    /// Returns the answer, once there is one. A look-up that takes too long is a temporary failure.
    pub(super) fn poll(&mut self, facts: &mut Facts, now: Now) -> Poll<&WellKnownEntry> {
        if self.answer.is_none() {
            let limit = facts.config.time.well_known;
            let due = *self.started.get_or_insert(now.monotonic) + limit;
            let result = match self.attempt(facts, now, due) {
                Poll::Ready(result) => result,
                Poll::Pending if now.monotonic >= due => Err(WellKnownFailure::TimedOut { limit }),
                Poll::Pending => {
                    facts.wake_at(due);
                    return Poll::Pending;
                }
            };
            let (before, config) = (self.before.as_ref(), &facts.config);
            let entry = WellKnownEntry::judge(before, result, now, config, &mut facts.random);
            self.answer = Some(entry);
        }
        match &self.answer {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }

    /// Goes on. Tries again what failed quickly, where the host is known to have delegated and its
    /// last good answer may no longer be used.
    fn attempt(
        &mut self,
        facts: &mut Facts,
        now: Now,
        due: Monotonic,
    ) -> Poll<Result<(WellKnown, Freshness), WellKnownFailure>> {
        let failure = match self.resumes {
            Some(at) if now.monotonic < at => {
                facts.wake_at(at);
                return Poll::Pending;
            }
            _ => match ready!(self.advance(facts, now, due)) {
                Ok(found) => return Poll::Ready(Ok(found)),
                Err(failure) => failure,
            },
        };
        let config = &facts.config;
        let is_lost = |before: &WellKnownEntry| before.is_lost(now.monotonic, &config.well_known);
        let again = now.monotonic + doubled(config.time.retry_pause, self.retries);
        if !failure.is_quick()
            || self.retries >= config.limits.retries
            || again >= due
            || !self.before.as_ref().is_some_and(is_lost)
        {
            return Poll::Ready(Err(failure));
        }
        self.retries += 1;
        self.first = self.hops.len();
        self.resumes = Some(again);
        facts.wake_at(again);
        Poll::Pending
    }

    /// Goes on from hop to hop until an answer is needed.
    fn advance(
        &mut self,
        facts: &mut Facts,
        now: Now,
        due: Monotonic,
    ) -> Poll<Result<(WellKnown, Freshness), WellKnownFailure>> {
        // Ends: each turn ends a hop, and the limit on redirects bounds those.
        loop {
            let first = || fresh_hop(WellKnownUrl::of_host(&self.host));
            if self.hops.len() == self.first {
                let hop = first();
                self.hops.push(hop);
            }
            let index = self.hops.len() - 1;
            let Some(hop) = self.hops.last_mut() else { return Poll::Pending };
            if hop.asked.is_none() {
                match ready!(addresses(facts, &self.host, &hop.url, now.monotonic)) {
                    Ok(addresses) => hop.addresses = addresses,
                    Err(failure) => return Poll::Ready(Err(failure)),
                }
                if now.monotonic >= due {
                    return Poll::Pending;
                }
                hop.asked = Some(facts.since_start(now.monotonic));
                // The adapter has a little less time, so that what it reports of a time-out is heard.
                let left = due.since(now.monotonic);
                let left = left.saturating_sub((left / 10).min(FETCH_MARGIN));
                match request(facts, hop, left) {
                    Ok(fetch) => {
                        let (token, fetch) = (FetchToken(index), Box::new(fetch));
                        facts.ask(Question::Fetch { token, fetch });
                    }
                    Err(failure) => return Poll::Ready(Err(WellKnownFailure::Fetch(failure))),
                }
            }
            let response = match self.arrived.take() {
                None => return Poll::Pending,
                Some(Err(failure)) => return Poll::Ready(Err(WellKnownFailure::Fetch(failure))),
                Some(Ok(response)) => response,
            };
            let (parts, body) = response.into_parts();
            if !is_redirect(parts.status) {
                let limit = facts.config.limits.body_bytes;
                return Poll::Ready(read(parts.status, &parts.headers, body, limit, now));
            }
            match self.next_url(parts.status, &parts.headers, facts.config.limits.redirects) {
                Ok(url) => self.hops.push(fresh_hop(url)),
                Err(error) => return Poll::Ready(Err(WellKnownFailure::Redirect(error))),
            }
        }
    }

    /// Returns where a redirect leads.
    fn next_url(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        limit: usize,
    ) -> Result<WellKnownUrl, RedirectError> {
        let Some(hop) = self.hops.last() else { return Err(RedirectError::TooMany { limit }) };
        let next = hop.url.redirect(status, headers)?;
        let hops = self.hops.get(self.first..).unwrap_or_default();
        if hops.iter().any(|hop| hop.url == next) {
            return Err(RedirectError::back_to(&next));
        }
        // The first hop is no redirect.
        if hops.len() > limit {
            return Err(RedirectError::TooMany { limit });
        }
        Ok(next)
    }

    /// Returns the report, without what was asked of DNS.
    pub(super) fn report(&self, started: Now) -> WellKnownReport {
        let known = self.answer.clone().map(WellKnownFact::asked);
        WellKnownReport {
            host: self.host.clone(),
            source: Source::Asked,
            started,
            dns: Vec::new(),
            hops: self.hops.clone(),
            result: known.as_ref().map(WellKnownFact::result),
            lifetime: known.as_ref().map(WellKnownFact::lifetime),
            failures: known.as_ref().map_or(0, |known| known.entry.failures()),
        }
    }

    /// Returns the URL that is being fetched.
    pub(super) fn open(&self) -> Option<&WellKnownUrl> {
        match self.hops.last() {
            Some(hop) if self.answer.is_none() && hop.asked.is_some() => Some(&hop.url),
            _ => None,
        }
    }
}

fn fresh_hop(url: WellKnownUrl) -> Hop {
    Hop { url, addresses: Vec::new(), asked: None, answered: None, outcome: None, responder: None }
}

/// Returns where the host of a URL may be connected to, in the order to try. `asked` is the host of
/// the first URL.
fn addresses(
    facts: &mut Facts,
    asked: &DnsName,
    url: &WellKnownUrl,
    now: Monotonic,
) -> Poll<Result<Vec<SocketAddr>, WellKnownFailure>> {
    let name = match url.host() {
        Host::Ip(address) => {
            return Poll::Ready(match facts.config.address_policy.check(*address) {
                Ok(()) => Ok(vec![SocketAddr::new(*address, url.port())]),
                Err(range) => Err(WellKnownFailure::Blocked { host: url.host().clone(), range }),
            });
        }
        Host::Dns(_) if facts.config.addresses == AddressFamilies::ByProxy => {
            return Poll::Ready(Ok(Vec::new()));
        }
        Host::Dns(name) => name,
    };
    let host = HostAddresses::of(facts, name, now);
    if !host.is_ready(facts, facts.config.time.fetch_grace, now) {
        return Poll::Pending;
    }
    Poll::Ready(if host.addresses.is_empty() {
        Err(no_address(&host, asked, now))
    } else {
        Ok(interleaved(&host.addresses)
            .map(|address| SocketAddr::new(address, url.port()))
            .collect())
    })
}

/// Returns why a host whose families have all answered has no usable address.
fn no_address(addresses: &HostAddresses, asked: &DnsName, now: Monotonic) -> WellKnownFailure {
    let host = addresses.host.clone();
    if let Some((_, failure)) = addresses.failure() {
        return WellKnownFailure::Dns { host, failure };
    }
    if let Some((_, range)) = addresses.blocked.first() {
        return WellKnownFailure::Blocked { host: Host::Dns(host), range: range.clone() };
    }
    let kinds = addresses.families.iter().filter_map(|(_, outcome)| match outcome {
        FamilyOutcome::None(kind) => Some(*kind),
        _ => None,
    });
    // A host that does not exist has no records of any type (RFC 8020): where the two families
    // differ, it exists.
    let kind = kinds
        .reduce(|kind, other| if kind == NoRecord::NxDomain { other } else { kind })
        .unwrap_or(NoRecord::NoData);
    let lifetime = addresses.until.map_or(Duration::ZERO, |until| until.since(now));
    let redirected = host != *asked;
    WellKnownFailure::NoAddress { host, kind, lifetime, redirected }
}

fn request(facts: &Facts, hop: &Hop, left: Duration) -> Result<Fetch, FetchFailure> {
    let config = &facts.config;
    let request = Request::builder()
        .method(Method::GET)
        .uri(hop.url.uri().clone())
        .header(HOST, hop.url.host_header())
        .header(USER_AGENT, config.user_agent.as_header())
        // Filters in front of servers take what accepts nothing for no client (RFC 9110 section 12.5.1).
        .header(ACCEPT, "application/json")
        // Without this, any coding would be acceptable (RFC 9110 section 12.5.3).
        .header(ACCEPT_ENCODING, "identity")
        .body(())
        .map_err(|error| FetchFailure::new(FetchFailureKind::Adapter, error.to_string()))?;
    let tls_name = hop.url.host().tls_name().to_owned();
    let left_to_proxy =
        config.addresses == AddressFamilies::ByProxy && hop.url.host().as_dns().is_some();
    let fetch = if left_to_proxy {
        Fetch::by_name(request, tls_name)
    } else {
        Fetch::new(request, hop.addresses.clone(), tls_name)
    };
    Ok(fetch.with_limits(config.fetch_limits(left)))
}

/// Reads a response that is not a redirect.
fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    now: Now,
) -> Result<(WellKnown, Freshness), WellKnownFailure> {
    if status != StatusCode::OK {
        let retry_after = (status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| retry_after(headers, now.wall))
            .flatten();
        return Err(WellKnownFailure::Status { status: status.as_u16(), retry_after });
    }
    let coding = ContentCoding::of(headers);
    if let ContentCoding::Encoded(coding) = coding {
        return Err(WellKnownFailure::ContentCoding { coding });
    }
    let limit = limit.min(MAX_BODY_BYTES);
    match body {
        Body::Complete(body) if body.len() <= limit => {
            let document = match (WellKnown::from_body(&body), coding) {
                (Ok(document), ContentCoding::Unknown(coding)) => document.with_odd_coding(coding),
                (Ok(document), _) => document,
                // It may be a coding that is not known here.
                (
                    Err(WellKnownError::NotUtf8 { .. } | WellKnownError::Json { .. }),
                    ContentCoding::Unknown(coding),
                ) => return Err(WellKnownFailure::ContentCoding { coding }),
                (Err(error), _) => return Err(WellKnownFailure::Body(error)),
            };
            Ok((document, Freshness::from_headers(headers, now.wall)))
        }
        Body::Complete(_) | Body::TooLarge => Err(WellKnownFailure::TooLarge { limit }),
    }
}
