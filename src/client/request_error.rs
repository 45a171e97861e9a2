//! Why a request has no response.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

use super::connect_error::ConnectError;
use crate::core::blame::Blame;
use crate::core::error::ResolveError;
use crate::core::names::{ServerName, ServerNameError};
use crate::transport::error_chain::cause;

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
    #[error("no response from {server_name}: {processed}")]
    Exchange {
        /// The server.
        server_name: ServerName,
        /// Where it was sent; `None` if a proxy looked the host up.
        address: Option<SocketAddr>,
        /// Whether the server has processed it.
        processed: Processed,
        /// Why. Its text may hold words of the other side's choice.
        source: Arc<hyper::Error>,
    },
    /// The head of the response is larger than [`ClientConfig::head_bytes`] or has more lines than
    /// [`ClientConfig::head_lines`], over HTTP/2. Over HTTP/1.1 it is not read to its end, which is an
    /// `Exchange` without response.
    ///
    /// [`ClientConfig::head_bytes`]: crate::client::ClientConfig::head_bytes
    /// [`ClientConfig::head_lines`]: crate::client::ClientConfig::head_lines
    #[error(
        "the head of the response from {server_name} is too large: {bytes} bytes in {lines} lines"
    )]
    HeadTooLarge {
        /// The server.
        server_name: ServerName,
        /// Its size, as RFC 9113 section 6.5.2 counts it.
        bytes: usize,
        /// Its header lines.
        lines: usize,
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
    /// | `HeadTooLarge` | [`Blame::Server`] |
    pub fn blame(&self) -> Blame {
        match self {
            Self::Invalid(InvalidRequest::ServerName(_)) => Blame::Name,
            Self::Invalid(_) => Blame::Caller,
            Self::Resolve(error) => error.blame(),
            Self::Connect(error) => error.blame(),
            Self::TooBusy { .. } | Self::ServerBusy { .. } => Blame::Local,
            Self::Exchange { source, .. } if is_callers(source) => Blame::Caller,
            Self::Exchange { .. } | Self::HeadTooLarge { .. } => Blame::Server,
        }
    }

    /// Returns whether the same request may well get a response a little later, with nothing
    /// changed by an administrator or the caller. [`was_sent`](Self::was_sent) says whether it may
    /// be sent again without harm.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::HeadTooLarge { .. } => false,
            Self::Resolve(error) => error.is_temporary(),
            Self::Connect(error) => error.is_temporary(),
            Self::TooBusy { .. } | Self::ServerBusy { .. } => true,
            Self::Exchange { source, .. } => !is_callers(source) && !source.is_parse(),
        }
    }

    /// Returns whether bytes of the request may have reached a server. If not, sending it again
    /// repeats nothing; nor does it where the server says that it has not processed the request
    /// ([`Processed::No`]).
    pub const fn was_sent(&self) -> bool {
        matches!(self, Self::Exchange { .. } | Self::HeadTooLarge { .. })
    }
}

/// Returns whether the request's own body failed. Over HTTP/2 its stream is reset then, by neither the server
/// nor the library.
fn is_callers(error: &hyper::Error) -> bool {
    let is_own = |error: &h2::Error| error.is_reset() && !error.is_remote() && !error.is_library();
    error.is_user() || cause::<h2::Error>(error).is_some_and(is_own)
}

/// Says how long a body is.
struct Length(Option<u64>);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(length) => write!(f, "the body has {length} bytes; leave the header out"),
            None => f.write_str("a length is a number, and stated once"),
        }
    }
}

/// Whether a server has processed a request that it did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Processed {
    /// The server says that it has not: by a GOAWAY below the request's stream, `REFUSED_STREAM` or
    /// `HTTP_1_1_REQUIRED` (RFC 9113 sections 7 and 8.7).
    No,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for Processed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "it says that it has not processed the request",
            Self::Unknown => "whether it has processed the request is unknown",
        })
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
    /// Its `Content-Length` is no length, or not that of its body.
    #[error("Content-Length is {stated:?}, but {}", Length(*.body))]
    ContentLength {
        /// What the header says.
        stated: String,
        /// How long the body is, if it knows that.
        body: Option<u64>,
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
