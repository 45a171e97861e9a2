//! A host that can be connected to: an IP address or a name for DNS.

use std::fmt;
use std::net::IpAddr;

use rustls_pki_types::ServerName as TlsName;
use serde::{Deserialize, Serialize};

use crate::core::names::dns_name::DnsName;

/// A host that can be connected to.
///
/// Displays as in a URL: IPv6 addresses in brackets.
///
/// ```
/// use matrix_delegation::names::Host;
///
/// assert_eq!(Host::Ip("2001:db8::7".parse()?).to_string(), "[2001:db8::7]");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// An IP literal.
    Ip(IpAddr),
    /// A name.
    Dns(DnsName),
}

impl Host {
    /// Returns the name, if it is one.
    pub const fn as_dns(&self) -> Option<&DnsName> {
        match self {
            Self::Ip(_) => None,
            Self::Dns(name) => Some(name),
        }
    }

    /// Returns the address, if it is one.
    pub const fn as_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Dns(_) => None,
        }
    }

    /// Returns the name that a certificate for this host carries.
    pub fn tls_name(&self) -> TlsName<'_> {
        match self {
            Self::Ip(address) => TlsName::IpAddress((*address).into()),
            // Every host name is a TLS name: letters, digits, hyphens, underscores and dots within
            // DNS's lengths. The fallback is never used; it is an address that no certificate can
            // carry.
            Self::Dns(name) => TlsName::try_from(name.as_str()).unwrap_or_else(|_| {
                TlsName::IpAddress(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED).into())
            }),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<DnsName> for Host {
    fn from(name: DnsName) -> Self {
        Self::Dns(name)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Dns(name) => write!(f, "{name}"),
        }
    }
}
