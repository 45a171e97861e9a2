//! Runs scenarios: files of them, as in `tests/vectors`, or one that it brings along.
//!
//! ```sh
//! cargo run --example scenarios --features testing -- tests/vectors/[0-9]*.json
//! cargo run --example scenarios --features testing -- --show srv-no-service tests/vectors/[0-9]*.json
//! ```
//!
//! It says which differ from what they expect; with `--show ID`, everything that was asked in one.

use std::error::Error;
use std::io::{self, Write};
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

/// Runs scenarios and says which differ from what they expect.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 if none differs, 1 if one does, 2 if they cannot be run."
)]
struct Arguments {
    /// Shows one scenario in full: what was asked, in which order, and the report.
    #[arg(long, value_name = "ID")]
    show: Option<String>,
    /// Files of scenarios; without any, one that this program brings along.
    files: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse(), &mut io::stdout().lock()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        // Whoever reads it has had enough: as if SIGPIPE had ended it.
        Err(error) if is_broken_pipe(&*error) => ExitCode::from(141),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

/// How many scenarios differ.
fn run(arguments: &Arguments, out: &mut impl Write) -> Result<usize, Box<dyn Error>> {
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
        writeln!(out, "{}: {verdict} ({})", scenario.id, scenario.title)?;
        for line in &wrong {
            writeln!(out, "    {line}")?;
        }
        if let (Ok(run), true) = (&run, arguments.show.is_some() || arguments.files.is_empty()) {
            for exchange in &run.transcript {
                let answered = exchange.answered.map(|at| format!("{at:?}"));
                let answered = answered.as_deref().unwrap_or("no answer");
                let (asked, question) = (exchange.asked, &exchange.question);
                writeln!(out, "    {asked:>8?} {question} ({answered})")?;
            }
            writeln!(
                out,
                "    {} round trips: {}",
                run.critical_path.round_trips,
                run.critical_path.questions.join(", then ")
            )?;
            writeln!(out, "{}", run.report)?;
        }
    }
    writeln!(out, "{} scenarios, {failed} differ", all.len())?;
    Ok(failed)
}
