//! Why a server name was refused.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ServerName;
use crate::core::names::dns_name::NotAHostName;
use crate::core::text::{MAX_EXCERPT, excerpt_of_bytes};

/// Why a text is not a server name by the grammar: what is wrong, and where.
///
/// It becomes a [`ResolveError`](crate::ResolveError) with `?`.
///
/// ```
/// use matrix_delegation::ServerName;
///
/// let error = ServerName::parse("a b").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "a hostname has only letters, digits, hyphens and dots (byte 1)",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[error("{kind} (byte {at}){}", InAscii(self))]
pub struct ServerNameError {
    name: Box<str>,
    kind: ServerNameErrorKind,
    at: usize,
}

/// Displays how a name outside ASCII is written in ASCII, if it is an internationalised one.
struct InAscii<'a>(&'a ServerNameError);

impl InAscii<'_> {
    fn name(&self) -> Option<ServerName> {
        let ServerNameError { name, kind, .. } = self.0;
        // A name as long as an excerpt may have been cut, and what is escaped is not what was meant.
        let is_whole = name.len() + char::MAX.len_utf8() <= MAX_EXCERPT;
        if *kind != ServerNameErrorKind::NotAscii || !is_whole || name.contains(['%', '\u{fffd}']) {
            return None;
        }
        let (host, port) = match name.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (&**name, None),
        };
        let url::Host::Domain(host) = url::Host::parse(host).ok()? else { return None };
        let name = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        ServerName::parse(name).ok().filter(|name| name.check_host().is_ok())
    }
}

impl fmt::Display for InAscii<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "; in ASCII it is {name}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a name, and where, without the name.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    kind: ServerNameErrorKind,
    at: usize,
}

impl Fault {
    pub(super) const fn new(kind: ServerNameErrorKind, at: usize) -> Self {
        Self { kind, at }
    }
}

impl ServerNameError {
    pub(super) fn new(name: &[u8], Fault { kind, at }: Fault) -> Self {
        Self { name: excerpt_of_bytes(name).into(), kind, at }
    }

    /// Returns the refused text, at most 255 bytes of it; bytes that are not UTF-8 are replaced.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what is wrong.
    pub const fn kind(&self) -> ServerNameErrorKind {
        self.kind
    }

    /// Returns the position of the error in bytes, from 0. If something is missing, it is the
    /// position where that should begin, which may be the name's length.
    pub const fn at(&self) -> usize {
        self.at
    }
}

/// What is wrong with a server name. Of several errors, the first from left to right counts.
///
/// Clauses are those of the grammar in the specification's appendix "Server Name".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerNameErrorKind {
    /// The text is empty; at 0.
    #[error("the server name is empty")]
    Empty,
    /// A port without a hostname; at the colon.
    #[error("there is no hostname before the port")]
    MissingHost,
    /// An IPv6 address without brackets; at 0, where the first bracket is missing.
    #[error("an IPv6 address stands in brackets")]
    Ipv6WithoutBrackets,
    /// A byte order mark, which some editors write at the beginning of a list; at 0.
    #[error("a byte order mark (U+FEFF) stands before the name: remove it")]
    ByteOrderMark,
    /// A byte outside ASCII, anywhere; at the first. Internationalised names are written in their
    /// `xn--` form.
    #[error("a server name has only ASCII characters")]
    NotAscii,
    /// An ASCII byte that is not a `dns-char`; at that byte.
    #[error("a hostname has only letters, digits, hyphens and dots")]
    HostCharacter,
    /// More than 255 bytes (`dns-name`); at the first that is too many.
    #[error("the hostname is longer than 255 bytes")]
    HostTooLong,
    /// An ASCII byte that is not an `IPv6char`, such as the `%` of a zone; at that byte.
    #[error("an IPv6 address has only hexadecimal digits, colons and dots")]
    Ipv6Character,
    /// More than 45 bytes in the brackets (`IPv6address`); at the first that is too many.
    #[error("the IPv6 address is longer than 45 bytes")]
    Ipv6TooLong,
    /// No closing bracket; at the end of the name.
    #[error("the bracket is not closed")]
    UnclosedBracket,
    /// The text in the brackets is not an IPv6 address (RFC 3513 section 2.2); at its start.
    #[error("there is no IPv6 address in the brackets")]
    NotIpv6,
    /// Something other than a colon follows the closing bracket; at that byte.
    #[error("only a colon and a port may follow the bracket")]
    AfterBracket,
    /// Nothing follows the colon; at the end of the name.
    #[error("there is no port after the colon")]
    MissingPort,
    /// An ASCII byte in the port that is not a digit; at that byte.
    #[error("a port has only digits")]
    PortCharacter,
    /// More than five digits, leading zeros included; at the sixth.
    #[error("the port is longer than five digits")]
    PortTooLong,
    /// Port 0; at its first digit.
    #[error("there is no port 0")]
    PortZero,
    /// A port over 65535; at its first digit.
    #[error("the port is larger than 65535")]
    PortTooLarge,
}

/// A server name that the grammar permits, but that is not the name of a host.
///
/// It is never passed to DNS or to a URL parser.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[error("no host can be made of the server name \"{name}\"")]
#[non_exhaustive]
pub struct UnresolvableName {
    /// The name as it was written.
    pub name: ServerName,
    /// Why it is not.
    #[source]
    pub reason: NotAHostName,
}
