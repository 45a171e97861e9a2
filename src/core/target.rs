//! The answer: where to connect, which `Host` to send, which name the certificate must carry.

use std::fmt;
use std::iter::FusedIterator;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::HeaderValue;
use rustls_pki_types::ServerName as TlsName;
use serde::{Deserialize, Serialize};

use crate::core::address_policy::{AddressPolicy, BlockedRange};
use crate::core::dns::{Service, WeightedOrder};
use crate::core::endpoint::{Attempts, Endpoint, Origin, StoredEndpoint};
use crate::core::few::Few;
use crate::core::names::{Host, ServerName, UnresolvableName};
use crate::core::step::{Reasons, Step};
use crate::core::text::write_list;
use crate::core::time::{Monotonic, Now};
use crate::core::warning::Warning;

/// The port of Matrix federation where none is named (IANA `matrix-fed`).
pub(crate) const DEFAULT_PORT: u16 = 8448;

/// Where a Matrix server is reached, and why there.
///
/// Three things that are easily mixed up are three accessors: [`attempts`](Self::attempts) says
/// where to connect, [`host_header`](Self::host_header) what goes into `Host` or `:authority`, and
/// [`tls_name`](Self::tls_name) which name goes into SNI and must stand in the certificate.
/// Connect to the addresses given here, never to the result of a second look-up: these have been
/// judged by the address policy.
///
/// A target that was stored and read again was judged by the policy of then, and its times are
/// those of a clock that may be gone: see [`recheck`](Self::recheck) and
/// [`Now::wall`](crate::time::Now) of [`decided`](Self::decided).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct DelegationTarget {
    parts: Stored,
    /// Host of the name that is delegated to, or of the server name.
    host: Host,
}

/// What a target is made of; all else follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    pub(crate) server_name: ServerName,
    pub(crate) delegated: Option<ServerName>,
    pub(crate) step: Step,
    pub(crate) endpoints: Few<StoredEndpoint>,
    pub(crate) left_to_proxy: bool,
    pub(crate) degraded: Option<Degraded>,
    pub(crate) stale: bool,
    pub(crate) warnings: Box<[Warning]>,
    pub(crate) decided: Now,
    pub(crate) lifetimes: StoredLifetimes,
}

/// Why an answer is worse than it could be. It is held for 2 minutes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Degraded {
    /// The host is known to delegate, but its well-known could not be read this time.
    WellKnownLost,
    /// An SRV look-up failed, so that records may have been missed.
    SrvLookupFailed(Service),
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WellKnownLost => {
                f.write_str("the server is known to delegate, but its well-known cannot be read")
            }
            Self::SrvLookupFailed(service) => write!(f, "the SRV look-up of {service} failed"),
        }
    }
}

/// How long each part of an answer holds, counted from the moment it was decided. `None`: the
/// answer does not rest on such a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lifetimes {
    /// The well-known answer, good or bad.
    pub well_known: Option<Duration>,
    /// The SRV answers that decided.
    pub srv: Option<Duration>,
    /// The addresses.
    pub addresses: Option<Duration>,
    /// A bound on the whole that no part states: a degraded answer's.
    pub held: Option<Duration>,
}

impl Lifetimes {
    /// Returns the shortest of them; `None` where nothing ends.
    pub fn least(&self) -> Option<Duration> {
        [self.well_known, self.srv, self.addresses, self.held].into_iter().flatten().min()
    }
}

/// [`Lifetimes`] in half the room: in nanoseconds, of which `u64::MAX` is no end. What is longer
/// than they can say, 584 years, is the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Lifetimes", into = "Lifetimes")]
pub(crate) struct StoredLifetimes([u64; 4]);

impl From<Lifetimes> for StoredLifetimes {
    fn from(Lifetimes { well_known, srv, addresses, held }: Lifetimes) -> Self {
        let nanos = |lifetime: Duration| u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX);
        Self([well_known, srv, addresses, held].map(|lifetime| {
            lifetime.map_or(u64::MAX, |lifetime| nanos(lifetime).min(u64::MAX - 1))
        }))
    }
}

impl From<StoredLifetimes> for Lifetimes {
    fn from(stored: StoredLifetimes) -> Self {
        let lifetime = |nanos| (nanos != u64::MAX).then(|| Duration::from_nanos(nanos));
        let [well_known, srv, addresses, held] = stored.0.map(lifetime);
        Self { well_known, srv, addresses, held }
    }
}

/// A target that contradicts itself, found when one was deserialised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a target that a resolution can have: {0}")]
pub(crate) struct Contradiction(String);

impl TryFrom<Stored> for DelegationTarget {
    type Error = Contradiction;

    fn try_from(parts: Stored) -> Result<Self, Contradiction> {
        let contradiction = |why: &str| Contradiction(why.to_owned());
        if parts.step != Step::Fixed && parts.step.is_delegated() != parts.delegated.is_some() {
            return Err(contradiction("step and delegation disagree"));
        }
        let endpoints = parts.endpoints.as_slice();
        if endpoints.is_empty() || endpoints.len() > WeightedOrder::MOST {
            return Err(contradiction("there is no endpoint, or there are too many"));
        }
        if endpoints.iter().any(|endpoint| endpoint.port == 0) {
            return Err(contradiction("an endpoint has port 0"));
        }
        let name = parts.delegated.as_ref().unwrap_or(&parts.server_name);
        let host = name.to_host().map_err(|error| Contradiction(error.to_string()))?;
        if !endpoints.iter().all(|endpoint| fits(&parts, name, &host, endpoint)) {
            return Err(contradiction("an endpoint is not what the step says"));
        }
        if HeaderValue::from_str(name.as_str()).is_err() {
            return Err(contradiction("the name does not fit into a header"));
        }
        // One text for both, where both are one host.
        let shared = endpoints.iter().find(|endpoint| endpoint.host == host);
        let host = shared.map_or(host, |endpoint| endpoint.host.clone());
        Ok(Self { parts, host })
    }
}

/// Returns whether an endpoint is one that the step can lead to.
fn fits(parts: &Stored, name: &ServerName, host: &Host, endpoint: &StoredEndpoint) -> bool {
    let addresses = endpoint.addresses.as_slice();
    let alone = parts.endpoints.as_slice().len() == 1 && endpoint.host == *host;
    let with_addresses = addresses.is_empty() == parts.left_to_proxy;
    match parts.step {
        Step::Fixed => with_addresses,
        Step::IpLiteral | Step::DelegatedIpLiteral => {
            alone
                && endpoint.port == name.port().unwrap_or(DEFAULT_PORT)
                && host.as_ip().is_some_and(|address| addresses == [address])
        }
        _ if host.as_dns().is_none() => false,
        Step::ExplicitPort | Step::DelegatedPort => {
            alone && with_addresses && name.port() == Some(endpoint.port)
        }
        Step::DefaultPort | Step::DelegatedDefaultPort => {
            alone && with_addresses && name.port().is_none() && endpoint.port == DEFAULT_PORT
        }
        Step::Srv | Step::DeprecatedSrv | Step::DelegatedSrv | Step::DelegatedDeprecatedSrv => {
            with_addresses && name.port().is_none() && endpoint.host.as_dns().is_some()
        }
    }
}

impl From<DelegationTarget> for Stored {
    fn from(target: DelegationTarget) -> Self {
        target.parts
    }
}

/// Why a [`FixedTarget`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FixedTargetError {
    /// There is no address, or there are too many.
    #[error("a fixed target has 1 to {most} addresses")]
    Addresses {
        /// How many there may be.
        most: usize,
    },
    /// The port is 0.
    #[error("port 0 of {address} cannot be connected to")]
    Port {
        /// Of which address.
        address: IpAddr,
    },
    /// No host can be made of the name that `Host` and certificate name are taken from.
    #[error(transparent)]
    Unresolvable(UnresolvableName),
}

/// A target that the application sets itself, for a network of its own or for tests: no question
/// is asked for it.
///
/// ```
/// use matrix_delegation::FixedTarget;
///
/// // Connect there, but send `Host` and check the certificate as for the server name itself.
/// let fixed = FixedTarget::new(["127.0.0.1:8448".parse()?])?;
/// // The same with the certificate and the `Host` of another name.
/// let fixed = FixedTarget::new(["10.0.0.7:8448".parse()?])?.delegated_to("hs1.lan".parse()?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedTarget {
    addresses: Vec<SocketAddr>,
    delegated: Option<ServerName>,
}

impl FixedTarget {
    /// Pins a server to these addresses, which are tried in this order, whatever the address policy
    /// says. An error: there is none, there are more than 64, or one has port 0.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, FixedTargetError> {
        let addresses: Vec<_> = addresses.into_iter().take(WeightedOrder::MOST + 1).collect();
        if addresses.is_empty() || addresses.len() > WeightedOrder::MOST {
            return Err(FixedTargetError::Addresses { most: WeightedOrder::MOST });
        }
        match addresses.iter().find(|address| address.port() == 0) {
            Some(address) => Err(FixedTargetError::Port { address: address.ip() }),
            None => Ok(Self { addresses, delegated: None }),
        }
    }

    /// Takes `Host` and the certificate name from this name, as if a well-known had delegated to
    /// it. An error: no host can be made of it.
    pub fn delegated_to(mut self, name: ServerName) -> Result<Self, FixedTargetError> {
        name.to_host().map_err(FixedTargetError::Unresolvable)?;
        self.delegated = Some(name);
        Ok(self)
    }

    /// Returns the target for a server name, which never expires. An error: no host can be made of
    /// the name.
    ///
    /// ```
    /// use matrix_delegation::time::Now;
    /// use matrix_delegation::FixedTarget;
    ///
    /// let fixed = FixedTarget::new(["127.0.0.1:8448".parse()?])?;
    /// let target = fixed.target(&"dev.example".parse()?, Now::EPOCH)?;
    /// assert_eq!(target.to_string(), "dev.example: step fixed, connect to 127.0.0.1:8448; \
    ///     Host dev.example, certificate for dev.example");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn target(
        &self,
        name: &ServerName,
        decided: Now,
    ) -> Result<DelegationTarget, FixedTargetError> {
        name.to_host().map_err(FixedTargetError::Unresolvable)?;
        let endpoints = (0_u16..).zip(&self.addresses).map(|(priority, address)| StoredEndpoint {
            host: Host::Ip(address.ip()),
            port: address.port(),
            priority,
            weight: 0,
            origin: Origin::Fixed,
            addresses: Few::One(address.ip()),
        });
        DelegationTarget::try_from(Stored {
            server_name: name.clone(),
            delegated: self.delegated.clone(),
            step: Step::Fixed,
            endpoints: endpoints.collect::<Vec<_>>().into(),
            left_to_proxy: false,
            degraded: None,
            stale: false,
            warnings: Box::default(),
            decided,
            lifetimes: Lifetimes::default().into(),
        })
        // Its parts contradict each other in nothing that a target checks.
        .map_err(|_| FixedTargetError::Addresses { most: WeightedOrder::MOST })
    }
}

impl DelegationTarget {
    /// Returns the server name as asked.
    pub const fn server_name(&self) -> &ServerName {
        &self.parts.server_name
    }

    /// Returns the name that the well-known delegates to, if it does.
    pub const fn delegated(&self) -> Option<&ServerName> {
        self.parts.delegated.as_ref()
    }

    /// Returns the clause of the specification that decided.
    pub const fn step(&self) -> Step {
        self.parts.step
    }

    /// Returns why endpoints, `Host` and certificate name are what they are.
    pub const fn reasons(&self) -> Reasons {
        self.parts.step.reasons()
    }

    /// Returns every endpoint in canonical order: by priority, then weight descending, then name
    /// and port. To connect, use [`attempts`](Self::attempts).
    pub fn endpoints(
        &self,
    ) -> impl DoubleEndedIterator<Item = Endpoint<'_>>
    + ExactSizeIterator
    + FusedIterator
    + Clone
    + fmt::Debug {
        self.parts.endpoints.as_slice().iter().map(StoredEndpoint::view)
    }

    /// Returns an order to try the endpoints in, drawn by `seed`: by priority, and within one
    /// priority by weight (RFC 2782 selects anew for each contact). It allocates nothing.
    ///
    /// Use another seed for each contact, or the same endpoint is always first; a counter will do.
    pub fn attempts(&self, seed: u64) -> Attempts<'_> {
        self.attempts_but(seed, 0)
    }

    /// Returns the endpoints in an order to try them, with those in the bit mask `last` after all
    /// others.
    pub(crate) fn attempts_but(&self, seed: u64, last: u64) -> Attempts<'_> {
        let endpoints = self.parts.endpoints.as_slice();
        Attempts { endpoints, order: WeightedOrder::new(endpoints.len(), seed), last }
    }

    /// Returns the bytes of `Host` (HTTP/1.1) or `:authority` (HTTP/2).
    pub fn host_header(&self) -> HeaderValue {
        // Cannot fail: it was tried when the target was made.
        HeaderValue::from_str(self.authority()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Returns the value of `Host` as text.
    pub fn authority(&self) -> &str {
        self.name().as_str()
    }

    /// Returns the name for SNI and for the certificate check; DNS names in lower case.
    pub fn tls_name(&self) -> TlsName<'_> {
        self.host.tls_name()
    }

    /// Returns the host that [`tls_name`](Self::tls_name) is made of, for people.
    pub const fn tls_host(&self) -> &Host {
        &self.host
    }

    /// Returns whether the endpoints carry no addresses because a proxy looks their hosts up
    /// ([`crate::config::AddressFamilies::ByProxy`]).
    pub const fn is_left_to_proxy(&self) -> bool {
        self.parts.left_to_proxy
    }

    /// Returns why the answer is worse than it could be, if it is.
    pub const fn degraded(&self) -> Option<Degraded> {
        self.parts.degraded
    }

    /// Returns whether the answer rests on something that has outlived its lifetime and could not
    /// be renewed.
    pub const fn is_stale(&self) -> bool {
        self.parts.stale
    }

    /// Returns what an administrator should look at.
    pub fn warnings(
        &self,
    ) -> impl DoubleEndedIterator<Item = &Warning> + ExactSizeIterator + FusedIterator + Clone + fmt::Debug
    {
        self.parts.warnings.iter()
    }

    /// Returns when it was decided.
    pub const fn decided(&self) -> Now {
        self.parts.decided
    }

    /// Returns how long each part holds, counted from [`decided`](Self::decided).
    pub fn lifetimes(&self) -> Lifetimes {
        self.parts.lifetimes.into()
    }

    /// Returns the time at which the answer expires; `None` where nothing ends (step 1).
    pub fn until(&self) -> Option<Monotonic> {
        self.lifetimes().least().map(|least| self.parts.decided.monotonic + least)
    }

    /// Returns whether the answer holds at this time.
    pub fn is_fresh(&self, now: Monotonic) -> bool {
        self.until().is_none_or(|until| now < until)
    }

    /// Returns whether a policy lets every address through; if not, the first that it does not and
    /// why. For targets that were stored and read again.
    pub fn recheck(&self, policy: &AddressPolicy) -> Result<(), (IpAddr, BlockedRange)> {
        self.parts
            .endpoints
            .as_slice()
            .iter()
            .flat_map(|endpoint| endpoint.addresses.as_slice())
            .try_for_each(|address| policy.check(*address).map_err(|range| (*address, range)))
    }

    fn name(&self) -> &ServerName {
        self.parts.delegated.as_ref().unwrap_or(&self.parts.server_name)
    }
}

impl fmt::Display for DelegationTarget {
    /// Writes one line for people:
    /// `a.example: step 3.3, connect to fed.example:443, Host m.example, ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: step {}, connect to ", self.server_name(), self.step())?;
        write_list(f, self.endpoints(), ", ")?;
        write!(f, "; Host {}, certificate for {}", self.authority(), self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> impl Iterator<Item = SocketAddr> {
        (1..=count).map(|port| SocketAddr::new([10, 0, 0, 1].into(), port))
    }

    #[test]
    fn a_fixed_target_has_its_addresses_in_their_order_and_no_end() {
        let name: ServerName = "A.example:7".parse().unwrap();
        let target = FixedTarget::new(addresses(64)).unwrap().target(&name, Now::EPOCH).unwrap();
        assert_eq!((target.step(), target.until()), (Step::Fixed, None));
        assert_eq!(
            (target.authority(), target.tls_host().to_string().as_str()),
            ("A.example:7", "a.example")
        );
        for seed in 0..9 {
            let attempts = target.attempts(seed).take(WeightedOrder::MOST + 1);
            let ports: Vec<u16> = attempts.map(Endpoint::port).collect();
            assert_eq!(ports, (1..=64).collect::<Vec<_>>());
        }
        let endpoint = target.endpoints().nth(2).unwrap();
        assert_eq!(endpoint.addresses().collect::<Vec<_>>(), ["10.0.0.1:3".parse().unwrap()]);
        assert_eq!((endpoint.origin(), endpoint.weight()), (Origin::Fixed, 0));
        let json = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<DelegationTarget>(&json).unwrap(), target);
        assert!(serde_json::from_str::<DelegationTarget>(&json.replace("10.0.0.1", "")).is_err());
        let literal = FixedTarget::new(addresses(1)).unwrap();
        let target = literal.target(&"192.0.2.1".parse().unwrap(), Now::EPOCH).unwrap();
        assert_eq!(target.authority(), "192.0.2.1");
    }

    #[test]
    fn a_fixed_target_may_bear_another_name() {
        let fixed = FixedTarget::new(addresses(1)).unwrap();
        let fixed = fixed.delegated_to("Hs.example:99".parse().unwrap()).unwrap();
        let target = fixed.target(&"a.example".parse().unwrap(), Now::EPOCH).unwrap();
        assert_eq!(
            (target.authority(), target.server_name().as_str()),
            ("Hs.example:99", "a.example")
        );
        assert_eq!(target.tls_host().to_string(), "hs.example");
        assert_eq!(target.delegated().map(ServerName::as_str), Some("Hs.example:99"));
    }

    #[test]
    fn a_fixed_target_that_leads_nowhere_is_refused() {
        let too = FixedTargetError::Addresses { most: 64 };
        assert_eq!(FixedTarget::new(addresses(0)), Err(too.clone()));
        assert_eq!(FixedTarget::new(addresses(65)), Err(too));
        let zero = FixedTarget::new(["10.0.0.1:0".parse().unwrap()]);
        assert_eq!(zero, Err(FixedTargetError::Port { address: [10, 0, 0, 1].into() }));
        let fixed = FixedTarget::new(addresses(1)).unwrap();
        let nowhere: ServerName = "127.1".parse().unwrap();
        let unresolvable = FixedTargetError::Unresolvable(nowhere.to_host().unwrap_err());
        assert_eq!(fixed.target(&nowhere, Now::EPOCH), Err(unresolvable.clone()));
        assert_eq!(fixed.delegated_to(nowhere), Err(unresolvable));
    }

    #[test]
    fn endpoints_that_failed_come_after_all_others() {
        let name = "a.example".parse().unwrap();
        let target = FixedTarget::new(addresses(4)).unwrap().target(&name, Now::EPOCH).unwrap();
        let order = |last| target.attempts_but(1, last).map(Endpoint::port).collect::<Vec<_>>();
        assert_eq!(order(0b0000), [1, 2, 3, 4]);
        assert_eq!(order(0b0001), [2, 3, 4, 1]);
        assert_eq!(order(0b1010), [1, 3, 2, 4]);
        assert_eq!(order(0b1111), [1, 2, 3, 4]);
        assert_eq!(target.attempts_but(1, 0b0001).len(), 4);
    }

    #[test]
    fn a_fixed_step_says_why() {
        let reasons = Step::Fixed.reasons();
        assert!(reasons.endpoints.contains("rule") && reasons.host_header.contains("rule"));
        assert!(reasons.tls_name.contains("rule"));
        assert_eq!(Step::Fixed.to_string(), "fixed");
        assert!(!Step::ALL.contains(&Step::Fixed) && !Step::Fixed.is_delegated());
    }
}
