//! Which addresses may be connected to. Server names come from strangers, who choose what their
//! names resolve to. Without a policy, any server name could make this host connect to its own
//! network.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use Reach::{Global, Local};

use crate::core::config::check::Problems;
use crate::core::config::setting::Setting;

/// Decides which addresses may be connected to. By default: those of the public internet.
///
/// Blocked is every block of the IANA special-purpose address registries (IPv4 and IPv6, RFC 6890)
/// that they do not mark globally reachable, multicast, and all IPv6 space that is not given out
/// for global unicast. Where blocks nest the most specific decides, as in the registries.
///
/// IPv4 within IPv6:
/// - IPv4-mapped (`::ffff:0:0/96`) and NAT64 (`64:ff9b::/96`, RFC 6052) addresses are judged as the
///   IPv4 address inside, and ranges within these two blocks are read as the IPv4 ranges inside:
///   `::ffff:10.0.0.0/104` means `10.0.0.0/8` in every form. The two blocks as a whole, and
///   shorter prefixes such as `::/0`, cover none of these addresses: to allow NAT64 is not to allow
///   loopback, and to block the mapped form is not to block IPv4.
/// - 6to4, Teredo, IPv4-compatible and ISATAP (RFC 5214) addresses are blocked whole, whatever is
///   inside.
///
/// [`allow`](Self::allow) beats [`block`](Self::block) and the default. Serialised it is an object
/// of `base` (`public_internet`, `unrestricted`), `allow` and `block` (lists of CIDRs; an address
/// alone is read as a range of one), each optional.
///
/// ```
/// use matrix_delegation::AddressPolicy;
///
/// let policy = AddressPolicy::default();
/// assert!(policy.check("1.1.1.1".parse()?).is_ok());
/// assert!(policy.check("::ffff:10.0.0.1".parse()?).is_err());
///
/// let policy = policy.allow("10.0.0.0/8".parse()?).block("1.1.1.0/24".parse()?);
/// assert!(policy.check("::ffff:10.0.0.1".parse()?).is_ok());
/// assert!(policy.check("1.1.1.1".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct AddressPolicy {
    base: Base,
    /// In the given order, without duplicates, host bits cleared, none strictly within [`MAPPED`]
    /// or [`NAT64`].
    allowed: Vec<IpNet>,
    /// Normalised in the same way.
    blocked: Vec<IpNet>,
}

/// The rule for addresses that neither list contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Base {
    /// [`REGISTRY`] decides.
    #[default]
    PublicInternet,
    /// Everything may be connected to.
    Unrestricted,
}

/// A policy as configurations write it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    base: Base,
    #[serde(deserialize_with = "ranges")]
    allow: Vec<IpNet>,
    #[serde(deserialize_with = "ranges")]
    block: Vec<IpNet>,
}

/// Reads CIDRs and addresses; an address is a range of one.
fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let written = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
    let read = |text: &Cow<'de, str>| {
        let range = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        range.map_err(|_| {
            let expected = "a range such as \"10.0.0.0/8\", or an IP address";
            D::Error::invalid_value(Unexpected::Str(text), &expected)
        })
    };
    written.iter().map(read).collect()
}

/// Why an address is blocked: the range that contains it, and the document that reserves that
/// range.
///
/// ```
/// use matrix_delegation::AddressPolicy;
///
/// let blocked = AddressPolicy::default().check("127.0.0.53".parse()?).unwrap_err();
/// assert_eq!(blocked.to_string(), "127.0.0.0/8 (Loopback, RFC 1122 section 3.2.1.3)");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error, Serialize, Deserialize)]
#[error("{range} ({source_text})")]
pub struct BlockedRange {
    range: IpNet,
    #[serde(rename = "source")]
    source_text: Cow<'static, str>,
}

impl BlockedRange {
    /// Returns the range. For an address that is judged as the IPv4 address inside, it is an IPv4
    /// range; for an ISATAP address, the /96 that ends with the first half of its interface
    /// identifier.
    pub fn range(&self) -> IpNet {
        self.range
    }

    /// Returns the range's name in its registry with the RFC that reserves it, or "the
    /// configuration".
    pub fn source(&self) -> &str {
        &self.source_text
    }

    const fn new(range: IpNet, source: &'static str) -> Self {
        Self { range, source_text: Cow::Borrowed(source) }
    }
}

impl AddressPolicy {
    /// Permits every address that [`block`](Self::block) does not add.
    ///
    /// This is dangerous outside of tests and closed networks. Anyone who can name a Matrix server
    /// then chooses which addresses this host connects to, including itself and the cloud's
    /// metadata service (CVE-2021-21392). [`Allow`](Self::allow) the ranges that are needed
    /// instead.
    ///
    /// ```
    /// use matrix_delegation::AddressPolicy;
    ///
    /// assert!(AddressPolicy::unrestricted().check("127.0.0.1".parse()?).is_ok());
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub const fn unrestricted() -> Self {
        Self { base: Base::Unrestricted, allowed: Vec::new(), blocked: Vec::new() }
    }

    /// Permits addresses in `range`, whatever else blocks them. Host bits are cleared. Default: no
    /// range. Risk: see [`unrestricted`](Self::unrestricted).
    #[must_use]
    pub fn allow(mut self, range: IpNet) -> Self {
        insert(&mut self.allowed, range);
        self
    }

    /// Blocks addresses in `range`, unless they are allowed. Host bits are cleared. Default: no
    /// range besides those of the registries.
    #[must_use]
    pub fn block(mut self, range: IpNet) -> Self {
        insert(&mut self.blocked, range);
        self
    }

    /// Returns whether this address may be connected to; the error is the range that blocks it.
    /// Allocates nothing.
    pub fn check(&self, address: IpAddr) -> Result<(), BlockedRange> {
        let address = inside(address);
        if self.allowed.iter().any(|range| range.contains(&address)) {
            return Ok(());
        }
        if let Some(range) = self.blocked.iter().find(|range| range.contains(&address)) {
            return Err(BlockedRange::new(*range, CONFIGURATION));
        }
        match self.base {
            Base::PublicInternet => check_public(address),
            Base::Unrestricted => Ok(()),
        }
    }

    /// Lists the blocked ranges: those of the configuration, then those of the registries.
    ///
    /// The list does not describe the default in full: ISATAP addresses are no range, and the
    /// registries mark some blocks within these ranges globally reachable.
    pub fn blocked(&self) -> impl Iterator<Item = BlockedRange> + '_ {
        let registries = match self.base {
            Base::PublicInternet => REGISTRY,
            Base::Unrestricted => &[],
        };
        let registries = registries.iter().filter(|entry| entry.reach == Local);
        self.blocked
            .iter()
            .map(|range| BlockedRange::new(*range, CONFIGURATION))
            .chain(registries.map(|entry| BlockedRange::new(entry.range, entry.source)))
    }

    /// Lists the ranges that the configuration allows, whatever else blocks them.
    pub fn allowed(&self) -> impl Iterator<Item = &IpNet> {
        self.allowed.iter()
    }
}

impl Setting for AddressPolicy {
    /// Finds blocked ranges that block nothing: see [`inside_range`]. Allowed ones allow nothing,
    /// which is safe.
    fn find_problems(&self, problems: &mut Problems) {
        for range in &self.blocked {
            if [MAPPED, NAT64].map(IpNet::V6).contains(range) {
                problems.add(
                    "block",
                    format!(
                        "{range} blocks no address: what is in it is judged as IPv4; name the IPv4 \
                         range"
                    ),
                );
            }
        }
    }
}

impl From<Written> for AddressPolicy {
    fn from(written: Written) -> Self {
        let mut policy = Self { base: written.base, ..Self::default() };
        written.allow.into_iter().for_each(|range| insert(&mut policy.allowed, range));
        written.block.into_iter().for_each(|range| insert(&mut policy.blocked, range));
        policy
    }
}

impl From<AddressPolicy> for Written {
    fn from(policy: AddressPolicy) -> Self {
        Self { base: policy.base, allow: policy.allowed, block: policy.blocked }
    }
}

fn insert(ranges: &mut Vec<IpNet>, range: IpNet) {
    let range = inside_range(range.trunc());
    if !ranges.contains(&range) {
        ranges.push(range);
    }
}

/// The source of a range that comes from the configuration.
const CONFIGURATION: &str = "the configuration";
/// The source of a range that ends with an ISATAP interface identifier.
const ISATAP: &str = "ISATAP, RFC 5214 section 6.1";
/// IPv4-mapped addresses (RFC 4291 section 2.5.5.2).
const MAPPED: Ipv6Net = v6_net([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
/// The well-known prefix of NAT64 (RFC 6052 section 2.1).
const NAT64: Ipv6Net = v6_net([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// Returns the address that is judged: the IPv4 address inside, if that is where a connection
/// leads.
fn inside(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if MAPPED.contains(&v6) || NAT64.contains(&v6) => last_four(v6).into(),
        other => other,
    }
}

/// Returns the range of addresses that are judged for those of `range`. The two blocks themselves
/// stay as they are, and so cover no address that is judged.
fn inside_range(range: IpNet) -> IpNet {
    match range {
        IpNet::V6(v6) if v6 == MAPPED || v6 == NAT64 => range,
        IpNet::V6(v6) if MAPPED.contains(&v6) || NAT64.contains(&v6) => {
            let prefix = v6.prefix_len().saturating_sub(96);
            Ipv4Net::new(last_four(v6.addr()), prefix).map_or(range, IpNet::V4)
        }
        other => other,
    }
}

/// Returns the last four bytes.
fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// Checks an address by the registries, whose most specific entry decides (their notes on
/// `192.0.0.0/24` and `2001::/23`). What they do not mention is reachable.
fn check_public(address: IpAddr) -> Result<(), BlockedRange> {
    if let IpAddr::V6(v6) = address
        && let Some(range) = isatap(v6)
    {
        return Err(BlockedRange::new(range, ISATAP));
    }
    let entry = REGISTRY
        .iter()
        .filter(|entry| entry.range.contains(&address))
        .max_by_key(|entry| entry.range.prefix_len());
    match entry {
        Some(entry) if entry.reach == Local => Err(BlockedRange::new(entry.range, entry.source)),
        _ => Ok(()),
    }
}

/// Returns the range of an ISATAP address: any prefix of 64 bits, then the interface identifier
/// `00-00-5E-FE` or, with the universal bit set, `02-00-5E-FE`. The IPv4 address follows.
fn isatap(address: Ipv6Addr) -> Option<IpNet> {
    match address.segments() {
        [a, b, c, d, flags @ (0 | 0x0200), 0x5efe, _, _] => {
            Some(IpNet::V6(v6_net([a, b, c, d, flags, 0x5efe, 0, 0], 96)))
        }
        _ => None,
    }
}

/// A block of a registry.
struct Entry {
    range: IpNet,
    reach: Reach,
    /// Its name and the RFC that reserves it.
    source: &'static str,
}

/// The column "Globally Reachable" of a registry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// "True".
    Global,
    /// "False", "N/A" or nothing.
    Local,
}

#[expect(clippy::many_single_char_names, reason = "the eight groups have no other names")]
const fn v6_net(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

const fn v4(octets: [u8; 4], prefix: u8, reach: Reach, source: &'static str) -> Entry {
    let [a, b, c, d] = octets;
    let net = Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix);
    Entry { range: IpNet::V4(net), reach, source }
}

const fn v6(segments: [u16; 8], prefix: u8, reach: Reach, source: &'static str) -> Entry {
    Entry { range: IpNet::V6(v6_net(segments, prefix)), reach, source }
}

/// The entries, in this order: the IANA IPv4 Special-Purpose Address Registry; the IANA IPv6 one,
/// without its entries of [`MAPPED`] and [`NAT64`], whose addresses are judged as IPv4; and by RFC
/// 4291 and the IANA IPv6 address space registry what neither lists, which is all but `2000::/3`.
#[rustfmt::skip]
const REGISTRY: &[Entry] = &[
    v4([0, 0, 0, 0], 8, Local, "This network, RFC 791 section 3.2"),
    v4([0, 0, 0, 0], 32, Local, "This host on this network, RFC 1122 section 3.2.1.3"),
    v4([10, 0, 0, 0], 8, Local, "Private-Use, RFC 1918"),
    v4([100, 64, 0, 0], 10, Local, "Shared Address Space, RFC 6598"),
    v4([127, 0, 0, 0], 8, Local, "Loopback, RFC 1122 section 3.2.1.3"),
    v4([169, 254, 0, 0], 16, Local, "Link Local, RFC 3927"),
    v4([172, 16, 0, 0], 12, Local, "Private-Use, RFC 1918"),
    v4([192, 0, 0, 0], 24, Local, "IETF Protocol Assignments, RFC 6890 section 2.1"),
    v4([192, 0, 0, 0], 29, Local, "IPv4 Service Continuity Prefix, RFC 7335"),
    v4([192, 0, 0, 8], 32, Local, "IPv4 dummy address, RFC 7600"),
    v4([192, 0, 0, 9], 32, Global, "Port Control Protocol Anycast, RFC 7723"),
    v4([192, 0, 0, 10], 32, Global, "Traversal Using Relays around NAT Anycast, RFC 8155"),
    v4([192, 0, 0, 170], 32, Local, "NAT64/DNS64 Discovery, RFC 8880"),
    v4([192, 0, 0, 171], 32, Local, "NAT64/DNS64 Discovery, RFC 8880"),
    v4([192, 0, 2, 0], 24, Local, "Documentation (TEST-NET-1), RFC 5737"),
    v4([192, 31, 196, 0], 24, Global, "AS112-v4, RFC 7535"),
    v4([192, 52, 193, 0], 24, Global, "AMT, RFC 7450"),
    v4([192, 88, 99, 0], 24, Local, "Deprecated (6to4 Relay Anycast), RFC 7526"),
    v4([192, 88, 99, 2], 32, Local, "6a44-relay anycast address, RFC 6751"),
    v4([192, 168, 0, 0], 16, Local, "Private-Use, RFC 1918"),
    v4([192, 175, 48, 0], 24, Global, "Direct Delegation AS112 Service, RFC 7534"),
    v4([198, 18, 0, 0], 15, Local, "Benchmarking, RFC 2544"),
    v4([198, 51, 100, 0], 24, Local, "Documentation (TEST-NET-2), RFC 5737"),
    v4([203, 0, 113, 0], 24, Local, "Documentation (TEST-NET-3), RFC 5737"),
    v4([240, 0, 0, 0], 4, Local, "Reserved, RFC 1112 section 4"),
    v4([255, 255, 255, 255], 32, Local, "Limited Broadcast, RFC 919 section 7"),

    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Local, "Loopback Address, RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Local, "Unspecified Address, RFC 4291"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Local, "IPv4-IPv6 Translat., RFC 8215"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Local, "Discard-Only Address Block, RFC 6666"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Local, "Dummy IPv6 Prefix, RFC 9780"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Local, "IETF Protocol Assignments, RFC 2928"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Local, "TEREDO, RFC 4380"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, Global, "Port Control Protocol Anycast, RFC 7723"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, Global, "Traversal Using Relays around NAT Anycast, RFC 8155"),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, Global, "DNS-SD Service Registration Protocol Anycast, RFC 9665"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Local, "Benchmarking, RFC 5180"),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, Global, "AMT, RFC 7450"),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, Global, "AS112-v6, RFC 7535"),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, Local, "Deprecated (previously ORCHID), RFC 4843"),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, Global, "ORCHIDv2, RFC 7343"),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, Global, "Drone Remote ID Protocol Entity Tags, RFC 9374"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Local, "Documentation, RFC 3849"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Local, "6to4, RFC 3056"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Global, "Direct Delegation AS112 Service, RFC 7534"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Local, "Documentation, RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Local, "Segment Routing (SRv6) SIDs, RFC 9602"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Local, "Unique-Local, RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Local, "Link-Local Unicast, RFC 4291"),

    v4([224, 0, 0, 0], 4, Local, "Multicast, RFC 5771"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, Local, "IPv4-compatible, RFC 4291 section 2.5.5.1"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 8, Local, "Reserved by IETF, RFC 4291"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 8, Local, "Reserved by IETF, RFC 4291"),
    v6([0x200, 0, 0, 0, 0, 0, 0, 0], 7, Local, "Reserved by IETF, RFC 4048"),
    v6([0x400, 0, 0, 0, 0, 0, 0, 0], 6, Local, "Reserved by IETF, RFC 4291"),
    v6([0x800, 0, 0, 0, 0, 0, 0, 0], 5, Local, "Reserved by IETF, RFC 4291"),
    v6([0x1000, 0, 0, 0, 0, 0, 0, 0], 4, Local, "Reserved by IETF, RFC 4291"),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 3, Local, "Reserved by IETF, RFC 4291"),
    v6([0x6000, 0, 0, 0, 0, 0, 0, 0], 3, Local, "Reserved by IETF, RFC 4291"),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 3, Local, "Reserved by IETF, RFC 4291"),
    v6([0xa000, 0, 0, 0, 0, 0, 0, 0], 3, Local, "Reserved by IETF, RFC 4291"),
    v6([0xc000, 0, 0, 0, 0, 0, 0, 0], 3, Local, "Reserved by IETF, RFC 4291"),
    v6([0xe000, 0, 0, 0, 0, 0, 0, 0], 4, Local, "Reserved by IETF, RFC 4291"),
    v6([0xf000, 0, 0, 0, 0, 0, 0, 0], 5, Local, "Reserved by IETF, RFC 4291"),
    v6([0xf800, 0, 0, 0, 0, 0, 0, 0], 6, Local, "Reserved by IETF, RFC 4291"),
    v6([0xfe00, 0, 0, 0, 0, 0, 0, 0], 9, Local, "Reserved by IETF, RFC 4291"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Local, "Site-local, deprecated, RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Local, "Multicast, RFC 4291 section 2.7"),
];
