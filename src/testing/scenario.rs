//! Scenarios as data: an internet, a server name, and what must come out.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::drive::{Drive, Run};
use super::internet::Internet;
use super::question::{Malformed, any_question};
use super::{documentation_allowed, start};
use crate::core::cache::WellKnownEntry;
use crate::core::config::{AddressFamilies, Config, Speculation};
use crate::core::discovery::Outcome;
use crate::core::names::{Host, ServerName, ServerNameError};
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::text::Causes;
use crate::core::time::{Monotonic, Now};
use crate::core::warning::Warning;

/// A file of scenarios.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenarios {
    /// The scenarios, in the order in which they are run.
    pub scenarios: Vec<Scenario>,
}

/// An internet, a server name, and the result that must follow.
///
/// ```
/// use matrix_delegation::testing::Scenario;
///
/// let scenario: Scenario = serde_json::from_str(r#"{
///     "id": "default-port",
///     "title": "nothing but an address leads to port 8448",
///     "clauses": ["6"],
///     "server_name": "a.example",
///     "internet": {"dns": {"A a.example": {"addresses": ["192.0.2.1"]}}},
///     "expect": {
///         "step": "6",
///         "endpoints": [{"host": "a.example", "port": 8448, "addresses": ["192.0.2.1:8448"]}],
///         "host_header": "a.example",
///         "tls_name": "a.example",
///         "lifetime_seconds": [108, 120],
///         "well_known_lifetime_seconds": [108, 120]
///     }
/// }"#)?;
/// assert_eq!(scenario.differences(&scenario.run()), [""; 0]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The identifier, unique among all scenarios.
    pub id: String,
    /// What the scenario shows, in plain words.
    pub title: String,
    /// The clauses of the specification, or of this crate's defaults, that it tests.
    pub clauses: Vec<String>,
    /// The configuration to resolve it under.
    #[serde(default, skip_serializing_if = "Settings::is_default")]
    pub config: Settings,
    /// The server name, which need not be valid.
    pub server_name: String,
    /// What is remembered from an earlier resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    /// The answer to each question.
    pub internet: Internet,
    /// The result that must follow.
    pub expect: Expected,
}

/// The configuration that a scenario is resolved under. The ranges for documentation are allowed in
/// every scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The preset that decides where the specification leaves a choice.
    pub preset: Preset,
    /// Which addresses are looked up.
    #[serde(skip_serializing_if = "is_default")]
    pub addresses: AddressFamilies,
    /// Further ranges that the address policy allows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// Further ranges that the address policy blocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block: Vec<IpNet>,
}

/// The presets of [`Config`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// [`Config::default`].
    #[default]
    Default,
    /// [`Config::strict`].
    Strict,
    /// [`Config::synapse`].
    Synapse,
}

/// An earlier resolution of the same name. Its well-known answer is remembered, its DNS answers are
/// not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// The answer to each question then.
    pub internet: Internet,
    /// How long ago it was.
    pub seconds_ago: u64,
}

/// The expected result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Flat", into = "Flat")]
pub struct Expected {
    /// A target or an error.
    pub outcome: Result<ExpectedTarget, ExpectedError>,
    /// Questions that must not be asked when nothing is asked early, as they are shown.
    pub not_asked: Vec<String>,
}

/// The expected error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedError {
    /// The error's [`kind`](crate::ResolveError::kind).
    pub kind: String,
    /// The step in which the error occurs, if one was reached.
    pub step: Option<Step>,
}

/// The expected target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTarget {
    /// The step that decides.
    pub step: Step,
    /// The name that is delegated to.
    pub delegated: Option<String>,
    /// Where to connect, in canonical order.
    pub endpoints: Vec<ExpectedEndpoint>,
    /// The value of `Host`, byte for byte.
    pub host_header: String,
    /// The name that the certificate must carry, in lower case; an IP address without brackets.
    pub tls_name: String,
    /// Whether the target is marked degraded.
    pub degraded: bool,
    /// Whether the target is marked stale.
    pub stale: bool,
    /// The kind of every warning, in order.
    pub warnings: Vec<String>,
    /// The least and most whole seconds, rounded up, for which the target holds. `None`: it never
    /// expires.
    pub lifetime: Option<RangeInclusive<u64>>,
    /// The least and most whole seconds for which the well-known answer holds, good or bad. `None`:
    /// none is asked for.
    pub well_known_lifetime: Option<RangeInclusive<u64>>,
}

/// An expected endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedEndpoint {
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The SRV priority.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: u16,
    /// The SRV weight.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: u16,
    /// The addresses with the port, in canonical order.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
}

/// [`Expected`] as JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Flat {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegated: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endpoints: Vec<ExpectedEndpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_name: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    degraded: bool,
    #[serde(skip_serializing_if = "is_default")]
    stale: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_seconds: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    well_known_lifetime_seconds: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_asked: Vec<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<Flat> for Expected {
    type Error = Malformed;

    fn try_from(flat: Flat) -> Result<Self, Malformed> {
        let malformed = |why: &str| Malformed::new("what is expected", why);
        let Flat { error, step, delegated, endpoints, host_header, tls_name, .. } = flat;
        for question in &flat.not_asked {
            any_question(question)?;
        }
        let ranges = [flat.lifetime_seconds, flat.well_known_lifetime_seconds];
        if ranges.into_iter().flatten().any(|(least, most)| least > most) {
            return Err(malformed("a lifetime that is at least longer than it is at most"));
        }
        let range = |(least, most): (u64, u64)| least..=most;
        let outcome = match (error, step, host_header, tls_name) {
            (None, Some(step), Some(host_header), Some(tls_name)) if !endpoints.is_empty() => {
                Ok(ExpectedTarget {
                    step,
                    delegated,
                    endpoints,
                    host_header,
                    tls_name,
                    degraded: flat.degraded,
                    stale: flat.stale,
                    warnings: flat.warnings,
                    lifetime: flat.lifetime_seconds.map(range),
                    well_known_lifetime: flat.well_known_lifetime_seconds.map(range),
                })
            }
            (Some(kind), step, None, None) => {
                let more = flat.degraded || flat.stale || !flat.warnings.is_empty();
                let lives = flat.lifetime_seconds.or(flat.well_known_lifetime_seconds).is_some();
                if more || lives || delegated.is_some() || !endpoints.is_empty() {
                    return Err(malformed("a target beside an error"));
                }
                Err(ExpectedError { kind, step })
            }
            (Some(_), ..) => return Err(malformed("a target beside an error")),
            (None, ..) => {
                let why = "neither an error nor step, endpoints, host_header and tls_name";
                return Err(malformed(why));
            }
        };
        Ok(Self { outcome, not_asked: flat.not_asked })
    }
}

impl From<Expected> for Flat {
    fn from(expected: Expected) -> Self {
        let pair = |range: RangeInclusive<u64>| range.into_inner();
        let flat = match expected.outcome {
            Err(error) => Self { error: Some(error.kind), step: error.step, ..Self::default() },
            Ok(target) => Self {
                error: None,
                step: Some(target.step),
                delegated: target.delegated,
                endpoints: target.endpoints,
                host_header: Some(target.host_header),
                tls_name: Some(target.tls_name),
                degraded: target.degraded,
                stale: target.stale,
                warnings: target.warnings,
                lifetime_seconds: target.lifetime.map(pair),
                well_known_lifetime_seconds: target.well_known_lifetime.map(pair),
                not_asked: Vec::new(),
            },
        };
        Self { not_asked: expected.not_asked, ..flat }
    }
}

impl Settings {
    fn is_default(&self) -> bool {
        is_default(self)
    }

    /// Returns the configuration.
    pub fn config(&self) -> Config {
        let config = match self.preset {
            Preset::Default => Config::default(),
            Preset::Strict => Config::strict(),
            Preset::Synapse => Config::synapse(),
        };
        let config = documentation_allowed(config.with_addresses(self.addresses));
        let policy = config.address_policy.clone();
        let policy = self.allow.iter().fold(policy, |policy, range| policy.allow(*range));
        let policy = self.block.iter().fold(policy, |policy, range| policy.block(*range));
        config.with_address_policy(policy)
    }
}

impl Scenario {
    /// Resolves the name with answers that arrive when they are due and nothing asked early, as
    /// [`Expected::not_asked`] assumes.
    pub fn run(&self) -> Result<Run, ServerNameError> {
        let config = self.config.config().with_speculation(Speculation::Off);
        self.run_with(&config, |drive| drive)
    }

    /// Resolves the name under another configuration, with the drive that `how` returns.
    pub fn run_with(
        &self,
        config: &Config,
        how: impl Fn(Drive<'_>) -> Drive<'_>,
    ) -> Result<Run, ServerNameError> {
        let name = ServerName::parse(&self.server_name)?;
        let mut drive = how(self.internet.drive(config));
        if let Some(earlier) = self.remembered(config, &name) {
            drive = drive.with_earlier_well_known(earlier);
        }
        Ok(drive.discover(name))
    }

    /// Returns what is remembered of the well-known, if anything.
    fn remembered(&self, config: &Config, name: &ServerName) -> Option<WellKnownEntry> {
        let earlier = self.earlier.as_ref()?;
        let (Ok(Host::Dns(host)), None) = (name.to_host(), name.port()) else { return None };
        Some(earlier.internet.drive(config).with_start(earlier.start()).look_up(host).0)
    }

    /// Returns how a run differs from what is expected, one line each.
    pub fn differences(&self, run: &Result<Run, ServerNameError>) -> Vec<String> {
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                return self.outcome_differences(&Err(error.clone().into()));
            }
        };
        let mut wrong = self.outcome_differences(&run.outcome);
        for question in &self.expect.not_asked {
            if run.asked().any(|asked| asked == question) {
                wrong.push(format!("{question} was asked"));
            }
        }
        wrong
    }

    /// Returns how an outcome differs from what is expected, one line each.
    pub fn outcome_differences(&self, outcome: &Outcome) -> Vec<String> {
        let mut wrong = Wrong::default();
        match (&self.expect.outcome, outcome) {
            (Ok(expected), Ok(target)) => expected.compare(target, &mut wrong),
            (Err(expected), Err(error)) => {
                wrong.compare("error", &expected.kind.as_str(), &error.kind());
                wrong.compare("step", &expected.step, &error.step());
            }
            (Ok(_), Err(error)) => wrong.0.push(format!("it fails: {}", Causes(error))),
            (Err(expected), Ok(target)) => {
                wrong.0.push(format!("instead of {} it leads somewhere: {target}", expected.kind));
            }
        }
        wrong.0
    }
}

impl Earlier {
    /// Returns the time of the resolution.
    pub fn start(&self) -> Now {
        let ago = Duration::from_secs(self.seconds_ago);
        let Now { monotonic, wall } = start();
        let monotonic = monotonic.since_origin().saturating_sub(ago);
        let wall = wall.checked_sub(ago).unwrap_or(wall);
        Now::new(Monotonic::from_origin(monotonic), wall)
    }
}

impl ExpectedTarget {
    fn compare(&self, target: &DelegationTarget, wrong: &mut Wrong) {
        wrong.compare("step", &self.step, &target.step());
        let delegated = target.delegated().map(ServerName::as_str);
        wrong.compare("delegated", &self.delegated.as_deref(), &delegated);
        let endpoints: Vec<_> = target
            .endpoints()
            .map(|endpoint| ExpectedEndpoint {
                host: endpoint.host().to_string().trim_matches(['[', ']']).to_owned(),
                port: endpoint.port(),
                priority: endpoint.priority(),
                weight: endpoint.weight(),
                addresses: endpoint.addresses().collect(),
            })
            .collect();
        wrong.compare("endpoints", &self.endpoints, &endpoints);
        wrong.compare("host_header", &self.host_header.as_str(), &target.authority());
        wrong.compare("tls_name", &self.tls_name.as_str(), &&*target.tls_name().to_str());
        wrong.compare("degraded", &self.degraded, &target.degraded().is_some());
        wrong.compare("stale", &self.stale, &target.is_stale());
        let warnings: Vec<&str> = target.warnings().map(Warning::kind).collect();
        wrong.compare("warnings", &self.warnings.iter().map(String::as_str).collect(), &warnings);
        let lifetimes = target.lifetimes();
        wrong.bound("lifetime_seconds", self.lifetime.as_ref(), lifetimes.least());
        let expected = self.well_known_lifetime.as_ref();
        wrong.bound("well_known_lifetime_seconds", expected, lifetimes.well_known);
    }
}

/// The differences that were found.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn compare<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, found: &T) {
        if expected != found {
            self.0.push(format!("{what}: {found:?} instead of {expected:?}"));
        }
    }

    fn bound(
        &mut self,
        what: &str,
        expected: Option<&RangeInclusive<u64>>,
        found: Option<Duration>,
    ) {
        // The time until the decision has passed already.
        let found = found.map(|it| it.saturating_add(Duration::from_nanos(999_999_999)).as_secs());
        let holds = match (expected, found) {
            (Some(expected), Some(found)) => expected.contains(&found),
            (None, None) => true,
            _ => false,
        };
        if !holds {
            self.0.push(format!("{what}: {found:?} instead of {expected:?}"));
        }
    }
}
