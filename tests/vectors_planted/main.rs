//! Planted bugs: is each scenario of `tests/vectors` the first to notice one, and does each bug have
//! one that notices?
//!
//! A bug stands between the core and what it is told, or between the core and what it says. The
//! core is the same for all of them, so that hundreds can be tried in the time it takes to compile
//! one: a core that lets a plus sign through is one that is told `443` where `+443` is written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(unreachable_pub, clippy::needless_pass_by_value)]

mod bugs;
mod case;
mod observed;
#[path = "../support/scenarios.rs"]
mod scenarios;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bugs::{Bug, Plant};
use case::Case;
use matrix_delegation::config::Speculation;
use matrix_delegation::testing::Scenario;
use observed::Observed;
use serde_json::Value as Json;

/// A scenario, what a sound core is told of it, and what a sound core says.
struct Sound {
    scenario: Scenario,
    case: Case,
    observed: Observed,
}

fn run(case: &Case, scenario: &Scenario) -> Observed {
    let config = case.config.clone().with_speculation(Speculation::Off);
    Observed::of(case.scenario(scenario).run_with(&config, |drive| drive))
}

fn all() -> Vec<Sound> {
    let written = scenarios::files().into_iter().flat_map(|path| {
        let file: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        file["scenarios"].as_array().unwrap().clone()
    });
    let sound = |written: Json| {
        let scenario: Scenario = serde_json::from_value(written.clone()).unwrap();
        let case = Case::of(&written, &scenario);
        let observed = run(&case, &scenario);
        Sound { scenario, case, observed }
    };
    written.map(sound).collect()
}

/// Whether a scenario notices a bug.
fn notices(bug: &Bug, sound: &Sound) -> bool {
    match &bug.plant {
        Plant::Told(plant) => {
            let mut case = sound.case.clone();
            plant(&mut case);
            case != sound.case && !run(&case, &sound.scenario).is_as_expected(&sound.scenario)
        }
        Plant::Says(plant) => {
            let mut observed = sound.observed.clone();
            plant(&sound.case, &mut observed);
            !observed.is_as_expected(&sound.scenario)
        }
    }
}

/// The place of the first scenario that notices each bug.
fn first_to_notice(bugs: &[Bug], all: &[Sound]) -> Vec<Option<usize>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(bug) = bugs.get(at) else { return found };
            found.push((at, all.iter().position(|sound| notices(bug, sound))));
        }
    };
    let mut firsts = vec![None; bugs.len()];
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for (at, first) in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
            firsts[at] = first;
        }
    });
    firsts
}

#[test]
fn each_scenario_is_the_first_to_notice_a_bug_and_each_bug_is_noticed() {
    let all = all();
    for sound in &all {
        let id = &sound.scenario.id;
        assert!(sound.observed.is_as_expected(&sound.scenario), "{id}: {:?}", sound.observed);
    }
    let bugs = bugs::all();
    let firsts = first_to_notice(&bugs, &all);
    let mut witnessed: BTreeMap<usize, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (bug, first) in bugs.iter().zip(&firsts) {
        match first {
            None => wrong.push(format!("nothing notices: {}", bug.name)),
            Some(at) => {
                witnessed.insert(*at, &bug.name);
            }
        }
    }
    for (at, sound) in all.iter().enumerate() {
        if !witnessed.contains_key(&at) {
            wrong.push(format!("first to notice nothing: {}", sound.scenario.id));
        }
    }
    if !wrong.is_empty() {
        for (bug, first) in bugs.iter().zip(&firsts) {
            let id = first.map_or("nothing", |at| &all[at].scenario.id);
            println!("{id} <- {}", bug.name);
        }
    }
    println!("{} planted bugs, {} scenarios, each the first to notice one", bugs.len(), all.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bugs_have_names_of_their_own() {
    let bugs = bugs::all();
    let names: std::collections::BTreeSet<_> = bugs.iter().map(|bug| &bug.name).collect();
    assert_eq!(names.len(), bugs.len());
}
