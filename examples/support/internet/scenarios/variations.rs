//! Set-ups that work, with a twist each.

use super::super::{Page, Site, Trouble, WELL_KNOWN_PATH};
use super::{Expect, Row, WELL_KNOWN_DEFAULT, WELL_KNOWN_TEMPORARY, target};

/// Unusual, but in order.
pub static VARIATIONS: &[Row] = &[
    Row {
        server_name: "[2001:db8::a]:8449",
        title: "an IPv6 address with a port is step 1 too",
        expect: Expect::Target(
            target(
                "1",
                "[2001:db8::a]:8449",
                "2001:db8::a",
                &[("[2001:db8::a]", 8449)],
                &["[2001:db8::a]:8449"],
            )
            .lifetime(None),
        ),
        set_up: |net| {
            net.federation(["[2001:db8::a]:8449"], "[2001:db8::a]:8449", "2001:db8::a", "IPv6")
        },
    },
    Row {
        server_name: "MixedCase.Example:8448",
        title: "capitals: kept in Host, of no weight in DNS and certificates",
        expect: Expect::Target(target(
            "2",
            "MixedCase.Example:8448",
            "mixedcase.example",
            &[("mixedcase.example", 8448)],
            &["203.0.113.1:8448"],
        )),
        set_up: |net| {
            net.address("mixedcase.example", "203.0.113.1").federation(
                ["203.0.113.1:8448"],
                "MixedCase.Example:8448",
                "mixedcase.example",
                "capitals",
            )
        },
    },
    Row {
        server_name: "ipv6-only.example:8448",
        title: "a host that has an IPv6 address only",
        expect: Expect::Target(target(
            "2",
            "ipv6-only.example:8448",
            "ipv6-only.example",
            &[("ipv6-only.example", 8448)],
            &["[2001:db8::b]:8448"],
        )),
        set_up: |net| {
            net.address("ipv6-only.example", "2001:db8::b").federation(
                ["[2001:db8::b]:8448"],
                "ipv6-only.example:8448",
                "ipv6-only.example",
                "IPv6 only",
            )
        },
    },
    Row {
        server_name: "one-port.example",
        title: "delegated to itself at port 443, where web pages and federation share a server",
        expect: Expect::Target(
            target(
                "3.2",
                "one-port.example:443",
                "one-port.example",
                &[("one-port.example", 443)],
                &["203.0.113.2:443"],
            )
            .well_known(WELL_KNOWN_DEFAULT),
        ),
        set_up: |net| {
            let site = Site::named("one-port.example")
                .only_for(["one-port.example", "one-port.example:443"])
                .page(WELL_KNOWN_PATH, Page::delegation("one-port.example:443"))
                .federation("one port");
            net.address("one-port.example", "203.0.113.2").site(["203.0.113.2:443"], site)
        },
    },
    Row {
        server_name: "redirects.example",
        title: "the well-known file is found after two redirects, to another host and within it",
        expect: Expect::Target(
            target(
                "3.2",
                "fed.redirects.example:8448",
                "fed.redirects.example",
                &[("fed.redirects.example", 8448)],
                &["203.0.113.3:8448"],
            )
            .well_known(WELL_KNOWN_DEFAULT),
        ),
        set_up: |net| {
            let www = Site::named("www.redirects.example")
                .only_for(["www.redirects.example"])
                .page("/moved/here", Page::redirect(307, "../matrix.json"))
                .page("/matrix.json", Page::delegation("fed.redirects.example:8448"));
            net.well_known(
                "redirects.example",
                "198.51.100.63",
                Page::redirect(302, "https://www.redirects.example/moved/here"),
            )
            .address("www.redirects.example", "198.51.100.64")
            .site(["198.51.100.64:443"], www)
            .address("fed.redirects.example", "203.0.113.3")
            .federation(
                ["203.0.113.3:8448"],
                "fed.redirects.example:8448",
                "fed.redirects.example",
                "redirects",
            )
        },
    },
    Row {
        server_name: "no-second-delegation.example",
        title: "the host that one is delegated to delegates in turn, which nobody asks about",
        expect: Expect::Target(
            target(
                "3.5",
                "second.no-second-delegation.example",
                "second.no-second-delegation.example",
                &[("second.no-second-delegation.example", 8448)],
                &["198.51.100.66:8448"],
            )
            .well_known(WELL_KNOWN_DEFAULT),
        ),
        set_up: |net| {
            let second = "second.no-second-delegation.example";
            let third = Page::delegation("third.no-second-delegation.example:8448");
            net.well_known(
                "no-second-delegation.example",
                "198.51.100.65",
                Page::delegation(second),
            )
            .well_known(second, "198.51.100.66", third)
            .federation(["198.51.100.66:8448"], second, second, "no second delegation")
        },
    },
    Row {
        server_name: "max-age.example",
        title: "the well-known file says how long it holds",
        expect: Expect::Target(
            target(
                "3.2",
                "max-age.example:8448",
                "max-age.example",
                &[("max-age.example", 8448)],
                &["203.0.113.4:8448"],
            )
            .well_known(3_550..=3_600),
        ),
        set_up: |net| {
            let page = Page::delegation("max-age.example:8448")
                .header("cache-control", "public, max-age=3600");
            let site = Site::named("max-age.example").only_for(["max-age.example"]);
            net.address("max-age.example", "203.0.113.4")
                .site(["203.0.113.4:443"], site.page(WELL_KNOWN_PATH, page))
                .federation(
                    ["203.0.113.4:8448"],
                    "max-age.example:8448",
                    "max-age.example",
                    "max-age",
                )
        },
    },
    Row {
        server_name: "no-store.example",
        title: "the well-known file wants not to be kept: it is, for a minute",
        expect: Expect::Target(
            target(
                "3.2",
                "no-store.example:8448",
                "no-store.example",
                &[("no-store.example", 8448)],
                &["203.0.113.5:8448"],
            )
            .well_known(40..=60)
            .lifetime(Some(40..=60)),
        ),
        set_up: |net| {
            let page =
                Page::delegation("no-store.example:8448").header("cache-control", "no-store");
            let site = Site::named("no-store.example").only_for(["no-store.example"]);
            net.address("no-store.example", "203.0.113.5")
                .site(["203.0.113.5:443"], site.page(WELL_KNOWN_PATH, page))
                .federation(
                    ["203.0.113.5:8448"],
                    "no-store.example:8448",
                    "no-store.example",
                    "no-store",
                )
        },
    },
    Row {
        server_name: "short-ttl.example:8448",
        title: "DNS records that hold for half a minute",
        expect: Expect::Target(
            target(
                "2",
                "short-ttl.example:8448",
                "short-ttl.example",
                &[("short-ttl.example", 8448)],
                &["203.0.113.6:8448"],
            )
            .lifetime(Some(10..=30)),
        ),
        set_up: |net| {
            net.address_for("short-ttl.example", "203.0.113.6", 30).federation(
                ["203.0.113.6:8448"],
                "short-ttl.example:8448",
                "short-ttl.example",
                "short TTL",
            )
        },
    },
    Row {
        server_name: "priorities.example",
        title: "two SRV priorities: the second is for when the first fails",
        expect: Expect::Target(
            target(
                "4",
                "priorities.example",
                "priorities.example",
                &[
                    ("main1.priorities.example", 8448),
                    ("main2.priorities.example", 8448),
                    ("backup.priorities.example", 8449),
                ],
                &["203.0.113.7:8448", "203.0.113.8:8448", "203.0.113.9:8449"],
            )
            .well_known(super::WELL_KNOWN_NO_HOST),
        ),
        set_up: |net| {
            let (srv, host) = ("_matrix-fed._tcp.priorities.example", "priorities.example");
            net.srv(srv, 20, 100, 8449, "backup.priorities.example")
                .srv(srv, 10, 10, 8448, "main2.priorities.example")
                .srv(srv, 10, 90, 8448, "main1.priorities.example")
                .address("main1.priorities.example", "203.0.113.7")
                .address("main2.priorities.example", "203.0.113.8")
                .address("backup.priorities.example", "203.0.113.9")
                .federation(["203.0.113.7:8448"], host, host, "priorities, main1")
                .federation(["203.0.113.8:8448"], host, host, "priorities, main2")
                .federation(["203.0.113.9:8449"], host, host, "priorities, backup")
        },
    },
    Row {
        server_name: "hosted.example",
        title: "the SRV record's own name is an alias into the provider's zone",
        expect: Expect::Target(
            target(
                "4",
                "hosted.example",
                "hosted.example",
                &[("node.provider.example", 8448)],
                &["203.0.113.10:8448"],
            )
            .well_known(super::WELL_KNOWN_NO_HOST),
        ),
        set_up: |net| {
            net.cname("_matrix-fed._tcp.hosted.example", "customers.provider.example")
                .srv("customers.provider.example", 10, 5, 8448, "node.provider.example")
                .address("node.provider.example", "203.0.113.10")
                .federation(["203.0.113.10:8448"], "hosted.example", "hosted.example", "hosted")
        },
    },
    Row {
        server_name: "alias.example",
        title: "the host name is an alias of an alias of the machine that has the address",
        expect: Expect::Target(
            target(
                "6",
                "alias.example",
                "alias.example",
                &[("alias.example", 8448)],
                &["203.0.113.11:8448"],
            )
            .well_known(WELL_KNOWN_TEMPORARY)
            .lifetime(Some(WELL_KNOWN_TEMPORARY)),
        ),
        set_up: |net| {
            net.cname("alias.example", "second.alias-target.example")
                .cname("second.alias-target.example", "machine.alias-target.example")
                .address("machine.alias-target.example", "203.0.113.11")
                .federation(["203.0.113.11:8448"], "alias.example", "alias.example", "alias")
        },
    },
    Row {
        server_name: "truncated.example",
        title: "the SRV answer is too long for UDP and is asked for again over TCP",
        expect: Expect::Target(
            target(
                "4",
                "truncated.example",
                "truncated.example",
                &[("fed.truncated.example", 8448)],
                &["203.0.113.12:8448"],
            )
            .well_known(super::WELL_KNOWN_NO_HOST),
        ),
        set_up: |net| {
            let srv = "_matrix-fed._tcp.truncated.example";
            net.srv(srv, 10, 5, 8448, "fed.truncated.example")
                .trouble(srv, Trouble::TruncatedOverUdp)
                .address("fed.truncated.example", "203.0.113.12")
                .federation(
                    ["203.0.113.12:8448"],
                    "truncated.example",
                    "truncated.example",
                    "truncated",
                )
        },
    },
];
