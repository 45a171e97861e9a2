//! A handshake with every address of a target.
#![allow(clippy::disallowed_methods, reason = "it is over the network, and has time limits")]

mod address_check;
mod handshake;
mod verifier;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription as Alert, ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName as TlsName;

pub use self::address_check::{AddressCheck, CheckStatus, TlsVersion};
use self::handshake::{NoCertificate, handshake, late_alert};
use self::verifier::RecordingVerifier;
use super::check::CertificateCheck;
use super::text::shown;
use crate::core::config::ConfigError;
use crate::core::config::setting::settings;
use crate::core::endpoint::Endpoint;
use crate::core::phase_limits::PhaseLimits;
use crate::core::target::DelegationTarget;
use crate::runtime::BoxFuture;
use crate::transport::deadline::{Deadline, TimedOut};
use crate::transport::dial::{Dial, DialStream, TcpDial, dial_endpoint};
use crate::transport::error_chain::{cause, chain};
use crate::transport::opening::{OpenError, Opening, Phase};
use crate::transport::tls::{HTTP_1_1, HTTP_2, with_alpn};
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
use crate::transport::{TlsSetupError, roots::TrustedRoots, roots::provider};

settings! {
    /// How long a check of certificates may take.
    ///
    /// ```
    /// use std::time::Duration;
    /// use matrix_delegation::certificate::ProbeLimits;
    ///
    /// let mut limits = ProbeLimits::default();
    /// assert_eq!(limits.total, Duration::from_secs(60));
    /// limits.total = Duration::from_secs(10);
    /// ```
    #[derive(Copy, Eq, Hash)]
    pub struct ProbeLimits {
        /// Connecting to one address and the TLS handshake with it. Every address is tried, so that
        /// [`PhaseLimits::attempt_delay`] plays no part.
        phases: PhaseLimits;
        /// Everything together, over all addresses. An address that was not tried by then is reported
        /// as unreachable for want of time. Default 60 s, enough for 48 addresses where each takes its
        /// whole time.
        total: Duration = Duration::from_secs(60), not_zero("no address would be tried");
        /// Addresses that are tried at a time, at least 1. Default 8.
        at_a_time: usize = 8, at_least(1, "no address would be tried");
        /// How long a server that asked for a client certificate has to refuse the handshake for want of
        /// one, which it does after the handshake over TLS 1.3. Default 2 s, some round trips to anywhere.
        refusal: Duration = Duration::from_secs(2);
        /// Bytes that are read for one handshake. Default 256 KiB: in rustls one message of it has at
        /// most 64 KiB, and only the one with the certificates is large.
        handshake_bytes: usize = 256 * 1024, at_least(1, "no handshake could end");
    }
}

/// Shakes hands with every address of a target, to see which certificates are there.
///
/// It looks nothing up: it connects to the target's addresses, which the address policy has judged,
/// and to no others. It sends [`tls_name`](DelegationTarget::tls_name) as SNI (for an IP address
/// none, RFC 6066 section 3), offers TLS 1.3 and 1.2 with `h2` and `http/1.1`, resumes no session,
/// and has no certificate of its own to show. A server that asks for one over TLS 1.3 has
/// [`ProbeLimits::refusal`] to say that it requires it.
///
/// A certificate that is not valid is reported and **refused**: the handshake ends with an alert.
/// After a good one the connection is closed. No application data is sent or handed out, ever. Of a refused
/// certificate it is not known whether the server holds its key; anyone may show another's.
///
/// # How long, and how much
///
/// Each address has the times of [`ProbeLimits::phases`], all of them together
/// [`ProbeLimits::total`]; [`ProbeLimits::at_a_time`] and [`ProbeLimits::handshake_bytes`] say how
/// many at once and how much of each. All runs in the future that is returned, on a tokio runtime
/// with I/O and time enabled; to drop it is to close every connection.
#[derive(Clone, Debug)]
pub struct CertificateProbe {
    check: Arc<CertificateCheck>,
    tls: ClientConfig,
    dial: Arc<dyn Dial>,
    limits: ProbeLimits,
}

impl CertificateProbe {
    /// Creates a probe that trusts these roots, with this crypto provider, over [`TcpDial`], within
    /// the default [`ProbeLimits`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use matrix_delegation::CertificateProbe;
    ///
    /// let roots = rustls::RootCertStore::empty();
    /// let provider = Arc::new(rustls::crypto::ring::default_provider());
    /// let probe = CertificateProbe::new(roots, provider)?;
    /// # Ok::<(), rustls::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the provider can do neither TLS 1.2 nor 1.3.
    pub fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let algorithms = provider.signature_verification_algorithms.all;
        let check = CertificateCheck::new(roots.roots.iter().cloned(), algorithms);
        // The verifier that this sets up is replaced for each handshake.
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tls = with_alpn(tls, &[HTTP_2, HTTP_1_1]);
        // In a resumed session no certificate is shown.
        tls.resumption = Resumption::disabled();
        Ok(Self {
            check: Arc::new(check),
            tls,
            dial: Arc::new(TcpDial),
            limits: ProbeLimits::default(),
        })
    }

    /// Creates a probe that trusts these roots, with the provider of the feature `ring` or
    /// `aws-lc-rs`. Blocks while it reads the platform's, if they are among them.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use matrix_delegation::{CertificateProbe, Config, Resolver, TrustedRoots};
    ///
    /// let found = Resolver::from_system(Config::default())?.resolve(&"matrix.org".parse()?).await?;
    /// let probe = CertificateProbe::with_roots(TrustedRoots::platform())?;
    /// for check in probe.check_certificates(&found).await {
    ///     println!("{check}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If there are none, or one that was added cannot be read.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn with_roots(roots: TrustedRoots) -> Result<Self, TlsSetupError> {
        let store = roots.root_store()?;
        Self::new(store, Arc::new(provider())).map_err(|source| TlsSetupError::Provider { source })
    }

    /// Opens streams with this.
    #[must_use]
    pub fn with_dial(mut self, dial: Arc<dyn Dial>) -> Self {
        self.dial = dial;
        self
    }

    /// Sets the limits.
    ///
    /// # Errors
    ///
    /// If [`ProbeLimits::check`] finds a problem.
    pub fn with_limits(mut self, limits: ProbeLimits) -> Result<Self, ConfigError> {
        limits.check()?;
        self.limits = limits;
        Ok(self)
    }

    /// Uses this clock in place of the system's: to see what will have expired by next month, say.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn TimeProvider>) -> Self {
        self.tls.time_provider = clock;
        self
    }

    /// Shakes hands with every address of every endpoint. The reports stand in the order of the
    /// endpoints and of their addresses; an address that several endpoints have is tried once.
    ///
    /// Where look-ups are left to a proxy, it is one handshake an endpoint, by
    /// [`Dial::dial_name`].
    ///
    /// It ends after [`ProbeLimits::total`]; what was not tried by then is
    /// [`CheckStatus::Unreachable`], with that as its detail.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use matrix_delegation::time::Now;
    /// use matrix_delegation::{CertificateProbe, FixedTarget, TrustedRoots};
    ///
    /// let target = FixedTarget::new(["192.0.2.7:8448".parse()?])?
    ///     .target(&"m.example".parse()?, Now::EPOCH)?;
    /// let probe = CertificateProbe::with_roots(TrustedRoots::platform())?;
    /// let checks = probe.check_certificates(&target).await;
    /// println!("{} ({:?}, {:?})", checks[0], checks[0].tls_version, checks[0].alpn);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check_certificates(&self, target: &DelegationTarget) -> Vec<AddressCheck> {
        let end = Deadline::of_all(self.limits.total);
        let opening = Opening { limits: self.limits.phases, end };
        let mut seen = HashSet::new();
        let mut places: Vec<(Endpoint<'_>, Option<SocketAddr>)> = Vec::new();
        for endpoint in target.endpoints() {
            if target.is_left_to_proxy() {
                places.push((endpoint, None));
            }
            let addresses = endpoint.addresses().filter(|address| seen.insert(*address));
            places.extend(addresses.map(|address| (endpoint, Some(address))));
        }
        let name = target.tls_name().to_owned();
        let checks = places.into_iter().map(|(endpoint, address)| {
            let check = self.check(endpoint, address, name.clone(), opening);
            Box::pin(check) as BoxFuture<'_, _>
        });
        stream::iter(checks).buffered(self.limits.at_a_time).collect().await
    }

    async fn check(
        &self,
        endpoint: Endpoint<'_>,
        address: Option<SocketAddr>,
        name: TlsName<'static>,
        opening: Opening,
    ) -> AddressCheck {
        let mut check = AddressCheck {
            endpoint: endpoint.to_string(),
            address,
            status: CheckStatus::Unreachable,
            tls_version: None,
            alpn: None,
            report: None,
            detail: None,
        };
        if opening.end.is_over() {
            let total = self.limits.total;
            check.detail = Some(format!("not tried: the {total:?} for all addresses were over"));
            return check;
        }
        let dialled = dial_endpoint(&*self.dial, endpoint, address);
        match opening.connect(&*self.dial, address, dialled).await {
            Ok(mut stream) => self.handshake(&mut *stream, name, &mut check, &opening).await,
            Err(error) => check.detail = Some(detail("connection", &error)),
        }
        check
    }

    async fn handshake(
        &self,
        stream: &mut dyn DialStream,
        name: TlsName<'static>,
        check: &mut AddressCheck,
        opening: &Opening,
    ) {
        check.status = CheckStatus::HandshakeFailed;
        let algorithms = self.tls.crypto_provider().signature_verification_algorithms;
        let (check_of, seen) = (Arc::clone(&self.check), OnceLock::new());
        let verifier = Arc::new(RecordingVerifier { check: check_of, algorithms, seen });
        let no_certificate = Arc::new(NoCertificate::default());
        let mut tls = self.tls.clone();
        tls.client_auth_cert_resolver = Arc::clone(&no_certificate) as _;
        tls.dangerous().set_certificate_verifier(Arc::clone(&verifier) as _);
        let most = self.limits.handshake_bytes;
        let shaken = match ClientConnection::new(Arc::new(tls), name) {
            Ok(mut connection) => {
                let shaken =
                    opening.run(Phase::Tls, handshake(&mut connection, stream, most)).await;
                let shaken = match shaken {
                    Ok(leftover) => {
                        let deadline = opening.end.of_phase(self.limits.refusal);
                        let refused = late_alert(
                            &mut connection,
                            stream,
                            leftover,
                            &no_certificate,
                            deadline,
                        );
                        refused.await.map_err(|error| OpenError::new(Phase::Tls, error.into()))
                    }
                    Err(error) => Err(error),
                };
                check.tls_version = connection.protocol_version().and_then(TlsVersion::of);
                check.alpn =
                    connection.alpn_protocol().map(|it| shown(&String::from_utf8_lossy(it)));
                let provider = self.tls.crypto_provider();
                shaken.map_err(|error| {
                    // Under TLS 1.2 there is no alert of its own for that.
                    let is_about_it = no_certificate.was_asked_for()
                        && matches!(
                            cause(&*error.error),
                            Some(rustls::Error::AlertReceived(
                                Alert::HandshakeFailure
                                    | Alert::BadCertificate
                                    | Alert::CertificateUnknown
                                    | Alert::AccessDenied
                            ))
                        );
                    if is_about_it {
                        return format!(
                            "{}; it asked for a client certificate, which Matrix servers do not \
                             have: let it ask for none",
                            error.error
                        );
                    }
                    detail("handshake", &error.with_offer(provider))
                })
            }
            Err(error) => Err(shown(&error.to_string())),
        };
        check.report = verifier.seen.get().cloned();
        let refused = check.report.as_ref().filter(|report| !report.is_valid());
        if let Some(report) = refused {
            // The handshake failed because of it.
            check.status = CheckStatus::of(&report.verdict);
            return;
        }
        match shaken {
            Ok(()) if check.report.is_some() => check.status = CheckStatus::Valid,
            Ok(()) => check.detail = Some("the server showed no certificate".to_owned()),
            Err(detail) => check.detail = Some(detail),
        }
    }
}

/// Returns why there is no connection or handshake, for people.
fn detail(what: &str, failure: &OpenError) -> String {
    match failure.error.downcast_ref() {
        Some(TimedOut::Phase(limit)) => format!("no {what} within {limit:?}"),
        Some(TimedOut::All(limit)) => {
            format!("no {what} before the {limit:?} for all addresses were over")
        }
        None => shown(&chain(&*failure.error)) + &failure.offer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_work_are_found() {
        let mut limits = ProbeLimits::default();
        assert_eq!(limits.check(), Ok(()));
        (limits.phases.connect, limits.at_a_time) = (Duration::ZERO, 0);
        assert_eq!(
            limits.check().unwrap_err().to_string(),
            "phases.connect: 0s: no connection could be made; set more\n\
             at_a_time: 0: no address would be tried; set 1 or more"
        );
    }
}
