//! Server names.
//!
//! Invariant: bytes are a server name exactly if the grammar of the specification's appendix says
//! so, read a second time byte by byte. What is read keeps its spelling, and that spelling is its
//! identity: it is shown, compared, hashed, ordered and serialised as the text is. A host can be
//! made of it exactly if DNS can be asked for it and no program would read an address in it; then
//! TLS, `http` and the URL standard take the same host. An error stands at a byte that deserves it.
//!
//! Input: two names with a line feed between them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use http::uri::Authority;
use matrix_delegation::ServerName;
use matrix_delegation::names::{Host, HostRef, ServerNameError, ServerNameErrorKind as Kind};
use rustls_pki_types::ServerName as TlsName;

use crate::oracle;

/// Checks one input.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (one, other) = match end {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b"a.example"[..]),
    };
    let (one, other) = (read(one), read(other));
    if let (Some(one), Some(other)) = (one, other) {
        assert_eq!(one == other, one.as_str() == other.as_str());
        assert_eq!(one.cmp(&other), one.as_str().cmp(other.as_str()));
        assert_eq!(one.partial_cmp(&other), Some(one.cmp(&other)));
    }
}

fn read(bytes: &[u8]) -> Option<ServerName> {
    let parsed = ServerName::parse(bytes);
    let text = std::str::from_utf8(bytes).ok();
    if let Some(text) = text {
        assert_eq!(text.parse(), parsed);
        assert_eq!(ServerName::try_from(text.to_owned()), parsed);
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(serde_json::from_str::<ServerName>(&json).ok(), parsed.clone().ok());
    }
    match (oracle::server_name(bytes), parsed) {
        (None, Err(error)) => {
            check_error(bytes, &error);
            None
        }
        (Some(expected), Ok(name)) => {
            check_name(bytes, &expected, &name);
            Some(name)
        }
        (expected, parsed) => panic!("{text:?}: {parsed:?} instead of {expected:?}"),
    }
}

fn check_error(bytes: &[u8], error: &ServerNameError) {
    let at = error.at();
    assert!(at <= bytes.len());
    let byte = bytes.get(at).copied();
    let deserved = match error.kind() {
        Kind::Empty => bytes.is_empty(),
        Kind::NotAscii => byte.is_some_and(|byte| !byte.is_ascii()),
        Kind::HostCharacter | Kind::Ipv6Character | Kind::AfterBracket => {
            byte.is_some_and(|byte| byte.is_ascii())
        }
        Kind::PortCharacter => byte.is_some_and(|byte| byte.is_ascii() && !byte.is_ascii_digit()),
        Kind::MissingHost => at == 0 && byte == Some(b':'),
        Kind::MissingPort => at == bytes.len() && bytes.ends_with(b":"),
        Kind::UnclosedBracket => at == bytes.len() && !bytes.contains(&b']'),
        Kind::HostTooLong => at == 255,
        Kind::Ipv6TooLong => at == 46,
        Kind::NotIpv6 => at == 1,
        Kind::Ipv6WithoutBrackets => oracle::ipv6(bytes).is_some(),
        Kind::PortTooLong => bytes[at - 5..=at].iter().all(u8::is_ascii_digit),
        Kind::PortZero => bytes[at..].iter().all(|byte| *byte == b'0'),
        Kind::PortTooLarge => bytes[at..].len() == 5 && bytes[at] >= b'6',
        other => panic!("unknown kind {other:?}"),
    };
    assert!(deserved, "{error:?}");
    let json = serde_json::to_string(&error).unwrap();
    assert_eq!(serde_json::from_str::<ServerNameError>(&json).unwrap(), *error);
}

fn check_name(bytes: &[u8], expected: &oracle::Name, name: &ServerName) {
    assert_eq!(name.as_str().as_bytes(), bytes);
    assert_eq!(name.to_string().as_bytes(), bytes);
    assert_eq!(ServerName::parse(name.to_string()).as_ref(), Ok(name));
    assert_eq!(hash(name), hash(name.as_str()));
    let json = serde_json::to_string(name).unwrap();
    assert_eq!(json, format!("\"{name}\""));
    assert_eq!(&serde_json::from_str::<ServerName>(&json).unwrap(), name);
    assert_eq!(&serde_json::from_slice::<ServerName>(json.as_bytes()).unwrap(), name);

    let host = &bytes[..expected.host_len];
    assert_eq!(name.host_str().as_bytes(), host);
    assert_eq!(name.port(), expected.port);
    assert_eq!(name.is_ip_literal(), expected.address.is_some());
    let address = match name.host() {
        HostRef::Ipv4(address) => Some(IpAddr::V4(address)),
        HostRef::Ipv6(address) => Some(IpAddr::V6(address)),
        HostRef::Dns(text) => {
            assert_eq!(text.as_bytes(), host);
            None
        }
    };
    assert_eq!(address, expected.address);

    let usable = address.is_some() || oracle::is_host_name(host, false);
    let made = name.to_host();
    assert_eq!(made.is_ok(), usable, "{made:?}");
    let (tls, authority) = (TlsName::try_from(name), Authority::try_from(name));
    let url = url::Host::try_from(name);
    match made {
        Err(error) => {
            assert_eq!(tls.as_ref(), Err(&error));
            assert_eq!(authority.as_ref(), Err(&error));
            assert_eq!(url.as_ref(), Err(&error));
        }
        Ok(made) => {
            assert_eq!(made.as_ip(), address);
            if let Host::Dns(dns) = &made {
                assert_eq!(dns.as_str().as_bytes(), host.to_ascii_lowercase());
            }
            let tls = tls.unwrap();
            assert_eq!(tls, made.tls_name());
            assert_eq!(matches!(tls, TlsName::IpAddress(_)), address.is_some());
            let authority = authority.unwrap();
            assert_eq!(authority.as_str().as_bytes(), bytes);
            assert_eq!(authority.host().as_bytes(), host);
            assert_eq!(authority.port_u16(), expected.port);
            // What the URL standard refuses for `xn--` before what is no punycode is a host all the
            // same; where it reads a host, it is this one.
            if let Ok(read) = url::Host::parse(name.host_str()) {
                assert_eq!(Ok(read), url);
            }
            let json = serde_json::to_string(&made).unwrap();
            assert_eq!(serde_json::from_str::<Host>(&json).unwrap(), made);
        }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
