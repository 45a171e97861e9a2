//! `Dns` on hickory-resolver.
