//! Why there is no valid well-known document, and what kind of failure that is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::address_policy::BlockedRange;
use crate::core::config::Withdrawal;
use crate::core::dns::{DnsFailure, NoRecord};
use crate::core::names::{DnsName, Host};
use crate::core::well_known::document::WellKnownError;
use crate::core::well_known::fetch::{FetchFailure, FetchFailureKind};
use crate::core::well_known::redirect::RedirectError;

/// Why there is no valid well-known document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WellKnownFailure {
    /// The host's addresses could not be looked up. Temporary.
    #[error("looking up {host} failed: {failure}")]
    Dns {
        /// The host of the document, or of a redirect.
        host: DnsName,
        /// How the look-up failed.
        failure: DnsFailure,
    },
    /// The host does not exist or has no address.
    #[error("{host} has no address: {kind}")]
    NoAddress {
        /// The host of the document, or of a redirect.
        host: DnsName,
        /// Which of the two.
        kind: NoRecord,
        /// How long that holds, as DNS says.
        lifetime: Duration,
        /// Whether a redirect led there, so that it says nothing of the host that was asked.
        redirected: bool,
    },
    /// The address policy blocks all addresses of the host.
    #[error("{host} may not be connected to: {range}")]
    Blocked {
        /// The host of the document, or of a redirect.
        host: Host,
        /// The range that contains the first of its addresses.
        range: BlockedRange,
    },
    /// The exchange brought no response. Temporary.
    #[error(transparent)]
    Fetch(FetchFailure),
    /// The look-up took longer than the limit for all of the well-known. Temporary.
    #[error("it took longer than {} s", limit.as_secs_f32())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The body is larger than the limit. Temporary.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The status is not 200. 408, 429 and 5xx are temporary.
    #[error("status {status}")]
    Status {
        /// The status.
        status: u16,
        /// The `Retry-After` of a 429.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("the redirect is not followed")]
    Redirect(#[source] RedirectError),
    /// The body carries a content coding although none was asked for.
    #[error("the body is encoded as {coding:?}, although no content coding was asked for")]
    ContentCoding {
        /// The coding.
        coding: String,
    },
    /// The body is not a valid document.
    #[error(transparent)]
    Body(WellKnownError),
    /// Nobody waited for the look-up any more, and it was cancelled
    /// (`config::Abandoned::Cancel`). Temporary.
    #[error("it was given up after {} s, because nobody waited for it any more", after.as_secs_f32())]
    Abandoned {
        /// How long it had run.
        after: Duration,
    },
    /// A failure that an earlier or another process recorded ([`crate::cache::WellKnownRecord`]).
    #[error("it failed before: {class}")]
    Recorded {
        /// The class of the failure.
        class: FailureClass,
    },
}

/// The class of a failure, which is all that a record keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureClass {
    /// The host's addresses could not be looked up. Temporary.
    Dns,
    /// The host refused the connection. Temporary.
    Refused,
    /// The exchange brought no response for another reason. Temporary.
    Exchange,
    /// It took too long, or was cancelled because nobody waited any more. Temporary.
    TimedOut,
    /// The body was too large. Temporary.
    TooLarge,
    /// Status 408, 429 or 5xx. Temporary.
    Unavailable,
    /// The host that was asked does not exist.
    NoHost,
    /// The host, or that of a redirect, has no address, or a redirect's does not exist.
    NoAddress,
    /// The address policy blocks all addresses of the host.
    Blocked,
    /// Status 404.
    NotFound,
    /// Status 410.
    Gone,
    /// A JSON object without `m.server`.
    NoDelegation,
    /// Another status.
    Status,
    /// A redirect that is not followed.
    Redirect,
    /// The body is not a valid document.
    Unreadable,
    /// This machine could not ask. Temporary; it counts against nobody.
    Local,
}

impl FailureClass {
    /// Returns whether the next try may succeed.
    pub const fn is_temporary(self) -> bool {
        match self {
            Self::Dns
            | Self::Refused
            | Self::Exchange
            | Self::TimedOut
            | Self::TooLarge
            | Self::Unavailable
            | Self::Local => true,
            Self::NoHost
            | Self::NoAddress
            | Self::Blocked
            | Self::NotFound
            | Self::Gone
            | Self::NoDelegation
            | Self::Status
            | Self::Redirect
            | Self::Unreadable => false,
        }
    }

    /// Returns whether the failure ends a delegation that was known.
    pub(crate) const fn ends_delegation(self, policy: Withdrawal) -> bool {
        match policy {
            Withdrawal::Explicit => {
                matches!(self, Self::NoHost | Self::NotFound | Self::Gone | Self::NoDelegation)
            }
            Withdrawal::AnyPermanent => !self.is_temporary(),
            Withdrawal::AnyResponse => matches!(
                self,
                Self::NotFound | Self::Gone | Self::NoDelegation | Self::Status | Self::Unreadable
            ),
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dns => "DNS failed",
            Self::Refused => "the connection was refused",
            Self::Exchange => "there was no response",
            Self::TimedOut => "it took too long",
            Self::TooLarge => "the body was too large",
            Self::Unavailable => "the server was unavailable",
            Self::NoHost => "the host did not exist",
            Self::NoAddress => "the host had no address",
            Self::Blocked => "the address was blocked",
            Self::NotFound => "there was no such document",
            Self::Gone => "the document was gone",
            Self::NoDelegation => "the document delegated to nothing",
            Self::Status => "the status was not 200",
            Self::Redirect => "the redirect was not followed",
            Self::Unreadable => "the document could not be read",
            Self::Local => "this machine could not ask",
        })
    }
}

impl WellKnownFailure {
    /// Returns the class of the failure.
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Dns { failure: DnsFailure::Local, .. }
            | Self::Fetch(FetchFailure {
                kind: FetchFailureKind::Local | FetchFailureKind::NoRoute,
                ..
            }) => FailureClass::Local,
            Self::Dns { .. } => FailureClass::Dns,
            Self::NoAddress { kind: NoRecord::NxDomain, redirected: false, .. } => {
                FailureClass::NoHost
            }
            Self::NoAddress { .. } => FailureClass::NoAddress,
            Self::Blocked { .. } => FailureClass::Blocked,
            Self::Fetch(FetchFailure { kind: FetchFailureKind::Refused, .. }) => {
                FailureClass::Refused
            }
            Self::Fetch(_) => FailureClass::Exchange,
            Self::TimedOut { .. } | Self::Abandoned { .. } => FailureClass::TimedOut,
            Self::TooLarge { .. } => FailureClass::TooLarge,
            Self::Status { status: 408 | 429 | 500..=599, .. } => FailureClass::Unavailable,
            Self::Status { status: 404, .. } => FailureClass::NotFound,
            Self::Status { status: 410, .. } => FailureClass::Gone,
            Self::Status { .. } => FailureClass::Status,
            Self::Redirect(_) => FailureClass::Redirect,
            Self::Body(WellKnownError::MissingServer) => FailureClass::NoDelegation,
            Self::ContentCoding { .. } | Self::Body(_) => FailureClass::Unreadable,
            Self::Recorded { class } => *class,
        }
    }

    /// Returns whether the next try may succeed by itself. Whether a good answer is kept meanwhile
    /// says [`Withdrawal`].
    pub const fn is_temporary(&self) -> bool {
        self.class().is_temporary()
    }

    /// Returns whether it is this machine's own trouble, which says nothing about the host.
    pub(crate) const fn is_local(&self) -> bool {
        matches!(self.class(), FailureClass::Local)
    }

    /// Returns whether another try at once is worthwhile: what ended this exchange may not end the
    /// next.
    pub(crate) const fn is_quick(&self) -> bool {
        match self {
            Self::Fetch(_) => !self.is_local(),
            Self::Status { status, .. } => matches!(status, 408 | 500..=599),
            _ => false,
        }
    }

    /// Returns whether a server that simply does not delegate looks like this: no document, nothing
    /// listening, no address. Such a failure deserves no warning. A redirect to a host that does not
    /// exist is not ordinary.
    pub const fn is_ordinary(&self) -> bool {
        match self {
            Self::NoAddress { redirected, .. } => !*redirected,
            failure => matches!(
                failure.class(),
                FailureClass::NoHost
                    | FailureClass::NoAddress
                    | FailureClass::NotFound
                    | FailureClass::Refused
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureClass as Class;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn status(status: u16) -> WellKnownFailure {
        WellKnownFailure::Status { status, retry_after: None }
    }

    #[test]
    fn failures_are_told_apart() {
        use FetchFailureKind as Kind;
        let asked: DnsName = "a.example".parse().unwrap();
        let none = |host: &str| WellKnownFailure::NoAddress {
            host: host.parse().unwrap(),
            kind: NoRecord::NxDomain,
            lifetime: HOUR,
            redirected: host != "a.example",
        };
        let no_data = WellKnownFailure::NoAddress {
            host: asked.clone(),
            kind: NoRecord::NoData,
            lifetime: HOUR,
            redirected: false,
        };
        let host = asked.clone();
        let fetch = |kind| WellKnownFailure::Fetch(FetchFailure::new(kind, ""));
        let url: crate::well_known::WellKnownUrl =
            "https://a.example/.well-known/matrix/server".parse().unwrap();
        let range = crate::AddressPolicy::default().check([127, 0, 0, 1].into()).unwrap_err();
        let recorded = |class| WellKnownFailure::Recorded { class };
        // Whether it is temporary, ordinary, and worth another try at once.
        for (failure, class, temporary, ordinary, quick) in [
            (
                WellKnownFailure::Dns { host, failure: DnsFailure::ServFail },
                Class::Dns,
                true,
                false,
                false,
            ),
            (fetch(Kind::Refused), Class::Refused, true, true, true),
            (fetch(Kind::Tls), Class::Exchange, true, false, true),
            (WellKnownFailure::TimedOut { limit: HOUR }, Class::TimedOut, true, false, false),
            (WellKnownFailure::Abandoned { after: HOUR }, Class::TimedOut, true, false, false),
            (WellKnownFailure::TooLarge { limit: 1 }, Class::TooLarge, true, false, false),
            (none("a.example"), Class::NoHost, false, true, false),
            (no_data, Class::NoAddress, false, true, false),
            (none("redirected.example"), Class::NoAddress, false, false, false),
            (
                WellKnownFailure::Blocked { host: Host::Dns(asked.clone()), range },
                Class::Blocked,
                false,
                false,
                false,
            ),
            (status(407), Class::Status, false, false, false),
            (status(408), Class::Unavailable, true, false, true),
            (status(429), Class::Unavailable, true, false, false),
            (status(499), Class::Status, false, false, false),
            (status(500), Class::Unavailable, true, false, true),
            (status(599), Class::Unavailable, true, false, true),
            (status(600), Class::Status, false, false, false),
            (status(404), Class::NotFound, false, true, false),
            (status(403), Class::Status, false, false, false),
            (status(410), Class::Gone, false, false, false),
            (
                WellKnownFailure::Body(WellKnownError::MissingServer),
                Class::NoDelegation,
                false,
                false,
                false,
            ),
            (
                WellKnownFailure::Redirect(RedirectError::back_to(&url)),
                Class::Redirect,
                false,
                false,
                false,
            ),
            (
                WellKnownFailure::ContentCoding { coding: String::new() },
                Class::Unreadable,
                false,
                false,
                false,
            ),
            (
                WellKnownFailure::Body(WellKnownError::NotAnObject),
                Class::Unreadable,
                false,
                false,
                false,
            ),
            (recorded(Class::NotFound), Class::NotFound, false, true, false),
            (recorded(Class::Refused), Class::Refused, true, true, false),
            (recorded(Class::NoHost), Class::NoHost, false, true, false),
            (recorded(Class::NoAddress), Class::NoAddress, false, true, false),
            (recorded(Class::Status), Class::Status, false, false, false),
        ] {
            assert_eq!(failure.class(), class, "{failure}");
            assert_eq!(failure.is_temporary(), temporary, "{failure}");
            assert_eq!(failure.is_ordinary(), ordinary, "{failure}");
            assert_eq!(failure.is_quick(), quick, "{failure}");
            assert!(!class.to_string().is_empty() && !failure.to_string().is_empty());
        }
    }

    #[test]
    fn each_policy_says_which_failures_end_a_delegation() {
        for (class, ends) in [
            (Class::Dns, [false, false, false]),
            (Class::Refused, [false, false, false]),
            (Class::Exchange, [false, false, false]),
            (Class::TimedOut, [false, false, false]),
            (Class::TooLarge, [false, false, false]),
            (Class::Unavailable, [false, false, false]),
            (Class::NoHost, [true, true, false]),
            (Class::NoAddress, [false, true, false]),
            (Class::Blocked, [false, true, false]),
            (Class::NotFound, [true, true, true]),
            (Class::Gone, [true, true, true]),
            (Class::NoDelegation, [true, true, true]),
            (Class::Status, [false, true, true]),
            (Class::Redirect, [false, true, false]),
            (Class::Unreadable, [false, true, true]),
        ] {
            let policies =
                [Withdrawal::Explicit, Withdrawal::AnyPermanent, Withdrawal::AnyResponse];
            assert_eq!(policies.map(|policy| class.ends_delegation(policy)), ends, "{class}");
        }
    }
}
