//! A scripted internet as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::internet::{DELAY, NEGATIVE_TTL, Reply, SCRIPTED, Scripted, TTL, no_record, refused};
use super::question::{self, Malformed};
use super::scenario::is_default;
use crate::core::dns::{DnsAnswer, DnsFailure, NoRecord, Records, SrvRecord};
use crate::core::well_known::{Body, FetchFailure, FetchFailureKind};

/// One answer of DNS: exactly one of the first five, with details.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DnsJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<Vec<IpAddr>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srv: Option<Vec<SrvRecord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    none: Option<NoRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<DnsFailure>,
    #[serde(skip_serializing_if = "is_default")]
    never: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// Present but null: no SOA record.
    #[allow(clippy::option_option, reason = "a missing field and null are told apart")]
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    ttl: Option<Option<u64>>,
    #[serde(skip_serializing_if = "is_default")]
    alias: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
}

/// What is at a URL: exactly one of the first four, with details.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpsJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<FetchFailureKind>,
    #[serde(skip_serializing_if = "is_default")]
    never: bool,
    /// Of a response: its body was not read to its end.
    #[serde(skip_serializing_if = "is_default")]
    too_large: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
    /// Spaces are appended to the body until it has this many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pad_to: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
}

/// The most bytes that a body is padded to: several times what is ever read.
const MOST_PADDING: usize = 1 << 20;
/// More spaces than this at the end of a body are written as a number.
const FEW_SPACES: usize = 32;

type Answers<T> = BTreeMap<String, Scripted<T>>;

/// Reads the answers of DNS.
pub(super) fn dns<'de, D: Deserializer<'de>>(from: D) -> Result<Answers<DnsAnswer>, D::Error> {
    from.deserialize_map(OnceEach(|question: &str, written: DnsJson| {
        question::question(question)?;
        written.read().map_err(|why| Malformed::new(question, why))
    }))
}

/// Reads what is at each URL.
pub(super) fn https<'de, D: Deserializer<'de>>(from: D) -> Result<Answers<Reply>, D::Error> {
    from.deserialize_map(OnceEach(|url: &str, written: HttpsJson| {
        question::url(url)?;
        written.read().map_err(|why| Malformed::new(url, why))
    }))
}

/// The fields of an object, each of which must be there once.
#[derive(Deserialize)]
pub(super) struct Fields(#[serde(deserialize_with = "fields")] pub(super) BTreeMap<String, Value>);

fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Value>, D::Error> {
    from.deserialize_map(OnceEach(|_: &str, value: Value| Ok(value)))
}

/// Reads a map and refuses one that has a key twice, of which the first would be lost silently.
struct OnceEach<J, T>(fn(&str, J) -> Result<T, Malformed>);

impl<'de, J: Deserialize<'de>, T> Visitor<'de> for OnceEach<J, T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with each key once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while let Some((key, written)) = map.next_entry::<String, J>()? {
            if read.contains_key(&key) {
                return Err(A::Error::custom(format_args!("{key:?} stands there twice")));
            }
            let answer = (self.0)(&key, written).map_err(A::Error::custom)?;
            read.insert(key, answer);
        }
        Ok(read)
    }
}

/// Distinguishes a field that is null from one that is missing.
#[allow(clippy::option_option, reason = "as above")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Serialize for Scripted<DnsAnswer> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DnsJson::write(self.clone()).serialize(serializer)
    }
}

impl Serialize for Scripted<Reply> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        HttpsJson::write(self.clone()).serialize(serializer)
    }
}

/// Returns the delay of an answer that does arrive.
fn delay(after_ms: Option<u64>) -> Duration {
    after_ms.map_or(DELAY, Duration::from_millis)
}

fn after_ms(after: Option<Duration>) -> Option<u64> {
    let after = after.filter(|after| *after != DELAY)?;
    u64::try_from(after.as_millis()).ok()
}

impl DnsJson {
    fn read(self) -> Result<Scripted<DnsAnswer>, &'static str> {
        let Self { addresses, srv, none, failed, never, detail, ttl, alias, after_ms } = self;
        let has_records = addresses.is_some() || srv.is_some();
        if never && after_ms.is_some() || !detail.is_empty() && failed.is_none() {
            return Err("a detail that does not go with the answer");
        }
        if has_records && ttl == Some(None) {
            return Err("records have a TTL");
        }
        if (never || failed.is_some()) && ttl.is_some() {
            return Err("what fails or never comes has no TTL");
        }
        if alias && !has_records {
            return Err("only records are found through an alias");
        }
        let found = |records| {
            let ttl = ttl.flatten().map_or(TTL, Duration::from_secs);
            DnsAnswer::Found { records, ttl, alias }
        };
        let answer = match (addresses, srv, none, failed, never) {
            (Some(addresses), None, None, None, false) => found(Records::Addresses(addresses)),
            (None, Some(records), None, None, false) => found(Records::Srv(records)),
            (None, None, Some(kind), None, false) => {
                let ttl = ttl.map_or(Some(NEGATIVE_TTL), |ttl| ttl.map(Duration::from_secs));
                DnsAnswer::None { kind, ttl }
            }
            (None, None, None, Some(failure), false) => DnsAnswer::Failed { failure, detail },
            (None, None, None, None, true) => no_record(NoRecord::NxDomain),
            _ => return Err("exactly one of addresses, srv, none, failed and never is needed"),
        };
        Ok(Scripted { answer, after: (!never).then(|| delay(after_ms)) })
    }

    fn write(Scripted { answer, after }: Scripted<DnsAnswer>) -> Self {
        let written = Self { after_ms: after_ms(after), ..Self::default() };
        if after.is_none() {
            return Self { never: true, ..written };
        }
        match answer {
            DnsAnswer::Found { records, ttl, alias } => {
                let ttl = (ttl != TTL).then_some(Some(ttl.as_secs()));
                let written = Self { ttl, alias, ..written };
                match records {
                    Records::Addresses(addresses) => Self { addresses: Some(addresses), ..written },
                    Records::Srv(records) => Self { srv: Some(records), ..written },
                }
            }
            DnsAnswer::None { kind, ttl } => {
                let ttl = (ttl != Some(NEGATIVE_TTL)).then(|| ttl.map(|ttl| ttl.as_secs()));
                Self { none: Some(kind), ttl, ..written }
            }
            DnsAnswer::Failed { failure, detail } => {
                Self { failed: Some(failure), detail, ..written }
            }
        }
    }
}

impl HttpsJson {
    fn read(self) -> Result<Scripted<Reply>, String> {
        let Self { status, failed, never, too_large, headers, detail, after_ms, .. } = &self;
        let (never, is_response) = (*never, status.is_some() || *too_large);
        if [is_response, failed.is_some(), never].into_iter().filter(|it| *it).count() != 1 {
            return Err("exactly one of status, failed and never is needed".to_owned());
        }
        let body = self.read_body()?;
        if body.is_some() && (!is_response || *too_large)
            || !headers.is_empty() && !is_response
            || !detail.is_empty() && failed.is_none()
            || never && after_ms.is_some()
        {
            return Err("a detail that does not go with the answer".to_owned());
        }
        let after = (!never).then(|| delay(*after_ms));
        let answer = match failed {
            Some(kind) if detail.is_empty() => Reply::Failed(FetchFailure::new(*kind, SCRIPTED)),
            Some(kind) => Reply::Failed(FetchFailure::new(*kind, detail)),
            None if never => refused(),
            None => Reply::Response {
                status: StatusCode::from_u16(status.unwrap_or(200)).map_err(|it| it.to_string())?,
                headers: read_headers(headers)?,
                body: if *too_large { Body::TooLarge } else { body.unwrap_or_default().into() },
            },
        };
        Ok(Scripted { answer, after })
    }

    fn read_body(&self) -> Result<Option<Vec<u8>>, String> {
        let mut body = match (&self.body, &self.body_hex) {
            (Some(_), Some(_)) => return Err("two bodies".to_owned()),
            (Some(text), None) => Some(text.clone().into_bytes()),
            (None, Some(hex)) => Some(from_hex(hex).ok_or("body_hex is not hexadecimal")?),
            (None, None) => None,
        };
        if let Some(length) = self.pad_to {
            let body = body.get_or_insert_default();
            if length > MOST_PADDING || length < body.len() {
                return Err(format!("pad_to is shorter than the body or over {MOST_PADDING}"));
            }
            body.resize(length, b' ');
        }
        Ok(body)
    }

    fn write(Scripted { answer, after }: Scripted<Reply>) -> Self {
        let written = Self { after_ms: after_ms(after), ..Self::default() };
        if after.is_none() {
            return Self { never: true, ..written };
        }
        match answer {
            Reply::Failed(failure) => {
                // Every failure without a detail of its own has this one.
                let detail =
                    if failure.detail == SCRIPTED { String::new() } else { failure.detail };
                Self { failed: Some(failure.kind), detail, ..written }
            }
            Reply::Response { status, headers, body } => {
                let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
                let headers = headers.iter().map(|(name, it)| (name.to_string(), text(it)));
                let (status, headers) = (Some(status.as_u16()), headers.collect());
                let written = Self { status, headers, ..written };
                let Body::Complete(mut bytes) = body else {
                    return Self { too_large: true, ..written };
                };
                let length = bytes.len();
                let kept = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
                let padded = length - kept > FEW_SPACES && length <= MOST_PADDING;
                if padded {
                    bytes.truncate(kept);
                }
                let written = Self { pad_to: padded.then_some(length), ..written };
                match String::from_utf8(bytes) {
                    Ok(text) if text.is_empty() => written,
                    Ok(text) => Self { body: Some(text), ..written },
                    Err(error) => Self { body_hex: Some(to_hex(error.as_bytes())), ..written },
                }
            }
        }
    }
}

/// Checks that these can be the headers of a response. Names are read in lower case.
fn read_headers(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut read = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?;
        read.append(name, value);
    }
    Ok(read)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}
