//! Every transition of the machine, in one place.
//!
//! The rules read the facts (the answers so far) from the top, as the specification does, until one
//! is missing, and then wait for it. So the order in which answers arrive changes nothing, and
//! asking early (speculation) only provides facts before a rule needs them.
//!
//! | rule | what is known | asked early ([`Speculation::Full`] only) | asked | then |
//! | --- | --- | --- | --- | --- |
//! | 1 | host is an IP literal | | | **step 1** |
//! | 2 | name has a port | | A, AAAA | **step 2** |
//! | 3 | host is a DNS name, without a port | A, AAAA and both SRV of the host; addresses of its first SRV target | well-known | 4 or 9 |
//! | 4 | delegated to an IP literal | | | **step 3.1** |
//! | 5 | delegated to a name with a port | | A, AAAA | **step 3.2** |
//! | 6 | delegated to a name without a port | A, AAAA and both SRV of it | SRV `_matrix-fed._tcp` | found: A, AAAA of each target, **step 3.3**; else 7 |
//! | 7 | none is found, or that look-up failed | | SRV `_matrix._tcp` | found: A, AAAA of each target, **step 3.4**; else 8 |
//! | 8 | neither is found, or the look-ups failed | | A, AAAA of the delegated host | **step 3.5** |
//! | 9 | not delegated: no valid well-known, for any reason | | SRV of the host itself, `_matrix-fed._tcp` before `_matrix._tcp`, as in 6 to 8 | **step 4**, **5** or **6** |
//!
//! If it is known which step decided the last discovery of this name, questions that this step does
//! not need are not asked early.
//!
//! A failed SRV look-up (as opposed to "there is none") ends the discovery under
//! [`DnsFailurePolicy::Fail`]. So does, under any policy, an SRV set whose only target is `.`. An
//! endpoint without a usable address is left out. If no endpoint remains, the discovery fails.

use std::net::IpAddr;
use std::task::{Poll, ready};
use std::time::Duration;

use super::facts::{Budget, Facts};
use super::host_addresses::HostAddresses;
use super::well_known_source::WellKnownSource;
use crate::core::cache::Served;
use crate::core::config::{AddressFamilies, DnsFailurePolicy, Speculation, SrvAliasPolicy};
use crate::core::dns::{
    DnsFailure, DnsQuestion, DroppedSrv, Service, SrvDropReason, SrvRecord, SrvSet, SrvTarget,
    WeightedOrder,
};
use crate::core::endpoint::{Origin, StoredEndpoint};
use crate::core::error::{Evidence, HostEvidence, ResolveError};
use crate::core::few::Few;
use crate::core::names::{DnsName, Host, ServerName};
use crate::core::report::{SkipReason, StepOutcome, StepReport};
use crate::core::step::Step;
use crate::core::target::{DEFAULT_PORT, Degraded, DelegationTarget, Lifetimes, Stored};
use crate::core::time::Now;
use crate::core::warning::Warning;
use crate::core::well_known::WellKnown;

/// How a discovery ends.
type Verdict = Result<DelegationTarget, ResolveError>;

/// One reading of the rules, from the first to the one that decides or needs another answer.
pub(super) struct Reading<'a> {
    pub(super) name: &'a ServerName,
    pub(super) facts: &'a mut Facts,
    pub(super) well_known: &'a mut WellKnownSource,
    pub(super) now: Now,
    /// The step that decided the last discovery of this name, if that is known.
    pub(super) last_step: Option<Step>,
    /// Steps that a look-up ruled out, each with the outcome of that look-up.
    pub(super) passed: Vec<(Step, StepOutcome)>,
    /// What the rules have found so far.
    pub(super) draft: Draft,
}

/// What the rules have found before they decide.
#[derive(Debug, Default)]
pub(super) struct Draft {
    delegated: Option<ServerName>,
    pub(super) warnings: Vec<Warning>,
    /// SRV look-ups that failed without ending the discovery.
    failed: Vec<(DnsQuestion, DnsFailure)>,
    degraded: Option<Degraded>,
    stale: bool,
    lifetimes: Lifetimes,
}

impl Reading<'_> {
    /// Reads rules 1 to 3: the server name itself decides, or the well-known document is needed.
    pub(super) fn read(&mut self) -> Poll<Verdict> {
        let host = match self.name.to_host() {
            Ok(host) => host,
            Err(source) => return Poll::Ready(Err(ResolveError::UnresolvableName { source })),
        };
        match (host, self.name.port()) {
            (Host::Ip(address), port) => Poll::Ready(self.literal(Step::IpLiteral, address, port)),
            (Host::Dns(host), Some(port)) => self.explicit_port(Step::ExplicitPort, &host, port),
            (Host::Dns(host), None) => {
                self.speculate(&host);
                match ready!(self.well_known(&host)) {
                    Ok(Some(delegated)) => return self.delegated(delegated),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                self.ask_early(&host, false);
                self.by_srv(&host, false)
            }
        }
    }

    /// Reads rules 4 to 8 for the name that is delegated to. Its own well-known document is never
    /// fetched.
    fn delegated(&mut self, (name, host): (ServerName, Host)) -> Poll<Verdict> {
        let port = name.port();
        self.draft.delegated = Some(name);
        match (host, port) {
            (Host::Ip(address), port) => {
                Poll::Ready(self.literal(Step::DelegatedIpLiteral, address, port))
            }
            (Host::Dns(host), Some(port)) => self.explicit_port(Step::DelegatedPort, &host, port),
            (Host::Dns(host), None) => {
                self.ask_early(&host, true);
                self.by_srv(&host, true)
            }
        }
    }

    /// Decides by an IP literal (steps 1 and 3.1).
    fn literal(&mut self, step: Step, address: IpAddr, port: Option<u16>) -> Verdict {
        if let Err(range) = self.facts.config.address_policy.check(address) {
            return Err(ResolveError::BlockedAddress {
                name: self.name.clone(),
                step,
                host: Host::Ip(address),
                address,
                range: Box::new(range),
                evidence: Box::default(),
            });
        }
        let endpoint = StoredEndpoint {
            host: Host::Ip(address),
            port: port.unwrap_or(DEFAULT_PORT),
            priority: 0,
            weight: 0,
            origin: Origin::Literal,
            addresses: Few::One(address),
        };
        self.decide(step, vec![endpoint])
    }

    /// Decides by the port in the name (steps 2 and 3.2).
    fn explicit_port(&mut self, step: Step, host: &DnsName, port: u16) -> Poll<Verdict> {
        let target = SrvTarget { priority: 0, weight: 0, host: host.clone(), port };
        self.connect_to(step, Origin::ExplicitPort, &[target], Vec::new())
    }

    /// Decides by SRV records, else by the default port: steps 3.3 to 3.5 for the host that is
    /// delegated to, else 4 to 6.
    fn by_srv(&mut self, host: &DnsName, delegated: bool) -> Poll<Verdict> {
        for service in Service::ALL {
            let step = Step::of(service, delegated);
            let question = DnsQuestion::Srv { service, host: host.clone() };
            let Some(fact) = self.facts.dns(&question, self.now.monotonic) else {
                return Poll::Pending;
            };
            let (records, until) = match fact.served() {
                Served::Holds { value, until } => (Ok(value), until),
                Served::Stale { value, because, until } => {
                    self.draft.stale = true;
                    let failure = because.map(|why| why.failure);
                    self.warn(Warning::DnsStale { question: question.clone(), failure });
                    (Ok(value), self.facts.stale_until(until, self.now.monotonic))
                }
                Served::Failed { why, until, .. } => (Err(why), until),
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
                Err(why) if why.failure == DnsFailure::Local => {
                    return Poll::Ready(Err(self.local(question.to_string(), why.excerpt())));
                }
                Err(why) => {
                    let failure = why.failure;
                    if self.facts.config.dns_failure == DnsFailurePolicy::Fail {
                        let (name, detail) = (self.name.clone(), why.excerpt());
                        let evidence = Box::new(self.evidence(&[], Vec::new()));
                        return Poll::Ready(Err(ResolveError::DnsFailed {
                            name,
                            step,
                            question,
                            failure,
                            detail,
                            evidence,
                        }));
                    }
                    self.passed.push((step, StepOutcome::SrvLookupFailed(failure)));
                    self.draft.failed.push((question, failure));
                    self.draft.degraded.get_or_insert(Degraded::SrvLookupFailed(service));
                    let host = host.clone();
                    self.warn(Warning::SrvLookupFailed { service, host, failure });
                }
            }
        }
        let target = SrvTarget { priority: 0, weight: 0, host: host.clone(), port: DEFAULT_PORT };
        self.connect_to(Step::without_srv(delegated), Origin::DefaultPort, &[target], Vec::new())
    }

    /// Decides by those of the SRV records that are usable (RFC 2782).
    fn srv_found(
        &mut self,
        step: Step,
        service: Service,
        host: &DnsName,
        records: &[SrvRecord],
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
        let (hosts, _) = ready!(self.all_addresses(&targets));
        if self.facts.config.srv_alias == SrvAliasPolicy::Drop {
            let (now, incomplete) = (self.now.monotonic, self.facts.config.dns.incomplete);
            for aliased in hosts.iter().filter(|it| it.alias) {
                // When the alias expires, the record may count again.
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

    /// Decides on an endpoint for each target that has addresses, or that a proxy looks up. Fails
    /// if there is none.
    fn connect_to(
        &mut self,
        step: Step,
        origin: Origin,
        targets: &[SrvTarget],
        dropped: Vec<DroppedSrv>,
    ) -> Poll<Verdict> {
        let (hosts, left_out) = ready!(self.all_addresses(targets));
        for target in left_out {
            self.warn(Warning::SrvTargetNotAsked { target });
        }
        let by_proxy = self.facts.config.addresses == AddressFamilies::ByProxy;
        let endpoints: Vec<_> = targets
            .iter()
            .filter_map(|target| {
                let found = hosts.iter().find(|it| it.host == target.host);
                let addresses = found.map(|it| it.addresses.clone()).unwrap_or_default();
                (by_proxy || !addresses.is_empty()).then(|| StoredEndpoint {
                    host: Host::Dns(target.host.clone()),
                    port: target.port,
                    priority: target.priority,
                    weight: target.weight,
                    origin,
                    addresses: addresses.into(),
                })
            })
            .collect();
        let incomplete = self.facts.config.dns.incomplete;
        for host in &hosts {
            let life = host.until(self.now.monotonic, incomplete).since(self.now.monotonic);
            shorten(&mut self.draft.lifetimes.addresses, life);
            self.draft.stale |= !host.stale.is_empty();
            self.draft.warnings.extend(host.warnings());
            if origin == Origin::Srv {
                self.warn_of_target(host);
            }
        }
        if endpoints.is_empty() {
            return Poll::Ready(Err(self.nowhere_to_connect(step, &hosts, dropped)));
        }
        Poll::Ready(self.decide(step, endpoints))
    }

    /// Warns of what is wrong with the target of an SRV record.
    fn warn_of_target(&mut self, host: &HostAddresses) {
        let target = host.host.clone();
        if host.alias {
            self.warn(Warning::SrvTargetAlias { target: target.clone() });
        }
        if host.addresses.is_empty() {
            self.warn(if host.is_complete() {
                // Warnings are remembered; the adapter's words stand in the report.
                let target = HostEvidence { details: Vec::new(), ..host.evidence() };
                Warning::SrvTargetWithoutAddress { target }
            } else {
                Warning::SrvTargetLate { target }
            });
        }
    }

    /// Returns the addresses of each host among the targets, once there is nothing more to wait for, and
    /// the hosts that were not asked for because the budget does not suffice.
    fn all_addresses(&mut self, targets: &[SrvTarget]) -> Poll<(Vec<HostAddresses>, Vec<DnsName>)> {
        let now = self.now.monotonic;
        if self.facts.config.addresses == AddressFamilies::ByProxy {
            return Poll::Ready(Default::default());
        }
        let mut hosts: Vec<HostAddresses> = Vec::new();
        let (mut left_out, mut may_go_on) = (Vec::new(), false);
        for SrvTarget { host, .. } in targets {
            if hosts.iter().any(|it| it.host == *host) || left_out.contains(host) {
                continue;
            }
            let families = self.facts.config.addresses.families().iter();
            let questions: Vec<_> = families
                .map(|family| DnsQuestion::Addresses { host: host.clone(), family: *family })
                .collect();
            let budget = self.facts.budget(&questions, now);
            if hosts.is_empty() || budget == Budget::Suffices {
                hosts.push(HostAddresses::of(self.facts, host, now));
            } else {
                may_go_on |= budget == Budget::MaySuffice;
                left_out.push(host.clone());
            }
        }
        let (family_grace, target_grace) =
            (self.facts.config.time.family_grace, self.facts.config.time.target_grace);
        // Not `any`: each host that is waited for must set its wake-up.
        let waiting = hosts.iter().filter(|it| !it.is_ready(self.facts, family_grace, now)).count();
        if waiting == 0 && !may_go_on {
            return Poll::Ready((hosts, left_out));
        }
        let Some(first) = hosts.iter().filter_map(|it| it.first).min() else {
            return Poll::Pending;
        };
        // The grace begins when all are asked for: an address may have arrived long before that.
        let asked = hosts.iter().map(|it| it.asked).max().unwrap_or(first);
        let due = first.max(asked) + target_grace;
        if now < due {
            self.facts.wake_at(due);
            return Poll::Pending;
        }
        Poll::Ready((hosts, left_out))
    }

    /// Returns the name that the well-known document delegates to, if it does. Where this machine could
    /// not ask, nothing follows.
    fn well_known(
        &mut self,
        host: &DnsName,
    ) -> Poll<Result<Option<(ServerName, Host)>, ResolveError>> {
        let now = self.now;
        let known = ready!(self.well_known.poll(self.facts, host, now));
        let (document, until) = match known.served() {
            Served::Holds { value, until } => (Some(value), until),
            Served::Stale { value, because, until } => {
                self.draft.stale = true;
                let (host, failure) = (host.clone(), because.cloned());
                self.draft.warnings.push(Warning::WellKnownStale { host, failure });
                (Some(value), self.facts.stale_until(until, now.monotonic))
            }
            Served::Failed { why, .. } if why.is_local() => {
                let what = format!("the well-known document of {host}");
                return Poll::Ready(Err(self.local(what, why.to_string())));
            }
            Served::Failed { why: failure, lost, until } => {
                if lost {
                    self.draft.degraded = Some(Degraded::WellKnownLost);
                }
                if lost || !failure.is_ordinary() {
                    let (host, failure) = (host.clone(), failure.clone());
                    self.draft.warnings.push(Warning::WellKnownUnusable { host, failure });
                }
                (None, until)
            }
        };
        self.draft.lifetimes.well_known = Some(until.since(now.monotonic));
        if let Some(coding) = document.and_then(WellKnown::odd_coding) {
            let (host, coding) = (host.clone(), coding.to_owned());
            self.draft.warnings.push(Warning::WellKnownOddCoding { host, coding });
        }
        let delegation =
            |document: &WellKnown| (document.server().clone(), document.host().clone());
        Poll::Ready(Ok(document.map(delegation)))
    }

    /// Asks early what is needed if there turns out to be no valid well-known.
    fn speculate(&mut self, host: &DnsName) {
        let delegated = self.last_step.is_some_and(Step::is_delegated);
        if delegated || self.facts.config.speculation == Speculation::Off {
            return;
        }
        self.ask_early(host, false);
        if self.well_known.is_answered() {
            return;
        }
        // These records may turn out not to matter, so only the first target is looked up.
        let mut first = None;
        for service in Service::ALL {
            let question = DnsQuestion::Srv { service, host: host.clone() };
            let Some(fact) = self.facts.known(&question) else { return };
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

    /// Asks early what the steps of a host without a port may need. If an SRV step decided the last
    /// discovery, leaves out what only the steps after that one need.
    fn ask_early(&mut self, host: &DnsName, delegated: bool) {
        if self.facts.config.speculation == Speculation::Off {
            return;
        }
        let decided = |service| self.last_step == Some(Step::of(service, delegated));
        let last = Service::ALL.into_iter().position(decided);
        if last.is_none() {
            self.ask_addresses_early(host);
        }
        for service in Service::ALL.into_iter().take(last.map_or(Service::ALL.len(), |at| at + 1)) {
            let question = DnsQuestion::Srv { service, host: host.clone() };
            self.facts.dns_early(&question, self.now.monotonic);
        }
    }

    /// Asks early for the addresses of a host.
    fn ask_addresses_early(&mut self, host: &DnsName) {
        for family in self.facts.config.addresses.families() {
            let question = DnsQuestion::Addresses { host: host.clone(), family: *family };
            self.facts.dns_early(&question, self.now.monotonic);
        }
    }

    fn srv_limit(&self) -> usize {
        self.facts.config.limits.srv_records.clamp(1, WeightedOrder::MOST)
    }

    fn warn(&mut self, warning: Warning) {
        self.draft.warnings.push(warning);
    }

    fn evidence(&self, hosts: &[HostAddresses], dropped: Vec<DroppedSrv>) -> Evidence {
        let hosts = hosts.iter().map(HostAddresses::evidence).collect();
        Evidence { hosts, dropped, failed: self.draft.failed.clone() }
    }

    /// Returns the error for what this machine could not ask for.
    fn local(&self, what: String, cause: String) -> ResolveError {
        ResolveError::Local { name: self.name.clone(), what, cause }
    }

    /// Returns the error for a step that leads to no endpoint with a usable address.
    fn nowhere_to_connect(
        &self,
        step: Step,
        hosts: &[HostAddresses],
        dropped: Vec<DroppedSrv>,
    ) -> ResolveError {
        let name = self.name.clone();
        let evidence = Box::new(self.evidence(hosts, dropped));
        let failed = |is: fn(DnsFailure) -> bool| {
            hosts.iter().find_map(|it| {
                it.failure().filter(|(_, failure)| is(*failure)).map(|failure| (it, failure))
            })
        };
        if let Some((host, (family, _))) = failed(|it| it == DnsFailure::Local) {
            let question = DnsQuestion::Addresses { host: host.host.clone(), family };
            return self.local(question.to_string(), host.details.join("; "));
        }
        let failed = failed(|_| true);
        if self.facts.config.dns_failure == DnsFailurePolicy::Fail
            && let Some((host, (family, failure))) = failed
        {
            let question = DnsQuestion::Addresses { host: host.host.clone(), family };
            let detail = host.details.join("; ");
            return ResolveError::DnsFailed { name, step, question, failure, detail, evidence };
        }
        let blocked = hosts.iter().find_map(|it| it.blocked.first().map(|first| (it, first)));
        match blocked {
            Some((host, (address, range))) => ResolveError::BlockedAddress {
                name,
                step,
                host: Host::Dns(host.host.clone()),
                address: *address,
                range: Box::new(range.clone()),
                evidence,
            },
            None => ResolveError::NoAddresses { name, step, evidence },
        }
    }

    /// Makes the target from what was found.
    fn decide(&mut self, step: Step, endpoints: Vec<StoredEndpoint>) -> Verdict {
        let draft = std::mem::take(&mut self.draft);
        let mut lifetimes = draft.lifetimes;
        if draft.degraded.is_some() {
            lifetimes.held = Some(self.facts.config.time.degraded);
        }
        let left_to_proxy =
            endpoints.iter().any(|endpoint| endpoint.addresses.as_slice().is_empty());
        DelegationTarget::try_from(Stored {
            server_name: self.name.clone(),
            delegated: draft.delegated,
            step,
            endpoints: endpoints.into(),
            left_to_proxy,
            degraded: draft.degraded,
            stale: draft.stale,
            warnings: draft.warnings.into(),
            decided: self.now,
            lifetimes: lifetimes.into(),
        })
        // Cannot fail: the rules make no target that contradicts itself.
        .map_err(|_| ResolveError::AdapterFailed { name: self.name.clone() })
    }
}

fn shorten(life: &mut Option<Duration>, other: Duration) {
    *life = Some(life.map_or(other, |life| life.min(other)));
}

/// Returns what happened at each step, given the step that decided or failed and the steps that
/// look-ups ruled out.
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
