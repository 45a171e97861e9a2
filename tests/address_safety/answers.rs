//! What DNS answers: addresses of every block, for every host that is looked up, and SRV targets.

use matrix_delegation::dns::SrvDropReason;
use matrix_delegation::names::NotAHostName;

use crate::row::{Row, Rule, Setting};
use crate::spellings::{V4, V6};
use crate::world::{FED, GOOD_V6, NEXT, WEB, World};

/// One address of each kind, for what differs in where the answer is used.
const KINDS: &[&str] = &[
    "127.0.0.1",
    "169.254.169.254",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::192.168.1.1",
    "2002:7f00:1::1",
    "2001:0:7f00:1::1",
    "2a00::5efe:127.0.0.1",
    "fd00::1",
    "fe80::1",
];

const SERVICES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];

pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = V4
        .iter()
        .chain(V6)
        .map(|address| {
            let world = World::new().host("h.example", &[address]);
            Row::new(format!("{address} of a name with a port"), "h.example:8449", world)
                .leads_to(&[address], 8449)
        })
        .collect();
    for address in KINDS {
        rows.extend(hosts(address));
        rows.extend(beside_good(address));
        rows.extend(srv_targets(address));
    }
    rows.extend(mixed());
    rows.extend(srv_texts());
    rows
}

/// Each host whose addresses are looked up, at this address alone.
fn hosts(address: &str) -> Vec<Row> {
    let at = |host: &str| World::new().host(host, &[address]);
    vec![
        Row::new(format!("{address} of a web server"), "h.example", at("h.example"))
            .leads_to(&[address], 443),
        Row::new(
            format!("{address} of a web server beside a good SRV target"),
            "h.example",
            at("h.example").srv("_matrix-fed._tcp.h.example", &[(1, 8450, "m.example.")]),
        )
        .attempts(&[(FED, 8450)])
        .leads_to(&[address], 443),
        Row::of_a(format!("{address} of a delegated host"), at("h.example").delegates("h.example"))
            .attempts(&[(WEB, 443)])
            .leads_to(&[address], 8448),
        Row::of_a(
            format!("{address} of a delegated host with a port"),
            at("h.example").delegates("h.example:8449"),
        )
        .attempts(&[(WEB, 443)])
        .leads_to(&[address], 8449),
        Row::of_a(
            format!("{address} of a redirect's host"),
            at("h.example").redirects("https://h.example/m"),
        )
        .leads_to(&[address], 443),
        Row::of_a(
            format!("{address} of a redirect's host with a port"),
            at("h.example").redirects("//H.Example.:8443"),
        )
        .leads_to(&[address], 8443),
        Row::new(
            format!("{address} behind an alias"),
            "h.example:8449",
            at("h.example").aliased("h.example"),
        )
        .leads_to(&[address], 8449),
    ]
}

/// The address beside a good one.
fn beside_good(address: &str) -> Vec<Row> {
    let both = || World::new().host("h.example", &[NEXT, address]).refuse(NEXT, 443);
    vec![
        Row::new(format!("{address} beside a good address"), "h.example:8449", both())
            .attempts(&[(NEXT, 8449)])
            .leads_to(&[address], 8449),
        Row::of_a(
            format!("{address} beside a good address of a redirect's host"),
            both().redirects("https://h.example/m"),
        )
        .attempts(&[(WEB, 443), (NEXT, 443), (WEB, 8448)])
        .leads_to(&[address], 443)
        .unsaid(),
        Row::new(
            format!("{address} beside a good address of the other family"),
            "h.example:8449",
            World::new()
                .host("h.example", &[if address.contains(':') { FED } else { GOOD_V6 }, address]),
        )
        .attempts(&[(if address.contains(':') { FED } else { GOOD_V6 }, 8449)])
        .leads_to(&[address], 8449),
        Row::new(
            format!("{address} beside a good address, and the host is refused"),
            "h.example:8449",
            both(),
        )
        .setting(Setting::RefuseHost)
        .leads_to(&[address], 8449),
    ]
}

/// The address of an SRV target, in each of the four steps that look for SRV records.
fn srv_targets(address: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for service in SERVICES {
        for (owner, delegated) in [("a.example", false), ("d.example", true)] {
            let name = format!("{service}.{owner}");
            let mut world = World::new().host("t.example", &[address]);
            if delegated {
                world = world.delegates("d.example");
            }
            let one = world.clone().srv(&name, &[(1, 8450, "t.example.")]);
            rows.push(
                Row::of_a(format!("{address} of the SRV target of {name}"), one)
                    .attempts(&[(WEB, 443)])
                    .leads_to(&[address], 8450),
            );
            if service == "_matrix-fed._tcp" {
                let two = [(1, 8450, "t.example."), (2, 8451, "m.example.")];
                rows.push(
                    Row::of_a(
                        format!("{address} of the first of two SRV targets of {name}"),
                        world.srv(&name, &two),
                    )
                    .attempts(&[(WEB, 443), (FED, 8451)])
                    .leads_to(&[address], 8450),
                );
            }
        }
    }
    rows
}

/// Several addresses, and configurations that pick among them.
fn mixed() -> Vec<Row> {
    let of_h = |name: &str, addresses: &[&str]| {
        Row::new(name, "h.example:8449", World::new().host("h.example", addresses))
    };
    let many: Vec<String> = (1..=12).map(|last| format!("10.0.0.{last}")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    // As many of a family as are used.
    let used = many[..8].to_vec();
    many.push(NEXT);
    let all = [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.2",
    ];
    let v6_then_v4 = ["::ffff:127.0.0.1", "127.0.0.1"];
    vec![
        of_h("more blocked addresses than are used, and a good one", &many)
            .attempts(&[(NEXT, 8449)])
            .leads_to(&used, 8449),
        of_h("blocked addresses of many blocks", &all).leads_to(&all, 8449),
        of_h("one address in two forms", &v6_then_v4)
            // Allowed in one form it is allowed in the other.
            .leads_to(&["127.0.0.1"], 8449),
        of_h("IPv6 first", &["fd00::1", "10.0.0.1", NEXT, GOOD_V6])
            .setting(Setting::V6First)
            .attempts(&[(NEXT, 8449), (GOOD_V6, 8449)])
            .leads_to(&["fd00::1", "10.0.0.1"], 8449),
        of_h("IPv6 only", &["::ffff:10.0.0.1", "64:ff9b::10.0.0.2", GOOD_V6])
            .setting(Setting::V6Only)
            .attempts(&[(GOOD_V6, 8449)])
            .leads_to(&["64:ff9b::10.0.0.2", "::ffff:10.0.0.1"], 8449),
        Row::new(
            "IPv6 in the answer to a question for IPv4",
            "h.example:8449",
            World::new().answer("A h.example", &["::1"]),
        )
        .because(Rule::NoAddresses),
        Row::new(
            "IPv4 in the answer to a question for IPv6",
            "h.example:8449",
            World::new().answer("AAAA h.example", &["127.0.0.1"]),
        )
        .because(Rule::NoAddresses),
        Row::of_a(
            "nothing is asked early",
            World::new()
                .host("t.example", &["10.0.0.1", NEXT])
                .srv("_matrix-fed._tcp.a.example", &[(1, 8450, "t.example.")]),
        )
        .setting(Setting::NoSpeculation)
        .attempts(&[(WEB, 443), (NEXT, 8450)])
        .leads_to(&["10.0.0.1"], 8450),
        Row::of_a(
            "an SRV target that is an alias is dropped",
            World::new()
                .host("t.example", &["10.0.0.1"])
                .aliased("t.example")
                .srv("_matrix-fed._tcp.a.example", &[(1, 8450, "t.example.")]),
        )
        .setting(Setting::Strict)
        .attempts(&[(WEB, 443)])
        .because(Rule::Srv(SrvDropReason::Alias)),
        Row::of_a(
            "an SRV target that is an alias is followed",
            World::new()
                .host("t.example", &["10.0.0.1"])
                .aliased("t.example")
                .srv("_matrix-fed._tcp.a.example", &[(1, 8450, "t.example.")]),
        )
        .attempts(&[(WEB, 443)])
        .leads_to(&["10.0.0.1"], 8450),
    ]
}

use SrvDropReason::{IpLiteral, NoService, PortZero};

const fn no_name(reason: NotAHostName) -> SrvDropReason {
    SrvDropReason::NotAHostName(reason)
}

/// SRV targets that are no names, and the port beside them.
const NOT_USED: &[(&str, u16, SrvDropReason)] = &[
    ("127.0.0.1.", 8450, IpLiteral),
    ("127.0.0.1", 8450, IpLiteral),
    ("10.0.0.1.", 8450, IpLiteral),
    ("::1", 8450, IpLiteral),
    ("::ffff:127.0.0.1.", 8450, IpLiteral),
    ("[::1].", 8450, no_name(NotAHostName::Character)),
    ("fe80::1%eth0.", 8450, no_name(NotAHostName::Character)),
    ("127.1.", 8450, no_name(NotAHostName::LooksLikeAnAddress)),
    ("2130706433.", 8450, no_name(NotAHostName::LooksLikeAnAddress)),
    ("0x7f000001.", 8450, no_name(NotAHostName::LooksLikeAnAddress)),
    ("0x7f.1.", 8450, no_name(NotAHostName::LooksLikeAnAddress)),
    ("0177.0.0.1.", 8450, no_name(NotAHostName::LooksLikeAnAddress)),
    ("127.0.0.1..", 8450, no_name(NotAHostName::TrailingDot)),
    ("127.0.0.1:8448.", 8450, no_name(NotAHostName::Character)),
    ("user@localhost.", 8450, no_name(NotAHostName::Character)),
    ("\u{ff11}27.0.0.1.", 8450, no_name(NotAHostName::Character)),
    ("127\u{3002}0.0.1.", 8450, no_name(NotAHostName::Character)),
    ("_sip.localhost.", 8450, no_name(NotAHostName::Character)),
    ("*.localhost.", 8450, no_name(NotAHostName::Character)),
    ("-a.localhost.", 8450, no_name(NotAHostName::Hyphen)),
    ("a..localhost.", 8450, no_name(NotAHostName::EmptyLabel)),
    ("localhost.", 0, PortZero),
    (".", 8450, NoService),
    ("", 8450, NoService),
];

/// SRV targets that lead to loopback.
const LOCALHOST: &[&str] =
    &["localhost.", "localhost", "LOCALHOST.", "a.localhost.", "A.b.LocalHost"];

fn srv_texts() -> Vec<Row> {
    let mut rows = Vec::new();
    for service in SERVICES {
        let name = format!("{service}.a.example");
        let row = |target: &str, port| {
            let world = World::new().srv(&name, &[(1, port, target)]);
            Row::of_a(format!("SRV target {target:?}:{port} of {name}"), world)
                .attempts(&[(WEB, 443)])
        };
        for (target, port, reason) in NOT_USED {
            rows.push(row(target, *port).because(Rule::Srv(*reason)));
        }
        for target in LOCALHOST {
            rows.push(row(target, 8450).leads_to(&["127.0.0.1", "::1"], 8450));
        }
    }
    rows
}
