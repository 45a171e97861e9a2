//! The world behind the resolver's traits, with what it answered noted and checked.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{Response, StatusCode};
use matrix_delegation::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord, Records, SrvRecord};
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::testing::VirtualTime;
use matrix_delegation::time::Monotonic;
use matrix_delegation::well_known::{Body, Fetch, FetchFailure, FetchFailureKind};
use matrix_delegation::{Dns, Runtime, WellKnownFetch};

use crate::checks::{Checked, DnsLog, WellKnownLog};
use crate::totals::Questions;
use crate::world::{About, DnsSaid, HttpSaid, Role, World, about, address, parse, srv_port};

/// How long an exchange takes.
const EXCHANGE: Duration = Duration::from_millis(20);
/// Violations that are kept; all are counted.
const MOST_KEPT: usize = 20;

#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<State>>, VirtualTime);

pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) asked: Questions,
    /// Whether too early a question is a violation: not where what is known is pushed out.
    pub(crate) nothing_forgotten: bool,
    pub(crate) well_known: HashMap<u32, WellKnownLog>,
    pub(crate) dns: HashMap<(u32, About), DnsLog>,
    pub(crate) violations: u64,
    pub(crate) kept: Vec<String>,
    /// Every question of DNS, while this is wanted.
    pub(crate) noted: Option<Vec<(u32, About)>>,
}

impl State {
    pub(crate) fn new(world: World, nothing_forgotten: bool) -> Self {
        Self {
            world,
            asked: Questions::default(),
            nothing_forgotten,
            well_known: HashMap::new(),
            dns: HashMap::new(),
            violations: 0,
            kept: Vec::new(),
            noted: None,
        }
    }

    pub(crate) fn note(&mut self, what: impl fmt::Debug, now: Monotonic, checked: Checked) {
        if let Err(why) = checked {
            self.violations += 1;
            if self.kept.len() < MOST_KEPT {
                self.kept.push(format!("{what:?} at {now}: {why}"));
            }
        }
    }
}

impl Net {
    pub(crate) fn new(state: State, time: VirtualTime) -> Self {
        Self(Arc::new(Mutex::new(state)), time)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn ask_dns(&self, question: &DnsQuestion) -> DnsAnswer {
        let now = self.1.now().monotonic;
        let (number, about) = about(question);
        let mut state = self.state();
        state.world.go_to(now);
        let said = state.world.dns(number, about);
        match about {
            About::Address(_) => state.asked.address += 1,
            About::Srv(..) => state.asked.srv += 1,
        }
        if let Some(noted) = &mut state.noted {
            noted.push((number, about));
        }
        let checked = state.dns.entry((number, about)).or_default().asked(said, now);
        if state.nothing_forgotten {
            state.note((number, about), now, checked);
        }
        let records = match (said, about) {
            (DnsSaid::Failed, _) => return DnsAnswer::failed(DnsFailure::ServFail),
            // Nobody is told so: it stands for silence.
            (DnsSaid::Silent, _) => return DnsAnswer::failed(DnsFailure::Timeout),
            (DnsSaid::None(ttl), _) => {
                return DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(ttl) };
            }
            (DnsSaid::Found(version, ttl), About::Address(_)) => {
                (Records::Addresses(vec![address(number, version)]), ttl)
            }
            (DnsSaid::Found(version, ttl), About::Srv(..)) => {
                let port = srv_port(u16::try_from(version).unwrap());
                let target = format!("t{number}.example.");
                (Records::Srv(vec![SrvRecord { priority: 0, weight: 0, port, target }]), ttl)
            }
        };
        let (records, ttl) = records;
        DnsAnswer::Found { records, ttl, alias: false }
    }
}

impl Dns for Net {
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer> {
        match self.ask_dns(&question) {
            DnsAnswer::Failed { failure: DnsFailure::Timeout, .. } => {
                Box::pin(std::future::pending())
            }
            answer => Box::pin(std::future::ready(answer)),
        }
    }
}

impl WellKnownFetch for Net {
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Response<Body>, FetchFailure>> {
        let host = fetch.request.uri().host().unwrap().parse().unwrap();
        let (number, role) = parse(&host);
        assert_eq!(role, Role::Server, "nothing redirects");
        let now = self.1.now().monotonic;
        let said = {
            let mut state = self.state();
            state.world.go_to(now);
            state.asked.well_known += 1;
            let checked = state.well_known.entry(number).or_default().asked(now);
            if state.nothing_forgotten {
                state.note((number, "well-known"), now, checked);
            }
            state.world.http(number)
        };
        let takes = match said {
            HttpSaid::Unreachable => fetch.limits.phases.connect,
            HttpSaid::Silent => fetch.limits.exchange,
            _ => EXCHANGE,
        };
        let ends = now + takes.min(fetch.limits.total);
        Box::pin(async move {
            self.1.sleep_until(ends).await;
            let mut state = self.state();
            state.well_known.entry(number).or_default().answered(said, self.1.now().monotonic);
            let status = match said {
                HttpSaid::Document(version, max_age) => {
                    let server = state.world.server(number).delegate(number, version);
                    let body = format!(r#"{{"m.server":"{server}"}}"#);
                    let mut response = Response::builder();
                    if let Some(age) = max_age {
                        response = response.header("cache-control", format!("max-age={age}"));
                    }
                    return Ok(response.body(Body::from(body)).unwrap());
                }
                HttpSaid::Refused => FetchFailureKind::Refused,
                HttpSaid::Unreachable => FetchFailureKind::ConnectTimeout,
                HttpSaid::Silent => FetchFailureKind::ExchangeTimeout,
                HttpSaid::Busy(after) => {
                    let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS);
                    let response = response.header("retry-after", after);
                    return Ok(response.body(Body::from("")).unwrap());
                }
                HttpSaid::Status(status) => {
                    return Ok(Response::builder().status(status).body(Body::from("")).unwrap());
                }
            };
            Err(FetchFailure::new(status, ""))
        })
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}
