//! `Arbitrary` for what the core takes in (feature `arbitrary`).
//!
//! What is generated lies close to where things are decided: names near the grammar's edges,
//! bodies that are nearly documents, headers that nearly state a lifetime, records of hosts that
//! the other answers speak of.
//!
//! ```
//! use arbitrary::{Arbitrary, Unstructured};
//! use matrix_delegation::Config;
//! use matrix_delegation::testing::{Internet, documentation_allowed};
//!
//! let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
//! let internet = Internet::arbitrary(&mut Unstructured::new(&bytes))?;
//! // It comes to an end, whatever it answers.
//! let config = documentation_allowed(Config::default());
//! let _ = internet.resolve("a.example".parse().unwrap(), &config);
//! # Ok::<(), arbitrary::Error>(())
//! ```

use std::net::IpAddr;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::internet::Internet;
use crate::core::dns::{DnsAnswer, NoRecord, Records, Service, SrvRecord};
use crate::core::names::ServerName;
use crate::core::well_known::{Body, FetchFailure};

/// A text that is a server name or nearly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerNameText(pub String);

/// A body that is a well-known document or nearly one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WellKnownBody(pub Vec<u8>);

/// Headers of a response, among them those that set a lifetime or a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHeaders(pub HeaderMap);

/// SRV records as DNS may return them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SrvRecords(pub Vec<SrvRecord>);

/// The hosts of generated internets. The first is the one to resolve.
pub const HOSTS: [&str; 6] =
    ["a.example", "m.example", "t.example", "u.example", "r.example", "a.onion"];

/// Addresses that the default policy allows once the ranges for documentation are allowed, by family.
const PUBLIC_V4: &str = "192.0.2.1|192.0.2.2|198.51.100.3|203.0.113.4";
const PUBLIC_V6: &str = "2001:db8::1|2001:db8::2";
/// Some of both, and some that it always blocks.
const ADDRESSES: &str = "192.0.2.1|192.0.2.2|198.51.100.3|203.0.113.4|2001:db8::1|2001:db8::2|\
    127.0.0.1|10.0.0.1|169.254.169.254|::1|fd00::1|::ffff:10.0.0.1|64:ff9b::7f00:1|2002:7f00:1::";

// Pieces of texts, with `|` between them.
const HOST_PIECES: &str = "a.example|m.example|M.Example|r.example|a.onion|a|example|xn--a|\
    127|127.1|0x7f|0x7f.1|1.2.3.256|192.0.2.1|10.0.0.1|[2001:db8::1]|[::1]|[::ffff:127.0.0.1]|\
    [|]|..|.|-|_|ä| |/|@|%41|\0";
const PORT_PIECES: &str = "|:|:443|:8448|:0|:00443|:+443|:-1|:65535|:65536|:4 |:99999|:000001|:1:2";
const BODY_PIECES: &str = "{|}|[|]|\"m.server\"|:|,|\"m.example\"|\"m.example:443\"|null|\"\"|1|\"x\"|\
    \\u002e| |\u{feff}|\"m.homeserver\"|\"127.1\"|{\"m.server\":\"m.example\"}|true";
const CACHE_PIECES: &str = "max-age|=|\"|0|60|3600|86400|99999999999999999999|-1|,| |\t|no-store|\
    no-cache|s-maxage|private|Max-Age=5|max-age=\"7\"|;|x=\"a,b\"|1.5|=\"no-cache\"";
const DATES: &str = "Thu, 01 Jan 2026 00:00:00 GMT|Thu, 01 Jan 2026 01:00:00 GMT|\
    Thu, 08 Jan 2026 00:00:00 GMT|Thursday, 01-Jan-26 00:30:00 GMT|Thu Jan  1 02:00:00 2026|0|soon";
const LOCATIONS: &str = "https://r.example/x|https://R.example:443/x#y|//r.example/x|/x|x||?|\
    http://r.example/x|https://user:password@r.example/x|https://127.1/x|https://[::1]/x|\
    https://r.example:0/|https://r.example:65536/|https:r.example|data:,x|\
    https://m.example/.well-known/matrix/server";

/// Draws one of the alternatives, which `|` separates.
fn one_of<'t>(u: &mut Unstructured<'_>, alternatives: &'t str) -> Result<&'t str> {
    let alternatives: Vec<&str> = alternatives.split('|').collect();
    u.choose(&alternatives).copied()
}

/// Generates at most `most` pieces, one after the other.
fn pieces(u: &mut Unstructured<'_>, alternatives: &str, most: usize) -> Result<String> {
    (0..u.int_in_range(0..=most)?).map(|_| one_of(u, alternatives)).collect()
}

impl<'a> Arbitrary<'a> for ServerNameText {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        if u.ratio(1, 8)? {
            return Ok(Self(u.arbitrary()?));
        }
        let host = pieces(u, HOST_PIECES, 3)?;
        Ok(Self(format!("{host}{}", one_of(u, PORT_PIECES)?)))
    }
}

impl<'a> Arbitrary<'a> for ServerName {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let ServerNameText(text) = u.arbitrary()?;
        let name = text.parse().or_else(|_| format!("{}.example", text.len()).parse());
        name.map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for WellKnownBody {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=9)? {
            0 => u.arbitrary()?,
            1 | 2 => pieces(u, BODY_PIECES, 12)?.into_bytes(),
            _ => {
                let ServerNameText(name) = u.arbitrary()?;
                let mut body = serde_json::json!({ "m.server": name }).to_string();
                if u.ratio(1, 4)? {
                    body.insert_str(1, one_of(u, "\"x\":[],|\"m.server\":1,| |,")?);
                }
                body.into_bytes()
            }
        }))
    }
}

impl<'a> Arbitrary<'a> for ResponseHeaders {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        const NAMES: &str = "cache-control|cache-control|age|expires|date|location|retry-after|\
            content-encoding";
        let mut headers = HeaderMap::new();
        for _ in 0..u.int_in_range(0..=5)? {
            let name = one_of(u, NAMES)?;
            let value = match name {
                _ if u.ratio(1, 10)? => u.arbitrary()?,
                "cache-control" => pieces(u, CACHE_PIECES, 6)?,
                "age" | "retry-after" if u.arbitrary()? => pieces(u, CACHE_PIECES, 2)?,
                "location" => one_of(u, LOCATIONS)?.to_owned(),
                "content-encoding" => one_of(u, "identity|gzip|Identity|")?.to_owned(),
                _ => one_of(u, DATES)?.to_owned(),
            };
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        Ok(Self(headers))
    }
}

impl<'a> Arbitrary<'a> for SrvRecords {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut records = Vec::new();
        let most = if u.ratio(1, 8)? { 30 } else { 4 };
        for _ in 0..u.int_in_range(0..=most)? {
            let small = |u: &mut Unstructured<'a>| -> Result<u16> {
                if u.ratio(1, 8)? { u.arbitrary() } else { u.int_in_range(0..=3) }
            };
            let target = match u.int_in_range(0..=7)? {
                0 => pieces(u, HOST_PIECES, 2)?,
                1 => ".".to_owned(),
                _ => format!("{}{}", u.choose(&HOSTS)?, if u.arbitrary()? { "." } else { "" }),
            };
            records.push(SrvRecord {
                priority: small(u)?,
                weight: small(u)?,
                port: *u.choose(&[0, 1, 443, 443, 8448, 8448, 65535])?,
                target,
            });
        }
        Ok(Self(records))
    }
}

fn ttl(u: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(Duration::from_secs(*u.choose(&[0, 1, 5, 60, 300, 3600, 86_400, 1 << 31, u64::MAX])?))
}

/// Generates an answer of DNS, with these records if there are any.
fn answer(u: &mut Unstructured<'_>, records: Records) -> Result<DnsAnswer> {
    use NoRecord::{NoData, NotImplemented, NxDomain};
    // The ordinary is what the bytes' end, which reads as zeros, stands for.
    Ok(match u.int_in_range(0..=11)? {
        11 => DnsAnswer::failed(u.arbitrary()?),
        9 | 10 => DnsAnswer::None {
            kind: *u.choose(&[NxDomain, NoData, NotImplemented])?,
            ttl: if u.ratio(1, 4)? { None } else { Some(ttl(u)?) },
        },
        _ => DnsAnswer::Found { records, ttl: ttl(u)?, alias: u.ratio(1, 6)? },
    })
}

fn addresses(u: &mut Unstructured<'_>, public: &str) -> Result<Records> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let most = if u.int_in_range(0..=7)? == 7 { 12 } else { 2 };
    for _ in 0..u.int_in_range(0..=most)?.max(u8::from(u.ratio(7, 8)?)) {
        let address = if u.int_in_range(0..=7)? == 7 {
            u.arbitrary()?
        } else {
            // Most hosts are somewhere.
            let of = if u.int_in_range(0..=3)? == 3 { ADDRESSES } else { public };
            one_of(u, of)?.parse().map_err(|_| arbitrary::Error::IncorrectFormat)?
        };
        addresses.push(address);
    }
    Ok(Records::Addresses(addresses))
}

/// Generates a document that delegates to one of the hosts or to an address.
fn delegation(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let to = if u.ratio(7, 8)? { *u.choose(&HOSTS)? } else { one_of(u, "192.0.2.9|127.0.0.1")? };
    let port = if u.ratio(1, 3)? { one_of(u, ":443|:8448")? } else { "" };
    Ok(serde_json::json!({ "m.server": format!("{to}{port}") }).to_string().into_bytes())
}

fn fetched(u: &mut Unstructured<'_>) -> Result<std::result::Result<Response<Body>, FetchFailure>> {
    if u.int_in_range(0..=5)? == 5 {
        return Ok(Err(FetchFailure::new(u.arbitrary()?, "")));
    }
    let statuses = [204, 301, 302, 303, 307, 308, 304, 404, 408, 429, 500, 503];
    let status = if u.ratio(2, 3)? { 200 } else { *u.choose(&statuses)? };
    let body = if u.ratio(1, 20)? {
        Body::TooLarge
    } else {
        let mut body = if u.ratio(3, 4)? { delegation(u)? } else { WellKnownBody::arbitrary(u)?.0 };
        if u.ratio(1, 20)? {
            body.resize(*u.choose(&[51_200, 51_201])?, b' ');
        }
        Body::Complete(body)
    };
    let ResponseHeaders(headers) = u.arbitrary()?;
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(status).map_err(|_| arbitrary::Error::IncorrectFormat)?;
    *response.headers_mut() = headers;
    if (300..400).contains(&status) && response.headers().get("location").is_none() {
        let location = HeaderValue::from_static(one_of(u, LOCATIONS)?);
        response.headers_mut().insert("location", location);
    }
    Ok(Ok(response))
}

/// Lets a few questions wait, and a few go unanswered.
fn delayed(u: &mut Unstructured<'_>, internet: Internet, question: &str) -> Result<Internet> {
    Ok(match u.int_in_range(0..=23)? {
        23 => internet.never(question),
        22 => internet.after(question, Duration::from_millis(u.int_in_range(0..=20_000)?)),
        _ => internet,
    })
}

impl<'a> Arbitrary<'a> for Internet {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut internet = Self::new();
        for host in HOSTS {
            for (record_type, public) in [("A", PUBLIC_V4), ("AAAA", PUBLIC_V6)] {
                let question = format!("{record_type} {host}");
                let records = addresses(u, public)?;
                internet = internet.dns(&question, answer(u, records)?);
                internet = delayed(u, internet, &question)?;
            }
            for service in Service::ALL {
                // Most hosts have none.
                if u.int_in_range(0..=2)? == 2 {
                    let question = format!("SRV {service}.{host}");
                    let SrvRecords(records) = u.arbitrary()?;
                    internet = internet.dns(&question, answer(u, Records::Srv(records))?);
                    internet = delayed(u, internet, &question)?;
                }
            }
        }
        let documents = HOSTS.map(|host| format!("https://{host}/.well-known/matrix/server"));
        let others = ["https://r.example/x", "https://m.example/x", "https://a.example/x"];
        for url in documents.iter().map(String::as_str).chain(others) {
            internet = internet.fetched(url, fetched(u)?);
            internet = delayed(u, internet, &format!("GET {url}"))?;
        }
        Ok(internet)
    }
}
