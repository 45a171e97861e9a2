//! What errors, warnings and evidence say.

use matrix_delegation::{
    BlockedRange, Busy, DnsQuestion, DroppedSrv, Evidence, Family, FamilyOutcome, HostEvidence,
    ServerName, Service,
};

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
    let dropped = |target: &str, reason| DroppedSrv { target: target.to_owned(), port: 1, reason };
    Evidence {
        hosts: vec![
            HostEvidence {
                host: "b.example".parse().unwrap(),
                families: vec![
                    (Family::V4, FamilyOutcome::Found(0)),
                    (Family::V6, FamilyOutcome::Late),
                ],
                blocked: vec![("10.0.0.1".parse().unwrap(), blocked())],
            },
            HostEvidence {
                host: "c.example".parse().unwrap(),
                families: Vec::new(),
                blocked: Vec::new(),
            },
        ],
        dropped: vec![
            dropped(".", SrvDropReason::NoService),
            dropped("b.example", SrvDropReason::OverLimit),
        ],
        failed: Vec::new(),
    }
}

/// Every kind, with its JSON tag, its step and its words.
#[test]
fn are_told_apart_by_kind_step_and_words() {
    let host: matrix_delegation::DnsName = "b.example".parse().unwrap();
    let (step, evidence) = (Step::Srv, Box::new(evidence()));
    let service = Service::MatrixFed;
    let invalid = "a b".parse::<ServerName>().unwrap_err();
    let unresolvable = "a..b".parse::<ServerName>().unwrap().to_host().unwrap_err();
    for (error, kind, has_step, words) in [
        (
            ResolveError::invalid_server_name("a b", invalid),
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
                evidence: evidence.clone(),
            },
            "dns_failed",
            true,
            "looking up SRV _matrix._tcp.b.example for A.example failed (step 4): \
             the DNS server refused (REFUSED)",
        ),
        (
            ResolveError::NoAddresses { name: name(), step, evidence: evidence.clone() },
            "no_addresses",
            true,
            "no address is known for A.example (step 4): b.example (A: 0 found, \
             AAAA: no answer yet), 10.0.0.1 blocked: 10.0.0.0/8 (the configuration); c.example",
        ),
        (
            ResolveError::NoAddresses { name: name(), step, evidence: Box::default() },
            "no_addresses",
            true,
            "no address is known for A.example (step 4): nothing",
        ),
        (
            ResolveError::TooBusy { name: name(), busy: Busy::Questions, limit: 9 },
            "too_busy",
            false,
            "A.example is not resolved now: too many questions to DNS are under way (the limit is 9)",
        ),
        (
            ResolveError::AdapterFailed { name: name() },
            "adapter_failed",
            false,
            "resolving A.example was broken off: an adapter panicked or its runtime was shut down",
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
    let host: matrix_delegation::DnsName = "a.example".parse().unwrap();
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
