//! Every order in which the answers that are open at once can arrive.
//!
//! The orders of a world are the paths through a graph. A state is what has been answered so far and
//! what is open; an edge is one answer more. Orders that have answered the same, and have led to the
//! same questions, meet in one state, and need to be followed only once from there if the machine
//! is then the same. That is not taken on trust: each time an order meets a state that another has
//! reached, the two machines are compared in every field that they have. The machine does nothing
//! but by its fields and its arguments, so from there on the two cannot differ.
//!
//! Two fields may differ in their order alone: the list of questions in the order asked, and with
//! it the tokens, which number them. The machine finds a question by what it asks, or by the token
//! that it gave out itself.
//!
//! The orders are counted along the edges. Where there are few, each is run from its beginning to
//! its end, too, and their number must be the one counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use matrix_delegation::config::AddressFamilies;
use matrix_delegation::discovery::Outcome;
use matrix_delegation::time::Monotonic;
use matrix_delegation::{Config, ServerName};

use super::document::Document;
use super::driver::{Case, Key, Session, look_up, same};
use super::world::{Addresses, Answers, NAMES, Srv, World, configs};
use super::{is_short, on_all_cores, wanted};

/// Up to so many orders of one world are run one by one.
const FEW: u128 = 120;

/// Where orders meet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    answered: Vec<Key>,
    open: Vec<Key>,
}

/// What orders have in common that meet.
struct State {
    /// How many orders lead here.
    orders: u128,
    /// One of them.
    path: Vec<Key>,
    outcome: Option<Outcome>,
    /// All that the machine is, and until when it said that it waits.
    details: (Option<Monotonic>, String),
}

impl State {
    fn of(session: &Session<'_>, orders: u128, path: Vec<Key>) -> Self {
        let details = (session.until, without_order(&session.details()));
        Self { orders, path, outcome: session.outcome().cloned(), details }
    }
}

/// The machine as `Debug` has it, with what it knows of each question in the order of the
/// questions.
fn without_order(machine: &str) -> String {
    let (before, rest) = machine.split_once("entries: [").expect("a list of questions");
    let (entries, rest) = rest.split_once("], outbox: [").expect("an end to the list");
    // What has not been handed out before the end never is.
    let (_, after) = rest.split_once("], wake: ").expect("an end to what is handed out");
    let mut entries: Vec<&str> = entries.split("Entry { ").collect();
    let trimmed = |entry: &mut &str| *entry = entry.trim_end_matches(", ");
    entries.iter_mut().for_each(trimmed);
    entries.sort_unstable();
    format!("{before}{}{after}", entries.concat())
}

/// How many orders there are, how many states they pass, and how many were run one by one.
#[derive(Clone, Copy, Default)]
struct Count {
    graphs: usize,
    orders: u128,
    states: usize,
    one_by_one: u128,
}

fn replay<'a>(case: &'a Case<'a>, path: &[Key]) -> Session<'a> {
    let mut session = Session::begin(case);
    for key in path {
        let index = session.open.iter().position(|open| open.is(key));
        session.answer(index.expect("the same questions"));
    }
    session
}

/// Goes through every order; all must lead to `expected`, which the first that is found sets.
fn every_order(case: &Case<'_>, expected: &mut Option<Outcome>) -> Count {
    let (mut orders, mut states) = (0, 0);
    let begun = Session::begin(case);
    let start = Place { answered: Vec::new(), open: begun.open_keys() };
    let mut level = BTreeMap::from([(start, State::of(&begun, 1, Vec::new()))]);
    // Each edge answers one question, so orders meet only at the same distance from the start.
    while !level.is_empty() {
        let mut next: BTreeMap<Place, State> = BTreeMap::new();
        for (place, from) in level {
            states += 1;
            if let Some(outcome) = &from.outcome {
                orders += from.orders;
                let expected = expected.get_or_insert_with(|| outcome.clone());
                let State { path, .. } = &from;
                assert!(
                    same(expected, outcome, true),
                    "{:?} {path:?}:\n{outcome:?}\n{expected:?}",
                    case.world,
                );
                continue;
            }
            for key in &place.open {
                let path: Vec<Key> = from.path.iter().chain([key]).cloned().collect();
                let session = replay(case, &path);
                let mut answered = path.clone();
                answered.sort();
                let place = Place { answered, open: session.open_keys() };
                let state = State::of(&session, from.orders, path);
                if let Some(met) = next.get_mut(&place) {
                    let (one, other) = (&met.path, &state.path);
                    let details = (&met.details, &state.details);
                    assert_eq!(details.0, details.1, "{:?}: {one:?}, {other:?}", case.world);
                    met.orders += state.orders;
                } else {
                    next.insert(place, state);
                }
            }
        }
        level = next;
    }
    let mut one_by_one = 0;
    if orders <= FEW {
        let mut choices = Choices::default();
        loop {
            let run = case.run(|open| choices.choose(open));
            one_by_one += 1;
            let expected = expected.as_ref().expect("an end");
            assert!(same(expected, &run.outcome, true), "{:?} {:?}", case.world, choices.taken);
            if !choices.next() {
                break;
            }
        }
        assert_eq!(one_by_one, orders, "{:?}", case.world);
    }
    Count { graphs: 1, orders, states, one_by_one }
}

/// Goes through all sequences of choices, each of so many as turn out to be there.
#[derive(Default)]
struct Choices {
    /// What is chosen, and of how many.
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    fn choose(&mut self, of: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (choice, then) = self.taken[self.at];
        assert_eq!(then, of, "the same answers in the same order lead to other questions");
        self.at += 1;
        choice
    }

    /// Moves on to the next sequence, if there is one.
    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, of)) = self.taken.pop() {
            if choice + 1 < of {
                self.taken.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// What SRV may say on the way through rules 6 to 8, for each class the first time it counts.
fn services() -> impl Iterator<Item = (Srv, Srv)> {
    // What is found for the first service decides, whatever the second has.
    let found = Srv::ALL.into_iter().filter(|srv| !matches!(srv, Srv::None | Srv::Failed));
    let first = found.map(|srv| (srv, Srv::One));
    let second =
        [Srv::None, Srv::Failed].into_iter().flat_map(|fed| Srv::ALL.map(|matrix| (fed, matrix)));
    first.chain(second)
}

/// One world for each class that the rules tell apart (the numbers are those of their table). With
/// `all`, those too that the rules only tell apart in a place where others stand for them.
fn worlds(all: bool) -> Vec<World> {
    use Document::{Late, Never, NotFound, RedirectToGood, RedirectToNoAddress, ToItself, ToName};
    let plain = World::PLAIN;
    let pairs: Vec<_> = Addresses::pairs().collect();
    let some_or_all = |some: &'static [[Addresses; 2]]| if all { &pairs[..] } else { some };
    let mut worlds = Vec::new();
    // 3, 4 and 9: every document, by itself and where SRV records lure elsewhere.
    for document in Document::ALL {
        worlds.push(World { document, ..plain });
        let stands_for_others = document.delegates().is_some()
            || [NotFound, Never, Late, RedirectToNoAddress].contains(&document);
        if all || stands_for_others {
            worlds.push(World { document, fed: Srv::One, ..plain });
        }
    }
    // 3: addresses of the server itself, in each family.
    worlds.extend(pairs.iter().map(|host| World { host: *host, ..plain }));
    for host in some_or_all(&Addresses::BOTH) {
        worlds.push(World { document: ToName, host: *host, ..plain });
    }
    // 5: addresses of the delegate.
    for delegate in &pairs {
        worlds.push(World { document: Document::ToNameAndPort, delegate: *delegate, ..plain });
    }
    // 6, 7 and 9: every answer to SRV, of the server itself and of the delegate; with the
    // well-known late, in the middle of it.
    let delegations = [NotFound, Late, ToName, ToItself, RedirectToGood];
    for document in &delegations[..if all { 5 } else { 3 }] {
        let document = *document;
        worlds.extend(services().map(|(fed, matrix)| World { document, fed, matrix, ..plain }));
    }
    // 6: the same with records of the server itself that do not count.
    for own in if all { &Srv::ALL[..] } else { &[Srv::One, Srv::Failed] } {
        worlds.push(World { document: ToName, own: *own, fed: Srv::One, ..plain });
    }
    // 6 and 7: addresses of the targets, of the server itself and of the delegate.
    worlds.extend(pairs.iter().map(|target| World { fed: Srv::One, target: *target, ..plain }));
    for (document, fed) in [
        (NotFound, Srv::Several),
        (NotFound, Srv::Alias),
        (ToName, Srv::One),
        (ToName, Srv::Several),
        (ToName, Srv::Alias),
    ] {
        for target in some_or_all(&Addresses::BOTH) {
            worlds.push(World { document, fed, target: *target, ..plain });
        }
    }
    // 8: addresses of the delegate.
    worlds.extend(pairs.iter().map(|delegate| World {
        document: ToName,
        delegate: *delegate,
        ..plain
    }));
    worlds
}

/// Whether the policies of a preset decide: a look-up fails or a target is an alias.
fn is_up_to_policies(world: &World) -> bool {
    let World { fed, matrix, own, host, delegate, target, .. } = world;
    [fed, matrix, own]
        .into_iter()
        .any(|srv| matches!(srv, Srv::Failed | Srv::Alias | Srv::RootAndAlias))
        || [host, delegate, target].into_iter().flatten().any(|it| *it == Addresses::Failed)
}

/// A configuration with and without speculation, a name, and a world.
type Job = ([Arc<Config>; 2], ServerName, World);

/// The presets differ, as far as the rules go, in their policies alone.
fn jobs() -> Vec<Job> {
    let all = wanted("full");
    let mut jobs = Vec::new();
    let presets = if is_short() { 1 } else { 3 };
    for (index, configs) in configs(AddressFamilies::Both).iter().take(presets).enumerate() {
        let mut add = |name: &str, world: World| {
            if all || index == 0 || is_up_to_policies(&world) {
                jobs.push((configs.clone(), name.parse().unwrap(), world));
            }
        };
        for world in worlds(all) {
            add(NAMES[0].0, world);
        }
        // 1 and 2.
        for (name, _) in &NAMES[1..] {
            for host in Addresses::pairs() {
                add(name, World { host, ..World::PLAIN });
            }
        }
    }
    if is_short() {
        // Some of each subject: they stand one after the other.
        jobs = jobs.into_iter().step_by(14).collect();
    }
    jobs
}

#[test]
fn every_order_of_arrival() {
    let jobs = jobs();
    let counts = on_all_cores(&jobs, |(configs, name, world)| {
        let answers = Answers::new();
        let looked_up = look_up(&answers, *world, &configs[0]);
        let mut expected = None;
        let mut counts = Vec::new();
        for config in configs {
            for shared in [None, Some(&looked_up)] {
                let shared = shared.filter(|_| name.as_str() == NAMES[0].0);
                let case = Case { answers: &answers, world: *world, name, config, shared };
                counts.push(every_order(&case, &mut expected));
            }
        }
        counts
    });
    let mut sum = Count::default();
    for count in counts.into_iter().flatten() {
        sum.graphs += count.graphs;
        sum.orders += count.orders;
        sum.states += count.states;
        sum.one_by_one += count.one_by_one;
    }
    println!(
        "{} orders of arrival, every one of {} worlds and settings ({} states; {} one by one)",
        sum.orders, sum.graphs, sum.states, sum.one_by_one
    );
}
