//! Two workers of one homeserver, one Redis: what one learns, the other knows.
//!
//! Each worker has a resolver with a memory of its own and a store on the same server. The first
//! resolves a few names; the second then asks for no well-known, nor does the first after a
//! restart. DNS and HTTPS are those of an internet that this program brings along, as in `tour`.
//!
//! ```sh
//! cargo run --example fleet --features full                            # starts a Redis of its own
//! cargo run --example fleet --features full -- redis://127.0.0.1:6379  # uses this one
//! ```
//!
//! A server that is given keeps nothing: the keys carry a prefix for this run, and are deleted. It
//! ends with status 1 if anything is not as described.

#[path = "support/internet/mod.rs"]
mod internet;
#[path = "support/redis_server.rs"]
mod redis_server;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use internet::Internet;
use internet::check::config;
use internet::scenarios;
use matrix_delegation::adapters::RedisStoreError;
use matrix_delegation::{
    HickoryDns, HyperFetch, RedisStore, Resolver, ResolverConfig, TokioRuntime, TrustedRoots,
};
use redis::aio::MultiplexedConnection;
use redis_server::RedisServer;
use tokio::time::{sleep, timeout};

/// Those that delegate, and one whose well-known is missing: its back-off is shared, too.
const NAMES: [&str; 6] = [
    "step-3-1.example",
    "step-3-2.example",
    "step-3-3.example",
    "step-3-4.example",
    "step-3-5.example",
    "step-4.example",
];

/// Nobody waits for the store to take what was learnt, but this program does, for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two workers of one homeserver, one Redis: what one learns, the other knows.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 if all is as described, 1 if not, 2 for bad usage."
)]
struct Arguments {
    /// The server to use, such as <redis://127.0.0.1:6379>; without one, it starts its own.
    url: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, Box<dyn Error>> {
    let given = Arguments::parse().url;
    // It ends with this function.
    let own = if given.is_none() { own_server()? } else { None };
    let Some(url) = given.or_else(|| own.as_ref().map(RedisServer::url)) else {
        println!(
            "There is neither redis-server nor valkey-server here. Install one of them (on Debian: \
             apt-get install redis-server), or give the URL of a server:\n\n    \
             cargo run --example fleet --features full -- redis://127.0.0.1:6379\n"
        );
        return Ok(true);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let prefix = format!("matrix-delegation:fleet:{}-{now}:", std::process::id());
    // Without the URL, which may hold a password.
    let cannot = |error| format!("cannot connect to Redis: {error}");
    let client = redis::Client::open(url.as_str()).map_err(cannot)?;
    let connection = client.get_multiplexed_async_connection().await.map_err(cannot)?;
    let mut fleet =
        Fleet { internet: scenarios::internet().start().await, url, prefix, connection };
    let kind = if own.is_some() { "started for this run" } else { "given" };
    println!("Redis, {kind}: {:?}\n", fleet.store()?);

    let shown = fleet.show().await;
    let mut delete = redis::cmd("DEL");
    delete.arg(fleet.keys());
    let () = delete.query_async(&mut fleet.connection).await?;
    shown
}

fn own_server() -> std::io::Result<Option<RedisServer>> {
    let redis = RedisServer::start("redis-server")?;
    if redis.is_some() { Ok(redis) } else { RedisServer::start("valkey-server") }
}

struct Fleet {
    internet: Internet,
    url: String,
    prefix: String,
    /// To look at what the workers leave there.
    connection: MultiplexedConnection,
}

impl Fleet {
    async fn show(&mut self) -> Result<bool, Box<dyn Error>> {
        let first = self.worker()?;
        let learning = self.resolve_all("worker 1, which begins", &first).await?;
        let Ok(done) = timeout(PATIENCE, self.all_is_stored()).await else {
            print_counters("worker 1", &first);
            return Err("the store does not have all that worker 1 learnt".into());
        };
        done?;

        let second = self.worker()?;
        let second_asked = self.resolve_all("worker 2, which begins later", &second).await?;
        print_counters("worker 1", &first);
        drop(first);
        print_counters("worker 2", &second);
        println!();

        let first = self.worker()?;
        let again = self.resolve_all("worker 1, started again", &first).await?;
        print_counters("worker 1, started again", &first);
        print_counters("worker 2", &second);
        println!();

        let as_described = learning > 0 && second_asked == 0 && again == 0;
        let verdict = if as_described {
            "Each well-known was asked for by one worker, once."
        } else {
            "WRONG: a worker asked for what the store had."
        };
        println!("{verdict}");
        Ok(as_described)
    }

    /// Each worker has a connection of its own.
    fn store(&self) -> Result<RedisStore, RedisStoreError> {
        Ok(RedisStore::new(&self.url)?.prefix(self.prefix.as_str()))
    }

    /// A resolver as each worker has it, with an empty memory.
    fn worker(&self) -> Result<Resolver, Box<dyn Error>> {
        let roots = TrustedRoots::only_added().with_certificate(self.internet.ca_der());
        let fetch = HyperFetch::with_roots(roots)?.with_dial(Arc::new(self.internet.routes()));
        let dns = HickoryDns::with_servers([self.internet.dns_address()])?;
        let runtime = Arc::new(TokioRuntime::current());
        let mut config = ResolverConfig::from(config());
        // An outcome that the store does not take in time is not shared; that a machine is busy is
        // not what is shown here.
        config.store.timeout = PATIENCE;
        Ok(Resolver::builder(Arc::new(dns), Arc::new(fetch), runtime)
            .config(config)
            .store(Arc::new(self.store()?))
            .build()?)
    }

    /// Resolves all names and prints where they lead; how many requests were made for it.
    async fn resolve_all(&self, who: &str, resolver: &Resolver) -> Result<usize, Box<dyn Error>> {
        println!("{who}:");
        self.internet.clear_logs();
        for name in NAMES {
            let before = self.internet.requests().len();
            let found = resolver.resolve(&name.parse()?).await?;
            let asked = self.internet.requests().len() > before;
            let source = if asked { "asked for" } else { "from the store" };
            let (step, host) = (found.step().to_string(), found.authority());
            println!("    {name}  step {step:3}  Host {host:26}  well-known {source}");
        }
        let requests = self.internet.requests().len();
        let questions = self.internet.questions().len();
        println!("    {requests} HTTPS requests, {questions} DNS questions\n");
        Ok(requests)
    }

    fn keys(&self) -> Vec<String> {
        NAMES.iter().map(|name| format!("{}{name}", self.prefix)).collect()
    }

    /// Waits until all of it can be found by others.
    async fn all_is_stored(&mut self) -> redis::RedisResult<()> {
        let mut exist = redis::cmd("EXISTS");
        exist.arg(self.keys());
        while exist.query_async::<usize>(&mut self.connection).await? < NAMES.len() {
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

fn print_counters(who: &str, resolver: &Resolver) {
    let counters = resolver.counters();
    println!(
        "{who}: store hits {}, misses {}, rejected {}, failures {}; well-knowns asked for {}",
        counters.store_hits,
        counters.store_misses,
        counters.store_rejected,
        counters.store_failures,
        counters.queries.well_known.total(),
    );
}
