//! The addresses of one endpoint, tried side by side until one has agreed on TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::connect_error::{ConnectAttempt, ConnectPhase};
use super::connector::Connector;
use crate::core::endpoint::{Endpoint, interleaved};
use crate::core::target::DelegationTarget;
use crate::transport::{
    ConnectFailureKind, OpenError, Opening, Phase, StaggeredAttempts, VerifiedStream, handshake,
    in_words,
};

/// Connects to an endpoint; otherwise it says of each attempt how it failed.
pub(super) async fn race(
    connector: &Connector,
    target: &DelegationTarget,
    endpoint: Endpoint<'_>,
    seed: u64,
    opening: &Opening,
    attempts: &mut Vec<ConnectAttempt>,
) -> Option<(Option<SocketAddr>, VerifiedStream)> {
    let name = target.tls_name().to_owned();
    let secure = |stream| handshake(Arc::clone(&connector.tls), name.clone(), stream);
    if target.is_left_to_proxy() {
        let host = endpoint.host().to_string();
        let dialled = connector.dial.dial_name(&host, endpoint.port());
        let opened = opening.open(dialled, secure).await;
        let failure = match opened {
            Ok(stream) => return Some((None, stream)),
            Err(failure) => failure,
        };
        attempts.push(failed(endpoint, None, &failure));
        return None;
    }
    let addresses = rotated(endpoint, seed);
    if addresses.is_empty() {
        let (phase, kind) = (ConnectPhase::Address, ConnectFailureKind::NoAddress);
        let reason = "it has no address".to_owned();
        attempts.push(ConnectAttempt::new(endpoint, None, phase, kind, reason));
    }
    let delay = opening.limits().attempt_delay;
    let mut attempts_at =
        StaggeredAttempts::new(addresses.into_iter(), delay, |address| async move {
            // Not even begun.
            if opening.end().is_over() {
                return (address, Err(None));
            }
            let dialled = connector.dial.dial(address);
            (address, opening.open(dialled, secure).await.map_err(Some))
        });
    while let Some((address, outcome)) = attempts_at.next().await {
        match outcome {
            Ok(stream) => return Some((Some(address), stream)),
            Err(failure) => {
                attempts.extend(failure.map(|it| failed(endpoint, Some(address), &it)));
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
    ConnectAttempt::new(endpoint, address, phase, failure.kind, in_words(&*failure.error))
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
