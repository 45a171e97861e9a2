//! What is remembered of each server: whether it is silent, and whether it takes EDNS.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::config::ServerOrder;

/// How long a server has to have answered nothing to be tried last.
const SILENCE: Duration = Duration::from_secs(3);
/// How long it is tried last.
const TRIED_LAST: Duration = Duration::from_secs(60);
/// How long a server that shuns EDNS is asked without.
const WITHOUT_EDNS: Duration = Duration::from_secs(600);

/// What is remembered of the servers.
#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Which server was the first of the last question, counted on.
    turn: usize,
    servers: HashMap<SocketAddr, Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    /// When it replied last.
    heard: Option<Instant>,
    /// From when and until when it replied to nothing, where another server did.
    silent: Option<(Instant, Instant)>,
    last_until: Option<Instant>,
    plain_until: Option<Instant>,
}

impl Standing {
    /// Returns since when it is silent. An old silence has expired.
    fn silent_since(&self, now: Instant) -> Option<Instant> {
        let lasts = |until: Instant| now.saturating_duration_since(until) <= TRIED_LAST;
        self.silent.filter(|(_, until)| lasts(*until)).map(|(since, _)| since)
    }
}

impl Standings {
    /// Returns the order in which to ask these servers, and forgets all others.
    pub(super) fn order(
        &self,
        servers: &[SocketAddr],
        order: ServerOrder,
        now: Instant,
    ) -> Vec<SocketAddr> {
        let mut inner = self.lock();
        inner.servers.retain(|server, _| servers.contains(server));
        let mut ordered = servers.to_vec();
        if order == ServerOrder::Rotate && !ordered.is_empty() {
            inner.turn = inner.turn.wrapping_add(1) % ordered.len();
            ordered.rotate_left(inner.turn);
        }
        ordered.sort_by_key(|server| {
            inner.servers.get(server).is_some_and(|it| is_ahead(it.last_until, now))
        });
        ordered
    }

    /// Returns whether it was silent the last time that another server was not.
    pub(super) fn is_suspect(&self, server: SocketAddr, now: Instant) -> bool {
        self.lock().servers.get(&server).is_some_and(|it| it.silent_since(now).is_some())
    }

    pub(super) fn takes_edns(&self, server: SocketAddr, now: Instant) -> bool {
        !self.lock().servers.get(&server).is_some_and(|it| is_ahead(it.plain_until, now))
    }

    /// Notes that a server replied.
    pub(super) fn replied(&self, server: SocketAddr, shuns_edns: bool, now: Instant) {
        let mut inner = self.lock();
        let standing = inner.servers.entry(server).or_default();
        (standing.heard, standing.silent, standing.last_until) = (Some(now), None, None);
        if shuns_edns {
            standing.plain_until = now.checked_add(WITHOUT_EDNS);
        }
    }

    /// Notes that a server has not replied to what it was asked, and another one has. Less than `least`
    /// says nothing about a server.
    pub(super) fn was_silent(
        &self,
        server: SocketAddr,
        asked: Instant,
        now: Instant,
        least: Duration,
    ) {
        if now.saturating_duration_since(asked) < least {
            return;
        }
        let mut inner = self.lock();
        let standing = inner.servers.entry(server).or_default();
        if standing.heard.is_some_and(|heard| heard >= asked) {
            // It replied to something else meanwhile.
            return;
        }
        let since = standing.silent_since(now).unwrap_or(asked);
        standing.silent = Some((since, now));
        if now.saturating_duration_since(since) >= SILENCE {
            (standing.silent, standing.last_until) = (None, now.checked_add(TRIED_LAST));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_ahead(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|until| now < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn servers() -> [SocketAddr; 3] {
        [1, 2, 3].map(|last| SocketAddr::from(([192, 0, 2, last], 53)))
    }

    #[test]
    fn a_server_that_is_silent_for_three_seconds_is_tried_last_for_sixty() {
        let [one, two, three] = servers();
        let standings = Standings::default();
        let start = Instant::now();
        let at = |ms| start + MS(ms);
        let order = |now| standings.order(&servers(), ServerOrder::InOrder, now);
        let was_silent = |from, to| standings.was_silent(one, at(from), at(to), MS(250));
        was_silent(0, 1000);
        assert!(standings.is_suspect(one, at(1000)) && !standings.is_suspect(one, at(61_001)));
        was_silent(2500, 2999);
        assert_eq!(order(at(2999)), [one, two, three]);
        was_silent(2700, 3000);
        assert_eq!(order(at(3000)), [two, three, one]);
        assert_eq!(order(at(62_999)), [two, three, one]);
        assert_eq!(order(at(63_000)), [one, two, three]);
        assert!(!standings.is_suspect(one, at(63_000)));
        // What was hours ago does not count.
        was_silent(70_000, 71_000);
        was_silent(9_000_000, 9_002_999);
        assert_eq!(order(at(9_002_999)), [one, two, three]);
        was_silent(9_002_000, 9_003_000);
        assert_eq!(order(at(9_003_000)), [two, three, one]);
    }

    #[test]
    fn a_server_that_had_no_time_to_reply_is_not_silent() {
        let [one, ..] = servers();
        let standings = Standings::default();
        let start = Instant::now();
        standings.was_silent(one, start, start + MS(249), MS(250));
        assert!(!standings.is_suspect(one, start + MS(249)));
        standings.was_silent(one, start, start + MS(250), MS(250));
        assert!(standings.is_suspect(one, start + MS(250)));
    }

    #[test]
    fn a_server_that_replies_to_something_is_not_silent() {
        let [one, two, three] = servers();
        let standings = Standings::default();
        let start = Instant::now();
        let at = |ms| start + MS(ms);
        let order = |now| standings.order(&servers(), ServerOrder::InOrder, at(now));
        let was_silent = |from, to| standings.was_silent(one, at(from), at(to), MS(250));
        // It answers another question meanwhile.
        standings.replied(one, false, at(500));
        was_silent(0, 4000);
        assert!(!standings.is_suspect(one, at(4000)));
        // It was silent, and then is not.
        was_silent(4000, 6000);
        standings.replied(one, false, at(6500));
        was_silent(6600, 7600);
        assert_eq!(order(7600), [one, two, three]);
        // Tried last, it replies after all.
        was_silent(7600, 10_600);
        assert_eq!(order(10_600), [two, three, one]);
        standings.replied(one, false, at(10_700));
        assert_eq!(order(10_700), [one, two, three]);
    }

    #[test]
    fn rotation_begins_with_another_server_each_time() {
        let [one, two, three] = servers();
        let standings = Standings::default();
        let now = Instant::now();
        let firsts = [(); 4].map(|()| standings.order(&servers(), ServerOrder::Rotate, now)[0]);
        assert_eq!(firsts, [two, three, one, two]);
        assert_eq!(standings.order(&[], ServerOrder::Rotate, now), []);
    }

    #[test]
    fn edns_is_left_out_for_ten_minutes() {
        let [one, two, _] = servers();
        let standings = Standings::default();
        let now = Instant::now();
        standings.replied(one, true, now);
        assert!(!standings.takes_edns(one, now + MS(599_999)));
        assert!(standings.takes_edns(one, now + MS(600_000)));
        assert!(standings.takes_edns(two, now));
        // Only what is asked is remembered.
        standings.order(&[two], ServerOrder::InOrder, now);
        assert!(standings.takes_edns(one, now));
    }
}
