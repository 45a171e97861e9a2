//! Apache httpd: a file for `/etc/apache2/sites-available`, or a whole configuration.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use matrix_delegation::names::Host;

use super::{Options, Site};

/// What the configuration makes use of.
const MODULES: [&str; 5] = ["ssl", "proxy", "proxy_http", "headers", "alias"];
/// What a server without the system's configuration needs besides.
const STANDALONE: [&str; 4] = ["mpm_event", "authz_core", "mime", "socache_shmcb"];

pub(super) fn write(text: &mut String, sites: &[Site<'_>], options: &Options) -> std::fmt::Result {
    if let Some(directory) = &options.standalone {
        text.push_str(
            "# Where Debian has its modules; others have them elsewhere, as in /usr/lib64/httpd/modules.
",
        );
        for module in STANDALONE.iter().chain(&MODULES) {
            writeln!(text, "LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so")?;
        }
        write!(
            text,
            "ServerRoot {directory}
DefaultRuntimeDir {directory}
PidFile {directory}/apache.pid
ErrorLog {directory}/error.log
TypesConfig /dev/null
Mutex file:{directory}
ServerName localhost

"
        )?;
    } else {
        writeln!(text, "# Once: a2enmod {}", MODULES.join(" "))?;
    }
    if let Some(document) = sites.iter().find_map(|site| site.document) {
        let (body, file) = (document.body(), &options.document);
        writeln!(text, "# Once: printf '%s' '{body}' > {file}\n")?;
    }
    // The system's configuration listens at 443 already, and twice is an error.
    let ports: BTreeSet<u16> = sites.iter().map(|site| site.port).collect();
    for port in ports.into_iter().filter(|port| options.standalone.is_some() || *port != 443) {
        match options.bind.map(Host::Ip) {
            Some(address) => writeln!(text, "Listen {address}:{port}")?,
            None => writeln!(text, "Listen {port}")?,
        }
    }
    sites.iter().try_for_each(|site| server(text, site, options))
}

fn server(text: &mut String, site: &Site<'_>, options: &Options) -> std::fmt::Result {
    let (name, port, file) = (&site.name, site.port, site.file_name());
    let certificates = options.certificates("/etc/letsencrypt/live");
    text.push('\n');
    if site.may_be_there(options) {
        writeln!(
            text,
            "# Where there is a VirtualHost for {name} at port {port} already, put what this one has after
# its certificate into that one, and leave out the rest: Apache ignores the second of two
# with one name."
        )?;
    }
    writeln!(text, "<VirtualHost *:{port}>")?;
    match name {
        // Not a name to Apache. It is the first at its port, which has all that nobody else has.
        Host::Ip(IpAddr::V6(_)) => {}
        name => writeln!(text, "    ServerName {name}")?,
    }
    write!(
        text,
        "    SSLEngine on
    SSLCertificateFile {certificates}/{file}/fullchain.pem
    SSLCertificateKeyFile {certificates}/{file}/privkey.pem
"
    )?;
    if let Some(document) = site.document {
        let (path, cache) = (&options.document, Site::cache_control(document));
        write!(
            text,
            "
    Alias /.well-known/matrix/server {path}
    <Location /.well-known/matrix/server>
        Require all granted
        ForceType application/json
        Header always set Cache-Control {cache}
    </Location>
"
        )?;
    }
    if site.federation {
        let upstream = options.upstream();
        write!(
            text,
            "
    # Without the one, paths with %2F are refused; without `nocanon`, others are rewritten, and
    # requests are signed over the path.
    AllowEncodedSlashes NoDecode
    ProxyPass /_matrix/ http://{upstream}/_matrix/ nocanon timeout=600
    # As it came; else the homeserver is told its own address.
    ProxyPreserveHost On
    # What a stranger says of himself is not passed on; mod_proxy then sets it.
    RequestHeader unset X-Forwarded-For early
    RequestHeader set X-Forwarded-Proto https
"
        )?;
    }
    writeln!(text, "</VirtualHost>")
}
