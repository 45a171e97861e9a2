//! Names: of Matrix servers, and of hosts in DNS.

mod dns_name;
mod host;
mod server_name;

pub use self::dns_name::{DnsName, NotAHostName};
pub use self::host::Host;
pub use self::server_name::{
    HostRef, ServerName, ServerNameError, ServerNameErrorKind, UnresolvableName,
};
