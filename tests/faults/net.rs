//! Servers that misbehave as they are told, on a runtime of their own.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::select;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::Authority;

/// What servers run on.
pub(crate) static SERVERS: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// The authority that clients trust.
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// A server of this authority, for every name that rows use.
pub(crate) static GOOD: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    Arc::new(AUTHORITY.named_all(&["a.example", "b.example", "m.example", "127.0.0.1"]))
});

/// As [`GOOD`], without HTTP/2.
pub(crate) static HTTP_1: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let mut config = ServerConfig::clone(&GOOD);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
});

/// How often something drips.
const DRIP: Duration = Duration::from_millis(20);
/// A flood ends after so many bytes, in case nothing else ends it.
const FLOOD: usize = 64 << 20;

/// What a server says, and what it does then.
#[derive(Clone, Debug)]
pub(crate) struct Say {
    pub(crate) first: Vec<u8>,
    pub(crate) then: Then,
}

#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// Ends the connection properly.
    Close,
    /// Ends it without TLS's farewell.
    Cut,
    /// Resets it.
    Reset,
    /// Says nothing more.
    Hold,
    /// Says this again and again, slowly.
    Drip(Vec<u8>),
    /// Says this without end.
    Flood(Vec<u8>),
    /// Says this without end, and reads nothing.
    FloodUnread(Vec<u8>),
}

impl Say {
    pub(crate) fn new(first: impl Into<Vec<u8>>, then: Then) -> Self {
        Self { first: first.into(), then }
    }

    /// Says this and ends properly.
    pub(crate) fn all(first: impl Into<Vec<u8>>) -> Self {
        Self::new(first, Then::Close)
    }
}

/// A server, for as long as it is held.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// One that hands each connection, and how many came before it, to this function.
    pub(crate) fn new<F>(serve: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self::on(listener, serve)
    }

    pub(crate) fn on<F>(
        listener: std::net::TcpListener,
        serve: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let accept = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new();
            let mut nth = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(stream, nth));
                nth += 1;
                while connections.try_join_next().is_some() {}
            }
        };
        Self::running(address, [Box::pin(accept) as _])
    }

    /// An address at which nobody listens, nor may.
    pub(crate) fn refusing() -> Self {
        let (socket, address) = crate::server::refusing();
        Self::holding(address, socket)
    }

    /// One that does nothing but keep this open.
    pub(crate) fn holding(address: SocketAddr, kept: impl Send + 'static) -> Self {
        let holding = async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        };
        Self::running(address, [Box::pin(holding) as _])
    }

    /// One that is these tasks.
    pub(crate) fn running(
        address: SocketAddr,
        futures: impl IntoIterator<Item = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        for future in futures {
            tasks.spawn_on(future, SERVERS.handle());
        }
        Self { address, _tasks: tasks }
    }

    /// One without TLS: once something has come, it says this.
    pub(crate) fn plain(answer: impl Fn(&[u8]) -> Say + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::new(move |mut stream, _| {
            let answer = Arc::clone(&answer);
            async move {
                let mut first = vec![0; 4096];
                let Ok(length) = stream.read(&mut first).await else { return };
                say(stream, answer(&first[..length])).await;
            }
        })
    }

    /// One that says something before anything has come.
    pub(crate) fn hasty(words: Say) -> Self {
        Self::new(move |stream, _| say(stream, words.clone()))
    }

    /// One with TLS: it answers the first request on each connection.
    pub(crate) fn https(
        config: Arc<ServerConfig>,
        answer: impl Fn(&Asked) -> Say + Send + Sync + 'static,
    ) -> Self {
        let (answer, requests) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        Self::new(move |stream, _| {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
            async move {
                let mut stream = match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => stream,
                    // A reset would overtake the alert.
                    Err((_, stream)) => return say(stream, Say::new([], Then::Hold)).await,
                };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let asked =
                    if is_http2 { asked_2(&mut stream).await } else { asked_1(&mut stream).await };
                let Some(mut asked) = asked else { return };
                asked.nth = requests.fetch_add(1, Ordering::Relaxed);
                let words = answer(&asked);
                say(stream, words).await;
            }
        })
    }
}

/// A request that a server has read.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// How many came before it.
    pub(crate) nth: usize,
    /// Over HTTP/1.1, its target.
    pub(crate) path: String,
    /// Over HTTP/2, its stream.
    pub(crate) stream: u32,
}

async fn asked_1(stream: &mut TlsStream<TcpStream>) -> Option<Asked> {
    let head = crate::server::read_head(stream).await?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Asked { path, ..Asked::default() })
}

async fn asked_2(stream: &mut TlsStream<TcpStream>) -> Option<Asked> {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    stream.read_exact(&mut [0; PREFACE]).await.ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.ok()?;
        if head[3] == HEADERS {
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            return Some(Asked { stream, ..Asked::default() });
        }
    }
}

/// A stream and the connection below it.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Says what is to be said, until the other side has gone.
pub(crate) async fn say(stream: impl Wire, words: Say) {
    if matches!(words.then, Then::Reset) {
        let _ = stream.tcp().set_zero_linger();
    }
    let (mut reading, mut writing) = tokio::io::split(stream);
    let reads = !matches!(words.then, Then::FloodUnread(_));
    let mut drained = pin!(async {
        let mut buffer = [0; 4096];
        while reading.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    let goes_on = select! {
        () = &mut drained, if reads => false,
        said = speak(&mut writing, &words) => said.unwrap_or(false),
    };
    if goes_on {
        drained.await;
    }
}

/// Returns whether the connection is then left to the other side.
async fn speak(writing: &mut (impl AsyncWrite + Unpin), words: &Say) -> io::Result<bool> {
    writing.write_all(&words.first).await?;
    writing.flush().await?;
    match &words.then {
        Then::Close => writing.shutdown().await?,
        Then::Cut | Then::Reset => return Ok(false),
        Then::Hold => {}
        Then::Drip(piece) => loop {
            tokio::time::sleep(DRIP).await;
            writing.write_all(piece).await?;
            writing.flush().await?;
        },
        Then::Flood(piece) | Then::FloodUnread(piece) => {
            let pieces = piece.repeat(16_384_usize.div_ceil(piece.len()));
            for _ in 0..FLOOD / pieces.len() {
                writing.write_all(&pieces).await?;
            }
        }
    }
    Ok(true)
}
