//! A resolver with the system's configuration.

use std::sync::Arc;

use thiserror::Error;

use super::hickory::config::{DnsConfig, LONGEST};
use super::hickory::{HickoryDns, HickoryDnsError};
use super::hyper::HyperFetch;
use super::tokio::TokioRuntime;
use crate::core::config::{AddressFamilies, ConfigError};
use crate::resolver::Resolver;
use crate::resolver::config::ResolverConfig;
use crate::transport::TlsSetupError;

/// Why a resolver could not be made from the system's configuration.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SystemError {
    /// The DNS configuration or the hosts file cannot be read.
    #[error("the system's DNS configuration cannot be used")]
    Dns(#[from] HickoryDnsError),
    /// The platform's trusted roots cannot be read.
    #[error("the platform's trusted certificates cannot be used")]
    Tls(#[from] TlsSetupError),
    /// The configuration cannot work.
    #[error("the configuration cannot work")]
    Config(#[from] ConfigError),
    /// The configuration leaves look-ups to a proxy, but there is none here. Make the parts
    /// yourself, the fetch with a [`Dial`](crate::transport::Dial) that knows the proxy.
    #[error("look-ups are left to a proxy, but there is none: give the fetch a Dial that knows it")]
    NoProxy,
}

impl Resolver {
    /// Creates a resolver with the system's DNS configuration and hosts file, the platform's
    /// trusted roots and the tokio runtime that it is called from.
    ///
    /// To change one of the parts, make each, in a line each, and pass them to [`Resolver::new`].
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use matrix_delegation::{Config, Resolver};
    ///
    /// let resolver = Resolver::from_system(Config::default())?;
    /// let found = resolver.resolve(&"matrix.org".parse()?).await?;
    /// println!("{found}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_system(config: impl Into<ResolverConfig>) -> Result<Self, SystemError> {
        let config = config.into();
        if config.discovery.addresses == AddressFamilies::ByProxy {
            return Err(SystemError::NoProxy);
        }
        let question_limit = config.discovery.time.dns.min(LONGEST);
        let asking = DnsConfig { question_limit, ..DnsConfig::default() };
        let dns = HickoryDns::from_system()?.with_config(asking)?;
        let fetch = HyperFetch::with_platform_roots()?;
        let runtime = TokioRuntime::current();
        Ok(Self::new(Arc::new(dns), Arc::new(fetch), Arc::new(runtime), config)?)
    }
}
