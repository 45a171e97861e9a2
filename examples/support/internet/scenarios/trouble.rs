//! Set-ups that are broken, with what comes of each.

use std::ops::RangeInclusive;

use super::super::{Builder, Certificate, Manner, Page, Site, Trouble, WELL_KNOWN_PATH};
use super::{BLOCKED_ADDRESS, Expect, Row, Target, WELL_KNOWN_NO_HOST};
use super::{WELL_KNOWN_PERMANENT, WELL_KNOWN_TEMPORARY, target};

/// A JSON body beyond the 51,200 bytes that a well-known file may have.
const TOO_LARGE: usize = 60_000;

/// A row whose well-known file is no good, so that all that is left is port 8448 of the name.
macro_rules! bad_well_known {
    (
        $server_name:literal, $address:literal, $title:literal,
        $failure:expr, $site:expr $(, warns $evidence:expr)?
    ) => {
        Row {
            server_name: $server_name,
            title: $title,
            expect: Expect::Target(
                step_6(
                    $server_name,
                    &[($server_name, 8448)],
                    &[concat!($address, ":8448")],
                    $failure,
                )
                $(.warns($evidence))?,
            ),
            set_up: |net| {
                let site: Site = $site;
                step_6_at(net, $server_name, $address)
                    .site([concat!($address, ":443")], site.only_for([$server_name]))
            },
        }
    };
}

const fn step_6(
    name: &'static str,
    endpoints: &'static [(&'static str, u16)],
    addresses: &'static [&'static str],
    failure: RangeInclusive<u64>,
) -> Target {
    let passes = *failure.end() < *super::DNS.end();
    let target = target("6", name, name, endpoints, addresses).well_known(failure);
    // A failure that may pass ends sooner than the DNS records do.
    if passes { target.lifetime(Some(WELL_KNOWN_TEMPORARY)) } else { target }
}

fn step_6_at(net: Builder, name: &str, address: &str) -> Builder {
    let at = format!("{address}:8448");
    net.address(name, address).federation([at.as_str()], name, name, name)
}

/// A site with a good certificate and this well-known answer.
fn answers(name: &str, page: Page) -> Site {
    Site::named(name).page(WELL_KNOWN_PATH, page)
}

/// Broken in one way each.
pub static TROUBLE: &[Row] = &[
    bad_well_known!(
        "well-known-404.example",
        "203.0.113.30",
        "the web server has no well-known file",
        WELL_KNOWN_PERMANENT,
        Site::named("well-known-404.example")
    ),
    bad_well_known!(
        "well-known-500.example",
        "203.0.113.31",
        "the web server is out of order",
        WELL_KNOWN_TEMPORARY,
        answers("well-known-500.example", Page::text(500, "out of order"))
    ),
    bad_well_known!(
        "bad-json.example",
        "203.0.113.32",
        "the well-known file is no JSON",
        WELL_KNOWN_PERMANENT,
        answers("bad-json.example", Page::json("{m.server: bad-json.example:443}"))
    ),
    bad_well_known!(
        "bad-delegate.example",
        "203.0.113.33",
        "delegated to 127.1, which some programs would take for 127.0.0.1",
        WELL_KNOWN_PERMANENT,
        answers("bad-delegate.example", Page::delegation("127.1")),
        warns & ["127.1"]
    ),
    bad_well_known!(
        "bad-port.example",
        "203.0.113.34",
        "delegated to a port that does not exist",
        WELL_KNOWN_PERMANENT,
        answers("bad-port.example", Page::delegation("bad-port.example:99999")),
        warns & ["99999"]
    ),
    bad_well_known!(
        "redirect-loop.example",
        "203.0.113.35",
        "the well-known file redirects in a circle",
        WELL_KNOWN_PERMANENT,
        answers("redirect-loop.example", Page::redirect(302, "/elsewhere"))
            .page("/elsewhere", Page::redirect(302, WELL_KNOWN_PATH))
    ),
    bad_well_known!(
        "redirect-to-http.example",
        "203.0.113.36",
        "the well-known file redirects to a place without TLS",
        WELL_KNOWN_PERMANENT,
        answers(
            "redirect-to-http.example",
            Page::redirect(301, "http://redirect-to-http.example/matrix.json")
        )
    ),
    bad_well_known!(
        "redirect-inside.example",
        "203.0.113.37",
        "the well-known file redirects to a blocked address",
        WELL_KNOWN_PERMANENT,
        answers("redirect-inside.example", Page::redirect(308, "https://10.0.0.1/matrix.json"))
    ),
    bad_well_known!(
        "too-large.example",
        "203.0.113.38",
        "the well-known file is good, but larger than allowed",
        WELL_KNOWN_TEMPORARY,
        answers(
            "too-large.example",
            Page::json(format!(
                r#"{{"m.server":"too-large.example:443","padding":"{}"}}"#,
                "x".repeat(TOO_LARGE)
            ))
        )
    ),
    bad_well_known!(
        "endless.example",
        "203.0.113.39",
        "the well-known file does not end",
        WELL_KNOWN_TEMPORARY,
        answers("endless.example", Page::endless())
    ),
    bad_well_known!(
        "cut-off.example",
        "203.0.113.40",
        "the connection breaks in the middle of the well-known file",
        WELL_KNOWN_TEMPORARY,
        answers("cut-off.example", Page::cut_off(r#"{"m.server":"cut-off.example:443"}"#))
    ),
    bad_well_known!(
        "hangs-up.example",
        "203.0.113.41",
        "the web server hangs up on everyone",
        WELL_KNOWN_TEMPORARY,
        Site::named("hangs-up.example").manner(Manner::ClosesAtOnce)
    ),
    bad_well_known!(
        "wrong-certificate.example",
        "203.0.113.42",
        "the web server's certificate is for another name",
        WELL_KNOWN_TEMPORARY,
        Site::named("other.example")
            .page(WELL_KNOWN_PATH, Page::delegation("wrong-certificate.example:443"))
    ),
    bad_well_known!(
        "expired-certificate.example",
        "203.0.113.43",
        "the web server's certificate has expired",
        WELL_KNOWN_TEMPORARY,
        Site::with(Certificate::Expired(vec!["expired-certificate.example".to_owned()]))
            .page(WELL_KNOWN_PATH, Page::delegation("expired-certificate.example:443"))
    ),
    Row {
        server_name: "no-service.example",
        title: "the SRV record says that there is no such service",
        expect: Expect::Error { kind: "service_not_available" },
        set_up: |net| {
            step_6_at(net, "no-service.example", "203.0.113.50").srv(
                "_matrix-fed._tcp.no-service.example",
                0,
                0,
                0,
                ".",
            )
        },
    },
    Row {
        server_name: "srv-to-address.example",
        title: "the only SRV record points at an IP address, which it must not",
        expect: Expect::Error { kind: "no_usable_endpoint" },
        set_up: |net| {
            step_6_at(net, "srv-to-address.example", "203.0.113.51").srv(
                "_matrix-fed._tcp.srv-to-address.example",
                10,
                5,
                8448,
                "203.0.113.51",
            )
        },
    },
    Row {
        server_name: "srv-half-usable.example",
        title: "one SRV record points at an IP address, the other at a host",
        expect: Expect::Target(
            target(
                "4",
                "srv-half-usable.example",
                "srv-half-usable.example",
                &[("fed.srv-half-usable.example", 8448)],
                &["203.0.113.52:8448"],
            )
            .well_known(WELL_KNOWN_NO_HOST)
            .warns(&["203.0.113.53"]),
        ),
        set_up: |net| {
            let (srv, name) =
                ("_matrix-fed._tcp.srv-half-usable.example", "srv-half-usable.example");
            net.srv(srv, 10, 50, 8448, "203.0.113.53")
                .srv(srv, 10, 50, 8448, "fed.srv-half-usable.example")
                .address("fed.srv-half-usable.example", "203.0.113.52")
                .federation(["203.0.113.52:8448"], name, name, name)
        },
    },
    Row {
        server_name: "srv-to-alias.example",
        title: "the SRV record points at an alias, which it should not; it is followed",
        expect: Expect::Target(
            target(
                "4",
                "srv-to-alias.example",
                "srv-to-alias.example",
                &[("nickname.srv-to-alias.example", 8448)],
                &["203.0.113.54:8448"],
            )
            .well_known(WELL_KNOWN_NO_HOST)
            .warns(&["nickname.srv-to-alias.example"]),
        ),
        set_up: |net| {
            let name = "srv-to-alias.example";
            net.srv(
                "_matrix-fed._tcp.srv-to-alias.example",
                10,
                5,
                8448,
                "nickname.srv-to-alias.example",
            )
            .cname("nickname.srv-to-alias.example", "machine.srv-to-alias.example")
            .address("machine.srv-to-alias.example", "203.0.113.54")
            .federation(["203.0.113.54:8448"], name, name, name)
        },
    },
    Row {
        server_name: "srv-servfail.example",
        title: "the DNS server fails when asked for SRV records: one goes on without, for now",
        expect: Expect::Target(
            target(
                "6",
                "srv-servfail.example",
                "srv-servfail.example",
                &[("srv-servfail.example", 8448)],
                &["203.0.113.55:8448"],
            )
            .well_known(WELL_KNOWN_TEMPORARY)
            .lifetime(Some(5..=120))
            .degraded()
            .warns(&["SERVFAIL"]),
        ),
        set_up: |net| {
            step_6_at(net, "srv-servfail.example", "203.0.113.55")
                .trouble("_matrix-fed._tcp.srv-servfail.example", Trouble::ServFail)
                .trouble("_matrix._tcp.srv-servfail.example", Trouble::ServFail)
        },
    },
    Row {
        server_name: "srv-not-implemented.example",
        title: "the DNS server knows no SRV records, which is the same as having none",
        expect: Expect::Target(
            target(
                "6",
                "srv-not-implemented.example",
                "srv-not-implemented.example",
                &[("srv-not-implemented.example", 8448)],
                &["203.0.113.56:8448"],
            )
            .well_known(WELL_KNOWN_TEMPORARY)
            .lifetime(Some(20..=60)),
        ),
        set_up: |net| {
            step_6_at(net, "srv-not-implemented.example", "203.0.113.56")
                .trouble("_matrix-fed._tcp.srv-not-implemented.example", Trouble::NotImplemented)
                .trouble("_matrix._tcp.srv-not-implemented.example", Trouble::NotImplemented)
        },
    },
    Row {
        server_name: "half-servfail.example:8448",
        title: "the DNS server fails when asked for IPv6 addresses: IPv4 is enough for now",
        expect: Expect::Target(
            target(
                "2",
                "half-servfail.example:8448",
                "half-servfail.example",
                &[("half-servfail.example", 8448)],
                &["203.0.113.60:8448"],
            )
            .lifetime(Some(5..=300))
            .warns(&["SERVFAIL"]),
        ),
        set_up: |net| {
            net.address("half-servfail.example", "203.0.113.60")
                .trouble_with("AAAA", "half-servfail.example", Trouble::ServFail)
                .federation(
                    ["203.0.113.60:8448"],
                    "half-servfail.example:8448",
                    "half-servfail.example",
                    "half SERVFAIL",
                )
        },
    },
    Row {
        server_name: "blocked.example",
        title: "the name leads into a private network",
        expect: Expect::Error { kind: "blocked_address" },
        set_up: |net| net.address("blocked.example", BLOCKED_ADDRESS),
    },
    Row {
        server_name: "10.0.0.1:8448",
        title: "the server name is an address of a private network",
        expect: Expect::Error { kind: "blocked_address" },
        set_up: |net| net,
    },
    Row {
        server_name: "blocked-delegate.example",
        title: "delegated to an address of a private network",
        expect: Expect::Error { kind: "blocked_address" },
        set_up: |net| {
            let page = Page::delegation("10.0.0.1:8448");
            net.well_known("blocked-delegate.example", "198.51.100.80", page)
        },
    },
    Row {
        server_name: "half-blocked.example:8448",
        title: "of two addresses, one is in a private network",
        expect: Expect::Target(target(
            "2",
            "half-blocked.example:8448",
            "half-blocked.example",
            &[("half-blocked.example", 8448)],
            &["203.0.113.57:8448"],
        )),
        set_up: |net| {
            net.address("half-blocked.example", BLOCKED_ADDRESS)
                .address("half-blocked.example", "203.0.113.57")
                .federation(
                    ["203.0.113.57:8448"],
                    "half-blocked.example:8448",
                    "half-blocked.example",
                    "half blocked",
                )
        },
    },
    Row {
        server_name: "nowhere.example",
        title: "no such name",
        expect: Expect::Error { kind: "no_addresses" },
        set_up: |net| net,
    },
    Row {
        server_name: "lost-delegate.example",
        title: "delegated to a name that does not exist",
        expect: Expect::Error { kind: "no_addresses" },
        set_up: |net| {
            let page = Page::delegation("gone.lost-delegate.example:8448");
            net.well_known("lost-delegate.example", "198.51.100.81", page)
        },
    },
    Row {
        server_name: "dns-down.example",
        title: "the DNS server fails at every question about the name",
        expect: Expect::Error { kind: "no_addresses" },
        set_up: |net| {
            net.trouble("dns-down.example", Trouble::ServFail)
                .trouble("_matrix-fed._tcp.dns-down.example", Trouble::ServFail)
                .trouble("_matrix._tcp.dns-down.example", Trouble::ServFail)
        },
    },
    Row {
        server_name: "half-lost.example",
        title: "of two SRV targets, one does not exist",
        expect: Expect::Target(
            target(
                "4",
                "half-lost.example",
                "half-lost.example",
                &[("here.half-lost.example", 8448)],
                &["203.0.113.58:8448"],
            )
            .well_known(WELL_KNOWN_NO_HOST)
            .warns(&["gone.half-lost.example"]),
        ),
        set_up: |net| {
            let (srv, name) = ("_matrix-fed._tcp.half-lost.example", "half-lost.example");
            net.srv(srv, 10, 5, 8448, "gone.half-lost.example")
                .srv(srv, 20, 5, 8448, "here.half-lost.example")
                .address("here.half-lost.example", "203.0.113.58")
                .federation(["203.0.113.58:8448"], name, name, name)
        },
    },
    Row {
        server_name: "under_score.example",
        title: "an underscore is not in the grammar of server names",
        expect: Expect::Error { kind: "invalid_server_name" },
        set_up: |net| net,
    },
    Row {
        server_name: "plus-port.example:+8448",
        title: "a port is digits alone",
        expect: Expect::Error { kind: "invalid_server_name" },
        set_up: |net| net,
    },
    Row {
        server_name: "trailing-dot.example.",
        title: "in the grammar, but a second spelling of another name",
        expect: Expect::Error { kind: "unresolvable_name" },
        set_up: |net| step_6_at(net, "trailing-dot.example", "203.0.113.59"),
    },
    Row {
        server_name: "127.1",
        title: "in the grammar, but some programs would take it for 127.0.0.1",
        expect: Expect::Error { kind: "unresolvable_name" },
        set_up: |net| net,
    },
];
