//! What an application sets for some names: a network of its own, an anonymity network, tests.

use std::collections::HashMap;
use std::sync::Arc;

use super::traits::Dns;
use crate::core::names::{DnsName, ServerName};
use crate::core::target::FixedTarget;

/// The names that a rule applies to.
///
/// ```
/// use matrix_delegation::resolver::Names;
///
/// let one = Names::One("hs.example:8448".parse()?);
/// let all = Names::Under("lan".parse()?); // hs1.lan and a.b.lan, and lan itself
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// This server name, letter case and port included. Rules about questions and memory are for
    /// its host.
    One(ServerName),
    /// Every server name whose host is this or ends with a dot and this.
    Under(DnsName),
}

/// Rules for some names. Where several apply, the rule for the name itself wins, then the one for
/// the longest ending.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # {
/// use std::sync::Arc;
/// use matrix_delegation::testing::{Internet, Network};
/// use matrix_delegation::resolver::Names;
/// use matrix_delegation::{FixedTarget, Rules};
///
/// let lan = Arc::new(Network::new(Internet::new().host("hs1.lan", &["10.0.0.1"])));
/// let rules = Rules::new()
///     .target(Names::One("dev.example".parse()?), FixedTarget::new(["127.0.0.1:8448".parse()?])?)
///     .dns(Names::Under("lan".parse()?), lan)
///     .forget(Names::Under("onion".parse()?));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    targets: ByName<FixedTarget>,
    dns: ByName<Arc<dyn Dns>>,
    forget: ByName<()>,
}

/// What is set for each name and for each ending.
#[derive(Clone, Debug)]
struct ByName<V> {
    one: HashMap<Box<str>, V>,
    under: HashMap<DnsName, V>,
}

impl<V> Default for ByName<V> {
    fn default() -> Self {
        Self { one: HashMap::new(), under: HashMap::new() }
    }
}

impl<V> ByName<V> {
    /// Sets the value of an ending, or of what `one` makes of a server name.
    fn set(&mut self, names: Names, one: impl FnOnce(&ServerName) -> Option<Box<str>>, value: V) {
        match names {
            Names::One(name) => one(&name).and_then(|name| self.one.insert(name, value)),
            Names::Under(ending) => self.under.insert(ending, value),
        };
    }

    /// Returns what is set for a name, or else for the longest ending of a host.
    fn get(&self, name: &str, host: &str) -> Option<&V> {
        let under = || {
            let dots = host.match_indices('.').map(|(at, _)| at + 1);
            let mut starts = std::iter::once(0).chain(dots);
            starts.find_map(|start| self.under.get(host.get(start..)?))
        };
        self.one.get(name).or_else(under)
    }
}

/// Returns the host that a rule for a server name is about. An IP literal is never looked up, so
/// there is nothing to set.
fn host_of(name: &ServerName) -> Option<Box<str>> {
    Some(name.to_host().ok()?.as_dns()?.as_str().into())
}

impl Rules {
    /// Creates a set without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the target of these names, which are then resolved without a question.
    #[must_use]
    pub fn target(mut self, names: Names, target: FixedTarget) -> Self {
        self.targets.set(names, |name| Some(name.as_str().into()), target);
        self
    }

    /// Sets the DNS that is asked about these hosts, whichever server name needs the answer: the
    /// host's own, or one that delegates to it. The address policy applies to what it answers.
    #[must_use]
    pub fn dns(mut self, names: Names, dns: Arc<dyn Dns>) -> Self {
        self.dns.set(names, host_of, dns);
        self
    }

    /// Remembers and stores nothing of these hosts, nor any target that relies on one of them.
    /// Callers who ask at the same time still share an answer.
    #[must_use]
    pub fn forget(mut self, names: Names) -> Self {
        self.forget.set(names, host_of, ());
        self
    }

    pub(super) fn target_of(&self, name: &ServerName) -> Option<&FixedTarget> {
        let ByName { one, under } = &self.targets;
        if one.is_empty() && under.is_empty() {
            return None;
        }
        let host = name.to_host().ok()?;
        self.targets.get(name.as_str(), host.as_dns().map_or("", DnsName::as_str))
    }

    pub(super) fn dns_of(&self, host: &DnsName) -> Option<&Arc<dyn Dns>> {
        self.dns.get(host.as_str(), host.as_str())
    }

    pub(super) fn forgets(&self, host: &DnsName) -> bool {
        self.forget.get(host.as_str(), host.as_str()).is_some()
    }
}
