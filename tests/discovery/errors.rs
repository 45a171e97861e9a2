//! What errors, warnings and evidence say.

use std::time::Duration;

use matrix_delegation::ServerName;
use matrix_delegation::config::BlockedRange;
use matrix_delegation::dns::{DnsQuestion, Family, Service};
use matrix_delegation::error::{Blame, Busy, Evidence};

use serde_json::json;

use super::*;

fn name() -> ServerName {
    "A.example".parse().unwrap()
}

fn blocked() -> BlockedRange {
    documentation()
        .block("10.0.0.0/8".parse().unwrap())
        .check("10.0.0.1".parse().unwrap())
        .unwrap_err()
}

fn evidence() -> Evidence {
    let dropped =
        |target: &str, reason: &str| json!({"target": target, "port": 1, "reason": reason});
    let written = json!({
        "hosts": [
            {
                "host": "b.example",
                "families": [["v4", {"found": 0}], ["v6", "late"]],
                "blocked": [["10.0.0.1", blocked()]],
            },
            {"host": "c.example", "families": [], "blocked": []},
        ],
        "dropped": [dropped(".", "no_service"), dropped("b.example", "over_limit")],
        "failed": [],
    });
    serde_json::from_value(written).unwrap()
}

/// Every kind, with its JSON tag, its step and its words.
#[test]
fn are_told_apart_by_kind_step_and_words() {
    let host: matrix_delegation::names::DnsName = "b.example".parse().unwrap();
    let (step, evidence) = (Step::Srv, Box::new(evidence()));
    let service = Service::MatrixFed;
    let invalid = "a b".parse::<ServerName>().unwrap_err();
    let unresolvable = "a..b".parse::<ServerName>().unwrap().to_host().unwrap_err();
    for (error, kind, has_step, words) in [
        (
            ResolveError::from(invalid),
            "invalid_server_name",
            false,
            r#""a b" is not a Matrix server name"#,
        ),
        (
            ResolveError::UnresolvableName { source: unresolvable },
            "unresolvable_name",
            false,
            r#"no host can be made of the server name "a..b""#,
        ),
        (
            ResolveError::ServiceNotAvailable {
                name: name(),
                step,
                service,
                host: host.clone(),
                evidence: evidence.clone(),
            },
            "service_not_available",
            true,
            "A.example says that it offers no Matrix federation: the only SRV record of \
             _matrix-fed._tcp.b.example points to \".\" (step 4)",
        ),
        (
            ResolveError::NoUsableEndpoint {
                name: name(),
                step,
                service,
                host: host.clone(),
                evidence: evidence.clone(),
            },
            "no_usable_endpoint",
            true,
            "no SRV record of _matrix-fed._tcp.b.example for A.example can be used (step 4): \
             .:1: its target is \".\", which says that there is no service; \
             b.example:1: there are more records than are used",
        ),
        (
            ResolveError::DnsFailed {
                name: name(),
                step,
                question: DnsQuestion::Srv { service: Service::Matrix, host: host.clone() },
                failure: DnsFailure::Refused,
                detail: "192.0.2.53:53: refused".to_owned(),
                evidence: evidence.clone(),
            },
            "dns_failed",
            true,
            "looking up SRV _matrix._tcp.b.example for A.example failed (step 4): \
             the DNS server refused (REFUSED): 192.0.2.53:53: refused",
        ),
        (
            ResolveError::Local {
                name: name(),
                what: "A b.example".to_owned(),
                cause: "192.0.2.53:53: no socket is left".to_owned(),
            },
            "local",
            false,
            "A.example cannot be resolved now, since this machine could not ask for A b.example: \
             192.0.2.53:53: no socket is left",
        ),
        (
            ResolveError::NoAddresses { name: name(), step, evidence: evidence.clone() },
            "no_addresses",
            true,
            "no address is known for A.example (step 4): b.example (A: 0 found, \
             AAAA: no answer yet), 10.0.0.1 blocked: 10.0.0.0/8 (the configuration); c.example",
        ),
        (
            ResolveError::TooBusy { name: name(), busy: Busy::Questions, limit: 9 },
            "too_busy",
            false,
            "A.example is not resolved now: too many questions to DNS are under way (the limit is 9)",
        ),
    ] {
        assert_eq!(error.kind(), kind);
        assert_eq!(error.to_string(), words);
        assert_eq!(error.step(), has_step.then_some(step), "{kind}");
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(json["kind"], kind);
        let named = match kind {
            "invalid_server_name" => None,
            "unresolvable_name" => Some("a..b"),
            _ => Some("A.example"),
        };
        assert_eq!(error.server_name().map(ServerName::as_str), named, "{kind}");
    }
}

#[test]
fn without_evidence_there_is_nothing() {
    let error =
        ResolveError::NoAddresses { name: name(), step: Step::Srv, evidence: Box::default() };
    assert_eq!(error.to_string(), "no address is known for A.example (step 4): nothing");
}

#[test]
fn an_adapter_that_failed_is_no_limit_that_was_reached() {
    let error = ResolveError::AdapterFailed { name: name() };
    let words = "an adapter panicked or its runtime was shut down";
    assert_eq!(error.to_string(), format!("resolving A.example was broken off: {words}"));
    assert_eq!((error.kind(), error.step()), ("adapter_failed", None));
}

/// Whose fault each kind is, and whether it may pass by itself.
#[test]
fn blame_somebody() {
    let (step, service) = (Step::Srv, Service::MatrixFed);
    let host: matrix_delegation::names::DnsName = "b.example".parse().unwrap();
    let question = DnsQuestion::Srv { service, host: host.clone() };
    // With a look-up that has no answer, and with none.
    for (evidence, is_partial) in [(Box::new(evidence()), true), (Box::default(), false)] {
        let range = Box::new(blocked());
        let unknown = if is_partial { Blame::Dns } else { Blame::Server };
        for (error, blame, is_temporary) in [
            (ServerName::parse("a b").unwrap_err().into(), Blame::Name, false),
            (ServerName::parse("a..b").unwrap().to_host().unwrap_err().into(), Blame::Name, false),
            (
                ResolveError::ServiceNotAvailable {
                    name: name(),
                    step,
                    service,
                    host: host.clone(),
                    evidence: evidence.clone(),
                },
                Blame::Server,
                is_partial,
            ),
            (
                ResolveError::NoUsableEndpoint {
                    name: name(),
                    step,
                    service,
                    host: host.clone(),
                    evidence: evidence.clone(),
                },
                Blame::Server,
                is_partial,
            ),
            (
                ResolveError::DnsFailed {
                    name: name(),
                    step,
                    question: question.clone(),
                    failure: DnsFailure::ServFail,
                    detail: String::new(),
                    evidence: evidence.clone(),
                },
                Blame::Dns,
                true,
            ),
            (
                ResolveError::BlockedAddress {
                    name: name(),
                    step,
                    host: matrix_delegation::names::Host::Dns(host.clone()),
                    address: "10.0.0.1".parse().unwrap(),
                    range,
                    evidence: evidence.clone(),
                },
                Blame::Server,
                is_partial,
            ),
            (
                ResolveError::NoAddresses { name: name(), step, evidence: evidence.clone() },
                unknown,
                is_partial,
            ),
            (
                ResolveError::Local { name: name(), what: String::new(), cause: String::new() },
                Blame::Local,
                true,
            ),
            (
                ResolveError::DeadlineExceeded {
                    name: name(),
                    limit: Duration::from_secs(30),
                    waiting_for: Vec::new(),
                },
                Blame::Dns,
                true,
            ),
            (
                ResolveError::TooBusy { name: name(), busy: Busy::Turn, limit: 1 },
                Blame::Local,
                true,
            ),
            (ResolveError::AdapterFailed { name: name() }, Blame::Local, true),
        ] {
            assert_eq!((error.blame(), error.is_temporary()), (blame, is_temporary), "{error}");
        }
    }
    assert_eq!(serde_json::to_value(Blame::Dns).unwrap(), "dns");
    assert_eq!(format!("{:>7}", Blame::Server), " server");
}

/// From text to answer with `?`, whose error says what was given.
#[test]
fn server_names_that_are_none_become_errors() {
    let parse = |text: &[u8]| -> Result<ServerName, ResolveError> { Ok(ServerName::parse(text)?) };
    let long = "\u{fc}".repeat(200);
    for (text, shown) in [
        (&b"a b"[..], "a b"),
        (b"\xff", "\u{fffd}"),
        // Cut at 255 bytes, between characters.
        (long.as_bytes(), &long[..254]),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind(), "invalid_server_name");
        assert_eq!(error.to_string(), format!("{shown:?} is not a Matrix server name"));
        let source = std::error::Error::source(&error).unwrap();
        let source: &matrix_delegation::names::ServerNameError = source.downcast_ref().unwrap();
        assert_eq!(source.name(), shown);
    }
}

#[test]
fn say_what_makes_an_answer_worse() {
    for (degraded, words) in [
        (
            Degraded::WellKnownLost,
            "the server is known to delegate, but its well-known cannot be read",
        ),
        (Degraded::SrvLookupFailed(Service::Matrix), "the SRV look-up of _matrix._tcp failed"),
    ] {
        assert_eq!(degraded.to_string(), words);
    }
}

#[test]
fn print_families_and_services_within_a_width() {
    assert_eq!(format!("{:<5}|{:>5}", Family::V4, Family::V6), "IPv4 | IPv6");
    assert_eq!(format!("{:<17}|", Service::MatrixFed), "_matrix-fed._tcp |");
    assert_eq!(format!("{:>4}", Step::DelegatedSrv), " 3.3");
    assert_eq!((Family::V4.other(), Family::V6.other()), (Family::V6, Family::V4));
}

#[test]
fn name_what_is_asked() {
    let host: matrix_delegation::names::DnsName = "a.example".parse().unwrap();
    for (question, name, record_type) in [
        (DnsQuestion::Addresses { host: host.clone(), family: Family::V4 }, "a.example", "A"),
        (DnsQuestion::Addresses { host: host.clone(), family: Family::V6 }, "a.example", "AAAA"),
        (
            DnsQuestion::Srv { service: Service::Matrix, host: host.clone() },
            "_matrix._tcp.a.example",
            "SRV",
        ),
    ] {
        assert_eq!(question.name(), name);
        assert_eq!(question.record_type(), record_type);
        assert_eq!(question.to_string(), format!("{record_type} {name}"));
    }
}

/// Bodies are long, and nobody wants them in a log.
#[test]
fn do_not_print_bodies() {
    assert_eq!(format!("{:?}", Body::from("secret")), "Complete(6 bytes)");
    assert_eq!(format!("{:?}", Body::TooLarge), "TooLarge");
}

/// It decides no step, whatever is made of other failures.
#[test]
fn what_this_machine_could_not_ask_for_is_an_error_that_says_so() {
    let local = DnsFailure::Local;
    let cannot_fetch = || {
        let failure = FetchFailure::new(FetchFailureKind::Local, "no socket is left");
        a().fetched(URL, Err(failure))
    };
    let with_srv = || {
        let srv = "_matrix-fed._tcp.a.example";
        a().srv(srv, &[(0, 0, 1, "b.example."), (0, 0, 2, "c.example.")])
            .host("c.example", &["192.0.2.3"])
    };
    for (world, name, expected) in [
        (cannot_fetch(), "a.example", Err("the well-known document of a.example")),
        (cannot_fetch(), "a.example:1", Ok("a.example:1@192.0.2.1")),
        (
            a().fails("SRV _matrix-fed._tcp.a.example", local),
            "a.example",
            Err("SRV _matrix-fed._tcp.a.example"),
        ),
        (
            a().fails("SRV _matrix._tcp.a.example", local),
            "a.example",
            Err("SRV _matrix._tcp.a.example"),
        ),
        // Not needed.
        (
            with_srv().fails("SRV _matrix._tcp.a.example", local),
            "a.example",
            Ok("c.example:2@192.0.2.3"),
        ),
        (Internet::new().fails("A b.example", local), "b.example:1", Err("A b.example")),
        (
            Internet::new()
                .fails("A b.example", DnsFailure::ServFail)
                .fails("AAAA b.example", local),
            "b.example:1",
            Err("AAAA b.example"),
        ),
        // Beside what was found it is nothing.
        (a().fails("AAAA a.example", local), "a.example:1", Ok("a.example:1@192.0.2.1")),
        (with_srv().fails("A b.example", local), "a.example", Ok("c.example:2@192.0.2.3")),
    ] {
        for config in [lenient(), strict()] {
            let run = world.clone().resolve_once(name, &config);
            match (&run.outcome, expected) {
                (Ok(target), Ok(endpoint)) => {
                    assert_eq!(support::endpoints(target), [endpoint], "{name}");
                    assert_eq!(target.degraded(), None, "{name}");
                }
                (Err(ResolveError::Local { what, .. }), Err(asked)) => assert_eq!(what, asked),
                (result, _) => panic!("{name}: {result:?}, not {expected:?}"),
            }
        }
    }
}
