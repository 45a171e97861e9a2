//! A driver of the machine that keeps no rule, fed by bytes: answers come late, twice, to the wrong
//! token, of the wrong kind; time jumps forward and back and may stand near the end of what can be
//! represented. What the machine itself promises its driver is checked here: it never asks nor waits
//! once it is over, and never waits past its limit or into the past.
//!
//! The bytes are read from the front, one choice after the other, so that a changed byte changes one
//! choice and what follows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arbitrary::{Result, Unstructured};
use http::{HeaderValue, Response, StatusCode};
use matrix_delegation::cache::{DnsEntry, WellKnownEntry};
use matrix_delegation::config::{AddressFamilies, Speculation};
use matrix_delegation::discovery::{
    DnsToken, FetchToken, Machine, Outcome, Output, Question, WellKnownLookup, WellKnownToken,
};
use matrix_delegation::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord, Records, SrvRecord};
use matrix_delegation::report::{Source, WellKnownReport};
use matrix_delegation::testing::documentation_allowed;
use matrix_delegation::time::{Monotonic, Now};
use matrix_delegation::well_known::{Body, FetchFailure, FetchFailureKind};
use matrix_delegation::{AddressPolicy, Config, Discovery, ServerName, Step};

const NAMES: &[&str] = &[
    "a.example",
    "a.example:1",
    "203.0.114.9",
    "[2a00::9]:8449",
    "a.onion",
    "127.1",
    "10.0.0.1",
    "A.Example",
    "xn--a.example",
    "a.example.",
    "[::ffff:10.0.0.1]",
    "m.example",
];

const ADDRESSES: &[&str] = &[
    "203.0.114.1",
    "203.0.114.2",
    "2a00::1",
    "2a00::2",
    "192.0.2.1",
    "2001:db8::1",
    "10.0.0.1",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:203.0.114.1",
    "64:ff9b::10.0.0.1",
    "169.254.169.254",
];

const SRV_TARGETS: &[&str] = &[
    "b.example.",
    "c.example",
    "a.example.",
    "m.example.",
    ".",
    "",
    "192.0.2.1",
    "a..b",
    "a.onion.",
    "B.Example",
    "_b.example.",
];

const LOCATIONS: &[&str] = &[
    "/",
    "/1",
    "?2",
    "https://b.example/",
    "https://b.example:8443/m",
    "https://127.1/",
    "https://[2a00::3]/",
    "http://a.example/",
    "//a.onion/",
    "https://u@b.example/",
    "https://b_c.example/",
    "",
];

const BODIES: &[&str] = &[
    r#"{"m.server":"m.example"}"#,
    r#"{"m.server":"m.example:1"}"#,
    r#"{"m.server":"203.0.114.8:1"}"#,
    r#"{"m.server":"[::1]"}"#,
    r#"{"m.server":"a.example"}"#,
    r#"{"m.server":"M.Example"}"#,
    r#"{"m.server":"m.onion"}"#,
    r#"{"m.server":"127.1"}"#,
    r#"{"m.server":1}"#,
    "[]",
    "",
];

const STATUSES: &[u16] = &[200, 200, 200, 302, 307, 301, 404, 429, 503, 204, 304, 100];

const HEADERS: &[(&str, &str)] = &[
    ("cache-control", "max-age=60"),
    ("cache-control", "no-store"),
    ("cache-control", "max-age=99999999999"),
    ("content-encoding", "gzip"),
    ("retry-after", "7200"),
    ("expires", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ("location", "/2"),
];

/// A small number of milliseconds or seconds in one byte; any number of milliseconds in five.
fn duration(u: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(match u.arbitrary::<u8>()? {
        0 => Duration::ZERO,
        1 => Duration::from_nanos(1),
        2 => Duration::from_secs(30),
        3 => Duration::MAX,
        millis @ 4..=127 => Duration::from_millis(u64::from(millis - 4) * 10),
        seconds @ 128..=249 => Duration::from_secs(u64::from(seconds - 127)),
        _ => Duration::from_millis(u.arbitrary::<u32>()?.into()),
    })
}

/// A small number in one byte, any other in three.
pub(crate) fn short(u: &mut Unstructured<'_>) -> Result<u16> {
    match u.arbitrary::<u8>()? {
        255 => u.arbitrary(),
        small => Ok(small.into()),
    }
}

/// One of a list, or text of its own: a length and the bytes.
fn text(u: &mut Unstructured<'_>, known: &[&str]) -> Result<String> {
    let choice = usize::from(u.arbitrary::<u8>()?);
    if let Some(known) = known.get(choice) {
        return Ok((*known).to_owned());
    }
    if choice < 128 {
        return Ok(format!("h{choice}.example"));
    }
    let length = usize::from(u.arbitrary::<u8>()?).min(u.len());
    Ok(String::from_utf8_lossy(u.bytes(length)?).into_owned())
}

fn pick<T: Copy>(u: &mut Unstructured<'_>, from: &[T]) -> Result<T> {
    Ok(from[usize::from(u.arbitrary::<u8>()?) % from.len()])
}

pub(crate) fn server_name(u: &mut Unstructured<'_>) -> Result<ServerName> {
    text(u, NAMES)?.parse().map_err(|_| arbitrary::Error::IncorrectFormat)
}

pub(crate) fn config(u: &mut Unstructured<'_>) -> Result<Config> {
    use AddressFamilies::{Both, ByProxy, V4, V6};
    let config = match u.arbitrary::<u8>()? % 4 {
        0 | 1 => Config::default(),
        2 => Config::strict(),
        _ => Config::synapse(),
    };
    let policy = match u.arbitrary::<u8>()? % 4 {
        0 | 1 => AddressPolicy::default(),
        2 => documentation_allowed(Config::default()).address_policy,
        _ => AddressPolicy::unrestricted().block("203.0.114.0/31".parse().unwrap()),
    };
    let mut config = config
        .with_speculation(pick(u, &[Speculation::Full, Speculation::Off])?)
        .with_addresses(pick(u, &[Both, Both, V4, V6, ByProxy])?)
        .with_address_policy(policy);
    let set = u.arbitrary::<u8>()?;
    let time = &mut config.time;
    let times = [
        &mut time.dns,
        &mut time.well_known,
        &mut time.discovery,
        &mut time.fetch_grace,
        &mut time.family_grace,
        &mut time.target_grace,
        &mut time.degraded,
        &mut config.dns.incomplete,
    ];
    for (bit, field) in times.into_iter().enumerate() {
        if set & 1 << bit != 0 {
            *field = duration(u)?;
        }
    }
    let set = u.arbitrary::<u8>()?;
    let limits = &mut config.limits;
    let counts = [
        &mut limits.redirects,
        &mut limits.srv_records,
        &mut limits.addresses_per_family,
        &mut limits.body_bytes,
    ];
    for (bit, field) in counts.into_iter().enumerate() {
        if set & 1 << bit != 0 {
            *field = pick(u, &[0, 1, 2, 100, usize::MAX])?;
        }
    }
    let lifetimes = &mut config.well_known;
    let bounds = [&mut lifetimes.least, &mut lifetimes.most, &mut lifetimes.temporary];
    for (bit, field) in bounds.into_iter().enumerate() {
        if set & 16 << bit != 0 {
            *field = duration(u)?;
        }
    }
    Ok(config)
}

fn addresses(u: &mut Unstructured<'_>) -> Result<Records> {
    let count = u.arbitrary::<u8>()? % 12;
    let mut addresses = Vec::new();
    for _ in 0..count {
        let choice = usize::from(u.arbitrary::<u8>()?);
        addresses.push(match ADDRESSES.get(choice) {
            Some(address) => address.parse().unwrap(),
            None if choice < 128 => [203, 0, 115, u8::try_from(choice).unwrap()].into(),
            None if choice % 2 == 0 => u.arbitrary::<[u8; 4]>()?.into(),
            None => u.arbitrary::<[u8; 16]>()?.into(),
        });
    }
    Ok(Records::Addresses(addresses))
}

fn srv_records(u: &mut Unstructured<'_>) -> Result<Records> {
    let count = u.arbitrary::<u8>()? % 24;
    let mut records = Vec::new();
    for _ in 0..count {
        let (priority, weight, port) = (short(u)?, short(u)?, short(u)?);
        let target = text(u, SRV_TARGETS)?;
        records.push(SrvRecord { priority, weight, port, target });
    }
    Ok(Records::Srv(records))
}

/// An answer of DNS, mostly of the kind that was asked for.
pub(crate) fn dns_answer(u: &mut Unstructured<'_>, question: &DnsQuestion) -> Result<DnsAnswer> {
    use NoRecord::{NoData, NotImplemented, NxDomain, Onion};
    let choice = u.arbitrary::<u8>()? % 8;
    Ok(match choice {
        0..=4 => {
            let addresses_asked = matches!(question, DnsQuestion::Addresses { .. });
            let records =
                if addresses_asked == (choice != 4) { addresses(u)? } else { srv_records(u)? };
            DnsAnswer::Found { records, ttl: duration(u)?, alias: choice == 3 }
        }
        5 | 6 => {
            let kind = pick(u, &[NxDomain, NoData, NotImplemented, Onion])?;
            let ttl = if choice == 5 { None } else { Some(duration(u)?) };
            DnsAnswer::None { kind, ttl }
        }
        _ => {
            use DnsFailure::{Malformed, Network, Refused, ServFail, Timeout};
            let failure = pick(u, &[ServFail, Timeout, Malformed, Network, Refused])?;
            DnsAnswer::Failed { failure, detail: text(u, &["", "server 1 was silent"])? }
        }
    })
}

/// A response, or why there was none.
pub(crate) fn fetched(
    u: &mut Unstructured<'_>,
) -> Result<std::result::Result<Response<Body>, FetchFailure>> {
    use FetchFailureKind::{
        Adapter, Connect, ConnectTimeout, CutOff, ExchangeTimeout, HeadTooLarge, NoAddress,
        Protocol, Refused, Tls, TlsTimeout,
    };
    let choice = u.arbitrary::<u8>()?;
    if choice % 8 == 7 {
        let kinds = [
            Adapter,
            Connect,
            ConnectTimeout,
            CutOff,
            ExchangeTimeout,
            HeadTooLarge,
            NoAddress,
            Protocol,
            Refused,
            Tls,
            TlsTimeout,
        ];
        let kind = pick(u, &kinds)?;
        return Ok(Err(FetchFailure::new(kind, text(u, &["", "scripted"])?)));
    }
    let body = if choice % 8 == 6 { Body::TooLarge } else { Body::from(text(u, BODIES)?) };
    let mut response = Response::new(body);
    let status = pick(u, STATUSES)?;
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    if (300..400).contains(&status)
        && let Ok(location) = HeaderValue::from_bytes(text(u, LOCATIONS)?.as_bytes())
    {
        headers.append("location", location);
    }
    let set = u.arbitrary::<u8>()?;
    for (bit, (name, value)) in HEADERS.iter().enumerate() {
        if set & 1 << bit != 0 {
            headers.append(*name, HeaderValue::from_static(value));
        }
    }
    Ok(Ok(response))
}

/// What is known of a well-known, made in the only way there is.
pub(crate) fn well_known_answer(
    fetched: std::result::Result<Response<Body>, FetchFailure>,
    before: Option<WellKnownEntry>,
    config: &Config,
    now: Now,
) -> (WellKnownEntry, WellKnownReport) {
    let config = config.clone().with_addresses(AddressFamilies::ByProxy);
    let host = "a.example".parse().unwrap();
    let mut machine = WellKnownLookup::new(host, Arc::new(config), now, 0);
    if let Some(before) = before {
        machine = machine.with_earlier(before);
    }
    let mut fetched = Some(fetched);
    loop {
        match machine.poll_output(now) {
            Output::Done(answer) => return (answer, machine.report()),
            Output::Ask(Question::Fetch { token, .. }) => {
                let failure = FetchFailure::new(FetchFailureKind::Connect, "");
                machine.handle(token.answer(fetched.take().unwrap_or(Err(failure))), now);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Tokens that were given out, by the machine under test and by another.
#[derive(Default)]
struct Tokens {
    dns: Vec<(DnsToken, DnsQuestion)>,
    fetches: Vec<FetchToken>,
    well_known: Vec<WellKnownToken>,
}

impl Tokens {
    fn note(&mut self, question: &Question) {
        match question {
            Question::Dns { token, question } => self.dns.push((*token, question.clone())),
            Question::Fetch { token, .. } => self.fetches.push(*token),
            Question::WellKnown { token, .. } => self.well_known.push(*token),
            other => panic!("unknown question {other:?}"),
        }
    }

    /// Those of another machine, which has asked a good deal.
    fn of_another(shared: bool) -> Self {
        let mut tokens = Self::default();
        let name = "z.example".parse().unwrap();
        let mut machine = Discovery::new(name, Arc::default(), Now::EPOCH, 0);
        if shared {
            machine = machine.with_shared_well_known();
        }
        let address = Records::Addresses(vec!["203.0.114.9".parse().unwrap()]);
        let found = DnsAnswer::Found { records: address, ttl: Duration::ZERO, alias: false };
        while let Output::Ask(question) = machine.poll_output(Now::EPOCH) {
            tokens.note(&question);
            if let Question::Dns { token, question: DnsQuestion::Addresses { .. } } = question {
                machine.handle(token.answer(found.clone()), Now::EPOCH);
            }
        }
        tokens
    }

    /// One of them, the latest first.
    fn pick<'a, T>(u: &mut Unstructured<'_>, tokens: &'a [T]) -> Result<Option<&'a T>> {
        let back = usize::from(u.arbitrary::<u8>()?);
        Ok((!tokens.is_empty()).then(|| &tokens[tokens.len() - 1 - back % tokens.len()]))
    }
}

/// A machine, and everything that it was told and has said.
pub(crate) struct Driven {
    pub(crate) machine: Discovery,
    pub(crate) config: Arc<Config>,
    /// Every question, in the order asked.
    pub(crate) asked: Vec<Question>,
    pub(crate) outcome: Option<Outcome>,
    /// Whether the driver has said of some question that no answer will come.
    pub(crate) gave_up: bool,
    /// Well-known answers that the machine was told whole, or that were known before.
    pub(crate) told: Vec<WellKnownEntry>,
    /// What the driver says the time is.
    now: Now,
    /// The latest that it ever said, which the machine goes by.
    latest: Monotonic,
    /// The end of the discovery.
    pub(crate) due: Monotonic,
    wait: Option<Monotonic>,
    tokens: Tokens,
    /// How many of the tokens for DNS are another machine's.
    foreign: usize,
    /// Whether everything is said once more after the end.
    goes_on: bool,
}

impl Driven {
    /// Drives a machine to its end as the bytes say, and past it.
    pub(crate) fn by(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let mut driven = Self::start(&mut u)?;
        let operations = u.peek_bytes(u.len()).unwrap_or_default();
        driven.operate(operations)?;
        // Whatever happened, at the limit it is over, and stays so.
        driven.now.monotonic = driven.due.max(driven.latest);
        driven.poll();
        assert!(driven.outcome.is_some(), "it does not end");
        let (report, asked) = (driven.machine.report(), driven.asked.len());
        if driven.goes_on {
            driven.operate(operations)?;
        }
        driven.poll();
        assert_eq!(driven.machine.report(), report);
        assert_eq!(driven.asked.len(), asked);
        Ok(driven)
    }

    fn start(u: &mut Unstructured<'_>) -> Result<Self> {
        let name = server_name(u)?;
        let config = Arc::new(config(u)?);
        let flags = u.arbitrary::<u8>()?;
        let start = match flags & 1 {
            0 => Duration::from_secs(1_000_000),
            _ => Duration::MAX.saturating_sub(duration(u)?),
        };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let now = Now::new(Monotonic::from_origin(start), wall);
        let mut machine = Discovery::new(name, Arc::clone(&config), now, flags.into());
        let mut told = Vec::new();
        if flags & 2 != 0 {
            machine = machine.with_last_step(pick(u, &Step::ALL)?);
        }
        if flags & 4 != 0 {
            let good = well_known_answer(fetched(u)?, None, &config, Self::before(now, u)?).0;
            told.push(good.clone());
            machine = machine.with_earlier_well_known(good);
        }
        let shared = flags & 8 != 0;
        if shared {
            machine = machine.with_shared_well_known();
        }
        let due = now.monotonic + config.time.discovery;
        let tokens = if flags & 16 != 0 { Tokens::of_another(shared) } else { Tokens::default() };
        Ok(Self {
            machine,
            asked: Vec::new(),
            outcome: None,
            gave_up: false,
            told,
            now,
            latest: now.monotonic,
            due,
            wait: None,
            foreign: tokens.dns.len(),
            tokens,
            goes_on: flags & 32 != 0,
            config,
        })
    }

    /// Some time before, in hours.
    fn before(now: Now, u: &mut Unstructured<'_>) -> Result<Now> {
        let ago = Duration::from_secs(u64::from(u.arbitrary::<u8>()?) * 3600);
        let monotonic = now.monotonic.since_origin().saturating_sub(ago);
        Ok(Now::new(Monotonic::from_origin(monotonic), now.wall - ago))
    }

    fn operate(&mut self, operations: &[u8]) -> Result<()> {
        let mut u = Unstructured::new(operations);
        while !u.is_empty() {
            self.operation(&mut u)?;
        }
        Ok(())
    }

    fn operation(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.arbitrary::<u8>()? % 16 {
            0 => drop(self.poll()),
            1 | 2 => self.poll_until_it_waits(),
            3..=6 => {
                let Some((token, question)) = Tokens::pick(u, &self.tokens.dns)?.cloned() else {
                    return Ok(());
                };
                let answer = dns_answer(u, &question)?;
                let now = self.says();
                self.machine.handle(token.answer(answer), now);
            }
            7 => {
                // A part belongs to its question, which only the machine's own tokens tell.
                let own = &self.tokens.dns[self.foreign..];
                let Some((token, question)) = Tokens::pick(u, own)?.cloned() else {
                    return Ok(());
                };
                let answer = dns_answer(u, &question)?;
                let at = Self::before(self.now, u)?.monotonic;
                let entry = DnsEntry::learn(None, &question, answer, at, &self.config);
                let source = Source::Memory { age: self.now.monotonic.since(at) };
                let now = self.says();
                self.machine.handle(token.entry(entry, source), now);
            }
            8..=10 => {
                let Some(token) = Tokens::pick(u, &self.tokens.fetches)?.copied() else {
                    return Ok(());
                };
                let result = fetched(u)?;
                let now = self.says();
                self.machine.handle(token.answer(result), now);
            }
            11 => {
                let Some(token) = Tokens::pick(u, &self.tokens.well_known)?.copied() else {
                    return Ok(());
                };
                let (result, at) = (fetched(u)?, Self::before(self.now, u)?);
                let before = self.told.last().cloned();
                let (answer, report) = well_known_answer(result, before, &self.config, at);
                self.told.push(answer.clone());
                let report = Some(Arc::new(report));
                let now = self.says();
                self.machine.handle(token.answer(answer, Source::Asked, report), now);
            }
            12 => {
                if let Some((token, _)) = Tokens::pick(u, &self.tokens.dns)?.cloned() {
                    let now = self.says();
                    self.machine.handle(token.unanswered(), now);
                    self.gave_up = true;
                }
            }
            13 => self.now = self.now + duration(u)?,
            14 => {
                let before = self.now.monotonic.since_origin().saturating_sub(duration(u)?);
                self.now.monotonic = Monotonic::from_origin(before);
            }
            _ => {
                // To where the last wait ends, or just before it.
                if let Some(wait) = self.wait {
                    let before = pick(u, &[0, 0, 1])?;
                    let time = wait.since_origin().saturating_sub(Duration::from_nanos(before));
                    self.now.monotonic = Monotonic::from_origin(time);
                }
            }
        }
        Ok(())
    }

    fn says(&mut self) -> Now {
        self.latest = self.latest.max(self.now.monotonic);
        self.now
    }

    /// Polls once; whether the machine had a question.
    fn poll(&mut self) -> bool {
        let now = self.says();
        match self.machine.poll_output(now) {
            Output::Ask(question) => {
                assert!(self.outcome.is_none() && self.latest < self.due, "it asks when over");
                self.tokens.note(&question);
                self.asked.push(question);
                true
            }
            Output::Wait(until) => {
                assert!(self.outcome.is_none() && self.latest < self.due, "it waits when over");
                let until = until.expect("unfinished, it waits for ever");
                assert!(self.latest < until && until <= self.due, "{until} at {}", self.latest);
                self.wait = Some(until);
                false
            }
            Output::Done(outcome) => {
                let first = self.outcome.get_or_insert_with(|| outcome.clone());
                assert_eq!(first, &outcome);
                false
            }
        }
    }

    fn poll_until_it_waits(&mut self) {
        while self.poll() {}
    }
}
