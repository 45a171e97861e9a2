//! A Redis or Valkey server of one's own, on a free port of the loopback interface.
#![allow(dead_code, unreachable_pub, reason = "each that includes this uses a part of it")]

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// How long a server may take to start; it is there within a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long whoever is at the port may take to answer, before it is asked again.
const SILENCE: Duration = Duration::from_secs(1);
/// How many ports are tried: another process may take one before the server does.
const TRIES: usize = 5;

/// Servers started by this process so far.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// A server that ends with this value, and its directory with it.
#[derive(Debug)]
pub struct RedisServer {
    program: String,
    directory: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts this program, such as `redis-server`; `None` where it is not installed.
    pub fn start(program: &str) -> io::Result<Option<Self>> {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("matrix-delegation-redis-{}-{number}", process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir(&directory)?;
        let mut server = Self { program: program.to_owned(), directory, port: 0, child: None };
        for tried in 1.. {
            server.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            match server.resume() {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) if tried == TRIES => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Some(server))
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its first database.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Ends it. What it held is gone, as nothing is saved.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().map(|_| ())
    }

    /// Starts it again at the same port.
    pub fn resume(&mut self) -> io::Result<()> {
        self.stop()?;
        let child = self.child.insert(spawn(&self.program, self.port, &self.directory)?);
        let id = child.id();
        let began = Instant::now();
        // Another server may have been faster at this port: it must be this one that answers.
        while process_at(self.port) != Some(id) {
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("{} ended: {status}", self.program)));
            }
            if began.elapsed() > PATIENCE {
                return Err(ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// The process that answers at a port.
fn process_at(port: u16) -> Option<u32> {
    let client = redis::Client::open(url(port)).ok()?;
    let mut connection = client.get_connection_with_timeout(SILENCE).ok()?;
    connection.set_read_timeout(Some(SILENCE)).ok()?;
    let said: String = redis::cmd("INFO").arg("server").query(&mut connection).ok()?;
    said.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok())
}

fn spawn(program: &str, port: u16, directory: &Path) -> io::Result<Child> {
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
        .arg(port.to_string())
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
