//! Why a server gave no answer.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::core::dns::{DnsFailure, NoRecord};
use crate::local_trouble::{is_exhaustion, may_be_routing};

/// Why a server gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerFailure {
    /// It does not implement the question; another one might.
    NotImplemented { ttl: Option<Duration> },
    /// It failed, with the system's error if there is one.
    Failed(DnsFailure, Option<SystemError>),
    /// Its reply can be read, and is of no use: [`DnsFailure::Malformed`].
    Odd(OddReply),
}

/// An error of the system, which can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SystemError {
    kind: io::ErrorKind,
    /// Its number. Many errors, such as that no descriptor is left, have no kind.
    code: Option<i32>,
}

/// Why a reply that can be read is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OddReply {
    /// It has another response code than those of [`DnsFailure`].
    Code(u16),
    /// It leads through more aliases than are followed, or in a circle.
    Aliases { most: usize },
    /// The server is no authority for the name, and asks no other.
    Lame,
}

/// The failure of a server whose reply makes no sense.
pub(super) const MALFORMED: ServerFailure = ServerFailure::failed(DnsFailure::Malformed);

impl ServerFailure {
    pub(super) const fn failed(failure: DnsFailure) -> Self {
        Self::Failed(failure, None)
    }

    /// Returns whether the port is closed or the host says that it is not there.
    pub(super) const fn is_refusal(self) -> bool {
        matches!(self, Self::Failed(DnsFailure::Network, _))
    }

    /// Returns whether the server counts as unreachable. What hinders this machine says nothing about it.
    pub(super) const fn is_silence(self) -> bool {
        use io::ErrorKind as Io;

        match self {
            Self::Failed(DnsFailure::Network, Some(error)) => matches!(
                error.kind,
                Io::ConnectionRefused
                    | Io::ConnectionReset
                    | Io::ConnectionAborted
                    | Io::HostUnreachable
                    | Io::UnexpectedEof
            ),
            Self::Failed(failure, _) => matches!(failure, DnsFailure::Timeout),
            Self::NotImplemented { .. } | Self::Odd(_) => false,
        }
    }

    /// Returns how telling it is. A server that answered beats one whose reply made no sense, which
    /// beats a silent one, which beats one that cannot be reached, which beats one to which there is no
    /// way. That this machine could not ask one of them beats all failures of the others: that one might
    /// have known.
    pub(super) fn weight(self) -> u8 {
        match self {
            Self::NotImplemented { .. } => 7,
            Self::Failed(DnsFailure::Local, Some(error)) if may_be_routing(&error.kind.into()) => 0,
            Self::Failed(DnsFailure::Local, _) => 6,
            Self::Failed(DnsFailure::ServFail, _) => 5,
            Self::Failed(DnsFailure::Refused, _) => 4,
            Self::Failed(DnsFailure::Malformed, _) | Self::Odd(_) => 3,
            Self::Failed(DnsFailure::Timeout, _) => 2,
            Self::Failed(DnsFailure::Network, _) => 1,
        }
    }

    /// Returns the failure of a socket to be opened, or to be connected without a packet being sent.
    pub(super) fn of_opening(error: io::Error) -> Self {
        if may_be_routing(&error) {
            return Self::Failed(DnsFailure::Local, Some(SystemError::of(&error)));
        }
        error.into()
    }
}

impl From<io::Error> for ServerFailure {
    fn from(error: io::Error) -> Self {
        let failure = match error.kind() {
            io::ErrorKind::TimedOut => DnsFailure::Timeout,
            _ if is_exhaustion(&error) => DnsFailure::Local,
            _ => DnsFailure::Network,
        };
        Self::Failed(failure, Some(SystemError::of(&error)))
    }
}

impl SystemError {
    fn of(error: &io::Error) -> Self {
        Self { kind: error.kind(), code: error.raw_os_error() }
    }
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotImplemented { .. } => NoRecord::NotImplemented.fmt(f),
            // Want of descriptors has no kind, so that the system says it.
            Self::Failed(DnsFailure::Local, Some(SystemError { code: Some(code), .. })) => {
                io::Error::from_raw_os_error(*code).fmt(f)
            }
            Self::Failed(_, Some(error)) => error.kind.fmt(f),
            Self::Failed(failure, None) => failure.fmt(f),
            Self::Odd(OddReply::Code(code)) => write!(f, "response code {code}"),
            Self::Odd(OddReply::Aliases { most }) => {
                write!(f, "more than {most} aliases, or a circle of them")
            }
            Self::Odd(OddReply::Lame) => {
                f.write_str("neither an authority for the name nor a resolver")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hinders_this_machine_is_no_silence_of_the_server() {
        for (kind, is_silence) in [
            (io::ErrorKind::ConnectionRefused, true),
            (io::ErrorKind::TimedOut, true),
            (io::ErrorKind::NetworkUnreachable, false),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            let failure = ServerFailure::from(io::Error::from(kind));
            assert_eq!(failure.is_silence(), is_silence, "{kind}");
        }
        assert!(!ServerFailure::failed(DnsFailure::ServFail).is_silence());
    }

    #[test]
    fn the_more_telling_a_failure_the_greater_its_weight() {
        let order = [
            ServerFailure::of_opening(io::ErrorKind::NetworkUnreachable.into()),
            ServerFailure::failed(DnsFailure::Network),
            ServerFailure::failed(DnsFailure::Timeout),
            ServerFailure::failed(DnsFailure::Malformed),
            ServerFailure::failed(DnsFailure::Refused),
            ServerFailure::failed(DnsFailure::ServFail),
            ServerFailure::failed(DnsFailure::Local),
            ServerFailure::NotImplemented { ttl: None },
        ];
        assert!(order.is_sorted_by(|less, more| less.weight() < more.weight()));
    }
}
