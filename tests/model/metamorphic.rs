//! What may be written differently and means the same changes nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use matrix_delegation::config::Speculation;
use matrix_delegation::dns::{DnsAnswer, Records, SrvRecord};
use matrix_delegation::well_known::Body;
use proptest::prelude::*;

use super::support::{InternetExt, RunExt};
use super::worlds::{Draw, Leads, Page, Plan};
use super::{cases, in_internets, verdict};
use matrix_delegation::testing::{Internet, Run};

/// In which way it is written differently.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// The case of letters in the targets of SRV records, and whether a dot ends them.
    LetterCase,
    /// The order of the records of a set.
    Order,
    /// Records that a set has twice.
    Twice,
    /// Keys beside `m.server`, white space and escapes.
    Keys,
    /// The case of header names and directives, their order, and on how many lines they stand.
    Headers,
    /// The status of a redirect, and how its `Location` leads to the same URL.
    Redirects,
}

const CHANGES: [Change; 6] = [
    Change::LetterCase,
    Change::Order,
    Change::Twice,
    Change::Keys,
    Change::Headers,
    Change::Redirects,
];

/// Longest body that is read.
const LONGEST: usize = 51_200;

struct Rewriter<'a> {
    changes: &'a [Change],
    draw: Draw,
}

impl Rewriter<'_> {
    fn makes(&self, change: Change) -> bool {
        self.changes.contains(&change)
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = self.draw.below(u64::try_from(all.len()).unwrap());
        all[usize::try_from(at).unwrap()].clone()
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = self.draw.below(u64::try_from(at + 1).unwrap());
            all.swap(at, usize::try_from(other).unwrap());
        }
    }

    fn in_some_case(&mut self, text: &str) -> String {
        let mut flip = |letter: char| {
            if self.draw.below(2) == 0 {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            }
        };
        text.chars().map(&mut flip).collect()
    }

    /// The same world, and the questions whose answers are written differently.
    fn rewrite(&mut self, plan: &Plan, world: &Internet) -> (Internet, BTreeSet<String>) {
        let mut rewritten = world.clone();
        let mut changed = BTreeSet::new();
        for question in Plan::questions() {
            let before = world.dns_answer_to(&question);
            let mut answer = before.clone();
            if let DnsAnswer::Found { records, .. } = &mut answer {
                match records {
                    Records::Addresses(addresses) => self.set(addresses),
                    Records::Srv(records) => self.srv(records),
                }
            }
            if answer != before {
                rewritten = rewritten.dns(&question, answer);
                changed.insert(question);
            }
        }
        for url in plan.urls() {
            let Ok(before) = world.response(&url, usize::MAX) else { continue };
            let mut response = before.clone();
            match plan.page(&url) {
                Page::Redirect { leads, .. } => self.redirect(&url, &leads, &mut response),
                Page::Document { .. } => self.document(&mut response),
                Page::TooLarge | Page::Fails(_) | Page::Never => {}
            }
            let lines = |response: &Response<Body>| format!("{:?}", response.headers());
            let same = response.status() == before.status()
                && response.body() == before.body()
                && lines(&response) == lines(&before);
            if !same {
                rewritten = rewritten.fetched(&url, Ok(response));
                changed.insert(format!("GET {url}"));
            }
        }
        (rewritten, changed)
    }

    fn set<T: Clone>(&mut self, records: &mut Vec<T>) {
        if self.makes(Change::Twice) && !records.is_empty() {
            // No answer has more records than are kept, not even now.
            for _ in 0..=self.draw.below(u64::try_from(records.len().min(8)).unwrap()) {
                let record = self.one_of(records);
                records.push(record);
            }
        }
        if self.makes(Change::Order) {
            self.shuffle(records);
        }
    }

    fn srv(&mut self, records: &mut Vec<SrvRecord>) {
        self.set(records);
        if !self.makes(Change::LetterCase) {
            return;
        }
        for record in records {
            let name = record.target.strip_suffix('.').unwrap_or(&record.target).to_owned();
            if !name.is_empty() {
                let dot = self.one_of(&["", "."]);
                record.target = self.in_some_case(&name) + dot;
            }
        }
    }

    fn document(&mut self, response: &mut Response<Body>) {
        if self.makes(Change::Keys)
            && let Body::Complete(body) = response.body()
            && let Ok(text) = std::str::from_utf8(body)
        {
            let rewritten = self.json(text);
            if text.len() <= LONGEST && rewritten.len() <= LONGEST {
                *response.body_mut() = Body::from(rewritten);
            }
        }
        if self.makes(Change::Headers) {
            let headers = self.headers(response.headers());
            *response.headers_mut() = headers;
        }
    }

    /// What is no object stays none.
    fn json(&mut self, text: &str) -> String {
        const UNKNOWN: [&str; 5] = [
            r#""x":null"#,
            r#""m.homeserver":{"m.server":"192.0.2.99"}"#,
            r#""M.SERVER":"192.0.2.99""#,
            r#""":["m.server"]"#,
            r#""m.server ":1e99"#,
        ];
        const SPACE: [&str; 4] = ["", " ", "\n\t", "\r\n  "];
        let mut space = || self.one_of(&SPACE);
        let (before, after) = (space(), space());
        let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) else {
            return format!("{before}{text}{after}");
        };
        let mut members = vec![self.one_of(&UNKNOWN).to_owned()];
        for (key, value) in object {
            let key = serde_json::to_string(&key).unwrap();
            let key = if self.draw.below(2) == 0 { key } else { key.replace('m', r"\u006d") };
            let (one, other) = (self.one_of(&SPACE), self.one_of(&SPACE));
            members.push(format!("{key}{one}:{other}{value}"));
        }
        members.push(self.one_of(&UNKNOWN).to_owned());
        self.shuffle(&mut members);
        let comma = format!("{before},{after}");
        format!("{before}{{{after}{}{before}}}{after}", members.join(&comma))
    }

    /// `Cache-Control` on one line or on several, in any order, however it is spelt.
    fn headers(&mut self, headers: &HeaderMap) -> HeaderMap {
        let mut lines: Vec<(String, String)> = Vec::new();
        for (name, value) in headers {
            let value = value.to_str().unwrap();
            let name = self.in_some_case(name.as_str());
            if !name.eq_ignore_ascii_case(CACHE_CONTROL.as_str()) {
                lines.push((name, value.to_owned()));
                continue;
            }
            let mut directives: Vec<&str> = value.split(", ").collect();
            self.shuffle(&mut directives);
            let mut line = String::new();
            for directive in directives {
                let directive = self.in_some_case(directive);
                if !line.is_empty() && self.draw.below(2) == 0 {
                    lines.push((self.in_some_case(&name), std::mem::take(&mut line)));
                }
                line += if line.is_empty() { "" } else { self.one_of(&[",", ", ", " ,,\t"]) };
                line += &directive;
            }
            lines.push((name, line));
        }
        self.shuffle(&mut lines);
        let line = |(name, value): (String, String)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(&value).unwrap(),
            )
        };
        lines.into_iter().map(line).collect()
    }

    fn redirect(&mut self, base: &str, leads: &Leads, response: &mut Response<Body>) {
        if !self.makes(Change::Redirects) {
            return;
        }
        *response.status_mut() =
            StatusCode::from_u16(self.one_of(&[301, 302, 303, 307, 308])).unwrap();
        let parts = |url: &str| {
            let rest = url.strip_prefix("https://").unwrap();
            let (authority, path) = rest.split_once('/').unwrap();
            (authority.to_owned(), path.to_owned())
        };
        let (here, _) = parts(base);
        let (authority, path) = match leads {
            Leads::To(url) => parts(url),
            Leads::Within(path) => (here.clone(), path.strip_prefix('/').unwrap().to_owned()),
            Leads::Back => parts(base),
            Leads::Nowhere => return,
        };
        let in_some_case = self.in_some_case(&authority);
        let has_port = authority.rsplit(']').next().unwrap().contains(':');
        let port = if has_port { "" } else { self.one_of(&["", ":443", ":0443", ":"]) };
        let is_name = authority.starts_with(|letter: char| letter.is_ascii_alphabetic());
        let dot = if is_name && !has_port { self.one_of(&["", "."]) } else { "" };
        let dots = self.one_of(&["", "./", "x/../", "%2E/", "../", "x/y/../%2e%2e/"]);
        let fragment = self.one_of(&["", "#", "#m.example"]);
        let scheme = self.one_of(&["https:", "HttpS:", ""]);
        let mut locations = vec![
            format!("https://{authority}/{path}"),
            format!("{scheme}//{in_some_case}{dot}{port}/{dots}{path}{fragment}"),
        ];
        if authority == here {
            locations.push(format!("/{dots}{path}{fragment}"));
        }
        let location = HeaderValue::from_str(&self.one_of(&locations)).unwrap();
        response.headers_mut().insert(LOCATION, location);
    }
}

/// What must not change. Evidence quotes what came as it came, so of warnings only the kinds.
fn facts(run: &Run) -> impl PartialEq + std::fmt::Debug + use<> {
    let target = run.outcome.as_ref().ok();
    let kinds: BTreeSet<_> =
        run.report.warnings.iter().map(matrix_delegation::Warning::kind).collect();
    (
        verdict(run),
        target.map(|target| (target.lifetimes(), target.is_left_to_proxy(), target.is_stale())),
        run.outcome.as_ref().err().map(matrix_delegation::ResolveError::is_temporary),
        kinds,
        run.report.took,
        (run.questions().into_iter().map(str::to_owned).collect::<Vec<_>>(), run.connected()),
    )
}

#[test]
fn what_means_the_same_changes_nothing() {
    let mattered: [AtomicUsize; CHANGES.len()] = Default::default();
    let holds = |plan: Plan| {
        let world = plan.world();
        let mut draw = Draw(plan.seed);
        let shared = draw.below(2) == 0;
        let speculation = if draw.below(2) == 0 { Speculation::Full } else { Speculation::Off };
        let config = plan.config().with_speculation(speculation);
        let run = plan.resolve(&world, &config, shared);
        let expected = facts(&run);
        let each = CHANGES.iter().map(std::slice::from_ref);
        for (index, changes) in each.chain([&CHANGES[..]]).enumerate() {
            let mut rewriter = Rewriter { changes, draw: Draw(draw.below(u64::MAX)) };
            let (world, changed) = rewriter.rewrite(&plan, &world);
            let after = plan.resolve(&world, &config, shared);
            prop_assert_eq!(
                &facts(&after),
                &expected,
                "{:?} of {:?}\n{}\n{}",
                changes,
                changed,
                run.report,
                after.report
            );
            if let Some(mattered) = mattered.get(index)
                && run.questions().into_iter().any(|asked| changed.contains(asked))
            {
                mattered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    // One internet in thirty redirects, so a hundred of them may well leave that out: then more.
    for _ in 0..10 {
        in_internets(cases().cases, holds);
        if mattered.iter().all(|mattered| mattered.load(Ordering::Relaxed) > 0) {
            break;
        }
    }
    for (change, mattered) in CHANGES.iter().zip(mattered) {
        let mattered = mattered.into_inner();
        println!("{change:?}: {mattered} internets in which an answer was written differently");
        assert!(mattered > 0, "{change:?} changes nothing because it is never made");
    }
}
