//! The clients of the crate, each asking one server, and what they saw in few words.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use matrix_delegation::client::{ClientConfig, RequestError};
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::transport::{Dial, DialStream, TcpDial};
use matrix_delegation::well_known::{Body, Fetch, FetchLimits};
use matrix_delegation::{
    Config, Connector, FederationClient, HyperFetch, Resolver, TokioRuntime, TrustedRoots,
    WellKnownFetch,
};
use rustls_pki_types::ServerName as TlsName;
use tokio::time::timeout;

use crate::net::{AUTHORITY, Peer};
use crate::row::{Client, Limit, Outcome, Seen};
use crate::server::NAME;
use crate::{LONG, SHORT};

/// Beyond so many bytes a body counts as endless.
const ENDLESS: usize = 4 << 20;

fn if_is(limit: Limit, this: Limit) -> Duration {
    match limit {
        // It begins before the connection does.
        Limit::WellKnown if limit == this => SHORT * 10,
        _ if limit == this => SHORT,
        _ => LONG,
    }
}

/// `HyperFetch`.
pub(crate) fn fetch(
    peer: impl FnOnce() -> Peer + Send + 'static,
) -> impl FnOnce(Limit) -> Client + Send + 'static {
    move |limit| {
        let peer = peer();
        let mut limits = FetchLimits::default();
        limits.phases.connect = if_is(limit, Limit::Connect);
        limits.phases.tls = if_is(limit, Limit::Tls);
        limits.exchange = if_is(limit, Limit::Exchange);
        limits.total = if_is(limit, Limit::Total);
        let request = Request::get(format!("https://{NAME}/.well-known/matrix/server"));
        let name = TlsName::try_from(NAME).unwrap();
        let fetch = Fetch::new(request.body(()).unwrap(), vec![peer.address], name);
        let (client, fetch) = (AUTHORITY.client(), fetch.with_limits(limits));
        Box::pin(async move {
            let result = client.fetch(fetch).await;
            drop(peer);
            match result {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let outcome = match body {
                        Body::Complete(body) => Outcome::Response(head.status.as_u16(), body.len()),
                        Body::TooLarge => Outcome::TooLarge,
                    };
                    Seen { outcome, words: String::new() }
                }
                Err(failure) => {
                    Seen { outcome: Outcome::Failed(failure.kind), words: failure.to_string() }
                }
            }
        })
    }
}

/// Dials this address whatever is asked for.
#[derive(Debug)]
struct DialOne(SocketAddr);

impl Dial for DialOne {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        TcpDial.dial(self.0)
    }
}

fn lenient() -> Config {
    let mut config = Config::default();
    config.address_policy = config.address_policy.allow("127.0.0.0/8".parse().unwrap());
    config
}

/// The whole discovery of `a.example`, whose well-known this server has, as it has those of every other
/// host.
pub(crate) fn discover(
    peer: impl FnOnce() -> Peer + Send + 'static,
) -> impl FnOnce(Limit) -> Client + Send + 'static {
    move |limit| {
        let peer = peer();
        let mut config = lenient();
        (config.time.phases.connect, config.time.phases.tls) = (LONG, LONG);
        (config.time.exchange, config.time.discovery) = (LONG, LONG);
        config.time.well_known = if_is(limit, Limit::WellKnown);
        let internet = ["a.example", "b.example", "m.example"]
            .into_iter()
            .fold(Internet::new(), |it, host| it.host(host, &["127.0.0.1"]))
            .host("blocked.example", &["10.0.0.1"]);
        let runtime = Arc::new(TokioRuntime::current());
        let dns = Network::on_runtime(internet, Arc::clone(&runtime) as _);
        let roots = TrustedRoots::only_added().with_certificate(AUTHORITY.root());
        let fetch =
            HyperFetch::with_roots(roots).unwrap().with_dial(Arc::new(DialOne(peer.address)));
        let resolver = Resolver::new(Arc::new(dns), Arc::new(fetch), runtime, config).unwrap();
        Box::pin(async move {
            let found = resolver.explain(&"a.example".parse().unwrap()).await;
            drop(peer);
            let report = found.report.unwrap();
            let outcome = match (found.result, &report.well_known) {
                (Ok(found), Some(asked)) => match asked.result.as_ref().unwrap() {
                    Ok(_) => Outcome::Delegated(found.step()),
                    Err(failure) => Outcome::NotDelegated(failure.class()),
                },
                _ => Outcome::Unresolved,
            };
            Seen { outcome, words: report.to_string() }
        })
    }
}

/// How a federation client reads the response.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    /// To its end.
    Whole,
    /// Not at all.
    Nothing,
}

/// The federation client, asking `a.example`, which this server is.
pub(crate) fn federate(
    reading: Reading,
    peer: impl FnOnce() -> Peer + Send + 'static,
) -> impl FnOnce(Limit) -> Client + Send + 'static {
    move |limit| {
        let peer = peer();
        let client = federation_client(limit, peer.address);
        Box::pin(async move {
            let patience = if_is(limit, Limit::Patience);
            let seen = timeout(patience, ask(&client, reading)).await;
            drop(peer);
            seen.unwrap_or(Seen { outcome: Outcome::GivenUp, words: String::new() })
        })
    }
}

/// So many requests at a time; the last of them tells what they saw.
pub(crate) fn federate_many(
    count: usize,
    peer: impl FnOnce() -> Peer + Send + 'static,
) -> impl FnOnce(Limit) -> Client + Send + 'static {
    move |limit| {
        let peer = peer();
        let client = federation_client(limit, peer.address);
        Box::pin(async move {
            let all = (0..count).map(|_| ask(&client, Reading::Whole));
            let seen = futures_util::future::join_all(all).await.pop().unwrap();
            drop(peer);
            seen
        })
    }
}

fn federation_client(limit: Limit, peer: SocketAddr) -> FederationClient {
    let mut config = ClientConfig::default();
    config.connect.phases.connect = if_is(limit, Limit::Connect);
    config.connect.phases.tls = if_is(limit, Limit::Tls);
    config.connect.total = if_is(limit, Limit::Total);
    config.keep_alive = if limit == Limit::KeepAlive { SHORT } else { Duration::ZERO };
    config.keep_alive_timeout = if_is(limit, Limit::KeepAlive);
    let internet = Internet::new()
        .host("a.example", &["127.0.0.1"])
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.m.example", &[(1, 1, peer.port(), "t.example.")])
        .host("t.example", &["127.0.0.1"]);
    let resolver =
        Network::on_runtime(internet, Arc::new(TokioRuntime::current())).resolver(lenient());
    let roots = TrustedRoots::only_added().with_certificate(AUTHORITY.root());
    let connector = Connector::with_roots(roots).unwrap().with_limits(config.connect).unwrap();
    FederationClient::with_config(resolver, connector, config).unwrap()
}

async fn ask(client: &FederationClient, reading: Reading) -> Seen {
    let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    match client.request(&"a.example".parse().unwrap(), request).await {
        Ok(response) => {
            let status = response.status().as_u16();
            let (outcome, words) = read(status, response.into_body(), reading).await;
            Seen { outcome, words }
        }
        Err(error) => {
            let words = chain(&error);
            let outcome = match error {
                RequestError::Connect(error) => {
                    let last = error.attempts.last().unwrap();
                    Outcome::NoConnection(last.phase, last.kind)
                }
                RequestError::Exchange { .. } => Outcome::NoResponse,
                _ => Outcome::Unresolved,
            };
            Seen { outcome, words }
        }
    }
}

async fn read(
    status: u16,
    mut body: matrix_delegation::client::FederationBody,
    reading: Reading,
) -> (Outcome, String) {
    if reading == Reading::Nothing {
        std::future::pending::<()>().await;
    }
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => return (Outcome::Broken(status), chain(&error)),
        }
        if length > ENDLESS {
            return (Outcome::Endless(status), String::new());
        }
    }
    (Outcome::Answer(status, length), String::new())
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
