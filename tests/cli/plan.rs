//! The command line of `examples/plan.rs`, run as a program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::program::built;
use serde_json::Value;

/// The program, built if it is not.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("plan"))
}

/// Exit status, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const ORDINARY: [&str; 5] =
    ["example.org", "--listening", "matrix.example.org:8448", "--certificate", "*.example.org"];

#[test]
fn people_and_programs_read_the_same_plan() {
    let (status, text, _) = run(&ORDINARY);
    assert_eq!(status, 0);
    assert!(text.contains("recommended: a well-known document"), "{text}");
    assert!(text.contains(r#"{"m.server":"matrix.example.org:8448"}"#), "{text}");

    let (status, json, _) = run(&[&ORDINARY[..], &["--json", "--max-age", "60"]].concat());
    assert_eq!((status, json.lines().count()), (0, 1));
    let json: Value = serde_json::from_str(&json).unwrap();
    let way = &json["ways"][0]["way"];
    assert_eq!(way["document"]["headers"]["cache-control"], "max-age=60");
    assert_eq!(way["contact"]["host_header"], "matrix.example.org:8448");
}

#[test]
fn the_choices_reach_the_plan() {
    let own = ["example.org", "--listening", "m.example.org:443", "--certificate", "example.org"];
    let (_, text, _) = run(&[&own[..], &["--deprecated-srv"]].concat());
    for line in ["_matrix-fed._tcp.example.org.", "_matrix._tcp.example.org."] {
        assert!(text.contains(&format!("{line} 3600 IN SRV 10 0 443 m.example.org.")), "{text}");
    }
    let (status, text, _) = run(&[&own[..], &["--alias"]].concat());
    assert!(status == 1 && text.contains("alias"), "{text}");

    let private = ["hs1", "--listening", "hs1:8448", "--certificate", "hs1"];
    assert_eq!(run(&private).0, 1);
    assert_eq!(run(&[&private[..], &["--allow", "10.0.0.0/8"]].concat()).0, 0);
}

#[test]
fn names_and_addresses_are_taken_as_they_are_written_elsewhere() {
    let (status, text, _) = run(&[
        "EXAMPLE.org",
        "--listening",
        "Matrix.Example.org:443",
        "--certificate",
        "MATRIX.example.ORG",
    ]);
    assert_eq!(status, 0);
    assert!(text.contains(r#"{"m.server":"matrix.example.org:443"}"#), "{text}");

    let literal = ["[2606:4700::1]:443", "--listening", "[2606:4700::1]:443"];
    let (status, text, _) = run(&literal);
    assert!(status == 1 && text.contains("get one for [2606:4700::1]"), "{text}");
    let (status, text, _) = run(&[&literal[..], &["--certificate", "[2606:4700::1]"]].concat());
    assert!(status == 0 && text.contains("delegation: not needed"), "{text}");
}

#[test]
fn who_cannot_delegate_is_not_told_to() {
    for name in ["1.1.1.1", "a.org:8449"] {
        let elsewhere = [name, "--listening", "m.example.org:443", "--certificate", "a.org"];
        let (status, text, _) = run(&elsewhere);
        assert_eq!(status, 1);
        assert!(text.contains("for this way, move it there"), "{text}");
        assert!(!text.contains("; delegate"), "{text}");
    }
}

#[test]
fn configuration_is_for_the_way_that_is_asked_for() {
    let both = [&ORDINARY[..], &["--certificate", "example.org", "--proxy", "nginx"]].concat();
    let (status, text, _) = run(&both);
    assert_eq!(status, 0);
    assert!(text.contains("location = /.well-known/matrix/server"), "{text}");
    let options = ["--way", "srv", "--upstream", "127.0.0.1:9000", "--certificates", "/etc/tls"];
    let (_, text, _) = run(&[&both[..], &options].concat());
    assert!(!text.contains(".well-known"), "{text}");
    assert!(text.contains("proxy_pass http://127.0.0.1:9000;"), "{text}");
    assert!(text.contains("/etc/tls/example.org/fullchain.pem"), "{text}");
    // That way does not work, and nothing is printed that would look as if it did.
    let (status, text, error) = run(&[&both[..], &["--way", "nothing-needed"]].concat());
    assert_eq!((status, text.as_str()), (1, ""));
    assert!(error.contains("listens at matrix.example.org"), "{error}");
}

#[test]
fn whoever_has_a_web_site_already_is_told_what_to_add_to_it() {
    for (program, words) in [
        ("nginx", "# Where there is a server for example.org at port 443 already"),
        ("caddy", "# Where there is a site example.org at port 443 already"),
        ("apache", "# Where there is a VirtualHost for example.org at port 443 already"),
        ("haproxy", "# Where there is a frontend at port 443 already"),
    ] {
        let printed = |more: &[&str]| run(&[&ORDINARY[..], &["--proxy", program], more].concat()).1;
        let text = printed(&[]);
        assert_eq!(text.matches("already, put ").count(), 1, "{text}");
        assert!(text.contains(words), "{text}");
        // Nobody has any of it already.
        let alone = printed(&["--standalone", "/tmp/alone"]);
        assert!(!alone.contains("already, put "), "{alone}");
        assert_eq!(alone.contains("Where Debian has its modules"), program == "apache", "{alone}");
        let other = printed(&["--certificate", "example.org", "--way", "srv"]);
        assert!(!other.contains("already, put "), "{other}");
    }
}

#[test]
fn bad_usage_says_what_is_wrong() {
    for (bad, evidence) in [
        (&["example.org;", "--listening", "m.example.org:443"][..], "letters, digits"),
        (&["example.org", "--listening", "m.example.org"], "there is no port"),
        (&["example.org", "--listening", "127.1:443"], "IP address"),
        (&["example.org", "--listening", "a.org:1", "--certificate", "*.org"], "top-level"),
        (&["example.org"], "--listening"),
        (&["b\u{fc}cher.example", "--listening", "a.org:1"], "DNS has it as xn--bcher-kva.example"),
        (&["a.org", "--listening", "m.b\u{fc}cher.org:443"], "DNS has it as m.xn--bcher-kva.org"),
        (&["a.org", "--listening", "https://a.org:443"], "leave out https://"),
        (&["@user:a.org", "--listening", "a.org:443"], "what follows the first colon"),
        (&["a.org", "--listening", "a.org:1", "--certificate", "a.org,b.org"], "once for each"),
        (&["a.org", "--listening", "a.org:0"], "there is no port 0"),
        (&["a.org", "--listening", "a.org:65536"], "larger than 65535"),
        (&["a.org", "--listening", "2606:4700::1:443"], "in brackets"),
        (
            &["a.org", "--listening", "a.org:1", "--proxy", "nginx", "--certificates", "/a b"],
            "absolute path",
        ),
    ] {
        let (status, _, error) = run(bad);
        assert_eq!(status, 2, "{bad:?}");
        assert!(error.contains(evidence), "{bad:?}: {error}");
    }
}

#[test]
fn who_reads_no_further_is_told_of_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(program()).args(ORDINARY).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
