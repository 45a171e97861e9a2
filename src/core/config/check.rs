//! Checks that find, before anything runs, values that cannot work.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use thiserror::Error;

use super::duration::print;
use super::setting::Setting;

/// A value of a configuration that cannot work, or that contradicts another.
///
/// Displays as `limits.srv_records: ...`: the field, what is wrong, and what to set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigProblem {
    path: String,
    message: String,
}

impl ConfigProblem {
    /// Returns the path of the field from the checked structure: `limits.srv_records`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is wrong with the value, and what to set instead.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All problems of a configuration; there is at least one.
///
/// Displays one problem a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(Vec<ConfigProblem>);

impl ConfigError {
    /// Returns the problems, in the order of the fields.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.0
    }
}

/// Collects the problems of a configuration and of the structures in it.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// The path of the structure that is being checked, with a final dot.
    prefix: String,
    found: Vec<ConfigProblem>,
}

impl Problems {
    /// Returns an error if anything is found.
    pub(crate) fn of(checked: &impl Setting) -> Result<(), ConfigError> {
        let mut problems = Self::default();
        checked.find_problems(&mut problems);
        if problems.found.is_empty() { Ok(()) } else { Err(ConfigError(problems.found)) }
    }

    /// Checks a field by itself.
    pub(crate) fn check_field(&mut self, field: &str, value: &impl Setting) {
        let outside = self.prefix.len();
        self.prefix += field;
        self.prefix.push('.');
        value.find_problems(self);
        self.prefix.truncate(outside);
    }

    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        let path = format!("{}{field}", self.prefix);
        self.found.push(ConfigProblem { path, message: message.into() });
    }

    /// Checks that a number lies in `range`; `because` says what a smaller one would cause.
    pub(crate) fn within(
        &mut self,
        field: &str,
        value: impl Into<usize>,
        range: RangeInclusive<usize>,
        because: &str,
    ) {
        let (value, (least, most)) = (value.into(), range.into_inner());
        if value > most {
            self.add(field, format!("{value} is too much; set {least} to {most}"));
        } else if value < least && most == usize::MAX {
            self.add(field, format!("{value}: {because}; set {least} or more"));
        } else if value < least {
            self.add(field, format!("{value}: {because}; set {least} to {most}"));
        }
    }

    /// Checks that a number is not too small; `because` says what such a one would cause.
    pub(crate) fn at_least(
        &mut self,
        field: &str,
        value: impl Into<usize>,
        least: usize,
        because: &str,
    ) {
        self.within(field, value, least..=usize::MAX, because);
    }

    /// Checks that a number is a percentage.
    pub(crate) fn percent(&mut self, field: &str, value: u8) {
        self.within(field, value, 0..=100, "");
    }

    /// Checks that a time is not zero; `because` says what zero would cause.
    pub(crate) fn not_zero(&mut self, field: &str, value: Duration, because: &str) {
        if value.is_zero() {
            self.add(field, format!("0s: {because}; set more"));
        }
    }

    /// Checks that a time is not too short; `because` says what such a one would cause.
    #[cfg(feature = "hickory")]
    pub(crate) fn no_shorter(
        &mut self,
        field: &str,
        value: Duration,
        least: Duration,
        because: &str,
    ) {
        if value < least {
            self.add(field, format!("{}: {because}; set {} or more", print(value), print(least)));
        }
    }

    /// Checks that a time is not too long.
    #[cfg(any(feature = "hickory", feature = "redis"))]
    pub(crate) fn no_longer(&mut self, field: &str, value: Duration, most: Duration) {
        if value > most {
            self.add(field, format!("{} is too much; set {} or less", print(value), print(most)));
        }
    }

    /// Checks that the first time is at most the second.
    pub(crate) fn ordered(
        &mut self,
        (least, at_least): (&str, Duration),
        (most, at_most): (&str, Duration),
    ) {
        if at_least > at_most {
            let (at_least, at_most) = (print(at_least), print(at_most));
            self.add(least, format!("{at_least} is more than {most}, which is {at_most}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::core::address_policy::AddressPolicy;
    use crate::core::config::{Config, Limits};

    fn problems(config: &Config) -> Vec<String> {
        match config.check() {
            Ok(()) => Vec::new(),
            Err(error) => error.problems().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_presets_have_no_problem() {
        for preset in [Config::default(), Config::strict(), Config::synapse()] {
            assert_eq!(preset.check(), Ok(()));
        }
    }

    #[test]
    fn each_problem_names_its_field_and_what_to_do() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 20] = [
            (
                |it| it.limits.srv_records = 0,
                "limits.srv_records: 0: no SRV record could be used; set 1 to 64",
            ),
            (|it| it.limits.srv_records = 65, "limits.srv_records: 65 is too much; set 1 to 64"),
            (
                |it| it.limits.addresses_per_family = 0,
                "limits.addresses_per_family: 0: no address could be used; set 1 or more",
            ),
            (
                |it| it.limits.head_bytes = 0,
                "limits.head_bytes: 0: every well-known response would be too large; set 1 or more",
            ),
            (
                |it| it.limits.body_bytes = 0,
                "limits.body_bytes: 0: every well-known response would be too large; set 1 or more",
            ),
            (
                |it| it.time.dns = Duration::ZERO,
                "time.dns: 0s: every DNS question would time out; set more",
            ),
            (
                |it| it.time.phases.connect = Duration::ZERO,
                "time.phases.connect: 0s: no connection could be made; set more",
            ),
            (
                |it| it.time.phases.tls = Duration::ZERO,
                "time.phases.tls: 0s: no TLS handshake could end; set more",
            ),
            (
                |it| it.time.exchange = Duration::ZERO,
                "time.exchange: 0s: every well-known fetch would time out; set more",
            ),
            (
                |it| it.time.well_known = Duration::ZERO,
                "time.well_known: 0s: every well-known fetch would time out; set more",
            ),
            (
                |it| it.time.discovery = Duration::ZERO,
                "time.discovery: 0s: every discovery would time out; set more",
            ),
            (
                |it| it.well_known.least = it.well_known.most * 2,
                "well_known.least: 4d is more than most, which is 2d",
            ),
            (
                |it| it.well_known.jitter_percent = 101,
                "well_known.jitter_percent: 101 is too much; set 0 to 100",
            ),
            (
                |it| it.well_known.temporary_most = Duration::ZERO,
                "well_known.temporary: 2m is more than temporary_most, which is 0s",
            ),
            (
                |it| it.well_known.retry_after_most = Duration::from_millis(1),
                "well_known.retry_after_least: 1m is more than retry_after_most, which is 1ms",
            ),
            (
                |it| it.well_known.remembered = Duration::ZERO,
                "well_known.stale: 2d is more than remembered, which is 0s",
            ),
            (
                |it| it.dns.most = Duration::from_secs(4),
                "dns.least: 5s is more than most, which is 4s",
            ),
            (
                |it| it.dns.negative_most = Duration::from_secs(4),
                "dns.negative_least: 5s is more than negative_most, which is 4s",
            ),
            (
                |it| it.dns.failed_most = Duration::from_secs(4),
                "dns.failed: 30s is more than failed_most, which is 4s",
            ),
            (
                |it| it.refresh.ahead_percent = 255,
                "refresh.ahead_percent: 255 is too much; set 0 to 100",
            ),
        ];
        for (change, problem) in cases {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(problems(&config), [problem]);
        }
    }

    #[test]
    fn blocked_ranges_that_are_judged_as_others_are_refused() {
        for written in ["::ffff:0:0/96", "64:ff9b::/96"] {
            let range: IpNet = written.parse().unwrap();
            let policy = AddressPolicy::default().allow(range).block(range);
            let expected = format!(
                "address_policy.block: {range} blocks no address: what is in it is judged as IPv4; \
                 name the IPv4 range"
            );
            assert_eq!(problems(&Config::default().with_address_policy(policy)), [expected]);
        }
        let within = "::ffff:10.0.0.0/104".parse().unwrap();
        let policy = AddressPolicy::default().allow(within).block("::/0".parse().unwrap());
        assert_eq!(problems(&Config::default().with_address_policy(policy)), [""; 0]);
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let mut config = Config::default();
        (config.limits.srv_records, config.refresh.ahead_percent) = (0, 101);
        config.time.dns = Duration::ZERO;
        let error = config.check().unwrap_err();
        let paths: Vec<_> = error.problems().iter().map(ConfigProblem::path).collect();
        assert_eq!(paths, ["limits.srv_records", "time.dns", "refresh.ahead_percent"]);
        assert_eq!(error.to_string().lines().count(), 3);
    }

    #[test]
    fn limits_may_be_equal_and_what_is_turned_off_is_no_problem() {
        let mut config = Config::default();
        config.well_known.least = config.well_known.most;
        config.well_known.jitter_percent = 100;
        config.dns.least = config.dns.most;
        config.dns.stale = Duration::ZERO;
        config.refresh.ahead_percent = 0;
        config.limits = Limits { srv_records: 64, redirects: 0, retries: 0, ..Limits::default() };
        config.time.phases.attempt_delay = Duration::ZERO;
        config.time.family_grace = Duration::ZERO;
        assert_eq!(config.check(), Ok(()));
    }
}
