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
//! `driver` checks what one run shows; here and in `orders` runs are compared. Every run counts, and
//! `cargo test --test enumeration -- --nocapture` prints how many there were. With
//! `ENUMERATION=full` IPv4 alone and IPv6 alone have their turns, too, and more orders of arrival;
//! with `ENUMERATION=reduced` each preset has but one class of addresses of the server itself, and
//! there are fewer orders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod driver;
mod orders;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use matrix_delegation::{AddressFamilies, Config, Outcome, ServerName, WellKnownAnswer};

use driver::{Case, document_fails, look_up, same};
use world::{Addresses, Answers, Document, NAMES, Srv, World, configs};

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
    fn run(&mut self, world: World, shared: Option<&Arc<WellKnownAnswer>>) -> Outcome {
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

/// Every world in which these three differ from the others.
fn worlds_with(fed: Srv, matrix: Srv, target: Addresses) -> impl Iterator<Item = World> {
    Document::ALL.into_iter().flat_map(move |document| {
        // What is never looked at takes no turn.
        let owns: &[Srv] =
            if document.asks_srv_of_another() { &[Srv::None, Srv::One] } else { &[Srv::None] };
        let delegates = if document.asks_addresses_of_another() {
            &Addresses::ALL[..]
        } else {
            &[Addresses::Some]
        };
        owns.iter().flat_map(move |own| {
            delegates.iter().map(move |delegate| World {
                document,
                fed,
                matrix,
                own: *own,
                host: Addresses::Some,
                delegate: *delegate,
                target,
            })
        })
    })
}

/// Every world of a server name without a port, under one configuration and with one class of
/// addresses of that name.
fn enumerate(configs: &[Arc<Config>; 2], host: Addresses) -> Tally {
    let (answers, name) = (Answers::new(), NAMES[0].0.parse().unwrap());
    let mut ways = Ways { answers: &answers, name: &name, configs, tally: Tally::default() };
    let template = worlds_with(Srv::None, Srv::None, Addresses::Some).next().unwrap();
    let looked_up = Document::ALL.map(|document| {
        let world = World { document, host, ..template };
        look_up(&answers, world, &configs[0])
    });
    for fed in Srv::ALL {
        for matrix in Srv::ALL {
            for target in Addresses::ALL {
                let mut not_found = None;
                for world in worlds_with(fed, matrix, target) {
                    let world = World { host, ..world };
                    let shared = &looked_up[world.document as usize];
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

/// Whether `ENUMERATION` says so: `full` is what takes too long for the gate, `reduced` what can be
/// run a thousand times.
fn wanted(what: &str) -> bool {
    std::env::var_os("ENUMERATION").is_some_and(|wanted| wanted == what)
}

fn families() -> &'static [AddressFamilies] {
    use AddressFamilies::{Both, Leave, V4, V6};
    if wanted("full") {
        &[Both, V4, V6, Leave]
    } else if wanted("reduced") {
        &[Both]
    } else {
        &[Both, Leave]
    }
}

#[test]
fn every_class_of_answer_to_every_question() {
    let mut jobs = Vec::new();
    for families in families() {
        for configs in configs(*families) {
            jobs.extend(Addresses::ALL.map(|host| (configs.clone(), host)));
        }
    }
    if wanted("reduced") {
        // Each preset once, and each with another class of addresses.
        jobs = jobs.into_iter().step_by(Addresses::ALL.len() + 1).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::default();
        while let Some((configs, host)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            tally.add(enumerate(configs, *host));
        }
        tally
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            tally.add(thread.join().unwrap());
        }
    });
    let Tally { worlds, runs, most } = tally;
    println!("{runs} runs of {worlds} worlds, {most} questions at the most");
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
                for host in Addresses::ALL {
                    for world in worlds_with(Srv::One, Srv::Several, Addresses::Some) {
                        drop(ways.run(World { host, ..world }, None));
                    }
                }
                tally.add(ways.tally);
            }
        }
    }
    println!("{} runs of names that decide by themselves", tally.runs);
}
