//! The command line of `examples/resolve.rs`, run as a program against real servers on loopback.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::internet::{Certificate, Internet, Manner, Site, Trouble, VERSION_PATH};
use crate::program::built;
use serde_json::{Value, json};

/// The program, built if it is not.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("resolve"))
}

/// DNS and a homeserver on loopback, at ports that the system picked.
struct Network {
    homeserver: Internet,
    names: Internet,
    ca: PathBuf,
    port: u16,
}

async fn network(file: &str) -> Network {
    let names = ["a.example", "b.example", "127.0.0.1"].map(str::to_owned).to_vec();
    let site = Site::with(Certificate::For(names)).federation("here");
    // Whatever its virtual address, the program is told the real one.
    let homeserver = Internet::builder().site(["192.0.2.1:8448"], site).start().await;
    let real = homeserver.route("192.0.2.1:8448".parse().unwrap()).unwrap();
    let port = real.port();
    let fed = "_matrix-fed._tcp.b.example";
    let names = Internet::builder()
        .address("a.example", "127.0.0.1")
        .srv("_matrix-fed._tcp.a.example", 10, 0, port, "a.example")
        // No address of its own, so that no well-known is fetched.
        .srv(fed, 10, 3, port, "a.example")
        .srv(fed, 10, 1, port, "other.example")
        .address("other.example", "127.0.0.1")
        .srv("_matrix._tcp.old.example", 10, 0, port, "a.example")
        .srv("_matrix-fed._tcp.none.example", 0, 0, 0, ".")
        .address("blocked.example", "10.0.0.1")
        .trouble("_matrix-fed._tcp.servfail.example", Trouble::ServFail)
        .srv("_matrix._tcp.servfail.example", 10, 0, port, "a.example")
        .start()
        .await;
    let ca = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&ca, homeserver.ca_pem()).unwrap();
    Network { homeserver, names, ca, port }
}

impl Network {
    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .arg("--dns")
            .arg(self.names.dns_address().to_string())
            .arg("--ca")
            .arg(&self.ca)
            .args(["--allow", "127.0.0.0/8"])
            .stdin(Stdio::null());
        command
    }

    /// Runs the program beside the servers, which live on this thread's runtime.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> (Vec<Value>, i32) {
        let mut all = vec!["--json"];
        all.extend_from_slice(arguments);
        let output = self.run(&all).await;
        lines(&output)
    }
}

fn lines(output: &Output) -> (Vec<Value>, i32) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    (lines, output.status.code().unwrap_or_else(|| panic!("{errors}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_the_fields_of_the_contract() {
    let network = network("fields.pem").await;
    let (lines, status) = network.json(&["--get", VERSION_PATH, "old.example"]).await;
    assert_eq!(status, 0);
    let line = &lines[0];
    let lifetime = line["lifetime_seconds"].as_u64().unwrap();
    assert!((200..=300).contains(&lifetime), "{line}");
    let well_known = line["well_known_lifetime_seconds"].as_u64().unwrap();
    assert!((300..=600).contains(&well_known), "{line}");
    let expected = json!({
        "server_name": "old.example",
        "outcome": "resolved",
        "step": "5",
        "host_header": "old.example",
        "tls_name": "old.example",
        "endpoints": [{
            "host": "a.example",
            "port": network.port,
            "addresses": [format!("127.0.0.1:{}", network.port)],
        }],
        "lifetime_seconds": lifetime,
        "well_known_lifetime_seconds": well_known,
        "provenance": "fresh",
        "warnings": line["warnings"],
        "response": line["response"],
    });
    assert_eq!(*line, expected);
    assert_eq!(line["warnings"][0]["kind"], "deprecated_srv");
    // The homeserver's certificate does not carry that name.
    assert!(
        line["response"]["error"].as_str().unwrap().contains("certificate not valid for name"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_made_with_the_right_host_and_certificate_name() {
    let network = network("get.pem").await;
    let port = network.port;
    let (with_port, literal) = (format!("A.example:{port}"), format!("127.0.0.1:{port}"));
    let (lines, status) =
        network.json(&["--get", VERSION_PATH, "b.example", &with_port, &literal]).await;
    assert_eq!(status, 0);
    assert_eq!(lines.len(), 3);
    for (line, step, host) in
        [(&lines[0], "4", "b.example"), (&lines[1], "2", &*with_port), (&lines[2], "1", &*literal)]
    {
        assert_eq!(line["step"], step);
        assert_eq!(line["host_header"], host);
        assert_eq!(line["response"]["status"], 200, "{line}");
        assert_eq!(line["response"]["body"]["server"]["version"], "here", "{line}");
    }
    let hosts: Vec<String> = network
        .homeserver
        .requests()
        .iter()
        .map(|request| String::from_utf8(request.host.clone().unwrap()).unwrap())
        .collect();
    assert_eq!(hosts, ["b.example", &with_port, &literal]);
    // Where nothing ends, null; where no well-known was asked for, no field.
    assert_eq!(lines[2]["lifetime_seconds"], Value::Null);
    assert!(lines[2].get("well_known_lifetime_seconds").is_none());
    assert!(lines[1]["lifetime_seconds"].is_u64());
    assert!(lines[1].get("well_known_lifetime_seconds").is_none());
}

/// A homeserver for each status of a check.
async fn checked_network(file: &str) -> Network {
    let m = || vec!["m.example".to_owned()];
    let kinds: [(&str, Site); 7] = [
        ("valid", Site::with(Certificate::For(m()))),
        ("wrong_name", Site::named("other.example")),
        ("expired", Site::with(Certificate::Expired(m()))),
        ("not_yet_valid", Site::with(Certificate::NotYetValid(m()))),
        ("untrusted", Site::with(Certificate::OtherAuthority(m()))),
        ("handshake_failed", Site::with(Certificate::For(m())).manner(Manner::ClosesAtOnce)),
        ("valid", Site::with(Certificate::For(m())).federation("here")),
    ];
    let mut homeserver = Internet::builder();
    for (index, (_, site)) in kinds.iter().enumerate() {
        homeserver = homeserver.site([format!("192.0.2.{index}:8448").as_str()], site.clone());
    }
    let homeserver = homeserver.start().await;
    let mut names = Internet::builder();
    let mut last = 0;
    for (index, (kind, _)) in (0_u16..).zip(&kinds) {
        let virtual_address = format!("192.0.2.{index}:8448").parse().unwrap();
        last = homeserver.route(virtual_address).unwrap().port();
        let target = format!("{index}.{}.example", kind.replace('_', "-"));
        names = names.address(&target, "127.0.0.1").srv(
            "_matrix-fed._tcp.m.example",
            index,
            0,
            last,
            &target,
        );
    }
    let names = names.start().await;
    let ca = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(&ca, homeserver.ca_pem()).unwrap();
    Network { homeserver, names, ca, port: last }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_has_a_status_for_each_address() {
    let network = checked_network("check.pem").await;
    // Bound, not listening.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = held.local_addr().unwrap();
    let closed_name = format!("127.0.0.1:{}", closed.port());
    let (lines, status) = network.json(&["--check", "m.example", &closed_name, "a b"]).await;
    // Whatever certificates are worth, the status is about resolving.
    assert_eq!(status, 1);
    let checks = lines[0]["certificate"].as_array().unwrap();
    let statuses: Vec<_> = checks.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(
        statuses,
        [
            "valid",
            "wrong_name",
            "expired",
            "not_yet_valid",
            "untrusted",
            "handshake_failed",
            "valid"
        ]
    );
    let valid = json!({"address": format!("127.0.0.1:{}", network.port), "status": "valid"});
    assert_eq!(checks[6], valid);
    for (check, words) in checks[1..6].iter().zip([
        "for other.example, not for m.example",
        "ran out at 2020-01-01T00:00:00Z",
        "holds only from 4000-01-01T00:00:00Z",
        "neither shown nor trusted",
        // It hung up, or broke the connection off.
        "the ",
    ]) {
        assert!(check["message"].as_str().unwrap().contains(words), "{check}");
    }
    let message = &lines[1]["certificate"][0]["message"];
    let unreachable =
        json!({"address": closed.to_string(), "status": "unreachable", "message": message});
    assert_eq!(lines[1]["certificate"], json!([unreachable]));
    assert!(lines[2].get("certificate").is_none());

    let (lines, status) = network.json(&["--check", "--get", VERSION_PATH, "m.example"]).await;
    assert_eq!(status, 0);
    assert_eq!(lines[0]["response"]["status"], 404, "{}", lines[0]);
    let (lines, _) = network.json(&["m.example"]).await;
    assert!(lines[0].get("certificate").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_stand_in_the_order_in_which_they_were_tried() {
    let mut network = network("order.pem").await;
    // Bound, not listening.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = held.local_addr().unwrap().port();
    network.names = Internet::builder()
        .address("a.example", "127.0.0.1")
        .srv("_matrix-fed._tcp.a.example", 1, 0, closed, "a.example")
        .srv("_matrix-fed._tcp.a.example", 2, 0, network.port, "a.example")
        .start()
        .await;
    let (lines, status) = network.json(&["--get", VERSION_PATH, "a.example", "a.example"]).await;
    assert_eq!(status, 0);
    let ports = lines.iter().map(|line| {
        assert_eq!(line["response"]["status"], 200, "{line}");
        let endpoints = line["endpoints"].as_array().unwrap();
        endpoints.iter().map(|it| it["port"].as_u64().unwrap()).collect::<Vec<_>>()
    });
    let (bad, good) = (u64::from(closed), u64::from(network.port));
    // What failed is tried last from then on.
    assert_eq!(ports.collect::<Vec<_>>(), [[bad, good], [good, bad]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_is_told_to_people_too() {
    let network = checked_network("check_people.pem").await;
    let output = network.run(&["--check", "--explain", "m.example"]).await;
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let address = format!("127.0.0.1:{}", network.port);
    for part in [
        &format!("    checked       {address}: valid (TLS 1.3, http/1.1)\n"),
        ": wrong name (TLS 1.3, http/1.1): the certificate is for other.example, not for m.example",
        ": handshake failed: ",
        "issued by CN=Embedded internet; ECDSA P-256; SHA-256 ",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let (lines, _) = network.json(&["--check", "--explain", "m.example"]).await;
    let details = &lines[0]["certificate"][1]["details"];
    assert_eq!(details["tls_version"], "1.3");
    assert_eq!(details["alpn"], "http/1.1");
    assert_eq!(details["report"]["verdict"]["valid_for"], json!([{"dns": "other.example"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_a_kind_and_a_message() {
    let network = network("failures.pem").await;
    let names = ["a b", "127.1", "none.example", "blocked.example", "nowhere.example", "b.example"];
    let (lines, status) = network.json(&names).await;
    assert_eq!(status, 1);
    let kinds = lines.iter().map(|line| line["error"]["kind"].as_str());
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [
            Some("invalid_server_name"),
            Some("unresolvable_name"),
            Some("service_not_available"),
            Some("blocked_address"),
            Some("no_addresses"),
            None
        ]
    );
    assert_eq!(lines[0]["server_name"], "a b");
    assert_eq!(lines[0]["outcome"], "failed");
    assert_eq!(lines[0]["step"], Value::Null);
    assert!(lines[0].get("endpoints").is_none());
    for line in &lines[..5] {
        assert!(line["error"]["message"].as_str().unwrap().len() > 20, "{line}");
    }
    assert_eq!(lines[5]["outcome"], "resolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_names_share_one_memory_and_each_line_draws_its_own_order() {
    let network = network("memory.pem").await;
    let names = vec!["b.example"; 60];
    let mut arguments = vec!["--seed", "5"];
    arguments.extend_from_slice(&names);
    let (lines, status) = network.json(&arguments).await;
    assert_eq!((status, lines.len()), (0, 60));
    assert_eq!(lines[0]["provenance"], "fresh");
    assert!(lines[1..].iter().all(|line| line["provenance"] == "cached"));
    let first = |host| lines.iter().filter(|line| line["endpoints"][0]["host"] == host).count();
    let (heavy, light) = (first("a.example"), first("other.example"));
    assert_eq!(heavy + light, 60);
    // 4 of 5 values of the choice fall on the heavier: 48 expected, deviation 3.1.
    assert!((33..=59).contains(&heavy), "{heavy}");
    let (again, _) = network.json(&arguments).await;
    let order = |lines: &[Value]| {
        lines.iter().map(|line| line["endpoints"][0]["host"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(order(&lines), order(&again), "the seed decides");

    let (lines, _) = network.json(&["--no-cache", "b.example", "b.example"]).await;
    assert_eq!(lines[1]["provenance"], "fresh");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_fails_where_the_default_is_degraded() {
    let network = network("strict.pem").await;
    let (lines, status) = network.json(&["servfail.example"]).await;
    assert_eq!(status, 0);
    assert_eq!(lines[0]["provenance"], "degraded");
    assert_eq!(lines[0]["step"], "5");
    let (lines, status) = network.json(&["--strict", "servfail.example"]).await;
    assert_eq!(status, 1);
    assert_eq!(lines[0]["error"]["kind"], "dns_failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explaining_adds_the_report() {
    let network = network("explain.pem").await;
    let (lines, _) =
        network.json(&["--explain", "b.example", "b.example", "nowhere.example"]).await;
    assert!(lines.iter().all(|line| line["report"]["steps"].as_array().unwrap().len() == 10));
    assert!(lines[0].get("remembered_seconds").is_none());
    assert_eq!(lines[1]["remembered_seconds"], 0);
    let output = network.run(&["--explain", "b.example"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["b.example", "skipped", "SRV _matrix-fed._tcp.b.example", "Host"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_come_from_standard_input_a_line_each() {
    let network = network("input.pem").await;
    let mut command = network.command();
    command.args(["--json", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let long = "x".repeat(100_000);
        write!(input, "\u{feff}b.example\r\n\n# a comment\n \t\n{long}\n\u{fc}\n").unwrap();
        input.write_all(b"\xff\x00\n  b.example ").unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    let (lines, status) = lines(&output);
    assert_eq!(status, 1);
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["resolved", "failed", "failed", "failed", "resolved"]);
    assert_eq!(lines[4]["provenance"], "cached");
}

#[test]
fn bad_usage_has_status_2_and_says_why() {
    let absent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("absent.pem");
    let absent = absent.to_str().unwrap();
    for arguments in [
        &[][..],
        &["--json"],
        &["--dns", "127.0.0.1", "a.example"],
        &["--dns", "[fe80::1%no-such.if]:53", "a.example"],
        &["--allow", "everything", "a.example"],
        &["--get", "no/slash", "a.example"],
        &["--get", "/a b", "a.example"],
        &["--timeout", "0", "a.example"],
        &["--timeout", "-1", "a.example"],
        &["--timeout", "NaN", "a.example"],
        &["--seed", "x", "a.example"],
        &["--speed", "a.example"],
        &["--dns", "127.0.0.1:1", "--ca", absent, "a.example"],
    ] {
        let output = Command::new(program()).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_dns_server_that_cannot_be_reached_is_named() {
    // Bound, so that nobody else gets it, and closed.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dns = held.local_addr().unwrap().to_string();
    let mut command = Command::new(program());
    command.args(["--json", "--dns", &dns, "a.example:8448"]).stdin(Stdio::null());
    let (lines, status) = lines(&command.output().unwrap());
    assert_eq!(status, 1);
    let message = lines[0]["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("; {dns}: connection refused")), "{message}");
}

#[test]
fn who_reads_no_further_is_told_of_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(program());
    command.args(["--dns", "127.0.0.1:1", "a b", "c d"]).stdin(Stdio::null()).stdout(writer);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limit_ends_a_name() {
    // A DNS server that never answers.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let network = network("limit.pem").await;
    let dns = silent.local_addr().unwrap().to_string();
    let mut command = Command::new(program());
    command.args(["--json", "--dns", &dns, "--ca"]).arg(&network.ca);
    command.args(["--timeout", "0.3", "a.example"]).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (lines, status) = lines(&output);
    assert_eq!(status, 1);
    assert_eq!(lines[0]["error"]["kind"], "deadline_exceeded");
}
