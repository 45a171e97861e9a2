//! One remembered answer: the last good one, the failure after it, and their possible uses.

use std::sync::Arc;
use std::time::Duration;

use crate::core::time::Monotonic;

/// One remembered answer: the last good one with its times, and the failure after it.
///
/// A policy decides once, when something is learnt, how long it holds. The entry stores the times, and
/// [`serve`](Self::serve) only compares them. The policies of this crate are
/// [`WellKnownEntry::learn`](crate::cache::WellKnownEntry) and
/// [`DnsEntry::learn`](crate::cache::DnsEntry); your own cache may use another:
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::time::Monotonic;
/// use matrix_delegation::cache::{CacheEntry, FailureTerms, GoodTerms, Purpose, Served};
///
/// let at = |seconds| Monotonic::from_origin(Duration::from_secs(seconds));
/// // It holds for 100 s, is renewed in the last fifth of that, and may be served stale until 500 s.
/// let terms = GoodTerms { expires: at(100), ahead_percent: 20, stale_until: at(500) };
/// let entry: CacheEntry<&str, &str> = CacheEntry::good("192.0.2.1", at(0), terms);
/// assert!(entry.serve(at(79), Purpose::Renewal).is_some());
/// assert!(entry.serve(at(80), Purpose::Renewal).is_none()); // ask again
///
/// // The renewal fails. The good answer holds as before, and is then served stale.
/// let terms = FailureTerms {
///     retry_at: at(110),
///     recheck_at: at(110),
///     good_until: at(500),
///     lost_until: at(600),
///     backed_off: 1,
/// };
/// let entry = CacheEntry::failed(Some(&entry), "time-out", at(80), terms);
/// assert!(matches!(entry.serve(at(99), Purpose::Answer), Some(Served::Holds { .. })));
/// let Some(Served::Stale { value, because, .. }) = entry.serve(at(100), Purpose::Answer) else {
///     panic!()
/// };
/// assert_eq!((*value, because), ("192.0.2.1", Some(&"time-out")));
/// assert!(entry.serve(at(110), Purpose::Answer).is_none()); // ask again
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CacheEntry<G, F>(Known<G, F>);

/// An entry knows something good, a failure, or a failure that came after something good.
#[derive(Clone, Debug, PartialEq)]
enum Known<G, F> {
    /// The failure, if there is one, came later.
    Good(Good<G>, Option<Arc<Failure<F>>>),
    Failed(Arc<Failure<F>>),
}

/// A good answer and its times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Good<G> {
    pub(crate) value: G,
    pub(crate) obtained: Monotonic,
    pub(crate) terms: GoodTerms,
}

/// A failure and its times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure<F> {
    pub(crate) why: F,
    pub(crate) at: Monotonic,
    /// How many there were in a row, this one included.
    pub(crate) in_a_row: u32,
    pub(crate) terms: FailureTerms,
}

/// How long a good answer may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GoodTerms {
    /// It expires at this moment.
    pub expires: Monotonic,
    /// The last part of its life, in percent, in which it is renewed in the background; 0 renews
    /// nothing in the background.
    pub ahead_percent: u8,
    /// Until when it may be served stale (exclusive).
    pub stale_until: Monotonic,
}

/// How long a failure counts, and what it means for the good answer before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureTerms {
    /// When to ask again.
    pub retry_at: Monotonic,
    /// When to ask again if a caller reports that the answer leads nowhere.
    pub recheck_at: Monotonic,
    /// Until when the good answer is served stale after this failure (exclusive).
    /// [`Monotonic::MIN`]: the failure replaces the good answer.
    pub good_until: Monotonic,
    /// Until when the good answer counts as lost, which is worth a warning and an early retry
    /// (exclusive). [`Monotonic::MIN`]: it does not.
    pub lost_until: Monotonic,
    /// The number of failures in a row that backed off, this one included. The next pause follows from
    /// it.
    pub backed_off: u32,
}

/// What a remembered answer is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// A caller waits for an answer.
    Answer,
    /// A renewal in the background, ahead of the end.
    Renewal,
    /// A caller reports that the answer led nowhere. It is asked for again, unless that was done less
    /// than `apart` ago or it is in back-off.
    Recheck {
        /// The least time between two questions.
        apart: Duration,
    },
    /// A caller does not wait for what has expired to be renewed.
    AtOnce,
}

/// What a remembered answer may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Served<'a, G, F> {
    /// The good answer, which holds.
    Holds {
        /// The answer.
        value: &'a G,
        /// Until when it holds.
        until: Monotonic,
    },
    /// The good answer, which has expired.
    Stale {
        /// The answer.
        value: &'a G,
        /// The failure to renew it; `None` where it is not renewed yet.
        because: Option<&'a F>,
        /// Until when it is served for that; not later than now where it is to be renewed.
        until: Monotonic,
    },
    /// No good answer.
    Failed {
        /// Why.
        why: &'a F,
        /// Whether there was a good answer not long ago.
        lost: bool,
        /// Until when the failure counts.
        until: Monotonic,
    },
}

impl<'a, G, F> Served<'a, G, F> {
    /// Returns the last outcome: the good answer, unless a failure came after it.
    pub(crate) const fn said(self) -> Result<&'a G, &'a F> {
        match self {
            Self::Holds { value, .. } | Self::Stale { value, because: None, .. } => Ok(value),
            Self::Stale { because: Some(why), .. } | Self::Failed { why, .. } => Err(why),
        }
    }

    /// Returns whether it is the good answer, which holds.
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Holds { .. })
    }
}

impl<G> Good<G> {
    /// Returns when it is to be renewed in the background.
    pub(crate) fn renew_at(&self) -> Monotonic {
        let GoodTerms { expires, ahead_percent, .. } = self.terms;
        match ahead_percent {
            0 => Monotonic::MAX,
            percent => {
                let life = expires.since(self.obtained).as_nanos();
                let ahead = life * u128::from(percent.min(100)) / 100;
                expires.before(Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX)))
            }
        }
    }

    pub(crate) fn withdraw(&mut self, at: Monotonic) {
        self.terms.expires = self.terms.expires.min(at);
        self.terms.stale_until = Monotonic::MIN;
    }

    fn holds(&self, now: Monotonic) -> bool {
        now < self.terms.expires
    }
}

impl<F> Failure<F> {
    /// Returns whether it counts, so that nothing is asked yet.
    fn counts(&self, now: Monotonic) -> bool {
        now < self.terms.retry_at
    }

    fn served<G>(&self, had_good: bool, now: Monotonic) -> Served<'_, G, F> {
        Served::Failed {
            why: &self.why,
            lost: had_good && now < self.terms.lost_until,
            until: self.terms.retry_at,
        }
    }
}

impl<G: Clone, F> CacheEntry<G, F> {
    /// Remembers a good answer that came at this time. It takes the place of all that was known.
    pub const fn good(value: G, at: Monotonic, terms: GoodTerms) -> Self {
        Self(Known::Good(Good { value, obtained: at, terms }, None))
    }

    /// Remembers a failure that came at this time, beside the good answer of `before`. A good answer
    /// that has expired and is neither served nor missed any more is dropped.
    pub fn failed(before: Option<&Self>, why: F, at: Monotonic, terms: FailureTerms) -> Self {
        let in_a_row = before.map_or(0, Self::failures).saturating_add(1);
        Self::failed_after(before, why, at, terms, in_a_row)
    }

    /// Remembers, beside the good answer of `before`, that this machine could not ask: it counts as no
    /// failure, and only says when to ask again.
    pub(crate) fn failed_locally(
        before: Option<&Self>,
        why: F,
        at: Monotonic,
        terms: FailureTerms,
    ) -> Self {
        Self::failed_after(before, why, at, terms, before.map_or(0, Self::failures))
    }

    fn failed_after(
        before: Option<&Self>,
        why: F,
        at: Monotonic,
        terms: FailureTerms,
        in_a_row: u32,
    ) -> Self {
        let failure = Arc::new(Failure { why, at, in_a_row, terms });
        let still_needed =
            |good: &&Good<G>| good.holds(at) || at < terms.good_until.max(terms.lost_until);
        match before.and_then(Self::good_part).filter(still_needed) {
            Some(good) => Self(Known::Good(good.clone(), Some(failure))),
            None => Self(Known::Failed(failure)),
        }
    }

    /// Withdraws the good answer at this time: it does not hold any more, and is not served stale.
    pub(crate) fn withdrawn(mut self, at: Monotonic) -> Self {
        if let Known::Good(good, _) = &mut self.0 {
            good.withdraw(at);
        }
        self
    }

    /// Returns when the good answer was withdrawn, if it was.
    pub(crate) fn withdrawn_at(&self) -> Option<Monotonic> {
        let withdrawn = |good: &&Good<G>| good.terms.stale_until == Monotonic::MIN;
        self.good_part().filter(withdrawn).map(|good| good.terms.expires)
    }

    /// Combines parts that were stored apart.
    pub(crate) fn from_parts(good: Option<Good<G>>, failure: Failure<F>) -> Self {
        match good {
            Some(good) => Self(Known::Good(good, Some(Arc::new(failure)))),
            None => Self(Known::Failed(Arc::new(failure))),
        }
    }
}

impl<G, F> CacheEntry<G, F> {
    /// Returns what may be used at this time; `None` says to ask.
    pub fn serve(&self, now: Monotonic, purpose: Purpose) -> Option<Served<'_, G, F>> {
        let (good, failure) = (self.good_part(), self.failure_part());
        if let Some(good) = good.filter(|good| good.holds(now)) {
            let backs_off = failure.is_some_and(|failure| failure.counts(now));
            let suffices = match purpose {
                Purpose::Answer | Purpose::AtOnce => true,
                Purpose::Renewal => backs_off || now < good.renew_at(),
                Purpose::Recheck { apart } => self.is_recent(now, apart),
            };
            return suffices
                .then_some(Served::Holds { value: &good.value, until: good.terms.expires });
        }
        let served = match (good, failure) {
            (Some(good), None) => {
                let in_time = now < good.terms.stale_until;
                let stale =
                    Served::Stale { value: &good.value, because: None, until: good.terms.expires };
                return (purpose == Purpose::AtOnce && in_time).then_some(stale);
            }
            (good, Some(failure)) => Self::after_failure(good, failure, now),
            (None, None) => return None,
        };
        let failure = failure?;
        match purpose {
            Purpose::AtOnce if matches!(served, Served::Stale { .. }) => Some(served),
            Purpose::Recheck { apart } => {
                (failure.counts(now) && self.is_recent(now, apart)).then_some(served)
            }
            _ => failure.counts(now).then_some(served),
        }
    }

    /// Returns the outcome for a caller that just asked. It ignores expiry, so that an answer with a
    /// lifetime of zero reaches those who waited for it. After a failure, the earlier good answer is
    /// stale.
    pub fn obtained(&self, now: Monotonic) -> Served<'_, G, F> {
        match &self.0 {
            Known::Good(good, None) => {
                Served::Holds { value: &good.value, until: good.terms.expires }
            }
            Known::Good(good, Some(failure)) => Self::after_failure(Some(good), failure, now),
            Known::Failed(failure) => failure.served(false, now),
        }
    }

    /// Returns what is served after a failure if the good answer before it has expired.
    fn after_failure<'a>(
        good: Option<&'a Good<G>>,
        failure: &'a Failure<F>,
        now: Monotonic,
    ) -> Served<'a, G, F> {
        let FailureTerms { retry_at, good_until, .. } = failure.terms;
        match good {
            Some(good) if now < good_until => Served::Stale {
                value: &good.value,
                because: Some(&failure.why),
                until: retry_at.min(good_until),
            },
            good => failure.served(good.is_some(), now),
        }
    }

    /// Returns whether it was asked for less than `apart` ago, or is in back-off even for reports.
    fn is_recent(&self, now: Monotonic, apart: Duration) -> bool {
        let backs_off = |failure: &Failure<F>| now < failure.terms.recheck_at;
        now.since(self.learnt()) < apart || self.failure_part().is_some_and(backs_off)
    }

    /// Returns the last good answer that is remembered, whether it may be used or not.
    pub fn last_good(&self) -> Option<&G> {
        self.good_part().map(|good| &good.value)
    }

    /// Returns the failure that came after the last good answer, if one did.
    pub fn failure(&self) -> Option<&F> {
        self.failure_part().map(|failure| &failure.why)
    }

    /// Returns when something was last learnt, good or bad.
    pub fn learnt(&self) -> Monotonic {
        match &self.0 {
            Known::Good(good, None) => good.obtained,
            Known::Good(_, Some(failure)) | Known::Failed(failure) => failure.at,
        }
    }

    /// Returns until when that counts: the expiry of a good answer, the retry of a failure.
    pub fn until(&self) -> Monotonic {
        match &self.0 {
            Known::Good(good, None) => good.terms.expires,
            Known::Good(_, Some(failure)) | Known::Failed(failure) => failure.terms.retry_at,
        }
    }

    /// Returns when to renew it in the background: ahead of its expiry, or at the retry of a failure.
    pub fn renew_at(&self) -> Monotonic {
        match &self.0 {
            Known::Good(good, None) => good.renew_at(),
            Known::Good(good, Some(failure)) => failure.terms.retry_at.max(good.renew_at()),
            Known::Failed(failure) => failure.terms.retry_at,
        }
    }

    /// Returns how many failures came in a row since the last good answer.
    pub fn failures(&self) -> u32 {
        self.failure_part().map_or(0, |failure| failure.in_a_row)
    }

    /// Returns since when what is served at this time is known.
    pub fn served_since(&self, now: Monotonic) -> Monotonic {
        match self.good_part().filter(|good| good.holds(now)) {
            Some(good) => good.obtained,
            None => self.learnt(),
        }
    }

    pub(crate) const fn good_part(&self) -> Option<&Good<G>> {
        match &self.0 {
            Known::Good(good, _) => Some(good),
            Known::Failed(_) => None,
        }
    }

    pub(crate) fn failure_part(&self) -> Option<&Failure<F>> {
        match &self.0 {
            Known::Good(_, failure) => failure.as_deref(),
            Known::Failed(failure) => Some(failure),
        }
    }
}
