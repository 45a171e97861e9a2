//! What is known of a host's well-known document, good or bad, and until when.
//!
//! | failure | kind | kept |
//! | --- | --- | --- |
//! | DNS failed, no connection, TLS, time, cut off, too large, 408, 5xx | temporary | 2 min, doubling to 1 h |
//! | 429 | temporary | `Retry-After` within 1 min .. 24 h, else as above |
//! | no such host, no address | permanent | its negative TTL, at most 1 h |
//! | addresses blocked, other statuses, redirect refused, bad JSON, bad name | permanent | 1 h |
//! | any permanent one, where a good answer was known in the last 50 h | permanent | 2 min, doubling to 1 h |
//!
//! While a good answer is at most 48 h old it stands in for temporary failures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::config::{Config, WellKnownLifetimes};
use crate::core::dns::srv::SplitMix64;
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::document::WellKnown;
use crate::core::well_known::failure::WellKnownFailure;
use crate::core::well_known::freshness::Freshness;

/// What is known of a host's well-known document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WellKnownAnswer {
    result: Result<WellKnown, WellKnownFailure>,
    fetched: Now,
    lifetime: Duration,
    failures: u32,
    /// How many of the failures in a row backed off.
    backed_off: u32,
    last_good: Option<LastGood>,
}

/// A good answer that a later failure has not made forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastGood {
    pub(crate) document: WellKnown,
    pub(crate) fetched: Now,
    /// How long it held, from then.
    pub(crate) lifetime: Duration,
}

/// What a resolution goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum InUse<'a> {
    /// The host delegates.
    Delegates {
        /// To whom.
        document: &'a WellKnown,
        /// If an earlier good answer stands in for a failure: which, and until when it may.
        stale: Option<(&'a WellKnownFailure, Monotonic)>,
    },
    /// There is no valid document: step 4 and on.
    Nothing {
        /// Why.
        failure: &'a WellKnownFailure,
        /// Whether the host is known to have delegated not long ago.
        degraded: bool,
    },
}

impl WellKnownAnswer {
    /// The result of a fetch that ended at `now`, and what it means after what was known before.
    pub(crate) fn new(
        result: Result<(WellKnown, Freshness), WellKnownFailure>,
        now: Now,
        before: Option<&Self>,
        lifetimes: &WellKnownLifetimes,
        random: &mut SplitMix64,
    ) -> Self {
        let last_good = before.and_then(|before| before.good_since(now, lifetimes.remembered));
        match result {
            Ok((document, freshness)) => Self {
                result: Ok(document),
                fetched: now,
                lifetime: lifetimes.good(freshness, random),
                failures: 0,
                backed_off: 0,
                last_good: None,
            },
            Err(failure) => {
                let failures = before.map_or(0, |before| before.failures).saturating_add(1);
                let earlier = before.map_or(0, |before| before.backed_off);
                let backs_off = failure.is_temporary() || last_good.is_some();
                let lifetime = match &failure {
                    WellKnownFailure::Status { status: 429, retry_after: Some(after) } => {
                        (*after).min(lifetimes.retry_after_most).max(lifetimes.retry_after_least)
                    }
                    _ if backs_off => lifetimes.backed_off(earlier, random),
                    WellKnownFailure::NoAddress { lifetime, .. } => {
                        (*lifetime).min(lifetimes.permanent)
                    }
                    _ => lifetimes.jittered(lifetimes.permanent, random),
                };
                let backed_off = if backs_off { earlier.saturating_add(1) } else { 0 };
                Self {
                    result: Err(failure),
                    fetched: now,
                    lifetime,
                    failures,
                    backed_off,
                    last_good,
                }
            }
        }
    }

    /// The same for a look-up that was given up after so long, because nobody waited for it any
    /// more: a temporary failure. The seed draws the jitter of its lifetime.
    pub fn abandoned(
        after: Duration,
        now: Now,
        before: Option<&Self>,
        config: &Config,
        seed: u64,
    ) -> Self {
        let failure = WellKnownFailure::Abandoned { after };
        Self::new(Err(failure), now, before, &config.well_known, &mut SplitMix64(seed))
    }

    /// What was kept by an earlier process or another one.
    pub(crate) const fn restored(
        result: Result<WellKnown, WellKnownFailure>,
        fetched: Now,
        lifetime: Duration,
        failures: u32,
        backed_off: u32,
        last_good: Option<LastGood>,
    ) -> Self {
        Self { result, fetched, lifetime, failures, backed_off, last_good }
    }

    /// The good answer known at `now`, if it was fetched at most `within` ago.
    fn good_since(&self, now: Now, within: Duration) -> Option<LastGood> {
        match &self.result {
            Ok(document) => Some(LastGood {
                document: document.clone(),
                fetched: self.fetched,
                lifetime: self.lifetime,
            }),
            Err(_) => self.last_good.clone(),
        }
        .filter(|good| now.monotonic.since(good.fetched.monotonic) <= within)
    }

    /// The same for a resolution that cannot wait for it to be renewed: as it is while it holds, then
    /// the last good answer, for as long as it may stand in; `None` if there is none, or if a
    /// permanent failure came after it, which was believed.
    pub fn standing_in(&self, now: Now, config: &Config) -> Option<Self> {
        if now.monotonic < self.until() {
            return Some(self.clone());
        }
        if self.result.as_ref().is_err_and(|failure| !failure.is_temporary()) {
            return None;
        }
        let last_good = self.good_since(now, config.well_known.stale)?;
        Some(Self {
            result: Err(WellKnownFailure::TimedOut { limit: config.refresh.wait }),
            fetched: now,
            lifetime: config.dns.least,
            failures: self.failures,
            backed_off: self.backed_off,
            last_good: Some(last_good),
        })
    }

    /// Whether the host is known to have delegated, by an answer too old to stand in for failures.
    pub(crate) fn is_lost(&self, now: Now, lifetimes: &WellKnownLifetimes) -> bool {
        let known = |within| self.good_since(now, within).is_some();
        known(lifetimes.remembered) && !known(lifetimes.stale)
    }

    /// What came of the last fetch.
    pub const fn result(&self) -> &Result<WellKnown, WellKnownFailure> {
        &self.result
    }

    /// The last good document that is remembered: that of the last fetch, or of an earlier one.
    pub fn last_document(&self) -> Option<&WellKnown> {
        match &self.result {
            Ok(document) => Some(document),
            Err(_) => self.last_good.as_ref().map(|good| &good.document),
        }
    }

    /// When the last fetch ended.
    pub const fn fetched(&self) -> Now {
        self.fetched
    }

    /// How long what came of it is kept, from then.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Until when it is kept.
    pub fn until(&self) -> Monotonic {
        self.fetched.monotonic + self.lifetime
    }

    /// How many fetches failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// How many of the failures in a row backed off.
    pub(crate) const fn backed_off(&self) -> u32 {
        self.backed_off
    }

    /// The good answer that is remembered beside a failure, as it was before that.
    #[cfg(feature = "resolver")]
    pub(crate) fn before_failure(&self) -> Option<Self> {
        let LastGood { document, fetched, lifetime } = self.last_good.clone()?;
        Some(Self::restored(Ok(document), fetched, lifetime, 0, 0, None))
    }

    /// The good answer that is remembered beside a failure.
    pub(crate) const fn last_good(&self) -> Option<&LastGood> {
        self.last_good.as_ref()
    }

    /// What a resolution goes by at `now`.
    pub fn in_use(&self, now: Monotonic, lifetimes: &WellKnownLifetimes) -> InUse<'_> {
        let failure = match &self.result {
            Ok(document) => return InUse::Delegates { document, stale: None },
            Err(failure) => failure,
        };
        let age = |good: &LastGood| now.since(good.fetched.monotonic);
        match &self.last_good {
            Some(good) if failure.is_temporary() && age(good) <= lifetimes.stale => {
                let until = good.fetched.monotonic + lifetimes.stale;
                InUse::Delegates { document: &good.document, stale: Some((failure, until)) }
            }
            good => InUse::Nothing {
                failure,
                degraded: good.as_ref().is_some_and(|good| age(good) <= lifetimes.remembered),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::dns::NoRecord;

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn plain() -> WellKnownLifetimes {
        WellKnownLifetimes { jitter_percent: 0, ..WellKnownLifetimes::default() }
    }

    fn at(seconds: u64) -> Now {
        Now::EPOCH + Duration::from_secs(seconds)
    }

    fn document() -> WellKnown {
        WellKnown::from_body(br#"{"m.server":"m.example"}"#).unwrap()
    }

    fn answer(
        result: Result<Freshness, WellKnownFailure>,
        now: Now,
        before: Option<&WellKnownAnswer>,
    ) -> WellKnownAnswer {
        let result = result.map(|freshness| (document(), freshness));
        WellKnownAnswer::new(result, now, before, &plain(), &mut SplitMix64(1))
    }

    fn status(status: u16) -> WellKnownFailure {
        WellKnownFailure::Status { status, retry_after: None }
    }

    #[test]
    fn stated_lifetimes_are_clamped_by_each_preset() {
        for (lifetimes, stated, kept) in [
            (WellKnownLifetimes::default(), 0, 60),
            (WellKnownLifetimes::default(), 61, 61),
            (WellKnownLifetimes::default(), 1 << 31, 48 * 3600),
            (Config::strict().well_known, 0, 0),
            (Config::strict().well_known, 1 << 31, 48 * 3600),
            (Config::synapse().well_known, 0, 300),
            (Config::synapse().well_known, 1 << 31, 48 * 3600),
        ] {
            let freshness = Freshness::For(Duration::from_secs(stated));
            assert_eq!(
                lifetimes.good(freshness, &mut SplitMix64(7)),
                Duration::from_secs(kept),
                "{stated}"
            );
        }
    }

    #[test]
    fn unstated_lifetimes_are_a_day_less_up_to_a_tenth() {
        let lifetimes = WellKnownLifetimes::default();
        let mut random = SplitMix64(3);
        let drawn: Vec<_> =
            (0..2000).map(|_| lifetimes.good(Freshness::Unstated, &mut random)).collect();
        assert!(drawn.iter().all(|kept| (HOUR.mul_f64(21.6)..=24 * HOUR).contains(kept)));
        assert!(drawn.iter().any(|kept| *kept < 22 * HOUR));
        assert!(drawn.iter().any(|kept| *kept > HOUR.mul_f64(23.8)));
        assert_eq!(plain().good(Freshness::Unstated, &mut random), 24 * HOUR);
    }

    #[test]
    fn temporary_failures_back_off_from_two_minutes_to_an_hour() {
        let mut before: Option<WellKnownAnswer> = None;
        let mut kept = Vec::new();
        for _ in 0..8 {
            let next = answer(Err(status(503)), at(0), before.as_ref());
            kept.push(next.lifetime().as_secs() / 60);
            before = Some(next);
        }
        assert_eq!(kept, [2, 4, 8, 16, 32, 60, 60, 60]);
        let many = WellKnownAnswer { failures: u32::MAX, backed_off: u32::MAX, ..before.unwrap() };
        let next = answer(Err(status(503)), at(0), Some(&many));
        assert_eq!((next.lifetime(), next.failures()), (HOUR, u32::MAX));
    }

    #[test]
    fn a_success_ends_the_back_off() {
        let failed = answer(Err(status(503)), at(0), None);
        let good = answer(Ok(Freshness::For(HOUR)), at(1), Some(&failed));
        assert_eq!(good.failures(), 0);
        assert_eq!(answer(Err(status(503)), at(2), Some(&good)).lifetime(), 2 * MINUTE);
    }

    #[test]
    fn permanent_failures_are_kept_for_an_hour_and_sooner_where_a_good_answer_was_known() {
        assert_eq!(answer(Err(status(404)), at(0), None).lifetime(), HOUR);
        let good = answer(Ok(Freshness::For(HOUR)), at(0), None);
        let gone = answer(Err(status(404)), at(50 * 3600), Some(&good));
        assert_eq!(gone.lifetime(), 2 * MINUTE);
        let still = answer(Err(status(404)), at(50 * 3600), Some(&gone));
        assert_eq!(still.lifetime(), 4 * MINUTE);
        let later = answer(Err(status(404)), at(50 * 3600 + 1), Some(&still));
        assert_eq!(later.lifetime(), HOUR);
    }

    #[test]
    fn a_permanent_failure_does_not_count_towards_the_back_off() {
        let mut before = answer(Err(status(404)), at(0), None);
        for _ in 0..6 {
            before = answer(Err(status(404)), at(0), Some(&before));
        }
        let passing = answer(Err(status(503)), at(0), Some(&before));
        assert_eq!((passing.lifetime(), passing.failures()), (2 * MINUTE, 8));
        let again = answer(Err(status(404)), at(0), Some(&passing));
        let passing = answer(Err(status(503)), at(0), Some(&again));
        assert_eq!(passing.lifetime(), 2 * MINUTE);
    }

    #[test]
    fn no_address_is_kept_for_its_negative_ttl_up_to_an_hour() {
        for (lifetime, kept) in [(MINUTE, MINUTE), (3 * HOUR, HOUR)] {
            let failure = WellKnownFailure::NoAddress {
                host: "a.example".parse().unwrap(),
                kind: NoRecord::NxDomain,
                lifetime,
            };
            assert_eq!(answer(Err(failure), at(0), None).lifetime(), kept);
        }
    }

    #[test]
    fn retry_after_is_heeded_within_bounds() {
        for (after, kept) in [(0, 60), (7200, 7200), (1 << 31, 24 * 3600)] {
            let failure = WellKnownFailure::Status {
                status: 429,
                retry_after: Some(Duration::from_secs(after)),
            };
            assert_eq!(answer(Err(failure), at(0), None).lifetime(), Duration::from_secs(kept));
        }
        assert_eq!(answer(Err(status(429)), at(0), None).lifetime(), 2 * MINUTE);
    }

    #[test]
    fn jitter_only_shortens() {
        let lifetimes = WellKnownLifetimes::default();
        let mut random = SplitMix64(11);
        for _ in 0..2000 {
            let kept = lifetimes.backed_off(0, &mut random);
            assert!((MINUTE.mul_f64(1.8)..=2 * MINUTE).contains(&kept), "{kept:?}");
        }
        let all = WellKnownLifetimes { jitter_percent: 255, ..lifetimes };
        assert!(all.jittered(HOUR, &mut random) <= HOUR);
        assert!(all.jittered(Duration::MAX, &mut random) <= Duration::MAX);
    }

    #[test]
    fn a_good_answer_stands_in_for_temporary_failures_for_48_hours() {
        let lifetimes = plain();
        let good = answer(Ok(Freshness::For(HOUR)), at(0), None);
        let failed = answer(Err(status(503)), at(3600), Some(&good));
        let in_use = |hours: u64, seconds: u64| {
            failed.in_use(at(hours * 3600 + seconds).monotonic, &lifetimes)
        };
        let end = at(48 * 3600).monotonic;
        assert!(
            matches!(in_use(48, 0), InUse::Delegates { stale: Some((_, until)), .. } if until == end)
        );
        assert!(matches!(in_use(48, 1), InUse::Nothing { degraded: true, .. }));
        assert!(matches!(in_use(50, 0), InUse::Nothing { degraded: true, .. }));
        assert!(matches!(in_use(50, 1), InUse::Nothing { degraded: false, .. }));
    }

    #[test]
    fn one_that_ran_out_is_stood_in_for_by_the_last_good_one() {
        let config = Config { well_known: plain(), ..Config::default() };
        let good = answer(Ok(Freshness::For(HOUR)), at(0), None);
        let stands_in = |answer: &WellKnownAnswer, seconds| {
            let instead = answer.standing_in(at(seconds), &config)?;
            match instead.in_use(at(seconds).monotonic, &config.well_known) {
                InUse::Delegates { stale, .. } => Some(stale.map(|(failure, _)| failure.clone())),
                InUse::Nothing { .. } => panic!("{instead:?}"),
            }
        };
        let late = WellKnownFailure::TimedOut { limit: config.refresh.wait };
        assert_eq!(stands_in(&good, 3599), Some(None));
        assert_eq!(stands_in(&good, 3600), Some(Some(late.clone())));
        assert_eq!(stands_in(&good, 48 * 3600), Some(Some(late.clone())));
        assert_eq!(stands_in(&good, 48 * 3600 + 1), None);
        // While a failure is kept, it is what it is; then the good one stands in for the next.
        let failed = answer(Err(status(503)), at(7200), Some(&good));
        assert_eq!(stands_in(&failed, 7200 + 119), Some(Some(status(503))));
        assert_eq!(stands_in(&failed, 7200 + 120), Some(Some(late)));
        let instead = failed.standing_in(at(7200 + 120), &config).unwrap();
        assert_eq!((instead.failures(), instead.lifetime()), (1, config.dns.least));
        assert_eq!(instead.fetched(), at(7200 + 120));
        // What was believed to be gone is not brought back.
        let gone = answer(Err(status(404)), at(7200), Some(&good));
        assert!(gone.standing_in(at(7200 + 119), &config).is_some());
        assert_eq!(gone.standing_in(at(7200 + 120), &config), None);
        assert_eq!(answer(Err(status(503)), at(0), None).standing_in(at(120), &config), None);
    }

    #[test]
    fn what_was_given_up_is_a_passing_failure() {
        let config = Config { well_known: plain(), ..Config::default() };
        let good = answer(Ok(Freshness::For(HOUR)), at(0), None);
        let after = Duration::from_secs(3);
        let given_up = WellKnownAnswer::abandoned(after, at(7200), Some(&good), &config, 7);
        assert_eq!(given_up.result(), &Err(WellKnownFailure::Abandoned { after }));
        assert_eq!((given_up.lifetime(), given_up.failures()), (2 * MINUTE, 1));
        let in_use = given_up.in_use(at(7201).monotonic, &config.well_known);
        assert!(matches!(in_use, InUse::Delegates { stale: Some(_), .. }));
        let again = WellKnownAnswer::abandoned(after, at(7400), Some(&given_up), &config, 7);
        assert_eq!((again.lifetime(), again.failures()), (4 * MINUTE, 2));
    }

    #[test]
    fn a_permanent_failure_is_believed_but_marked_where_a_good_answer_was_known() {
        let good = answer(Ok(Freshness::For(HOUR)), at(0), None);
        let gone = answer(Err(status(404)), at(3600), Some(&good));
        assert_eq!(good.last_document(), Some(&document()));
        assert_eq!(gone.last_document(), Some(&document()));
        let in_use = gone.in_use(at(3600).monotonic, &plain());
        assert!(matches!(in_use, InUse::Nothing { degraded: true, .. }));
        let never = answer(Err(status(404)), at(0), None);
        assert_eq!(never.last_document(), None);
        let in_use = never.in_use(at(0).monotonic, &plain());
        assert!(matches!(in_use, InUse::Nothing { degraded: false, .. }));
    }
}
