//! Servers and callers that mean ill, or do not care.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::stream;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use matrix_delegation::client::{ConnectPhase, FederationBody, RequestError};
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::transport::{Dial, DialStream};
use matrix_delegation::{Config, Connector, FederationClient, TokioRuntime};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::client::{Answer, ask, get, read, until};
use super::faults::drain;
use super::loopback::LoopbackDial;
use super::peer::Peer;
use super::server::{Authority, Stream, serve};
use super::turns::Gated;
use super::{config, connector, delegated, found, generous, limited, resolver, watched};

/// An answer over HTTP/1.1, and what it says.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

pub(crate) fn http1(authority: &Authority) -> ServerConfig {
    let mut config = authority.server();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

pub(crate) fn client(authority: &Authority, peer: SocketAddr) -> FederationClient {
    limited(authority, peer, &config())
}

pub(crate) async fn put<B>(client: &FederationClient, body: B) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let request = Request::put("/").body(body).unwrap();
    watched(client.request(&"a.example".parse().unwrap(), request)).await
}

/// A body that begins and never ends.
fn endless() -> impl Body<Data = Bytes, Error = io::Error> + Send + 'static {
    let pending = stream::once(async {
        pending::<()>().await;
        Ok(Frame::data(Bytes::new()))
    });
    StreamBody::new(pending)
}

/// What comes of it at once.
async fn once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

/// The type of an HTTP/2 frame.
pub(crate) const HEADERS: u8 = 1;

/// The next frame of HTTP/2: its type and stream.
pub(crate) async fn frame(stream: &mut Stream) -> Option<(u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    stream.read_exact(&mut vec![0; length as usize]).await.ok()?;
    Some((head[3], id))
}

/// Past what follows the first line of the preface.
pub(crate) async fn begun(stream: &mut Stream) {
    let _ = stream.read_exact(&mut [0; 6]).await;
}

/// Says these settings.
pub(crate) async fn settings(stream: &mut Stream, settings: &[(u16, u32)]) {
    let mut frame = vec![0, 0, u8::try_from(settings.len() * 6).unwrap(), 4, 0, 0, 0, 0, 0];
    for (name, value) in settings {
        frame.extend_from_slice(&name.to_be_bytes());
        frame.extend_from_slice(&value.to_be_bytes());
    }
    say(stream, &frame).await;
}

pub(crate) async fn say(stream: &mut Stream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
}

/// Status 200 without a body, for this stream.
pub(crate) fn fine(id: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 1, HEADERS, 5];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.push(0x88);
    frame
}

/// A server that speaks with each connection so, and says when one has ended.
pub(crate) async fn scripted<F, A>(
    config: ServerConfig,
    script: F,
) -> (SocketAddr, mpsc::UnboundedReceiver<()>, Arc<AtomicUsize>)
where
    F: Fn(Stream) -> A + Send + Sync + 'static,
    A: Future<Output = Stream> + Send + 'static,
{
    let (ended, ends) = mpsc::unbounded_channel();
    let accepted: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&accepted);
    let (address, _) = serve(config, move |stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        let (ended, spoken) = (ended.clone(), script(stream));
        async move {
            drain(&mut spoken.await).await;
            let _ = ended.send(());
        }
    })
    .await;
    (address, ends, accepted)
}

#[tokio::test]
async fn a_response_that_is_given_up_holds_no_connection() {
    let authority = Authority::new();
    // It says that there is more, and falls silent.
    let (address, mut ends, _) = scripted(http1(&authority), |mut stream| async {
        say(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
        stream
    })
    .await;
    let client = client(&authority, address);
    for _ in 0..3 {
        drop(ask(&client, "a.example", get("/")).await.unwrap());
        watched(ends.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_response_before_the_request_was_read_holds_no_connection() {
    let authority = Authority::new();
    let (address, mut ends, _) = scripted(http1(&authority), |mut stream| async {
        say(&mut stream, ANSWER).await;
        stream
    })
    .await;
    let client = client(&authority, address);
    for _ in 0..3 {
        assert_eq!(read(put(&client, endless()).await).await.0, StatusCode::OK);
        watched(ends.recv()).await.unwrap();
    }
}

/// Lets no byte of a body through, and answers each request at once.
async fn unread(mut stream: Stream) -> Stream {
    begun(&mut stream).await;
    settings(&mut stream, &[(4, 0)]).await;
    while let Some((kind, id)) = frame(&mut stream).await {
        if kind == HEADERS {
            say(&mut stream, &fine(id)).await;
        }
    }
    stream
}

#[tokio::test]
async fn an_http_2_connection_is_closed_whatever_is_still_to_be_sent_over_it() {
    let authority = Authority::new();
    let (address, mut ends, _) = scripted(authority.server(), unread).await;
    let mut limits = config();
    // Nor do pings end it.
    (limits.idle, limits.keep_alive) = (Duration::ZERO, Duration::ZERO);
    let client = limited(&authority, address, &limits);
    for _ in 0..3 {
        assert_eq!(read(put(&client, endless()).await).await.0, StatusCode::OK);
        watched(ends.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn requests_left_over_on_a_connection_are_bounded() {
    let authority = Authority::new();
    let (address, mut ends, accepted) = scripted(authority.server(), unread).await;
    let mut limits = config();
    limits.concurrent = 2;
    let client = limited(&authority, address, &limits);
    for _ in 0..9 {
        assert_eq!(read(put(&client, endless()).await).await.0, StatusCode::OK);
    }
    // Four each, and the two that are full are closed.
    assert_eq!((accepted.load(Ordering::Relaxed), client.connections()), (3, 1));
    for _ in 0..2 {
        watched(ends.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn requests_for_which_no_stream_is_granted_do_not_pile_up() {
    let authority = Authority::new();
    let (address, _ends, accepted) = scripted(authority.server(), |mut stream| async {
        begun(&mut stream).await;
        settings(&mut stream, &[(3, 0)]).await;
        stream
    })
    .await;
    let mut limits = config();
    limits.concurrent = 2;
    let client = limited(&authority, address, &limits);
    until(|| {
        // Those who ask go away unheard.
        let one = client.clone();
        let one = tokio::spawn(async move { ask(&one, "a.example", get("/")).await });
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            one.abort();
        });
        accepted.load(Ordering::Relaxed) >= 3
    })
    .await;
}

#[test]
fn a_connection_that_nobody_claims_is_dropped_where_no_task_can_begin() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let authority = Authority::new();
    let dial = Arc::new(Gated::default());
    let connector = connector(&authority).with_dial(Arc::clone(&dial) as Arc<dyn Dial>);
    let (client, waiting) = runtime.block_on(async {
        let peer = Peer::http1(authority.server()).await;
        let client = FederationClient::new(resolver(delegated(&[peer.address])), connector);
        let asking = client.clone();
        let mut waiting = Box::pin(async move { ask(&asking, "a.example", get("/")).await });
        // It waits for a connection, and never hears that there is one.
        while dial.asked.load(Ordering::Relaxed) == 0 {
            let polled = once(waiting.as_mut()).await;
            assert!(polled.is_none());
            tokio::task::yield_now().await;
        }
        dial.gate.notify_one();
        until(|| peer.accepted() == 1).await;
        // The flight has landed soon after, which cannot be seen from here.
        tokio::time::sleep(Duration::from_millis(100)).await;
        (client, waiting)
    });
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = ended.handle().clone();
    drop(ended);
    let (done, over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _entered = handle.enter();
        drop(waiting);
        done.send(()).unwrap();
    });
    over.recv_timeout(super::WATCHDOG).expect("it hangs");
    runtime.block_on(until(|| client.connections() == 1));
}

#[tokio::test]
async fn attempts_that_lose_are_closed() {
    let authority = Authority::new();
    let right = Peer::at("[::1]:0", authority.server()).await;
    let port = right.address.port();
    let mute = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let resolver = resolver(Internet::new().host("m.example", &["127.0.0.1", "::1"]));
    let target = found(&resolver, &format!("m.example:{port}")).await;
    let mut limits = generous();
    limits.phases.attempt_delay = Duration::from_millis(20);
    let connector = connector(&authority).with_limits(limits).unwrap();
    for seed in 0..4 {
        let connecting = connector.connect_with_seed(&target, seed);
        // IPv4 is begun first.
        let (connection, lost) = tokio::join!(watched(connecting), watched(mute.accept()));
        assert_eq!(connection.unwrap().address(), Some(right.address));
        watched(lost.unwrap().0.read_to_end(&mut Vec::new())).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_is_resumed_is_none_for_another_name() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let peer = Peer::new(authority.server_of(&[version])).await;
        let hosts = ["m.example", "other.example"];
        let internet = hosts.iter().fold(Internet::new(), |it, host| it.host(host, &["127.0.0.1"]));
        let resolver = resolver(internet);
        let mut limits = config();
        limits.connections = 0;
        let client =
            FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
        let [right, other] = hosts.map(|host| format!("{host}:{}", peer.address.port()));
        // The second resumes the session of the first; the certificate is not for the third.
        for _ in 0..2 {
            read(ask(&client, &right, get("/")).await).await;
        }
        let error = ask(&client, &other, get("/")).await.unwrap_err();
        let RequestError::Connect(error) = &error else { panic!("{error:?}") };
        assert_eq!(error.attempts[0].phase, ConnectPhase::Certificate, "{error}");
        read(ask(&client, &right, get("/")).await).await;
        assert_eq!((peer.asked().len(), peer.resumed()), (3, 2));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_at_any_byte_is_none() {
    let authority = Authority::new();
    let at = Arc::new(AtomicUsize::new(0));
    let next = Arc::clone(&at);
    let (address, _ends, accepted) = scripted(http1(&authority), move |mut stream| {
        let until = next.fetch_add(1, Ordering::Relaxed);
        async move {
            say(&mut stream, &ANSWER[..until]).await;
            let _ = stream.shutdown().await;
            stream
        }
    })
    .await;
    let client = client(&authority, address);
    for until in 0..=ANSWER.len() {
        let whole = match ask(&client, "a.example", get("/")).await {
            Ok(answer) => watched(answer.into_body().collect()).await.is_ok(),
            Err(RequestError::Exchange { .. }) => false,
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(whole, until == ANSWER.len(), "{until}");
        // None was sent twice.
        assert_eq!(accepted.load(Ordering::Relaxed), until + 1);
    }
}

#[tokio::test]
async fn what_follows_an_answer_is_nobody_s() {
    let authority = Authority::new();
    let evil = b"HTTP/1.1 203 Evil\r\ncontent-length: 0\r\n\r\n";
    let switching =
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    for first in [ANSWER, switching.as_slice()] {
        let whole = [first, evil].concat();
        let (address, mut ends, accepted) = scripted(http1(&authority), move |mut stream| {
            let whole = whole.clone();
            async move {
                say(&mut stream, &whole).await;
                stream
            }
        })
        .await;
        let client = client(&authority, address);
        for round in 1..=3 {
            let status = read(ask(&client, "a.example", get("/")).await).await.0;
            assert_ne!(status.as_u16(), 203);
            assert_eq!(accepted.load(Ordering::Relaxed), round);
            watched(ends.recv()).await.unwrap();
            until(|| client.connections() == 0).await;
        }
    }
}

/// A server that answers each stream with these bytes.
pub(crate) async fn answering_streams(
    authority: &Authority,
    answer: impl Fn(u32) -> Vec<u8> + Clone + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let (address, _, accepted) = scripted(authority.server(), move |mut stream| {
        let answer = answer.clone();
        async move {
            begun(&mut stream).await;
            settings(&mut stream, &[]).await;
            while let Some((kind, id)) = frame(&mut stream).await {
                if kind == HEADERS {
                    say(&mut stream, &answer(id)).await;
                }
            }
            stream
        }
    })
    .await;
    (address, accepted)
}

/// Resets a stream for this reason.
pub(crate) fn reset(id: u32, reason: u8) -> Vec<u8> {
    let mut frame = vec![0, 0, 4, 3, 0];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, reason]);
    frame
}

/// Goes away without an error: nothing after this stream.
pub(crate) fn go_away(last: u32) -> Vec<u8> {
    go_away_for(last, 0)
}

/// Goes away for this reason.
pub(crate) fn go_away_for(last: u32, reason: u8) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, reason]);
    frame
}

#[tokio::test]
async fn a_stream_that_is_reset_is_not_sent_again_and_leaves_the_connection() {
    let authority = Authority::new();
    let (address, accepted) = answering_streams(&authority, |id| match id {
        // INTERNAL_ERROR, CANCEL, and one that is fine.
        1 => reset(id, 2),
        3 => reset(id, 8),
        _ => fine(id),
    })
    .await;
    let client = client(&authority, address);
    for _ in 0..2 {
        let error = ask(&client, "a.example", get("/")).await.unwrap_err();
        assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
    }
    read(ask(&client, "a.example", get("/")).await).await;
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    assert_eq!(client.resolver().counters().reports, 0);
}

#[tokio::test]
async fn a_server_that_goes_away_gets_the_next_request_over_another_connection() {
    let authority = Authority::new();
    let (address, accepted) =
        answering_streams(&authority, |id| [go_away(id), fine(id)].concat()).await;
    let to = client(&authority, address);
    for round in 1..=4 {
        assert_eq!(read(ask(&to, "a.example", get("/")).await).await.0, StatusCode::OK);
        assert_eq!(accepted.load(Ordering::Relaxed), round);
    }
}

/// A body that says it is so long, and is not.
struct Lying {
    says: u64,
    is: Option<Bytes>,
}

impl Body for Lying {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.is.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.says)
    }
}

/// A body that panics.
struct Panics;

impl Body for Panics {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // Without the panic hook, which would print it.
        std::panic::resume_unwind(Box::new("scripted"));
    }
}

#[tokio::test]
async fn a_body_that_lies_or_panics_harms_nobody_else() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.waiting) = (1, 0);
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = limited(&authority, peer.address, &limits);
        for _ in 0..2 {
            let short = Lying { says: 9, is: Some(Bytes::from_static(b"abc")) };
            let _ = put(&client, short).await;
            let long = b"abcGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
            let long = Lying { says: 3, is: Some(Bytes::from_static(long)) };
            let _ = put(&client, long).await;
            let error = put(&client, Panics).await.unwrap_err();
            assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
            // The only turn is there again, and what comes is one's own.
            assert_eq!(read(ask(&client, "a.example", get("/own")).await).await.1, "{}");
        }
        assert_eq!(peer.asked().iter().filter(|it| it.path == "/own").count(), 2);
        assert!(peer.asked().iter().all(|it| it.path == "/" || it.path == "/own"));
        assert_eq!(client.resolver().counters().reports, 0);
    }
}

#[tokio::test]
async fn odd_requests_go_out_as_they_should() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = client(&authority, peer.address);
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
            let mut request = get("/");
            *request.version_mut() = version;
            let headers = request.headers_mut();
            for host in ["evil.example", "more.example"] {
                headers.append("host", host.parse().unwrap());
            }
            headers.insert("expect", "100-continue".parse().unwrap());
            headers.insert("x-text", http::HeaderValue::from_bytes(&[0xff, 0x80]).unwrap());
            *request.method_mut() = "P!ROPFIND'".parse().unwrap();
            request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
            assert_eq!(read(ask(&client, "a.example", request).await).await.0, StatusCode::OK);
            let asked = peer.asked().pop().unwrap();
            assert!(asked.hosts.iter().all(|host| host == "m.example"), "{asked:?}");
            assert_eq!(asked.headers["x-text"].as_bytes(), [0xff, 0x80]);
            until(|| client.connections() == 1).await;
        }
        assert_eq!((peer.accepted(), peer.asked().len()), (1, 4));
    }
}

#[tokio::test]
async fn whoever_gives_up_at_any_step_leaves_nothing_behind() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.waiting, limits.per_server) = (2, 0, 1);
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        for fresh in [true, false] {
            let client = limited(&authority, peer.address, &limits);
            for steps in 0..400 {
                if fresh {
                    client.resolver().clear();
                }
                let body = Full::new(Bytes::from_static(b"[]"));
                let request = Request::put("/").body(body).unwrap();
                let name = "a.example".parse().unwrap();
                let mut whole = Box::pin(async {
                    let answer: Response<FederationBody> =
                        client.request(&name, request).await.unwrap();
                    answer.into_body().collect().await.unwrap();
                });
                let mut over = false;
                for _ in 0..steps {
                    over = once(whole.as_mut()).await.is_some();
                    if over {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(whole);
                if over {
                    break;
                }
            }
            // Both turns are there, and no connection but those that are kept.
            let both = [ask(&client, "a.example", get("/")), ask(&client, "b.example", get("/"))];
            for answer in futures_util::future::join_all(both).await {
                read(answer).await;
            }
            until(|| client.connections() == 1).await;
            until(|| peer.open() == 1).await;
            drop(client);
            until(|| peer.open() == 0).await;
        }
    }
}

#[tokio::test]
async fn a_herd_has_no_more_connections_than_turns() {
    let authority = Authority::new();
    let peer = Peer::http1(authority.server()).await;
    let mut limits = config();
    (limits.concurrent, limits.waiting, limits.per_server) = (4, 500, 4);
    let client = limited(&authority, peer.address, &limits);
    let calls: Vec<_> = (0..500)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { read(ask(&client, "a.example", get("/")).await).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().0, StatusCode::OK);
    }
    assert_eq!(peer.asked().len(), 500);
    assert!(peer.most_at_a_time() <= 4);
    until(|| peer.open() <= 4).await;
}

#[tokio::test]
async fn a_head_without_end_is_not_read_to_its_end() {
    let authority = Authority::new();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let flooding = |config, first: fn(u32) -> Vec<u8>, then: fn(u32) -> Vec<u8>| {
        let ended = ended.clone();
        serve(config, move |mut stream| {
            let ended = ended.clone();
            async move {
                let mut id = 0;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    begun(&mut stream).await;
                    settings(&mut stream, &[]).await;
                    while let Some((kind, of)) = frame(&mut stream).await {
                        if kind == HEADERS {
                            id = of;
                            break;
                        }
                    }
                }
                // It reads on, or the other side could not say that it has ended.
                let (mut reading, mut writing) = tokio::io::split(stream);
                tokio::spawn(
                    async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await },
                );
                let mut written = writing.write_all(&first(id)).await;
                while written.is_ok() {
                    written = writing.write_all(&then(id)).await;
                }
                let _ = ended.send(());
            }
        })
    };
    let field = |_| b"x-more: and more and more and more\r\n".to_vec();
    let (over_1, _) =
        flooding(http1(&authority), |_| b"HTTP/1.1 200 OK\r\nx: ".to_vec(), |_| vec![b'x'; 999])
            .await;
    let (fields, _) = flooding(http1(&authority), |_| b"HTTP/1.1 200 OK\r\n".to_vec(), field).await;
    let status = |id: u32| {
        let mut frame = vec![0, 0, 1, HEADERS, 0];
        frame.extend_from_slice(&id.to_be_bytes());
        frame.push(0x88);
        frame
    };
    // CONTINUATION: literal fields of one letter and one letter.
    let more = |id: u32| {
        let mut frame = vec![0, 5 * 4, 0, 9, 0];
        frame.extend_from_slice(&id.to_be_bytes());
        frame.extend_from_slice(&[0, 1, b'x', 1, b'y'].repeat(4 * 256));
        frame
    };
    let (over_2, _) = flooding(authority.server(), status, more).await;
    for address in [over_1, fields, over_2] {
        let client = client(&authority, address);
        let error = ask(&client, "a.example", get("/")).await.unwrap_err();
        assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
        watched(ends.recv()).await.unwrap();
        assert_eq!(client.connections(), 0);
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_no_answer() {
    let authority = Authority::new();
    let long =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {}\r\n\r\n", "x".repeat(1 << 18));
    let long: Arc<str> = long.into();
    let (address, _ends, _) = scripted(http1(&authority), move |mut stream| {
        let long = Arc::clone(&long);
        async move {
            say(&mut stream, long.as_bytes()).await;
            stream
        }
    })
    .await;
    let error = ask(&client(&authority, address), "a.example", get("/")).await.unwrap_err();
    assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
}

#[tokio::test]
async fn a_turn_is_for_the_delegate_that_is_asked() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let runtime = Arc::new(TokioRuntime::current());
    let network = Network::on_runtime(delegated(&[peer.address]), runtime);
    let mut config = Config::default();
    config.address_policy = config.address_policy.allow("127.0.0.0/8".parse().unwrap());
    let mut limits = super::config();
    limits.concurrent = 1;
    let client =
        FederationClient::with_config(network.resolver(config), connector(&authority), limits)
            .unwrap();
    let literal = peer.address.to_string();
    let begin = |name: &str, path: &'static str| {
        let (client, name) = (client.clone(), name.to_owned());
        tokio::spawn(async move { read(ask(&client, &name, get(path)).await).await })
    };
    // One has the turn of `m.example`, one that of the literal; another waits for the first.
    let first = begin("a.example", "/wait");
    until(|| peer.asked().len() == 1).await;
    let other = begin(&literal, "/wait");
    until(|| peer.asked().len() == 2).await;
    let waiting = {
        let (client, request) = (client.clone(), get("/moved"));
        let mut waiting =
            Box::pin(async move { ask(&client, "a.example", request).await.unwrap().status() });
        // As far as it comes: all that it needs is known.
        for _ in 0..9 {
            assert!(once(waiting.as_mut()).await.is_none());
            tokio::task::yield_now().await;
        }
        tokio::spawn(waiting)
    };
    // Meanwhile its server moves to the literal, whose one turn is taken.
    let moved = Internet::new().host("a.example", &["192.0.2.1"]).delegates("a.example", &literal);
    network.set(moved);
    client.resolver().clear();
    peer.gate.add_permits(1);
    first.await.unwrap();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!other.is_finished());
    assert!(peer.asked().iter().all(|it| it.path != "/moved"));
    peer.gate.add_permits(1);
    other.await.unwrap();
    assert_eq!(watched(waiting).await.unwrap(), StatusCode::OK);
    assert!(peer.asked().iter().any(|it| it.path == "/moved"));
}

#[tokio::test]
async fn a_flood_ends_with_the_request() {
    let authority = Authority::new();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let flooding = |config, with: &'static [u8]| {
        let ended = ended.clone();
        serve(config, move |mut stream| {
            let ended = ended.clone();
            async move {
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    settings(&mut stream, &[]).await;
                }
                let (mut reading, mut writing) = tokio::io::split(stream);
                let mut sink = tokio::io::sink();
                let reading = async { tokio::io::copy(&mut reading, &mut sink).await };
                let writing = async { while writing.write_all(&with.repeat(99)).await.is_ok() {} };
                let _ = tokio::join!(reading, writing);
                let _ = ended.send(());
            }
        })
    };
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let ping = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let changing = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9];
    let floods = [
        flooding(http1(&authority), interim).await,
        flooding(authority.server(), ping).await,
        flooding(authority.server(), changing).await,
    ];
    let mut limits = config();
    (limits.idle, limits.keep_alive) = (Duration::ZERO, Duration::ZERO);
    for (address, mut seen) in floods {
        let client = limited(&authority, address, &limits);
        let asked = tokio::spawn(async move { ask(&client, "a.example", get("/")).await });
        watched(seen.recv()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Given up, or cut off for what it does.
        asked.abort();
        watched(ends.recv()).await.unwrap();
    }
}

/// Dials in this way, and otherwise by TCP.
#[derive(Debug)]
struct Odd {
    tried: AtomicUsize,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// It panics the first time.
    Panics,
    /// It opens a stream of something else the first time.
    Garbage,
    /// It opens one that has ended.
    Ended,
    /// It knows no IPv4, which is tried first.
    OnlyV6,
    /// It looks every name up as this address.
    Named(SocketAddr),
}

impl Dial for Odd {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        let first = self.tried.fetch_add(1, Ordering::Relaxed) == 0;
        match self.way {
            Way::Panics if first => std::panic::resume_unwind(Box::new("scripted")),
            Way::Garbage if first => {
                let garbage = Box::new(io::Cursor::new(b"HTTP/1.1 400 \r\n\r\n".to_vec()));
                Box::pin(async { Ok(garbage as Box<dyn DialStream>) })
            }
            Way::Ended => Box::pin(async { Ok(Box::new(tokio::io::duplex(1).0) as _) }),
            Way::OnlyV6 if address.is_ipv4() => {
                Box::pin(async { Err(io::ErrorKind::NetworkUnreachable.into()) })
            }
            Way::Named(_) => panic!("no address is dialled"),
            _ => LoopbackDial.dial(address),
        }
    }

    fn dial_name<'a>(
        &'a self,
        _: &'a str,
        _: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn DialStream>>> {
        let Way::Named(address) = self.way else { panic!("nothing is left to a proxy") };
        LoopbackDial.dial(address)
    }
}

fn odd(authority: &Authority, way: Way) -> (Connector, Arc<Odd>) {
    let dial = Arc::new(Odd { tried: AtomicUsize::new(0), way });
    (connector(authority).with_dial(Arc::clone(&dial) as Arc<dyn Dial>), dial)
}

#[tokio::test]
async fn a_dial_that_panics_or_leads_astray_costs_no_turn() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.waiting) = (1, 0);
    let peer = Peer::new(authority.server()).await;
    for way in [Way::Panics, Way::Garbage, Way::Ended] {
        let (connector, dial) = odd(&authority, way);
        let resolver = resolver(delegated(&[peer.address]));
        let client = FederationClient::with_config(resolver, connector, limits).unwrap();
        let first = ask(&client, "a.example", get("/")).await;
        if way == Way::Panics {
            // It is dialled again for those who waited for the one that broke off.
            read(first).await;
        } else {
            let RequestError::Connect(error) = first.unwrap_err() else { panic!("{way:?}") };
            assert_eq!(error.attempts[0].phase, ConnectPhase::Tls, "{error}");
        }
        let second = ask(&client, "a.example", get("/")).await;
        assert_eq!(second.is_ok(), way != Way::Ended, "{second:?}");
        assert_eq!(dial.tried.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn a_machine_without_a_family_holds_that_against_nobody() {
    let authority = Authority::new();
    let peer = Peer::at("[::1]:0", authority.server()).await;
    let resolver = resolver(Internet::new().host("m.example", &["127.0.0.1", "::1"]));
    let target = found(&resolver, &format!("m.example:{}", peer.address.port())).await;
    let mut limits = generous();
    // Nobody waits for what fails at once.
    limits.phases.attempt_delay = super::WATCHDOG;
    let connector = odd(&authority, Way::OnlyV6).0.with_limits(limits).unwrap();
    let connector = connector.reporting_to(resolver.clone());
    let connection = watched(connector.connect(&target)).await.unwrap();
    assert_eq!(connection.address(), Some(peer.address));
    let phases: Vec<_> = connection.failed_attempts().iter().map(|it| it.phase).collect();
    assert_eq!(phases, [ConnectPhase::Local]);
    assert_eq!(resolver.counters().reports, 0);
}

#[tokio::test]
async fn where_a_proxy_looks_up_hosts_connections_are_shared_by_name() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let internet = Internet::new();
        let runtime = Arc::new(TokioRuntime::current());
        let config = Config::default().with_addresses(AddressFamilies::ByProxy);
        let resolver = Network::on_runtime(internet, runtime).resolver(config);
        let (connector, _) = odd(&authority, Way::Named(peer.address));
        let client = FederationClient::new(resolver, connector);
        for (name, connections) in
            [("m.example:1", 1), ("m.example:1", 1), ("m.example:2", 2), ("m.example:1", 2)]
        {
            read(ask(&client, name, get("/")).await).await;
            until(|| client.connections() == connections).await;
        }
        assert_eq!((peer.accepted(), peer.asked().len()), (2, 4));
        let error = ask(&client, "other.example:1", get("/")).await.unwrap_err();
        let RequestError::Connect(error) = &error else { panic!("{error:?}") };
        assert_eq!(
            (error.attempts[0].phase, error.attempts[0].address),
            (ConnectPhase::Certificate, None)
        );
    }
}
