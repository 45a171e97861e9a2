//! Time as an argument. The core owns no clock: whoever drives it says what time it is.

use std::fmt;
use std::ops::Add;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A point on the caller's monotonic clock: the time since an origin that the caller chose and
/// keeps (the start of the process, the start of a test).
///
/// Points of different origins must not be compared. `std::time::Instant` is not used because it
/// cannot be made without reading the machine's clock.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::Monotonic;
///
/// let start = Monotonic::ZERO;
/// let later = start + Duration::from_secs(5);
/// assert_eq!(later.since(start), Duration::from_secs(5));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Duration", into = "Duration")]
pub struct Monotonic(
    /// Nanoseconds since [`BEFORE_ORIGIN`] before the origin: what an earlier process fetched lies
    /// there. Eight bytes, because every remembered answer has several; they last for 584 years.
    u64,
);

/// How far before its origin the clock reaches, in nanoseconds.
const BEFORE_ORIGIN: u64 = 100 * 24 * 3600 * 1_000_000_000;

/// The time in nanoseconds, at most what a clock can count.
const fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as u64)
}

impl Monotonic {
    /// The origin of the clock.
    pub const ZERO: Self = Self(BEFORE_ORIGIN);

    /// The earliest point, 100 days before the origin.
    pub const MIN: Self = Self(0);

    /// The latest point, which stands for "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The point this long after the origin.
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(BEFORE_ORIGIN.saturating_add(nanos(elapsed)))
    }

    #[cfg(any(feature = "resolver", test))]
    /// As a number that grows with time, to be held in an atomic.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    #[cfg(any(feature = "resolver", test))]
    /// The point that [`to_bits`](Self::to_bits) made this number of.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// How long after the origin this point lies; zero if it lies before.
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(BEFORE_ORIGIN))
    }

    /// The point this long before this one, which may lie up to 100 days before the origin.
    #[must_use]
    pub const fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(ago)))
    }

    /// The point right after this one.
    pub(crate) const fn just_after(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How long after `earlier` this point lies; zero if it does not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Default for Monotonic {
    /// The origin.
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<Duration> for Monotonic {
    /// The point this long after the origin.
    fn from(elapsed: Duration) -> Self {
        Self::from_origin(elapsed)
    }
}

impl From<Monotonic> for Duration {
    /// How long after the origin it lies; zero if it lies before.
    fn from(at: Monotonic) -> Self {
        at.since_origin()
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    /// Saturates at the end of representable time.
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl fmt::Display for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3} s", self.since_origin().as_secs_f64())
    }
}

/// What time it is, on both clocks.
///
/// Lifetimes run on the monotonic clock, so that a step of the wall clock neither revives nor
/// kills an answer. The wall clock is read only where HTTP speaks in dates (`Expires` without
/// `Date`, `Retry-After` as a date) and to state when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Now {
    /// The monotonic clock.
    pub monotonic: Monotonic,
    /// The wall clock.
    pub wall: SystemTime,
}

impl Now {
    /// Both clocks at once.
    pub const fn new(monotonic: Monotonic, wall: SystemTime) -> Self {
        Self { monotonic, wall }
    }

    /// A point of the monotonic clock on the wall clock of now.
    pub(crate) fn on_wall(self, at: Monotonic) -> SystemTime {
        let wall = if at <= self.monotonic {
            self.wall.checked_sub(self.monotonic.since(at))
        } else {
            self.wall.checked_add(at.since(self.monotonic))
        };
        wall.unwrap_or(self.wall)
    }

    /// A virtual clock's start: origin of the monotonic clock, the Unix epoch on the wall.
    pub const EPOCH: Self = Self::new(Monotonic::ZERO, SystemTime::UNIX_EPOCH);
}

impl Add<Duration> for Now {
    type Output = Self;

    /// Both clocks moved on; the wall clock stays where it is if it cannot represent the sum.
    fn add(self, rhs: Duration) -> Self {
        Self {
            monotonic: self.monotonic + rhs,
            wall: self.wall.checked_add(rhs).unwrap_or(self.wall),
        }
    }
}

/// A time on the wall clock, in milliseconds since the Unix epoch.
pub(crate) fn millis_since_epoch(at: SystemTime) -> u64 {
    whole_millis(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// In milliseconds, rounded down; what is longer than they can say is the longest.
pub(crate) fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_reaches_back_before_its_origin() {
        let (day, origin) = (Duration::from_secs(86_400), Monotonic::ZERO);
        let earlier = origin.before(day);
        assert!(earlier < origin);
        assert_eq!((origin.since(earlier), earlier.since_origin()), (day, Duration::ZERO));
        assert_eq!(earlier + day, origin);
        assert_eq!(origin.before(1000 * day), origin.before(100 * day));
        assert_eq!(Monotonic::default(), origin);
        assert_eq!(
            (earlier.to_string(), (origin + day).to_string()),
            ("+0.000 s".to_owned(), "+86400.000 s".to_owned())
        );
        let read: Monotonic = serde_json::from_str(r#"{"secs":5,"nanos":0}"#).unwrap();
        assert_eq!(read, origin + Duration::from_secs(5));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"secs":5,"nanos":0}"#);
    }
}
