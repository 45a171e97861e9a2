//! The public modules of the core, each a page of the documentation.

pub mod config {
    //! The choices that the specification leaves open, and the limits.
    //!
    //! [`Config`](crate::Config) holds the choices of one discovery; with feature `resolver`,
    //! `ResolverConfig` holds one and the limits of a resolver. Each has the presets `default`,
    //! `strict` (the letter of the specification) and `synapse`, reads what operators write in a
    //! file, and lists every value that cannot work ([`ConfigError`]).
    //!
    //! ```
    //! use matrix_delegation::Config;
    //!
    //! let config: Config = serde_json::from_str(r#"{"time": {"discovery": "20s"}}"#)?;
    //! assert!(config.check().is_ok());
    //! # Ok::<(), Box<dyn std::error::Error>>(())
    //! ```

    pub use crate::core::address_policy::BlockedRange;
    pub use crate::core::config::{
        AddressFamilies, BlockedAddressPolicy, ConfigError, ConfigProblem, DnsFailurePolicy,
        DnsLifetimes, FamilyOrder, Feedback, Limits, Refresh, Speculation, SrvAliasPolicy,
        TimeLimits, UserAgent, WellKnownLifetimes, Withdrawal,
    };
    pub use crate::core::phase_limits::PhaseLimits;
    #[cfg(feature = "resolver")]
    pub use crate::resolver::config::{Abandoned, MemoryLimits, QueueLimits, Reports, StoreLimits};
}

pub mod names {
    //! Hosts, DNS names, and why a text is no server name.
    //!
    //! [`ServerName`](crate::ServerName) follows the grammar of the specification's appendix by the
    //! byte. Not every name in that grammar has a host: `to_host` gives a [`Host`], an IP address
    //! or a [`DnsName`], or says why there is none ([`UnresolvableName`]).
    //!
    //! ```
    //! use matrix_delegation::ServerName;
    //! use matrix_delegation::names::Host;
    //!
    //! let name: ServerName = "[2001:db8::7]:8448".parse()?;
    //! assert!(matches!(name.to_host()?, Host::Ip(_)));
    //! # Ok::<(), Box<dyn std::error::Error>>(())
    //! ```

    pub use crate::core::names::{
        DnsName, Host, HostRef, NotAHostName, ServerNameError, ServerNameErrorKind,
        UnresolvableName,
    };
}

pub mod time {
    //! The time that is passed to the machines.
    //!
    //! The core reads no clock. [`Now`] holds a point of the monotonic clock ([`Monotonic`]), by
    //! which answers expire, and one of the wall clock, which HTTP's dates and records of other
    //! processes need.

    pub use crate::core::time::{Monotonic, Now};
}

pub mod discovery {
    //! The machines that resolve names without I/O: questions, answers and their contract.
    //!
    //! [`Discovery`](crate::Discovery) resolves a server name, and [`WellKnownLookup`] looks up a
    //! well-known document by itself. Both are a [`Machine`]: poll its [`Output`]s, ask each
    //! [`Question`], and hand back the [`Answer`] that is made from the question's token.
    //! [`Machine`] tells the whole contract; `examples/sans_io.rs` is the smallest driver.

    pub use crate::core::discovery::{
        Answer, DnsToken, FetchToken, Machine, Outcome, Output, Question, WellKnownLookup,
        WellKnownToken,
    };
}

pub mod dns {
    //! Questions to DNS, their answers, and the order of SRV records.
    //!
    //! An implementation of `Dns` receives a [`DnsQuestion`] and returns a [`DnsAnswer`]; it keeps
    //! apart "there is none" ([`NoRecord`]) and "the look-up failed" ([`DnsFailure`]). [`SrvSet`]
    //! puts records in RFC 2782's order and says which it dropped and why.

    pub use crate::core::dns::{
        DnsAnswer, DnsFailure, DnsQuestion, DroppedSrv, Family, NoRecord, Records, Service,
        SrvDropReason, SrvRecord, SrvSet, SrvTarget, select_by_weight,
    };
}

pub mod well_known {
    //! The well-known document: its address and redirects, fetch, lifetime and failures.
    //!
    //! [`WellKnown`](crate::WellKnown) is the document. A machine asks for a [`Fetch`]; an
    //! implementation of `WellKnownFetch` returns a response with a [`Body`], or a
    //! [`FetchFailure`]. [`WellKnownUrl`] follows redirects, [`Freshness`] reads how long a
    //! response holds, and [`WellKnownFailure`] says why there is no document and whether that may
    //! pass.

    pub use crate::core::well_known::{
        Body, FailureClass, Fetch, FetchAttempt, FetchFailure, FetchFailureKind, FetchLimits,
        Freshness, MAX_BODY_BYTES, RedirectError, Responder, WellKnownError, WellKnownFailure,
        WellKnownUrl, is_redirect, retry_after,
    };
}

pub mod cache {
    //! Remembered answers: what one may be used for, and when.
    //!
    //! The machines and the resolver use [`CacheEntry`]; so can a cache of your own.
    //! [`WellKnownRecord`] is a remembered document as a `Store` or a snapshot keeps it.

    pub use crate::core::cache::{
        CacheEntry, DnsEntry, FailureTerms, GoodTerms, Purpose, RecordError, Served,
        WellKnownEntry, WellKnownRecord, family_is_due,
    };
    pub use crate::core::dns::{DnsError, DnsRecords};
}

pub mod target {
    //! Details of a target: where its parts come from and how long they hold.
    //!
    //! [`DelegationTarget`](crate::DelegationTarget) is the answer itself. [`Reasons`] names the
    //! clause of the specification behind each of its three parts, [`Origin`] says how an
    //! [`Endpoint`](crate::Endpoint) was found, and [`Degraded`] why a target may be worse than the
    //! server meant it.

    pub use crate::core::endpoint::{Attempts, Origin};
    pub use crate::core::step::Reasons;
    pub use crate::core::target::{Degraded, FixedTargetError, Lifetimes};
}

pub mod report {
    //! The parts of a report: every question, every hop, and every step that was skipped.
    //!
    //! [`Report`](crate::Report) prints for people and serialises for logs. It claims nothing of a
    //! record that was not looked up.

    pub use crate::core::report::{
        DnsExchange, Hop, HopOutcome, SkipReason, Source, StepOutcome, StepReport, WellKnownReport,
    };
}

pub mod error {
    //! Whose fault an error is, and its evidence.
    //!
    //! [`ResolveError`](crate::ResolveError) says why there is no target. [`Blame`] tells whose
    //! fault an error is, [`Busy`] which limit was reached, and [`Evidence`] holds what was found
    //! for each host.

    pub use crate::core::blame::Blame;
    pub use crate::core::error::{Busy, Evidence, FamilyOutcome, HostEvidence};
}

pub mod deps {
    //! The crates whose types this crate's functions take or return.
    //!
    //! Name their types through this module, and they are those of the version that this crate was
    //! built with:
    //!
    //! | crate | version | where its types occur |
    //! | --- | --- | --- |
    //! | [`http`] | 1.x | requests, responses and headers everywhere |
    //! | [`ipnet`] | 2.x | ranges of [`AddressPolicy`](crate::AddressPolicy) |
    //! | [`rustls_pki_types`] | 1.x | names and certificates |
    //! | `rustls` | 0.23 | feature `hyper`: `ClientConfig` for `HyperFetch` and `Connector`; roots, provider and clock of `CertificateProbe` |
    //! | `hyper` | 1.x | feature `hyper`: with `client`, `hyper::body::{Body, Bytes}` of requests and responses |
    //! | `tower_service` | 0.3 | feature `client`: the trait `Service` of `FederationClient` |
    //! | `tokio` | 1.x | feature `tokio`: `Handle` for `TokioRuntime`; with `hyper`, the traits of streams |
    //! | `redis` | 1.x | feature `redis`: `ConnectionManager` for `RedisStore` |
    //! | `hickory_resolver` | 0.26 | feature `hickory`: `TokioResolver` for `HickoryResolverDns` |
    //! | `metrics` | 0.24 | feature `metrics`: the recorder that the counters go to |
    //! | `arbitrary` | 1.x | feature `arbitrary`: the trait `Arbitrary` |
    //! | `proptest` | 1.x | feature `proptest`: the trait `Strategy` |
    //!
    //! serde's traits are those of serde 1.x; errors may have others' errors as their `source`,
    //! which is for printing.
    //!
    //! # Versions and compatibility
    //!
    //! - Another major version of a crate in this table (for one below 1.0, another minor version) is a
    //!   breaking change of this crate and comes with a new minor version while it is below 1.0, then
    //!   with a new major version. Minor versions of a crate at 1.0 and later are not breaking.
    //! - Crates that are not in the table, such as rustls-webpki and x509-parser, do not occur in the
    //!   API; their versions change without notice.
    //! - Enums and structs that may grow are `#[non_exhaustive]`. The others are closed, and a change
    //!   to one of them is a breaking change:
    //!   - what a driver or an adapter must handle in full, or makes itself:
    //!     [`Output`](crate::discovery::Output), [`DnsQuestion`](crate::dns::DnsQuestion),
    //!     [`DnsAnswer`](crate::dns::DnsAnswer), [`Records`](crate::dns::Records),
    //!     [`SrvRecord`](crate::dns::SrvRecord), [`Body`](crate::well_known::Body),
    //!     [`FetchAttempt`](crate::well_known::FetchAttempt), [`Now`](crate::time::Now),
    //!     [`GoodTerms`](crate::cache::GoodTerms), [`FailureTerms`](crate::cache::FailureTerms);
    //!   - sets that a standard closes: [`Step`](crate::Step), [`Family`](crate::dns::Family),
    //!     [`Service`](crate::dns::Service), [`Host`](crate::names::Host),
    //!     [`HostRef`](crate::names::HostRef), [`Freshness`](crate::well_known::Freshness),
    //!     `plan::NamePattern`;
    //!   - the scenarios of `testing`, whose fields are those of a documented file format.
    //! - The least Rust version is `rust-version` in the manifest. A higher one is not a breaking
    //!   change, and the changelog names it.
    //! - A default of the configuration may change with a minor version; the changelog names it.

    #[cfg(feature = "arbitrary")]
    pub use arbitrary;
    #[cfg(feature = "hickory")]
    pub use hickory_resolver;
    pub use http;
    #[cfg(feature = "hyper")]
    pub use hyper;
    pub use ipnet;
    #[cfg(feature = "metrics")]
    pub use metrics;
    #[cfg(feature = "proptest")]
    pub use proptest;
    #[cfg(feature = "redis")]
    pub use redis;
    #[cfg(feature = "hyper")]
    pub use rustls;
    pub use rustls_pki_types;
    #[cfg(feature = "tokio")]
    pub use tokio;
    #[cfg(feature = "client")]
    pub use tower_service;
}
