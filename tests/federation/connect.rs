//! The way to a server.

use std::time::Duration;

use matrix_delegation::client::{ConnectAttempt, ConnectPhase};
use matrix_delegation::testing::Internet;
use matrix_delegation::time::Now;
use matrix_delegation::{Endpoint, FixedTarget};

use super::peer::Peer;
use super::server::{Authority, refusing, silent};
use super::{connector, delegated, found, generous, resolver, watched};

fn phases(attempts: &[ConnectAttempt]) -> Vec<(u16, ConnectPhase)> {
    attempts.iter().map(|attempt| (attempt.port, attempt.phase)).collect()
}

#[tokio::test]
async fn the_third_endpoint_answers_where_two_do_not() {
    let authority = Authority::new();
    let (_held, dead) = refusing();
    let wrong = Peer::new(authority.named("t1.example")).await;
    let right = Peer::new(authority.server()).await;
    let resolver = resolver(delegated(&[dead, wrong.address, right.address]));
    let connector = connector(&authority).reporting_to(resolver.clone());
    let target = found(&resolver, "a.example").await;

    let connection = watched(connector.connect(&target)).await.unwrap();
    assert_eq!(connection.address(), Some(right.address));
    assert_eq!(connection.endpoint().host().to_string(), "t2.example");
    assert!(connection.is_http2());
    assert_eq!(
        phases(connection.failed_attempts()),
        [(dead.port(), ConnectPhase::Connect), (wrong.address.port(), ConnectPhase::Certificate)]
    );
    let shown = connection.to_string();
    let expected = format!("HTTP/2 to t2.example:{0} at 127.0.0.1:{0}", right.address.port());
    assert_eq!(shown, expected);
    // No byte of a request went to the wrong one.
    assert_eq!(wrong.asked(), []);

    // The resolver has heard of it: the third is tried first now.
    assert_eq!(resolver.counters().reports, 2);
    let again = found(&resolver, "a.example").await;
    let order: Vec<_> = again.attempts(1).map(Endpoint::port).collect();
    assert_eq!(order, [right.address.port(), dead.port(), wrong.address.port()]);
    let connection = watched(connector.connect(&again)).await.unwrap();
    assert_eq!(connection.failed_attempts(), []);
}

#[tokio::test]
async fn where_all_fail_the_error_lists_each_attempt() {
    let authority = Authority::new();
    let (_held, dead) = refusing();
    let wrong = Peer::new(authority.named("t1.example")).await;
    let expired = Peer::new(authority.expired()).await;
    let stranger = Peer::new(Authority::new().server()).await;
    let peers = [dead, wrong.address, expired.address, stranger.address];
    let resolver = resolver(delegated(&peers));
    let target = found(&resolver, "a.example").await;
    let error = watched(connector(&authority).connect(&target)).await.unwrap_err();
    let certificate = ConnectPhase::Certificate;
    assert_eq!(
        phases(&error.attempts),
        [
            (dead.port(), ConnectPhase::Connect),
            (wrong.address.port(), certificate),
            (expired.address.port(), certificate),
            (stranger.address.port(), certificate)
        ]
    );
    let shown = error.to_string();
    for words in ["a.example", "t0.example", "refused", "t1.example", "expired", "UnknownIssuer"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let json = serde_json::to_value(&error).unwrap();
    assert_eq!(json["attempts"].as_array().unwrap().len(), error.attempts.len());
}

#[tokio::test]
async fn a_silent_address_is_not_waited_for() {
    let authority = Authority::new();
    // It accepts and never says a word of TLS.
    let mute = silent().await;
    let right = Peer::new(authority.server()).await;
    let addresses = [mute, right.address];
    let target = FixedTarget::new(addresses).unwrap();
    let target = target.target(&"m.example".parse().unwrap(), Now::EPOCH).unwrap();
    let mut limits = generous();
    limits.phases.tls = Duration::from_millis(300);
    let connection = connector(&authority).with_limits(limits).unwrap();
    let connection = watched(connection.connect_to(&target)).await.unwrap();
    assert_eq!(connection.address(), Some(right.address));
    assert_eq!(phases(connection.failed_attempts()), [(mute.port(), ConnectPhase::Tls)]);
}

#[tokio::test]
async fn addresses_of_one_endpoint_are_tried_beside_each_other() {
    let authority = Authority::new();
    let right = Peer::at("[::1]:0", authority.server()).await;
    // The same port on IPv4 accepts and is silent.
    let mute = tokio::net::TcpListener::bind(("127.0.0.1", right.address.port())).await.unwrap();
    let internet = Internet::new().host("m.example", &["127.0.0.1", "::1"]);
    let resolver = resolver(internet);
    let target = found(&resolver, &format!("m.example:{}", right.address.port())).await;
    let connection = watched(connector(&authority).connect(&target)).await.unwrap();
    assert_eq!(connection.address(), Some(right.address));
    // The loser is given up, not failed.
    assert_eq!(connection.failed_attempts(), []);
    drop(mute);
}

#[tokio::test]
async fn the_time_for_all_of_it_is_limited() {
    let authority = Authority::new();
    let mute = silent().await;
    let resolver = resolver(delegated(&[mute, mute, mute]));
    let target = found(&resolver, "a.example").await;
    let mut limits = generous();
    limits.total = Duration::from_millis(300);
    let connector =
        connector(&authority).with_limits(limits).unwrap().reporting_to(resolver.clone());
    let error = watched(connector.connect(&target)).await.unwrap_err();
    assert_eq!(phases(&error.attempts), [(mute.port(), ConnectPhase::Tls)]);
    assert!(error.to_string().contains("ran out"), "{error}");
    // That says nothing of the endpoint.
    assert_eq!(resolver.counters().reports, 0);
}

#[tokio::test]
async fn literals_are_checked_by_their_address() {
    let authority = Authority::new();
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let right = Peer::at(at, authority.server()).await;
        let resolver = resolver(Internet::new());
        let target = found(&resolver, &right.address.to_string()).await;
        let connection = watched(connector(&authority).connect(&target)).await.unwrap();
        assert_eq!(connection.address(), Some(right.address));
        let wrong = Peer::at(at, authority.named("m.example")).await;
        let target = found(&resolver, &wrong.address.to_string()).await;
        let error = watched(connector(&authority).connect(&target)).await.unwrap_err();
        assert_eq!(error.attempts[0].phase, ConnectPhase::Certificate);
    }
}

#[tokio::test]
async fn http_1_is_spoken_where_http_2_is_not() {
    let authority = Authority::new();
    let right = Peer::http1(authority.server()).await;
    let target = FixedTarget::new([right.address]).unwrap();
    let target = target.target(&"m.example".parse().unwrap(), Now::EPOCH).unwrap();
    let connection = watched(connector(&authority).connect_to(&target)).await.unwrap();
    assert!(!connection.is_http2());
    assert_eq!(connection.to_string(), format!("HTTP/1.1 to {}", right.address));
}

#[tokio::test]
async fn sni_is_the_name_that_the_certificate_must_carry() {
    let authority = Authority::new();
    let (address, mut seen) = super::server::serve(authority.server(), |_| async {}).await;
    for (name, sni) in [("a.example", Some("m.example")), (&address.to_string(), None)] {
        let resolver = resolver(delegated(&[address]));
        let target = found(&resolver, name).await;
        let mut connection = watched(connector(&authority).connect(&target)).await.unwrap();
        watched(tokio::io::AsyncWriteExt::write_all(&mut connection, b"\r\n\r\n")).await.unwrap();
        let seen = watched(seen.recv()).await.unwrap();
        assert_eq!((seen.sni.as_deref(), seen.alpn.as_deref()), (sni, Some("h2")));
    }
}
