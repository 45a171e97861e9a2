//! As much of JSON Schema 2020-12 as `schema.json` makes use of. A keyword that is not known here is
//! an error, so that none is passed over in silence.

use std::cell::RefCell;
use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value as Json;

/// Keywords that check nothing.
const NOTES: [&str; 4] = ["$schema", "$defs", "title", "description"];

pub(crate) struct Schema {
    root: Json,
    /// The patterns met so far.
    patterns: RefCell<BTreeMap<String, Regex>>,
}

impl Schema {
    pub(crate) fn new(root: Json) -> Self {
        Self { root, patterns: RefCell::default() }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        let regex = || Regex::new(pattern).unwrap();
        patterns.entry(pattern.to_owned()).or_insert_with(regex).is_match(text)
    }

    /// What is wrong with a value, a line each.
    pub(crate) fn check(&self, value: &Json) -> Vec<String> {
        let mut wrong = Vec::new();
        self.apply(&self.root, value, "", &mut wrong);
        wrong
    }

    fn passes(&self, schema: &Json, value: &Json) -> bool {
        let mut wrong = Vec::new();
        self.apply(schema, value, "", &mut wrong);
        wrong.is_empty()
    }

    fn apply(&self, schema: &Json, value: &Json, at: &str, wrong: &mut Vec<String>) {
        let Json::Object(keywords) = schema else {
            assert!(schema.is_boolean(), "{schema} is no schema");
            if schema == false {
                wrong.push(format!("{at}: nothing may stand here"));
            }
            return;
        };
        for (keyword, argument) in keywords {
            if NOTES.contains(&keyword.as_str()) {
                continue;
            }
            if !self.holds(keyword, argument, schema, value, at, wrong) {
                wrong.push(format!("{at}: {keyword} {argument}: {value}"));
            }
        }
    }

    /// Whether one keyword holds; what is wrong with parts of the value is noted apart.
    fn holds(
        &self,
        keyword: &str,
        argument: &Json,
        schema: &Json,
        value: &Json,
        at: &str,
        wrong: &mut Vec<String>,
    ) -> bool {
        let object = value.as_object();
        let array = value.as_array();
        let number = || argument.as_i64().unwrap();
        let length = |length: usize| i64::try_from(length).unwrap();
        match keyword {
            "$ref" => {
                let pointer = argument.as_str().unwrap().strip_prefix('#').unwrap();
                self.apply(self.root.pointer(pointer).unwrap(), value, at, wrong);
                true
            }
            "type" => match argument.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64(),
                "boolean" => value.is_boolean(),
                "null" => value.is_null(),
                other => panic!("the type {other} is not known here"),
            },
            "enum" => argument.as_array().unwrap().contains(value),
            "const" => argument == value,
            "anyOf" => argument.as_array().unwrap().iter().any(|it| self.passes(it, value)),
            "oneOf" => {
                argument.as_array().unwrap().iter().filter(|it| self.passes(it, value)).count() == 1
            }
            "required" => object.is_none_or(|object| {
                let has = |key: &Json| object.contains_key(key.as_str().unwrap());
                argument.as_array().unwrap().iter().all(has)
            }),
            "properties" => {
                for (key, value) in object.into_iter().flatten() {
                    if let Some(schema) = argument.get(key) {
                        self.apply(schema, value, &format!("{at}/{key}"), wrong);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &str| schema["properties"].get(key).is_some();
                for (key, value) in object.into_iter().flatten().filter(|(key, _)| !known(key)) {
                    self.apply(argument, value, &format!("{at}/{key}"), wrong);
                }
                true
            }
            "propertyNames" => {
                for key in object.into_iter().flatten().map(|(key, _)| key) {
                    self.apply(argument, &key.as_str().into(), &format!("{at}/{key}"), wrong);
                }
                true
            }
            "items" => {
                for (index, value) in array.into_iter().flatten().enumerate() {
                    self.apply(argument, value, &format!("{at}/{index}"), wrong);
                }
                true
            }
            "minProperties" => object.is_none_or(|it| length(it.len()) >= number()),
            "minItems" => array.is_none_or(|it| length(it.len()) >= number()),
            "maxItems" => array.is_none_or(|it| length(it.len()) <= number()),
            "uniqueItems" => array.is_none_or(|all| {
                let twice = |(at, it)| all[..at].contains(it);
                !all.iter().enumerate().any(twice)
            }),
            "minLength" => value.as_str().is_none_or(|it| length(it.chars().count()) >= number()),
            "pattern" => {
                value.as_str().is_none_or(|it| self.matches(argument.as_str().unwrap(), it))
            }
            "minimum" => value.as_i64().is_none_or(|it| it >= number()),
            "maximum" => value.as_i64().is_none_or(|it| it <= number()),
            other => panic!("the keyword {other} is not known here"),
        }
    }
}
