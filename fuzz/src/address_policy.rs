//! Which addresses may be connected to.
//!
//! Invariant: for any lists of allowed and blocked ranges, an address passes exactly if an
//! independent judge, who knows the registries as numbers and compares bits, lets it pass. A refusal
//! names a range that holds the address as it is judged. A policy is written and read again as
//! itself.
//!
//! Input: a byte for the base, then ranges and addresses; see [`Input::read`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::{Result, Unstructured};
use ipnet::IpNet;
use matrix_delegation::AddressPolicy;
use matrix_delegation::config::BlockedRange;

use crate::oracle::{is_public, judged, shares_prefix};

/// Where blocks begin, with how many bits; a mutation lands near an edge.
const STARTS: &[&str] = &[
    "0.0.0.0",
    "10.0.0.0",
    "100.64.0.0",
    "127.0.0.0",
    "169.254.0.0",
    "172.16.0.0",
    "192.0.0.0",
    "192.0.0.8",
    "192.0.2.0",
    "192.88.99.0",
    "192.168.0.0",
    "198.18.0.0",
    "198.51.100.0",
    "203.0.113.0",
    "224.0.0.0",
    "240.0.0.0",
    "::",
    "::ffff:0:0",
    "::ffff:0:0:0",
    "64:ff9b::",
    "64:ff9b:1::",
    "100::",
    "2000::",
    "2001::",
    "2001:1::",
    "2001:2::",
    "2001:3::",
    "2001:4:112::",
    "2001:10::",
    "2001:20::",
    "2001:30::",
    "2001:40::",
    "2001:200::",
    "2001:db8::",
    "2002::",
    "2620:4f:8000::",
    "2a00::5efe:0:0",
    "2a00::200:5efe:0:0",
    "3fff::",
    "3fff:1000::",
    "4000::",
    "5f00::",
    "fc00::",
    "fe80::",
    "fec0::",
    "ff00::",
];

/// Checks one input.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(&mut Unstructured::new(data)) else { return };
    let base =
        if input.unrestricted { AddressPolicy::unrestricted() } else { AddressPolicy::default() };
    let policy = input.allow.iter().fold(base, |policy, range| policy.allow(*range));
    let policy = input.block.iter().fold(policy, |policy, range| policy.block(*range));
    for address in &input.addresses {
        check(&policy, &input, *address);
    }
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<AddressPolicy>(&json).unwrap(), policy);
    let again = policy.allowed().fold(AddressPolicy::unrestricted(), |it, range| it.allow(*range));
    assert!(again.allowed().eq(policy.allowed()));
}

fn check(policy: &AddressPolicy, input: &Input, address: IpAddr) {
    let place = judged(address);
    let within = |ranges: &[IpNet]| ranges.iter().any(|range| covers(*range, place));
    let allowed = within(&input.allow);
    let blocked = within(&input.block);
    let passes = allowed || !blocked && (input.unrestricted || is_public(place));
    let verdict = policy.check(address);
    assert_eq!(verdict.is_ok(), passes, "{address}: {verdict:?}");
    if let Err(range) = verdict {
        assert!(covers(range.range(), place), "{address}: {range}");
        assert_eq!(range.source() == "the configuration", blocked, "{address}: {range}");
        assert_eq!(range.range(), range.range().trunc());
        let json = serde_json::to_string(&range).unwrap();
        assert_eq!(serde_json::from_str::<BlockedRange>(&json).unwrap(), range);
    }
}

/// Whether a range holds an address as it is judged. Ranges within the mapped block and NAT64's are
/// those of the IPv4 inside; the two blocks themselves hold nothing that is judged.
fn covers(range: IpNet, (v6, bits): (bool, u128)) -> bool {
    let fixed = u32::from(range.prefix_len());
    match range.addr() {
        IpAddr::V4(first) => !v6 && shares_prefix(32, fixed, first.to_bits().into(), bits),
        IpAddr::V6(first) => {
            let first = first.to_bits();
            if fixed > 96 && [0xffff, 0x0064_ff9b << 64].contains(&(first >> 32)) {
                !v6 && shares_prefix(32, fixed - 96, first & 0xffff_ffff, bits)
            } else {
                v6 && shares_prefix(128, fixed, first, bits)
            }
        }
    }
}

struct Input {
    unrestricted: bool,
    allow: Vec<IpNet>,
    block: Vec<IpNet>,
    addresses: Vec<IpAddr>,
}

impl Input {
    /// After the base, each item is a byte that says what it is (an allowed or blocked range, or an
    /// address to judge), an address, and for ranges a byte for how many bits are fixed.
    fn read(u: &mut Unstructured<'_>) -> Result<Self> {
        let unrestricted = u.arbitrary::<u8>()? == 1;
        let (mut allow, mut block, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..40 {
            if u.is_empty() {
                break;
            }
            let kind = u.arbitrary::<u8>()? % 4;
            let address = address(u)?;
            if kind < 2 {
                let most = if address.is_ipv4() { 32 } else { 128 };
                let range = IpNet::new(address, u.arbitrary::<u8>()? % (most + 1)).unwrap();
                if kind == 0 { &mut allow } else { &mut block }.push(range);
                // The edges of a range are where it shows.
                addresses.extend([range.network(), range.broadcast(), address]);
            } else {
                addresses.push(address);
            }
        }
        // Each form of what is there.
        for address in addresses.clone() {
            if let (false, bits) = judged(address) {
                let v4 = u32::try_from(bits).unwrap();
                addresses.push(Ipv4Addr::from(v4).into());
                for high in [0xffff, 0x0064_ff9b << 64, 0, 0x2a00 << 80 | 0x5efe] {
                    addresses.push(Ipv6Addr::from(high << 32 | bits).into());
                }
            }
        }
        Ok(Self { unrestricted, allow, block, addresses })
    }
}

/// An address near a start, or any other.
fn address(u: &mut Unstructured<'_>) -> Result<IpAddr> {
    let start = usize::from(u.arbitrary::<u8>()?);
    let Some(start) = STARTS.get(start) else {
        return if start % 2 == 0 {
            Ok(Ipv4Addr::from(u.arbitrary::<u32>()?).into())
        } else {
            Ok(Ipv6Addr::from(u.arbitrary::<u128>()?).into())
        };
    };
    let offset = u.arbitrary::<i8>()?;
    // The offset in the last byte, or in a byte further up.
    let shift = u32::from(u.arbitrary::<u8>()? % 16) * 8;
    Ok(match start.parse().unwrap() {
        IpAddr::V4(v4) => {
            let offset = i32::from(offset) << (shift % 32);
            v4.to_bits().wrapping_add_signed(offset).into_v4()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from(v6.to_bits().wrapping_add_signed(i128::from(offset) << shift)).into()
        }
    })
}

trait IntoV4 {
    fn into_v4(self) -> IpAddr;
}

impl IntoV4 for u32 {
    fn into_v4(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
}
