//! No name breaks out of its place in a configuration.

use clap::ValueEnum;
use matrix_delegation::ServerName;
use matrix_delegation::plan::{Listening, NamePattern, Setup, WayKind};
use matrix_delegation::testing::strategies::server_names;
use proptest::prelude::*;

use crate::client::policy;
use crate::proxies::{Options, Program, SafePath, configuration};

#[test]
fn what_means_something_to_a_server_is_refused_before_it_gets_there() {
    for bad in [
        "a.example;",
        "a.example}",
        "a.example{",
        "a.example'",
        "a.example\"",
        "a.example`",
        "a.example $x",
        "a.example\n",
        "a.example #",
        "a.example\\",
        "${HOME}",
        "%{HTTP_HOST}",
        "a.example/../b",
        "<a>",
        "a.example\r",
        "a\tb",
        "a.example\0",
        "ä.example",
    ] {
        assert!(bad.parse::<ServerName>().is_err(), "{bad:?}");
        assert!(bad.parse::<NamePattern>().is_err(), "{bad:?}");
        assert!(format!("{bad}:443").parse::<Listening>().is_err(), "{bad:?}");
        let path = format!("/etc/{bad}");
        let harmless = ["a.example/../b"].contains(&bad);
        assert_eq!(path.parse::<SafePath>().is_ok(), harmless, "{path:?}");
    }
    assert!("etc/relative".parse::<SafePath>().is_err());
}

/// To HAProxy `-f` reads a file, and to nginx a dot in front is a wildcard.
#[test]
fn server_names_that_are_no_hosts_get_no_configuration() {
    for odd in ["-f", "-i.example", ".example", "a..example", "a.example.", "127.1"] {
        let setup = Setup::new(odd.parse().unwrap(), "a.example:443".parse().unwrap())
            .with_certificate_names(["a.example".parse().unwrap()]);
        assert!(setup.plan().recommended().is_none(), "{odd}");
        assert!(odd.parse::<NamePattern>().is_err(), "{odd}");
        assert!(format!("{odd}:443").parse::<Listening>().is_err(), "{odd}");
    }
}

proptest! {
    /// Whatever the names, each stands where a plain one stands.
    #[test]
    fn every_configuration_has_the_shape_of_a_plain_one(
        name in server_names(),
        host in server_names(),
        port in 1_u16..,
    ) {
        let (Ok(host), Ok(own)) = (host.to_host(), name.to_host()) else { return Ok(()) };
        let setup = Setup::new(name, Listening::new(host.clone(), port))
            .with_certificate_names([host.clone().into(), own.clone().into()])
            .with_address_policy(policy());
        let plan = setup.plan();
        for kind in WayKind::ALL {
            let Some(way) = plan.proposal(kind).way() else { continue };
            for program in Program::value_variants() {
                let options = Options::new(Listening::new(host.clone(), port));
                let text = configuration(*program, way, &options).unwrap();
                let mut depth = 0_i32;
                for byte in text.bytes() {
                    prop_assert!(byte == b'\n' || byte == b'\t' || (b' '..=b'~').contains(&byte));
                    depth += i32::from(byte == b'{') - i32::from(byte == b'}');
                    prop_assert!(depth >= 0, "{text}");
                }
                prop_assert_eq!(depth, 0, "{}", text);
                prop_assert_eq!(text.matches('\'').count() % 2, 0, "{}", text);
            }
        }
    }
}
