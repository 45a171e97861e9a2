//! Where redirects lead.
//!
//! Invariant: a redirect is followed exactly if its status and its `Location` allow it and the
//! `url` crate resolves that to `https`, without credentials, with a port other than 0, and with a
//! host that is an address or a name DNS can be asked for. Then the URL is the one that crate gives,
//! less fragment and final dot; it reads as itself, and an empty `Location` leads back to it. A
//! look-up that meets the redirect fetches from addresses that the policy lets through, or not at
//! all.
//!
//! Input: in the first line a status and the URL that redirects (or a host name, whose first URL it
//! is then). Each further line is a hop: its `Location`, or several with the byte 0x1F between them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use matrix_delegation::cache::WellKnownEntry;
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::discovery::{Machine, Output, Question, WellKnownLookup};
use matrix_delegation::names::{DnsName, Host};
use matrix_delegation::time::Now;
use matrix_delegation::well_known::{Body, RedirectError, WellKnownFailure, WellKnownUrl};
use matrix_delegation::{AddressPolicy, Config};
use url::Url;

use crate::oracle;

/// The longest URL that is followed, in bytes.
const LONGEST: usize = 8_192;

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let first = std::str::from_utf8(first).unwrap_or_default();
    let (status, start) = first.split_once(' ').unwrap_or(("", first));
    let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::FOUND);
    check_absolute(start);
    let mut url = match (start.parse::<DnsName>(), start.parse()) {
        (Ok(host), _) => WellKnownUrl::of_host(&host),
        (_, Ok(url)) => url,
        _ => WellKnownUrl::of_host(&"a.example".parse().unwrap()),
    };
    check_url(&url);
    for line in lines.take(12) {
        let mut headers = HeaderMap::new();
        for location in line.split(|byte| *byte == 0x1f) {
            let Ok(value) = HeaderValue::from_bytes(location) else { return };
            headers.append("location", value);
        }
        let next = url.redirect(status, &headers);
        check(&url, status, &headers, &next);
        let Ok(next) = next else { return };
        check_url(&next);
        url = next;
    }
    check_look_up(&url);
}

/// The redirect against the second reading.
fn check(
    from: &WellKnownUrl,
    status: StatusCode,
    headers: &HeaderMap,
    next: &Result<WellKnownUrl, RedirectError>,
) {
    if let Err(error) = next {
        let json = serde_json::to_string(error).unwrap();
        assert_eq!(&serde_json::from_str::<RedirectError>(&json).unwrap(), error);
    }
    if ![301, 302, 303, 307, 308].contains(&status.as_u16()) {
        assert_eq!(next, &Err(RedirectError::NotARedirect { status: status.as_u16() }));
        return;
    }
    let locations: Vec<_> = headers.get_all("location").iter().collect();
    let location = locations[0];
    if locations.iter().any(|other| *other != location) {
        assert_eq!(next, &Err(RedirectError::SeveralLocations { count: locations.len() }));
        return;
    }
    if location.len() > LONGEST {
        assert_eq!(next, &Err(RedirectError::TooLong { bytes: location.len() }));
        return;
    }
    let Ok(location) = std::str::from_utf8(location.as_bytes()) else {
        assert_eq!(next, &Err(RedirectError::NotText));
        return;
    };
    let resolved = match Url::parse(&from.to_string()) {
        Ok(base) => base.join(location),
        Err(_) => Url::parse(location),
    };
    check_resolved(location, resolved, next);
}

/// An absolute URL is read by the same rules.
fn check_absolute(text: &str) {
    let read = text.parse::<WellKnownUrl>();
    if text.len() > LONGEST {
        assert_eq!(read, Err(RedirectError::TooLong { bytes: text.len() }));
        return;
    }
    // The first URL of a host is its own spelling, whatever the URL standard says of the host.
    let host =
        text.strip_prefix("https://").and_then(|it| it.strip_suffix("/.well-known/matrix/server"));
    if let Some(host) = host
        && oracle::is_host_name(host.as_bytes(), false)
    {
        let host: DnsName = host.parse().unwrap();
        assert_eq!(read, Ok(WellKnownUrl::of_host(&host)));
        return;
    }
    check_resolved(text, Url::parse(text), &read);
}

fn check_resolved(
    location: &str,
    resolved: Result<Url, url::ParseError>,
    next: &Result<WellKnownUrl, RedirectError>,
) {
    let Ok(url) = resolved else {
        let credentials = matches!(next, Err(RedirectError::Credentials));
        assert!(matches!(next, Err(RedirectError::NotAUrl { .. })) || credentials, "{next:?}");
        assert!(!credentials || location.contains('@'));
        return;
    };
    if url.scheme() != "https" {
        assert!(matches!(next, Err(RedirectError::NotHttps { .. })), "{next:?}");
        return;
    }
    if matches!(next, Err(RedirectError::Credentials)) {
        assert!(location.contains('@'));
        return;
    }
    assert!(url.username().is_empty() && url.password().is_none(), "{next:?}");
    let host = match url.host() {
        Some(url::Host::Ipv4(address)) => address.to_string(),
        Some(url::Host::Ipv6(address)) => format!("[{address}]"),
        Some(url::Host::Domain(domain)) => {
            let name = domain.strip_suffix('.').unwrap_or(domain);
            if !oracle::is_host_name(name.as_bytes(), true) {
                assert!(matches!(next, Err(RedirectError::NotAHost { .. })), "{next:?}");
                return;
            }
            name.to_ascii_lowercase()
        }
        None => panic!("https without a host: {url}"),
    };
    if url.port() == Some(0) {
        assert_eq!(next, &Err(RedirectError::PortZero));
        return;
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let expected = format!("https://{host}{port}{}{query}", url.path());
    if expected.len() > LONGEST {
        assert_eq!(next, &Err(RedirectError::TooLong { bytes: expected.len() }));
        return;
    }
    assert_eq!(next.as_ref().map(ToString::to_string), Ok(expected));
}

/// What holds of every URL that may be fetched.
fn check_url(url: &WellKnownUrl) {
    let text = url.to_string();
    assert!(text.starts_with("https://") && !text.contains('#'));
    assert_eq!(url.uri().to_string(), text);
    assert_eq!(url.uri().scheme_str(), Some("https"));
    assert_ne!(url.port(), 0);
    assert!(url.uri().port_u16().is_none_or(|port| port == url.port() && port != 443));
    assert_eq!(url.uri().host(), Some(url.host().to_string().as_str()));
    let plain = if url.port() == 443 {
        url.host().to_string()
    } else {
        format!("{}:{}", url.host(), url.port())
    };
    assert_eq!(url.host_header(), plain);
    assert!(HeaderValue::from_str(url.host_header()).is_ok());
    if let Host::Dns(name) = url.host() {
        assert!(oracle::is_host_name(name.as_str().as_bytes(), true));
        assert_eq!(name.as_str(), name.as_str().to_ascii_lowercase());
        let tls = url.host().tls_name();
        assert_eq!(tls.to_str(), name.as_str(), "what TLS cannot carry");
    }
    assert_eq!(text.parse().as_ref(), Ok(url));
    let json = serde_json::to_string(url).unwrap();
    assert_eq!(&serde_json::from_str::<WellKnownUrl>(&json).unwrap(), url);
    if Url::parse(&text).is_ok() {
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static(""));
        assert_eq!(url.redirect(StatusCode::FOUND, &headers).as_ref(), Ok(url));
    }
}

/// A look-up that is led to this URL fetches it from where it may, or not at all.
fn check_look_up(url: &WellKnownUrl) {
    let Ok(location) = HeaderValue::from_str(&url.to_string()) else { return };
    let host = "first.example".parse().unwrap();
    let config = Config::default().with_addresses(AddressFamilies::ByProxy);
    let mut lookup = WellKnownLookup::new(host, Arc::new(config), Now::EPOCH, 0);
    let Output::Ask(Question::Fetch { token, .. }) = lookup.poll_output(Now::EPOCH) else {
        panic!("nothing is fetched");
    };
    let mut response = Response::new(Body::from(""));
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert("location", location);
    lookup.handle(token.answer(Ok(response)), Now::EPOCH);
    let may = |address: IpAddr| {
        assert_eq!(
            AddressPolicy::default().check(address).is_ok(),
            oracle::is_public(oracle::judged(address))
        );
        oracle::is_public(oracle::judged(address))
    };
    match (lookup.poll_output(Now::EPOCH), url.host()) {
        (Output::Ask(Question::Fetch { fetch, .. }), Host::Dns(_)) => {
            assert!(fetch.left_to_proxy && fetch.addresses.is_empty());
            assert_eq!(fetch.request.uri(), url.uri());
        }
        (Output::Ask(Question::Fetch { fetch, .. }), Host::Ip(address)) => {
            assert!(may(*address));
            assert_eq!(fetch.addresses, [SocketAddr::new(*address, url.port())]);
            assert!(!fetch.left_to_proxy);
            assert_eq!(fetch.request.headers()["host"], url.host_header());
        }
        (Output::Done(answer), Host::Ip(address)) => {
            assert!(!may(*address));
            assert!(is_blocked(&answer), "{answer:?}");
        }
        // A URL that cannot be resolved against (`xn--` before what is no punycode) is no Location.
        (Output::Done(answer), Host::Dns(_)) => {
            assert!(Url::parse(&url.to_string()).is_err() || is_loop(&answer), "{answer:?}");
        }
        (other, _) => panic!("{other:?}"),
    }
}

fn is_blocked(answer: &WellKnownEntry) -> bool {
    matches!(answer.failure(), Some(WellKnownFailure::Blocked { .. }))
}

fn is_loop(answer: &WellKnownEntry) -> bool {
    matches!(answer.failure(), Some(WellKnownFailure::Redirect(RedirectError::Loop { .. })))
}
