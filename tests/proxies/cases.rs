//! Every way to be found, in each of the four.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request};
use matrix_delegation::plan::{Document, Setup, Way};
use matrix_delegation::{Body, Fetch, ServerName, WellKnownFetch};
use tokio::time::timeout;

use crate::client::{Client, policy};
use crate::internet::VERSION_PATH;
use crate::internet::check::federation;
use crate::proxies::Program;
use crate::server::{start, understands};
use crate::upstream::{Seen, Upstream, VERSION};

/// Whatever takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// What a proxy that decodes, sorts out or encodes anew would change.
const PATHS: [&str; 8] = [
    VERSION_PATH,
    "/_matrix/federation/v1/event/%24abc%2Fdef%20x",
    "/_matrix/federation/v1/state/!room%3Aexample.org?event_id=%24a%2Fb%20c&x=%C3%A4",
    "/_matrix/federation/v1/event/%24a%2f%7e~%41",
    "/_matrix/federation/v1/query/directory?room_alias=%23a%2F..%2Fb:example.org",
    "/_matrix/federation/v1/event/a%25b%2525",
    "/_matrix/federation/v1/event/$a;b=c,d+e@f'(g)*",
    "/_matrix/key/v2/server/",
];

/// Server name, where it listens, what its certificates carry.
const CASES: [(&str, &str, &str); 8] = [
    // A document, and the federation elsewhere.
    ("example.org", "matrix.example.org:8448", "matrix.example.org"),
    // Both at port 443, told apart by name.
    ("example.org", "matrix.example.org:443", "matrix.example.org"),
    // Both at port 443 of one host.
    ("example.org", "example.org:443", "example.org"),
    // SRV records.
    ("example.org", "matrix.example.org:8448", "example.org"),
    // Nothing needed.
    ("Example.org", "example.org:8448", "example.org"),
    // No name at all, neither in SNI nor in the certificate.
    ("127.0.0.1", "127.0.0.1:8448", "127.0.0.1"),
    ("[::1]:443", "[::1]:443", "::1"),
    // A document that delegates to an address at the same port.
    ("example.org", "127.0.0.1:443", "127.0.0.1"),
];

async fn every_case(program: Program) {
    for (name, listening, certificate) in CASES {
        if program == Program::Caddy && listening.starts_with("[::1]") {
            // Without SNI it goes by the address that it is reached at, and here that is 127.0.0.1.
            continue;
        }
        let setup = Setup::new(name.parse().unwrap(), listening.parse().unwrap())
            .with_certificate_names([certificate.parse().unwrap()])
            .with_address_policy(policy());
        let plan = setup.plan();
        let way = plan.recommended().unwrap_or_else(|| panic!("{plan}"));
        let upstream = Upstream::start().await;
        let Some(server) = start(program, way, upstream.port) else { return };
        let client = Client::new(setup.server_name(), way, &server).await;
        let work = async {
            if let Some(document) = way.document() {
                is_served(&client, document).await;
            }
            is_reached(&client, setup.server_name(), way, &upstream).await;
        };
        timeout(WATCHDOG, work)
            .await
            .unwrap_or_else(|_| panic!("{program:?} hangs at {name}: {}", server.said()));
    }
}

/// The document comes as the plan has it.
async fn is_served(client: &Client, document: &Document) {
    let request =
        Request::get(document.url()).header(HOST, document.host().to_string()).body(()).unwrap();
    let at: SocketAddr = "127.0.0.1:443".parse().unwrap();
    let fetch = Fetch::new(request, vec![at], document.host().tls_name().to_owned());
    let response = client.fetch.fetch(fetch).await.unwrap();
    assert_eq!(response.status(), 200);
    for (name, expected) in [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "max-age=86400")] {
        let values: Vec<&HeaderValue> = response.headers().get_all(&name).iter().collect();
        assert_eq!(values, [expected], "{name}");
    }
    let body = document.body().into_bytes();
    assert_eq!(response.into_body(), Body::Complete(body));
}

/// The server name leads where the plan says, and what is asked there reaches the homeserver as it
/// was sent.
async fn is_reached(client: &Client, name: &ServerName, way: &Way, upstream: &Upstream) {
    let contact = way.contact();
    let found = client.resolver.resolve(name).await.unwrap();
    assert_eq!(found.step(), contact.step, "{found:?}");
    let [endpoint] = found.endpoints() else { panic!("{found:?}") };
    assert_eq!((endpoint.host(), endpoint.port()), (&contact.host, contact.port));
    assert_eq!(found.authority(), contact.host_header);
    assert_eq!(found.tls_host(), &contact.certificate_name);

    let seen = |method: &str, path: &str, body: usize| Seen {
        method: method.to_owned(),
        path: path.to_owned(),
        host: vec![contact.host_header.clone()],
        forwarded_for: vec!["127.0.0.1".to_owned()],
        forwarded_proto: vec!["https".to_owned()],
        body,
    };
    for path in PATHS {
        let response = federation::get(&*client.fetch, &found, 1, path).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.into_body(), Body::Complete(VERSION.into()), "{path}");
        assert_eq!(upstream.take(), [seen("GET", path, 0)]);
    }
    // Everything else is not the homeserver's.
    for path in ["/", "/_matrixes/x", "/_synapse/admin/v1/x"] {
        let response = federation::get(&*client.fetch, &found, 1, path).await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(upstream.take(), [], "{path}");
    }
    // More than what some let through unless told otherwise.
    let path = "/_matrix/federation/v1/send/1";
    assert_eq!(client.put(way, path, 3 << 20).await, 200);
    assert_eq!(upstream.take(), [seen("PUT", path, 3 << 20)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx() {
    every_case(Program::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy() {
    every_case(Program::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache() {
    every_case(Program::Apache).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy() {
    every_case(Program::Haproxy).await;
}

/// What is printed without `--standalone`, which is what people add to their system's configuration.
#[test]
fn parts_are_understood_in_a_whole() {
    for program in [Program::Nginx, Program::Caddy, Program::Apache, Program::Haproxy] {
        for (name, listening, certificate) in CASES {
            let setup = Setup::new(name.parse().unwrap(), listening.parse().unwrap())
                .with_certificate_names([certificate.parse().unwrap()])
                .with_address_policy(policy());
            let plan = setup.plan();
            match understands(program, plan.recommended().unwrap()) {
                None => break,
                Some(result) => assert_eq!(result, Ok(()), "{program:?} {name} {listening}"),
            }
        }
    }
}
