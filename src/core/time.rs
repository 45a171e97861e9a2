//! Time as an argument. The core owns no clock: its driver passes the time in.

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
/// use matrix_delegation::time::Monotonic;
///
/// let start = Monotonic::ZERO;
/// let later = start + Duration::from_secs(5);
/// assert_eq!(later.since(start), Duration::from_secs(5));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Duration", into = "Duration")]
pub struct Monotonic(
    /// Nanoseconds since [`BEFORE_ORIGIN`] before the origin, so that it can express what an
    /// earlier process fetched. Eight bytes, because every remembered answer has several; they last
    /// for 584 years.
    u64,
);

/// How far before its origin the clock reaches, in nanoseconds.
const BEFORE_ORIGIN: u64 = 100 * 24 * 3600 * 1_000_000_000;

/// Returns the time in nanoseconds, at most what the clock can count.
pub(crate) const fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as u64)
}

impl Monotonic {
    /// The origin of the clock.
    pub const ZERO: Self = Self(BEFORE_ORIGIN);

    /// The earliest point, 100 days before the origin.
    pub const MIN: Self = Self(0);

    /// The latest point, which means "never".
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the point this long after the origin.
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(BEFORE_ORIGIN.saturating_add(nanos(elapsed)))
    }

    #[cfg(any(feature = "resolver", test))]
    /// Returns a number that grows with time and fits an atomic.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    #[cfg(any(feature = "resolver", test))]
    /// Returns the point for a number from [`to_bits`](Self::to_bits).
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns how long after the origin this point lies; zero if it lies before.
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(BEFORE_ORIGIN))
    }

    /// Returns the point this long before this one, at most 100 days before the origin.
    #[must_use]
    pub const fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(ago)))
    }

    /// Returns the next point of the clock.
    pub(crate) const fn just_after(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns how long after `earlier` this point lies; zero if it does not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Default for Monotonic {
    /// Returns the origin.
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<Duration> for Monotonic {
    /// Returns the point this long after the origin.
    fn from(elapsed: Duration) -> Self {
        Self::from_origin(elapsed)
    }
}

impl From<Monotonic> for Duration {
    /// Returns how long after the origin the point lies; zero if it lies before.
    fn from(at: Monotonic) -> Self {
        at.since_origin()
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    /// Adds a duration; saturates at the latest point.
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl fmt::Display for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3} s", self.since_origin().as_secs_f64())
    }
}

/// The time on both clocks.
///
/// Lifetimes run on the monotonic clock, so that a step of the wall clock does not revive an answer.
/// That clock should go on while the machine is suspended, or else answers outlive their bounds. The wall
/// clock is read only where HTTP speaks in dates (`Expires` without `Date`, `Retry-After` as a date) and
/// to state when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Now {
    /// The monotonic clock.
    pub monotonic: Monotonic,
    /// The wall clock.
    pub wall: SystemTime,
}

impl Now {
    /// Combines the times of both clocks.
    pub const fn new(monotonic: Monotonic, wall: SystemTime) -> Self {
        Self { monotonic, wall }
    }

    /// Converts a point of the monotonic clock to the wall clock.
    pub(crate) fn on_wall(self, at: Monotonic) -> SystemTime {
        let wall = if at <= self.monotonic {
            self.wall.checked_sub(self.monotonic.since(at))
        } else {
            self.wall.checked_add(at.since(self.monotonic))
        };
        wall.unwrap_or(self.wall)
    }

    /// The start of a virtual clock: the origin of the monotonic clock, and the Unix epoch.
    pub const EPOCH: Self = Self::new(Monotonic::ZERO, SystemTime::UNIX_EPOCH);
}

impl Add<Duration> for Now {
    type Output = Self;

    /// Advances both clocks. The wall clock stays where it is if it cannot represent the sum.
    fn add(self, rhs: Duration) -> Self {
        Self {
            monotonic: self.monotonic + rhs,
            wall: self.wall.checked_add(rhs).unwrap_or(self.wall),
        }
    }
}

/// Returns a time on the wall clock in milliseconds since the Unix epoch.
pub(crate) fn millis_since_epoch(at: SystemTime) -> u64 {
    whole_millis(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// Returns the duration in milliseconds, rounded down; saturates.
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
