//! Heads of responses as real servers send them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use matrix_delegation::FederationClient;
use matrix_delegation::client::RequestError;
use tokio::io::AsyncWriteExt;

use super::client::{ask, get, read, until};
use super::server::{Authority, Stream, read_head, serve};
use super::{config, connector, delegated, resolver, watched};

/// A client of an HTTP/1.1 server that says this to each request of each connection, and how many
/// connections there were.
async fn saying(
    authority: &Authority,
    answer: impl Into<Vec<u8>>,
) -> (FederationClient, Arc<AtomicUsize>) {
    let answer: Arc<[u8]> = answer.into().into();
    let connections: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&connections);
    let mut server = authority.server();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (address, _) = serve(server, move |mut stream: Stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        let answer = Arc::clone(&answer);
        async move {
            loop {
                let _ = stream.write_all(&answer).await;
                let _ = stream.flush().await;
                if read_head(&mut stream).await.is_none() {
                    break;
                }
            }
        }
    })
    .await;
    let client = FederationClient::new(resolver(delegated(&[address])), connector(authority));
    (client, connections)
}

#[tokio::test]
async fn odd_lines_do_not_cost_the_response_but_the_connection() {
    let authority = Authority::new();
    for (kind, lines) in [
        ("folded", "X-A: 1;\r\n    2\r\n"),
        ("folded by a bare LF", "X-A: 1;\n\t2\r\n"),
        ("folded before any header", "  stray\r\n"),
        ("a blank before the colon", "X-A : 1\r\n"),
        ("a tab before the colon", "X-A\t: 1\r\n"),
        ("blanks before colons", "X-A  : 1\r\nX-B \t: 1\r\n"),
        ("no colon", "no header\r\n"),
        ("words before a colon", "PHP Warning:  PHP Startup\r\n"),
        ("brackets in a name", "X-Foo[bar]: 1\r\n"),
        ("an empty name", ": x\r\n"),
        ("a control byte in a value", "Set-Cookie: a=\u{1}b\r\n"),
        ("DEL in a value", "X-A: \u{7f}\r\n"),
    ] {
        let plain = "Content-Length: 2\r\nX-Last: z\r\n";
        for head in [
            format!("200 OK\r\n{lines}{plain}"),
            format!("103 Hints\r\n{lines}\r\nHTTP/1.1 200 OK\r\n{plain}"),
        ] {
            let answer = format!("HTTP/1.1 {head}\r\n{{}}");
            let (client, connections) = saying(&authority, answer).await;
            for round in 1..=2 {
                let response = ask(&client, "a.example", get("/")).await.unwrap();
                assert_eq!(response.headers()["x-last"], "z", "{kind}");
                assert_eq!(read(Ok(response)).await, (StatusCode::OK, "{}".into()), "{kind}");
                // Each has a connection of its own, and none is kept.
                assert_eq!(connections.load(Ordering::Relaxed), round, "{kind}");
                assert_eq!(client.connections(), 0, "{kind}");
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_is_as_it_should_be_keeps_its_connection() {
    let authority = Authority::new();
    for head in [
        "Content-Length: 2\r\n",
        "x-a: caf\u{e9} \t\nContent-Length: 2\n",
        "Content-Length: 2\r\nContent-Length: 2\r\nx-empty:\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{{}}");
        let (client, connections) = saying(&authority, answer).await;
        for _ in 0..4 {
            read(ask(&client, "a.example", get("/")).await).await;
            until(|| client.connections() == 1).await;
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{head}");
    }
}

#[tokio::test]
async fn what_smuggling_depends_on_stays_strict() {
    let authority = Authority::new();
    for lines in [
        "Content-Length : 2\r\n",
        "Content-Length: 2\r\n 2\r\n",
        "X-A: 1\r\n Content-Length: 2\r\n",
        "Content-Length\u{1}: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\nX A: 1\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\u{1}\r\n",
        "X-A: \0\r\nContent-Length: 2\r\n",
        "X-A: 1\rX-B: 2\r\nContent-Length: 2\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n{{}}");
        let (client, _) = saying(&authority, answer).await;
        let error = ask(&client, "a.example", get("/")).await.unwrap_err();
        assert!(matches!(error, RequestError::Exchange { .. }), "{lines:?}: {error:?}");
        assert!(!error.is_temporary(), "{lines:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_thousand_small_headers_pass_or_as_many_as_are_allowed() {
    let authority = Authority::new();
    for lines in [101, 120, 999, 1_000, 4_000] {
        let many = "x-y: z\r\n".repeat(lines);
        let answer = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 2\r\n\r\n{{}}");
        let (plain, _) = saying(&authority, answer).await;
        if lines >= 1_000 {
            let error = ask(&plain, "a.example", get("/")).await.unwrap_err();
            assert!(matches!(error, RequestError::Exchange { .. }), "{error:?}");
        }
        let mut limits = config();
        limits.head_lines = 4_001;
        let client =
            FederationClient::with_config(plain.resolver().clone(), connector(&authority), limits)
                .unwrap();
        for _ in 0..2 {
            let response = ask(&client, "a.example", get("/")).await.unwrap();
            assert_eq!(response.headers().len(), lines + 1);
            read(Ok(response)).await;
            until(|| client.connections() == 1).await;
        }
    }
}

#[tokio::test]
async fn the_limit_of_a_head_is_exact_to_the_header() {
    let authority = Authority::new();
    let (start, end) = ("HTTP/1.1 200 OK\r\nX A: 1\r\nX: ", "\r\nContent-Length: 2\r\n\r\n");
    let mut limits = config();
    limits.head_bytes = 10_000;
    for (length, passes) in [(9_999, true), (10_000, true), (10_001, false), (40_000, false)] {
        let filler = "y".repeat(length - start.len() - end.len());
        let (plain, _) = saying(&authority, format!("{start}{filler}{end}{{}}")).await;
        let resolver = plain.resolver().clone();
        let client =
            FederationClient::with_config(resolver, connector(&authority), limits).unwrap();
        let answer = watched(client.request(&"a.example".parse().unwrap(), get("/"))).await;
        assert_eq!(answer.is_ok(), passes, "{length}");
    }
}
