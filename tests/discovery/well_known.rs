//! The well-known document: what is valid, what is not, and what comes of it.

use std::time::Duration;

use matrix_delegation::cache::WellKnownEntry;
use matrix_delegation::discovery::WellKnownLookup;
use matrix_delegation::well_known::{Fetch, WellKnownError};

use super::*;

fn failure(world: &Internet) -> (Step, WellKnownFailure) {
    let run = world.resolve_every_way("a.example", &lenient());
    let step = run.target().step();
    (step, run.report.well_known.unwrap().result.unwrap().unwrap_err())
}

/// Whatever is wrong with it leads to step 4 and on, never to an error.
#[test]
fn any_failure_leads_to_step_four() {
    use FetchFailureKind as Kind;
    let mut worlds: Vec<Internet> = [
        Kind::Adapter,
        Kind::NoAddress,
        Kind::Connect,
        Kind::Refused,
        Kind::ConnectTimeout,
        Kind::Tls,
        Kind::TlsTimeout,
        Kind::ExchangeTimeout,
        Kind::Protocol,
        Kind::HeadTooLarge,
        Kind::CutOff,
    ]
    .into_iter()
    .map(|kind| a().fetched(URL, Err(FetchFailure::new(kind, "scripted"))))
    .collect();
    for status in [100, 201, 204, 206, 300, 304, 305, 306, 400, 404, 410, 429, 500, 503, 999] {
        worlds.push(with_m().page(URL, status, &[("location", "/x")], delegation()));
    }
    for body in ["", "x", "[]", "{}", r#"{"m.server":1}"#, r#"{"m.server":"a b"}"#] {
        worlds.push(a().well_known("a.example", body));
    }
    let too_large = Response::new(Body::TooLarge);
    worlds.push(a().fetched(URL, Ok(too_large)));
    worlds.push(a().never(GET));
    for world in worlds {
        let (step, _) = failure(&world);
        assert_eq!(step, Step::DefaultPort);
    }
}

#[test]
fn the_fetch_is_told_all_it_needs() {
    let mut machine =
        Discovery::new("A.Example".parse().unwrap(), Arc::new(lenient()), Now::EPOCH, 0);
    let world = Internet::new().host("a.example", &["192.0.2.1", "192.0.2.9", "2001:db8::1"]);
    loop {
        match machine.poll_output(Now::EPOCH) {
            Output::Ask(Question::Dns { token, question }) => {
                let answer = world.dns_answer(&question);
                machine.handle(token.answer(answer), Now::EPOCH);
            }
            Output::Ask(Question::Fetch { fetch, .. }) => {
                assert_eq!(fetch.request.method(), http::Method::GET);
                assert_eq!(fetch.request.uri().to_string(), URL);
                let headers = fetch.request.headers();
                assert_eq!(headers["host"], "a.example");
                assert_eq!(headers["accept"], "application/json");
                assert_eq!(headers["accept-encoding"], "identity");
                assert!(headers["user-agent"].to_str().unwrap().starts_with("matrix-delegation/"));
                let addresses: Vec<_> = fetch.addresses.iter().map(ToString::to_string).collect();
                assert_eq!(addresses, ["192.0.2.1:443", "[2001:db8::1]:443", "192.0.2.9:443"]);
                assert_eq!(fetch.tls_name, "a.example".try_into().unwrap());
                // A little less than all of the well-known may take.
                assert_eq!(fetch.limits.total, millis(14_900));
                assert_eq!(fetch.limits.body_bytes, 51_200);
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The first fetch for a.example.
fn first_fetch(config: Config) -> Box<Fetch> {
    let mut machine = Discovery::new("a.example".parse().unwrap(), Arc::new(config), Now::EPOCH, 0);
    loop {
        match machine.poll_output(Now::EPOCH) {
            Output::Ask(Question::Dns { token, question }) => {
                machine.handle(token.answer(a().dns_answer(&question)), Now::EPOCH);
            }
            Output::Ask(Question::Fetch { fetch, .. }) => return fetch,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_user_agent_is_replaceable() {
    let config = lenient().with_user_agent("homeserver/2".parse().unwrap());
    assert_eq!(first_fetch(config).request.headers()["user-agent"], "homeserver/2");
}

#[test]
fn the_fetch_is_told_whether_a_proxy_looks_its_host_up() {
    let fetch = first_fetch(lenient());
    assert!(!fetch.left_to_proxy && !fetch.addresses.is_empty());
    let fetch = first_fetch(lenient().with_addresses(AddressFamilies::ByProxy));
    assert!(fetch.left_to_proxy && fetch.addresses.is_empty());
}

/// A tenth, where that is less than 100 ms.
#[test]
fn the_fetch_ends_a_little_before_the_limit_on_all_of_the_well_known() {
    for (limit, total) in [(15_000, 14_900), (1_000, 900), (500, 450)] {
        let mut config = lenient();
        config.time.well_known = millis(limit);
        assert_eq!(first_fetch(config).limits.total, millis(total));
    }
}

#[test]
fn retry_after_is_heeded_of_a_429_alone() {
    let mut config = lenient();
    config.well_known.jitter_percent = 0;
    for (status, kept) in [(429, 7200), (503, 120), (404, 3600)] {
        let world = a().page(URL, status, &[("retry-after", "7200")], "");
        let lifetimes = world.resolve_once("a.example", &config).target().lifetimes();
        assert_eq!(whole(lifetimes.well_known), Some(kept), "{status}");
    }
}

#[test]
fn a_host_without_an_address_is_so_for_as_long_as_dns_says() {
    let world = Internet::new()
        .none("A a.example", NoRecord::NotImplemented)
        .none("AAAA a.example", NoRecord::NxDomain);
    let (_, failure) = failure(
        &world
            .srv("_matrix-fed._tcp.a.example", &[(0, 0, 1, "m.example.")])
            .host("m.example", &["192.0.2.2"]),
    );
    let host = "a.example".parse().unwrap();
    let (kind, lifetime) = (NoRecord::NotImplemented, seconds(60));
    let redirected = false;
    assert_eq!(failure, WellKnownFailure::NoAddress { host, kind, lifetime, redirected });
}

#[test]
fn a_content_coding_that_nobody_asked_for_is_refused() {
    for (coding, step) in [
        ("gzip", Step::DefaultPort),
        ("Identity", Step::DelegatedPort),
        ("br, identity", Step::DefaultPort),
        ("", Step::DelegatedPort),
        ("identity,", Step::DelegatedPort),
    ] {
        let world = with_m().page(URL, 200, &[("content-encoding", coding)], delegation());
        let run = world.resolve_every_way("a.example", &lenient());
        assert_eq!(run.target().step(), step, "{coding}");
    }
}

#[test]
fn a_word_that_is_no_content_coding_is_reported_and_does_no_harm() {
    let resolve = |coding, body: &str| {
        let world = with_m().page(URL, 200, &[("content-encoding", coding)], body);
        world.resolve_every_way("a.example", &lenient())
    };
    for coding in ["UTF-8", "none", "aws-chunked"] {
        let run = resolve(coding, delegation());
        assert_eq!(run.target().step(), Step::DelegatedPort, "{coding}");
        assert_eq!(run.warnings(), ["well_known_odd_coding"]);
        let warning = run.target().warnings().next().unwrap().to_string();
        assert!(warning.contains(&format!("Content-Encoding: {coding:?}")), "{warning}");
    }
    // What cannot be read may be coded by something that is not known here; an object is not.
    for (body, failure) in [
        ("\u{1}", WellKnownFailure::ContentCoding { coding: "snappy".to_owned() }),
        ("{}", WellKnownFailure::Body(WellKnownError::MissingServer)),
    ] {
        let report = resolve("snappy", body).report;
        assert_eq!(report.well_known.unwrap().result, Some(Err(failure)), "{body}");
    }
}

#[test]
fn the_content_type_is_ignored() {
    let world = with_m().page(URL, 200, &[("content-type", "text/html")], delegation());
    assert_eq!(
        world.resolve_every_way("a.example", &lenient()).target().step(),
        Step::DelegatedPort
    );
}

#[test]
fn a_body_at_the_limit_is_read_and_one_over_is_not() {
    let padding = 51_200 - delegation().len();
    for (spaces, step) in [(padding, Step::DelegatedPort), (padding + 1, Step::DefaultPort)] {
        let body = format!("{}{}", delegation(), " ".repeat(spaces));
        let run =
            with_m().well_known("a.example", &body).resolve_every_way("a.example", &lenient());
        assert_eq!(run.target().step(), step, "{spaces}");
    }
    // A fetch that keeps to no limit does not lift it, and it is no matter of the document.
    let mut config = lenient();
    config.limits.body_bytes = delegation().len() - 1;
    let run =
        with_m().well_known("a.example", delegation()).resolve_every_way("a.example", &config);
    let limit = config.limits.body_bytes;
    let result = run.report.well_known.unwrap().result;
    assert_eq!(result, Some(Err(WellKnownFailure::TooLarge { limit })));
}

#[test]
fn a_name_without_a_host_is_bad_data_and_warned_of() {
    for server in ["127.1", "m..example", "m.example.", "-m.example", "0x7f.1", "2130706433"] {
        let run = a().delegates("a.example", server).resolve_every_way("a.example", &lenient());
        assert_eq!(run.target().step(), Step::DefaultPort, "{server}");
        assert_eq!(run.warnings(), ["well_known_unusable"], "{server}");
    }
}

#[test]
fn an_ordinary_absence_is_no_reason_for_a_warning() {
    let none = Internet::new()
        .none("A a.example", NoRecord::NoData)
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "m.example.")])
        .host("m.example", &["192.0.2.2"]);
    for world in [a(), a().page(URL, 404, &[], ""), none] {
        assert_eq!(world.resolve_every_way("a.example", &lenient()).warnings(), [""; 0]);
    }
    let forbidden = a().page(URL, 403, &[], "").resolve_every_way("a.example", &lenient());
    assert_eq!(forbidden.warnings(), ["well_known_unusable"]);
}

#[test]
fn it_is_asked_in_lower_case_and_once() {
    let run = with_m().delegates("a.example", "A.example").resolve_once("A.Example", &lenient());
    assert_eq!(run.target().step(), Step::DelegatedDefaultPort);
    assert_eq!(run.target().authority(), "A.example");
    let fetches: Vec<_> = run.asked().filter(|it| it.starts_with("GET")).collect();
    assert_eq!(fetches, [&format!("GET {URL}")]);
}

#[test]
fn there_is_no_second_delegation() {
    let world = with_m().delegates("a.example", "m.example").delegates("m.example", "b.example");
    let run = world.resolve_every_way("a.example", &lenient());
    assert_eq!(run.target().step(), Step::DelegatedDefaultPort);
    assert!(!run.questions().iter().any(|it| it.contains("https://m.example")));
}

#[test]
fn a_slow_one_gives_way_to_step_four_after_fifteen_seconds() {
    let run = a().never(GET).resolve_once("a.example", &lenient());
    assert_eq!(run.target().step(), Step::DefaultPort);
    assert_eq!(run.took, seconds(15));
    let failure = run.report.well_known.unwrap().result.unwrap().unwrap_err();
    assert_eq!(failure, WellKnownFailure::TimedOut { limit: seconds(15) });
}

#[test]
fn its_lifetime_is_its_own() {
    let page = |value| with_m().page(URL, 200, &[("cache-control", value)], delegation());
    let lifetimes =
        |config: &Config, value| page(value).resolve_once("a.example", config).target().lifetimes();
    let lenient = lenient();
    assert_eq!(whole(lifetimes(&lenient, "max-age=7200").well_known), Some(7200));
    assert_eq!(whole(lifetimes(&lenient, "max-age=7200").least()), Some(300));
    assert_eq!(whole(lifetimes(&lenient, "no-store").well_known), Some(60));
    assert_eq!(whole(lifetimes(&strict(), "no-store").well_known), Some(0));
    assert_eq!(whole(lifetimes(&synapse(), "no-store").well_known), Some(300));
    let most = Some(48 * 3600);
    assert_eq!(whole(lifetimes(&lenient, "max-age=99999999").well_known), most);
}

/// A look-up of `a.example` by itself that begins at `start`: its answer, and when after that each
/// fetch was asked for. `respond` has the number of the fetch, and answers after `after`.
fn look_up(
    start: Now,
    earlier: Option<&WellKnownEntry>,
    after: Duration,
    respond: impl Fn(usize) -> Result<Response<Body>, FetchFailure>,
) -> (WellKnownEntry, Vec<(u64, String)>) {
    let host = "a.example".parse().unwrap();
    let mut look_up = WellKnownLookup::new(host, Arc::new(lenient()), start, 0);
    if let Some(earlier) = earlier {
        look_up = look_up.with_earlier(earlier.clone());
    }
    let (mut now, mut fetched, mut last) = (start, Vec::new(), None);
    let answer = loop {
        match look_up.poll_output(now) {
            Output::Ask(Question::Dns { token, question }) => {
                look_up.handle(token.answer(with_m().dns_answer(&question)), now);
            }
            Output::Ask(Question::Fetch { token, fetch }) => {
                let since = now.monotonic.since(start.monotonic);
                let url = fetch.request.uri().to_string();
                fetched.push((u64::try_from(since.as_millis()).unwrap(), url));
                now = now + after;
                look_up.handle(token.answer(respond(fetched.len())), now);
                last = Some(token);
            }
            Output::Wait(Some(until)) => {
                // A second answer to a fetch that is over does nothing.
                if let Some(token) = last {
                    look_up.handle(token.answer(delegating()), now);
                }
                now = now + until.since(now.monotonic);
            }
            Output::Done(answer) => break answer,
            other => panic!("{other:?}"),
        }
    };
    (answer, fetched)
}

fn delegating() -> Result<Response<Body>, FetchFailure> {
    with_m().delegates("a.example", "m.example:443").response(URL, usize::MAX)
}

fn refused() -> Result<Response<Body>, FetchFailure> {
    Err(FetchFailure::new(FetchFailureKind::Refused, "scripted"))
}

fn status(status: u16) -> Result<Response<Body>, FetchFailure> {
    with_m().page(URL, status, &[], "").response(URL, usize::MAX)
}

/// In milliseconds.
fn times(fetched: &[(u64, String)]) -> Vec<u64> {
    fetched.iter().map(|(at, _)| *at).collect()
}

#[test]
fn a_host_known_to_delegate_is_tried_again_once_nothing_may_stand_in() {
    let (good, asked) = look_up(Now::EPOCH, None, Duration::ZERO, |_| delegating());
    assert_eq!(times(&asked), [0]);
    let hours = |hours: u64| Now::EPOCH + seconds(hours * 3600);
    let a_moment = Duration::from_nanos(1);
    // (when, how many fetches: nothing stands in after 48 h, nothing is known after 50 h)
    for (now, count) in [
        (hours(1), 1),
        (hours(48), 1),
        (hours(48) + a_moment, 4),
        // Forgotten before the third try.
        (hours(50), 2),
        (hours(50) + a_moment, 1),
    ] {
        let (answer, asked) = look_up(now, Some(&good), Duration::ZERO, |_| refused());
        assert_eq!(times(&asked), [0, 500, 1500, 3500][..count], "{now:?}");
        assert_eq!(answer.failures(), 1);
    }
    // What comes of a later try counts, and the failures before are over.
    let respond = |fetch| if fetch < 3 { status(503) } else { delegating() };
    let (answer, asked) = look_up(hours(49), Some(&good), millis(10), respond);
    assert_eq!(times(&asked), [0, 510, 1520]);
    assert_eq!(
        (answer.last_good(), answer.failure(), answer.failures()),
        (good.last_good(), None, 0)
    );
    // Nobody delegated there before.
    assert_eq!(times(&look_up(hours(49), None, Duration::ZERO, |_| refused()).1), [0]);
}

#[test]
fn only_what_failed_quickly_is_tried_again() {
    let (good, _) = look_up(Now::EPOCH, None, Duration::ZERO, |_| delegating());
    let now = Now::EPOCH + seconds(49 * 3600);
    for (status, count) in [(408, 4), (500, 4), (599, 4), (404, 1), (429, 1), (600, 1)] {
        let respond = |_| self::status(status);
        let (_, asked) = look_up(now, Some(&good), Duration::ZERO, respond);
        assert_eq!(asked.len(), count, "{status}");
    }
    // The 15 s for all of it are a bound on the tries: 0, 5.5, 11.5 s, and no fourth at 18.5 s.
    let (answer, asked) = look_up(now, Some(&good), seconds(5), |_| refused());
    assert_eq!(times(&asked), [0, 5500, 11_500]);
    assert!(matches!(answer.failure(), Some(WellKnownFailure::Fetch(_))), "{answer:?}");
    // A try that would begin when the time is up is none.
    let (answer, asked) = look_up(now, Some(&good), millis(14_500), |_| refused());
    assert_eq!(times(&asked), [0]);
    assert!(matches!(answer.failure(), Some(WellKnownFailure::Fetch(_))), "{answer:?}");
}

#[test]
fn each_try_follows_its_own_redirects() {
    let (good, _) = look_up(Now::EPOCH, None, Duration::ZERO, |_| delegating());
    let now = Now::EPOCH + seconds(49 * 3600);
    let to = "https://m.example/there";
    // Ten redirects are followed in each try, although the tries together see more.
    let (answer, asked) = look_up(now, Some(&good), Duration::ZERO, |fetch| match fetch % 11 {
        0 if fetch < 44 => refused(),
        0 => delegating(),
        hop => with_m()
            .page(URL, 302, &[("location", &format!("{to}{hop}"))], "")
            .response(URL, usize::MAX),
    });
    assert_eq!(asked.len(), 44);
    for each in asked.chunks(11) {
        let urls: Vec<_> = each.iter().map(|(_, url)| url.as_str()).collect();
        assert_eq!((urls[0], urls[1]), (URL, "https://m.example/there1"));
    }
    assert_eq!((answer.last_good(), answer.failure()), (good.last_good(), None));
}

#[test]
fn an_earlier_good_answer_stands_in_for_a_passing_failure() {
    let good = with_m().delegates("a.example", "m.example:443");
    let (earlier, _) =
        look_up(Now::EPOCH, None, Duration::ZERO, |_| good.response(URL, usize::MAX));
    let down = with_m().page(URL, 503, &[], "");
    let run = down.resolve_every_way_with("a.example", &lenient(), |drive| {
        drive.with_earlier_well_known(earlier.clone())
    });
    assert_eq!(run.target().step(), Step::DelegatedPort);
    assert!(run.target().is_stale());
    assert_eq!(run.warnings(), ["well_known_stale"]);

    let gone = with_m().page(URL, 404, &[], "");
    let run = gone.resolve_every_way_with("a.example", &lenient(), |drive| {
        drive.with_earlier_well_known(earlier.clone())
    });
    assert_eq!(run.target().step(), Step::DefaultPort);
    assert_eq!(run.target().degraded(), Some(Degraded::WellKnownLost));
    assert_eq!(run.target().lifetimes().held, Some(seconds(120)));
}
