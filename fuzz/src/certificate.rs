//! Chains of certificates.
//!
//! Invariant: a chain is valid exactly if webpki, asked as rustls asks it, finds a way up to the root
//! in all of it and the name in the server's certificate; only a key that no handshake is verified
//! with and more certificates than are looked at may be in the way, and are said to be. A valid chain
//! with one bit changed is not, unless it would do without the certificate that was changed. Whatever
//! it is, what is said of dates is so, names are told where there are some, all text can be printed and
//! has its bounds, and the report is read from its JSON as what it was.
//!
//! Input: the first byte chooses the shape: `B` certificates, each after its length in two bytes; `T`
//! what an authority signs as the server's certificate, whatever it is; else bytes that `arbitrary`
//! makes certificates of, signed by keys that are known here.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use matrix_delegation::CertificateCheck;
use matrix_delegation::certificate::{
    CertificateReport, CertificateTime, CertificateVerdict, ChainFault,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;
/// The longest line and the longest JSON: 8 and twice 100 names of 255 characters, each of which may
/// be written as `\\u{10ffff}`, and some more.
const LONGEST: (usize, usize) = (40_000, 600_000);

/// Checks one input.
pub fn run(data: &[u8]) {
    let Some((shape, rest)) = data.split_first() else { return };
    let shown = match shape {
        b'B' => Some(Shown::of(certificates(rest))),
        b'T' => Some(Shown::of(vec![signed(rest, Key::Root)])),
        _ => Unstructured::new(rest).arbitrary().ok(),
    };
    if let Some(shown) = shown {
        check(&shown);
    }
}

fn check(shown: &Shown) {
    let Shown { chain, name, seconds, change: (which, bit) } = shown;
    let report = judge(shown, chain);
    let is_good = by_webpki(shown, chain);
    let is_unsupported = report.problems().all(|it| {
        let fault = match it {
            CertificateVerdict::BadChain { fault } => fault,
            // What was not looked at is what is missing.
            CertificateVerdict::Untrusted { .. } => return true,
            _ => return false,
        };
        matches!(fault, ChainFault::UnsupportedKey { .. } | ChainFault::TooLong { .. })
    });
    if report.is_valid() {
        assert!(is_good, "{name:?} at {seconds}: {chain:?}");
    } else if is_good {
        let faults = report.problems().any(|it| matches!(it, CertificateVerdict::BadChain { .. }));
        assert!(is_unsupported && faults, "{report:?}");
    }
    if !report.is_valid() {
        return;
    }
    let which = usize::from(*which) % chain.len();
    let bit = usize::from(*bit) % (8 * chain[which].len());
    let mut changed = chain[which].to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    let mut with = chain.clone();
    with[which] = CertificateDer::from(changed);
    if judge(shown, &with).is_valid() {
        let mut without = chain.clone();
        without.remove(which);
        assert!(which > 0 && by_webpki(shown, &without), "bit {bit} of {which} in {chain:?}");
    }
}

fn judge(shown: &Shown, chain: &[CertificateDer<'static>]) -> CertificateReport {
    let now = at(shown.seconds);
    let report = CHECK.judge_for(chain, &shown.name, now);
    assert_eq!(report.presented, chain.len());
    for problem in report.problems() {
        match problem {
            CertificateVerdict::Expired { not_after, .. } => {
                assert!(*not_after < CertificateTime::from(now));
            }
            CertificateVerdict::NotYetValid { not_before, .. } => {
                assert!(CertificateTime::from(now) < *not_before);
            }
            CertificateVerdict::WrongName { valid_for, more, .. } => {
                assert!(valid_for.len() <= 100);
                // Nobody is told of no names where there are some.
                let own = EndEntityCert::try_from(&chain[0]).unwrap();
                let is_silent = valid_for.len() + more == 0;
                assert!(!is_silent || own.valid_dns_names().next().is_none());
            }
            _ => {}
        }
    }
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<CertificateReport>(&json).unwrap(), report);
    let details = report.certificate.as_ref().map(ToString::to_string).unwrap_or_default();
    for (text, longest) in
        [(report.to_string(), LONGEST.0), (details, LONGEST.0), (json, LONGEST.1)]
    {
        assert!(text.len() <= longest, "{} bytes", text.len());
        let acts = |it: char| {
            it.is_control()
                || ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}', '\u{200b}'..='\u{200f}']
                    .iter()
                    .any(|range| range.contains(&it))
        };
        assert!(!text.contains(acts), "{text:?}");
    }
    report
}

/// Whether rustls would take the chain, but for the signature of the handshake.
fn by_webpki(shown: &Shown, chain: &[CertificateDer<'static>]) -> bool {
    let Some((own, above)) = chain.split_first() else { return false };
    let Ok(own) = EndEntityCert::try_from(own) else { return false };
    let (now, usage) = (at(shown.seconds), KeyUsage::server_auth());
    own.verify_for_usage(ALL_VERIFICATION_ALGS, &*ROOTS, above, now, usage, None, None).is_ok()
        && own.verify_is_valid_for_subject_name(&shown.name).is_ok()
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

static ROOTS: LazyLock<[TrustAnchor<'static>; 1]> = LazyLock::new(|| {
    let content = |der: Vec<u8>| der[2..].to_vec().into();
    let subject = content(distinguished(&[(3, 0x0c, b"root")]));
    let subject_public_key_info = content(Key::Root.info());
    [TrustAnchor { subject, subject_public_key_info, name_constraints: None }]
});

static CHECK: LazyLock<CertificateCheck> =
    LazyLock::new(|| CertificateCheck::new(ROOTS.clone(), ALL_VERIFICATION_ALGS));

/// Keys that are known here.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Key {
    Root,
    Middle,
    Lower,
    Server,
}

impl Key {
    fn pair(self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[self as u8 + 1; 32]).unwrap()
    }

    /// A `SubjectPublicKeyInfo` (RFC 8410 section 4).
    fn info(self) -> Vec<u8> {
        let mut bits = vec![0];
        bits.extend(self.pair().public_key().as_ref());
        sequence(&[ED25519.to_vec(), der(3, &bits)])
    }
}

/// The `AlgorithmIdentifier` of Ed25519 (RFC 8410 section 3).
const ED25519: [u8; 7] = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70];

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let mut der = match content.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    der.extend(content);
    der
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

/// A distinguished name of attributes of the X.500 arc: which, the kind of string, and what it says.
fn distinguished(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let one = |(kind, tag, text): &(u8, u8, &[u8])| {
        der(0x31, &sequence(&[der(6, &[0x55, 4, *kind]), der(*tag, text)]))
    };
    sequence(&attributes.iter().map(one).collect::<Vec<_>>())
}

/// Certificates, each after its length.
fn certificates(mut bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut chain = Vec::new();
    while let [high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (one, rest) = rest.split_at(length);
        chain.push(CertificateDer::from(one.to_vec()));
        bytes = rest;
    }
    chain
}

fn signed(content: &[u8], by: Key) -> CertificateDer<'static> {
    let mut bits = vec![0];
    bits.extend(by.pair().sign(content).as_ref());
    sequence(&[content.to_vec(), ED25519.to_vec(), der(3, &bits)]).into()
}

/// What a server shows to whom.
#[derive(Debug)]
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    seconds: u64,
    /// The certificate and the bit of it that is changed.
    change: (u8, u16),
}

impl Shown {
    fn of(chain: Vec<CertificateDer<'static>>) -> Self {
        let name = ServerName::try_from("m.example").unwrap();
        // A different bit for different certificates.
        let sum = chain
            .iter()
            .flat_map(|it| it.iter())
            .fold(7_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(u16::from(*byte)));
        Self { chain, name, seconds: NOW, change: (sum.to_be_bytes()[0], sum) }
    }
}

/// What `arbitrary` reads where nothing is left is 0: that is what is right, so that most of what is
/// made is nearly right.
impl<'a> Arbitrary<'a> for Shown {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let name = one_of(u, &["m.example", "a.m.example", "192.0.2.1", "2001:db8::1", "x.org"])?;
        let seconds = one_of(u, &[NOW, NOW, NOW, 0, 2_000_000_000, 4_000_000_000])?;
        let change = u.arbitrary()?;
        let count = one_of(u, &[2_u8, 1, 3, 4, 0, 12])?;
        let mut chain = Vec::new();
        for index in 0..count {
            chain.push(certificate(u, index, index + 1 == count)?);
        }
        if count > 2 && rarely(u)? {
            let (from, to) = (u.choose_index(chain.len())?, u.choose_index(chain.len())?);
            chain.swap(from, to);
        }
        Ok(Self { chain, name: ServerName::try_from(name).unwrap(), seconds, change })
    }
}

fn one_of<T: Copy>(u: &mut Unstructured<'_>, of: &[T]) -> Result<T> {
    Ok(of[usize::from(u.arbitrary::<u8>()?) % of.len()])
}

fn rarely(u: &mut Unstructured<'_>) -> Result<bool> {
    Ok(u.arbitrary::<u8>()? > 200)
}

/// The certificate at this place of a chain, the last of which the root has signed.
fn certificate(
    u: &mut Unstructured<'_>,
    index: u8,
    is_last: bool,
) -> Result<CertificateDer<'static>> {
    const KEYS: [Key; 4] = [Key::Server, Key::Lower, Key::Middle, Key::Root];
    const NAMES: [&[u8]; 4] = [b"server", b"lower", b"middle", b"root"];
    let own = usize::from(index).min(3);
    let issuer = if is_last { 3 } else { (own + 1).min(3) };
    let (mut key, mut by) = (KEYS[own].info(), KEYS[issuer]);
    let mut names = [NAMES[issuer], NAMES[own]].map(|it| distinguished(&[(3, 0x0c, it)]));
    for name in &mut names {
        if rarely(u)? {
            let text: &[u8] = u.arbitrary()?;
            let kind = one_of(u, &[3, 10, 6, 7, 97])?;
            *name = distinguished(&[(kind, one_of(u, &[0x0c, 0x13, 0x1e, 0x14])?, text)]);
        }
    }
    if rarely(u)? {
        by = u.arbitrary()?;
    }
    if rarely(u)? {
        key = match u.arbitrary::<&[u8]>()? {
            // RSA, with whatever is a key there.
            [0, bits @ ..] => {
                let algorithm = [0x30, 13, 6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0].to_vec();
                let number = der(0x30, &[der(2, bits), der(2, &[1, 0, 1])].concat());
                sequence(&[algorithm, der(3, &[vec![0], number].concat())])
            }
            bytes => der(0x30, bytes),
        };
    }
    let mut dates = [(0x17, &b"250101000000Z"[..]), (0x17, b"270101000000Z")];
    for date in &mut dates {
        if rarely(u)? {
            *date = one_of(
                u,
                &[
                    (0x17, &b"500101000000Z"[..]),
                    (0x17, b"240101000000Z"),
                    (0x17, b"260701000000Z"),
                    (0x18, b"99991231235959Z"),
                    (0x18, b"00000101000000Z"),
                    (0x18, b"20260101000000Z"),
                    (0x17, b"2601010000+0100"),
                ],
            )?;
        }
    }
    let parts = [
        der(0xa0, &der(2, &[if rarely(u)? { u.arbitrary()? } else { 2 }])),
        der(2, if rarely(u)? { u.arbitrary()? } else { &[1] }),
        ED25519.to_vec(),
        names[0].clone(),
        sequence(&dates.map(|(tag, text)| der(tag, text))),
        names[1].clone(),
        key,
        der(0xa3, &extensions(u, index)?),
    ];
    Ok(signed(&sequence(&parts), by))
}

fn extensions(u: &mut Unstructured<'_>, index: u8) -> Result<Vec<u8>> {
    let extension = |oid: &[u8], critical: bool, content: Vec<u8>| {
        let critical = if critical { der(1, &[0xff]) } else { Vec::new() };
        sequence(&[der(6, oid), critical, der(4, &content)])
    };
    let mut all = Vec::new();
    let mut names = Vec::new();
    if index == 0 {
        for name in [&b"m.example"[..], b"*.m.example"] {
            names.push(der(0x82, name));
        }
        names.push(der(0x87, &[192, 0, 2, 1]));
    }
    if rarely(u)? {
        if rarely(u)? {
            names.clear();
        }
        for _ in 0..u.arbitrary::<u8>()? % 8 {
            let tag = one_of(u, &[0x82, 0x82, 0x87, 0x86, 0xa4, 0xa0, 0x88, 0x8f])?;
            names.push(der(tag, u.arbitrary()?));
        }
        if rarely(u)? {
            let filler = vec![der(0x82, b"n.example"); usize::from(u.arbitrary::<u8>()?)];
            names.extend(filler);
        }
    }
    if !names.is_empty() {
        all.push(extension(&[0x55, 0x1d, 17], rarely(u)?, sequence(&names)));
    }
    if (index > 0) != rarely(u)? {
        let length = if rarely(u)? { der(2, &[u.arbitrary()?]) } else { Vec::new() };
        all.push(extension(&[0x55, 0x1d, 19], true, sequence(&[der(1, &[0xff]), length])));
    }
    if rarely(u)? {
        let mut purposes = Vec::new();
        for _ in 0..u.arbitrary::<u8>()? % 3 {
            purposes.push(der(6, &[0x2b, 6, 1, 5, 5, 7, 3, one_of(u, &[1, 2, 3])?]));
        }
        all.push(extension(&[0x55, 0x1d, 37], false, sequence(&purposes)));
    }
    if rarely(u)? {
        let subtree = sequence(&[der(one_of(u, &[0x82, 0x87, 0xa4])?, u.arbitrary()?)]);
        let subtrees = der(one_of(u, &[0xa0, 0xa1])?, &subtree);
        all.push(extension(&[0x55, 0x1d, 30], true, sequence(&[subtrees])));
    }
    if rarely(u)? {
        let oid: &[u8] = u.arbitrary()?;
        let content: &[u8] = u.arbitrary()?;
        all.push(extension(oid, rarely(u)?, content.to_vec()));
    }
    Ok(sequence(&all))
}

/// What is right, and that with a few choices of each place otherwise: libFuzzer rarely finds by
/// itself what has one thing wrong.
#[must_use]
pub fn seeds() -> BTreeSet<Vec<u8>> {
    const RIGHT: [u8; 200] = [0; 200];
    let mut seeds = BTreeSet::new();
    for at in 0..100 {
        for choices in [[0, 0, 0], [255, 0, 0], [255, 1, 0], [255, 1, 1], [255, 2, 1], [1, 0, 0]] {
            let mut input = RIGHT;
            input[at..at + 3].copy_from_slice(&choices);
            seeds.insert([&b"A"[..], &input].concat());
        }
    }
    let right: Shown = Unstructured::new(&RIGHT).arbitrary().unwrap();
    let mut chain = b"B".to_vec();
    for one in &right.chain {
        let [.., high, low] = one.len().to_be_bytes();
        chain.extend([high, low]);
        chain.extend(one.iter());
    }
    seeds.insert(chain);
    // The last one shown as a server's, which the root has signed, without what stands around it:
    // the head of three bytes; the algorithm, and the signature with its own head.
    let own = &right.chain[1];
    seeds.insert([b"T", &own[3..own.len() - ED25519.len() - 67]].concat());
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_is_wrong_with_is_valid() {
        let shown: Shown = Unstructured::new(&[0; 200]).arbitrary().unwrap();
        assert_eq!(shown.chain.len(), 2);
        assert!(judge(&shown, &shown.chain).is_valid());
        // The other shapes say the same.
        for seed in seeds() {
            match (seed[0], &seed[1..]) {
                (b'B', rest) => assert_eq!(certificates(rest), shown.chain),
                (b'T', rest) => assert_eq!(signed(rest, Key::Root), shown.chain[1]),
                _ => {}
            }
        }
    }

    #[test]
    fn what_is_nearly_right() {
        let mut valid = 0;
        for seed in seeds() {
            run(&seed);
            if let (b'A', input) = (seed[0], &seed[1..]) {
                let shown: Shown = Unstructured::new(input).arbitrary().unwrap();
                valid += u32::from(judge(&shown, &shown.chain).is_valid());
            }
        }
        assert!((250..550).contains(&valid), "{valid} are valid");
    }
}
