//! What came of a scenario, as something that a bug can change.

use matrix_delegation::names::ServerNameError;
use matrix_delegation::testing::{Expected, ExpectedEndpoint, Run, Scenario};
use matrix_delegation::{DelegationTarget, Warning};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// A target, or an error's kind and step.
    pub outcome: Result<Target, (String, Option<String>)>,
    pub asked: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub step: String,
    pub delegated: Option<String>,
    pub endpoints: Vec<ExpectedEndpoint>,
    pub host: String,
    pub tls: String,
    pub degraded: bool,
    pub stale: bool,
    pub warnings: Vec<String>,
    pub lifetime: Option<u64>,
    pub well_known: Option<u64>,
}

impl Observed {
    pub fn of(run: Result<Run, ServerNameError>) -> Self {
        match run {
            Err(_) => {
                let outcome = Err(("invalid_server_name".to_owned(), None));
                Self { outcome, asked: Vec::new() }
            }
            Ok(run) => Self {
                asked: run.asked().map(str::to_owned).collect(),
                outcome: match &run.outcome {
                    Ok(target) => Ok(Target::of(target)),
                    Err(error) => {
                        let step = error.step().map(|step| step.to_string());
                        Err((error.kind().to_owned(), step))
                    }
                },
            },
        }
    }

    /// Whether it is what the scenario expects.
    pub fn is_as_expected(&self, scenario: &Scenario) -> bool {
        let Expected { outcome, not_asked } = &scenario.expect;
        let same = match (outcome, &self.outcome) {
            (Err(expected), Err((kind, step))) => {
                expected.kind == *kind && expected.step.map(|step| step.to_string()) == *step
            }
            (Ok(expected), Ok(target)) => {
                let within =
                    |range: &Option<std::ops::RangeInclusive<u64>>, found: Option<u64>| match (
                        range, found,
                    ) {
                        (Some(range), Some(found)) => range.contains(&found),
                        (None, None) => true,
                        _ => false,
                    };
                expected.step.to_string() == target.step
                    && expected.delegated == target.delegated
                    && expected.endpoints == target.endpoints
                    && expected.host_header == target.host
                    && expected.tls_name == target.tls
                    && expected.degraded == target.degraded
                    && expected.stale == target.stale
                    && expected.warnings == target.warnings
                    && within(&expected.lifetime, target.lifetime)
                    && within(&expected.well_known_lifetime, target.well_known)
            }
            _ => false,
        };
        same && !not_asked.iter().any(|question| self.asked.contains(question))
    }
}

impl Target {
    fn of(target: &DelegationTarget) -> Self {
        let whole = |it: std::time::Duration| it.as_nanos().div_ceil(1_000_000_000);
        let whole = |it: std::time::Duration| u64::try_from(whole(it)).unwrap();
        let lifetimes = target.lifetimes();
        Self {
            step: target.step().to_string(),
            delegated: target.delegated().map(|name| name.as_str().to_owned()),
            endpoints: target
                .endpoints()
                .map(|endpoint| ExpectedEndpoint {
                    host: endpoint.host().to_string().trim_matches(['[', ']']).to_owned(),
                    port: endpoint.port(),
                    priority: endpoint.priority(),
                    weight: endpoint.weight(),
                    addresses: endpoint.addresses().collect(),
                })
                .collect(),
            host: target.authority().to_string(),
            tls: target.tls_name().to_str().into_owned(),
            degraded: target.degraded().is_some(),
            stale: target.is_stale(),
            warnings: target.warnings().map(Warning::kind).map(str::to_owned).collect(),
            lifetime: lifetimes.least().map(whole),
            well_known: lifetimes.well_known.map(whole),
        }
    }

    /// Changes the port of every endpoint.
    pub fn use_port(&mut self, port: u16) {
        for endpoint in &mut self.endpoints {
            endpoint.port = port;
            endpoint.addresses.iter_mut().for_each(|address| address.set_port(port));
        }
    }

    pub fn warn(&mut self, kind: &str) {
        self.warnings.push(kind.to_owned());
    }
}
