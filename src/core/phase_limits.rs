//! How long each phase of opening a stream may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of the phases of opening a verified stream to a server.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::config::PhaseLimits;
///
/// let mut limits = PhaseLimits::default();
/// limits.connect = Duration::from_secs(3);
/// assert_eq!(limits.tls, Duration::from_secs(5));
/// assert_eq!(limits.attempt_delay, Duration::from_millis(250));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PhaseLimits {
    /// Connecting to one address. Default 5 s: a lost SYN is sent again after 1 and after 3 s (RFC
    /// 6298 section 2), so that two of them may be lost.
    #[serde(with = "crate::core::config::duration")]
    pub connect: Duration,
    /// The TLS handshake with one address. Default 5 s.
    #[serde(with = "crate::core::config::duration")]
    pub tls: Duration,
    /// How long an address is silent before the next is tried beside it. Default 250 ms (RFC 8305
    /// section 5).
    #[serde(with = "crate::core::config::duration")]
    pub attempt_delay: Duration,
}

impl Default for PhaseLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            attempt_delay: Duration::from_millis(250),
        }
    }
}
