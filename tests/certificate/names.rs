//! Which names count.

use matrix_delegation::Config;
use matrix_delegation::testing::{Internet, documentation_allowed};
use rcgen::DnType;

use super::*;

#[test]
fn the_right_name_is_valid() {
    let report = judged_for(&["other.example", "M.example"], "m.example");
    assert!(report.is_valid() && report.problems().next().is_none(), "{report}");
    assert_eq!((report.to_string().as_str(), report.presented), ("valid", 1));
    // The port and the letter case of a server name change nothing.
    assert!(judged_for(&["m.example"], "M.EXAMPLE:443").is_valid());
}

#[test]
fn the_details_are_read() {
    let authority = Authority::new("root");
    let mut params = params(&["m.example", "*.m.example", "192.0.2.1", "2001:db8::1"]);
    params.distinguished_name.push(DnType::CommonName, "m");
    let report = judge(&authority, &[authority.issue(&params)], "m.example");
    let details = report.certificate.unwrap();
    let mut names = dns(&["m.example", "*.m.example"]);
    names.extend(["192.0.2.1", "2001:db8::1"].map(|it| CertificateName::Ip(it.parse().unwrap())));
    assert_eq!((details.names, details.more_names), (names, 0));
    assert_eq!((details.subject.as_str(), details.issuer.as_str()), ("CN=m", "CN=root"));
    assert_eq!(details.not_before.to_string(), "2025-12-01T00:00:00Z");
    assert_eq!(details.not_after.to_string(), "2026-03-01T00:00:00Z");
    assert_eq!(details.key.to_string(), "ECDSA P-256");
    assert_eq!(details.fingerprint.to_string().len(), 95);
}

#[test]
fn a_wrong_name_is_told_with_the_right_ones() {
    let report = judged_for(&["a.example", "*.b.example", "192.0.2.1"], "m.example");
    let mut valid_for = dns(&["a.example", "*.b.example"]);
    valid_for.push(CertificateName::Ip([192, 0, 2, 1].into()));
    let expected = "m.example".to_owned();
    assert_eq!(report.verdict, CertificateVerdict::WrongName { expected, valid_for, more: 0 });
    assert_eq!(report.also, []);
    assert_eq!(
        report.to_string(),
        "the certificate is for a.example, *.b.example, IP address 192.0.2.1, not for m.example: \
         let the server show one for m.example"
    );
}

#[test]
fn a_wildcard_is_the_leftmost_label_whole_and_stands_for_one() {
    for (pattern, name, valid) in [
        ("*.m.example", "a.m.example", true),
        ("*.M.example", "A.m.example", true),
        ("*.m.example", "xn--bcher-kva.m.example", true),
        ("*.m.example", "m.example", false),
        ("*.m.example", "a.b.m.example", false),
        ("*.m.example", "a.n.example", false),
        ("*.m.example", "am.example", false),
        ("a*.m.example", "ab.m.example", false),
        ("*a.m.example", "ba.m.example", false),
        ("a*b.m.example", "aab.m.example", false),
        ("a.*.example", "a.m.example", false),
        ("*.*.example", "a.m.example", false),
        ("**.m.example", "a.m.example", false),
        ("*.example", "m.example", false),
        ("*", "example", false),
        ("*.0.2.1", "192.0.2.1", false),
        ("*", "192.0.2.1", false),
        ("m.example.", "m.example", false),
        (".m.example", "a.m.example", false),
    ] {
        let report = judged_for(&[pattern], name);
        assert_eq!(report.is_valid(), valid, "{pattern} for {name}: {report}");
        if !valid {
            let CertificateVerdict::WrongName { valid_for, .. } = &report.verdict else {
                panic!("{pattern} for {name}: {report}");
            };
            assert_eq!(*valid_for, dns(&[pattern]));
        }
    }
}

#[test]
fn an_ip_literal_needs_its_address() {
    for (names, name, valid) in [
        (&["192.0.2.1"][..], "192.0.2.1", true),
        (&["192.0.2.1"], "192.0.2.1:8448", true),
        (&["192.0.2.2"], "192.0.2.1", false),
        (&["2001:db8::1"], "[2001:db8::1]", true),
        (&["2001:db8::1"], "[2001:DB8:0:0::1]:8448", true),
        (&["2001:db8::2"], "[2001:db8::1]", false),
        (&["::ffff:192.0.2.1"], "192.0.2.1", false),
        (&["192.0.2.1"], "[::ffff:192.0.2.1]", false),
        (&["m.example"], "192.0.2.1", false),
        (&["192.0.2.1"], "m.example", false),
    ] {
        let report = judged_for(names, name);
        assert_eq!(report.is_valid(), valid, "{names:?} for {name}: {report}");
    }
}

#[test]
fn an_address_written_as_a_dns_name_does_not_count() {
    let authority = Authority::new("root");
    let mut params = params(&[]);
    for text in ["192.0.2.1", "2001:db8::1"] {
        params.subject_alt_names.push(rcgen::SanType::DnsName(text.try_into().unwrap()));
    }
    for name in ["192.0.2.1", "[2001:db8::1]"] {
        let report = judge(&authority, &[authority.issue(&params)], name);
        assert!(matches!(report.verdict, CertificateVerdict::WrongName { .. }), "{report}");
        assert!(report.to_string().contains("for DNS name 192.0.2.1, DNS name 2001:db8::1, not"));
    }
}

#[test]
fn a_common_name_does_not_count() {
    let authority = Authority::new("root");
    for names in [&[][..], &["other.example"]] {
        let mut params = params(names);
        params.distinguished_name.push(DnType::CommonName, "m.example");
        let report = judge(&authority, &[authority.issue(&params)], "m.example");
        let CertificateVerdict::WrongName { valid_for, .. } = &report.verdict else {
            panic!("{report}");
        };
        assert_eq!(*valid_for, dns(names));
        assert_eq!(report.to_string().contains("a common name does not count"), names.is_empty());
    }
}

#[test]
fn the_name_of_an_srv_target_is_refused() {
    let internet = Internet::new()
        .host("a.example", &["192.0.2.1"])
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.m.example", &[(10, 0, 443, "fed.example.")])
        .host("fed.example", &["192.0.2.3"]);
    let config = documentation_allowed(Config::default());
    let target = internet.resolve("a.example".parse().unwrap(), &config).outcome.unwrap();
    let authority = Authority::new("root");
    let check = CertificateCheck::with_roots([authority.root()], algorithms()).unwrap();
    for (name, valid) in [("fed.example", false), ("a.example", false), ("m.example", true)] {
        let report = check.judge(&[authority.issue(&params(&[name]))], &target, at(NOW));
        assert_eq!(report.is_valid(), valid, "{name}: {report}");
        if !valid {
            let (expected, valid_for) = ("m.example".to_owned(), dns(&[name]));
            let wrong = CertificateVerdict::WrongName { expected, valid_for, more: 0 };
            assert_eq!(report.verdict, wrong);
        }
    }
}

#[cfg(feature = "plan")]
#[test]
fn the_names_that_a_host_can_have_are_of_use_to_a_plan() {
    use matrix_delegation::plan::NamePattern as Planned;

    let long = format!("{}.example", "a.".repeat(300));
    for (found, planned) in [
        ("M.Example", Some("m.example")),
        ("*.m.example", Some("*.m.example")),
        // No `iPAddress`, and so not good for the address.
        ("192.0.2.1", None),
        ("2001:db8::1", None),
        ("[2001:db8::1]", None),
        ("*.example", None),
        ("a*.m.example", None),
        ("m.example.", None),
        ("a b.example", None),
        ("a.example\0.b.example", None),
        (&long, None),
    ] {
        let authority = Authority::new("root");
        let mut params = params(&[]);
        params.subject_alt_names.push(rcgen::SanType::DnsName(found.try_into().unwrap()));
        let report = judge(&authority, &[authority.issue(&params)], "m.example");
        let [name] = &report.certificate.unwrap().names[..] else { panic!("{found}") };
        let made = Planned::try_from(name).ok();
        assert_eq!(made, planned.map(|it| it.parse().unwrap()), "{found}");
    }
    let address = CertificateName::Ip([192, 0, 2, 1].into());
    assert_eq!(Planned::try_from(&address), Ok(Planned::Ip([192, 0, 2, 1].into())));
}
