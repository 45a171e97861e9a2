//! A scripted internet behind the traits of the resolver.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Response;

use super::internet::Internet;
use super::virtual_time::VirtualTime;
use crate::core::dns::{DnsAnswer, DnsQuestion};
use crate::core::time::{Monotonic, Now};
use crate::core::well_known::fetch::{Body, Fetch, FetchFailure};
use crate::resolver::Resolver;
use crate::resolver::builder::ResolverBuilder;
use crate::resolver::config::ResolverConfig;
use crate::resolver::traits::{Dns, WellKnownFetch};
use crate::runtime::{BoxFuture, Runtime};

/// An [`Internet`] behind [`Dns`], [`WellKnownFetch`] and [`Runtime`], for code that is built on a
/// [`Resolver`]. What is answered can be changed on the way. Cloning it is cheap; clones are one.
///
/// ```
/// use std::time::Duration;
/// use matrix_delegation::{Config, Provenance};
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
/// // The addresses have run out, the delegation has not.
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
    /// What the traits sleep by.
    runtime: Arc<dyn Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    internet: Internet,
    asked: Vec<(Monotonic, String)>,
    open: usize,
    panics: Option<String>,
}

/// What a [`Network`] notes at most.
const MOST_NOTED: usize = 1_000_000;

impl Network {
    /// On a [`VirtualTime`] of its own.
    pub fn new(internet: Internet) -> Self {
        Self::with_time(internet, VirtualTime::new())
    }

    /// On this time, which others may share.
    pub fn with_time(internet: Internet, time: VirtualTime) -> Self {
        let runtime = Arc::new(time.clone());
        Self { shared: shared(internet), time, runtime }
    }

    /// On another runtime, such as tokio's with its clock paused; [`time`](Self::time) is of no use
    /// then.
    pub fn on_runtime(internet: Internet, runtime: Arc<dyn Runtime>) -> Self {
        Self { shared: shared(internet), time: VirtualTime::new(), runtime }
    }

    /// A resolver that asks this network and lives by its time. The ranges for documentation are
    /// let through.
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

    /// The same with more to say: a store, rules.
    pub fn builder(&self, config: impl Into<ResolverConfig>) -> ResolverBuilder {
        let mut config = config.into();
        config.discovery = super::documentation_allowed(config.discovery);
        let network = Arc::new(self.clone());
        Resolver::builder(Arc::clone(&network) as _, network, Arc::clone(&self.runtime))
            .config(config)
            .seed(1)
    }

    /// The virtual time.
    pub const fn time(&self) -> &VirtualTime {
        &self.time
    }

    /// From now on this is what is answered; answers on their way stay what they are.
    pub fn set(&self, internet: Internet) {
        self.shared().internet = internet;
    }

    /// Changes what is answered from now on.
    pub fn change(&self, change: impl FnOnce(Internet) -> Internet) {
        let internet = self.shared().internet.clone();
        let changed = change(internet);
        self.set(changed);
    }

    /// Whoever asks this question panics, as an adapter with a bug does, but without a word on the
    /// terminal.
    pub fn panic_at(&self, question: Option<&str>) {
        self.shared().panics = question.map(str::to_owned);
    }

    /// Every question since the last [`clear_asked`](Self::clear_asked), in the order asked, as
    /// questions are shown: `A a.example`, `GET https://...`; the first million of them.
    pub fn asked(&self) -> Vec<String> {
        self.shared().asked.iter().map(|(_, question)| question.clone()).collect()
    }

    /// The same with when it was.
    pub fn asked_when(&self) -> Vec<(Monotonic, String)> {
        self.shared().asked.clone()
    }

    /// Forgets what was asked.
    pub fn clear_asked(&self) {
        self.shared().asked.clear();
    }

    /// How many questions are being answered.
    pub fn open(&self) -> usize {
        self.shared().open
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question, and says what `answer` makes of it after as long as that takes.
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
        let _open = Open::new(self);
        match delay {
            Some(delay) => self.runtime.sleep_until(now.monotonic + delay).await,
            None => std::future::pending().await,
        }
        answer
    }
}

fn shared(internet: Internet) -> Arc<Mutex<Shared>> {
    Arc::new(Mutex::new(Shared { internet, ..Shared::default() }))
}

/// Counts a question that is being answered, until it is answered or given up.
struct Open<'a>(&'a Network);

impl<'a> Open<'a> {
    fn new(network: &'a Network) -> Self {
        network.shared().open += 1;
        Self(network)
    }
}

impl Drop for Open<'_> {
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
