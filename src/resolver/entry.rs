//! What memory holds, for people and programs that look into it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::memory::{Kept, LookedUp, Part};
use super::settled::Settled;
use crate::core::cache::dns_part::DnsPart;
use crate::core::dns::{DnsAnswer, DnsQuestion};
use crate::core::names::dns_name::DnsName;
use crate::core::names::server_name::ServerName;
use crate::core::text::Causes;
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::document::WellKnown;

/// Something that a resolver remembers: see [`Resolver::entries`](crate::Resolver::entries).
///
/// What has run out is there, too, for as long as there is room: it may stand in for failures, and
/// says how far a back-off has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Remembered {
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// What is known: the target, the name delegated to, the records; for people. `None` where
    /// nothing ever was.
    pub value: Option<String>,
    /// When it was last asked for and answered, well or badly.
    pub fetched: SystemTime,
    /// Until when that holds; `None` where it has no end.
    pub until: Option<SystemTime>,
    /// Whether something holds now.
    pub holds: bool,
    /// How many times in a row asking for it failed.
    pub failures: u32,
    /// How it failed the last time, if it did.
    pub last_error: Option<String>,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// A point of the monotonic clock on the wall clock of now.
fn on_wall(at: Monotonic, now: Now) -> SystemTime {
    let wall = if at <= now.monotonic {
        now.wall.checked_sub(now.monotonic.since(at))
    } else {
        now.wall.checked_add(at.since(now.monotonic))
    };
    wall.unwrap_or(now.wall)
}

impl Remembered {
    pub(super) fn target(name: ServerName, settled: &Settled, now: Now) -> Self {
        let target = &settled.target;
        Self {
            subject: Subject::Target(name),
            value: Some(target.to_string()),
            fetched: on_wall(target.decided().monotonic, now),
            until: target.until().map(|until| on_wall(until, now)),
            holds: target.is_fresh(now.monotonic),
            failures: 0,
            last_error: None,
        }
    }

    /// A part, but for what it says.
    fn part<P: Part>(subject: Subject, kept: &Kept<P>, now: Now) -> Self {
        let last = kept.last();
        Self {
            subject,
            value: None,
            fetched: on_wall(last.obtained(), now),
            until: Some(on_wall(last.until(), now)),
            holds: kept.holding(now.monotonic).is_some(),
            failures: 0,
            last_error: None,
        }
    }

    pub(super) fn well_known(host: DnsName, kept: &Kept<LookedUp>, now: Now) -> Self {
        let last = &kept.last().answer;
        Self {
            value: last.last_document().map(WellKnown::server).map(ToString::to_string),
            failures: last.failures(),
            last_error: last.result().as_ref().err().map(|error| Causes(error).to_string()),
            ..Self::part(Subject::WellKnown(host), kept, now)
        }
    }

    pub(super) fn dns(question: DnsQuestion, kept: &Kept<DnsPart>, now: Now) -> Self {
        let last = kept.last();
        let failed = matches!(**last.answer(), DnsAnswer::Failed { .. });
        Self {
            value: last.last_said().map(ToString::to_string),
            failures: last.failures(),
            last_error: failed.then(|| last.answer().to_string()),
            ..Self::part(Subject::Dns(question), kept, now)
        }
    }
}
