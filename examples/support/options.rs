//! What programs that resolve names are told about the network they are in.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use matrix_delegation::adapters::server_address;
use matrix_delegation::transport::TlsSetupError;
use matrix_delegation::{AddressPolicy, HickoryDns, TrustedRoots};

/// Whom to ask, whom to trust and where to go.
#[derive(Debug, Args)]
pub(crate) struct Network {
    /// The DNS server to ask in place of the system's; the hosts file is not read then.
    ///
    /// A link-local address has a zone, such as `[fe80::53%eth0]:53`.
    #[arg(long, value_name = "IP:PORT", value_parser = server)]
    dns: Option<SocketAddr>,
    /// Certificates in PEM to trust besides the platform's.
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// A range that may be connected to although it is not the public internet.
    #[arg(long, value_name = "CIDR", value_parser = range)]
    allow: Vec<IpNet>,
}

fn server(text: &str) -> Result<SocketAddr, String> {
    server_address(text).map_err(|error| error.to_string())
}

fn range(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "not a range of addresses, such as 192.0.2.0/24".to_owned())
}

impl Network {
    pub(crate) fn policy(&self) -> AddressPolicy {
        self.allow.iter().copied().fold(AddressPolicy::default(), AddressPolicy::allow)
    }

    pub(crate) fn dns(&self) -> Result<HickoryDns, Box<dyn Error>> {
        Ok(match self.dns {
            Some(server) => HickoryDns::with_servers([server])?,
            None => HickoryDns::from_system()?,
        })
    }

    pub(crate) fn roots(&self) -> Result<TrustedRoots, TlsSetupError> {
        self.ca.iter().try_fold(TrustedRoots::platform(), TrustedRoots::with_pem_file)
    }
}
