//! The `User-Agent` of the well-known fetch.

use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// A value for the `User-Agent` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserAgent(HeaderValue);

impl UserAgent {
    /// Returns the header's value.
    pub const fn as_header(&self) -> &HeaderValue {
        &self.0
    }
}

impl Default for UserAgent {
    fn default() -> Self {
        Self(HeaderValue::from_static(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        )))
    }
}

impl TryFrom<String> for UserAgent {
    type Error = http::header::InvalidHeaderValue;

    /// Accepts visible ASCII and spaces only, as RFC 9110 section 5.5 asks of senders.
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl std::str::FromStr for UserAgent {
    type Err = http::header::InvalidHeaderValue;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        // `HeaderValue` accepts other bytes, but does not return them as text.
        let text = if value.is_ascii() { value } else { "\0" };
        HeaderValue::from_str(text).map(Self)
    }
}

impl From<UserAgent> for String {
    fn from(value: UserAgent) -> Self {
        value.0.to_str().unwrap_or_default().to_owned()
    }
}
