//! The document's body.

use serde_json::{Value as Json, json};

use super::super::case::{document, header, m_server};
use super::{Bug, told};

const BAD: &str = "bad";

/// A reader that takes one body for another.
fn body(name: &str, read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Bug {
    told(format!("body: {name}"), move |case| case.each_body(&read))
}

/// A reader that does without a document that is sound.
fn refuses(name: &str, is_it: impl Fn(&str) -> bool + Send + Sync + 'static) -> Bug {
    body(&format!("{name} is bad"), move |body| is_it(body).then(|| BAD.to_owned()))
}

/// A reader that takes a page for another.
fn page(name: &str, read: impl Fn(&Json) -> Option<Json> + Send + Sync + 'static) -> Bug {
    told(format!("page: {name}"), move |case| {
        case.each_page(|_, page| {
            if let Some(read) = read(page) {
                *page = read;
            }
        });
    })
}

fn object(body: &str) -> Option<serde_json::Map<String, Json>> {
    serde_json::from_str::<Json>(body).ok()?.as_object().cloned()
}

/// The texts that stand behind each `"m.server":` of a body, wherever it stands.
fn all_named(body: &str) -> Vec<String> {
    body.split("\"m.server\":")
        .skip(1)
        .filter_map(|rest| {
            rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned)
        })
        .collect()
}

fn is_twice(body: &str) -> bool {
    body.matches("\"m.server\":").count() > 1
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn served(body: &str) -> Json {
    json!({ "status": 200, "body": body })
}

/// A page that is there taken for one that is not.
fn missing() -> Json {
    json!({ "status": 404 })
}

pub fn bugs() -> Vec<Bug> {
    let mut bugs = too_strict();
    bugs.extend(size());
    bugs.extend(not_json());
    bugs.extend(other_json());
    bugs.extend(encodings());
    bugs
}

fn too_strict() -> Vec<Bug> {
    vec![
        refuses("another key", |body| {
            object(body).is_some_and(|it| it.contains_key("m.server") && it.len() > 1)
        }),
        refuses("white space around it", |body| body.trim() != body && m_server(body).is_some()),
        refuses("a key with escapes", |body| {
            m_server(body).is_some() && !body.contains("\"m.server\"")
        }),
        refuses("a name with escapes", |body| {
            m_server(body).is_some_and(|name| !body.contains(&name))
                && body.contains("\"m.server\"")
        }),
        body("of two m.server the first counts", |body| {
            let first = all_named(body).first().cloned()?;
            let last = m_server(body)?;
            (is_twice(body) && first != last).then(|| document(&first))
        }),
        refuses("a bad m.server before a good one", |body| {
            is_twice(body) && m_server(body).is_some() && all_named(body).len() == 1
        }),
        body("an m.server beneath another key counts, too", |body| {
            let last = all_named(body).last().cloned()?;
            (m_server(body)? != last && is_twice(body)).then(|| document(&last))
        }),
        page("a document that is served as HTML is none", |page| {
            header(page, "content-type").filter(|it| it.starts_with("text/html"))?;
            Some(served(BAD))
        }),
        page("a document with any content coding is none", |page| {
            header(page, "content-encoding")?;
            Some(served(BAD))
        }),
        page("an empty content coding is one", |page| {
            header(page, "content-encoding").filter(|it| it.contains(','))?;
            Some(served(BAD))
        }),
        page("a content coding that nobody knows is one", |page| {
            header(page, "content-encoding").filter(|it| it == "UTF-8")?;
            Some(served(BAD))
        }),
    ]
}

fn size() -> Vec<Bug> {
    vec![
        told("a body of 51,200 bytes is too large", |case| case.config.limits.body_bytes = 51_199),
        page("a body of 51,201 bytes is read", |page| {
            let mut read = page.clone();
            (page["pad_to"] == 51_201).then(|| read["pad_to"] = 51_200.into())?;
            Some(read)
        }),
        page("a body that was cut at the limit is bad JSON", |page| {
            (page["too_large"] == true).then(|| served(BAD))
        }),
    ]
}

fn not_json() -> Vec<Bug> {
    let missing_if = |name: &str, text: &'static str| {
        page(name, move |page| (page["status"] == 200 && page["body"] == text).then(missing))
    };
    vec![
        missing_if("an empty body is like none at all", ""),
        body("what is no JSON is searched for a name", |body| {
            body.strip_prefix("m.server: ").map(document)
        }),
        body("what is missing at the end is put there", |body| {
            let closed = format!("{body}}}");
            m_server(&closed).map(|_| closed)
        }),
        body("what follows the document is not looked at", |body| {
            let (first, rest) = body.split_once("} ")?;
            (!rest.is_empty()).then(|| format!("{first}}}"))
        }),
        body("single quotes are quotes", |body| {
            body.contains('\'').then(|| body.replace('\'', "\""))
        }),
        body("a comma before the brace is let through", |body| {
            body.strip_suffix(",}").map(|body| format!("{body}}}"))
        }),
        body("comments are let through", |body| {
            let (before, rest) = body.split_once("/*")?;
            let (_, after) = rest.split_once("*/")?;
            Some(format!("{before}{after}"))
        }),
        body("a byte order mark is let through", |body| {
            body.strip_prefix('\u{feff}').map(str::to_owned)
        }),
        page("bytes that are not UTF-8 are let through", |page| {
            let bytes = from_hex(page.get("body_hex")?.as_str()?);
            let text = String::from_utf8_lossy(&bytes);
            m_server(&text).map(|_| served(&text))
        }),
        page("UTF-16 is read", |page| {
            let bytes = from_hex(page.get("body_hex")?.as_str()?);
            let units = bytes.chunks_exact(2).map(|it| u16::from_le_bytes([it[0], it[1]]));
            let text = String::from_utf16(&units.collect::<Vec<_>>()).ok()?;
            m_server(&text).map(|_| served(&text))
        }),
        missing_if("null is like none at all", "null"),
        missing_if("an empty object is like none at all", "{}"),
    ]
}

fn other_json() -> Vec<Bug> {
    let value = |body: &str| serde_json::from_str::<Json>(body).ok();
    let server = |body: &str| object(body)?.get("m.server").cloned();
    vec![
        body("the first of a list is the document", move |body| {
            value(body)?.as_array()?.first().map(Json::to_string)
        }),
        body("a string is the name", move |body| value(body)?.as_str().map(document)),
        body("the document of clients will do", |body| {
            let object = object(body).filter(|it| !it.contains_key("m.server"))?;
            let url = object.get("m.homeserver")?.get("base_url")?.as_str()?;
            url.strip_prefix("https://").map(document)
        }),
        body("the letters of the key do not count", |body| {
            let object = object(body).filter(|it| !it.contains_key("m.server"))?;
            let (_, name) = object.iter().find(|(key, _)| key.eq_ignore_ascii_case("m.server"))?;
            name.as_str().map(document)
        }),
        body("the key's dot is a path", |body| {
            object(body)?.get("m")?.get("server")?.as_str().map(document)
        }),
        body("the key is looked for beneath others", |body| {
            let object = object(body).filter(|it| !it.contains_key("m.server"))?;
            let beneath = object.values().find_map(|it| it.get("m.server"))?;
            beneath.as_str().map(document)
        }),
        page("an m.server that is null is like none at all", move |page| {
            let body = page.get("body")?.as_str()?;
            (server(body)?.is_null() && !is_twice(body)).then(missing)
        }),
        body("a number is an IPv4 address", move |body| {
            let number = u32::try_from(server(body)?.as_u64()?).ok()?;
            Some(document(&std::net::Ipv4Addr::from_bits(number).to_string()))
        }),
        body("the first of a list is the name", move |body| {
            server(body)?.as_array()?.first()?.as_str().map(document)
        }),
        body("the host of an object is the name", move |body| {
            server(body)?.get("host")?.as_str().map(document)
        }),
        body("of two m.server the last good one counts", move |body| {
            let bad = server(body).filter(|it| !it.is_string())?;
            bad.is_null().then(|| all_named(body).first().cloned())?.as_deref().map(document)
        }),
    ]
}

fn encodings() -> Vec<Bug> {
    vec![page("a content coding that nobody asked for is undone", |page| {
        let coding = header(page, "content-encoding").filter(|it| it != "identity")?;
        let body = page.get("body")?.as_str()?;
        (coding == "gzip").then(|| served(body))
    })]
}
