//! The layer that rests on well-kept libraries: the resolver's traits, and the judging of
//! certificates. It does the talking.

#[cfg(feature = "certificate")]
pub(crate) mod certificate;
#[cfg(feature = "hickory")]
pub(crate) mod hickory;
#[cfg(feature = "hyper")]
pub(crate) mod hyper;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(all(feature = "hickory", feature = "hyper", any(feature = "ring", feature = "aws-lc-rs")))]
pub(crate) mod system;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
