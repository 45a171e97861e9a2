//! Where the server listens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::names::{Host, ServerName, ServerNameError, UnresolvableName};

/// Where a homeserver, or the reverse proxy in front of it, accepts connections from the
/// federation.
///
/// ```
/// use matrix_delegation::plan::Listening;
///
/// let listening: Listening = "matrix.example.org:443".parse()?;
/// assert_eq!((listening.host().to_string().as_str(), listening.port()), ("matrix.example.org", 443));
/// # Ok::<(), matrix_delegation::plan::ListeningError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listening {
    host: Host,
    port: u16,
    #[serde(default)]
    host_records: HostRecords,
}

/// What DNS has for the host that a server listens at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostRecords {
    /// Addresses (A, AAAA), or it is an address itself. The default.
    #[default]
    Addresses,
    /// An alias (CNAME). An SRV record may not point to one (RFC 2782, "Target").
    Alias,
}

/// Why a text does not say where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ListeningError {
    /// The text is neither `host` nor `host:port`.
    #[error("not a host and a port, such as matrix.example.org:443")]
    Syntax(#[source] ServerNameError),
    /// There is no port.
    #[error("there is no port: write it out, as in matrix.example.org:8448")]
    NoPort,
    /// The host is not a valid host name.
    #[error("not a host that can be connected to")]
    Host(#[source] UnresolvableName),
}

impl Listening {
    /// Creates a place of this host and port.
    ///
    /// Port 0 is accepted here, and every way then has an obstacle:
    /// [`Obstacle::PortZero`](super::Obstacle::PortZero).
    pub fn new(host: impl Into<Host>, port: u16) -> Self {
        Self { host: host.into(), port, host_records: HostRecords::default() }
    }

    /// Sets what DNS has for the host. Default: [`HostRecords::Addresses`].
    #[must_use]
    pub const fn with_host_records(mut self, records: HostRecords) -> Self {
        self.host_records = records;
        self
    }

    /// Returns the host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns what DNS has for the host.
    pub const fn host_records(&self) -> HostRecords {
        self.host_records
    }
}

impl FromStr for Listening {
    type Err = ListeningError;

    /// Parses `host:port`; an IPv6 address needs brackets.
    fn from_str(text: &str) -> Result<Self, ListeningError> {
        let name = ServerName::parse(text).map_err(ListeningError::Syntax)?;
        let port = name.port().ok_or(ListeningError::NoPort)?;
        Ok(Self::new(name.to_host().map_err(ListeningError::Host)?, port))
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for text in ["matrix.example.org:443", "192.0.2.7:8448", "[2001:db8::7]:1"] {
            assert_eq!(text.parse::<Listening>().unwrap().to_string(), text);
        }
        assert_eq!("a.example".parse::<Listening>(), Err(ListeningError::NoPort));
        assert!(matches!("127.1:1".parse::<Listening>(), Err(ListeningError::Host(_))));
        assert!(matches!("a.example:0".parse::<Listening>(), Err(ListeningError::Syntax(_))));
        assert!(matches!("2001:db8::7".parse::<Listening>(), Err(ListeningError::Syntax(_))));
    }
}
