//! Certificates out of their time.

use super::*;

const DAY: u64 = 86_400;

#[test]
fn both_ends_belong_to_its_time() {
    let authority = Authority::new("root");
    let check = CertificateCheck::with_roots([authority.root()], algorithms()).unwrap();
    let chain = [authority.issue(&params(&["m.example"]))];
    let verdict = |seconds| check.judge(&chain, &target("m.example"), at(seconds)).verdict;
    let (first, last) = (NOW - 31 * DAY, NOW + 59 * DAY);
    assert!(verdict(first).is_valid() && verdict(last).is_valid());
    let not_before = "2025-12-01T00:00:00Z".parse().unwrap();
    let not_after = "2026-03-01T00:00:00Z".parse().unwrap();
    let whose = Whose::Server;
    for early in [first - 1, 0] {
        assert_eq!(verdict(early), CertificateVerdict::NotYetValid { not_before, whose });
    }
    for late in [last + 1, u64::MAX] {
        assert_eq!(verdict(late), CertificateVerdict::Expired { not_after, whose });
    }
}

#[test]
fn all_that_is_wrong_is_told_the_name_first() {
    let mut params = params(&["other.example"]);
    params.not_after = date_time_ymd(2025, 12, 31);
    let chain = [Authority::new("stranger").issue(&params)];
    let report = judge(&Authority::new("root"), &chain, "m.example");
    let problems: Vec<_> = report.problems().collect();
    assert!(
        matches!(
            problems[..],
            [
                CertificateVerdict::WrongName { .. },
                CertificateVerdict::Expired { whose: Whose::Server, .. },
                CertificateVerdict::Untrusted { gap: TrustGap::IssuerMissing, .. },
            ]
        ),
        "{problems:?}"
    );
    assert_eq!(report.to_string().matches("; besides, ").count(), 2);
}

#[test]
fn an_expired_certificate_of_a_trusted_authority_is_that_and_no_more() {
    let authority = Authority::new("root");
    for (from, to) in [((2024, 1), (2025, 1)), ((2030, 1), (2031, 1))] {
        let mut params = params(&["m.example"]);
        params.not_before = date_time_ymd(from.0, from.1, 1);
        params.not_after = date_time_ymd(to.0, to.1, 1);
        let report = judge(&authority, &[authority.issue(&params)], "m.example");
        assert_eq!((report.problems().count(), report.is_valid()), (1, false), "{report}");
    }
}

#[test]
fn an_issuer_that_ran_out_is_told_apart() {
    let root = Authority::new("root");
    let mut middle = authority::authority_params("middle");
    middle.not_after = date_time_ymd(2025, 12, 15);
    let middle = root.below(middle);
    let chain = [middle.issue(&params(&["m.example"])), middle.root()];
    let report = judge(&root, &chain, "m.example");
    let not_after = "2025-12-15T00:00:00Z".parse().unwrap();
    let whose = Whose::Issuer;
    assert_eq!(report.verdict, CertificateVerdict::Expired { not_after, whose });
    assert_eq!(report.also, []);
}

#[test]
fn a_root_is_trusted_whatever_its_dates() {
    let mut old = authority::authority_params("old");
    old.not_after = date_time_ymd(2021, 1, 1);
    let old = Authority::with(old);
    assert!(judge(&old, &[old.issue(&params(&["m.example"]))], "m.example").is_valid());
}

#[test]
fn dates_above_are_those_of_now() {
    // Both authorities are in their time now, and were not, or will not be, in that of the leaf.
    let authority = Authority::new("root");
    let middle = authority.below(authority::authority_params("middle"));
    for (from, to) in [(2018, 2019), (2050, 2051)] {
        let mut params = params(&["m.example"]);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let chain = [middle.issue(&params), middle.root()];
        let report = judge(&authority, &chain, "m.example");
        assert_eq!((report.problems().count(), report.is_valid()), (1, false), "{report}");
    }
}
