//! How long each phase of opening a stream may take.

use std::time::Duration;

use crate::core::config::setting::settings;

settings! {
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
    #[derive(Copy, Eq, Hash)]
    pub struct PhaseLimits {
        /// Connecting to one address. Default 5 s: a lost SYN is sent again after 1 and after 3 s
        /// (RFC 6298 section 2), so that two of them may be lost.
        connect: Duration = Duration::from_secs(5), not_zero("no connection could be made");
        /// The TLS handshake with one address. Default 5 s.
        tls: Duration = Duration::from_secs(5), not_zero("no TLS handshake could end");
        /// How long an address is silent before the next is tried beside it. Default 250 ms (RFC
        /// 8305 section 5).
        attempt_delay: Duration = Duration::from_millis(250);
    }
}
