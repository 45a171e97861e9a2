//! Prepares a request for its target.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use hyper::body::Body;
use hyper::ext::Protocol;

use super::request_body::RequestBody;
use super::request_error::InvalidRequest;
use crate::core::config::UserAgent;
use crate::core::names::ServerName;
use crate::core::target::DelegationTarget;
use crate::transport::error_chain::{in_words, printable};

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

/// Returns the server that a URI names.
pub(super) fn server_of(uri: &Uri) -> Result<ServerName, InvalidRequest> {
    let named = || InvalidRequest::NoServer { uri: uri.to_string() };
    let authority = uri.authority().ok_or_else(named)?;
    authority.as_str().parse().map_err(InvalidRequest::ServerName)
}

/// Prepares a request: only a path as its URI, without `Host` and headers of the connection, with a
/// `User-Agent`.
pub(super) fn prepared(
    mut request: Request<RequestBody>,
    name: &ServerName,
    user_agent: &UserAgent,
) -> Result<Request<RequestBody>, InvalidRequest> {
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
    let length = stated_length(request.headers(), request.body().size_hint().exact())?;
    if let Some(length) = length {
        request.body_mut().is_to_have(length);
    }
    let headers = request.headers_mut();
    for header in named_by_connection(headers).into_iter().chain(OF_THE_CONNECTION) {
        headers.remove(header);
    }
    // It follows from what the body says.
    headers.remove(CONTENT_LENGTH);
    headers.remove(HOST);
    headers.entry(USER_AGENT).or_insert_with(|| user_agent.as_header().clone());
    Ok(request)
}

/// Returns the headers that `Connection` names, which belong to the connection, too (RFC 9110
/// section 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let names = values.flat_map(|value| value.split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

/// Returns how long the caller says that the body is. Fails where the body itself says something else, or
/// where what the caller says is no length.
fn stated_length(headers: &HeaderMap, body: Option<u64>) -> Result<Option<u64>, InvalidRequest> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // `u64::from_str` takes a sign.
    let digits = value.to_str().ok().filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    let stated = digits.and_then(|it| it.parse().ok()).filter(|_| values.next().is_none());
    match stated {
        Some(stated) if body.is_none_or(|body| body == stated) => Ok(Some(stated)),
        _ => {
            let all = headers.get_all(CONTENT_LENGTH).iter();
            let all: Vec<_> = all.map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
            Err(InvalidRequest::ContentLength { stated: printable(&all.join(", ")), body })
        }
    }
}

/// Returns the request as HTTP/1.1 sends it: a path and `Host`.
pub(super) fn for_http_1(request: &mut Request<RequestBody>, target: &DelegationTarget) {
    // hyper would otherwise take a body of unknown length for none, with these methods.
    let has_none = matches!(*request.method(), Method::GET | Method::HEAD);
    if has_none && !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(HOST, target.host_header());
}

/// Returns the request as HTTP/2 sends it: with `:authority` alone.
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
    request.headers_mut().remove(TRANSFER_ENCODING);
    Ok(())
}
