//! Scenarios as data: an internet, a server name, and what must come out.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::drive::{Drive, Run};
use super::internet::{self, Internet, Malformed};
use super::{documentation_allowed, start};
use crate::core::cache::well_known_answer::WellKnownAnswer;
use crate::core::config::{AddressFamilies, Config, Speculation};
use crate::core::discovery::Outcome;
use crate::core::names::host::Host;
use crate::core::names::server_name::{ServerName, ServerNameError};
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::text::Causes;
use crate::core::time::{Monotonic, Now};
use crate::core::warning::Warning;

/// A file of scenarios.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenarios {
    /// They, in the order in which they are run.
    pub scenarios: Vec<Scenario>,
}

/// An internet, a server name, and what must come out.
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
    /// Tells it from all others.
    pub id: String,
    /// In plain words.
    pub title: String,
    /// The clauses of the specification, or of this crate's defaults, that it tests.
    pub clauses: Vec<String>,
    /// How it is resolved.
    #[serde(default, skip_serializing_if = "Settings::is_default")]
    pub config: Settings,
    /// The server name, which need not be valid.
    pub server_name: String,
    /// What is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    /// What is answered.
    pub internet: Internet,
    /// What must come out.
    pub expect: Expected,
}

/// The choices under which a scenario is resolved. The ranges for documentation are let through in
/// every scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whose choices are followed where the specification leaves one.
    pub preset: Preset,
    /// Which addresses are looked up.
    #[serde(skip_serializing_if = "is_default")]
    pub addresses: AddressFamilies,
    /// What else the address policy lets through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// What else it does not.
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

/// The same name was resolved before, and its well-known answer is remembered; of DNS nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// What was answered then.
    pub internet: Internet,
    /// How long before.
    pub seconds_ago: u64,
}

/// What must come out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Flat", into = "Flat")]
pub struct Expected {
    /// A target or an error.
    pub outcome: Result<ExpectedTarget, ExpectedError>,
    /// What is never asked when nothing is asked early, as questions are shown.
    pub not_asked: Vec<String>,
}

/// An error that must come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedError {
    /// Its [`kind`](ResolveError::kind).
    pub kind: String,
    /// The step in which it comes up, if one was reached.
    pub step: Option<Step>,
}

/// A target that must come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTarget {
    /// The step that decides.
    pub step: Step,
    /// The name that is delegated to.
    pub delegated: Option<String>,
    /// Where to connect, in canonical order.
    pub endpoints: Vec<ExpectedEndpoint>,
    /// Byte for byte what goes into `Host`.
    pub host_header: String,
    /// The name that the certificate must carry, in lower case; an IP address without brackets.
    pub tls_name: String,
    /// Whether it is marked degraded.
    pub degraded: bool,
    /// Whether it is marked stale.
    pub stale: bool,
    /// The kind of every warning, in their order.
    pub warnings: Vec<String>,
    /// For how many whole seconds, rounded up, the whole of it may hold; `None` where nothing ends.
    pub lifetime: Option<RangeInclusive<u64>>,
    /// The same of the well-known answer, good or bad; `None` where none is asked for.
    pub well_known_lifetime: Option<RangeInclusive<u64>>,
}

/// A place to connect to.
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
    /// With the port, in canonical order.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
}

/// [`Expected`] as it is written.
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
            internet::any_question(question)?;
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

    /// The configuration that these are.
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
    /// Resolves it with the answers coming when they are due and nothing asked early, which is what
    /// [`Expected::not_asked`] speaks of.
    pub fn run(&self) -> Result<Run, ServerNameError> {
        let config = self.config.config().with_speculation(Speculation::Off);
        self.run_with(&config, |drive| drive)
    }

    /// Resolves it under another configuration and in the way that `how` says.
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

    /// What is remembered of the well-known, if anything.
    fn remembered(&self, config: &Config, name: &ServerName) -> Option<WellKnownAnswer> {
        let earlier = self.earlier.as_ref()?;
        let (Ok(Host::Dns(host)), None) = (name.to_host(), name.port()) else { return None };
        Some(earlier.internet.drive(config).with_start(earlier.start()).look_up(host).0)
    }

    /// What is wrong with a run, a line each.
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

    /// What is wrong with an outcome, a line each.
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
    /// When it was resolved.
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
            .iter()
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
        let warnings: Vec<&str> = target.warnings().iter().map(Warning::kind).collect();
        wrong.compare("warnings", &self.warnings.iter().map(String::as_str).collect(), &warnings);
        let lifetimes = target.lifetimes();
        wrong.bound("lifetime_seconds", self.lifetime.as_ref(), lifetimes.least());
        let expected = self.well_known_lifetime.as_ref();
        wrong.bound("well_known_lifetime_seconds", expected, lifetimes.well_known);
    }
}

/// What was found to be wrong.
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
