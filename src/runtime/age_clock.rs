//! The time by which remembered answers age: also that which the machine has slept.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::core::time::nanos;

/// How much the wall clock must get ahead before that counts. Less is left until it has added up.
const LEAST: i64 = 1_000_000_000;

/// What one step of the wall clock ages at most. No answer lives that long, and a clock that was set to
/// another century for a moment leaves enough of the monotonic clock's range.
const MOST: u64 = 400 * DAY;

/// What all steps age together at most: half of the monotonic clock's range.
const MOST_IN_ALL: u64 = u64::MAX / 2;

/// How long a comparison of the clocks suffices for those who read the monotonic clock alone.
const APART: Duration = Duration::from_secs(10);

const DAY: u64 = 24 * 3600 * 1_000_000_000;

/// Counts the time that the machine has slept, during which a monotonic clock may stand still.
///
/// What the wall clock advances beyond the monotonic clock counts as slept, also where somebody has set it:
/// nobody can tell them apart, and an answer that expires early costs a question. A wall clock that is
/// set back counts as nothing, and the time that was counted never shrinks.
#[derive(Debug)]
pub(crate) struct AgeClock {
    /// How far the wall clock was ahead of the monotonic clock when it was so least, in nanoseconds,
    /// since the last step forwards.
    ahead: AtomicI64,
    /// The time that was slept, in nanoseconds.
    slept: AtomicU64,
    /// When the clocks are to be compared again, in nanoseconds.
    due: AtomicU64,
}

impl AgeClock {
    /// Creates a clock that has not slept, at a point of the monotonic clock and the wall clock.
    pub(crate) fn new(awake: Duration, wall: SystemTime) -> Self {
        let (ahead, slept) = (AtomicI64::new(ahead(awake, wall)), AtomicU64::new(0));
        Self { ahead, slept, due: AtomicU64::new(0) }
    }

    /// Returns how long the machine has slept.
    pub(crate) fn slept(&self) -> Duration {
        Duration::from_nanos(self.slept.load(Ordering::Relaxed))
    }

    /// Returns whether the clocks are to be compared. Of many who ask at a time one is told so, and the
    /// next one not before 10 s.
    pub(crate) fn is_due(&self, elapsed: Duration) -> bool {
        let (elapsed, due) = (nanos(elapsed), self.due.load(Ordering::Relaxed));
        elapsed >= due && {
            let next = elapsed.saturating_add(nanos(APART));
            self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        }
    }

    /// Compares the clocks.
    pub(crate) fn compare(&self, awake: Duration, wall: SystemTime) {
        let (now, before) = (ahead(awake, wall), self.ahead.load(Ordering::Relaxed));
        let advanced = now.saturating_sub(before);
        if (0..LEAST).contains(&advanced) {
            return;
        }
        // Whoever changes it counts what it has advanced, so that nobody counts it twice.
        let mine = self.ahead.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed);
        if let (Ok(_), Ok(advanced)) = (mine, u64::try_from(advanced)) {
            let add = |slept: u64| Some(slept.saturating_add(advanced.min(MOST)).min(MOST_IN_ALL));
            let _ = self.slept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }
}

/// Returns how far the wall clock is ahead of the monotonic clock, each from its own origin.
fn ahead(awake: Duration, wall: SystemTime) -> i64 {
    let signed = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let wall = match wall.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => signed(before.duration()).saturating_neg(),
    };
    wall.saturating_sub(signed(awake))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    /// A machine's clocks.
    struct Machine {
        awake: Duration,
        wall: SystemTime,
        clock: AgeClock,
    }

    impl Machine {
        fn new() -> Self {
            let (awake, wall) = (1000 * SECOND, SystemTime::UNIX_EPOCH + 56 * YEAR);
            Self { awake, wall, clock: AgeClock::new(awake, wall) }
        }

        fn pass(&mut self, time: Duration) {
            (self.awake, self.wall) = (self.awake + time, self.wall + time);
        }

        /// Returns what was slept so far.
        fn slept(&self) -> Duration {
            self.clock.compare(self.awake, self.wall);
            self.clock.slept()
        }
    }

    #[test]
    fn what_the_wall_clock_gets_ahead_was_slept_and_what_it_is_set_back_was_not() {
        let mut machine = Machine::new();
        machine.pass(3600 * SECOND);
        assert_eq!(machine.slept(), Duration::ZERO);
        for slept in [1, 86_401] {
            machine.wall += Duration::from_secs(if slept == 1 { 1 } else { 86_400 });
            machine.pass(SECOND);
            assert_eq!((machine.slept(), machine.slept()), (slept * SECOND, slept * SECOND));
        }
        machine.wall -= YEAR;
        assert_eq!(machine.slept(), 86_401 * SECOND);
        // It counts from where it was set to.
        machine.pass(YEAR);
        machine.wall += 60 * SECOND;
        assert_eq!(machine.slept(), 86_461 * SECOND);
        machine.wall += YEAR;
        assert_eq!(machine.slept(), YEAR + 86_461 * SECOND);
    }

    #[test]
    fn less_than_a_second_adds_up() {
        let mut machine = Machine::new();
        let mut slept = Vec::new();
        for _ in 0..5 {
            machine.pass(10 * SECOND);
            machine.wall += SECOND * 2 / 5;
            slept.push(machine.slept());
        }
        let ([none, all], more) = ([Duration::ZERO, SECOND * 6 / 5], SECOND * 6 / 5);
        assert_eq!(slept, [none, none, all, more, more]);
        // Set back by as little, it hides nothing that follows.
        let mut machine = Machine::new();
        machine.wall -= SECOND * 9 / 10;
        assert_eq!(machine.slept(), Duration::ZERO);
        machine.wall += SECOND * 11 / 10;
        assert_eq!(machine.slept(), SECOND * 11 / 10);
    }

    #[test]
    fn whatever_the_wall_clock_says_some_of_the_monotonic_clock_is_left() {
        let ends = |sign: i32| {
            let far = [62, 55, 40].map(|bits| Duration::from_secs(1 << bits));
            let from = |far: &Duration| match sign {
                1 => SystemTime::UNIX_EPOCH.checked_add(*far),
                _ => SystemTime::UNIX_EPOCH.checked_sub(*far),
            };
            far.iter().find_map(from).unwrap()
        };
        let mut machine = Machine::new();
        let now = machine.wall;
        for (wall, days) in [(ends(1), 400), (ends(-1), 400), (now, 800), (now, 800)] {
            machine.wall = wall;
            assert_eq!(machine.slept(), Duration::from_nanos(DAY) * days);
        }
        for _ in 0..1000 {
            machine.wall = now - YEAR;
            machine.slept();
            machine.wall = now + YEAR;
            machine.slept();
        }
        assert_eq!(machine.slept(), Duration::from_nanos(MOST_IN_ALL));
        machine.clock.compare(Duration::MAX, ends(-1));
        machine.clock.compare(Duration::ZERO, ends(1));
        assert_eq!(machine.clock.slept(), Duration::from_nanos(MOST_IN_ALL));
    }

    #[test]
    fn those_who_read_the_monotonic_clock_alone_compare_every_10_s() {
        let machine = Machine::new();
        let due = [0, 1, 9, 10, 11, 19, 20, 1000, 1009].map(Duration::from_secs);
        let due = due.map(|elapsed| machine.clock.is_due(elapsed));
        assert_eq!(due, [true, false, false, true, false, false, true, true, false]);
        assert!(machine.clock.is_due(Duration::MAX));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the threads of a test")]
    fn threads_that_compare_together_count_a_sleep_once() {
        for _ in 0..100 {
            let machine = Machine::new();
            let (awake, wall) = (machine.awake, machine.wall + YEAR);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| machine.clock.compare(awake, wall));
                }
            });
            assert_eq!(machine.clock.slept(), YEAR);
        }
    }
}
