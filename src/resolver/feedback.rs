//! What callers report of a target that could not be used.

use std::fmt;

use serde::Serialize;

use crate::core::endpoint::Endpoint;
use crate::core::names::Host;

/// How a contact with a target failed, for
/// [`Resolver::report_failure`](crate::Resolver::report_failure).
///
/// ```
/// use matrix_delegation::resolver::{ContactFailure, ContactFailureKind};
///
/// let gone = ContactFailure::new(ContactFailureKind::NotFound);
/// assert_eq!(gone.to_string(), "the server says that there is no such thing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContactFailure {
    kind: ContactFailureKind,
    endpoint: Option<(Host, u16)>,
}

/// In which way a contact failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContactFailureKind {
    /// No connection was made, or it broke.
    CouldNotConnect,
    /// The certificate is not one for this target.
    WrongCertificate,
    /// The server answered 404 for a path that every Matrix server has.
    NotFound,
}

impl ContactFailure {
    /// Creates a failure of the whole target.
    pub const fn new(kind: ContactFailureKind) -> Self {
        Self { kind, endpoint: None }
    }

    /// Sets the endpoint that failed, which is then tried last for a while.
    #[must_use]
    pub fn at(mut self, endpoint: Endpoint<'_>) -> Self {
        self.endpoint = Some((endpoint.host().clone(), endpoint.port()));
        self
    }

    /// Returns how the contact failed.
    pub const fn kind(&self) -> ContactFailureKind {
        self.kind
    }

    /// Returns host and port of the endpoint that failed, if one was set.
    pub fn endpoint(&self) -> Option<(&Host, u16)> {
        self.endpoint.as_ref().map(|(host, port)| (host, *port))
    }
}

impl fmt::Display for ContactFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CouldNotConnect => "no connection came about",
            Self::WrongCertificate => "the certificate is for another server",
            Self::NotFound => "the server says that there is no such thing",
        })
    }
}

impl fmt::Display for ContactFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((host, port)) = &self.endpoint {
            write!(f, "{host}:{port}: ")?;
        }
        self.kind.fmt(f)
    }
}
