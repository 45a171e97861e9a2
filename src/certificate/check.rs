//! The certificate-name check: a presented chain to a verdict.

use std::collections::{HashMap, HashSet};
use std::fmt;

use rustls_pki_types::{
    CertificateDer, ServerName as TlsName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage};

use super::details::{CertificateDetails, CertificateKey};
use super::verdict::{CertificateReport, CertificateVerdict, ChainFault, TrustGap};
use super::webpki_error::{fault, names_of, problem, words, wrong_name};
use crate::core::target::DelegationTarget;

/// As many certificates of a chain as are looked at, the server's own among them. webpki tries every
/// way through them, up to 6 above the server's: with 10 that takes less than a second at worst.
/// Real chains have 2 to 4; those that no name leads to are not counted.
const MOST_PRESENTED: usize = 10;
/// The sizes of RSA keys that ring and aws-lc-rs verify with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Judges whether the certificates that a server presents are what a target needs.
///
/// # What counts
///
/// - The name is the target's [`tls_name`](DelegationTarget::tls_name). An SRV target is never
///   accepted in its place: it comes from DNS, which anyone on the way can have forged (RFC 9525
///   section 6.1; Matrix server-server API, "Server discovery").
/// - Only `subjectAltName` names a host; the common name does not (RFC 9525 section 2).
/// - A wildcard is all of the leftmost label and stands for one label: `*.m.example` is for
///   `a.m.example`, not for `m.example` or `a.b.m.example` (RFC 9525 section 6.3). At least two
///   labels must follow it.
/// - An IP literal is compared with `iPAddress` entries, byte for byte, and never with a `dNSName`
///   (RFC 9525 section 6.4).
/// - Times, signatures, name constraints and key usage are checked up to one of the roots (RFC 5280
///   section 6.1). Roots are trusted whatever their own dates say. Revocation is not looked up.
/// - The server's key is one that the algorithms can verify a handshake with; of RSA keys those of
///   2048 to 8192 bits, as ring and aws-lc-rs have it.
///
/// Of a chain 10 certificates are looked at: the server's, and the first 9 that it, or one of them,
/// names as its issuer. So no harm is done by a whole bundle of roots in it.
///
/// ```
/// use matrix_delegation::certificate::CertificateVerdict;
/// use matrix_delegation::time::Now;
/// use matrix_delegation::{CertificateCheck, FixedTarget};
/// use rustls_pki_types::UnixTime;
/// # use std::time::Duration;
///
/// // The roots to trust, and the algorithms of the crypto provider that is at hand.
/// # let issued = rcgen::generate_simple_self_signed(["m.example".to_owned()])?;
/// # let root = issued.cert.der().clone();
/// let provider = rustls::crypto::ring::default_provider();
/// let check = CertificateCheck::with_roots(
///     [root],
///     provider.signature_verification_algorithms.all,
/// )?;
/// let target = FixedTarget::new(["192.0.2.7:8448".parse()?])?
///     .target(&"m.example".parse()?, Now::EPOCH)?;
///
/// # let presented = issued.cert.der().clone();
/// # let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
/// let report = check.judge(&[presented], &target, now);
/// assert_eq!(report.verdict, CertificateVerdict::Valid);
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CertificateCheck {
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

impl CertificateCheck {
    /// Creates a check that trusts these anchors, such as those of a `rustls::RootCertStore`, and
    /// verifies signatures with these algorithms, such as those of a
    /// `rustls::crypto::CryptoProvider` (`signature_verification_algorithms.all`). Without anchors,
    /// nothing is trusted.
    ///
    /// ```
    /// use matrix_delegation::CertificateCheck;
    ///
    /// let store = rustls::RootCertStore::empty();
    /// let provider = rustls::crypto::ring::default_provider();
    /// let algorithms = provider.signature_verification_algorithms.all;
    /// let check = CertificateCheck::new(store.roots, algorithms);
    /// ```
    pub fn new(
        anchors: impl IntoIterator<Item = TrustAnchor<'static>>,
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Self {
        Self { anchors: anchors.into_iter().collect(), algorithms }
    }

    /// Creates a check that trusts these root certificates and verifies signatures by these algorithms.
    ///
    /// # Errors
    ///
    /// If one of them cannot be a root.
    pub fn with_roots<'a>(
        roots: impl IntoIterator<Item = CertificateDer<'a>>,
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Result<Self, NotARoot> {
        let mut anchors = Vec::new();
        for (index, root) in roots.into_iter().enumerate() {
            let anchor = webpki::anchor_from_trusted_cert(&root);
            let anchor = anchor.map_err(|error| NotARoot { index, detail: words(&error) })?;
            anchors.push(anchor.to_owned());
        }
        Ok(Self { anchors, algorithms })
    }

    /// Creates a check that trusts these root certificates and verifies signatures with what the
    /// feature `ring` or `aws-lc-rs` brings along.
    ///
    /// ```
    /// use matrix_delegation::CertificateCheck;
    ///
    /// # let root = rcgen::generate_simple_self_signed(["m.example".to_owned()])?.cert.der().clone();
    /// let check = CertificateCheck::trusting([root])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If one of them cannot be a root.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn trusting<'a>(
        roots: impl IntoIterator<Item = CertificateDer<'a>>,
    ) -> Result<Self, NotARoot> {
        Self::with_roots(roots, webpki::ALL_VERIFICATION_ALGS)
    }

    /// Judges what a server presented for this target, its own certificate first, at this time.
    pub fn judge(
        &self,
        presented: &[CertificateDer<'_>],
        target: &DelegationTarget,
        now: UnixTime,
    ) -> CertificateReport {
        self.judge_for(presented, &target.tls_name(), now)
    }

    /// Judges what a server presented for any name, such as that of a web server with a well-known, at
    /// this time.
    pub fn judge_for(
        &self,
        presented: &[CertificateDer<'_>],
        name: &TlsName<'_>,
        now: UnixTime,
    ) -> CertificateReport {
        let bad = |fault| vec![CertificateVerdict::BadChain { fault }];
        let Some((own, above)) = presented.split_first() else {
            return CertificateReport::new(bad(ChainFault::Empty), 0, None);
        };
        let mut details = CertificateDetails::read(own);
        let leaf = match EndEntityCert::try_from(own) {
            Ok(leaf) => leaf,
            Err(error) => {
                return CertificateReport::new(bad(fault(&error)), presented.len(), details);
            }
        };
        // x509-parser stops at what webpki passes over.
        if let Some(it) = &mut details
            && it.names.is_empty()
        {
            (it.names, it.more_names) = names_of(&leaf);
        }
        let (above, is_cut) = looked_at(&leaf, above);
        let above = above.as_slice();
        let mut problems = Vec::new();
        if let Err(error) = leaf.verify_is_valid_for_subject_name(name) {
            problems.push(wrong_name(&error, name, &leaf, details.as_ref()));
        }
        problems.extend(self.problems_of_the_path(&leaf, above, now, details.as_ref()));
        if !self.can_verify_with_key_of(&leaf, details.as_ref()) {
            let key = details.as_ref().map(|it| it.key.to_string());
            let key = key.unwrap_or_else(|| "of a kind that cannot be read".to_owned());
            problems.extend(bad(ChainFault::UnsupportedKey { key }));
        }
        if !problems.is_empty() {
            self.say_where_trust_ends(&leaf, own, above, &mut problems);
        }
        // What was left out may be what is missing.
        if is_cut && problems.iter().any(is_of_the_chain) {
            let (presented, used) = (presented.len(), MOST_PRESENTED);
            problems.extend(bad(ChainFault::TooLong { presented, used }));
        }
        CertificateReport::new(problems, presented.len(), details)
    }

    /// Returns what is wrong on the path to a root; nothing if webpki finds a path.
    fn problems_of_the_path(
        &self,
        leaf: &EndEntityCert<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
        details: Option<&CertificateDetails>,
    ) -> Vec<CertificateVerdict> {
        let (mut at, mut usage) = (now, Usage::Server);
        let mut problems = Vec::new();
        // webpki stops at the first thing wrong with the server's certificate. Its time and its
        // purpose hide what is wrong besides, so each is set aside once: three turns at most.
        for _ in 0..3 {
            let anchors = &self.anchors;
            let verified =
                leaf.verify_for_usage(self.algorithms, anchors, above, at, usage, None, None);
            let Err(error) = verified else { break };
            // At another time than now, dates of the certificates above are wrong that are not now.
            let is_imagined = match &error {
                Error::CertExpired { not_after, .. } => now <= *not_after,
                Error::CertNotValidYet { not_before, .. } => now >= *not_before,
                _ => false,
            };
            if is_imagined {
                break;
            }
            let found = match error {
                // Another authority of the same name may have signed it: then it is not that the
                // chain is of no use, but that this authority is not trusted.
                Error::InvalidSignatureForPublicKey
                    if !self.is_unlike_its_issuers(leaf, above, at, usage) =>
                {
                    problem(&Error::UnknownIssuer, details)
                }
                ref error => problem(error, details),
            };
            let set_aside = match &error {
                Error::CertExpired { not_after: bound, .. }
                | Error::CertNotValidYet { not_before: bound, .. } => {
                    std::mem::replace(&mut at, *bound) == now && found.is_of_the_server()
                }
                Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
                    std::mem::replace(&mut usage, Usage::Any) == Usage::Server
                }
                _ => false,
            };
            problems.push(found);
            if !set_aside {
                break;
            }
        }
        problems
    }

    /// Whether the signature of a handshake can be verified with the key of the certificate. No path
    /// depends on it, but there is no connection without.
    fn can_verify_with_key_of(
        &self,
        leaf: &EndEntityCert<'_>,
        details: Option<&CertificateDetails>,
    ) -> bool {
        let size_will_do = match details.map(|it| &it.key) {
            Some(CertificateKey::Rsa { bits }) => RSA_BITS.contains(bits),
            _ => true,
        };
        // Any signature will do for this: if the key is not the algorithm's, it is not looked at.
        let is_for_key = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            !matches!(
                leaf.verify_signature(*algorithm, &[], &[]),
                Err(Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) | Error::BadDer)
            )
        };
        size_will_do && self.algorithms.iter().any(is_for_key)
    }

    /// Returns whether the server's certificate is signed by none of those that are shown as its
    /// issuer's.
    fn is_unlike_its_issuers(
        &self,
        leaf: &EndEntityCert<'_>,
        above: &[CertificateDer<'_>],
        at: UnixTime,
        usage: Usage,
    ) -> bool {
        let named = |der: &&CertificateDer<'_>| {
            EndEntityCert::try_from(*der).is_ok_and(|it| it.subject() == leaf.issuer())
        };
        let mut shown = above.iter().filter(named).peekable();
        shown.peek().is_some()
            && shown.all(|der| {
                // Taken for a root, to see its signature judged alone.
                let anchor = webpki::anchor_from_trusted_cert(der).map(|anchor| [anchor]);
                let Ok(anchor) = &anchor else { return true };
                let verified =
                    leaf.verify_for_usage(self.algorithms, anchor, &[], at, usage, None, None);
                matches!(verified, Err(Error::InvalidSignatureForPublicKey))
            })
    }

    /// Follows issuers by their names, for the issuer that an untrusted chain ends at.
    fn say_where_trust_ends(
        &self,
        leaf: &EndEntityCert<'_>,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        problems: &mut Vec<CertificateVerdict>,
    ) {
        let above = readable(above);
        let mut reached = vec![(leaf, own)];
        let mut ends = (TrustGap::IssuerMissing, own);
        let mut next = 0;
        // Ends: each certificate is reached once.
        while let Some((below, der)) = reached.get(next).copied() {
            if self.anchors.iter().any(|anchor| anchor.subject.as_ref() == below.issuer()) {
                ends = (TrustGap::OtherKey, der);
                break;
            }
            let before = reached.len();
            for (issuer, der) in &above {
                let known = reached.iter().any(|(_, known)| std::ptr::eq(*known, *der));
                if issuer.subject() == below.issuer() && !known {
                    reached.push((issuer, *der));
                }
            }
            if reached.len() == before {
                let gap = match (below.subject() == below.issuer(), next) {
                    (true, 0) => TrustGap::SelfSigned,
                    (true, _) => TrustGap::UnknownRoot,
                    (false, _) => TrustGap::IssuerMissing,
                };
                ends = (gap, der);
            }
            next += 1;
        }
        let (gap, der) = ends;
        let found =
            CertificateVerdict::Untrusted { issuer: CertificateDetails::issuer_of(der), gap };
        let is_untrusted = |it: &&mut _| matches!(it, CertificateVerdict::Untrusted { .. });
        match problems.iter_mut().find(is_untrusted) {
            Some(said) => *said = found,
            // No name leads to a root, whatever webpki stumbled on before it came so far.
            None if gap != TrustGap::OtherKey => problems.push(found),
            None => {}
        }
    }
}

impl fmt::Debug for CertificateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateCheck")
            .field("anchors", &self.anchors.len())
            .field("algorithms", &self.algorithms.len())
            .finish()
    }
}

/// A certificate cannot be trusted as a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("root certificate {index}, counted from 0, cannot be read: {detail}")]
#[non_exhaustive]
pub struct NotARoot {
    /// Which of those given, counted from 0.
    pub index: usize,
    /// In the words of the library.
    pub detail: String,
}

/// What a certificate is asked to be for.
#[derive(Clone, Copy, PartialEq)]
enum Usage {
    Server,
    /// Once it is known not to be for servers, to see what is wrong besides.
    Any,
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        match self {
            Self::Server => KeyUsage::server_auth().validate(purposes),
            Self::Any => purposes.try_for_each(|purpose| purpose.map(drop)),
        }
    }
}

/// Returns the certificates above the server's that are looked at, and whether some were left out
/// that might have mattered.
fn looked_at<'a>(
    leaf: &EndEntityCert<'_>,
    above: &'a [CertificateDer<'_>],
) -> (Vec<CertificateDer<'a>>, bool) {
    const MOST: usize = MOST_PRESENTED - 1;
    let borrowed = |der: &'a CertificateDer<'_>| CertificateDer::from(der.as_ref());
    if above.len() <= MOST {
        return (above.iter().map(borrowed).collect(), false);
    }
    let read = readable(above);
    let mut issuers: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for (it, _) in &read {
        issuers.entry(it.subject()).or_default().push(it.issuer());
    }
    // Ends: the issuers of each name are taken once.
    let mut named = HashSet::from([leaf.issuer()]);
    let mut next = vec![leaf.issuer()];
    while let Some(name) = next.pop() {
        let more = issuers.remove(name).unwrap_or_default();
        next.extend(more.into_iter().filter(|it| named.insert(*it)));
    }
    let mut leading = read.iter().filter(|(it, _)| named.contains(it.subject()));
    let kept = leading.by_ref().take(MOST).map(|(_, der)| borrowed(der)).collect();
    (kept, leading.next().is_some())
}

/// Returns the certificates that can be read, with what they are in DER.
fn readable<'a>(
    certificates: &'a [CertificateDer<'_>],
) -> Vec<(EndEntityCert<'a>, &'a CertificateDer<'a>)> {
    let read = |der| EndEntityCert::try_from(der).ok().map(|read| (read, der));
    certificates.iter().filter_map(read).collect()
}

fn is_of_the_chain(verdict: &CertificateVerdict) -> bool {
    matches!(verdict, CertificateVerdict::Untrusted { .. } | CertificateVerdict::BadChain { .. })
}
