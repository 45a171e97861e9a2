//! SRV records: which are usable, in which order, and the weighted choice of RFC 2782.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::dns::SrvRecord;
use crate::core::names::{DnsName, NotAHostName};
use crate::core::text::excerpt;

/// A usable target of an SRV record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct SrvTarget {
    /// The priority. The lowest is tried first.
    pub priority: u16,
    /// The weight: the share of contacts among targets of equal priority.
    pub weight: u16,
    /// The host.
    pub host: DnsName,
    /// The port, never 0.
    pub port: u16,
}

/// The reason why a record is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SrvDropReason {
    /// The target is `.`, which means that there is no such service (RFC 2782).
    #[error("its target is \".\", which says that there is no service")]
    NoService,
    /// The target is an IP address. RFC 2782 requires a name.
    #[error("its target is an IP address, not a name")]
    IpLiteral,
    /// The target is not a host name.
    #[error("its target is not a host name: {0}")]
    NotAHostName(NotAHostName),
    /// The port is 0.
    #[error("its port is 0")]
    PortZero,
    /// The target is an alias, which RFC 2782 forbids and the policy drops.
    #[error("its target is an alias (CNAME), which RFC 2782 forbids")]
    Alias,
    /// There are more records than the limit. Those that would be tried last are dropped.
    #[error("there are more records than are used")]
    OverLimit,
}

/// A record that is not used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DroppedSrv {
    /// The record's target as DNS returned it, cut at 255 bytes.
    pub target: String,
    /// The record's port.
    pub port: u16,
    /// Why the record is not used.
    pub reason: SrvDropReason,
}

impl fmt::Display for DroppedSrv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.target, self.port, self.reason)
    }
}

/// A set of SRV records: the usable targets in order, and the records that were dropped.
///
/// ```
/// use matrix_delegation::dns::{SrvRecord, SrvSet};
///
/// let record = |priority, target: &str| SrvRecord {
///     priority,
///     weight: 0,
///     port: 8448,
///     target: target.to_owned(),
/// };
/// let set = SrvSet::from_records(&[record(20, "b.example."), record(10, "A.example.")], 20);
/// assert_eq!(set.targets()[0].host.as_str(), "a.example");
///
/// assert!(SrvSet::from_records(&[record(0, ".")], 20).is_no_service());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SrvSet {
    targets: Vec<SrvTarget>,
    dropped: Vec<DroppedSrv>,
    no_service: bool,
}

impl SrvSet {
    /// The most dropped records that are listed.
    const LISTED_DROPS: usize = 32;

    /// Creates a set from the records of an answer. Unusable records are dropped, with the reason.
    /// The rest are put into canonical order (priority, weight descending, name, port), each once,
    /// and cut after `limit`.
    pub fn from_records(records: &[SrvRecord], limit: usize) -> Self {
        let mut targets = Vec::new();
        let mut dropped = Vec::new();
        for record in records {
            match usable(record) {
                Ok(target) => targets.push(target),
                Err(reason) => dropped.push(DroppedSrv {
                    target: excerpt(&record.target),
                    port: record.port,
                    reason,
                }),
            }
        }
        let no_service = targets.is_empty()
            && !dropped.is_empty()
            && dropped.iter().all(|drop| drop.reason == SrvDropReason::NoService);
        sort(&mut targets);
        targets.dedup();
        dropped.extend(targets.drain(limit.min(targets.len())..).map(|target| DroppedSrv {
            target: target.host.as_str().to_owned(),
            port: target.port,
            reason: SrvDropReason::OverLimit,
        }));
        dropped.sort_by(|a, b| (&a.target, a.port).cmp(&(&b.target, b.port)));
        dropped.dedup();
        dropped.truncate(Self::LISTED_DROPS);
        Self { targets, dropped, no_service }
    }

    /// Returns the usable targets in canonical order.
    pub fn targets(&self) -> &[SrvTarget] {
        &self.targets
    }

    /// Returns the records that are not used, by target and port: at most 32.
    pub fn dropped(&self) -> &[DroppedSrv] {
        &self.dropped
    }

    /// Returns whether the set says that there is no such service: its only target is `.` (RFC 2782).
    pub fn is_no_service(&self) -> bool {
        self.no_service
    }
}

fn usable(record: &SrvRecord) -> Result<SrvTarget, SrvDropReason> {
    let name = record.target.strip_suffix('.').unwrap_or(&record.target);
    if name.is_empty() {
        return Err(SrvDropReason::NoService);
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(SrvDropReason::IpLiteral);
    }
    let host = name.parse().map_err(SrvDropReason::NotAHostName)?;
    if record.port == 0 {
        return Err(SrvDropReason::PortZero);
    }
    Ok(SrvTarget { priority: record.priority, weight: record.weight, host, port: record.port })
}

fn sort(targets: &mut [SrvTarget]) {
    targets.sort_by(|a, b| {
        (a.priority, Reverse(a.weight), &a.host, a.port).cmp(&(
            b.priority,
            Reverse(b.weight),
            &b.host,
            b.port,
        ))
    });
}

/// Chooses among records of one priority as RFC 2782 says: with the records of weight 0 first and
/// then the others, each in the order given, returns the index of the first record at which the
/// running sum of weights reaches `choice`.
///
/// `choice` should be drawn uniformly from 0 to the sum of the weights, both included. Then a record
/// of weight *w* is chosen in *w* of `sum + 1` cases, and the first of all in one more. Returns
/// `None` if there are no records or `choice` exceeds the sum.
///
/// ```
/// use matrix_delegation::dns::select_by_weight;
///
/// let weights = [60, 20, 0];
/// assert_eq!(select_by_weight(&weights, 0), Some(2));
/// assert_eq!(select_by_weight(&weights, 60), Some(0));
/// assert_eq!(select_by_weight(&weights, 61), Some(1));
/// assert_eq!(select_by_weight(&weights, 81), None);
/// ```
pub fn select_by_weight(weights: &[u16], choice: u64) -> Option<usize> {
    select(weights.iter().copied().enumerate(), choice, 0)
}

/// Chooses as [`select_by_weight`] does, over any iterator. RFC 2782 does not order the records of
/// weight 0; where `choice` falls on them, `among_zeros` says which of them is chosen.
fn select(
    weights: impl Iterator<Item = (usize, u16)> + Clone,
    choice: u64,
    among_zeros: usize,
) -> Option<usize> {
    if choice == 0 {
        let mut zeros = weights.clone().filter(|(_, weight)| *weight == 0);
        if let Some((index, _)) = zeros.nth(among_zeros) {
            return Some(index);
        }
    }
    let mut sum = 0;
    weights
        .filter(|(_, weight)| *weight != 0)
        .find(|(_, weight)| {
            sum += u64::from(*weight);
            sum >= choice
        })
        .map(|(index, _)| index)
}

/// An order to try records in: by priority, and within one by the weighted choice of RFC 2782, drawn
/// anew for each contact. Does not allocate.
#[derive(Clone, Debug)]
pub(crate) struct WeightedOrder {
    /// The indices that were not returned yet.
    left: u64,
    random: SplitMix64,
}

impl WeightedOrder {
    /// The most records that can be ordered.
    pub(crate) const MOST: usize = 64;

    /// Creates an order of the records `0..count`. Those past [`Self::MOST`] are left out.
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        let left = match count {
            Self::MOST.. => u64::MAX,
            _ => (1 << count) - 1,
        };
        Self { left, random: SplitMix64(seed) }
    }

    /// Returns the next index, given priority and weight by index.
    pub(crate) fn next<P: Ord>(
        &mut self,
        record: impl Fn(usize) -> (P, u16) + Copy,
    ) -> Option<usize> {
        let left = self.left;
        let indices = (0..Self::MOST).filter(move |index| left & (1 << index) != 0);
        let first = &indices.clone().map(|index| record(index).0).min()?;
        let group = indices
            .map(move |index| (index, record(index)))
            .filter(move |(_, (priority, _))| priority == first)
            .map(|(index, (_, weight))| (index, weight));
        let sum = group.clone().map(|(_, weight)| u64::from(weight)).sum();
        let zeros = group.clone().filter(|(_, weight)| *weight == 0).count();
        let choice = self.random.up_to(sum);
        let among_zeros = self.random.up_to(zeros.saturating_sub(1) as u64);
        let index = select(group, choice, usize::try_from(among_zeros).unwrap_or(0))?;
        self.left &= !(1 << index);
        Some(index)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.left.count_ones() as usize
    }
}

/// The generator `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014). It is good enough to spread load,
/// and its only state is a counter.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to `most`, both included. The bias of the multiplication is below
    /// 2^-40 for the sums that SRV weights can reach.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        let scaled = (u128::from(self.next()) * (u128::from(most) + 1)) >> 64;
        u64::try_from(scaled).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for the seed 0, as everybody who implements it has them.
    #[test]
    fn split_mix_is_split_mix() {
        let mut random = SplitMix64(0);
        for expected in [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F_u64] {
            assert_eq!(random.next(), expected);
        }
        let drawn: Vec<_> = (0..200).map(|_| random.up_to(3)).collect();
        assert!((0..=3).all(|number| drawn.contains(&number)) && drawn.iter().all(|it| *it <= 3));
        assert_eq!(random.up_to(0), 0);
    }

    /// Runs through every value of the choice and counts who is taken.
    fn counts(weights: &[u16]) -> Vec<u64> {
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut counts = vec![0; weights.len()];
        for choice in 0..=sum {
            counts[select_by_weight(weights, choice).unwrap()] += 1;
        }
        assert_eq!(select_by_weight(weights, sum + 1).filter(|_| sum > 0), None);
        counts
    }

    #[test]
    fn every_choice_counted_exactly() {
        for (weights, expected) in [
            (&[0][..], &[1][..]),
            (&[7], &[8]),
            (&[0, 0], &[1, 0]),
            (&[0, 5], &[1, 5]),
            (&[5, 0], &[5, 1]),
            (&[1, 1], &[2, 1]),
            (&[3, 2, 1], &[4, 2, 1]),
            (&[1, 0, 3, 0, 2], &[1, 1, 3, 0, 2]),
            (&[65_535, 1], &[65_536, 1]),
            (&[65_535, 65_535, 0], &[65_535, 65_535, 1]),
        ] {
            assert_eq!(counts(weights), expected, "{weights:?}");
        }
        assert_eq!(select_by_weight(&[], 0), None);
    }

    #[test]
    fn records_of_weight_zero_share_their_case() {
        let weights = [9, 0, 0, 0];
        let taken: Vec<_> = (0..3)
            .map(|zero| select(weights.iter().copied().enumerate(), 0, zero).unwrap())
            .collect();
        assert_eq!(taken, [1, 2, 3]);
    }

    fn order(
        count: usize,
        seed: u64,
        record: impl Fn(usize) -> (u16, u16) + Copy,
    ) -> impl Iterator<Item = usize> {
        let mut order = WeightedOrder::new(count, seed);
        // It ends by itself; should it not, a test is to fail rather than to go on for ever.
        std::iter::from_fn(move || order.next(record)).take(WeightedOrder::MOST + 1)
    }

    #[test]
    fn the_order_is_a_permutation_by_priority() {
        let records = [(10, 5), (5, 0), (10, 0), (5, 3), (20, 1), (5, 0)];
        for seed in 0..500 {
            let order: Vec<_> = order(6, seed, |index| records[index]).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
            let priorities: Vec<_> = order.iter().map(|index| records[*index].0).collect();
            assert!(priorities.is_sorted(), "{priorities:?}");
        }
    }

    #[test]
    fn shares_of_first_contacts_follow_the_weights() {
        let records = [(0, 3), (0, 1), (0, 0)];
        let mut first = [0_u32; 3];
        for seed in 0..50_000 {
            first[order(3, seed, |index| records[index]).next().unwrap()] += 1;
        }
        // Expected 3/5, 1/5, 1/5 of 50,000; the bounds are six standard deviations away.
        for (count, expected, slack) in
            [(first[0], 30_000, 660), (first[1], 10_000, 540), (first[2], 10_000, 540)]
        {
            assert!(count.abs_diff(expected) < slack, "{first:?}");
        }
    }

    #[test]
    fn equal_zero_weights_are_spread_evenly() {
        let mut first = [0_u32; 4];
        for seed in 0..40_000 {
            first[order(4, seed, |_| (0, 0)).next().unwrap()] += 1;
        }
        assert!(first.iter().all(|count| count.abs_diff(10_000) < 520), "{first:?}");
    }

    #[test]
    fn more_records_than_the_most_are_left_out() {
        assert_eq!(order(1000, 1, |_| (0, 1)).count(), 64);
        assert_eq!(order(64, 1, |_| (0, 1)).count(), 64);
        assert_eq!(order(63, 1, |_| (0, 1)).count(), 63);
        assert_eq!(order(0, 1, |_| (0, 1)).count(), 0);
    }

    fn record(priority: u16, weight: u16, port: u16, target: &str) -> SrvRecord {
        SrvRecord { priority, weight, port, target: target.to_owned() }
    }

    #[test]
    fn unusable_records_are_dropped_with_the_reason() {
        for (port, target, reason) in [
            (1, ".", SrvDropReason::NoService),
            (1, "", SrvDropReason::NoService),
            (1, "192.0.2.7.", SrvDropReason::IpLiteral),
            (1, "2001:db8::7", SrvDropReason::IpLiteral),
            (1, "127.1.", SrvDropReason::NotAHostName(NotAHostName::LooksLikeAnAddress)),
            (1, "a_b.example.", SrvDropReason::NotAHostName(NotAHostName::Character)),
            (1, "a..example.", SrvDropReason::NotAHostName(NotAHostName::EmptyLabel)),
            (0, "a.example.", SrvDropReason::PortZero),
        ] {
            let set = SrvSet::from_records(
                &[record(0, 0, port, target), record(1, 0, 8448, "b.example.")],
                20,
            );
            assert_eq!(set.targets().len(), 1, "{target}");
            assert_eq!(set.dropped()[0].reason, reason, "{target}");
            assert!(!set.is_no_service(), "{target}");
        }
    }

    #[test]
    fn only_a_lone_root_says_that_there_is_no_service() {
        assert!(SrvSet::from_records(&[record(0, 0, 0, ".")], 20).is_no_service());
        assert!(
            SrvSet::from_records(&[record(0, 0, 0, "."), record(1, 0, 0, ".")], 20).is_no_service()
        );
        let beside_a_bad_one =
            SrvSet::from_records(&[record(0, 0, 0, "."), record(0, 0, 0, "a.example")], 20);
        assert!(!beside_a_bad_one.is_no_service());
        assert!(!SrvSet::from_records(&[], 20).is_no_service());
    }

    #[test]
    fn canonical_order_does_not_depend_on_the_order_of_arrival() {
        let mut records = vec![
            record(10, 1, 2, "b.example"),
            record(10, 1, 1, "b.example"),
            record(10, 9, 1, "c.example"),
            record(5, 0, 1, "d.example"),
            record(10, 1, 1, "A.example."),
        ];
        let set = SrvSet::from_records(&records, 20);
        let order: Vec<_> =
            set.targets().iter().map(|t| format!("{}:{}", t.host, t.port)).collect();
        assert_eq!(
            order,
            ["d.example:1", "c.example:1", "a.example:1", "b.example:1", "b.example:2"]
        );
        records.reverse();
        records.push(record(5, 0, 1, "D.EXAMPLE"));
        assert_eq!(SrvSet::from_records(&records, 20), set);
    }

    #[test]
    fn the_limit_keeps_what_would_be_tried_first() {
        let records: Vec<_> = (0..30).map(|n| record(30 - n, 0, 1, "a.example")).collect();
        let set = SrvSet::from_records(&records, 20);
        assert_eq!(set.targets().len(), 20);
        assert_eq!(set.targets()[0].priority, 1);
        assert!(set.dropped().iter().all(|drop| drop.reason == SrvDropReason::OverLimit));
        let many: Vec<_> = (0..1000).map(|n| record(0, 0, 0, &format!("h{n}.example"))).collect();
        assert_eq!(SrvSet::from_records(&many, 20).dropped().len(), 32);
    }
}
