//! A call of everything that clippy.toml bans. `.ci/run` puts this file into a copy of the core and
//! of the resolver, and the gate fails if clippy lets one of the calls pass.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime};

pub(crate) fn clocks(instant: Instant, time: SystemTime) {
    let _ = Instant::now();
    let _ = instant.elapsed();
    let _ = SystemTime::now();
    let _ = time.elapsed();
    let _ = tokio::time::Instant::now();
}

pub(crate) fn sleep(how_long: Duration) {
    std::thread::sleep(how_long);
    std::thread::park_timeout(how_long);
    drop(tokio::time::sleep(how_long));
    drop(tokio::time::sleep_until(tokio::time::Instant::from_std(unreachable())));
    drop(tokio::time::timeout(how_long, async {}));
    drop(tokio::time::timeout_at(tokio::time::Instant::from_std(unreachable()), async {}));
    drop(tokio::time::interval(how_long));
}

pub(crate) fn tasks() {
    let _ = std::thread::spawn(|| ());
    let _ = std::thread::Builder::new().spawn(|| ());
    std::thread::scope(|_| ());
    drop(tokio::spawn(async {}));
    drop(tokio::task::spawn_blocking(|| ()));
    let _ = tokio::runtime::Handle::current();
    let _ = tokio::runtime::Handle::try_current();
}

pub(crate) fn sockets(address: SocketAddr) {
    let _ = std::net::TcpStream::connect(address);
    let _ = std::net::TcpStream::connect_timeout(&address, Duration::ZERO);
    let _ = std::net::TcpListener::bind(address);
    let _ = std::net::UdpSocket::bind(address);
    let _ = "a.example:8448".to_socket_addrs();
    drop(tokio::net::TcpStream::connect(address));
    drop(tokio::net::TcpListener::bind(address));
    drop(tokio::net::UdpSocket::bind(address));
    drop(tokio::net::lookup_host("a.example:8448"));
}

pub(crate) fn surroundings() {
    let _ = std::env::var("A");
    let _ = std::env::var_os("A");
    let _ = std::env::vars();
    let _ = std::env::vars_os();
    let _ = std::fs::read("a");
    let _ = std::fs::read_to_string("a");
    let _ = std::fs::File::open("a");
    let _ = std::process::Command::new("a");
    let _ = std::hash::RandomState::new();
}

fn unreachable() -> Instant {
    unreachable!("this is compiled, never run")
}
