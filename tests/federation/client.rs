//! Requests by server name.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use matrix_delegation::FederationClient;
use matrix_delegation::client::{FederationBody, InvalidRequest, RequestError};
use matrix_delegation::error::Blame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;

use super::peer::Peer;
use super::server::{Authority, serve};
use super::{config, connector, delegated, resolver, watched};

pub(crate) type Answer = Result<Response<FederationBody>, RequestError>;

pub(crate) fn client(authority: &Authority, peers: &[std::net::SocketAddr]) -> FederationClient {
    FederationClient::new(resolver(delegated(peers)), connector(authority))
}

pub(crate) fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

pub(crate) async fn ask(
    client: &FederationClient,
    name: &str,
    request: Request<Empty<Bytes>>,
) -> Answer {
    let name = name.parse().unwrap();
    watched(client.request(&name, request)).await
}

/// Reads the answer to its end.
pub(crate) async fn read(answer: Answer) -> (StatusCode, Bytes) {
    let response = answer.unwrap();
    let status = response.status();
    (status, watched(response.into_body().collect()).await.unwrap().to_bytes())
}

/// Until this holds; what happens behind a caller's back takes a moment.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    watched(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn over_http_2_the_authority_is_the_target_s_and_there_is_no_host() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let client = client(&authority, &[peer.address]);
    let request = Request::put("matrix-federation://a.example/send/1?q=%2F")
        .header("host", "evil.example")
        .body(Full::new(Bytes::from_static(b"[1]")))
        .unwrap();
    let answer = watched(client.request(&"a.example".parse().unwrap(), request)).await;
    assert_eq!(read(answer).await, (StatusCode::OK, "{}".into()));
    let asked = &peer.asked()[0];
    assert_eq!((asked.version, asked.authority.as_deref()), (Version::HTTP_2, Some("m.example")));
    assert_eq!(
        (asked.hosts.len(), asked.path.as_str(), asked.body.as_str()),
        (0, "/send/1?q=%2F", "[1]")
    );
    let own = concat!("matrix-delegation/", env!("CARGO_PKG_VERSION"));
    assert_eq!(asked.user_agent.as_deref(), Some(own));
}

#[tokio::test]
async fn over_http_1_host_is_the_target_s() {
    let authority = Authority::new();
    let peer = Peer::http1(authority.server()).await;
    let client = client(&authority, &[peer.address]);
    let request = Request::get("/version")
        .header("host", "evil.example")
        .header("user-agent", "own")
        .body(Empty::new())
        .unwrap();
    assert_eq!(read(ask(&client, "a.example", request).await).await.0, StatusCode::OK);
    let asked = &peer.asked()[0];
    assert_eq!((asked.version, &asked.authority), (Version::HTTP_11, &None));
    assert_eq!(
        (asked.hosts.as_slice(), asked.path.as_str()),
        (["m.example".to_owned()].as_slice(), "/version")
    );
    assert_eq!(asked.user_agent.as_deref(), Some("own"));
}

#[tokio::test]
async fn names_with_one_delegate_share_connections() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = client(&authority, &[peer.address]);
        for round in 0..6 {
            let name = if round % 2 == 0 { "a.example" } else { "b.example" };
            read(ask(&client, name, get("/version")).await).await;
            until(|| client.connections() == 1).await;
        }
        assert_eq!((peer.accepted(), peer.asked().len()), (1, 6));
    }
}

#[tokio::test]
async fn another_certificate_name_has_connections_of_its_own() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let client = client(&authority, &[peer.address]);
    read(ask(&client, "a.example", get("/version")).await).await;
    // The same address by its literal, which the certificate carries, too.
    read(ask(&client, &peer.address.to_string(), get("/version")).await).await;
    assert_eq!((peer.accepted(), client.connections()), (2, 2));
    let authorities: Vec<_> = peer.asked().into_iter().map(|it| it.authority.unwrap()).collect();
    assert_eq!(authorities, ["m.example".to_owned(), peer.address.to_string()]);
}

#[tokio::test]
async fn many_at_a_time_share_one_http_2_connection() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let client = client(&authority, &[peer.address]);
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, "a.example", get("/wait")).await })
        })
        .collect();
    until(|| peer.asked().len() == 40).await;
    peer.gate.add_permits(40);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn over_http_1_each_at_a_time_has_its_own_and_so_many_are_kept() {
    let authority = Authority::new();
    let peer = Peer::http1(authority.server()).await;
    let mut limits = config();
    limits.per_server = 3;
    let resolver = resolver(delegated(&[peer.address]));
    let client = FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { read(ask(&client, "a.example", get("/wait")).await).await })
        })
        .collect();
    until(|| peer.asked().len() == 10).await;
    peer.gate.add_permits(10);
    for call in calls {
        assert_eq!(call.await.unwrap().0, StatusCode::OK);
    }
    assert_eq!(peer.accepted(), 10);
    until(|| client.connections() == 3).await;
}

#[tokio::test]
async fn a_redirect_is_a_response_like_any_other() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let client = client(&authority, &[peer.address]);
    let response = ask(&client, "a.example", get("/redirect")).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], "https://evil.example/");
    assert_eq!(peer.asked().len(), 1);
}

#[tokio::test]
async fn a_connection_that_ended_meanwhile_is_replaced() {
    let authority = Authority::new();
    let peer = Peer::http1(authority.server()).await;
    let client = client(&authority, &[peer.address]);
    for _ in 0..4 {
        // The server ends the connection after each.
        read(ask(&client, "a.example", get("/close")).await).await;
    }
    assert_eq!((peer.accepted(), peer.asked().len()), (4, 4));
    until(|| client.connections() == 0).await;
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_again() {
    let authority = Authority::new();
    let mut config = authority.server();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // It reads the request and ends the connection.
    let (address, mut seen) = serve(config, |mut stream| async move {
        let _ = stream.shutdown().await;
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let client = client(&authority, &[address]);
    let error = ask(&client, "a.example", get("/once")).await.unwrap_err();
    let RequestError::Exchange { address: at, .. } = &error else { panic!("{error:?}") };
    assert_eq!((error.blame(), error.is_temporary()), (Blame::Server, true));
    assert!(error.was_sent());
    assert_eq!(*at, Some(address));
    assert!(error.to_string().contains("a.example"), "{error}");
    assert!(seen.recv().await.unwrap().head.starts_with("GET /once HTTP/1.1\r\n"));
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn connections_are_kept_for_a_while_only() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    for (idle, age) in [(0, 3600), (90, 0)] {
        let mut limits = config();
        (limits.idle, limits.age) = (Duration::from_secs(idle), Duration::from_secs(age));
        let resolver = resolver(delegated(&[peer.address]));
        let client =
            FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
        let before = peer.accepted();
        for _ in 0..3 {
            read(ask(&client, "a.example", get("/version")).await).await;
        }
        assert_eq!((peer.accepted() - before, client.connections()), (3, 0));
    }
}

#[tokio::test]
async fn so_many_connections_are_kept_in_all() {
    let authority = Authority::new();
    let mut limits = config();
    limits.connections = 2;
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(Peer::new(authority.server()).await);
    }
    let resolver = resolver(delegated(&[]));
    let client = FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
    for peer in &peers {
        read(ask(&client, &peer.address.to_string(), get("/version")).await).await;
        assert!(client.connections() <= 2);
    }
    // The last is still there, the first is not.
    read(ask(&client, &peers[3].address.to_string(), get("/version")).await).await;
    read(ask(&client, &peers[0].address.to_string(), get("/version")).await).await;
    assert_eq!((peers[3].accepted(), peers[0].accepted()), (1, 2));
}

#[tokio::test]
async fn an_address_that_left_the_target_gets_no_more_requests() {
    let authority = Authority::new();
    let (old, new) = (Peer::new(authority.server()).await, Peer::new(authority.server()).await);
    let network = matrix_delegation::testing::Network::on_runtime(
        delegated(&[old.address]),
        Arc::new(matrix_delegation::TokioRuntime::current()),
    );
    let mut config = matrix_delegation::Config::default();
    config.address_policy = config.address_policy.allow("127.0.0.0/8".parse().unwrap());
    let client = FederationClient::new(network.resolver(config), connector(&authority));
    read(ask(&client, "a.example", get("/1")).await).await;
    network.set(delegated(&[new.address]));
    client.resolver().clear();
    read(ask(&client, "a.example", get("/2")).await).await;
    assert_eq!((old.asked().len(), new.asked().len()), (1, 1));
}

#[tokio::test]
async fn requests_that_cannot_be_are_refused() {
    let authority = Authority::new();
    let client = client(&authority, &[]);
    for uri in ["https://a.example/x", "a.example:8448", "*", "matrix://a.example/"] {
        let error = ask(&client, "a.example", get(uri)).await.unwrap_err();
        assert!(
            matches!(error, RequestError::Invalid(InvalidRequest::Uri { .. })),
            "{uri}: {error}"
        );
    }
    let other = ask(&client, "a.example", get("matrix-federation://b.example/")).await.unwrap_err();
    assert!(matches!(other, RequestError::Invalid(InvalidRequest::OtherServer { .. })), "{other}");
    let tunnel = Request::connect("/").body(Empty::new()).unwrap();
    let error = ask(&client, "a.example", tunnel).await.unwrap_err();
    assert!(matches!(error, RequestError::Invalid(InvalidRequest::Connect)), "{error}");
    assert_eq!((error.blame(), error.is_temporary()), (Blame::Caller, false));
    let error = ask(&client, "nowhere.example", get("/")).await.unwrap_err();
    assert!(matches!(error, RequestError::Resolve(_)), "{error}");
    assert_eq!((error.blame(), error.was_sent()), (Blame::Server, false));
}

#[tokio::test]
async fn where_nothing_can_be_connected_to_every_caller_hears_why() {
    let authority = Authority::new();
    let (_held, dead) = super::server::refusing();
    let client = client(&authority, &[dead]);
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, "a.example", get("/")).await.unwrap_err() })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap();
        assert!(!error.was_sent());
        let RequestError::Connect(error) = &error else { panic!("{error:?}") };
        assert_eq!(error.attempts.len(), 1);
    }
}

#[tokio::test]
async fn a_path_that_is_empty_is_the_root() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = client(&authority, &[peer.address]);
        let uris = ["", "/", "?q=1", "#part", "/#part", "?q#part"];
        for uri in uris {
            let uri = format!("matrix-federation://a.example{uri}");
            assert_eq!(read(ask(&client, "a.example", get(&uri)).await).await.0, StatusCode::OK);
        }
        let asked: Vec<_> = peer.asked().into_iter().map(|it| it.path).collect();
        assert_eq!(asked, ["/", "/", "/?q=1", "/", "/", "/?q"]);
    }
}

#[tokio::test]
async fn how_a_message_is_framed_is_not_the_callers_to_say() {
    let authority = Authority::new();
    let headers = [
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade, x-secret"),
        ("x-secret", "named by connection"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
    ];
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = client(&authority, &[peer.address]);
        for _ in 0..3 {
            let mut request = get("/");
            for (name, value) in headers {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            // As bytes that are no text, too.
            let secret = HeaderValue::from_bytes(b"\xff, x-hidden ,\xfe").unwrap();
            request.headers_mut().append("connection", secret);
            request.headers_mut().insert("x-hidden", HeaderValue::from_static("named, too"));
            assert_eq!(read(ask(&client, "a.example", request).await).await.0, StatusCode::OK);
            until(|| client.connections() == 1).await;
        }
        assert_eq!((peer.accepted(), peer.asked().len()), (1, 3));
        for asked in peer.asked() {
            for name in headers.map(|(name, _)| name).into_iter().chain(["x-hidden"]) {
                assert!(!asked.headers.contains_key(name), "{name}: {:?}", asked.headers);
            }
        }
        let told = |method: Method, length: &str| {
            Request::builder()
                .method(method)
                .uri("/")
                .header("content-length", length)
                .body(Full::new(Bytes::from_static(b"{\"a\":1}")))
                .unwrap()
        };
        let name = "a.example".parse().unwrap();
        for method in [Method::PUT, Method::GET] {
            watched(client.request(&name, told(method, "7"))).await.unwrap();
            let asked = peer.asked().pop().unwrap();
            assert_eq!(
                (asked.body.as_str(), &asked.headers["content-length"]),
                ("{\"a\":1}", &"7".parse().unwrap())
            );
            until(|| client.connections() == 1).await;
        }
        // Another's length would swallow the beginning of the next request, or wait for more.
        let sent = peer.asked().len();
        for length in ["0", "6", "17", "+7", "7, 7", "", "x"] {
            let error =
                watched(client.request(&name, told(Method::PUT, length))).await.unwrap_err();
            let RequestError::Invalid(InvalidRequest::ContentLength { stated, body: Some(7) }) =
                &error
            else {
                panic!("{error:?}")
            };
            assert_eq!((stated.as_str(), error.was_sent()), (length, false));
        }
        assert_eq!(peer.asked().len(), sent);
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_may_be_told_its_length_and_has_it() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        let client = client(&authority, &[peer.address]);
        let name = "a.example".parse().unwrap();
        let request = |method: Method, told: Option<&str>| {
            let frames = [Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"abc")))];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let mut request = Request::new(body);
            (*request.method_mut(), *request.uri_mut()) = (method, "/".parse().unwrap());
            if let Some(told) = told {
                request.headers_mut().insert("content-length", told.parse().unwrap());
            }
            request
        };
        for method in [Method::PUT, Method::GET] {
            for told in [Some("3"), None] {
                let answer = watched(client.request(&name, request(method.clone(), told))).await;
                assert_eq!(read(answer).await.0, StatusCode::OK, "{method} {told:?}");
                let asked = peer.asked().pop().unwrap();
                let length = asked.headers.get("content-length").map(|it| it.to_str().unwrap());
                assert_eq!((asked.body.as_str(), length), ("abc", told), "{method}");
                until(|| client.connections() == 1).await;
            }
        }
        assert_eq!(peer.accepted(), 1);
        for told in ["+3", "3, 3", "", "99999999999999999999"] {
            let error =
                watched(client.request(&name, request(Method::PUT, Some(told)))).await.unwrap_err();
            assert!(matches!(error, RequestError::Invalid(_)), "{error:?}");
        }
        // What cannot be known before ends the request before a byte too many is sent.
        for told in ["2", "4"] {
            let error =
                watched(client.request(&name, request(Method::PUT, Some(told)))).await.unwrap_err();
            assert_eq!((error.blame(), error.was_sent()), (Blame::Caller, true), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_head_has_a_limit() {
    let authority = Authority::new();
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        for (bytes, passes) in [(64 * 1024, true), (8 * 1024, false)] {
            let mut limits = config();
            limits.head_bytes = bytes;
            let resolver = resolver(delegated(&[peer.address]));
            let client =
                FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
            let answer = ask(&client, "a.example", get("/head")).await;
            assert_eq!(answer.is_ok(), passes, "{answer:?}");
            if let Err(error) = answer {
                assert!(matches!(error, RequestError::Exchange { .. }), "{error}");
                // It says all of it by itself.
                assert!(std::error::Error::source(&error).is_some());
            }
            assert!(ask(&client, "a.example", get("/")).await.is_ok());
        }
    }
}

#[tokio::test]
async fn one_in_use_is_not_closed_for_another() {
    let authority = Authority::new();
    let mut limits = config();
    limits.connections = 2;
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(Peer::new(authority.server()).await);
    }
    let client =
        FederationClient::with_config(resolver(delegated(&[])), connector(&authority), limits)
            .unwrap();
    let [busy, idle, third] = [0, 1, 2].map(|index: usize| peers[index].address.to_string());
    let waiting = {
        let (client, busy) = (client.clone(), busy.clone());
        tokio::spawn(async move { ask(&client, &busy, get("/wait")).await })
    };
    until(|| peers[0].asked().len() == 1).await;
    for name in [&idle, &third, &busy, &idle] {
        read(ask(&client, name, get("/")).await).await;
    }
    peers[0].gate.add_permits(1);
    read(waiting.await.unwrap()).await;
    let accepted: Vec<_> = peers.iter().map(Peer::accepted).collect();
    assert_eq!(accepted, [1, 2, 1]);
}

#[tokio::test]
async fn it_is_a_tower_service() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let mut client = client(&authority, &[peer.address]);
    let answer = watched(client.call(get("matrix-federation://a.example/version"))).await;
    assert_eq!(read(answer).await.0, StatusCode::OK);
    let error = watched(client.call(get("/version"))).await.unwrap_err();
    assert!(matches!(error, RequestError::Invalid(InvalidRequest::NoServer { .. })), "{error}");
    let error = watched(client.call(get("matrix-federation://u@a.example/"))).await.unwrap_err();
    assert!(matches!(error, RequestError::Invalid(InvalidRequest::ServerName(_))), "{error}");
}
