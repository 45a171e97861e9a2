//! Strategies for property tests (feature `proptest`).
//!
//! Each draws bytes and generates a value from them with [`generate`](super::generate). Shrinking the
//! bytes simplifies the value.
//!
//! ```
//! use matrix_delegation::Config;
//! use matrix_delegation::testing::documentation_allowed;
//! use matrix_delegation::testing::generate::HOSTS;
//! use matrix_delegation::testing::strategies::internets;
//! use proptest::prelude::*;
//! use proptest::sample::select;
//!
//! proptest!(ProptestConfig::with_cases(20), |(internet in internets(), name in select(&HOSTS[..]))| {
//!     let config = documentation_allowed(Config::default());
//!     let run = internet.resolve(name.parse().unwrap(), &config);
//!     prop_assert!(run.took <= config.time.discovery);
//! });
//! ```

use arbitrary::{Arbitrary, Unstructured};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::Strategy;

use super::generate::{ResponseHeaders, ServerNameText, SrvRecords, WellKnownBody};
use super::internet::Internet;
use crate::core::dns::SrvRecord;
use crate::core::names::ServerName;

/// Generates a `T` from up to `most` bytes, followed by zeros.
fn of_bytes<T>(most: usize) -> impl Strategy<Value = T>
where
    T: for<'a> Arbitrary<'a> + std::fmt::Debug,
{
    vec(any::<u8>(), 0..most).prop_filter_map("not enough to make anything of", |bytes| {
        T::arbitrary(&mut Unstructured::new(&bytes)).ok()
    })
}

/// Generates server names in the grammar, resolvable or not. Few of them are hosts of
/// [`internets`].
pub fn server_names() -> impl Strategy<Value = ServerName> {
    of_bytes(64)
}

/// Generates texts that are server names or nearly.
pub fn server_name_texts() -> impl Strategy<Value = String> {
    of_bytes(64).prop_map(|ServerNameText(text)| text)
}

/// Generates bodies that are well-known documents or nearly.
pub fn well_known_bodies() -> impl Strategy<Value = Vec<u8>> {
    of_bytes(128).prop_map(|WellKnownBody(body)| body)
}

/// Generates headers of responses.
pub fn response_headers() -> impl Strategy<Value = http::HeaderMap> {
    of_bytes(128).prop_map(|ResponseHeaders(headers)| headers)
}

/// Generates SRV records as DNS may return them.
pub fn srv_records() -> impl Strategy<Value = Vec<SrvRecord>> {
    of_bytes(256).prop_map(|SrvRecords(records)| records)
}

/// Generates whole internets with the hosts of [`HOSTS`](super::generate::HOSTS), most of which have
/// an address, a document and no SRV record. They lead to every step, and to every error that a
/// host name can end with.
pub fn internets() -> impl Strategy<Value = Internet> {
    of_bytes(1500)
}
