//! What is sent again, and what is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{Empty, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame};
use matrix_delegation::FederationClient;
use matrix_delegation::client::{FederationBody, RequestError};
use tokio::io::AsyncWriteExt;

use super::attacks::{
    HEADERS, answering_streams, begun, fine, frame, go_away, go_away_for, http1, reset, say,
    scripted, settings,
};
use super::client::{Answer, ask, get, read, until};
use super::peer::Peer;
use super::server::{Authority, Stream, read_head, serve};
use super::{config, limited, watched};

const REFUSED_STREAM: u8 = 7;
const HTTP_1_1_REQUIRED: u8 = 13;

/// Makes the frames that a peer sends, given the number of a stream.
type Frames = fn(u32) -> Vec<u8>;

async fn send<B>(client: &FederationClient, method: &Method, body: B) -> Answer
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let request = Request::builder().method(method).uri("/x").body(body).unwrap();
    watched(client.request(&"a.example".parse().unwrap(), request)).await
}

fn full(length: usize) -> Full<Bytes> {
    Full::new(vec![b'x'; length].into())
}

fn unsent(answer: Result<Response<FederationBody>, RequestError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
}

/// Answers the first streams of a connection, and says of the next that it was not processed.
async fn taking(
    authority: &Authority,
    streams: u32,
    refusal: fn(u32) -> Vec<u8>,
) -> (SocketAddr, Arc<AtomicUsize>) {
    answering_streams(authority, move |id| if id < streams * 2 { fine(id) } else { refusal(id) })
        .await
}

#[tokio::test]
async fn what_the_server_says_it_has_not_processed_is_sent_again() {
    let authority = Authority::new();
    let refusals: [(&str, Frames); 5] = [
        ("GOAWAY(NO_ERROR)", |id| go_away(id - 2)),
        ("GOAWAY(ENHANCE_YOUR_CALM)", |id| go_away_for(id - 2, 11)),
        ("GOAWAY(INTERNAL_ERROR), twice", |id| {
            [go_away_for(id - 2, 2), go_away_for(id - 2, 2)].concat()
        }),
        ("RST_STREAM(REFUSED_STREAM)", |id| reset(id, REFUSED_STREAM)),
        ("both", |id| [reset(id, REFUSED_STREAM), go_away(id - 2)].concat()),
    ];
    for (kind, refusal) in refusals {
        for method in [Method::GET, Method::PUT, Method::POST] {
            let (address, accepted) = taking(&authority, 1, refusal).await;
            let client = limited(&authority, address, &config());
            for length in [0, 2, 1 << 20] {
                let answer = send(&client, &method, full(length)).await;
                assert_eq!(read(answer).await.0, StatusCode::OK, "{kind}, {method}, {length}");
            }
            assert_eq!(accepted.load(Ordering::Relaxed), 3, "{kind}");
            assert_eq!(client.resolver().counters().reports, 0, "{kind}");
        }
    }
}

#[tokio::test]
async fn what_never_gets_processed_is_sent_again_three_times() {
    let authority = Authority::new();
    let refusals: [fn(u32) -> Vec<u8>; 2] = [|_| go_away(0), |id| reset(id, REFUSED_STREAM)];
    for refusal in refusals {
        for resends in [0, 1, 3] {
            let (address, accepted) = answering_streams(&authority, refusal).await;
            let mut limits = config();
            limits.resends = resends;
            let client = limited(&authority, address, &limits);
            for round in 1..=2 {
                unsent(ask(&client, "a.example", get("/")).await);
                assert_eq!(accepted.load(Ordering::Relaxed), round * (1 + resends));
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_in_memory_is_sent_once() {
    let authority = Authority::new();
    let (address, accepted) = taking(&authority, 0, |id| reset(id, REFUSED_STREAM)).await;
    let mut limits = config();
    limits.resend_bytes = 10;
    let client = limited(&authority, address, &limits);
    unsent(send(&client, &Method::PUT, full(11)).await);
    let frames = [Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"abc")))];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    unsent(send(&client, &Method::PUT, body).await);
    // Each on a connection of its own, since the one before had refused a stream.
    assert_eq!(accepted.load(Ordering::Relaxed), 2);
    unsent(send(&client, &Method::PUT, full(10)).await);
    assert_eq!(accepted.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn nothing_is_sent_again_once_a_head_has_come() {
    let authority = Authority::new();
    // The head without the end of the stream, then what says that it was not processed.
    let head = |id: u32| {
        let mut head = fine(id);
        head[4] = 4;
        head
    };
    for after in [
        |id| reset(id, REFUSED_STREAM),
        // hyper takes NO_ERROR for the end of a body.
        |_| go_away_for(0, 2),
        |id| reset(id, HTTP_1_1_REQUIRED),
    ] {
        let after: fn(u32) -> Vec<u8> = after;
        let (address, accepted) =
            answering_streams(&authority, move |id| [head(id), after(id)].concat()).await;
        let client = limited(&authority, address, &config());
        if let Ok(response) = ask(&client, "a.example", get("/")).await {
            let body = http_body_util::BodyExt::collect(response.into_body());
            assert!(watched(body).await.is_err());
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn an_endpoint_that_requires_http_1_gets_it() {
    let authority = Authority::new();
    let refusals: [fn(u32) -> Vec<u8>; 3] = [
        |id| reset(id, HTTP_1_1_REQUIRED),
        |_| go_away_for(0, HTTP_1_1_REQUIRED),
        |id| [reset(id, HTTP_1_1_REQUIRED), go_away(id)].concat(),
    ];
    for refusal in refusals {
        let (address, seen) = {
            let (address, seen) = serve(authority.server(), move |mut stream| async move {
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    begun(&mut stream).await;
                    settings(&mut stream, &[]).await;
                    while let Some((kind, id)) = frame(&mut stream).await {
                        if kind == HEADERS {
                            say(&mut stream, &refusal(id)).await;
                        }
                    }
                    return;
                }
                loop {
                    say(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                    if read_head(&mut stream).await.is_none() {
                        break;
                    }
                }
            })
            .await;
            (address, seen)
        };
        let client = limited(&authority, address, &config());
        for method in [Method::GET, Method::POST, Method::PUT] {
            let response = send(&client, &method, full(0)).await.unwrap();
            assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_11));
            drop(response);
            until(|| client.connections() == 1).await;
        }
        let mut seen = seen;
        let mut protocols = Vec::new();
        while let Ok(one) = seen.try_recv() {
            protocols.push(one.alpn.unwrap());
        }
        // The second and the third did not ask over HTTP/2 again.
        assert_eq!(protocols, ["h2", "http/1.1"]);
    }
}

/// Answers so many requests of each connection over HTTP/1.1; at the next it ends the connection, after
/// these bytes.
async fn ending(
    authority: &Authority,
    answers: usize,
    last: &'static [u8],
) -> (SocketAddr, Arc<AtomicUsize>) {
    let requests: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&requests);
    let (address, _) = serve(http1(authority), move |mut stream: Stream| {
        let counted = Arc::clone(&counted);
        async move {
            for _ in 0..answers {
                counted.fetch_add(1, Ordering::Relaxed);
                say(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                if read_head(&mut stream).await.is_none() {
                    return;
                }
            }
            counted.fetch_add(1, Ordering::Relaxed);
            say(&mut stream, last).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    (address, requests)
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_costs_an_idempotent_request_nothing() {
    let authority = Authority::new();
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let (address, requests) = ending(&authority, 1, b"").await;
        let client = limited(&authority, address, &config());
        for round in 0..4 {
            read(send(&client, &method, full(2 * round)).await).await;
            until(|| client.connections() == 1).await;
        }
        // The first, and three that were sent twice.
        assert_eq!(requests.load(Ordering::Relaxed), 1 + 3 * 2, "{method}");
    }
}

#[tokio::test]
async fn what_may_have_been_processed_is_sent_once() {
    let authority = Authority::new();
    let off = {
        let mut limits = config();
        limits.idempotent_resends = 0;
        limits
    };
    for (method, last, limits) in [
        (Method::POST, &b""[..], config()),
        (Method::PATCH, b"", config()),
        (Method::GET, b"H", config()),
        (Method::PUT, b"HTTP/1.1 200 OK\r\n", config()),
        (Method::GET, b"HTTP/1.1 100 Continue\r\n\r\n", config()),
        (Method::GET, b"", off),
    ] {
        let (address, requests) = ending(&authority, 1, last).await;
        let client = limited(&authority, address, &limits);
        read(send(&client, &method, full(2)).await).await;
        until(|| client.connections() == 1).await;
        unsent(send(&client, &method, full(2)).await);
        assert_eq!(requests.load(Ordering::Relaxed), 2, "{method}");
    }
    // A server that ends even the new connection is asked no third time.
    let (address, requests) = ending(&authority, 0, b"").await;
    unsent(send(&limited(&authority, address, &config()), &Method::GET, Empty::new()).await);
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

/// Answers as the path says once so many requests of a connection are there.
async fn beside(authority: &Authority, malformed: fn(u32) -> Vec<u8>) -> SocketAddr {
    let (address, _, _) = scripted(authority.server(), move |mut stream| async move {
        begun(&mut stream).await;
        settings(&mut stream, &[]).await;
        // The first by itself. Of the three that follow at once, one gets no proper answer: that whose
        // request is longest, which says so in its path.
        let mut waiting = Vec::new();
        let mut first = true;
        while let Some((kind, id, length)) = sized_frame(&mut stream).await {
            if kind != HEADERS {
                continue;
            }
            if length < 200 && (first || waiting.is_empty()) && id == 1 {
                say(&mut stream, &fine(id)).await;
                first = false;
                continue;
            }
            waiting.push((id, length));
            let alone = first && waiting.len() == 1;
            if alone || waiting.len() == 3 {
                waiting.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
                for (id, length) in waiting.drain(..) {
                    let answer = if length >= 200 { malformed(id) } else { fine(id) };
                    say(&mut stream, &answer).await;
                }
            }
        }
        stream
    })
    .await;
    address
}

/// The next frame: its type, stream and length.
async fn sized_frame(stream: &mut Stream) -> Option<(u8, u32, u32)> {
    use tokio::io::AsyncReadExt;

    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    stream.read_exact(&mut vec![0; length as usize]).await.ok()?;
    Some((head[3], id, length))
}

/// A head of these bytes of HPACK.
fn head(id: u32, fields: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(fields.len()).unwrap(), HEADERS, 5];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(fields);
    frame
}

#[tokio::test]
async fn a_malformed_response_over_http_2_fails_its_own_request_alone() {
    let authority = Authority::new();
    let kinds: [(&str, Frames); 5] = [
        ("an index that does not exist", |id| head(id, &[0xff, 0xff, 0x03])),
        ("a status that is none", |id| head(id, &[0x08, 3, b'a', b'b', b'c'])),
        ("no status", |id| head(id, &[0x00, 1, b'x', 1, b'y'])),
        ("an upper-case name", |id| head(id, &[0x88, 0x00, 1, b'X', 1, b'y'])),
        ("a connection header", |id| {
            let mut fields = vec![0x88, 0x00, 10];
            fields.extend_from_slice(b"connection\x05close");
            head(id, &fields)
        }),
    ];
    for (kind, malformed) in kinds {
        let address = beside(&authority, malformed).await;
        let client = limited(&authority, address, &config());
        read(ask(&client, "a.example", get("/good")).await).await;
        let long = format!("/{}", "~".repeat(200));
        let asked =
            [get("/1"), get(&long), get("/2")].map(|request| ask(&client, "a.example", request));
        let answers = futures_util::future::join_all(asked).await;
        let fine: Vec<_> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(fine, [true, false, true], "{kind}: {answers:?}");
    }
}

#[tokio::test]
async fn a_peer_that_answers_well_is_asked_once() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = limited(&authority, peer.address, &config());
        for length in [0, 1, 70_000, 1 << 20, (1 << 20) + 1] {
            read(send(&client, &Method::PUT, full(length)).await).await;
            assert_eq!(peer.asked().pop().unwrap().body.len(), length);
        }
        assert_eq!(peer.asked().len(), 5);
    }
}
