//! Plans how other servers find one's own (feature `plan`).
//!
//! A [`Setup`] describes the server: its name, where it accepts connections, and which names its
//! certificates carry. [`Setup::plan`] judges the three ways to be found that the specification
//! offers (server-server API, "Server discovery") and answers the questions of administrators:
//!
//! - **Do I need delegation?** [`Plan::delegation`].
//! - **How?** [`Plan::recommended`], with the exact document or the exact zone lines. For each way
//!   that cannot work, [`Proposal::obstacles`] says why not.
//! - **Which certificate goes where?** [`Way::certificates`]. The name that others verify is the
//!   delegated host, or without a document the server name's host; never the target of an SRV
//!   record.
//! - **May I use a reverse proxy?** [`Way::reverse_proxy`].
//!
//! Planning does no I/O: nothing is looked up or tried. [`Way::contact`] says what the server name
//! will resolve to once everything is published. [`Way::provisos`] lists conditions that must hold
//! and that the plan cannot check.
//!
//! A document delegates to a name that a certificate is valid for, preferably one without another
//! use: the host where the server listens, `matrix.example.org`, or another name below the server
//! name that begins with `matrix.`. If there are only other names, SRV is recommended first.
//!
//! ```
//! use matrix_delegation::plan::{Delegation, Setup};
//!
//! let plan = Setup::new("example.org".parse()?, "matrix.example.org:443".parse()?)
//!     .with_certificate_names(["matrix.example.org".parse()?])
//!     .plan();
//! assert_eq!(plan.delegation(), Delegation::Needed);
//! let way = plan.recommended().ok_or("no way works")?;
//! let document = way.document().ok_or("another way")?;
//! assert_eq!(document.url(), "https://example.org/.well-known/matrix/server");
//! assert_eq!(document.body(), r#"{"m.server":"matrix.example.org:443"}"#);
//! assert_eq!(way.contact().host_header, "matrix.example.org:443");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::disallowed_methods)]

mod advice;
mod certificate;
mod listening;
mod obstacle;
mod proviso;
mod way;
mod weigh;
mod zone;

pub use self::advice::{Delegation, Plan, ReverseProxy};
pub use self::certificate::{NamePattern, NamePatternError};
pub use self::listening::{HostRecords, Listening, ListeningError};
pub use self::obstacle::Obstacle;
pub use self::proviso::Proviso;
pub use self::way::{
    CertificatePlace, CertificatePurpose, Contact, Document, Proposal, Verdict, Way, WayKind,
};
pub use self::zone::{ZoneData, ZoneRecord};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::address_policy::AddressPolicy;
use crate::core::names::ServerName;

/// What a plan is made for: a server name, where the server listens, and its certificates.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::plan::{Setup, SrvServices};
///
/// let setup = Setup::new("example.org".parse()?, "matrix.example.org:8448".parse()?);
/// assert_eq!(setup.max_age(), Duration::from_secs(86_400));
/// assert_eq!(setup.ttl(), Duration::from_secs(3600));
/// assert_eq!(setup.srv_services(), SrvServices::Current);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    server_name: ServerName,
    listening: Listening,
    #[serde(default)]
    certificate_names: Vec<NamePattern>,
    #[serde(default)]
    srv_services: SrvServices,
    #[serde(default = "default_max_age")]
    max_age: Duration,
    #[serde(default = "default_ttl")]
    ttl: Duration,
    #[serde(default)]
    address_policy: AddressPolicy,
}

/// Which SRV records a plan publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SrvServices {
    /// `_matrix-fed._tcp` alone, which is all that the specification asks for. The default.
    #[default]
    Current,
    /// `_matrix-fed._tcp` first and `_matrix._tcp` second, for servers older than version 1.8 of
    /// the specification.
    WithDeprecated,
}

/// Returns the lifetime that others assume if a document states none ("Server discovery", step 3).
/// It is half of the longest one that they apply.
const fn default_max_age() -> Duration {
    Duration::from_secs(86_400)
}

/// Returns a TTL long enough for caches to be useful, and short enough that a move takes effect
/// within the hour.
const fn default_ttl() -> Duration {
    Duration::from_secs(3600)
}

impl Setup {
    /// Creates a setup for a server of this name that listens there, with no certificate names yet.
    pub fn new(server_name: ServerName, listening: Listening) -> Self {
        Self {
            server_name,
            listening,
            certificate_names: Vec::new(),
            srv_services: SrvServices::Current,
            max_age: default_max_age(),
            ttl: default_ttl(),
            address_policy: AddressPolicy::default(),
        }
    }

    /// Adds names that the server's certificates carry.
    #[must_use]
    pub fn with_certificate_names(mut self, names: impl IntoIterator<Item = NamePattern>) -> Self {
        self.certificate_names.extend(names);
        self
    }

    /// Sets which SRV records the plan publishes. Default: [`SrvServices::Current`].
    #[must_use]
    pub const fn with_srv_services(mut self, services: SrvServices) -> Self {
        self.srv_services = services;
        self
    }

    /// Sets how long others may cache the document, in whole seconds. Default: 24 h. More than 48 h
    /// has no effect; the shorter it is, the sooner a move is noticed.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets the TTL of records, in whole seconds; at most 2,147,483,647 (RFC 2181 section 8).
    /// Default: 1 h.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets which addresses others connect to. Default: those of the public internet. For a
    /// federation within a closed network, allow its ranges. `localhost` and names such as `hs1` or
    /// `hs1.local` then count as reachable if 127.0.0.1 and 10.0.0.1 are allowed.
    #[must_use]
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.address_policy = policy;
        self
    }

    /// Returns the server name.
    pub const fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// Returns where the server listens.
    pub const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Returns the names that the server's certificates carry.
    pub fn certificate_names(&self) -> &[NamePattern] {
        &self.certificate_names
    }

    /// Returns which SRV records the plan publishes.
    pub const fn srv_services(&self) -> SrvServices {
        self.srv_services
    }

    /// Returns how long others may cache the document.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns the TTL of records.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Returns which addresses others connect to.
    pub const fn address_policy(&self) -> &AddressPolicy {
        &self.address_policy
    }

    /// Plans how the server can be found, with a verdict on every way.
    ///
    /// ```
    /// use matrix_delegation::plan::{Obstacle, Setup, WayKind};
    ///
    /// let plan = Setup::new("example.org:8449".parse()?, "192.0.2.7:443".parse()?).plan();
    /// assert!(plan.recommended().is_none());
    /// let document = plan.proposal(WayKind::WellKnown);
    /// assert!(document.obstacles().contains(&Obstacle::ServerNameHasPort { port: 8449 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn plan(&self) -> Plan {
        let (server_name, listening) = (self.server_name.clone(), self.listening.clone());
        Plan { server_name, listening, proposals: weigh::weigh(self) }
    }
}
