//! HAProxy: a whole `haproxy.cfg`, as it has no directory for parts.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use matrix_delegation::names::Host;

use super::{Options, Site};

pub(super) fn write(text: &mut String, sites: &[Site<'_>], options: &Options) -> std::fmt::Result {
    let certificates = options.certificates("/etc/haproxy/certs");
    let upstream = options.upstream();
    for site in sites {
        let file = site.file_name();
        writeln!(text, "# {certificates}/{file}.pem holds the chain, then the private key.")?;
    }
    text.push_str("\nglobal\n    maxconn 2000\n");
    if options.standalone.is_none() {
        text.push_str("    user haproxy\n    group haproxy\n");
    }
    write!(
        text,
        "
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    # A slow answer is not an error.
    timeout server 600s
"
    )?;
    let ports: BTreeSet<u16> = sites.iter().map(|site| site.port).collect();
    for port in ports {
        let here: Vec<&Site<'_>> = sites.iter().filter(|site| site.port == port).collect();
        text.push('\n');
        if here.iter().any(|site| site.may_be_there(options)) {
            writeln!(
                text,
                "# Where there is a frontend at port {port} already, put the http-request and use_backend lines
# of this one into that one, and leave out the rest: HAProxy would share connections out among
# two at one port."
            )?;
        }
        writeln!(text, "frontend port_{port}")?;
        text.push_str("    # Without h2, over which HAProxy takes the port 443 out of `Host`.\n");
        for address in options.binds() {
            write!(text, "    bind {address}:{port} ssl")?;
            // The certificate goes by SNI; without one, the first is shown.
            for site in &here {
                write!(text, " crt {certificates}/{}.pem", site.file_name())?;
            }
            // Else the one for IPv6 takes IPv4, too, and the other finds the port taken.
            let v6only = if matches!(address, Host::Ip(IpAddr::V6(_))) { " v6only" } else { "" };
            writeln!(text, "{v6only} alpn http/1.1")?;
        }
        for site in here {
            let name = &site.name;
            // Without the port, which `Host` may have.
            let host = format!("{{ req.hdr(host),host_only -m str -i {name} }}");
            if let Some(document) = site.document {
                let (body, cache) = (document.body(), Site::cache_control(document));
                writeln!(
                    text,
                    "    http-request return status 200 content-type application/json string \
                     '{body}' hdr Cache-Control {cache} if {host} {{ path /.well-known/matrix/server }}"
                )?;
            }
            if site.federation {
                writeln!(text, "    use_backend homeserver if {host} {{ path_beg /_matrix/ }}")?;
            }
        }
        text.push_str("    default_backend nothing\n");
    }
    write!(
        text,
        "
backend homeserver
    # `Host` and path are passed on as they come. What a stranger says of himself is not.
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    server homeserver {upstream}

backend nothing
    http-request return status 404
"
    )
}
