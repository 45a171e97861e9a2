//! TLS for applications without a configuration of their own: trusted roots and a crypto provider.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::CertificateResult;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use thiserror::Error;

/// The certificate authorities whose certificates are accepted.
///
/// ```
/// use matrix_delegation::TrustedRoots;
///
/// # let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
/// let roots = TrustedRoots::platform().with_pem(pem.as_bytes())?;
/// # Ok::<(), matrix_delegation::transport::TlsSetupError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TrustedRoots {
    platform: Platform,
    added: Vec<CertificateDer<'static>>,
}

#[derive(Clone, Copy, Debug)]
enum Platform {
    Trusted,
    Ignored,
}

impl TrustedRoots {
    /// Trusts the platform's roots, which are read when the TLS configuration is built. If there are
    /// none, that is an error unless others are added.
    ///
    /// On Unix, the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the usual places.
    pub fn platform() -> Self {
        Self { platform: Platform::Trusted, added: Vec::new() }
    }

    /// Trusts only the roots that are added.
    pub fn only_added() -> Self {
        Self { platform: Platform::Ignored, added: Vec::new() }
    }

    /// Adds this certificate, in DER.
    pub fn with_certificate(mut self, certificate: CertificateDer<'static>) -> Self {
        self.added.push(certificate);
        self
    }

    /// Adds every certificate in this PEM text; other PEM sections are ignored.
    ///
    /// # Errors
    ///
    /// If the PEM is broken or holds no certificate.
    pub fn with_pem(mut self, pem: &[u8]) -> Result<Self, TlsSetupError> {
        self.add_pem(pem).map_err(|error| TlsSetupError::Pem { source: Arc::new(error) })?;
        Ok(self)
    }

    /// Adds every certificate in this PEM file; other PEM sections are ignored. Blocks.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or its PEM is broken or holds no certificate.
    pub fn with_pem_file(mut self, path: impl AsRef<Path>) -> Result<Self, TlsSetupError> {
        let path = path.as_ref();
        let pem = std::fs::read(path).map_err(|error| {
            let source = Arc::new(error);
            TlsSetupError::UnreadableFile { path: path.to_owned(), source }
        })?;
        self.add_pem(&pem).map_err(|error| {
            let source = Arc::new(error);
            TlsSetupError::PemFile { path: path.to_owned(), source }
        })?;
        Ok(self)
    }

    fn add_pem(&mut self, pem: &[u8]) -> Result<(), pem::Error> {
        let before = self.added.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            self.added.push(certificate?);
        }
        if self.added.len() == before { Err(pem::Error::NoItemsFound) } else { Ok(()) }
    }

    /// Builds a configuration that trusts these roots, for TLS 1.2 and 1.3, without a client
    /// certificate. Blocks while it reads the platform's roots.
    pub(crate) fn client_config(self) -> Result<ClientConfig, TlsSetupError> {
        let roots = self.root_store()?;
        Ok(ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|source| TlsSetupError::Provider { source })?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }

    /// Reads the roots. Blocks while it reads the platform's.
    pub(crate) fn root_store(self) -> Result<RootCertStore, TlsSetupError> {
        match self.platform {
            Platform::Trusted => self.store(rustls_native_certs::load_native_certs()),
            Platform::Ignored => self.store(CertificateResult::default()),
        }
    }

    fn store(self, platform: CertificateResult) -> Result<RootCertStore, TlsSetupError> {
        let mut store = RootCertStore::empty();
        // Platforms carry certificates that rustls cannot read; those it can are enough.
        store.add_parsable_certificates(platform.certs);
        for certificate in self.added {
            store.add(certificate).map_err(|source| TlsSetupError::Certificate { source })?;
        }
        if store.is_empty() {
            let problems = platform.errors.iter().map(ToString::to_string).collect();
            return Err(TlsSetupError::NoRoots { problems });
        }
        Ok(store)
    }
}

/// Returns the crypto provider of the feature that is on. It is passed explicitly, because the
/// process's default provider belongs to the application.
pub(crate) fn provider() -> CryptoProvider {
    #[cfg(feature = "ring")]
    return rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "ring"))]
    return rustls::crypto::aws_lc_rs::default_provider();
}

/// Why no TLS configuration could be built.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// There are no roots: none of the platform's could be read, and none were added.
    #[error("no trusted root certificates{}", list(.problems))]
    NoRoots {
        /// What went wrong where the platform's roots were looked for.
        problems: Vec<String>,
    },
    /// A file of certificates could not be read.
    #[error("cannot read certificates from {}", .path.display())]
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A file holds no certificates in PEM.
    #[error("{} holds no certificates in PEM", .path.display())]
    PemFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<pem::Error>,
    },
    /// A text holds no certificates in PEM.
    #[error("no certificates in PEM")]
    Pem {
        /// Why.
        source: Arc<pem::Error>,
    },
    /// An added certificate cannot be a trusted root.
    #[error("a certificate cannot be trusted as a root")]
    Certificate {
        /// Why.
        source: rustls::Error,
    },
    /// The crypto provider can do neither TLS 1.2 nor 1.3.
    #[error("the crypto provider cannot do TLS 1.2 and 1.3")]
    Provider {
        /// Why.
        source: rustls::Error,
    },
}

fn list(problems: &[String]) -> String {
    if problems.is_empty() { String::new() } else { format!(": {}", problems.join("; ")) }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    fn root() -> CertificateDer<'static> {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn platform(certificates: Vec<CertificateDer<'static>>) -> CertificateResult {
        let mut platform = CertificateResult::default();
        platform.certs = certificates;
        platform
    }

    #[test]
    fn a_platform_without_roots_is_an_error() {
        let error = TrustedRoots::platform().store(platform(vec![])).unwrap_err();
        assert!(matches!(error, TlsSetupError::NoRoots { .. }), "{error:?}");
        // What cannot be read is as good as absent.
        let junk = CertificateDer::from(vec![1, 2, 3]);
        TrustedRoots::platform().store(platform(vec![junk])).unwrap_err();
    }

    #[test]
    fn unless_roots_were_added() {
        let roots = TrustedRoots::platform().with_certificate(root());
        assert_eq!(roots.store(platform(vec![])).unwrap().len(), 1);
    }

    #[test]
    fn added_roots_stand_beside_the_platforms() {
        let roots = TrustedRoots::platform().with_certificate(root());
        assert_eq!(roots.store(platform(vec![root(), root()])).unwrap().len(), 3);
    }

    #[test]
    fn an_added_certificate_must_be_one() {
        let roots = TrustedRoots::only_added().with_certificate(CertificateDer::from(vec![1]));
        let error = roots.client_config().unwrap_err();
        assert!(matches!(error, TlsSetupError::Certificate { .. }), "{error:?}");
    }

    #[test]
    fn no_roots_at_all_is_an_error() {
        let error = TrustedRoots::only_added().client_config().unwrap_err();
        assert_eq!(error.to_string(), "no trusted root certificates");
    }

    #[test]
    fn pem_without_certificates_is_an_error() {
        let key = KeyPair::generate().unwrap().serialize_pem();
        for text in ["", "no PEM", &key, "-----BEGIN CERTIFICATE-----\nMAA="] {
            let error = TrustedRoots::only_added().with_pem(text.as_bytes()).unwrap_err();
            assert!(matches!(error, TlsSetupError::Pem { .. }), "{text}: {error:?}");
        }
        let error = TrustedRoots::platform().with_pem_file("/no/such/file").unwrap_err();
        assert!(matches!(error, TlsSetupError::UnreadableFile { .. }), "{error:?}");
    }
}
