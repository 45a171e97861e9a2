//! What is left of a scenario when its names say nothing.
//!
//! Ordinary hosts under `example`, and addresses from the ranges for documentation, are names: which
//! one it is makes no difference. They are numbered by their first appearance. Everything else means
//! something and stays: ports, other addresses, letters in upper case, labels of odd lengths.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::{Captures, Regex};
use serde_json::Value as Json;

/// A host, or an address of one of the ranges for documentation.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let host = r"\b[A-Za-z][A-Za-z0-9]{0,19}(?:\.[A-Za-z][A-Za-z0-9]{0,19})*\.[Ee]xample\b";
    let v4 = r"\b(?:192\.0\.2|198\.51\.100|203\.0\.113)\.[1-9][0-9]{0,2}\b";
    let v6 = r"\b2001:db8::[1-9a-f][0-9a-f]?\b";
    Regex::new(&format!("{host}|{v4}|{v6}")).unwrap()
});

/// A text, taken apart into what means something and names.
struct Text(Vec<Piece>);

enum Piece {
    Meaning(String),
    /// In lower case, and whether it was.
    Name(String, bool),
}

impl Text {
    fn new(text: &str) -> Self {
        let (mut pieces, mut end) = (Vec::new(), 0);
        for found in NAME.find_iter(text) {
            pieces.push(Piece::Meaning(text[end..found.start()].to_owned()));
            let name = found.as_str().to_ascii_lowercase();
            let lower = name == found.as_str();
            pieces.push(Piece::Name(name, lower));
            end = found.end();
        }
        pieces.push(Piece::Meaning(text[end..].to_owned()));
        Self(pieces)
    }
}

/// The names seen so far, and their numbers.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    /// With the number of each name in its place; an unknown one becomes `?`.
    fn numbered(&self, text: &Text) -> String {
        let mut written = String::new();
        for piece in &text.0 {
            match piece {
                Piece::Meaning(text) => written.push_str(text),
                Piece::Name(name, lower) => {
                    let number = self.0.get(name).map_or("?".to_owned(), ToString::to_string);
                    let kind = match name {
                        v6 if v6.contains(':') => "v6-",
                        host if host.ends_with("example") => "host-",
                        _ => "v4-",
                    };
                    let letters = if *lower { "" } else { "-upper" };
                    written.extend(["<", kind, &number, letters, ">"]);
                }
            }
        }
        written
    }

    /// The same, once all of them have a number.
    fn number(&mut self, text: &Text) -> String {
        for piece in &text.0 {
            if let Piece::Name(name, _) = piece {
                let next = self.0.len();
                self.0.entry(name.clone()).or_insert(next);
            }
        }
        self.numbered(text)
    }

    /// An internet, in an order that does not depend on unknown names: what is said of known ones
    /// comes first, and makes others known.
    fn internet(&mut self, internet: &Json) -> String {
        let parts = [&internet["dns"], &internet["https"]];
        let members = parts.into_iter().filter_map(Json::as_object).flatten();
        let mut left: Vec<_> =
            members.map(|(key, value)| (Text::new(key), Text::new(&value.to_string()))).collect();
        let mut written = String::new();
        while !left.is_empty() {
            left.sort_by_cached_key(|(key, value)| {
                let key = self.numbered(key);
                (key.contains('?'), key, self.numbered(value))
            });
            let (key, value) = left.remove(0);
            written.extend([self.number(&key), " = ".to_owned(), self.number(&value)]);
            written.push('\n');
        }
        written
    }
}

/// What is left of a scenario, as a text.
pub(crate) fn canonical(scenario: &Json) -> String {
    let mut names = Names::default();
    let read = |value: &Json| Text::new(&value.to_string());
    let mut text = names.number(&read(&scenario["server_name"]));
    for part in ["config", "expect"] {
        text.push('\n');
        let mut part = scenario[part].clone();
        // In which order questions are listed that are not asked is nobody's business.
        if let Some(not_asked) = part.get_mut("not_asked").and_then(Json::as_array_mut) {
            not_asked.sort_by_cached_key(|question| names.numbered(&read(question)));
        }
        text.push_str(&names.number(&read(&part)));
    }
    text.push('\n');
    text.push_str(&names.internet(&scenario["internet"]));
    if let Some(earlier) = scenario.get("earlier") {
        text.push_str(&earlier["seconds_ago"].to_string());
        text.push_str(&names.internet(&earlier["internet"]));
    }
    text
}

/// The same scenario with other names.
pub(crate) fn renamed(scenario: &Json) -> Json {
    let other = |found: &Captures<'_>| {
        let name = &found[0];
        if name.contains(':') {
            let (prefix, last) = name.rsplit_once(':').unwrap();
            return format!("{prefix}:{:x}", 255 - u8::from_str_radix(last, 16).unwrap());
        }
        let Some(labels) = name.strip_suffix("xample") else {
            let (_, last) = name.rsplit_once('.').unwrap();
            let last = 255 - last.parse::<u8>().unwrap();
            return format!("203.0.113.{last}");
        };
        let (labels, letter) = labels.split_at(labels.len() - 1);
        // From the other end of the alphabet.
        let mirrored = |it: char| match it {
            'a'..='z' => char::from(b'a' + b'z' - it as u8),
            'A'..='Z' => char::from(b'A' + b'Z' - it as u8),
            other => other,
        };
        format!("{}{letter}xample", labels.chars().map(mirrored).collect::<String>())
    };
    serde_json::from_str(&NAME.replace_all(&scenario.to_string(), other)).unwrap()
}
