//! The command line of `examples/peers.rs`, run as a program: what becomes of its state, whatever
//! ends it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::internet::{Builder, Internet, Trouble};
use crate::program::built;
use serde_json::{Value, json};

/// Whatever takes longer hangs.
const WATCHDOG: Duration = Duration::from_secs(240);
/// Nobody listens there, and nobody is asked where all names are addresses or none at all.
const NO_DNS: &str = "127.0.0.1:1";

/// The program, built if it is not.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built("peers"))
}

/// An empty directory for one test.
fn directory(test: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers").join(test);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// A run of the program; it ends with this value.
struct Run {
    child: Child,
    out: Option<Lines<BufReader<ChildStdout>>>,
    began: Instant,
}

/// How a run ended.
struct Ended {
    status: ExitStatus,
    /// What came on standard output and was not read before.
    lines: Vec<String>,
    errors: String,
}

impl Run {
    /// With these names as standard input.
    fn start(dns: &str, arguments: &[&str], names: &[u8]) -> Self {
        let mut child = Command::new(program())
            .args(["--dns", dns])
            .args(arguments)
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(names);
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, out: Some(out), began: Instant::now() }
    }

    /// The next lines of its results.
    fn read(&mut self, count: usize) -> Vec<String> {
        let lines: Vec<_> =
            self.out.as_mut().unwrap().by_ref().take(count).map(Result::unwrap).collect();
        assert_eq!(lines.len(), count);
        lines
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    fn wait_until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        while !is_so(self) {
            if self.began.elapsed() > WATCHDOG {
                let _ = self.child.kill();
                panic!("it hangs");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for it, without reading its results.
    fn status(&mut self) -> ExitStatus {
        let mut status = None;
        self.wait_until(|run| {
            status = run.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn end(mut self) -> Ended {
        let out = self.out.take();
        let reader = thread::spawn(move || {
            out.into_iter().flatten().map(Result::unwrap).collect::<Vec<String>>()
        });
        let status = self.status();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        Ended { status, lines: reader.join().unwrap(), errors }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A whole run.
fn run(dns: &str, arguments: &[&str], names: &[u8]) -> Ended {
    Run::start(dns, arguments, names).end()
}

fn state(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// How many names a state says are done, which is also what its tally comes to.
fn done(path: &Path) -> usize {
    let state = state(path);
    let done = state["done"].as_array().unwrap().len();
    let tally: u64 =
        state["tally"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
    assert_eq!(u64::try_from(done).unwrap(), tally);
    done
}

/// What is refused at once, but takes room in the results.
fn long_names(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        writeln!(text, "{index} {}", "x".repeat(900)).unwrap();
        text
    })
}

fn names_of(lines: &[String]) -> Vec<String> {
    let name = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["server_name"].as_str().unwrap().to_owned()
    };
    lines.iter().map(name).collect()
}

/// Names of which nothing is heard, in an internet where they are silent and one where they are not.
const HANGING: [&str; 3] = ["a.example", "b.example", "c.example"];
const QUICK: [&str; 5] = ["192.0.2.1", "no name", "9.9.9.9", "[2001:db8::1]", "8.8.8.8:1"];

async fn silent() -> Internet {
    let trouble = |internet: Builder, name| internet.trouble(name, Trouble::Silence);
    HANGING.into_iter().fold(Internet::builder(), trouble).start().await
}

async fn speaking() -> Internet {
    let address = |internet: Builder, name| internet.address(name, "10.0.0.1");
    HANGING.into_iter().fold(Internet::builder(), address).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_interrupted_goes_on_with_the_rest() {
    let (silent, speaking) = (silent().await, speaking().await);
    let names = [&QUICK[..], &HANGING].concat().join("\n");
    for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
        let file = directory(&format!("interrupted{signal}")).join("state");
        let path = file.to_str().unwrap();
        let arguments = ["--json", "--state", path];
        let mut first = Run::start(&silent.dns_address().to_string(), &arguments, names.as_bytes());
        let mut early = names_of(&first.read(QUICK.len()));
        early.sort();
        let mut quick = QUICK.to_vec();
        quick.sort_unstable();
        assert_eq!(early, quick);
        first.signal(signal);
        let ended = first.end();
        assert_eq!(ended.status.code(), Some(status), "{}", ended.errors);
        assert_eq!(ended.lines, [""; 0]);
        assert!(ended.errors.contains("(interrupted)"), "{}", ended.errors);
        assert_eq!(done(&file), QUICK.len());

        let ended = run(&speaking.dns_address().to_string(), &arguments, names.as_bytes());
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        let mut late = names_of(&ended.lines);
        late.sort();
        assert_eq!(late, HANGING);
        assert!(ended.errors.starts_with("5 names are done"), "{}", ended.errors);
        for line in [
            "3 names in ",
            "8 names with those of earlier runs",
            "5  blocked_address",
            "1  invalid_server_name",
            "2  step 1",
        ] {
            assert!(ended.errors.contains(line), "{line}: {}", ended.errors);
        }
        assert_eq!(done(&file), 8);

        let ended = run(NO_DNS, &arguments, names.as_bytes());
        assert_eq!((ended.status.code(), ended.lines.len()), (Some(0), 0), "{}", ended.errors);
        assert!(ended.errors.starts_with("8 names are done"), "{}", ended.errors);
    }
}

#[test]
fn who_reads_no_further_loses_nothing() {
    let file = directory("closed_pipe").join("state");
    let arguments = ["--json", "--state", file.to_str().unwrap()];
    // Fewer than are done before the state is written by itself, more than a pipe holds.
    let names = long_names(900);
    let mut first = Run::start(NO_DNS, &arguments, names.as_bytes());
    first.read(1);
    first.out = None;
    let ended = first.end();
    assert_eq!(ended.status.code(), Some(141), "{}", ended.errors);
    assert!(ended.errors.contains("cannot write results"), "{}", ended.errors);
    let before = done(&file);
    assert!((1..900).contains(&before), "{before}");
    let ended = run(NO_DNS, &arguments, names.as_bytes());
    assert_eq!((ended.status.code(), ended.lines.len()), (Some(0), 900 - before));
    assert_eq!(done(&file), 900);
}

/// Where both outputs are one pipe, it breaks for both.
#[test]
fn errors_that_nobody_reads_are_no_errors() {
    let file = directory("closed_pipes").join("state");
    let names = long_names(900);
    let mut first = Run::start(NO_DNS, &["--state", file.to_str().unwrap()], names.as_bytes());
    first.child.stderr = None;
    first.read(1);
    first.out = None;
    assert_eq!(first.status().code(), Some(141));
    assert!((1..900).contains(&done(&file)));
}

#[test]
fn who_does_not_read_on_can_interrupt_all_the_same() {
    let file = directory("full_pipe").join("state");
    let arguments = ["--json", "--state", file.to_str().unwrap()];
    let names = long_names(900);
    let mut first = Run::start(NO_DNS, &arguments, names.as_bytes());
    // It is there when signals are listened to.
    first.wait_until(|_| file.exists());
    first.signal("-INT");
    assert_eq!(first.status().code(), Some(130));
    let before = done(&file);
    assert!(before < 900, "{before}");
    let ended = run(NO_DNS, &arguments, names.as_bytes());
    assert_eq!((ended.status.code(), ended.lines.len()), (Some(0), 900 - before));
    assert_eq!(done(&file), 900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_interruption_ends_it_at_once() {
    let silent = silent().await;
    let file = directory("twice").join("state");
    let arguments = ["--state", file.to_str().unwrap()];
    let dns = silent.dns_address().to_string();
    let mut first = Run::start(&dns, &arguments, HANGING.join("\n").as_bytes());
    first.wait_until(|_| file.exists());
    // From now on writing the state takes until somebody reads this, which nobody does.
    let pipe = Command::new("mkfifo").arg(file.with_file_name("state.new")).status().unwrap();
    assert!(pipe.success());
    first.wait_until(|run| {
        // Two that come together count as one.
        let ended = run.child.try_wait().unwrap();
        if ended.is_none() {
            run.signal("-INT");
        }
        ended.is_some()
    });
    assert_eq!(first.status().code(), Some(130));
    assert_eq!(done(&file), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_names_are_kept_even_if_it_is_killed() {
    let silent = silent().await;
    let file = directory("killed").join("state");
    let mut names: Vec<String> = (0..1500).map(|index| format!("{index} x")).collect();
    names.extend(HANGING.map(str::to_owned));
    let arguments = ["--state", file.to_str().unwrap()];
    let dns = silent.dns_address().to_string();
    let mut first = Run::start(&dns, &arguments, names.join("\n").as_bytes());
    first.read(1500);
    first.child.kill().unwrap();
    assert_eq!(first.status().signal(), Some(9));
    assert!((1000..=1500).contains(&done(&file)));
}

#[test]
fn a_state_takes_no_other_files_place() {
    let directory = directory("names_of_states");
    let others = ["a.new", "a", "a.json", ".new"].map(|name| directory.join(name));
    for other in &others {
        fs::write(other, "somebody else's").unwrap();
    }
    let (one, two) = (directory.join("a.b"), directory.join("a.c"));
    assert!(run(NO_DNS, &["--state", one.to_str().unwrap()], b"1").status.success());
    assert!(run(NO_DNS, &["--state", two.to_str().unwrap()], b"2\n3").status.success());
    assert_eq!((done(&one), done(&two)), (1, 2));
    for other in &others {
        assert_eq!(fs::read_to_string(other).unwrap(), "somebody else's");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 6, "nothing is left over");

    // A link stays one.
    let link = directory.join("link");
    std::os::unix::fs::symlink("a.b", &link).unwrap();
    assert!(run(NO_DNS, &["--state", link.to_str().unwrap()], b"1\n4").status.success());
    assert_eq!(done(&one), 2);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_state_that_cannot_be_used_stops_it_before_it_begins() {
    let directory = directory("bad_states");
    let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let file = |name: &str, text: &str| {
        fs::write(at(name), text).unwrap();
        (at(name), Some(text.to_owned()))
    };
    let state = |version: Value, more: &str| {
        let snapshot = json!({"version": 1, "well_known": []});
        let all = json!({"version": version, "done": [], "tally": {}, "snapshot": snapshot});
        all.to_string().replacen('{', &format!("{{{more}"), 1)
    };
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("blocked"), state(json!(1), "")).unwrap();
    fs::create_dir(at("blocked.new")).unwrap();
    for ((path, text), evidence) in [
        (file("empty", ""), "is no state of this program: EOF"),
        (file("corrupt", "{\"version\": 1, \"done"), "is no state of this program: EOF"),
        (file("other", "a.example\n"), "is no state of this program"),
        (file("half", "{\"version\": 1}"), "is no state of this program: missing field"),
        (file("unknown", &state(json!(1), "\"x\": 1, ")), "unknown field `x`"),
        (file("version", &state(json!(2), "\"x\": 1, ")), "is a state of version 2, not 1"),
        (file("no_version", &state(json!("1"), "")), "is no state of this program: invalid type"),
        (file("no_text", "\u{fe}\0\u{ff}"), "is no state of this program"),
        ((at("directory"), None), "is not a file"),
        (("/dev/null".to_owned(), None), "is not a file"),
        ((at("absent/state"), None), "cannot write"),
        ((at("empty/state"), None), "cannot read"),
        ((at("blocked"), Some(state(json!(1), ""))), "cannot write"),
    ] {
        let ended = run(NO_DNS, &["--state", &path], b"192.0.2.1");
        assert_eq!(ended.status.code(), Some(2), "{path}: {}", ended.errors);
        assert_eq!(ended.lines, [""; 0], "{path}");
        assert!(
            ended.errors.starts_with("error: ") && ended.errors.contains(evidence),
            "{}",
            ended.errors
        );
        if let Some(text) = text {
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left alone");
        }
    }

    // What is remembered is not worth the names that are done.
    let old =
        state(json!(1), "").replace("\"snapshot\":{\"version\":1", "\"snapshot\":{\"version\":0");
    let (path, _) = file("old", &old.replace("\"done\":[]", "\"done\":[\"1\"]"));
    let ended = run(NO_DNS, &["--state", &path], b"1");
    assert_eq!((ended.status.code(), ended.lines.len()), (Some(0), 0), "{}", ended.errors);
    assert!(ended.errors.contains("no well-known is remembered"), "{}", ended.errors);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_cannot_be_written_any_more_is_an_error() {
    let silent = silent().await;
    let file = directory("unwritable").join("state");
    let arguments = ["--state", file.to_str().unwrap()];
    let dns = silent.dns_address().to_string();
    let mut first = Run::start(&dns, &arguments, HANGING.join("\n").as_bytes());
    first.wait_until(|_| file.exists());
    fs::create_dir(file.with_file_name("state.new")).unwrap();
    first.signal("-INT");
    let ended = first.end();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.errors);
    assert!(ended.errors.contains("cannot write"), "{}", ended.errors);
}

#[test]
fn every_name_of_an_odd_file_is_tried_once() {
    let directory = directory("odd_names");
    let file = directory.join("names");
    let (long, cut) = ("x".repeat(10_000_000), "x".repeat(1024));
    let padded = format!("192.0.2.9{}x", " ".repeat(2000));
    let cut_padded = format!("192.0.2.9{}", " ".repeat(1024 - 9));
    let text = format!(
        "\u{feff}192.0.2.1\r\n# a comment\n\n  \t\r\n192.0.2.1\n 192.0.2.2 \nno name\n{long}\n\
         192.0.2.3\nno name\n#{long}\n\u{fc}.example\n{padded}\n"
    );
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(b"\xff\xfe.example\n\xff\xfd.example\r\n\0\n\x1b[2J\n192.0.2.4");
    fs::write(&file, &bytes).unwrap();
    let mut expected = [
        "192.0.2.1",
        "192.0.2.2",
        "no name",
        &cut,
        "192.0.2.3",
        "\u{fc}.example",
        &cut_padded,
        "\\xff\\xfe.example",
        "\\xff\\xfd.example",
        "\0",
        "\u{1b}[2J",
        "192.0.2.4",
    ];
    expected.sort_unstable();
    let ended = run(NO_DNS, &["--json", "--allow", "192.0.2.0/24"], &bytes);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    let mut names = names_of(&ended.lines);
    names.sort();
    assert_eq!(names, expected);
    let resolved = ended.lines.iter().filter(|line| line.contains("\"resolved\"")).count();
    assert_eq!(resolved, 4, "{}", ended.errors);
    for line in ["12 names in ", "8  invalid_server_name", "4  step 1"] {
        assert!(ended.errors.contains(line), "{line}: {}", ended.errors);
    }

    let output = Command::new(program()).args(["--dns", NO_DNS]).arg(&file).output().unwrap();
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 12);
    let acts = |it: char| it.is_control() && it != '\n';
    assert!(!table.contains(acts), "nothing that a terminal would act on");
}

#[test]
fn nothing_to_do_is_done() {
    for names in [&b""[..], b"\n\n", b"# later\r\n", b"\xef\xbb\xbf"] {
        let ended = run(NO_DNS, &[], names);
        assert_eq!((ended.status.code(), ended.lines.len()), (Some(0), 0), "{}", ended.errors);
        assert!(ended.errors.starts_with("there is no name in -\n0 names in"), "{}", ended.errors);
    }
}

#[test]
fn bad_usage_has_status_2_and_says_why() {
    let directory = directory("bad_usage");
    let absent = directory.join("absent");
    let (directory, absent) = (directory.to_str().unwrap(), absent.to_str().unwrap());
    for (arguments, evidence) in [
        (&[][..], "<NAMES>"),
        (&["--json"], "<NAMES>"),
        (&["--concurrency", "0", "-"], "--concurrency"),
        (&["--concurrency", "many", "-"], "--concurrency"),
        (&["--dns", "127.0.0.1", "-"], "IP address with a port"),
        (&["--allow", "everything", "-"], "range of addresses"),
        (&["--dns", NO_DNS, "--ca", absent, "-"], absent),
        (&["--state", "-"], "<NAMES>"),
        (&["--dns", NO_DNS, absent], "cannot read"),
        (&["--dns", NO_DNS, directory], "cannot read"),
        (&["one", "two"], "two"),
        (&["--speed", "-"], "--speed"),
    ] {
        let output = Command::new(program()).args(arguments).stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(evidence), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
