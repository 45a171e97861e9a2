//! Opening byte streams: the extension point for proxies, network namespaces and tests.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[cfg(any(feature = "client", feature = "certificate"))]
use crate::core::endpoint::Endpoint;
use crate::local_trouble::has_route;
use crate::runtime::BoxFuture;

/// Opens the byte streams that TLS runs over.
///
/// It is given only addresses that the address policy allows. What it connects to for them is the
/// operator's choice and is not judged again: the address itself, a SOCKS proxy that is asked for it, a
/// socket in another network namespace. The certificate is checked wherever the stream leads.
///
/// It needs no time limit of its own, since each call is limited by [`PhaseLimits::connect`]; its
/// future may be dropped at any await. An error of kind [`io::ErrorKind::ConnectionRefused`] is reported as
/// [`FetchFailureKind::Refused`], [`io::ErrorKind::TimedOut`] as
/// [`FetchFailureKind::ConnectTimeout`], any other but the following as [`FetchFailureKind::Connect`].
///
/// Errors that are about this machine are held against nobody:
///
/// | error | of a fetch | of a [`Connector`](crate::Connector) |
/// | --- | --- | --- |
/// | no file descriptor, buffer or memory left (EMFILE, ENFILE, ENOBUFS, ENOMEM), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) | [`FetchFailureKind::Local`] | [`ConnectPhase::Local`](crate::client::ConnectPhase::Local) |
/// | [`NetworkDown`](io::ErrorKind::NetworkDown), [`NetworkUnreachable`](io::ErrorKind::NetworkUnreachable), [`PermissionDenied`](io::ErrorKind::PermissionDenied), where [`has_route`](Self::has_route) says no | [`FetchFailureKind::NoRoute`] | [`ConnectPhase::Local`](crate::client::ConnectPhase::Local) |
/// | [`Unsupported`](io::ErrorKind::Unsupported) | [`FetchFailureKind::Adapter`] | [`ConnectPhase::Local`](crate::client::ConnectPhase::Local) |
///
/// For a proxy that cannot reach the server, [`HostUnreachable`](io::ErrorKind::HostUnreachable) is
/// therefore the better kind.
///
/// ```
/// use std::io;
/// use std::net::SocketAddr;
/// use matrix_delegation::resolver::BoxFuture;
/// use matrix_delegation::transport::{Dial, DialStream};
///
/// /// Lets nothing out.
/// #[derive(Debug)]
/// struct Offline;
///
/// impl Dial for Offline {
///     fn dial(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
///         Box::pin(async { Err(io::ErrorKind::NetworkUnreachable.into()) })
///     }
/// }
/// ```
///
/// [`PhaseLimits::connect`]: crate::config::PhaseLimits::connect
/// [`FetchFailureKind::Refused`]: crate::well_known::FetchFailureKind::Refused
/// [`FetchFailureKind::ConnectTimeout`]: crate::well_known::FetchFailureKind::ConnectTimeout
/// [`FetchFailureKind::Connect`]: crate::well_known::FetchFailureKind::Connect
/// [`FetchFailureKind::Local`]: crate::well_known::FetchFailureKind::Local
/// [`FetchFailureKind::NoRoute`]: crate::well_known::FetchFailureKind::NoRoute
/// [`FetchFailureKind::Adapter`]: crate::well_known::FetchFailureKind::Adapter
pub trait Dial: Send + Sync + fmt::Debug {
    /// Opens a stream to this address.
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>>;

    /// Opens a stream to a host that a proxy looks up, where look-ups are left to one
    /// ([`AddressFamilies::ByProxy`](crate::config::AddressFamilies::ByProxy)); never called
    /// otherwise. The address policy has not judged what the name leads to.
    ///
    /// By default this returns an error of kind [`io::ErrorKind::Unsupported`], which is reported as
    /// [`FetchFailureKind::Adapter`](crate::well_known::FetchFailureKind::Adapter).
    fn dial_name<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Box<dyn DialStream>>> {
        let why = format!("no proxy to look up {host}:{port} is set up");
        Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, why)) })
    }

    /// Returns whether this machine has a way to an address. It is asked where a dial said that there is
    /// none, or that it may not: a router or a firewall may say the same of theirs. Nothing is to be
    /// sent. By default a dial is taken at its word, and this returns `false`.
    fn has_route(&self, address: SocketAddr) -> bool {
        let _ = address;
        false
    }
}

/// A byte stream that [`Dial`] opens: everything that can be read and written.
pub trait DialStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> DialStream for S {}

/// [`Dial`] by TCP, straight to the address, without Nagle's algorithm.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDial;

impl Dial for TcpDial {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn DialStream>)
        })
    }

    /// Asks the system's routes, by connecting a UDP socket, which sends nothing.
    fn has_route(&self, address: SocketAddr) -> bool {
        has_route(address)
    }
}

/// Opens a stream to this address of an endpoint; without one, to its host, which a proxy looks up.
#[cfg(any(feature = "client", feature = "certificate"))]
pub(crate) async fn dial_endpoint(
    dial: &dyn Dial,
    endpoint: Endpoint<'_>,
    address: Option<SocketAddr>,
) -> io::Result<Box<dyn DialStream>> {
    match address {
        Some(address) => dial.dial(address).await,
        None => dial.dial_name(&endpoint.host().to_string(), endpoint.port()).await,
    }
}
