//! HTTP/2, its frames written by hand; asked by the federation client.

mod floods;

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::clients::{Reading, federate, federate_many};
use crate::net::{Asked, GOOD, Peer, Say, Then};
use crate::row::{Limit, Outcome, Row};

/// What an exchange may cost, in KiB.
const KIB: usize = 512;

const OK: Outcome = Outcome::Answer(200, 2);
const NONE: Outcome = Outcome::NoResponse;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// `:status: 200`, by the static table (RFC 7541 appendix A).
const STATUS_200: &[u8] = &[0x88];
/// `:status: 103`, spelled out.
const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, mid, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[high, mid, low, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entries =
        entries.iter().map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &entries.collect::<Vec<_>>().concat())
}

fn headers(flags: u8, fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, fields)
}

/// A field spelled out, not to be indexed (RFC 7541 section 6.2.2); both shorter than 127 bytes.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// The whole of a right response.
fn response() -> Vec<u8> {
    [headers(0, STATUS_200), frame(DATA, END_STREAM, 1, b"{}")].concat()
}

fn reset(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code.to_be_bytes())
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// A server that says this once it has read the request.
fn raw(reading: Reading, name: &str, want: Outcome, words: Say) -> Row {
    let peer = move || Peer::https(Arc::clone(&GOOD), move |_| words.clone());
    Row::new(format!("HTTP/2: {name}"), want, KIB, federate(reading, peer))
}

/// Settings, these frames and silence.
fn says(name: &str, want: Outcome, frames: impl Into<Vec<u8>>) -> Row {
    let words = [settings(&[]), frames.into()].concat();
    raw(Reading::Whole, name, want, Say::new(words, Then::Hold))
}

/// A response with these fields beside its status.
fn fields(name: &str, want: Outcome, fields: &[u8]) -> Row {
    let head = headers(0, &[STATUS_200, fields].concat());
    says(name, want, [head, frame(DATA, END_STREAM, 1, b"{}")].concat())
}

/// A response whose fields are these, the status among them.
fn block(name: &str, want: Outcome, fields: &[u8]) -> Row {
    says(name, want, headers(END_STREAM, fields))
}

pub(crate) fn rows() -> Vec<Row> {
    let tables = [beginnings(), frames(), blocks(), lengths(), ends(), floods::rows()];
    tables.into_iter().flatten().collect()
}

/// What comes first.
fn beginnings() -> Vec<Row> {
    let first = |name: &str, want, bytes: &[u8]| {
        raw(Reading::Whole, name, want, Say::new(bytes, Then::Hold))
    };
    let set = |name: &str, want, entries: &[(u16, u32)]| {
        first(&format!("settings: {name}"), want, &[settings(entries), response()].concat())
    };
    vec![
        set("none", OK, &[]),
        set("unknown ones", OK, &[(0x0a0a, 7), (99, u32::MAX), (0, 0)]),
        set("one of each id twice", OK, &[(4, 100_000), (4, 65_535), (3, 100), (3, 1)]),
        set("a table of 4 GiB for fields", OK, &[(1, u32::MAX)]),
        set("no table for fields", OK, &[(1, 0)]),
        set("no streams", OK, &[(3, 0)]),
        set("no window", OK, &[(4, 0)]),
        set("no fields at all", OK, &[(6, 0)]),
        // RFC 9113 section 6.5.2 calls this an error; the library passes over it, and refuses what is pushed.
        set("push by the server", OK, &[(2, 1)]),
        set("push neither on nor off", NONE, &[(2, 2)]),
        set("a window of 2^31", NONE, &[(4, 1 << 31)]),
        set("frames of 16,383 bytes", NONE, &[(5, 16_383)]),
        set("frames of 2^24 bytes", NONE, &[(5, 1 << 24)]),
        set("2,700 of them", OK, &vec![(99, 7); 2700]),
        first("a response before the settings", OK, &[response(), settings(&[])].concat()),
        first("no settings at all", OK, &response()),
        first(
            "HTTP/1.1, although HTTP/2 was chosen",
            NONE,
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        ),
        first("zeros", NONE, &[0; 4096]),
        first("bytes of 0xff", NONE, &[0xff; 4096]),
        first("the client's preface sent back", NONE, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        first("silence", NONE, b"").ended_by(Limit::KeepAlive),
        says("settings, then silence", NONE, []).ended_by(Limit::KeepAlive),
        says("settings, then silence, without pings", Outcome::GivenUp, [])
            .ended_by(Limit::Patience),
        says("a head, then silence", NONE, headers(0, STATUS_103)).ended_by(Limit::KeepAlive),
        says("a part of a body, then silence", Outcome::Broken(200), headers(0, STATUS_200))
            .ended_by(Limit::KeepAlive),
        says("half a frame, then silence", NONE, [0, 0, 9, HEADERS]).ended_by(Limit::KeepAlive),
        raw(
            Reading::Whole,
            "a frame that drips",
            Outcome::GivenUp,
            Say::new(
                [settings(&[]), vec![0, 0x3f, 0xff, HEADERS, END_HEADERS, 0, 0, 0, 1]].concat(),
                Then::Drip(vec![0]),
            ),
        )
        .ended_by(Limit::Patience),
    ]
}

/// Frames that are wrong in themselves, or where they stand.
fn frames() -> Vec<Row> {
    let update = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let head = || headers(0, STATUS_200);
    let wrong = [
        ("DATA on stream 0", frame(DATA, 0, 0, b"x")),
        ("HEADERS on stream 0", frame(HEADERS, END_HEADERS, 0, STATUS_200)),
        ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 0])),
        ("RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4])),
        ("CONTINUATION on stream 0", frame(CONTINUATION, 0, 0, b"")),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b"")),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8])),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("SETTINGS of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("SETTINGS acknowledged with a setting", frame(SETTINGS, ACK, 0, &[0; 6])),
        ("SETTINGS acknowledged twice", frame(SETTINGS, ACK, 0, b"").repeat(2)),
        ("PING of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("PING of nine bytes", frame(PING, 0, 0, &[0; 9])),
        ("RST_STREAM of three bytes", frame(RST_STREAM, 0, 1, &[0; 3])),
        ("PRIORITY of four bytes", frame(PRIORITY, 0, 1, &[0; 4])),
        ("GOAWAY of seven bytes", frame(GOAWAY, 0, 0, &[0; 7])),
        ("WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        ("WINDOW_UPDATE by nothing", update(0, 0)),
        ("WINDOW_UPDATE of a stream by nothing", update(1, 0)),
        ("WINDOW_UPDATE beyond 2^31", update(0, u32::MAX >> 1)),
        ("DATA before HEADERS", frame(DATA, 0, 1, b"x")),
        ("DATA of an idle stream", frame(DATA, 0, 3, b"x")),
        ("DATA of a stream of the server's", frame(DATA, 0, 2, b"x")),
        ("HEADERS of an idle stream", frame(HEADERS, END_HEADERS, 3, STATUS_200)),
        ("HEADERS of a stream of the server's", frame(HEADERS, END_HEADERS, 2, STATUS_200)),
        ("RST_STREAM of an idle stream", frame(RST_STREAM, 0, 5, &[0; 4])),
        ("CONTINUATION without HEADERS", frame(CONTINUATION, END_HEADERS, 1, STATUS_200)),
        (
            "PING between HEADERS and CONTINUATION",
            [frame(HEADERS, 0, 1, STATUS_200), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "CONTINUATION of another stream",
            [frame(HEADERS, 0, 1, STATUS_200), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
        ),
        ("padding longer than its frame", frame(HEADERS, END_HEADERS | PADDED, 1, &[9, 0x88])),
        (
            "a stream that depends on itself",
            frame(HEADERS, END_HEADERS | 0x20, 1, &[0, 0, 0, 1, 0, 0x88]),
        ),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82, 0x84, 0x87])),
        ("HEADERS of 16,385 bytes", frame(HEADERS, END_HEADERS, 1, &vec![0; 16_385])),
        ("SETTINGS of 16 MiB", [&[0xff, 0xff, 0xff, SETTINGS, 0], &[0; 4][..]].concat()),
        (
            "a frame of 16 MiB of an unknown type",
            [&[0xff, 0xff, 0xff, 0x42, 0], &[0; 4][..]].concat(),
        ),
    ]
    .map(|(name, frames)| says(name, NONE, frames));
    let late = [
        ("DATA of 16,385 bytes", frame(DATA, 0, 1, &vec![0; 16_385])),
        ("padding longer than its DATA", frame(DATA, PADDED, 1, &[9, 0])),
        ("a response twice", head()),
        ("trailers that do not end the stream", headers(0, &field("x", "y"))),
    ]
    .map(|(name, frames)| says(name, Outcome::Broken(200), [head(), frames].concat()));
    let fine = [
        ("a frame of an unknown type", frame(0x42, 0xff, 1, b"x")),
        ("a frame of an unknown type on an idle stream", frame(0x42, 0, 99, b"x")),
        ("ALTSVC", frame(10, 0, 0, &[0; 9])),
        ("PRIORITY of an idle stream", frame(PRIORITY, 0, 99, &[0, 0, 0, 3, 0])),
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("an answer to no PING", frame(PING, ACK, 0, &[7; 8])),
        ("a WINDOW_UPDATE of what was sent beyond 2^31", update(1, u32::MAX >> 1)),
        ("flags that mean nothing", frame(PING, 0xfe, 0, &[0; 8])),
        ("the reserved bit of a stream", frame(PING, 0, 1 << 31, &[0; 8])),
        ("a window of 2^31 - 1", update(0, (u32::MAX >> 1) - 65_535)),
        ("an interim response", headers(0, STATUS_103)),
        ("31 interim responses", headers(0, STATUS_103).repeat(31)),
    ]
    .map(|(name, frames)| {
        says(&format!("{name}, then a response"), OK, [frames, response()].concat())
    });
    wrong.into_iter().chain(late).chain(fine).collect()
}

/// Blocks of fields (RFC 7541), and fields that are wrong.
fn blocks() -> Vec<Row> {
    let after = |fields: &[u8]| [STATUS_200, fields].concat();
    let bad = [
        ("a field of index 0", after(&[0x80])),
        ("a field of index 62 of an empty table", after(&[0xbe])),
        ("an index beyond 32 bits", after(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        ("a number that never ends", after(&[&[0x7f], &[0x80; 100][..]].concat())),
        ("a name longer than its block", after(&[0, 9, b'x'])),
        ("a value of 4 GiB", after(&[0, 1, b'x', 0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f])),
        ("a Huffman code that is none", after(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff])),
        ("a table larger than was granted", [&[0x3f, 0xe1, 0xff, 0x03], STATUS_200].concat()),
        ("a table's size behind a field", after(&[0x20])),
        ("a block that is empty", Vec::new()),
        ("a name in capitals", after(&field("X-A", "y"))),
        ("an empty name", after(&field("", "y"))),
        ("a blank in a name", after(&field("x a", "y"))),
        ("NUL in a name", after(&field("x\0", "y"))),
        ("NUL in a value", after(&field("x", "\0"))),
        ("a line's end in a value", after(&field("x", "y\r\nz: y"))),
        ("connection", after(&field("connection", "close"))),
        ("transfer-encoding", after(&field("transfer-encoding", "chunked"))),
        ("upgrade", after(&field("upgrade", "h2c"))),
        ("no status", field("x", "y")),
        ("a status behind another field", [&field("x", "y"), STATUS_200].concat()),
        ("two statuses", after(STATUS_200)),
        ("a status of letters", field(":status", "abc")),
        ("a status of two digits", field(":status", "20")),
        ("an empty status", field(":status", "")),
        ("a pseudo field nobody knows", after(&field(":x", "y"))),
    ]
    .map(|(name, fields)| block(&format!("fields: {name}"), NONE, &fields));
    let good = [
        ("a name by Huffman", after(&[0, 0x81, 0xf3, 1, b'y'])),
        ("a table of nothing", [&[0x20], STATUS_200].concat()),
        ("a path", after(&field(":path", "/"))),
        ("bytes beyond ASCII in a value", after(&field("x", "\u{fc}"))),
    ]
    .map(|(name, fields)| block(&format!("fields: {name}"), Outcome::Answer(200, 0), &fields));
    // An entry of 4,000 bytes in the table, then 10,000 times that.
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e], &[b'y'; 4000][..]].concat();
    let bomb = after(&[entry, vec![0xbe; 10_000]].concat());
    let many = |fields: usize| {
        let fields = field("x", "y").repeat(fields);
        let all = after(&fields);
        let mut pieces = all.chunks(16_000).peekable();
        let mut frames = frame(HEADERS, END_STREAM, 1, pieces.next().unwrap());
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            frames.extend(frame(CONTINUATION, flags, 1, piece));
        }
        frames
    };
    let large = [
        block("fields: a small block that unfolds to 40 MB", NONE, &bomb),
        says("fields: 5,000 of them", NONE, many(5000)).within(2048),
        says("fields: 100,000 of them", NONE, many(100_000)).within(2048),
        block("fields: a status of 101", NONE, &field(":status", "101")),
        block("fields: a status of 999", Outcome::Answer(999, 0), &field(":status", "999")),
    ];
    bad.into_iter().chain(good).chain(large).collect()
}

/// Lengths that are announced, and bodies.
fn lengths() -> Vec<Row> {
    let length = |value: &str, want| {
        fields(&format!("a length of {value:?}"), want, &field("content-length", value))
    };
    let body = |reading, name: &str, want, then: Then| {
        // Once its settings are acknowledged, the client grants 2 MiB to a response.
        let words = [settings(&[]), frame(SETTINGS, ACK, 0, b""), headers(0, STATUS_200)].concat();
        raw(reading, name, want, Say::new(words, then))
    };
    let one = || frame(DATA, 0, 1, b"x");
    let most = || frame(DATA, 0, 1, &[b'x'; 16_384]);
    vec![
        length("2", OK),
        length("1", Outcome::Broken(200)),
        length("3", Outcome::Broken(200)),
        length("-1", NONE),
        length("18446744073709551616", NONE),
        length("", Outcome::Broken(200)),
        body(
            Reading::Whole,
            "a body of large frames without end, whatever the window",
            Outcome::NotWhole,
            Then::Flood(most()),
        )
        .within(4096),
        body(
            Reading::Nothing,
            "a body of large frames beyond the window, which nobody reads",
            Outcome::GivenUp,
            Then::FloodUnread(most()),
        )
        .ended_by(Limit::Patience)
        .within(4096),
        body(
            Reading::Nothing,
            "a body of frames of one byte, which nobody reads",
            Outcome::GivenUp,
            Then::Flood(one()),
        )
        .ended_by(Limit::Patience)
        .within(8192),
        body(Reading::Whole, "a body that drips", Outcome::GivenUp, Then::Drip(one()))
            .ended_by(Limit::Patience),
        says(
            "a body of 204",
            Outcome::Answer(204, 1),
            [headers(0, &[0x89]), frame(DATA, END_STREAM, 1, b"x")].concat(),
        ),
    ]
}

/// Ways in which streams and connections end.
fn ends() -> Vec<Row> {
    const HTTP_1_1_REQUIRED: u32 = 13;
    let answered = |name: String, want, answer: fn(u32) -> Vec<u8>, code: u32| {
        let peer = move || {
            Peer::https(Arc::clone(&GOOD), move |asked: &Asked| match asked.stream {
                0 => Say::all("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
                _ => Say::new([settings(&[]), answer(code)].concat(), Then::Hold),
            })
        };
        Row::new(format!("HTTP/2: {name}"), want, 3 * KIB, federate(Reading::Whole, peer))
    };
    let want = |code| if code == HTTP_1_1_REQUIRED { OK } else { NONE };
    let resets = (0..15)
        .chain([u32::MAX])
        .map(|code| answered(format!("RST_STREAM for reason {code}"), want(code), reset, code));
    let leaves = (0..15).chain([u32::MAX]).map(|code| {
        answered(format!("GOAWAY for reason {code}"), want(code), |code| go_away(0, code), code)
    });
    let all = response();
    let cuts = [0, 5, 9, 10, 14, 19, 20].map(|at| {
        let broken = if at < 10 { NONE } else { Outcome::Broken(200) };
        let words = [settings(&[]), all[..at].to_vec()].concat();
        raw(
            Reading::Whole,
            &format!("cut behind byte {at} of a response"),
            broken,
            Say::new(words, Then::Cut),
        )
    });
    let others = vec![
        says(
            "GOAWAY that spares the request, then a response",
            OK,
            [go_away(1, 0), response()].concat(),
        ),
        says(
            "GOAWAY that spares all, then a response",
            OK,
            [go_away(u32::MAX >> 1, 0), response()].concat(),
        ),
        says(
            "GOAWAY that takes back what it spared",
            NONE,
            [go_away(1, 0), go_away(0, 0)].concat(),
        ),
        says(
            "GOAWAY that spares more than before",
            NONE,
            [go_away(0, 0), go_away(1, 0), response()].concat(),
        ),
        says("GOAWAY of 16 KiB", NONE, frame(GOAWAY, 0, 0, &[0; 16_384])),
        says("a response, then its reset", OK, [response(), reset(0)].concat()),
        says(
            "a head, then a reset",
            Outcome::Broken(200),
            [headers(0, STATUS_200), reset(2)].concat(),
        ),
        says(
            "a head, then a reset without error",
            Outcome::Broken(200),
            [headers(0, STATUS_200), reset(0)].concat(),
        ),
        raw(Reading::Whole, "a reset of the connection", NONE, Say::new([], Then::Reset)),
        raw(Reading::Whole, "a proper end at once", NONE, Say::all([])),
    ];
    resets.chain(leaves).chain(cuts).chain(others).collect()
}

/// A server that answers each stream with these frames.
fn streams(answer: fn(u32) -> Vec<u8>) -> Peer {
    Peer::new(move |stream, _| async move {
        let Ok(stream) = TlsAcceptor::from(Arc::clone(&GOOD)).accept(stream).await else { return };
        let (mut reading, mut writing) = tokio::io::split(stream);
        let mut preface = [0; 24];
        if reading.read_exact(&mut preface).await.is_err()
            || writing.write_all(&settings(&[])).await.is_err()
        {
            return;
        }
        loop {
            let mut head = [0; 9];
            let Ok(_) = reading.read_exact(&mut head).await else { return };
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let Ok(_) = reading.read_exact(&mut vec![0; length as usize]).await else { return };
            if head[3] == HEADERS {
                let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let said = writing.write_all(&answer(id)).await;
                if said.is_err() || writing.flush().await.is_err() {
                    return;
                }
            }
        }
    })
}
