//! Against a real Synapse behind a real nginx, found in each way that one can be found. Only where
//! `MATRIX_DELEGATION_SYNAPSE` names a directory for `tests/synapse/set-up`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::transport::{Dial, DialStream};
use matrix_delegation::{
    Config, FederationClient, HyperFetch, Resolver, TokioRuntime, TrustedRoots,
};

use super::loopback::LoopbackDial;
use super::nginx::{Nginx, Site};
use super::server::Authority;
use super::{connector, found, watched};

/// How long Synapse may take to start and to make its database.
const PATIENCE: Duration = Duration::from_secs(180);

/// It ends with this value.
struct Synapse(Child);

impl Synapse {
    fn start(directory: &Path, port: u16) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/synapse/set-up");
        let set_up = Command::new(script).arg(directory).arg(port.to_string()).status().unwrap();
        assert!(set_up.success());
        let child = Command::new(directory.join("venv/bin/python"))
            .args(["-m", "synapse.app.homeserver", "-c"])
            .arg(directory.join("homeserver.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("errors")).unwrap())
            .spawn();
        let mut synapse = Self(child.unwrap());
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(synapse.0.try_wait().unwrap().is_none(), "Synapse ended");
            assert!(began.elapsed() < PATIENCE, "Synapse does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
        synapse
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nobody may bind port 443 here: whoever dials it is led to this port.
#[derive(Debug)]
struct Https(u16);

impl Dial for Https {
    fn dial(&self, mut address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn DialStream>>> {
        if address.port() == 443 {
            address.set_port(self.0);
        }
        LoopbackDial.dial(address)
    }
}

/// A resolver and client for whom port 443 leads there.
fn client(authority: &Authority, internet: Internet, https: u16) -> FederationClient {
    let roots = TrustedRoots::only_added().with_certificate(authority.root());
    let fetch = HyperFetch::with_roots(roots).unwrap().with_dial(Arc::new(Https(https)));
    let runtime = Arc::new(TokioRuntime::current());
    let dns = Network::on_runtime(internet, runtime.clone());
    let mut config = Config::default();
    config.address_policy = config.address_policy.allow("127.0.0.0/8".parse().unwrap());
    let resolver = Resolver::new(Arc::new(dns), Arc::new(fetch), runtime, config).unwrap();
    let connector = connector(authority).with_dial(Arc::new(Https(https)));
    FederationClient::new(resolver, connector)
}

async fn key_of(client: &FederationClient, name: &str) -> serde_json::Value {
    let request = Request::get("/_matrix/key/v2/server").body(Empty::<Bytes>::new()).unwrap();
    let response = watched(client.request(&name.parse().unwrap(), request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = watched(response.into_body().collect()).await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_found_by_well_known_by_both_srv_names_and_by_port() {
    let Some(directory) = std::env::var_os("MATRIX_DELEGATION_SYNAPSE") else {
        println!("NOT TESTED: MATRIX_DELEGATION_SYNAPSE names no directory");
        return;
    };
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let directory = Path::new(&directory);
    let _synapse = tokio::task::block_in_place(|| Synapse::start(directory, port));
    let authority = Authority::new();
    let proxied = format!(
        "location / {{ proxy_pass http://127.0.0.1:{port}; proxy_set_header Host $http_host;
         proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https; }}"
    );
    let whole = Site::new(authority.pems(&["hs.example"])).serving(proxied.clone());
    // The same without the well-known, so that the later steps decide.
    let silent = format!("location = /.well-known/matrix/server {{ return 404; }} {proxied}");
    let without = Site::new(authority.pems(&["hs.example"])).serving(silent);
    let Some(_nginx) = Nginx::start(&[&whole, &without]) else { panic!("nginx is missing") };

    let host = || Internet::new().host("hs.example", &["127.0.0.1"]);
    let srv = |service: &str| {
        let name = format!("{service}.hs.example");
        host().srv(&name, &[(0, 0, without.port(), "hs.example.")])
    };
    let by_port = format!("hs.example:{}", whole.port());
    for (internet, https, name, step) in [
        // What it serves says hs.example:443.
        (host(), &whole, "hs.example", "3.2"),
        (srv("_matrix-fed._tcp"), &without, "hs.example", "4"),
        (srv("_matrix._tcp"), &without, "hs.example", "5"),
        (host(), &without, by_port.as_str(), "2"),
    ] {
        let client = client(&authority, internet, https.port());
        let target = found(client.resolver(), name).await;
        assert_eq!(target.step().number(), step, "{target}");
        let key = key_of(&client, name).await;
        assert_eq!(key["server_name"], "hs.example");
        assert!(key["verify_keys"].as_object().is_some_and(|keys| !keys.is_empty()), "{key}");
        println!("step {step}: {target}");
    }
}
