//! Every way to make a resolver connect to a private, loopback, link-local, multicast or reserved
//! address, each from end to end: a name, an answer of DNS or a document goes in, and one [`Recorder`]
//! notes every address that the fetch and the federation client would connect to. No socket is opened.
//!
//! Two controls show for each row that it would lead there: without an address policy it does, or
//! the row names the rule that forbids it in any case; and with one address allowed, exactly that one is
//! reached.
//!
//! [`Recorder`]: recorder::Recorder
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod answers;
mod later;
mod names;
mod recorder;
mod redirects;
mod row;
mod run;
mod spellings;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use matrix_delegation::AddressPolicy;

use row::{Input, Row, Setting, Why};
use run::{check, observe};
use world::is_good;

/// The rows, by what leads there.
const TABLES: [fn() -> Vec<Row>; 4] = [names::rows, redirects::rows, answers::rows, later::rows];

fn all_rows() -> Vec<Row> {
    TABLES.iter().flat_map(|rows| rows()).collect()
}

/// Checks each row, and says what is wrong with all of them.
fn check_all(rows: &[Row]) {
    let wrong: Vec<String> = rows.iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "of {} rows:\n{}", rows.len(), wrong.join("\n"));
}

#[test]
fn names_lead_to_no_blocked_address() {
    check_all(&names::rows());
}

#[test]
fn redirects_lead_to_no_blocked_address() {
    check_all(&redirects::rows());
}

#[test]
fn answers_of_dns_lead_to_no_blocked_address() {
    check_all(&answers::rows());
}

#[test]
fn what_changes_or_was_remembered_leads_to_no_blocked_address() {
    check_all(&later::rows());
}

/// What a preset changes is what happens to answers and when they are asked for again, not what is read in a
/// name.
#[test]
fn no_preset_lets_an_answer_through() {
    let presets = [Setting::Strict, Setting::Synapse].into_iter().cycle();
    let mut wrong = Vec::new();
    for (row, setting) in answers::rows().into_iter().chain(later::rows()).zip(presets) {
        if row.input.setting != Setting::Default || row.why != Why::Policy {
            continue;
        }
        let input = Input { setting, ..row.input };
        let log = observe(&input, AddressPolicy::default(), None).log;
        if let Some(address) = log.attempts.iter().find(|it| !is_good(it.ip())) {
            wrong.push(format!("{}: {setting:?} connects to {address}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rows_are_many_and_unique() {
    let rows = all_rows();
    assert!(rows.len() >= 300, "{} rows", rows.len());
    let (mut names, mut inputs) = (BTreeSet::new(), BTreeMap::new());
    let mut same = Vec::new();
    for row in &rows {
        if !names.insert(&row.name) {
            same.push(format!("two rows have the name {}", row.name));
        }
        if let Some(other) = inputs.insert(format!("{:?}", row.input), &row.name) {
            same.push(format!("{other} and {} have the same input", row.name));
        }
    }
    assert!(same.is_empty(), "{}", same.join("\n"));
    println!("{} rows", rows.len());
}
