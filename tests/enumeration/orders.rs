//! Every order in which the answers that are open at once can arrive, for a few worlds.

use matrix_delegation::{AddressFamilies, Outcome};

use super::driver::{Case, same};
use super::wanted;
use super::world::{Addresses, Answers, Document, NAMES, Srv, World, configs};

/// More orders than this of one world are left out; which, does not change.
fn most_orders() -> usize {
    if wanted("full") {
        100_000
    } else if wanted("reduced") {
        500
    } else {
        5_000
    }
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

#[test]
fn every_order_of_arrival() {
    let plain = World {
        document: Document::NotFound,
        fed: Srv::None,
        matrix: Srv::None,
        own: Srv::None,
        host: Addresses::Some,
        delegate: Addresses::Some,
        target: Addresses::Some,
    };
    let to_name = World { document: Document::ToName, ..plain };
    let worlds = [
        plain,
        World { fed: Srv::Several, ..plain },
        World { fed: Srv::Failed, matrix: Srv::One, ..plain },
        World { matrix: Srv::Several, target: Addresses::Failed, ..plain },
        World { document: Document::ToIp, fed: Srv::One, ..plain },
        World { document: Document::ToNameAndPort, ..plain },
        World { document: Document::ToItself, matrix: Srv::Alias, ..plain },
        to_name,
        World { fed: Srv::One, own: Srv::One, ..to_name },
        World { matrix: Srv::Several, delegate: Addresses::Blocked, ..to_name },
        World { document: Document::RedirectToGood, fed: Srv::Several, ..plain },
        World { document: Document::Never, fed: Srv::Several, ..plain },
    ];
    let most = most_orders();
    let (answers, name) = (Answers::new(), NAMES[0].0.parse().unwrap());
    let (mut runs, mut sets, mut complete) = (0, 0, 0);
    for world in worlds {
        for configs in &configs(AddressFamilies::Both)[..2] {
            let mut first: Option<Outcome> = None;
            for config in configs {
                let case = Case { answers: &answers, world, name: &name, config, shared: None };
                let mut choices = Choices::default();
                let mut orders = 0;
                loop {
                    let run = case.run(|open| choices.choose(open));
                    orders += 1;
                    let first = first.get_or_insert_with(|| run.outcome.clone());
                    assert!(same(first, &run.outcome, true), "{world:?} {:?}", choices.taken);
                    if !choices.next() {
                        complete += 1;
                        break;
                    }
                    if orders == most {
                        break;
                    }
                }
                runs += orders;
                sets += 1;
            }
        }
    }
    println!("{runs} orders of arrival; of {complete} of {sets} worlds and settings, all");
}
