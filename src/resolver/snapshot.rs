//! Memory that survives a restart, as a value.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::core::cache::WellKnownRecord;

/// What a resolver remembers of well-knowns, for the next process: see
/// [`Resolver::snapshot`](crate::Resolver::snapshot).
///
/// It is versioned, holds absolute times, and is to be written in a format that says what its fields
/// are, such as JSON. DNS answers and targets are not part of it: DNS is asked anew, and the address
/// policy of then judges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    well_known: Vec<Entry>,
}

/// A record, or what cannot be read as one, which costs no other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Record(WellKnownRecord),
    Unreadable(Unreadable),
}

/// It is written as nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Unreadable;

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Why a snapshot is not taken in. Nothing in memory is lost by it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It was written by another version of this crate.
    #[error("the snapshot is of version {found}, not {}", Snapshot::VERSION)]
    Version {
        /// The version that it says.
        found: u32,
    },
}

/// What became of a snapshot's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Restored {
    /// Remembered.
    pub restored: usize,
    /// Passed over, because memory holds something newer or the rules say to forget it.
    pub passed_over: usize,
    /// Dropped: unreadable, of another version, from the future or too old.
    pub dropped: usize,
}

impl Default for Snapshot {
    /// Of a resolver that remembers nothing.
    fn default() -> Self {
        Self::new(std::iter::empty())
    }
}

impl Snapshot {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    pub(super) fn new(records: impl Iterator<Item = WellKnownRecord>) -> Self {
        Self { version: Self::VERSION, well_known: records.map(Entry::Record).collect() }
    }

    /// How many well-known outcomes it holds, readable or not.
    pub fn len(&self) -> usize {
        self.well_known.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.well_known.is_empty()
    }

    /// Its entries; `None` for one that cannot be read.
    pub(super) fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Option<&WellKnownRecord>>, RestoreError> {
        if self.version != Self::VERSION {
            return Err(RestoreError::Version { found: self.version });
        }
        Ok(self.well_known.iter().map(|entry| match entry {
            Entry::Record(record) => Some(record),
            Entry::Unreadable(_) => None,
        }))
    }
}
