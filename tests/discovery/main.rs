//! The machine in scripted internets: the golden table of its steps, and beyond it redirects,
//! stragglers, limits, failures and reports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod addresses;
mod advisories;
mod errors;
mod golden_table;
mod questions;
mod redirects;
mod reports;
mod srv;
#[path = "../support/mod.rs"]
mod support;
mod time;
mod well_known;

use std::sync::Arc;

use http::Response;
use matrix_delegation::config::{
    AddressFamilies, BlockedAddressPolicy, FamilyOrder, Speculation, TimeLimits,
};
use matrix_delegation::discovery::{Machine, Output, Question};
use matrix_delegation::dns::{DnsAnswer, DnsFailure, NoRecord, Records, SrvDropReason};
use matrix_delegation::report::{SkipReason, StepOutcome, StepReport};
use matrix_delegation::target::Degraded;
use matrix_delegation::testing::{Internet, Run};
use matrix_delegation::time::Now;
use matrix_delegation::well_known::{Body, FetchFailure, FetchFailureKind, WellKnownFailure};
use matrix_delegation::{Config, Discovery, ResolveError, Step, Warning};
use support::{
    InternetExt, RunExt, documentation, lenient, millis, seconds, strict, synapse, whole,
};

fn a() -> Internet {
    Internet::new().host("a.example", &["192.0.2.1"])
}

const URL: &str = "https://a.example/.well-known/matrix/server";
const GET: &str = "GET https://a.example/.well-known/matrix/server";

fn delegation() -> &'static str {
    r#"{"m.server":"m.example:443"}"#
}

fn with_m() -> Internet {
    a().host("m.example", &["192.0.2.2"])
}

/// The same target for every order in which in-time answers can come, and for both speculations.
#[test]
fn the_order_of_answers_changes_nothing() {
    let world = a()
        .host("m.example", &["192.0.2.2", "2001:db8::2"])
        .host("b.example", &["192.0.2.5"])
        .delegates("a.example", "m.example")
        .srv("_matrix-fed._tcp.a.example", &[(0, 0, 1, "m.example.")])
        .srv("_matrix-fed._tcp.m.example", &[(0, 0, 1, "b.example."), (1, 0, 2, "m.example.")]);
    let expected = world.resolve_every_way("a.example", &lenient()).endpoints();
    let questions = [
        "A a.example",
        "AAAA a.example",
        "SRV _matrix-fed._tcp.a.example",
        "SRV _matrix._tcp.a.example",
        "SRV _matrix-fed._tcp.m.example",
        "SRV _matrix._tcp.m.example",
        "A m.example",
        "AAAA m.example",
        "A b.example",
    ];
    let mut state = 1_u64;
    for round in 0..500 {
        let mut world = world.clone();
        for question in questions.iter().copied().chain([GET]) {
            // Any delay within every grace: Knuth's MMIX generator, upper bits.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            world = world.after(question, millis((state >> 33) % 40 + 1));
        }
        assert_eq!(
            world.resolve_every_way("a.example", &lenient()).endpoints(),
            expected,
            "{round}"
        );
    }
}
