//! The resolver's traits, implemented on other libraries.

#[cfg(feature = "hickory")]
pub(crate) mod hickory;
#[cfg(feature = "hyper")]
pub(crate) mod hyper;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(all(feature = "hickory", feature = "hyper", any(feature = "ring", feature = "aws-lc-rs")))]
pub(crate) mod system;
pub(crate) mod tokio;
