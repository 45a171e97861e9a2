//! The scenarios of `tests/vectors` over real sockets with the real adapters, as far as real
//! servers can express them: DNS and HTTPS on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::internet::check::Client;
use crate::internet::{Builder, Certificate, Internet, Page, Site, Trouble};
use crate::scenarios;
use futures_util::stream::{self, StreamExt};
use matrix_delegation::ServerName;
use matrix_delegation::testing::Scenario;
use serde_json::{Map, Value};

/// How many scenarios are run at once; each has servers of its own.
const AT_ONCE: usize = 8;
/// Real time passes while a name is resolved, on a machine that does other things, too.
const PASSING: u64 = 20;

/// Why real servers cannot show a scenario.
type Inexpressible = &'static str;

/// The members of a part of an internet.
fn part<'a>(
    internet: &'a Value,
    name: &str,
) -> impl Iterator<Item = (&'a str, &'a Map<String, Value>)> {
    let members = internet[name].as_object().into_iter().flatten();
    members.map(|(key, value)| (key.as_str(), value.as_object().unwrap()))
}

/// The servers that a scenario needs.
fn servers(scenario: &Scenario) -> Result<Builder, Inexpressible> {
    if scenario.earlier.is_some() {
        return Err("days would have to pass");
    }
    if scenario.config.addresses == matrix_delegation::config::AddressFamilies::ByProxy {
        return Err("a proxy looks names up");
    }
    let internet = serde_json::to_value(&scenario.internet).unwrap();
    let delayed = |(_, it): (&str, &Map<String, Value>)| it.contains_key("after_ms");
    if part(&internet, "dns").any(delayed) || part(&internet, "https").any(delayed) {
        return Err("it is a matter of milliseconds");
    }
    let builder = part(&internet, "dns")
        .try_fold(Internet::builder().negative_ttl(900), |builder, (question, answer)| {
            dns(builder, question, answer, &internet)
        })?;
    https(builder, &internet)
}

fn dns(
    builder: Builder,
    question: &str,
    answer: &Map<String, Value>,
    internet: &Value,
) -> Result<Builder, Inexpressible> {
    let (record_type, name) = question.split_once(' ').unwrap();
    let others: Vec<_> = part(internet, "dns")
        .filter(|(other, _)| other.split_once(' ').unwrap().1 == name)
        .map(|(_, answer)| answer)
        .collect();
    let ttl = || u32::try_from(answer.get("ttl").map_or(300, |ttl| ttl.as_u64().unwrap()));
    let ttl = || ttl().map_err(|_| "the TTL is larger than DNS can say");
    let here = |builder: Builder, trouble| builder.trouble_with(record_type, name, trouble);
    let mut owner = name.to_owned();
    let mut builder = builder;
    if answer.contains_key("alias") {
        if others.iter().any(|other| !other.contains_key("alias")) {
            return Err("an alias is one for all types");
        }
        owner = format!("alias-of-{name}");
        if record_type != "AAAA" || others.len() == 1 {
            builder = builder.cname_for(name, &owner, ttl()?);
        }
    }
    // Whatever is said of one type, the name exists. An answer without records has no SOA record,
    // either.
    let records = answer.get("addresses").or(answer.get("srv")).and_then(Value::as_array);
    if let Some(records) = records {
        let empty = if records.is_empty() { Trouble::NoSoa } else { Trouble::Late(Duration::ZERO) };
        builder = here(builder, empty);
    }
    if let Some(addresses) = answer.get("addresses") {
        for address in addresses.as_array().unwrap() {
            let address = address.as_str().unwrap();
            if address.parse::<IpAddr>().unwrap().is_ipv4() != (record_type == "A") {
                return Err("the DNS adapter sorts the families");
            }
            builder = builder.address_for(&owner, address, ttl()?);
        }
        return Ok(builder);
    }
    if let Some(records) = answer.get("srv") {
        for record in records.as_array().unwrap() {
            let number = |key: &str| u16::try_from(record[key].as_u64().unwrap()).unwrap();
            let target = record["target"].as_str().unwrap();
            let is_name = |it: u8| it.is_ascii_alphanumeric() || b".-_".contains(&it);
            let labels = target.strip_suffix('.').unwrap_or(target).split('.');
            let in_form = labels.into_iter().all(|label| (1..64).contains(&label.len()));
            if target != "." && !(target.bytes().all(is_name) && in_form) {
                return Err("DNS has no such name");
            }
            let record = (
                number("priority"),
                number("weight"),
                number("port"),
                match target {
                    "." => target,
                    name => name.strip_suffix('.').unwrap_or(name),
                },
            );
            builder = builder.srv_for(&owner, record, ttl()?);
        }
        return Ok(builder);
    }
    if let Some(kind) = answer.get("none") {
        let ttl = answer.get("ttl");
        if ttl.is_some_and(Value::is_u64) && kind != "not_implemented" {
            return Err("the SOA record is the same for all names");
        }
        let without_soa = ttl.is_some();
        return match kind.as_str().unwrap() {
            "no_data" if without_soa => Ok(here(builder, Trouble::NoSoa)),
            "no_data" => Ok(here(builder, Trouble::Late(Duration::ZERO))),
            "not_implemented" => Ok(here(builder, Trouble::NotImplemented)),
            "nx_domain" => {
                let below = format!(".{name}");
                let exists = others.iter().any(|it| it.get("none").is_none_or(|it| it != kind))
                    || part(internet, "dns").any(|(other, _)| other.ends_with(&below));
                match (exists, without_soa) {
                    (true, _) => Err("the name exists after all"),
                    (_, true) => Err("the SOA record is the same for all names"),
                    _ => Ok(builder),
                }
            }
            _ => Err("DNS has no such answer"),
        };
    }
    match answer.get("failed").map(|it| it.as_str().unwrap()) {
        Some("serv_fail") => Ok(here(builder, Trouble::ServFail)),
        Some("refused") => Ok(here(builder, Trouble::Refused)),
        Some("timeout") | None => Ok(here(builder, Trouble::Silence)),
        Some(_) => Err("DNS servers do not fail so"),
    }
}

/// What is at one address and port.
#[derive(Default)]
struct Served {
    names: BTreeSet<String>,
    pages: BTreeMap<String, Page>,
    stranger: bool,
}

fn https(builder: Builder, internet: &Value) -> Result<Builder, Inexpressible> {
    let mut sites: BTreeMap<SocketAddr, Served> = BTreeMap::new();
    let mut refused = BTreeSet::new();
    for (url, reply) in part(internet, "https") {
        let url: url::Url = url.parse().unwrap();
        let (host, port) = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
        let host = host.trim_matches(['[', ']']);
        let literal = host.parse::<IpAddr>().into_iter();
        let looked_up = ["A", "AAAA"].into_iter().flat_map(|record_type| {
            let addresses = &internet["dns"][format!("{record_type} {host}")]["addresses"];
            addresses
                .as_array()
                .into_iter()
                .flatten()
                .map(|it| it.as_str().unwrap().parse().unwrap())
        });
        let page = page(reply)?;
        for address in literal.chain(looked_up) {
            let address = SocketAddr::new(address, port);
            let Some(page) = &page else {
                refused.insert(address);
                continue;
            };
            let served = sites.entry(address).or_default();
            served.names.insert(host.to_owned());
            served.stranger |= reply.get("failed").is_some_and(|it| it == "tls");
            if served
                .pages
                .insert(
                    url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
                    page.clone(),
                )
                .is_some()
            {
                return Err("two hosts have one address");
            }
        }
    }
    sites.into_iter().try_fold(builder, |builder, (address, served)| {
        if refused.contains(&address) {
            return Err("a port either listens or does not");
        }
        let names = served.names.into_iter().collect();
        let certificate = if served.stranger {
            Certificate::OtherAuthority(names)
        } else {
            Certificate::For(names)
        };
        let site = served
            .pages
            .iter()
            .fold(Site::with(certificate), |site, (path, page)| site.page(path, page.clone()));
        let address = address.to_string();
        Ok(builder.site([address.as_str()], site))
    })
}

/// What is at a URL; nothing where the connection is refused.
fn page(reply: &Map<String, Value>) -> Result<Option<Page>, Inexpressible> {
    if reply.contains_key("never") {
        return Err("it is a matter of seconds");
    }
    match reply.get("failed").map(|it| it.as_str().unwrap()) {
        None => {}
        Some("refused") => return Ok(None),
        Some("tls") => return Ok(Some(Page::status(200))),
        Some("cut_off") => return Ok(Some(Page::cut_off("{"))),
        Some(_) => return Err("HTTPS servers do not fail so"),
    }
    let status = u16::try_from(reply["status"].as_u64().unwrap()).unwrap();
    if !(200..1000).contains(&status) {
        return Err("not the last response");
    }
    let mut body = match (reply.get("body"), reply.get("body_hex")) {
        (Some(text), _) => text.as_str().unwrap().as_bytes().to_vec(),
        (None, None) => Vec::new(),
        (None, Some(hex)) => {
            let hex = hex.as_str().unwrap();
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect()
        }
    };
    if let Some(length) = reply.get("pad_to") {
        body.resize(usize::try_from(length.as_u64().unwrap()).unwrap(), b' ');
    }
    if reply.contains_key("too_large") {
        body = vec![b' '; 60_000];
    }
    let mut page = Page::text(status, body);
    let headers = reply.get("headers").and_then(Value::as_array).into_iter().flatten();
    let headers: Vec<_> = headers
        .map(|it| (it[0].as_str().unwrap().to_ascii_lowercase(), it[1].as_str().unwrap()))
        .collect();
    for (name, value) in &headers {
        let has_date = headers.iter().any(|(name, _)| name == "date");
        match name.as_str() {
            "content-length" | "transfer-encoding" | "connection" => {
                return Err("that header is the server's own");
            }
            "expires" if !has_date => return Err("servers add a Date"),
            "retry-after" if value.contains(',') => return Err("the year is another"),
            _ => page = page.header(name, value),
        }
    }
    Ok(Some(page))
}

/// What is wrong with a scenario; an error if it cannot be shown.
async fn differences(scenario: &Scenario) -> Result<Vec<String>, Inexpressible> {
    let builder = servers(scenario)?;
    let Ok(name) = ServerName::parse(&scenario.server_name) else {
        return Err("no name to resolve");
    };
    let internet = builder.start().await;
    let client = Client::new(&internet, scenario.config.config());
    let outcome = client.resolver.resolve(&name).await.map(|it| it.target().clone());
    let mut expected = scenario.clone();
    if let Ok(target) = &mut expected.expect.outcome {
        for range in [&mut target.lifetime, &mut target.well_known_lifetime].into_iter().flatten() {
            *range = range.start().saturating_sub(PASSING)..=*range.end();
        }
    }
    Ok(expected.outcome_differences(&outcome))
}

#[tokio::test]
async fn over_sockets() {
    let all = scenarios::all();
    let results: Vec<_> = stream::iter(&all)
        .map(async |scenario| (scenario, differences(scenario).await))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let (mut shown, mut wrong) = (0, Vec::new());
    let mut left_out: BTreeMap<Inexpressible, Vec<&str>> = BTreeMap::new();
    for (scenario, result) in results {
        match result {
            Ok(found) => {
                shown += 1;
                wrong.extend(found.into_iter().map(|it| format!("{}: {it}", scenario.id)));
            }
            Err(why) => left_out.entry(why).or_default().push(&scenario.id),
        }
    }
    println!("{shown} of {} scenarios over sockets", all.len());
    for (why, ids) in &left_out {
        println!("{} left out, since {why}: {}", ids.len(), ids.join(" "));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(shown * 2 > all.len(), "{shown} of {} can be shown", all.len());
}
