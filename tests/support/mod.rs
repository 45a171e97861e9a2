//! A scripted internet and how a name is resolved in it, in every way that must not matter.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::time::Duration;

use http::Response;
use matrix_delegation::cache::WellKnownEntry;
use matrix_delegation::testing::{self, Internet, documentation_allowed};
use matrix_delegation::{
    AddressPolicy, Body, Config, DelegationTarget, DnsAnswer, DnsFailure, DnsQuestion, Family,
    FetchFailure, NoRecord, Now, Outcome, Report, ResolveError, Service, Speculation, Step,
    Warning,
};

type Fetched = Result<Response<Body>, FetchFailure>;

/// An internet, and what is known before.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub internet: Internet,
    pub earlier: Option<WellKnownEntry>,
    pub shared: bool,
    pub last_step: Option<Step>,
}

/// How a resolution went.
#[derive(Debug)]
pub struct Run {
    pub outcome: Outcome,
    pub report: Report,
    /// In the order asked, but for what a look-up of a whole document asked.
    pub asked: Vec<String>,
    /// Where each fetch was to connect.
    pub connected: Vec<String>,
    pub took: Duration,
}

impl Run {
    fn new(run: testing::Run) -> Self {
        let testing::Run { outcome, report, transcript, took, .. } = run;
        let connected = transcript.iter().flat_map(|exchange| &exchange.addresses);
        let own = transcript.iter().filter(|exchange| !exchange.within_look_up);
        Self {
            outcome,
            report,
            asked: own.map(|exchange| exchange.question.clone()).collect(),
            connected: connected.map(ToString::to_string).collect(),
            took,
        }
    }

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

/// Lets the ranges for documentation through.
pub fn documentation() -> AddressPolicy {
    lenient().address_policy
}

pub fn lenient() -> Config {
    documentation_allowed(Config::default())
}

pub fn strict() -> Config {
    documentation_allowed(Config::strict())
}

pub fn synapse() -> Config {
    documentation_allowed(Config::synapse())
}

impl World {
    /// Nothing exists.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, change: impl FnOnce(Internet) -> Internet) -> Self {
        self.internet = change(self.internet);
        self
    }

    pub fn dns(self, question: &str, answer: DnsAnswer) -> Self {
        self.with(|it| it.dns(question, answer))
    }

    pub fn host(self, host: &str, addresses: &[&str]) -> Self {
        self.with(|it| it.host(host, addresses))
    }

    pub fn host_with_ttl(self, host: &str, addresses: &[&str], ttl: u64) -> Self {
        self.with(|it| it.host_for(host, addresses, seconds(ttl)))
    }

    pub fn aliased(self, host: &str) -> Self {
        self.with(|it| it.aliased(host))
    }

    pub fn srv(self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        self.with(|it| it.srv(name, records))
    }

    pub fn none(self, question: &str, kind: NoRecord) -> Self {
        self.with(|it| it.none(question, kind))
    }

    pub fn fails(self, question: &str, failure: DnsFailure) -> Self {
        self.with(|it| it.fails(question, failure))
    }

    pub fn well_known(self, host: &str, body: &str) -> Self {
        self.with(|it| it.well_known(host, body))
    }

    pub fn delegates(self, host: &str, server: &str) -> Self {
        self.with(|it| it.delegates(host, server))
    }

    pub fn page(self, url: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        self.with(|it| it.page(url, status, headers, body))
    }

    pub fn fetched(self, url: &str, fetched: Fetched) -> Self {
        self.with(|it| it.fetched(url, fetched))
    }

    pub fn after(self, question: &str, delay: Duration) -> Self {
        self.with(|it| it.after(question, delay))
    }

    pub fn never(self, question: &str) -> Self {
        self.with(|it| it.never(question))
    }

    /// What is answered to a question as it is shown: `A a.example`.
    pub fn dns_answer(&self, question: &str) -> DnsAnswer {
        let (record_type, name) = question.split_once(' ').unwrap();
        let addresses = |family| DnsQuestion::Addresses { host: name.parse().unwrap(), family };
        let question = match record_type {
            "A" => addresses(Family::V4),
            "AAAA" => addresses(Family::V6),
            _ => {
                let services = [Service::MatrixFed, Service::Matrix];
                let of =
                    |service: Service| Some((service, name.strip_prefix(&service.to_string())?));
                let (service, host) = services.into_iter().find_map(of).unwrap();
                let host = host.trim_start_matches('.').parse().unwrap();
                DnsQuestion::Srv { service, host }
            }
        };
        self.internet.dns_answer(&question)
    }

    pub fn response(&self, url: &str) -> Fetched {
        self.internet.response(url, usize::MAX)
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
        let mut drive = self.internet.drive(config).with_start(Now::EPOCH);
        if self.shared {
            drive = drive.with_shared_well_known();
        }
        if let Some(earlier) = self.earlier.clone() {
            drive = drive.with_earlier_well_known(earlier);
        }
        if let Some(step) = self.last_step {
            drive = drive.with_last_step(step);
        }
        Run::new(drive.discover(name.parse().unwrap()))
    }
}
