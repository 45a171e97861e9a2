//! One's own server, the other side of delegation: how to be found (feature `plan`).
//!
//! A [`Setup`] says what is there: the server name, where the server takes connections, and which
//! names its certificates carry. [`Setup::plan`] weighs the three ways that the specification knows
//! (server-server API, "Server discovery") and answers what administrators ask:
//!
//! - **Do I need delegation?** [`Plan::delegation`].
//! - **How?** [`Plan::recommended`], with the exact document or the exact zone lines; and of each
//!   way that cannot work, [`Proposal::obstacles`], why not.
//! - **Which certificate goes where?** [`Way::certificates`]. The name that others verify is the
//!   delegated host, or without a document the server name's host; never the target of an SRV
//!   record.
//! - **May I use a reverse proxy?** [`Way::reverse_proxy`].
//!
//! It is pure: nothing is looked up, and nothing is tried. What a plan promises of a way,
//! [`Way::contact`], is what resolving the server name comes to once all is published, and what it
//! cannot see holds: [`Way::provisos`].
//!
//! A document delegates to a name that a certificate is good for, and rather to one that has no other
//! use: to the host where the server listens, to `matrix.example.org`, or to another name below the
//! server name that begins with `matrix.`. Where only other names are left, SRV comes first.
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
pub use self::certificate::{CertificateName, CertificateNameError};
pub use self::listening::{HostRecords, Listening, ListeningError};
pub use self::obstacle::Obstacle;
pub use self::proviso::Proviso;
pub use self::way::{
    CertificatePlace, Contact, Document, Proposal, Purpose, Verdict, Way, WayKind,
};
pub use self::zone::{ZoneData, ZoneRecord};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::address_policy::AddressPolicy;
use crate::core::names::ServerName;

/// What is there: a server name, a server, and its certificates.
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
    certificate_names: Vec<CertificateName>,
    #[serde(default)]
    srv_services: SrvServices,
    #[serde(default = "default_max_age")]
    max_age: Duration,
    #[serde(default = "default_ttl")]
    ttl: Duration,
    #[serde(default)]
    address_policy: AddressPolicy,
}

/// Which SRV records a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SrvServices {
    /// `_matrix-fed._tcp` alone, which is all that the specification asks for. The default.
    #[default]
    Current,
    /// `_matrix._tcp` after it, for servers that are older than version 1.8 of the specification.
    WithDeprecated,
}

/// What others assume where a document says nothing ("Server discovery", step 3), and half of what
/// they hold it at most.
const fn default_max_age() -> Duration {
    Duration::from_secs(86_400)
}

/// Long enough to spare others questions, short enough to move within the hour.
const fn default_ttl() -> Duration {
    Duration::from_secs(3600)
}

impl Setup {
    /// A server of this name that listens there, with no certificate yet.
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

    /// Its certificates carry these names, besides those said before.
    #[must_use]
    pub fn with_certificate_names(
        mut self,
        names: impl IntoIterator<Item = CertificateName>,
    ) -> Self {
        self.certificate_names.extend(names);
        self
    }

    /// Which SRV records the plan has. Default: [`SrvServices::Current`].
    #[must_use]
    pub const fn with_srv_services(mut self, services: SrvServices) -> Self {
        self.srv_services = services;
        self
    }

    /// How long others may remember the document, in whole seconds. Default: 24 h. Over 48 h it has
    /// no effect; the shorter, the sooner a move is noticed.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The TTL of records, in whole seconds; at most 2,147,483,647 (RFC 2181 section 8). Default:
    /// 1 h.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Which addresses others connect to. Default: those of the public internet. For a federation
    /// within a closed network, allow its ranges; `localhost` and names such as `hs1` or
    /// `hs1.local` are then taken for known where 127.0.0.1 and 10.0.0.1 are allowed.
    #[must_use]
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.address_policy = policy;
        self
    }

    /// The server name.
    pub const fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// Where the server listens.
    pub const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// The names that its certificates carry.
    pub fn certificate_names(&self) -> &[CertificateName] {
        &self.certificate_names
    }

    /// Which SRV records the plan has.
    pub const fn srv_services(&self) -> SrvServices {
        self.srv_services
    }

    /// How long others may remember the document.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// The TTL of records.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Which addresses others connect to.
    pub const fn address_policy(&self) -> &AddressPolicy {
        &self.address_policy
    }

    /// Weighs every way to be found.
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
        Plan::new(self.server_name.clone(), self.listening.clone(), weigh::weigh(self))
    }
}
