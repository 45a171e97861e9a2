//! Tries the addresses of one endpoint side by side, until a TLS handshake succeeds.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_rustls::client::TlsStream;

use super::connect_error::{ConnectAttempt, ConnectPhase};
use super::connector::Connector;
use crate::core::endpoint::{Endpoint, interleaved};
use crate::core::target::DelegationTarget;
use crate::runtime::lanes::Turn;
use crate::transport::ConnectFailureKind;
use crate::transport::dial::{DialStream, dial_endpoint};
use crate::transport::happy_eyeballs::StaggeredAttempts;
use crate::transport::opening::{OpenError, Opening, Phase};

/// What has come of the attempts at an endpoint so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// How many addresses have accepted a connection whose handshake goes on.
    accepted: AtomicUsize,
    /// Told when the last of those handshakes has failed.
    pub(super) lost: Notify,
    attempts: Mutex<Attempts>,
}

#[derive(Debug, Default)]
struct Attempts {
    in_flight: Vec<Option<SocketAddr>>,
    failed: Vec<ConnectAttempt>,
}

impl Progress {
    /// Notes that an address has accepted a connection, until its handshake has failed or was broken off.
    fn accepted(&self) -> Accepted<'_> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Accepted(self)
    }

    /// Returns whether an address has accepted a connection whose handshake goes on.
    pub(super) fn has_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed) > 0
    }

    /// Takes the attempts that have failed.
    pub(super) fn take_failed(&self) -> Vec<ConnectAttempt> {
        std::mem::take(&mut self.lock().failed)
    }

    /// Returns the addresses that are still tried.
    pub(super) fn in_flight(&self) -> Vec<Option<SocketAddr>> {
        self.lock().in_flight.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handshake that goes on.
struct Accepted<'a>(&'a Progress);

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        if self.0.accepted.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.lost.notify_one();
        }
    }
}

/// Connects to an endpoint. How each attempt failed stands in its progress.
pub(super) async fn race(
    connector: &Connector,
    target: &DelegationTarget,
    endpoint: Endpoint<'_>,
    seed: u64,
    opening: &Opening,
    progress: &Progress,
) -> Option<(Option<SocketAddr>, TlsStream<Box<dyn DialStream>>, Option<Turn>)> {
    let addresses = if target.is_left_to_proxy() {
        vec![None]
    } else {
        rotated(endpoint, seed).into_iter().map(Some).collect()
    };
    if addresses.is_empty() {
        let (phase, kind) = (ConnectPhase::Address, ConnectFailureKind::NoAddress);
        let reason = "it has no address".to_owned();
        progress.lock().failed.push(ConnectAttempt::new(endpoint, None, phase, kind, reason));
    }
    let try_at = async |address| {
        // What waits for a socket is not silent.
        progress.lock().in_flight.push(address);
        let dialled = dial_endpoint(&*connector.dial, endpoint, address);
        let stream = opening.connect(&*connector.dial, address, dialled).await?;
        let accepted = progress.accepted();
        let name = target.tls_name().to_owned();
        let secured = opening.secure(connector.tls(endpoint), name, stream).await?;
        std::mem::forget(accepted);
        Ok::<_, OpenError>(secured)
    };
    let open = async |address| {
        let Some(resolver) = &connector.resolver else { return Ok((try_at(address).await?, None)) };
        let opened = resolver.open(address, opening.end.left(), try_at(address)).await;
        let (opened, turn) = opened.map_err(OpenError::local)?;
        Ok((opened?, Some(turn)))
    };
    let open = &open;
    let delay = opening.limits.attempt_delay;
    let mut attempts_at =
        StaggeredAttempts::new(addresses.into_iter(), delay, |address| async move {
            // Not even begun.
            if opening.end.is_over() {
                return (address, Err(None));
            }
            (address, open(address).await.map_err(Some))
        });
    while let Some((address, outcome)) = attempts_at.next().await {
        match outcome {
            Ok((stream, turn)) => return Some((address, stream, turn)),
            Err(failure) => {
                let mut attempts = progress.lock();
                attempts.in_flight.retain(|it| *it != address);
                attempts.failed.extend(failure.map(|it| failed(endpoint, address, &it)));
            }
        }
    }
    None
}

/// Returns the addresses in an order for this contact. Each contact starts with another address of
/// each family, so that not all go to the same one; the families alternate.
fn rotated(endpoint: Endpoint<'_>, seed: u64) -> Vec<SocketAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for is_of_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        let addresses = endpoint.addresses().map(|address| address.ip());
        let mut family: Vec<IpAddr> = addresses.filter(is_of_family).collect();
        if let Some(first) = seed.checked_rem(family.len() as u64) {
            family.rotate_left(usize::try_from(first).unwrap_or(0));
        }
        all.append(&mut family);
    }
    if endpoint.addresses().next().is_some_and(|first| first.is_ipv6()) {
        all.sort_by_key(IpAddr::is_ipv4);
    }
    interleaved(&all).map(|address| SocketAddr::new(address, endpoint.port())).collect()
}

fn failed(
    endpoint: Endpoint<'_>,
    address: Option<SocketAddr>,
    failure: &OpenError,
) -> ConnectAttempt {
    let phase = match failure.kind {
        kind if kind.is_certificate() => ConnectPhase::Certificate,
        ConnectFailureKind::Local | ConnectFailureKind::Unsupported => ConnectPhase::Local,
        _ if failure.phase == Phase::Connect => ConnectPhase::Connect,
        _ => ConnectPhase::Tls,
    };
    ConnectAttempt::new(endpoint, address, phase, failure.kind, failure.in_words())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::endpoint::{Origin, StoredEndpoint};
    use crate::core::names::Host;

    #[test]
    fn each_contact_begins_with_another_address_of_the_family_that_is_first() {
        let endpoint = |addresses: &str| StoredEndpoint {
            host: Host::Dns("a.example".parse().unwrap()),
            port: 1,
            priority: 0,
            weight: 0,
            origin: Origin::DefaultPort,
            addresses: addresses
                .split(' ')
                .map(|it| it.parse().unwrap())
                .collect::<Vec<_>>()
                .into(),
        };
        let order = |addresses: &str, seed| -> String {
            let addresses = rotated(endpoint(addresses).view(), seed);
            addresses.iter().map(|it| it.ip().to_string()).collect::<Vec<_>>().join(" ")
        };
        let (v4, v6) = ("10.0.0.1 10.0.0.2 ::1 ::2", "::1 ::2 10.0.0.1 10.0.0.2");
        assert_eq!(order(v4, 0), "10.0.0.1 ::1 10.0.0.2 ::2");
        assert_eq!(order(v4, 1), "10.0.0.2 ::2 10.0.0.1 ::1");
        assert_eq!(order(v6, 0), "::1 10.0.0.1 ::2 10.0.0.2");
        assert_eq!(order(v6, 1), "::2 10.0.0.2 ::1 10.0.0.1");
    }
}
