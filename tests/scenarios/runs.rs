//! The scenarios of `tests/vectors`, by the core and by the resolver, on virtual time.

use crate::scenarios;
use matrix_delegation::config::Speculation;
use matrix_delegation::testing::{Drive, Order, Scenario, Schedule};

/// What is wrong with a scenario in one way to run it.
fn differences(
    scenario: &Scenario,
    speculation: Speculation,
    how: impl Fn(Drive<'_>) -> Drive<'_>,
) -> Vec<String> {
    let config = scenario.config.config().with_speculation(speculation);
    let run = scenario.run_with(&config, how);
    match speculation {
        Speculation::Off => scenario.differences(&run),
        // What must not be asked may be asked early.
        Speculation::Full => match &run {
            Ok(run) => scenario.outcome_differences(&run.outcome),
            Err(_) => scenario.differences(&run),
        },
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn by_the_core() {
    let all = scenarios::all();
    let (mut wrong, mut runs) = (Vec::new(), 0);
    for scenario in &all {
        // Where no delay is scripted, the order of arrival must not matter.
        let orders = if scenario.internet.is_undelayed() {
            &[
                Order::Timely,
                Order::AsAsked,
                Order::Reversed,
                Order::Shuffled(1),
                Order::Shuffled(2),
            ][..]
        } else {
            &[Order::Timely]
        };
        for speculation in [Speculation::Off, Speculation::Full] {
            for order in orders {
                for (twice, shared) in [(false, false), (true, false), (false, true)] {
                    let found = differences(scenario, speculation, |drive| {
                        let schedule = Schedule::new(*order);
                        let schedule = if twice { schedule.twice() } else { schedule };
                        let drive = drive.with_schedule(schedule);
                        if shared { drive.with_shared_well_known() } else { drive }
                    });
                    runs += 1;
                    wrong.extend(found.into_iter().map(|it| {
                        let id = &scenario.id;
                        format!("{id} ({speculation:?}, {order:?}, {twice}, {shared}): {it}")
                    }));
                }
            }
        }
    }
    println!("{} scenarios in the core, {runs} runs", all.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_is_written_as_it_is_read() {
    for scenario in scenarios::all() {
        let written = serde_json::to_string(&scenario).unwrap();
        let read: Scenario = serde_json::from_str(&written).unwrap();
        assert_eq!(read, scenario, "{written}");
    }
}

#[cfg(feature = "resolver")]
#[test]
fn by_the_resolver() {
    use matrix_delegation::testing::{Earlier, Network, VirtualTime, start};
    use matrix_delegation::{ResolveError, Runtime, ServerName};

    const DAY: u64 = 86_400;
    let (mut wrong, mut run) = (Vec::new(), 0);
    for scenario in &scenarios::all() {
        let Ok(name) = ServerName::parse(&scenario.server_name) else { continue };
        for speculation in [Speculation::Off, Speculation::Full] {
            let config = scenario.config.config().with_speculation(speculation);
            let from = scenario.earlier.as_ref().map_or_else(start, Earlier::start);
            let network =
                Network::with_time(scenario.internet.clone(), VirtualTime::starting_at(from));
            let resolver = network.resolver(config);
            let resolve = || network.time().block_on(resolver.resolve(&name));
            if let Some(earlier) = &scenario.earlier {
                network.set(earlier.internet.clone());
                let before = resolve();
                let left = before.ok().and_then(|it| it.well_known_lifetime());
                let past = left.is_some_and(|left| left.as_secs() < earlier.seconds_ago);
                // A resolver remembers DNS, too, and asks for no document that it still has.
                if earlier.seconds_ago <= DAY || !past {
                    continue;
                }
                let until_now = network.time().sleep_until(start().monotonic);
                network.time().block_on(until_now);
                network.set(scenario.internet.clone());
            }
            let outcome: Result<_, ResolveError> = resolve().map(|it| it.target().clone());
            run += 1;
            let found = scenario.outcome_differences(&outcome);
            let id = &scenario.id;
            wrong.extend(found.into_iter().map(|it| format!("{id} ({speculation:?}): {it}")));
        }
    }
    println!("{run} runs by the resolver");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
