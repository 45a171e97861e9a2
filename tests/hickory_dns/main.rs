//! `HickoryDns` against a DNS server on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod dropped;
mod edns;
#[path = "../support/loopback.rs"]
mod loopback;
mod own_resolver;
#[path = "../support/polled.rs"]
mod polled;
mod server;
mod transport;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::NS;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use matrix_delegation::adapters::{DnsConfig, HickoryDnsError};
use matrix_delegation::dns::{
    DnsAnswer, DnsFailure, DnsQuestion, Family, NoRecord, Records, Service, SrvRecord,
};
use matrix_delegation::{Dns, HickoryDns};

use self::server::{
    Server, Transport, address, bytes, cname, dname, name, records, reply, soa, srv,
};

const SRV_NAME: &str = "_matrix-fed._tcp.a.example.";

/// Asks these servers, with a limit that a working answer never comes near.
fn asking<'a>(servers: impl IntoIterator<Item = &'a Server>) -> HickoryDns {
    configured(at(servers.into_iter().map(|server| server.address)), |_| ())
}

/// Asks the servers at these addresses, which must be on this machine.
fn at(servers: impl IntoIterator<Item = SocketAddr>) -> Result<HickoryDns, HickoryDnsError> {
    HickoryDns::with_servers(servers.into_iter().map(loopback::stays))
}

/// With this change to the configuration of [`asking`].
fn configured(
    dns: Result<HickoryDns, HickoryDnsError>,
    change: impl FnOnce(&mut DnsConfig),
) -> HickoryDns {
    let mut config = DnsConfig::default();
    config.question_limit = Duration::from_secs(60);
    change(&mut config);
    dns.unwrap().with_config(config).unwrap()
}

/// As [`asking`], giving up and asking again soon: for servers that are silent.
fn asking_soon<'a>(servers: impl IntoIterator<Item = &'a Server>) -> HickoryDns {
    configured(Ok(asking(servers)), |it| {
        (it.first_retry, it.attempts) = (Duration::from_millis(20), 10);
    })
}

/// The answer, words for people taken off.
async fn lookup(dns: &HickoryDns, question: DnsQuestion) -> DnsAnswer {
    match in_full(dns, question).await {
        DnsAnswer::Failed { failure, .. } => DnsAnswer::failed(failure),
        answer => answer,
    }
}

async fn in_full(dns: &HickoryDns, question: DnsQuestion) -> DnsAnswer {
    tokio::time::timeout(Duration::from_secs(120), dns.lookup(question))
        .await
        .expect("a question ends within its limit")
}

fn a(host: &str) -> DnsQuestion {
    DnsQuestion::Addresses { host: host.parse().unwrap(), family: Family::V4 }
}

fn aaaa(host: &str) -> DnsQuestion {
    DnsQuestion::Addresses { host: host.parse().unwrap(), family: Family::V6 }
}

fn srv_of(host: &str) -> DnsQuestion {
    DnsQuestion::Srv { service: Service::MatrixFed, host: host.parse().unwrap() }
}

fn addresses(ttl: u64, alias: bool, addresses: &[&str]) -> DnsAnswer {
    DnsAnswer::Found {
        records: Records::Addresses(addresses.iter().map(|it| it.parse().unwrap()).collect()),
        ttl: Duration::from_secs(ttl),
        alias,
    }
}

fn none(kind: NoRecord, ttl: impl Into<Option<u64>>) -> DnsAnswer {
    DnsAnswer::None { kind, ttl: ttl.into().map(Duration::from_secs) }
}

fn srv_targets(answer: DnsAnswer) -> Vec<String> {
    match answer {
        DnsAnswer::Found { records: Records::Srv(records), .. } => {
            records.into_iter().map(|record| record.target).collect()
        }
        other => panic!("no SRV records: {other:?}"),
    }
}

/// What is answered to `A a.example` where the server's reply is made so.
async fn answer_to_a(make: impl Fn(&Message) -> Message + Send + Sync + 'static) -> DnsAnswer {
    let server = Server::replying(make).await;
    lookup(&asking([&server]), a("a.example")).await
}

// What is asked.

#[tokio::test]
async fn asks_for_absolute_names_over_udp() {
    let server =
        Server::replying(|query| records(query, [address("single.", 5, "192.0.2.1")])).await;
    let dns = asking([&server]);
    assert_eq!(lookup(&dns, a("single")).await, addresses(5, false, &["192.0.2.1"]));
    lookup(&dns, aaaa("B.example")).await;
    lookup(&dns, srv_of("a.example")).await;

    let asked = server.asked();
    assert_eq!(
        server.questions(),
        ["A single.", "AAAA b.example.", "SRV _matrix-fed._tcp.a.example."]
    );
    assert!(asked.iter().all(|asked| asked.transport == Transport::Udp && asked.recursion_desired));
    assert!(asked.iter().all(|asked| asked.edns.is_none()));
}

#[tokio::test]
async fn localhost_is_never_asked_for() {
    let server = Server::replying(|query| {
        records(query, [cname("a.example.", 7, "b.LOCALHOST."), cname(SRV_NAME, 7, "localhost.")])
    })
    .await;
    let dns = asking([&server]);
    for host in ["localhost", "LocalHost", "a.b.localhost"] {
        assert_eq!(lookup(&dns, a(host)).await, addresses(60, false, &["127.0.0.1"]), "{host}");
        assert_eq!(lookup(&dns, aaaa(host)).await, addresses(60, false, &["::1"]), "{host}");
        assert_eq!(lookup(&dns, srv_of(host)).await, none(NoRecord::NoData, 60), "{host}");
    }
    assert_eq!(server.questions().len(), 0);
    // Nor where an alias leads to it.
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(7, true, &["127.0.0.1"]));
    assert_eq!(lookup(&dns, srv_of("a.example")).await, none(NoRecord::NoData, 7));
    assert_eq!(server.questions().len(), 2);
    // These are ordinary names.
    for host in ["localhost.example", "notlocalhost"] {
        lookup(&dns, a(host)).await;
    }
    assert_eq!(server.questions().len(), 4);
}

#[tokio::test]
async fn remembers_nothing() {
    let server =
        Server::replying(|query| records(query, [address("a.example.", 300, "192.0.2.1")])).await;
    let dns = asking([&server]);
    for _ in 0..2 {
        assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
    }
    let (one, two) = tokio::join!(lookup(&dns, a("a.example")), lookup(&dns, a("a.example")));
    assert_eq!(one, two);
    assert_eq!(server.questions().len(), 4);
}

#[tokio::test]
async fn never_asks_for_onion_names() {
    let server = Server::replying(|query| {
        records(query, [cname("a.example.", 60, "b.ONION."), cname(SRV_NAME, 60, "onion.")])
    })
    .await;
    let dns = asking([&server]);
    for question in [a("x.onion"), aaaa("x.onion"), srv_of("x.y.onion"), a("onion")] {
        assert_eq!(lookup(&dns, question).await, none(NoRecord::Onion, None));
    }
    assert_eq!(server.questions().len(), 0);
    // Nor where an alias leads to one.
    assert_eq!(lookup(&dns, a("a.example")).await, none(NoRecord::Onion, None));
    assert_eq!(lookup(&dns, srv_of("a.example")).await, none(NoRecord::Onion, None));
    assert_eq!(server.questions().len(), 2);
}

#[tokio::test]
async fn a_name_too_long_for_dns_does_not_exist() {
    let server = Server::silent().await;
    let host = format!("{}.example", vec!["a".repeat(60); 4].join("."));
    assert_eq!(lookup(&asking([&server]), srv_of(&host)).await, none(NoRecord::NxDomain, None));
    assert_eq!(server.questions().len(), 0);
}

#[test]
fn there_must_be_a_server() {
    assert!(matches!(HickoryDns::with_servers([]), Err(HickoryDnsError::NoServers)));
}

// Records.

#[tokio::test]
async fn finds_addresses_of_the_family_asked_for() {
    let server = Server::replying(|query| {
        records(
            query,
            [
                address("a.example.", 300, "192.0.2.1"),
                address("a.example.", 200, "2001:db8::1"),
                address("a.example.", 100, "192.0.2.2"),
                address("b.example.", 1, "192.0.2.3"),
            ],
        )
    })
    .await;
    let dns = asking([&server]);
    assert_eq!(
        lookup(&dns, a("a.example")).await,
        addresses(100, false, &["192.0.2.1", "192.0.2.2"])
    );
    assert_eq!(lookup(&dns, aaaa("a.example")).await, addresses(200, false, &["2001:db8::1"]));
}

#[tokio::test]
async fn letter_case_does_not_matter() {
    let answer = answer_to_a(|query| {
        let mut reply = records(
            query,
            [cname("A.eXample.", 300, "B.example."), address("b.EXAMPLE.", 300, "192.0.2.1")],
        );
        reply.queries = vec![Query::query(name("A.EXAMPLE."), RecordType::A)];
        reply
    })
    .await;
    assert_eq!(answer, addresses(300, true, &["192.0.2.1"]));
}

#[tokio::test]
async fn ttls_are_passed_as_they_are() {
    for ttl in [0, 1, 86_401, u32::MAX] {
        let answer =
            answer_to_a(move |query| records(query, [address("a.example.", ttl, "192.0.2.1")]))
                .await;
        assert_eq!(answer, addresses(ttl.into(), false, &["192.0.2.1"]));
    }
}

#[tokio::test]
async fn records_of_another_class_do_not_count() {
    let answer = answer_to_a(|query| {
        let mut record = address("a.example.", 300, "192.0.2.1");
        record.dns_class = DNSClass::CH;
        records(query, [record])
    })
    .await;
    assert_eq!(answer, none(NoRecord::NoData, None));
}

#[tokio::test]
async fn finds_srv_records() {
    let server = Server::replying(|query| {
        records(
            query,
            [
                srv(SRV_NAME, 300, (10, 5, 8448), name("Fed1.example.")),
                srv(SRV_NAME, 200, (20, 0, 443), name("fed2.example.")),
            ],
        )
    })
    .await;
    assert_eq!(
        lookup(&asking([&server]), srv_of("a.example")).await,
        DnsAnswer::Found {
            records: Records::Srv(vec![
                SrvRecord { priority: 10, weight: 5, port: 8448, target: "Fed1.example".into() },
                SrvRecord { priority: 20, weight: 0, port: 443, target: "fed2.example".into() },
            ]),
            ttl: Duration::from_secs(200),
            alias: false,
        }
    );
}

#[tokio::test]
async fn spells_srv_targets_without_loss() {
    let server = Server::replying(|query| {
        let of = |labels: &[&[u8]]| Name::from_labels(labels.iter().copied()).unwrap();
        let targets = [
            Name::root(),
            of(&[b"a.b", b"example"]),
            of(&[b"a", b"b", b"example"]),
            of(&[b"a\\b ", "\u{fc}".as_bytes(), b"\0"]),
            of(&[b"xn--bcher-kva", b"under_score"]),
            of(&[b"192", b"0", b"2", b"1"]),
        ];
        records(query, targets.map(|target| srv(SRV_NAME, 300, (0, 0, 1), target)))
    })
    .await;
    assert_eq!(
        srv_targets(lookup(&asking([&server]), srv_of("a.example")).await),
        [
            ".",
            r"a\046b.example",
            "a.b.example",
            r"a\092b\032.\195\188.\000",
            "xn--bcher-kva.under_score",
            "192.0.2.1"
        ]
    );
}

#[tokio::test]
async fn returns_a_bounded_number_of_records() {
    // More than fits into a UDP packet, so these come over TCP.
    let server = Server::start(|query, transport, _| {
        let mut reply = records(
            query,
            (0..1000_u32)
                .map(|n| address("a.example.", 300, &Ipv4Addr::from(0xC000_0200 + n).to_string())),
        );
        if transport == Transport::Udp {
            reply = reply.truncate();
        }
        vec![bytes(&reply)]
    })
    .await;
    let DnsAnswer::Found { records: Records::Addresses(found), .. } =
        lookup(&asking([&server]), a("a.example")).await
    else {
        panic!("no addresses");
    };
    assert_eq!(found.len(), 256);
    assert_eq!(found[255], IpAddr::from([192, 0, 2, 255]));
}

// Aliases.

#[tokio::test]
async fn follows_a_chain_in_any_order_and_takes_its_least_ttl() {
    let chain = [
        address("d.example.", 300, "192.0.2.1"),
        address("a.elsewhere.", 1, "192.0.2.9"),
        cname("c.example.", 200, "d.example."),
        cname("a.example.", 400, "b.example."),
        cname("b.example.", 30, "c.example."),
    ];
    for turn in 0..chain.len() {
        let mut chain = chain.clone();
        chain.rotate_left(turn);
        let answer = answer_to_a(move |query| records(query, chain.clone())).await;
        assert_eq!(answer, addresses(30, true, &["192.0.2.1"]));
    }
}

#[tokio::test]
async fn finds_srv_behind_an_alias() {
    let server = Server::replying(|query| {
        records(
            query,
            [
                cname(SRV_NAME, 60, "_matrix-fed._tcp.b.example."),
                srv("_matrix-fed._tcp.b.example.", 300, (1, 2, 3), name("fed.example.")),
            ],
        )
    })
    .await;
    assert_eq!(
        lookup(&asking([&server]), srv_of("a.example")).await,
        DnsAnswer::Found {
            records: Records::Srv(vec![SrvRecord {
                priority: 1,
                weight: 2,
                port: 3,
                target: "fed.example".into()
            }]),
            ttl: Duration::from_secs(60),
            alias: true,
        }
    );
    assert_eq!(server.questions().len(), 1);
}

#[tokio::test]
async fn follows_a_dname_with_and_without_its_cname() {
    let answer = answer_to_a(|query| {
        records(
            query,
            [dname("example.", 70, "other.test."), address("a.other.test.", 300, "192.0.2.1")],
        )
    })
    .await;
    assert_eq!(answer, addresses(70, true, &["192.0.2.1"]));

    let answer = answer_to_a(|query| {
        records(
            query,
            [
                dname("example.", 70, "other.test."),
                cname("a.example.", 70, "a.other.test."),
                address("a.other.test.", 300, "192.0.2.1"),
            ],
        )
    })
    .await;
    assert_eq!(answer, addresses(70, true, &["192.0.2.1"]));
}

#[tokio::test]
async fn a_dname_says_nothing_of_its_own_name() {
    let answer = answer_to_a(|query| {
        let mut reply = records(query, [dname("a.example.", 70, "other.test.")]);
        reply.add_authority(soa("example.", 50, 50));
        reply
    })
    .await;
    assert_eq!(answer, none(NoRecord::NoData, 50));
}

#[tokio::test]
async fn asks_on_for_the_end_of_a_partial_chain() {
    let server = Server::replying(|query| match query.queries[0].name().to_ascii().as_str() {
        "a.example." => records(query, [cname("a.example.", 50, "b.example.")]),
        "b.example." => records(query, [cname("b.example.", 90, "c.example.")]),
        _ => records(query, [address("c.example.", 300, "192.0.2.1")]),
    })
    .await;
    assert_eq!(
        lookup(&asking([&server]), a("a.example")).await,
        addresses(50, true, &["192.0.2.1"])
    );
    assert_eq!(server.questions(), ["A a.example.", "A b.example.", "A c.example."]);
}

#[tokio::test]
async fn a_partial_chain_that_ends_in_nothing() {
    let server = Server::replying(|query| {
        if query.queries[0].name().to_ascii() == "a.example." {
            return records(query, [cname("a.example.", 50, "b.example.")]);
        }
        let mut reply = reply(query, ResponseCode::NXDomain);
        reply.add_authority(soa("example.", 300, 400));
        reply
    })
    .await;
    assert_eq!(lookup(&asking([&server]), a("a.example")).await, none(NoRecord::NxDomain, 50));
}

#[tokio::test]
async fn an_alias_loop_is_malformed() {
    let server = Server::replying(|query| {
        records(
            query,
            [cname("a.example.", 50, "b.example."), cname("b.example.", 50, "a.example.")],
        )
    })
    .await;
    let malformed = DnsAnswer::failed(DnsFailure::Malformed);
    assert_eq!(lookup(&asking([&server]), a("a.example")).await, malformed);
    assert_eq!(server.questions().len(), 1);

    // The same over several replies, each of which ends at an alias.
    let server = Server::replying(|query| {
        let owner = query.queries[0].name().to_ascii();
        let target = if owner == "a.example." { "b.example." } else { "a.example." };
        records(query, [cname(&owner, 50, target)])
    })
    .await;
    let dns = asking([&server]);
    assert_eq!(lookup(&dns, a("a.example")).await, malformed);
    assert_eq!(server.questions().len(), 3);
    let mut config = DnsConfig::default();
    config.alias_queries = 100;
    let dns = dns.with_config(config).unwrap();
    assert_eq!(lookup(&dns, a("a.example")).await, malformed);
    assert_eq!(server.questions().len(), 3 + 17);
}

#[tokio::test]
async fn sixteen_aliases_are_followed() {
    for (aliases, expected) in
        [(16, addresses(300, true, &["192.0.2.1"])), (17, DnsAnswer::failed(DnsFailure::Malformed))]
    {
        let answer = answer_to_a(move |query| {
            let at = |n: usize| if n == 0 { "a.example.".into() } else { format!("a{n}.example.") };
            let mut chain: Vec<Record> =
                (0..aliases).map(|n| cname(&at(n), 300, &at(n + 1))).collect();
            chain.push(address(&at(aliases), 300, "192.0.2.1"));
            records(query, chain)
        })
        .await;
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn the_configuration_bounds_aliases_and_records() {
    let server = Server::replying(|query| {
        let alias = cname("a.example.", 300, "b.example.");
        let found = ["192.0.2.1", "192.0.2.2"].map(|it| address("b.example.", 300, it));
        records(query, [alias].into_iter().chain(found))
    })
    .await;
    let mut config = DnsConfig::default();
    config.records = 1;
    let dns = asking([&server]).with_config(config).unwrap();
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, true, &["192.0.2.1"]));
    config.aliases = 0;
    let dns = asking([&server]).with_config(config).unwrap();
    assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(DnsFailure::Malformed));
}

// No records.

#[tokio::test]
async fn negative_answers_hold_for_the_lesser_of_ttl_and_minimum() {
    for (code, kind) in [
        (ResponseCode::NXDomain, NoRecord::NxDomain),
        (ResponseCode::NoError, NoRecord::NoData),
        (ResponseCode::NotImp, NoRecord::NotImplemented),
    ] {
        for (ttl, minimum) in [(30, 600), (600, 30)] {
            let answer = answer_to_a(move |query| {
                let mut reply = reply(query, code);
                reply.add_authority(soa("example.", ttl, minimum));
                reply
            })
            .await;
            assert_eq!(answer, none(kind, 30));
        }
        let answer = answer_to_a(move |query| reply(query, code)).await;
        assert_eq!(answer, none(kind, None));
    }
}

#[tokio::test]
async fn negative_answers_behind_an_alias() {
    for (code, kind) in
        [(ResponseCode::NXDomain, NoRecord::NxDomain), (ResponseCode::NoError, NoRecord::NoData)]
    {
        for (alias_ttl, soa_ttl) in [(20, 600), (600, 20)] {
            let answer = answer_to_a(move |query| {
                let mut reply = records(query, [cname("a.example.", alias_ttl, "b.example.")]);
                reply.metadata.response_code = code;
                reply.add_authority(soa("example.", soa_ttl, 900));
                reply
            })
            .await;
            assert_eq!(answer, none(kind, 20));
        }
    }
}

#[tokio::test]
async fn what_is_not_there_counts_as_long_as_is_configured() {
    let server = Server::replying(|query| {
        let mut reply = reply(query, ResponseCode::NXDomain);
        reply.add_authority(soa("example.", 900, 60));
        reply
    })
    .await;
    for (least, ttl) in [(0, 60), (59, 60), (61, 61)] {
        let dns = configured(Ok(asking([&server])), |it| {
            it.negative_least = Duration::from_secs(least);
        });
        assert_eq!(lookup(&dns, a("a.example")).await, none(NoRecord::NxDomain, ttl));
    }
}

/// As the C library has it.
#[tokio::test]
async fn a_server_that_is_no_authority_and_asks_no_other_says_nothing() {
    let lame = Server::replying(|query| {
        let mut reply = reply(query, ResponseCode::NoError);
        reply.metadata.recursion_available = false;
        reply
    })
    .await;
    let good = good_server().await;
    let found = addresses(300, false, &["192.0.2.1"]);
    assert_eq!(lookup(&asking([&lame, &good]), a("a.example")).await, found);
    assert_eq!(
        lookup(&asking([&lame]), a("a.example")).await,
        DnsAnswer::failed(DnsFailure::Malformed)
    );
}

#[tokio::test]
async fn a_referral_is_no_answer() {
    for (glue, edns) in [(false, false), (true, false), (false, true)] {
        let answer = answer_to_a(move |query| {
            let mut reply = reply(query, ResponseCode::NoError);
            reply.metadata.recursion_available = false;
            let servers = RData::NS(NS(name("ns.example.")));
            reply.add_authority(Record::from_rdata(name("example."), 300, servers));
            if glue {
                reply.add_additional(address("ns.example.", 300, "192.0.2.53"));
            }
            if edns {
                reply.set_edns(Edns::new());
            }
            reply
        })
        .await;
        assert_eq!(answer, DnsAnswer::failed(DnsFailure::Malformed), "{glue} {edns}");
    }
}

// Failures.

#[tokio::test]
async fn response_codes_come_out_apart() {
    for (code, failure) in [
        (ResponseCode::ServFail, DnsFailure::ServFail),
        (ResponseCode::Refused, DnsFailure::Refused),
        (ResponseCode::FormErr, DnsFailure::Malformed),
        (ResponseCode::NotAuth, DnsFailure::Malformed),
        (ResponseCode::Unknown(14), DnsFailure::Malformed),
    ] {
        let server = Server::replying(move |query| reply(query, code)).await;
        let answer = lookup(&asking([&server]), a("a.example")).await;
        assert_eq!(answer, DnsAnswer::failed(failure), "{code:?}");
        // An answer is an answer: it is not asked for again.
        assert_eq!(server.questions().len(), 1, "{code:?}");
    }
}

#[tokio::test]
async fn an_error_need_not_repeat_the_question() {
    for (code, answer) in [
        (ResponseCode::ServFail, DnsAnswer::failed(DnsFailure::ServFail)),
        (ResponseCode::FormErr, DnsAnswer::failed(DnsFailure::Malformed)),
        (ResponseCode::NotImp, none(NoRecord::NotImplemented, None)),
    ] {
        let found =
            answer_to_a(move |query| Message::error_msg(query.id, OpCode::Query, code)).await;
        assert_eq!(found, answer, "{code:?}");
    }
}

#[tokio::test]
async fn a_silent_server_ends_in_a_timeout() {
    let server = Server::silent().await;
    let dns = configured(Ok(asking([&server])), |it| {
        it.question_limit = Duration::from_millis(300);
        it.first_retry = Duration::from_millis(30);
    });
    assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(DnsFailure::Timeout));
    // Over UDP at 0, 30 and 90 ms, over TCP at 30 ms, fewer on a machine that stalls.
    assert!(server.questions().len() <= 4);
}

#[tokio::test]
async fn the_limit_holds_for_all_of_a_chain() {
    let server = Server::start(|query, _, nth| match nth {
        0 => vec![bytes(&records(query, [cname("a.example.", 50, "b.example.")]))],
        _ => Vec::new(),
    })
    .await;
    let dns =
        configured(Ok(asking([&server])), |it| it.question_limit = Duration::from_millis(300));
    assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(DnsFailure::Timeout));
}

#[tokio::test]
async fn a_lost_packet_is_sent_again() {
    let server = Server::start(|query, _, nth| match nth {
        0 => Vec::new(),
        _ => vec![bytes(&records(query, [address("a.example.", 300, "192.0.2.1")]))],
    })
    .await;
    assert_eq!(
        lookup(&asking_soon([&server]), a("a.example")).await,
        addresses(300, false, &["192.0.2.1"])
    );
    assert!(server.questions().len() >= 2);
}

/// A port where nobody listens. Holding it over TCP keeps the other tests' servers away.
fn closed_port() -> (SocketAddr, tokio::net::TcpSocket) {
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    (held.local_addr().unwrap(), held)
}

#[tokio::test]
async fn a_closed_port_is_a_network_failure() {
    let (closed, _held) = closed_port();
    let dns = configured(at([closed]), |_| ());
    assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(DnsFailure::Network));
}

#[tokio::test]
async fn a_failure_says_what_each_server_did() {
    let (closed, _held) = closed_port();
    let silent = Server::start(|_, _, _| Vec::new()).await;
    let dns = configured(at([closed, silent.address]), |it| {
        it.question_limit = Duration::from_millis(300);
    });
    let answer = in_full(&dns, a("a.example")).await;
    let DnsAnswer::Failed { failure: DnsFailure::Timeout, detail } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(detail, format!("{closed}: connection refused; {}: silent", silent.address));
}

// Several servers.

async fn good_server() -> Server {
    Server::replying(|query| records(query, [address("a.example.", 300, "192.0.2.1")])).await
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_fails() {
    for code in
        [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr, ResponseCode::NotImp]
    {
        let bad = Server::replying(move |query| reply(query, code)).await;
        let good = good_server().await;
        // Were the second server's turn to come by time alone, the limit would be over.
        let dns =
            configured(Ok(asking([&bad, &good])), |it| it.first_retry = Duration::from_secs(3600));
        assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
        assert_eq!((bad.questions().len(), good.questions().len()), (1, 1), "{code:?}");
    }
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_is_not_there() {
    let good = good_server().await;
    let (closed, _held) = closed_port();
    let dns = configured(at([closed, good.address]), |it| {
        it.first_retry = Duration::from_secs(3600);
    });
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_is_silent() {
    let silent = Server::silent().await;
    let good = good_server().await;
    let dns = asking_soon([&silent, &good]);
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
}

#[tokio::test]
async fn a_negative_answer_is_an_answer() {
    let first = Server::replying(|query| reply(query, ResponseCode::NXDomain)).await;
    let second = good_server().await;
    let dns = asking([&first, &second]);
    assert_eq!(lookup(&dns, a("a.example")).await, none(NoRecord::NxDomain, None));
    assert_eq!(second.questions().len(), 0);
}

#[tokio::test]
async fn the_most_telling_failure_is_reported() {
    let serv_fail = Server::replying(|query| reply(query, ResponseCode::ServFail)).await;
    let refused = Server::replying(|query| reply(query, ResponseCode::Refused)).await;
    let silent = Server::silent().await;
    let failed = DnsAnswer::failed(DnsFailure::ServFail);
    assert_eq!(lookup(&asking([&refused, &serv_fail]), a("a.example")).await, failed);
    assert_eq!(lookup(&asking([&serv_fail, &refused]), a("a.example")).await, failed);
    // The bad one answers long before the limit.
    let dns = configured(Ok(asking([&serv_fail, &silent])), |it| {
        it.question_limit = Duration::from_secs(3);
    });
    assert_eq!(lookup(&dns, a("a.example")).await, failed);
}

#[tokio::test]
async fn a_late_answer_still_counts() {
    // The first server answers only once the second one has been asked.
    let second = std::sync::Arc::new(Server::silent().await);
    let watched = std::sync::Arc::clone(&second);
    let first = Server::start(move |query, _, _| {
        if watched.questions().is_empty() {
            return Vec::new();
        }
        vec![bytes(&records(query, [address("a.example.", 300, "192.0.2.1")]))]
    })
    .await;
    let dns = asking_soon([&first, second.as_ref()]);
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
}

// Packets.

#[tokio::test]
async fn strays_and_garbage_are_passed_over() {
    let server = Server::start(|query, _, _| {
        let good = records(query, [address("a.example.", 300, "192.0.2.1")]);
        let bad = records(query, [address("a.example.", 300, "192.0.2.66")]);
        let altered = |alter: &dyn Fn(&mut Message)| {
            let mut message = bad.clone();
            alter(&mut message);
            bytes(&message)
        };
        let id = query.id.to_be_bytes();
        vec![
            Vec::new(),
            vec![0],
            b"garbage that is longer than a header".to_vec(),
            // The right id, and then nothing of sense.
            id.to_vec(),
            [id.as_slice(), &[0x81, 0x80, 0, 1, 255, 255, 0, 0, 0, 0, 255, 255]].concat(),
            [id.as_slice(), &[0x81, 0x80, 255, 255, 0, 0, 0, 0, 0, 0]].concat(),
            altered(&|message| message.metadata.id ^= 1),
            // A query, another question, none, two.
            bytes(query),
            altered(&|message| {
                message.queries = vec![Query::query(name("b.example."), RecordType::A)];
            }),
            altered(&|message| {
                message.queries = vec![Query::query(name("a.example."), RecordType::AAAA)];
            }),
            altered(&|message| message.queries.clear()),
            altered(&|message| message.queries.extend(bad.queries.clone())),
            bytes(&good),
        ]
    })
    .await;
    let dns = asking([&server]);
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
}

#[tokio::test]
async fn nonsense_alone_is_malformed() {
    let server = Server::start(|query, _, _| {
        let mut packet = bytes(&records(query, [address("a.example.", 300, "192.0.2.1")]));
        packet.truncate(packet.len() - 2);
        vec![packet]
    })
    .await;
    assert_eq!(
        lookup(&asking_soon([&server]), a("a.example")).await,
        DnsAnswer::failed(DnsFailure::Malformed)
    );
}

/// A server whose replies over UDP are truncated, and over TCP made so.
async fn truncating(over_tcp: impl Fn(&Message) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Server {
    Server::start(move |query, transport, _| match transport {
        // Cut through a record, as some servers do.
        Transport::Udp => {
            let mut reply = records(query, [address("a.example.", 300, "192.0.2.66")]);
            reply.metadata.truncation = true;
            let mut packet = bytes(&reply);
            packet.truncate(40);
            vec![packet]
        }
        Transport::Tcp => over_tcp(query),
    })
    .await
}

#[tokio::test]
async fn a_truncated_reply_is_fetched_over_tcp() {
    let server = truncating(|query| {
        let good = records(query, [address("a.example.", 300, "192.0.2.1")]);
        let mut stray = good.clone();
        stray.metadata.id ^= 1;
        let mut other = good.clone();
        other.queries = vec![Query::query(name("b.example."), RecordType::A)];
        vec![bytes(&stray), bytes(&other), bytes(&good)]
    })
    .await;
    let dns = configured(Ok(asking([&server])), |it| it.first_retry = Duration::from_secs(3600));
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
    let transports: Vec<_> = server.asked().into_iter().map(|asked| asked.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
}

#[tokio::test]
async fn tcp_that_fails() {
    let closes = truncating(|_| Vec::new()).await;
    assert_eq!(
        lookup(&asking([&closes]), a("a.example")).await,
        DnsAnswer::failed(DnsFailure::Network)
    );
    let babbles = truncating(|_| vec![b"not a message".to_vec(); 100]).await;
    assert_eq!(
        lookup(&asking([&babbles]), a("a.example")).await,
        DnsAnswer::failed(DnsFailure::Malformed)
    );
    let cuts_again = truncating(|query| {
        let mut reply = reply(query, ResponseCode::NoError);
        reply.metadata.truncation = true;
        vec![bytes(&reply)]
    })
    .await;
    assert_eq!(
        lookup(&asking([&cuts_again]), a("a.example")).await,
        DnsAnswer::failed(DnsFailure::Malformed)
    );
    // What is there counts.
    let says_so = truncating(|query| {
        let mut reply = records(query, [address("a.example.", 300, "192.0.2.1")]);
        reply.metadata.truncation = true;
        vec![bytes(&reply)]
    })
    .await;
    let found = addresses(300, false, &["192.0.2.1"]);
    assert_eq!(lookup(&asking([&says_so]), a("a.example")).await, found);
    // And then the next server is asked.
    let good = good_server().await;
    assert_eq!(
        lookup(&asking([&closes, &good]), a("a.example")).await,
        addresses(300, false, &["192.0.2.1"])
    );
}
