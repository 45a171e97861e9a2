//! Step 3 with an IP literal, with a port and with neither, and step 6.

use serde_json::{Value as Json, json};

use super::super::case::{Case, fed, host_of, old};
use super::names::literal_hosts;
use super::{Bug, finds, finds_by, mistakes, told};

const AWAY: &str = r#"{"m.server":"#;

fn no_delegation(case: &mut Case) {
    case.set_own_page(json!({ "status": 200, "body": AWAY }));
}

/// Takes the aliases of a host for nothing.
fn forget_aliases(case: &mut Case, host: &str) {
    for question in [format!("A {host}"), format!("AAAA {host}")] {
        if case.answer(&question).is_some_and(|answer| answer.get("alias").is_some()) {
            case.set(&question, json!({ "none": "no_data" }));
        }
    }
}

pub fn bugs() -> Vec<Bug> {
    let mut bugs = literal_hosts("3.1");
    bugs.extend(hosts_and_names());
    bugs.extend(with_port());
    bugs.extend(without_port());
    bugs.extend(step_six());
    bugs
}

fn hosts_and_names() -> Vec<Bug> {
    let mut bugs = vec![
        finds_by("3.1", "the certificate is for the server name", |case, target| {
            target.tls = case.host();
        }),
        finds_by("3.2", "Host is without the port", |_, target| {
            target.host = target.host[..host_of(&target.host).len()].to_owned();
        }),
        finds_by("3.2", "Host is without port 443", |_, target| {
            target.host = target.host.trim_end_matches(":443").to_owned();
        }),
        finds_by("3.5", "Host is the server name", |case, target| {
            target.host.clone_from(&case.name);
        }),
        finds_by("3.5", "the certificate is for the server name", |case, target| {
            target.tls = case.host();
        }),
        finds_by("3.5", "Host is what the redirect led to", |case, target| {
            if let Some(host) = case.redirect_host() {
                target.host = host;
            }
        }),
    ];
    for step in ["3.2", "3.3", "3.5", "4", "6"] {
        bugs.push(finds_by(step, "Host is in lower case", |_, target| {
            target.host = target.host.to_ascii_lowercase();
        }));
    }
    bugs
}

fn with_port() -> Vec<Bug> {
    let strip = |case: &mut Case| case.each_m_server(|name| Some(host_of(name)));
    vec![
        told("SRV of a delegated name with a port counts", move |case| {
            if case.delegates_with_port() && case.has(&old(&case.delegated_host().unwrap())) {
                strip(case);
            }
        }),
        told("an alias with a delegated port is not followed", |case| {
            if case.delegates_with_port() {
                forget_aliases(case, &case.delegated_host().unwrap());
            }
        }),
        told(
            "the server's own address stands in for that of a delegated name with a port",
            |case| {
                if case.delegates_with_port()
                    && let host = case.delegated_host().unwrap()
                    && case.addresses(&host).is_empty()
                    && let Some(own) = case.answer(&format!("A {}", case.host())).cloned()
                {
                    case.set(&format!("A {host}"), own);
                }
            },
        ),
        told("a port of a name that delegates to itself is dropped", move |case| {
            if case.delegates_with_port() && case.delegated_host() == Some(case.host()) {
                strip(case);
            }
        }),
    ]
}

/// The host that is delegated to without a port, if one is.
fn bare(case: &Case) -> Option<String> {
    case.delegated_host().filter(|_| !case.delegates_with_port())
}

fn without_port() -> Vec<Bug> {
    vec![
        told("an alias that is delegated to without a port is not followed", |case| {
            if let Some(host) = bare(case) {
                forget_aliases(case, &host);
            }
        }),
        told("IPv6 addresses of a delegated host are not asked for", |case| {
            if let Some(host) = case.delegated_host().filter(|host| *host != case.host()) {
                case.unset(&format!("AAAA {host}"));
            }
        }),
        told("step 6 follows where the delegated host has no address", |case| {
            if let Some(host) = bare(case)
                && case.addresses(&host).is_empty()
                && !host.starts_with(|it: char| it == '[' || it.is_ascii_digit())
                && case.targets(&fed(&host)).is_empty()
                && !case.has(&fed(&host))
            {
                no_delegation(case);
            }
        }),
        told("the delegated host's document is followed, too", |case| {
            if let Some(host) = bare(case)
                && host != case.host()
            {
                let url = super::super::case::url_of(&host);
                let second = case.internet.get("https").and_then(|https| https.get(&url)).cloned();
                if let Some(second) = second {
                    case.replace_own_page(second);
                }
            }
        }),
        told("a name that delegates to itself does not delegate", |case| {
            if case.delegated() == Some(case.host()) {
                no_delegation(case);
            }
        }),
        told("the document is asked for in the letters of the server name", |case| {
            let upper = case.name.bytes().any(|it| it.is_ascii_uppercase());
            if upper && case.own_status() == Some(200) {
                case.unset_own_page();
            }
        }),
        told("SRV records of the server name come before its document", |case| {
            if case.own_status() == Some(200) && case.has(&fed(&case.host())) {
                case.unset_own_page();
            }
        }),
        told("the document is fetched over IPv4 alone", |case| {
            let host = case.host();
            if case.own_page().is_some() && !case.has(&format!("A {host}")) {
                case.unset(&format!("AAAA {host}"));
            }
        }),
    ]
}

fn step_six() -> Vec<Bug> {
    vec![
        finds_by("6", "port 443 is connected to", |_, target| target.use_port(443)),
        finds("a closed port 443 has a warning", |case, target| {
            let listening = case.own_page().is_some();
            if !listening && target.well_known.is_some() && !case.addresses(&case.host()).is_empty()
            {
                target.warn("well_known_unusable");
            }
        }),
        told("an alias is not followed where the host is its own", |case| {
            if !case.has_port() {
                forget_aliases(case, &case.host());
            }
        }),
        told("no alias is followed", |case| {
            case.each_answer(|_, answer| {
                if answer.get("alias").is_some() && answer.get("addresses").is_some() {
                    *answer = json!({ "none": "no_data" });
                }
            });
        }),
        told("a name of one label is completed", |case| {
            let host = case.host();
            if !host.contains('.') {
                case.unset_host(&host);
            }
        }),
        mistakes(Some("6"), "no_addresses", "no_usable_endpoint"),
        told("IPv6 addresses are not asked for", |case| {
            case.config.addresses = matrix_delegation::config::AddressFamilies::V4;
        }),
        finds("eight addresses are used in all", |_, target| {
            target.endpoints.iter_mut().for_each(|endpoint| endpoint.addresses.truncate(8));
        }),
        told("a ninth address of a family is used", |case| {
            case.config.limits.addresses_per_family = 9;
        }),
        told("an address of the other family is used", |case| {
            let host = case.host();
            let wrong: Vec<Json> = case
                .answer(&format!("A {host}"))
                .and_then(|answer| answer.get("addresses")?.as_array())
                .into_iter()
                .flatten()
                .filter(|address| address.as_str().unwrap().contains(':'))
                .cloned()
                .collect();
            if !wrong.is_empty() {
                case.set(&format!("AAAA {host}"), json!({ "addresses": wrong }));
            }
        }),
        finds("an address that is there twice is used twice", |case, target| {
            for endpoint in &mut target.endpoints {
                let written = case.addresses(&endpoint.host);
                if written.len() == 2 && written[0] == written[1] {
                    endpoint.addresses.push(endpoint.addresses[0]);
                }
            }
        }),
    ]
}
