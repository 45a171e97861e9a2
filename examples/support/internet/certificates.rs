//! Certificates, good and bad.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server shows for itself. Names may be IP addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// In order, for these names.
    For(Vec<String>),
    /// For these names, but its time is over.
    Expired(Vec<String>),
    /// For these names, but its time has not come.
    NotYetValid(Vec<String>),
    /// For these names, but signed by an authority that nobody knows.
    OtherAuthority(Vec<String>),
}

impl Certificate {
    /// In order, for one name.
    pub fn of(name: &str) -> Self {
        Self::For(vec![name.to_owned()])
    }

    fn names(&self) -> &[String] {
        match self {
            Self::For(names)
            | Self::Expired(names)
            | Self::NotYetValid(names)
            | Self::OtherAuthority(names) => names,
        }
    }
}

/// Signs certificates.
#[derive(Debug)]
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority's certificate"))
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A configuration that shows this certificate and speaks HTTP/1.1.
    pub(super) fn server_config(
        &self,
        stranger: &Self,
        certificate: &Certificate,
    ) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(certificate.names()).expect("certificate names");
        params.distinguished_name.push(DnType::CommonName, "A server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        match certificate {
            Certificate::Expired(_) => params.not_after = date_time_ymd(2020, 1, 1),
            Certificate::NotYetValid(_) => params.not_before = date_time_ymd(4000, 1, 1),
            Certificate::For(_) | Certificate::OtherAuthority(_) => {}
        }
        let issuer = match certificate {
            Certificate::OtherAuthority(_) => stranger,
            _ => self,
        };
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &issuer.0).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}
