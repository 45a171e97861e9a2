//! The verdict and what rustls says of the same chain, of many chains.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestRunner;
use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, NameConstraints,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use super::authority::authority_params;
use super::*;

/// What rustls says of a chain before it looks at the signature of the handshake.
fn by_rustls(
    roots: &[CertificateDer<'static>],
    chain: &[CertificateDer<'_>],
    target: &DelegationTarget,
    seconds: u64,
) -> Result<(), Error> {
    let Some((own, above)) = chain.split_first() else {
        return Err(Error::NoCertificatesPresented);
    };
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let provider = rustls::crypto::ring::default_provider().into();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(store.into(), provider).build().unwrap();
    verifier.verify_server_cert(own, above, &target.tls_name(), &[], at(seconds)).map(drop)
}

/// Whether a report holds what rustls found, which stops at the first thing wrong.
fn holds(report: &CertificateReport, error: &Error) -> bool {
    use CertificateVerdict::{BadChain, Expired, NotYetValid, Untrusted, WrongName};
    let any = |is: fn(&CertificateVerdict) -> bool| report.problems().any(is);
    let Error::InvalidCertificate(error) = error else {
        return any(|it| matches!(it, BadChain { .. }));
    };
    match error {
        CertificateError::NotValidForNameContext { .. } => any(|it| matches!(it, WrongName { .. })),
        CertificateError::ExpiredContext { not_after, .. } => report.problems().any(|it| {
            matches!(it, Expired { not_after: said, .. } if *said == (*not_after).into())
        }),
        CertificateError::NotValidYetContext { not_before, .. } => report.problems().any(|it| {
            matches!(it, NotYetValid { not_before: said, .. } if *said == (*not_before).into())
        }),
        CertificateError::UnknownIssuer => any(|it| matches!(it, Untrusted { .. })),
        // Whether the signature is wrong or the authority another one cannot be known.
        CertificateError::BadSignature => any(|it| {
            matches!(it, Untrusted { .. } | BadChain { fault: ChainFault::BadSignature })
        }),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            any(|it| *it == BadChain { fault: ChainFault::WrongPurpose })
        }
        // It may be about a certificate that leads nowhere.
        _ => any(|it| matches!(it, Untrusted { .. } | BadChain { .. })),
    }
}

#[track_caller]
fn agree(
    roots: &[CertificateDer<'static>],
    chain: &[CertificateDer<'_>],
    name: &str,
    seconds: u64,
) -> CertificateReport {
    let check = CertificateCheck::with_roots(roots.to_vec(), algorithms()).unwrap();
    let target = target(name);
    let report = check.judge(chain, &target, at(seconds));
    match by_rustls(roots, chain, &target, seconds) {
        Ok(()) => assert!(report.is_valid(), "rustls takes it: {report}"),
        Err(error) => {
            assert!(!report.is_valid(), "rustls refuses it: {error}");
            assert!(holds(&report, &error), "{error}: {report}");
        }
    }
    // What is said of dates is so at this time.
    let now: matrix_delegation::certificate::CertificateTime = at(seconds).into();
    for problem in report.problems() {
        match problem {
            CertificateVerdict::Expired { not_after, .. } => assert!(*not_after < now, "{report}"),
            CertificateVerdict::NotYetValid { not_before, .. } => {
                assert!(now < *not_before, "{report}");
            }
            _ => {}
        }
    }
    report
}

/// Authorities and what they have issued, of every kind that is told apart.
struct Pool {
    roots: Vec<CertificateDer<'static>>,
    above: Vec<CertificateDer<'static>>,
    /// With what leads from each to a root.
    leaves: Vec<(CertificateDer<'static>, Vec<CertificateDer<'static>>)>,
    /// Those of a kind that would hardly ever come up among all the others.
    rare: Vec<(CertificateDer<'static>, Vec<CertificateDer<'static>>)>,
    stranger: CertificateDer<'static>,
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let roots = [Authority::new("root"), Authority::new("root"), Authority::new("other root")];
    let mut kinds = vec![authority_params("middle"), authority_params("middle")];
    let mut with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = authority_params("middle");
        change(&mut params);
        kinds.push(params);
    };
    with(&|it| it.not_after = date_time_ymd(2025, 12, 15));
    with(&|it| it.not_before = date_time_ymd(2026, 2, 1));
    with(&|it| it.is_ca = IsCa::NoCa);
    with(&|it| it.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    with(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    with(&|it| {
        it.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("m.example".to_owned())],
            excluded_subtrees: vec![],
        });
    });
    let mut middles: Vec<Authority> = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        middles.push(roots[index % 2].below(kind));
    }
    let lower: Vec<Authority> =
        middles.iter().take(6).map(|it| it.below(authority_params("lower"))).collect();

    let mut leaves = vec![(CertificateDer::from(&b"junk"[..]), Vec::new())];
    let below_roots = roots.iter().take(2).map(|it| (it, Vec::new()));
    let below_middles = middles.iter().map(|it| (it, vec![it.root()]));
    let below_lower = lower.iter().zip(&middles).map(|(it, up)| (it, vec![it.root(), up.root()]));
    for (issuer, path) in below_roots.chain(below_middles).chain(below_lower) {
        let mut kinds = vec![params(&["m.example"]), params(&["m.example", "a.m.example"])];
        kinds.push(params(&["m.example", "x.example"]));
        kinds.push(params(&["*.m.example", "192.0.2.1", "2001:db8::1"]));
        let mut with = |change: &dyn Fn(&mut CertificateParams)| {
            let mut params = params(&["m.example", "a.m.example"]);
            change(&mut params);
            kinds.push(params);
        };
        with(&|it| it.not_after = date_time_ymd(2019, 1, 1));
        with(&|it| it.not_before = date_time_ymd(1960, 1, 1));
        with(&|it| it.not_after = date_time_ymd(1969, 1, 1));
        with(&|it| {
            (it.not_before, it.not_after) = (date_time_ymd(2018, 1, 1), date_time_ymd(2019, 1, 1));
        });
        with(&|it| {
            (it.not_before, it.not_after) = (date_time_ymd(2055, 1, 1), date_time_ymd(2060, 1, 1));
        });
        with(&|it| it.not_after = date_time_ymd(9999, 12, 31));
        with(&|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        with(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        leaves.extend(kinds.iter().map(|it| (issuer.issue(it), path.clone())));
    }
    let own = params(&["m.example"]).self_signed(&KeyPair::generate().unwrap()).unwrap();
    leaves.push((own.der().clone(), Vec::new()));
    let mut rare = vec![(own.der().clone(), Vec::new())];
    // The last of them keeps to its names, and here is another.
    let beyond = middles.last().map(|it| (it.issue(&params(&["x.example"])), vec![it.root()]));
    rare.extend(beyond);
    let mut above: Vec<_> =
        roots.iter().chain(&middles).chain(&lower).map(Authority::root).collect();
    above.push(CertificateDer::from(&b"junk"[..]));
    let mut roots: Vec<_> = roots.iter().map(Authority::root).collect();
    roots.push(own.der().clone());
    let stranger = Authority::new("stranger").root();
    Pool { roots, above, leaves, rare, stranger }
});

#[test]
fn a_verdict_is_what_rustls_says() {
    let pool = &*POOL;
    let chains = (
        prop_oneof![9 => select(pool.leaves.clone()), 1 => select(pool.rare.clone())],
        any::<bool>(),
        subsequence(pool.above.clone(), 0..=2).prop_shuffle(),
        // rustls has no verifier without roots.
        subsequence(pool.roots.clone(), 1..=pool.roots.len()),
        select(vec![
            "m.example",
            "a.m.example",
            "192.0.2.1",
            "[2001:db8::1]",
            "[::ffff:192.0.2.1]",
        ]),
        // The year 1970, as all is well, after the leaves, after the authorities, after 2049.
        select(vec![0, NOW, NOW, NOW, 1_780_000_000, 2_210_000_000, 2_700_000_000_u64]),
        any::<bool>(),
        // So many that lead nowhere, before the others.
        select(vec![0, 0, 0, 12]),
    );
    let cases = ProptestConfig::default().cases.max(4000);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let seen = std::cell::RefCell::new(BTreeMap::<String, u32>::new());
    TestRunner::new(config)
        .run(&chains, |((leaf, path), whole, mut above, roots, name, seconds, twice, strangers)| {
            if whole {
                above.extend(path);
            }
            if twice {
                above.extend(above.clone());
            }
            let strangers = vec![pool.stranger.clone(); strangers];
            let chain: Vec<_> = std::iter::once(leaf).chain(strangers).chain(above).collect();
            let report = agree(&roots, &chain, name, seconds);
            for verdict in std::iter::once(&report.verdict).chain(&report.also) {
                let mut json = serde_json::to_value(verdict).unwrap();
                let fault = json["fault"].take();
                let fault = fault.as_str().map_or_else(
                    || {
                        fault
                            .as_object()
                            .and_then(|it| it.keys().next())
                            .cloned()
                            .unwrap_or_default()
                    },
                    str::to_owned,
                );
                *seen
                    .borrow_mut()
                    .entry(format!("{} {}{fault}", json["status"], json["gap"]))
                    .or_default() += 1;
            }
            Ok(())
        })
        .unwrap();
    let seen = seen.into_inner();
    println!("{seen:#?}");
    // Nothing is proved of what never came up.
    for status in [
        "\"valid\"",
        "\"wrong_name\"",
        "\"expired\"",
        "\"not_yet_valid\"",
        "self_signed",
        "issuer_missing",
        "unknown_root",
        "other_key",
        "unreadable",
        "wrong_purpose",
        "name_constraint",
        "bad_signature",
        "authority_as_server",
        "not_an_authority",
    ] {
        assert!(seen.keys().any(|it| it.contains(status)), "{status}: {seen:#?}");
    }
}

#[test]
fn a_bundle_of_roots_before_the_intermediate_does_no_harm() {
    let root = Authority::new("root");
    let middle = root.below(authority_params("middle"));
    let leaf = middle.issue(&params(&["m.example"]));
    let bundle = (0..100).map(|it| Authority::new(&format!("root {it}")).root());
    let mut chain: Vec<_> = std::iter::once(leaf).chain(bundle).collect();
    let report = agree(&[root.root()], &chain, "m.example", NOW);
    assert!(matches!(report.verdict, CertificateVerdict::Untrusted { .. }), "{report}");
    // All that matters was looked at.
    assert_eq!(report.also, []);
    chain.push(middle.root());
    assert!(agree(&[root.root()], &chain, "m.example", NOW).is_valid());
}

fn pem(text: &str) -> CertificateDer<'static> {
    use rustls_pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(text.as_bytes()).unwrap()
}

/// What `rcgen` does not make, by `openssl x509 -req`, valid from the end of 2026 for 100 years.
macro_rules! openssl {
    ($name:literal) => {
        pem(include_str!(concat!("openssl/", $name, ".pem")))
    };
}

/// 2050-01-01T00:00:00Z.
const LATER: u64 = 2_524_608_000;

#[test]
fn kinds_of_signature_and_certificate_that_are_not_taken_are_refused() {
    let root = [openssl!("root")];
    assert!(agree(&root, &[openssl!("good")], "m.example", LATER).is_valid());
    for (leaf, fault) in [(openssl!("md5"), "RSA with MD5"), (openssl!("sha1"), "RSA with SHA-1")] {
        let report = agree(&root, &[leaf], "m.example", LATER);
        let fault = ChainFault::UnsupportedSignature { signature: fault.to_owned() };
        assert_eq!((report.verdict, report.also), (bad(fault), vec![]));
    }
    // Not old at all, but of a combination that the provider leaves out.
    let report = agree(&[openssl!("p256-root")], &[openssl!("p256-sha512")], "m.example", LATER);
    let signature = "ECDSA with SHA-512".to_owned();
    assert_eq!(report.verdict, bad(ChainFault::UnsupportedSignature { signature }));
    let report = agree(&root, &[openssl!("v1")], "m.example", LATER);
    let fault = ChainFault::Unreadable { detail: "UnsupportedCertVersion".to_owned() };
    assert_eq!(report.verdict, bad(fault));
}

#[test]
fn a_key_that_no_handshake_is_verified_with_is_refused() {
    use matrix_delegation::certificate::CertificateKey;
    let check = CertificateCheck::with_roots([openssl!("root")], algorithms()).unwrap();
    for (leaf, key) in [
        (openssl!("rsa1024"), CertificateKey::Rsa { bits: 1024 }),
        (openssl!("ed448"), CertificateKey::Ed448),
        (openssl!("p521"), CertificateKey::EcdsaP521),
    ] {
        // To rustls, which comes to it later, the chain is good.
        let target = target("m.example");
        by_rustls(&[openssl!("root")], std::slice::from_ref(&leaf), &target, LATER).unwrap();
        let report = check.judge(&[leaf], &target, at(LATER));
        let fault = ChainFault::UnsupportedKey { key: key.to_string() };
        assert_eq!((&report.verdict, &report.also), (&bad(fault), &vec![]));
        assert_eq!(report.certificate.unwrap().key, key);
    }
}
