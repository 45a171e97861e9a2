//! What goes out.

use super::*;

#[tokio::test]
async fn an_answer_comes_back_as_it_is() {
    let response = answer(OK, generous()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-y"], "z");
    assert_eq!(*response.body(), Body::Complete(b"{}".to_vec()));
    assert!(response.extensions().is_empty());
}

#[tokio::test]
async fn the_request_goes_out_byte_for_byte() {
    let request = Request::get("https://m.example/.well-known/matrix/server")
        .header("user-agent", "me")
        .header("Host", "M.Example:8448")
        .header("Accept", "*/*");
    let seen = seen(request, by_name()).await;
    assert_eq!(
        seen.head,
        "GET /.well-known/matrix/server HTTP/1.1\r\nhost: M.Example:8448\r\nconnection: close\r\n\
         user-agent: me\r\naccept: */*\r\n\r\n"
    );
}

#[tokio::test]
async fn without_a_host_header_the_authority_stands_in() {
    let seen = seen(Request::get("https://other.example:443"), by_name()).await;
    assert_eq!(seen.head, "GET / HTTP/1.1\r\nhost: other.example\r\nconnection: close\r\n\r\n");
}

#[tokio::test]
async fn sni_is_the_tls_name_and_alpn_is_http_1_1() {
    let seen = seen(Request::get("https://other.example/"), by_name()).await;
    assert_eq!(seen.sni.as_deref(), Some(NAME));
    assert_eq!(seen.alpn.as_deref(), Some("http/1.1"));
}

#[tokio::test]
async fn an_ip_address_is_verified_and_never_sent_as_sni() {
    let name = TlsName::try_from("127.0.0.1").unwrap();
    let seen = seen(Request::get("https://127.0.0.1/"), name).await;
    assert_eq!(seen.sni, None);
}

#[tokio::test]
async fn alpn_is_set_on_a_configuration_of_ones_own_too() {
    let authority = Authority::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.root()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (address, mut requests) = serve(authority.server(), |mut stream| async move {
        stream.write_all(OK).await.unwrap();
    })
    .await;
    ask(&HyperFetch::new(config).with_dial(Arc::new(LoopbackDial)), question([address]))
        .await
        .unwrap();
    assert_eq!(requests.recv().await.unwrap().alpn.as_deref(), Some("http/1.1"));
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_not() {
    let authority = Authority::new();
    let address = answering(authority.server(), OK).await;
    let mut question = question([address]);
    question.request = Request::get("/only/a/path").body(()).unwrap();
    let failure = ask(&authority.client(), question).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Adapter);
    assert_eq!(failure.attempts, []);
}

#[test]
fn proxies_in_the_environment_are_ignored() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "sent::an_answer_comes_back_as_it_is"]);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, "http://127.0.0.1:9").env(name.to_uppercase(), "http://127.0.0.1:9");
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
