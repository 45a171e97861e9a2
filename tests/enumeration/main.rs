//! What must hold whatever is answered, shown by trying every class of answer to every question:
//!
//! 1. An IP literal or an explicit port asks for no well-known and no SRV.
//! 2. There is at most one delegation.
//! 3. SRV answers never change `Host` or the certificate name.
//! 4. A well-known that fails leads where a 404 leads.
//! 5. `_matrix._tcp` counts only where `_matrix-fed._tcp` was not found.
//! 6. It ends, after a bounded number of questions.
//! 7. No fetch, hop or endpoint goes to a blocked address.
//! 8. Speculation on or off, the well-known shared or not, answers in any order: the same target.
//! 9. No panic, and nothing changes after the end.
//!
//! The classes: `document` has what comes of a well-known, each way to be valid and each to fail;
//! `world` has what DNS says of SRV names and addresses. One answer stands for its class: that there
//! is no record for every way in which there is none, SERVFAIL for every failure, one address for
//! any number of them. What tells these apart is tested where it is decided: `tests/tables`,
//! the golden table, and the model with random ones.
//!
//! The product takes all classes of one family beside the same of the other; where they differ is a
//! product of its own. Each world is run with and without speculation, with the well-known asked
//! hop by hop and whole, answered as asked and the newest question first.
//!
//! `driver` checks what one run shows; here and in `orders` runs are compared. Every run counts, and
//! `cargo test --test enumeration -- --nocapture` prints how many there were. Without
//! `ENUMERATION` each preset has but few classes of addresses of the server itself, and the orders are
//! some of the first preset's; with `ENUMERATION=whole`, as in the gate, all of both; with
//! `ENUMERATION=full` IPv4 alone and IPv6 alone have their turns, too, and every order of arrival of
//! more worlds and under every preset.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod document;
mod driver;
mod orders;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use matrix_delegation::cache::WellKnownEntry;
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::discovery::Outcome;
use matrix_delegation::{Config, ServerName};

use document::Document;
use driver::{Case, document_fails, look_up, same};
use world::{Addresses, Answers, NAMES, Srv, World, configs};

/// How many runs there were, of how many worlds, and the most questions that one asked.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    worlds: usize,
    runs: usize,
    most: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.runs += other.runs;
        self.most = self.most.max(other.most);
    }
}

/// The same question, asked in every way and answered in two orders.
struct Ways<'a> {
    answers: &'a Answers,
    name: &'a ServerName,
    /// With and without speculation.
    configs: &'a [Arc<Config>; 2],
    tally: Tally,
}

impl Ways<'_> {
    /// (8) All ways lead to the same place, which is returned.
    fn run(&mut self, world: World, shared: Option<&WellKnownEntry>) -> Outcome {
        let mut first: Option<Outcome> = None;
        self.tally.worlds += 1;
        for config in self.configs {
            for shared in [None, shared].into_iter().take(if shared.is_some() { 2 } else { 1 }) {
                let case = Case { answers: self.answers, world, name: self.name, config, shared };
                for newest_first in [false, true] {
                    let run = case.run(|open| if newest_first { open - 1 } else { 0 });
                    self.tally.runs += 1;
                    self.tally.most = self.tally.most.max(run.questions);
                    let first = first.get_or_insert_with(|| run.outcome.clone());
                    assert!(
                        same(first, &run.outcome, true),
                        "{world:?}, {:?}, newest first: {newest_first}, shared: {}:\n{:?}\n{first:?}",
                        config.speculation,
                        shared.is_some(),
                        run.outcome,
                    );
                }
            }
        }
        first.unwrap()
    }
}

/// Every world in which these differ from the others. What is never looked at takes no turn: so
/// where the host of the document has no good address, one way to fail stands for all, but in the
/// long run. It does so everywhere in a short one; the orders of arrival have the others.
fn worlds_with(template: World, families: AddressFamilies) -> impl Iterator<Item = World> {
    let fetched = families == AddressFamilies::ByProxy || template.host.contains(&Addresses::Some);
    let all = fetched && !is_short() || wanted("full");
    let takes_a_turn = move |document: &Document| {
        all || *document == Document::NotFound || document.delegates().is_some()
    };
    Document::ALL.into_iter().filter(takes_a_turn).flat_map(move |document| {
        let owns: &[Srv] =
            if document.asks_srv_of_another() { &[Srv::None, Srv::One] } else { &[Srv::None] };
        let delegates = if document.asks_addresses_of_another() {
            classes(families)
        } else {
            &Addresses::BOTH[..1]
        };
        owns.iter().flat_map(move |own| {
            delegates.iter().map(move |delegate| World {
                document,
                own: *own,
                delegate: *delegate,
                ..template
            })
        })
    })
}

/// Every class of addresses, the same in both families; where none are asked for, there is one.
const fn classes(families: AddressFamilies) -> &'static [[Addresses; 2]] {
    match families {
        AddressFamilies::ByProxy => Addresses::BOTH.first_chunk::<1>().unwrap(),
        _ => &Addresses::BOTH,
    }
}

/// Every world of a server name without a port, under one configuration and with one class of
/// addresses of that name.
fn enumerate(configs: &[Arc<Config>; 2], host: [Addresses; 2]) -> Tally {
    let (answers, name) = (Answers::new(), NAMES[0].0.parse().unwrap());
    let mut ways = Ways { answers: &answers, name: &name, configs, tally: Tally::default() };
    let looked_up = Document::ALL
        .map(|document| look_up(&answers, World { document, host, ..World::PLAIN }, &configs[0]));
    let families = configs[0].addresses;
    for (fed_at, fed) in Srv::ALL.into_iter().enumerate() {
        for (matrix_at, matrix) in Srv::ALL.into_iter().enumerate() {
            for (target_at, target) in classes(families).iter().enumerate() {
                // Reduced, any two classes still meet, but not any three.
                let turn = (fed_at + matrix_at) % classes(families).len();
                if is_short() && turn != target_at {
                    continue;
                }
                let mut not_found = None;
                let template = World { fed, matrix, host, target: *target, ..World::PLAIN };
                for world in worlds_with(template, families) {
                    let shared = &looked_up[world.document.index()];
                    let outcome = ways.run(world, Some(shared));
                    // (4) However it fails, it leads where a 404 leads.
                    let not_found = not_found.get_or_insert_with(|| outcome.clone());
                    let same_records = !world.document.asks_srv_of_another();
                    if same_records && document_fails(world, &configs[0]) {
                        assert!(same(not_found, &outcome, false), "{world:?}: {outcome:?}");
                    }
                }
            }
        }
    }
    ways.tally
}

/// Whether `ENUMERATION` says so: `whole`, or `full`, which takes too long for the gate.
fn wanted(what: &str) -> bool {
    std::env::var_os("ENUMERATION").is_some_and(|wanted| wanted == what)
}

fn is_short() -> bool {
    !wanted("whole") && !wanted("full")
}

fn families() -> &'static [AddressFamilies] {
    use AddressFamilies::{Both, ByProxy, V4, V6};
    if wanted("full") {
        &[Both, V4, V6, ByProxy]
    } else if is_short() {
        &[Both]
    } else {
        &[Both, ByProxy]
    }
}

#[test]
fn every_class_of_answer_to_every_question() {
    let mut jobs = Vec::new();
    for families in families() {
        for configs in configs(*families) {
            jobs.extend(classes(*families).iter().map(|host| (configs.clone(), *host)));
        }
    }
    if is_short() {
        // Each preset once, and each with another class of addresses.
        jobs = jobs.into_iter().step_by(Addresses::ALL.len() + 1).collect();
    }
    let mut tally = Tally::default();
    for done in on_all_cores(&jobs, |(configs, host)| enumerate(configs, *host)) {
        tally.add(done);
    }
    let Tally { worlds, runs, most } = tally;
    println!("{runs} runs of {worlds} worlds, {most} questions at the most");
}

/// What comes of each job, in no order.
fn on_all_cores<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(work(job));
        }
        done
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// The classes are what their names say, or some way to fail would not be there.
#[test]
fn every_class_of_documents_comes_to_what_it_stands_for() {
    let answers = Answers::new();
    for families in [AddressFamilies::Both, AddressFamilies::ByProxy] {
        for document in Document::ALL {
            let config = &configs(families)[0][0];
            let answer = look_up(&answers, World { document, ..World::PLAIN }, config);
            let expected = document.comes_to(families == AddressFamilies::ByProxy);
            let came = match (answer.last_good(), answer.failure()) {
                (Some(delegates), None) => {
                    let server = delegates.server().as_str();
                    assert_eq!(Some(server), document.delegates().map(|(name, _)| name));
                    "Ok".to_owned()
                }
                (_, Some(failure)) => format!("{failure:?}"),
                (None, None) => panic!("nothing was learnt"),
            };
            assert!(came.starts_with(expected), "{document:?}: {came}");
        }
    }
    // The same for the classes of addresses where the document lies.
    for (host, expected) in [
        (Addresses::None, "NoAddress { host: DnsName(a.example)"),
        (Addresses::Blocked, "Blocked { host: Dns(DnsName(a.example))"),
        (Addresses::Failed, "Dns { host: DnsName(a.example)"),
    ] {
        let world = World { host: [host; 2], ..World::PLAIN };
        let answer = look_up(&answers, world, &configs(AddressFamilies::Both)[0][0]);
        let came = format!("{:?}", answer.failure().unwrap());
        assert!(came.starts_with(expected), "{host:?}: {came}");
    }
}

/// Where the families differ: each class in the one beside each in the other, of every host whose
/// addresses decide.
#[test]
fn every_class_of_addresses_in_each_family() {
    let mut worlds = Vec::new();
    for (document, fed) in [
        (Document::NotFound, Srv::None),
        (Document::NotFound, Srv::One),
        (Document::NotFound, Srv::Several),
        (Document::NotFound, Srv::Alias),
        (Document::ToIp, Srv::None),
        (Document::ToNameAndPort, Srv::None),
        (Document::ToName, Srv::None),
        (Document::ToName, Srv::Several),
    ] {
        for one in Addresses::pairs() {
            for other in Addresses::pairs() {
                let world = World { document, fed, host: one, ..World::PLAIN };
                worlds.push(if fed == Srv::None {
                    World { delegate: other, ..world }
                } else {
                    World { target: other, ..world }
                });
            }
        }
    }
    let presets = configs(AddressFamilies::Both);
    let tallies = on_all_cores(&presets, |configs| {
        let (answers, name) = (Answers::new(), NAMES[0].0.parse().unwrap());
        let mut ways = Ways { answers: &answers, name: &name, configs, tally: Tally::default() };
        for world in &worlds {
            let shared = look_up(&answers, *world, &configs[0]);
            drop(ways.run(*world, Some(&shared)));
        }
        ways.tally
    });
    let runs: usize = tallies.iter().map(|tally| tally.runs).sum();
    println!("{runs} runs of worlds whose address families differ");
}

#[test]
fn names_that_decide_by_themselves() {
    let answers = Answers::new();
    let mut tally = Tally::default();
    for (name, _) in &NAMES[1..] {
        let name: ServerName = name.parse().unwrap();
        for families in families() {
            for configs in configs(*families) {
                let mut ways = Ways {
                    answers: &answers,
                    name: &name,
                    configs: &configs,
                    tally: Tally::default(),
                };
                for host in Addresses::pairs() {
                    let template =
                        World { fed: Srv::One, matrix: Srv::Several, host, ..World::PLAIN };
                    for world in worlds_with(template, *families) {
                        drop(ways.run(world, None));
                    }
                }
                tally.add(ways.tally);
            }
        }
    }
    println!("{} runs of names that decide by themselves", tally.runs);
}
