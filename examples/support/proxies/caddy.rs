//! Caddy: sites for a `Caddyfile`, or a whole one.

use std::fmt::Write;

use matrix_delegation::names::Host;

use super::{Options, Site};

pub(super) fn write(text: &mut String, sites: &[Site<'_>], options: &Options) -> std::fmt::Result {
    if let Some(directory) = &options.standalone {
        // Neither a port for redirects nor one for HTTP/3 nor one to be told things.
        write!(
            text,
            "{{
\tadmin off
\tauto_https disable_redirects
\tstorage file_system {directory}
\tservers {{
\t\tprotocols h1 h2
\t}}
}}

"
        )?;
    }
    sites.iter().try_for_each(|site| server(text, site, options))
}

fn server(text: &mut String, site: &Site<'_>, options: &Options) -> std::fmt::Result {
    if site.may_be_there(options) {
        writeln!(
            text,
            "# Where there is a site {} at port {} already, put what this one has for
# {} into that one, and leave out the rest:
# Caddy refuses two of one address.",
            site.name,
            site.port,
            site.paths()
        )?;
    }
    writeln!(text, "https://{}:{} {{", site.name, site.port)?;
    if let Some(address) = options.bind {
        // Here an IPv6 address stands without brackets.
        writeln!(text, "\tbind {address}")?;
    }
    match &options.certificates {
        Some(directory) => {
            let file = site.file_name();
            writeln!(
                text,
                "\ttls {directory}/{file}/fullchain.pem {directory}/{file}/privkey.pem"
            )?;
        }
        // Caddy gets one by itself; of an address it can only make its own, which nobody trusts.
        None if matches!(site.name, Host::Ip(_)) => {
            writeln!(text, "\t# A certificate for an address must be given: tls CHAIN KEY")?;
        }
        None => {}
    }
    if let Some(document) = site.document {
        let (body, cache) = (document.body(), Site::cache_control(document));
        write!(
            text,
            "\n\thandle /.well-known/matrix/server {{
\t\theader Content-Type application/json
\t\theader Cache-Control {cache}
\t\trespond `{body}` 200
\t}}
"
        )?;
    }
    if site.federation {
        let upstream = options.upstream();
        write!(
            text,
            "
\t# `Host` and path are passed on as they come, and X-Forwarded-* is set.
\thandle /_matrix/* {{
\t\treverse_proxy http://{upstream}
\t}}
"
        )?;
    }
    writeln!(text, "\n\thandle {{\n\t\trespond 404\n\t}}\n}}\n")
}
