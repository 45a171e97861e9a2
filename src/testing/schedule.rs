//! The order in which answers arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use super::critical_path::round_trips;
use super::question::{any_question, must};

/// The order in which the answers of an [`Internet`](super::Internet) arrive, and when.
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
    counts_round_trips: bool,
}

/// Short compared to every grace, so that whatever is answered at all is answered in time.
const ROUND_TRIP: Duration = Duration::from_micros(100);

/// Which of the open questions is answered next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// The one whose answer is due first, by the delays of the internet. Time passes accordingly.
    #[default]
    Timely,
    /// The one asked first. Delays are ignored, no time passes.
    AsAsked,
    /// The one asked last. Delays are ignored, no time passes.
    Reversed,
    /// One drawn at random by this seed. Delays are ignored, no time passes.
    Shuffled(u64),
}

impl Schedule {
    /// Creates a schedule with this order.
    pub fn new(order: Order) -> Self {
        Self { order, ..Self::default() }
    }

    /// Lets each answer arrive twice.
    #[must_use]
    pub fn twice(mut self) -> Self {
        self.twice = true;
        self
    }

    /// Sets how long the answer to a question takes (`A a.example`, `GET https://...`), in any order.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a question.
    #[must_use]
    #[track_caller]
    pub fn late(mut self, question: &str, by: Duration) -> Self {
        must(any_question(question));
        self.late.insert(question.to_owned(), Some(by));
        self
    }

    /// Leaves a question unanswered.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a question.
    #[must_use]
    #[track_caller]
    pub fn never(mut self, question: &str) -> Self {
        must(any_question(question));
        self.late.insert(question.to_owned(), None);
        self
    }

    /// Returns the order.
    pub const fn order(&self) -> Order {
        self.order
    }

    /// Lets every round trip take equally long, so that the total gives their number.
    pub(super) fn counting_round_trips(self) -> Self {
        Self { order: Order::Timely, counts_round_trips: true, ..self }
    }

    /// Returns whether each answer arrives twice.
    pub(super) const fn is_twice(&self) -> bool {
        self.twice
    }

    /// Returns how long an answer takes that the internet delays by `scripted`. `None`: it never
    /// arrives.
    pub(super) fn delay(&self, question: &str, scripted: Option<Duration>) -> Option<Duration> {
        let delay = match (self.late.get(question), self.order) {
            (Some(late), _) => *late,
            (None, Order::Timely) => scripted,
            (None, Order::AsAsked | Order::Reversed | Order::Shuffled(_)) => {
                scripted.map(|_| Duration::ZERO)
            }
        };
        if self.counts_round_trips {
            delay.map(|_| ROUND_TRIP * round_trips(question))
        } else {
            delay
        }
    }
}
