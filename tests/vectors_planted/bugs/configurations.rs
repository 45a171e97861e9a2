//! Presets, and which addresses are asked for.

use std::time::Duration;

use matrix_delegation::config::{AddressFamilies, DnsFailurePolicy, SrvAliasPolicy, Withdrawal};
use matrix_delegation::testing::Preset;
use serde_json::{Value as Json, json};

use super::super::case::{Case, fed, old};
use super::{Bug, says, told};

/// Under a preset it is told something else.
fn under(preset: Preset, name: &str, plant: impl Fn(&mut Case) + Send + Sync + 'static) -> Bug {
    told(format!("{preset:?}: {name}"), move |case| {
        if case.settings.preset == preset {
            plant(case);
        }
    })
}

/// Other addresses are asked for than those that should be.
fn asks(from: AddressFamilies, to: AddressFamilies) -> Bug {
    told(format!("{from:?} is taken for {to:?}"), move |case| {
        if case.config.addresses == from {
            case.config.addresses = to;
        }
    })
}

pub fn bugs() -> Vec<Bug> {
    let mut bugs = strict();
    bugs.extend(strict_aliases());
    bugs.extend(synapse());
    bugs.extend([
        asks(AddressFamilies::V4, AddressFamilies::Both),
        asks(AddressFamilies::V6, AddressFamilies::Both),
        asks(AddressFamilies::ByProxy, AddressFamilies::Both),
        told("where names are left to a proxy SRV is not asked for", |case| {
            if case.config.addresses == AddressFamilies::ByProxy {
                case.unset(&fed(&case.host()));
            }
        }),
    ]);
    bugs
}

fn strict() -> Vec<Bug> {
    let strict = Preset::Strict;
    let addresses = |case: &Case| [format!("A {}", case.host()), format!("AAAA {}", case.host())];
    vec![
        under(strict, "a document is kept for a minute at least", |case| {
            case.config.well_known.least = Duration::from_secs(60);
        }),
        under(strict, "a document is kept for as long as it says", |case| {
            case.config.well_known.most = Duration::from_secs(1 << 30);
        }),
        under(strict, "failed look-ups are passed over", |case| {
            case.config.dns_failure = DnsFailurePolicy::GoOn;
        }),
        under(strict, "a known document stands in for a lasting failure", |case| {
            case.config.well_known.withdrawal = Withdrawal::Explicit;
        }),
        under(strict, "a failed look-up of the deprecated service finds nothing", |case| {
            case.unset(&old(&case.host()));
        }),
        under(strict, "a failed SRV look-up of a delegated host finds nothing", |case| {
            if let Some(host) = case.delegated_host() {
                case.unset(&fed(&host));
            }
        }),
        under(strict, "a question that is not known is a failed one", |case| {
            case.each_answer(|_, answer| {
                if answer["none"] == "not_implemented" {
                    *answer = json!({ "failed": "serv_fail" });
                }
            });
        }),
        under(strict, "a failed look-up of either service is an error", |case| {
            let host = case.host();
            if case.fails(&old(&host)) && case.has(&fed(&host)) {
                case.set(&fed(&host), json!({ "failed": "serv_fail" }));
            }
        }),
        under(strict, "failed look-ups of all addresses find nothing", move |case| {
            let questions = addresses(case);
            if questions.iter().all(|question| case.fails(question)) {
                for question in &questions {
                    case.unset(question);
                }
            }
        }),
        under(strict, "a failed look-up of either family is an error", move |case| {
            let questions = addresses(case);
            if questions.iter().any(|question| case.fails(question)) && case.has_port() {
                for question in &questions {
                    case.set(question, json!({ "failed": "serv_fail" }));
                }
            }
        }),
        says("Strict: a block counts more than a failed look-up", |case, seen| {
            let blocked = case.addresses(&case.host()).iter().any(|it| case.is_blocked(it));
            if let Err((kind, _)) = &mut seen.outcome
                && blocked
                && kind == "dns_failed"
            {
                "blocked_address".clone_into(kind);
            }
        }),
        says("Strict: a failed look-up of the document's host is an error", move |case, seen| {
            let fails = addresses(case).iter().any(|question| case.fails(question));
            if case.settings.preset == strict && !case.has_port() && fails {
                seen.outcome = Err(("dns_failed".to_owned(), None));
            }
        }),
    ]
}

fn is_alias(case: &Case, host: &str) -> bool {
    case.answer(&format!("A {host}")).is_some_and(|answer| answer["alias"] == true)
}

fn strict_aliases() -> Vec<Bug> {
    let strict = Preset::Strict;
    vec![
        under(strict, "a target that is an alias is followed", |case| {
            case.config.srv_alias = SrvAliasPolicy::Follow;
        }),
        under(strict, "where all targets are aliases step 6 follows", |case| {
            let targets = case.targets(&fed(&case.host()));
            if !targets.is_empty() && targets.iter().all(|target| is_alias(case, target)) {
                case.unset(&fed(&case.host()));
            }
        }),
        under(strict, "no alias is followed", |case| {
            let host = case.host();
            if is_alias(case, &host) {
                case.unset_host(&host);
            }
        }),
    ]
}

fn synapse() -> Vec<Bug> {
    let synapse = Preset::Synapse;
    vec![
        under(synapse, "a document is kept for a minute at least", |case| {
            case.config.well_known.least = Duration::from_secs(60);
        }),
        under(synapse, "failed look-ups are passed over", |case| {
            case.config.dns_failure = DnsFailurePolicy::GoOn;
        }),
        under(synapse, "a target that is an alias is dropped", |case| {
            case.config.srv_alias = SrvAliasPolicy::Drop;
        }),
        under(synapse, "a known document stands in for a bad response", |case| {
            case.config.well_known.withdrawal = Withdrawal::Explicit;
        }),
        under(synapse, "a host that does not exist is a lasting failure", |case| {
            case.config.well_known.withdrawal = Withdrawal::AnyPermanent;
        }),
        under(synapse, "ten redirects are followed", |case| case.config.limits.redirects = 10),
        under(synapse, "thirty redirects are followed", |case| case.config.limits.redirects = 30),
        told("the TTL of nothing is read", |case| {
            case.each_answer(|_, answer| {
                if let Json::Object(answer) = answer {
                    answer.remove("ttl");
                }
            });
        }),
    ]
}
