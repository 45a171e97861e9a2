//! Responses of HTTP/1.1, as the federation client meets them.

use super::*;

/// What a request may cost, in KiB: for a head of 64 KiB, hyper makes room for 16,385 header lines of 64
/// bytes each while it reads it.
const KIB: usize = 1280;

const NONE: Outcome = Outcome::NoResponse;
const BROKEN: Outcome = Outcome::Broken(200);
const ENDLESS: Outcome = Outcome::Endless(200);
const GIVEN_UP: Outcome = Outcome::GivenUp;
const LARGE_HEAD: &str = "heads are larger than 65536 bytes";

fn reading(reading: Reading, name: &str, want: Outcome, words: Say) -> Row {
    let peer = move || Peer::https(Arc::clone(&HTTP_1), move |_| words.clone());
    Row::new(format!("federation: HTTP/1.1: {name}"), want, KIB, federate(reading, peer))
}

fn says(name: &str, want: Outcome, words: Say) -> Row {
    reading(Reading::Whole, name, want, words)
}

fn all(name: &str, want: Outcome, bytes: impl Into<Vec<u8>>) -> Row {
    says(name, want, Say::all(bytes))
}

fn flood(name: &str, want: Outcome, first: impl Into<Vec<u8>>, then: &str) -> Row {
    says(name, want, Say::new(first, Then::Flood(then.into())))
}

/// A head of this status and no body.
fn status(name: &str, status: u16, lines: &str) -> Row {
    let head = format!("HTTP/1.1 {status} X\r\n{lines}content-length: 0\r\n\r\n");
    all(name, Outcome::Answer(status, 0), head)
}

pub(super) fn rows() -> Vec<Row> {
    heads().into_iter().chain(bodies()).collect()
}

fn heads() -> Vec<Row> {
    let line = "HTTP/1.1 200 OK\r\n";
    let switching = "HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    vec![
        status("status 302 is handed on", 302, "location: /\r\n"),
        status("status 503", 503, ""),
        status("status 999", 999, ""),
        all("101", Outcome::Answer(101, 0), switching),
        flood("early hints without end: 103 over HTTP/1.1", NONE, "", hint).says(LARGE_HEAD),
        flood("100 without end", NONE, "", "HTTP/1.1 100 X\r\n\r\n").says(LARGE_HEAD),
        flood("header lines without end", NONE, line, "x: y\r\n").says(LARGE_HEAD),
        flood("a header's value without end", NONE, format!("{line}x: "), "y").says(LARGE_HEAD),
        all(
            "two lengths that differ",
            NONE,
            with("content-length: 2\r\ncontent-length: 3\r\n", "{}"),
        ),
        all("NUL in a header", NONE, with("x: \0\r\n", "")),
        all("HTTP/0.9", NONE, "<html>"),
        all("HTTP/2, although HTTP/1.1 was chosen", NONE, [0, 0, 0, 4, 0, 0, 0, 0, 0]),
        all("nothing", NONE, []),
        says("a reset", NONE, Say::new([], Then::Reset)),
        says("silence", GIVEN_UP, Say::new([], Then::Hold)).ended_by(Limit::Patience),
        says("a head that drips", GIVEN_UP, Say::new(line, Then::Drip(b"x: y\r\n".to_vec())))
            .ended_by(Limit::Patience),
    ]
}

fn bodies() -> Vec<Row> {
    let chunks = |first: &str| with("transfer-encoding: chunked\r\n", first);
    let endless = || Say::new(with("", ""), Then::Flood(b"x".to_vec()));
    let other = "HTTP/1.1 203 X\r\n\r\n";
    vec![
        all("a length that is too long", BROKEN, with("content-length: 9\r\n", "{}")),
        says("a body that is cut", BROKEN, Say::new(with("", "{}"), Then::Cut)),
        says("a body without end", ENDLESS, endless()),
        reading(Reading::Nothing, "a body without end that nobody reads", GIVEN_UP, endless())
            .ended_by(Limit::Patience),
        flood("a chunk of 2^40 bytes", ENDLESS, chunks("10000000000\r\n"), "x"),
        all("a chunk beyond 64 bits", BROKEN, chunks("10000000000000000\r\nx")),
        flood("a chunk's extension without end", BROKEN, chunks("1;"), "x"),
        flood("trailers without end", BROKEN, chunks("0\r\n"), "x: y\r\n"),
        flood(
            "responses without end behind the first",
            Outcome::Answer(200, 2),
            with("content-length: 2\r\n", "{}"),
            other,
        ),
    ]
}
