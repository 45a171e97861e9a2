//! What is said of a server's certificates: verdicts, details and checks (feature `certificate`).
//!
//! [`CertificateCheck`](crate::CertificateCheck) judges a presented chain for a target, without a
//! socket or a clock, and returns a [`CertificateReport`]: a [`CertificateVerdict`] beside the
//! [`CertificateDetails`] for people. With feature `hyper`,
//! [`CertificateProbe`](../struct.CertificateProbe.html) makes a TLS handshake with every address of a
//! target within `ProbeLimits` and returns an `AddressCheck` for each.
//!
//! rustls-webpki alone decides what is valid, exactly as it does for rustls. x509-parser reads the
//! details and decides nothing.
#![deny(clippy::disallowed_methods)]

pub(crate) mod check;
mod details;
#[cfg(feature = "hyper")]
pub(crate) mod probe;
mod text;
mod time;
mod verdict;
mod webpki_error;

pub use self::check::NotARoot;
pub use self::details::{
    CertificateDetails, CertificateKey, CertificateName, Fingerprint, NotAFingerprint,
};
#[cfg(feature = "hyper")]
pub use self::probe::{AddressCheck, CheckStatus, ProbeLimits, TlsVersion};
pub use self::time::{CertificateTime, NotADate};
pub use self::verdict::{CertificateReport, CertificateVerdict, ChainFault, TrustGap, Whose};
