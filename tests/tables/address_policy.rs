//! Which addresses may be connected to: a row for each rule, and a second, naive judge.
#![allow(clippy::type_complexity)]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;
use matrix_delegation::AddressPolicy;
use matrix_delegation::config::BlockedRange;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Rule, address, and the range that blocks it (empty: none does).
const DEFAULT: &[(&str, &str, &str)] = &[
    ("this host", "0.0.0.0", "0.0.0.0/32"),
    ("this network, first", "0.0.0.1", "0.0.0.0/8"),
    ("this network, last", "0.255.255.255", "0.0.0.0/8"),
    ("after this network", "1.0.0.0", ""),
    ("before 10/8", "9.255.255.255", ""),
    ("10/8, first", "10.0.0.0", "10.0.0.0/8"),
    ("10/8, last", "10.255.255.255", "10.0.0.0/8"),
    ("after 10/8", "11.0.0.0", ""),
    ("before shared space", "100.63.255.255", ""),
    ("shared space, first", "100.64.0.0", "100.64.0.0/10"),
    ("shared space, last", "100.127.255.255", "100.64.0.0/10"),
    ("after shared space", "100.128.0.0", ""),
    ("before loopback", "126.255.255.255", ""),
    ("loopback, first", "127.0.0.0", "127.0.0.0/8"),
    ("loopback", "127.0.0.1", "127.0.0.0/8"),
    ("loopback, last", "127.255.255.255", "127.0.0.0/8"),
    ("after loopback", "128.0.0.0", ""),
    ("before link-local", "169.253.255.255", ""),
    ("link-local, first", "169.254.0.0", "169.254.0.0/16"),
    ("the cloud's metadata service", "169.254.169.254", "169.254.0.0/16"),
    ("link-local, last", "169.254.255.255", "169.254.0.0/16"),
    ("after link-local", "169.255.0.0", ""),
    ("before 172.16/12", "172.15.255.255", ""),
    ("172.16/12, first", "172.16.0.0", "172.16.0.0/12"),
    ("172.16/12, last", "172.31.255.255", "172.16.0.0/12"),
    ("after 172.16/12", "172.32.0.0", ""),
    ("before protocol assignments", "191.255.255.255", ""),
    ("service continuity, first", "192.0.0.0", "192.0.0.0/29"),
    ("service continuity, last", "192.0.0.7", "192.0.0.0/29"),
    ("the dummy address", "192.0.0.8", "192.0.0.8/32"),
    ("PCP anycast is reachable", "192.0.0.9", ""),
    ("TURN anycast is reachable", "192.0.0.10", ""),
    ("protocol assignments after TURN", "192.0.0.11", "192.0.0.0/24"),
    ("before NAT64 discovery", "192.0.0.169", "192.0.0.0/24"),
    ("NAT64 discovery, first", "192.0.0.170", "192.0.0.170/32"),
    ("NAT64 discovery, second", "192.0.0.171", "192.0.0.171/32"),
    ("protocol assignments, last", "192.0.0.255", "192.0.0.0/24"),
    ("after protocol assignments", "192.0.1.0", ""),
    ("TEST-NET-1, first", "192.0.2.0", "192.0.2.0/24"),
    ("TEST-NET-1, last", "192.0.2.255", "192.0.2.0/24"),
    ("after TEST-NET-1", "192.0.3.0", ""),
    ("AS112-v4 is reachable", "192.31.196.1", ""),
    ("AMT is reachable", "192.52.193.1", ""),
    ("before the 6to4 relays", "192.88.98.255", ""),
    ("6to4 relays, first", "192.88.99.0", "192.88.99.0/24"),
    ("6a44 relay", "192.88.99.2", "192.88.99.2/32"),
    ("6to4 relays, last", "192.88.99.255", "192.88.99.0/24"),
    ("after the 6to4 relays", "192.88.100.0", ""),
    ("before 192.168/16", "192.167.255.255", ""),
    ("192.168/16, first", "192.168.0.0", "192.168.0.0/16"),
    ("192.168/16, last", "192.168.255.255", "192.168.0.0/16"),
    ("after 192.168/16", "192.169.0.0", ""),
    ("AS112 delegation is reachable", "192.175.48.1", ""),
    ("before benchmarking", "198.17.255.255", ""),
    ("benchmarking, first", "198.18.0.0", "198.18.0.0/15"),
    ("benchmarking, last", "198.19.255.255", "198.18.0.0/15"),
    ("after benchmarking", "198.20.0.0", ""),
    ("before TEST-NET-2", "198.51.99.255", ""),
    ("TEST-NET-2, first", "198.51.100.0", "198.51.100.0/24"),
    ("TEST-NET-2, last", "198.51.100.255", "198.51.100.0/24"),
    ("after TEST-NET-2", "198.51.101.0", ""),
    ("before TEST-NET-3", "203.0.112.255", ""),
    ("TEST-NET-3, first", "203.0.113.0", "203.0.113.0/24"),
    ("TEST-NET-3, last", "203.0.113.255", "203.0.113.0/24"),
    ("after TEST-NET-3", "203.0.114.0", ""),
    ("before multicast", "223.255.255.255", ""),
    ("multicast, first", "224.0.0.0", "224.0.0.0/4"),
    ("multicast, last", "239.255.255.255", "224.0.0.0/4"),
    ("reserved, first", "240.0.0.0", "240.0.0.0/4"),
    ("reserved, last but one", "255.255.255.254", "240.0.0.0/4"),
    ("broadcast", "255.255.255.255", "255.255.255.255/32"),
    ("public IPv4", "93.184.216.34", ""),
    ("unspecified", "::", "::/128"),
    ("IPv6 loopback", "::1", "::1/128"),
    ("compatible, first of its own", "::2", "::/96"),
    ("compatible with a loopback", "::127.0.0.1", "::/96"),
    ("compatible with a public address", "::1.1.1.1", "::/96"),
    ("compatible, last", "::255.255.255.255", "::/96"),
    ("after compatible", "::1:0:0", "::/8"),
    ("before mapped", "::fffe:ffff:ffff", "::/8"),
    ("mapped this host", "::ffff:0.0.0.0", "0.0.0.0/32"),
    ("mapped loopback", "::ffff:127.0.0.1", "127.0.0.0/8"),
    ("mapped private, in hexadecimal", "::ffff:a00:1", "10.0.0.0/8"),
    ("mapped link-local", "::ffff:169.254.169.254", "169.254.0.0/16"),
    ("mapped public", "::ffff:1.1.1.1", ""),
    ("mapped, reachable within a block", "::ffff:192.0.0.9", ""),
    ("mapped broadcast, the last", "::ffff:255.255.255.255", "255.255.255.255/32"),
    ("after mapped", "::1:0:0:0", "::/8"),
    ("translated (SIIT)", "::ffff:0:127.0.0.1", "::/8"),
    ("translated public (SIIT)", "::ffff:0:1.1.1.1", "::/8"),
    ("before NAT64", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "::/8"),
    ("NAT64 this host, the first", "64:ff9b::", "0.0.0.0/32"),
    ("NAT64 loopback", "64:ff9b::127.0.0.1", "127.0.0.0/8"),
    ("NAT64 private", "64:ff9b::192.168.1.1", "192.168.0.0/16"),
    ("NAT64 public", "64:ff9b::1.1.1.1", ""),
    ("NAT64 multicast", "64:ff9b::224.0.0.1", "224.0.0.0/4"),
    ("NAT64 broadcast, the last", "64:ff9b::ffff:ffff", "255.255.255.255/32"),
    ("after NAT64", "64:ff9b::1:0:0", "::/8"),
    ("before local NAT64", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "::/8"),
    ("local NAT64, first", "64:ff9b:1::", "64:ff9b:1::/48"),
    ("local NAT64, a public address", "64:ff9b:1::1.1.1.1", "64:ff9b:1::/48"),
    ("local NAT64, last", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::/48"),
    ("after local NAT64", "64:ff9b:2::", "::/8"),
    ("discard, first", "100::", "100::/64"),
    ("discard, last", "100::ffff:ffff:ffff:ffff", "100::/64"),
    ("dummy prefix, first", "100:0:0:1::", "100:0:0:1::/64"),
    ("dummy prefix, last", "100:0:0:1:ffff:ffff:ffff:ffff", "100:0:0:1::/64"),
    ("after the dummy prefix", "100:0:0:2::", "100::/8"),
    ("reserved 200::/7", "3ff::1", "200::/7"),
    ("reserved 400::/6", "400::1", "400::/6"),
    ("reserved 800::/5", "fff::1", "800::/5"),
    ("reserved 1000::/4", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1000::/4"),
    ("Teredo, first", "2001::", "2001::/32"),
    ("Teredo with a loopback", "2001:0:7f00:1::", "2001::/32"),
    ("Teredo, last", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001::/32"),
    ("protocol assignments after Teredo", "2001:1::", "2001::/23"),
    ("IPv6 PCP anycast is reachable", "2001:1::1", ""),
    ("IPv6 TURN anycast is reachable", "2001:1::2", ""),
    ("DNS-SD anycast is reachable", "2001:1::3", ""),
    ("after DNS-SD anycast", "2001:1::4", "2001::/23"),
    ("IPv6 benchmarking, first", "2001:2::", "2001:2::/48"),
    ("IPv6 benchmarking, last", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "2001:2::/48"),
    ("after IPv6 benchmarking", "2001:2:1::", "2001::/23"),
    ("IPv6 AMT, first", "2001:3::", ""),
    ("IPv6 AMT, last", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("before AS112-v6", "2001:4:111:ffff:ffff:ffff:ffff:ffff", "2001::/23"),
    ("AS112-v6 is reachable", "2001:4:112::1", ""),
    ("after AS112-v6", "2001:4:113::", "2001::/23"),
    ("ORCHID, first", "2001:10::", "2001:10::/28"),
    ("ORCHID, last", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "2001:10::/28"),
    ("ORCHIDv2, first", "2001:20::", ""),
    ("ORCHIDv2, last", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("DRIP, first", "2001:30::", ""),
    ("DRIP, last", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("after DRIP", "2001:40::", "2001::/23"),
    ("IPv6 protocol assignments, last", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::/23"),
    ("after IPv6 protocol assignments", "2001:200::", ""),
    ("before documentation", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("documentation, first", "2001:db8::", "2001:db8::/32"),
    ("documentation, last", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32"),
    ("after documentation", "2001:db9::", ""),
    ("before 6to4", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("6to4, first", "2002::", "2002::/16"),
    ("6to4 with a loopback", "2002:7f00:1::1", "2002::/16"),
    ("6to4 with a public address", "2002:101:101::1", "2002::/16"),
    ("6to4, last", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::/16"),
    ("after 6to4", "2003::", ""),
    ("IPv6 AS112 delegation is reachable", "2620:4f:8000::1", ""),
    ("public IPv6", "2606:4700:4700::1111", ""),
    ("global unicast, first", "2000::", ""),
    ("before new documentation", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("new documentation, first", "3fff::", "3fff::/20"),
    ("new documentation, last", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::/20"),
    ("after new documentation", "3fff:1000::", ""),
    ("global unicast, last", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("reserved 4000::/3", "4000::", "4000::/3"),
    ("SRv6, first", "5f00::", "5f00::/16"),
    ("SRv6, last", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::/16"),
    ("after SRv6", "5f01::", "4000::/3"),
    ("reserved 6000::/3", "6000::", "6000::/3"),
    ("reserved 8000::/3", "8000::", "8000::/3"),
    ("reserved a000::/3", "a000::", "a000::/3"),
    ("reserved c000::/3", "c000::", "c000::/3"),
    ("reserved e000::/4", "e000::", "e000::/4"),
    ("reserved f000::/5", "f000::", "f000::/5"),
    ("reserved f800::/6", "f800::", "f800::/6"),
    ("unique-local, first", "fc00::", "fc00::/7"),
    ("unique-local, upper half", "fd00::1", "fc00::/7"),
    ("unique-local, last", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::/7"),
    ("reserved fe00::/9", "fe00::", "fe00::/9"),
    ("IPv6 link-local, first", "fe80::", "fe80::/10"),
    ("IPv6 link-local, last", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::/10"),
    ("site-local, first", "fec0::", "fec0::/10"),
    ("site-local, last", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::/10"),
    ("IPv6 multicast, first", "ff00::", "ff00::/8"),
    ("IPv6 multicast, global scope", "ff0e::1", "ff00::/8"),
    ("IPv6 multicast, last", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::/8"),
    ("ISATAP with a loopback", "2a00:1::5efe:127.0.0.1", "2a00:1:0:0:0:5efe::/96"),
    ("ISATAP with a public address", "2a00:1::5efe:1.1.1.1", "2a00:1:0:0:0:5efe::/96"),
    ("ISATAP, universal", "2a00:1::200:5efe:10.0.0.1", "2a00:1:0:0:200:5efe::/96"),
    ("ISATAP, link-local", "fe80::5efe:192.168.0.1", "fe80::5efe:0:0/96"),
    ("ISATAP within a reachable block", "2001:3::5efe:1.1.1.1", "2001:3::5efe:0:0/96"),
    ("ISATAP, last", "2a00:1::200:5efe:ffff:ffff", "2a00:1:0:0:200:5efe::/96"),
    ("not ISATAP: the group bit", "2a00:1::100:5efe:7f00:1", ""),
    ("not ISATAP: both bits", "2a00:1::300:5efe:7f00:1", ""),
    ("not ISATAP: another third byte", "2a00:1::1:5efe:7f00:1", ""),
    ("not ISATAP: one before", "2a00:1::5efd:ffff:ffff", ""),
    ("not ISATAP: one after", "2a00:1::5eff:0:0", ""),
    ("not ISATAP: in the prefix", "2a00:1:0:5efe:7f00:1::", ""),
];

/// Rule, allowed ranges, blocked ranges, address, whether it passes.
const LISTS: &[(&str, &[&str], &[&str], &str, bool)] = &[
    ("an allowed range", &["127.0.0.0/8"], &[], "127.0.0.1", true),
    ("an allowed range, first", &["10.1.0.0/16"], &[], "10.1.0.0", true),
    ("an allowed range, last", &["10.1.0.0/16"], &[], "10.1.255.255", true),
    ("before an allowed range", &["10.1.0.0/16"], &[], "10.0.255.255", false),
    ("after an allowed range", &["10.1.0.0/16"], &[], "10.2.0.0", false),
    ("allowed IPv4, mapped", &["127.0.0.0/8"], &[], "::ffff:127.0.0.1", true),
    ("allowed IPv4, NAT64", &["127.0.0.0/8"], &[], "64:ff9b::7f00:1", true),
    ("allowed IPv4, not compatible", &["127.0.0.0/8"], &[], "::127.0.0.1", false),
    ("allowed IPv4, not 6to4", &["127.0.0.0/8"], &[], "2002:7f00:1::", false),
    ("allowed IPv4, not Teredo", &["127.0.0.0/8"], &[], "2001:0:7f00:1::", false),
    ("allowed IPv4, not ISATAP", &["127.0.0.0/8"], &[], "2a00::5efe:127.0.0.1", false),
    ("allowed IPv4, not the IPv6 loopback", &["127.0.0.0/8"], &[], "::1", false),
    ("allowed mapped range, IPv4", &["::ffff:127.0.0.0/104"], &[], "127.0.0.1", true),
    ("allowed mapped range, mapped", &["::ffff:127.0.0.0/104"], &[], "::ffff:127.9.9.9", true),
    ("allowed mapped range, NAT64", &["::ffff:127.0.0.0/104"], &[], "64:ff9b::127.0.0.1", true),
    ("outside an allowed mapped range", &["::ffff:127.0.0.0/104"], &[], "10.0.0.1", false),
    ("allowed NAT64 range, IPv4", &["64:ff9b::10.0.0.0/104"], &[], "10.0.0.1", true),
    ("one allowed mapped address", &["::ffff:10.0.0.1/128"], &[], "10.0.0.1", true),
    ("beside one allowed mapped address", &["::ffff:10.0.0.1/128"], &[], "10.0.0.2", false),
    ("the mapped block allows no IPv4", &["::ffff:0:0/96"], &[], "10.0.0.1", false),
    ("the mapped block allows nothing mapped", &["::ffff:0:0/96"], &[], "::ffff:10.0.0.1", false),
    ("the mapped block blocks no IPv4", &[], &["::ffff:0:0/96"], "1.1.1.1", true),
    ("the NAT64 block allows nothing private", &["64:ff9b::/96"], &[], "64:ff9b::a00:1", false),
    ("the NAT64 block blocks no IPv4", &[], &["64:ff9b::/96"], "1.1.1.1", true),
    ("host bits of a mapped range", &["::ffff:10.9.9.9/104"], &[], "10.0.0.1", true),
    ("more than mapped is IPv6", &["::/80"], &[], "::ffff:127.0.0.1", false),
    ("::/0 allows IPv6", &["::/0"], &[], "::1", true),
    ("::/0 allows ISATAP", &["::/0"], &[], "2a00::5efe:127.0.0.1", true),
    ("::/0 allows no mapped address", &["::/0"], &[], "::ffff:127.0.0.1", false),
    ("::/0 allows no NAT64 address", &["::/0"], &[], "64:ff9b::127.0.0.1", false),
    ("::/0 allows no IPv4", &["::/0"], &[], "127.0.0.1", false),
    ("0.0.0.0/0 allows no IPv6", &["0.0.0.0/0"], &[], "::1", false),
    ("host bits of an allowed range", &["10.1.2.3/8"], &[], "10.200.0.1", true),
    ("several allowed ranges: the last", &["10.0.0.0/8", "::1/128"], &[], "::1", true),
    ("an allowed Teredo block", &["2001::/32"], &[], "2001:0:7f00:1::", true),
    ("a blocked range", &[], &["1.1.1.0/24"], "1.1.1.1", false),
    ("beside a blocked range", &[], &["1.1.1.0/24"], "1.1.2.1", true),
    ("blocked IPv4, mapped", &[], &["1.1.1.0/24"], "::ffff:1.1.1.1", false),
    ("blocked IPv4, NAT64", &[], &["1.1.1.0/24"], "64:ff9b::1.1.1.1", false),
    ("blocked mapped range, IPv4", &[], &["::ffff:1.1.1.0/120"], "1.1.1.1", false),
    ("blocked NAT64 range, mapped", &[], &["64:ff9b::1.1.1.0/120"], "::ffff:1.1.1.1", false),
    ("a blocked reachable block", &[], &["2001:1::1/128"], "2001:1::1", false),
    ("a blocked IPv6 range", &[], &["2606:4700::/32"], "2606:4700::1", false),
    ("::/0 blocks no IPv4", &[], &["::/0"], "1.1.1.1", true),
    ("::/0 blocks no mapped address", &[], &["::/0"], "::ffff:1.1.1.1", true),
    ("allow beats a wider block", &["1.1.1.1/32"], &["1.1.1.0/24"], "1.1.1.1", true),
    ("allow beats a narrower block", &["1.1.1.0/24"], &["1.1.1.1/32"], "1.1.1.1", true),
    ("allow beats the same block", &["1.1.1.0/24"], &["1.1.1.0/24"], "1.1.1.1", true),
    (
        "allow in one form beats block in another",
        &["1.1.1.1/32"],
        &["::ffff:1.1.1.0/120"],
        "1.1.1.1",
        true,
    ),
];

fn policy(allow: &[&str], block: &[&str]) -> AddressPolicy {
    let policy =
        allow.iter().fold(AddressPolicy::default(), |policy, range| policy.allow(net(range)));
    block.iter().fold(policy, |policy, range| policy.block(net(range)))
}

#[test]
fn default_rows() {
    let policy = AddressPolicy::default();
    for (rule, address, range) in DEFAULT {
        let blocked = policy.check(ip(address)).err().map(|blocked| blocked.range());
        let expected = if range.is_empty() { None } else { Some(net(range)) };
        assert_eq!(blocked, expected, "{rule}: {address}");
    }
}

#[test]
fn list_rows() {
    for (rule, allow, block, address, passes) in LISTS {
        assert_eq!(policy(allow, block).check(ip(address)).is_ok(), *passes, "{rule}");
    }
}

#[test]
fn rules_are_unique() {
    let rules: Vec<_> =
        DEFAULT.iter().map(|row| row.0).chain(LISTS.iter().map(|row| row.0)).collect();
    assert_eq!(rules.iter().collect::<HashSet<_>>().len(), rules.len());
    let addresses: HashSet<_> = DEFAULT.iter().map(|row| ip(row.1)).collect();
    assert_eq!(addresses.len(), DEFAULT.len());
}

/// The registries and what is blocked besides, as text and in no particular order: block, whether
/// it is globally reachable. Written apart from the table in the crate.
const BLOCKS: &str = "
    0.0.0.0/8 no         0.0.0.0/32 no        10.0.0.0/8 no        100.64.0.0/10 no
    127.0.0.0/8 no       169.254.0.0/16 no    172.16.0.0/12 no     192.0.0.0/24 no
    192.0.0.0/29 no      192.0.0.8/32 no      192.0.0.9/32 yes     192.0.0.10/32 yes
    192.0.0.170/32 no    192.0.0.171/32 no    192.0.2.0/24 no      192.31.196.0/24 yes
    192.52.193.0/24 yes  192.88.99.0/24 no    192.168.0.0/16 no    192.175.48.0/24 yes
    198.18.0.0/15 no     198.51.100.0/24 no   203.0.113.0/24 no    240.0.0.0/4 no
    255.255.255.255/32 no                     224.0.0.0/4 no
    192.88.99.2/32 no
    ::1/128 no           ::/128 no            64:ff9b:1::/48 no    100::/64 no
    100:0:0:1::/64 no    2001::/23 no         2001::/32 no         2001:1::1/128 yes
    2001:1::2/128 yes    2001:1::3/128 yes    2001:2::/48 no       2001:3::/32 yes
    2001:4:112::/48 yes  2001:10::/28 no      2001:20::/28 yes     2001:30::/28 yes
    2001:db8::/32 no     2002::/16 no         2620:4f:8000::/48 yes  3fff::/20 no
    5f00::/16 no         fc00::/7 no          fe80::/10 no
    ff00::/8 no          fec0::/10 no         ::/96 no
    2000::/3 yes         ::/0 no
";

/// A block's first address, its last one and whether it is globally reachable.
type Block = (u128, u128, bool);

static V4: LazyLock<Vec<Block>> = LazyLock::new(|| read_blocks(false));
static V6: LazyLock<Vec<Block>> = LazyLock::new(|| read_blocks(true));

fn blocks(v6: bool) -> &'static [Block] {
    if v6 { &V6 } else { &V4 }
}

fn read_blocks(v6: bool) -> Vec<Block> {
    let words: Vec<_> = BLOCKS.split_whitespace().collect();
    words
        .chunks(2)
        .filter(|pair| pair[0].contains(':') == v6)
        .map(|pair| {
            let (address, prefix) = pair[0].split_once('/').unwrap();
            let free = if v6 { 128 } else { 32 } - prefix.parse::<u32>().unwrap();
            let first = bits(ip(address)).1;
            let last = first | 1_u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
            (first, last, pair[1] == "yes")
        })
        .collect()
}

fn bits(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (false, u32::from(v4).into()),
        IpAddr::V6(v6) => (true, v6.into()),
    }
}

fn v4_of(bits: u128) -> IpAddr {
    Ipv4Addr::from(u32::try_from(bits).unwrap()).into()
}

/// The second judge: whether the public internet has this address, by arithmetic alone.
fn naive(address: IpAddr) -> bool {
    let (mut v6, mut bits) = bits(address);
    if v6 && (bits >> 32 == 0xffff || bits >> 32 == 0x0064_ff9b_u128 << 64) {
        v6 = false;
        bits &= 0xffff_ffff;
    }
    if v6 && matches!((bits >> 32) & 0xffff_ffff, 0x0000_5efe | 0x0200_5efe) {
        return false;
    }
    let smallest = blocks(v6)
        .iter()
        .filter(|(first, last, _)| (*first..=*last).contains(&bits))
        .min_by_key(|(first, last, _)| last - first);
    smallest.is_none_or(|(.., reachable)| *reachable)
}

/// Every block's edges and their neighbours, IPv4 in all of its forms.
fn edges() -> Vec<IpAddr> {
    let mut edges = Vec::new();
    for &(first, last, _) in blocks(false) {
        for bits in [first.saturating_sub(1), first, last, (last + 1).min(u32::MAX.into())] {
            edges.push(v4_of(bits));
            let v4 = u32::try_from(bits).unwrap();
            let [high, low] = [(v4 >> 16) as u16, (v4 & 0xffff) as u16];
            for [a, b, c, d, e, f] in [
                [0, 0, 0, 0, 0, 0],
                [0, 0, 0, 0, 0, 0xffff],
                [0, 0, 0, 0, 0xffff, 0],
                [0x64, 0xff9b, 0, 0, 0, 0],
                [0x64, 0xff9b, 1, 0, 0, 0],
                [0x2a00, 1, 2, 3, 0, 0x5efe],
                [0x2a00, 1, 2, 3, 0x200, 0x5efe],
                [0x2001, 0, 0x102, 0x304, 0, 0],
            ] {
                edges.push(Ipv6Addr::new(a, b, c, d, e, f, high, low).into());
            }
            edges.push(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into());
            edges.push(Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !high, !low).into());
        }
    }
    for &(first, last, _) in blocks(true) {
        for bits in [first.saturating_sub(1), first, last, last.saturating_add(1)] {
            edges.push(Ipv6Addr::from(bits).into());
        }
    }
    edges
}

#[test]
fn two_judges_agree_at_every_edge() {
    let policy = AddressPolicy::default();
    for address in edges() {
        assert_eq!(policy.check(address).is_ok(), naive(address), "{address}");
    }
    for (rule, address, _) in DEFAULT {
        assert_eq!(policy.check(ip(address)).is_ok(), naive(ip(address)), "{rule}");
    }
}

/// That nothing of the space is forgotten: the first address of each /16 of both families.
#[test]
fn two_judges_agree_everywhere() {
    let policy = AddressPolicy::default();
    for high in 0..=u16::MAX {
        let v4 = IpAddr::from(Ipv4Addr::from(u32::from(high) << 16));
        let v6 = IpAddr::from(Ipv6Addr::from(u128::from(high) << 112 | 1));
        for address in [v4, v6] {
            assert_eq!(policy.check(address).is_ok(), naive(address), "{address}");
        }
    }
}

#[test]
fn a_blocked_range_holds_its_address_and_names_its_source() {
    for (rule, address, _) in DEFAULT {
        let Err(blocked) = AddressPolicy::default().check(ip(address)) else { continue };
        assert!(blocked.source().contains("RFC "), "{rule}");
        assert_eq!(blocked.range(), blocked.range().trunc(), "{rule}");
        let text = serde_json::to_string(&blocked).unwrap();
        assert_eq!(serde_json::from_str::<BlockedRange>(&text).unwrap(), blocked);
    }
    let blocked = policy(&[], &["1.1.1.1/24"]).check(ip("::ffff:1.1.1.1")).unwrap_err();
    assert_eq!(blocked.to_string(), "1.1.1.0/24 (the configuration)");
    let text = serde_json::to_value(&blocked).unwrap();
    let expected = serde_json::json!({"range": "1.1.1.0/24", "source": "the configuration"});
    assert_eq!(text, expected);
}

#[test]
fn ranges_are_listed_as_they_are_judged() {
    let policy = policy(&["10.1.2.3/8", "::ffff:10.0.0.0/104"], &["64:ff9b::102:300/120"]);
    assert_eq!(policy.allowed().collect::<Vec<_>>(), [&net("10.0.0.0/8")]);
    let blocked: Vec<_> = policy.blocked().collect();
    assert_eq!(blocked[0].range(), net("1.2.3.0/24"));
    assert_eq!(blocked.len(), 1 + AddressPolicy::default().blocked().count());
    for blocked in AddressPolicy::default().blocked() {
        assert_eq!(blocked.range(), blocked.range().trunc(), "{blocked}");
        let first = blocked.range().network();
        assert!(AddressPolicy::default().check(first).is_err(), "{blocked}");
    }
}

#[test]
fn unrestricted_blocks_nothing_but_what_it_is_told_to() {
    let policy = AddressPolicy::unrestricted();
    assert_eq!(policy.blocked().count(), 0);
    assert!(edges().into_iter().all(|address| policy.check(address).is_ok()));
    let policy = policy.block(net("169.254.169.254/32"));
    assert!(policy.check(ip("::ffff:169.254.169.254")).is_err());
    assert!(policy.check(ip("169.254.169.253")).is_ok());
}

#[test]
fn serialises_and_returns() {
    let policy = policy(&["10.0.0.0/8"], &["1.1.1.0/24"]);
    let text = serde_json::to_value(&policy).unwrap();
    let expected = serde_json::json!(
        {"base": "public_internet", "allow": ["10.0.0.0/8"], "block": ["1.1.1.0/24"]});
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_value::<AddressPolicy>(text).unwrap(), policy);

    let read = |text: &str| serde_json::from_str::<AddressPolicy>(text);
    assert_eq!(read("{}").unwrap(), AddressPolicy::default());
    assert_eq!(read(r#"{"base":"unrestricted"}"#).unwrap(), AddressPolicy::unrestricted());
    let written = read(r#"{"allow":["::ffff:10.9.9.9/104"]}"#).unwrap();
    assert_eq!(written, AddressPolicy::default().allow(net("10.0.0.0/8")));
    assert!(read(r#"{"alow":[]}"#).is_err());
    assert!(read(r#"{"allow":["10.0.0.0/33"]}"#).is_err());
}

#[test]
fn an_address_alone_is_read_as_a_range_of_one() {
    let read = |text: &str| serde_json::from_str::<AddressPolicy>(text);
    let written = read(r#"{"allow":["10.9.9.9","fd00::1"],"block":["::ffff:1.1.1.1"]}"#).unwrap();
    assert_eq!(written, policy(&["10.9.9.9/32", "fd00::1/128"], &["1.1.1.1/32"]));
    for bad in [r#"{"allow":[""]}"#, r#"{"allow":["a.example"]}"#, r#"{"allow":[1]}"#] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
        prop::sample::select(edges()),
    ]
}

proptest! {
    #[test]
    fn two_judges_agree(address in address()) {
        prop_assert_eq!(AddressPolicy::default().check(address).is_ok(), naive(address));
    }

    #[test]
    fn forms_of_one_address_share_its_fate(bits in any::<u32>(), range in any::<u32>(), prefix in 0..=32_u8) {
        let v4 = Ipv4Addr::from(bits);
        let range = IpNet::new(Ipv4Addr::from(range).into(), prefix).unwrap();
        let nat64 = Ipv6Addr::from(0x0064_ff9b_u128 << 96 | u128::from(bits));
        for policy in [
            AddressPolicy::default(),
            AddressPolicy::default().allow(range),
            AddressPolicy::default().block(range),
        ] {
            let fate = policy.check(v4.into());
            prop_assert_eq!(policy.check(v4.to_ipv6_mapped().into()), fate.clone());
            prop_assert_eq!(policy.check(nat64.into()), fate);
        }
    }

    #[test]
    fn lists_do_what_they_say(address in address(), other in address(), prefix in 0..=32_u8) {
        let range = IpNet::new(other, prefix).unwrap();
        let plain = AddressPolicy::default().check(address).is_ok();
        let allowed = AddressPolicy::default().allow(range).check(address).is_ok();
        let blocked = AddressPolicy::default().block(range).check(address).is_ok();
        prop_assert!(allowed || !plain);
        prop_assert!(!blocked || plain);
        let both = AddressPolicy::default().block(range).allow(range).check(address).is_ok();
        prop_assert_eq!(both, allowed);
    }
}
