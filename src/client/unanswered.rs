//! What is known of a request that was sent, or may have been, and has no response.

use std::io;

use super::http_connection::HttpConnection;
use super::request_error::Processed;
use crate::transport::error_chain::cause;

/// Whether the server has processed a request that has no response, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Processing {
    /// The server says that it has not (RFC 9113 section 8.7).
    NotProcessed,
    /// It has not, and requires HTTP/1.1 (RFC 9113 section 7).
    RequiresHttp1,
    /// Nobody knows: the connection ended, through no fault of this request. To repeat it is safe if its
    /// method is idempotent (RFC 9110 section 9.2.2).
    Unknown,
    /// It has begun, or the fault is with this request or its response.
    Begun,
}

impl From<Processing> for Processed {
    fn from(processing: Processing) -> Self {
        match processing {
            Processing::NotProcessed | Processing::RequiresHttp1 => Self::No,
            Processing::Unknown | Processing::Begun => Self::Unknown,
        }
    }
}

impl Processing {
    /// Judges an error of a request over this connection. `is_kept` tells whether the connection had
    /// served others before, `is_shared` whether it served others beside, and `is_repeatable` whether
    /// the request's method is idempotent or its body not empty.
    pub(super) fn of(
        error: &hyper::Error,
        connection: &HttpConnection,
        is_kept: bool,
        is_shared: bool,
        is_repeatable: bool,
    ) -> Self {
        let is_lost = error.is_incomplete_message()
            || error.is_canceled()
            // So hyper says that the task of a connection is gone.
            || (connection.is_http2() && error.is_user())
            || (!error.is_user() && cause::<io::Error>(error).is_some());
        match cause::<h2::Error>(error) {
            // h2 says so of streams above the last one that the peer names; and of one that was begun just
            // when a graceful GOAWAY came, of which it still sends what needs no body.
            Some(error) if error.is_remote() && (error.is_go_away() || error.is_reset()) => {
                match error.reason() {
                    Some(h2::Reason::HTTP_1_1_REQUIRED) => Self::RequiresHttp1,
                    Some(h2::Reason::REFUSED_STREAM) => Self::NotProcessed,
                    Some(h2::Reason::NO_ERROR) if error.is_go_away() && !is_repeatable => {
                        Self::Unknown
                    }
                    _ if error.is_go_away() => Self::NotProcessed,
                    _ => Self::Begun,
                }
            }
            // h2 has ended the connection for what came over it. If there was no other request, that
            // was the response to this one.
            Some(error) if error.is_go_away() && is_shared => Self::Unknown,
            None if is_kept && is_lost && !connection.has_response_begun() => Self::Unknown,
            _ => Self::Begun,
        }
    }
}
