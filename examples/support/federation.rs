//! A federation GET to the endpoints of a target, one after the other.
#![allow(dead_code, unreachable_pub, reason = "each example that includes this uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, USER_AGENT};
use http::{Request, Response};
use matrix_delegation::{
    Body, DelegationTarget, Endpoint, Fetch, FetchAttempt, FetchFailure, FetchFailureKind,
    FetchLimits, UserAgent, WellKnownFetch,
};

/// All endpoints together may take this long.
const TOTAL: Duration = Duration::from_secs(30);
/// More than this of a body is not read, in bytes.
const BODY: usize = 1024 * 1024;

/// The request for `path` at this endpoint: its addresses to connect to, the target's `Host` and
/// certificate name.
pub fn request(
    target: &DelegationTarget,
    endpoint: &Endpoint,
    path: &str,
) -> Result<Fetch, http::Error> {
    let request = Request::get(format!("https://{}{path}", target.authority()))
        .header(HOST, target.host_header())
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "identity")
        .header(USER_AGENT, UserAgent::default().as_header())
        .body(())?;
    let addresses: Vec<SocketAddr> = endpoint.addresses().collect();
    let mut limits = FetchLimits::default();
    limits.total = TOTAL;
    limits.body_bytes = BODY;
    Ok(Fetch::new(request, addresses, target.tls_name().to_owned()).with_limits(limits))
}

/// Asks each endpoint in the order that `seed` draws, each address in order, until one responds.
pub async fn get(
    fetch: &dyn WellKnownFetch,
    target: &DelegationTarget,
    seed: u64,
    path: &str,
) -> Result<Response<Body>, FetchFailure> {
    let mut attempts: Vec<FetchAttempt> = Vec::new();
    let mut last = FetchFailure::new(FetchFailureKind::NoAddress, "there is no endpoint");
    let all = async {
        for endpoint in target.attempts(seed) {
            let request = request(target, endpoint, path)
                .map_err(|error| FetchFailure::new(FetchFailureKind::Adapter, error.to_string()))?;
            match fetch.fetch(request).await {
                Ok(response) => return Ok(response),
                Err(failure) => {
                    attempts.extend(failure.attempts.iter().cloned());
                    last = failure;
                }
            }
        }
        Err(last)
    };
    match tokio::time::timeout(TOTAL, all).await {
        Ok(result) => result.map_err(|failure| failure.with_attempts(attempts)),
        Err(_) => Err(FetchFailure::new(
            FetchFailureKind::ExchangeTimeout,
            format!("no endpoint responded within {} s", TOTAL.as_secs()),
        )),
    }
}
