//! A driver that costs little, and what must hold of each question and of each outcome.

use std::sync::Arc;

use matrix_delegation::cache::WellKnownEntry;
use matrix_delegation::config::DnsFailurePolicy;
use matrix_delegation::discovery::{
    DnsToken, FetchToken, Machine, Outcome, Output, Question, WellKnownLookup, WellKnownToken,
};
use matrix_delegation::dns::{DnsQuestion, Family, Service};
use matrix_delegation::report::Source;
use matrix_delegation::time::{Monotonic, Now};
use matrix_delegation::well_known::{Fetch, WellKnownFailure};
use matrix_delegation::{Config, DelegationTarget, Discovery, ServerName, Step};

use super::document::Document;
use super::world::{Addresses, Answers, NAMES, Srv, World, is_blocked, most_questions, port};

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) enum Open {
    Dns(DnsToken, DnsQuestion),
    Fetch(FetchToken, http::Uri),
    WellKnown(WellKnownToken),
}

/// What is asked, whatever the token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Dns(DnsQuestion),
    Fetch(String),
    WellKnown,
}

impl Open {
    pub(crate) fn is(&self, key: &Key) -> bool {
        match (self, key) {
            (Self::Dns(_, question), Key::Dns(other)) => question == other,
            (Self::Fetch(_, uri), Key::Fetch(other)) => uri == other.as_str(),
            (Self::WellKnown(_), Key::WellKnown) => true,
            _ => false,
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Dns(_, question) => Key::Dns(question.clone()),
            Self::Fetch(_, uri) => Key::Fetch(uri.to_string()),
            Self::WellKnown(_) => Key::WellKnown,
        }
    }
}

/// A world, and how it is asked.
pub(crate) struct Case<'a> {
    pub(crate) answers: &'a Answers,
    pub(crate) world: World,
    pub(crate) name: &'a ServerName,
    pub(crate) config: &'a Arc<Config>,
    /// If the well-known is asked whole: what comes of it.
    pub(crate) shared: Option<&'a WellKnownEntry>,
}

/// How a run ended, and how many questions it took.
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) questions: usize,
}

/// A run under way.
pub(crate) struct Session<'a> {
    case: &'a Case<'a>,
    machine: Discovery,
    now: Now,
    /// What may be answered now.
    pub(crate) open: Vec<Open>,
    /// What is answered after all time for the well-known is over.
    late: Vec<Open>,
    /// What was asked so far.
    dns: Vec<DnsQuestion>,
    fetches: usize,
    outcome: Option<Outcome>,
    /// Until when the machine waits.
    pub(crate) until: Option<Monotonic>,
}

impl<'a> Session<'a> {
    pub(crate) fn begin(case: &'a Case<'a>) -> Self {
        let now = Now::EPOCH;
        let mut machine = Discovery::new(case.name.clone(), Arc::clone(case.config), now, 7);
        if case.shared.is_some() {
            machine = machine.with_shared_well_known();
        }
        let mut session = Self {
            case,
            machine,
            now,
            open: Vec::with_capacity(16),
            late: Vec::new(),
            dns: Vec::with_capacity(24),
            fetches: 0,
            outcome: None,
            until: None,
        };
        session.settle();
        session
    }

    /// Asks what the machine wants until it is over or only an answer helps. Time passes only where
    /// no answer is left to give.
    fn settle(&mut self) {
        loop {
            let until = match self.machine.poll_output(self.now) {
                Output::Done(outcome) => {
                    self.finish(outcome);
                    return;
                }
                Output::Ask(question) => {
                    self.take(question);
                    continue;
                }
                Output::Wait(until) => until.expect("an end to the wait"),
            };
            assert!(until > self.now.monotonic, "it waits for what has passed");
            self.until = Some(until);
            if !self.open.is_empty() {
                return;
            }
            self.now = self.now + until.since(self.now.monotonic);
            if self.now.monotonic.since_origin() >= self.case.config.time.well_known {
                self.open.append(&mut self.late);
            }
        }
    }

    pub(crate) fn answer(&mut self, index: usize) {
        let open = self.open.remove(index);
        self.deliver(open);
        self.settle();
    }

    fn deliver(&mut self, open: Open) {
        let Case { answers, world, .. } = *self.case;
        let (machine, now) = (&mut self.machine, self.now);
        match open {
            Open::Dns(token, question) => {
                machine.handle(token.answer(answers.dns(world, &question)), now);
            }
            Open::Fetch(token, uri) => {
                machine.handle(token.answer(answers.response(world, &uri)), now);
            }
            Open::WellKnown(token) => {
                let answer = self.case.shared.expect("an answer").clone();
                machine.handle(token.answer(answer, Source::Asked, None), now);
            }
        }
    }

    /// How it ended, if it has.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The machine, with every field of it.
    pub(crate) fn details(&self) -> String {
        format!("{:?}", self.machine)
    }

    /// What may be answered now, in the order of the questions.
    pub(crate) fn open_keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.open.iter().map(Open::key).collect();
        keys.sort();
        keys
    }

    fn finish(&mut self, outcome: Outcome) {
        // (6) It ends, after a bounded number of questions.
        let questions = self.dns.len() + self.fetches;
        assert!(questions <= most_questions(self.case.config), "{questions} questions");
        self.case.check_outcome(&outcome);
        (self.outcome, self.until) = (Some(outcome), None);
    }

    /// (9) What comes after the end changes nothing.
    fn end(mut self) -> Run {
        let open = std::mem::take(&mut self.open);
        for late in open.into_iter().chain(std::mem::take(&mut self.late)) {
            self.deliver(late);
        }
        let Output::Done(again) = self.machine.poll_output(self.now) else {
            panic!("it began anew")
        };
        let outcome = self.outcome.expect("an end");
        match (&outcome, &again) {
            (Ok(before), Ok(after)) => assert!(Arc::ptr_eq(before, after)),
            (before, after) => assert_eq!(before, after),
        }
        Run { outcome, questions: self.dns.len() + self.fetches }
    }

    /// Notes a question and checks that it may be asked.
    fn take(&mut self, question: Question) {
        // (1) An IP literal or a port asks for no well-known and no SRV.
        let alone = decides_by_itself(self.case.name);
        let document = self.case.world.document;
        let open = match question {
            Question::Dns { token, question } => {
                assert!(!alone || matches!(question, DnsQuestion::Addresses { .. }));
                assert!(!self.dns.contains(&question), "asked twice: {question}");
                self.dns.push(question.clone());
                self.open.push(Open::Dns(token, question));
                return;
            }
            Question::Fetch { token, fetch } => {
                assert!(!alone && self.case.shared.is_none());
                self.case.check_fetch(&fetch);
                self.fetches += 1;
                Open::Fetch(token, fetch.request.uri().clone())
            }
            Question::WellKnown { token, host } => {
                assert!(!alone && self.case.shared.is_some());
                assert_eq!(host.as_str(), "a.example");
                self.fetches += 1;
                assert_eq!(self.fetches, 1);
                // Where the look-up fails before it fetches anything, nothing is late.
                let failure = self.case.shared.and_then(WellKnownEntry::failure);
                if !matches!(failure, Some(WellKnownFailure::TimedOut { .. })) {
                    self.open.push(Open::WellKnown(token));
                    return;
                }
                Open::WellKnown(token)
            }
            other => panic!("unknown question {other:?}"),
        };
        match document {
            Document::Never => {}
            Document::Late => self.late.push(open),
            _ => self.open.push(open),
        }
    }
}

impl Case<'_> {
    /// One run; whenever there is nothing else to do, `choose` says which of so many open questions
    /// is answered.
    pub(crate) fn run(&self, mut choose: impl FnMut(usize) -> usize) -> Run {
        let mut session = Session::begin(self);
        while session.outcome.is_none() {
            let next = choose(session.open.len());
            session.answer(next);
        }
        session.end()
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

/// What comes of the well-known of `a.example` by itself.
pub(crate) fn look_up(answers: &Answers, world: World, config: &Arc<Config>) -> WellKnownEntry {
    let mut now = Now::EPOCH;
    let host = "a.example".parse().expect("a host");
    let mut machine = WellKnownLookup::new(host, Arc::clone(config), now, 7);
    loop {
        match machine.poll_output(now) {
            Output::Done(answer) => return answer,
            Output::Wait(until) => now = now + until.expect("an end").since(now.monotonic),
            Output::Ask(Question::Dns { token, question }) => {
                machine.handle(token.answer(answers.dns(world, &question)), now);
            }
            Output::Ask(Question::Fetch { token, fetch }) => {
                if !matches!(world.document, Document::Never | Document::Late) {
                    let response = answers.response(world, fetch.request.uri());
                    machine.handle(token.answer(response), now);
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
    let families = config.addresses.families();
    let found = |family: &Family| world.host[*family as usize] == Addresses::Some;
    world.document.delegates().is_none() || !families.is_empty() && !families.iter().any(found)
}

/// Whether two runs lead to the same place.
pub(crate) fn same(one: &Outcome, other: &Outcome, warnings_too: bool) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            one.step() == other.step()
                && one.authority() == other.authority()
                && one.tls_host() == other.tls_host()
                && one.endpoints().eq(other.endpoints())
                && one.degraded() == other.degraded()
                && one.is_left_to_proxy() == other.is_left_to_proxy()
                && (!warnings_too || one.warnings().eq(other.warnings()))
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}
