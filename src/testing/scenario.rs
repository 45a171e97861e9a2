//! Scenarios as data: an internet, a server name, and what must come out.

use std::fmt::{Debug, Display};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::drive::{Drive, Run};
use super::internet::Internet;
use super::json::Fields;
use super::question::{Malformed, any_question};
use super::{documentation_allowed, start};
use crate::core::cache::WellKnownEntry;
use crate::core::config::{AddressFamilies, Config, Speculation};
use crate::core::discovery::Outcome;
use crate::core::names::{Host, ServerName, ServerNameError};
use crate::core::step::Step;
use crate::core::target::DelegationTarget;
use crate::core::text::Causes;
use crate::core::time::Now;
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
    #[serde(default, skip_serializing_if = "is_default")]
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
#[serde(try_from = "Fields")]
pub struct Expected {
    /// A target or an error.
    #[serde(flatten, serialize_with = "either")]
    pub outcome: Result<ExpectedTarget, ExpectedError>,
    /// Questions that must not be asked when nothing is asked early, as they are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
}

/// The expected error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedError {
    /// The error's [`kind`](crate::ResolveError::kind).
    #[serde(rename = "error")]
    pub kind: String,
    /// The step in which the error occurs, if one was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
}

/// The expected target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedTarget {
    /// The step that decides.
    pub step: Step,
    /// The name that is delegated to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegated: Option<String>,
    /// Where to connect, in canonical order.
    pub endpoints: Vec<ExpectedEndpoint>,
    /// The value of `Host`, byte for byte.
    pub host_header: String,
    /// The name that the certificate must carry, in lower case; an IP address without brackets.
    pub tls_name: String,
    /// Whether the target is marked degraded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub degraded: bool,
    /// Whether the target is marked stale.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stale: bool,
    /// The kind of every warning, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The least and most whole seconds, rounded up, for which the target holds. `None`: it never
    /// expires.
    #[serde(rename = "lifetime_seconds", with = "range")]
    #[serde(default, skip_serializing_if = "is_default")]
    pub lifetime: Option<RangeInclusive<u64>>,
    /// The least and most whole seconds for which the well-known answer holds, good or bad. `None`:
    /// none is asked for.
    #[serde(rename = "well_known_lifetime_seconds", with = "range")]
    #[serde(default, skip_serializing_if = "is_default")]
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

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<Fields> for Expected {
    type Error = Malformed;

    fn try_from(Fields(mut fields): Fields) -> Result<Self, Malformed> {
        let malformed = |why: &dyn Display| Malformed::new("what is expected", why);
        let not_asked = fields.remove("not_asked").map_or(Ok(Vec::new()), serde_json::from_value);
        let not_asked: Vec<String> = not_asked.map_err(|error| malformed(&error))?;
        for question in &not_asked {
            any_question(question)?;
        }
        let is_error = fields.contains_key("error");
        let fields: Value = fields.into_iter().collect();
        let outcome = if is_error {
            serde_json::from_value(fields).map(Err)
        } else {
            serde_json::from_value(fields).map(Ok)
        };
        let outcome: Result<ExpectedTarget, _> = outcome.map_err(|error| malformed(&error))?;
        if let Ok(target) = &outcome {
            let lifetimes = [&target.lifetime, &target.well_known_lifetime];
            if lifetimes.into_iter().flatten().any(RangeInclusive::is_empty) {
                return Err(malformed(&"a lifetime that is at least longer than it is at most"));
            }
            if target.endpoints.is_empty() {
                return Err(malformed(&"no endpoint"));
            }
        }
        Ok(Self { outcome, not_asked })
    }
}

/// Writes the one or the other, without saying which.
fn either<S: Serializer>(
    outcome: &Result<ExpectedTarget, ExpectedError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match outcome {
        Ok(target) => target.serialize(serializer),
        Err(error) => error.serialize(serializer),
    }
}

/// A range as an array of its two ends.
mod range {
    use super::{Deserialize, Deserializer, RangeInclusive, Serialize, Serializer};

    type Range = Option<RangeInclusive<u64>>;

    pub(super) fn serialize<S: Serializer>(range: &Range, to: S) -> Result<S::Ok, S::Error> {
        range.clone().map(RangeInclusive::into_inner).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Range, D::Error> {
        let ends = Option::<(u64, u64)>::deserialize(from)?;
        Ok(ends.map(|(least, most)| least..=most))
    }
}

impl Settings {
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
            Err(error) => return self.outcome_differences(&Err(error.clone().into())),
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
        Now::new(monotonic.before(ago), wall.checked_sub(ago).unwrap_or(wall))
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
    fn note(&mut self, holds: bool, what: &str, expected: &dyn Debug, found: &dyn Debug) {
        if !holds {
            self.0.push(format!("{what}: {found:?} instead of {expected:?}"));
        }
    }

    fn compare<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, found: &T) {
        self.note(expected == found, what, expected, found);
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
            (expected, found) => expected.is_none() && found.is_none(),
        };
        self.note(holds, what, &expected, &found);
    }
}
