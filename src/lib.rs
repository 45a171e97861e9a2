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
//!   libraries; with `hyper`, `Connector` and `FederationClient` reach what was resolved. Feature
//!   **`redis`**: `RedisStore`, for processes that share what they learn; feature
//!   **`metrics`**: the counters through the `metrics` facade. **`full`** turns on all of them, with
//!   ring as the crypto provider.
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
    AddressFamilies, Config, DnsFailurePolicy, DnsLifetimes, Limits, Speculation, SrvAliasPolicy,
    TimeLimits, UserAgent, WellKnownLifetimes,
    memory::{Abandoned, Feedback, MemoryLimits, Refresh},
};
pub use crate::core::names::server_name::{
    HostRef, ServerName, ServerNameError, ServerNameErrorKind, UnresolvableName,
};
pub use crate::core::time::{Monotonic, Now};

// The machine, and what passes between it and its driver.
pub use crate::core::cache::dns_part::DnsPart;
pub use crate::core::cache::record::{RecordError, WellKnownRecord};
pub use crate::core::cache::well_known_answer::{InUse, WellKnownAnswer};
pub use crate::core::discovery::{
    Discovery, DnsToken, FetchToken, Outcome, Output, Question, WellKnownToken,
    lookup::WellKnownLookup,
};
pub use crate::core::dns::{
    DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, Service, SrvRecord,
};
pub use crate::core::names::dns_name::{DnsName, NotAHostName};
pub use crate::core::names::host::Host;
pub use crate::core::well_known::failure::{FailureClass, WellKnownFailure};
pub use crate::core::well_known::fetch::{
    Body, Fetch, FetchAttempt, FetchFailure, FetchFailureKind, FetchLimits,
};

// What comes out: a target, or an error, and the story of either.
pub use crate::core::error::{Evidence, FamilyOutcome, HostEvidence, ResolveError};
pub use crate::core::report::{
    DnsExchange, Hop, HopOutcome, Report, SkipReason, Source, StepOutcome, StepReport,
    WellKnownReport,
};
pub use crate::core::step::{Reasons, Step};
pub use crate::core::target::{
    Attempts, Degraded, DelegationTarget, Endpoint, FixedTarget, FixedTargetError, Lifetimes,
    Origin,
};
pub use crate::core::warning::Warning;

// The parts that the machine is built of, each of use by itself.
pub use crate::core::dns::srv::{DroppedSrv, SrvDropReason, SrvSet, SrvTarget, select_by_weight};
pub use crate::core::well_known::document::{MAX_BODY_BYTES, WellKnown, WellKnownError};
pub use crate::core::well_known::freshness::{Freshness, retry_after};
pub use crate::core::well_known::redirect::{RedirectError, WellKnownUrl, is_redirect};

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
    counters::{Counters, Outcomes, Queries},
    entry::{Remembered, Subject},
    feedback::{ContactFailure, ContactFailureKind},
    resolution::{Explanation, Provenance, Resolution},
    rules::{Names, Rules},
    snapshot::{RestoreError, Restored, Snapshot},
    store::{Store, StoreError},
    traits::{Dns, WellKnownFetch},
};

#[cfg(any(feature = "resolver", feature = "certificate"))]
mod adapters;
#[cfg(feature = "certificate")]
pub use crate::adapters::certificate::{
    CertificateCheck, NotARoot,
    details::{CertificateDetails, CertificateKey, CertificateName, Fingerprint, NotAFingerprint},
    time::{CertificateTime, NotADate},
    verdict::{CertificateReport, CertificateVerdict, ChainFault, TrustGap, Whose},
};
#[cfg(all(feature = "certificate", feature = "hyper"))]
pub use crate::adapters::certificate::{
    address::{AddressCheck, CheckStatus, TlsVersion},
    probe::{CertificateProbe, ProbeLimits},
};
#[cfg(feature = "hickory")]
pub use crate::adapters::hickory::{HickoryDns, HickoryDnsError};
#[cfg(feature = "hyper")]
pub use crate::adapters::hyper::{
    Dial, DialStream, HyperFetch, TcpDial,
    client::{ClientLimits, FederationBody, FederationClient, InvalidRequest, RequestError},
    connect::{
        ConnectLimits, Connection, Connector,
        failure::{ConnectAttempt, ConnectError, ConnectPhase},
    },
};
#[cfg(all(feature = "hyper", any(feature = "ring", feature = "aws-lc-rs")))]
pub use crate::adapters::hyper::{TlsSetupError, TrustedRoots};
#[cfg(feature = "redis")]
pub use crate::adapters::redis::{RedisStore, RedisStoreError};
#[cfg(all(
    feature = "hickory",
    feature = "hyper",
    any(feature = "ring", feature = "aws-lc-rs")
))]
pub use crate::adapters::system::SystemError;
#[cfg(feature = "tokio")]
pub use crate::adapters::tokio::TokioRuntime;

#[cfg(feature = "plan")]
pub mod plan;

// The unit tests use it, whatever features are asked for.
#[cfg(any(feature = "testing", test))]
pub mod testing;

/// The README's example is compiled as it stands there.
#[cfg(all(doctest, feature = "full", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
