//! Where a Matrix homeserver is reached.
//!
//! Given a Matrix server name: where to connect, which `Host` to send, which name the certificate
//! must carry, how long that holds, and why. It is the server discovery of the Matrix
//! specification (server-server API, "Server discovery") as a library.
//!
//! # Layers
//!
//! - The **core** is always there and does the thinking: [`ServerName`], [`WellKnown`],
//!   [`Freshness`], [`WellKnownUrl`], [`SrvSet`], [`AddressPolicy`], and [`Discovery`], a machine
//!   that is fed answers and asks questions. It opens no socket and reads no clock.
//! - Feature **`resolver`**: `Resolver` drives the machine over the traits `Dns`,
//!   `WellKnownFetch` and `Runtime`, shares questions between callers and remembers answers.
//! - Features **`hickory`**, **`hyper`** and **`tokio`**: those three traits on well-kept
//!   libraries. Feature **`redis`**: `RedisStore`, for processes that share what they learn; feature
//!   **`metrics`**: the counters through the `metrics` facade. **`full`** turns on all of them, with
//!   ring as the crypto provider.
//! - Feature **`client`**: `Connector` and `FederationClient` reach what was resolved, over HTTP/2 and
//!   HTTP/1.1.
//! - Feature **`certificate`**: `CertificateCheck` judges the certificates that a server presents for
//!   a target, without I/O; with `hyper`, `CertificateProbe` shakes hands with every address of a
//!   target and reports what is there.
//! - Feature **`plan`**: the other side. How one's own server is found, as data: the document, the
//!   records, the certificates, and why other ways cannot work.
//! - Feature **`testing`**: an internet that is a value, to test the machine, the resolver and what
//!   is built on them without a network.
//!
//! # The answer
//!
//! A [`DelegationTarget`] keeps apart what is easily mixed up:
//!
//! - [`attempts`](DelegationTarget::attempts): where to connect, in an order to try;
//! - [`host_header`](DelegationTarget::host_header): what goes into `Host` or `:authority`;
//! - [`tls_name`](DelegationTarget::tls_name): the name for SNI and the certificate check.
//!
//! Where the specification leaves a choice, [`Config`] names it, with the default and where it
//! comes from.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod core;

// What goes in: a name, and the choices that the specification leaves.
pub use crate::core::address_policy::{AddressPolicy, BlockedRange};
pub use crate::core::config::{
    AddressFamilies, BlockedAddressPolicy, Config, ConfigError, ConfigProblem, DnsFailurePolicy,
    DnsLifetimes, FamilyOrder, Feedback, Limits, Refresh, Speculation, SrvAliasPolicy, TimeLimits,
    UserAgent, WellKnownLifetimes,
};
pub use crate::core::names::{
    DnsName, Host, HostRef, NotAHostName, ServerName, ServerNameError, ServerNameErrorKind,
    UnresolvableName,
};
pub use crate::core::phase_limits::PhaseLimits;
pub use crate::core::time::{Monotonic, Now};

// The machine, and what passes between it and its driver.
pub use crate::core::cache::{RecordError, WellKnownRecord};
pub use crate::core::discovery::{
    Answer, Discovery, DnsToken, FetchToken, Machine, Outcome, Output, Question, WellKnownLookup,
    WellKnownToken,
};
pub use crate::core::well_known::{
    Body, FailureClass, Fetch, FetchAttempt, FetchFailure, FetchFailureKind, FetchLimits,
    Freshness, MAX_BODY_BYTES, RedirectError, WellKnown, WellKnownError, WellKnownFailure,
    WellKnownUrl, is_redirect, retry_after,
};

/// Remembered answers: what one may be used for, and when.
///
/// The machines and the resolver use these; so can a cache of one's own.
pub mod cache {
    pub use crate::core::cache::{
        CacheEntry, DnsEntry, FailureTerms, GoodTerms, Purpose, Served, WellKnownEntry,
        family_is_due,
    };
    pub use crate::core::dns::{DnsError, DnsRecords};
}

// What comes out: a target, or an error, and the story of either.
pub use crate::core::blame::Blame;
pub use crate::core::error::{Busy, Evidence, FamilyOutcome, HostEvidence, ResolveError};
pub use crate::core::report::{
    DnsExchange, Hop, HopOutcome, Report, SkipReason, Source, StepOutcome, StepReport,
    WellKnownReport,
};
pub use crate::core::step::{Reasons, Step};
pub use crate::core::target::{
    Attempts, Degraded, DelegationTarget, Endpoint, Endpoints, FixedTarget, FixedTargetError,
    Lifetimes, Origin, Warnings,
};
pub use crate::core::warning::Warning;

// The parts that the machine is built of, each of use by itself.
pub use crate::core::dns::{
    DnsAnswer, DnsFailure, DnsQuestion, DroppedSrv, Family, NoRecord, Records, Service,
    SrvDropReason, SrvRecord, SrvSet, SrvTarget, select_by_weight,
};

#[cfg(feature = "resolver")]
mod runtime;
#[cfg(feature = "resolver")]
pub use crate::runtime::{BoxFuture, Runtime};

#[cfg(feature = "resolver")]
mod resolver;
#[cfg(feature = "resolver")]
pub use crate::resolver::{
    Resolver,
    builder::ResolverBuilder,
    config::{Abandoned, MemoryLimits, QueueLimits, Reports, ResolverConfig, StoreLimits},
    counters::{Counters, Outcomes, Queries},
    entry::{Remembered, Subject},
    feedback::{ContactFailure, ContactFailureKind},
    resolution::{Explanation, Provenance, Resolution},
    rules::{Names, Rules},
    snapshot::{RestoreError, Restored, Snapshot},
    store::{Store, StoreError},
    traits::{Dns, WellKnownFetch},
};

#[cfg(feature = "hyper")]
mod transport;
#[cfg(feature = "hyper")]
pub use crate::transport::{ConnectFailureKind, Dial, DialStream, TcpDial};
#[cfg(all(feature = "hyper", any(feature = "ring", feature = "aws-lc-rs")))]
pub use crate::transport::{TlsSetupError, TrustedRoots};

#[cfg(feature = "tokio")]
mod adapters;
#[cfg(feature = "hickory")]
pub use crate::adapters::hickory::{HickoryDns, HickoryDnsError, config::DnsConfig};
#[cfg(feature = "hyper")]
pub use crate::adapters::hyper::HyperFetch;
#[cfg(feature = "redis")]
pub use crate::adapters::redis::{RedisConfig, RedisStore, RedisStoreError};
#[cfg(all(
    feature = "hickory",
    feature = "hyper",
    any(feature = "ring", feature = "aws-lc-rs")
))]
pub use crate::adapters::system::SystemError;
#[cfg(feature = "tokio")]
pub use crate::adapters::tokio::TokioRuntime;

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
pub use crate::client::{
    ClientLimits, ConnectAttempt, ConnectError, ConnectLimits, ConnectPhase, Connection, Connector,
    FederationBody, FederationClient, InvalidRequest, RequestError,
};

#[cfg(feature = "certificate")]
mod certificate;
#[cfg(all(feature = "certificate", feature = "hyper"))]
pub use crate::certificate::{
    AddressCheck, CertificateProbe, CheckStatus, ProbeLimits, TlsVersion,
};
#[cfg(feature = "certificate")]
pub use crate::certificate::{
    CertificateCheck, CertificateDetails, CertificateKey, CertificateName, CertificateReport,
    CertificateTime, CertificateVerdict, ChainFault, Fingerprint, NotADate, NotAFingerprint,
    NotARoot, TrustGap, Whose,
};

#[cfg(feature = "plan")]
pub mod plan;

// The unit tests use it, whatever features are asked for.
#[cfg(any(feature = "testing", test))]
pub mod testing;

/// The README's example is compiled as it stands there.
#[cfg(all(doctest, feature = "full", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
