//! Redirects and content codings, as the whole discovery meets them.

use std::sync::Arc;

use matrix_delegation::Step;
use matrix_delegation::well_known::FailureClass;

use crate::clients::discover;
use crate::net::{Asked, GOOD, Peer, Say, Then};
use crate::row::{Limit, Outcome, Row};

const KIB: usize = 512;
const DOCUMENT: &str = "{\"m.server\":\"m.example:8448\"}";
const DELEGATED: Outcome = Outcome::Delegated(Step::DelegatedPort);
const REFUSED: Outcome = Outcome::NotDelegated(FailureClass::Redirect);
const BLOCKED: Outcome = Outcome::NotDelegated(FailureClass::Blocked);
const NO_ADDRESS: Outcome = Outcome::NotDelegated(FailureClass::NoAddress);

/// A server of well-known documents.
fn server(
    name: &str,
    want: Outcome,
    answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static,
) -> Row {
    let peer = || Peer::https(Arc::clone(&GOOD), move |asked| Say::all(answer(asked)));
    Row::new(format!("discovery: {name}"), want, KIB, discover(peer))
}

fn document(lines: &str) -> Vec<u8> {
    let length = DOCUMENT.len();
    format!("HTTP/1.1 200 OK\r\n{lines}content-length: {length}\r\n\r\n{DOCUMENT}").into()
}

fn redirect(status: u16, lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{lines}content-length: 0\r\n\r\n").into()
}

/// The first answer has these lines, and each after it is the document.
fn lines(name: &str, want: Outcome, status: u16, lines: String) -> Row {
    server(name, want, move |asked| match asked.nth {
        0 => redirect(status, &lines),
        _ => document(""),
    })
}

/// Where the first answer leads.
fn to(location: &str, want: Outcome) -> Row {
    let (name, length) = (format!("{location:.60}"), location.len());
    let lines = format!("location: {location}\r\n");
    self::lines(&format!("a redirect to {name:?} of {length} bytes"), want, 302, lines)
}

pub(super) fn rows() -> Vec<Row> {
    let statuses = [301, 302, 303, 307, 308].map(|status| {
        lines(&format!("a redirect by {status}"), DELEGATED, status, "location: /x\r\n".into())
    });
    let none = [300, 304, 305, 306, 309, 399].map(|status| {
        let want = Outcome::NotDelegated(FailureClass::Status);
        lines(&format!("status {status} with a Location"), want, status, "location: /x\r\n".into())
    });
    statuses.into_iter().chain(none).chain(locations()).chain(chains()).chain(codings()).collect()
}

fn locations() -> Vec<Row> {
    let long = |bytes: usize| format!("https://b.example/{}", "x".repeat(bytes - 18));
    vec![
        to("https://b.example/", DELEGATED),
        to("//b.example/x", DELEGATED),
        to("x", DELEGATED),
        to("?x", DELEGATED),
        to("https://b.example/x#fragment", DELEGATED),
        to("https://b.example:8443/x", DELEGATED),
        to("HTTPS://B.EXAMPLE/x", DELEGATED),
        to("https:b.example/x", DELEGATED),
        to("https://127.0.0.1/x", DELEGATED),
        to("https://0x7f.1/x", DELEGATED),
        to("https://2130706433/x", DELEGATED),
        to("http://b.example/", REFUSED).says("https"),
        to("ftp://b.example/", REFUSED).says("https"),
        to("data:application/json,{}", REFUSED).says("https"),
        to("javascript:alert(1)", REFUSED).says("https"),
        to("file:///etc/passwd", REFUSED).says("https"),
        to("mailto:a@b.example", REFUSED).says("https"),
        to("matrix-federation://b.example/", REFUSED).says("https"),
        to("https://user:secret@b.example/", REFUSED).says("credentials"),
        to("https://@b.example/", REFUSED).says("credentials"),
        to("", REFUSED).says("circle"),
        to("#fragment", REFUSED).says("circle"),
        to("/.well-known/matrix/server", REFUSED).says("circle"),
        to("https://A.example.:443/x/../.well-known/matrix/server", REFUSED).says("circle"),
        to("https://", REFUSED),
        to("https://b.example:0/", REFUSED).says("port"),
        to("https://b.example:99999/", REFUSED),
        to("https://b.example:x/", REFUSED),
        to("https://b_b.example/", NO_ADDRESS),
        to("https://-b.example/", REFUSED),
        to("https://b..example/", REFUSED),
        to("https://b%00.example/", REFUSED),
        to("https://[::1/", REFUSED),
        to("https://1.2.3.256/", REFUSED),
        to("https://10.0.0.1/", BLOCKED),
        to("https://0x0a.1/", BLOCKED),
        to("https://167772161/", BLOCKED),
        to("https://169.254.169.254/latest/meta-data/", BLOCKED),
        to("https://[::1]/", BLOCKED),
        to("https://[::ffff:10.0.0.1]/", BLOCKED),
        to("https://[64:ff9b::a00:1]/", BLOCKED),
        to("https://[fe80::1]/", BLOCKED),
        to("https://blocked.example/", BLOCKED),
        to("https://none.example/", NO_ADDRESS),
        to(&long(8192), DELEGATED),
        to(&long(8193), REFUSED).says("more than 8192"),
        lines("a redirect without a Location", REFUSED, 302, String::new()).says("no Location"),
        lines("two Locations that differ", REFUSED, 302, "location: /x\r\nlocation: /y\r\n".into())
            .says("2 Location lines"),
        lines(
            "two Locations that agree",
            DELEGATED,
            302,
            "location: /x\r\nlocation: /x\r\n".into(),
        ),
        server("a Location that is no text", REFUSED, |_| {
            b"HTTP/1.1 302 X\r\nlocation: /\xff\r\ncontent-length: 0\r\n\r\n".into()
        })
        .says("not text"),
    ]
}

fn chains() -> Vec<Row> {
    let hops = |name: &str, want, count: usize| {
        server(name, want, move |asked| match asked.nth {
            nth if nth < count => redirect(302, &format!("location: /{nth}\r\n")),
            _ => document(""),
        })
    };
    vec![
        hops("10 redirects", DELEGATED, 10),
        hops("11 redirects", REFUSED, 11).ended_by(Limit::Redirects),
        hops("redirects without end", REFUSED, usize::MAX).ended_by(Limit::Redirects),
        server("two URLs that lead to each other", REFUSED, |asked| match asked.path.as_str() {
            "/x" => redirect(302, "location: /.well-known/matrix/server\r\n"),
            _ => redirect(302, "location: /x\r\n"),
        })
        .says("circle"),
        Row::new(
            "discovery: a redirect with a body without end",
            DELEGATED,
            KIB,
            discover(|| {
                Peer::https(Arc::clone(&GOOD), |asked| match asked.nth {
                    0 => Say::new(
                        "HTTP/1.1 302 X\r\nlocation: /x\r\n\r\n",
                        Then::Flood(b"x".to_vec()),
                    ),
                    _ => Say::all(document("")),
                })
            }),
        ),
        Row::new(
            "discovery: a redirect, then silence",
            Outcome::NotDelegated(FailureClass::Exchange),
            KIB,
            discover(|| {
                Peer::https(Arc::clone(&GOOD), |asked| match asked.nth {
                    0 => Say::all(redirect(302, "location: /x\r\n")),
                    _ => Say::new([], Then::Hold),
                })
            }),
        )
        .ended_by(Limit::WellKnown),
    ]
}

fn codings() -> Vec<Row> {
    let coded = |lines: &'static str, want| {
        server(&format!("the coding {lines:?}"), want, move |_| document(lines))
    };
    let unreadable = Outcome::NotDelegated(FailureClass::Unreadable);
    vec![
        coded("content-encoding: identity\r\n", DELEGATED),
        coded("content-encoding: \r\n", DELEGATED),
        coded("content-encoding: UTF-8\r\n", DELEGATED).says("no content coding"),
        coded("content-encoding: gzip\r\n", unreadable).says("gzip"),
        coded("content-encoding: identity, br\r\n", unreadable).says("br"),
        coded("content-encoding: identity\r\ncontent-encoding: ZSTD\r\n", unreadable).says("ZSTD"),
        coded("content-encoding: deflate, deflate, deflate\r\n", unreadable).says("deflate"),
    ]
}
