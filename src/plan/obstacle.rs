//! Why a way cannot work.

use std::net::IpAddr;

use serde::Serialize;
use thiserror::Error;

use super::certificate::NamePattern;
use crate::core::address_policy::BlockedRange;
use crate::core::names::{DnsName, Host, NotAHostName};

/// Why a way cannot work. It displays what is wrong and how to fix it; each variant cites its
/// source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Obstacle {
    /// No host can be made of the server name, so that nobody can look it up (server-server API,
    /// "Server discovery"; RFC 1035 section 2.3).
    #[error("no host can be made of the server name: {reason}; a new server needs another name")]
    UnresolvableServerName {
        /// What is wrong with it.
        reason: NotAHostName,
    },
    /// Step 1: for an IP literal neither a well-known document nor SRV records are asked for.
    #[error(
        "the server name is an IP address, for which others ask neither a document nor SRV \
         records (step 1); listen at that address, port {port}"
    )]
    ServerNameIsIpLiteral {
        /// The port that others connect to.
        port: u16,
    },
    /// Step 2: for a name with a port neither a well-known document nor SRV records are asked for.
    #[error(
        "the server name has a port, so that others ask neither a document nor SRV records \
         (step 2); listen at port {port} of its host"
    )]
    ServerNameHasPort {
        /// The port that others connect to.
        port: u16,
    },
    /// A `.onion` name is never asked of DNS (RFC 7686 section 2), so that ordinary servers cannot
    /// reach it.
    #[error("{name} is an onion name, which other servers never ask DNS for; use a name of DNS")]
    OnionName {
        /// The name.
        name: DnsName,
    },
    /// The name has a meaning within one machine or network only: `localhost` (RFC 6761 section
    /// 6.3), `.local` (RFC 6762), `.internal` (reserved by ICANN), `.home.arpa` (RFC 8375), or a
    /// single label, which has no addresses in DNS.
    #[error("{name} is known in one's own network only; use a name that all of DNS knows")]
    LocalName {
        /// The name.
        name: DnsName,
    },
    /// The address cannot be reached from elsewhere (RFC 6890), and others refuse to connect to it.
    #[error(
        "{address} lies in {range}: others cannot reach it, and refuse to try; give the public \
         address, where the router or the reverse proxy takes connections"
    )]
    AddressNotPublic {
        /// The address.
        address: IpAddr,
        /// The reserved range that contains the address.
        range: BlockedRange,
    },
    /// Nothing can be reached at port 0 (RFC 6335 section 6).
    #[error("port 0 cannot be connected to; name the port that the server really listens at")]
    PortZero,
    /// Others connect to the server name's own host, and the server is elsewhere.
    #[error(
        "without delegation others connect to {expected}, but the server listens at {listening}; \
         for this way, move it there"
    )]
    ListensElsewhere {
        /// The host that others connect to.
        expected: Host,
        /// The host that the server listens at.
        listening: Host,
    },
    /// Others connect to another port.
    #[error(
        "without delegation others connect to port {expected}, but the server listens at port \
         {listening}; for this way, let it listen at port {expected}, too"
    )]
    WrongPort {
        /// The port that others connect to.
        expected: u16,
        /// The port that the server listens at.
        listening: u16,
    },
    /// The certificate lacks the name that others verify: the delegated name's host, or without a
    /// well-known the server name's, never an SRV target ("Server discovery", every step).
    #[error(
        "others verify a certificate for {wanted}, and the server's carries {}; get one for {wanted}",
        names(.carried)
    )]
    CertificateLacksName {
        /// The name that others verify.
        wanted: Host,
        /// The names that the certificates carry.
        carried: Vec<NamePattern>,
    },
    /// An SRV record points to a name, never to an address (RFC 2782, "Target").
    #[error(
        "an SRV record points to a name, not to the address {address}; give it a name in DNS and \
         listen there"
    )]
    SrvTargetIsAddress {
        /// The address.
        address: IpAddr,
    },
    /// The name that an SRV record points to must not be an alias (RFC 2782, "Target"); some
    /// servers drop such a record.
    #[error(
        "an SRV record must not point to an alias (CNAME), and {target} is one; point it to the \
         name that has the addresses"
    )]
    SrvTargetIsAlias {
        /// The alias.
        target: DnsName,
    },
    /// With the service's labels before it the name is longer than DNS allows (RFC 1035 section
    /// 2.3.4).
    #[error("{host} is too long for SRV records: with the service before it, it is over 253 bytes")]
    TooLongForSrv {
        /// The server name's host.
        host: DnsName,
    },
}

fn names(carried: &[NamePattern]) -> String {
    if carried.is_empty() {
        return "none that was named".to_owned();
    }
    carried.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
