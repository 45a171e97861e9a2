//! The well-known document: its URL and redirects, the exchange that fetches it, what its body and
//! headers say, and how it fails.

mod content_coding;
mod document;
mod failure;
mod fetch;
mod freshness;
mod redirect;
mod responder;

pub(crate) use self::content_coding::ContentCoding;
pub use self::document::{MAX_BODY_BYTES, WellKnown, WellKnownError};
pub use self::failure::{FailureClass, WellKnownFailure};
pub use self::fetch::{Body, Fetch, FetchAttempt, FetchFailure, FetchFailureKind, FetchLimits};
pub use self::freshness::{Freshness, retry_after};
pub use self::redirect::{RedirectError, WellKnownUrl, is_redirect};
pub use self::responder::Responder;
