//! How long connecting may take, and what a client keeps open and lets run at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::phase_limits::PhaseLimits;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConnectLimits {
    /// Connecting to one address and the TLS handshake with it.
    pub phases: PhaseLimits,
    /// All of it, over every endpoint. Default 30 s.
    #[serde(with = "crate::core::config::duration")]
    pub total: Duration,
}

impl Default for ConnectLimits {
    fn default() -> Self {
        Self { phases: PhaseLimits::default(), total: Duration::from_secs(30) }
    }
}

/// What a [`FederationClient`](crate::FederationClient) keeps open and lets run at a time.
///
/// Sockets are open for what is kept, for every request under way, and for the attempts at each server
/// that is being connected to, which are its addresses one after the other while they are silent:
/// mind the limit on open files of the process.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::client::ClientLimits;
///
/// let mut limits = ClientLimits::default();
/// limits.idle = Duration::from_secs(30);
/// assert_eq!((limits.concurrent, limits.waiting), (100, 1000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientLimits {
    /// How long a connection is kept without a request under way. Default 90 s, as in hyper's own
    /// pool. Those that have been idle for longer are looked for as often, but every 30 s at the
    /// least.
    #[serde(with = "crate::core::config::duration")]
    pub idle: Duration,
    /// How long after it was made a connection takes new requests. Default 1 h.
    #[serde(with = "crate::core::config::duration")]
    pub age: Duration,
    /// Connections kept in all; the one longest without a request is closed for another. Default
    /// 512.
    pub connections: usize,
    /// HTTP/1.1 connections kept for one certificate name and address. Default 8.
    pub per_server: usize,
    /// Requests to one server at a time, by whatever names, each until its response was read or
    /// dropped: as many HTTP/2 streams, or HTTP/1.1 connections. One server is one certificate name
    /// and the same endpoints. Default 100, the least that RFC 9113 section
    /// 6.5.2 would have servers allow. An HTTP/2 connection on which twice as many are still to be
    /// sent, because their callers left and the server does not read, takes no more.
    pub concurrent: usize,
    /// Requests to one server that wait for one of those to end; one more fails. Default 1,000.
    pub waiting: usize,
    /// Servers being connected to at a time, each for [`ConnectLimits::total`] at most; others wait
    /// for a permit. Default 1,000.
    ///
    /// [`ConnectLimits::total`]: crate::client::ConnectLimits::total
    pub connecting: usize,
    /// Servers that wait to be connected to; a request to one more fails. Default 10,000.
    pub connecting_waiting: usize,
    /// Bytes of a response's head; with more the request fails. Default 64 KiB, and no less than 8
    /// KiB.
    pub head_bytes: usize,
    /// How long the other side of an HTTP/2 connection is silent before it is asked whether it is still
    /// there (PING); 0: never. Default 20 s.
    #[serde(with = "crate::core::config::duration")]
    pub keep_alive: Duration,
    /// How long the answer to that may take, or the connection and its requests fail. Default 10 s.
    #[serde(with = "crate::core::config::duration")]
    pub keep_alive_timeout: Duration,
    /// How long a connection that nobody needs has to end properly: to send what is still to be sent,
    /// to skip the rest of a response, to close TLS. Default 1 s, some round trips to anywhere.
    #[serde(with = "crate::core::config::duration")]
    pub farewell: Duration,
    /// Kept connections that one request tries: each may have ended unnoticed. Default 2, one more
    /// than a server that closes idle connections needs.
    pub kept_tries: usize,
    /// New connections that one request tries, where each ends before the request could be sent; at
    /// least 1. Default 3, each at another endpoint.
    pub new_tries: usize,
    /// How often a request waits for a permit if the server has moved each time it got one; at least
    /// 1. Default 4.
    pub moves: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(90),
            age: Duration::from_secs(3600),
            connections: 512,
            per_server: 8,
            concurrent: 100,
            waiting: 1000,
            connecting: 1000,
            connecting_waiting: 10_000,
            head_bytes: 64 * 1024,
            keep_alive: Duration::from_secs(20),
            keep_alive_timeout: Duration::from_secs(10),
            farewell: Duration::from_secs(1),
            kept_tries: 2,
            new_tries: 3,
            moves: 4,
        }
    }
}
