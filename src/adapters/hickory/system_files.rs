//! The system's files: read once, and again when they change.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::hosts::Hosts;
use super::resolv_conf::ResolvConf;
use crate::local_trouble::is_exhaustion;

/// How long the files are not looked at after they were.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a question waits for the files at most; then it uses what was read before.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a file that has become empty changes nothing: it may be about to be written.
const EMPTY_GRACE: Duration = Duration::from_secs(30);
/// What is read of a file at most, in bytes.
const MAX_RESOLV_CONF: u64 = 1 << 20;
const MAX_HOSTS: u64 = 64 << 20;

/// What the files say.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) resolv_conf: Arc<ResolvConf>,
    pub(super) hosts: Arc<Hosts>,
}

/// The files, and what they say.
pub(super) struct SystemFiles {
    files: Arc<Mutex<Files>>,
    latest: Arc<RwLock<Latest>>,
}

struct Files {
    resolv_conf: Watched<ResolvConf>,
    hosts: Watched<Hosts>,
}

#[derive(Clone)]
struct Latest {
    system: System,
    /// When to look at the files again.
    due: Instant,
}

impl SystemFiles {
    /// Reads both files. One that is missing, is no file or may not be read counts as empty, as it
    /// does for the C library.
    pub(super) fn open(resolv_conf: &Path, hosts: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let open = Files {
            resolv_conf: Watched::open(resolv_conf, MAX_RESOLV_CONF, |bytes| {
                ResolvConf::parse(&bytes)
            })?,
            hosts: Watched::open(hosts, MAX_HOSTS, Hosts::parse)?,
        };
        let latest = Latest { system: open.system(), due: due_from(Instant::now()) };
        Ok(Self { files: Arc::new(Mutex::new(open)), latest: Arc::new(RwLock::new(latest)) })
    }

    /// Returns what the files say. Looks at them first if the last look is 5 s ago, on a thread that
    /// may block; questions that come meanwhile wait for it.
    pub(super) async fn current(&self) -> System {
        let before = self.latest();
        if Instant::now() < before.due {
            return before.system;
        }
        // When time is up, the look goes on and is of use to a later question.
        let _ = timeout(PATIENCE, self.look()).await;
        self.latest().system
    }

    async fn look(&self) {
        let mut files = Arc::clone(&self.files).lock_owned().await;
        let now = Instant::now();
        if now < self.latest().due {
            return;
        }
        let latest = Arc::clone(&self.latest);
        let look = tokio::task::spawn_blocking(move || {
            files.resolv_conf.look(now, ResolvConf::is_empty, |it| it.has_named_zone);
            files.hosts.look(now, Hosts::is_empty, |_| false);
            let found = Latest { system: files.system(), due: due_from(now) };
            *latest.write().unwrap_or_else(PoisonError::into_inner) = found;
        });
        // Where the runtime ends, what was read before remains.
        let _ = look.await;
    }

    fn latest(&self) -> Latest {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for SystemFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latest = self.latest();
        let servers = latest.system.resolv_conf.servers();
        f.debug_struct("SystemFiles").field("servers", &servers).finish_non_exhaustive()
    }
}

impl Files {
    fn system(&self) -> System {
        System {
            resolv_conf: Arc::clone(&self.resolv_conf.good),
            hosts: Arc::clone(&self.hosts.good),
        }
    }
}

fn due_from(now: Instant) -> Instant {
    now.checked_add(CHECK_INTERVAL).unwrap_or(now)
}

/// A file, and the last that it said.
struct Watched<T> {
    path: PathBuf,
    limit: u64,
    parse: fn(Vec<u8>) -> T,
    /// `None`: it has to be read in any case.
    stamp: Option<Stamp>,
    good: Arc<T>,
    /// Since when it has been empty although it was not before.
    empty_since: Option<Instant>,
    /// Whether it could not be read, so that this is said once.
    unreadable: bool,
}

/// Returns a line up to the first NUL, which ends it for the C library. A crash leaves such files behind.
pub(super) fn c_string(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Returns whether a byte is a blank to the C library (`isspace`).
pub(super) const fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// What changes with a file's content.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// The number of the file, and when anything of it changed last, in seconds and nanoseconds: a copy
    /// may restore the time of its content.
    identity: (u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0);
        Self { modified: metadata.modified().ok(), length: metadata.len(), identity }
    }
}

impl<T: Default> Watched<T> {
    fn open(
        path: &Path,
        limit: u64,
        parse: fn(Vec<u8>) -> T,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let (stamp, good) = match read(path, limit) {
            Ok((stamp, bytes)) => (Some(stamp), parse(bytes)),
            Err(error) if is_exhaustion(&error) => return Err((path.to_owned(), error)),
            Err(_) => (None, T::default()),
        };
        Ok(Self {
            path: path.to_owned(),
            limit,
            parse,
            stamp,
            good: Arc::new(good),
            empty_since: None,
            unreadable: false,
        })
    }

    /// Reads the file again if it has changed or `always` asks for it.
    fn look(&mut self, now: Instant, is_empty: fn(&T) -> bool, always: fn(&T) -> bool) {
        let stamp = std::fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata));
        let changed = self.stamp.is_none() || stamp.ok() != self.stamp;
        if !changed && !always(&self.good) {
            return;
        }
        let path = self.path.display();
        let (stamp, read) = match read(&self.path, self.limit) {
            Ok((stamp, bytes)) => (stamp, (self.parse)(bytes)),
            Err(error) => {
                if !self.unreadable && !is_empty(&self.good) {
                    warn!("{path} can no longer be read, what it said remains in force: {error}");
                }
                (self.unreadable, self.stamp, self.empty_since) = (true, None, None);
                return;
            }
        };
        self.unreadable = false;
        if is_empty(&read) && !is_empty(&self.good) {
            let since = *self.empty_since.get_or_insert_with(|| {
                warn!("{path} has become empty, what it said remains in force for 30 s");
                now
            });
            if now.saturating_duration_since(since) < EMPTY_GRACE {
                self.stamp = None;
                return;
            }
        }
        if changed {
            info!("{path} was read again");
        }
        (self.stamp, self.empty_since, self.good) = (Some(stamp), None, Arc::new(read));
    }
}

/// Reads a file, and returns the stamp that it had before.
fn read(path: &Path, limit: u64) -> io::Result<(Stamp, Vec<u8>)> {
    // A pipe would not be opened before somebody writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let length = stamp.length.min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes)?;
    Ok((stamp, bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;

    use super::*;

    /// Two files of a test, removed at its end.
    struct Etc {
        folder: PathBuf,
    }

    impl Etc {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let nth = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("matrix-delegation-etc-{}-{nth}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self { folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.join(name)
        }

        /// As an administrator's tools do, who write a new file and put it in the old one's place.
        fn write(&self, name: &str, text: &[u8]) {
            fs::write(self.path("new"), text).unwrap();
            fs::rename(self.path("new"), self.path(name)).unwrap();
        }

        fn open(&self) -> SystemFiles {
            SystemFiles::open(&self.path("resolv.conf"), &self.path("hosts")).unwrap()
        }
    }

    impl Drop for Etc {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    async fn server(files: &SystemFiles) -> String {
        files.current().await.resolv_conf.servers()[0].to_string()
    }

    async fn host(files: &SystemFiles) -> Vec<String> {
        let hosts = files.current().await.hosts;
        hosts.addresses("s.test").map(|address| address.to_string()).collect()
    }

    const LOCAL: &str = "127.0.0.1:53";

    #[tokio::test(start_paused = true)]
    async fn files_that_cannot_be_read_count_as_empty_at_first() {
        // Missing, and folders.
        let etc = Etc::new();
        for folder in [false, true] {
            if folder {
                fs::create_dir(etc.path("resolv.conf")).unwrap();
                fs::create_dir(etc.path("hosts")).unwrap();
            }
            let files = etc.open();
            assert_eq!(server(&files).await, LOCAL);
            assert_eq!(host(&files).await, [""; 0]);
        }
        // A path below a file.
        etc.write("file", b"");
        let files = SystemFiles::open(&etc.path("file/resolv.conf"), &etc.path("file/hosts"));
        assert_eq!(server(&files.unwrap()).await, LOCAL);
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_appear_are_read() {
        let etc = Etc::new();
        let files = etc.open();
        etc.write("resolv.conf", b"nameserver 192.0.2.1\n");
        etc.write("hosts", b"192.0.2.2 s.test\n");
        advance(Duration::from_millis(4999)).await;
        assert_eq!(server(&files).await, LOCAL);
        advance(Duration::from_millis(1)).await;
        assert_eq!(server(&files).await, "192.0.2.1:53");
        assert_eq!(host(&files).await, ["192.0.2.2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_change_are_read_again() {
        let etc = Etc::new();
        etc.write("resolv.conf", b"nameserver 192.0.2.1\n");
        etc.write("hosts", b"192.0.2.2 s.test\n");
        let files = etc.open();
        for last in [3, 4, 5] {
            etc.write("resolv.conf", format!("nameserver 192.0.2.{last}\n").as_bytes());
            etc.write("hosts", format!("2001:db8::{last} s.test\n").as_bytes());
            advance(CHECK_INTERVAL).await;
            assert_eq!(server(&files).await, format!("192.0.2.{last}:53"));
            assert_eq!(host(&files).await, [format!("2001:db8::{last}")]);
        }
        // In place, and longer than before.
        fs::write(etc.path("hosts"), b"192.0.2.2 s.test\n192.0.2.3 s.test\n").unwrap();
        advance(CHECK_INTERVAL).await;
        assert_eq!(host(&files).await, ["192.0.2.2", "192.0.2.3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_becomes_unreadable_changes_nothing() {
        let etc = Etc::new();
        etc.write("resolv.conf", b"nameserver 192.0.2.1\n");
        etc.write("hosts", b"192.0.2.2 s.test\n");
        let files = etc.open();
        for folder in [false, true] {
            for name in ["resolv.conf", "hosts"] {
                let _ = fs::remove_file(etc.path(name));
                if folder {
                    fs::create_dir(etc.path(name)).unwrap();
                }
            }
            for _ in 0..20 {
                advance(CHECK_INTERVAL).await;
                assert_eq!(server(&files).await, "192.0.2.1:53");
                assert_eq!(host(&files).await, ["192.0.2.2"]);
            }
        }
        // Readable again, with the same content.
        fs::remove_dir(etc.path("hosts")).unwrap();
        etc.write("hosts", b"192.0.2.3 s.test\n");
        advance(CHECK_INTERVAL).await;
        assert_eq!(host(&files).await, ["192.0.2.3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_becomes_empty_changes_something_after_30_seconds() {
        for (no_server, no_host) in [
            (&b""[..], &b""[..]),
            (b"# to be continued\n", b"# to be continued\n"),
            (b"search example.com\nnameserver x\n", b"x s.test\n"),
        ] {
            let etc = Etc::new();
            etc.write("resolv.conf", b"nameserver 192.0.2.1\n");
            etc.write("hosts", b"192.0.2.2 s.test\n");
            let files = etc.open();
            etc.write("resolv.conf", no_server);
            etc.write("hosts", no_host);
            // Seen after 5 s, in force 30 s later.
            for _ in 0..6 {
                advance(CHECK_INTERVAL).await;
                assert_eq!(server(&files).await, "192.0.2.1:53");
                assert_eq!(host(&files).await, ["192.0.2.2"]);
            }
            advance(CHECK_INTERVAL).await;
            assert_eq!(server(&files).await, LOCAL);
            assert_eq!(host(&files).await, [""; 0]);
            etc.write("resolv.conf", b"nameserver 192.0.2.4\n");
            advance(CHECK_INTERVAL).await;
            assert_eq!(server(&files).await, "192.0.2.4:53");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn questions_that_come_together_wait_for_one_look() {
        let etc = Etc::new();
        etc.write("hosts", b"192.0.2.2 s.test\n");
        let files = etc.open();
        etc.write("hosts", b"192.0.2.3 s.test\n");
        advance(CHECK_INTERVAL).await;
        let (one, two, three) = tokio::join!(host(&files), host(&files), host(&files));
        assert_eq!([one, two, three], [["192.0.2.3"]; 3]);
    }
}
