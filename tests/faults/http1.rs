//! HTTP/1.1: what is no response, or a wrong one; asked by `HyperFetch`, the whole discovery and the
//! federation client.

mod federation;
mod redirects;

use std::sync::Arc;

use matrix_delegation::well_known::FetchFailureKind;

use crate::clients::{Reading, federate, fetch};
use crate::net::{GOOD, HTTP_1, Peer, Say, Then};
use crate::row::{Limit, Outcome, Row};

/// What a fetch may cost, in KiB: a head of 16 KiB, a body of 50 KiB, and what TLS holds.
const KIB: usize = 384;

const OK: Outcome = Outcome::Response(200, 2);
const PROTOCOL: Outcome = Outcome::Failed(FetchFailureKind::Protocol);
const CUT_OFF: Outcome = Outcome::Failed(FetchFailureKind::CutOff);
const LATE: Outcome = Outcome::Failed(FetchFailureKind::ExchangeTimeout);
const LARGE_HEAD: Outcome = Outcome::Failed(FetchFailureKind::HeadTooLarge);

pub(crate) fn rows() -> Vec<Row> {
    let tables = [
        statuses(),
        status_lines(),
        interim(),
        heads(),
        lengths(),
        chunks(),
        ends(),
        redirects::rows(),
        federation::rows(),
    ];
    tables.into_iter().flatten().collect()
}

/// A fetch whose server says this.
fn says(name: &str, want: Outcome, words: Say) -> Row {
    let peer = move || Peer::https(Arc::clone(&GOOD), move |_| words.clone());
    Row::new(format!("HTTP/1.1: {name}"), want, KIB, fetch(peer))
}

/// This, and the end.
fn all(name: &str, want: Outcome, bytes: impl Into<Vec<u8>>) -> Row {
    says(name, want, Say::all(bytes))
}

/// This, again and again.
fn flood(name: &str, want: Outcome, first: impl Into<Vec<u8>>, then: &[u8]) -> Row {
    says(name, want, Say::new(first, Then::Flood(then.to_vec())))
}

/// This, and silence or a drip, until the exchange is over.
fn late(name: &str, first: impl Into<Vec<u8>>, then: Then) -> Row {
    says(name, LATE, Say::new(first, then)).ended_by(Limit::Exchange)
}

/// A head of status 200 with these lines, then this.
fn with(lines: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}").into()
}

fn statuses() -> Vec<Row> {
    let plain = [
        201, 202, 203, 204, 205, 206, 207, 226, 299, 300, 301, 302, 303, 304, 305, 306, 307, 308,
        400, 401, 403, 404, 405, 407, 408, 410, 418, 421, 425, 426, 429, 431, 451, 499, 500, 501,
        502, 503, 504, 505, 511, 520, 599, 600, 999,
    ];
    let plain = plain.map(|status| {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        all(&format!("status {status}"), Outcome::Response(status, 0), head)
    });
    let none = ["000", "099", "20", "2000", "2OO", "-20", "+20", "", "\u{ff12}00"].map(|status| {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        all(&format!("the status {status:?}"), PROTOCOL, head)
    });
    plain.into_iter().chain(none).collect()
}

fn status_lines() -> Vec<Row> {
    let line = |name: &str, want, line: &str| {
        all(name, want, format!("{line}\r\ncontent-length: 2\r\n\r\n{{}}"))
    };
    vec![
        line("no reason", OK, "HTTP/1.1 200"),
        line("a reason of bytes beyond ASCII", OK, "HTTP/1.1 200 \u{fc}"),
        line("HTTP/1.0", OK, "HTTP/1.0 200 OK"),
        line("empty lines before the status line", OK, "\r\n\r\nHTTP/1.1 200 OK"),
        line("HTTP/1.2", PROTOCOL, "HTTP/1.2 200 OK"),
        line("HTTP/2.0 by its text", PROTOCOL, "HTTP/2.0 200 OK"),
        line("http in small letters", PROTOCOL, "http/1.1 200 OK"),
        line("a blank before the status line", PROTOCOL, " HTTP/1.1 200 OK"),
        line("ICY", PROTOCOL, "ICY 200 OK"),
        line("NUL in the reason", PROTOCOL, "HTTP/1.1 200 \0"),
        line("a bare CR in the status line", PROTOCOL, "HTTP/1.1 200 O\rK"),
        line("a request", PROTOCOL, "GET / HTTP/1.1"),
        line("HTTP/0.9: a page alone", PROTOCOL, "<html>"),
        line("HTTP/0.9: a document alone", PROTOCOL, "{\"m.server\":\"m.example:443\"}"),
        all("the preface of HTTP/2", PROTOCOL, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        all("settings of HTTP/2", PROTOCOL, [0, 0, 0, 4, 0, 0, 0, 0, 0]),
        all("zeros", PROTOCOL, [0; 100]),
        all("TLS within TLS", PROTOCOL, [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        flood("a reason without end", LARGE_HEAD, "HTTP/1.1 200 ", b"x").ended_by(Limit::Head),
    ]
}

fn interim() -> Vec<Row> {
    let ok = with("content-length: 2\r\n", "{}");
    let after = |interim: &str| [interim.as_bytes(), &ok].concat();
    let storm =
        |name: &str, head: &str| flood(name, LARGE_HEAD, [], head.as_bytes()).ended_by(Limit::Head);
    vec![
        all("one 100", OK, after("HTTP/1.1 100 Continue\r\n\r\n")),
        all("one 102", OK, after("HTTP/1.1 102 Processing\r\n\r\n")),
        all("five 103", OK, after(&"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(5))),
        all("an interim status nobody knows", OK, after("HTTP/1.1 199 X\r\n\r\n")),
        all(
            "an interim response with a length",
            OK,
            after("HTTP/1.1 103 X\r\ncontent-length: 5\r\n\r\n"),
        ),
        storm(
            "early hints without end: 103 over HTTP/1.1",
            "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
        ),
        storm("100 without end", "HTTP/1.1 100 Continue\r\n\r\n"),
        storm("102 without end", "HTTP/1.1 102 Processing\r\n\r\n"),
        storm("an interim status nobody knows, without end", "HTTP/1.1 142 X\r\n\r\n"),
        flood("an interim head without end", LARGE_HEAD, "HTTP/1.1 103 X\r\n", b"link: </x>\r\n")
            .ended_by(Limit::Head),
        all("a 103 and the end", CUT_OFF, "HTTP/1.1 103 Early Hints\r\n\r\n"),
        late("a 103 and silence", "HTTP/1.1 103 Early Hints\r\n\r\n", Then::Hold),
        late("a 103 now and then", [], Then::Drip("HTTP/1.1 103 X\r\n\r\n".into())),
        all("101", PROTOCOL, "HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        all("101 without an upgrade", PROTOCOL, "HTTP/1.1 101 X\r\n\r\n"),
        all("101 after a 103", PROTOCOL, "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 101 X\r\n\r\n"),
    ]
}

fn heads() -> Vec<Row> {
    let sized = |bytes: usize| {
        let rest = with("content-length: 2\r\nx: \r\n", "").len();
        with(&format!("content-length: 2\r\nx: {}\r\n", "y".repeat(bytes - rest)), "{}")
    };
    let lines = |name: &str, want, lines: &str| {
        all(name, want, with(&format!("{lines}content-length: 2\r\n"), "{}"))
    };
    let head = "HTTP/1.1 200 OK\r\n";
    let endless = |name: &str, first: &str, then: &[u8]| {
        flood(name, LARGE_HEAD, format!("{head}{first}"), then).ended_by(Limit::Head)
    };
    vec![
        all("a head of 16,384 bytes", OK, sized(16_384)),
        all("a head of 16,385 bytes", LARGE_HEAD, sized(16_385)).ended_by(Limit::Head),
        lines("900 header lines", OK, &"x:\r\n".repeat(900)),
        lines("3,000 header lines", LARGE_HEAD, &"x:\r\n".repeat(3000)),
        lines("10,000 header lines", LARGE_HEAD, &"x:\r\n".repeat(10_000)).ended_by(Limit::Head),
        endless("header lines without end", "", b"x: y\r\n"),
        endless("a header's name without end", "", b"x"),
        endless("a header's value without end", "x: ", b"y"),
        endless("folded lines without end", "x: y\r\n", b" y\r\n"),
        endless("odd lines without end", "", b"no header\r\n"),
        flood("empty lines without end", LARGE_HEAD, [], b"\r\n").ended_by(Limit::Head),
        late("silence", [], Then::Hold),
        late("a head that stops", head, Then::Hold),
        late("a head that drips", head, Then::Drip(b"x: y\r\n".to_vec())),
        late("empty lines that drip", [], Then::Drip(b"\r\n".to_vec())),
        lines("NUL in a header's name", PROTOCOL, "x\0: y\r\n"),
        lines("NUL in a header's value", PROTOCOL, "x: \0\r\n"),
        lines("a bare CR in a header's value", PROTOCOL, "x: y\rz: y\r\n"),
        lines("a bare LF as a line's end", OK, "x: y\n"),
        lines("a line without a colon", OK, "no header\r\n"),
        lines("a line that is folded", OK, "x: y\r\n z\r\n"),
        lines("a name of odd bytes", OK, "x\u{7f}[]: y\r\n"),
        lines("control bytes in a value", OK, "x: \u{1}\u{1b}[0m\r\n"),
        lines("an empty name", OK, ": y\r\n"),
        lines("a name of 8 KiB", OK, &format!("{}: y\r\n", "x".repeat(8192))),
    ]
}

fn lengths() -> Vec<Row> {
    let length = |name: &str, want, value: &str| {
        all(name, want, with(&format!("content-length: {value}\r\n"), "{}"))
    };
    let framed = |name: &str, want, lines: &str, body: &str| all(name, want, with(lines, body));
    let body = |bytes: usize| "x".repeat(bytes);
    let too_large = |row: Row| row.ended_by(Limit::Body);
    vec![
        length("a length that is too short", Outcome::Response(200, 1), "1"),
        length("a length that is too long", CUT_OFF, "3"),
        length("a length of 0", Outcome::Response(200, 0), "0"),
        length("a negative length", PROTOCOL, "-2"),
        length("a length with a sign", PROTOCOL, "+2"),
        length("a length in hex", PROTOCOL, "0x2"),
        length("a length with a point", PROTOCOL, "2.0"),
        length("a length of two words", PROTOCOL, "2 2"),
        length("an empty length", PROTOCOL, ""),
        length("two lengths in a line, which differ", PROTOCOL, "2, 3"),
        length("a length of 2^64", PROTOCOL, "18446744073709551616"),
        too_large(length("a length of 2^63", Outcome::TooLarge, "9223372036854775808")),
        too_large(length("a length of 51,201", Outcome::TooLarge, "51201")),
        framed(
            "two lengths that differ",
            PROTOCOL,
            "content-length: 2\r\ncontent-length: 3\r\n",
            "{}",
        ),
        framed("two lengths that agree", OK, "content-length: 2\r\ncontent-length: 2\r\n", "{}"),
        framed(
            "a length of 51,200",
            Outcome::Response(200, 51_200),
            "content-length: 51200\r\n",
            &body(51_200),
        ),
        framed("no length, 51,200 bytes", Outcome::Response(200, 51_200), "", &body(51_200)),
        too_large(framed("no length, 51,201 bytes", Outcome::TooLarge, "", &body(51_201))),
        too_large(flood("a body without end", Outcome::TooLarge, with("", ""), b"x")),
        late("a body that stops", with("content-length: 9\r\n", "{}"), Then::Hold),
        late("a body that drips", with("", "{"), Then::Drip(b" ".to_vec())),
        late("a body that never begins", with("content-length: 2\r\n", ""), Then::Hold),
        says("a body without length, cut", CUT_OFF, Say::new(with("", "{}"), Then::Cut)),
        framed(
            "a length and chunks",
            OK,
            "content-length: 9\r\ntransfer-encoding: chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        framed(
            "chunks and a length",
            OK,
            "transfer-encoding: chunked\r\ncontent-length: 9\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        flood(
            "another response behind the first",
            OK,
            with("content-length: 2\r\n", "{}"),
            b"HTTP/1.1 203 X\r\n\r\n",
        ),
    ]
}

fn chunks() -> Vec<Row> {
    // Where chunked is not the last coding, the body ends with the connection (RFC 9112 section 6.3).
    const UNTIL_THE_END: Outcome = Outcome::Response(200, 12);
    let head = || with("transfer-encoding: chunked\r\n", "");
    let chunks = |name: &str, want, chunks: &str| {
        all(&format!("chunks: {name}"), want, [&head(), chunks.as_bytes()].concat())
    };
    let endless = |name: &str, want, first: &str, then: &[u8]| {
        flood(&format!("chunks: {name}"), want, [&head(), first.as_bytes()].concat(), then)
    };
    let coding = |value: &str, want| {
        let lines = format!("transfer-encoding: {value}\r\n");
        all(&format!("the transfer coding {value:?}"), want, with(&lines, "2\r\n{}\r\n0\r\n\r\n"))
    };
    vec![
        chunks("as they should be", OK, "2\r\n{}\r\n0\r\n\r\n"),
        chunks("zeros before a size", OK, "0002\r\n{}\r\n000\r\n\r\n"),
        chunks("an extension", OK, "2;a=\"b\"\r\n{}\r\n0\r\n\r\n"),
        chunks("a trailer", OK, "2\r\n{}\r\n0\r\nx: y\r\n\r\n"),
        chunks("a length as a trailer", OK, "2\r\n{}\r\n0\r\ncontent-length: 9\r\n\r\n"),
        chunks("garbage behind the end", OK, "2\r\n{}\r\n0\r\n\r\ngarbage"),
        chunks("an empty size", PROTOCOL, "\r\n{}\r\n0\r\n\r\n"),
        chunks("a size that is none", PROTOCOL, "xyz\r\n{}\r\n0\r\n\r\n"),
        chunks("a negative size", PROTOCOL, "-2\r\n{}\r\n0\r\n\r\n"),
        chunks("a size in C's hex", PROTOCOL, "0x2\r\n{}\r\n0\r\n\r\n"),
        chunks("a size beyond 64 bits", PROTOCOL, "10000000000000002\r\n{}\r\n0\r\n\r\n"),
        chunks("no line's end behind the data", PROTOCOL, "2\r\n{}0\r\n\r\n"),
        chunks("a bare LF behind a size", PROTOCOL, "2\n{}\r\n0\r\n\r\n"),
        chunks("a bare CR behind a size", PROTOCOL, "2\r{}\r\n0\r\n\r\n"),
        chunks("data longer than their size", PROTOCOL, "1\r\n{}\r\n0\r\n\r\n"),
        chunks("data shorter than their size", CUT_OFF, "9\r\n{}\r\n"),
        chunks("no last one", CUT_OFF, "2\r\n{}\r\n"),
        chunks("the last one cut", CUT_OFF, "2\r\n{}\r\n0\r\n"),
        chunks("NUL for a size", PROTOCOL, "\0\r\n{}\r\n0\r\n\r\n"),
        chunks(
            "51,200 of one byte",
            Outcome::Response(200, 51_200),
            &("1\r\nx\r\n".repeat(51_200) + "0\r\n\r\n"),
        ),
        chunks(
            "51,201 of one byte",
            Outcome::TooLarge,
            &("1\r\nx\r\n".repeat(51_201) + "0\r\n\r\n"),
        )
        .ended_by(Limit::Body),
        endless("without end", Outcome::TooLarge, "", b"1\r\nx\r\n").ended_by(Limit::Body),
        endless("one of 2^40 bytes", Outcome::TooLarge, "10000000000\r\n", b"x")
            .ended_by(Limit::Body),
        endless("zeros of a size without end", Outcome::TooLarge, "", b"0").ended_by(Limit::Body),
        endless("blanks of a size without end", Outcome::TooLarge, "2", b" ").ended_by(Limit::Body),
        endless("an extension without end", PROTOCOL, "2;", b"x"),
        endless("extensions without end", PROTOCOL, "", b"1;xxxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n"),
        endless("trailers without end", PROTOCOL, "2\r\n{}\r\n0\r\n", b"x: y\r\n"),
        endless("a trailer without end", PROTOCOL, "2\r\n{}\r\n0\r\nx: ", b"y"),
        late("chunks that stop", with("transfer-encoding: chunked\r\n", "2\r\n{}\r\n"), Then::Hold),
        late("chunks that drip", head(), Then::Drip(b"1\r\n \r\n".to_vec())),
        coding("Chunked", OK),
        coding("gzip", UNTIL_THE_END),
        coding("gzip, chunked", OK),
        coding("chunked, gzip", UNTIL_THE_END),
        coding("chunked, chunked", OK),
        coding("identity", UNTIL_THE_END),
        coding("xchunked", UNTIL_THE_END),
        coding("", UNTIL_THE_END),
    ]
}

/// The end of the connection, of each kind, at each place of a response.
fn ends() -> Vec<Row> {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let places = [
        ("before all", 0),
        ("within the version", 5),
        ("within the status", 10),
        ("within the reason", 14),
        ("between CR and LF", 16),
        ("behind the status line", 17),
        ("within a name", 22),
        ("behind the colon", 32),
        ("within the last line's end", 35),
        ("before the last LF", 37),
        ("behind the head", 38),
        ("within the body", 39),
    ];
    let ends = [("closed", Then::Close), ("cut", Then::Cut), ("reset", Then::Reset)];
    let of = |(end, then): &(&str, Then)| {
        let then = then.clone();
        let end = end.to_owned();
        places.map(move |(place, at)| {
            let words = Say::new(&ANSWER.as_bytes()[..at], then.clone());
            says(&format!("{end} {place}"), CUT_OFF, words)
        })
    };
    ends.iter().flat_map(of).collect()
}
