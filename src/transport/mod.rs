//! Byte streams to addresses and TLS over them (feature `hyper`).
//!
//! `HyperFetch`, `Connector` and `CertificateProbe` open streams with a [`Dial`]: [`TcpDial`] by
//! default, or one of your own, for example through a proxy. [`ConnectFailureKind`] names what went
//! wrong with one address. With feature `ring` or `aws-lc-rs`,
//! [`TrustedRoots`](../struct.TrustedRoots.html) says which certificate authorities are trusted.

mod deadline;
mod dial;
mod error_chain;
mod failure_kind;
mod happy_eyeballs;
mod opening;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub(crate) mod roots;
mod tls;

pub(crate) use self::deadline::Deadline;
#[cfg(feature = "certificate")]
pub(crate) use self::deadline::TimedOut;
pub use self::dial::{Dial, DialStream, TcpDial};
#[cfg(feature = "certificate")]
pub(crate) use self::error_chain::chain;
pub(crate) use self::error_chain::{cause, in_words, printable};
pub use self::failure_kind::ConnectFailureKind;
pub(crate) use self::happy_eyeballs::StaggeredAttempts;
pub(crate) use self::opening::{OpenError, Opening, Phase};
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub use self::roots::TlsSetupError;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub(crate) use self::roots::TrustedRoots;
#[cfg(all(feature = "certificate", any(feature = "ring", feature = "aws-lc-rs")))]
pub(crate) use self::roots::provider;
#[cfg(any(feature = "client", feature = "certificate"))]
pub(crate) use self::tls::with_federation_protocols;
#[cfg(feature = "client")]
pub(crate) use self::tls::{HTTP_2, VerifiedStream};
pub(crate) use self::tls::{handshake, with_http_1_1};
