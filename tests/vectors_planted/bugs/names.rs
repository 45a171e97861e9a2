//! Server names, and the same grammar where `m.server` is read.

use super::super::case::{host_of, is_literal};
use super::{Bug, finds_by, says, told};

/// What a careless reader makes of a name; `None` where it reads it as everybody does.
type Reading = fn(&str) -> Option<String>;

fn trimmed(name: &str, to: &str) -> Option<String> {
    (to != name).then(|| to.to_owned())
}

fn replaced(name: &str, from: &str, to: &str) -> Option<String> {
    name.contains(from).then(|| name.replace(from, to))
}

fn with_port(name: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (host, port) = name.rsplit_once(':')?;
    (!host.is_empty() && !name.ends_with(']')).then_some(())?;
    read(port).map(|port| format!("{host}:{port}"))
}

/// Without a label that does not suit: `-a` and `a-`.
fn unhyphenated(name: &str) -> Option<String> {
    let labels: Vec<_> = name.split('.').map(|label| label.trim_end_matches('-')).collect();
    trimmed(name, &labels.join("."))
}

fn cut_labels(name: &str) -> Option<String> {
    let labels: Vec<_> = name.split('.').map(|label| label.get(..63).unwrap_or(label)).collect();
    trimmed(name, &labels.join("."))
}

/// An IPv4 address as `inet_aton` reads it: one to four numbers, in three bases.
fn aton(name: &str) -> Option<String> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let parts: Option<Vec<u32>> = name.split('.').map(number).collect();
    let parts = parts.filter(|parts| parts.len() <= 4)?;
    let (last, first) = parts.split_last()?;
    let mut address = *last;
    for (at, part) in first.iter().enumerate() {
        address |= part.checked_shl(u32::try_from(24 - 8 * at).ok()?)?;
    }
    let read = std::net::Ipv4Addr::from_bits(address).to_string();
    trimmed(name, &read)
}

fn aton_of(name: &str, is_it: impl Fn(&str) -> bool) -> Option<String> {
    if is_it(name) { aton(name) } else { None }
}

fn parts(name: &str) -> usize {
    name.split('.').count()
}

fn inside_brackets(name: &str) -> Option<&str> {
    name.strip_prefix('[')?.strip_suffix(']')
}

/// Those that both readers of names may have.
const BOTH: &[(&str, Reading)] = &[
    ("a scheme is dropped", |name| name.strip_prefix("https://").map(str::to_owned)),
    ("a path is dropped", |name| {
        let (host, _) = name.split_once('/').filter(|_| !name.contains("//"))?;
        Some(host.to_owned())
    }),
    ("a user before the host is dropped", |name| {
        let (user, host) = name.split_once('@')?;
        (!user.is_empty()).then(|| host.to_owned())
    }),
    ("an underscore is let through", |name| {
        replaced(name, "_", "-").map(|it| it.replace("-.", "."))
    }),
    ("letters outside ASCII are converted", |name| replaced(name, "b\u{fc}cher", "xn--bcher-kva")),
    ("a colon without a port is dropped", |name| {
        let host = name.strip_suffix(':')?;
        Some(host.to_owned())
    }),
    ("a plus sign before the port is dropped", |name| replaced(name, ":+", ":")),
    ("a space before the port is dropped", |name| replaced(name, ": ", ":")),
    ("port 0 is no port", |name| name.strip_suffix(":0").map(str::to_owned)),
    ("a port of six digits is read", |name| {
        with_port(name, |port| (port.len() > 5).then(|| port.trim_start_matches('0').to_owned()))
    }),
    ("of two ports the last counts", |name| {
        let (rest, port) = name.rsplit_once(':')?;
        let (host, other) = rest.rsplit_once(':')?;
        let digits = !other.is_empty() && other.bytes().all(|it| it.is_ascii_digit());
        (digits && !host.contains(':')).then(|| format!("{host}:{port}"))
    }),
    ("an IPv6 address needs no brackets", |name| {
        name.parse::<std::net::Ipv6Addr>().is_ok().then(|| format!("[{name}]"))
    }),
    ("the zone of an IPv6 address is dropped", |name| {
        let (address, _) = name.split_once('%').filter(|_| name.starts_with('['))?;
        Some(format!("{address}]"))
    }),
    ("an IPv4 address may have brackets", |name| {
        let inside = inside_brackets(name)?;
        inside.parse::<std::net::Ipv4Addr>().is_ok().then(|| inside.to_owned())
    }),
    ("a final dot is dropped", |name| name.strip_suffix('.').map(str::to_owned)),
    ("an empty label is dropped", |name| replaced(name, "..", ".")),
    ("two numbers are an IPv4 address", |name| {
        aton_of(name, |name| parts(name) == 2 && !name.contains('x'))
    }),
    ("one number is an IPv4 address", |name| {
        aton_of(name, |name| parts(name) == 1 && !name.contains('x'))
    }),
    ("hexadecimal numbers are an IPv4 address", |name| aton_of(name, |name| name.contains("0x"))),
    ("octal numbers are an IPv4 address", |name| aton_of(name, |name| parts(name) == 4)),
    ("a hyphen at the end of a label is let through", unhyphenated),
    ("a label of 64 bytes is let through", cut_labels),
];

/// Those that are tried on server names alone.
const SERVER_NAMES: &[(&str, Reading)] = &[
    ("a space behind the name is dropped", |name| trimmed(name, name.trim_end_matches(' '))),
    ("port 8448 is no port", |name| {
        name.strip_suffix(":8448").filter(|it| !it.is_empty() && !is_literal(it)).map(str::to_owned)
    }),
    ("port 1 is none", |name| with_port(name, |port| (port == "1").then(|| "0".to_owned()))),
    ("port 65535 is too large", |name| {
        with_port(name, |port| (port == "65535").then(|| "65536".to_owned()))
    }),
    ("a port with a leading zero is octal", |name| {
        with_port(name, |port| {
            let digits = port.strip_prefix('0').filter(|_| port.len() <= 5)?;
            u16::from_str_radix(digits, 8).ok().map(|port| port.to_string())
        })
    }),
    ("the last bytes of an IPv6 address cannot be written as IPv4", |name| {
        (name.starts_with("[2") && name.contains('.')).then(|| "[x]".to_owned())
    }),
    ("nothing is a name that has no host", |name| name.is_empty().then(|| ".".to_owned())),
    ("a host may be missing before a port", |name| {
        name.starts_with(":8").then(|| format!(".{name}"))
    }),
    ("a user id is read for its server", |name| {
        let (_, server) = name.strip_prefix('@')?.split_once(':')?;
        Some(server.to_owned())
    }),
    ("a NUL ends the name", |name| name.split_once('\0').map(|(name, _)| name.to_owned())),
    ("percent signs are decoded", |name| replaced(name, "%2E", ".")),
    ("an ideographic full stop is a dot", |name| replaced(name, "\u{3002}", ".")),
    ("an asterisk is let through", |name| replaced(name, "*", "x")),
    ("a minus sign before the port is dropped", |name| replaced(name, ":-", ":")),
    ("a service name is a port", |name| name.strip_suffix("https").map(|it| format!("{it}443"))),
    ("a port may be hexadecimal", |name| replaced(name, ":0x2101", ":8449")),
    ("digits outside ASCII are digits", |name| {
        replaced(name, "\u{ff18}\u{ff14}\u{ff14}\u{ff19}", "8449")
    }),
    ("a port that is too large is the largest", |name| replaced(name, ":65536", ":65535")),
    ("a bracket need not be closed", |name| {
        (name.starts_with('[') && !name.contains(']')).then(|| format!("{name}]"))
    }),
    ("what follows a bracket is a port", |name| {
        let (host, port) = name.split_once(']')?;
        port.starts_with(|it: char| it.is_ascii_digit()).then(|| format!("{host}]:{port}"))
    }),
    ("an IPv6 address may have two gaps", |name| {
        let (first, rest) = name.split_once("::")?;
        rest.contains("::").then(|| format!("{first}:{rest}"))
    }),
    ("a group of an IPv6 address may have five digits", |name| {
        (name.starts_with('[') && name.contains(":00")).then(|| name.replace(":00", ":"))
    }),
    ("a name may have brackets", |name| {
        let inside = inside_brackets(name)?;
        inside.ends_with("example").then(|| inside.to_owned())
    }),
    ("a host of 256 bytes is let through", |name| {
        (name.len() == 256).then(|| name[1..].to_owned())
    }),
    ("a host of 255 bytes is too long for the grammar", |name| {
        (name.len() == 255).then(|| format!("a{name}"))
    }),
    ("a host of 254 bytes is let through to DNS", |name| {
        (name.len() == 254).then(|| name[1..].to_owned())
    }),
    ("a host of 253 bytes is too long for DNS", |name| {
        let long = host_of(name).len() == 253;
        long.then(|| format!("a{name}"))
    }),
    ("a final dot before a port is dropped", |name| {
        replaced(name, ".:", ":").filter(|it| !it.starts_with(':'))
    }),
    ("a dot in front is dropped", |name| name.strip_prefix('.').map(str::to_owned)),
    ("a label of 63 bytes is too long", |name| {
        let first = name.split('.').next()?;
        (first.len() == 63).then(|| format!("a{name}"))
    }),
    ("a hyphen in front is let through", |name| name.strip_prefix('-').map(str::to_owned)),
    ("two hyphens are not let through", |name| replaced(name, "--", "-.")),
    ("a label may not begin with a digit", |name| {
        let letters = name.bytes().any(|it| it.is_ascii_lowercase() && it != b'x');
        let digit = name.starts_with(|it: char| it.is_ascii_digit());
        (letters && digit).then(|| format!("-{name}"))
    }),
    ("what begins like a hexadecimal number is one", |name| replaced(name, ".0xg", ".0x0")),
    ("a part over 255 of an IPv4 address wraps round", |name| {
        replaced(name, "1.2.3.256", "1.2.3.0")
    }),
    ("what follows the fourth number of an IPv4 address is dropped", |name| {
        let numbers: Vec<_> = name.split('.').collect();
        let all = numbers.iter().all(|it| it.parse::<u8>().is_ok());
        (all && numbers.len() == 5).then(|| numbers[..4].join("."))
    }),
    ("a last label of digits is let through", |name| replaced(name, "example.7", "example.x7")),
    ("a last label that is hexadecimal is let through", |name| {
        replaced(name, "example.0x7f", "example.x7f")
    }),
    ("a last label that is 0x is let through", |name| replaced(name, "example.0X", "example.x")),
];

/// Those that are tried on `m.server` alone.
const M_SERVERS: &[(&str, Reading)] = &[
    ("an empty name is the host's own", |name| name.is_empty().then(|| "a.example".to_owned())),
    ("a space before the name is dropped", |name| trimmed(name, name.trim_start())),
    ("a line break behind the name is dropped", |name| trimmed(name, name.trim_end_matches('\n'))),
    ("a port over 65535 wraps round", |name| {
        with_port(name, |port| {
            let port: u32 = port.parse().ok().filter(|port| *port > 65_535)?;
            Some((port % 65_536).to_string())
        })
    }),
    ("a name of 254 bytes is let through", |name| {
        (name.len() == 254).then(|| name[1..].to_owned())
    }),
    ("port 8448 is no port", |name| name.strip_suffix(":8448").map(str::to_owned)),
];

pub fn bugs() -> Vec<Bug> {
    let server_names = BOTH.iter().chain(SERVER_NAMES).map(|&(what, reading)| {
        told(format!("server name: {what}"), move |case| {
            if let Some(read) = reading(&case.name) {
                case.name = read;
            }
        })
    });
    let m_servers = BOTH.iter().chain(M_SERVERS).map(|&(what, reading)| {
        told(format!("m.server: {what}"), move |case| case.each_m_server(reading))
    });
    let mut bugs: Vec<_> = server_names.chain(m_servers).collect();
    bugs.extend(literals());
    bugs.extend(explicit_ports());
    bugs
}

fn canonical(host: &str) -> String {
    match host.rsplit_once(']') {
        Some((address, port)) => {
            let address: std::net::Ipv6Addr = address[1..].parse().unwrap();
            format!("[{address}]{port}")
        }
        None => host.to_owned(),
    }
}

/// What can go wrong with `Host` in step 1, and in step 3.1.
pub(super) fn literal_hosts(step: &'static str) -> Vec<Bug> {
    vec![
        finds_by(step, "without a port, port 443 is connected to", |_, target| {
            if host_of(&target.host).len() == target.host.len() {
                target.use_port(443);
            }
        }),
        finds_by(step, "the port is not connected to", |_, target| target.use_port(8448)),
        finds_by(step, "Host is without port 443", |_, target| {
            target.host = target.host.trim_end_matches(":443").to_owned();
        }),
        finds_by(step, "Host has the port without its leading zeros", |_, target| {
            target.host = target.host.replace(":08", ":8");
        }),
        finds_by(step, "Host is without brackets", |_, target| {
            target.host = target.host.replace(['[', ']'], "");
        }),
        finds_by(step, "an IPv6 literal in Host loses its port", |_, target| {
            if let Some((address, _)) = target.host.split_once("]:") {
                target.host = format!("{address}]");
            }
        }),
        finds_by(step, "an IPv6 literal in Host is put into canonical form", |_, target| {
            target.host = canonical(&target.host);
        }),
    ]
}

fn literals() -> Vec<Bug> {
    let mut bugs = literal_hosts("1");
    bugs.extend([
        told("an IP literal is asked for a well-known document", |case| {
            if is_literal(&case.name)
                && let Some(delegated) = case.delegated()
            {
                case.name = delegated;
            }
        }),
        says("an IP literal of a family that is not looked up is not used", |case, seen| {
            let v4 = case.config.addresses == matrix_delegation::config::AddressFamilies::V4;
            if v4 && case.name.starts_with('[') {
                seen.outcome = Err(("no_addresses".to_owned(), Some("1".to_owned())));
            }
        }),
        finds_by("1", "an IP literal is left to the proxy, without an address", |case, target| {
            if case.config.addresses == matrix_delegation::config::AddressFamilies::ByProxy {
                target.endpoints.iter_mut().for_each(|endpoint| endpoint.addresses.clear());
            }
        }),
    ]);
    bugs
}

fn explicit_ports() -> Vec<Bug> {
    let strip_port = |case: &mut super::Case| case.name = host_of(&case.name);
    vec![
        finds_by("2", "Host is without the port", |_, target| {
            target.host = target.host[..host_of(&target.host).len()].to_owned();
        }),
        finds_by("2", "Host is without port 443", |_, target| {
            target.host = target.host.trim_end_matches(":443").to_owned();
        }),
        finds_by("2", "Host is in lower case", |_, target| {
            target.host = target.host.to_ascii_lowercase();
        }),
        told("a name with a port is asked for its well-known document", move |case| {
            if case.has_port() && case.own_page().is_some() {
                strip_port(case);
            }
        }),
        told("a name with a port is asked for the deprecated SRV records", move |case| {
            if case.has_port() && case.has(&super::super::case::old(&case.host())) {
                strip_port(case);
            }
        }),
        told("a name with a port and no address is looked for by SRV", move |case| {
            let host = case.host();
            let none = case.addresses(&host).is_empty();
            if case.has_port() && none && case.has(&super::super::case::fed(&host)) {
                strip_port(case);
            }
        }),
        finds_by("2", "the families do not take turns", |_, target| {
            target.endpoints.iter_mut().for_each(|endpoint| endpoint.addresses.sort());
        }),
        super::mistakes(Some("2"), "no_addresses", "dns_failed"),
    ]
}
