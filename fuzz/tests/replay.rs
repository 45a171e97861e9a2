//! Every input that is stored, and every seed of the scenarios, through the function that libFuzzer
//! calls.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use matrix_delegation_fuzz::TARGETS;
use matrix_delegation_fuzz::seeds::{Seeds, of_scenario, scenarios};

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

/// The inputs in a folder, by name; none if there is no such folder.
fn inputs(kind: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(kind, target)) else { return Vec::new() };
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

/// Says which input it was if one makes the target panic.
struct Running(String);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0);
        }
    }
}

fn replay(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let corpus = inputs("corpus", target);
    assert!(!corpus.is_empty(), "the corpus of {target} is empty");
    let regressions = inputs("regressions", target);
    println!("{target}: {} of the corpus, {} regressions", corpus.len(), regressions.len());
    for (path, input) in corpus.into_iter().chain(regressions) {
        let running = Running(path);
        run(&input);
        drop(running);
    }
    // The least that libFuzzer begins with.
    run(&[]);
}

/// A corpus holds what reaches the most lines, which need not be what shows the most bugs.
#[test]
fn what_the_scenarios_say() {
    for (scenario, json) in scenarios().unwrap() {
        let mut seeds = Seeds::new();
        of_scenario(&scenario, &json, &mut seeds);
        for (target, inputs) in seeds {
            let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
            let running = Running(format!("{target}'s of {}", scenario.id));
            for input in &inputs {
                run(input);
            }
            drop(running);
        }
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test] fn $target() { replay(stringify!($target)); })*

        #[test]
        fn every_target_is_replayed_and_handed_to_libfuzzer() {
            let replayed: BTreeSet<_> = [$(stringify!($target)),*].into();
            let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(targets, replayed);
            let files = fs::read_dir(folder("fuzz_targets", "")).unwrap();
            let files: BTreeSet<_> = files
                .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            assert_eq!(files, targets.into_iter().map(str::to_owned).collect());
            for kind in ["corpus", "regressions"] {
                let Ok(folders) = fs::read_dir(folder(kind, "")) else { continue };
                for entry in folders {
                    let name = entry.unwrap().file_name();
                    assert!(replayed.contains(name.to_str().unwrap()), "{kind}/{name:?}");
                }
            }
        }
    };
}

replays! {
    address_policy certificate discovery lifetime redirect report_json server_name srv_order
    vectors_json well_known_body
}
