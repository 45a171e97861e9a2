//! What came of a handshake with one address.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::certificate::verdict::{CertificateReport, CertificateVerdict};

/// What came of a handshake with one address of a target.
///
/// ```
/// use matrix_delegation::certificate::{AddressCheck, CheckStatus};
///
/// let check: AddressCheck = serde_json::from_str(r#"{
///     "endpoint": "fed.example:8448", "address": "192.0.2.7:8448", "status": "unreachable",
///     "tls_version": null, "alpn": null, "report": null, "detail": "connection refused"
/// }"#)?;
/// assert_eq!(check.status, CheckStatus::Unreachable);
/// assert_eq!(check.to_string(), "192.0.2.7:8448: unreachable: connection refused");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddressCheck {
    /// The host and port of the endpoint, the first of those with this address.
    pub endpoint: String,
    /// The address; `None` where a proxy looked the host up.
    pub address: Option<SocketAddr>,
    /// All in one word.
    pub status: CheckStatus,
    /// The version of TLS that the server chose, with a bad certificate too; `None` where it did
    /// not come so far.
    pub tls_version: Option<TlsVersion>,
    /// The protocol that the server chose by ALPN, with a bad certificate too: `h2` or `http/1.1`;
    /// `None` where it chose none, or did not come so far.
    pub alpn: Option<String>,
    /// What the certificates are worth; `None` where none were shown.
    pub report: Option<CertificateReport>,
    /// Why there was no connection or no handshake, where the certificates are not why.
    pub detail: Option<String>,
}

impl fmt::Display for AddressCheck {
    /// Writes one line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}: {}", self.status)?,
            None => write!(f, "{}: {}", self.endpoint, self.status)?,
        }
        let version = self.tls_version.map(|version| version.to_string());
        let spoken: Vec<_> = version.iter().chain(&self.alpn).map(String::as_str).collect();
        if !spoken.is_empty() {
            write!(f, " ({})", spoken.join(", "))?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        match &self.report {
            Some(report) if !report.is_valid() => write!(f, ": {report}"),
            _ => Ok(()),
        }
    }
}

/// What came of a handshake, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckStatus {
    /// The handshake came about, with a certificate that is [`CertificateVerdict::Valid`].
    Valid,
    /// [`CertificateVerdict::WrongName`].
    WrongName,
    /// [`CertificateVerdict::Expired`].
    Expired,
    /// [`CertificateVerdict::NotYetValid`].
    NotYetValid,
    /// [`CertificateVerdict::Untrusted`].
    Untrusted,
    /// There is a connection, but no handshake can come of it: no TLS is spoken, nothing is said in
    /// time, no version is shared, the server does not hold the key of its certificate, or its chain
    /// is of no use to anyone ([`CertificateVerdict::BadChain`]).
    HandshakeFailed,
    /// There is no connection.
    Unreachable,
}

impl CheckStatus {
    /// Returns the status of a refused certificate.
    pub(super) const fn of(verdict: &CertificateVerdict) -> Self {
        match verdict {
            CertificateVerdict::Valid => Self::Valid,
            CertificateVerdict::WrongName { .. } => Self::WrongName,
            CertificateVerdict::Expired { .. } => Self::Expired,
            CertificateVerdict::NotYetValid { .. } => Self::NotYetValid,
            CertificateVerdict::Untrusted { .. } => Self::Untrusted,
            CertificateVerdict::BadChain { .. } => Self::HandshakeFailed,
        }
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::WrongName => "wrong name",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::Untrusted => "untrusted",
            Self::HandshakeFailed => "handshake failed",
            Self::Unreachable => "unreachable",
        })
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

impl TlsVersion {
    pub(super) const fn of(version: rustls::ProtocolVersion) -> Option<Self> {
        match version {
            rustls::ProtocolVersion::TLSv1_2 => Some(Self::Tls12),
            rustls::ProtocolVersion::TLSv1_3 => Some(Self::Tls13),
            _ => None,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}
