//! The dates of certificates.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

/// A date in a certificate, to the second, in UTC.
///
/// Certificates speak of the years up to 9999, those before 1970 too (RFC 5280 section 4.1.2.5). It
/// displays and serialises as RFC 3339 writes it.
///
/// ```
/// use matrix_delegation::certificate::CertificateTime;
///
/// let date: CertificateTime = "2030-01-31T12:00:00Z".parse()?;
/// assert_eq!(date.unix_seconds(), 1_896_091_200);
/// assert_eq!(CertificateTime::from_unix_seconds(0).to_string(), "1970-01-01T00:00:00Z");
/// # Ok::<(), matrix_delegation::certificate::NotADate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateTime(i64);

/// 0000-01-01T00:00:00Z.
const FIRST: i64 = -62_167_219_200;
/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

impl CertificateTime {
    /// Creates a time from seconds since 1970, without leap seconds. It is limited to the years 0 to
    /// 9999: outside of them, it is the nearest second within.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(if seconds < FIRST {
            FIRST
        } else if seconds > LAST {
            LAST
        } else {
            seconds
        })
    }

    /// Seconds since the beginning of 1970, leap seconds not counted.
    pub const fn unix_seconds(self) -> i64 {
        self.0
    }
}

impl From<UnixTime> for CertificateTime {
    fn from(time: UnixTime) -> Self {
        Self::from_unix_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for CertificateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY));
        let second = self.0.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A text is no date as [`CertificateTime`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a date such as 2030-01-31T12:00:00Z")]
pub struct NotADate;

impl FromStr for CertificateTime {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let number = |from: usize, to: usize| -> Result<i64, NotADate> {
            let digits = text.get(from..to).ok_or(NotADate)?;
            if !digits.bytes().all(|it| it.is_ascii_digit()) {
                return Err(NotADate);
            }
            digits.parse().map_err(|_| NotADate)
        };
        let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let clock = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        let time = Self::from_unix_seconds(days * DAY + clock);
        // What is out of range, or has something else between the numbers, is written otherwise.
        if time.to_string() == text { Ok(time) } else { Err(NotADate) }
    }
}

impl TryFrom<String> for CertificateTime {
    type Error = NotADate;

    fn try_from(text: String) -> Result<Self, NotADate> {
        text.parse()
    }
}

impl From<CertificateTime> for String {
    fn from(time: CertificateTime) -> Self {
        time.to_string()
    }
}

/// Of the 400 years after which the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;
/// From 0000-03-01, where eras begin here so that leap days end years, to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Returns the date this many days after 1970-01-01, as year, month and day.
fn civil(days: i64) -> (i64, i64, i64) {
    let (era, day) = ((days + EPOCH).div_euclid(ERA_DAYS), (days + EPOCH).rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

/// Returns the days from 1970-01-01 to this date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_and_read() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (LAST, "9999-12-31T23:59:59Z"),
            (FIRST, "0000-01-01T00:00:00Z"),
        ] {
            let time = CertificateTime::from_unix_seconds(seconds);
            assert_eq!((time.to_string().as_str(), time.unix_seconds()), (text, seconds));
            assert_eq!(text.parse(), Ok(time));
        }
        let clamped = [i64::MIN, i64::MAX].map(CertificateTime::from_unix_seconds);
        assert_eq!(clamped.map(CertificateTime::unix_seconds), [FIRST, LAST]);
    }

    #[test]
    fn every_day_comes_back() {
        for day in (FIRST / DAY..=LAST / DAY).step_by(7) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2030-01-31",
            "2030-01-31T12:00:00",
            "2030-02-30T12:00:00Z",
            "2030-01-31T24:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-00-01T00:00:00Z",
            "+030-01-31T12:00:00Z",
            "2030-01-31 12:00:00Z",
            "2030-01-31T12:00:00Zx",
            "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
        ] {
            assert_eq!(text.parse::<CertificateTime>(), Err(NotADate), "{text}");
        }
    }
}
