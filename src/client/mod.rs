//! Connections and requests to resolved servers: limits and errors (feature `client`).
//!
//! [`Connector`](crate::Connector) connects to the endpoints of a target within [`ConnectLimits`] and
//! returns a [`Connection`], or a [`ConnectError`] with every [`ConnectAttempt`].
//! [`FederationClient`](crate::FederationClient) sends requests by server name over connections that
//! it keeps within [`ClientConfig`]; the body of a response is a [`FederationBody`], and a request
//! without a response fails with a [`RequestError`].
//!
//! Both errors say whose fault it was (`blame`), whether trying again may help (`is_temporary`) and
//! whether the server may have received the request (`was_sent`).
// Of the files, `race` connects to the addresses of one endpoint; `request` prepares a request for its
// target; `shared_connect` makes one connection for all requests that need the same; `http_connection`
// speaks HTTP over it; `pool` keeps connections; `keys` holds the keys by which requests share them;
// `frame_meter` bounds what a server sends over HTTP/2 beside responses; `unanswered` judges whether a request without a response may be sent again, and `http1_endpoints`
// remembers where HTTP/2 is not wanted.

mod connect_error;
mod connection;
pub(crate) mod connector;
pub(crate) mod federation_client;
mod frame_meter;
mod http1_endpoints;
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
mod unanswered;

pub use self::connect_error::{ConnectAttempt, ConnectError, ConnectPhase};
pub use self::connection::Connection;
pub use self::limits::{ClientConfig, ConnectLimits};
pub use self::request_error::{InvalidRequest, Processed, RequestError};
pub use self::response_body::FederationBody;
