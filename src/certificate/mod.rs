//! Certificates of servers: what is presented judged for a target, without socket or clock; with
//! `hyper`, a handshake with every address of a target.
//!
//! What is valid is what rustls-webpki says is valid, as it says it to rustls. x509-parser reads the
//! details for people and decides nothing.
#![deny(clippy::disallowed_methods)]

mod check;
mod details;
#[cfg(feature = "hyper")]
mod probe;
mod text;
mod time;
mod verdict;
mod webpki_error;

pub use self::check::{CertificateCheck, NotARoot};
pub use self::details::{
    CertificateDetails, CertificateKey, CertificateName, Fingerprint, NotAFingerprint,
};
#[cfg(feature = "hyper")]
pub use self::probe::{AddressCheck, CertificateProbe, CheckStatus, ProbeLimits, TlsVersion};
pub use self::time::{CertificateTime, NotADate};
pub use self::verdict::{CertificateReport, CertificateVerdict, ChainFault, TrustGap, Whose};
