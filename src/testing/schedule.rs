//! In which order answers arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use super::internet;

/// In which order, and when, the answers of an [`Internet`](super::Internet) arrive.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::testing::{Order, Schedule};
///
/// let schedule = Schedule::new(Order::Shuffled(7))
///     .twice()
///     .never("AAAA a.example")
///     .late("A t.example", Duration::from_secs(3));
/// assert_eq!(schedule.order(), Order::Shuffled(7));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    order: Order,
    twice: bool,
    late: BTreeMap<String, Option<Duration>>,
}

/// Which of the open questions is answered next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// The one whose answer is due first by the delays of the internet; time passes accordingly.
    #[default]
    Timely,
    /// The one asked first; delays do not count, no time passes.
    AsAsked,
    /// The one asked last; likewise.
    Reversed,
    /// One drawn by this seed; likewise.
    Shuffled(u64),
}

impl Schedule {
    /// Answers in this order.
    pub fn new(order: Order) -> Self {
        Self { order, ..Self::default() }
    }

    /// Each answer arrives twice.
    #[must_use]
    pub fn twice(mut self) -> Self {
        self.twice = true;
        self
    }

    /// The answer to this question (`A a.example`, `GET https://...`) takes so long, in any order.
    ///
    /// # Panics
    ///
    /// If that is no question, as the methods that build an [`Internet`](super::Internet).
    #[must_use]
    #[track_caller]
    pub fn late(mut self, question: &str, by: Duration) -> Self {
        internet::must(internet::any_question(question));
        self.late.insert(question.to_owned(), Some(by));
        self
    }

    /// This question is never answered.
    ///
    /// # Panics
    ///
    /// As [`late`](Self::late).
    #[must_use]
    #[track_caller]
    pub fn never(mut self, question: &str) -> Self {
        internet::must(internet::any_question(question));
        self.late.insert(question.to_owned(), None);
        self
    }

    /// The order.
    pub const fn order(&self) -> Order {
        self.order
    }

    /// Whether each answer arrives twice.
    pub(super) const fn is_twice(&self) -> bool {
        self.twice
    }

    /// How long the answer takes that by itself takes `scripted`; `None`: for ever.
    pub(super) fn delay(&self, question: &str, scripted: Option<Duration>) -> Option<Duration> {
        if let Some(late) = self.late.get(question) {
            return *late;
        }
        match self.order {
            Order::Timely => scripted,
            Order::AsAsked | Order::Reversed | Order::Shuffled(_) => {
                scripted.map(|_| Duration::ZERO)
            }
        }
    }
}
