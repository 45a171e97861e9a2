//! The request as it is for its target.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::ext::Protocol;
use thiserror::Error;

use super::super::attempt::in_words;
use super::link::Carried;
use crate::core::config::UserAgent;
use crate::core::names::server_name::{ServerName, ServerNameError};
use crate::core::target::DelegationTarget;

/// The error of a body that is sent.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a request, of whatever type it was.
pub(super) struct Outgoing {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// Dropped with it.
    carried: Option<Carried>,
}

impl Outgoing {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { body: body.map_err(Into::into).boxed_unsync(), carried: None }
    }

    /// Has it counted by the connection that it is handed to.
    pub(super) fn is_carried(&mut self, carried: Carried) {
        self.carried = Some(carried);
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is said of a connection and of the framing on it, which are not the caller's.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The scheme of URIs that name a Matrix server.
const SCHEME: &str = "matrix-federation";

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
    /// The name in the URI is no server name.
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
    /// A URI cannot be made for the target.
    #[error("no URI can be made of the target's name: {reason}")]
    Target {
        /// Why.
        reason: String,
    },
}

/// The server that a URI names.
pub(super) fn server_of(uri: &Uri) -> Result<ServerName, InvalidRequest> {
    let named = || InvalidRequest::NoServer { uri: uri.to_string() };
    let authority = uri.authority().ok_or_else(named)?;
    authority.as_str().parse().map_err(InvalidRequest::ServerName)
}

/// The request with a path alone as its URI, without `Host` and what is said of connections, with a
/// `User-Agent`.
pub(super) fn prepared<B: Body>(
    mut request: Request<B>,
    name: &ServerName,
    user_agent: &UserAgent,
) -> Result<Request<B>, InvalidRequest> {
    let uri = request.uri();
    if request.method() == Method::CONNECT {
        return Err(InvalidRequest::Connect);
    }
    let unfit = || InvalidRequest::Uri { uri: uri.to_string() };
    match (uri.scheme(), uri.authority()) {
        (None, None) => {}
        (Some(scheme), Some(authority)) if scheme.as_str() == SCHEME => {
            if authority.as_str() != name.as_str() {
                let (server_name, in_uri) = (name.clone(), authority.to_string());
                return Err(InvalidRequest::OtherServer { server_name, in_uri });
            }
        }
        _ => return Err(unfit()),
    }
    let path = match uri.path_and_query().map_or("", PathAndQuery::as_str) {
        path if path.starts_with('/') => path.parse(),
        // RFC 9110 section 4.2.3: an empty path is the same as `/`.
        query if uri.authority().is_some() && (query.is_empty() || query.starts_with('?')) => {
            format!("/{query}").parse()
        }
        _ => return Err(unfit()),
    };
    let path: PathAndQuery = path.map_err(|_| unfit())?;
    *request.uri_mut() = path.into();
    // It asks for a tunnel, too.
    request.extensions_mut().remove::<Protocol>();
    let length = request.body().size_hint().exact();
    let headers = request.headers_mut();
    for header in named_by_connection(headers).into_iter().chain(OF_THE_CONNECTION) {
        headers.remove(header);
    }
    if length.is_some() || !has_one_length(headers) {
        headers.remove(CONTENT_LENGTH);
    }
    headers.remove(HOST);
    headers.entry(USER_AGENT).or_insert_with(|| user_agent.as_header().clone());
    Ok(request)
}

/// What `Connection` says belongs to the connection, too (RFC 9110 section 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    names.filter_map(|name| name.trim().parse().ok()).collect()
}

/// Whether the caller says how long the body is, which it may where the body itself does not know.
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (first, more) = (lengths.next(), lengths.next());
    let is_one = |value: &HeaderValue| {
        let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
        digits && value.to_str().is_ok_and(|value| value.parse::<u64>().is_ok())
    };
    more.is_none() && first.is_some_and(is_one)
}

/// As it goes out over HTTP/1.1: a path and `Host`.
pub(super) fn for_http_1<B>(request: &mut Request<B>, target: &DelegationTarget) {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(HOST, target.host_header());
}

/// As it goes out over HTTP/2: `:authority` alone.
pub(super) fn for_http_2<B>(
    request: &mut Request<B>,
    target: &DelegationTarget,
) -> Result<(), InvalidRequest> {
    let unfit = |error: &(dyn std::error::Error + 'static)| InvalidRequest::Target {
        reason: in_words(error),
    };
    let authority: Authority = target.authority().parse().map_err(|error| unfit(&error))?;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    (parts.scheme, parts.authority) = (Some(Scheme::HTTPS), Some(authority));
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| unfit(&error))?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(HOST);
    Ok(())
}
