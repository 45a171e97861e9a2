//! Bodies of `/.well-known/matrix/server`: a table in which each row is the only one to test its
//! rule, and the way back.
#![allow(clippy::too_many_lines)]

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use matrix_delegation::names::{NotAHostName, ServerNameErrorKind as Kind};
use matrix_delegation::well_known::{FetchLimits, MAX_BODY_BYTES, WellKnownError};
use matrix_delegation::{ServerName, WellKnown};
use serde::Deserialize;
use serde::de::{self, IntoDeserializer, value::MapDeserializer};

struct Row {
    rule: &'static str,
    body: Vec<u8>,
    expected: Expected,
}

#[derive(Clone, Debug, PartialEq)]
enum Expected {
    /// The name delegated to and its host.
    Server(&'static str, &'static str),
    TooLarge,
    /// The first byte that is not UTF-8.
    NotUtf8(usize),
    ByteOrderMark,
    /// Line and column.
    Json(usize, usize),
    NotAnObject,
    Missing,
    NotAString,
    Invalid(Kind, usize),
    Unresolvable(NotAHostName),
}

fn row(rule: &'static str, body: impl AsRef<[u8]>, expected: Expected) -> Row {
    Row { rule, body: body.as_ref().to_vec(), expected }
}

/// A good document of exactly this many bytes.
fn padded(length: usize) -> Vec<u8> {
    let mut body = br#"{"m.server":"a.example"}"#.to_vec();
    body.resize(length, b' ');
    body
}

fn bodies() -> Vec<Row> {
    use Expected::*;
    let good = Server("a.example", "a.example");
    let deep =
        format!(r#"{{"x":{}{},"m.server":"a.example"}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let deep_server = format!(r#"{{"m.server":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    vec![
        row("good: a name", r#"{"m.server":"a.example"}"#, good.clone()),
        row(
            "good: a port",
            r#"{"m.server":"a.example:443"}"#,
            Server("a.example:443", "a.example"),
        ),
        row("good: an IPv4 literal", r#"{"m.server":"1.2.3.4"}"#, Server("1.2.3.4", "1.2.3.4")),
        row("good: an IPv6 literal", r#"{"m.server":"[::A]:1"}"#, Server("[::A]:1", "[::a]")),
        row("good: upper case", r#"{"m.server":"A.Example"}"#, Server("A.Example", "a.example")),
        row("good: white space inside", "{ \"m.server\"\t:\r\n\"a.example\" }", good.clone()),
        row("good: white space around", "\n {\"m.server\":\"a.example\"}\r\n", good.clone()),
        row("good: escapes in the key", r#"{"m\u002eserver":"a.example"}"#, good.clone()),
        row("good: escapes in the name", r#"{"m.server":"a\u002eexample"}"#, good.clone()),
        row("keys: another before", r#"{"x":1,"m.server":"a.example"}"#, good.clone()),
        row("keys: another after", r#"{"m.server":"a.example","x":1}"#, good.clone()),
        row(
            "keys: a name beneath another",
            r#"{"m.server":"a.example","x":{"m.server":1}}"#,
            good.clone(),
        ),
        row("keys: only beneath another", r#"{"x":{"m.server":"a.example"}}"#, Missing),
        row("keys: the empty one", r#"{"":1,"m.server":"a.example"}"#, good.clone()),
        row(
            "keys: that of clients",
            r#"{"m.homeserver":{"base_url":"https://a.example"}}"#,
            Missing,
        ),
        row("keys: in upper case", r#"{"M.SERVER":"a.example"}"#, Missing),
        row("keys: with a space", r#"{"m.server ":"a.example"}"#, Missing),
        row("keys: nested", r#"{"m":{"server":"a.example"}}"#, Missing),
        row("keys: none", "{}", Missing),
        row("keys: others are nested deep", deep, good.clone()),
        row(
            "keys: others hold a number too large",
            r#"{"x":1e999,"m.server":"a.example"}"#,
            good.clone(),
        ),
        row(
            "keys: others hold half a pair",
            r#"{"x":"\ud800","m.server":"a.example"}"#,
            good.clone(),
        ),
        row("keys: half a pair in a key", r#"{"\ud800":1,"m.server":"a.example"}"#, Json(1, 9)),
        row("twice: the last counts", r#"{"m.server":"b","m.server":"a.example"}"#, good.clone()),
        row(
            "twice: the last counts with another between",
            r#"{"m.server":"b","x":1,"m.server":"a.example"}"#,
            good.clone(),
        ),
        row("twice: the last is no string", r#"{"m.server":"a","m.server":1}"#, NotAString),
        row("twice: the last is null", r#"{"m.server":"a","m.server":null}"#, NotAString),
        row(
            "twice: the last is no name",
            r#"{"m.server":"a","m.server":"a b"}"#,
            Invalid(Kind::HostCharacter, 1),
        ),
        row(
            "twice: the last is no host",
            r#"{"m.server":"a","m.server":"b."}"#,
            Unresolvable(NotAHostName::TrailingDot),
        ),
        row(
            "twice: the first is no string",
            r#"{"m.server":[1],"m.server":"a.example"}"#,
            good.clone(),
        ),
        row(
            "twice: the first is no name",
            r#"{"m.server":"a b","m.server":"a.example"}"#,
            good.clone(),
        ),
        row(
            "twice: the first is no host",
            r#"{"m.server":"b.","m.server":"a.example"}"#,
            good.clone(),
        ),
        row(
            "twice: spelled in two ways",
            r#"{"m.server":"b","m\u002eserver":"a.example"}"#,
            good.clone(),
        ),
        row("type: null", r#"{"m.server":null}"#, NotAString),
        row("type: true", r#"{"m.server":true}"#, NotAString),
        row("type: a positive number", r#"{"m.server":8448}"#, NotAString),
        row("type: a negative number", r#"{"m.server":-1}"#, NotAString),
        row("type: a fraction", r#"{"m.server":1.5}"#, NotAString),
        row(
            "type: a number of many digits",
            r#"{"m.server":123456789012345678901234567890}"#,
            NotAString,
        ),
        row("type: a list", r#"{"m.server":["a.example"]}"#, NotAString),
        row("type: an empty list", r#"{"m.server":[]}"#, NotAString),
        row("type: a deep list", deep_server, NotAString),
        row("type: an object", r#"{"m.server":{"name":"a.example","port":443}}"#, NotAString),
        row("name: empty", r#"{"m.server":""}"#, Invalid(Kind::Empty, 0)),
        row("name: a URL", r#"{"m.server":"https://a.example"}"#, Invalid(Kind::PortCharacter, 6)),
        row("name: a space after", r#"{"m.server":"a.example "}"#, Invalid(Kind::HostCharacter, 9)),
        row("name: a path", r#"{"m.server":"a.example/"}"#, Invalid(Kind::HostCharacter, 9)),
        row("name: a port of zero", r#"{"m.server":"a.example:0"}"#, Invalid(Kind::PortZero, 10)),
        row("name: a sign", r#"{"m.server":"a.example:+443"}"#, Invalid(Kind::PortCharacter, 10)),
        row("name: no port", r#"{"m.server":"a.example:"}"#, Invalid(Kind::MissingPort, 10)),
        row("name: no brackets", r#"{"m.server":"::1"}"#, Invalid(Kind::Ipv6WithoutBrackets, 0)),
        row("name: outside ASCII", "{\"m.server\":\"\u{fc}.example\"}", Invalid(Kind::NotAscii, 0)),
        row(
            "name: outside ASCII, escaped",
            r#"{"m.server":"a\u00fc"}"#,
            Invalid(Kind::NotAscii, 1),
        ),
        row("name: NUL", r#"{"m.server":"a\u0000"}"#, Invalid(Kind::HostCharacter, 1)),
        row(
            "name: very long",
            format!(r#"{{"m.server":"{}"}}"#, "a".repeat(50_000)),
            Invalid(Kind::HostTooLong, 255),
        ),
        row("host: a final dot", r#"{"m.server":"a."}"#, Unresolvable(NotAHostName::TrailingDot)),
        row(
            "host: an empty label",
            r#"{"m.server":"a..b:1"}"#,
            Unresolvable(NotAHostName::EmptyLabel),
        ),
        row("host: a hyphen", r#"{"m.server":"-a"}"#, Unresolvable(NotAHostName::Hyphen)),
        row(
            "host: a number",
            r#"{"m.server":"127.1"}"#,
            Unresolvable(NotAHostName::LooksLikeAnAddress),
        ),
        row(
            "host: a label too long",
            format!(r#"{{"m.server":"{}"}}"#, "a".repeat(64)),
            Unresolvable(NotAHostName::LabelTooLong),
        ),
        row("size: exactly the limit", padded(MAX_BODY_BYTES), good.clone()),
        row("size: one byte over", padded(MAX_BODY_BYTES + 1), TooLarge),
        row("size: over and no UTF-8", vec![0xff; MAX_BODY_BYTES + 1], TooLarge),
        row("utf-8: a byte that never occurs", b"{\"x\":\"\xff\"}", NotUtf8(6)),
        row("utf-8: the first byte", b"\xfe", NotUtf8(0)),
        row("utf-8: in the key", b"{\"m.server\xc0\":\"a\"}", NotUtf8(10)),
        row("utf-8: cut off", b"{\"m.server\":\"a\xc3", NotUtf8(14)),
        row("utf-8: half a pair", b"{\"x\":\"\xed\xa0\x80\"}", NotUtf8(6)),
        row("utf-8: UTF-16 with its mark", b"\xff\xfe{\0}\0", ByteOrderMark),
        row("json: nothing", "", Json(1, 0)),
        row("json: white space alone", " \n ", Json(2, 1)),
        row("json: a byte order mark", "\u{feff}{\"m.server\":\"a.example\"}", ByteOrderMark),
        row("json: a page", "<!DOCTYPE html><html></html>", Json(1, 1)),
        row("json: a name alone", "a.example:8448", Json(1, 1)),
        row("json: UTF-16 without a mark", b"{\0}\0", Json(1, 2)),
        row("json: cut off in the key", r#"{"m.ser"#, Json(1, 7)),
        row("json: cut off in the name", r#"{"m.server":"a"#, Json(1, 14)),
        row("json: cut off after the name", r#"{"m.server":"a""#, Json(1, 15)),
        row("json: cut off in a list", "[1", Json(1, 2)),
        row("json: a second document", r#"{"m.server":"a"}{"m.server":"b"}"#, Json(1, 17)),
        row("json: a letter after", r#"{"m.server":"a"} x"#, Json(1, 18)),
        row("json: NUL after", "{\"m.server\":\"a\"}\0", Json(1, 17)),
        row("json: a comma after the last", r#"{"m.server":"a",}"#, Json(1, 17)),
        row("json: no comma", r#"{"x":1 "m.server":"a"}"#, Json(1, 8)),
        row("json: single quotes", "{'m.server':'a'}", Json(1, 2)),
        row("json: a key without quotes", "{m.server:\"a\"}", Json(1, 2)),
        row("json: a comment", "{/**/\"m.server\":\"a\"}", Json(1, 2)),
        row("json: an unknown escape", r#"{"m.server":"a\x"}"#, Json(1, 16)),
        row("json: half a pair in the name", r#"{"m.server":"\ud800"}"#, Json(1, 20)),
        row("json: a line feed in the name", "{\"m.server\":\"a\nb\"}", Json(2, 0)),
        row("json: an unknown word", r#"{"m.server":nul}"#, Json(1, 16)),
        row("json: not a number", r#"{"x":NaN,"m.server":"a"}"#, Json(1, 6)),
        row("json: wrong after a good name", r#"{"m.server":"a","x":}"#, Json(1, 21)),
        row("json: trailing bytes after no object", "[] x", Json(1, 4)),
        row("object: a list", "[]", NotAnObject),
        row("object: a list of the document", r#"[{"m.server":"a"}]"#, NotAnObject),
        row("object: a string", r#""a.example""#, NotAnObject),
        row("object: a string of the document", r#""{\"m.server\":\"a\"}""#, NotAnObject),
        row("object: a number", "8448", NotAnObject),
        row("object: null", "null", NotAnObject),
        row("object: false", "false", NotAnObject),
    ]
}

fn read(body: &[u8]) -> Result<WellKnown, Expected> {
    WellKnown::from_body(body).map_err(|error| match error {
        WellKnownError::TooLarge { limit } => {
            assert_eq!(limit, 51_200);
            Expected::TooLarge
        }
        WellKnownError::NotUtf8 { at } => Expected::NotUtf8(at),
        WellKnownError::ByteOrderMark => Expected::ByteOrderMark,
        WellKnownError::Json { line, column, message } => {
            assert!(!message.contains(" at line "), "{message}");
            Expected::Json(line, column)
        }
        WellKnownError::NotAnObject => Expected::NotAnObject,
        WellKnownError::MissingServer => Expected::Missing,
        WellKnownError::ServerNotAString => Expected::NotAString,
        WellKnownError::InvalidServerName { source } => {
            assert!(source.name().len() <= 255);
            Expected::Invalid(source.kind(), source.at())
        }
        WellKnownError::Unresolvable(error) => Expected::Unresolvable(error.reason),
        other => panic!("{other}"),
    })
}

#[test]
fn every_rule_has_a_row_of_its_own() {
    let bodies = bodies();
    let rules: BTreeSet<_> = bodies.iter().map(|row| row.rule).collect();
    let inputs: BTreeSet<_> = bodies.iter().map(|row| &row.body).collect();
    assert_eq!(rules.len(), bodies.len(), "a rule stands twice");
    assert_eq!(inputs.len(), bodies.len(), "a body stands twice");
    assert!(bodies.len() >= 45, "only {} rows", bodies.len());
}

#[test]
fn bodies_are_read_as_the_table_says() {
    for Row { rule, body, expected } in bodies() {
        match (read(&body), expected) {
            (Ok(document), Expected::Server(server, host)) => {
                assert_eq!(document.server().as_str(), server, "{rule}");
                assert_eq!(document.host().to_string(), host, "{rule}");
                assert_eq!(Ok(document.host()), document.server().to_host().as_ref(), "{rule}");
            }
            (Ok(document), expected) => panic!("{rule}: {document:?} instead of {expected:?}"),
            (Err(error), expected) => assert_eq!(error, expected, "{rule}"),
        }
    }
}

#[test]
fn serde_reads_what_from_body_reads() {
    for Row { rule, body, .. } in bodies() {
        if body.len() > MAX_BODY_BYTES {
            continue;
        }
        let read = WellKnown::from_body(&body);
        assert_eq!(serde_json::from_slice(&body).ok(), read.clone().ok(), "{rule}");
        assert_eq!(serde_json::from_reader(body.as_slice()).ok(), read.ok(), "{rule}");
    }
    let error = serde_json::from_str::<WellKnown>(r#"{"m.server":"a b"}"#).unwrap_err();
    assert!(error.to_string().starts_with(
        "m.server is not a server name: \"a b\": \
         a hostname has only letters, digits, hyphens and dots (byte 1)"
    ));
    let error = serde_json::from_str::<WellKnown>("[]").unwrap_err();
    assert!(error.to_string().contains("expected an object with m.server"), "{error}");
}

/// Other formats have keys and values that JSON has not.
#[test]
fn what_no_json_says_is_refused_in_words() {
    fn error<'de, K, V>(key: K, value: V) -> String
    where
        K: IntoDeserializer<'de, de::value::Error>,
        V: IntoDeserializer<'de, de::value::Error>,
    {
        let map = MapDeserializer::new(std::iter::once((key, value)));
        WellKnown::deserialize(map).unwrap_err().to_string()
    }
    assert!(error(1, "m.example").ends_with("expected a key"), "{}", error(1, "m.example"));
    let value = error("m.server", 1_u128);
    assert!(value.ends_with("expected any value"), "{value}");
}

#[test]
fn what_is_written_is_read_again() {
    for Row { rule, body, .. } in bodies() {
        let Ok(document) = WellKnown::from_body(&body) else { continue };
        let written = document.to_body();
        assert_eq!(WellKnown::from_body(&written).as_ref(), Ok(&document), "{rule}");
        assert_eq!(serde_json::to_vec(&document).unwrap(), written, "{rule}");
        assert_eq!(WellKnown::new(document.server().clone()), Ok(document), "{rule}");
    }
}

#[test]
fn errors_survive_serde_and_tell_their_cause_once() {
    for Row { rule, body, .. } in bodies() {
        let Err(error) = WellKnown::from_body(&body) else { continue };
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<WellKnownError>(&json).unwrap(), error, "{rule}");
        if let Some(source) = error.source() {
            assert!(!error.to_string().contains(&source.to_string()), "{rule}");
        }
        assert!(!error.to_string().contains(char::is_control), "{rule}");
    }
}

#[test]
fn evidence_is_cut_between_characters() {
    for (text, kept) in [("\u{fc}".repeat(200), 254), ("a ".repeat(200), 255), (" ".repeat(9), 9)] {
        let body = serde_json::to_vec(&serde_json::json!({ "m.server": text })).unwrap();
        match WellKnown::from_body(&body) {
            Err(WellKnownError::InvalidServerName { source }) => {
                assert_eq!(source.name().len(), kept);
                assert!(text.starts_with(source.name()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_prefix_of_a_document_is_refused() {
    let body = br#"{"x":[1,"y",{"z":null}],"m.server":"a.example:443"}"#;
    for end in 0..body.len() {
        assert!(matches!(read(&body[..end]), Err(Expected::Json(1, _))), "{end}");
    }
    assert!(read(body).is_ok());
}

#[test]
fn only_hosts_are_published() {
    let name = ServerName::parse("a..b").unwrap();
    let error = WellKnown::new(name.clone()).unwrap_err();
    assert_eq!((error.name, error.reason), (name, NotAHostName::EmptyLabel));
}

#[test]
fn the_response_says_how_long_it_holds() {
    let document = WellKnown::new(ServerName::parse("A.example:443").unwrap()).unwrap();
    for (max_age, header) in [
        (Duration::ZERO, "max-age=0"),
        (Duration::from_millis(1_999), "max-age=1"),
        (Duration::from_secs(172_800), "max-age=172800"),
        (Duration::MAX, "max-age=2147483647"),
    ] {
        let response = document.to_response(max_age);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], header);
        assert_eq!(response.headers().len(), 2);
        assert_eq!(response.body(), br#"{"m.server":"A.example:443"}"#);
    }
}

#[test]
fn the_limit_is_the_fetch_limit() {
    assert_eq!(FetchLimits::default().body_bytes, MAX_BODY_BYTES);
}
