//! Why a way cannot work: each reason, and the case in which it is the only one.

use matrix_delegation::plan::{
    CertificatePurpose, Delegation, HostRecords, Listening, Plan, Setup, SrvServices, WayKind,
};

fn setup(name: &str, listening: &str, certificates: &[&str]) -> Setup {
    let names: Vec<_> = certificates.iter().map(|it| it.parse().unwrap()).collect();
    Setup::new(name.parse().unwrap(), listening.parse().unwrap()).with_certificate_names(names)
}

fn kinds(plan: &Plan, way: WayKind) -> Vec<String> {
    let json = serde_json::to_value(plan.proposal(way).obstacles()).unwrap();
    let kinds = json.as_array().unwrap().iter();
    kinds.map(|it| it["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_reason_stands_where_it_belongs() {
    use WayKind::{NothingNeeded, Srv, WellKnown};
    let long = format!("{}.org", vec!["a".repeat(58); 4].join("."));
    let public = "1.1.1.1:8448";
    for (name, listening, certificates, way, expected) in [
        ("a.org", "a.org:8448", &["a.org"][..], NothingNeeded, &[][..]),
        ("a.org", "a.org:443", &["a.org"], NothingNeeded, &["wrong_port"]),
        ("a.org:443", "a.org:443", &["a.org"], NothingNeeded, &[]),
        ("a.org", "m.a.org:8448", &["a.org"], NothingNeeded, &["listens_elsewhere"]),
        ("a.org", "a.org:8448", &["m.a.org"], NothingNeeded, &["certificate_lacks_name"]),
        ("1.1.1.1", public, &["1.1.1.1"], NothingNeeded, &[]),
        ("1.1.1.2", public, &["1.1.1.2"], NothingNeeded, &["listens_elsewhere"]),
        ("10.0.0.1", "10.0.0.1:8448", &["10.0.0.1"], NothingNeeded, &["address_not_public"]),
        ("a.onion", "a.onion:8448", &["a.onion"], NothingNeeded, &["onion_name"]),
        ("hs1", "hs1:8448", &["hs1"], NothingNeeded, &["local_name"]),
        ("127.1", public, &["a.org"], NothingNeeded, &["unresolvable_server_name"]),
        ("a.org", "m.a.org:443", &["m.a.org"], WellKnown, &[]),
        ("a.org", "m.a.org:443", &["*.a.org"], WellKnown, &[]),
        ("a.org", "m.a.org:443", &["a.org"], WellKnown, &["certificate_lacks_name"]),
        ("1.1.1.1", public, &["1.1.1.1"], WellKnown, &["server_name_is_ip_literal"]),
        ("a.org:443", "a.org:443", &["a.org"], WellKnown, &["server_name_has_port"]),
        ("a.org", "10.0.0.1:443", &["m.a.org"], WellKnown, &["address_not_public"]),
        ("a.org", "localhost:443", &["localhost"], WellKnown, &["local_name"]),
        ("a.org", "m.onion:443", &["m.onion"], WellKnown, &["onion_name"]),
        ("a.org", "m.a.org:443", &["a.org"], Srv, &[]),
        ("a.org", "m.a.org:443", &["m.a.org"], Srv, &["certificate_lacks_name"]),
        ("a.org", public, &["a.org"], Srv, &["srv_target_is_address"]),
        (&long, "m.a.org:443", &[&long], Srv, &["too_long_for_srv"]),
        ("a.org", "m.home.arpa:443", &["a.org"], Srv, &["local_name"]),
    ] {
        let plan = setup(name, listening, certificates).plan();
        assert_eq!(kinds(&plan, way), expected, "{name} at {listening}: {way}");
    }
    let alias =
        Listening::new("m.a.org".parse::<matrix_delegation::names::DnsName>().unwrap(), 443)
            .with_host_records(HostRecords::Alias);
    let setup = Setup::new("a.org".parse().unwrap(), alias)
        .with_certificate_names(["a.org".parse().unwrap(), "m.a.org".parse().unwrap()]);
    assert_eq!(kinds(&setup.plan(), Srv), ["srv_target_is_alias"]);
    assert!(setup.plan().proposal(WellKnown).works());
    let zero = Listening::new("a.org".parse::<matrix_delegation::names::DnsName>().unwrap(), 0);
    let zero = Setup::new("a.org".parse().unwrap(), zero)
        .with_certificate_names(["a.org".parse().unwrap()]);
    for way in WayKind::ALL {
        assert_eq!(kinds(&zero.plan(), way), ["port_zero"], "{way}");
    }
    assert_eq!(zero.plan().delegation(), Delegation::Impossible);
}

/// The document's delegated name, its records, and the kinds of its provisos.
fn delegation(plan: &Plan) -> (String, Vec<String>, Vec<String>) {
    let way = plan.proposal(WayKind::WellKnown).way().unwrap();
    let records = way.records().iter().map(ToString::to_string).collect();
    let json = serde_json::to_value(way).unwrap();
    let provisos = json["provisos"].as_array().unwrap().iter();
    let provisos = provisos.map(|it| it["kind"].as_str().unwrap().to_owned()).collect();
    (way.document().unwrap().delegated_name().to_string(), records, provisos)
}

#[test]
fn the_delegated_name_is_one_that_the_certificate_is_good_for_and_that_does_least_harm() {
    let (own, other, apex) = (&["leads_there"][..], &["no_other_use"][..], "not_an_apex");
    let other_apex = &[other[0], apex][..];
    for (listening, certificates, delegated, record, provisos) in [
        // Where it listens, which needs no record.
        ("m.org:443", &["x.org", "matrix.a.org", "m.org"][..], "m.org:443", None, &[][..]),
        ("1.1.1.1:443", &["1.1.1.1"], "1.1.1.1:443", None, &[]),
        ("1.1.1.1:443", &["matrix.a.org", "a.org", "1.1.1.1"], "1.1.1.1:443", None, &[]),
        ("[2606:4700::1]:443", &["2606:4700::1"], "[2606:4700::1]:443", None, &[]),
        // The customary name of the server's own, by its entry or by a wildcard.
        (
            "1.1.1.1:443",
            &["www.a.org", "matrix.x.a.org", "matrix.a.org"],
            "matrix.a.org:443",
            Some("matrix.a.org. 3600 IN A 1.1.1.1"),
            &[],
        ),
        (
            "m.org:8448",
            &["www.a.org", "a.org", "*.a.org"],
            "matrix.a.org:8448",
            Some("matrix.a.org. 3600 IN CNAME m.org."),
            &[],
        ),
        // Others below the server name that begin so.
        (
            "m.org:443",
            &["www.a.org", "matrix.x.org", "matrix.x.a.org"],
            "matrix.x.a.org:443",
            Some("matrix.x.a.org. 3600 IN CNAME m.org."),
            &[],
        ),
        (
            "1.1.1.1:443",
            &["www.a.org", "*.x.a.org"],
            "matrix.x.a.org:443",
            Some("matrix.x.a.org. 3600 IN A 1.1.1.1"),
            &[],
        ),
        // The server name's own, if it may be there already.
        (
            "1.1.1.1:443",
            &["www.a.org", "a.org"],
            "a.org:443",
            Some("a.org. 3600 IN A 1.1.1.1"),
            own,
        ),
        // What may be a web site, or another's homeserver.
        (
            "1.1.1.1:443",
            &["www.a.org"],
            "www.a.org:443",
            Some("www.a.org. 3600 IN A 1.1.1.1"),
            other,
        ),
        (
            "m.org:443",
            &["www.a.org", "a.org"],
            "www.a.org:443",
            Some("www.a.org. 3600 IN CNAME m.org."),
            other,
        ),
        (
            "m.org:8448",
            &["www.x.org", "*.x.org"],
            "matrix.x.org:8448",
            Some("matrix.x.org. 3600 IN CNAME m.org."),
            other,
        ),
        ("1.1.1.1:443", &["x.org"], "x.org:443", Some("x.org. 3600 IN A 1.1.1.1"), other),
        // What may have been registered, where no CNAME can stand; not below the server name, for
        // all that it ends in it.
        ("m.org:443", &["x.org"], "x.org:443", Some("x.org. 3600 IN CNAME m.org."), other_apex),
        (
            "m.org:443",
            &["x.org", "matrix.org"],
            "matrix.org:443",
            Some("matrix.org. 3600 IN CNAME m.org."),
            other_apex,
        ),
        (
            "m.org:443",
            &["matrix-a.org"],
            "matrix-a.org:443",
            Some("matrix-a.org. 3600 IN CNAME m.org."),
            other_apex,
        ),
    ] {
        let found = delegation(&setup("a.org", listening, certificates).plan());
        let strings = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = (delegated.to_owned(), strings(record.as_slice()), strings(provisos));
        assert_eq!(found, expected, "{listening} {certificates:?}");
    }
}

#[test]
fn a_name_that_may_have_another_use_comes_after_srv() {
    use WayKind::{NothingNeeded, Srv, WellKnown};
    for (listening, certificates, order) in [
        // Nothing of the sort.
        ("m.org:443", &["a.org", "*.a.org"][..], [WellKnown, Srv, NothingNeeded]),
        ("m.org:443", &["a.org", "m.org"], [WellKnown, Srv, NothingNeeded]),
        ("m.org:443", &["a.org", "www.a.org"], [Srv, WellKnown, NothingNeeded]),
        ("m.org:443", &["a.org", "x.org"], [Srv, WellKnown, NothingNeeded]),
        // Still before what does not work.
        ("m.org:443", &["www.a.org"], [WellKnown, NothingNeeded, Srv]),
        ("1.1.1.1:8448", &["a.org", "www.a.org"], [NothingNeeded, WellKnown, Srv]),
    ] {
        let plan = setup("a.org", listening, certificates).plan();
        let kinds: Vec<WayKind> = plan.proposals().iter().map(|it| it.kind).collect();
        assert_eq!(kinds, order, "{listening} {certificates:?}");
    }
    let text = setup("a.org", "1.1.1.1:443", &["www.a.org"]).plan().to_string();
    assert!(text.contains("\n    provided that www.a.org has no other use"), "{text}");
    let text = setup("a.org", "m.org:443", &["x.org"]).plan().to_string();
    let words = "provided that x.org is not the apex of a zone, where a CNAME is not allowed; \
                 there, give it the addresses of m.org";
    assert!(text.contains(words), "{text}");
}

#[test]
fn what_a_plan_cannot_see_is_said() {
    for (listening, certificates, expected) in [
        ("a.org:8448", &["a.org"][..], &["no_document", "no_srv_records"][..]),
        ("1.1.1.1:8448", &["a.org"], &["leads_there", "no_document", "no_srv_records"]),
        ("m.org:443", &["a.org"], &["no_document"]),
        ("matrix.a.org:443", &["matrix.a.org"], &[]),
    ] {
        let plan = setup("a.org", listening, certificates).plan();
        let way = plan.recommended().unwrap();
        let json = serde_json::to_value(way.provisos()).unwrap();
        let kinds: Vec<&str> =
            json.as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, expected, "{listening}");
        for proviso in way.provisos() {
            assert!(plan.to_string().contains(&format!("provided that {proviso}\n")), "{plan}");
        }
    }
}

#[test]
fn people_and_programs_are_told_the_same() {
    let plan = setup("Example.org", "matrix.example.org:8443", &["*.example.org", "example.org"])
        .with_srv_services(SrvServices::WithDeprecated)
        .plan();
    let text = plan.to_string();
    for line in [
        "delegation: needed",
        "recommended: a well-known document",
        "at https://example.org/.well-known/matrix/server, status 200:",
        "content-type: application/json",
        "cache-control: max-age=86400",
        r#"{"m.server":"matrix.example.org:8443"}"#,
        "a certificate for example.org at example.org:443, for the document",
        "a certificate for matrix.example.org at matrix.example.org:8443, for the federation",
        "works, too: SRV records",
        "_matrix-fed._tcp.example.org. 3600 IN SRV 10 0 8443 matrix.example.org.",
        "_matrix._tcp.example.org. 3600 IN SRV 10 0 8443 matrix.example.org.",
        "a certificate for example.org at matrix.example.org:8443, for the federation",
        "Host Example.org",
        "cannot work: no delegation",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["delegation"], "needed");
    assert_eq!(json["ways"][0]["kind"], "well_known");
    assert_eq!(json["ways"][0]["verdict"], "works");
    let way = &json["ways"][0]["way"];
    assert_eq!(way["document"]["headers"]["content-type"], "application/json");
    assert_eq!(way["contact"]["step"], "3.2");
    assert_eq!(json["ways"][1]["way"]["records"][0]["type"], "SRV");
    assert_eq!(json["ways"][2]["reasons"][0]["kind"], "wrong_port");
    let certificates = plan.recommended().unwrap().certificates();
    assert_eq!(certificates[0].purpose, CertificatePurpose::Document);
}

#[test]
fn what_is_published_is_exact() {
    let setup = setup("Example.org", "m.example.org:443", &["m.example.org", "example.org"]);
    let plan = setup.clone().plan();
    let document = plan.proposal(WayKind::WellKnown).way().unwrap().document().unwrap();
    assert_eq!(document.url(), "https://example.org/.well-known/matrix/server");
    assert_eq!(document.body(), r#"{"m.server":"m.example.org:443"}"#);
    let headers: Vec<_> = document
        .headers()
        .iter()
        .map(|(name, value)| format!("{}: {}", name.as_str(), value.as_str()))
        .collect();
    assert_eq!(headers, ["content-type: application/json", "cache-control: max-age=86400"]);
    // The deprecated record stands behind the other, and only where it is asked for.
    let lines = |plan: &Plan| -> Vec<String> {
        let way = plan.proposal(WayKind::Srv).way().unwrap();
        way.records().iter().map(ToString::to_string).collect()
    };
    let current = "_matrix-fed._tcp.example.org. 3600 IN SRV 10 0 443 m.example.org.";
    let deprecated = "_matrix._tcp.example.org. 3600 IN SRV 10 0 443 m.example.org.";
    assert_eq!(lines(&plan), [current]);
    let both = setup.with_srv_services(SrvServices::WithDeprecated).plan();
    assert_eq!(lines(&both), [current, deprecated]);
}

#[test]
fn a_setup_is_read_from_json() {
    let json = r#"{"server_name": "a.org", "listening": {"host": {"dns": "m.a.org"}, "port": 443},
        "certificate_names": ["*.a.org"]}"#;
    let read: Setup = serde_json::from_str(json).unwrap();
    assert_eq!(read, setup("a.org", "m.a.org:443", &["*.a.org"]));
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<Setup>(&written).unwrap(), read);
    assert!(serde_json::from_str::<Setup>(&json.replace("*.a.org", "*.org")).is_err());
}
