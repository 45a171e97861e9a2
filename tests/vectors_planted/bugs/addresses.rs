//! Which addresses are blocked, and what that leads to.

use matrix_delegation::AddressPolicy;
use serde_json::{Value as Json, json};

use super::super::case::{Case, fed};
use super::{Bug, mistakes, says, told};

/// Ranges that are let through although they are blocked.
const LET_THROUGH: &[&str] = &[
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "100.96.0.0/11",
    "127.0.0.0/8",
    "127.128.0.0/9",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "172.24.0.0/13",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.19.0.0/16",
    "224.0.0.0/4",
    "232.0.0.0/5",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/96",
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2002::/16",
    "3fff::/20",
    "4000::/3",
    "5f00::/16",
    "fc00::/7",
    "fd00::/8",
    "fe80::/10",
    "fea0::/11",
    "fec0::/10",
    "ff00::/8",
    "2606:4700:0:0:0:5efe::/96",
    "2606:4700:0:0:200:5efe::/96",
    "200::/7",
    "8000::/3",
    "e000::/4",
];

/// Ranges that are blocked although they are not: too much is taken for a block, or what is set
/// apart within one is not known.
const BLOCKED: &[&str] = &[
    "10.0.0.0/7",
    "100.0.0.0/9",
    "172.0.0.0/8",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.175.48.0/24",
    "2001::/22",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
    "2620:4f:8000::/48",
    "3fff::/16",
];

/// Addresses that nobody minds, to stand for those that somebody should.
const GOOD: &str = "192.0.2.222";
const GOOD_LITERAL: &str = "[2001:db8::222]";
const BLOCKED_LITERAL: &str = "[::1]";

fn policy(case: &mut Case, change: impl Fn(AddressPolicy) -> AddressPolicy) {
    case.config.address_policy = change(case.config.address_policy.clone());
}

fn rewrite_settings(case: &mut Case, change: impl Fn(&mut matrix_delegation::testing::Settings)) {
    change(&mut case.settings);
    case.config.address_policy = case.settings.config().address_policy;
}

pub fn bugs() -> Vec<Bug> {
    let let_through = LET_THROUGH.iter().map(|range| {
        told(format!("{range} is not blocked"), move |case| {
            policy(case, |policy| policy.allow(range.parse().unwrap()));
        })
    });
    let blocked = BLOCKED.iter().map(|range| {
        told(format!("{range} is blocked"), move |case| {
            policy(case, |policy| policy.block(range.parse().unwrap()));
        })
    });
    let mut bugs: Vec<_> = let_through.chain(blocked).collect();
    bugs.extend(inside());
    bugs.extend(lists());
    bugs.extend(of_hosts());
    bugs.extend(of_delegations_and_targets());
    bugs
}

/// IPv4 within IPv6.
fn inside() -> Vec<Bug> {
    let forms = [("mapped", "[::ffff:"), ("NAT64", "[64:ff9b::")];
    let judge = |case: &mut Case, start: &str, to: &str, when: fn(&Case) -> bool| {
        if case.name.starts_with(start) && when(case) {
            to.clone_into(&mut case.name);
        }
    };
    let mut bugs = Vec::new();
    for (form, start) in forms {
        bugs.push(told(format!("{form} addresses are judged by themselves"), move |case| {
            judge(case, start, GOOD_LITERAL, |_| true);
        }));
        bugs.push(told(format!("{form} addresses are blocked whole"), move |case| {
            judge(case, start, BLOCKED_LITERAL, |_| true);
        }));
    }
    bugs.push(told("what is allowed is not allowed in its mapped form", move |case| {
        judge(case, "[::ffff:", BLOCKED_LITERAL, |case| !case.settings.allow.is_empty());
    }));
    bugs.push(told("what is blocked is not blocked in its mapped form", move |case| {
        judge(case, "[::ffff:", GOOD_LITERAL, |case| !case.settings.block.is_empty());
    }));
    for (whole, start) in [("64:ff9b::/96", "[64:ff9b::"), ("::/0", "[::ffff:")] {
        bugs.push(told(format!("to allow {whole} is to allow what is inside"), move |case| {
            let allowed = case.settings.allow.iter().any(|range| range.to_string() == whole);
            if allowed && case.name.starts_with(start) {
                GOOD_LITERAL.clone_into(&mut case.name);
            }
        }));
    }
    bugs
}

/// What the configuration allows and blocks.
fn lists() -> Vec<Bug> {
    vec![
        told("what the configuration allows is not looked at", |case| {
            rewrite_settings(case, |settings| settings.allow.clear());
        }),
        told("what the configuration blocks is not looked at", |case| {
            rewrite_settings(case, |settings| settings.block.clear());
        }),
        told("what is blocked is not allowed", |case| {
            rewrite_settings(case, |settings| {
                if !settings.block.is_empty() {
                    settings.allow.clear();
                }
            });
        }),
        told("a range of mapped addresses is a range of IPv6 addresses", |case| {
            rewrite_settings(case, |settings| {
                settings.allow.retain(|range| !range.to_string().starts_with("::ffff:"));
            });
        }),
        told("nothing is judged where names are left to a proxy", |case| {
            if case.config.addresses == matrix_delegation::config::AddressFamilies::ByProxy {
                policy(case, |_| AddressPolicy::unrestricted());
            }
        }),
    ]
}

/// Lets the blocked addresses of a host through.
fn let_through(case: &mut Case, host: &str) {
    if case.is_host_blocked(host) {
        case.unset_host(host);
        case.set(&format!("A {host}"), json!({ "addresses": [GOOD] }));
    }
}

fn of_hosts() -> Vec<Bug> {
    vec![
        told("one blocked address blocks all of its family", |case| {
            let judge = case.clone();
            case.each_answer(|_, answer| {
                if let Some(addresses) = answer.get_mut("addresses").and_then(Json::as_array_mut) {
                    let is_blocked = |it: &Json| judge.is_blocked(it.as_str().unwrap());
                    if addresses.iter().any(is_blocked) {
                        addresses.retain(is_blocked);
                    }
                }
            });
        }),
        told("a blocked address blocks the other family", |case| {
            let host = case.host();
            let blocked = |case: &Case, question: &str| {
                let answer = case.answer(question).and_then(|it| it.get("addresses")?.as_array());
                answer.is_some_and(|it| it.iter().all(|it| case.is_blocked(it.as_str().unwrap())))
            };
            if blocked(case, &format!("A {host}")) {
                case.unset(&format!("AAAA {host}"));
            }
        }),
        mistakes(Some("2"), "blocked_address", "no_addresses"),
        told("blocked addresses count among those that are used", |case| {
            case.each_answer(|_, answer| {
                if let Some(addresses) = answer.get_mut("addresses").and_then(Json::as_array_mut)
                    && addresses.len() > 8
                    && addresses[0].as_str().unwrap().starts_with("10.")
                {
                    addresses.truncate(8);
                }
            });
        }),
        told("where the document is fetched from is not judged", |case| {
            if case.own_status() == Some(200) {
                let_through(case, &case.host());
            }
        }),
        told("a blocked host of the document ends the discovery", |case| {
            if case.is_host_blocked(&case.host()) {
                case.unset(&fed(&case.host()));
            }
        }),
        told("a failed family counts more than a blocked one", |case| {
            case.config.dns_failure = matrix_delegation::config::DnsFailurePolicy::Fail;
        }),
    ]
}

fn of_delegations_and_targets() -> Vec<Bug> {
    let is_blocked_target = |case: &Case| {
        let targets = case.targets(&fed(&case.host()));
        let blocked = targets.iter().map(|target| case.is_host_blocked(target)).collect::<Vec<_>>();
        (targets, blocked)
    };
    vec![
        told("a delegation to a blocked address is none", |case| {
            if case.delegated().is_some_and(|name| case.is_blocked(&name)) {
                case.replace_own_page(json!({ "status": 200, "body": "{}" }));
            }
        }),
        told("a delegated host is not judged", |case| {
            if let Some(host) = case.delegated_host() {
                let_through(case, &host);
            }
        }),
        told("a blocked target ends the discovery", move |case| {
            let (targets, blocked) = is_blocked_target(case);
            if let Some(at) = blocked.iter().position(|it| *it) {
                let target = targets[at].clone();
                case.each_srv(|_, records| {
                    records.retain(|record| super::super::case::target(record) == target);
                });
            }
        }),
        told("where all targets are blocked step 6 follows", move |case| {
            let (_, blocked) = is_blocked_target(case);
            if blocked.contains(&true) && !blocked.contains(&false) {
                case.unset(&fed(&case.host()));
            }
        }),
        says("a missing address counts more than a blocked one", move |case, seen| {
            let (targets, blocked) = is_blocked_target(case);
            let missing = targets.iter().any(|target| case.addresses(target).is_empty());
            if let Err((kind, _)) = &mut seen.outcome
                && blocked.contains(&true)
                && missing
            {
                "no_addresses".clone_into(kind);
            }
        }),
        told("a redirect's host is not judged", |case| {
            if let Some(host) = case.redirect_host() {
                let_through(case, &host);
            }
        }),
    ]
}
