//! Trouble of this machine alone, which says nothing about whom it wanted to ask.
#![allow(
    clippy::disallowed_methods,
    reason = "the check of a route opens a socket and sends nothing"
)]

use std::io;
#[cfg(feature = "hyper")]
use std::net::UdpSocket;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// No descriptor, buffer, memory or port is left.
#[cfg(unix)]
const EXHAUSTED: [i32; 5] = {
    use rustix::io::Errno;

    [
        Errno::MFILE.raw_os_error(),
        Errno::NFILE.raw_os_error(),
        Errno::NOBUFS.raw_os_error(),
        Errno::NOMEM.raw_os_error(),
        Errno::ADDRNOTAVAIL.raw_os_error(),
    ]
};

/// Winsock's WSAEMFILE, WSAENOBUFS and WSAEADDRNOTAVAIL; Windows's `ERROR_NOT_ENOUGH_MEMORY`,
/// `ERROR_OUTOFMEMORY` and `ERROR_TOO_MANY_OPEN_FILES`.
#[cfg(windows)]
const EXHAUSTED: [i32; 6] = [10024, 10055, 10049, 8, 14, 4];

#[cfg(not(any(unix, windows)))]
const EXHAUSTED: [i32; 0] = [];

/// Returns whether a socket or a file could not be opened because something of this machine is exhausted.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::AddrNotAvailable)
        || error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

/// Returns whether an error may say that this machine has no way to an address. A router or a firewall
/// may say the same of theirs.
pub(crate) fn may_be_routing(error: &io::Error) -> bool {
    use io::ErrorKind::{NetworkDown, NetworkUnreachable, PermissionDenied};

    matches!(error.kind(), NetworkDown | NetworkUnreachable | PermissionDenied)
}

/// Returns whether this machine has a way to an address. Nothing is sent.
#[cfg(feature = "hyper")]
pub(crate) fn has_route(address: SocketAddr) -> bool {
    UdpSocket::bind(any_of_family(address)).and_then(|socket| socket.connect(address)).is_ok()
}

/// Returns what to bind a socket to that is to reach an address: any address of its family, and any port.
pub(crate) fn any_of_family(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhaustion_is_told_by_the_code_of_the_platform() {
        for code in EXHAUSTED {
            assert!(is_exhaustion(&io::Error::from_raw_os_error(code)), "{code}");
        }
        for kind in [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::TimedOut,
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::Other,
        ] {
            assert!(!is_exhaustion(&kind.into()), "{kind}");
        }
    }

    #[cfg(feature = "hyper")]
    #[test]
    fn loopback_can_be_reached_from_everywhere() {
        assert!(has_route("127.0.0.1:9".parse().unwrap()));
    }
}
