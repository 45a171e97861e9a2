//! Whose fault a failure is.

use std::fmt;

use serde::Serialize;

/// Whose fault a failure is, and who can do something about it.
///
/// | | what happened | who can help |
/// | --- | --- | --- |
/// | `Name` | the server name is misspelt | whoever wrote it |
/// | `Server` | the server's records, certificate or answers are wrong, or it is out of reach | its administrator |
/// | `Dns` | a DNS server failed, so that nothing is known of the server | time, or DNS's operator |
/// | `Caller` | the caller asked for what cannot be done | the program |
/// | `Local` | this machine or process could not try, or reached a limit of its own | its operator |
///
/// ```
/// use matrix_delegation::error::Blame;
/// use matrix_delegation::{ResolveError, ServerName};
///
/// let error = ResolveError::from(ServerName::parse("a b").unwrap_err());
/// assert_eq!((error.blame(), error.is_temporary()), (Blame::Name, false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Blame {
    /// The server name: it is invalid, or no host can be made of it.
    Name,
    /// The server, or whoever set up its records.
    Server,
    /// DNS, which gave no answer about the server.
    Dns,
    /// The caller, whose request cannot be sent.
    Caller,
    /// This machine or process. It says nothing about the server.
    Local,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Name => "name",
            Self::Server => "server",
            Self::Dns => "DNS",
            Self::Caller => "caller",
            Self::Local => "local",
        })
    }
}
