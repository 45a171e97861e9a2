//! Keeps the packets of tests on this machine.
#![allow(dead_code, unused_imports, reason = "each test that includes this uses a part of it")]

use std::net::SocketAddr;

/// Returns whether packets to this address leave this machine.
pub(crate) fn leaves(address: SocketAddr) -> bool {
    !address.ip().is_loopback()
}

/// Returns the address, or ends the test binary if packets to it would leave this machine. A panic would not
/// do: it may be in a task for which no test waits.
pub(crate) fn stays(address: SocketAddr) -> SocketAddr {
    if leaves(address) {
        eprintln!("a test would send packets to {address}, which is not on this machine");
        std::process::abort();
    }
    address
}

#[cfg(feature = "hyper")]
pub(crate) use dial::LoopbackDial;

#[cfg(feature = "hyper")]
mod dial {
    use std::io;
    use std::net::SocketAddr;

    use matrix_delegation::resolver::BoxFuture;
    use matrix_delegation::transport::{Dial, DialStream, TcpDial};

    /// [`TcpDial`] for addresses of this machine; any other ends the test binary.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct LoopbackDial;

    impl Dial for LoopbackDial {
        fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
            TcpDial.dial(super::stays(address))
        }
    }
}
