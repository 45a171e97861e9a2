//! Ready-made configuration for web servers: they serve the well-known document that a plan has and
//! pass the federation API on to the homeserver.
//!
//! What is put into a configuration is a host name, an address, a number, the document or a
//! [`SafePath`]. None of them has a character that means something to one of the four, so that no
//! name can break out of its place.
#![allow(dead_code, unreachable_pub, reason = "each that includes this uses a part of it")]

mod apache;
mod caddy;
mod haproxy;
mod nginx;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use clap::ValueEnum;
use matrix_delegation::names::Host;
use matrix_delegation::plan::{Document, Listening, Way};

/// For what the configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Program {
    Nginx,
    Caddy,
    /// Apache httpd.
    Apache,
    Haproxy,
}

/// What stands at the choice of the one who runs it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The homeserver's HTTP listener.
    pub upstream: Listening,
    /// Where certificates are: `NAME/fullchain.pem` and `NAME/privkey.pem`, as certbot has them;
    /// for HAProxy `NAME.pem` with both. `None`: Caddy gets its own, the others look in their
    /// usual places.
    pub certificates: Option<SafePath>,
    /// Where Apache finds the document, which it serves from a file.
    pub document: SafePath,
    /// The address to listen at; `None`: all.
    pub bind: Option<IpAddr>,
    /// The port to listen at where others connect to 443, if a packet filter leads there.
    pub https_port: Option<u16>,
    /// The same for the port of the federation. Where both are one, the former counts.
    pub federation_port: Option<u16>,
    /// A whole configuration of a server that runs without privileges and keeps its files in this
    /// directory, in place of one to be added to the system's.
    pub standalone: Option<SafePath>,
}

/// A file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath(String);

impl FromStr for SafePath {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        if path.starts_with('/') && path.bytes().all(safe) {
            Ok(Self(path.to_owned()))
        } else {
            Err("an absolute path of letters, digits and / . _ - alone; others mean something in \
                 configurations"
                .to_owned())
        }
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host that is served at a port, with a certificate of its own.
struct Site<'a> {
    name: Host,
    port: u16,
    document: Option<&'a Document>,
    /// Whether the federation API is passed on.
    federation: bool,
}

/// A text of configuration for a way to be found.
pub fn configuration(program: Program, way: &Way, options: &Options) -> Result<String, fmt::Error> {
    let contact = way.contact();
    let https = options.https_port.unwrap_or(443);
    let federation_port = match contact.port {
        443 => https,
        port => options.federation_port.unwrap_or(port),
    };
    let mut sites = vec![Site {
        name: contact.certificate_name.clone(),
        port: federation_port,
        document: None,
        federation: true,
    }];
    if let Some(document) = way.document() {
        match sites.iter_mut().find(|it| it.name == *document.host() && it.port == https) {
            Some(site) => site.document = Some(document),
            None => sites.push(Site {
                name: document.host().clone(),
                port: https,
                document: Some(document),
                federation: false,
            }),
        }
    }
    let mut text = String::new();
    match program {
        Program::Nginx => nginx::write(&mut text, &sites, options),
        Program::Caddy => caddy::write(&mut text, &sites, options),
        Program::Apache => apache::write(&mut text, &sites, options),
        Program::Haproxy => haproxy::write(&mut text, &sites, options),
    }?;
    Ok(text)
}

impl Options {
    pub fn new(upstream: Listening) -> Self {
        Self {
            upstream,
            certificates: None,
            document: SafePath("/var/www/matrix-server.json".to_owned()),
            bind: None,
            https_port: None,
            federation_port: None,
            standalone: None,
        }
    }

    /// The addresses to listen at: all of them, of both families, unless one is chosen.
    fn binds(&self) -> Vec<Host> {
        let all = [Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()];
        self.bind.map_or(all.to_vec(), |one| vec![one]).into_iter().map(Host::Ip).collect()
    }

    fn upstream(&self) -> String {
        self.upstream.to_string()
    }

    fn certificates(&self, usual: &str) -> String {
        self.certificates.as_ref().map_or_else(|| usual.to_owned(), ToString::to_string)
    }
}

impl Site<'_> {
    /// Whether there may be one of its name and port already: the server name's host, where the
    /// document is, mostly has a web site.
    fn may_be_there(&self, options: &Options) -> bool {
        self.document.is_some() && options.standalone.is_none()
    }

    /// What it answers, in words.
    fn paths(&self) -> &'static str {
        if self.federation {
            "/.well-known/matrix/server and /_matrix/"
        } else {
            "/.well-known/matrix/server"
        }
    }

    /// Its name as part of a file's.
    fn file_name(&self) -> String {
        match &self.name {
            Host::Ip(address) => address.to_string().replace(':', "_"),
            Host::Dns(name) => name.to_string(),
        }
    }

    fn cache_control(document: &Document) -> String {
        let headers = document.headers().into_iter();
        headers.filter(|(name, _)| name == "cache-control").map(|(_, value)| value).collect()
    }
}

/// Lines with an indentation in front.
fn indented(text: &str, by: &str) -> String {
    text.lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{by}{line}\n") })
        .collect()
}
