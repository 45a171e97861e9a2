//! The plan, and what it says to people.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::listening::Listening;
use super::way::{Contact, Document, Proposal, Verdict, Way, WayKind};
use crate::core::names::{Host, ServerName};

/// Every way to be found, weighed. It displays as advice for people.
///
/// Serialised, it is an object of `server_name`, `listening`, `delegation` and `ways`, each with its
/// `kind` and its `verdict`; those that work come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    server_name: ServerName,
    listening: Listening,
    proposals: [Proposal; 3],
}

/// Whether a server needs delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delegation {
    /// No: others find it as it is.
    NotNeeded,
    /// Yes, and it works.
    Needed,
    /// No way works as things are; each says why.
    Impossible,
}

/// What a reverse proxy before the homeserver must do.
///
/// It displays as advice for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct ReverseProxy {
    /// Where it takes connections: the host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The name that its certificate must carry.
    pub certificate_name: Host,
    /// The `Host` that comes in and must be passed on as it is.
    pub host_header: String,
}

impl Plan {
    pub(super) const fn new(
        server_name: ServerName,
        listening: Listening,
        proposals: [Proposal; 3],
    ) -> Self {
        Self { server_name, listening, proposals }
    }

    /// The server name.
    pub const fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// Where the server listens.
    pub const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Every way, those that work first, in the order of recommendation: [`WayKind::reason`] says
    /// why. One for which a name must have no other use ([`Proviso::NoOtherUse`]) is the last of
    /// those that work.
    ///
    /// [`Proviso::NoOtherUse`]: super::Proviso::NoOtherUse
    pub fn proposals(&self) -> &[Proposal] {
        &self.proposals
    }

    /// What became of one way.
    pub fn proposal(&self, kind: WayKind) -> &Proposal {
        // Every way is there.
        let [first, ..] = &self.proposals;
        self.proposals.iter().find(|proposal| proposal.kind == kind).unwrap_or(first)
    }

    /// The way to take, if any works.
    pub fn recommended(&self) -> Option<&Way> {
        self.proposals.iter().find_map(Proposal::way)
    }

    /// Whether delegation is needed.
    ///
    /// ```
    /// use matrix_delegation::plan::{Delegation, Setup};
    ///
    /// let setup = Setup::new("example.org".parse()?, "example.org:8448".parse()?);
    /// let plan = setup.with_certificate_names(["example.org".parse()?]).plan();
    /// assert_eq!(plan.delegation(), Delegation::NotNeeded);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delegation(&self) -> Delegation {
        match self.recommended().map(Way::kind) {
            Some(WayKind::NothingNeeded) => Delegation::NotNeeded,
            Some(WayKind::WellKnown | WayKind::Srv) => Delegation::Needed,
            None => Delegation::Impossible,
        }
    }
}

impl Way {
    /// What a reverse proxy must do. One may always stand before the homeserver: others see no
    /// difference, as long as it has the certificate that they verify and changes neither `Host`
    /// nor path, both of which requests are signed over (server-server API, "Request
    /// Authentication").
    ///
    /// ```
    /// use matrix_delegation::plan::Setup;
    ///
    /// let setup = Setup::new("example.org".parse()?, "matrix.example.org:443".parse()?);
    /// let plan = setup.with_certificate_names(["*.example.org".parse()?]).plan();
    /// let proxy = plan.recommended().ok_or("no way works")?.reverse_proxy();
    /// assert_eq!(proxy.certificate_name.to_string(), "matrix.example.org");
    /// assert_eq!(proxy.host_header, "matrix.example.org:443");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reverse_proxy(&self) -> ReverseProxy {
        let Contact { host, port, host_header, certificate_name, .. } = self.contact().clone();
        ReverseProxy { host, port, certificate_name, host_header }
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = serializer.serialize_struct("Plan", 4)?;
        written.serialize_field("server_name", &self.server_name)?;
        written.serialize_field("listening", &self.listening.to_string())?;
        written.serialize_field("delegation", &self.delegation())?;
        written.serialize_field("ways", &self.proposals)?;
        written.end()
    }
}

impl fmt::Display for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotNeeded => "not needed: others find the server as it is",
            Self::Needed => "needed",
            Self::Impossible => "impossible as things are",
        })
    }
}

impl fmt::Display for ReverseProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, certificate_name, host_header } = self;
        write!(
            f,
            "may stand at {host}:{port} with a certificate for {certificate_name}; it passes on \
             Host {host_header} and the path of every request as they come"
        )
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {}, status 200:", self.url())?;
        for (name, value) in self.headers() {
            writeln!(f, "      {name}: {value}")?;
        }
        writeln!(f, "      {}", self.body())
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingNeeded { .. } => writeln!(f, "    publish       nothing")?,
            Self::WellKnown { document, .. } => write!(f, "    publish       {document}")?,
            Self::Srv { .. } => writeln!(f, "    publish       the records below")?,
        }
        for record in self.records() {
            writeln!(f, "    in DNS        {record}")?;
        }
        for place in self.certificates() {
            writeln!(f, "    certificate   {place}")?;
        }
        writeln!(f, "    others then   {}", self.contact())?;
        writeln!(f, "    reverse proxy {}", self.reverse_proxy())?;
        for proviso in self.provisos() {
            writeln!(f, "    provided that {proviso}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, which listens at {}", self.server_name, self.listening)?;
        writeln!(f, "delegation: {}", self.delegation())?;
        for (index, proposal) in self.proposals.iter().enumerate() {
            let kind = proposal.kind;
            match &proposal.verdict {
                Verdict::Works { way } => {
                    let place = if index == 0 { "recommended" } else { "works, too" };
                    write!(f, "\n  {place}: {kind} ({})\n{way}", kind.reason())?;
                }
                Verdict::CannotWork { reasons } => {
                    writeln!(f, "\n  cannot work: {kind}")?;
                    for reason in reasons {
                        writeln!(f, "    - {reason}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
