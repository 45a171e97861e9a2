//! Ways to be found, and what each asks of whom.

use std::fmt;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::obstacle::Obstacle;
use super::proviso::Proviso;
use super::zone::ZoneRecord;
use crate::core::names::{Host, ServerName};
use crate::core::step::Step;
use crate::core::well_known::WellKnown;

/// The ways to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WayKind {
    /// The server listens where others look anyway (steps 1, 2 and 6).
    NothingNeeded,
    /// A document at the server name's host (step 3).
    WellKnown,
    /// SRV records of the server name's host (steps 4 and 5).
    Srv,
}

impl WayKind {
    /// Every way, in the order of recommendation. A plan alone knows where a document delegates to:
    /// see [`Proviso::NoOtherUse`].
    pub const ALL: [Self; 3] = [Self::NothingNeeded, Self::WellKnown, Self::Srv];

    /// Why it has its place in the order of recommendation.
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

/// A way, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Proposal {
    /// Which way.
    pub kind: WayKind,
    /// Whether it works.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether a way works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
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

/// A way that works: what to publish, and how others will come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "publish", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Way {
    /// No delegation is needed.
    #[non_exhaustive]
    NothingNeeded {
        /// How others come.
        contact: Contact,
        /// Address records that must be there.
        records: Vec<ZoneRecord>,
        /// What must hold besides.
        provisos: Vec<Proviso>,
    },
    /// A document delegates.
    #[non_exhaustive]
    WellKnown {
        /// How others come.
        contact: Contact,
        /// What to serve, and where.
        document: Document,
        /// Records of the delegated name that must be there.
        records: Vec<ZoneRecord>,
        /// What must hold besides.
        provisos: Vec<Proviso>,
    },
    /// SRV records say where.
    #[non_exhaustive]
    Srv {
        /// How others come. Those who read the deprecated record alone decide by step 5.
        contact: Contact,
        /// The SRV records, that of `_matrix-fed._tcp` first.
        records: Vec<ZoneRecord>,
        /// What must hold besides.
        provisos: Vec<Proviso>,
    },
}

/// How other servers come once all is in place: what they resolve the server name to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Contact {
    /// The step of the specification that decides.
    pub step: Step,
    /// The host that they connect to.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Byte for byte what they send as `Host`.
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
    pub purpose: Purpose,
}

/// What others connect for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To read the document.
    Document,
    /// To talk to the homeserver.
    Federation,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Document => "for the document",
            Self::Federation => "for the federation",
        })
    }
}

/// A well-known document, to be served as it stands here.
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
    /// Where others ask for it: port 443 of the server name's host. It may redirect to another
    /// https URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host of [`url`](Self::url), which needs a certificate of its own at port 443.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The name delegated to. It has a port, even where that is 8448: so nobody need ask for SRV
    /// records of it, and none that stands there by mistake counts (step 3.2).
    pub fn delegated_name(&self) -> &ServerName {
        self.well_known.server()
    }

    /// The exact body.
    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.well_known.to_body()).into_owned()
    }

    /// The exact headers, in lower case. `Content-Length` is the web server's.
    pub fn headers(&self) -> Vec<(String, String)> {
        let response = self.response();
        let headers = response.headers().iter();
        headers
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect()
    }

    /// The whole response, with status 200: any other is no delegation.
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
    /// What to do, if it works.
    pub const fn way(&self) -> Option<&Way> {
        match &self.verdict {
            Verdict::Works { way } => Some(way),
            Verdict::CannotWork { .. } => None,
        }
    }

    /// Whether it works.
    pub const fn works(&self) -> bool {
        matches!(self.verdict, Verdict::Works { .. })
    }

    /// Why it cannot work; empty if it does.
    pub fn obstacles(&self) -> &[Obstacle] {
        match &self.verdict {
            Verdict::Works { .. } => &[],
            Verdict::CannotWork { reasons } => reasons,
        }
    }
}

impl Way {
    /// Which way it is.
    pub const fn kind(&self) -> WayKind {
        match self {
            Self::NothingNeeded { .. } => WayKind::NothingNeeded,
            Self::WellKnown { .. } => WayKind::WellKnown,
            Self::Srv { .. } => WayKind::Srv,
        }
    }

    /// How others will come.
    pub const fn contact(&self) -> &Contact {
        match self {
            Self::NothingNeeded { contact, .. }
            | Self::WellKnown { contact, .. }
            | Self::Srv { contact, .. } => contact,
        }
    }

    /// The records that DNS must have. Those of the hosts that are named as they are, the server
    /// name's and the listening one, are not among them where they are there already.
    pub fn records(&self) -> &[ZoneRecord] {
        match self {
            Self::NothingNeeded { records, .. }
            | Self::WellKnown { records, .. }
            | Self::Srv { records, .. } => records,
        }
    }

    /// What must hold besides, and the plan cannot see.
    pub fn provisos(&self) -> &[Proviso] {
        match self {
            Self::NothingNeeded { provisos, .. }
            | Self::WellKnown { provisos, .. }
            | Self::Srv { provisos, .. } => provisos,
        }
    }

    /// The document, if it is the way of one.
    pub const fn document(&self) -> Option<&Document> {
        match self {
            Self::WellKnown { document, .. } => Some(document),
            Self::NothingNeeded { .. } | Self::Srv { .. } => None,
        }
    }

    /// Which certificate goes where.
    pub fn certificates(&self) -> Vec<CertificatePlace> {
        let contact = self.contact();
        let document = self.document().map(|document| CertificatePlace {
            host: document.host.clone(),
            port: 443,
            name: document.host.clone(),
            purpose: Purpose::Document,
        });
        let federation = CertificatePlace {
            host: contact.host.clone(),
            port: contact.port,
            name: contact.certificate_name.clone(),
            purpose: Purpose::Federation,
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
