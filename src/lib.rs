//! Where a Matrix homeserver is reached.
//!
//! Given a Matrix server name: where to connect, which `Host` to send, which name the certificate
//! must carry, how long that holds, and why. It is the server discovery of the Matrix
//! specification (server-server API, "Server discovery") as a library.
//!
//! # Start here
//!
//! | I want to ... | use | feature |
//! | --- | --- | --- |
//! | resolve server names in a program on tokio | [`Resolver::from_system`](struct.Resolver.html#method.from_system) | `full` |
//! | send federation requests | [`FederationClient`](struct.FederationClient.html) | `client` |
//! | connect, and speak HTTP myself | [`Connector`](struct.Connector.html) | `client` |
//! | bring my own DNS, HTTP or runtime | [`Dns`](trait.Dns.html), [`WellKnownFetch`](trait.WellKnownFetch.html), [`Runtime`](trait.Runtime.html), for a [`ResolverBuilder`](struct.ResolverBuilder.html) | `resolver` |
//! | share answers between processes | [`RedisStore`](struct.RedisStore.html), or a [`Store`](trait.Store.html) of my own | `redis`, `resolver` |
//! | set the target of some names myself | [`Rules`](struct.Rules.html) with a [`FixedTarget`] | `resolver` |
//! | resolve without async, or with I/O of my own | [`Discovery`], driven as [`discovery`] says | |
//! | keep a cache of my own | [`cache`] | |
//! | change limits and policies | [`Config`], [`config`] | |
//! | allow private addresses | [`AddressPolicy`] | |
//! | parse a server name | [`ServerName`] | |
//! | read or serve a well-known document | [`WellKnown`] | |
//! | know why an answer is what it is | [`Report`], [`Warning`], [`Step`] | |
//! | judge a server's certificates | [`CertificateCheck`](struct.CertificateCheck.html), [`CertificateProbe`](struct.CertificateProbe.html) | `certificate` |
//! | set up delegation for my own server | [`plan`](plan/index.html) | `plan` |
//! | test code without a network | [`testing`](testing/index.html) | `testing` |
//! | know which versions of other crates fit | [`deps`] | |
//!
//! # Layers
//!
//! - The **core** is always there and does the thinking. It opens no socket and reads no clock.
//!   [`Discovery`] is a machine that is fed answers and asks questions.
//! - Feature **`resolver`**: `Resolver` drives the machine over the traits `Dns`, `WellKnownFetch`
//!   and `Runtime`, shares questions between callers and remembers answers.
//! - Features **`hickory`**, **`hyper`** and **`tokio`** implement those three traits on well-kept
//!   libraries. Feature **`redis`** is a `Store` for processes that share what they learn.
//! - Feature **`client`** connects to what was resolved and sends requests over HTTP/2 and HTTP/1.1.
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
//!
//! # Features
//!
//! None is on by default, and features only add. **`full`** turns on all but those for tests, with
//! ring as the crypto provider.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `resolver` | `Resolver` and its traits |
//! | `tokio`, `hickory`, `hyper` | `TokioRuntime`, `HickoryDns`, `HyperFetch` |
//! | `client` | `Connector` and `FederationClient`; turns on `hyper` |
//! | `ring`, `aws-lc-rs` | a crypto provider, and with `hyper` the platform's trusted roots |
//! | `redis` | `RedisStore` |
//! | `metrics` | the resolver's counters through the `metrics` facade |
//! | `certificate` | `CertificateCheck`; with `hyper`, `CertificateProbe` |
//! | `plan` | how one's own server is found, as data |
//! | `testing` | an internet that is a value; with `arbitrary` and `proptest`, generated at random |
//!
//! # Versions
//!
//! [`deps`] names and re-exports the crates whose types occur in the API, and says which changes are
//! breaking.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

// The core: what goes in, the machine, and what comes out.
mod api;
mod core;
pub use crate::api::{
    cache, config, deps, discovery, dns, error, names, report, target, time, well_known,
};
pub use crate::core::address_policy::AddressPolicy;
pub use crate::core::config::Config;
pub use crate::core::discovery::Discovery;
pub use crate::core::endpoint::Endpoint;
pub use crate::core::error::ResolveError;
pub use crate::core::names::ServerName;
pub use crate::core::report::Report;
pub use crate::core::step::Step;
pub use crate::core::target::{DelegationTarget, FixedTarget};
pub use crate::core::warning::Warning;
pub use crate::core::well_known::WellKnown;

// The core driven, with a memory.
#[cfg(any(feature = "hickory", feature = "hyper"))]
mod local_trouble;
#[cfg(feature = "resolver")]
pub mod resolver;
#[cfg(feature = "resolver")]
mod runtime;
#[cfg(feature = "resolver")]
pub use crate::resolver::{
    builder::ResolverBuilder,
    config::ResolverConfig,
    handle::Resolver,
    name_rules::Rules,
    resolution::Resolution,
    store::Store,
    traits::{Dns, WellKnownFetch},
};
#[cfg(feature = "resolver")]
pub use crate::runtime::Runtime;

// The resolver's traits on other libraries.
#[cfg(feature = "tokio")]
pub mod adapters;
#[cfg(feature = "hyper")]
pub mod transport;
#[cfg(feature = "hickory")]
pub use crate::adapters::hickory::HickoryDns;
#[cfg(feature = "hyper")]
pub use crate::adapters::hyper::HyperFetch;
#[cfg(feature = "redis")]
pub use crate::adapters::redis::RedisStore;
#[cfg(feature = "tokio")]
pub use crate::adapters::tokio::TokioRuntime;
#[cfg(all(feature = "hyper", any(feature = "ring", feature = "aws-lc-rs")))]
pub use crate::transport::roots::TrustedRoots;

// What is done with an answer.
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub use crate::client::{connector::Connector, federation_client::FederationClient};

#[cfg(feature = "certificate")]
pub mod certificate;
#[cfg(feature = "certificate")]
pub use crate::certificate::check::CertificateCheck;
#[cfg(all(feature = "certificate", feature = "hyper"))]
pub use crate::certificate::probe::CertificateProbe;

// The other side: one's own server.
#[cfg(feature = "plan")]
pub mod plan;

// The unit tests use it, whatever features are asked for.
#[cfg(any(feature = "testing", test))]
pub mod testing;

/// The README's example is compiled as it stands there.
#[cfg(all(doctest, feature = "full", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
