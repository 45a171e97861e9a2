//! What comes of judging a chain.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::details::{CertificateDetails, CertificateName, Names};
use super::time::CertificateTime;
use crate::core::text::write_list;

/// Whether a certificate is what a target needs, and if not, why not.
///
/// Where several things are wrong they stand in this order, the first as the verdict: it is the
/// order in which an administrator asks. Is it the right certificate at all
/// ([`WrongName`](Self::WrongName))? Has it run out ([`Expired`](Self::Expired),
/// [`NotYetValid`](Self::NotYetValid))? Who vouches for it ([`Untrusted`](Self::Untrusted))? To
/// renew a certificate that is for another name would help nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CertificateVerdict {
    /// It is for the name, in its time, and a trusted authority vouches for it.
    Valid,
    /// It is for other names.
    WrongName {
        /// The name it has to be for.
        expected: String,
        /// The names it is for, the first 100.
        valid_for: Vec<CertificateName>,
        /// How many more there are.
        more: usize,
    },
    /// Its time is over.
    Expired {
        /// Since when.
        not_after: CertificateTime,
        /// The server's own certificate, or one above it.
        whose: Whose,
    },
    /// Its time has not come.
    NotYetValid {
        /// When it does.
        not_before: CertificateTime,
        /// The server's own certificate, or one above it.
        whose: Whose,
    },
    /// No trusted authority vouches for it.
    Untrusted {
        /// Who issued the last certificate on the way up, as a distinguished name.
        issuer: String,
        /// Where the way up ends.
        gap: TrustGap,
    },
    /// The chain can be of no use to anyone, whomever one trusts.
    BadChain {
        /// What is wrong.
        fault: ChainFault,
    },
}

impl CertificateVerdict {
    /// Returns whether it is [`Valid`](Self::Valid).
    pub const fn is_valid(&self) -> bool {
        matches!(self, Self::Valid)
    }

    /// Returns whether it is about a date of the server's own certificate.
    pub(super) const fn is_of_the_server(&self) -> bool {
        matches!(
            self,
            Self::Expired { whose: Whose::Server, .. }
                | Self::NotYetValid { whose: Whose::Server, .. }
        )
    }

    /// Its place in the order of verdicts.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::WrongName { .. } => 0,
            Self::Expired { .. } => 1,
            Self::NotYetValid { .. } => 2,
            Self::Untrusted { .. } => 3,
            Self::BadChain { .. } => 4,
            Self::Valid => 5,
        }
    }
}

impl fmt::Display for CertificateVerdict {
    /// Writes what is wrong, and what to do about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::WrongName { expected, valid_for, more } => {
                write!(f, "the certificate is for {}, ", Names(valid_for, *more))?;
                write!(f, "not for {expected}: let the server show one for {expected}")
            }
            Self::Expired { not_after, whose: Whose::Server } => {
                write!(f, "the certificate ran out at {not_after}: renew it, and reload the server")
            }
            Self::Expired { not_after, whose: Whose::Issuer } => write!(
                f,
                "a certificate above the server's ran out at {not_after}: let the server show its \
                 issuer's present chain"
            ),
            Self::NotYetValid { not_before, whose: Whose::Server } => {
                write!(f, "the certificate holds only from {not_before}: compare the clocks")
            }
            Self::NotYetValid { not_before, whose: Whose::Issuer } => write!(
                f,
                "a certificate above the server's holds only from {not_before}: compare the clocks"
            ),
            Self::Untrusted { issuer, gap } => match gap {
                TrustGap::SelfSigned => write!(
                    f,
                    "the certificate is self-signed ({issuer}): get one from an authority that \
                     others trust"
                ),
                TrustGap::IssuerMissing => write!(
                    f,
                    "the chain breaks off below {issuer}, which is neither shown nor trusted: let \
                     the server show the intermediate certificates too"
                ),
                TrustGap::UnknownRoot => write!(
                    f,
                    "the chain ends at {issuer}, which is not trusted: get a certificate from an \
                     authority that others trust"
                ),
                TrustGap::OtherKey => write!(
                    f,
                    "the chain ends at {issuer}; an authority of that name is trusted, but the \
                     signature is not by its key: let the server show the chain that came with its \
                     certificate, or compare the roots"
                ),
            },
            Self::BadChain { fault } => write!(f, "{fault}"),
        }
    }
}

/// Which certificate of a chain is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Whose {
    /// The server's own.
    Server,
    /// One above it.
    Issuer,
}

/// Where the way from a certificate up to a trusted authority ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrustGap {
    /// The server's certificate names itself as its issuer.
    SelfSigned,
    /// The issuer is neither among the certificates shown nor trusted: most often the intermediate
    /// certificate was left out.
    IssuerMissing,
    /// It ends at a root certificate that is shown but not trusted.
    UnknownRoot,
    /// An authority of that name is trusted, but with another key than the one that signed.
    OtherKey,
}

/// Why a chain can be of no use to anyone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChainFault {
    /// No certificate was shown.
    #[error("the server shows no certificate: give it one")]
    Empty,
    /// The server's certificate, or one above it, cannot be read as X.509 version 3, or says what
    /// must be understood and is not.
    #[error("a certificate cannot be read ({detail}): have it issued anew")]
    Unreadable {
        /// What is wrong, in the words of the library.
        detail: String,
    },
    /// It is not meant for TLS servers: its extended key usage leaves them out (RFC 5280 section
    /// 4.2.1.12).
    #[error(
        "the certificate is not for TLS servers: get one whose extended key usage has serverAuth"
    )]
    WrongPurpose,
    /// An authority above it may not vouch for such names (RFC 5280 section 4.2.1.10).
    #[error(
        "an authority of the chain may not vouch for this name: get a certificate from another"
    )]
    NameConstraint,
    /// The server's certificate is not signed by what is shown as its issuer's.
    #[error(
        "the certificate is not signed by what is shown as its issuer's: let the server show the \
         chain that came with its certificate"
    )]
    BadSignature,
    /// The provider does not verify signatures of this kind.
    #[error(
        "a signature in the chain is {signature}, which the crypto provider does not take: get a \
         certificate that is signed otherwise"
    )]
    UnsupportedSignature {
        /// Its algorithm, and the kind of key where that matters: `ECDSA with SHA-512 by a key on
        /// P-256`.
        signature: String,
    },
    /// The provider verifies no handshake with a key of this kind or size, such as RSA with 1024 bits.
    #[error(
        "the server's key is {key}, which the crypto provider does not take: get a certificate for \
         another, such as ECDSA P-256 or RSA 2048"
    )]
    UnsupportedKey {
        /// Its kind and size: `ECDSA P-521`.
        key: String,
    },
    /// The server shows an authority's certificate as its own (RFC 5280 section 4.2.1.9).
    #[error(
        "the server shows an authority's certificate (CA:TRUE) as its own: have one issued that is \
         not for an authority"
    )]
    AuthorityAsServer,
    /// A certificate that is no authority's has signed another, or there are more authorities below
    /// one than it allows (RFC 5280 section 4.2.1.9).
    #[error(
        "a certificate of the chain may not issue the one below it: let the server show the chain \
         that came with its certificate"
    )]
    NotAnAuthority,
    /// A key is known to be in wrong hands.
    #[error("a key in the chain is in wrong hands: get a certificate for a new key")]
    Distrusted,
    /// There are more ways through the chain than are tried.
    #[error("the chain is a maze: let the server show only what it needs")]
    TooComplex,
    /// There are more certificates between the server's and a trusted one than are followed.
    #[error(
        "the chain is too long: at most {most} intermediate certificates are taken between the \
         server's and a trusted root"
    )]
    TooDeep {
        /// How many are followed.
        most: usize,
    },
    /// More certificates were shown than are looked at, and those do not suffice.
    #[error(
        "{presented} certificates are shown, of which {used} were looked at: let the server show \
         only what it needs"
    )]
    TooLong {
        /// How many were shown.
        presented: usize,
        /// How many of them were looked at.
        used: usize,
    },
    /// Something else.
    #[error("the chain does not hold: {detail}")]
    Other {
        /// In the words of the library.
        detail: String,
    },
}

/// A verdict with all that it rests on.
///
/// ```
/// use matrix_delegation::certificate::CertificateReport;
///
/// let report: CertificateReport = serde_json::from_str(r#"{
///     "verdict": {"status": "expired", "not_after": "2026-01-31T12:00:00Z", "whose": "server"},
///     "also": [], "presented": 2, "certificate": null
/// }"#)?;
/// assert!(!report.is_valid());
/// assert!(report.to_string().contains("ran out at 2026-01-31T12:00:00Z"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateReport {
    /// The verdict.
    pub verdict: CertificateVerdict,
    /// What is wrong besides, as far as it could be found out, in the order of verdicts.
    pub also: Vec<CertificateVerdict>,
    /// How many certificates the server showed.
    pub presented: usize,
    /// The server's own; `None` where it showed none that could be read.
    pub certificate: Option<CertificateDetails>,
}

impl CertificateReport {
    /// Judges by these problems, in any order; valid without one.
    pub(super) fn new(
        mut problems: Vec<CertificateVerdict>,
        presented: usize,
        certificate: Option<CertificateDetails>,
    ) -> Self {
        problems.sort_by_key(CertificateVerdict::rank);
        problems.dedup();
        let mut problems = problems.into_iter();
        let verdict = problems.next().unwrap_or(CertificateVerdict::Valid);
        Self { verdict, also: problems.collect(), presented, certificate }
    }

    /// Returns whether the verdict is [`CertificateVerdict::Valid`].
    pub const fn is_valid(&self) -> bool {
        self.verdict.is_valid()
    }

    /// Returns everything that is wrong, the verdict first.
    pub fn problems(&self) -> impl Iterator<Item = &CertificateVerdict> {
        std::iter::once(&self.verdict).chain(&self.also).filter(|it| !it.is_valid())
    }
}

impl fmt::Display for CertificateReport {
    /// Writes one line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, std::iter::once(&self.verdict).chain(&self.also), "; besides, ")
    }
}
