//! What stands in a certificate, for people. Nothing here decides anything.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED448, OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::text::{shown, shown_name};
use super::time::CertificateTime;
use crate::core::text::{string_conversions, write_list};

/// The most names of a certificate that are kept, which is the most that Let's Encrypt puts in.
pub(super) const MOST_NAMES: usize = 100;
/// The most parts of a distinguished name that are kept; real ones have about 5.
const MOST_PARTS: usize = 16;
/// Longer object identifiers than this, in bytes, are not spelled out; real ones have about 10.
const LONGEST_OID: usize = 64;

/// What stands in a server's certificate.
///
/// It says so of itself: as long as the verdict is not
/// [`CertificateVerdict::Valid`](crate::certificate::CertificateVerdict::Valid), anyone may have
/// written it. Texts are cut at 255 characters; what a terminal would act on is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateDetails {
    /// SHA-256 of all of it.
    pub fingerprint: Fingerprint,
    /// Whose it is, as a distinguished name. No part of it counts as a name of the server, the
    /// common name neither (RFC 9525 section 2).
    pub subject: String,
    /// Who issued it, as a distinguished name.
    pub issuer: String,
    /// Which hosts it is for: the first 100 DNS names and IP addresses of its `subjectAltName`.
    pub names: Vec<CertificateName>,
    /// How many more there are.
    pub more_names: usize,
    /// From when it holds.
    pub not_before: CertificateTime,
    /// Until when it holds.
    pub not_after: CertificateTime,
    /// Its public key.
    pub key: CertificateKey,
}

impl CertificateDetails {
    /// Reads a certificate; `None` if it cannot be read.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let alternatives = read.iter_extensions().filter_map(|it| match it.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
        let mut all = alternatives.flatten().filter_map(CertificateName::read);
        let names = all.by_ref().take(MOST_NAMES).collect();
        Some(Self {
            fingerprint: Fingerprint::of(der),
            subject: distinguished(read.subject()),
            issuer: distinguished(read.issuer()),
            names,
            more_names: all.count(),
            not_before: CertificateTime::from_unix_seconds(read.validity().not_before.timestamp()),
            not_after: CertificateTime::from_unix_seconds(read.validity().not_after.timestamp()),
            key: CertificateKey::read(read.public_key()),
        })
    }

    /// Returns the issuer alone, as text.
    pub(super) fn issuer_of(der: &[u8]) -> String {
        match X509Certificate::from_der(der) {
            Ok((_, read)) => distinguished(read.issuer()),
            Err(_) => "an issuer whose name cannot be read".to_owned(),
        }
    }
}

impl fmt::Display for CertificateDetails {
    /// Writes one line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for {}", Names(&self.names, self.more_names))?;
        write!(f, "; {} until {}", self.not_before, self.not_after)?;
        write!(f, "; issued by {}; {}; SHA-256 {}", self.issuer, self.key, self.fingerprint)
    }
}

/// A host that a certificate is for, as a check found it there: anyone may have written it, and it
/// need not be a name that any host can have.
///
/// To plan with such names (feature `plan`), `plan::NamePattern` can be made of it by `TryFrom`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CertificateName {
    /// A `dNSName` as it stands there, perhaps with a wildcard. It counts for names only: one that
    /// reads like an IP address does not make the certificate one for that address (RFC 9525
    /// section 6.4).
    Dns(String),
    /// An `iPAddress`.
    Ip(IpAddr),
}

impl CertificateName {
    fn read(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Dns(shown_name(name.as_bytes()))),
            // A `dNSName` that is not even text; its tag says what it was meant to be.
            GeneralName::Invalid(tag, bytes) if tag.0 == 2 => Some(Self::Dns(shown_name(bytes))),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                v4.or(v6).ok().map(Self::Ip)
            }
            _ => None,
        }
    }
}

/// The names of a certificate that is there already, for a plan.
///
/// ```
/// use matrix_delegation::CertificateCheck;
/// use matrix_delegation::plan::{NamePattern, Setup};
/// # use std::time::Duration;
/// # use rustls_pki_types::{ServerName, UnixTime};
///
/// # let issued = rcgen::generate_simple_self_signed(["*.example.org".into(), "a b".into()])?;
/// # let presented = issued.cert.der().clone();
/// # let provider = rustls::crypto::ring::default_provider();
/// # let algorithms = provider.signature_verification_algorithms.all;
/// # let check = CertificateCheck::with_roots([presented.clone()], algorithms)?;
/// # let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
/// # let name = ServerName::try_from("matrix.example.org")?;
/// let report = check.judge_for(&[presented], &name, now);
/// let certificate = report.certificate.ok_or("it cannot be read")?;
/// // What no host can have is of no use to a plan.
/// let names = certificate.names.iter().filter_map(|name| NamePattern::try_from(name).ok());
/// let plan = Setup::new("example.org".parse()?, "matrix.example.org:443".parse()?)
///     .with_certificate_names(names)
///     .plan();
/// assert!(plan.recommended().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "plan")]
impl TryFrom<&CertificateName> for crate::plan::NamePattern {
    type Error = crate::plan::NamePatternError;

    /// # Errors
    ///
    /// If no host can have the name, or if those who verify refuse it: an address as a `dNSName`, a
    /// wildcard in the wrong place, text that was escaped or cut.
    fn try_from(name: &CertificateName) -> Result<Self, Self::Error> {
        match name {
            CertificateName::Dns(name) => Self::of_dns_name(name),
            CertificateName::Ip(address) => Ok(Self::Ip(*address)),
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What reads like an address is none.
            Self::Dns(name) if name.parse::<IpAddr>().is_ok() => write!(f, "DNS name {name}"),
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => write!(f, "IP address {address}"),
        }
    }
}

/// A list of names, and how many more there are.
pub(super) struct Names<'a>(pub(super) &'a [CertificateName], pub(super) usize);

/// As many names as a line for people takes.
const IN_A_LINE: usize = 8;

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, more) = self;
        if names.is_empty() {
            return f
                .write_str("no host (no subjectAltName has one; a common name does not count)");
        }
        write_list(f, names.iter().take(IN_A_LINE), ", ")?;
        match names.len().saturating_sub(IN_A_LINE).saturating_add(*more) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What kind of public key a certificate carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CertificateKey {
    /// RSA, with the number of bits in its modulus.
    Rsa {
        /// How many.
        bits: usize,
    },
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
    /// Another, by its object identifier; of elliptic curves the curve's.
    Other {
        /// Such as `1.2.840.10040.4.1`.
        oid: String,
    },
}

impl CertificateKey {
    fn read(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = &key.algorithm.algorithm;
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let modulus = match key.parsed() {
                Ok(PublicKey::RSA(key)) => key.modulus,
                _ => &[],
            };
            let leading = modulus.iter().take_while(|byte| **byte == 0).count();
            let zeros = modulus.get(leading).map_or(0, |byte| byte.leading_zeros() as usize);
            return Self::Rsa { bits: (modulus.len() - leading) * 8 - zeros };
        }
        if *algorithm == OID_SIG_ED25519 {
            return Self::Ed25519;
        }
        if *algorithm == OID_SIG_ED448 {
            return Self::Ed448;
        }
        if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return Self::Other { oid: spelled(algorithm) };
        }
        let curve = key.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
        match curve {
            Some(curve) if curve == OID_EC_P256 => Self::EcdsaP256,
            Some(curve) if curve == OID_NIST_EC_P384 => Self::EcdsaP384,
            Some(curve) if curve == OID_NIST_EC_P521 => Self::EcdsaP521,
            curve => Self::Other { oid: spelled(curve.as_ref().unwrap_or(algorithm)) },
        }
    }
}

impl fmt::Display for CertificateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::EcdsaP521 => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Ed448 => f.write_str("Ed448"),
            Self::Other { oid } => write!(f, "a key of kind {oid}"),
        }
    }
}

/// SHA-256 of a certificate. Displays and serialises as `openssl x509 -fingerprint` writes it:
/// `AB:CD:...`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Returns the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.0.iter().map(|byte| format!("{byte:02X}")), ":")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 bytes in hexadecimal with colons between them")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Takes lower case, too.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let byte = |part: &str| match part.len() {
            2 if !part.starts_with('+') => u8::from_str_radix(part, 16).ok(),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotAFingerprint)
    }
}

string_conversions!(Fingerprint);

/// Writes a distinguished name in the order in which it stands there: `C=DE, O=Example, CN=R1`.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut parts = Vec::new();
    for part in name.iter_attributes().take(MOST_PARTS) {
        let kind = part.attr_type();
        let kind = oid2abbrev(kind, oid_registry()).map_or_else(|_| spelled(kind), str::to_owned);
        let value = part.as_str().map_or_else(|_| shown_name(part.as_slice()), shown);
        parts.push(format!("{kind}={value}"));
    }
    if parts.is_empty() {
        return "nobody (an empty name)".to_owned();
    }
    shown(&parts.join(", "))
}

/// Names the algorithm of a signature or a key, and of a key on an elliptic curve the curve. `id` is
/// what stands in an `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2).
pub(super) fn algorithm(id: &[u8]) -> String {
    let Ok((parameters, oid)) = Oid::from_der(id) else {
        return "of an algorithm that cannot be read".to_owned();
    };
    let oid = match Oid::from_der(parameters) {
        Ok((_, curve)) if oid == OID_KEY_TYPE_EC_PUBLIC_KEY => curve,
        _ => oid,
    };
    let oid = spelled(&oid);
    match ALGORITHMS.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("of kind {oid}"),
    }
}

/// Algorithms of signatures (RFC 4055, RFC 5758, RFC 8410), kinds of keys, and curves (RFC 5480).
const ALGORITHMS: [(&str, &str); 21] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "RSA with SHA-256"),
    ("1.2.840.113549.1.1.12", "RSA with SHA-384"),
    ("1.2.840.113549.1.1.13", "RSA with SHA-512"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.10045.3.1.7", "ECDSA P-256"),
    ("1.3.132.0.34", "ECDSA P-384"),
    ("1.3.132.0.35", "ECDSA P-521"),
    ("1.3.132.0.10", "ECDSA secp256k1"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
];

/// Writes an object identifier in digits and dots.
fn spelled(oid: &Oid<'_>) -> String {
    if oid.as_bytes().len() > LONGEST_OID {
        return "an overlong object identifier".to_owned();
    }
    shown(&oid.to_id_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_written_as_openssl_does() {
        let fingerprint = Fingerprint::of(b"");
        let text = fingerprint.to_string();
        assert!(
            text.starts_with("E3:B0:C4:42:98:FC:1C:14:") && text.ends_with(":52:B8:55"),
            "{text}"
        );
        assert_eq!(text.to_lowercase().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.as_bytes()[..2], [0xe3, 0xb0]);
        for bad in ["", "E3", &text[3..], &format!("{text}:00"), &text.replace("E3", "+3")] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NotAFingerprint), "{bad}");
        }
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
    }

    #[test]
    fn names_are_listed_as_far_as_a_line_takes_them() {
        let names: Vec<_> =
            (0..10).map(|it| CertificateName::Dns(format!("{it}.example"))).collect();
        let line = Names(&names, 5).to_string();
        assert!(line.starts_with("0.example, 1.example") && line.ends_with("7.example and 7 more"));
        let address = CertificateName::Ip([192, 0, 2, 1].into());
        let looks = CertificateName::Dns("192.0.2.1".to_owned());
        let line = Names(&[address, looks], 0).to_string();
        assert_eq!(line, "IP address 192.0.2.1, DNS name 192.0.2.1");
    }
}
