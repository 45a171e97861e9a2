//! Statuses, failures of the exchange, and redirects.

use serde_json::{Value as Json, json};

use super::super::case::{Case, document, header, url_of};
use super::{Bug, finds, told};

/// A status is taken for another.
fn status(from: u64, to: u64) -> Bug {
    told(format!("status {from} is like {to}"), move |case| {
        case.each_page(|_, page| {
            if page["status"] == from && page.get("body").is_some() {
                page["status"] = to.into();
            }
        });
    })
}

fn lasting() -> Json {
    json!({ "status": 403 })
}

fn passing() -> Json {
    json!({ "failed": "protocol" })
}

/// A failure of the exchange is taken for a lasting one.
fn failure(kind: &'static str) -> Bug {
    told(format!("that a fetch failed by {kind} is a lasting failure"), move |case| {
        case.each_page(|_, page| {
            if page["failed"] == kind {
                *page = lasting();
            }
        });
    })
}

/// A `Location` is read otherwise.
fn location(name: &str, read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Bug {
    told(format!("redirect: {name}"), move |case| case.each_location(&read))
}

/// A redirect is not followed that should be.
fn refuses(name: &str, is_it: impl Fn(&str) -> bool + Send + Sync + 'static) -> Bug {
    location(&format!("{name} is not followed"), move |location| {
        is_it(location).then(|| "ftp://refused.example/".to_owned())
    })
}

/// The same where the redirect as a whole is taken for a failure that passes.
fn passes(name: &str, is_it: impl Fn(&Case, &str) -> bool + Send + Sync + 'static) -> Bug {
    told(format!("redirect: {name} is a passing failure"), move |case| {
        if let Some(location) = case.own_location()
            && is_it(case, &location)
        {
            case.set_own_page(passing());
        }
    })
}

fn host(location: &str) -> &str {
    let rest = location.strip_prefix("https://").unwrap_or_default();
    rest.split('/').next().unwrap()
}

pub fn bugs() -> Vec<Bug> {
    let mut bugs = Vec::new();
    for from in [201, 203, 204, 206, 300, 304, 305, 404] {
        bugs.push(status(from, 200));
    }
    for from in [400, 401, 403] {
        bugs.push(status(from, 500));
    }
    bugs.push(status(410, 404));
    for from in [408, 429, 500, 501, 502, 503, 504, 599] {
        bugs.push(status(from, 403));
    }
    for kind in [
        "connect",
        "connect_timeout",
        "tls",
        "tls_timeout",
        "exchange_timeout",
        "protocol",
        "head_too_large",
        "cut_off",
    ] {
        bugs.push(failure(kind));
    }
    for code in [301, 302, 303, 307, 308] {
        bugs.push(told(format!("redirect: {code} is none"), move |case| {
            case.each_page(|_, page| {
                if page["status"] == code {
                    page["status"] = 400.into();
                }
            });
        }));
    }
    bugs.extend(refused());
    bugs.extend(loops());
    bugs.extend(followed());
    bugs.extend(ends());
    bugs
}

fn refused() -> Vec<Bug> {
    vec![
        refuses("a path", |location| location.starts_with('/') && !location.starts_with("//")),
        refuses("a relative path", |location| location == "m"),
        location("a Location without a scheme is a path", |location| {
            location.strip_prefix("//").map(|rest| format!("https://a.example/{rest}"))
        }),
        refuses("a port", |location| host(location).ends_with(":8443")),
        location("the query is dropped", |location| {
            let (before, query) = location.split_once('?')?;
            (query.len() < 100).then(|| before.to_owned())
        }),
        location("the fragment is sent", |location| {
            location.contains("/m#").then(|| location.replace('#', "%23"))
        }),
        refuses("a host in upper case", |location| {
            host(location).bytes().any(|it| it.is_ascii_uppercase())
                && !location.contains("443")
                && !host(location).starts_with('[')
        }),
        refuses("a path that differs in letters", |location| {
            location.starts_with('/') && location.to_ascii_lowercase() != location
        }),
        refuses("a host with a final dot", |location| host(location).ends_with('.')),
        refuses("an international host", |location| !location.is_ascii()),
        refuses("an IPv4 address", |location| host(location).parse::<std::net::Ipv4Addr>().is_ok()),
        refuses("an IPv6 address", |location| host(location).starts_with("[2")),
        refuses("a host that is a number", |location| {
            !host(location).is_empty() && host(location).bytes().all(|it| it.is_ascii_digit())
        }),
        told("redirect: two Location lines are bad, whatever they say", |case| {
            case.each_headers(|headers| {
                let is_it = |name: &str| name.eq_ignore_ascii_case("location");
                if headers.iter().filter(|(name, _)| is_it(name)).count() > 1 {
                    headers.retain(|(name, _)| !is_it(name));
                }
            });
        }),
        told("redirect: ten are too many", |case| case.config.limits.redirects = 9),
        told("redirect: eleven are followed", |case| case.config.limits.redirects = 11),
    ]
}

fn loops() -> Vec<Bug> {
    vec![
        passes("one to where it stands", |case, location| location == url_of(&case.host())),
        passes("a loop of two", |case, location| {
            let second = case.internet["https"].get(location);
            let back = second.and_then(|second| header(second, "location"));
            location != url_of(&case.host()) && back == Some(url_of(&case.host()))
        }),
        passes("a loop in another spelling", |_, location| location.contains(":443/.well-known")),
        passes("an empty Location", |_, location| location.is_empty()),
    ]
}

fn followed() -> Vec<Bug> {
    vec![
        location("http is followed", |location| {
            location.strip_prefix("http://").map(|rest| format!("https://{rest}"))
        }),
        location("any scheme is taken for https", |location| {
            let rest = location.strip_prefix("ftp://").filter(|it| !it.starts_with("refused"))?;
            Some(format!("https://{rest}"))
        }),
        location("credentials are dropped", |location| {
            location.contains(":secret@").then(|| location.replace("user:secret@", ""))
        }),
        location("an at sign alone is dropped", |location| {
            location.contains("//@").then(|| location.replace("//@", "//"))
        }),
        told("redirect: one without Location is like no document", |case| {
            if case.own_status() == Some(302) && case.own_location().is_none() {
                case.set_own_page(json!({ "status": 404 }));
            }
        }),
        told("redirect: of two Location lines the first counts", |case| {
            case.each_headers(|headers| {
                let mut seen = false;
                headers.retain(|(name, _)| {
                    let is_it = name.eq_ignore_ascii_case("location");
                    !is_it || !std::mem::replace(&mut seen, true)
                });
            });
        }),
        location("port 0 is no port", |location| {
            location.contains(":0/").then(|| location.replace(":0/", "/"))
        }),
        location("a port wraps round", |location| {
            location.contains(":65979").then(|| location.replace(":65979", ":443"))
        }),
        location("a host that ends with a hyphen is asked for", |location| {
            location.contains("b-.").then(|| location.replace("b-.", "b."))
        }),
        location("a long Location is cut", |location| {
            (location.len() > 8192).then(|| location.split('?').next().unwrap().to_owned())
        }),
        location("an address is not judged", |location| {
            location.contains("//127.").then(|| location.replace("127.0.0.1", "192.0.2.222"))
        }),
        location("an address in disguise is not judged", |location| {
            location.contains("//0x7f.1").then(|| location.replace("0x7f.1", "192.0.2.222"))
        }),
        location("a mapped address is not judged", |location| {
            location
                .contains("[::ffff:")
                .then(|| location.replace("::ffff:7f00:1", "2001:db8::222"))
        }),
    ]
}

/// What is found at the end of a redirect.
fn ends() -> Vec<Bug> {
    vec![
        passes("one to a host that does not exist", |case, _| {
            let host = case.redirect_host().unwrap_or_default();
            host.ends_with(".example")
                && case.questions().iter().all(|it| !it.ends_with(&host))
                && host != "b-.example"
        }),
        told("redirect: a host that cannot be looked up does not exist", |case| {
            if let Some(host) = case.redirect_host()
                && case.fails(&format!("A {host}"))
            {
                case.unset_host(&host);
            }
        }),
        finds("a document that is missing behind a redirect has a warning", |case, target| {
            let second =
                case.own_location().and_then(|it| case.internet["https"].get(&it).cloned());
            if second.is_some_and(|second| second["status"] == 404) {
                target.warn("well_known_unusable");
            }
        }),
        told("a redirect says how long the document may be kept", |case| {
            if let Some(location) = case.own_location()
                && let Some(own) = header(case.own_page().unwrap(), "cache-control")
            {
                case.each_page(|url, page| {
                    if url == location {
                        *page = json!({
                            "status": 200,
                            "headers": [["Cache-Control", own]],
                            "body": document("192.0.2.3"),
                        });
                    }
                });
            }
        }),
    ]
}
