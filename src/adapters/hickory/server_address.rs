//! The address of a server as people write it, with a port and a zone.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use thiserror::Error;

/// The port of DNS.
const PORT: u16 = 53;

/// Why a text is no address of a DNS server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServerAddressError {
    /// It is no IP address, or its port is none or 0.
    #[error("not an IP address with a port, such as 192.0.2.53:53 or [fe80::53%eth0]:53")]
    Syntax,
    /// Its zone names no interface of this machine that has an IPv6 address.
    #[error("there is no network interface {0} with an IPv6 address")]
    NoSuchInterface(String),
}

/// Reads the address of a DNS server with its port, such as `192.0.2.53:53` or `[fe80::53%eth0]:53`.
///
/// The zone of a link-local address is the number or the name of an interface (RFC 4007 section 11),
/// the latter on Linux.
///
/// ```
/// use matrix_delegation::adapters::server_address;
///
/// assert_eq!(server_address("192.0.2.53:53")?, "192.0.2.53:53".parse()?);
/// assert_eq!(server_address("[fe80::53%2]:5353")?, "[fe80::53%2]:5353".parse()?);
/// assert!(server_address("dns.example:53").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn server_address(text: &str) -> Result<SocketAddr, ServerAddressError> {
    let (host, port) = text.rsplit_once(':').ok_or(ServerAddressError::Syntax)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address =
        ip_and_zone(bare.unwrap_or(host)).filter(|(ip, _)| ip.is_ipv6() == bare.is_some());
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    let (Some((ip, zone)), Some(port @ 1..)) = (address, port) else {
        return Err(ServerAddressError::Syntax);
    };
    let Some(zone) = zone else { return Ok(SocketAddr::new(ip, port)) };
    match scope_id(zone) {
        Some(scope) => Ok(with_scope(ip, port, scope)),
        None => Err(ServerAddressError::NoSuchInterface(zone.to_owned())),
    }
}

/// Reads what `nameserver` is followed by, and whether an interface's name stands for its zone. An
/// interface that is not there, or not there yet, leaves the address without a zone: the server is
/// counted and cannot be reached.
pub(super) fn name_server(text: &str) -> Option<(SocketAddr, bool)> {
    // To the C library an empty zone is none.
    let text = text.strip_suffix('%').unwrap_or(text);
    let (ip, zone) = ip_and_zone(text).or_else(|| Some((inet_aton(text)?.into(), None)))?;
    let named = zone.is_some_and(|zone| zone.parse::<u32>().is_err());
    Some((with_scope(ip, PORT, zone.and_then(scope_id).unwrap_or(0)), named))
}

/// Takes an address and the zone behind it apart; only IPv6 has zones.
pub(super) fn ip_and_zone(text: &str) -> Option<(IpAddr, Option<&str>)> {
    match text.split_once('%') {
        None => Some((text.parse().ok()?, None)),
        Some((ip, zone)) if !zone.is_empty() => {
            Some((IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?), Some(zone)))
        }
        Some(_) => None,
    }
}

fn with_scope(ip: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    }
}

/// Returns the number of a zone, which the name of an interface or a number stands for. A name may be a
/// number.
fn scope_id(zone: &str) -> Option<u32> {
    interface_index(zone).or_else(|| zone.parse().ok())
}

/// Returns the index of an interface. The list of addresses is that of the network namespace that
/// this process is in; `/sys` may show another.
fn interface_index(name: &str) -> Option<u32> {
    let addresses = fs::read_to_string("/proc/net/if_inet6").ok()?;
    index_in(&addresses, name)
}

/// Each line: address, index in hex, prefix, scope, flags, name.
fn index_in(addresses: &str, name: &str) -> Option<u32> {
    addresses.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let index = fields.nth(1)?;
        (fields.nth(3)? == name).then(|| u32::from_str_radix(index, 16).ok())?
    })
}

/// Reads the other spellings of an IPv4 address that the C library takes: fewer than four parts, of
/// which the last fills what is left, and octal and hexadecimal ones (inet(3)).
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let (last, first) = parts.split_last()?;
    let mut address = 0;
    for part in first {
        address = address << 8 | u32::from(u8::try_from(number(part)?).ok()?);
    }
    let left = 4_u32.checked_sub(u32::try_from(first.len()).ok()?).filter(|left| *left > 0)? * 8;
    let last = number(last)?;
    if last.checked_shr(left).unwrap_or(0) > 0 {
        return None;
    }
    Some(Ipv4Addr::from(address.checked_shl(left).unwrap_or(0) | last))
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // `from_str_radix` takes a sign, too.
    if !digits.starts_with(|it: char| it.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_addresses() {
        for (text, expected) in [
            ("192.0.2.53:5353", Some("192.0.2.53:5353")),
            ("[2001:db8::53]:5353", Some("[2001:db8::53]:5353")),
            ("[fe80::53%3]:53", Some("[fe80::53%3]:53")),
            ("", None),
            ("192.0.2.53", None),
            ("2001:db8::53", None),
            ("[2001:db8::53]", None),
            ("dns.example:53", None),
            ("192.0.2.53:", None),
            ("192.0.2.53:0", None),
            ("192.0.2.53:+53", None),
            ("192.0.2.53:65536", None),
            ("192.0.2.53%1:53", None),
            ("127.1:53", None),
            ("[fe80::53%]:53", None),
            ("[192.0.2.53]:53", None),
            ("[2001:db8::53:53", None),
            ("[2001:db8::53]53", None),
        ] {
            let expected = expected
                .map(|expected| expected.parse::<SocketAddr>().unwrap())
                .ok_or(ServerAddressError::Syntax);
            assert_eq!(server_address(text), expected, "{text}");
        }
        let missing = ServerAddressError::NoSuchInterface("no-such.if".to_owned());
        assert_eq!(server_address("[fe80::53%no-such.if]:53"), Err(missing));
    }

    #[test]
    fn interfaces_have_their_index() {
        let addresses = "\
            00000000000000000000000000000001 01 80 10 80       lo\n\
            fe800000000000000000000000000001 0c 40 20 80   br-lan\n\
            fe800000000000000000000000000002 1f 40 20 80 eth0.100\n\
            garbage\n";
        for (name, index) in
            [("lo", Some(1)), ("br-lan", Some(12)), ("eth0.100", Some(31)), ("eth0", None)]
        {
            assert_eq!(index_in(addresses, name), index, "{name}");
        }
    }

    #[test]
    fn name_servers_are_spelled_as_the_c_library_takes_them() {
        for (text, expected) in [
            ("127.0.0.53", Some("127.0.0.53:53")),
            ("127.1", Some("127.0.0.1:53")),
            ("127.0.513", Some("127.0.2.1:53")),
            ("0x7f000001", Some("127.0.0.1:53")),
            ("0177.0.0.010", Some("127.0.0.8:53")),
            ("::1", Some("[::1]:53")),
            ("fe80::1%7", Some("[fe80::1%7]:53")),
            ("fe80::1%no-such.if", Some("[fe80::1]:53")),
            ("127.0.0.1.1", None),
            ("256.0.0.1", None),
            ("127.0.65536", None),
            ("127..1", None),
            ("127.+1", None),
            ("08.0.0.1", None),
            ("127.0.0.1#53", None),
            ("localhost", None),
            ("", None),
        ] {
            let expected = expected.map(|expected| expected.parse::<SocketAddr>().unwrap());
            assert_eq!(name_server(text).map(|(server, _)| server), expected, "{text}");
        }
    }
}
