//! What passes between a machine of the core and whoever drives it.

use std::sync::Arc;

use http::Response;

use crate::core::cache::{DnsEntry, WellKnownEntry};
use crate::core::dns::{DnsAnswer, DnsQuestion};
use crate::core::names::DnsName;
use crate::core::report::{Source, WellKnownReport};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::{Body, Fetch, FetchFailure};

/// A state machine that asks questions, is handed answers, and performs no I/O itself:
/// [`Discovery`](crate::Discovery) and [`WellKnownLookup`](crate::discovery::WellKnownLookup).
///
/// # Driving it
///
/// 1. Create the machine with its configuration, the time and a seed for jitter.
/// 2. Call [`poll_output`](Self::poll_output) with the time until it returns [`Output::Wait`] or
///    [`Output::Done`].
/// 3. For each [`Output::Ask`], begin to answer the question. Several may be open at once.
/// 4. On [`Output::Wait`], wait for the first answer, or for the time given, if there is one.
/// 5. Pass each answer to [`handle`](Self::handle), made from the token of its question
///    ([`DnsToken::answer`], [`FetchToken::answer`], [`WellKnownToken::answer`]). Then go to 2.
/// 6. On [`Output::Done`], drop the questions that are still open.
///
/// # Contract
///
/// There are three kinds of methods:
///
/// | kind | methods | when |
/// | --- | --- | --- |
/// | inputs | `handle` | at any time, in any order of answers |
/// | outputs | `poll_output` | at any time; after the end it repeats the outcome |
/// | getters | `report`, `server_name` | at any time; they change nothing |
///
/// - Calling `poll_output` more often than necessary is harmless.
/// - An answer that arrives late, twice, or after the end changes nothing. Neither does one of
///   another kind than the machine asks for.
/// - A token belongs to the machine that issued it. A machine cannot tell another's tokens from
///   its own.
/// - Time must not run backwards. If it does, the machine takes it to stand still.
/// - An unanswered question is not an error: each has a time limit within the machine, after which
///   it counts as timed out.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use matrix_delegation::discovery::{Machine, Output, Question};
/// use matrix_delegation::dns::{DnsAnswer, Records};
/// use matrix_delegation::time::Now;
/// use matrix_delegation::{Config, Discovery};
///
/// let config = Arc::new(Config::default());
/// let mut discovery = Discovery::new("a.example:443".parse()?, config, Now::EPOCH, 0);
/// let target = loop {
///     match discovery.poll_output(Now::EPOCH) {
///         Output::Ask(Question::Dns { token, .. }) => {
///             let answer = DnsAnswer::Found {
///                 records: Records::Addresses(vec![[203, 0, 114, 7].into()]),
///                 ttl: Duration::from_secs(300),
///                 alias: false,
///             };
///             discovery.handle(token.answer(answer), Now::EPOCH);
///         }
///         Output::Done(outcome) => break outcome?,
///         other => panic!("a name with a port needs no more than DNS: {other:?}"),
///     }
/// };
/// assert_eq!(target.host_header(), "a.example:443");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Machine {
    /// How the machine ends.
    type Done;

    /// Returns what to do next at this time.
    fn poll_output(&mut self, now: Now) -> Output<Self::Done>;

    /// Takes in an answer that arrived at this time.
    fn handle(&mut self, answer: Answer, now: Now);
}

/// What a machine wants next.
#[derive(Debug)]
#[must_use]
pub enum Output<T> {
    /// Begin to answer this question.
    Ask(Question),
    /// Nothing to do until an answer arrives, or until this time if one is given.
    Wait(Option<Monotonic>),
    /// The machine has ended.
    Done(T),
}

/// A question of a machine, with the token that its answer is made from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Question {
    /// Ask DNS.
    Dns {
        /// For [`DnsToken::answer`].
        token: DnsToken,
        /// What to ask.
        question: DnsQuestion,
    },
    /// Fetch a URL.
    Fetch {
        /// For [`FetchToken::answer`].
        token: FetchToken,
        /// What to fetch, from which addresses, and under which limits.
        fetch: Box<Fetch>,
    },
    /// Find out about a host's well-known document with a
    /// [`WellKnownLookup`](crate::discovery::WellKnownLookup). Only asked after
    /// [`Discovery::with_shared_well_known`](crate::Discovery::with_shared_well_known).
    WellKnown {
        /// For [`WellKnownToken::answer`].
        token: WellKnownToken,
        /// The host.
        host: DnsName,
    },
}

/// An answer to a machine's question, for [`Machine::handle`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// What DNS said just now.
    Dns {
        /// The token of the question.
        token: DnsToken,
        /// What DNS said.
        answer: DnsAnswer,
    },
    /// What is known of an answer of DNS.
    DnsEntry {
        /// The token of the question.
        token: DnsToken,
        /// What is known.
        entry: DnsEntry,
        /// Whether it was asked just now or remembered.
        source: Source,
    },
    /// No answer of DNS will come, because the driver itself cannot go on with the question.
    NoDns {
        /// The token of the question.
        token: DnsToken,
    },
    /// What came of a fetch.
    Fetch {
        /// The token of the question.
        token: FetchToken,
        /// The response, or why there was none.
        result: Result<Response<Body>, FetchFailure>,
    },
    /// What is known of a host's well-known document.
    WellKnown {
        /// The token of the question.
        token: WellKnownToken,
        /// What is known.
        entry: WellKnownEntry,
        /// Whether it was looked up just now or remembered.
        source: Source,
        /// How it was looked up, if that was just now.
        lookup: Option<Arc<WellKnownReport>>,
    },
}

/// Ties an answer of DNS to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DnsToken(pub(super) usize);

impl DnsToken {
    /// Answers with what DNS said just now.
    pub const fn answer(self, answer: DnsAnswer) -> Answer {
        Answer::Dns { token: self, answer }
    }

    /// Answers with what is known of an answer of DNS: asked just now, or remembered.
    pub const fn entry(self, entry: DnsEntry, source: Source) -> Answer {
        Answer::DnsEntry { token: self, entry, source }
    }

    /// Says that no answer will come, because the driver itself cannot go on with the question.
    ///
    /// If a [`Discovery`](crate::Discovery) turns out to need the answer, it fails with
    /// [`ResolveError::AdapterFailed`](crate::ResolveError::AdapterFailed); a question that was
    /// asked early may not be needed. A [`WellKnownLookup`](crate::discovery::WellKnownLookup)
    /// needs every answer and has no error to end with, so it waits for the time limit; drop it
    /// instead.
    pub const fn unanswered(self) -> Answer {
        Answer::NoDns { token: self }
    }
}

/// Ties the result of a fetch to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FetchToken(pub(super) usize);

impl FetchToken {
    /// Answers with a response, or with the reason why there was none.
    pub const fn answer(self, result: Result<Response<Body>, FetchFailure>) -> Answer {
        Answer::Fetch { token: self, result }
    }
}

/// Ties what is known of a well-known document to its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WellKnownToken(pub(super) ());

impl WellKnownToken {
    /// Answers with what is known of the document: remembered, or looked up just now, in which case
    /// `lookup` tells how.
    pub const fn answer(
        self,
        entry: WellKnownEntry,
        source: Source,
        lookup: Option<Arc<WellKnownReport>>,
    ) -> Answer {
        Answer::WellKnown { token: self, entry, source, lookup }
    }
}
