//! Server names, and names that a well-known document delegates to.

use crate::row::{DocumentFault, Row, Rule};
use crate::spellings::{AsName, Spelling, odd, usual};
use crate::world::{FED, Page, WEB, World, is_localhost};

use matrix_delegation::names::NotAHostName;
use matrix_delegation::names::ServerNameErrorKind::{HostCharacter, NotAscii, PortCharacter};

/// A port other than the default one.
const PORT: u16 = 8449;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (text, address) in usual() {
        rows.push(
            Row::new(format!("server name {text}"), &text, World::new()).leads_to(&[address], 8448),
        );
        let with_port = format!("{text}:{PORT}");
        rows.push(
            Row::new(format!("server name {with_port}"), &with_port, World::new())
                .leads_to(&[address], PORT),
        );
        rows.push(
            delegated(&format!("m.server {text}"), &text)
                .attempts(&[(WEB, 443)])
                .leads_to(&[address], 8448),
        );
    }
    for spelling in odd() {
        rows.push(server_name(&spelling, spelling.text, 8448));
        rows.push(m_server(&spelling, spelling.text, 8448));
        if !matches!(spelling.as_name, AsName::Grammar(_)) {
            let with_port = format!("{}:{PORT}", spelling.text);
            rows.push(server_name(&spelling, &with_port, PORT));
            if !matches!(spelling.as_name, AsName::NoHost(_)) {
                rows.push(m_server(&spelling, &with_port, PORT));
            }
        }
    }
    rows.extend(documents());
    rows
}

/// `a.example`, whose well-known document delegates to this.
fn delegated(name: &str, server: &str) -> Row {
    Row::of_a(name, World::new().delegates(server))
}

/// The addresses of a host for which only this one is scripted.
pub(crate) fn addresses<'a>(host: &str, address: &'a str) -> Vec<&'a str> {
    if is_localhost(host) { vec![address, "::1"] } else { vec![address] }
}

/// The world in which a host has this address, if DNS is asked for it at all.
pub(crate) fn with_host(world: World, host: &str, address: &str) -> World {
    if is_localhost(host) { world } else { world.host(host, &[address]) }
}

fn server_name(spelling: &Spelling, text: &str, port: u16) -> Row {
    let name = format!("server name {text:?}: {}", spelling.rule);
    let row = Row::new(name, text, World::new());
    match spelling.as_name {
        AsName::Literal(address) => row.leads_to(&[address], port),
        AsName::Dns(address) => {
            let host = spelling.text.to_ascii_lowercase();
            let mut row = row.leads_to(&addresses(&host, address), port);
            row.input.world = with_host(row.input.world, &host, address);
            row
        }
        AsName::NoHost(reason) => row.because(Rule::NoHost(reason)),
        AsName::Grammar(kind) => row.because(Rule::Grammar(kind)),
    }
}

fn m_server(spelling: &Spelling, text: &str, port: u16) -> Row {
    let row = delegated(&format!("m.server {text:?}: {}", spelling.rule), text);
    let fault = match spelling.as_name {
        AsName::Literal(address) => {
            return row.attempts(&[(WEB, 443)]).leads_to(&[address], port);
        }
        AsName::Dns(address) => {
            let host = spelling.text.to_ascii_lowercase();
            let mut row = row.attempts(&[(WEB, 443)]).leads_to(&addresses(&host, address), port);
            row.input.world = with_host(row.input.world, &host, address);
            return row;
        }
        AsName::NoHost(reason) => NoHost(reason),
        AsName::Grammar(kind) => Grammar(kind),
    };
    row.because(Rule::Document(fault))
}

/// What a document leads to.
enum Leads {
    To(&'static str),
    /// To `m.example`.
    Good,
    Nowhere(DocumentFault),
}

use DocumentFault::{
    ByteOrderMark, Grammar, NoHost, NoServer, NotAString, NotAnObject, NotJson, NotUtf8,
};
use Leads::{Good, Nowhere, To};

/// Documents in which the address is hidden: rule, document, what it leads to.
const DOCUMENTS: &[(&str, &[u8], Leads)] = &[
    ("escaped digits", br#"{"m.server":"\u0031\u0032\u0037.0.0.1"}"#, To("127.0.0.1")),
    ("escaped dots", br#"{"m.server":"127\u002e0\u002e0\u002E1"}"#, To("127.0.0.1")),
    ("escaped brackets", br#"{"m.server":"\u005b::1\u005d"}"#, To("::1")),
    ("an escaped key", br#"{"m\u002eserver":"10.0.0.1"}"#, To("10.0.0.1")),
    (
        "the last of two keys",
        br#"{"m.server":"m.example","m.server":"192.168.1.1"}"#,
        To("192.168.1.1"),
    ),
    (
        "the last of two keys, escaped",
        br#"{"m.server":"m.example","\u006d.server":"192.168.1.2"}"#,
        To("192.168.1.2"),
    ),
    ("the first of two keys", br#"{"m.server":"127.0.0.1","m.server":"m.example"}"#, Good),
    ("a key in upper case", br#"{"M.SERVER":"127.0.0.1","m.server":"m.example"}"#, Good),
    (
        "the client's document",
        br#"{"m.homeserver":{"base_url":"http://127.0.0.1"},"m.server":"m.example"}"#,
        Good,
    ),
    ("a nested key", br#"{"x":{"m.server":"127.0.0.1"}}"#, Nowhere(NoServer)),
    ("a key that differs by a space", br#"{"m.server ":"127.0.0.1"}"#, Nowhere(NoServer)),
    ("the URL of a client", br#"{"m.homeserver":{"base_url":"https://[::1]"}}"#, Nowhere(NoServer)),
    ("a number", br#"{"m.server":2130706433}"#, Nowhere(NotAString)),
    ("a number that is a short address", br#"{"m.server":127.1}"#, Nowhere(NotAString)),
    ("a list", br#"{"m.server":["127.0.0.1"]}"#, Nowhere(NotAString)),
    ("an object", br#"{"m.server":{"host":"127.0.0.1"}}"#, Nowhere(NotAString)),
    ("a text that is the address", br#""127.0.0.1""#, Nowhere(NotAnObject)),
    ("a list of documents", br#"[{"m.server":"127.0.0.1"}]"#, Nowhere(NotAnObject)),
    ("single quotation marks", b"{'m.server':'127.0.0.1'}", Nowhere(NotJson)),
    ("a comment", br#"{"m.server":"127.0.0.1"/**/}"#, Nowhere(NotJson)),
    ("a trailing comma", br#"{"m.server":"127.0.0.1",}"#, Nowhere(NotJson)),
    ("two documents", br#"{"m.server":"m.example"}{"m.server":"127.0.0.1"}"#, Nowhere(NotJson)),
    ("a hexadecimal escape", br#"{"m.server":"\x3127.0.0.1"}"#, Nowhere(NotJson)),
    ("a byte order mark", b"\xef\xbb\xbf{\"m.server\":\"127.0.0.1\"}", Nowhere(ByteOrderMark)),
    ("UTF-16", b"\xff\xfe{\0\"\0m\0.\0s\0e\0r\0v\0e\0r\0\"\0", Nowhere(ByteOrderMark)),
    ("overlong UTF-8", b"{\"m.server\":\"127\xc0\xae0.0.1\"}", Nowhere(NotUtf8)),
    ("an escaped line feed", br#"{"m.server":"127.0.0.1\nx"}"#, Nowhere(Grammar(HostCharacter))),
    ("escaped slashes", br#"{"m.server":"\/\/127.0.0.1"}"#, Nowhere(Grammar(HostCharacter))),
    ("an escaped URL", br#"{"m.server":"https:\/\/127.0.0.2"}"#, Nowhere(Grammar(PortCharacter))),
    (
        "escaped fullwidth digits",
        br#"{"m.server":"\uff11\uff12\uff17.0.0.1"}"#,
        Nowhere(Grammar(NotAscii)),
    ),
    (
        "escaped ideographic full stops",
        br#"{"m.server":"127\u30020\u30020\u30021"}"#,
        Nowhere(Grammar(NotAscii)),
    ),
    ("escaped surrogates", br#"{"m.server":"\ud835\udfcf27.0.0.1"}"#, Nowhere(Grammar(NotAscii))),
    (
        "an escaped x",
        br#"{"m.server":"0\u00787f.1"}"#,
        Nowhere(NoHost(NotAHostName::LooksLikeAnAddress)),
    ),
    (
        "an escaped final dot",
        br#"{"m.server":"127.0.0.1\u002e"}"#,
        Nowhere(NoHost(NotAHostName::TrailingDot)),
    ),
];

fn documents() -> impl Iterator<Item = Row> {
    DOCUMENTS.iter().map(|(rule, document, leads)| {
        let row =
            Row::of_a(format!("document: {rule}"), World::new().well_known(Page::ok(*document)));
        match leads {
            To(address) => row.attempts(&[(WEB, 443)]).leads_to(&[address], 8448),
            Good => row
                .attempts(&[(WEB, 443), (FED, 8448)])
                .because(Rule::NotRead(format!("{WEB}:443").parse().unwrap())),
            Nowhere(fault) => row.because(Rule::Document(*fault)),
        }
    })
}
