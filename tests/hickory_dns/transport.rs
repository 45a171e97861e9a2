//! Over what a server is asked, how often, and which one first.

use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use matrix_delegation::adapters::{DnsTransport, ServerOrder};
use matrix_delegation::dns::{DnsAnswer, DnsFailure, NoRecord};

use super::server::{Server, Transport, address, bytes, records, reply};
use super::{
    a, addresses, asking, asking_soon, at, closed_port, configured, good_server, in_full, lookup,
};

fn good(query: &Message) -> Message {
    records(query, [address("a.example.", 300, "192.0.2.1")])
}

fn found() -> DnsAnswer {
    addresses(300, false, &["192.0.2.1"])
}

fn only_over_tcp(query: &Message, transport: Transport) -> Vec<Vec<u8>> {
    match transport {
        Transport::Udp => Vec::new(),
        Transport::Tcp => vec![bytes(&good(query))],
    }
}

#[tokio::test]
async fn tcp_is_tried_where_udp_is_silent() {
    let server = Server::start(|query, transport, _| only_over_tcp(query, transport)).await;
    assert_eq!(lookup(&asking_soon([&server]), a("a.example")).await, found());
}

#[tokio::test]
async fn tcp_is_tried_at_once_where_udp_is_refused() {
    let server = Server::over_tcp(good).await;
    let dns = configured(Ok(asking([&server])), |it| it.first_retry = Duration::from_secs(3600));
    assert_eq!(lookup(&dns, a("a.example")).await, found());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn tcp_is_tried_where_udp_brings_nonsense() {
    let server = Server::start(|query, transport, _| match transport {
        Transport::Udp => {
            let mut packet = bytes(&good(query));
            packet.truncate(packet.len() - 2);
            vec![packet]
        }
        Transport::Tcp => vec![bytes(&good(query))],
    })
    .await;
    assert_eq!(lookup(&asking_soon([&server]), a("a.example")).await, found());
}

#[tokio::test]
async fn udp_counts_on_where_tcp_is_refused() {
    // The first packet is lost, and TCP is closed at once.
    let server = Server::start(|query, transport, nth| match transport {
        Transport::Udp if nth >= 2 => vec![bytes(&good(query))],
        _ => Vec::new(),
    })
    .await;
    assert_eq!(lookup(&asking_soon([&server]), a("a.example")).await, found());
}

#[tokio::test]
async fn udp_is_not_used_where_tcp_alone_is_configured() {
    let server = Server::start(|query, transport, _| only_over_tcp(query, transport)).await;
    let dns = configured(Ok(asking([&server])), |it| it.transport = DnsTransport::TcpOnly);
    assert_eq!(lookup(&dns, a("a.example")).await, found());
    assert!(server.asked().iter().all(|asked| asked.transport == Transport::Tcp));
    let (closed, _held) = closed_port();
    let closed = configured(at([closed]), |it| {
        it.transport = DnsTransport::TcpOnly;
    });
    assert_eq!(lookup(&closed, a("a.example")).await, DnsAnswer::failed(DnsFailure::Network));
}

#[tokio::test]
async fn a_question_is_sent_so_often() {
    for attempts in [1, 2] {
        let server = Server::silent().await;
        let dns = configured(Ok(asking([&server])), |it| {
            (it.attempts, it.first_retry) = (attempts, Duration::from_millis(10));
            it.question_limit = Duration::from_millis(400);
        });
        assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(DnsFailure::Timeout));
        let asked = server.asked();
        let over_udp = asked.iter().filter(|asked| asked.transport == Transport::Udp).count();
        assert!((1..=usize::from(attempts)).contains(&over_udp), "{asked:?}");
    }
}

#[tokio::test]
async fn each_question_begins_with_another_server() {
    let (one, two, three) = (good_server().await, good_server().await, good_server().await);
    let dns = configured(Ok(asking([&one, &two, &three])), |it| {
        (it.server_order, it.first_retry) = (ServerOrder::Rotate, Duration::from_secs(3600));
    });
    for _ in 0..6 {
        assert_eq!(lookup(&dns, a("a.example")).await, found());
    }
    assert_eq!([&one, &two, &three].map(|server| server.questions().len()), [2, 2, 2]);
}

#[tokio::test]
async fn a_dead_server_is_soon_tried_last() {
    let (silent, good) = (Server::silent().await, good_server().await);
    let dns = asking_soon([&silent, &good]);
    // In force after 3 s; the limit is for machines that stall.
    let tried_last = async {
        loop {
            let before = silent.questions().len();
            assert_eq!(lookup(&dns, a("a.example")).await, found());
            tokio::time::sleep(Duration::from_millis(100)).await;
            if silent.questions().len() == before {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), tried_last).await.unwrap();
}

#[tokio::test]
async fn a_server_that_only_fails_is_not_dead() {
    let serv_fail = Server::replying(|query| reply(query, ResponseCode::ServFail)).await;
    let good = good_server().await;
    let dns = asking([&serv_fail, &good]);
    for nth in 1..=3 {
        assert_eq!(lookup(&dns, a("a.example")).await, found());
        assert_eq!(serv_fail.questions().len(), nth);
    }
}

#[tokio::test]
async fn letters_are_sent_in_random_case() {
    let host = "abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.example";
    let server = Server::replying(|query| reply(query, ResponseCode::NXDomain)).await;
    let dns = configured(Ok(asking([&server])), |it| it.random_case = true);
    lookup(&dns, a(host)).await;
    let question = format!("A {host}.");
    let [asked] = <[String; 1]>::try_from(server.questions()).unwrap();
    assert!(asked.eq_ignore_ascii_case(&question) && asked != question, "{asked}");
}

#[tokio::test]
async fn a_reply_in_another_case_is_no_reply_over_udp() {
    // It answers in lower case: a forgery over UDP, the truth over TCP.
    let server = Server::start(|query, transport, _| {
        let address = match transport {
            Transport::Udp => "192.0.2.66",
            Transport::Tcp => "192.0.2.1",
        };
        let name = query.queries[0].name().to_lowercase();
        let mut reply = records(query, [super::address(&name.to_ascii(), 300, address)]);
        reply.queries[0].set_name(name);
        vec![bytes(&reply)]
    })
    .await;
    let host = "abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.example";
    let dns = configured(Ok(asking_soon([&server])), |it| {
        (it.random_case, it.first_retry) = (true, Duration::from_millis(20));
    });
    assert_eq!(lookup(&dns, a(host)).await, found());
}

/// Such an error is easily forged: it does not show that its sender has seen the letters.
#[tokio::test]
async fn an_error_without_the_question_is_asked_for_over_tcp_where_the_case_counts() {
    let server = Server::start(|query, transport, _| {
        let mut error = reply(query, ResponseCode::NotImp);
        error.queries.clear();
        match transport {
            Transport::Udp => vec![bytes(&error)],
            Transport::Tcp => vec![bytes(&good(query))],
        }
    })
    .await;
    let dns = configured(Ok(asking([&server])), |it| it.random_case = true);
    assert_eq!(lookup(&dns, a("a.example")).await, found());
    let not_implemented = DnsAnswer::None { kind: NoRecord::NotImplemented, ttl: None };
    assert_eq!(lookup(&asking([&server]), a("a.example")).await, not_implemented);
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let (closed, _held) = closed_port();
    let dns = configured(at([closed]), |_| ());
    let answer = in_full(&dns, a("a.example")).await;
    let DnsAnswer::Failed { failure: DnsFailure::Network, detail } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(detail, format!("{closed}: connection refused"));
}

#[tokio::test]
async fn all_are_asked_at_once_where_that_is_configured() {
    // None of these times passes.
    let long = Duration::from_secs(3600);
    let (silent, slow) = (Server::silent().await, Server::replying(good).await);
    let dns = configured(Ok(asking([&silent, &silent, &slow])), |it| {
        (it.server_order, it.first_retry) = (ServerOrder::AllAtOnce, long);
    });
    assert_eq!(lookup(&dns, a("a.example")).await, found());
}
