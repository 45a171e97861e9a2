//! Why a request has no response.

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

use super::connect_error::ConnectError;
use crate::core::blame::Blame;
use crate::core::error::ResolveError;
use crate::core::names::{ServerName, ServerNameError};

/// Why a request has no response.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request cannot be sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The server name could not be resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The server cannot be connected to, or each connection ended before the request could be sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Too many servers wait to be connected to ([`ClientConfig::connecting_waiting`]).
    ///
    /// [`ClientConfig::connecting_waiting`]: crate::client::ClientConfig::connecting_waiting
    #[error("too many servers wait to be connected to: {limit}")]
    TooBusy {
        /// The limit.
        limit: usize,
    },
    /// Too many requests to this server wait for others to end ([`ClientConfig::waiting`]).
    ///
    /// [`ClientConfig::waiting`]: crate::client::ClientConfig::waiting
    #[error("too many requests to {server_name} wait already: {limit}")]
    ServerBusy {
        /// The server.
        server_name: ServerName,
        /// The limit.
        limit: usize,
    },
    /// The request was sent, or may have been, and no response came.
    #[error("no response from {server_name}")]
    Exchange {
        /// The server.
        server_name: ServerName,
        /// Where it was sent; `None` if a proxy looked the host up.
        address: Option<SocketAddr>,
        /// Why. Its text may hold words of the other side's choice.
        source: Arc<hyper::Error>,
    },
}

impl RequestError {
    /// Returns whose fault it is.
    ///
    /// | error | blame |
    /// | --- | --- |
    /// | `Invalid` | [`Blame::Caller`]; if the server name is invalid, [`Blame::Name`] |
    /// | `Resolve`, `Connect` | what [`ResolveError::blame`] or [`ConnectError::blame`] returns |
    /// | `TooBusy`, `ServerBusy` | [`Blame::Local`]: a limit of this client |
    /// | `Exchange` | [`Blame::Server`]; if the request's own body failed, [`Blame::Caller`] |
    pub fn blame(&self) -> Blame {
        match self {
            Self::Invalid(InvalidRequest::ServerName(_)) => Blame::Name,
            Self::Invalid(_) => Blame::Caller,
            Self::Resolve(error) => error.blame(),
            Self::Connect(error) => error.blame(),
            Self::TooBusy { .. } | Self::ServerBusy { .. } => Blame::Local,
            Self::Exchange { source, .. } if source.is_user() => Blame::Caller,
            Self::Exchange { .. } => Blame::Server,
        }
    }

    /// Returns whether the same request may well get a response a little later, with nothing
    /// changed by an administrator or the caller. [`was_sent`](Self::was_sent) says whether it may
    /// be sent again without harm.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Invalid(_) => false,
            Self::Resolve(error) => error.is_temporary(),
            Self::Connect(error) => error.is_temporary(),
            Self::TooBusy { .. } | Self::ServerBusy { .. } => true,
            Self::Exchange { source, .. } => !source.is_user() && !source.is_parse(),
        }
    }

    /// Returns whether bytes of the request may have reached a server. If not, sending it again
    /// repeats nothing.
    pub const fn was_sent(&self) -> bool {
        matches!(self, Self::Exchange { .. })
    }
}

/// Why a request cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// Its URI is neither a path nor `matrix-federation://server.name/path`.
    #[error("the URI {uri} is neither a path nor matrix-federation://server.name/path")]
    Uri {
        /// The URI.
        uri: String,
    },
    /// The URI names no server, and none is given beside it.
    #[error("the URI {uri} names no server: write matrix-federation://server.name/path")]
    NoServer {
        /// The URI.
        uri: String,
    },
    /// The name in the URI is not a valid server name.
    #[error("the URI names no Matrix server")]
    ServerName(#[source] ServerNameError),
    /// The URI names another server than the one given.
    #[error("the URI is for {in_uri}, not for {server_name}")]
    OtherServer {
        /// The server that was given.
        server_name: ServerName,
        /// The server in the URI.
        in_uri: String,
    },
    /// The method asks for a tunnel, not for a response.
    #[error("CONNECT asks for a tunnel, not for a response")]
    Connect,
    /// The target's name cannot be part of a URI.
    #[error("no URI can be made of the target's name: {reason}")]
    Target {
        /// Why.
        reason: String,
    },
}
