//! A verifier that keeps its verdict. It lets nothing through that is not valid.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName as TlsName, UnixTime};

use crate::certificate::check::CertificateCheck;
use crate::certificate::verdict::{CertificateReport, CertificateVerdict, ChainFault};

/// Judges the chain of one handshake, and refuses it unless it is valid. That the server holds the
/// key of its certificate is verified as rustls does it, once the certificate passed.
#[derive(Debug)]
pub(super) struct RecordingVerifier {
    pub(super) check: Arc<CertificateCheck>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// What it judged, if the handshake came so far.
    pub(super) seen: OnceLock<CertificateReport>,
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &TlsName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented: Vec<_> =
            std::iter::once(own).chain(above).map(|it| CertificateDer::from(it.as_ref())).collect();
        let report = self.check.judge_for(&presented, name, now);
        let verdict = refusal(&report.verdict);
        // A second chain in one handshake would be a mistake of rustls; the first is what counts.
        if self.seen.set(report).is_err() {
            return Err(Error::General("the certificates were judged before".to_owned()));
        }
        match verdict {
            None => Ok(ServerCertVerified::assertion()),
            Some(refusal) => Err(Error::InvalidCertificate(refusal)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Returns why the handshake is refused, from which rustls takes the alert that the server sees in
/// its log; `None` if it is not.
fn refusal(verdict: &CertificateVerdict) -> Option<CertificateError> {
    Some(match verdict {
        CertificateVerdict::Valid => return None,
        CertificateVerdict::WrongName { .. } => CertificateError::NotValidForName,
        CertificateVerdict::Expired { .. } => CertificateError::Expired,
        CertificateVerdict::NotYetValid { .. } => CertificateError::NotValidYet,
        CertificateVerdict::Untrusted { .. } => CertificateError::UnknownIssuer,
        CertificateVerdict::BadChain { fault: ChainFault::WrongPurpose } => {
            CertificateError::InvalidPurpose
        }
        CertificateVerdict::BadChain { fault: ChainFault::BadSignature } => {
            CertificateError::BadSignature
        }
        CertificateVerdict::BadChain { .. } => CertificateError::BadEncoding,
    })
}
