//! Spellings of hosts, and what each is as a server name and in a URL.

use matrix_delegation::names::{NotAHostName, ServerNameErrorKind};

use crate::row::UrlFault;

/// A spelling of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    pub(crate) rule: &'static str,
    pub(crate) text: &'static str,
    pub(crate) as_name: AsName,
    pub(crate) as_url: AsUrl,
}

/// What a spelling is as a server name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsName {
    /// This address.
    Literal(&'static str),
    /// A name, which DNS says is at this address.
    Dns(&'static str),
    /// The name of no host.
    NoHost(NotAHostName),
    /// No server name.
    Grammar(ServerNameErrorKind),
}

/// What a spelling is as the host of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsUrl {
    /// This address.
    Literal(&'static str),
    /// This name, which DNS says is at this address.
    Dns(&'static str, &'static str),
    /// The redirect is not followed.
    Refused(UrlFault),
    /// It is not the host that is spelled: the URL's is `b.example`.
    Elsewhere,
    /// No header can carry it.
    NoHeader,
}

use self::AsName::{Dns as N, Grammar as G, Literal as L, NoHost as H};
use self::AsUrl::{Dns as UN, Elsewhere, Literal as U, NoHeader, Refused as R};
use NotAHostName::{EmptyLabel, LooksLikeAnAddress as Number, TrailingDot};
use ServerNameErrorKind::{
    AfterBracket, ByteOrderMark, HostCharacter as Char, Ipv6Character as V6Char, Ipv6TooLong,
    Ipv6WithoutBrackets as Bare, MissingPort, NotAscii, NotIpv6, PortCharacter, PortTooLarge,
    PortTooLong, PortZero, UnclosedBracket,
};
use UrlFault::{Credentials, NotAHost, NotAUrl};

/// An address in each block of the special-purpose registries and in multicast, in the usual spelling.
pub(crate) const V4: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
];

/// IPv6 without its brackets, each form that has IPv4 inside among it.
pub(crate) const V6: &[&str] = &[
    "::",
    "::1",
    // IPv4-compatible, IPv4-mapped, and translated (SIIT).
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    // NAT64: the well-known prefix, and the local one with the IPv4 address in both of its places.
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1:7f00:0:100::",
    "100::1",
    "100:0:0:1::1",
    // Teredo: a server on loopback, and a client there.
    "2001:0:7f00:1::1",
    "2001:0:101:101::80ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    // 6to4.
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    // ISATAP, without and with the universal bit, and link-local.
    "2a00::5efe:127.0.0.1",
    "2a00::200:5efe:10.0.0.1",
    "fe80::5efe:192.168.1.1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::101",
];

const fn row(rule: &'static str, text: &'static str, as_name: AsName, as_url: AsUrl) -> Spelling {
    Spelling { rule, text, as_name, as_url }
}

/// What the C library reads as IPv4 and the URL standard reads, too.
const SHORT: &[Spelling] = &[
    row("two parts", "127.1", H(Number), U("127.0.0.1")),
    row("three parts", "127.0.1", H(Number), U("127.0.0.1")),
    row("one number", "2130706433", H(Number), U("127.0.0.1")),
    row("one number, private", "3232235777", H(Number), U("192.168.1.1")),
    row("one number, metadata", "2852039166", H(Number), U("169.254.169.254")),
    row("the largest number", "4294967295", H(Number), U("255.255.255.255")),
    row("zero", "0", H(Number), U("0.0.0.0")),
    row("hexadecimal zero", "0x0", H(Number), U("0.0.0.0")),
    row("hexadecimal without digits", "0x", H(Number), U("0.0.0.0")),
    row("two parts, private", "10.1", H(Number), U("10.0.0.1")),
    row("the last part fills the rest", "10.65793", H(Number), U("10.1.1.1")),
    row("three parts, the last of 16 bits", "192.168.257", H(Number), U("192.168.1.1")),
    row("hexadecimal, two parts", "0x7f.1", H(Number), U("127.0.0.1")),
    row("hexadecimal, one number", "0x7f000001", H(Number), U("127.0.0.1")),
    row("hexadecimal, upper case", "0X7F.0.0.1", H(Number), U("127.0.0.1")),
    row("hexadecimal in each part", "0x7f.0x0.0x0.0x1", H(Number), U("127.0.0.1")),
    row("hexadecimal in the last part", "127.0.0.0x1", H(Number), U("127.0.0.1")),
    row("hexadecimal, metadata", "0xa9fea9fe", H(Number), U("169.254.169.254")),
    row("hexadecimal with zeros before", "0x000000007f.1", H(Number), U("127.0.0.1")),
    row("octal in the first part", "0177.0.0.1", H(Number), U("127.0.0.1")),
    row("octal, one number", "017700000001", H(Number), U("127.0.0.1")),
    row("octal, two parts", "0177.1", H(Number), U("127.0.0.1")),
    row("octal in the last part", "127.0.0.01", H(Number), U("127.0.0.1")),
    row("octal in each part", "0251.0376.0251.0376", H(Number), U("169.254.169.254")),
    row("octal that is public as decimal", "012.0.0.1", H(Number), U("10.0.0.1")),
    row("all bases", "0x7f.0.00.01", H(Number), U("127.0.0.1")),
    row("two zeros", "00.0.0.0", H(Number), U("0.0.0.0")),
    row("a final dot", "127.0.0.1.", H(TrailingDot), U("127.0.0.1")),
    row("two parts and a final dot", "127.1.", H(TrailingDot), U("127.0.0.1")),
    row("one number and a final dot", "2130706433.", H(TrailingDot), U("127.0.0.1")),
    row("two final dots", "127.0.0.1..", H(TrailingDot), R(NotAHost)),
    row("an empty part", "127..0.1", H(EmptyLabel), R(NotAUrl)),
    row("a dot first", ".127.0.0.1", H(EmptyLabel), R(NotAUrl)),
    row("a part too large", "127.0.0.256", H(Number), R(NotAUrl)),
    row("wrapping at 8 bits", "383.0.0.1", H(Number), R(NotAUrl)),
    row("wrapping at 32 bits", "6425673729", H(Number), R(NotAUrl)),
    row("five parts", "127.0.0.1.1", H(Number), R(NotAUrl)),
    row("octal with a digit that is none", "127.0.0.08", H(Number), R(NotAUrl)),
    row("a number as the last label", "a.example.1", H(Number), R(NotAUrl)),
    row("a hexadecimal number as the last label", "a.example.0x7f", H(Number), R(NotAUrl)),
];

/// Text around an address, or other characters in its place.
const DISGUISED: &[Spelling] = &[
    row("fullwidth digits", "\u{ff11}\u{ff12}\u{ff17}.0.0.1", G(NotAscii), U("127.0.0.1")),
    row("fullwidth full stops", "127\u{ff0e}0\u{ff0e}0\u{ff0e}1", G(NotAscii), U("127.0.0.1")),
    row("ideographic full stops", "127\u{3002}0\u{3002}0\u{3002}1", G(NotAscii), U("127.0.0.1")),
    row("halfwidth full stops", "127\u{ff61}0\u{ff61}0\u{ff61}1", G(NotAscii), U("127.0.0.1")),
    row("an ideographic final dot", "127.0.0.1\u{3002}", G(NotAscii), U("127.0.0.1")),
    row("circled digits", "\u{2460}\u{2461}\u{2466}.0.0.1", G(NotAscii), U("127.0.0.1")),
    row("superscript digits", "\u{b9}\u{b2}\u{2077}.1", G(NotAscii), U("127.0.0.1")),
    row("mathematical digits", "\u{1d7cf}\u{1d7d0}\u{1d7d5}.0.0.1", G(NotAscii), U("127.0.0.1")),
    row("a fullwidth x", "0\u{ff58}7f.1", G(NotAscii), U("127.0.0.1")),
    row("a soft hyphen", "127.0.0\u{ad}.1", G(NotAscii), U("127.0.0.1")),
    row("a zero-width space", "127.0.0.\u{200b}1", G(NotAscii), U("127.0.0.1")),
    row("a word joiner", "12\u{2060}7.0.0.1", G(NotAscii), U("127.0.0.1")),
    row("Arabic digits", "\u{661}\u{662}\u{667}.0.0.1", G(NotAscii), R(NotAUrl)),
    row("a dot leader", "127\u{2024}0.0.1", G(NotAscii), R(NotAUrl)),
    row("percent-encoded digits", "%31%32%37.0.0.1", G(Char), U("127.0.0.1")),
    row("percent-encoded dots", "127%2e0%2E0%2e1", G(Char), U("127.0.0.1")),
    row("percent-encoded fullwidth", "%EF%BC%91%EF%BC%92%EF%BC%97.1", G(Char), U("127.0.0.1")),
    row("encoded twice", "%2531%2532%2537.0.0.1", G(Char), R(NotAUrl)),
    row("an encoded NUL", "127.0.0.1%00", G(Char), R(NotAUrl)),
    row("an encoded space", "127.0.0.1%20", G(Char), R(NotAUrl)),
    row("an encoded zone", "127.0.0.1%25lo", G(Char), R(NotAUrl)),
    row("a zone", "127.0.0.1%lo", G(Char), R(NotAUrl)),
    row("a space before", " 127.0.0.1", G(Char), R(NotAUrl)),
    row("a space after", "127.0.0.1 ", G(Char), R(NotAUrl)),
    row("a tab within", "127.0.\t0.1", G(Char), U("127.0.0.1")),
    row("a line feed after", "127.0.0.1\n", G(Char), NoHeader),
    row("a carriage return after", "127.0.0.1\r", G(Char), NoHeader),
    row("a NUL after", "127.0.0.1\0", G(Char), NoHeader),
    row("a byte order mark", "\u{feff}127.0.0.1", G(ByteOrderMark), U("127.0.0.1")),
    row("a sign", "+127.0.0.1", G(Char), R(NotAUrl)),
    row("an underscore between digits", "127_0_0_1", G(Char), UN("127_0_0_1", "127.0.0.1")),
    row("parentheses", "(127.0.0.1)", G(Char), R(NotAHost)),
    row("quotation marks", "\"127.0.0.1\"", G(Char), R(NotAHost)),
    row("a backslash", "127.0.0.1\\", G(Char), U("127.0.0.1")),
    row("a backslash before a good host", "127.0.0.1\\@b.example", G(Char), U("127.0.0.1")),
    row("a path", "127.0.0.1/", G(Char), U("127.0.0.1")),
    row("a query", "127.0.0.1?", G(Char), U("127.0.0.1")),
    row("a fragment", "127.0.0.1#", G(Char), U("127.0.0.1")),
    row("a fragment with a good host", "127.0.0.1#b.example", G(Char), U("127.0.0.1")),
    row("a user", "user@127.0.0.1", G(Char), R(Credentials)),
    row("a user and a password", "user:password@127.0.0.1", G(PortCharacter), R(Credentials)),
    row("a good host as the user", "b.example@127.0.0.1", G(Char), R(Credentials)),
    row("a good host and port as user", "b.example:443@127.1", G(PortCharacter), R(Credentials)),
    row("an at sign alone", "@127.0.0.1", G(Char), R(Credentials)),
    row("two at signs", "b.example@127.0.0.1@127.0.0.1", G(Char), R(Credentials)),
    row("an address as the user", "127.0.0.1@b.example", G(Char), R(Credentials)),
    row("an encoded at sign", "b.example%40127.0.0.1", G(Char), R(NotAUrl)),
    row("an at sign in a fragment", "b.example#@127.0.0.1", G(Char), Elsewhere),
    row("an at sign in a path", "b.example/@127.0.0.1", G(Char), Elsewhere),
    row("an at sign behind a backslash", "b.example\\@127.0.0.1", G(Char), Elsewhere),
    row("an at sign in a query", "b.example?@127.0.0.1", G(Char), Elsewhere),
    row("an empty port", "127.0.0.1:", G(MissingPort), U("127.0.0.1")),
    row("port 0", "127.0.0.1:0", G(PortZero), R(UrlFault::PortZero)),
    row("a port too large", "127.0.0.1:65536", G(PortTooLarge), R(NotAUrl)),
    row("a port of six digits", "127.0.0.1:000443", G(PortTooLong), U("127.0.0.1")),
    row("a port with a sign", "127.0.0.1:+443", G(PortCharacter), R(NotAUrl)),
    row("two ports", "127.0.0.1:443:443", G(PortCharacter), R(NotAUrl)),
    row("fullwidth digits as a port", "127.0.0.1:\u{ff14}43", G(NotAscii), R(NotAUrl)),
    row("a scheme", "https://127.0.0.1", G(PortCharacter), UN("https", "10.0.0.1")),
];

/// IPv6 in other spellings, or not quite.
const BRACKETED: &[Spelling] = &[
    row("IPv6 in full", "[0:0:0:0:0:0:0:1]", L("::1"), U("::1")),
    row("IPv6 with all zeros", "[0000:0000:0000:0000:0000:0000:0000:0001]", L("::1"), U("::1")),
    row("IPv6 half short", "[0::1]", L("::1"), U("::1")),
    row("IPv6 unspecified, half short", "[0::0]", L("::"), U("::")),
    row("mapped in hexadecimal", "[::ffff:7f00:1]", L("::ffff:127.0.0.1"), U("::ffff:127.0.0.1")),
    row(
        "mapped, upper case",
        "[::FFFF:A9FE:A9FE]",
        L("::ffff:169.254.169.254"),
        U("::ffff:169.254.169.254"),
    ),
    row(
        "mapped, the longest",
        "[0000:0000:0000:0000:0000:ffff:192.168.100.100]",
        L("::ffff:192.168.100.100"),
        U("::ffff:192.168.100.100"),
    ),
    row("mapped, this host", "[::ffff:0:0]", L("::ffff:0.0.0.0"), U("::ffff:0.0.0.0")),
    row("compatible in hexadecimal", "[::7f00:1]", L("::127.0.0.1"), U("::127.0.0.1")),
    row(
        "NAT64 in hexadecimal",
        "[64:ff9b::7f00:1]",
        L("64:ff9b::127.0.0.1"),
        U("64:ff9b::127.0.0.1"),
    ),
    row(
        "NAT64 in full",
        "[0064:FF9B:0:0:0:0:a00:1]",
        L("64:ff9b::10.0.0.1"),
        U("64:ff9b::10.0.0.1"),
    ),
    row("6to4, upper case", "[2002:C0A8:0101::]", L("2002:c0a8:101::"), U("2002:c0a8:101::")),
    row("6to4 with dots", "[2002::127.0.0.1]", L("2002::127.0.0.1"), U("2002::127.0.0.1")),
    row(
        "ISATAP in hexadecimal",
        "[fe80::5efe:a00:1]",
        L("fe80::5efe:10.0.0.1"),
        U("fe80::5efe:10.0.0.1"),
    ),
    row("a zone", "[fe80::1%eth0]", G(V6Char), R(NotAUrl)),
    row("an encoded zone", "[fe80::1%25eth0]", G(V6Char), R(NotAUrl)),
    row("a zone by number", "[fe80::1%1]", G(V6Char), R(NotAUrl)),
    row("a zone of loopback", "[::1%lo]", G(V6Char), R(NotAUrl)),
    row("an empty zone", "[::1%]", G(V6Char), R(NotAUrl)),
    row("mapped with two parts", "[::ffff:127.1]", G(NotIpv6), R(NotAUrl)),
    row("mapped with a hexadecimal part", "[::ffff:0x7f.0.0.1]", G(V6Char), R(NotAUrl)),
    row("mapped with an octal part", "[::ffff:0177.0.0.1]", G(NotIpv6), R(NotAUrl)),
    row("mapped with one number", "[::ffff:2130706433]", G(NotIpv6), R(NotAUrl)),
    row("mapped with a final dot", "[::ffff:127.0.0.1.]", G(NotIpv6), R(NotAUrl)),
    row("IPv4 in brackets", "[127.0.0.1]", G(NotIpv6), R(NotAUrl)),
    row("a name in brackets", "[localhost]", G(V6Char), R(NotAUrl)),
    row("brackets with nothing", "[]", G(NotIpv6), R(NotAUrl)),
    row("two short forms", "[0::0::1]", G(NotIpv6), R(NotAUrl)),
    row("nine groups", "[0:0:0:0:0:0:0:0:1]", G(NotIpv6), R(NotAUrl)),
    row("a group of five digits", "[::00001]", G(NotIpv6), R(NotAUrl)),
    row(
        "46 characters",
        "[0000:0000:0000:0000:0000:00ffff:192.168.100.10]",
        G(Ipv6TooLong),
        R(NotAUrl),
    ),
    row("a future version", "[v1.::1]", G(V6Char), R(NotAUrl)),
    row("an open bracket", "[::1", G(UnclosedBracket), R(NotAUrl)),
    row("two brackets", "[[::1]]", G(V6Char), R(NotAUrl)),
    row("text after the bracket", "[::1].example", G(AfterBracket), R(NotAUrl)),
    row("a dot after the bracket", "[::1].", G(AfterBracket), R(NotAUrl)),
    row("text before the bracket", "a[::1]", G(Char), R(NotAUrl)),
    row("no brackets", "::1", G(Bare), R(NotAUrl)),
    row("no brackets, mapped", "::ffff:127.0.0.1", G(Bare), R(NotAUrl)),
    row("encoded brackets", "%5B::1%5D", G(Char), R(NotAUrl)),
    row("fullwidth brackets", "\u{ff3b}::1\u{ff3d}", G(NotAscii), R(NotAUrl)),
    row("a fullwidth digit", "[::\u{ff11}]", G(NotAscii), R(NotAUrl)),
    row("an encoded digit", "[::%31]", G(V6Char), R(NotAUrl)),
    row("a space within", "[::1 ]", G(V6Char), R(NotAUrl)),
];

/// Names that lead there.
const NAMES: &[Spelling] = &[
    row("localhost", "localhost", N("127.0.0.1"), UN("localhost", "127.0.0.1")),
    row("localhost, upper case", "LOCALHOST", N("127.0.0.1"), UN("localhost", "127.0.0.1")),
    row("localhost, mixed case", "LocalHost", N("127.0.0.1"), UN("localhost", "127.0.0.1")),
    row("below localhost", "hs.localhost", N("127.0.0.1"), UN("hs.localhost", "127.0.0.1")),
    row(
        "far below localhost",
        "a.b.c.LocalHost",
        N("127.0.0.1"),
        UN("a.b.c.localhost", "127.0.0.1"),
    ),
    row("localhost with a final dot", "localhost.", H(TrailingDot), UN("localhost", "127.0.0.1")),
    row("localhost with two final dots", "localhost..", H(TrailingDot), R(NotAHost)),
    row("an underscore below localhost", "_a.localhost", G(Char), UN("_a.localhost", "127.0.0.1")),
    row("an underscore alone", "_internal", G(Char), UN("_internal", "10.0.0.1")),
    row("localhost in a circle", "\u{24db}ocalhost", G(NotAscii), UN("localhost", "127.0.0.1")),
    row("localhost in fullwidth", "\u{ff4c}ocalhost", G(NotAscii), UN("localhost", "127.0.0.1")),
    row("localhost with a long s", "localho\u{17f}t", G(NotAscii), UN("localhost", "127.0.0.1")),
    row("localhost encoded", "loc%61lhost", G(Char), UN("localhost", "127.0.0.1")),
    row(
        "localhost with a soft hyphen",
        "local\u{ad}host",
        G(NotAscii),
        UN("localhost", "127.0.0.1"),
    ),
    row("localhost and a user", "user@localhost", G(Char), R(Credentials)),
    row(
        "localhost.localdomain",
        "localhost.localdomain",
        N("127.0.0.1"),
        UN("localhost.localdomain", "127.0.0.1"),
    ),
    row("a name of IPv6 loopback", "ip6-localhost", N("::1"), UN("ip6-localhost", "::1")),
    row(
        "the address in a name",
        "127.0.0.1.nip.example",
        N("127.0.0.1"),
        UN("127.0.0.1.nip.example", "127.0.0.1"),
    ),
    row(
        "a short address in a name",
        "0x7f.1.example",
        N("127.0.0.1"),
        UN("0x7f.1.example", "127.0.0.1"),
    ),
    row("a name like an address", "127.0.0.1a", N("127.0.0.1"), UN("127.0.0.1a", "127.0.0.1")),
    row("a name like hexadecimal", "0x7g", N("127.0.0.1"), UN("0x7g", "127.0.0.1")),
    row("a name like a number with an exponent", "1e1", N("10.0.0.1"), UN("1e1", "10.0.0.1")),
    row(
        "the cloud's metadata",
        "metadata.google.internal",
        N("169.254.169.254"),
        UN("metadata.google.internal", "169.254.169.254"),
    ),
    row("a name of one label", "intranet", N("10.0.0.1"), UN("intranet", "10.0.0.1")),
    row("a name of mDNS", "printer.local", N("169.254.7.7"), UN("printer.local", "169.254.7.7")),
    row(
        "a name of a home",
        "router.home.arpa",
        N("192.168.1.1"),
        UN("router.home.arpa", "192.168.1.1"),
    ),
    row("a public name", "private.example", N("172.16.0.1"), UN("private.example", "172.16.0.1")),
    row(
        "a public name of mapped IPv4",
        "mapped.example",
        N("::ffff:127.0.0.1"),
        UN("mapped.example", "::ffff:127.0.0.1"),
    ),
    row("an empty label", "a..localhost", H(EmptyLabel), R(NotAHost)),
    row("a hyphen", "-a.localhost", H(NotAHostName::Hyphen), R(NotAHost)),
    row("an asterisk", "*.localhost", G(Char), R(NotAHost)),
];

/// Every spelling that is not the usual one.
pub(crate) fn odd() -> impl Iterator<Item = Spelling> {
    [SHORT, DISGUISED, BRACKETED, NAMES].into_iter().flatten().copied()
}

/// The usual spelling of every address.
pub(crate) fn usual() -> impl Iterator<Item = (String, &'static str)> {
    let v4 = V4.iter().map(|it| ((*it).to_owned(), *it));
    v4.chain(V6.iter().map(|it| (format!("[{it}]"), *it)))
}
