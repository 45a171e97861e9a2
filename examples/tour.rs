//! A tour of server discovery, in an internet that this program brings along.
//!
//! It starts a DNS server and HTTPS servers on loopback, resolves a server name for each of the
//! ten steps of the specification and many that are broken in some way, makes a real request to
//! every endpoint found, and prints where each name led. No network, no privileges, no fixed port.
//!
//! ```sh
//! cargo run --example tour --features full
//! ```
//!
//! It ends with status 1 if anything is not as the specification says.

#[path = "support/internet/mod.rs"]
mod internet;
#[path = "support/present.rs"]
mod present;

use std::io::{self, Write};
use std::process::ExitCode;

use internet::check::{Client, config, differences};
use internet::scenarios::{self, Row, STEPS, TROUBLE, VARIATIONS};
use matrix_delegation::{Resolution, ResolveError};

const COLUMNS: [&str; 6] =
    ["server name", "step", "connected to", "Host", "certificate name", "holds for"];

/// What a row of the tour becomes in the table: cells, one or more lines high, and notes below.
struct Lines {
    cells: [Vec<String>; COLUMNS.len()],
    notes: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match tour(&mut io::stdout().lock()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads it has had enough: as if SIGPIPE had ended it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(141),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything is as the specification says.
async fn tour(out: &mut impl Write) -> io::Result<bool> {
    let internet = scenarios::internet().start().await;
    let client = Client::new(&internet, config());
    let mut wrong = Vec::new();
    for (title, rows) in [
        ("The ten steps of the specification", STEPS),
        ("The same with a twist", VARIATIONS),
        ("Broken in one way each", TROUBLE),
    ] {
        let mut table = Vec::new();
        for row in rows {
            let result = client.resolve(row.server_name).await;
            table.push(lines(row, &result));
            let mut differences = differences(row, &result);
            if let Ok(found) = &result {
                // A real request to each endpoint, with this Host and this certificate name.
                differences.extend(client.reach(found).await);
            }
            wrong.extend(differences.into_iter().map(|it| (row.server_name, it)));
        }
        writeln!(out, "{title}\n")?;
        print(out, &table)?;
    }
    let (questions, requests) = (internet.questions().len(), internet.requests().len());
    let names = scenarios::rows().count();
    writeln!(out, "{names} names, {questions} DNS questions, {requests} HTTPS requests.")?;
    for (name, what) in &wrong {
        writeln!(out, "WRONG {name}: {what}")?;
    }
    if wrong.is_empty() {
        writeln!(out, "Every endpoint was reached. Everything is as the specification says.")?;
    }
    Ok(wrong.is_empty())
}

fn lines(row: &Row, result: &Result<Resolution, ResolveError>) -> Lines {
    let name = vec![row.server_name.to_owned()];
    let mut notes = vec![row.title.to_owned()];
    let found = match result {
        Ok(found) => found,
        Err(error) => {
            notes.push(format!("fails, {}: {}", error.kind(), present::with_causes(error)));
            let step = error.step().map(|step| step.to_string());
            let cells = [name, step.into_iter().collect(), vec![], vec![], vec![], vec![]];
            return Lines { cells, notes };
        }
    };
    notes.extend(found.degraded().map(|degraded| format!("degraded: {degraded}")));
    notes.extend(found.warnings().map(|warning| format!("warning: {warning}")));
    let connected = found.endpoints().flat_map(|endpoint| {
        endpoint.addresses().map(move |address| format!("{} at {address}", endpoint.host()))
    });
    let holds = match (found.lifetime(), found.well_known_lifetime()) {
        (None, _) => vec!["ever".to_owned()],
        (Some(all), None) => vec![format!("{} s", all.as_secs())],
        (Some(all), Some(well_known)) => vec![
            format!("{} s", all.as_secs()),
            format!("(well-known: {} s)", well_known.as_secs()),
        ],
    };
    let cells = [
        name,
        vec![found.step().to_string()],
        connected.collect(),
        vec![found.authority().to_owned()],
        vec![found.tls_host().to_string()],
        holds,
    ];
    Lines { cells, notes }
}

fn print(out: &mut impl Write, table: &[Lines]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = table.iter().filter_map(|row| row.cells.get(column)).flatten();
        let header = COLUMNS.get(column).map_or(0, |it| it.len());
        cells.map(String::len).chain([header]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(&mut COLUMNS.into_iter())?;
    line(&mut rules.iter().map(String::as_str))?;
    for row in table {
        let height = row.cells.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..height {
            line(&mut row.cells.iter().map(|cell| cell.get(at).map_or("", String::as_str)))?;
        }
        for note in &row.notes {
            line(&mut [format!("    {note}").as_str()].into_iter())?;
        }
    }
    writeln!(out)
}
