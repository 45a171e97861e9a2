//! nginx: a file for `/etc/nginx/conf.d`, or a whole `nginx.conf`.

use std::fmt::Write;

use super::{Options, Site, indented};

/// A longer name finds no room in nginx's table of names as it is unless told otherwise.
const LONG_NAME: usize = 46;

pub(super) fn write(text: &mut String, sites: &[Site<'_>], options: &Options) -> std::fmt::Result {
    let Some(directory) = &options.standalone else { return servers(text, sites, options) };
    let mut inner = String::new();
    servers(&mut inner, sites, options)?;
    let inner = indented(&inner, "    ");
    write!(
        text,
        "daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{inner}}}
"
    )
}

fn servers(text: &mut String, sites: &[Site<'_>], options: &Options) -> std::fmt::Result {
    if sites.iter().any(|site| site.name.to_string().len() > LONG_NAME) {
        text.push_str(
            "# Long names need it. It may be set once: leave this out where it is set already.
server_names_hash_bucket_size 512;

",
        );
    }
    sites.iter().try_for_each(|site| server(text, site, options))
}

fn server(text: &mut String, site: &Site<'_>, options: &Options) -> std::fmt::Result {
    let (name, port, file) = (&site.name, site.port, site.file_name());
    let certificates = options.certificates("/etc/letsencrypt/live");
    if site.may_be_there(options) {
        writeln!(
            text,
            "# Where there is a server for {name} at port {port} already, put what this one has for
# {} into that one, and leave out the rest:
# nginx ignores the second of two with one name.",
            site.paths()
        )?;
    }
    writeln!(text, "server {{")?;
    for address in options.binds() {
        writeln!(text, "    listen {address}:{port} ssl;")?;
    }
    write!(
        text,
        "    server_name {name};
    ssl_certificate {certificates}/{file}/fullchain.pem;
    ssl_certificate_key {certificates}/{file}/privkey.pem;
"
    )?;
    if let Some(document) = site.document {
        let (body, cache) = (document.body(), Site::cache_control(document));
        write!(
            text,
            "
    location = /.well-known/matrix/server {{
        # What `return` sends has this type; `add_header` would send two.
        default_type application/json;
        add_header Cache-Control {cache};
        return 200 '{body}';
    }}
"
        )?;
    }
    if site.federation {
        let upstream = options.upstream();
        write!(
            text,
            "
    location /_matrix/ {{
        # Nothing after the port, not even a slash: with a path here nginx decodes and rewrites
        # that of the request, over which it is signed.
        proxy_pass http://{upstream};
        proxy_http_version 1.1;
        # As it came, with its port; $host has none.
        proxy_set_header Host $http_host;
        # Set, not added to: what a stranger says of himself is not passed on.
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        # The default of 1 MiB is less than a transaction may have.
        client_max_body_size 64m;
        # A slow answer is not an error.
        proxy_read_timeout 600s;
    }}
"
        )?;
    }
    writeln!(text, "\n    location / {{\n        return 404;\n    }}\n}}")
}
