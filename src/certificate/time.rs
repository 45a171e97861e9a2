//! The dates of certificates.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::{ASN1DateTime, ASN1TimeZone};
use x509_parser::time::ASN1Time;

use crate::core::text::string_conversions;

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

impl CertificateTime {
    /// Creates a time from seconds since 1970, without leap seconds. It is limited to the years 0 to
    /// 9999: outside of them, it is the nearest second within.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        match seconds {
            ..FIRST => Self(FIRST),
            LAST.. => Self(LAST),
            _ => Self(seconds),
        }
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
        // It cannot fail: the years are limited to those that it can represent.
        let time = ASN1Time::from_timestamp(self.0).map_err(|_| fmt::Error)?.to_datetime();
        let (year, month, day) = time.to_calendar_date();
        let (month, (hour, minute, second)) = (u8::from(month), time.to_hms());
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
        let read = || {
            let number = |from: usize| text.get(from..from + 2)?.parse().ok();
            let date = ASN1DateTime::new(
                text.get(..4)?.parse().ok()?,
                number(5)?,
                number(8)?,
                number(11)?,
                number(14)?,
                number(17)?,
                None,
                ASN1TimeZone::Z,
            );
            Some(Self(date.to_datetime().ok()?.unix_timestamp()))
        };
        // What has a sign, or something else between the numbers, is written otherwise.
        read().filter(|time| time.to_string() == text).ok_or(NotADate)
    }
}

string_conversions!(CertificateTime);

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
    fn what_is_written_is_read_again() {
        for seconds in (FIRST..=LAST).step_by(97 * 86_399) {
            let time = CertificateTime::from_unix_seconds(seconds);
            assert_eq!(time.to_string().parse(), Ok(time));
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
