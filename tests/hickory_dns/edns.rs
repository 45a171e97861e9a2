//! Servers, and what stands before them, that mishandle EDNS; and replies of which only the answer
//! section can be read.

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use matrix_delegation::HickoryDns;
use matrix_delegation::dns::{DnsAnswer, DnsFailure, NoRecord};

use super::server::{Server, Transport, address, bytes, raw, records, reply, soa};
use super::{a, addresses, asking, asking_soon, configured, lookup, none};

/// `A 192.0.2.1` of the name asked for, for 300 s.
const A: &str = "c00c 0001 0001 0000012c 0004 c0000201";
/// OPT records: plain, of version 1, and with a client subnet of family 0.
const OPT: &str = "00 0029 04d0 00000000 0000";
const OPT_BADVERS: &str = "00 0029 04d0 01000000 0000";
const OPT_FAMILY_0: &str = "00 0029 04d0 00000000 0008 0008 0004 0000 0000";

fn with_edns(dns: HickoryDns) -> HickoryDns {
    configured(Ok(dns), |it| it.edns = true)
}

fn good(query: &Message) -> Vec<u8> {
    let mut reply = records(query, [address("a.example.", 300, "192.0.2.1")]);
    reply.edns = None;
    bytes(&reply)
}

/// One that answers as it should where there is no OPT, and else so.
async fn mishandling(bad: impl Fn(&Message) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Server {
    Server::start(move |query, _, _| match query.edns {
        Some(_) => bad(query),
        None => vec![good(query)],
    })
    .await
}

fn found() -> DnsAnswer {
    addresses(300, false, &["192.0.2.1"])
}

#[tokio::test]
async fn opt_is_sent_where_it_is_configured() {
    let server = Server::replying(|query| reply(query, ResponseCode::NXDomain)).await;
    let dns = with_edns(asking([&server]));
    lookup(&dns, a("a.example")).await;
    lookup(&configured(Ok(dns), |it| (it.edns, it.edns_payload) = (true, 4096)), a("b.example"))
        .await;
    lookup(&asking([&server]), a("c.example")).await;
    assert_eq!(server.edns(), [Some(1232), Some(4096), None]);
}

#[tokio::test]
async fn a_server_that_rejects_edns_is_asked_without() {
    type Bad = fn(&Message) -> Vec<u8>;
    let rows: [(&str, Bad); 12] = [
        ("FORMERR", |query| raw(query, 1, [0, 0, 0], "")),
        ("FORMERR without the question", |query| {
            bytes(&Message::error_msg(query.id, OpCode::Query, ResponseCode::FormErr))
        }),
        ("FORMERR with OPT", |query| raw(query, 1, [0, 0, 1], OPT)),
        ("FORMERR that repeats the query", |query| {
            let mut packet = bytes(query);
            (packet[2], packet[3]) = (0x81, 0x81);
            packet
        }),
        ("NOTIMP", |query| raw(query, 4, [0, 0, 0], "")),
        ("SERVFAIL", |query| raw(query, 2, [0, 0, 0], "")),
        ("SERVFAIL, an additional record that is no OPT", |query| raw(query, 2, [0, 0, 1], A)),
        ("REFUSED", |query| raw(query, 5, [0, 0, 0], "")),
        ("BADVERS", |query| raw(query, 0, [0, 0, 1], OPT_BADVERS)),
        ("OPT before the answer", |query| raw(query, 0, [1, 0, 0], &format!("{OPT} {A}"))),
        ("OPT among the answers", |query| raw(query, 0, [2, 0, 0], &format!("{OPT} {A}"))),
        ("OPT behind the answer", |query| raw(query, 0, [2, 0, 0], &format!("{A} {OPT}"))),
    ];
    for (what, bad) in rows {
        let server = mishandling(move |query| vec![bad(query)]).await;
        let dns = with_edns(asking([&server]));
        assert_eq!(lookup(&dns, a("a.example")).await, found(), "{what}");
        assert_eq!(server.edns(), [Some(1232), None], "{what}");
        // That is remembered.
        assert_eq!(lookup(&dns, a("a.example")).await, found(), "{what}");
        assert_eq!(server.edns()[2..], [None], "{what}");
    }
}

#[tokio::test]
async fn a_server_that_drops_opt_is_asked_without() {
    let server = mishandling(|_| Vec::new()).await;
    let dns = with_edns(asking_soon([&server]));
    let dns = configured(Ok(dns), |it| {
        (it.edns, it.first_retry) = (true, std::time::Duration::from_millis(20));
    });
    assert_eq!(lookup(&dns, a("a.example")).await, found());
    assert_eq!(server.edns()[0], Some(1232));
    let before = server.edns().len();
    assert_eq!(lookup(&dns, a("a.example")).await, found());
    assert!(server.edns()[before..].iter().all(Option::is_none));
}

#[tokio::test]
async fn over_tcp_a_server_is_asked_without_opt_too() {
    let rejects = mishandling(|query| vec![raw(query, 1, [0, 0, 0], "")]).await;
    let dns = configured(Ok(asking([&rejects])), |it| {
        (it.edns, it.transport) = (true, matrix_delegation::adapters::DnsTransport::TcpOnly);
    });
    assert_eq!(lookup(&dns, a("a.example")).await, found());
    assert!(rejects.asked().iter().all(|asked| asked.transport == Transport::Tcp));
    assert_eq!(rejects.edns(), [Some(1232), None]);
}

#[tokio::test]
async fn what_fails_without_opt_too_is_not_remembered() {
    for (code, failure) in [
        (ResponseCode::ServFail, DnsFailure::ServFail),
        (ResponseCode::Refused, DnsFailure::Refused),
        (ResponseCode::FormErr, DnsFailure::Malformed),
    ] {
        let server =
            Server::replying(move |query| Message::error_msg(query.id, OpCode::Query, code)).await;
        let dns = with_edns(asking([&server]));
        for _ in 0..2 {
            assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(failure));
        }
        assert_eq!(server.edns(), [Some(1232), None, Some(1232), None], "{code:?}");
    }
}

#[tokio::test]
async fn a_server_that_sends_opt_means_what_it_says() {
    for (code, answer) in [
        (ResponseCode::ServFail, DnsAnswer::failed(DnsFailure::ServFail)),
        (ResponseCode::Refused, DnsAnswer::failed(DnsFailure::Refused)),
        (ResponseCode::NotImp, none(NoRecord::NotImplemented, None)),
        (ResponseCode::NXDomain, none(NoRecord::NxDomain, None)),
    ] {
        let server = Server::replying(move |query| reply(query, code)).await;
        let dns = with_edns(asking([&server]));
        for _ in 0..2 {
            assert_eq!(lookup(&dns, a("a.example")).await, answer, "{code:?}");
        }
        assert_eq!(server.edns(), [Some(1232); 2], "{code:?}");
    }
}

#[tokio::test]
async fn badvers_without_opt_is_malformed() {
    let server = Server::start(|query, _, _| vec![raw(query, 0, [0, 0, 1], OPT_BADVERS)]).await;
    let dns = with_edns(asking([&server]));
    assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(DnsFailure::Malformed));
    assert_eq!(server.edns(), [Some(1232), None]);
}

/// The answer to these sections, with and without EDNS.
async fn answer_to(counts: [u16; 3], sections: String) -> DnsAnswer {
    let make = move |query: &Message| vec![raw(query, 0, counts, &sections)];
    let server = Server::start(move |query, _, _| make(query)).await;
    let plain = lookup(&asking_soon([&server]), a("a.example")).await;
    let with_opt = with_edns(asking([&server]));
    let with_opt = configured(Ok(with_opt), |it| {
        (it.edns, it.first_retry) = (true, std::time::Duration::from_millis(20));
    });
    assert_eq!(lookup(&with_opt, a("a.example")).await, plain);
    plain
}

#[tokio::test]
async fn the_answer_section_stands_by_itself() {
    let soa = "c00c 0006 0001 00000e10 0004 c00c c00c";
    for (what, counts, rest) in [
        ("an additional record too few", [1, 0, 2], OPT),
        ("no additional record", [1, 0, 1], ""),
        ("65,535 additional records", [1, 0, 65_535], OPT),
        ("an additional record too many", [1, 0, 0], OPT),
        ("a client subnet of family 0", [1, 0, 1], OPT_FAMILY_0),
        ("an option that is cut", [1, 0, 1], "00 0029 04d0 00000000 0004 0008 00ff"),
        ("OPT longer than the reply", [1, 0, 1], "00 0029 04d0 00000000 00ff 0000"),
        ("OPT not at the root", [1, 0, 1], "c00c 0029 04d0 00000000 0000"),
        ("OPT twice", [1, 0, 2], "00 0029 04d0 00000000 0000 00 0029 04d0 00000000 0000"),
        ("an unreadable additional", [1, 0, 2], "c00c 0001 0001 0000003c 0009 037f00"),
        ("an SOA without its numbers", [1, 1, 0], soa),
        ("a name that points at itself", [1, 1, 0], "c02f c02f c02f"),
        ("an authority cut in its head", [1, 1, 1], "c00c 0002"),
        ("bytes behind the end", [1, 0, 0], "00ff00ff00ff"),
        ("an address of 3 bytes beside", [2, 0, 0], "c00c 0001 0001 0000012c 0003 c00002"),
        ("an address of none beside", [2, 0, 0], "c00c 0001 0001 0000012c 0000"),
        (
            "a record of another type with no sense in it",
            [2, 0, 0],
            "c00c 002e 0001 00000001 0001 ff",
        ),
    ] {
        assert_eq!(answer_to(counts, format!("{A} {rest}")).await, found(), "{what}");
    }
}

#[tokio::test]
async fn no_record_of_another_section_is_an_answer() {
    for (what, counts) in
        [("authority", [0, 1, 0]), ("additional", [0, 0, 1]), ("neither", [0, 0, 0])]
    {
        assert_eq!(answer_to(counts, A.to_owned()).await, none(NoRecord::NoData, None), "{what}");
    }
}

#[tokio::test]
async fn an_unreadable_answer_section_is_malformed() {
    for (what, counts, sections) in [
        ("an answer too few", [2, 0, 0], A.to_owned()),
        ("an address of 3 bytes", [1, 0, 0], "c00c 0001 0001 0000012c 0003 c00002".to_owned()),
        ("an address of none", [1, 0, 0], "c00c 0001 0001 0000012c 0000".to_owned()),
        ("a name that points ahead", [1, 0, 0], "c0ff 0001 0001 0000012c 0004 c0000201".to_owned()),
    ] {
        let malformed = DnsAnswer::failed(DnsFailure::Malformed);
        assert_eq!(answer_to(counts, sections).await, malformed, "{what}");
    }
}

#[tokio::test]
async fn negative_lifetimes_are_read_where_they_can_be() {
    let server = Server::start(|query, _, _| {
        let mut reply = reply(query, ResponseCode::NXDomain);
        reply.add_authority(soa("example.", 30, 600));
        let mut packet = bytes(&reply);
        // An additional record is announced that is not there.
        packet[11] = 1;
        vec![packet]
    })
    .await;
    assert_eq!(lookup(&asking([&server]), a("a.example")).await, none(NoRecord::NxDomain, 30));
    // The SOA cannot be read, and says nothing.
    let cut = "c00c 0006 0001 0000001e 0004 c00c c00c".to_owned();
    assert_eq!(answer_to([0, 1, 0], cut).await, none(NoRecord::NoData, None));
}
