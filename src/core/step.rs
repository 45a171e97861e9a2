//! The ten steps of server discovery, and why each leads to its answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::dns::Service;

/// A step of server discovery, numbered as in the specification ("Server discovery"): the one
/// that decided.
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
    /// 6: no valid well-known and no SRV record.
    #[serde(rename = "6")]
    DefaultPort,
    /// No step of the specification: a rule of the application decided ([`crate::FixedTarget`]).
    #[serde(rename = "fixed")]
    Fixed,
}

/// The reasons, in words for people, why the three parts of an answer are what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Reasons {
    /// Why connections go there.
    pub endpoints: &'static str,
    /// Why `Host` has this value.
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

    /// Returns the step that SRV records of a service decide: at the host of a name that the server
    /// name is delegated to, or at its own.
    ///
    /// ```
    /// use matrix_delegation::dns::Service;
    /// use matrix_delegation::Step;
    ///
    /// assert_eq!(Step::of(Service::MatrixFed, true).number(), "3.3");
    /// assert_eq!(Step::of(Service::Matrix, false).number(), "5");
    /// ```
    pub const fn of(service: Service, delegated: bool) -> Self {
        match (service, delegated) {
            (Service::MatrixFed, true) => Self::DelegatedSrv,
            (Service::Matrix, true) => Self::DelegatedDeprecatedSrv,
            (Service::MatrixFed, false) => Self::Srv,
            (Service::Matrix, false) => Self::DeprecatedSrv,
        }
    }

    /// Returns the step of a host without a port that has no SRV record of any service.
    pub const fn without_srv(delegated: bool) -> Self {
        if delegated { Self::DelegatedDefaultPort } else { Self::DefaultPort }
    }

    /// Returns the service whose SRV records decide the step, if it is one that they decide.
    pub const fn service(self) -> Option<Service> {
        match self {
            Self::DelegatedSrv | Self::Srv => Some(Service::MatrixFed),
            Self::DelegatedDeprecatedSrv | Self::DeprecatedSrv => Some(Service::Matrix),
            Self::IpLiteral
            | Self::ExplicitPort
            | Self::DelegatedIpLiteral
            | Self::DelegatedPort
            | Self::DelegatedDefaultPort
            | Self::DefaultPort
            | Self::Fixed => None,
        }
    }

    /// Returns the number that the step has in the specification, or `fixed` for [`Step::Fixed`],
    /// which has none.
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

    /// Returns whether a well-known document delegated to another name.
    pub const fn is_delegated(self) -> bool {
        match self {
            Self::DelegatedIpLiteral
            | Self::DelegatedPort
            | Self::DelegatedSrv
            | Self::DelegatedDeprecatedSrv
            | Self::DelegatedDefaultPort => true,
            Self::IpLiteral
            | Self::ExplicitPort
            | Self::Srv
            | Self::DeprecatedSrv
            | Self::DefaultPort
            | Self::Fixed => false,
        }
    }

    /// Returns whether the step relies on the deprecated service name `_matrix._tcp`.
    pub const fn is_deprecated(self) -> bool {
        match self.service() {
            Some(Service::Matrix) => true,
            Some(Service::MatrixFed) | None => false,
        }
    }

    /// Returns why each part of the answer is what it is.
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

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::core::dns::Family;

    /// How many variants serde knows: it names each of them where it is given none.
    fn variants<T: DeserializeOwned>() -> usize {
        let error = serde_json::from_str::<T>("\"\"").err().map(|error| error.to_string());
        error.map_or(0, |error| error.matches('`').count() / 2 - 1)
    }

    #[test]
    fn no_list_leaves_a_variant_out() {
        assert_eq!(Family::ALL.len(), variants::<Family>());
        assert_eq!(Service::ALL.len(), variants::<Service>());
        // All but the one that is not of the specification.
        assert_eq!(Step::ALL.len() + 1, variants::<Step>());
    }

    #[test]
    fn each_service_has_its_own_steps() {
        for delegated in [true, false] {
            let mut before = None;
            for service in Service::ALL {
                let step = Step::of(service, delegated);
                assert_eq!((step.service(), step.is_delegated()), (Some(service), delegated));
                assert!(before < Some(step) && step < Step::without_srv(delegated));
                before = Some(step);
            }
        }
        let with_service = Step::ALL.into_iter().filter(|step| step.service().is_some());
        assert_eq!(with_service.count(), 2 * Service::ALL.len());
    }
}
