//! Frames without end.

use super::*;

/// Settings and these frames, then these without end.
fn flood(name: &str, want: Outcome, first: Vec<u8>, then: Vec<u8>) -> Row {
    let words = [settings(&[]), first].concat();
    raw(Reading::Whole, &format!("flood: {name}"), want, Say::new(words, Then::Flood(then)))
}

/// The same from a server that reads nothing, so that no answer gets through.
fn unread(name: &str, then: Vec<u8>) -> Row {
    let words = Say::new(settings(&[]), Then::FloodUnread(then));
    raw(Reading::Whole, &format!("flood, and nothing is read: {name}"), Outcome::NotWhole, words)
        .ended_by(Limit::Patience)
}

/// Frames that carry nothing, before a response.
fn idle(name: &str, frame: Vec<u8>) -> Row {
    flood(name, NONE, Vec::new(), frame).ended_by(Limit::Idle)
}

/// Heads of responses.
fn heads(name: &str, first: Vec<u8>, frame: Vec<u8>) -> Row {
    flood(name, NONE, first, frame).ended_by(Limit::Heads)
}

pub(super) fn rows() -> Vec<Row> {
    [frames_of_nothing(), frames_of_streams(), requests()].into_iter().flatten().collect()
}

fn frames_of_nothing() -> Vec<Row> {
    let update = |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]);
    let ping = || frame(PING, 0, 0, &[7; 8]);
    vec![
        idle("PING", ping()),
        idle("answers to no PING", frame(PING, ACK, 0, &[7; 8])),
        idle("SETTINGS", settings(&[(4, 65_535)])),
        idle("empty SETTINGS", settings(&[])),
        idle("SETTINGS that change the table of fields", settings(&[(1, 0), (1, 4096)])),
        idle("WINDOW_UPDATE", update(0)),
        idle("WINDOW_UPDATE of the stream", update(1)),
        idle("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
        idle("PRIORITY of idle streams", frame(PRIORITY, 0, 99, &[0, 0, 0, 3, 0])),
        idle("frames of an unknown type", frame(0x42, 0, 1, b"")),
        idle("GOAWAY that spares the request", go_away(1, 0)),
        idle("ALTSVC", frame(10, 0, 0, &[0; 9])),
        flood("PING within a body", Outcome::Broken(200), headers(0, STATUS_200), ping())
            .ended_by(Limit::Idle),
        unread("PING", ping()),
        unread("SETTINGS", settings(&[(4, 65_535)])),
    ]
}

fn frames_of_streams() -> Vec<Row> {
    let head = || headers(0, STATUS_200);
    let large = [STATUS_103, &field("link", &"x".repeat(120)).repeat(120)].concat();
    vec![
        heads("early hints: 103 over HTTP/2", Vec::new(), headers(0, STATUS_103)),
        heads("early hints of 15 KiB each", Vec::new(), headers(0, &large)).within(2048),
        heads("100", Vec::new(), headers(0, &[0x08, 3, b'1', b'0', b'0'])),
        heads(
            "102 in many CONTINUATIONs",
            Vec::new(),
            [
                frame(HEADERS, 0, 1, &[0x08, 3, b'1']),
                frame(CONTINUATION, 0, 1, b"0"),
                frame(CONTINUATION, END_HEADERS, 1, b"2"),
            ]
            .concat(),
        ),
        flood(
            "CONTINUATION (CVE-2024-27316)",
            NONE,
            frame(HEADERS, 0, 1, STATUS_200),
            frame(CONTINUATION, 0, 1, &field("x", &"y".repeat(100))),
        ),
        flood(
            "empty CONTINUATION (CVE-2024-27316)",
            NONE,
            frame(HEADERS, 0, 1, STATUS_200),
            frame(CONTINUATION, 0, 1, b""),
        ),
        flood(
            "CONTINUATION of 16 KiB (CVE-2024-27316)",
            NONE,
            frame(HEADERS, 0, 1, STATUS_200),
            frame(CONTINUATION, 0, 1, &field("x", &"y".repeat(100)).repeat(156)),
        )
        .within(1024),
        flood("RST_STREAM of the request, again and again", NONE, Vec::new(), reset(8)),
        flood(
            "PUSH_PROMISE",
            NONE,
            Vec::new(),
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82, 0x84, 0x87]),
        ),
        flood("empty DATA", Outcome::Broken(200), head(), frame(DATA, 0, 1, b"")),
        flood(
            "DATA of nothing but padding",
            Outcome::Broken(200),
            head(),
            frame(DATA, PADDED, 1, &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        flood("DATA of one byte", Outcome::NotWhole, head(), frame(DATA, 0, 1, b"x")).within(8192),
    ]
}

/// What a server does to each of 20 requests at a time.
fn requests() -> Vec<Row> {
    let many = |name: &str, want, answer: fn(u32) -> Vec<u8>| {
        let client = federate_many(20, move || streams(answer));
        Row::new(format!("HTTP/2: {name}"), want, 3072, client)
    };
    vec![
        many("rapid reset: each of 20 requests is refused (CVE-2023-44487)", NONE, |id| {
            frame(RST_STREAM, 0, id, &[0, 0, 0, 7])
        }),
        many("rapid reset: each of 20 requests is cancelled (CVE-2023-44487)", NONE, |id| {
            frame(RST_STREAM, 0, id, &[0, 0, 0, 8])
        }),
        many(
            "rapid reset: each of 20 responses is cut (CVE-2023-44487)",
            Outcome::Broken(200),
            |id| {
                [
                    frame(HEADERS, END_HEADERS, id, STATUS_200),
                    frame(RST_STREAM, 0, id, &[0, 0, 0, 8]),
                ]
                .concat()
            },
        ),
        many("20 responses with 31 interim ones each", Outcome::Answer(200, 0), |id| {
            let interim = frame(HEADERS, END_HEADERS, id, STATUS_103).repeat(31);
            [interim, frame(HEADERS, END_HEADERS | END_STREAM, id, STATUS_200)].concat()
        }),
        many("20 requests, and early hints of one without end", NONE, |id| match id {
            1 => frame(HEADERS, END_HEADERS, id, STATUS_103).repeat(33),
            _ => Vec::new(),
        })
        .ended_by(Limit::Heads)
        .says("over 32"),
    ]
}
