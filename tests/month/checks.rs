//! What may be asked when, and what may be used until when, worked out from what the world answered
//! and the figures of the design. None of this looks at the resolver.

use std::time::Duration;

use matrix_delegation::time::Monotonic;

use crate::world::{DnsSaid, HttpSaid};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// How long a good well-known stands in for failures.
const STALE: Duration = Duration::from_secs(48 * 3600);
/// How long it is remembered.
const REMEMBERED: Duration = Duration::from_secs(50 * 3600);
/// How long DNS records stand in past their TTL.
const DNS_STALE: Duration = Duration::from_secs(24 * 3600);
/// How long a question of DNS that is never answered takes.
const DNS_LIMIT: Duration = Duration::from_secs(5);

/// Less what the jitter may take off.
fn jittered(time: Duration) -> Duration {
    time / 10 * 9
}

/// The last fifth is for renewals.
fn renewable(life: Duration) -> Duration {
    life / 5 * 4
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}

/// What is broken, in words.
pub(crate) type Checked = Result<(), String>;

fn check(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

/// A good answer, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Good {
    what: Option<u32>,
    at: Monotonic,
    /// How long it holds at the most.
    life: Duration,
}

/// How many earlier answers that still hold are kept in mind.
const MOST_HELD: usize = 8;

/// Answers that came before the last one and hold as long as they said: a target that was made of
/// one holds on while what would take its place is worse.
#[derive(Clone, Debug, Default)]
struct Earlier(Vec<Good>);

impl Earlier {
    fn add(&mut self, good: Option<Good>, now: Monotonic) {
        self.0.extend(good);
        self.0.retain(|good| good.age(now) <= good.life);
        let surplus = self.0.len().saturating_sub(MOST_HELD);
        self.0.drain(..surplus);
    }

    fn holds(&self, what: Option<u32>, now: Monotonic) -> bool {
        self.0.iter().any(|good| good.what == what && good.age(now) <= good.life)
    }
}

/// How an answer was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    AsUsual,
    /// The caller waited as long as callers do for a renewal, and got an answer that is marked stale:
    /// it may rest on anything that may still stand in, whether that was asked for again or not.
    Overdue,
}

impl Good {
    fn age(&self, now: Monotonic) -> Duration {
        now.since(self.at)
    }
}

/// What a host answered when it was asked for its well-known.
#[derive(Clone, Debug, Default)]
pub(crate) struct WellKnownLog {
    good: Option<Good>,
    earlier: Earlier,
    /// Whether the last try did not bring a good answer, or has brought none yet.
    failing: bool,
    /// Whether the last try failed for what may pass.
    temporary: bool,
    /// Failures in a row that back off, and how many of them came before this look-up.
    failures: u32,
    before: u32,
    may_ask: Monotonic,
    /// Tries at once after a quick failure of this look-up, and from when on the next may be.
    retries: u32,
    retry: Option<Monotonic>,
}

impl WellKnownLog {
    /// It is asked.
    pub(crate) fn asked(&mut self, now: Monotonic) -> Checked {
        let retry = self.retry.take();
        self.failing = true;
        if now >= self.may_ask {
            (self.before, self.retries) = (self.failures, 0);
        } else if retry.is_some_and(|at| now >= at) {
            self.retries += 1;
        } else {
            let early = self.may_ask.since(now);
            return Err(format!("asked {early:?} earlier than the back-off permits: {self:?}"));
        }
        Ok(())
    }

    /// It answers.
    pub(crate) fn answered(&mut self, said: HttpSaid, now: Monotonic) {
        let known = self.good.filter(|good| good.age(now) <= REMEMBERED);
        let backed_off = jittered(doubled(2 * MINUTE, self.before, HOUR));
        let (wait, quick) = match said {
            HttpSaid::Document(what, max_age) => {
                let stated = max_age.map(Duration::from_secs);
                let life = stated.map_or(24 * HOUR, |age| age.clamp(MINUTE, STALE));
                let least = stated.map_or(jittered(life), |_| life);
                self.earlier.add(self.good, now);
                self.good = Some(Good { what: Some(what), at: now, life });
                self.failing = false;
                self.failures = 0;
                self.may_ask = now + renewable(least);
                return;
            }
            HttpSaid::Busy(after) => (Duration::from_secs(after).clamp(MINUTE, 24 * HOUR), false),
            HttpSaid::Status(404) if known.is_none() => (jittered(HOUR), false),
            HttpSaid::Status(404) => (backed_off, false),
            HttpSaid::Status(_) | HttpSaid::Refused | HttpSaid::Unreachable | HttpSaid::Silent => {
                (backed_off, true)
            }
        };
        self.temporary = !matches!(said, HttpSaid::Status(404));
        self.failures = if self.temporary || known.is_some() { self.before + 1 } else { 0 };
        self.may_ask = now + wait;
        let lost = known.is_some_and(|good| good.age(now) > STALE);
        self.retry = (quick && lost && self.retries < 3)
            .then(|| now + doubled(SECOND / 2, self.retries, HOUR));
    }

    /// It is gone by. `excused`: it could not have been asked, because DNS was failing.
    pub(crate) fn used(&self, what: u32, now: Monotonic, excused: bool) -> Checked {
        if self.earlier.holds(Some(what), now) {
            return Ok(());
        }
        let Some(good) = self.good.filter(|good| good.what == Some(what)) else {
            return Err(format!("document {what} was not the last: {self:?}"));
        };
        let age = good.age(now);
        check(age <= STALE, || format!("gone by {age:?} after its fetch: {self:?}"))?;
        check(age <= good.life || self.failing || excused, || {
            format!("gone by {age:?} after its fetch, although nothing failed: {self:?}")
        })
    }

    /// The host is taken for one that does not delegate, or not any more.
    pub(crate) fn unused(&self, now: Monotonic) -> Checked {
        let Some(good) = self.good else { return Ok(()) };
        let least = if good.life == 24 * HOUR { jittered(good.life) } else { good.life };
        let age = good.age(now);
        check(age >= least, || format!("given up {age:?} after its fetch: {self:?}"))?;
        check(age >= STALE || !self.temporary || !self.failing, || {
            format!("given up {age:?} after its fetch for a failure that may pass: {self:?}")
        })
    }
}

/// What DNS answered to one question.
#[derive(Clone, Debug, Default)]
pub(crate) struct DnsLog {
    /// `None` within: there are no such records.
    good: Option<Good>,
    earlier: Earlier,
    failing: bool,
    /// When it last failed.
    failed: Option<Monotonic>,
    failures: u32,
    may_ask: Monotonic,
}

impl DnsLog {
    /// Whether a well-known look-up that wanted these addresses may have failed for want of them, and
    /// may be backing off still, although DNS has answered since: the failure was remembered for 10
    /// min at the most, and that of the look-up for an hour.
    pub(crate) fn keeps_from_asking(&self, now: Monotonic) -> bool {
        let most = DNS_LIMIT + 10 * MINUTE + HOUR;
        self.failed.is_some_and(|at| now.since(at) <= most)
    }

    /// It is asked, and answered so at once, if it is.
    pub(crate) fn asked(&mut self, said: DnsSaid, now: Monotonic) -> Checked {
        let early = self.may_ask.since(now);
        let checked = check(early.is_zero(), || {
            format!("asked {early:?} earlier than the back-off permits: {self:?}")
        });
        let (what, life) = match said {
            DnsSaid::Found(version, ttl) => (Some(version), ttl.clamp(5 * SECOND, 24 * HOUR)),
            DnsSaid::None(ttl) => (None, ttl.clamp(5 * SECOND, HOUR)),
            DnsSaid::Failed | DnsSaid::Silent => {
                let limit = if said == DnsSaid::Silent { DNS_LIMIT } else { Duration::ZERO };
                let wait = doubled(30 * SECOND, self.failures, 10 * MINUTE);
                self.may_ask = now + limit + wait;
                self.failures += 1;
                self.failing = true;
                self.failed = Some(now);
                return checked;
            }
        };
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.add(self.good, now);
        let (good, may_ask) = (Some(Good { what, at: now, life }), now + renewable(life));
        let failed = self.failed;
        *self = Self { good, earlier, failed, may_ask, ..Self::default() };
        checked
    }

    /// It is gone by.
    pub(crate) fn used(&self, what: Option<u32>, now: Monotonic, how: How) -> Checked {
        if self.earlier.holds(what, now) {
            return Ok(());
        }
        let Some(good) = self.good.filter(|good| good.what == what) else {
            // A failure is taken for "there is none" if nothing may stand in.
            let given_up = self
                .good
                .is_none_or(|good| good.what.is_none() || good.age(now) >= good.life + DNS_STALE);
            return check(what.is_none() && self.failing && given_up, || {
                format!("{what:?} was not the last: {self:?}")
            });
        };
        let age = good.age(now);
        check(age <= good.life || self.failing || how == How::Overdue, || {
            format!("gone by {age:?} after it came, although nothing failed: {self:?}")
        })?;
        check(what.is_none() || age <= good.life + DNS_STALE, || {
            format!("gone by {age:?} after it came: {self:?}")
        })
    }
}

/// What a name's last good answer promised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise(pub(crate) Monotonic);

impl Promise {
    /// The next answer comes.
    pub(crate) fn kept(self, degraded: bool, now: Monotonic) -> Checked {
        check(!degraded || now >= self.0, || {
            format!("degraded {:?} before the good answer ends", self.0.since(now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Monotonic = Monotonic::ZERO;
    const DOCUMENT: HttpSaid = HttpSaid::Document(1, Some(3600));

    fn at(minutes: u64) -> Monotonic {
        START + Duration::from_secs(60 * minutes)
    }

    fn hours(count: u64) -> Monotonic {
        at(60 * count)
    }

    /// What was answered when, in minutes.
    fn log(said: &[(u64, HttpSaid)]) -> WellKnownLog {
        let mut log = WellKnownLog::default();
        for (minutes, said) in said {
            log.asked(at(*minutes)).unwrap();
            log.answered(*said, at(*minutes));
        }
        log
    }

    #[test]
    fn a_well_known_asked_for_too_early_is_noticed() {
        let (failed, gone) = (HttpSaid::Status(503), HttpSaid::Status(404));
        for (said, seconds) in [
            (&[(0, DOCUMENT)][..], 2880),
            (&[(0, HttpSaid::Document(1, Some(0)))], 48),
            (&[(0, HttpSaid::Document(1, Some(1 << 31)))], 48 * 3600 / 5 * 4),
            (&[(0, HttpSaid::Document(1, None))], 24 * 3600 / 10 * 9 / 5 * 4),
            (&[(0, failed)], 108),
            (&[(0, failed), (2, failed)], 216),
            (&[(0, HttpSaid::Busy(0))], 60),
            (&[(0, HttpSaid::Busy(7200))], 7200),
            (&[(0, HttpSaid::Busy(999_999_999))], 24 * 3600),
            (&[(0, gone)], 3240),
            (&[(0, gone), (60, failed)], 108),
            (&[(0, DOCUMENT), (60, gone)], 108),
            (&[(0, DOCUMENT), (60, gone), (62, gone)], 216),
            (&[(0, DOCUMENT), (50 * 60 + 1, gone)], 3240),
        ] {
            let last = at(said.last().unwrap().0);
            let permitted = last + Duration::from_secs(seconds);
            let log = log(said);
            assert!(log.clone().asked(permitted).is_ok(), "{said:?}");
            let early = permitted.before(Duration::from_millis(1));
            assert!(log.clone().asked(early).is_err(), "{said:?}");
        }
    }

    #[test]
    fn tries_at_once_are_three_and_only_where_the_document_is_lost() {
        let failed = HttpSaid::Refused;
        let mut lost = log(&[(0, DOCUMENT), (48 * 60 + 1, failed)]);
        let mut now = at(48 * 60 + 1);
        for pause in [500, 1000, 2000] {
            now = now + Duration::from_millis(pause);
            assert!(lost.clone().asked(now.before(Duration::from_millis(1))).is_err());
            lost.asked(now).unwrap();
            lost.answered(failed, now);
        }
        assert!(lost.clone().asked(now + MINUTE).is_err());
        assert!(lost.asked(now + 2 * MINUTE).is_ok());
        for (minutes, said) in
            [(48 * 60, failed), (50 * 60 + 1, failed), (49 * 60, HttpSaid::Busy(600))]
        {
            let mut log = log(&[(0, DOCUMENT), (minutes, said)]);
            assert!(log.asked(at(minutes) + SECOND).is_err(), "{minutes} {said:?}");
        }
    }

    #[test]
    fn a_document_used_for_too_long_is_noticed() {
        let mut good = log(&[(0, DOCUMENT)]);
        assert!(good.used(1, at(60), false).is_ok() && good.used(2, at(60), false).is_err());
        // Past its own life only if it could not be renewed.
        assert!(good.used(1, at(61), false).is_err() && good.used(1, at(61), true).is_ok());
        good.asked(at(62)).unwrap();
        assert!(good.used(1, hours(48), false).is_ok());
        assert!(good.used(1, hours(48) + SECOND, false).is_err());
        assert!(good.used(1, hours(48) + SECOND, true).is_err());
        let changed = log(&[(0, DOCUMENT), (50, HttpSaid::Document(2, None))]);
        assert!(changed.used(1, at(60), false).is_ok() && changed.used(1, at(61), true).is_err());
    }

    #[test]
    fn a_document_given_up_too_early_is_noticed() {
        let log = |said| log(&[(0, DOCUMENT), (50, said)]);
        let gone = log(HttpSaid::Status(404));
        assert!(gone.unused(at(59)).is_err() && gone.unused(at(60)).is_ok());
        let failed = log(HttpSaid::Status(503));
        assert!(failed.unused(at(61)).is_err() && failed.unused(hours(48)).is_ok());
        assert!(WellKnownLog::default().unused(START).is_ok());
    }

    #[test]
    fn dns_asked_too_early_is_noticed() {
        let day = Duration::from_secs(86_400);
        for (said, seconds) in [
            (&[DnsSaid::Found(1, HOUR)][..], 2880),
            (&[DnsSaid::Found(1, Duration::ZERO)], 4),
            (&[DnsSaid::Found(1, 9 * day)], 86_400 / 5 * 4),
            (&[DnsSaid::None(day)], 2880),
            (&[DnsSaid::Failed], 30),
            (&[DnsSaid::Silent], 35),
            (&[DnsSaid::Failed; 2], 60),
            (&[DnsSaid::Failed; 6], 600),
            (&[DnsSaid::Failed, DnsSaid::Found(1, HOUR), DnsSaid::Failed], 30),
        ] {
            let (mut log, mut now) = (DnsLog::default(), START);
            for said in said {
                now = now + HOUR;
                log.asked(*said, now).unwrap();
            }
            let permitted = now + Duration::from_secs(seconds);
            assert!(log.clone().asked(DnsSaid::Failed, permitted).is_ok(), "{said:?}");
            let early = permitted.before(Duration::from_millis(1));
            assert!(log.asked(DnsSaid::Failed, early).is_err(), "{said:?}");
        }
    }

    #[test]
    fn records_used_for_too_long_are_noticed() {
        let mut log = DnsLog::default();
        log.asked(DnsSaid::Found(1, HOUR), START).unwrap();
        assert!(
            log.used(Some(1), hours(1), How::AsUsual).is_ok()
                && log.used(Some(2), at(1), How::AsUsual).is_err()
        );
        assert!(
            log.used(Some(1), at(61), How::AsUsual).is_err()
                && log.used(None, at(1), How::AsUsual).is_err()
        );
        let overdue = |log: &DnsLog, minutes| log.used(Some(1), at(minutes), How::Overdue);
        assert!(overdue(&log, 61).is_ok() && overdue(&log, 25 * 60 + 1).is_err());
        let mut moved = log.clone();
        moved.asked(DnsSaid::Found(2, HOUR), at(48)).unwrap();
        assert!(moved.used(Some(1), at(60), How::AsUsual).is_ok());
        assert!(moved.used(Some(1), at(61), How::Overdue).is_err());
        log.asked(DnsSaid::Failed, at(61)).unwrap();
        assert!(
            log.used(Some(1), hours(25), How::AsUsual).is_ok()
                && log.used(None, hours(24), How::AsUsual).is_err()
        );
        assert!(
            log.used(Some(1), at(25 * 60 + 1), How::AsUsual).is_err()
                && log.used(None, hours(25), How::AsUsual).is_ok()
        );
    }

    #[test]
    fn a_failure_of_dns_is_an_excuse_for_a_while() {
        let mut log = DnsLog::default();
        assert!(!log.keeps_from_asking(START));
        log.asked(DnsSaid::Failed, START).unwrap();
        log.asked(DnsSaid::Found(1, HOUR), at(1)).unwrap();
        assert!(log.keeps_from_asking(at(70)) && !log.keeps_from_asking(at(71)));
    }

    #[test]
    fn a_good_answer_that_gives_way_is_noticed() {
        let promise = Promise(at(10));
        assert!(promise.kept(true, at(9)).is_err() && promise.kept(false, at(9)).is_ok());
        assert!(promise.kept(true, at(10)).is_ok());
    }
}
