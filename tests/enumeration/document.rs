//! Every class of what comes of a well-known, and what a machine is told in each.

use http::header::{CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response};
use matrix_delegation::well_known::{Body, FetchFailure, FetchFailureKind};

pub(crate) type Fetched = Result<Response<Body>, FetchFailure>;

/// What comes of `https://a.example/.well-known/matrix/server`.
///
/// Each way to be valid that the rules tell apart, and each way to fail that
/// [`WellKnownFailure`](matrix_delegation::well_known::WellKnownFailure) tells apart, with every
/// kind within it and every class of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// 404. The other failures are compared with it.
    NotFound,

    // Valid: an IP literal (3.1), a name with a port (3.2), a name without (3.3 to 3.5).
    ToIp,
    ToIpAndPort,
    ToIpv6,
    ToIpv6AndPort,
    ToBlockedIp,
    ToBlockedIpv6,
    ToNameAndPort,
    ToName,
    /// In another spelling than the server name.
    ToItself,
    ToItselfAndPort,
    RedirectToGood,
    /// A relative redirect, then one to another host: as many as the limit allows.
    RedirectTwiceToGood,

    // A status that is neither 200 nor a redirect that is followed.
    Forbidden,
    NoContent,
    NotModified,
    RequestTimeout,
    TooManyRequests,
    ServerError,

    // No response: each kind of failure of an exchange.
    Fails(FetchFailureKind),
    /// Until the limit on all of the well-known is over, or for ever.
    Never,
    /// A valid document, after that limit.
    Late,

    // A response of 200 that is no valid document.
    TooLarge,
    /// By an adapter that does not count.
    TooLargeUncounted,
    Encoded,
    NotUtf8,
    NotJson,
    NotAnObject,
    NoServer,
    ServerNotAString,
    NotAServerName,
    NotAHost,

    // A redirect that is not followed.
    RedirectNowhere,
    RedirectToSeveral,
    RedirectNotText,
    RedirectTooLong,
    RedirectNotAUrl,
    RedirectToHttp,
    RedirectWithCredentials,
    RedirectToNoHost,
    RedirectToPortZero,
    RedirectInCircle,
    RedirectTooOften,

    // A redirect that is followed, to no avail.
    RedirectToNoAddress,
    RedirectToFailed,
    RedirectToBlocked,
    RedirectToBlockedIp,
    RedirectToNotFound,
}

impl Document {
    pub(crate) const ALL: [Self; 58] = [
        Self::NotFound,
        Self::ToIp,
        Self::ToIpAndPort,
        Self::ToIpv6,
        Self::ToIpv6AndPort,
        Self::ToBlockedIp,
        Self::ToBlockedIpv6,
        Self::ToNameAndPort,
        Self::ToName,
        Self::ToItself,
        Self::ToItselfAndPort,
        Self::RedirectToGood,
        Self::RedirectTwiceToGood,
        Self::Forbidden,
        Self::NoContent,
        Self::NotModified,
        Self::RequestTimeout,
        Self::TooManyRequests,
        Self::ServerError,
        Self::Fails(FetchFailureKind::Adapter),
        Self::Fails(FetchFailureKind::NoAddress),
        Self::Fails(FetchFailureKind::Connect),
        Self::Fails(FetchFailureKind::Refused),
        Self::Fails(FetchFailureKind::ConnectTimeout),
        Self::Fails(FetchFailureKind::Tls),
        Self::Fails(FetchFailureKind::TlsTimeout),
        Self::Fails(FetchFailureKind::ExchangeTimeout),
        Self::Fails(FetchFailureKind::Protocol),
        Self::Fails(FetchFailureKind::HeadTooLarge),
        Self::Fails(FetchFailureKind::CutOff),
        Self::Never,
        Self::Late,
        Self::TooLarge,
        Self::TooLargeUncounted,
        Self::Encoded,
        Self::NotUtf8,
        Self::NotJson,
        Self::NotAnObject,
        Self::NoServer,
        Self::ServerNotAString,
        Self::NotAServerName,
        Self::NotAHost,
        Self::RedirectNowhere,
        Self::RedirectToSeveral,
        Self::RedirectNotText,
        Self::RedirectTooLong,
        Self::RedirectNotAUrl,
        Self::RedirectToHttp,
        Self::RedirectWithCredentials,
        Self::RedirectToNoHost,
        Self::RedirectToPortZero,
        Self::RedirectInCircle,
        Self::RedirectTooOften,
        Self::RedirectToNoAddress,
        Self::RedirectToFailed,
        Self::RedirectToBlocked,
        Self::RedirectToBlockedIp,
        Self::RedirectToNotFound,
    ];

    /// Its place among all.
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|document| *document == self).unwrap()
    }

    /// The name delegated to, and its host.
    pub(crate) fn delegates(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::ToIp => ("192.0.2.77", "192.0.2.77"),
            Self::ToIpAndPort => ("192.0.2.77:9", "192.0.2.77"),
            Self::ToIpv6 => ("[2001:DB8::77]", "2001:db8::77"),
            Self::ToIpv6AndPort => ("[2001:db8:0::77]:9", "2001:db8::77"),
            Self::ToBlockedIp => ("10.0.0.77", "10.0.0.77"),
            Self::ToBlockedIpv6 => ("[fd00::77]:9", "fd00::77"),
            Self::ToNameAndPort => ("M.example:443", "m.example"),
            Self::ToName | Self::RedirectToGood | Self::RedirectTwiceToGood => {
                ("M.example", "m.example")
            }
            Self::ToItself => ("a.Example", "a.example"),
            Self::ToItselfAndPort => ("a.Example:443", "a.example"),
            _ => return None,
        })
    }

    /// Whether the SRV records and addresses of another host decide.
    pub(crate) fn asks_srv_of_another(self) -> bool {
        matches!(self, Self::ToName | Self::RedirectToGood | Self::RedirectTwiceToGood)
    }

    pub(crate) fn asks_addresses_of_another(self) -> bool {
        self.asks_srv_of_another() || self == Self::ToNameAndPort
    }
}

/// What stands in a document that is not to be believed.
const LURE: &str = r#"{"m.server":"192.0.2.99"}"#;

impl Document {
    /// What is answered to the first fetch.
    pub(crate) fn response(self) -> Fetched {
        if let Self::Fails(kind) = self {
            return Err(FetchFailure::new(kind, "scripted"));
        }
        if let Some(location) = self.location() {
            return Ok(page(302, &[(LOCATION, location.as_bytes())], LURE));
        }
        if let Some((server, _)) = self.delegates() {
            return Ok(page(200, &[], &format!(r#"{{"m.server":"{server}"}}"#)));
        }
        Ok(match self {
            Self::NotFound => page(404, &[], LURE),
            Self::Forbidden => page(403, &[], LURE),
            Self::NoContent => page(204, &[], LURE),
            Self::NotModified => page(304, &[(LOCATION, b"https://r.example/good")], LURE),
            Self::RequestTimeout => page(408, &[], LURE),
            Self::TooManyRequests => page(429, &[(RETRY_AFTER, b"600")], LURE),
            Self::ServerError => page(503, &[], LURE),
            Self::Never | Self::Late => page(200, &[], LURE),
            Self::TooLarge => Response::new(Body::TooLarge),
            Self::TooLargeUncounted => page(200, &[], &format!("{LURE:51201}")),
            Self::Encoded => page(200, &[(CONTENT_ENCODING, b"gzip")], LURE),
            Self::NotUtf8 => Response::new(Body::Complete(vec![0xff])),
            Self::NotJson => page(200, &[], r#"{"m.server":"192.0.2.99""#),
            Self::NotAnObject => page(200, &[], r#"["m.server","192.0.2.99"]"#),
            Self::NoServer => page(200, &[], r#"{"M.server":"192.0.2.99"}"#),
            Self::ServerNotAString => page(200, &[], r#"{"m.server":["192.0.2.99"]}"#),
            Self::NotAServerName => page(200, &[], r#"{"m.server":"192.0.2.99:0"}"#),
            Self::NotAHost => page(200, &[], r#"{"m.server":"127.1"}"#),
            Self::RedirectNowhere => page(302, &[], LURE),
            Self::RedirectToSeveral => {
                let locations: [(HeaderName, &[u8]); 2] = [(LOCATION, b"/good"), (LOCATION, b"/2")];
                page(302, &locations, LURE)
            }
            Self::RedirectNotText => page(302, &[(LOCATION, b"/good\xff")], LURE),
            Self::RedirectTooLong => page(302, &[(LOCATION, &[b'/'; 8_193])], LURE),
            other => panic!("{other:?} has no response"),
        })
    }

    /// Where the first response redirects to, if to one place.
    fn location(self) -> Option<&'static str> {
        Some(match self {
            Self::RedirectToGood => "https://r.example/good",
            Self::RedirectTwiceToGood => "/2",
            Self::RedirectNotAUrl => "https://[r.example]/good",
            Self::RedirectToHttp => "http://r.example/good",
            Self::RedirectWithCredentials => "https://user@r.example/good",
            Self::RedirectToNoHost => "https://-r.example/good",
            Self::RedirectToPortZero => "https://r.example:0/good",
            Self::RedirectInCircle => "https://r.example/back",
            Self::RedirectTooOften => "https://r.example/1",
            Self::RedirectToBlockedIp => "https://10.2570/gone",
            Self::RedirectToNoAddress | Self::RedirectToFailed | Self::RedirectToBlocked => {
                "https://r.example/gone"
            }
            Self::RedirectToNotFound => "https://r.example/missing",
            _ => return None,
        })
    }

    /// How the look-up by itself ends, in the spelling of `Debug`, as far as it matters; `leave`:
    /// a proxy looks hosts up.
    pub(crate) fn comes_to(self, leave: bool) -> &'static str {
        use FetchFailureKind as Kind;
        match self {
            _ if self.delegates().is_some() => "Ok",
            Self::NotFound => "Status { status: 404, retry_after: None",
            Self::Forbidden => "Status { status: 403, retry_after: None",
            Self::NoContent => "Status { status: 204, retry_after: None",
            Self::NotModified => "Status { status: 304, retry_after: None",
            Self::RequestTimeout => "Status { status: 408, retry_after: None",
            Self::TooManyRequests => "Status { status: 429, retry_after: Some(600s)",
            Self::ServerError => "Status { status: 503, retry_after: None",
            Self::Fails(Kind::Adapter) => "Fetch(FetchFailure { kind: Adapter",
            Self::Fails(Kind::NoAddress) => "Fetch(FetchFailure { kind: NoAddress",
            Self::Fails(Kind::Connect) => "Fetch(FetchFailure { kind: Connect,",
            Self::Fails(Kind::Refused) => "Fetch(FetchFailure { kind: Refused",
            Self::Fails(Kind::ConnectTimeout) => "Fetch(FetchFailure { kind: ConnectTimeout",
            Self::Fails(Kind::Tls) => "Fetch(FetchFailure { kind: Tls,",
            Self::Fails(Kind::TlsTimeout) => "Fetch(FetchFailure { kind: TlsTimeout",
            Self::Fails(Kind::ExchangeTimeout) => "Fetch(FetchFailure { kind: ExchangeTimeout",
            Self::Fails(Kind::Protocol) => "Fetch(FetchFailure { kind: Protocol",
            Self::Fails(Kind::HeadTooLarge) => "Fetch(FetchFailure { kind: HeadTooLarge",
            Self::Fails(Kind::CutOff) => "Fetch(FetchFailure { kind: CutOff",
            Self::Never | Self::Late => "TimedOut { limit: 15s",
            Self::TooLarge | Self::TooLargeUncounted => "TooLarge { limit: 51200",
            Self::Encoded => "ContentCoding { coding: \"gzip\"",
            Self::NotUtf8 => "Body(NotUtf8",
            Self::NotJson => "Body(Json",
            Self::NotAnObject => "Body(NotAnObject",
            Self::NoServer => "Body(MissingServer",
            Self::ServerNotAString => "Body(ServerNotAString",
            Self::NotAServerName => "Body(InvalidServerName",
            Self::NotAHost => "Body(Unresolvable",
            Self::RedirectNowhere => "Redirect(NoLocation",
            Self::RedirectToSeveral => "Redirect(SeveralLocations",
            Self::RedirectNotText => "Redirect(NotText",
            Self::RedirectTooLong => "Redirect(TooLong",
            Self::RedirectNotAUrl => "Redirect(NotAUrl",
            Self::RedirectToHttp => "Redirect(NotHttps",
            Self::RedirectWithCredentials => "Redirect(Credentials",
            Self::RedirectToNoHost => "Redirect(NotAHost",
            Self::RedirectToPortZero => "Redirect(PortZero",
            Self::RedirectInCircle => "Redirect(Loop",
            Self::RedirectTooOften => "Redirect(TooMany",
            // A host that nobody but the proxy looks up answers.
            Self::RedirectToNoAddress | Self::RedirectToFailed | Self::RedirectToBlocked
                if leave =>
            {
                "Status { status: 404"
            }
            Self::RedirectToNoAddress => "NoAddress { host: DnsName(r.example)",
            Self::RedirectToFailed => "Dns { host: DnsName(r.example)",
            Self::RedirectToBlocked => "Blocked { host: Dns(DnsName(r.example))",
            Self::RedirectToBlockedIp => "Blocked { host: Ip(10.0.10.10)",
            Self::RedirectToNotFound => "Status { status: 404",
            other => panic!("{other:?} is not described"),
        }
    }
}

/// What redirects lead to, by path.
pub(crate) fn redirected(path: &str) -> Option<Response<Body>> {
    let good = r#"{"m.server":"M.example"}"#;
    let to = |location: &'static str| page(302, &[(LOCATION, location.as_bytes())], LURE);
    Some(match path {
        "/good" => page(200, &[], good),
        "/1" => to("https://r.example/2"),
        "/2" => to("https://r.example/good"),
        "/back" => to("https://A.example:443/.well-known/matrix/server#top"),
        "/gone" | "/missing" => page(404, &[], good),
        _ => return None,
    })
}

fn page(status: u16, headers: &[(HeaderName, &[u8])], body: &str) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, HeaderValue::from_bytes(value).unwrap());
    }
    response.body(Body::from(body.as_bytes())).unwrap()
}
