//! Seeds, most out of the scenarios of `tests/vectors`: what they say to each target, in its own
//! format.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use matrix_delegation::Discovery;
use matrix_delegation::cache::WellKnownRecord;
use matrix_delegation::config::{AddressFamilies, Speculation};
use matrix_delegation::discovery::{Machine, Output, Question};
use matrix_delegation::dns::{DnsAnswer, DnsFailure, NoRecord, Records, SrvRecord};
use matrix_delegation::testing::{Internet, Preset, Scenario, start};
use matrix_delegation::well_known::{Body, FetchFailure, FetchFailureKind};
use serde_json::Value;

/// Inputs by target.
pub type Seeds = BTreeMap<&'static str, BTreeSet<Vec<u8>>>;

/// The scenarios of `tests/vectors`, as values and as they are written.
///
/// # Errors
///
/// Where a file cannot be read, or is none of scenarios.
pub fn scenarios() -> Result<Vec<(Scenario, Value)>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut scenarios = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let is_json = path.extension().is_some_and(|it| it == "json");
        if !is_json || path.file_name().is_some_and(|it| it == "schema.json") {
            continue;
        }
        let file: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let written = file["scenarios"].as_array();
        for json in written.ok_or_else(|| format!("{}: no scenarios", path.display()))? {
            scenarios.push((serde_json::from_value(json.clone())?, json.clone()));
        }
    }
    Ok(scenarios)
}

/// What all scenarios say to each target, and what certificates are nearly right.
///
/// # Errors
///
/// Those of [`scenarios`].
pub fn all() -> Result<Seeds, Box<dyn Error>> {
    let mut seeds = Seeds::from([("certificate", crate::certificate::seeds())]);
    for (scenario, json) in scenarios()? {
        of_scenario(&scenario, &json, &mut seeds);
    }
    Ok(seeds)
}

/// What one scenario says to each target; `json` is the same scenario as it is written.
pub fn of_scenario(scenario: &Scenario, json: &Value, seeds: &mut Seeds) {
    let mut put = |target, seed: Vec<u8>| {
        seeds.entry(target).or_default().insert(seed);
    };
    put("server_name", scenario.server_name.clone().into_bytes());
    put("vectors_json", with_kind(b'S', json));
    put("vectors_json", with_kind(b'I', &json["internet"]));
    for (url, page) in json["internet"]["https"].as_object().into_iter().flatten() {
        if let Some(body) = page["body"].as_str() {
            put("well_known_body", body.as_bytes().to_vec());
            let server = serde_json::from_str::<Value>(body).ok();
            if let Some(name) = server.as_ref().and_then(|it| it["m.server"].as_str()) {
                put("server_name", name.as_bytes().to_vec());
            }
        }
        let headers: Vec<(String, String)> =
            serde_json::from_value(page["headers"].clone()).unwrap_or_default();
        if headers.is_empty() {
            continue;
        }
        let preset = serde_json::to_value(scenario.config.preset).unwrap();
        let mut lines = format!("config: {}\nnow: 1767225600", preset.as_str().unwrap());
        let mut redirect = format!("{} {url}", page["status"]);
        for (name, value) in &headers {
            write!(lines, "\n{name}: {value}").unwrap();
            if name.eq_ignore_ascii_case("location") {
                write!(redirect, "\n{value}").unwrap();
                put("redirect", redirect.clone().into_bytes());
            }
        }
        put("lifetime", lines.into_bytes());
    }
    let mut addresses = Vec::new();
    for answer in json["internet"]["dns"].as_object().into_iter().flat_map(|dns| dns.values()) {
        let found = serde_json::from_value::<Vec<IpAddr>>(answer["addresses"].clone());
        addresses.extend(found.unwrap_or_default());
        if let Ok(records) = serde_json::from_value::<Vec<SrvRecord>>(answer["srv"].clone()) {
            put("srv_order", srv_order(&records));
        }
    }
    put("address_policy", address_policy(scenario, &addresses));
    if let Some(driven) = driven(scenario) {
        put("discovery", [&[0][..], &driven].concat());
        put("report_json", [&[0][..], &driven].concat());
    }
    of_values(scenario, &mut put);
}

/// The values that a run of it leads to, as JSON.
fn of_values(scenario: &Scenario, put: &mut impl FnMut(&'static str, Vec<u8>)) {
    let config = scenario.config.config();
    put("report_json", with_kind(b'C', &config));
    put("report_json", with_kind(b'Y', &config.address_policy));
    let Ok(run) = scenario.run() else { return };
    put("report_json", with_kind(b'R', &run.report));
    match &run.outcome {
        Ok(target) => put("report_json", with_kind(b'T', target)),
        Err(error) => put("report_json", with_kind(b'E', error)),
    }
    for warning in &run.report.warnings {
        put("report_json", with_kind(b'W', warning));
    }
    for exchange in &run.report.dns {
        if let Some(answer) = &exchange.answer {
            put("report_json", with_kind(b'D', answer));
        }
    }
    if let Some(report) = &run.report.well_known {
        put("report_json", with_kind(b'K', report));
        let (entry, _) = scenario.internet.drive(&config).look_up(report.host.clone());
        let record = WellKnownRecord::new(&report.host, &entry, run.report.started);
        put("report_json", with_kind(b'A', &record));
    }
}

fn with_kind(kind: u8, value: &impl serde::Serialize) -> Vec<u8> {
    let mut seed = vec![kind];
    seed.extend(serde_json::to_vec(value).unwrap());
    seed
}

fn short(seed: &mut Vec<u8>, number: u16) {
    match u8::try_from(number) {
        Ok(small) if small < 255 => seed.push(small),
        _ => {
            seed.push(255);
            seed.extend(number.to_le_bytes());
        }
    }
}

fn srv_order(records: &[SrvRecord]) -> Vec<u8> {
    let mut seed = vec![20, 7, 0, 1, 0, 0];
    for record in records {
        for number in [record.priority, record.weight, record.port] {
            short(&mut seed, number);
        }
        // Of its own, in thirds of its length.
        let thirds = record.target.len().div_ceil(3).min(127);
        seed.push(128 + u8::try_from(thirds).unwrap());
        let mut target = record.target.clone().into_bytes();
        target.resize(thirds * 3, b'.');
        seed.extend(target);
    }
    seed
}

fn address_policy(scenario: &Scenario, addresses: &[IpAddr]) -> Vec<u8> {
    let mut seed = vec![0];
    let address = |seed: &mut Vec<u8>, address| match address {
        IpAddr::V4(v4) => {
            seed.push(254);
            seed.extend(v4.to_bits().to_le_bytes());
        }
        IpAddr::V6(v6) => {
            seed.push(255);
            seed.extend(v6.to_bits().to_le_bytes());
        }
    };
    for (kind, ranges) in [(0, &scenario.config.allow), (1, &scenario.config.block)] {
        for range in ranges {
            seed.push(kind);
            address(&mut seed, range.addr());
            seed.push(range.prefix_len());
        }
    }
    for it in addresses {
        seed.push(2);
        address(&mut seed, *it);
    }
    seed
}

/// A resolution of the scenario as the driver's bytes: every question is answered as soon as it is
/// asked.
fn driven(scenario: &Scenario) -> Option<Vec<u8>> {
    let name = scenario.server_name.parse().ok()?;
    let mut seed = Vec::new();
    text(&mut seed, &scenario.server_name);
    seed.push(match scenario.config.preset {
        Preset::Default => 0,
        Preset::Strict => 2,
        Preset::Synapse => 3,
    });
    // The ranges for documentation are let through.
    seed.push(2);
    seed.push(u8::from(scenario.config.preset == Preset::Synapse));
    seed.push(match scenario.config.addresses {
        AddressFamilies::Both => 0,
        AddressFamilies::V4 => 2,
        AddressFamilies::V6 => 3,
        AddressFamilies::ByProxy => 4,
        other => unreachable!("{other:?}"),
    });
    seed.extend([0, 0, 0]);

    let config = scenario.config.config();
    let config = match scenario.config.preset {
        Preset::Synapse => config,
        _ => config.with_speculation(Speculation::Full),
    };
    let most = config.limits.body_bytes;
    let mut machine = Discovery::new(name, Arc::new(config), start(), 0);
    let (mut dns, mut fetches) = (0_u8, 0_u8);
    loop {
        seed.push(1);
        let mut asked = Vec::new();
        loop {
            match machine.poll_output(start()) {
                Output::Ask(question) => asked.push(question),
                Output::Wait(_) => break,
                Output::Done(_) => return Some(seed),
            }
        }
        if asked.is_empty() {
            return Some(seed);
        }
        let is_dns = |it: &&Question| matches!(it, Question::Dns { .. });
        let new_dns = u8::try_from(asked.iter().filter(is_dns).count()).ok()?;
        let new_fetches = u8::try_from(asked.len()).ok()? - new_dns;
        (dns, fetches) = (dns + new_dns, fetches + new_fetches);
        // How many tokens stand behind this question's.
        let (mut dns_back, mut fetch_back) = (new_dns, new_fetches);
        for question in asked {
            match question {
                Question::Dns { token, question } => {
                    dns_back -= 1;
                    seed.extend([3, dns_back]);
                    let answer = scenario.internet.dns_answer(&question);
                    dns_answer(&mut seed, &answer)?;
                    machine.handle(token.answer(answer), start());
                }
                Question::Fetch { token, fetch } => {
                    fetch_back -= 1;
                    seed.extend([8, fetch_back]);
                    let url = fetch.request.uri().to_string();
                    fetched(&mut seed, &scenario.internet, &url, most)?;
                    machine.handle(token.answer(scenario.internet.response(&url, most)), start());
                }
                _ => return None,
            }
        }
    }
}

fn text(seed: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    seed.extend([255, u8::try_from(bytes.len()).unwrap()]);
    seed.extend(bytes);
}

fn duration(seed: &mut Vec<u8>, time: Duration) {
    match time.as_secs() {
        0 => seed.push(0),
        seconds @ 1..=122 => seed.push(127 + u8::try_from(seconds).unwrap()),
        _ => {
            seed.push(250);
            let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            seed.extend(millis.to_le_bytes());
        }
    }
}

fn dns_answer(seed: &mut Vec<u8>, answer: &DnsAnswer) -> Option<()> {
    match answer {
        DnsAnswer::Found { records, ttl, alias } => {
            seed.push(if *alias { 3 } else { 0 });
            match records {
                Records::Addresses(addresses) => {
                    let addresses = &addresses[..addresses.len().min(11)];
                    seed.push(u8::try_from(addresses.len()).unwrap());
                    for address in addresses {
                        match address {
                            IpAddr::V4(v4) => {
                                seed.push(128);
                                seed.extend(v4.octets());
                            }
                            IpAddr::V6(v6) => {
                                seed.push(129);
                                seed.extend(v6.octets());
                            }
                        }
                    }
                }
                Records::Srv(records) => {
                    let records = &records[..records.len().min(23)];
                    seed.push(u8::try_from(records.len()).unwrap());
                    for record in records {
                        for number in [record.priority, record.weight, record.port] {
                            short(seed, number);
                        }
                        text(seed, &record.target);
                    }
                }
            }
            duration(seed, *ttl);
        }
        DnsAnswer::None { kind, ttl } => {
            let kinds =
                [NoRecord::NxDomain, NoRecord::NoData, NoRecord::NotImplemented, NoRecord::Onion];
            let at = kinds.iter().position(|it| it == kind)?;
            seed.extend([if ttl.is_some() { 6 } else { 5 }, u8::try_from(at).unwrap()]);
            if let Some(ttl) = ttl {
                duration(seed, *ttl);
            }
        }
        DnsAnswer::Failed { failure, .. } => {
            use DnsFailure::{Malformed, Network, Refused, ServFail, Timeout};
            let failures = [ServFail, Timeout, Malformed, Network, Refused];
            let at = failures.iter().position(|it| it == failure)?;
            seed.extend([7, u8::try_from(at).unwrap(), 0]);
        }
    }
    Some(())
}

fn fetched(seed: &mut Vec<u8>, internet: &Internet, url: &str, most: usize) -> Option<()> {
    use FetchFailureKind::{
        Adapter, Connect, ConnectTimeout, CutOff, ExchangeTimeout, HeadTooLarge, NoAddress,
        Protocol, Refused, Tls, TlsTimeout,
    };
    match internet.response(url, most) {
        Err(FetchFailure { kind, .. }) => {
            let kinds = [
                Adapter,
                Connect,
                ConnectTimeout,
                CutOff,
                ExchangeTimeout,
                HeadTooLarge,
                NoAddress,
                Protocol,
                Refused,
                Tls,
                TlsTimeout,
            ];
            let at = kinds.iter().position(|it| *it == kind)?;
            seed.extend([7, u8::try_from(at).unwrap(), 1]);
        }
        Ok(response) => {
            match response.body() {
                Body::TooLarge => seed.push(6),
                Body::Complete(body) => {
                    seed.push(0);
                    text(seed, std::str::from_utf8(body).ok().filter(|it| it.len() < 256)?);
                }
            }
            let statuses = [200, 200, 200, 302, 307, 301, 404, 429, 503, 204, 304, 100];
            let status = response.status().as_u16();
            let at = statuses.iter().position(|it| *it == status)?;
            seed.push(u8::try_from(at).unwrap());
            if response.status().is_redirection() {
                let location = response.headers().get("location").map(HeaderValue::as_bytes);
                text(seed, std::str::from_utf8(location.unwrap_or_default()).ok()?);
            }
            let coding = response.headers().get("content-encoding").map(HeaderValue::as_bytes);
            let coded = match coding.unwrap_or(b"identity") {
                b"identity" => false,
                b"gzip" => true,
                // The driver has no other.
                _ => return None,
            };
            let lived = response.headers().contains_key("cache-control");
            seed.push(u8::from(lived) | u8::from(coded) << 3);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Driven;

    #[test]
    fn a_driver_is_led_where_the_scenario_leads() {
        let mut alike = 0;
        for (scenario, _) in scenarios().unwrap() {
            let undelayed = scenario.internet.is_undelayed() && scenario.earlier.is_none();
            let own_policy = scenario.config.allow.len() + scenario.config.block.len() > 0;
            let (Some(seed), false, true) = (driven(&scenario), own_policy, undelayed) else {
                continue;
            };
            let driven = Driven::by(&seed).unwrap();
            if scenario.server_name.len() > 255 {
                // Names of the driver's are cut there.
                continue;
            }
            let wrong = scenario.outcome_differences(&driven.outcome.unwrap());
            // What the driver cannot say (some headers) changes how long it holds, no more.
            let wrong = wrong.iter().filter(|line| !line.contains("lifetime_seconds"));
            assert_eq!(wrong.collect::<Vec<_>>(), [""; 0], "{}", scenario.id);
            alike += 1;
        }
        assert!(alike > 100, "{alike} scenarios");
    }

    #[test]
    fn every_target_has_seeds() {
        let seeds = all().unwrap();
        let seeded: Vec<_> = seeds.keys().copied().collect();
        let targets: Vec<_> = crate::TARGETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(seeded, targets);
    }
}
