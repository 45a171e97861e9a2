//! The machine against a reference model of the specification, in random worlds; against the same
//! worlds, written differently; and against a driver that does everything wrong.
//!
//! `cargo test --test model -- --nocapture` prints how many worlds there were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod adversary;
mod lifetimes;
mod metamorphic;
mod reference;
#[path = "../support/mod.rs"]
mod support;
mod worlds;

use std::collections::BTreeSet;
use std::time::Duration;

use matrix_delegation::config::Speculation;
use matrix_delegation::target::{Degraded, Origin};
use matrix_delegation::testing::Run;
use matrix_delegation::well_known::WellKnownFailure;
use matrix_delegation::{Step, Warning};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestCaseResult, TestRng, TestRunner};

use reference::{Answer, Failure, Place, Reference, Verdict};
use worlds::{Plan, plans};

/// As many cases as `PROPTEST_CASES` says, else 2,500.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 2_500 };
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..default
    }
}

fn verdict(run: &Run) -> Verdict {
    let target = match &run.outcome {
        Ok(target) => target,
        Err(error) => {
            return Err(Failure { kind: error.kind(), step: error.step().map(Step::number) });
        }
    };
    let endpoints = target.endpoints().map(|endpoint| Place {
        host: endpoint.host().clone(),
        port: endpoint.port(),
        priority: endpoint.priority(),
        weight: endpoint.weight(),
        addresses: endpoint.addresses().collect(),
    });
    Ok(Answer {
        step: target.step().number(),
        delegated: target.delegated().map(ToString::to_string),
        endpoints: endpoints.collect(),
        host_header: target.host_header().to_str().unwrap().to_owned(),
        certificate: target.tls_host().clone(),
        degraded: match target.degraded() {
            None => None,
            Some(Degraded::SrvLookupFailed(service)) => Some(service),
            Some(other) => panic!("nothing was known before, yet {other}"),
        },
    })
}

/// The warnings without the one figure in them that runs down while the machine goes on: how long
/// DNS says that a host has no address. Who asked early hears of it early. What follows from it,
/// the lifetime of the well-known, is checked as that.
fn timeless(warnings: &[Warning]) -> Vec<Warning> {
    let mut warnings = warnings.to_vec();
    for warning in &mut warnings {
        if let Warning::WellKnownUnusable { failure, .. } = warning
            && let WellKnownFailure::NoAddress { lifetime, .. } = failure
        {
            *lifetime = Duration::ZERO;
        }
    }
    warnings
}

/// What the answer says twice must agree.
fn is_of_one_piece(run: &Run, plan: &Plan) {
    let Ok(target) = &run.outcome else { return };
    assert_eq!(target.server_name().as_str(), plan.name);
    assert_eq!(target.authority(), target.host_header());
    assert_eq!(target.tls_name(), target.tls_host().tls_name());
    assert!(!target.is_stale());
    let origin = match target.step().number() {
        "1" | "3.1" => Origin::Literal,
        "2" | "3.2" => Origin::ExplicitPort,
        "3.5" | "6" => Origin::DefaultPort,
        _ => Origin::Srv,
    };
    for endpoint in target.endpoints() {
        assert_eq!(endpoint.origin(), origin);
        assert_eq!(endpoint.addresses().next().is_none(), target.is_left_to_proxy());
    }
}

/// How many internets the machine is compared with the model in: `MODEL_CASES`, or
/// `PROPTEST_CASES`, or 1,000.
fn internets() -> u32 {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect(name));
    number("MODEL_CASES").or_else(|| number("PROPTEST_CASES")).unwrap_or(1_000)
}

/// Tries a property in so many internets, on all cores.
fn in_internets(count: u32, holds: impl Fn(Plan) -> TestCaseResult + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let threads = u32::try_from(threads).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let holds = &holds;
            let cases = count / threads + u32::from(thread < count % threads);
            scope.spawn(move || {
                let mut runner = TestRunner::new(ProptestConfig { cases, ..self::cases() });
                runner.run(&plans(), holds).unwrap_or_else(|error| panic!("{error}"));
            });
        }
    });
}

/// Whatever the world is, however the machine asks and in whatever order the answers come, it
/// decides as the specification does.
#[test]
fn every_world_is_resolved_as_the_specification_says() {
    let count = internets();
    in_internets(count, |plan| {
        let world = plan.world();
        let expected = Reference::resolve(&plan, &world);
        let mut warnings = None;
        for speculation in [Speculation::Full, Speculation::Off] {
            let config = plan.config().with_speculation(speculation);
            for shared in [false, true] {
                let run = plan.resolve(&world, &config, shared);
                let how = format!("{speculation:?}, shared: {shared}");
                let story = || format!("{how}\n{}", run.report);
                prop_assert_eq!(&verdict(&run), &expected.verdict, "{}", story());
                if let Ok(target) = &run.outcome {
                    let kept = expected.rests.check(target.lifetimes(), &run.report);
                    prop_assert_eq!(kept, Ok(()), "{}", story());
                }
                let mut kinds: Vec<_> = run.report.warnings.iter().map(Warning::kind).collect();
                kinds.sort_unstable();
                prop_assert_eq!(&kinds, &expected.warnings, "{}", story());
                is_of_one_piece(&run, &plan);
                let warned = warnings.get_or_insert_with(|| timeless(&run.report.warnings));
                prop_assert_eq!(&*warned, &timeless(&run.report.warnings), "{}", story());
            }
        }
        Ok(())
    });
    println!("{count} random internets, each resolved in four ways");
}

/// The random worlds are of use only if they lead everywhere.
#[test]
fn the_worlds_lead_to_every_step_and_to_every_error_of_it() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::XorShift);
    let mut runner = TestRunner::new_with_rng(cases(), rng);
    let plans = plans();
    let (mut seen, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5_000 {
        let plan = plans.new_tree(&mut runner).unwrap().current();
        let world = plan.world();
        let expected = Reference::resolve(&plan, &world);
        kept.extend(expected.rests.well_known.map(|kept| (kept.least, kept.most)));
        seen.insert(match expected.verdict {
            Ok(answer) if answer.degraded.is_some() => format!("{} degraded", answer.step),
            Ok(answer) => answer.step.to_owned(),
            Err(failure) => format!("{} {}", failure.step.unwrap_or("-"), failure.kind),
        });
    }
    let mut expected: BTreeSet<String> = ["- unresolvable_name".to_owned()].into();
    for step in Step::ALL.map(Step::number) {
        expected.insert(step.to_owned());
        let by_address = ["blocked_address", "no_addresses", "dns_failed"];
        let by_srv = ["service_not_available", "no_usable_endpoint"];
        let kinds: &[&str] = match step {
            "1" | "3.1" => &by_address[..1],
            "3.3" | "3.4" | "4" | "5" => &by_srv,
            _ => &[],
        };
        let all = if matches!(step, "1" | "3.1") { &[][..] } else { &by_address };
        expected.extend(kinds.iter().chain(all).map(|kind| format!("{step} {kind}")));
        if matches!(step, "3.4" | "3.5" | "5" | "6") {
            expected.insert(format!("{step} degraded"));
        }
    }
    assert_eq!(seen, expected);
    // Well-knowns that are stale at once, the floors of the other presets, as stated, the most, not
    // stated; temporary and permanent failures; a day for a 429.
    let day = 24 * 3600;
    for time in [
        (0, 0),
        (60, 60),
        (300, 300),
        (3_600, 3_600),
        (2 * day, 2 * day),
        (day / 10 * 9, day),
        (108, 120),
        (3_240, 3_600),
        (day, day),
    ] {
        assert!(kept.contains(&time), "no well-known is kept for {time:?} s");
    }
}
