//! Questions as text: `A a.example`, `SRV _matrix-fed._tcp.a.example`, `GET https://...`.

use std::fmt;

use crate::core::dns::{DnsQuestion, Family, Service};

/// An error in what is scripted: something that is not a question, a URL, an answer, ...
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Malformed {
    what: String,
    why: String,
}

impl Malformed {
    pub(super) fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: format!("{why}") }
    }
}

/// Parses a question of DNS, written as it is shown.
pub(super) fn question(text: &str) -> Result<DnsQuestion, Malformed> {
    let malformed = |why: &str| Malformed::new(format!("{text:?} is no question of DNS"), why);
    let (record_type, name) = text.split_once(' ').ok_or_else(|| malformed("no name"))?;
    let host =
        |name: &str| name.parse().map_err(|error| Malformed::new(format!("{text:?}"), error));
    let of_service =
        |service: Service| Some((service, name.strip_prefix(service.prefix())?.strip_prefix('.')?));
    let family = Family::ALL.into_iter().find(|family| family.record_type() == record_type);
    let question = match (family, Service::ALL.into_iter().find_map(of_service)) {
        (Some(family), _) => DnsQuestion::Addresses { host: host(name)?, family },
        (None, _) if record_type != "SRV" => return Err(malformed("neither A, AAAA nor SRV")),
        (None, None) => return Err(malformed("no service of Matrix")),
        (None, Some((service, name))) => DnsQuestion::Srv { service, host: host(name)? },
    };
    if question.to_string() != text {
        return Err(malformed("not in lower case"));
    }
    Ok(question)
}

/// Checks that this is a URL as a fetch asks for it.
pub(super) fn url(text: &str) -> Result<(), Malformed> {
    let malformed = |why: String| Malformed::new(format!("{text:?} is never asked for"), why);
    let url = url::Url::parse(text).map_err(|error| malformed(error.to_string()))?;
    match url.as_str() {
        _ if url.scheme() != "https" => Err(malformed("not https".to_owned())),
        _ if url.fragment().is_some() => Err(malformed("it has a fragment".to_owned())),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err(malformed("it has credentials".to_owned()))
        }
        same if same == text => Ok(()),
        other => Err(malformed(format!("it is written {other}"))),
    }
}

/// Checks that this is a question as it is shown, of DNS or of HTTPS.
pub(super) fn any_question(text: &str) -> Result<(), Malformed> {
    match text.strip_prefix("GET ") {
        Some(text) => url(text),
        None => question(text).map(|_| ()),
    }
}

/// Returns the value, or panics in the caller's place.
#[track_caller]
pub(super) fn must<T>(result: Result<T, Malformed>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
