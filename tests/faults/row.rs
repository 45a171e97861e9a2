//! What a row of a table says.

use std::future::Future;
use std::pin::Pin;

use matrix_delegation::Step;
use matrix_delegation::client::ConnectPhase;
use matrix_delegation::dns::{DnsFailure, NoRecord};
use matrix_delegation::transport::ConnectFailureKind;
use matrix_delegation::well_known::{FailureClass, FetchFailureKind};

/// A fault, and what must come of it.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) want: Outcome,
    /// The limit that must end it.
    pub(crate) limit: Limit,
    /// What the error, or the report, must say besides.
    pub(crate) says: &'static str,
    /// The most memory that the client may hold at a time, in bytes.
    pub(crate) most: usize,
    pub(crate) client: Box<dyn FnOnce(Limit) -> Client + Send>,
}

/// A client that meets a fault; it keeps the server that has it.
pub(crate) type Client = Pin<Box<dyn Future<Output = Seen>>>;

/// What a client saw.
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    /// The error in words, or the report.
    pub(crate) words: String,
}

/// What becomes of a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// DNS: so many records, with this TTL in seconds, through an alias or not.
    Records(usize, u64, bool),
    NoRecord(NoRecord),
    DnsFailed(DnsFailure),
    /// The fetch: a status, and a body of so many bytes.
    Response(u16, usize),
    TooLarge,
    Failed(FetchFailureKind),
    /// The discovery: the well-known document delegates.
    Delegated(Step),
    /// It does not, and the step after it decides.
    NotDelegated(FailureClass),
    Unresolved,
    /// The federation client: no connection.
    NoConnection(ConnectPhase, ConnectFailureKind),
    /// No response.
    NoResponse,
    /// A status, and a body of so many bytes.
    Answer(u16, usize),
    /// A status, and a body that broke off.
    Broken(u16),
    /// A status, and a body without end.
    Endless(u16),
    /// No limit of the client's ends this: the caller has to.
    GivenUp,
    /// No whole response: any of the last four, depending on how buffers cut what comes.
    NotWhole,
}

impl Outcome {
    /// Whether this is what a row wants.
    pub(crate) fn meets(self, want: Self) -> bool {
        let is_not_whole =
            matches!(self, Self::NoResponse | Self::Broken(_) | Self::Endless(_) | Self::GivenUp);
        self == want || (want == Self::NotWhole && is_not_whole)
    }
}

/// A limit that ends a fault. Those on time are [`SHORT`](crate::SHORT) then, but
/// for [`Limit::WellKnown`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Limit {
    /// None: it ends by itself.
    #[default]
    None,
    Connect,
    Tls,
    Exchange,
    /// Of all addresses of a fetch, or of all endpoints.
    Total,
    /// Of all of the well-known.
    WellKnown,
    /// Of a question to DNS; its outcome has a kind of its own.
    Question,
    Aliases,
    /// The head's bytes.
    Head,
    /// The body's; its outcome has a kind of its own.
    Body,
    Redirects,
    /// Of pings that nobody answers.
    KeepAlive,
    /// Queries for one question whose replies end with an alias.
    AliasQueries,
    /// The frames of heads that a response may have.
    Heads,
    /// The frames that carry nothing.
    Idle,
    /// The caller's patience.
    Patience,
}

impl Limit {
    /// What says that this limit was the one, where no outcome does.
    pub(crate) fn evidence(self, want: Outcome) -> &'static str {
        match self {
            // Whoever reads a body is told no more.
            Self::KeepAlive if matches!(want, Outcome::Broken(_)) => "broken pipe",
            Self::None | Self::Question | Self::Body | Self::Patience => "",
            Self::Connect | Self::Tls | Self::Exchange => "not over within 300ms",
            // A fetch ends before the time for all of the well-known has run out.
            Self::Total | Self::WellKnown => "ran out",
            Self::Aliases => "more than 16 aliases",
            Self::AliasQueries => "aliases that take more than 2 more queries",
            Self::Head => "no end of it in 16384 bytes",
            Self::Redirects => "more than 10 redirects",
            Self::KeepAlive => "keep-alive timed out",
            Self::Heads => "more heads of responses than",
            Self::Idle => "frames that carry nothing",
        }
    }
}

impl Row {
    pub(crate) fn new(
        name: impl Into<String>,
        want: Outcome,
        kib: usize,
        client: impl FnOnce(Limit) -> Client + Send + 'static,
    ) -> Self {
        let (name, client) = (name.into(), Box::new(client));
        Self { name, want, limit: Limit::None, says: "", most: kib * 1024, client }
    }

    /// This limit must end it.
    pub(crate) fn ended_by(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// The error, or the report, must say this.
    pub(crate) fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    /// It may cost so many KiB.
    pub(crate) fn within(self, kib: usize) -> Self {
        Self { most: kib * 1024, ..self }
    }
}
