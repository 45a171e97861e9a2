//! How often the heap is asked for memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use allocation_counter::measure;
use matrix_delegation::ServerName;

const NAMES: [&str; 6] =
    ["a.example", "A.example:8448", "1.2.3.4:80", "[2001:db8::7]", "[::1]:00001", "127.1"];
const OTHERS: [&str; 8] =
    ["", "a b", ":80", "::1", "[::1", "a.example:0", "a.example:100000", "b\u{fc}cher.example"];

#[test]
fn a_name_is_one_allocation() {
    for name in NAMES {
        let mut parsed = None;
        let count = measure(|| parsed = Some(ServerName::parse(name))).count_total;
        assert_eq!(count, 1, "{name}");
        let name = parsed.unwrap().unwrap();
        let count = measure(|| {
            let copy = name.clone();
            assert_eq!(copy.host(), name.host());
            assert_eq!(copy.host_str(), name.host_str());
        });
        assert_eq!(count.count_total, 0, "{name}");
    }
}

#[test]
fn a_name_from_a_string_is_one_allocation_more() {
    for name in NAMES {
        let mut owned = Some(name.to_owned());
        let counts = measure(|| drop(ServerName::try_from(owned.take().unwrap())));
        assert_eq!(counts.count_total, 1, "{name}");
    }
}

#[test]
fn a_refusal_is_one_at_most() {
    let long = "a".repeat(1_000_000);
    for name in OTHERS.into_iter().chain([long.as_str()]) {
        let counts = measure(|| assert!(ServerName::parse(name).is_err()));
        assert!(counts.count_total <= 1 && counts.bytes_total <= 255, "{name:.20}");
    }
}

/// A remembered answer and an order to try its endpoints in cost nothing.
#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_remembered_answer_allocates_nothing() {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use matrix_delegation::{Config, Resolver, TokioRuntime};

    #[derive(Debug)]
    struct Nobody;
    impl matrix_delegation::Dns for Nobody {
        fn lookup(
            &self,
            _: matrix_delegation::dns::DnsQuestion,
        ) -> matrix_delegation::resolver::BoxFuture<'_, matrix_delegation::dns::DnsAnswer> {
            Box::pin(std::future::pending())
        }
    }
    impl matrix_delegation::WellKnownFetch for Nobody {
        fn fetch(
            &self,
            _: matrix_delegation::well_known::Fetch,
        ) -> matrix_delegation::resolver::BoxFuture<
            '_,
            Result<
                http::Response<matrix_delegation::well_known::Body>,
                matrix_delegation::well_known::FetchFailure,
            >,
        > {
            Box::pin(std::future::pending())
        }
    }

    let runtime = Arc::new(TokioRuntime::current());
    let resolver =
        Resolver::new(Arc::new(Nobody), Arc::new(Nobody), runtime, Config::default()).unwrap();
    let name = "1.1.1.1".parse().unwrap();
    resolver.resolve(&name).await.unwrap();
    let mut endpoints = 0;
    let info = measure(|| {
        let found = resolver.cached(&name).unwrap();
        for endpoint in found.attempts(7) {
            endpoints += endpoint.addresses().count();
        }
        assert!(found.lifetime().is_none());
    });
    assert_eq!((endpoints, info.count_total), (1, 0));
    // Nor does one who would wait for it.
    let info = measure(|| {
        let found = std::pin::pin!(resolver.resolve(&name)).now_or_never();
        assert!(found.is_some_and(|found| found.is_ok()));
    });
    assert_eq!(info.count_total, 0);
}
