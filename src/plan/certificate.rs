//! Names that certificates carry.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::names::{DnsName, Host, NotAHostName};
use crate::core::text::string_conversions;

/// A name that a certificate carries or is to carry, to plan with: a `dNSName` or an `iPAddress`
/// (RFC 9525 section 2) that a host can have.
///
/// The names that a check finds in a server's certificate, valid or not, are `CertificateName`s in
/// module `certificate` (feature `certificate`); `TryFrom` converts them into this type.
///
/// A wildcard matches one whole label, the leftmost one (RFC 9525 section 6.3): `*.example.org`
/// matches `matrix.example.org`, but neither `example.org` nor `a.b.example.org`.
///
/// ```
/// use matrix_delegation::names::Host;
/// use matrix_delegation::plan::NamePattern;
///
/// let name: NamePattern = "*.Example.org".parse()?;
/// let covers = |host: &str| host.parse().map(|host| name.covers(&Host::Dns(host)));
/// assert_eq!(covers("matrix.example.org"), Ok(true));
/// assert_eq!(covers("example.org"), Ok(false));
/// assert_eq!(covers("a.b.example.org"), Ok(false));
/// # Ok::<(), matrix_delegation::plan::NamePatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NamePattern {
    /// One DNS name.
    Dns(DnsName),
    /// Every name one label below this one. A wildcard that is parsed has at least two labels,
    /// since common verifiers refuse one right below a top-level domain.
    Wildcard(DnsName),
    /// An IP address.
    Ip(IpAddr),
}

/// Why a text is not a name that a certificate can carry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NamePatternError {
    /// `*` is not the whole leftmost label.
    #[error("a wildcard is the whole leftmost label and nothing else, as in *.example.org")]
    Wildcard,
    /// The wildcard is right below a top-level domain.
    #[error(
        "a wildcard right below a top-level domain is refused by those who verify; name the host \
         or use *.example.org"
    )]
    WildcardTooWide,
    /// The text is neither a host name nor an IP address.
    #[error("neither an IP address nor a name of DNS such as matrix.example.org")]
    NotAHostName(#[source] NotAHostName),
}

impl NamePattern {
    /// Returns whether a certificate with this name is valid for the host.
    ///
    /// An IP address needs an `iPAddress` with the same bytes; DNS names are compared without
    /// regard to letter case (RFC 9525 sections 6.3 and 6.4).
    pub fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Dns(name), Host::Dns(host)) => name == host,
            (Self::Wildcard(parent), Host::Dns(host)) => host
                .as_str()
                .split_once('.')
                .is_some_and(|(_, rest)| rest == parent.as_str() && rest.contains('.')),
            (Self::Ip(address), Host::Ip(host)) => address == host,
            _ => false,
        }
    }
}

impl From<Host> for NamePattern {
    fn from(host: Host) -> Self {
        match host {
            Host::Ip(address) => Self::Ip(address),
            Host::Dns(name) => Self::Dns(name),
        }
    }
}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    /// Parses `matrix.example.org`, `*.example.org`, `192.0.2.7`, `2001:db8::7` or, as in server
    /// names, `[2001:db8::7]`.
    fn from_str(text: &str) -> Result<Self, NamePatternError> {
        let bracketed = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        if let Some(Ok(address)) = bracketed.map(str::parse) {
            return Ok(Self::Ip(IpAddr::V6(address)));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        Self::of_dns_name(text)
    }
}

impl NamePattern {
    /// Reads a `dNSName`. One that looks like an address is neither an address nor a host's name
    /// (RFC 9525 section 6.4).
    pub(crate) fn of_dns_name(text: &str) -> Result<Self, NamePatternError> {
        let parent = text.strip_prefix("*.");
        let name = parent.unwrap_or(text);
        if name.contains('*') {
            return Err(NamePatternError::Wildcard);
        }
        let name: DnsName = name.parse().map_err(NamePatternError::NotAHostName)?;
        match parent {
            Some(_) if name.as_str().contains('.') => Ok(Self::Wildcard(name)),
            Some(_) => Err(NamePatternError::WildcardTooWide),
            None => Ok(Self::Dns(name)),
        }
    }
}

string_conversions!(NamePattern);

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "{name}"),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_the_same() {
        for text in ["matrix.example.org", "*.example.org", "192.0.2.7", "2001:db8::7", "a"] {
            let name: NamePattern = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<NamePattern>(&json).unwrap(), name);
        }
        assert_eq!("[2001:DB8::7]".parse(), "2001:db8::7".parse::<NamePattern>());
    }

    #[test]
    fn what_no_certificate_carries_is_refused() {
        use NamePatternError::{NotAHostName as Bad, Wildcard, WildcardTooWide};
        for (text, error) in [
            ("*", Wildcard),
            ("*.*.example.org", Wildcard),
            ("m*.example.org", Wildcard),
            ("a.*.org", Wildcard),
            ("*.org", WildcardTooWide),
            ("", Bad(NotAHostName::Empty)),
            ("*.", Bad(NotAHostName::Empty)),
            ("a b", Bad(NotAHostName::Character)),
            ("127.1", Bad(NotAHostName::LooksLikeAnAddress)),
            ("[192.0.2.7]", Bad(NotAHostName::Character)),
            ("[2001:db8::7", Bad(NotAHostName::Character)),
            ("example.org.", Bad(NotAHostName::TrailingDot)),
            ("example.org\n", Bad(NotAHostName::Character)),
        ] {
            assert_eq!(text.parse::<NamePattern>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn coverage_is_that_of_rfc_9525() {
        for (name, host, covers) in [
            ("a.example.org", "A.example.org", true),
            ("a.example.org", "b.example.org", false),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "aexample.org", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.7", "a.example.org", false),
            ("2001:db8::7", "[2001:DB8:0::7]", true),
            ("a.example.org", "192.0.2.7", false),
        ] {
            let certificate: NamePattern = name.parse().unwrap();
            let host = crate::ServerName::parse(host).unwrap().to_host().unwrap();
            assert_eq!(certificate.covers(&host), covers, "{name} {host}");
        }
    }
}
