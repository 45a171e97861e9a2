//! The machine.
//!
//! Invariant, whatever is answered, by whomever, in whatever order and at whatever time:
//! 1. an IP literal asks nothing, an explicit port no well-known and no SRV;
//! 2. one delegation at most: the delegated name is never asked for a well-known, and SRV is asked
//!    of the server name and of the delegated name alone;
//! 3. `Host` is the delegated name or the server name as written, the certificate's name its host,
//!    and the kind of that name (literal, with a port, without) is that of the step;
//! 4. a well-known that fails leads to step 4 and on;
//! 5. `_matrix._tcp` decides only where `_matrix-fed._tcp` was not found, or failed and may;
//! 6. it ends at its limit, and the number of questions is bounded, each asked once;
//! 7. no fetch and no endpoint has a blocked address, nor one that DNS did not give for its host;
//! 8. where everything is answered at once, the order of the answers and asking early change
//!    nothing;
//! 9. nothing panics, and what is kept is bounded by the limits.
//!
//! Input: the first byte chooses between a driver that keeps no rule ([`crate::driver`]) and a world
//! that answers everything at once.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use matrix_delegation::config::{AddressFamilies, DnsFailurePolicy, Speculation};
use matrix_delegation::discovery::{Machine, Outcome, Output, Question};
use matrix_delegation::dns::{DnsAnswer, DnsQuestion, Family, Records, Service};
use matrix_delegation::error::FamilyOutcome;
use matrix_delegation::names::Host;
use matrix_delegation::time::Now;
use matrix_delegation::well_known::{Fetch, WellKnownUrl};
use matrix_delegation::{
    Config, DelegationTarget, Discovery, Report, ResolveError, ServerName, Step,
};

use crate::driver::{self, Driven};
use crate::oracle;

/// Checks one input.
pub fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    // Bytes that make no sense are no finding.
    let _ = if mode % 4 == 3 { run_fair(data) } else { run_driven(data) };
}

fn run_driven(data: &[u8]) -> Result<()> {
    let driven = Driven::by(data)?;
    let report = driven.machine.report();
    let outcome = driven.outcome.as_ref().expect("it has ended");
    let check = Check {
        name: driven.machine.server_name(),
        config: &driven.config,
        asked: &driven.asked,
        report: &report,
    };
    check.questions();
    check.memory();
    match outcome {
        Ok(target) => check.target(target),
        Err(error) => check.error(error, driven.gave_up),
    }
    Ok(())
}

struct Check<'a> {
    name: &'a ServerName,
    config: &'a Config,
    asked: &'a [Question],
    report: &'a Report,
}

impl Check<'_> {
    /// Invariants 1, 2, 6 and 7, as far as questions go.
    fn questions(&self) {
        let host = self.name.to_host().ok();
        let decides_alone = self.name.is_ip_literal() || host.is_none();
        let own = host.as_ref().and_then(Host::as_dns);
        assert!(!decides_alone || self.asked.is_empty());
        let (mut dns, mut fetches, mut shared) = (Vec::new(), Vec::new(), 0);
        for question in self.asked {
            match question {
                Question::Dns { question, .. } => dns.push(question),
                Question::Fetch { fetch, .. } => fetches.push(fetch),
                Question::WellKnown { host, .. } => {
                    assert_eq!(own, Some(host));
                    shared += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        let distinct: BTreeSet<_> = dns.iter().collect();
        assert_eq!(distinct.len(), dns.len(), "a question is asked twice");
        assert!(dns.iter().all(|question| !question.host().is_onion()));
        assert!(shared <= 1 && (shared == 0 || fetches.is_empty()));

        let services = dns.iter().filter_map(|question| match question {
            DnsQuestion::Srv { host, .. } => Some(host),
            DnsQuestion::Addresses { .. } => None,
        });
        let services: Vec<_> = services.collect();
        if self.name.port().is_some() {
            assert!(services.is_empty() && fetches.is_empty() && shared == 0);
            assert!(dns.iter().all(|question| Some(question.host()) == own));
        }
        // Of whom else SRV is asked, the server name delegates to.
        let others: BTreeSet<_> = services.into_iter().filter(|host| Some(*host) != own).collect();
        assert!(others.len() <= 1, "{others:?}");

        for (index, fetch) in fetches.iter().enumerate() {
            if index == 0 {
                let first = WellKnownUrl::of_host(own.expect("only names are asked"));
                assert_eq!(fetch.request.uri(), first.uri());
            }
            self.fetch(fetch);
        }
        // The server, the delegate, hops, the targets of a set and one in vain; SRV; fetches.
        let limits = &self.config.limits;
        let hops = limits.redirects.saturating_add(1);
        let hosts = limits.srv_records.clamp(1, 64).saturating_add(3).saturating_add(hops);
        let most = hosts.saturating_mul(self.config.addresses.families().len());
        assert!(dns.len() <= most.saturating_add(4), "{} questions", dns.len());
        assert!(fetches.len() <= hops, "{} fetches", fetches.len());
    }

    fn fetch(&self, fetch: &Fetch) {
        let host = fetch.request.uri().host().expect("an absolute URL");
        assert_eq!(fetch.request.uri().scheme_str(), Some("https"));
        let by_proxy = self.config.addresses == AddressFamilies::ByProxy;
        assert_eq!(fetch.left_to_proxy, fetch.addresses.is_empty());
        assert!(by_proxy || !fetch.left_to_proxy);
        for address in &fetch.addresses {
            self.may_connect(host, address.ip());
        }
    }

    /// Invariant 7: the policy lets it through, and it stands in the name or comes from DNS.
    fn may_connect(&self, host: &str, address: IpAddr) {
        let policy = &self.config.address_policy;
        assert!(policy.check(address).is_ok(), "{address} is blocked");
        if *policy == Config::default().address_policy {
            assert!(oracle::is_public(oracle::judged(address)), "{address} is blocked");
        }
        let literal = host == address.to_string() || host == format!("[{address}]");
        let found = || {
            self.report.dns.iter().any(|exchange| {
                let question = &exchange.question;
                let family = Family::of(address);
                let fits =
                    matches!(question, DnsQuestion::Addresses { family: it, .. } if *it == family);
                let found = matches!(
                    exchange.answer.as_ref(),
                    Some(DnsAnswer::Found { records: Records::Addresses(all), .. })
                        if all.contains(&address)
                );
                fits && question.host().as_str() == host && found
            })
        };
        assert!(literal || found(), "{address} was not found for {host}");
    }

    /// Invariant 9.
    fn memory(&self) {
        let dns = self.asked.iter().filter(|it| matches!(it, Question::Dns { .. })).count();
        // What was not polled for yet is in the report, too.
        assert!(self.report.dns.len() >= dns);
        for exchange in &self.report.dns {
            match exchange.answer.as_ref() {
                Some(DnsAnswer::Found { records: Records::Addresses(all), .. }) => {
                    assert!(all.len() <= 64);
                }
                Some(DnsAnswer::Found { records: Records::Srv(all), .. }) => {
                    assert!(all.len() <= 64);
                }
                _ => {}
            }
        }
        assert_eq!(self.report.steps.len(), Step::ALL.len());
        drop(self.report.to_string());
    }

    fn target(&self, target: &DelegationTarget) {
        assert!(self.report.error.is_none() && self.report.took.is_some());
        assert!(target.warnings().eq(&self.report.warnings));
        assert_eq!(target.server_name(), self.name);
        // 2 and 3.
        let name = target.delegated().unwrap_or(self.name);
        let host = name.to_host().expect("only hosts are connected to");
        assert_eq!(target.step().is_delegated(), target.delegated().is_some());
        assert_eq!(target.host_header().as_bytes(), name.as_str().as_bytes());
        assert_eq!(target.tls_host(), &host);
        assert_eq!(target.tls_name(), host.tls_name());
        self.kind_of_step(target.step(), name, &host);
        // 4.
        let result = self.report.well_known.as_ref().and_then(|it| it.result.as_ref());
        match result {
            Some(Ok(server)) => assert_eq!(target.delegated(), Some(server)),
            Some(Err(_)) if !target.is_stale() => assert_eq!(target.delegated(), None),
            Some(Err(_)) => {}
            None => assert!(matches!(target.step(), Step::IpLiteral | Step::ExplicitPort)),
        }
        self.step(target.step(), &host);
        // 7 and 9.
        let limits = &self.config.limits;
        let most = limits.srv_records.clamp(1, 64);
        assert!((1..=most).contains(&target.endpoints().len()));
        for endpoint in target.endpoints() {
            let host = endpoint.host().to_string();
            let addresses: Vec<_> = endpoint.addresses().map(|it| it.ip()).collect();
            assert_eq!(addresses.is_empty(), target.is_left_to_proxy());
            for family in [Family::V4, Family::V6] {
                let count = addresses.iter().filter(|it| Family::of(**it) == family).count();
                let literal = endpoint.host().as_ip().is_some();
                assert!(literal || count <= limits.addresses_per_family);
            }
            for address in addresses {
                self.may_connect(&host, address);
            }
        }
        assert_eq!(target.recheck(&self.config.address_policy), Ok(()));
        assert_eq!(target.attempts(1).len(), target.endpoints().len());
    }

    /// Which steps a name that decides may lead to, by its kind alone.
    fn kind_of_step(&self, step: Step, name: &ServerName, host: &Host) {
        let literal = matches!(step, Step::IpLiteral | Step::DelegatedIpLiteral);
        let with_port = matches!(step, Step::ExplicitPort | Step::DelegatedPort);
        assert_eq!(literal, host.as_ip().is_some(), "step {step}");
        assert_eq!(with_port, !literal && name.port().is_some(), "step {step}");
        // Whose SRV is asked early is the server name alone.
        let asked_in_vain = self.asked.iter().any(|question| match question {
            Question::Dns { question: DnsQuestion::Srv { host: asked, .. }, .. } => {
                Some(asked) == host.as_dns()
            }
            _ => false,
        });
        let own = self.name.to_host().as_ref() == Ok(host);
        assert!(own || !with_port || !asked_in_vain, "SRV of a name with a port");
    }

    /// Invariant 5: which SRV answers a step may rest on.
    fn step(&self, step: Step, host: &Host) {
        let Some(host) = host.as_dns() else { return };
        let srv = |service| {
            let question = DnsQuestion::Srv { service, host: host.clone() };
            let exchange = self.report.dns.iter().find(|it| it.question == question)?;
            exchange.answer.as_ref()
        };
        let passed = |service| match srv(service) {
            None => host.is_onion(),
            Some(DnsAnswer::None { .. }) => true,
            Some(DnsAnswer::Failed { .. }) => self.config.dns_failure == DnsFailurePolicy::GoOn,
            Some(DnsAnswer::Found { .. }) => false,
        };
        let found = |service| matches!(srv(service), Some(DnsAnswer::Found { .. }));
        let holds = match step {
            Step::DelegatedSrv | Step::Srv => found(Service::MatrixFed),
            Step::DelegatedDeprecatedSrv | Step::DeprecatedSrv => {
                passed(Service::MatrixFed) && found(Service::Matrix)
            }
            Step::DelegatedDefaultPort | Step::DefaultPort => {
                passed(Service::MatrixFed) && passed(Service::Matrix)
            }
            _ => true,
        };
        assert!(holds, "step {step} does not rest on what SRV says");
    }

    fn error(&self, error: &ResolveError, gave_up: bool) {
        assert_eq!(self.report.error.as_ref(), Some(error));
        assert_eq!(error.server_name(), Some(self.name));
        drop(error.to_string());
        match error {
            ResolveError::UnresolvableName { .. } => assert!(self.name.to_host().is_err()),
            ResolveError::AdapterFailed { .. } => assert!(gave_up),
            ResolveError::DnsFailed { question, failure, .. } => {
                assert_eq!(self.config.dns_failure, DnsFailurePolicy::Fail);
                let mut exchanges = self.report.dns.iter();
                let exchange = exchanges.find(|it| it.question == *question);
                let answer = exchange.and_then(|it| it.answer.as_ref());
                assert!(
                    matches!(answer, Some(DnsAnswer::Failed { failure: it, .. }) if it == failure)
                );
            }
            ResolveError::BlockedAddress { address, .. } => {
                assert!(self.config.address_policy.check(*address).is_err());
            }
            // Each host that was to be connected to, and none with an address.
            ResolveError::NoAddresses { evidence, .. } => {
                assert!(!evidence.hosts.is_empty(), "{error}");
                let mut outcomes = evidence.hosts.iter().flat_map(|host| &host.families);
                assert!(!outcomes.any(|(_, it)| matches!(it, FamilyOutcome::Found(1..))));
            }
            ResolveError::ServiceNotAvailable { .. }
            | ResolveError::NoUsableEndpoint { .. }
            | ResolveError::DeadlineExceeded { .. } => {}
            other => panic!("{other}"),
        }
    }
}

/// Invariant 8: one world, however it is asked and in whichever order it answers.
fn run_fair(data: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(data);
    let name = driver::server_name(&mut u)?;
    let config = driver::config(&mut u)?;
    // No time passes, so that no limit and no grace may be over before it begins.
    let time = &config.time;
    let limits = [time.discovery, time.well_known, time.dns];
    let graces = [time.fetch_grace, time.family_grace, time.target_grace];
    if limits.into_iter().chain(graces).min() == Some(Duration::ZERO) {
        return Ok(());
    }
    let rest = u.peek_bytes(u.len()).unwrap_or_default();
    let mut first = None;
    for speculation in [Speculation::Full, Speculation::Off] {
        for order in [Order::First, Order::Last] {
            let config = Arc::new(config.clone().with_speculation(speculation));
            let outcome = World::new(rest).resolve(&name, &config, order);
            let first = first.get_or_insert_with(|| outcome.clone());
            assert_eq!(*first, outcome, "{speculation:?}");
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Order {
    First,
    Last,
}

/// What is answered to each question: the bytes from a place on that depends on the question alone.
struct World<'a> {
    data: &'a [u8],
    answers: HashMap<String, usize>,
}

impl<'a> World<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, answers: HashMap::new() }
    }

    fn at(&mut self, question: &str) -> Unstructured<'a> {
        let places = self.data.len().max(1);
        let place = *self.answers.entry(question.to_owned()).or_insert_with(|| {
            // FNV-1a: the place must not differ from run to run.
            let hash = question.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            usize::try_from(hash % 16).unwrap() * places / 16
        });
        Unstructured::new(&self.data[place..])
    }

    fn resolve(&mut self, name: &ServerName, config: &Arc<Config>, order: Order) -> Outcome {
        let now = Now::EPOCH;
        let mut machine = Discovery::new(name.clone(), Arc::clone(config), now, 7);
        let mut open = Vec::new();
        loop {
            match machine.poll_output(now) {
                Output::Done(outcome) => return outcome,
                Output::Ask(question) => open.push(question),
                Output::Wait(_) => {
                    assert!(!open.is_empty(), "everything is answered, and it waits");
                    let question = match order {
                        Order::First => open.remove(0),
                        Order::Last => open.pop().unwrap(),
                    };
                    self.answer(&mut machine, question, now);
                }
            }
        }
    }

    fn answer(&mut self, machine: &mut Discovery, question: Question, now: Now) {
        match question {
            Question::Dns { token, question } => {
                let mut u = self.at(&question.to_string());
                let answer = driver::dns_answer(&mut u, &question);
                let failed = DnsAnswer::failed(matrix_delegation::dns::DnsFailure::Malformed);
                machine.handle(token.answer(answer.unwrap_or(failed)), now);
            }
            Question::Fetch { token, fetch } => {
                let mut u = self.at(&fetch.request.uri().to_string());
                if let Ok(result) = driver::fetched(&mut u) {
                    machine.handle(token.answer(result), now);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}
