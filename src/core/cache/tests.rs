//! The two policies as tables: what is learnt when, and what is served when, for which purpose.

use std::time::Duration;

use super::entry::{CacheEntry, FailureTerms, GoodTerms, Purpose, Served};
use super::policy::{DnsEntry, WellKnownEntry, family_is_due};
use crate::core::config::{Config, WellKnownLifetimes, Withdrawal};
use crate::core::dns::{
    DnsAnswer, DnsError, DnsFailure, DnsQuestion, DnsRecords, Family, NoRecord, Records, Service,
};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::{
    FetchFailure, FetchFailureKind, Freshness, RedirectError, WellKnown, WellKnownError,
    WellKnownFailure,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn at(count: u64) -> Monotonic {
    Monotonic::from_origin(seconds(count))
}

/// Without jitter, so that times are exact.
fn config() -> Config {
    let mut config = Config::default();
    config.well_known.jitter_percent = 0;
    config
}

const RECHECK: Purpose = Purpose::Recheck { apart: Duration::from_secs(10) };
const PURPOSES: [Purpose; 4] = [Purpose::Answer, Purpose::Renewal, RECHECK, Purpose::AtOnce];

/// What is served, with times in seconds: `holds ..60`, `stale ..60 because 503`, `stale ..60`,
/// `failed ..60 404`, `lost ..60 404`, `ask`.
#[expect(clippy::needless_pass_by_value, reason = "it is what `serve` returns")]
fn shown<G, F>(served: Option<Served<'_, G, F>>, why: impl Fn(&F) -> String) -> String {
    let secs = |it: Monotonic| it.since_origin().as_secs();
    match served {
        Some(Served::Holds { until, .. }) => format!("holds ..{}", secs(until)),
        Some(Served::Stale { because: Some(it), until, .. }) => {
            format!("stale ..{} because {}", secs(until), why(it))
        }
        Some(Served::Stale { because: None, until, .. }) => format!("stale ..{}", secs(until)),
        Some(Served::Failed { why: it, lost, until }) => {
            format!("{} ..{} {}", if lost { "lost" } else { "failed" }, secs(until), why(it))
        }
        None => "ask".to_owned(),
    }
}

/// A status, or a document with this lifetime in seconds.
#[derive(Clone, Copy, Debug)]
enum Learnt {
    Document(u64),
    Status(u16),
    RetryAfter(u64),
    NoAddress(u64),
    /// This machine could not ask.
    Local,
}
use Learnt::{Document, Local, NoAddress, RetryAfter, Status};

fn status(status: u16) -> WellKnownFailure {
    WellKnownFailure::Status { status, retry_after: None }
}

fn outcome(learnt: Learnt) -> Result<(WellKnown, Freshness), WellKnownFailure> {
    match learnt {
        Document(life) => {
            let document = WellKnown::from_body(br#"{"m.server":"m.example"}"#).unwrap();
            Ok((document, Freshness::For(seconds(life))))
        }
        Status(code) => Err(status(code)),
        Local => {
            let failure = FetchFailure::new(FetchFailureKind::Local, "no socket is left");
            Err(WellKnownFailure::Fetch(failure))
        }
        RetryAfter(after) => {
            Err(WellKnownFailure::Status { status: 429, retry_after: Some(seconds(after)) })
        }
        NoAddress(life) => Err(WellKnownFailure::NoAddress {
            host: "a.example".parse().unwrap(),
            kind: NoRecord::NxDomain,
            lifetime: seconds(life),
            redirected: false,
        }),
    }
}

fn well_known(learnt: &[(u64, Learnt)], config: &Config) -> WellKnownEntry {
    let mut entry: Option<WellKnownEntry> = None;
    for (when, it) in learnt {
        let now = Now::EPOCH + seconds(*when);
        let next = WellKnownEntry::learn(entry.as_ref(), outcome(*it), now, config, 1);
        entry = Some(next);
    }
    entry.unwrap()
}

fn code(failure: &WellKnownFailure) -> String {
    match failure {
        WellKnownFailure::Status { status, .. } => status.to_string(),
        WellKnownFailure::NoAddress { .. } => "no address".to_owned(),
        WellKnownFailure::Fetch(_) => "local".to_owned(),
        other => panic!("{other}"),
    }
}

/// What is served for an answer, a renewal, after a report and at once; the last for all that follow.
fn all<const N: usize>(served: [&'static str; N]) -> [&'static str; 4] {
    std::array::from_fn(|at| served[at.min(N - 1)])
}

/// What is served when, for each purpose.
type Expected = Vec<(u64, [&'static str; 4])>;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_served_of_a_well_known() {
    let h = HOUR;
    let rows: Vec<(&[(u64, Learnt)], Expected)> = vec![
        // A document holds, is renewed in the last fifth of its life, and is served at once for 48 h.
        (
            &[(0, Document(HOUR))],
            vec![
                (0, all(["holds ..3600"])),
                (9, all(["holds ..3600"])),
                (10, all(["holds ..3600", "holds ..3600", "ask", "holds ..3600"])),
                (2879, all(["holds ..3600", "holds ..3600", "ask", "holds ..3600"])),
                (2880, all(["holds ..3600", "ask", "ask", "holds ..3600"])),
                (3599, all(["holds ..3600", "ask", "ask", "holds ..3600"])),
                (3600, all(["ask", "ask", "ask", "stale ..3600"])),
                (48 * h, all(["ask", "ask", "ask", "stale ..3600"])),
                (48 * h + 1, all(["ask"])),
            ],
        ),
        // A temporary failure replaces nothing that holds; then the document serves in its place.
        (
            &[(0, Document(HOUR)), (2880, Status(503))],
            vec![
                (2880, all(["holds ..3600"])),
                (2999, all(["holds ..3600"])),
                (3000, all(["holds ..3600", "ask", "ask", "holds ..3600"])),
                (3600, all(["ask", "ask", "ask", "stale ..3000 because 503"])),
            ],
        ),
        (
            &[(0, Document(HOUR)), (3600, Status(503))],
            vec![
                (3600, all(["stale ..3720 because 503"])),
                (3719, all(["stale ..3720 because 503"])),
                (3720, all(["ask", "ask", "ask", "stale ..3720 because 503"])),
                (48 * h + 1, all(["ask"])),
            ],
        ),
        // ... for 48 h after its fetch, which may be before the next try.
        (
            &[(0, Document(HOUR)), (48 * HOUR - 60, Status(503))],
            vec![
                (48 * h - 60, all(["stale ..172800 because 503"])),
                (48 * h, all(["stale ..172800 because 503"])),
                (48 * h + 1, all(["lost ..172860 503"])),
            ],
        ),
        // From 48 h to 50 h it is only missed, then it is as if it had never been.
        (
            &[(0, Document(HOUR)), (50 * HOUR, Status(503))],
            vec![(50 * h, all(["lost ..180120 503"])), (50 * h + 1, all(["failed ..180120 503"]))],
        ),
        (
            &[(0, Document(HOUR)), (50 * HOUR + 1, Status(503))],
            vec![(50 * h + 1, all(["failed ..180121 503"]))],
        ),
        // That this machine could not ask only paces what is asked: 1 s, doubling to 30 s.
        (
            &[(0, Document(HOUR)), (3600, Local)],
            vec![
                (3600, all(["stale ..3601 because local"])),
                (3601, all(["ask", "ask", "ask", "stale ..3601 because local"])),
            ],
        ),
        (
            &[(0, Local), (1, Local), (3, Local), (7, Local), (15, Local)],
            vec![(15, all(["failed ..31 local"])), (31, all(["ask"]))],
        ),
        (
            &[
                (0, Local),
                (1, Local),
                (3, Local),
                (7, Local),
                (15, Local),
                (31, Local),
                (61, Local),
            ],
            vec![(61, all(["failed ..91 local"]))],
        ),
        // It is no failure: the second of the server's own is the second in a row, and the first after
        // a good answer the first.
        (
            &[(0, Status(503)), (120, Local), (121, Status(503))],
            vec![(121, all(["failed ..361 503"]))],
        ),
        (
            &[(0, Document(HOUR)), (3600, Local), (3601, Status(503))],
            vec![(3601, all(["stale ..3721 because 503"]))],
        ),
        // The server's word is believed once the document has expired, and asked about soon.
        (
            &[(0, Document(HOUR)), (2880, Status(404))],
            vec![
                (2880, all(["holds ..3600"])),
                (2890, all(["holds ..3600", "holds ..3600", "ask", "holds ..3600"])),
                (3000, all(["holds ..3600", "ask", "ask", "holds ..3600"])),
                (3600, all(["ask"])),
            ],
        ),
        (
            &[(0, Document(HOUR)), (3590, Status(404))],
            vec![
                (3599, all(["holds ..3600", "holds ..3600", "holds ..3600", "holds ..3600"])),
                (3600, all(["lost ..3710 404", "lost ..3710 404", "ask", "lost ..3710 404"])),
                (3710, all(["ask"])),
            ],
        ),
        // What is not its word leaves the document in service like a temporary failure.
        (
            &[(0, Document(HOUR)), (2880, Status(403))],
            vec![
                (2999, all(["holds ..3600"])),
                (3600, all(["ask", "ask", "ask", "stale ..3000 because 403"])),
            ],
        ),
        (
            &[(0, Document(HOUR)), (3600, Status(403)), (3720, Status(403))],
            vec![
                (3720, all(["stale ..3960 because 403"])),
                (3960, all(["ask", "ask", "ask", "stale ..3960 because 403"])),
                (48 * h, all(["ask", "ask", "ask", "stale ..3960 because 403"])),
                (48 * h + 1, all(["ask"])),
            ],
        ),
        (
            &[(0, Document(HOUR)), (48 * HOUR + 1, Status(403))],
            vec![(48 * h + 1, all(["lost ..172921 403"]))],
        ),
        // The last word counts: after a temporary failure, the document is served again.
        (
            &[(0, Document(HOUR)), (3600, Status(404)), (3720, Status(503))],
            vec![(3720, all(["stale ..3960 because 503"]))],
        ),
        (
            &[(0, Document(HOUR)), (3000, Status(404)), (3590, Status(503))],
            vec![(3600, all(["stale ..3830 because 503"]))],
        ),
        // Where no document is known: temporary ones back off, permanent ones stay for an hour.
        (
            &[(0, Status(503))],
            vec![
                (0, all(["failed ..120 503"])),
                (119, all(["failed ..120 503"])),
                (120, all(["ask"])),
            ],
        ),
        (
            &[(0, Status(404))],
            vec![
                (9, all(["failed ..3600 404"])),
                (10, all(["failed ..3600 404", "failed ..3600 404", "ask", "failed ..3600 404"])),
                (3600, all(["ask"])),
            ],
        ),
        (&[(0, NoAddress(60))], vec![(0, all(["failed ..60 no address"]))]),
        (&[(0, NoAddress(3 * HOUR))], vec![(0, all(["failed ..3600 no address"]))]),
        (&[(0, RetryAfter(0))], vec![(0, all(["failed ..60 429"]))]),
        (&[(0, RetryAfter(7200))], vec![(0, all(["failed ..7200 429"]))]),
        (&[(0, RetryAfter(1 << 31))], vec![(0, all(["failed ..86400 429"]))]),
        (&[(0, Status(429))], vec![(0, all(["failed ..120 429"]))]),
        // A document takes the place of everything.
        (
            &[(0, Status(503)), (120, Status(503)), (360, Document(60))],
            vec![(360, all(["holds ..420"])), (420, all(["ask", "ask", "ask", "stale ..420"]))],
        ),
    ];
    for (learnt, served) in rows {
        let entry = well_known(learnt, &config());
        for (when, expected) in served {
            let got = PURPOSES.map(|purpose| shown(entry.serve(at(when), purpose), code));
            assert_eq!(got, expected, "{learnt:?} at {when}");
        }
    }
}

/// What the policies leave of a document that was good for an hour, after a failure at its end.
#[test]
fn each_policy_says_what_ends_a_known_delegation() {
    let none = |kind, redirected| WellKnownFailure::NoAddress {
        host: "a.example".parse().unwrap(),
        kind,
        lifetime: seconds(600),
        redirected,
    };
    let coding = "gzip".to_owned();
    let policies = [Withdrawal::Explicit, Withdrawal::AnyPermanent, Withdrawal::AnyResponse];
    for (failure, left) in [
        (status(404), ["lost", "lost", "lost"]),
        (status(410), ["lost", "lost", "lost"]),
        (WellKnownFailure::Body(WellKnownError::MissingServer), ["lost", "lost", "lost"]),
        (none(NoRecord::NxDomain, false), ["lost", "lost", "stale"]),
        (none(NoRecord::NxDomain, true), ["stale", "lost", "stale"]),
        (none(NoRecord::NoData, false), ["stale", "lost", "stale"]),
        (none(NoRecord::NotImplemented, false), ["stale", "lost", "stale"]),
        (WellKnownFailure::Redirect(RedirectError::NoLocation), ["stale", "lost", "stale"]),
        (status(403), ["stale", "lost", "lost"]),
        (status(204), ["stale", "lost", "lost"]),
        (WellKnownFailure::ContentCoding { coding }, ["stale", "lost", "lost"]),
        (WellKnownFailure::Body(WellKnownError::NotAnObject), ["stale", "lost", "lost"]),
        (WellKnownFailure::Body(WellKnownError::ServerNotAString), ["stale", "lost", "lost"]),
        (status(429), ["stale", "stale", "stale"]),
        (status(503), ["stale", "stale", "stale"]),
    ] {
        for (policy, left) in policies.into_iter().zip(left) {
            let mut config = config();
            config.well_known.withdrawal = policy;
            let good = well_known(&[(0, Document(HOUR))], &config);
            let now = Now::EPOCH + seconds(HOUR);
            let entry = WellKnownEntry::learn(Some(&good), Err(failure.clone()), now, &config, 1);
            let got = shown(Some(entry.obtained(at(HOUR))), |_| String::new());
            assert!(got.starts_with(left), "{failure} under {policy:?}: {got}");
            assert_eq!(entry.until(), at(HOUR + 120), "{failure} under {policy:?}");
            // Where no document is known, the policies do not differ.
            let now = Now::EPOCH;
            let alone = |config| WellKnownEntry::learn(None, Err(failure.clone()), now, config, 1);
            assert_eq!(alone(&config), alone(&self::config()), "{failure} under {policy:?}");
        }
    }
}

#[test]
fn whoever_asked_gets_what_came_of_it_whatever_its_lifetime() {
    let mut strict = Config::strict();
    strict.well_known.jitter_percent = 0;
    let obtained = |learnt: &[(u64, Learnt)], when| {
        shown(Some(well_known(learnt, &strict).obtained(at(when))), code)
    };
    assert_eq!(obtained(&[(0, Document(0))], 0), "holds ..0");
    assert_eq!(obtained(&[(0, Document(0))], 7), "holds ..0");
    assert_eq!(well_known(&[(0, Document(0))], &strict).serve(at(0), Purpose::Answer), None);
    assert_eq!(obtained(&[(0, Document(60)), (59, Status(503))], 59), "stale ..179 because 503");
    assert_eq!(obtained(&[(0, Document(60)), (60, Status(503))], 500), "stale ..180 because 503");
    assert_eq!(obtained(&[(0, Document(60)), (60, Status(404))], 500), "lost ..180 404");
    assert_eq!(obtained(&[(0, Status(404))], 5000), "failed ..3600 404");
}

#[test]
fn failures_in_a_row_back_off_from_two_minutes_to_an_hour() {
    let pauses = |codes: &[u16]| -> Vec<u64> {
        let (mut learnt, mut pauses) = (Vec::new(), Vec::new());
        for code in codes {
            learnt.push((0, Status(*code)));
            pauses.push(well_known(&learnt, &config()).until().since_origin().as_secs() / MINUTE);
        }
        pauses
    };
    assert_eq!(pauses(&[503; 8]), [2, 4, 8, 16, 32, 60, 60, 60]);
    // Permanent ones count for nothing where the host is not known to delegate, and reset it.
    assert_eq!(pauses(&[404, 404, 503, 503, 404, 503]), [60, 60, 2, 4, 60, 2]);
    let counts = |codes: &[u16]| {
        let learnt: Vec<_> = codes.iter().map(|code| (0, Status(*code))).collect();
        well_known(&learnt, &config()).failures()
    };
    assert_eq!((counts(&[503]), counts(&[404, 503, 404])), (1, 3));
    let known = [(0, Document(HOUR)), (0, Status(404)), (0, Status(404)), (0, Status(503))];
    for (count, minutes) in [(2, 2), (3, 4), (4, 8)] {
        let entry = well_known(&known[..count], &config());
        assert_eq!(entry.until(), at(minutes * MINUTE), "{count}");
    }
    let many = well_known(&vec![(0, Status(503)); 70], &config());
    assert_eq!((many.failures(), many.until()), (70, at(HOUR)));
}

#[test]
fn stated_lifetimes_are_clamped_by_each_preset() {
    for (config, stated, holds) in [
        (Config::default(), 0, 60),
        (Config::default(), 61, 61),
        (Config::default(), 1 << 31, 48 * HOUR),
        (Config::strict(), 0, 0),
        (Config::strict(), 1 << 31, 48 * HOUR),
        (Config::synapse(), 0, 300),
        (Config::synapse(), 1 << 31, 48 * HOUR),
    ] {
        assert_eq!(well_known(&[(0, Document(stated))], &config).until(), at(holds), "{stated}");
    }
}

/// How long an entry holds that is learnt with this seed.
fn drawn(
    config: &Config,
    outcome: &Result<(WellKnown, Freshness), WellKnownFailure>,
    seed: u64,
) -> Duration {
    let entry = WellKnownEntry::learn(None, outcome.clone(), Now::EPOCH, config, seed);
    entry.until().since_origin()
}

#[test]
fn jitter_only_shortens() {
    let document = WellKnown::from_body(br#"{"m.server":"m.example"}"#).unwrap();
    let unstated = Ok((document, Freshness::Unstated));
    for (outcome, least, most) in [
        (unstated, HOUR * 216 / 10, 24 * HOUR),
        (Err(status(503)), 108, 120),
        (Err(status(404)), HOUR * 9 / 10, HOUR),
    ] {
        let lives = (0..500).map(|seed| drawn(&Config::default(), &outcome, seed));
        let lives: Vec<_> = lives.collect();
        assert!(lives.iter().all(|it| (seconds(least)..=seconds(most)).contains(it)));
        let span = seconds(most - least);
        assert!(lives.iter().any(|it| *it < seconds(least) + span / 5));
        assert!(lives.iter().any(|it| *it + span / 5 > seconds(most)));
        assert_eq!(drawn(&config(), &outcome, 1), seconds(most));
    }
    let wild = WellKnownLifetimes { jitter_percent: 250, ..WellKnownLifetimes::default() };
    let wild = Config { well_known: wild, ..Config::default() };
    let drawn = (0..200).map(|seed| drawn(&wild, &Err(status(404)), seed));
    assert!(drawn.clone().all(|it| it <= seconds(HOUR)) && drawn.min() < Some(seconds(600)));
}

#[test]
fn what_a_host_says_twice_after_reports_is_believed_although_the_document_would_hold() {
    let good = well_known(&[(0, Document(HOUR))], &config());
    let learn = |before: &WellKnownEntry, when, it| {
        let now = Now::EPOCH + seconds(when);
        let entry = WellKnownEntry::learn(Some(before), outcome(it), now, &config(), 1);
        entry.after_report(Some(before), &config().well_known)
    };
    let answer = |entry: &WellKnownEntry, when| shown(entry.serve(at(when), Purpose::Answer), code);
    let once = learn(&good, 100, Status(404));
    assert_eq!(answer(&once, 100), "holds ..3600");
    let twice = learn(&once, 220, Status(404));
    assert_eq!(answer(&twice, 220), "lost ..460 404");
    // It does not come back.
    let later = learn(&twice, 460, Status(503));
    assert_eq!(answer(&later, 460), "lost ..940 503");
    // A temporary failure is no word of the host, nor is one of whoever stands before it.
    for (first, second) in [(404, 503), (503, 404), (503, 503), (403, 403), (404, 403)] {
        let entry = learn(&learn(&good, 100, Status(first)), 220, Status(second));
        assert_eq!(answer(&entry, 220), "holds ..3600", "{first} {second}");
    }
}

#[test]
fn two_accounts_come_to_what_was_learnt_last_with_the_later_document() {
    let answer = |a: &[(u64, Learnt)], b: &[(u64, Learnt)], when| {
        let [a, b] = [a, b].map(|it| well_known(it, &config()));
        let merged = a.clone().merged(b.clone(), &config().well_known);
        assert_eq!(merged, b.merged(a, &config().well_known));
        shown(merged.serve(at(when), Purpose::Answer), code)
    };
    assert_eq!(answer(&[(0, Document(HOUR))], &[(9, Document(60))], 9), "holds ..69");
    let failed = &[(3600, Status(503))];
    assert_eq!(answer(&[(0, Document(HOUR))], failed, 3600), "stale ..3720 because 503");
    let failed = &[(3600, Status(404))];
    assert_eq!(answer(&[(0, Document(HOUR))], failed, 3600), "lost ..7200 404");
    let older = &[(0, Document(60)), (100, Status(503))];
    assert_eq!(answer(&[(50, Document(HOUR))], older, 100), "holds ..3650");
    let denied = &[(50, Document(60)), (200, Status(404))];
    assert_eq!(answer(denied, &[(300, Status(503))], 300), "stale ..420 because 503");
    let withdrawn = || {
        let learnt = [(0, Document(HOUR)), (100, Status(404)), (220, Status(404))];
        well_known(&learnt, &config()).withdrawn(at(220))
    };
    let failed = well_known(&[(300, Status(503))], &config());
    for merged in [
        withdrawn().merged(failed.clone(), &config().well_known),
        failed.merged(withdrawn(), &config().well_known),
    ] {
        assert_eq!(shown(merged.serve(at(300), Purpose::AtOnce), code), "lost ..420 503");
    }
    assert_eq!(answer(&[(0, Status(503))], &[(9, Status(404))], 9), "failed ..3609 404");
}

#[test]
fn what_one_account_saw_withdrawn_does_not_come_back_by_another() {
    let withdrawn = |then: &[(u64, Learnt)]| {
        let entry = well_known(&[(0, Document(HOUR)), (220, Status(404))], &config());
        then.iter().fold(entry.withdrawn(at(220)), |entry, (when, it)| {
            let now = Now::EPOCH + seconds(*when);
            WellKnownEntry::learn(Some(&entry), outcome(*it), now, &config(), 1)
        })
    };
    let merged = |a: WellKnownEntry, b: &[(u64, Learnt)], when| {
        let (b, lifetimes) = (well_known(b, &config()), config().well_known);
        let merged = a.clone().merged(b.clone(), &lifetimes);
        assert_eq!(merged, b.merged(a, &lifetimes));
        shown(merged.serve(at(when), Purpose::Answer), code)
    };
    // The same document, fetched by each.
    let failed = [(3720, Status(503))];
    assert_eq!(merged(withdrawn(&failed), &[(1, Document(HOUR))], 3720), "lost ..3960 503");
    let passing = [(1, Document(HOUR)), (3700, Status(503))];
    assert_eq!(merged(withdrawn(&[]), &passing, 3700), "lost ..3820 503");
    // One that came after that is another.
    let new = [(3610, Document(60))];
    assert_eq!(merged(withdrawn(&failed), &new, 3720), "stale ..3960 because 503");
    assert_eq!(merged(withdrawn(&[]), &new, 3610), "holds ..3670");
    let passing = [(3610, Document(60)), (3700, Status(503))];
    assert_eq!(merged(withdrawn(&[]), &passing, 3700), "stale ..3820 because 503");
}

#[test]
fn of_two_accounts_of_one_moment_the_newer_one_counts() {
    let good = well_known(&[(0, Document(0))], &Config::strict());
    let failed = well_known(&[(0, Document(0)), (0, Status(404))], &Config::strict());
    assert_eq!(good.merged(failed.clone(), &Config::strict().well_known), failed);
}

fn addresses_of(family: Family) -> DnsQuestion {
    DnsQuestion::Addresses { host: "a.example".parse().unwrap(), family }
}

fn found(ttl: u64) -> DnsAnswer {
    let records = Records::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    DnsAnswer::Found { records, ttl: seconds(ttl), alias: false }
}

fn none(kind: NoRecord, ttl: Option<u64>) -> DnsAnswer {
    DnsAnswer::None { kind, ttl: ttl.map(seconds) }
}

fn failed() -> DnsAnswer {
    DnsAnswer::failed(DnsFailure::ServFail)
}

fn dns(learnt: &[(u64, DnsAnswer)], config: &Config) -> DnsEntry {
    let question = addresses_of(Family::V4);
    let mut entry: Option<DnsEntry> = None;
    for (when, answer) in learnt {
        let (before, answer) = (entry.as_ref(), answer.clone());
        entry = Some(DnsEntry::learn(before, &question, answer, at(*when), config));
    }
    entry.unwrap()
}

#[test]
fn each_answer_of_dns_holds_for_its_time() {
    for (answer, holds) in [
        (found(0), 5),
        (found(5), 5),
        (found(300), 300),
        (found(1 << 31), 86_400),
        (none(NoRecord::NxDomain, Some(0)), 5),
        (none(NoRecord::NxDomain, Some(900)), 900),
        (none(NoRecord::NoData, Some(7200)), 3600),
        (none(NoRecord::NoData, None), 60),
        (none(NoRecord::NotImplemented, Some(900)), 60),
        (failed(), 30),
        (DnsAnswer::failed(DnsFailure::Timeout), 30),
    ] {
        assert_eq!(dns(&[(0, answer.clone())], &config()).until(), at(holds), "{answer}");
    }
}

#[test]
fn records_and_their_absence_have_bounds_of_their_own() {
    let mut config = config();
    (config.dns.least, config.dns.most) = (seconds(10), seconds(100));
    (config.dns.negative_least, config.dns.negative_most) = (seconds(20), seconds(50));
    for (ttl, records, no_records) in [(0, 10, 20), (15, 15, 20), (30, 30, 30), (200, 100, 50)] {
        assert_eq!(dns(&[(0, found(ttl))], &config).until(), at(records), "{ttl}");
        let none = none(NoRecord::NoData, Some(ttl));
        assert_eq!(dns(&[(0, none)], &config).until(), at(no_records), "{ttl}");
    }
}

#[test]
fn what_is_served_of_an_answer_of_dns() {
    let mut config = config();
    config.dns.stale = seconds(1000);
    let none = || none(NoRecord::NoData, Some(60));
    let rows: Vec<(Vec<(u64, DnsAnswer)>, Expected)> = vec![
        (
            vec![(0, found(300))],
            vec![
                (239, all(["holds ..300", "holds ..300", "ask", "holds ..300"])),
                (240, all(["holds ..300", "ask", "ask", "holds ..300"])),
                (300, all(["ask", "ask", "ask", "stale ..300"])),
                (1299, all(["ask", "ask", "ask", "stale ..300"])),
                (1300, all(["ask"])),
            ],
        ),
        // Records that hold are not replaced; then they serve failures.
        (
            vec![(0, found(300)), (299, failed())],
            vec![(299, all(["holds ..300"])), (300, all(["stale ..329 because SERVFAIL"]))],
        ),
        (
            vec![(100, found(300)), (401, failed())],
            vec![
                (401, all(["stale ..431 because SERVFAIL"])),
                (431, all(["ask", "ask", "ask", "stale ..431 because SERVFAIL"])),
                (1399, all(["ask", "ask", "ask", "stale ..431 because SERVFAIL"])),
                (1400, all(["ask"])),
            ],
        ),
        (
            vec![(100, found(300)), (1390, failed())],
            vec![
                (1390, all(["stale ..1400 because SERVFAIL"])),
                (1400, all(["failed ..1420 SERVFAIL"])),
            ],
        ),
        (vec![(100, found(300)), (1400, failed())], vec![(1400, all(["failed ..1430 SERVFAIL"]))]),
        // Failures in a row leave the records alone; that there are none does not.
        (
            vec![(100, found(300)), (401, failed()), (500, failed())],
            vec![(500, all(["stale ..560 because SERVFAIL"]))],
        ),
        (
            vec![(100, found(300)), (401, none()), (500, failed())],
            vec![(500, all(["failed ..530 SERVFAIL"]))],
        ),
        // That there are none serves a slow renewal, and no failure.
        (
            vec![(0, none())],
            vec![
                (59, all(["holds ..60", "ask", "ask", "holds ..60"])),
                (60, all(["ask", "ask", "ask", "stale ..60"])),
            ],
        ),
        (
            vec![(0, none()), (59, failed())],
            vec![
                (59, all(["holds ..60"])),
                (60, all(["failed ..89 SERVFAIL"])),
                (89, all(["ask"])),
            ],
        ),
        (vec![(0, failed())], vec![(0, all(["failed ..30 SERVFAIL"])), (30, all(["ask"]))]),
    ];
    let why = |error: &DnsError| match error.failure {
        DnsFailure::ServFail => "SERVFAIL".to_owned(),
        other => panic!("{other}"),
    };
    for (learnt, served) in rows {
        let entry = dns(&learnt, &config);
        for (when, expected) in served {
            let got = PURPOSES.map(|purpose| shown(entry.serve(at(when), purpose), why));
            assert_eq!(got, expected, "{learnt:?} at {when}");
        }
    }
}

#[test]
fn failures_of_dns_back_off_from_half_a_minute_to_ten() {
    let mut learnt = Vec::new();
    for pause in [30, 60, 120, 240, 480, 600, 600] {
        learnt.push((0, failed()));
        assert_eq!(dns(&learnt, &config()).until(), at(pause), "{}", learnt.len());
    }
    learnt.extend([(0, found(300)), (0, failed())]);
    let entry = dns(&learnt, &config());
    assert_eq!((entry.until(), entry.failures()), (at(30), 1));
}

#[test]
fn a_family_that_failed_beside_records_is_asked_again_soon() {
    let family = |learnt: &[(u64, DnsAnswer)]| dns(learnt, &config());
    let lost = family(&[(0, failed()), (0, failed()), (0, failed()), (0, failed())]);
    let some = family(&[(0, found(300))]);
    let is_due = |it: &DnsEntry, other: Option<&DnsEntry>, when| {
        family_is_due(it, other, at(when), &config().dns)
    };
    assert!(is_due(&lost, Some(&some), 120) && !is_due(&lost, Some(&some), 119));
    assert!(is_due(&lost, Some(&some), 10_000));
    // Not where the other has nothing, or failed itself.
    let nothing = family(&[(0, none(NoRecord::NoData, Some(60)))]);
    let failing = family(&[(0, found(5)), (9, failed())]);
    for other in [None, Some(&nothing), Some(&lost), Some(&failing)] {
        assert!(!is_due(&lost, other, 120), "{other:?}");
    }
    // Not what holds, whether its renewal failed or not.
    let renewing = family(&[(0, found(300)), (100, failed())]);
    assert!(!is_due(&renewing, Some(&some), 299) && is_due(&renewing, Some(&some), 300));
    assert!(!is_due(&some, Some(&some), 10_000) && !is_due(&nothing, Some(&some), 10_000));
}

#[test]
fn answers_that_do_not_fit_the_question_are_not_believed() {
    let (host, ttl) = ("a.example".parse().unwrap(), seconds(1));
    let srv = DnsQuestion::Srv { service: Service::MatrixFed, host };
    let read = |question: &DnsQuestion, records| {
        let answer = DnsAnswer::Found { records, ttl, alias: true };
        DnsEntry::learn(None, question, answer, at(0), &config())
    };
    let v6 = || Records::Addresses(vec!["2001:db8::1".parse().unwrap()]);
    for entry in [read(&addresses_of(Family::V4), v6()), read(&srv, Records::Srv(vec![]))] {
        let records = entry.last_good().unwrap();
        assert_eq!((records.none(), records.is_alias()), (Some(NoRecord::NoData), false));
        assert_eq!(entry.until(), at(60));
    }
    let entry = read(&srv, v6());
    assert_eq!(entry.failure().map(|it| it.failure), Some(DnsFailure::Malformed));
    let same = Records::Addresses(vec!["192.0.2.1".parse().unwrap(); 10_000]);
    let entry = read(&addresses_of(Family::V4), same);
    let records = entry.last_good().unwrap();
    assert_eq!((records.addresses().len(), records.is_alias()), (1, true));
}

#[test]
fn of_too_many_records_those_are_kept_that_are_used_first_in_whatever_order_they_came() {
    let host: crate::names::DnsName = "a.example".parse().unwrap();
    let srv = DnsQuestion::Srv { service: Service::MatrixFed, host };
    let read = |question: &DnsQuestion, records| {
        let answer = DnsAnswer::Found { records, ttl: seconds(1), alias: false };
        DnsRecords::new(question, answer).unwrap()
    };
    let record = |n: u16| crate::dns::SrvRecord {
        priority: n,
        weight: 0,
        port: 1,
        target: format!("h{n:03}."),
    };
    let mut records: Vec<_> = (0..300).map(record).collect();
    let mut addresses: Vec<std::net::IpAddr> =
        (0..300_u32).map(|n| std::net::Ipv4Addr::from_bits(0xC000_0200 + n).into()).collect();
    let sorted = (records.clone(), addresses.clone());
    for _ in 0..2 {
        records.reverse();
        addresses.reverse();
        assert_eq!(read(&srv, Records::Srv(records.clone())).srv(), &sorted.0[..64]);
        let v4 = addresses_of(Family::V4);
        let read = read(&v4, Records::Addresses(addresses.clone()));
        assert_eq!(read.addresses(), &sorted.1[..64]);
        assert_eq!(DnsRecords::new(&v4, read.clone().into()), Ok(read));
    }
}

#[test]
fn an_entry_says_when_it_is_to_be_renewed_and_since_when_it_is_known() {
    let entry: CacheEntry<_, _> = well_known(&[(100, Document(1000))], &config());
    assert_eq!((entry.renew_at(), entry.learnt(), entry.until()), (at(900), at(100), at(1100)));
    let entry = well_known(&[(100, Document(1000)), (1000, Status(503))], &config());
    assert_eq!((entry.renew_at(), entry.learnt(), entry.until()), (at(1120), at(1000), at(1120)));
    let entry = well_known(&[(100, Document(1000)), (200, Status(503))], &config());
    assert_eq!(entry.renew_at(), at(900));
    let entry = well_known(&[(100, Status(404))], &config());
    assert_eq!((entry.renew_at(), entry.last_good()), (at(3700), None));
    let mut never = config();
    never.refresh.ahead_percent = 0;
    assert_eq!(well_known(&[(0, Document(1000))], &never).renew_at(), Monotonic::MAX);
    let lost = |when| {
        let entry = well_known(&[(0, Document(HOUR))], &config());
        entry.is_lost(at(when), &config().well_known)
    };
    assert_eq!(
        [48 * HOUR, 48 * HOUR + 1, 50 * HOUR, 50 * HOUR + 1].map(lost),
        [false, true, true, false]
    );
}

#[test]
fn times_in_an_entry_are_the_first_moment_after() {
    let terms = GoodTerms { expires: at(100), ahead_percent: 0, stale_until: at(200) };
    let good: CacheEntry<_, &str> = CacheEntry::good("good", at(10), terms);
    let failed = |when| {
        let terms = FailureTerms {
            retry_at: at(1000),
            recheck_at: at(1000),
            good_until: at(300),
            lost_until: at(400),
            backed_off: 1,
        };
        CacheEntry::failed(Some(&good), "failure", at(when), terms)
    };
    let served = |entry: &CacheEntry<_, &str>, when| {
        shown(entry.serve(at(when), Purpose::Answer), |why| (*why).to_owned())
    };
    let entry = failed(50);
    for (when, what, since) in [
        (99, "holds ..100", 10),
        (100, "stale ..300 because failure", 50),
        (299, "stale ..300 because failure", 50),
        (300, "lost ..1000 failure", 50),
        (399, "lost ..1000 failure", 50),
        (400, "failed ..1000 failure", 50),
        (1000, "ask", 50),
    ] {
        assert_eq!(served(&entry, when), what, "at {when}");
        assert_eq!(entry.served_since(at(when)), at(since), "at {when}");
        let holds = entry.serve(at(when), Purpose::Answer).is_some_and(|served| served.holds());
        assert_eq!(holds, when < 100, "at {when}");
    }
    assert_eq!([399, 400].map(|when| failed(when).last_good().copied()), [Some("good"), None]);
}

#[test]
fn that_this_machine_could_not_ask_is_no_answer_of_dns() {
    let question =
        DnsQuestion::Srv { service: Service::Matrix, host: "a.example".parse().unwrap() };
    let learn = |before: Option<&DnsEntry>, failure, when| {
        let answer = DnsAnswer::failed(failure);
        DnsEntry::learn(before, &question, answer, at(when), &config())
    };
    let until = |entry: &DnsEntry| entry.until().since_origin().as_secs();
    let first = learn(None, DnsFailure::Local, 0);
    let second = learn(Some(&first), DnsFailure::Local, 1);
    assert_eq!((until(&first), until(&second), second.failures()), (1, 3, 0));
    // As if there had been none.
    let failed = learn(Some(&second), DnsFailure::ServFail, 3);
    let alone = learn(None, DnsFailure::ServFail, 3);
    assert_eq!((until(&failed), failed.failures()), (until(&alone), 1));
    let again = learn(Some(&learn(Some(&failed), DnsFailure::Local, 40)), DnsFailure::ServFail, 41);
    assert_eq!(until(&again), until(&learn(Some(&alone), DnsFailure::ServFail, 41)));
}
