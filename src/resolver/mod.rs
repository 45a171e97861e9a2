//! What a resolver tells of its work, and what it is told (feature `resolver`).
//!
//! [`Resolver`] finds a target for a server name and remembers the answers.
//!
//! | I want to | use |
//! | --- | --- |
//! | see what a discovery asked, also where it failed | [`Explanation`], from `Resolver::explain` |
//! | know whether an answer is new, and how long it holds | [`Provenance`], of a `Resolution` |
//! | say that a server could not be reached | [`ContactFailure`], to `Resolver::report_failure` |
//! | list what is remembered | [`Remembered`], from `Resolver::entries` |
//! | count questions, hits and failures | [`Counters`], from `Resolver::counters` |
//! | keep the memory across a restart | [`Snapshot`], from `Resolver::snapshot` |
//! | set something for some names only | [`Names`], for `Rules` |
//! | implement `Dns`, `WellKnownFetch`, `Runtime` or `Store` | [`BoxFuture`], [`StoreError`] |
//!
//! The limits stand in [`config`](crate::config).
// | file | what it holds |
// | --- | --- |
// | `builder`, `config`, `name_rules` | what the application sets |
// | `handle` | what callers hold, and what its clones share |
// | `traits`, `store` | what adapters and the application implement |
// | `targets` | finds targets: one discovery a name, each under a permit |
// | `drive` | runs a machine of the core for a discovery |
// | `answers` | answers the machine's questions; `destinations` limits fetches to one destination |
// | `memory` | one entry a `host`, in a map `bounded` by entries and by bytes, which `size` estimates |
// | `resolution` | what callers get |
// | `entry`, `snapshot`, `counters` | what callers may look into |
// | `feedback` | what callers report |
#![deny(clippy::disallowed_methods)]

mod answers;
mod bounded;
pub(crate) mod builder;
pub(crate) mod config;
mod counters;
mod destinations;
mod drive;
mod entry;
pub(crate) mod feedback;
pub(crate) mod handle;
mod host;
mod memory;
pub(crate) mod name_rules;
pub(crate) mod resolution;
mod size;
mod slow_lately;
mod snapshot;
mod sockets;
pub(crate) mod store;
mod targets;
pub(crate) mod traits;

pub use self::counters::{Counters, Outcomes, Queries};
pub use self::entry::{Remembered, Subject};
pub use self::feedback::{ContactFailure, ContactFailureKind};
pub(crate) use self::handle::Resolver;
pub use self::name_rules::Names;
pub use self::resolution::{Explanation, Provenance};
pub use self::snapshot::{RestoreError, Restored, Snapshot};
pub use self::store::StoreError;
pub use crate::runtime::BoxFuture;
