//! Whom to trust.

use super::*;

async fn refused_certificate(config: rustls::ServerConfig, client: &HyperFetch) -> String {
    let address = answering(config, OK).await;
    let failure = ask(client, question([address])).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Tls, "{failure}");
    let attempt = FetchAttempt { address, kind: Kind::Tls, detail: failure.detail.clone() };
    assert_eq!(failure.attempts, [attempt]);
    failure.detail
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let config = authority.named("other.example");
    let detail = refused_certificate(config, &authority.client()).await;
    assert!(detail.contains("not valid for name \"m.example\""), "{detail}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let detail = refused_certificate(authority.expired(), &authority.client()).await;
    assert!(detail.contains("expired"), "{detail}");
}

#[tokio::test]
async fn a_certificate_from_elsewhere_is_refused() {
    let elsewhere = Authority::new().server();
    let detail = refused_certificate(elsewhere, &Authority::new().client()).await;
    assert!(detail.contains("UnknownIssuer"), "{detail}");
}

#[tokio::test]
async fn an_ip_address_must_be_in_the_certificate() {
    let authority = Authority::new();
    let address = answering(authority.named(NAME), OK).await;
    let mut question = question([address]);
    question.tls_name = TlsName::try_from("127.0.0.1").unwrap();
    let failure = ask(&authority.client(), question).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Tls);
}

#[tokio::test]
async fn roots_come_from_a_pem_file() {
    let authority = Authority::new();
    // Another run of the tests may be under way.
    let file = format!("roots-{}.pem", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&path, authority.pem()).unwrap();
    let roots = TrustedRoots::platform().with_pem_file(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let address = answering(authority.server(), OK).await;
    let response = ask(
        &HyperFetch::with_roots(roots).unwrap().with_dial(Arc::new(LoopbackDial)),
        question([address]),
    )
    .await;
    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test]
async fn plain_text_is_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let failure = ask(&Authority::new().client(), question([address])).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Tls);
}
