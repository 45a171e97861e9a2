//! Certificates, good and bad, and what is said of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod agreement;
mod authority;
mod chains;
#[cfg(feature = "hyper")]
mod dropped;
mod hostile;
mod names;
#[cfg(feature = "hyper")]
mod network;
#[cfg(feature = "hyper")]
#[path = "../support/polled.rs"]
mod polled;
mod times;

use std::time::Duration;

use matrix_delegation::certificate::{
    CertificateName, CertificateReport, CertificateVerdict, ChainFault, TrustGap, Whose,
};
use matrix_delegation::time::Now;
use matrix_delegation::{CertificateCheck, DelegationTarget, FixedTarget};
use rcgen::{CertificateParams, date_time_ymd};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};

use authority::{Authority, params};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    rustls::crypto::ring::default_provider().signature_verification_algorithms.all
}

fn target(name: &str) -> DelegationTarget {
    let fixed = FixedTarget::new(["192.0.2.7:8448".parse().unwrap()]).unwrap();
    fixed.target(&name.parse().unwrap(), Now::EPOCH).unwrap()
}

/// Judges a chain for this server name, now, trusting this authority.
fn judge(authority: &Authority, chain: &[CertificateDer<'_>], name: &str) -> CertificateReport {
    let check = CertificateCheck::with_roots([authority.root()], algorithms()).unwrap();
    let report = check.judge(chain, &target(name), at(NOW));
    // Whatever is said can be stored and read again, and has something to say to people.
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<CertificateReport>(&json).unwrap(), report);
    for text in [report.to_string(), json] {
        assert!(!text.chars().any(|it| it.is_control() || it == '\u{202e}'), "{text:?}");
    }
    report
}

/// Judges one certificate with these names.
fn judged_for(names: &[&str], name: &str) -> CertificateReport {
    let authority = Authority::new("root");
    judge(&authority, &[authority.issue(&params(names))], name)
}

fn dns(names: &[&str]) -> Vec<CertificateName> {
    names.iter().map(|it| CertificateName::Dns((*it).to_owned())).collect()
}

fn bad(fault: ChainFault) -> CertificateVerdict {
    CertificateVerdict::BadChain { fault }
}
