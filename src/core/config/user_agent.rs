//! The `User-Agent` of the well-known fetch.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::core::text::string_conversions;

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

impl FromStr for UserAgent {
    type Err = http::header::InvalidHeaderValue;

    /// Accepts visible ASCII and spaces only, as RFC 9110 section 5.5 asks of senders.
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        // `HeaderValue` accepts other bytes, but does not return them as text.
        let text = if value.is_ascii() { value } else { "\0" };
        HeaderValue::from_str(text).map(Self)
    }
}

impl fmt::Display for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

string_conversions!(UserAgent);
