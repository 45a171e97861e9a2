//! SRV records: which count, in what order, and what they change nothing in.

use std::cmp::Reverse;

use serde_json::{Value as Json, json};

use super::super::case::{Case, fed, host_of, old, target};
use super::{Bug, finds, finds_by, told};

/// The delegated host where no port is delegated to, else that of the server name.
fn searched(case: &Case) -> String {
    case.delegated_host().filter(|_| !case.delegates_with_port()).unwrap_or_else(|| case.host())
}

fn number(record: &Json, key: &str) -> u64 {
    record[key].as_u64().unwrap()
}

fn is_root(record: &Json) -> bool {
    record["target"] == "."
}

/// Whether a target is an IP address.
fn is_address(record: &Json) -> bool {
    target(record).parse::<std::net::IpAddr>().is_ok()
}

fn text(record: &Json) -> &str {
    record["target"].as_str().unwrap()
}

fn records<'a>(case: &'a Case, question: &str) -> &'a [Json] {
    let records = case.answer(question).and_then(|answer| answer.get("srv")?.as_array());
    records.map_or(&[], Vec::as_slice)
}

pub fn bugs() -> Vec<Bug> {
    let mut bugs = names_in_use();
    bugs.extend(which_names_count());
    bugs.extend(which_service_counts());
    bugs.extend(order());
    bugs.extend(how_many());
    bugs.extend(no_service());
    bugs.extend(unusable());
    bugs.extend(without_addresses());
    bugs
}

fn names_in_use() -> Vec<Bug> {
    let mut bugs = Vec::new();
    for step in ["3.3", "4"] {
        bugs.push(finds_by(step, "the certificate is for the SRV target", |_, target| {
            target.tls.clone_from(&target.endpoints[0].host);
        }));
    }
    bugs.extend([
        finds_by("3.3", "a target that is the host itself puts its port into Host", |_, target| {
            if target.endpoints[0].host == target.host {
                target.host = format!("{}:{}", target.host, target.endpoints[0].port);
            }
        }),
        told("an SRV target may be a relative name", |case| {
            let host = case.host();
            case.each_srv(|_, records| {
                for record in records {
                    if !text(record).ends_with('.') {
                        record["target"] = format!("{}.{host}.", text(record)).into();
                    }
                }
            });
        }),
    ]);
    bugs
}

fn which_names_count() -> Vec<Bug> {
    vec![
        told("a delegated host must have an address", |case| {
            if let Some(host) = case.delegated_host()
                && case.addresses(&host).is_empty()
            {
                case.unset(&fed(&host));
            }
        }),
        told("a host must have an address", |case| {
            let host = case.host();
            if case.addresses(&host).is_empty() && !case.fails(&format!("A {host}")) {
                case.unset(&fed(&host));
            }
        }),
        told("the server's own SRV records count before those of the delegated host", |case| {
            if let Some(host) = case.delegated_host()
                && case.has(&fed(&host))
                && let Some(own) = case.answer(&fed(&case.host())).cloned()
            {
                case.set(&fed(&host), own);
            }
        }),
        told("SRV records of a name that delegates to itself do not count", |case| {
            if case.delegated() == Some(case.host()) {
                case.unset(&fed(&case.host()));
            }
        }),
        told("SRV records that are found by an alias do not count", |case| {
            case.each_answer(|_, answer| {
                if answer.get("srv").is_some() && answer.get("alias").is_some() {
                    *answer = json!({ "none": "no_data" });
                }
            });
        }),
    ]
}

fn which_service_counts() -> Vec<Bug> {
    vec![
        told("of a delegated host the deprecated service comes first", |case| {
            if let Some(host) = case.delegated_host()
                && case.has(&old(&host))
            {
                case.unset(&fed(&host));
            }
        }),
        told("of a host the deprecated service comes first", |case| {
            let host = case.host();
            if !records(case, &old(&host)).is_empty()
                && records(case, &fed(&host)).iter().any(|it| !is_root(it))
            {
                case.unset(&fed(&host));
            }
        }),
        told("a delegated host is not asked for the deprecated service", |case| {
            if let Some(host) = case.delegated_host() {
                case.unset(&old(&host));
            }
        }),
        told("a host is not asked for the deprecated service", |case| {
            case.unset(&old(&case.host()));
        }),
        told("that there is no such record is a failed look-up", |case| {
            case.each_answer(|question, answer| {
                if question.starts_with("SRV") && answer["none"] == "no_data" {
                    *answer = json!({ "failed": "serv_fail" });
                }
            });
        }),
        told("an empty answer is one that cannot be used", |case| {
            case.each_srv(|_, records| {
                if records.is_empty() {
                    records.push(json!({ "priority": 0, "weight": 0, "port": 0, "target": "x." }));
                }
            });
        }),
    ]
}

fn order() -> Vec<Bug> {
    vec![
        finds("the highest priority number stands first", |_, target| {
            target.endpoints.sort_by_key(|it| Reverse(it.priority));
        }),
        finds("the least weight stands first", |_, target| {
            target.endpoints.sort_by_key(|it| (it.priority, it.weight));
        }),
        finds("what is equal stands by names from the end of the alphabet", |_, target| {
            let key = |it: &matrix_delegation::testing::ExpectedEndpoint| {
                (it.priority, Reverse(it.weight), Reverse(it.host.clone()), it.port)
            };
            target.endpoints.sort_by_key(key);
        }),
        finds("what is equal stands by the highest port", |_, target| {
            let key = |it: &matrix_delegation::testing::ExpectedEndpoint| {
                (it.priority, Reverse(it.weight), it.host.clone(), Reverse(it.port))
            };
            target.endpoints.sort_by_key(key);
        }),
        told("a record of weight 0 beside others is not used", |case| {
            case.each_srv(|_, records| {
                if records.iter().any(|it| number(it, "weight") > 0) {
                    records.retain(|it| number(it, "weight") > 0);
                }
            });
        }),
        finds("records that differ in letters are two", |case, target| {
            let all = records(case, &fed(&searched(case)));
            let twice = |at: usize| {
                let same = |it: &&Json| {
                    super::super::case::target(it) == super::super::case::target(&all[at])
                };
                all.iter().filter(same).filter(|it| text(it) != text(&all[at])).count() > 0
            };
            if !all.is_empty() && twice(0) {
                target.endpoints.push(target.endpoints[0].clone());
            }
        }),
    ]
}

fn how_many() -> Vec<Bug> {
    vec![
        told("the twentieth record is not used", |case| case.config.limits.srv_records = 19),
        told("the twenty-first record is used", |case| case.config.limits.srv_records = 21),
        told("the first twenty records are used, as they stand in the answer", |case| {
            case.each_srv(|_, records| {
                for record in records.iter_mut().skip(20) {
                    record["port"] = 0.into();
                }
            });
        }),
    ]
}

fn no_service() -> Vec<Bug> {
    let only_root = |case: &Case, question: &str| {
        let all = records(case, question);
        !all.is_empty() && all.iter().all(is_root)
    };
    vec![
        told("a target that is the root is no record", move |case| {
            let question = fed(&searched(case));
            if only_root(case, &question) {
                case.unset(&question);
            }
        }),
        told("a target that is the root counts only alone", |case| {
            case.each_srv(|_, records| {
                if records.len() > 1 && records.iter().all(is_root) {
                    for record in records {
                        record["target"] = "192.0.2.1.".into();
                    }
                }
            });
        }),
        told("where the service is not offered the deprecated one is asked for", move |case| {
            let host = searched(case);
            if only_root(case, &fed(&host)) && case.has(&old(&host)) {
                case.unset(&fed(&host));
            }
        }),
        told("a target of the deprecated service that is the root is no record", move |case| {
            let question = old(&searched(case));
            if only_root(case, &question) {
                case.unset(&question);
            }
        }),
        told("where a delegated host offers no service step 4 follows", move |case| {
            if case.delegated().is_some() && only_root(case, &fed(&searched(case))) {
                case.unset_own_page();
            }
        }),
        told("one target that is the root ends the discovery", |case| {
            case.each_srv(|_, records| {
                if records.iter().any(is_root) {
                    records.retain(is_root);
                }
            });
        }),
    ]
}

/// Makes a record's target a name that has an address.
fn make_usable(case: &mut Case, is_it: impl Fn(&Json) -> bool) {
    let mut changed = false;
    case.each_srv(|_, records| {
        for record in records.iter_mut().filter(|record| is_it(record)) {
            record["target"] = "usable.example.".into();
            changed = true;
        }
    });
    if changed {
        case.set("A usable.example", json!({ "addresses": ["192.0.2.222"] }));
    }
}

fn unusable() -> Vec<Bug> {
    vec![
        told("a target that is an IPv4 address is used", |case| {
            make_usable(case, |record| is_address(record) && !text(record).contains(':'));
        }),
        told("a target that is an IPv6 address is used", |case| {
            make_usable(case, |record| is_address(record) && text(record).contains(':'));
        }),
        told("where no record can be used the next step follows", |case| {
            let question = fed(&searched(case));
            let all = records(case, &question);
            if !all.is_empty() && all.iter().all(is_address) {
                case.unset(&question);
            }
        }),
        told("port 0 of a record is port 8448", |case| {
            case.each_srv(|_, records| {
                for record in records.iter_mut().filter(|it| !is_root(it)) {
                    if record["port"] == 0 {
                        record["port"] = 8448.into();
                    }
                }
            });
        }),
        told("a target with an underscore is used", |case| {
            make_usable(case, |record| text(record).contains('_'));
        }),
        told("a target that is an alias is dropped", |case| {
            case.config.srv_alias = matrix_delegation::config::SrvAliasPolicy::Drop;
        }),
    ]
}

fn without_addresses() -> Vec<Bug> {
    let missing = |case: &Case, question: &str| -> Vec<String> {
        let unknown = |target: &String| {
            target.ends_with(".example")
                && !target.contains('_')
                && !case.has(&format!("A {target}"))
                && !case.has(&format!("AAAA {target}"))
        };
        case.targets(question).into_iter().filter(unknown).collect()
    };
    vec![
        told("a target without an address ends the discovery", move |case| {
            let lost = missing(case, &fed(&searched(case)));
            if let Some(lost) = lost.first() {
                case.each_srv(|_, records| records.retain(|it| target(it) == *lost));
            }
        }),
        told("where no target of a host has an address step 6 follows", move |case| {
            let question = fed(&case.host());
            let lost = missing(case, &question);
            if !lost.is_empty() && lost.len() == records(case, &question).len() {
                case.unset(&question);
            }
        }),
        told("where no target of a delegated host has an address step 3.5 follows", move |case| {
            if let Some(host) = case.delegated_host() {
                let lost = missing(case, &fed(&host));
                if !lost.is_empty() && lost.len() == records(case, &fed(&host)).len() {
                    case.unset(&fed(&host));
                }
            }
        }),
        finds_by("3.3", "Host is the SRV target", |_, target| {
            target.host.clone_from(&target.endpoints[0].host);
        }),
        finds_by("3.3", "the certificate is for the server name", |case, target| {
            target.tls = host_of(&case.name);
        }),
    ]
}
