//! The well-known document: its URL and redirects, the exchange that fetches it, what its body and
//! headers say, and how it fails.

pub(crate) mod document;
pub(crate) mod failure;
pub(crate) mod fetch;
pub(crate) mod freshness;
pub(crate) mod redirect;
