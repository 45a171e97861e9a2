//! Who vouches for whom.

use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, NameConstraints,
};

use super::authority::authority_params;
use super::*;

fn untrusted(issuer: &str, gap: TrustGap) -> CertificateVerdict {
    CertificateVerdict::Untrusted { issuer: issuer.to_owned(), gap }
}

fn self_signed(params: &CertificateParams) -> CertificateDer<'static> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[test]
fn an_intermediate_must_be_shown() {
    let root = Authority::new("root");
    let middle = root.below(authority_params("middle"));
    let leaf = middle.issue(&params(&["m.example"]));
    // In any place, beside others, twice, and with the root itself.
    let stranger = Authority::new("stranger").root();
    for above in [
        vec![middle.root()],
        vec![middle.root(), root.root()],
        vec![root.root(), middle.root()],
        vec![stranger.clone(), middle.root(), middle.root()],
    ] {
        let chain: Vec<_> = std::iter::once(leaf.clone()).chain(above).collect();
        let report = judge(&root, &chain, "m.example");
        assert_eq!((report.is_valid(), report.presented), (true, chain.len()), "{report}");
    }
    for chain in [vec![leaf.clone()], vec![leaf.clone(), stranger], vec![leaf, root.root()]] {
        let report = judge(&root, &chain, "m.example");
        assert_eq!(report.verdict, untrusted("CN=middle", TrustGap::IssuerMissing));
        assert_eq!(report.also, []);
        assert!(report.to_string().contains("show the intermediate certificates too"));
    }
}

#[test]
fn an_untrusted_chain_is_told_with_the_issuer_it_ends_at() {
    let root = Authority::new("stranger");
    let middle = root.below(authority_params("middle"));
    let leaf = middle.issue(&params(&["m.example"]));
    for (chain, gap) in [
        (vec![leaf.clone(), middle.root()], TrustGap::IssuerMissing),
        (vec![leaf, middle.root(), root.root()], TrustGap::UnknownRoot),
    ] {
        let report = judge(&Authority::new("root"), &chain, "m.example");
        assert_eq!(report.verdict, untrusted("CN=stranger", gap));
        assert_eq!(report.also, []);
    }
}

#[test]
fn a_self_signed_certificate_is_called_so() {
    let authority = Authority::new("root");
    let mut params = params(&["m.example"]);
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
    let report = judge(&authority, &[self_signed(&params)], "m.example");
    assert_eq!(report.verdict, untrusted("O=Example", TrustGap::SelfSigned));
    assert_eq!(report.also, []);

    // As `openssl req -x509` makes them.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let report = judge(&authority, &[self_signed(&params)], "m.example");
    assert_eq!(report.verdict, untrusted("O=Example", TrustGap::SelfSigned));
    assert_eq!(report.also, [bad(ChainFault::AuthorityAsServer)]);
}

#[test]
fn nothing_is_trusted_without_roots() {
    let authority = Authority::new("root");
    let check = CertificateCheck::new([], algorithms());
    let chain = [authority.issue(&params(&["m.example"])), authority.root()];
    let report = check.judge(&chain, &target("m.example"), at(NOW));
    assert_eq!(report.verdict, untrusted("CN=root", TrustGap::UnknownRoot));
}

#[test]
fn another_authority_of_the_same_name_has_another_key() {
    let namesake = Authority::new("root");
    let leaf = namesake.issue(&params(&["m.example"]));
    let middle = namesake.below(authority_params("middle"));
    let lower = middle.issue(&params(&["m.example"]));
    for chain in [vec![leaf.clone()], vec![leaf, namesake.root()], vec![lower, middle.root()]] {
        let report = judge(&Authority::new("root"), &chain, "m.example");
        assert_eq!(report.verdict, untrusted("CN=root", TrustGap::OtherKey));
        assert_eq!(report.also, []);
    }
}

#[test]
fn an_intermediate_of_the_same_name_will_not_do() {
    let root = Authority::new("root");
    let [right, wrong] = [0, 1].map(|_| root.below(authority_params("middle")));
    let leaf = right.issue(&params(&["m.example"]));
    let report = judge(&root, &[leaf.clone(), wrong.root()], "m.example");
    assert_eq!(report.verdict, bad(ChainFault::BadSignature));
    assert_eq!(report.also, []);
    // Beside the right one it does no harm.
    for chain in [[&right, &wrong], [&wrong, &right]] {
        let [first, second] = chain.map(Authority::root);
        assert!(judge(&root, &[leaf.clone(), first, second], "m.example").is_valid());
    }
}

#[test]
fn it_must_be_for_servers() {
    let authority = Authority::new("root");
    let mut params = params(&["m.example"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let report = judge(&authority, &[authority.issue(&params)], "m.example");
    assert_eq!(report.verdict, bad(ChainFault::WrongPurpose));
    assert_eq!(report.also, []);
    // It does not hide what is wrong besides.
    let report = judge(&Authority::new("other"), &[authority.issue(&params)], "m.example");
    assert_eq!(report.verdict, untrusted("CN=root", TrustGap::IssuerMissing));
    assert_eq!(report.also, [bad(ChainFault::WrongPurpose)]);

    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    assert!(judge(&authority, &[authority.issue(&params)], "m.example").is_valid());
}

#[test]
fn an_authority_keeps_to_its_names() {
    let mut constrained = authority_params("constrained");
    constrained.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("m.example".to_owned())],
        excluded_subtrees: vec![],
    });
    let root = Authority::new("root");
    let middle = root.below(constrained);
    for (names, verdict) in [
        (&["m.example", "a.m.example"][..], CertificateVerdict::Valid),
        (&["m.example", "other.example"], bad(ChainFault::NameConstraint)),
    ] {
        let chain = [middle.issue(&params(names)), middle.root()];
        assert_eq!(judge(&root, &chain, "m.example").verdict, verdict);
    }
}

#[test]
fn a_servers_certificate_issues_none() {
    let root = Authority::new("root");
    let server = root.below(params(&["a.example"]));
    let chain = [server.issue(&params(&["m.example"])), server.root()];
    let verdict = judge(&root, &chain, "m.example").verdict;
    assert_eq!(verdict, bad(ChainFault::NotAnAuthority));

    let mut limited = authority_params("limited");
    limited.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let limited = root.below(limited);
    let lower = limited.below(authority_params("lower"));
    let chain = [lower.issue(&params(&["m.example"])), lower.root(), limited.root()];
    let verdict = judge(&root, &chain, "m.example").verdict;
    assert_eq!(verdict, bad(ChainFault::NotAnAuthority));
}

#[test]
fn a_root_must_be_a_certificate() {
    let roots = [Authority::new("root").root(), CertificateDer::from(&[1, 2, 3][..])];
    let error = CertificateCheck::with_roots(roots, algorithms()).unwrap_err();
    assert_eq!(error.index, 1);
    assert!(error.to_string().starts_with("root certificate 1, counted from 0, cannot be read"));
}

#[cfg(feature = "ring")]
#[test]
fn the_crates_own_provider_will_do() {
    let authority = Authority::new("root");
    let check = CertificateCheck::trusting([authority.root()]).unwrap();
    let chain = [authority.issue(&params(&["m.example"]))];
    assert!(check.judge(&chain, &target("m.example"), at(NOW)).is_valid());
    assert!(format!("{check:?}").contains("anchors: 1"));
}
