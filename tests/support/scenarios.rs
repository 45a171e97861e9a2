//! The scenarios of `tests/vectors`, read.
#![allow(dead_code, unreachable_pub, reason = "not every test needs all of it")]

use std::path::{Path, PathBuf};

use matrix_delegation::testing::{Scenario, Scenarios};

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The files of scenarios, in the order of their names.
pub fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .filter(|path| path.file_name().is_some_and(|it| it != "schema.json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Every scenario, in the order of the files.
pub fn all() -> Vec<Scenario> {
    files()
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let read: Scenarios = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            read.scenarios
        })
        .collect()
}
