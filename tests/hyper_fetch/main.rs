//! `HyperFetch` against servers that answer well, badly, slowly, endlessly or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod addresses;
mod heads;
mod left_behind;
#[path = "../support/loopback.rs"]
mod loopback;
#[path = "../support/polled.rs"]
mod polled;
mod received;
mod sent;
#[allow(dead_code, reason = "others use the rest of it")]
mod server;
mod time;
mod trust;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, LOCATION};
use http::{Request, Response};
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::transport::{Dial, DialStream};
use matrix_delegation::well_known::{
    Body, Fetch, FetchAttempt, FetchFailure, FetchFailureKind as Kind, FetchLimits,
};
use matrix_delegation::{HyperFetch, TrustedRoots, WellKnownFetch};
use rustls_pki_types::ServerName as TlsName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use loopback::LoopbackDial;
use server::{Authority, NAME, answering, refusing, repeating, serve, serve_on, silent};

/// Far beyond whatever a test is about; it only keeps a hanging test from hanging for good.
const WATCHDOG: Duration = Duration::from_secs(60);

/// The limit a test runs into.
const SHORT: Duration = Duration::from_millis(300);

/// The limits it does not run into.
fn generous() -> FetchLimits {
    let mut limits = FetchLimits::default();
    limits.phases.connect = WATCHDOG;
    limits.phases.tls = WATCHDOG;
    limits.exchange = WATCHDOG;
    limits.total = WATCHDOG;
    limits
}

fn question(addresses: impl IntoIterator<Item = SocketAddr>) -> Fetch {
    let request = Request::get("https://m.example/.well-known/matrix/server").body(()).unwrap();
    let name = TlsName::try_from(NAME).unwrap();
    Fetch::new(request, addresses.into_iter().collect(), name).with_limits(generous())
}

async fn ask(fetch: &HyperFetch, question: Fetch) -> Result<Response<Body>, FetchFailure> {
    tokio::time::timeout(WATCHDOG, fetch.fetch(question)).await.expect("the watchdog bit")
}

/// Asks a server that gives this answer, with these limits.
async fn answer(
    bytes: impl Into<Vec<u8>>,
    limits: FetchLimits,
) -> Result<Response<Body>, FetchFailure> {
    let authority = Authority::new();
    let address = answering(authority.server(), bytes).await;
    ask(&authority.client(), question([address]).with_limits(limits)).await
}

async fn answered_body(bytes: impl Into<Vec<u8>>) -> Body {
    answer(bytes, generous()).await.unwrap().into_body()
}

async fn failure(bytes: impl Into<Vec<u8>>) -> Kind {
    let failure = answer(bytes, generous()).await.unwrap_err();
    println!("{failure}");
    failure.kind
}

fn kinds(failure: &FetchFailure) -> Vec<Kind> {
    failure.attempts.iter().map(|attempt| attempt.kind).collect()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y: z\r\n\r\n{}";

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn seen(request: http::request::Builder, name: TlsName<'static>) -> server::Seen {
    let authority = Authority::new();
    let (address, mut requests) = serve(authority.server(), |mut stream| async move {
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let question =
        Fetch::new(request.body(()).unwrap(), vec![address], name).with_limits(generous());
    ask(&authority.client(), question).await.unwrap();
    requests.recv().await.unwrap()
}

fn by_name() -> TlsName<'static> {
    TlsName::try_from(NAME).unwrap()
}

/// Dials as this function says.
struct DialBy<F>(F);

impl<F> std::fmt::Debug for DialBy<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DialBy")
    }
}

type Dialled = io::Result<Box<dyn DialStream>>;

impl<F: Fn(SocketAddr) -> BoxFuture<'static, Dialled> + Send + Sync> Dial for DialBy<F> {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, Dialled> {
        (self.0)(address)
    }
}
