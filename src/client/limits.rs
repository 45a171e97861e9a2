//! Limits of connecting, and of what a client keeps open and has in flight.

use std::time::Duration;

use crate::core::config::setting::settings;
use crate::core::phase_limits::PhaseLimits;
use crate::transport::response_head::LEAST_HEAD_BUFFER;

settings! {
    /// How long each phase of connecting may take.
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::client::ConnectLimits;
    ///
    /// let mut limits = ConnectLimits::default();
    /// limits.total = Duration::from_secs(10);
    /// assert_eq!(limits.phases.attempt_delay, Duration::from_millis(250));
    /// ```
    #[derive(Copy, Eq, Hash)]
    pub struct ConnectLimits {
        /// Connecting to one address and the TLS handshake with it.
        phases: PhaseLimits;
        /// How long none of an endpoint's addresses has accepted a connection before the next endpoint is
        /// tried beside it. One that has accepted is waited for as long as its TLS handshake may take.
        /// Default 1 s, in which a lost SYN is sent again (RFC 6298 section 2);
        /// [`strict`](Self::strict) 1 day, longer than anything takes.
        endpoint_delay: Duration = Duration::from_secs(1);
        /// Everything together, over all endpoints. Default 30 s.
        total: Duration = Duration::from_secs(30), not_zero("no connection could be made");
    }
}

impl ConnectLimits {
    /// Returns limits that follow RFC 2782 to the letter: the next endpoint is tried only when the one
    /// before has failed.
    pub fn strict() -> Self {
        Self { endpoint_delay: Duration::from_secs(24 * 3600), ..Self::default() }
    }
}

impl ClientConfig {
    /// Returns the defaults with [`ConnectLimits::strict`].
    pub fn strict() -> Self {
        Self { connect: ConnectLimits::strict(), ..Self::default() }
    }
}

settings! {
    /// What a [`FederationClient`](crate::FederationClient) keeps open and has in flight.
    ///
    /// Mind the process's limit on open files. Sockets are open for each connection that is kept, for
    /// each request in flight, and for the attempts at each server that is being connected to: one for
    /// each of its addresses while they are silent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::client::ClientConfig;
    ///
    /// let mut limits = ClientConfig::default();
    /// limits.idle = Duration::from_secs(30);
    /// assert_eq!((limits.concurrent, limits.waiting), (100, 1000));
    /// ```
    #[derive(Copy, Eq, Hash)]
    pub struct ClientConfig {
        /// How long connecting may take.
        connect: ConnectLimits;
        /// How long a connection is kept without a request in flight. Default 90 s, as in hyper's own
        /// pool. It is closed then, whether anybody asks or not.
        idle: Duration = Duration::from_secs(90);
        /// How long after it was made a connection takes new requests. Default 1 h.
        age: Duration = Duration::from_secs(3600);
        /// At most this many connections are kept in all. For one more, the one that has been without
        /// a request for longest is closed. Default 512.
        connections: usize = 512;
        /// At most this many HTTP/1.1 connections are kept for one certificate name and address, at
        /// least 1. Default 8.
        per_server: usize = 8, at_least(1, "no connection could be kept");
        /// At most this many requests to one server are in flight, by whatever names, each until its
        /// response was read or dropped: as many HTTP/2 streams, or HTTP/1.1 connections. One server is
        /// one certificate name and the same endpoints. Default 100, the least that servers should
        /// allow (RFC 9113 section 6.5.2). An HTTP/2 connection with twice as many requests that are
        /// not sent yet, because the server does not read and the callers left, takes no more.
        concurrent: usize = 100, at_least(1, "no request could be sent");
        /// At most this many requests to one server wait for one of those to end; one more fails.
        /// Default 1,000.
        waiting: usize = 1000;
        /// At most this many servers are being connected to, each for [`ConnectLimits::total`] at most;
        /// further ones wait. Default 1,000.
        connecting: usize = 1000, at_least(1, "no connection could be made");
        /// At most this many more are being connected to for which that has taken as long as it commonly
        /// takes, and at least 20 ms: others need not wait for silent ones. If that is too few, the one that
        /// has taken longest, and more than 5 s, fails. Default 4,000.
        connecting_slow: usize = 4_000;
        /// At most this many servers wait to be connected to; a request to one more fails. Default
        /// 10,000.
        connecting_waiting: usize = 10_000;
        /// The largest head of a response, in bytes; with a larger one the request fails. Default 64
        /// KiB; at least 8 KiB.
        head_bytes: usize = 64 * 1024, at_least(LEAST_HEAD_BUFFER, "larger heads would be read, too");
        /// The most header lines of a response; with more the request fails. Default 1,000.
        head_lines: usize = 1_000, at_least(1, "no response could be read");
        /// How long the peer of an HTTP/2 connection is silent before it is asked whether it is still
        /// there (PING); 0: never. Default 20 s.
        keep_alive: Duration = Duration::from_secs(20);
        /// How long the answer to that may take. After that, the connection and its requests fail.
        /// Default 10 s.
        keep_alive_timeout: Duration = Duration::from_secs(10),
            not_zero("every connection would fail when it is idle");
        /// How long a connection that is not needed any more may take to end properly: to send the rest
        /// of a request, to skip the rest of a response, to close TLS. Default 1 s, some round trips to
        /// anywhere.
        farewell: Duration = Duration::from_secs(1);
        /// How many kept connections one request tries, since each may have ended unnoticed. Default 2,
        /// one more than needed where servers close idle connections.
        kept_tries: usize = 2;
        /// How many new connections one request tries where each ends before the request could be sent;
        /// at least 1. Default 3, each at another endpoint.
        new_tries: usize = 3, at_least(1, "no connection could be made");
        /// How often a request is sent again that the server says it has not processed (a GOAWAY below its
        /// stream, `REFUSED_STREAM`, `HTTP_1_1_REQUIRED`: RFC 9113 section 8.7), or that counts towards
        /// [`idempotent_resends`](Self::idempotent_resends); 0: never. The last time it gets a connection
        /// of its own. Default 3.
        resends: usize = 3;
        /// How often an idempotent request (RFC 9110 section 9.2.2) is sent again whose connection ended
        /// through no fault of its own before a byte of the response came: a kept one was closed, or
        /// another response over the same HTTP/2 connection was malformed; 0: never. Default 1.
        idempotent_resends: usize = 1;
        /// The longest body that is held in memory to be sent again, in bytes. Others are sent once.
        /// Default 1 MiB; transactions are smaller than that.
        resend_bytes: usize = 1 << 20;
        /// How long an endpoint that requires HTTP/1.1 is not offered HTTP/2. At most as many endpoints
        /// are remembered as [`connections`](Self::connections), and at least one. Default 1 h.
        http1_for: Duration = Duration::from_secs(3600);
        /// How often a request waits for a permit if the server has moved each time; at least 1.
        /// Default 4.
        moves: usize = 4, at_least(1, "no permit could be waited for");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::ConfigError;

    fn problems(checked: Result<(), ConfigError>) -> String {
        checked.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn values_that_cannot_work_are_found() {
        assert_eq!(ClientConfig::default().check(), Ok(()));
        assert_eq!(ConnectLimits::default().check(), Ok(()));
        assert_eq!(ClientConfig::strict().check(), Ok(()));

        let mut connect = ConnectLimits::default();
        (connect.phases.tls, connect.total) = (Duration::ZERO, Duration::ZERO);
        assert_eq!(
            problems(connect.check()),
            "phases.tls: 0s: no TLS handshake could end; set more\n\
             total: 0s: no connection could be made; set more"
        );

        let mut client = ClientConfig::default();
        (client.concurrent, client.head_bytes) = (0, 100);
        assert_eq!(
            problems(client.check()),
            "concurrent: 0: no request could be sent; set 1 or more\n\
             head_bytes: 100: larger heads would be read, too; set 8192 or more"
        );
    }
}
