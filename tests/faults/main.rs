//! What servers can do wrong, over real sockets on loopback, one row a fault.
//!
//! Each row says which outcome the fault must have, which limit must end it where one must, and how much
//! memory it may cost. The client of a row runs on a thread of its own, so that what it allocates is
//! counted apart from the servers and from other rows. A row in which no limit must fire runs under limits
//! far beyond the watchdog: what hangs, hangs until the watchdog says so.
//!
//! ```sh
//! cargo test --features full --test faults -- --nocapture
//! ```
//!
//! prints each row with its outcome and with the most memory it held.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod clients;
mod dns;
#[path = "../hickory_dns/server.rs"]
#[allow(dead_code, reason = "its messages are used, not its server")]
mod dns_message;
mod http1;
mod http2;
mod json;
#[path = "../support/loopback.rs"]
mod loopback;
mod net;
mod row;
#[path = "../hyper_fetch/server.rs"]
#[allow(dead_code, reason = "others use the rest of it")]
mod server;
mod tls;

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use self::row::{Row, Seen};

/// The limit that a row runs into.
const SHORT: Duration = Duration::from_millis(300);
/// The limits that it does not run into.
const LONG: Duration = Duration::from_secs(3600);
/// A hundred times the limit that a row runs into.
const WATCHDOG: Duration = Duration::from_secs(30);
/// How many rows of a table run at a time.
const AT_A_TIME: usize = 16;

/// The kinds of faults, with which the names begin: who meets them, or in what they are.
const KINDS: [&str; 7] =
    ["DNS: ", "fetch: ", "federation: ", "discovery: ", "HTTP/1.1: ", "HTTP/2: ", "JSON: "];

/// Every table, by its name.
fn tables() -> [(&'static str, Vec<Row>); 5] {
    [
        ("dns", dns::rows()),
        ("tls", tls::rows()),
        ("http1", http1::rows()),
        ("http2", http2::rows()),
        ("json", json::rows()),
    ]
}

#[test]
fn there_are_many_rows_and_each_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for (table, rows) in tables() {
        for row in rows {
            assert!(names.insert(row.name.clone()), "{table}: there are two of: {}", row.name);
        }
    }
    let of = |kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
    let counts = KINDS.map(|kind| (kind, of(kind)));
    println!("{} rows: {counts:?}", names.len());
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), names.len());
    assert!(names.len() >= 250, "{}", names.len());
    for advisory in ["CVE-2023-44487", "CVE-2024-27316", "103 over HTTP/2", "103 over HTTP/1.1"] {
        assert!(names.iter().any(|name| name.contains(advisory)), "{advisory}");
    }
}

#[test]
fn dns() {
    judge(dns::rows());
}

#[test]
fn tls() {
    judge(tls::rows());
}

#[test]
fn http1() {
    judge(http1::rows());
}

#[test]
fn http2() {
    judge(http2::rows());
}

#[test]
fn json() {
    judge(json::rows());
}

/// Runs the rows, some at a time, and fails with all that is wrong with any of them.
fn judge(rows: Vec<Row>) {
    let only = std::env::var("FAULT").ok();
    let chosen = |row: &Row| only.as_ref().is_none_or(|part| row.name.contains(part.as_str()));
    let rows: Vec<Row> = rows.into_iter().filter(chosen).collect();
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let queue = Arc::new(Mutex::new(rows.into_iter()));
    let (done, results) = channel();
    for _ in 0..AT_A_TIME {
        let (queue, done) = (Arc::clone(&queue), done.clone());
        thread::spawn(move || {
            loop {
                let Some(row) = queue.lock().unwrap().next() else { break };
                let name = row.name.clone();
                let problems = catch_unwind(AssertUnwindSafe(|| run(row)));
                let problems = problems.unwrap_or_else(|panic| vec![said(panic.as_ref())]);
                if done.send((name, problems)).is_err() {
                    break;
                }
            }
        });
    }
    let mut open: BTreeSet<String> = names.into_iter().collect();
    let mut wrong = Vec::new();
    while !open.is_empty() {
        // A row that never yields escapes the watchdog of its runtime.
        let Ok((name, problems)) = results.recv_timeout(WATCHDOG * 3) else {
            panic!("no row ends any more; these have not: {open:?}")
        };
        open.remove(&name);
        wrong.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    assert!(wrong.is_empty(), "{} problems\n{}", wrong.len(), wrong.join("\n"));
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// Runs a row on this thread, and says what is wrong.
fn run(row: Row) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    let client = (row.client)(row.limit);
    drop(entered);
    let mut seen = None;
    let memory = allocation_counter::measure(|| {
        seen = runtime.block_on(async { tokio::time::timeout(WATCHDOG, client).await.ok() });
    });
    let peak = usize::try_from(memory.bytes_max).unwrap();
    let Some(Seen { outcome, words }) = seen else {
        return vec![format!("it hangs; {} KiB", peak / 1024)];
    };
    println!(
        "{:>6} KiB of {:>5}  {}: {outcome:?} {words:.200}",
        peak / 1024,
        row.most / 1024,
        row.name
    );
    let mut wrong = Vec::new();
    if !outcome.meets(row.want) {
        wrong.push(format!("{outcome:?} instead of {:?}: {words}", row.want));
    }
    for evidence in [row.limit.evidence(row.want), row.says] {
        if !words.contains(evidence) {
            wrong.push(format!("no word of {evidence:?}: {words}"));
        }
    }
    if peak > row.most {
        wrong.push(format!("{} KiB of memory, more than {}", peak / 1024, row.most / 1024));
    }
    wrong
}
