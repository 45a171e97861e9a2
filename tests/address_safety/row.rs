//! A row: what leads to a blocked address, and why it is not connected to.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use matrix_delegation::Config;
use matrix_delegation::config::{AddressFamilies, BlockedAddressPolicy, FamilyOrder, Speculation};
use matrix_delegation::dns::SrvDropReason;
use matrix_delegation::names::{NotAHostName, ServerNameErrorKind};
use matrix_delegation::well_known::{RedirectError, WellKnownError};

use crate::world::{WEB, World, ip};

/// A way to make a resolver connect to a blocked address.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What it is, in words.
    pub(crate) name: String,
    pub(crate) input: Input,
    /// The blocked addresses that it leads to. Control 2 allows the first alone.
    pub(crate) blocked: Vec<IpAddr>,
    /// The port at which the first is attempted once it is allowed.
    pub(crate) port: u16,
    /// What is connected to all the same, exactly.
    pub(crate) attempts: BTreeSet<SocketAddr>,
    /// What a proxy is asked for, exactly.
    pub(crate) names: BTreeSet<String>,
    pub(crate) why: Why,
}

/// All that the resolver is given.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) server_name: String,
    pub(crate) world: World,
    pub(crate) acts: Vec<Act>,
    pub(crate) setting: Setting,
}

/// What is done with the resolver.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// The name is resolved, and a request is sent to its server.
    Request,
    /// A connection is made to what was resolved last.
    Connect,
    Pass(Duration),
}

/// The configuration, besides its address policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Default,
    Strict,
    Synapse,
    NoSpeculation,
    V6First,
    V6Only,
    RefuseHost,
    ByProxy,
}

impl Setting {
    pub(crate) fn config(self) -> Config {
        let mut config = Config::default();
        match self {
            Self::Default => {}
            Self::Strict => config = Config::strict(),
            Self::Synapse => config = Config::synapse(),
            Self::NoSpeculation => config.speculation = Speculation::Off,
            Self::V6First => config.family_order = FamilyOrder::V6First,
            Self::V6Only => config.addresses = AddressFamilies::V6,
            Self::RefuseHost => config.blocked_address = BlockedAddressPolicy::RefuseHost,
            Self::ByProxy => config.addresses = AddressFamilies::ByProxy,
        }
        config
    }
}

/// Why no blocked address is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The address policy, and nothing else: without it, each of them is connected to.
    Policy,
    /// The address policy, and nothing says so: the host of a document has another address, too.
    PolicyUnsaid,
    /// A rule that holds without a policy, too.
    Rule(Rule),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The text is no server name.
    Grammar(ServerNameErrorKind),
    /// It is the name of no host.
    NoHost(NotAHostName),
    /// The well-known document names no server.
    Document(DocumentFault),
    /// The redirect is not followed.
    Redirect(UrlFault),
    /// The SRV record is not used.
    Srv(SrvDropReason),
    /// The question is asked once, and what it was answered first is used.
    AskedOnce(&'static str),
    /// What names the address is not read: this server has answered, and nothing follows.
    NotRead(SocketAddr),
    /// An address of another family than the one asked for is none.
    NoAddresses,
    /// The record is not believed, and the document is fetched.
    NotBelieved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentFault {
    Grammar(ServerNameErrorKind),
    NoHost(NotAHostName),
    NotAString,
    ByteOrderMark,
    NotUtf8,
    NotJson,
    NotAnObject,
    NoServer,
    TooLarge,
}

impl DocumentFault {
    pub(crate) fn is_of(self, error: &WellKnownError) -> bool {
        match error {
            WellKnownError::InvalidServerName { source } => self == Self::Grammar(source.kind()),
            WellKnownError::Unresolvable(name) => self == Self::NoHost(name.reason),
            WellKnownError::ServerNotAString => self == Self::NotAString,
            WellKnownError::ByteOrderMark => self == Self::ByteOrderMark,
            WellKnownError::NotUtf8 { .. } => self == Self::NotUtf8,
            WellKnownError::Json { .. } => self == Self::NotJson,
            WellKnownError::NotAnObject => self == Self::NotAnObject,
            WellKnownError::MissingServer => self == Self::NoServer,
            WellKnownError::TooLarge { .. } => self == Self::TooLarge,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlFault {
    NoLocation,
    SeveralLocations,
    NotText,
    TooLong,
    NotAUrl,
    NotHttps,
    Credentials,
    NotAHost,
    PortZero,
    Loop,
    TooMany,
}

impl UrlFault {
    pub(crate) fn is_of(self, error: &RedirectError) -> bool {
        let fault = match error {
            RedirectError::NoLocation => Self::NoLocation,
            RedirectError::SeveralLocations { .. } => Self::SeveralLocations,
            RedirectError::NotText => Self::NotText,
            RedirectError::TooLong { .. } => Self::TooLong,
            RedirectError::NotAUrl { .. } => Self::NotAUrl,
            RedirectError::NotHttps { .. } => Self::NotHttps,
            RedirectError::Credentials => Self::Credentials,
            RedirectError::NotAHost { .. } => Self::NotAHost,
            RedirectError::PortZero => Self::PortZero,
            RedirectError::Loop { .. } => Self::Loop,
            RedirectError::TooMany { .. } => Self::TooMany,
            _ => return false,
        };
        self == fault
    }
}

impl Row {
    /// A row in which nothing is connected to, for the policy's sake.
    pub(crate) fn new(name: impl Into<String>, server_name: &str, world: World) -> Self {
        let input = Input {
            server_name: server_name.to_owned(),
            world,
            acts: vec![Act::Request],
            setting: Setting::Default,
        };
        Self {
            name: name.into(),
            input,
            blocked: Vec::new(),
            port: 8448,
            attempts: BTreeSet::new(),
            names: BTreeSet::new(),
            why: Why::Policy,
        }
    }

    /// A row about `a.example`, whose document is asked for and which is then connected to itself.
    pub(crate) fn of_a(name: impl Into<String>, world: World) -> Self {
        Self::new(name, "a.example", world).attempts(&[(WEB, 443), (WEB, 8448)])
    }

    /// Sets what it leads to.
    pub(crate) fn leads_to(mut self, blocked: &[&str], port: u16) -> Self {
        self.blocked = blocked.iter().map(|it| ip(it)).collect();
        self.port = port;
        self
    }

    /// Sets what is connected to all the same.
    pub(crate) fn attempts(mut self, attempts: &[(&str, u16)]) -> Self {
        let address = |(address, port): &(&str, u16)| SocketAddr::new(ip(address), *port);
        self.attempts = attempts.iter().map(address).collect();
        self
    }

    /// Sets what a proxy is asked for.
    pub(crate) fn names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(ToString::to_string).collect();
        self
    }

    /// Says that no error or warning names a blocked address.
    pub(crate) fn unsaid(mut self) -> Self {
        self.why = Why::PolicyUnsaid;
        self
    }

    pub(crate) fn because(mut self, rule: Rule) -> Self {
        self.why = Why::Rule(rule);
        self
    }

    pub(crate) fn acts(mut self, acts: &[Act]) -> Self {
        self.input.acts = acts.to_vec();
        self
    }

    pub(crate) fn setting(mut self, setting: Setting) -> Self {
        self.input.setting = setting;
        self
    }
}
