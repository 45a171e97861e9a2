//! Host names that DNS, TLS and a URL can carry.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::core::text::string_conversions;

/// Longest host name in characters, without the final dot (RFC 1035 section 2.3.4: 255 octets on
/// the wire, one of them the root's, one the first label's length).
const MAX_NAME: usize = 253;
/// Longest label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// An absolute host name in lower case, without its final dot.
///
/// Every value can be asked of DNS, carried in SNI and written into a URL, and is no spelling of
/// an IP address. Comparison is therefore a comparison of bytes. Cloning is cheap.
///
/// ```
/// use matrix_delegation::names::{DnsName, NotAHostName};
///
/// let name: DnsName = "Matrix.Example".parse()?;
/// assert_eq!(name.as_str(), "matrix.example");
/// assert_eq!("127.1".parse::<DnsName>(), Err(NotAHostName::LooksLikeAnAddress));
/// # Ok::<(), NotAHostName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct DnsName(Arc<str>);

/// Why a name is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotAHostName {
    /// The name is empty.
    #[error("it is empty")]
    Empty,
    /// The name is longer than 253 bytes (RFC 1035 section 2.3.4).
    #[error("it is longer than 253 bytes")]
    TooLong,
    /// It ends with a dot. Server names are absolute already; with the dot they would be a second
    /// spelling of the same host.
    #[error("it ends with a dot")]
    TrailingDot,
    /// There are two dots in a row, or one at the start.
    #[error("it has an empty label")]
    EmptyLabel,
    /// A label longer than 63 bytes (RFC 1035 section 2.3.4).
    #[error("it has a label longer than 63 bytes")]
    LabelTooLong,
    /// A label begins or ends with a hyphen (RFC 1123 section 2.1, RFC 952).
    #[error("it has a label that begins or ends with a hyphen")]
    Hyphen,
    /// A byte other than a letter, a digit, a hyphen or a dot.
    #[error("it has a character that no host name has")]
    Character,
    /// The last label is a number, so that a URL parser or `inet_aton` would read an IP address.
    #[error("its last label is a number, so that some programs would read it as an IP address")]
    LooksLikeAnAddress,
}

/// The characters that a label may contain besides letters, digits and hyphens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Charset {
    /// None, as in host names.
    Host,
    /// What the URL standard permits in a domain and certificates may carry.
    Url,
}

impl DnsName {
    /// Returns the name in lower case, without a final dot, as shared text.
    #[cfg(feature = "resolver")]
    pub(crate) fn into_text(self) -> Arc<str> {
        self.0
    }

    /// Returns the name in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the name lies under `.onion`, which is never asked of DNS (RFC 7686 section
    /// 2).
    pub fn is_onion(&self) -> bool {
        self.0.rsplit('.').next() == Some("onion")
    }

    /// Reads a domain as the URL standard does: a final dot is dropped and `_` may appear.
    /// Otherwise it is as strict as [`FromStr`].
    pub(crate) fn from_url_domain(domain: &str) -> Result<Self, NotAHostName> {
        Self::checked(domain.strip_suffix('.').unwrap_or(domain), Charset::Url)
    }

    /// Makes the name of a server name's host, and shares its text if that is the same.
    pub(crate) fn of_host(text: &Arc<str>, name: &str) -> Result<Self, NotAHostName> {
        if text.len() != name.len() || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return name.parse();
        }
        check(name, Charset::Host)?;
        Ok(Self(Arc::clone(text)))
    }

    fn checked(name: &str, charset: Charset) -> Result<Self, NotAHostName> {
        check(name, charset)?;
        Ok(Self(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Arc::from(name.to_ascii_lowercase())
        } else {
            Arc::from(name)
        }))
    }
}

/// Checks whether `name` is a host name, without an allocation.
pub(crate) fn check_host_name(name: &str) -> Result<(), NotAHostName> {
    check(name, Charset::Host)
}

fn check(name: &str, charset: Charset) -> Result<(), NotAHostName> {
    if name.is_empty() {
        return Err(NotAHostName::Empty);
    }
    if name.ends_with('.') {
        return Err(NotAHostName::TrailingDot);
    }
    if name.len() > MAX_NAME {
        return Err(NotAHostName::TooLong);
    }
    let mut last = "";
    for label in name.split('.') {
        if label.is_empty() {
            return Err(NotAHostName::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(NotAHostName::LabelTooLong);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(NotAHostName::Hyphen);
        }
        let allowed = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || byte == b'-'
                || (charset == Charset::Url && byte == b'_')
        };
        if !label.bytes().all(allowed) {
            return Err(NotAHostName::Character);
        }
        last = label;
    }
    if is_number(last) {
        return Err(NotAHostName::LooksLikeAnAddress);
    }
    Ok(())
}

/// Returns whether the URL standard's "ends in a number" checker would take the label for a number.
fn is_number(label: &str) -> bool {
    let bytes = label.as_bytes();
    if bytes.iter().all(u8::is_ascii_digit) {
        return true;
    }
    match bytes.strip_prefix(b"0x").or_else(|| bytes.strip_prefix(b"0X")) {
        Some(digits) => digits.iter().all(u8::is_ascii_hexdigit),
        None => false,
    }
}

impl FromStr for DnsName {
    type Err = NotAHostName;

    fn from_str(name: &str) -> Result<Self, NotAHostName> {
        Self::checked(name, Charset::Host)
    }
}

string_conversions!(DnsName);

impl<'de> Deserialize<'de> for DnsName {
    /// Reads the serialised form, which may be the host of a redirect with `_` in it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::checked(&name, Charset::Url).map_err(D::Error::custom)
    }
}

impl AsRef<str> for DnsName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DnsName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsName({})", self.0)
    }
}
