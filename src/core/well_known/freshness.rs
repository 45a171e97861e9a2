//! Reads from the headers how long a response may be kept, as a private cache would (RFC 9111).
//!
//! Nothing here applies limits or defaults; the configuration does that. If headers contradict each
//! other, the shortest lifetime counts: asking again too early costs one request, asking too late
//! sends traffic to the wrong host.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderName, HeaderValue, RETRY_AFTER};
use serde::Serialize;

/// The longest lifetime, in seconds: about 136 years. For values that overflow, RFC 9111 section
/// 1.2.2 lets a recipient choose any figure from 2^31 up.
const LONGEST: u64 = u32::MAX as u64;

/// What response headers say about how long a response may be kept.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use http::{HeaderMap, HeaderValue};
/// use matrix_delegation::well_known::Freshness;
///
/// let mut headers = HeaderMap::new();
/// let now = SystemTime::UNIX_EPOCH;
/// assert_eq!(Freshness::from_headers(&headers, now), Freshness::Unstated);
///
/// headers.insert("cache-control", HeaderValue::from_static("public, max-age=3600"));
/// headers.insert("age", HeaderValue::from_static("600"));
/// assert_eq!(
///     Freshness::from_headers(&headers, now),
///     Freshness::For(Duration::from_secs(3000)),
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// It may be kept for this long from now, in whole seconds, at most `u32::MAX`. With zero it is
    /// already stale.
    For(Duration),
    /// The headers do not say.
    Unstated,
}

impl Freshness {
    /// Reads `Cache-Control`, `Age`, `Expires` and `Date`; the first of these that applies counts.
    ///
    /// 1. `no-store` or `no-cache`, with or without an argument: zero.
    /// 2. `max-age` as a token or a quoted string, spaces round its `=` tolerated. Repeated: the
    ///    least (RFC 9111 section 4.2.1). Too large: the longest time (section 1.2.2). Anything
    ///    else but digits: zero (section 4.2.1).
    /// 3. `Expires` less `Date` (section 4.2.1), or less `now` where `Date` is missing or
    ///    unreadable. Unreadable, `0` included: zero (section 5.3). Repeated: the earliest.
    ///
    /// Of 2 and 3 `Age` is taken off (section 4.2.3): its first list member counts, and is ignored
    /// where it is no number (section 5.1). `s-maxage` is for shared caches, and every other
    /// directive is ignored (section 5.2.3), `private` for one.
    ///
    /// This never fails: all bytes have a meaning.
    pub fn from_headers(headers: &HeaderMap, now: SystemTime) -> Self {
        let mut least: Option<u64> = None;
        for line in headers.get_all(CACHE_CONTROL) {
            for (name, argument) in directives(line.as_bytes()) {
                if name.eq_ignore_ascii_case(b"no-store") || name.eq_ignore_ascii_case(b"no-cache")
                {
                    return Self::For(Duration::ZERO);
                }
                if name.eq_ignore_ascii_case(b"max-age") {
                    let seconds = argument.and_then(delta_seconds_argument).unwrap_or(0);
                    least = Some(least.map_or(seconds, |least| least.min(seconds)));
                }
            }
        }
        let Some(lifetime) = least.or_else(|| expires(headers, now)) else {
            return Self::Unstated;
        };
        Self::For(Duration::from_secs(lifetime.saturating_sub(age(headers))))
    }
}

/// Reads `Retry-After` (RFC 9110 section 10.2.3): how long to wait before asking again.
///
/// It is a number of seconds, or a date less `now`. Returns zero if the date has passed, at most
/// `u32::MAX` seconds, and `None` if the header is missing or unreadable. Of several lines the
/// first counts.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use http::{HeaderMap, HeaderValue};
/// use matrix_delegation::well_known::retry_after;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", HeaderValue::from_static("120"));
/// assert_eq!(
///     retry_after(&headers, SystemTime::UNIX_EPOCH),
///     Some(Duration::from_secs(120)),
/// );
/// ```
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    delta_seconds(trim(value.as_bytes()))
        .or_else(|| date(value).map(|at| seconds_between(now, at)))
        .map(Duration::from_secs)
}

/// Returns `Expires` less `Date`; `None` if there is no `Expires`.
fn expires(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    let from = first_date(headers, DATE).unwrap_or(now);
    headers
        .get_all(EXPIRES)
        .iter()
        .map(|value| date(value).map_or(0, |expires| seconds_between(from, expires)))
        .min()
}

/// Returns the first member of `Age`; zero if there is none or it is not a number. Empty members do
/// not count (RFC 9110 section 5.6.1.2).
fn age(headers: &HeaderMap) -> u64 {
    headers
        .get_all(AGE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(trim)
        .find(|member| !member.is_empty())
        .and_then(delta_seconds)
        .unwrap_or(0)
}

fn first_date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    headers.get(name).and_then(date)
}

/// Reads a date in any of the three formats of RFC 9110 section 5.6.7.
fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// Returns the whole seconds from one date to a later one; zero if it is not later.
fn seconds_between(from: SystemTime, to: SystemTime) -> u64 {
    to.duration_since(from).map_or(0, |time| time.as_secs().min(LONGEST))
}

/// Reads one or more digits and nothing else (RFC 9111 section 1.2.2).
fn delta_seconds(bytes: &[u8]) -> Option<u64> {
    digits(bytes.iter().copied())
}

/// Reads the argument of a directive: digits, bare or as a quoted string in which a backslash
/// escapes the next byte (RFC 9110 section 5.6.4).
fn delta_seconds_argument(argument: &[u8]) -> Option<u64> {
    let Some(quoted) = argument.strip_prefix(b"\"") else {
        return delta_seconds(argument);
    };
    let mut bytes = quoted.iter().copied();
    let mut closed = false;
    let value = digits(std::iter::from_fn(|| match bytes.next()? {
        b'"' => {
            closed = true;
            None
        }
        b'\\' => bytes.next(),
        byte => Some(byte),
    }));
    value.filter(|_| closed && bytes.next().is_none())
}

fn digits(bytes: impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = None;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        let sum = value.unwrap_or(0_u64) * 10 + u64::from(byte - b'0');
        // Capped at each digit, so that the next step cannot overflow.
        value = Some(sum.min(LONGEST));
    }
    value
}

/// Splits one `Cache-Control` line into directives, each with the raw bytes after its `=`.
///
/// A quoted string without an end extends to the end of its line.
fn directives(line: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let (mut quoted, mut escaped) = (false, false);
    let members = line.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    });
    members.map(trim).filter(|member| !member.is_empty()).map(|member| {
        let mut halves = member.splitn(2, |&byte| byte == b'=');
        let name = trim(halves.next().unwrap_or_default());
        (name, halves.next().map(trim))
    })
}

/// Removes spaces and tabs at either end (OWS, RFC 9110 section 5.6.3).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
