//! Runs a row from end to end, and says what is not as the row says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty};
use ipnet::IpNet;
use matrix_delegation::config::BlockedRange;
use matrix_delegation::deps::hyper::body::Bytes;
use matrix_delegation::names::{Host, ServerNameErrorKind};
use matrix_delegation::well_known::WellKnownFailure;
use matrix_delegation::{
    AddressPolicy, FederationClient, Resolution, ResolveError, Resolver, ResolverConfig,
    ServerName, TokioRuntime, Warning,
};

use crate::recorder::{Log, Recorder, clients};
use crate::row::{Act, DocumentFault, Input, Row, Rule, Why};
use crate::world::{Kept, is_good, snapshot};

/// How long what goes on without a caller has, in virtual time.
const SETTLE: Duration = Duration::from_secs(120);

/// What came of a row.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) log: Log,
    /// Why the text is no server name.
    invalid: Option<ServerNameErrorKind>,
    outcomes: Vec<Result<Resolution, ResolveError>>,
    asked: BTreeMap<String, usize>,
    /// Records of a store or a snapshot that were not believed.
    rejected: u64,
}

/// Resolves a row under this policy, and connects to what is found. Beside `input` this address is
/// served.
pub(crate) fn observe(input: &Input, policy: AddressPolicy, served: Option<SocketAddr>) -> Seen {
    // Without a driver for I/O: what would open a socket on it panics.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(run(input, policy, served))
}

async fn run(input: &Input, policy: AddressPolicy, served: Option<SocketAddr>) -> Seen {
    let name = match ServerName::parse(&input.server_name) {
        Ok(name) => name,
        Err(error) => return Seen { invalid: Some(error.kind()), ..Seen::default() },
    };
    let mut world = input.world.clone();
    world.served.extend(served);
    let recorder = Recorder::new(world.served.clone(), world.pages());
    let zone = Arc::new(world.zone());
    let (fetch, connector) = clients(&recorder);
    let runtime = Arc::new(TokioRuntime::current());
    let mut config = ResolverConfig::from(input.setting.config().with_address_policy(policy));
    // A large memory takes longer to make than the whole row.
    config.memory.hosts = 100;
    let mut builder =
        Resolver::builder(Arc::clone(&zone) as _, Arc::new(fetch), runtime).config(config).seed(7);
    if let Some(store) = world.kept.as_ref().and_then(Kept::store) {
        builder = builder.store(store);
    }
    let resolver = builder.build().unwrap();
    let mut seen = Seen::default();
    if let Some(Kept::Snapshot(server)) = world.kept {
        seen.rejected += u64::from(resolver.restore(&snapshot(server)).unwrap().dropped > 0);
    }
    let client = FederationClient::new(resolver.clone(), connector.clone());
    for act in &input.acts {
        match act {
            Act::Request => {
                seen.outcomes.push(resolver.resolve(&name).await);
                let request = Request::get("/_matrix/federation/v1/version");
                let request = request.body(Empty::<Bytes>::new()).unwrap();
                if let Ok(response) = client.request(&name, request).await {
                    // What counts is what was connected to.
                    let _ = response.into_body().collect().await;
                }
            }
            Act::Connect => {
                if let Some(Ok(found)) = seen.outcomes.last() {
                    let _ = connector.connect(found).await;
                }
            }
            Act::Pass(time) => tokio::time::sleep(*time).await,
        }
    }
    tokio::time::sleep(SETTLE).await;
    seen.rejected += resolver.counters().store_rejected;
    Seen { log: recorder.log(), asked: zone.asked(), ..seen }
}

/// What is not as the row says.
pub(crate) fn check(row: &Row) -> Vec<String> {
    let mut wrong = Vec::new();
    let seen = observe(&row.input, AddressPolicy::default(), None);
    let blocked: Vec<_> =
        seen.log.attempts.iter().filter(|address| !is_good(address.ip())).collect();
    if !blocked.is_empty() {
        wrong.push(format!("blocked addresses are connected to: {blocked:?}"));
    }
    same(row, &seen, "by default", &mut wrong);
    match &row.why {
        Why::Policy | Why::PolicyUnsaid => check_policy(row, &seen, &mut wrong),
        Why::Rule(rule) => {
            let off = observe(&row.input, AddressPolicy::unrestricted(), None);
            same(row, &off, "without a policy", &mut wrong);
            for (seen, when) in [(&seen, "by default"), (&off, "without a policy")] {
                if !seen.is_due_to(rule) {
                    wrong.push(format!("{when}, {rule:?} is not the reason: {}", seen.words()));
                }
            }
        }
    }
    wrong.into_iter().map(|it| format!("{}: {it}", row.name)).collect()
}

/// Checks that exactly the row's good addresses and names are connected to.
fn same(row: &Row, seen: &Seen, when: &str, wrong: &mut Vec<String>) {
    if seen.log.attempts != row.attempts {
        let (found, expected) = (&seen.log.attempts, &row.attempts);
        wrong.push(format!("{when}, it connects to {found:?} instead of {expected:?}"));
    }
    names(row, seen, when, wrong);
}

fn names(row: &Row, seen: &Seen, when: &str, wrong: &mut Vec<String>) {
    if seen.log.names != row.names {
        let (found, expected) = (&seen.log.names, &row.names);
        wrong.push(format!("{when}, a proxy is asked for {found:?} instead of {expected:?}"));
    }
}

/// Checks that it is the policy that keeps the row from its addresses.
fn check_policy(row: &Row, seen: &Seen, wrong: &mut Vec<String>) {
    let Some(first) = row.blocked.first().copied() else {
        wrong.push("it names no blocked address".to_owned());
        return;
    };
    for address in &row.blocked {
        if is_good(*address) {
            wrong.push(format!("{address} is not blocked"));
        }
    }
    if seen.blames(first) != (row.why == Why::Policy) {
        wrong.push(format!("whether {first} is said to be blocked: {}", seen.words()));
    }

    let off = observe(&row.input, AddressPolicy::unrestricted(), None);
    names(row, &off, "without a policy", wrong);
    let attempts = |address: IpAddr| off.log.attempts.iter().any(|it| it.ip() == address);
    for missing in row.blocked.iter().filter(|address| !attempts(**address)) {
        wrong.push(format!(
            "without a policy, {missing} is not connected to but {:?}: {}",
            off.log.attempts,
            off.words()
        ));
    }

    let allowed = SocketAddr::new(first, row.port);
    let policy = AddressPolicy::default().allow(IpNet::from(first));
    let one = observe(&row.input, policy, Some(allowed));
    names(row, &one, "with one address allowed", wrong);
    let others: Vec<_> =
        one.log.attempts.iter().filter(|it| it.ip() != first && !is_good(it.ip())).collect();
    if !others.is_empty() {
        wrong.push(format!("with {first} allowed, others are connected to: {others:?}"));
    }
    if !one.log.reached.contains(&allowed) {
        wrong.push(format!(
            "with {first} allowed, {allowed} is not reached but {:?}: {}",
            one.log.reached,
            one.words()
        ));
    }
}

/// The IPv4 address at an IPv6 address's end, which its range may be one of.
fn at_the_end(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
    }
}

impl Seen {
    /// Whether an error or a warning says that this address is blocked.
    fn blames(&self, address: IpAddr) -> bool {
        let holds = |range: &BlockedRange| {
            [address, at_the_end(address)].iter().any(|it| range.range().contains(it))
        };
        let failed = |failure: &WellKnownFailure| match failure {
            WellKnownFailure::Blocked { host: Host::Ip(blocked), .. } => *blocked == address,
            WellKnownFailure::Blocked { range, .. } => holds(range),
            _ => false,
        };
        let warned = |warning: &Warning| match warning {
            Warning::AddressBlocked { address: blocked, range, .. } => {
                *blocked == address && holds(range)
            }
            Warning::SrvTargetWithoutAddress { target } => {
                target.blocked.iter().any(|(blocked, range)| *blocked == address && holds(range))
            }
            Warning::WellKnownUnusable { failure, .. } => failed(failure),
            Warning::WellKnownStale { failure, .. } => failure.as_ref().is_some_and(failed),
            _ => false,
        };
        self.outcomes.iter().any(|outcome| match outcome {
            Ok(found) => found.warnings().any(warned),
            Err(ResolveError::BlockedAddress { address: first, range, evidence, .. }) => {
                let named = |(blocked, _): &(IpAddr, BlockedRange)| *blocked == address;
                (*first == address && holds(range))
                    || evidence.hosts.iter().any(|host| host.blocked.iter().any(named))
            }
            Err(_) => false,
        })
    }

    fn is_due_to(&self, rule: &Rule) -> bool {
        let failed = |is: &dyn Fn(&WellKnownFailure) -> bool| {
            let found = self.outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
            let mut warnings = found.flat_map(|found| found.warnings());
            warnings.any(|warning| match warning {
                Warning::WellKnownUnusable { failure, .. } => is(failure),
                _ => false,
            })
        };
        match rule {
            Rule::Grammar(kind) => self.invalid == Some(*kind),
            Rule::NoHost(reason) => self.outcomes.iter().all(|outcome| match outcome {
                Err(ResolveError::UnresolvableName { source }) => source.reason == *reason,
                _ => false,
            }),
            Rule::Document(fault) => failed(&|failure| match failure {
                WellKnownFailure::Body(error) => fault.is_of(error),
                WellKnownFailure::TooLarge { .. } => *fault == DocumentFault::TooLarge,
                _ => false,
            }),
            Rule::Redirect(fault) => failed(
                &|failure| matches!(failure, WellKnownFailure::Redirect(error) if fault.is_of(error)),
            ),
            Rule::Srv(reason) => self.outcomes.iter().any(|outcome| match outcome {
                Ok(found) => found.warnings().any(|warning| {
                    matches!(warning, Warning::SrvRecordDropped { record, .. }
                        if record.reason == *reason)
                }),
                Err(
                    ResolveError::NoUsableEndpoint { evidence, .. }
                    | ResolveError::ServiceNotAvailable { evidence, .. },
                ) => evidence.dropped.iter().any(|record| record.reason == *reason),
                Err(_) => false,
            }),
            Rule::NoAddresses => self
                .outcomes
                .iter()
                .all(|outcome| matches!(outcome, Err(ResolveError::NoAddresses { .. }))),
            Rule::AskedOnce(question) => self.asked.get(*question) == Some(&1),
            Rule::NotRead(server) => self.log.reached.contains(server),
            Rule::NotBelieved => self.rejected > 0,
        }
    }

    /// How it ended, for people.
    fn words(&self) -> String {
        let one = |outcome: &Result<Resolution, ResolveError>| match outcome {
            Ok(found) => {
                let warnings: Vec<_> = found.warnings().map(ToString::to_string).collect();
                format!("step {} of {found}, {warnings:?}", found.step())
            }
            Err(error) => error.to_string(),
        };
        let outcomes: Vec<_> = self.outcomes.iter().map(one).collect();
        format!("{:?} {outcomes:?}", self.invalid)
    }
}
