//! Two small homeservers on loopback that find and ask each other.
//!
//! ```sh
//! cargo run --example homeserver --features full
//! ```
//!
//! Each is an axum server that serves its own well-known, answers `/_matrix/federation/v1/version`
//! to requests that are signed, and asks others by their names: resolved through their delegation,
//! connected to, checked by certificate, all by this crate. What this crate leaves to a homeserver
//! is the signing of requests; `sign` and `verify` show where it stands. Whatever is no federation
//! may well use another client: here the administrator has one on reqwest.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use matrix_delegation::dns::{DnsAnswer, DnsQuestion, Family, NoRecord, Records};
use matrix_delegation::resolver::BoxFuture;
use matrix_delegation::transport::{Dial, DialStream, TcpDial};
use matrix_delegation::{
    AddressPolicy, Config, Connector, Dns, FederationClient, HyperFetch, Resolver, ServerName,
    TokioRuntime, TrustedRoots,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// More of a response's body is not read, in bytes.
const BODY: usize = 64 * 1024;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Before the next connection is taken where one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The names of this little world, and where they lead: addresses that nobody has, which are really
/// ports of 127.0.0.1.
#[derive(Clone, Debug, Default)]
struct World {
    hosts: HashMap<String, IpAddr>,
    /// Nobody may bind port 443 here: whoever dials it is led to where the server really listens. All
    /// other ports are what they seem.
    https: HashMap<IpAddr, SocketAddr>,
    /// What a real homeserver would ask for at `/_matrix/key/v2/server`.
    keys: HashMap<String, Vec<u8>>,
}

impl Dns for World {
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer> {
        let ttl = Duration::from_secs(60);
        let answer = match &question {
            DnsQuestion::Addresses { host, family: Family::V4 } => self.hosts.get(host.as_str()),
            _ => None,
        };
        let answer = match answer {
            Some(address) => {
                DnsAnswer::Found { records: Records::Addresses(vec![*address]), ttl, alias: false }
            }
            None => DnsAnswer::None { kind: NoRecord::NoData, ttl: Some(ttl) },
        };
        Box::pin(async { answer })
    }
}

impl Dial for World {
    fn dial(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn DialStream>>> {
        let led = self.https.get(&address.ip()).filter(|_| address.port() == 443);
        let other = (Ipv4Addr::LOCALHOST, address.port()).into();
        TcpDial.dial(led.copied().unwrap_or(other))
    }
}

/// What a request says that it is: signed by its sender, checked by who gets it.
fn signed_text(method: &str, uri: &str, origin: &str, destination: &str) -> String {
    // Canonical JSON: keys in order, no spaces.
    json!({"destination": destination, "method": method, "origin": origin, "uri": uri}).to_string()
}

/// A homeserver.
struct Homeserver {
    name: ServerName,
    /// What its well-known says.
    delegated: String,
    key: Ed25519KeyPair,
    client: FederationClient,
    world: Arc<World>,
}

impl Homeserver {
    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/.well-known/matrix/server", get(well_known))
            .route("/_matrix/federation/v1/version", get(version))
            .route("/ask/{name}", get(ask_for))
            .with_state(self)
    }

    fn sign(&self, method: &str, uri: &str, destination: &ServerName) -> String {
        let text = signed_text(method, uri, self.name.as_str(), destination.as_str());
        let signature = STANDARD_NO_PAD.encode(self.key.sign(text.as_bytes()));
        let origin = &self.name;
        format!(
            "X-Matrix origin=\"{origin}\",destination=\"{destination}\",key=\"ed25519:1\",sig=\"{signature}\""
        )
    }

    /// Who signed this request to us; `None` if nobody that we know.
    fn verify(&self, method: &str, uri: &str, headers: &HeaderMap) -> Option<String> {
        let said = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("X-Matrix ")?;
        let field = |name: &str| {
            let fields = said.split(',').filter_map(|field| field.split_once('='));
            let mut values = fields.filter(|(key, _)| *key == name).map(|(_, value)| value);
            Some(values.next()?.trim_matches('"').to_owned())
        };
        let (origin, signature) = (field("origin")?, field("sig")?);
        let signature = STANDARD_NO_PAD.decode(signature).ok()?;
        let text = signed_text(method, uri, &origin, self.name.as_str());
        let key = UnparsedPublicKey::new(&ED25519, self.world.keys.get(&origin)?);
        key.verify(text.as_bytes(), &signature).ok()?;
        Some(origin)
    }

    /// Asks another homeserver which version it is.
    async fn ask(&self, name: &ServerName) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let path = "/_matrix/federation/v1/version";
        let request = http::Request::get(path)
            .header(AUTHORIZATION, self.sign("GET", path, name))
            .body(Empty::<Bytes>::new())?;
        let response = self.client.request(name, request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY).collect().await?.to_bytes();
        if status != StatusCode::OK {
            return Err(format!("{name} says {status}").into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn well_known(State(homeserver): State<Arc<Homeserver>>) -> Json<Value> {
    Json(json!({ "m.server": homeserver.delegated }))
}

async fn version(State(homeserver): State<Arc<Homeserver>>, request: Request) -> Response {
    let uri = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let Some(from) = homeserver.verify(request.method().as_str(), &uri, request.headers()) else {
        return (StatusCode::UNAUTHORIZED, Json(json!({"errcode": "M_UNAUTHORIZED"})))
            .into_response();
    };
    println!("{}: {from} asks for the version", homeserver.name);
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({"server": {"name": homeserver.name.as_str(), "version": version}})).into_response()
}

async fn ask_for(
    State(homeserver): State<Arc<Homeserver>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let name = name.parse().map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}")))?;
    let said = homeserver.ask(&name).await;
    said.map(Json).map_err(|error| (StatusCode::BAD_GATEWAY, chain(&*error)))
}

/// Serves a router over TLS, HTTP/1.1 and HTTP/2.
async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // It may be that one connection broke off, or that no descriptor is free for now.
            Err(error) => {
                eprintln!("no connection taken: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, service) = (tls.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            // Whoever says nothing is not waited for.
            let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await else { return };
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // Whoever hangs up does so.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The words of an error and of what caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // An authority for this world alone.
    let mut authority = CertificateParams::new([])?;
    authority.distinguished_name.push(DnType::CommonName, "example authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(authority.der().clone())?;

    let (mut world, mut made) = (World::default(), Vec::new());
    for (name, address) in [("hs1.example", "192.0.2.1"), ("hs2.example", "192.0.2.2")] {
        let address: IpAddr = address.parse()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let here = listener.local_addr()?;
        let key = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new());
        let key = key.map_err(|_| "no randomness")?;
        let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).map_err(|error| error.to_string())?;
        world.hosts.insert(name.to_owned(), address);
        world.hosts.insert(format!("fed.{name}"), address);
        world.https.insert(address, here);
        world.keys.insert(name.to_owned(), key.public_key().as_ref().to_vec());
        made.push((name, here, listener, key));
    }
    let world = Arc::new(world);

    let mut homeservers = Vec::new();
    for (name, here, listener, key) in made {
        // The well-known is served under the server's name, the federation under another.
        let params = CertificateParams::new([name.to_owned(), format!("fed.{name}")])?;
        let pair = KeyPair::generate()?;
        let certificate = params.signed_by(&pair, &authority)?.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivatePkcs8KeyDer::from(pair.serialize_der()).into(),
            )?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

        let roots = TrustedRoots::only_added().with_certificate(authority.der().clone());
        let policy = AddressPolicy::default().allow("192.0.2.0/24".parse()?);
        let fetch = HyperFetch::with_roots(roots.clone())?.with_dial(world.clone());
        let config = Config::default().with_address_policy(policy);
        let runtime = Arc::new(TokioRuntime::current());
        let resolver = Resolver::new(world.clone(), Arc::new(fetch), runtime, config)?;
        let connector = Connector::with_roots(roots)?.with_dial(world.clone());
        let homeserver = Arc::new(Homeserver {
            name: name.parse()?,
            delegated: format!("fed.{name}:{}", here.port()),
            key,
            client: FederationClient::new(resolver, connector),
            world: world.clone(),
        });
        let router = homeserver.clone().router();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), router));
        homeservers.push(homeserver);
    }

    let [one, two] = homeservers.as_slice() else { return Err("two were made".into()) };
    for (asking, asked) in [(one, two), (two, one), (one, two)] {
        let found = asking.client.resolver().resolve(&asked.name).await?;
        println!("{}: {found}", asking.name);
        let said = asking.ask(&asked.name).await?;
        println!("{}: {} says {said}", asking.name, asked.name);
        assert_eq!(said.pointer("/server/name"), Some(&asked.name.as_str().into()));
    }
    // Not federation: a URL of one server, whose certificate carries the name in it.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(trusted)
    .with_no_client_auth();
    let here = *world.https.get(&"192.0.2.1".parse::<IpAddr>()?).ok_or("it listens")?;
    let administrator = reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .resolve("hs1.example", here)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let url = format!("https://hs1.example:{}/ask/hs2.example", here.port());
    let said: Value = administrator.get(url).send().await?.error_for_status()?.json().await?;
    println!("the administrator has hs1.example ask hs2.example: {said}");

    let open: usize = homeservers.iter().map(|homeserver| homeserver.client.connections()).sum();
    println!("four requests between them over {open} connections");
    Ok(())
}
