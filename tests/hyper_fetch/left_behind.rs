//! What stays behind: nothing.

use tokio::runtime::Handle;

use super::polled::{polled, until_over};
use super::*;

#[tokio::test]
async fn a_fetch_that_is_dropped_at_any_await_leaves_nothing() {
    let authority = Authority::new();
    let chunked = [CHUNKED, b"2\r\n{}\r\n0\r\n\r\n"].concat();
    for bytes in [OK.to_vec(), chunked] {
        let address = answering(authority.server(), bytes).await;
        let client = authority.client();
        let alive = || Handle::current().metrics().num_alive_tasks();
        // Only those of the server that accept.
        let before = alive();
        let settled = async || {
            let wait = async {
                while alive() > before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(WATCHDOG, wait).await.expect("a task lives on");
        };
        let awaits = until_over(async |polls| {
            let over = polled(client.fetch(question([address])), polls).await.is_some();
            // Those of the server end with the connection.
            settled().await;
            ask(&client, question([address])).await.unwrap();
            settled().await;
            over
        })
        .await;
        assert!(awaits > 2, "{awaits}");
    }
}

#[tokio::test]
async fn a_dropped_fetch_closes_the_connection() {
    let authority = Authority::new();
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let (ended, mut has_ended) = mpsc::unbounded_channel();
    let (address, _) = serve(authority.server(), move |mut stream| {
        let (asked, ended) = (asked.clone(), ended.clone());
        async move {
            asked.send(()).unwrap();
            // A farewell, an end without one, or a reset: all the same here.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            ended.send(()).unwrap();
        }
    })
    .await;
    let client = authority.client();
    tokio::select! {
        outcome = client.fetch(question([address])) => panic!("{outcome:?}"),
        _ = was_asked.recv() => {}
    }
    tokio::time::timeout(WATCHDOG, has_ended.recv()).await.unwrap().unwrap();
}

/// Says when it is dropped.
struct Telltale<S>(S, Option<oneshot::Sender<()>>);

impl<S> Drop for Telltale<S> {
    fn drop(&mut self) {
        let _ = self.1.take().unwrap().send(());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Telltale<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Telltale<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn the_stream_is_gone_when_the_fetch_is_over() {
    let authority = Authority::new();
    for bytes in [OK, b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"] {
        let (tell, mut told) = oneshot::channel();
        let tell = std::sync::Mutex::new(Some(tell));
        let dial = DialBy(move |address: SocketAddr| {
            let tell = tell.lock().unwrap().take();
            Box::pin(async move {
                let stream = LoopbackDial.dial(address).await?;
                Ok(Box::new(Telltale(stream, tell)) as Box<dyn DialStream>)
            }) as BoxFuture<'static, Dialled>
        });
        let address = answering(authority.server(), bytes).await;
        let _ = ask(&authority.client().with_dial(Arc::new(dial)), question([address])).await;
        told.try_recv().expect("the stream outlived the fetch");
    }
}
