//! How one's own server is found: advice, documents, zone lines and configuration.
//!
//! ```sh
//! cargo run --example plan --features plan -- example.org --listening matrix.example.org:443 \
//!     --certificate matrix.example.org
//! cargo run --example plan --features plan -- example.org --listening matrix.example.org:443 \
//!     --certificate '*.example.org' --proxy nginx --upstream 127.0.0.1:8008
//! ```

#[path = "support/proxies/mod.rs"]
mod proxies;

use std::error::Error;
use std::io::{self, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use matrix_delegation::plan::{
    HostRecords, Listening, NamePattern, Proposal, Setup, SrvServices, WayKind,
};
use matrix_delegation::{AddressPolicy, ServerName};

use proxies::{Program, SafePath};

/// How one's own Matrix server is found: do I need delegation, what do I publish, which certificate
/// goes where, may I use a reverse proxy.
#[derive(Debug, Parser)]
#[command(version, after_help = "Exit status: 0 if a way works, 1 if none does, 2 for bad usage.")]
struct Arguments {
    /// The server name, which stands in user identifiers: @user:SERVER-NAME.
    #[arg(value_parser = with_causes::<ServerName>)]
    server_name: ServerName,
    /// Where the server, or the reverse proxy before it, takes connections from others.
    #[arg(long, value_name = "HOST:PORT", value_parser = with_causes::<Listening>)]
    listening: Listening,
    /// A name that its certificates carry, such as matrix.example.org or *.example.org; once for each.
    #[arg(long, value_name = "NAME", value_parser = with_causes::<NamePattern>)]
    certificate: Vec<NamePattern>,
    /// The listening host is an alias (CNAME) in DNS.
    #[arg(long)]
    alias: bool,
    /// Add the deprecated SRV record, for old servers.
    #[arg(long)]
    deprecated_srv: bool,
    /// How long others may remember the document.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    max_age: u32,
    /// A range that others may connect to although it is not the public internet; once for each.
    #[arg(long, value_name = "CIDR")]
    allow: Vec<IpNet>,
    /// One JSON object in place of advice.
    #[arg(long, conflicts_with = "proxy")]
    json: bool,
    /// Print configuration in place of advice.
    #[arg(long, value_enum)]
    proxy: Option<Program>,
    #[command(flatten)]
    configuration: Configuration,
}

/// What goes into the configuration.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --proxy")]
struct Configuration {
    /// For this way; else for the recommended one.
    #[arg(long, requires = "proxy", value_enum)]
    way: Option<Choice>,
    /// Where the homeserver takes plain HTTP.
    #[arg(long, requires = "proxy", value_name = "HOST:PORT", default_value = "127.0.0.1:8008",
        value_parser = with_causes::<Listening>)]
    upstream: Listening,
    /// Where certificates are.
    #[arg(long, requires = "proxy", value_name = "DIRECTORY")]
    certificates: Option<SafePath>,
    /// Where Apache finds the document.
    #[arg(long, requires = "proxy", value_name = "FILE")]
    document: Option<SafePath>,
    /// The address to listen at; else all.
    #[arg(long, requires = "proxy", value_name = "IP")]
    bind: Option<IpAddr>,
    /// The port to listen at for what comes to 443.
    #[arg(long, requires = "proxy", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    https_port: Option<u16>,
    /// The port to listen at for the federation.
    #[arg(long, requires = "proxy", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    federation_port: Option<u16>,
    /// A whole configuration of a server without privileges, with its files in this directory.
    #[arg(long, requires = "proxy", value_name = "DIRECTORY")]
    standalone: Option<SafePath>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    NothingNeeded,
    WellKnown,
    Srv,
}

/// Reads a value; an error is given with all that led to it, and with what may have been meant.
fn with_causes<T: std::str::FromStr<Err: Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        match meant(text) {
            Some(hint) => format!("{words}; {hint}"),
            None => words,
        }
    })
}

/// What people write in place of a name.
fn meant(text: &str) -> Option<String> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Some(format!("leave out {scheme}://"));
    }
    if text.starts_with('@') {
        return Some("the server name is what follows the first colon".to_owned());
    }
    if text.contains(',') {
        return Some("give the option once for each name".to_owned());
    }
    let url = (!text.is_ascii()).then(|| url::Url::parse(&format!("https://{text}")).ok())??;
    url.host_str().map(|host| format!("DNS has it as {host}"))
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(status) => status,
        // Whoever reads it has had enough: as if SIGPIPE had ended it.
        Err(error) if is_broken_pipe(&*error) => ExitCode::from(141),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

fn run(arguments: Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let policy =
        arguments.allow.iter().copied().fold(AddressPolicy::default(), AddressPolicy::allow);
    let records = if arguments.alias { HostRecords::Alias } else { HostRecords::Addresses };
    let services =
        if arguments.deprecated_srv { SrvServices::WithDeprecated } else { SrvServices::Current };
    let plan = Setup::new(arguments.server_name, arguments.listening.with_host_records(records))
        .with_certificate_names(arguments.certificate)
        .with_srv_services(services)
        .with_max_age(Duration::from_secs(arguments.max_age.into()))
        .with_address_policy(policy)
        .plan();
    let mut out = io::stdout().lock();
    let Some(program) = arguments.proxy else {
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&plan)?)?;
        } else {
            write!(out, "{plan}")?;
        }
        return Ok(ExitCode::from(u8::from(plan.recommended().is_none())));
    };
    let asked = arguments.configuration;
    let way = match asked.way {
        None => plan.recommended(),
        Some(choice) => plan.proposal(choice.kind()).way(),
    };
    let Some(way) = way else {
        let asked = asked.way.map(Choice::kind);
        let shown = |it: &&Proposal| asked.is_none_or(|kind| kind == it.kind);
        for proposal in plan.proposals().iter().filter(shown) {
            for obstacle in proposal.obstacles() {
                eprintln!("{}: {obstacle}", proposal.kind);
            }
        }
        return Ok(ExitCode::from(1));
    };
    let mut options = proxies::Options::new(asked.upstream);
    if let Some(document) = asked.document {
        options.document = document;
    }
    options.certificates = asked.certificates;
    options.bind = asked.bind;
    options.https_port = asked.https_port;
    options.federation_port = asked.federation_port;
    options.standalone = asked.standalone;
    write!(out, "{}", proxies::configuration(program, way, &options)?)?;
    Ok(ExitCode::SUCCESS)
}

impl Choice {
    const fn kind(self) -> WayKind {
        match self {
            Self::NothingNeeded => WayKind::NothingNeeded,
            Self::WellKnown => WayKind::WellKnown,
            Self::Srv => WayKind::Srv,
        }
    }
}
