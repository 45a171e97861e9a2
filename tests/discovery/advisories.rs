//! What others were warned of in this place, by the number of the advisory: requests to addresses that
//! the operator's policy blocks, by whatever way such an address comes in.
//!
//! CVE-2021-21274, a document without end, stands in `hyper_fetch/received.rs`.

use std::net::IpAddr;

use super::*;

const PLAIN: [&str; 8] = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "::1",
    "fd00::1",
];

/// 10.0.0.1 inside: mapped, compatible, 6to4, NAT64, its local prefix, Teredo, ISATAP.
const TRANSITIONAL: [&str; 7] = [
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "2002:a00:1::1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "2a01:1::5efe:10.0.0.1",
];

/// Writes an address as a host of a URL or a server name.
fn literal(address: &str) -> String {
    match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn redirected(internet: Internet, to: &str) -> Internet {
    internet.page(URL, 302, &[("location", to)], "")
}

fn document(server: &str) -> String {
    format!(r#"{{"m.server":"{server}"}}"#)
}

/// Every way by which a name's owner can have an address come in: the world, and the name to resolve.
/// `evil.example` has the address.
fn ways(address: &str) -> Vec<(&'static str, Internet, String)> {
    let at = literal(address);
    let name = || "a.example".to_owned();
    let evil = || with_m().host("evil.example", &[address]);
    // As the URL standard writes it.
    let there = url::Url::parse(&format!("https://{at}/")).unwrap().to_string();
    let by_name = "https://evil.example/";
    let answers =
        |internet: Internet, url: &str| internet.page(url, 200, &[], document("m.example:443"));
    vec![
        ("a literal", Internet::new(), at.clone()),
        ("a literal with a port", Internet::new(), format!("{at}:443")),
        ("an address of a name with a port", evil(), "evil.example:443".to_owned()),
        (
            "the address that the document is fetched from",
            answers(evil(), "https://evil.example/.well-known/matrix/server"),
            "evil.example".to_owned(),
        ),
        ("a redirect", answers(redirected(evil(), &there), &there), name()),
        ("a redirect to a name", answers(redirected(evil(), by_name), by_name), name()),
        (
            "a redirect from elsewhere",
            answers(
                redirected(evil(), "https://m.example/").page(
                    "https://m.example/",
                    307,
                    &[("location", &there)],
                    "",
                ),
                &there,
            ),
            name(),
        ),
        ("a delegation", evil().delegates("a.example", &at), name()),
        ("a delegation with a port", evil().delegates("a.example", &format!("{at}:443")), name()),
        ("a delegation to a name", evil().delegates("a.example", "evil.example:443"), name()),
        ("a delegation to a bare name", evil().delegates("a.example", "evil.example"), name()),
        (
            "an SRV record",
            evil().srv("_matrix-fed._tcp.a.example", &[(0, 0, 443, "evil.example.")]),
            name(),
        ),
        (
            "an old SRV record",
            evil().srv("_matrix._tcp.a.example", &[(0, 0, 443, "evil.example.")]),
            name(),
        ),
        (
            "an SRV record of the delegate",
            evil()
                .delegates("a.example", "m.example")
                .srv("_matrix-fed._tcp.m.example", &[(0, 0, 443, "evil.example.")]),
            name(),
        ),
    ]
}

/// Nothing is fetched from it and no endpoint has it, under the default policy but for the ranges of
/// documentation.
fn leads_nowhere(addresses: &[&str]) {
    for address in addresses {
        let address_is = |found: &str| found.contains(&literal(address)) || found.contains(address);
        for (way, internet, name) in ways(address) {
            let run = internet.resolve_every_way(&name, &lenient());
            let (fetched, case) = (run.connected(), format!("{address}: {way}"));
            assert!(!fetched.iter().any(|it| address_is(it)), "{case}: {fetched:?}");
            let Ok(target) = &run.outcome else { continue };
            for endpoint in target.endpoints() {
                for found in endpoint.addresses() {
                    let found = found.ip();
                    assert_ne!(found, address.parse::<IpAddr>().unwrap(), "{case}");
                    assert_ne!(found.to_canonical().to_string(), "10.0.0.1", "{case}");
                }
            }
        }
    }
}

/// Synapse followed redirects to addresses that it blocks.
#[test]
fn cve_2021_21273_no_redirect_leads_to_a_blocked_address() {
    let spelt =
        ["https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://017700000001/"];
    let plain = ["https://127.0.0.1/", "https://169.254.169.254/latest/", "https://[::1]/"];
    for to in spelt.into_iter().chain(plain) {
        let read = "https://127.0.0.1/";
        let internet = redirected(a(), to).page(read, 200, &[], document("evil.example:443"));
        let run = internet.resolve_every_way("a.example", &lenient());
        assert_eq!(run.connected(), ["192.0.2.1:443"], "{to}");
        assert_eq!(run.target().step(), Step::DefaultPort, "{to}");
    }
}

/// Synapse did not judge the IPv4 address inside an IPv6 address.
#[test]
fn cve_2021_21392_no_transitional_address_leads_to_what_is_inside() {
    leads_nowhere(&TRANSITIONAL);
}

/// Synapse judged the address of a preview, and not of what that led to.
#[test]
fn cve_2023_32683_no_way_in_goes_past_the_policy() {
    leads_nowhere(&PLAIN);
}

/// gomatrixserverlib, and by it Dendrite, fetched from private networks whatever the name resolved to.
#[test]
fn cve_2024_52594_a_name_that_resolves_to_a_private_network_is_not_fetched_from() {
    for address in PLAIN.iter().chain(&TRANSITIONAL) {
        let internet = Internet::new().host("a.example", &[address, "192.0.2.1"]);
        let run = internet.delegates("a.example", "a.example:443");
        let run = run.resolve_every_way("a.example", &lenient());
        // The other address is used, and no other look-up replaces the judgement.
        assert_eq!(run.connected(), ["192.0.2.1:443"], "{address}");
        assert_eq!(run.endpoints(), ["a.example:443@192.0.2.1"], "{address}");
    }
}

/// matrix-media-repo fetched media from private networks, also by names that delegate there.
#[test]
fn cve_2024_52602_a_delegation_to_a_private_network_is_an_error() {
    for address in PLAIN.iter().chain(&TRANSITIONAL) {
        let internet = a().host("evil.example", &[address]);
        for delegate in
            [literal(address), "evil.example:8448".to_owned(), "evil.example".to_owned()]
        {
            let internet = internet.clone().delegates("a.example", &delegate);
            let run = internet.resolve_every_way("a.example", &lenient());
            assert_eq!(run.error().kind(), "blocked_address", "{address} {delegate}");
        }
    }
}
