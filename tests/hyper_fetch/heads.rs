//! Heads as real servers send them, and responses that go by their heads.

use super::*;

const DELEGATES: &str = r#"{"m.server": "127.0.1.1:8448"}"#;

/// Asks a server that says this and then keeps the connection open, in silence.
async fn left_open(bytes: impl Into<Vec<u8>>) -> Result<Response<Body>, FetchFailure> {
    let bytes: Arc<[u8]> = bytes.into().into();
    let authority = Authority::new();
    let (address, _) = serve(authority.server(), move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    ask(&authority.client(), question([address])).await
}

#[tokio::test]
async fn what_is_not_200_goes_by_its_head() {
    for (head, body) in [
        // No length, too short, chunks that do not end, a length beyond all limits, none at all.
        ("301 Moved\r\nLocation: https://two.test/x\r\n", ""),
        ("301 Moved\r\nLocation: https://two.test/x\r\nContent-Length: 178\r\n", "<html>"),
        ("302 Found\r\nLocation: /y\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("307 Elsewhere\r\nLocation: /y\r\nContent-Length: 99999999\r\n", "x"),
        ("308 Elsewhere\r\nLocation: /y\r\nContent-Length: 0\r\n", ""),
        ("404 Not Found\r\nContent-Type: text/html\r\n", "<html>"),
        ("404 Not Found\r\nContent-Length: 1245\r\n", "<html>"),
        ("410 Gone\r\nTransfer-Encoding: chunked\r\n", ""),
        ("503 Busy\r\nRetry-After: 120\r\n", "<html>"),
        ("204 Nothing\r\n", ""),
        ("206 Part\r\nContent-Length: 2\r\n", "{}"),
    ] {
        let response = left_open(format!("HTTP/1.1 {head}\r\n{body}")).await.unwrap();
        assert_eq!(response.status().as_str(), &head[..3]);
        let Body::Complete(page) = response.body() else { panic!("{head}") };
        // As much as has come by then, and of a body in chunks what is in them.
        assert!(body.contains(std::str::from_utf8(page).unwrap()), "{head}");
        assert_eq!(response.headers().contains_key(LOCATION), head.contains("Location"));
    }
}

#[tokio::test]
async fn of_a_page_that_is_no_document_the_beginning_is_kept() {
    let page = "<title>Just a moment...</title>".to_owned() + &"x".repeat(6_000);
    let chunked = format!("10\r\n{}\r\n0\r\n\r\n", &page[..16]);
    for (head, body, kept) in [
        ("Content-Length: 100000", &page, &page[..4_096]),
        ("Connection: close", &page, &page[..4_096]),
        ("Content-Length: 31", &page[..31].to_owned(), &page[..31]),
        ("Transfer-Encoding: chunked", &chunked, &page[..16]),
    ] {
        // In one record of TLS, so that the page comes with the head.
        let response = left_open(format!("HTTP/1.1 403 No\r\n{head}\r\n\r\n{body}")).await.unwrap();
        assert_eq!(*response.body(), Body::Complete(kept.into()), "{head}");
    }
}

#[tokio::test]
async fn the_connection_is_closed_once_the_head_says_enough() {
    let authority = Authority::new();
    let (closed, mut wait) = mpsc::unbounded_channel();
    let (address, _) = serve(authority.server(), move |mut stream| {
        let closed = closed.clone();
        async move {
            stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            closed.send(()).unwrap();
        }
    })
    .await;
    assert_eq!(ask(&authority.client(), question([address])).await.unwrap().status(), 302);
    tokio::time::timeout(WATCHDOG, wait.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn odd_lines_do_not_cost_the_response() {
    for (kind, lines) in [
        ("folded", "Content-Security-Policy: default-src 'self';\r\n    script-src 'self'\r\n"),
        ("folded by a bare LF", "Content-Security-Policy: default-src 'self';\n  x 'self'\r\n"),
        ("folded twice, by tabs", "X-A: 1\r\n\t2\r\n\t3\r\n"),
        ("folded, and nothing follows", "X-A:\r\n \r\n"),
        ("folded before any header", " stray\r\nX-A: 1\r\n"),
        ("a blank before the colon", "Access-Control-Allow-Credentials : true\r\n"),
        ("a tab before the colon", "X-A\t: 1\r\n"),
        ("blanks before the colon", "X-A \t : 1\r\nX-B  : 2\r\n"),
        ("no colon", "no header\r\n"),
        ("words before a colon", "PHP Warning:  PHP Startup: Unable to load library\r\n"),
        ("a page's first line", "<br />\r\n<b>Notice</b>: Undefined index\r\n"),
        ("brackets in a name", "X-Foo[bar]: 1\r\n"),
        ("a name in UTF-8", "X-Stra\u{df}e: 1\r\n"),
        ("a control byte in a name", "X-\u{1}A: 1\r\n"),
        ("an empty name", ": x\r\n"),
        ("an empty name and value", ":\r\n"),
        ("a blank for a name", " : x\r\n"),
        ("a control byte in a value", "Set-Cookie: a=dmo\u{1}OZ; path=/\r\n"),
        ("an escape in a value", "X-A: \u{1b}[0m\r\n"),
        ("DEL in a value", "X-A: \u{7f}\r\n"),
        ("a control byte in what is folded", "X-A: 1\r\n \u{2}\r\n"),
        ("all at once", "X A: 1\r\n 2\r\n: \u{1}\r\nX-B : 3\r\n 4\r\n"),
    ] {
        let length = DELEGATES.len();
        for head in [
            format!("{lines}Content-Length: {length}\r\nCache-Control: max-age=60\r\n"),
            format!("Cache-Control: max-age=60\r\nContent-Length: {length}\r\nX:\r\n{lines}"),
        ] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n{DELEGATES}");
            let response = left_open(bytes).await.unwrap();
            assert_eq!(*response.body(), Body::Complete(DELEGATES.into()), "{kind}");
            assert_eq!(response.headers()["cache-control"], "max-age=60", "{kind}");
        }
    }
}

#[tokio::test]
async fn what_is_folded_is_joined_and_what_has_blanks_is_kept() {
    let head = "Cache-Control: no-cache,\r\n \t max-age=7\r\nX-Blank : yes\r\nx[]: no\r\n";
    let bytes = format!("HTTP/1.1 103 Hints\r\nX : y\r\n\r\nHTTP/1.1 200 OK\r\n{head}\r\n{{}}");
    let response = answer(bytes, generous()).await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-cache, max-age=7");
    assert_eq!(response.headers()["x-blank"], "yes");
    assert_eq!(response.headers().len(), 2);
    assert_eq!(*response.body(), Body::Complete(b"{}".to_vec()));
}

#[tokio::test]
async fn what_smuggling_depends_on_stays_strict() {
    for lines in [
        "Content-Length : 2\r\n",
        "Content-Length:\r\n 2\r\n",
        "Content-Length: 2\r\n 2\r\n",
        " Content-Length: 2\r\n",
        "X-A: 1\r\n Content-Length: 2\r\n",
        "Content Length: 2\r\nContent-\tLength: 2\r\n",
        "Content-Length: 2\u{1}\r\n",
        "\u{1}Content-Length: 2\r\n",
        "Content-Length 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\nX A: 1\r\n",
        "Content-Length: 2, 3\r\nX A: 1\r\n",
        "Content-Length: +2\r\nX A: 1\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n\tchunked\r\n",
        "Transfer\u{b}-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\u{7f}\r\n",
        // NUL and a bare CR, wherever they stand.
        "X-A: \0\r\n",
        "X\0A: 1\r\n",
        "X-A: 1\rX-B: 2\r\n",
        "X-A: 1\r\r\n",
        "X A: 1\r\n\rX-B: 2\r\n",
    ] {
        for lines in [lines.to_owned(), format!("X A: 1\r\n{lines}Content-Length: 2\r\n")] {
            let failure = left_open(format!("HTTP/1.1 200 OK\r\n{lines}\r\n{{}}")).await;
            // Two names of blanks are a header of another name, and skipped.
            if lines.contains("Content Length: 2") && !lines.contains('\t') {
                continue;
            }
            assert_eq!(failure.unwrap_err().kind, Kind::Protocol, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_mended_head_has_the_same_limit_and_comes_in_any_pieces() {
    let odd = "X-A: 1\r\n 2\r\nX B: 3\r\n";
    let head = move |filler: usize| {
        let filler = "y".repeat(filler);
        format!("HTTP/1.1 200 OK\r\n{odd}X: {filler}\r\nContent-Length: 2\r\n\r\n{{}}")
    };
    let bare = head(0).len() - 2;
    for limit in [bare + 10, 20_000] {
        let mut limits = generous();
        limits.head_bytes = limit;
        let response = answer(head(limit - bare), limits).await.unwrap();
        assert_eq!(response.headers()["x-a"], "1 2");
        let failure = answer(head(limit - bare + 1), limits).await.unwrap_err();
        assert_eq!(failure.kind, Kind::HeadTooLarge);
    }
    let authority = Authority::new();
    for piece in [1, 3, 16] {
        let (address, _) = serve(authority.server(), move |mut stream| async move {
            for piece in head(9).as_bytes().chunks(piece) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
            }
            std::future::pending::<()>().await;
        })
        .await;
        let response = ask(&authority.client(), question([address])).await.unwrap();
        assert_eq!(response.headers()["x-a"], "1 2");
        assert_eq!(*response.body(), Body::Complete(b"{}".to_vec()));
    }
}
