//! How long a response may be kept: one row of headers for each rule.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use matrix_delegation::well_known::{Freshness, retry_after};
use proptest::prelude::*;

/// The largest time that is told apart.
const LONGEST: u64 = u32::MAX as u64;

/// The present of every row: Sun, 06 Nov 1994 08:49:37 GMT.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap())
        })
        .collect()
}

fn freshness(lines: &[(&str, &[u8])]) -> Option<u64> {
    match Freshness::from_headers(&headers(lines), now()) {
        Freshness::For(time) => {
            assert_eq!(time.subsec_nanos(), 0);
            Some(time.as_secs())
        }
        Freshness::Unstated => None,
    }
}

struct Row {
    rule: &'static str,
    /// `name: value`, one a line.
    headers: &'static [(&'static str, &'static [u8])],
    seconds: Option<u64>,
}

macro_rules! rows {
    ($($rule:literal: [$($name:literal $value:expr),*] => $seconds:expr,)*) => {
        &[$(Row { rule: $rule, headers: &[$(($name, $value)),*], seconds: $seconds }),*]
    };
}

const CC: &[Row] = rows! {
    "no header at all": [] => None,
    "other headers say nothing": ["content-type" b"application/json"] => None,
    "an empty Cache-Control says nothing": ["cache-control" b""] => None,
    "commas alone say nothing": ["cache-control" b" , ,\t,"] => None,
    "max-age as a token": ["cache-control" b"max-age=60"] => Some(60),
    "max-age of zero": ["cache-control" b"max-age=0"] => Some(0),
    "max-age with leading zeros": ["cache-control" b"max-age=00060"] => Some(60),
    "max-age as a quoted string": ["cache-control" b"max-age=\"60\""] => Some(60),
    "escaped digits in a quoted string": ["cache-control" b"max-age=\"\\6\\0\""] => Some(60),
    "directive names in any case": ["cache-control" b"Max-AGE=60"] => Some(60),
    "spaces before =": ["cache-control" b"max-age  =60"] => Some(60),
    "spaces after =": ["cache-control" b"max-age=  60"] => Some(60),
    "tabs round =": ["cache-control" b"max-age\t=\t60"] => Some(60),
    "spaces round = of a quoted string": ["cache-control" b"max-age = \"60\""] => Some(60),
    "spaces and tabs round members": ["cache-control" b"\t public , \t max-age=60 \t"] => Some(60),
    "no spaces between members": ["cache-control" b"public,max-age=60,immutable"] => Some(60),
    "empty members are ignored": ["cache-control" b",,max-age=60,,"] => Some(60),
    "the largest number": ["cache-control" b"max-age=4294967295"] => Some(LONGEST),
    "one over the largest number": ["cache-control" b"max-age=4294967296"] => Some(LONGEST),
    "over 64 bits": ["cache-control" b"max-age=18446744073709551616"] => Some(LONGEST),
    "a hundred digits": ["cache-control" b"max-age=9999999999999999999999999999999999999999\
        999999999999999999999999999999999999999999999999999999999999"] => Some(LONGEST),
    "over the largest, quoted": ["cache-control" b"max-age=\"99999999999\""] => Some(LONGEST),
    "repeated in one line: the least": ["cache-control" b"max-age=90, max-age=60, max-age=70"]
        => Some(60),
    "repeated over lines: the least": ["cache-control" b"max-age=60", "cache-control" b"max-age=90"]
        => Some(60),
    "repeated, one unreadable": ["cache-control" b"max-age=60, max-age=x"] => Some(0),
    "letters": ["cache-control" b"max-age=abc"] => Some(0),
    "no argument": ["cache-control" b"max-age"] => Some(0),
    "an empty argument": ["cache-control" b"max-age="] => Some(0),
    "an empty quoted string": ["cache-control" b"max-age=\"\""] => Some(0),
    "a negative number": ["cache-control" b"max-age=-1"] => Some(0),
    "a plus sign": ["cache-control" b"max-age=+60"] => Some(0),
    "a fraction": ["cache-control" b"max-age=1.5"] => Some(0),
    "a hexadecimal number": ["cache-control" b"max-age=0x60"] => Some(0),
    "a unit": ["cache-control" b"max-age=60s"] => Some(0),
    "a semicolon for a comma": ["cache-control" b"max-age=60; public"] => Some(0),
    "a space within the number": ["cache-control" b"max-age=6 0"] => Some(0),
    "a space within the quotes": ["cache-control" b"max-age=\" 60\""] => Some(0),
    "single quotes": ["cache-control" b"max-age='60'"] => Some(0),
    "digits in another script": ["cache-control" "max-age=\u{0666}".as_bytes()] => Some(0),
    "bytes that are not UTF-8": ["cache-control" b"max-age=60\xff"] => Some(0),
    "a second =": ["cache-control" b"max-age==60"] => Some(0),
    "text after the closing quote": ["cache-control" b"max-age=\"60\"0"] => Some(0),
    "an open quoted string": ["cache-control" b"max-age=\"60"] => Some(0),
    "an open quoted string that ends with a backslash": ["cache-control" b"max-age=\"60\\"]
        => Some(0),
    "a lone quote": ["cache-control" b"max-age=\""] => Some(0),
    "opaque bytes elsewhere do not matter": ["cache-control" b"ext=\xff\xfe, max-age=60"]
        => Some(60),
    "a quoted name is another directive": ["cache-control" b"\"max-age\"=60"] => None,
    "a name that begins the same": ["cache-control" b"max-age-x=60"] => None,
    "a name that ends the same": ["cache-control" b"x-max-age=60"] => None,
    "an argument without a name": ["cache-control" b"=60"] => None,
    "s-maxage is ignored": ["cache-control" b"s-maxage=60"] => None,
    "s-maxage does not beat max-age": ["cache-control" b"s-maxage=10, max-age=60"] => Some(60),
    "private is ignored": ["cache-control" b"private"] => None,
    "must-revalidate is ignored": ["cache-control" b"must-revalidate, max-age=60"] => Some(60),
    "stale-while-revalidate adds nothing": ["cache-control"
        b"max-age=60, stale-while-revalidate=999"] => Some(60),
    "no-store": ["cache-control" b"no-store"] => Some(0),
    "no-store in any case": ["cache-control" b"No-Store"] => Some(0),
    "no-store with an argument": ["cache-control" b"no-store=1"] => Some(0),
    "no-store after max-age": ["cache-control" b"max-age=60, no-store"] => Some(0),
    "no-store before max-age": ["cache-control" b"no-store, max-age=60"] => Some(0),
    "no-store in another line": ["cache-control" b"max-age=60", "cache-control" b"no-store"]
        => Some(0),
    "no-store beats Expires": ["cache-control" b"no-store",
        "expires" b"Sun, 06 Nov 1994 09:49:37 GMT"] => Some(0),
    "no-cache": ["cache-control" b"no-cache"] => Some(0),
    "no-cache beats max-age": ["cache-control" b"max-age=60, no-cache"] => Some(0),
    "no-cache with field names": ["cache-control" b"max-age=60, no-cache=\"set-cookie, x\""]
        => Some(0),
    "no-cache with a token": ["cache-control" b"max-age=60, no-cache = x"] => Some(0),
    "no-store-like names are others": ["cache-control" b"no-storey, no-cached"] => None,
    "max-age within a quoted string": ["cache-control" b"private=\"a, max-age=5\""] => None,
    "max-age after a quoted string with a comma": ["cache-control"
        b"private=\"a, max-age=5\", max-age=60"] => Some(60),
    "an escaped quote does not close": ["cache-control" b"ext=\"\\\", max-age=9\""] => None,
    "an escaped backslash does not escape the quote": ["cache-control"
        b"ext=\"\\\\\", max-age=60"] => Some(60),
    "a backslash outside of quotes escapes nothing": ["cache-control" b"ext=\\\"a, max-age=9\""]
        => None,
    "no-store within a quoted string": ["cache-control" b"ext=\"a, no-store\", max-age=60"]
        => Some(60),
    "an open quoted string swallows its line": ["cache-control" b"ext=\"a, max-age=60"] => None,
    "an open quoted string swallows no other line": ["cache-control" b"ext=\"a",
        "cache-control" b"max-age=60"] => Some(60),
    "Pragma is ignored": ["pragma" b"no-cache", "cache-control" b"max-age=60"] => Some(60),
};

const AGE_AND_EXPIRES: &[Row] = rows! {
    "Age is taken off": ["cache-control" b"max-age=60", "age" b"20"] => Some(40),
    "Age up to max-age": ["cache-control" b"max-age=60", "age" b"60"] => Some(0),
    "Age over max-age": ["cache-control" b"max-age=60", "age" b"61"] => Some(0),
    "Age over 64 bits": ["cache-control" b"max-age=60", "age" b"99999999999999999999999"] => Some(0),
    "Age and max-age both over the largest": ["cache-control" b"max-age=99999999999",
        "age" b"99999999999"] => Some(0),
    "Age as a list: the first": ["cache-control" b"max-age=60", "age" b"20, 50"] => Some(40),
    "Age in two lines: the first": ["cache-control" b"max-age=60", "age" b"50", "age" b"20"]
        => Some(10),
    "Age with empty members": ["cache-control" b"max-age=60", "age" b" ,\t, 20"] => Some(40),
    "Age with spaces": ["cache-control" b"max-age=60", "age" b"\t20 "] => Some(40),
    "Age that is no number": ["cache-control" b"max-age=60", "age" b"abc"] => Some(60),
    "Age whose first member is no number": ["cache-control" b"max-age=60", "age" b"x, 20"]
        => Some(60),
    "Age below zero": ["cache-control" b"max-age=60", "age" b"-20"] => Some(60),
    "Age with a fraction": ["cache-control" b"max-age=60", "age" b"20.5"] => Some(60),
    "Age in quotes": ["cache-control" b"max-age=60", "age" b"\"20\""] => Some(60),
    "Age empty": ["cache-control" b"max-age=60", "age" b""] => Some(60),
    "Age of opaque bytes": ["cache-control" b"max-age=60", "age" b"\xff"] => Some(60),
    "Age alone states nothing": ["age" b"20"] => None,
    "Date alone states nothing": ["date" b"Sun, 06 Nov 1994 08:49:37 GMT"] => None,
    "Expires less Date": ["expires" b"Sun, 06 Nov 1994 10:00:00 GMT",
        "date" b"Sun, 06 Nov 1994 09:00:00 GMT"] => Some(3600),
    "Expires less Date, less Age": ["expires" b"Sun, 06 Nov 1994 10:00:00 GMT",
        "date" b"Sun, 06 Nov 1994 09:00:00 GMT", "age" b"600"] => Some(3000),
    "Expires without Date": ["expires" b"Sun, 06 Nov 1994 08:50:37 GMT"] => Some(60),
    "Expires with an unreadable Date": ["expires" b"Sun, 06 Nov 1994 08:50:37 GMT",
        "date" b"yesterday"] => Some(60),
    "Expires with a Date of opaque bytes": ["expires" b"Sun, 06 Nov 1994 08:50:37 GMT",
        "date" b"\xff"] => Some(60),
    "Expires at Date": ["expires" b"Sun, 06 Nov 1994 09:00:00 GMT",
        "date" b"Sun, 06 Nov 1994 09:00:00 GMT"] => Some(0),
    "Expires before Date": ["expires" b"Sun, 06 Nov 1994 08:59:59 GMT",
        "date" b"Sun, 06 Nov 1994 09:00:00 GMT"] => Some(0),
    "Expires in the past, by an older Date": ["expires" b"Sat, 05 Nov 1994 10:00:00 GMT",
        "date" b"Sat, 05 Nov 1994 09:00:00 GMT"] => Some(3600),
    "Expires in the RFC 850 format": ["expires" b"Sunday, 06-Nov-94 08:50:37 GMT"] => Some(60),
    "Expires in the asctime format": ["expires" b"Sun Nov  6 08:50:37 1994"] => Some(60),
    "Date in the RFC 850 format": ["expires" b"Sun, 06 Nov 1994 10:00:00 GMT",
        "date" b"Sunday, 06-Nov-94 09:00:00 GMT"] => Some(3600),
    "Expires of 0": ["expires" b"0"] => Some(0),
    "Expires of -1": ["expires" b"-1"] => Some(0),
    "Expires empty": ["expires" b""] => Some(0),
    "Expires of opaque bytes": ["expires" b"\xff"] => Some(0),
    "Expires in another zone": ["expires" b"Sun, 06 Nov 1994 10:00:00 CET"] => Some(0),
    "Expires on the wrong day of the week": ["expires" b"Mon, 06 Nov 1994 10:00:00 GMT"] => Some(0),
    "Expires on a day that does not exist": ["expires" b"Wed, 30 Feb 1994 10:00:00 GMT"] => Some(0),
    "Expires before 1970": ["expires" b"Sun, 06 Nov 1904 10:00:00 GMT"] => Some(0),
    "Expires far off": ["expires" b"Fri, 31 Dec 9999 23:59:59 GMT"] => Some(LONGEST),
    "Expires twice: the earliest": ["expires" b"Sun, 06 Nov 1994 08:52:37 GMT",
        "expires" b"Sun, 06 Nov 1994 08:50:37 GMT"] => Some(60),
    "Expires twice, one unreadable": ["expires" b"Sun, 06 Nov 1994 08:52:37 GMT",
        "expires" b"never"] => Some(0),
    "Date twice: the first": ["expires" b"Sun, 06 Nov 1994 10:00:00 GMT",
        "date" b"Sun, 06 Nov 1994 09:00:00 GMT", "date" b"Sun, 06 Nov 1994 09:30:00 GMT"]
        => Some(3600),
    "max-age beats a later Expires": ["cache-control" b"max-age=60",
        "expires" b"Sun, 06 Nov 1994 10:00:00 GMT"] => Some(60),
    "max-age beats an unreadable Expires": ["cache-control" b"max-age=60", "expires" b"0"]
        => Some(60),
    "an unreadable max-age beats Expires": ["cache-control" b"max-age=x",
        "expires" b"Sun, 06 Nov 1994 10:00:00 GMT"] => Some(0),
    "ignored directives leave Expires": ["cache-control" b"private, s-maxage=5",
        "expires" b"Sun, 06 Nov 1994 08:50:37 GMT"] => Some(60),
};

/// `Retry-After` under the same present.
const RETRY: &[Row] = rows! {
    "no Retry-After": [] => None,
    "Retry-After in seconds": ["retry-after" b"120"] => Some(120),
    "Retry-After of zero": ["retry-after" b"0"] => Some(0),
    "Retry-After with spaces": ["retry-after" b" 120\t"] => Some(120),
    "Retry-After over 64 bits": ["retry-after" b"99999999999999999999999"] => Some(LONGEST),
    "Retry-After as a date": ["retry-after" b"Sun, 06 Nov 1994 08:51:37 GMT"] => Some(120),
    "Retry-After in the RFC 850 format": ["retry-after" b"Sunday, 06-Nov-94 08:51:37 GMT"]
        => Some(120),
    "Retry-After in the asctime format": ["retry-after" b"Sun Nov  6 08:51:37 1994"] => Some(120),
    "Retry-After in the past": ["retry-after" b"Sun, 06 Nov 1994 08:00:00 GMT"] => Some(0),
    "Retry-After is measured from now": ["retry-after" b"Sun, 06 Nov 1994 08:51:37 GMT",
        "date" b"Sun, 06 Nov 1994 08:51:37 GMT"] => Some(120),
    "Retry-After empty": ["retry-after" b""] => None,
    "Retry-After in words": ["retry-after" b"soon"] => None,
    "Retry-After below zero": ["retry-after" b"-1"] => None,
    "Retry-After with a fraction": ["retry-after" b"1.5"] => None,
    "Retry-After with a sign": ["retry-after" b"+120"] => None,
    "Retry-After in quotes": ["retry-after" b"\"120\""] => None,
    "Retry-After of opaque bytes": ["retry-after" b"\xff"] => None,
    "Retry-After twice: the first": ["retry-after" b"120", "retry-after" b"60"] => Some(120),
};

#[test]
fn freshness_of_each_row() {
    for row in CC.iter().chain(AGE_AND_EXPIRES) {
        assert_eq!(freshness(row.headers), row.seconds, "{}", row.rule);
    }
}

#[test]
fn retry_after_of_each_row() {
    for row in RETRY {
        let seconds = retry_after(&headers(row.headers), now()).map(|time| time.as_secs());
        assert_eq!(seconds, row.seconds, "{}", row.rule);
    }
}

#[test]
fn rules_are_unique() {
    let rows = || CC.iter().chain(AGE_AND_EXPIRES).chain(RETRY);
    let rules: HashSet<_> = rows().map(|row| row.rule).collect();
    assert_eq!(rules.len(), rows().count());
    let inputs: HashSet<_> = rows().map(|row| row.headers).collect();
    // "No header at all" and "no Retry-After" share theirs.
    assert_eq!(inputs.len() + 1, rows().count());
}

#[test]
fn serialises() {
    let text = |freshness: Freshness| serde_json::to_string(&freshness).unwrap();
    assert_eq!(text(Freshness::For(Duration::from_secs(60))), r#"{"for":{"secs":60,"nanos":0}}"#);
    assert_eq!(text(Freshness::Unstated), r#""unstated""#);
}

/// Bytes that a header may hold, those that mean something to the reader more often.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"max-age=,\"\\ \t0129".to_vec()),
        1 => prop_oneof![1 => Just(b'\t'), 95 => 32..=126_u8, 128 => 128..=255_u8],
    ];
    prop::collection::vec(byte, 0..40)
}

/// A whole directive.
fn directive() -> impl Strategy<Value = String> {
    prop_oneof![
        "(max-age|Max-Age|s-maxage|ext)[ \t]?=[ \t]?\"?[0-9]{0,12}\"?"
            .prop_filter("closed", |text| text.matches('"').count() % 2 == 0),
        "(private|ext)=\"([a-z,= ]|max-age=1|\\\\\"|\\\\\\\\){0,6}\"",
        Just("no-store".to_owned()),
        Just("no-cache".to_owned()),
        Just("public".to_owned()),
        Just(String::new()),
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic(lines in prop::collection::vec((0..5_usize, value()), 0..6)) {
        let names = ["cache-control", "age", "expires", "date", "retry-after"];
        let lines: Vec<_> = lines.iter().map(|(i, v)| (names[*i], v.as_slice())).collect();
        if let Some(seconds) = freshness(&lines) {
            prop_assert!(seconds <= LONGEST);
        }
        let _ = retry_after(&headers(&lines), now());
    }

    #[test]
    fn a_present_before_the_epoch_does_not_panic(seconds in 0..1_u64 << 40, value in value()) {
        let now = SystemTime::UNIX_EPOCH - Duration::from_secs(seconds);
        let headers = headers(&[("expires", b"Fri, 31 Dec 9999 23:59:59 GMT"), ("date", &value),
            ("retry-after", b"Fri, 31 Dec 9999 23:59:59 GMT")]);
        let _ = Freshness::from_headers(&headers, now);
        prop_assert!(retry_after(&headers, now).unwrap().as_secs() <= LONGEST);
    }

    #[test]
    fn split_lists_mean_what_joined_ones_do(
        directives in prop::collection::vec((directive(), any::<bool>()), 1..8),
    ) {
        let members: Vec<_> = directives.iter().map(|(text, _)| text.as_str()).collect();
        let joined = members.join(", ");
        let mut lines = vec![String::new()];
        for (text, own_line) in &directives {
            if *own_line {
                lines.push(text.clone());
            } else {
                let last = lines.last_mut().unwrap();
                last.push(',');
                last.push_str(text);
            }
        }
        let lines: Vec<_> = lines.iter().map(|line| ("cache-control", line.as_bytes())).collect();
        prop_assert_eq!(freshness(&lines), freshness(&[("cache-control", joined.as_bytes())]));
    }
}
