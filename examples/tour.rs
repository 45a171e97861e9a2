//! A tour of server discovery, in an internet that this program brings along.
//!
//! It starts a DNS server and HTTPS servers on loopback, resolves a server name for each of the
//! ten steps of the specification and many that are broken in some way, makes a real request to
//! every endpoint found, and says where each name led. No network, no privileges, no fixed port.
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

use std::process::ExitCode;

use internet::check::{Client, config, differences};
use internet::scenarios::{self, Row, STEPS, TROUBLE, VARIATIONS};
use matrix_delegation::{Resolution, ResolveError};

#[tokio::main]
async fn main() -> ExitCode {
    let internet = scenarios::internet().start().await;
    let client = Client::new(&internet, config());
    let mut wrong = Vec::new();
    for (title, rows) in [
        ("The ten steps of the specification", STEPS),
        ("The same with a twist", VARIATIONS),
        ("Broken in one way each", TROUBLE),
    ] {
        println!("{title}\n{}", "=".repeat(title.len()));
        for row in rows {
            let result = client.resolve(row.server_name).await;
            show(row, &result);
            wrong.extend(differences(row, &result).into_iter().map(|it| (row.server_name, it)));
            if let Ok(found) = &result {
                let unreached = client.reach(found).await;
                if unreached.is_empty() {
                    println!("    reached       every endpoint, with this Host and certificate");
                }
                wrong.extend(unreached.into_iter().map(|it| (row.server_name, it)));
            }
            println!();
        }
    }
    let (questions, requests) = (internet.questions().len(), internet.requests().len());
    let names = scenarios::rows().count();
    println!("{names} names, {questions} DNS questions, {requests} HTTPS requests");
    if wrong.is_empty() {
        println!("Everything is as the specification says.");
        return ExitCode::SUCCESS;
    }
    for (name, what) in wrong {
        println!("WRONG {name}: {what}");
    }
    ExitCode::FAILURE
}

fn show(row: &Row, result: &Result<Resolution, ResolveError>) {
    println!("{}  ({})", row.server_name, row.title);
    match result {
        Ok(found) => print!("{}", present::Target(found, 0)),
        Err(error) => print!("{}", present::Failure(error)),
    }
}
