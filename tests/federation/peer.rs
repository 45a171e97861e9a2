//! A server that speaks HTTP/1.1 and HTTP/2 and remembers what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::header::{HOST, LOCATION};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    /// Of HTTP/2.
    pub(crate) authority: Option<String>,
    /// All of them.
    pub(crate) hosts: Vec<String>,
    pub(crate) path: String,
    pub(crate) user_agent: Option<String>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Requests being answered, and the most of them so far.
    under_way: Arc<(AtomicUsize, AtomicUsize)>,
    /// What requests for `/wait` wait for.
    pub(crate) gate: Arc<Semaphore>,
}

impl Peer {
    pub(crate) async fn new(config: ServerConfig) -> Self {
        Self::at("127.0.0.1:0", config).await
    }

    /// One that speaks HTTP/1.1 alone.
    pub(crate) async fn http1(mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self::new(config).await
    }

    pub(crate) async fn at(address: &str, config: ServerConfig) -> Self {
        Self::serving(address, config, 200).await
    }

    /// One that allows so many HTTP/2 streams at a time.
    pub(crate) async fn granting(config: ServerConfig, streams: u32) -> Self {
        Self::serving("127.0.0.1:0", config, streams).await
    }

    async fn serving(address: &str, config: ServerConfig, streams: u32) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let peer = Self::silent(listener.local_addr().unwrap());
        let serving = peer.clone();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(acceptor.clone(), stream, streams));
            }
        });
        peer
    }

    /// One that listens nowhere, and serves streams by hand.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        Self {
            address,
            accepted: Arc::default(),
            ended: Arc::default(),
            resumed: Arc::default(),
            asked: Arc::default(),
            under_way: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    pub(crate) async fn serve(
        self,
        acceptor: TlsAcceptor,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        streams: u32,
    ) {
        let Ok(stream) = acceptor.accept(stream).await else { return };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        let peer = self.clone();
        let service = service_fn(move |request| {
            let peer = peer.clone();
            async move { Ok::<_, Infallible>(peer.answer(request).await) }
        });
        if http2 {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(streams);
            let _ = builder.serve_connection(stream, service).await;
        } else {
            let builder = hyper::server::conn::http1::Builder::new();
            let _ = builder.serve_connection(stream, service).await;
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections over which TLS was agreed on.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Those of them that went on with an older session.
    pub(crate) fn resumed(&self) -> usize {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Those of them that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.accepted() - self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The most requests that were being answered at a time.
    pub(crate) fn most_at_a_time(&self) -> usize {
        self.under_way.1.load(Ordering::Relaxed)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (now, most) = &*self.under_way;
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let _leaving = Leaving(now);
        let (head, body) = request.into_parts();
        let body =
            body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let path = head.uri.path_and_query().unwrap().to_string();
        self.asked.lock().unwrap().push(Asked {
            version: head.version,
            authority: head.uri.authority().map(ToString::to_string),
            hosts: head.headers.get_all(HOST).iter().map(text).collect(),
            path: path.clone(),
            user_agent: head.headers.get(http::header::USER_AGENT).map(text),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
        match path.as_str() {
            "/redirect" => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(LOCATION, "https://evil.example/".parse().unwrap());
            }
            "/close" => {
                response.headers_mut().insert("connection", "close".parse().unwrap());
            }
            "/head" => {
                response.headers_mut().insert("x-long", "x".repeat(20_000).parse().unwrap());
            }
            "/empty" => *response.body_mut() = Full::default(),
            "/wait" => self.gate.acquire().await.unwrap().forget(),
            _ => {}
        }
        response
    }
}

/// Counts one less when it is dropped.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
