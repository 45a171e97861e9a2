//! Server names from and to other types.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::Authority;
use rustls_pki_types::ServerName as TlsName;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ServerName, ServerNameError, UnresolvableName};
use crate::core::names::dns_name::NotAHostName;
use crate::core::names::host::Host;
use crate::core::text::string_conversions;

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(name: &str) -> Result<Self, ServerNameError> {
        Self::parse(name)
    }
}

impl TryFrom<&[u8]> for ServerName {
    type Error = ServerNameError;

    fn try_from(name: &[u8]) -> Result<Self, ServerNameError> {
        Self::parse(name)
    }
}

string_conversions!(ServerName);

impl AsRef<str> for ServerName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// Returns the host as a certificate carries it, in lower case. This is the name for steps 1 and 2
/// of the server discovery; a delegation may lead to another.
///
/// ```
/// use matrix_delegation::ServerName;
///
/// let name = ServerName::parse("Matrix.example:8448")?;
/// let tls_name = rustls_pki_types::ServerName::try_from(&name)?;
/// assert_eq!(tls_name.to_str(), "matrix.example");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TryFrom<&ServerName> for TlsName<'static> {
    type Error = UnresolvableName;

    fn try_from(name: &ServerName) -> Result<Self, UnresolvableName> {
        Ok(name.to_host()?.tls_name().to_owned())
    }
}

/// Returns host and port as they were written, as `Host` and `:authority` carry them.
///
/// Names that cannot be resolved are refused, although an `Authority` could express them, because
/// an HTTP client connects to the authority that it is given.
///
/// ```
/// use http::uri::Authority;
/// use matrix_delegation::ServerName;
///
/// let authority = Authority::try_from(&ServerName::parse("[2001:DB8::7]:8448")?)?;
/// assert_eq!(authority.as_str(), "[2001:DB8::7]:8448");
/// assert!(Authority::try_from(&ServerName::parse("127.1")?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TryFrom<&ServerName> for Authority {
    type Error = UnresolvableName;

    fn try_from(name: &ServerName) -> Result<Self, UnresolvableName> {
        name.check_host()?;
        // Every server name is an authority (RFC 3986 section 3.2), so that this cannot fail.
        Self::try_from(name.as_str())
            .map_err(|_| UnresolvableName { name: name.clone(), reason: NotAHostName::Character })
    }
}

/// Returns the host in lower case, without the port.
///
/// ```
/// use matrix_delegation::ServerName;
///
/// let host = url::Host::try_from(&ServerName::parse("Matrix.example:8448")?)?;
/// assert_eq!(host, url::Host::Domain("matrix.example".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TryFrom<&ServerName> for url::Host {
    type Error = UnresolvableName;

    fn try_from(name: &ServerName) -> Result<Self, UnresolvableName> {
        Ok(match name.to_host()? {
            Host::Ip(IpAddr::V4(address)) => Self::Ipv4(address),
            Host::Ip(IpAddr::V6(address)) => Self::Ipv6(address),
            Host::Dns(name) => Self::Domain(name.as_str().to_owned()),
        })
    }
}

impl Serialize for ServerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ServerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = ServerName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Matrix server name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ServerName, E> {
                ServerName::parse(name).map_err(E::custom)
            }

            fn visit_bytes<E: serde::de::Error>(self, name: &[u8]) -> Result<ServerName, E> {
                ServerName::parse(name).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}
