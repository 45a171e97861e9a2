//! What webpki says is wrong, as a verdict of this crate.

use rustls_pki_types::ServerName as TlsName;
use webpki::{EndEntityCert, Error};

use super::details::{CertificateDetails, CertificateName, MOST_NAMES, algorithm};
use super::text::{shown, shown_name};
use super::time::CertificateTime;
use super::verdict::{CertificateVerdict, ChainFault, TrustGap, Whose};

/// How many certificates webpki follows above the server's (its `MAX_SUB_CA_COUNT`).
const MOST_INTERMEDIATES: usize = 6;

/// Returns the DNS names that webpki reads, and how many more there are.
pub(super) fn names_of(leaf: &EndEntityCert<'_>) -> (Vec<CertificateName>, usize) {
    let mut all = leaf.valid_dns_names();
    let dns = |it: &str| CertificateName::Dns(shown_name(it.as_bytes()));
    let names = all.by_ref().take(MOST_NAMES).map(dns).collect();
    (names, all.count())
}

pub(super) fn wrong_name(
    error: &Error,
    name: &TlsName<'_>,
    leaf: &EndEntityCert<'_>,
    details: Option<&CertificateDetails>,
) -> CertificateVerdict {
    if !matches!(error, Error::CertNotValidForName(_)) {
        return CertificateVerdict::BadChain { fault: fault(error) };
    }
    let (valid_for, more) =
        details.map_or_else(|| names_of(leaf), |it| (it.names.clone(), it.more_names));
    CertificateVerdict::WrongName { expected: shown(&name.to_str()), valid_for, more }
}

/// Converts an error of webpki. webpki does not say whose date it means: the date does.
pub(super) fn problem(error: &Error, details: Option<&CertificateDetails>) -> CertificateVerdict {
    let whose = |own: bool| if own { Whose::Server } else { Whose::Issuer };
    match error {
        Error::CertExpired { not_after, .. } => {
            let not_after = CertificateTime::from(*not_after);
            let own = details.is_none_or(|it| it.not_after == not_after);
            CertificateVerdict::Expired { not_after, whose: whose(own) }
        }
        Error::CertNotValidYet { not_before, .. } => {
            let not_before = CertificateTime::from(*not_before);
            let own = details.is_none_or(|it| it.not_before == not_before);
            CertificateVerdict::NotYetValid { not_before, whose: whose(own) }
        }
        // Where it ends is found out later.
        Error::UnknownIssuer => {
            CertificateVerdict::Untrusted { issuer: String::new(), gap: TrustGap::IssuerMissing }
        }
        error => CertificateVerdict::BadChain { fault: fault(error) },
    }
}

pub(super) fn fault(error: &Error) -> ChainFault {
    match error {
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => ChainFault::WrongPurpose,
        Error::NameConstraintViolation => ChainFault::NameConstraint,
        Error::InvalidSignatureForPublicKey => ChainFault::BadSignature,
        Error::UnsupportedSignatureAlgorithmContext(it) => {
            ChainFault::UnsupportedSignature { signature: algorithm(&it.signature_algorithm_id) }
        }
        Error::UnsupportedSignatureAlgorithmForPublicKeyContext(it) => {
            let signature = algorithm(&it.signature_algorithm_id);
            let key = algorithm(&it.public_key_algorithm_id);
            ChainFault::UnsupportedSignature { signature: format!("{signature} by a key of {key}") }
        }
        Error::CaUsedAsEndEntity => ChainFault::AuthorityAsServer,
        Error::EndEntityUsedAsCa | Error::PathLenConstraintViolated => ChainFault::NotAnAuthority,
        Error::CertDistrusted => ChainFault::Distrusted,
        Error::MaximumPathDepthExceeded => ChainFault::TooDeep { most: MOST_INTERMEDIATES },
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => ChainFault::TooComplex,
        Error::BadDer
        | Error::BadDerTime
        | Error::ExtensionValueInvalid
        | Error::InvalidCertValidity
        | Error::InvalidSerialNumber
        | Error::InvalidNetworkMaskConstraint
        | Error::MalformedDnsIdentifier
        | Error::MalformedExtensions
        | Error::MalformedNameConstraint
        | Error::SignatureAlgorithmMismatch
        | Error::TrailingData(_)
        | Error::UnsupportedCertVersion
        | Error::UnsupportedCriticalExtension => ChainFault::Unreadable { detail: words(error) },
        error => ChainFault::Other { detail: words(error) },
    }
}

pub(super) fn words(error: &Error) -> String {
    shown(&error.to_string())
}
