//! What is fuzzed, one module a target. Each states its invariant at its top and checks it by
//! panicking; `fuzz_targets` hands it to libFuzzer, `tests/replay.rs` runs it over what is stored in
//! `corpus` and `regressions`.
#![forbid(unsafe_code)]

pub mod address_policy;
pub mod certificate;
pub mod discovery;
pub mod lifetime;
pub mod redirect;
pub mod report_json;
pub mod seeds;
pub mod server_name;
pub mod srv_order;
pub mod vectors_json;
pub mod well_known_body;

mod driver;
mod oracle;

/// A target: its name, which is also that of its folders, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("address_policy", address_policy::run),
    ("certificate", certificate::run),
    ("discovery", discovery::run),
    ("lifetime", lifetime::run),
    ("redirect", redirect::run),
    ("report_json", report_json::run),
    ("server_name", server_name::run),
    ("srv_order", srv_order::run),
    ("vectors_json", vectors_json::run),
    ("well_known_body", well_known_body::run),
];
