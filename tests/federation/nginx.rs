//! Against a real nginx: certificates that are right, for another name, expired and untrusted, on
//! IPv4 and IPv6; connections that it ends.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use matrix_delegation::FederationClient;
use matrix_delegation::client::{ConnectPhase, RequestError};
use matrix_delegation::testing::Internet;

use super::server::{Authority, NAME, refusing};
use super::{WATCHDOG, connector, delegated, found, resolver, watched};

/// Where this is set, a missing nginx is an error.
const DEMANDED: &str = "MATRIX_DELEGATION_DEMANDS_PROXIES";

/// A site at the same port of both loopback addresses, or of 127.0.0.1 where IPv6 is off.
pub(crate) struct Site {
    port: u16,
    certificate: String,
    key: String,
    locations: String,
}

impl Site {
    /// It answers the version, and who asked how.
    pub(crate) fn new((certificate, key): (String, String)) -> Self {
        let port = free_port();
        let locations = format!(
            "location = {VERSION} {{ default_type application/json;
             return 200 '{{\"port\":\"{port}\",\"host\":\"$http_host\",\"by\":\"$server_protocol\"}}'; }}"
        );
        Self { port, certificate, key, locations }
    }

    /// It answers as these directives say.
    pub(crate) fn serving(mut self, locations: String) -> Self {
        self.locations = locations;
        self
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// It has these directives besides.
    fn with(mut self, directives: &str) -> Self {
        self.locations.push_str(directives);
        self
    }

    fn at(&self, host: &str) -> SocketAddr {
        format!("{host}:{}", self.port).parse().unwrap()
    }
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A port that is free at every address that a site has, each time another one. It lies below those that
/// the system hands out, so that no other test gets it before nginx does; another process may, which the
/// start notices.
fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = std::process::id() as usize;
    for _ in 0..1_000 {
        let at = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = u16::try_from(20_000 + at).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && (!has_ipv6() || TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok())
        {
            return port;
        }
    }
    panic!("of 1,000 ports, none was free");
}

/// It ends with this value.
pub(crate) struct Nginx {
    child: Child,
    directory: PathBuf,
}

impl Nginx {
    pub(crate) fn start(sites: &[&Site]) -> Option<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("matrix-delegation-nginx-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let mut servers = String::new();
        for site in sites {
            let Site { port, locations, .. } = site;
            fs::write(directory.join(format!("{port}.crt")), &site.certificate).unwrap();
            fs::write(directory.join(format!("{port}.key")), &site.key).unwrap();
            let v6 =
                if has_ipv6() { format!("listen [::1]:{port} ssl http2;") } else { String::new() };
            let server = format!(
                "server {{ listen 127.0.0.1:{port} ssl http2; {v6}
                ssl_certificate {port}.crt; ssl_certificate_key {port}.key; {locations} }}\n"
            );
            servers.push_str(&server);
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};"))
            .join(" ");
        let configuration = format!(
            "daemon off; master_process off; pid pid; error_log stderr; events {{}}
            http {{ access_log off; {temporary}\n{servers} }}"
        );
        fs::write(directory.join("nginx.conf"), configuration).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(&directory)
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn();
        let Ok(child) = child else {
            assert!(
                std::env::var_os(DEMANDED).is_none(),
                "{DEMANDED} is set, and there is no nginx"
            );
            let notice = b"\nNOT TESTED: nginx is not installed\n\n";
            std::io::stderr().write_all(notice).unwrap();
            fs::remove_dir_all(&directory).unwrap();
            return None;
        };
        let mut nginx = Self { child, directory };
        let began = Instant::now();
        for site in sites {
            while TcpStream::connect(site.at("127.0.0.1")).is_err() {
                let log = || fs::read_to_string(nginx.directory.join("log")).unwrap();
                assert!(nginx.child.try_wait().unwrap().is_none(), "nginx ended: {}", log());
                assert!(began.elapsed() < WATCHDOG, "nginx does not listen: {}", log());
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const VERSION: &str = "/_matrix/federation/v1/version";

async fn version(client: &FederationClient, name: &str) -> Result<serde_json::Value, RequestError> {
    let request = Request::get(VERSION).body(Empty::<Bytes>::new()).unwrap();
    let response = watched(client.request(&name.parse().unwrap(), request)).await?;
    assert_eq!(response.status(), StatusCode::OK);
    let body = watched(response.into_body().collect()).await.unwrap().to_bytes();
    Ok(serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn each_certificate_gets_its_verdict_on_both_families() {
    let authority = Authority::new();
    let right = Site::new(authority.pems(&[NAME, "127.0.0.1", "::1"]));
    let wrong = Site::new(authority.pems(&["other.example"]));
    let expired = Site::new(authority.expired_pems(NAME));
    let untrusted = Site::new(Authority::new().pems(&[NAME]));
    let Some(_nginx) = Nginx::start(&[&right, &wrong, &expired, &untrusted]) else { return };

    let mut hosts = vec!["127.0.0.1"];
    if has_ipv6() {
        hosts.push("[::1]");
    } else {
        std::io::stderr().write_all(b"\nNOT TESTED: IPv6, as ::1 cannot be bound\n\n").unwrap();
    }
    for host in hosts {
        // One call, and the third endpoint answers: the first is dead, the second another's.
        let (_held, dead) = refusing();
        let resolver = resolver(delegated(&[dead, wrong.at(host), right.at(host)]));
        let client = FederationClient::new(resolver.clone(), connector(&authority));
        let said = version(&client, "a.example").await.unwrap();
        assert_eq!(said["port"], right.port.to_string());
        assert_eq!(said["by"], "HTTP/2.0");
        // nginx has :authority in this variable, too.
        assert_eq!(said["host"], NAME);
        assert_eq!(resolver.counters().reports, 2);

        // None is right: the error says of each what is wrong.
        let peers = [dead, wrong.at(host), expired.at(host), untrusted.at(host)];
        let resolver = super::resolver(delegated(&peers));
        let client = FederationClient::new(resolver, connector(&authority));
        let error = version(&client, "a.example").await.unwrap_err();
        let RequestError::Connect(error) = error else { panic!("{error:?}") };
        let phases: Vec<_> = error.attempts.iter().map(|it| (it.address, it.phase)).collect();
        let certificate = ConnectPhase::Certificate;
        assert_eq!(
            phases,
            [
                (Some(dead), ConnectPhase::Connect),
                (Some(wrong.at(host)), certificate),
                (Some(expired.at(host)), certificate),
                (Some(untrusted.at(host)), certificate)
            ]
        );
        let shown = error.to_string();
        for words in ["refused", "other.example", "expired", "UnknownIssuer"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }

        // A literal goes by the address in the certificate.
        let resolver = super::resolver(Internet::new());
        let target = found(&resolver, &right.at(host).to_string()).await;
        let connection = watched(connector(&authority).connect(&target)).await.unwrap();
        assert_eq!(connection.address(), Some(right.at(host)));
    }
}

/// Sends so many requests, 60 at a time, and returns those that failed.
async fn failures(client: &FederationClient, requests: usize) -> Vec<RequestError> {
    let left = Arc::new(AtomicUsize::new(requests));
    let callers: Vec<_> = (0..60)
        .map(|_| {
            let (client, left) = (client.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                let mut failed = Vec::new();
                let take = |left: usize| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    failed.extend(version(&client, "a.example").await.err());
                }
                failed
            })
        })
        .collect();
    let mut failed = Vec::new();
    for caller in callers {
        failed.extend(caller.await.unwrap());
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_after_a_few_requests_cost_none_of_them() {
    let authority = Authority::new();
    let few = Site::new(authority.pems(&[NAME])).with("keepalive_requests 25;");
    let one = Site::new(authority.pems(&[NAME])).with("keepalive_requests 1;");
    let short = Site::new(authority.pems(&[NAME])).with("keepalive_timeout 1s;");
    let Some(_nginx) = Nginx::start(&[&few, &one, &short]) else { return };
    for (site, requests) in [(&few, 1000), (&one, 200), (&short, 1000)] {
        let resolver = resolver(delegated(&[site.at("127.0.0.1")]));
        let client = FederationClient::new(resolver.clone(), connector(&authority));
        let failed = failures(&client, requests).await;
        assert!(failed.is_empty(), "{} of {requests}: {:?}", failed.len(), failed[0]);
        assert_eq!(resolver.counters().reports, 0);
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_while_it_is_idle_costs_no_request() {
    let authority = Authority::new();
    let short = Site::new(authority.pems(&[NAME])).with("keepalive_timeout 1s;");
    let Some(_nginx) = Nginx::start(&[&short]) else { return };
    let resolver = resolver(delegated(&[short.at("127.0.0.1")]));
    let client = FederationClient::new(resolver, connector(&authority));
    // About the time at which nginx closes it.
    for pause in [990, 1000, 1010] {
        version(&client, "a.example").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
    }
    version(&client, "a.example").await.unwrap();
}
