//! What memory holds, for people and programs that inspect it.

use std::time::SystemTime;

use serde::Serialize;

use super::host::HostEntry;
use crate::core::cache::{CacheEntry, CachedTarget, Purpose};
use crate::core::dns::DnsQuestion;
use crate::core::names::{DnsName, ServerName};
use crate::core::text::Causes;
use crate::core::time::Now;

/// Something that a resolver remembers: see [`Resolver::entries`](crate::Resolver::entries).
///
/// Expired answers are included for as long as there is room: they may be served stale while
/// look-ups fail, and they say how far a back-off has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Remembered {
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// The last good value, for people: the target, the delegated name, the records. `None` if
    /// there never was one.
    pub value: Option<String>,
    /// When it was last asked for and answered, with or without success.
    pub fetched: SystemTime,
    /// When that expires; `None` if never.
    pub until: Option<SystemTime>,
    /// Whether a value holds now.
    pub holds: bool,
    /// How many times in a row the look-up failed.
    pub failures: u32,
    /// How the look-up failed the last time, if it did.
    pub last_error: Option<String>,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Subject {
    /// The target of a server name.
    Target(ServerName),
    /// The well-known of a host.
    WellKnown(DnsName),
    /// The answer to a question to DNS.
    Dns(DnsQuestion),
}

impl Remembered {
    /// Lists everything that is remembered of a host.
    pub(super) fn all_of(host: &str, entry: &HostEntry, now: Now) -> Vec<Self> {
        let mut all: Vec<_> = entry.targets().iter().map(|it| Self::target(it, now)).collect();
        let Ok(host) = host.parse::<DnsName>() else { return all };
        all.extend(entry.well_known.as_ref().map(|it| Self {
            value: it.entry.last_good().map(|known| known.server().to_string()),
            last_error: it.entry.failure().map(|error| Causes(error).to_string()),
            ..Self::answer(Subject::WellKnown(host.clone()), &it.entry, now)
        }));
        all.extend(entry.dns_entries(&host).map(|(question, it)| Self {
            value: it.last_good().map(ToString::to_string),
            last_error: it.failure().map(ToString::to_string),
            ..Self::answer(Subject::Dns(question), it, now)
        }));
        all
    }

    fn target(cached: &CachedTarget, now: Now) -> Self {
        let target = &cached.target;
        Self {
            subject: Subject::Target(target.server_name().clone()),
            value: Some(target.to_string()),
            fetched: now.on_wall(target.decided().monotonic),
            until: target.until().map(|until| now.on_wall(until)),
            holds: target.is_fresh(now.monotonic),
            failures: 0,
            last_error: None,
        }
    }

    /// Describes an answer, without its value.
    fn answer<G: Clone, F>(subject: Subject, entry: &CacheEntry<G, F>, now: Now) -> Self {
        Self {
            subject,
            value: None,
            fetched: now.on_wall(entry.learnt()),
            until: Some(now.on_wall(entry.until())),
            holds: entry.serve(now.monotonic, Purpose::Answer).is_some(),
            failures: entry.failures(),
            last_error: None,
        }
    }
}
