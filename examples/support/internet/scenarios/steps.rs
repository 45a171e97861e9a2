//! The ten steps of the specification, one row each.

use super::super::Page;
use super::{Expect, Row, WELL_KNOWN_DEFAULT, WELL_KNOWN_NO_HOST, WELL_KNOWN_PERMANENT};
use super::{WELL_KNOWN_TEMPORARY, target};

/// One row for each step, in the specification's order.
pub static STEPS: &[Row] = &[
    Row {
        server_name: "192.0.2.1",
        title: "step 1: the server name is an IP address, so nothing is looked up",
        expect: Expect::Target(
            target("1", "192.0.2.1", "192.0.2.1", &[("192.0.2.1", 8448)], &["192.0.2.1:8448"])
                .lifetime(None),
        ),
        set_up: |net| net.federation(["192.0.2.1:8448"], "192.0.2.1", "192.0.2.1", "step 1"),
    },
    Row {
        server_name: "step-2.example:8449",
        title: "step 2: the server name has a port, so only addresses are looked up",
        expect: Expect::Target(target(
            "2",
            "step-2.example:8449",
            "step-2.example",
            &[("step-2.example", 8449)],
            &["192.0.2.2:8449", "[2001:db8::2]:8449"],
        )),
        set_up: |net| {
            net.address("step-2.example", "192.0.2.2")
                .address("step-2.example", "2001:db8::2")
                .federation(
                    ["192.0.2.2:8449", "[2001:db8::2]:8449"],
                    "step-2.example:8449",
                    "step-2.example",
                    "step 2",
                )
        },
    },
    Row {
        server_name: "step-3-1.example",
        title: "step 3.1: delegated to an IP address",
        expect: Expect::Target(
            target(
                "3.1",
                "192.0.2.31:8450",
                "192.0.2.31",
                &[("192.0.2.31", 8450)],
                &["192.0.2.31:8450"],
            )
            .well_known(7_150..=7_200)
            .lifetime(Some(7_150..=7_200)),
        ),
        set_up: |net| {
            let page = Page::delegation("192.0.2.31:8450").header("cache-control", "max-age=7200");
            net.well_known("step-3-1.example", "198.51.100.31", page).federation(
                ["192.0.2.31:8450"],
                "192.0.2.31:8450",
                "192.0.2.31",
                "step 3.1",
            )
        },
    },
    Row {
        server_name: "step-3-2.example",
        title: "step 3.2: delegated to a host and port",
        expect: Expect::Target(
            target(
                "3.2",
                "fed.step-3-2.example:8452",
                "fed.step-3-2.example",
                &[("fed.step-3-2.example", 8452)],
                &["192.0.2.32:8452"],
            )
            .well_known(WELL_KNOWN_DEFAULT),
        ),
        set_up: |net| {
            net.well_known(
                "step-3-2.example",
                "198.51.100.32",
                Page::delegation("fed.step-3-2.example:8452"),
            )
            .address("fed.step-3-2.example", "192.0.2.32")
            .federation(
                ["192.0.2.32:8452"],
                "fed.step-3-2.example:8452",
                "fed.step-3-2.example",
                "step 3.2",
            )
        },
    },
    Row {
        server_name: "step-3-3.example",
        title: "step 3.3: delegated to a host, whose SRV records name two machines",
        expect: Expect::Target(
            target(
                "3.3",
                "matrix.step-3-3.example",
                "matrix.step-3-3.example",
                &[("fed1.step-3-3.example", 7754), ("fed2.step-3-3.example", 7755)],
                &["192.0.2.33:7754", "[2001:db8::33]:7754", "192.0.2.133:7755"],
            )
            .well_known(WELL_KNOWN_DEFAULT),
        ),
        set_up: |net| {
            let srv = "_matrix-fed._tcp.matrix.step-3-3.example";
            let host = "matrix.step-3-3.example";
            net.well_known("step-3-3.example", "198.51.100.33", Page::delegation(host))
                .srv(srv, 10, 60, 7754, "fed1.step-3-3.example")
                .srv(srv, 10, 40, 7755, "fed2.step-3-3.example")
                .address("fed1.step-3-3.example", "192.0.2.33")
                .address("fed1.step-3-3.example", "2001:db8::33")
                .address("fed2.step-3-3.example", "192.0.2.133")
                .federation(
                    ["192.0.2.33:7754", "[2001:db8::33]:7754"],
                    host,
                    host,
                    "step 3.3, fed1",
                )
                .federation(["192.0.2.133:7755"], host, host, "step 3.3, fed2")
        },
    },
    Row {
        server_name: "step-3-4.example",
        title: "step 3.4: delegated to a host with the older SRV record only",
        expect: Expect::Target(
            target(
                "3.4",
                "matrix.step-3-4.example",
                "matrix.step-3-4.example",
                &[("fed.step-3-4.example", 7756)],
                &["192.0.2.34:7756"],
            )
            .well_known(WELL_KNOWN_DEFAULT),
        ),
        set_up: |net| {
            let host = "matrix.step-3-4.example";
            net.well_known("step-3-4.example", "198.51.100.34", Page::delegation(host))
                .srv("_matrix._tcp.matrix.step-3-4.example", 10, 5, 7756, "fed.step-3-4.example")
                .address("fed.step-3-4.example", "192.0.2.34")
                .federation(["192.0.2.34:7756"], host, host, "step 3.4")
        },
    },
    Row {
        server_name: "step-3-5.example",
        title: "step 3.5: delegated to a host without SRV records: port 8448",
        expect: Expect::Target(
            target(
                "3.5",
                "matrix.step-3-5.example",
                "matrix.step-3-5.example",
                &[("matrix.step-3-5.example", 8448)],
                &["192.0.2.35:8448"],
            )
            .well_known(WELL_KNOWN_DEFAULT),
        ),
        set_up: |net| {
            let host = "matrix.step-3-5.example";
            net.well_known("step-3-5.example", "198.51.100.35", Page::delegation(host))
                .address(host, "192.0.2.35")
                .federation(["192.0.2.35:8448"], host, host, "step 3.5")
        },
    },
    Row {
        server_name: "step-4.example",
        title: "step 4: no well-known file, but an SRV record",
        expect: Expect::Target(
            target(
                "4",
                "step-4.example",
                "step-4.example",
                &[("fed.step-4.example", 7757)],
                &["192.0.2.4:7757"],
            )
            .well_known(WELL_KNOWN_PERMANENT),
        ),
        set_up: |net| {
            net.well_known("step-4.example", "198.51.100.4", Page::status(404))
                .srv("_matrix-fed._tcp.step-4.example", 10, 5, 7757, "fed.step-4.example")
                .address("fed.step-4.example", "192.0.2.4")
                .federation(["192.0.2.4:7757"], "step-4.example", "step-4.example", "step 4")
        },
    },
    Row {
        server_name: "step-5.example",
        title: "step 5: the name itself has no address, but the older SRV record",
        expect: Expect::Target(
            target(
                "5",
                "step-5.example",
                "step-5.example",
                &[("fed.step-5.example", 7758)],
                &["192.0.2.5:7758"],
            )
            .well_known(WELL_KNOWN_NO_HOST),
        ),
        set_up: |net| {
            net.srv("_matrix._tcp.step-5.example", 10, 5, 7758, "fed.step-5.example")
                .address("fed.step-5.example", "192.0.2.5")
                .federation(["192.0.2.5:7758"], "step-5.example", "step-5.example", "step 5")
        },
    },
    Row {
        server_name: "step-6.example",
        title: "step 6: nothing but the name, and port 443 closed: port 8448",
        expect: Expect::Target(
            target(
                "6",
                "step-6.example",
                "step-6.example",
                &[("step-6.example", 8448)],
                &["192.0.2.6:8448"],
            )
            .well_known(WELL_KNOWN_TEMPORARY)
            .lifetime(Some(WELL_KNOWN_TEMPORARY)),
        ),
        set_up: |net| {
            net.address("step-6.example", "192.0.2.6").federation(
                ["192.0.2.6:8448"],
                "step-6.example",
                "step-6.example",
                "step 6",
            )
        },
    },
];
