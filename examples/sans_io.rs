//! Drives the core by hand with canned answers: no features, no sockets, no clock.
//!
//! A homeserver with its own DNS and HTTP, or a fuzzing harness, puts its own answers here.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use matrix_delegation::discovery::{Machine, Output, Question};
use matrix_delegation::dns::{DnsAnswer, DnsQuestion, NoRecord, Records, SrvRecord};
use matrix_delegation::time::Now;
use matrix_delegation::well_known::Body;
use matrix_delegation::{Config, Discovery};

fn dns(question: &DnsQuestion) -> DnsAnswer {
    let records = match question.to_string().as_str() {
        "A a.example" => Records::Addresses(vec![[8, 8, 4, 1].into()]),
        "A fed.example" => Records::Addresses(vec![[8, 8, 4, 2].into()]),
        "SRV _matrix-fed._tcp.m.example" => Records::Srv(vec![SrvRecord {
            priority: 10,
            weight: 0,
            port: 7754,
            target: "fed.example.".to_owned(),
        }]),
        _ => return DnsAnswer::None { kind: NoRecord::NxDomain, ttl: None },
    };
    DnsAnswer::Found { records, ttl: Duration::from_secs(300), alias: false }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut now = Now::EPOCH;
    let mut discovery = Discovery::new("a.example".parse()?, Arc::new(Config::default()), now, 0);
    let target = loop {
        match discovery.poll_output(now) {
            Output::Ask(Question::Dns { token, question }) => {
                println!("asked {question}");
                discovery.handle(token.answer(dns(&question)), now);
            }
            Output::Ask(Question::Fetch { token, fetch }) => {
                println!("asked {} at {:?}", fetch.request.uri(), fetch.addresses);
                let body = Body::from(*br#"{"m.server": "m.example"}"#);
                discovery.handle(token.answer(Ok(Response::new(body))), now);
            }
            Output::Ask(_) => unreachable!("only asked on request"),
            // Nothing is under way here, so time jumps; a program would wait for answers, too.
            Output::Wait(Some(at)) => now = now + at.since(now.monotonic),
            Output::Wait(None) => unreachable!("nothing to wait for"),
            Output::Done(outcome) => break outcome?,
        }
    };
    println!("{target}");
    print!("{}", discovery.report());
    assert_eq!(target.authority(), "m.example");
    Ok(())
}
