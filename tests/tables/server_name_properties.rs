//! Server names against an oracle that is written from the grammar's own productions.

use std::net::{Ipv4Addr, Ipv6Addr};

use matrix_delegation::names::HostRef;
use matrix_delegation::{ServerName, WellKnown};
use proptest::prelude::*;

/// The appendix, production by production: every way to split the text is tried, and each half is
/// judged by itself. It shares neither method nor code with the parser.
mod oracle {
    use std::net::Ipv6Addr;

    #[derive(Debug, PartialEq)]
    pub(super) enum Host {
        Ipv4([u8; 4]),
        Ipv6(Ipv6Addr),
        Dns(String),
    }

    /// `server_name = hostname [ ":" port ]`
    pub(super) fn server_name(text: &str) -> Option<(Host, Option<u16>)> {
        let mut readings = Vec::new();
        readings.extend(hostname(text).map(|host| (host, None)));
        for (at, _) in text.match_indices(':') {
            if let (Some(host), Some(port)) = (hostname(&text[..at]), port(&text[at + 1..])) {
                readings.push((host, Some(port)));
            }
        }
        assert!(readings.len() <= 1, "the grammar is unambiguous: {text:?} is {readings:?}");
        readings.pop()
    }

    /// `port = 1*5DIGIT`, of which 0 and what is over 65535 are no ports.
    fn port(text: &str) -> Option<u16> {
        (repeated(text, 1, 5, digit))
            .then(|| text.parse::<u32>().unwrap())
            .filter(|port| (1..=65535).contains(port))
            .map(|port| u16::try_from(port).unwrap())
    }

    /// `hostname = IPv4address / "[" IPv6address "]" / dns-name`
    fn hostname(text: &str) -> Option<Host> {
        ipv4(text).map(Host::Ipv4).or_else(|| ipv6(text).map(Host::Ipv6)).or_else(|| {
            repeated(text, 1, 255, |c| digit(c) || c.is_ascii_alphabetic() || "-.".contains(c))
                .then(|| Host::Dns(text.to_owned()))
        })
    }

    /// `IPv4address = 1*3DIGIT "." 1*3DIGIT "." 1*3DIGIT "." 1*3DIGIT`, of 0 to 255 in decimal.
    fn ipv4(text: &str) -> Option<[u8; 4]> {
        let numbers: Vec<u8> = text
            .split('.')
            .map(|number| (0..=255).find(|candidate: &u8| candidate.to_string() == number))
            .collect::<Option<_>>()?;
        numbers.try_into().ok()
    }

    /// `IPv6address = 2*45IPv6char`, as in RFC 3513 section 2.2.
    fn ipv6(text: &str) -> Option<Ipv6Addr> {
        let text = text.strip_prefix('[')?.strip_suffix(']')?;
        if !repeated(text, 2, 45, |c| c.is_ascii_hexdigit() || ":.".contains(c)) {
            return None;
        }
        let groups: Vec<u16> = match text.split_once("::") {
            None => side(text, true)?,
            Some((left, right)) => {
                let (left, right) = (side(left, false)?, side(right, true)?);
                let gap = 8usize.checked_sub(left.len() + right.len()).filter(|gap| *gap > 0)?;
                [left, vec![0; gap], right].concat()
            }
        };
        <[u16; 8]>::try_from(groups).ok().map(Ipv6Addr::from)
    }

    /// Groups between single colons; the last may be an IPv4 address.
    fn side(text: &str, at_end: bool) -> Option<Vec<u16>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let mut groups = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if let (true, true, Some([a, b, c, d])) = (at_end, index + 1 == parts.len(), ipv4(part))
            {
                groups.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            } else if repeated(part, 1, 4, |c| c.is_ascii_hexdigit()) {
                groups.push(u16::from_str_radix(part, 16).unwrap());
            } else {
                return None;
            }
        }
        Some(groups)
    }

    fn repeated(text: &str, min: usize, max: usize, which: impl Fn(char) -> bool) -> bool {
        let count = text.chars().count();
        min <= count && count <= max && text.chars().all(which)
    }

    fn digit(c: char) -> bool {
        c.is_ascii_digit()
    }
}

fn assert_agrees(text: &str) -> Result<(), TestCaseError> {
    let parsed = ServerName::parse(text);
    let read = parsed.as_ref().ok().map(|name| {
        let host = match name.host() {
            HostRef::Ipv4(address) => oracle::Host::Ipv4(address.octets()),
            HostRef::Ipv6(address) => oracle::Host::Ipv6(address),
            HostRef::Dns(name) => oracle::Host::Dns(name.to_owned()),
        };
        (host, name.port())
    });
    prop_assert_eq!(read, oracle::server_name(text), "{:?} gave {:?}", text, parsed);
    Ok(())
}

/// Text that is nearly a server name: pieces that occur in some, in any order.
fn nearly_a_name() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "example",
        "A",
        "-",
        ".",
        "..",
        ":",
        "::",
        "[",
        "]",
        "0",
        "1",
        "255",
        "256",
        "00",
        "08448",
        "65535",
        "65536",
        "ffff",
        "0x7f",
        "1.2.3.4",
        "::1",
        "1:2:3:4:5:6:7",
        "%",
        " ",
        "+",
        "\0",
        "\u{fc}",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ]);
    prop::collection::vec(pieces, 0..9).prop_map(|pieces| pieces.concat())
}

/// Text over the alphabet of addresses, mostly in brackets.
fn nearly_an_address() -> impl Strategy<Value = String> {
    let inside = prop::collection::vec(
        prop::sample::select(vec![":", "::", "1", "0", "f", "F", "db8", ".", "1.2.3.4"]),
        0..12,
    );
    let tail = prop::sample::select(vec!["", ":", ":1", "1", "]"]);
    (inside, tail).prop_map(|(inside, tail)| format!("[{}]{tail}", inside.concat()))
}

fn valid_name() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        prop::collection::vec(
            prop::sample::select(
                b"abzABZ0189.-".iter().map(|byte| char::from(*byte)).collect::<Vec<_>>()
            ),
            1..=255,
        )
        .prop_map(String::from_iter),
        any::<[u8; 4]>().prop_map(|octets| Ipv4Addr::from(octets).to_string()),
        any::<[u16; 8]>().prop_map(|groups| format!("[{}]", Ipv6Addr::from(groups))),
        any::<[u16; 8]>()
            .prop_map(|groups| format!("[{:#}]", Ipv6Addr::from(groups)).to_uppercase()),
    ];
    let port = prop_oneof![
        Just(String::new()),
        (1..=u16::MAX).prop_map(|port| format!(":{port}")),
        (1..=u16::MAX).prop_map(|port| format!(":{port:05}")),
    ];
    (host, port).prop_map(|(host, port)| host + &port)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        match ServerName::parse(&bytes) {
            Ok(name) => prop_assert_eq!(name.as_str().as_bytes(), &bytes),
            Err(error) => prop_assert!(error.at() <= bytes.len()),
        }
        let _ = WellKnown::from_body(&bytes);
    }

    #[test]
    fn any_text_is_read_as_the_grammar_says(text in any::<String>()) {
        assert_agrees(&text)?;
    }

    #[test]
    fn what_is_nearly_a_name_is_read_as_the_grammar_says(text in nearly_a_name()) {
        assert_agrees(&text)?;
    }

    #[test]
    fn what_is_nearly_an_address_is_read_as_the_grammar_says(text in nearly_an_address()) {
        assert_agrees(&text)?;
    }

    #[test]
    fn every_name_of_the_grammar_is_read_and_shown_again(text in valid_name()) {
        assert_agrees(&text)?;
        let name = ServerName::parse(&text).unwrap();
        prop_assert_eq!(&name.to_string(), &text);
        prop_assert_eq!(&ServerName::parse(name.to_string()).unwrap(), &name);
        let json = serde_json::to_string(&name).unwrap();
        prop_assert_eq!(&serde_json::from_str::<ServerName>(&json).unwrap(), &name);
    }

    #[test]
    fn one_byte_changed_is_read_as_the_grammar_says(
        text in valid_name(), at in any::<prop::sample::Index>(), byte in 0..0x80u8,
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        assert_agrees(&String::from_utf8(bytes).unwrap())?;
    }

    #[test]
    fn a_host_is_one_that_a_url_parser_reads_alike(text in nearly_a_name()) {
        let Ok(name) = ServerName::parse(&text) else { return Ok(()) };
        if let Ok(host) = url::Host::try_from(&name) {
            prop_assert_eq!(url::Host::parse(name.host_str()), Ok(host));
        }
    }

    #[test]
    fn documents_are_read_as_they_are_written(text in valid_name()) {
        if let Ok(document) = WellKnown::new(ServerName::parse(&text).unwrap()) {
            prop_assert_eq!(WellKnown::from_body(&document.to_body()), Ok(document));
        }
    }
}
