//! The table. What the first resolution asks, all at once, may be needed; renewals ask what they need,
//! one question after the other. A renewal is seen at the call after the one that set it off.

use matrix_delegation::config::AddressFamilies;

use super::{Change, PLAIN, Row};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "nothing happens",
        calls: ("0:01", "30:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00..29:36/0:48"),
            ("A a, A t, FED m", "0:00 19:12"),
            ("A m, FED a, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    // Renewed ahead at 48 min of 60; 2, 4, 8, 16, 32 and 60 min after each failure. Until 48 h the old
    // answer stands in; from 48 h to 50 h three more tries 0.5, 1 and 2 s apart; then it is a server
    // that never delegated.
    Row {
        name: "it goes down for good",
        changes: &[("0:30", Change::Refuses)],
        calls: ("0:01", "53:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("48:01", "degraded 6 a.example 192.0.2.1:8448"),
            ("50:02", "fresh 6 a.example 192.0.2.1:8448"),
            ("50:03", "cached 6 a.example 192.0.2.1:8448"),
            ("50:52", "fresh 6 a.example 192.0.2.1:8448"),
            ("50:53", "cached 6 a.example 192.0.2.1:8448"),
            ("51:52", "fresh 6 a.example 192.0.2.1:8448"),
            ("51:53", "cached 6 a.example 192.0.2.1:8448"),
            ("52:52", "fresh 6 a.example 192.0.2.1:8448"),
            ("52:53", "cached 6 a.example 192.0.2.1:8448"),
        ],
        asks: &[
            (
                "WK a",
                "0:00 0:48 0:50 0:54 1:02 1:18 1:50..48:50/1:00 48:50:00.500 48:50:01.500 48:50:03.500 49:51 49:51:00.500 49:51:01.500 49:51:03.500 50:52 51:52 52:52",
            ),
            ("A a", "0:00 24:50 48:02"),
            ("A m, OLD m", "0:00"),
            ("A t, FED m", "0:00 19:12 38:24"),
            ("FED a, OLD a", "0:00 48:01 48:49 49:38..52:50/0:48"),
        ],
        ..PLAIN
    },
    // Each try takes 15 s, and is no quick failure.
    Row {
        name: "it is silent for good",
        changes: &[("0:30", Change::Silent)],
        calls: ("0:01", "51:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("48:01", "degraded 6 a.example 192.0.2.1:8448"),
            ("50:01", "fresh 6 a.example 192.0.2.1:8448"),
            ("50:02", "cached 6 a.example 192.0.2.1:8448"),
            ("50:43", "fresh 6 a.example 192.0.2.1:8448"),
            ("50:44", "cached 6 a.example 192.0.2.1:8448"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:51 0:56 1:05 1:22 1:55..50:43/1:01"),
            ("A a", "0:00 24:17 48:02"),
            ("A m, OLD m", "0:00"),
            ("A t, FED m", "0:00 19:13 38:25"),
            ("FED a, OLD a", "0:00 48:01 48:49 49:38 50:26"),
        ],
        ..PLAIN
    },
    Row {
        name: "it comes back before the good answer is 48 h old",
        changes: &[("0:30", Change::Status(503, "")), ("5:00", Change::Delegates("m.example"))],
        calls: ("0:01", "8:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("5:50", "fresh 3.3 m.example 192.0.2.3:443"),
            ("5:51", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:50 0:54 1:02 1:18 1:50..5:50/1:00 6:38 7:26"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    Row {
        name: "it comes back after that",
        changes: &[("0:30", Change::Status(502, "")), ("49:00", Change::Delegates("m.example"))],
        calls: ("0:01", "51:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("48:01", "degraded 6 a.example 192.0.2.1:8448"),
            ("49:51", "fresh 3.3 m.example 192.0.2.3:443"),
            ("49:52", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            (
                "WK a",
                "0:00 0:48 0:50 0:54 1:02 1:18 1:50..48:50/1:00 48:50:00.500 48:50:01.500 48:50:03.500 49:51 50:39",
            ),
            ("A a", "0:00 24:50 48:02"),
            ("A m, OLD m", "0:00 49:51"),
            ("A t, FED m", "0:00 19:12 38:24"),
            ("FED a, OLD a", "0:00 48:01 48:49 49:38"),
        ],
        ..PLAIN
    },
    // Whoever waits gets the answer of the third.
    Row {
        name: "it comes back between two tries",
        changes: &[("0:30", Change::Status(502, "")), ("48:50:01", Change::Delegates("m.example"))],
        calls: ("0:01", "50:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("48:01", "degraded 6 a.example 192.0.2.1:8448"),
            ("48:50", "fresh 3.3 m.example 192.0.2.3:443"),
            ("48:51", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            (
                "WK a",
                "0:00 0:48 0:50 0:54 1:02 1:18 1:50..48:50/1:00 48:50:00.500 48:50:01.500 49:39",
            ),
            ("A a", "0:00 24:50 48:02"),
            ("A m, OLD m", "0:00 48:50:01.500"),
            ("A t, FED m", "0:00 19:12 38:24"),
            ("FED a, OLD a", "0:00 48:01 48:49"),
        ],
        ..PLAIN
    },
    Row {
        name: "it moves",
        ttl: 3600,
        changes: &[("0:30", Change::Address("192.0.2.33"))],
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("0:49", "cached 3.3 m.example 192.0.2.33:443"),
        ],
        asks: &[("WK a, A a, A t, FED m", "0:00..4:00/0:48"), ("A m, FED a, OLD a, OLD m", "0:00")],
        ..PLAIN
    },
    Row {
        name: "it delegates to another",
        changes: &[("0:30", Change::Delegates("n.example"))],
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("0:49", "cached 3.5 n.example 192.0.2.4:8448"),
        ],
        asks: &[
            ("WK a", "0:00..4:00/0:48"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
            ("A n", "0:48"),
            ("FED n, OLD n", "0:48..4:00/0:48"),
        ],
        ..PLAIN
    },
    Row {
        name: "it loses its SRV record, and gets it back",
        headers: &[("cache-control", "max-age=86400")],
        ttl: 3600,
        changes: &[("0:30", Change::Gone("FED m")), ("2:00", Change::Srv)],
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("0:49", "cached 3.5 m.example 192.0.2.2:8448"),
            ("2:01", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a, A a, FED a, OLD a", "0:00"),
            ("A m, OLD m", "0:00 0:48 1:36"),
            ("A t", "0:00 2:00 2:48 3:36"),
            ("FED m", "0:00 0:48..2:00/0:08 2:48 3:36"),
        ],
        ..PLAIN
    },
    Row {
        name: "it flaps",
        changes: &[
            ("0:30", Change::Status(500, "")),
            ("0:49", Change::Delegates("m.example")),
            ("1:30", Change::Refuses),
            ("1:41", Change::Delegates("m.example")),
            ("2:00", Change::Status(408, "")),
            ("2:50", Change::Delegates("m.example")),
        ],
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("2:44", "stale 3.3 m.example 192.0.2.3:443"),
            ("3:02", "fresh 3.3 m.example 192.0.2.3:443"),
            ("3:03", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:50 1:38 1:40 1:44 2:32 2:34 2:38 2:46 3:02 3:50"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    Row {
        name: "429, to be asked again in two hours",
        changes: &[("0:30", Change::Status(429, "7200"))],
        calls: ("0:01", "10:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48..8:48/2:00"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    // A day at the most, and no quick failure.
    Row {
        name: "429, to be asked again in three years",
        changes: &[("0:30", Change::Status(429, "99999999"))],
        calls: ("0:01", "50:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("48:01", "degraded 6 a.example 192.0.2.1:8448"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 24:48 48:48"),
            ("A a", "0:00 24:48 48:02"),
            ("A m, OLD m", "0:00"),
            ("A t, FED m", "0:00 19:12 38:24"),
            ("FED a, OLD a", "0:00 48:01 48:49 49:38"),
        ],
        ..PLAIN
    },
    // A minute at the least; what cannot be read backs off, after so many failures for an hour.
    Row {
        name: "429, to be asked again at once, then nobody knows when",
        changes: &[("0:30", Change::Status(429, "0")), ("1:20", Change::Status(429, "-5"))],
        calls: ("0:00:30", "4:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:00:30", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48..1:20/0:01 2:20 3:20"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    // Once the date has passed, a minute.
    Row {
        name: "429 until a date",
        changes: &[
            ("0:30", Change::Status(429, "Thu, 01 Jan 2026 02:48:00 GMT")),
            ("2:50", Change::Delegates("m.example")),
        ],
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("2:50", "fresh 3.3 m.example 192.0.2.3:443"),
            ("2:51", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 2:48 2:49 2:50 3:38"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    Row {
        name: "429 until a date, by a wall clock that is set backwards",
        changes: &[
            ("0:30", Change::Status(429, "Thu, 01 Jan 2026 02:48:00 GMT")),
            ("0:40", Change::Backwards(2)),
        ],
        calls: ("0:01", "30:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 24:48"),
            ("A a", "0:00 24:48"),
            ("A m, FED a, OLD a, OLD m", "0:00"),
            ("A t, FED m", "0:00 19:12"),
        ],
        ..PLAIN
    },
    Row {
        name: "429 until a date, by a wall clock that is set forwards",
        changes: &[
            ("0:30", Change::Status(429, "Thu, 01 Jan 2026 02:48:00 GMT")),
            ("0:40", Change::Forwards(2)),
            ("0:50", Change::Delegates("m.example")),
        ],
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:49 0:50..3:14/0:48"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    Row {
        name: "one 404 in a deployment, while the good answer holds",
        changes: &[("0:30", Change::Status(404, "")), ("0:49", Change::Delegates("m.example"))],
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:50..3:14/0:48"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    Row {
        name: "one 404 in a deployment, just when the good answer ended",
        changes: &[("0:30", Change::Status(404, "")), ("1:10", Change::Delegates("m.example"))],
        calls: ("0:20", "3:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:20", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "degraded 6 a.example 192.0.2.1:8448"),
            ("1:20", "fresh 3.3 m.example 192.0.2.3:443"),
            ("1:40", "cached 3.3 m.example 192.0.2.3:443"),
            ("2:20", "fresh 3.3 m.example 192.0.2.3:443"),
            ("2:40", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 1:00 1:20 2:20"),
            ("A a, A m, A t, FED m", "0:00"),
            ("FED a, OLD a", "0:00 1:00"),
            ("OLD m", "0:00 1:20"),
        ],
        ..PLAIN
    },
    // It backs off like a temporary failure, but the old answer only holds as long as it said.
    Row {
        name: "404 after a good answer",
        changes: &[("0:30", Change::Status(404, ""))],
        calls: ("0:01", "6:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "degraded 6 a.example 192.0.2.1:8448"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:50 0:54 1:02 1:18 1:50..5:50/1:00"),
            ("A a, A m, A t, FED m, OLD m", "0:00"),
            ("FED a, OLD a", "0:00 1:00 1:49..5:01/0:48 5:51"),
        ],
        ..PLAIN
    },
    // A challenge page, say. It is no word of the server, so the old answer stands in as if it were down.
    Row {
        name: "403 after a good answer",
        changes: &[("0:30", Change::Status(403, ""))],
        calls: ("0:01", "6:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:50 0:54 1:02 1:18 1:50..5:50/1:00"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    // From 50 h on for an hour each.
    Row {
        name: "404 after a good answer, until that is forgotten",
        changes: &[("0:30", Change::Status(404, ""))],
        calls: ("0:10", "54:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:10", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "degraded 6 a.example 192.0.2.1:8448"),
            ("50:10", "fresh 6 a.example 192.0.2.1:8448"),
            ("50:30", "cached 6 a.example 192.0.2.1:8448"),
            ("51:20", "fresh 6 a.example 192.0.2.1:8448"),
            ("51:30", "cached 6 a.example 192.0.2.1:8448"),
            ("52:20", "fresh 6 a.example 192.0.2.1:8448"),
            ("52:30", "cached 6 a.example 192.0.2.1:8448"),
            ("53:20", "fresh 6 a.example 192.0.2.1:8448"),
            ("53:40", "cached 6 a.example 192.0.2.1:8448"),
        ],
        asks: &[
            ("WK a", "0:00 0:50..1:20/0:10 1:40 2:20..53:20/1:00"),
            ("A a", "0:00 24:00 48:00"),
            ("A m, A t, FED m, OLD m", "0:00"),
            ("FED a, OLD a", "0:00..50:00/1:00 50:50 51:40 52:30 53:30"),
        ],
        ..PLAIN
    },
    // A failure is not renewed before it is over.
    Row {
        name: "404 as ever",
        changes: &[("0:00", Change::Status(404, ""))],
        calls: ("0:01", "6:00"),
        gets: &[
            ("0:00", "fresh 6 a.example 192.0.2.1:8448"),
            ("0:01", "cached 6 a.example 192.0.2.1:8448"),
            ("1:00", "fresh 6 a.example 192.0.2.1:8448"),
            ("1:01", "cached 6 a.example 192.0.2.1:8448"),
            ("2:00", "fresh 6 a.example 192.0.2.1:8448"),
            ("2:01", "cached 6 a.example 192.0.2.1:8448"),
            ("3:00", "fresh 6 a.example 192.0.2.1:8448"),
            ("3:01", "cached 6 a.example 192.0.2.1:8448"),
            ("4:00", "fresh 6 a.example 192.0.2.1:8448"),
            ("4:01", "cached 6 a.example 192.0.2.1:8448"),
            ("5:00", "fresh 6 a.example 192.0.2.1:8448"),
            ("5:01", "cached 6 a.example 192.0.2.1:8448"),
            ("6:00", "fresh 6 a.example 192.0.2.1:8448"),
        ],
        asks: &[
            ("WK a", "0:00..6:00/1:00"),
            ("A a", "0:00"),
            ("FED a, OLD a", "0:00..3:12/0:48 4:01 4:49 5:37"),
        ],
        ..PLAIN
    },
    Row {
        name: "503 as ever",
        changes: &[("0:00", Change::Status(503, ""))],
        calls: ("0:01", "6:00"),
        gets: &[
            ("0:00", "fresh 6 a.example 192.0.2.1:8448"),
            ("0:01", "cached 6 a.example 192.0.2.1:8448"),
            ("0:02", "fresh 6 a.example 192.0.2.1:8448"),
            ("0:03", "cached 6 a.example 192.0.2.1:8448"),
            ("0:06", "fresh 6 a.example 192.0.2.1:8448"),
            ("0:07", "cached 6 a.example 192.0.2.1:8448"),
            ("0:14", "fresh 6 a.example 192.0.2.1:8448"),
            ("0:15", "cached 6 a.example 192.0.2.1:8448"),
            ("0:30", "fresh 6 a.example 192.0.2.1:8448"),
            ("0:31", "cached 6 a.example 192.0.2.1:8448"),
            ("1:02", "fresh 6 a.example 192.0.2.1:8448"),
            ("1:03", "cached 6 a.example 192.0.2.1:8448"),
            ("2:02", "fresh 6 a.example 192.0.2.1:8448"),
            ("2:03", "cached 6 a.example 192.0.2.1:8448"),
            ("3:02", "fresh 6 a.example 192.0.2.1:8448"),
            ("3:03", "cached 6 a.example 192.0.2.1:8448"),
            ("4:02", "fresh 6 a.example 192.0.2.1:8448"),
            ("4:03", "cached 6 a.example 192.0.2.1:8448"),
            ("5:02", "fresh 6 a.example 192.0.2.1:8448"),
            ("5:03", "cached 6 a.example 192.0.2.1:8448"),
        ],
        asks: &[
            ("WK a", "0:00 0:02 0:06 0:14 0:30 1:02..5:02/1:00"),
            ("A a", "0:00"),
            ("FED a, OLD a", "0:00..5:36/0:48"),
        ],
        ..PLAIN
    },
    // 50 ms of grace before the fetch, 250 ms before the answer; asked again after 2 min.
    Row {
        name: "AAAA is never answered",
        headers: &[("cache-control", "max-age=86400")],
        families: AddressFamilies::Both,
        ttl: 3600,
        calls: ("0:01", "0:09"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("0:03", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:04", "cached 3.3 m.example 192.0.2.3:443"),
            ("0:06", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:07", "cached 3.3 m.example 192.0.2.3:443"),
            ("0:09", "fresh 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a, A m, A t, AAAA m, FED m, OLD m", "0:00:00.050"),
            ("A a, AAAA a, FED a, OLD a", "0:00"),
            ("AAAA t", "0:00:00.050 0:03 0:06 0:09"),
        ],
        ..PLAIN
    },
    // 5 s for DNS, 1 min for the well-known; renewed after four fifths of that.
    Row {
        name: "a TTL of 0",
        headers: &[("cache-control", "max-age=0")],
        ttl: 0,
        calls: ("0:00:01", "0:02"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:00:01", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a, A a", "0:00 0:00:48 0:01:36"),
            ("A m, FED a, OLD a, OLD m", "0:00"),
            ("A t, FED m", "0:00..0:02/0:00:04"),
        ],
        ..PLAIN
    },
    // A day for DNS, 48 h for the well-known.
    Row {
        name: "a TTL of 2^31",
        headers: &[("cache-control", "max-age=2147483648")],
        ttl: 1 << 31,
        calls: ("0:30", "60:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:30", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a, A a", "0:00 38:30"),
            ("A m, FED a, OLD a, OLD m", "0:00"),
            ("A t, FED m", "0:00..58:30/19:30"),
        ],
        ..PLAIN
    },
    // Nothing changes, since lifetimes run on the other clock.
    Row {
        name: "the wall clock is set forwards",
        changes: &[("0:10", Change::Forwards(3650)), ("0:30", Change::Status(503, ""))],
        calls: ("0:01", "5:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:50 0:54 1:02 1:18 1:50..4:50/1:00"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    Row {
        name: "the wall clock is set backwards",
        changes: &[("0:10", Change::Backwards(3650)), ("0:30", Change::Status(503, ""))],
        calls: ("0:01", "5:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00 0:48 0:50 0:54 1:02 1:18 1:50..4:50/1:00"),
            ("A a, A m, A t, FED a, FED m, OLD a, OLD m", "0:00"),
        ],
        ..PLAIN
    },
    // 0.5, 1, 2, 4, 8 and 10 min after each failure. The old ones stand in for a day past their TTL.
    Row {
        name: "DNS fails to find the addresses for good",
        headers: &[("cache-control", "max-age=86400")],
        ttl: 3600,
        changes: &[("0:30", Change::Fails("A t"))],
        calls: ("0:00:30", "27:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:00:30", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("25:00", "error: no_addresses"),
        ],
        asks: &[
            ("WK a, A a", "0:00 19:12"),
            ("A m, FED a, OLD a, OLD m", "0:00"),
            ("A t", "0:00 0:48 0:48:30 0:49:30 0:51:30 0:55:30 1:03:30..26:53:30/0:10"),
            ("FED m", "0:00..24:48/0:48 25:48 26:48"),
        ],
        ..PLAIN
    },
    // The same, but what follows is an answer, though a degraded one.
    Row {
        name: "DNS fails to find the SRV records for good",
        headers: &[("cache-control", "max-age=172800")],
        ttl: 3600,
        changes: &[("0:30", Change::Fails("FED m"))],
        calls: ("0:00:30", "27:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:00:30", "cached 3.3 m.example 192.0.2.3:443"),
            ("1:00", "stale 3.3 m.example 192.0.2.3:443"),
            ("25:00", "degraded 3.5 m.example 192.0.2.2:8448"),
        ],
        asks: &[
            ("WK a, A a, FED a, OLD a", "0:00"),
            ("A m, OLD m", "0:00 25:00 25:48 26:36"),
            ("A t", "0:00..24:48/0:48"),
            ("FED m", "0:00 0:48 0:48:30 0:49:30 0:51:30 0:55:30 1:03:30..26:53:30/0:10"),
        ],
        ..PLAIN
    },
    // The old address stands in for a day past its TTL, then nothing can be fetched.
    Row {
        name: "DNS fails to find the host of the well-known",
        ttl: 3600,
        changes: &[("0:30", Change::Fails("A a"))],
        calls: ("0:01", "28:00"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
            ("25:48", "stale 3.3 m.example 192.0.2.3:443"),
        ],
        asks: &[
            ("WK a", "0:00..24:48/0:48"),
            ("A a", "0:00..25:36/0:48 25:50 26:06 26:38 27:38"),
            ("A m, FED a, OLD a, OLD m", "0:00"),
            ("A t, FED m", "0:00..28:00/0:48"),
        ],
        ..PLAIN
    },
];
