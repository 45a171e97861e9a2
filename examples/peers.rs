//! Resolves thousands of Matrix server names side by side, and goes on where it was interrupted.
//!
//! ```sh
//! cargo run --example peers --features full -- --state peers.json servers.txt
//! ```
//!
//! Results come as they are found, as a table or as JSON lines; a bar on the terminal shows how far
//! it is. With `--state` what is done is kept in a file, every thousand names or ten seconds and
//! however the program ends, be it by Ctrl-C or because nobody reads its results any more
//! (`peers … | head`): the next run leaves those names out and remembers their well-knowns. A second
//! Ctrl-C ends it at once.

#[path = "support/names.rs"]
mod names;
#[path = "support/options.rs"]
mod options;
#[path = "support/present.rs"]
mod present;

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::stream::{self, Stream, StreamExt};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use matrix_delegation::resolver::{Outcomes, Snapshot};
use matrix_delegation::{
    Config, HyperFetch, Resolution, ResolveError, Resolver, ResolverConfig, ServerName,
    TokioRuntime,
};
use names::Names;
use options::Network;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Resolves many Matrix server names side by side.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 when all names were tried, 1 when results or state could not be written, \
                  2 when it could not begin, 130 or 143 when it was interrupted (SIGINT, SIGTERM), 141 \
                  when nobody read its results any more."
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
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u32,
    /// The names that were tried.
    done: HashSet<String>,
    /// What came of them, for the summary.
    tally: BTreeMap<String, u64>,
    snapshot: Snapshot,
}

/// What every version of a state says.
#[derive(Debug, Deserialize)]
struct Version {
    version: u32,
}

impl State {
    const VERSION: u32 = 1;

    fn new() -> Self {
        Self {
            version: Self::VERSION,
            done: HashSet::new(),
            tally: BTreeMap::new(),
            snapshot: Snapshot::default(),
        }
    }

    fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let cannot = |error: io::Error| format!("cannot read {shown}: {error}");
        match fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            // A device, say, must not be replaced by a file.
            Ok(_) => return Err(format!("{shown} is not a file, and so no state")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::new()),
            Err(error) => return Err(cannot(error)),
        }
        let text = fs::read(path).map_err(cannot)?;
        let no_state = |error| format!("{shown} is no state of this program: {error}");
        let Version { version } = serde_json::from_slice(&text).map_err(no_state)?;
        if version != Self::VERSION {
            let own = Self::VERSION;
            return Err(format!("{shown} is a state of version {version}, not {own}"));
        }
        serde_json::from_slice(&text).map_err(no_state)
    }

    /// Takes the old file's place only once it is whole.
    fn write(&mut self, path: &Path, resolver: &Resolver) -> Result<(), String> {
        self.snapshot = resolver.snapshot();
        // Added to the whole name: in place of an extension it might be somebody else's.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let written = (|| {
            let mut file = BufWriter::new(File::create(&beside)?);
            serde_json::to_writer(&mut file, self)?;
            file.into_inner()?.sync_all()?;
            fs::rename(&beside, path)
        })();
        written.map_err(|error: io::Error| format!("cannot write {}: {error}", path.display()))
    }
}

/// The state and where it is kept, if it is.
struct Keeper<'a> {
    state: State,
    path: Option<PathBuf>,
    resolver: &'a Resolver,
    /// How many names more are done than the file says, and since when.
    unwritten: usize,
    written: Instant,
}

impl<'a> Keeper<'a> {
    fn open(path: Option<&Path>, resolver: &'a Resolver) -> Result<Self, String> {
        // Through a symbolic link, which would else be replaced.
        let path = path.map(|it| it.canonicalize().unwrap_or_else(|_| it.to_owned()));
        let state = path.as_deref().map_or_else(|| Ok(State::new()), State::read)?;
        Ok(Self { state, path, resolver, unwritten: 0, written: Instant::now() })
    }

    fn done(&mut self, name: String, kind: String) -> Result<(), String> {
        self.state.done.insert(name);
        *self.state.tally.entry(kind).or_default() += 1;
        self.unwritten += 1;
        if self.unwritten >= WRITTEN_EVERY.0 || self.written.elapsed() >= WRITTEN_EVERY.1 {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), String> {
        if let Some(path) = &self.path {
            self.state.write(path, self.resolver)?;
        }
        (self.unwritten, self.written) = (0, Instant::now());
        Ok(())
    }
}

/// How many names more are done, or how much time goes by, before the state is written again.
const WRITTEN_EVERY: (usize, Duration) = (1000, Duration::from_secs(10));
/// How long a line that is being written is waited for when the program is to end.
const MOMENT: Duration = Duration::from_secs(1);

/// The names of a file, each once, without those that are done, and how many those are.
fn names(path: &Path, done: &HashSet<String>) -> io::Result<(Vec<String>, usize)> {
    let file: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path)?))
    };
    let mut lines = Names::new(file);
    let (mut names, mut seen, mut left_out) = (Vec::new(), HashSet::new(), 0);
    while let Some(name) = lines.next()? {
        let name = String::from_utf8(name)
            .unwrap_or_else(|error| error.as_bytes().escape_ascii().to_string());
        if done.contains(&name) {
            left_out += usize::from(seen.insert(name));
        } else if seen.insert(name.clone()) {
            names.push(name);
        }
    }
    Ok((names, left_out))
}

fn resolver(options: &Options) -> Result<Resolver, Box<dyn Error>> {
    let network = &options.network;
    let config = Config::default().with_address_policy(network.policy());
    let mut config = ResolverConfig::from(config);
    (config.memory.hosts, config.memory.bytes) = (400_000, 512 << 20);
    let (dns, roots) = (network.dns()?, network.roots()?);
    let fetch = HyperFetch::with_roots(roots)?;
    let runtime = TokioRuntime::current();
    Ok(Resolver::new(Arc::new(dns), Arc::new(fetch), Arc::new(runtime), config)?)
}

type Outcome = Result<Resolution, ResolveError>;

async fn resolve(resolver: &Resolver, name: String) -> (String, Outcome) {
    let outcome = match name.parse::<ServerName>() {
        Ok(parsed) => resolver.resolve(&parsed).await,
        Err(error) => Err(error.into()),
    };
    (name, outcome)
}

/// A line for a result, and what it counts as.
fn line(name: &str, outcome: &Outcome, as_json: bool) -> (String, String) {
    match outcome {
        Ok(found) => {
            let endpoints: Vec<String> = found.attempts(1).map(|it| it.to_string()).collect();
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

/// Each wish of somebody that this program end, as the exit status that tells of it.
#[cfg(unix)]
fn interruptions() -> io::Result<impl Stream<Item = u8> + Send + Unpin> {
    use std::task::Poll;
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(stream::poll_fn(move |context| {
        if interrupt.poll_recv(context).is_ready() {
            Poll::Ready(Some(130))
        } else {
            terminate.poll_recv(context).map(|_| Some(143))
        }
    }))
}

#[cfg(not(unix))]
fn interruptions() -> io::Result<impl Stream<Item = u8> + Send + Unpin> {
    Ok(Box::pin(stream::repeat(130).then(|status| async move {
        match tokio::signal::ctrl_c().await {
            Ok(()) => status,
            // Nobody can be heard; the names go on.
            Err(_) => std::future::pending().await,
        }
    })))
}

/// The first wish; with the second, the program ends here and now.
fn interrupted() -> io::Result<oneshot::Receiver<u8>> {
    let mut wishes = interruptions()?;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        if let Some(status) = wishes.next().await {
            // Nobody listens when the last names are done.
            let _ = tell.send(status);
        }
        if let Some(status) = wishes.next().await {
            std::process::exit(status.into());
        }
    });
    Ok(told)
}

/// Why it went no further.
enum End {
    Whole,
    Interrupted(u8),
    /// The results could not be written.
    Results(io::Error),
    /// The state could not be written.
    State(String),
}

impl End {
    fn status(&self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Interrupted(status) => *status,
            // Whoever read the results has had enough: as if SIGPIPE had ended it.
            Self::Results(error) if error.kind() == io::ErrorKind::BrokenPipe => 141,
            Self::Results(_) | Self::State(_) => 1,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Interrupted(_) => f.write_str(" (interrupted)"),
            Self::Results(error) => write!(f, " (cannot write results: {error})"),
            Self::State(error) => write!(f, " ({error})"),
        }
    }
}

/// Tells whoever looks on. That nobody can is no reason to stop.
fn tell(what: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{what}");
}

async fn run(options: &Options) -> Result<u8, Box<dyn Error>> {
    let resolver = resolver(options)?;
    let mut keeper = Keeper::open(options.state.as_deref(), &resolver)?;
    let restored = match resolver.restore(&keeper.state.snapshot) {
        Ok(restored) => restored.restored,
        Err(error) => {
            tell(format_args!("the names are done, but no well-known is remembered: {error}"));
            0
        }
    };
    let (names, left_out) = names(&options.names, &keeper.state.done)
        .map_err(|error| format!("cannot read {}: {error}", options.names.display()))?;
    let mut interrupted = interrupted()?;
    // That it cannot be written is better known before the work than after it.
    keeper.write()?;
    if left_out > 0 {
        tell(format_args!("{left_out} names are done, {restored} well-knowns remembered"));
    } else if names.is_empty() {
        tell(format_args!("there is no name in {}", options.names.display()));
    }

    let bar = ProgressBar::new(names.len() as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {rate} a second, {eta} left")?;
    let rate = |bar: &ProgressState, text: &mut dyn fmt::Write| {
        // Nobody looks at it if it cannot be written.
        let _ = write!(text, "{:.0}", bar.per_sec());
    };
    bar.set_style(style.with_key("rate", rate));
    // While names hang, too, time goes on.
    bar.enable_steady_tick(Duration::from_millis(500));
    let (started, mut tried, mut hangs) = (Instant::now(), 0_usize, false);
    let mut results = stream::iter(names)
        .map(|name| resolve(&resolver, name))
        .buffer_unordered(usize::from(options.concurrency));
    let mut end = loop {
        let (name, outcome) = tokio::select! {
            result = results.next() => match result {
                Some(result) => result,
                None => break End::Whole,
            },
            Ok(status) = &mut interrupted => break End::Interrupted(status),
        };
        let (line, kind) = line(&name, &outcome, options.json);
        // On another thread: whoever should read it may be in no hurry.
        let mut written = tokio::task::spawn_blocking({
            let bar = bar.clone();
            move || bar.suspend(|| writeln!(io::stdout(), "{line}"))
        });
        let mut wish = None;
        let written = tokio::select! {
            biased;
            written = &mut written => Some(written),
            Ok(status) = &mut interrupted => {
                wish = Some(status);
                timeout(MOMENT, &mut written).await.ok()
            }
        };
        match written {
            Some(Ok(Ok(()))) => {
                bar.inc(1);
                tried += 1;
                if let Err(error) = keeper.done(name, kind) {
                    break End::State(error);
                }
            }
            Some(Ok(Err(error))) => break End::Results(error),
            Some(Err(error)) => break End::Results(error.into()),
            None => hangs = true,
        }
        if let Some(status) = wish {
            break End::Interrupted(status);
        }
    };
    drop(results);
    if !matches!(end, End::State(_))
        && let Err(error) = keeper.write()
    {
        end = End::State(error);
    }
    // The thread that writes a line has the bar.
    if !hangs {
        bar.finish_and_clear();
    }
    summary(&keeper.state, &resolver, tried, started.elapsed(), &end);
    Ok(end.status())
}

fn summary(state: &State, resolver: &Resolver, tried: usize, took: Duration, end: &End) {
    let rate = f64::from(u32::try_from(tried).unwrap_or(u32::MAX)) / took.as_secs_f64().max(0.001);
    tell(format_args!("{tried} names in {:.1} s, {rate:.0} a second{end}", took.as_secs_f64()));
    let all = state.done.len();
    if all > tried {
        tell(format_args!("{all} names with those of earlier runs:"));
    }
    for (kind, count) in &state.tally {
        tell(format_args!("{count:>8}  {kind}"));
    }
    let counters = resolver.counters();
    let queries = counters.queries;
    let dns = [queries.a, queries.aaaa, queries.srv, queries.srv_deprecated];
    let dns: u64 = dns.into_iter().map(Outcomes::total).sum();
    let well_knowns = queries.well_known.total();
    tell(format_args!("asked: {well_knowns} well-knowns, {dns} questions of DNS"));
}

#[tokio::main]
async fn main() {
    let status = run(&Options::parse()).await.unwrap_or_else(|error| {
        tell(format_args!("error: {}", present::with_causes(&*error)));
        2
    });
    // Not by returning: a line that nobody reads would be waited for.
    std::process::exit(status.into());
}
