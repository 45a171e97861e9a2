//! The request as it goes onto the wire.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body_util::Empty;
use hyper::body::Bytes;

use super::failure::AttemptFailure;
use crate::core::well_known::FetchFailureKind;

/// Writes the request in origin form (RFC 9112 section 3.2.1), `Host` first (RFC 9110 section 7.2),
/// the headers as handed but for `Connection`: one exchange is all that the connection is for.
pub(super) fn on_the_wire(request: Request<()>) -> Result<Request<Empty<Bytes>>, AttemptFailure> {
    let (parts, ()) = request.into_parts();
    if parts.uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(unfit("the URI is not an absolute https URI"));
    }
    if parts.method == Method::CONNECT {
        return Err(unfit("CONNECT asks for a tunnel, not for a response"));
    }
    if [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| parts.headers.contains_key(name)) {
        return Err(unfit("the headers announce a body, and there is none"));
    }

    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 2);
    headers.insert(HOST, host(&parts.headers, &parts.uri)?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &parts.headers {
        if name != HOST && name != CONNECTION {
            headers.append(name, value.clone());
        }
    }

    let mut request = Request::new(Empty::new());
    *request.method_mut() = parts.method;
    let path = parts.uri.path_and_query().cloned();
    *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
    // hyper has no words for versions it does not speak.
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Returns the request's own `Host`, else its URI's authority without the default port.
fn host(headers: &HeaderMap, uri: &Uri) -> Result<HeaderValue, AttemptFailure> {
    let mut own = headers.get_all(HOST).iter();
    match (own.next(), own.next()) {
        (Some(host), None) => return Ok(host.clone()),
        (Some(_), Some(_)) => return Err(unfit("more than one Host header")),
        (None, _) => {}
    }
    let name = uri.host().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| unfit("neither a Host header nor a host in the URI"))?;
    let authority = match uri.port_u16() {
        None | Some(443) => name.to_owned(),
        Some(port) => format!("{name}:{port}"),
    };
    HeaderValue::try_from(authority).map_err(|_| unfit("the URI's host cannot be a header"))
}

fn unfit(why: &str) -> AttemptFailure {
    AttemptFailure::new(FetchFailureKind::Adapter, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(request: http::request::Builder) -> Result<Request<Empty<Bytes>>, String> {
        on_the_wire(request.body(()).unwrap()).map_err(|failed| {
            assert_eq!(failed.kind, FetchFailureKind::Adapter);
            format!("{failed:?}")
        })
    }

    #[test]
    fn host_is_the_authority_without_the_default_port() {
        for (uri, host) in [
            ("https://a.example/x", "a.example"),
            ("https://a.example:443/x", "a.example"),
            ("https://a.example:8443/x", "a.example:8443"),
            ("https://user:word@a.example/x", "a.example"),
            ("https://[2001:db8::7]:443/x", "[2001:db8::7]"),
            ("https://[2001:db8::7]:1/x", "[2001:db8::7]:1"),
        ] {
            assert_eq!(wire(Request::get(uri)).unwrap().headers()[HOST], host, "{uri}");
        }
    }

    #[test]
    fn a_host_header_of_its_own_goes_first() {
        let request =
            Request::get("https://a.example/").header("x", "1").header(HOST, "B.example:7");
        let request = wire(request).unwrap();
        let sent: Vec<_> = request.headers().iter().map(|(n, v)| (n.as_str(), v)).collect();
        assert_eq!(sent[0], ("host", &HeaderValue::from_static("B.example:7")));
        assert_eq!(sent.len(), 3);
    }

    #[test]
    fn the_request_line_is_in_origin_form() {
        for (uri, path) in [
            ("https://a.example", "/"),
            ("https://a.example?q=1", "/?q=1"),
            ("https://a.example/p/%20?q=1", "/p/%20?q=1"),
        ] {
            assert_eq!(wire(Request::get(uri)).unwrap().uri().to_string(), path, "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let a = "https://a.example/";
        for request in [
            Request::get("/only/a/path"),
            Request::get("http://a.example/"),
            Request::connect("a.example:443"),
            Request::connect(a),
            Request::get(a).header(HOST, "a.example").header(HOST, "b.example"),
            Request::get(a).header(CONTENT_LENGTH, "5"),
            Request::get(a).header(TRANSFER_ENCODING, "chunked"),
        ] {
            wire(request).unwrap_err();
        }
    }

    #[test]
    fn the_version_is_always_1_1() {
        let request = Request::get("https://a.example/").version(Version::HTTP_3);
        assert_eq!(wire(request).unwrap().version(), Version::HTTP_11);
    }
}
