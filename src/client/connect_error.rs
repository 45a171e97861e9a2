//! The error of connecting, with every attempt.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;
use thiserror::Error;

use crate::core::blame::Blame;
use crate::core::endpoint::Endpoint;
use crate::core::names::{Host, ServerName};
use crate::core::text::write_list;
use crate::transport::ConnectFailureKind;

/// No endpoint of a server could be connected to.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("no connection to {server_name}: {}", List(.attempts))]
#[non_exhaustive]
pub struct ConnectError {
    /// The server.
    pub server_name: ServerName,
    /// Every attempt, in the order in which they ended.
    pub attempts: Vec<ConnectAttempt>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct ConnectAttempt {
    /// The endpoint's host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The address; `None` where the endpoint has none, or a proxy looks it up.
    pub address: Option<SocketAddr>,
    /// The phase in which it failed.
    pub phase: ConnectPhase,
    /// Why it failed, for programs.
    pub kind: ConnectFailureKind,
    /// Why it failed, for people. It may hold words of the other side's choice.
    pub reason: String,
}

/// The phase in which an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectPhase {
    /// There was no address to connect to.
    Address,
    /// This machine could not start it: no network of that family, no socket left, not permitted. That
    /// says nothing about the server and is not reported to a resolver.
    Local,
    /// Connecting: refused, silent, unreachable.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The check of the certificate: it is for another name, expired, or of an untrusted issuer.
    Certificate,
    /// Starting HTTP: the connection ended before a request could be sent.
    Http,
}

impl ConnectError {
    /// Returns whose fault it is: the server's, if one attempt failed through its fault; else DNS's, if
    /// an endpoint has no address; else this machine's, also if there was no time for any attempt.
    pub fn blame(&self) -> Blame {
        let blamed = |blame| self.attempts.iter().any(|attempt| attempt.blame() == blame);
        let order = [Blame::Server, Blame::Dns];
        order.into_iter().find(|blame| blamed(*blame)).unwrap_or(Blame::Local)
    }

    /// Returns whether the next try may well succeed, with nothing changed by an administrator: one
    /// of the attempts might, or there was no time for any.
    pub fn is_temporary(&self) -> bool {
        self.attempts.is_empty() || self.attempts.iter().any(ConnectAttempt::is_temporary)
    }

    /// Returns whether bytes of a request may have reached a server: never, since there was no
    /// connection to send them over.
    pub const fn was_sent(&self) -> bool {
        false
    }

    /// Creates the error and takes the attempts out of the list.
    pub(super) fn after(server_name: &ServerName, attempts: &mut Vec<ConnectAttempt>) -> Self {
        Self { server_name: server_name.clone(), attempts: std::mem::take(attempts) }
    }
}

/// Returns whether one of these attempts was at this endpoint.
pub(super) fn has_failed(attempts: &[ConnectAttempt], endpoint: Endpoint<'_>) -> bool {
    attempts.iter().any(|attempt| attempt.is_at(endpoint))
}

impl ConnectAttempt {
    pub(super) fn new(
        endpoint: Endpoint<'_>,
        address: Option<SocketAddr>,
        phase: ConnectPhase,
        kind: ConnectFailureKind,
        reason: String,
    ) -> Self {
        let (host, port) = (endpoint.host().clone(), endpoint.port());
        Self { host, port, address, phase, kind, reason }
    }

    /// Returns whose fault it is.
    pub const fn blame(&self) -> Blame {
        self.kind.blame()
    }

    /// Returns whether the next attempt may well succeed, with nothing changed by an administrator.
    pub const fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }

    /// Returns whether it was an attempt at this endpoint.
    pub(super) fn is_at(&self, endpoint: Endpoint<'_>) -> bool {
        self.host == *endpoint.host() && self.port == endpoint.port()
    }
}

impl fmt::Display for ConnectPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Address => "address",
            Self::Local => "local",
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Certificate => "certificate",
            Self::Http => "HTTP",
        })
    }
}

impl fmt::Display for ConnectAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)?;
        if let Some(address) = self.address {
            write!(f, " at {address}")?;
        }
        write!(f, " ({}): {}", self.phase, self.reason)
    }
}

struct List<'a>(&'a [ConnectAttempt]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("the time ran out")
        } else {
            write_list(f, self.0, "; ")
        }
    }
}
