//! `WellKnownFetch` on hyper and tokio-rustls.
