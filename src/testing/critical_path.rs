//! The longest chain of questions that depend on each other.

/// How long a resolution takes with nothing remembered, in round trips, and what for.
///
/// A question to DNS counts 1, a fetch 3: TCP, TLS 1.3 and HTTP. All round trips count as equally
/// long, and as short compared to every grace. A question that is never answered counts 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CriticalPath {
    /// The number of round trips.
    pub round_trips: u32,
    /// The questions on the path, in order. If several paths take equally long, those of one of them.
    pub questions: Vec<String>,
}

/// Returns how many round trips the answer to a question takes.
pub(super) fn round_trips(question: &str) -> u32 {
    if question.starts_with("GET ") { 3 } else { 1 }
}

impl CriticalPath {
    /// Returns the path continued by this question.
    pub(super) fn then(&self, question: &str) -> Self {
        let round_trips = round_trips(question);
        self.join(Self { round_trips, questions: vec![question.to_owned()] })
    }

    /// Returns the path continued by another.
    pub(super) fn join(&self, other: Self) -> Self {
        let mut questions = self.questions.clone();
        questions.extend(other.questions);
        Self { round_trips: self.round_trips + other.round_trips, questions }
    }
}
