//! A DNS answer with its lifetime: what a driver may remember and hand to later discoveries.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::config::{Config, DnsLifetimes};
use crate::core::dns::{DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, SrvRecord};
use crate::core::time::Monotonic;

/// A DNS answer with its lifetime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsPart {
    /// Shared with the reports of all discoveries that it was used in.
    answer: Arc<DnsAnswer>,
    obtained: Monotonic,
    lifetime: Duration,
    failures: u32,
    /// After a failure: the records that stand in for it.
    last_good: Option<LastGood>,
}

/// Records that a later failure has not made forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LastGood {
    records: Arc<DnsAnswer>,
    /// When their TTL ran out.
    until: Monotonic,
}

/// What a resolution goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DnsInUse<'a> {
    pub(crate) answer: &'a DnsAnswer,
    /// Until when it may be gone by.
    pub(crate) until: Monotonic,
    /// The failure that earlier records stand in for.
    pub(crate) stale: Option<DnsFailure>,
    /// Whether an alias was followed to get there.
    pub(crate) alias: bool,
}

impl<'a> DnsInUse<'a> {
    pub(crate) fn addresses(&self) -> &'a [IpAddr] {
        match self.answer {
            DnsAnswer::Found { records: Records::Addresses(addresses), .. } => addresses,
            _ => &[],
        }
    }

    pub(crate) fn srv_records(&self) -> &'a [SrvRecord] {
        match self.answer {
            DnsAnswer::Found { records: Records::Srv(records), .. } => records,
            _ => &[],
        }
    }
}

impl DnsPart {
    /// More records than this of one answer are not kept; those are that would be used first.
    const MOST_RECORDS: usize = 64;

    /// The answer to `question` that came at `now`, kept for as long as `lifetimes` says; `before`
    /// is what was known until then, if anything, so that failures in a row back off.
    ///
    /// Records are put into order and each is kept once, 64 at the most. Addresses of another
    /// family than asked for are dropped, an empty answer is "no data", and
    /// an answer to another kind of question is malformed.
    pub fn new(
        question: &DnsQuestion,
        answer: DnsAnswer,
        now: Monotonic,
        before: Option<&Self>,
        lifetimes: &DnsLifetimes,
    ) -> Self {
        let answer = normalised(question, answer);
        let earlier = before.map_or(0, |before| before.failures);
        let (lifetime, failures, last_good) = match &answer {
            DnsAnswer::Failed { .. } => {
                let good = before.and_then(Self::good);
                let good = good.filter(|good| now < good.until + lifetimes.stale);
                (lifetimes.backed_off(earlier), earlier.saturating_add(1), good)
            }
            answer => (lifetimes.of(answer), 0, None),
        };
        Self { answer: Arc::new(answer), obtained: now, lifetime, failures, last_good }
    }

    /// What DNS said of it last that was no failure, whether it holds or not.
    #[cfg(any(feature = "resolver", test))]
    pub(crate) fn last_said(&self) -> Option<&DnsAnswer> {
        match &*self.answer {
            DnsAnswer::Failed { .. } => self.last_good.as_ref().map(|good| &*good.records),
            answer => Some(answer),
        }
    }

    /// The records that there are, of now or of earlier.
    fn good(&self) -> Option<LastGood> {
        match &*self.answer {
            DnsAnswer::Found { .. } => {
                Some(LastGood { records: Arc::clone(&self.answer), until: self.until() })
            }
            DnsAnswer::None { .. } => None,
            DnsAnswer::Failed { .. } => self.last_good.clone(),
        }
    }

    /// The same for a resolution that cannot wait for it to be renewed: as it is while it holds, then
    /// the last good records, or that there are none, for as long as they may stand in; `None` if
    /// there is nothing.
    pub fn standing_in(&self, now: Monotonic, config: &Config) -> Option<Self> {
        if now < self.until() {
            return Some(self.clone());
        }
        let in_time = |until: Monotonic| now < until + config.dns.stale;
        let said = match &*self.answer {
            DnsAnswer::None { .. } => {
                Some(LastGood { records: Arc::clone(&self.answer), until: self.until() })
            }
            _ => self.good(),
        };
        let last_good = Some(said.filter(|said| in_time(said.until))?);
        // It is marked stale, as by a look-up that was not in time.
        let answer = Arc::new(DnsAnswer::failed(DnsFailure::Timeout));
        let (lifetime, failures) = (config.dns.least, self.failures);
        Some(Self { answer, obtained: now, lifetime, failures, last_good })
    }

    /// What a resolution goes by at `now`: after a failure the last good records, until they have
    /// been out of date for `stale`.
    pub(crate) fn in_use(&self, now: Monotonic, stale: Duration) -> DnsInUse<'_> {
        let alias = |answer: &DnsAnswer| matches!(answer, DnsAnswer::Found { alias: true, .. });
        if let (DnsAnswer::Failed { failure, .. }, Some(good)) = (&*self.answer, &self.last_good)
            && now < good.until + stale
        {
            return DnsInUse {
                answer: &good.records,
                until: self.until().min(good.until + stale),
                stale: Some(*failure),
                alias: alias(&good.records),
            };
        }
        let answer = &*self.answer;
        DnsInUse { answer, until: self.until(), stale: None, alias: alias(answer) }
    }

    /// The answer.
    pub const fn answer(&self) -> &Arc<DnsAnswer> {
        &self.answer
    }

    /// After a failure, the records that stand in for it.
    #[cfg(any(feature = "resolver", test))]
    pub(crate) fn last_good_records(&self) -> Option<&Arc<DnsAnswer>> {
        self.last_good.as_ref().map(|good| &good.records)
    }

    /// When it came.
    pub const fn obtained(&self) -> Monotonic {
        self.obtained
    }

    /// How long it is kept, from then.
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// How many look-ups failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Until when it is kept.
    pub fn until(&self) -> Monotonic {
        self.obtained + self.lifetime
    }
}

fn normalised(question: &DnsQuestion, answer: DnsAnswer) -> DnsAnswer {
    let DnsAnswer::Found { mut records, ttl, alias } = answer else { return answer };
    let left = match (question, &mut records) {
        (DnsQuestion::Addresses { family, .. }, Records::Addresses(addresses)) => {
            addresses.retain(|address| Family::of(*address) == *family);
            addresses.sort_unstable();
            addresses.dedup();
            addresses.truncate(DnsPart::MOST_RECORDS);
            addresses.len()
        }
        (DnsQuestion::Srv { .. }, Records::Srv(records)) => {
            // As they are used: by priority, then by weight.
            records.sort_unstable_by(|a, b| {
                let key = |it: &SrvRecord| (it.priority, Reverse(it.weight));
                key(a).cmp(&key(b)).then_with(|| a.cmp(b))
            });
            records.dedup();
            records.truncate(DnsPart::MOST_RECORDS);
            records.len()
        }
        _ => return DnsAnswer::failed(DnsFailure::Malformed),
    };
    match left {
        0 => DnsAnswer::None { kind: NoRecord::NoData, ttl: None },
        _ => DnsAnswer::Found { records, ttl, alias },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(answer: DnsAnswer) -> u64 {
        let question =
            DnsQuestion::Addresses { host: "a.example".parse().unwrap(), family: Family::V4 };
        let part = DnsPart::new(&question, answer, Monotonic::ZERO, None, &DnsLifetimes::default());
        part.lifetime().as_secs()
    }

    fn found(ttl: u64) -> DnsAnswer {
        DnsAnswer::Found {
            records: Records::Addresses(vec!["192.0.2.1".parse().unwrap()]),
            ttl: Duration::from_secs(ttl),
            alias: false,
        }
    }

    fn none(kind: NoRecord, ttl: Option<u64>) -> DnsAnswer {
        DnsAnswer::None { kind, ttl: ttl.map(Duration::from_secs) }
    }

    #[test]
    fn each_row_of_the_dns_lifetimes() {
        for (answer, seconds) in [
            (found(0), 5),
            (found(5), 5),
            (found(300), 300),
            (found(1 << 31), 86_400),
            (none(NoRecord::NxDomain, Some(0)), 5),
            (none(NoRecord::NxDomain, Some(900)), 900),
            (none(NoRecord::NoData, Some(7200)), 3600),
            (none(NoRecord::NoData, None), 60),
            (none(NoRecord::NotImplemented, Some(900)), 60),
            (DnsAnswer::failed(DnsFailure::ServFail), 30),
            (DnsAnswer::failed(DnsFailure::Timeout), 30),
        ] {
            assert_eq!(kept(answer.clone()), seconds, "{answer:?}");
        }
    }

    #[test]
    fn failures_in_a_row_back_off_from_half_a_minute_to_ten() {
        let question =
            DnsQuestion::Addresses { host: "a.example".parse().unwrap(), family: Family::V4 };
        let lifetimes = DnsLifetimes::default();
        let next = |answer, before: Option<&DnsPart>| {
            DnsPart::new(&question, answer, Monotonic::ZERO, before, &lifetimes)
        };
        let mut before: Option<DnsPart> = None;
        let mut kept = Vec::new();
        for _ in 0..7 {
            let part = next(DnsAnswer::failed(DnsFailure::Timeout), before.as_ref());
            kept.push(part.lifetime().as_secs());
            before = Some(part);
        }
        assert_eq!(kept, [30, 60, 120, 240, 480, 600, 600]);
        let good = next(found(300), before.as_ref());
        assert_eq!((good.failures(), good.lifetime().as_secs()), (0, 300));
        let failed = next(DnsAnswer::failed(DnsFailure::Timeout), Some(&good));
        assert_eq!((failed.failures(), failed.lifetime().as_secs()), (1, 30));
    }

    /// A moment, in seconds.
    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    /// Of one question, each answer of which comes at its time.
    fn after(answers: &[(u64, DnsAnswer)], lifetimes: &DnsLifetimes) -> DnsPart {
        let question =
            DnsQuestion::Addresses { host: "a.example".parse().unwrap(), family: Family::V4 };
        let mut before: Option<DnsPart> = None;
        for (seconds, answer) in answers {
            let now = at(*seconds);
            before = Some(DnsPart::new(&question, answer.clone(), now, before.as_ref(), lifetimes));
        }
        before.unwrap()
    }

    /// Records may stand in for 1,000 s.
    fn config() -> Config {
        let mut config = Config::default();
        config.dns.stale = Duration::from_secs(1000);
        config
    }

    fn failed() -> DnsAnswer {
        DnsAnswer::failed(DnsFailure::ServFail)
    }

    #[test]
    fn records_stand_in_for_failures_until_they_have_been_out_of_date_for_so_long() {
        let lifetimes = config().dns;
        // They ran out at 100 + 300.
        let found_then = |then: u64| after(&[(100, found(300)), (then, failed())], &lifetimes);
        for (then, stands_in) in [(401, true), (1399, true), (1400, false), (1401, false)] {
            let part = found_then(then);
            assert_eq!(part.last_good_records().is_some(), stands_in, "{then}");
            let said = part.last_said().cloned();
            assert_eq!(said, stands_in.then(|| found(300)), "{then}");
        }
        let part = found_then(401);
        assert_eq!((part.obtained(), part.until()), (at(401), at(431)));
        for (now, answer, until, stale, alias) in [
            (401, found(300), 431, Some(DnsFailure::ServFail), false),
            (1399, found(300), 431, Some(DnsFailure::ServFail), false),
            (1400, failed(), 431, None, false),
            (1401, failed(), 431, None, false),
        ] {
            let expected = DnsInUse { answer: &answer, until: at(until), stale, alias };
            assert_eq!(part.in_use(at(now), lifetimes.stale), expected, "{now}");
        }
        // Not beyond the end of the records, if the failure would hold longer.
        let part = found_then(1390);
        assert_eq!(part.in_use(at(1390), lifetimes.stale).until, at(1400));
        // Failures in a row leave the records alone; that there are none does not.
        let part = after(&[(100, found(300)), (401, failed()), (500, failed())], &lifetimes);
        assert_eq!(part.last_said(), Some(&found(300)));
        let none = none(NoRecord::NxDomain, Some(60));
        let part = after(&[(100, found(300)), (401, none.clone())], &lifetimes);
        assert_eq!((part.last_good_records(), part.last_said()), (None, Some(&none)));
        let part = after(&[(100, found(300)), (401, none), (500, failed())], &lifetimes);
        assert_eq!(part.last_said(), None);
    }

    #[test]
    fn an_alias_is_told_of_whatever_stands_in() {
        let DnsAnswer::Found { records, ttl, .. } = found(300) else { panic!() };
        let alias = DnsAnswer::Found { records, ttl, alias: true };
        let lifetimes = config().dns;
        for (answers, is_alias) in [
            (vec![(0, alias.clone())], true),
            (vec![(0, alias), (400, failed())], true),
            (vec![(0, found(300))], false),
            (vec![(0, failed())], false),
        ] {
            let part = after(&answers, &lifetimes);
            assert_eq!(part.in_use(at(400), lifetimes.stale).alias, is_alias, "{answers:?}");
        }
    }

    #[test]
    fn who_cannot_wait_gets_what_holds_or_what_may_stand_in() {
        let config = config();
        let none = none(NoRecord::NoData, Some(60));
        let found_part = after(&[(0, found(300))], &config.dns);
        let none_part = after(&[(0, none.clone())], &config.dns);
        let failed_part = after(&[(0, failed())], &config.dns);
        let kept_part = after(&[(0, found(300)), (310, failed())], &config.dns);
        // As it is while it holds.
        for (part, until) in [(&found_part, 300), (&none_part, 60), (&failed_part, 30)] {
            let standing_in = part.standing_in(at(until - 1), &config);
            assert_eq!(standing_in.as_ref(), Some(part));
        }
        // Then as after a look-up that was not in time, until it has been out of date for so long.
        for (part, said, ran_out) in [
            (&found_part, &found(300), 300),
            (&none_part, &none, 60),
            (&kept_part, &found(300), 340),
        ] {
            let last = if ran_out == 340 { 1299 } else { ran_out + 999 };
            for now in [ran_out, last] {
                let standing_in = part.standing_in(at(now), &config).unwrap();
                assert_eq!(**standing_in.answer(), DnsAnswer::failed(DnsFailure::Timeout));
                assert_eq!(standing_in.last_said(), Some(said));
                assert_eq!((standing_in.obtained(), standing_in.until()), (at(now), at(now + 5)));
                assert_eq!(standing_in.failures(), part.failures());
                assert_eq!(standing_in.in_use(at(now), config.dns.stale).answer, said);
            }
            for now in [last + 1, last + 2] {
                assert_eq!(part.standing_in(at(now), &config), None, "{now}");
            }
        }
        assert_eq!(failed_part.standing_in(at(30), &config), None);
    }

    #[test]
    fn answers_that_do_not_fit_the_question_are_not_believed() {
        let host: crate::DnsName = "a.example".parse().unwrap();
        let v4 = DnsQuestion::Addresses { host: host.clone(), family: Family::V4 };
        let srv = DnsQuestion::Srv { service: crate::Service::MatrixFed, host };
        let part = |question: &DnsQuestion, records| {
            let answer = DnsAnswer::Found { records, ttl: Duration::from_secs(1), alias: false };
            DnsPart::new(question, answer, Monotonic::ZERO, None, &DnsLifetimes::default())
        };
        let v6 = Records::Addresses(vec!["2001:db8::1".parse().unwrap()]);
        assert_eq!(**part(&v4, v6.clone()).answer(), none(NoRecord::NoData, None));
        assert_eq!(**part(&srv, v6).answer(), DnsAnswer::failed(DnsFailure::Malformed));
        assert_eq!(**part(&srv, Records::Srv(vec![])).answer(), none(NoRecord::NoData, None));
        let same = Records::Addresses(vec!["192.0.2.1".parse().unwrap(); 10_000]);
        assert_eq!(part(&v4, same).in_use(Monotonic::ZERO, Duration::ZERO).addresses().len(), 1);
    }

    #[test]
    fn of_too_many_records_those_are_kept_that_are_used_first_in_whatever_order_they_came() {
        let host: crate::DnsName = "a.example".parse().unwrap();
        let srv = DnsQuestion::Srv { service: crate::Service::MatrixFed, host: host.clone() };
        let v4 = DnsQuestion::Addresses { host, family: Family::V4 };
        let part = |question: &DnsQuestion, records| {
            let answer = DnsAnswer::Found { records, ttl: Duration::from_secs(1), alias: false };
            DnsPart::new(question, answer, Monotonic::ZERO, None, &DnsLifetimes::default())
        };
        let mut records: Vec<SrvRecord> = (0..300)
            .map(|n| SrvRecord { priority: n, weight: 0, port: 1, target: format!("h{n:03}.") })
            .collect();
        let mut addresses: Vec<IpAddr> = (0..300_u32)
            .map(|n| IpAddr::from(std::net::Ipv4Addr::from_bits(0xC000_0200 + n)))
            .collect();
        let sorted = (records.clone(), addresses.clone());
        for _ in 0..2 {
            records.reverse();
            addresses.reverse();
            let kept = part(&srv, Records::Srv(records.clone()));
            assert_eq!(kept.in_use(Monotonic::ZERO, Duration::ZERO).srv_records(), &sorted.0[..64]);
            let kept = part(&v4, Records::Addresses(addresses.clone()));
            assert_eq!(kept.in_use(Monotonic::ZERO, Duration::ZERO).addresses(), &sorted.1[..64]);
        }
    }
}
