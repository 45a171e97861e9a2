//! Oddities that do not stop a resolution.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::core::address_policy::BlockedRange;
use crate::core::dns::{DnsFailure, DnsQuestion, DroppedSrv, Family, Service};
use crate::core::error::HostEvidence;
use crate::core::names::DnsName;
use crate::core::text::Causes;
use crate::core::well_known::WellKnownFailure;

/// Something that an administrator of the resolved server, or of the resolver, should look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// The well-known exists or should exist, but cannot be used.
    #[error("the well-known document of {host} is of no use: {}", Causes(failure))]
    WellKnownUnusable {
        /// The host it was asked of.
        host: DnsName,
        /// Why.
        failure: WellKnownFailure,
    },
    /// A well-known answer could not be renewed, and an earlier one is used in its place.
    #[error("the well-known document of {host} {}", Unrenewed(failure))]
    WellKnownStale {
        /// The host it was asked of.
        host: DnsName,
        /// Why it could not be renewed; `None` if it is not renewed yet.
        failure: Option<WellKnownFailure>,
    },
    /// The response that brought the well-known document calls its coding by a word that is no
    /// content coding. Other servers may refuse it.
    #[error(
        "the well-known document of {host} is sent with Content-Encoding: {coding:?}, which is no \
         content coding: remove that header"
    )]
    WellKnownOddCoding {
        /// The host it was asked of.
        host: DnsName,
        /// The word, at most 255 bytes of it.
        coding: String,
    },
    /// The answer relies on the deprecated service name.
    #[error(
        "found by _matrix._tcp.{host}, which is deprecated: use a well-known document or _matrix-fed._tcp"
    )]
    DeprecatedSrv {
        /// The host that has the records.
        host: DnsName,
    },
    /// An SRV look-up failed and was passed over.
    #[error("looking up SRV {service}.{host} failed: {failure}")]
    SrvLookupFailed {
        /// The service.
        service: Service,
        /// The host.
        host: DnsName,
        /// How it failed.
        failure: DnsFailure,
    },
    /// An SRV record is not used.
    #[error("SRV record of {service}.{host} not used: {record}")]
    SrvRecordDropped {
        /// The service.
        service: Service,
        /// The host.
        host: DnsName,
        /// The record, and why it is not used.
        record: DroppedSrv,
    },
    /// An SRV target is an alias. RFC 2782 forbids that, and other servers may refuse it.
    #[error("the SRV target {target} is an alias (CNAME), which RFC 2782 forbids")]
    SrvTargetAlias {
        /// The target.
        target: DnsName,
    },
    /// No address of an SRV target is known, so it cannot be used.
    #[error("an SRV target has no usable address: {target}")]
    SrvTargetWithoutAddress {
        /// The target, with the answers of DNS.
        target: HostEvidence,
    },
    /// An SRV target was left out, since the budget of queries to DNS did not suffice for its addresses.
    #[error(
        "the addresses of the SRV target {target} were not asked for: too many queries (`discovery.limits.dns_queries`)"
    )]
    SrvTargetNotAsked {
        /// The target.
        target: DnsName,
    },
    /// An SRV target's addresses did not come in time.
    #[error("the addresses of the SRV target {target} did not come in time")]
    SrvTargetLate {
        /// The target.
        target: DnsName,
    },
    /// The address policy dropped an address. At most the first four of each host are reported.
    #[error("{address} of {host} is not connected to: {range}")]
    AddressBlocked {
        /// The host.
        host: DnsName,
        /// The address.
        address: IpAddr,
        /// The range it lies in.
        range: BlockedRange,
    },
    /// The last records are used although their TTL has passed (RFC 8767).
    #[error("{}", StaleRecords(question, failure))]
    DnsStale {
        /// What was asked.
        question: DnsQuestion,
        /// How the look-up failed; `None` if it has not ended yet.
        failure: Option<DnsFailure>,
    },
    /// One address family failed beside another that answered.
    #[error("looking up the {family} addresses of {host} failed: {failure}")]
    AddressFamilyFailed {
        /// The host.
        host: DnsName,
        /// The family.
        family: Family,
        /// How it failed.
        failure: DnsFailure,
    },
    /// One address family did not answer in time beside another that did.
    #[error("the {family} addresses of {host} did not come in time")]
    AddressFamilyLate {
        /// The host.
        host: DnsName,
        /// The family.
        family: Family,
    },
}

/// Displays why the last good document is used although it has expired.
struct Unrenewed<'a>(&'a Option<WellKnownFailure>);

impl fmt::Display for Unrenewed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(failure) => {
                let failure = Causes(failure);
                write!(f, "could not be renewed, the last good one is used: {failure}")
            }
            None => f.write_str("is not renewed yet, the last good one is used"),
        }
    }
}

/// Displays why the last good records are used although their TTL has passed.
struct StaleRecords<'a>(&'a DnsQuestion, &'a Option<DnsFailure>);

impl fmt::Display for StaleRecords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(question, failure) = self;
        match failure {
            Some(failure) => {
                write!(f, "looking up {question} failed, the last good records are used: {failure}")
            }
            None => write!(f, "{question} is not renewed yet, the last good records are used"),
        }
    }
}

impl Warning {
    /// Returns the warning's name in `snake_case`, as in its JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::WellKnownUnusable { .. } => "well_known_unusable",
            Self::WellKnownStale { .. } => "well_known_stale",
            Self::WellKnownOddCoding { .. } => "well_known_odd_coding",
            Self::DeprecatedSrv { .. } => "deprecated_srv",
            Self::SrvLookupFailed { .. } => "srv_lookup_failed",
            Self::SrvRecordDropped { .. } => "srv_record_dropped",
            Self::SrvTargetAlias { .. } => "srv_target_alias",
            Self::SrvTargetWithoutAddress { .. } => "srv_target_without_address",
            Self::SrvTargetNotAsked { .. } => "srv_target_not_asked",
            Self::SrvTargetLate { .. } => "srv_target_late",
            Self::AddressBlocked { .. } => "address_blocked",
            Self::DnsStale { .. } => "dns_stale",
            Self::AddressFamilyFailed { .. } => "address_family_failed",
            Self::AddressFamilyLate { .. } => "address_family_late",
        }
    }
}
