//! Remembers which hosts and networks were slow lately, so that what concerns them starts in the slow lane.

use std::net::IpAddr;
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::core::names::DnsName;
use crate::core::time::Monotonic;

/// What took this long was slow, ...
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// ... and counts as slow for this long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many are remembered. Which ones are forgotten first does not matter.
const MOST: usize = 10_000;

/// Who was slow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Host(DnsName),
    /// A destination of fetches.
    Network(IpAddr),
}

/// Those who were slow lately.
#[derive(Debug)]
pub(super) struct SlowLately(Cache<Who, Monotonic>);

impl SlowLately {
    pub(super) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// Returns whether one was slow lately.
    pub(super) fn contains(&self, who: &Who, now: Monotonic) -> bool {
        !self.0.is_empty() && self.0.get(who).is_some_and(|since| now.since(since) < REMEMBERED)
    }

    /// Learns how long one took.
    pub(super) fn learn(&self, who: Who, took: Duration, now: Monotonic) {
        if took >= SLOW {
            self.0.insert(who, now);
        } else if !self.0.is_empty() {
            self.0.remove(&who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_was_slow_until_it_is_quick_or_forgotten() {
        let (slow, now) = (SlowLately::new(), Monotonic::ZERO);
        let host = Who::Host("a.example".parse().unwrap());
        let network = Who::Network("192.0.2.1".parse().unwrap());
        assert!(!slow.contains(&host, now));
        slow.learn(host.clone(), SLOW, now);
        slow.learn(network.clone(), SLOW, now);
        assert!(slow.contains(&host, now + Duration::from_secs(599)));
        assert!(!slow.contains(&host, now + REMEMBERED));
        slow.learn(host.clone(), SLOW / 2, now);
        assert!(!slow.contains(&host, now) && slow.contains(&network, now));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (slow, now) = (SlowLately::new(), Monotonic::ZERO);
        for host in 0..3 * MOST {
            slow.learn(Who::Host(format!("{host}.example").parse().unwrap()), SLOW, now);
        }
        assert!(slow.0.len() <= MOST, "{}", slow.0.len());
    }
}
