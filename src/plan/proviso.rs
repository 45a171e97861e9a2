//! What a way relies on and a plan cannot see.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::core::names::DnsName;

/// Something that a way relies on and a plan cannot see, because it looks nothing up. It displays
/// as a condition after "provided that".
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Proviso {
    /// There is no well-known document: it would come first (step 3).
    NoDocument {
        /// The server name's host.
        host: DnsName,
    },
    /// There are no SRV records, which would come first (steps 4 and 5).
    NoSrvRecords {
        /// The server name's host.
        host: DnsName,
    },
    /// The name has this address already, or nothing that uses its present address is lost.
    LeadsThere {
        /// The server name's host.
        name: DnsName,
        /// Where the server listens.
        address: IpAddr,
    },
    /// Nothing else uses the name that is to lead to the server, such as a web site, which would
    /// then be unreachable. A way with this proviso comes after those without.
    NoOtherUse {
        /// The name delegated to.
        name: DnsName,
    },
    /// No zone begins at the name: a CNAME is not allowed beside the SOA and NS records there (RFC
    /// 1034 section 3.6.2).
    NotAnApex {
        /// The name delegated to.
        name: DnsName,
        /// The host where the server listens.
        target: DnsName,
    },
}

impl fmt::Display for Proviso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDocument { host } => write!(
                f,
                "https://{host}/.well-known/matrix/server has no document, which would come first"
            ),
            Self::NoSrvRecords { host } => {
                write!(f, "{host} has no SRV records of Matrix, which would come first")
            }
            Self::LeadsThere { name, address } => {
                write!(
                    f,
                    "{name} leads to {address} already, or has no other use, such as a web site"
                )
            }
            Self::NoOtherUse { name } => write!(f, "{name} has no other use, such as a web site"),
            Self::NotAnApex { name, target } => write!(
                f,
                "{name} is not the apex of a zone, where a CNAME is not allowed; there, give it the \
                 addresses of {target}"
            ),
        }
    }
}
