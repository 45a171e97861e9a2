//! What a server may show to do harm.

use proptest::prelude::*;
use rcgen::{CustomExtension, DnType, DnValue};

use super::authority::authority_params;
use super::*;

/// A certificate with these `dNSName`s, whatever bytes they are.
fn with_names(authority: &Authority, names: &[&[u8]]) -> CertificateDer<'static> {
    let mut list = Vec::new();
    for name in names {
        list.extend(der(0x82, name));
    }
    let mut params = params(&[]);
    let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &list));
    params.custom_extensions.push(extension);
    authority.issue(&params)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = match u8::try_from(length) {
        Ok(short) if short < 128 => vec![tag, short],
        Ok(long) => vec![tag, 0x81, long],
        Err(_) => vec![tag, 0x82, u8::try_from(length >> 8).unwrap(), length.to_le_bytes()[0]],
    };
    der.extend(content);
    der
}

#[test]
fn what_a_terminal_acts_on_is_escaped() {
    let authority = Authority::new("root");
    let names: [&[u8]; 4] = [
        b"a.example\0.m.example",
        b"\x1b[2J\r\nvalid",
        "\u{202e}elpmaxe.m".as_bytes(),
        b"\xff\xfe",
    ];
    let leaf = with_names(&authority, &names);
    let report = judge(&authority, &[leaf], "m.example");
    let CertificateVerdict::WrongName { valid_for, .. } = &report.verdict else {
        panic!("{report}");
    };
    let shown = [
        "a.example\\u{0}.m.example",
        "\\u{1b}[2J\\u{d}\\u{a}valid",
        "\\u{202e}elpmaxe.m",
        "\\u{fffd}\\u{fffd}",
    ];
    assert_eq!(*valid_for, dns(&shown));

    let mut stranger = authority_params("");
    stranger
        .distinguished_name
        .push(DnType::CommonName, DnValue::Utf8String("\u{1b}]0;x\u{7}\u{202e}".to_owned()));
    let leaf = Authority::with(stranger).issue(&params(&["m.example"]));
    let report = judge(&authority, &[leaf], "m.example");
    assert!(report.to_string().contains("CN=\\u{1b}]0;x\\u{7}\\u{202e}"), "{report}");
}

#[test]
fn a_name_beyond_ascii_stands_for_none() {
    let authority = Authority::new("root");
    for name in
        ["b\u{fc}cher.example", "*.b\u{fc}cher.example", "M\u{2024}example", "\u{ff4d}.example"]
    {
        let leaf = with_names(&authority, &[name.as_bytes()]);
        for asked in ["xn--bcher-kva.example", "a.xn--bcher-kva.example", "m.example"] {
            let report = judge(&authority, std::slice::from_ref(&leaf), asked);
            let CertificateVerdict::WrongName { valid_for, .. } = &report.verdict else {
                panic!("{name} for {asked}: {report}");
            };
            assert_eq!(valid_for.len(), 1);
        }
    }
}

#[test]
fn names_are_bounded_in_number_and_length() {
    let authority = Authority::new("root");
    let names: Vec<String> = (0..3000).map(|it| format!("{it}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let leaf = authority.issue(&params(&names));
    let report = judge(&authority, std::slice::from_ref(&leaf), "m.example");
    let CertificateVerdict::WrongName { valid_for, more, .. } = &report.verdict else {
        panic!("{report}");
    };
    assert_eq!((valid_for.len(), *more), (100, 2900));
    assert!(report.to_string().contains(" and 2992 more, not for m.example"));
    // Those that are not listed count all the same.
    assert!(judge(&authority, &[leaf], "2999.example").is_valid());

    let leaf = with_names(&authority, &["x".repeat(60_000).as_bytes()]);
    let report = judge(&authority, &[leaf], "m.example");
    assert!(serde_json::to_string(&report).unwrap().len() < 3000);
}

#[test]
fn a_chain_is_looked_at_only_so_far() {
    let root = Authority::new("root");
    let middle = root.below(authority_params("middle"));
    let leaf = middle.issue(&params(&["m.example"]));
    // Each might be the issuer.
    let namesake = root.below(authority_params("middle")).root();
    let chain = |before: usize| {
        let mut chain = vec![namesake.clone(); before + 1];
        chain[0] = leaf.clone();
        chain.push(middle.root());
        chain
    };
    assert!(judge(&root, &chain(8), "m.example").is_valid());
    let too_long = |presented| bad(ChainFault::TooLong { presented, used: 10 });
    let report = judge(&root, &chain(9), "m.example");
    assert_eq!((report.verdict, report.also), (bad(ChainFault::BadSignature), vec![too_long(11)]));
    let report = judge(&Authority::new("other"), &chain(20_000), "m.example");
    let gap = TrustGap::IssuerMissing;
    assert_eq!(report.verdict, CertificateVerdict::Untrusted { issuer: "CN=root".into(), gap });
    assert_eq!((report.presented, report.also), (20_002, vec![too_long(20_002)]));
    // A long one that holds is held against nobody.
    let mut long = chain(8);
    long.extend(vec![namesake; 100]);
    assert!(judge(&root, &long, "m.example").is_valid());
}

#[test]
fn a_chain_of_honest_intermediates_may_be_too_long() {
    let root = Authority::new("root");
    let below = |count: usize| {
        let (mut chain, mut issuer) = (Vec::new(), None);
        for level in 0..count {
            let next = issuer.as_ref().unwrap_or(&root);
            let next: Authority = next.below(authority_params(&format!("level {level}")));
            chain.insert(0, next.root());
            issuer = Some(next);
        }
        chain.insert(0, issuer.unwrap().issue(&params(&["m.example"])));
        chain
    };
    assert!(judge(&root, &below(6), "m.example").is_valid());
    for count in [7, 8] {
        let report = judge(&root, &below(count), "m.example");
        assert_eq!(
            (&report.verdict, &report.also),
            (&bad(ChainFault::TooDeep { most: 6 }), &vec![])
        );
        assert!(report.to_string().contains("at most 6 intermediate"), "{report}");
    }
}

/// Authorities of one name that have all issued one another: every order is a way up.
#[test]
fn a_maze_of_authorities_ends() {
    let maze: Vec<Authority> = (0..9).map(|_| Authority::new("maze")).collect();
    let mut chain = vec![maze[0].issue(&params(&["m.example"]))];
    chain.extend(maze.iter().map(|it| it.below(authority_params("maze")).root()));
    let report = judge(&Authority::new("root"), &chain, "m.example");
    assert!(!report.is_valid(), "{report}");
    let report = judge(&Authority::new("maze"), &chain, "m.example");
    assert!(!report.is_valid(), "{report}");
}

#[test]
fn no_certificate_is_a_bad_chain() {
    let report = judge(&Authority::new("root"), &[], "m.example");
    assert_eq!((report.verdict, report.presented), (bad(ChainFault::Empty), 0));
    assert_eq!(report.certificate, None);
}

#[test]
fn what_is_no_certificate_is_unreadable() {
    let authority = Authority::new("root");
    let good = authority.issue(&params(&["m.example"]));
    let mut longer = good.to_vec();
    longer.push(0);
    for junk in [&b""[..], b"junk", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &longer] {
        let report = judge(&authority, &[CertificateDer::from(junk)], "m.example");
        let CertificateVerdict::BadChain { fault } = &report.verdict else { panic!("{report}") };
        assert!(matches!(fault, ChainFault::Unreadable { .. }), "{report}");
    }
    // Above the server's it is passed over, if there is a way without it.
    let junk = CertificateDer::from(&b"junk"[..]);
    assert!(judge(&authority, &[good.clone(), junk.clone()], "m.example").is_valid());
    let report = judge(&Authority::new("other"), &[good, junk], "m.example");
    let gap = TrustGap::IssuerMissing;
    assert_eq!(report.verdict, CertificateVerdict::Untrusted { issuer: "CN=root".into(), gap });
    assert!(matches!(report.also[..], [CertificateVerdict::BadChain { .. }]), "{report}");
}

/// What the reader of details does not take as a certificate webpki may; its names are told all the
/// same.
#[test]
fn names_are_told_though_details_cannot_be_read() {
    let authority = Authority::new("root");
    let mut odd = authority.issue(&params(&["a.example", "*.b.example"])).to_vec();
    let at = odd.windows(6).position(|it| it == b"251201").unwrap();
    odd[at + 4] = b'4';
    let report = judge(&authority, &[odd.into()], "m.example");
    let CertificateVerdict::WrongName { valid_for, more: 0, .. } = &report.verdict else {
        panic!("{report}");
    };
    assert_eq!(*valid_for, dns(&["a.example", "*.b.example"]));
    assert_eq!(report.certificate, None);
}

/// Every prefix, and every byte replaced in several ways: never a panic, never valid.
#[test]
fn a_certificate_that_was_tampered_with_is_never_valid() {
    let root = Authority::new("root");
    let middle = root.below(authority_params("middle"));
    let chain = [middle.issue(&params(&["m.example", "192.0.2.1"])), middle.root()];
    assert!(judge(&root, &chain, "m.example").is_valid());
    for which in 0..chain.len() {
        let mut tampered = chain.clone();
        for cut in 0..chain[which].len() {
            tampered[which] = CertificateDer::from(chain[which][..cut].to_vec());
            assert!(!judge(&root, &tampered, "m.example").is_valid(), "{which} cut at {cut}");
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut bytes = chain[which].to_vec();
                bytes[cut] ^= change;
                tampered[which] = CertificateDer::from(bytes);
                let report = judge(&root, &tampered, "m.example");
                assert!(!report.is_valid(), "{which} at {cut}: {change:x}");
            }
        }
    }
}

proptest! {
    #[test]
    fn bytes_never_panic(
        chain in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
        seconds: u64,
    ) {
        let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        let check = CertificateCheck::new([], algorithms());
        let report = check.judge(&chain, &target("m.example"), at(seconds));
        prop_assert!(!report.is_valid());
    }

    /// Well-formed lists of names with anything in them.
    #[test]
    fn names_never_panic(
        names in proptest::collection::vec(
            (0x80_u8..=0xaf, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let authority = Authority::new("root");
        let list: Vec<u8> = names.iter().flat_map(|(tag, name)| der(*tag, name)).collect();
        let mut params = params(&[]);
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &list));
        params.custom_extensions.push(extension);
        let report = judge(&authority, &[authority.issue(&params)], "m.example");
        prop_assert!(!report.is_valid());
        // No name is left out for another that cannot be read.
        if let CertificateVerdict::WrongName { valid_for, .. } = &report.verdict {
            let listed = valid_for.iter().filter(|it| matches!(it, CertificateName::Dns(_)));
            prop_assert_eq!(listed.count(), names.iter().filter(|it| it.0 == 0x82).count());
        }
    }
}
