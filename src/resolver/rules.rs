//! What an application sets for some names: a network of its own, an anonymity network, tests.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::traits::Dns;
use crate::core::names::{DnsName, Host, ServerName};
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
    targets: ByName<ServerName, FixedTarget>,
    dns: ByName<DnsName, Arc<dyn Dns>>,
    forget: ByName<DnsName, ()>,
}

/// What is set for each name or ending.
#[derive(Clone, Debug)]
struct ByName<K, V> {
    one: HashMap<K, V>,
    under: HashMap<DnsName, V>,
}

impl<K, V> Default for ByName<K, V> {
    fn default() -> Self {
        Self { one: HashMap::new(), under: HashMap::new() }
    }
}

impl<K: Eq + Hash, V> ByName<K, V> {
    fn is_empty(&self) -> bool {
        self.one.is_empty() && self.under.is_empty()
    }

    /// Returns what is set for the longest ending of a host.
    fn under(&self, host: &DnsName) -> Option<&V> {
        if self.under.is_empty() {
            return None;
        }
        let whole = host.as_str();
        let dots = whole.match_indices('.').map(|(at, _)| at + 1);
        let mut starts = std::iter::once(0).chain(dots);
        starts.find_map(|start| self.under.get(whole.get(start..)?))
    }
}

impl<V> ByName<DnsName, V> {
    fn set(&mut self, names: Names, value: V) {
        let hosts = match names {
            Names::Under(ending) => {
                self.under.insert(ending, value);
                return;
            }
            Names::One(name) => name.to_host(),
        };
        // An IP literal is never looked up, so there is nothing to set.
        if let Ok(Host::Dns(host)) = hosts {
            self.one.insert(host, value);
        }
    }

    fn get(&self, host: &DnsName) -> Option<&V> {
        self.one.get(host).or_else(|| self.under(host))
    }
}

impl Rules {
    /// Creates a set without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the target of these names, which are then resolved without a question.
    #[must_use]
    pub fn target(mut self, names: Names, target: FixedTarget) -> Self {
        match names {
            Names::One(name) => self.targets.one.insert(name, target),
            Names::Under(ending) => self.targets.under.insert(ending, target),
        };
        self
    }

    /// Sets the DNS that is asked about these hosts, whichever server name needs the answer: the
    /// host's own, or one that delegates to it. The address policy applies to what it answers.
    #[must_use]
    pub fn dns(mut self, names: Names, dns: Arc<dyn Dns>) -> Self {
        self.dns.set(names, dns);
        self
    }

    /// Remembers and stores nothing of these hosts, nor any target that relies on one of them.
    /// Callers who ask at the same time still share an answer.
    #[must_use]
    pub fn forget(mut self, names: Names) -> Self {
        self.forget.set(names, ());
        self
    }

    pub(super) fn target_of(&self, name: &ServerName) -> Option<&FixedTarget> {
        if self.targets.is_empty() {
            return None;
        }
        let host = name.to_host().ok()?;
        let under = || host.as_dns().and_then(|host| self.targets.under(host));
        self.targets.one.get(name).or_else(under)
    }

    pub(super) fn dns_of(&self, host: &DnsName) -> Option<&Arc<dyn Dns>> {
        self.dns.get(host)
    }

    pub(super) fn forgets(&self, host: &DnsName) -> bool {
        self.forget.get(host).is_some()
    }
}
