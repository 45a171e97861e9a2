//! Byte streams to addresses and TLS over them (feature `hyper`).
//!
//! `HyperFetch`, `Connector` and `CertificateProbe` open streams with a [`Dial`]: [`TcpDial`] by
//! default, or one of your own, for example through a proxy. [`ConnectFailureKind`] names what went
//! wrong with one address. With feature `ring` or `aws-lc-rs`,
//! [`TrustedRoots`](../struct.TrustedRoots.html) says which certificate authorities are trusted.

pub(crate) mod deadline;
pub(crate) mod dial;
pub(crate) mod error_chain;
mod failure_kind;
pub(crate) mod happy_eyeballs;
pub(crate) mod opening;
pub(crate) mod response_head;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub(crate) mod roots;
pub(crate) mod tls;

pub use self::dial::{Dial, DialStream, TcpDial};
pub use self::failure_kind::ConnectFailureKind;
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub use self::roots::TlsSetupError;
