//! Runs scenarios: files of them, as in `tests/vectors`, or one that it brings along.
//!
//! ```sh
//! cargo run --example scenarios --features testing -- tests/vectors/*.json
//! cargo run --example scenarios --features testing -- --show srv-root tests/vectors/*.json
//! ```
//!
//! It says which differ from what they expect; with `--show ID`, everything that was asked in one.

use std::process::ExitCode;

use clap::Parser;
use matrix_delegation::testing::{Scenario, Scenarios};

/// One that can do without files.
const SCENARIO: &str = r#"{"scenarios": [{
    "id": "delegated-srv",
    "title": "a delegation, then SRV of the name delegated to",
    "clauses": ["3.3"],
    "server_name": "a.example",
    "internet": {
        "dns": {
            "A a.example": {"addresses": ["192.0.2.1"]},
            "SRV _matrix-fed._tcp.m.example":
                {"srv": [{"priority": 10, "weight": 0, "port": 443, "target": "fed.example."}]},
            "A fed.example": {"addresses": ["192.0.2.3"]}
        },
        "https": {
            "https://a.example/.well-known/matrix/server":
                {"status": 200, "body": "{\"m.server\":\"m.example\"}"}
        }
    },
    "expect": {
        "step": "3.3",
        "delegated": "m.example",
        "endpoints": [
            {"host": "fed.example", "port": 443, "priority": 10, "addresses": ["192.0.2.3:443"]}
        ],
        "host_header": "m.example",
        "tls_name": "m.example",
        "lifetime_seconds": [300, 300],
        "well_known_lifetime_seconds": [77760, 86400]
    }
}]}"#;

#[derive(Debug, Parser)]
struct Arguments {
    /// Shows one scenario in full: what was asked, in which order, and the report.
    #[arg(long, value_name = "ID")]
    show: Option<String>,
    /// Files of scenarios.
    files: Vec<String>,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let mut all: Vec<Scenario> = Vec::new();
    for file in &arguments.files {
        let read = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let read: Scenarios =
            serde_json::from_str(&read).map_err(|error| format!("{file}: {error}"))?;
        all.extend(read.scenarios);
    }
    if arguments.files.is_empty() {
        all = serde_json::from_str::<Scenarios>(SCENARIO)?.scenarios;
    }
    if let Some(id) = &arguments.show {
        all.retain(|scenario| scenario.id == *id);
        if all.is_empty() {
            return Err(format!("there is no scenario {id:?}").into());
        }
    }
    let mut failed = 0;
    for scenario in &all {
        let run = scenario.run();
        let wrong = scenario.differences(&run);
        failed += usize::from(!wrong.is_empty());
        let verdict = if wrong.is_empty() { "as expected" } else { "DIFFERS" };
        println!("{}: {verdict} ({})", scenario.id, scenario.title);
        for line in &wrong {
            println!("    {line}");
        }
        if let (Ok(run), true) = (&run, arguments.show.is_some() || arguments.files.is_empty()) {
            for exchange in &run.transcript {
                let answered = exchange.answered.map(|at| format!("{at:?}"));
                let answered = answered.as_deref().unwrap_or("no answer");
                println!("    {:>8?} {} ({answered})", exchange.asked, exchange.question);
            }
            println!(
                "    {} round trips: {}",
                run.critical_path.round_trips,
                run.critical_path.questions.join(", then ")
            );
            println!("{}", run.report);
        }
    }
    println!("{} scenarios, {failed} differ", all.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
