//! What a core is told of a scenario, and ways to tell it something else.

use matrix_delegation::Config;
use matrix_delegation::testing::{Earlier, Scenario, Settings};
use serde_json::{Map, Value as Json, json};

/// What a core is told.
#[derive(Clone, PartialEq)]
pub struct Case {
    pub settings: Settings,
    pub config: Config,
    pub name: String,
    pub internet: Json,
    /// What was answered before, and how many seconds ago.
    pub earlier: Option<(Json, u64)>,
}

pub type Headers = Vec<(String, String)>;

impl Case {
    /// As it is written.
    pub fn of(written: &Json, scenario: &Scenario) -> Self {
        let earlier = written
            .get("earlier")
            .map(|earlier| (earlier["internet"].clone(), earlier["seconds_ago"].as_u64().unwrap()));
        Self {
            settings: scenario.config.clone(),
            config: scenario.config.config(),
            name: scenario.server_name.clone(),
            internet: written["internet"].clone(),
            earlier,
        }
    }

    /// The scenario with this in place of what was written.
    pub fn scenario(&self, scenario: &Scenario) -> Scenario {
        let read = |internet: &Json| serde_json::from_value(internet.clone()).unwrap();
        Scenario {
            config: self.settings.clone(),
            server_name: self.name.clone(),
            internet: read(&self.internet),
            earlier: self.earlier.as_ref().map(|(internet, seconds_ago)| Earlier {
                internet: read(internet),
                seconds_ago: *seconds_ago,
            }),
            ..scenario.clone()
        }
    }

    /// The host of the server name, in lower case, without the port.
    pub fn host(&self) -> String {
        host_of(&self.name)
    }

    pub fn has_port(&self) -> bool {
        host_of(&self.name).len() < self.name.len()
    }

    fn part(&self, name: &str) -> impl Iterator<Item = (&String, &Json)> {
        self.internet.get(name).and_then(Json::as_object).into_iter().flatten()
    }

    fn part_mut(&mut self, name: &str) -> Option<&mut Map<String, Json>> {
        self.internet.get_mut(name).and_then(Json::as_object_mut)
    }

    /// What DNS answers to a question.
    pub fn answer(&self, question: &str) -> Option<&Json> {
        self.internet.get("dns")?.get(question)
    }

    pub fn has(&self, question: &str) -> bool {
        self.answer(question).is_some()
    }

    pub fn fails(&self, question: &str) -> bool {
        self.answer(question).is_some_and(|answer| answer.get("failed").is_some())
    }

    pub fn is_never(&self, question: &str) -> bool {
        self.answer(question).is_some_and(|answer| answer.get("never").is_some())
    }

    /// The addresses of a host, as they are written.
    pub fn addresses(&self, host: &str) -> Vec<String> {
        ["A", "AAAA"]
            .iter()
            .filter_map(|record_type| self.answer(&format!("{record_type} {host}")))
            .filter_map(|answer| answer.get("addresses")?.as_array())
            .flatten()
            .map(|address| address.as_str().unwrap().to_owned())
            .collect()
    }

    pub fn is_blocked(&self, address: &str) -> bool {
        address.parse().is_ok_and(|address| self.config.address_policy.check(address).is_err())
    }

    /// Whether a host has addresses, all of them blocked.
    pub fn is_host_blocked(&self, host: &str) -> bool {
        let addresses = self.addresses(host);
        !addresses.is_empty() && addresses.iter().all(|address| self.is_blocked(address))
    }

    pub fn set(&mut self, question: &str, answer: Json) {
        if self.internet.get("dns").is_none() {
            self.internet["dns"] = json!({});
        }
        self.internet["dns"][question] = answer;
    }

    /// As if it were not there.
    pub fn unset(&mut self, question: &str) {
        if let Some(dns) = self.part_mut("dns") {
            dns.remove(question);
        }
    }

    pub fn unset_host(&mut self, host: &str) {
        self.unset(&format!("A {host}"));
        self.unset(&format!("AAAA {host}"));
    }

    pub fn each_answer(&mut self, mut change: impl FnMut(&str, &mut Json)) {
        for (question, answer) in self.part_mut("dns").into_iter().flatten() {
            change(question, answer);
        }
    }

    /// The same of SRV records alone.
    pub fn each_srv(&mut self, mut change: impl FnMut(&str, &mut Vec<Json>)) {
        self.each_answer(|question, answer| {
            if let Some(records) = answer.get_mut("srv").and_then(Json::as_array_mut) {
                change(question, records);
            }
        });
    }

    /// The targets of the SRV records of a name, in lower case and without their final dots.
    pub fn targets(&self, question: &str) -> Vec<String> {
        let records = self.answer(question).and_then(|answer| answer.get("srv")?.as_array());
        records.into_iter().flatten().map(target).collect()
    }

    pub fn each_page(&mut self, mut change: impl FnMut(&str, &mut Json)) {
        for (url, page) in self.part_mut("https").into_iter().flatten() {
            change(url, page);
        }
    }

    /// The document of the server name's host.
    pub fn own_page(&self) -> Option<&Json> {
        self.internet.get("https")?.get(url_of(&self.host()))
    }

    pub fn set_own_page(&mut self, page: Json) {
        let url = url_of(&self.host());
        if self.internet.get("https").is_none() {
            self.internet["https"] = json!({});
        }
        self.internet["https"][url] = page;
    }

    /// The same where there is a page already.
    pub fn replace_own_page(&mut self, page: Json) {
        if self.own_page().is_some() {
            self.set_own_page(page);
        }
    }

    pub fn unset_own_page(&mut self) {
        let url = url_of(&self.host());
        if let Some(https) = self.part_mut("https") {
            https.remove(&url);
        }
    }

    pub fn own_status(&self) -> Option<u64> {
        self.own_page()?.get("status")?.as_u64()
    }

    /// The name that the host's document says, without redirects.
    pub fn delegated(&self) -> Option<String> {
        let page = self.own_page().filter(|page| page["status"] == 200)?;
        m_server(page.get("body")?.as_str()?)
    }

    /// Its host, if that is no IP address, in lower case and without the port.
    pub fn delegated_host(&self) -> Option<String> {
        self.delegated().map(|name| host_of(&name)).filter(|host| !is_literal(host))
    }

    pub fn delegates_with_port(&self) -> bool {
        self.delegated_host().is_some_and(|host| host.len() < self.delegated().unwrap().len())
    }

    /// Changes what `m.server` says, in all documents.
    pub fn each_m_server(&mut self, change: impl Fn(&str) -> Option<String>) {
        self.each_body(|body| {
            m_server(body).and_then(|name| change(&name)).map(|to| document(&to))
        });
    }

    pub fn each_body(&mut self, change: impl Fn(&str) -> Option<String>) {
        self.each_page(|_, page| {
            if let Some(body) = page.get("body").and_then(Json::as_str).and_then(&change) {
                page["body"] = body.into();
            }
        });
    }

    /// Changes the headers of all pages.
    pub fn each_headers(&mut self, change: impl Fn(&mut Headers)) {
        self.each_page(|_, page| {
            let headers = page.get("headers").cloned().unwrap_or_else(|| json!([]));
            let before: Headers = serde_json::from_value(headers).unwrap();
            let mut after = before.clone();
            change(&mut after);
            if after != before {
                page["headers"] = json!(after);
            }
        });
    }

    /// Changes every header of this name; `None` takes it away.
    pub fn each_header(&mut self, name: &str, change: impl Fn(&str) -> Option<String>) {
        self.each_headers(|headers| {
            let changed = headers.drain(..).filter_map(|(key, value)| {
                let to = if key.eq_ignore_ascii_case(name) { change(&value) } else { Some(value) };
                Some((key, to?))
            });
            let changed: Headers = changed.collect();
            *headers = changed;
        });
    }

    /// Changes where redirects lead.
    pub fn each_location(&mut self, change: impl Fn(&str) -> Option<String>) {
        self.each_header("location", |location| {
            Some(change(location).unwrap_or_else(|| location.to_owned()))
        });
    }

    /// Where the host's document redirects to, as it is written.
    pub fn own_location(&self) -> Option<String> {
        header(self.own_page()?, "location")
    }

    /// The host that it redirects to, if it is a name written out.
    pub fn redirect_host(&self) -> Option<String> {
        let location = self.own_location()?;
        let rest = location.strip_prefix("https://")?;
        let host = rest.split(['/', ':']).next().unwrap();
        let is_name = host.bytes().all(|it| it.is_ascii_alphanumeric() || b".-".contains(&it));
        is_name.then(|| host.to_ascii_lowercase())
    }

    /// Whether something was known before that was good.
    pub fn knew_good(&self) -> bool {
        self.earlier_status() == Some(200)
    }

    pub fn earlier_status(&self) -> Option<u64> {
        let (internet, _) = self.earlier.as_ref()?;
        internet.get("https")?.get(url_of(&self.host()))?.get("status")?.as_u64()
    }

    /// Calls a host by another name, in questions, pages, and what names it.
    pub fn rename(&mut self, from: &str, to: &str) {
        self.name = self.name.replace(from, to);
        let text = self.internet.to_string().replace(from, to);
        self.internet = serde_json::from_str(&text).unwrap();
    }

    /// All questions of DNS that are answered.
    pub fn questions(&self) -> Vec<String> {
        self.part("dns").map(|(question, _)| question.clone()).collect()
    }
}

/// The host of a server name, in lower case and without its port.
pub fn host_of(name: &str) -> String {
    let end = if name.ends_with(']') { name.len() } else { name.rfind(':').unwrap_or(name.len()) };
    name[..end].to_ascii_lowercase()
}

pub fn is_literal(host: &str) -> bool {
    host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok()
}

pub fn url_of(host: &str) -> String {
    format!("https://{host}/.well-known/matrix/server")
}

pub fn document(server: &str) -> String {
    json!({ "m.server": server }).to_string()
}

/// The last `m.server` of an object, if it is text.
pub fn m_server(body: &str) -> Option<String> {
    let body: Json = serde_json::from_str(body).ok()?;
    Some(body.as_object()?.get("m.server")?.as_str()?.to_owned())
}

pub fn header(page: &Json, name: &str) -> Option<String> {
    let headers = page.get("headers")?.as_array()?;
    let is_it = |it: &&Json| it[0].as_str().unwrap().eq_ignore_ascii_case(name);
    headers.iter().find(is_it).map(|it| it[1].as_str().unwrap().to_owned())
}

/// The target of an SRV record, in lower case and without its final dot.
pub fn target(record: &Json) -> String {
    record["target"].as_str().unwrap().trim_end_matches('.').to_ascii_lowercase()
}

pub fn fed(host: &str) -> String {
    format!("SRV _matrix-fed._tcp.{host}")
}

pub fn old(host: &str) -> String {
    format!("SRV _matrix._tcp.{host}")
}
