//! A resolver as the system it runs on is set up.

use std::sync::Arc;

use thiserror::Error;

use super::hickory::{HickoryDns, HickoryDnsError};
use super::hyper::{HyperFetch, TlsSetupError};
use super::tokio::TokioRuntime;
use crate::core::config::Config;
use crate::resolver::Resolver;

/// Why the system's own set-up is of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SystemError {
    /// The DNS configuration or the hosts file cannot be read.
    #[error("the system's DNS configuration cannot be used")]
    Dns(#[from] HickoryDnsError),
    /// The platform's trusted roots cannot be read.
    #[error("the platform's trusted certificates cannot be used")]
    Tls(#[from] TlsSetupError),
}

impl Resolver {
    /// A resolver with the system's DNS configuration and hosts file, the platform's trusted roots
    /// and the tokio runtime that it is called from.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
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
    pub fn from_system(config: Config) -> Result<Self, SystemError> {
        let dns = HickoryDns::from_system()?;
        let fetch = HyperFetch::with_platform_roots()?;
        let runtime = TokioRuntime::current();
        Ok(Self::new(Arc::new(dns), Arc::new(fetch), Arc::new(runtime), config))
    }
}
