//! The ways to be found, and what each one requires.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::obstacle::Obstacle;
use super::proviso::Proviso;
use super::zone::ZoneRecord;
use crate::core::names::{Host, ServerName};
use crate::core::step::Step;
use crate::core::well_known::WellKnown;

/// A way to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WayKind {
    /// The server listens where others look anyway (steps 1, 2 and 6).
    NothingNeeded,
    /// A document at the server name's host (step 3).
    WellKnown,
    /// SRV records of the server name's host (steps 4 and 5).
    Srv,
}

impl WayKind {
    /// Every way, in the order of recommendation. Where a document delegates to is known only with
    /// a plan: see [`Proviso::NoOtherUse`].
    pub const ALL: [Self; 3] = [Self::NothingNeeded, Self::WellKnown, Self::Srv];

    /// Returns why the way has its place in the order of recommendation.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NothingNeeded => {
                "nothing to publish, and nothing that must be kept in step with the server"
            }
            Self::WellKnown => {
                "a small file at the server name's host, and the server's certificate is for its \
                 own name; others remember it for up to two days"
            }
            Self::Srv => {
                "no web server is needed, but the server must hold a certificate for the server \
                 name itself, and records cannot change that"
            }
        }
    }
}

impl fmt::Display for WayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NothingNeeded => "no delegation",
            Self::WellKnown => "a well-known document",
            Self::Srv => "SRV records",
        })
    }
}

/// A way and the verdict on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Proposal {
    /// Which way.
    pub kind: WayKind,
    /// Whether it works.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The verdict on a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It works, once this is done.
    Works {
        /// What is to be done.
        way: Box<Way>,
    },
    /// It cannot work.
    CannotWork {
        /// Every reason why not; never empty.
        reasons: Vec<Obstacle>,
    },
}

/// A way that works: what to publish, and what others will then find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "publish", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Way {
    /// No delegation is needed.
    #[non_exhaustive]
    NothingNeeded {
        /// What others will find.
        contact: Contact,
        /// Address records that must be there.
        records: Vec<ZoneRecord>,
        /// What else must hold.
        provisos: Vec<Proviso>,
    },
    /// A document delegates.
    #[non_exhaustive]
    WellKnown {
        /// What others will find.
        contact: Contact,
        /// The document to serve, and where.
        document: Document,
        /// Records of the delegated name that must be there.
        records: Vec<ZoneRecord>,
        /// What else must hold.
        provisos: Vec<Proviso>,
    },
    /// SRV records point to the server.
    #[non_exhaustive]
    Srv {
        /// What others will find. Servers that read only the deprecated record decide by step 5.
        contact: Contact,
        /// The SRV records, that of `_matrix-fed._tcp` first.
        records: Vec<ZoneRecord>,
        /// What else must hold.
        provisos: Vec<Proviso>,
    },
}

/// What other servers will resolve the server name to, once everything is in place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Contact {
    /// The step of the specification that decides.
    pub step: Step,
    /// The host that they connect to.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The exact value of `Host` that they send.
    pub host_header: String,
    /// The name that the certificate must carry there, and that they send as SNI.
    pub certificate_name: Host,
}

/// A certificate that others verify, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct CertificatePlace {
    /// The host that is connected to.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The name that the certificate must carry.
    pub name: Host,
    /// What it is for.
    pub purpose: CertificatePurpose,
}

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CertificatePurpose {
    /// Reading the document.
    Document,
    /// Talking to the homeserver.
    Federation,
}

impl fmt::Display for CertificatePurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Document => "for the document",
            Self::Federation => "for the federation",
        })
    }
}

/// A well-known document, to be served exactly as it is.
///
/// Serialised, it is an object of `url`, `delegated_name`, `body` and `headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub(super) url: String,
    pub(super) host: Host,
    pub(super) well_known: WellKnown,
    pub(super) max_age: Duration,
}

impl Document {
    /// Returns the URL that others ask for: port 443 of the server name's host. It may redirect to
    /// another https URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the host of [`url`](Self::url), which needs a certificate of its own at port 443.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Returns the delegated name. It always has a port, even 8448, so that others need not ask for
    /// its SRV records and none that exists by mistake has an effect (step 3.2).
    pub fn delegated_name(&self) -> &ServerName {
        self.well_known.server()
    }

    /// Returns the exact body.
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.well_known.to_body()).into_owned()
    }

    /// Returns the exact headers, in lower case. The web server adds `Content-Length`.
    pub fn headers(&self) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let response = self.response();
        response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    /// Returns the whole response, with status 200; any other status does not delegate.
    pub fn response(&self) -> http::Response<Vec<u8>> {
        self.well_known.to_response(self.max_age)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers: std::collections::BTreeMap<_, _> = self.headers().into_iter().collect();
        let mut written = serializer.serialize_struct("Document", 4)?;
        written.serialize_field("url", &self.url)?;
        written.serialize_field("delegated_name", self.delegated_name())?;
        written.serialize_field("body", &self.body())?;
        written.serialize_field("headers", &headers)?;
        written.end()
    }
}

impl Proposal {
    /// Returns what to do, if the way works.
    pub const fn way(&self) -> Option<&Way> {
        match &self.verdict {
            Verdict::Works { way } => Some(way),
            Verdict::CannotWork { .. } => None,
        }
    }

    /// Returns whether the way works.
    pub const fn works(&self) -> bool {
        matches!(self.verdict, Verdict::Works { .. })
    }

    /// Returns why the way cannot work; empty if it does.
    pub fn obstacles(&self) -> &[Obstacle] {
        match &self.verdict {
            Verdict::Works { .. } => &[],
            Verdict::CannotWork { reasons } => reasons,
        }
    }
}

impl Way {
    /// Returns the kind of the way.
    pub const fn kind(&self) -> WayKind {
        match self {
            Self::NothingNeeded { .. } => WayKind::NothingNeeded,
            Self::WellKnown { .. } => WayKind::WellKnown,
            Self::Srv { .. } => WayKind::Srv,
        }
    }

    /// Returns what others will find.
    pub const fn contact(&self) -> &Contact {
        match self {
            Self::NothingNeeded { contact, .. }
            | Self::WellKnown { contact, .. }
            | Self::Srv { contact, .. } => contact,
        }
    }

    /// Returns the records that DNS must have. Address records of the server name's host and of the
    /// listening host are left out if they exist already.
    pub fn records(&self) -> &[ZoneRecord] {
        match self {
            Self::NothingNeeded { records, .. }
            | Self::WellKnown { records, .. }
            | Self::Srv { records, .. } => records,
        }
    }

    /// Returns what else must hold and the plan cannot see.
    pub fn provisos(&self) -> &[Proviso] {
        match self {
            Self::NothingNeeded { provisos, .. }
            | Self::WellKnown { provisos, .. }
            | Self::Srv { provisos, .. } => provisos,
        }
    }

    /// Returns the document, if the way has one.
    pub const fn document(&self) -> Option<&Document> {
        match self {
            Self::WellKnown { document, .. } => Some(document),
            Self::NothingNeeded { .. } | Self::Srv { .. } => None,
        }
    }

    /// Returns which certificate is needed where.
    pub fn certificates(&self) -> Vec<CertificatePlace> {
        let contact = self.contact();
        let document = self.document().map(|document| CertificatePlace {
            host: document.host.clone(),
            port: 443,
            name: document.host.clone(),
            purpose: CertificatePurpose::Document,
        });
        let federation = CertificatePlace {
            host: contact.host.clone(),
            port: contact.port,
            name: contact.certificate_name.clone(),
            purpose: CertificatePurpose::Federation,
        };
        document.into_iter().chain([federation]).collect()
    }
}

impl fmt::Display for CertificatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, name, purpose } = self;
        write!(f, "a certificate for {name} at {host}:{port}, {purpose}")
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, host, port, host_header, certificate_name } = self;
        write!(
            f,
            "step {step}, connect to {host}:{port}; Host {host_header}, certificate for \
             {certificate_name}"
        )
    }
}
