//! The longest chain of questions that depend on each other.

/// How long a caller waits who remembers nothing, in round trips, and for what.
///
/// DNS counts 1; a fetch 3: TCP, TLS 1.3 and HTTP. Each round trip is taken to last equally long,
/// and short beside every grace. What is never answered counts none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CriticalPath {
    /// How many round trips it takes.
    pub round_trips: u32,
    /// The questions on it, one after the other. Where several take equally long, one of them.
    pub questions: Vec<String>,
}

impl CriticalPath {
    /// The path that goes on with this question.
    pub(super) fn then(&self, question: &str, round_trips: u32) -> Self {
        self.join(Self { round_trips, questions: vec![question.to_owned()] })
    }

    /// The path that goes on with another.
    pub(super) fn join(&self, other: Self) -> Self {
        let mut questions = self.questions.clone();
        questions.extend(other.questions);
        Self { round_trips: self.round_trips + other.round_trips, questions }
    }
}
