//! Failures: what they make of what was known, and of the look-ups that go with them.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::case::{Case, fed, header, old, url_of};
use super::{Bug, finds, says, told};

const HOUR: u64 = 3600;

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * HOUR)
}

fn ago(case: &Case) -> u64 {
    case.earlier.as_ref().map_or(0, |(_, seconds_ago)| *seconds_ago)
}

/// Where something good was known, a page of this kind is taken for another.
fn known(
    name: &str,
    is_it: impl Fn(&Case, &Json) -> bool + Send + Sync + 'static,
    to: Json,
) -> Bug {
    told(format!("known before: {name}"), move |case| {
        if case.knew_good()
            && let Some(page) = case.own_page()
            && is_it(case, page)
        {
            case.set_own_page(to.clone());
        }
    })
}

fn gone() -> Json {
    json!({ "status": 404 })
}

fn passing() -> Json {
    json!({ "status": 503 })
}

pub fn bugs() -> Vec<Bug> {
    let mut bugs = stands_in();
    bugs.extend(does_not_stand_in());
    bugs.extend(is_not_its_word());
    bugs.extend(in_a_row());
    bugs.extend(srv_failures());
    bugs.extend(address_failures());
    bugs.extend(time());
    bugs.extend(onion());
    bugs
}

fn stands_in() -> Vec<Bug> {
    vec![
        told("what was known before is forgotten", |case| case.earlier = None),
        told("a document stands in for a day", |case| case.config.well_known.stale = hours(24)),
        told("a document stands in for 50 hours", |case| case.config.well_known.stale = hours(50)),
        told("known before: a closed port is a lasting failure", |case| {
            let listening = case.own_page().is_some();
            if case.knew_good() && !listening && !case.addresses(&case.host()).is_empty() {
                case.set_own_page(gone());
            }
        }),
        known("a bad certificate is a lasting failure", |_, page| page["failed"] == "tls", gone()),
        known(
            "a body that is too large is a lasting failure",
            |_, page| page["too_large"] == true,
            gone(),
        ),
        known("408 is a lasting failure", |_, page| page["status"] == 408, gone()),
        told("known before: 429 is a lasting failure, while the document stands in", |case| {
            if case.knew_good() && ago(case) == HOUR && case.own_status() == Some(429) {
                case.set_own_page(gone());
            }
        }),
        known("silence is a lasting failure", |_, page| page["never"] == true, gone()),
        told("known before: a failed look-up of the host is a lasting failure", |case| {
            let host = case.host();
            if case.knew_good() && case.fails(&format!("A {host}")) {
                case.unset_host(&host);
            }
        }),
        told("known before: DNS is remembered with the document", |case| {
            if let Some((Json::Object(internet), _)) = &case.earlier
                && let Some(Json::Object(dns)) = internet.get("dns").cloned()
            {
                for (question, answer) in dns {
                    case.set(&question, answer);
                }
            }
        }),
    ]
}

fn does_not_stand_in() -> Vec<Bug> {
    vec![
        finds("what is found without a known document is not degraded", |_, target| {
            if target.warnings.iter().all(|it| it == "well_known_unusable") {
                target.degraded = false;
            }
        }),
        told("a document is remembered for 60 hours", |case| {
            case.config.well_known.remembered = hours(60);
        }),
        told("a degraded answer is held for an hour", |case| {
            case.config.time.degraded = hours(1);
        }),
        known(
            "a missing document is a passing failure",
            |_, page| page["status"] == 404,
            passing(),
        ),
        finds(
            "a document that is gone is asked for soon only where it could stand in",
            |case, target| {
                if case.own_status() == Some(404) && ago(case) > 48 * HOUR {
                    target.well_known = Some(HOUR);
                }
            },
        ),
        finds("a document that was known at any time is asked for soon", |case, target| {
            if case.own_status() == Some(404) && case.knew_good() {
                target.well_known = Some(120);
            }
        }),
        known(
            "a bad document is a passing failure",
            |_, page| page["status"] == 200 && page["body"] == "{}",
            passing(),
        ),
        known("410 is a passing failure", |_, page| page["status"] == 410, passing()),
        told("known before: a host that is gone is a passing failure", |case| {
            let host = case.host();
            if case.knew_good() && !case.has(&format!("A {host}")) {
                case.set(&format!("A {host}"), json!({ "failed": "serv_fail" }));
            }
        }),
        told("known before: it is kept whatever the new document says", |case| {
            if case.knew_good()
                && case.own_status() == Some(200)
                && case.delegated().is_some()
                && let Some((internet, _)) = &case.earlier
            {
                let before = internet["https"][url_of(&case.host())].clone();
                case.set_own_page(before);
            }
        }),
    ]
}

fn is_not_its_word() -> Vec<Bug> {
    vec![
        known("403 ends the delegation", |_, page| page["status"] == 403, gone()),
        known(
            "a page ends the delegation",
            |_, page| page["body"].as_str().is_some_and(|body| body.starts_with('<')),
            gone(),
        ),
        known(
            "a redirect that is not followed ends the delegation",
            |_, page| header(page, "location").is_some_and(|it| it.starts_with("http:")),
            gone(),
        ),
        known(
            "the host of a redirect that does not exist ends the delegation",
            |_, page| header(page, "location").is_some_and(|it| it.starts_with("https:")),
            gone(),
        ),
        told("known before: a host without addresses ends the delegation", |case| {
            let host = case.host();
            let says = case.answer(&format!("A {host}"));
            if case.knew_good() && says.is_some_and(|answer| answer["none"] == "no_data") {
                case.set(&format!("A {host}"), json!({ "none": "nx_domain" }));
            }
        }),
    ]
}

fn in_a_row() -> Vec<Bug> {
    vec![
        told("failures in a row do not back off", |case| {
            if case.earlier_status() == Some(503) {
                case.earlier = None;
            }
        }),
        finds("lasting failures in a row back off", |case, target| {
            if case.earlier_status() == Some(404) && case.own_status() == Some(404) {
                target.well_known = target.well_known.map(|it| it * 2);
            }
        }),
        told("lasting failures count towards the back-off of passing ones", |case| {
            if case.earlier_status() == Some(404)
                && case.own_status() == Some(503)
                && let Some((internet, _)) = &mut case.earlier
            {
                let url = url_of(&super::super::case::host_of(&case.name));
                internet["https"][url] = passing();
            }
        }),
        told("after a failure a good document is not believed", |case| {
            if case.earlier_status() == Some(503) && case.own_status() == Some(200) {
                case.set_own_page(passing());
            }
        }),
    ]
}

fn srv_failures() -> Vec<Bug> {
    let mut bugs = Vec::new();
    for kind in ["serv_fail", "refused", "timeout", "network", "malformed"] {
        bugs.push(told(
            format!("an SRV look-up that fails by {kind} finds nothing"),
            move |case| {
                let question = fed(&case.host());
                if case.answer(&question).is_some_and(|answer| answer["failed"] == kind) {
                    case.unset(&question);
                }
            },
        ));
    }
    bugs.extend([
        told("after a failed look-up the deprecated service is not asked for", |case| {
            if case.fails(&fed(&case.host())) && case.targets(&old(&case.host())) != [""; 0] {
                case.unset(&old(&case.host()));
            }
        }),
        told("a failed look-up of the deprecated service finds nothing", |case| {
            let host = case.host();
            if case.fails(&old(&host)) && !case.fails(&fed(&host)) {
                case.unset(&old(&host));
            }
        }),
        finds("each warning is given once", |_, target| target.warnings.dedup()),
        told("a failed SRV look-up of a delegated host finds nothing", |case| {
            if let Some(host) = case.delegated_host()
                && case.fails(&fed(&host))
            {
                case.unset(&fed(&host));
            }
        }),
        told("an SRV look-up that is not implemented is a failed one", |case| {
            case.each_answer(|question, answer| {
                if question.starts_with("SRV") && answer["none"] == "not_implemented" {
                    *answer = json!({ "failed": "serv_fail" });
                }
            });
        }),
        told("a failed look-up of the deprecated service spoils the registered one", |case| {
            let host = case.host();
            if case.fails(&old(&host)) && case.targets(&fed(&host)) != [""; 0] {
                case.set(&fed(&host), json!({ "failed": "serv_fail" }));
            }
        }),
        told("a failed SRV look-up spoils the document", |case| {
            if case.own_status() == Some(200) && case.fails(&fed(&case.host())) {
                case.unset_own_page();
            }
        }),
    ]);
    bugs
}

fn family(case: &Case, record_type: &str) -> String {
    format!("{record_type} {}", case.host())
}

fn address_failures() -> Vec<Bug> {
    let both_fail =
        |case: &Case| case.fails(&family(case, "A")) && case.fails(&family(case, "AAAA"));
    vec![
        told("a failed look-up of IPv6 addresses finds nothing", |case| {
            let question = family(case, "AAAA");
            if case.fails(&question) && !case.fails(&family(case, "A")) {
                case.unset(&question);
            }
        }),
        told("a failed look-up of IPv4 addresses finds nothing", |case| {
            let question = family(case, "A");
            if case.fails(&question) && !case.fails(&family(case, "AAAA")) {
                case.unset(&question);
            }
        }),
        says("failed look-ups of all addresses are an error of their own", move |case, seen| {
            if let Err((kind, _)) = &mut seen.outcome
                && both_fail(case)
            {
                "dns_failed".clone_into(kind);
            }
        }),
        told("a host that cannot be looked up has no SRV records", move |case| {
            if both_fail(case) {
                case.unset(&fed(&case.host()));
            }
        }),
        told("the document needs both families", |case| {
            if case.own_status() == Some(200) && case.fails(&family(case, "A")) {
                case.set(&family(case, "AAAA"), json!({ "failed": "serv_fail" }));
            }
        }),
        told("a target that cannot be looked up has no address", |case| {
            for target in case.targets(&fed(&case.host())) {
                if case.fails(&format!("A {target}")) {
                    case.unset_host(&target);
                }
            }
        }),
    ]
}

fn late(case: &Case, question: &str) -> bool {
    case.answer(question).is_some_and(|it| it["after_ms"].as_u64().is_some_and(|it| it > 250))
}

fn time() -> Vec<Bug> {
    vec![
        told("the other family has 100 ms", |case| {
            case.config.time.family_grace = Duration::from_millis(100);
        }),
        told("the other family has a second", |case| {
            case.config.time.family_grace = Duration::from_secs(1);
        }),
        told("IPv4 is waited for", |case| {
            let question = family(case, "A");
            let mut answer = case.answer(&question).cloned().unwrap_or_default();
            if late(case, &question) {
                answer.as_object_mut().unwrap().remove("after_ms");
                case.set(&question, answer);
            }
        }),
        told("a family that never comes is waited for until it fails", |case| {
            let question = family(case, "AAAA");
            if case.is_never(&question) {
                case.set(&question, json!({ "failed": "timeout" }));
            }
        }),
        told("that there are no addresses starts the wait for the other family", |case| {
            let question = family(case, "AAAA");
            if late(case, &question)
                && case.answer(&family(case, "A")).unwrap()["none"] == "no_data"
            {
                case.unset(&question);
            }
        }),
        told("other targets have half a second", |case| {
            case.config.time.target_grace = Duration::from_millis(500);
        }),
        told("other targets have three seconds", |case| {
            case.config.time.target_grace = Duration::from_secs(3);
        }),
        told("DNS has four seconds", |case| case.config.time.dns = Duration::from_secs(4)),
        told("DNS has ten seconds", |case| case.config.time.dns = Duration::from_secs(10)),
        told("an SRV look-up without an answer finds nothing", |case| {
            let question = fed(&case.host());
            if case.is_never(&question) {
                case.unset(&question);
            }
        }),
        told("a document that never comes is missing", |case| {
            if case.own_page().is_some_and(|page| page["never"] == true) && case.earlier.is_none() {
                case.set_own_page(gone());
            }
        }),
        told("the document has ten seconds", |case| {
            case.config.time.well_known = Duration::from_secs(10);
        }),
        told("the document has twenty seconds", |case| {
            case.config.time.well_known = Duration::from_secs(20);
        }),
        says("addresses without an answer are waited for until the time is up", |case, seen| {
            if ["A", "AAAA"].iter().all(|it| case.is_never(&family(case, it))) {
                seen.outcome = Err(("deadline_exceeded".to_owned(), None));
            }
        }),
    ]
}

fn is_onion(case: &Case) -> bool {
    case.name.rsplit('.').next() == Some("onion")
}

fn onion() -> Vec<Bug> {
    let ask = |case: &mut Case| case.rename(".onion", ".example");
    vec![
        told("names under onion are asked of DNS", move |case| {
            if case.config.addresses == matrix_delegation::config::AddressFamilies::Both
                && is_onion(case)
            {
                ask(case);
            }
        }),
        told("delegated names under onion are asked of DNS", move |case| {
            if !is_onion(case) {
                ask(case);
            }
        }),
        told("SRV of names under onion is asked where names are left to a proxy", move |case| {
            if case.config.addresses == matrix_delegation::config::AddressFamilies::ByProxy {
                ask(case);
            }
        }),
    ]
}
