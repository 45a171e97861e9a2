//! How a name is resolved in a scripted internet, in every way that must not matter, and what tests
//! read off a run.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::time::Duration;

use matrix_delegation::config::Speculation;
use matrix_delegation::dns::{DnsAnswer, DnsQuestion, Family, Service};
use matrix_delegation::testing::{Drive, Internet, Run, documentation_allowed};
use matrix_delegation::time::Now;
use matrix_delegation::{AddressPolicy, Config, DelegationTarget, ResolveError, Warning};

/// What tests do in an internet.
pub trait InternetExt {
    /// Resolves a name, driven in this way, from the epoch on.
    fn resolve_with(
        &self,
        name: &str,
        config: &Config,
        how: impl Fn(Drive<'_>) -> Drive<'_>,
    ) -> Run;

    /// Resolves a name, from the epoch on.
    fn resolve_once(&self, name: &str, config: &Config) -> Run {
        self.resolve_with(name, config, |drive| drive)
    }

    /// Resolves a name in every way that must not make a difference: speculation on and off, the
    /// well-known asked hop by hop and whole. Returns the last run.
    fn resolve_every_way(&self, name: &str, config: &Config) -> Run {
        self.resolve_every_way_with(name, config, |drive| drive)
    }

    /// Resolves a name in every way that must not make a difference, each driven in this way, too.
    fn resolve_every_way_with(
        &self,
        name: &str,
        config: &Config,
        how: impl Fn(Drive<'_>) -> Drive<'_>,
    ) -> Run {
        let mut runs = Vec::new();
        for speculation in [config.speculation, Speculation::Off, Speculation::Full] {
            for shared in [true, false] {
                let config = config.clone().with_speculation(speculation);
                runs.push(self.resolve_with(name, &config, |drive| {
                    let drive = how(drive);
                    if shared { drive.with_shared_well_known() } else { drive }
                }));
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

    /// What is answered to a question as it is shown: `A a.example`.
    fn dns_answer_to(&self, question: &str) -> DnsAnswer;
}

impl InternetExt for Internet {
    fn resolve_with(
        &self,
        name: &str,
        config: &Config,
        how: impl Fn(Drive<'_>) -> Drive<'_>,
    ) -> Run {
        how(self.drive(config).with_start(Now::EPOCH)).discover(name.parse().unwrap())
    }

    fn dns_answer_to(&self, question: &str) -> DnsAnswer {
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
        self.dns_answer(&question)
    }
}

/// What tests read off a run.
pub trait RunExt {
    fn target(&self) -> &DelegationTarget;
    fn error(&self) -> &ResolveError;

    /// In the order asked, but for what a look-up of a whole document asked.
    fn questions(&self) -> Vec<&str>;

    /// Where each fetch was to connect.
    fn connected(&self) -> Vec<String>;

    /// Every warning's kind.
    fn warnings(&self) -> Vec<&'static str> {
        self.target().warnings().map(Warning::kind).collect()
    }

    /// `host:port@address,address` for each endpoint.
    fn endpoints(&self) -> Vec<String> {
        endpoints(self.target())
    }
}

impl RunExt for Run {
    fn target(&self) -> &DelegationTarget {
        self.outcome.as_ref().unwrap_or_else(|error| panic!("{error}\n{}", self.report))
    }

    fn error(&self) -> &ResolveError {
        self.outcome.as_ref().expect_err("an error")
    }

    fn questions(&self) -> Vec<&str> {
        let own = self.transcript.iter().filter(|exchange| !exchange.within_look_up);
        own.map(|exchange| exchange.question.as_str()).collect()
    }

    fn connected(&self) -> Vec<String> {
        let addresses = self.transcript.iter().flat_map(|exchange| &exchange.addresses);
        addresses.map(ToString::to_string).collect()
    }
}

pub fn endpoints(target: &DelegationTarget) -> Vec<String> {
    let address = |endpoint: matrix_delegation::Endpoint<'_>| {
        let addresses: Vec<_> = endpoint.addresses().map(|it| it.ip().to_string()).collect();
        format!("{endpoint}@{}", addresses.join(","))
    };
    target.endpoints().map(address).collect()
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
