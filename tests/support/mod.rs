//! A small scripted world: it answers a machine's questions after given delays on a virtual clock.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use matrix_delegation::{
    AddressPolicy, Body, Config, DelegationTarget, Discovery, DnsAnswer, DnsFailure, DnsToken,
    FetchFailure, FetchFailureKind, FetchToken, NoRecord, Now, Outcome, Output, Question, Records,
    Report, ResolveError, Source, Speculation, SrvRecord, Step, Warning, WellKnownAnswer,
    WellKnownLookup, WellKnownReport, WellKnownToken,
};

type Fetched = Result<Response<Body>, FetchFailure>;

/// What DNS and HTTPS answer, and after how long.
#[derive(Clone, Debug)]
pub struct World {
    dns: HashMap<String, DnsAnswer>,
    urls: HashMap<String, Fetched>,
    /// By question; `None`: never.
    delays: HashMap<String, Option<Duration>>,
    pub earlier: Option<WellKnownAnswer>,
    pub shared: bool,
    pub last_step: Option<Step>,
}

/// How a resolution went.
#[derive(Debug)]
pub struct Run {
    pub outcome: Outcome,
    pub report: Report,
    /// In the order asked: `A a.example`, `SRV _matrix._tcp.a.example`, `GET https://...`.
    pub asked: Vec<String>,
    /// Where each fetch was to connect.
    pub connected: Vec<String>,
    pub took: Duration,
}

impl Run {
    pub fn target(&self) -> &DelegationTarget {
        self.outcome.as_ref().unwrap_or_else(|error| panic!("{error}\n{}", self.report))
    }

    pub fn error(&self) -> &ResolveError {
        self.outcome.as_ref().expect_err("an error")
    }

    /// Every warning's kind.
    pub fn warnings(&self) -> Vec<&'static str> {
        self.target().warnings().iter().map(Warning::kind).collect()
    }

    /// `host:port@address,address` for each endpoint.
    pub fn endpoints(&self) -> Vec<String> {
        endpoints(self.target())
    }
}

pub fn endpoints(target: &DelegationTarget) -> Vec<String> {
    let address = |endpoint: &matrix_delegation::Endpoint| {
        let addresses: Vec<_> = endpoint.addresses().map(|it| it.ip().to_string()).collect();
        format!("{endpoint}@{}", addresses.join(","))
    };
    target.endpoints().iter().map(address).collect()
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A lifetime in whole seconds, rounded up: it ran for some milliseconds before the decision.
pub fn whole(lifetime: Option<Duration>) -> Option<u64> {
    lifetime.map(|lifetime| (lifetime + Duration::from_nanos(999_999_999)).as_secs())
}

pub fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The documentation ranges are blocked as everything that is not the public internet, so tests
/// that use them allow them.
pub fn documentation() -> AddressPolicy {
    ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"]
        .into_iter()
        .fold(AddressPolicy::default(), |policy, range| policy.allow(range.parse().unwrap()))
}

pub fn lenient() -> Config {
    Config::default().with_address_policy(documentation())
}

pub fn strict() -> Config {
    Config::strict().with_address_policy(documentation())
}

pub fn synapse() -> Config {
    Config::synapse().with_address_policy(documentation())
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Nothing exists: every name is NXDOMAIN, every port refuses.
    pub fn new() -> Self {
        Self {
            dns: HashMap::new(),
            urls: HashMap::new(),
            delays: HashMap::new(),
            earlier: None,
            shared: false,
            last_step: None,
        }
    }

    pub fn dns(mut self, question: &str, answer: DnsAnswer) -> Self {
        self.dns.insert(question.to_owned(), answer);
        self
    }

    fn found(self, question: &str, records: Records, ttl: u64) -> Self {
        self.dns(question, DnsAnswer::Found { records, ttl: seconds(ttl), alias: false })
    }

    /// Addresses with a TTL of 300 s; A and AAAA by the address; the family without is NODATA.
    pub fn host(self, host: &str, addresses: &[&str]) -> Self {
        self.host_with_ttl(host, addresses, 300)
    }

    pub fn host_with_ttl(mut self, host: &str, addresses: &[&str], ttl: u64) -> Self {
        let addresses: Vec<std::net::IpAddr> =
            addresses.iter().map(|address| address.parse().unwrap()).collect();
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(std::net::IpAddr::is_ipv4);
        for (record_type, addresses) in [("A", v4), ("AAAA", v6)] {
            let question = format!("{record_type} {host}");
            self = if addresses.is_empty() {
                self.none(&question, NoRecord::NoData)
            } else {
                self.found(&question, Records::Addresses(addresses), ttl)
            };
        }
        self
    }

    /// Marks the addresses of a host as found through an alias.
    pub fn aliased(mut self, host: &str) -> Self {
        for record_type in ["A", "AAAA"] {
            if let Some(DnsAnswer::Found { alias, .. }) =
                self.dns.get_mut(&format!("{record_type} {host}"))
            {
                *alias = true;
            }
        }
        self
    }

    /// SRV records `(priority, weight, port, target)` with a TTL of 600 s.
    pub fn srv(self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let records = records
            .iter()
            .map(|(priority, weight, port, target)| SrvRecord {
                priority: *priority,
                weight: *weight,
                port: *port,
                target: (*target).to_owned(),
            })
            .collect();
        self.found(&format!("SRV {name}"), Records::Srv(records), 600)
    }

    pub fn none(self, question: &str, kind: NoRecord) -> Self {
        self.dns(question, DnsAnswer::None { kind, ttl: Some(seconds(900)) })
    }

    pub fn fails(self, question: &str, failure: DnsFailure) -> Self {
        self.dns(question, DnsAnswer::failed(failure))
    }

    /// A well-known with these bytes as its body.
    pub fn well_known(self, host: &str, body: &str) -> Self {
        self.page(&format!("https://{host}/.well-known/matrix/server"), 200, &[], body)
    }

    /// A well-known that delegates.
    pub fn delegates(self, host: &str, server: &str) -> Self {
        self.well_known(host, &format!(r#"{{"m.server":"{server}"}}"#))
    }

    pub fn page(
        mut self,
        url: &str,
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Self {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Body::from(body.as_bytes())).unwrap();
        self.urls.insert(url.to_owned(), Ok(response));
        self
    }

    pub fn fetched(mut self, url: &str, fetched: Fetched) -> Self {
        self.urls.insert(url.to_owned(), fetched);
        self
    }

    /// Answers this question after so long; others after 10 ms.
    pub fn after(mut self, question: &str, delay: Duration) -> Self {
        self.delays.insert(question.to_owned(), Some(delay));
        self
    }

    /// Never answers this question.
    pub fn never(mut self, question: &str) -> Self {
        self.delays.insert(question.to_owned(), None);
        self
    }

    /// How long the answer takes; `None`: for ever.
    pub fn delay(&self, question: &str) -> Option<Duration> {
        self.delays.get(question).copied().unwrap_or(Some(millis(10)))
    }

    fn due(&self, question: &str, now: Now) -> Option<Now> {
        self.delay(question).map(|delay| now + delay)
    }

    pub fn dns_answer(&self, question: &str) -> DnsAnswer {
        self.dns
            .get(question)
            .cloned()
            .unwrap_or(DnsAnswer::None { kind: NoRecord::NxDomain, ttl: Some(seconds(900)) })
    }

    pub fn response(&self, url: &str) -> Fetched {
        self.urls
            .get(url)
            .cloned()
            .unwrap_or_else(|| Err(FetchFailure::new(FetchFailureKind::Refused, "scripted")))
    }

    /// Resolves in every way that must not make a difference: speculation on and off, the
    /// well-known asked hop by hop and whole. The last run is returned.
    pub fn resolve(&self, name: &str, config: &Config) -> Run {
        let mut runs = Vec::new();
        for speculation in [config.speculation, Speculation::Off, Speculation::Full] {
            for shared in [true, false] {
                let world = Self { shared, ..self.clone() };
                let config = config.clone().with_speculation(speculation);
                runs.push(world.resolve_once(name, &config));
            }
        }
        let run = runs.pop().unwrap();
        let facts = |run: &Run| match &run.outcome {
            Ok(target) => format!(
                "{} {:?} {:?} {:?} {:?} {:?}",
                target,
                endpoints(target),
                target.warnings(),
                target.degraded(),
                target.is_stale(),
                target.host_header()
            ),
            Err(error) => format!("{error:?}"),
        };
        for other in &runs {
            assert_eq!(facts(other), facts(&run), "{}\n{}", other.report, run.report);
        }
        run
    }

    pub fn resolve_once(&self, name: &str, config: &Config) -> Run {
        let config = Arc::new(config.clone());
        let mut machine =
            Discovery::new(name.parse().unwrap(), Arc::clone(&config), Now::EPOCH, 42);
        if self.shared {
            machine = machine.with_shared_well_known();
        } else if let Some(earlier) = self.earlier.clone() {
            machine = machine.with_earlier_well_known(earlier);
        }
        if let Some(step) = self.last_step {
            machine = machine.with_last_step(step);
        }
        let mut log = Log::default();
        let (outcome, end) = self.drive(&mut machine, &config, Now::EPOCH, &mut log);
        let took = end.monotonic.since_origin();
        let report = machine.report();
        Run { outcome, report, asked: log.asked, connected: log.connected, took }
    }

    /// Drives a machine to its end on a virtual clock that jumps from event to event.
    fn drive<M: Machine>(
        &self,
        machine: &mut M,
        config: &Arc<Config>,
        start: Now,
        log: &mut Log,
    ) -> (M::Done, Now) {
        let mut clock = start;
        let mut coming: Vec<(Now, Delivery<M>)> = Vec::new();
        for _ in 0..10_000 {
            let until = match machine.poll(clock) {
                Output::Done(done) => return (done, clock),
                Output::Ask(question) => {
                    coming.extend(self.answer(question, config, clock, log));
                    continue;
                }
                Output::Wait(until) => until,
            };
            coming.sort_by_key(|(due, _)| std::cmp::Reverse(due.monotonic));
            let next = coming.last().map(|(due, _)| due.monotonic);
            let wake = until.into_iter().chain(next).min().expect("something to wait for");
            clock = clock + wake.since(clock.monotonic);
            while coming.last().is_some_and(|(due, _)| due.monotonic <= clock.monotonic) {
                let (_, deliver) = coming.pop().unwrap();
                deliver(machine, clock);
            }
        }
        panic!("the machine does not come to an end");
    }

    /// Notes a question; when its answer comes, and what it does then.
    fn answer<M: Machine>(
        &self,
        question: Question,
        config: &Arc<Config>,
        clock: Now,
        log: &mut Log,
    ) -> Option<(Now, Delivery<M>)> {
        match question {
            Question::Dns { token, question } => {
                let question = question.to_string();
                let (due, answer) = (self.due(&question, clock), self.dns_answer(&question));
                log.asked.push(question);
                Some((due?, Box::new(move |it, now| it.dns(token, answer, now))))
            }
            Question::Fetch { token, fetch } => {
                let url = fetch.request.uri().to_string();
                let question = format!("GET {url}");
                let (due, response) = (self.due(&question, clock), self.response(&url));
                log.asked.push(question);
                log.connected.extend(fetch.addresses.iter().map(ToString::to_string));
                Some((due?, Box::new(move |it, now| it.response(token, response, now))))
            }
            Question::WellKnown { token, host } => {
                let mut machine = WellKnownLookup::new(host.clone(), Arc::clone(config), clock, 42);
                if let Some(earlier) = self.earlier.clone() {
                    machine = machine.with_earlier(earlier);
                }
                // What it asks is noted apart: another discovery may have asked it.
                let mut within = Log::default();
                let (answer, due) = self.drive(&mut machine, config, clock, &mut within);
                log.connected.append(&mut within.connected);
                log.asked.push(format!("WELL-KNOWN {host}"));
                let (answer, lookup) = (Arc::new(answer), Arc::new(machine.report()));
                Some((due, Box::new(move |it, now| it.well_known(token, answer, lookup, now))))
            }
            other => panic!("unknown question {other:?}"),
        }
    }
}

type Delivery<M> = Box<dyn FnOnce(&mut M, Now)>;

#[derive(Debug, Default)]
struct Log {
    asked: Vec<String>,
    connected: Vec<String>,
}

/// What the two machines of the core have in common.
trait Machine {
    type Done;
    fn poll(&mut self, now: Now) -> Output<Self::Done>;
    fn dns(&mut self, token: DnsToken, answer: DnsAnswer, now: Now);
    fn response(&mut self, token: FetchToken, response: Fetched, now: Now);
    fn well_known(
        &mut self,
        token: WellKnownToken,
        answer: Arc<WellKnownAnswer>,
        lookup: Arc<WellKnownReport>,
        now: Now,
    );
}

impl Machine for Discovery {
    type Done = Outcome;

    fn poll(&mut self, now: Now) -> Output<Outcome> {
        self.poll_output(now)
    }

    fn dns(&mut self, token: DnsToken, answer: DnsAnswer, now: Now) {
        self.handle_dns(token, answer, now);
    }

    fn response(&mut self, token: FetchToken, response: Fetched, now: Now) {
        self.handle_response(token, response, now);
    }

    fn well_known(
        &mut self,
        token: WellKnownToken,
        answer: Arc<WellKnownAnswer>,
        lookup: Arc<WellKnownReport>,
        now: Now,
    ) {
        self.handle_well_known(token, answer, Source::Asked, Some(lookup), now);
    }
}

impl Machine for WellKnownLookup {
    type Done = WellKnownAnswer;

    fn poll(&mut self, now: Now) -> Output<WellKnownAnswer> {
        self.poll_output(now)
    }

    fn dns(&mut self, token: DnsToken, answer: DnsAnswer, now: Now) {
        self.handle_dns(token, answer, now);
    }

    fn response(&mut self, token: FetchToken, response: Fetched, now: Now) {
        self.handle_response(token, response, now);
    }

    fn well_known(
        &mut self,
        _: WellKnownToken,
        _: Arc<WellKnownAnswer>,
        _: Arc<WellKnownReport>,
        _: Now,
    ) {
        panic!("a look-up asks for no other look-up");
    }
}
