//! The plan, and how it displays for people.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::listening::Listening;
use super::way::{Contact, Document, Proposal, Verdict, Way, WayKind};
use crate::core::names::{Host, ServerName};

/// Every way to be found, with a verdict on each. It displays as advice for people.
///
/// Serialised, it is an object of `server_name`, `listening`, `delegation` and `ways`. Each way has
/// its `kind` and its `verdict`; those that work come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) server_name: ServerName,
    pub(super) listening: Listening,
    pub(super) proposals: [Proposal; 3],
}

/// Whether a server needs delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delegation {
    /// No: others find it as it is.
    NotNeeded,
    /// Yes, and it works.
    Needed,
    /// No way works as things are. Each one says why.
    Impossible,
}

/// What a reverse proxy in front of the homeserver must do.
///
/// It displays as advice for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct ReverseProxy {
    /// The host at which it accepts connections.
    pub host: Host,
    /// The port at which it accepts connections.
    pub port: u16,
    /// The name that its certificate must carry.
    pub certificate_name: Host,
    /// The `Host` of incoming requests, which must be passed on unchanged.
    pub host_header: String,
}

impl Plan {
    /// Returns the server name.
    pub const fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// Returns where the server listens.
    pub const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Returns every way, those that work first, in the order of recommendation
    /// ([`WayKind::reason`] says why). A way that needs a name without other use
    /// ([`Proviso::NoOtherUse`]) is the last of those that work.
    ///
    /// [`Proviso::NoOtherUse`]: super::Proviso::NoOtherUse
    pub fn proposals(&self) -> &[Proposal] {
        &self.proposals
    }

    /// Returns the verdict on one way.
    pub fn proposal(&self, kind: WayKind) -> &Proposal {
        // Every way is in the list.
        let [first, ..] = &self.proposals;
        self.proposals.iter().find(|proposal| proposal.kind == kind).unwrap_or(first)
    }

    /// Returns the recommended way, if any works.
    pub fn recommended(&self) -> Option<&Way> {
        self.proposals.iter().find_map(Proposal::way)
    }

    /// Returns whether delegation is needed.
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
    /// Returns what a reverse proxy must do, should there be one.
    ///
    /// A reverse proxy is always possible. Other servers see no difference as long as it has the
    /// certificate that they verify and changes neither `Host` nor path: requests are signed over
    /// both (server-server API, "Request Authentication").
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
