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
fn a_refusal_is_none() {
    let long = "a".repeat(1_000_000);
    for name in OTHERS.into_iter().chain([long.as_str()]) {
        let counts = measure(|| assert!(ServerName::parse(name).is_err()));
        assert_eq!(counts.count_total, 0, "{name:.20}");
    }
}
