//! Bodies of the well-known that are no document, or an odd one; as the whole discovery meets them.

use std::sync::Arc;

use matrix_delegation::Step;
use matrix_delegation::well_known::FailureClass;

use crate::clients::discover;
use crate::net::{GOOD, Peer, Say};
use crate::row::{Limit, Outcome, Row};

/// What a document of 50 KiB may cost, with its connection, in KiB.
const KIB: usize = 512;

const UNREADABLE: Outcome = Outcome::NotDelegated(FailureClass::Unreadable);
const NO_DELEGATION: Outcome = Outcome::NotDelegated(FailureClass::NoDelegation);
const PORT: Outcome = Outcome::Delegated(Step::DelegatedPort);
const NO_PORT: Outcome = Outcome::Delegated(Step::DelegatedDefaultPort);
const LITERAL: Outcome = Outcome::Delegated(Step::DelegatedIpLiteral);

/// A body of these bytes.
fn body(name: &str, want: Outcome, body: impl Into<Vec<u8>>) -> Row {
    let body = body.into();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let words = Say::all([head.into_bytes(), body].concat());
    let peer = move || Peer::https(Arc::clone(&GOOD), move |_| words.clone());
    Row::new(format!("JSON: {name}"), want, KIB, discover(peer))
}

/// A document whose `m.server` is this, as JSON.
fn server(value: &str, want: Outcome) -> Row {
    let (shown, length) = (format!("{value:.60}"), value.len());
    body(
        &format!("m.server: {shown}, of {length} bytes"),
        want,
        format!("{{\"m.server\":{value}}}"),
    )
}

/// A good document with something before and behind it.
fn around(name: &str, want: Outcome, before: &[u8], behind: &[u8]) -> Row {
    body(name, want, [before, b"{\"m.server\":\"m.example:1\"}", behind].concat())
}

/// A good document that has this, too.
fn beside(name: &str, want: Outcome, value: &str) -> Row {
    body(name, want, format!("{{\"x\":{value},\"m.server\":\"m.example:1\"}}"))
}

pub(crate) fn rows() -> Vec<Row> {
    [bodies(), values(), names()].into_iter().flatten().collect()
}

fn bodies() -> Vec<Row> {
    let filled = |bytes: usize| vec![b' '; bytes - 26];
    vec![
        around("as it should be", PORT, b"", b""),
        around("white space around it", PORT, b" \t\r\n", b"\n\n"),
        around("something behind it", UNREADABLE, b"", b"x"),
        around("another document behind it", UNREADABLE, b"", b"{}"),
        around("NUL behind it", UNREADABLE, b"", b"\0"),
        around("something before it", UNREADABLE, b")]}'\n", b""),
        around("a byte order mark", UNREADABLE, b"\xef\xbb\xbf", b"").says("byte order mark"),
        around("a comment", UNREADABLE, b"// m\n", b""),
        around("a no-break space before it", UNREADABLE, "\u{a0}".as_bytes(), b""),
        around("51,200 bytes", PORT, b"", &filled(51_200)),
        around("51,201 bytes", Outcome::NotDelegated(FailureClass::TooLarge), b"", &filled(51_201))
            .ended_by(Limit::Body),
        body("nothing", UNREADABLE, ""),
        body("a blank", UNREADABLE, " "),
        body("a page", UNREADABLE, "<!DOCTYPE html><title>x</title>"),
        body("UTF-16", UNREADABLE, b"\xff\xfe{\0}\0".to_vec()),
        body("UTF-32", UNREADABLE, b"\0\0\xfe\xff\0\0\0{\0\0\0}".to_vec()),
        body("a byte that is no UTF-8", UNREADABLE, b"{\"m.server\":\"\xff\"}".to_vec())
            .says("UTF-8"),
        body(
            "UTF-8 that is too long for its character",
            UNREADABLE,
            b"{\"m.server\":\"\xc0\xae\"}".to_vec(),
        ),
        body(
            "a surrogate in UTF-8",
            UNREADABLE,
            b"{\"x\":\"\xed\xa0\x80\",\"m.server\":\"m.example:1\"}".to_vec(),
        ),
        body("UTF-8 that is cut", UNREADABLE, b"{\"m.server\":\"m.example:1\"}\xe2\x82".to_vec()),
        body("an array", UNREADABLE, "[\"m.example:1\"]"),
        body("an array of the document", UNREADABLE, "[{\"m.server\":\"m.example:1\"}]"),
        body("a string", UNREADABLE, "\"m.example:1\""),
        body("a number", UNREADABLE, "443"),
        body("null", UNREADABLE, "null"),
        body("a document without end", UNREADABLE, "{\"m.server\":\"m.example:1\""),
        body("a comma at the end", UNREADABLE, "{\"m.server\":\"m.example:1\",}"),
        body("single quotes", UNREADABLE, "{'m.server':'m.example:1'}"),
        body("a key without quotes", UNREADABLE, "{m.server:\"m.example:1\"}"),
        body("no key", NO_DELEGATION, "{}"),
        body("the key in capitals", NO_DELEGATION, "{\"M.SERVER\":\"m.example:1\"}"),
        body(
            "the key of clients",
            NO_DELEGATION,
            "{\"m.homeserver\":{\"base_url\":\"https://m.example\"}}",
        ),
        body(
            "the key within another object",
            NO_DELEGATION,
            "{\"x\":{\"m.server\":\"m.example:1\"}}",
        ),
        body("the key by escapes", PORT, "{\"\\u006d.server\":\"m.example:1\"}"),
        body(
            "10,000 keys of one name",
            PORT,
            [b"{", &b"\"m.server\":1,".repeat(3000)[..], b"\"m.server\":\"m.example:1\"}"].concat(),
        ),
        body(
            "the key twice, the last one good",
            PORT,
            "{\"m.server\":1,\"m.server\":\"m.example:1\"}",
        ),
        body(
            "the key twice, the last one bad",
            UNREADABLE,
            "{\"m.server\":\"m.example:1\",\"m.server\":1}",
        ),
        body("arrays 51,200 deep", UNREADABLE, vec![b'['; 51_200]),
        body("objects 10,000 deep", UNREADABLE, "{\"x\":".repeat(10_000)),
        body(
            "a string of 50 KiB without end",
            UNREADABLE,
            [b"{\"".to_vec(), vec![b'x'; 51_000]].concat(),
        ),
        body("a line's end in a string", UNREADABLE, "{\"m.server\":\"m.example\n\"}"),
    ]
}

/// Values of other keys, which do not count unless they are no JSON.
fn values() -> Vec<Row> {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    vec![
        beside("arrays 100 deep beside", PORT, &nested(100)),
        beside("arrays 10,000 deep beside", PORT, &nested(10_000)),
        beside("a number of 40,000 digits beside", PORT, &"9".repeat(40_000)),
        beside("1e999999999 beside", PORT, "1e999999999"),
        beside("-0.0e-0 beside", PORT, "-0.0e-0"),
        beside("a number with a zero before it beside", UNREADABLE, "01"),
        beside("a number with a sign beside", UNREADABLE, "+1"),
        beside("a number without digits behind the point beside", UNREADABLE, "1."),
        beside("NaN beside", UNREADABLE, "NaN"),
        beside("Infinity beside", UNREADABLE, "Infinity"),
        beside("a word beside", UNREADABLE, "nil"),
        beside("a string of 40 KB beside", PORT, &format!("\"{}\"", "x".repeat(40_000))),
        beside("NUL by escape beside", PORT, "\"\\u0000\""),
        beside("a bare NUL beside", UNREADABLE, "\"\0\""),
        beside("an escape that is none beside", UNREADABLE, "\"\\x\""),
        beside("nothing beside", UNREADABLE, ""),
    ]
}

fn names() -> Vec<Row> {
    let good = [
        ("\"m.example\"", NO_PORT),
        ("\"M.Example\"", NO_PORT),
        ("\"m.example:8448\"", PORT),
        ("\"m.example:00001\"", PORT),
        ("\"\\u006d.example:1\"", PORT),
        ("\"127.0.0.1\"", LITERAL),
        ("\"127.0.0.1:1\"", LITERAL),
    ];
    let bad = [
        "1",
        "1.5",
        "true",
        "null",
        "[]",
        "{}",
        "[\"m.example\"]",
        "\"\"",
        "\" \"",
        "\" m.example\"",
        "\"m.example \"",
        "\"m.example\\n\"",
        "\"m.example\\u0000\"",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "\"m.example:\"",
        "\"m.example:0\"",
        "\"m.example:65536\"",
        "\"m.example:+443\"",
        "\"m.example:-1\"",
        "\"m.example:443:443\"",
        "\"m.example:0x1\"",
        "\"m.example:\u{661}\"",
        "\":443\"",
        "\"https://m.example\"",
        "\"m.example/\"",
        "\"user@m.example\"",
        "\"m_m.example\"",
        "\"m..example\"",
        "\"m.example.\"",
        "\".m.example\"",
        "\"-m.example\"",
        "\"m-.example\"",
        "\"127.1\"",
        "\"0x7f.1\"",
        "\"2130706433\"",
        "\"1.2.3.256\"",
        "\"[::1\"",
        "\"::1\"",
        "\"[]\"",
        "\"[::1]x\"",
        "\"[::1%eth0]\"",
        "\"b\u{fc}cher.example\"",
        "\"m.example,b.example\"",
        "\"*\"",
    ];
    let long = [
        format!("\"{}.example\"", "x".repeat(64)),
        format!("\"{}example\"", "x.".repeat(200)),
        format!("\"{}\"", "x".repeat(50_000)),
    ];
    good.into_iter()
        .map(|(value, want)| server(value, want))
        .chain(bad.into_iter().map(|value| server(value, UNREADABLE)))
        .chain(long.iter().map(|value| server(value, UNREADABLE)))
        .collect()
}
