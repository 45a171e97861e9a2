//! What is written as JSON and read again.
//!
//! Invariant: of any run, report, target, error and well-known answer are read from their JSON as
//! what they were. And any bytes, read as JSON of one of the crate's types, are refused or make a
//! value that is written as JSON of an equal value and that nothing can be done with to make it
//! panic: a configuration drives a machine, a target is tried, a report is printed.
//!
//! Input: the first byte chooses the type; then its JSON, or what drives a machine.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use matrix_delegation::cache::{Purpose, WellKnownEntry, WellKnownRecord};
use matrix_delegation::discovery::{Machine, Output};
use matrix_delegation::dns::DnsAnswer;
use matrix_delegation::error::Evidence;
use matrix_delegation::report::WellKnownReport;
use matrix_delegation::time::{Monotonic, Now};
use matrix_delegation::well_known::{FetchFailure, WellKnownFailure, WellKnownUrl};
use matrix_delegation::{
    AddressPolicy, Config, DelegationTarget, Discovery, Report, ResolveError, Warning,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::driver::Driven;

/// Checks one input.
pub fn run(data: &[u8]) {
    let Some((kind, json)) = data.split_first() else { return };
    match kind {
        b'C' => drop(read(json).map(|config: Config| check_config(&config))),
        b'T' => drop(read(json).map(|target: DelegationTarget| check_target(&target))),
        b'R' => drop(read(json).map(|report: Report| report.to_string())),
        b'A' => drop(read(json).map(|record: WellKnownRecord| check_record(&record))),
        b'E' => drop(read(json).map(|error: ResolveError| {
            (error.to_string(), error.is_temporary(), error.step(), error.kind())
        })),
        b'W' => drop(read(json).map(|warning: Warning| (warning.to_string(), warning.kind()))),
        b'K' => drop(read(json).map(|report: WellKnownReport| report.to_string())),
        b'D' => drop(read::<DnsAnswer>(json)),
        b'U' => drop(read::<WellKnownUrl>(json)),
        b'F' => drop(read(json).map(|failure: WellKnownFailure| failure.to_string())),
        b'f' => drop(read(json).map(|failure: FetchFailure| failure.to_string())),
        b'V' => drop(read::<Evidence>(json)),
        b'Y' => drop(read::<AddressPolicy>(json)),
        _ => check_run(json),
    }
}

fn check_run(data: &[u8]) {
    let Ok(driven) = Driven::by(data) else { return };
    round_trip(&driven.machine.report());
    round_trip(&*driven.config);
    let host = "a.example".parse().unwrap();
    for entry in &driven.told {
        let now = Now::new(entry.learnt(), Now::EPOCH.wall);
        round_trip(&WellKnownRecord::new(&host, entry, now));
    }
    match driven.outcome.expect("it has ended") {
        Ok(target) => round_trip(&*target),
        Err(error) => round_trip(&error),
    }
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    let read = serde_json::from_str::<T>(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(&read, value);
}

fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &[u8]) -> Option<T> {
    let value = serde_json::from_slice(json).ok()?;
    round_trip(&value);
    Some(value)
}

/// Any configuration does for a machine.
fn check_config(config: &Config) {
    let now = Now::EPOCH;
    for name in ["a.example", "a.example:1", "192.0.2.1"] {
        let mut machine = Discovery::new(name.parse().unwrap(), Arc::new(config.clone()), now, 1);
        while let Output::Ask(_) = machine.poll_output(now) {}
        let end = Now::new(Monotonic::ZERO + config.time.discovery, now.wall);
        loop {
            match machine.poll_output(end) {
                Output::Ask(_) => {}
                Output::Wait(_) => panic!("it waits past its limit"),
                Output::Done(_) => break,
            }
        }
        drop(machine.report().to_string());
    }
}

fn check_target(target: &DelegationTarget) {
    let attempts: Vec<_> = target.attempts(7).collect();
    assert_eq!(attempts.len(), target.endpoints().len());
    assert!(!attempts.is_empty());
    for endpoint in attempts {
        assert_ne!(endpoint.port(), 0);
        assert!(endpoint.addresses().all(|address| address.port() == endpoint.port()));
    }
    assert_eq!(target.tls_name(), target.tls_host().tls_name());
    assert_eq!(target.host_header(), target.authority());
    drop((target.to_string(), target.until(), target.is_fresh(Monotonic::ZERO)));
    let _ = target.recheck(&AddressPolicy::default());
}

fn check_record(record: &WellKnownRecord) {
    let config = Config::default();
    for days in [0, 1, 20_000] {
        let now = Now::EPOCH + Duration::from_secs(days * 86_400);
        if let Ok((_, entry)) = record.restore(now, &config) {
            check_entry(&entry);
        }
    }
}

fn check_entry(answer: &WellKnownEntry) {
    let config = Config::default();
    for at in [Monotonic::MIN, Monotonic::ZERO, answer.learnt(), answer.until(), Monotonic::MAX] {
        let _ = answer.obtained(at);
        for purpose in [Purpose::Answer, Purpose::Renewal, Purpose::AtOnce] {
            let _ = answer.serve(at, purpose);
        }
    }
    // As what was known before, at any time.
    let now = Now::new(answer.until(), Now::EPOCH.wall);
    let name = "a.example".parse().unwrap();
    let mut machine = Discovery::new(name, Arc::new(config.clone()), now, 1)
        .with_earlier_well_known(answer.clone());
    while let Output::Ask(_) = machine.poll_output(now) {}
    let end = now + config.time.discovery;
    while !matches!(machine.poll_output(end), Output::Done(_)) {}
}
