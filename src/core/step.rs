//! The ten steps of server discovery, and what each says of the answer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The step of the specification that decided ("Server discovery", numbered as there).
///
/// ```
/// use matrix_delegation::Step;
///
/// assert_eq!(Step::DelegatedSrv.to_string(), "3.3");
/// assert!(Step::DelegatedDeprecatedSrv.is_deprecated());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// 1: the server name is an IP literal.
    #[serde(rename = "1")]
    IpLiteral,
    /// 2: the server name has a port.
    #[serde(rename = "2")]
    ExplicitPort,
    /// 3.1: delegated to an IP literal.
    #[serde(rename = "3.1")]
    DelegatedIpLiteral,
    /// 3.2: delegated to a name with a port.
    #[serde(rename = "3.2")]
    DelegatedPort,
    /// 3.3: delegated to a name with `_matrix-fed._tcp` SRV records.
    #[serde(rename = "3.3")]
    DelegatedSrv,
    /// 3.4: delegated to a name with `_matrix._tcp` SRV records (deprecated).
    #[serde(rename = "3.4")]
    DelegatedDeprecatedSrv,
    /// 3.5: delegated to a name without SRV records.
    #[serde(rename = "3.5")]
    DelegatedDefaultPort,
    /// 4: no valid well-known, but `_matrix-fed._tcp` SRV records of the server name itself.
    #[serde(rename = "4")]
    Srv,
    /// 5: no valid well-known, but `_matrix._tcp` SRV records of it (deprecated).
    #[serde(rename = "5")]
    DeprecatedSrv,
    /// 6: neither.
    #[serde(rename = "6")]
    DefaultPort,
    /// None of the specification's: a rule of the application decided ([`crate::FixedTarget`]).
    #[serde(rename = "fixed")]
    Fixed,
}

/// Why the three parts of an answer are what they are, in words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reasons {
    /// Why one connects there.
    pub endpoints: &'static str,
    /// Why `Host` is that.
    pub host_header: &'static str,
    /// Why the certificate must carry that name.
    pub tls_name: &'static str,
}

impl Step {
    /// Every step of the specification, in its order.
    pub const ALL: [Self; 10] = [
        Self::IpLiteral,
        Self::ExplicitPort,
        Self::DelegatedIpLiteral,
        Self::DelegatedPort,
        Self::DelegatedSrv,
        Self::DelegatedDeprecatedSrv,
        Self::DelegatedDefaultPort,
        Self::Srv,
        Self::DeprecatedSrv,
        Self::DefaultPort,
    ];

    /// The number it has in the specification; `fixed` for the one that is not of it.
    pub const fn number(self) -> &'static str {
        match self {
            Self::IpLiteral => "1",
            Self::ExplicitPort => "2",
            Self::DelegatedIpLiteral => "3.1",
            Self::DelegatedPort => "3.2",
            Self::DelegatedSrv => "3.3",
            Self::DelegatedDeprecatedSrv => "3.4",
            Self::DelegatedDefaultPort => "3.5",
            Self::Srv => "4",
            Self::DeprecatedSrv => "5",
            Self::DefaultPort => "6",
            Self::Fixed => "fixed",
        }
    }

    /// Whether a well-known document delegated to another name.
    pub const fn is_delegated(self) -> bool {
        matches!(
            self,
            Self::DelegatedIpLiteral
                | Self::DelegatedPort
                | Self::DelegatedSrv
                | Self::DelegatedDeprecatedSrv
                | Self::DelegatedDefaultPort
        )
    }

    /// Whether the step rests on the deprecated service name `_matrix._tcp`.
    pub const fn is_deprecated(self) -> bool {
        matches!(self, Self::DelegatedDeprecatedSrv | Self::DeprecatedSrv)
    }

    /// Why the answer is what it is.
    pub const fn reasons(self) -> Reasons {
        let endpoints = match self {
            Self::IpLiteral => "the server name is an IP literal",
            Self::ExplicitPort => "the server name has a port",
            Self::DelegatedIpLiteral => "the well-known delegates to an IP literal",
            Self::DelegatedPort => "the well-known delegates to a name with a port",
            Self::DelegatedSrv => "SRV records of _matrix-fed._tcp at the delegated name",
            Self::DelegatedDeprecatedSrv => {
                "SRV records of the deprecated _matrix._tcp at the delegated name"
            }
            Self::DelegatedDefaultPort => "the delegated name has no SRV record: port 8448",
            Self::Srv => "no valid well-known; SRV records of _matrix-fed._tcp",
            Self::DeprecatedSrv => {
                "no valid well-known; SRV records of the deprecated _matrix._tcp"
            }
            Self::DefaultPort => "no valid well-known and no SRV record: port 8448",
            Self::Fixed => "a rule of the application says so",
        };
        let host_header = match self {
            Self::IpLiteral | Self::ExplicitPort => "the server name as written",
            Self::DelegatedIpLiteral | Self::DelegatedPort => "the delegated name as written",
            Self::DelegatedSrv | Self::DelegatedDeprecatedSrv | Self::DelegatedDefaultPort => {
                "the delegated name, without a port; SRV never changes it"
            }
            Self::Srv | Self::DeprecatedSrv | Self::DefaultPort => {
                "the server name, without a port; SRV never changes it"
            }
            Self::Fixed => "the name that the rule names, else the server name",
        };
        let tls_name = match self {
            Self::IpLiteral => "the IP address itself",
            Self::ExplicitPort | Self::Srv | Self::DeprecatedSrv | Self::DefaultPort => {
                "the server name's host, whatever is connected to"
            }
            Self::DelegatedIpLiteral => "the delegated IP address itself",
            Self::DelegatedPort
            | Self::DelegatedSrv
            | Self::DelegatedDeprecatedSrv
            | Self::DelegatedDefaultPort => "the delegated name's host, whatever is connected to",
            Self::Fixed => "the host of the name that the rule names, else of the server name",
        };
        Reasons { endpoints, host_header, tls_name }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.number())
    }
}
