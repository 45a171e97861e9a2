//! A scripted internet behind the traits of the resolver.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Response;

use super::internet::Internet;
use super::virtual_time::VirtualTime;
use crate::core::dns::{DnsAnswer, DnsQuestion};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::{Body, Fetch, FetchFailure};
use crate::resolver::Resolver;
use crate::resolver::builder::ResolverBuilder;
use crate::resolver::config::ResolverConfig;
use crate::resolver::traits::{Dns, WellKnownFetch};
use crate::runtime::{BoxFuture, Runtime};

/// An [`Internet`] behind [`Dns`], [`WellKnownFetch`] and [`Runtime`], for code that is built on a
/// [`Resolver`]. The answers can be changed at any time. Clones share one network.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::resolver::Provenance;
/// use matrix_delegation::Config;
/// use matrix_delegation::testing::{Internet, Network};
///
/// let internet = Internet::new()
///     .host("a.example", &["192.0.2.1", "2001:db8::1"])
///     .delegates("a.example", "a.example:443");
/// let network = Network::new(internet);
/// let resolver = network.resolver(Config::default());
/// let name = "a.example".parse()?;
///
/// let found = network.time().block_on(resolver.resolve(&name))?;
/// assert_eq!(found.step().to_string(), "3.2");
/// // The addresses have expired, the delegation has not.
/// network.time().advance(Duration::from_secs(301));
/// network.clear_asked();
/// network.time().block_on(resolver.resolve(&name))?;
/// assert_eq!(network.asked(), ["A a.example", "AAAA a.example"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Network {
    shared: Arc<Mutex<Shared>>,
    time: VirtualTime,
    /// The runtime that delays answers.
    runtime: Arc<dyn Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    internet: Internet,
    asked: Vec<(Monotonic, String)>,
    open: usize,
    panics: Option<String>,
}

/// The most questions that a [`Network`] records.
const MOST_NOTED: usize = 1_000_000;

impl Network {
    /// Creates a network on a [`VirtualTime`] of its own.
    pub fn new(internet: Internet) -> Self {
        Self::with_time(internet, VirtualTime::new())
    }

    /// Creates a network on a [`VirtualTime`] that others may share.
    pub fn with_time(internet: Internet, time: VirtualTime) -> Self {
        Self { time: time.clone(), ..Self::on_runtime(internet, Arc::new(time)) }
    }

    /// Creates a network on another runtime, such as tokio's with its clock paused. Then
    /// [`time`](Self::time) has no effect.
    pub fn on_runtime(internet: Internet, runtime: Arc<dyn Runtime>) -> Self {
        let shared = Shared { internet, ..Shared::default() };
        Self { shared: Arc::new(Mutex::new(shared)), time: VirtualTime::new(), runtime }
    }

    /// Returns a resolver that asks this network and uses its time. The ranges for documentation are
    /// allowed.
    ///
    /// # Panics
    ///
    /// If the configuration has a problem ([`ResolverConfig::check`]).
    pub fn resolver(&self, config: impl Into<ResolverConfig>) -> Resolver {
        match self.builder(config).build() {
            Ok(resolver) => resolver,
            Err(error) => panic!("the configuration cannot work:\n{error}"),
        }
    }

    /// Returns the builder of such a resolver, to add a store or rules.
    pub fn builder(&self, config: impl Into<ResolverConfig>) -> ResolverBuilder {
        let mut config = config.into();
        config.discovery = super::documentation_allowed(config.discovery);
        let network = Arc::new(self.clone());
        Resolver::builder(Arc::clone(&network) as _, network, Arc::clone(&self.runtime))
            .config(config)
            .seed(1)
    }

    /// Returns the virtual time.
    pub const fn time(&self) -> &VirtualTime {
        &self.time
    }

    /// Replaces the internet. Questions that are open keep their answers.
    pub fn set(&self, internet: Internet) {
        self.shared().internet = internet;
    }

    /// Changes the internet. Questions that are open keep their answers.
    pub fn change(&self, change: impl FnOnce(Internet) -> Internet) {
        let internet = self.shared().internet.clone();
        self.set(change(internet));
    }

    /// Lets the adapter panic when it is asked this question, without output on the terminal.
    pub fn panic_at(&self, question: Option<&str>) {
        self.shared().panics = question.map(str::to_owned);
    }

    /// Returns the questions since the last [`clear_asked`](Self::clear_asked), in the order asked, as
    /// they are shown: `A a.example`, `GET https://...`. At most the first million.
    pub fn asked(&self) -> Vec<String> {
        self.shared().asked.iter().map(|(_, question)| question.clone()).collect()
    }

    /// Returns the questions since the last [`clear_asked`](Self::clear_asked), with the time of each.
    pub fn asked_when(&self) -> Vec<(Monotonic, String)> {
        self.shared().asked.clone()
    }

    /// Forgets the questions that were asked.
    pub fn clear_asked(&self) {
        self.shared().asked.clear();
    }

    /// Returns the number of questions that are open.
    pub fn open(&self) -> usize {
        self.shared().open
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a question, and returns its answer after its delay.
    async fn ask<T>(&self, question: String, answer: impl FnOnce(&Internet) -> T) -> T {
        let now = self.runtime.now();
        let (answer, delay) = {
            let mut shared = self.shared();
            let panics = shared.panics.as_deref() == Some(question.as_str());
            let said = (answer(&shared.internet), shared.internet.delay(&question));
            if shared.asked.len() < MOST_NOTED {
                shared.asked.push((now.monotonic, question));
            }
            drop(shared);
            if panics {
                // Without the panic hook, which would print each.
                std::panic::resume_unwind(Box::new("scripted"));
            }
            said
        };
        self.shared().open += 1;
        let _open = OpenQuestion(self);
        match delay {
            Some(delay) => self.runtime.sleep_until(now.monotonic + delay).await,
            None => std::future::pending().await,
        }
        answer
    }
}

/// Counts a question as open until this is dropped.
struct OpenQuestion<'a>(&'a Network);

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        self.0.shared().open -= 1;
    }
}

impl Dns for Network {
    fn lookup(&self, question: DnsQuestion) -> BoxFuture<'_, DnsAnswer> {
        let shown = question.to_string();
        Box::pin(self.ask(shown, move |internet| internet.dns_answer(&question)))
    }
}

impl WellKnownFetch for Network {
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Response<Body>, FetchFailure>> {
        let url = fetch.request.uri().to_string();
        let most = fetch.limits.body_bytes;
        Box::pin(self.ask(format!("GET {url}"), move |internet| internet.response(&url, most)))
    }
}

impl Runtime for Network {
    fn now(&self) -> Now {
        self.runtime.now()
    }

    fn monotonic(&self) -> Monotonic {
        self.runtime.monotonic()
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<'static, ()> {
        self.runtime.sleep_until(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared();
        f.debug_struct("Network")
            .field("time", &self.time)
            .field("asked", &shared.asked.len())
            .field("open", &shared.open)
            .finish_non_exhaustive()
    }
}
