//! Where to connect to a Matrix homeserver.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod core;

// What goes in: a name, and the choices that the specification leaves.
pub use crate::core::address_policy::{AddressPolicy, BlockedRange};
pub use crate::core::config::{
    AddressFamilies, Config, DnsFailurePolicy, DnsLifetimes, Limits, MemoryLimits, Speculation,
    SrvAliasPolicy, TimeLimits, UserAgent, WellKnownLifetimes,
};
pub use crate::core::server_name::{
    HostRef, ServerName, ServerNameError, ServerNameErrorKind, UnresolvableName,
};
pub use crate::core::time::{Monotonic, Now};

// The machine, and what passes between it and its driver.
pub use crate::core::discovery::{
    Discovery, DnsToken, FetchToken, Outcome, Output, Question, WellKnownLookup, WellKnownToken,
};
pub use crate::core::dns::{
    DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, Service, SrvRecord,
};
pub use crate::core::dns_name::{DnsName, NotAHostName};
pub use crate::core::dns_part::DnsPart;
pub use crate::core::fetch::{
    Body, Fetch, FetchAttempt, FetchFailure, FetchFailureKind, FetchLimits,
};
pub use crate::core::host::Host;
pub use crate::core::well_known_answer::{InUse, WellKnownAnswer, WellKnownFailure};

// What comes out: a target, or an error, and the story of either.
pub use crate::core::error::{Evidence, FamilyOutcome, HostEvidence, ResolveError};
pub use crate::core::report::{
    DnsExchange, Hop, HopOutcome, Report, SkipReason, Source, StepOutcome, StepReport,
    WellKnownReport,
};
pub use crate::core::step::{Reasons, Step};
pub use crate::core::target::{Attempts, Degraded, DelegationTarget, Endpoint, Lifetimes, Origin};
pub use crate::core::warning::Warning;

// The parts that the machine is built of, each of use by itself.
pub use crate::core::lifetime::{Freshness, retry_after};
pub use crate::core::redirect::{RedirectError, WellKnownUrl, is_redirect};
pub use crate::core::srv::{DroppedSrv, SrvDropReason, SrvSet, SrvTarget, select_by_weight};
pub use crate::core::well_known::{MAX_BODY_BYTES, WellKnown, WellKnownError};

#[cfg(feature = "resolver")]
mod resolver;
#[cfg(feature = "resolver")]
pub use crate::resolver::{
    Resolver,
    resolution::{Explanation, Provenance, Resolution},
    traits::{BoxFuture, Dns, Runtime, WellKnownFetch},
};

#[cfg(feature = "resolver")]
mod adapters;
#[cfg(feature = "hickory")]
pub use crate::adapters::hickory::{HickoryDns, HickoryDnsError};
#[cfg(feature = "tokio")]
pub use crate::adapters::tokio::TokioRuntime;
