//! The files of `tests/vectors` themselves: are they what their schema and their README say?

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::canonical::{canonical, renamed};
use crate::scenarios;
use crate::schema::Schema;
use serde_json::Value as Json;

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file, read as plain JSON.
fn files() -> Vec<(PathBuf, Json)> {
    scenarios::files()
        .into_iter()
        .map(|path| {
            let file = serde_json::from_str(&read(&path));
            let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, file)
        })
        .collect()
}

/// Every scenario, read as plain JSON.
fn all() -> Vec<Json> {
    let scenarios = |(_, file): (_, Json)| file["scenarios"].as_array().unwrap().clone();
    files().into_iter().flat_map(scenarios).collect()
}

fn id(scenario: &Json) -> &str {
    scenario["id"].as_str().unwrap()
}

/// A way to spoil a scenario.
type Change = fn(&mut Json);

/// The tables of the README: each clause, and the scenarios that it lists.
fn clauses() -> Vec<(String, Vec<String>)> {
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
        let [clause, _, _, scenarios] = cells[..] else { return None };
        let clause = clause.trim().strip_prefix('`')?.strip_suffix('`')?.to_owned();
        Some((clause, scenarios.split_whitespace().map(str::to_owned).collect()))
    };
    read(&scenarios::folder().join("README.md")).lines().filter_map(row).collect()
}

#[test]
fn there_are_enough_and_each_has_an_id_of_its_own() {
    let all = all();
    let mut ids = BTreeSet::new();
    for scenario in &all {
        assert!(ids.insert(id(scenario)), "{} is there twice", id(scenario));
    }
    println!("{} scenarios in {} files, {} clauses", all.len(), files().len(), clauses().len());
    assert!(all.len() >= 250, "{}", all.len());
}

#[test]
fn each_file_is_as_the_schema_says() {
    let text = read(&scenarios::folder().join("schema.json"));
    let schema = Schema::new(serde_json::from_str(&text).unwrap());
    for (path, file) in files() {
        let wrong = schema.check(&file);
        assert!(wrong.is_empty(), "{}: {}", path.display(), wrong.join("\n"));
    }
}

#[test]
fn the_schema_notices_what_is_wrong() {
    let text = read(&scenarios::folder().join("schema.json"));
    let schema = Schema::new(serde_json::from_str(&text).unwrap());
    let changes: &[(&str, Change)] = &[
        ("an unknown key", |it| it["titel"] = "x".into()),
        ("an id that is no id", |it| it["id"] = "A b".into()),
        ("no clause", |it| it["clauses"] = Json::Array(Vec::new())),
        ("a question that is none", |it| {
            it["internet"]["dns"] = serde_json::json!({ "MX a.example": { "never": true } });
        }),
        ("two answers", |it| {
            it["internet"]["dns"] =
                serde_json::json!({ "A a.example": { "never": true, "failed": "timeout" } });
        }),
        ("an error beside a target", |it| it["expect"]["error"] = "no_addresses".into()),
        ("a port that is none", |it| it["expect"]["endpoints"][0]["port"] = 65_536.into()),
    ];
    let good = all().into_iter().find(|it| it["expect"]["step"] == "6").unwrap();
    let wrap = |scenario: Json| serde_json::json!({ "scenarios": [scenario] });
    assert!(schema.check(&wrap(good.clone())).is_empty());
    for (what, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!schema.check(&wrap(bad)).is_empty(), "{what}");
    }
}

#[test]
fn every_clause_has_a_scenario_and_the_readme_lists_them() {
    let mut tested: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for scenario in &all() {
        for clause in scenario["clauses"].as_array().unwrap() {
            let clause = clause.as_str().unwrap().to_owned();
            tested.entry(clause).or_default().push(id(scenario).to_owned());
        }
    }
    let mut wrong = Vec::new();
    let mut listed = BTreeSet::new();
    for (clause, scenarios) in clauses() {
        let found = tested.get(&clause).cloned().unwrap_or_default();
        if found.is_empty() {
            wrong.push(format!("{clause} has no scenario"));
        } else if found != scenarios {
            wrong.push(format!("the README should list for {clause}: {}", found.join(" ")));
        }
        assert!(listed.insert(clause.clone()), "{clause} is there twice");
    }
    let unlisted = tested.keys().filter(|clause| !listed.contains(*clause));
    wrong.extend(unlisted.map(|clause| format!("{clause} is not in the README")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_are_equal_up_to_renaming() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for scenario in &all() {
        let before = seen.insert(canonical(scenario), id(scenario).to_owned());
        if let Some(before) = before {
            wrong.push(format!("{before} and {} are the same", id(scenario)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn renaming_does_not_hide_that_two_are_equal() {
    let mut changed = 0;
    for scenario in &all() {
        let other = renamed(scenario);
        changed += usize::from(other != *scenario);
        assert_eq!(canonical(&other), canonical(scenario), "{}", id(scenario));
    }
    assert!(changed > 100, "{changed}");
}
