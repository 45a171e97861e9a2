//! Second readings that several targets compare the crate with. They share no code with it, nor
//! with `std`'s parsers of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the grammar of server names makes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// How many bytes the host has, brackets included.
    pub(crate) host_len: usize,
    /// The address, if the host is a literal.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
}

/// The appendix "Server Name", byte by byte.
pub(crate) fn server_name(bytes: &[u8]) -> Option<Name> {
    let mut at = 0;
    let address = if bytes.first() == Some(&b'[') {
        at = 1;
        while at < bytes.len() && bytes[at] != b']' {
            at += 1;
        }
        if at == bytes.len() {
            return None;
        }
        let address = ipv6(&bytes[1..at])?;
        at += 1;
        Some(IpAddr::V6(address))
    } else {
        while at < bytes.len() && bytes[at] != b':' {
            match bytes[at] {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => at += 1,
                _ => return None,
            }
        }
        if at == 0 || at > 255 {
            return None;
        }
        ipv4(&bytes[..at]).map(IpAddr::V4)
    };
    let host_len = at;
    if at == bytes.len() {
        return Some(Name { host_len, address, port: None });
    }
    if bytes[at] != b':' {
        return None;
    }
    let digits = &bytes[at + 1..];
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let mut port = 0_u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(*digit - b'0');
    }
    if port == 0 || port > 65_535 {
        return None;
    }
    Some(Name { host_len, address, port: Some(u16::try_from(port).unwrap()) })
}

/// Four decimals of 0 to 255 without leading zeros.
pub(crate) fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut at = 0;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            if bytes.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let start = at;
        let mut value = 0_u32;
        while at < bytes.len() && bytes[at].is_ascii_digit() && at - start < 3 {
            value = value * 10 + u32::from(bytes[at] - b'0');
            at += 1;
        }
        if at == start || value > 255 || (bytes[start] == b'0' && at - start > 1) {
            return None;
        }
        *octet = u8::try_from(value).unwrap();
    }
    (at == bytes.len()).then(|| Ipv4Addr::from(octets))
}

/// RFC 4291 section 2.2: eight groups, or fewer with one `::`, the last two perhaps as IPv4.
pub(crate) fn ipv6(bytes: &[u8]) -> Option<Ipv6Addr> {
    if bytes.len() < 2 || bytes.len() > 45 {
        return None;
    }
    let mut groups: Vec<u16> = Vec::new();
    let mut gap: Option<usize> = None;
    let mut at = 0;
    if bytes.starts_with(b"::") {
        gap = Some(0);
        at = 2;
    }
    while at < bytes.len() {
        let end =
            bytes[at..].iter().position(|byte| *byte == b':').map_or(bytes.len(), |it| at + it);
        if end == bytes.len()
            && let Some(v4) = ipv4(&bytes[at..])
        {
            let [a, b, c, d] = v4.octets();
            groups.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            at = end;
            continue;
        }
        if end == at || end - at > 4 {
            return None;
        }
        let mut group = 0_u16;
        for byte in &bytes[at..end] {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                _ => return None,
            };
            group = group << 4 | u16::from(digit);
        }
        groups.push(group);
        at = end;
        if at < bytes.len() {
            at += 1;
            if at == bytes.len() {
                // A single colon ends nothing.
                return None;
            }
            if bytes[at] == b':' {
                if gap.is_some() {
                    return None;
                }
                gap = Some(groups.len());
                at += 1;
            }
        }
    }
    match gap {
        Some(gap) if groups.len() < 8 => {
            let zeros = 8 - groups.len();
            groups.splice(gap..gap, std::iter::repeat_n(0, zeros));
        }
        Some(_) => return None,
        None => {}
    }
    <[u16; 8]>::try_from(groups).ok().map(Ipv6Addr::from)
}

/// Whether DNS can be asked for this name, and no program reads an address in it. `underscores`:
/// whether `_` may stand in it, as in the host of a URL.
pub(crate) fn is_host_name(name: &[u8], underscores: bool) -> bool {
    if name.is_empty() || name.len() > 253 {
        return false;
    }
    let labels: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    let mut good = true;
    for label in &labels {
        good &= !label.is_empty() && label.len() < 64;
        good &= label.first() != Some(&b'-') && label.last() != Some(&b'-');
        for byte in *label {
            good &= match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => true,
                b'_' => underscores,
                _ => false,
            };
        }
    }
    let last = labels.last().unwrap().to_ascii_lowercase();
    let hexadecimal = last.starts_with(b"0x")
        && last[2..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let decimal = last.iter().all(u8::is_ascii_digit);
    good && !decimal && !hexadecimal
}

/// The blocks of the address policy's default, each with its first address and the number of its
/// fixed bits, and whether it is globally reachable: the IANA registries and what is blocked besides.
const V4: &[(u32, u32, bool)] = &[
    (0x0000_0000, 0, true),
    (0x0000_0000, 8, false),
    (0x0a00_0000, 8, false),
    (0x6440_0000, 10, false),
    (0x7f00_0000, 8, false),
    (0xa9fe_0000, 16, false),
    (0xac10_0000, 12, false),
    (0xc000_0000, 24, false),
    (0xc000_0009, 32, true),
    (0xc000_000a, 32, true),
    (0xc000_0200, 24, false),
    (0xc058_6300, 24, false),
    (0xc0a8_0000, 16, false),
    (0xc612_0000, 15, false),
    (0xc633_6400, 24, false),
    (0xcb00_7100, 24, false),
    (0xe000_0000, 3, false),
];

/// The same of IPv6.
const V6: &[(u128, u32, bool)] = &[
    (0, 0, false),
    (0x2 << 124, 3, true),
    (0x2001 << 112, 23, false),
    (0x2001_0001 << 96 | 1, 128, true),
    (0x2001_0001 << 96 | 2, 128, true),
    (0x2001_0001 << 96 | 3, 128, true),
    (0x2001_0003 << 96, 32, true),
    (0x2001_0004_0112 << 80, 48, true),
    (0x2001_0020 << 96, 28, true),
    (0x2001_0030 << 96, 28, true),
    (0x2001_0db8 << 96, 32, false),
    (0x2002 << 112, 16, false),
    (0x3fff << 112, 20, false),
];

/// The bits of an address that is judged, and whether it is IPv6: the IPv4 inside, where the
/// address is mapped or NAT64's.
pub(crate) fn judged(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (false, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => match v6.to_bits() >> 32 {
            0xffff | 0x0064_ff9b_0000_0000_0000_0000 => (false, v6.to_bits() & 0xffff_ffff),
            _ => (true, v6.to_bits()),
        },
    }
}

/// Whether the first bits of two numbers of `width` bits are the same.
pub(crate) fn shares_prefix(width: u32, fixed: u32, a: u128, b: u128) -> bool {
    fixed == 0 || a >> (width - fixed) == b >> (width - fixed)
}

/// Whether the public internet has this address, as [`judged`] gives it.
pub(crate) fn is_public((v6, bits): (bool, u128)) -> bool {
    if v6 && matches!(bits >> 32 & 0xffff_ffff, 0x5efe | 0x0200_5efe) {
        return false;
    }
    let mut best = None;
    if v6 {
        for (first, fixed, reachable) in V6 {
            if shares_prefix(128, *fixed, *first, bits) {
                best = best.max(Some((*fixed, *reachable)));
            }
        }
    } else {
        for (first, fixed, reachable) in V4 {
            if shares_prefix(32, *fixed, u128::from(*first), bits) {
                best = best.max(Some((*fixed, *reachable)));
            }
        }
    }
    best.is_some_and(|(_, reachable)| reachable)
}
