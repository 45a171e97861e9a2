//! Who answered in the server's place, as far as a response shows it.
//!
//! Nothing here decides anything: it is evidence for people, taken from what has arrived already.

use std::fmt;

use http::header::{LOCATION, SERVER};
use http::{HeaderMap, Response, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::fetch::Body;
use super::redirect::{WellKnownUrl, is_redirect};
use crate::core::text::{excerpt, excerpt_of_bytes};

/// How much of a page is searched for its title, in bytes.
const HEAD_OF_A_PAGE: usize = 4_096;

/// The header by which Cloudflare says that it challenges or blocks.
const CF_MITIGATED: &str = "cf-mitigated";

/// Beginnings of titles of challenges, in lower case: Cloudflare, DDoS-Guard, Anubis, Sucuri.
const CHALLENGES: [&str; 6] = [
    "just a moment",
    "attention required",
    "ddos-guard",
    "making sure you're not a bot",
    "checking your browser",
    "sucuri website firewall",
];

/// What `Server` begins with, in lower case, where a network in front of the server speaks.
const NETWORKS: [&str; 7] =
    ["cloudflare", "cloudfront", "akamaighost", "ddos-guard", "sucuri", "varnish", "bunnycdn"];

/// Words in the URL of a login that a captive portal redirects to.
const PORTALS: [&str; 5] = ["captive", "hotspot", "login", "portal", "signin"];

/// Who answered in the place of a server's well-known document, by what a response shows.
///
/// The evidence comes from outside: at most 255 bytes of it are kept, and anyone may have written
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Responder {
    /// A challenge, which people pass in their browsers and servers do not.
    Challenge {
        /// The header or the title that says so.
        evidence: String,
    },
    /// A proxy or network in front of the server, with an error of its own.
    Proxy {
        /// The header or the title that says so, or the status.
        evidence: String,
    },
    /// A captive portal of this machine's own network: status 511 (RFC 6585 section 6), or a redirect
    /// to the login of another host.
    CaptivePortal {
        /// The status, or where the redirect leads.
        evidence: String,
    },
    /// The server itself, with the document for clients (`m.homeserver`), which belongs at
    /// `/.well-known/matrix/client`.
    ClientDocument,
    /// Whoever it is, with a web page.
    Page {
        /// Its title; empty if none was found.
        title: String,
    },
}

impl Responder {
    /// Returns what a response to the fetch of `url` shows, as far as its body was read; `None` where it shows nothing odd.
    pub(crate) fn of(url: &WellKnownUrl, response: &Response<Body>) -> Option<Self> {
        let (status, headers) = (response.status(), response.headers());
        let body = match response.body() {
            Body::Complete(body) => body.as_slice(),
            Body::TooLarge => &[],
        };
        let shown = |name: &str| {
            let value = headers.get(name)?;
            Some(excerpt(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))))
        };
        if status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED {
            return Some(Self::CaptivePortal { evidence: "status 511".to_owned() });
        }
        if is_redirect(status) {
            return portal(url, headers).map(|evidence| Self::CaptivePortal { evidence });
        }
        if let Some(evidence) = shown(CF_MITIGATED) {
            return Some(Self::Challenge { evidence });
        }
        let title = title(body);
        if let Some(title) = &title
            && begins_with_any(title, &CHALLENGES)
        {
            return Some(Self::Challenge { evidence: format!("title: {title}") });
        }
        if status == StatusCode::OK {
            return match title {
                Some(title) => Some(Self::Page { title }),
                None => is_of_clients(body).then_some(Self::ClientDocument),
            };
        }
        let server = headers.get(SERVER).map(|it| excerpt_of_bytes(it.as_bytes()));
        let is_network = server.is_some_and(|server| begins_with_any(&server, &NETWORKS));
        // 520 to 530 are Cloudflare's own.
        let is_gateway = matches!(status.as_u16(), 502 | 504 | 520..=530);
        if is_gateway || (is_network && !matches!(status.as_u16(), 404 | 410)) {
            let evidence = shown(SERVER.as_str()).or(title.map(|title| format!("title: {title}")));
            let evidence = evidence.unwrap_or_else(|| format!("status {}", status.as_u16()));
            return Some(Self::Proxy { evidence });
        }
        title.map(|title| Self::Page { title })
    }
}

/// Returns whether a text begins with one of these, which are in lower case.
fn begins_with_any(text: &str, beginnings: &[&str]) -> bool {
    let text = text.to_lowercase();
    beginnings.iter().any(|it| text.starts_with(it))
}

/// Returns where a redirect leads that looks like the login of a captive portal.
fn portal(url: &WellKnownUrl, headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let to = url::Url::parse(location).ok()?;
    let is_other = to.host_str().is_some_and(|host| host != url.host().to_string());
    let text = excerpt(location).to_lowercase();
    (is_other && PORTALS.iter().any(|it| text.contains(it))).then(|| excerpt(location))
}

/// Returns the title of a page; `None` if the body does not look like one.
fn title(body: &[u8]) -> Option<String> {
    let head = body.trim_ascii_start();
    if !head.starts_with(b"<") {
        return None;
    }
    let head = String::from_utf8_lossy(head.get(..head.len().min(HEAD_OF_A_PAGE))?);
    // ASCII letters alone change, so that places stay.
    let lower = head.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let begin = at + lower.get(at..)?.find('>')? + 1;
        let end = begin + lower.get(begin..)?.find('<')?;
        head.get(begin..end)
    });
    let words: Vec<&str> = title.unwrap_or_default().split_whitespace().collect();
    Some(excerpt(&words.join(" ")))
}

/// Returns whether a body is the document for clients: an object with `m.homeserver` and without
/// `m.server`.
fn is_of_clients(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Keys {
        #[serde(rename = "m.homeserver")]
        homeserver: Option<IgnoredAny>,
        #[serde(rename = "m.server")]
        server: Option<IgnoredAny>,
    }
    const KEY: &[u8] = b"m.homeserver";
    // Most documents are read for delegation alone, and need not be read twice.
    if !body.windows(KEY.len()).any(|it| it == KEY) {
        return false;
    }
    let keys: Result<Keys, _> = serde_json::from_slice(body);
    keys.is_ok_and(|keys| keys.homeserver.is_some() && keys.server.is_none())
}

impl fmt::Display for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge { evidence } => write!(f, "a challenge for browsers ({evidence:?})"),
            Self::Proxy { evidence } => write!(f, "a proxy's error ({evidence:?})"),
            Self::CaptivePortal { evidence } => {
                write!(f, "a captive portal of one's own network ({evidence:?})")
            }
            Self::ClientDocument => {
                f.write_str("the server, with the document for clients in the wrong place")
            }
            Self::Page { title } => write!(f, "a web page ({title:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responder(status: u16, headers: &[(&str, &str)], body: &str) -> Option<Responder> {
        let url = "https://a.example/.well-known/matrix/server".parse().unwrap();
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let body = Body::Complete(body.as_bytes().to_vec());
        Responder::of(&url, &response.body(body).unwrap())
    }

    #[test]
    fn who_answered_is_told_by_what_the_response_shows() {
        let challenge = |it: &str| Some(Responder::Challenge { evidence: it.to_owned() });
        let proxy = |it: &str| Some(Responder::Proxy { evidence: it.to_owned() });
        let portal = |it: &str| Some(Responder::CaptivePortal { evidence: it.to_owned() });
        let page = |it: &str| Some(Responder::Page { title: it.to_owned() });
        let login = "https://wifi.test/login?to=a.example";
        let waits = "<!doctype html><html><TITLE lang=en>\n Just  a moment...</title>";
        for (status, headers, body, expected) in [
            (403, &[("cf-mitigated", "challenge")][..], "", challenge("cf-mitigated: challenge")),
            (403, &[("server", "cloudflare")], waits, challenge("title: Just a moment...")),
            (200, &[], waits, challenge("title: Just a moment...")),
            (403, &[("server", "cloudflare")], "", proxy("server: cloudflare")),
            (522, &[], "", proxy("status 522")),
            (502, &[("server", "nginx/1.2")], "<html>", proxy("server: nginx/1.2")),
            (502, &[], "<title>502 Bad Gateway</title>", proxy("title: 502 Bad Gateway")),
            (511, &[], "", portal("status 511")),
            (302, &[("location", login)], "", portal(login)),
            (200, &[], r#"{"m.homeserver":{"base_url":"x"}}"#, Some(Responder::ClientDocument)),
            (200, &[], " <html><body>", page("")),
            (403, &[], "<title>Forbidden</title>", page("Forbidden")),
            // Nothing odd.
            (200, &[], r#"{"m.server":"m.example"}"#, None),
            (200, &[], r#"{"m.server":"m.example","m.homeserver":{}}"#, None),
            (200, &[], "{}", None),
            (404, &[("server", "cloudflare")], "", None),
            (403, &[("server", "nginx")], "", None),
            (302, &[("location", "https://a.example/login")], "", None),
            (302, &[("location", "https://www.a.example/matrix")], "", None),
            (302, &[("location", "/login")], "", None),
        ] {
            assert_eq!(responder(status, headers, body), expected, "{status} {headers:?} {body}");
        }
    }

    #[test]
    fn evidence_is_cut_and_shown_escaped() {
        let long = format!("<title>{}\u{1b}[2J", "\u{fc}".repeat(3_000));
        assert_eq!(responder(403, &[], &long), Some(Responder::Page { title: String::new() }));
        let long = format!("<title>\u{1b}{}</title>", "x".repeat(3_000));
        let Some(Responder::Page { title }) = responder(403, &[], &long) else { panic!() };
        assert_eq!(title.len(), 255);
        let shown = Responder::Page { title }.to_string();
        assert!(shown.starts_with("a web page (\"\\u{1b}xx"), "{shown}");
        let server = "cloudflare".to_owned() + &"y".repeat(1_000);
        let Some(Responder::Proxy { evidence }) = responder(403, &[("server", &server)], "") else {
            panic!()
        };
        assert_eq!(evidence.len(), 255);
    }
}
