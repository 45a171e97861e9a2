//! Bodies of `/.well-known/matrix/server`.
//!
//! Invariant: a body is a document exactly if it is UTF-8, at most 51,200 bytes, one JSON object,
//! and its last `m.server` is a string that is a server name of which a host can be made. That is
//! judged by a second JSON reader, which is slow and plain, and by `serde_json::Value` where that
//! reads the body. Whatever else it is, the error says which of these fails first. A document is
//! written as it was read, by `to_body` and by serde.
//!
//! Only half of a surrogate pair and numbers over the range of `f64` may be taken either way where
//! their value does not matter: RFC 8259 leaves both to the reader.
//!
//! Input: the body.

use std::time::Duration;

use matrix_delegation::WellKnown;
use matrix_delegation::well_known::{MAX_BODY_BYTES, WellKnownError};
use serde_json::Value;

use crate::oracle;

/// Checks one input.
pub fn run(data: &[u8]) {
    let read = WellKnown::from_body(data);
    let (expected, odd) = expected(data);
    match (&expected, &read) {
        (Expected::Server(server), Ok(document)) => {
            assert_eq!(document.server().as_str(), server);
            check_document(document);
        }
        (Expected::TooLarge, Err(WellKnownError::TooLarge { limit: MAX_BODY_BYTES }))
        | (Expected::NotJson, Err(WellKnownError::Json { .. }))
        | (Expected::NotAnObject, Err(WellKnownError::NotAnObject))
        | (Expected::Missing, Err(WellKnownError::MissingServer))
        | (Expected::NotAString, Err(WellKnownError::ServerNotAString)) => {}
        (Expected::NotJson, Err(WellKnownError::ByteOrderMark)) => {
            assert!(data.starts_with("\u{feff}".as_bytes()));
        }
        (Expected::NotUtf8(at), Err(WellKnownError::NotUtf8 { at: found })) => {
            assert_eq!(at, found);
        }
        (Expected::NotAName(text), Err(WellKnownError::InvalidServerName { source })) => {
            let name = source.name();
            assert!(name.len() <= 255 && text.starts_with(name));
        }
        (Expected::NoHost(text), Err(WellKnownError::Unresolvable(error))) => {
            assert_eq!(error.name.as_str(), text);
        }
        (_, Err(WellKnownError::Json { .. })) if odd => {}
        _ => panic!("{read:?} instead of {expected:?}"),
    }
    // Of bytes `serde_json` does not look whether what is skipped is UTF-8; of text it need not.
    if let Ok(text) = std::str::from_utf8(data)
        && data.len() <= MAX_BODY_BYTES
    {
        assert_eq!(serde_json::from_str::<WellKnown>(text).ok().as_ref(), read.as_ref().ok());
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            assert_eq!(of_value(&value), expected);
            assert!(!matches!(read, Err(WellKnownError::Json { .. })));
        }
    }
    if let Err(error) = read {
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<WellKnownError>(&json).unwrap(), error);
    }
}

fn check_document(document: &WellKnown) {
    assert_eq!(document.server().to_host().as_ref(), Ok(document.host()));
    let body = document.to_body();
    assert_eq!(WellKnown::from_body(&body).as_ref(), Ok(document));
    assert_eq!(serde_json::to_vec(document).unwrap(), body);
    assert_eq!(WellKnown::new(document.server().clone()).as_ref(), Ok(document));
    assert_eq!(document.to_response(Duration::from_secs(1)).body(), &body);
}

#[derive(Debug, PartialEq)]
enum Expected {
    Server(String),
    TooLarge,
    NotUtf8(usize),
    NotJson,
    NotAnObject,
    Missing,
    NotAString,
    NotAName(String),
    NoHost(String),
}

/// What the body is, and whether it has something in it that may be taken either way.
fn expected(body: &[u8]) -> (Expected, bool) {
    if body.len() > MAX_BODY_BYTES {
        return (Expected::TooLarge, false);
    }
    if let Err(error) = std::str::from_utf8(body) {
        return (Expected::NotUtf8(error.valid_up_to()), false);
    }
    let mut reader = Reader { bytes: body, at: 0, odd: false };
    let expected = match reader.document() {
        None => Expected::NotJson,
        Some(Document::NotAnObject) => Expected::NotAnObject,
        Some(Document::Object(Server::Missing)) => Expected::Missing,
        Some(Document::Object(Server::NotAString)) => Expected::NotAString,
        Some(Document::Object(Server::Text(name))) => of_name(name),
    };
    (expected, reader.odd)
}

fn of_value(value: &Value) -> Expected {
    match value.as_object().map(|object| object.get("m.server")) {
        None => Expected::NotAnObject,
        Some(None) => Expected::Missing,
        Some(Some(Value::String(name))) => of_name(name.clone()),
        Some(Some(_)) => Expected::NotAString,
    }
}

fn of_name(name: String) -> Expected {
    match oracle::server_name(name.as_bytes()) {
        None => Expected::NotAName(name),
        Some(read) => {
            let host = &name.as_bytes()[..read.host_len];
            if read.address.is_some() || oracle::is_host_name(host, false) {
                Expected::Server(name)
            } else {
                Expected::NoHost(name)
            }
        }
    }
}

enum Document {
    NotAnObject,
    Object(Server),
}

/// The last `m.server` of an object.
enum Server {
    Missing,
    NotAString,
    Text(String),
}

/// RFC 8259, one byte after the other. What is nested is kept track of by its brackets alone.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    odd: bool,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<Document> {
        self.space();
        let document = if self.take(b'{') {
            Document::Object(self.members()?)
        } else {
            self.value()?;
            Document::NotAnObject
        };
        self.space();
        (self.at == self.bytes.len()).then_some(document)
    }

    /// The members of the outermost object, whose brace has been taken.
    fn members(&mut self) -> Option<Server> {
        let mut server = Server::Missing;
        self.space();
        if self.take(b'}') {
            return Some(server);
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            let start = self.at;
            self.value()?;
            if key == "m.server" {
                let end = std::mem::replace(&mut self.at, start);
                server = match self.peek() {
                    Some(b'"') => Server::Text(self.string()?),
                    _ => Server::NotAString,
                };
                self.at = end;
            }
            self.space();
            if self.take(b'}') {
                return Some(server);
            }
            self.expect(b',')?;
        }
    }

    /// Any value, nested however deep.
    fn value(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.space();
            match self.peek()? {
                b'[' => {
                    self.at += 1;
                    self.space();
                    if !self.take(b']') {
                        open.push(b']');
                        continue;
                    }
                }
                b'{' => {
                    self.at += 1;
                    self.space();
                    if !self.take(b'}') {
                        open.push(b'}');
                        self.key()?;
                        continue;
                    }
                }
                b'"' => drop(self.string()?),
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended, and with it perhaps those that it is the last of.
            loop {
                let Some(bracket) = open.last().copied() else { return Some(()) };
                self.space();
                if self.take(bracket) {
                    open.pop();
                    continue;
                }
                self.expect(b',')?;
                if bracket == b'}' {
                    self.key()?;
                }
                break;
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.space();
        self.string()?;
        self.space();
        self.expect(b':')
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap();
        self.odd |= !text.parse::<f64>().unwrap().is_finite();
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        self.expect(b'"')?;
        let mut units: Vec<u16> = Vec::new();
        let mut text = Vec::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            if byte != b'\\' || self.peek() != Some(b'u') {
                self.flush(&mut units, &mut text);
            }
            match byte {
                b'"' => return Some(String::from_utf8(text).unwrap()),
                0..=0x1f => return None,
                b'\\' => {
                    let escape = self.peek()?;
                    self.at += 1;
                    text.push(match escape {
                        b'"' | b'\\' | b'/' => escape,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => 10,
                        b'r' => 13,
                        b't' => 9,
                        b'u' => {
                            units.push(self.four()?);
                            continue;
                        }
                        _ => return None,
                    });
                }
                _ => text.push(byte),
            }
        }
    }

    fn four(&mut self) -> Option<u16> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |value: u16, byte| {
            let digit = char::from(*byte).to_digit(16)?;
            Some(value << 4 | u16::try_from(digit).unwrap())
        })
    }

    /// Escaped units that follow each other are read as UTF-16.
    fn flush(&mut self, units: &mut Vec<u16>, text: &mut Vec<u8>) {
        for unit in char::decode_utf16(units.drain(..)) {
            self.odd |= unit.is_err();
            let character = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
            text.extend(character.to_string().bytes());
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.bytes[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }
}
