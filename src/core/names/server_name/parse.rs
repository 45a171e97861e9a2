//! The grammar, from left to right; the first byte that does not fit decides the error.
//!
//! ```text
//! name  = host [":" port]        host = "[" IPv6 "]" / IPv4 / dns-name
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use super::HostKind;
use super::error::{Fault, ServerNameErrorKind as Kind};

/// Longest `dns-name` in bytes (appendix "Server Name").
const MAX_DNS_NAME: u8 = 255;
/// Longest `IPv6address` in bytes, without its brackets (appendix "Server Name").
const MAX_IPV6: u8 = 45;
/// Most digits of a port (appendix "Server Name").
const MAX_PORT_DIGITS: usize = 5;

/// A name taken apart, nothing of it copied.
pub(super) struct Parsed<'a> {
    pub(super) text: &'a str,
    pub(super) kind: HostKind,
    pub(super) host_len: u8,
    pub(super) port: Option<NonZeroU16>,
}

pub(super) fn parse(name: &[u8]) -> Result<Parsed<'_>, Fault> {
    let parsed = match name.first() {
        None => return Err(Fault::new(Kind::Empty, 0)),
        Some(b'[') => bracketed(name),
        Some(_) => plain(name),
    };
    // A bare IPv6 address is no server name, since it has two colons; it deserves its own words.
    parsed.map_err(|error| match ipv6(name) {
        Some(_) => Fault::new(Kind::Ipv6WithoutBrackets, 0),
        None => error,
    })
}

/// An IPv4 address or a DNS name, and perhaps a port.
fn plain(name: &[u8]) -> Result<Parsed<'_>, Fault> {
    let (host_len, rest) = span(name, MAX_DNS_NAME, is_dns_char)
        .ok_or(Fault::new(Kind::HostTooLong, usize::from(MAX_DNS_NAME)))?;
    let at = usize::from(host_len);
    let port = match rest {
        [] => None,
        [b':', ..] if host_len == 0 => return Err(Fault::new(Kind::MissingHost, at)),
        [b':', digits @ ..] => Some(port(digits, at + 1)?),
        [byte, ..] => return Err(unexpected(*byte, Kind::HostCharacter, at)),
    };
    let text = ascii(name)?;
    // Unlike `inet_aton`, std reads nothing but four decimals without leading zeros; the rest is a
    // `dns-name` to the grammar.
    let kind = match text.get(..at).unwrap_or_default().parse::<Ipv4Addr>() {
        Ok(_) => HostKind::Ipv4,
        Err(_) => HostKind::Dns,
    };
    Ok(Parsed { text, kind, host_len, port })
}

/// An IPv6 address in brackets, and perhaps a port.
fn bracketed(name: &[u8]) -> Result<Parsed<'_>, Fault> {
    let inside = name.get(1..).unwrap_or_default();
    let (length, rest) = span(inside, MAX_IPV6, is_ipv6_char)
        .ok_or(Fault::new(Kind::Ipv6TooLong, 1 + usize::from(MAX_IPV6)))?;
    let at = 1 + usize::from(length);
    let after = match rest {
        [] => return Err(Fault::new(Kind::UnclosedBracket, at)),
        [b']', after @ ..] => after,
        [byte, ..] => return Err(unexpected(*byte, Kind::Ipv6Character, at)),
    };
    inside.get(..usize::from(length)).and_then(ipv6).ok_or(Fault::new(Kind::NotIpv6, 1))?;
    let port = match after {
        [] => None,
        [b':', digits @ ..] => Some(port(digits, at + 2)?),
        [byte, ..] => return Err(unexpected(*byte, Kind::AfterBracket, at + 1)),
    };
    Ok(Parsed { text: ascii(name)?, kind: HostKind::Ipv6, host_len: length + 2, port })
}

/// The port whose first digit stands at byte `start` of the name. `u16::from_str` will not do: it
/// takes a sign and any number of zeros.
fn port(digits: &[u8], start: usize) -> Result<NonZeroU16, Fault> {
    if digits.is_empty() {
        return Err(Fault::new(Kind::MissingPort, start));
    }
    let mut port = 0;
    for (index, byte) in digits.iter().enumerate() {
        if !byte.is_ascii_digit() {
            return Err(unexpected(*byte, Kind::PortCharacter, start + index));
        }
        if index == MAX_PORT_DIGITS {
            return Err(Fault::new(Kind::PortTooLong, start + index));
        }
        port = port * 10 + u32::from(byte - b'0');
    }
    let port = u16::try_from(port).map_err(|_| Fault::new(Kind::PortTooLarge, start))?;
    NonZeroU16::new(port).ok_or(Fault::new(Kind::PortZero, start))
}

/// How many leading bytes satisfy `belongs`, and what follows them; `None` if more than `max` do.
/// Looks at no more than `max + 1` bytes.
fn span(bytes: &[u8], max: u8, belongs: impl Fn(u8) -> bool) -> Option<(u8, &[u8])> {
    let mut length = 0;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        if !belongs(*byte) {
            break;
        }
        if length == max {
            return None;
        }
        length += 1;
        rest = after;
    }
    Some((length, rest))
}

fn is_dns_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'
}

fn is_ipv6_char(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

fn ipv6(bytes: &[u8]) -> Option<Ipv6Addr> {
    if bytes.len() > usize::from(MAX_IPV6) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn unexpected(byte: u8, kind: Kind, at: usize) -> Fault {
    Fault::new(if byte.is_ascii() { kind } else { Kind::NotAscii }, at)
}

/// The text of a name whose every byte has been looked at, so that the error cannot occur.
fn ascii(name: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(name).map_err(|error| Fault::new(Kind::NotAscii, error.valid_up_to()))
}
