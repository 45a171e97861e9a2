//! The scripted internet, in virtual time: only waiting takes any.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use matrix_delegation::error::Blame;
use matrix_delegation::testing::{Internet, Network};
use matrix_delegation::{AddressPolicy, ResolverConfig, Runtime, Step};

use super::{EACH, HEADING, HOSTILE, Hostile, NAMES, Outcome, names};

/// The numbers of sockets that may be open: the default, and a quarter of some limits on descriptors.
const SOCKETS: [usize; 3] = [65_536, 5_000, 256];

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Adds what is behind a name. Round trips take 10 to 50 ms to DNS, and three times that to the web server.
fn add(internet: Internet, number: usize, name: &str) -> Internet {
    let address = format!("127.{}.{}.{}", 1 + number / 65_536, number / 256 % 256, number % 256);
    let target = format!("m.{name}");
    let url = format!("https://{name}/.well-known/matrix/server");
    let mut internet = internet.host(name, &[&address]).host(&target, &[&address]);
    internet = internet.delegates(name, &target);
    let is = |way: Hostile| name.starts_with(way.label());
    let odd = u64::try_from(number * 7919 % 40).unwrap();
    for host in [name, &target] {
        for question in ["A ", "AAAA ", "SRV _matrix-fed._tcp.", "SRV _matrix._tcp."] {
            let question = format!("{question}{host}");
            internet = if is(Hostile::Dns) {
                internet.never(&question)
            } else {
                internet.after(&question, millis(10 + odd))
            };
        }
    }
    let fetch = format!("GET {url}");
    if is(Hostile::Silent) || is(Hostile::Drip) {
        return internet.never(&fetch);
    }
    if !is(Hostile::Redirect) {
        return internet.after(&fetch, millis(30 + 3 * odd));
    }
    let page = |hop: usize| if hop == 0 { url.clone() } else { format!("https://{name}/{hop}") };
    (0..10).fold(internet, |internet, hop| {
        let to = page(hop + 1);
        let internet = internet.page(&page(hop), 302, &[("location", &to)], "");
        internet.after(&format!("GET {}", page(hop)), millis(4000))
    })
}

/// Resolves names at once, with so many sockets.
pub(super) fn run(all: usize, hostile: usize, ways: &[Hostile], sockets: usize) -> Outcome {
    let names = names(all, hostile, ways);
    let numbered = names.iter().enumerate();
    let internet = numbered.fold(Internet::new(), |it, (number, (name, _))| add(it, number, name));
    let network = Network::new(internet);
    let mut config = ResolverConfig::default();
    config.discovery.address_policy = AddressPolicy::unrestricted();
    config.sockets.most = sockets;
    let (resolver, time) = (network.resolver(config), network.time().clone());
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let calls = names.into_iter().map(|(name, is_healthy)| {
        let (resolver, time, outcome) = (resolver.clone(), time.clone(), Arc::clone(&outcome));
        async move {
            let begun = time.now().monotonic;
            let found = resolver.resolve(&name.parse().unwrap()).await;
            if is_healthy {
                let took = time.now().monotonic.since(begun);
                let way = found
                    .map(|it| it.step() == Step::DelegatedDefaultPort && it.degraded().is_none())
                    .map_err(|error| error.blame() == Blame::Local);
                outcome.lock().unwrap().add(took, way);
            }
        }
    });
    network.time().block_on(join_all(calls));
    let outcome = outcome.lock().unwrap().clone();
    outcome.sorted()
}

/// Prints what becomes of healthy names alone and among hostile ones.
pub(super) fn compare() {
    println!("In the scripted internet, {NAMES} names at once, {HOSTILE} of them hostile:\n");
    for sockets in SOCKETS {
        let alone = run(NAMES - HOSTILE, 0, &[], sockets);
        println!("{sockets:>6} sockets{:<9}{HEADING}  ratio\n{:<22}{alone}", "", "  alone");
        for ways in EACH.chunks(1).chain([&EACH[..]]) {
            let outcome = run(NAMES, HOSTILE, ways, sockets);
            let label = if let [way] = ways { way.label() } else { "mixed" };
            println!("  {label:<20}{outcome} {:>6.2}", outcome.ratio(&alone));
        }
    }
    println!();
}
