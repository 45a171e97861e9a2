//! HTTPS servers, well-behaved and not.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;

use super::certificates::{Authority, Certificate};
use super::{Log, VERSION_PATH};

/// How many connections one listener serves at a time; others wait.
const CONNECTION_LIMIT: usize = 64;
/// How long a connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// Where an endless body ends after all.
const ENDLESS_BYTES: usize = 64 * 1024 * 1024;
/// How many bytes more than it sends a cut-off response promises.
const MISSING_BYTES: usize = 100;

/// What a server read.
#[derive(Clone, Debug)]
pub struct ExchangeSeen {
    /// The virtual address that it came to.
    pub address: SocketAddr,
    /// The name in the TLS handshake, in lower case; none where it was for an IP address.
    pub sni: Option<String>,
    /// The protocols that the handshake offered.
    pub alpn: Vec<String>,
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Host` header, byte for byte; none if there was not exactly one.
    pub host: Option<Vec<u8>>,
    pub headers: HeaderMap,
}

impl ExchangeSeen {
    /// The `Host` header as text; empty where there was none.
    pub fn host_str(&self) -> String {
        String::from_utf8_lossy(self.host.as_deref().unwrap_or_default()).into_owned()
    }
}

/// How a server takes a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Serves,
    /// It accepts and never says a word.
    Silent,
    /// It accepts and hangs up.
    ClosesAtOnce,
}

/// One HTTPS server.
#[derive(Clone, Debug)]
pub struct Site {
    certificate: Certificate,
    manner: Manner,
    hosts: Vec<String>,
    pages: HashMap<String, Page>,
}

impl Site {
    /// A server with a good certificate for this name or IP address, and no pages.
    pub fn named(name: &str) -> Self {
        Self::with(Certificate::of(name))
    }

    /// A server with this certificate, and no pages.
    pub fn with(certificate: Certificate) -> Self {
        Self { certificate, manner: Manner::default(), hosts: Vec::new(), pages: HashMap::new() }
    }

    /// How it takes a connection; the default is as it should.
    #[must_use]
    pub fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// Lets it answer to these `Host` headers alone, port included where there is one; every other
    /// gets a 421 (RFC 9110 section 15.5.20). The default is to answer to all.
    #[must_use]
    pub fn only_for<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.hosts.extend(hosts.into_iter().map(str::to_owned));
        self
    }

    /// What is at this path; all else is a 404.
    #[must_use]
    pub fn page(mut self, path: &str, page: Page) -> Self {
        self.pages.insert(path.to_owned(), page);
        self
    }

    /// Gives it a homeserver's version, so that one can see whom one reached.
    #[must_use]
    pub fn federation(self, label: &str) -> Self {
        let body = format!(r#"{{"server":{{"name":"tour","version":"{label}"}}}}"#);
        self.page(VERSION_PATH, Page::json(body))
    }

    pub(super) fn tls_config(
        &self,
        authority: &Authority,
        stranger: &Authority,
    ) -> Arc<ServerConfig> {
        authority.server_config(stranger, &self.certificate)
    }

    fn respond(&self, seen: &ExchangeSeen) -> Page {
        let host = seen.host_str();
        if !self.hosts.is_empty()
            && !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(&host))
        {
            return Page::text(421, format!("nobody here is called {host:?}"));
        }
        self.pages.get(&seen.path).cloned().unwrap_or_else(|| Page::status(404))
    }
}

/// One response.
#[derive(Clone, Debug)]
pub struct Page {
    status: u16,
    headers: Vec<(String, String)>,
    body: PageBody,
    delay: Duration,
}

impl Page {
    /// 200 with a JSON body, which need not be valid.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(200, PageBody::Whole(body.into()))
            .header(CONTENT_TYPE.as_str(), "application/json")
    }

    /// A good well-known answer: 200 and `m.server`.
    pub fn delegation(to: &str) -> Self {
        Self::json(format!(r#"{{"m.server":"{to}"}}"#))
    }

    /// A text with this status.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, PageBody::Whole(body.into())).header(CONTENT_TYPE.as_str(), "text/plain")
    }

    /// An empty response with this status.
    pub fn status(status: u16) -> Self {
        Self::new(status, PageBody::Whole(Bytes::new()))
    }

    /// A redirect to this place, absolute or relative.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::status(status).header(LOCATION.as_str(), to)
    }

    /// 200 with a body that breaks off: the length promised is more than what comes.
    pub fn cut_off(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let promised = body.len() + MISSING_BYTES;
        Self::new(200, PageBody::CutOff { rest: body, state: CutOff::Send })
            .header(CONTENT_LENGTH.as_str(), &promised.to_string())
    }

    /// 200 with a body of spaces that does not end, but for the server's own bounds.
    pub fn endless() -> Self {
        Self::new(200, PageBody::Endless { left: ENDLESS_BYTES })
    }

    fn new(status: u16, body: PageBody) -> Self {
        Self { status, headers: Vec::new(), body, delay: Duration::ZERO }
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets it wait for this time before a word of it is sent.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn response(&self) -> Response<PageBody> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        response.body(self.body.clone()).expect("a page with a valid status and headers")
    }
}

/// A body, and how much of it has gone out.
#[derive(Clone, Debug)]
enum PageBody {
    Whole(Bytes),
    CutOff { rest: Bytes, state: CutOff },
    Endless { left: usize },
}

/// Hyper writes what it has when a body lets it wait, so the break comes after a pause.
#[derive(Clone, Copy, Debug)]
enum CutOff {
    Send,
    Pause,
    Break,
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        static SPACES: [u8; 8192] = [b' '; 8192];
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::CutOff { rest, state } => match state {
                CutOff::Send => {
                    *state = CutOff::Pause;
                    Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest)))))
                }
                CutOff::Pause => {
                    *state = CutOff::Break;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                CutOff::Break => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            },
            Self::Endless { left: 0 } => Poll::Ready(None),
            Self::Endless { left } => {
                *left = left.saturating_sub(SPACES.len());
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&SPACES)))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::CutOff { .. } | Self::Endless { .. } => SizeHint::default(),
        }
    }
}

/// Serves one listener until the task is aborted.
pub(super) async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
    tls: Arc<ServerConfig>,
    log: Log<ExchangeSeen>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTION_LIMIT {
            connections.join_next().await;
            continue;
        }
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: time will free some.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (site, tls, log) = (Arc::clone(&site), Arc::clone(&tls), log.clone());
        connections.spawn(async move {
            // A client that hangs up or dislikes the certificate is no failure of the server.
            let _ = tokio::time::timeout(
                CONNECTION_TIME,
                connection(stream, address, &site, tls, &log),
            )
            .await;
        });
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    site: &Site,
    tls: Arc<ServerConfig>,
    log: &Log<ExchangeSeen>,
) -> io::Result<()> {
    match site.manner {
        Manner::Serves => {}
        Manner::ClosesAtOnce => return Ok(()),
        Manner::Silent => return std::future::pending().await,
    }
    stream.set_nodelay(true)?;
    let handshake = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let hello = handshake.client_hello();
    let sni = hello.server_name().map(str::to_owned);
    let alpn: Vec<String> = hello.alpn().map_or_else(Vec::new, |protocols| {
        protocols.map(|protocol| String::from_utf8_lossy(protocol).into_owned()).collect()
    });
    let stream = handshake.into_stream(tls).await?;

    let service = service_fn(|request: Request<Incoming>| {
        let seen = seen(&request, address, sni.clone(), alpn.clone());
        let page = site.respond(&seen);
        log.push(seen);
        async move {
            tokio::time::sleep(page.delay).await;
            Ok::<_, Infallible>(page.response())
        }
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

fn seen(
    request: &Request<Incoming>,
    address: SocketAddr,
    sni: Option<String>,
    alpn: Vec<String>,
) -> ExchangeSeen {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.as_bytes().to_vec()),
        _ => None,
    };
    ExchangeSeen {
        address,
        sni,
        alpn,
        method: request.method().to_string(),
        path: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
        host,
        headers: request.headers().clone(),
    }
}
