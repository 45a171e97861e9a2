//! The homeserver behind the web server: it answers everything and notes what came.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) const VERSION: &str = r#"{"server":{"name":"behind a proxy","version":"1"}}"#;
/// What is noted at most.
const LIMIT: usize = 1000;

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query, byte for byte.
    pub(crate) path: String,
    pub(crate) host: Vec<String>,
    pub(crate) forwarded_for: Vec<String>,
    pub(crate) forwarded_proto: Vec<String>,
    pub(crate) body: usize,
}

/// It ends with this value.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    // Dropping the set aborts what is in it.
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let noted = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, Arc::clone(&noted)));
                    // Who breaks off is none of this test's business.
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, seen, _tasks: tasks }
    }

    /// What came since this was asked last.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn answer(
    request: Request<Incoming>,
    noted: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<String>, Infallible> {
    let values = |name: &str| {
        let values = request.headers().get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let mut seen = Seen {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        host: values("host"),
        forwarded_for: values("x-forwarded-for"),
        forwarded_proto: values("x-forwarded-proto"),
        body: 0,
    };
    let mut body = request.into_body();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        seen.body += frame.data_ref().map_or(0, Bytes::len);
    }
    let mut noted = noted.lock().unwrap();
    if noted.len() < LIMIT {
        noted.push(seen);
    }
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(VERSION.to_owned()).unwrap())
}
