//! Records as a zone file contains them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::core::dns::Service;
use crate::core::names::DnsName;

/// The longest name that a zone can hold, in characters without the final dot (RFC 1035 section
/// 2.3.4).
const MAX_NAME: usize = 253;

/// A DNS record. It displays as its line in a zone file (RFC 1035 section 5.1), with absolute names
/// and their final dot, the TTL in seconds, and the class `IN`.
///
/// Serialised, it is an object of `name`, `ttl`, `type`, `data` and the whole `line`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ZoneRecord {
    /// The service, if it is an SRV record.
    service: Option<Service>,
    host: DnsName,
    ttl: u32,
    data: ZoneData,
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneData {
    /// The host has this address (A or AAAA).
    Address(IpAddr),
    /// The host is an alias of this one (CNAME).
    Alias(DnsName),
    /// The service is offered at this host and port (SRV, RFC 2782).
    Srv {
        /// The priority; the lowest is tried first.
        priority: u16,
        /// The weight: its share of contacts among records of one priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: DnsName,
    },
}

impl ZoneRecord {
    /// Creates a record of a host.
    pub(super) fn new(host: DnsName, ttl: Duration, data: ZoneData) -> Self {
        // RFC 2181 section 8: TTLs have 31 bits.
        let most = u32::MAX >> 1;
        let ttl = u32::try_from(ttl.as_secs()).map_or(most, |seconds| seconds.min(most));
        Self { service: None, host, ttl, data }
    }

    /// Makes it a record of a host's service.
    pub(super) fn with_service(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }

    /// Returns the owner's name, absolute and without its final dot:
    /// `_matrix-fed._tcp.example.org`.
    pub fn name(&self) -> String {
        match self.service {
            Some(service) => format!("{service}.{}", self.host),
            None => self.host.to_string(),
        }
    }

    /// Returns the time to live, in seconds.
    pub const fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Returns the data.
    pub const fn data(&self) -> &ZoneData {
        &self.data
    }

    /// Returns the service, if it is an SRV record.
    pub const fn service(&self) -> Option<Service> {
        self.service
    }
}

/// Returns whether DNS can hold SRV records of this service for the host.
pub(super) fn fits(service: Service, host: &DnsName) -> bool {
    service.prefix().len() + 1 + host.as_str().len() <= MAX_NAME
}

impl ZoneData {
    /// Returns the record's type, such as `SRV`.
    pub const fn record_type(&self) -> &'static str {
        match self {
            Self::Address(IpAddr::V4(_)) => "A",
            Self::Address(IpAddr::V6(_)) => "AAAA",
            Self::Alias(_) => "CNAME",
            Self::Srv { .. } => "SRV",
        }
    }
}

impl fmt::Display for ZoneData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Alias(target) => write!(f, "{target}."),
            Self::Srv { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}.")
            }
        }
    }
}

impl fmt::Display for ZoneRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ttl, data, .. } = self;
        write!(f, "{}. {ttl} IN {} {data}", self.name(), data.record_type())
    }
}

impl Serialize for ZoneRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = serializer.serialize_struct("ZoneRecord", 5)?;
        written.serialize_field("name", &format_args!("{}.", self.name()))?;
        written.serialize_field("ttl", &self.ttl)?;
        written.serialize_field("type", self.data.record_type())?;
        written.serialize_field("data", &self.data.to_string())?;
        written.serialize_field("line", &self.to_string())?;
        written.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_absolute_and_complete() {
        let host: DnsName = "Example.org".parse().unwrap();
        let target = || "matrix.example.org".parse().unwrap();
        let hour = Duration::from_secs(3600);
        let record = |ttl, data| ZoneRecord::new(host.clone(), ttl, data);
        let srv = ZoneData::Srv { priority: 10, weight: 0, port: 443, target: target() };
        assert_eq!(
            record(hour, srv).with_service(Service::MatrixFed).to_string(),
            "_matrix-fed._tcp.example.org. 3600 IN SRV 10 0 443 matrix.example.org."
        );
        for (address, expected) in [
            ("192.0.2.7", "example.org. 3600 IN A 192.0.2.7"),
            ("2001:db8::7", "example.org. 3600 IN AAAA 2001:db8::7"),
        ] {
            let data = ZoneData::Address(address.parse().unwrap());
            assert_eq!(record(hour, data).to_string(), expected);
        }
        assert_eq!(
            record(Duration::MAX, ZoneData::Alias(target())).to_string(),
            "example.org. 2147483647 IN CNAME matrix.example.org."
        );
    }

    #[test]
    fn a_service_of_a_very_long_name_does_not_fit() {
        let name = |length: usize| -> DnsName {
            let label = "a".repeat(60);
            let long = format!("{label}.{label}.{label}.{label}");
            long[long.len() - length..].parse().unwrap()
        };
        assert!(fits(Service::MatrixFed, &name(236)));
        assert!(!fits(Service::MatrixFed, &name(237)));
    }
}
