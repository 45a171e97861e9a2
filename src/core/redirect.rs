use super::{
    dns_name::{DnsName, NotAHostName},
    host::Host,
};
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct WellKnownUrl {
    #[serde(skip, default = "d")]
    uri: http::Uri,
    host: Host,
    port: u16,
}
fn d() -> http::Uri {
    http::Uri::from_static("https://x/")
}
impl WellKnownUrl {
    pub fn of_host(host: &DnsName) -> Self {
        Self {
            uri: format!("https://{host}/.well-known/matrix/server").parse().unwrap(),
            host: Host::Dns(host.clone()),
            port: 443,
        }
    }
    pub fn uri(&self) -> &http::Uri {
        &self.uri
    }
    pub fn host(&self) -> &Host {
        &self.host
    }
    pub fn port(&self) -> u16 {
        self.port
    }
    pub fn host_header(&self) -> http::HeaderValue {
        http::HeaderValue::from_str(&self.host.to_string()).unwrap()
    }
    pub fn redirect(
        &self,
        _s: http::StatusCode,
        h: &http::HeaderMap,
    ) -> Result<Self, RedirectError> {
        let base = url::Url::parse(&self.uri.to_string()).unwrap();
        let u = base.join(h["location"].to_str().unwrap()).unwrap();
        if u.scheme() != "https" || u.username() != "" {
            return Err(RedirectError::Bad);
        }
        let host = match u.host().unwrap() {
            url::Host::Domain(d) => {
                Host::Dns(DnsName::from_url_domain(d).map_err(RedirectError::NotAHost)?)
            }
            url::Host::Ipv4(a) => Host::Ip(a.into()),
            url::Host::Ipv6(a) => Host::Ip(a.into()),
        };
        let mut v = u.clone();
        v.set_fragment(None);
        Ok(Self { uri: v.as_str().parse().unwrap(), host, port: u.port().unwrap_or(443) })
    }
}
impl std::fmt::Display for WellKnownUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uri.fmt(f)
    }
}
pub fn is_redirect(s: http::StatusCode) -> bool {
    matches!(s.as_u16(), 301 | 302 | 303 | 307 | 308)
}
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, thiserror::Error, serde::Serialize, serde::Deserialize,
)]
pub enum RedirectError {
    #[error("x")]
    Loop { url: String },
    #[error("y")]
    TooMany { limit: usize },
    #[error("b")]
    Bad,
    #[error("b")]
    NotAHost(NotAHostName),
}
