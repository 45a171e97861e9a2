//! A driver that keeps none of the rules: answers come late, twice, to the wrong token, of the
//! wrong kind; time jumps forward and back, and stands near the end of what can be represented.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Response;
use matrix_delegation::cache::{DnsEntry, WellKnownEntry};
use matrix_delegation::config::{AddressFamilies, Speculation};
use matrix_delegation::discovery::{
    DnsToken, FetchToken, Machine, Outcome, Output, Question, WellKnownLookup, WellKnownToken,
};
use matrix_delegation::dns::{DnsAnswer, DnsFailure, DnsQuestion, NoRecord, Records, SrvRecord};
use matrix_delegation::report::{Source, WellKnownReport};
use matrix_delegation::time::{Monotonic, Now};
use matrix_delegation::well_known::{Body, FetchFailure, FetchFailureKind};
use matrix_delegation::{Config, Discovery};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{cases, support};

/// What an adapter could say, to any question at all.
#[derive(Clone, Debug)]
enum Said {
    Dns(DnsAnswer),
    /// With its lifetime settled at another time.
    Part(DnsAnswer, Duration),
    Response(u16, &'static str, &'static str),
    Failed(FetchFailureKind),
    WellKnown,
}

/// What the driver does next.
#[derive(Clone, Debug)]
enum Operation {
    Poll,
    /// Says something with the token of this question, asked by whichever machine.
    Say(Index, Said),
    Forward(Duration),
    Back(Duration),
    /// Goes to where the last wait ends, or this much before it.
    Wake(Duration),
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0..400_u64).prop_map(Duration::from_millis),
        2 => (0..20_u64).prop_map(Duration::from_secs),
        1 => Just(Duration::from_nanos(1)),
        1 => select(vec![Duration::ZERO, Duration::from_secs(30), Duration::MAX]),
    ]
}

fn dns_answers() -> impl Strategy<Value = DnsAnswer> {
    let address = select(vec!["192.0.2.1", "2001:db8::1", "10.0.0.1", "::1", "::ffff:10.0.0.1"])
        .prop_map(|address| address.parse().unwrap());
    let addresses = prop::collection::vec(address, 0..4).prop_map(Records::Addresses);
    let targets = select(vec!["b.example.", "c.example", ".", "", "192.0.2.1", "a..b", "a.onion"]);
    let record =
        (0..2_u16, 0..2_u16, 0..3_u16, targets).prop_map(|(priority, weight, port, target)| {
            SrvRecord { priority, weight, port, target: target.to_owned() }
        });
    let srv = prop::collection::vec(record, 0..4).prop_map(Records::Srv);
    let found = (prop_oneof![addresses, srv], durations(), any::<bool>())
        .prop_map(|(records, ttl, alias)| DnsAnswer::Found { records, ttl, alias });
    let kinds = [NoRecord::NxDomain, NoRecord::NoData, NoRecord::NotImplemented, NoRecord::Onion];
    let none = (select(kinds.to_vec()), proptest::option::of(durations()))
        .prop_map(|(kind, ttl)| DnsAnswer::None { kind, ttl });
    let failures = [DnsFailure::ServFail, DnsFailure::Timeout, DnsFailure::Malformed];
    prop_oneof![4 => found, 1 => none, 1 => select(failures.to_vec()).prop_map(DnsAnswer::failed)]
}

fn said() -> impl Strategy<Value = Said> {
    let locations = ["/", "/1", "?2", "https://b.example/", "https://127.1/", "http://a.example/"];
    let bodies = [r#"{"m.server":"m.example"}"#, r#"{"m.server":"m.example:1"}"#, "[]"];
    prop_oneof![
        6 => dns_answers().prop_map(Said::Dns),
        2 => (dns_answers(), durations()).prop_map(|(answer, at)| Said::Part(answer, at)),
        2 => (select(vec![200, 302, 307, 404, 503]), select(locations.to_vec()), select(bodies.to_vec()))
            .prop_map(|(status, location, body)| Said::Response(status, location, body)),
        1 => Just(Said::Failed(FetchFailureKind::CutOff)),
        1 => Just(Said::WellKnown),
    ]
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        4 => Just(Operation::Poll),
        6 => (any::<Index>(), said()).prop_map(|(to, said)| Operation::Say(to, said)),
        1 => durations().prop_map(Operation::Forward),
        1 => durations().prop_map(Operation::Back),
        2 => select(vec![0_u64, 0, 1, 1_000_000]).prop_map(Duration::from_nanos).prop_map(Operation::Wake),
    ];
    prop::collection::vec(operation, 0..60)
}

fn configs() -> impl Strategy<Value = Config> {
    use AddressFamilies::{Both, ByProxy, V4};
    let presets = [support::lenient(), support::strict(), support::synapse()];
    let time = || prop_oneof![3 => Just(None), 1 => durations().prop_map(Some)];
    let count = || prop_oneof![3 => Just(None), 1 => select(vec![Some(0_usize), Some(1), Some(usize::MAX)])];
    (
        select(presets.to_vec()),
        select(vec![Speculation::Full, Speculation::Off]),
        select(vec![Both, V4, ByProxy]),
        [time(), time(), time(), time(), time()],
        [count(), count(), count()],
    )
        .prop_map(|(config, speculation, families, times, counts)| {
            let mut config = config.with_speculation(speculation).with_addresses(families);
            let time = &mut config.time;
            let fields = [
                &mut time.dns,
                &mut time.well_known,
                &mut time.discovery,
                &mut time.family_grace,
                &mut time.target_grace,
            ];
            for (field, value) in fields.into_iter().zip(times) {
                *field = value.unwrap_or(*field);
            }
            let limits = &mut config.limits;
            let fields =
                [&mut limits.redirects, &mut limits.srv_records, &mut limits.addresses_per_family];
            for (field, value) in fields.into_iter().zip(counts) {
                *field = value.unwrap_or(*field);
            }
            config
        })
}

/// Tokens that were given out, by the machine under test and by another.
#[derive(Default)]
struct Tokens {
    dns: Vec<(DnsToken, DnsQuestion)>,
    fetches: Vec<FetchToken>,
    well_known: Vec<WellKnownToken>,
}

impl Tokens {
    fn note(&mut self, question: &Question) {
        match question {
            Question::Dns { token, question } => self.dns.push((*token, question.clone())),
            Question::Fetch { token, .. } => self.fetches.push(*token),
            Question::WellKnown { token, .. } => self.well_known.push(*token),
            other => panic!("unknown question {other:?}"),
        }
    }

    /// Those of another machine, which has asked a good deal.
    fn of_another(shared: bool) -> Self {
        let mut tokens = Self::default();
        let name = "z.example".parse().unwrap();
        let mut machine = Discovery::new(name, Arc::new(support::lenient()), Now::EPOCH, 0);
        if shared {
            machine = machine.with_shared_well_known();
        }
        let address = Records::Addresses(vec!["192.0.2.9".parse().unwrap()]);
        let found = DnsAnswer::Found { records: address, ttl: Duration::ZERO, alias: false };
        while let Output::Ask(question) = machine.poll_output(Now::EPOCH) {
            tokens.note(&question);
            if let Question::Dns { token, question: DnsQuestion::Addresses { .. } } = question {
                machine.handle(token.answer(found.clone()), Now::EPOCH);
            }
        }
        tokens
    }
}

/// A well-known answer, made in the only way there is.
fn well_known_answer() -> (WellKnownEntry, Arc<WellKnownReport>) {
    let config = support::lenient().with_addresses(AddressFamilies::ByProxy);
    let mut machine =
        WellKnownLookup::new("a.example".parse().unwrap(), Arc::new(config), Now::EPOCH, 0);
    let body = Body::from(r#"{"m.server":"m.example"}"#);
    loop {
        match machine.poll_output(Now::EPOCH) {
            Output::Done(answer) => return (answer, Arc::new(machine.report())),
            Output::Ask(Question::Fetch { token, .. }) => {
                machine.handle(token.answer(Ok(Response::new(body.clone()))), Now::EPOCH);
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Adversary {
    machine: Discovery,
    config: Arc<Config>,
    /// What the driver says it is.
    now: Now,
    /// The latest it ever said, which the machine goes by.
    latest: Monotonic,
    /// The end of the discovery.
    due: Monotonic,
    wait: Option<Monotonic>,
    tokens: Tokens,
    asked: usize,
    outcome: Option<Outcome>,
}

impl Adversary {
    fn says(&mut self) -> Now {
        self.latest = self.latest.max(self.now.monotonic);
        self.now
    }

    fn poll(&mut self) {
        let now = self.says();
        match self.machine.poll_output(now) {
            Output::Ask(question) => {
                assert!(self.outcome.is_none() && self.latest < self.due);
                self.tokens.note(&question);
                self.asked += 1;
            }
            Output::Wait(until) => {
                assert!(self.outcome.is_none() && self.latest < self.due);
                let until = until.expect("unfinished, it waits for ever");
                assert!(self.latest < until && until <= self.due, "{until} at {}", self.latest);
                self.wait = Some(until);
            }
            Output::Done(outcome) => {
                let first = self.outcome.get_or_insert_with(|| outcome.clone());
                assert_eq!(first, &outcome);
            }
        }
    }

    fn say(&mut self, to: Index, said: &Said) {
        let none = match said {
            Said::Dns(_) | Said::Part(..) => self.tokens.dns.is_empty(),
            Said::Response(..) | Said::Failed(_) => self.tokens.fetches.is_empty(),
            Said::WellKnown => self.tokens.well_known.is_empty(),
        };
        if none {
            return;
        }
        let now = self.says();
        let machine = &mut self.machine;
        match said {
            Said::Dns(answer) => {
                machine.handle(to.get(&self.tokens.dns).0.answer(answer.clone()), now);
            }
            Said::Part(answer, at) => {
                let (token, question) = to.get(&self.tokens.dns);
                let at = Monotonic::from_origin(*at);
                let entry = DnsEntry::learn(None, question, answer.clone(), at, &self.config);
                machine.handle(token.entry(entry, Source::Asked), now);
            }
            Said::Response(status, location, body) => {
                let response = Response::builder().status(*status).header("location", *location);
                let response = response.body(Body::from(*body)).unwrap();
                machine.handle(to.get(&self.tokens.fetches).answer(Ok(response)), now);
            }
            Said::Failed(kind) => {
                let failure = FetchFailure::new(*kind, "scripted");
                machine.handle(to.get(&self.tokens.fetches).answer(Err(failure)), now);
            }
            Said::WellKnown => {
                let (answer, report) = well_known_answer();
                let token = *to.get(&self.tokens.well_known);
                machine.handle(token.answer(answer, Source::Asked, Some(report)), now);
            }
        }
    }

    fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::Poll => self.poll(),
            Operation::Say(to, said) => self.say(*to, said),
            Operation::Forward(time) => self.now = self.now + *time,
            Operation::Back(time) => {
                let before = self.now.monotonic.since_origin().saturating_sub(*time);
                self.now.monotonic = Monotonic::from_origin(before);
            }
            Operation::Wake(before) => {
                if let Some(wait) = self.wait {
                    let time = wait.since_origin().saturating_sub(*before);
                    self.now.monotonic = Monotonic::from_origin(time);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_driver_can_upset_the_machine(
        name in select(vec!["a.example", "a.example:1", "192.0.2.1", "a.onion", "127.1"]),
        config in configs(),
        shared in any::<bool>(),
        from_the_end in proptest::option::of(durations()),
        operations in operations(),
    ) {
        let start = from_the_end
            .map_or(Duration::from_secs(1), |left| Duration::MAX.saturating_sub(left));
        let now = Now::new(Monotonic::from_origin(start), SystemTime::UNIX_EPOCH);
        let config = Arc::new(config);
        let machine = Discovery::new(name.parse().unwrap(), Arc::clone(&config), now, 1);
        let mut adversary = Adversary {
            machine: if shared { machine.with_shared_well_known() } else { machine },
            now,
            latest: now.monotonic,
            due: now.monotonic + config.time.discovery,
            wait: None,
            tokens: Tokens::of_another(shared),
            asked: 0,
            outcome: None,
            config: Arc::clone(&config),
        };
        for operation in &operations {
            adversary.operate(operation);
            drop(adversary.machine.report());
        }
        // Whatever happened, at the limit it is over, and stays so.
        adversary.now.monotonic = adversary.due.max(adversary.latest);
        adversary.poll();
        prop_assert!(adversary.outcome.is_some());
        let report = adversary.machine.report();
        for operation in &operations {
            adversary.operate(operation);
        }
        adversary.poll();
        prop_assert_eq!(adversary.machine.report(), report);
        // The server, the delegate, hops, the targets of a set and one in vain; SRV; fetches.
        let limits = &config.limits;
        let (hops, targets) = (limits.redirects.min(100), limits.srv_records.clamp(1, 64));
        let hosts = 3 + hops + targets;
        let most = hosts * config.addresses.families().len() + 4 + 1 + hops;
        prop_assert!(adversary.asked <= most, "{} questions", adversary.asked);
    }
}
