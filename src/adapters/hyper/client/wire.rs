//! The request as it is for its target.

use http::header::{HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};
use thiserror::Error;

use super::super::attempt::in_words;
use crate::core::config::UserAgent;
use crate::core::server_name::{ServerName, ServerNameError};
use crate::core::target::DelegationTarget;

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

/// The request with a path alone as its URI, without `Host`, with a `User-Agent`.
pub(super) fn prepared<B>(
    mut request: Request<B>,
    name: &ServerName,
    user_agent: &UserAgent,
) -> Result<Request<B>, InvalidRequest> {
    let uri = request.uri();
    if request.method() == Method::CONNECT {
        return Err(InvalidRequest::Connect);
    }
    match (uri.scheme(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => {}
        (Some(scheme), Some(authority)) if scheme.as_str() == SCHEME => {
            if authority.as_str() != name.as_str() {
                let (server_name, in_uri) = (name.clone(), authority.to_string());
                return Err(InvalidRequest::OtherServer { server_name, in_uri });
            }
        }
        _ => return Err(InvalidRequest::Uri { uri: uri.to_string() }),
    }
    let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = path.into();
    let headers = request.headers_mut();
    headers.remove(HOST);
    headers.entry(USER_AGENT).or_insert_with(|| user_agent.as_header().clone());
    Ok(request)
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
