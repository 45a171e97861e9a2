//! Server names, by the appendix "Server Name" of the Matrix specification.

mod convert;
mod error;
mod parse;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::sync::Arc;

pub use self::error::{ServerNameError, ServerNameErrorKind, UnresolvableName};
use crate::core::names::dns_name::{DnsName, check_host_name};
use crate::core::names::host::Host;

/// A Matrix server name: a host, and a port where one is written.
///
/// The original spelling is kept and is the identity: `Eq`, `Ord` and `Hash` are those of the
/// text, letter case and leading zeros included, as the specification asks (appendix "Server
/// Name"). Cloning is cheap.
///
/// The grammar admits names of which no host can be made, such as `a..b` or `127.1`. They parse,
/// because they can stand in identifiers; [`ServerName::to_host`] refuses them.
///
/// ```
/// use matrix_delegation::names::HostRef;
/// use matrix_delegation::ServerName;
///
/// let name: ServerName = "Matrix.example:8449".parse()?;
/// assert_eq!(name.as_str(), "Matrix.example:8449");
/// assert_eq!(name.host(), HostRef::Dns("Matrix.example"));
/// assert_eq!(name.port(), Some(8449));
/// assert_eq!(name.to_host()?.to_string(), "matrix.example");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName {
    // First, because it decides on equality and order; the rest follows from it.
    text: Arc<str>,
    /// An address is read from the text again where it is asked for: names are many, and literals
    /// among them few.
    kind: HostKind,
    /// The length of the host in `text` in bytes, brackets included; at most 255.
    host_len: u8,
    port: Option<NonZeroU16>,
}

/// The kind of a server name's host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostKind {
    Ipv4,
    Ipv6,
    Dns,
}

/// The host of a [`ServerName`], as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostRef<'a> {
    /// Four decimal numbers of 0 to 255 without leading zeros.
    Ipv4(Ipv4Addr),
    /// An address in brackets.
    Ipv6(Ipv6Addr),
    /// Anything else in the grammar, in its original spelling. It need not be a name that DNS can
    /// be asked for.
    Dns(&'a str),
}

impl ServerName {
    /// Parses a server name by the grammar of the appendix, and nothing more lenient.
    ///
    /// Nothing is trimmed, decoded or mapped. Ports are 1 to 65535 in one to five digits. At most
    /// the first 262 bytes are looked at, and one block of memory is allocated: for the name, or, in
    /// the error, for at most 255 bytes of what was given.
    ///
    /// # Errors
    ///
    /// If the text is not in the grammar: what is wrong, and at which byte.
    ///
    /// ```
    /// use matrix_delegation::names::ServerNameErrorKind;
    /// use matrix_delegation::ServerName;
    ///
    /// let error = ServerName::parse("a.example:+443").unwrap_err();
    /// assert_eq!(error.kind(), ServerNameErrorKind::PortCharacter);
    /// assert_eq!(error.at(), 10);
    /// assert!(ServerName::parse(b"\xff").is_err());
    /// ```
    pub fn parse(name: impl AsRef<[u8]>) -> Result<Self, ServerNameError> {
        let name = name.as_ref();
        let parsed = parse::parse(name).map_err(|fault| ServerNameError::new(name, fault))?;
        Ok(Self {
            text: Arc::from(parsed.text),
            kind: parsed.kind,
            host_len: parsed.host_len,
            port: parsed.port,
        })
    }

    /// Returns the name as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the host: an address, or the name as it was written.
    ///
    /// ```
    /// use matrix_delegation::names::HostRef;
    /// use matrix_delegation::ServerName;
    ///
    /// let name = ServerName::parse("[2001:DB8::7]:8448")?;
    /// assert_eq!(name.host(), HostRef::Ipv6("2001:db8::7".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn host(&self) -> HostRef<'_> {
        let host = self.host_str();
        // What was read once can be read again.
        match self.kind {
            HostKind::Ipv4 => host.parse().map_or(HostRef::Dns(host), HostRef::Ipv4),
            HostKind::Ipv6 => {
                host.trim_matches(['[', ']']).parse().map_or(HostRef::Dns(host), HostRef::Ipv6)
            }
            HostKind::Dns => HostRef::Dns(host),
        }
    }

    /// Returns the text of the host, brackets included, without the port.
    pub fn host_str(&self) -> &str {
        self.text.get(..usize::from(self.host_len)).unwrap_or_default()
    }

    /// Returns the port, if one is written; never 0. There is no default here, because it depends
    /// on the step of the discovery.
    pub const fn port(&self) -> Option<u16> {
        match self.port {
            Some(port) => Some(port.get()),
            None => None,
        }
    }

    /// Returns whether the host is an IPv4 or IPv6 address, so that step 1 of the server discovery,
    /// or step 3.1 for a delegated name, applies.
    pub const fn is_ip_literal(&self) -> bool {
        matches!(self.kind, HostKind::Ipv4 | HostKind::Ipv6)
    }

    /// Returns the host as DNS, TLS and URLs need it: an address, or a name in lower case.
    ///
    /// # Errors
    ///
    /// If the grammar permits the name, but DNS cannot be asked for it or other programs would read
    /// it as an IP address.
    ///
    /// ```
    /// use matrix_delegation::names::NotAHostName;
    /// use matrix_delegation::ServerName;
    ///
    /// let name = ServerName::parse("0x7f.1")?;
    /// assert_eq!(name.to_host().unwrap_err().reason, NotAHostName::LooksLikeAnAddress);
    /// # Ok::<(), matrix_delegation::names::ServerNameError>(())
    /// ```
    pub fn to_host(&self) -> Result<Host, UnresolvableName> {
        match self.host() {
            HostRef::Ipv4(address) => Ok(Host::Ip(IpAddr::V4(address))),
            HostRef::Ipv6(address) => Ok(Host::Ip(IpAddr::V6(address))),
            HostRef::Dns(name) => match DnsName::of_host(&self.text, name) {
                Ok(name) => Ok(Host::Dns(name)),
                Err(reason) => Err(UnresolvableName { name: self.clone(), reason }),
            },
        }
    }

    /// Checks whether [`Self::to_host`] would succeed, without an allocation.
    fn check_host(&self) -> Result<(), UnresolvableName> {
        match self.kind {
            HostKind::Ipv4 | HostKind::Ipv6 => Ok(()),
            HostKind::Dns => check_host_name(self.host_str())
                .map_err(|reason| UnresolvableName { name: self.clone(), reason }),
        }
    }
}

impl Hash for ServerName {
    /// Hashes like `str`, so that a map keyed by server names can be asked with a `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerName({})", self.text)
    }
}
