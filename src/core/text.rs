//! Text from outside that is kept as evidence.

use std::error::Error;
use std::fmt;

/// At most this many bytes of a text from outside are kept as evidence: the length limit of a host
/// name (the appendix's `dns-name`).
pub(crate) const MAX_EXCERPT: usize = 255;

/// Returns the start of a text, at most [`MAX_EXCERPT`] bytes, cut between characters.
pub(crate) fn excerpt(text: &str) -> String {
    let end = (0..=MAX_EXCERPT.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// Returns the start of a text that need not be UTF-8, at most [`MAX_EXCERPT`] bytes.
pub(crate) fn excerpt_of_bytes(bytes: &[u8]) -> String {
    let start = bytes.get(..MAX_EXCERPT.min(bytes.len())).unwrap_or_default();
    excerpt(&String::from_utf8_lossy(start))
}

/// Implements the conversions from and to text that serde and callers need, by `FromStr` and
/// `Display`.
macro_rules! string_conversions {
    ($type:ty) => {
        impl TryFrom<&str> for $type {
            type Error = <Self as std::str::FromStr>::Err;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $type {
            type Error = <Self as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use string_conversions;

/// Writes items with a separator between them.
pub(crate) fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        f.write_str(if index == 0 { "" } else { separator })?;
        item.fmt(f)?;
    }
    Ok(())
}

/// Displays an error with its causes on one line.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
