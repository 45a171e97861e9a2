//! `HickoryResolverDns`: a resolver that the application has already.

use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use matrix_delegation::Dns;
use matrix_delegation::adapters::HickoryResolverDns;
use matrix_delegation::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord};

use super::loopback::stays;
use super::server::{Server, address, cname, name, records, reply, soa, srv};
use super::{SRV_NAME, a, aaaa, addresses, none, srv_of, srv_targets};

/// A resolver as an application may have it, with search domains.
fn resolver(server: &Server, timeout: Duration) -> HickoryResolverDns {
    let mut udp = ConnectionConfig::udp();
    udp.port = server.address.port();
    let servers = vec![NameServerConfig::new(stays(server.address).ip(), true, vec![udp])];
    let config = ResolverConfig::from_parts(None, vec![name("search.test.")], servers);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    (builder.options_mut().timeout, builder.options_mut().attempts) = (timeout, 1);
    builder.build().unwrap().into()
}

async fn lookup(dns: &HickoryResolverDns, question: DnsQuestion) -> DnsAnswer {
    match dns.lookup(question).await {
        DnsAnswer::Failed { failure, detail } => {
            assert!(!detail.is_empty());
            DnsAnswer::failed(failure)
        }
        answer => answer,
    }
}

#[tokio::test]
async fn what_it_finds_is_an_answer() {
    let server = Server::replying(|query| {
        let question = query.queries[0].to_string();
        if question.starts_with("alias.example") {
            let found =
                [cname("alias.example.", 60, "b.example."), address("b.example.", 30, "192.0.2.2")];
            return records(query, found);
        }
        if question.starts_with(SRV_NAME) {
            return records(query, [srv(SRV_NAME, 300, (10, 5, 8448), name("b.example."))]);
        }
        if question.starts_with("none.example") {
            let mut reply = reply(query, ResponseCode::NXDomain);
            reply.add_authority(soa("example.", 900, 60));
            return reply;
        }
        if question.starts_with("broken.example") {
            return reply(query, ResponseCode::ServFail);
        }
        if question.contains("AAAA") {
            return reply(query, ResponseCode::NoError);
        }
        records(query, [address("a.example.", 300, "192.0.2.1")])
    })
    .await;
    let dns = resolver(&server, Duration::from_secs(60));
    assert_eq!(lookup(&dns, a("a.example")).await, addresses(300, false, &["192.0.2.1"]));
    assert_eq!(lookup(&dns, a("alias.example")).await, addresses(30, true, &["192.0.2.2"]));
    assert_eq!(srv_targets(lookup(&dns, srv_of("a.example")).await), ["b.example"]);
    assert_eq!(lookup(&dns, aaaa("a.example")).await, none(NoRecord::NoData, None));
    assert_eq!(lookup(&dns, a("none.example")).await, none(NoRecord::NxDomain, 60));
    assert_eq!(lookup(&dns, a("broken.example")).await, DnsAnswer::failed(DnsFailure::ServFail));
    // Never asked, and no search domain is.
    assert_eq!(lookup(&dns, a("x.onion")).await, none(NoRecord::Onion, None));
    let asked = server.questions();
    assert!(
        asked.iter().all(|it| !it.contains("search.test") && !it.contains("onion")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_of_dns() {
    let server = Server::silent().await;
    let dns = resolver(&server, Duration::from_millis(200));
    assert_eq!(lookup(&dns, a("a.example")).await, DnsAnswer::failed(DnsFailure::Timeout));
}
