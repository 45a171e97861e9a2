//! A month: 20,000 servers that move, change their minds and break down, callers who mostly want the
//! popular ones, and a resolver between them, on virtual time.
//!
//! What may be asked when, and used until when, is worked out beside it from what the world said
//! (`checks`), and what callers get is compared with what is true and with what a cache with one
//! lifetime would have given them (`naive`). An answer is wrong if it leads elsewhere than the
//! server's administrator wants right now, however well it may be explained. Hosts have IPv4 addresses
//! only, which halves the questions. `MONTH_SEED` and `MONTH_CALLS` make it another or a
//! longer one; `cargo test --all-features --test month -- --nocapture` prints the totals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod checks;
mod naive;
mod net;
mod random;
mod totals;
mod world;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use matrix_delegation::config::AddressFamilies;
use matrix_delegation::dns::Service;
use matrix_delegation::names::Host;
use matrix_delegation::resolver::Subject;
use matrix_delegation::target::Origin;
use matrix_delegation::testing::VirtualTime;
use matrix_delegation::time::Monotonic;
use matrix_delegation::{
    Config, Resolution, ResolveError, Resolver, ResolverConfig, Runtime, ServerName,
};

use checks::{How, Promise};
use naive::Naive;
use net::{Net, State};
use random::{Random, Zipf};
use totals::{Beside, Totals, is_typed};
use world::{About, DAY, Place, Role, World, moved};

const DAYS: u32 = 30;

/// How much is called, and how much may be remembered.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    servers: u32,
    calls: u64,
    hosts: usize,
    /// Whether that is enough for whatever is asked.
    nothing_forgotten: bool,
}

struct Month {
    plan: Plan,
    time: VirtualTime,
    net: Net,
    resolver: Resolver,
    names: Vec<ServerName>,
    naive: Naive,
    promises: HashMap<u32, Promise>,
    resolved: Totals,
    naively: Totals,
    errors: BTreeMap<&'static str, u64>,
    overdue: u64,
    /// Those of them that rest on records that ran out and were not asked for again.
    unasked: Totals,
    provenances: BTreeMap<&'static str, u64>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn place(found: &Resolution) -> Place {
    let addresses = found.endpoints().flat_map(matrix_delegation::Endpoint::addresses);
    (found.authority().to_owned(), addresses.collect())
}

impl Month {
    fn new(plan: Plan) -> Self {
        Self::with(plan, Config::default())
    }

    fn with(plan: Plan, config: Config) -> Self {
        let time = VirtualTime::new();
        let world = World::new(plan.seed, plan.servers, time.now().monotonic, DAY * DAYS);
        let names =
            (0_u32..).zip(&world.servers).map(|(number, it)| it.name(number).parse().unwrap());
        let names = names.collect();
        let net = Net::new(State::new(world, plan.nothing_forgotten), time.clone());
        let discovery = config.with_addresses(AddressFamilies::V4);
        let policy = discovery.address_policy.clone();
        let policy = policy.allow("10.0.0.0/8".parse().unwrap());
        let mut config = ResolverConfig::from(discovery.with_address_policy(policy));
        (config.memory.hosts, config.memory.bytes) = (plan.hosts, 1 << 30);
        let net_of = || Arc::new(net.clone());
        let resolver = Resolver::builder(net_of(), net_of(), Arc::new(time.clone()))
            .config(config)
            .seed(plan.seed)
            .build()
            .unwrap();
        Self {
            plan,
            time,
            net,
            resolver,
            names,
            naive: Naive::default(),
            promises: HashMap::new(),
            resolved: Totals::default(),
            naively: Totals::default(),
            errors: BTreeMap::new(),
            overdue: 0,
            unasked: Totals::default(),
            provenances: BTreeMap::new(),
        }
    }

    fn run(&mut self) {
        let zipf = Zipf::new(self.plan.servers);
        let mut random = Random::new(self.plan.seed, 2);
        let (start, end) = (self.time.now().monotonic, DAY * DAYS);
        let average = end / u32::try_from(self.plan.calls).unwrap();
        let mut at = Duration::ZERO;
        let mut called = 0;
        while called < self.plan.calls {
            at += random.wait(average);
            self.time.advance((start + at).since(self.time.now().monotonic));
            // Now and then several want the same at a time.
            let callers = if random.below(50) == 0 { 5 } else { 1 };
            self.call(zipf.draw(&mut random), callers);
            called += callers;
            if called % (self.plan.calls / 8) < callers {
                self.count_hosts();
            }
        }
    }

    /// So many callers want this name at the same time.
    fn call(&mut self, number: u32, callers: u64) {
        let name = &self.names[number as usize];
        let called = self.time.now().monotonic;
        let naive = {
            let mut state = self.net.state();
            state.world.go_to(called);
            self.naive.resolve(&state.world, number, called)
        };
        let answers = Arc::new(Mutex::new(Vec::new()));
        for _ in 1..callers {
            let (resolver, name, answers) =
                (self.resolver.clone(), name.clone(), Arc::clone(&answers));
            self.time.spawn(Box::pin(async move {
                let answer = resolver.resolve(&name).await;
                answers.lock().unwrap().push(answer);
            }));
        }
        let answer = self.time.block_on(self.resolver.resolve(name));
        answers.lock().unwrap().push(answer);
        while (answers.lock().unwrap().len() as u64) < callers {
            // Another caller may be told a little later, but is told.
            let before = answers.lock().unwrap().len();
            self.time.advance(Duration::from_secs(31));
            assert!(answers.lock().unwrap().len() > before, "a caller of {name} waits for ever");
        }
        for answer in answers.lock().unwrap().drain(..) {
            self.answered(number, called, &answer);
            let state = self.net.state();
            self.naively.count(naive.as_ref(), &state.world.server(number).truth(number));
        }
    }

    fn answered(
        &mut self,
        number: u32,
        called: Monotonic,
        answer: &Result<Resolution, ResolveError>,
    ) {
        let now = self.time.now().monotonic;
        let mut state = self.net.state();
        state.world.go_to(now);
        let truth = state.world.server(number).truth(number);
        match answer {
            Ok(found) => {
                *self.provenances.entry(found.provenance().as_str()).or_default() += 1;
                self.resolved.count(Some(&place(found)), &truth);
                let waited = now.since(called) >= self.resolver.config().discovery.refresh.wait;
                let how = if waited && found.is_stale() { How::Overdue } else { How::AsUsual };
                self.overdue += u64::from(how == How::Overdue);
                let unasked = check_use(&mut state, number, found, called, how);
                if unasked {
                    self.unasked.count(Some(&place(found)), &truth);
                }
                let bad = found.degraded().is_some() || found.is_stale();
                if let Some(promise) = self.promises.get(&number)
                    && self.plan.nothing_forgotten
                {
                    state.note((number, "promise"), now, promise.kept(bad, called));
                }
                if !bad && let Some(until) = found.until() {
                    self.promises.insert(number, Promise(until));
                }
            }
            Err(error) => {
                assert!(is_typed(error), "{error}");
                *self.errors.entry(error.kind()).or_default() += 1;
                self.resolved.count(None, &truth);
            }
        }
    }

    /// No more hosts are remembered than may be.
    fn count_hosts(&self) -> usize {
        let hosts: HashSet<String> = self.resolver.entries().map(|it| host(&it.subject)).collect();
        assert!(hosts.len() <= self.plan.hosts, "{} hosts are remembered", hosts.len());
        hosts.len()
    }

    fn finish(&mut self) {
        let state = self.net.state();
        self.resolved.asked = state.asked;
        self.naively.asked = self.naive.asked;
        assert_eq!(state.violations, 0, "{:#?}", state.kept);
        assert_eq!(self.resolved.calls(), self.naively.calls());
        assert!(self.resolved.calls() >= self.plan.calls, "every caller is answered");
    }
}

fn host(subject: &Subject) -> String {
    match subject {
        Subject::Target(name) => name.to_host().unwrap().to_string(),
        Subject::WellKnown(host) => host.to_string(),
        Subject::Dns(question) => question.host().to_string(),
        other => panic!("{other:?}"),
    }
}

/// Each part of an answer was said last, and may still be gone by. Whether one of DNS is only because
/// there was no time to renew it, and was not asked for again.
fn check_use(
    state: &mut State,
    number: u32,
    found: &Resolution,
    called: Monotonic,
    how: How,
) -> bool {
    let mut unasked = false;
    let dns = |state: &State, about| state.dns.get(&(number, about)).cloned().unwrap_or_default();
    let version = found.delegated().map(|name| match name.to_host().unwrap() {
        Host::Dns(host) => match world::parse(&host) {
            (_, Role::Delegated(version)) => version,
            other => panic!("{number} is never delegated to {other:?}"),
        },
        Host::Ip(address) => panic!("{number} is never delegated to {address}"),
    });
    let own = About::Address(Role::Server);
    let log = state.well_known.get(&number).cloned().unwrap_or_default();
    let checked = match version {
        Some(version) => log.used(version, called, dns(state, own).keeps_from_asking(called)),
        None if found.server_name().port().is_none() && state.nothing_forgotten => {
            log.unused(called)
        }
        None => Ok(()),
    };
    state.note((number, "document"), called, checked);
    let host = version.map_or(Role::Server, Role::Delegated);
    for endpoint in found.endpoints() {
        let role = match endpoint.origin() {
            Origin::Srv => Role::SrvTarget,
            _ => host,
        };
        for address in endpoint.addresses() {
            let about = About::Address(role);
            let (log, what) = (dns(state, about), Some(moved(address.ip())));
            unasked |= log.used(what, called, How::AsUsual).is_err();
            let checked = log.used(what, called, how);
            state.note((number, about), called, checked);
        }
        let by_srv = match endpoint.origin() {
            Origin::Srv => Some(u32::from(endpoint.port() - world::srv_port(0))),
            Origin::DefaultPort => None,
            _ => continue,
        };
        let about = About::Srv(host, Service::MatrixFed);
        let log = dns(state, about);
        unasked |= by_srv.is_some() && log.used(by_srv, called, How::AsUsual).is_err();
        let checked = log.used(by_srv, called, how);
        if by_srv.is_some() || state.nothing_forgotten {
            state.note((number, about), called, checked);
        }
    }
    unasked
}

/// Enough for whatever is asked in a month, so that what may be asked when is known exactly.
const PLENTY: Plan =
    Plan { seed: 1, servers: 20_000, calls: 5_000, hosts: 200_000, nothing_forgotten: true };

#[test]
fn a_month() {
    let plan = Plan {
        seed: setting("MONTH_SEED", PLENTY.seed),
        calls: setting("MONTH_CALLS", PLENTY.calls),
        ..PLENTY
    };
    let mut month = Month::new(plan);
    month.run();
    month.finish();
    let Month { resolved, naively, provenances, overdue, unasked, errors, .. } = &month;
    let (servers, calls, seed) = (plan.servers, resolved.calls(), plan.seed);
    println!("{DAYS} days, {servers} servers, {calls} calls, seed {seed}\n");
    println!("{}", Beside(resolved, naively));
    println!("{provenances:?}; errors: {errors:?}");
    println!(
        "{overdue} answers were not renewed in time; {} of them rest on records that nobody had asked \
         for again, and {} of these are wrong",
        unasked.calls(),
        unasked.wrong
    );
}

/// The same in a memory that is far too small for it: what is pushed out is asked for again, but what
/// is used is still as it should be.
#[test]
fn a_month_in_little_memory() {
    let plan = Plan {
        seed: setting("MONTH_SEED", PLENTY.seed) + 1,
        servers: 2_000,
        calls: setting("MONTH_CALLS", PLENTY.calls) / 7,
        hosts: 25,
        nothing_forgotten: false,
    };
    let mut remembered = Vec::new();
    for hosts in [plan.hosts, PLENTY.hosts] {
        let mut month = Month::new(Plan { hosts, ..plan });
        month.run();
        let now = month.count_hosts();
        println!("remembered: {now} hosts of {hosts} at the most");
        month.finish();
        remembered.push(now);
    }
    // The limit is what keeps it small.
    assert!(remembered[1] > plan.hosts);
}

/// But for what is pushed out, which the memory does not draw by the seed.
#[test]
fn the_same_seed_makes_the_same_month() {
    let totals = |seed| {
        let mut month = Month::new(Plan { seed, servers: 60, calls: 1_000, ..PLENTY });
        month.run();
        month.finish();
        (month.resolved, month.naively)
    };
    assert_eq!(totals(5), totals(5));
    assert_ne!(totals(5), totals(6));
}

type Plant<'a> = (&'a str, &'a (dyn Fn(&mut Config) + Sync));

/// Resolvers that do not do as the design says, each in one way.
#[test]
fn a_resolver_that_does_otherwise_is_noticed() {
    let plan = Plan { servers: 60, calls: 3_000, ..PLENTY };
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let hours = |count: u64| minutes(60 * count);
    let plants: [Plant<'_>; 14] = [
        ("nothing", &|_| {}),
        ("a failure is kept for a minute", &|it| it.well_known.temporary = minutes(1)),
        ("it backs off to half an hour", &|it| it.well_known.temporary_most = minutes(30)),
        ("a permanent failure is kept half as long", &|it| it.well_known.permanent = minutes(30)),
        ("jitter is twice as much", &|it| it.well_known.jitter_percent = 20),
        ("`Retry-After` is heeded for an hour", &|it| it.well_known.retry_after_most = hours(1)),
        ("a good answer stands in for 72 h", &|it| {
            it.well_known.stale = hours(72);
            it.well_known.remembered = hours(80);
        }),
        ("a good answer holds for 72 h", &|it| it.well_known.most = hours(72)),
        ("a good answer does not stand in", &|it| it.well_known.stale = Duration::ZERO),
        ("a failure of DNS is kept for 10 s", &|it| it.dns.failed = Duration::from_secs(10)),
        ("records are kept for 3 days", &|it| it.dns.most = hours(72)),
        ("records stand in for 5 days", &|it| it.dns.stale = hours(120)),
        ("a TTL is a minute at the least", &|it| it.dns.least = minutes(1)),
        ("half of a life is for renewals", &|it| it.refresh.ahead_percent = 50),
    ];
    std::thread::scope(|scope| {
        for (what, plant) in &plants {
            scope.spawn(move || {
                let mut config = Config::default();
                plant(&mut config);
                let mut month = Month::with(plan, config);
                month.run();
                let state = month.net.state();
                assert_eq!(state.violations > 0, *what != "nothing", "{what}: {:#?}", state.kept);
            });
        }
    });
}
