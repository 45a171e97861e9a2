//! Durations as operators write them: `"1h30m"`, `"250ms"`, or plain seconds.
//!
//! `humantime` and `jiff` do this, too, but either would be a dependency of everyone who uses the
//! core. The units are a subset of theirs. Months and years have no fixed length and are left out.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Each unit in nanoseconds, the longest first.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const SECOND: u128 = 1_000_000_000;

/// Reads a duration: numbers with units, the longest unit first and each at most once, with or
/// without spaces between them; or a number alone, in seconds. The last number may have a fraction.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut units = &UNITS[..];
    let mut nanos = 0_u128;
    loop {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(unit_at)?;
        let next = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(next)?;
        let is_alone = unit.is_empty() && units.len() == UNITS.len();
        let unit = if is_alone { "s" } else { unit.trim() };
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let (_, length) = units.get(at)?;
        nanos = nanos.checked_add(of(number, *length)?)?;
        if after.is_empty() {
            let seconds = u64::try_from(nanos / SECOND).ok()?;
            return Some(Duration::new(seconds, u32::try_from(nanos % SECOND).ok()?));
        }
        if number.contains('.') {
            return None;
        }
        units = units.get(at + 1..)?;
        rest = after;
    }
}

/// Returns this number of a unit in nanoseconds, rounded down.
fn of(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = whole.parse::<u64>().ok()?;
    let fraction = u128::from(fraction.parse::<u64>().ok()?);
    (u128::from(whole) * unit).checked_add(fraction * unit / scale)
}

/// Writes a duration so that [`parse`] returns the same one.
pub(crate) fn print(duration: Duration) -> String {
    let mut left = duration.as_nanos();
    let count_of = |(name, length)| {
        let count = left / length;
        left %= length;
        (count > 0).then(|| format!("{count}{name}"))
    };
    let text: String = UNITS.into_iter().filter_map(count_of).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

const EXPECTED: &str =
    "expected a duration such as \"5s\", \"1h30m\" or \"250ms\", or a number of seconds";

/// Reads a duration as text or as a number of seconds.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Whole(u64),
        Fraction(f64),
        Text(String),
    }

    let (read, written) =
        match Written::deserialize(deserializer).map_err(|_| D::Error::custom(EXPECTED))? {
            Written::Whole(seconds) => return Ok(Duration::from_secs(seconds)),
            Written::Fraction(seconds) => {
                (Duration::try_from_secs_f64(seconds).ok(), seconds.to_string())
            }
            Written::Text(text) => (parse(&text), format!("{text:?}")),
        };
    read.ok_or_else(|| D::Error::custom(format!("{written}: {EXPECTED}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Option<Duration> {
        deserialize(value).ok()
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (written, nanos) in [
            (json!("5s"), 5 * SECOND),
            (json!("2m"), 120 * SECOND),
            (json!("1h30m"), 5_400 * SECOND),
            (json!("1h 30m"), 5_400 * SECOND),
            (json!(" 1d "), 86_400 * SECOND),
            (json!("250ms"), SECOND / 4),
            (json!("1s500ms"), SECOND * 3 / 2),
            (json!("1.8s"), SECOND * 9 / 5),
            (json!("1m0.5s"), SECOND * 121 / 2),
            (json!("7us"), 7_000),
            (json!("7 ns"), 7),
            (json!("0s"), 0),
            (json!("30"), 30 * SECOND),
            (json!("0.25"), SECOND / 4),
            (json!(30), 30 * SECOND),
            (json!(0.25), SECOND / 4),
            (json!("18446744073709551615s999999999ns"), Duration::MAX.as_nanos()),
        ] {
            assert_eq!(read(&written).map(|it| it.as_nanos()), Some(nanos), "{written}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for written in [
            "",
            " ",
            "s",
            "5x",
            "5S",
            "-5s",
            "+5s",
            "5s5s",
            "5s1h",
            "1h5",
            "5 5s",
            ".5s",
            "5.s",
            "1..5s",
            "1.5h30m",
            "1e3",
            "inf",
            "5\u{b5}s",
            "1mo",
            "18446744073709551616s",
            "20000000000000000000",
            "18446744073709551615s1000ms",
            "\u{665}s",
            "5s\0",
        ] {
            assert_eq!(read(&json!(written)), None, "{written:?}");
        }
        for written in
            [json!(-1), json!(-0.5), json!(1e300), json!(null), json!({"secs": 1, "nanos": 0})]
        {
            assert_eq!(read(&written), None, "{written}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (SECOND * 9 / 5, "1s800ms"),
            (90 * SECOND, "1m30s"),
            (2 * 86_400 * SECOND, "2d"),
            (50 * 3_600 * SECOND, "2d2h"),
            (Duration::MAX.as_nanos(), "213503982334601d7h15s999ms999us999ns"),
        ] {
            assert_eq!(parse(text).map(|it| it.as_nanos()), Some(nanos), "{text}");
            assert_eq!(parse(text).map(print).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_field_says_what_it_expects() {
        #[derive(Debug, Deserialize)]
        struct Section {
            #[serde(with = "super")]
            _wait: Duration,
        }
        let error = serde_json::from_value::<Section>(json!({"_wait": "5 minutes"})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"5 minutes\": expected a duration such as \"5s\", \"1h30m\" or \"250ms\", or a number of \
             seconds"
        );
    }
}
