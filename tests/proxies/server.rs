//! A web server of one's own, on free ports of the loopback interface and without privileges.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use matrix_delegation::names::Host;
use matrix_delegation::plan::{Listening, Way};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::proxies::{self, Program};

/// Where this is set, a missing server is an error.
const DEMANDED: &str = "MATRIX_DELEGATION_DEMANDS_PROXIES";
/// Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many pairs of ports are tried: another process may take one before the server does.
const TRIES: usize = 5;
/// Nobody, where a test is run by one who may be anyone.
const NOBODY: u32 = 65534;

/// Servers started by this process so far.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// A server that ends with this value, and its directory with it.
#[derive(Debug)]
pub(crate) struct Server {
    directory: PathBuf,
    child: Option<Child>,
    /// Where it listens.
    pub(crate) address: IpAddr,
    /// Where it really listens for what comes to 443.
    pub(crate) https: u16,
    /// The same for the port of the federation.
    pub(crate) federation: u16,
    /// Who signed its certificates.
    pub(crate) ca: rustls::pki_types::CertificateDer<'static>,
}

const fn command(program: Program) -> &'static str {
    match program {
        Program::Nginx => "nginx",
        Program::Caddy => "caddy",
        Program::Apache => "apache2",
        Program::Haproxy => "haproxy",
    }
}

/// Where the program is; Debian has daemons where not everybody looks.
fn installed(program: Program) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(command(program)))
        .find(|path| path.is_file());
    let demanded = env::var_os(DEMANDED).is_some();
    let name = command(program);
    assert!(found.is_some() || !demanded, "{DEMANDED} is set, and {name} is not installed");
    if found.is_none() {
        let test = thread::current().name().unwrap_or_default().to_owned();
        // Not by `eprintln!`, which the harness keeps from those who look on.
        let notice = format!("\nNOT TESTED: {test}: {name} is not installed\n\n");
        io::stderr().write_all(notice.as_bytes()).unwrap();
    }
    found
}

/// Starts the program with the configuration that is generated for this way; `None` where it is not
/// installed.
pub(crate) fn start(program: Program, way: &Way, upstream: u16) -> Option<Server> {
    let path = installed(program)?;
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let name = format!("matrix-delegation-proxy-{}-{number}", process::id());
    let directory = env::temp_dir().join(name);
    fs::create_dir(&directory).unwrap();
    let ca = write_certificates(&directory, way);
    let address = address_for(way);
    let mut server = Server { directory, child: None, address, https: 0, federation: 0, ca };
    for tried in 1.. {
        match server.run(program, &path, way, upstream) {
            Ok(()) => break,
            Err(error) if tried == TRIES => panic!("{}: {error}", command(program)),
            Err(_) => {}
        }
    }
    Some(server)
}

/// A certificate and its key for each host, in every shape that is asked for; signed by the one
/// that is returned.
fn write_certificates(directory: &Path, way: &Way) -> rustls::pki_types::CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Tests of proxies");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    for place in way.certificates() {
        let name = match place.name {
            Host::Ip(address) => address.to_string(),
            Host::Dns(name) => name.to_string(),
        };
        let mut params = CertificateParams::new(vec![name.clone()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &authority).unwrap().pem();
        let key = key.serialize_pem();
        let file = name.replace(':', "_");
        let own = directory.join(&file);
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("fullchain.pem"), &signed).unwrap();
        fs::write(own.join("privkey.pem"), &key).unwrap();
        fs::write(directory.join(format!("{file}.pem")), signed + &key).unwrap();
    }
    authority.der().clone()
}

fn free_port(at: IpAddr) -> io::Result<u16> {
    Ok(TcpListener::bind((at, 0))?.local_addr()?.port())
}

/// The loopback address to listen at: that of IPv6 where others go there and this machine has it.
fn address_for(way: &Way) -> IpAddr {
    match way.contact().host {
        Host::Ip(IpAddr::V6(_)) if has_ipv6() => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

impl Server {
    fn run(
        &mut self,
        program: Program,
        path: &Path,
        way: &Way,
        upstream: u16,
    ) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        self.stop();
        self.https = free_port(self.address).map_err(text)?;
        self.federation = match way.contact().port {
            443 => self.https,
            _ => free_port(self.address).map_err(text)?,
        };

        let here = self.directory.to_str().unwrap().to_owned();
        let mut options =
            proxies::Options::new(Listening::new(Host::Ip(Ipv4Addr::LOCALHOST.into()), upstream));
        options.certificates = Some(here.parse().unwrap());
        options.standalone = Some(here.parse().unwrap());
        options.document = format!("{here}/document.json").parse().unwrap();
        options.bind = Some(self.address);
        options.https_port = Some(self.https);
        options.federation_port = Some(self.federation);
        let configuration = proxies::configuration(program, way, &options).unwrap();
        let file = self.directory.join("configuration");
        fs::write(&file, &configuration).map_err(text)?;
        if let Some(document) = way.document() {
            fs::write(self.directory.join("document.json"), document.body()).map_err(text)?;
        }

        let log = fs::File::create(self.directory.join("output")).map_err(text)?;
        let mut command = Command::new(path);
        match program {
            Program::Nginx => {
                command.args(["-e", &format!("{here}/error.log"), "-p", &here, "-c"]).arg(&file)
            }
            Program::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file)
            }
            // Each is one process, which ends with the handle that this one has.
            Program::Apache => command.args(["-X", "-f"]).arg(&file),
            Program::Haproxy => command.args(["-db", "-f"]).arg(&file),
        };
        command
            .current_dir(&self.directory)
            .env("HOME", &here)
            .env("XDG_DATA_HOME", &here)
            .env("XDG_CONFIG_HOME", &here)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(text)?)
            .stderr(log);
        if fs::metadata(&self.directory).map_err(text)?.uid() == 0 {
            give_to_nobody(&self.directory).map_err(text)?;
            command.uid(NOBODY).gid(NOBODY);
        }
        self.child = Some(command.spawn().map_err(text)?);
        let mut ports = vec![self.federation];
        ports.extend(way.document().is_some().then_some(self.https));
        let began = Instant::now();
        // Should a stranger be at the port, his certificate is not the one that is asked for.
        while !ports.iter().all(|port| TcpStream::connect((self.address, *port)).is_ok()) {
            let ended = self.child.as_mut().map(Child::try_wait).transpose().map_err(text)?;
            if let Some(status) = ended.flatten() {
                return Err(format!("it ended: {status}\n{}\n{configuration}", self.said()));
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{}: {}", ErrorKind::TimedOut, self.said()));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What it complained of.
    pub(crate) fn said(&self) -> String {
        let read = |file: &str| fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        read("output") + &read("error.log")
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn give_to_nobody(directory: &Path) -> io::Result<()> {
    chown(directory, Some(NOBODY), Some(NOBODY))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_to_nobody(&entry.path())?;
        } else {
            chown(entry.path(), Some(NOBODY), Some(NOBODY))?;
        }
    }
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Whether the program understands what is printed to be added to a system's configuration, as
/// people use it: on all addresses or on one, with certificates in their own places. What it says
/// if not.
pub(crate) fn understands(
    program: Program,
    way: &Way,
    bind: Option<IpAddr>,
) -> Option<Result<(), String>> {
    let path = installed(program)?;
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let name = format!("matrix-delegation-proxy-{}-{number}", process::id());
    let directory = env::temp_dir().join(name);
    fs::create_dir(&directory).unwrap();
    let ca = write_certificates(&directory, way);
    let address = address_for(way);
    let server = Server { directory, child: None, address, https: 0, federation: 0, ca };
    let here = server.directory.to_str().unwrap();
    let mut options = proxies::Options::new("[::1]:8008".parse().unwrap());
    // Caddy gets its own.
    options.certificates = (program != Program::Caddy).then(|| here.parse().unwrap());
    // nginx opens its ports to try them.
    let local = Ipv4Addr::LOCALHOST.into();
    options.https_port = Some(free_port(local).unwrap());
    options.federation_port = Some(free_port(local).unwrap());
    options.bind = bind.or_else(|| (!has_ipv6()).then_some(local));
    let added = server.directory.join("part");
    let text = proxies::configuration(program, way, &options).unwrap();
    fs::write(&added, &text).unwrap();
    let part = added.display();
    let modules = ["mpm_event", "authz_core", "ssl", "proxy", "proxy_http", "headers", "alias"];
    let around = match program {
        Program::Nginx => format!(
            "pid {here}/pid; events {{}} http {{ access_log off; client_body_temp_path {here}/b; \
             proxy_temp_path {here}/p; fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; \
             scgi_temp_path {here}/s; include {part}; }}"
        ),
        Program::Apache => {
            let load =
                |it: &str| format!("LoadModule {it}_module /usr/lib/apache2/modules/mod_{it}.so\n");
            let modules: String = modules.iter().map(|it| load(it)).collect();
            let other = options.https_port.unwrap();
            format!(
                "{modules}ServerRoot {here}\nDefaultRuntimeDir {here}\nMutex file:{here}\n\
                 PidFile {here}/pid\nErrorLog {here}/error.log\nServerName localhost\n\
                 Listen 127.0.0.1:{other}\nInclude {part}\n"
            )
        }
        Program::Caddy | Program::Haproxy => text,
    };
    let file = server.directory.join("whole");
    fs::write(&file, around).unwrap();
    let mut command = Command::new(path);
    match program {
        Program::Nginx => command.args(["-t", "-p", here, "-e", "stderr", "-c"]),
        Program::Caddy => command.args(["validate", "--adapter", "caddyfile", "--config"]),
        Program::Apache => command.args(["-t", "-f"]),
        Program::Haproxy => command.args(["-c", "-f"]),
    };
    let said = command.arg(&file).env("HOME", here).env("XDG_DATA_HOME", here).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    Some(if said.status.success() { Ok(()) } else { Err(text.into_owned()) })
}
