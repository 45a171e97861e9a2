//! How long each answer holds, what it serves, and when it is asked for again: the two policies.
//!
//! Each judges once, when something is learnt; [`CacheEntry`] then only compares times.
//!
//! # The well-known of a host
//!
//! Fields are of [`WellKnownLifetimes`] where no other struct is named.
//!
//! | learnt | holds | renewed | when it has expired |
//! | --- | --- | --- | --- |
//! | a document | as its headers say, within `least` .. `most`; else `unstated` less jitter | in the last `Refresh::ahead_percent` of that | is served stale after failures that do not end the delegation, and to callers whose renewal takes longer than `Refresh::wait`, until `stale` after its fetch, whatever `must-revalidate` says |
//!
//! | failure | kind | asked again after |
//! | --- | --- | --- |
//! | DNS failed, no connection, TLS, time, cut off, too large, 408, 5xx, a look-up that was abandoned | temporary | `temporary`, doubling to `temporary_most` |
//! | 429 | temporary | `Retry-After` within `retry_after_least` .. `retry_after_most`, else as above |
//! | no such host, no address | permanent | its negative TTL, at most `permanent` |
//! | addresses blocked, other statuses, redirect refused, bad JSON, bad name | permanent | `permanent` |
//!
//! | failure of a host that is known to delegate | `Explicit` | `AnyPermanent` | `AnyResponse` | asked again after |
//! | --- | --- | --- | --- | --- |
//! | 404, 410, a JSON object without `m.server` | ends the delegation | ends it | ends it | `temporary`, doubling to `temporary_most` |
//! | NXDOMAIN for the host itself | ends it | ends it | temporary | the same |
//! | other statuses than 408, 429 and 5xx, bad JSON, bad name, content coding | temporary | ends it | ends it | the same |
//! | no address, no such host after a redirect, redirect refused, addresses blocked | temporary | ends it | temporary | the same |
//! | what is temporary by the table above | temporary | temporary | temporary | the same; 429 as above |
//!
//! - The columns are `Withdrawal`. By default only the server's own word ends a delegation, since
//!   whoever stands between may say anything else: a challenge, a captive portal, a proxy.
//! - While a document holds, no failure replaces it. Then a temporary failure leaves it in service, and
//!   one that ends the delegation does not: the last word counts.
//! - A host is known to delegate for `remembered` after the last fetch of a document. What is found
//!   without it meanwhile is degraded.
//! - A document resets the back-off. A permanent failure of a host that is not known to delegate
//!   resets it, too. Jitter only shortens.
//! - A report that a contact failed has the host asked again, unless that was done less than
//!   `Feedback::apart` ago or a temporary failure backs off. One that ends the delegation and comes
//!   for the second time in a row withdraws the document, although it would hold: no later failure
//!   brings it back, nor does a restart or another process.
//!
//! # An answer of DNS
//!
//! Fields are of [`DnsLifetimes`].
//!
//! | learnt | holds | when it has expired |
//! | --- | --- | --- |
//! | records | the least TTL on the way, within `least` .. `most` | are served stale after failures and to callers whose renewal is slow, until `stale` after that (RFC 8767) |
//! | none, with a SOA record | its negative TTL, within `negative_least` .. `negative_most` (RFC 2308) | is served stale to callers whose renewal is slow, as long; a failure replaces it |
//! | none, without one, or not implemented | `negative_unstated` | is served stale to callers whose renewal is slow, as long; a failure replaces it |
//! | a failure | `failed`, doubling to `failed_most`; records that hold are not replaced | |
//!
//! - Any answer that is no failure resets the back-off.
//! - That this machine could not ask ([`DnsFailure::Local`], `FetchFailureKind::Local`) is no answer, of DNS
//!   or of a web server: it counts as no failure, leaves every back-off as it is, is not recorded, and only
//!   paces what is asked: `TimeLimits::local_pause`, doubling to `local_pause_most`. What was known before is
//!   served stale meanwhile.
//! - An address family that failed beside the other's records is asked again after `incomplete`,
//!   however far its back-off has come: [`family_is_due`].

use std::time::Duration;

use super::entry::{CacheEntry, FailureTerms, Good, GoodTerms};
use crate::core::config::{Config, DnsLifetimes, TimeLimits, WellKnownLifetimes, doubled};
use crate::core::dns::{
    DnsAnswer, DnsError, DnsFailure, DnsQuestion, DnsRecords, NoRecord, SplitMix64,
};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::{FailureClass, Freshness, WellKnown, WellKnownFailure};

/// What is known of a host's well-known document.
pub type WellKnownEntry = CacheEntry<WellKnown, WellKnownFailure>;

/// What is known of the answer to a question to DNS.
pub type DnsEntry = CacheEntry<DnsRecords, DnsError>;

impl WellKnownEntry {
    /// Judges what came of a fetch at `now`, after what was known before. The seed draws jitter.
    pub fn learn(
        before: Option<&Self>,
        outcome: Result<(WellKnown, Freshness), WellKnownFailure>,
        now: Now,
        config: &Config,
        seed: u64,
    ) -> Self {
        Self::judge(before, outcome, now, config, &mut SplitMix64(seed))
    }

    pub(crate) fn judge(
        before: Option<&Self>,
        outcome: Result<(WellKnown, Freshness), WellKnownFailure>,
        now: Now,
        config: &Config,
        random: &mut SplitMix64,
    ) -> Self {
        let (lifetimes, now) = (&config.well_known, now.monotonic);
        match outcome {
            Ok((document, freshness)) => {
                let expires = now + lifetimes.good(freshness, random);
                Self::good(document, now, Self::document_terms(now, expires, config))
            }
            Err(failure) if failure.is_local() => {
                let known = before.and_then(Self::good_part);
                let known = known.filter(|good| now.since(good.obtained) <= lifetimes.remembered);
                let earlier = before.and_then(Self::failure_part);
                let retry_at = config.time.retry_locally(
                    earlier.filter(|it| it.why.is_local()).map(|it| it.terms.retry_at.since(it.at)),
                    now,
                );
                let backed_off = earlier.map_or(0, |it| it.terms.backed_off);
                let terms = Self::failure_terms(known, true, retry_at, backed_off, lifetimes);
                Self::failed_locally(before, failure, now, terms)
            }
            Err(failure) => {
                let terms = Self::judge_failure(before, &failure, now, lifetimes, random);
                Self::failed(before, failure, now, terms)
            }
        }
    }

    pub(crate) fn document_terms(
        fetched: Monotonic,
        expires: Monotonic,
        config: &Config,
    ) -> GoodTerms {
        // An age of `stale` is in time.
        let stale_until = (fetched + config.well_known.stale).just_after();
        GoodTerms { expires, ahead_percent: config.refresh.ahead_percent, stale_until }
    }

    fn judge_failure(
        before: Option<&Self>,
        failure: &WellKnownFailure,
        now: Monotonic,
        lifetimes: &WellKnownLifetimes,
        random: &mut SplitMix64,
    ) -> FailureTerms {
        let known = before.and_then(Self::good_part);
        let known = known.filter(|good| now.since(good.obtained) <= lifetimes.remembered);
        let earlier = before.and_then(Self::failure_part).map_or(0, |it| it.terms.backed_off);
        let temporary = lifetimes.is_temporary(failure.class(), known);
        let backs_off = temporary || known.is_some();
        let lifetime = match failure {
            WellKnownFailure::Status { status: 429, retry_after: Some(after) } => {
                (*after).min(lifetimes.retry_after_most).max(lifetimes.retry_after_least)
            }
            _ if backs_off => lifetimes.backed_off(earlier, random),
            WellKnownFailure::NoAddress { lifetime, .. } => (*lifetime).min(lifetimes.permanent),
            _ => lifetimes.jittered(lifetimes.permanent, random),
        };
        let backed_off = if backs_off { earlier.saturating_add(1) } else { 0 };
        let retry_at = now + lifetime;
        Self::failure_terms(known, temporary, retry_at, backed_off, lifetimes)
    }

    /// Returns what a failure means for the document that was known before, if one was. Its age then
    /// was at most `remembered`.
    pub(crate) fn failure_terms(
        known: Option<&Good<WellKnown>>,
        temporary: bool,
        retry_at: Monotonic,
        backed_off: u32,
        lifetimes: &WellKnownLifetimes,
    ) -> FailureTerms {
        let served = known.filter(|_| temporary);
        // An age of `remembered` is in time.
        let lost_until = |good: &Good<_>| (good.obtained + lifetimes.remembered).just_after();
        FailureTerms {
            retry_at,
            recheck_at: if temporary { retry_at } else { Monotonic::MIN },
            good_until: served.map_or(Monotonic::MIN, |good| good.terms.stale_until),
            lost_until: known.map_or(Monotonic::MIN, lost_until),
            backed_off,
        }
    }

    /// Returns whether the last that is known is that this machine could not ask.
    #[cfg(feature = "resolver")]
    pub(crate) fn is_local(&self) -> bool {
        self.failure().is_some_and(WellKnownFailure::is_local)
    }

    /// Returns whether the host is known to have delegated, by a document too old to serve
    /// failures.
    pub(crate) fn is_lost(&self, now: Monotonic, lifetimes: &WellKnownLifetimes) -> bool {
        self.good_part().is_some_and(|good| {
            now >= good.terms.stale_until && now.since(good.obtained) <= lifetimes.remembered
        })
    }

    /// Returns what is known after the host was asked because a caller had reported that its document leads
    /// nowhere: what it says for the second time in a row, that there is none, is believed.
    #[must_use]
    pub fn after_report(self, before: Option<&Self>, lifetimes: &WellKnownLifetimes) -> Self {
        let ends = |why: &WellKnownFailure| why.class().ends_delegation(lifetimes.withdrawal);
        let denied = |it: &Self| it.failure().is_some_and(ends);
        let at = self.learnt();
        if denied(&self) && before.is_some_and(denied) { self.withdrawn(at) } else { self }
    }

    /// Returns what is known by two accounts, one's own and that of an earlier or another process: what was
    /// learnt last, of two at a time the other, with the later of both documents. A document that either of
    /// them saw withdrawn is no newer for having been fetched twice.
    #[must_use]
    pub fn merged(self, other: Self, lifetimes: &WellKnownLifetimes) -> Self {
        let (earlier, later) =
            if self.learnt() <= other.learnt() { (self, other) } else { (other, self) };
        let goods = [&earlier, &later].into_iter().filter_map(Self::good_part);
        let good = goods.max_by_key(|good| good.obtained).cloned();
        let (Some(mut failure), Some(mut good)) = (later.failure_part().cloned(), good) else {
            return later;
        };
        // The same document, fetched by each, or known to one by a clock that is a little off.
        let withdrawn = [&earlier, &later].into_iter().filter_map(Self::withdrawn_at).max();
        if let Some(at) = withdrawn.filter(|at| good.obtained <= *at) {
            good.withdraw(at);
        }
        let known = Some(&good).filter(|it| failure.at.since(it.obtained) <= lifetimes.remembered);
        let FailureTerms { retry_at, backed_off, .. } = failure.terms;
        let temporary = lifetimes.is_temporary(failure.why.class(), known);
        failure.terms = Self::failure_terms(known, temporary, retry_at, backed_off, lifetimes);
        Self::from_parts(Some(good), failure)
    }
}

impl DnsEntry {
    /// Judges the answer to `question` that came at `now`, after what was known before.
    pub fn learn(
        before: Option<&Self>,
        question: &DnsQuestion,
        answer: DnsAnswer,
        now: Monotonic,
        config: &Config,
    ) -> Self {
        let lifetimes = &config.dns;
        let (lifetime, found) = (lifetimes.of(&answer), matches!(answer, DnsAnswer::Found { .. }));
        match DnsRecords::new(question, answer) {
            Ok(records) => {
                // The TTL of unusable records says nothing about there being none.
                let unusable = found && records.none().is_some();
                let lifetime = if unusable { lifetimes.negative_unstated } else { lifetime };
                let expires = now + lifetime;
                let stale_until = expires + lifetimes.stale;
                let ahead_percent = config.refresh.ahead_percent;
                Self::good(records, now, GoodTerms { expires, ahead_percent, stale_until })
            }
            Err(error) => {
                let is_local = |error: &DnsError| error.failure == DnsFailure::Local;
                let in_a_row = before.map_or(0, Self::failures);
                let retry_at = if is_local(&error) {
                    let earlier = before.and_then(Self::failure_part);
                    let earlier = earlier.filter(|it| is_local(&it.why));
                    let pause = earlier.map(|it| it.terms.retry_at.since(it.at));
                    config.time.retry_locally(pause, now)
                } else {
                    now + lifetimes.backed_off(in_a_row)
                };
                let good = before.and_then(Self::good_part);
                // What a server could not say ends that there is none; what this machine could not ask does not.
                let records = good.filter(|it| is_local(&error) || it.value.none().is_none());
                let terms = FailureTerms {
                    retry_at,
                    recheck_at: retry_at,
                    good_until: records.map_or(Monotonic::MIN, |good| good.terms.stale_until),
                    lost_until: Monotonic::MIN,
                    backed_off: in_a_row.saturating_add(u32::from(!is_local(&error))),
                };
                if is_local(&error) {
                    Self::failed_locally(before, error, now, terms)
                } else {
                    Self::failed(before, error, now, terms)
                }
            }
        }
    }
}

/// Returns whether an address family is to be asked again although its back-off has not ended: it failed a
/// while ago, and nothing of it holds, beside records of the other family.
pub fn family_is_due(
    family: &DnsEntry,
    other: Option<&DnsEntry>,
    now: Monotonic,
    lifetimes: &DnsLifetimes,
) -> bool {
    let holds = family.good_part().is_some_and(|good| now < good.terms.expires);
    let failed = family.failure().is_some() && !holds;
    let found = |it: &DnsEntry| {
        it.failure().is_none() && it.last_good().is_some_and(|records| records.none().is_none())
    };
    failed && now.since(family.learnt()) >= lifetimes.incomplete && other.is_some_and(found)
}

impl WellKnownLifetimes {
    /// Returns whether a failure counts as temporary, after the document that is known. One that does
    /// not end a delegation does.
    pub(crate) fn is_temporary(
        &self,
        class: FailureClass,
        known: Option<&Good<WellKnown>>,
    ) -> bool {
        match known {
            Some(_) => !class.ends_delegation(self.withdrawal),
            None => class.is_temporary(),
        }
    }

    /// Returns how long a good answer with these headers holds.
    fn good(&self, freshness: Freshness, random: &mut SplitMix64) -> Duration {
        let stated = match freshness {
            Freshness::For(lifetime) => lifetime,
            Freshness::Unstated => self.jittered(self.unstated, random),
        };
        stated.min(self.most).max(self.least)
    }

    /// Returns the pause after a failure: doubled for each failure in a row before it, up to the
    /// maximum.
    fn backed_off(&self, earlier: u32, random: &mut SplitMix64) -> Duration {
        self.jittered(doubled(self.temporary, earlier).min(self.temporary_most), random)
    }

    /// Returns `lifetime` less a random part of up to `jitter_percent`.
    fn jittered(&self, lifetime: Duration, random: &mut SplitMix64) -> Duration {
        let most = lifetime.as_nanos() / 100 * u128::from(self.jitter_percent.min(100));
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        lifetime.saturating_sub(Duration::from_nanos(random.up_to(most)))
    }
}

impl TimeLimits {
    /// Returns when to ask again after this machine could not: twice as long after as the last time, if
    /// it could not then either.
    fn retry_locally(&self, last_pause: Option<Duration>, now: Monotonic) -> Monotonic {
        let pause = last_pause.map_or(self.local_pause, |pause| pause.saturating_mul(2));
        now + pause.min(self.local_pause_most)
    }
}

impl DnsLifetimes {
    /// Returns the pause after a failure: doubled for each failure in a row before it, up to the
    /// maximum.
    fn backed_off(&self, earlier: u32) -> Duration {
        doubled(self.failed, earlier).min(self.failed_most)
    }

    /// Returns how long an answer holds that is no failure.
    fn of(&self, answer: &DnsAnswer) -> Duration {
        match answer {
            DnsAnswer::Found { ttl, .. } => (*ttl).min(self.most).max(self.least),
            DnsAnswer::None { kind: NoRecord::NotImplemented, .. }
            | DnsAnswer::None { ttl: None, .. } => self.negative_unstated,
            DnsAnswer::None { ttl: Some(ttl), .. } => {
                (*ttl).min(self.negative_most).max(self.negative_least)
            }
            DnsAnswer::Failed { .. } => Duration::ZERO,
        }
    }
}
