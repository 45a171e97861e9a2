//! A driver that costs little, and what must hold of each question and of each outcome.

use std::sync::Arc;

use matrix_delegation::{
    Config, DelegationTarget, Discovery, DnsFailurePolicy, DnsQuestion, DnsToken, Fetch,
    FetchToken, Now, Outcome, Output, Question, ServerName, Service, Source, Step, WellKnownAnswer,
    WellKnownFailure, WellKnownLookup, WellKnownToken,
};

use super::world::{
    Addresses, Answers, Document, NAMES, Srv, World, is_blocked, most_questions, port,
};

/// A question that waits for its answer.
enum Open {
    Dns(DnsToken, DnsQuestion),
    Fetch(FetchToken, http::Uri),
    WellKnown(WellKnownToken),
}

/// A world, and how it is asked.
pub(crate) struct Case<'a> {
    pub(crate) answers: &'a Answers,
    pub(crate) world: World,
    pub(crate) name: &'a ServerName,
    pub(crate) config: &'a Arc<Config>,
    /// If the well-known is asked whole: what comes of it.
    pub(crate) shared: Option<&'a Arc<WellKnownAnswer>>,
}

/// How a run ended, and how many questions it took.
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) questions: usize,
}

impl Case<'_> {
    /// One run; whenever there is nothing else to do, `choose` says which of so many open questions
    /// is answered. Everything stands still but for what is never answered.
    pub(crate) fn run(&self, mut choose: impl FnMut(usize) -> usize) -> Run {
        let mut now = Now::EPOCH;
        let mut machine = Discovery::new(self.name.clone(), Arc::clone(self.config), now, 7);
        if self.shared.is_some() {
            machine = machine.with_shared_well_known();
        }
        let mut open = Vec::with_capacity(16);
        let mut asked = Asked { case: self, dns: Vec::with_capacity(24), fetches: 0 };
        let outcome = loop {
            let until = match machine.poll_output(now) {
                Output::Done(outcome) => break outcome,
                Output::Ask(question) => {
                    open.extend(asked.take(question));
                    continue;
                }
                Output::Wait(until) => until.expect("an end to the wait"),
            };
            assert!(until > now.monotonic, "it waits for what has passed");
            if open.is_empty() {
                now = now + until.since(now.monotonic);
            } else {
                let next = open.remove(choose(open.len()));
                self.answer(&mut machine, next, now);
            }
        };
        // (6) It ends, after a bounded number of questions.
        let questions = asked.dns.len() + asked.fetches;
        assert!(questions <= most_questions(self.config), "{questions} questions");
        self.check_outcome(&outcome);
        // (9) What comes after the end changes nothing.
        for late in open {
            self.answer(&mut machine, late, now);
        }
        let Output::Done(again) = machine.poll_output(now) else { panic!("it began anew") };
        match (&outcome, &again) {
            (Ok(before), Ok(after)) => assert!(Arc::ptr_eq(before, after)),
            (before, after) => assert_eq!(before, after),
        }
        Run { outcome, questions }
    }

    fn answer(&self, machine: &mut Discovery, open: Open, now: Now) {
        match open {
            Open::Dns(token, question) => {
                machine.handle_dns(token, self.answers.dns(self.world, &question), now);
            }
            Open::Fetch(token, uri) => {
                let response = self.answers.response(self.world, &uri).expect("a response");
                machine.handle_response(token, response, now);
            }
            Open::WellKnown(token) => {
                let answer = Arc::clone(self.shared.expect("an answer"));
                machine.handle_well_known(token, answer, Source::Asked, None, now);
            }
        }
    }

    /// (7) No connection goes to a blocked address.
    fn check_fetch(&self, fetch: &Fetch) {
        let leave = self.config.addresses.families().is_empty();
        assert_eq!(fetch.addresses.is_empty(), leave);
        assert_eq!(fetch.left_to_proxy, leave);
        assert!(!fetch.addresses.iter().any(|address| is_blocked(address.ip())));
        // A host without a good address is asked only where a proxy looks it up.
        assert!(leave || fetch.request.uri().path() != "/gone");
        // (2) The delegate is never asked where it delegates to.
        assert!(matches!(fetch.request.uri().host(), Some("a.example" | "r.example")));
    }

    fn check_outcome(&self, outcome: &Outcome) {
        let target = match outcome {
            Ok(target) => target,
            Err(error) => {
                let known = [
                    "service_not_available",
                    "no_usable_endpoint",
                    "dns_failed",
                    "blocked_address",
                    "no_addresses",
                ];
                assert!(known.contains(&error.kind()), "{error}");
                return;
            }
        };
        // (1) Nothing but an IP literal or an explicit port leads to the first two steps.
        let by_itself = matches!(target.step(), Step::IpLiteral | Step::ExplicitPort);
        assert_eq!(by_itself, decides_by_itself(self.name));
        // (2) One delegation, and (3) `Host` and certificate name are the server's or its own.
        let own = *NAMES.iter().find(|(name, _)| self.name.as_str() == *name).expect("a name");
        let delegated = self.world.document.delegates().filter(|_| target.step().is_delegated());
        let (name, host) = delegated.unwrap_or(own);
        assert_eq!(target.authority(), name);
        assert_eq!(target.host_header(), name);
        assert_eq!(target.tls_name().to_str(), host);
        self.check_service(target);
        // (7) No endpoint is a blocked address.
        for endpoint in target.endpoints() {
            assert!(!endpoint.addresses().any(|address| is_blocked(address.ip())));
        }
    }

    /// (5) `_matrix._tcp` counts only where `_matrix-fed._tcp` was not found, or failed under the
    /// lenient policy; and records count only for the host that has them.
    fn check_service(&self, target: &DelegationTarget) {
        let lenient = self.config.dns_failure == DnsFailurePolicy::GoOn;
        let passed = |srv: Srv| srv == Srv::None || srv == Srv::Failed && lenient;
        let service = match target.step() {
            Step::DelegatedSrv | Step::Srv => Some(Service::MatrixFed),
            Step::DelegatedDeprecatedSrv | Step::DeprecatedSrv => Some(Service::Matrix),
            _ => None,
        };
        let owner = usize::from(target.tls_name().to_str() == "m.example");
        for endpoint in target.endpoints() {
            match service {
                Some(service) => assert_eq!(endpoint.port(), port(owner, service)),
                None => assert!(matches!(endpoint.port(), 4 | 9 | 443 | 8448)),
            }
        }
        let World { fed, matrix, own, .. } = self.world;
        let another = self.world.document.asks_srv_of_another() && owner == 0;
        let (fed, matrix) = if another { (own, own) } else { (fed, matrix) };
        match target.step() {
            Step::DelegatedSrv | Step::Srv => assert!(!passed(fed)),
            Step::DelegatedDeprecatedSrv | Step::DeprecatedSrv => {
                assert!(passed(fed) && !passed(matrix));
            }
            Step::DelegatedDefaultPort | Step::DefaultPort => {
                assert!(passed(fed) && passed(matrix));
            }
            _ => {}
        }
    }
}

/// What a run has asked so far.
struct Asked<'a> {
    case: &'a Case<'a>,
    dns: Vec<DnsQuestion>,
    fetches: usize,
}

impl Asked<'_> {
    /// Notes a question and checks that it may be asked; `None` if it is never answered.
    fn take(&mut self, question: Question) -> Option<Open> {
        // (1) An IP literal or a port asks for no well-known and no SRV.
        let alone = decides_by_itself(self.case.name);
        match question {
            Question::Dns { token, question } => {
                assert!(!alone || matches!(question, DnsQuestion::Addresses { .. }));
                assert!(!self.dns.contains(&question), "asked twice: {question}");
                self.dns.push(question.clone());
                Some(Open::Dns(token, question))
            }
            Question::Fetch { token, fetch } => {
                assert!(!alone && self.case.shared.is_none());
                self.case.check_fetch(&fetch);
                self.fetches += 1;
                let uri = fetch.request.uri().clone();
                (self.case.world.document != Document::Never).then_some(Open::Fetch(token, uri))
            }
            Question::WellKnown { token, host } => {
                assert!(!alone && self.case.shared.is_some());
                assert_eq!(host.as_str(), "a.example");
                self.fetches += 1;
                assert_eq!(self.fetches, 1);
                // Whoever looks it up and is not answered does not answer, either.
                let never =
                    matches!(self.case.shared?.result(), Err(WellKnownFailure::TimedOut { .. }));
                (!never).then_some(Open::WellKnown(token))
            }
            other => panic!("unknown question {other:?}"),
        }
    }
}

/// What comes of the well-known of `a.example` by itself.
pub(crate) fn look_up(
    answers: &Answers,
    world: World,
    config: &Arc<Config>,
) -> Arc<WellKnownAnswer> {
    let mut now = Now::EPOCH;
    let host = "a.example".parse().expect("a host");
    let mut machine = WellKnownLookup::new(host, Arc::clone(config), now, 7);
    loop {
        match machine.poll_output(now) {
            Output::Done(answer) => return Arc::new(answer),
            Output::Wait(until) => now = now + until.expect("an end").since(now.monotonic),
            Output::Ask(Question::Dns { token, question }) => {
                machine.handle_dns(token, answers.dns(world, &question), now);
            }
            Output::Ask(Question::Fetch { token, fetch }) => {
                if let Some(response) = answers.response(world, fetch.request.uri()) {
                    machine.handle_response(token, response, now);
                }
            }
            Output::Ask(other) => panic!("unknown question {other:?}"),
        }
    }
}

fn decides_by_itself(name: &ServerName) -> bool {
    name.as_str() != NAMES[0].0
}

/// Whether there is no valid well-known in this world.
pub(crate) fn document_fails(world: World, config: &Config) -> bool {
    let asked = !config.addresses.families().is_empty();
    world.document.delegates().is_none() || asked && world.host != Addresses::Some
}

/// Whether two runs lead to the same place.
pub(crate) fn same(one: &Outcome, other: &Outcome, warnings_too: bool) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            one.step() == other.step()
                && one.authority() == other.authority()
                && one.tls_host() == other.tls_host()
                && one.endpoints() == other.endpoints()
                && one.degraded() == other.degraded()
                && one.is_left_to_proxy() == other.is_left_to_proxy()
                && (!warnings_too || one.warnings() == other.warnings())
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}
