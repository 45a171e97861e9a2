//! Random worlds: what DNS and HTTPS answer to every question that may come up.

mod script;

use matrix_delegation::Step;
use matrix_delegation::config::AddressFamilies;
use matrix_delegation::dns::{DnsFailure, NoRecord};
use matrix_delegation::well_known::FetchFailureKind;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) use script::Draw;

/// Every host of these worlds. The first is asked about, the second is delegated to, ...
const HOSTS: [&str; 7] =
    ["a.example", "m.example", "t.example", "u.example", "r.example", "a.onion", "m.onion"];
/// Those whose SRV records are looked up.
const SRV_HOSTS: [&str; 4] = ["a.example", "m.example", "a.onion", "m.onion"];
const SERVICES: [&str; 2] = ["_matrix-fed._tcp", "_matrix._tcp"];

/// Whose choices are followed where the specification leaves one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset {
    Default,
    Strict,
    Synapse,
}

/// What is said of one address family of a host.
#[derive(Clone, Copy, Debug)]
enum Addresses {
    One,
    /// More than are used, some of them twice, some blocked, in no order.
    Many,
    Blocked,
    PartlyBlocked,
    OfTheOtherFamily,
    Empty,
    Nonsense,
    None(NoRecord),
    Failed(DnsFailure),
}

/// What is said of one service of a host.
#[derive(Clone, Debug)]
enum Srv {
    Records(Vec<(u16, u16, u16, &'static str)>),
    /// More than are used.
    Crowd,
    Nonsense,
    None(NoRecord),
    Failed(DnsFailure),
}

/// One address family of a host.
#[derive(Clone, Debug)]
struct FamilyOf {
    addresses: Addresses,
    alias: bool,
    ttl: Option<u64>,
}

/// One service of a host.
#[derive(Clone, Debug)]
struct ServiceOf {
    srv: Srv,
    ttl: Option<u64>,
}

/// What the headers of a response say of time, in seconds; dates since the epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeping {
    /// Each is a directive of its own.
    pub(crate) max_age: Vec<u64>,
    /// `no-store` or `no-cache`.
    pub(crate) not_at_all: Option<&'static str>,
    /// A directive that says nothing to a private cache.
    pub(crate) beside: Option<&'static str>,
    pub(crate) age: Option<u64>,
    pub(crate) expires: Option<Expires>,
    pub(crate) date: Option<u64>,
    pub(crate) retry_after: Option<u64>,
}

/// What `Expires` says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expires {
    At(u64),
    /// Something that is no date.
    NoDate,
}

/// What is at a URL.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    /// A response that is no redirect, and the name that it delegates to if it is valid.
    Document {
        status: u16,
        coding: &'static str,
        body: String,
        delegates: Option<&'static str>,
        keeping: Keeping,
    },
    /// A status and a `Location`, and where a client finds itself that follows it.
    Redirect {
        status: u16,
        location: String,
        leads: Leads,
    },
    /// More than is read.
    TooLarge,
    Fails(FetchFailureKind),
    Never,
}

/// Where a redirect leads.
#[derive(Clone, Debug)]
pub(crate) enum Leads {
    To(&'static str),
    /// To this path of the same origin.
    Within(String),
    /// To where one is.
    Back,
    /// Nowhere that may be gone to.
    Nowhere,
}

/// A world, and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) preset: Preset,
    pub(crate) families: AddressFamilies,
    last_step: Option<Step>,
    hosts: Vec<[FamilyOf; 2]>,
    srv: Vec<[ServiceOf; 2]>,
    pages: Vec<(&'static str, Page)>,
    /// `https://r.example/n/0` redirects to `/n/1`, and so on, this often; then it delegates.
    chain: usize,
    /// Draws what the rest leaves open: how long each answer takes, for one.
    pub(crate) seed: u64,
}

const NAMES: [&str; 12] = [
    "A.Example",
    "a.example:443",
    "A.example:08448",
    "a.onion",
    "a.onion:1",
    "192.0.2.1",
    "[2001:db8::1]:4",
    "[::FFFF:192.0.2.1]",
    "127.0.0.1",
    "[::ffff:127.0.0.1]:1",
    "127.1",
    "a..example",
];

/// Names to delegate to, and whether a host can be made of them.
const SERVERS: [(&str, bool); 22] = [
    ("m.example", true),
    ("M.Example", true),
    ("m.onion", true),
    ("a.example", true),
    ("A.example", true),
    ("t.example", true),
    ("m.example:443", true),
    ("M.example:00443", true),
    ("a.example:8449", true),
    ("192.0.2.77", true),
    ("192.0.2.77:9", true),
    ("10.0.0.1:9", true),
    ("[2001:DB8::77]:1", true),
    ("[::ffff:127.0.0.1]", true),
    ("[::ffff:192.0.2.9]", true),
    ("", false),
    ("127.1", false),
    ("m..example", false),
    ("m.example.", false),
    ("m.example:0", false),
    ("m.example:65536", false),
    ("https://m.example", false),
];

/// Other bodies, and the name that each delegates to.
const BODIES: [(&str, Option<&str>); 11] = [
    ("", None),
    ("null", None),
    ("[]", None),
    ("{}", None),
    (r#"{"m.server":1}"#, None),
    (r#"{"m.server":null}"#, None),
    (r#"{"m.server":"m.example""#, None),
    (r#"{"m.server":"m.example"} x"#, None),
    (r#"{"m.server":"a.example:1","m.server":null}"#, None),
    (r#"{"m.server":7,"x":[{}],"m.server":"m.example:1"}"#, Some("m.example:1")),
    (" \n{ \"m\\u002eserver\" : \"m.example\" , \"y\":1e9 }\t", Some("m.example")),
];

/// Where redirects go, as a server may write it and as a client must read it.
const LOCATIONS: [(&str, Option<&str>); 20] = [
    ("https://r.example/x", Some("https://r.example/x")),
    ("https://r.example/n/0", Some("https://r.example/n/0")),
    ("https://R.EXAMPLE:443/x#top", Some("https://r.example/x")),
    ("//r.example/y", Some("https://r.example/y")),
    ("https://r.example:8443/x", Some("https://r.example:8443/x")),
    ("https://m.example/.well-known/matrix/server", Some(M_DOCUMENT)),
    ("https://a.example/.well-known/matrix/server", Some(A_DOCUMENT)),
    ("https://192.0.2.60/x", Some("https://192.0.2.60/x")),
    ("https://[2001:db8::60]/x", Some("https://[2001:db8::60]/x")),
    ("https://3221225996/x", Some("https://192.0.2.12/x")),
    ("https://127.0.0.1/x", Some("https://127.0.0.1/x")),
    ("https://0x7f.1/x", Some("https://127.0.0.1/x")),
    ("https://[::ffff:10.0.0.1]/x", Some("https://[::ffff:a00:1]/x")),
    ("https://r.onion/x", Some("https://r.onion/x")),
    ("http://r.example/x", None),
    ("ftp://r.example/x", None),
    ("https://r.example:0/x", None),
    ("https://user@r.example/x", None),
    ("https://@r.example/x", None),
    ("https://", None),
];

const A_DOCUMENT: &str = "https://a.example/.well-known/matrix/server";
const M_DOCUMENT: &str = "https://m.example/.well-known/matrix/server";

/// Every URL that may be led to, but for the chain. The first three are a host's own document.
const URLS: [&str; 14] = [
    A_DOCUMENT,
    "https://a.onion/.well-known/matrix/server",
    M_DOCUMENT,
    "https://r.example/x",
    "https://r.example/y",
    "https://r.example/z",
    "https://a.example/z",
    "https://r.example:8443/x",
    "https://192.0.2.60/x",
    "https://[2001:db8::60]/x",
    "https://192.0.2.12/x",
    "https://127.0.0.1/x",
    "https://[::ffff:a00:1]/x",
    "https://r.onion/x",
];

fn no_record() -> impl Strategy<Value = NoRecord> {
    select(&[NoRecord::NxDomain, NoRecord::NoData, NoRecord::NotImplemented][..])
}

fn failure() -> impl Strategy<Value = DnsFailure> {
    use DnsFailure::{Malformed, Network, Refused, ServFail, Timeout};
    select(&[ServFail, Refused, Timeout, Network, Malformed][..])
}

/// In seconds; `None`: no SOA record, or where there are records any TTL.
fn ttl() -> impl Strategy<Value = Option<u64>> {
    const TTLS: &[Option<u64>] = &[
        None,
        Some(0),
        Some(4),
        Some(6),
        Some(60),
        Some(300),
        Some(300),
        Some(3_599),
        Some(3_601),
        Some(86_399),
        Some(86_401),
        Some(u32::MAX as u64),
    ];
    select(TTLS)
}

/// Headers about time: none, simple ones, and those that contradict each other.
fn keeping() -> impl Strategy<Value = Keeping> {
    const SECONDS: &[u64] =
        &[0, 1, 59, 61, 299, 301, 3_600, 86_400, 172_799, 172_801, u32::MAX as u64, u64::MAX];
    let seconds = || select(SECONDS);
    let maybe = proptest::option::weighted(0.2, seconds());
    let date = select(&[0_u64, 1_000, 784_111_777][..]);
    // Not so long that the date could not be written.
    let expires = (date.clone(), select(&SECONDS[..10]))
        .prop_map(|(date, seconds)| Expires::At(date + seconds));
    let expires = prop_oneof![4 => expires.boxed(), 1 => Just(Expires::NoDate).boxed()];
    let beside = select(&["public", "s-maxage=7", "must-revalidate", "max-age-x=1"][..]);
    (
        prop_oneof![2 => prop::collection::vec(seconds(), 0..2), 1 => prop::collection::vec(seconds(), 0..4)],
        proptest::option::weighted(0.1, select(&["no-store", "No-Cache", "no-cache=\"x\""][..])),
        proptest::option::weighted(0.3, beside),
        maybe.clone(),
        proptest::option::weighted(0.3, expires),
        proptest::option::weighted(0.5, date),
        proptest::option::weighted(0.5, seconds()),
    )
        .prop_map(|(max_age, not_at_all, beside, age, expires, date, retry_after)| Keeping {
            max_age,
            not_at_all,
            beside,
            age,
            expires,
            date,
            retry_after,
        })
}

fn family() -> impl Strategy<Value = FamilyOf> {
    let answer = prop_oneof![
        8 => Just(Addresses::One),
        1 => Just(Addresses::Many),
        4 => Just(Addresses::Blocked),
        2 => Just(Addresses::PartlyBlocked),
        1 => Just(Addresses::OfTheOtherFamily),
        1 => Just(Addresses::Empty),
        1 => Just(Addresses::Nonsense),
        4 => no_record().prop_map(Addresses::None),
        4 => failure().prop_map(Addresses::Failed),
    ];
    (answer, prop::bool::weighted(0.15), ttl()).prop_map(|(addresses, alias, ttl)| FamilyOf {
        addresses,
        alias,
        ttl,
    })
}

fn service() -> impl Strategy<Value = ServiceOf> {
    const PORTS: &[u16] = &[0, 443, 443, 8448, 8449];
    let good = select(&["t.example.", "T.Example", "u.example.", "a.example", "m.example."][..]);
    let odd = select(&[".", "", "192.0.2.9", "[::1]", "127.1.", "a_b.example.", "t.onion."][..]);
    let record = |target| (0_u16..3, select(&[0_u16, 1, 9][..]), select(PORTS), target);
    let any = prop_oneof![3 => good.clone().boxed(), 1 => odd.boxed()];
    let srv = prop_oneof![
        6 => no_record().prop_map(Srv::None),
        2 => failure().prop_map(Srv::Failed),
        4 => prop::collection::vec(record(good.boxed()), 1..5).prop_map(Srv::Records),
        3 => prop::collection::vec(record(any.boxed()), 0..4).prop_map(Srv::Records),
        1 => Just(Srv::Records(vec![(0, 0, 0, ".")])),
        1 => Just(Srv::Records(vec![(0, 0, 0, "."), (1, 0, 443, "t.example.")])),
        1 => Just(Srv::Records(vec![(0, 0, 0, "t.example."), (0, 0, 4, "192.0.2.9")])),
        1 => Just(Srv::Crowd),
        1 => Just(Srv::Nonsense),
    ];
    (srv, ttl()).prop_map(|(srv, ttl)| ServiceOf { srv, ttl })
}

fn document(status: u16, server: &'static str, valid: bool, keeping: Keeping) -> Page {
    let body = format!(r#"{{"m.server":"{server}"}}"#);
    let delegates = (valid && status == 200).then_some(server);
    Page::Document { status, coding: "", body, delegates, keeping }
}

fn page() -> impl Strategy<Value = Page> {
    use FetchFailureKind as Kind;
    const STATUSES: &[u16] =
        &[201, 204, 206, 300, 304, 305, 400, 401, 403, 404, 404, 408, 410, 429, 500, 503, 999];
    const KINDS: &[Kind] = &[
        Kind::Adapter,
        Kind::NoAddress,
        Kind::Connect,
        Kind::Refused,
        Kind::ConnectTimeout,
        Kind::Tls,
        Kind::TlsTimeout,
        Kind::ExchangeTimeout,
        Kind::Protocol,
        Kind::HeadTooLarge,
        Kind::CutOff,
    ];
    let codings = [("gzip", false), ("br, identity", false), ("Identity", true)];
    let coded = select(codings.to_vec()).prop_map(|(coding, readable)| Page::Document {
        status: 200,
        coding,
        body: r#"{"m.server":"m.example:443"}"#.to_owned(),
        delegates: readable.then_some("m.example:443"),
        keeping: Keeping::default(),
    });
    let other = select(&BODIES[..]).prop_map(|(body, delegates)| Page::Document {
        status: 200,
        coding: "",
        body: body.to_owned(),
        delegates,
        keeping: Keeping::default(),
    });
    let lengths = select(vec![(51_200_usize, true), (51_201, false)]);
    let padded = lengths.prop_map(|(length, readable)| Page::Document {
        status: 200,
        coding: "",
        body: format!("{:length$}", r#"{"m.server":"m.example"}"#),
        delegates: readable.then_some("m.example"),
        keeping: Keeping::default(),
    });
    let absolute = select(&LOCATIONS[..])
        .prop_map(|(text, leads)| (text.to_owned(), leads.map_or(Leads::Nowhere, Leads::To)));
    let location = prop_oneof![
        8 => absolute,
        1 => Just(("/z".to_owned(), Leads::Within("/z".to_owned()))),
        1 => Just((String::new(), Leads::Back)),
    ];
    let redirect = (select(&[301_u16, 302, 303, 307, 308][..]), location)
        .prop_map(|(status, (location, leads))| Page::Redirect { status, location, leads });
    prop_oneof![
        9 => (select(&SERVERS[..]), keeping())
            .prop_map(|((server, valid), keeping)| document(200, server, valid, keeping)),
        3 => keeping().prop_map(|keeping| document(200, "m.example", true, keeping)),
        5 => redirect,
        3 => (select(STATUSES), keeping())
            .prop_map(|(status, keeping)| document(status, "m.example", true, keeping)),
        1 => other,
        1 => coded,
        1 => padded,
        1 => Just(Page::TooLarge),
        2 => select(KINDS).prop_map(Page::Fails),
        1 => Just(Page::Never),
    ]
}

/// Any world, and any way to ask it.
pub(crate) fn plans() -> impl Strategy<Value = Plan> {
    use AddressFamilies::{Both, ByProxy, V4, V6};
    let name = prop_oneof![3 => Just("a.example").boxed(), 1 => select(&NAMES[..]).boxed()];
    let preset = select(&[Preset::Default, Preset::Strict, Preset::Synapse][..]);
    let families = select(&[Both, Both, Both, V4, V6, ByProxy][..]);
    let last_step = proptest::option::weighted(0.3, select(&Step::ALL[..]));
    let hosts = prop::collection::vec([family(), family()], HOSTS.len());
    let services = prop::collection::vec([service(), service()], SRV_HOSTS.len());
    let pages = prop::collection::vec(page(), URLS.len())
        .prop_map(|pages| URLS.into_iter().zip(pages).collect::<Vec<_>>());
    let chain = select(&[0_usize, 1, 7, 8, 9, 10, 17, 18, 19, 20][..]);
    (name, preset, families, last_step, hosts, services, pages, chain, any::<u64>()).prop_map(
        |(name, preset, families, last_step, hosts, srv, pages, chain, seed)| Plan {
            name,
            preset,
            families,
            last_step,
            hosts,
            srv,
            pages,
            chain,
            seed,
        },
    )
}
