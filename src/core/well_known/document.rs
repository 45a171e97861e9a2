//! The document at `/.well-known/matrix/server`.

use std::fmt;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::error::Category;
use thiserror::Error;

use crate::core::names::{Host, ServerName, ServerNameError, UnresolvableName};
use crate::core::text::Causes;

/// Longest document that is read, in bytes. The specification sets no bound; Synapse and
/// gomatrixserverlib read 50 KiB.
pub const MAX_BODY_BYTES: usize = 51_200;

/// The only key of the document that is read (`wellknown.yaml`).
const SERVER_KEY: &str = "m.server";
/// The longest lifetime that is announced, in seconds. It fits 31 bits, because recipients need not
/// read more (RFC 9111 section 1.2.2).
const MAX_MAX_AGE: u64 = 2_147_483_647;

/// A delegation as a server publishes it: the parsed document at `/.well-known/matrix/server`.
///
/// Every value names a host that can be connected to. Its serde form is the document itself, read
/// as [`WellKnown::from_body`] reads it.
///
/// ```
/// use matrix_delegation::WellKnown;
///
/// let document = WellKnown::from_body(br#"{"m.server": "M.example:443", "other": [1]}"#)?;
/// assert_eq!(document.server().as_str(), "M.example:443");
/// assert_eq!(document.host().to_string(), "m.example");
/// # Ok::<(), matrix_delegation::well_known::WellKnownError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WellKnown {
    server: ServerName,
    host: Host,
    /// What the response called the coding of the body, if that is no coding. Most documents have
    /// none, so they hold a thin pointer.
    odd_coding: Option<Box<OddCoding>>,
}

/// A word in `Content-Encoding` that is no content coding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OddCoding(String);

/// Why a body is not a valid document. Each of these leads to step 4 of the server discovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WellKnownError {
    /// The body is too long to be read.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body is not UTF-8 (RFC 8259 section 8.1).
    #[error("the body is not UTF-8 (byte {at})")]
    NotUtf8 {
        /// The first byte that is not, from 0.
        at: usize,
    },
    /// The body begins with a byte order mark, of UTF-8 or of UTF-16. JSON that is exchanged has none
    /// (RFC 8259 section 8.1).
    #[error("the body begins with a byte order mark: save the file as UTF-8 without one")]
    ByteOrderMark,
    /// The body is not JSON, or something follows it.
    #[error("the body is not JSON (line {line}, column {column}): {message}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The byte in the line, from 1; 0 at the end of what is empty.
        column: usize,
        /// The message of the JSON parser.
        message: String,
    },
    /// It is JSON, but not an object.
    #[error("the document is not a JSON object")]
    NotAnObject,
    /// There is no `m.server`.
    #[error("the document has no m.server")]
    MissingServer,
    /// The last `m.server` is not a string.
    #[error("m.server is not a string")]
    ServerNotAString,
    /// The last `m.server` is not in the grammar of server names.
    #[error("m.server is not a server name: {:?}", source.name())]
    InvalidServerName {
        /// What is wrong with it, and at which byte of the decoded string.
        source: ServerNameError,
    },
    /// The last `m.server` is a server name, but no host can be made of it.
    #[error("m.server names no host")]
    Unresolvable(#[source] UnresolvableName),
}

impl WellKnown {
    /// Creates the document that delegates to `server`.
    ///
    /// # Errors
    ///
    /// If no host can be made of the name, because no other server would follow it.
    ///
    /// ```
    /// use matrix_delegation::{ServerName, WellKnown};
    ///
    /// assert!(WellKnown::new(ServerName::parse("m.example:443")?).is_ok());
    /// assert!(WellKnown::new(ServerName::parse("m..example")?).is_err());
    /// # Ok::<(), matrix_delegation::names::ServerNameError>(())
    /// ```
    pub fn new(server: ServerName) -> Result<Self, UnresolvableName> {
        Ok(Self { host: server.to_host()?, server, odd_coding: None })
    }

    /// Parses a document of at most [`MAX_BODY_BYTES`].
    ///
    /// It has to be a JSON object in UTF-8, without a byte order mark and with only white space
    /// around it. Of several `m.server` the last one counts, whatever it is. Other keys are
    /// ignored.
    ///
    /// ```
    /// use matrix_delegation::well_known::WellKnownError;
    /// use matrix_delegation::WellKnown;
    ///
    /// assert_eq!(WellKnown::from_body(b"[]"), Err(WellKnownError::NotAnObject));
    /// assert_eq!(WellKnown::from_body(b"{}"), Err(WellKnownError::MissingServer));
    /// ```
    pub fn from_body(body: &[u8]) -> Result<Self, WellKnownError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(WellKnownError::TooLarge { limit: MAX_BODY_BYTES });
        }
        if [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"].iter().any(|it| body.starts_with(it)) {
            return Err(WellKnownError::ByteOrderMark);
        }
        let text = std::str::from_utf8(body)
            .map_err(|error| WellKnownError::NotUtf8 { at: error.valid_up_to() })?;
        let Document(server) = serde_json::from_str(text).map_err(|error| {
            // The parser stops at a value that is not an object. It is JSON only if the rest is
            // valid, too.
            let error = match error.classify() {
                Category::Data => serde_json::from_str::<IgnoredAny>(text).err(),
                Category::Io | Category::Syntax | Category::Eof => Some(error),
            };
            error.map_or(WellKnownError::NotAnObject, |error| WellKnownError::json(&error))
        })?;
        Self::new(server?).map_err(WellKnownError::Unresolvable)
    }

    /// Returns the delegated name, as it was written.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// Returns the host of the delegated name, in lower case.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the word in the response's `Content-Encoding` that is no content coding, if there was
    /// one: a character set, or what storage services leave there. The document counts all the
    /// same. At most 255 bytes are kept, and neither serde nor a record keeps any.
    pub fn odd_coding(&self) -> Option<&str> {
        self.odd_coding.as_deref().map(|OddCoding(coding)| coding.as_str())
    }

    pub(crate) fn with_odd_coding(self, coding: String) -> Self {
        Self { odd_coding: Some(Box::new(OddCoding(coding))), ..self }
    }

    /// Returns the document as JSON, to be served at `/.well-known/matrix/server`.
    ///
    /// ```
    /// use matrix_delegation::WellKnown;
    ///
    /// let document = WellKnown::new("m.example:443".parse()?)?;
    /// assert_eq!(document.to_body(), br#"{"m.server":"m.example:443"}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_body(&self) -> Vec<u8> {
        // No character of the grammar needs escaping in JSON.
        format!(r#"{{"{SERVER_KEY}":"{}"}}"#, self.server).into_bytes()
    }

    /// Returns the response that serves the document: status 200, `Content-Type: application/json`,
    /// and `Cache-Control: max-age` with the whole seconds of `max_age`.
    ///
    /// The specification recommends that others cache it for at most 48 hours, so longer times have
    /// no effect. The most that is written is 2,147,483,647 seconds. Framing the body
    /// (`Content-Length`) is left to the HTTP server, which also handles `HEAD` and content
    /// codings.
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::WellKnown;
    ///
    /// let document = WellKnown::new("m.example:443".parse()?)?;
    /// let response = document.to_response(Duration::from_secs(86_400));
    /// assert_eq!(response.headers()["cache-control"], "max-age=86400");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_response(&self, max_age: Duration) -> http::Response<Vec<u8>> {
        let mut response = http::Response::new(self.to_body());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let lifetime = format!("max-age={}", max_age.as_secs().min(MAX_MAX_AGE));
        // Letters, `=`, `-` and digits always form a header value.
        if let Ok(lifetime) = HeaderValue::try_from(lifetime) {
            headers.insert(CACHE_CONTROL, lifetime);
        }
        response
    }
}

impl WellKnownError {
    fn json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        // The messages of serde_json end with the position, which has fields of its own here.
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
        Self::Json { line, column, message }
    }
}

impl Serialize for WellKnown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(SERVER_KEY, &self.server)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for WellKnown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Document(server) = Document::deserialize(deserializer)?;
        let document =
            server.and_then(|server| Self::new(server).map_err(WellKnownError::Unresolvable));
        // serde keeps no source, so the message contains the whole chain.
        document.map_err(|error| D::Error::custom(Causes(&error)))
    }
}

/// An object, reduced to what its last `m.server` says.
struct Document(Result<ServerName, WellKnownError>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with m.server")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut server = Err(WellKnownError::MissingServer);
                while let Some(Key { is_server }) = map.next_key()? {
                    if is_server {
                        Member(server) = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Document(server))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A key, which is compared and not kept.
struct Key {
    is_server: bool,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key, E> {
                Ok(Key { is_server: key == SERVER_KEY })
            }
        }

        deserializer.deserialize_identifier(Text)
    }
}

/// The value of one `m.server`. Any type is accepted while the document is read, because a later
/// `m.server` may replace it.
struct Member(Result<ServerName, WellKnownError>);

impl Member {
    const NOT_A_STRING: Self = Self(Err(WellKnownError::ServerNotAString));
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, name: &str) -> Result<Member, E> {
                Ok(Member(
                    ServerName::parse(name)
                        .map_err(|source| WellKnownError::InvalidServerName { source }),
                ))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
                Ok(Member::NOT_A_STRING)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
                Ok(Member::NOT_A_STRING)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
                Ok(Member::NOT_A_STRING)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
                Ok(Member::NOT_A_STRING)
            }

            fn visit_unit<E>(self) -> Result<Member, E> {
                Ok(Member::NOT_A_STRING)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Member::NOT_A_STRING)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Member::NOT_A_STRING)
            }
        }

        deserializer.deserialize_any(Any)
    }
}
