//! A federation GET over a connection to the first endpoint that can be connected to.

use std::error::Error;
use std::time::Duration;

use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use matrix_delegation::config::UserAgent;
use matrix_delegation::{Connector, Resolution};
use tokio::task::JoinHandle;

use crate::present;

/// All of it may take this long.
const TOTAL: Duration = Duration::from_secs(30);
/// More than this of a body is not read, in bytes.
const BODY: usize = 1024 * 1024;

/// Status and body, or why there is none; the endpoints in the order that `seed` draws.
pub(crate) async fn get(
    connector: &Connector,
    found: &Resolution,
    seed: u64,
    path: &str,
) -> Result<(u16, Bytes), String> {
    let answered = Box::pin(async {
        let response = ask(connector, found, seed, path).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY).collect().await;
        match body {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(format!("status {status}, but the body is too large to be read"))
            }
            Err(error) => Err(format!("status {status}, but the body was cut off: {error}")),
        }
    });
    let late = |_| Err(format!("no response within {} s", TOTAL.as_secs()));
    tokio::time::timeout(TOTAL, answered).await.unwrap_or_else(late)
}

async fn ask(
    connector: &Connector,
    found: &Resolution,
    seed: u64,
    path: &str,
) -> Result<Response<Incoming>, String> {
    let connection = connector.connect_with_seed(found, seed).await;
    let connection = connection.map_err(|error| error.to_string())?;
    let request = Request::get(format!("https://{}{path}", found.authority()))
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, UserAgent::default().as_header());
    let mut request =
        request.body(Empty::<Bytes>::new()).map_err(|error| format!("no such request: {error}"))?;
    let failed = |error: &dyn Error| {
        format!("no response from {}: {}", found.server_name(), present::with_causes(error))
    };
    if connection.is_http2() {
        *request.version_mut() = Version::HTTP_2;
        let stream = TokioIo::new(connection);
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(connection);
        let sent = sender.send_request(request).await;
        return said(sent, connection).await.map_err(|error| failed(&error));
    }
    request.headers_mut().insert(HOST, found.host_header());
    *request.uri_mut() = path.parse().map_err(|error| format!("no such path: {error}"))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(connection)).await.map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let sent = sender.send_request(request).await;
    said(sent, connection).await.map_err(|error| failed(&error))
}

/// Returns the response, or why there is none: of a connection that ended, its own error says more than
/// that the request was canceled.
async fn said(
    sent: hyper::Result<Response<Incoming>>,
    connection: JoinHandle<hyper::Result<()>>,
) -> hyper::Result<Response<Incoming>> {
    match sent {
        Err(error) if error.is_canceled() || error.is_closed() => {
            Err(connection.await.ok().and_then(Result::err).unwrap_or(error))
        }
        sent => sent,
    }
}
