//! Answers as people read them.
#![allow(dead_code, unreachable_pub, reason = "each example that includes this uses a part of it")]

use std::error::Error;
use std::fmt;

use matrix_delegation::{Endpoint, Resolution, ResolveError};

/// A resolution, a line for each thing that one needs to know, with its endpoints in this order.
#[derive(Debug)]
pub struct Target<'a>(pub &'a Resolution, pub &'a [Endpoint<'a>]);

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.0;
        let reasons = found.reasons();
        writeln!(f, "    step          {}: {}", found.step(), reasons.endpoints)?;
        for endpoint in self.1 {
            let addresses: Vec<_> = endpoint.addresses().map(|it| it.to_string()).collect();
            writeln!(f, "    connect to    {endpoint} at {}", addresses.join(", "))?;
        }
        writeln!(f, "    Host          {} ({})", found.authority(), reasons.host_header)?;
        writeln!(f, "    certificate   {} ({})", found.tls_host(), reasons.tls_name)?;
        match (found.lifetime(), found.well_known_lifetime()) {
            (None, _) => writeln!(f, "    holds         forever")?,
            (Some(all), None) => writeln!(f, "    holds         {} s", all.as_secs())?,
            (Some(all), Some(well_known)) => writeln!(
                f,
                "    holds         {} s, its well-known answer {} s",
                all.as_secs(),
                well_known.as_secs()
            )?,
        }
        if let Some(degraded) = found.degraded() {
            writeln!(f, "    degraded      {degraded}")?;
        }
        for warning in found.warnings() {
            writeln!(f, "    warning       {warning}")?;
        }
        Ok(())
    }
}

/// An error with all that led to it.
#[derive(Debug)]
pub struct Failure<'a>(pub &'a ResolveError);

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    not resolved  {}: {}", self.0.kind(), with_causes(self.0))
    }
}

/// Text from outside without what a terminal would act on: control characters, and those that turn
/// the direction of text.
pub fn printable(text: &str) -> String {
    let acts = |it: char| {
        it.is_control()
            || matches!(it, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut shown, it| {
        if acts(it) {
            shown.extend(it.escape_unicode());
        } else {
            shown.push(it);
        }
        shown
    })
}

/// An error with its causes, on one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
