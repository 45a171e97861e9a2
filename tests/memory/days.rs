//! Days of what goes wrong, as a table: what changes when, how often somebody asks, what they get,
//! and every question that is asked for it, with when.
//!
//! Answers come at once and lifetimes have no jitter, so that all times are exact. Where the jitter
//! is drawn, the last test has the bounds. Times are hours, minutes and seconds from the start, and
//! the figures are those of `Config`: well-known failures 2, 4, 8, ... 60 min, DNS failures 0.5, 1,
//! 2, ... 10 min, renewal after four fifths of a life.

mod rows;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use matrix_delegation::config::AddressFamilies;
use matrix_delegation::dns::{DnsAnswer, DnsFailure, NoRecord, Records, SrvRecord};
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::well_known::{FetchFailure, FetchFailureKind};
use matrix_delegation::{Config, Endpoint, Resolution, ResolveError, Runtime};

use rows::ROWS;

use super::{Bench, URL, seconds};

/// One scenario.
struct Row {
    name: &'static str,
    /// The well-known's `max-age`, or all of it.
    headers: &'static [(&'static str, &'static str)],
    families: AddressFamilies,
    /// TTL of addresses and SRV records, in seconds.
    ttl: u64,
    changes: &'static [(&'static str, Change)],
    /// Every so often somebody resolves, up to and including the time that stands second.
    calls: (&'static str, &'static str),
    /// From when on they get what; the same until the next line.
    gets: &'static [(&'static str, &'static str)],
    /// Each question, or several, with all times at which it is asked: `1:00`, or `1:00..3:00/0:30`
    /// for every half an hour from the first to the last.
    asks: &'static [(&'static str, &'static str)],
}

/// What changes.
#[derive(Clone, Copy)]
enum Change {
    /// The well-known answers with this status, and `Retry-After` if that is not empty.
    Status(u16, &'static str),
    /// Nobody listens.
    Refuses,
    /// Connecting never ends.
    Silent,
    /// The well-known delegates to this name.
    Delegates(&'static str),
    /// The last SRV target has this address.
    Address(&'static str),
    /// DNS fails to answer this question.
    Fails(&'static str),
    /// There is no such record.
    Gone(&'static str),
    /// The SRV records are there.
    Srv,
    /// The wall clock is set forwards by so many days.
    Forwards(u64),
    /// The same backwards.
    Backwards(u64),
}

const HOUR: &[(&str, &str)] = &[("cache-control", "max-age=3600")];
const DAY: u64 = 86_400;

const PLAIN: Row = Row {
    name: "nothing happens",
    headers: HOUR,
    families: AddressFamilies::V4,
    ttl: DAY,
    changes: &[],
    calls: ("0:01", "4:00"),
    gets: &[],
    asks: &[],
};

/// Every question that somebody without a memory asks: `A a` stands for `A a.example`, `WK a` for
/// its well-known, `FED a` and `OLD a` for its SRV records.
const QUESTIONS: [(&str, &str); 16] = [
    ("WK a", URL),
    ("A a", "A a.example"),
    ("AAAA a", "AAAA a.example"),
    ("FED a", "SRV _matrix-fed._tcp.a.example"),
    ("OLD a", "SRV _matrix._tcp.a.example"),
    ("A m", "A m.example"),
    ("AAAA m", "AAAA m.example"),
    ("FED m", "SRV _matrix-fed._tcp.m.example"),
    ("OLD m", "SRV _matrix._tcp.m.example"),
    ("A n", "A n.example"),
    ("AAAA n", "AAAA n.example"),
    ("FED n", "SRV _matrix-fed._tcp.n.example"),
    ("OLD n", "SRV _matrix._tcp.n.example"),
    ("A t", "A t.example"),
    ("AAAA t", "AAAA t.example"),
    ("A u", "A u.example"),
];

fn long(short: &str) -> &'static str {
    QUESTIONS.iter().find(|(it, _)| *it == short).unwrap().1
}

fn short(long: &str) -> &'static str {
    let found = QUESTIONS.iter().find(|(_, it)| *it == long);
    found.unwrap_or_else(|| panic!("nobody should ask {long}")).0
}

/// Reads `h:mm`, `h:mm:ss` or `h:mm:ss.mmm`.
fn time(text: &str) -> Duration {
    let (text, millis) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = text.split(':').map(|part| part.parse::<u64>().unwrap());
    let mut next = || parts.next().unwrap_or(0);
    let whole = next() * 3600 + next() * 60 + next();
    seconds(whole) + Duration::from_millis(millis.parse().unwrap())
}

/// Writes it.
fn shown(time: Duration) -> String {
    let (whole, millis) = (time.as_secs(), time.subsec_millis());
    let mut shown = format!("{}:{:02}", whole / 3600, whole / 60 % 60);
    if whole % 60 > 0 || millis > 0 {
        write!(shown, ":{:02}", whole % 60).unwrap();
    }
    if millis > 0 {
        write!(shown, ".{millis:03}").unwrap();
    }
    shown
}

/// All times that stand there.
fn times(text: &str) -> Vec<Duration> {
    let each = |item: &str| match item.split_once("..") {
        None => vec![time(item)],
        Some((from, rest)) => {
            let (to, step) = rest.split_once('/').unwrap();
            let (from, to, step) = (time(from), time(to), time(step));
            let times: Vec<_> =
                std::iter::successors(Some(from), |at| Some(*at + step).filter(|at| *at <= to))
                    .collect();
            assert_eq!(times.last(), Some(&to), "{item} does not end where it says");
            times
        }
    };
    text.split(' ').flat_map(each).collect()
}

fn srv(ttl: u64) -> DnsAnswer {
    let target = "t.example.".to_owned();
    let record = SrvRecord { priority: 0, weight: 0, port: 443, target };
    DnsAnswer::Found { records: Records::Srv(vec![record]), ttl: seconds(ttl), alias: false }
}

/// What is got from when on.
type Gets = Vec<(String, String)>;

/// When each question is asked.
type Asks = BTreeMap<&'static str, Vec<Duration>>;

impl Row {
    fn document(&self, internet: Internet, server: &str) -> Internet {
        let body = format!(r#"{{"m.server":"{server}"}}"#);
        internet.page(&URL[4..], 200, self.headers, body)
    }

    /// Everything is answered at once.
    fn internet(&self) -> Internet {
        let internet = Internet::new()
            .host_for("a.example", &["192.0.2.1"], seconds(self.ttl))
            .host_for("m.example", &["192.0.2.2"], seconds(self.ttl))
            .host_for("n.example", &["192.0.2.4"], seconds(self.ttl))
            .host_for("t.example", &["192.0.2.3"], seconds(self.ttl))
            .dns(long("FED m"), srv(self.ttl));
        let internet = self.document(internet, "m.example");
        let at_once = |internet: Internet, (_, question): &(&str, &str)| {
            internet.after(question, Duration::ZERO)
        };
        let internet = QUESTIONS.iter().fold(internet, at_once);
        // "There is none" holds for an hour, so that there is less to read.
        let none = || DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(seconds(3600)) };
        let none_of = |internet: Internet, question| internet.dns(long(question), none());
        let nones = ["FED a", "OLD a", "OLD m", "FED n", "OLD n"];
        let internet = nones.into_iter().fold(internet, none_of);
        match self.families {
            AddressFamilies::Both => internet.never(long("AAAA a")).never(long("AAAA t")),
            _ => internet,
        }
    }

    fn change(&self, network: &Network, change: Change) {
        let url = &URL[4..];
        let page = |status, headers: &[(&str, &str)]| {
            network.change(|internet| internet.page(url, status, headers, ""));
        };
        let wall = network.time().now().wall;
        match change {
            Change::Status(status, "") => page(status, &[]),
            Change::Status(status, after) => page(status, &[("retry-after", after)]),
            Change::Refuses => network.change(|internet| {
                let failure = FetchFailure::new(FetchFailureKind::Refused, "");
                internet.fetched(url, Err(failure))
            }),
            Change::Silent => network.change(|internet| internet.never(URL)),
            Change::Delegates(server) => {
                network
                    .change(|internet| self.document(internet.after(URL, Duration::ZERO), server));
            }
            Change::Address(address) => network
                .change(|internet| internet.host_for("t.example", &[address], seconds(self.ttl))),
            Change::Fails(question) => {
                network.change(|internet| internet.fails(long(question), DnsFailure::ServFail));
            }
            Change::Gone(question) => {
                let none = DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(seconds(600)) };
                network.change(|internet| internet.dns(long(question), none));
            }
            Change::Srv => {
                network.change(|internet| internet.dns(long("FED m"), srv(self.ttl)));
            }
            Change::Forwards(days) => network.time().set_wall(wall + seconds(days * DAY)),
            Change::Backwards(days) => network.time().set_wall(wall - seconds(days * DAY)),
        }
    }

    /// What is got from when on, and when each question is asked.
    fn run(&'static self, config: Config) -> (Gets, Asks) {
        let bench = Bench::with(self.internet(), config.with_addresses(self.families));
        let runtime = bench.network.time().clone();
        let start = runtime.now().monotonic;
        for (at, change) in self.changes {
            // It may come while somebody waits for an answer.
            let (network, due) = (bench.network.clone(), runtime.sleep(time(at)));
            runtime.spawn(Box::pin(async move {
                due.await;
                self.change(&network, *change);
            }));
        }
        let (every, until) = (time(self.calls.0), time(self.calls.1));
        let calls = std::iter::successors(Some(Duration::ZERO), |at| Some(*at + every));
        let calls = calls.take_while(|at| *at <= until);
        let mut gets = Gets::new();
        for at in calls {
            bench.pass((start + at).since(runtime.now().monotonic));
            let got = got(&bench.resolve("a.example"));
            if gets.last().is_none_or(|(_, last)| *last != got) {
                gets.push((shown(at), got));
            }
        }
        // What goes on in the background comes to its end.
        bench.pass(seconds(20));
        let mut asks = Asks::new();
        for (at, question) in bench.network.asked_when() {
            asks.entry(short(&question)).or_default().push(at.since(start));
        }
        (gets, asks)
    }

    fn check(&'static self) {
        let mut config = Config::default();
        config.well_known.jitter_percent = 0;
        let (gets, asks) = self.run(config);
        let asks: BTreeMap<&str, Vec<String>> = asks
            .into_iter()
            .map(|(it, times)| (it, times.into_iter().map(shown).collect()))
            .collect();
        let expected: BTreeMap<&str, Vec<String>> = self
            .asks
            .iter()
            .flat_map(|(questions, text)| questions.split(", ").map(|it| (it, *text)))
            .map(|(question, text)| (question, times(text).into_iter().map(shown).collect()))
            .collect();
        let expected_gets: Vec<_> =
            self.gets.iter().map(|(at, what)| ((*at).to_owned(), (*what).to_owned())).collect();
        assert_eq!(gets, expected_gets, "{}: what is got", self.name);
        assert_eq!(
            asks.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{}",
            self.name
        );
        for (question, times) in &asks {
            assert_eq!(times, &expected[question], "{}: {question}", self.name);
        }
    }
}

/// How it was come by, the step, the name for `Host`, and where to connect.
fn got(result: &Result<Resolution, ResolveError>) -> String {
    let found = match result {
        Ok(found) => found,
        Err(error) => return format!("error: {}", error.kind()),
    };
    let addresses = found.endpoints().flat_map(Endpoint::addresses);
    let addresses: Vec<_> = addresses.map(|address| address.to_string()).collect();
    let (step, host) = (found.step(), found.authority());
    format!("{} {step} {host} {}", found.provenance(), addresses.join(" "))
}

#[test]
fn each_row_asks_what_it_says_when_it_says() {
    for row in ROWS {
        row.check();
    }
}

/// As by the first rows, with the jitter drawn: it shortens a wait by at most a tenth, and somebody
/// asks every second.
#[test]
fn jitter_shortens_by_a_tenth_at_most() {
    static ROW: Row =
        Row { changes: &[("0:30", Change::Status(503, ""))], calls: ("0:00:01", "6:00"), ..PLAIN };
    let (_, asks) = ROW.run(Config::default());
    let asked = &asks["WK a"];
    assert_eq!(asked[..2], [time("0:00"), time("0:48")]);
    let waits: Vec<_> = asked[1..].windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let minutes = [2, 4, 8, 16, 32, 60, 60, 60];
    assert!((8..=9).contains(&waits.len()), "{waits:?}");
    let mut exact = 0;
    for (wait, minutes) in waits.iter().zip(minutes.into_iter().chain([60])) {
        let most = seconds(minutes * 60);
        assert!((most / 10 * 9..=most + seconds(1)).contains(wait), "{minutes} min: {wait:?}");
        exact += u32::from(*wait >= most);
    }
    assert!(exact < 3, "{waits:?}");
}

/// One question too many, and one that is missing.
#[test]
fn a_row_that_is_wrong_fails() {
    static ROW: Row = Row {
        calls: ("0:01", "0:48"),
        gets: &[
            ("0:00", "fresh 3.3 m.example 192.0.2.3:443"),
            ("0:01", "cached 3.3 m.example 192.0.2.3:443"),
        ],
        ..PLAIN
    };
    let rest = [("A a", "0:00"), ("A m", "0:00"), ("A t", "0:00")].into_iter();
    let srv = [("FED a", "0:00"), ("FED m", "0:00"), ("OLD a", "0:00"), ("OLD m", "0:00")];
    let rest: Vec<_> = rest.chain(srv).collect();
    for (well_known, right) in [("0:00 0:48", true), ("0:00", false), ("0:00 0:47 0:48", false)] {
        let asks: Vec<_> = [("WK a", well_known)].into_iter().chain(rest.clone()).collect();
        let row: &Row = Box::leak(Box::new(Row { asks: asks.leak(), ..ROW }));
        assert_eq!(std::panic::catch_unwind(|| row.check()).is_ok(), right, "{well_known}");
    }
}
