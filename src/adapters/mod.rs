//! Configurations and errors of the adapters that this crate brings along.
//!
//! | adapter | implements | feature |
//! | --- | --- | --- |
//! | [`HickoryDns`](../struct.HickoryDns.html) | `Dns` | `hickory` |
//! | `HickoryResolverDns`, on a resolver that you have | `Dns` | `hickory` |
//! | [`HyperFetch`](../struct.HyperFetch.html) | `WellKnownFetch` | `hyper` |
//! | [`TokioRuntime`](crate::TokioRuntime) | `Runtime` | `tokio` |
//! | [`RedisStore`](../struct.RedisStore.html) | `Store` | `redis` |
//!
//! `Resolver::from_system` makes a resolver of the first three (features `hickory` and `hyper`, and
//! `ring` or `aws-lc-rs`); its error is `SystemError`.

#[cfg(feature = "hickory")]
pub(crate) mod hickory;
#[cfg(feature = "hyper")]
pub(crate) mod hyper;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(all(feature = "hickory", feature = "hyper", any(feature = "ring", feature = "aws-lc-rs")))]
mod system;
pub(crate) mod tokio;

#[cfg(feature = "hickory")]
pub use self::hickory::{
    HickoryDnsError,
    config::{DnsConfig, DnsTransport, ServerOrder},
    own_resolver::HickoryResolverDns,
    server_address::{ServerAddressError, server_address},
};
#[cfg(feature = "redis")]
pub use self::redis::{RedisConfig, RedisStoreError};
#[cfg(all(
    feature = "hickory",
    feature = "hyper",
    any(feature = "ring", feature = "aws-lc-rs")
))]
pub use self::system::SystemError;
