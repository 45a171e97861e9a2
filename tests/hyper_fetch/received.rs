//! What comes back.

use std::fmt::Write as _;

use super::*;

#[tokio::test]
async fn a_redirect_is_returned_as_it_is() {
    let bytes = "HTTP/1.1 302 Found\r\nLocation: https://b.example/\r\nContent-Length: 0\r\n\r\n";
    let response = answer(bytes, generous()).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()[LOCATION], "https://b.example/");
}

#[tokio::test]
async fn a_content_coding_is_neither_asked_for_nor_undone() {
    let seen = seen(Request::get("https://m.example/"), by_name()).await;
    assert!(!seen.head.to_lowercase().contains("encoding"), "{}", seen.head);
    let bytes =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\0";
    let response = answer(bytes, generous()).await.unwrap();
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(*response.body(), Body::Complete(b"\x1f\x8b\x08\0".to_vec()));
}

#[tokio::test]
async fn the_body_limit_is_exact_however_the_body_is_framed() {
    let limit = FetchLimits::default().body_bytes;
    for length in [0, 1, limit - 1, limit, limit + 1, limit + 100_000] {
        let expected =
            if length > limit { Body::TooLarge } else { Body::Complete(vec![b'x'; length]) };
        let body = "x".repeat(length);
        let sized = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        assert_eq!(answered_body(sized).await, expected, "sized, {length}");
        let closed = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        assert_eq!(answered_body(closed).await, expected, "ended by the connection, {length}");
        let mut chunked = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in body.as_bytes().chunks(1_000) {
            write!(chunked, "{:x}\r\n{}\r\n", chunk.len(), "x".repeat(chunk.len())).unwrap();
        }
        chunked += "0\r\n\r\n";
        assert_eq!(answered_body(chunked).await, expected, "chunked, {length}");
    }
}

#[tokio::test]
async fn a_body_in_chunks_of_one_byte_is_within_proportion() {
    let limit = FetchLimits::default().body_bytes;
    let chunks = "1\r\nx\r\n".repeat(limit);
    let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(answered_body(bytes).await, Body::Complete(vec![b'x'; limit]));
}

#[tokio::test]
async fn a_content_length_beyond_the_limit_is_believed() {
    // The server sends nothing of it, so it cannot have been read.
    let authority = Authority::new();
    let (address, _) = serve(authority.server(), |mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 51201\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let response = ask(&authority.client(), question([address])).await.unwrap();
    assert_eq!(*response.body(), Body::TooLarge);
}

/// CVE-2021-21274: Synapse read a document of any length into memory.
#[test]
fn cve_2021_21274_a_document_without_end_takes_little_memory() {
    const MIB: u64 = 1 << 20;
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let authority = Authority::new();
            let first = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"x\":\"";
            let address = repeating(authority.server(), first, &[b'x'; 16 * 1024]).await;
            let response = ask(&authority.client(), question([address])).await.unwrap();
            assert_eq!(*response.body(), Body::TooLarge);
        });
    };
    // With the server, which runs on this thread, and TLS.
    let most = allocation_counter::measure(run).bytes_max;
    assert!(most < 2 * MIB, "{most}");
}

#[tokio::test]
async fn a_body_without_end_is_too_large() {
    let authority = Authority::new();
    for (first, then) in [
        (CHUNKED, &b"5\r\nhello\r\n"[..]),
        // Zeros in front of a size, and spaces behind it, which hyper does not count.
        (CHUNKED, b"0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5", b" "),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    ] {
        let address = repeating(authority.server(), first, then).await;
        let response = ask(&authority.client(), question([address])).await.unwrap();
        assert_eq!(*response.body(), Body::TooLarge, "{}", String::from_utf8_lossy(then));
    }
}

#[tokio::test]
async fn the_connection_is_closed_once_a_body_is_too_large() {
    let authority = Authority::new();
    let (closed, mut wait) = mpsc::unbounded_channel();
    let (address, _) = serve(authority.server(), move |mut stream| {
        let closed = closed.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            closed.send(()).unwrap();
        }
    })
    .await;
    let response = ask(&authority.client(), question([address])).await.unwrap();
    assert_eq!(*response.body(), Body::TooLarge);
    tokio::time::timeout(WATCHDOG, wait.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn chunk_extensions_and_trailers_are_passed_over_but_not_without_end() {
    let few = [CHUNKED, b"2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n"].concat();
    assert_eq!(answered_body(few).await, Body::Complete(b"{}".to_vec()));
    let authority = Authority::new();
    for (first, then) in [
        (&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;"[..], &b"a"[..]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X"),
    ] {
        let address = repeating(authority.server(), first, then).await;
        let failure = ask(&authority.client(), question([address])).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Protocol, "{failure}");
    }
}

/// A complete response whose head takes this many bytes.
fn head_of(bytes: usize) -> String {
    let (start, end) = ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ", "\r\n\r\n");
    format!("{start}{}{end}{{}}", "y".repeat(bytes - start.len() - end.len()))
}

#[tokio::test]
async fn the_head_limit_is_exact() {
    // hyper's own buffer cannot be made smaller than 8,192 bytes.
    for limit in [100, 8_191, 8_192, 8_193, 16 * 1024, 300_000] {
        let mut limits = generous();
        limits.head_bytes = limit;
        let response = answer(head_of(limit), limits).await.unwrap();
        assert_eq!(*response.body(), Body::Complete(b"{}".to_vec()), "{limit}");
        let failure = answer(head_of(limit + 1), limits).await.unwrap_err();
        assert_eq!(failure.kind, Kind::HeadTooLarge, "{limit}");
    }
}

#[tokio::test]
async fn a_megabyte_of_head_is_too_large() {
    assert_eq!(failure(head_of(1_000_000)).await, Kind::HeadTooLarge);
}

#[tokio::test]
async fn limits_without_limit_do_no_harm() {
    let mut limits = generous();
    limits.head_bytes = usize::MAX;
    limits.body_bytes = usize::MAX;
    (limits.phases.connect, limits.phases.tls) = (Duration::MAX, Duration::MAX);
    (limits.exchange, limits.total) = (Duration::MAX, Duration::MAX);
    let response = answer(OK, limits).await.unwrap();
    assert_eq!(*response.body(), Body::Complete(b"{}".to_vec()));
}

#[tokio::test]
async fn limits_of_nothing_let_nothing_through() {
    let mut limits = generous();
    limits.head_bytes = 0;
    assert_eq!(answer(OK, limits).await.unwrap_err().kind, Kind::HeadTooLarge);
    let mut limits = generous();
    limits.body_bytes = 0;
    assert_eq!(*answer(OK, limits).await.unwrap().body(), Body::TooLarge);
    let mut limits = generous();
    limits.total = Duration::ZERO;
    assert_eq!(answer(OK, limits).await.unwrap_err().kind, Kind::ConnectTimeout);
}

#[tokio::test]
async fn a_head_may_have_a_thousand_lines() {
    let authority = Authority::new();
    let answer = async |lines: usize, most: usize| {
        let lines = "a:\r\n".repeat(lines - 1);
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\n{{}}");
        let address = answering(authority.server(), bytes).await;
        let mut fetch = question([address]);
        fetch.limits.head_lines = most;
        ask(&authority.client(), fetch).await
    };
    let most = FetchLimits::default().head_lines;
    for (lines, most) in [(most, most), (4_000, 4_000)] {
        let response = answer(lines, most).await.unwrap();
        assert_eq!(*response.body(), Body::Complete(b"{}".to_vec()), "{lines}");
        let failure = answer(lines + 1, most).await.unwrap_err();
        assert_eq!(failure.kind, Kind::HeadTooLarge, "{lines}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_too_large() {
    let authority = Authority::new();
    for (first, then) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n"[..]),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 ", b"O"),
        // Empty lines before the status line, which the parser passes over.
        (b"", b"\r\n"),
        // Interim responses, of which hyper would take any number.
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ] {
        let address = repeating(authority.server(), first, then).await;
        let failure = ask(&authority.client(), question([address])).await.unwrap_err();
        assert_eq!(failure.kind, Kind::HeadTooLarge, "{}", String::from_utf8_lossy(then));
    }
}

#[tokio::test]
async fn a_few_interim_responses_are_passed_over() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let response = answer([interim, OK].concat(), generous()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(*response.body(), Body::Complete(b"{}".to_vec()));
}

#[tokio::test]
async fn what_is_no_http_is_said_to_be_none() {
    for bytes in [
        "{\"m.server\":\"m.example\"}\r\n\r\n",
        "<html></html>",
        "SSH-2.0-x\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ] {
        assert_eq!(failure(bytes).await, Kind::Protocol, "{bytes}");
    }
}

#[tokio::test]
async fn an_early_end_is_a_cut_off() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for length in 0..whole.len() {
        assert_eq!(failure(&whole[..length]).await, Kind::CutOff, "{length} bytes");
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    for length in chunked.len() - 14..chunked.len() {
        assert_eq!(failure(&chunked[..length]).await, Kind::CutOff, "{length} bytes of chunks");
    }
}

#[tokio::test]
async fn without_a_farewell_a_body_of_unknown_length_is_cut_off() {
    let authority = Authority::new();
    for (bytes, expected) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n{}"[..], Err(Kind::CutOff)),
        (OK, Ok(Body::Complete(b"{}".to_vec()))),
    ] {
        let (address, _) = serve(authority.server(), move |mut stream| async move {
            stream.write_all(bytes).await.unwrap();
            // The socket beneath TLS is closed, and nothing said about it.
            stream.get_mut().0.shutdown().await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let outcome = ask(&authority.client(), question([address])).await;
        assert_eq!(outcome.map(Response::into_body).map_err(|failure| failure.kind), expected);
    }
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_is_a_failure_of_tls() {
    let authority = Authority::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let address = answering(authority.server_asking(verifier), OK).await;
    let failure = ask(&authority.client(), question([address])).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Tls, "{failure}");
    assert!(failure.detail.contains("CertificateRequired"), "{failure}");
}
