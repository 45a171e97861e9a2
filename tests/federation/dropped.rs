//! Requests and connections that are dropped at each of their awaits: no permit is taken, no task lives and
//! no socket is open.

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use tokio::runtime::Handle;

use super::client::{ask, get, read, until};
use super::peer::Peer;
use super::polled::{polled, until_over};
use super::server::Authority;
use super::{config, connector, delegated, found, limited, resolver};

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_request_that_is_dropped_at_any_await_leaves_nothing() {
    let authority = Authority::new();
    let mut limits = config();
    (limits.concurrent, limits.waiting, limits.per_server) = (1, 0, 1);
    (limits.connecting, limits.connecting_waiting) = (1, 0);
    for peer in [Peer::new(authority.server()).await, Peer::http1(authority.server()).await] {
        // Over a new connection, and over one that is kept.
        for is_kept in [false, true] {
            let before = alive();
            let awaits = until_over(async |polls| {
                let client = limited(&authority, peer.address, &limits);
                if is_kept {
                    read(ask(&client, "a.example", get("/")).await).await;
                    until(|| client.connections() == 1).await;
                }
                let name = "a.example".parse().unwrap();
                let body = Full::new(Bytes::from_static(b"[]"));
                let request = Request::put("/").body(body).unwrap();
                let whole = async {
                    let response = client.request(&name, request).await.unwrap();
                    response.into_body().collect().await.unwrap()
                };
                let over = polled(whole, polls).await.is_some();
                // The only permit for the server is there, and the only one to connect.
                read(ask(&client, "a.example", get("/")).await).await;
                until(|| client.connections() == 1).await;
                drop(client);
                until(|| peer.open() == 0 && alive() == before).await;
                over
            })
            .await;
            assert!(awaits > 1, "{awaits}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_dropped_at_any_await_is_closed() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let resolver = resolver(delegated(&[peer.address]));
    let (found, connector) = (found(&resolver, "a.example").await, connector(&authority));
    let before = alive();
    let awaits = until_over(async |polls| {
        let over = polled(connector.connect(&found), polls).await.is_some();
        until(|| peer.open() == 0 && alive() == before).await;
        connector.connect(&found).await.unwrap();
        until(|| peer.open() == 0 && alive() == before).await;
        over
    })
    .await;
    assert!(awaits > 1, "{awaits}");
}

#[tokio::test]
async fn a_client_that_is_dropped_ends_its_tasks_at_once() {
    let authority = Authority::new();
    let peer = Peer::new(authority.server()).await;
    let before = alive();
    for _ in 0..3 {
        let client = limited(&authority, peer.address, &config());
        read(ask(&client, "a.example", get("/")).await).await;
        until(|| client.connections() == 1).await;
        assert!(alive() > before);
        drop(client);
        until(|| peer.open() == 0 && alive() == before).await;
    }
}
