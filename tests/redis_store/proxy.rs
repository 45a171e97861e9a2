//! A way to the server that can be held up, cut and muted.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes bytes on to a server.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<State>);

struct State {
    address: SocketAddr,
    /// Whether what comes from clients is let through.
    open: watch::Sender<bool>,
    accepted: AtomicUsize,
    /// Of connections with a lower number nothing more is passed on.
    muted: AtomicUsize,
    /// What clients sent to the server.
    passed: Mutex<Vec<u8>>,
    connections: Mutex<JoinSet<()>>,
}

impl Proxy {
    /// To the server at this port; the proxy ends with the runtime.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Self(Arc::new(State {
            address: listener.local_addr().unwrap(),
            open: watch::Sender::new(true),
            accepted: AtomicUsize::new(0),
            muted: AtomicUsize::new(0),
            passed: Mutex::default(),
            connections: Mutex::default(),
        }));
        let state = Arc::clone(&proxy.0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = state.accepted.fetch_add(1, Ordering::SeqCst);
                let connection = pass(Arc::clone(&state), number, client, to);
                state.connections.lock().unwrap().spawn(async move {
                    // Either side may have gone.
                    let _ = connection.await;
                });
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.0.address)
    }

    /// Lets through what comes from clients, or holds it back.
    pub(crate) fn open(&self, open: bool) {
        self.0.open.send_replace(open);
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        self.0.connections.lock().unwrap().abort_all();
    }

    /// Falls silent on all connections there are, without closing them.
    pub(crate) fn mute(&self) {
        self.0.muted.store(self.accepted(), Ordering::SeqCst);
    }

    pub(crate) fn accepted(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// Whether a client's command with this in it reached the server.
    pub(crate) fn has_passed(&self, text: &str) -> bool {
        let passed = self.0.passed.lock().unwrap();
        passed.windows(text.len()).any(|it| it == text.as_bytes())
    }
}

async fn pass(state: Arc<State>, number: usize, client: TcpStream, to: u16) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Ends with the first of the two; both streams are closed then.
    tokio::select! {
        ended = pass_commands(&state, number, from_client, to_server) => ended,
        ended = pass_answers(from_server, to_client) => ended,
    }
}

async fn pass_commands(
    state: &State,
    number: usize,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    let mut open = state.open.subscribe();
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if number < state.muted.load(Ordering::SeqCst) {
            continue;
        }
        open.wait_for(|open| *open).await.map_err(io::Error::other)?;
        to.write_all(&buffer[..read]).await?;
        state.passed.lock().unwrap().extend_from_slice(&buffer[..read]);
    }
}

async fn pass_answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await.map(|_| ())
}
