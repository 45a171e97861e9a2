//! What a month came to.

use std::fmt;

use matrix_delegation::ResolveError;

use crate::world::Place;

/// What was asked of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Questions {
    pub(crate) well_known: u64,
    pub(crate) srv: u64,
    pub(crate) address: u64,
}

/// What callers got, and what was asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) failed: u64,
    pub(crate) asked: Questions,
}

impl Totals {
    /// Counts an answer: wrong if it leads elsewhere than the truth.
    pub(crate) fn count(&mut self, got: Option<&Place>, truth: &Place) {
        match got {
            None => self.failed += 1,
            Some(place) if place == truth => self.right += 1,
            Some(_) => self.wrong += 1,
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.right + self.wrong + self.failed
    }
}

/// Whether an error says what is wrong with the world: no adapter failed, and nothing was too busy.
pub(crate) fn is_typed(error: &ResolveError) -> bool {
    matches!(error.kind(), "no_addresses" | "deadline_exceeded")
}

/// Two months beside each other.
pub(crate) struct Beside<'a>(pub(crate) &'a Totals, pub(crate) &'a Totals);

impl fmt::Display for Beside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(resolver, naive) = self;
        writeln!(f, "{:<24}{:>12}{:>12}", "", "resolver", "24 h cache")?;
        for (what, of) in [
            ("right answers", (|it| it.right) as fn(&Totals) -> u64),
            ("wrong answers", |it| it.wrong),
            ("failed calls", |it| it.failed),
            ("well-knowns asked for", |it| it.asked.well_known),
            ("SRV records asked for", |it| it.asked.srv),
            ("addresses asked for", |it| it.asked.address),
        ] {
            writeln!(f, "{what:<24}{:>12}{:>12}", of(resolver), of(naive))?;
        }
        Ok(())
    }
}
