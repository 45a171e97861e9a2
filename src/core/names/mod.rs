//! Names: of Matrix servers, of hosts in DNS, and what a name's host is.

pub(crate) mod dns_name;
pub(crate) mod host;
pub(crate) mod server_name;
