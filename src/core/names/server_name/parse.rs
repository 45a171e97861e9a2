//! Parses the grammar from left to right. The first byte that does not fit decides the error.
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

/// The parts of a name, borrowed from it.
pub(super) struct Parsed<'a> {
    pub(super) text: &'a str,
    pub(super) kind: HostKind,
    pub(super) host_len: u8,
    pub(super) port: Option<NonZeroU16>,
}

pub(super) fn parse(name: &[u8]) -> Result<Parsed<'_>, Fault> {
    let parsed = match name.first() {
        None => return Err(Fault::new(Kind::Empty, 0)),
        Some(_) if name.starts_with("\u{feff}".as_bytes()) => {
            return Err(Fault::new(Kind::ByteOrderMark, 0));
        }
        Some(b'[') => bracketed(name),
        Some(_) => plain(name),
    };
    // A bare IPv6 address has two colons or more, so the general error would mislead.
    parsed.map_err(|error| match ipv6(name) {
        Some(_) => Fault::new(Kind::Ipv6WithoutBrackets, 0),
        None => error,
    })
}

/// Parses an IPv4 address or a DNS name, with an optional port.
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
    // Unlike `inet_aton`, std reads only four decimals without leading zeros. To the grammar,
    // everything else is a `dns-name`.
    let kind = match text.get(..at).unwrap_or_default().parse::<Ipv4Addr>() {
        Ok(_) => HostKind::Ipv4,
        Err(_) => HostKind::Dns,
    };
    Ok(Parsed { text, kind, host_len, port })
}

/// Parses an IPv6 address in brackets, with an optional port.
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

/// Parses the port whose first digit is at byte `start` of the name. `u16::from_str` does not
/// suffice: it accepts a sign and any number of zeros.
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

/// Counts the leading bytes that satisfy `belongs` and returns the rest with the count; `None` if
/// there are more than `max`. Looks at no more than `max + 1` bytes.
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

/// Returns the text of a name whose every byte was checked, so that the error cannot occur.
fn ascii(name: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(name).map_err(|error| Fault::new(Kind::NotAscii, error.valid_up_to()))
}
