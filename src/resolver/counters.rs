//! What a resolver has done so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::core::cache::{DnsEntry, WellKnownEntry};
use crate::core::dns::{DnsQuestion, DnsRecords, Family, Service};

/// A number that only grows. With feature `metrics` it is also a counter of that facade.
pub(super) struct Count {
    so_far: AtomicU64,
    #[cfg(feature = "metrics")]
    metric: metrics::Counter,
}

impl Count {
    /// Creates a counter. `labels` are pairs of key and value.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "metrics are off"))]
    fn new(name: &'static str, labels: &[(&'static str, &'static str)]) -> Self {
        Self {
            so_far: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            metric: metrics::counter!(name, labels),
        }
    }

    pub(super) fn add(&self, many: u64) {
        self.so_far.fetch_add(many, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.metric.increment(many);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    fn read(&self) -> u64 {
        self.so_far.load(Ordering::Relaxed)
    }
}

/// Defines the public numbers and the counters behind them from one table of fields with their
/// documentation.
macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What a resolver has done so far, in numbers that only grow; see
        /// [`Resolver::counters`](crate::Resolver::counters).
        ///
        /// With feature `metrics` each is a counter of the `metrics` facade, too: for its name put
        /// `matrix_delegation_` before the field's and `_total` after it;
        /// [`queries`](Self::queries) is `matrix_delegation_queries_total` with the labels `kind`
        /// (`a`, `aaaa`, `srv`, `srv_deprecated`, `well_known`) and `outcome` (`found`, `none`,
        /// `failed`).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            /// Questions asked, by kind and outcome.
            pub queries: Queries,
        }

        /// The same numbers while they grow.
        pub(super) struct Tally {
            $(pub(super) $field: Count,)*
            queries: [[Count; 3]; 5],
        }

        impl Tally {
            pub(super) fn new() -> Self {
                let outcomes = |kind| {
                    ["found", "none", "failed"].map(|outcome| {
                        let labels = [("kind", kind), ("outcome", outcome)];
                        Count::new("matrix_delegation_queries_total", &labels)
                    })
                };
                Self {
                    $($field: Count::new(
                        concat!("matrix_delegation_", stringify!($field), "_total"),
                        &[],
                    ),)*
                    queries: ["a", "aaaa", "srv", "srv_deprecated", "well_known"].map(outcomes),
                }
            }

            pub(super) fn read(&self) -> Counters {
                let [a, aaaa, srv, srv_deprecated, well_known] =
                    self.queries.each_ref().map(|[found, none, failed]| Outcomes {
                        found: found.read(),
                        none: none.read(),
                        failed: failed.read(),
                    });
                Counters {
                    $($field: self.$field.read(),)*
                    queries: Queries { a, aaaa, srv, srv_deprecated, well_known },
                }
            }
        }
    };
}

counters! {
    /// Calls that were answered from memory.
    hits,
    /// Calls that memory could not answer, including those that joined a discovery in flight.
    misses,
    /// Of the misses, the calls that joined a discovery in flight.
    joins,
    /// Answers that rely on something that has expired.
    stale,
    /// Answers that may be incomplete
    /// ([`DelegationTarget::degraded`](crate::DelegationTarget::degraded)).
    degraded,
    /// Calls that ended with an error.
    failed,
    /// Of the failed calls, those that were refused because a limit was reached.
    too_busy,
    /// Renewals started in the background.
    renewals,
    /// Failures reported by callers.
    reports,
    /// Well-known look-ups and discoveries that met an address blocked by the policy.
    blocked,
    /// Entries that memory evicted for want of room.
    evictions,
    /// Well-known outcomes taken from the store.
    store_hits,
    /// Well-known outcomes that the store did not have, or had only in an older version than
    /// needed.
    store_misses,
    /// Values in the store that were not valid.
    store_rejected,
    /// Operations of the store that failed or took too long.
    store_failures,
}

/// Questions asked, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Queries {
    /// IPv4 addresses.
    pub a: Outcomes,
    /// IPv6 addresses.
    pub aaaa: Outcomes,
    /// `_matrix-fed._tcp`.
    pub srv: Outcomes,
    /// `_matrix._tcp`.
    pub srv_deprecated: Outcomes,
    /// Well-known documents, however many exchanges each took.
    pub well_known: Outcomes,
}

/// Questions of one kind, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Outcomes {
    /// The answer had records, or a valid document.
    pub found: u64,
    /// There surely is none; for a well-known, a permanent failure.
    pub none: u64,
    /// The answer is not known; for a well-known, a temporary failure.
    pub failed: u64,
}

impl Outcomes {
    /// Returns the sum of all outcomes.
    pub const fn total(self) -> u64 {
        self.found.saturating_add(self.none).saturating_add(self.failed)
    }
}

impl Tally {
    pub(super) fn dns(&self, question: &DnsQuestion, entry: &DnsEntry) {
        let [a, aaaa, srv, srv_deprecated, _] = &self.queries;
        let kind = match question {
            DnsQuestion::Addresses { family: Family::V4, .. } => a,
            DnsQuestion::Addresses { family: Family::V6, .. } => aaaa,
            DnsQuestion::Srv { service: Service::MatrixFed, .. } => srv,
            DnsQuestion::Srv { service: Service::Matrix, .. } => srv_deprecated,
        };
        let [found, none, failed] = kind;
        match (entry.failure(), entry.last_good().and_then(DnsRecords::none)) {
            (Some(_), _) => failed,
            (None, Some(_)) => none,
            (None, None) => found,
        }
        .one();
    }

    pub(super) fn well_known(&self, entry: &WellKnownEntry) {
        let [.., [found, none, failed]] = &self.queries;
        match entry.failure() {
            None => found,
            Some(failure) if failure.is_temporary() => failed,
            Some(_) => none,
        }
        .one();
    }
}
