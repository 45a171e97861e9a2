//! Redirects of the well-known document, and other headers that name a host.

use std::net::SocketAddr;

use crate::names::{addresses, with_host};
use crate::row::{Act, Row, Rule, UrlFault};
use crate::spellings::{AsUrl, Spelling, odd, usual};
use crate::world::{FED, NEXT, Page, WEB, WELL_KNOWN, World};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (text, address) in usual() {
        let location = format!("https://{text}/m");
        rows.push(redirect("the usual spelling", &location).leads_to(&[address], 443));
    }
    for spelling in odd() {
        rows.extend(hosts(&spelling));
    }
    rows.extend(URLS.iter().map(|(rule, location, leads)| match leads {
        To(address, port) => redirect(rule, location).leads_to(&[address], *port),
        Home => redirect(rule, location).because(answered(WEB, 443)),
        Nowhere(fault) => redirect(rule, location).because(Rule::Redirect(*fault)),
    }));
    rows.extend(statuses());
    rows.extend(chains());
    rows.extend(several_locations());
    rows.extend(other_headers());
    rows
}

/// `a.example`, whose document is said to be there. Its server is connected to all the same, as without
/// a document.
fn redirect(rule: &str, location: &str) -> Row {
    Row::of_a(format!("redirect to {location:?}: {rule}"), World::new().redirects(location))
}

fn answered(address: &str, port: u16) -> Rule {
    Rule::NotRead(format!("{address}:{port}").parse::<SocketAddr>().unwrap())
}

/// A spelling as the host of a URL; where it is one, also of one without a scheme and with a port.
fn hosts(spelling: &Spelling) -> Vec<Row> {
    let Spelling { rule, text, as_url, .. } = *spelling;
    let whole = redirect(rule, &format!("https://{text}/m"));
    let mut with_port = redirect(rule, &format!("//{text}:8443"));
    match as_url {
        AsUrl::Literal(address) => {
            let whole = whole.leads_to(&[address], 443);
            // A port does not follow what ends the host. Before one, characters are mapped as before none.
            if !text.is_ascii() {
                return vec![whole];
            }
            if text.contains(['\\', '/', '?', '#', ':']) && !text.starts_with('[') {
                return vec![whole];
            }
            vec![whole, with_port.leads_to(&[address], 8443)]
        }
        AsUrl::Dns(host, address) => {
            let mut whole = whole.leads_to(&addresses(host, address), 443);
            whole.input.world = with_host(whole.input.world, host, address);
            with_port = with_port.leads_to(&addresses(host, address), 8443);
            with_port.input.world = with_host(with_port.input.world, host, address);
            // The port is empty, and what follows is the path.
            if text.contains('/') { vec![whole] } else { vec![whole, with_port] }
        }
        AsUrl::Refused(fault) => vec![whole.because(Rule::Redirect(fault))],
        AsUrl::Elsewhere => {
            let attempts = [(WEB, 443), (NEXT, 443), (WEB, 8448)];
            vec![whole.attempts(&attempts).because(answered(NEXT, 443))]
        }
        AsUrl::NoHeader => Vec::new(),
    }
}

/// What a URL leads to.
enum Leads {
    To(&'static str, u16),
    /// To `a.example` itself.
    Home,
    Nowhere(UrlFault),
}

use Leads::{Home, Nowhere, To};
use UrlFault::{Credentials, NotAUrl, NotHttps};

/// URLs in which not the host is spelled oddly: rule, `Location`, what it leads to.
const URLS: &[(&str, &str, Leads)] = &[
    ("no scheme", "//127.1/", To("127.0.0.1", 443)),
    ("no scheme, IPv6", "//[::ffff:7f00:1]/", To("::ffff:127.0.0.1", 443)),
    ("no scheme and no path", "//0x7f.1", To("127.0.0.1", 443)),
    ("backslashes", "\\\\127.0.0.1\\m", To("127.0.0.1", 443)),
    ("a slash and a backslash", "/\\127.0.0.1/m", To("127.0.0.1", 443)),
    ("a backslash and a slash", "\\/127.0.0.1/m", To("127.0.0.1", 443)),
    ("three slashes", "///127.0.0.1/m", Nowhere(NotAUrl)),
    ("a scheme and three slashes", "https:///127.0.0.1/m", To("127.0.0.1", 443)),
    ("a scheme and many slashes", "https://////127.0.0.1/m", To("127.0.0.1", 443)),
    ("a scheme and backslashes", "https:\\\\127.0.0.1\\m", To("127.0.0.1", 443)),
    ("an upper-case scheme", "HTTPS://127.0.0.1/m", To("127.0.0.1", 443)),
    ("a tab in the scheme", "ht\ttps://127.0.0.1/m", To("127.0.0.1", 443)),
    ("a tab between slashes", "/\t/127.0.0.1/m", To("127.0.0.1", 443)),
    ("the default port", "https://127.0.0.1:443/m", To("127.0.0.1", 443)),
    ("a port with zeros", "https://127.0.0.1:0022/m", To("127.0.0.1", 22)),
    ("the port of Redis", "https://127.0.0.1:6379/m", To("127.0.0.1", 6379)),
    ("the port of http", "https://10.0.0.1:80/m", To("10.0.0.1", 80)),
    ("the highest port", "https://[::1]:65535/m", To("::1", 65535)),
    ("a query alone after the host", "https://127.0.0.1?m", To("127.0.0.1", 443)),
    ("the metadata", "https://169.254.169.254/latest/meta-data/", To("169.254.169.254", 443)),
    ("one slash is a path", "https:/127.0.0.1/m", Home),
    ("no slash is a path", "https:127.0.0.1/m", Home),
    ("an address as a path", "127.0.0.1", Home),
    ("an absolute path", "/127.0.0.1", Home),
    ("a path with dot segments", "/..//127.0.0.1/m", Home),
    ("a fragment", "#//127.0.0.1/", Nowhere(UrlFault::Loop)),
    ("a query", "?//127.0.0.1/", Home),
    ("http", "http://127.0.0.1/m", Nowhere(NotHttps)),
    ("http at the port of https", "http://127.0.0.1:443/m", Nowhere(NotHttps)),
    ("http and IPv6", "http://[::1]/m", Nowhere(NotHttps)),
    ("http and a user", "http://user@127.0.0.1/m", Nowhere(NotHttps)),
    ("a web socket", "wss://127.0.0.1/m", Nowhere(NotHttps)),
    ("a file", "file://127.0.0.1/etc/passwd", Nowhere(NotHttps)),
    ("gopher", "gopher://127.0.0.1:6379/_PING", Nowhere(NotHttps)),
    ("ftp", "ftp://127.0.0.1/m", Nowhere(NotHttps)),
    ("data", "data:application/json,{\"m.server\":\"127.0.0.1\"}", Nowhere(NotHttps)),
    ("javascript", "javascript:location='https://127.0.0.1'", Nowhere(NotHttps)),
    ("matrix", "matrix-federation://127.0.0.1/m", Nowhere(NotHttps)),
    ("an address and a port that read as a scheme", "localhost:8448/m", Nowhere(NotHttps)),
    ("a user without a scheme", "//user@127.0.0.1/m", Nowhere(Credentials)),
    ("a port and a user", "https://b.example:443@127.0.0.1:443/m", Nowhere(Credentials)),
    ("no host", "https:///", Nowhere(NotAUrl)),
];

/// A status with a `Location`.
fn statuses() -> Vec<Row> {
    let location = "https://127.0.0.1/m";
    let page = |status| Page::status(status).header("Location", location);
    let row = |status| {
        Row::of_a(format!("status {status} with a Location"), World::new().well_known(page(status)))
    };
    let mut rows = Vec::new();
    for status in [301, 303, 307, 308] {
        rows.push(row(status).leads_to(&["127.0.0.1"], 443));
    }
    for status in [200, 201, 202, 300, 304, 305, 306, 401, 404, 407, 426, 503] {
        rows.push(row(status).because(answered(WEB, 443)));
    }
    rows
}

/// Chains of redirects, the last of which leads to a blocked address.
fn chains() -> Vec<Row> {
    let mut rows = Vec::new();
    for (length, address) in [(2, "127.0.0.1"), (3, "::1"), (10, "10.0.0.1"), (11, "10.0.0.2")] {
        let mut world = World::new().redirects("https://b.example/1");
        for hop in 1..length {
            let location = match hop + 1 {
                last if last == length && address.contains(':') => format!("https://[{address}]/"),
                last if last == length => format!("https://{address}/"),
                next => format!("/{next}"),
            };
            world = world.page(&format!("b.example/{hop}"), Page::redirect(&location));
        }
        let row = Row::of_a(format!("the last of {length} redirects"), world).attempts(&[
            (WEB, 443),
            (NEXT, 443),
            (WEB, 8448),
        ]);
        rows.push(match length {
            11 => row.because(Rule::Redirect(UrlFault::TooMany)),
            _ => row.leads_to(&[address], 443),
        });
    }
    // The first redirect leads to a host with two addresses; only the good one has the next.
    let world = World::new()
        .host("both.example", &[NEXT, "127.0.0.1"])
        .redirects("https://both.example/1")
        .page("both.example/1", Page::redirect("https://0x0a.1/"));
    rows.push(
        Row::of_a("a redirect behind a host with a blocked address", world)
            .attempts(&[(WEB, 443), (NEXT, 443), (WEB, 8448)])
            .leads_to(&["10.0.0.1"], 443),
    );
    // Back to the first host, which then leads to a document on loopback.
    let world = World::new()
        .redirects("https://b.example/back")
        .page("b.example/back", Page::redirect("https://a.example/x"))
        .page("a.example/x", Page::redirect("//[::ffff:10.0.0.1]:8443/"));
    rows.push(
        Row::of_a("a redirect back and then inside", world)
            .attempts(&[(WEB, 443), (NEXT, 443), (WEB, 8448)])
            .leads_to(&["::ffff:10.0.0.1"], 8443),
    );
    // The document behind a redirect delegates.
    for (server, address) in [("127.0.0.1", "127.0.0.1"), ("[64:ff9b::a00:1]", "64:ff9b::10.0.0.1")]
    {
        let world = World::new()
            .redirects("https://b.example/m")
            .page("b.example/m", Page::delegates(server));
        rows.push(
            Row::of_a(format!("a document behind a redirect delegates to {server}"), world)
                .attempts(&[(WEB, 443), (NEXT, 443)])
                .leads_to(&[address], 8448),
        );
    }
    rows
}

fn several_locations() -> Vec<Row> {
    let page = |locations: &[&str]| {
        let page = Page::status(302);
        locations.iter().fold(page, |page, location| page.header("Location", *location))
    };
    let row = |rule: &str, locations: &[&str]| {
        Row::of_a(format!("several Locations: {rule}"), World::new().well_known(page(locations)))
    };
    let differ = Rule::Redirect(UrlFault::SeveralLocations);
    vec![
        row("the first is good", &["https://b.example/", "https://127.0.0.1/"])
            .because(differ.clone()),
        row("the last is good", &["https://127.0.0.1/", "https://b.example/"])
            .because(differ.clone()),
        row("two spellings", &["https://127.0.0.1/", "https://127.1/"]).because(differ),
        row("the same twice", &["https://127.0.0.1/", "https://127.0.0.1/"])
            .leads_to(&["127.0.0.1"], 443),
        row("none", &[]).because(Rule::Redirect(UrlFault::NoLocation)),
    ]
}

/// Headers that other clients follow.
const HEADERS: &[(&str, &str)] = &[
    ("Alt-Svc", "h2=\"127.0.0.1:443\"; ma=3600, h3=\":443\""),
    ("Refresh", "0; url=https://127.0.0.1/"),
    ("Link", "<https://127.0.0.1/>; rel=\"preload\", <https://10.0.0.1/>; rel=\"canonical\""),
    ("Content-Location", "https://127.0.0.1/"),
    ("URI", "<https://127.0.0.1/>"),
    ("NEL", "{\"report_to\":\"n\",\"max_age\":60}"),
    ("Report-To", "{\"group\":\"n\",\"endpoints\":[{\"url\":\"https://127.0.0.1/\"}]}"),
    ("SourceMap", "https://127.0.0.1/m.map"),
    ("X-Accel-Redirect", "https://127.0.0.1/"),
    ("Forwarded", "for=127.0.0.1;host=127.0.0.1"),
];

/// The federation server of `a.example`, which answers like this.
fn federation(name: String, page: Page) -> Row {
    let world = World::new()
        .serve(WEB, 8448)
        .page_each_time(WELL_KNOWN, vec![Page::status(404)])
        .page("a.example/_matrix/federation/v1/version", page);
    // Once more: what is remembered of the answer must not matter.
    Row::of_a(name, world).acts(&[Act::Request, Act::Request]).because(answered(WEB, 8448))
}

fn other_headers() -> Vec<Row> {
    let mut rows = Vec::new();
    for (header, value) in HEADERS {
        // With a document that is good, and with none.
        let good = Page::delegates("m.example").header(header, *value);
        rows.push(
            Row::of_a(format!("a document with {header}"), World::new().well_known(good))
                .attempts(&[(WEB, 443), (FED, 8448)])
                .because(answered(WEB, 443)),
        );
        let page = Page::ok("{}").header(header, *value);
        rows.push(federation(format!("a federation response with {header}"), page));
    }
    for status in [301, 302, 303, 307, 308] {
        for location in ["https://127.0.0.1/", "//[::1]:8448/", "http://169.254.169.254/latest/"] {
            let page = Page::status(status).header("Location", location);
            let name = format!("a federation response {status} to {location}");
            rows.push(federation(name, page));
        }
    }
    rows
}
