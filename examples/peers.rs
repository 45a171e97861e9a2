//! Resolves thousands of Matrix server names side by side, and goes on where it was interrupted.
//!
//! ```sh
//! cargo run --example peers --features full -- --state peers.json servers.txt
//! ```
//!
//! Results come as they are found, as a table or as JSON lines; a bar on the terminal shows how far
//! it is. With `--state` what is done is kept in a file, every thousand names and when it is
//! interrupted (Ctrl-C): the next run leaves those names out and remembers their well-knowns.

#[path = "support/options.rs"]
mod options;
#[path = "support/present.rs"]
mod present;

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use matrix_delegation::{
    Config, HyperFetch, Outcomes, Resolution, ResolveError, Resolver, ServerName, Snapshot,
    TokioRuntime,
};
use options::Network;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Resolves many Matrix server names side by side.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 when all names were tried, 130 when it was interrupted, 2 for bad usage."
)]
struct Options {
    /// One JSON object a line in place of a table.
    #[arg(long)]
    json: bool,
    /// How many names are resolved at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// A file that says what is done, to go on from; it is written anew.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
    /// A file with a server name a line, or - for standard input.
    names: PathBuf,
}

/// What is kept between runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// The names that were tried.
    done: HashSet<String>,
    /// What came of them, for the summary.
    tally: BTreeMap<String, u64>,
    snapshot: Snapshot,
}

impl State {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        match File::open(path) {
            Ok(file) => Ok(serde_json::from_reader(BufReader::new(file)).map_err(|error| {
                format!("{} is no state of this program: {error}", path.display())
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
        }
    }

    /// Takes the old file's place only once it is whole.
    fn write(&mut self, path: &Path, resolver: &Resolver) -> io::Result<()> {
        self.snapshot = resolver.snapshot();
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        serde_json::to_writer(&mut file, self)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    }
}

/// How many names more are done before the state is written again.
const WRITTEN_EVERY: usize = 1000;
/// More than this of a line is no server name, in bytes.
const LINE: u64 = 1024;

/// The names of a file, each once, without those that are done.
fn names(path: &Path, done: &HashSet<String>) -> io::Result<(Vec<String>, usize)> {
    let mut file: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path)?))
    };
    let (mut names, mut seen, mut left_out) = (Vec::new(), HashSet::new(), 0);
    loop {
        let mut line = Vec::new();
        if file.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok((names, left_out));
        }
        if !line.ends_with(b"\n") {
            // The rest of a line that is too long is no name by itself.
            file.skip_until(b'\n')?;
        }
        let name = String::from_utf8_lossy(&line).trim().to_owned();
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        if done.contains(&name) {
            left_out += usize::from(seen.insert(name));
        } else if seen.insert(name.clone()) {
            names.push(name);
        }
    }
}

fn resolver(options: &Options) -> Result<Resolver, Box<dyn Error>> {
    let network = &options.network;
    let mut config = Config::default().with_address_policy(network.policy());
    config.memory.well_known = 100_000;
    let (dns, roots) = (network.dns()?, network.roots()?);
    let fetch = HyperFetch::with_roots(roots)?;
    let runtime = TokioRuntime::current();
    Ok(Resolver::new(Arc::new(dns), Arc::new(fetch), Arc::new(runtime), config))
}

type Outcome = Result<Resolution, ResolveError>;

async fn resolve(resolver: &Resolver, name: String) -> (String, Outcome) {
    let outcome = match name.parse::<ServerName>() {
        Ok(parsed) => resolver.resolve(&parsed).await,
        Err(error) => Err(ResolveError::invalid_server_name(&name, error)),
    };
    (name, outcome)
}

/// A line for a result, and what it counts as.
fn line(name: &str, outcome: &Outcome, as_json: bool) -> (String, String) {
    match outcome {
        Ok(found) => {
            let endpoints: Vec<String> = found.attempts(1).map(ToString::to_string).collect();
            let line = if as_json {
                json!({"server_name": name, "outcome": "resolved", "step": found.step(),
                       "host_header": found.authority(), "endpoints": endpoints})
                .to_string()
            } else {
                let (step, host) = (found.step(), found.authority());
                format!("{name:<40} {step:<4} {host:<40} {}", endpoints.join(" "))
            };
            (line, format!("step {}", found.step()))
        }
        Err(error) => {
            let message = present::with_causes(error);
            let line = if as_json {
                json!({"server_name": name, "outcome": "failed", "step": error.step(),
                       "error": {"kind": error.kind(), "message": message}})
                .to_string()
            } else {
                let name = present::printable(name);
                format!("{name:<40} -    {:<40} {}", error.kind(), present::printable(&message))
            };
            (line, error.kind().to_owned())
        }
    }
}

async fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let resolver = resolver(options)?;
    let mut state = match &options.state {
        Some(path) => State::read(path)?,
        None => State::default(),
    };
    let restored = resolver.restore(&state.snapshot)?.restored;
    let (names, left_out) = names(&options.names, &state.done)
        .map_err(|error| format!("cannot read {}: {error}", options.names.display()))?;
    let bar = ProgressBar::new(names.len() as u64);
    let style = "{bar:40} {pos}/{len}, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    if left_out > 0 {
        bar.println(format!("{left_out} names are done, {restored} well-knowns remembered"));
    }
    let started = Instant::now();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut results = futures_util::stream::iter(names)
        .map(|name| resolve(&resolver, name))
        .buffer_unordered(usize::from(options.concurrency));
    let mut tried = 0_usize;
    let whole = loop {
        let (name, outcome) = tokio::select! {
            result = results.next() => match result {
                Some(result) => result,
                None => break true,
            },
            _ = &mut interrupted => break false,
        };
        let (line, kind) = line(&name, &outcome, options.json);
        bar.suspend(|| writeln!(io::stdout(), "{line}"))?;
        bar.inc(1);
        *state.tally.entry(kind).or_default() += 1;
        state.done.insert(name);
        tried += 1;
        if let Some(path) = options.state.as_ref().filter(|_| tried.is_multiple_of(WRITTEN_EVERY)) {
            state.write(path, &resolver)?;
        }
    };
    drop(results);
    bar.finish_and_clear();
    if let Some(path) = &options.state {
        state.write(path, &resolver)?;
    }
    summary(&state, &resolver, tried, started.elapsed(), whole);
    Ok(whole)
}

fn summary(state: &State, resolver: &Resolver, tried: usize, took: Duration, whole: bool) {
    let rate = f64::from(u32::try_from(tried).unwrap_or(u32::MAX)) / took.as_secs_f64().max(0.001);
    let end = if whole { "" } else { " (interrupted)" };
    eprintln!("{tried} names in {:.1} s, {rate:.0} a second{end}", took.as_secs_f64());
    for (kind, count) in &state.tally {
        eprintln!("{count:>8}  {kind}");
    }
    let counters = resolver.counters();
    let queries = counters.queries;
    let dns = [queries.a, queries.aaaa, queries.srv, queries.srv_deprecated];
    let dns: u64 = dns.into_iter().map(Outcomes::total).sum();
    eprintln!("asked: {} well-knowns, {dns} questions of DNS", queries.well_known.total());
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(130),
        // Whoever read the results has had enough.
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
