//! Resolves a row with the real resolver over real sockets and compares what comes out.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{Request, StatusCode};
use matrix_delegation::names::Host;
use matrix_delegation::well_known::{Body, Fetch};
use matrix_delegation::{
    AddressPolicy, Config, DelegationTarget, Endpoint, HickoryDns, HyperFetch, Resolution,
    ResolveError, Resolver, ServerName, TokioRuntime, TrustedRoots, WellKnownFetch,
};

use super::scenarios::{ALLOWED, Expect, Row, Target};
use super::{Internet, VERSION_PATH};

/// A resolver in the embedded internet, and the fetch that reaches it.
#[derive(Debug)]
pub struct Client {
    pub resolver: Resolver,
    pub fetch: Arc<HyperFetch>,
}

/// The default configuration with the documentation's address ranges allowed.
pub fn config() -> Config {
    let policy = ALLOWED
        .iter()
        .map(|range| range.parse().expect("a range"))
        .fold(AddressPolicy::default(), AddressPolicy::allow);
    Config::default().with_address_policy(policy)
}

impl Client {
    /// A client that asks this internet's DNS, trusts its authority and goes by its routes.
    pub fn new(internet: &Internet, config: Config) -> Self {
        let roots = TrustedRoots::only_added().with_certificate(internet.ca_der());
        let fetch = HyperFetch::with_roots(roots).expect("one root");
        let fetch = Arc::new(fetch.with_dial(Arc::new(internet.routes())));
        let dns = HickoryDns::with_servers([internet.dns_address()]).expect("one server");
        let runtime = Arc::new(TokioRuntime::current());
        let resolver = Resolver::builder(Arc::new(dns), Arc::clone(&fetch) as _, runtime)
            .config(config)
            .seed(7)
            .build()
            .expect("a configuration that works");
        Self { resolver, fetch }
    }

    /// Resolves a name as it stands in a row.
    pub async fn resolve(&self, server_name: &str) -> Result<Resolution, ResolveError> {
        self.resolver.resolve(&ServerName::parse(server_name)?).await
    }

    /// Asks every endpoint for its version; what is wrong with the answers.
    pub async fn reach(&self, target: &Resolution) -> Vec<String> {
        let mut wrong = Vec::new();
        for endpoint in target.endpoints() {
            let request = request(target, endpoint).expect("a request");
            match self.fetch.fetch(request).await {
                Ok(response) if response.status() == StatusCode::OK => {
                    if !matches!(response.body(), Body::Complete(body) if body.starts_with(b"{")) {
                        wrong.push(format!("{endpoint} answers with something odd"));
                    }
                }
                Ok(response) => wrong.push(format!("{endpoint} answers {}", response.status())),
                Err(failure) => wrong.push(format!("{endpoint} cannot be reached: {failure}")),
            }
        }
        wrong
    }
}

/// Asks an endpoint for its version: its addresses to connect to, the target's `Host` and
/// certificate name.
fn request(target: &DelegationTarget, endpoint: Endpoint<'_>) -> Result<Fetch, http::Error> {
    let request = Request::get(format!("https://{}{VERSION_PATH}", target.authority()))
        .header(HOST, target.host_header())
        .body(())?;
    Ok(Fetch::new(request, endpoint.addresses().collect(), target.tls_name().to_owned()))
}

/// What is not as the row says.
pub fn differences(row: &Row, result: &Result<Resolution, ResolveError>) -> Vec<String> {
    match (&row.expect, result) {
        (Expect::Error { kind }, Err(error)) if error.kind() == *kind => Vec::new(),
        (Expect::Error { kind }, Err(error)) => {
            vec![format!("fails as {} instead of {kind}: {error}", error.kind())]
        }
        (Expect::Error { kind }, Ok(found)) => {
            vec![format!("resolves instead of failing as {kind}: {found}")]
        }
        (Expect::Target(_), Err(error)) => vec![format!("does not resolve: {error}")],
        (Expect::Target(target), Ok(found)) => target_differences(target, found),
    }
}

fn target_differences(expected: &Target, found: &Resolution) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: String, expected: String| {
        if found != expected {
            wrong.push(format!("{what}: {found} instead of {expected}"));
        }
    };
    compare("step", found.step().to_string(), expected.step.to_owned());
    compare("Host", found.authority().to_owned(), expected.host_header.to_owned());
    let tls_name = match found.tls_host() {
        Host::Ip(address) => address.to_string(),
        Host::Dns(name) => name.to_string(),
    };
    compare("certificate name", tls_name, expected.tls_name.to_owned());
    let endpoints: Vec<_> = found.endpoints().map(|it| it.to_string()).collect();
    let wanted: Vec<_> =
        expected.endpoints.iter().map(|(host, port)| format!("{host}:{port}")).collect();
    compare("endpoints", endpoints.join(" "), wanted.join(" "));
    let addresses: Vec<_> = found
        .endpoints()
        .flat_map(|endpoint| endpoint.addresses().map(|address| address.to_string()))
        .collect();
    compare("addresses", addresses.join(" "), expected.addresses.join(" "));
    compare("degraded", found.degraded().is_some().to_string(), expected.degraded.to_string());
    within("lifetime", found.lifetime(), expected.lifetime.as_ref(), &mut wrong);
    let well_known = expected.well_known_lifetime.as_ref();
    within("lifetime of the well-known", found.well_known_lifetime(), well_known, &mut wrong);
    for evidence in expected.warnings_contain {
        let named = |text: String| text.to_lowercase().contains(&evidence.to_lowercase());
        if !found.warnings().any(|warning| named(warning.to_string())) {
            wrong.push(format!("no warning names {evidence}"));
        }
    }
    wrong
}

fn within(
    what: &str,
    found: Option<Duration>,
    expected: Option<&RangeInclusive<u64>>,
    wrong: &mut Vec<String>,
) {
    let fits = match (found, expected) {
        (Some(found), Some(range)) => range.contains(&found.as_secs()),
        (None, None) => true,
        _ => false,
    };
    if !fits {
        wrong.push(format!("{what}: {found:?} instead of {expected:?}"));
    }
}
