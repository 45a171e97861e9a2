//! What `Content-Encoding` says of a body (RFC 9110 section 8.4).

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::core::text::excerpt_of_bytes;

/// The codings of the IANA registry and their aliases, without `identity`.
const REGISTERED: [&[u8]; 12] = [
    b"aes128gcm",
    b"br",
    b"compress",
    b"dcb",
    b"dcz",
    b"deflate",
    b"exi",
    b"gzip",
    b"pack200-gzip",
    b"x-compress",
    b"x-gzip",
    b"zstd",
];

/// What `Content-Encoding` says of a body. The text is the first member that counts, at most 255
/// bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    /// No coding: no header, or a list without members but `identity`.
    Identity,
    /// Words that are no codings, such as a character set. The body is probably as it is.
    Unknown(String),
    /// A registered coding, so that the body cannot be read as it is.
    Encoded(String),
}

impl ContentCoding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut unknown = None;
        for line in headers.get_all(CONTENT_ENCODING) {
            // Empty members are ignored (RFC 9110 section 5.6.1.2).
            for member in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if REGISTERED.iter().any(|coding| member.eq_ignore_ascii_case(coding)) {
                    return Self::Encoded(excerpt_of_bytes(member));
                }
                if !member.is_empty() && !member.eq_ignore_ascii_case(b"identity") {
                    unknown.get_or_insert(member);
                }
            }
        }
        unknown.map_or(Self::Identity, |member| Self::Unknown(excerpt_of_bytes(member)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn empty_members_are_no_codings_and_unknown_words_are_told_apart() {
        let unknown = |text: &str| ContentCoding::Unknown(text.to_owned());
        let encoded = |text: &str| ContentCoding::Encoded(text.to_owned());
        for (lines, expected) in [
            (&[][..], ContentCoding::Identity),
            (&[""], ContentCoding::Identity),
            (&[","], ContentCoding::Identity),
            (&["identity"], ContentCoding::Identity),
            (&["Identity, ", "\t,identity"], ContentCoding::Identity),
            (&["UTF-8"], unknown("UTF-8")),
            (&["identity, none, aws-chunked"], unknown("none")),
            (&["", "aws-chunked,"], unknown("aws-chunked")),
            (&["gzip;q=1"], unknown("gzip;q=1")),
            (&["GZip"], encoded("GZip")),
            (&["identity, br"], encoded("br")),
            (&["utf-8", "x-gzip"], encoded("x-gzip")),
            (&["zstd, gzip"], encoded("zstd")),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(ContentCoding::of(&headers), expected, "{lines:?}");
        }
        let long = HeaderValue::try_from("a".repeat(300)).unwrap();
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, long)]);
        assert_eq!(ContentCoding::of(&headers), unknown(&"a".repeat(255)));
    }
}
