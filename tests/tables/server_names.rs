//! Server names: a table in which each row is the only one to test its rule, and the identities
//! that hold for every name.
#![allow(clippy::enum_glob_use, clippy::too_many_lines)]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use matrix_delegation::ServerName;
use matrix_delegation::names::ServerNameErrorKind::*;
use matrix_delegation::names::{
    DnsName, Host, HostRef, NotAHostName, ServerNameError, ServerNameErrorKind, UnresolvableName,
};
use rustls_pki_types::ServerName as TlsName;
use serde::Deserialize;
use serde::de::{self, value::BytesDeserializer};

struct Row {
    rule: &'static str,
    input: Vec<u8>,
    expected: Expected,
}

enum Expected {
    V4(Ipv4Addr, Option<u16>),
    V6(Ipv6Addr, Option<u16>),
    /// A DNS name: how many bytes of the input it has, the port, and what `to_host` says.
    Dns(usize, Option<u16>, Result<(), NotAHostName>),
    Error(ServerNameErrorKind, usize),
}

/// An IPv4 literal.
fn v4(rule: &'static str, input: &str, address: [u8; 4], port: Option<u16>) -> Row {
    Row { rule, input: input.into(), expected: Expected::V4(address.into(), port) }
}

/// An IPv6 literal, its address spelled in another way.
fn v6(rule: &'static str, input: &str, groups: [u16; 8], port: Option<u16>) -> Row {
    Row { rule, input: input.into(), expected: Expected::V6(groups.into(), port) }
}

/// A DNS name without a port, of which a host can be made.
fn dns(rule: &'static str, input: impl Into<Vec<u8>>) -> Row {
    let input = input.into();
    let length = input.len();
    Row { rule, input, expected: Expected::Dns(length, None, Ok(())) }
}

/// A DNS name with a port, of which a host can be made.
fn with_port(rule: &'static str, input: &str, port: u16) -> Row {
    let length = input.find(':').unwrap();
    Row { rule, input: input.into(), expected: Expected::Dns(length, Some(port), Ok(())) }
}

/// In the grammar, but no host.
fn odd(rule: &'static str, input: impl Into<Vec<u8>>, reason: NotAHostName) -> Row {
    let input = input.into();
    let length = input.iter().position(|byte| *byte == b':').unwrap_or(input.len());
    let port = input.get(length + 1..).map(|_| 8448);
    Row { rule, input, expected: Expected::Dns(length, port, Err(reason)) }
}

/// Not in the grammar: what is wrong, and at which byte.
fn bad(rule: &'static str, input: impl AsRef<[u8]>, kind: ServerNameErrorKind, at: usize) -> Row {
    Row { rule, input: input.as_ref().to_vec(), expected: Expected::Error(kind, at) }
}

/// A host name of `length` bytes in labels of at most 63.
fn long(length: usize) -> String {
    let mut name: String = (0..length).map(|at| if at % 64 == 63 { '.' } else { 'a' }).collect();
    if name.ends_with('.') {
        name.replace_range(length - 2.., ".a");
    }
    name
}

fn names() -> Vec<Row> {
    let d = [0, 0, 0, 0, 0, 0, 0, 1];
    let mapped = [0, 0, 0, 0, 0, 0xffff, 0x102, 0x304];
    let full = [1, 2, 3, 4, 5, 6, 7, 8];
    let documentation = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7];
    vec![
        // DNS names.
        dns("dns: two labels", "a.example"),
        dns("dns: one label", "localhost"),
        dns("dns: one letter", "a"),
        dns("dns: upper case is kept", "EXAMPLE.org"),
        dns("dns: the ends of the ranges", "azAZ09.a0z"),
        dns("dns: a hyphen inside a label", "a-b.example"),
        dns("dns: two hyphens in a row", "a--b.example"),
        dns("dns: a label of one digit", "1.example"),
        dns("dns: a label that begins with a digit", "1a.example"),
        dns("dns: the last label begins with a digit", "a.1a"),
        dns("dns: the last label ends with a digit", "a.b1"),
        dns("dns: the last label has digits and a hyphen", "a.1-1"),
        dns("dns: an xn-- label is a label", "xn--bcher-kva.example"),
        dns("dns: a label that is hexadecimal without 0x", "a.deadbeef"),
        dns("dns: 0x with something else than hexadecimal digits", "a.0xg"),
        dns("dns: 0x in a label that is not the last", "0x7f.example"),
        dns("dns: five numbers before a name", "1.2.3.4.5.example"),
        dns("dns: many labels", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"),
        dns("dns: a label of 63 bytes", format!("{}.example", "a".repeat(63))),
        dns("dns: 253 bytes", long(253)),
        dns("dns: onion", "a.onion"),
        dns("dns: localhost beneath a domain", "localhost.localdomain"),
        // Names of the grammar that are no hosts.
        odd("odd: a final dot", "a.example.", NotAHostName::TrailingDot),
        odd("odd: a final dot before a port", "a.example.:8448", NotAHostName::TrailingDot),
        odd("odd: a final dot after one label", "a.", NotAHostName::TrailingDot),
        odd("odd: a dot alone", ".", NotAHostName::TrailingDot),
        odd("odd: dots alone", "...", NotAHostName::TrailingDot),
        odd("odd: an address and a final dot", "1.2.3.4.", NotAHostName::TrailingDot),
        odd("odd: two dots", "a..example", NotAHostName::EmptyLabel),
        odd("odd: two dots before a port", "a..example:8448", NotAHostName::EmptyLabel),
        odd("odd: a first dot", ".example", NotAHostName::EmptyLabel),
        odd("odd: a first dot before an address", ".1.2.3.4", NotAHostName::EmptyLabel),
        odd("odd: two dots in an address", "1.2..4", NotAHostName::EmptyLabel),
        odd("odd: a hyphen first", "-a.example", NotAHostName::Hyphen),
        odd("odd: a hyphen at the end of a label", "a-.example", NotAHostName::Hyphen),
        odd("odd: a hyphen first in the last label", "a.-example", NotAHostName::Hyphen),
        odd("odd: a hyphen at the end", "a.example-", NotAHostName::Hyphen),
        odd("odd: a hyphen alone", "-", NotAHostName::Hyphen),
        odd("odd: a hyphen between dots", "a.-.example", NotAHostName::Hyphen),
        odd("odd: a negative number", "1.2.3.-4", NotAHostName::Hyphen),
        odd("odd: a label of 64 bytes", "a".repeat(64), NotAHostName::LabelTooLong),
        odd(
            "odd: a last label of 64 bytes",
            format!("a.{}", "a".repeat(64)),
            NotAHostName::LabelTooLong,
        ),
        odd("odd: 254 bytes", long(254), NotAHostName::TooLong),
        odd("odd: 255 bytes", long(255), NotAHostName::TooLong),
        odd("odd: 255 bytes and a port", format!("{}:8448", long(255)), NotAHostName::TooLong),
        odd("odd: two numbers", "127.1", NotAHostName::LooksLikeAnAddress),
        odd("odd: two numbers and a port", "127.1:8448", NotAHostName::LooksLikeAnAddress),
        odd("odd: three numbers", "127.0.1", NotAHostName::LooksLikeAnAddress),
        odd("odd: one number", "2130706433", NotAHostName::LooksLikeAnAddress),
        odd("odd: zero", "0", NotAHostName::LooksLikeAnAddress),
        odd("odd: five numbers", "1.2.3.4.5", NotAHostName::LooksLikeAnAddress),
        odd("odd: a first number over 255", "256.2.3.4", NotAHostName::LooksLikeAnAddress),
        odd("odd: a last number over 255", "1.2.3.256", NotAHostName::LooksLikeAnAddress),
        odd("odd: a number over all bounds", "1.2.3.9999", NotAHostName::LooksLikeAnAddress),
        odd("odd: a number of 40 digits", "4".repeat(40), NotAHostName::LooksLikeAnAddress),
        odd("odd: an octal number", "127.011.0.1", NotAHostName::LooksLikeAnAddress),
        odd("odd: a leading zero in the first", "01.2.3.4", NotAHostName::LooksLikeAnAddress),
        odd("odd: a leading zero in the last", "1.2.3.04", NotAHostName::LooksLikeAnAddress),
        odd("odd: two zeros", "0.0.0.00", NotAHostName::LooksLikeAnAddress),
        odd("odd: hexadecimal and decimal", "0x7f.1", NotAHostName::LooksLikeAnAddress),
        odd("odd: hexadecimal alone", "0x7f000001", NotAHostName::LooksLikeAnAddress),
        odd("odd: hexadecimal in upper case", "0X7F", NotAHostName::LooksLikeAnAddress),
        odd("odd: hexadecimal last", "a.0x1", NotAHostName::LooksLikeAnAddress),
        odd("odd: 0x alone", "0x", NotAHostName::LooksLikeAnAddress),
        odd("odd: a name and a number", "a.example.1", NotAHostName::LooksLikeAnAddress),
        // IPv4 literals.
        v4("v4: four numbers", "1.2.3.4", [1, 2, 3, 4], None),
        v4("v4: a port", "1.2.3.4:80", [1, 2, 3, 4], Some(80)),
        v4("v4: zeros", "0.0.0.0", [0, 0, 0, 0], None),
        v4("v4: 255", "255.255.255.255", [255, 255, 255, 255], None),
        v4("v4: one to three digits", "1.20.255.0", [1, 20, 255, 0], None),
        v4(
            "v4: the longest, with the highest port",
            "255.255.255.255:65535",
            [255; 4],
            Some(65535),
        ),
        v4("v4: a port with leading zeros", "10.0.0.1:00443", [10, 0, 0, 1], Some(443)),
        bad("v4: brackets are for IPv6", "[1.2.3.4]", NotIpv6, 1),
        bad("v4: brackets are for IPv6 with a port too", "[1.2.3.4]:80", NotIpv6, 1),
        bad("v4: a space before", " 1.2.3.4", HostCharacter, 0),
        bad("v4: a prefix length", "1.2.3.4/32", HostCharacter, 7),
        bad("v4: a plus sign", "+1.2.3.4", HostCharacter, 0),
        bad("v4: digits of another script", "1.2.3.\u{664}", NotAscii, 6),
        bad("v4: a port of zero", "1.2.3.4:0", PortZero, 8),
        bad("v4: a colon alone", "1.2.3.4:", MissingPort, 8),
        // IPv6 literals.
        v6("v6: the loopback address", "[::1]", d, None),
        v6("v6: a port", "[::1]:8448", d, Some(8448)),
        v6("v6: a port with leading zeros", "[::1]:00080", d, Some(80)),
        v6("v6: the lowest port", "[::1]:1", d, Some(1)),
        v6("v6: the unspecified address, two bytes", "[::]", [0; 8], None),
        v6("v6: eight groups", "[1:2:3:4:5:6:7:8]", full, None),
        v6("v6: a gap in the middle", "[2001:db8::7]", documentation, None),
        v6("v6: a gap at the end", "[1:2::]", [1, 2, 0, 0, 0, 0, 0, 0], None),
        v6("v6: a gap for one group", "[1:2:3::5:6:7:8]", [1, 2, 3, 0, 5, 6, 7, 8], None),
        v6("v6: a gap for the last group", "[1:2:3:4:5:6:7::]", [1, 2, 3, 4, 5, 6, 7, 0], None),
        v6("v6: a gap for the first group", "[::2:3:4:5:6:7:8]", [0, 2, 3, 4, 5, 6, 7, 8], None),
        v6("v6: upper case", "[2001:DB8::7]", documentation, None),
        v6("v6: mixed case", "[fE80::aBcD]", [0xfe80, 0, 0, 0, 0, 0, 0, 0xabcd], None),
        v6("v6: leading zeros in a group", "[2001:0db8:0:0:0:0:0:0007]", documentation, None),
        v6("v6: no shortening", "[0001:0002:0003:0004:0005:0006:0007:0008]", full, None),
        v6("v6: an IPv4 tail", "[::ffff:1.2.3.4]", mapped, None),
        v6("v6: an IPv4 tail and a port", "[::ffff:1.2.3.4]:80", mapped, Some(80)),
        v6("v6: an IPv4 tail right after the gap", "[::0.0.0.1]", d, None),
        v6("v6: an IPv4 tail after six groups", "[0:0:0:0:0:ffff:1.2.3.4]", mapped, None),
        v6(
            "v6: the longest spelling, 45 bytes",
            "[0000:0000:0000:0000:0000:ffff:255.255.255.255]",
            [0, 0, 0, 0, 0, 0xffff, 0xffff, 0xffff],
            None,
        ),
        bad("v6: no brackets", "::1", Ipv6WithoutBrackets, 0),
        bad("v6: no brackets, a group first", "2001:db8::7", Ipv6WithoutBrackets, 0),
        bad("v6: no brackets, digits like a port", "1:2:3:4:5:6:7:8", Ipv6WithoutBrackets, 0),
        bad("v6: no brackets, an IPv4 tail", "::ffff:1.2.3.4", Ipv6WithoutBrackets, 0),
        bad("v6: no opening bracket", "::1]", MissingHost, 0),
        bad("v6: no opening bracket after a group", "fe80::1]", PortCharacter, 5),
        bad("v6: no closing bracket", "[::1", UnclosedBracket, 4),
        bad("v6: an opening bracket alone", "[", UnclosedBracket, 1),
        bad("v6: a closing bracket alone", "]", HostCharacter, 0),
        bad("v6: the closing bracket at the end of the port", "[::1:80", UnclosedBracket, 7),
        bad("v6: nothing in the brackets", "[]", NotIpv6, 1),
        bad("v6: nothing in the brackets but a port after them", "[]:80", NotIpv6, 1),
        bad("v6: one byte in the brackets", "[:]", NotIpv6, 1),
        bad("v6: a name in the brackets", "[a.example]", Ipv6Character, 4),
        bad("v6: hexadecimal digits alone", "[abcd]", NotIpv6, 1),
        bad("v6: a letter after f", "[::g]", Ipv6Character, 3),
        bad("v6: a letter after F", "[::G]", Ipv6Character, 3),
        bad("v6: a zone", "[fe80::1%eth0]", Ipv6Character, 8),
        bad("v6: a zone in its URL form", "[fe80::1%25eth0]", Ipv6Character, 8),
        bad("v6: a future address", "[v1.a]", Ipv6Character, 1),
        bad("v6: a prefix length", "[::1/128]", Ipv6Character, 4),
        bad("v6: a space", "[ ::1]", Ipv6Character, 1),
        bad("v6: outside ASCII", "[::\u{ff11}]", NotAscii, 3),
        bad("v6: NUL", "[::1\0]", Ipv6Character, 4),
        bad("v6: two opening brackets", "[[::1]]", Ipv6Character, 1),
        bad("v6: seven groups", "[1:2:3:4:5:6:7]", NotIpv6, 1),
        bad("v6: nine groups", "[1:2:3:4:5:6:7:8:9]", NotIpv6, 1),
        bad("v6: two gaps", "[1::2::3]", NotIpv6, 1),
        bad("v6: a gap for no group", "[1:2:3:4::5:6:7:8]", NotIpv6, 1),
        bad("v6: three colons", "[:::1]", NotIpv6, 1),
        bad("v6: a colon first", "[:1:2:3:4:5:6:7]", NotIpv6, 1),
        bad("v6: a colon last", "[1:2:3:4:5:6:7:]", NotIpv6, 1),
        bad("v6: a group of five digits", "[::00001]", NotIpv6, 1),
        bad("v6: an IPv4 number over 255", "[::ffff:1.2.3.256]", NotIpv6, 1),
        bad("v6: an IPv4 number with a leading zero", "[::ffff:1.2.3.04]", NotIpv6, 1),
        bad("v6: an IPv4 tail of three numbers", "[::ffff:1.2.3]", NotIpv6, 1),
        bad("v6: an IPv4 part that is not last", "[1.2.3.4::]", NotIpv6, 1),
        bad("v6: an IPv4 tail after seven groups", "[1:2:3:4:5:6:7:1.2.3.4]", NotIpv6, 1),
        bad("v6: 46 bytes", format!("[{}]", "0".repeat(46)), Ipv6TooLong, 46),
        bad("v6: 45 bytes that are no address", format!("[{}]", "0".repeat(45)), NotIpv6, 1),
        bad("v6: long and never closed", format!("[{}", ":".repeat(100_000)), Ipv6TooLong, 46),
        bad("v6: a name after the bracket", "[::1]x", AfterBracket, 5),
        bad("v6: a port without a colon", "[::1]80", AfterBracket, 5),
        bad("v6: two closing brackets", "[::1]]", AfterBracket, 5),
        bad("v6: a space after the bracket", "[::1] ", AfterBracket, 5),
        bad("v6: a dot after the bracket", "[::1].", AfterBracket, 5),
        bad("v6: outside ASCII after the bracket", b"[::1]\xff", NotAscii, 5),
        bad("v6: a colon alone after the bracket", "[::1]:", MissingPort, 6),
        bad("v6: two colons after the bracket", "[::1]::1", PortCharacter, 6),
        bad("v6: a wrong address before a wrong port", "[:]:0", NotIpv6, 1),
        bad("v6: a wrong address before what may not follow", "[:]x", NotIpv6, 1),
        // Ports.
        with_port("port: the default of federation", "a.example:8448", 8448),
        with_port("port: the lowest", "a:1", 1),
        with_port("port: the highest", "a:65535", 65535),
        with_port("port: a leading zero", "a:080", 80),
        with_port("port: leading zeros up to five digits", "a:00001", 1),
        with_port("port: a number before it", "1a:80", 80),
        bad("port: zero", "a:0", PortZero, 2),
        bad("port: five zeros", "a:00000", PortZero, 2),
        bad("port: 65536", "a:65536", PortTooLarge, 2),
        bad("port: 99999", "a:99999", PortTooLarge, 2),
        bad("port: six digits", "a:100000", PortTooLong, 7),
        bad("port: six digits of which the first is zero", "a:008448", PortTooLong, 7),
        bad("port: six zeros", "a:000000", PortTooLong, 7),
        bad("port: very many digits", format!("a:{}", "1".repeat(100_000)), PortTooLong, 7),
        bad("port: nothing after the colon", "a:", MissingPort, 2),
        bad("port: a plus sign", "a:+443", PortCharacter, 2),
        bad("port: a minus sign", "a:-1", PortCharacter, 2),
        bad("port: a space before", "a: 80", PortCharacter, 2),
        bad("port: a space after", "a:80 ", PortCharacter, 4),
        bad("port: a line feed after", "a:80\n", PortCharacter, 4),
        bad("port: NUL after", "a:80\0", PortCharacter, 4),
        bad("port: hexadecimal", "a:0x50", PortCharacter, 3),
        bad("port: a fraction", "a:80.0", PortCharacter, 4),
        bad("port: a separator of thousands", "a:8_448", PortCharacter, 3),
        bad("port: an exponent", "a:8e3", PortCharacter, 3),
        bad("port: the name of a service", "a:https", PortCharacter, 2),
        bad("port: two ports", "a:80:81", PortCharacter, 4),
        bad("port: two colons", "host::80", PortCharacter, 5),
        bad("port: a path after", "a:80/", PortCharacter, 4),
        bad("port: the slash before 0", "a:/", PortCharacter, 2),
        bad("port: a letter after five digits", "a:84480x", PortCharacter, 7),
        bad("port: outside ASCII", "a:\u{ff18}", NotAscii, 2),
        bad("port: after a missing host", ":80", MissingHost, 0),
        bad("port: a colon and nothing else", ":", MissingHost, 0),
        bad("port: wrong after a host that is no host", "127.1:0", PortZero, 6),
        // Everything else.
        bad("bytes: none", "", Empty, 0),
        bad("bytes: a space alone", " ", HostCharacter, 0),
        bad("bytes: a space inside", "a b", HostCharacter, 1),
        bad("bytes: a space at the end", "a.example ", HostCharacter, 9),
        bad("bytes: a tab", "a\t", HostCharacter, 1),
        bad("bytes: a line feed", "a.example\n", HostCharacter, 9),
        bad("bytes: carriage return", "a\r", HostCharacter, 1),
        bad("bytes: NUL first", "\0", HostCharacter, 0),
        bad("bytes: NUL inside", "a\0.example", HostCharacter, 1),
        bad("bytes: delete", "a\x7f", HostCharacter, 1),
        bad("bytes: an underscore", "_matrix.example", HostCharacter, 0),
        bad("bytes: an at sign", "user@a.example", HostCharacter, 4),
        bad("bytes: a slash", "a.example/path", HostCharacter, 9),
        bad("bytes: a backslash", "a\\b", HostCharacter, 1),
        bad("bytes: a percent sign", "a%2eexample", HostCharacter, 1),
        bad("bytes: a question mark", "a?b", HostCharacter, 1),
        bad("bytes: a number sign", "a#b", HostCharacter, 1),
        bad("bytes: a comma", "a,b", HostCharacter, 1),
        bad("bytes: an asterisk", "*.example", HostCharacter, 0),
        bad("bytes: a plus sign", "a+b", HostCharacter, 1),
        bad("bytes: the byte after 9", "a;", HostCharacter, 1),
        bad("bytes: the byte after Z", "a[", HostCharacter, 1),
        bad("bytes: the byte before a", "a`", HostCharacter, 1),
        bad("bytes: the byte after z", "a{", HostCharacter, 1),
        bad("bytes: brackets after a name", "a[::1]", HostCharacter, 1),
        bad("bytes: a closing bracket after a name", "a]", HostCharacter, 1),
        bad("bytes: a URL", "https://a.example", PortCharacter, 6),
        bad("bytes: a user identifier", "@user:a.example", HostCharacter, 0),
        bad("bytes: a quotation mark", "\"a\"", HostCharacter, 0),
        bad("bytes: two bytes of UTF-8", "b\u{fc}cher.example", NotAscii, 1),
        bad("bytes: three bytes of UTF-8", "a.\u{4f8b}", NotAscii, 2),
        bad("bytes: four bytes of UTF-8", "\u{1f600}.example", NotAscii, 0),
        bad("bytes: a dot of another script", "a\u{3002}example", NotAscii, 1),
        bad("bytes: a letter of full width", "\u{ff41}.example", NotAscii, 0),
        bad("bytes: a hyphen of another kind", "a\u{2010}b", NotAscii, 1),
        bad("bytes: a soft hyphen", "a\u{ad}b", NotAscii, 1),
        bad("bytes: a byte order mark", "\u{feff}a.example", ByteOrderMark, 0),
        bad("bytes: a byte order mark alone", "\u{feff}", ByteOrderMark, 0),
        bad("bytes: a byte order mark later", "a\u{feff}", NotAscii, 1),
        bad("bytes: a zero-width joiner", "a\u{200d}b", NotAscii, 1),
        bad("bytes: a letter that lower-cases to ASCII", "\u{212a}.example", NotAscii, 0),
        bad("bytes: no UTF-8", b"a\xff", NotAscii, 1),
        bad("bytes: a lone continuation byte", b"\x80", NotAscii, 0),
        bad("bytes: UTF-8 cut off", b"a.example\xc3", NotAscii, 9),
        bad("bytes: the first bad byte counts", "a b\u{fc}", HostCharacter, 1),
        bad("bytes: 256 of a name", long(256), HostTooLong, 255),
        bad("bytes: 256 of a name, with a port", format!("{}:80", long(256)), HostTooLong, 255),
        bad("bytes: very many", "a".repeat(1_000_000), HostTooLong, 255),
        bad("bytes: 255 and then a bad one", format!("{} ", long(255)), HostCharacter, 255),
        bad("bytes: too many before a bad one", format!("{} ", long(256)), HostTooLong, 255),
    ]
}

#[test]
fn every_rule_has_a_row_of_its_own() {
    let names = names();
    let rules: BTreeSet<_> = names.iter().map(|row| row.rule).collect();
    let inputs: BTreeSet<_> = names.iter().map(|row| &row.input).collect();
    assert_eq!(rules.len(), names.len(), "a rule stands twice");
    assert_eq!(inputs.len(), names.len(), "an input stands twice");
    assert!(names.len() >= 140, "only {} rows", names.len());
}

#[test]
fn every_kind_of_error_has_a_row() {
    let kinds: HashSet<_> = names()
        .iter()
        .filter_map(|row| match row.expected {
            Expected::Error(kind, _) => Some(kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds.len(), 17);
}

#[test]
fn names_are_read_as_the_table_says() {
    for Row { rule, input, expected } in names() {
        let parsed = ServerName::parse(&input);
        let (host, length, port, resolved) = match expected {
            Expected::Error(kind, at) => {
                let error = parsed.expect_err(rule);
                assert_eq!((error.kind(), error.at()), (kind, at), "{rule}");
                continue;
            }
            Expected::V4(address, port) => {
                let length = address.to_string().len();
                (HostRef::Ipv4(address), length, port, Ok(Host::Ip(address.into())))
            }
            Expected::V6(address, port) => {
                let length = input.iter().position(|byte| *byte == b']').unwrap() + 1;
                (HostRef::Ipv6(address), length, port, Ok(Host::Ip(address.into())))
            }
            Expected::Dns(length, port, ref resolved) => {
                let host = std::str::from_utf8(&input[..length]).unwrap();
                let name = host.to_ascii_lowercase();
                let resolved = resolved.map(|()| Host::Dns(name.parse().expect(rule)));
                (HostRef::Dns(host), length, port, resolved)
            }
        };
        let name = parsed.unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(name.as_str().as_bytes(), input, "{rule}");
        assert_eq!(name.host(), host, "{rule}");
        assert_eq!(name.host_str().as_bytes(), &input[..length], "{rule}");
        assert_eq!(name.port(), port, "{rule}");
        assert_eq!(name.is_ip_literal(), !matches!(host, HostRef::Dns(_)), "{rule}");
        match name.to_host() {
            Err(UnresolvableName { name: named, reason, .. }) => {
                assert_eq!(Err(reason), resolved, "{rule}");
                assert_eq!(named, name, "{rule}");
            }
            host => assert_eq!(host.map_err(|error| error.reason), resolved, "{rule}"),
        }
    }
}

/// The names of the table that are in the grammar.
fn valid() -> impl Iterator<Item = (&'static str, String, ServerName)> {
    names().into_iter().filter_map(|row| {
        let name = ServerName::parse(&row.input).ok()?;
        Some((row.rule, String::from_utf8(row.input).unwrap(), name))
    })
}

#[test]
fn all_ways_in_agree() {
    for Row { rule, input, .. } in names() {
        let parsed = ServerName::parse(&input);
        assert_eq!(ServerName::try_from(input.as_slice()), parsed, "{rule}");
        // From formats that have bytes and no text.
        let bytes = BytesDeserializer::<de::value::Error>::new(&input);
        assert_eq!(ServerName::deserialize(bytes).ok().as_ref(), parsed.as_ref().ok(), "{rule}");
        let Ok(text) = String::from_utf8(input) else { continue };
        assert_eq!(text.parse(), parsed, "{rule}");
        assert_eq!(ServerName::try_from(text.as_str()), parsed, "{rule}");
        let json = serde_json::to_string(&text).unwrap();
        assert_eq!(serde_json::from_str(&json).ok().as_ref(), parsed.as_ref().ok(), "{rule}");
        // From a reader and from a value there is no text to borrow.
        let read = serde_json::from_reader::<_, ServerName>(json.as_bytes());
        let value = serde_json::from_value::<ServerName>(text.as_str().into());
        assert_eq!(read.ok().as_ref(), parsed.as_ref().ok(), "{rule}");
        assert_eq!(value.ok().as_ref(), parsed.as_ref().ok(), "{rule}");
        assert_eq!(ServerName::try_from(text), parsed, "{rule}");
    }
    let error = serde_json::from_str::<ServerName>("1").unwrap_err();
    assert!(error.to_string().contains("expected a Matrix server name"), "{error}");
}

#[test]
fn all_ways_out_agree() {
    for (rule, text, name) in valid() {
        assert_eq!(name.to_string(), text, "{rule}");
        assert_eq!(name.as_ref() as &str, text, "{rule}");
        assert_eq!(format!("{name:?}"), format!("ServerName({text})"), "{rule}");
        assert_eq!(serde_json::to_value(&name).unwrap(), text.as_str(), "{rule}");
        assert_eq!(String::from(name), text, "{rule}");
    }
}

#[test]
fn an_internationalised_name_is_answered_with_its_form_in_ascii() {
    for (name, hint) in [
        ("b\u{fc}cher.example", "; in ASCII it is xn--bcher-kva.example"),
        ("B\u{dc}CHER.example:8448", "; in ASCII it is xn--bcher-kva.example:8448"),
        ("\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}", "; in ASCII it is xn--r8jz45g.xn--zckzah"),
        // What has none, or what would be another kind of name.
        ("b\u{fc}cher.example:x", ""),
        ("b\u{fc}cher..", ""),
        ("\u{ff11}27.0.0.1", ""),
        ("a b\u{fc}", ""),
        ("%61\u{fc}.example", ""),
        ("[::\u{ff11}]", ""),
        (&"\u{fc}".repeat(200), ""),
    ] {
        let error = ServerName::parse(name).unwrap_err().to_string();
        assert!(error.ends_with(&format!("){hint}")), "{name}: {error}");
    }
    let error = ServerName::parse(b"\xfc.example").unwrap_err().to_string();
    assert!(error.ends_with("(byte 0)"), "{error}");
    // Only where the error has all of it.
    for (labels, is_whole) in [(4, true), (7, false)] {
        let name = ("\u{fc}".repeat(20) + ".").repeat(labels) + "example";
        let error = ServerName::parse(&name).unwrap_err().to_string();
        let hint = format!("; in ASCII it is {}", url::Host::parse(&name).unwrap());
        assert_eq!(error.ends_with(&hint), is_whole, "{error}");
        assert_eq!(error.contains("in ASCII"), is_whole, "{error}");
    }
    // That one thing is wrong does not mean that it is this.
    let error = ServerName::parse("\u{feff}a.example").unwrap_err().to_string();
    assert!(!error.contains("in ASCII"), "{error}");
}

#[test]
fn identity_is_the_text() {
    let name = |text: &str| ServerName::parse(text).unwrap();
    for (one, other) in [
        ("a.example", "A.example"),
        ("a.example:80", "a.example:080"),
        ("a.example", "a.example:8448"),
        ("[::1]", "[0::1]"),
        ("[::a]", "[::A]"),
    ] {
        assert_ne!(name(one), name(other));
        assert_eq!(name(one).cmp(&name(other)), one.cmp(other));
        assert_eq!(name(one).partial_cmp(&name(other)), one.partial_cmp(other));
    }
    let map: HashMap<_, _> = valid().map(|(rule, _, name)| (name, rule)).collect();
    for (rule, text, name) in valid() {
        assert_eq!(map.get(&name), Some(&rule));
        assert_eq!(map.get(text.as_str()), Some(&rule), "a map can be asked with a str");
    }
    let mut names: Vec<_> = valid().map(|(.., name)| name).collect();
    let mut texts: Vec<_> = valid().map(|(_, text, _)| text).collect();
    names.sort();
    texts.sort();
    assert!(names.iter().map(ServerName::as_str).eq(texts.iter().map(String::as_str)));
}

#[test]
fn host_names_are_their_text_in_lower_case() {
    let name: DnsName = "A.Example".parse().unwrap();
    assert_eq!(name.as_ref() as &str, "a.example");
    assert_eq!(format!("{name:>10}"), " a.example");
    assert_eq!(format!("{name:?}"), "DnsName(a.example)");
    assert_eq!(serde_json::to_value(&name).unwrap(), "a.example");
    assert_eq!(serde_json::from_value::<DnsName>("A.example".into()).unwrap(), name);
    assert_eq!(HashMap::from([(name.clone(), 1)]).get("a.example"), Some(&1));
    assert_eq!(String::from(name), "a.example");
}

#[test]
fn conversions_give_the_host_or_say_why_not() {
    for (rule, text, name) in valid() {
        let tls = TlsName::try_from(&name);
        let authority = Authority::try_from(&name);
        let url = url::Host::try_from(&name);
        let host = match name.to_host() {
            Err(error) => {
                assert_eq!(tls.as_ref(), Err(&error), "{rule}");
                assert_eq!(authority.as_ref(), Err(&error), "{rule}");
                assert_eq!(url.as_ref(), Err(&error), "{rule}");
                continue;
            }
            Ok(host) => host,
        };
        assert_eq!(tls.unwrap(), host.tls_name(), "{rule}");
        let authority = authority.expect(rule);
        assert_eq!(authority.as_str(), text, "{rule}");
        assert_eq!(authority.host(), name.host_str(), "{rule}");
        assert_eq!(authority.port_u16(), name.port(), "{rule}");
        let url = url.unwrap();
        let address = match &url {
            url::Host::Domain(domain) => domain.parse().ok().map(IpAddr::V4),
            url::Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            url::Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        };
        assert_eq!(address, host.as_ip(), "{rule}");
        // What a URL parser makes of the text is the same host, and never an address that the
        // name did not show.
        assert_eq!(url::Host::parse(name.host_str()).as_ref(), Ok(&url), "{rule}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let error = ServerName::parse("a.example:65536").unwrap_err();
    assert_eq!(error.to_string(), "the port is larger than 65535 (byte 10)");
    let json = serde_json::to_string(&error).unwrap();
    assert_eq!(json, r#"{"name":"a.example:65536","kind":"port_too_large","at":10}"#);
    assert_eq!(serde_json::from_str::<ServerNameError>(&json).unwrap(), error);

    let error = ServerName::parse("a..b").unwrap().to_host().unwrap_err();
    assert_eq!(error.to_string(), "no host can be made of the server name \"a..b\"");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "it has an empty label");
    let json = serde_json::to_string(&error).unwrap();
    assert_eq!(json, r#"{"name":"a..b","reason":"empty_label"}"#);
    assert_eq!(serde_json::from_str::<UnresolvableName>(&json).unwrap(), error);
}

#[test]
fn names_are_small() {
    assert!(size_of::<ServerName>() <= 40);
    assert!(size_of::<Option<ServerName>>() <= 40);
    assert_eq!(
        ServerName::parse("[::ffff:1.2.3.4]").unwrap().to_host().unwrap().as_ip(),
        Some(IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x102, 0x304])),
        "a mapped address stays IPv6; the address policy looks inside",
    );
}
