//! How long a response may be kept.
//!
//! Invariant: whatever the headers are, they mean what a second, plain reading of the rules makes
//! of them (`Freshness::from_headers`, `retry_after`); and a well-known answer that came with them
//! is kept for that long within the bounds of the configuration, a 429 for its `Retry-After` within
//! its own.
//!
//! Input: lines. A line `name: value` is a header, `now: seconds` sets the wall clock, `config:
//! strict`, `config: synapse` and `config: bounds LEAST MOST UNSTATED` choose a configuration; the
//! rest is skipped.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use matrix_delegation::Config;
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::discovery::{Machine, Output, Question, WellKnownLookup};
use matrix_delegation::time::{Monotonic, Now};
use matrix_delegation::well_known::{Body, Freshness, retry_after};

/// The largest time that is told apart, in seconds.
const LONGEST: u64 = u32::MAX as u64;

/// Checks one input.
pub fn run(data: &[u8]) {
    let input = Input::read(data);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(input.now);
    let freshness = Freshness::from_headers(&input.headers, now);
    let expected = plain::freshness(&input.headers, now);
    assert_eq!(
        freshness,
        expected.map_or(Freshness::Unstated, |seconds| {
            Freshness::For(Duration::from_secs(seconds))
        })
    );
    let after = retry_after(&input.headers, now);
    assert_eq!(after.map(|after| after.as_secs()), plain::retry_after(&input.headers, now));
    assert!(after.is_none_or(|after| after.subsec_nanos() == 0));

    let bounds = &input.config.well_known;
    let clamped = |time: Duration, least: Duration, most: Duration| {
        if time > most { most.max(least) } else { time.max(least) }
    };
    let shortened = |time: Duration| {
        // A lifetime of hundreds of thousands of years needs no more than a bound.
        let part = time / 100 * u32::from(bounds.jitter_percent.min(100));
        time.saturating_sub(part).saturating_sub(Duration::from_micros(1))
    };
    let kept = input.kept(200);
    let (least, most) = (bounds.least, bounds.most);
    if let Some(seconds) = expected {
        assert_eq!(kept, clamped(Duration::from_secs(seconds), least, most));
    } else {
        assert!(kept <= clamped(bounds.unstated, least, most));
        assert!(kept >= clamped(shortened(bounds.unstated), least, most));
    }
    let kept = input.kept(429);
    if let Some(after) = after {
        let (least, most) = (bounds.retry_after_least, bounds.retry_after_most);
        assert_eq!(kept, clamped(after, least, most));
    } else {
        let first = bounds.temporary.min(bounds.temporary_most);
        assert!(kept <= first && kept >= shortened(first));
    }
}

struct Input {
    headers: HeaderMap,
    now: u64,
    config: Config,
}

impl Input {
    fn read(data: &[u8]) -> Self {
        let mut input =
            Self { headers: HeaderMap::new(), now: 784_111_777, config: Config::default() };
        for line in data.split(|byte| *byte == b'\n').take(64) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match name {
                b"now" => input.now = number(value).min(1 << 38),
                b"config" => input.configure(value),
                _ => {
                    if let (Ok(name), Ok(value)) =
                        (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
                    {
                        input.headers.append(name, value);
                    }
                }
            }
        }
        input
    }

    fn configure(&mut self, value: &[u8]) {
        let mut words = value.split(|byte| *byte == b' ');
        match words.next() {
            Some(b"strict") => self.config = Config::strict(),
            Some(b"synapse") => self.config = Config::synapse(),
            Some(b"bounds") => {
                let bounds = &mut self.config.well_known;
                for field in [&mut bounds.least, &mut bounds.most, &mut bounds.unstated] {
                    *field = Duration::from_secs(words.next().map_or(0, number));
                }
            }
            _ => {}
        }
    }

    /// For how long a well-known answer with these headers is kept.
    fn kept(&self, status: u16) -> Duration {
        let config = Arc::new(self.config.clone().with_addresses(AddressFamilies::ByProxy));
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(self.now);
        let now = Now::new(Monotonic::ZERO, wall);
        let host = "a.example".parse().unwrap();
        let mut lookup = WellKnownLookup::new(host, config, now, self.now);
        loop {
            match lookup.poll_output(now) {
                Output::Done(answer) => return answer.until().since(answer.learnt()),
                Output::Ask(Question::Fetch { token, .. }) => {
                    let body = Body::from(r#"{"m.server":"m.example"}"#);
                    let mut response = Response::new(body);
                    *response.status_mut() = status.try_into().unwrap();
                    *response.headers_mut() = self.headers.clone();
                    // A content coding is another matter.
                    response.headers_mut().remove(http::header::CONTENT_ENCODING);
                    lookup.handle(token.answer(Ok(response)), now);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The rules, read plainly: a `Cache-Control` line is taken apart byte by byte into names and
/// arguments, quoted strings undone on the way.
mod plain {
    use std::time::SystemTime;

    use http::HeaderMap;

    use super::LONGEST;

    #[derive(Default)]
    struct Directive {
        name: Vec<u8>,
        has_argument: bool,
        /// What stands after the `=`, if it is a token, or a quoted string from end to end.
        argument: Vec<u8>,
        /// What cannot be a number whatever it is: text beside quotes, quotes left open.
        broken: bool,
    }

    pub(super) fn freshness(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
        let mut directives = Vec::new();
        for line in headers.get_all("cache-control") {
            read(line.as_bytes(), &mut directives);
        }
        let named = |name: &str| {
            let name = name.to_owned();
            directives.iter().filter(move |it| it.name.to_ascii_lowercase() == name.as_bytes())
        };
        if named("no-store").count() + named("no-cache").count() > 0 {
            return Some(0);
        }
        let stated = named("max-age").map(|it| {
            if it.has_argument && !it.broken { digits(&it.argument).unwrap_or(0) } else { 0 }
        });
        let lifetime = stated.min().or_else(|| by_date(headers, now))?;
        Some(lifetime.saturating_sub(age(headers)))
    }

    pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
        let value = headers.get("retry-after")?.as_bytes();
        let value = trimmed(value);
        digits(value).or_else(|| Some(between(now, date(headers.get("retry-after")?.as_bytes())?)))
    }

    fn by_date(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
        let from = headers.get("date").and_then(|it| date(it.as_bytes())).unwrap_or(now);
        let mut least = None;
        for expires in headers.get_all("expires") {
            let seconds = date(expires.as_bytes()).map_or(0, |expires| between(from, expires));
            least = Some(least.map_or(seconds, |least: u64| least.min(seconds)));
        }
        least
    }

    fn age(headers: &HeaderMap) -> u64 {
        for line in headers.get_all("age") {
            for member in line.as_bytes().split(|byte| *byte == b',') {
                if !trimmed(member).is_empty() {
                    return digits(trimmed(member)).unwrap_or(0);
                }
            }
        }
        0
    }

    fn read(line: &[u8], directives: &mut Vec<Directive>) {
        #[derive(PartialEq)]
        enum In {
            Name,
            Argument,
            Quotes,
            After,
        }
        let mut now = In::Name;
        let mut directive = Directive::default();
        // Quotes in a name, too, hide commas.
        let mut hidden = false;
        let mut bytes = line.iter().copied();
        while let Some(byte) = bytes.next() {
            match now {
                In::Name => match byte {
                    b'"' => {
                        hidden = !hidden;
                        directive.name.push(byte);
                    }
                    b'\\' if hidden => {
                        directive.name.push(byte);
                        directive.name.extend(bytes.next());
                    }
                    b',' if !hidden => directives.push(std::mem::take(&mut directive)),
                    b'=' => {
                        // A name with a quote in it is none that means anything; what follows is
                        // looked at for its comma alone.
                        directive.has_argument = true;
                        now = if hidden { In::Quotes } else { In::Argument };
                    }
                    _ => directive.name.push(byte),
                },
                In::Argument => match byte {
                    b'"' => {
                        directive.broken |= !trimmed(&directive.argument).is_empty();
                        directive.argument.clear();
                        now = In::Quotes;
                    }
                    b',' => {
                        directive.argument = trimmed(&directive.argument).to_vec();
                        directives.push(std::mem::take(&mut directive));
                        now = In::Name;
                    }
                    _ => directive.argument.push(byte),
                },
                In::Quotes => match byte {
                    b'"' => now = In::After,
                    b'\\' => match bytes.next() {
                        Some(byte) => directive.argument.push(byte),
                        None => directive.broken = true,
                    },
                    _ => directive.argument.push(byte),
                },
                In::After => match byte {
                    b',' => {
                        directives.push(std::mem::take(&mut directive));
                        now = In::Name;
                        hidden = false;
                    }
                    b' ' | b'\t' => {}
                    b'"' => {
                        directive.broken = true;
                        now = In::Quotes;
                    }
                    _ => directive.broken = true,
                },
            }
        }
        match now {
            In::Quotes => directive.broken = true,
            In::Argument => directive.argument = trimmed(&directive.argument).to_vec(),
            In::Name | In::After => {}
        }
        directives.push(directive);
        for directive in directives {
            directive.name = trimmed(&directive.name).to_vec();
        }
    }

    fn digits(bytes: &[u8]) -> Option<u64> {
        let mut value = 0_u64;
        for byte in bytes {
            let digit = char::from(*byte).to_digit(10)?;
            value = value.saturating_mul(10).saturating_add(u64::from(digit));
        }
        (!bytes.is_empty()).then(|| value.min(LONGEST))
    }

    fn trimmed(bytes: &[u8]) -> &[u8] {
        let is_text = |byte: &u8| *byte != b' ' && *byte != b'\t';
        match (bytes.iter().position(is_text), bytes.iter().rposition(is_text)) {
            (Some(first), Some(last)) => &bytes[first..=last],
            _ => &[],
        }
    }

    /// What HTTP dates are is left to the library; the crate asks it, too.
    fn date(bytes: &[u8]) -> Option<SystemTime> {
        httpdate::parse_http_date(std::str::from_utf8(bytes).ok().filter(|it| it.is_ascii())?).ok()
    }

    fn between(from: SystemTime, to: SystemTime) -> u64 {
        to.duration_since(from).map_or(0, |time| time.as_secs().min(LONGEST))
    }
}
