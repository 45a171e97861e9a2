//! Where redirects lead: one row for each rule.

use std::collections::HashSet;
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, StatusCode};
use matrix_delegation::names::{DnsName, Host, NotAHostName};
use matrix_delegation::well_known::{RedirectError, WellKnownUrl, is_redirect};
use proptest::prelude::*;

fn start() -> WellKnownUrl {
    WellKnownUrl::of_host(&"a.example".parse().unwrap())
}

fn redirect(from: &WellKnownUrl, locations: &[&[u8]]) -> Result<WellKnownUrl, RedirectError> {
    let mut headers = HeaderMap::new();
    for location in locations {
        headers.append("location", HeaderValue::from_bytes(location).unwrap());
    }
    from.redirect(StatusCode::FOUND, &headers)
}

/// From `https://a.example/.well-known/matrix/server`: rule, `Location`, URL, `Host`.
const FOLLOWED: &[(&str, &str, &str, &str)] = &[
    ("another host", "https://b.example/m", "https://b.example/m", "b.example"),
    ("a query", "https://b.example/m?a=b&c", "https://b.example/m?a=b&c", "b.example"),
    ("an empty query", "https://b.example/m?", "https://b.example/m?", "b.example"),
    ("a host without a path", "https://b.example", "https://b.example/", "b.example"),
    ("a query without a path", "https://b.example?q", "https://b.example/?q", "b.example"),
    ("a fragment", "https://b.example/m#top", "https://b.example/m", "b.example"),
    ("a fragment after a query", "https://b.example/m?q#top", "https://b.example/m?q", "b.example"),
    ("any port", "https://b.example:8443/m", "https://b.example:8443/m", "b.example:8443"),
    ("the highest port", "https://b.example:65535/", "https://b.example:65535/", "b.example:65535"),
    ("port 80", "https://b.example:80/", "https://b.example:80/", "b.example:80"),
    ("the default port", "https://b.example:443/m", "https://b.example/m", "b.example"),
    ("an empty port", "https://b.example:/m", "https://b.example/m", "b.example"),
    (
        "leading zeros of a port",
        "https://b.example:08443/",
        "https://b.example:8443/",
        "b.example:8443",
    ),
    ("an absolute path", "/m", "https://a.example/m", "a.example"),
    ("a relative path", "m", "https://a.example/.well-known/matrix/m", "a.example"),
    ("a dot segment", "./m", "https://a.example/.well-known/matrix/m", "a.example"),
    ("a double-dot segment", "../m", "https://a.example/.well-known/m", "a.example"),
    ("more double dots than segments", "../../../../m", "https://a.example/m", "a.example"),
    ("encoded dot segments", "https://b.example/x/%2e%2e/m", "https://b.example/m", "b.example"),
    ("a query alone", "?q", "https://a.example/.well-known/matrix/server?q", "a.example"),
    ("a fragment alone", "#x", "https://a.example/.well-known/matrix/server", "a.example"),
    ("an empty Location", "", "https://a.example/.well-known/matrix/server", "a.example"),
    ("a relative scheme", "//b.example/m", "https://b.example/m", "b.example"),
    ("backslashes", "https:\\\\b.example\\m", "https://b.example/m", "b.example"),
    ("an absolute path of backslashes", "\\\\b.example\\m", "https://b.example/m", "b.example"),
    ("too many slashes", "https:////b.example/m", "https://b.example/m", "b.example"),
    (
        "a scheme without slashes is relative",
        "https:m",
        "https://a.example/.well-known/matrix/m",
        "a.example",
    ),
    ("an upper-case scheme", "HTTPS://b.example/m", "https://b.example/m", "b.example"),
    ("an upper-case host", "https://B.Example/m", "https://b.example/m", "b.example"),
    ("an upper-case path stays", "https://b.example/M", "https://b.example/M", "b.example"),
    ("a final dot", "https://b.example./m", "https://b.example/m", "b.example"),
    (
        "a final dot before a port",
        "https://b.example.:8443/",
        "https://b.example:8443/",
        "b.example:8443",
    ),
    ("an underscore", "https://_b.a_b.example/", "https://_b.a_b.example/", "_b.a_b.example"),
    ("a percent-encoded host", "https://%62.example/", "https://b.example/", "b.example"),
    ("a percent-encoded final dot", "https://b.example%2E/", "https://b.example/", "b.example"),
    (
        "an international host",
        "https://b\u{fc}cher.example/",
        "https://xn--bcher-kva.example/",
        "xn--bcher-kva.example",
    ),
    (
        "an encoded international host",
        "https://b%C3%BCcher.example/",
        "https://xn--bcher-kva.example/",
        "xn--bcher-kva.example",
    ),
    ("full-width letters", "https://\u{ff42}.example/", "https://b.example/", "b.example"),
    ("an ideographic full stop", "https://b\u{3002}example/", "https://b.example/", "b.example"),
    ("a soft hyphen", "https://b\u{ad}.example/", "https://b.example/", "b.example"),
    (
        "punycode stays",
        "https://xn--bcher-kva.example/",
        "https://xn--bcher-kva.example/",
        "xn--bcher-kva.example",
    ),
    ("a host of one label", "https://localhost/", "https://localhost/", "localhost"),
    ("IPv4", "https://192.0.2.7/m", "https://192.0.2.7/m", "192.0.2.7"),
    ("IPv4 with a port", "https://192.0.2.7:8443/", "https://192.0.2.7:8443/", "192.0.2.7:8443"),
    ("IPv4 with a final dot", "https://192.0.2.7./", "https://192.0.2.7/", "192.0.2.7"),
    ("hexadecimal IPv4", "https://0x7f.1/", "https://127.0.0.1/", "127.0.0.1"),
    ("octal IPv4", "https://0177.0.0.01/", "https://127.0.0.1/", "127.0.0.1"),
    ("IPv4 in one number", "https://2130706433/", "https://127.0.0.1/", "127.0.0.1"),
    ("IPv4 in two parts", "https://127.1/", "https://127.0.0.1/", "127.0.0.1"),
    ("percent-encoded IPv4", "https://%31%32%37.0.0.1/", "https://127.0.0.1/", "127.0.0.1"),
    ("full-width IPv4", "https://\u{ff11}27.0.0.1/", "https://127.0.0.1/", "127.0.0.1"),
    ("IPv6", "https://[::1]/", "https://[::1]/", "[::1]"),
    (
        "IPv6 with a port",
        "https://[2001:db8::7]:8443/",
        "https://[2001:db8::7]:8443/",
        "[2001:db8::7]:8443",
    ),
    (
        "IPv6 is shortened",
        "https://[2001:DB8:0:0:0:0:0:07]/",
        "https://[2001:db8::7]/",
        "[2001:db8::7]",
    ),
    (
        "IPv6 with IPv4 inside",
        "https://[::ffff:7f00:1]/",
        "https://[::ffff:127.0.0.1]/",
        "[::ffff:127.0.0.1]",
    ),
    ("spaces in a path", "/a b", "https://a.example/a%20b", "a.example"),
    ("spaces around", "  https://b.example/m  ", "https://b.example/m", "b.example"),
    ("tabs within", "https://b.exa\tmple/m", "https://b.example/m", "b.example"),
    ("text beyond ASCII in a path", "/\u{fc}", "https://a.example/%C3%BC", "a.example"),
    ("an at sign in a path", "https://b.example/@m", "https://b.example/@m", "b.example"),
    ("an at sign in a query", "https://b.example/?u@v", "https://b.example/?u@v", "b.example"),
    (
        "braces in a path",
        "/{a|b`c\"d<e>}",
        "https://a.example/%7Ba|b%60c%22d%3Ce%3E%7D",
        "a.example",
    ),
];

/// From the same: rule, `Location`, the error's name, part of its message.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("http", "http://b.example/", "not_https", "\"http\""),
    ("http at port 443", "http://b.example:443/", "not_https", "\"http\""),
    ("a scheme of no network", "javascript:alert(1)", "not_https", "\"javascript\""),
    ("a file", "file:///etc/passwd", "not_https", "\"file\""),
    ("data", "data:application/json,{}", "not_https", "\"data\""),
    ("a host and port that read as a scheme", "b.example:8443", "not_https", "\"b.example\""),
    ("a scheme that begins the same", "httpsx://b.example/", "not_https", "\"httpsx\""),
    ("the scheme comes before the credentials", "http://u@b.example/", "not_https", "\"http\""),
    ("a user", "https://user@b.example/", "credentials", "credentials"),
    ("a user and a password", "https://u:secret@b.example/", "credentials", "credentials"),
    ("a password alone", "https://:secret@b.example/", "credentials", "credentials"),
    ("an at sign alone", "https://@b.example/", "credentials", "credentials"),
    ("a colon and an at sign", "https://:@b.example/", "credentials", "credentials"),
    ("a host as the user", "https://a.example@b.example/", "credentials", "credentials"),
    ("two at signs", "https://u@v@b.example/", "credentials", "credentials"),
    ("credentials of a relative scheme", "//u@b.example/", "credentials", "credentials"),
    ("credentials before no host", "https://u:secret@/", "credentials", "credentials"),
    (
        "credentials before a bad port",
        "https://u:secret@b.example:x/",
        "credentials",
        "credentials",
    ),
    ("no host", "https://", "not_a_url", "empty host"),
    ("no host but a port", "https://:8443/", "not_a_url", "empty host"),
    ("port 0", "https://b.example:0/", "port_zero", "port is 0"),
    ("port 65536", "https://b.example:65536/", "not_a_url", "port"),
    ("a port of letters", "https://b.example:https/", "not_a_url", "port"),
    ("a negative port", "https://b.example:-1/", "not_a_url", "port"),
    ("a space in the host", "https://b example/", "not_a_url", "domain"),
    ("an encoded slash in the host", "https://b%2fexample/", "not_a_url", "domain"),
    ("an encoded at sign in the host", "https://u%40b.example/", "not_a_url", "domain"),
    ("encoded bytes that are not UTF-8 in the host", "https://%ff.example/", "not_a_url", "domain"),
    ("IPv4 with a part too large", "https://1.2.3.256/", "not_a_url", "IPv4"),
    ("IPv4 of five parts", "https://1.2.3.4.5/", "not_a_url", "IPv4"),
    ("a last label that is a number", "https://b.example.7/", "not_a_url", "IPv4"),
    ("an open bracket", "https://[::1/", "not_a_url", "IPv6"),
    ("IPv6 with a zone", "https://[fe80::1%25eth0]/", "not_a_url", "IPv6"),
    ("IPv6 without brackets", "https://2001:db8::7/", "not_a_url", "port"),
    ("a future IP version", "https://[v1.x]/", "not_a_url", "IPv6"),
    ("punycode that is none", "https://xn--a.example/", "not_a_url", "name"),
    ("an apostrophe in the host", "https://b'c.example/", "not_a_host", "b'c.example"),
    ("an asterisk in the host", "https://*.example/", "not_a_host", "*.example"),
    ("a hyphen before a label", "https://-b.example/", "not_a_host", "-b.example"),
    ("a hyphen after a label", "https://b-.example/", "not_a_host", "b-.example"),
    ("an empty label", "https://b..example/", "not_a_host", "b..example"),
    ("a dot first", "https://.b.example/", "not_a_host", ".b.example"),
    ("two final dots", "https://b.example../", "not_a_host", "b.example.."),
];

fn kind(error: &RedirectError) -> String {
    match serde_json::to_value(error).unwrap() {
        serde_json::Value::String(kind) => kind,
        serde_json::Value::Object(map) => map.keys().next().unwrap().clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn followed_rows() {
    for (rule, location, url, host_header) in FOLLOWED {
        let next = redirect(&start(), &[location.as_bytes()]);
        let next = next.unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(next.to_string(), *url, "{rule}");
        assert_eq!(next.uri(), &url.parse::<http::Uri>().unwrap(), "{rule}");
        assert_eq!(next.host_header(), *host_header, "{rule}");
        let port = next.uri().port_u16().unwrap_or(443);
        assert_eq!(next.port(), port, "{rule}");
        let plain =
            if port == 443 { next.host().to_string() } else { format!("{}:{port}", next.host()) };
        assert_eq!(plain, *host_header, "{rule}");
        assert_eq!(url.parse(), Ok(next), "{rule}: its own spelling reads as itself");
    }
}

#[test]
fn refused_rows() {
    for (rule, location, name, message) in REFUSED {
        let error = redirect(&start(), &[location.as_bytes()]).expect_err(rule);
        assert_eq!(kind(&error), *name, "{rule}: {error}");
        assert!(error.to_string().contains(message), "{rule}: {error}");
        assert!(!error.to_string().contains("secret"), "{rule}: {error}");
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<RedirectError>(&text).unwrap(), error, "{rule}");
    }
}

#[test]
fn rules_are_unique() {
    let rows = || FOLLOWED.iter().chain(REFUSED);
    let rules: HashSet<_> = rows().map(|row| row.0).collect();
    assert_eq!(rules.len(), rows().count());
    let locations: HashSet<_> = rows().map(|row| row.1).collect();
    assert_eq!(locations.len(), rows().count());
}

#[test]
fn hosts_are_typed() {
    let host = |location: &str| redirect(&start(), &[location.as_bytes()]).unwrap().host().clone();
    let ip = |text: &str| Host::Ip(text.parse::<IpAddr>().unwrap());
    assert_eq!(host("https://0x7f.1/"), ip("127.0.0.1"));
    assert_eq!(host("https://[::1]/"), ip("::1"));
    assert_eq!(host("https://[::ffff:7f00:1]/"), ip("::ffff:127.0.0.1"));
    assert_eq!(host("https://B.Example./"), Host::Dns("b.example".parse().unwrap()));
}

#[test]
fn statuses() {
    let redirects: Vec<u16> =
        (100..1000).filter(|&status| is_redirect(StatusCode::from_u16(status).unwrap())).collect();
    assert_eq!(redirects, [301, 302, 303, 307, 308]);

    let mut headers = HeaderMap::new();
    headers.insert("location", HeaderValue::from_static("/m"));
    for status in 100..1000 {
        let next = start().redirect(StatusCode::from_u16(status).unwrap(), &headers);
        if redirects.contains(&status) {
            assert_eq!(next, "https://a.example/m".parse(), "{status}");
        } else {
            assert_eq!(next, Err(RedirectError::NotARedirect { status }));
        }
    }
}

#[test]
fn locations_missing_and_repeated() {
    assert_eq!(redirect(&start(), &[]), Err(RedirectError::NoLocation));
    assert_eq!(redirect(&start(), &[b"/m", b"/m"]), "https://a.example/m".parse());
    let several = Err(RedirectError::SeveralLocations { count: 3 });
    assert_eq!(redirect(&start(), &[b"/m", b"/m", b"/n"]), several);
    // Compared as written: which of them is meant is not guessed at.
    let several = Err(RedirectError::SeveralLocations { count: 2 });
    assert_eq!(redirect(&start(), &[b"/m", b"https://a.example/m"]), several);
    assert_eq!(redirect(&start(), &[b"/\xff"]), Err(RedirectError::NotText));
}

#[test]
fn lengths() {
    let url = |length: usize| format!("https://b.example/{:x<1$}", "", length - 18);
    let longest = redirect(&start(), &[url(8192).as_bytes()]).unwrap();
    assert_eq!(longest.to_string().len(), 8192);
    let long = Err(RedirectError::TooLong { bytes: 8193 });
    assert_eq!(redirect(&start(), &[url(8193).as_bytes()]), long);
    assert_eq!(url(8193).parse::<WellKnownUrl>(), long);
    // What grows when resolved or encoded is measured again.
    let relative = format!("/{}", " ".repeat(8000) + "x");
    let grown = Err(RedirectError::TooLong { bytes: "https://a.example/x".len() + 3 * 8000 });
    assert_eq!(redirect(&start(), &[relative.as_bytes()]), grown);
    let relative = redirect(&longest, &[b"?y"]);
    assert_eq!(relative, Err(RedirectError::TooLong { bytes: 8194 }));
}

#[test]
fn evidence_is_cut_between_characters() {
    let location = format!("https://b.example:x/{}", "\u{20ac}".repeat(300));
    match redirect(&start(), &[location.as_bytes()]) {
        Err(RedirectError::NotAUrl { location: kept, .. }) => {
            assert_eq!(kept.len(), 254);
            assert!(location.starts_with(&kept));
        }
        other => panic!("{other:?}"),
    }
    let scheme = format!("{}:", "x".repeat(1000));
    let cut = Err(RedirectError::NotHttps { scheme: "x".repeat(255) });
    assert_eq!(redirect(&start(), &[scheme.as_bytes()]), cut);
    let long = format!("https://a.example/{}", "x".repeat(1000)).parse().unwrap();
    match RedirectError::back_to(&long) {
        RedirectError::Loop { url } => assert_eq!(url.len(), 255),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_cause_of_a_bad_host_is_kept() {
    let error = redirect(&start(), &[b"https://b..example/"]).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref(), Some(&NotAHostName::EmptyLabel));
    assert!(!error.to_string().contains(&source.to_string()));
}

#[test]
fn equal_urls_are_equal() {
    let spellings = [
        "https://a.example/.well-known/matrix/server",
        "https://A.EXAMPLE:443/.well-known/matrix/server#x",
        "https://a.example./.well-known/x/../matrix/server",
        "//a.example:0443/.well-known/matrix/./server",
        "",
    ];
    let urls: HashSet<_> =
        spellings.map(|text| redirect(&start(), &[text.as_bytes()]).unwrap()).into();
    assert_eq!(urls, HashSet::from([start()]));
    for other in
        ["?", "/.well-known/matrix/Server", "https://a.example:444/.well-known/matrix/server"]
    {
        assert_ne!(redirect(&start(), &[other.as_bytes()]).unwrap(), start());
    }
}

/// The grammar of host names lets `xn--` stand before what is no punycode; the URL standard does not.
#[test]
fn a_host_that_the_url_standard_refuses() {
    let start = WellKnownUrl::of_host(&"xn--a.example".parse().unwrap());
    assert_eq!(start.host_header(), "xn--a.example");
    assert_eq!(start.to_string().parse(), Ok(start.clone()));
    assert_eq!(kind(&redirect(&start, &[b"/m"]).unwrap_err()), "not_a_url");
    assert_eq!(redirect(&start, &[b"https://b.example/m"]), "https://b.example/m".parse());
}

#[test]
fn serialises_as_a_checked_string() {
    let text = r#""https://b.example:8443/m""#;
    let url: WellKnownUrl = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&url).unwrap(), text);
    for (rule, location, ..) in REFUSED {
        let text = serde_json::to_string(location).unwrap();
        assert!(serde_json::from_str::<WellKnownUrl>(&text).is_err(), "{rule}");
    }
    assert!(serde_json::from_str::<WellKnownUrl>(r#""/m""#).is_err());
}

fn location() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![1 => Just(b'\t'), 95 => 32..=126_u8, 128 => 128..=255_u8];
    let near = "(https?:)?[/\\\\]{0,3}([a-z]{1,3}@)?([a-zA-Z0-9._\u{fc}%*-]{0,12}|\\[[0-9a-f:.]{0,12}\\])(:[0-9]{0,6})?[/?#][a-z/.?#%@:\u{fc} ]{0,12}";
    prop_oneof![prop::collection::vec(byte, 0..60), near.prop_map(String::into_bytes)]
}

proptest! {
    #[test]
    fn no_location_panics_and_what_is_followed_is_sound(location in location()) {
        let Ok(next) = redirect(&start(), &[&location]) else { return Ok(()) };
        prop_assert_eq!(next.uri().scheme_str(), Some("https"));
        prop_assert!(!next.host_header().contains('@'));
        prop_assert!(!next.to_string().contains('#'));
        prop_assert_ne!(next.port(), 0);
        prop_assert_eq!(next.uri().port_u16().unwrap_or(443), next.port());
        prop_assert_ne!(next.uri().port_u16(), Some(443));
        prop_assert_eq!(next.uri().host().map(str::to_owned), Some(next.host().to_string()));
        prop_assert_eq!(next.to_string().parse(), Ok(next.clone()));
        // An empty Location leads to itself.
        prop_assert_eq!(redirect(&next, &[b""]), Ok(next));
    }

    #[test]
    fn every_host_name_has_a_first_url(name in "[a-zA-Z0-9.-]{1,40}") {
        let Ok(host) = name.parse::<DnsName>() else { return Ok(()) };
        let url = WellKnownUrl::of_host(&host);
        prop_assert_eq!(url.to_string(), format!("https://{host}/.well-known/matrix/server"));
        prop_assert_eq!(url.host_header(), host.as_str());
        prop_assert_eq!(url.to_string().parse(), Ok(url));
    }
}
