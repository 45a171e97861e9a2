//! Every transition of the machine, in one place.
//!
//! The rules read the facts (questions answered so far) from the top, as the specification does,
//! until one is missing; then they wait for it. So the order in which answers come changes
//! nothing, and asking early (speculation) only fills in facts before a rule wants them.
//!
//! | # | what is known | asked early (`Full` only) | asked | then |
//! | --- | --- | --- | --- | --- |
//! | 1 | host is an IP literal | | | **step 1** |
//! | 2 | name has a port | | A, AAAA | **step 2** |
//! | 3 | neither | A, AAAA and both SRV of the host; addresses of its first SRV target | well-known | 4 or 9 |
//! | 4 | delegated to an IP literal | | | **step 3.1** |
//! | 5 | delegated to a name with a port | | A, AAAA | **step 3.2** |
//! | 6 | delegated to a name without | A, AAAA and both SRV of it | SRV `_matrix-fed._tcp` | found: A, AAAA of each target, **step 3.3**; else 7 |
//! | 7 | that was not found or failed | | SRV `_matrix._tcp` | found: A, AAAA of each target, **step 3.4**; else 8 |
//! | 8 | neither was found | | A, AAAA of the delegated host | **step 3.5** |
//! | 9 | no valid well-known, for any reason | | as 6 to 8 with the host itself | **step 4**, **5** or **6** |
//!
//! Early asks leave out what only another step would need than the one that decided the last time.
//!
//! A failed SRV look-up (as opposed to "there is none") ends the discovery under
//! [`DnsFailurePolicy::Fail`]. An SRV set whose only target is `.` ends it, too. An endpoint whose
//! addresses are all missing or blocked is left out; when none is left, the discovery fails.

use std::net::IpAddr;
use std::task::{Poll, ready};
use std::time::Duration;

use super::WellKnownSource;
use super::gather::{Gathered, gather};
use super::ledger::Ledger;
use crate::core::cache::entry::Served;
use crate::core::config::{AddressFamilies, DnsFailurePolicy, Speculation, SrvAliasPolicy};
use crate::core::dns::srv::{DroppedSrv, SrvDropReason, SrvSet, SrvTarget};
use crate::core::dns::{DnsFailure, DnsQuestion, Service};
use crate::core::error::{Evidence, ResolveError};
use crate::core::names::dns_name::DnsName;
use crate::core::names::host::Host;
use crate::core::names::server_name::ServerName;
use crate::core::report::{SkipReason, StepOutcome, StepReport};
use crate::core::step::Step;
use crate::core::target::{
    DEFAULT_PORT, Degraded, DelegationTarget, Endpoint, Lifetimes, Origin, Stored,
};
use crate::core::time::Now;
use crate::core::warning::Warning;
use crate::core::well_known::document::WellKnown;

type Verdict = Result<DelegationTarget, ResolveError>;

/// One reading of the rules over the facts.
pub(super) struct Rules<'a> {
    pub(super) name: &'a ServerName,
    pub(super) ledger: &'a mut Ledger,
    pub(super) well_known: &'a mut WellKnownSource,
    pub(super) now: Now,
    /// The step that decided the last time.
    pub(super) last_step: Option<Step>,
    /// Steps that were passed after a look-up, with what came of it.
    pub(super) passed: Vec<(Step, StepOutcome)>,
    /// What has been found out on the way to a decision.
    pub(super) draft: Draft,
}

/// What has been found out on the way to a decision.
#[derive(Debug, Default)]
pub(super) struct Draft {
    delegated: Option<ServerName>,
    pub(super) warnings: Vec<Warning>,
    /// SRV look-ups that failed and were passed over.
    failed: Vec<(DnsQuestion, DnsFailure)>,
    degraded: Option<Degraded>,
    stale: bool,
    lifetimes: Lifetimes,
}

impl Rules<'_> {
    /// Rules 1 to 3: the server name itself decides, or the well-known must be asked.
    pub(super) fn read(&mut self) -> Poll<Verdict> {
        let host = match self.name.to_host() {
            Ok(host) => host,
            Err(source) => return Poll::Ready(Err(ResolveError::UnresolvableName { source })),
        };
        match (host, self.name.port()) {
            (Host::Ip(address), port) => Poll::Ready(self.literal(Step::IpLiteral, address, port)),
            (Host::Dns(host), Some(port)) => self.explicit_port(Step::ExplicitPort, &host, port),
            (Host::Dns(host), None) => {
                let steps = [Step::Srv, Step::DeprecatedSrv, Step::DefaultPort];
                self.speculate(&host, steps);
                if let Some(delegated) = ready!(self.well_known(&host)) {
                    return self.delegated(delegated);
                }
                self.ask_early(&host, steps);
                self.by_srv(&host, steps)
            }
        }
    }

    /// Rules 4 to 8: the name that is delegated to. It is never asked for a well-known.
    fn delegated(&mut self, (name, host): (ServerName, Host)) -> Poll<Verdict> {
        let port = name.port();
        self.draft.delegated = Some(name);
        match (host, port) {
            (Host::Ip(address), port) => {
                Poll::Ready(self.literal(Step::DelegatedIpLiteral, address, port))
            }
            (Host::Dns(host), Some(port)) => self.explicit_port(Step::DelegatedPort, &host, port),
            (Host::Dns(host), None) => {
                let steps =
                    [Step::DelegatedSrv, Step::DelegatedDeprecatedSrv, Step::DelegatedDefaultPort];
                self.ask_early(&host, steps);
                self.by_srv(&host, steps)
            }
        }
    }

    /// Steps 1 and 3.1.
    fn literal(&mut self, step: Step, address: IpAddr, port: Option<u16>) -> Verdict {
        if let Err(range) = self.ledger.config.address_policy.check(address) {
            return Err(ResolveError::BlockedAddress {
                name: self.name.clone(),
                step,
                host: Host::Ip(address),
                address,
                range: Box::new(range),
                evidence: Box::default(),
            });
        }
        let endpoint = Endpoint {
            host: Host::Ip(address),
            port: port.unwrap_or(DEFAULT_PORT),
            priority: 0,
            weight: 0,
            origin: Origin::Literal,
            addresses: vec![address],
        };
        self.decide(step, vec![endpoint])
    }

    /// Steps 2 and 3.2.
    fn explicit_port(&mut self, step: Step, host: &DnsName, port: u16) -> Poll<Verdict> {
        let place = SrvTarget { priority: 0, weight: 0, host: host.clone(), port };
        self.connect_to(step, Origin::ExplicitPort, &[place], Vec::new())
    }

    /// Steps 3.3 to 3.5, or 4 to 6.
    fn by_srv(&mut self, host: &DnsName, steps: [Step; 3]) -> Poll<Verdict> {
        let [by_fed, by_matrix, by_default] = steps;
        for (service, step) in [(Service::MatrixFed, by_fed), (Service::Matrix, by_matrix)] {
            let question = DnsQuestion::Srv { service, host: host.clone() };
            let Some(fact) = self.ledger.dns(&question, self.now.monotonic) else {
                return Poll::Pending;
            };
            let (records, until) = match fact.served() {
                Served::Holds { value, until } => (Ok(value), until),
                Served::Stale { value, because, until } => {
                    self.draft.stale = true;
                    let failure = because.map(|why| why.failure);
                    self.warn(Warning::DnsStale { question: question.clone(), failure });
                    (Ok(value), self.ledger.stale_until(until, self.now.monotonic))
                }
                Served::Failed { why, until, .. } => (Err(why.failure), until),
            };
            shorten(&mut self.draft.lifetimes.srv, until.since(self.now.monotonic));
            match records {
                Ok(records) => match records.none() {
                    None => return self.srv_found(step, service, host, records.srv()),
                    Some(_) if host.is_onion() => {
                        self.passed.push((step, StepOutcome::Skipped(SkipReason::Onion)));
                    }
                    Some(kind) => self.passed.push((step, StepOutcome::NoSrvRecord(kind))),
                },
                Err(failure) => {
                    if self.ledger.config.dns_failure == DnsFailurePolicy::Fail {
                        return Poll::Ready(Err(self.dns_failed(step, question, failure)));
                    }
                    self.passed.push((step, StepOutcome::SrvLookupFailed(failure)));
                    self.draft.failed.push((question, failure));
                    self.draft.degraded.get_or_insert(Degraded::SrvLookupFailed(service));
                    let host = host.clone();
                    self.warn(Warning::SrvLookupFailed { service, host, failure });
                }
            }
        }
        let place = SrvTarget { priority: 0, weight: 0, host: host.clone(), port: DEFAULT_PORT };
        self.connect_to(by_default, Origin::DefaultPort, &[place], Vec::new())
    }

    fn srv_found(
        &mut self,
        step: Step,
        service: Service,
        host: &DnsName,
        records: &[crate::SrvRecord],
    ) -> Poll<Verdict> {
        let set = SrvSet::from_records(records, self.srv_limit());
        let name = self.name.clone();
        if set.is_no_service() {
            let host = host.clone();
            let evidence = Box::new(self.evidence(&[], set.dropped().to_vec()));
            return Poll::Ready(Err(ResolveError::ServiceNotAvailable {
                name,
                step,
                service,
                host,
                evidence,
            }));
        }
        for record in set.dropped() {
            let (host, record) = (host.clone(), record.clone());
            self.warn(Warning::SrvRecordDropped { service, host, record });
        }
        if step.is_deprecated() {
            self.warn(Warning::DeprecatedSrv { host: host.clone() });
        }
        let mut dropped = set.dropped().to_vec();
        let mut targets = set.targets().to_vec();
        let hosts = ready!(self.gather_all(&targets));
        if self.ledger.config.srv_alias == SrvAliasPolicy::Drop {
            let (now, incomplete) = (self.now.monotonic, self.ledger.config.dns.incomplete);
            for aliased in hosts.iter().filter(|gathered| gathered.alias) {
                // Once the alias is gone the record counts again.
                let life = aliased.until(now, incomplete).since(now);
                shorten(&mut self.draft.lifetimes.addresses, life);
                for target in targets.extract_if(.., |target| target.host == aliased.host) {
                    let record = DroppedSrv {
                        target: target.host.as_str().to_owned(),
                        port: target.port,
                        reason: SrvDropReason::Alias,
                    };
                    dropped.push(record.clone());
                    let host = host.clone();
                    self.draft.warnings.push(Warning::SrvRecordDropped { service, host, record });
                }
            }
        }
        if targets.is_empty() {
            let host = host.clone();
            let evidence = Box::new(self.evidence(&hosts, dropped));
            return Poll::Ready(Err(ResolveError::NoUsableEndpoint {
                name,
                step,
                service,
                host,
                evidence,
            }));
        }
        self.connect_to(step, Origin::Srv, &targets, dropped)
    }

    /// Gives the endpoints their addresses and decides; without any, the discovery fails.
    fn connect_to(
        &mut self,
        step: Step,
        origin: Origin,
        places: &[SrvTarget],
        dropped: Vec<DroppedSrv>,
    ) -> Poll<Verdict> {
        let hosts = ready!(self.gather_all(places));
        let leave = self.ledger.config.addresses == AddressFamilies::Leave;
        let endpoints: Vec<_> = places
            .iter()
            .filter_map(|place| {
                let gathered = hosts.iter().find(|gathered| gathered.host == place.host);
                let addresses = gathered.map(|it| it.addresses.clone()).unwrap_or_default();
                (leave || !addresses.is_empty()).then(|| Endpoint {
                    host: Host::Dns(place.host.clone()),
                    port: place.port,
                    priority: place.priority,
                    weight: place.weight,
                    origin,
                    addresses,
                })
            })
            .collect();
        let incomplete = self.ledger.config.dns.incomplete;
        for gathered in &hosts {
            let life = gathered.until(self.now.monotonic, incomplete).since(self.now.monotonic);
            shorten(&mut self.draft.lifetimes.addresses, life);
            self.draft.stale |= !gathered.stale.is_empty();
            self.draft.warnings.extend(gathered.warnings());
            if origin == Origin::Srv {
                self.warn_of_target(gathered);
            }
        }
        if endpoints.is_empty() {
            return Poll::Ready(Err(self.nowhere_to_connect(step, &hosts, dropped)));
        }
        Poll::Ready(self.decide(step, endpoints))
    }

    fn warn_of_target(&mut self, gathered: &Gathered) {
        let target = gathered.host.clone();
        if gathered.alias {
            self.warn(Warning::SrvTargetAlias { target: target.clone() });
        }
        if gathered.addresses.is_empty() {
            self.warn(if gathered.is_complete() {
                Warning::SrvTargetWithoutAddress { target: gathered.evidence() }
            } else {
                Warning::SrvTargetLate { target }
            });
        }
    }

    /// The addresses of each host among the places, once nothing more is to be waited for.
    fn gather_all(&mut self, places: &[SrvTarget]) -> Poll<Vec<Gathered>> {
        let now = self.now.monotonic;
        if self.ledger.config.addresses == AddressFamilies::Leave {
            return Poll::Ready(Vec::new());
        }
        let mut hosts: Vec<Gathered> = Vec::new();
        for place in places {
            if !hosts.iter().any(|gathered| gathered.host == place.host) {
                hosts.push(gather(self.ledger, &place.host, now));
            }
        }
        let (family_grace, target_grace) =
            (self.ledger.config.time.family_grace, self.ledger.config.time.target_grace);
        // Not `all`: each host says until when it is waited for.
        let waiting = hosts
            .iter()
            .filter(|gathered| !gathered.is_ready(self.ledger, family_grace, now))
            .count();
        if waiting == 0 {
            return Poll::Ready(hosts);
        }
        let Some(first) = hosts.iter().filter_map(|gathered| gathered.first).min() else {
            return Poll::Pending;
        };
        // An address may have been there long before the other targets were asked for.
        let asked = hosts.iter().map(|gathered| gathered.asked).max().unwrap_or(first);
        let due = first.max(asked) + target_grace;
        if now < due {
            self.ledger.wake_at(due);
            return Poll::Pending;
        }
        Poll::Ready(hosts)
    }

    /// What the well-known says: the name delegated to, or nothing.
    fn well_known(&mut self, host: &DnsName) -> Poll<Option<(ServerName, Host)>> {
        let now = self.now;
        let known = ready!(self.well_known.poll(self.ledger, host, now));
        let delegation =
            |document: &WellKnown| (document.server().clone(), document.host().clone());
        let (delegated, until) = match known.served() {
            Served::Holds { value, until } => (Some(delegation(value)), until),
            Served::Stale { value, because, until } => {
                self.draft.stale = true;
                let (host, failure) = (host.clone(), because.cloned());
                self.draft.warnings.push(Warning::WellKnownStale { host, failure });
                (Some(delegation(value)), self.ledger.stale_until(until, now.monotonic))
            }
            Served::Failed { why: failure, lost, until } => {
                if lost {
                    self.draft.degraded = Some(Degraded::WellKnownLost);
                }
                if lost || !failure.is_ordinary(host) {
                    let (host, failure) = (host.clone(), failure.clone());
                    self.draft.warnings.push(Warning::WellKnownUnusable { host, failure });
                }
                (None, until)
            }
        };
        self.draft.lifetimes.well_known = Some(until.since(now.monotonic));
        Poll::Ready(delegated)
    }

    /// What may be needed should there be no valid well-known.
    fn speculate(&mut self, host: &DnsName, steps: [Step; 3]) {
        let delegated = self.last_step.is_some_and(Step::is_delegated);
        if delegated || self.ledger.config.speculation == Speculation::Off {
            return;
        }
        self.ask_early(host, steps);
        if self.well_known.is_answered() {
            return;
        }
        // Of an SRV set that may yet turn out to be beside the point, only the first target.
        let mut first = None;
        for service in Service::ALL {
            let question = DnsQuestion::Srv { service, host: host.clone() };
            let Some(fact) = self.ledger.known(&question) else { return };
            let records = match fact.served() {
                Served::Holds { value, .. } | Served::Stale { value, .. } => value.srv(),
                Served::Failed { .. } => &[],
            };
            if !records.is_empty() {
                first = SrvSet::from_records(records, self.srv_limit()).targets().first().cloned();
                break;
            }
        }
        if let Some(target) = first {
            self.ask_addresses_early(&target.host);
        }
    }

    /// What the steps of a host without a port may need, except what only a step further down
    /// would need than the one that decided the last time.
    fn ask_early(&mut self, host: &DnsName, [by_fed, by_matrix, _]: [Step; 3]) {
        if self.ledger.config.speculation == Speculation::Off {
            return;
        }
        let services = if self.last_step == Some(by_fed) {
            &[Service::MatrixFed][..]
        } else {
            &[Service::MatrixFed, Service::Matrix]
        };
        if ![Some(by_fed), Some(by_matrix)].contains(&self.last_step) {
            self.ask_addresses_early(host);
        }
        for service in services {
            let question = DnsQuestion::Srv { service: *service, host: host.clone() };
            self.ledger.dns_early(&question, self.now.monotonic);
        }
    }

    fn ask_addresses_early(&mut self, host: &DnsName) {
        for family in self.ledger.config.addresses.families() {
            let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
            self.ledger.dns_early(&question, self.now.monotonic);
        }
    }

    fn srv_limit(&self) -> usize {
        self.ledger.config.limits.srv_records.clamp(1, crate::core::dns::srv::WeightedOrder::MOST)
    }

    fn warn(&mut self, warning: Warning) {
        self.draft.warnings.push(warning);
    }

    fn dns_failed(&self, step: Step, question: DnsQuestion, failure: DnsFailure) -> ResolveError {
        let evidence = Box::new(self.evidence(&[], Vec::new()));
        ResolveError::DnsFailed { name: self.name.clone(), step, question, failure, evidence }
    }

    fn evidence(&self, hosts: &[Gathered], dropped: Vec<DroppedSrv>) -> Evidence {
        let hosts = hosts.iter().map(Gathered::evidence).collect();
        Evidence { hosts, dropped, failed: self.draft.failed.clone() }
    }

    /// The error of a step whose endpoints have no usable address.
    fn nowhere_to_connect(
        &self,
        step: Step,
        hosts: &[Gathered],
        dropped: Vec<DroppedSrv>,
    ) -> ResolveError {
        let name = self.name.clone();
        let evidence = Box::new(self.evidence(hosts, dropped));
        let failed = hosts.iter().find_map(|it| it.failure().map(|failure| (it, failure)));
        if self.ledger.config.dns_failure == DnsFailurePolicy::Fail
            && let Some((gathered, (family, failure))) = failed
        {
            let question = DnsQuestion::Addresses { host: gathered.host.clone(), family };
            return ResolveError::DnsFailed { name, step, question, failure, evidence };
        }
        let blocked = hosts.iter().find_map(|it| it.blocked.first().map(|first| (it, first)));
        match blocked {
            Some((gathered, (address, range))) => ResolveError::BlockedAddress {
                name,
                step,
                host: Host::Dns(gathered.host.clone()),
                address: *address,
                range: Box::new(range.clone()),
                evidence,
            },
            None => ResolveError::NoAddresses { name, step, evidence },
        }
    }

    fn decide(&mut self, step: Step, endpoints: Vec<Endpoint>) -> Verdict {
        let draft = std::mem::take(&mut self.draft);
        let mut lifetimes = draft.lifetimes;
        if draft.degraded.is_some() {
            lifetimes.held = Some(self.ledger.config.time.degraded);
        }
        let left_to_proxy = endpoints.iter().any(|endpoint| endpoint.addresses.is_empty());
        DelegationTarget::try_from(Stored {
            server_name: self.name.clone(),
            delegated: draft.delegated,
            step,
            endpoints,
            left_to_proxy,
            degraded: draft.degraded,
            stale: draft.stale,
            warnings: draft.warnings,
            decided: self.now,
            lifetimes,
        })
        // The rules contradict themselves in nothing that a target checks.
        .map_err(|_| ResolveError::AdapterFailed { name: self.name.clone() })
    }
}

fn shorten(life: &mut Option<Duration>, other: Duration) {
    *life = Some(life.map_or(other, |life| life.min(other)));
}

/// What became of each step, given the one that decided (or failed) and those passed on the way.
pub(super) fn steps(
    ended: bool,
    decided: Option<Step>,
    passed: &[(Step, StepOutcome)],
    name: &ServerName,
) -> Vec<StepReport> {
    let skipped = |step: Step| match (decided, step) {
        (_, Step::IpLiteral) => SkipReason::NotAnIpLiteral,
        (Some(decided), _) if decided < Step::DelegatedIpLiteral && step > decided => {
            SkipReason::DecidedEarlier
        }
        (_, Step::ExplicitPort) if name.port().is_none() => SkipReason::NoPort,
        (None, _) if !ended => SkipReason::NotYet,
        (None, _) => SkipReason::Ended,
        (Some(decided), _) if !decided.is_delegated() && step.is_delegated() => {
            SkipReason::NoWellKnown
        }
        (Some(decided), _) if decided.is_delegated() && !step.is_delegated() => {
            SkipReason::Delegated
        }
        (Some(decided), _) if step > decided => SkipReason::DecidedEarlier,
        (Some(_), Step::DelegatedIpLiteral) => SkipReason::NotAnIpLiteral,
        (Some(_), Step::DelegatedPort) => SkipReason::NoPort,
        (Some(_), _) => SkipReason::OtherDelegation,
    };
    Step::ALL
        .into_iter()
        .map(|step| {
            let outcome = if decided == Some(step) {
                StepOutcome::Decided
            } else if let Some((_, outcome)) = passed.iter().find(|(other, _)| *other == step) {
                outcome.clone()
            } else {
                StepOutcome::Skipped(skipped(step))
            };
            StepReport { step, outcome }
        })
        .collect()
}
