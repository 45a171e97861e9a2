//! How long.

use super::*;

#[tokio::test]
async fn silence_before_tls_has_its_limit() {
    let mut question = question([silent().await]);
    question.limits.phases.tls = SHORT;
    let failure = ask(&Authority::new().client(), question).await.unwrap_err();
    assert_eq!(failure.kind, Kind::TlsTimeout);
}

#[tokio::test]
async fn silence_after_the_request_has_its_limit() {
    let authority = Authority::new();
    for bytes in
        [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"]
    {
        let (address, _) = serve(authority.server(), move |mut stream| async move {
            stream.write_all(bytes).await.unwrap();
            stream.flush().await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let mut question = question([address]);
        question.limits.exchange = SHORT;
        let failure = ask(&authority.client(), question).await.unwrap_err();
        assert_eq!(failure.kind, Kind::ExchangeTimeout, "{}", String::from_utf8_lossy(bytes));
    }
}

/// Writes the first bytes at once, then one at a time for ever.
async fn dripping(authority: &Authority, first: &'static [u8], then: &'static [u8]) -> SocketAddr {
    let (address, _) = serve(authority.server(), move |mut stream| async move {
        let mut written = stream.write_all(first).await;
        let mut drops = then.chunks(1).cycle();
        while written.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            written = stream.write_all(drops.next().unwrap()).await;
            let _ = stream.flush().await;
        }
    })
    .await;
    address
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_exchange() {
    let authority = Authority::new();
    for (first, then) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n"[..]),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
    ] {
        let address = dripping(&authority, first, then).await;
        let mut question = question([address]);
        question.limits.exchange = SHORT;
        let failure = ask(&authority.client(), question).await.unwrap_err();
        assert_eq!(failure.kind, Kind::ExchangeTimeout, "{}", String::from_utf8_lossy(first));
    }
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_fetch() {
    let authority = Authority::new();
    let address = dripping(&authority, b"HTTP/1.1 200 OK\r\n\r\n", b"x").await;
    let mut question = question([address, address]);
    // Long enough for TLS to stand on a loaded machine.
    question.limits.total = Duration::from_secs(2);
    let failure = ask(&authority.client(), question).await.unwrap_err();
    assert_eq!(kinds(&failure), [Kind::ExchangeTimeout]);
}

#[tokio::test]
async fn all_addresses_share_the_total() {
    let mut question = question([silent().await, silent().await, silent().await]);
    question.limits.total = SHORT;
    let failure = ask(&Authority::new().client(), question).await.unwrap_err();
    assert_eq!(kinds(&failure), [Kind::TlsTimeout]);
}
