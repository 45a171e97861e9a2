//! Memory that survives a restart, as a value.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::core::cache::WellKnownRecord;

/// What a resolver remembers of well-knowns, for the next process: see
/// [`Resolver::snapshot`](crate::Resolver::snapshot).
///
/// It is versioned and holds absolute times. Write it in a self-describing format, such as JSON.
/// DNS answers and targets are not part of it: the next process asks DNS again and applies its own
/// address policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    /// The records; `None` for a value that cannot be read as one, which does not affect the others.
    #[serde(deserialize_with = "readable")]
    well_known: Vec<Option<WellKnownRecord>>,
}

fn readable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Option<WellKnownRecord>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Record(WellKnownRecord),
        Unreadable(IgnoredAny),
    }
    let entries = Vec::deserialize(deserializer)?.into_iter();
    Ok(entries.map(|entry| if let Entry::Record(it) = entry { Some(it) } else { None }).collect())
}

/// Why a snapshot was refused. Memory stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It was written by another version of this crate.
    #[error("the snapshot is of version {found}, not {}", Snapshot::VERSION)]
    Version {
        /// The version in the snapshot.
        found: u32,
    },
}

/// What became of a snapshot's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// Records that were remembered.
    pub restored: usize,
    /// Records that were passed over, because memory holds something newer or a rule says to forget
    /// the host.
    pub passed_over: usize,
    /// Records that were dropped: unreadable, of another version, from the future or too old.
    pub dropped: usize,
}

impl Default for Snapshot {
    /// Creates the snapshot of a resolver that remembers nothing.
    fn default() -> Self {
        Self::new(std::iter::empty())
    }
}

impl Snapshot {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    pub(super) fn new(records: impl Iterator<Item = WellKnownRecord>) -> Self {
        Self { version: Self::VERSION, well_known: records.map(Some).collect() }
    }

    /// Returns the number of records, readable or not.
    pub fn len(&self) -> usize {
        self.well_known.len()
    }

    /// Returns whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.well_known.is_empty()
    }

    /// Returns the records; `None` for one that cannot be read.
    pub(super) fn records(&self) -> Result<&[Option<WellKnownRecord>], RestoreError> {
        match self.version {
            Self::VERSION => Ok(&self.well_known),
            found => Err(RestoreError::Version { found }),
        }
    }
}
