//! Every way to be found, in each of the four.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use matrix_delegation::plan::{Document, Setup, Way, WayKind};
use matrix_delegation::well_known::{Body, Fetch};
use matrix_delegation::{ServerName, WellKnownFetch};
use tokio::time::timeout;

use crate::client::{Client, policy};
use crate::internet::VERSION_PATH;
use crate::proxies::Program;
use crate::server::{has_ipv6, start, understands};
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

/// A label of 63 characters, which is the most that DNS has.
macro_rules! label {
    () => {
        "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-123456789"
    };
}

/// As long as the specification would have a server name be at most: 230 characters.
macro_rules! longest {
    () => {
        concat!(label!(), ".", label!(), ".", label!(), ".and-long-names-need-some-rooms.example")
    };
}

/// Server name, where it listens, what its certificates carry.
const CASES: [(&str, &str, &str); 12] = [
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
    // A name with a port, which is sent to the homeserver, too.
    ("example.org:9443", "example.org:9443", "example.org"),
    // As bücher.example is written in DNS.
    ("xn--bcher-kva.example", "matrix.xn--bcher-kva.example:443", "*.xn--bcher-kva.example"),
    // Two long ones at one port, and one of the length that the specification sets.
    (
        concat!(label!(), ".example"),
        concat!("matrix.", label!(), ".example:443"),
        concat!("*.", label!(), ".example"),
    ),
    (longest!(), concat!(longest!(), ":8448"), longest!()),
];

async fn every_case(program: Program) {
    for (name, listening, certificate) in CASES {
        if program == Program::Caddy && listening.starts_with("[::1]") && !has_ipv6() {
            // Without SNI it goes by the address that it is reached at, which is 127.0.0.1 then.
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
            let version = match program {
                Program::Caddy => Version::HTTP_2,
                _ => Version::HTTP_11,
            };
            is_reached(&client, setup.server_name(), way, &upstream, version).await;
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
async fn is_reached(
    client: &Client,
    name: &ServerName,
    way: &Way,
    upstream: &Upstream,
    version: Version,
) {
    let contact = way.contact();
    let found = client.federation.resolver().resolve(name).await.unwrap();
    assert_eq!(found.step(), contact.step, "{found:?}");
    let [endpoint] = found.endpoints().collect::<Vec<_>>()[..] else { panic!("{found:?}") };
    assert_eq!((endpoint.host(), endpoint.port()), (&contact.host, contact.port));
    assert_eq!(found.authority(), contact.host_header);
    assert_eq!(found.tls_host(), &contact.certificate_name);

    let seen = |method: &str, path: &str, body: usize| Seen {
        method: method.to_owned(),
        path: path.to_owned(),
        host: vec![contact.host_header.clone()],
        forwarded_for: vec![client.address().to_string()],
        forwarded_proto: vec!["https".to_owned()],
        body,
    };
    let ask = async |path: &str| {
        let request = Request::get(path).body(Empty::<Bytes>::new()).unwrap();
        let response = client.federation.request(name, request).await.unwrap();
        assert_eq!(response.version(), version, "{path}");
        let (head, body) = response.into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    };
    for path in PATHS {
        let (head, body) = ask(path).await;
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.headers["content-type"], "application/json");
        assert_eq!(body, VERSION, "{path}");
        assert_eq!(upstream.take(), [seen("GET", path, 0)]);
        assert_eq!(client.ask(way, "GET", path, 0).await, 200, "{path}");
        assert_eq!(upstream.take(), [seen("GET", path, 0)]);
    }
    // Everything else is not the homeserver's.
    for path in ["/", "/_matrixes/x", "/_synapse/admin/v1/x", "/.well-known/matrix/server/x"] {
        assert_eq!(ask(path).await.0.status, 404, "{path}");
        assert_eq!(client.ask(way, "GET", path, 0).await, 404, "{path}");
        assert_eq!(upstream.take(), [], "{path}");
    }
    // More than what some let through unless told otherwise.
    let path = "/_matrix/federation/v1/send/1";
    assert_eq!(client.ask(way, "PUT", path, 3 << 20).await, 200);
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
    let mut checked = 0;
    for program in [Program::Nginx, Program::Caddy, Program::Apache, Program::Haproxy] {
        for (name, listening, certificate) in CASES {
            let own = if name.ends_with("example.org") { "example.org" } else { certificate };
            let setup = Setup::new(name.parse().unwrap(), listening.parse().unwrap())
                .with_certificate_names([certificate, own].map(|it| it.parse().unwrap()))
                .with_address_policy(policy());
            let plan = setup.plan();
            for kind in WayKind::ALL {
                let Some(way) = plan.proposal(kind).way() else { continue };
                let loopback = has_ipv6().then_some(IpAddr::from(Ipv6Addr::LOCALHOST));
                for bind in [None, loopback] {
                    match understands(program, way, bind) {
                        None => break,
                        Some(result) => {
                            let case = format!("{program:?} {name} {listening} {kind} {bind:?}");
                            assert_eq!(result, Ok(()), "{case}");
                            checked += 1;
                        }
                    }
                }
            }
        }
    }
    println!("{checked} configurations are understood");
}
