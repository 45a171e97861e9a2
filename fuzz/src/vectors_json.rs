//! Scripted internets and scenarios, as JSON and as values.
//!
//! Invariant: any bytes, read as JSON of an internet, a scenario or a file of them, are refused or
//! make a value that is written as JSON of an equal value; of any value that is made in code the same
//! holds. Whatever an internet answers, in whichever order and however often, and whether asked early
//! or hop by hop, a resolution in it ends; and where no delay is scripted, all of these come to the
//! same end.
//!
//! Input: the first byte chooses the shape: `I` an internet's JSON, `S` a scenario's, `F` a file's;
//! else bytes that `arbitrary` makes an internet of.

use arbitrary::{Arbitrary, Unstructured};
use matrix_delegation::config::Speculation;
use matrix_delegation::names::ServerNameError;
use matrix_delegation::testing::{
    Drive, Internet, Order, Run, Scenario, Scenarios, Schedule, Settings, documentation_allowed,
};
use matrix_delegation::{Config, ResolveError, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Checks one input.
pub fn run(data: &[u8]) {
    let Some((shape, data)) = data.split_first() else { return };
    match shape {
        b'I' => {
            if let Some(internet) = read::<Internet>(data) {
                check_internet(&internet, &"a.example".parse().unwrap());
            }
        }
        b'S' => {
            if let Some(scenario) = read::<Scenario>(data) {
                check_scenario(&scenario);
            }
        }
        b'F' => {
            let file = read::<Scenarios>(data).unwrap_or_default();
            file.scenarios.iter().take(4).for_each(check_scenario);
        }
        _ => drop(made(data)),
    }
}

fn made(data: &[u8]) -> arbitrary::Result<()> {
    let mut u = Unstructured::new(data);
    let name = ServerName::arbitrary(&mut u)?;
    let internet = Internet::arbitrary(&mut u)?;
    let json = serde_json::to_string(&internet).unwrap();
    let again: Internet =
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(again, internet, "{json}");
    check_internet(&internet, &name);
    Ok(())
}

fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(json: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(json).ok()?;
    let written = serde_json::to_string(&value).unwrap();
    let again: T =
        serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again, value, "{written}");
    Some(value)
}

/// Every way to take a machine through an internet.
fn each_way(mut check: impl FnMut(Speculation, Schedule, bool)) {
    for speculation in [Speculation::Off, Speculation::Full] {
        for shared in [false, true] {
            for order in [Order::Timely, Order::AsAsked, Order::Reversed, Order::Shuffled(7)] {
                check(speculation, Schedule::new(order), shared);
            }
            check(speculation, Schedule::new(Order::Shuffled(1)).twice(), shared);
        }
    }
}

fn prepared<'a>(drive: Drive<'a>, schedule: &Schedule, shared: bool) -> Drive<'a> {
    let drive = drive.with_schedule(schedule.clone());
    if shared { drive.with_shared_well_known() } else { drive }
}

fn check_internet(internet: &Internet, name: &ServerName) {
    let mut ends = Vec::new();
    let config = documentation_allowed(Config::default());
    each_way(|speculation, schedule, shared| {
        let config = config.clone().with_speculation(speculation);
        let drive = prepared(internet.drive(&config), &schedule, shared);
        let run = drive.discover(name.clone());
        check_run(&run);
        ends.push(End::of(&Ok(run)));
    });
    if internet.is_undelayed() {
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
    }
}

fn check_scenario(scenario: &Scenario) {
    let mut ends = Vec::new();
    let config = Settings::config(&scenario.config);
    each_way(|speculation, schedule, shared| {
        let config = config.clone().with_speculation(speculation);
        let run = scenario.run_with(&config, |drive| prepared(drive, &schedule, shared));
        if let Ok(run) = &run {
            check_run(run);
        }
        let differences = scenario.differences(&run);
        assert!(differences.iter().all(|line| !line.is_empty()));
        ends.push(End::of(&run));
    });
    if scenario.internet.is_undelayed() {
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
    }
}

fn check_run(run: &Run) {
    // Whoever asked is in the transcript, and nothing is answered before it is asked.
    for exchange in &run.transcript {
        assert!(exchange.answered.is_none_or(|answered| answered >= exchange.asked));
    }
    assert!(run.took <= Config::default().time.discovery);
    drop(run.report.to_string());
}

/// What must not depend on the way: all but times.
#[derive(Debug, PartialEq)]
enum End {
    Name(ServerNameError),
    Error(String),
    Target { shown: String, endpoints: Vec<String>, warnings: Vec<String>, marks: [bool; 2] },
}

impl End {
    fn of(run: &Result<Run, ServerNameError>) -> Self {
        match run.as_ref().map(|run| &run.outcome) {
            Err(error) => Self::Name(error.clone()),
            // What was waited for depends on what was asked.
            Ok(Err(ResolveError::DeadlineExceeded { .. })) => Self::Error("deadline".to_owned()),
            Ok(Err(error)) => Self::Error(error.to_string()),
            Ok(Ok(target)) => Self::Target {
                shown: target.to_string(),
                endpoints: target.endpoints().map(|it| format!("{it:?}")).collect(),
                warnings: target.warnings().map(ToString::to_string).collect(),
                marks: [target.degraded().is_some(), target.is_stale()],
            },
        }
    }
}
