//! Connecting to servers that were resolved, and sending them requests.
//!
//! [`Connector`] connects to the endpoints of a target (`race` to the addresses of one), and
//! [`FederationClient`] sends requests by server name. For it, `request` makes a request what it must
//! be for its target, `shared_connect` makes a connection for all who need the same, `http_connection`
//! is one that speaks HTTP, `pool` keeps those, and `keys` says what is shared by whom.

mod connect_error;
mod connection;
mod connector;
mod federation_client;
mod http_connection;
mod keys;
mod limits;
mod pool;
mod race;
mod request;
mod request_body;
mod request_error;
mod response_body;
mod shared_connect;

pub use self::connect_error::{ConnectAttempt, ConnectError, ConnectPhase};
pub use self::connection::Connection;
pub use self::connector::Connector;
pub use self::federation_client::FederationClient;
pub use self::limits::{ClientLimits, ConnectLimits};
pub use self::request_error::{InvalidRequest, RequestError};
pub use self::response_body::FederationBody;
