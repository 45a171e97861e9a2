//! What changes after it was good (DNS rebinding), what was remembered before, and names that are left
//! to a proxy.

use std::time::Duration;

use matrix_delegation::dns::SrvDropReason;
use matrix_delegation::names::{NotAHostName, ServerNameErrorKind};

use crate::row::{Act, DocumentFault, Row, Rule, Setting, UrlFault};
use crate::world::{FED, Kept, NEXT, Page, TTL, WEB, WELL_KNOWN, World};

/// What names lead to, once they no longer lead to a good address.
const REBOUND: &[&str] = &[
    "127.0.0.1",
    "169.254.169.254",
    "::1",
    "::ffff:10.0.0.1",
    "64:ff9b::169.254.169.254",
    "fe80::1",
];

/// A little less than [`TTL`].
const ALMOST: Duration = Duration::from_secs(290);

/// Longer than any document holds.
const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);

pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> =
        REBOUND.iter().flat_map(|address| [hosts(address), documents(address)].concat()).collect();
    rows.extend(kept());
    rows.extend(by_proxy());
    rows
}

/// Requests this far apart, each of them twice: what is stale may be used until it is renewed.
fn again_after(time: Duration) -> [Act; 5] {
    let moment = Act::Pass(Duration::from_secs(40));
    [Act::Request, Act::Pass(time), Act::Request, moment, Act::Request]
}

/// An address as the host of a URL, or as a server name.
fn literal(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// The addresses of a host that is connected to change.
fn hosts(address: &str) -> Vec<Row> {
    let each_time: &[&[&str]] = &[&[NEXT], &[address]];
    let to = |host: &str, ttl| World::new().host_each_time(host, ttl, each_time);
    let with_port = |name: &str, ttl, acts: &[Act]| {
        Row::new(format!("{name}: {address}"), "h.example:8449", to("h.example", ttl)).acts(acts)
    };
    let expired = again_after(TTL + Duration::from_secs(1));
    // The question about the family that changes.
    let asked_once =
        Rule::AskedOnce(if address.contains(':') { "AAAA h.example" } else { "A h.example" });
    let document = "h.example/.well-known/matrix/server";
    let itself = |ttl| {
        to("h.example", ttl).serve(NEXT, 443).page(document, Page::delegates("h.example:8449"))
    };
    vec![
        with_port("at the second look-up", TTL, &expired)
            .attempts(&[(NEXT, 8449)])
            .leads_to(&[address], 8449),
        with_port("at the second look-up, without a TTL", Duration::ZERO, &expired)
            .attempts(&[(NEXT, 8449)])
            .leads_to(&[address], 8449),
        with_port(
            "when the answer is renewed early",
            TTL,
            &[
                Act::Request,
                Act::Pass(ALMOST),
                Act::Request,
                Act::Pass(Duration::from_secs(20)),
                Act::Request,
            ],
        )
        .attempts(&[(NEXT, 8449)])
        .leads_to(&[address], 8449),
        with_port(
            "between the look-up and a later connection",
            TTL,
            &[Act::Request, Act::Pass(TTL / 2), Act::Connect],
        )
        .attempts(&[(NEXT, 8449)])
        .because(asked_once.clone()),
        Row::new(
            format!("between the document and the connection: {address}"),
            "h.example",
            itself(TTL),
        )
        .attempts(&[(NEXT, 443), (NEXT, 8449)])
        .because(asked_once.clone()),
        Row::new(
            format!("after the document and the connection: {address}"),
            "h.example",
            itself(TTL),
        )
        .acts(&expired)
        .attempts(&[(NEXT, 443), (NEXT, 8449)])
        .leads_to(&[address], 8449),
    ]
}

/// What documents and SRV records lead to changes.
fn documents(address: &str) -> Vec<Row> {
    let expired = again_after(TTL + Duration::from_secs(1));
    let b_example = || {
        World::new()
            .host_each_time("b.example", TTL, &[&[NEXT], &[address]])
            .redirects("https://b.example/1")
    };
    let asked_once =
        Rule::AskedOnce(if address.contains(':') { "AAAA b.example" } else { "A b.example" });
    vec![
        Row::of_a(
            format!("between two redirects of one host: {address}"),
            b_example().page("b.example/1", Page::redirect("/2")),
        )
        .attempts(&[(WEB, 443), (NEXT, 443), (WEB, 8448)])
        .because(asked_once),
        Row::of_a(
            format!("at the next look-up of a redirect's host: {address}"),
            b_example().page("b.example/1", Page::delegates("m.example")),
        )
        .acts(&again_after(DAYS))
        // In the end the last good document is too old, and the host itself is used.
        .attempts(&[(WEB, 443), (NEXT, 443), (FED, 8448), (WEB, 8448)])
        .leads_to(&[address], 443),
        Row::of_a(
            format!("a redirect to another place than before: {address}"),
            World::new()
                .page_each_time(
                    WELL_KNOWN,
                    vec![
                        Page::redirect("https://b.example/1"),
                        Page::redirect(&format!("https://{}/", literal(address))),
                    ],
                )
                .page("b.example/1", Page::delegates("m.example")),
        )
        .acts(&again_after(DAYS))
        // In the end the last good document is too old, and the host itself is used.
        .attempts(&[(WEB, 443), (NEXT, 443), (FED, 8448), (WEB, 8448)])
        .leads_to(&[address], 443),
        Row::of_a(
            format!("another document than before: {address}"),
            World::new().page_each_time(
                WELL_KNOWN,
                vec![Page::delegates("m.example"), Page::delegates(&literal(address))],
            ),
        )
        .acts(&again_after(DAYS))
        .attempts(&[(WEB, 443), (FED, 8448)])
        .leads_to(&[address], 8448),
        Row::of_a(
            format!("another address of the web server than before: {address}"),
            World::new()
                .host_each_time("a.example", TTL, &[&[WEB], &[address]])
                .delegates("m.example"),
        )
        .acts(&again_after(DAYS))
        .attempts(&[(WEB, 443), (FED, 8448)])
        .leads_to(&[address], 443),
        Row::of_a(
            format!("another SRV target than before: {address}"),
            World::new().host("t.example", &[address]).srv_each_time(
                "_matrix-fed._tcp.a.example",
                &[&[(1, 8448, "m.example.")], &[(1, 8450, "t.example.")]],
            ),
        )
        .acts(&expired)
        .attempts(&[(WEB, 443), (FED, 8448)])
        .leads_to(&[address], 8450),
        Row::new(
            format!("another address beside the one before: {address}"),
            "h.example:8449",
            World::new().host_each_time("h.example", TTL, &[&[NEXT], &[NEXT, address]]),
        )
        .acts(&expired)
        .attempts(&[(NEXT, 8449)])
        .leads_to(&[address], 8449),
        Row::new(
            format!("after a response from the good address: {address}"),
            "h.example:8449",
            World::new().host_each_time("h.example", TTL, &[&[NEXT], &[address]]).serve(NEXT, 8449),
        )
        .acts(&expired)
        .attempts(&[(NEXT, 8449)])
        .leads_to(&[address], 8449),
    ]
}

/// Delegations of `a.example` that someone put where they are remembered.
fn kept() -> Vec<Row> {
    let mut rows = Vec::new();
    for place in ["a store", "a snapshot"] {
        let row = |server: &'static str| {
            let kept = if place == "a store" { Kept::Store } else { Kept::Snapshot };
            let world = World::new().kept(kept(server)).host("private.example", &["172.16.0.1"]);
            Row::of_a(format!("{server:?} in {place}"), world)
        };
        for (server, addresses, port) in [
            ("127.0.0.1", &["127.0.0.1"][..], 8448),
            ("169.254.169.254:80", &["169.254.169.254"], 80),
            ("[::1]", &["::1"], 8448),
            ("[::ffff:a00:1]:8449", &["::ffff:10.0.0.1"], 8449),
            ("[64:ff9b::7f00:1]", &["64:ff9b::127.0.0.1"], 8448),
            ("[2002:7f00:1::]", &["2002:7f00:1::"], 8448),
            ("localhost", &["127.0.0.1", "::1"], 8448),
            ("private.example:8449", &["172.16.0.1"], 8449),
        ] {
            rows.push(row(server).attempts(&[]).leads_to(addresses, port));
        }
        for server in
            ["127.1", "0x7f.1", "2130706433", "localhost.", "user@127.0.0.1", "[fe80::1%eth0]"]
        {
            rows.push(row(server).because(Rule::NotBelieved));
        }
    }
    rows
}

/// Names are looked up by a proxy, which must not be asked for an address in disguise.
fn by_proxy() -> Vec<Row> {
    let by_proxy = |name: String, server_name: &str, world| {
        Row::new(name, server_name, world).setting(Setting::ByProxy)
    };
    let document = ["a.example:443"];
    let all = ["a.example:443", "a.example:8448"];
    let mut rows = Vec::new();
    for (text, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("[::1]", "::1"),
        ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
        ("[64:ff9b::a00:1]", "64:ff9b::10.0.0.1"),
        ("[fe80::1]", "fe80::1"),
    ] {
        rows.push(
            by_proxy(format!("by proxy, server name {text}"), text, World::new())
                .leads_to(&[address], 8448),
        );
        let world = World::new().delegates(text);
        rows.push(
            by_proxy(format!("by proxy, m.server {text}"), "a.example", world)
                .names(&document)
                .leads_to(&[address], 8448),
        );
        let world = World::new().redirects(&format!("https://{text}/"));
        rows.push(
            by_proxy(format!("by proxy, redirect to {text}"), "a.example", world)
                .names(&all)
                .leads_to(&[address], 443),
        );
    }
    for (text, address) in
        [("127.1", "127.0.0.1"), ("0x7f.1", "127.0.0.1"), ("2852039166", "169.254.169.254")]
    {
        let world = World::new().redirects(&format!("//{text}/"));
        rows.push(
            by_proxy(format!("by proxy, redirect to {text}"), "a.example", world)
                .names(&all)
                .leads_to(&[address], 443),
        );
        let number = NotAHostName::LooksLikeAnAddress;
        rows.push(
            by_proxy(format!("by proxy, server name {text}"), text, World::new())
                .because(Rule::NoHost(number)),
        );
        let world = World::new().delegates(text);
        rows.push(
            by_proxy(format!("by proxy, m.server {text}"), "a.example", world)
                .names(&all)
                .because(Rule::Document(DocumentFault::NoHost(number))),
        );
        let target = format!("{text}.");
        let world = World::new().srv("_matrix-fed._tcp.a.example", &[(1, 8450, &target)]);
        rows.push(
            by_proxy(format!("by proxy, SRV target {target}"), "a.example", world)
                .names(&document)
                .because(Rule::Srv(SrvDropReason::NotAHostName(number))),
        );
    }
    let world = World::new().delegates("user@127.0.0.1");
    rows.push(
        by_proxy("by proxy, m.server with a user".to_owned(), "a.example", world)
            .names(&all)
            .because(Rule::Document(DocumentFault::Grammar(ServerNameErrorKind::HostCharacter))),
    );
    let world = World::new().redirects("https://user@127.0.0.1/");
    rows.push(
        by_proxy("by proxy, redirect with a user".to_owned(), "a.example", world)
            .names(&all)
            .because(Rule::Redirect(UrlFault::Credentials)),
    );
    rows
}
