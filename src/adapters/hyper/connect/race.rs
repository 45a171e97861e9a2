//! The addresses of one endpoint, tried side by side until one has agreed on TLS.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName as TlsName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{ConnectAttempt, ConnectPhase};
use super::{Connector, DialStream};
use crate::adapters::hyper::attempt::{cause, in_words};
use crate::adapters::hyper::staggered::Staggered;
use crate::core::target::{DelegationTarget, Endpoint, interleaved};

type Secured = TlsStream<Box<dyn DialStream>>;
/// Why an attempt failed, and in which phase.
type Failed = (ConnectPhase, String);

/// Connects to an endpoint; otherwise it says of each attempt how it failed.
pub(super) async fn race(
    connector: &Connector,
    target: &DelegationTarget,
    endpoint: &Endpoint,
    seed: u64,
    end: Option<Instant>,
    attempts: &mut Vec<ConnectAttempt>,
) -> Option<(Option<SocketAddr>, Secured)> {
    let failed =
        |address, (phase, reason): Failed| ConnectAttempt::new(endpoint, address, phase, reason);
    let name = target.tls_name().to_owned();
    if target.is_left_to_proxy() {
        let host = endpoint.host().to_string();
        let stream = connector.dial.dial_name(&host, endpoint.port());
        return match attempt(connector, stream, name, end).await {
            Ok(secured) => Some((None, secured)),
            Err(why) => {
                attempts.push(failed(None, why));
                None
            }
        };
    }
    let addresses = rotated(endpoint, seed);
    if addresses.is_empty() {
        attempts.push(failed(None, (ConnectPhase::Address, "it has no address".to_owned())));
    }
    let delay = connector.limits.attempt_delay;
    let mut attempts_at = Staggered::new(addresses.into_iter(), delay, |address| {
        let name = name.clone();
        async move {
            // Not even begun.
            if is_over(end) {
                return (address, Err(None));
            }
            let stream = connector.dial.dial(address);
            (address, attempt(connector, stream, name, end).await.map_err(Some))
        }
    });
    while let Some((address, outcome)) = attempts_at.next().await {
        match outcome {
            Ok(secured) => return Some((Some(address), secured)),
            Err(why) => attempts.extend(why.map(|why| failed(Some(address), why))),
        }
    }
    None
}

/// Whether the time for all of it has run out.
pub(super) fn is_over(end: Option<Instant>) -> bool {
    end.is_some_and(|end| end <= Instant::now())
}

/// The addresses in an order for this contact: of each family another one first, or all contacts
/// would go to the same; the families taking turns.
fn rotated(endpoint: &Endpoint, seed: u64) -> Vec<SocketAddr> {
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

/// Opens a stream and agrees on TLS over it.
async fn attempt(
    connector: &Connector,
    stream: impl Future<Output = io::Result<Box<dyn DialStream>>>,
    name: TlsName<'static>,
    end: Option<Instant>,
) -> Result<Secured, Failed> {
    let limits = &connector.limits;
    let stream = within(limits.connect, end, ConnectPhase::Connect, stream).await?;
    let shaking_hands = TlsConnector::from(Arc::clone(&connector.tls)).connect(name, stream);
    within(limits.tls, end, ConnectPhase::Tls, shaking_hands).await
}

/// What comes of it, if that is in time.
async fn within<T>(
    limit: Duration,
    end: Option<Instant>,
    phase: ConnectPhase,
    future: impl Future<Output = io::Result<T>>,
) -> Result<T, Failed> {
    let at = [Instant::now().checked_add(limit), end].into_iter().flatten().min();
    let said = match at {
        Some(at) => timeout_at(at, future).await,
        None => Ok(future.await),
    };
    match said {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err((phase_of(&error, phase), in_words(&error))),
        Err(_) if at == end => {
            Err((phase, "not over before the time for all of it ran out".to_owned()))
        }
        Err(_) => Err((phase, format!("not over within {limit:?}"))),
    }
}

/// In which phase it really failed.
fn phase_of(error: &io::Error, phase: ConnectPhase) -> ConnectPhase {
    let refused = cause::<rustls::Error>(error);
    if matches!(refused, Some(rustls::Error::InvalidCertificate(_))) {
        return ConnectPhase::Certificate;
    }
    if phase == ConnectPhase::Connect && is_local(error) {
        return ConnectPhase::Local;
    }
    phase
}

/// Whether it is no fault of the other side's that it cannot be connected to.
fn is_local(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrInUse, AddrNotAvailable, NetworkDown, NetworkUnreachable, OutOfMemory,
        PermissionDenied, Unsupported,
    };

    // No file descriptor left, which has no kind: ENFILE, EMFILE; WSAEMFILE.
    let none_left = match error.raw_os_error() {
        Some(23 | 24) => cfg!(unix),
        Some(10024) => cfg!(windows),
        _ => false,
    };
    none_left
        || matches!(
            error.kind(),
            AddrInUse
                | AddrNotAvailable
                | NetworkDown
                | NetworkUnreachable
                | OutOfMemory
                | PermissionDenied
                | Unsupported
        )
}
