//! Resolves Matrix server names.
//!
//! ```sh
//! cargo run --example resolve --features full -- matrix.org
//! cargo run --example resolve --features full -- --check matrix.org
//! cargo run --example resolve --features full -- --json --get /_matrix/federation/v1/version -
//! ```

#[path = "support/get.rs"]
mod get;
#[path = "support/names.rs"]
mod names;
#[path = "support/options.rs"]
mod options;
#[path = "support/present.rs"]
mod present;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use matrix_delegation::certificate::{AddressCheck, CheckStatus};
use matrix_delegation::client::ConnectLimits;
use matrix_delegation::names::Host;
use matrix_delegation::resolver::{Explanation, Provenance};
use matrix_delegation::{
    CertificateProbe, Config, Connector, Endpoint, HyperFetch, Report, Resolution, ResolveError,
    Resolver, ServerName, Step, TokioRuntime,
};
use names::Names;
use options::Network;
use serde::Serialize;

/// Where Matrix servers are reached: endpoints, Host header and certificate name.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 if every name resolved, 1 if one did not, 2 for bad usage."
)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
struct Options {
    /// One JSON object a line, in the order of the names.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
    /// Draws the order of SRV endpoints and the jitter of lifetimes.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The letter of the specification where the default is lenient.
    #[arg(long)]
    strict: bool,
    /// Forget everything before each name.
    #[arg(long)]
    no_cache: bool,
    /// How long resolving one name may take.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Tell every question, answer and skipped step.
    #[arg(long)]
    explain: bool,
    /// Shake hands with every address and judge its certificate.
    #[arg(long)]
    check: bool,
    /// Make this federation request to each name and print the response.
    #[arg(long, value_name = "PATH", value_parser = path)]
    get: Option<String>,
    /// Server names, or - to read them from standard input, one a line; comments begin with #.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<OsString>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a time above 0 seconds".to_owned()),
    }
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path begins with /".to_owned());
    }
    if text.contains('#') {
        return Err("a path has no #".to_owned());
    }
    text.parse::<http::uri::PathAndQuery>().map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// One line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    server_name: &'a str,
    outcome: &'static str,
    step: Option<Step>,
    #[serde(flatten)]
    found: Option<Found<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Vec<CheckLine>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Answer>,
    /// On a remembered answer: for how long it has been remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    remembered_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Report>,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    host_header: &'a str,
    tls_name: String,
    endpoints: Vec<EndpointLine>,
    lifetime_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    well_known_lifetime_seconds: Option<u64>,
    provenance: Provenance,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<String>,
    warnings: Vec<Message>,
}

#[derive(Debug, Serialize)]
struct EndpointLine {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
}

#[derive(Debug, Serialize)]
struct Message {
    kind: &'static str,
    message: String,
}

/// What came of a handshake with one address.
#[derive(Debug, Serialize)]
struct CheckLine {
    address: String,
    status: CheckStatus,
    /// What is wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// All of it, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<AddressCheck>,
}

impl CheckLine {
    fn new(check: AddressCheck, explain: bool) -> Self {
        let report = check.report.as_ref().filter(|report| !report.is_valid());
        let message = report.map(ToString::to_string).or_else(|| check.detail.clone());
        let address = check.address.map_or_else(|| check.endpoint.clone(), |it| it.to_string());
        Self { address, status: check.status, message, details: explain.then_some(check) }
    }
}

/// What came of the federation request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Response { status: u16, body: serde_json::Value },
    Failed { error: String },
}

/// A host by itself: IPv6 addresses without brackets.
fn bare(host: &Host) -> String {
    match host {
        Host::Ip(address) => address.to_string(),
        Host::Dns(name) => name.to_string(),
    }
}

impl<'a> Found<'a> {
    fn new(found: &'a Resolution, order: &[Endpoint<'_>]) -> Self {
        Self {
            host_header: found.authority(),
            tls_name: bare(found.tls_host()),
            endpoints: order
                .iter()
                .map(|endpoint| EndpointLine {
                    host: bare(endpoint.host()),
                    port: endpoint.port(),
                    addresses: endpoint.addresses().collect(),
                })
                .collect(),
            lifetime_seconds: found.lifetime().map(|it| it.as_secs()),
            well_known_lifetime_seconds: found.well_known_lifetime().map(|it| it.as_secs()),
            provenance: found.provenance(),
            degraded: found.degraded().map(|it| it.to_string()),
            warnings: found
                .warnings()
                .map(|it| Message { kind: it.kind(), message: it.to_string() })
                .collect(),
        }
    }
}

/// What came of going where the answer leads.
#[derive(Debug, Default)]
struct Seen {
    certificates: Option<Vec<AddressCheck>>,
    response: Option<Answer>,
}

/// Resolves one name after the other and prints what comes of it.
struct Program {
    options: Options,
    resolver: Resolver,
    connector: Connector,
    /// Where certificates are to be checked.
    probe: Option<CertificateProbe>,
    seed: u64,
    all_resolved: bool,
}

impl Program {
    fn new(options: Options) -> Result<Self, Box<dyn Error>> {
        let network = &options.network;
        let preset = if options.strict { Config::strict() } else { Config::default() };
        let mut config = preset.with_address_policy(network.policy());
        if let Some(timeout) = options.timeout {
            config.time.discovery = timeout;
        }
        let (dns, roots) = (network.dns()?, network.roots()?);
        let probe =
            if options.check { Some(CertificateProbe::with_roots(roots.clone())?) } else { None };
        let limits =
            if options.strict { ConnectLimits::strict() } else { ConnectLimits::default() };
        let connector = Connector::with_roots(roots.clone())?.with_limits(limits)?;
        let fetch = HyperFetch::with_roots(roots)?;
        let runtime = Arc::new(TokioRuntime::current());
        let seed = options.seed.unwrap_or_else(|| {
            use std::hash::{BuildHasher, RandomState};
            RandomState::new().hash_one(0_u8)
        });
        let resolver = Resolver::builder(Arc::new(dns), Arc::new(fetch), runtime)
            .config(config)
            .seed(seed)
            .build()?;
        let connector = connector.reporting_to(resolver.clone());
        Ok(Self { options, resolver, connector, probe, seed, all_resolved: true })
    }

    async fn line(&mut self, name: &[u8]) -> io::Result<()> {
        if self.options.no_cache {
            self.resolver.clear();
        }
        let parsed = match ServerName::parse(name) {
            Ok(parsed) => parsed,
            Err(error) => {
                let error = ResolveError::from(error);
                let seen = Seen::default();
                return self.print(&String::from_utf8_lossy(name), &Err(error), &[], None, seen);
            }
        };
        let Explanation { result, report, .. } = self.resolver.explain(&parsed).await;
        // Each line draws its own order; the step keeps the lines of one seed off those of the next.
        self.seed = self.seed.wrapping_add(0xD1B5_4A32_D192_ED03);
        // As it is now: what fails from here on is tried last the next time.
        let order: Vec<_> = result.iter().flat_map(|found| found.attempts(self.seed)).collect();
        let mut seen = Seen::default();
        if let (Some(probe), Ok(found)) = (&self.probe, &result) {
            seen.certificates = Some(probe.check_certificates(found).await);
        }
        if let (Some(path), Ok(found)) = (&self.options.get, &result) {
            seen.response = Some(self.get(found, path).await);
        }
        let report = report.filter(|_| self.options.explain);
        let name = String::from_utf8_lossy(name);
        self.print(&name, &result, &order, report.as_deref(), seen)
    }

    async fn get(&self, found: &Resolution, path: &str) -> Answer {
        match get::get(&self.connector, found, self.seed, path).await {
            Ok((status, body)) => Answer::Response {
                status,
                body: serde_json::from_slice(&body)
                    .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into()),
            },
            Err(error) => Answer::Failed { error },
        }
    }

    fn print(
        &mut self,
        name: &str,
        result: &Result<Resolution, ResolveError>,
        order: &[Endpoint<'_>],
        report: Option<&Report>,
        seen: Seen,
    ) -> io::Result<()> {
        self.all_resolved &= result.is_ok();
        let remembered = |found: &Resolution| {
            (self.options.explain && !found.is_new()).then(|| found.age().as_secs())
        };
        let mut out = io::stdout().lock();
        if self.options.json {
            let explain = self.options.explain;
            let certificate = seen.certificates.map(|checks| {
                checks.into_iter().map(|check| CheckLine::new(check, explain)).collect()
            });
            let line = Line {
                server_name: name,
                outcome: if result.is_ok() { "resolved" } else { "failed" },
                step: match result {
                    Ok(found) => Some(found.step()),
                    Err(error) => error.step(),
                },
                found: result.as_ref().ok().map(|found| Found::new(found, order)),
                error: result.as_ref().err().map(|error| Message {
                    kind: error.kind(),
                    message: present::with_causes(error),
                }),
                certificate,
                response: seen.response,
                remembered_seconds: result.as_ref().ok().and_then(remembered),
                report,
            };
            serde_json::to_writer(&mut out, &line)?;
            writeln!(out)?;
            return out.flush();
        }
        writeln!(out, "{}", present::printable(name))?;
        match result {
            Ok(found) => {
                write!(out, "{}", present::Target(found, order))?;
                writeln!(out, "    answer        {}", found.provenance())?;
                if let Some(age) = remembered(found) {
                    writeln!(out, "    remembered    for {age} s, as found then:")?;
                }
            }
            Err(error) => write!(out, "{}", present::Failure(error))?,
        }
        for check in seen.certificates.iter().flatten() {
            writeln!(out, "    checked       {}", present::printable(&check.to_string()))?;
            let details = check.report.as_ref().and_then(|report| report.certificate.as_ref());
            if let (Some(details), true) = (details, self.options.explain) {
                writeln!(out, "                  {}", present::printable(&details.to_string()))?;
            }
        }
        match seen.response {
            Some(Answer::Response { status, body }) => {
                let body = present::printable(&body.to_string());
                writeln!(out, "    response      {status} {body}")?;
            }
            Some(Answer::Failed { error }) => {
                writeln!(out, "    no response   {}", present::printable(&error))?;
            }
            None => {}
        }
        if let Some(report) = report {
            for line in report.to_string().lines() {
                writeln!(out, "    | {}", present::printable(line))?;
            }
        }
        out.flush()
    }

    async fn run(&mut self) -> io::Result<()> {
        for name in std::mem::take(&mut self.options.names) {
            if name == "-" {
                let mut names = Names::new(io::stdin().lock());
                while let Some(name) = names.next()? {
                    self.line(&name).await?;
                }
            } else {
                self.line(name.as_encoded_bytes()).await?;
            }
        }
        Ok(())
    }
}

// Another thread drives what goes on in the background while this one waits for input.
#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut program = match Program::new(options) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("resolve: {}", present::with_causes(&*error));
            return ExitCode::from(2);
        }
    };
    match program.run().await {
        Ok(()) if program.all_resolved => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(1),
        // Nobody reads on: `resolve ... | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(1),
        Err(error) => {
            eprintln!("resolve: {error}");
            ExitCode::from(1)
        }
    }
}
