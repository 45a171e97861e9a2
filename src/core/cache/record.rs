//! What outlives the process of a host's well-known answer, or is shared with other processes.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::{Failure, Good};
use super::policy::WellKnownEntry;
use crate::core::config::Config;
use crate::core::names::{DnsName, NotAHostName, ServerName, ServerNameError, UnresolvableName};
use crate::core::time::{Monotonic, Now, millis_since_epoch as millis};
use crate::core::well_known::{FailureClass, WellKnown, WellKnownFailure};

/// A well-known outcome for keeping: names as text and absolute times, in milliseconds since the
/// Unix epoch. Nothing in it is believed before [`restore`](Self::restore) has judged it.
///
/// ```
/// use matrix_delegation::cache::WellKnownRecord;
/// use matrix_delegation::time::Now;
/// use matrix_delegation::Config;
///
/// let kept = r#"{"version": 1, "host": "a.example", "delegates": "m.example:443",
///                "fetched": 1000, "until": 3601000}"#;
/// let record: WellKnownRecord = serde_json::from_str(kept)?;
/// let now = Now::EPOCH + std::time::Duration::from_secs(60);
/// let (host, entry) = record.restore(now, &Config::default())?;
/// assert_eq!(host.as_str(), "a.example");
/// assert_eq!(entry.last_good().unwrap().server().as_str(), "m.example:443");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WellKnownRecord {
    version: u32,
    host: String,
    /// Exactly one of this and `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegates: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<FailureClass>,
    fetched: u64,
    until: u64,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    backed_off: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_good: Option<Document>,
}

/// The last good answer, after failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    delegates: String,
    fetched: u64,
    until: u64,
    /// Whether the host withdrew it before it expired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withdrawn: bool,
}

/// Why a record is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It was written by another version of this crate.
    #[error("the record is of version {found}, not {}", WellKnownRecord::VERSION)]
    Version {
        /// The version that it says.
        found: u32,
    },
    /// The host is none that could be asked.
    #[error("the host of the record is none")]
    Host(#[source] NotAHostName),
    /// The name delegated to is not in the grammar.
    #[error("the record delegates to no server name")]
    Server(#[source] ServerNameError),
    /// No host can be made of the name delegated to.
    #[error("the record delegates to a name without a host")]
    Unresolvable(#[source] UnresolvableName),
    /// It says both how it delegates and how it failed, or neither.
    #[error("the record has no outcome, or two")]
    Outcome,
    /// It was fetched after now, by more than clocks may differ: 5 s.
    #[error("the record is from the future")]
    FromTheFuture,
    /// It ends before it begins.
    #[error("the record ends before it begins")]
    Backwards,
    /// It is so old that nothing of it is of use.
    #[error("the record is too old")]
    TooOld,
}

impl WellKnownRecord {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    /// Makes the record of what is known of this host at `now`.
    pub fn new(host: &DnsName, entry: &WellKnownEntry, now: Now) -> Self {
        let on_wall = |at: Monotonic| millis(now.on_wall(at));
        let delegates = |good: &Good<WellKnown>| good.value.server().as_str().to_owned();
        // That this machine could not ask is no answer.
        let failure = entry.failure_part().filter(|it| !it.why.is_local());
        let good = entry.good_part();
        let (learnt, until) = match (good, failure) {
            (Some(good), None) => (good.obtained, good.terms.expires),
            _ => (entry.learnt(), entry.until()),
        };
        Self {
            version: Self::VERSION,
            host: host.as_str().to_owned(),
            delegates: good.filter(|_| failure.is_none()).map(delegates),
            failed: failure.map(|failure| failure.why.class()),
            fetched: on_wall(learnt),
            until: on_wall(until),
            failures: failure.map_or(0, |failure| failure.in_a_row),
            backed_off: failure.map_or(0, |failure| failure.terms.backed_off),
            last_good: good.filter(|_| failure.is_some()).map(|good| Document {
                delegates: delegates(good),
                fetched: on_wall(good.obtained),
                until: on_wall(good.terms.expires),
                withdrawn: good.terms.stale_until == Monotonic::MIN,
            }),
        }
    }

    /// Makes the record if it can say when all of it was learnt: not what lies before the Unix epoch by a wall
    /// clock that is wrong. It would seem younger than it is.
    #[cfg(feature = "resolver")]
    pub(crate) fn dated(host: &DnsName, entry: &WellKnownEntry, now: Now) -> Option<Self> {
        let obtained = entry.good_part().map_or(Monotonic::MAX, |good| good.obtained);
        let earliest = now.on_wall(obtained.min(entry.learnt()));
        (earliest >= SystemTime::UNIX_EPOCH).then(|| Self::new(host, entry, now))
    }

    /// Returns the host that it says it is of.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns what may be believed of it at `now`, under the present configuration: names are parsed
    /// again, lifetimes clamped again, and what is from the future, of another version or past the
    /// 48 h that a good answer may be used is refused.
    pub fn restore(
        &self,
        now: Now,
        config: &Config,
    ) -> Result<(DnsName, WellKnownEntry), RecordError> {
        let lifetimes = &config.well_known;
        if self.version != Self::VERSION {
            return Err(RecordError::Version { found: self.version });
        }
        let host: DnsName = self.host.parse().map_err(RecordError::Host)?;
        let fetched = at(self.fetched, now)?;
        let lifetime = span(self.fetched, self.until)?;
        if now.monotonic.since(fetched) > lifetimes.stale {
            return Err(RecordError::TooOld);
        }
        let class = match (&self.delegates, self.failed) {
            (Some(name), None) => {
                let expires = fetched + lifetime.min(lifetimes.most);
                let terms = WellKnownEntry::document_terms(fetched, expires, config);
                return Ok((host, WellKnownEntry::good(document(name)?, fetched, terms)));
            }
            (None, Some(class)) => class,
            _ => return Err(RecordError::Outcome),
        };
        let good = self.last_good.as_ref().map(|good| good.restore(now, config)).transpose()?;
        let good = good.filter(|it| now.monotonic.since(it.obtained) <= lifetimes.remembered);
        let known = good.as_ref();
        let temporary = lifetimes.is_temporary(class, known);
        let most = match class {
            // What another policy refused is asked anew and judged by the present one.
            FailureClass::Blocked | FailureClass::Local => Duration::ZERO,
            FailureClass::Unavailable => lifetimes.retry_after_most,
            _ if temporary => lifetimes.temporary_most,
            _ => lifetimes.permanent,
        };
        let (retry_at, backed_off) = (fetched + lifetime.min(most), self.backed_off);
        let terms =
            WellKnownEntry::failure_terms(known, temporary, retry_at, backed_off, lifetimes);
        let why = WellKnownFailure::Recorded { class };
        let failure = Failure { why, at: fetched, in_a_row: self.failures, terms };
        Ok((host, WellKnownEntry::from_parts(good, failure)))
    }
}

impl Document {
    fn restore(&self, now: Now, config: &Config) -> Result<Good<WellKnown>, RecordError> {
        let value = document(&self.delegates)?;
        let lifetime = span(self.fetched, self.until)?.min(config.well_known.most);
        let obtained = at(self.fetched, now)?;
        let mut terms = WellKnownEntry::document_terms(obtained, obtained + lifetime, config);
        if self.withdrawn {
            terms.stale_until = Monotonic::MIN;
        }
        Ok(Good { value, obtained, terms })
    }
}

fn document(name: &str) -> Result<WellKnown, RecordError> {
    let name: ServerName = name.parse().map_err(RecordError::Server)?;
    WellKnown::new(name).map_err(RecordError::Unresolvable)
}

fn span(fetched: u64, until: u64) -> Result<Duration, RecordError> {
    until.checked_sub(fetched).map(Duration::from_millis).ok_or(RecordError::Backwards)
}

/// How far the clock of another process may be ahead of ours: what it fetched since is of now.
const SKEW: Duration = Duration::from_secs(5);

/// Converts a time on the wall clock to the monotonic clock.
fn at(millis: u64, now: Now) -> Result<Monotonic, RecordError> {
    let wall = SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .ok_or(RecordError::FromTheFuture)?;
    let age = match now.wall.duration_since(wall) {
        Ok(age) => age,
        Err(ahead) if ahead.duration() <= SKEW => return Ok(now.monotonic),
        Err(_) => return Err(RecordError::FromTheFuture),
    };
    Ok(now.monotonic.before(age))
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Purpose, Served};
    use super::*;
    use crate::core::well_known::{FetchFailure, FetchFailureKind, Freshness, WellKnownError};

    const HOUR: Duration = Duration::from_secs(3600);

    /// An hour after the start of a process, a thousand days after the epoch.
    fn now() -> Now {
        let wall = SystemTime::UNIX_EPOCH + 24_000 * HOUR;
        Now::new(Monotonic::ZERO + HOUR, wall)
    }

    fn host() -> DnsName {
        "a.example".parse().unwrap()
    }

    fn answer(
        result: Result<u64, WellKnownFailure>,
        at: Now,
        before: Option<&WellKnownEntry>,
    ) -> WellKnownEntry {
        let document = document("M.example:443").unwrap();
        let result = result.map(|life| (document, Freshness::For(Duration::from_secs(life))));
        WellKnownEntry::learn(before, result, at, &Config::default(), 1)
    }

    fn passing() -> WellKnownFailure {
        WellKnownFailure::Fetch(FetchFailure::new(FetchFailureKind::Refused, "no"))
    }

    /// As it is written at a time.
    fn written_at(entry: &WellKnownEntry, now: Now) -> serde_json::Value {
        serde_json::to_value(WellKnownRecord::new(&host(), entry, now)).unwrap()
    }

    fn written(entry: &WellKnownEntry) -> serde_json::Value {
        written_at(entry, now())
    }

    fn lifetime(entry: &WellKnownEntry) -> Duration {
        entry.until().since(entry.learnt())
    }

    fn restored(
        record: &serde_json::Value,
        now: Now,
    ) -> Result<(DnsName, WellKnownEntry), RecordError> {
        let record: WellKnownRecord = serde_json::from_value(record.clone()).unwrap();
        record.restore(now, &Config::default())
    }

    /// Returns the time in a process that began a minute ago, with the wall clock `ago` later.
    fn restarted(ago: Duration) -> Now {
        let wall = now().wall + ago;
        Now::new(Monotonic::ZERO + Duration::from_secs(60), wall)
    }

    #[test]
    fn a_good_answer_comes_back_as_old_as_it_is() {
        let good = answer(Ok(7200), now(), None);
        let record = written(&good);
        assert_eq!(record["delegates"], "M.example:443");
        assert_eq!(
            record["until"].as_u64().unwrap() - record["fetched"].as_u64().unwrap(),
            7_200_000
        );
        let then = restarted(HOUR);
        let (host, back) = restored(&record, then).unwrap();
        assert_eq!(
            (host, back.last_good(), back.failure()),
            (self::host(), good.last_good(), None)
        );
        assert_eq!(then.monotonic.since(back.learnt()), HOUR);
        assert_eq!((lifetime(&back), then.on_wall(back.learnt())), (2 * HOUR, now().wall));
        assert_eq!(back.until().since(then.monotonic), HOUR);
    }

    #[test]
    fn a_failure_comes_back_with_its_back_off_and_the_last_good_answer() {
        let good = answer(Ok(60), now(), None);
        let failed = answer(Err(passing()), now() + HOUR, Some(&good));
        let failed = answer(Err(passing()), now() + 2 * HOUR, Some(&failed));
        let then = restarted(2 * HOUR);
        let (_, back) = restored(&written(&failed), then).unwrap();
        assert_eq!(back.failures(), 2);
        let class = FailureClass::Refused;
        assert_eq!(back.failure(), Some(&WellKnownFailure::Recorded { class }));
        let Some(Served::Stale { value, .. }) = back.serve(then.monotonic, Purpose::AtOnce) else {
            panic!("{back:?}")
        };
        assert_eq!(value.server().as_str(), "M.example:443");
        let last = then.monotonic + 46 * HOUR;
        assert!(back.serve(last, Purpose::AtOnce).is_some());
        assert!(back.serve(last + Duration::from_nanos(1), Purpose::AtOnce).is_none());
        // Written again, it is the same, and goes on backing off.
        assert_eq!(written_at(&back, then), written(&failed));
        let next = answer(Err(passing()), then, Some(&back));
        assert_eq!(next.failures(), 3);
        assert!(lifetime(&next) > 7 * Duration::from_secs(60));
        // A good answer older than is remembered does not come back.
        let late = answer(Err(passing()), now() + 49 * HOUR, Some(&failed));
        assert!(restored(&written(&late), restarted(50 * HOUR)).unwrap().1.last_good().is_some());
        let later = restarted(50 * HOUR + Duration::from_millis(1));
        assert!(restored(&written(&late), later).unwrap().1.last_good().is_none());
    }

    #[test]
    fn what_was_withdrawn_does_not_come_back() {
        let good = answer(Ok(7200), now(), None);
        let lifetimes = Config::default().well_known;
        let gone = WellKnownFailure::Status { status: 404, retry_after: None };
        let denied =
            answer(Err(gone.clone()), now(), Some(&good)).after_report(Some(&good), &lifetimes);
        let twice = answer(Err(gone), now(), Some(&denied)).after_report(Some(&denied), &lifetimes);
        let failed = answer(Err(passing()), now() + HOUR, Some(&twice));
        for (entry, now) in [(&twice, now()), (&failed, now() + HOUR)] {
            let record = written_at(entry, now);
            assert_eq!(record["last_good"]["withdrawn"], true);
            let (_, back) = restored(&record, now).unwrap();
            assert_eq!(written_at(&back, now), record);
            let served = back.serve(now.monotonic, Purpose::AtOnce);
            assert!(matches!(served, Some(Served::Failed { lost: true, .. })), "{served:?}");
            let next = answer(Err(passing()), now + 2 * HOUR, Some(&back));
            let served = next.obtained(now.monotonic + 2 * HOUR);
            assert!(matches!(served, Served::Failed { lost: true, .. }), "{served:?}");
        }
        // One that failures did not withdraw is served.
        let passing = answer(Err(passing()), now(), Some(&good));
        assert_eq!(written(&passing)["last_good"]["withdrawn"], serde_json::Value::Null);
    }

    #[test]
    fn what_is_not_the_server_s_word_leaves_the_document_in_service_after_a_restart() {
        let good = answer(Ok(60), now(), None);
        let status = |status| WellKnownFailure::Status { status, retry_after: None };
        let missing = WellKnownFailure::Body(WellKnownError::MissingServer);
        for (failure, class, is_stale) in [
            (status(403), "status", true),
            (status(404), "not_found", false),
            (status(410), "gone", false),
            (missing, "no_delegation", false),
            (WellKnownFailure::Body(WellKnownError::NotAnObject), "unreadable", true),
        ] {
            let record = written(&answer(Err(failure), now(), Some(&good)));
            assert_eq!(record["failed"], class);
            let (_, back) = restored(&record, restarted(Duration::ZERO)).unwrap();
            let served = back.obtained(restarted(HOUR).monotonic + HOUR);
            assert_eq!(matches!(served, Served::Stale { .. }), is_stale, "{class}");
            assert_eq!(written_at(&back, restarted(Duration::ZERO)), record);
        }
    }

    #[test]
    fn what_was_blocked_is_judged_anew() {
        let good = answer(Ok(60), now(), None);
        let mut record = written(&answer(Err(passing()), now(), Some(&good)));
        record["failed"] = "blocked".into();
        let (_, back) = restored(&record, restarted(HOUR)).unwrap();
        assert_eq!(lifetime(&back), Duration::ZERO);
        assert!(back.last_good().is_some());
    }

    #[test]
    fn failures_that_pass_and_those_that_stay_have_limits_of_their_own() {
        let mut config = Config::default();
        (config.well_known.temporary_most, config.well_known.permanent) = (2 * HOUR, 3 * HOUR);
        let mut record = written(&answer(Err(passing()), now(), None));
        record["until"] = u64::MAX.into();
        for (class, most) in [("refused", 2), ("timed_out", 2), ("not_found", 3)] {
            record["failed"] = class.into();
            let record: WellKnownRecord = serde_json::from_value(record.clone()).unwrap();
            let (_, back) = record.restore(restarted(HOUR), &config).unwrap();
            assert_eq!(lifetime(&back), most * HOUR, "{class}");
        }
    }

    #[test]
    fn a_good_answer_needs_none_before_it() {
        let good = answer(Ok(60), now(), None);
        let failed = written(&answer(Err(passing()), now() + HOUR, Some(&good)));
        let mut record = written(&answer(Ok(60), now() + HOUR, Some(&good)));
        assert_eq!(record["last_good"], serde_json::Value::Null);
        record["last_good"] = failed["last_good"].clone();
        assert_ne!(record["last_good"], serde_json::Value::Null);
        let (_, back) = restored(&record, restarted(2 * HOUR)).unwrap();
        assert_eq!(written_at(&back, restarted(2 * HOUR))["last_good"], serde_json::Value::Null);
    }

    #[test]
    fn lifetimes_are_clamped_again() {
        let mut record = written(&answer(Ok(60), now(), None));
        record["until"] = u64::MAX.into();
        assert_eq!(
            restored(&record, restarted(HOUR)).map(|it| lifetime(&it.1)).unwrap(),
            48 * HOUR
        );
        let mut record = written(&answer(Err(passing()), now(), None));
        record["until"] = u64::MAX.into();
        for (class, most) in [
            ("refused", HOUR),
            ("unavailable", 24 * HOUR),
            ("not_found", HOUR),
            ("no_address", HOUR),
            ("timed_out", HOUR),
        ] {
            record["failed"] = class.into();
            assert_eq!(
                restored(&record, restarted(HOUR)).map(|it| lifetime(&it.1)).unwrap(),
                most,
                "{class}"
            );
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let record = written(&answer(Ok(7200), now(), None));
        let behind = |by: Duration| Now::new(now().monotonic, now().wall - by);
        let then = behind(SKEW);
        let (_, back) = restored(&record, then).unwrap();
        assert_eq!((back.learnt(), lifetime(&back)), (then.monotonic, 2 * HOUR));
        let then = behind(SKEW + Duration::from_millis(1));
        assert_eq!(restored(&record, then), Err(RecordError::FromTheFuture));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = written(&answer(Ok(60), now(), None));
        let failed = written(&answer(Err(passing()), now(), Some(&answer(Ok(60), now(), None))));
        let at_48_h = restarted(48 * HOUR);
        assert!(restored(&good, at_48_h).is_ok() && restored(&failed, restarted(HOUR)).is_ok());
        let past = restarted(48 * HOUR + Duration::from_millis(1));
        assert_eq!(restored(&good, past), Err(RecordError::TooOld));
        let with = |record: &serde_json::Value, field: &str, value: serde_json::Value| {
            let mut record = record.clone();
            record[field] = value;
            restored(&record, restarted(HOUR)).unwrap_err()
        };
        let fetched = good["fetched"].as_u64().unwrap();
        assert_eq!(with(&good, "version", 2.into()), RecordError::Version { found: 2 });
        assert_eq!(with(&good, "version", 0.into()), RecordError::Version { found: 0 });
        assert!(matches!(with(&good, "host", "127.1".into()), RecordError::Host(_)));
        assert!(matches!(with(&good, "delegates", "a b".into()), RecordError::Server(_)));
        assert!(matches!(with(&good, "delegates", "a.".into()), RecordError::Unresolvable(_)));
        assert_eq!(with(&good, "failed", "dns".into()), RecordError::Outcome);
        assert_eq!(with(&good, "delegates", serde_json::Value::Null), RecordError::Outcome);
        assert_eq!(with(&good, "until", (fetched - 1).into()), RecordError::Backwards);
        let later = fetched + 3_605_001;
        assert_eq!(with(&good, "fetched", later.into()), RecordError::FromTheFuture);
        assert_eq!(with(&good, "fetched", u64::MAX.into()), RecordError::FromTheFuture);
        for (field, value) in
            [("fetched", serde_json::Value::from(later)), ("delegates", "a b".into())]
        {
            let mut good = failed["last_good"].clone();
            good[field] = value;
            with(&failed, "last_good", good);
        }
        assert_eq!(serde_json::from_value::<WellKnownRecord>(good).unwrap().host(), "a.example");
    }
}
