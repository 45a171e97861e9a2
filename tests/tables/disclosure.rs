//! `SECURITY.md`: each row of its table names a test, and each test that it names is one.

use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns what stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Finds the function, and the attribute above it that makes it a test.
fn find(named: &str) -> Result<(), String> {
    let (file, name) = named.split_once("::").ok_or_else(|| format!("{named} names no test"))?;
    let text =
        std::fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))?;
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let begins = |line: &&str| {
        line.trim_start_matches("async ")
            .strip_prefix("fn ")
            .is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    };
    let at = lines.iter().position(begins).ok_or(format!("{named} is not there"))?;
    let above = lines[..at].iter().rev();
    let is_test = above
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    is_test.then_some(()).ok_or_else(|| format!("{named} is no test"))
}

#[test]
fn every_row_of_the_threat_model_names_tests_that_exist() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() >= 25, "{}", rows.len());
    let mut problems = Vec::new();
    for row in rows {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = quoted(shown_by).collect();
        if tests.is_empty() {
            problems.push(format!("no test: {row}"));
        }
        problems.extend(tests.into_iter().filter_map(|named| find(named).err()));
    }
    // What is named elsewhere exists, too.
    problems
        .extend(quoted(&text).filter(|it| it.contains(".rs::")).filter_map(|it| find(it).err()));
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_test_that_is_none_is_found_out() {
    let here = "tests/tables/disclosure.rs";
    assert_eq!(find(&format!("{here}::a_test_that_is_none_is_found_out")), Ok(()));
    for (named, problem) in [
        (here.to_owned(), "names no test"),
        (format!("{here}::a_test"), "is not there"),
        (format!("{here}::find"), "is no test"),
        ("tests/tables/nowhere.rs::find".to_owned(), "nowhere.rs"),
    ] {
        let error = find(&named).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn every_advisory_has_a_test_with_its_number() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    for number in
        ["2021_21273", "2021_21274", "2021_21392", "2023_32683", "2024_52594", "2024_52602"]
    {
        assert!(text.contains(&format!("CVE-{}", number.replace('_', "-"))), "{number}");
        assert!(text.contains(&format!("::cve_{number}_")), "{number}");
    }
}
