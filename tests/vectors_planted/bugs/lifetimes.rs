//! How long things are kept.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::case::{Case, Headers, fed, header, old};
use super::{Bug, finds_by, told};

const HOUR: Duration = Duration::from_secs(3600);

/// `Cache-Control` is read otherwise; with `None` as what is made of it, it is not there.
fn control(
    name: &str,
    read: impl Fn(&str) -> Option<Option<&'static str>> + Send + Sync + 'static,
) -> Bug {
    told(format!("Cache-Control: {name}"), move |case| {
        case.each_header("cache-control", |value| match read(value) {
            Some(to) => to.map(str::to_owned),
            None => Some(value.to_owned()),
        });
    })
}

/// A value is taken for another.
fn taken(name: &str, from: &'static str, to: Option<&'static str>) -> Bug {
    control(name, move |value| (value == from).then_some(to))
}

/// The headers are read otherwise.
fn headers(name: &str, read: impl Fn(&mut Headers) + Send + Sync + 'static) -> Bug {
    told(format!("headers: {name}"), move |case| case.each_headers(&read))
}

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
    headers.iter().find(is_it).map(|(_, value)| value.as_str())
}

fn drop_header(headers: &mut Headers, name: &str) {
    headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
}

fn put(headers: &mut Headers, name: &str, value: &str) {
    drop_header(headers, name);
    headers.push((name.to_owned(), value.to_owned()));
}

fn stale(headers: &mut Headers) {
    put(headers, "Cache-Control", "max-age=0");
}

const KEPT: Option<&str> = Some("max-age=3600");
const STALE: Option<&str> = Some("max-age=0");

pub fn bugs() -> Vec<Bug> {
    let mut bugs = bounds();
    bugs.extend(spellings());
    bugs.extend(directives());
    bugs.extend(age());
    bugs.extend(expires());
    bugs.extend(retry_after());
    bugs.extend(dns());
    bugs.extend(dns_of_parts());
    bugs
}

fn bounds() -> Vec<Bug> {
    vec![
        control("it is not read", |_| Some(None)),
        told("a document is kept for as long as its headers say, up to a week", |case| {
            case.config.well_known.most = 7 * 24 * HOUR;
        }),
        taken("a number of many digits is none", "max-age=99999999999999999999999", STALE),
        told("a document is kept for as long as its headers say, down to nothing", |case| {
            case.config.well_known.least = Duration::ZERO;
        }),
        told("a document without headers is kept for an hour", |case| {
            case.config.well_known.unstated = HOUR;
        }),
        told("a document without headers is kept for two days", |case| {
            case.config.well_known.unstated = 48 * HOUR;
        }),
    ]
}

fn spellings() -> Vec<Bug> {
    vec![
        taken("a quoted number is none", "max-age=\"3600\"", STALE),
        taken("a backslash is no digit", "max-age=\"36\\00\"", STALE),
        taken("a space ends the directive's name", "max-age = 3600", STALE),
        taken("the letters of a name count", "Max-Age=3600", None),
        taken("leading zeros make a number octal", "max-age=0003600", Some("max-age=1920")),
        control("the first directive is the only one", |value| {
            value.starts_with("public,").then_some(None)
        }),
        taken("an empty member is a bad one", ",, max-age=3600,", STALE),
        taken(
            "of two max-age the greater counts",
            "max-age=7200, max-age=3600",
            Some("max-age=7200"),
        ),
        headers("of two Cache-Control lines the first counts", |headers| {
            let mut seen = false;
            headers.retain(|(name, _)| {
                let is_it = name.eq_ignore_ascii_case("cache-control");
                !is_it || !std::mem::replace(&mut seen, true)
            });
        }),
        taken("of two max-age the readable one counts", "max-age=3600, max-age=soon", KEPT),
        taken("an unreadable max-age says nothing", "max-age=soon", None),
        taken("a max-age below zero is one above", "max-age=-3600", KEPT),
        taken("a plus sign is let through", "max-age=+3600", KEPT),
        taken("a fraction is cut", "max-age=3600.5", KEPT),
        taken("a unit is let through", "max-age=3600s", KEPT),
        taken("a max-age without a number says nothing", "max-age", None),
        taken("an open quote is let through", "max-age=\"3600", KEPT),
        taken("commas count within quotes", "private=\"x, max-age=3600\"", KEPT),
        taken("a name is compared by its end", "x-max-age=3600", KEPT),
    ]
}

fn directives() -> Vec<Bug> {
    vec![
        taken("no-store says nothing", "no-store", None),
        taken("max-age counts before no-store", "max-age=3600, no-store", KEPT),
        taken("no-cache says nothing", "no-cache, max-age=3600", KEPT),
        taken("private means not to be kept", "private, max-age=3600", STALE),
        taken("s-maxage counts before max-age", "s-maxage=60, max-age=3600", Some("max-age=60")),
        taken("s-maxage counts alone", "s-maxage=3600", KEPT),
        headers("Pragma counts", |headers| {
            if find(headers, "pragma").is_some() {
                stale(headers);
            }
        }),
    ]
}

fn seconds(value: &str, name: &str) -> Option<u64> {
    value.strip_prefix(name)?.parse().ok()
}

fn age() -> Vec<Bug> {
    vec![
        headers("Age is not read", |headers| drop_header(headers, "age")),
        headers("Age over max-age is not believed", |headers| {
            let most = find(headers, "cache-control").and_then(|it| seconds(it, "max-age="));
            let age = find(headers, "age").and_then(|it| seconds(it, ""));
            if most.is_some() && age > most {
                drop_header(headers, "age");
            }
        }),
        headers("of an Age that is a list the last number counts", |headers| {
            if let Some((_, last)) = find(headers, "age").and_then(|it| it.split_once(", ")) {
                let last = last.to_owned();
                put(headers, "Age", &last);
            }
        }),
        headers("an unreadable Age makes a document stale", |headers| {
            if find(headers, "age")
                .is_some_and(|it| !it.starts_with(|it: char| it.is_ascii_digit()))
            {
                stale(headers);
            }
        }),
        headers("Age alone makes a document stale", |headers| {
            if find(headers, "age").is_some() && headers.len() == 1 {
                stale(headers);
            }
        }),
    ]
}

fn expires() -> Vec<Bug> {
    let has_max_age = |headers: &Headers| find(headers, "cache-control").is_some();
    vec![
        headers("Expires is not read", |headers| drop_header(headers, "expires")),
        headers("Age is not taken off Expires", move |headers| {
            if find(headers, "expires").is_some() && !has_max_age(headers) {
                drop_header(headers, "age");
            }
        }),
        headers("Expires without Date says nothing", |headers| {
            if find(headers, "date").is_none()
                && find(headers, "expires").is_some_and(|it| it.contains("2026"))
            {
                drop_header(headers, "expires");
            }
        }),
        headers("an Expires in the past says nothing", |headers| {
            if find(headers, "date").is_none()
                && find(headers, "expires").is_some_and(|it| it.contains("2025"))
            {
                drop_header(headers, "expires");
            }
        }),
        headers("an unreadable Expires says nothing", move |headers| {
            if find(headers, "expires") == Some("0") && !has_max_age(headers) {
                drop_header(headers, "expires");
            }
        }),
        headers("any zone is GMT", |headers| {
            if let Some(value) = find(headers, "expires").filter(|it| it.ends_with("CET")) {
                let value = value.replace("CET", "GMT");
                put(headers, "Expires", &value);
            }
        }),
        headers("a date of RFC 850 is none", |headers| {
            if find(headers, "expires").is_some_and(|it| it.contains("-Dec-")) {
                put(headers, "Expires", "0");
            }
        }),
        headers("a date of asctime is none", |headers| {
            if find(headers, "expires").is_some_and(|it| it.ends_with("2025")) {
                put(headers, "Expires", "0");
            }
        }),
        headers("Expires counts before max-age", move |headers| {
            if find(headers, "expires") == Some("0") && has_max_age(headers) {
                stale(headers);
            }
        }),
        headers("Expires counts where max-age is unreadable", |headers| {
            if find(headers, "expires").is_some()
                && find(headers, "cache-control") == Some("max-age=soon")
            {
                drop_header(headers, "cache-control");
            }
        }),
    ]
}

fn retry_after() -> Vec<Bug> {
    vec![
        headers("Retry-After is not read", |headers| drop_header(headers, "retry-after")),
        told("Retry-After is heeded down to nothing", |case| {
            case.config.well_known.retry_after_least = Duration::ZERO;
        }),
        told("Retry-After is heeded up to a week", |case| {
            case.config.well_known.retry_after_most = 7 * 24 * HOUR;
        }),
        headers("a Retry-After that is a date is not read", |headers| {
            if find(headers, "retry-after").is_some_and(|it| it.ends_with("GMT")) {
                drop_header(headers, "retry-after");
            }
        }),
        headers("an unreadable Retry-After is the least", |headers| {
            if find(headers, "retry-after") == Some("soon") {
                put(headers, "Retry-After", "0");
            }
        }),
        told("Retry-After of a 503 is heeded", |case| {
            case.each_page(|_, page| {
                if page["status"] == 503 && header(page, "retry-after").is_some() {
                    page["status"] = 429.into();
                }
            });
        }),
    ]
}

fn without_ttl(answer: &mut Json) {
    answer.as_object_mut().unwrap().remove("ttl");
}

fn dns() -> Vec<Bug> {
    vec![
        told("the TTL of addresses is not read", |case| {
            case.each_answer(|_, answer| {
                if answer.get("addresses").is_some() {
                    without_ttl(answer);
                }
            });
        }),
        told("addresses are kept for their TTL, down to nothing", |case| {
            case.config.dns.least = Duration::ZERO;
        }),
        told("addresses are kept for their TTL, up to a week", |case| {
            case.config.dns.most = 7 * 24 * HOUR;
        }),
        told("that a family has no addresses has no end", |case| {
            case.each_answer(|question, answer| {
                if question.starts_with('A') && answer["none"] == "no_data" {
                    answer["ttl"] = 604_800.into();
                }
            });
        }),
        told("a negative TTL of zero is none", |case| {
            case.each_answer(|_, answer| {
                if answer.get("none").is_some() && answer["ttl"] == 0 {
                    answer["ttl"] = Json::Null;
                }
            });
        }),
        told("that there is no record is kept for its TTL, up to a week", |case| {
            case.config.dns.negative_most = 7 * 24 * HOUR;
        }),
        told("a missing SOA record means fifteen minutes", |case| {
            case.each_answer(|_, answer| {
                if answer.get("none").is_some() && answer.get("ttl").is_some_and(Json::is_null) {
                    answer["ttl"] = 900.into();
                }
            });
        }),
        told(
            "a question that is not known is answered by none, for as long as that says",
            |case| {
                case.each_answer(|_, answer| {
                    if answer["none"] == "not_implemented" {
                        *answer = json!({ "none": "no_data" });
                    }
                });
            },
        ),
    ]
}

fn unset_ttl(case: &mut Case, question: &str) {
    case.each_answer(|other, answer| {
        if other == question {
            without_ttl(answer);
        }
    });
}

fn dns_of_parts() -> Vec<Bug> {
    vec![
        told("the TTL of SRV records is not read", |case| {
            case.each_answer(|_, answer| {
                if answer.get("srv").is_some() {
                    without_ttl(answer);
                }
            });
        }),
        told("that there is no SRV record is kept for 15 minutes", |case| {
            if case.targets(&fed(&case.host())).is_empty() {
                unset_ttl(case, &fed(&case.host()));
            }
        }),
        told("that there is no deprecated SRV record is kept for 15 minutes", |case| {
            unset_ttl(case, &old(&case.host()));
        }),
        told("a host without an address has no document for an hour, whatever DNS says", |case| {
            let host = case.host();
            let is_none = |question: &str| {
                case.answer(question).is_some_and(|answer| answer["none"] == "nx_domain")
            };
            let questions = [format!("A {host}"), format!("AAAA {host}")];
            if questions.iter().all(|question| is_none(question)) {
                for question in &questions {
                    case.set(question, json!({ "none": "nx_domain", "ttl": 3600 }));
                }
            }
        }),
        told("addresses are kept for as long as those of the first target", |case| {
            let targets = case.targets(&fed(&case.host()));
            for target in targets.iter().skip(1) {
                unset_ttl(case, &format!("A {target}"));
            }
        }),
        told("addresses are kept for as long as the document", |case| {
            let says = case.own_page().and_then(|page| header(page, "cache-control"));
            let says = says.and_then(|it| seconds(&it, "max-age="));
            if let (Some(says), Some(host)) = (says, case.delegated_host()) {
                case.each_answer(|question, answer| {
                    if question == format!("A {host}") && answer.get("ttl").is_some() {
                        answer["ttl"] = says.into();
                    }
                });
            }
        }),
        finds_by("3.2", "the whole is kept for as long as DNS says", |_, target| {
            if target.lifetime == target.well_known && !target.stale {
                target.lifetime = Some(300);
            }
        }),
    ]
}
