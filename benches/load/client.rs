//! Resolving over sockets, in a process that may have few descriptors.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use matrix_delegation::error::Blame;
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::transport::{Dial, DialStream, TcpDial};
use matrix_delegation::{
    AddressPolicy, HickoryDns, HyperFetch, Resolver, ResolverConfig, Runtime, Step, TokioRuntime,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;

use super::{EACH, HEADING, HOSTILE, Hostile, NAMES, Outcome, names, servers};

/// The limits on descriptors; the first is what the machine gives.
const DESCRIPTORS: [Option<usize>; 4] = [None, Some(1024), Some(400), Some(64)];

/// The process of the servers. It ends when its standard input does.
struct Servers {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it printed.
    words: String,
}

impl Servers {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("servers")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, mut words) = (child.stdin.take(), String::new());
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut words).unwrap();
        Self { child, stdin, words }
    }

    /// Runs this program as a client, with so many descriptors, and prints what it prints.
    fn client(&self, descriptors: Option<usize>, what: &[&str]) {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        let limit = descriptors.map_or(String::new(), |limit| format!("ulimit -n {limit} && "));
        command.arg("-c").arg(format!("{limit}exec \"$0\" \"$@\"")).arg(program).arg("client");
        let status = command.args(what).args(self.words.split_whitespace()).status().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Prints what becomes of healthy names alone and among hostile ones, for each limit.
pub(super) fn compare() {
    println!("Over sockets of loopback, {NAMES} names at once, {HOSTILE} of them hostile:\n");
    let servers = Servers::start();
    for descriptors in DESCRIPTORS {
        servers.client(descriptors, &["compare"]);
    }
    println!();
}

/// Prints what becomes of 100,000 callers of 1,000 names.
pub(super) fn callers() {
    Servers::start().client(None, &["callers"]);
}

/// Prints what becomes of names among hostile ones for so long.
pub(super) fn soak(time: Duration) {
    Servers::start().client(None, &["soak", &time.as_secs().to_string()]);
}

/// Takes the addresses that DNS gave to the web servers.
#[derive(Debug)]
struct ToServers(Vec<SocketAddr>);

impl Dial for ToServers {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn DialStream>>> {
        match servers::web_server(address, &self.0) {
            Some(server) => TcpDial.dial(server),
            None => Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) }),
        }
    }
}

/// What the other process said, and what is made of it.
struct World {
    dns: SocketAddr,
    fetch: HyperFetch,
}

impl World {
    fn new(words: &[&str]) -> Self {
        let [certificate, dns, servers @ ..] = words else { panic!("no servers") };
        let certificate = CertificateDer::from(unhex(certificate));
        let servers = servers.iter().map(|it| it.parse().unwrap()).collect();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let fetch = HyperFetch::new(tls).with_dial(Arc::new(ToServers(servers)));
        Self { dns: dns.parse().unwrap(), fetch }
    }

    /// Returns a resolver that remembers nothing yet.
    fn resolver(&self) -> Resolver {
        let mut config = ResolverConfig::default();
        // No name leads anywhere but to loopback.
        config.discovery.address_policy = AddressPolicy::unrestricted();
        let dns = HickoryDns::with_servers([self.dns]).unwrap();
        let runtime = TokioRuntime::current();
        Resolver::builder(Arc::new(dns), Arc::new(self.fetch.clone()), Arc::new(runtime))
            .config(config)
            .build()
            .unwrap()
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// What this process has, as far as the system says.
#[derive(Clone, Copy)]
struct Usage {
    descriptors: usize,
    tasks: usize,
    /// Memory in use, in MiB.
    memory: usize,
}

impl Usage {
    fn now() -> Self {
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|it| it.parse::<usize>().ok()).unwrap_or(0);
        let tasks = Handle::try_current().map_or(0, |it| it.metrics().num_alive_tasks());
        Self { descriptors, tasks, memory: (pages * 4096) >> 20 }
    }
}

async fn resolved(resolver: &Resolver, name: &str) -> Result<bool, bool> {
    match resolver.resolve(&name.parse().unwrap()).await {
        Ok(found) => Ok(found.step() == Step::DelegatedPort && found.degraded().is_none()),
        Err(error) => Err(error.blame() == Blame::Local),
    }
}

/// Resolves names at once. Returns what came of the healthy ones, and the most descriptors and memory
/// meanwhile.
async fn run_among(
    world: &World,
    all: usize,
    hostile: usize,
    ways: &[Hostile],
) -> (Outcome, Usage) {
    let resolver = world.resolver();
    let healthy = Arc::new(AtomicUsize::new(all - hostile));
    let calls: Vec<_> = names(all, hostile, ways)
        .into_iter()
        .map(|(name, is_healthy)| {
            let (resolver, left) = (resolver.clone(), Arc::clone(&healthy));
            tokio::spawn(async move {
                let begun = Instant::now();
                let outcome = resolved(&resolver, &name).await;
                left.fetch_sub(usize::from(is_healthy), Ordering::Relaxed);
                is_healthy.then_some((begun.elapsed(), outcome))
            })
        })
        .collect();
    let mut most = Usage::now();
    while healthy.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = Usage::now();
        most.memory = most.memory.max(now.memory);
        most.descriptors = most.descriptors.max(now.descriptors);
    }
    let mut outcome = Outcome::default();
    for call in join_all(calls).await {
        if let Some((took, resolved)) = call.unwrap() {
            outcome.add(took, resolved);
        }
    }
    (outcome.sorted(), most)
}

/// Waits until everything that a resolver has begun is over.
async fn settled() -> Usage {
    for _ in 0..600 {
        if Usage::now().tasks == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Usage::now()
}

/// Runs as a client, with what the servers said.
#[tokio::main]
pub(super) async fn run(words: &[&str]) {
    match words {
        ["compare", words @ ..] => compare_here(&World::new(words)).await,
        ["callers", words @ ..] => callers_here(&World::new(words)).await,
        ["soak", seconds, words @ ..] => {
            let time = Duration::from_secs(seconds.parse().unwrap());
            soak_here(&World::new(words), time).await;
        }
        other => panic!("{other:?}"),
    }
}

async fn compare_here(world: &World) {
    let before = Usage::now();
    let (alone, most) = run_among(world, NAMES - HOSTILE, 0, &[]).await;
    let limit = TokioRuntime::current().open_files().unwrap_or_default();
    println!("{limit:>6} descriptors{:<5}{HEADING}  ratio  descriptors  memory", "");
    let usage = |most: Usage| format!("{:>12} {:>4} MiB", most.descriptors, most.memory);
    println!("{:<22}{alone}       {}", "  alone", usage(most));
    for ways in EACH.chunks(1).chain([&EACH[..]]) {
        settled().await;
        let (outcome, most) = run_among(world, NAMES, HOSTILE, ways).await;
        let label = if let [way] = ways { way.label() } else { "mixed" };
        println!("  {label:<20}{outcome} {:>6.2}{}", outcome.ratio(&alone), usage(most));
    }
    let after = settled().await;
    println!(
        "  before and after: {} and {} descriptors, {} and {} tasks",
        before.descriptors, after.descriptors, before.tasks, after.tasks
    );
    // What was short is there again.
    let (again, _) = run_among(world, 100, 0, &[]).await;
    println!("  100 healthy names afterwards: {} right", again.took.len());
}

async fn callers_here(world: &World) {
    let resolver = world.resolver();
    let begun = Instant::now();
    let calls: Vec<_> = (0..100_000)
        .map(|caller| {
            let resolver = resolver.clone();
            let name = format!("good{}.load.example", caller % 1000);
            tokio::spawn(async move { resolved(&resolver, &name).await })
        })
        .collect();
    let right = join_all(calls).await.into_iter().filter(|it| matches!(it, Ok(Ok(true)))).count();
    let (took, most) = (begun.elapsed(), Usage::now());
    println!(
        "100,000 callers of 1,000 names: {right} right within {took:.2?}, {} MiB",
        most.memory
    );
}

async fn soak_here(world: &World, time: Duration) {
    let begun = Instant::now();
    let (before, mut most) = (settled().await, Usage::now());
    let (mut rounds, mut right, mut wrong) = (0, 0, 0);
    while begun.elapsed() < time {
        let (outcome, usage) = run_among(world, NAMES / 10, HOSTILE / 10, &EACH).await;
        most.memory = most.memory.max(usage.memory);
        most.descriptors = most.descriptors.max(usage.descriptors);
        rounds += 1;
        right += outcome.took.len();
        wrong += outcome.wrong + outcome.local + outcome.failed;
    }
    let after = settled().await;
    println!(
        "{rounds} rounds in {:.0?}: {right} healthy names right, {wrong} not; at most {} descriptors \
         and {} MiB; before and after {} and {} descriptors, {} and {} tasks, {} and {} MiB",
        begun.elapsed(),
        most.descriptors,
        most.memory,
        before.descriptors,
        after.descriptors,
        before.tasks,
        after.tasks,
        before.memory,
        after.memory
    );
}
