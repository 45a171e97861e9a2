//! Where a well-known document may be fetched, and where a redirect may lead.
//!
//! A host is what the URL standard reads in a URL, not what it looks like: `0x7f.1` is an address
//! here, and the address policy judges it as one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::header::{HeaderMap, LOCATION};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::core::names::{DnsName, Host, NotAHostName};
use crate::core::text::{excerpt, string_conversions};

/// The path of a well-known document at its first host (RFC 8615; spec, `GET
/// /.well-known/matrix/server`).
const PATH: &str = "/.well-known/matrix/server";
/// The default port of `https` (RFC 9110 section 4.2.2).
const HTTPS_PORT: u16 = 443;
/// The longest `Location`, and the longest URL that one may resolve to, in bytes. RFC 9110 section
/// 4.1 asks recipients to support 8,000.
const MAX_URL: usize = 8_192;

/// An `https` URL that may be fetched for a well-known document.
///
/// It has a host that can be connected to, a port other than 0, no credentials and no fragment. It
/// is normalised as the URL standard says, without its default port and the host's final dot, so
/// that two spellings of one URL are equal. It serialises as a string, and reading checks it.
///
/// ```
/// use matrix_delegation::names::DnsName;
/// use matrix_delegation::well_known::WellKnownUrl;
///
/// let url = WellKnownUrl::of_host(&"Matrix.Example".parse::<DnsName>()?);
/// assert_eq!(url.to_string(), "https://matrix.example/.well-known/matrix/server");
/// assert_eq!(url.port(), 443);
/// assert_eq!("https://matrix.example:443/.well-known/matrix/server".parse(), Ok(url));
/// # Ok::<(), matrix_delegation::names::NotAHostName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WellKnownUrl {
    /// Always `https` with an authority: `host` as it displays, and `port` if it is not 443.
    uri: Uri,
    host: Host,
    port: u16,
}

/// Why a redirect is not followed, or a URL not fetched.
///
/// URLs are kept as evidence, cut to 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RedirectError {
    /// The status is none of 301, 302, 303, 307 and 308.
    #[error("status {status} is no redirect")]
    NotARedirect {
        /// The status.
        status: u16,
    },
    /// There is no `Location`.
    #[error("the redirect has no Location")]
    NoLocation,
    /// There are several `Location` lines, and they differ (RFC 9110 section 10.2.2: one).
    #[error("the redirect has {count} Location lines that differ")]
    SeveralLocations {
        /// How many lines.
        count: usize,
    },
    /// The `Location` is not UTF-8.
    #[error("the Location is not text")]
    NotText,
    /// The `Location`, or the URL it resolves to, is longer than 8,192 bytes (RFC 9110 section 4.1
    /// asks for the support of 8,000).
    #[error("the URL has {bytes} bytes, more than 8192")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// No URL can be made of it.
    #[error("{location:?} is no URL: {reason}")]
    NotAUrl {
        /// The text, at most 255 bytes of it.
        location: String,
        /// The message of the URL parser.
        reason: String,
    },
    /// The scheme is not `https`.
    #[error("the URL's scheme is {scheme:?}, not https")]
    NotHttps {
        /// The scheme, at most 255 bytes of it.
        scheme: String,
    },
    /// A user name, a password, or merely the `@` that sets them off (RFC 9110 section 4.2.4:
    /// an error where the URL comes from elsewhere). They are not kept.
    #[error("the URL carries credentials")]
    Credentials,
    /// The host is not one that can be connected to.
    #[error("{host:?} is no host to connect to")]
    NotAHost {
        /// The host as the URL standard reads it, at most 255 bytes of it.
        host: String,
        /// What is wrong with it.
        #[source]
        source: NotAHostName,
    },
    /// Port 0, on which nothing can listen.
    #[error("the URL's port is 0")]
    PortZero,
    /// The URL was fetched before in this chain. Whoever follows the chain raises this.
    #[error("the redirects lead in a circle, back to {url}")]
    Loop {
        /// The URL, at most 255 bytes of it.
        url: String,
    },
    /// The chain of redirects is too long. Whoever follows the chain raises this.
    #[error("more than {limit} redirects")]
    TooMany {
        /// The limit on redirects.
        limit: usize,
    },
}

impl RedirectError {
    /// Creates the error for a redirect to a URL that was fetched before.
    ///
    /// ```
    /// use matrix_delegation::names::DnsName;
    /// use matrix_delegation::well_known::{RedirectError, WellKnownUrl};
    ///
    /// let seen = WellKnownUrl::of_host(&"a.example".parse::<DnsName>()?);
    /// assert_eq!(
    ///     RedirectError::back_to(&seen).to_string(),
    ///     "the redirects lead in a circle, back to https://a.example/.well-known/matrix/server",
    /// );
    /// # Ok::<(), matrix_delegation::names::NotAHostName>(())
    /// ```
    pub fn back_to(url: &WellKnownUrl) -> Self {
        Self::Loop { url: excerpt(&url.to_string()) }
    }
}

/// Returns whether a status asks to look elsewhere for the same document: 301, 302, 303, 307 or 308
/// (RFC 9110 section 15.4). 300 leaves a choice to the user, and 304 answers a condition that was
/// never set.
///
/// ```
/// use http::StatusCode;
/// use matrix_delegation::well_known::is_redirect;
///
/// assert!(is_redirect(StatusCode::PERMANENT_REDIRECT));
/// assert!(!is_redirect(StatusCode::NOT_MODIFIED));
/// ```
pub fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

impl WellKnownUrl {
    /// Returns the URL of a host's own well-known document (spec, "Server discovery", step 3): port
    /// 443, `/.well-known/matrix/server`.
    pub fn of_host(host: &DnsName) -> Self {
        // A host name contains nothing that a URI would refuse, so the fallback is never used.
        let uri = Uri::try_from(format!("https://{host}{PATH}")).unwrap_or_default();
        Self { uri, host: Host::Dns(host.clone()), port: HTTPS_PORT }
    }

    /// Returns the URL with scheme, authority and path, as [`http::Request`] takes it.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the host to connect to and to find in the certificate.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the port to connect to; 443 if the URL has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the value of `Host`: the host, IPv6 in brackets, and the port unless it is 443 (RFC
    /// 9110 section 7.2).
    ///
    /// ```
    /// use matrix_delegation::well_known::WellKnownUrl;
    ///
    /// let url: WellKnownUrl = "https://[2001:DB8::7]:8443/".parse()?;
    /// assert_eq!(url.host_header(), "[2001:db8::7]:8443");
    /// # Ok::<(), matrix_delegation::well_known::RedirectError>(())
    /// ```
    pub fn host_header(&self) -> &str {
        self.uri.authority().map_or("", http::uri::Authority::as_str)
    }

    /// Returns where this URL's response leads, by its status and its `Location` (RFC 9110 section
    /// 10.2.2).
    ///
    /// A relative `Location` is resolved against this URL. If the URL standard cannot parse this
    /// URL (`xn--` before what is not punycode), only absolute ones can be followed. The caller
    /// checks for loops and for the length of the chain.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue, StatusCode};
    /// use matrix_delegation::names::DnsName;
    /// use matrix_delegation::well_known::{RedirectError, WellKnownUrl};
    ///
    /// let start = WellKnownUrl::of_host(&"a.example".parse::<DnsName>()?);
    /// let mut headers = HeaderMap::new();
    /// headers.insert("location", HeaderValue::from_static("//www.a.example/matrix#top"));
    /// let next = start.redirect(StatusCode::FOUND, &headers)?;
    /// assert_eq!(next.to_string(), "https://www.a.example/matrix");
    ///
    /// headers.insert("location", HeaderValue::from_static("http://a.example/"));
    /// assert_eq!(
    ///     start.redirect(StatusCode::FOUND, &headers),
    ///     Err(RedirectError::NotHttps { scheme: "http".to_owned() }),
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redirect(&self, status: StatusCode, headers: &HeaderMap) -> Result<Self, RedirectError> {
        if !is_redirect(status) {
            return Err(RedirectError::NotARedirect { status: status.as_u16() });
        }
        let mut lines = headers.get_all(LOCATION).iter();
        let location = lines.next().ok_or(RedirectError::NoLocation)?.as_bytes();
        if lines.any(|line| line.as_bytes() != location) {
            let count = headers.get_all(LOCATION).iter().count();
            return Err(RedirectError::SeveralLocations { count });
        }
        check_length(location.len())?;
        let location = std::str::from_utf8(location).map_err(|_| RedirectError::NotText)?;
        let base = Url::parse(&self.to_string()).ok();
        Self::resolve(base.as_ref(), location)
    }

    fn resolve(base: Option<&Url>, location: &str) -> Result<Self, RedirectError> {
        let not_a_url = |reason: &dyn fmt::Display| RedirectError::NotAUrl {
            location: excerpt(location),
            reason: reason.to_string(),
        };
        // The parsed URL cannot tell `https://@h/` from `https://h/`; the parser can.
        let credentials = std::cell::Cell::new(false);
        let notice = |violation| {
            if violation == url::SyntaxViolation::EmbeddedCredentials {
                credentials.set(true);
            }
        };
        let parsed =
            Url::options().base_url(base).syntax_violation_callback(Some(&notice)).parse(location);
        let url = match parsed {
            Ok(url) if url.scheme() != "https" => {
                return Err(RedirectError::NotHttps { scheme: excerpt(url.scheme()) });
            }
            // Credentials come before any error that would quote them.
            _ if credentials.get() => return Err(RedirectError::Credentials),
            Ok(url) => url,
            Err(error) => return Err(not_a_url(&error)),
        };
        let host = match url.host() {
            Some(url::Host::Ipv4(address)) => Host::Ip(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Host::Ip(IpAddr::V6(address)),
            Some(url::Host::Domain(domain)) => Host::Dns(host_name(domain)?),
            None => host_name("").map(Host::Dns)?,
        };
        let port = match url.port_or_known_default() {
            Some(0) => return Err(RedirectError::PortZero),
            port => port.unwrap_or(HTTPS_PORT),
        };

        // The URL is built again: without fragment, and with the host in the one spelling used
        // here.
        let mut text = format!("https://{host}");
        if port != HTTPS_PORT {
            text = format!("{text}:{port}");
        }
        text.push_str(url.path());
        if let Some(query) = url.query() {
            text = format!("{text}?{query}");
        }
        check_length(text.len())?;
        let uri = Uri::try_from(text).map_err(|error| not_a_url(&error))?;
        Ok(Self { uri, host, port })
    }
}

fn host_name(domain: &str) -> Result<DnsName, RedirectError> {
    DnsName::from_url_domain(domain)
        .map_err(|source| RedirectError::NotAHost { host: excerpt(domain), source })
}

fn check_length(bytes: usize) -> Result<(), RedirectError> {
    if bytes > MAX_URL { Err(RedirectError::TooLong { bytes }) } else { Ok(()) }
}

impl FromStr for WellKnownUrl {
    type Err = RedirectError;

    /// Parses an absolute URL by the rules of a redirect.
    fn from_str(text: &str) -> Result<Self, RedirectError> {
        check_length(text.len())?;
        // What `of_host` makes is parsed by the rules that made it: it may contain a host name that
        // the URL standard refuses.
        let first = text
            .strip_prefix("https://")
            .and_then(|rest| rest.strip_suffix(PATH))
            .and_then(|host| host.parse().ok());
        match first {
            Some(host) => Ok(Self::of_host(&host)),
            None => Self::resolve(None, text),
        }
    }
}

string_conversions!(WellKnownUrl);

impl fmt::Display for WellKnownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}
